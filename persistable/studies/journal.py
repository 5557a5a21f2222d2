"""The journal of a search that runs: Optuna's journal file, safe from workers that are killed.

The file and its lock are Optuna's own: one JSON object a line, and ``<journal>.lock`` beside it, which exists while
somebody writes. A bare study, or optuna-dashboard, can use the journal at the same time. What is added here:

- **A torn tail is cut.** A worker that is killed in the middle of a write leaves half a line; the next one would append
  to it, and the two together are unreadable for ever. So whoever has the lock, and is about to write, cuts the file
  after its last newline. Readers, who take no lock, are safe: they count a line only when it ends with a newline, and
  so no place that they remember lies in the tail.
- **A dead writer's lock is removed at once.** Optuna waits for 30 seconds. Here a lock says who holds it, and one whose
  holder has died on this machine is worth nothing. Of a lock from elsewhere, or of bare Optuna, nothing is known, and
  the 30 seconds are waited out.
- **Nobody releases the lock of another**, who may have it now because we were paused for too long.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import struct
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any, Final

from .._processes import is_dead, this_process
from ..exceptions import MissingDependencyError, StudyError

try:
    from optuna.storages.journal import JournalFileBackend, JournalStorage
    from optuna.storages.journal._file import BaseJournalFileLock
except ModuleNotFoundError as error:
    raise MissingDependencyError.of("optuna", extra="optuna", purpose="A study") from error

__all__ = ["JournalBackend", "JournalLock", "check_journal", "open_journal", "set_aside"]

GRACE: Final = 30.0
"""Seconds after which the lock of somebody unknown, that nothing has happened under, is taken away, as by Optuna."""

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.25
_WARN_AFTER: Final = 10.0
_SQLITE: Final = b"SQLite format 3\0"
_APPEND: Final = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_logger = logging.getLogger("persistable.studies")


def open_journal(path: Path) -> JournalStorage:
    """Return the storage on the journal at `path`, an absolute path; make the file and its folder if need be.

    Raises
    ------
    StudyError
        If the journal cannot be opened, or a line of it cannot be read.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backend = JournalBackend(path)
        backend.mend()
        check_journal(path)
    except OSError as error:
        raise StudyError(f"The journal {path} cannot be opened: {error}") from error
    try:
        return JournalStorage(backend)
    except (AssertionError, LookupError, TypeError, ValueError) as error:  # lines that are JSON, but make no sense
        raise StudyError(
            f"The journal {path} does not tell of studies as Optuna writes them ({type(error).__name__}: {error}). "
            f"{_WAYS_OUT}"
        ) from error


def set_aside(path: Path, study_name: str) -> Path:
    """Move the journal at `path` to a name beside it that says when, and return that."""
    if not path.exists():
        raise StudyError(f"There is no journal of {study_name} at {path} to be set aside.")
    now = datetime.now(UTC)
    names = (f"{path.stem}-{now:%Y%m%dT%H%M%SZ}{f'-{n}' if n else ''}{path.suffix}" for n in count())
    try:
        with JournalLock(path):  # nobody is in the middle of a write; who writes later finds it gone, and says so
            aside = next(place for name in names if not (place := path.with_name(name)).exists())
            path.rename(aside)
    except OSError as error:
        raise StudyError(f"The journal of {study_name}, {path}, cannot be set aside: {error}") from error
    return aside


_WAYS_OUT: Final = (
    "Mend the file by hand, or set it aside by moving it away: the search then goes on from the last payload that was "
    "committed, if there is one, and else from nothing."
)


