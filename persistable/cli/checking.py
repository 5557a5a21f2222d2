"""``persistable verify``, ``du`` and ``doctor``: whether all is whole, what takes the room, and the place itself."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from .._text import amount
from .console import Console
from .frame import FAULTS, Command
from .places import add_data_dir, add_filters, add_key, catalog_of, data_dir_of, split_place

if TYPE_CHECKING:
    from ..catalog import Catalog, Record
    from ..upkeep.verify import Finding

__all__ = ["COMMANDS"]

_STYLES: Final = {"ok": "good", "warning": "warning", "fault": "bad"}

_VERIFY = """\
All bytes of the payloads are read, and none is loaded. Without KEY, of all artifacts; a first argument that is no key
is the store. Exit status 1 if there are faults; warnings are none.
--json prints an array of findings: path, key, payload_name, level (ok, warning, fault), problem, remedy.

examples:
  persistable verify
  persistable verify 3f9a 91aa
  persistable verify results -p model
"""
_DU = """\
--json prints what Usage.to_dict() returns.

examples:
  persistable du
  persistable du s3://team/artifacts --json
"""
_DOCTOR = """\
A few small files are written to persistable-doctor/ in the store, and removed. Exit status 1 if there are faults.
--json prints an array of findings: path, key, payload_name, level (ok, warning, fault), problem, remedy.

examples:
  persistable doctor
  persistable doctor /mnt/shared/artifacts
  persistable doctor s3://team/artifacts --json
"""


def _define_verify(parser: argparse.ArgumentParser) -> None:
    add_key(parser, "keys", nargs="*", help="which artifacts; all if none is named")
    add_filters(parser)


def _verify(options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.verify import verify

    split_place(options)
    catalog = catalog_of(options)
    records = _asked(options, catalog)
    with console.progress("Verifying") as progress:
        return _tell(verify(catalog, records, progress=progress), console, shows_ok=options.verbose)


def _asked(options: argparse.Namespace, catalog: Catalog) -> Iterable[Record] | None:
    """Return which artifacts are meant; None for all of them."""
    if options.keys:
        return [catalog.get(key) for key in options.keys]
    if options.payload_name or options.where:
        return catalog.find(options.payload_name, options.where)
    return None


def _tell(findings: Iterable[Finding], console: Console, *, shows_ok: bool) -> int:
    """Print findings as they come, and return the exit status."""
    told: list[dict[str, Any]] = []
    levels: Counter[str] = Counter()
    for finding in findings:
        levels[finding.level] += 1
        if console.is_json:
            told.append(finding._asdict())
        elif shows_ok or finding.level != "ok":
            _line(finding, console)
    if console.is_json:
        console.json(told)
    else:
        counts = f"{amount(levels['fault'], 'fault')}, {amount(levels['warning'], 'warning')}, {levels['ok']:,} fine"
        console.line(("bad" if levels["fault"] else "good", counts))
    return FAULTS if levels["fault"] else 0


def _line(finding: Finding, console: Console) -> None:
    where = f"{finding.payload_name} {finding.key[:8]}" if finding.key and finding.payload_name else finding.path
    problem = finding.problem or "whole"
    stop = "." if finding.remedy and not problem.endswith((".", "!", "?")) else ""
    said = f"{problem}{stop} {finding.remedy}".rstrip()
    console.line((_STYLES[finding.level], f"{finding.level:<7}"), "  ", ("key", where), "  ", said)


def _define_place(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)


def _du(options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.usage import usage

    with console.progress("Reading"):
        found = usage(catalog_of(options))
    if console.is_json:
        console.json(found.to_dict())
    else:
        console.text(found)
    return 0


def _doctor(options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.doctor import diagnose

    return _tell(diagnose(data_dir_of(options, must_exist=False)), console, shows_ok=True)


COMMANDS = {
    "verify": Command(_define_verify, _verify, _VERIFY),
    "du": Command(_define_place, _du, _DU),
    "doctor": Command(_define_place, _doctor, _DOCTOR),
}
