"""How much the folder of this machine may hold, and what goes first.

All processes count in one file what comes in. When that reaches the bound, it is looked what is really there, and what
has not been used for longest is evicted, folder by folder, except for what is only here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..copies import Copies
from ..local import LocalStore
from .layout import COPIES, UNPUBLISHED

__all__ = ["Room"]

_FULL = 0.9
"""What is kept of the bound when something is evicted, so that it is not looked through for each payload."""


class Room:
    """The bound of a folder. What changes something wants the lock of the folder.

    Parameters
    ----------
    local : LocalStore
        The folder.
    copies : Copies
        Where what is evicted is moved to, before it is removed; on the same disk.
    max_size : int or None
        Bytes that the folder is to hold at most; None for no bound.
    """

    def __init__(self, local: LocalStore, copies: Copies, max_size: int | None) -> None:
        if max_size is not None and (isinstance(max_size, bool) or not isinstance(max_size, int) or max_size <= 0):
            raise ValueError(f"max_size must be a number of bytes, such as 10 * 2**30, or None; got {max_size!r}.")
        self.max_size = max_size
        self._local = local
        self._copies = copies

    def suffices_for(self, size: int) -> bool:
        """Return whether so many bytes fit in, if all else is evicted."""
        return self.max_size is None or size <= self.max_size

    def admit(self, size: int) -> None:
        """Make room for so many bytes."""
        if self.max_size is None:
            return
        counter = Path(self._local.local_path(f"{COPIES}/total"))
        try:
            total = int(counter.read_bytes())
        except (OSError, ValueError):
            total = self.max_size  # not known
        if total + size > self.max_size:
            total = self._make_room(size, self.max_size)
        counter.write_bytes(b"%d" % (total + size))

    def evict(self, folder: str) -> bool:
        """Remove a folder, for others in one step, unless it is marked; return whether it is gone."""
        if os.path.lexists(self._local.fetch(f"{folder}/{UNPUBLISHED}")):
            return False
        trash = self._copies.new("evicted")
        try:
            os.rename(self._local.fetch(folder), trash)
        except OSError:
            return False
        finally:
            self._copies.remove(trash)
        return True

    def _make_room(self, size: int, max_size: int) -> int:
        """Evict what was not used for longest, and return how many bytes there are then."""
        folders = sorted(self._folders(), key=lambda folder: folder.used)
        total = sum(folder.size for folder in folders)
        if total + size <= max_size:
            return total
        for folder in folders:
            if total + size <= _FULL * max_size:
                break
            if self.evict(folder.path):
                total -= folder.size
        return total

    def _folders(self) -> Iterator[_Folder]:
        """Yield what can be evicted: a folder of an artifact; a payload that lies in none."""
        sizes: dict[str, int] = {}
        beats: dict[str, float] = {}  # of leases: they do not touch the folder itself
        for entry in self._local.list(""):
            first, _, rest = entry.path.partition("/")
            if first != COPIES and not entry.path.endswith("/"):
                path = f"{first}/{rest.partition('/')[0]}" if rest and not first.startswith("payload.") else first
                sizes[path] = sizes.get(path, 0) + entry.size
                if "/lease/" in entry.path:
                    beats[path] = max(beats.get(path, 0.0), entry.modified)
        for path, size in sizes.items():
            with contextlib.suppress(OSError):
                used = os.stat(self._local.fetch(path)).st_mtime
                yield _Folder(path, size, max(used, beats.get(path, 0.0)))


class _Folder(NamedTuple):
    """What an artifact takes up."""

    path: str
    size: int
    used: float
