"""What differs between two persistables, or two artifacts, whether or not they have been made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from persistable import ArtifactNotFoundError, LocalStore, Persistable, PersistableParams
from persistable.catalog import Catalog
from persistable.keys import ArtifactKey
from persistable.lineage import Diff, Lineage, diff
from persistable.manifest import Manifest


@dataclass
class DataParams(PersistableParams):
    n: int = 100


class DataP(Persistable[list[int], DataParams]):
    def _generate_payload(self) -> list[int]:
        return list(range(self.params.n))


@dataclass
class ModelParams(PersistableParams):
    alpha: float = 1.0


class ModelP(Persistable[float, ModelParams]):
    def _generate_payload(self) -> float:
        self.metrics = {"rmse": self.params.alpha, "worst": float("nan")}
        return self.params.alpha * sum(self.tracked_persistable_dependencies["data"].payload)


class NewModelP(ModelP):
    version = "2"

    def _generate_payload(self) -> float:
        return 0.0


def model_p(data_dir: Any, alpha: float = 1.0, n: int = 100, kind: type[ModelP] = ModelP, role: str = "data") -> ModelP:
    data = DataP(data_dir, DataParams(n), payload_name="data")
    return kind(data_dir, ModelParams(alpha), {role: data}, payload_name="model")


def test_persistables_that_were_never_made_differ_by_their_params_and_their_code(tmp_path: Path) -> None:
    one, other = model_p(tmp_path), model_p(tmp_path, 2.0, 200, NewModelP)
    found = diff(one, other)
    lines = str(found).splitlines()
    assert lines[:5] == [
        f"model {one.key[:8]} -> model {other.key[:8]}",
        "  params",
        "    alpha: 1.0 -> 2.0",
        "    (version): nothing -> '2'",
        "    data.n: 100 -> 200",
    ]
    assert lines[5] == "  code"
    assert "    NewModelP._generate_payload is new" in lines
    assert list(tmp_path.iterdir()) == []


def test_artifacts_differ_by_what_their_manifests_say_too(tmp_path: Path) -> None:
    store, one, other = LocalStore(tmp_path), model_p(tmp_path), model_p(tmp_path, 2.0)
    one.load_generate()
    other.load_generate()
    sections = {name: getattr(one.manifest, name) for name in ("params", "code", "tags")}
    generated = {**one.manifest.generated, "packages": {"numpy": "1.0"}, "python": "3.0"}
    dependencies = {role: upstream._asdict() for role, upstream in one.manifest.dependencies.items()}
    metrics = {"rmse": 1.0, "worst": {"$float": "nan"}}
    older = {**sections, "generated": generated, "dependencies": dependencies, "metrics": metrics}
    (one.persist_filepath / "manifest.json").write_bytes(Manifest.compose(one.manifest.head, older).data)
    found = diff((store, one.key), (store, other.key))
    groups = found.groups()
    assert list(groups) == ["params", "packages", "metrics"]
    assert groups["params"] == ["alpha: 1.0 -> 2.0"]
    assert "numpy: '1.0' -> nothing" in groups["packages"]
    assert any(line.startswith("python: '3.0' -> '3.") for line in groups["packages"])
    assert groups["metrics"] == ["rmse: 1 -> 2"]
    assert str(diff(model_p(tmp_path), model_p(tmp_path, 2.0))) == str(found)


def test_an_upstream_that_only_one_has_is_named(tmp_path: Path) -> None:
    found = diff(model_p(tmp_path), model_p(tmp_path, role="numbers"))
    assert found.groups()["upstreams"] == ["data: 'data' -> nothing", "numbers: nothing -> 'data'"]


def test_nothing_differs_is_false_and_said(tmp_path: Path) -> None:
    one = model_p(tmp_path)
    found = diff(one, model_p(tmp_path))
    assert not found
    assert str(found) == f"model {one.key[:8]} is the same on both sides: nothing differs."


def test_without_a_params_file_the_manifests_are_compared(tmp_path: Path) -> None:
    store, one, other = LocalStore(tmp_path), model_p(tmp_path), model_p(tmp_path, n=7)
    one.load_generate()
    (one.persist_filepath / "params.json").write_text('{"model": [1]}')
    for after in (other, (store, other.key)):
        other.load_generate()
        (line,) = diff((store, one.key), after).groups()["upstreams"]
        assert line == f"data: 'data {data_key(one)}' -> 'data {data_key(other)}'"


def data_key(model: ModelP) -> str:
    return model.tracked_persistable_dependencies["data"].key[:8]


def test_a_damaged_manifest_leaves_the_params(tmp_path: Path) -> None:
    store, one = LocalStore(tmp_path), model_p(tmp_path)
    one.load_generate()
    (one.persist_filepath / "manifest.json").write_text("{")
    assert [str(line) for line in diff((store, one.key), model_p(tmp_path, 3.0)).differences] == ["alpha: 1.0 -> 3.0"]


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match="There is no artifact model 0000"):
        diff((LocalStore(tmp_path), ArtifactKey("0" * 32, "model")), model_p(tmp_path))


def test_json_and_card_say_the_same_harmlessly(tmp_path: Path) -> None:
    one, other = model_p(tmp_path, float("nan")), model_p(tmp_path, 2.0)
    one.load_generate()
    other.load_generate()
    found: Diff = diff(one, other)
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert said["differences"] == [{"path": "alpha", "before": {"$float": "nan"}, "after": 2.0}]
    assert {"path": "metrics.rmse", "before": {"$float": "nan"}, "after": 2.0} in said["others"]
    assert "alpha: nan -&gt; 2.0" in found._repr_html_()


def test_an_upstream_behind_another_is_an_upstream_and_not_a_param(tmp_path: Path) -> None:
    def top(role: str) -> Persistable[Any, Any]:
        model = model_p(tmp_path, role=role)
        return ModelP(tmp_path, ModelParams(), {"model": model}, payload_name="top")

    assert diff(top("data"), top("numbers")).groups()["upstreams"] == [
        "model.data: 'data' -> nothing",
        "model.numbers: nothing -> 'data'",
    ]


def test_records_of_a_catalogue_can_be_compared(tmp_path: Path) -> None:
    one, other = model_p(tmp_path), model_p(tmp_path, 2.0)
    one.load_generate()
    other.load_generate()
    store = LocalStore(tmp_path)
    records = {record.key: record for record in Catalog(store)}
    expected = str(diff(one, other))
    assert str(diff((store, records[one.key]), (store, records[other.key]))) == expected
    lineage = Lineage.of((store, records[one.key]))
    assert lineage.root.key == one.key


@dataclass
class RecordWithStore:
    key: ArtifactKey
    store: Any = None


def test_a_record_that_knows_its_store_is_enough(tmp_path: Path) -> None:
    one, other = model_p(tmp_path), model_p(tmp_path, 2.0)
    one.load_generate()
    record: Any = RecordWithStore(one.key, LocalStore(tmp_path))
    assert [str(line) for line in diff(record, other).differences] == ["alpha: 1.0 -> 2.0"]
    assert Lineage.of(record).root.key == one.key
    unknown: Any = RecordWithStore(one.key)
    with pytest.raises(TypeError, match=r"does not say in which store it is: pass \(catalog.store, it\)"):
        diff(unknown, other)


@pytest.mark.parametrize("wrong", ["3f9a", None, ("3f9a", "model"), 5])
def test_what_cannot_be_compared_is_refused_with_what_to_pass(tmp_path: Path, wrong: Any) -> None:
    for call in (lambda: diff(wrong, model_p(tmp_path)), lambda: Lineage.of(wrong)):
        with pytest.raises(TypeError, match="Expected a persistable, a Record of a Catalog, or a tuple"):
            call()
