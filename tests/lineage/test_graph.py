"""The graph behind a persistable or an artifact: every node once, its state, and what is outdated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mixed_store import make_mixed_store

from persistable import LocalStore, ParamsError, Persistable, PersistableParams
from persistable._integrity import digest
from persistable.artifacts import claim
from persistable.catalog import Catalog
from persistable.keys import ArtifactKey
from persistable.lineage import Lineage, outdated


@dataclass
class NumbersParams(PersistableParams):
    n: int


class NumbersP(Persistable[list[int], NumbersParams]):
    """Numbers that are others whenever `offset` is, which no key knows of: a source that changes by itself."""

    offset = 0

    def _generate_payload(self) -> list[int]:
        return [number + self.offset for number in range(self.params.n)]


class SumP(Persistable[int, Any]):
    def _generate_payload(self) -> int:
        return sum(sum(up.payload) if isinstance(up, NumbersP) else up.payload for up in self.upstreams)

    @property
    def upstreams(self) -> list[Persistable[Any, Any]]:
        return list(self.tracked_persistable_dependencies.values())


class LazySumP(SumP):
    """It does not open its upstreams."""

    def _generate_payload(self) -> int:
        return 0


class GrowingP(Persistable[list[int], None]):
    def _generate_payload(self, n: int = 1) -> list[int]:
        return list(range(n))

    def _is_sufficient(self, payload: list[int], n: int = 1) -> bool:
        return len(payload) >= n

    def _extend_payload(self, payload: list[int], n: int = 1) -> list[int]:
        return list(range(n))


class CountingStore(LocalStore):
    def __init__(self, path: Path) -> None:
        super().__init__(path, fsync=False)
        self.asked: list[str] = []

    def read(self, path: str) -> bytes:
        self.asked.append(path)
        return super().read(path)

    def list(self, folder: str) -> Any:
        self.asked.append(f"list {folder}")
        return super().list(folder)


@pytest.fixture
def store(tmp_path):
    return CountingStore(tmp_path)


def sum_of(store: Any, name: str, **upstreams: Persistable[Any, Any]) -> SumP:
    return SumP(store, None, upstreams, payload_name=name)


def diamond(store: Any) -> dict[str, Persistable[Any, Any]]:
    data = NumbersP(store, NumbersParams(5), payload_name="data")
    left, right = sum_of(store, "left", data=data), sum_of(store, "right", data=data)
    return {"data": data, "left": left, "right": right, "top": sum_of(store, "top", left=left, right=right)}


AGAIN = "has been made again since, with other content"


def names_of(nodes: dict[str, Persistable[Any, Any]]) -> list[str]:
    """Return the nodes of a diamond as texts name them: data, left, right, top."""
    return [f"{node.payload_name} {node.key[:8]}" for node in nodes.values()]


def states(lineage: Lineage) -> dict[str, str]:
    return {node.payload_name: node.state for node in lineage.nodes.values()}


def remake(name: str, store: Any, offset: int) -> None:
    """Make one node of the diamond again, in another process so to speak, from a source that has changed."""
    node = diamond(store)[name]
    if isinstance(node, NumbersP):
        node.offset = offset
    node.generate()


def forge(folder: Path, name: str, key: str, dependencies: Any, schema: Any = 1, **head: Any) -> ArtifactKey:
    """Write a manifest by hand, as nobody's persistable would."""
    payload = {"file": "payload.00000000.json", "format": "json", "format_version": 1, "size": 2, "files": None}
    payload |= {"digest": f"xxh3:{key}", "summary": "forged", "type": "x"}
    known = {"schema": schema, "key": key, "payload_name": name, "version": None, "code": [None, None]}
    sections = {
        "artifact": {**known, "payload": payload, **head},
        "params": {},
        "dependencies": dependencies,
        "generated": {"at": "2026-01-01T00:00:00+00:00"},
        "code": {},
        "metrics": {},
        "tags": [],
    }
    lines = ",\n".join(f'"{section}": {json.dumps(content)}' for section, content in sections.items())
    body = f"{lines}}}\n".encode()
    place = folder / name / key
    place.mkdir(parents=True)
    (place / "payload.00000000.json").write_text("{}")
    (place / "manifest.json").write_bytes(b'{"digest": "%b",\n%b' % (digest(body).encode(), body))
    return ArtifactKey(key, name)


