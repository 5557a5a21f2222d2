"""What lies in a store, file by file, in the folders of its artifacts and elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from ..exceptions import StoreError
from ..keys import ArtifactKey
from ..stores import Entry, Store

__all__ = ["Contents", "contents_of", "is_empty_folder", "key_in"]

_FOLDER = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*)/([0-9a-f]{32})(?=/)")
_PERSISTABLE_1 = re.compile(r"[^/]+\([0-9a-f]{32}\)\.[^/]+")


class Contents(NamedTuple):
    """All files of a store.

    Attributes
    ----------
    folders : dict of str to list of Entry
        ``points/3f9a0c…`` -> what lies in that folder of an artifact, ours or not.
    persistable_1 : list of Entry
        What persistable 1.x wrote, by its names.
    foreign : list of Entry
        Everything else.
    """

    folders: dict[str, list[Entry]]
    persistable_1: list[Entry]
    foreign: list[Entry]


def contents_of(store: Store, payload_name: str | None = None) -> Contents:
    """Return all files of a store, or those of the artifacts of one payload name."""
    found = Contents({}, [], [])
    for entry in _entries(store, payload_name or "", 3):
        match = _FOLDER.match(entry.path)
        if match is None:
            (found.persistable_1 if _PERSISTABLE_1.fullmatch(entry.path) else found.foreign).append(entry)
            continue
        found.folders.setdefault(match[0], []).append(entry)
    return found


def _entries(store: Store, folder: str, depth: int) -> Iterator[Entry]:
    """Yield all files below a folder; of a folder that may not be entered, that itself, as a file without size."""
    try:
        yield from list(store.list(folder))
        return
    except StoreError:
        local = store.local_path(folder)
        if local is None or not os.path.isdir(local) or (not folder and not _can_be_listed(local)):
            raise
        children = sorted(os.listdir(local)) if depth and _can_be_listed(local) else []
    if folder and not children:
        yield Entry(folder, 0, os.lstat(local).st_mtime)
    for child in children:
        path = f"{folder}/{child}".lstrip("/")
        with contextlib.suppress(FileNotFoundError):  # removed since
            status = os.lstat(f"{local}/{child}")
            if stat.S_ISDIR(status.st_mode):
                yield from _entries(store, path, depth - 1)
            else:
                yield Entry(path, status.st_size, status.st_mtime)


def _can_be_listed(local: str) -> bool:
    return os.access(local, os.R_OK | os.X_OK)


def is_empty_folder(folder: str, entry: Entry) -> bool:
    """Return whether an entry is an empty folder that only a kill can have left: an artifact's, or of its leases."""
    return entry.path in (f"{folder}/", f"{folder}/lease/")


def key_in(folder: str) -> ArtifactKey:
    """Return the key that a folder is of."""
    payload_name, _, digits = folder.partition("/")
    return ArtifactKey(digits, payload_name)
