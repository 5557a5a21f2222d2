"""Manifests: each is asked for each time, and goes where its payload went.

What the remote store says is noted in the folder of this machine, for the next time that it is out of reach; what is
written while it is out of reach is marked first, and published later.
"""

from __future__ import annotations

import contextlib

from ..._integrity import digest
from ...exceptions import StoreError
from ..base import Store
from .folder import CacheFolder
from .layout import MANIFEST, REMOTE, UNPUBLISHED
from .outage import Outage, require_drive
from .publishing import Publisher
from .sending import Sender

__all__ = ["Manifests"]


class Manifests:
    """The manifests of both levels, by the folder of the artifact."""

    def __init__(self, remote: Store, cache: CacheFolder, outage: Outage, sender: Sender, publisher: Publisher) -> None:
        self._remote = remote
        self._cache = cache
        self._outage = outage
        self._sender = sender
        self._publisher = publisher

    def read(self, folder: str) -> bytes:
        return self._outage.either(lambda: self._ask(folder), lambda: self._cache.local.read(f"{folder}/{MANIFEST}"))

    def create(self, folder: str, data: bytes) -> bool:
        path = f"{folder}/{MANIFEST}"

        def there() -> bool:
            self._sender.send_payload_of(folder, data)
            created = self._remote.create(path, data)
            if created:
                self._keep(folder, data)
            return created

        def here() -> bool:
            with self._cache.locked():
                if self._cache.has(path):
                    return False
                self._publisher.mark(folder, data)
                return self._cache.durable.create(path, data)

        created = self._outage.either(there, here)
        if created:
            self._sender.settle_payload_of(folder, data)
        return created

    def replace(self, folder: str, data: bytes) -> None:
        path = f"{folder}/{MANIFEST}"

        def there() -> None:
            self._sender.send_payload_of(folder, data)
            self._remote.replace(path, data)
            self._keep(folder, data)

        def here() -> None:
            with self._cache.locked():
                self._publisher.mark(folder, data)
                self._cache.durable.replace(path, data)

        self._outage.either(there, here)
        self._sender.settle_payload_of(folder, data)

    def delete(self, folder: str) -> None:
        path = f"{folder}/{MANIFEST}"

        def refuse_unless_only_here() -> None:
            if self._cache.kept(f"{folder}/{UNPUBLISHED}") != b"" and self._cache.has(path):
                raise self._outage.error()

        self._outage.either(lambda: self._remote.delete(path), refuse_unless_only_here)
        for name in (MANIFEST, REMOTE, UNPUBLISHED):
            self._cache.local.delete(f"{folder}/{name}")

    def _keep(self, folder: str, manifest: bytes) -> None:
        """Keep a manifest that has just been written to the remote store."""
        with contextlib.suppress(StoreError), self._cache.locked():
            self._cache.local.delete(f"{folder}/{UNPUBLISHED}")
            self._cache.note(folder, manifest)

    # Reading, while the remote store is within reach

    def _ask(self, folder: str) -> bytes:
        """Return the manifest that counts, and note it."""
        path = f"{folder}/{MANIFEST}"
        mark = self._cache.kept(f"{folder}/{UNPUBLISHED}")
        if mark is not None and (ours := self._cache.kept(path)) is not None:
            return self._ask_for_other(folder, ours, mark)
        seen = self._cache.seen(folder)
        try:
            found = self._remote.read_if_changed(path, seen.etag if seen else None)
        except FileNotFoundError:
            if seen is not None or self._cache.has(path):  # removed there since
                require_drive(self._remote)
                with contextlib.suppress(StoreError), self._cache.locked():
                    self._cache.room.evict(folder)
            raise
        if found is None:
            assert seen is not None  # for it has given the tag
            return seen.manifest
        with contextlib.suppress(StoreError), self._cache.locked():
            self._cache.note(folder, *found)
        return found[0]

    def _ask_for_other(self, folder: str, ours: bytes, instead_of: bytes) -> bytes:
        """Return a manifest that is only here: ours, or that of somebody who has made the artifact meanwhile."""
        try:
            theirs = self._remote.read(f"{folder}/{MANIFEST}")
        except FileNotFoundError:
            return ours
        if theirs == ours or digest(theirs).encode() == instead_of:
            return ours  # it is published when its payload is fetched
        with contextlib.suppress(StoreError), self._cache.locked():
            self._publisher.give_up(folder, ours)
            self._cache.note(folder, theirs)
        return theirs
