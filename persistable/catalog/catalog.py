"""The catalogue of a store: find, get, load and compare artifacts."""

from __future__ import annotations

import contextlib
import difflib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .. import _html, _text
from ..artifacts import load
from ..exceptions import AmbiguousKeyError, ArtifactNotFoundError, StoreError
from ..fileio import FileIO, PickleFileIO
from ..keys import ArtifactKey
from ..stores import Store, store_for
from .comparison import Comparison
from .index import COLUMNS, Index, is_away
from .listing import Changes, Known, changes_in_folder, changes_in_listing
from .records import STATES, Record, record_of
from .selection import Selection

if TYPE_CHECKING:
    import pandas as pd

    from ..stores import DataDir

__all__ = ["Catalog", "NameCount"]

T = TypeVar("T")

_ENTRIES: Final = "artifact a LEFT JOIN line l ON l.id = a.id"
_SHORTEST: Final = 4  # characters of a key
_SHOWN: Final = 10  # candidates
_EVERY: Final = 60.0  # seconds; where a look costs a request, or many


@dataclass(frozen=True, slots=True)
class NameCount:
    """The whole artifacts of one payload name: how many, the bytes of their payloads, when the newest was made."""

    count: int
    bytes: int
    newest: str | None


_inherited: list[Index] = []


