"""A payload between its place and its format: written, loaded, and removed.

What fetches a payload here, and what a format keeps elsewhere, is seen to in one way, whether a manifest names the
payload or a pointer of :class:`~persistable.CloudFileIO` does.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._integrity import StoredPayload, Verify, digest_payload
from ._threads import meanwhile
from .exceptions import ArtifactCorruptError, PersistableError, StoreError
from .fileio import FileIO, fileio_for
from .stores import Store
from .stores.base import withholding_credentials

__all__ = ["drop_payload", "load_payload", "put_payload", "spooled"]

_LOGGER = logging.getLogger("persistable")


@contextmanager
def spooled(store: Store, path: str, payload: Any, fileio: FileIO[Any]) -> Iterator[str]:
    """Save a payload to a spool, which :func:`put_payload` moves to `path`, where nothing is yet.

    If the ``with`` is left by an exception, what the format keeps elsewhere is removed.

    Raises
    ------
    FileNotFoundError
        If the format wrote nothing.
    Exception
        Whatever the format raises.
    """
    spool = store.spool(path)
    try:
        with withholding_credentials():
            fileio.save(payload, Path(spool))
        if not os.path.lexists(spool):
            raise FileNotFoundError(f"{type(fileio).__qualname__}._save wrote no file at the path that it was given.")
        yield spool
    except BaseException:
        with contextlib.suppress(Exception):  # what it keeps elsewhere is lost track of; it was never named
            fileio.discard(Path(spool))
        raise
    finally:
        store.discard(spool)


def put_payload(store: Store, spool: str, path: str) -> tuple[int, str, dict[str, tuple[int, str]] | None]:
    """Move a spool to `path`, durably, and return its size, its digest, and those of the files of a folder."""
    with meanwhile("settle", lambda: store.settle(spool)) as settled:  # the disk takes it while it is read
        found = digest_payload(spool)
    settled()
    store.put(spool, path)
    return found


def load_payload(
    store: Store, path: str, record: Mapping[str, Any], asked: FileIO[Any], verify: Verify, key: str | None
) -> Any:
    """Return the payload at `path` of `store`, verified.

    Parameters
    ----------
    store, path
        Where it is.
    record : mapping
        What was written there: ``format``, ``format_version``, ``size``, ``digest``, ``files``.
    asked : FileIO
        The format that was asked for; it may be another one that wrote.
    verify : {"digest", "size"}
        Whether bytes or only lengths are compared.
    key : str or None
        The artifact's key, for errors.

    Raises
    ------
    ArtifactCorruptError
        If the payload is missing, or is not what was written.
    ManifestVersionError, PayloadError
        As for :func:`~persistable.fileio.fileio_for`.
    """
    fileio, size, files = asked, record["size"], record["files"]
    if record["format"] != fileio.format_id or record["format_version"] != fileio.version:
        fileio = fileio_for(record["format"], record["format_version"], asked)
    for attempt in (1, 2):
        try:
            local = store.fetch(path, None if files is not None else size)
        except FileNotFoundError:
            raise ArtifactCorruptError(f"The payload file {path} is missing in {store.url}.", key) from None
        if fileio.loads_lazily:
            local = store.hold(local)
        try:
            payload = fileio.load(StoredPayload(local, size, record["digest"], files, verify, key))
        except ArtifactCorruptError as error:
            store.release(local)
            if store.forget(path) and attempt == 1:  # a cache's own copy was damaged, or cleaned up meanwhile
                continue
            if store.local_path(path) is None:  # nobody knows the copy that was looked at
                error.args = (str(error).replace(local, f"{store.url}/{path}"),)
            raise
        except PersistableError:
            store.release(local)
            raise
        except Exception as error:
            error.add_note(
                f"persistable: this was raised by {type(fileio).__qualname__} while it loaded {path} from {local}, "
                f"whose bytes are those that were written."
            )
            raise
        if not fileio.loads_lazily:
            store.release(local)
        return payload
    raise AssertionError("unreachable")


def drop_payload(store: Store, path: str, fileio: FileIO[Any]) -> None:
    """Remove the payload at `path` of `store`, and what its format keeps elsewhere.

    Where that is out of reach, the payload stays too: it is what says where that is, and is swept later.
    """
    if type(fileio).discard is not FileIO.discard:  # nothing is fetched for nothing
        try:
            local = store.fetch(path)
            try:
                fileio.discard(Path(local))
            finally:
                store.release(local)
        except StoreError:
            return
        except Exception as error:  # a pointer that is gone or damaged leads nowhere any more
            _LOGGER.info(f"{path} in {store.url} is removed; what {type(fileio).__qualname__} kept elsewhere: {error}")
    store.drop(path)
