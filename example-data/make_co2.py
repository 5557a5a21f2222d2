"""Make ``co2.csv``: monthly means of the carbon dioxide in the air at Mauna Loa, from March 1958 to December 2001.

The source is the data set ``co2`` of statsmodels: weekly averages, a file that travels in each of its releases and has
not changed since 2014. It is known by its digest, so that any release will do that has the same bytes::

    python example-data/make_co2.py               # take it from the statsmodels that is installed, write co2.csv
    python example-data/make_co2.py --check       # compare with the committed file instead
    python example-data/make_co2.py weekly.csv    # the same, from a copy of statsmodels/datasets/co2/co2.csv

Only the standard library is used; statsmodels is looked up, and not imported. Exit status: 0 done, or equal;
1 ``--check`` found a difference; 2 no usable source.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import PackageNotFoundError, distribution
from itertools import zip_longest
from pathlib import Path

CSV_IN_PACKAGE = "statsmodels/datasets/co2/co2.csv"
SHA256_OF_SOURCE = "16695fa2786e53414e5a6b54767a3fdf5de99cfbc68617f69d1362d92776a92f"
CO2_CSV = Path(__file__).resolve().parent / "co2.csv"


class SourceError(Exception):
    """The source cannot be had, or is not what this script knows how to read."""


def find_source() -> Path:
    """Return the path of the weekly averages in the statsmodels that is installed.

    Raises
    ------
    SourceError
        If there is none.
    """
    try:
        return Path(str(distribution("statsmodels").locate_file(CSV_IN_PACKAGE)))
    except PackageNotFoundError as error:
        raise SourceError(
            f"statsmodels is not installed here. Install it, or pass the path of a copy of {CSV_IN_PACKAGE}."
        ) from error


def read_weeks(source: Path) -> list[tuple[date, str]]:
    """Read the weekly averages.

    Parameters
    ----------
    source : Path
        ``co2.csv`` of statsmodels.

    Returns
    -------
    list of (date, str)
        The Saturday that ends a week, and the average as it stands in the source; empty where there is none.

    Raises
    ------
    SourceError
        If the file cannot be read, or is another one.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise SourceError(f"Cannot read {source}: {error}. Pass the path of a copy of {CSV_IN_PACKAGE}.") from error
    # A checkout may have changed the line ends, which say nothing.
    if (found := hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()) != SHA256_OF_SOURCE:
        raise SourceError(
            f"{source} has the SHA-256 {found}; expected {SHA256_OF_SOURCE}, the {CSV_IN_PACKAGE} of statsmodels 0.15."
        )
    table = csv.DictReader(io.StringIO(content.decode("ascii")))
    return [(datetime.strptime(line["date"], "%Y%m%d").date(), line["co2"]) for line in table]


def monthly_means(weeks: Iterable[tuple[date, str]]) -> list[tuple[date, str]]:
    """Return the mean of the weeks that end in each month, with two decimals; empty where no week was measured.

    Examples
    --------
    >>> monthly_means([(date(2000, 1, 1), "369.1"), (date(2000, 1, 8), "369.2"), (date(2000, 2, 5), "")])
    [(datetime.date(2000, 1, 1), '369.15'), (datetime.date(2000, 2, 1), '')]
    """
    months: dict[date, list[Decimal]] = defaultdict(list)
    for day, average in weeks:
        months[day.replace(day=1)] += [Decimal(average)] if average else []
    return [(month, _mean(averages)) for month, averages in months.items()]


def _mean(values: Sequence[Decimal]) -> str:
    return str((sum(values, Decimal()) / len(values)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)) if values else ""


def render_csv(rows: Iterable[tuple[date, str]]) -> bytes:
    r"""Render the rows as the bytes of ``co2.csv``: ASCII, a header, ``\n`` line ends on every platform.

    Examples
    --------
    >>> render_csv([(date(1958, 5, 1), "317.50"), (date(1958, 6, 1), "")])
    b'date,ppm\n1958-05-01,317.50\n1958-06-01,\n'
    """
    return "".join(["date,ppm\n", *(f"{month.isoformat()},{mean}\n" for month, mean in rows)]).encode("ascii")


def describe_difference(committed: bytes, made: bytes) -> str:
    r"""Name the first line in which two files differ.

    Examples
    --------
    >>> describe_difference(b"date,ppm\n", b"date,ppm\n1958-05-01,317.50\n")
    "line 2: the committed file has None, the source gives b'1958-05-01,317.50\\n'"
    """
    lines = zip_longest(committed.splitlines(keepends=True), made.splitlines(keepends=True))
    number, (found, expected) = next((n, pair) for n, pair in enumerate(lines, start=1) if pair[0] != pair[1])
    return f"line {number}: the committed file has {found!r}, the source gives {expected!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write ``co2.csv``, or compare it with its source; return the exit status."""
    parser = argparse.ArgumentParser(description="Make co2.csv, monthly means of the carbon dioxide at Mauna Loa.")
    parser.add_argument("weekly", nargs="?", type=Path, help=f"a copy of {CSV_IN_PACKAGE} (default: the installed one)")
    parser.add_argument("--check", action="store_true", help="compare with the committed file; write nothing")
    options = parser.parse_args(arguments)
    try:
        rows = monthly_means(read_weeks(options.weekly or find_source()))
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    made = render_csv(rows)
    print(f"{len(rows)} rows, {rows[0][0]} to {rows[-1][0]}, SHA-256 {hashlib.sha256(made).hexdigest()}")
    if not options.check:
        CO2_CSV.write_bytes(made)
        print(f"Written: {CO2_CSV.name}")
        return 0
    if not CO2_CSV.is_file():
        print(f"{CO2_CSV.name} is missing. Run this script without --check to write it.", file=sys.stderr)
        return 1
    committed = CO2_CSV.read_bytes()
    if committed != made:
        print(
            f"{CO2_CSV.name} differs from its source in {describe_difference(committed, made)}.\n"
            "If only line ends differ, the checkout changed them. Run this script without --check to write it anew.",
            file=sys.stderr,
        )
        return 1
    print(f"Equal: {CO2_CSV.name} is what the source gives.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