def upstream(name: str, key: str, digest: str | None = None) -> dict[str, Any]:
    return {"payload_name": name, "key": key, "digest": digest}


# What is there


def test_before_anything_is_made_all_is_missing_and_named(store):
    lineage = Lineage.of(diamond(store)["top"])
    assert states(lineage) == dict.fromkeys(["data", "left", "right", "top"], "missing")
    assert lineage.root.payload_name == "top"
    assert {node.problem for node in lineage.nodes.values()} == {""}
    assert next(iter(lineage.nodes.values())).params == {"n": 5}
    assert not lineage.outdated


def test_each_node_is_there_once_upstreams_first_and_each_manifest_is_read_once(store):
    top = diamond(store)["top"]
    top.load_generate()
    for made in (lambda: Lineage.of(top), lambda: Lineage.of_artifact(store, top.key)):
        store.asked.clear()
        lineage = made()
        names = [node.payload_name for node in lineage.nodes.values()]
        assert names[0] == "data"
        assert names[-1] == "top"
        assert sorted(names) == ["data", "left", "right", "top"]
        assert sorted(store.asked) == sorted(f"{node.key.folder}/manifest.json" for node in lineage.nodes.values())


def test_the_graph_of_an_artifact_is_the_graph_of_its_persistable(store):
    top = diamond(store)["top"]
    top.load_generate()
    assert Lineage.of_artifact(store, top.key).to_dict() == Lineage.of(top).to_dict()


def test_a_node_tells_what_its_manifest_tells(store):
    data = NumbersP(store, NumbersParams(5))
    data.generate()
    node = Lineage.of(data).root
    assert (node.state, node.problem, node.params, node.summary) == ("whole", "", {"n": 5}, "list of 5")
    assert (node.digest, node.size) == (data.manifest.payload["digest"], data.manifest.payload["size"])
    assert node.at == data.manifest.generated["at"]


def test_an_upstream_that_is_gone_is_missing_and_the_rest_is_told(store, tmp_path):
    nodes = diamond(store)
    nodes["top"].load_generate()
    (tmp_path / nodes["left"].key.folder / "manifest.json").unlink()
    lineage = Lineage.of_artifact(store, nodes["top"].key)
    assert states(lineage) == {"left": "missing", "data": "whole", "right": "whole", "top": "whole"}
    assert "another" in lineage.nodes[nodes["left"].key].problem


def test_each_persistable_is_looked_for_in_its_own_store(tmp_path):
    data = NumbersP(tmp_path / "shared", NumbersParams(5), payload_name="data")
    total = sum_of(LocalStore(tmp_path / "mine"), "total", data=data)
    total.load_generate()
    assert states(Lineage.of(total)) == {"data": "whole", "total": "whole"}
    assert states(Lineage.of_artifact(LocalStore(tmp_path / "mine"), total.key)) == {
        "data": "missing",
        "total": "whole",
    }


def test_of_two_places_of_one_artifact_the_one_that_has_it_counts(tmp_path):
    here, there = (NumbersP(tmp_path / name, NumbersParams(5), payload_name="data") for name in ("here", "there"))
    there.generate()
    lineage = Lineage.of(sum_of(tmp_path, "total", one=here, other=there))
    assert states(lineage) == {"data": "whole", "total": "missing"}


