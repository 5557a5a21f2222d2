"""Remove one artifact, while others read it and make it.

The manifest goes first: from then on there is no artifact, and a reader who holds the manifest, and finds its payload
gone, reads it again and learns that. What the manifest named goes next, and then what is known to belong to it.

A lease is held meanwhile, so that who wants to make the artifact anew waits for the moment that this takes. But a lease
only saves work: ``generate()`` does not wait for one, and an owner may have slept. Hence:

- Of payloads, only that goes which the manifest named, whose token no other write ever has; which a dead owner left; or
  which has lain there for an hour, while two small files take seconds to be written before its manifest. Any other may
  belong to somebody who is about to commit: their manifest would stand without a payload.
- ``params.json`` and the log stay while there is such another payload, or a manifest again, or if somebody has written
  them since they were listed: they are theirs by then.
- The manifest is read first and the files are listed then, so that nothing which a later manifest names is taken for
  left over; and it is read once more right before it goes. One that is replaced in that very moment goes too, as if it
  had been committed a moment before. Its payload stays, named by nobody, and is swept by age.
- The time is that of our own lease, or of a file written for that: others may have set theirs to any time.
- Where a folder on the way is a link, nothing goes: what it leads to is somebody else's store.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _leases, artifacts
from .._leftovers import Unit, swept, units_of
from .._payloads import drop_payload
from .._text import amount, printable, size
from ..exceptions import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    LeaseTimeoutError,
    ManifestVersionError,
    StoreError,
)
from ..fileio import FileIO, keeps_elsewhere
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Entry, Store
from .asked import Place, key_of, store_of
from .claims import claimed, time_of
from .irregular import refuse_links
from .searches import require_idle

if TYPE_CHECKING:
    from ..catalog import Record

__all__ = ["Changed", "Left", "Removed", "clean", "remove"]

_NAMES_ITS_MANIFEST = 3600.0
"""Seconds after which a payload in its place will be named by no manifest any more."""

_NAME_OF_PAYLOAD = re.compile(rb'"(payload\.[0-9a-f]{8}(?:\.[\w.-]*)?)"', re.ASCII)  # also in a damaged manifest

_SOMEBODY = "not known, and not ours to remove"

_LOOKS = 5
"""How often an artifact may be replaced while it is looked at."""


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

    def __str__(self) -> str:
        lines = [f"Removed: {self.key.payload_name} {self.key[:8]}, {amount(self.files, 'file')}, {size(self.bytes)}."]
        return "\n".join([*lines, *(f"  left: {printable(path)}: {reason}" for path, reason in self.left)])

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        said = {"payload_name": self.key.payload_name, "key": str(self.key), "files": self.files, "bytes": self.bytes}
        return {**said, "left": [left._asdict() for left in self.left]}


class Changed(Exception):
    """What was to be removed is not what it was; says why it stays."""


Objection = Callable[[Manifest | None, Mapping[str, Unit], float], str]
"""Asked right before anything goes, with the manifest (None if it is damaged), what is there, and the time of the
store: why it is to stay; "" if it may go."""


def remove(place: Place, key: str | Record, *, patience: float = 0.0, payload_io: FileIO[Any] | None = None) -> Removed:
    """Remove an artifact: its manifest first, then its payload, params, logs, and the journal of a study.

    A damaged one is removed too, and what a failed or interrupted generation has left where there is none. Whoever
    reads it meanwhile has its payload, or meets an ArtifactNotFoundError, and ``load_generate()`` makes it again.

    Parameters
    ----------
    place : path, str, Store or Catalog
        Where it is: a folder, a URL, a store, or its catalogue.
    key : str or Record
        Which it is: its key, the beginning of that, or its record.
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
    ArtifactNotFoundError, AmbiguousKeyError
        If there is nothing under this key; if several begin with it.
    LeaseTimeoutError
        If somebody is making it, or working on the study that it is.
    ManifestVersionError
        If a newer persistable wrote it: it may have more parts than are known here.
    StoreError
        If the store cannot be written; or if a folder on the way is a link to elsewhere.
    TypeError
        If `place` is no place, or `key` no key.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import Persistable
    >>> class SquaresP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 4, 9]
    >>> folder = tempfile.mkdtemp()
    >>> squares_p = SquaresP(folder, None)
    >>> _ = squares_p.load_generate()
    >>> remove(folder, squares_p.key).files
    4
    >>> squares_p.exists()
    False
    """
    return remove_unless(store_of(place), key_of(place, key), lambda *_: "", patience=patience, payload_io=payload_io)


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
    refuse_links(store, key)
    with claimed(store, key, patience, "removed") as lease:
        refuse_links(store, key)
        for _ in range(_LOOKS):
            manifest, data = _found(store, key)
            units, foreign = _look(store, key)
            now = time_of(store, key, units, lease)
            if reason := objection(manifest, units, now):
                raise Changed(reason)
            require_idle(store, key, units, now)
            if _manifest_bytes(store, key) == data:
                return _remove(store, key, _Found(manifest, data, units, foreign, now, lease), payload_io)
    raise LeaseTimeoutError(
        f"{key.payload_name} {key} in {store.url} is not removed: somebody has made it again each of the {_LOOKS} "
        f"times that it was looked at. Wait until they have ended."
    )


def clean(store: Store, key: ArtifactKey, names: Collection[str]) -> set[str]:
    """Remove those of the named leftovers in an artifact's folder that are still left over; return which.

    The artifact stays. Errors are those of :func:`remove`; and Changed if it is made again meanwhile.
    """
    refuse_links(store, key)
    with claimed(store, key, 0.0, "cleaned up") as lease:
        refuse_links(store, key)
        manifest, data = _found(store, key)
        units, _ = _look(store, key)
        now = time_of(store, key, units, lease)
        if _manifest_bytes(store, key) != data:
            raise Changed("it has been made again since")
        named = manifest.payload["file"] if manifest is not None else None
        if manifest is None and data is not None:  # damaged: there is no telling which payload it names
            units = {name: unit for name, unit in units.items() if unit.kind != "payload"}
        gone = set()
        for unit in swept(units, named, now - store.leftovers_after, lease.dead_tokens if lease else ()):
            if unit.name not in names or (unit.kind == "lease" and lease is not None):  # those below ours go with it
                continue
            if _is_as_it_was(store, key, unit):
                store.drop(f"{key.folder}/{unit.name}")
                gone.add(unit.name)
    if leases := {name for name in names if name.startswith("lease/")}:
        gone |= leases - {entry.path[len(key.folder) + 1 :] for entry in store.list(f"{key.folder}/lease")}
    return gone


class _Found(NamedTuple):
    """What lies under a key: the manifest, if it can be read, and as it lies there; files; who holds the lease."""

    manifest: Manifest | None
    data: bytes | None
    units: Mapping[str, Unit]
    foreign: list[Entry]
    now: float
    lease: _leases.Lease | None


def _look(store: Store, key: ArtifactKey) -> tuple[dict[str, Unit], list[Entry]]:
    """Return what is in the folder: what is known, by name, and what is not."""
    return units_of(key.folder, store.list(key.folder))


def _found(store: Store, key: ArtifactKey) -> tuple[Manifest | None, bytes | None]:
    """Return the manifest, None if it is damaged; and as it lies there, as :func:`_manifest_bytes`."""
    try:
        manifest = artifacts.read_manifest(store, key)
    except ArtifactNotFoundError:
        return None, None
    except ManifestVersionError as error:
        raise ManifestVersionError(f"{key.payload_name} {key} in {store.url} is not removed: {error}") from None
    except (ArtifactCorruptError, StoreError) as error:
        if found := getattr(error, "found", None):
            return None, found
        return None, _manifest_bytes(store, key) and b""  # one that has become whole since is met by the next look
    return manifest, manifest.data


def _manifest_bytes(store: Store, key: ArtifactKey) -> bytes | None:
    """Return the manifest as it lies there; b"" of what is no file, and None if there is none: a folder is not ours."""
    try:
        return artifacts.manifest_bytes(store, key)
    except StoreError:
        local = store.local_path(f"{key.folder}/manifest.json")
        if local is None or not os.path.lexists(local) or stat.S_ISREG(mode := os.lstat(local).st_mode):
            raise
        return None if stat.S_ISDIR(mode) else b""


def _is_as_it_was(store: Store, key: ArtifactKey, unit: Unit) -> bool:
    """Return whether nobody has written to a file since it was listed; elsewhere than in a folder, it was just now."""
    path = f"{key.folder}/{unit.name}"
    local = store.local_path(path)
    if local is None:
        return True
    try:
        status = os.lstat(local)
    except OSError:
        return False
    if stat.S_ISDIR(status.st_mode):
        units, _ = units_of(key.folder, store.list(path))
        return units.get(unit.name) == unit if units else unit.files == 0
    return (status.st_mtime, status.st_size) == (unit.modified, unit.size)


def _remove(store: Store, key: ArtifactKey, found: _Found, payload_io: FileIO[Any] | None) -> Removed:
    units, gone = dict(found.units), []
    if found.data is not None:
        artifacts.announce(store, key)  # and once more when it is gone: a kill in between must not hide that
        store.delete(f"{key.folder}/manifest.json")
        artifacts.announce(store, key)
        gone.append(units.pop("manifest.json", None))
    elsewhere: list[Left] = []
    for unit in _payloads_of(store, key, found):
        stays, left = _drop(store, key, unit, found.manifest, payload_io)
        elsewhere += left
        units.pop(unit.name)
        if not stays:
            gone.append(unit)
    before = found.now - store.leftovers_after
    for unit in list(units.values()):
        goes = unit.kind in _OF_THE_PAST or (unit.kind in _IN_PASSING and unit.modified < before)
        if goes and _is_as_it_was(store, key, unit):
            store.drop(f"{key.folder}/{unit.name}")
            gone.append(units.pop(unit.name))
    told = {left.path for left in elsewhere}
    there, foreign = _look(store, key)  # somebody may have begun to write since
    there = {name: unit for name, unit in there.items() if f"{key.folder}/{name}" not in told}
    if not any(unit.kind in ("payload", "spool") for unit in there.values()):
        notes = _remove_notes(store, key, [unit for unit in units.values() if unit.kind == "artifact"])
        there = {name: unit for name, unit in there.items() if unit not in notes}
        gone += notes
    left_over = [
        Left(f"{key.folder}/{unit.name}", "somebody may be writing it, or about to commit it")
        for unit in there.values()
        if unit.kind != "lease"
    ]
    left_over += [Left(entry.path, _SOMEBODY) for entry in foreign]
    went = [unit for unit in gone if unit is not None]
    return Removed(
        key, sum(unit.files for unit in went), sum(unit.size for unit in went), (*elsewhere, *sorted(left_over))
    )


_OF_THE_PAST = ("failure", "evidence", "journal")
_IN_PASSING = ("spool", "probe", "temporary")


def _payloads_of(store: Store, key: ArtifactKey, found: _Found) -> list[Unit]:
    """Return the payloads that nobody can be about to name; see the module."""
    match = _NAME_OF_PAYLOAD.search(found.data or b"")
    named = match[1].decode() if match else None
    if found.manifest is not None:
        named = found.manifest.payload["file"]
    dead = found.lease.dead_tokens if found.lease else set()
    old = found.now - min(store.leftovers_after, _NAMES_ITS_MANIFEST)

    def is_old(unit: Unit) -> bool:
        return unit.kind == "payload" and unit.modified < old and _is_as_it_was(store, key, unit)

    return [
        unit
        for unit in found.units.values()
        if (unit.kind == "payload" and unit.name == named) or unit.token in dead or is_old(unit)
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
        return printable(f"{pointer['url']}/{pointer['path']}", 300)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "an unknown place"


def _remove_notes(store: Store, key: ArtifactKey, notes: list[Unit]) -> list[Unit]:
    """Remove what is for people only, and return what went; what somebody has written since is theirs."""
    if not notes or _manifest_bytes(store, key) is not None:
        return []
    params = None
    with contextlib.suppress(OSError):
        params = store.read(f"{key.folder}/params.json")
    gone = []
    for unit in notes:
        if _is_as_it_was(store, key, unit):
            store.delete(f"{key.folder}/{unit.name}")
            gone.append(unit)
    if params is not None and _manifest_bytes(store, key) is not None:
        store.create(f"{key.folder}/params.json", params)  # made this very moment; of one key, they are always the same
    return gone
