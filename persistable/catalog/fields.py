"""What somebody has asked an index for: the values of ``params.n``, of ``user``; which artifact was made from which.

They are taken out of the lines of the manifests when they are first asked for, into a table of their own, and kept up
to date from then on: most params of most stores are never asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from .records import dependencies_of, facts_of, section
from .values import kind_and_value, unmarked, value_at

if TYPE_CHECKING:
    import sqlite3

__all__ = ["EDGES", "collect", "fill", "lines_of", "put_values", "table_of"]

EDGES: Final = '["edges"]'
"""What stands for the upstreams among the paths of fields."""

_NO_UPSTREAMS: Final = '"dependencies": {},'
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def collect(value: Any, path: tuple[str, ...], found: set[tuple[str, ...]]) -> None:
    """Add the paths of what is in a readable value, nested a few times at most."""
    value = unmarked(value)
    if len(path) > 1:
        found.add(path)
    if isinstance(value, dict) and len(path) < 5:
        for name, item in value.items():
            collect(item, (*path, name), found)


def table_of(spelled: str, number: int) -> str:
    """Return the name of the table of a field."""
    return "edge" if spelled == EDGES else f"field_{number}"


def lines_of(spelled: str) -> tuple[str, ...]:
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


def fill(connection: sqlite3.Connection, spelled: str, table: str) -> None:
    """Make the table of a field, or of the upstreams, from what there is."""
    columns = "id, role, payload_name, key" if spelled == EDGES else "id INTEGER PRIMARY KEY, kind, value"
    connection.execute(f"CREATE TABLE {table} ({columns})")
    condition = "1"
    if (place := _place_of(json.loads(spelled))) is not None:
        column, path = place
        condition = f"instr({column}, '\"$') > 0"  # marks are read here; the rest by SQLite, which is quicker
        connection.execute(_TAKEN.format(table=table, line=column, start=len(column) + 5), (path,))
    rows = connection.execute(f"SELECT id, {', '.join(lines_of(spelled))} FROM line WHERE {condition}")
    put_values(connection, spelled, table, rows)
    if spelled == EDGES:
        connection.execute("CREATE INDEX edge_id ON edge (id, role)")
        connection.execute("CREATE INDEX edge_key ON edge (key)")
    else:
        connection.execute(f"CREATE INDEX {table}_value ON {table} (kind, value)")


def put_values(connection: sqlite3.Connection, spelled: str, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write what rows of numbers and lines say of a field."""
    if spelled == EDGES:
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
                yield row, safe(role), safe(str(upstream.payload_name)), safe(str(upstream.key))


def safe(text: str) -> str:
    """Return text that any database takes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
