"""An evaluation says how good a model is on rows that it has not seen, and by which rows that was."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persistable import ParamsError
from persistable.forecasting import EvaluationParams, SplitParams, scores

sys.path.insert(0, str(Path(__file__).parent))  # forecast_chain is for several files of tests

from forecast_chain import TESTED, Chain, DoubtfulP


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
    assert list(found.columns) == ["actual", "previous", "mean", "lower", "upper", "window"]
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


def test_a_plot_shows_the_last_rows(chain):
    pytest.importorskip("matplotlib")
    evaluation_p = chain.evaluated(chain.linear(), coverage=0.9)
    ax = evaluation_p.plot(last=25)
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [25, 25]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["level", "90% interval", "linear, one step ahead"]
    assert evaluation_p.plot(ax=ax) is ax


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
