"""WrapperStore: a store around another one, which retries, only reads, counts, or fails on purpose.

A wrapper overrides what it changes; the rest, and the options, are the wrapped store's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .base import Entry, Store

if TYPE_CHECKING:
    from . import DataDir

__all__ = ["WrapperStore"]


class WrapperStore(Store):
    """All that `inner` does.

    Parameters
    ----------
    inner : Store, path or URL
        The wrapped store. Its options hold for the wrapper too.
    """

    def __init__(self, inner: DataDir) -> None:
        if not isinstance(inner, Store):
            from . import store_for

            inner = store_for(inner)
        super().__init__(
            verify=inner.verify,
            single_flight=inner.single_flight,
            patience=inner.patience,
            leftovers_after=inner.leftovers_after,
        )
        self.inner = inner

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({self.inner!r})"

    @property
    def put_moves(self) -> bool:  # type: ignore[override]
        return self.inner.put_moves

    @property
    def time_to_live(self) -> float:
        return self.inner.time_to_live

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def place(self) -> str:
        return self.inner.place

    def read(self, path: str) -> bytes:
        return self.inner.read(path)

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        return self.inner.read_if_changed(path, etag)

    def create(self, path: str, data: bytes) -> bool:
        return self.inner.create(path, data)

    def replace(self, path: str, data: bytes) -> None:
        self.inner.replace(path, data)

    def list(self, folder: str) -> Iterator[Entry]:
        return self.inner.list(folder)

    def delete(self, path: str) -> None:
        self.inner.delete(path)

    def fetch(self, path: str, size: int | None = None) -> str:
        return self.inner.fetch(path, size)

    def hold(self, local: str) -> str:
        return self.inner.hold(local)

    def release(self, local: str) -> None:
        self.inner.release(local)

    def forget(self, path: str) -> bool:
        return self.inner.forget(path)

    def put(self, local: str, path: str) -> None:
        self.inner.put(local, path)

    def drop(self, path: str) -> None:
        self.inner.drop(path)

    def local_path(self, path: str) -> str | None:
        return self.inner.local_path(path)

    def spool(self, path: str) -> str:
        return self.inner.spool(path)

    def settle(self, spool: str) -> None:
        self.inner.settle(spool)

    def discard(self, spool: str) -> None:
        self.inner.discard(spool)
