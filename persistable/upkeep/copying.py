"""Copy artifacts from one store to another: a folder to a bucket, a laptop to the team's drive.

A copy arrives as any artifact does: the payload first, under a name of its own, and the manifest last, in one step. So
whoever reads meanwhile meets a whole artifact or none, and an interruption leaves no half of one. What was made from
others comes after them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from .. import artifacts
from .._integrity import digest_payload, new_token
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ManifestVersionError, PersistableError
from ..keys import ArtifactKey
from ..manifest import Manifest, PayloadRecord
from ..stores import Store

if TYPE_CHECKING:
    from .verify import Progress

__all__ = ["Copied", "State", "copy"]

State: TypeAlias = Literal["copied", "there", "missing", "failed"]

_FILE = re.compile(r"payload\.[0-9a-f]{8}(\.[^/]*)?")
_MAKE_AGAIN = "It is not copied; load_generate() makes it again."
_NOR_THE_OTHERS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_NOTES = ("params.json", "generation.log")


class Copied(NamedTuple):
    """What became of one artifact.

    Attributes
    ----------
    key : ArtifactKey
        Which artifact.
    state : {"copied", "there", "missing", "failed"}
        Whether it was copied; was there already; is an upstream that is not in the source; or could not be copied.
    bytes : int
        Of the payload, if it was copied.
    problem : str
        Why it could not be copied.
    """

    key: ArtifactKey
    state: State
    bytes: int = 0
    problem: str = ""


def copy(
    source: Store,
    keys: Iterable[ArtifactKey],
    target: Store,
    *,
    upstreams: bool = True,
    progress: Progress | None = None,
) -> Iterator[Copied]:
    """Copy artifacts to another store, and yield what became of each.

    Payload, params and log are copied, and the manifest is as it was, but for the name of the payload's file. Every
    byte is verified on the way. What is there already stays as it is. One that cannot be copied does not stop the rest.

    What is not copied: the journal of a study, because its payload holds all of its trials; logs of failures; and
    artifacts of CloudFileIO, whose payload the two stores would share, so that to remove one would break the other:
    load it, and persist it in the other store.

    Parameters
    ----------
    source : Store
        Where the artifacts are.
    keys : iterable of ArtifactKey
        Which are wanted.
    target : Store
        Where they are to be.
    upstreams : bool
        Whether to copy all that they were made from, too, as far as it is in the source.
    progress : callable, optional
        Called with how many are done, and how many there are in all.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import LocalStore, Persistable
    >>> class SquaresP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 4, 9]
    >>> here, there = LocalStore(tempfile.mkdtemp()), LocalStore(tempfile.mkdtemp())
    >>> squares_p = SquaresP(here, None)
    >>> _ = squares_p.load_generate()
    >>> [copied.state for copied in copy(here, [squares_p.key], there)]
    ['copied']
    >>> SquaresP(there, None).load()
    [1, 4, 9]
    """
    todo = _in_order(source, keys, upstreams)
    for done, (key, manifest) in enumerate(todo, start=1):
        yield manifest if isinstance(manifest, Copied) else _tried(source, key, manifest, target)
        if progress is not None:
            progress(done, len(todo))


def _tried(source: Store, key: ArtifactKey, manifest: Manifest, target: Store) -> Copied:
    while True:
        try:
            return _copied(source, key, manifest, target)
        except (PersistableError, OSError) as error:
            if getattr(error, "errno", None) in _NOR_THE_OTHERS:
                raise
            again = _read(source, key, True)  # it may have been replaced, or removed, meanwhile
            if isinstance(again, Copied):
                return again
            if again == manifest:
                return Copied(key, "failed", 0, str(error))
            manifest = again


def _in_order(
    source: Store, keys: Iterable[ArtifactKey], upstreams: bool
) -> list[tuple[ArtifactKey, Manifest | Copied]]:
    """Return what is to be copied, each after what it was made from; and of what cannot be, why."""
    found: dict[str, tuple[ArtifactKey, Manifest | Copied]] = {}
    begun: set[str] = set()
    wanted = list(keys)
    asked = {key.folder for key in wanted}
    path: list[tuple[ArtifactKey, Manifest | Copied] | ArtifactKey] = list(reversed(wanted))
    while path:
        this = path.pop()
        if isinstance(this, tuple):
            found[this[0].folder] = this
        elif this.folder not in begun:
            begun.add(this.folder)
            manifest = _read(source, this, this.folder in asked)
            path.append((this, manifest))
            if upstreams and isinstance(manifest, Manifest):
                path += [ArtifactKey(used.key, used.payload_name) for used in manifest.dependencies.values()]
    return list(found.values())


def _read(source: Store, key: ArtifactKey, is_asked_for: bool) -> Manifest | Copied:
    try:
        manifest = artifacts.read_manifest(source, key)
    except ArtifactNotFoundError as error:
        problem = str(error) if is_asked_for else f"It is not in {source.url}: it may lie elsewhere."
        return Copied(key, "failed" if is_asked_for else "missing", 0, problem)
    except PersistableError as error:
        problem = artifacts.problem_of(error) if isinstance(error, ArtifactCorruptError) else str(error)
        return Copied(key, "failed", 0, problem)
    if manifest.payload["format"] == "cloud":
        return Copied(
            key,
            "failed",
            0,
            "Its payload lies in the cloud, and the two stores would share it. Load it, and persist it in the other "
            "store.",
        )
    return manifest


def _copied(source: Store, key: ArtifactKey, manifest: Manifest, target: Store) -> Copied:
    with contextlib.suppress(ArtifactNotFoundError):
        with contextlib.suppress(ManifestVersionError):  # whole, if not for us to read
            artifacts.read_manifest(target, key)  # a damaged one is nothing to be replaced unasked
        return Copied(key, "there")
    artifacts.probe(target, key)
    payload = manifest.payload
    name = f"payload.{new_token()}{payload['file'][len('payload.01234567') :]}"
    _require_harmless(payload, key)
    local = source.fetch(f"{key.folder}/{payload['file']}", None if payload["files"] is not None else payload["size"])
    try:
        _put(local, target, f"{key.folder}/{name}", manifest, key)
    finally:
        source.release(local)
    try:
        for note in _NOTES:
            with contextlib.suppress(FileNotFoundError):
                target.replace(f"{key.folder}/{note}", source.read(f"{key.folder}/{note}"))
        copied = _renamed(manifest, name)
    except BaseException:
        with contextlib.suppress(OSError):  # swept later
            target.drop(f"{key.folder}/{name}")
        raise
    # From here on, an interruption may come after the manifest was written: the payload is not touched any more.
    if not target.create(f"{key.folder}/manifest.json", copied.data):
        target.drop(f"{key.folder}/{name}")  # somebody was faster
        return Copied(key, "there")
    artifacts.announce(target, key)
    return Copied(key, "copied", payload["size"])


def _require_harmless(payload: PayloadRecord, key: ArtifactKey) -> None:
    """Raise ArtifactCorruptError if a manifest names files elsewhere: they would be written to elsewhere, too."""
    inside = all(os.path.normpath(f"./{name}") == name and name[:2] != ".." for name in payload["files"] or ())
    if not _FILE.fullmatch(payload["file"]) or not inside:
        raise ArtifactCorruptError(f"The manifest of {key.payload_name} {key} names files outside of its folder.", key)


def _put(local: str, target: Store, path: str, manifest: Manifest, key: ArtifactKey) -> None:
    """Put a payload into the target, if it is what the manifest says."""
    files = manifest.payload["files"]
    if files is None and not target.put_moves:
        _require_whole(local, manifest, key)
        target.put(local, path)
        return
    spool = target.spool(path)
    try:
        _copy_files(
            [(local, spool)] if files is None else [(f"{local}/{name}", f"{spool}/{name}") for name in files], key
        )
        _require_whole(spool, manifest, key)
        target.put(spool, path)
    finally:
        target.discard(spool)


def _copy_files(pairs: Iterable[tuple[str, str]], key: ArtifactKey) -> None:
    """Copy files, each as read-only as it is: nothing else of their modes, as they may be somebody else's."""
    for here, there in pairs:
        os.makedirs(os.path.dirname(there), exist_ok=True)
        try:
            shutil.copyfile(here, there)
        except FileNotFoundError:
            raise ArtifactCorruptError(f"The payload file {here} is missing. {_MAKE_AGAIN}", key) from None
        if not os.stat(here).st_mode & stat.S_IWUSR:
            os.chmod(there, stat.S_IMODE(os.stat(there).st_mode) & ~0o222)


def _require_whole(local: str, manifest: Manifest, key: ArtifactKey) -> None:
    payload = manifest.payload
    try:
        size, digest, _ = digest_payload(local)
    except FileNotFoundError:
        raise ArtifactCorruptError(f"The payload {payload['file']} is missing. {_MAKE_AGAIN}", key) from None
    if (size, digest) != (payload["size"], payload["digest"]):
        raise ArtifactCorruptError(
            f"The payload {payload['file']} has {size:,} bytes and the digest {digest}; {payload['size']:,} bytes and "
            f"{payload['digest']} were written. {_MAKE_AGAIN}",
            key,
        )


def _renamed(manifest: Manifest, name: str) -> Manifest:
    """Return the manifest with another name of the payload's file, and all else as it was."""
    sections = json.loads(manifest.data)
    return Manifest.compose({**manifest.head, "payload": {**manifest.payload, "file": name}}, sections)
