"""What runs on an object, and in a thread: one operation at a time, and which generation asks for what."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple

from .exceptions import LeaseTimeoutError

__all__ = ["Generation", "Guard", "Notes", "first", "running"]


class Notes:
    """What a generation notes beside its payload."""

    def __init__(self, metrics: Mapping[str, Any] | None = None, tags: Iterable[str] = ()) -> None:
        self.metrics = dict(metrics or {})
        self.tags = list(tags)


class Guard:
    """One operation at a time on one object; an operation may lead to another one in its own thread."""

    __slots__ = ("lock", "notes", "owner", "patience", "pid")

    def __init__(self, owner: str, patience: float) -> None:
        self.lock = threading.RLock()
        self.notes: Notes | None = None  # of the generation that is running
        self.owner = owner
        self.patience = min(patience, threading.TIMEOUT_MAX)
        self.pid = os.getpid()

    def __enter__(self) -> Guard:
        if not self.lock.acquire(timeout=self.patience):
            raise LeaseTimeoutError(
                f"Waited {self.patience:.0f} s for another thread that is busy with {self.owner}. If two threads wait "
                f"for each other's payloads, declare these as dependencies."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.lock.release()


class Generation(NamedTuple):
    """A generation that runs in this thread: whose, and the keys of all that it may depend on."""

    payload_name: str
    keys: frozenset[str]


class _Running(threading.local):
    def __init__(self) -> None:
        self.generations: list[Generation] = []


running = _Running()
"""The generations of this thread, the innermost last."""

_first = threading.Lock()


def _renew_after_fork() -> None:
    global _first
    _first = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)


def first() -> threading.Lock:
    """Return the lock that is held while an object gets its guard: two threads may ask for it at once."""
    return _first
