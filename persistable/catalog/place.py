"""Where an index lies: on this machine, in a folder of this user; never on a drive that others share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Final

from .._mounts import NETWORK_FILE_SYSTEMS, file_system
from ..stores import Store

__all__ = ["INDEX_DIR", "place_of", "remove", "sweep"]

INDEX_DIR: Final = "PERSISTABLE_INDEX_DIR"
"""The environment variable that names the folder in which indices are kept."""


def place_of(store: Store) -> str | None:
    """Return the path of the index of `store`; None if there is no place for one on this machine."""
    name = f"{hashlib.sha256(store.url.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.sqlite"
    if folder := os.environ.get(INDEX_DIR):
        return os.path.join(os.path.abspath(os.path.expanduser(folder)), name)
    from platformdirs import user_cache_dir

    usual = Path(user_cache_dir("persistable", appauthor=False), "index")
    if file_system(usual) not in NETWORK_FILE_SYSTEMS and _can_be_written(usual):
        return str(usual / name)
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    folder = os.path.join(tempfile.gettempdir(), f"persistable-index-{user}")
    with contextlib.suppress(FileExistsError, OSError):
        os.mkdir(folder, 0o700)
    return os.path.join(folder, name) if _is_ours(folder) else None


def _can_be_written(folder: Path) -> bool:
    there = next((parent for parent in (folder, *folder.parents) if parent.exists()), None)
    return there is not None and os.access(there, os.W_OK | os.X_OK)


def _is_ours(folder: str) -> bool:
    """Whether nobody else can have put anything into a folder below a temporary one."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return os.path.isdir(folder)
    return status.st_uid == os.getuid() and status.st_mode & 0o170077 == 0o040000


def remove(path: str) -> None:
    """Remove an index; that there is none is fine."""
    for file in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)


def sweep(folder: str) -> None:
    """Remove what builders that were killed have left."""
    for entry in os.scandir(folder):
        if entry.name.endswith(".tmp") and ".sqlite." in entry.name:
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > 3600:
                    os.unlink(entry.path)
