"""What was left over in a store: by processes that were killed, by generations that failed, by half a removal.

Which files these can be is known to :mod:`persistable._leftovers`; here it is told for a whole store, without writing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .. import artifacts
from .._leftovers import Unit, swept, units_of
from .._text import duration
from ..exceptions import ArtifactCorruptError
from ..keys import ArtifactKey
from ..stores import Entry, Store
from .contents import contents_of, is_empty_folder, key_in
from .irregular import link_on_the_way

__all__ = ["Leftover", "is_young", "left_over", "leftovers_in", "remove_empty"]

_REASONS = {
    "payload": "a payload that no manifest names",
    "spool": "a payload that was never finished",
    "lease": "the lease of a process that has ended",
    "probe": "a probe of the store",
    "failure": "the log of a generation that failed",
    "evidence": "what was found in the place of an artifact that was made again",
    "temporary": "a file that was never finished",
    "artifact": "of an artifact that was half made, or half removed",
    "folder": "an empty folder",
}


class Leftover(NamedTuple):
    """What is left over in the folder of an artifact, and is to go.

    Attributes
    ----------
    path : str
        Relative to the root of the store.
    key : ArtifactKey
        In whose folder it is.
    kind : str
        As :class:`persistable._leftovers.Unit` has it; or ``folder``, an empty one.
    bytes : int
        Its size.
    reason : str
        What it is, and how old.
    """

    path: str
    key: ArtifactKey
    kind: str
    bytes: int
    reason: str


def leftovers_in(store: Store, payload_name: str | None, now: float) -> Iterator[Leftover]:
    """Yield what was left over in a store, or in the folders of one payload name."""
    for folder, entries in sorted(contents_of(store, payload_name).folders.items()):
        try:
            found = list(_left_in(store, folder, entries, now))
        except Exception:  # whatever is odd about one folder: it stays, and the others are looked at
            continue
        yield from found


def _left_in(store: Store, folder: str, entries: list[Entry], now: float) -> Iterator[Leftover]:
    key = key_in(folder)
    if link_on_the_way(store, key) is not None:
        return  # what it leads to is cleaned up where it is
    units, foreign = units_of(folder, entries)
    for unit in left_over(store, key, units, now):
        yield Leftover(
            f"{folder}/{unit.name}",
            key,
            unit.kind,
            unit.size,
            f"{_REASONS[unit.kind]}, {duration(now - unit.modified)} old",
        )
    for entry in foreign:
        is_old = now - entry.modified > store.leftovers_after
        if is_old and is_empty_folder(folder, entry) and store.local_path(entry.path) is not None:
            reason = f"{_REASONS['folder']}, {duration(now - entry.modified)} old"
            yield Leftover(entry.path, key, "folder", 0, reason)


def left_over(store: Store, key: ArtifactKey, units: Mapping[str, Unit], now: float) -> list[Unit]:
    """Return what is left over in a folder, as far as that can be told without writing.

    That is for a plan: what it holds is looked at again, under a lease, right before it goes.
    """
    before = now - store.leftovers_after
    found = [unit for unit in swept(units, None, before) if not unit.name.endswith(".cloud.json")]
    kinds = Counter(unit.kind for unit in units.values())
    if any(unit.kind == "lease" and now - unit.modified < 2 * store.time_to_live for unit in units.values()):
        return []  # somebody is at work
    if "manifest.json" not in units:
        # A journal is all that there is of a search that was interrupted, and goes on from it.
        all_old = not any(is_young(unit, now, store) for unit in units.values())
        if all_old and not kinds["journal"]:
            found += [unit for unit in units.values() if unit.kind == "artifact"]
        return found
    if kinds["payload"] == 1 and all(unit.kind == "payload" for unit in found):
        return []  # the one that the manifest names: no manifest is read to learn that
    try:
        named = artifacts.read_manifest(store, key).payload["file"]
    except ArtifactCorruptError:  # which of the payloads it named is not known
        return [unit for unit in found if unit.kind != "payload"]
    except Exception:  # newer; cannot be read; gone since it was listed; or odd: it stays, and the others are told of
        return []
    return [unit for unit in found if unit.name != named]


def is_young(unit: Unit, now: float, store: Store) -> bool:
    """Return whether somebody may still be at work on a file."""
    return now - unit.modified <= store.leftovers_after


def remove_empty(store: Store, path: str, key: ArtifactKey) -> bool:
    """Remove an empty folder, and those above it that are empty then: what is not empty, no system removes."""
    folder, top = store.local_path(path), store.local_path(key.payload_name)
    if folder is None or top is None or link_on_the_way(store, key) is not None:
        return False
    try:
        os.rmdir(folder)
    except OSError:
        return False
    above = os.path.dirname(folder.rstrip("/"))
    while above.startswith(top):
        try:
            os.rmdir(above)
        except OSError:
            break
        above = os.path.dirname(above)
    return True
