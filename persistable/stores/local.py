"""LocalStore: a folder, on a disk of this machine or on a shared drive.

Nothing here trusts a lock. A small file appears whole, because it is written beside its place and then linked
(``create``) or renamed (``replace``) to it; of many callers of ``create``, one wins, because a link never
replaces. Modes are left to the umask and to set-gid folders, so that a group can share a folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from .._integrity import new_token
from .._mounts import NETWORK_FILE_SYSTEMS, file_system as _file_system
from ..exceptions import StoreError
from .base import Entry, Store, default_options, remove_tree

__all__ = ["LocalStore"]

_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_READ_ANYTHING = _READ | getattr(os, "O_NONBLOCK", 0)  # it may be a pipe that nobody writes to
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_SMALL = 16_384  # manifests are a few kB; a larger buffer costs more than a second read
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
_AWAY = {errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH}
"""What a shared drive answers while its server is away."""

_ATTEMPTS = 8
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")  # two letters at least: C:/ is a drive


class LocalStore(Store):
    """Artifacts in a folder.

    Parameters
    ----------
    path : str or Path
        The folder; made when something is first written to it.
    fsync : bool
        Whether every file is forced to the disk before the next step of a commit, so that a power cut cannot leave
        a manifest without its payload.
    **options
        As for :class:`~persistable.stores.Store`. The time to live of a lease is 30 s, and 120 s where the folder
        lies on a network file system, whose caches let others see a sign of life late.

    Raises
    ------
    StoreError
        If `path` is a URL.
    TypeError, ValueError
        If `path` is empty, or an option is not known, or has a value that makes no sense.

    Examples
    --------
    >>> import tempfile
    >>> store = LocalStore(tempfile.mkdtemp())
    >>> store.create("points/lease/0", b"mine"), store.create("points/lease/0", b"yours")
    (True, False)
    >>> store.read("points/lease/0")
    b'mine'
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = True, **options: Any) -> None:
        super().__init__(**options)
        name = os.fsdecode(path)
        if not name:
            raise ValueError("The path of the folder is empty. Pass '.' for the folder that the process is in.")
        if as_url(name) is not None:
            raise StoreError(
                f"{name!r} is a URL, and LocalStore is for folders. Pass the path of a folder (of a bucket, the one "
                f"that it is mounted at), or a Store of your own."
            )
        self.path = Path(os.path.abspath(os.path.expanduser(name)))
        self.fsync = fsync
        self._root = f"{self.path}/" if str(self.path) != "/" else "/"
        self._usual_time_to_live: float | None = None

    def __repr__(self) -> str:
        defaults = default_options(type(self))
        options = {name: getattr(self, name, default) for name, default in defaults.items()}
        options["time_to_live"] = self._time_to_live
        stated = [f", {name}={value!r}" for name, value in sorted(options.items()) if value != defaults[name]]
        return f"{type(self).__qualname__}({str(self.path)!r}{''.join(stated)})"

    @property
    def url(self) -> str:
        return str(self.path)

    @property
    def time_to_live(self) -> float:
        if self._time_to_live is not None:
            return self._time_to_live
        if self._usual_time_to_live is None:
            self._usual_time_to_live = 120.0 if _file_system(self.path) in NETWORK_FILE_SYSTEMS else 30.0
        return self._usual_time_to_live

    def read(self, path: str) -> bytes:
        for _ in range(_ATTEMPTS):
            try:
                return _read(self._root + path)
            except FileNotFoundError:
                raise
            except OSError as error:
                failure = error
                # Over NFS, a file that is replaced from another machine goes stale in the hands of its reader.
                if error.errno != errno.ESTALE:
                    break
        return self._fail("read", path, failure)

    def create(self, path: str, data: bytes) -> bool:
        with self._writing(path) as target:
            temporary = self._write_beside(target, data)
            try:
                created = self._link(temporary, target, data)
            finally:
                _unlink(temporary)
            if created:
                self._sync_folder(os.path.dirname(target))
        return created

    def replace(self, path: str, data: bytes) -> None:
        with self._writing(path) as target:
            temporary = self._write_beside(target, data)
            try:
                _rename(temporary, target)
            finally:
                _unlink(temporary)
            self._sync_folder(os.path.dirname(target))

    def list(self, folder: str) -> Iterator[Entry]:
        try:
            yield from _entries(self._root + folder, f"{folder}/" if folder else "")
        except NotADirectoryError as error:
            if not os.path.isdir(self.path):
                self._fail("list", folder, error)
        except OSError as error:
            self._fail("list", folder, error)

    def delete(self, path: str) -> None:
        target = self._root + path
        try:
            os.unlink(target)
        except FileNotFoundError:
            return
        except OSError as error:
            self._fail("delete", path, error)
        self._remove_empty_folders(os.path.dirname(target))

    def fetch(self, path: str, size: int | None = None) -> str:
        return self._root + path

    def put(self, local: str, path: str) -> None:
        target = self._root + path
        for attempt in range(_ATTEMPTS):
            source = local
            try:
                self._make_folder(os.path.dirname(target))
                if os.stat(local).st_dev != os.stat(os.path.dirname(target)).st_dev:
                    # A move would be a copy, and not atomic: copy beside, then rename.
                    source = f"{target}.{new_token()}.tmp"
                    from shutil import move

                    move(local, source)
                self.settle(source)
                _rename(source, target)
                self._sync_folder(os.path.dirname(target))
                return
            except OSError as error:
                if source != local:
                    with contextlib.suppress(OSError):
                        remove_tree(source)
                if isinstance(error, FileNotFoundError) and os.path.lexists(local) and attempt < _ATTEMPTS - 1:
                    continue  # another process has removed the folder, as an empty one
                self._remove_empty_folders(os.path.dirname(target))
                self._fail("write", path, error)

    def drop(self, path: str) -> None:
        target = self._root + path
        try:
            remove_tree(self._out_of_sight(target))
        except OSError as error:
            self._fail("delete", path, error)
        self._remove_empty_folders(os.path.dirname(target))

    def _out_of_sight(self, target: str) -> str:
        """Take a folder away from its readers in one step, and return where it is: they meet all of it, or nothing."""
        if not os.path.isdir(target) or os.path.islink(target):
            return target
        aside = f"{target}.{new_token()}.tmp"  # a name that is swept, should we be killed now
        try:
            os.rename(target, aside)
        except OSError:  # somebody has it open, on Windows; or it is gone
            return target
        return aside

    def local_path(self, path: str) -> str:
        return self._root + path

    def spool(self, path: str) -> str:
        folder, _, name = (self._root + path).rpartition("/")
        spool = f"{folder}/spool.{name}"  # on the same file system, so that put() is one atomic rename
        try:
            # Until the format writes, this file keeps others from removing the folder as an empty one.
            os.close(self._open_new(f"{spool}.tmp"))
        except OSError as error:
            self._fail("write", path, error)
        return spool

    def discard(self, spool: str) -> None:
        for left_over in (spool, f"{spool}.tmp"):
            with contextlib.suppress(OSError):  # swept later
                remove_tree(left_over)
        self._remove_empty_folders(os.path.dirname(spool))

    def _open_new(self, path: str) -> int:
        """Open a file that must not exist yet, and make the folder that it is in, if need be."""
        for _ in range(_ATTEMPTS):
            try:
                return os.open(path, _WRITE_NEW, 0o666)
            except FileNotFoundError:  # no folder yet; or no more, if another process removed it as empty
                self._make_folder(os.path.dirname(path))
        raise FileNotFoundError(errno.ENOENT, "the folder vanishes as soon as it is made", path)

    @contextlib.contextmanager
    def _writing(self, path: str) -> Iterator[str]:
        """Give the place of `path`; whatever goes wrong leaves no empty folder, and an OSError says what to do."""
        target = self._root + path
        try:
            yield target
        except BaseException as error:
            self._remove_empty_folders(os.path.dirname(target))
            if isinstance(error, OSError):
                self._fail("write", path, error)
            raise

    def _write_beside(self, target: str, data: bytes) -> str:
        """Write `data` to a new file beside `target`, down to the disk, and return where."""
        temporary = f"{target}.{new_token()}.tmp"
        try:
            self._write(self._open_new(temporary), data)
        except BaseException:
            _unlink(temporary)
            raise
        return temporary

    def _write(self, file: int, data: bytes) -> None:
        with open(file, "wb", buffering=0) as stream:
            view = memoryview(data)
            while view:
                view = view[stream.write(view) :]
            if self.fsync:
                os.fsync(stream.fileno())

    def _link(self, temporary: str, target: str, data: bytes) -> bool:
        try:
            os.link(temporary, target)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return self._create_without_links(target, data)
            # Over NFS a call that reports a failure may have happened; the count of links tells.
            if os.stat(temporary).st_nlink > 1:
                return True
            if isinstance(error, FileExistsError):
                return False
            raise
        return True

    def _create_without_links(self, target: str, data: bytes) -> bool:
        """Create on a file system without hard links (exFAT, some FUSE).

        Exclusive, but a reader may meet the file before its content. A manifest then fails its digest, and is read
        again (:mod:`persistable.artifacts`); a lease without content is one that gave no sign of life yet.
        """
        try:
            file = os.open(target, _WRITE_NEW, 0o666)
        except FileExistsError:
            return False
        try:
            self._write(file, data)
        except BaseException:
            _unlink(target)
            raise
        return True

    def _make_folder(self, folder: str) -> None:
        for _ in range(_ATTEMPTS):
            try:
                os.mkdir(folder)  # 0o777 less the umask; a set-gid parent hands its group down
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError):  # another process has just removed it as empty
                    if stat.S_ISDIR(os.stat(folder).st_mode):
                        return
                    raise NotADirectoryError(errno.ENOTDIR, "a file stands where a folder is needed", folder) from None
            except FileNotFoundError:
                self._make_folder(os.path.dirname(folder))
            else:
                self._sync_folder(os.path.dirname(folder))
                return

    def _remove_empty_folders(self, folder: str) -> None:
        while len(folder) > len(self._root):
            try:
                with contextlib.suppress(FileNotFoundError):  # the one above it may be there all the same
                    os.rmdir(folder)
            except OSError:
                return  # not empty, or not ours to remove
            folder = os.path.dirname(folder)

    def settle(self, path: str) -> None:
        """Force a file, or all of a folder, to the disk, as modified now: the ages of files are told by that."""
        if os.path.isdir(path):
            for name in os.listdir(path):
                self.settle(os.path.join(path, name))
            self._sync_folder(path)
        else:
            with contextlib.suppress(PermissionError):  # somebody else's file, that a format has moved in
                os.utime(path)
            self._sync(path)

    def _sync(self, path: str) -> None:
        if self.fsync:
            file = os.open(path, _READ)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _sync_folder(self, folder: str) -> None:
        if os.name == "posix":  # Windows has no handle for a folder, and keeps the order of its own accord
            try:
                self._sync(folder)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EACCES):  # not supported; gone; not readable
                    raise

    def _fail(self, action: str, path: str, error: OSError) -> NoReturn:
        reason = error.strerror or str(error)
        if isinstance(error, NotADirectoryError):
            remedy = (
                f"Something on the way to {self._root + path} is a file. Choose another data_dir, or move the file."
            )
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "Free some space, and try again; nothing half-written is left behind."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = (
                "Ask for the permission, or choose another data_dir. What lies there can be loaded with read "
                "permission alone; generate(persist=False) makes a payload without writing it."
            )
        else:
            remedy = "Check the drive and its connection."
        failure = StoreError(f"Cannot {action} {path!r} in the store {self.url}: {reason}. {remedy}")
        failure.errno = error.errno
        failure.transient = error.errno in _AWAY
        raise failure from error


