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
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .._integrity import new_token
from .._mounts import NETWORK_FILE_SYSTEMS, file_system
from ..stores import Store
from .listing import ALWAYS, FOREIGN, Changes, Known, Name
from .records import LINES, PLAIN, Fields, dependencies_of, facts_of, section
from .values import kind_and_value, unmarked, value_at

if TYPE_CHECKING:
    import sqlite3

__all__ = ["COLUMNS", "INDEX_DIR", "Index", "candidates", "place_of"]

INDEX_DIR: Final = "PERSISTABLE_INDEX_DIR"
"""The environment variable that names the folder in which indices are kept."""

_LAYOUT: Final = 1
_PATIENCE: Final = 20.0  # seconds to wait for another process that is writing
_AT_ONCE: Final = 1000  # rows
_MOST_FIELDS: Final = 100  # each costs a little at every new artifact
_PLAIN_UNTIL: Final = 2 + len(PLAIN)
_EDGES: Final = '["edges"]'
_NO_UPSTREAMS: Final = '"dependencies": {},'

COLUMNS: Final = ", ".join([f"a.{name}" for name in PLAIN] + [f"l.{name}" for name in LINES])
"""What a record is made from, of ``artifact a`` and ``line l``."""

_TABLES: Final = f"""
CREATE TABLE store (url TEXT NOT NULL);
CREATE TABLE name (name TEXT PRIMARY KEY, stamp INTEGER, seen INTEGER, settled INTEGER) WITHOUT ROWID;
CREATE TABLE artifact (id INTEGER PRIMARY KEY, scope, stamp, {", ".join(PLAIN)});
CREATE TABLE line (id INTEGER PRIMARY KEY, {", ".join(LINES)});
CREATE TABLE field (number INTEGER PRIMARY KEY, steps TEXT UNIQUE);
"""

_INDICES: Final = """
CREATE INDEX artifact_at ON artifact (at);
CREATE INDEX artifact_key ON artifact (key);
CREATE INDEX artifact_name ON artifact (payload_name, at);
CREATE INDEX artifact_path ON artifact (path);
CREATE INDEX artifact_scope ON artifact (scope, stamp, path);
CREATE INDEX artifact_state ON artifact (state) WHERE state != 'whole';
"""

_PUT: Final = f"INSERT INTO artifact VALUES (NULL, {', '.join('?' * (2 + len(PLAIN)))})"
_PUT_LINES: Final = f"INSERT INTO line VALUES (?, {', '.join('?' * len(LINES))})"


