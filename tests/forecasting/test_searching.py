"""Studies search for the settings of a model by rows that no evaluation sees."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("optuna")

sys.path.insert(0, str(Path(__file__).parent))  # forecast_chain is for several files of tests

from forecast_chain import Chain, write_csv

from persistable import ParamsError
from persistable.forecasting import (
    ArimaP,
    ArimaParams,
    ArimaStudyP,
    Linear,
    LinearP,
    LinearParams,
    LinearStudyP,
    LstmParams,
    LstmStudyP,
    SplitP,
    SplitParams,
)
from persistable.studies import BestParamsP, Categorical, Int


@pytest.fixture
def chain(tmp_path):
    return Chain(tmp_path)


def study_of(chain, kind=LinearStudyP, **changes):
    params = kind.default_params(**changes)
    return kind(chain.folder, params, series_p=chain.series_p, split_p=chain.split_p)


@pytest.mark.parametrize("kind", [LinearStudyP, ArimaStudyP, LstmStudyP])
def test_what_is_searched_by_default_are_settings_of_the_model(kind):
    params = kind.default_params()
    lowest = {name: getattr(dimension, "low", None) for name, dimension in params.search_space.items()}
    first = {
        name: dimension.choices[0] if isinstance(dimension, Categorical) else lowest[name]
        for name, dimension in params.search_space.items()
    }
    settings = kind.forecaster_class.with_choice(params.model, first)
    assert settings != params.model
    assert type(settings) is kind.params_class


@pytest.mark.parametrize("how", ["one_step", "forecast"])
def test_a_trial_is_worth_the_error_on_the_validation_rows(chain, how):
    study = study_of(chain, search_space={"lags": Int(3, 3)}, how=how).load_generate(n_trials=1)
    train, test = chain.split_p.validation_rows()
    model = Linear(Linear.fit(train, LinearParams(lags=3)), train)
    found = model.one_step(test) if how == "one_step" else model.forecast(len(test), test)
    assert study.trials[0].value == np.sqrt(np.mean((found["mean"] - test["level"]) ** 2))


def test_rows_of_the_test_have_no_say(tmp_path):
    values = []
    for number, change in enumerate((0.0, 50.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        frame = pd.read_csv(write_csv(folder / "series.csv"))
        frame.loc[frame.index[-40:], "level"] += change
        frame.to_csv(folder / "series.csv", index=False)
        values.append([trial.values for trial in study_of(Chain(folder)).load_generate(n_trials=4).trials])
    assert values[0] == values[1]


def test_a_model_takes_what_the_study_has_chosen(chain):
    study_p = study_of(chain, search_space={"lags": Int(1, 6)})
    best_p = BestParamsP(study_p, n_trials=3)
    model_p = LinearP(
        chain.folder, LinearParams(calendar=("weekday",)), series_p=chain.series_p, split_p=chain.split_p, best_p=best_p
    )
    chosen = best_p.load_generate()["lags"]
    assert model_p.settings == LinearParams(lags=chosen, calendar=("weekday",))
    assert model_p.load_generate()["lags"] == list(range(1, chosen + 1))
    given = LinearP(chain.folder, LinearParams(calendar=("weekday",)), series_p=chain.series_p, split_p=chain.split_p)
    assert given.key != model_p.key


def test_the_choice_stays_when_the_study_grows(chain):
    study_p = study_of(chain)
    model_p = LinearP(
        chain.folder, series_p=chain.series_p, split_p=chain.split_p, best_p=BestParamsP(study_p, n_trials=3)
    )
    model_p.load_generate()
    made, payload = model_p.manifest.generated, model_p.payload
    study_p.load_generate(n_trials=8)
    again = LinearP(
        chain.folder, series_p=chain.series_p, split_p=chain.split_p, best_p=BestParamsP(study_of(chain), n_trials=3)
    )
    assert again.load() == payload
    assert again.manifest.generated == made


def test_the_orders_of_an_arima_are_searched_by_their_letters(tmp_path):
    pytest.importorskip("statsmodels")
    chain = Chain(tmp_path)
    study_p = study_of(chain, ArimaStudyP, search_space={"p": Int(0, 1), "q": Int(0, 1)})
    model_p = ArimaP(
        tmp_path, ArimaParams(), series_p=chain.series_p, split_p=chain.split_p, best_p=BestParamsP(study_p, n_trials=2)
    )
    chosen = model_p.best_p.load_generate()
    assert model_p.load_generate()["order"] == [chosen["p"], 0, chosen["q"]]


def test_a_network_reports_each_epoch_so_that_a_trial_can_be_pruned(chain):
    pytest.importorskip("torch")
    study = study_of(
        chain,
        LstmStudyP,
        model=LstmParams(epochs=3, lags=5, patience=3),
        search_space={"hidden_size": Int(2, 4)},
    ).load_generate(n_trials=2)
    assert [sorted(trial.intermediate_values) for trial in study.trials] == [[1, 2, 3]] * 2


def test_bad_orders_are_refused(chain, tmp_path):
    with pytest.raises(ParamsError, match="how must be 'one_step' or 'forecast', got 'path'"):
        LinearStudyP.default_params(how="path")
    with pytest.raises(ParamsError, match="A trial is worth an error, which is minimized"):
        LinearStudyP.default_params(directions="maximize")
    (tmp_path / "other").mkdir()
    write_csv(tmp_path / "other" / "series.csv", seed=1)
    other = Chain(tmp_path / "other")
    with pytest.raises(ParamsError, match="Pass the series that it was made with"):
        LinearStudyP(tmp_path, series_p=chain.series_p, split_p=other.split_p)
    with pytest.raises(ParamsError, match="has no setting depth that a study could choose"):
        Linear.with_choice(LinearParams(), {"depth": 3})


def test_a_model_of_a_study_has_what_the_study_was_made_with(chain):
    study_p = study_of(chain, model=LinearParams(calendar=("weekday",)), search_space={"lags": Int(1, 3)})
    model_p = LinearP(
        chain.folder, series_p=chain.series_p, split_p=chain.split_p, best_p=BestParamsP(study_p, n_trials=1)
    )
    assert model_p.settings.calendar == ("weekday",)
    assert model_p.params is not study_p.params.model


def test_a_study_that_was_judged_by_another_split_chooses_for_nobody_else(chain):
    split_p = SplitP(chain.folder, SplitParams.expanding(2, 10), series_p=chain.series_p)
    with pytest.raises(ParamsError, match="the study may have seen the rows that the model is to be judged by"):
        LinearP(chain.folder, series_p=chain.series_p, split_p=split_p, best_p=BestParamsP(study_of(chain), n_trials=1))


def test_what_cannot_be_searched_is_refused_at_once(chain):
    for space in ({"lagz": Int(1, 3)}, {"window": Int(0, 1)}):
        with pytest.raises(ParamsError, match=r"has no setting \w+ that a study could choose"):
            study_of(chain, search_space=space)
    with pytest.raises(ParamsError, match="LinearStudyP searches for LinearParams, but model is of type ArimaParams"):
        study_of(chain, model=ArimaParams())


def test_what_was_filled_is_not_judged(tmp_path):
    frame = pd.read_csv(write_csv(tmp_path / "series.csv"))
    frame.loc[185, "level"] = np.nan  # the validation rows are 160 to 199
    frame.to_csv(tmp_path / "series.csv", index=False)
    chain = Chain(tmp_path, missing="interpolate")
    study = study_of(chain, search_space={"lags": Int(3, 3)}).load_generate(n_trials=1)
    train, test = chain.split_p.validation_rows()
    found = Linear(Linear.fit(train, LinearParams(lags=3)), train).one_step(test)
    errors = (found["mean"] - test["level"]).drop([test.index[25], test.index[26]])
    assert study.trials[0].value == pytest.approx(np.sqrt(np.mean(errors**2)))
