"""Which artifacts of a name are nearest to one that is missing, or that is asked about, and what differs.

Nobody needs this to be right in order to be served right: whatever goes wrong here, nothing is said. It is asked on a
miss, and compares no more than ten artifacts: those that an index of the store on this machine, if there is one, names
as the most similar, and the newest of those that a short look at the store finds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import nlargest
from itertools import islice
from typing import Any, Final, NamedTuple

from .._differences import Difference, differences
from ..keys import ArtifactKey
from ..stores import Store
from .comparison import json_tree, read_tree

__all__ = ["Near", "nearest", "told", "why"]

_FOLDERS: Final = 2_000  # looked at in a folder: some milliseconds, however many there are
_LISTED: Final = 20_000  # files; 20 pages of a bucket's listing
_COMPARED: Final = 10  # artifacts, of which the params are read
_TRIED: Final = 100  # folders of a disk, which may turn out to hold no artifact; elsewhere, each try is a request
_FROM_INDEX: Final = 7  # of those that are compared; the others may be too new for the index
_SHOWN: Final = 3  # differences in a line of a log

_KEY: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Near(NamedTuple):
    """An artifact of the same name, and what differs.

    Attributes
    ----------
    key : ArtifactKey
        Which artifact.
    modified : float
        When its folder, or its ``params.json``, was last written to.
    differences : list of Difference
        From its params tree to the one that was asked about. Empty if only what is not written down differs, such as
        the name of a class.
    """

    key: ArtifactKey
    modified: float
    differences: list[Difference]


def nearest(
    store: Store,
    key: ArtifactKey,
    tree: Mapping[str, Any],
    dependencies: Mapping[str, str] | None = None,
    *,
    until: float | None = None,
) -> list[Near]:
    """Return artifacts of the name of `key`, the ones with the fewest differences first; among equals, the newest.

    Parameters
    ----------
    store : Store
        Where to look.
    key : ArtifactKey
        What is missing there, or asked about; it is left out.
    tree : mapping
        Its params tree in the readable form, as ``params.json`` has it.
    dependencies : mapping of str to str, optional
        role -> key of its upstreams, as far as they are known.
    until : float, optional
        Only artifacts that have not been written to after this time.
    """
    found: list[Near] = []
    with suppress(Exception):
        tree = json_tree(tree)
        patience = _COMPARED if store.local_path("") is None else _TRIED
        for tried, (digits, modified) in enumerate(_candidates(store, key, tree, dependencies or {}, until)):
            if tried == patience or len(found) == _COMPARED:
                break
            with suppress(Exception):
                other = ArtifactKey(digits, key.payload_name)
                before = read_tree(store, other)
                if before is not None and _has_manifest(store, other):
                    found.append(Near(other, modified, differences(before, tree)))
    return sorted(found, key=lambda near: (len(near.differences), -near.modified))


def why(store: Store, key: ArtifactKey, tree: Mapping[str, Any], dependencies: Mapping[str, str] | None = None) -> str:
    """Return how `key` differs from the nearest artifact of its name, as the end of a sentence; "" if there is none.

    The parameters are those of :func:`nearest`.
    """
    found = nearest(store, key, tree, dependencies)
    return f", which is {told(found[0].key, found[0].differences)}" if found else ""


def told(key: str, unlike: Sequence[Difference]) -> str:
    """Return in one line which artifact is near, and what differs."""
    if not unlike:
        return f"{key[:8]} in all that is written down"
    more = len(unlike) - _SHOWN
    shown = "; ".join(map(str, unlike[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")
    return f"{key[:8]} but for {shown}"


def _candidates(
    store: Store, key: ArtifactKey, tree: Mapping[str, Any], dependencies: Mapping[str, str], until: float | None
) -> Iterator[tuple[str, float]]:
    """Yield keys of artifacts that may be near, and when each was last written to: from the index, then the newest."""
    folder = store.local_path(key.payload_name)
    listed = dict(_of_folder(folder) if folder is not None else _of_list(store, key))
    listed.pop(key, None)
    given = []
    for digits in _of_index(store, key, tree, dependencies):
        modified = listed.pop(digits, None)
        if modified is None and folder is not None:
            with suppress(OSError):
                modified = os.stat(f"{folder}/{digits}").st_mtime
        given.append((digits, modified or 0.0))
    newest = nlargest(_TRIED, listed.items(), key=lambda one: one[1])
    for digits, modified in [*given[:_FROM_INDEX], *newest, *given[_FROM_INDEX:]]:
        if until is None or modified <= until:
            yield digits, modified


def _of_folder(folder: str) -> Iterator[tuple[str, float]]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _FOLDERS):
            if _KEY.fullmatch(entry.name):
                with suppress(OSError):  # it may have gone meanwhile
                    yield entry.name, entry.stat().st_mtime


def _of_list(store: Store, key: ArtifactKey) -> Iterator[tuple[str, float]]:
    with_params: set[str] = set()
    with_manifest: dict[str, float] = {}
    with suppress(OSError):
        for path, _, modified in islice(store.list(key.payload_name), _LISTED):
            digits, _, file = path.removeprefix(f"{key.payload_name}/").partition("/")
            if file == "params.json":
                with_params.add(digits)
            elif file == "manifest.json" and _KEY.fullmatch(digits):
                with_manifest[digits] = modified
    yield from ((digits, modified) for digits, modified in with_manifest.items() if digits in with_params)


def _has_manifest(store: Store, key: ArtifactKey) -> bool:
    path = store.local_path(f"{key.folder}/manifest.json")
    return path is None or os.path.exists(path)  # elsewhere, the listing has said so


def _of_index(store: Store, key: ArtifactKey, tree: Mapping[str, Any], dependencies: Mapping[str, str]) -> list[str]:
    with suppress(Exception):
        from ..catalog.index import candidates

        params = tree[key.payload_name]["params"]
        found = candidates(store, key.payload_name, params, dependencies, limit=_COMPARED)
        return [digits for digits in found if digits != key and _KEY.fullmatch(digits)]
    return []
