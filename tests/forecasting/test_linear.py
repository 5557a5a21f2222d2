"""The linear model: against least squares by hand, and against series whose coefficients are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from persistable import ParamsError
from persistable.exceptions import ForecastingError
from persistable.forecasting.forecaster import Fitting
from persistable.forecasting.linear import Linear, LinearParams, errors_of_path


def frame_of(values, *, start="2020-01-01", freq="D", **exogenous) -> pd.DataFrame:
    index = pd.date_range(start, periods=len(values), freq=freq)
    return pd.DataFrame({"x": np.asarray(values, float), **exogenous}, index=index)


def autoregression(*coefficients: float, n: int = 400, seed: int = 0, level: float = 10.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    values = np.zeros(n)
    for row in range(n):
        values[row] = noise[row] + sum(c * values[row - k] for k, c in enumerate(coefficients, 1) if k <= row)
    return level + values


def fail(message: str) -> None:
    raise AssertionError(message)


def fitted(frame: pd.DataFrame, transform: str = "none", fitting: Fitting | None = None, **params) -> Linear:
    return Linear(Linear.fit(frame, LinearParams(**params), transform=transform, fitting=fitting), frame)


# ---------------------------------------------------------------------------------------------------------------------
# Params


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lags": -1}, "lags must be a whole number, 0 or more, or a tuple of different ones, each 1 or more; got -1"),
        ({"lags": 1.5}, "got 1.5"),
        ({"lags": True}, "got True"),
        ({"lags": "12"}, "got '12'"),
        ({"lags": (1, 1)}, r"got \(1, 1\)"),
        ({"lags": (0, 1)}, r"got \(0, 1\)"),
        ({"lags": (1, 2.5)}, r"got \(1, 2.5\)"),
        ({"calendar": "month"}, "calendar must be a tuple of weekday, month, quarter, trend; got 'month'"),
        ({"calendar": ("hour",)}, "calendar has no 'hour'. There are weekday, month, quarter, trend"),
        ({"alpha": -0.1}, "alpha must be a finite number, 0 or more; got -0.1"),
        ({"alpha": float("nan")}, "got nan"),
        ({"alpha": float("inf")}, "got inf"),
        ({"alpha": True}, "got True"),
        ({"window": -1}, "window must be a whole number"),
    ],
)
def test_params_that_cannot_be_used_are_refused(params, message):
    with pytest.raises(ParamsError, match=message):
        LinearParams(**params)


def test_one_model_has_one_way_to_write_its_params():
    assert LinearParams(lags=(3, 1, 2)) == LinearParams(lags=3)
    assert LinearParams(lags=[7, 1]).lags == (1, 7)
    assert LinearParams(lags=()) == LinearParams(lags=0)
    assert LinearParams(lags=np.int64(4)).lags == 4
    assert LinearParams(calendar=["trend", "weekday", "trend"]).calendar == ("weekday", "trend")
    assert type(LinearParams(alpha=1).alpha) is float


def test_a_study_chooses_lags_and_penalty():
    chosen = Linear.with_choice(LinearParams(calendar=("month",)), {"lags": 2, "alpha": 3.0})
    assert chosen == LinearParams(lags=2, calendar=("month",), alpha=3.0)
    with pytest.raises(ParamsError, match="LinearParams has no setting depth"):
        Linear.with_choice(LinearParams(), {"depth": 2})


# ---------------------------------------------------------------------------------------------------------------------
# The fit


def plain_design(values: np.ndarray, lags: int, *others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the design with an intercept in its last column, and the target, written out by hand."""
    rows = range(lags, len(values))
    design = [[*(values[t - k] for k in range(1, lags + 1)), *(other[t] for other in others), 1.0] for t in rows]
    return np.array(design), values[lags:]


@pytest.mark.parametrize("level", [0.0, 10.0, 1000.0])
def test_coefficients_are_those_of_least_squares_on_the_plain_design(level):
    values = autoregression(0.5, -0.3, level=level)
    exogenous = np.random.default_rng(1).normal(size=len(values))
    linear = fitted(frame_of(values, z=exogenous), lags=3)
    expected, *_ = np.linalg.lstsq(*plain_design(values, 3, exogenous), rcond=None)
    found = linear.payload["coefficients"]
    by_hand = dict(zip(["lag_1", "lag_2", "lag_3", "exogenous_1"], expected, strict=False))
    assert found.keys() == by_hand.keys()
    assert all(abs(found[name] - by_hand[name]) < 1e-10 for name in by_hand)
    assert linear.payload["intercept"] == pytest.approx(expected[-1], rel=1e-10, abs=1e-10)


