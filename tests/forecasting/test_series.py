"""A series: read from a file whose content is in the key, and brought into order by stated rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from persistable import content_digest
from persistable.exceptions import ForecastingError, ParamsError
from persistable.forecasting.series import SeriesP, SeriesParams

EXAMPLE_DATA = Path(__file__).resolve().parents[2] / "example-data"

Make = Callable[..., SeriesP]

DAYS = "date,rate\n2024-03-01,1.5\n2024-03-04,2.5\n2024-03-05,3.5\n"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a text to a file and returns its series."""

    def make(text: str, name: str = "file.csv", **params: Any) -> SeriesP:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return SeriesP.from_csv(tmp_path / "store", path, **{"target": "rate", **params})

    return make


def values_of(series_p: SeriesP, column: str = "rate") -> list[float]:
    return series_p.payload[column].tolist()


def dates_of(series_p: SeriesP) -> list[str]:
    return series_p.payload.index.strftime("%Y-%m-%d").tolist()


class TestWhatIsRead:
    def test_the_target_comes_first_then_the_exogenous_columns_as_floats_by_date(self, make: Make) -> None:
        text = "b,date,rate,other,a\n1,2024-03-01,10,x,3\n2,2024-03-02,20,y,4\n"
        frame = make(text, exogenous=("a", "b")).payload
        assert frame.columns.tolist() == ["rate", "a", "b"]
        assert frame.to_numpy().tolist() == [[10.0, 3.0, 1.0], [20.0, 4.0, 2.0]]
        assert set(frame.dtypes) == {np.dtype("float64")}
        assert frame.index.dtype == np.dtype("datetime64[ns]")
        assert frame.index.name == "date"

    def test_the_daily_rates_are_those_of_the_file_to_the_last_bit(self, tmp_path: Path) -> None:
        frame = SeriesP.from_csv(tmp_path, EXAMPLE_DATA / "eurusd.csv", target="rate").payload
        lines = (EXAMPLE_DATA / "eurusd.csv").read_text().splitlines()[1:]
        assert frame["rate"].tolist() == [float(line.split(",")[1]) for line in lines]
        assert frame.index.strftime("%Y-%m-%d").tolist() == [line.split(",")[0] for line in lines]

    def test_floats_with_many_digits_are_read_as_python_reads_them(self, make: Make) -> None:
        numbers = np.random.default_rng(1).lognormal(sigma=20, size=200).tolist()
        days = pd.date_range("2024-01-01", periods=200).strftime("%Y-%m-%d")
        text = "date,rate\n" + "".join(f"{day},{number!r}\n" for day, number in zip(days, numbers, strict=True))
        assert values_of(make(text)) == numbers

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"frequency": "B"},
            {"frequency": "MS", "aggregate": "mean"},
            {"frequency": "ME", "aggregate": "sum"},
            {"frequency": "W-FRI"},
            {"frequency": "D", "missing": "drop"},
            {"frequency": "12h", "missing": "ffill"},
        ],
    )
    def test_what_is_loaded_equals_what_was_made(self, make: Make, params: dict[str, Any]) -> None:
        made = make(DAYS, **params).load_generate()
        loaded = make(DAYS, **params).load()
        assert loaded is not made
        pd.testing.assert_frame_equal(made, loaded, check_exact=True, check_freq=True)

    def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(self, make: Make) -> None:
        assert values_of(make("\ufeff" + DAYS.replace("\n", "\r\n"))) == [1.5, 2.5, 3.5]

    def test_parquet_is_read_by_its_suffix_with_the_dates_as_index_or_column(self, tmp_path: Path, make: Make) -> None:
        frame = make(DAYS).payload
        frame.to_parquet(tmp_path / "indexed.parquet")
        frame.reset_index().to_parquet(tmp_path / "plain.PARQUET")
        for name in ("indexed.parquet", "plain.PARQUET"):
            found = SeriesP.from_csv(tmp_path / "store", tmp_path / name, target="rate").payload
            pd.testing.assert_frame_equal(found, frame)

    def test_columns_of_parquet_that_are_no_numbers_are_refused_and_missing_ones_found(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(
            {
                "date": pd.date_range("2024-03-01", periods=2),
                "flag": [True, False],
                "when": pd.date_range("2024-03-01", periods=2),
                "count": pd.array([None, 1], dtype="Int64"),
            }
        )
        path = tmp_path / "frame.parquet"
        frame.to_parquet(path)
        for target in ("flag", "when"):
            with pytest.raises(ForecastingError, match=f"2 values of '{target}' in frame.parquet are no numbers"):
                SeriesP.from_csv(tmp_path, path, target=target).generate()
        assert values_of(SeriesP.from_csv(tmp_path, path, target="count", missing="drop"), "count") == [1.0]

    def test_what_is_called_parquet_and_is_not_is_refused(self, make: Make) -> None:
        with pytest.raises(ForecastingError, match="cannot be read as Parquet"):
            make(DAYS, "file.parquet").generate()


class TestKey:
    def test_the_key_is_that_of_the_content_and_not_of_the_path(self, make: Make, tmp_path: Path) -> None:
        series_p = make(DAYS)
        shutil.copyfile(tmp_path / "file.csv", tmp_path / "copy.csv")
        copy_p = SeriesP.from_csv(tmp_path / "store", str(tmp_path / "copy.csv"), target="rate")
        assert copy_p.key == series_p.key

    def test_appended_rows_change_the_key(self, make: Make) -> None:
        before = make(DAYS).key
        assert make(DAYS + "2024-03-06,4.5\n").key != before

    def test_each_rule_changes_the_key_and_exogenous_names_count_as_list_or_tuple(self, make: Make) -> None:
        rules: list[dict[str, Any]] = [
            {},
            {"missing": "drop"},
            {"duplicates": "last"},
            {"start": "2024-03-01"},
            {"frequency": "D"},
            {"frequency": "D", "aggregate": "mean"},
            {"transform": "log"},
            {"exogenous": ("other",)},
        ]
        assert len({make(DAYS, **rule).key for rule in rules}) == len(rules)
        assert make(DAYS, exogenous=["other"]).key == make(DAYS, exogenous=("other",)).key

    def test_a_file_that_has_changed_since_its_digest_was_taken_is_refused(self, make: Make, tmp_path: Path) -> None:
        series_p = make(DAYS)
        (tmp_path / "file.csv").write_text(DAYS + "2024-03-06,4.5\n")
        with pytest.raises(ForecastingError, match=r"its digest is sha256:.*take the digest anew"):
            series_p.load_generate()
        assert not series_p.exists()

    def test_what_was_made_is_loaded_without_the_file(self, make: Make, tmp_path: Path) -> None:
        make(DAYS).generate()
        params = SeriesParams(content=content_digest(tmp_path / "file.csv"), csv=tmp_path / "gone.csv", target="rate")
        (tmp_path / "file.csv").unlink()
        assert values_of(SeriesP(tmp_path / "store", params)) == [1.5, 2.5, 3.5]

    def test_a_file_that_is_not_there_is_named(self, make: Make, tmp_path: Path) -> None:
        with pytest.raises(ForecastingError, match=r"There is no file .*gone\.csv"):
            SeriesP.from_csv(tmp_path, tmp_path / "gone.csv", target="rate")
        series_p = make(DAYS)
        (tmp_path / "file.csv").unlink()
        with pytest.raises(ForecastingError, match=r"There is no file .*file\.csv to read the series from"):
            series_p.generate()


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "params", "complaint"),
        [
            (DAYS, {"target": "price"}, r"file\.csv has no column 'price'\. Its columns are 'date', 'rate'"),
            (DAYS, {"exogenous": ("a", "b")}, "has no column 'a', 'b'"),
            (DAYS, {"date": "day"}, "has no column 'day'"),
            (DAYS.replace(",", ";"), {}, "Its columns are 'date;rate'"),
            ("", {}, "Its columns are none"),
            ("date,rate\n", {}, "a header, and no rows"),
            ("date,rate,rate\n2024-03-01,1,2\n", {}, "The header names 'rate' more than once"),
            ("date,rate\n2024-03-01,1,5\n", {}, "cannot be read as CSV"),
            ("date,rate\n2024-03-01,1\n2024-03-02,1,5\n", {}, "cannot be read as CSV.*line 3"),
            ("date,rate\n01/03/2024,1\n", {}, "1 of 1 dates .* cannot be read; the first is '01/03/2024', in row 1"),
            ("date,rate\n2024-03-01,1\n2024-02-30,1\n", {}, "the first is '2024-02-30', in row 2 below the header"),
            ("date,rate\n2024-03-01,1\n,1\n", {}, "the first is an empty cell, in row 2"),
            ("date,rate\n1600-03-01,1\n", {}, "only those from 1678 to 2261"),
            ("date,rate\n2024-03-01,1\n2024-03-02,n.a.\n", {}, "1 values of 'rate' .* 'n.a.', on 2024-03-02"),
            ('date,rate\n2024-03-01,"1,234"\n', {}, "'1,234', on 2024-03-01"),
            ("date,rate\n2024-03-01,True\n", {}, "'True', on 2024-03-01"),
            ("date,rate\n2024-03-01,1\n2024-03-02,-inf\n", {}, "'rate' is infinite on 2024-03-02"),
            (DAYS, {"start": "2024-04-01"}, "no rows from 2024-04-01 to its end; its 3 rows go from 2024-03-01"),
            (DAYS, {"end": "2024-02-01"}, "no rows from its begin to 2024-02-01"),
            ("date,rate\n2024-03-01,0\n", {"transform": "log"}, "needs levels above 0"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
        self, make: Make, text: str, params: dict[str, Any], complaint: str
    ) -> None:
        series_p = make(text, **params)
        with pytest.raises(ForecastingError, match=complaint):
            series_p.generate()
        assert not series_p.exists()

    def test_a_file_in_another_encoding_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "latin.csv").write_bytes("date,rate,Größe\n".encode("latin-1"))
        with pytest.raises(ForecastingError, match="cannot be read as CSV in UTF-8"):
            SeriesP.from_csv(tmp_path, tmp_path / "latin.csv", target="rate").generate()

    @pytest.mark.parametrize(
        ("params", "complaint"),
        [
            ({"content": "e3b0"}, "content must be a digest"),
            ({"exogenous": "flag"}, r"exogenous=\('flag',\)"),
            ({"exogenous": ("rate",)}, "each of another one"),
            ({"target": "date"}, "each of another one"),
            ({"start": "1.3.2024"}, "start must be a day such as"),
            ({"end": "20240301"}, "end must be a day such as"),
            ({"start": "2024-03-02", "end": "2024-03-01"}, "is after end="),
            ({"frequency": "monthly"}, "frequency must be one of pandas"),
            ({"frequency": "-1D"}, "frequency must be one of pandas"),
            ({"frequency": "M"}, "frequency must be one of pandas"),
            ({"frequency": "D", "aggregate": "median"}, "aggregate must be one of 'last', 'first', 'mean', 'sum'"),
            ({"aggregate": "mean"}, "aggregate='mean' is for the periods of a frequency"),
            ({"frequency": "D", "duplicates": "mean"}, "duplicates='mean' is for a series without a frequency"),
            ({"duplicates": "drop"}, "duplicates must be one of"),
            ({"missing": "zero"}, "missing must be one of"),
            ({"transform": "sqrt"}, "transform must be one of"),
        ],
    )
    def test_params_that_make_no_sense_are_refused_at_once(self, params: dict[str, Any], complaint: str) -> None:
        usable: dict[str, Any] = {"content": f"sha256:{'0' * 64}", "csv": Path("file.csv"), "target": "rate"}
        SeriesParams(**usable)
        with pytest.raises(ParamsError, match=complaint):
            SeriesParams(**{**usable, **params})

    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            (pd.DataFrame({"rate": [1.0]}), r"got a DataFrame\. Write it to a file, and pass the path: frame\.to_csv"),
            (3, r"got a int\. Pass the path of a CSV or Parquet file\."),
            (None, r"got a NoneType\. Pass the path"),
        ],
    )
    def test_what_is_no_path_is_refused_with_a_way_out(self, tmp_path: Path, given: Any, complaint: str) -> None:
        with pytest.raises(ParamsError, match=f"csv must be the path of a file, .*; {complaint}"):
            SeriesP.from_csv(tmp_path, given, target="rate")


