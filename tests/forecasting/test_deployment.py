"""One champion is deployed, and whoever has the folder can load it: elsewhere, later, and without its author's code."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from persistable import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    ForecastingError,
    LocalStore,
    ParamsError,
    forecasting,
)
from persistable.forecasting import RankingP, SplitParams, load_champion

sys.path.insert(0, str(Path(__file__).parent))  # forecast_chain is for several files of tests

from forecast_chain import Average, AverageP, Chain, DoubtfulP


def ranked_in(folder):
    chain = Chain(folder, transform="log_return", exogenous=("driver",))
    return chain.ranked(chain.baseline(), chain.linear("small", lags=1), chain.linear("large", lags=7))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which a ranking has been made."""
    folder = tmp_path_factory.mktemp("made")
    ranked_in(folder).load_generate()
    return folder


@pytest.fixture
def ranking_p(made, tmp_path):
    """The ranking in a folder of its own, with nothing deployed yet."""
    return ranked_in(shutil.copytree(made, tmp_path / "here"))


def make(folder):
    folder.mkdir()
    return folder


def record_in(folder, name="deployment.json"):
    return json.loads((Path(folder) / name).read_text())


def test_the_champion_that_is_loaded_forecasts_as_the_one_that_was_fitted(ranking_p):
    where = ranking_p.deploy()
    assert where == str(Path(ranking_p.data_dir) / "deployment.json")
    model_p = ranking_p.champion_p
    champion = load_champion(ranking_p.data_dir, latest=False)
    test = model_p.test_rows
    pd.testing.assert_frame_equal(champion.one_step(test), model_p.one_step(), check_exact=True)
    ahead = {"steps": 40, "exogenous": test}
    pd.testing.assert_frame_equal(champion.forecast(**ahead), model_p.forecast(**ahead), check_exact=True)
    assert champion.summary() == model_p.summary()


@pytest.mark.parametrize(
    ("family", "package", "params"),
    [("arima", "statsmodels", {}), ("lstm", "torch", {"lags": 4, "hidden_size": 2, "epochs": 2})],
)
def test_a_champion_of_each_family_can_be_loaded(tmp_path, family, package, params):
    pytest.importorskip(package)
    chain = Chain(tmp_path)
    kind, given = (getattr(forecasting, f"{family.title()}{end}") for end in ("P", "Params"))
    model_p = kind(tmp_path, given(**params), series_p=chain.series_p, split_p=chain.split_p)
    ranking_p = chain.ranked(chain.baseline(), model_p)
    champion = load_champion(ranking_p.deploy(), latest=False)
    assert champion.family == family
    pd.testing.assert_frame_equal(champion.one_step(model_p.test_rows), model_p.one_step(), check_exact=True)


def test_a_champion_of_a_family_of_one_s_own_needs_the_import_of_its_module_and_nothing_else(tmp_path, run_python):
    chain = Chain(tmp_path, coefficient=0.0)
    model_p = chain.other(AverageP, "average")
    ranking_p = chain.ranked(chain.baseline(), model_p)
    champion = load_champion(ranking_p.deploy(), latest=False)
    assert (type(champion), champion.family) == (Average, "my average")
    assert champion.forecast(2).equals(model_p.forecast(2))
    code = f"""if True:
        from persistable import ForecastingError
        from persistable.forecasting import load_champion
        try:
            print(load_champion({str(tmp_path)!r}).summary())
        except ForecastingError as error:
            print(error)
    """
    assert run_python(code).startswith("The family 'my average' is not known here. Import the module that defines it")
    imported = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import forecast_chain\n{code}"
    assert run_python(imported) == f"{model_p.summary()}\n"


def test_the_file_says_what_is_deployed(ranking_p):
    ranking_p.deploy()
    record, champion = record_in(ranking_p.data_dir), ranking_p.payload["models"][0]
    assert record["name"] == record["payload_name"] == ranking_p.payload["champion"]
    assert (record["family"], record["role"], record["key"]) == ("linear", "champion", champion["key"])
    assert (record["store"], record["other_stores"]) == (str(ranking_p.data_dir), [])
    assert record["metrics"] == champion["metrics"]
    assert record["beats_baseline"] is ranking_p.payload["beats_baseline"]
    assert record["ranking"] == {"payload_name": "ranking_p", "key": ranking_p.key}
    assert record["load"].endswith(f"champion = load_champion({str(ranking_p.data_dir)!r})")
    assert pd.Timestamp(record["at"]).tzinfo is not None
    assert record["persistable"]