def test_sigma_and_standard_errors_are_those_of_the_textbook():
    values = autoregression(0.6)
    linear = fitted(frame_of(values), lags=2)
    design, target = plain_design(values, 2)
    coefficients, *_ = np.linalg.lstsq(design, target, rcond=None)
    errors = target - design @ coefficients
    variance = errors @ errors / (len(target) - 3)
    covariance = variance * np.linalg.inv(design.T @ design)
    assert linear.payload["sigma"] == pytest.approx(np.sqrt(variance), rel=1e-10)
    found = [linear.payload["standard_errors"][name] for name in ("lag_1", "lag_2", "intercept")]
    assert found == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-8)


@pytest.mark.parametrize("alpha", [0.5, 50.0])
def test_a_ridge_penalty_is_that_of_the_closed_form(alpha):
    values = autoregression(0.6, 0.2)
    linear = fitted(frame_of(values), lags=2, alpha=alpha)
    design, target = plain_design(values, 2)
    features = design[:, :-1]
    scale = features.std(axis=0)
    standardised = (features - features.mean(axis=0)) / scale
    slopes = np.linalg.solve(
        standardised.T @ standardised + alpha * np.eye(2), standardised.T @ (target - target.mean())
    )
    assert list(linear.payload["coefficients"].values()) == pytest.approx(slopes / scale, rel=1e-10)
    assert linear.payload["standard_errors"] is None


@pytest.mark.parametrize("alpha", [0.0, 1e4])
def test_the_noise_of_a_penalised_fit_is_neither_over_nor_underestimated(alpha):
    sigmas = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=60)
        sigmas.append(fitted(frame_of(noise), lags=16, alpha=alpha).payload["sigma"])
    assert np.sqrt(np.mean(np.square(sigmas))) == pytest.approx(1, abs=0.06)


def test_degrees_of_freedom_are_those_that_a_penalty_leaves():
    values = autoregression(0.6, 0.2, n=60)
    linear = fitted(frame_of(values), lags=16, alpha=30.0)
    design, _ = plain_design(values, 16)
    features = design[:, :-1]
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    hat = standardised @ np.linalg.solve(standardised.T @ standardised + 30 * np.eye(16), standardised.T)
    errors = linear.residuals.dropna().to_numpy()
    expected = np.sqrt(errors @ errors / (len(errors) - 1 - np.trace(hat)))
    assert linear.payload["sigma"] == pytest.approx(expected, rel=1e-10)
    assert linear.n_parameters == 17


def test_a_strong_penalty_leaves_the_mean():
    values = autoregression(0.8)
    linear = fitted(frame_of(values), lags=1, alpha=1e12)
    np.testing.assert_allclose(linear.forecast(3)["mean"], values[1:].mean(), rtol=1e-6)


def test_a_series_without_noise_is_found_again():
    months = pd.date_range("2015-01-01", periods=60, freq="MS")
    values = 3 + 0.5 * np.arange(60) + np.where(months.month == 4, 7.0, 0.0)
    linear = fitted(frame_of(values[:48], start="2015-01-01", freq="MS"), lags=0, calendar=("month", "trend"))
    np.testing.assert_allclose(linear.forecast(12)["mean"], values[48:], rtol=1e-12)
    assert linear.payload["coefficients"]["month_4"] == pytest.approx(7)
    assert linear.payload["coefficients"]["trend"] == pytest.approx(0.5 * 48)
    assert "month_1" not in linear.payload["coefficients"]


@pytest.mark.parametrize(("calendar", "count"), [("weekday", 4), ("month", 11), ("quarter", 3), ("trend", 1)])
def test_of_each_calendar_there_is_one_column_less_than_occurs(calendar, count):
    linear = fitted(frame_of(autoregression(0.5), freq="B"), lags=1, calendar=(calendar,))
    assert linear.n_parameters == 1 + 1 + count


def test_the_lags_may_be_those_one_names():
    values = np.tile([1.0, 5.0, 2.0, 8.0], 30) + np.random.default_rng(0).normal(scale=0.01, size=120)
    linear = fitted(frame_of(values), lags=(4,))
    assert list(linear.payload["coefficients"]) == ["lag_4"]
    np.testing.assert_allclose(linear.forecast(8)["mean"], [1, 5, 2, 8] * 2, atol=0.05)


def test_without_any_feature_it_is_the_mean():
    values = autoregression(0.0)
    linear = fitted(frame_of(values), lags=0)
    assert linear.payload["intercept"] == pytest.approx(values.mean())
    assert linear.n_parameters == 1
    assert linear.payload["sigma"] == pytest.approx(values.std(ddof=1))


