"""What is shown of several artifacts tells them apart: in a list, side by side, and in a table of pandas."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from persistable import Persistable, PersistableParams
from persistable.catalog import Catalog


@dataclass
class RawParams(PersistableParams):
    n: int


class RawP(Persistable[int, RawParams]):
    def _generate_payload(self) -> int:
        return self.params.n


@dataclass
class FeatParams(PersistableParams):
    lags: Any = (1, 2)


class FeatP(Persistable[int, FeatParams]):
    def _generate_payload(self) -> int:
        return sum(upstream.payload for upstream in self.tracked_persistable_dependencies.values())


@dataclass
class ModelParams(PersistableParams):
    alpha: Any = 1.0
    depth: Any = 3
    options: Any = None


class ModelP(Persistable[int, ModelParams]):
    def _generate_payload(self) -> int:
        n = self.tracked_persistable_dependencies["feat"].payload
        self.metrics = {"rows": n, "digest": f"d{n}", "constant": 1, "ok": n > 10, "rmse": 1 / n}
        return n


class SecondP(ModelP):
    payload_name = "model_p"
    version = "2"


def model(folder: Path, alpha: Any = 1.0, *, n: int = 10, lags: Any = (1, 2), cls: Any = ModelP, **more: Any) -> Any:
    raw = RawP(folder, RawParams(n))
    feat = FeatP(folder, FeatParams(lags), {"raw": raw})
    made = cls(folder, ModelParams(alpha, **more), {"feat": feat})
    made.load_generate()
    return made


def told(catalog: Catalog, *models: Any, **asked: Any) -> list[str]:
    """Return what a list says of these models, in this order."""
    found = catalog.find("model_p", **asked)
    by_key = dict(zip(found.keys, (row[-1] for row in found.rows()), strict=True))
    return [by_key[one.key] for one in models]


# -- a list ------------------------------------------------------------------------------------------------------------


def test_a_list_tells_artifacts_apart_by_the_params_of_their_upstreams_too(tmp_path):
    models = [model(tmp_path, 3.0), model(tmp_path, 3.0, n=20), model(tmp_path, 2.0)]
    assert told(Catalog(tmp_path), *models) == [
        "alpha=3.0, feat.raw.n=10; rmse 0.1, rows 10",
        "alpha=3.0, feat.raw.n=20; rmse 0.05, rows 20",
        "alpha=2.0, feat.raw.n=10; rmse 0.1, rows 10",
    ]


def test_a_list_tells_types_and_versions_apart(tmp_path):
    models = [model(tmp_path, 1, lags=[1, 2]), model(tmp_path, 1.0), model(tmp_path, 1.0, cls=SecondP)]
    assert told(Catalog(tmp_path), *models) == [
        "alpha=1, feat.lags=[1, 2]",
        "alpha=1.0, feat.lags=(1, 2)",
        "alpha=1.0, version=2, feat.lags=(1, 2)",
    ]


def test_a_param_that_tells_more_of_them_apart_goes_before_one_that_does_not(tmp_path):
    models = [
        model(tmp_path, 1.0, depth=1, options={f"o{number}": 1 for number in range(8)}),
        model(tmp_path, 2.0, depth=2, options={f"o{number}": 2 for number in range(8)}),
        model(tmp_path, 2.0, depth=2, options={f"o{number}": 2 for number in range(8)}, n=30),
    ]
    lines = told(Catalog(tmp_path), *models)
    assert len(set(lines)) == 3
    assert all("alpha=" in line and "feat.raw.n=" in line and line.count("=") == 3 for line in lines)


def test_where_an_upstream_lies_elsewhere_its_key_tells_them_apart(tmp_path):
    elsewhere = [FeatP(tmp_path / "there", FeatParams(lags), {"raw": RawP(tmp_path, RawParams(5))}) for lags in (1, 2)]
    models = [ModelP(tmp_path / "here", ModelParams(), {"feat": feat}) for feat in elsewhere]
    for one in models:
        one.load_generate()
    catalog = Catalog(tmp_path / "here")
    assert told(catalog, *models) == [f"feat={feat.key[:8]}" for feat in elsewhere]
    comparison = catalog.compare(models)
    assert comparison.rows == {"feat": tuple(f"feat_p {feat.key[:8]}" for feat in elsewhere)}


def test_what_is_sorted_or_asked_for_is_always_shown(tmp_path):
    models = [model(tmp_path, 3.0), model(tmp_path, 2.0)]
    where = "dependencies.feat.dependencies.raw.params.n == 10 and params.depth == 3 and metrics.constant == 1"
    assert told(Catalog(tmp_path), *models, where=where, sort="-metrics.digest") == [
        "alpha=3.0, depth=3, feat.raw.n=10; constant 1, digest 'd10'",
        "alpha=2.0, depth=3, feat.raw.n=10; constant 1, digest 'd10'",
    ]


def test_a_single_one_is_told_by_its_first_params(tmp_path):
    one = model(tmp_path, lags=(1,))
    assert told(Catalog(tmp_path), one) == ["alpha=1.0, depth=3, options=None; rmse 0.1, rows 10, constant 1"]


def test_a_printed_selection_is_that_list(tmp_path):
    for n in range(55):
        RawP(tmp_path, RawParams(n)).load_generate()
    catalog = Catalog(tmp_path)
    lines = str(catalog.find()).splitlines()
    assert lines[0].split() == ["key", "name", "made", "size", "params;", "metrics"]
    assert [line.rpartition("n=")[2] for line in lines[1:-1]] == [row[-1][2:] for row in catalog.find().rows()[:50]]
    assert lines[-1] == "… and 5 more"
    assert str(catalog.find("no_such_name")) == "Nothing found"
    assert "n=54" in catalog.find(limit=5)._repr_html_() + catalog.find()._repr_html_()


def test_what_was_made_at_the_same_time_comes_as_it_was_written(tmp_path):
    made = [RawP(tmp_path, RawParams(n)) for n in range(6)]
    for age, one in enumerate(made):
        one.load_generate()
        [manifest] = tmp_path.glob(f"raw_p/{one.key}/manifest.json")
        os.utime(manifest, (1_700_000_000 - age,) * 2)
    records = Catalog(tmp_path).find(sort="payload_name")
    at = sorted({record.at for record in records}, reverse=True)
    expected = sorted(records, key=lambda record: (at.index(record.at), -record.modified))
    assert [record.key for record in records] == [record.key for record in expected]
    assert [record.key for record in Catalog(tmp_path).find()] == [record.key for record in expected]


def test_several_fields_sort_one_after_the_other(tmp_path):
    for alpha, depth in ((1.0, 1), (2.0, 1), (1.0, 2), (2.0, 2)):
        model(tmp_path, alpha, depth=depth)
    found = Catalog(tmp_path).find("model_p", sort=["params.depth", "-params.alpha"])
    assert [(one.params["depth"], one.params["alpha"]) for one in found] == [(1, 2.0), (1, 1.0), (2, 2.0), (2, 1.0)]


# -- side by side ------------------------------------------------------------------------------------------------------


def test_a_tuple_and_a_list_are_two_values_also_of_an_upstream(tmp_path):
    first, second = model(tmp_path), model(tmp_path, lags=[1, 2])
    comparison = Catalog(tmp_path).compare([first, second])
    assert comparison.rows == {"feat.lags": ({"$tuple": [1, 2]}, [1, 2])}
    assert str(comparison).splitlines()[1].split("  ")[-1] == "[1, 2]"
    assert list(comparison.to_frame().loc["feat.lags"]) == [(1, 2), [1, 2]]


def test_the_params_of_upstreams_are_told_before_their_keys(tmp_path):
    models = [model(tmp_path), model(tmp_path, n=20), model(tmp_path, 2.0, n=20, lags=(3,))]
    rows = Catalog(tmp_path).compare(models).rows
    assert [name for name in rows if not name.startswith("metrics.")] == ["params.alpha", "feat.lags", "feat.raw.n"]
    assert rows["feat.raw.n"] == (10, 20, 20)


def test_values_are_compared_as_deep_inside_as_they_are_alike(tmp_path):
    first = model(tmp_path, options={"path": Path("a"), "weights": np.arange(3.0), "same": {"x": 1}})
    second = model(tmp_path, options={"path": "a", "weights": np.arange(3.0) * 2, "same": {"x": 1}})
    comparison = Catalog(tmp_path).compare([first, second])
    assert comparison.rows == {
        "params.options.path": ({"$Path": "a"}, "a"),
        "params.options.weights[1]": (1.0, 2.0),
        "params.options.weights[2]": (2.0, 4.0),
    }
    assert list(comparison.to_frame().loc["params.options.path"]) == ["Path('a')", "'a'"]


def test_long_values_are_shown_from_where_they_begin_to_differ(tmp_path):
    models = [model(tmp_path, options="x" * 100 + end) for end in ("one", "two", "two more")]
    cells = str(Catalog(tmp_path).compare(models)).splitlines()[1]
    assert all(end in cells for end in ("one'", "two'", "two more'"))


def test_of_one_or_none_nothing_differs(tmp_path):
    assert not Catalog(tmp_path).compare([model(tmp_path)])
    assert "nothing differs" in str(Catalog(tmp_path).compare(model(tmp_path)))


# -- a table of pandas -------------------------------------------------------------------------------------------------


def test_a_table_of_pandas_has_the_values_that_python_has(tmp_path):
    options = {
        "path": Path("a/b"),
        "nan": float("nan"),
        "inf": float("-inf"),
        "set": {1, 2},
        "keys": {1: (2,)},
        "array": np.arange(2),
        "range": range(3),
        "nested": {"x": (1, [2])},
    }
    model(tmp_path, options=options)
    [row] = Catalog(tmp_path).find("model_p").to_frame().to_dict("records")
    found = {name.removeprefix("params.options."): value for name, value in row.items() if "options" in name}
    assert np.isnan(found.pop("nan"))
    assert found == {
        "path": "a/b",
        "inf": float("-inf"),
        "set": {1, 2},
        "keys": {1: (2,)},
        "array": "ndarray(dtype='int64', shape=[2], values=[0, 1])",
        "range": "range(0, 3, 1)",
        "nested.x": (1, [2]),
    }


def test_a_table_of_pandas_has_upstreams(tmp_path):
    models = [model(tmp_path), model(tmp_path, n=20)]
    frame = Catalog(tmp_path).find("model_p", sort="metrics.rows").to_frame(upstreams=True)
    assert list(frame["dependencies.feat.dependencies.raw.params.n"]) == [10, 20]
    assert list(frame["dependencies.feat.params.lags"]) == [(1, 2), (1, 2)]
    assert list(frame["dependencies.feat"]) == [str(one.tracked_persistable_dependencies["feat"].key) for one in models]
    assert not [name for name in Catalog(tmp_path).to_frame() if ".params." in name and name.startswith("dependencies")]


def test_an_upstream_that_is_reached_by_many_paths_is_there_once(tmp_path):
    this: Any = RawP(tmp_path, RawParams(1))
    for _ in range(6):
        this = FeatP(tmp_path, FeatParams(), {"left": this, "right": this})
    this.load_generate()
    found = Catalog(tmp_path).find(where=f"key == '{this.key}'").to_frame(upstreams=True)
    [column] = [name for name in found if name.endswith(".params.n")]
    assert column == "dependencies.left." * 6 + "params.n"
