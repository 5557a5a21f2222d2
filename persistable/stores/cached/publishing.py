"""What is only here: it is marked, kept, and published when the remote store is back.

The mark comes before what it marks, and goes when that has arrived. Between the two, any process may be killed, and
any step be repeated by another one. The mark says what was there before, so that whoever publishes can tell whether
somebody else has made the artifact meanwhile; if so, theirs counts.
"""

from __future__ import annotations

import contextlib
import logging
import os

from ..._integrity import StoredPayload, digest
from ..._warn import warn
from ...exceptions import ArtifactCorruptError, CorruptArtifactWarning, OfflineWarning
from ..base import Store
from .folder import CacheFolder
from .layout import MANIFEST, UNPUBLISHED, name_of_payload, payload_of, split
from .outage import Outage, require_drive
from .sending import Sender

__all__ = ["Publisher"]


_logger = logging.getLogger("persistable.stores")


class Publisher:
    """What is only in the folder of this machine, and how it gets to the remote store."""

    def __init__(self, remote: Store, cache: CacheFolder, outage: Outage, sender: Sender) -> None:
        self._remote = remote
        self._cache = cache
        self._outage = outage
        self._sender = sender
        self._refused: set[str] = set()  # folders that the remote store does not take

    def __reduce__(self) -> tuple[type[Publisher], tuple[Store, CacheFolder, Outage, Sender]]:
        return Publisher, (self._remote, self._cache, self._outage, self._sender)  # another process may be let

    # Marks, with the lock held

    def mark(self, folder: str, manifest: bytes) -> None:
        """Note that a manifest is to be published, and which one it replaces there; see that its payload is here."""
        mark = f"{folder}/{UNPUBLISHED}"
        if self._cache.kept(mark) is None:  # made twice while away: it replaces what the first one did
            before = self._cache.kept(f"{folder}/{MANIFEST}")
            self._cache.durable.replace(mark, digest(before).encode() if before is not None else b"")
        payload = f"{folder}/{name}" if (name := name_of_payload(manifest)) else None
        if payload and not self._cache.has(payload):  # evicted, or not kept because it was written there
            copy = self._sender.copy_of(payload)
            if copy is None:
                raise self._outage.error()
            self._cache.durable.put(copy, payload)

    def give_up(self, folder: str, ours: bytes) -> None:
        """Note that an artifact is not to be published: somebody else's counts, and replaces it when it is here."""
        if self._cache.kept(f"{folder}/{MANIFEST}") == ours:
            self._cache.local.delete(f"{folder}/{UNPUBLISHED}")

    def marked(self) -> list[str]:
        """Return the folders of what is only here."""
        files = [split(entry.path) for entry in self._cache.local.list("")]
        return [folder for folder, name in files if name == UNPUBLISHED]

    # Publishing

    def publish(self) -> list[str]:
        """Publish whatever is marked, and return the folders of what is ours; nothing while another process does so."""
        published = []
        with self._cache.lock("publishing", 0.0) as is_free:
            for folder in self.marked() if is_free else []:
                try:
                    if self._outage.there(lambda folder=folder: self._publish(folder)):  # type: ignore[misc]
                        published.append(folder)
                except ArtifactCorruptError as error:
                    warn(f"{error} It is not published. load_generate() makes it again.", CorruptArtifactWarning)
        return published

    def publish_in_passing(self, folder: str) -> None:
        """Publish an artifact that is used, if that can be done; it is used all the same."""
        if folder in self._refused:
            return
        try:
            # A damaged one is not published, and whoever reads it finds that out.
            with contextlib.suppress(ArtifactCorruptError), self._cache.lock("publishing", 0.0) as is_free:
                if is_free:
                    self._outage.either(lambda: self._publish(folder), lambda: None)
        except OSError as error:
            self._refused.add(folder)
            kept = self._cache.local.path
            warn(f"{str(error).rstrip('.')}. {folder} is still in {kept} only; publish() tries again.", OfflineWarning)

    def _publish(self, folder: str) -> bool | None:
        """Publish an artifact; return whether it is ours that counts, or None if there is none. One process at a time.

        It can be repeated, whatever the last attempt has come to: the mark goes last.
        """
        path, mark = f"{folder}/{MANIFEST}", f"{folder}/{UNPUBLISHED}"
        instead_of, manifest = self._cache.kept(mark), self._cache.kept(path)
        if instead_of is None:
            return None  # done by another process
        if manifest is None:
            with self._cache.locked():
                if self._cache.kept(path) is None:  # given up half-way
                    self._cache.local.delete(mark)
                    self._cache.complete(folder)
            return None
        if self._cache.has_seen_any():
            require_drive(self._remote)
        there = self._manifest_there(path)
        ours = there == manifest
        if not ours and (there is None or digest(there).encode() == instead_of):
            ours = self._replace(folder, manifest, there)
        _logger.info(f"Published {folder} to {self._remote.url}." if ours else f"{folder} is there: theirs counts.")
        with self._cache.locked():
            if not ours:
                self.give_up(folder, manifest)
            elif self._cache.kept(path) != manifest:  # made again meanwhile: still to be published, over this one
                self._cache.durable.replace(mark, digest(manifest).encode())
            else:
                self._cache.note(folder, manifest)
                self._cache.local.delete(mark)
        return ours

    def _replace(self, folder: str, manifest: bytes, there: bytes | None) -> bool:
        """Send an artifact, over the one whose manifest is `there`; return whether it is ours that counts."""
        path, ours = f"{folder}/{MANIFEST}", False
        self._send_all(folder, manifest)
        if there is None:
            ours = self._remote.create(path, manifest) or self._manifest_there(path) == manifest
        elif self._manifest_there(path) == there:  # looked at again, because it may have taken hours to send it
            self._remote.replace(path, manifest)
            ours = True
        leftover = name_of_payload(there if ours else manifest)
        if leftover:
            with contextlib.suppress(OSError):  # swept later
                self._remote.drop(f"{folder}/{leftover}")
        return ours

    def _send_all(self, folder: str, manifest: bytes) -> None:
        """Send a payload, which is verified before, and what is written about it."""
        payload = payload_of(manifest)
        if name := payload.get("file"):
            local = self._cache.local.fetch(f"{folder}/{name}")
            StoredPayload(local, payload["size"], payload["digest"], payload["files"], key=folder).check()
            self._remote.drop(f"{folder}/{name}")  # what is left of an attempt that was killed; nothing names it yet
            self._sender.send(local, f"{folder}/{name}")
        for note in sorted(os.listdir(self._cache.local.fetch(folder))):
            if note.endswith((".json", ".log")) and note != MANIFEST and not note.startswith("payload."):
                self._remote.replace(f"{folder}/{note}", self._cache.local.read(f"{folder}/{note}"))

    def _manifest_there(self, path: str) -> bytes | None:
        try:
            return self._remote.read(path)
        except FileNotFoundError:
            return None
