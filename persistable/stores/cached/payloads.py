"""Payloads: fetched once, and served from the folder of this machine as long as they are in it.

Whoever fetches a payload reads a copy of its own, to which the folder has a link: so nothing that is evicted is taken
from a reader. One that is served from the folder may be gone before it is read; then it is forgotten, and fetched anew.
"""

from __future__ import annotations

import contextlib
import errno
import os

from ...exceptions import StoreError
from ..base import Store
from .folder import CacheFolder
from .layout import split
from .links import copy_payload, link_payload, size_of
from .outage import Outage
from .publishing import Publisher
from .sending import Sender

__all__ = ["Payloads"]


class Payloads:
    """The payloads of both levels. What a method promises is said in :class:`~persistable.stores.Store`."""

    def __init__(self, remote: Store, cache: CacheFolder, outage: Outage, sender: Sender, publisher: Publisher) -> None:
        self._remote = remote
        self._cache = cache
        self._copies = cache.copies
        self._outage = outage
        self._sender = sender
        self._publisher = publisher

    def fetch(self, path: str, size: int | None) -> str:
        kept, folder = self._cache.local.fetch(path), split(path)[0]
        if self._cache.has(path):
            with contextlib.suppress(OSError):
                os.utime(self._cache.local.fetch(folder))  # the time of its last use
            if folder and self._cache.is_marked(folder):
                self._publisher.publish_in_passing(folder)
            return kept

        def there() -> str:
            copy = self._copy_of(path, size)
            if self._copies.holds(copy):
                self._cache.adopt(copy, path)
            return copy

        def here() -> str:
            if not self._outage.offline:  # it may well be there: by no means is the artifact a damaged one
                raise self._outage.error()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

        return self._outage.either(there, here)

    def _copy_of(self, path: str, size: int | None) -> str:
        """Return a copy of a remote payload for this process; of a drive, if there is no room, the payload itself."""
        try:
            found = self._remote.fetch(path, size)
        except (StoreError, FileNotFoundError):
            raise
        except OSError:  # the disk of the cache is full
            if not self._copies.retreat():
                raise
            return self._remote.fetch(path, size)
        if self._copies.holds(found) or not os.path.lexists(found):
            return found
        copy = self._copies.new(os.path.basename(path))  # of a shared drive
        try:
            copy_payload(found, copy)
        except OSError:
            self._copies.remove(copy)
            return found
        self._remote.release(found)
        return copy

    def hold(self, local: str) -> str:
        if self._copies.holds(local):
            return local
        if not self._cache.holds(local):
            return self._remote.hold(local)
        held = self._copies.new(os.path.basename(local))
        try:
            link_payload(local, held)
        except OSError:  # evicted this very moment: that will show when it is read; or no room for a link
            self._copies.remove(held)
            return local
        return held

    def release(self, local: str) -> None:
        if self._copies.holds(local):
            self._copies.remove(local)
        elif not self._cache.holds(local):
            self._remote.release(local)

    def forget(self, path: str) -> bool:
        if self._cache.is_marked(split(path)[0]):
            return False  # there is no other
        self._cache.forget(path)
        self._remote.forget(path)
        return self._outage.is_reachable

    def put(self, local: str, path: str) -> None:
        def there() -> bool:
            self._sender.send(local, path)
            self._cache.adopt(local, path)  # a link: what is left at `local` is the caller's to discard
            return True

        def here() -> bool:
            with self._cache.locked():
                if os.path.lexists(local):
                    self._cache.room.admit(size_of(local))
                self._cache.durable.put(local, path)
            return False

        self._sender.begin(local, path, lambda: self._outage.either(there, here))

    def drop(self, path: str) -> None:
        self._outage.either(lambda: self._remote.drop(path), lambda: None, quietly=True)
        self._cache.forget(path)
        self._sender.settle(path)

    def spool(self, path: str) -> str:
        return self._copies.new(os.path.basename(path))  # removed, whenever this process may be killed

    def settle(self, spool: str) -> None:
        if not self._outage.is_reachable:
            self._cache.durable.settle(spool)

    def discard(self, spool: str) -> None:
        self._copies.remove(spool)
