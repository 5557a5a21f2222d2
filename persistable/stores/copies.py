"""Copies of payloads that are a process's own: here to be read, and gone when the process is.

A process that is killed removes nothing. So each folder of copies holds a file that its process keeps locked, and who
makes a folder beside it removes those whose lock nobody holds any more. These are locks on a disk of this machine, and
all that depends on one is when a copy is removed, or whether work is done twice.

A process that is forked inherits the lock with the open file: what it was given to read stays until it is gone too.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator

from .._integrity import new_token
from .base import remove_tree

try:
    import fcntl
except ImportError:  # Windows: what a killed process has left stays, as other temporary files do
    fcntl = None  # type: ignore[assignment]

__all__ = ["Copies", "locked"]

_PREFIX = "persistable-copies-"
_OWNER = ".owner"
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)

_making = threading.RLock()  # held while a process is forked, so that the other one never finds it taken
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


class Copies:
    """Folders for this process, in `parent`.

    Parameters
    ----------
    parent : str, optional
        Where they are; the folder for temporary files if not given, or if nothing can be written there.
    """

    def __init__(self, parent: str | None = None) -> None:
        self._parent = parent
        self._pid = os.getpid()
        self._folders: tuple[str, ...] = ()  # the last one is in use

    def __reduce__(self) -> tuple[type[Copies], tuple[str | None]]:
        return Copies, (self._parent,)

    def new(self, name: str) -> str:
        """Return a new path, whose last part ends with `name`."""
        return f"{self._folder()}/{new_token()}{new_token()}-{name}"

    def remove(self, path: str) -> None:
        """Remove what is at a path that :meth:`new` returned; what cannot be removed goes with the process."""
        with contextlib.suppress(OSError):
            remove_tree(path)

    def holds(self, path: str) -> bool:
        """Return whether `path` is one that :meth:`new` returned in this process."""
        return self._pid == os.getpid() and any(path.startswith(f"{folder}/") for folder in self._folders)

    def retreat(self) -> bool:
        """Make what is new in the folder for temporary files, as `parent` has no room; return whether that differs."""
        retreats, self._parent = self._parent is not None, None
        if retreats:
            with _making:
                self._folders = (*self._folders, _make_folder(tempfile.gettempdir()))
        return retreats

    def _folder(self) -> str:
        if self._pid == os.getpid() and self._folders and os.path.isdir(self._folders[-1]):
            return self._folders[-1]
        with _making:
            if self._pid != os.getpid():  # forked: the folders there are its parent's
                self._pid, self._folders = os.getpid(), ()
            if not self._folders or not os.path.isdir(self._folders[-1]):
                try:
                    folder = _make_folder(self._parent or tempfile.gettempdir())
                except OSError:
                    if self._parent is None:
                        raise
                    folder = _make_folder(tempfile.gettempdir())
                self._folders = (*self._folders, folder)
            return self._folders[-1]


@contextlib.contextmanager
def locked(path: str, patience: float) -> Iterator[bool]:
    """Hold the lock file at `path`, against other threads too; say whether it was to be had within so many seconds.

    It is not waited for without end: a process that was forked at a bad moment may hold it without knowing.
    """
    file = os.open(path, _OPEN, 0o666)
    try:
        held, until = _try_to_lock(file), time.monotonic() + patience
        while not held and time.monotonic() < until:
            time.sleep(0.005)
            held = _try_to_lock(file)
        try:
            yield held
        finally:
            if held and fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_UN)  # to close it is not enough, if it was inherited meanwhile
    finally:
        os.close(file)


def _try_to_lock(file: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(parent: str) -> str:
    os.makedirs(parent, exist_ok=True)
    _sweep(parent)
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        # Who sweeps takes the lock before it removes anything. If it was faster, all of this is gone again, and the
        # file that we have locked has no name any more.
        try:
            owner = os.open(os.path.join(folder, _OWNER), _OPEN, 0o600)
        except FileNotFoundError:
            continue
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks; who sweeps will not get it either
                fcntl.flock(owner, fcntl.LOCK_EX)
        if os.fstat(owner).st_nlink:
            break
        os.close(owner)
    atexit.register(_end, os.getpid(), folder, owner)
    return folder


def _end(pid: int, folder: str, owner: int) -> None:
    if pid == os.getpid():  # not in a process that was forked, whose exit calls this too
        with contextlib.suppress(OSError):
            os.close(owner)
        _remove_if_left(folder)


def _sweep(parent: str) -> None:
    """Remove the folders of processes that are gone."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            # In a folder that others can write to, too, what is theirs is none of our business.
            if entry.name.startswith(_PREFIX) and _is_our_folder(entry):
                _remove_if_left(entry.path)


def _is_our_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
    except OSError:
        return False


def _remove_if_left(folder: str) -> None:
    """Remove a folder of copies whose lock nobody holds: its process is gone, and those forked from it."""
    with contextlib.suppress(OSError), locked(os.path.join(folder, _OWNER), 0.0) as is_left:
        if is_left:
            remove_tree(folder)
