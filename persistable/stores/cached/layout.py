"""What lies where in the folder of a cache, and what a manifest says of its payload.

The picture is in :mod:`persistable.stores.cached`.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["COPIES", "MANIFEST", "REMOTE", "UNPUBLISHED", "is_of_the_cache", "name_of_payload", "payload_of", "split"]

MANIFEST = "manifest.json"

REMOTE = ".remote"
"""The manifest that the remote store has, and what it calls that version of it."""

UNPUBLISHED = ".unpublished"
"""The mark of what is only here. Its content: the digest of the manifest that it replaces there, or nothing."""

COPIES = ".copies"
"""What single processes have in their hands; and the files that all of them lock, and count in."""


def split(path: str) -> tuple[str, str]:
    """Return the folder that `path` is in ("" if none), and its name there."""
    folder, _, name = path.rpartition("/")
    return folder, name


def is_of_the_cache(path: str) -> bool:
    """Return whether `path` is none of the artifacts' files, but one of the cache's own."""
    return path.startswith(f"{COPIES}/") or split(path)[1].startswith((REMOTE, UNPUBLISHED))


def payload_of(manifest: bytes) -> dict[str, Any]:
    """Return what a manifest says of its payload; nothing, if it is damaged."""
    try:
        return dict(json.loads(manifest)["artifact"]["payload"])
    except (ValueError, KeyError, TypeError):
        return {}


def name_of_payload(manifest: bytes | None) -> str | None:
    """Return the name of the payload that a manifest names, in the folder that they share."""
    return payload_of(manifest).get("file") if manifest else None
