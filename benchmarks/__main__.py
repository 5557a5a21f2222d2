"""The command line: run cases, print a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from ._measure import CASES, Bench, Case, Row, Skip

_MODULES = (
    "cases_import",
    "cases_hits",
    "cases_keys",
    "cases_large",
    "cases_remote",
    "cases_studies",
    "cases_forecasting",
    "cases_catalog",
    "cases_explain",
    "cases_cli",
)  # in the order of the table

_COLUMNS = ("case", "reach", "measured", "noise", "unit", "", "min / median of", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases that the command line names, and return the exit status."""
    for module in _MODULES:
        import_module(f".{module}", __package__)
    options = _parse(arguments)
    # Killed politely, it still removes its gigabytes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    print(_machine())
    if options.quick:
        print("Tiny sizes: only to see that everything runs. The figures mean nothing.")
    cases = [CASES[name] for name in options.cases] or list(CASES.values())
    width = max(len(case.title) for case in cases)
    print(_line(width, *_COLUMNS).rstrip())
    found: list[tuple[Case, Row]] = []
    records: list[dict[str, Any]] = []
    for case in cases:
        try:
            row = _middle([_measured(case, options) for _ in range(options.repeat)])
        except Skip as reason:
            records.append({"case": case.name, "title": case.title, "verdict": "skipped", "note": str(reason)})
            print(_line(width, case.title, "", "", "", "", "skipped", "", str(reason)), flush=True)
            continue
        found.append((case, row))
        records.append(_record(case, row))
        print(_line(width, *_cells(case, row)).rstrip(), flush=True)
    missed = [case.name for case, row in found if not row.reached]
    if missed and not options.quick:
        print(f"Not reached: {', '.join(missed)}.")
    if options.json:
        report = {"machine": _machine(), "rows": records}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if options.check and missed and not options.quick else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure persistable against floors.")
    names = ", ".join(CASES)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"which to run; all if none is named: {names}")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a reach is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE, too")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="where files go meanwhile; the temporary folder if not")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run each N times, and show the middle one")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only to see that the cases run")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.cases if name not in CASES]:
        parser.error(f"no case is named {unknown[0]!r}; there are {names}")
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options


def _measured(case: Case, options: argparse.Namespace) -> Row:
    with tempfile.TemporaryDirectory(prefix="persistable-bench-", dir=options.dir) as folder:
        return case.measure(Bench(Path(folder), options.quick))


def _middle(rows: list[Row]) -> Row:
    """Return the median row; of an even number, the worse one of the two in the middle."""
    worst_last = sorted(rows, key=lambda row: -row.measured if row.at_least else row.measured)
    return worst_last[len(rows) // 2]


def _cells(case: Case, row: Row) -> tuple[str, ...]:
    reach = f"{'≥' if row.at_least else '≤'} {row.reach:g}"
    times = ", ".join(
        f"{name} {_duration(min(taken))} / {_duration(median(taken))}" for name, taken in row.times.items()
    )
    noise = f"± {row.noise:.2f}" if row.noise else ""
    return case.title, reach, f"{row.measured:.2f}", noise, row.unit, "ok" if row.reached else "MISSED", times, row.note


def _line(width: int, title: str, reach: str, measured: str, noise: str, unit: str, *rest: str) -> str:
    verdict, times, note = rest
    return f"{title:<{width}}  {reach:>6}  {measured:>8}  {noise:>7}  {unit:<28}  {verdict:<7}  {times}  {note}"


def _duration(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _record(case: Case, row: Row) -> dict[str, Any]:
    return {"case": case.name, "title": case.title, "verdict": "ok" if row.reached else "missed", **asdict(row)}


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pandas", "xxhash"))
    return f"{_processor()}, {cores} cores; {platform.system()}; Python {platform.python_version()}, {packages}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
