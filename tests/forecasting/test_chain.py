"""The whole chain: made once, found again for little, and made again only where the data have changed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("optuna")
pytest.importorskip("statsmodels")

sys.path.insert(0, str(Path(__file__).parent))  # forecast_chain is for several files of tests

from forecast_chain import Chain, write_csv

from persistable.forecasting import ArimaP, ArimaParams, EvaluationP, LinearP, LinearStudyP, RankingP, load_champion
from persistable.studies import BestParamsP


def whole(folder):
    """Return every artifact of a chain, in the order in which they depend on each other."""
    chain = Chain(folder)
    on = {"series_p": chain.series_p, "split_p": chain.split_p}
    best_p = BestParamsP(LinearStudyP(folder, **on), n_trials=3)
    models = [
        chain.baseline(),
        LinearP(folder, best_p=best_p, payload_name="linear", **on),
        ArimaP(folder, ArimaParams(order=(1, 0, 0)), payload_name="arima", **on),
    ]
    evaluations = [EvaluationP(folder, model) for model in models]
    return [chain.series_p, chain.split_p, best_p, *models, *evaluations, RankingP(folder, evaluations)]


def test_asking_for_the_ranking_makes_all_of_it_and_nothing_twice(tmp_path):
    ranking_p = whole(tmp_path)[-1]
    ranking_p.load_generate()
    assert all(persistable.exists() for persistable in whole(tmp_path))
    made = {persistable.payload_name: persistable.manifest.generated for persistable in whole(tmp_path)}
    for persistable in whole(tmp_path):
        persistable.load_generate()
    assert {persistable.payload_name: persistable.manifest.generated for persistable in whole(tmp_path)} == made


def test_a_month_of_new_rows_makes_again_what_depends_on_them_and_the_log_says_why(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "series.csv", seed=len(name))
    store = tmp_path / "artifacts"
    store.mkdir()

    def chain_of(name):
        (store / "series.csv").write_bytes((tmp_path / name / "series.csv").read_bytes())
        return whole(store)

    for name in ("one", "other"):
        chain_of(name)[-1].load_generate()
    frame = pd.read_csv(tmp_path / "one" / "series.csv")
    later = frame.iloc[-30:].assign(date=pd.date_range("2023-08-29", periods=30).strftime("%Y-%m-%d"))
    before = {persistable.payload_name: persistable.key for persistable in chain_of("one")}
    pd.concat([frame, later]).to_csv(tmp_path / "one" / "series.csv", index=False)

    assert not any(persistable.exists() for persistable in chain_of("one"))
    assert all(persistable.exists() for persistable in chain_of("other")), "another series is none of its business"
    grown = chain_of("one")
    grown[-1].load_generate()
    for persistable in grown:
        log = (persistable.persist_filepath / "generation.log").read_text()
        was = before[persistable.payload_name]
        assert persistable.key != was
        assert re.search(r"but for (\w+\.)*content:", log), log


def test_a_champion_is_loaded_without_the_script_and_goes_on_from_the_last_row(tmp_path):
    ranking_p = whole(tmp_path)[-1]
    ranking_p.deploy()
    champion = load_champion(tmp_path)
    assert champion.family == ranking_p.champion_p.forecaster_class.family
    last = ranking_p.champion_p.series_p.payload
    exogenous = pd.DataFrame({"driver": [0.0] * 3})
    ahead = champion.forecast(3, exogenous)
    assert ahead.index[0] == last.index[-1] + pd.Timedelta(days=1)
    then = load_champion(tmp_path, latest=False)
    assert then.history.index[-1] == ranking_p.champion_p.training_rows.index[-1]
    known = then.extended(ranking_p.champion_p.test_rows)
    pd.testing.assert_frame_equal(known.forecast(3, exogenous), ahead, check_exact=True)


def test_what_is_found_and_not_opened_imports_none_of_the_libraries(tmp_path, run_python):
    whole(tmp_path)[-1].load_generate()
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_chain import whole
        for name in ("optuna", "statsmodels"):
            [sys.modules.pop(module) for module in list(sys.modules) if module.partition(".")[0] == name]
        chain = whole(Path({str(tmp_path)!r}))
        assert all(persistable.exists() for persistable in chain)
        assert len(chain[2].load_generate()) == 2
        print(chain[-1].load_generate()["champion"], chain[-1].leaderboard().count("n/a"))
        print({{"torch", "statsmodels", "optuna"}} & set(sys.modules))
    """
    assert run_python(code).splitlines()[1:] == ["set()"]
