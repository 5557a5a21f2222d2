"""SFTP, through paramiko's client, to which fsspec has logged in.

A small file is written beside its place, and then renamed to it: exclusively by SFTP's own rename, which OpenSSH does
as link and unlink, or over an older file by OpenSSH's extension. Folders come and go with their files: whoever removes
the last file of one removes it too, and whoever is about to write there makes it again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import stat
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any

from ..._integrity import new_token
from ...exceptions import StoreError
from ..base import Entry
from .client import FsspecClient
from .connections import Connections

__all__ = ["SftpClient"]

_TRIES_IN_A_FOLDER = 32  # a round trip lies between making a folder and writing to it: others may remove it meanwhile
_TRIES_IN_VAIN = 8
_SILENCE = 60.0  # seconds without a word from a server
_PIECE = 256 * 1024  # bytes; paramiko joins what it reads to what it has, piece by piece
_POLICIES = ("reject", "warning", "auto_add")  # for host keys


class _Logins(Connections):
    """Each one is a connection of its own, with a thread of paramiko's that listens to it."""

    def __init__(self, kind: Any, options: Mapping[str, Any]) -> None:
        super().__init__(kind, options)
        weakref.finalize(self, _close_all, self.idle, os.getpid())

    def make(self) -> Any:
        from .login import Login

        login = Login(self._options)
        try:
            fs = self.made_with(login.options)
            fs.ftp.get_channel().settimeout(_SILENCE)
            return fs
        except BaseException as error:
            refusal = login.refusal(error)
            login.end()
            if refusal is not None:
                raise refusal from None
            raise

    def is_alive(self, fs: Any) -> bool:
        transport = fs.client.get_transport()
        return transport is not None and transport.is_active()

    def close(self, fs: Any) -> None:
        _close(fs)

    def abandon(self, fs: Any) -> None:
        transport = fs.client.get_transport()
        if transport is not None:  # it must not say goodbye in the parent's name
            transport.active = False
            transport.sock.close()


def _close(fs: Any) -> None:
    with contextlib.suppress(Exception):
        fs.client.close()


def _close_all(idle: list[Any], pid: int) -> None:
    if pid == os.getpid():
        for fs in idle:
            _close(fs)


class SftpClient(FsspecClient):
    """Requests by paramiko's client."""

    connected_by = _Logins

    @classmethod
    def check(cls, shown: str, options: Mapping[str, Any]) -> None:
        if not options.get("host"):
            raise StoreError(f"The URL {shown!r} names no host: {shown.partition(':')[0]}://host/folder.")
        policy = options.get("host_key_policy")
        if isinstance(policy, str) and policy not in _POLICIES:
            raise StoreError(
                f"There is no host_key_policy {policy!r}: it is one of {', '.join(map(repr, _POLICIES))}, or a "
                "paramiko.MissingHostKeyPolicy."
            )

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        with self.file_system() as fs:
            yield fs.ftp

    def get(self, path: str, etag: str | None = None) -> tuple[bytes, str | None] | None:
        return self.get_part(path, 0, None), None

    def get_part(self, path: str, start: int, stop: int | None) -> bytes:
        with self._session() as ftp, ftp.open(self.at(path), "rb") as file:
            size = file.stat().st_size
            stop = size if stop is None else min(stop, size)
            pieces = [(place, min(_PIECE, stop - place)) for place in range(start, stop, _PIECE)]
            return b"".join(file.readv(pieces))

    def size(self, path: str) -> int:
        with self._session() as ftp:
            found = ftp.stat(self.at(path))
        if stat.S_ISDIR(found.st_mode or 0):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return int(found.st_size)

    def create_or_raise(self, path: str, data: bytes) -> None:
        target = self.at(path)
        with self._session() as ftp, _beside(ftp, target, data) as temporary:
            for last in (False, False, True):
                try:
                    ftp.rename(temporary, target)
                    return
                except OSError:
                    # SFTP has no word for a file that exists: "Failure" may be anything, or one that is gone since.
                    if _mode(ftp, target):
                        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
                    if last:
                        raise

    def put(self, path: str, data: bytes) -> None:
        target = self.at(path)
        with self._session() as ftp, _beside(ftp, target, data) as temporary:
            ftp.posix_rename(temporary, target)

    def upload(self, local: str, path: str, size: int, advance: Callable[[int], None]) -> None:
        target, done = self.at(path), 0

        def transferred(count: int, of: int) -> None:
            nonlocal done
            advance(count - done)
            done = count

        def write() -> None:
            file.seek(0)
            ftp.putfo(file, target, size, transferred)

        with open(local, "rb") as file, self._session() as ftp:
            try:
                _in_folder(ftp, target, write)
            except BaseException:
                with contextlib.suppress(Exception):  # swept later
                    ftp.remove(target)
                raise

    def list(self, folder: str) -> Iterator[Entry]:
        with self._session() as ftp:
            yield from tuple(_entries(ftp, self.at(folder) if folder else self.root or "/", folder))

    def delete(self, path: str) -> None:
        target = self.at(path).rstrip("/")
        with self._session() as ftp:
            try:
                ftp.remove(target)
                target = os.path.dirname(target)
            except FileNotFoundError:
                return
            except OSError:
                if not stat.S_ISDIR(_mode(ftp, target)):
                    raise
            self._remove_empty_folders(ftp, target)

    def _remove_empty_folders(self, ftp: Any, folder: str) -> None:
        while len(folder) > len(self.root):
            try:
                with contextlib.suppress(FileNotFoundError):  # the one above it may be there all the same
                    ftp.rmdir(folder)
            except OSError:
                return  # not empty, or not ours to remove
            folder = os.path.dirname(folder)