_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


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
            except (OSError, self._sqlite.Error, _Useless):
                with contextlib.suppress(OSError):
                    _remove(self.path)
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
        _sweep(os.path.dirname(path))
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
        nothing = Known({}, lambda name: {}, {})
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

        def stamps(name: str) -> dict[str, int]:
            found = "SELECT substr(path, ?), stamp FROM artifact WHERE scope = ? AND typeof(path) = ?"
            start = len(name) + 2 if name else 1
            texts = dict(connection.execute(found, (start, name, "text")))
            rows = connection.execute(found, (start, name, "blob"))
            return texts | {path.decode("utf-8", "surrogateescape"): stamp for path, stamp in rows}

        names = {
            name: Name(stamp, seen, bool(settled))
            for name, stamp, seen, settled in connection.execute("SELECT * FROM name")
        }
        unsettled: dict[str, list[str]] = {}
        for scope in names:
            rows = connection.execute("SELECT key FROM artifact WHERE scope = ? AND stamp = ?", (scope, ALWAYS))
            if keys := [key for (key,) in rows]:
                unsettled[scope] = keys
        return Known(names, stamps, unsettled)

    def update(self, changes: Iterable[Changes]) -> None:
        """Write down what has changed. Of what it reads meanwhile, others see the state before."""
        found = [change._replace(entries=list(change.entries)) for change in changes]
        found = [change for change in found if change.entries or change.gone or change.name != self._name(change)]
        if not found:
            return
        connection = self.connection
        fields = self._fields()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for change in found:
                gone = [*change.gone, *(entry.path for entry in change.entries)]
                self._drop(gone, fields)
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
                _remove(self.path)
        self._open()

    def in_memory(self) -> None:
        """Go on without a file."""
        self.path = None
        self._open()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def _name(self, change: Changes) -> Name | None:
        row = self.connection.execute(
            "SELECT stamp, seen, settled FROM name WHERE name = ?", (change.payload_name,)
        ).fetchone()
        return Name(row[0], row[1], bool(row[2])) if row else None

    def _drop(self, paths: Sequence[str | bytes], fields: Mapping[str, int]) -> None:
        connection = self.connection
        ids = []
        for path in paths:
            ids += connection.execute("SELECT id FROM artifact WHERE path = ?", (_encoded(path),)).fetchall()
        for table in ("artifact", "line", *map(_table, fields.items())):
            connection.executemany(f"DELETE FROM {table} WHERE id = ?", ids)

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows that a SELECT finds."""
        return self.connection.execute(statement, values).fetchall()

    # -----------------------------------------------------------------------------------------------------------------
    # What somebody has asked for

    def field(self, *steps: str | int) -> str:
        """Return the table of the values under a path, such as ``"params", "n"``; it is made when first asked for."""
        return self._asked_for(json.dumps(steps))

    def edges(self) -> str:
        """Return the table of upstreams: ``id``, ``role``, ``payload_name``, ``key``."""
        return self._asked_for(_EDGES)

    def _asked_for(self, spelled: str) -> str:
        connection = self.connection
        find = "SELECT number FROM field WHERE steps = ?"
        if (row := connection.execute(find, (spelled,)).fetchone()) is not None:
            return _table((spelled, row[0]))
        connection.execute("BEGIN IMMEDIATE")
        try:
            row = connection.execute(find, (spelled,)).fetchone()
            number = row[0] if row is not None else self._new_field(spelled)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return _table((spelled, number))

    def _new_field(self, spelled: str) -> int:
        connection = self.connection
        fields = self._fields()
        if len(fields) >= _MOST_FIELDS:
            oldest = min(((number, name) for name, number in fields.items() if name != _EDGES))
            connection.execute(f"DROP TABLE {_table((oldest[1], oldest[0]))}")
            connection.execute("DELETE FROM field WHERE number = ?", (oldest[0],))
        number = max(fields.values(), default=0) + 1
        connection.execute("INSERT INTO field VALUES (?, ?)", (number, spelled))
        table, taken = _table((spelled, number)), _lines_of(spelled)
        columns = (
            "id, role TEXT, payload_name TEXT, key TEXT" if spelled == _EDGES else "id INTEGER PRIMARY KEY, kind, value"
        )
        connection.execute(f"CREATE TABLE {table} ({columns})")
        condition = "1"
        if (place := _place_of(json.loads(spelled))) is not None:
            column, path = place
            condition = f"instr({column}, '\"$') > 0"  # marks are read here; the rest by SQLite, which is quicker
            connection.execute(_TAKEN.format(table=table, line=column, start=len(column) + 5), (path,))
        rows = connection.execute(f"SELECT id, {', '.join(taken)} FROM line WHERE {condition}")
        _put_values(connection, spelled, table, rows)
        if spelled == _EDGES:
            connection.execute("CREATE INDEX edge_id ON edge (id, role)")
            connection.execute("CREATE INDEX edge_key ON edge (key)")
        else:
            connection.execute(f"CREATE INDEX {table}_value ON {table} (kind, value)")
        return number

    def _fields(self) -> dict[str, int]:
        return dict(self.connection.execute("SELECT steps, number FROM field"))

    def names_of_fields(self) -> set[tuple[str, ...]]:
        """Return the paths of the params and metrics of the newest 10,000 artifacts, nested ones too."""
        found: set[tuple[str, ...]] = set()
        rows = self.connection.execute("SELECT params, metrics FROM line ORDER BY id DESC LIMIT 10000")
        for params, metrics in rows:
            _collect(section("params", params), ("params",), found)
            _collect(section("metrics", metrics), ("metrics",), found)
        return found

    def roles(self) -> set[str]:
        """Return the roles of upstreams that there are."""
        return {role for (role,) in self.connection.execute(f"SELECT DISTINCT role FROM {self.edges()}")}


class _Useless(Exception):
    """An index of another layout, or of another store."""


def _collect(value: Any, path: tuple[str, ...], found: set[tuple[str, ...]]) -> None:
    value = unmarked(value)
    if len(path) > 1:
        found.add(path)
    if isinstance(value, dict) and len(path) < 5:
        for name, item in value.items():
            _collect(item, (*path, name), found)


def _put(connection: sqlite3.Connection, entries: Iterable[Fields], fields: Mapping[str, int]) -> None:
    """Write rows, a thousand at a time: entries may come from files that are read meanwhile."""
    todo = iter(entries)
    first = (connection.execute("SELECT max(id) FROM artifact").fetchone()[0] or 0) + 1
    while some := list(islice(todo, _AT_ONCE)):
        connection.executemany(_PUT, [entry[:_PLAIN_UNTIL] for entry in some])
        lines = [(number, *entry[_PLAIN_UNTIL:]) for number, entry in enumerate(some, first) if entry[_PLAIN_UNTIL]]
        connection.executemany(_PUT_LINES, lines)
        for spelled, number in fields.items():
            columns = [1 + LINES.index(name) for name in _lines_of(spelled)]
            taken = ((line[0], *(line[column] for column in columns)) for line in lines)
            _put_values(connection, spelled, _table((spelled, number)), taken)
        first += len(some)


def _table(field: tuple[str, int]) -> str:
    spelled, number = field
    return "edge" if spelled == _EDGES else f"field_{number}"


def _lines_of(spelled: str) -> tuple[str, ...]:
    """Return the lines of a manifest that a field is taken from."""
    first = json.loads(spelled)[0]
    if first in ("params", "metrics", "tags"):
        return (first,)
    return ("dependencies",) if first == "edges" else ("head", "generated")


_TAKEN: Final = """
INSERT INTO {table}
SELECT id,
       CASE json_type(json, ?1) WHEN 'null' THEN 0 WHEN 'true' THEN 1 WHEN 'false' THEN 1 WHEN 'integer' THEN 2
            WHEN 'real' THEN 2 WHEN 'text' THEN 3 WHEN 'array' THEN 4 ELSE 5 END,
       json_extract(json, ?1)
