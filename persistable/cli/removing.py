"""``persistable prune`` and ``persistable rm``: what goes, and only after it was named."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .._text import age, amount, size
from ..exceptions import PersistableError
from .console import Console, UsageError
from .frame import FAULTS, WRONG, Command
from .places import add_data_dir, add_filters, add_key, catalog_of, completed_by, record_named, require_name

if TYPE_CHECKING:
    from ..catalog import Catalog, Record
    from ..upkeep.plans import Plan

__all__ = ["COMMANDS"]

_PRUNE = """\
What several criteria name is what all of them do. What a kept artifact was made from is kept, too; so is what is
younger than an hour, or being made, and all that is not known. Without criteria, only leftovers go.
--json prints the plan: store, bytes, artifacts (as ls prints them, and reason), leftovers (path, kind, bytes, reason),
spared; and with --delete an array of what was done: path, payload_name, key, removed, bytes, note. What has changed
since it was planned stays; the exit status is then 1.

examples:
  persistable prune --older-than 30d --larger-than 1GB
  persistable prune --unused-for 90d -p model --delete
  persistable prune --unreachable --keep ranking_p --delete --yes
"""
_RM = """\
What was made from it is named first; with --force it goes all the same, and load_generate() can make it again.
--json prints an array of what was removed: payload_name, key, files, bytes, left.

examples:
  persistable rm 3f9a
  persistable rm model/3f9a model/91aa --yes
