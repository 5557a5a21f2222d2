"""A ranking names one champion, the simplest of those that noise does not tell apart, and compares like with like."""

from __future__ import annotations

import html.parser
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persistable import ForecastingError, ParamsError
from persistable.forecasting import (
    EvaluationP,
    LinearP,
    LinearParams,
    RankingP,
    RankingParams,
    SplitParams,
    load_champion,
    ranking as ranking_module,
)
from persistable.forecasting.scores import diebold_mariano

sys.path.insert(0, str(Path(__file__).parent))  # forecast_chain is for several files of tests

from forecast_chain import Chain, DoubtfulP, ExplosiveP


def contest(folder, coefficient, **params):
    chain = Chain(folder, SplitParams.hold_out(80), coefficient=coefficient)
    models = [chain.linear("small", lags=1), chain.linear("middle", lags=2), chain.linear("large", lags=5)]
    return chain.ranked(chain.baseline(), chain.baseline("drift"), *models, chain.linear("bad", lags=0), **params)


@pytest.fixture(scope="module")
def even_p(tmp_path_factory):
    """Three models that are equally good, of which the largest has the lowest RMSE, and a bad one."""
    return contest(tmp_path_factory.mktemp("even"), 0.8)


@pytest.fixture(scope="module")
def clear_p(tmp_path_factory):
    """Models that are better than the baselines."""
    return contest(tmp_path_factory.mktemp("clear"), 0.5)


@pytest.fixture(scope="module")
def walk_p(tmp_path_factory):
    """A random walk, of which no model can say more than the naive forecast."""
    return contest(tmp_path_factory.mktemp("walk"), 1.0)


def flat(text):
    """Return a text without its line breaks."""
    return " ".join(text.split())


def by_name(ranking):
    return {entry["name"]: entry for entry in [*ranking["models"], *ranking["baselines"]]}


# ---------------------------------------------------------------------------------------------------------------------
# The rule


def test_of_models_that_noise_does_not_tell_apart_the_simplest_is_champion(even_p):
    ranking = even_p.payload
    found = by_name(ranking)
    gap = found["small"]["metrics"]["rmse"] / found["large"]["metrics"]["rmse"] - 1
    assert 0 < gap < 0.0015  # by 0.1 %, nobody is crowned
    assert (ranking["reference"], ranking["champion"]) == ("large", "small")
    assert found["small"]["n_parameters"] < found["middle"]["n_parameters"] < found["large"]["n_parameters"]
    assert [found[name]["tie"] for name in ("large", "small", "middle", "bad")] == [True, True, True, False]


def test_the_next_by_metric_are_challenger_and_candidate_and_others_have_no_role(even_p):
    entries = even_p.payload["models"]
    assert [(entry["rank"], entry["name"], entry["role"]) for entry in entries] == [
        (1, "small", "champion"),
        (2, "large", "challenger"),
        (3, "middle", "candidate"),
        (4, "bad", None),
    ]
    assert [(entry["rank"], entry["name"], entry["role"]) for entry in even_p.payload["baselines"]] == [
        (1, "drift", None),
        (2, "naive", None),
    ]


def test_p_values_are_those_of_the_differences_to_the_reference(even_p):
    losses = {
        name: (evaluation.payload["actual"] - evaluation.payload["mean"]).to_numpy() ** 2
        for name, evaluation in even_p.evaluations.items()
    }
    for name, entry in by_name(even_p.payload).items():
        expected = None if name == "large" else diebold_mariano(losses[name], losses["large"])
        assert entry["p_value"] == expected
    assert even_p.payload["p_value_baseline"] == diebold_mariano(losses["small"], losses["drift"])


def test_a_difference_that_is_no_noise_is_no_tie(tmp_path):
    chain = Chain(tmp_path, exogenous=("driver",))
    ranking = chain.ranked(chain.baseline(), chain.linear("driven", lags=1), chain.linear("flat", lags=0)).payload
    assert ranking["champion"] == "driven"
    assert [entry["tie"] for entry in ranking["models"]] == [False, False]


