"""Which artifacts are nearest to one that is missing, and what the log says of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persistable import LocalStore, Persistable, PersistableParams
from persistable.keys import ArtifactKey
from persistable.lineage import readable_tree
from persistable.lineage.nearest import nearest, why


@dataclass
class DataParams(PersistableParams):
    n: int = 100
    unit: str = "m"


class DataP(Persistable[list[int], DataParams]):
    def _generate_payload(self) -> list[int]:
        return list(range(self.params.n))


@dataclass
class TotalParams(PersistableParams):
    scale: float = 1.0


class TotalP(Persistable[float, TotalParams]):
    def __init__(self, data_dir: Any, scale: float = 1.0, **data: Any) -> None:
        self.data_p = DataP(data_dir, DataParams(**data))
        super().__init__(data_dir, TotalParams(scale), {"data": self.data_p})

    def _generate_payload(self) -> float:
        return self.params.scale * sum(self.data_p.payload)


def log_of(persistable: Persistable[Any, Any]) -> str:
    return (persistable.persist_filepath / "generation.log").read_text()


def test_the_first_of_its_name_is_like_nothing(tmp_path: Path) -> None:
    first = DataP(tmp_path, DataParams())
    first.load_generate()
    assert f"Generating data_p {first.key}.\n" in log_of(first)


def test_the_log_names_the_nearest_and_what_differs_upstream_too(tmp_path: Path) -> None:
    first, far, now = TotalP(tmp_path), TotalP(tmp_path, 3.0, n=7, unit="km"), TotalP(tmp_path, n=200)
    for each in (first, far, now):
        each.load_generate()
    assert f"Generating total_p {now.key}, which is {first.key[:8]} but for data.n: 100 -> 200.\n" in log_of(now)
    assert f"which is {first.data_p.key[:8]} but for n: 100 -> 200.\n" in log_of(now.data_p)
    assert "scale: 1.0 -> 3.0; data.n: 100 -> 7; data.unit: 'm' -> 'km'." in log_of(far)


def test_a_store_that_holds_something_else_is_no_reason_to_fail(tmp_path: Path) -> None:
    broken = tmp_path / "data_p" / ("0" * 32)
    broken.mkdir(parents=True)
    (broken / "params.json").write_text("{")
    persistable = DataP(tmp_path, DataParams())
    assert persistable.load_generate()[:2] == [0, 1]
    assert f"Generating data_p {persistable.key}.\n" in log_of(persistable)


def test_long_values_and_many_differences_are_cut_in_the_log(tmp_path: Path) -> None:
    store, now = LocalStore(tmp_path), DataP(tmp_path, DataParams(), payload_name="m")
    put(store, {"m": {"params": dict.fromkeys("abcd", 0)}}, 1)
    keys = {id(now): str(now.key)}
    said = why(now, store, keys, {"m": {"params": {**dict.fromkeys("bcd", 1), "text": "x" * 100}, "version": "2"}})
    assert said == f", which is {'1' * 8} but for a: 0 -> nothing; b: 0 -> 1; c: 0 -> 1; and 3 more"
    said = why(now, store, keys, {"m": {"params": {**dict.fromkeys("abcd", 0), "text": "x" * 100}}})
    assert said == f", which is {'1' * 8} but for text: nothing -> '{'x' * 58}…"


def put(store: LocalStore, tree: dict[str, Any], number: int, modified: float | None = None) -> ArtifactKey:
    """Put into a store what the search looks at: the params, and that there is a manifest."""
    key = ArtifactKey(f"{number:x}" * 32, next(iter(tree)))
    store.replace(f"{key.folder}/params.json", json.dumps(tree).encode())
    store.replace(f"{key.folder}/manifest.json", b"there")
    if modified is not None:
        os.utime(store.local_path(key.folder), (modified, modified))
    return key


def test_the_fewest_differences_come_first_and_of_equals_the_newest(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    far = put(store, {"m": {"params": {"a": 9, "b": 9}}}, 1, modified=500)
    old, new = (put(store, {"m": {"params": {"a": 1, "b": n}}}, n, modified=100 * n) for n in (2, 3))
    found = nearest(store, ArtifactKey("f" * 32, "m"), {"m": {"params": {"a": 1, "b": 1}}})
    assert [near.key for near in found] == [new, old, far]
    found = nearest(store, ArtifactKey("f" * 32, "m"), {"m": {"params": {"a": 1, "b": 1}}}, until=250)
    assert [near.key for near in found] == [old]


def test_folders_without_a_manifest_are_no_artifacts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    key = put(store, {"m": {"params": {"a": 1}}}, 1)
    store.delete(f"{key.folder}/manifest.json")
    put(store, {"m": [1, 2]}, 2)
    (tmp_path / "m" / "notes").mkdir()
    (tmp_path / "m" / "notes" / "params.json").write_text('{"m": {"params": {}}}')
    (tmp_path / "m" / "notes" / "manifest.json").write_text("{}")
    assert nearest(store, ArtifactKey("f" * 32, "m"), {"m": {"params": {"a": 2}}}) == []


def test_a_store_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("no folder")
    assert nearest(LocalStore(tmp_path), ArtifactKey("f" * 32, "m"), {"m": {"params": {}}}) == []
    node = DataP(tmp_path / "m", DataParams())
    assert why(node, LocalStore(tmp_path / "m"), {id(node): str(node.key)}, readable_tree(node)) == ""


def test_of_many_an_index_finds_the_most_similar(tmp_path: Path, monkeypatch: Any) -> None:
    from persistable.catalog import Catalog

    monkeypatch.setenv("PERSISTABLE_INDEX_DIR", str(tmp_path / "index"))
    store = LocalStore(tmp_path / "store", fsync=False)
    similar = DataP(store, DataParams(5, "km"))
    similar.load_generate()
    for number in range(20):
        DataP(store, DataParams(number + 100, "m")).load_generate()
    missing = DataP(store, DataParams(6, "km"))
    hurried = nearest(store, missing.key, readable_tree(missing), patience=0)
    assert (len(hurried), hurried[0].key == similar.key) == (10, False)  # too old for a very short look
    Catalog(store).refresh()
    assert nearest(store, missing.key, readable_tree(missing), patience=0)[0].key == similar.key


def test_in_a_folder_some_hundreds_are_compared(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, fsync=False)
    near = put(store, {"m": {"params": {"a": 1, "b": 1}}}, 1, modified=1)  # the oldest
    for number in range(60):
        key = ArtifactKey(f"{number:032x}", "m")
        store.replace(f"{key.folder}/params.json", json.dumps({"m": {"params": {"a": 5, "b": number}}}).encode())
        store.replace(f"{key.folder}/manifest.json", b"there")
    tree = {"m": {"params": {"a": 1, "b": 1000}}}
    found = nearest(store, ArtifactKey("f" * 32, "m"), tree, patience=10)
    assert (found[0].key, len(found)) == (near, 61)


def test_of_equally_many_differences_those_of_type_are_less_and_those_of_upstreams_more(tmp_path: Path) -> None:
    def tree(a: Any, n: int, b: Any = 0) -> dict[str, Any]:
        return {"m": {"params": {"a": a, "b": b}, "dependencies": {"d": "data"}}, "data": {"params": {"n": n}}}

    store = LocalStore(tmp_path)
    by_value = put(store, tree(2, 5), 1, modified=300)
    by_upstream = put(store, tree(1.0, 6), 2, modified=400)
    by_type = put(store, tree(1, 5), 3, modified=100)
    found = nearest(store, ArtifactKey("f" * 32, "m"), tree(1.0, 5))
    assert [near.key for near in found] == [by_type, by_value, by_upstream]
    as_tuple = put(store, tree(1.0, 5, [1, 2]), 4, modified=50)
    found = nearest(store, ArtifactKey("f" * 32, "m"), tree(1.0, 5, {"$tuple": [1, 2]}))
    assert found[0].key == as_tuple


def test_the_log_names_one_that_is_the_same_but_for_its_name(tmp_path: Path) -> None:
    old, new = DataP(tmp_path, DataParams()), DataP(tmp_path, DataParams(), payload_name="renamed")
    old.load_generate()
    new.load_generate()
    assert f"Generating renamed {new.key}, which is data_p {old.key[:8]} but for the payload's name.\n" in log_of(new)


def test_without_params_nothing_is_the_same_as_another(tmp_path: Path) -> None:
    class OneP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            return 1

    class OtherP(OneP):
        pass

    OneP(tmp_path, None).load_generate()
    other = OtherP(tmp_path, None)
    assert "the same" not in str(other.explain())
    other.load_generate()
    assert f"Generating other_p {other.key}.\n" in log_of(other)
