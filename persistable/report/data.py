"""What a report says of the artifacts of a store: columns of JSON, each different value once.

Ten thousand artifacts of one pipeline have few users, classes, package versions and param values among them. A column
is ``{"name": …, "values": […], "at": […], "rows": […]}``: ``at`` says for each row which of the values it has, -1 if
none; ``rows`` says which rows it is about, where these are few. Without ``at``, the values are those of the rows.

Params and metrics are taken apart as far as they have names (``model.depth``), so that each is a column of a table and
an axis of a plot. Long values are cut, with a note of their length and digest: two that differ still do.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from xxhash import xxh3_64_hexdigest

from .. import __version__
from ..catalog import Catalog, Record

__all__ = ["column", "flat", "report_data", "shortened"]

LONGEST: Final = 300
"""Characters of a text or of another value that are shown; of a longer one, the rest is left out."""

_MOST_NAMES = 50  # of a mapping with more, the entries are no columns
_DEEPEST = 4  # mappings in mappings that are taken apart
_NESTED = 8  # levels of a value that is kept whole
_EXACT = 2**53  # integers from here on are not exact in JavaScript
_PLAIN_STEP = re.compile(r"[\w-]+")  # the other steps of a path are in brackets and quotes; page/data.js does the same
_TEXTS = ("host", "user", "class_name", "version", "format", "type", "summary", "digest")

Cells = Mapping[int, Any]
"""Row -> value."""


def report_data(
    catalog: Catalog, *, title: str | None = None, payload_name: str | None = None, where: str | None = None
) -> dict[str, Any]:
    """Return what a report says of a catalogue, as JSON."""
    listed = list(catalog.find(payload_name, where, state=None if payload_name or where else "any"))
    records = [*listed, *_upstreams(catalog, listed)] if payload_name or where else listed
    rows = {(record.payload_name, str(record.key)): row for row, record in enumerate(records) if record.key}
    chosen = [f'payload_name == "{payload_name}"'] if payload_name else []
    count = len(records)
    remade, through = _outdated(catalog, rows)
    return {
        "about": {
            "title": title or f"Artifacts in {_folder_of(catalog.store.url)}",
            "store": catalog.store.url,
            "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "persistable": __version__,
            "where": " and ".join([*chosen, *([where] if where else [])]),
            "count": count,
            "listed": len(listed),
        },
        "fields": [column(name, cells, count) for name, cells in _fields(records).items()],
        "params": _columns([flat(record.params) for record in records]),
        "metrics": _columns([flat(record.metrics) for record in records]),
        "upstreams": _columns([_references(record, rows) for record in records]),
        "remade": [column(role, cells, count) for role, cells in remade.items()],
        "through": [column(role, cells, count) for role, cells in through.items()],
    }


def _folder_of(url: str) -> str:
    return re.split(r"[/\\]", url.rstrip("/\\"))[-1] or url


def _upstreams(catalog: Catalog, listed: Sequence[Record]) -> Iterator[Record]:
    """Yield what these are made from, directly or through others, as far as it is in the store and not among them."""
    by_key = {(record.payload_name, str(record.key)): record for record in catalog if record.key}
    seen = {(record.payload_name, str(record.key)) for record in listed}
    todo = list(listed)
    while todo:
        for upstream in todo.pop().dependencies.values():
            place = (upstream.payload_name, upstream.key)
            record = by_key.get(place)
            if place not in seen and record is not None:
                seen.add(place)
                todo.append(record)
                yield record


def _outdated(catalog: Catalog, rows: Mapping[tuple[str, str], int]) -> tuple[dict[str, Cells], dict[str, Cells]]:
    """Return the roles whose upstream was made again with other content, and those whose upstream is outdated."""
    from ..lineage.remade import outdated  # here, because a report of an empty store does without

    remade: dict[str, dict[int, bool]] = {}
    through: dict[str, dict[int, bool]] = {}
    for result in outdated(catalog):
        row = rows.get((result.payload_name, str(result.key)))
        if row is not None:
            for roles, columns in ((result.remade, remade), (result.through, through)):
                for role in roles:
                    columns.setdefault(role, {})[row] = True
    return dict(remade), dict(through)


# ---------------------------------------------------------------------------------------------------------------------
# What each record says


def _fields(records: Sequence[Record]) -> dict[str, Cells]:
    """Return the columns that have nothing to do with what a user chose: field -> row -> value."""
    fields: dict[str, dict[int, Any]] = {}

    def put(row: int, name: str, value: Any) -> None:
        if value is not None and value != "" and value != []:
            fields.setdefault(name, {})[row] = value

    for row, record in enumerate(records):
        for name in _TEXTS:
            value = getattr(record, name)
            put(row, name, value if value is None else _text(value, LONGEST))
        put(row, "payload_name", record.payload_name)
        put(row, "key", str(record.key))
        put(row, "state", record.state)
        put(row, "problem", _text(record.problem, 1000))
        put(row, "path", record.path)
        put(row, "at", record.at if record.at is None else _text(record.at, 40))
        put(row, "seconds", record.seconds if record.seconds is not None and math.isfinite(record.seconds) else None)
        put(row, "size", record.size)
        put(row, "tags", [_text(tag, 100) for tag in record.tags[:_MOST_NAMES]])
        if record.state == "whole":
            put(row, "environment", _environment(record))
    return dict(fields)


def _environment(record: Record) -> dict[str, Any]:
    """Return what it was made with. Whatever a hostile manifest says there, it is text in the report."""
    packages, git = record.packages, record.git
    environment: dict[str, Any] = {"python": _text(record.generated.get("python", ""), 40)}
    if isinstance(packages, dict):
        named = list(packages.items())[:_MOST_NAMES]
        environment["packages"] = {_text(name, 80): _text(package, 80) for name, package in named}
    if isinstance(git, dict) and git.get("commit"):
        environment["git"] = {"commit": _text(git["commit"], 64), "dirty": bool(git.get("dirty"))}
    return environment


def _references(record: Record, rows: Mapping[tuple[str, str], int]) -> Iterator[tuple[str, Any]]:
    """Yield each role with the row of its upstream, or with name and key if that is not in the report."""
    for role, upstream in record.dependencies.items():
        name, key = str(upstream.payload_name), str(upstream.key)
        row = rows.get((name, key))
        yield role, [_text(name, LONGEST), _text(key, LONGEST)] if row is None else row


# ---------------------------------------------------------------------------------------------------------------------
# Values


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each param or metric, mappings and records taken apart.

    Examples
    --------
    >>> dict(flat({"n": 1, "model": {"$Tree": {"depth": 3}}, "odd name": {"a": None}}))
    {'n': 1, 'model': {'$record': 'Tree'}, 'model.depth': 3, '["odd name"].a': None}
    """
    todo = [("", values, 0)]
    while todo:
        path, mapping, depth = todo.pop()
        nested = []
        for name, value in mapping.items():
            where = _joined(path, name)
            inner, mark = _inner(value)
            if inner is None or not inner or depth == _DEEPEST or len(inner) > _MOST_NAMES:
                yield where, shortened(value)
            else:
                if mark:
                    yield where, {"$record": mark}
                nested.append((where, inner, depth + 1))
        todo += reversed(nested)


