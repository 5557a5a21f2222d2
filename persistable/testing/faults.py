"""Faults on purpose: what a store, and all that stands on it, must survive.

- :class:`FaultyStore` wraps any store, counts its operations, and lets something happen before or after the n-th:
  an error, a kill, a damage to what is written or read.
- :func:`before_file_call` lets something happen before the n-th call that this process makes to a file system, so that
  a commit can be killed between any two steps, down to single system calls.
- :func:`flip` and :func:`truncate` damage files.

Examples
--------
>>> import errno, tempfile
>>> from persistable import LocalStore
>>> store = FaultyStore(LocalStore(tempfile.mkdtemp()), Fault(2, fail(errno.ENOSPC)))
>>> store.create("points/a", b"first")
True
>>> store.create("points/b", b"second")
Traceback (most recent call last):
    ...
persistable.exceptions.StoreError: No space left on device, on purpose.
>>> store.operations
['create points/a', 'create points/b']
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

from ..exceptions import StoreError
from ..stores import Entry, Store, WrapperStore

__all__ = ["CarelessStore", "Fault", "FaultyStore", "before_file_call", "fail", "flip", "kill", "truncate"]

T = TypeVar("T")


class Fault(NamedTuple):
    """Something that happens at the n-th operation of a store.

    Attributes
    ----------
    number : int
        Which operation it is, from 1 on; 0 stands for every one.
    action : callable, optional
        Called without arguments: :func:`kill`, what :func:`fail` returns, or anything else.
    when : {"before", "after"}
        Whether that is before the operation, or after it, when it has happened in the store, whatever came of it.
    only : str
        Count only operations that begin with this, such as ``"create"`` or ``"replace points/"``.
    damage : callable, optional
        bytes -> bytes: what becomes of the content that the operation writes or reads.
    """

    number: int
    action: Callable[[], object] | None = None
    when: Literal["before", "after"] = "before"
    only: str = ""
    damage: Callable[[bytes], bytes] | None = None


class FaultyStore(WrapperStore):
    """All that `inner` does, with faults.

    Parameters
    ----------
    inner : Store
        The store whose operations are disturbed.
    *faults : Fault
        What happens, and when.

    Attributes
    ----------
    operations : list of str
        What was asked of the store: name of the operation, and path.
    """

    def __init__(self, inner: Store, *faults: Fault) -> None:
        super().__init__(inner)
        self.faults = faults
        self.operations: list[str] = []
        self._counts = [0] * len(faults)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def read(self, path: str) -> bytes:
        due = self._due(f"read {path}")
        return _damaged(due, _around(due, lambda: self.inner.read(path)))

    def create(self, path: str, data: bytes) -> bool:
        due = self._due(f"create {path}")
        return _around(due, lambda: self.inner.create(path, _damaged(due, data)))

    def replace(self, path: str, data: bytes) -> None:
        due = self._due(f"replace {path}")
        _around(due, lambda: self.inner.replace(path, _damaged(due, data)))

    def list(self, folder: str) -> Iterator[Entry]:
        return iter(_around(self._due(f"list {folder}"), lambda: tuple(self.inner.list(folder))))

    def delete(self, path: str) -> None:
        _around(self._due(f"delete {path}"), lambda: self.inner.delete(path))

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        due = self._due(f"read {path}")
        found = _around(due, lambda: self.inner.read_if_changed(path, etag))
        return None if found is None else (_damaged(due, found[0]), found[1])

    def fetch(self, path: str, size: int | None = None) -> str:
        return _around(self._due(f"fetch {path}"), lambda: self.inner.fetch(path, size))

    def put(self, local: str, path: str) -> None:
        _around(self._due(f"put {path}"), lambda: self.inner.put(local, path))

    def drop(self, path: str) -> None:
        _around(self._due(f"drop {path}"), lambda: self.inner.drop(path))

    def spool(self, path: str) -> str:
        return _around(self._due(f"spool {path}"), lambda: self.inner.spool(path))

    def discard(self, spool: str) -> None:
        _around(self._due(f"discard {spool}"), lambda: self.inner.discard(spool))

    def _due(self, operation: str) -> tuple[Fault, ...]:
        due = []
        with self._lock:
            self.operations.append(operation)
            for index, fault in enumerate(self.faults):
                if operation.startswith(fault.only):
                    self._counts[index] += 1
                    if fault.number in (0, self._counts[index]):
                        due.append(fault)
        return tuple(due)


class CarelessStore(WrapperStore):
    """A store whose `create` ignores its condition, as some S3 look-alikes do. It fails the conformance kit."""

    def create(self, path: str, data: bytes) -> bool:
        self.inner.replace(path, data)
        return True


def _around(due: tuple[Fault, ...], operation: Callable[[], T]) -> T:
    _act(due, "before")
    try:
        return operation()
    finally:
        _act(due, "after")


def _act(due: tuple[Fault, ...], when: str) -> None:
    for fault in due:
        if fault.when == when and fault.action is not None:
            fault.action()


def _damaged(due: tuple[Fault, ...], data: bytes) -> bytes:
    for fault in due:
        if fault.damage is not None:
            data = fault.damage(data)
    return data


class fail:
    """An action that raises a StoreError with the errno `number`; `transient`, if it is to say so."""

    def __init__(self, number: int, *, transient: bool = False) -> None:
        self.number = number
        self.transient = transient

    def __call__(self) -> NoReturn:
        failure = StoreError(f"{os.strerror(self.number)}, on purpose.")
        failure.errno = self.number
        failure.transient = self.transient
        raise failure


def kill() -> None:
    """End this process as ``kill -9`` and a power cut do: nothing is cleaned up, flushed or said."""
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)


_FILE_CALLS = frozenset(
    {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.truncate"}
)


def before_file_call(number: int, action: Callable[[], object], below: str | os.PathLike[str]) -> list[str]:
    """Call `action` before the n-th call that this process makes to its file systems, from now on.

    It cannot be undone (it is an audit hook), so it is for processes that are soon to end.

    Parameters
    ----------
    number : int
        Which call it is, from 1 on.
    action : callable
        Called without arguments.
    below : str or Path
        Count only calls about paths below this folder.

    Returns
    -------
    list of str
        The calls so far, as ``"os.link /data/…"``; grows.
    """
    calls: list[str] = []
    start = os.fspath(below)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FILE_CALLS and str(arguments[0]).startswith(start):
            calls.append(f"{event} {arguments[0]}")
            if len(calls) == number:
                action()

    sys.addaudithook(hook)
    return calls


def flip(path: str | os.PathLike[str], position: int, mask: int = 0x01) -> None:
    """Change bits of one byte of a file, as a failing disk does; its size and name stay."""
    data = bytearray(Path(path).read_bytes())
    data[position] ^= mask
    Path(path).write_bytes(data)


def truncate(path: str | os.PathLike[str], length: int) -> None:
    """Cut a file to `length` bytes."""
    os.truncate(path, length)
