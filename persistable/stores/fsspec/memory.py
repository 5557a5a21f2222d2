"""The memory of this process as a place: for tests, for examples, and for trying things out."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from .client import FsspecClient

__all__ = ["MemoryClient"]


class MemoryClient(FsspecClient):
    """Requests to fsspec's dict of files."""

    needs_folders = False  # they are implied, and one that is made would be kept for ever

    def create_or_raise(self, path: str, data: bytes) -> None:
        from fsspec.implementations.memory import MemoryFile  # type: ignore[import-untyped]

        with self.file_system() as fs:
            file = MemoryFile(fs, self.at(path), data)
            if fs.store.setdefault(self.at(path), file) is not file:  # one step, whatever other threads do
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def upload(self, local: str, path: str, size: int, advance: Callable[[int], None]) -> None:
        self.put(path, Path(local).read_bytes())
        advance(size)
