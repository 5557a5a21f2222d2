"""What one look tells of an artifact: its manifest, the size of its payload, its leases, its logs, its upstreams.

What lies in a store was written by somebody else: whatever is strange in it is a finding here, not an error.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from .. import _source, artifacts
from .._integrity import StoredPayload, Verify
from .._leases import Holder, holder_of
from .._text import age, duration
from ..exceptions import ArtifactCorruptError, ManifestVersionError, PersistableError, StoreError
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Entry, Store
from .states import LineageNode, read_node
from .telling import Failure, Made, Neighbour, Upstream

__all__ = [
    "UPSTREAMS",
    "changes_of",
    "checked_parts",
    "ended_of",
    "holder_at",
    "last_failure",
    "neighbour_of",
    "problem_of_payload",
    "reason_of",
    "signs_of",
    "upstreams_since",
]

UPSTREAMS: Final = 100  # looked at, at most
_LONGEST_LOG: Final = 4096  # bytes that the first line of a log lies in

_LINE_OF_LOG: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ \S+: (?P<said>.*)")
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


def changes_of(kind: type, code: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what has changed in the code of `kind` since; nothing where that cannot be told."""
    with suppress(Exception):  # of a strange manifest; the code is advice
        if not _source.is_same(kind, *code["head"]):
            return tuple(_source.changes(code["parts"], _source.parts_of(kind))) or ("the class changed",)
    return ()


def upstreams_since(used: Mapping[str, Any], stores: Mapping[str, Store], store: Store) -> tuple[Upstream, ...]:
    """Return what has become of the upstreams that an artifact was made from; each from its own store, if known."""
    found = []
    for role, upstream in list(used.items())[:UPSTREAMS]:
        key = ArtifactKey(str(upstream.key), str(upstream.payload_name))
        try:
            state = _changed(upstream.digest, read_node(stores.get(role, store), key, ""))
        except StoreError:
            state = "unreachable"
        found.append(Upstream(key.payload_name, str(key), state))
    return tuple(found)


def _changed(used: str | None, now: LineageNode) -> str:
    if now.state != "whole":
        return {"corrupt": "damaged", "newer": "newer"}.get(now.state, "gone")
    if used is None or used == now.digest:
        return "whole"
    return "grown" if used in now.grown_from else "remade"


def neighbour_of(store: Store, key: ArtifactKey, differences: tuple[Any, ...]) -> Neighbour:
    """Return an artifact of the same name, as far as its manifest can be read."""
    made, state = None, "whole"
    try:
        made = checked_parts(artifacts.read_manifest(store, key))[0]
    except ManifestVersionError:
        state = "newer"
    except (PersistableError, OSError):
        state = "corrupt"
    return Neighbour(str(key), state, made, differences)


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
    names = {entry.path.rpartition("/")[2]: entry.path for entry in entries}
    logs = sorted(name for name in names if _FAILED.fullmatch(name))
    if not logs:
        return None
    match = _FAILED.fullmatch(logs[-1])
    at = dt.datetime.strptime(match["at"], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC).isoformat() if match else ""
    try:
        log = store.read(names[logs[-1]]).decode("utf-8", "replace")
    except OSError:
        log = ""
    return Failure(at, next(_errors_in(log), "its log cannot be read"))


def _errors_in(log: str) -> Iterator[str]:
    """Yield the line that names the error: the first one behind the frames of the last traceback, not of its notes."""
    lines = log.rpartition("Traceback (most recent call last):")[2].splitlines()
    yield from (line.strip() for line in lines if line.strip() and not line.startswith((" ", "\t")))


def reason_of(store: Store, key: ArtifactKey) -> str:
    """Return what the log says of why the artifact was made: its first line, if that says more than which one."""
    try:
        line = store.read(f"{key.folder}/generation.log")[:_LONGEST_LOG].decode("utf-8", "replace").partition("\n")[0]
    except OSError:
        return ""
    match = _LINE_OF_LOG.match(line)
    said = match["said"] if match else line
    return "" if said in ("", f"Generating {key.payload_name} {key}.") else f"its log begins: {said}"