@pytest.mark.parametrize("transform", ["difference", "log_return"])
def test_the_row_that_has_no_difference_is_left_out_of_the_fit(transform):
    values = autoregression(0.5, level=50)
    linear = fitted(frame_of(values), transform, lags=2)
    seen = np.diff(np.log(values) if transform == "log_return" else values)
    expected, *_ = np.linalg.lstsq(*plain_design(seen, 2), rcond=None)
    assert linear.payload["rows"] == len(values) - 3
    assert list(linear.payload["coefficients"].values()) == pytest.approx(expected[:2], rel=1e-9)
    assert linear.residuals.isna().tolist() == [True] * 3 + [False] * (len(values) - 3)


def test_too_few_rows_for_the_lags_are_refused():
    values = autoregression(0.5, n=12)
    fitted(frame_of(values), lags=5)  # 7 rows, 6 coefficients
    with pytest.raises(ForecastingError, match=r"6 of 12 rows have all lags, and 6 features .* need at least 8"):
        fitted(frame_of(values), lags=6)
    with pytest.raises(ForecastingError, match=r"fewer rows .* 0 of 12 rows"):
        fitted(frame_of(values), lags=(20,))


@pytest.mark.parametrize("exogenous", [np.full(400, 0.1), np.arange(400.0)], ids=["a constant", "the trend once more"])
def test_a_feature_that_says_nothing_new_is_told_and_harms_nothing(exogenous):
    values = autoregression(0.5)
    told: list[str] = []
    linear = fitted(frame_of(values, z=exogenous), lags=1, calendar=("trend",), fitting=Fitting(warn=told.append))
    assert len(told) == 1
    assert told[0].startswith("1 of 3 features are constant, or sums of others")
    without = fitted(frame_of(values), lags=1, calendar=("trend",))
    assert linear.n_parameters == without.n_parameters == 3
    penalised = fitted(frame_of(values, z=exogenous), lags=1, calendar=("trend",), alpha=1, fitting=Fitting(warn=fail))
    assert penalised.n_parameters == 3
    np.testing.assert_allclose(linear.residuals, without.residuals, atol=1e-9)
    assert linear.payload["sigma"] == pytest.approx(without.payload["sigma"])
    assert linear.payload["standard_errors"] is None


def test_a_fit_without_doubts_tells_nothing():
    told: list[str] = []
    fitted(frame_of(autoregression(0.5)), lags=5, calendar=("weekday", "trend"), fitting=Fitting(warn=told.append))
    assert told == []


def test_the_payload_is_plain_json():
    linear = fitted(frame_of(autoregression(0.5), z=np.arange(400.0) ** 2), lags=2, calendar=("weekday", "trend"))
    assert json.loads(json.dumps(linear.payload, allow_nan=False)) == linear.payload


# ---------------------------------------------------------------------------------------------------------------------
# Forecasts


def test_several_steps_are_one_step_each_from_those_before():
    values = autoregression(0.5, -0.3)
    linear = fitted(frame_of(values), lags=2)
    c = linear.payload["coefficients"]
    expected = values[-2:].tolist()
    for _ in range(6):
        expected.append(linear.payload["intercept"] + c["lag_1"] * expected[-1] + c["lag_2"] * expected[-2])
    assert linear.forecast(6)["mean"].tolist() == expected[2:]


def test_the_first_of_several_steps_is_the_one_step_forecast():
    frame = frame_of(autoregression(0.5), z=np.random.default_rng(3).normal(size=400))
    linear = fitted(frame.iloc[:-1], lags=3, calendar=("weekday", "trend"))
    following = frame.iloc[-1:]
    pd.testing.assert_frame_equal(linear.forecast(1, following[["z"]]), linear.one_step(following), check_freq=False)


def test_one_step_errors_in_the_history_are_the_residuals():
    values = autoregression(0.5)
    linear = fitted(frame_of(values), lags=1)
    c, intercept = linear.payload["coefficients"]["lag_1"], linear.payload["intercept"]
    np.testing.assert_array_equal(linear.residuals.iloc[1:], values[1:] - (intercept + c * values[:-1]))
    assert abs(linear.residuals.mean()) < 1e-12


def test_one_step_forecasts_of_many_rows_are_those_of_each_row_alone():
    frame = frame_of(autoregression(0.5, 0.2))
    linear = fitted(frame.iloc[:300], lags=2, calendar=("weekday", "trend"))
    together = linear.one_step(frame.iloc[300:])
    for n in (1, 2, 57):
        pd.testing.assert_frame_equal(linear.one_step(frame.iloc[300 : 300 + n]), together.iloc[:n], check_freq=False)


