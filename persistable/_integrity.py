"""Payload files that are checked before anything believes them.

Integrity is XXH3-128: it runs at memory speed, so that a verified load costs no more than an unverified one
elsewhere. It answers "are these the bytes that were written?", never "which artifact is this?" (that is
SHA-256, in :mod:`persistable.keys`).

A :class:`StoredPayload` is what a FileIO loads from: a local file or folder, and what the manifest says about
it. However a FileIO reads it, the digest is compared on the very handle that the bytes came from, and before
they are deserialised.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from xxhash import xxh3_128, xxh3_128_hexdigest

from ._threads import meanwhile
from .exceptions import ArtifactCorruptError, StoreError

ALGORITHM = "xxh3:"
"""Prefix of every digest in a manifest: the algorithm is written beside the value."""

Verify: TypeAlias = Literal["digest", "size"]
"""How much of a payload file is checked: its bytes, or its length only."""

_CHUNK = 1 << 20  # fits the second-level cache: hashed while it is still there
_HALVED_FROM = 32 << 20
_MAPPED_FROM = 1 << 20  # below this, one read is cheaper than a mapping

LEFT_BY_FILE_MANAGERS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What Finder and Explorer write into any folder that someone looks at: it says nothing about the payload in it."""

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Not blocking, because what lies there may be a pipe that nobody writes to; to a file it makes no difference."""

_seen: dict[tuple[int, int, int, int], str] = {}
"""(device, inode, mtime in ns, size) -> digest of the large files that this process has already read through."""


def new_token() -> str:
    """Return eight hexadecimal digits that nobody has used here before: the infix of a file that is written."""
    return os.urandom(4).hex()


def digest(data: bytes | memoryview | mmap.mmap) -> str:
    """Return the digest of `data`, with its algorithm.

    >>> digest(b"")
    'xxh3:99aa06d3014798d86001c324468d497f'
    """
    return ALGORITHM + xxh3_128_hexdigest(data)


def digest_file(path: str | os.PathLike[str], opener: Callable[[str, int], int] | None = None) -> tuple[int, str]:
    """Return size in bytes, and digest, of the file at `path`, in constant memory; `opener` as for ``open``."""
    hasher, size, buffer = xxh3_128(), 0, bytearray(_CHUNK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0, opener=opener or _opener) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        while count := file.readinto(buffer):
            hasher.update(view[:count])
            size += count
    return size, ALGORITHM + hasher.hexdigest()


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | _OPEN_FLAGS)


def files_below(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yield (POSIX path relative to `folder`, path) of every file below it, sorted, so that order never varies."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            for name, path in files_below(entry.path):
                yield f"{entry.name}/{name}", path
        else:
            yield entry.name, entry.path


def digest_of_files(files: Mapping[str, tuple[int, str]]) -> str:
    """Return the digest of a folder, from the size and digest of each of its files."""
    lines = (f"{len(name)}:{name} {size} {file_digest}\n" for name, (size, file_digest) in sorted(files.items()))
    return digest("".join(lines).encode("utf-8", "surrogatepass"))


def digest_payload(path: str) -> tuple[int, str, dict[str, tuple[int, str]] | None]:
    """Return size in bytes, digest and (of a folder) files of a payload that has just been written to `path`."""
    if not os.path.isdir(path):
        return *digest_file(path), None
    files = {name: digest_file(file) for name, file in files_below(path)}
    return sum(size for size, _ in files.values()), digest_of_files(files), files


def _read_at(file: int, offset: int, target: memoryview) -> int:
    """Fill `target` from an open file's `offset` on, and return how many bytes there were."""
    done = 0
    while done < len(target) and (count := os.preadv(file, [target[done:]], offset + done)):
        done += count
    return done