def test_equal_models_are_ranked_by_name(tmp_path):
    chain = Chain(tmp_path)
    ranking_p = chain.ranked(chain.baseline(), chain.linear("b"), chain.linear("a"))
    assert [entry["name"] for entry in ranking_p.payload["models"]] == ["a", "b"]
    assert [entry["p_value"] for entry in ranking_p.payload["models"]] == [None, 1.0]


@pytest.mark.parametrize("metric", ["mae", "mase"])
def test_other_metrics_have_losses_of_their_own(clear_p, metric):
    ranking_p = RankingP(clear_p.data_dir, list(clear_p.evaluations.values()), RankingParams(metric=metric))
    losses = {
        name: abs(evaluation.payload["actual"] - evaluation.payload["mean"]).to_numpy()
        / (evaluation.payload["scale"].to_numpy() if metric == "mase" else 1)
        for name, evaluation in clear_p.evaluations.items()
    }
    ranking = ranking_p.payload
    reference = ranking["reference"]
    assert by_name(ranking)["bad"]["p_value"] == diebold_mariano(losses["bad"], losses[reference])
    values = {entry["name"]: entry["metrics"][metric] for entry in ranking["models"]}
    assert min(values, key=values.get) == reference
    assert ranking_p.key != clear_p.key


def test_direction_is_ranked_the_other_way_round(clear_p):
    ranking = RankingP(
        clear_p.data_dir, list(clear_p.evaluations.values()), RankingParams(metric="directional_accuracy")
    ).payload
    values = {entry["name"]: entry["metrics"]["directional_accuracy"] for entry in ranking["models"]}
    assert max(values.values()) == values[ranking["reference"]]
    assert [entry["name"] for entry in ranking["baselines"]] == ["drift", "naive"]  # which has no direction
    assert by_name(ranking)["naive"]["p_value"] is None


def test_direction_needs_a_baseline_that_has_one(tmp_path):
    chain = Chain(tmp_path)
    with pytest.raises(ForecastingError, match=r"No baseline has a directional accuracy.*kind='drift'"):
        chain.ranked(chain.baseline(), chain.linear(), metric="directional_accuracy").load_generate()


def test_a_path_of_one_window_tells_nothing(tmp_path):
    chain = Chain(tmp_path)
    ranking = chain.ranked(chain.baseline(), chain.linear(), chain.linear("large", lags=7), how="forecast").payload
    assert (ranking["how"], ranking["champion"], ranking["beats_baseline"]) == ("forecast", "linear", False)
    assert ranking["p_value_baseline"] == 1.0


def test_walks_forward_are_compared_window_by_window(tmp_path):
    chain = Chain(tmp_path, SplitParams.expanding(n_windows=4, test_size=10))
    walks = [[make(window=window) for window in range(4)] for make in (chain.baseline, chain.linear)]
    ranking_p = chain.ranked(*walks, how="forecast")
    squares = [
        (evaluation.payload["actual"] - evaluation.payload["mean"]).to_numpy() ** 2
        for evaluation in ranking_p.evaluations.values()
    ]
    means = [square.reshape(4, 10).mean(axis=1) for square in squares]
    assert by_name(ranking_p.payload)["naive"]["p_value"] == pytest.approx(diebold_mariano(*means))
    assert ranking_p.payload["rows"] == 40
    assert ranking_p.champion_p.params.window == 3


def test_the_p_value_of_mase_is_that_of_errors_scaled_by_their_window(tmp_path):
    levels = np.random.default_rng(3).normal(size=240) * np.repeat([1.0, 9.0], [140, 100])
    dates = pd.date_range("2023-01-01", periods=240)
    pd.DataFrame({"date": dates, "level": levels}).to_csv(tmp_path / "series.csv", index=False)
    chain = Chain(tmp_path, SplitParams.sliding(n_windows=2, test_size=50, train_size=60))
    walks = [[make(window=window) for window in range(2)] for make in (chain.baseline, chain.linear)]
    ranking_p = chain.ranked(*walks, metric="mase")
    frames = {name: evaluation.payload for name, evaluation in ranking_p.evaluations.items()}
    assert frames["naive"]["scale"].nunique() == 2
    scaled = [(abs(frame["actual"] - frame["mean"]) / frame["scale"]).to_numpy() for frame in frames.values()]
    assert by_name(ranking_p.payload)["naive"]["p_value"] == pytest.approx(diebold_mariano(*scaled))
    assert by_name(ranking_p.payload)["naive"]["metrics"]["mase"] == pytest.approx(scaled[0].mean())


