"""Find, get, load, compare; and what a catalogue shows of itself, harmlessly."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from mixed_store import HOSTILE, SCRIPT, DataP, DataParams, made, model_p

from persistable import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    JsonFileIO,
    ManifestVersionError,
    PayloadError,
    StoreError,
)
from persistable.catalog import Catalog, Comparison, NameCount
from persistable.exceptions import AmbiguousKeyError, QueryError

TAG = re.compile(r"<(/?)(\w+)((?: [\w-]+='[^'<>]*')*)>")


@pytest.fixture
def catalog(mixed):
    return Catalog(mixed.folder)


def check_html(html):
    """Only tags of ours, without scripts and outside resources; all else is escaped."""
    rest = TAG.sub("", html)
    assert "<" not in rest
    assert {tag.lower() for _, tag, _ in TAG.findall(html)} <= {"div", "span", "b", "code", "table", "tr", "td", "th"}
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_find_by_name_state_and_limit(catalog, mixed):
    assert set(catalog.find("data").keys) == {mixed.data.key}
    assert set(catalog.find(state="whole").keys) == set(mixed.whole)
    assert set(catalog.find("model", state=("corrupt", "newer")).keys) == {mixed.damaged, mixed.newer}
    some = catalog.find("model", state="whole", sort="params.alpha", limit=2)
    assert [record.params["alpha"] for record in some] == [0.5, 2.0]
    assert (len(some), some.total) == (2, 4)
    assert catalog.find(where="params.alpha > 1", limit=1).total == 3
    assert (catalog.find(limit=3).total, len(catalog.find(limit=0))) == (len(catalog), 0)
    with pytest.raises(ValueError, match="limit must be 0 or more, or None for all; got -1"):
        catalog.find(limit=-1)
    with pytest.raises(ValueError, match=r"no state 'broken'\. The states are whole, corrupt"):
        catalog.find(state="broken")


def test_the_order_is_the_same_each_time(catalog, mixed):
    """Also of what was made in the same second, and looked at again since."""
    before = [record.path for record in catalog.find()]
    for _ in range(3):
        made(mixed.models[0])
        mixed.models[1].generate()
        assert sorted(before) == sorted(record.path for record in catalog.find())
    assert [record.path for record in catalog.find()] == [record.path for record in Catalog(mixed.folder).find()]
    catalog.refresh(full=True)
    assert [record.path for record in catalog.find()] == [record.path for record in Catalog(mixed.folder).find()]


def test_a_selection_is_a_sequence(catalog):
    selection = catalog.find(state="whole")
    assert selection[0] is selection[0]
    assert selection[-1] == list(selection)[-1]
    assert [record.key for record in selection[1:3]] == selection.keys[1:3]
    assert selection[0] in selection
    with pytest.raises(IndexError):
        selection[99]


def test_the_beginning_of_a_key_suffices(catalog, mixed):
    key = mixed.models[0].key
    assert catalog.get(key[:8]).key == catalog.resolve(f"model/{key[:6]}") == catalog.resolve(key.upper()) == key
    assert catalog.resolve(key).payload_name == "model"
    assert catalog.get(mixed.damaged[:10]).state == "corrupt"


def test_a_key_that_is_not_there_is_not_found_and_near_ones_are_named(catalog, mixed):
    key = mixed.models[0].key
    near = key[:4] + ("0" if key[4] != "0" else "1")
    with pytest.raises(ArtifactNotFoundError, match=f"There is model/{key[:12]}"):
        catalog.get(near)
    with pytest.raises(ArtifactNotFoundError, match="no payload name 'modle'; did you mean model"):
        catalog.get(f"modle/{key[:8]}")
    with pytest.raises(ArtifactNotFoundError, match=r"is a payload name: list its artifacts with find\('model'\)"):
        catalog.get("model")
    with pytest.raises(ValueError, match="too short for a key: give 4"):
        catalog.get(key[:3])


def test_a_beginning_of_several_keys_is_refused_with_all_of_them(tmp_path):
    for name, key in (("one", "abcd" + "0" * 28), ("one", "abcd" + "1" * 28), ("two", "abcd" + "1" * 28)):
        folder = tmp_path / name / key
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    catalog = Catalog(tmp_path)
    with pytest.raises(AmbiguousKeyError, match=r"beginning of 3 keys: .*one/abcd0.*Give more") as caught:
        catalog.get("abcd")
    assert len(caught.value.candidates) == 3
    assert isinstance(caught.value, LookupError)
    assert pickle.loads(pickle.dumps(caught.value)).candidates == caught.value.candidates
    with pytest.raises(AmbiguousKeyError, match="two/abcd1"):
        catalog.get("abcd" + "1" * 28)
    record = catalog.get("two/abcd1")
    assert record.payload_name == "two"
    assert catalog.get(record.key) == record  # a whole key knows its name


def test_load_gives_the_payload(catalog, mixed):
    assert catalog.load(mixed.data.key[:8]) == list(range(10))
    with pytest.raises(ArtifactCorruptError):
        catalog.load(mixed.damaged)
    with pytest.raises(ArtifactCorruptError):
        catalog.load(mixed.gone)
    with pytest.raises(ManifestVersionError):
        catalog.load(mixed.newer)
    with pytest.raises(ArtifactNotFoundError):
        catalog.load(mixed.failed)


def test_load_by_a_format_that_runs_no_code_refuses_a_pickle(catalog, mixed):
    with pytest.raises(PayloadError, match="runs code"):
        catalog.load(mixed.data.key, payload_io=JsonFileIO())


def test_what_was_made_from_an_artifact(catalog, mixed):
    dependents = catalog.dependents(mixed.data.key[:8])
    assert {record.key for record in dependents} == set(mixed.whole) - {mixed.data.key}
    assert catalog.dependents(mixed.models[0].key) == []
    new = made(model_p(mixed.store, mixed.data, 77.0))
    assert new in {record.key for record in catalog.dependents(mixed.data.key)}


def test_names_and_states_are_counted(catalog, mixed):
    names = catalog.names()
    assert names["data"] == NameCount(1, catalog.get(mixed.data.key).size, catalog.get(mixed.data.key).at)
    assert (list(names), names["model"].count) == (["data", "model"], 4)
    assert catalog.states()["whole"] == 5
    assert sum(catalog.states().values()) == len(catalog) + catalog.states()["foreign"]


def test_what_is_not_ours_is_found_only_when_it_is_asked_for(catalog, mixed):
    everything = catalog.find(state="any")
    assert len(catalog) == len(list(catalog)) == len(catalog.find()) == len(everything) - len(mixed.foreign)
    assert {record.path for record in catalog.find(state="foreign")} == set(mixed.foreign)
    assert len(catalog.find(where="state == 'foreign'")) == len(mixed.foreign)
    assert {"corrupt", "newer", "generating", "failed", "unfinished", "1.x"} <= {record.state for record in catalog}


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    nowhere = Catalog(tmp_path / "nowhere")
    for ask in (nowhere.find, nowhere.names, nowhere.refresh, lambda: len(nowhere), lambda: nowhere.get("abcd")):
        with pytest.raises(StoreError, match=r"There is no folder .*nowhere"):
            ask()
    made(DataP(tmp_path / "nowhere", DataParams(1)))
    assert len(nowhere) == 1
    assert len(Catalog("memory://nowhere").find()) == 0


def test_whatever_has_a_key_is_one(catalog, mixed):
    model = mixed.models[0]
    for key in (model, model.key, str(model.key), catalog.get(model.key), model.key[:8]):
        assert catalog.get(key).key == model.key
        assert catalog.load(key) == model.payload
        assert catalog.dependents(key) == []
    assert len(catalog.compare(catalog.find("model", state="whole"))) == len(catalog.compare(mixed.whole[1:]))
    for wrong in (5, None, catalog.find()):
        with pytest.raises(TypeError, match="Expected a key"):
            catalog.get(wrong)
    with pytest.raises(ValueError, match="no artifact"):
        catalog.get(catalog.find(state="foreign")[0])


def test_a_record_knows_its_store(catalog, mixed):
    record = catalog.get(mixed.models[0])
    assert record.load() == mixed.models[0].payload
    assert record.manifest == mixed.models[0].manifest
    assert record.store.url == catalog.store.url
    assert "store=" not in repr(record)
    assert "store" not in record.to_dict()
    assert record == pickle.loads(pickle.dumps(record))
    with pytest.raises(ArtifactCorruptError):
        _ = catalog.get(mixed.damaged).manifest
    for foreign in catalog.find(state="foreign"):
        with pytest.raises(ArtifactNotFoundError, match="is no artifact"):
            foreign.load()


def test_compare_shows_what_differs(catalog, mixed):
    first, second, hostile = (model.key for model in mixed.models)
    comparison = catalog.compare([first, second[:8]])
    assert comparison.rows == {
        "params.alpha": (0.5, 2.0),
        "metrics.rmse": (0.05, 0.2),
        "metrics.scores.mae": (0.5, 2.0),
    }
    assert str(comparison).splitlines()[1] == "params.alpha        0.5             2.0"
    assert repr(comparison) == "<Comparison of 2 artifacts: 3 differences>"
    frame = comparison.to_frame()
    assert list(frame.columns) == [first, second]
    assert frame.loc["params.alpha", second] == 2.0
    assert not catalog.compare([first, first])
    assert "nothing differs" in str(catalog.compare([first, first]))
    for text in (str(catalog.compare([first, hostile, mixed.damaged])), repr(comparison)):
        assert all(line.isprintable() for line in text.splitlines())
    assert max(map(len, str(catalog.compare([first, hostile])).splitlines())) < 200


def test_a_table_of_pandas(catalog, mixed):
    frame = catalog.find("model", state="whole", sort="params.alpha").to_frame()
    assert list(frame["params.alpha"]) == [0.5, 2.0, 3.0, 11.0]
    assert list(frame["metrics.scores.mae"]) == [0.5, 2.0, 3.0, 11.0]
    assert str(frame["at"].dtype).startswith("datetime64[") and str(frame["at"].dt.tz) == "UTC"  # noqa: PT018
    assert frame["tags"][2] == ["best", SCRIPT]
    assert frame["params.options.html"][2] == SCRIPT
    everything = catalog.to_frame()
    assert len(everything) == len(catalog)
    assert set(everything["state"]) == set(catalog.states()) - {"foreign"}
    assert set(catalog.find("model", state="whole").to_frame()["dependencies.data"]) == {mixed.data.key}
    assert list(catalog.find("nothing").to_frame().columns)[:3] == ["payload_name", "key", "state"]


def test_what_is_printed_is_harmless(catalog):
    for text in (str(catalog.find()), repr(catalog.find()), repr(catalog), str(catalog.find(limit=1))):
        assert all(line.isprintable() for line in text.splitlines())
        assert max(map(len, text.splitlines())) < 400
    assert str(catalog.find(limit=1)).endswith(f"… and {len(catalog) - 1} more")


def test_cards_are_harmless(catalog, mixed):
    comparison = catalog.compare([mixed.models[0].key, mixed.models[2].key])
    cards = [catalog._repr_html_(), catalog.find()._repr_html_(), comparison._repr_html_()]
    for card in cards:
        check_html(card)
    assert SCRIPT not in "".join(cards)
    assert "&lt;script&gt;" in "".join(cards)
    assert len(HOSTILE["long"]) > len(cards[1]) - 10_000


def test_a_card_of_a_store_that_cannot_be_read_is_a_card(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be read" in Catalog(tmp_path / "file")._repr_html_()


def test_a_catalogue_travels_to_other_processes(catalog):
    for other in (copy.copy(catalog), pickle.loads(pickle.dumps(catalog))):
        assert len(other) == len(catalog)
        assert other.store.url == catalog.store.url


def test_an_empty_comparison_is_one(catalog):
    assert isinstance(catalog.compare([]), Comparison)
    assert not catalog.compare([])


def test_an_empty_catalogue_is_true_as_a_store_is(tmp_path):
    assert Catalog(tmp_path)
    with pytest.raises(QueryError):
        Catalog(tmp_path).find(where="nonsense ==")
