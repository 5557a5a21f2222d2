"""Remove one artifact, while others read it and make it.

The manifest goes first: from then on there is no artifact, and a reader who holds the manifest, and finds its payload
gone, reads it again and learns that. What the manifest named goes next, and then what is known to belong to it.

A lease is held meanwhile, so that who wants to make the artifact anew waits for the moment that this takes. But a lease
only saves work: ``generate()`` does not wait for one, and an owner may have slept. Hence:

- Of payloads, only that goes which the manifest named, whose token no other write ever has; which a dead owner left; or
  which has lain there for an hour, while two small files take seconds to be written before its manifest. Any other may
  belong to somebody who is about to commit: their manifest would stand without a payload.
- ``params.json`` and the log stay while there is such another payload, or a manifest again: they are theirs by then.
- A manifest that is replaced in the moment between the last look at it and its removal goes too, as if it had been
  committed a moment before. Its payload stays, named by nobody, and is swept by age.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from .. import _leases, artifacts
from .._integrity import new_token
from .._leftovers import Unit, swept, units_of
from .._payloads import drop_payload
from ..exceptions import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    LeaseTimeoutError,
    ManifestVersionError,
    NoPayloadError,
)
from ..fileio import FileIO, keeps_elsewhere
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Entry, Store
from .searches import require_idle

__all__ = ["Changed", "Left", "Removed", "clean", "remove"]

_NAMES_ITS_MANIFEST = 3600.0
"""Seconds after which a payload in its place will be named by no manifest any more."""

_BEATS_OF_THE_DEAD = 10
"""Times to live without a sign of life, after which nobody needs to watch any longer whether one comes."""

_NAME_OF_PAYLOAD = re.compile(rb'"(payload\.[0-9a-f]{8}(?:\.[\w.-]*)?)"', re.ASCII)  # also in a damaged manifest

_SOMEBODY = "not known, and not ours to remove"


class Left(NamedTuple):
    """What was left where it is, relative to the root of the store, and why."""

    path: str
    reason: str


class Removed(NamedTuple):
    """What was removed of an artifact.

    Attributes
    ----------
    key : ArtifactKey
        Which artifact.
    files, bytes : int
        How many files, and their size.
    left : tuple of Left
        What is still there, with the reason: what is not known, and what may belong to somebody who is writing.
    """

    key: ArtifactKey
    files: int
    bytes: int
    left: tuple[Left, ...] = ()


class Changed(Exception):
    """What was to be removed is not what it was; says why it stays."""


Objection = Callable[[Manifest | None, Mapping[str, Unit], float], str]
"""Asked right before anything goes, with the manifest (None if it is damaged), what is there, and the time of the
store: why it is to stay; "" if it may go."""


def remove(store: Store, key: ArtifactKey, *, patience: float = 0.0, payload_io: FileIO[Any] | None = None) -> Removed:
    """Remove an artifact: its manifest first, then its payload, params, logs, and the journal of a study.

    A damaged one is removed too, and what a failed or interrupted generation has left where there is none. Whoever
    reads it meanwhile has its payload, or meets an ArtifactNotFoundError, and ``load_generate()`` makes it again.

    Parameters
    ----------
    store : Store
        Where it is.
    key : ArtifactKey
        Which it is.
    patience : float
        Seconds to wait for somebody who is making it.
    payload_io : FileIO, optional
        The format that wrote its payload; needed where that keeps something elsewhere, as CloudFileIO does.

    Returns
    -------
    Removed
        What went, and what is left.

    Raises
    ------
    ArtifactNotFoundError
        If there is nothing under this key.
    LeaseTimeoutError
        If somebody is making it, or working on the study that it is.
    ManifestVersionError
        If a newer persistable wrote it: it may have more parts than are known here.
    StoreError
        If the store cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import LocalStore, Persistable
    >>> class SquaresP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 4, 9]
    >>> squares_p = SquaresP(tempfile.mkdtemp(), None)
    >>> _ = squares_p.load_generate()
    >>> remove(LocalStore(squares_p.data_dir), squares_p.key).files
    4
    >>> squares_p.exists()
    False
    """
    return remove_unless(store, key, lambda *_: "", patience=patience, payload_io=payload_io)


def remove_unless(
    store: Store,
    key: ArtifactKey,
    objection: Objection,
    *,
    patience: float = 0.0,
    payload_io: FileIO[Any] | None = None,
) -> Removed:
    """Remove an artifact as :func:`remove`, unless there is an objection to what is found: Changed says that."""
    if next(iter(store.list(key.folder)), None) is None:
        raise ArtifactNotFoundError(
            f"There is no artifact {key.payload_name} {key} in {store.url} to be removed, and nothing is left of one.",
            key,
        )
    with claimed(store, key, patience, "removed") as lease:
        units, foreign, now = _look(store, key)
        manifest, data = _found(store, key)
        if reason := objection(manifest, units, now):
            raise Changed(reason)
        require_idle(store, key, units, now)
        return _remove(store, key, _Found(manifest, data, units, foreign, now, lease), payload_io)


def clean(store: Store, key: ArtifactKey, names: Collection[str]) -> set[str]:
    """Remove those of the named leftovers in an artifact's folder that are still left over; return which.

    The artifact stays. Errors are those of :func:`remove`.
    """
    with claimed(store, key, 0.0, "cleaned up") as lease:
        units, _, now = _look(store, key)
        named: str | None = None
        try:
            named = artifacts.read_manifest(store, key).payload["file"]
        except ArtifactNotFoundError:
            named = None
        except ArtifactCorruptError:  # there is no telling which payload it names
            units = {name: unit for name, unit in units.items() if unit.kind != "payload"}
        gone = set()
        for unit in swept(units, named, now - store.leftovers_after, lease.dead_tokens if lease else ()):
            if unit.name in names and (unit.kind != "lease" or lease is None):  # those below ours go with it
                store.drop(f"{key.folder}/{unit.name}")
                gone.add(unit.name)
    if leases := {name for name in names if name.startswith("lease/")}:
        gone |= leases - {entry.path[len(key.folder) + 1 :] for entry in store.list(f"{key.folder}/lease")}
    return gone


@contextlib.contextmanager
def claimed(store: Store, key: ArtifactKey, patience: float, done: str) -> Iterator[_leases.Lease | None]:
    """Hold the lease of an artifact, so that nobody makes it meanwhile; None where the store has none."""
    if not store.single_flight:
        yield None
        return

    def acquire() -> _leases.Lease | None:
        return _leases.acquire(store, key, lambda: False, lambda message: None, patience=patience)

    try:
        try:
            lease = acquire()
        except LeaseTimeoutError:
            if not _drop_old_leases(store, key):
                raise
            lease = acquire()
    except (LeaseTimeoutError, NoPayloadError) as error:
        holder = _leases.holder_of(store, key)
        who = f"{holder.owner} is making it, since {holder.since or 'an unknown time'}" if holder else str(error)
        raise LeaseTimeoutError(
            f"{key.payload_name} {key} in {store.url} is not {done}: {who}. Wait until it has ended, or end that "
            f"process. If it is dead already, that shows {store.time_to_live:.0f} s after its last sign of life."
        ) from None
    assert lease is not None  # nothing ever arrives
    with lease:
        try:
            yield lease
            return
        except Exception as error:  # and the lease is to be left without one: nothing has failed to be generated
            failure = error
    raise failure


def _drop_old_leases(store: Store, key: ArtifactKey) -> bool:
    """Remove leases that are as old as what is left over; return whether there were any. Whoever lives, beats."""
    old = max(store.leftovers_after, _BEATS_OF_THE_DEAD * store.time_to_live)
    holder = _leases.holder_of(store, key)
    if holder is None or holder.silent <= old:
        return False
    probe = f"{key.folder}/probe.{new_token()}"  # our clock may be another one than the store's
    try:
        store.replace(probe, b"What time is it?")
        units, _ = units_of(key.folder, store.list(key.folder))
    finally:
        store.delete(probe)
    now = units[probe.rpartition("/")[2]].modified
    leases = [unit for unit in units.values() if unit.kind == "lease"]
    if any(now - unit.modified <= old for unit in leases):
        return False
    for unit in leases:
        store.delete(f"{key.folder}/{unit.name}")
    return True


class _Found(NamedTuple):
    """What lies under a key: the manifest, if it can be read, and as it lies there; files; who holds the lease."""

    manifest: Manifest | None
    data: bytes | None
    units: Mapping[str, Unit]
    foreign: list[Entry]
    now: float
    lease: _leases.Lease | None


def _look(store: Store, key: ArtifactKey) -> tuple[dict[str, Unit], list[Entry], float]:
    """Return what is in the folder, and the time by the clock of the store: that of our lease, where there is one."""
    units, foreign = units_of(key.folder, store.list(key.folder))
    leases = [unit.modified for unit in units.values() if unit.kind == "lease"]
    return units, foreign, max(leases) if leases else time.time()


def _found(store: Store, key: ArtifactKey) -> tuple[Manifest | None, bytes | None]:
    try:
        manifest = artifacts.read_manifest(store, key)
    except ArtifactNotFoundError:
        return None, None
    except ArtifactCorruptError as error:
        return None, error.found
    except ManifestVersionError as error:
        raise ManifestVersionError(f"{key.payload_name} {key} in {store.url} is not removed: {error}") from None
    return manifest, manifest.data


def _remove(store: Store, key: ArtifactKey, found: _Found, payload_io: FileIO[Any] | None) -> Removed:
    units, gone = dict(found.units), []
    if found.data is not None:
        store.delete(f"{key.folder}/manifest.json")
        artifacts.announce(store, key)
        gone.append(units.pop("manifest.json", None))
    elsewhere: list[Left] = []
    for unit in _payloads_of(found, store.leftovers_after):
        stays, left = _drop(store, key, unit, found.manifest, payload_io)
        elsewhere += left
        units.pop(unit.name)
        if not stays:
            gone.append(unit)
    before = found.now - store.leftovers_after
    for unit in list(units.values()):
        if unit.kind in ("failure", "evidence", "journal") or (unit.kind in _IN_PASSING and unit.modified < before):
            store.drop(f"{key.folder}/{unit.name}")
            gone.append(units.pop(unit.name))
    if not any(unit.kind in ("payload", "spool") for unit in units.values()):
        gone += _remove_notes(store, key, units)
    left_over = [
        Left(f"{key.folder}/{unit.name}", "somebody may be writing it, or about to commit it")
        for unit in units.values()
        if unit.kind != "lease"
    ]
    left_over += [Left(entry.path, _SOMEBODY) for entry in found.foreign]
    went = [unit for unit in gone if unit is not None]
    return Removed(
        key, sum(unit.files for unit in went), sum(unit.size for unit in went), (*elsewhere, *sorted(left_over))
    )


_IN_PASSING = ("spool", "probe", "temporary")


def _payloads_of(found: _Found, leftovers_after: float) -> list[Unit]:
    """Return the payloads that nobody can be about to name; see the module."""
    match = _NAME_OF_PAYLOAD.search(found.data or b"")
    named = match[1].decode() if match else None
    if found.manifest is not None:
        named = found.manifest.payload["file"]
    dead = found.lease.dead_tokens if found.lease else set()
    old = found.now - min(leftovers_after, _NAMES_ITS_MANIFEST)
    return [
        unit
        for unit in found.units.values()
        if (unit.kind == "payload" and (unit.name == named or unit.modified < old)) or unit.token in dead
    ]


def _drop(
    store: Store, key: ArtifactKey, unit: Unit, manifest: Manifest | None, payload_io: FileIO[Any] | None
) -> tuple[bool, list[Left]]:
    """Remove a payload; return whether it stays, and what is left of it, elsewhere too."""
    path = f"{key.folder}/{unit.name}"
    is_named = manifest is not None and manifest.payload["file"] == unit.name
    format_id: str = manifest.payload["format"] if manifest is not None and is_named else ""
    if not format_id and unit.name.endswith(".cloud.json"):
        format_id = "cloud"
    if payload_io is not None and payload_io.format_id == format_id:
        drop_payload(store, path, payload_io)
        if next(iter(store.list(path)), None) is None and not _is_there(store, path):
            return False, []
        return True, [Left(path, f"what {payload_io!r} keeps elsewhere of it cannot be removed now")]
    if format_id == "cloud":
        return True, [Left(path, f"points to {_target(store, path)}; remove that with payload_io=CloudFileIO(url, …)")]
    store.drop(path)
    if format_id and keeps_elsewhere(format_id) is not False:
        return False, [
            Left(path, f"removed, but not what its format may keep elsewhere: pass payload_io= for that ({format_id})")
        ]
    return False, []


def _is_there(store: Store, path: str) -> bool:
    try:
        store.read(path)
    except FileNotFoundError:
        return False
    return True


def _target(store: Store, path: str) -> str:
    """Return where a pointer into the cloud leads, as far as it says."""
    try:
        pointer = json.loads(store.read(path))
        return f"{pointer['url']}/{pointer['path']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown place"


def _remove_notes(store: Store, key: ArtifactKey, units: dict[str, Unit]) -> list[Unit]:
    """Remove what is for people only, unless somebody has made the artifact again meanwhile: then it is theirs."""
    notes = [unit for unit in units.values() if unit.kind == "artifact"]
    if not notes or artifacts.manifest_bytes(store, key) is not None:
        return []
    params = None
    if "params.json" in units:
        with contextlib.suppress(FileNotFoundError):
            params = store.read(f"{key.folder}/params.json")
    for unit in notes:
        store.delete(f"{key.folder}/{units.pop(unit.name).name}")
    if params is not None and artifacts.manifest_bytes(store, key) is not None:
        store.create(f"{key.folder}/params.json", params)  # made this very moment; of one key, they are always the same
    return notes
