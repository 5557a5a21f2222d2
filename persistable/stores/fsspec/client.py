"""Requests by what all file systems of fsspec have; each request is made in the same way, whatever is behind it.

What they have in common is less than their interface says. A class that has no "create", or no "find", of its own has
the default of fsspec, and that one looks first and then writes, or takes every error of a server for an empty folder:
neither is used here.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from ..base import Entry
from ..remote import Client, Problem
from .connections import Connections
from .errors import problem_of, status_of

__all__ = ["FsspecClient", "callback", "modified"]

_TRIES = 8


class FsspecClient(Client):
    """Requests to one place by a file system of fsspec.

    Parameters
    ----------
    kind : type
        The class of fsspec's.
    root : str
        The place, as that class names it; no slash behind it.
    options : mapping
        What it is made with.
    """

    connected_by: ClassVar[type[Connections]] = Connections
    needs_folders: ClassVar[bool] = True
    """Whether a folder has to be made before a file can be put in it; buckets have none in any case."""

    def __init__(self, kind: Any, root: str, options: Mapping[str, Any]) -> None:
        self._kind = kind
        self.root = root
        self._options = options
        self.connections = self.connected_by(kind, options)

    @classmethod
    def check(cls, shown: str, options: Mapping[str, Any]) -> None:
        """Raise StoreError if a place, whose URL is shown as `shown`, cannot be reached with such options."""

    def file_system(self) -> contextlib.AbstractContextManager[Any]:
        """Give a file system for the time of one request."""
        return self.connections.lend()

    def at(self, path: str) -> str:
        """Return a path as the file system names it."""
        return f"{self.root}/{path}"

    def get(self, path: str, etag: str | None = None) -> tuple[bytes, str | None] | None:
        with self.file_system() as fs:
            return bytes(fs.cat_file(self.at(path))), None

    def get_part(self, path: str, start: int, stop: int | None) -> Any:
        with self.file_system() as fs:
            if stop is None:
                return fs.cat_file(self.at(path))
            try:
                return fs.cat_file(self.at(path), start, stop)
            except FileNotFoundError:
                raise
            except Exception:
                if start < fs.info(self.at(path))["size"]:
                    raise
                return b""

    def size(self, path: str) -> int:
        with self.file_system() as fs:
            found = fs.info(self.at(path))
        if found["type"] == "directory":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return int(found["size"])

    def create(self, path: str, data: bytes) -> bool:
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(0.02 * 2**attempt * random.random())
            try:
                self.create_or_raise(path, data)
                return True
            except Exception as error:
                if not isinstance(error, FileExistsError) and status_of(error) not in (409, 412):
                    raise
            # Another's; or our own, if the library has sent it again because it did not hear the answer. On a conflict
            # with a delete, or with another create, nothing may be there.
            with contextlib.suppress(FileNotFoundError):
                found = self.get(path)
                return found is not None and found[0] == data
        raise OSError(errno.EBUSY, "the file appears and vanishes")

    def create_or_raise(self, path: str, data: bytes) -> None:
        """Write a small file; FileExistsError, or an answer with the status 409 or 412, if it is there."""
        # The default of "create" is to look, and then to write: of two callers, both would win, unless they are far
        # apart. Rather let each win, so that the probe of the store finds out.
        options = {"mode": "create"} if _creates(self._kind) else {}
        with self.file_system() as fs:
            self._make_folders(fs, path)
            fs.pipe_file(self.at(path), data, **options)

    def put(self, path: str, data: bytes) -> None:
        with self.file_system() as fs:
            self._make_folders(fs, path)
            fs.pipe_file(self.at(path), data)

    def upload(self, local: str, path: str, size: int, advance: Callable[[int], None]) -> None:
        with self.file_system() as fs:
            self._make_folders(fs, path)
            fs.put_file(local, self.at(path), callback=callback(advance))

    def _make_folders(self, fs: Any, path: str) -> None:
        if self.needs_folders and not self._kind.async_impl:  # whatever is asynchronous is a bucket
            fs.makedirs(self.at(path).rpartition("/")[0], exist_ok=True)

    def list(self, folder: str) -> Iterator[Entry]:
        top = self.at(folder) if folder else self.root
        with self.file_system() as fs:
            fs.invalidate_cache()
            found = tuple(_walk(fs, top or "/"))
        for name, info in found:
            if name.startswith(f"{top}/") and not name.endswith("/"):  # not the file `top`; not the marker of a folder
                yield Entry(name.removeprefix(f"{self.root}/"), int(info["size"]), modified(info))

    def delete(self, path: str) -> None:
        with self.file_system() as fs:
            fs.rm_file(self.at(path))

    def problem(self, error: Exception) -> Problem:
        return problem_of(error, self._options)


def _own(kind: Any, name: str) -> Any:
    """Return the method `name` of a class; None if it is that of fsspec's base."""
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
    from fsspec.asyn import AsyncFileSystem  # type: ignore[import-untyped]

    base, name = (AsyncFileSystem, f"_{name}") if kind.async_impl else (AbstractFileSystem, name)
    method = getattr(kind, name)
    return None if method is getattr(base, name) else method


def _creates(kind: Any) -> bool:
    """Return whether a class has a "create" of its own."""
    method = _own(kind, "pipe_file")
    return method is not None and "mode" in inspect.signature(method).parameters


def _walk(fs: Any, top: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and description of all files below `top`."""
    if _own(type(fs), "find"):
        yield from fs.find(top, detail=True).items()
        return
    try:
        children = fs.ls(top, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for info in children:
        if info["type"] != "directory":
            yield info["name"], info
        elif info["name"].rstrip("/") != top:
            yield from _walk(fs, info["name"].rstrip("/"))


_WHEN = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


def modified(info: Mapping[str, Any]) -> float:
    """Return when a file was last written, in seconds; 0.0 if its description does not say."""
    value = next((info[name] for name in _WHEN if info.get(name) is not None), 0.0)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0.0
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value)


def callback(advance: Callable[[int], None]) -> Any:
    """Return what fsspec reports the progress of an upload to, for `advance` to be called with what is new."""
    from fsspec.callbacks import Callback  # type: ignore[import-untyped]

    done = 0

    def update(size: int | None, value: int, **_: Any) -> None:
        nonlocal done
        if value > done:
            advance(value - done)
            done = value

    return Callback(hooks={"advance": update})
