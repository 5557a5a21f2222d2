"""Requests by obstore, which repeats most of them by itself, and says nothing of the answers that it has lost.

What it does not repeat is repeated here: a create, a delete, a listing that was cut. Whether a create happened whose
answer was lost, the file itself tells.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ..._threads import meanwhile
from ..base import Entry
from ..remote import AT_ONCE, PART, Client, Problem
from .errors import may_have_happened, problem_of, status_and_code, was_tried_once

__all__ = ["ObstoreClient"]

T = TypeVar("T")

_MOST_PARTS = 9_000  # S3 takes 10,000

_QUICK = 2**20
"""Bytes up to which a file is sent with the usual patience, which finds out sooner that a server is silent."""

_CONFLICTS = 7  # how often a create that nobody has won is tried again
_LONGEST_PAUSE = 2.0  # seconds


class ObstoreClient(Client):
    """Requests by obstore.

    Parameters
    ----------
    store : object
        A store of obstore's.
    uploads : callable
        Makes another one to the same place, for what may take long to be sent.
    retries : int
        How often a request is repeated.
    """

    def __init__(self, store: Any, uploads: Callable[[], Any], retries: int) -> None:
        import obstore
        from obstore import exceptions

        self._store = store
        self._uploads = cache(uploads)
        self._api: Any = obstore
        self._retries = retries
        self._exists = exceptions.AlreadyExistsError
        self._same = exceptions.NotModifiedError

    def get(self, path: str, etag: str | None = None) -> tuple[bytes, str | None] | None:
        def get() -> tuple[bytes, str | None]:
            result = self._api.get(self._store, path, options={"if_none_match": etag} if etag else None)
            return bytes(result.bytes()), result.meta["e_tag"]

        try:
            return self._surely(get)
        except self._same:
            return None

    def get_part(self, path: str, start: int, stop: int | None) -> Any:
        if stop is None:
            return self._surely(lambda: self._api.get(self._store, path).bytes())
        try:
            return self._surely(lambda: self._api.get_range(self._store, path, start=start, end=stop))
        except Exception as error:
            if status_and_code(str(error))[0] == 416:  # there is nothing from `start` on
                return b""
            raise

    def size(self, path: str) -> int:
        return int(self._surely(lambda: self._api.head(self._store, path))["size"])

    def create(self, path: str, data: bytes) -> bool:
        for attempt in range(max(self._retries, _CONFLICTS) + 1):
            try:
                self._api.put(self._store, path, data, mode="create", use_multipart=False)
                return True
            except Exception as error:
                failure = error
            conflict = isinstance(failure, self._exists)
            if not (conflict or may_have_happened(failure)):
                raise failure
            # Another's; or our own, if the answer to a try was lost; or, on a conflict (409), nobody's yet.
            with contextlib.suppress(FileNotFoundError):
                return bytes(self.get_part(path, 0, None)) == data
            if not _pause(attempt, _CONFLICTS if conflict else self._retries):
                raise failure
        raise AssertionError("unreachable")

    def put(self, path: str, data: bytes) -> None:
        self._surely(lambda: self._api.put(self._store, path, data, use_multipart=False))

    def upload(self, local: str, path: str, size: int, advance: Callable[[int], None]) -> None:
        if size <= _QUICK:
            self.put(path, Path(local).read_bytes())
            advance(size)
            return
        store, part, stopped = self._uploads(), max(PART, -(-size // _MOST_PARTS)), threading.Event()

        def pieces() -> Iterator[bytes]:
            with open(local, "rb", buffering=0) as file:
                while piece := file.read(1 << 20):
                    if stopped.is_set():
                        raise InterruptedError(errno.EINTR, "the upload was interrupted")
                    yield piece
                    advance(len(piece))

        def send() -> None:
            if size <= PART:
                data = Path(local).read_bytes()
                self._surely(lambda: self._api.put(store, path, data, use_multipart=False))
                advance(size)
            else:
                self._api.put(store, path, pieces(), use_multipart=True, chunk_size=part, max_concurrency=AT_ONCE)

        try:
            _interruptibly(send, stopped)
        except Exception:
            # If the answer to the last request was lost, its repetition may be refused. There is all of it, or nothing.
            with contextlib.suppress(Exception):
                if self.size(path) == size:
                    return
            raise

    def list(self, folder: str) -> Iterator[Entry]:
        last: str | None = None
        for attempt in itertools.count():
            try:
                for chunk in self._api.list(self._store, folder or None, offset=last):
                    for entry in chunk:
                        last = entry["path"]
                        if not last.endswith("/"):  # a marker that some tools write for a folder
                            yield Entry(last, entry["size"], entry["last_modified"].timestamp())
                return
            except Exception as error:
                if not was_tried_once(error) or not _pause(attempt, self._retries):
                    raise

    def delete(self, path: str) -> None:
        self._surely(lambda: self._api.delete(self._store, path))

    def _surely(self, request: Callable[[], T]) -> T:
        """Do a request that may be done twice."""
        for attempt in itertools.count():
            try:
                return request()
            except Exception as error:
                if not was_tried_once(error) or not _pause(attempt, self._retries):
                    raise
        raise AssertionError("unreachable")

    def problem(self, error: Exception) -> Problem:
        return problem_of(error)


def _interruptibly(work: Callable[[], None], stopped: threading.Event) -> None:
    """Do long work of obstore's in a thread of its own: the main one would hear of Ctrl-C when it is done."""
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    try:
        with meanwhile("upload", work) as done:
            pass
    except BaseException:
        stopped.set()
        raise
    done()


def _pause(attempt: int, retries: int) -> bool:
    """Wait before another try; return False if this was the last."""
    if attempt >= retries:
        return False
    time.sleep(min(0.05 * 2**attempt, _LONGEST_PAUSE))
    return True
