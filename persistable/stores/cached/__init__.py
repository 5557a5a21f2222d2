"""CachedStore: a place behind a network, and what has been read from it or written to it, on this machine.

Two rules keep it right. A payload file never changes, so a copy of it is as good as it is; and a manifest, which says
which payload counts, is asked for each time: a request that an unchanged one answers without a transfer. Nothing else
is kept: leases and logs are the remote store's alone.

What is in the cache lies there as in any folder of artifacts, so that it can be read as one. Beside that::

    points/3f9a0c…/                  its own time of modification is that of the last use
                   .remote           the remote store's manifest, and what it calls that version of it (an entity tag)
                   .unpublished      there is something here that is not in the remote store yet, and what it replaces
    .copies/                         what single processes read and write (:mod:`persistable.stores.copies`)
            lock, publishing, total  see `CacheFolder.locked`, `Publisher.publish`, `Room.admit`

Any number of processes share a folder, and any of them may be killed anywhere:

- ``manifest.json`` appears when its payload is there, and goes before it does, as in any store.
- Whoever fetches a payload reads a copy of its own, and the cache gets a link to that. To evict is to rename a folder,
  under a lock; a reader that finds its file gone, or damaged, fetches it anew, into a copy that nobody evicts. What is
  read lazily has links of its own as well.
- What is only here is marked *before* it is there, and the mark goes when it has arrived: what is marked stays.
- A manifest goes where its payload went. If the remote store is back in the middle of a commit, or away, the payload
  is sent first, or the manifest stays here. A lease stays where it was created, and beats there.

What cannot be kept, on a full disk or in a folder that cannot be written, is read from the remote store all the same.

The parts, from the face down; each knows only those below it::

    CachedStore                    which kind of file an operation is about
    manifests, payloads, homes     what is done with each kind, there or here; homes: with leases, logs, params
    publishing                     what is only here
    sending                        what is sent there, each payload before its manifest
    folder, outage                 what is here; whether the remote store is within reach
    room                           how much may be here
    links, layout                  payloads as files; names of files
"""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..._integrity import digest
from ...exceptions import StoreError
from ..base import Entry, Store
from ..local import LocalStore
from ..remote import RemoteStore
from ..wrapper import WrapperStore
from .folder import CacheFolder
from .homes import Homes
from .layout import MANIFEST, is_of_the_cache, split
from .manifests import Manifests
from .outage import Outage
from .payloads import Payloads
from .publishing import Publisher
from .sending import Sender

if TYPE_CHECKING:
    from .. import DataDir

__all__ = ["CachedStore"]


