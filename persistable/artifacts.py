"""The protocol: how an artifact gets into a store, and how it comes out whole.

Right results come from two rules alone. A payload file is written once, under a name of its own, and never
changed. The manifest, which says which payload file counts, is written last, in one atomic step. A kill between
any two steps therefore leaves either the old artifact, or the new one, or none. Leases (:mod:`persistable._leases`)
only save work.

::

    points/3f9a0c…/manifest.json          the artifact exists if and only if this does
                   params.json            the params tree, for people
                   generation.log         what the logger said
                   payload.1f3a9c2e.npy   the infix is the token of the write that made it
                   spool.5b0d….npy        a payload that is being written
                   lease/0                while somebody generates
                   failed-….log           a generation that raised
                   corrupt-….json         what was found instead of an artifact that was made again
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import _leases
from ._integrity import new_token
from ._leases import Lease
from ._leftovers import sweep
from ._payloads import drop_payload, load_payload, put_payload, spooled
from ._warn import warn as _warn
from .exceptions import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    PersistableError,
    PersistableWarning,
    PersistError,
    StoreError,
)
from .fileio import FileIO
from .keys import ArtifactKey
from .manifest import Manifest, PayloadRecord
from .stores import LocalStore, Store

__all__ = [
    "Artifact",
    "Instead",
    "announce",
    "claim",
    "commit",
    "load",
    "manifest_bytes",
    "probe",
    "problem_of",
    "read_manifest",
    "record_failure",
    "replaceable",
]

_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""What a store answers when it has not written; after any other failure, it may have."""

_NAME_OF_PAYLOAD = re.compile(rb'"(payload\.[0-9a-f]{8}[\w.-]*)"', re.ASCII)  # also in a damaged manifest

_READS_OF_A_BAD_MANIFEST = 3
_WAY_OUT = " load_generate() makes it again; generate() too."
_PAUSE_BETWEEN_THEM = 0.02  # seconds; on file systems without links, a manifest may be met while it is written


class Artifact(NamedTuple):
    """What is to be persisted.

    Attributes
    ----------
    payload : object
        The payload.
    sections : mapping
        The sections of the manifest that are known before the payload is written.
    head : mapping
        ``version`` and ``code`` of the manifest's head.
    params : object
        The params tree in its readable form, for ``params.json``.
    log : str
        What the logger said.
    """

    payload: Any
    sections: Mapping[str, Any]
    head: Mapping[str, Any]
    params: Any
    log: str


class Instead(NamedTuple):
    """Which artifact a commit may take the place of; by default of none.

    Attributes
    ----------
    found : bytes or None
        The content of the manifest that it replaces, as long as that is there.
    problem : str or None
        What is wrong with that artifact (:func:`problem_of`): it is kept for a look. None if it is whole, and has only
        grown.
    whatever : bool
        Whether to replace whatever artifact is there.
    """

    found: bytes | None = None
    problem: str | None = None
    whatever: bool = False


_INSTEAD_OF_NONE = Instead()

# ---------------------------------------------------------------------------------------------------------------------
# Reading: no lock, no listing; the manifest first, and then what it names


def read_manifest(store: Store, key: ArtifactKey) -> Manifest:
    """Return the manifest of the artifact under `key`.

    Raises
    ------
    ArtifactNotFoundError
        If there is none.
    ArtifactCorruptError
        If there is one that is not what was written; its ``found`` is the content.
    ManifestVersionError
        If a newer persistable wrote it.
    """
    path = f"{key.payload_name}/{key}/manifest.json"
    for attempt in range(_READS_OF_A_BAD_MANIFEST):
        try:
            data = store.read(path)
        except FileNotFoundError:
            raise ArtifactNotFoundError(
                f"There is no artifact {key.payload_name} {key} in {store.url}. Make it with generate() or "
                f"load_generate(); or check data_dir and params, if it should be there.",
                key,
            ) from None
        except StoreError as error:
            if error.errno != errno.EISDIR:
                raise
            raise _corrupt(f"The manifest {path} in {store.url} is a folder.", key, b"") from None
        try:
            manifest = Manifest.parse(data)
        except ValueError as error:
            if attempt < _READS_OF_A_BAD_MANIFEST - 1:
                time.sleep(_PAUSE_BETWEEN_THEM)
                continue
            raise _corrupt(f"The manifest {path} in {store.url} is damaged: {error}.", key, data) from None
        head = manifest.head
        if head["key"] != key or head["payload_name"] != key.payload_name:
            raise _corrupt(
                f"The manifest {path} in {store.url} is the one of {head['payload_name']} {head['key']}.", key, data
            )
        return manifest
    raise AssertionError("unreachable")


