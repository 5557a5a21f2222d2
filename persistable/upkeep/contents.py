"""What lies in a store, file by file, in the folders of its artifacts and elsewhere."""

from __future__ import annotations

import re
from typing import NamedTuple

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
    for entry in store.list(payload_name or ""):
        match = _FOLDER.match(entry.path)
        if match is None:
            (found.persistable_1 if _PERSISTABLE_1.fullmatch(entry.path) else found.foreign).append(entry)
            continue
        found.folders.setdefault(match[0], []).append(entry)
    return found


def is_empty_folder(folder: str, entry: Entry) -> bool:
    """Return whether an entry is an empty folder that only a kill can have left: an artifact's, or of its leases."""
    return entry.path in (f"{folder}/", f"{folder}/lease/")


def key_in(folder: str) -> ArtifactKey:
    """Return the key that a folder is of."""
    payload_name, _, digits = folder.partition("/")
    return ArtifactKey(digits, payload_name)