def test_states_of_a_store_that_holds_everything(tmp_path):
    with make_mixed_store(tmp_path) as mixed:
        found = {
            key: Lineage.of_artifact(mixed.store, key).root
            for key in (mixed.damaged, mixed.newer, mixed.generating, mixed.half_deleted, mixed.failed, *mixed.whole)
        }
    assert [found[key].state for key in (mixed.damaged, mixed.newer, mixed.generating)] == [
        "corrupt",
        "newer",
        "generating",
    ]
    assert "digest" in found[mixed.damaged].problem
    assert "Upgrade" in found[mixed.newer].problem
    assert "process" in found[mixed.generating].problem
    assert [found[key].state for key in (mixed.half_deleted, mixed.failed)] == ["missing", "missing"]
    assert {key for key in mixed.whole if found[key].state != "whole"} == {mixed.gone}
    assert found[mixed.gone].state == "corrupt"


def test_a_generation_that_goes_on_is_told(store):
    nodes = diamond(store)
    with claim(store, nodes["data"].key, None, lambda message: None):
        lineage = Lineage.of(nodes["top"])
    assert states(lineage)["data"] == "generating"
    assert states(Lineage.of(nodes["top"]))["data"] == "missing"


# What is outdated


def test_nothing_is_outdated_after_it_was_made(store):
    top = diamond(store)["top"]
    top.load_generate()
    assert not Lineage.of(top).outdated


def test_an_upstream_of_other_content_outdates_what_was_made_from_it_and_all_that_came_of_that(store):
    nodes = diamond(store)
    nodes["top"].load_generate()
    remake("data", store, offset=1)
    lineage = Lineage.of_artifact(store, nodes["top"].key)
    data, left, right, _ = names_of(nodes)
    assert {one.payload_name: one.why for one in lineage.outdated.values()} == {
        "left": f"{data} {AGAIN}",
        "right": f"{data} {AGAIN}",
        "top": f"through {left} and {right}: {data} {AGAIN}",
    }
    assert list(lineage.outdated)[-1] == nodes["top"].key
    assert lineage.nodes[nodes["left"].key].remade == ("data",)
    assert not lineage.root.remade


def test_what_is_made_again_from_it_is_not_outdated_any_more(store):
    nodes = diamond(store)
    nodes["top"].load_generate()
    remake("data", store, offset=1)
    remake("left", store, offset=1)
    lineage = Lineage.of_artifact(store, nodes["top"].key)
    data, left, right, _ = names_of(nodes)
    assert {one.payload_name: one.why for one in lineage.outdated.values()} == {
        "right": f"{data} {AGAIN}",
        "top": f"{left} {AGAIN}; through {right}: {data} {AGAIN}",
    }


def test_an_upstream_made_again_with_the_same_content_outdates_nothing(store):
    nodes = diamond(store)
    nodes["top"].load_generate()
    remake("data", store, offset=0)
    assert not Lineage.of(nodes["top"]).outdated


def test_an_upstream_that_was_not_opened_outdates_nothing(store):
    data = NumbersP(store, NumbersParams(5))
    lazy = LazySumP(store, None, {"data": data})
    lazy.load_generate()
    data.generate()
    data.offset = 1
    data.generate()
    assert Lineage.of(lazy).root.used == {"data": None}
    assert not Lineage.of(lazy).outdated


def test_an_upstream_that_has_only_grown_outdates_nothing(store):
    growing = GrowingP(store, None)
    growing.load_generate(n=2)
    total = sum_of(store, "total", growing=CountP(store, None, [growing]))
    total.load_generate()
    growing.load_generate(n=5)
    assert not Lineage.of(total).outdated
    assert outdated(Catalog(store)) == []
    growing.generate(n=5)  # the same content again: it begins anew, and has grown from nothing
    assert [one.payload_name for one in outdated(Catalog(store))] == ["count_p", "total"]


class CountP(Persistable[int, None]):
    def _generate_payload(self) -> int:
        return len(self.tracked_persistable_dependencies["growing_p"].payload)


