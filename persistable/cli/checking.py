"""``persistable verify``, ``du`` and ``doctor``: whether all is whole, what takes the room, and the place itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from .console import Console
from .frame import FAULTS, Command
from .places import add_data_dir, add_filters, add_key, catalog_of, data_dir_of, record_named, require_name, split_place

if TYPE_CHECKING:
    from ..catalog import Catalog, Record
    from ..upkeep.findings import Finding

__all__ = ["COMMANDS"]

_STYLES: Final = {"ok": "good", "warning": "warning", "fault": "bad"}

_VERIFY = """\
All bytes of the payloads are read, and none is loaded. Without KEY, of all artifacts; a first argument that is a
folder or a URL is the store. Exit status 1 if there are faults; warnings are none.
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
    from ..upkeep.verify import findings_of

    split_place(options)
    catalog = catalog_of(options)
    records = _asked(options, catalog)
    with console.progress("Verifying") as progress:
        return _tell(findings_of(catalog, records, progress=progress), console, shows_ok=options.verbose)


def _asked(options: argparse.Namespace, catalog: Catalog) -> Iterable[Record] | None:
    """Return which artifacts are meant; None for all of them."""
    if options.keys:
        return [record_named(catalog, word) for word in options.keys]
    require_name(catalog, options.payload_name)
    if options.payload_name or options.where:
        return catalog.find(options.payload_name, options.where)
    return None


def _tell(findings: Iterable[Finding], console: Console, *, shows_ok: bool) -> int:
    """Print findings as they come, and return the exit status."""
    from ..upkeep.findings import Findings

    told = []
    for finding in findings:
        told.append(finding)
        if not console.is_json and (shows_ok or finding.level != "ok"):
            style = _STYLES[finding.level]
            console.line((style, f"{finding.level:<7}"), "  ", ("key", finding.subject), "  ", finding.advice, indent=9)
    all_told = Findings(told)
    if console.is_json:
        console.json([finding.to_dict() for finding in all_told])
    else:
        console.line(("bad" if all_told.faults else "good", all_told.summary))
    return FAULTS if all_told.faults else 0


def _define_place(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)


def _du(options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.usage import usage

    with console.progress("Reading"):
        found = usage(catalog_of(options))
    if console.is_json:
        console.json(found.to_dict())
    else:
        console.drawing(found)
    return 0


def _doctor(options: argparse.Namespace, console: Console) -> int:
    from ..upkeep.doctor import findings_of

    return _tell(findings_of(data_dir_of(options, must_exist=False)), console, shows_ok=True)


COMMANDS = {
    "verify": Command(_define_verify, _verify, _VERIFY),
    "du": Command(_define_place, _du, _DU),
    "doctor": Command(_define_place, _doctor, _DOCTOR),
}
