"""``persistable ls``: what a store holds, the newest first, with the params in which the artifacts differ."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .._text import age, amount, size
from .console import Console, UsageError
from .frame import FAULTS, Command
from .places import add_data_dir, add_filters, catalog_of, unknown_name, without_artifacts

if TYPE_CHECKING:
    from ..catalog import Catalog, Selection

__all__ = ["COMMANDS"]

_STATES = ("whole", "corrupt", "newer", "generating", "failed", "unfinished", "1.x", "foreign", "any")

STYLES: Final = {"corrupt": "bad", "failed": "bad", "whole": None, "generating": "good"}
"""State -> how a line about it looks; any other one is a warning."""

_MANY = 50  # lines that fit on one screen or two

_DETAILS = """\
Exit status 1 if nothing is of that name, state or condition; a store in which nothing is yet is no fault.
--json prints one array of all artifacts that match: payload_name, key, state, problem, path, at, seconds, host, user,
class_name, version, size, format, type, summary, digest, params, metrics, tags, dependencies. With --names, one object
per payload name: payload_name, count, bytes, newest.

examples:
  persistable ls -p model -w 'metrics.rmse < 0.01' -s metrics.rmse
  persistable ls -s -size -n 10
  persistable ls --state corrupt
  persistable ls --json -n 1 | jq -r '.[0].key'
"""


def _define(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    add_filters(parser)
    parser.add_argument(
        "-s",
        "--sort",
        default="-at",
        metavar="WHAT",
        help="at, size, params.n, …; -size: largest first; params.n,-at: both",
    )
    parser.add_argument("-r", "--reverse", action="store_true", help="the other way round; alone: the oldest first")
    parser.add_argument("-n", "--limit", type=int, metavar="N", help=f"show at most N; {_MANY} unless told, 0 for all")
    parser.add_argument("--all", action="store_true", help="show all, not only the first 50")
    parser.add_argument("--state", choices=_STATES, help="only entries of that state; any: also what is not ours")
    parser.add_argument("--names", action="store_true", help="one line per payload name: how many, how large, how old")


def _run(options: argparse.Namespace, console: Console) -> int:
    catalog = catalog_of(options)
    with catalog.at_one_look():
        return _names(catalog, console) if options.names else _list(options, catalog, console)


def _list(options: argparse.Namespace, catalog: Catalog, console: Console) -> int:
    if options.limit is not None and options.limit < 0:
        raise UsageError(f"--limit must be 0 (for all), or more; got {options.limit}")
    limit = options.limit if options.limit is not None else None if options.all or console.is_json else _MANY
    sort = _reversed(options.sort) if options.reverse else options.sort
    with console.progress("Reading manifests"):
        found = catalog.find(
            options.payload_name, options.where, state=options.state, sort=_names_in(sort), limit=limit or None
        )
    is_asked = bool(options.payload_name or options.where or options.state)
    nothing = "" if is_asked else without_artifacts(catalog)
    if console.is_json:
        console.json([record.to_dict() for record in found])
    elif nothing:
        console.remark(nothing)
    elif not found:
        console.remark(_none(options, catalog))
    else:
        _show(found, catalog, console, is_asked=is_asked)
    return FAULTS if is_asked and not found.total else 0


def _reversed(sort: str) -> str:
    """Return the same order the other way round."""
    return ",".join(name[1:] if name.startswith("-") else f"-{name}" for name in _names_in(sort))


def _names_in(sort: str) -> list[str]:
    return [name.strip() for name in sort.split(",")]


def _none(options: argparse.Namespace, catalog: Catalog) -> str:
    """Return why nothing was found."""
    if options.payload_name and not catalog.find(options.payload_name, limit=1):
        return unknown_name(catalog, options.payload_name)
    return f"Nothing like that in {catalog.store.url}."


def _show(found: Selection, catalog: Catalog, console: Console, *, is_asked: bool) -> None:
    from ..catalog.selection import HEADER

    styles = [STYLES.get(record.state, "warning") for record in found]
    console.table(HEADER, found.rows(), right=(3,), styles=styles)
    total = amount(found.total, "entry", "entries")
    rest = f"{len(found):,} of {total}; --all shows all of them" if len(found) < found.total else total
    foreign = 0 if is_asked else catalog.states().get("foreign", 0)
    more = (
        f"; and {amount(foreign, 'file or folder', 'files and folders')} not ours: --state foreign" if foreign else ""
    )
    console.line(("pale", f"{rest}{more}"))


def _names(catalog: Catalog, console: Console) -> int:
    names = catalog.names()
    if console.is_json:
        rows = [(name, told.count, told.bytes, told.newest) for name, told in names.items()]
        console.json([dict(zip(("payload_name", "count", "bytes", "newest"), row, strict=True)) for row in rows])
        return 0
    lines = [(name, f"{told.count:,}", size(told.bytes), age(told.newest)) for name, told in names.items()]
    console.table(("name", "artifacts", "size", "newest"), lines, right=(1, 2))
    return 0


def by_path(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested params or metrics by their path."""
    from ..catalog.values import flattened

    return dict(flattened(values))


COMMANDS = {"ls": Command(_define, _run, _DETAILS)}