class CachedStore(WrapperStore):
    """A store, and a folder of this machine that keeps what is read from it and written to it.

    While the remote store is out of reach, what the folder holds is served, and an
    :class:`~persistable.OfflineWarning` says so, once. What is made meanwhile is kept in the folder, and published when
    it is next used, or by :meth:`publish`, as soon as the store is back: if somebody else has made it by then, theirs
    counts. With `offline` it is the same, without a question or a warning.

    Parameters
    ----------
    remote : Store or str
        Where artifacts are.
    local : LocalStore, str or Path
        The folder on this machine, of this remote store alone. Any number of processes may share it.
    max_size : int, optional
        Bytes that the folder is to hold at most; what has not been used for longest is evicted, and what is larger is
        not kept. None for no bound. What is not published yet is never evicted.
    offline : bool
        Whether to ask nothing of the remote store, and serve what is in the folder.
    single_flight : bool, optional
        True: refuse to make anything while the remote store is out of reach, because others cannot be told. If not
        given, it is made all the same, once on this machine. False as for :class:`~persistable.stores.Store`. All
        other options are those of `remote`.

    Examples
    --------
    >>> import tempfile
    >>> remote, cache = LocalStore(tempfile.mkdtemp()), LocalStore(tempfile.mkdtemp())
    >>> store = CachedStore(remote, cache)
    >>> store.create("points/3f9a/manifest.json", b"{}")
    True
    >>> cache.read("points/3f9a/.remote").partition(b"\\n")[2]
    b'{}'
    """

    put_moves = True

    def __init__(
        self,
        remote: DataDir,
        local: LocalStore | str | os.PathLike[str],
        *,
        max_size: int | None = 10 * 2**30,
        offline: bool = False,
        single_flight: bool | None = None,
    ) -> None:
        local = local if isinstance(local, LocalStore) else LocalStore(local, fsync=False)
        self._cache = cache = CacheFolder(local, max_size)
        self._outage = outage = Outage(local.path, offline)
        super().__init__(remote)
        remote = self.inner
        if single_flight is not None:
            self.single_flight = single_flight
        innermost = _innermost(remote)
        if isinstance(innermost, RemoteStore):
            innermost.copies = cache.copies  # on the disk of the cache, so that to keep one is to link it
        sender = Sender(remote, cache.copies)
        self._publisher = publisher = Publisher(remote, cache, outage, sender)
        self._manifests = Manifests(remote, cache, outage, sender, publisher)
        self._payloads = Payloads(remote, cache, outage, sender, publisher)
        self._homes = Homes(remote, cache, outage, insists=single_flight is True)

    @classmethod
    def below(cls, remote: Store, folder: str, **options: Any) -> CachedStore:
        """Return the cache of `remote` in a folder of its own below `folder`."""
        innermost = _innermost(remote)
        endpoint = innermost.endpoint if isinstance(innermost, RemoteStore) else None
        profile = getattr(innermost, "profile", None)
        words = re.sub(r"[^A-Za-z0-9]+", "-", remote.url).strip("-")[:60]
        token = digest(f"{remote.url} {endpoint} {profile}".encode())[-8:]
        return cls(remote, os.path.join(folder, f"{words}-{token}"), **options)

    def __repr__(self) -> str:
        offline = ", offline=True" if self.offline else ""
        return f"{type(self).__qualname__}({self.inner!r}, {str(self.local.path)!r}{offline})"

    @property
    def local(self) -> LocalStore:
        """The folder on this machine."""
        return self._cache.local

    @property
    def max_size(self) -> int | None:
        """Bytes that the folder is to hold at most; None for no bound."""
        return self._cache.room.max_size

    @property
    def offline(self) -> bool:
        """Whether nothing is asked of the remote store."""
        return self._outage.offline

    @property
    def url(self) -> str:
        return f"{self.inner.url} (offline: what {self.local.path} holds of it)" if self.offline else self.inner.url

    @property
    def place(self) -> str:
        if self._outage.is_reachable:
            return self.inner.url
        return f"{self.local.path}, as {self.inner.url} is {'not asked' if self.offline else 'out of reach'}"

    @property
    def probed(self) -> bool:
        """Whether the remote store is known to be a good one, or is not asked; a disk of this machine is one."""
        return self._remote_is_probed or not self._outage.is_reachable

    @probed.setter
    def probed(self, value: bool) -> None:
        self._remote_is_probed = value and self._outage.is_reachable

    def publish(self) -> builtins.list[str]:
        """Publish what was made while the remote store was out of reach.

        Of several processes that publish at once, one does; the others have nothing to do.

        Returns
        -------
        list of str
            The folders of the artifacts that are there now, as ``points/3f9a0c…``. Where somebody else has made an
            artifact meanwhile, theirs counts, and it is not among them.

        Raises
        ------
        StoreError
            If the remote store cannot be written, or the store is `offline`.
        """
        if self.offline:
            raise StoreError(f"{self!r} asks nothing of the remote store. Publish through one without offline=True.")
        return self._publisher.publish()

    def unpublished(self) -> builtins.list[str]:
        """Return the folders of what is only on this machine, as ``points/3f9a0c…``."""
        return self._publisher.marked()

    # Small files

    def read(self, path: str) -> bytes:
        folder, name = split(path)
        return self._manifests.read(folder) if name == MANIFEST else self._homes.read(path)

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        return self.read(path), None

    def create(self, path: str, data: bytes) -> bool:
        folder, name = split(path)
        return self._manifests.create(folder, data) if name == MANIFEST else self._homes.create(path, data)

    def replace(self, path: str, data: bytes) -> None:
        folder, name = split(path)
        if name == MANIFEST:
            self._manifests.replace(folder, data)
        else:
            self._homes.replace(path, data)

    def delete(self, path: str) -> None:
        folder, name = split(path)
        if name == MANIFEST:
            self._manifests.delete(folder)
        else:
            self._homes.delete(path)

    def list(self, folder: str) -> Iterator[Entry]:
        entries = self._outage.either(
            lambda: tuple(self.inner.list(folder)), lambda: tuple(self.local.list(folder)), quietly=True
        )
        return (entry for entry in entries if not is_of_the_cache(entry.path))

    # Payloads

    def fetch(self, path: str, size: int | None = None) -> str:
        return self._payloads.fetch(path, size)

    def hold(self, local: str) -> str:
        return self._payloads.hold(local)

    def release(self, local: str) -> None:
        self._payloads.release(local)

    def forget(self, path: str) -> bool:
        return self._payloads.forget(path)

    def put(self, local: str, path: str) -> None:
        self._payloads.put(local, path)

    def drop(self, path: str) -> None:
        self._payloads.drop(path)

    def local_path(self, path: str) -> str | None:
        return self.local.local_path(path) if self.offline else self.inner.local_path(path)

    def spool(self, path: str) -> str:
        return self._payloads.spool(path)

    def settle(self, spool: str) -> None:
        self._payloads.settle(spool)

    def discard(self, spool: str) -> None:
        self._payloads.discard(spool)


def _innermost(store: Store) -> Store:
    while isinstance(store, WrapperStore):
        store = store.inner
    return store
