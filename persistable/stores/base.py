"""What a place is: five operations on small files, and two that move payloads.

The protocol of :mod:`persistable.artifacts` asks a store for nothing else, so that a folder, a shared drive and a
bucket keep the same promises:

- ``read``, ``create``, ``replace``, ``list``, ``delete`` for manifests, leases and logs;
- ``fetch`` and ``put`` for payloads, which are written once and never changed (``drop`` follows from the five).

A store whose payloads lie elsewhere copies them here (:class:`~persistable.stores.remote.RemoteStore`): ``release``
says that a copy is not needed any more, ``forget`` that a copy which is kept is not what was written. What a store
cannot do it says with a :class:`~persistable.exceptions.StoreError`, whose ``transient`` tells whether a later try may
succeed.

Paths are relative to the store's root, with ``/`` between their parts. A store knows nothing of formats.
``persistable.testing.StoreConformance`` checks an implementation.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextvars import ContextVar
from numbers import Real
from typing import Any, NamedTuple

from .._integrity import Verify

__all__ = ["Entry", "Store", "credentials_are_withheld", "withholding_credentials"]

_withheld: ContextVar[bool] = ContextVar("persistable_credentials_are_withheld", default=False)


@contextlib.contextmanager
def withholding_credentials() -> Iterator[None]:
    """Leave out of every store that is pickled meanwhile what it logs in with.

    For payloads: one that refers to its persistable, by a bound method say, would carry that to all who can read it.
    """
    before = _withheld.set(True)
    try:
        yield
    finally:
        _withheld.reset(before)


def credentials_are_withheld() -> bool:
    """Return whether a store that is pickled now is to leave out what it logs in with."""
    return _withheld.get()


class Entry(NamedTuple):
    """One file of a store.

    Attributes
    ----------
    path : str
        Relative to the store's root.
    size : int
        In bytes.
    modified : float
        When it was last written, in seconds since the epoch, by the clock of the store.
    """

    path: str
    size: int
    modified: float


class Store(ABC):
    """A place for artifacts.

    Parameters
    ----------
    verify : {"digest", "size"}
        What is checked of a payload before it is used: its bytes, or its length only. The second is for payloads
        that are mapped rather than read.
    single_flight : bool
        Whether processes that miss the same artifact agree, by leases, that one of them makes it. Without, each
        makes it; what a reader sees is right all the same.
    time_to_live : float, optional
        Seconds after which the lease of an owner that gave no sign of life is taken over; the store's own choice
        if None.
    patience : float
        Seconds to wait for another process's generation, at most, before
        :class:`~persistable.exceptions.LeaseTimeoutError` is raised.
    leftovers_after : float
        Seconds after which files that no manifest names are swept; younger ones may belong to somebody who is
        still writing.
    """

    default_time_to_live = 30.0

    put_moves: bool = True
    """Whether ``put`` may take the file at its local path away; else it is still there, to be used or discarded."""

    def __init__(
        self,
        *,
        verify: Verify = "digest",
        single_flight: bool = True,
        time_to_live: float | None = None,
        patience: float = 86_400.0,
        leftovers_after: float = 86_400.0,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(
                f"{type(self).__qualname__} has no option {', '.join(map(repr, unknown))}. Its options are "
                f"{', '.join(sorted(default_options(type(self))))}."
            )
        if verify not in ("digest", "size"):
            raise ValueError(f"verify must be 'digest' or 'size', got {verify!r}.")
        if time_to_live is not None:
            _check_seconds("time_to_live", time_to_live, "a positive")
        _check_seconds("patience", patience)
        _check_seconds("leftovers_after", leftovers_after)
        self.verify: Verify = verify
        self.single_flight = single_flight
        self._time_to_live = time_to_live
        self.patience = patience
        self.leftovers_after = leftovers_after
        self.probed = False

    @property
    def time_to_live(self) -> float:
        """Seconds without a sign of life after which a lease is taken over."""
        return self.default_time_to_live if self._time_to_live is None else self._time_to_live

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the store is, for people; never with credentials."""

    @property
    def place(self) -> str:
        """Where what is read and written now really is, for logs: elsewhere than at the `url`, if that is away."""
        return self.url

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return the content of the small file at `path`.

        Raises
        ------
        FileNotFoundError
            If there is none.
        StoreError
            If the store cannot be read.
        """

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        """Return the content of the small file at `path`, and its entity tag; None if that is still `etag`.

        For caches: where a place knows tags, an unchanged file costs one request, and no transfer.

        Raises
        ------
        FileNotFoundError, StoreError
            As for :meth:`read`.
        """
        return self.read(path), None

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Write a small file that must not exist yet: of many callers, exactly one gets True.

        A reader sees all of `data` or no file. `data` holds something that only this call could have written: where
        an answer was lost, a store reads the file back to learn whether it was this call that succeeded.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """

    @abstractmethod
    def replace(self, path: str, data: bytes) -> None:
        """Write a small file, over an older one if there is one: a reader sees all of the old, or all of the new.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """

    @abstractmethod
    def list(self, folder: str) -> Iterator[Entry]:
        """Yield every file below `folder`, in any order; nothing if there is no such folder.

        Where a place has empty folders, they are yielded too, with a ``/`` behind their path: a kill may have left
        them over.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove the file at `path`; that there is none is fine."""

    @abstractmethod
    def fetch(self, path: str, size: int | None = None) -> str:
        """Return a local path that holds the payload (a file or a folder) at `path`. It is not to be written to.

        Whether the payload is whole shows when it is read; there too, or here already, that there is none.

        Parameters
        ----------
        path : str
            Relative to the store's root.
        size : int, optional
            Bytes that the payload should have, where it is known to be a file: it saves a request to find out.

        Raises
        ------
        FileNotFoundError
            If there is none, and the store has to copy it.
        StoreError
            If the store cannot be read.
        """

    @abstractmethod
    def put(self, local: str, path: str) -> None:
        """Move the payload (a file or a folder) at the path `local` to `path`, which nobody has used before.

        Raises
        ------
        StoreError
            If the store cannot be written; nothing, or only an orphan, is then at `path`.
        """

    def hold(self, local: str) -> str:
        """Make what :meth:`fetch` returned stay for the life of this process, and return where.

        For payloads that go on reading their file: a memory map, parts that load one by one, the path of a folder.
        """
        return local

    def release(self, local: str) -> None:  # noqa: B027 - most stores have no copies
        """Give back what :meth:`fetch` returned: nobody here will read it again. A copy is removed."""

    def forget(self, path: str) -> bool:
        """Drop the copy of the payload at `path` that is kept here, as it is not what was written.

        Returns
        -------
        bool
            Whether there was one, so that another :meth:`fetch` may bring a better one.
        """
        return False

    def drop(self, path: str) -> None:
        """Remove the payload (a file or a folder) at `path`; that there is none is fine."""
        for entry in tuple(self.list(path)):
            self.delete(entry.path)
        self.delete(path)

    def local_path(self, path: str) -> str | None:
        """Return where `path` lies on this machine's file systems; None if it is not a file here."""
        return None

    def spool(self, path: str) -> str:
        """Return a new local path at which the payload for `path` is written, before :meth:`put` takes it.

        Its last part ends as `path` does, because many libraries look at the suffix of a file.
        """
        import tempfile  # a third of the import time of this package, for stores without a folder of their own

        return os.path.join(tempfile.mkdtemp(prefix="persistable-"), os.path.basename(path))

    def settle(self, spool: str) -> None:  # noqa: B027 - most stores keep payloads elsewhere
        """Force what was written to `spool` to the disk, if that is where the store will keep it.

        :meth:`put` does so too; to begin with it early saves time.
        """

    def discard(self, spool: str) -> None:
        """Remove what is left of a path that :meth:`spool` returned; what cannot be removed is swept later."""
        with contextlib.suppress(OSError):
            remove_tree(os.path.dirname(spool))


def default_options(kind: type[Store]) -> dict[str, Any]:
    """Return the options that a class of stores takes, with their defaults."""
    options: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        options |= getattr(base.__dict__.get("__init__"), "__kwdefaults__", None) or {}
    return options


def _check_seconds(name: str, value: object, at_least: str = "a") -> None:
    said = f"{name} must be {at_least} number of seconds, such as 30.0; got {value!r}."
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(said)
    if not (float(value) > 0 or (value == 0 and at_least == "a")):  # nan is neither
        raise ValueError(said)


def remove_tree(path: str) -> None:
    """Remove a file or a folder, read-only or not; that there is none is fine."""
    with contextlib.suppress(FileNotFoundError):
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):  # as a tool, or a format, may leave a folder
            os.chmod(path, 0o700)
        for name in os.listdir(path):
            remove_tree(os.path.join(path, name))
        os.rmdir(path)
