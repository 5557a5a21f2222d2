"""FolderFileIO: files that a tool writes.

A solver, a simulator or a training framework fills a folder; the payload is the path to it. Once it is persisted, and
when it is loaded, the payload is the path of the verified copy in the store. Loading runs no code.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from .._integrity import LEFT_BY_FILE_MANAGERS
from .base import FileIO

__all__ = ["FolderFileIO"]


class FolderFileIO(FileIO[Path]):
    """A folder of files, copied at save; the payload is its path, before and after. Loading runs no code.

    The stored files are read-only: whoever wants to change them, or to add to them, copies the folder first
    (``shutil.copytree``), for they are what the manifest vouches for; a file too many makes the artifact a corrupt one.

    Names and bytes are kept; times, owners and modes are not. Files only: empty folders are not kept, as a bucket could
    not, nor is what file managers leave in a folder that someone opens (``.DS_Store``, ``Thumbs.db``, ``desktop.ini``).

    Raises
    ------
    TypeError
        At save: the payload is no path to a folder, or the folder holds what not every store can keep: a symbolic
        link, a device, a name that is no valid Unicode; or it holds no file at all.

    Examples
    --------
    >>> import tempfile
    >>> source, stored = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp(), "payload")
    >>> _ = (source / "mesh.vtk").write_text("# vtk")
    >>> FolderFileIO().save(source, stored)
    >>> (stored / "mesh.vtk").read_text()
    '# vtk'
    """

    format_id: ClassVar[str] = "folder"
    payload_is_the_file: ClassVar[bool] = True

    def _save(self, payload: Path, filepath: Path) -> None:
        if not isinstance(payload, Path):
            raise self._refusal(payload, "it takes the pathlib.Path of a folder that a tool has filled")
        if not payload.is_dir():
            found = "is a file" if payload.exists() else "does not exist"
            raise self._refusal(payload, f"{payload} {found}; it takes the path of a folder that a tool has filled")
        try:
            # Listed in full before anything is written, should the copy be made inside of its source.
            files = [path.relative_to(payload) for path in _files(payload)]
        except ValueError as error:
            raise self._refusal(payload, str(error)) from error
        if not files:
            raise self._refusal(payload, f"{payload} is empty, and stores keep files only. Put a file into it")
        for file in files:
            target = filepath / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(payload / file, target)
            # The folders stay writable: the files can be deleted (by a colleague too, who shares the store but could
            # not change the mode of a folder of mine; and with a plain rm -r), though not changed.
            target.chmod(stat.S_IMODE(target.stat().st_mode) & ~0o222)

    def _load(self, filepath: Path) -> Path:
        return filepath


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder`, or raise ValueError for what cannot be stored."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the file name {entry.path!a} is no valid Unicode. Rename it") from None
        if entry.is_symlink():
            raise ValueError(f"{entry.path} is a symbolic link, which would point elsewhere. Put a copy in its place")
        if entry.is_dir():
            yield from _files(Path(entry.path))
        elif entry.is_file():
            if entry.name not in LEFT_BY_FILE_MANAGERS:
                yield Path(entry.path)
        else:
            raise ValueError(f"{entry.path} is neither a file nor a folder. Remove it")