"""


def _define_prune(parser: argparse.ArgumentParser) -> None:
    from .completing import keys

    add_data_dir(parser)
    add_filters(parser)
    parser.add_argument("--older-than", type=_age, metavar="AGE", help="made longer ago than that: 12h, 30d, 8w")
    parser.add_argument("--larger-than", type=_size, metavar="SIZE", help="whose payload is larger: 500MB, 1GB")
    parser.add_argument(
        "--unused-for", type=_age, metavar="AGE", help="not read for that long, as far as the drive keeps that"
    )
    parser.add_argument("--unreachable", action="store_true", help="from which nothing that is kept was made")
    what = "what is kept in any case"
    completed_by(keys, parser.add_argument("--keep", nargs="+", default=[], metavar="KEY|NAME", help=what))
    parser.add_argument("--no-leftovers", action="store_true", help="leave what interrupted writes have left")
    _define_consent(parser)
    parser.add_argument("--delete", action="store_true", help="remove it; without, only say what would go")


def _age(text: str) -> float:
    from ..upkeep.amounts import seconds_of

    return _amount(text, seconds_of, "an age", ("d", "h", "min"), "30d, 12h, 30min")


def _size(text: str) -> float:
    from ..upkeep.amounts import bytes_of

    return _amount(text, bytes_of, "a size", ("B", "MB", "GB"), "500MB, 1.5GB")


def _amount(text: str, parse: Callable[[str], float], what: str, units: tuple[str, ...], examples: str) -> float:
    try:
        return parse(text)
    except ValueError:
        is_number = text.replace(".", "", 1).isdecimal()
        ways = ", ".join(f"{text}{unit}" for unit in units)
        problem = f"{text} has no unit: {ways}" if is_number else f"{text!r} is not {what}, such as {examples}"
        raise argparse.ArgumentTypeError(problem) from None


def _define_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _prune(options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.pruning import plan

    if options.unreachable and not options.keep:
        raise UsageError("--unreachable removes what nothing that is kept was made from: say with --keep what that is")
    catalog = catalog_of(options)
    require_name(catalog, options.payload_name)
    planned = plan(
        catalog,
        older_than=options.older_than,
        larger_than=options.larger_than,
        unused_for=options.unused_for,
        keep=[_kept(catalog, word) for word in options.keep],
        unreachable=options.unreachable,
        leftovers=not options.no_leftovers,
        payload_name=options.payload_name,
        where=options.where,
    )
    if not options.delete:
        _show(planned, console)
        return 0
    return _carry_out(planned, options, console)


def _kept(catalog: Catalog, word: str) -> str:
    """Return a payload name, or the key that a word means."""
    name = word.removesuffix("/")
    return name if name in catalog.names() else record_named(catalog, word).key


def _show(planned: Plan, console: Console) -> None:
    if console.is_json:
        console.json(planned.to_dict())
        return
    console.text(planned)
    if planned.artifacts or planned.leftovers:
        console.line(("bold", "Nothing was removed. To remove it, add --delete."))


def _carry_out(planned: Plan, options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.plans import Outcomes

    count = len(planned.artifacts) + len(planned.leftovers)
    if count and not options.yes:
        if not console.is_json:
            console.text(planned)
        if not console.confirm(f"Remove {amount(count, 'entry', 'entries')}, {size(planned.bytes)}?"):
            console.remark("Nothing was removed.")
            return 0
    told = []
    with console.progress("Removing", "entry") as progress:
        for outcome in planned.outcomes(progress):
            told.append(outcome)
            if not console.is_json and (outcome.note or options.verbose):
                style, what = ("pale", "removed") if outcome.removed else ("warning", "stays  ")
                console.line((style, what), "  ", outcome.path, f"  {outcome.note}" if outcome.note else "")
    outcomes = Outcomes(told)
    if console.is_json:
        console.json([outcome.to_dict() for outcome in outcomes])
    elif planned:
        console.line(outcomes.summary)
        console.text("\n".join(planned.remarks))
    else:
        console.text(planned)
    return FAULTS if outcomes.stayed else 0


def _define_rm(parser: argparse.ArgumentParser) -> None:
    add_key(parser, "keys", nargs="+", help="which artifacts")
    parser.add_argument("-f", "--force", action="store_true", help="also if something was made from it")
    _define_consent(parser)


def _rm(options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.removal import remove

    catalog = catalog_of(options)
    records = list({one.key: one for one in (record_named(catalog, word) for word in options.keys)}.values())
    if old := next((record for record in records if record.state == "1.x"), None):
        raise UsageError(f"{old.path} is of persistable 1.x, and not ours to remove: delete the file yourself")
    dependents = _dependents(catalog, records)
    if dependents and not options.force:
        named = ", ".join(f"{one.payload_name} {one.key[:8]}" for one in dependents[:5])
        more = f" and {len(dependents) - 5:,} more" if len(dependents) > 5 else ""
        raise UsageError(f"made from it: {named}{more}. Remove those too, or add --force")
    if not options.yes:
        for record in records:
            made = f"made {age(record.at)}" if record.state == "whole" else f"{record.state}: {record.problem}"
            room = size(sum(entry.size for entry in catalog.store.list(record.path)))
            console.remark(f"{record.payload_name} {record.key}  {room}, {made}", "key")
        if not console.confirm(f"Remove {amount(len(records), 'artifact')}?"):
            console.remark("Nothing was removed.")
            return 0
    told: list[dict[str, Any]] = []
    for key in (record.key for record in records):
        which = {"payload_name": key.payload_name, "key": str(key)}
        try:
            removed = remove(catalog.store, key)
        except PersistableError as error:  # the others are to go all the same
            console.error(error)
            told.append({**which, "error": str(error)})
            continue
        told.append(removed.to_dict())
        if not console.is_json:
            console.line(f"{key.payload_name} ", ("key", key[:8]), f"  removed, {size(removed.bytes)}")
            for path, reason in removed.left:
                console.line(("pale", f"  left: {path}: {reason}"))
    if console.is_json:
        console.json(told)
    return WRONG if any("error" in one for one in told) else 0


def _dependents(catalog: Catalog, records: Iterable[Record]) -> list[Record]:
    """Return what was made from these, and does not go itself."""
    going = {record.key for record in records}
    found = {one.key: one for key in going for one in catalog.dependents(key)}
    return [one for key, one in found.items() if key not in going]


COMMANDS = {
    "prune": Command(_define_prune, _prune, _PRUNE),
    "rm": Command(_define_rm, _rm, _RM),
}
