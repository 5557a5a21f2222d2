"""What one look tells of an artifact: its manifest, the size of its payload, its leases, its logs, its upstreams.

What lies in a store was written by somebody else: whatever is strange in it is a finding here, not an error.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from .._integrity import StoredPayload, Verify
from .._leases import Holder, holder_of
from .._text import age, duration
from ..exceptions import ArtifactCorruptError, ManifestVersionError, PersistableError
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Entry, Store
from .telling import Failure, Made, Neighbour

__all__ = [
    "Log",
    "checked_parts",
    "ended_of",
    "holder_at",
    "last_failed_log",
    "last_failure",
    "log_of",
    "neighbour_of",
    "problem_of_payload",
    "signs_of",
    "with_prefix",
]

_LONGEST_LOG: Final = 4096  # bytes that the first line of a log lies in

_LINE_OF_LOG: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ \S+: (?P<said>.*)")
_NEAR: Final = re.compile(r", which is (?P<key>[0-9a-f]{8}) (?:but for (?P<unlike>.*)\.|in all that is written down\.)")
_FAILED: Final = re.compile(r"failed-(?P<at>\d{8}T\d{6})[.\d]*Z\.log", re.ASCII)
_STRANGE: Final = "Its manifest holds what no manifest does."


def checked_parts(manifest: Manifest) -> tuple[Made, Mapping[str, Any], Mapping[str, Any]]:
    """Return who made it, its code, and its upstreams.

    Raises
    ------
    ArtifactCorruptError
        If its digest is right, and it still is not what a persistable writes.
    """
    try:
        record = manifest.payload
        StoredPayload(record["file"], record["size"], record["digest"], record["files"])
        return Made.of(manifest), {"head": manifest.head["code"], "parts": manifest.code}, manifest.dependencies
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise ArtifactCorruptError(_STRANGE) from None


def problem_of_payload(store: Store, key: ArtifactKey, manifest: Manifest, verify: Verify) -> str:
    """Return what is wrong with the payload that a manifest names; "" if it is as it was written, as far as is asked.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    record = manifest.payload
    path, size, files = f"{key.folder}/{record['file']}", record["size"], record["files"]
    local = store.local_path(path)
    try:
        if local is not None:
            StoredPayload(local, size, record["digest"], files, verify, key).check()
        elif verify == "size":
            sizes = {entry.path: entry.size for entry in store.list(path if files is not None else key.folder)}
            expected = {path: size} if files is None else {f"{path}/{name}": told[0] for name, told in files.items()}
            for name, length in expected.items():
                if sizes.get(name) != length:
                    found = "is missing" if name not in sizes else f"has {sizes[name]} bytes, but {length} were written"
                    return f"The payload file {store.url}/{name} {found}."
        else:
            local = store.fetch(path, None if files is not None else size)
            try:
                StoredPayload(local, size, record["digest"], files, verify, key).check()
            finally:
                store.release(local)
    except FileNotFoundError:
        return f"The payload file {path} is missing in {store.url}."
    except ArtifactCorruptError as error:
        return str(error).replace(local, f"{store.url}/{path}") if local is not None else str(error)
    return ""


def neighbour_of(store: Store, key: ArtifactKey, differences: tuple[Any, ...], said: str = "") -> Neighbour:
    """Return an artifact of the same name, as far as its manifest can be read at one go."""
    made, state = None, "whole"
    try:
        made = checked_parts(Manifest.parse(store.read(f"{key.folder}/manifest.json")))[0]
    except ManifestVersionError:
        state = "newer"
    except (PersistableError, OSError, ValueError):
        state = "corrupt"
    return Neighbour(str(key), state, made, differences, said)


def holder_at(store: Store, key: ArtifactKey, entries: list[Entry] | None = None) -> Holder | None:
    """Return who is, or was, making an artifact; with the entries of its folder, it is not listed for nothing."""
    if entries is not None and not any(entry.path.startswith(f"{key.folder}/lease/") for entry in entries):
        return None
    return holder_of(store, key)


def signs_of(holder: Holder, store: Store) -> str:
    """Return since when a process has been making an artifact, and when it last gave a sign of life."""
    since = f"since {holder.since}, {age(holder.since)}; " if holder.since else ""
    silent = duration(round(holder.silent, 1))
    if holder.silent <= store.time_to_live:
        return f"{since}its last sign of life was {silent} ago"
    return (
        f"{since}it has given no sign of life for {silent}: after {duration(store.time_to_live)} of watching it, "
        f"load_generate() would take over"
    )


def ended_of(holder: Holder) -> str:
    """Return who was making an artifact, and why that has come to nothing."""
    since = f", since {holder.since}" if holder.since else ""
    return f"{holder.owner} was making it{since}, and came to no result: {holder.ended}"


def last_failure(store: Store, entries: list[Entry]) -> Failure | None:
    """Return the last generation that raised, of those that left a log among the entries of an artifact's folder."""
    path = last_failed_log(entries)
    if not path:
        return None
    match = _FAILED.fullmatch(path.rpartition("/")[2])
    at = dt.datetime.strptime(match["at"], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC).isoformat() if match else ""
    try:
        log = store.read(path).decode("utf-8", "replace")
    except OSError:
        log = ""
    return Failure(at, next(_errors_in(log), "its log cannot be read"))


def last_failed_log(entries: list[Entry]) -> str:
    """Return the path of the log of the last generation that raised; "" if there is none."""
    names = {entry.path.rpartition("/")[2]: entry.path for entry in entries}
    return names.get(max(filter(_FAILED.fullmatch, names), default=""), "")


def _errors_in(log: str) -> Iterator[str]:
    """Yield the line that names the error: the first one behind the frames of the last traceback, not of its notes."""
    lines = log.rpartition("Traceback (most recent call last):")[2].splitlines()
    yield from (line.strip() for line in lines if line.strip() and not line.startswith((" ", "\t")))


class Log(NamedTuple):
    """What the first line of a log says of why something was made.

    Attributes
    ----------
    reason : str
        That, if it says more than which one.
    nearest : str
        The first digits of the key of the artifact that it names as the nearest, if it names one.
    unlike : str
        What differed from that one.
    is_first : bool
        Whether there was none that was near.
    """

    reason: str = ""
    nearest: str = ""
    unlike: str = ""
    is_first: bool = False


def log_of(store: Store, key: ArtifactKey, path: str = "") -> Log:
    """Return what a log begins with; by default, the one of the artifact under `key`."""
    try:
        line = store.read(path or f"{key.folder}/generation.log")[:_LONGEST_LOG]
    except OSError:
        return Log()
    text = line.decode("utf-8", "replace").partition("\n")[0]
    match = _LINE_OF_LOG.match(text)
    said = match["said"] if match else text
    start = f"Generating {key.payload_name} {key}"
    if said in ("", f"{start}."):
        return Log(is_first=bool(said))
    if said.startswith(f"{start} again: "):
        return Log(f"it was made again: {said.removeprefix(f'{start} again: ').removesuffix('.')}")
    near = _NEAR.match(said.removeprefix(start)) if said.startswith(start) else None
    return Log(f"its log begins: {said}", *((near["key"], near["unlike"] or "") if near else ()))


def with_prefix(store: Store, payload_name: str, prefix: str) -> ArtifactKey | None:
    """Return the key of that name that begins like this, if there is one; looked for where that is a list of names."""
    folder = store.local_path(payload_name)
    if folder is not None and prefix:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(prefix) and os.path.exists(f"{entry.path}/manifest.json"):
                    return ArtifactKey(entry.name, payload_name)
    return None
