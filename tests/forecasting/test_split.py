"""A split: windows at the end of the series, each with training rows directly before its test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from persistable.exceptions import ForecastingError, ParamsError
from persistable.forecasting.series import SeriesP
from persistable.forecasting.split import SplitP, SplitParams, _split, rows_in

Make = Callable[..., SplitP]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that splits the series 0, 1, 2, … of so many days."""

    def make(n_rows: int, params: SplitParams) -> SplitP:
        days = pd.date_range("2024-01-01", periods=n_rows).strftime("%Y-%m-%d")
        path = tmp_path / f"{n_rows}.csv"
        path.write_text("date,level\n" + "".join(f"{day},{level}\n" for level, day in enumerate(days)))
        series_p = SeriesP.from_csv(tmp_path / "store", path, target="level")
        return SplitP(tmp_path / "store", params, series_p=series_p)

    return make


def levels(frame: pd.DataFrame) -> list[float]:
    return frame["level"].tolist()


class TestWindows:
    @pytest.mark.parametrize(
        ("n_rows", "params", "windows", "validation"),
        [
            (10, SplitParams.hold_out(), [([0, 8], [8, 10])], ([0, 6], [6, 8])),
            (10, SplitParams.hold_out(3, validation_size=2), [([0, 7], [7, 10])], ([0, 5], [5, 7])),
            (11, SplitParams.hold_out(0.25), [([0, 8], [8, 11])], ([0, 6], [6, 8])),
            (3, SplitParams.hold_out(1, validation_size=1), [([0, 2], [2, 3])], ([0, 1], [1, 2])),
            (
                12,
                SplitParams.expanding(3, 2, validation_size=0.5),
                [([0, 6], [6, 8]), ([0, 8], [8, 10]), ([0, 10], [10, 12])],
                ([0, 3], [3, 6]),
            ),
            (
                12,
                SplitParams.sliding(2, 3, 4, validation_size=1),
                [([2, 6], [6, 9]), ([5, 9], [9, 12])],
                ([2, 5], [5, 6]),
            ),
            (10, SplitParams.sliding(2, 3, 4, validation_size=0.25), [([0, 4], [4, 7]), ([3, 7], [7, 10])], None),
        ],
    )
    def test_they_lie_where_one_counts_them_by_hand(
        self,
        make: Make,
        n_rows: int,
        params: SplitParams,
        windows: list[tuple[list[int], list[int]]],
        validation: tuple[list[int], list[int]] | None,
    ) -> None:
        payload = make(n_rows, params).payload
        assert payload["rows"] == n_rows
        assert [(window["train"], window["test"]) for window in payload["windows"]] == windows
        if validation is not None:
            assert (payload["validation"]["train"], payload["validation"]["test"]) == validation

    @given(data=st.data())
    def test_tests_never_overlap_and_training_rows_end_where_a_test_begins(self, data: st.DataObject) -> None:
        n_rows = data.draw(st.integers(1, 60), "rows")
        sizes = {"validation_size": data.draw(st.integers(1, 9) | st.floats(0.01, 0.99), "validation")}
        counts = st.integers(1, 15)
        match data.draw(st.sampled_from(["hold_out", "expanding", "sliding"]), "kind"):
            case "hold_out":
                params = SplitParams.hold_out(data.draw(counts | st.floats(0.01, 0.99), "test"), **sizes)
            case "expanding":
                params = SplitParams.expanding(data.draw(counts, "n"), data.draw(counts, "test"), **sizes)
            case _:
                drawn = [data.draw(counts, name) for name in ("n", "test", "train")]
                params = SplitParams.sliding(*drawn, **sizes)
        try:
            payload = _split(n_rows, params)
        except ForecastingError:
            return
        tested: list[int] = []
        for window in payload["windows"]:
            (a, b), (c, d) = window["train"], window["test"]
            assert 0 <= a < b == c < d <= n_rows
            assert params.train_size in (None, b - a)
            assert params.train_size is not None or a == 0
            tested += range(c, d)
        assert len(payload["windows"]) == params.n_windows
        assert tested == list(range(n_rows - len(tested), n_rows))
        (a, v), (w, b) = payload["validation"]["train"], payload["validation"]["test"]
        assert a < v == w < b
        assert [a, b] == payload["windows"][0]["train"]

    @pytest.mark.parametrize(
        ("n_rows", "params", "complaint"),
        [
            (
                6,
                SplitParams.expanding(3, 2),
                "has 6 rows, and 3 windows of 2 test rows after at least 1 training rows nee",
            ),
            (9, SplitParams.sliding(2, 3, 4), "2 windows of 3 test rows after 4 training rows need 10"),
            (2, SplitParams.hold_out(0.2), "test_size=0.2 is 0 rows of the 2 in the series"),
            (2, SplitParams.hold_out(2), "test_size=2 is 2 rows of the 2 in the series"),
            (2, SplitParams.hold_out(1), "validation_size=0.2 is 0 rows of the 1 in the first window's training part"),
            (9, SplitParams.sliding(1, 3, 4, validation_size=4), "validation_size=4 is 4 rows of the 4"),
        ],
    )
    def test_too_few_rows_are_refused(self, make: Make, n_rows: int, params: SplitParams, complaint: str) -> None:
        split_p = make(n_rows, params)
        with pytest.raises(ForecastingError, match=complaint):
            split_p.generate()
        assert not split_p.exists()


