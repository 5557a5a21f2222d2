"""ReadOnlyStore: a store around another one, that is read and never written, whatever the permissions would allow."""

from __future__ import annotations

import errno
from typing import NoReturn

from ..exceptions import StoreError
from .wrapper import WrapperStore

__all__ = ["ReadOnlyStore"]


class ReadOnlyStore(WrapperStore):
    """All that `inner` holds, to be read only.

    Hits are served. A miss says so before anything is generated; ``generate(persist=False)`` makes a payload without
    writing it.

    Parameters
    ----------
    inner : Store
        The store that is not to be written.

    Raises
    ------
    StoreError
        At every attempt to write, with the errno EROFS.

    Examples
    --------
    >>> import tempfile
    >>> from persistable.stores import LocalStore
    >>> team = LocalStore(tempfile.mkdtemp())
    >>> team.replace("points/a", b"content")
    >>> store = ReadOnlyStore(team)
    >>> store.read("points/a")
    b'content'
    >>> store.delete("points/a")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    persistable.exceptions.StoreError: Cannot delete 'points/a' in the store ...: it is a ReadOnlyStore. ...
    """

    def create(self, path: str, data: bytes) -> NoReturn:
        self._refuse("write", path)

    def replace(self, path: str, data: bytes) -> NoReturn:
        self._refuse("write", path)

    def delete(self, path: str) -> NoReturn:
        self._refuse("delete", path)

    def put(self, local: str, path: str) -> NoReturn:
        self._refuse("write", path)

    def drop(self, path: str) -> NoReturn:
        self._refuse("delete", path)

    def spool(self, path: str) -> NoReturn:
        self._refuse("write", path)

    def _refuse(self, action: str, path: str) -> NoReturn:
        failure = StoreError(
            f"Cannot {action} {path!r} in the store {self.url}: it is a ReadOnlyStore. What lies there can be loaded, "
            f"and generate(persist=False) makes a payload without writing it. To persist, pass the store itself, or "
            f"another one, as data_dir."
        )
        failure.errno = errno.EROFS
        raise failure
