"""An evaluation says how good a model is on rows that it has not seen, and by which rows that was."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persistable import ForecastingError, ParamsError
from persistable.forecasting import EvaluationP, EvaluationParams, SplitParams, scores

sys.path.insert(0, str(Path(__file__).parent))  # forecast_chain is for several files of tests

from forecast_chain import TESTED, Chain, DoubtfulP, ExplosiveP, UnsureP


@pytest.fixture
def chain(tmp_path):
    return Chain(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# One model


def test_each_test_row_is_forecast_from_all_before_it(chain):
    model_p = chain.linear(lags=2)
    evaluation_p = chain.evaluated(model_p, coverage=0.8)
    found = evaluation_p.load_generate()
    levels = chain.series_p.payload["level"]
    assert list(found.columns) == ["actual", "previous", "mean", "lower", "upper", "window", "scale"]
    assert found["actual"].equals(levels.iloc[-TESTED:].rename("actual"))
    assert found["previous"].tolist() == levels.iloc[-TESTED - 1 : -1].tolist()
    expected = model_p.one_step(coverage=0.8)
    assert found[["mean", "lower", "upper"]].equals(expected)
    assert (found["window"] == 0).all()


def test_the_payload_comes_back_to_the_last_bit(chain):
    evaluation_p = chain.evaluated(chain.linear())
    made = evaluation_p.load_generate()
    again = Chain(chain.folder)
    pd.testing.assert_frame_equal(again.evaluated(again.linear()).load(), made, check_exact=True, check_freq=True)


def test_metrics_are_those_of_the_scores(chain):
    evaluation_p = chain.evaluated(chain.linear(), season=7)
    found, metrics = evaluation_p.payload, evaluation_p.manifest.metrics
    actual, mean, previous = (found[name].to_numpy() for name in ("actual", "mean", "previous"))
    training = chain.series_p.payload["level"].to_numpy()[:-TESTED]
    assert metrics["rows"] == TESTED
    assert metrics["rmse"] == scores.rmse(actual, mean)
    assert metrics["mae"] == scores.mae(actual, mean)
    assert metrics["mase"] == scores.mase(actual, mean, scores.seasonal_scale(training, 7))
    assert metrics["directional_accuracy"] == scores.directional_accuracy(actual, mean, previous)
    assert metrics["interval_coverage"] == scores.interval_coverage(actual, found["lower"], found["upper"])
    assert metrics["interval_width"] == pytest.approx((found["upper"] - found["lower"]).mean())
    assert metrics["n_parameters"] == chain.linear().n_parameters
    assert (metrics["family"], metrics["model_keys"]) == ("linear", [chain.linear().key])
    assert metrics["warnings"] == []
    assert "transformed_rmse" not in metrics


def test_the_direction_of_the_naive_forecast_is_not_applicable(chain):
    for how in ("one_step", "forecast"):
        naive_p = chain.evaluated(chain.baseline("naive"), how=how)
        naive_p.load_generate()
        assert naive_p.metrics["directional_accuracy"] is None
    drift_p = chain.evaluated(chain.baseline("drift"))
    drift_p.load_generate()
    assert 0 <= drift_p.metrics["directional_accuracy"] <= 1


@pytest.mark.parametrize("transform", ["log", "difference", "log_return"])
def test_where_models_see_a_transform_its_errors_are_noted_too(tmp_path, transform):
    chain = Chain(tmp_path, transform=transform)
    evaluation_p = chain.evaluated(chain.linear())
    found, metrics = evaluation_p.payload, evaluation_p.metrics
    assert metrics["rmse"] == scores.rmse(found["actual"].to_numpy(), found["mean"].to_numpy())
    see = {
        "log": lambda levels: np.log(levels),
        "difference": lambda levels: levels - found["previous"],
        "log_return": lambda levels: np.log(levels / found["previous"]),
    }[transform]
    expected = np.sqrt(np.mean((see(found["actual"]) - see(found["mean"])) ** 2))
    assert metrics["transformed_rmse"] == pytest.approx(expected, rel=1e-9)
    naive_p = chain.evaluated(chain.baseline("naive"))
    naive_p.load_generate()
    assert naive_p.metrics["directional_accuracy"] is None


def test_the_whole_test_can_be_forecast_from_the_end_of_the_training_rows(chain):
    model_p = chain.linear(lags=1)
    evaluation_p = chain.evaluated(model_p, how="forecast")
    found = evaluation_p.payload
    assert found["mean"].tolist() == model_p.forecast(TESTED)["mean"].tolist()
    assert found.index.equals(model_p.test_rows.index)
    assert (found["previous"] == model_p.training_rows["level"].iloc[-1]).all()
    assert evaluation_p.key != chain.evaluated(model_p).key


def test_a_path_is_forecast_by_the_dates_of_the_test_rows(tmp_path):
    days = pd.bdate_range("2023-01-02", periods=260).delete([30, 31, 100, 222, 230, 231, 240])
    noise = np.random.default_rng(0).normal(size=len(days))
    frame = pd.DataFrame({"date": days, "level": 20 + 3 * (days.day_of_week == 0) + noise})
    frame.to_csv(tmp_path / "series.csv", index=False)
    chain = Chain(tmp_path)
    model_p = chain.linear(lags=0, calendar=("weekday",))
    found = chain.evaluated(model_p, how="forecast").payload
    assert found["mean"].tolist() == model_p.forecast(TESTED, model_p.test_rows)["mean"].tolist()
    assert set(np.flatnonzero(found["mean"] > 22)) == set(np.flatnonzero(found.index.day_of_week == 0))


def test_exogenous_columns_of_the_test_rows_count_as_known(tmp_path):
    chain = Chain(tmp_path, exogenous=("driver",))
    model_p = chain.linear(lags=1)
    assert chain.evaluated(model_p, how="forecast").payload["mean"].tolist() == (
        model_p.forecast(TESTED, model_p.test_rows[["driver"]])["mean"].tolist()
    )
    better, plain = (chain.evaluated(each).payload for each in (model_p, chain.baseline("naive")))
    assert scores.rmse(better["actual"], better["mean"]) < scores.rmse(plain["actual"], plain["mean"])


def test_what_was_doubtful_of_a_fit_is_carried_on(chain):
    evaluation_p = chain.evaluated(chain.linear(kind=DoubtfulP))
    evaluation_p.load_generate()
    assert evaluation_p.manifest.metrics["warnings"] == ["It did not converge."]


def test_a_model_that_cannot_forecast_has_no_scores_and_says_why(chain, caplog):
    for how in ("one_step", "forecast"):
        evaluation_p = chain.evaluated(chain.other(ExplosiveP, "explosive"), how=how)
        found = evaluation_p.load_generate()
        assert len(found) == TESTED
        assert found[["mean", "lower", "upper"]].isna().all(axis=None)
        metrics = evaluation_p.manifest.metrics
        names = ("rmse", "mae", "mase", "directional_accuracy", "interval_coverage", "interval_width")
        assert [metrics[name] for name in names] == [None] * 6
        (warning,) = metrics["warnings"]
        assert warning.startswith("The explosive model has no finite forecast for 2023-07-20")
        assert warning in caplog.text
    pytest.importorskip("matplotlib")
    assert evaluation_p.plot().get_lines()


def test_of_a_walk_forward_one_window_without_a_forecast_is_too_many(tmp_path):
    chain = Chain(tmp_path, SplitParams.expanding(n_windows=2, test_size=60))
    evaluation_p = chain.evaluated([chain.other(ExplosiveP, "explosive", window=window) for window in range(2)])
    assert evaluation_p.payload["mean"].isna().tolist() == [False] * 60 + [True] * 60
    assert evaluation_p.metrics["rmse"] is None
    (warning,) = evaluation_p.metrics["warnings"]
    assert warning.startswith("window 1: The explosive model has no finite forecast")


def test_a_score_that_is_not_finite_is_none_and_the_others_stay(tmp_path):
    chain = Chain(tmp_path, transform="log")
    evaluation_p = chain.evaluated(chain.other(UnsureP, "unsure"))
    made = evaluation_p.load_generate()
    assert np.isinf(made["upper"]).all()
    metrics = evaluation_p.manifest.metrics
    assert (metrics["interval_width"], metrics["interval_coverage"], metrics["warnings"]) == (None, 1.0, [])
    assert metrics["rmse"] > 0
    again = Chain(tmp_path, transform="log")
    pd.testing.assert_frame_equal(again.evaluated(again.other(UnsureP, "unsure")).load(), made)


def test_a_plot_shows_the_last_rows(chain):
    pytest.importorskip("matplotlib")
    evaluation_p = chain.evaluated(chain.linear(), coverage=0.9)
    ax = evaluation_p.plot(last=25)
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [25, 25]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["level", "90% interval", "linear, one step ahead"]
    assert evaluation_p.plot(ax=ax) is ax
    for last in (0, -1, True, 2.5):
        with pytest.raises(ParamsError, match="last must be a number of rows, 1 or more; got"):
            evaluation_p.plot(last=last)


# ---------------------------------------------------------------------------------------------------------------------
# Rows that did not come


def with_gaps(folder, every, *, seed=0, n=240, **series):
    """Return the chain of a random walk of which some values are missing."""
    levels = 50 + np.cumsum(np.random.default_rng(seed).normal(size=n))
    levels[every - 1 : -1 : every] = np.nan
    dates = pd.date_range("2023-01-01", periods=n, name="date")
    pd.DataFrame({"level": levels}, index=dates).to_csv(folder / "series.csv")
    return Chain(folder, SplitParams.hold_out(90), **series)


def test_nobody_is_judged_by_a_value_that_was_filled(tmp_path):
    chain = with_gaps(tmp_path, 3, missing="ffill")
    evaluation_p = chain.evaluated(chain.linear(lags=2))
    found, metrics = evaluation_p.load_generate(), evaluation_p.manifest.metrics
    came = pd.read_csv(tmp_path / "series.csv", index_col="date", parse_dates=True)["level"].iloc[-90:].notna()
    assert found.index.equals(came.index[came])
    assert (metrics["rows"], metrics["rows_left_out"]) == (61, 29)
    expected = chain.linear(lags=2).one_step()[came.to_numpy()]  # from a history with all rows
    assert found["mean"].tolist() == expected["mean"].tolist()
    assert metrics["rmse"] == scores.rmse(found["actual"].to_numpy(), found["mean"].to_numpy())


def test_nor_by_the_first_one_after_a_gap_that_was_interpolated(tmp_path):
    chain = with_gaps(tmp_path, 3, missing="interpolate")
    evaluation_p = chain.evaluated(chain.linear(lags=2))
    found = evaluation_p.payload
    filled = pd.to_datetime(chain.series_p.metrics["filled"])
    assert not found.index.isin(filled).any()
    assert not found.index.isin(filled + pd.Timedelta(days=1)).any()
    assert evaluation_p.metrics["rows_left_out"] == 90 - len(found) == 59


def test_a_gap_at_the_end_of_the_training_rows_spoils_the_first_test_row(tmp_path):
    chain = with_gaps(tmp_path, 150, missing="interpolate")
    evaluation_p = chain.evaluated(chain.baseline())
    assert evaluation_p.payload.index.equals(chain.baseline().test_rows.index[1:])


def test_where_all_test_rows_were_filled_there_is_nothing_to_judge_by(tmp_path):
    chain = with_gaps(tmp_path, 2, n=239, missing="interpolate")
    with pytest.raises(ForecastingError, match=r"nothing to judge linear by: 'level' is missing .* all of the 90 test"):
        chain.evaluated(chain.linear()).load_generate()


# ---------------------------------------------------------------------------------------------------------------------
# By which rows


def test_two_models_have_the_digest_of_their_rows_in_common(chain):
    digests = set()
    for model_p in (chain.linear(), chain.baseline()):
        evaluation_p = chain.evaluated(model_p)
        evaluation_p.load_generate()
        digests.add(evaluation_p.metrics["rows_digest"])
    assert len(digests) == 1


def test_other_rows_have_another_digest(tmp_path):
    digests = set()
    for tested in (40, 39):
        chain = Chain(tmp_path, SplitParams.hold_out(tested))
        evaluation_p = chain.evaluated(chain.baseline())
        evaluation_p.load_generate()
        digests.add(evaluation_p.metrics["rows_digest"])
    assert len(digests) == 2


# ---------------------------------------------------------------------------------------------------------------------
# A walk forward


@pytest.fixture
def walking(tmp_path):
    return Chain(tmp_path, SplitParams.expanding(n_windows=3, test_size=20))


def test_a_model_of_each_window_is_judged_by_the_rows_of_all(walking):
    models = [walking.linear(window=window) for window in (2, 0, 1)]
    evaluation_p = walking.evaluated(models)
    found, metrics = evaluation_p.payload, evaluation_p.metrics
    assert found["window"].tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert found.index.equals(walking.series_p.payload.index[-60:])
    parts = [walking.evaluated(model).payload for model in evaluation_p.models]
    assert found["mean"].tolist() == pd.concat(parts)["mean"].tolist()
    assert [model.params.window for model in evaluation_p.models] == [0, 1, 2]
    assert evaluation_p.model_p.params.window == 2
    assert metrics["model_keys"] == [model.key for model in evaluation_p.models]
    scaled = [
        abs(part["actual"] - part["mean"]) / scores.seasonal_scale(model.training_rows["level"].to_numpy())
        for part, model in zip(parts, evaluation_p.models, strict=True)
    ]
    assert metrics["mase"] == pytest.approx(pd.concat(scaled).mean())


def test_the_order_in_which_the_windows_are_passed_makes_no_difference(walking):
    models = [walking.linear(window=window) for window in range(3)]
    assert walking.evaluated(models).key == walking.evaluated(models[::-1]).key


def test_each_path_of_a_walk_forward_begins_at_the_end_of_its_training_rows(walking):
    models = [walking.baseline(window=window) for window in range(3)]
    found = walking.evaluated(models, how="forecast").payload
    levels = walking.series_p.payload["level"]
    assert found["mean"].unique().tolist() == levels.iloc[[-61, -41, -21]].tolist()


def test_the_scale_of_each_window_is_that_of_its_training_rows(walking):
    models = [walking.linear(window=window) for window in range(3)]
    found = walking.evaluated(models, season=3).payload
    expected = [scores.seasonal_scale(model.training_rows["level"].to_numpy(), 3) for model in models]
    assert found["scale"].tolist() == np.repeat(expected, 20).tolist()


def segments_of(line):
    """Return the lengths of the pieces of a line that are joined."""
    known = pd.Series(np.isfinite(np.asarray(line.get_ydata(), dtype=float)))
    return known[known].groupby((~known).cumsum()).size().tolist()


@pytest.mark.parametrize("how", ["one_step", "forecast"])
def test_a_plot_of_a_walk_forward_joins_no_windows(walking, how):
    pytest.importorskip("matplotlib")
    evaluation_p = walking.evaluated([walking.linear(window=window) for window in range(3)], how=how)
    ax = evaluation_p.plot()
    actual, forecast = ax.get_lines()[:2]
    assert (segments_of(actual), segments_of(forecast)) == ([60], [20, 20, 20])
    assert len(ax.collections[0].get_paths()) == 3 or len(ax.collections[0].get_paths()[0].to_polygons()) == 3
    assert segments_of(evaluation_p.plot(last=30).get_lines()[1]) == [10, 20]


def test_a_plot_of_paths_marks_where_they_begin(walking):
    pytest.importorskip("matplotlib")
    evaluation_p = walking.evaluated([walking.baseline(window=window) for window in range(3)], how="forecast")
    ax = evaluation_p.plot()
    levels = walking.series_p.payload["level"].iloc[[-61, -41, -21]]
    origins = ax.get_lines()[-1]
    assert (origins.get_linestyle(), origins.get_ydata().tolist()) == ("None", levels.tolist())
    assert pd.DatetimeIndex(origins.get_xdata()).equals(pd.DatetimeIndex(levels.index.tolist()))
    assert "forecast origin" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert evaluation_p.plot(last=30).get_lines()[-1].get_ydata().tolist() == levels.tolist()[-1:]  # in sight
    assert len(evaluation_p.plot(last=10).get_lines()) == 2
    one_step = walking.evaluated([walking.baseline(window=window) for window in range(3)]).plot()
    assert len(one_step.get_lines()) == 2


def test_windows_of_one_row_are_seen_in_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    chain = Chain(tmp_path, SplitParams.expanding(n_windows=3, test_size=1))
    evaluation_p = chain.evaluated([chain.baseline(window=window) for window in range(3)])
    points = evaluation_p.plot().get_lines()[-1]
    assert points.get_marker() == "."
    assert points.get_ydata().tolist() == evaluation_p.payload["mean"].tolist()


def test_doubts_say_of_which_window(walking):
    evaluation_p = walking.evaluated([walking.linear(kind=DoubtfulP, window=window) for window in range(2)])
    evaluation_p.load_generate()
    assert evaluation_p.metrics["warnings"] == ["window 0: It did not converge.", "window 1: It did not converge."]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (lambda chain: [chain.baseline(window=1)], "naive .window 1. has another class than linear .window 0."),
        (lambda chain: [chain.linear(window=1, lags=9)], "has another set of params than"),
        (lambda chain: [chain.linear(window=0)], "fitted for the same window .0.. Pass one for each"),
        (lambda chain: [Chain(chain.folder).linear(window=0)], "has another split than"),
        (lambda chain: [Chain(chain.folder, transform="log").linear()], "has another series than"),
        (lambda chain: ["linear"], "models must be a ModelP, or several; one is of type str"),
    ],
)
def test_models_that_are_not_one_model_of_several_windows_are_refused(walking, others, message):
    with pytest.raises(ParamsError, match=message):
        walking.evaluated([walking.linear(window=0), *others(walking)])


def test_no_model_is_refused(chain):
    with pytest.raises(ParamsError, match="There is no model to be judged"):
        chain.evaluated([])


@pytest.mark.parametrize("given", [3, None, 2.5])
def test_what_is_neither_a_model_nor_several_is_refused(tmp_path, given):
    with pytest.raises(
        ParamsError, match=f"or one for each window of its split in a list; got one of type {type(given).__name__}"
    ):
        EvaluationP(tmp_path, given)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"how": "two_step"}, "how must be 'one_step' or 'forecast'; got 'two_step'"),
        ({"coverage": 1.0}, "coverage must be above 0 and below 1; got 1.0"),
        ({"coverage": True}, "coverage must be"),
        ({"season": 0}, "season must be a whole number of rows, 1 or more; got 0"),
        ({"season": 1.5}, "season must be"),
    ],
)
def test_params_that_say_nothing_are_refused(params, message):
    with pytest.raises(ParamsError, match=message):
        EvaluationParams(**params)


def test_the_name_is_the_model_s(chain):
    evaluation_p = chain.evaluated(chain.linear("mine"))
    assert (evaluation_p.name, evaluation_p.payload_name) == ("mine", "mine_evaluation")
    assert list(evaluation_p.tracked_persistable_dependencies) == ["series", "split", "model"]