def _joined(path: str, name: str) -> str:
    name = _text(name, LONGEST)
    if not _PLAIN_STEP.fullmatch(name):
        return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name


def _inner(value: Any) -> tuple[dict[str, Any] | None, str]:
    """Return the mapping in a value that can be taken apart, and the class that it is the record of."""
    if not isinstance(value, dict):
        return None, ""
    marks = [name for name in value if name.startswith("$")]
    if not marks:
        return value, ""
    inner = value[marks[0]]
    is_record = len(value) == 1 and isinstance(inner, dict) and not {"sha256", "dtype"} & inner.keys()
    return (inner, marks[0][1:]) if is_record and not any(name.startswith("$") for name in inner) else (None, "")


def shortened(value: Any) -> Any:
    """Return a readable value as JavaScript can hold and a page can show it: exact, or cut with a note.

    Examples
    --------
    >>> shortened(float("nan")), shortened(1.0), shortened(2**60), shortened("a")
    ({'$float': 'nan'}, {'$float': '1.0'}, {'$int': '1152921504606846976'}, 'a')
    >>> shortened("x" * 10_000)["$cut"][-40:]
    'xxxx… (10,000 characters, cb763e2ccd06…)'
    """
    if isinstance(value, str):
        return _cut(value) if len(value) > LONGEST else value
    exact = _exact(value, 0)
    if isinstance(exact, dict | list):
        text = json.dumps(exact, ensure_ascii=False)
        if len(text) > LONGEST:
            return _cut(text)
    return exact


