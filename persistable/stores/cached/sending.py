"""What this process sends to the remote store: payloads, each before a manifest names it.

A payload is put, and then a manifest; in between, the remote store may go away, or come back. So of each payload that
no manifest names yet this process keeps a copy that nobody evicts, and whether it is there: from that it can be sent
before its manifest (:mod:`persistable.stores.cached.manifests`), or put here beside it
(:meth:`persistable.stores.cached.publishing.Publisher.mark`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import NamedTuple

from ..base import Store
from ..copies import Copies
from .layout import name_of_payload
from .links import copy_payload, link_payload

__all__ = ["Sender"]


class _Pending(NamedTuple):
    """A payload that was written, and is named by no manifest yet: a copy that nobody evicts; whether it is there."""

    copy: str
    is_there: bool


class Sender:
    """The payloads that this process writes.

    Parameters
    ----------
    remote : Store
        Where they are sent.
    copies : Copies
        Where those wait that no manifest names yet.
    """

    def __init__(self, remote: Store, copies: Copies) -> None:
        self._remote = remote
        self._copies = copies
        self._pending: dict[str, _Pending] = {}

    def __reduce__(self) -> tuple[type[Sender], tuple[Store, Copies]]:
        return Sender, (self._remote, self._copies)  # what is pending is this process's own

    def send(self, local: str, path: str) -> None:
        """Write a payload to the remote store; it stays here."""
        if not self._remote.put_moves:
            self._remote.put(local, path)
            return
        copy = self._copies.new(os.path.basename(path))
        try:
            with contextlib.suppress(FileNotFoundError):  # that is for put() to say
                copy_payload(local, copy)
            self._remote.put(copy, path)
        finally:
            self._copies.remove(copy)

    def begin(self, local: str, path: str, put: Callable[[], bool]) -> None:
        """Have a payload put; `put` may take it away, and returns whether it is in the remote store then."""
        copy = self._copies.new(os.path.basename(path))
        try:
            with contextlib.suppress(OSError):  # then, if need be, the manifest is refused
                link_payload(local, copy)
            self._pending[path] = _Pending(copy, put())
        except BaseException:
            self._copies.remove(copy)
            raise

    def copy_of(self, path: str) -> str | None:
        """Return the copy of a payload that no manifest names yet; None if there is none."""
        pending = self._pending.get(path)
        return pending.copy if pending is not None and os.path.lexists(pending.copy) else None

    def send_payload_of(self, folder: str, manifest: bytes) -> None:
        """Send the payload that a manifest names before it, if the remote store is back since it was put here."""
        path = f"{folder}/{name_of_payload(manifest)}"
        pending = self._pending.get(path)
        if pending is not None and not pending.is_there:
            self.send(pending.copy, path)
            self._pending[path] = pending._replace(is_there=True)

    def settle_payload_of(self, folder: str, manifest: bytes) -> None:
        """Let go of the payload that a manifest, which has just been written, names."""
        self.settle(f"{folder}/{name_of_payload(manifest)}")

    def settle(self, path: str) -> None:
        """Let go of a payload that a manifest names now, or none ever will."""
        if (pending := self._pending.pop(path, None)) is not None:
            self._copies.remove(pending.copy)