def test_paths_that_are_equally_good_are_told_apart_as_rarely_as_alpha_says():
    generator = np.random.default_rng(4)

    def losses_of_a_walk():
        frame = {"actual": np.cumsum(generator.normal(size=(2, 40)), axis=1).ravel(), "window": np.repeat([0, 1], 40)}
        frame = pd.DataFrame({**frame, "mean": 0.0, "previous": 0.0, "scale": 1.0})
        return ranking_module._losses(frame, "rmse", "forecast")

    rejected = [diebold_mariano(losses_of_a_walk(), losses_of_a_walk()) < 0.05 for _ in range(400)]
    assert np.mean(rejected) < 0.08


def test_a_difference_that_speaks_for_the_other_model_is_no_reason():
    windows, others = np.array([1.0, 1.0, 1.0, 1.0, 3.0]), np.array([2.0, 2.1, 2.0, 1.9, 2.8])
    assert ranking_module._p_value(windows, others, True) == diebold_mariano(windows, others) < 0.05
    assert ranking_module._p_value(windows, others, False) == 1.0
    assert ranking_module._p_value(others, windows, True) == 1.0


def test_a_model_that_cannot_forecast_comes_last_and_says_why(tmp_path):
    chain = Chain(tmp_path)
    ranking_p = chain.ranked(chain.baseline(), chain.other(ExplosiveP, "a"), chain.linear("b", lags=7))
    found = ranking_p.load_generate()
    assert [(entry["name"], entry["role"]) for entry in found["models"]] == [("b", "champion"), ("a", "challenger")]
    last = found["models"][1]
    assert (last["p_value"], last["tie"], last["metrics"]["rmse"]) == (None, False, None)
    assert "! a: The explosive model has no finite forecast" in flat(ranking_p.leaderboard())
    row = next(line for line in ranking_p.leaderboard().splitlines() if " a !" in line)
    assert row.split()[-6:] == ["n/a"] * 6
    assert np.isnan(ranking_p.to_frame().loc["a", "rmse"])
    assert "no finite forecast" in ranking_p._repr_html_()


@pytest.mark.parametrize("metric", ["rmse", "mase", "directional_accuracy"])
def test_where_no_model_can_forecast_there_is_no_champion(tmp_path, metric):
    chain = Chain(tmp_path)
    ranking_p = chain.ranked(chain.baseline("drift"), chain.other(ExplosiveP, "explosive"), metric=metric)
    with pytest.raises(
        ForecastingError, match=rf"No model has finite forecasts .* {metric}\. explosive: The explosive mod"
    ):
        ranking_p.load_generate()


@pytest.mark.parametrize("every", [2, 3])
def test_knowing_both_ends_of_a_gap_beats_no_baseline(tmp_path, every):
    """Of a random walk there is nothing to be known but what interpolation gives away, which was enough in half."""
    n = 1199 if every == 2 else 1200
    for seed in range(8):
        folder = tmp_path / str(seed)
        folder.mkdir()
        levels = 50 + np.cumsum(np.random.default_rng(seed).normal(size=1200))[:n]
        levels[every - 1 : -1 : every] = np.nan
        frame = pd.DataFrame({"date": pd.date_range("2023-01-01", periods=n), "level": levels})
        frame.to_csv(folder / "series.csv", index=False)
        chain = Chain(folder, SplitParams.hold_out(600), missing="interpolate")
        ranking_p = chain.ranked(chain.baseline(), chain.linear(lags=2))
        if every == 2:
            with pytest.raises(ForecastingError, match="There is nothing to judge"):
                ranking_p.load_generate()
        else:
            assert ranking_p.load_generate()["beats_baseline"] is False