def test_standard_errors_grow_as_those_of_an_autoregression():
    linear = fitted(frame_of(autoregression(0.7)), lags=1)
    phi, sigma = linear.payload["coefficients"]["lag_1"], linear.payload["sigma"]
    path = linear._path(4, replace(linear.rows, index=linear.rows.index[:4], exogenous=np.empty((4, 0))))
    assert path.se == pytest.approx([sigma * np.sqrt(sum(phi ** (2 * j) for j in range(h))) for h in range(1, 5)])
    # A shock at step i is in the sum of h steps with 1 + phi + ... + phi**(h - i).
    sums = [sum(sum(phi**k for k in range(j + 1)) ** 2 for j in range(h)) for h in range(1, 5)]
    assert path.se_of_sum == pytest.approx([sigma * np.sqrt(each) for each in sums])


def test_standard_errors_are_those_of_simulated_paths():
    values = autoregression(0.5, 0.3)
    linear = fitted(frame_of(values), lags=2)
    c, sigma = list(linear.payload["coefficients"].values()), linear.payload["sigma"]
    paths = np.zeros((20_000, 8))
    noise = np.random.default_rng(5).normal(scale=sigma, size=paths.shape)
    for h in range(8):
        paths[:, h] = noise[:, h] + sum(c[k] * paths[:, h - k - 1] for k in range(2) if h > k)
    path = linear._path(8, replace(linear.rows, index=linear.rows.index[:8], exogenous=np.empty((8, 0))))
    np.testing.assert_allclose(path.se, paths.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(path.se_of_sum, paths.cumsum(axis=1).std(axis=0), rtol=0.03)


def test_shocks_that_stay_add_up_as_a_random_walk_does():
    se, se_of_sum = errors_of_path(np.ones(4))
    assert se == pytest.approx(np.sqrt([1, 2, 3, 4]))
    assert se_of_sum == pytest.approx(np.sqrt([1, 5, 14, 30]))


def test_exogenous_columns_count_for_their_own_row():
    rng = np.random.default_rng(0)
    z = rng.normal(size=200)
    frame = frame_of(3 + 2 * z + rng.normal(scale=1e-6, size=200), z=z)
    linear = fitted(frame.iloc[:150], lags=0)
    np.testing.assert_allclose(linear.forecast(50, frame[["z"]].iloc[150:])["mean"], frame["x"].iloc[150:], atol=1e-4)


def test_a_month_that_never_occurred_has_no_forecast():
    linear = fitted(frame_of(autoregression(0.5, n=150)), lags=1, calendar=("month",))  # to the 29th of May
    linear.forecast(2)
    with pytest.raises(ForecastingError, match=r"row on 2020-06-01, month 6, .* month 1, 2, 3, 4, 5 only\. Fit it to"):
        linear.forecast(5)


def test_explosive_lags_are_named_when_numbers_end():
    linear = fitted(frame_of(2.0 ** np.arange(20)), lags=1)
    assert linear.forecast(3)["mean"].tolist() == pytest.approx([2.0**20, 2.0**21, 2.0**22])
    with pytest.raises(ForecastingError, match=r"largest root is 2, .* before 2000 steps do"):
        linear.forecast(2000)


# ---------------------------------------------------------------------------------------------------------------------
# The summary


def test_the_summary_has_a_row_for_each_coefficient():
    linear = fitted(frame_of(autoregression(0.5), humidity=np.random.default_rng(1).normal(size=400)), lags=2)
    lines = linear.summary().splitlines()
    assert lines[0] == "linear model of x (transform none), alpha 0"
    assert lines[1].startswith("rows 398, parameters 4, sigma ")
    assert lines[3].split() == ["feature", "coefficient", "std.", "error", "t"]
    assert [line.split()[0] for line in lines[4:]] == ["intercept", "humidity", "lag_1", "lag_2"]
    assert len({len(line) for line in lines[3:]}) == 1
    _, coefficient, error, t = lines[6].split()
    assert float(t) == pytest.approx(float(coefficient) / float(error), rel=1e-3)


def test_with_a_penalty_the_summary_has_no_standard_errors():
    lines = fitted(frame_of(autoregression(0.5)), lags=1, alpha=2).summary().splitlines()
    assert lines[3].split() == ["feature", "coefficient"]
    assert [len(line.split()) for line in lines[4:]] == [2, 2]


def test_a_long_name_of_a_column_keeps_the_table_aligned():
    frame = frame_of(autoregression(0.5)).assign(**{"a very long name indeed": np.arange(400.0) % 7})
    assert len({len(line) for line in fitted(frame).summary().splitlines()[3:]}) == 1
