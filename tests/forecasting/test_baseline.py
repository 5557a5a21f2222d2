"""The baselines: what they say of the next levels, and that they say it in whatever numbers a model sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from persistable import ParamsError
from persistable.exceptions import ForecastingError
from persistable.forecasting.baseline import Baseline, BaselineParams
from persistable.forecasting.rows import Rows

TRANSFORMS = ("none", "log", "difference", "log_return")
KINDS = {"naive": {}, "drift": {}, "seasonal_naive": {"season": 4}}


def walk(n: int = 120, seed: int = 0) -> pd.DataFrame:
    steps = np.random.default_rng(seed).normal(0.002, 0.02, size=n)
    seasons = 0.1 * np.tile([0.0, 1.0, -1.0, 0.5], n)[:n]
    index = pd.date_range("2010-01-01", periods=n, freq="QS")
    return pd.DataFrame({"x": 50 * np.exp(np.cumsum(steps) + seasons)}, index=index)


def fitted(frame: pd.DataFrame, kind: str, transform: str = "none") -> Baseline:
    return Baseline(Baseline.fit(frame, BaselineParams(kind=kind, **KINDS[kind]), transform=transform), frame)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind": "mean"}, "kind must be one of 'naive', 'seasonal_naive', 'drift'; got 'mean'"),
        ({"kind": "seasonal_naive"}, "needs season=, the rows of a season: 12 for months"),
        ({"kind": "seasonal_naive", "season": 0}, "season must be a whole number of rows, 1 or more; got 0"),
        ({"kind": "seasonal_naive", "season": True}, "got True"),
        ({"kind": "seasonal_naive", "season": 12.0}, "got 12.0"),
        ({"kind": "drift", "season": 12}, "kind='drift' has no season; got season=12"),
        ({"window": 1.0}, "window must be a whole number"),
    ],
)
def test_params_that_cannot_be_used_are_refused(params, message):
    with pytest.raises(ParamsError, match=message):
        BaselineParams(**params)


# ---------------------------------------------------------------------------------------------------------------------
# What they say


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_naive_is_the_last_level(transform):
    frame = walk()
    naive = fitted(frame.iloc[:100], "naive", transform)
    np.testing.assert_allclose(naive.forecast(5)["mean"], frame["x"].iloc[99], rtol=1e-14)
    np.testing.assert_allclose(naive.one_step(frame.iloc[100:])["mean"], frame["x"].iloc[99:-1], rtol=1e-14)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_seasonal_naive_is_the_level_of_a_season_ago(transform):
    frame = walk()
    seasonal = fitted(frame.iloc[:100], "seasonal_naive", transform)
    expected = np.tile(frame["x"].iloc[96:100], 3)[:10]
    np.testing.assert_allclose(seasonal.forecast(10)["mean"], expected, rtol=1e-12)
    np.testing.assert_allclose(seasonal.one_step(frame.iloc[100:])["mean"], frame["x"].iloc[96:-4], rtol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_drift_goes_on_along_the_line_from_the_first_level_to_the_last(transform):
    frame = walk()
    drift = fitted(frame.iloc[:100], "drift", transform)
    x = frame["x"].to_numpy()
    if transform in ("log", "log_return"):
        factor = (x[99] / x[0]) ** (1 / 99)
        np.testing.assert_allclose(drift.forecast(5)["mean"], x[99] * factor ** np.arange(1, 6), rtol=1e-12)
        np.testing.assert_allclose(drift.one_step(frame.iloc[100:])["mean"], x[99:-1] * factor, rtol=1e-12)
    else:
        slope = (x[99] - x[0]) / 99
        np.testing.assert_allclose(drift.forecast(5)["mean"], x[99] + slope * np.arange(1, 6), rtol=1e-12)
        np.testing.assert_allclose(drift.one_step(frame.iloc[100:])["mean"], x[99:-1] + slope, rtol=1e-12)


def test_naive_expects_of_differences_exactly_nothing():
    frame = walk()
    for transform in ("difference", "log_return"):
        naive = fitted(frame, "naive", transform)
        path = naive._path(5, Rows(frame.index[:5], np.full(5, np.nan), np.empty((5, 0))))
        mean, _ = naive._one_step(replace(naive.rows, values=naive.rows.values[1:]))
        assert not path.mean.any()
        assert not mean.any()


# ---------------------------------------------------------------------------------------------------------------------
# How sure they are


def se_of_levels(baseline: Baseline, steps: int) -> np.ndarray:
    """Return the standard errors that the intervals of the levels (or of their logarithms) stand for."""
    found = baseline.forecast(steps, coverage=0.6826894921370859)  # one standard error to either side
    if baseline.transform in ("log", "log_return"):
        found = np.log(found)
    return (found["upper"] - found["lower"]).to_numpy() / 2


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_intervals_grow_as_in_the_textbook(transform):
    frame, h = walk(), np.arange(1, 13)
    w = np.log(frame["x"].to_numpy()) if "log" in transform else frame["x"].to_numpy()
    T = len(w)
    errors = np.diff(w)
    sigma = np.sqrt((errors**2).sum() / (T - 1))
    np.testing.assert_allclose(se_of_levels(fitted(frame, "naive", transform), 12), sigma * np.sqrt(h), rtol=1e-9)
    sigma = np.sqrt(((errors - errors.mean()) ** 2).sum() / (T - 2))
    expected = sigma * np.sqrt(h * (1 + h / (T - 1)))
    np.testing.assert_allclose(se_of_levels(fitted(frame, "drift", transform), 12), expected, rtol=1e-9)
    sigma = np.sqrt(((w[4:] - w[:-4]) ** 2).sum() / (T - 4))
    expected = sigma * np.sqrt((h - 1) // 4 + 1)
    np.testing.assert_allclose(se_of_levels(fitted(frame, "seasonal_naive", transform), 12), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("levels", "differences"), [("none", "difference"), ("log", "log_return")])
def test_forecasts_and_intervals_are_the_same_whether_differences_are_seen_or_levels(kind, levels, differences):
    frame = walk()
    one, other = fitted(frame.iloc[:100], kind, levels), fitted(frame.iloc[:100], kind, differences)
    pd.testing.assert_frame_equal(one.forecast(11), other.forecast(11), rtol=1e-10)
    pd.testing.assert_frame_equal(one.one_step(frame.iloc[100:]), other.one_step(frame.iloc[100:]), rtol=1e-10)
    assert one.payload["sigma"] == pytest.approx(other.payload["sigma"], rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", ["none", "difference"])
def test_standard_errors_of_steps_and_sums_are_those_of_simulated_paths(kind, transform):
    frame = walk()
    baseline = fitted(frame, kind, transform)
    season, sigma = baseline.payload["season"], baseline.payload["sigma"]
    rng = np.random.default_rng(2)
    levels = np.zeros((20_000, 10))
    for h in range(10):
        levels[:, h] = rng.normal(scale=sigma, size=20_000) + (levels[:, h - season] if h >= season else 0)
    if kind == "drift":
        levels += np.outer(rng.normal(scale=sigma / np.sqrt(119), size=20_000), np.arange(1, 11))
    seen = np.diff(levels, axis=1, prepend=0) if transform == "difference" else levels
    path = baseline._path(10, Rows(frame.index[:10], np.full(10, np.nan), np.empty((10, 0))))
    np.testing.assert_allclose(path.se, seen.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(path.se_of_sum, seen.cumsum(axis=1).std(axis=0), rtol=0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_first_of_several_steps_is_the_one_step_forecast(kind, transform):
    frame = walk()
    baseline = fitted(frame.iloc[:100], kind, transform)
    first, one = baseline.forecast(1), baseline.one_step(frame.iloc[100:101])
    pd.testing.assert_frame_equal(first, one, rtol=1e-13, check_freq=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_residuals_are_the_one_step_errors_of_the_history(kind, transform):
    frame = walk()
    baseline = fitted(frame, kind, transform)
    w = np.log(frame["x"].to_numpy()) if "log" in transform else frame["x"].to_numpy()
    season = baseline.payload["season"]
    expected = w[season:] - w[:-season] - baseline.payload["drift"]
    np.testing.assert_allclose(baseline.residuals.iloc[season:], expected, rtol=1e-9, atol=1e-13)
    assert baseline.residuals.iloc[:season].isna().all()


# ---------------------------------------------------------------------------------------------------------------------
# The rest


def test_too_few_rows_are_refused():
    frame = walk(4)
    with pytest.raises(ForecastingError, match=r"kind='seasonal_naive' with a season of 4 rows needs at least 5 rows"):
        fitted(frame, "seasonal_naive")
    with pytest.raises(ForecastingError, match=r"kind='drift' .* needs at least 3 rows; there are 2"):
        fitted(frame.iloc[:2], "drift")
    assert fitted(frame.iloc[:2], "naive").forecast(1)["mean"].item() == frame["x"].iloc[1]


def test_only_the_drift_is_a_fitted_number():
    assert {kind: fitted(walk(), kind).n_parameters for kind in KINDS} == {"naive": 0, "drift": 1, "seasonal_naive": 0}


@pytest.mark.parametrize(
    ("kind", "transform", "rule"),
    [
        ("naive", "none", "level = level of the row before"),
        ("seasonal_naive", "difference", "level = level of 4 rows before"),
        ("drift", "log_return", "log level = log level of the row before, +0.00"),
    ],
)
def test_the_summary_says_the_rule(kind, transform, rule):
    first, second, third = fitted(walk(), kind, transform).summary().splitlines()
    assert first == f"{kind} forecast of x (transform {transform})"
    assert second.startswith(rule)
    assert third.startswith("rows 120, parameters ")