# ---------------------------------------------------------------------------------------------------------------------
# Against the baseline


def test_a_champion_that_is_better_by_more_than_noise_beats_the_baseline(clear_p):
    assert clear_p.payload["beats_baseline"] is True
    assert clear_p.payload["p_value_baseline"] < 0.05
    assert "It beats the baseline drift (p = 0.0" in flat(clear_p.leaderboard())


def test_a_champion_that_is_worse_than_the_baseline_says_so(walk_p):
    ranking = walk_p.payload
    assert ranking["beats_baseline"] is False
    assert by_name(ranking)["drift"]["metrics"]["rmse"] < by_name(ranking)["small"]["metrics"]["rmse"]
    assert "It does not beat the baseline drift, which is better (RMSE 1.6819" in flat(walk_p.leaderboard())


def test_a_champion_that_may_be_better_by_chance_does_not_beat_the_baseline(even_p):
    ranking = even_p.payload
    assert by_name(ranking)["drift"]["metrics"]["rmse"] > by_name(ranking)["small"]["metrics"]["rmse"]
    assert ranking["beats_baseline"] is False
    assert "It does not beat the baseline drift: the difference may be chance (p = 0.3" in flat(even_p.leaderboard())


def test_the_manifest_says_who_is_champion(clear_p):
    clear_p.load_generate()
    assert clear_p.manifest.metrics == {
        "champion": "small",
        "beats_baseline": True,
        "rmse": clear_p.payload["models"][0]["metrics"]["rmse"],
    }
    assert clear_p.champion_p is clear_p.evaluations["small"].model_p


# ---------------------------------------------------------------------------------------------------------------------
# What is not compared


def test_models_that_were_judged_by_fewer_rows_are_not_compared(tmp_path):
    many, few = (Chain(tmp_path, SplitParams.hold_out(rows)) for rows in (80, 80 - 59))
    evaluations = [many.evaluated(many.baseline()), few.evaluated(few.linear())]
    with pytest.raises(
        ForecastingError, match=r"linear: number of rows 21; naive: number of rows 80\. Evaluate them by"
    ):
        RankingP(tmp_path, evaluations).load_generate()


def test_series_that_differ_in_their_transform_or_exogenous_columns_only_are_compared(tmp_path):
    plain, returns, driven = (Chain(tmp_path, **series) for series in (
        {}, {"transform": "log_return"}, {"exogenous": ("driver",)},
    ))  # fmt: skip
    models = [plain.linear("plain"), returns.linear("returns"), driven.linear("driven", lags=1)]
    ranking_p = plain.ranked(plain.baseline(), returns.baseline("drift"), *models)
    found = ranking_p.payload
    assert found["champion"] == "driven"
    assert {entry["name"] for entry in found["models"]} == {"plain", "returns", "driven"}
    assert found["rows_digest"] == ranking_p.evaluations["returns"].metrics["rows_digest"]
    assert "split" not in found
    assert load_champion(ranking_p.deploy()).forecast(1, pd.DataFrame({"driver": [0.0]}))["mean"].notna().all()


def test_errors_that_are_scaled_by_other_training_rows_are_not_compared_by_their_scale(tmp_path):
    splits = (SplitParams.hold_out(40), SplitParams.sliding(n_windows=1, test_size=40, train_size=60))
    long, short = (Chain(tmp_path, split) for split in splits)
    evaluations = [long.evaluated(long.baseline()), short.evaluated(short.linear())]
    assert RankingP(tmp_path, evaluations).payload["rows"] == 40
    with pytest.raises(ForecastingError, match=r"linear: scale of the errors 1\.\d+; naive: scale of the errors 1\."):
        RankingP(tmp_path, evaluations, RankingParams(metric="mase")).load_generate()


