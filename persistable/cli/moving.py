"""``persistable cp`` and ``persistable report``: what leaves a store, for another place, or for people."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from .._text import size
from .console import Console, UsageError
from .frame import WRONG, Command
from .places import add_data_dir, add_filters, catalog_of, completed_by, data_dir_of, record_named

if TYPE_CHECKING:
    from ..catalog import Catalog
    from ..keys import ArtifactKey
    from ..upkeep.copying import Copied

__all__ = ["COMMANDS"]

_CP_USAGE = "persistable cp [OPTION ...] KEY [KEY ...] TARGET\n       persistable cp [OPTION ...] --all TARGET"
_CP = """\
An artifact that is there already is left as it is. Every byte is verified on the way.
--json prints an array: payload_name, key, state (copied, there, missing, failed), bytes, problem.

examples:
  persistable cp 3f9a s3://team/artifacts
  persistable -d results cp model/3f9a model/91aa ../other --no-upstreams
  persistable cp --all /mnt/archive
"""
_REPORT = """\
The page works from a drive, without a server. --json prints: path, bytes.

examples:
  persistable report results -o report.html
  persistable report -p model -w 'metrics.rmse < 0.01' -o best.html
"""


def _define_cp(parser: argparse.ArgumentParser) -> None:
    from .completing import keys

    what = "which artifacts, and last the folder or URL that they are copied to"
    completed_by(keys, parser.add_argument("names", nargs="+", metavar="KEY", help=what))
    parser.add_argument("--all", action="store_true", help="all whole artifacts, instead of keys")
    parser.add_argument("--no-upstreams", action="store_true", help="not what they were made from")


def _cp(options: argparse.Namespace, console: Console) -> int:
    from ..stores import store_for
    from ..upkeep.copying import Copies, copies_of

    *names, target = options.names
    if bool(names) == options.all:
        raise UsageError(
            "which artifacts are to be copied? Name their keys and then the target; or --all and the target"
        )
    catalog = catalog_of(options)
    keys = _whole(catalog) if options.all else [record_named(catalog, name).key for name in names]
    told: list[Copied] = []
    with console.progress("Copying") as progress:
        upstreams = not options.no_upstreams
        for copied in copies_of(catalog, keys, store_for(target), upstreams=upstreams, progress=progress):
            told.append(copied)
            if not console.is_json:
                _line(copied, console)
    if console.is_json:
        console.json([copied.to_dict() for copied in told])
    else:
        console.line(("pale", Copies(told).summary))
    return WRONG if Copies(told).failed else 0


def _line(copied: Copied, console: Console) -> None:
    style = {"failed": "bad", "missing": "warning"}.get(copied.state, "pale")
    said = copied.problem or (size(copied.bytes) if copied.bytes else "")
    console.line(copied.key.payload_name, " ", ("key", copied.key[:8]), "  ", (style, copied.state), "  ", said)


def _whole(catalog: Catalog) -> list[ArtifactKey]:
    from ..keys import ArtifactKey

    return [ArtifactKey(record.key, record.payload_name) for record in catalog.find(state="whole")]


def _define_report(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    add_filters(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="report.html", help="the page; report.html unless told"
    )
    parser.add_argument("--title", metavar="TEXT", help="what stands above it")


def _report(options: argparse.Namespace, console: Console) -> int:
    from ..report import write_report

    path = write_report(
        data_dir_of(options),
        options.output,
        title=options.title,
        payload_name=options.payload_name,
        where=options.where,
    )
    length = os.path.getsize(path)
    if console.is_json:
        console.json({"path": str(path), "bytes": length})
    else:
        console.line(f"Written: {path}, {size(length)}.")
    return 0


COMMANDS = {"cp": Command(_define_cp, _cp, _CP, usage=_CP_USAGE), "report": Command(_define_report, _report, _REPORT)}
