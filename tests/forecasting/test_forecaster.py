"""What all forecasters do alike, seen in those that need nothing but numpy; and models as artifacts."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from threadpoolctl import threadpool_limits

from persistable import ParamsError
from persistable.exceptions import ForecastingError
from persistable.forecasting import (
    BaselineP,
    BaselineParams,
    Forecaster,
    LinearP,
    LinearParams,
    SeriesP,
    SplitP,
    SplitParams,
)
from persistable.forecasting.baseline import Baseline
from persistable.forecasting.forecaster import forecaster_of, one_thread
from persistable.forecasting.linear import Linear
from persistable.forecasting.rows import future_index
from persistable.forecasting.transforms import TRANSFORMS, Path as ForecastPath

PARAMS = {
    "naive": (Baseline, BaselineParams()),
    "drift": (Baseline, BaselineParams(kind="drift")),
    "seasonal": (Baseline, BaselineParams(kind="seasonal_naive", season=5)),
    "linear": (Linear, LinearParams(lags=3)),
    "calendar": (Linear, LinearParams(lags=(1, 5), calendar=("weekday", "trend"), alpha=0.5)),
}
every_model = pytest.mark.parametrize("model", PARAMS)
every_transform = pytest.mark.parametrize("transform", TRANSFORMS)


def autoregression(n: int, phi: float = 0.7, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n + 50)
    values = np.zeros(n + 50)
    for row in range(1, n + 50):
        values[row] = phi * values[row - 1] + noise[row]
    return values[50:]


def prices(n: int = 200, seed: int = 0, **exogenous: np.ndarray) -> pd.DataFrame:
    returns = 0.01 * autoregression(n, 0.3, seed)
    index = pd.date_range("2022-01-03", periods=n, freq="B", name="date")
    return pd.DataFrame({"price": 100 * np.exp(np.cumsum(returns)), **exogenous}, index=index)


def spoiled(frame: pd.DataFrame, date: str, level: float = np.nan) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[date, "price"] = level
    return frame


def fitted(model: str, history: pd.DataFrame, transform: str = "none") -> Forecaster:
    kind, params = PARAMS[model]
    return kind(kind.fit(history, params, transform=transform), history)


# ---------------------------------------------------------------------------------------------------------------------
# Rows that cannot be used


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.iloc[:0], r"Rows must be by date, at least one; got 0 by DatetimeIndex"),
        (lambda frame: frame.reset_index(drop=True), r"Rows must be by date, at least one; got 200 by RangeIndex"),
        (lambda frame: frame.iloc[::-1], r"must be in order, each once\. SeriesP sorts out"),
        (lambda frame: pd.concat([frame.iloc[:5], frame.iloc[4:]]), r"must be in order, each once"),
        (
            lambda frame: spoiled(spoiled(frame, "2022-02-03"), "2022-01-05"),
            r"'price' is missing on 2022-01-05 \(2 missing values in all\)\. SeriesP\(missing=…\) says",
        ),
        (lambda frame: spoiled(frame, "2022-01-06", np.inf), r"'price' is missing on 2022-01-06 \(1 missing"),
        (lambda frame: frame.assign(price=7.0), r"'price' is constant in the 200 rows from 2022-01-03 to 2022-10-07 "),
        (lambda frame: frame.iloc[:1], r"'price' is constant in the 1 rows"),
        (lambda frame: frame.assign(z=np.nan), r"'z' is missing on 2022-01-03 \(200 missing"),
    ],
    ids=["none", "no dates", "backwards", "twice", "missing", "infinite", "constant", "one", "missing exogenous"],
)
@every_model
def test_rows_that_cannot_be_fitted_are_refused_with_the_reason(model, spoil, message):
    with pytest.raises(ForecastingError, match=message):
        fitted(model, spoil(prices()))


def test_a_series_that_is_constant_only_as_the_model_sees_it_is_refused():
    line = pd.DataFrame({"x": np.arange(50.0)}, index=pd.date_range("2024", periods=50))
    with pytest.raises(ForecastingError, match=r"constant .* \(transform='difference'\): there is nothing"):
        fitted("naive", line, "difference")


@every_model
@pytest.mark.parametrize("transform", ["log", "log_return"])
def test_levels_without_logarithms_are_refused(model, transform):
    frame = prices()
    frame.iloc[17, 0] = -2.0
    with pytest.raises(ForecastingError, match=rf"transform='{transform}' needs levels above 0, .* the first -2\.0"):
        fitted(model, frame, transform)


@every_model
def test_a_model_is_not_made_with_rows_that_it_was_not_fitted_to(model):
    frame = prices()
    payload = dict(fitted(model, frame).payload)
    others = {
        "one row less": frame.iloc[:-1],
        "one value moved by a bit": spoiled(
            frame, "2022-01-14", np.nextafter(frame.loc["2022-01-14", "price"], np.inf)
        ),
        "a day later": frame.set_axis(frame.index + pd.Timedelta(days=1)),
        "another name": frame.rename(columns={"price": "level"}),
    }
    for other in others.values():
        with pytest.raises(ForecastingError, match=rf"fitted to other rows: their digest is {payload['history']}"):
            forecaster_of(payload, other)
    assert type(forecaster_of(payload, frame.copy())) is PARAMS[model][0]


# ---------------------------------------------------------------------------------------------------------------------
# Questions that cannot be answered


@pytest.mark.parametrize("steps", [0, -1, 1.0, "3", None, True])
def test_steps_that_are_no_number_of_rows_are_refused(steps):
    with pytest.raises(ParamsError, match=r"steps must be a whole number, 1 or more; got"):
        fitted("naive", prices()).forecast(steps)


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 95, "0.9", None, True, float("nan")])
def test_a_coverage_that_is_no_probability_is_refused(coverage):
    naive, test = fitted("naive", prices().iloc[:150]), prices().iloc[150:]
    for ask in (lambda: naive.forecast(3, coverage=coverage), lambda: naive.one_step(test, coverage=coverage)):
        with pytest.raises(ParamsError, match=r"coverage must be above 0 and below 1, got"):
            ask()


def test_steps_may_be_a_number_of_numpy():
    assert len(fitted("naive", prices()).forecast(np.int64(3))) == 3


@every_model
def test_one_step_wants_rows_that_follow_the_history(model):
    frame = prices()
    forecaster = fitted(model, frame.iloc[:150])
    for first in (149, 0):
        with pytest.raises(ForecastingError, match=r"test begins on .*, which is not after the end of the rows"):
            forecaster.one_step(frame.iloc[first:])
    with pytest.raises(ForecastingError, match=r"at least one; got 0"):
        forecaster.one_step(frame.iloc[150:150])
    with pytest.raises(ForecastingError, match=r"'price' is missing on 2022-10-05"):
        forecaster.one_step(spoiled(frame, "2022-10-05").iloc[150:])
    with pytest.raises(ForecastingError, match=r"test lacks 'price'"):
        forecaster.one_step(frame.iloc[150:].rename(columns=str.upper))


def test_exogenous_columns_are_asked_for_by_name():
    z, w = np.random.default_rng(1).normal(size=(2, 200))
    frame = prices(z=z, w=w)
    linear = fitted("linear", frame.iloc[:150])
    following = frame.iloc[150:160]
    with pytest.raises(ForecastingError, match=r"columns 'z', 'w', .* a DataFrame with 10 rows\. Missing: 'z', 'w'\."):
        linear.forecast(10)
    with pytest.raises(ForecastingError, match=r"Missing: 'w'\."):
        linear.forecast(10, following[["z"]])
    with pytest.raises(ForecastingError, match=r"must have 9 rows of finite numbers; it has 10 rows"):
        linear.forecast(9, following)
    with pytest.raises(ForecastingError, match=r"must have 10 rows of finite numbers; it has 10 rows, and \d+ missing"):
        linear.forecast(10, following.where(following["z"] > 0))
    with pytest.raises(ForecastingError, match=r"test lacks 'w', which the model was fitted with"):
        linear.one_step(following.drop(columns="w"))


def test_exogenous_columns_are_found_in_any_order_and_among_others():
    z, w = np.random.default_rng(1).normal(size=(2, 200))
    frame = prices(z=z, w=w)
    linear = fitted("linear", frame.iloc[:150])
    following = frame.iloc[150:160]
    mixed = following.assign(other=1.0)[["other", "w", "price", "z"]]
    pd.testing.assert_frame_equal(linear.forecast(10, following), linear.forecast(10, mixed))
    pd.testing.assert_frame_equal(linear.one_step(following), linear.one_step(mixed))
    assert linear.forecast(10, following).index.equals(following.index)


# ---------------------------------------------------------------------------------------------------------------------
# Forecasts


@every_model
@every_transform
def test_a_payload_that_went_through_json_forecasts_the_same_to_the_last_bit(model, transform):
    frame = prices()
    forecaster = fitted(model, frame.iloc[:150], transform)
    again = forecaster_of(json.loads(json.dumps(forecaster.payload)), frame.iloc[:150].copy())
    pd.testing.assert_frame_equal(again.forecast(20), forecaster.forecast(20), check_exact=True)
    test = frame.iloc[150:]
    pd.testing.assert_frame_equal(again.one_step(test), forecaster.one_step(test), check_exact=True)
    pd.testing.assert_series_equal(again.residuals, forecaster.residuals, check_exact=True)
    assert again.summary() == forecaster.summary()
    in_another_order = forecaster_of(json.loads(json.dumps(forecaster.payload, sort_keys=True)), frame.iloc[:150])
    pd.testing.assert_frame_equal(in_another_order.forecast(20), forecaster.forecast(20), check_exact=True)


@every_model
@every_transform
@settings(max_examples=5, deadline=None)
@given(row=st.integers(0, 49), factor=st.floats(0.2, 5.0))
def test_a_one_step_forecast_knows_only_the_rows_before_it(model, transform, row, factor):
    frame = prices()
    forecaster = fitted(model, frame.iloc[:150], transform)
    before, changed = frame.iloc[150:], frame.iloc[150:].copy()
    changed.iloc[row, 0] *= factor
    expected, found = forecaster.one_step(before), forecaster.one_step(changed)
    pd.testing.assert_frame_equal(found.iloc[: row + 1], expected.iloc[: row + 1], check_exact=True)


@every_model
@every_transform
def test_a_model_that_was_extended_goes_on_as_if_it_had_been_there(model, transform):
    frame = prices()
    forecaster = fitted(model, frame.iloc[:150], transform)
    later = forecaster.extended(frame.iloc[150:180])
    expected = forecaster.one_step(frame.iloc[150:]).iloc[30:]
    pd.testing.assert_frame_equal(later.one_step(frame.iloc[180:]), expected, rtol=1e-12, check_freq=False)
    pd.testing.assert_frame_equal(later.forecast(1), expected.iloc[:1], rtol=1e-12, check_freq=False)
    assert later.n_parameters == forecaster.n_parameters


@every_model
def test_forecasts_are_in_the_units_of_the_target(model):
    frame = prices()
    for transform in TRANSFORMS:
        forecaster = fitted(model, frame.iloc[:150], transform)
        for found in (forecaster.forecast(10), forecaster.one_step(frame.iloc[150:])):
            assert list(found.columns) == ["mean", "lower", "upper"]
            assert (found.dtypes == "float64").all()
            assert (found["lower"] < found["mean"]).all()
            assert (found["mean"] < found["upper"]).all()
            assert found["mean"].between(60, 160).all()


def test_several_log_returns_lead_to_the_level_that_they_make_by_hand():
    frame = prices()
    linear = fitted("linear", frame, "log_return")
    c = [linear.payload["coefficients"][f"lag_{lag}"] for lag in (1, 2, 3)]
    level, returns, expected = frame["price"].iloc[-1], np.diff(np.log(frame["price"])).tolist(), []
    for _ in range(8):
        returns.append(linear.payload["intercept"] + sum(c[lag] * returns[-1 - lag] for lag in range(3)))
        level *= np.exp(returns[-1])
        expected.append(level)
    np.testing.assert_allclose(linear.forecast(8)["mean"], expected, rtol=1e-13)


def test_a_wider_coverage_has_wider_intervals_of_the_same_middle():
    linear = fitted("linear", prices(), "log_return")
    narrow, wide = linear.forecast(5, coverage=0.5), linear.forecast(5, coverage=0.99)
    pd.testing.assert_series_equal(narrow["mean"], wide["mean"], check_exact=True)
    assert (wide["lower"] < narrow["lower"]).all()
    assert (wide["upper"] > narrow["upper"]).all()


@pytest.mark.parametrize("transform", ["none", "difference"])
def test_intervals_of_several_steps_cover_as_often_as_they_say(transform):
    hits, n_series, dates = np.zeros(6), 400, pd.date_range("2020", periods=106)
    for seed in range(n_series):
        values = autoregression(106, 0.6, seed)
        frame = pd.DataFrame({"x": values.cumsum() if transform == "difference" else values}, index=dates)
        linear = Linear(Linear.fit(frame.iloc[:100], LinearParams(lags=1), transform=transform), frame.iloc[:100])
        found = linear.forecast(6, coverage=0.8)
        hits += frame["x"].iloc[100:].between(found["lower"], found["upper"]).to_numpy()
    # Three standard deviations of a share of 400 are 0.06; coefficients that are estimated cost about 0.01.
    assert (np.abs(hits / n_series - 0.8) < 0.07).all(), hits / n_series


@every_transform
def test_intervals_of_one_step_cover_as_often_as_they_say(transform):
    frame = prices(3000, seed=4)
    if transform in ("none", "difference"):
        frame = 100 * np.log(frame)  # noise of one size in the levels, not in their logarithms
    linear = fitted("linear", frame.iloc[:1000], transform)
    for coverage in (0.5, 0.95):
        found = linear.one_step(frame.iloc[1000:], coverage=coverage)
        share = frame["price"].iloc[1000:].between(found["lower"], found["upper"]).mean()
        assert share == pytest.approx(coverage, abs=0.035)


def test_residuals_are_by_date_and_missing_where_nothing_was_forecast():
    frame = prices()
    residuals = fitted("linear", frame, "log_return").residuals
    assert residuals.name == "residual"
    assert residuals.index.equals(frame.index)
    assert residuals.isna().sum() == 4


@every_model
def test_a_fit_is_the_same_under_one_thread_and_two(model):
    frame = prices(3000)
    with threadpool_limits(1):
        one = fitted(model, frame)
        expected = one.forecast(5)
    with threadpool_limits(2):
        two = fitted(model, frame)
        pd.testing.assert_frame_equal(two.forecast(5), expected, check_exact=True)
    assert one.payload == two.payload


# ---------------------------------------------------------------------------------------------------------------------
# Dates


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (pd.date_range("2023-10-01", periods=24, freq="MS"), ["2025-10-01", "2025-11-01", "2025-12-01"]),
        (pd.date_range("2023-10-01", periods=24, freq="ME"), ["2025-10-31", "2025-11-30", "2025-12-31"]),
        (pd.date_range("2020-01-01", periods=12, freq="QS"), ["2023-01-01", "2023-04-01", "2023-07-01"]),
        (pd.date_range("2024-01-01", periods=40, freq="B"), ["2024-02-26", "2024-02-27", "2024-02-28"]),
        (pd.date_range("2024-01-07", periods=9, freq="W"), ["2024-03-10", "2024-03-17", "2024-03-24"]),
        (pd.date_range("2024-01-01", periods=9, freq="2D"), ["2024-01-19", "2024-01-21", "2024-01-23"]),
        (pd.date_range("2020-12-31", periods=4, freq="YE"), ["2024-12-31", "2025-12-31", "2026-12-31"]),
        (
            pd.date_range("2024-01-01", periods=40, freq="B").delete([10, 23]),  # holidays
            ["2024-02-26", "2024-02-27", "2024-02-28"],
        ),
        (
            pd.date_range("2024-01-01", periods=40, freq="D").delete([10, 23]),
            ["2024-02-10", "2024-02-11", "2024-02-12"],
        ),
        (
            pd.DatetimeIndex(["2024-01-01", "2024-01-08", "2024-01-16", "2024-01-22", "2024-01-29"]),
            ["2024-02-05", "2024-02-12", "2024-02-19"],
        ),
    ],
    ids=["month", "month end", "quarter", "working day", "week", "2 days", "year", "holidays", "gaps", "irregular"],
)
def test_dates_go_on_as_they_were(dates, expected):
    for unit in ("s", "ns"):
        assert future_index(dates.as_unit(unit), 3).strftime("%Y-%m-%d").tolist() == expected


def test_two_dates_are_enough_for_a_distance():
    week = pd.DatetimeIndex(["2024-01-01", "2024-01-08"])
    assert future_index(week, 2).strftime("%Y-%m-%d").tolist() == ["2024-01-15", "2024-01-22"]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(1, 10))
def test_dates_to_come_are_in_order_and_after_those_known(distances, steps):
    index = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(distances), unit="D")
    found = future_index(index, steps)
    assert len(found) == steps
    assert found.is_monotonic_increasing
    assert found.is_unique
    assert found[0] > index[-1]


def test_hours_go_on_too():
    index = pd.date_range("2024-01-01", periods=48, freq="h")
    assert future_index(index, 2).tolist() == [pd.Timestamp("2024-01-03 00:00"), pd.Timestamp("2024-01-03 01:00")]


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def test_a_plot_shows_what_is_known_and_what_comes_next():
    frame = prices()
    linear = fitted("linear", frame, "log_return")
    ax = linear.plot(steps=15, last=60, coverage=0.8)
    known, found = ax.get_lines()
    np.testing.assert_array_equal(known.get_ydata(), frame["price"].iloc[-60:])
    np.testing.assert_array_equal(found.get_ydata(), linear.forecast(15)["mean"])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["price", "80% interval", "linear, 15 steps"]
    assert len(linear.plot(last=60).get_lines()[1].get_ydata()) == 6


def test_a_plot_of_a_test_shows_each_row_as_it_was_forecast_from_those_before():
    frame = prices()
    linear = fitted("linear", frame.iloc[:150])
    ax = linear.plot(test=frame.iloc[150:], last=30)
    known, found = ax.get_lines()
    np.testing.assert_array_equal(known.get_ydata(), frame["price"].iloc[-30:])
    np.testing.assert_array_equal(found.get_ydata(), linear.one_step(frame.iloc[150:])["mean"].iloc[-30:])


def test_a_plot_goes_where_it_is_told_and_can_be_drawn(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    assert fitted("naive", prices()).plot(ax=ax) is ax
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0


# ---------------------------------------------------------------------------------------------------------------------
# Artifacts

CHAIN = """
import sys
from pathlib import Path
from persistable.forecasting import BaselineP, BaselineParams, LinearP, LinearParams, SeriesP, SplitP, SplitParams

