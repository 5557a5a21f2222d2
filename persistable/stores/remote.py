"""RemoteStore: payloads and manifests behind a network, whatever the client library that reaches them.

A store of this kind is a :class:`Client`, which does single requests, and what is the same for all of them, here: a
payload is copied to a folder of the process to be read, in parts, several at once, and is copied from the spool to be
kept; what goes wrong is said in one way, with what to do about it, and never with what a request was signed with.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, TypeVar

from .._integrity import files_below
from .._progress import transfer
from ..exceptions import StoreError
from .base import Entry, Store, credentials_are_withheld
from .copies import Copies

__all__ = ["Client", "Problem", "RemoteStore", "check_url", "problem_of_status"]

PART = 16 * 2**20
"""Bytes of a part, where a payload is moved in parts."""

AT_ONCE = 8
"""How many parts, or small files, are under way at once: their bytes are all that is in memory of a payload."""

T = TypeVar("T")

_WRITE = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_of_this_process = Copies()


class Problem(NamedTuple):
    """What went wrong with a request, in words for people.

    Attributes
    ----------
    reason : str
        What was found; without credentials.
    remedy : str
        What to do now, in whole sentences.
    errno : int or None
        The nearest thing that an operating system would say.
    transient : bool
        Whether the same may work a moment later.
    """

    reason: str
    remedy: str
    errno: int | None = None
    transient: bool = False


class Client(ABC):
    """Requests to one place. Paths are relative to the store's root.

    A method raises FileNotFoundError if there is nothing at its path, and whatever the library raises otherwise:
    :meth:`problem` puts that into words. Each process has a client of its own.
    """

    @abstractmethod
    def get(self, path: str, etag: str | None = None) -> tuple[bytes, str | None] | None:
        """Return content and entity tag (None if the place knows none) of a small file; None if it is still `etag`."""

    @abstractmethod
    def get_part(self, path: str, start: int, stop: int | None) -> Any:
        """Return the bytes from `start` to before `stop`, or to the end, as a buffer; fewer if there are fewer."""

    @abstractmethod
    def size(self, path: str) -> int:
        """Return the size of a file, in bytes."""

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Write a small file that must not exist yet; return whether this call has."""

    @abstractmethod
    def put(self, path: str, data: bytes) -> None:
        """Write a small file, over an older one; readers see the one or the other."""

    @abstractmethod
    def upload(self, local: str, path: str, size: int, advance: Callable[[int], None]) -> None:
        """Write the local file `local`, of `size` bytes, to `path`, in constant memory.

        `advance` is called with each number of bytes that are done.
        """

    @abstractmethod
    def list(self, folder: str) -> Iterator[Entry]:
        """Yield every file below `folder`."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove a file; FileNotFoundError if there is none is fine."""

    @abstractmethod
    def problem(self, error: Exception) -> Problem:
        """Put into words what a method has raised."""


