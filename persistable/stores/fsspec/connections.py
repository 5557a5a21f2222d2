"""The file systems of a client, as connections: who uses which, and what a fork means to them.

An asynchronous file system does its work in one thread of fsspec's, and serves all of ours. Of another kind, each
thread that makes a request has one to itself meanwhile: fsspec does not ask of them that threads may share one.

A process that is forked inherits the connections of its parent, and must neither use them nor end them: what it says on
one would be taken for the parent's word.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import problem_of

__all__ = ["Connections"]


class Connections:
    """File systems of one kind to one place, made as they are needed.

    Parameters
    ----------
    kind : type
        The class of fsspec's.
    options : mapping
        What it is made with.
    """

    def __init__(self, kind: Any, options: Mapping[str, Any]) -> None:
        self._kind = kind
        self._options = options
        self.idle: list[Any] = []
        self._making = threading.Lock()
        _HERE.add(self)

    @contextlib.contextmanager
    def lend(self) -> Iterator[Any]:
        """Give a file system for the time of one request."""
        if self._kind.async_impl:
            with self._making:
                if not self.idle:
                    self.idle.append(self.make())
            yield self.idle[0]
            return
        fs = self._take()
        try:
            yield fs
        except BaseException as error:
            if isinstance(error, Exception) and not problem_of(error, self._options).transient:
                self.idle.append(fs)
            else:  # half a conversation may be on its line
                self.close(fs)
            raise
        self.idle.append(fs)

    def _take(self) -> Any:
        while True:
            try:
                fs = self.idle.pop()
            except IndexError:
                return self.make()
            if self.is_alive(fs):
                return fs
            self.close(fs)

    # What a kind of file system may do in its own way

    def make(self) -> Any:
        return self.made_with(self._options)

    def made_with(self, options: Mapping[str, Any]) -> Any:
        fs = self._kind(**options, skip_instance_cache=True)
        # Not by the option use_listings_cache: not every class takes it.
        fs.dircache.use_listings_cache = False
        return fs

    def is_alive(self, fs: Any) -> bool:
        """Return False if the server, or the network, is known to have ended it."""
        return True

    def close(self, fs: Any) -> None:
        """End a connection, and say so to the server."""

    def abandon(self, fs: Any) -> None:
        """Forget, in a process that was forked, a connection that is the parent's."""


_HERE: weakref.WeakSet[Connections] = weakref.WeakSet()
_OF_PARENTS: list[Connections] = []
"""What is collected would be closed, and would say so on the parent's connections."""


def _after_fork() -> None:
    _OF_PARENTS.extend(_HERE)
    _HERE.clear()
    for connections in _OF_PARENTS:
        for fs in connections.idle:
            connections.abandon(fs)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
