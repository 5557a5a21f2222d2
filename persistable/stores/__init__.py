"""Places. Each is one class in one module, and one line in the table below."""

from __future__ import annotations

import os
from functools import lru_cache

from ..exceptions import StoreError
from .base import Entry, Store
from .local import LocalStore, as_url
from .wrapper import WrapperStore

__all__ = ["Entry", "LocalStore", "Store", "WrapperStore", "store_for"]


def store_for(data_dir: str | os.PathLike[str] | Store) -> Store:
    """Return the store that `data_dir` means: itself, or the folder at that path. Touches no disk.

    Raises
    ------
    StoreError
        If `data_dir` is a URL of a kind that no store serves.
    TypeError
        If it is neither a path, nor a URL, nor a store.
    ValueError
        If it is empty.
    """
    if isinstance(data_dir, Store):
        return data_dir
    try:
        path = os.fsdecode(data_dir)
    except TypeError:
        raise TypeError(
            f"data_dir must be a path, a URL or a Store, got a {type(data_dir).__qualname__}: {data_dir!r}."
        ) from None
    if os.path.isabs(path):
        return _store_at(path)
    if not path:
        raise ValueError("data_dir is empty. Pass '.' for the folder that the process is in.")
    # A relative path means the folder that it means now, wherever the process goes later.
    return _store_at(as_url(path) or os.path.abspath(os.path.expanduser(path)))


@lru_cache(maxsize=256)
def _store_at(path: str) -> Store:
    scheme, separator, rest = path.partition("://")
    if not separator:
        return LocalStore(path)
    if scheme == "file":
        return LocalStore(rest)
    raise StoreError(f"No store serves URLs that begin with {scheme}://. Pass a path, or a Store of your own.")
