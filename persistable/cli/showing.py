"""``persistable show`` and ``persistable log``: everything that is known of one artifact, and what its logger said."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._text import age, duration, shown, size
from .console import Console
from .frame import Command
from .listing import STYLES, by_path
from .places import add_key, catalog_of, record_named

if TYPE_CHECKING:
    from ..catalog import Catalog
    from ..catalog.records import Record
    from ..stores import Entry

__all__ = ["COMMANDS"]

_FAILED = re.compile(r"failed-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)([\d.]+)Z\.log")
_LONGEST = 400  # characters of one param; all of it is in params.json, and in --json

_SHOW = """\
Exit status 1 if there is no such artifact.
--json prints what ls --json prints of one artifact, and files (path, size, modified), packages, git, dependents.

examples:
  persistable show 3f9a
  persistable show model/3f9a --json
"""
_LOG = """\
Exit status 1 if there is no such artifact, or no log of it.
--json prints key, file and text.

examples:
  persistable log 3f9a
  persistable log 3f9a --failed
"""


def _define_show(parser: argparse.ArgumentParser) -> None:
    add_key(parser)


def _show(options: argparse.Namespace, console: Console) -> int:
    catalog = catalog_of(options)
    record = record_named(catalog, options.key)
    files = _files(catalog, record)
    dependents = catalog.dependents(record.key) if record.key else []
    if console.is_json:
        files_told = [{"path": entry.path, "size": entry.size, "modified": entry.modified} for entry in files]
        extra = {"files": files_told, "packages": record.packages, "git": record.git}
        console.json(
            {**record.to_dict(), **extra, "dependents": [f"{one.payload_name}/{one.key}" for one in dependents]}
        )
        return 0
    style = STYLES.get(record.state, "warning")
    console.line(("bold", record.payload_name), " ", ("key", record.key or record.path))
    if record.state != "whole":
        console.line((style or "bold", record.state), f": {record.problem}" if record.problem else "")
    _lines(console, _head(record))
    _section(console, "params", _values(record.params))
    _section(console, "metrics", _values(record.metrics))
    _section(console, "upstreams", _upstreams(catalog, record))
    _section(console, "used by", ((one.payload_name, f"{one.key[:8]}  {age(one.at)}") for one in dependents[:20]))
    if len(dependents) > 20:
        console.line(f"  and {len(dependents) - 20:,} more")
    _section(console, "files", ((entry.path.removeprefix(f"{record.path}/"), size(entry.size)) for entry in files))
    _section(console, "packages", (record.packages or {}).items())
    return 0


def _head(record: Record) -> Iterable[tuple[str, str]]:
    """Yield what there is to say of the artifact itself."""
    if record.summary:
        yield "payload", f"{record.summary}, {size(record.size or 0)}, {record.format}"
    if record.at:
        lasted = f" in {duration(record.seconds)}" if record.seconds is not None else ""
        yield "made", f"{record.at} ({age(record.at)}){lasted}"
    if record.user or record.host:
        yield "by", "@".join(part for part in (record.user, record.host) if part)
    if record.class_name:
        yield "class", record.class_name + (f", version {record.version}" if record.version is not None else "")
    if record.tags:
        yield "tags", ", ".join(record.tags)
    if python := record.generated.get("python"):
        yield "python", str(python)
    if record.git:
        dirty = ", with changes that were not committed" if record.git.get("dirty") else ""
        yield "git", f"{record.git.get('commit')}{dirty}"
    if record.digest:
        yield "digest", record.digest


def _values(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return ((path, shown(value, _LONGEST)) for path, value in by_path(values).items())


def _upstreams(catalog: Catalog, record: Record) -> Iterable[tuple[str, str]]:
    for role, upstream in record.dependencies.items():
        used = "" if upstream.digest else ", not opened"
        yield role, f"{upstream.payload_name} {upstream.key[:8]}{used}"


def _section(console: Console, title: str, lines: Iterable[tuple[Any, Any]]) -> None:
    found = [(str(name), str(value)) for name, value in lines]
    if found:
        console.line(("bold", title))
        _lines(console, found, "  ")


def _lines(console: Console, lines: Iterable[tuple[str, str]], margin: str = "") -> None:
    found = list(lines)
    widest = min(max((len(name) for name, _ in found), default=0), 32)
    for name, value in found:
        console.line(margin, ("pale", f"{name:<{widest}}"), "  ", value, indent=len(margin) + widest + 2)


def _files(catalog: Catalog, record: Record) -> list[Entry]:
    entries = list(catalog.store.list(record.path))
    # A file that is no artifact, a foreign one say, is listed by itself.
    return sorted(entries) if entries else []


def _define_log(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    parser.add_argument("--failed", action="store_true", help="the newest log of a generation that raised")


def _log(options: argparse.Namespace, console: Console) -> int:
    catalog = catalog_of(options)
    record = record_named(catalog, options.key)
    name = _name_of_log(catalog, record, options.failed)
    text = ""
    if name:
        try:
            text = catalog.store.read(f"{record.path}/{name}").decode("utf-8", "replace")
        except FileNotFoundError:
            name = ""
    if console.is_json:
        console.json({"payload_name": record.payload_name, "key": record.key, "file": name or None, "text": text})
    elif name:
        if name.startswith("failed-"):
            at = _FAILED.sub(r"\1-\2-\3 \4:\5", name)
            console.remark(f"The generation of {at} UTC, which raised:")
        console.text(text)
    else:
        console.remark(f"{record.payload_name} {record.key} has no {'failed generation' if options.failed else 'log'}.")
    return 0 if name else 1


def _name_of_log(catalog: Catalog, record: Record, failed: bool) -> str:
    """Return the file name of the log that is meant: without an artifact, the newest failure is all that there is."""
    failures = sorted(
        name for entry in catalog.store.list(record.path) if _FAILED.fullmatch(name := entry.path.rpartition("/")[2])
    )
    if failures and (failed or record.state == "failed"):
        return str(failures[-1])
    return "" if failed else "generation.log"


COMMANDS = {"show": Command(_define_show, _show, _SHOW, asks=True), "log": Command(_define_log, _log, _LOG, asks=True)}
