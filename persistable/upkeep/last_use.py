"""When payloads were last used: by the access times that a file system keeps, where it does."""

from __future__ import annotations

import os
from pathlib import Path

from .._integrity import files_below
from .._mounts import mount_options
from ..exceptions import StoreError
from ..stores import Store

__all__ = ["last_use", "require_access_times"]

_DAY = 86_400.0


def require_access_times(store: Store, unused_for: float) -> None:
    """Make sure that the store tells when a payload was last read.

    Raises
    ------
    StoreError
        If it does not: it is no folder, or is mounted so that reading leaves no trace.
    ValueError
        If it does so once a day only, and `unused_for` is less than that.
    """
    root = store.local_path("")
    instead = "Use older_than (--older-than) instead, which goes by when artifacts were made."
    if root is None:
        raise StoreError(
            f"The store {store.url} does not tell when a payload was last read: it is no folder. {instead}"
        )
    options = mount_options(Path(root))
    if off := {"noatime", "ro"} & set(options):
        raise StoreError(
            f"The store {store.url} does not tell when a payload was last read: its drive is mounted with "
            f"{', '.join(sorted(off))}. {instead} Or have it mounted with relatime, and wait for that time."
        )
    if "relatime" in options and unused_for < _DAY:
        raise ValueError(
            f"unused_for must be a day or more: the drive of {store.url} is mounted with relatime, which notes a use "
            f"at most once in 24 hours; got {unused_for:.0f} seconds."
        )


def last_use(store: Store, folder: str) -> float:
    """Return when the payload in an artifact's folder was last read or written; now, if that cannot be told."""
    root = store.local_path(folder)
    latest = 0.0
    try:
        assert root is not None  # see require_access_times
        for entry in os.scandir(root):
            if entry.name.startswith("payload."):
                is_folder = entry.is_dir(follow_symlinks=False)
                for path in [path for _, path in files_below(entry.path)] if is_folder else [entry.path]:
                    status = os.stat(path, follow_symlinks=False)
                    latest = max(latest, status.st_atime, status.st_mtime)
    except OSError:
        return float("inf")
    return latest or float("inf")