@contextlib.contextmanager
def _beside(ftp: Any, target: str, data: bytes) -> Iterator[str]:
    """Write `data` to a new file beside `target`, and give its path; it is removed if it is still there at the end."""
    temporary = f"{target}.{new_token()}.tmp"
    try:
        _in_folder(ftp, target, lambda: ftp.putfo(BytesIO(data), temporary))
        yield temporary
    except BaseException:
        with contextlib.suppress(Exception):  # renamed; or swept later
            ftp.remove(temporary)
        raise


def _in_folder(ftp: Any, target: str, write: Callable[[], object]) -> None:
    """Write something beside `target`, and make the folder if need be, and again, if others remove it as empty."""
    for attempt in range(_TRIES_IN_A_FOLDER):
        try:
            write()
            return
        except FileNotFoundError:
            if attempt > 2:
                time.sleep(0.01 * random.random())
            _make_folder(ftp, os.path.dirname(target))
    raise OSError(errno.EBUSY, "the folder vanishes as soon as it is made")


def _make_folder(ftp: Any, folder: str) -> None:
    parent, in_vain = os.path.dirname(folder), 0
    for attempt in range(_TRIES_IN_A_FOLDER):
        try:
            ftp.mkdir(folder)  # 0o777 less the umask there
            return
        except FileNotFoundError:
            if parent != folder and not stat.S_ISDIR(_mode(ftp, parent)):
                _make_folder(ftp, parent)
                continue
            in_vain += 1  # it may have been made in between; but a place such as /proc says so for ever
            if in_vain == _TRIES_IN_VAIN:
                raise PermissionError(errno.EACCES, f"the server makes no folder in {parent}", folder) from None
            time.sleep(0.01 * random.random())
        except OSError as error:
            mode = _mode(ftp, folder)
            if stat.S_ISDIR(mode):
                return
            if mode:
                raise NotADirectoryError(errno.ENOTDIR, "a file stands where a folder is needed", folder) from None
            if isinstance(error, PermissionError) or attempt == _TRIES_IN_A_FOLDER - 1:
                raise
            # "Failure" may have meant that it was there, and others have removed it since.
    raise OSError(errno.EBUSY, "the folder vanishes as soon as it is made")


def _mode(ftp: Any, path: str) -> int:
    """Return the mode of what is at `path`; 0 if there is nothing."""
    try:
        return ftp.stat(path).st_mode or stat.S_IFREG
    except FileNotFoundError:
        return 0


def _entries(ftp: Any, folder: str, name: str) -> Iterator[Entry]:
    try:
        children = ftp.listdir_attr(folder)
    except FileNotFoundError:
        return  # removed since; or never there; or a file, as OpenSSH says it
    except OSError:
        if stat.S_ISDIR(_mode(ftp, folder)):
            raise
        return
    for child in children:
        path = f"{name}/{child.filename}" if name else child.filename
        if stat.S_ISDIR(child.st_mode or 0):
            below = tuple(_entries(ftp, f"{folder.rstrip('/')}/{child.filename}", path))
            yield from below or (Entry(f"{path}/", 0, float(child.st_mtime or 0)),)
        else:
            yield Entry(path, child.st_size or 0, float(child.st_mtime or 0))