class RemoteStore(Store):
    """A store behind a network.

    Parameters
    ----------
    url : str
        Where it is, as it is shown to people: without user names' passwords, and without a query.
    **options
        As for :class:`~persistable.stores.Store`.
    """

    put_moves = False

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self.parallel = AT_ONCE
        self.copies = _of_this_process
        self._connected: tuple[int, Client] | None = None
        self._connecting = os.getpid(), threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        copies = None if self.copies is _of_this_process else self.copies  # another process has its own
        state = {**self.__dict__, "copies": copies, "_connected": None, "_connecting": None}
        return state | self._public_state() if credentials_are_withheld() else state

    def _public_state(self) -> dict[str, Any]:
        """Return what takes the place of attributes with credentials in them, where those are to be left out."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.copies = self.copies or _of_this_process
        self._connecting = os.getpid(), threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({self.url!r})"  # options of the storage may hold credentials

    @property
    def url(self) -> str:
        return self._url

    @property
    def endpoint(self) -> str | None:
        """Which of the places that have this URL, where there may be several."""
        return None

    @abstractmethod
    def connect(self) -> Client:
        """Return a new client, for this process."""

    @property
    def client(self) -> Client:
        """The client of this process; made at the first request."""
        connected = self._connected
        if connected is None or connected[0] != os.getpid():
            if self._connecting[0] != os.getpid():  # forked: it may have been held by a thread that is not here
                self._connecting = os.getpid(), threading.Lock()
            with self._connecting[1]:
                connected = self._connected
                if connected is None or connected[0] != os.getpid():
                    connected = self._connected = os.getpid(), self.connect()
        return connected[1]

    # Small files

    def read(self, path: str) -> bytes:
        found = self._do("read", path, lambda client: client.get(path))
        assert found is not None  # that is for those who give a tag
        return found[0]

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        return self._do("read", path, lambda client: client.get(path, etag))

    def create(self, path: str, data: bytes) -> bool:
        return self._do("write", path, lambda client: client.create(path, data))

    def replace(self, path: str, data: bytes) -> None:
        self._do("write", path, lambda client: client.put(path, data))

    def list(self, folder: str) -> Iterator[Entry]:
        client = self.client
        try:
            yield from client.list(folder)
            return
        except Exception as error:
            failure = self._failure(client, "list", folder, error)
        if not isinstance(failure, FileNotFoundError):
            raise failure

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._do("delete", path, lambda client: client.delete(path))

    # Payloads

    def fetch(self, path: str, size: int | None = None) -> str:
        local = self.copies.new(os.path.basename(path))
        try:
            if size is not None:
                self._download({path: (local, size)})
            elif entries := [entry for entry in self.list(path) if _is_plain(entry.path)]:
                files = {entry.path: (f"{local}{entry.path[len(path) :]}", entry.size) for entry in entries}
                for folder in {os.path.dirname(file) for file, _ in files.values()}:
                    os.makedirs(folder, exist_ok=True)
                self._download(files)
            else:
                self._download({path: (local, self._do("read", path, lambda client: client.size(path)))})
        except BaseException:
            self.copies.remove(local)
            raise
        return local

    def release(self, local: str) -> None:
        self.copies.remove(local)

    def put(self, local: str, path: str) -> None:
        try:
            if os.path.isdir(local):
                files = {name: (file, os.path.getsize(file)) for name, file in files_below(local)}
                files = {f"{path}/{name}": found for name, found in files.items()}
            else:
                files = {path: (local, os.path.getsize(local))}
        except OSError as error:
            raise self._failure(self.client, "write", path, error) from None
        if not files:
            raise StoreError(f"The payload for {path!r} is a folder without files, and {self.url} keeps files only.")
        self._upload(files)

    def drop(self, path: str) -> None:
        self._at_once(self.delete, [(entry.path,) for entry in self.list(path)])
        self.delete(path)

    def spool(self, path: str) -> str:
        return self.copies.new(os.path.basename(path))

    def discard(self, spool: str) -> None:
        self.copies.remove(spool)

    def _download(self, files: Mapping[str, tuple[str, int]]) -> None:
        """Copy remote files to local paths, given with the sizes that are expected."""

        def part(path: str, local: str, start: int, stop: int | None) -> None:
            data = self._do("read", path, lambda client: client.get_part(path, start, stop))
            try:
                descriptor = os.open(local, _WRITE, 0o666)
            except FileNotFoundError as error:  # and not the payload, which would be corrupt then
                raise StoreError(f"The folder for temporary files is gone: {os.path.dirname(local)}.") from error
            with open(descriptor, "wb", buffering=0) as file:
                file.seek(start)
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            advance(len(data))

        parts: list[tuple[str, str, int, int | None]] = []
        for path, (local, size) in files.items():
            if size <= PART:  # whole: some servers answer a range that is the whole with the wrong status
                parts.append((path, local, 0, None))
            else:
                parts += [(path, local, start, start + PART) for start in range(0, size, PART)]
        with transfer(f"{_name_in(files)} from {self.url}", sum(size for _, size in files.values())) as advance:
            self._at_once(part, parts)

    def _upload(self, files: Mapping[str, tuple[str, int]]) -> None:
        def upload(path: str, local: str, size: int) -> None:
            self._do("write", path, lambda client: client.upload(local, path, size, advance))

        with transfer(f"{_name_in(files)} to {self.url}", sum(size for _, size in files.values())) as advance:
            small = [(path, local, size) for path, (local, size) in files.items() if size <= PART]
            for path, (local, size) in files.items():
                if size > PART:  # its parts are uploaded several at once
                    upload(path, local, size)
            self._at_once(upload, small)

    def _at_once(self, work: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
        """Do all tasks, several at once; raise what one of them raises, and begin no more then."""
        if len(tasks) <= 1:  # no threads for what is small
            for task in tasks:
                work(*task)
            return
        with ThreadPoolExecutor(min(self.parallel, len(tasks)), "persistable transfer") as pool:
            try:
                futures = [pool.submit(work, *task) for task in tasks]
            except RuntimeError:  # no threads are to be had, as at the end of the interpreter
                for task in tasks:
                    work(*task)
                return
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    # What goes wrong

    def _do(self, action: str, path: str, request: Callable[[Client], T]) -> T:
        client = self.client
        try:
            return request(client)
        except Exception as error:
            failure = self._failure(client, action, path, error)
        # Out here, so that it has no context: what libraries say may show what a request was signed with.
        raise failure

    def _failure(self, client: Client, action: str, path: str, error: Exception) -> FileNotFoundError | StoreError:
        """Return what to raise: FileNotFoundError only if it is a file that is missing, and not the bucket."""
        problem = client.problem(error)
        missing = isinstance(error, FileNotFoundError) and problem.errno == errno.ENOENT
        if missing and action != "write":
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._connected = None  # credentials and endpoints that are corrected in the environment count at the next try
        place = f"{self.url} at {self.endpoint}" if problem.transient and self.endpoint else self.url
        failure = StoreError(f"Cannot {action} {path!r} in the store {place}: {problem.reason}. {problem.remedy}")
        failure.errno = problem.errno
        failure.transient = problem.transient
        return failure


def check_url(scheme: str, rest: str, *, is_bucket: bool) -> None:
    """Raise StoreError for what must not stand in a URL, and do not repeat it: it may be a password, or a signature.

    Parameters
    ----------
    scheme, rest : str
        What is before and after ``://``.
    is_bucket : bool
        Whether nobody logs in by the URL, as over SFTP.
    """
    if "?" in rest or "#" in rest:
        raise StoreError(f"The {scheme}:// URL of a store has neither '?' nor '#': give options as storage_options.")
    if is_bucket and "@" in rest.partition("/")[0]:
        raise StoreError("The URL of a bucket must not hold credentials: give them as storage_options, key and secret.")


def _name_in(files: Mapping[str, object]) -> str:
    """Return the name of the payload that files are of: what their paths begin with."""
    return next(iter(files)).partition("/")[0]


def _is_plain(path: str) -> bool:
    """Return whether a listed path is that of a file which has its place below that of its folder.

    Not ``x/``, an empty folder or its marker; and not ``x/../y`` or ``x//y``, which a bucket, or a server, may well
    have, and which would be written to elsewhere on this machine.
    """
    return os.path.normpath(path) == path


_DENIED = (
    "Ask for the permission, or choose another data_dir. README, Share artifacts, lists the permissions that are "
    "needed; without the one to list the bucket, S3 says the same of a file that is not there."
)
_CREDENTIALS = "Renew or correct the credentials: storage_options, the environment, or the profile that they come from."
_AWAY = "Check the connection and the endpoint; then try again."
_BUSY = "Try again later."
_BUCKET = "Check the URL and the endpoint, or make the bucket: that is not done for you."

_CODES = {
    # what S3 and its look-alikes say: errno, transient, remedy
    "NoSuchBucket": (errno.ENODEV, False, _BUCKET),
    "AccessDenied": (errno.EACCES, False, _DENIED),
    "AllAccessDisabled": (errno.EACCES, False, _DENIED),
    "ExpiredToken": (errno.EACCES, False, _CREDENTIALS),
    "ExpiredTokenException": (errno.EACCES, False, _CREDENTIALS),
    "TokenRefreshRequired": (errno.EACCES, False, _CREDENTIALS),
    "InvalidToken": (errno.EACCES, False, _CREDENTIALS),
    "InvalidAccessKeyId": (errno.EACCES, False, _CREDENTIALS),
    "SignatureDoesNotMatch": (errno.EACCES, False, _CREDENTIALS),
    "RequestTimeTooSkewed": (errno.EACCES, False, "Set the clock of this machine."),
    "PermanentRedirect": (errno.EINVAL, False, "Name the region of the bucket, in storage_options or AWS_REGION."),
    "AuthorizationHeaderMalformed": (
        errno.EINVAL,
        False,
        "Name the region of the bucket, in storage_options or AWS_REGION.",
    ),
    "RequestTimeout": (errno.ETIMEDOUT, True, _AWAY),  # with the status 400
    "QuotaExceeded": (errno.EDQUOT, False, "Free some space, and try again; nothing half-written is left behind."),
}

_NO_FILE = (None, "NoSuchKey", "BlobNotFound")
"""What is said of a file that is not there: with any other word, it is the bucket that is missing, or what not."""

_STATUSES = {
    401: (errno.EACCES, False, _CREDENTIALS),
    403: (errno.EACCES, False, _DENIED),
    404: (errno.ENODEV, False, _BUCKET),
    408: (errno.ETIMEDOUT, True, _AWAY),
    409: (errno.EBUSY, True, _BUSY),
    412: (errno.EBUSY, True, _BUSY),
    429: (errno.EBUSY, True, _BUSY),
    501: (errno.EOPNOTSUPP, False, "The server does not know a request that a store needs: use another one."),
    507: (errno.ENOSPC, False, "Free some space, and try again; nothing half-written is left behind."),
}


def problem_of_status(status: int | None, code: str | None, message: str) -> Problem:
    """Return what a server's answer means.

    Parameters
    ----------
    status : int or None
        Of HTTP.
    code : str or None
        The word that S3 and its look-alikes answer with, such as ``"NoSuchBucket"``.
    message : str
        What the server says about it.
    """
    said = ": ".join(filter(None, [" ".join(filter(None, [str(status or ""), code])), message.rstrip(". \n")]))
    if code in _CODES:
        number, transient, remedy = _CODES[code]
    elif status == 404 and code in _NO_FILE:
        number, transient, remedy = errno.ENOENT, False, _BUCKET
    elif status in _STATUSES:
        number, transient, remedy = _STATUSES[status]
    elif status is not None and status >= 500:
        number, transient, remedy = errno.EIO, True, _BUSY
    elif status is None:
        number, transient, remedy = errno.EIO, True, _AWAY
    else:
        number, transient, remedy = errno.EIO, False, "Check the URL, the endpoint and the storage_options."
    return Problem(said or "no reason is given", remedy, number, transient)