def test_the_line_that_the_file_gives_loads_the_champion_without_anything_heavy(ranking_p, run_python):
    ranking_p.deploy()
    code = f"""if True:
        import sys
        {record_in(ranking_p.data_dir)["load"]}
        print(champion.family, len(champion.history))
        print({{"optuna", "statsmodels", "torch", "matplotlib"}} & set(sys.modules))
    """
    assert run_python(code).split("\n")[:2] == ["linear 240", "set()"]


def test_a_second_deployment_takes_the_place_of_the_first(tmp_path):
    chain = Chain(tmp_path)
    for name in ("first", "second"):
        chain.ranked(chain.baseline(), chain.linear(name, lags=1), payload_name=f"ranking_of_{name}").deploy()
        assert record_in(tmp_path)["name"] == name
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == ["deployment.json"]
    assert load_champion(tmp_path).family == "linear"


def test_a_re_ranking_leaves_one_champion(tmp_path):
    chain = Chain(tmp_path)
    rankings = [
        chain.ranked(chain.baseline(), chain.linear("a", lags=1)),
        chain.ranked(chain.baseline(), chain.linear("a", lags=1), chain.linear("b", lags=0)),
    ]
    for ranking_p in rankings:
        ranking_p.deploy()
        roles = [entry["role"] for entry in ranking_p.payload["models"]]
        assert roles.count("champion") == 1
        assert record_in(tmp_path)["ranking"]["key"] == ranking_p.key
    assert record_in(tmp_path)["name"] == rankings[1].payload["champion"]


def test_several_may_be_deployed_under_names_of_their_own(ranking_p):
    where = ranking_p.deploy("live.json")
    assert load_champion(ranking_p.data_dir, "live.json").payload == load_champion(where).payload
    assert "'live.json'" in record_in(ranking_p.data_dir, "live.json")["load"]
    with pytest.raises(ArtifactNotFoundError, match=r"there is no deployment\.json"):
        load_champion(ranking_p.data_dir)


def test_names_that_are_no_file_s_are_refused(ranking_p):
    for name in ("../live.json", "a/live.json", "live", "", ".json", None):
        with pytest.raises(ParamsError, match=r"name must be a file's, such as 'deployment\.json'"):
            ranking_p.deploy(name)


def test_of_a_champion_that_does_not_beat_the_baseline_the_log_says_so(tmp_path, caplog):
    caplog.set_level("INFO", logger="persistable")
    chain = Chain(tmp_path, SplitParams.hold_out(80), coefficient=1.0)
    chain.ranked(chain.baseline(), chain.linear(kind=DoubtfulP)).deploy()
    assert "linear is deployed, although it does not beat the baseline naive." in caplog.text
    record = record_in(tmp_path)
    assert record["beats_baseline"] is False
    assert record["warnings"] == ["It did not converge."]
    assert load_champion(tmp_path).family == "linear"  # of a class that the reader need not know


# ---------------------------------------------------------------------------------------------------------------------
# Places


def test_it_is_loaded_from_wherever_the_folder_is_now(ranking_p, tmp_path):
    ranking_p.deploy()
    expected = ranking_p.champion_p.one_step()
    test = ranking_p.champion_p.test_rows
    there = shutil.move(ranking_p.data_dir, tmp_path / "there")
    for place in (there, str(there), LocalStore(there), there / "deployment.json", f"file://{there}"):
        pd.testing.assert_frame_equal(load_champion(place, latest=False).one_step(test), expected, check_exact=True)


def test_the_folder_that_is_given_counts_before_the_one_that_was_recorded(ranking_p, tmp_path):
    ranking_p.deploy()
    copy = shutil.copytree(ranking_p.data_dir, tmp_path / "copy")
    record = record_in(copy)
    payload = next((copy / record["payload_name"] / record["key"]).glob("payload.*"))
    payload.write_bytes(payload.read_bytes()[:-2])
    with pytest.raises(ArtifactCorruptError):
        load_champion(copy)
    assert load_champion(ranking_p.data_dir).family == "linear"


def test_what_is_not_in_the_folder_is_looked_for_where_it_was(tmp_path):
    chain = Chain(make(tmp_path / "models"))
    evaluations = [chain.evaluated(each) for each in (chain.baseline(), chain.linear())]
    ranking_p = RankingP(tmp_path / "rankings", evaluations)
    ranking_p.deploy()
    assert record_in(tmp_path / "rankings")["store"] == str(tmp_path / "models")
    found = load_champion(tmp_path / "rankings", latest=False).forecast(3)
    assert found.equals(ranking_p.champion_p.forecast(3))