FROM (SELECT id, substr({line}, {start}, length({line}) - {start}) AS json
      FROM line WHERE instr({line}, '"$') = 0)
WHERE json_valid(json) AND json_type(json, ?1) IS NOT NULL
"""
"""Fills the table of a field from lines without marks; the kinds are those of :mod:`values`."""

_OF_GENERATED: Final = {"seconds": "seconds", "host": "host", "user": "user", "class_name": "class"}


def _place_of(steps: Sequence[str | int]) -> tuple[str, str] | None:
    """Return the line that a field is in, and its path there as SQLite writes it; None if that cannot say it."""
    first, *inner = steps
    if first in ("params", "metrics"):
        names = [step for step in inner if isinstance(step, str) and _PLAIN_NAME.fullmatch(step)]
        return (str(first), ".".join(["$", *names])) if len(names) == len(inner) else None
    if first in _OF_GENERATED:
        return "generated", f"$.{_OF_GENERATED[str(first)]}"
    return ("tags", "$") if first == "tags" else None


def _put_values(connection: sqlite3.Connection, spelled: str, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    if spelled == _EDGES:
        connection.executemany("INSERT INTO edge VALUES (?, ?, ?, ?)", _edges(rows))
        return
    steps = json.loads(spelled)
    values = ((row[0], *found) for row in rows if (found := _value(row[1:], steps)) is not None)
    connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", values)


def _value(lines: Sequence[str], steps: Sequence[str | int]) -> tuple[int, Any] | None:
    first = str(steps[0])
    try:
        if len(lines) == 1:
            return kind_and_value(value_at(section(first, lines[0]), steps[1:])) if lines[0] else None
        return kind_and_value(facts_of(section("head", lines[0]), section("generated", lines[1]))[first])
    except (LookupError, ValueError, RecursionError):
        return None


def _edges(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, str, str, str]]:
    for row, line in rows:
        if line and line != _NO_UPSTREAMS:
            for role, upstream in dependencies_of(section("dependencies", line)):
                yield row, _safe(role), _safe(str(upstream.payload_name)), _safe(str(upstream.key))


def _put_name(connection: sqlite3.Connection, changes: Changes) -> None:
    if changes.name is None:
        connection.execute("DELETE FROM name WHERE name = ?", (changes.payload_name,))
    else:
        connection.execute("INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?)", (changes.payload_name, *changes.name))


def _safe(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _encoded(path: str | bytes) -> str | bytes:
    """Return a path as the database has it: one that is no text is kept as bytes."""
    if isinstance(path, bytes):
        return path
    try:
        path.encode()
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogateescape")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Where it lies


def place_of(store: Store) -> str | None:
    """Return the path of the index of `store`; None if there is no place for one on this machine."""
    name = f"{hashlib.sha256(store.url.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.sqlite"
    if folder := os.environ.get(INDEX_DIR):
        return os.path.join(os.path.abspath(os.path.expanduser(folder)), name)
    from platformdirs import user_cache_dir

    usual = Path(user_cache_dir("persistable", appauthor=False), "index")
    if file_system(usual) not in NETWORK_FILE_SYSTEMS and _can_be_written(usual):
        return str(usual / name)
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    folder = os.path.join(tempfile.gettempdir(), f"persistable-index-{user}")
    with contextlib.suppress(FileExistsError, OSError):
        os.mkdir(folder, 0o700)
    return os.path.join(folder, name) if _is_ours(folder) else None


def _can_be_written(folder: Path) -> bool:
    there = next((parent for parent in (folder, *folder.parents) if parent.exists()), None)
    return there is not None and os.access(there, os.W_OK | os.X_OK)


def _is_ours(folder: str) -> bool:
    """Whether nobody else can have put anything into a folder below a temporary one."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return os.path.isdir(folder)
    return status.st_uid == os.getuid() and status.st_mode & 0o170077 == 0o040000