def test_outdated_results_of_a_whole_store(store):
    nodes = diamond(store)
    nodes["top"].load_generate()
    alone = sum_of(store, "alone", data=NumbersP(store, NumbersParams(6), payload_name="data"))
    alone.load_generate()
    assert outdated(Catalog(store)) == []
    remake("data", store, offset=1)
    found = outdated(Catalog(store))
    data, left, right, top = names_of(nodes)
    assert found[-1].why == f"through {left} and {right}: {data} {AGAIN}"
    again = "again: it is then made from what its upstreams are now"
    assert {one.remedy for one in found[:2]} == {f"generate() {name} {again}" for name in (left, right)}
    either = (f"{left} and {right}", f"{right} and {left}")
    assert found[-1].remedy in [f"generate() first {both}, then {top}" for both in either]
    assert found == sorted(Lineage.of(nodes["top"]).outdated.values(), key=found.index)
    assert {str(one) for one in found[:2]} == {f"{name} is outdated: {data} {AGAIN}" for name in (left, right)}


def test_outdated_results_of_a_store_that_holds_everything(tmp_path):
    with make_mixed_store(tmp_path) as mixed:
        assert outdated(Catalog(mixed.store)) == []


# Large, and hostile


def test_a_ladder_of_sixty_layers_is_120_nodes(store):
    one = other = NumbersP(store, NumbersParams(5))
    for layer in range(60):
        one, other = (sum_of(store, f"{side}{layer}", a=one, b=other) for side in "lr")
    lineage = Lineage.of(sum_of(store, "top", a=one, b=other))
    assert len(lineage.nodes) == 122
    assert len(str(lineage).splitlines()) <= 244
    assert lineage.to_svg().count("<title>") == 122


def test_a_chain_of_thousands_is_no_recursion(tmp_path):
    keys = [f"{number:032x}" for number in range(1500)]
    for number, key in enumerate(keys):
        forge(tmp_path, "link", key, {"before": upstream("link", keys[number - 1], "xxh3:other")} if number else {})
    lineage = Lineage.of_artifact(LocalStore(tmp_path), ArtifactKey(keys[-1], "link"))
    assert list(lineage.nodes) == keys
    assert [one.through for one in lineage.outdated.values()] == [(), *[("before",)] * 1498]
    assert "deeper" in str(lineage).splitlines()[-1]
    assert lineage.to_svg().count("<title>") == 1500
    assert len(lineage.to_mermaid()) > 0
    assert len(json.dumps(lineage.to_dict())) > 0


def test_a_circle_that_only_forged_manifests_can_close_is_shown(tmp_path):
    a, b = "a" * 32, "b" * 32
    forge(tmp_path, "one", a, {"other": upstream("two", b, "xxh3:old"), "itself": upstream("one", a, "xxh3:old")})
    forge(tmp_path, "two", b, {"other": upstream("one", a, "xxh3:old")})
    lineage = Lineage.of_artifact(LocalStore(tmp_path), ArtifactKey(a, "one"))
    assert states(lineage) == {"two": "whole", "one": "whole"}
    assert len(lineage.outdated) == 2
    assert "(see above)" in str(lineage)
    assert lineage.to_svg().count("<title>") == 2
    assert len(outdated(Catalog(tmp_path))) == 2


def test_persistables_in_a_circle_are_refused(store):
    one, other = sum_of(store, "one"), sum_of(store, "other")
    one.tracked_persistable_dependencies = {"other": other}
    other.tracked_persistable_dependencies = {"one": one}
    with pytest.raises(ParamsError, match="cycle"):
        Lineage.of(one)


