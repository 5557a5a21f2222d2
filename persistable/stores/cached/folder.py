"""The folder on this machine: what is kept in it, what is known of the remote store, and the lock of both.

A payload comes in as a link to the copy that a process has of it; a manifest is noted in ``.remote`` as soon as it is
known, and written as ``manifest.json`` when its payload is beside it. So either may come first, and a reader of the
folder meets whole artifacts only. Whoever changes something holds the lock; whoever only reads does not.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from ..._integrity import digest
from ...exceptions import StoreError
from ..copies import Copies, locked
from ..local import LocalStore
from .layout import COPIES, MANIFEST, REMOTE, UNPUBLISHED, name_of_payload, split
from .links import link_payload, size_of
from .room import Room

__all__ = ["CacheFolder", "Seen"]

PATIENCE = 10.0
"""Seconds to wait for another process that changes the cache. It moves and links files, and waits for no network."""


class Seen(NamedTuple):
    """A manifest of the remote store, and what it calls that version of it."""

    manifest: bytes
    etag: str | None


class CacheFolder:
    """The folder of a cache, which any number of processes share.

    Parameters
    ----------
    local : LocalStore
        The folder, for what the remote store has too.
    max_size : int or None
        Bytes that it is to hold at most; None for no bound.

    Attributes
    ----------
    durable : LocalStore
        The same folder, to the disk: of what is only here there is no other copy.
    copies : Copies
        What this process reads and writes, on the same disk, so that to keep it is to link it.
    room : Room
        What the bound leaves.
    """

    def __init__(self, local: LocalStore, max_size: int | None) -> None:
        self.local = local
        self.durable = LocalStore(local.path)
        self.copies = Copies(local.local_path(COPIES))
        self.room = Room(local, self.copies, max_size)

    # To be read

    def has(self, path: str) -> bool:
        """Return whether there is a file, or a payload, at `path`."""
        return os.path.lexists(self.local.fetch(path))

    def holds(self, local: str) -> bool:
        """Return whether a local path is one of this folder."""
        return local.startswith(self.local.local_path(""))

    def is_marked(self, folder: str) -> bool:
        """Return whether there is something in `folder` that is only here."""
        return self.has(f"{folder}/{UNPUBLISHED}")

    def kept(self, path: str) -> bytes | None:
        """Return a small file of the cache; what cannot be read might as well not be there."""
        try:
            return self.local.read(path)
        except OSError:
            return None

    def seen(self, folder: str) -> Seen | None:
        """Return the manifest that the remote store had, when it was last asked."""
        found, _, manifest = (self.kept(f"{folder}/{REMOTE}") or b"").partition(b"\n")
        written, _, etag = found.partition(b" ")
        return Seen(manifest, etag.decode() or None) if written == digest(manifest).encode() else None

    def has_seen_any(self) -> bool:
        """Return whether the remote store has ever had anything, as far as is known here."""
        return any(split(entry.path)[1] == REMOTE for entry in self.local.list(""))

    # The lock

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the cache, for as long as it takes to move and link files."""
        with self.lock("lock", PATIENCE) as held:
            try:
                if not held:
                    raise TimeoutError(errno.ETIMEDOUT, f"another process has been busy with it for {PATIENCE:.0f} s")
                yield
            except StoreError:
                raise
            except OSError as error:
                raise self._failure(error) from error

    @contextlib.contextmanager
    def lock(self, name: str, patience: float) -> Iterator[bool]:
        """Hold the lock of some name; say whether it was to be had within so many seconds."""
        folder = self.local.local_path(COPIES)
        with contextlib.ExitStack() as stack:
            try:
                os.makedirs(folder, exist_ok=True)
                held = stack.enter_context(locked(os.path.join(folder, name), patience))
            except OSError as error:
                raise self._failure(error) from error
            yield held

    def _failure(self, error: OSError) -> StoreError:
        failure = StoreError(f"The cache {self.local.path} cannot be changed: {error.strerror}. Mend the cause.")
        failure.errno = error.errno
        return failure

    # To be changed, with the lock held

    def note(self, folder: str, manifest: bytes, etag: str | None = None) -> None:
        """Note what the remote store has. One file holds both, so that the tag is always that of these bytes."""
        content = f"{digest(manifest)} {etag or ''}\n".encode() + manifest
        self.room.admit(3 * len(content))  # here, beside the payload, and once more while it is written
        self.local.replace(f"{folder}/{REMOTE}", content)
        self.complete(folder)

    def complete(self, folder: str) -> None:
        """Write the manifest that the remote store has beside its payload, if that is here."""
        seen, path = self.seen(folder), f"{folder}/{MANIFEST}"
        if seen is None or self.is_marked(folder):
            return
        name, before = name_of_payload(seen.manifest), self.kept(path)
        if before != seen.manifest and name and self.has(f"{folder}/{name}"):
            self.local.replace(path, seen.manifest)
            if (old := name_of_payload(before)) and old != name:
                self.local.drop(f"{folder}/{old}")

    # To be changed; these take the lock, and if the folder cannot be changed, it is not

    def adopt(self, copy: str, path: str) -> None:
        """Keep a link to a payload, if there is room for it."""
        with contextlib.suppress(OSError):
            size = size_of(copy)
            if not self.room.suffices_for(size):
                return
            link = self.copies.new(os.path.basename(path))
            try:
                link_payload(copy, link)
                with self.locked():
                    seen = self.seen(split(path)[0])  # its manifest is written with it, and has to fit in too
                    self.room.admit(size + (2 * len(seen.manifest) if seen else 0))
                    with contextlib.suppress(StoreError):  # another process was faster: theirs is as good
                        self.local.put(link, path)
                    self.complete(split(path)[0])
            finally:
                self.copies.remove(link)

    def forget(self, path: str) -> None:
        """Drop a payload, and the manifest that names it: never that without this."""
        folder, name = split(path)
        with contextlib.suppress(StoreError), self.locked():
            if name_of_payload(self.kept(f"{folder}/{MANIFEST}")) == name:
                self.local.delete(f"{folder}/{MANIFEST}")
            self.local.drop(path)
