"""Cleaning up beside an artifact: what is known to be left over, and never what is not known.

On a drive that others share, a file that nobody here has written is none of our business.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ._payloads import drop_payload
from .exceptions import PersistableError
from .fileio import FileIO
from .keys import ArtifactKey
from .manifest import Manifest
from .stores import Entry, Store

__all__ = ["Unit", "sweep", "swept", "units_of"]

_KNOWN = re.compile(
    r"(?P<artifact>manifest\.json|params\.json|generation\.log)"
    r"|(?P<payload>payload\.(?P<token>[0-9a-f]{8})(?:\.[^/]*)?)(?:/.*)?"  # written, maybe named
    r"|(?P<spool>spool\.payload\.(?P<spooled>[0-9a-f]{8})(?:\.[^/]*)?)(?:/.*)?"  # being written, and never named
    r"|(?P<lease>lease/\d+)|(?P<probe>probe\.[0-9a-f]{8})"
    r"|(?P<failure>failed-\d{8}T[\d.]+Z\.log)|(?P<evidence>corrupt-\d{8}T[\d.]+Z\.json)"
    r"|(?P<temporary>(?:manifest\.json|params\.json|generation\.log|failed-[^/]*|corrupt-[^/]*|probe\.\w+|lease/\d+)"
    r"\.[0-9a-f]{8}\.tmp)"
    r"|(?P<journal>journal(?:-\d{8}T\d{6}Z(?:-\d+)?)?\.log|journal\.log\.lock)"  # the trials of a study
)
_OF_ARTIFACTS = ("artifact", "journal")
"""Kinds that are never left over: without a manifest, a journal is all that there is of a search."""


class Unit(NamedTuple):
    """What is removed as a whole: a file, or a payload, which may be a folder.

    Attributes
    ----------
    name : str
        Its path in the artifact's folder.
    kind : str
        ``artifact`` (manifest, params, log), ``payload``, ``spool``, ``lease``, ``probe``, ``failure``, ``evidence``,
        ``temporary`` or ``journal``.
    token : str or None
        Of the write that made it, for payloads and spools.
    files, size : int
        How many files it has, and their bytes.
    modified : float
        When it was last written, by the clock of the store; a folder is as young as its youngest file.
    """

    name: str
    kind: str
    token: str | None
    files: int
    size: int
    modified: float

    @property
    def is_left_over(self) -> bool:
        """Whether its kind is left over, once no manifest names it and it is old enough."""
        return self.kind not in _OF_ARTIFACTS


def units_of(folder: str, entries: Iterable[Entry]) -> tuple[dict[str, Unit], list[Entry]]:
    """Return what is known of the files below an artifact's folder, by name, and the files that are not known."""
    units: dict[str, Unit] = {}
    foreign = []
    for entry in entries:
        match = _KNOWN.fullmatch(entry.path[len(folder) + 1 :])
        if match is None:
            foreign.append(entry)
            continue
        kind = match.lastgroup or ""  # the outermost: a token is within it
        name = match[kind]
        before = units.get(name)
        files, size, modified = (before.files, before.size, before.modified) if before else (0, 0, 0.0)
        units[name] = Unit(
            name,
            kind,
            match["token"] or match["spooled"],
            files + (not entry.path.endswith("/")),
            size + entry.size,
            max(modified, entry.modified),
        )
    return units, foreign


def sweep(
    store: Store,
    key: ArtifactKey,
    manifest: Manifest,
    dead_tokens: set[str],
    before: bytes | None,
    fileio: FileIO[Any],
) -> None:
    """Remove what no manifest names: at once where nobody can need it any more, by age where somebody might.

    Ages are taken between files of the store, because its clock may differ from ours. What a corrupt manifest may
    have named stays as long as the evidence of it does. `fileio`, which wrote what `manifest` names, is taken to have
    written what has the same suffix.
    """
    named = manifest.payload["file"]
    dead, suffix = set(dead_tokens), named[len("payload.01234567") :]
    if before is not None:
        with contextlib.suppress(ValueError, PersistableError):  # corrupt, or of a newer library: by age
            dead.add(Manifest.parse(before).payload["file"].split(".")[1])
    try:
        units, _ = units_of(key.folder, store.list(key.folder))
        for unit in swept(units, named, units["manifest.json"].modified - store.leftovers_after, dead):
            if unit.token and unit.name.endswith(suffix):
                drop_payload(store, f"{key.folder}/{unit.name}", fileio)
            else:
                store.drop(f"{key.folder}/{unit.name}")
    except (OSError, KeyError):
        return  # somebody else's files, or a store that is gone: the artifact is there, and that is what counts


def swept(units: Mapping[str, Unit], named: str | None, before: float, dead_tokens: Iterable[str] = ()) -> list[Unit]:
    """Return what is left over.

    Parameters
    ----------
    units : mapping of str to Unit
        What is known in the folder.
    named : str or None
        The payload that the manifest names.
    before : float
        What was last written earlier is old, by the clock of the store.
    dead_tokens : iterable of str
        Tokens of writes that are over for certain: what they left is old at any age.
    """
    dead = set(dead_tokens)
    held = any(unit.kind == "evidence" and unit.modified >= before for unit in units.values())
    return [
        unit
        for unit in units.values()
        if unit.is_left_over
        and unit.name != named
        and (unit.token in dead or (unit.modified < before and not (unit.token and held)))
    ]