folder = Path(sys.argv[1])
series_p = SeriesP.from_csv(folder, folder / "prices.csv", target="price", transform="log_return")
split_p = SplitP(folder, SplitParams.hold_out(50), series_p=series_p)
chain = dict(series_p=series_p, split_p=split_p)
models = [
    LinearP(folder, LinearParams(lags=3, calendar=("weekday", "trend")), **chain),
    BaselineP(folder, BaselineParams(kind="drift"), **chain),
]
"""

SHOW = """
for model_p in models:
    assert model_p.exists()
    for found in (model_p.forecast(9), model_p.one_step()):
        print(model_p.key, found.to_numpy().tobytes().hex())
"""


def chain_of(folder: Path, **split) -> tuple[SeriesP, SplitP]:
    prices().to_csv(folder / "prices.csv")
    series_p = SeriesP.from_csv(folder, folder / "prices.csv", target="price", transform="log_return")
    return series_p, SplitP(folder, SplitParams.hold_out(50), series_p=series_p)


def models_of(folder: Path) -> list[LinearP | BaselineP]:
    series_p, split_p = chain_of(folder)
    linear_params = LinearParams(lags=3, calendar=("weekday", "trend"))
    return [
        LinearP(folder, linear_params, series_p=series_p, split_p=split_p),
        BaselineP(folder, BaselineParams(kind="drift"), series_p=series_p, split_p=split_p),
    ]


def test_a_model_is_fitted_once_and_found_again(tmp_path, monkeypatch):
    first = models_of(tmp_path)
    expected = []
    for model_p in first:
        assert not model_p.exists()
        expected.append(model_p.forecast(9))
        assert model_p.exists()
        assert model_p.manifest.metrics == {"rows": 150, "n_parameters": model_p.n_parameters}
    for kind in (Linear, Baseline):
        monkeypatch.delattr(kind, "_fit")  # whoever fits again from here on fails
    for model_p, before in zip(models_of(tmp_path), expected, strict=True):
        pd.testing.assert_frame_equal(model_p.forecast(9), before, check_exact=True)


def test_a_model_forecasts_in_a_new_process_as_in_that_which_fitted_it(tmp_path, run_python):
    lines = []
    for model_p in models_of(tmp_path):
        for found in (model_p.forecast(9), model_p.one_step()):
            lines.append(f"{model_p.key} {found.to_numpy().tobytes().hex()}")
    assert run_python(CHAIN + SHOW, str(tmp_path)).splitlines() == lines


def test_a_chain_of_artifacts_says_what_its_forecaster_says(tmp_path):
    for model_p in models_of(tmp_path):
        forecaster = model_p.forecaster
        assert forecaster is model_p.forecaster
        assert model_p.summary() == forecaster.summary()
        pd.testing.assert_series_equal(model_p.residuals, forecaster.residuals)
        pd.testing.assert_frame_equal(model_p.one_step(), forecaster.one_step(model_p.test_rows))
        assert len(model_p.test_rows) == 50
        assert len(model_p.plot(steps=4).get_lines()) == 2
        assert model_p.payload["transform"] == "log_return"


def test_a_feature_that_says_nothing_new_is_told_in_the_manifest(tmp_path):
    prices(z=np.full(200, 3.0)).to_csv(tmp_path / "prices.csv")
    series_p = SeriesP.from_csv(tmp_path, tmp_path / "prices.csv", target="price", exogenous=("z",))
    split_p = SplitP(tmp_path, SplitParams.hold_out(50), series_p=series_p)
    linear_p = LinearP(tmp_path, LinearParams(lags=1), series_p=series_p, split_p=split_p)
    linear_p.load_generate()
    (warning,) = linear_p.manifest.metrics["warnings"]
    assert warning.startswith("1 of 2 features are constant")


def test_a_split_of_another_series_is_refused(tmp_path):
    series_p, _ = chain_of(tmp_path)
    other_p = SeriesP.from_csv(tmp_path, tmp_path / "prices.csv", target="price")
    split_p = SplitP(tmp_path, SplitParams.hold_out(50), series_p=other_p)
    with pytest.raises(ParamsError, match=r"split_p splits the series series_p .*, and not series_p"):
        LinearP(tmp_path, series_p=series_p, split_p=split_p)
    with pytest.raises(ParamsError, match=r"split_p splits the series series_p .*, and not series_p"):
        BaselineP(tmp_path, series_p=series_p, split_p=split_p)


def test_a_window_has_a_model_of_its_own(tmp_path):
    series_p, _ = chain_of(tmp_path)
    split_p = SplitP(tmp_path, SplitParams.expanding(2, 30), series_p=series_p)
    models = [BaselineP(tmp_path, BaselineParams(window=w), series_p=series_p, split_p=split_p) for w in (0, 1)]
    assert [len(model_p.training_rows) for model_p in models] == [140, 170]
    assert len({model_p.key for model_p in models}) == 2
    for model_p in models:
        previous = [model_p.training_rows["price"].iloc[-1], *model_p.test_rows["price"].iloc[:-1]]
        np.testing.assert_allclose(model_p.one_step()["mean"], previous)


# ---------------------------------------------------------------------------------------------------------------------
# Dates


def dates(*texts):
    return pd.DatetimeIndex(texts)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (pd.date_range("2024-01-01", periods=5, freq="B"), ["2024-01-08", "2024-01-09"]),  # Monday to Friday
        (dates("2024-01-15", "2024-02-15", "2024-03-15", "2024-04-15"), ["2024-05-15", "2024-06-15"]),
        (dates("2024-01-31", "2024-02-29", "2024-04-30", "2024-05-31"), ["2024-06-30", "2024-07-31"]),  # one dropped
        (dates("2023-01-01", "2023-04-01", "2023-10-01", "2024-01-01"), ["2024-04-01", "2024-07-01"]),
        (dates("2024-01-03", "2024-01-10", "2024-01-24", "2024-01-31"), ["2024-02-07", "2024-02-14"]),
    ],
    ids=["a working week", "the 15th", "month ends", "quarters", "Wednesdays"],
)
def test_dates_follow_on_the_calendar_of_the_last_ones_also_where_one_is_missing(known, expected):
    assert future_index(known, 2).strftime("%Y-%m-%d").tolist() == expected


def test_rows_that_leave_some_out_are_refused():
    frame = prices()
    model = fitted("linear", frame.iloc[:150])
    for later in (frame.iloc[155:], frame.iloc[160:].set_axis(frame.index[160:] + pd.Timedelta(days=3650))):
        for ask in (model.one_step, model.extended):
            with pytest.raises(ForecastingError, match=r"the next one is expected .* Pass all rows that follow"):
                ask(later)
    with pytest.raises(ForecastingError, match=r"exogenous begins on .* Pass all rows that follow"):
        model.forecast(5, frame.iloc[170:175])


def test_the_dates_of_a_forecast_may_be_given_without_any_column():
    frame = prices()
    model, following = fitted("calendar", frame.iloc[:150]), frame.iloc[150:155]
    found = model.forecast(5, following[[]])
    assert found.index.equals(following.index)
    with pytest.raises(ForecastingError, match="exogenous must have 4 rows, one for each step; it has 5"):
        model.forecast(4, following)


def test_more_steps_than_there_are_dates_are_refused():
    frame = prices().set_axis(pd.date_range("1700-01-01", periods=len(prices()), freq="YS", unit="ns"))
    with pytest.raises(ParamsError, match="goes beyond the dates that there are"):
        fitted("naive", frame[:100]).forecast(10_000)


# ---------------------------------------------------------------------------------------------------------------------
# Families, and threads


class Mean(Forecaster):
    """The mean of what it has seen."""

    family = "mean of a test"

    @classmethod
    def _fit(cls, rows, params, fitting):
        return {"mean": float(rows.values.mean()), "sigma": float(rows.values.std())}

    def _path(self, steps, future):
        se = np.full(steps, self.payload["sigma"])
        return ForecastPath(np.full(steps, self.payload["mean"]), se, se * np.sqrt(np.arange(1, steps + 1)))

    def _one_step(self, test):
        return np.full(len(test.values), self.payload["mean"]), np.full(len(test.values), self.payload["sigma"])

    def _residuals(self):
        return self.rows.values - self.payload["mean"]

    @property
    def n_parameters(self):
        return 1

    def summary(self):
        return f"mean {self.payload['mean']:.6g}"


def test_a_family_of_ones_own_needs_six_methods():
    frame = prices()
    model = Mean(Mean.fit(frame.iloc[:150], None), frame.iloc[:150])
    again = forecaster_of(json.loads(json.dumps(model.payload)), frame.iloc[:150])
    assert type(again) is Mean
    assert again.forecast(3)["mean"].tolist() == [frame.iloc[:150, 0].mean()] * 3
    assert repr(again).startswith("<Mean of 'price', fitted to 150 rows up to ")


def test_a_family_that_lacks_methods_says_which():
    class Half(Forecaster):
        family = "half of a test"

        @classmethod
        def _fit(cls, rows, params, fitting):
            return {}

    with pytest.raises(ParamsError, match="define _one_step, _path, _residuals, n_parameters, summary"):
        Half.fit(prices(), None)


def test_dates_in_a_zone_are_refused():
    frame = prices()
    model = fitted("naive", frame.iloc[:150])
    with pytest.raises(ForecastingError, match="has dates in the zone UTC, and the model knows dates in None"):
        model.one_step(frame.iloc[150:].tz_localize("UTC"))


def test_a_class_that_would_be_loaded_as_another_one_is_not_fitted():
    class Shifted(Mean):
        pass

    with pytest.raises(ParamsError, match=r"Give it a name of its own: family = '.*shifted'"):
        Shifted.fit(prices(), None)
    with pytest.raises(ParamsError, match="there is a family 'linear' already"):
        type("Mine", (Mean,), {"family": "linear"})
    with pytest.raises(ForecastingError, match="Import the module that defines it"):
        forecaster_of({"family": "unheard of"}, prices())


def test_a_model_that_explodes_says_so_instead_of_forecasting():
    frame = prices()
    payload = {**Mean.fit(frame, None), "sigma": float("nan")}
    with pytest.raises(ForecastingError, match="has no finite forecast for "):
        Mean(payload, frame).forecast(2)

    class Endless(Mean):
        family = "endless of a test"

        @classmethod
        def _fit(cls, rows, params, fitting):
            return {"mean": float("inf"), "parts": [1.0]}

    with pytest.raises(ForecastingError, match="has settings that are not finite"):
        Endless.fit(frame, None)


def test_threads_take_turns_and_leave_the_number_of_blas_threads_as_it_was():
    from threadpoolctl import threadpool_info

    def numbers():
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    before, seen = numbers(), []

    def fit() -> None:
        for _ in range(20):
            with one_thread(), one_thread():
                seen.extend(numbers())

    threads = [threading.Thread(target=fit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {1}
    assert numbers() == before
