"""Places. Each is one class in one module, and one line in the table below.

The modules of places behind a network are imported when such a place is first asked for, and their libraries when the
first request is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import PosixPath, WindowsPath
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..exceptions import MissingDependencyError, StoreError
from .base import Entry, Store
from .local import LocalStore, as_url
from .wrapper import WrapperStore

if TYPE_CHECKING:
    from .cached import CachedStore as CachedStore
    from .fsspec import FsspecStore as FsspecStore
    from .objects import ObjectStore as ObjectStore
    from .read_only import ReadOnlyStore as ReadOnlyStore
    from .retry import RetryStore as RetryStore

_MODULES = {
    "CachedStore": "cached",
    "FsspecStore": "fsspec",
    "ObjectStore": "objects",
    "ReadOnlyStore": "read_only",
    "RetryStore": "retry",
}

__all__ = ["Entry", "LocalStore", "Store", "WrapperStore", "store_for", *_MODULES]


class UniversalPath(Protocol):
    """What a UPath of universal_pathlib is to us: a URL, with its storage options."""

    @property
    def storage_options(self) -> Mapping[str, Any]: ...

    @property
    def protocol(self) -> str: ...


DataDir: TypeAlias = "str | os.PathLike[str] | UniversalPath | Store"
"""Where artifacts are."""

_LIKE_A_URL = re.compile(r"\s+\w+://|(?P<scheme>s3a?|gcs?|gs|az|abfss?|sftp|ssh):(?!/)|arn:aws:s3:", re.IGNORECASE)
"""What would quietly make a folder of that name here: s3:bucket, s3:\\bucket, a blank in front, the name of AWS."""

_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "sftp": "sftp",
    "ssh": "sftp",
}
"""What to install for URLs that begin so."""

_PLAIN = {str, PosixPath, WindowsPath}

CACHE_DIR = "PERSISTABLE_CACHE_DIR"
"""The environment variable that names the folder in which stores behind a network are cached."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def store_for(
    data_dir: DataDir,
    *,
    storage_options: Mapping[str, Any] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Store:
    """Return the store that `data_dir` means. Nothing is touched, on a disk or in a network.

    Parameters
    ----------
    data_dir : str, path or Store
        The path of a folder; a URL, such as ``s3://bucket/prefix`` or ``sftp://host/folder``; a UPath, with its
        storage options; or a store, which is returned as it is.
    storage_options : mapping, optional
        Credentials, endpoint, timeouts, for a URL: see :class:`~persistable.stores.ObjectStore` and
        :class:`~persistable.stores.FsspecStore`.
    cache_dir : path, optional
        A folder on this machine in which what was read or written is kept, for a URL or a store: see
        :class:`~persistable.stores.CachedStore`. For URLs, the environment variable ``PERSISTABLE_CACHE_DIR`` is the
        default.

    Raises
    ------
    StoreError
        If `data_dir` is a URL of a kind that no store serves.
    MissingDependencyError
        If the library that serves it is not installed.
    TypeError
        If it is neither a path, nor a URL, nor a store; or storage options are given for a folder.
    ValueError
        If it is empty.

    Examples
    --------
    >>> store_for("memory://team/artifacts")
    FsspecStore('memory://team/artifacts')
    """
    if isinstance(data_dir, Store):
        if storage_options:
            raise TypeError("storage_options are for a URL: this data_dir is a store, which has its own.")
        return _cached(data_dir, cache_dir)
    if data_dir.__class__ not in _PLAIN and hasattr(data_dir, "storage_options") and hasattr(data_dir, "path"):
        storage_options = {**data_dir.storage_options, **(storage_options or {})}
        data_dir = str(data_dir)
    try:
        path = os.fsdecode(data_dir)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"data_dir must be a path, a URL or a Store, got a {type(data_dir).__qualname__}: {data_dir!r}."
        ) from None
    if os.path.isabs(path):
        url = None
    elif not path:
        raise ValueError("data_dir is empty. Pass '.' for the folder that the process is in.")
    elif (like := _LIKE_A_URL.match(path)) is not None:
        raise StoreError(
            f"data_dir looks like a URL that was mistyped: it begins with {like[0]!r}. A URL begins with "
            f"{(like['scheme'] or 's3').lower()}://, and a folder of such a name with ./"
        )
    elif "::" in path and "://" in path:
        raise StoreError(
            "Chained URLs, such as simplecache::s3://…, are not served: pass the last one, and cache_dir=."
        )
    elif (url := as_url(path)) is None:
        # A relative path means the folder that it means now, wherever the process goes later.
        path = os.path.abspath(os.path.expanduser(path))
    elif url.startswith("file://"):
        path, url = url.removeprefix("file://"), None
    if url is None:
        if storage_options:
            raise TypeError(f"storage_options are for a URL: {path} is a folder.")
        store: Store = _folder(path)
        return _cached(store, cache_dir)
    said = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_WHAT_CLOUDS_ARE_TOLD)))
    store = _at_url(url, _Options(storage_options or {}), said)
    return _cached(store, os.environ.get(CACHE_DIR) if cache_dir is None else cache_dir)


@lru_cache(maxsize=256)
def _folder(path: str) -> Store:
    return LocalStore(path)


class _Options(dict[str, Any]):
    """Storage options by which a store is found again, so that it keeps its connections."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(sorted(self.items())))


_WHAT_CLOUDS_ARE_TOLD = ("AWS_", "AZURE_", "GOOGLE_")
"""How the names of variables begin that say who we are, and where: with others, it is another store."""


@lru_cache(maxsize=256)
def _at_url(url: str, storage_options: _Options, environment: tuple[tuple[str, str], ...]) -> Store:
    from . import fsspec, objects

    scheme = url.partition("://")[0]
    if objects.serves(scheme, storage_options):
        return objects.ObjectStore(url, storage_options=storage_options)
    if find_spec("fsspec") is None and scheme in _EXTRAS:
        package = "paramiko" if scheme in ("sftp", "ssh") else "obstore"
        raise MissingDependencyError.of(package, extra=_EXTRAS[scheme], purpose=f"A data_dir at {scheme}://")
    if scheme in objects.SCHEMES or fsspec.knows(scheme):
        return fsspec.FsspecStore(url, storage_options=storage_options)
    raise StoreError(f"No store serves URLs that begin with {scheme}://. Pass a path, or a Store of your own.")


def _cached(store: Store, cache_dir: str | os.PathLike[str] | None) -> Store:
    """Return `store`, cached below `cache_dir` if that is not None or empty."""
    folder = os.fsdecode(cache_dir) if cache_dir is not None else ""
    if as_url(folder):
        raise StoreError("cache_dir is a folder on this machine, and no URL.")
    return _cached_below(store, os.path.abspath(os.path.expanduser(folder))) if folder else store


@lru_cache(maxsize=256)
def _cached_below(store: Store, folder: str) -> Store:
    from .cached import CachedStore

    return CachedStore.below(store, folder)
