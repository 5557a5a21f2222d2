"""``persistable why``, ``tree``, ``diff`` and ``outdated``: what an artifact was made from, and why."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Final

from .._text import amount
from .console import Console, UsageError
from .frame import FAULTS, Command
from .places import add_data_dir, add_key, catalog_of, record_named

if TYPE_CHECKING:
    from ..catalog import Catalog, Record
    from ..keys import ArtifactKey

__all__ = ["COMMANDS"]

_FORMATS: Final = ("text", "mermaid", "dot", "svg")

_WHY = """\
Looks at the manifest and the log, and at the nearest artifact that was made before. With OTHER: what differs from it.
Exit status 1 if there is no such artifact.
--json prints what Explanation.to_dict() returns (with OTHER: Diff.to_dict()).

examples:
  persistable why 3f9a
  persistable why 3f9a 91aa
"""
_TREE = """\
--json prints what Lineage.to_dict() returns: nodes and edges. With --dependents, an array of what was made from it.

examples:
  persistable tree 3f9a
  persistable tree 3f9a --format svg -o tree.svg
  persistable tree 3f9a --dependents
"""
_DIFF = """\
Exit status 1 if they differ. --json prints what Diff.to_dict() returns.

examples:
  persistable diff 3f9a 91aa
"""
_OUTDATED = """\
An upstream that has only grown since does not count. Exit status 1 if there are such results.
They are named in the order in which to make them again.
--json prints an array: payload_name, key, remade (roles), through (roles), upstreams (role to key), causes (keys of
what was made again), first (keys to make again before it), why, remedy.

examples:
  persistable outdated
  persistable outdated results --json
"""


def _define_why(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    add_key(parser, "other", nargs="?", help="what to compare it with, instead of its nearest")


def _why(options: argparse.Namespace, console: Console) -> int:
    if options.other:
        return _compare(options.key, options.other, catalog_of(options), console, is_question=False)
    from ..lineage.explanation import explain_artifact

    catalog = catalog_of(options)
    record = record_named(catalog, options.key)
    if record.state == "1.x":
        return _of_1_x(record, console)
    explanation = explain_artifact(catalog.store, record.key)
    if console.is_json:
        console.json(explanation.to_dict())
    else:
        console.text(explanation)
    return 0


def _of_1_x(record: Record, console: Console) -> int:
    """Say what there is to say of an artifact that persistable 1.x wrote: it has no manifest."""
    said = f"{record.payload_name} {record.key[:8]} is of persistable 1.x ({record.path}), which kept no record of why."
    if console.is_json:
        told = {"payload_name": record.payload_name, "key": str(record.key), "state": record.state}
        console.json({**told, "problem": record.problem})
    else:
        console.line(f"{said} {record.problem[:1].upper()}{record.problem[1:]}")
    return 0


def _define_diff(parser: argparse.ArgumentParser) -> None:
    add_key(parser, "one", "other")


def _diff(options: argparse.Namespace, console: Console) -> int:
    return _compare(options.one, options.other, catalog_of(options), console, is_question=True)


def _compare(one: str, other: str, catalog: Catalog, console: Console, *, is_question: bool) -> int:
    from ..lineage.comparison import diff

    mine, theirs = record_named(catalog, one).key, record_named(catalog, other).key
    found = diff((catalog.store, mine), (catalog.store, theirs))
    if console.is_json:
        console.json(found.to_dict())
    else:
        console.text(found)
    return FAULTS if found and is_question else 0


def _define_tree(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    parser.add_argument("--format", choices=_FORMATS, default="text", help="text unless told")
    parser.add_argument("-o", "--output", metavar="FILE", help="write it to FILE")
    parser.add_argument("--depth", type=int, metavar="N", help="of a text: at most N levels")
    parser.add_argument("--dependents", action="store_true", help="what was made from it, instead")


def _tree(options: argparse.Namespace, console: Console) -> int:
    catalog = catalog_of(options)
    key = record_named(catalog, options.key).key
    if options.dependents:
        return _dependents(catalog, key, console)
    from ..lineage.graph import Lineage

    lineage = Lineage.of_artifact(catalog.store, key)
    if console.is_json:
        console.json(lineage.to_dict())
        return 0
    if options.format == "text":
        text = lineage.to_text(options.depth, ascii=console.ascii and not options.output)
    else:
        text = getattr(lineage, f"to_{options.format}")()
    if options.output:
        _write(options.output, text)
    elif options.format == "text":
        console.drawing(text)
    else:
        console.raw(text)
    return 0


def _write(path: str, text: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder} to write {os.path.basename(path)} to")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text if text.endswith("\n") else f"{text}\n")


def _dependents(catalog: Catalog, key: ArtifactKey, console: Console) -> int:
    """Print all that was made from an artifact, directly or through others, each once, below what it was made from."""
    seen = {str(key)}
    found: list[dict[str, object]] = []
    stack = [(record, 1, str(key)) for record in reversed(catalog.dependents(key))]
    if not console.is_json:
        console.line(("bold", key.payload_name), " ", ("key", key[:8]))
    while stack:
        record, depth, upstream = stack.pop()
        again = record.key in seen
        seen.add(record.key)
        if console.is_json:
            found.append({"payload_name": record.payload_name, "key": record.key, "upstream": upstream, "depth": depth})
        else:
            console.line(
                "  " * depth,
                record.payload_name,
                " ",
                ("key", record.key[:8]),
                ("pale", "  see above" if again else ""),
            )
        if not again:
            stack += [(one, depth + 1, record.key) for one in reversed(catalog.dependents(record.key))]
    if console.is_json:
        console.json(found)
    elif len(seen) == 1:
        console.remark("Nothing here was made from it.")
    return 0


def _define_outdated(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)


def _outdated(options: argparse.Namespace, console: Console) -> int:
    from ..lineage import outdated

    catalog = catalog_of(options)
    found = outdated(catalog)
    if console.is_json:
        console.json([one.to_dict() for one in found])
    elif found:
        for one in found:
            console.line(("key", one.key[:8]), "  ", ("bold", one.payload_name), "  ", one.why)
            console.line("          ", ("pale", f"{one.remedy}."), indent=14)
        console.line(("pale", f"{amount(len(found), 'result')}; each after what is to be made again before it"))
    else:
        console.line(("good", "No result was made from content that is no more."))
    return FAULTS if found else 0


COMMANDS = {
    "why": Command(_define_why, _why, _WHY, asks=True),
    "tree": Command(_define_tree, _tree, _TREE, asks=True),
    "diff": Command(_define_diff, _diff, _DIFF),
    "outdated": Command(_define_outdated, _outdated, _OUTDATED),
}