def load(store: Store, key: ArtifactKey, payload_io: FileIO[Any]) -> tuple[Any, Manifest]:
    """Return the payload under `key`, verified, and its manifest.

    Raises
    ------
    ArtifactNotFoundError, ArtifactCorruptError, ManifestVersionError
        As for :func:`read_manifest`; and ArtifactCorruptError if the payload is not what was written.
    """
    manifest = read_manifest(store, key)
    while True:
        try:
            payload = manifest.head["payload"]
            path = f"{key.payload_name}/{key}/{payload['file']}"
            return load_payload(store, path, payload, payload_io, store.verify, key), manifest
        except Exception as error:
            # It may have been replaced, and its payload dropped, since it was read; and that again and again.
            again = read_manifest(store, key)
            if again == manifest:
                if isinstance(error, ArtifactCorruptError):
                    error.found = manifest.data
                    error.args = (problem_of(error) + _WAY_OUT,)
                raise
            manifest = again


def problem_of(error: ArtifactCorruptError) -> str:
    """Return what is wrong with an artifact, without the way out that its error ends with."""
    return str(error).removesuffix(_WAY_OUT)


def _corrupt(problem: str, key: ArtifactKey, found: bytes) -> ArtifactCorruptError:
    error = ArtifactCorruptError(problem + _WAY_OUT, key)
    error.found = found
    return error


# ---------------------------------------------------------------------------------------------------------------------
# Single flight


def claim(
    store: Store,
    key: ArtifactKey,
    found: bytes | None,
    say: Callable[[str], None],
    *,
    wait: bool = True,
    warn: Callable[[str], None] | None = None,
) -> Lease | None:
    """Return the right to make the artifact under `key`; None if it has arrived meanwhile.

    Parameters
    ----------
    store, key
        Which artifact, and where.
    found : bytes or None
        The content of a manifest that is there, and does not count: it is corrupt, or its payload is to grow.
    say : callable
        Told who is generating, as soon as there is somebody to wait for.
    wait : bool
        Whether to wait for somebody who is generating; without, the answer is None then too.
    warn : callable, optional
        Told the same after a few seconds of waiting, and then every few minutes; `say` if not given.

    Raises
    ------
    StoreError
        If the store cannot be written, or does not keep the promise that `create` makes.
    LeaseTimeoutError
        If somebody has been generating for longer than the store's patience.
    """
    probe(store, key)

    def arrived() -> bool:
        return manifest_bytes(store, key) not in (None, found)

    return _leases.acquire(store, key, arrived, say, wait=wait, warn=warn)


def probe(store: Store, key: ArtifactKey) -> None:
    """Make sure, once per store object, that it can be written, and that a second `create` of one path fails.

    Some places ignore the condition. Without single flight the work goes on there, with a warning: what a reader
    sees is right all the same.

    Raises
    ------
    StoreError
        If the store cannot be written; or, with single flight, if a second `create` succeeds.
    """
    if store.probed:
        return
    path = f"{key.folder}/probe.{new_token()}"
    try:
        kept = store.create(path, b"first") and not store.create(path, b"second")
    except StoreError as error:
        if error.errno not in (errno.EACCES, errno.EROFS):
            raise
        failure = StoreError(f"Nothing can be made for {key.payload_name} {key}, and persisted: {error}")
        failure.errno = error.errno
        raise failure from error
    finally:
        _delete_quietly(store, path)
    problem = (
        f"The store {store.url} lets a second create() of one path succeed, so that two processes could not "
        f"agree on one artifact."
    )
    if not kept and store.single_flight:
        raise StoreError(
            f"{problem} Use another store; or, if it does no harm that several processes make the same artifact at "
            f"once, tell the store so: data_dir={type(store).__qualname__}(…, single_flight=False)."
        )
    store.probed = True
    if not kept:
        message = f"{problem} Because of single_flight=False, each that misses an artifact makes it."
        _warn(message, PersistableWarning)


def manifest_bytes(store: Store, key: ArtifactKey) -> bytes | None:
    """Return the manifest under `key` as it lies there, whole or not; None if there is none."""
    try:
        return store.read(f"{key.folder}/manifest.json")
    except FileNotFoundError:
        return None


