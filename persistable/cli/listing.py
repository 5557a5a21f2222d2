"""``persistable ls``: what a store holds, the newest first, with the params in which the artifacts differ."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .._text import age, amount, printable, shown, size
from .console import Console, UsageError
from .frame import Command
from .places import add_data_dir, add_filters, catalog_of

if TYPE_CHECKING:
    from ..catalog import Catalog
    from ..catalog.records import Record

__all__ = ["COMMANDS"]

_STATES = ("whole", "corrupt", "newer", "generating", "failed", "unfinished", "1.x", "foreign")

STYLES: Final = {"corrupt": "bad", "failed": "bad", "whole": None, "generating": "good"}
"""State -> how a line about it looks; any other one is a warning."""

_MANY = 50  # lines that fit on one screen or two
_SHOWN = 3  # params, and as many metrics, in a line; show has all of them
_COMPARED = 100  # artifacts of a name, to find out which vary
_LONGEST = 60  # characters of a path

_DETAILS = """\
--json prints one array of all artifacts that match: payload_name, key, state, problem, path, at, seconds, host, user,
class_name, version, size, format, type, summary, digest, params, metrics, tags, dependencies. With --names, one object
per payload name: payload_name, count, bytes, newest.

examples:
  persistable ls -p model -w 'metrics.rmse < 0.01' -s metrics.rmse
  persistable ls --state corrupt
  persistable ls --json -n 1 | jq -r '.[0].key'
"""


def _define(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    add_filters(parser)
    parser.add_argument(
        "-s", "--sort", default="-at", metavar="WHAT", help="at, size, params.n, …; -size: largest first"
    )
    parser.add_argument("-n", "--limit", type=int, metavar="N", help=f"show at most N; {_MANY} unless told, 0 for all")
    parser.add_argument("--all", action="store_true", help="show all, not only the first 50")
    parser.add_argument("--state", choices=_STATES, help="only entries of that state")
    parser.add_argument("--names", action="store_true", help="one line per payload name: how many, how large, how old")


def _run(options: argparse.Namespace, console: Console) -> int:
    catalog = catalog_of(options)
    if options.names:
        return _names(catalog, console)
    if options.limit is not None and options.limit < 0:
        raise UsageError(f"--limit must be 0 (for all), or more; got {options.limit}")
    limit = options.limit if options.limit is not None else None if options.all or console.is_json else _MANY
    with console.progress("Reading manifests"):
        found = catalog.find(
            options.payload_name, options.where, state=options.state, sort=options.sort, limit=limit or None
        )
    if console.is_json:
        console.json([record.to_dict() for record in found])
        return 0
    if not found:
        is_asked = options.payload_name or options.where or options.state
        console.remark(f"{'Nothing like that' if is_asked else 'Nothing'} in {catalog.store.url}.")
        return 0
    _table(found, console)
    if len(found) < found.total:
        rest = f"{len(found):,} of {amount(found.total, 'entry', 'entries')}; --all shows all of them"
        console.line(("pale", rest))
    else:
        console.line(("pale", amount(found.total, "entry", "entries")))
    return 0


def _names(catalog: Catalog, console: Console) -> int:
    names = catalog.names()
    if console.is_json:
        rows = [(name, told.count, told.bytes, told.newest) for name, told in names.items()]
        console.json([dict(zip(("payload_name", "count", "bytes", "newest"), row, strict=True)) for row in rows])
        return 0
    lines = [(name, f"{told.count:,}", size(told.bytes), age(told.newest)) for name, told in names.items()]
    console.table(("name", "artifacts", "size", "newest"), lines, right=(1, 2))
    return 0


def _table(found: Sequence[Record], console: Console) -> None:
    columns = {name: _columns(records) for name, records in _by_name(found).items()}
    lines = [
        (
            record.key[:8] if record.key else "-",
            printable(record.payload_name or record.path, _LONGEST),
            age(record.at),
            size(record.size) if record.size is not None else "",
            _about(record, columns.get(record.payload_name, [])),
        )
        for record in found
    ]
    styles = [STYLES.get(record.state, "warning") for record in found]
    console.table(("key", "name", "made", "size", "params; metrics"), lines, right=(3,), styles=styles)


def _by_name(found: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the whole ones by their name; of each enough to see what varies."""
    names: dict[str, list[Record]] = {}
    for record in found:
        if record.state == "whole" and len(some := names.setdefault(record.payload_name, [])) < _COMPARED:
            some.append(record)
    return names


def _columns(records: Sequence[Record]) -> list[str]:
    """Return the params and metrics by which artifacts of one name are told apart; the first ones of a single one."""
    from ..catalog.selection import varying

    if unlike := varying(records, 2 * _SHOWN):
        return unlike
    params = [f"params.{path}" for path in by_path(records[0].params)]
    return params[:_SHOWN] + [f"metrics.{path}" for path in by_path(records[0].metrics)][:_SHOWN]


def _about(record: Record, columns: Sequence[str]) -> str:
    """Return what is to be said of an entry in a line: what is wrong with it, or its params and metrics."""
    if record.state != "whole":
        return f"{record.state}{': ' if record.problem else ''}{record.problem}"
    params, metrics = by_path(record.params), by_path(record.metrics)
    told = [(path, params, "=") for name in columns if (path := name.removeprefix("params.")) != name]
    told += [(path, metrics, " ") for name in columns if (path := name.removeprefix("metrics.")) != name]
    texts: dict[str, list[str]] = {"=": [], " ": []}
    for path, values, sign in told:
        if path in values:
            texts[sign].append(f"{path}{sign}{_short(values[path], sign == '=')}")
    return "; ".join(", ".join(part) for part in texts.values() if part)


def _short(value: Any, digits: bool) -> str:
    """Return a value in short: a metric that was measured needs no more digits than can be compared at a glance."""
    return f"{value:.5g}" if isinstance(value, float) and not digits else shown(value, 24)


def by_path(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested params or metrics by their path."""
    from ..catalog.values import flattened

    return {path: value for path, value in flattened(values) if path}


COMMANDS = {"ls": Command(_define, _run, _DETAILS)}
