"""The index: what was seen of a store, in SQLite, on this user's own machine.

It holds nothing that a look at the store would not bring back. So it is written without waiting for the disk, thrown
away whenever something about it is not right (another layout, another store, a damaged file), and kept in memory where
there is no place for it. It never lies on a shared drive: SQLite's locks do not hold there.

::

    store         where the store is, so that an index is not taken for the one of another
    name          what was seen of the folder of each payload name          (listing.Name)
    artifact      a row per entry: what lists are sorted by                 (records.Fields)
    line          the lines of its manifest, as they stand there
    field         what somebody has asked for: ``params.n``, ``user``; ``edges``
    field_<n>     the values of a field, one row per artifact that has one  (values)
    edge          role -> upstream of each, once somebody has asked for upstreams

What is asked for is taken out of the manifests when it is first asked for, and kept up to date from then on.

A first build goes to a file of its own, which is linked to its place when it is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from .._integrity import new_token
from ..stores import Store
from .fields import EDGES, collect, fill, lines_of, put_values, safe, table_of
from .listing import ALWAYS, FOREIGN, Changes, Known, Name
from .place import INDEX_DIR, place_of, remove, sweep
from .records import LINES, PLAIN, Fields, decoded_path, section

if TYPE_CHECKING:
    import sqlite3

__all__ = ["COLUMNS", "INDEX_DIR", "Index", "candidates", "is_away", "is_refused", "place_of"]

_LAYOUT: Final = 4
_PATIENCE: Final = 20.0  # seconds to wait for another process that is writing
_AT_ONCE: Final = 1000  # rows
_WINDOW: Final = 5000  # rows that are compared before the clock is looked at
_COMPARING: Final = 0.04  # seconds
_TOO_MUCH: Final = ("too many", "parser stack", "too large", "too complex")  # how SQLite says so
_MOST_FIELDS: Final = 128  # each costs a little at every new artifact; more than one condition can ask for
_PLAIN_UNTIL: Final = 2 + len(PLAIN)
_GENERATED: Final = Fields._fields.index("generated")

COLUMNS: Final = ", ".join([f"a.{name}" for name in PLAIN] + [f"l.{name}" for name in LINES])
"""What a record is made from, of ``artifact a`` and ``line l``."""

_TABLES: Final = f"""
CREATE TABLE store (url TEXT NOT NULL);
CREATE TABLE name (name TEXT PRIMARY KEY, stamp INTEGER, seen INTEGER, settled INTEGER, place TEXT) WITHOUT ROWID;
CREATE TABLE artifact (id INTEGER PRIMARY KEY, scope, stamp, {", ".join(PLAIN)});
CREATE TABLE line (id INTEGER PRIMARY KEY, {", ".join(LINES)});
CREATE TABLE field (number INTEGER PRIMARY KEY, steps TEXT UNIQUE);
"""

_INDICES: Final = """
CREATE INDEX artifact_at ON artifact (at, modified, key);
CREATE INDEX artifact_key ON artifact (key, scope, stamp);
CREATE INDEX artifact_odd ON artifact (scope, stamp) WHERE stamp IN (-1, 1);
CREATE INDEX artifact_state ON artifact (state) WHERE state != 'whole';
"""

_PUT: Final = f"INSERT INTO artifact VALUES (NULL, {', '.join('?' * (2 + len(PLAIN)))})"
_PUT_LINES: Final = f"INSERT INTO line VALUES (?, {', '.join('?' * len(LINES))})"


class Index:
    """The index of one store, open.

    Parameters
    ----------
    store : Store
        Whose.
    first : callable
        Called with what is known, which is nothing, to fill a new index: returns changes (:mod:`listing`).
    """

    def __init__(self, store: Store, first: Callable[[Known], Iterable[Changes]]) -> None:
        import sqlite3

        self._sqlite = sqlite3
        self._url = store.url
        self._first = first
        self.path = place_of(store)
        self.was_built = False
        self._open()

    def _open(self) -> None:
        for attempt in (1, 2):
            if self.path is None:
                break
            try:
                if not os.path.exists(self.path):
                    self._build(self.path)
                self.connection = self._connect(self.path)
                self._check()
            except (OSError, self._sqlite.Error, _Useless) as error:
                if is_away(error):
                    self.path = None
                    break
                with contextlib.suppress(OSError):
                    remove(self.path)
                if attempt == 2:
                    self.path = None
                continue
            return
        self.connection = self._connect(":memory:")
        self._fill(self.connection)

    def _connect(self, path: str) -> sqlite3.Connection:
        connection = self._sqlite.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA mmap_size = 1073741824")
        connection.execute("PRAGMA cache_size = -65536")
        return connection

    def _check(self) -> None:
        connection = self.connection
        try:
            if connection.execute("PRAGMA user_version").fetchone() != (_LAYOUT,):
                raise _Useless("another layout")
            if connection.execute("SELECT url FROM store").fetchone() != (self._url,):
                raise _Useless("another store")
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise

    def _build(self, path: str) -> None:
        """Make the index in a file of its own, and link it to its place: others see all of it, or nothing."""
        own = f"{path}.{new_token()}.tmp"
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        sweep(os.path.dirname(path))
        os.close(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            connection = self._connect(own)
            try:
                connection.execute("PRAGMA page_size = 16384")
                connection.execute("PRAGMA journal_mode = OFF")
                self._fill(connection)
            finally:
                connection.close()
            try:
                os.link(own, path)
            except FileExistsError:
                return  # somebody else's, of just now
            except OSError:  # a file system without links
                os.replace(own, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(own)

    def _fill(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        for statement in _TABLES.strip().split("\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO store VALUES (?)", (self._url,))
        nothing = Known({}, lambda name: {}, lambda name: (), {})
        for changes in self._first(nothing):
            _put(connection, changes.entries, {})
            _put_name(connection, changes)
        for statement in _INDICES.strip().split("\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        connection.execute("COMMIT")
        self.was_built = True

    def known(self) -> Known:
        """Return what the index knows, to be compared with what is there."""
        connection = self.connection

        def stamps(name: str) -> dict[int, list[str]]:
            rows = connection.execute(
                "SELECT stamp, group_concat(key, ' ') FROM artifact INDEXED BY artifact_key "
                "WHERE scope = ? AND stamp != ? GROUP BY stamp",
                (name, FOREIGN),
            )
            return {stamp: keys.split(" ") for stamp, keys in rows}

        def others(name: str) -> set[str]:
            rows = connection.execute(f"SELECT path FROM artifact WHERE scope = ? AND stamp = {FOREIGN}", (name,))
            return {decoded_path("", "", path)[len(name) + 1 if name else 0 :] for (path,) in rows}

        names = {
            name: Name(stamp, seen, bool(settled), place)
            for name, stamp, seen, settled, place in connection.execute("SELECT * FROM name")
        }
        unsettled: dict[str, list[str]] = {}
        for name in names:
            rows = connection.execute(f"SELECT key FROM artifact WHERE scope = ? AND stamp = {ALWAYS}", (name,))
            if keys := [key for (key,) in rows]:
                unsettled[name] = keys
        return Known(names, stamps, others, unsettled)

    def update(self, changes: Iterable[Changes]) -> None:
        """Write down what has changed. Of what it reads meanwhile, others see the state before."""
        found = [change._replace(entries=list(change.entries)) for change in changes]
        found = [change for change in found if any(change[2:]) or change.name != self._name(change)]
        if not found:
            return
        connection = self.connection
        fields = self._fields()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for change in found:
                self._drop(change, fields)
                _put(connection, change.entries, fields)
                _put_name(connection, change)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def forget(self) -> None:
        """Take nothing for settled any more, so that the next look reads everything."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("UPDATE name SET stamp = 0, settled = 0")
        self.connection.execute("UPDATE artifact SET stamp = 0 WHERE stamp NOT IN (?, ?)", (ALWAYS, FOREIGN))
        self.connection.execute("COMMIT")

    def remove(self) -> None:
        """Throw it away, and begin anew."""
        self.connection.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                remove(self.path)
        self._open()

    def in_memory(self) -> None:
        """Go on without a file."""
        self.path = None
        self._open()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def __del__(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    def _name(self, change: Changes) -> Name | None:
        row = self.connection.execute(
            "SELECT stamp, seen, settled, place FROM name WHERE name = ?", (change.payload_name,)
        ).fetchone()
        return Name(row[0], row[1], bool(row[2]), row[3]) if row else None

    def _drop(self, change: Changes, fields: Mapping[str, int]) -> None:
        """Remove the rows of what is gone, and of what is about to be written anew."""
        connection, scope = self.connection, change.payload_name
        start = f"{scope}/" if scope else ""
        keys = [*change.gone, *(entry.key for entry in change.entries if entry.path is None)]
        paths = [_encoded(start + child) for child in change.lost]
        paths += [entry.path for entry in change.entries if entry.path is not None]
        ids = []
        for key in keys:
            found = "SELECT id FROM artifact WHERE key = ? AND scope = ? AND path IS NULL"
            ids += connection.execute(found, (key, scope)).fetchall()
        for path in paths:
            found = f"SELECT id FROM artifact WHERE scope = ? AND stamp = {FOREIGN} AND path = ?"
            ids += connection.execute(found, (scope, path)).fetchall()
        for table in ("artifact", "line", *(table_of(*field) for field in fields.items())):
            connection.executemany(f"DELETE FROM {table} WHERE id = ?", ids)

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows that a SELECT finds."""
        taken = [safe(value) if isinstance(value, str) else value for value in values]
        return self.connection.execute(statement, taken).fetchall()

    # -----------------------------------------------------------------------------------------------------------------
    # What somebody has asked for

    def field(self, *steps: str | int) -> str:
        """Return the table of the values under a path, such as ``"params", "n"``; it is made when first asked for."""
        return self._asked_for(json.dumps(steps))

    def edges(self) -> str:
        """Return the table of upstreams: ``id``, ``role``, ``payload_name``, ``key``."""
        return self._asked_for(EDGES)

    def _asked_for(self, spelled: str) -> str:
        connection = self.connection
        find = "SELECT number FROM field WHERE steps = ?"
        if (row := connection.execute(find, (spelled,)).fetchone()) is not None:
            return table_of(spelled, row[0])
        connection.execute("BEGIN IMMEDIATE")
        try:
            row = connection.execute(find, (spelled,)).fetchone()
            number = row[0] if row is not None else self._new_field(spelled)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return table_of(spelled, number)

    def _new_field(self, spelled: str) -> int:
        connection = self.connection
        fields = self._fields()
        if len(fields) >= _MOST_FIELDS:
            oldest = min(((number, name) for name, number in fields.items() if name != EDGES))
            connection.execute(f"DROP TABLE {table_of(oldest[1], oldest[0])}")
            connection.execute("DELETE FROM field WHERE number = ?", (oldest[0],))
        number = max(fields.values(), default=0) + 1
        connection.execute("INSERT INTO field VALUES (?, ?)", (number, spelled))
        fill(connection, spelled, table_of(spelled, number))
        return number

    def _fields(self) -> dict[str, int]:
        return dict(self.connection.execute("SELECT steps, number FROM field"))

    def names_of_fields(self) -> set[tuple[str, ...]]:
        """Return the paths of the params and metrics of the newest 10,000 artifacts, nested ones too."""
        found: set[tuple[str, ...]] = set()
        rows = self.connection.execute("SELECT params, metrics FROM line ORDER BY id DESC LIMIT 10000")
        for params, metrics in rows:
            collect(section("params", params), ("params",), found)
            collect(section("metrics", metrics), ("metrics",), found)
        return found

    def roles(self) -> set[str]:
        """Return the roles of upstreams that there are."""
        return {role for (role,) in self.connection.execute(f"SELECT DISTINCT role FROM {self.edges()}")}


def is_away(error: Exception) -> bool:
    """Whether there is nothing wrong with an index, but it cannot be written now: it is locked, or the disk is full."""
    import sqlite3

    codes = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def is_refused(error: Exception) -> bool:
    """Whether there is nothing wrong with an index, but a question is too much for it."""
    import sqlite3

    codes = (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISUSE)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes or any(word in str(error) for word in _TOO_MUCH)


class _Useless(Exception):
    """An index of another layout, or of another store."""


def _put(connection: sqlite3.Connection, entries: Iterable[Fields], fields: Mapping[str, int]) -> None:
    """Write rows, a thousand at a time: entries may come from files that are read meanwhile."""
    todo = iter(entries)
    first = (connection.execute("SELECT max(id) FROM artifact").fetchone()[0] or 0) + 1
    while some := list(islice(todo, _AT_ONCE)):
        connection.executemany(_PUT, [entry[:_PLAIN_UNTIL] for entry in some])
        lines = [
            (number, *entry[_PLAIN_UNTIL:]) for number, entry in enumerate(some, first) if entry[-3]
        ]  # who made it
        connection.executemany(_PUT_LINES, lines)
        for spelled, number in fields.items():
            columns = [1 + LINES.index(name) for name in lines_of(spelled)]
            taken = ((line[0], *(line[column] for column in columns)) for line in lines)
            put_values(connection, spelled, table_of(spelled, number), taken)
        first += len(some)


def _put_name(connection: sqlite3.Connection, changes: Changes) -> None:
    if changes.name is None:
        connection.execute("DELETE FROM name WHERE name = ?", (changes.payload_name,))
    else:
        connection.execute("INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?, ?)", (changes.payload_name, *changes.name))


def _encoded(path: str) -> str | bytes:
    """Return a path as the database has it: one that is no text is kept as bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogateescape")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# For a miss


def candidates(
    store: Store, payload_name: str, params: Mapping[str, Any], dependencies: Mapping[str, str], limit: int = 10
) -> list[str]:
    """Return the keys of the artifacts of a name that are most like something that is not there.

    They are taken from the index as it lies: nothing is listed, nothing is read. Without an index there are none. Of
    very many artifacts, those that were seen last are compared, for as long as a miss may take.

    Parameters
    ----------
    store : Store
        Where.
    payload_name : str
        Of what name.
    params : mapping
        Its tracked params, readable.
    dependencies : mapping of str to str
        role -> key of its upstreams.
    limit : int
        How many at most.

    Returns
    -------
    list of str
        The most similar first; of equally similar ones, the newest.
    """
    import sqlite3

    path = place_of(store)
    if path is None or not os.path.exists(path):
        return []
    texts = [*(json.dumps({name: value})[1:-1] for name, value in params.items()), *dependencies.values()]
    lines = ["params"] * len(params) + ["dependencies"] * len(dependencies)
    same = [f"(instr(l.{line}, ?{number}) > 0)" for number, line in enumerate(lines, 5)]
    statement = (
        f"SELECT {' + '.join(same) or '0'} AS same, a.at, a.key FROM artifact a JOIN line l USING (id) "
        f"WHERE a.id BETWEEN ?1 AND ?2 AND a.payload_name = ?3 AND a.state = 'whole' "
        f"ORDER BY same DESC, a.at DESC LIMIT ?4"
    )
    found: list[tuple[int, str, str]] = []
    until = time.monotonic() + _COMPARING
    try:
        with contextlib.closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=0.1)) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (_LAYOUT,):
                return []
            if connection.execute("SELECT url FROM store").fetchone() != (store.url,):
                return []
            connection.execute("PRAGMA mmap_size = 1073741824")
            last = connection.execute("SELECT max(id) FROM artifact").fetchone()[0] or 0
            while last > 0 and time.monotonic() < until:
                rows = connection.execute(statement, (last - _WINDOW, last, payload_name, limit, *texts))
                found = sorted([*found, *rows], key=lambda row: (row[0], row[1] or ""), reverse=True)[:limit]
                last -= _WINDOW + 1
    except (sqlite3.Error, ValueError):  # damaged, locked, or text that no database takes: nobody needs this
        return []
    return [key for _, _, key in found]


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)