class Catalog:
    """All that a store holds: artifacts, and whatever else lies there, each with its state.

    A catalogue reads manifests, never payloads. What it has seen it keeps in an index on this machine
    (:mod:`persistable.catalog.index`), so that the next look reads only what has changed. Each method looks at the
    store first; at a store that is no folder at most once a minute, and when :meth:`refresh` is called.

    Parameters
    ----------
    data_dir : path, str or Store
        The folder, the URL, or the store.
    storage_options, cache_dir
        As for :func:`persistable.stores.store_for`.

    Examples
    --------
    >>> import tempfile
    >>> catalog = Catalog(tempfile.mkdtemp())
    >>> len(catalog), list(catalog.find("model", where="params.n > 100 and metrics.rmse < 0.01", sort="metrics.rmse"))
    (0, [])
    """

    def __init__(
        self,
        data_dir: DataDir,
        *,
        storage_options: Mapping[str, Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.store: Store = store_for(data_dir, storage_options=storage_options, cache_dir=cache_dir)
        self._lock = threading.RLock()
        self._forget_index()

    def _forget_index(self) -> None:
        self._index: Index | None = None
        self._pid = os.getpid()
        self._looked: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.store = state["store"]
        self._lock = threading.RLock()
        self._forget_index()

    # -----------------------------------------------------------------------------------------------------------------
    # Looking

    def refresh(self, full: bool = False) -> None:
        """Look at the store now.

        Parameters
        ----------
        full : bool
            Whether to read every manifest again, as if nothing had been seen yet: a manifest that something else than
            persistable has changed in its place is not noticed otherwise.
        """
        self._ask(lambda index: None, look=True, full=full)

    def _ask(self, question: Callable[[Index], T], *, look: bool = False, full: bool = False) -> T:
        """Return the answer to a question, from an index that is up to date; a damaged one is made anew."""
        import sqlite3

        with self._lock:
            if self._pid != os.getpid():  # a connection does not survive a fork; to close it would harm the parent's
                if self._index is not None:
                    _inherited.append(self._index)
                self._forget_index()
            for attempt in range(3):
                try:
                    if self._index is None:
                        self._index = Index(self.store, self._changes)
                        full = full and not self._index.was_built
                        fresh = self._index.was_built
                    else:
                        fresh = False
                    if full:
                        self._index.forget()
                    if not fresh and (look or full or self._is_due()):
                        self._index.update(self._changes(self._index.known()))
                    if fresh or look or full or self._looked is None:
                        self._looked = time.monotonic()
                    return question(self._index)
                except sqlite3.Error as error:
                    if attempt == 2 or self._index is None:
                        raise
                    # Damaged: make it anew. Locked for long by another process, or the disk is full: do without it.
                    (self._index.in_memory if attempt or is_away(error) else self._index.remove)()
        raise AssertionError("unreachable")

    def _changes(self, known: Known) -> Iterator[Changes]:
        root = self.store.local_path("")
        if root is not None:
            return changes_in_folder(self.store, root.rstrip("/") or "/", known)
        return changes_in_listing(self.store, known)

    def _is_due(self) -> bool:
        if self._looked is None or self.store.local_path("") is not None:
            return True
        if time.monotonic() - self._looked < _EVERY:
            return False
        self._looked = None
        return True

    # -----------------------------------------------------------------------------------------------------------------
    # Finding

    def find(
        self,
        payload_name: str | None = None,
        where: str | None = None,
        *,
        state: str | Iterable[str] | None = None,
        sort: str = "-at",
        limit: int | None = None,
    ) -> Selection:
        """Return the entries of a name, that meet a condition, in a state.

        Parameters
        ----------
        payload_name : str, optional
            Of this name only.
        where : str, optional
            A condition in a small part of Python's syntax (:mod:`persistable.catalog.where`), such as
            ``"params.n > 100 and metrics.rmse < 0.01"``, ``"'best' in tags"``, ``"at > '2026-11-01'"``,
            ``"dependencies.data.params.n == 5"``.
        state : str or iterable of str, optional
            Only those in one of these states (:data:`~persistable.catalog.records.STATES`), such as ``"whole"``.
        sort : str
            By what: ``at``, ``size``, ``params.n``, ``metrics.rmse``, …; the largest first with a ``-`` before it. What
            has no such value comes last.
        limit : int, optional
            How many at most.

        Raises
        ------
        QueryError
            If `where` or `sort` is not understood, or asks for a param or metric that no artifact has.
        ValueError
            If there is no such state.
        StoreError
            If the store cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> Catalog(tempfile.mkdtemp()).find(where="params.n >")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        persistable.exceptions.QueryError: It is no expression: invalid syntax.
        """
        tests: list[str] = []
        values: list[Any] = []
        if payload_name is not None:
            tests.append("a.payload_name = ?")
            values.append(payload_name)
        if state is not None:
            states = [state] if isinstance(state, str) else list(state)
            if unknown := [one for one in states if one not in STATES]:
                raise ValueError(f"There is no state {unknown[0]!r}. The states are {', '.join(STATES)}.")
            tests.append(f"a.state IN ({', '.join('?' * len(states))})")
            values += states

        def question(index: Index) -> Selection:
            from .where import condition, sort_key

            more = condition(index, where) if where else None
            all_tests = " AND ".join([*tests, *([more.text] if more else [])]) or "1"
            bound = [*values, *(more.values if more else ())]
            order, join = sort_key(index, sort)
            ordered = f"{join} WHERE {all_tests} ORDER BY {order}"
            if limit is None:
                rows = index.query(f"SELECT {COLUMNS} FROM {_ENTRIES} {ordered}", bound)
                return Selection(rows, len(rows))
            if more is None:
                rows = index.query(f"SELECT {COLUMNS} FROM {_ENTRIES} {ordered} LIMIT ?", [*bound, max(limit, 0)])
                return Selection(rows, index.query(f"SELECT count(*) FROM artifact a WHERE {all_tests}", bound)[0][0])
            ids = index.query(f"SELECT a.id FROM artifact a {ordered}", bound)
            one = f"SELECT {COLUMNS} FROM {_ENTRIES} WHERE a.id = ?"
            return Selection([index.query(one, found)[0] for found in ids[: max(limit, 0)]], len(ids))

        return self._ask(question)

    def resolve(self, key_prefix: str) -> ArtifactKey:
        """Return the key that begins with some characters, as in git.

        Parameters
        ----------
        key_prefix : str
            Four characters of a key at least; or ``name/`` and these.

        Raises
        ------
        ArtifactNotFoundError
            If there is none.
        AmbiguousKeyError
            If there are several.
        ValueError
            If there are fewer than four characters.
        """
        return self.get(key_prefix).key

    def get(self, key_prefix: str) -> Record:
        """Return the record of the artifact whose key begins with some characters; see :meth:`resolve`."""
        name, slash, prefix = key_prefix.rpartition("/")
        prefix = prefix.lower()
        if len(prefix) < _SHORTEST:
            raise ValueError(f"{key_prefix!r} is too short for a key: give {_SHORTEST} characters of it at least.")
        test, values = "a.key >= ? AND a.key < ?", [prefix, prefix + "g"]
        if slash:
            test, values = f"{test} AND a.payload_name = ?", [*values, name]
        rows = self._ask(
            lambda index: index.query(f"SELECT {COLUMNS} FROM {_ENTRIES} WHERE {test} ORDER BY a.at DESC", values)
        )
        if isinstance(key_prefix, ArtifactKey):
            rows = [row for row in rows if row[0] == key_prefix.payload_name]
        rows = [row for row in rows if row[1] == prefix] if len(rows) > 1 and len(prefix) == 32 else rows
        if not rows:
            raise self._not_found(key_prefix, name, prefix)
        if len(rows) > 1:
            names = [f"{row[0]}/{row[1]}" for row in rows]
            more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            shown = ", ".join(_text.printable(one, 100) for one in names[:_SHOWN])
            raise AmbiguousKeyError(
                f"{_text.printable(key_prefix, 80)} is the beginning of {len(names)} keys: {shown}{more}. Give more "
                f"characters, or the name too, as name/{prefix}.",
                names,
            )
        return record_of(rows[0])

    def _not_found(self, asked: str, name: str, prefix: str) -> ArtifactNotFoundError:
        names = list(self.names())
        hint = ""
        if name and name not in names:
            near = difflib.get_close_matches(name, names, 3, 0.6)
            hint = f" There is no payload name {_text.printable(name, 80)!r}"
            hint += f"; did you mean {' or '.join(near)}?" if near else "."
        elif near_keys := self._ask(
            lambda index: index.query(
                "SELECT payload_name, key FROM artifact WHERE key >= ? AND key < ? LIMIT 3",
                [prefix[:_SHORTEST], prefix[:_SHORTEST] + "g"],
            )
        ):
            hint = f" There is {', '.join(f'{name}/{key[:12]}' for name, key in near_keys)}."
        if prefix in names:
            hint = f" {prefix} is a payload name: list its artifacts with find({prefix!r})."
        return ArtifactNotFoundError(
            f"There is no artifact whose key begins with {_text.printable(asked, 80)} in {self.store.url}.{hint}",
            prefix,
        )

    def load(self, key_prefix: str, *, payload_io: FileIO[Any] | None = None) -> Any:
        """Return the payload of an artifact, verified.

        It is read by the format that wrote it. That is pickle, if nothing else was chosen, and to load a pickle runs
        what it says: load from stores only whose writers you trust, or pass the format that you expect.

        Parameters
        ----------
        key_prefix : str
            As for :meth:`resolve`.
        payload_io : FileIO, optional
            The format; needed where a format has to be told something, as the URL of a
            :class:`~persistable.cloud.CloudFileIO`.

        Raises
        ------
        ArtifactNotFoundError, ArtifactCorruptError, ManifestVersionError, PayloadError
            If it is not there, not whole, or cannot be read by that format.
        """
        payload, _ = load(self.store, self.resolve(key_prefix), PickleFileIO() if payload_io is None else payload_io)
        return payload

    def compare(self, keys: Iterable[str]) -> Comparison:
        """Return what differs between some artifacts, side by side.

        Parameters
        ----------
        keys : iterable of str
            As for :meth:`resolve`.
        """
        return Comparison([self.get(key) for key in ([keys] if isinstance(keys, str) else keys)])

    def dependents(self, key: str) -> list[Record]:
        """Return what was made from an artifact directly, the newest first."""
        found = self.resolve(key)

        def question(index: Index) -> list[Any]:
            return index.query(
                f"SELECT {COLUMNS} FROM {_ENTRIES} WHERE a.id IN "
                f"(SELECT id FROM {index.edges()} WHERE key = ? AND payload_name = ?) ORDER BY a.at DESC, a.key DESC",
                [str(found), found.payload_name],
            )

        return [record_of(row) for row in self._ask(question)]

    def names(self) -> dict[str, NameCount]:
        """Return payload name -> how many whole artifacts it has, their bytes, and the time of the newest."""
        rows = self._ask(
            lambda index: index.query(
                "SELECT payload_name, count(*), coalesce(sum(size), 0), max(at) FROM artifact "
                "WHERE state = 'whole' GROUP BY payload_name ORDER BY payload_name"
            )
        )
        return {name: NameCount(*counts) for name, *counts in rows}

    def states(self) -> dict[str, int]:
        """Return state -> how many entries are in it; those that there are."""
        found = dict(self._ask(lambda index: index.query("SELECT state, count(*) FROM artifact GROUP BY state")))
        return {state: found[state] for state in STATES if state in found}

    def to_frame(self) -> pd.DataFrame:
        """Return all entries as a table of pandas; see :meth:`Selection.to_frame`."""
        return self.find().to_frame()

    def __len__(self) -> int:
        return self._ask(lambda index: index.query("SELECT count(*) FROM artifact"))[0][0]  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return True  # an empty store is a store

    def __iter__(self) -> Iterator[Record]:
        return iter(self.find())

    def __repr__(self) -> str:
        return f"Catalog({_text.printable(self.store.url)!r})"

    def _repr_html_(self) -> str:
        with contextlib.suppress(StoreError):
            counts = self.names()
            lines = [
                [name, f"{found.count:,}", _text.size(found.bytes), _text.age(found.newest)]
                for name, found in counts.items()
            ]
            others = [f"{number:,} {state}" for state, number in self.states().items() if state != "whole"]
            total = _text.amount(sum(found.count for found in counts.values()), "artifact")
            table = _html.rows(["name", "artifacts", "size", "newest"], lines, right=(1, 2)) if lines else ""
            return _html.card(_html.title("Catalog", remark=self.store.url), table, pale=", ".join([total, *others]))
        return _html.card(_html.title("Catalog", remark=f"{self.store.url} cannot be read"))