class TestDates:
    def test_rows_out_of_order_are_sorted(self, make: Make) -> None:
        series_p = make("date,rate\n2024-03-05,3\n2024-03-01,1\n2024-03-04,2\n")
        assert (dates_of(series_p), values_of(series_p)) == (["2024-03-01", "2024-03-04", "2024-03-05"], [1, 2, 3])

    def test_start_and_end_are_both_taken_the_whole_day(self, make: Make) -> None:
        text = "date,rate\n" + "".join(f"2024-03-0{day} 16:30,{day}\n" for day in range(1, 6))
        series_p = make(text, start="2024-03-02", end="2024-03-04")
        assert values_of(series_p) == [2, 3, 4]
        assert series_p.manifest.metrics["last"] == "2024-03-04 16:30:00"

    def test_what_is_outside_of_start_and_end_breaks_no_rule(self, make: Make) -> None:
        text = "date,rate\n2024-03-01,\n2024-03-02,inf\n2024-03-03,3\n2024-03-04,4\n2024-03-04,5\n"
        assert values_of(make(text, start="2024-03-03", end="2024-03-03")) == [3]

    @pytest.mark.parametrize("zone", ["Z", "+00:00", "+0000"])
    def test_dates_in_utc_are_taken_without_their_zone(self, make: Make, zone: str) -> None:
        index = make(f"date,rate\n2024-03-01T23:30:00{zone},1\n").payload.index
        assert index.tolist() == [pd.Timestamp("2024-03-01 23:30")]

    @pytest.mark.parametrize("zones", [("+01:00", "+01:00"), ("-0530", "Z"), ("+01:00", "+02:00"), ("Z", "-08")])
    def test_dates_in_another_zone_are_refused(self, make: Make, zones: tuple[str, str]) -> None:
        text = "date,rate\n" + "".join(f"2024-03-0{day}T23:30:00{zone},1\n" for day, zone in enumerate(zones, 1))
        with pytest.raises(ForecastingError, match="have a time zone other than UTC: '2024-03-0"):
            make(text).generate()

    def test_zones_in_parquet_obey_the_same_rule(self, tmp_path: Path) -> None:
        for zone in ("UTC", "Europe/Berlin"):
            dates = pd.date_range("2024-03-30", periods=3, tz=zone)
            pd.DataFrame({"date": dates, "rate": [1.0, 2.0, 3.0]}).to_parquet(tmp_path / f"{zone[:3]}.parquet")
        index = SeriesP.from_csv(tmp_path, tmp_path / "UTC.parquet", target="rate").payload.index
        assert index.tolist() == pd.date_range("2024-03-30", periods=3).tolist()
        with pytest.raises(ForecastingError, match="time zone other than UTC"):
            SeriesP.from_csv(tmp_path, tmp_path / "Eur.parquet", target="rate").generate()


