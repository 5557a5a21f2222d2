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
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from .. import artifacts
from .._integrity import digest_payload, new_token
from .._leftovers import units_of
from .._text import amount, printable, size
from ..catalog import Catalog
from ..exceptions import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    ManifestVersionError,
    PersistableError,
    StoreError,
)
from ..keys import ArtifactKey, is_artifact
from ..manifest import Manifest, PayloadRecord
from ..stores import Store
from .asked import Artifacts, Place, keys_of, store_of
from .irregular import kind_of, read_note
from .results import Progress, Results

__all__ = ["Copied", "Copies", "State", "copies_of", "copy"]

State: TypeAlias = Literal["copied", "there", "missing", "failed"]

_FILE = re.compile(r"payload\.[0-9a-f]{8}(\.[^/]*)?")
_MAKE_AGAIN = "It is not copied; load_generate() makes it again."
_NOR_THE_OTHERS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_NO_KEY = "that is no name and key of an artifact."
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
        Why it could not be copied; or what was left out of it.
    """

    key: ArtifactKey
    state: State
    bytes: int = 0
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        return {"payload_name": self.key.payload_name, **self._asdict(), "key": str(self.key)}


class Copies(Results[Copied]):
    """What :func:`copy` has done: a sequence of :class:`Copied`, upstreams first."""

    _header = ("artifact", "state", "size, or why")
    _title = "Copies"

    @property
    def failed(self) -> Copies:
        """Those that could not be copied."""
        return Copies(copied for copied in self if copied.state == "failed")

    @property
    def bytes(self) -> int:
        """Of all payloads that were copied."""
        return sum(copied.bytes for copied in self)

    @property
    def summary(self) -> str:
        """How many were copied, were there already, are missing, could not be copied."""
        counts = Counter[str](copied.state for copied in self)
        others = [f"{counts[state]:,} {words}" for state, words in _OTHERS.items() if counts[state]]
        return ", ".join([f"{amount(counts['copied'], 'artifact')} copied, {size(self.bytes)}", *others])

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        return {"bytes": self.bytes, "copies": [copied.to_dict() for copied in self]}

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (f"{one.key.payload_name} {one.key[:8]}", one.state, one.problem or (size(one.bytes) if one.bytes else ""))
            for one in self
        ]


_OTHERS: Final = {"there": "there already", "missing": "missing", "failed": "failed"}


def copy(
    source: Place,
    keys: Artifacts,
    target: Place,
    *,
    upstreams: bool = True,
    progress: Progress | None = None,
) -> Copies:
    """Copy artifacts to another store.

    Payload, params and log are copied, and the manifest is as it was, but for the name of the payload's file. Every
    byte is verified on the way. What is there already stays as it is. One that cannot be copied does not stop the rest.
    A params.json or a log that is a link to elsewhere, or larger than 10 MB, is left out: it could be any file of
    yours.

    What is not copied: the journal of a study, because its payload holds all of its trials; logs of failures; and
    artifacts of CloudFileIO, whose payload the two stores would share, so that to remove one would break the other:
    load it, and persist it in the other store.

    Parameters
    ----------
    source : path, str, Store or Catalog
        Where the artifacts are: a folder, a URL, a store, or its catalogue.
    keys : str, Record, or iterable of these
        Which are wanted: keys, beginnings of keys, or records.
    target : path, str, Store or Catalog
        Where they are to be.
    upstreams : bool
        Whether to copy all that they were made from, too, as far as it is in the source.
    progress : callable, optional
        Called with how many are done, and how many there are in all.

    Returns
    -------
    Copies
        What became of each, upstreams first.

    Raises
    ------
    ArtifactNotFoundError, AmbiguousKeyError
        If the beginning of a key is that of none, or of several.
    StoreError, OSError
        If the target cannot be written at all: it is full, or read-only.
    TypeError
        If a place is no place, or `keys` are no keys.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import Persistable
    >>> class SquaresP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 4, 9]
    >>> here, there = tempfile.mkdtemp(), tempfile.mkdtemp()
    >>> squares_p = SquaresP(here, None)
    >>> _ = squares_p.load_generate()
    >>> print(copy(here, squares_p.key, there).summary)
    1 artifact copied, 22 B
    >>> SquaresP(there, None).load()
    [1, 4, 9]
    """
    return Copies(copies_of(source, keys, target, upstreams=upstreams, progress=progress))


def copies_of(
    source: Place, keys: Artifacts, target: Place, *, upstreams: bool = True, progress: Progress | None = None
) -> Iterator[Copied]:
    """Yield what :func:`copy` returns, as it is done."""
    here, there = store_of(source), store_of(target)
    if isinstance(source, Catalog):
        source.refresh()  # at a bucket, one that lives long has looked a minute ago
    todo = _in_order(here, keys_of(source, keys), upstreams)
    for done, (key, manifest) in enumerate(todo, start=1):
        yield manifest if isinstance(manifest, Copied) else _tried(here, key, manifest, there)
        if progress is not None:
            progress(done, len(todo))


def _tried(source: Store, key: ArtifactKey, manifest: Manifest, target: Store) -> Copied:
    while True:
        try:
            return _copied(source, key, manifest, target)
        except Exception as error:  # whatever is odd about one: the others are copied
            if getattr(error, "errno", None) in _NOR_THE_OTHERS:
                raise
            again = _read(source, key, True)  # it may have been replaced, or removed, meanwhile
            if isinstance(again, Copied):
                return again
            if again == manifest:
                is_ours = isinstance(error, PersistableError)
                return Copied(key, "failed", 0, str(error) if is_ours else f"{type(error).__name__}: {error}")
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
                path += _upstreams(manifest)
    return list(found.values())


def _upstreams(manifest: Manifest) -> Iterator[ArtifactKey | tuple[ArtifactKey, Copied]]:
    """Yield what an artifact was made from; of what cannot be in any store, that it is missing."""
    for role, said in manifest._section("dependencies").items():
        name, digits = (said.get("payload_name"), said.get("key")) if isinstance(said, dict) else (said, None)
        if is_artifact(name, digits):
            yield ArtifactKey(str(digits), str(name))
            continue
        key = ArtifactKey(printable(str(digits), 100), printable(str(name), 100))
        problem = f"{manifest.payload_name} {manifest.key[:8]} names it as {printable(role, 100)}, and {_NO_KEY}"
        yield key, Copied(key, "missing", 0, problem)


def _read(source: Store, key: ArtifactKey, is_asked_for: bool) -> Manifest | Copied:
    if not is_artifact(key.payload_name, str(key)):
        return Copied(key, "failed", 0, f"{printable(key.folder, 200)!r}: {_NO_KEY}")
    try:
        manifest = artifacts.read_manifest(source, key)
    except ArtifactNotFoundError as error:
        problem = str(error) if is_asked_for else f"It is not in {source.url}: it may lie elsewhere."
        return Copied(key, "failed" if is_asked_for else "missing", 0, problem)
    except Exception as error:
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
        left_out = _copy_notes(source, key, target)
        copied = _renamed(manifest, name)
        if not any(unit == name for unit in units_of(key.folder, target.list(key.folder))[0]):  # we have slept for long
            raise StoreError(f"The payload {name} was removed from {target.url} before its manifest was written.")
    except BaseException:
        with contextlib.suppress(OSError):  # swept later
            target.drop(f"{key.folder}/{name}")
        raise
    # From here on, an interruption may come after the manifest was written: the payload is not touched any more.
    if not target.create(f"{key.folder}/manifest.json", copied.data):
        target.drop(f"{key.folder}/{name}")  # somebody was faster
        return Copied(key, "there")
    artifacts.announce(target, key)
    return Copied(key, "copied", payload["size"], left_out)


def _copy_notes(source: Store, key: ArtifactKey, target: Store) -> str:
    """Copy what is for people, unless the target has an artifact meanwhile; return what was left out, and why."""
    left_out = []
    for note in _NOTES:
        try:
            data = read_note(source, f"{key.folder}/{note}")
        except FileNotFoundError:
            continue
        except OSError as error:
            left_out.append(f"{note} is left out: it {error.strerror or error}.")
            continue
        if artifacts.manifest_bytes(target, key) is None:
            target.replace(f"{key.folder}/{note}", data)
    return " ".join(left_out)


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
            if kind := kind_of(os.stat(here)):  # a pipe, and we would wait for ever
                raise ArtifactCorruptError(f"The payload file {here} is {kind}. {_MAKE_AGAIN}", key)
            shutil.copyfile(here, there)
        except FileNotFoundError:
            raise ArtifactCorruptError(f"The payload file {here} is missing. {_MAKE_AGAIN}", key) from None
        if not os.stat(here).st_mode & stat.S_IWUSR:
            os.chmod(there, stat.S_IMODE(os.stat(there).st_mode) & ~0o222)


def _require_whole(local: str, manifest: Manifest, key: ArtifactKey) -> None:
    payload = manifest.payload
    try:
        length, digest, _ = digest_payload(local)
    except FileNotFoundError:
        raise ArtifactCorruptError(f"The payload {payload['file']} is missing. {_MAKE_AGAIN}", key) from None
    if (length, digest) != (payload["size"], payload["digest"]):
        raise ArtifactCorruptError(
            f"The payload {payload['file']} has {length:,} bytes and the digest {digest}; {payload['size']:,} bytes "
            f"and {payload['digest']} were written. {_MAKE_AGAIN}",
            key,
        )


def _renamed(manifest: Manifest, name: str) -> Manifest:
    """Return the manifest with another name of the payload's file, and all else as it was."""
    sections = json.loads(manifest.data)
    return Manifest.compose({**manifest.head, "payload": {**manifest.payload, "file": name}}, sections)