class TestParams:
    @pytest.mark.parametrize(
        ("params", "complaint"),
        [
            ({"kind": "random", "test_size": 2}, "kind must be one of 'hold_out', 'expanding', 'sliding'"),
            ({"kind": "hold_out", "test_size": 0}, "test_size must be a number of rows, 1 or more, or a share"),
            ({"kind": "hold_out", "test_size": 1.0}, "test_size must be a number of rows, 1 or more, or a share"),
            ({"kind": "hold_out", "test_size": True}, "test_size must be a number"),
            ({"kind": "hold_out", "test_size": float("nan")}, "test_size must be a number"),
            ({"kind": "hold_out", "test_size": 0.2, "n_windows": 2}, "A hold-out has one window"),
            ({"kind": "hold_out", "test_size": 0.2, "train_size": 2}, "train_size is for kind='sliding'"),
            ({"kind": "expanding", "test_size": 0.2}, "test_size must be a number of rows or windows"),
            ({"kind": "expanding", "test_size": 2, "n_windows": 0}, "n_windows must be"),
            ({"kind": "expanding", "test_size": 2, "train_size": 2}, "train_size is for kind='sliding'"),
            ({"kind": "sliding", "test_size": 2}, "train_size must be"),
            ({"kind": "hold_out", "test_size": 2, "validation_size": 1.5}, "validation_size must be"),
        ],
    )
    def test_what_makes_no_sense_is_refused_at_once(self, params: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ParamsError, match=complaint):
            SplitParams(**params)

    def test_the_short_ways_say_the_same_as_the_long_one(self) -> None:
        assert SplitParams.hold_out(7) == SplitParams(kind="hold_out", test_size=7)
        assert SplitParams.expanding(2, 7) == SplitParams(kind="expanding", test_size=7, n_windows=2)
        sliding = SplitParams(kind="sliding", test_size=7, n_windows=2, train_size=9, validation_size=3)
        assert SplitParams.sliding(2, 7, 9, validation_size=3) == sliding


class TestSplitP:
    def test_rows_are_those_of_the_series(self, make: Make) -> None:
        split_p = make(10, SplitParams.sliding(2, 2, 3, validation_size=1))
        assert split_p.n_windows == 2
        assert levels(split_p.training_rows(1)) == [5, 6, 7]
        assert levels(split_p.test_rows(1)) == [8, 9]
        train, test = split_p.validation_rows()
        assert (levels(train), levels(test)) == ([3, 4], [5])
        pair = split_p.payload["windows"][0]["test"]
        pd.testing.assert_frame_equal(rows_in(split_p.series_p.payload, pair), split_p.test_rows(0))

    @pytest.mark.parametrize("window", [2, -1, True, 0.0])
    def test_there_is_no_other_window(self, make: Make, window: Any) -> None:
        split_p = make(10, SplitParams.expanding(2, 2))
        for rows in (split_p.training_rows, split_p.test_rows):
            with pytest.raises(ParamsError, match="window must be a whole number from 0 to 1, for the split has 2"):
                rows(window)

    def test_what_is_loaded_equals_what_was_made_and_the_manifest_counts(self, make: Make) -> None:
        params = SplitParams.expanding(2, 3)
        made, loaded = make(10, params).load_generate(), make(10, params)
        assert loaded.load() == made
        assert dict(loaded.manifest.metrics) == {"n_windows": 2, "train_rows": [4, 7], "test_rows": [3, 3]}

    def test_another_series_or_another_split_has_another_key(self, make: Make) -> None:
        splits = [
            make(10, SplitParams.hold_out(2)),
            make(11, SplitParams.hold_out(2)),
            make(10, SplitParams.hold_out(3)),
            make(10, SplitParams.hold_out(2, validation_size=1)),
            make(10, SplitParams.expanding(1, 2)),
        ]
        assert len({split_p.key for split_p in splits}) == len(splits)

    def test_it_describes_its_windows_by_their_dates(self, make: Make) -> None:
        table = make(10, SplitParams.expanding(2, 2, validation_size=2)).describe()
        assert table.index.tolist() == ["0", "1", "validation"]
        assert table["train_rows"].tolist() == [6, 8, 4]
        assert table["test_rows"].tolist() == [2, 2, 2]
        assert table.loc["1", "train_first"] == pd.Timestamp("2024-01-01")
        assert table.loc["1", "train_last"] == pd.Timestamp("2024-01-08")
        assert table.loc["1", "test_first"] == pd.Timestamp("2024-01-09")
        assert table.loc["1", "test_last"] == pd.Timestamp("2024-01-10")