def test_models_of_other_windows_are_not_compared(tmp_path):
    chain = Chain(tmp_path, SplitParams.expanding(n_windows=2, test_size=20))
    fewer = chain.ranked([chain.baseline(window=window) for window in range(2)], chain.linear(window=1))
    with pytest.raises(ForecastingError, match="linear: number of rows 20; naive: number of rows 40"):
        fewer.load_generate()
    others = chain.ranked(chain.baseline(window=0), chain.linear(window=1))
    with pytest.raises(ForecastingError, match=r"linear: digest of the rows \w+; naive: digest of the rows"):
        others.load_generate()


def test_models_that_were_judged_in_another_way_are_not_compared(tmp_path):
    chain = Chain(tmp_path)
    naive_p = chain.evaluated(chain.baseline())
    with pytest.raises(ForecastingError, match="linear: how forecast; naive: how one_step"):
        RankingP(tmp_path, [naive_p, chain.evaluated(chain.linear(), how="forecast")])
    with pytest.raises(ForecastingError, match="linear: season 7; naive: season 1"):
        RankingP(tmp_path, [naive_p, chain.evaluated(chain.linear(), season=7)])
    with pytest.raises(ForecastingError, match=r"linear: coverage 0\.5; naive: coverage 0\.95"):
        RankingP(tmp_path, [naive_p, chain.evaluated(chain.linear(), coverage=0.5)])


def test_a_ranking_needs_a_baseline_and_a_model(tmp_path):
    chain = Chain(tmp_path)
    with pytest.raises(ParamsError, match=r"a baseline \(BaselineP\) is missing among linear"):
        chain.ranked(chain.linear())
    with pytest.raises(ParamsError, match="a model that is no baseline is missing among naive, drift"):
        chain.ranked(chain.baseline(), chain.baseline("drift"))
    with pytest.raises(ParamsError, match="is missing among none"):
        chain.ranked()
    with pytest.raises(ParamsError, match="evaluations must be EvaluationP; one is of type LinearP"):
        RankingP(tmp_path, [chain.linear()])
    with pytest.raises(
        ParamsError, match=r"evaluations must be several EvaluationP, in a list: .*; got one of type Ev"
    ):
        RankingP(tmp_path, chain.evaluated(chain.linear()))


def test_two_models_of_one_name_are_refused(tmp_path):
    chain = Chain(tmp_path)
    with pytest.raises(ParamsError, match=r"Two models are called 'linear'.*payload_name='linear_2'"):
        chain.ranked(chain.baseline(), chain.linear(lags=1), chain.linear(lags=2))


@pytest.mark.parametrize("params", [{"metric": "r2"}, {"alpha": 0}, {"alpha": 1.0}, {"alpha": True}])
def test_params_that_say_nothing_are_refused(params):
    with pytest.raises(ParamsError, match=f"{next(iter(params))} must be .*; got"):
        RankingParams(**params)


# ---------------------------------------------------------------------------------------------------------------------
# To be looked at


def test_the_payload_is_found_again_and_nothing_is_fitted_for_it(clear_p):
    made = clear_p.payload
    evaluations = [
        EvaluationP(clear_p.data_dir, each.models, each.params) for each in reversed(clear_p.evaluations.values())
    ]
    again_p = RankingP(clear_p.data_dir, evaluations)
    assert again_p.load() == made == json.loads(json.dumps(made))
    assert again_p.leaderboard() == clear_p.leaderboard()


def test_the_leaderboard_is_aligned_and_says_what_does_not_apply(even_p):
    lines = even_p.leaderboard().splitlines()
    assert lines[0] == "80 test rows, one step ahead, by RMSE"
    assert lines[1].split() == ["rank", "role", "name", "RMSE", "MAE", "MASE", "dir.", "cov.", "p"]
    table = [line for line in lines[1:-1] if not line.startswith("-")]
    ends = [line.index(cell) + len(cell) for line, cell in zip(table, ("RMSE", "1.6904", "1.6887"), strict=False)]
    assert len(set(ends)) == 1
    assert "n/a" in next(line for line in lines if " naive " in line)
    assert max(map(len, lines)) <= 80
    end = even_p.leaderboard().partition("Champion")[2]
    assert "(p = 0.391)" in end  # not in two lines
    assert all(line.startswith("  ") for line in end.splitlines()[1:])
    assert flat("Champion" + end) == (
        "Champion: small: within the noise of large, which has the lowest RMSE (p = 0.913, alpha 0.05), and the "
        "simplest of those that are (2 parameters; large has 6). It does not beat the baseline drift: the difference "
        "may be chance (p = 0.391)."
    )


