"""The catalogue of a store: find, get, load and compare artifacts."""

from __future__ import annotations

import contextlib
import difflib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from .. import _html, _text
from ..exceptions import AmbiguousKeyError, ArtifactNotFoundError, QueryError, StoreError
from ..fileio import FileIO
from ..keys import ArtifactKey
from ..stores import Store, store_for
from .comparison import Comparison
from .index import COLUMNS, Index, is_away, is_refused
from .listing import Changes, Known, changes_in_folder, changes_in_listing
from .records import STATES, Record, record_of
from .selection import Selection
from .upstreams import Place

if TYPE_CHECKING:
    import pandas as pd

    from ..stores import DataDir

__all__ = ["Catalog", "Key", "NameCount"]

T = TypeVar("T")

Key: TypeAlias = str | Any
"""A key, the beginning of one (four characters at least; also ``name/`` and these), or whatever has a ``key``: a
:class:`Record`, a persistable."""

_ENTRIES: Final = "artifact a LEFT JOIN line l ON l.id = a.id"
_SHORTEST: Final = 4  # characters of a key
_SHOWN: Final = 10  # candidates
_EVERY: Final = 60.0  # seconds; where a look costs a request, or many
_AT_ONCE: Final = 500  # keys in one statement
_IS_OURS: Final = "a.state != 'foreign'"


@dataclass(frozen=True, slots=True)
class NameCount:
    """The whole artifacts of one payload name: how many, the bytes of their payloads, when the newest was made."""

    count: int
    bytes: int
    newest: str | None


_inherited: list[Index] = []