class TestDuplicates:
    TEXT = "date,rate,flag\n2024-03-02,5,1\n2024-03-01,1,0\n2024-03-01,2,\n2024-03-01,6,1\n"

    def test_several_rows_of_one_date_are_refused_if_nothing_is_said(self, make: Make) -> None:
        with pytest.raises(ForecastingError, match=r"3 rows of 2024-03-01 \(2 rows in all have the date"):
            make(self.TEXT).generate()

    @pytest.mark.parametrize(("rule", "expected"), [("first", [1, 5]), ("last", [6, 5]), ("mean", [3, 5])])
    def test_or_one_row_stands_for_them_and_the_others_are_counted(
        self, make: Make, rule: str, expected: list[float]
    ) -> None:
        series_p = make(self.TEXT, duplicates=rule)
        assert values_of(series_p) == expected
        assert series_p.manifest.metrics["duplicates_merged"] == 2

    def test_the_row_that_is_taken_stays_as_it_is(self, make: Make) -> None:
        text = "date,rate,flag\n2024-03-01,2,\n2024-03-01,6,1\n"
        with pytest.raises(ForecastingError, match="'flag' is missing on 2024-03-01"):
            make(text, duplicates="first", exogenous=("flag",)).generate()


class TestFrequency:
    TEXT = "date,rate\n2024-01-10,1\n2024-01-31,3\n2024-03-05,5\n2024-03-06,\n"

    @pytest.mark.parametrize(
        ("rule", "expected"), [("first", [1, 5]), ("last", [3, 5]), ("mean", [2, 5]), ("sum", [4, 5])]
    )
    def test_a_period_has_one_row_made_of_its_values_and_missing_ones_are_passed_over(
        self, make: Make, rule: str, expected: list[float]
    ) -> None:
        series_p = make(self.TEXT, frequency="MS", aggregate=rule, missing="drop")
        assert (dates_of(series_p), values_of(series_p)) == (["2024-01-01", "2024-03-01"], expected)
        metrics = series_p.manifest.metrics
        assert (metrics["duplicates_merged"], metrics["missing_dropped"], metrics["missing_filled"]) == (2, 1, 0)

    def test_a_period_without_a_row_is_a_missing_value_and_the_error_tells_it_apart(self, make: Make) -> None:
        with pytest.raises(
            ForecastingError,
            match="'rate' is missing on 2024-02-01; in all, 1 values are missing, in 1 of 3 rows, of which 1 are",
        ):
            make(self.TEXT, frequency="MS").generate()

    def test_the_index_has_the_frequency_unless_rows_are_dropped(self, make: Make) -> None:
        assert make(self.TEXT, frequency="ME", missing="ffill").payload.index.freqstr == "ME"
        assert make(self.TEXT, frequency="ME", missing="drop").payload.index.freq is None

    def test_working_days_take_the_weekend_into_friday(self, make: Make) -> None:
        text = "date,rate\n2024-03-01,1\n2024-03-02,2\n2024-03-04,4\n"
        series_p = make(text, frequency="B", aggregate="sum")
        assert (dates_of(series_p), values_of(series_p)) == (["2024-03-01", "2024-03-04"], [3, 4])

    @pytest.mark.parametrize("frequency", ["D", "B", "W", "MS", "ME", "QE", "2W", "h"])
    def test_no_value_is_lost_on_the_way(self, make: Make, frequency: str) -> None:
        dates = pd.date_range("2023-12-29 09:30", periods=400, freq="277min")
        text = "date,rate\n" + "".join(f"{date},1\n" for date in dates)
        assert sum(values_of(make(text, frequency=frequency, aggregate="sum", missing="drop"))) == 400