def test_a_manifest_does_not_lead_out_of_the_store(tmp_path):
    forge(tmp_path / "outside", "secret", "c" * 32, {})
    (tmp_path / "store").mkdir()
    store = CountingStore(tmp_path / "store")
    for name, key in (("../outside/secret", "c" * 32), ("secret", f"../../outside/secret/{'c' * 32}"), ("", "")):
        folder = forge(tmp_path / "store", "one", digest(name.encode() + key.encode())[5:], {"up": upstream(name, key)})
        lineage = Lineage.of_artifact(store, folder)
        assert states(lineage) == {"one": "whole"}
    assert len(store.asked) == 3


@pytest.mark.parametrize(
    ("dependencies", "head"),
    [
        ({}, {"payload": None}),
        ({}, {"payload": {"digest": []}}),
        ({}, {"schema": "one"}),
        ({}, {"code": 5}),
    ],
)
def test_a_manifest_that_holds_what_none_does_is_one_corrupt_node(tmp_path, dependencies, head):
    key = forge(tmp_path, "one", "a" * 32, dependencies, **head)
    root = Lineage.of_artifact(LocalStore(tmp_path), key).root
    assert root.state == "corrupt"
    assert root.problem


def test_it_is_json(store):
    nodes = diamond(store)
    nodes["top"].load_generate()
    remake("data", store, offset=1)
    said = json.loads(json.dumps(Lineage.of(nodes["top"]).to_dict()))
    assert said["root"] == nodes["top"].key
    assert [node["payload_name"] for node in said["nodes"]][-1] == "top"
    edge = next(edge for edge in said["edges"] if edge["dependent"] == nodes["left"].key)
    assert (edge["upstream"], edge["role"], edge["remade"]) == (nodes["data"].key, "data", True)
    data, left, right, top = names_of(nodes)
    assert said["outdated"][-1]["why"] == f"through {left} and {right}: {data} {AGAIN}"
    assert said["outdated"][-1]["remedy"] == f"generate() first {right} and {left}, then {top}"
    assert said["outdated"][-1]["first"] == [nodes["right"].key, nodes["left"].key]


# What the code and the payloads tell


def test_a_node_whose_code_has_changed_since_is_marked(store):
    class Numbers2P(NumbersP):
        payload_name = "numbers"

        def _generate_payload(self) -> list[int]:
            return [self.params.n]

    numbers = Numbers2P(store, NumbersParams(1))
    numbers.load_generate()
    total = sum_of(store, "total", data=numbers)
    total.load_generate()
    assert not any(node.changed for node in total.lineage().nodes.values())

    class OtherP(NumbersP):
        payload_name = "numbers"

    other = sum_of(store, "total", data=OtherP(store, NumbersParams(1)))
    assert other.key == total.key
    assert [bool(node.changed) for node in other.lineage().nodes.values()] == [True, False]
    assert states(other.lineage()) == {"numbers": "whole", "total": "whole"}
    assert "[code changed: " in str(other.lineage())


@pytest.mark.parametrize("content", [b"too long by far", None])
def test_a_payload_that_is_missing_or_of_another_size_is_a_corrupt_node(store, tmp_path, content):
    data = NumbersP(store, NumbersParams(5))
    data.load_generate()
    file = tmp_path / data.key.folder / data.manifest.payload["file"]
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    root = Lineage.of(data).root
    assert root.state == "corrupt"
    assert root.problem.startswith("Its payload")
    assert root.digest == data.manifest.payload["digest"]  # what was made from it is not outdated by that


def test_of_very_many_only_some_are_named_in_a_remedy(tmp_path):
    keys = [f"{number:032x}" for number in range(30)]
    for number, key in enumerate(keys):
        forge(tmp_path, "link", key, {"before": upstream("link", keys[number - 1], "xxh3:other")} if number else {})
    lineage = Lineage.of_artifact(LocalStore(tmp_path), ArtifactKey(keys[-1], "link"))
    assert (
        "first the more than 20 outdated ones behind it, upstreams first, then link"
        in lineage.outdated[keys[-1]].remedy
    )
    assert lineage.outdated[keys[3]].remedy.count(" link") == 3