def check_journal(path: Path) -> None:
    """Look at each whole line of a journal.

    Raises
    ------
    StudyError
        If one is nothing that Optuna writes; names the first.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break  # somebody is writing it
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict) and "op_code" in entry:
                continue
            if number == 1 and line.startswith(_SQLITE[: len(line)]):
                raise StudyError(f"{path} is an SQLite database, and no journal. Pass storage='sqlite:///{path}'.")
            raise StudyError(
                f"{path}, line {number}: this is no entry of a journal, which is a JSON object with an 'op_code': "
                f"{_shown(line)}. {_WAYS_OUT}"
            )


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace").rstrip("\n")
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


class JournalBackend(JournalFileBackend):
    """Optuna's journal file, whose torn tail is cut before anything is added.

    Parameters
    ----------
    path : Path
        The file, by an absolute path; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), JournalLock(path))
        self._path = path

    def mend(self) -> None:
        """Cut a torn tail off, if nobody is writing it."""
        with JournalLock(self._path), self._opened() as file:
            self._cut(file.fileno())

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the entries from a number on."""
        try:
            yield from super().read_logs(log_number_from)
        except FileNotFoundError as error:
            raise StudyError(self._gone()) from error
        except ValueError:
            check_journal(self._path)  # says which line it is
            raise

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries, and see them on the disk."""
        lines = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)
        with JournalLock(self._path), self._opened() as file:
            if self._cut(file.fileno()) < next(reversed(self._log_number_offset.values())):
                raise StudyError(
                    f"The journal {self._path} is shorter than what has been read of it: another one is in its place. "
                    f"Start this worker again."
                )
            rest = memoryview(lines)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())

    def _opened(self) -> FileIO:
        """Open the journal to be read, and to be added to: a writer that was paused too long overwrites nothing."""
        try:
            # It is not made anew: without its beginning a journal tells nothing.
            return open(os.open(self._path, _APPEND), "rb+", buffering=0)
        except FileNotFoundError as error:
            raise StudyError(self._gone()) from error

    def _cut(self, file: int) -> int:
        """Cut a torn tail off, under the lock; return the size of what is whole."""
        size = os.fstat(file).st_size
        whole = _whole(file, size)
        if whole < size:
            os.ftruncate(file, whole)
            _logger.warning(
                "The last line of %s was torn, by a worker that was killed while it wrote: cut off %d bytes.",
                self._path,
                size - whole,
            )
        return whole

    def _gone(self) -> str:
        return f"The journal {self._path} is gone: it was set aside or removed while the search was running."


