"""ARIMA: what statsmodels says, to the last digit, without keeping what statsmodels makes."""

from __future__ import annotations

import json
import sys
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persistable.exceptions import ForecastingError, MissingDependencyError, ParamsError
from persistable.forecasting import Arima, ArimaP, ArimaParams, SeriesP, SplitP, SplitParams
from persistable.forecasting.arima import _heard, _is_singular
from persistable.forecasting.forecaster import Fitting
from persistable.forecasting.rows import Rows, rows_of
from persistable.forecasting.transforms import transformed

ARIMA = pytest.importorskip("statsmodels.tsa.arima.model").ARIMA

N_TEST = 30

SPECS = {
    "differenced": (1, "none", ArimaParams(order=(1, 1, 1))),
    "line": (1, "none", ArimaParams(order=(1, 0, 1), trend="ct")),
    "seasonal": (1, "log", ArimaParams(order=(1, 1, 0), seasonal_order=(0, 1, 1, 4))),
    "exogenous": (3, "none", ArimaParams(order=(1, 1, 0), trend="t")),
    "returns": (2, "log_return", ArimaParams(order=(1, 0, 0), seasonal_order=(1, 0, 0, 4))),
    "twice": (1, "none", ArimaParams(order=(0, 2, 1))),
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """A random walk with a season of four rows and two exogenous columns, of which the first one matters."""
    rng = np.random.default_rng(0)
    exogenous = rng.normal(size=(180, 2))
    season = 3 * np.sin(np.arange(180) * np.pi / 2)
    rate = 60 + rng.normal(size=180).cumsum() + season + 2 * exogenous[:, 0]
    dates = pd.date_range("2000-01-01", periods=180, freq="MS")
    return pd.DataFrame({"rate": rate, "oil": exogenous[:, 0], "gold": exogenous[:, 1]}, index=dates)


class Case:
    """A forecaster made from a payload that was in JSON, and statsmodels called by hand for the same rows."""

    def __init__(self, frame: pd.DataFrame, n_columns: int, transform: str, params: ArimaParams) -> None:
        self.history, self.test = frame.iloc[:-N_TEST, :n_columns], frame.iloc[-N_TEST:, :n_columns]
        self.fitting = Fitting()
        payload = Arima.fit(self.history, params, transform=transform, fitting=self.fitting)
        self.payload = json.loads(json.dumps(payload, allow_nan=False))
        self.forecaster = Arima(self.payload, self.history)
        values = transformed(frame["rate"].to_numpy(), transform)
        exogenous = frame.iloc[:, 1:n_columns].to_numpy()
        self.values, self.exogenous = values[-N_TEST:], exogenous[-N_TEST:]
        first = int(np.isnan(values[0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.by_hand = ARIMA(
                values[first:-N_TEST],
                exogenous[first:-N_TEST] if n_columns > 1 else None,
                order=params.order,
                seasonal_order=params.seasonal_order,
                trend=params.trend,
            ).fit(cov_type="none")

    def exogenous_of(self, rows: slice) -> np.ndarray | None:
        return self.exogenous[rows] if self.exogenous.shape[1] else None


@pytest.fixture(scope="module")
def case_of(frame) -> Callable[[str], Case]:
    """Return a function that returns a case by its name, the same one each time."""
    return cache(lambda name: Case(frame, *SPECS[name]))


@pytest.fixture(params=SPECS)
def case(request, case_of) -> Case:
    return case_of(request.param)


@pytest.fixture
def differenced(case_of) -> Case:
    return case_of("differenced")


# ---------------------------------------------------------------------------------------------------------------------
# Params


def test_orders_given_as_lists_are_tuples():
    given = ArimaParams(order=[1, 0, 1], seasonal_order=[0, 1, 1, 12])
    assert given == ArimaParams(order=(1, 0, 1), seasonal_order=(0, 1, 1, 12))
    assert isinstance(given.order, tuple)
    assert type(ArimaParams(order=(np.int64(2), 0, 0)).order[0]) is int


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"order": (1, 0)}, "order must be 3 whole numbers, 0 or more, for p, d, q; got \\(1, 0\\)"),
        ({"order": (1, -1, 0)}, "order must be 3 whole numbers"),
        ({"order": (1.0, 0, 0)}, "order must be 3 whole numbers"),
        ({"order": (True, 0, 0)}, "order must be 3 whole numbers"),
        ({"order": "110"}, "order must be 3 whole numbers"),
        ({"order": 1}, "order must be 3 whole numbers"),
        ({"seasonal_order": (1, 0, 0)}, "seasonal_order must be 4 whole numbers, 0 or more, for P, D, Q, s"),
        ({"seasonal_order": (1, 0, 0, 0)}, "its last number is the season in rows, which must be 2 or more"),
        ({"seasonal_order": (0, 0, 0, 1)}, "its last number is the season in rows"),
        ({"order": (4, 0, 0), "seasonal_order": (1, 0, 0, 4)}, "4 autoregressive terms, and .* lag 4 too"),
        ({"order": (0, 0, 5), "seasonal_order": (0, 0, 1, 4)}, "5 moving-average terms, and .* lag 4 too"),
        ({"trend": "ctt"}, "trend must be None or one of 'n', 'c', 't', 'ct'; got 'ctt'"),
        ({"maxiter": 0}, "maxiter must be a whole number, 1 or more; got 0"),
        ({"window": -1}, "window must be a whole number"),
    ],
)
def test_what_is_no_model_is_refused(wrong, message):
    with pytest.raises(ParamsError, match=message):
        ArimaParams(**wrong)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"p": 2, "q": 1}, {"order": (2, 1, 1), "seasonal_order": (1, 0, 0, 12)}),
        ({"P": 0, "D": 1, "Q": 1}, {"order": (0, 1, 0), "seasonal_order": (0, 1, 1, 12)}),
        ({"order": (3, 0, 0), "d": 1}, {"order": (3, 1, 0), "seasonal_order": (1, 0, 0, 12)}),
        ({"trend": "t", "maxiter": 9, "seasonal_order": (0, 0, 0, 0)}, {"trend": "t", "maxiter": 9}),
        ({}, {"order": (0, 1, 0), "seasonal_order": (1, 0, 0, 12), "maxiter": 50}),
    ],
)
def test_a_study_chooses_orders_number_by_number_and_the_season_stays(choice, expected):
    params = ArimaParams(order=(0, 1, 0), seasonal_order=(1, 0, 0, 12), window=2)
    settings = Arima.with_choice(params, choice).to_dict()
    assert settings.items() >= {**expected, "window": 2}.items()
    assert params.order == (0, 1, 0)