class TestMissing:
    TEXT = "date,rate,flag\n2024-03-01,1,0\n2024-03-02,,0\n2024-03-04,4,\n2024-03-05,5,1\n"

    def test_missing_values_are_refused_with_the_first_date_the_count_and_the_ways_out(self, make: Make) -> None:
        with pytest.raises(
            ForecastingError,
            match=r"'rate' is missing on 2024-03-02; in all, 2 values are missing, in 2 of 4 rows\. Say "
            r"missing='ffill', 'interpolate' or 'drop', or leave such rows out with start= and end=\.",
        ):
            make(self.TEXT, exogenous=("flag",)).generate()

    @pytest.mark.parametrize(
        ("rule", "rates", "flags", "counts"),
        [
            ("drop", [1, 5], [0, 1], (0, 2)),
            ("ffill", [1, 1, 4, 5], [0, 0, 0, 1], (2, 0)),
            # By time: 2 March is a third of the way to 4 March; and 4 March is two thirds of that from 2 to 5 March.
            ("interpolate", [1, 2, 4, 5], [0, 0, 2 / 3, 1], (2, 0)),
        ],
    )
    def test_or_treated_as_said_and_counted(
        self, make: Make, rule: str, rates: list[float], flags: list[float], counts: tuple[int, int]
    ) -> None:
        series_p = make(self.TEXT, exogenous=("flag",), missing=rule)
        assert values_of(series_p) == pytest.approx(rates)
        assert values_of(series_p, "flag") == pytest.approx(flags)
        metrics = series_p.manifest.metrics
        assert (metrics["missing_filled"], metrics["missing_dropped"]) == counts
        assert (metrics["rows"], metrics["first"], metrics["last"]) == (len(rates), "2024-03-01", "2024-03-05")

    @pytest.mark.parametrize(
        ("rule", "rates", "complaint"),
        [
            ("ffill", [",", "1", "2"], "missing on 2024-03-01, and missing='ffill' needs a value before it"),
            ("interpolate", ["", "1", "2"], "missing on 2024-03-01, and .* both before and after it"),
            ("interpolate", ["1", "2", ""], "missing on 2024-03-03, and .* both before and after it"),
            ("drop", ["", "", ""], "missing='drop' leaves none"),
        ],
    )
    def test_what_a_rule_cannot_fill_is_not_invented(
        self, make: Make, rule: str, rates: list[str], complaint: str
    ) -> None:
        text = "date,rate\n" + "".join(f"2024-03-0{day},{rate.strip(',')}\n" for day, rate in enumerate(rates, 1))
        with pytest.raises(ForecastingError, match=complaint):
            make(text, missing=rule).generate()

    def test_days_to_come_of_which_only_exogenous_values_are_known_become_no_rows(self, make: Make) -> None:
        text = "date,rate,flag\n2024-03-01,1,0\n2024-03-02,,0\n2024-03-03,3,\n2024-03-04,,1\n2024-03-05,,0\n"
        series_p = make(text, missing="ffill", exogenous=("flag",))
        assert (values_of(series_p), values_of(series_p, "flag")) == ([1, 1, 3], [0, 0, 0])
        metrics = series_p.manifest.metrics
        assert (metrics["missing_filled"], metrics["missing_dropped"], metrics["last"]) == (2, 2, "2024-03-03")

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [("ffill", ["2024-03-02T00:00:00"]), ("interpolate", ["2024-03-02T00:00:00"]), ("drop", [])],
    )
    def test_it_is_noted_where_targets_were_filled_also_when_it_is_loaded(
        self, make: Make, rule: str, expected: list[str]
    ) -> None:
        for _ in range(2):
            series_p = make(self.TEXT, exogenous=("flag",), missing=rule)
            assert len(series_p.payload)
            assert series_p.metrics["filled"] == expected

    def test_a_series_without_gaps_has_none_filled(self, make: Make) -> None:
        series_p = make(DAYS)
        assert len(series_p.payload)
        assert series_p.metrics["filled"] == []

    def test_periods_without_a_row_are_filled_too(self, make: Make) -> None:
        series_p = make("date,rate\n2024-03-01 05:30,1\n2024-03-01 07:30,2\n", frequency="h", missing="ffill")
        assert values_of(series_p) == [1, 1, 2]
        assert series_p.metrics["filled"] == ["2024-03-01T06:00:00"]