class Catalog:
    """All that a store holds: artifacts, those that would be some, and whatever else lies there, each with its state.

    A catalogue reads manifests, never payloads. What it has seen it keeps in an index on this machine
    (:mod:`persistable.catalog.index`), so that the next look reads only what has changed. Each method looks at the
    store first; at a store that is no folder at most once a minute, and when :meth:`refresh` is called. Its length, and
    iterating over it, leave out files that are not ours, as :meth:`find` does.

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
        self._is_still = False

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

    def _ask(self, question: Callable[[Index], T], *, look: bool | None = None, full: bool = False) -> T:
        """Return the answer to a question, from an index that is up to date; a damaged one is made anew.

        Whether to look at the store is decided by when that was done last, unless `look` says.
        """
        import sqlite3

        self._check_folder()
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
                    if not fresh and (full or (self._is_due() if look is None else look)):
                        self._index.update(self._changes(self._index.known()))
                    if fresh or look or full or self._looked is None:
                        self._looked = time.monotonic()
                    return question(self._index)
                except sqlite3.Error as error:
                    if is_refused(error):
                        raise QueryError(f"The index cannot answer this: {error}. Ask for less at once.") from error
                    if attempt == 2 or self._index is None:
                        raise
                    # Damaged: make it anew. Locked for long by another process, or the disk is full: do without it.
                    (self._index.in_memory if attempt or is_away(error) else self._index.remove)()
        raise AssertionError("unreachable")

    def _check_folder(self) -> None:
        root = self.store.local_path("")
        root = None if root is None else root.rstrip("/") or "/"
        if root is not None and not os.path.isdir(root):
            found = "is a file" if os.path.exists(root.rstrip("/")) else "does not exist"
            raise StoreError(
                f"There is no folder {root}: it {found}. Check the path; a store's folder is made when the "
                f"first artifact is persisted to it."
            )

    def _changes(self, known: Known) -> Iterator[Changes]:
        root = self.store.local_path("")
        if root is not None:
            return changes_in_folder(self.store, root.rstrip("/") or "/", known)
        return changes_in_listing(self.store, known)

    @contextlib.contextmanager
    def at_one_look(self) -> Iterator[None]:
        """Answer all that is asked meanwhile as of the first look at the store: to look costs most of an answer."""
        self._looked, self._is_still = None, True
        try:
            yield
        finally:
            self._is_still = False

    def _is_due(self) -> bool:
        if self._is_still and self._looked is not None:
            return False
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
        sort: str | Sequence[str] = "-at",
        limit: int | None = None,
    ) -> Selection:
        """Return the entries of a name, that meet a condition, in a state.

        Parameters
        ----------
        payload_name : str, optional
            Of this name only. That no artifact has it is no error: a store is empty at first.
        where : str, optional
            A condition in a small part of Python's syntax (:mod:`persistable.catalog.where`), such as
            ``"params.n > 100 and metrics.rmse < 0.01"``, ``"params.lags == (1, 2)"``, ``"'best' in tags"``,
            ``"at > '2026-11-01'"``, ``"dependencies.data.params.n == 5"``. As in Python, 1 finds 1.0 too, but
            ``[1, 2]`` no tuple.
        state : str or iterable of str, optional
            Only those in one of these states (:data:`~persistable.catalog.records.STATES`), such as ``"whole"``, or
            ``"any"``. Unless this or `where` asks for states: all but ``"foreign"``, which is what is not ours.
        sort : str or sequence of str
            By what, or by what first and then: ``at``, ``size``, ``params.n``, ``metrics.rmse``, …; the largest first
            with a ``-`` before it. What has no such value comes last, and what is equal in all comes newest first.
        limit : int, optional
            How many at most.

        Raises
        ------
        QueryError
            If `where` or `sort` is not understood, or asks for a param or metric that no artifact has.
        ValueError
            If there is no such state, or `limit` is negative.
        StoreError
            If the store cannot be read, or is a folder that does not exist.

        Examples
        --------
        >>> import tempfile
        >>> Catalog(tempfile.mkdtemp()).find(where="params.n >")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        persistable.exceptions.QueryError: It is no expression: invalid syntax.
        """
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise ValueError(f"limit must be 0 or more, or None for all; got {limit!r}.")
        tests: list[str] = []
        values: list[Any] = []
        if payload_name is not None:
            tests.append("a.payload_name = ?")
            values.append(payload_name)
        if (states := _states(state)) is not None:
            tests.append(f"a.state IN ({', '.join('?' * len(states))})")
            values += states

        def question(index: Index) -> Selection:
            from .where import condition, sort_key

            more = condition(index, where) if where else None
            order = sort_key(index, [sort] if isinstance(sort, str) else sort)
            fields = (*(more.fields if more else ()), *order.fields)
            all_tests, bound = [*tests, *([more.text] if more else [])], [*values, *(more.values if more else ())]
            if state is None and not (more and ("state",) in more.fields):
                all_tests.append(_IS_OURS)
            met = " AND ".join(all_tests) or "1"
            # What is sorted is numbers, and not long lines; the outer loop of a cross join keeps their order.
            found = f"SELECT a.id FROM artifact a {order.joins} WHERE {met} ORDER BY {order.text} LIMIT ?"
            rows = index.query(
                f"SELECT {COLUMNS} FROM ({found}) f CROSS JOIN {_ENTRIES} WHERE a.id = f.id",
                [*bound, -1 if limit is None else limit],
            )
            total = len(rows)
            if total == limit:
                total = index.query(f"SELECT count(*) FROM artifact a WHERE {met}", bound)[0][0]
            return Selection(rows, total, store=self.store, look=self._records, asked=fields)

        return self._ask(question)

    def _records(self, places: Iterable[Place]) -> dict[Place, Record]:
        """Return the records of these artifacts, as far as they are there, as the store was seen last."""
        asked = set(places)
        keys = sorted({key for _, key in asked})

        def question(index: Index) -> list[Any]:
            rows = []
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                found = f"a.key IN ({', '.join('?' * len(some))}) AND a.state != '1.x'"
                rows += index.query(f"SELECT {COLUMNS} FROM {_ENTRIES} WHERE {found}", some)
            return rows

        rows = self._ask(question, look=False)
        return {place: record_of(row, self.store) for row in rows if (place := (row[0], row[1])) in asked}

    def resolve(self, key: Key) -> ArtifactKey:
        """Return the key that begins with some characters, as in git.

        Parameters
        ----------
        key : str, ArtifactKey, Record or Persistable
            Four characters of a key at least; or ``name/`` and these; or what has a key: a record, a persistable.

        Raises
        ------
        ArtifactNotFoundError
            If there is none.
        AmbiguousKeyError
            If there are several.
        ValueError
            If there are fewer than four characters.
        TypeError
            If it is something else.
        """
        return self.get(key).key

    def get(self, key: Key) -> Record:
        """Return the record of the artifact of this key, or whose key begins so; see :meth:`resolve`."""
        key_prefix = _key_of(key)
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
        return record_of(rows[0], self.store)

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

    def load(self, key: Key, *, payload_io: FileIO[Any] | None = None) -> Any:
        """Return the payload of an artifact, verified.

        It is read by the format that wrote it. That is pickle, if nothing else was chosen, and to load a pickle runs
        what it says: load from stores only whose writers you trust, or pass the format that you expect.

        Parameters
        ----------
        key : str, ArtifactKey, Record or Persistable
            As for :meth:`resolve`.
        payload_io : FileIO, optional
            The format; needed where a format has to be told something, as the URL of a
            :class:`~persistable.cloud.CloudFileIO`.

        Raises
        ------
        ArtifactNotFoundError, ArtifactCorruptError, ManifestVersionError, PayloadError
            If it is not there, not whole, or cannot be read by that format.
        """
        return self.get(key).load(payload_io=payload_io)

    def compare(self, keys: Key | Iterable[Key]) -> Comparison:
        """Return what differs between some artifacts, side by side; their upstreams too, as far as they are here.

        Parameters
        ----------
        keys : iterable of str, ArtifactKey, Record or Persistable
            As for :meth:`resolve`; also what :meth:`find` has found.
        """
        if isinstance(keys, str) or hasattr(keys, "key"):
            keys = [keys]
        return Comparison([self.get(key) for key in keys], self._records)

    def dependents(self, key: Key) -> list[Record]:
        """Return what was made from an artifact directly, the newest first."""
        found = self.resolve(key)

        def question(index: Index) -> list[Any]:
            return index.query(
                f"SELECT {COLUMNS} FROM {_ENTRIES} WHERE a.id IN "
                f"(SELECT id FROM {index.edges()} WHERE key = ? AND payload_name = ?) "
                f"ORDER BY a.at DESC, a.modified DESC, a.key DESC",
                [str(found), found.payload_name],
            )

        return [record_of(row, self.store) for row in self._ask(question)]

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

    def to_frame(self, *, upstreams: bool = False) -> pd.DataFrame:
        """Return all that :meth:`find` finds as a table of pandas; see :meth:`Selection.to_frame`."""
        return self.find().to_frame(upstreams=upstreams)

    def __len__(self) -> int:
        # All, and less those of a few: a condition on each would take ten times as long.
        count = "SELECT count(*) - (SELECT count(*) FROM artifact WHERE state = 'foreign') FROM artifact"
        return self._ask(lambda index: index.query(count))[0][0]  # type: ignore[no-any-return]

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


def _states(state: str | Iterable[str] | None) -> list[str] | None:
    """Return the states that are asked for; None if any will do."""
    states = [] if state is None else [state] if isinstance(state, str) else list(state)
    if unknown := [one for one in states if one not in (*STATES, "any")]:
        raise ValueError(f"There is no state {unknown[0]!r}. The states are {', '.join(STATES)}; or any.")
    return None if state is None or "any" in states else states


def _key_of(asked: Any) -> str:
    """Return the key, or the beginning of one, that somebody has asked for."""
    key = asked if isinstance(asked, str) else getattr(asked, "key", None)
    if not isinstance(key, str):
        raise TypeError(
            f"Expected a key, the beginning of one, or what has a key (a Record, a persistable); got a "
            f"{type(asked).__qualname__}."
        )
    if not key and not isinstance(asked, str):
        raise ValueError("This entry is no artifact, and has no key.")
    return key