def test_a_choice_of_something_unknown_is_refused():
    with pytest.raises(ParamsError, match="ArimaParams has no setting s that a study could choose"):
        Arima.with_choice(ArimaParams(), {"p": 1, "s": 12})


# ---------------------------------------------------------------------------------------------------------------------
# As statsmodels


def test_the_fit_is_that_of_statsmodels_to_the_last_digit(case):
    payload, by_hand = case.payload, case.by_hand
    assert payload["values"] == by_hand.params.tolist()
    assert payload["names"] == by_hand.param_names
    found = [payload[key] for key in ("loglik", "aic", "bic", "nobs", "trend")]
    assert found == [by_hand.llf, by_hand.aic, by_hand.bic, by_hand.nobs, by_hand.model.trend]
    assert payload["sigma2"] == by_hand.params[-1]
    assert case.forecaster.n_parameters == len(by_hand.params) - 1  # the variance of the errors is no coefficient
    assert len(json.dumps(payload)) < 1000


def test_a_path_is_that_of_statsmodels_to_the_last_digit(case):
    expected = case.by_hand.get_forecast(12, exog=case.exogenous_of(slice(12)))
    path = case.forecaster._path(12, Rows(case.test.index[:12], np.full(12, np.nan), case.exogenous[:12]))
    np.testing.assert_array_equal(path.mean, expected.predicted_mean)
    np.testing.assert_array_equal(path.se, expected.se_mean)