class TestPlot:
    def test_it_shows_the_target_or_its_last_rows(self, make: Make) -> None:
        series_p = make(DAYS)
        assert series_p.plot().lines[0].get_ydata().tolist() == [1.5, 2.5, 3.5]
        axes = series_p.plot(last=2)
        assert axes.lines[0].get_ydata().tolist() == [2.5, 3.5]
        assert axes.get_title() == "rate, 2 rows, 2024-03-04 to 2024-03-05"
        assert series_p.plot(ax=axes) is axes
        for last in (0, True, 2.0):
            with pytest.raises(ParamsError, match="last must be a number of rows, 1 or more; got"):
                series_p.plot(last=last)


class TestCo2:
    """The example with a season, and with months that nobody measured in."""

    CO2 = EXAMPLE_DATA / "co2.csv"

    def test_its_missing_months_are_named_and_interpolated(self, tmp_path: Path) -> None:
        with pytest.raises(ForecastingError, match="'ppm' is missing on 1958-06-01; in all, 5 values"):
            SeriesP.from_csv(tmp_path, self.CO2, target="ppm", frequency="MS").generate()
        series_p = SeriesP.from_csv(tmp_path, self.CO2, target="ppm", frequency="MS", missing="interpolate")
        ppm = series_p.payload["ppm"]
        assert len(ppm) == 526
        assert series_p.manifest.metrics["missing_filled"] == 5
        assert ppm["1964-01-01"] < ppm["1964-02-01"] < ppm["1964-04-01"] < ppm["1964-05-01"]

    def test_it_is_what_its_readme_says(self) -> None:
        lines = self.CO2.read_bytes().decode("ascii").split("\n")
        assert (lines[0], lines[1], lines[-2], lines[-1]) == ("date,ppm", "1958-03-01,316.10", "2001-12-01,371.02", "")
        assert [line[:7] for line in lines[1:-1] if line.endswith(",")] == [
            "1958-06",
            "1958-10",
            "1964-02",
            "1964-03",
            "1964-04",
        ]
        readme = (EXAMPLE_DATA / "README.md").read_text("utf-8")
        assert "| rows | 526, and a header |" in readme
        assert f"{self.CO2.stat().st_size:,} bytes |" in readme

    def test_its_script_makes_it_from_statsmodels_and_trusts_no_other_file(self, tmp_path: Path) -> None:
        pytest.importorskip("statsmodels")
        for name in ("make_co2.py", "co2.csv"):
            shutil.copyfile(EXAMPLE_DATA / name, tmp_path / name)

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, str(tmp_path / "make_co2.py"), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        assert run("--check").returncode == 0
        (tmp_path / "co2.csv").write_text("date,ppm\n")
        changed = run("--check")
        assert changed.returncode == 1
        assert "line 2: the committed file has None" in changed.stderr
        assert run().returncode == 0
        assert (tmp_path / "co2.csv").read_bytes() == self.CO2.read_bytes()
        other = run(str(tmp_path / "co2.csv"))
        assert other.returncode == 2
        assert "expected 16695fa2" in other.stderr
