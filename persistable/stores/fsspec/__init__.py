"""FsspecStore: whatever fsspec knows: S3 through s3fs, SFTP, memory, Google, Azure, and many more.

fsspec has one interface, and as many meanings of it as file systems. What a store promises is kept in their own ways by
S3 (a conditional PUT), SFTP (a rename that never replaces) and memory: each has a client in a module of its own.
Another file system is asked to create a file, and believed only as far as ``persistable.artifacts.probe`` finds that it
keeps the word.

Never a handle for writing of fsspec's: one that is closed by an exception commits what was written so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...exceptions import MissingDependencyError, StoreError
from ..remote import Client, RemoteStore, check_url
from .client import FsspecClient
from .memory import MemoryClient
from .s3 import S3Client
from .sftp import SftpClient

__all__ = ["FsspecStore", "knows"]

_CLIENTS: dict[str, type[FsspecClient]] = {
    # by the name of fsspec's class, whose package may not be installed
    "S3FileSystem": S3Client,
    "SFTPFileSystem": SftpClient,
    "MemoryFileSystem": MemoryClient,
}

_EXTRAS = {"s3fs": "s3", "paramiko": "sftp"}
_PUBLIC = ("endpoint_url", "anon", "profile", "key_filename", "port", "project", "account_name")
"""The options that say where a store is, and hold no secret."""


class FsspecStore(RemoteStore):
    """Artifacts in a place that fsspec knows.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/prefix``, ``sftp://user@host/folder``, ``gs://bucket/prefix``, ``abfs://container/prefix``
        or ``memory://folder``. A bucket must be there; folders are made. It has neither ``?`` nor ``#``.
    storage_options : mapping, optional
        What the file system of fsspec takes: credentials, endpoint, timeouts. It enters no manifest, no log and no
        error.
    **options
        As for :class:`~persistable.stores.Store`.

    Raises
    ------
    MissingDependencyError
        If fsspec, or the package with the file system (s3fs, paramiko, gcsfs, adlfs, …), is not installed.
    StoreError
        If `url` is not one, names no host, bucket or folder, or is of a kind that fsspec does not know.

    Notes
    -----
    ``create`` is exclusive on S3, on SFTP where the server does not rename over a file (OpenSSH does not), in memory,
    and where the file system knows ``pipe_file(mode="create")`` itself (gcsfs, adlfs). Elsewhere two processes could
    both create a file: the first generation finds that out, and asks for ``single_flight=False``.

    Over SFTP, the key of the host must be in ``~/.ssh/known_hosts`` or ``/etc/ssh/ssh_known_hosts``, as it is once ssh
    has logged in there. ``storage_options={"host_key_policy": "auto_add"}`` accepts a host that is not known, and
    ``"warning"`` too, with a warning; a key other than the known one is never accepted. A
    ``paramiko.MissingHostKeyPolicy`` replaces all of this by what it says.

    Examples
    --------
    >>> store = FsspecStore("memory://team/artifacts")
    >>> store.create("points/lease/0", b"mine"), store.create("points/lease/0", b"yours")
    (True, False)
    >>> store.read("points/lease/0")
    b'mine'
    """

    def __init__(self, url: str, *, storage_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        self._place = _parsed(url, storage_options or {})
        super().__init__(self._place.shown, **options)
        if not _file_system_class(self._place.protocol).async_impl:
            self.parallel = 1  # each thread would need a connection of its own; the heartbeat of a lease has one

    def _public_state(self) -> dict[str, Any]:
        options = {name: self._place.options[name] for name in _PUBLIC if name in self._place.options}
        return {"_place": _parsed(self.url, options)}

    def connect(self) -> Client:
        kind = _file_system_class(self._place.protocol)
        return _client_class(kind)(kind, self._place.root, self._place.options)


def knows(scheme: str) -> bool:
    """Return whether fsspec has a file system for URLs that begin so; True if fsspec is not here to be asked."""
    try:
        import fsspec  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return True
    return scheme in fsspec.available_protocols()


class _Place(NamedTuple):
    """What a URL says.

    Attributes
    ----------
    protocol : str
        As fsspec names it.
    root : str
        As its file system names it: ``bucket/prefix``, ``/folder``; no slash behind it.
    shown : str
        The URL, as people may see it.
    options : dict
        What its file system is made with.
    """

    protocol: str
    root: str
    shown: str
    options: dict[str, Any]


def _parsed(url: str, storage_options: Mapping[str, Any]) -> _Place:
    protocol, separator, rest = url.partition("://")
    if not separator or "::" in protocol:
        raise StoreError("FsspecStore takes a single URL, such as s3://bucket/prefix or sftp://host/folder.")
    kind = _file_system_class(protocol)
    is_s3 = _client_class(kind) is S3Client
    check_url(protocol, rest, is_bucket=is_s3)
    host, slash, path = rest.partition("/")
    login, _, server = host.rpartition("@")
    user = login.partition(":")[0]
    shown = f"{protocol}://{user}{'@' if user else ''}{server}{slash}{path}".rstrip("/")
    found = kind._strip_protocol(url)
    root = found.rstrip("/")
    if not (root or (found and host)) or (root.startswith("/") and is_s3):
        raise StoreError(f"The URL {shown!r} names no bucket and no folder: {protocol}://…/folder.")
    options = {**kind._get_kwargs_from_urls(url), **storage_options}
    _client_class(kind).check(shown, options)
    return _Place(protocol, root, shown, options)


def _file_system_class(protocol: str) -> Any:
    """Return the class of fsspec's that serves URLs of this kind."""
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise MissingDependencyError.of("fsspec", extra="fsspec", purpose="FsspecStore") from error
    try:
        return fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise StoreError(f"fsspec has no file system for URLs that begin with {protocol}://.") from None
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or protocol
        if package in _EXTRAS:
            raise MissingDependencyError.of(package, extra=_EXTRAS[package], purpose="FsspecStore") from error
        raise MissingDependencyError(
            f"FsspecStore needs {package!r} for {protocol}://, which is not installed. Install it with: "
            f"pip install {package}"
        ) from error


def _client_class(kind: type) -> type[FsspecClient]:
    """Return the class of our client for a file system of fsspec's, or for one that is derived from it."""
    return next((_CLIENTS[base.__name__] for base in kind.__mro__ if base.__name__ in _CLIENTS), FsspecClient)