def replaceable(store: Store, key: ArtifactKey) -> bytes | None:
    """Return the manifest under `key` as :func:`manifest_bytes`, if it may be replaced.

    Raises
    ------
    ManifestVersionError
        If a newer persistable wrote it: what it knows would be lost.
    """
    data = manifest_bytes(store, key)
    if data is not None:
        with contextlib.suppress(ValueError):  # damaged
            Manifest.parse(data)
    return data


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def commit(
    store: Store,
    key: ArtifactKey,
    artifact: Artifact,
    payload_io: FileIO[Any],
    *,
    suffix: str | None = None,
    lease: Lease | None = None,
    instead: Instead = _INSTEAD_OF_NONE,
) -> Manifest | None:
    """Persist `artifact` under `key`.

    Parameters
    ----------
    store, key
        Where, and under which key.
    artifact : Artifact
        What.
    payload_io : FileIO
        In which format.
    suffix : str, optional
        The suffix of the payload's file, if not the format's own.
    lease : Lease, optional
        The right to make it, if it was asked for.
    instead : Instead
        Which artifact it may take the place of.

    Returns
    -------
    Manifest or None
        The manifest; None if somebody else has committed first, and their artifact counts.

    Raises
    ------
    PersistError
        If the payload cannot be written. Nothing that a reader could meet is left behind.
    ManifestVersionError
        If a newer persistable wrote the artifact that is to be replaced.
    """
    token = lease.token if lease is not None else new_token()

    def is_late() -> bool:
        """Whether somebody has committed meanwhile, whose artifact counts. An owner may have slept anywhere."""
        return not instead.whatever and manifest_bytes(store, key) not in (None, instead.found)

    try:
        before = replaceable(store, key) if instead.whatever else manifest_bytes(store, key)
        if before not in (None, instead.found) and not instead.whatever:
            return None
        bad = before if instead.problem is not None and before == instead.found else None
        fileio = payload_io.for_payload(artifact.payload)
        payload = _write_payload(store, key, artifact.payload, fileio, token, suffix)
    except PersistError:
        raise
    except OSError as error:
        raise _not_persisted(key, error) from error
    path = f"{key.folder}/{payload['file']}"
    try:
        head = {"key": str(key), "payload_name": key.payload_name, **artifact.head, "payload": payload}
        manifest = Manifest.compose(head, artifact.sections)
        notes = {
            "params.json": json.dumps(artifact.params, indent=2).encode(),
            "generation.log": artifact.log.encode("utf-8", "backslashreplace"),
        }
        for name, content in notes.items():
            if is_late():
                _drop_quietly(store, path, fileio)
                return None
            store.replace(f"{key.folder}/{name}", content)
        if bad is not None:
            _keep_evidence(store, key, bad, instead.problem)
    except BaseException as error:
        _drop_quietly(store, path, fileio)
        if isinstance(error, Exception):
            raise _not_persisted(key, error) from error
        raise
    # From here on, an interruption may come after the manifest was written: the payload is not touched any more.
    announce(store, key)  # and once more when it is there: a kill in between must not hide it from catalogues
    try:
        _require_payload(store, path)
        if before is None:
            if not store.create(f"{key.folder}/manifest.json", manifest.data):
                _drop_quietly(store, path, fileio)
                return None
        else:
            before = manifest_bytes(store, key)
            if not instead.whatever and before not in (None, instead.found):
                _drop_quietly(store, path, fileio)
                return None
            # Whatever it is: somebody may have replaced it meanwhile, and theirs is the previous one.
            store.replace(f"{key.folder}/manifest.json", manifest.data)
    except OSError as error:
        if error.errno in _REFUSED:
            with contextlib.suppress(OSError):
                if manifest_bytes(store, key) != manifest.data:
                    _drop_quietly(store, path, fileio)
        raise _not_persisted(key, error) from error
    announce(store, key)
    dead_tokens = lease.dead_tokens if lease else set()
    sweep(store, key, manifest, dead_tokens, None if before == bad else before, fileio)
    return manifest


def _require_payload(store: Store, path: str) -> None:
    """Raise if a payload that was just written is gone: who slept for hours before the manifest may have been swept."""
    if isinstance(store, LocalStore) and not os.path.lexists(store.local_path(path)):  # elsewhere, it is a request
        raise FileNotFoundError(errno.ENOENT, "the payload file was removed before its manifest was written", path)