def _remove(path: str) -> None:
    for file in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)


def _sweep(folder: str) -> None:
    """Remove what builders that were killed have left."""
    for entry in os.scandir(folder):
        if entry.name.endswith(".tmp") and ".sqlite." in entry.name:
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > 3600:
                    os.unlink(entry.path)


# ---------------------------------------------------------------------------------------------------------------------
# For a miss


def candidates(
    store: Store, payload_name: str, params: Mapping[str, Any], dependencies: Mapping[str, str], limit: int = 10
) -> list[str]:
    """Return the keys of the artifacts of a name that are most like something that is not there.

    They are taken from the index as it lies: nothing is listed, nothing is read. Without an index there are none.

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
    texts = [json.dumps({name: value})[1:-1] for name, value in params.items()]
    same = [f"(instr(l.params, ?{number}) > 0)" for number in range(3, 3 + len(texts))]
    same += [
        f"(instr(l.dependencies, ?{number}) > 0)"
        for number in range(3 + len(texts), 3 + len(texts) + len(dependencies))
    ]
    statement = (
        f"SELECT a.key FROM artifact a JOIN line l USING (id) WHERE a.payload_name = ?1 AND a.state = 'whole' "
        f"ORDER BY {' + '.join(same) or '0'} DESC, a.at DESC LIMIT ?2"
    )
    try:
        with contextlib.closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=0.1)) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (_LAYOUT,):
                return []
            if connection.execute("SELECT url FROM store").fetchone() != (store.url,):
                return []
            rows = connection.execute(statement, (payload_name, limit, *texts, *dependencies.values()))
            return [key for (key,) in rows]
    except (sqlite3.Error, ValueError):  # damaged, locked, or text that no database takes: nobody needs this
        return []


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)