def test_a_doubtful_model_keeps_its_place_and_carries_its_warning(tmp_path):
    chain = Chain(tmp_path)
    ranking_p = chain.ranked(chain.baseline(), chain.linear("doubtful", kind=DoubtfulP))
    assert ranking_p.payload["models"][0]["warnings"] == ["It did not converge."]
    assert ranking_p.payload["champion"] == "doubtful"
    text = ranking_p.leaderboard()
    assert "doubtful !" in text
    assert "! doubtful: It did not converge." in text
    assert max(map(len, text.splitlines())) <= 80
    assert "Champion: doubtful: the only model." in text


def test_what_is_long_is_wrapped(tmp_path):
    class VerboseP(LinearP):
        def _generate_payload(self):
            payload = super()._generate_payload()
            self._warn("It " + "did not converge, and " * 9 + "so on.")
            return payload

    chain = Chain(tmp_path, exogenous=("driver",))
    ranking_p = chain.ranked(
        chain.baseline(), chain.linear("talker", kind=VerboseP, lags=1), chain.linear("flat", lags=0)
    )
    lines = ranking_p.leaderboard().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("! talker: It did not"))
    assert max(map(len, lines)) <= 80
    assert lines[begin + 1].startswith("  ")
    assert "direction" in ranking_p._repr_html_()  # which has room


def test_the_table_has_a_row_for_each_model(even_p):
    frame = even_p.to_frame()
    assert list(frame.index) == ["small", "large", "middle", "bad", "drift", "naive"]
    assert frame.loc["small", "role"] == "champion"
    assert frame["rmse"].tolist() == [entry["metrics"]["rmse"] for entry in by_name(even_p.payload).values()]
    assert frame["p_value"].isna().tolist() == [False, True, False, False, False, False]
    assert frame["directional_accuracy"].isna().tolist() == [False] * 5 + [True]


def test_the_plot_has_a_bar_for_each_model_beside_the_baseline(even_p):
    pytest.importorskip("matplotlib")
    ax = even_p.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "small (champion)",
        "large (challenger)",
        "middle (candidate)",
        "bad",
    ]
    rmse = even_p.to_frame()["rmse"]
    gaps = 100 * (rmse[:4] / rmse["drift"] - 1)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(gaps.tolist())
    assert ax.get_lines()[0].get_xdata()[0] == 0
    assert "less is better" in ax.get_xlabel()
    assert even_p.plot(ax) is ax


class Balance(html.parser.HTMLParser):
    """Raises unless each tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_card_is_whole_and_escaped_and_makes_nothing(tmp_path):
    class MarkupP(LinearP):
        def _generate_payload(self):
            payload = super()._generate_payload()
            self._warn("a < b & <script>")
            return payload

    chain = Chain(tmp_path)
    model_p = MarkupP(tmp_path, LinearParams(), series_p=chain.series_p, split_p=chain.split_p, payload_name="marked")
    ranking_p = chain.ranked(chain.baseline(), model_p)
    assert "not ranked yet" in ranking_p._repr_html_()
    assert not ranking_p.exists()
    ranking_p.load_generate()
    for found in (ranking_p._repr_html_(), chain.ranked(chain.baseline(), model_p)._repr_html_()):
        parser = Balance()
        parser.feed(found)
        assert not parser.open
        assert "<script>" not in found
        assert "a < b & <script>" in parser.text
        assert "Champion: marked" in parser.text