def _whole(file: int, size: int) -> int:
    """Return where the last whole line of a file ends."""
    chunk = 1
    end = size
    while end > 0:
        start = max(0, end - chunk)
        os.lseek(file, start, os.SEEK_SET)
        newline = os.read(file, end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end, chunk = start, 65_536
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# The lock


class JournalLock(BaseJournalFileLock):
    """Optuna's lock of a journal file, which says who holds it.

    It is a symbolic link, or a file where there are no such links (FAT, Windows, some shares); whoever makes it has the
    lock, for nobody can make it twice. Optuna's own locks make the same name, so that all exclude each other.

    Where the link leads matters to Optuna: a waiter looks at the time of the last change there, and one that is
    waiting at a link to nowhere never sleeps. So the link leads to the journal, and who holds the lock stands in how
    the way is spelled: ``./`` for a one and ``/`` for a zero, before the name of the file. It is there from the moment
    that the lock is, and costs no second file.

    Only the lock of a process that is dead for certain is removed before its time, and what is dead makes no new one.
    Two who want to remove it must not both do so: the second would remove the lock of whoever came in between. All who
    can know that the holder is dead are on its machine, and there the kernel lets one of them in at a time.
    """

    def __init__(self, path: Path) -> None:
        self._journal = str(path)
        self._lock_file = f"{path}.lock"
        self._mine = b""
        self._link = ""

    def __enter__(self) -> JournalLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> bool:
        """Wait for the lock, and take it."""
        self._mine = _identity()
        self._link = _spelled(self._journal, self._mine)
        try:
            self._wait()
        except BaseException:  # Ctrl-C; we are alive, and would be waited for
            if self._holder() == self._mine:
                os.unlink(self._lock_file)
            raise
        return True

    def _wait(self) -> None:
        pulse: object = None
        began = since = time.monotonic()
        warn_at, pause = _WARN_AFTER, _FIRST_PAUSE
        while not self._make():
            holder = self._holder()
            if (found := (holder, self._changed())) != pulse:
                pulse, since = found, time.monotonic()
            now = time.monotonic()
            if holder is not None and _is_dead(holder):
                self._remove(holder)
            elif now - since > GRACE:
                _logger.warning("Nothing has happened under %s for %.0f s: it is removed.", self._lock_file, GRACE)
                self._remove(holder, overdue=True)
            elif now - began > warn_at:
                _logger.warning("Waiting for %s for %.0f s.", self._lock_file, now - began)
                warn_at *= 2
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def release(self) -> None:
        """Give the lock back, unless somebody else has it now."""
        if self._is_as_made() or self._holder() in (self._mine, None):  # None: some drives spell links in another way
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._lock_file)
        else:
            _logger.warning("%s was taken from a process that was paused while it wrote.", self._lock_file)

    def _make(self) -> bool:
        """Make the lock; return whether that worked."""
        try:
            if os.name == "posix":
                try:
                    os.symlink(self._link, self._lock_file)
                    return True
                except FileExistsError:
                    return False
                except OSError:  # no such links here; or else the next call fails too, and says why
                    _logger.debug("No symbolic link at %s.", self._lock_file, exc_info=True)
            file = os.open(self._lock_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with open(file, "wb") as content:
            content.write(self._mine)
        return True

    def _is_as_made(self) -> bool:
        """Whether the lock is the very link that was made here, which need not be read to know its holder."""
        try:
            return os.readlink(self._lock_file) == self._link
        except OSError:
            return False

    def _holder(self) -> bytes | None:
        """Who holds the lock, as far as it says."""
        try:
            return _read(os.readlink(self._lock_file))
        except FileNotFoundError:
            return None
        except OSError:  # a file
            try:
                content = Path(self._lock_file).read_bytes()
            except OSError:
                return None
            return content if len(content) == _IDENTITY.size else None

    def _changed(self) -> tuple[int, ...]:
        """When something happened last under the lock."""
        with contextlib.suppress(OSError):
            lock = os.lstat(self._lock_file)
            return lock.st_ino, lock.st_mtime_ns, os.stat(self._journal).st_mtime_ns
        return ()

    def _remove(self, holder: bytes | None, *, overdue: bool = False) -> None:
        """Remove the lock of a holder that is dead, or has had it for too long, if it has it still."""
        with self._alone() as alone:
            if (alone or overdue) and self._holder() == holder:
                with contextlib.suppress(OSError):  # gone meanwhile
                    os.unlink(self._lock_file)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Enter as the only process of this machine that removes this lock; the value is whether that is so.

        The kernel forgets a file lock with the process that has it, so that this one needs no remover.
        """
        with contextlib.ExitStack() as stack:
            try:
                import fcntl

                file = stack.enter_context(open(self._journal, "rb+", buffering=0))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (ImportError, OSError):  # no such locks here; or somebody else is at it
                yield False
            else:
                yield True


_IDENTITY = struct.Struct(">8sQQ8s")  # machine, pid, start of the process, and a token of this one acquisition
_BITS = 8 * _IDENTITY.size
_SPELLED = re.compile(rf"((?:\.?/){{{_BITS}}})[^/]+$")


def _identity() -> bytes:
    return _process(os.getpid()) + secrets.token_bytes(8)


@lru_cache(maxsize=1)
def _process(pid: int) -> bytes:
    me = this_process()
    return _IDENTITY.pack(_machine(me), pid, me["started"] or 0, b"")[:-8]


def _machine(process: dict[str, Any]) -> bytes:
    return sha256(f"{process['machine']} {process['host']}".encode()).digest()[:8]


def _is_dead(identity: bytes) -> bool:
    machine, pid, started, _ = _IDENTITY.unpack(identity)
    me = this_process()
    return machine == _machine(me) and is_dead({**me, "pid": pid, "started": started or None})


def _spelled(path: str, identity: bytes) -> str:
    """Return another way to write an absolute path, in which `identity` stands."""
    folder, name = os.path.split(path)
    steps = f"{int.from_bytes(identity):0{_BITS}b}".replace("0", "/").replace("1", "./")
    return f"{folder.rstrip('/')}/./{steps}{name}"  # two slashes at the very beginning might mean something else


def _read(path: str) -> bytes | None:
    """Return the identity that stands in a path; None if there is none."""
    match = _SPELLED.search(path)
    if match is None:
        return None
    bits = match[1].replace("./", "1").replace("/", "0")
    return int(bits, 2).to_bytes(_IDENTITY.size)
