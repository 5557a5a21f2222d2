"""CachedStore: a place behind a network, and what has been read from it or written to it, on this machine.

Two rules keep it right. A payload file never changes, so a copy of it is as good as it is; and a manifest, which says
which payload counts, is asked for each time: a request that an unchanged one answers without a transfer. Nothing else
is kept: leases and logs are the remote store's alone.

What is in the cache lies there as in any folder of artifacts, so that it can be read as one. Beside that::

    points/3f9a0c…/                  its own time of modification is that of the last use
                   .remote           the remote store's manifest, and what it calls that version of it (an entity tag)
                   .unpublished      there is something here that is not in the remote store yet, and what it replaces
    .copies/                         what single processes read and write (:mod:`persistable.stores.copies`)
            lock, publishing, total  see `_locked`, `publish`, `_admit`

Any number of processes share a folder, and any of them may be killed anywhere:

- ``manifest.json`` appears when its payload is there, and goes before it does, as in any store.
- Whoever fetches a payload reads a copy of its own, and the cache gets a link to that. To evict is to rename a folder,
  under a lock; a reader that finds its file gone, or damaged, fetches it anew, into a copy that nobody evicts. What is
  read lazily has links of its own as well.
- What is only here is marked *before* it is there, and the mark goes when it has arrived: what is marked stays.
- A manifest goes where its payload went. If the remote store is back in the middle of a commit, or away, the payload
  is sent first, or the manifest stays here. A lease stays where it was created, and beats there.

What cannot be kept, on a full disk or in a folder that cannot be written, is read from the remote store all the same.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .._integrity import StoredPayload, digest, files_below
from .._warn import warn
from ..exceptions import ArtifactCorruptError, CorruptArtifactWarning, OfflineWarning, StoreError
from .base import Entry, Store
from .copies import Copies, locked
from .local import LocalStore
from .remote import RemoteStore
from .wrapper import WrapperStore

__all__ = ["CachedStore"]

T = TypeVar("T")

_MANIFEST = "manifest.json"
_REMOTE = ".remote"
_UNPUBLISHED = ".unpublished"
_COPIES = ".copies"

_PAUSE = 30.0
"""Seconds for which a remote store that was out of reach is not asked again: who waits for it once need not twice."""

_PATIENCE = 10.0
"""Seconds to wait for another process that changes the cache. It moves and links files, and waits for no network."""

_FULL = 0.9
"""What is kept of the bound when something is evicted, so that it is not looked through for each payload."""


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
        remote: Store | str,
        local: LocalStore | str | os.PathLike[str],
        *,
        max_size: int | None = 10 * 2**30,
        offline: bool = False,
        single_flight: bool | None = None,
    ) -> None:
        if max_size is not None and (isinstance(max_size, bool) or not isinstance(max_size, int) or max_size <= 0):
            raise ValueError(f"max_size must be a number of bytes, such as 10 * 2**30, or None; got {max_size!r}.")
        self.offline = offline
        self._outage = _Outage()
        self._remote_is_probed = False
        if isinstance(remote, str):
            from . import store_for

            remote = store_for(remote)
        super().__init__(remote)
        self.local = local if isinstance(local, LocalStore) else LocalStore(local, fsync=False)
        self._only_here = LocalStore(
            self.local.path
        )  # the same, to the disk: of what is only here there is no other copy
        self.max_size = max_size
        self._insists = single_flight is True
        if single_flight is not None:
            self.single_flight = single_flight
        self._homes: dict[str, Store] = {}  # path -> where a lease of ours was created
        self._pending: dict[str, _Pending] = {}  # path -> a payload of ours that no manifest names yet
        self._refused: set[str] = set()  # folders that the remote store does not take
        self._copies = Copies(self.local.local_path(_COPIES))
        innermost = _innermost(remote)
        if isinstance(innermost, RemoteStore):
            innermost.copies = self._copies  # on the disk of the cache, so that to keep one is to link it

    @classmethod
    def below(cls, remote: Store, folder: str, **options: Any) -> CachedStore:
        """Return the cache of `remote` in a folder of its own below `folder`."""
        innermost = _innermost(remote)
        endpoint = innermost.endpoint if isinstance(innermost, RemoteStore) else None
        words = re.sub(r"[^A-Za-z0-9]+", "-", remote.url).strip("-")[:60]
        token = digest(f"{remote.url} {endpoint}".encode())[-8:]
        return cls(remote, LocalStore(os.path.join(folder, f"{words}-{token}"), fsync=False), **options)

    def __repr__(self) -> str:
        offline = ", offline=True" if self.offline else ""
        return f"{type(self).__qualname__}({self.inner!r}, {str(self.local.path)!r}{offline})"

    def __getstate__(self) -> dict[str, Any]:
        # Another machine counts its seconds from elsewhere, and may well reach the remote store.
        return {**self.__dict__, "_outage": _Outage(), "_homes": {}, "_pending": {}, "_refused": set()}

    @property
    def url(self) -> str:
        return f"{self.inner.url} (offline: what {self.local.path} holds of it)" if self.offline else self.inner.url

    @property
    def probed(self) -> bool:
        """Whether the remote store is known to be a good one, or is not asked; a disk of this machine is one."""
        return self._remote_is_probed or not self._is_reachable()

    @probed.setter
    def probed(self, value: bool) -> None:
        self._remote_is_probed = value and self._is_reachable()

    # Small files

    def read(self, path: str) -> bytes:
        folder, name = _split(path)
        if name == _MANIFEST:
            return self._either(lambda: self._read_manifest(folder), lambda: self.local.read(path))
        if self._homes.get(path) is self.local:
            return self.local.read(path)

        def read_here() -> bytes:
            with contextlib.suppress(FileNotFoundError):
                return self.local.read(path)
            if path in self._homes:  # a lease of ours, there: it is not known to be gone
                raise self._outage.error()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

        return self._either(lambda: self.inner.read(path), read_here, quietly=True)

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        return self.read(path), None

    def create(self, path: str, data: bytes) -> bool:
        folder, name = _split(path)
        if name != _MANIFEST:
            return self._create_other(path, data)

        def create() -> bool:
            self._send_payload_of(folder, data)
            created = self.inner.create(path, data)
            if created:
                self._keep_ours(folder, data)
            return created

        def create_here() -> bool:
            with self._locked():
                if os.path.lexists(self.local.fetch(path)):
                    return False
                self._mark(folder, data)
                return self._only_here.create(path, data)

        created = self._either(create, create_here)
        if created:
            self._settle_payload_of(folder, data)
        return created

    def replace(self, path: str, data: bytes) -> None:
        folder, name = _split(path)

        def replace() -> None:
            if name == _MANIFEST:
                self._send_payload_of(folder, data)
            self.inner.replace(path, data)
            if name == _MANIFEST:
                self._keep_ours(folder, data)

        def replace_here() -> None:
            if name != _MANIFEST:
                self._write_here(lambda: self.local.replace(path, data))
                return
            with self._locked():
                self._mark(folder, data)
                self._only_here.replace(path, data)

        self._at_home(path, replace, replace_here, quietly=name != _MANIFEST)
        if name == _MANIFEST:
            self._settle_payload_of(folder, data)

    def list(self, folder: str) -> Iterator[Entry]:
        entries = self._either(
            lambda: tuple(self.inner.list(folder)), lambda: tuple(self.local.list(folder)), quietly=True
        )
        return (entry for entry in entries if not _is_of_the_cache(entry.path))

    def delete(self, path: str) -> None:
        folder, name = _split(path)
        if name == _MANIFEST:
            self._delete_manifest(folder)
            return

        def delete_here() -> None:
            if path not in self._homes or self._homes[path] is self.local:
                self.local.delete(path)

        try:
            self._at_home(path, lambda: self.inner.delete(path), delete_here, quietly=True)
        finally:
            self._homes.pop(path, None)

    def _delete_manifest(self, folder: str) -> None:
        path = f"{folder}/{_MANIFEST}"

        def refuse_unless_only_here() -> None:
            if self._kept(f"{folder}/{_UNPUBLISHED}") != b"" and os.path.lexists(self.local.fetch(path)):
                raise self._outage.error()

        self._either(lambda: self.inner.delete(path), refuse_unless_only_here)
        for name in (_MANIFEST, _REMOTE, _UNPUBLISHED):
            self.local.delete(f"{folder}/{name}")

    def _create_other(self, path: str, data: bytes) -> bool:
        is_claim = "/lease/" in path or "/probe." in path

        def create(store: Store) -> bool:
            created = store.create(path, data)
            if created and is_claim:
                self._homes[path] = store
            return created

        def create_here() -> bool:
            if self._insists and is_claim:
                raise StoreError(
                    f"The store {self.inner.url} is out of reach, so that nobody else could be told who makes this "
                    f"artifact, and single_flight=True asks for that. Wait until it is back; or leave "
                    f"single_flight=True out."
                )
            return self._write_here(lambda: create(self.local))

        return bool(self._at_home(path, lambda: create(self.inner), create_here, quietly=True))

    def _write_here(self, write: Callable[[], T]) -> T:
        """Write a small file that is nothing but itself; once more, if its folder was evicted that very moment."""
        try:
            return write()
        except StoreError as error:
            if error.errno != errno.ENOENT:
                raise
            return write()

    # Payloads

    def fetch(self, path: str, size: int | None = None) -> str:
        kept, folder = self.local.fetch(path), _split(path)[0]
        if os.path.lexists(kept):
            with contextlib.suppress(OSError):
                os.utime(self.local.fetch(folder))
            if folder and os.path.lexists(self.local.fetch(f"{folder}/{_UNPUBLISHED}")):
                self._publish_in_passing(folder)
            return kept

        def fetch() -> str:
            copy = self._copy_of(path, size)
            if self._copies.holds(copy):
                self._adopt(copy, path)
            return copy

        def miss() -> str:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

        return self._either(fetch, miss)

    def _copy_of(self, path: str, size: int | None) -> str:
        """Return a copy of a remote payload for this process; of a drive, if there is no room, the payload itself."""
        try:
            found = self.inner.fetch(path, size)
        except (StoreError, FileNotFoundError):
            raise
        except OSError:  # the disk of the cache is full
            if not self._copies.retreat():
                raise
            return self.inner.fetch(path, size)
        if self._copies.holds(found) or not os.path.lexists(found):
            return found
        copy = self._copies.new(os.path.basename(path))  # of a shared drive
        try:
            _copy(found, copy)
        except OSError:
            self._copies.remove(copy)
            return found
        self.inner.release(found)
        return copy

    def hold(self, local: str) -> str:
        if self._copies.holds(local):
            return local
        if not self._is_in_cache(local):
            return self.inner.hold(local)
        held = self._copies.new(os.path.basename(local))
        try:
            _link(local, held)
        except FileNotFoundError:  # evicted this very moment: that will show when it is read
            self._copies.remove(held)
            return local
        return held

    def release(self, local: str) -> None:
        if self._copies.holds(local):
            self._copies.remove(local)
        elif not self._is_in_cache(local):
            self.inner.release(local)

    def forget(self, path: str) -> bool:
        folder = _split(path)[0]
        if os.path.lexists(self.local.fetch(f"{folder}/{_UNPUBLISHED}")):
            return False  # there is no other
        with contextlib.suppress(StoreError), self._locked():
            if _name_of_payload(self._kept(f"{folder}/{_MANIFEST}")) == _split(path)[1]:
                self.local.delete(f"{folder}/{_MANIFEST}")
            self.local.drop(path)
        self.inner.forget(path)
        return self._is_reachable()

    def put(self, local: str, path: str) -> None:
        def put() -> bool:
            self._send(local, path)
            self._adopt(local, path)  # a link: what is left at `local` is the caller's to discard
            return True

        def put_here() -> bool:
            with self._locked():
                if os.path.lexists(local):
                    self._admit(_size(local))
                self._only_here.put(local, path)
            return False

        copy = self._copies.new(os.path.basename(path))
        try:
            with contextlib.suppress(OSError):  # then, if need be, the manifest is refused
                _link(local, copy)
            self._pending[path] = _Pending(copy, self._either(put, put_here))
        except BaseException:
            self._copies.remove(copy)
            raise

    def drop(self, path: str) -> None:
        self._either(lambda: self.inner.drop(path), lambda: None, quietly=True)
        self.local.drop(path)
        self._settle(path)

    def local_path(self, path: str) -> str | None:
        return self.local.local_path(path) if self.offline else self.inner.local_path(path)

    def spool(self, path: str) -> str:
        return self._copies.new(os.path.basename(path))  # removed, whenever this process may be killed

    def settle(self, spool: str) -> None:
        if not self._is_reachable():
            self._only_here.settle(spool)

    def discard(self, spool: str) -> None:
        self._copies.remove(spool)

    def _send(self, local: str, path: str) -> None:
        """Write a payload to the remote store; it stays here."""
        if not self.inner.put_moves:
            self.inner.put(local, path)
            return
        copy = self._copies.new(os.path.basename(path))
        try:
            with contextlib.suppress(FileNotFoundError):  # that is for put() to say
                _copy(local, copy)
            self.inner.put(copy, path)
        finally:
            self._copies.remove(copy)

    def _is_in_cache(self, local: str) -> bool:
        return local.startswith(self.local.local_path(""))

    # Which of the two

    def _is_reachable(self) -> bool:
        return not self.offline and time.monotonic() >= self._outage.until

    def _either(self, there: Callable[[], T], here: Callable[[], T], *, quietly: bool = False) -> T:
        """Do something with the remote store; or, if that is out of reach, in the folder of this machine.

        `quietly` is for what threads of our own ask for, and for what nobody sees: the next manifest tells.
        """
        if self._is_reachable():
            try:
                return self._there(there)
            except StoreError as error:
                if not error.transient:
                    raise
        if not quietly and not self.offline and not self._outage.is_told:
            self._outage.is_told = True
            warn(
                f"{self._outage.problem.rstrip('.')}. Until it is back, what {self.local.path} holds of it is used; "
                f"what is made is kept there, and published later.",
                OfflineWarning,
            )
        return here()

    def _at_home(self, path: str, there: Callable[[], T], here: Callable[[], T], *, quietly: bool) -> T | None:
        """Do as :meth:`_either`; but with what is ours there, or here, only where it is."""
        home = self._homes.get(path)
        if home is self.local:
            return here()
        if home is None:
            return self._either(there, here, quietly=quietly)
        if not self._is_reachable():
            raise self._outage.error()
        return self._there(there)

    def _there(self, operation: Callable[[], T]) -> T:
        """Do something with the remote store, and remember whether it was within reach."""
        try:
            found = operation()
        except StoreError as error:
            if error.transient:
                self._outage.until = time.monotonic() + _PAUSE
                self._outage.problem = str(error)
            raise
        except FileNotFoundError:
            self._outage = _Outage()
            raise
        self._outage = _Outage()
        return found

    # Manifests

    def _read_manifest(self, folder: str) -> bytes:
        path = f"{folder}/{_MANIFEST}"
        mark = self._kept(f"{folder}/{_UNPUBLISHED}")
        if mark is not None and (ours := self._kept(path)) is not None:
            return self._read_unpublished(folder, ours, mark)
        seen = self._seen(folder)
        try:
            found = self.inner.read_if_changed(path, seen.etag if seen else None)
        except FileNotFoundError:
            if seen is not None or os.path.lexists(self.local.fetch(path)):  # removed there since
                self._require_drive()
                with contextlib.suppress(StoreError), self._locked():
                    self._evict(folder)
            raise
        if found is None:
            assert seen is not None  # for it has given the tag
            return seen.manifest
        with contextlib.suppress(StoreError), self._locked():
            self._note(folder, *found)
        return found[0]

    def _read_unpublished(self, folder: str, ours: bytes, instead_of: bytes) -> bytes:
        """Return a manifest that is only here: ours, or that of somebody who has made the artifact meanwhile."""
        try:
            theirs = self.inner.read(f"{folder}/{_MANIFEST}")
        except FileNotFoundError:
            return ours
        if theirs == ours or digest(theirs).encode() == instead_of:
            return ours  # :meth:`fetch` publishes it
        with contextlib.suppress(StoreError), self._locked():
            self._give_up(folder, ours)
            self._note(folder, theirs, None)
        return theirs

    def _require_drive(self) -> None:
        """Raise an error if it is a whole drive that is missing: nothing was removed there, it is not mounted."""
        root = self.inner.local_path("")
        if root is not None and not os.path.isdir(root):
            raise _away(f"The folder {root} is not there.")

    def _seen(self, folder: str) -> _Seen | None:
        """Return the manifest that the remote store had, when it was last asked."""
        found, _, manifest = (self._kept(f"{folder}/{_REMOTE}") or b"").partition(b"\n")
        written, _, etag = found.partition(b" ")
        return _Seen(manifest, etag.decode() or None) if written == digest(manifest).encode() else None

    # What follows changes the cache, and wants the lock: see :meth:`_locked`.

    def _note(self, folder: str, manifest: bytes, etag: str | None) -> None:
        """Note what the remote store has. One file holds both, so that the tag is always that of these bytes."""
        content = f"{digest(manifest)} {etag or ''}\n".encode() + manifest
        self._admit(3 * len(content))  # here, beside the payload, and once more while it is written
        self.local.replace(f"{folder}/{_REMOTE}", content)
        self._complete(folder)

    def _complete(self, folder: str) -> None:
        """Write the manifest that the remote store has beside its payload, if that is here."""
        seen, path = self._seen(folder), f"{folder}/{_MANIFEST}"
        if seen is None or os.path.lexists(self.local.fetch(f"{folder}/{_UNPUBLISHED}")):
            return
        name, before = _name_of_payload(seen.manifest), self._kept(path)
        if before != seen.manifest and name and os.path.lexists(self.local.fetch(f"{folder}/{name}")):
            self.local.replace(path, seen.manifest)
            if (old := _name_of_payload(before)) and old != name:
                self.local.drop(f"{folder}/{old}")

    def _keep_ours(self, folder: str, manifest: bytes) -> None:
        """Keep a manifest that has just been written to the remote store."""
        with contextlib.suppress(StoreError), self._locked():
            self.local.delete(f"{folder}/{_UNPUBLISHED}")
            self._note(folder, manifest, None)

    def _mark(self, folder: str, manifest: bytes) -> None:
        """Note that a manifest is to be published, and which one it replaces there; see that its payload is here."""
        if self._kept(f"{folder}/{_UNPUBLISHED}") is None:  # made twice while away: it replaces what the first one did
            before = self._kept(f"{folder}/{_MANIFEST}")
            self._only_here.replace(f"{folder}/{_UNPUBLISHED}", digest(before).encode() if before is not None else b"")
        if (name := _name_of_payload(manifest)) and not os.path.lexists(self.local.fetch(f"{folder}/{name}")):
            pending = self._pending.get(f"{folder}/{name}")  # evicted, or not kept because it was written there
            if pending is None or not os.path.lexists(pending.copy):
                raise self._outage.error()
            self._only_here.put(pending.copy, f"{folder}/{name}")

    def _give_up(self, folder: str, ours: bytes) -> None:
        """Note that an artifact is not to be published: somebody else's counts, and replaces it when it is here."""
        if self._kept(f"{folder}/{_MANIFEST}") == ours:
            self.local.delete(f"{folder}/{_UNPUBLISHED}")

    def _adopt(self, copy: str, path: str) -> None:
        """Give the cache a link to a payload; if it cannot be kept, it is not."""
        with contextlib.suppress(OSError):
            size = _size(copy)
            if self.max_size is not None and size > self.max_size:
                return
            link = self._copies.new(os.path.basename(path))
            try:
                _link(copy, link)
                with self._locked():
                    self._admit(size)
                    with contextlib.suppress(StoreError):  # another process was faster: theirs is as good
                        self.local.put(link, path)
                    self._complete(_split(path)[0])
            finally:
                self._copies.remove(link)

    def _kept(self, path: str) -> bytes | None:
        """Return a small file of the cache; what cannot be read might as well not be there."""
        try:
            return self.local.read(path)
        except OSError:
            return None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the cache, for as long as it takes to move and link files."""
        try:
            with self._lock("lock", _PATIENCE) as held:
                if not held:
                    raise TimeoutError(errno.ETIMEDOUT, f"another process has been busy with it for {_PATIENCE:.0f} s")
                yield
        except StoreError:
            raise
        except OSError as error:
            failure = StoreError(f"The cache {self.local.path} cannot be changed: {error.strerror}. Mend the cause.")
            failure.errno = error.errno
            raise failure from error

    @contextlib.contextmanager
    def _lock(self, name: str, patience: float) -> Iterator[bool]:
        folder = self.local.local_path(_COPIES)
        os.makedirs(folder, exist_ok=True)
        with locked(os.path.join(folder, name), patience) as held:
            yield held

    # Publishing

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
        published = []
        with self._lock("publishing", 0.0) as is_free:
            marks = [entry.path for entry in self.local.list("") if _split(entry.path)[1] == _UNPUBLISHED]
            for folder in [_split(mark)[0] for mark in marks] if is_free else []:
                try:
                    if self._there(lambda folder=folder: self._publish(folder)):  # type: ignore[misc]
                        published.append(folder)
                except ArtifactCorruptError as error:
                    warn(f"{error} It is not published. load_generate() makes it again.", CorruptArtifactWarning)
        return published

    def _publish_in_passing(self, folder: str) -> None:
        """Publish an artifact that is used, if that can be done; it is used all the same."""
        if folder in self._refused:
            return
        try:
            with self._lock("publishing", 0.0) as is_free:
                if is_free:
                    self._either(lambda: self._publish(folder), lambda: None)
        except ArtifactCorruptError:
            pass  # whoever reads it will find that out
        except OSError as error:
            self._refused.add(folder)
            warn(
                f"{str(error).rstrip('.')}. {folder} is still in {self.local.path} only; publish() tries again.",
                OfflineWarning,
            )

    def _publish(self, folder: str) -> bool | None:
        """Publish an artifact; return whether it is ours that counts, or None if there is none. One process at a time.

        It can be repeated, whatever the last attempt has come to: the mark goes last.
        """
        path, mark = f"{folder}/{_MANIFEST}", f"{folder}/{_UNPUBLISHED}"
        instead_of, manifest = self._kept(mark), self._kept(path)
        if instead_of is None:
            return None  # done by another process
        if manifest is None:
            with self._locked():
                if self._kept(path) is None:  # given up half-way
                    self.local.delete(mark)
            return None
        there = self._remote_manifest(path)
        ours = there == manifest
        if not ours and (there is None or digest(there).encode() == instead_of):
            payload = self._send_all(folder, manifest)
            if there is None:
                ours = self.inner.create(path, manifest) or self._remote_manifest(path) == manifest
            elif self._remote_manifest(path) == there:  # looked at again, because it may have taken hours to send it
                self.inner.replace(path, manifest)
                ours = True
            leftover = payload if not ours else _name_of_payload(there)
            if leftover:
                with contextlib.suppress(OSError):  # swept later
                    self.inner.drop(f"{folder}/{leftover}")
        with self._locked():
            if not ours:
                self._give_up(folder, manifest)
            elif self._kept(path) != manifest:  # made again meanwhile: that is still to be published, over this one
                self._only_here.replace(mark, digest(manifest).encode())
            else:
                self._note(folder, manifest, None)
                self.local.delete(mark)
        return ours

    def _send_all(self, folder: str, manifest: bytes) -> str | None:
        """Send a payload, which is verified before, and what is written about it; return the payload's name."""
        payload = _payload_of(manifest)
        name = payload.get("file")
        if name:
            local = self.local.fetch(f"{folder}/{name}")
            StoredPayload(local, payload["size"], payload["digest"], payload["files"], key=folder).check()
            self.inner.drop(f"{folder}/{name}")  # what is left of an attempt that was killed; nothing names it yet
            self._send(local, f"{folder}/{name}")
        for note in sorted(os.listdir(self.local.fetch(folder))):
            if note.endswith((".json", ".log")) and note != _MANIFEST and not note.startswith("payload."):
                self.inner.replace(f"{folder}/{note}", self.local.read(f"{folder}/{note}"))
        return name

    def _send_payload_of(self, folder: str, manifest: bytes) -> None:
        """Send the payload that a manifest names before it, if the remote store is back since it was put here."""
        path = f"{folder}/{_name_of_payload(manifest)}"
        pending = self._pending.get(path)
        if pending is not None and not pending.is_there:
            self._send(pending.copy, path)
            self._pending[path] = pending._replace(is_there=True)

    def _settle_payload_of(self, folder: str, manifest: bytes) -> None:
        self._settle(f"{folder}/{_name_of_payload(manifest)}")

    def _settle(self, path: str) -> None:
        """Let go of a payload that a manifest names now, or none ever will."""
        if (pending := self._pending.pop(path, None)) is not None:
            self._copies.remove(pending.copy)

    def _remote_manifest(self, path: str) -> bytes | None:
        try:
            return self.inner.read(path)
        except FileNotFoundError:
            return None

    # Room

    def _admit(self, size: int) -> None:
        """Make room for so many bytes, with the lock held.

        All processes count in one file what comes in; when that reaches the bound, it is looked what is really there.
        """
        if self.max_size is None:
            return
        counter = Path(self.local.local_path(f"{_COPIES}/total"))
        try:
            total = int(counter.read_bytes())
        except (OSError, ValueError):
            total = self.max_size  # not known
        if total + size > self.max_size:
            total = self._make_room(size)
        counter.write_bytes(b"%d" % (total + size))

    def _make_room(self, size: int) -> int:
        """Evict what was not used for longest, and return how many bytes there are then."""
        assert self.max_size is not None
        folders = sorted(self._folders(), key=lambda folder: folder.used)
        total = sum(folder.size for folder in folders)
        if total + size <= self.max_size:
            return total
        for folder in folders:
            if total + size <= _FULL * self.max_size:
                break
            if self._evict(folder.path):
                total -= folder.size
        return total

    def _folders(self) -> Iterator[_Folder]:
        """Yield what can be evicted: a folder of an artifact; a payload that lies in none."""
        sizes: dict[str, int] = {}
        for entry in self.local.list(""):
            first, _, rest = entry.path.partition("/")
            if first != _COPIES and not entry.path.endswith("/"):
                path = f"{first}/{rest.partition('/')[0]}" if rest and not first.startswith("payload.") else first
                sizes[path] = sizes.get(path, 0) + entry.size
        for path, size in sizes.items():
            with contextlib.suppress(OSError):
                yield _Folder(path, size, os.stat(self.local.fetch(path)).st_mtime)

    def _evict(self, folder: str) -> bool:
        """Remove a folder, for others in one step, unless it is marked; return whether it is gone."""
        if os.path.lexists(self.local.fetch(f"{folder}/{_UNPUBLISHED}")):
            return False
        trash = self._copies.new("evicted")
        try:
            os.rename(self.local.fetch(folder), trash)
        except OSError:
            return False
        finally:
            self._copies.remove(trash)
        return True