def _exact(value: Any, level: int) -> Any:
    if isinstance(value, float):
        return {"$float": repr(value)} if not math.isfinite(value) or value.is_integer() else value
    if isinstance(value, int) and not -_EXACT < value < _EXACT:
        return {"$int": str(value) if value.bit_length() < 10_000 else f"an integer of {value.bit_length():,} bits"}
    if not isinstance(value, dict | list):
        return value
    if level == _NESTED:
        return {"$cut": f"{'{…}' if isinstance(value, dict) else '[…]'}"}
    if isinstance(value, dict):
        return {name: _exact(item, level + 1) for name, item in value.items()}
    return [_exact(item, level + 1) for item in value]


def _cut(text: str) -> dict[str, str]:
    return {"$cut": _text(text, LONGEST)}


def _text(text: object, longest: int) -> str:
    text = str(text)
    if len(text) <= longest:
        return text
    digest = xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))
    return f"{text[:longest]}… ({len(text):,} characters, {digest[:12]}…)"


# ---------------------------------------------------------------------------------------------------------------------
# Columns


def _columns(rows: Iterable[Iterable[tuple[str, Any]]]) -> list[dict[str, Any]]:
    columns: dict[str, dict[int, Any]] = {}
    count = 0
    for row in rows:
        for name, value in row:
            columns.setdefault(name, {})[count] = value
        count += 1
    return [column(name, cells, count) for name, cells in columns.items()]


def column(name: str, cells: Cells, count: int) -> dict[str, Any]:
    """Return a column of `count` rows, of which `cells` have a value.

    Examples
    --------
    >>> column("n", {0: 1, 1: 2}, 2)
    {'name': 'n', 'values': [1, 2]}
    >>> column("n", {0: 7, 1: 7, 3: 7}, 4)
    {'name': 'n', 'values': [7], 'at': [0, 0, -1, 0]}
    >>> column("n", {5: 1}, 10)
    {'name': 'n', 'values': [1], 'rows': [5]}
    """
    if len(cells) * 2 < count:
        found = _interned(name, list(cells.values()))
        return found | {"rows": list(cells)}
    if len(cells) == count:
        return _interned(name, list(cells.values()))
    found = _interned(name, list(cells.values()))
    at = iter(found.pop("at", range(len(cells))))
    return found | {"at": [next(at) if row in cells else -1 for row in range(count)]}


def _interned(name: str, values: list[Any]) -> dict[str, Any]:
    """Return the column of these values: as they are if they are all different, else each different one once."""
    places: dict[Any, int] = {}
    at = [places.setdefault(_identity(value), len(places)) for value in values]
    if len(places) * 2 > len(values):
        return {"name": name, "values": values}
    firsts = dict(zip(reversed(at), reversed(values), strict=True))
    return {"name": name, "values": [firsts[place] for place in range(len(places))], "at": at}


def _identity(value: Any) -> Any:
    """Return what only equal values have; to Python, 1 is True as well."""
    return (type(value), json.dumps(value) if isinstance(value, dict | list) else value)