class StoredPayload:
    """A payload on a local path, with what its manifest says of it.

    Parameters
    ----------
    path : str
        The file or folder.
    size : int
        Expected size in bytes; of a folder, of all its files together.
    digest : str
        Expected digest, as ``xxh3:…``.
    files : mapping of str to (int, str), optional
        For a folder: relative POSIX path -> expected size in bytes and digest of each file.
    verify : {"digest", "size"}
        Whether bytes or only lengths are compared.
    key : str, optional
        The artifact's key, for error messages.
    """

    __slots__ = ("digest", "files", "key", "name", "size", "verify")

    def __init__(
        self,
        path: str,
        size: int,
        digest: str,
        files: Mapping[str, tuple[int, str]] | None = None,
        verify: Verify = "digest",
        key: str | None = None,
    ) -> None:
        self.name = path
        self.size = size
        self.digest = digest
        self.files = files
        self.verify = verify
        self.key = key

    @property
    def path(self) -> Path:
        """Where the payload lies."""
        return Path(self.name)

    def __getitem__(self, name: str) -> StoredPayload:
        """Return one file of a folder, as a payload of its own; it is verified when it is read."""
        if self.files is None or name not in self.files:
            raise self._corrupt(f"has no file {name!r}")
        size, file_digest = self.files[name]
        return StoredPayload(f"{self.name}/{name}", size, file_digest, None, self.verify, self.key)

    def folder(self, name: str) -> StoredPayload:
        """Return a folder within the folder, as a payload of its own; it is verified when it is read."""
        start = f"{name}/"
        files = {
            file.removeprefix(start): found for file, found in (self.files or {}).items() if file.startswith(start)
        }
        if not files:
            raise self._corrupt(f"has no folder {name!r}")
        size = sum(size for size, _ in files.values())
        return StoredPayload(f"{self.name}/{name}", size, digest_of_files(files), files, self.verify, self.key)

    def read(self) -> bytes:
        """Return the verified bytes of the file.

        Raises
        ------
        ArtifactCorruptError
            If the file is missing, or is not what was written.
        """
        size = self.size
        try:
            file = os.open(self.name, _OPEN_FLAGS)
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            # One byte more than expected: a file that grew is found without a further call.
            data = os.read(file, size + 1)
            while 0 < len(data) < size and (more := os.read(file, size + 1 - len(data))):
                data += more
        except OSError as error:
            raise self._unreadable(error) from error
        finally:
            os.close(file)
        if len(data) != size:
            raise self._wrong_size(len(data))
        if self.verify == "digest" and ALGORITHM + xxh3_128_hexdigest(data) != self.digest:
            raise self._wrong_digest(digest(data))
        return data

    def buffer(self) -> bytes | mmap.mmap:
        """Return the verified content as one read-only buffer: read if it is small, mapped if it is large.

        Raises
        ------
        ArtifactCorruptError
            If the file is missing, or is not what was written.
        """
        if self.size < _MAPPED_FROM:
            return self.read()
        with self._open() as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._check(file.fileno(), lambda: digest(mapped))
        return mapped

    def read_into(self, header: int, target: memoryview) -> None:
        """Read all but the first `header` bytes of the file into `target`, and verify the whole file.

        One pass: each piece is hashed while it is still in the processor's cache. `target` holds unverified
        bytes until the method returns, so it must be memory that means nothing yet, such as a new array.

        Parameters
        ----------
        header : int
            Bytes at the start of the file that the caller has already parsed.
        target : memoryview of bytes
            Where the rest goes; its length must be the rest's.

        Raises
        ------
        ArtifactCorruptError
            If the file is missing, or is not what was written.
        """
        if header + len(target) != self.size:
            raise self._corrupt(f"announces {header + len(target)} bytes, but must have {self.size}")
        hasher = xxh3_128()

        def read(stop: int) -> int:
            position = 0
            while position < stop and (count := file.readinto(target[position : min(position + _CHUNK, stop)])):
                hasher.update(target[position : position + count])
                position += count
            return position

        with self._open() as file:
            hasher.update(file.read(header))
            if len(target) < _HALVED_FROM or not hasattr(os, "preadv"):
                position = read(len(target))
            else:
                # Most of the time goes into pages that are touched for the first time: with a second core, half of it.
                middle = len(target) // 2
                with meanwhile(
                    "read", lambda: _read_at(file.fileno(), header + middle, target[middle:])
                ) as second_half:
                    position = read(middle)
                position += second_half()
                hasher.update(target[middle:])
            if position < len(target):
                raise self._wrong_size(header + position)
            if self.verify == "digest" and ALGORITHM + hasher.hexdigest() != self.digest:
                raise self._wrong_digest(ALGORITHM + hasher.hexdigest())

    def check(self) -> None:
        """Verify the file, or every file of the folder, for a reader that then opens the path itself.

        A large file that this process has already read through, and that has not changed since (inode,
        modification time, size), is not read through again.

        Raises
        ------
        ArtifactCorruptError
            If something is missing, or is not what was written.
        """
        if self.files is None:
            with self._open() as file:
                self._check(file.fileno(), lambda: digest_file(self.name)[1])
            return
        if not os.path.isdir(self.name):
            raise self._corrupt("is missing")
        if digest_of_files(self.files) != self.digest:
            raise self._corrupt("is not the folder that its manifest lists")
        foreign = sorted({name for name, _ in files_below(self.name)} - self.files.keys())
        if foreign := [name for name in foreign if name.rpartition("/")[2] not in LEFT_BY_FILE_MANAGERS]:
            raise self._corrupt(
                f"holds a file that was not written with it: {foreign[0]!r}. If that came from a program that uses the "
                f"folder, move it away, and let the program work on a copy"
            )
        for name in self.files:
            self[name].check()

    def _open(self) -> io.FileIO:
        try:
            file = io.FileIO(self.name, opener=_opener)
        except OSError as error:
            raise self._unreadable(error) from error
        found = os.fstat(file.fileno())
        if found.st_size != self.size or not stat.S_ISREG(found.st_mode):
            file.close()
            raise self._wrong_size(found.st_size)
        return file

    def _check(self, file: int, compute: Callable[[], str]) -> None:
        if self.verify == "size":
            return
        status = os.fstat(file)
        identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        found = _seen.get(identity) or compute()
        if found != self.digest:
            raise self._wrong_digest(found)
        if self.size >= _MAPPED_FROM:
            _seen[identity] = found

    def _unreadable(self, error: OSError) -> ArtifactCorruptError | StoreError:
        # Over NFS, a file that is removed from another machine goes stale in the hands of its reader.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
            return self._corrupt("is missing")
        if error.errno == errno.EISDIR:
            return self._corrupt("is a folder")
        failure = StoreError(
            f"The payload file {self.name} cannot be read: {error.strerror}. Ask for the permission to read it, or "
            f"check the drive and its connection."
        )
        failure.errno = error.errno  # a filename beside it would take the place of the message
        return failure

    def _wrong_size(self, found: int) -> ArtifactCorruptError:
        return self._corrupt(f"has {found} bytes, but {self.size} were written")

    def _wrong_digest(self, found: str) -> ArtifactCorruptError:
        return self._corrupt(f"has the digest {found}, but {self.digest} was written")

    def _corrupt(self, problem: str) -> ArtifactCorruptError:
        return ArtifactCorruptError(f"The payload file {self.name} {problem}.", self.key)
