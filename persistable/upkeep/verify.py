"""Verify what a store holds: every byte of every payload, against what was written.

A hit is verified when it is read; what nobody reads can rot unseen. Here all of it is read, and never deserialised, so
that nothing in a store can run code by being verified.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from .. import artifacts
from .._integrity import LEFT_BY_FILE_MANAGERS, digest_file, digest_of_files, files_below
from .._text import printable
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, PersistableError
from ..keys import ArtifactKey
from ..manifest import Dependency, Manifest
from ..stores import Store
from .asked import Artifacts, Place, catalog_of, records_of
from .findings import Finding, Findings, Level
from .irregular import kind_of
from .results import Progress

if TYPE_CHECKING:
    from ..catalog import Record

__all__ = ["findings_of", "verify"]

_READERS = 2
_AHEAD = 8  # artifacts that are begun before the first of them is told of
_MAKE_AGAIN = "load_generate() makes it again; persistable rm removes it."
_NOT_SEEN = getattr(os, "O_NOATIME", 0)
"""What keeps a look from counting as a use (``prune --unused-for``)."""

_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
"""What keeps the opening of a pipe from waiting for somebody who writes into it."""


def verify(place: Place, keys: Artifacts | None = None, *, progress: Progress | None = None) -> Findings:
    """Verify artifacts: every byte against what was written. Nothing is loaded.

    All bytes of their payloads are read, from where the store is and not from a cache of it.

    Parameters
    ----------
    place : path, str, Store or Catalog
        Where they are: a folder, a URL, a store, or its catalogue.
    keys : str, Record, or iterable of these, optional
        Which artifacts: keys, beginnings of keys, or records, such as ``catalog.find(…)`` returns; all if not given.
        What is no artifact (a failed generation, a foreign file) is passed over.
    progress : callable, optional
        Called with how many are done, and how many there are in all.

    Returns
    -------
    Findings
        One for each whole artifact, and else one for each problem. A fault: a damaged manifest; a payload that is
        missing, or not what was written. A warning: params.json is not what the manifest says, an upstream is not in
        this store, or has been made again with other content since; or a newer persistable wrote the artifact.

    Raises
    ------
    ArtifactNotFoundError, AmbiguousKeyError
        If a key that is asked for is not there, or is not one.
    TypeError
        If `place` is no place, or `keys` are no keys.

    Notes
    -----
    Where the system allows it (files of one's own, or root; Linux), to be verified does not count as a use of a file,
    by which :func:`plan` finds what has not been used for long. Elsewhere it does.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import Persistable
    >>> class SquaresP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 4, 9]
    >>> folder = tempfile.mkdtemp()
    >>> _ = SquaresP(folder, None).load_generate()
    >>> findings = verify(folder)
    >>> print(findings)
    0 faults, 0 warnings, 1 fine
    >>> bool(findings.faults)
    False
    """
    return Findings(findings_of(place, keys, progress=progress))


def findings_of(place: Place, keys: Artifacts | None = None, *, progress: Progress | None = None) -> Iterator[Finding]:
    """Yield what :func:`verify` returns, as it is found."""
    catalog = catalog_of(place)
    catalog.refresh()  # at a bucket, one that lives long has looked a minute ago
    everything = list(catalog)
    records = everything if keys is None else records_of(catalog, keys)
    asked = [record for record in records if record.state in _ARTIFACTS]
    there = {
        (record.payload_name, str(record.key)): record.digest for record in everything if record.state in _ARTIFACTS
    }
    store = _behind_the_cache(catalog.store)

    def look(record: Record) -> list[Finding]:
        try:
            return list(_verified(store, record, there))
        except Exception as error:  # a manifest may hold anything, and the others are to be verified all the same
            problem = f"It cannot be verified: {type(error).__name__}: {printable(error, 300)}"
            return [Finding(record.path, str(record.key), record.payload_name, "fault", problem, _MAKE_AGAIN)]

    for done, findings in enumerate(_two_at_a_time(look, asked), start=1):
        yield from findings
        if progress is not None:
            progress(done, len(asked))


_ARTIFACTS = ("whole", "corrupt", "newer")


def _two_at_a_time(look: Callable[[Record], list[Finding]], records: list[Record]) -> Iterator[list[Finding]]:
    """Yield the findings in order; two threads read, because to digest needs no lock of the interpreter."""
    from concurrent.futures import Future, ThreadPoolExecutor

    if len(records) < 2:
        yield from map(look, records)
        return
    with ThreadPoolExecutor(_READERS, "persistable verify") as pool:
        begun: deque[Future[list[Finding]]] = deque()
        todo = iter(records)
        try:
            begun.extend(pool.submit(look, record) for record in itertools.islice(todo, _AHEAD))
            while begun:
                yield begun.popleft().result()
                begun.extend(pool.submit(look, record) for record in itertools.islice(todo, 1))
        finally:  # Ctrl-C, or nobody wants to know more
            pool.shutdown(wait=False, cancel_futures=True)


def _verified(store: Store, record: Record, there: Mapping[tuple[str, str], str | None]) -> Iterator[Finding]:
    key = ArtifactKey(record.key, record.payload_name)
    found: list[tuple[Level, str, str]] = []
    for _ in range(3):  # it may be replaced while it is read
        try:
            manifest = artifacts.read_manifest(store, key)
        except ArtifactNotFoundError:
            return  # removed since it was listed
        except ArtifactCorruptError as error:
            found = [("fault", artifacts.problem_of(error), _MAKE_AGAIN)]
            break
        except PersistableError as error:
            found = [("warning", f"It cannot be verified: {error}", "")]
            break
        found = [*_of_payload(store, key, manifest), *_of_notes(store, key, manifest)]
        if not found or artifacts.manifest_bytes(store, key) == manifest.data:
            found += _of_upstreams(store, manifest, there)
            break
    for level, problem, remedy in found or [("ok", "", "")]:
        yield Finding(key.folder, str(key), key.payload_name, level, problem, remedy)


def _of_payload(store: Store, key: ArtifactKey, manifest: Manifest) -> Iterator[tuple[Level, str, str]]:
    payload = manifest.payload
    path, files = f"{key.folder}/{payload['file']}", payload["files"]
    try:
        local = store.fetch(path, None if files is not None else payload["size"])
    except FileNotFoundError:
        yield "fault", f"The payload {payload['file']} is missing.", _MAKE_AGAIN
        return
    except OSError as error:
        yield "fault", f"The payload {payload['file']} cannot be read: {error}", ""
        return
    try:
        problem = _difference(local, payload["size"], payload["digest"], files)
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"cannot be read: {reason}." if not isinstance(error, FileNotFoundError) else "is missing."
    finally:
        store.release(local)
    if problem:
        yield "fault", f"The payload {payload['file']} {problem}", _MAKE_AGAIN
    elif payload["format"] == "cloud":
        yield (
            "warning",
            "Its payload lies in the cloud, and only the pointer to it was verified.",
            "Load it with payload_io=CloudFileIO(url, …): that verifies the payload.",
        )


def _difference(local: str, size: int, digest: str, files: Mapping[str, tuple[int, str]] | None) -> str:
    """Return how a payload differs from what was written; "" if it does not."""
    if files is None:
        return _difference_of_file(local, size, digest)
    if digest_of_files(files) != digest:
        return "is not the folder that its manifest lists."
    here = {name: path for name, path in files_below(local) if os.path.basename(name) not in LEFT_BY_FILE_MANAGERS}
    for name, (file_size, file_digest) in files.items():
        if name not in here:
            return f"is missing the file {name!r}."
        if problem := _difference_of_file(here[name], file_size, file_digest):
            return f"is damaged: the file {name!r} {problem}"
    foreign = sorted(here.keys() - files.keys())
    return f"holds a file that was not written with it: {foreign[0]!r}." if foreign else ""


def _difference_of_file(path: str, size: int, digest: str) -> str:
    status = os.stat(path)
    if kind := kind_of(status):
        return f"is {kind}, and a file was written."
    if (length := status.st_size) != size:  # without reading gigabytes for it
        return f"has {length:,} bytes, and {size:,} were written."
    _, found = digest_file(path, _unseen)
    return "" if found == digest else f"has the digest {found}, and {digest} was written."


def _unseen(path: str, flags: int) -> int:
    """Open a file so that its access time stays, where that is allowed."""
    try:
        return os.open(path, flags | _NOT_SEEN | _NOT_WAITING)
    except PermissionError:
        return os.open(path, flags | _NOT_WAITING)


def _of_notes(store: Store, key: ArtifactKey, manifest: Manifest) -> Iterator[tuple[Level, str, str]]:
    """Look at params.json, which is for people, and decides nothing."""
    remedy = "It is for people only: the artifact is as good without. generate() writes it again."
    try:
        tree = json.loads(store.read(f"{key.folder}/params.json"))
        said = tree[key.payload_name]["params"]
    except FileNotFoundError:
        yield "warning", "params.json is missing.", remedy
    except OSError as error:
        yield "warning", f"params.json cannot be read: {error}", remedy
    except (ValueError, KeyError, TypeError, RecursionError):
        yield "warning", "params.json is damaged.", remedy
    else:
        if said != manifest.params:
            yield "warning", "params.json states other params than the manifest.", remedy


def _of_upstreams(
    store: Store, manifest: Manifest, there: Mapping[tuple[str, str], str | None]
) -> Iterator[tuple[Level, str, str]]:
    for role, used in manifest.dependencies.items():
        name = f"{role} ({used.payload_name} {used.key[:8]})"
        if (used.payload_name, used.key) not in there:
            yield (
                "warning",
                f"Its upstream {name} is not in this store.",
                "That is fine if it lies elsewhere, or is not needed any more.",
            )
            continue
        now = there[used.payload_name, used.key]
        if now is None or used.digest is None or now == used.digest or _has_grown(store, used, used.digest):
            continue
        yield (
            "warning",
            f"Its upstream {name} has been made again since, with other content.",
            f"generate() makes this one from what {role} is now.",
        )


def _has_grown(store: Store, upstream: Dependency, since: str) -> bool:
    """Return whether an upstream has only become longer since it was used: a study with more trials, say."""
    try:
        manifest = artifacts.read_manifest(store, ArtifactKey(upstream.key, upstream.payload_name))
    except PersistableError:
        return False
    return since == manifest.payload["digest"] or since in manifest.generated.get("grown_from", [])


def _behind_the_cache(store: Store) -> Store:
    """Return the store itself: the copy that a cache of it has here says nothing about what lies there."""
    from ..stores import CachedStore

    while isinstance(store, CachedStore) and not store.offline:
        store = store.inner
    return store