def test_a_series_in_another_place_is_recorded(tmp_path):
    chain = Chain(make(tmp_path / "series"))
    chain.folder = tmp_path / "models"
    chain.ranked(chain.baseline(), chain.linear()).deploy()
    record = record_in(tmp_path / "models")
    assert (record["store"], record["other_stores"]) == (str(tmp_path / "models"), [str(tmp_path / "series")])
    assert load_champion(tmp_path / "models").family == "linear"


def test_a_store_that_is_no_folder_serves_too(tmp_path):
    pytest.importorskip("fsspec")
    chain = Chain(tmp_path)
    chain.folder = "memory://test-deployment"
    ranking_p = chain.ranked(chain.baseline(), chain.linear())
    where = ranking_p.deploy()
    assert where == "memory://test-deployment/deployment.json"
    for place in (where, "memory://test-deployment"):
        assert load_champion(place, latest=False).forecast(2).equals(ranking_p.champion_p.forecast(2))


def test_what_was_not_persisted_yet_is_persisted(tmp_path):
    chain = Chain(tmp_path)
    ranking_p = chain.ranked(chain.baseline(), chain.linear())
    for upstream_p in (chain.series_p, chain.split_p, *(each.model_p for each in ranking_p.evaluations.values())):
        upstream_p.generate(persist=False)
    ranking_p.deploy()
    assert ranking_p.champion_p.exists()
    assert load_champion(tmp_path).family == "linear"


# ---------------------------------------------------------------------------------------------------------------------
# What can go wrong


def test_where_nothing_is_deployed_it_says_so(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "deployment.json"):
        with pytest.raises(ArtifactNotFoundError, match=r"there is no deployment\.json. Deploy the champion of a rank"):
            load_champion(place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: "{", "it is no JSON"),
        (lambda record: "[]", "it holds a list"),
        (lambda record: json.dumps({**record, "key": "../../x"}), r"'key' is '../../x'"),
        (lambda record: json.dumps({**record, "payload_name": ".."}), r"'payload_name' is '\.\.'"),
        (lambda record: json.dumps({**record, "family": ""}), "'family' is ''"),
        (lambda record: json.dumps({**record, "family": ["arima"]}), "'family' is ..arima"),
        (lambda record: json.dumps({k: v for k, v in record.items() if k != "key"}), "'key' is None"),
        (lambda record: json.dumps({**record, "store": 1}), "'store' or 'other_stores' is missing, or no URL"),
        (lambda record: json.dumps({**record, **record["ranking"]}), "ranking_p .* is no model"),
    ],
)
def test_a_file_that_is_not_what_was_written_is_refused(ranking_p, change, message):
    path = Path(ranking_p.deploy())
    path.write_text(change(record_in(path.parent)))
    with pytest.raises(ForecastingError, match=f"is not what deploy.. has written: {message}.*ranking_p.deploy"):
        load_champion(path)


def test_a_family_that_nobody_knows_is_looked_up_and_never_imported(ranking_p):
    path = Path(ranking_p.deploy())
    path.write_text(json.dumps({**record_in(path.parent), "family": "os"}))
    with pytest.raises(
        ForecastingError, match=r"The family 'os' is not known here\. Import the module that defines it"
    ):
        load_champion(path)


def test_a_model_that_is_gone_is_named_with_the_places_that_were_looked_at(ranking_p, tmp_path):
    ranking_p.deploy()
    copy = shutil.copytree(ranking_p.data_dir, tmp_path / "copy")
    for folder in (copy, ranking_p.data_dir):
        shutil.rmtree(Path(folder) / ranking_p.champion_p.payload_name)
    with pytest.raises(ArtifactNotFoundError, match=r"The model of the champion, (small|large) \w+, is gone") as caught:
        load_champion(copy)
    assert f"Looked for in {copy}, then {ranking_p.data_dir}." in str(caught.value)
    assert caught.value.key == ranking_p.champion_p.key


def test_a_series_that_is_gone_is_named(ranking_p):
    ranking_p.deploy()
    shutil.rmtree(ranking_p.champion_p.series_p.persist_filepath)
    with pytest.raises(ArtifactNotFoundError, match=r"The series of the champion, .* is gone"):
        load_champion(ranking_p.data_dir)


def test_a_place_that_is_not_known_here_is_named(ranking_p):
    path = Path(ranking_p.deploy())
    path.write_text(json.dumps({**record_in(path.parent), "store": "nosuch://place"}))
    shutil.rmtree(ranking_p.champion_p.persist_filepath)
    with pytest.raises(ArtifactNotFoundError, match=r"then nosuch://place \(No store serves URLs"):
        load_champion(path)
