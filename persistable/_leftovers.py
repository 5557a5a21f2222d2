"""Cleaning up beside an artifact: what is known to be left over, and never what is not known.

On a drive that others share, a file that nobody here has written is none of our business.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from ._payloads import drop_payload
from .exceptions import PersistableError
from .fileio import FileIO
from .keys import ArtifactKey
from .manifest import Manifest
from .stores import Store

__all__ = ["sweep"]

_LEFTOVER = re.compile(
    r"(?:spool\.)?payload\.(?P<token>[0-9a-f]{8})(?:\.[^/]*)?(?:/.*)?"  # written, or being written, and never named
    r"|lease/\d+|probe\.[0-9a-f]{8}"
    r"|failed-\d{8}T[\d.]+Z\.log|(?P<evidence>corrupt-\d{8}T[\d.]+Z\.json)"
    r"|(?:manifest\.json|params\.json|generation\.log|failed-[^/]*|corrupt-[^/]*|probe\.\w+|lease/\d+)\.[0-9a-f]{8}\.tmp"
)


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
    dead, suffix = set(dead_tokens), manifest.payload["file"][len("payload.01234567") :]
    if before is not None:
        with contextlib.suppress(ValueError, PersistableError):  # corrupt, or of a newer library: by age
            dead.add(Manifest.parse(before).payload["file"].split(".")[1])
    try:
        entries = {entry.path.removeprefix(f"{key.folder}/"): entry for entry in store.list(key.folder)}
        newest = entries["manifest.json"].modified
        known = {name: match for name in entries if (match := _LEFTOVER.fullmatch(name))}
        # A payload that is a folder is as young as its youngest file.
        touched: dict[str, float] = {}
        for name in known:
            unit = _unit(name)
            touched[unit] = max(touched.get(unit, 0.0), entries[name].modified)
        old = {unit for unit, modified in touched.items() if newest - modified > store.leftovers_after}
        held = any(match["evidence"] and name not in old for name, match in known.items())
        for unit, token in {_unit(name): match["token"] for name, match in known.items()}.items():
            if unit == manifest.payload["file"]:
                continue
            if token in dead or (unit in old and not (token and held)):
                if token and unit.endswith(suffix):
                    drop_payload(store, f"{key.folder}/{unit}", fileio)
                else:
                    store.drop(f"{key.folder}/{unit}")
    except (OSError, KeyError):
        return  # somebody else's files, or a store that is gone: the artifact is there, and that is what counts


def _unit(name: str) -> str:
    """Return what is removed as a whole: a payload, which may be a folder; else the file itself."""
    return name if name.startswith("lease/") else name.partition("/")[0]