class _Outage:
    """What is known of a remote store that is out of reach."""

    def __init__(self) -> None:
        self.until = 0.0  # on the monotonic clock
        self.problem = "The store is offline."
        self.is_told = False

    def error(self) -> StoreError:
        return _away(self.problem)


class _Pending(NamedTuple):
    """A payload that was written, and is named by no manifest yet: a copy that nobody evicts; whether it is there."""

    copy: str
    is_there: bool


class _Seen(NamedTuple):
    """A manifest of the remote store, and what it calls that version of it."""

    manifest: bytes
    etag: str | None


class _Folder(NamedTuple):
    """What an artifact takes up."""

    path: str
    size: int
    used: float


def _away(problem: str) -> StoreError:
    error = StoreError(problem)
    error.transient = True
    return error


def _innermost(store: Store) -> Store:
    while isinstance(store, WrapperStore):
        store = store.inner
    return store


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _is_of_the_cache(path: str) -> bool:
    return path.startswith(f"{_COPIES}/") or _split(path)[1].startswith((_REMOTE, _UNPUBLISHED))


def _payload_of(manifest: bytes) -> dict[str, Any]:
    """Return what a manifest says of its payload; nothing, if it is damaged."""
    try:
        return dict(json.loads(manifest)["artifact"]["payload"])
    except (ValueError, KeyError, TypeError):
        return {}


def _name_of_payload(manifest: bytes | None) -> str | None:
    return _payload_of(manifest).get("file") if manifest else None


def _size(path: str) -> int:
    if not os.path.isdir(path):
        return os.stat(path).st_size
    return sum(os.stat(file).st_size for _, file in files_below(path))


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _link(source: str, target: str) -> None:
    """Give a file, or each file of a folder, a second name; where there are no links, copy it."""
    files = [("", source)] if not os.path.isdir(source) else list(files_below(source))
    for name, file in files:
        to = Path(target, name)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, to)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(file, to)