def as_url(path: str) -> str | None:
    """Return the URL that `path` is, also if it went through a ``Path``, which makes ``s3:/`` of ``s3://``."""
    found = _URL.match(path) if ":/" in path else None
    if found is None:
        return None
    root = "/" if found[0].lower() == "file:/" else ""
    return f"{found[1].lower()}://{root}{path[found.end() :]}"


def _read(path: str) -> bytes:
    file = os.open(path, _READ_ANYTHING)
    try:
        data = os.read(file, _SMALL)
        if len(data) == _SMALL:  # a file ends where a read returns less than was asked for
            if not stat.S_ISREG(os.fstat(file).st_mode):  # and a device never
                raise OSError(errno.EINVAL, "not a regular file", path)
            pieces = [data]
            while piece := os.read(file, 1 << 20):
                pieces.append(piece)
            data = b"".join(pieces)
    finally:
        os.close(file)
    return data


def _rename(source: str, target: str) -> None:
    """Rename, over an older file if there is one; SMB and Windows refuse while a reader holds that one open."""
    for attempt in range(_ATTEMPTS):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if attempt == _ATTEMPTS - 1 or not os.path.isfile(target):
                raise
            time.sleep(0.01 * 2**attempt)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):  # gone already; or swept later, when the drive takes it
        os.unlink(path)


def _entries(folder: str, prefix: str) -> Iterator[Entry]:
    try:
        children = sorted(os.scandir(folder), key=lambda child: child.name)
    except FileNotFoundError:
        return  # removed since; others work here too
    for child in children:
        try:
            status = child.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if child.is_dir(follow_symlinks=False):
            empty = True
            for entry in _entries(child.path, f"{prefix}{child.name}/"):
                empty = False
                yield entry
            if empty:
                yield Entry(f"{prefix}{child.name}/", 0, status.st_mtime)
        else:
            yield Entry(f"{prefix}{child.name}", status.st_size, status.st_mtime)
