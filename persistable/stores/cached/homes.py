"""All other small files: leases, probes, logs, params. They are written there, or here while nobody can be told there.

Nothing of them is cached. A lease, or a probe, has a home: it stays where it was created, and beats there, because
elsewhere nobody looks for it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from ...exceptions import StoreError
from ..base import Store
from .folder import CacheFolder
from .outage import Outage

__all__ = ["Homes"]

T = TypeVar("T")


class Homes:
    """The small files of both levels that are no manifests, and where those are that this process has claimed.

    Parameters
    ----------
    remote, cache, outage
        The two levels, and which of them is to be asked.
    insists : bool
        Whether to refuse a claim of which others cannot be told.
    """

    def __init__(self, remote: Store, cache: CacheFolder, outage: Outage, insists: bool) -> None:
        self._remote = remote
        self._cache = cache
        self._outage = outage
        self._insists = insists
        self._homes: dict[str, Store] = {}  # path -> where a claim of ours was created

    def __reduce__(self) -> tuple[type[Homes], tuple[Store, CacheFolder, Outage, bool]]:
        return Homes, (self._remote, self._cache, self._outage, self._insists)  # the claims are this process's own

    def read(self, path: str) -> bytes:
        return self._at_home(path, lambda: self._remote.read(path), lambda: self._cache.local.read(path))

    def create(self, path: str, data: bytes) -> bool:
        is_claim = "/lease/" in path or "/probe." in path

        def create(store: Store) -> bool:
            created = store.create(path, data)
            if created and is_claim:
                self._homes[path] = store
            return created

        def here() -> bool:
            if self._insists and is_claim:
                raise StoreError(
                    f"The store {self._remote.url} is out of reach, so that nobody else could be told who makes this "
                    f"artifact, and single_flight=True asks for that. Wait until it is back; or leave "
                    f"single_flight=True out."
                )
            return _write(lambda: create(self._cache.local))

        return self._at_home(path, lambda: create(self._remote), here)

    def replace(self, path: str, data: bytes) -> None:
        self._at_home(
            path,
            lambda: self._remote.replace(path, data),
            lambda: _write(lambda: self._cache.local.replace(path, data)),
        )

    def delete(self, path: str) -> None:
        try:
            self._at_home(path, lambda: self._remote.delete(path), lambda: self._cache.local.delete(path))
        finally:
            self._homes.pop(path, None)

    def _at_home(self, path: str, there: Callable[[], T], here: Callable[[], T]) -> T:
        """Do something there, or here while that is out of reach; but with what is claimed, only where it is."""
        home = self._homes.get(path)
        if home is self._cache.local:
            return here()
        if home is None:
            return self._outage.either(there, here, quietly=True)
        if not self._outage.is_reachable:
            raise self._outage.error()
        return self._outage.there(there)


def _write(write: Callable[[], T]) -> T:
    """Write a small file that is nothing but itself; once more, if its folder was evicted that very moment."""
    try:
        return write()
    except StoreError as error:
        if error.errno != errno.ENOENT:
            raise
        return write()