def announce(store: Store, key: ArtifactKey) -> None:
    """Touch the folder of a payload name, so that a catalogue learns from one look that something in it has changed.

    A new artifact makes a new folder there, which says so by itself; one that arrives where a lease was, or takes the
    place of another, or goes, does not.
    """
    folder = store.local_path(key.payload_name)
    if folder is not None:
        with contextlib.suppress(OSError):  # somebody else's folder, or a store that is no folder after all
            os.utime(folder)


def _write_payload(
    store: Store, key: ArtifactKey, payload: Any, fileio: FileIO[Any], token: str, suffix: str | None
) -> PayloadRecord:
    name = f"payload.{token}{fileio.suffix if suffix is None else suffix}"
    saved = False
    try:
        with spooled(store, f"{key.folder}/{name}", payload, fileio) as spool:
            saved = True
            size, digest, files = put_payload(store, spool, f"{key.folder}/{name}")
    except OSError:
        raise
    except Exception as error:
        if saved:
            raise _not_persisted(key, error) from error
        if isinstance(error, PersistableError):
            raise
        raise _not_persisted(key, error, fileio, payload) from error
    return {
        "file": name,
        "format": fileio.format_id,
        "format_version": fileio.version,
        "size": size,
        "digest": digest,
        "files": files,
        "type": f"{type(payload).__module__}.{type(payload).__qualname__}",
        "summary": _summary(payload),
    }


def _summary(payload: Any) -> str:
    """Return a line about a payload, without showing its content."""
    words = [type(payload).__qualname__]
    with contextlib.suppress(Exception):  # whatever a payload says of itself
        if hasattr(payload, "shape") and isinstance(payload.shape, tuple):
            words.append(" × ".join(map(str, payload.shape)) or "scalar")
            if hasattr(payload, "dtype"):
                words.append(str(payload.dtype))
        elif isinstance(payload, list | tuple | dict | set | frozenset | str | bytes):
            words.append(f"of {len(payload)}")
    return " ".join(words)


def _not_persisted(
    key: ArtifactKey, error: BaseException, fileio: FileIO[Any] | None = None, payload: Any = None
) -> PersistError:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) and not isinstance(error, StoreError):
        remedy = "The disk is full: free some space"
    elif fileio is None or isinstance(error, OSError):
        remedy = "Mend the cause"
    else:
        remedy = f"Change the payload (a {type(payload).__qualname__}), or pass another payload_io="
    by = f" by {type(fileio).__qualname__}" if fileio is not None else ""
    failure = _failure(key, f"{type(error).__name__}: {error}", remedy, by)
    failure.errno = number
    return failure


def _failure(key: ArtifactKey, cause: str, remedy: str, by: str = "") -> PersistError:
    cause = cause.rstrip(": \n")
    stop = "" if cause.endswith((".", "!", "?")) else "."
    return PersistError(
        f"{key.payload_name} {key} could not be persisted{by}: {cause}{stop} "
        f"The payload is still in memory. {remedy}, and call persist() again."
    )


def _keep_evidence(store: Store, key: ArtifactKey, bad: bytes, problem: str | None) -> None:
    """Keep a corrupt manifest for a look. The payload file that it names is left where it is, and swept by age."""
    payload = _NAME_OF_PAYLOAD.search(bad)
    evidence = {
        "problem": problem or "not known",
        "payload": payload[1].decode() if payload else None,
        "manifest": bad.decode("utf-8", "backslashreplace"),
    }
    store.replace(f"{key.folder}/corrupt-{_now()}.json", json.dumps(evidence, indent=2).encode())


def record_failure(store: Store, key: ArtifactKey, log: str) -> None:
    """Leave the log of a generation that raised beside the place of the artifact, if the store takes it."""
    try:
        store.replace(f"{key.folder}/failed-{_now()}.log", log.encode("utf-8", "backslashreplace"))
    except OSError as error:
        # Not even where warnings are errors does this one take the place of the user's own exception.
        with contextlib.suppress(PersistableWarning):
            _warn(f"The log of the failure could not be written: {error}", PersistableWarning)


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _drop_quietly(store: Store, path: str, fileio: FileIO[Any]) -> None:
    with contextlib.suppress(OSError):  # swept later
        drop_payload(store, path, fileio)


def _delete_quietly(store: Store, path: str) -> None:
    with contextlib.suppress(OSError):  # swept later
        store.delete(path)