@pytest.mark.parametrize("name", ["differenced", "line", "exogenous"])
def test_intervals_are_those_of_statsmodels(name, case_of):
    case = case_of(name)
    found = case.forecaster.forecast(12, case.test.iloc[:12], coverage=0.8)
    expected = case.by_hand.get_forecast(12, exog=case.exogenous_of(slice(12)))
    np.testing.assert_array_equal(found["mean"], expected.predicted_mean)
    np.testing.assert_allclose(found[["lower", "upper"]], expected.conf_int(alpha=0.2), rtol=1e-13)


def test_one_step_forecasts_are_those_of_appending_row_by_row(case):
    means, errors = [], []
    results = case.by_hand.model.filter(case.by_hand.params, cov_type="none")  # which spares smoothing in each append
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in range(N_TEST):
            rows = slice(row, row + 1)
            expected = results.get_forecast(1, exog=case.exogenous_of(rows))
            means.append(expected.predicted_mean[0])
            errors.append(expected.se_mean[0])
            results = results.append(case.values[rows], exog=case.exogenous_of(rows), refit=False)
    mean, se = case.forecaster._one_step(Rows(case.test.index, case.values, case.exogenous))
    np.testing.assert_allclose(mean, means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(se, errors, rtol=1e-10)


def test_residuals_are_those_of_statsmodels_but_where_differences_have_nothing_before_them(case):
    order, seasonal = case.payload["order"], case.payload["seasonal_order"]
    lost = order[1] + seasonal[1] * seasonal[3]
    residuals = case.forecaster.residuals
    n_missing = len(case.history) - case.payload["nobs"] + lost
    assert residuals.index.equals(case.history.index)
    assert residuals.isna().to_numpy().nonzero()[0].tolist() == list(range(n_missing))
    np.testing.assert_array_equal(residuals.iloc[n_missing:], case.by_hand.resid[lost:])


# ---------------------------------------------------------------------------------------------------------------------
# Forecasts


@pytest.mark.parametrize(
    ("d", "seasonal_order"), [(0, (0, 0, 0, 0)), (1, (0, 0, 0, 0)), (0, (1, 0, 1, 4)), (0, (0, 1, 1, 4))]
)
def test_the_error_of_a_sum_is_that_of_the_model_of_sums(frame, d, seasonal_order):
    changes = frame[["rate"]].diff().iloc[1:]
    sums = pd.concat([frame[["rate"]].iloc[:1], changes]).cumsum()  # one more row, of which no change is known
    params = ArimaParams(order=(1, d, 1), seasonal_order=seasonal_order, trend="n")
    payload = Arima.fit(changes, params)
    of_sums = {**Arima.fit(sums, ArimaParams(order=(1, d + 1, 1), seasonal_order=seasonal_order, trend="n"))}
    # the same numbers for both, so that nothing else differs
    forecaster, integrated = Arima(payload, changes), Arima(of_sums, sums)
    of_sums["values"] = payload["values"]
    of_sums["loglik"] = ARIMA(
        sums["rate"].to_numpy(), order=(1, d + 1, 1), seasonal_order=seasonal_order, trend="n"
    ).loglike(payload["values"])
    future = Rows(frame.index[:20], np.full(20, np.nan), np.empty((20, 0)))
    path = forecaster._path(20, future)
    np.testing.assert_allclose(path.se_of_sum, integrated._path(20, future).se, rtol=1e-5)
    assert path.se_of_sum[0] == pytest.approx(path.se[0], rel=1e-12)


def test_a_forecast_of_log_returns_comes_back_to_levels(case_of):
    case = case_of("returns")
    found = case.forecaster.forecast(6, case.test.iloc[:6])
    expected = case.by_hand.get_forecast(6, exog=case.exogenous[:6]).predicted_mean
    np.testing.assert_allclose(found["mean"], case.history["rate"].iloc[-1] * np.exp(expected.cumsum()), rtol=1e-13)


def test_one_row_is_forecast_as_it_is_among_many(case):
    """Also where a single row makes every exogenous column a constant one, which a fit would refuse."""
    many = case.forecaster.one_step(case.test)
    pd.testing.assert_frame_equal(case.forecaster.one_step(case.test.iloc[:1]), many.iloc[:1], check_freq=False)


def test_no_forecast_looks_ahead(case):
    changed = case.test.copy()
    changed.iloc[10:] += 5
    found, expected = (case.forecaster.one_step(rows).iloc[:10] for rows in (changed, case.test))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_forecasting_leaves_the_forecaster_as_it_was(case):
    future = case.test.iloc[:8]
    before = case.forecaster.forecast(8, future)
    case.forecaster.one_step(case.test)
    pd.testing.assert_frame_equal(case.forecaster.forecast(8, future), before, check_exact=True)


def test_the_summary_calls_columns_by_their_names(case_of):
    case = case_of("exogenous")
    lines = case.forecaster.summary().splitlines()
    assert lines[0] == "ARIMA(1, 1, 0) model of rate (transform none)"
    assert [line.split()[0] for line in lines[3:8]] == ["x1", "oil", "gold", "ar.L1", "sigma2"]
    assert float(lines[4].split()[1]) == pytest.approx(2, abs=0.3)


def test_the_summary_names_the_season(case_of):
    summary = case_of("seasonal").forecaster.summary()
    assert summary.startswith("ARIMA(1, 1, 0)(0, 1, 1)[4] model of rate (transform log)\n150 values, 2 parameters")


def test_parameters_that_have_another_likelihood_now_are_refused_when_they_are_used(differenced):
    forecaster = Arima({**differenced.payload, "loglik": differenced.payload["loglik"] + 1e-5}, differenced.history)
    assert forecaster.n_parameters == 2
    with pytest.raises(
        ForecastingError, match=r"was -\d+\.\d+ when .* and is -\d+\.\d+ now.*fit anew with generate\(\)"
    ):
        forecaster.forecast(1)


# ---------------------------------------------------------------------------------------------------------------------
# Fits that go wrong


def test_a_search_that_has_not_converged_is_told(differenced):
    told = []
    fitting = Fitting(warn=told.append)
    payload = Arima.fit(differenced.history, ArimaParams(order=(2, 1, 2), maxiter=1), fitting=fitting)
    assert told == [
        "ARIMA(2, 1, 2) has not converged in 1 iterations: more likely parameters may exist. Raise maxiter, or choose "
        "lower orders."
    ]
    assert fitting.metrics["converged"] is False
    assert fitting.metrics["iterations"] == 1
    forecaster = Arima(payload, differenced.history)
    assert forecaster.summary().endswith("has not converged.")
    assert np.isfinite(forecaster.one_step(differenced.test)).all(axis=None)


def test_a_fit_is_measured(differenced):
    metrics = differenced.fitting.metrics
    assert metrics.keys() == {"converged", "iterations", "loglik", "aic", "bic", "fit_warnings"}
    assert metrics["converged"] is True
    assert metrics["loglik"] == differenced.by_hand.llf
    json.dumps(metrics, allow_nan=False)


def test_what_statsmodels_warns_of_is_noted_and_does_not_reach_the_user(frame):
    fitting = Fitting()
    Arima.fit(frame[["rate"]], ArimaParams(order=(1, 2, 2), maxiter=2), fitting=fitting)
    assert any(text.startswith("Non-invertible starting MA parameters") for text in fitting.metrics["fit_warnings"])


def test_what_another_thread_warns_of_meanwhile_is_not_swallowed():
    def warn_here_and_elsewhere() -> list[str]:
        with _heard() as texts:
            warnings.warn("here", stacklevel=1)
            thread = threading.Thread(target=lambda: warnings.warn("elsewhere", stacklevel=1))
            thread.start()
            thread.join()
        return texts

    with pytest.warns(UserWarning, match="elsewhere"):
        assert warn_here_and_elsewhere() == ["here"]


def test_a_singular_matrix_is_told_with_a_way_out():
    dates = pd.date_range("2000-01-01", periods=60)
    alternating = pd.DataFrame({"rate": (-1.0) ** np.arange(60)}, index=dates)
    params = ArimaParams(order=(3, 1, 1), seasonal_order=(1, 0, 1, 4), maxiter=10)
    with pytest.raises(ForecastingError, match=r"ARIMA\(3, 1, 1\)\(1, 0, 1\)\[4\] cannot be fitted to these 60 rows"):
        Arima.fit(alternating, params)


def test_a_trend_that_differences_would_take_away_is_refused(frame):
    with pytest.raises(ForecastingError, match=r"trend='c' is refused by statsmodels: .* Choose another trend"):
        Arima.fit(frame[["rate"]], ArimaParams(order=(0, 1, 0), trend="c"))


def test_a_constant_exogenous_column_beside_a_constant_is_refused(frame):
    with pytest.raises(ForecastingError, match=r"refused by statsmodels: .* other exogenous columns"):
        Arima.fit(frame[["rate"]].assign(one=1.0), ArimaParams(order=(1, 0, 0)))


def test_fewer_rows_than_the_orders_need_are_refused_with_numbers(frame):
    params = ArimaParams(order=(1, 1, 1), seasonal_order=(1, 1, 0, 12))
    message = (
        r"needs at least 31 values, and there are 30: 13 are lost to differences, the longest lag is 13, and 4 "
        r"parameters"
    )
    with pytest.raises(ForecastingError, match=message):
        Arima.fit(frame[["rate"]].iloc[:30], params)
    Arima.fit(frame[["rate"]].iloc[:31], params)
    with pytest.raises(ForecastingError, match="there are 30"):
        Arima.fit(frame[["rate"]].iloc[:31], params, transform="difference")  # which has no first value


def test_without_statsmodels_the_error_says_what_to_install(frame, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'persistable\[statsmodels\]'"):
        Arima.fit(frame, ArimaParams())


def test_the_very_first_fit_uses_one_thread_although_its_blas_is_only_loaded_by_it(run_python):
    code = """
from threadpoolctl import threadpool_info
from persistable.forecasting.arima import _one_thread
from persistable.forecasting.forecaster import one_thread
with one_thread():
    with _one_thread():
        print(*(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"))
    """
    assert set(run_python(code, OPENBLAS_NUM_THREADS="2").split()) == {"1"}


# ---------------------------------------------------------------------------------------------------------------------
# As an artifact

IN_A_NEW_PROCESS = """
import sys
from persistable.forecasting import ArimaP, ArimaParams, SeriesP, SplitP, SplitParams
assert "statsmodels" not in sys.modules
data_dir, csv = sys.argv[1:]
series_p = SeriesP.from_csv(data_dir, csv, target="rate", transform="log_return")
split_p = SplitP(data_dir, SplitParams.hold_out(30), series_p=series_p)
arima_p = ArimaP(data_dir, ArimaParams(order=(1, 0, 1)), series_p=series_p, split_p=split_p)
assert arima_p.exists()
arima_p.load()
assert "statsmodels" not in sys.modules
print(arima_p.forecast(5).to_numpy().tobytes().hex(), arima_p.one_step().to_numpy().tobytes().hex())
"""


@pytest.fixture
def arima_p(tmp_path, frame) -> ArimaP:
    csv = tmp_path / "rates.csv"
    frame[["rate"]].to_csv(csv, index_label="date")
    series_p = SeriesP.from_csv(tmp_path / "data", csv, target="rate", transform="log_return")
    split_p = SplitP(tmp_path / "data", SplitParams.hold_out(30), series_p=series_p)
    return ArimaP(tmp_path / "data", ArimaParams(order=(1, 0, 1)), series_p=series_p, split_p=split_p)


def test_a_loaded_model_forecasts_the_same_to_the_last_bit_in_another_process(arima_p, tmp_path, run_python):
    arima_p.generate()
    forecast, one_step = arima_p.forecast(5), arima_p.one_step()
    printed = run_python(IN_A_NEW_PROCESS, str(tmp_path / "data"), str(tmp_path / "rates.csv")).split()
    assert printed == [table.to_numpy().tobytes().hex() for table in (forecast, one_step)]


def test_the_manifest_tells_of_the_fit(arima_p):
    arima_p.generate()
    metrics = arima_p.manifest.metrics
    assert metrics["rows"] == 150
    assert metrics["n_parameters"] == 3
    assert metrics["loglik"] == arima_p.payload["loglik"]
    assert metrics["converged"] is True


def test_of_small_values_the_search_goes_on_where_statsmodels_breaks_off():
    rates = pd.read_csv(Path(__file__).parents[2] / "example-data" / "eurusd.csv", index_col="date", parse_dates=True)
    history = rates[:1000]
    returns = np.diff(np.log(history["rate"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_hand = ARIMA(returns, order=(1, 0, 1), trend="c").fit(cov_type="none")
    assert not by_hand.mle_retvals["converged"], "else this test needs another series"
    told = []
    payload = Arima.fit(
        history, ArimaParams(order=(1, 0, 1)), transform="log_return", fitting=Fitting(warn=told.append)
    )
    assert payload["converged"]
    assert told == []
    assert payload["loglik"] > by_hand.llf
    assert payload["sigma2"] == pytest.approx(np.var(returns), rel=0.01)


def autoregression(scale: float, seed: int, intercept: float = 1.0) -> pd.DataFrame:
    """An ARMA(1, 1) with an exogenous column, in units of `scale`."""
    rng = np.random.default_rng(seed)
    noise, values = rng.normal(size=400), np.zeros(400)
    for row in range(1, 400):
        values[row] = 0.6 * values[row - 1] + noise[row] + 0.3 * noise[row - 1]
    exogenous = rng.normal(size=400)
    index = pd.date_range("2000-01-01", periods=400)
    return pd.DataFrame({"y": scale * (values + 0.5 * exogenous + intercept), "x": exogenous}, index=index)


def by_hand(frame: pd.DataFrame, order: tuple[int, int, int]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ARIMA(frame["y"].to_numpy(), frame[["x"]].to_numpy(), order=order).fit(cov_type="none")


@pytest.mark.parametrize(
    ("scale", "order", "seed"), [(1e-3, (2, 0, 2), 3), (1e-3, (1, 1, 1), 1), (1e-2, (2, 1, 1), 1)], ids=str
)
def test_small_values_have_the_model_of_large_ones_also_where_statsmodels_believes_to_be_done(scale, order, seed):
    small, large = autoregression(scale, seed), autoregression(1.0, seed)
    broken_off = by_hand(small, order)
    assert broken_off.mle_retvals["converged"], "else this test needs another series"
    assert broken_off.params[-1] > 1.1 * scale**2 * Arima.fit(large, ArimaParams(order=order))["sigma2"]
    found, expected = (Arima.fit(frame, ArimaParams(order=order)) for frame in (small, large))
    assert found["converged"]
    assert found["loglik"] > broken_off.llf + 1
    assert found["sigma2"] == pytest.approx(scale**2 * expected["sigma2"], rel=0.01)
    position = found["names"].index("x1")
    assert found["values"][position] == pytest.approx(scale * expected["values"][position], rel=0.02)


def test_small_values_for_which_statsmodels_does_well_have_its_parameters_to_the_last_digit():
    small = autoregression(1e-2, 0)
    expected = by_hand(small, (1, 0, 0))
    assert np.std(small["y"]) < 0.1
    assert Arima.fit(small, ArimaParams(order=(1, 0, 0)))["values"] == expected.params.tolist()


def test_what_tells_whether_values_are_small_is_what_differences_leave_of_them():
    """The levels are large, their changes are small; searched plainly, the variance is 14 % too large."""
    levels = autoregression(1e-3, 1)
    levels["y"] += np.arange(400.0)
    expected = Arima.fit(autoregression(1.0, 1), ArimaParams(order=(1, 1, 1)))
    found = Arima.fit(levels, ArimaParams(order=(1, 1, 1), trend="t"))
    assert np.std(levels["y"]) > 10
    assert found["sigma2"] == pytest.approx(1e-6 * expected["sigma2"], rel=0.02)


@pytest.mark.parametrize(
    ("values", "is_singular"),
    [
        ([1.0, 0.5, 1.0], False),
        ([1.0, 0.5, 1e-3], True),  # errors are 30 times as large as they should be
        ([1.0, 0.5, 0.0], True),
        ([1.0, 0.5, np.nan], True),
    ],
    ids=str,
)
def test_forecasts_are_usable_if_they_and_their_errors_are_numbers_that_fit_the_values(values, is_singular):
    history = autoregression(1.0, 0)[["y"]]
    spec = {"order": [1, 0, 0], "seasonal_order": [0, 0, 0, 0]}
    model = ARIMA(history["y"].to_numpy(), order=(1, 0, 0), trend="c")
    with np.errstate(all="ignore"):
        results = model.filter(np.array(values), cov_type="none")
        assert _is_singular(spec, rows_of(history, "none"), results) is is_singular


def test_a_start_far_from_where_the_values_belong_is_no_sign_of_a_singular_fit():
    walk = 1000 + 0.01 * np.random.default_rng(0).normal(size=100).cumsum()
    told = []
    history = pd.DataFrame({"y": walk}, index=pd.date_range("2020-01-01", periods=100))
    Arima.fit(history, ArimaParams(order=(1, 0, 0), trend="n"), fitting=Fitting(warn=told.append))
    assert not [text for text in told if "singular" in text]


def test_a_fit_whose_forecasts_are_no_numbers_is_told():
    rng, months = np.random.default_rng(1), np.arange(100)
    sales = 100 + months * 0.5 + 10 * np.sin(2 * np.pi * months / 12) + rng.normal(0, 2, 100)
    history = pd.DataFrame({"sales": sales.round(3)}, index=pd.date_range("2014-01-01", periods=100, freq="MS"))
    told, fitting = [], Fitting()
    fitting.warn = told.append
    payload = Arima.fit(history, ArimaParams(order=(2, 0, 2), seasonal_order=(0, 1, 1, 12)), fitting=fitting)
    assert len(told) == 1
    assert told[0].startswith("ARIMA(2, 0, 2)(0, 1, 1)[12] is numerically singular: ")
    assert "Choose lower orders" in told[0]
    assert payload["converged"] is fitting.metrics["converged"] is False
    forecaster = Arima(payload, history)
    assert forecaster.summary().endswith("has not converged.")
    assert len(forecaster.residuals) == 100
    with pytest.raises(ForecastingError, match="no finite forecast"):
        forecaster.forecast(3)


def test_after_more_rows_it_goes_on_from_their_end():
    index = pd.date_range("2020-01-01", periods=130)
    frame = pd.DataFrame({"y": np.cumsum(np.random.default_rng(3).standard_normal(130))}, index=index)
    history, later = frame[:100], frame[100:]
    model = Arima(Arima.fit(history, ArimaParams(order=(1, 1, 0))), history)
    known = model.extended(later)
    expected = ARIMA(frame["y"].to_numpy(), order=(1, 1, 0), trend="n").filter(np.array(model.payload["values"]))
    np.testing.assert_array_equal(known.forecast(3)["mean"], expected.forecast(3))
    assert known.forecast(3).index[0] == index[-1] + pd.Timedelta(days=1)
    assert known.residuals.notna().sum() == 129
