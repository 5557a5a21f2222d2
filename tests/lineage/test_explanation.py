"""What load_generate() would do, and why; how an artifact came to be. For it, nothing is made or changed."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mixed_store import HOSTILE, MADE_BY_1_3_1, SCRIPT, MixedStore, make_mixed_store, model_p, of_schema_99

from persistable import ArtifactNotFoundError, JsonFileIO, LocalStore, Persistable, PersistableParams, artifacts
from persistable._integrity import digest
from persistable.keys import ArtifactKey
from persistable.lineage import Explanation
from persistable.lineage.explanation import explain_artifact
from persistable.stores.wrapper import WrapperStore


@dataclass
class DataParams(PersistableParams):
    n: int = 100
    unit: str = "m"


class DataP(Persistable[list[int], DataParams]):
    def _generate_payload(self, extra: int = 0) -> list[int]:
        return list(range(self.params.n + extra))


@dataclass
class ModelParams(PersistableParams):
    alpha: float = 1.0
    fails: bool = False


class ModelP(Persistable[float, ModelParams]):
    def __init__(
        self, data_dir: Any, alpha: float = 1.0, fails: bool = False, data_in: Any = None, **data: Any
    ) -> None:
        self.data_p = DataP(data_in or data_dir, DataParams(**data), payload_name="data")
        super().__init__(data_dir, ModelParams(alpha, fails), {"data": self.data_p}, payload_name="model")

    def _generate_payload(self) -> float:
        if self.params.fails:
            error = ValueError("no such column")
            error.add_note("said beside it")
            raise error
        return self.params.alpha * sum(self.data_p.payload)


class CountP(Persistable[list[int], None]):
    """A payload that grows."""

    def _generate_payload(self, n: int = 1, verify: str = "") -> list[int]:
        self.metrics = {"n": n}
        return list(range(n))

    def _is_sufficient(self, payload: list[int], n: int = 1, verify: str = "") -> bool:
        if verify == "raise":
            raise RuntimeError("cannot tell")
        assert self.payload == payload  # as in load_generate(), where it is in memory by then
        return len(payload) >= n

    def _extend_payload(self, payload: list[int], n: int = 1, verify: str = "") -> list[int]:
        self.metrics = {"n": n}
        return list(range(n))


def files_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def edit(persistable: Persistable[Any, Any], name: str, content: bytes) -> None:
    (persistable.persist_filepath / name).write_bytes(content)


# --- Misses ----------------------------------------------------------------------------------------------------------


def test_of_the_first_of_its_name_it_says_what_would_have_to_be_made(tmp_path: Path) -> None:
    model = ModelP(tmp_path)
    said = model.explain()
    assert said.state == "miss"
    assert str(said) == (
        f"model {model.key[:8]}: a miss, load_generate() would make it\n"
        f"  no other artifact of that name was found in {tmp_path}\n"
        f"  upstreams: data {model.data_p.key[:8]} would be made too"
    )
    assert said.one_line == f"model {model.key[:8]}: a miss, load_generate() would make it"
    assert files_in(tmp_path) == {}


def test_a_miss_is_told_by_its_neighbours_and_changes_nothing(tmp_path: Path) -> None:
    near, far, now = ModelP(tmp_path), ModelP(tmp_path, 3.0, n=7, unit="km"), ModelP(tmp_path, n=200)
    for each in (far, near):
        each.load_generate()
    before = files_in(tmp_path)
    said = now.explain()
    lines = str(said).splitlines()
    assert lines[1].startswith(f"  nearest: {near.key[:8]}, made ")
    assert f"@{near.manifest.generated['host']} in " in lines[1]
    assert lines[2:4] == ["    data.n: 100 -> 200", "    everything else is the same"]
    assert lines[4].startswith(f"  near too: {far.key[:8]}, made ")
    assert lines[4].endswith("alpha: 3.0 -> 1.0; data.n: 7 -> 200; data.unit: 'km' -> 'm'")
    assert lines[5] == f"  upstreams: data {now.data_p.key[:8]} would be made too"
    assert said.one_line.endswith(f"would make it; it is {near.key[:8]} but for data.n: 100 -> 200")
    assert files_in(tmp_path) == before
    assert [neighbour.key for neighbour in said.nearest] == [near.key, far.key]


def test_at_most_ten_differences_are_listed(tmp_path: Path) -> None:
    DictP(tmp_path, DictParams(dict.fromkeys("abcdefghijkl", 0))).load_generate()
    lines = str(DictP(tmp_path, DictParams(dict.fromkeys("abcdefghijkl", 1))).explain()).splitlines()
    assert lines[2] == "    values.a: 0 -> 1"
    assert lines[-2:] == ["    and 2 more", "    everything else is the same"]


@dataclass
class DictParams(PersistableParams):
    values: dict[str, Any]


class DictP(Persistable[int, DictParams]):
    def _generate_payload(self) -> int:
        return 1


def test_the_walk_up_ends_at_what_is_there_each_in_its_own_store(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    model = ModelP(tmp_path / "here", data_in=elsewhere)
    top = DataP(tmp_path / "here", DataParams(), {"model": model}, payload_name="top")
    assert [(up.payload_name, up.state) for up in top.explain().upstreams] == [
        ("model", "missing"),
        ("data", "missing"),
    ]
    model.data_p.load_generate()
    assert [(up.payload_name, up.state) for up in top.explain().upstreams] == [("model", "missing"), ("data", "whole")]
    model.load_generate()
    said = top.explain()
    assert [(up.payload_name, up.state) for up in said.upstreams] == [("model", "whole")]
    assert f"  upstreams: model {model.key[:8]} is there" in str(said)
    shutil.rmtree(elsewhere)  # the model is whole, and nobody needs what it was made from
    assert [up.payload_name for up in top.explain().upstreams] == ["model"]


def test_a_failure_before_is_told_by_its_error_and_not_by_a_note(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such column"):
        ModelP(tmp_path, fails=True).load_generate()
    said = ModelP(tmp_path, fails=True).explain()
    assert said.state == "miss"
    assert said.failed is not None
    assert said.failed.error == "ValueError: no such column"
    assert "  failed before: " in str(said)
    assert "was making it" not in str(said)


def test_a_class_that_was_renamed_is_found_under_its_old_name(tmp_path: Path) -> None:
    old = ModelP(tmp_path)
    old.load_generate()
    new = ModelP(tmp_path)
    new.payload_name = "model_of_means"
    said = str(new.explain())
    assert f"there is model {old.key[:8]}, which is the same but for the payload's name; to go on with that: " in said
    assert 'payload_name = "model" in the body of ModelP' in said


def test_a_class_of_params_that_was_renamed_is_guessed(tmp_path: Path) -> None:
    def make(name: str) -> Persistable[Any, Any]:
        params = dataclass(type(name, (PersistableParams,), {"__annotations__": {"n": int}}))
        return OneP(tmp_path, params(1))

    class OneP(Persistable[int, Any]):
        def _generate_payload(self) -> int:
            return 1

    make("Old").load_generate()
    assert "the class of its params may have had another name" in str(make("New").explain())


def test_another_version_of_the_class_is_the_difference(tmp_path: Path) -> None:
    class NewP(ModelP):
        version = "2"

    ModelP(tmp_path).load_generate()
    assert [str(one) for one in NewP(tmp_path).explain().nearest[0].differences] == ["(version): nothing -> '2'"]


def test_a_neighbour_that_is_damaged_or_newer_is_marked(tmp_path: Path) -> None:
    near, newer = ModelP(tmp_path), ModelP(tmp_path, n=5)
    for each in (near, newer):
        each.load_generate()
    edit(near, "manifest.json", near.manifest.data[:-4])
    edit(newer, "manifest.json", of_schema_99(newer.manifest.data))
    said = ModelP(tmp_path, n=200).explain()
    assert {neighbour.key: neighbour.state for neighbour in said.nearest} == {near.key: "corrupt", newer.key: "newer"}
    assert f"{near.key[:8]}, corrupt" in str(said)


class Elsewhere(WrapperStore):
    """A store that is no folder of this machine, and counts what it is asked for."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.asked: list[str] = []

    def local_path(self, path: str) -> None:
        return None

    def read(self, path: str) -> bytes:
        self.asked.append(f"read {path}")
        return super().read(path)

    def list(self, folder: str) -> Iterator[Any]:
        self.asked.append(f"list {folder}")
        return super().list(folder)


def test_elsewhere_a_miss_costs_one_listing_and_ten_reads_of_params_to_explain(tmp_path: Path) -> None:
    store = Elsewhere(LocalStore(tmp_path, fsync=False))
    for n in range(15):
        DataP(store, DataParams(n)).load_generate()
    store.asked.clear()
    missing = DataP(store, DataParams(99))
    said = missing.explain()
    assert len(said.nearest) == 3
    assert said.nearest[0].differences[0].before == 14  # of equally near ones, the newest
    assert sum(asked.endswith("params.json") for asked in store.asked) == 10
    assert [asked for asked in store.asked if asked.startswith("list")] == [
        f"list data_p/{missing.key}",
        "list data_p",
    ]
    assert len(store.asked) == 2 + 10 + 1 + 3  # its own manifest, and those of the three


# --- Hits ------------------------------------------------------------------------------------------------------------


def test_a_hit_says_who_made_it_and_how_it_would_be_returned(tmp_path: Path) -> None:
    model = ModelP(tmp_path)
    model.load_generate()
    said = model.explain()
    assert (said.state, said.verdict) == ("hit", "a hit, load_generate() would return the payload in memory")
    assert str(said).splitlines()[1].endswith("(float)")
    model.reset_payload()
    assert model.explain().verdict == "a hit, load_generate() would load it"
    assert 'explain("digest") reads every byte' in str(model.explain())
    assert repr(said).startswith(f"<Explanation: model {model.key[:8]}: a hit")


def test_a_payload_in_memory_that_was_not_persisted_says_so(tmp_path: Path) -> None:
    data = DataP(tmp_path, DataParams())
    data.generate(persist=False)
    said = data.explain()
    assert said.state == "hit"
    assert "persist() writes one" in str(said)
    data.params.n = 5
    assert data.explain().state == "miss"


def test_a_flipped_byte_is_found_where_all_bytes_are_asked_for(tmp_path: Path) -> None:
    for store in (LocalStore(tmp_path / "1"), Elsewhere(LocalStore(tmp_path / "2"))):
        made = DataP(store, DataParams())
        made.load_generate()
        file = Path(store.url) / made.key.folder / made.manifest.payload["file"]
        data = DataP(store, DataParams())
        assert data.explain("digest").remarks[-1] == "every byte of its payload is as it was written"
        content = bytearray(file.read_bytes())
        content[20] ^= 1
        file.write_bytes(content)
        assert data.explain().state == "hit"
        assert data.explain("digest").state == "corrupt"
        assert "has the digest" in str(data.explain("digest"))


def test_what_is_to_be_checked_is_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'size' or 'digest', got 'all'"):
        DataP(tmp_path, DataParams()).explain("all")  # type: ignore[arg-type]


def test_a_hit_of_other_code_says_what_changed_and_the_ways_out(tmp_path: Path) -> None:
    class OldP(Persistable[int, None]):
        payload_name = "one"

        def _generate_payload(self) -> int:
            return 1

    class NewP(Persistable[int, None]):
        payload_name = "one"

        def _generate_payload(self) -> int:
            return 2 - 1

    OldP(tmp_path, None).load_generate()
    said = NewP(tmp_path, None).explain()
    assert said.state == "stale"
    assert any("NewP._generate_payload is new" in change for change in said.changes)
    assert "give test_a_hit_of_other_code" in str(said)
    assert "or call generate() once; else leave it" in str(said)
    assert "with a warning" in said.verdict


def test_a_payload_that_must_grow_says_how_far_it_goes(tmp_path: Path) -> None:
    CountP(tmp_path, None).load_generate(n=3)
    count = CountP(tmp_path, None)
    said = count.explain(n=5)
    assert said.state == "insufficient"
    assert said.verdict == "whole, but not enough for what is asked; load_generate(n=5) would extend it"
    assert "it goes as far as: n 3" in said.remarks
    assert count.explain(n=3).state == "hit"
    assert count.__dict__["_Persistable__memory"] is None  # what was loaded for it is not kept
    assert count.load_generate(n=5) == [0, 1, 2, 3, 4]
    assert count.explain(n=5).verdict == "a hit, load_generate() would return the payload in memory"
    assert count.explain(n=6).state == "insufficient"


def test_a_hook_may_have_an_argument_called_verify_and_may_raise(tmp_path: Path) -> None:
    CountP(tmp_path, None).load_generate()
    assert CountP(tmp_path, None).explain(verify="x").state == "hit"
    said = CountP(tmp_path, None).explain(verify="raise")
    assert "whether it goes far enough is not known: RuntimeError: cannot tell" in said.remarks


def test_an_artifact_of_persistable_1_is_a_hit(tmp_path: Path) -> None:
    from test_persistable_1 import PointsP, PointsParams

    shutil.copytree(MADE_BY_1_3_1, tmp_path, dirs_exist_ok=True)
    said = PointsP(tmp_path, PointsParams(4)).explain()
    assert (said.state, said.verdict) == ("hit", "a hit, load_generate() would read what persistable 1.x wrote")


# --- Neither ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_payload_that_is_gone_or_of_another_size_is_corrupt(tmp_path: Path, elsewhere: bool) -> None:
    local = LocalStore(tmp_path)
    store = Elsewhere(local) if elsewhere else local
    made = ModelP(store)
    made.load_generate()
    file = tmp_path / made.key.folder / made.manifest.payload["file"]
    file.write_bytes(file.read_bytes() + b"x")
    said = ModelP(store).explain()
    assert (said.state, said.verdict) == ("corrupt", "corrupt, load_generate() would make it again")
    assert "bytes, but" in said.one_line
    file.unlink()
    assert "is missing" in str(ModelP(store).explain())


def test_a_damaged_manifest_is_told_with_its_file(tmp_path: Path) -> None:
    model = ModelP(tmp_path)
    model.load_generate()
    edit(model, "manifest.json", model.manifest.data[:-9])
    said = ModelP(tmp_path).explain()
    assert said.state == "corrupt"
    assert f"The manifest model/{model.key}/manifest.json" in str(said)


def test_a_manifest_that_holds_what_none_does_is_corrupt(tmp_path: Path) -> None:
    model = ModelP(tmp_path)
    model.load_generate()
    body = model.manifest.data.partition(b"\n")[2].replace(b'"payload": {', b'"payload": 5, "other": {', 1)
    edit(model, "manifest.json", b'{"digest": "%b",\n%b' % (digest(body).encode(), body))
    assert ModelP(tmp_path).explain().state == "corrupt"
    assert explain_artifact(LocalStore(tmp_path), model.key).state == "corrupt"


def test_a_format_that_is_not_the_readers_is_told_before_it_raises(tmp_path: Path) -> None:
    DataP(tmp_path, DataParams()).load_generate()
    said = DataP(tmp_path, DataParams(), payload_io=JsonFileIO()).explain()
    assert said.state == "newer"
    assert said.verdict == "there, but not to be read here; load_generate() would raise PayloadError"


def test_somebody_who_is_generating_is_named_with_their_last_sign_of_life(tmp_path: Path) -> None:
    store, key = LocalStore(tmp_path), ModelP(tmp_path).key
    with claim(store, key):
        said = ModelP(tmp_path).explain()
        assert said.state == "generating"
        assert said.verdict.startswith(f"being made by process {os.getpid()} on ")
        assert said.verdict.endswith(", load_generate() would wait for it")
        assert "its last sign of life was" in str(said)
        silent = LocalStore(tmp_path, time_to_live=1e-9)
        assert "load_generate() would take over" in str(ModelP(silent).explain())
        alone = LocalStore(tmp_path, single_flight=False)
        assert ModelP(alone).explain().verdict.endswith("load_generate() would make it too")
        assert explain_artifact(store, key).state == "generating"


def test_a_process_that_has_ended_holds_nothing_up(tmp_path: Path, run_python: Any) -> None:
    run_python(
        "import os, sys; from persistable import LocalStore; from persistable.keys import ArtifactKey\n"
        "from persistable import artifacts\n"
        "artifacts.claim(LocalStore(sys.argv[1]), ArtifactKey(sys.argv[2], 'model'), None, print).__enter__()\n"
        "os._exit(0)",
        str(tmp_path),
        str(ModelP(tmp_path).key),
    )
    said = ModelP(tmp_path).explain()
    assert said.state == "miss"
    assert any("and came to no result: it has ended" in remark for remark in said.remarks)


def claim(store: LocalStore, key: ArtifactKey) -> Any:
    lease = artifacts.claim(store, key, None, print)
    assert lease is not None
    return lease


# --- Artifacts without their class -----------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[MixedStore]:
    with make_mixed_store(tmp_path) as store, contextlib.ExitStack() as stack:
        stack.push(store.lease)  # left as it was entered, so that this thread holds nothing any more
        yield store


def test_every_kind_of_entry_is_explained(mixed: MixedStore) -> None:
    states = {
        mixed.models[0].key: "whole",
        mixed.data.key: "whole",
        mixed.damaged: "corrupt",
        mixed.gone: "corrupt",
        mixed.newer: "newer",
        mixed.half_deleted: "unfinished",
        mixed.failed: "failed",
        mixed.generating: "generating",
    }
    for key, state in states.items():
        said = explain_artifact(mixed.store, key)
        assert said.state == state, said
        json.dumps(said.to_dict(), allow_nan=False)
    with pytest.raises(ArtifactNotFoundError):
        explain_artifact(mixed.store, ArtifactKey("0" * 32, "model"))


def test_every_kind_of_entry_is_explained_with_its_class(mixed: MixedStore) -> None:
    found = {alpha: model_p(mixed.store, mixed.data, alpha).explain().state for alpha in (10.0, 11.0, 12.0, 13.0, 15.0)}
    assert found == {10.0: "corrupt", 11.0: "corrupt", 12.0: "newer", 13.0: "miss", 15.0: "generating"}
    assert model_p(mixed.store, mixed.data, 14.0, fail=True).explain().failed is not None


def test_what_a_store_brings_is_shown_harmlessly(mixed: MixedStore) -> None:
    for said in (
        explain_artifact(mixed.store, mixed.models[2].key),
        explain_artifact(mixed.store, mixed.failed),
        model_p(mixed.store, mixed.data, 4.0, **{**HOSTILE, SCRIPT: "\x1b[31m"}).explain(),
        model_p(mixed.store, mixed.data, 14.0, fail=True).explain(),
    ):
        for text in (str(said), said.one_line, repr(said)):
            assert all(line.isprintable() for line in text.splitlines()), text
            assert max(map(len, text.splitlines())) < 1500
        assert "<script" not in said._repr_html_()
        assert "\x1b" not in said._repr_html_()


def test_an_artifact_tells_what_its_log_said_and_what_was_made_before_it(tmp_path: Path) -> None:
    models = [ModelP(tmp_path, n=n) for n in (100, 200, 300)]
    for age, model in enumerate(models):
        model.load_generate()
        os.utime(model.persist_filepath, (1000 + age, 1000 + age))
    said = explain_artifact(LocalStore(tmp_path), models[1].key)
    assert said.state == "whole"
    assert f"its log begins: Generating model {models[1].key}, which is {models[0].key[:8]} but for data.n" in str(said)
    assert [neighbour.key for neighbour in said.nearest] == [models[0].key]  # not the third, which is as near
    assert "\n  nearest before it: " in str(said)
    assert "\n  upstreams: as they were used" in str(said)
    assert explain_artifact(LocalStore(tmp_path), models[0].key).nearest == ()


def test_an_upstream_that_was_made_again_is_told_apart_from_one_that_has_grown_and_one_that_is_gone(
    tmp_path: Path,
) -> None:
    model, count = ModelP(tmp_path), CountP(tmp_path, None)
    model.load_generate()
    model.data_p.generate(extra=1)
    assert f"upstreams: data {model.data_p.key[:8]} has been made again since, with other content" in str(
        ModelP(tmp_path).explain()
    )
    count.load_generate(n=1)
    total = TotalP(tmp_path, None, {"count": count})
    total.load_generate()
    count.load_generate(n=2)
    count.load_generate(n=3)
    assert "has grown since" in str(explain_artifact(LocalStore(tmp_path), total.key))
    assert "it has grown 2 times since it was first made" in str(explain_artifact(LocalStore(tmp_path), count.key))
    shutil.rmtree(count.persist_filepath)
    assert f"count_p {count.key[:8]} is gone" in str(explain_artifact(LocalStore(tmp_path), total.key))


class TotalP(Persistable[int, None]):
    def _generate_payload(self) -> int:
        return sum(self.tracked_persistable_dependencies["count"].payload)


def test_what_a_payload_grew_from_is_in_its_manifest_oldest_first(tmp_path: Path) -> None:
    digests = []
    for n in (1, 2, 3):
        count = CountP(tmp_path, None)
        count.load_generate(n=n)
        digests.append(count.manifest.payload["digest"])
    assert count.manifest.generated["grown_from"] == digests[:2]
    count.generate(n=5)
    assert "grown_from" not in count.manifest.generated


# --- Upstreams, and what is behind them ------------------------------------------------------------------------------


@dataclass
class RawParams(PersistableParams):
    n: int = 3


class RawP(Persistable[list[int], RawParams]):
    offset = 0

    def _generate_payload(self) -> list[int]:
        return [number + self.offset for number in range(self.params.n)]


class FeatP(Persistable[int, None]):
    def _generate_payload(self) -> int:
        return sum(self.tracked_persistable_dependencies["raw"].payload)


class TopP(Persistable[int, RawParams]):
    def _generate_payload(self) -> int:
        return int(self.tracked_persistable_dependencies["feat"].payload) + self.params.n


def chain(data_dir: Any, n: int = 0, feat: type[Persistable[Any, Any]] = FeatP) -> dict[str, Persistable[Any, Any]]:
    raw = RawP(data_dir, RawParams())
    middle = feat(data_dir, None, {"raw": raw}, payload_name="feat_p")
    return {"raw": raw, "feat": middle, "top": TopP(data_dir, RawParams(n), {"feat": middle})}


def make_raw_again(data_dir: Any) -> None:
    raw = RawP(data_dir, RawParams())
    raw.offset = 1
    raw.generate()


def short(persistable: Persistable[Any, Any]) -> str:
    return f"{persistable.payload_name} {persistable.key[:8]}"


def test_what_is_outdated_through_another_says_so_and_what_to_make_again_first(tmp_path: Path) -> None:
    nodes = chain(tmp_path)
    nodes["top"].load_generate()
    make_raw_again(tmp_path)
    feat, raw, top = (short(nodes[name]) for name in ("feat", "raw", "top"))
    again = f"{raw} has been made again since, with other content"
    for said in (chain(tmp_path)["top"].explain(), explain_artifact(LocalStore(tmp_path), nodes["top"].key)):
        assert f"  upstreams: outdated through {feat}: {again}\n" in str(said)
        assert str(said).endswith(f"generate() first {feat}, then {top}")
    said = chain(tmp_path)["feat"].explain()
    assert f"  upstreams: raw: {again}\n" in str(said)
    assert said.remedy.startswith(f"generate() {feat} again")
    assert f"through {feat}: {again}" in str(nodes["top"].lineage())


def test_a_miss_tells_of_an_upstream_that_it_would_use_and_that_is_outdated(tmp_path: Path) -> None:
    nodes = chain(tmp_path)
    nodes["top"].load_generate()
    make_raw_again(tmp_path)
    said = chain(tmp_path, n=5)["top"].explain()
    feat, raw = short(nodes["feat"]), short(nodes["raw"])
    assert said.state == "miss"
    assert f"upstreams: feat: {feat} is there, but outdated: {raw} has been made again since" in str(said)
    assert said.remedy == f"generate() first {feat}, then load_generate() this"


def test_code_of_upstreams_that_has_changed_is_told_and_a_hit_stays_one(tmp_path: Path) -> None:
    class NewFeatP(FeatP):
        def _generate_payload(self) -> int:
            return 7

    chain(tmp_path)["top"].load_generate()
    said = chain(tmp_path, feat=NewFeatP)["top"].explain()
    feat = short(chain(tmp_path)["feat"])
    assert said.state == "hit"
    assert f"  upstreams: the code of {feat} has changed since it was made" in str(said)
    miss = str(chain(tmp_path, 9, NewFeatP)["top"].explain())
    assert f"feat: {feat} is there; the code of {feat} has changed since it was made" in miss
    behind = TopP(tmp_path, RawParams(), {"feat": chain(tmp_path, feat=NewFeatP)["top"]}, payload_name="behind")
    behind.load_generate()
    assert f"the code of {feat} has changed since it was made" in str(behind.explain())


def test_roles_are_told_where_they_say_more_than_the_name(tmp_path: Path) -> None:
    left, right = RawP(tmp_path, RawParams(1)), RawP(tmp_path, RawParams(2))
    both = TotalP(tmp_path, None, {"left": left, "raw_p": right})
    assert f"upstreams: left: {short(left)} and {short(right)} would be made too" in str(both.explain())


def test_an_upstream_that_may_grow_is_there_and_no_more_is_promised(tmp_path: Path) -> None:
    count = CountP(tmp_path, None)
    count.load_generate(n=2)
    said = TotalP(tmp_path, None, {"count": count}).explain()
    assert f"count: {short(count)} is there; whether it goes far enough shows when it is asked" in str(said)


def test_an_upstream_that_was_not_opened_is_not_called_gone(tmp_path: Path) -> None:
    class LazyP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            return 0

    lazy = LazyP(tmp_path, None, [RawP(tmp_path, RawParams())])
    lazy.load_generate()
    lazy.reset_payload()
    assert "upstreams" not in str(lazy.explain())
    said = str(explain_artifact(LocalStore(tmp_path), lazy.key))
    assert "was not opened, or not persisted then" in said
    assert "gone" not in said


def test_of_very_many_upstreams_some_are_looked_at_and_it_says_so(tmp_path: Path) -> None:
    many = {f"up{n}": RawP(tmp_path, RawParams(n)) for n in range(120)}
    said = TotalP(tmp_path, None, many).explain()
    assert len(said.upstreams) == 100
    assert "only 100 upstreams were looked at; lineage() looks at all of them" in said.remarks
    elsewhere = Elsewhere(LocalStore(tmp_path))
    far = {f"up{n}": RawP(elsewhere, RawParams(n)) for n in range(30)}
    assert len(TotalP(elsewhere, None, far).explain().upstreams) == 20


# --- How an artifact came to be --------------------------------------------------------------------------------------


def test_the_first_of_a_name_is_called_that(tmp_path: Path) -> None:
    first, second = ModelP(tmp_path), ModelP(tmp_path, 2.0)
    first.load_generate()
    second.load_generate()
    store = LocalStore(tmp_path)
    assert "the first of that name" in explain_artifact(store, first.key).remarks
    assert "the first of that name" not in explain_artifact(store, second.key).remarks


def test_the_one_that_the_log_names_is_the_neighbour_as_long_as_it_is_there(tmp_path: Path) -> None:
    near, now = ModelP(tmp_path, n=100), ModelP(tmp_path, n=200)
    near.load_generate()
    now.load_generate()
    nearer = ModelP(tmp_path, n=200)
    nearer.params = ModelParams(1)  # an int: nearer than any other, and made later
    nearer.load_generate()
    os.utime(nearer.persist_filepath, (1, 1))
    store = LocalStore(tmp_path)
    assert [one.key for one in explain_artifact(store, now.key).nearest] == [near.key]
    shutil.rmtree(near.persist_filepath)
    assert near.key not in [one.key for one in explain_artifact(store, now.key).nearest]


def test_made_again_is_said_with_its_reason(tmp_path: Path) -> None:
    model = ModelP(tmp_path)
    model.load_generate()
    model.generate()
    assert "it was made again: generate() was called" in explain_artifact(LocalStore(tmp_path), model.key).remarks


def test_one_that_failed_tells_its_nearest_from_its_log(tmp_path: Path) -> None:
    near = ModelP(tmp_path)
    near.load_generate()
    failing = ModelP(tmp_path, fails=True)
    with pytest.raises(ValueError, match="no such column"):
        failing.load_generate()
    said = explain_artifact(LocalStore(tmp_path), failing.key)
    assert said.state == "failed"
    assert f"  nearest: {near.key[:8]}, made " in str(said)
    assert "    fails: False -> True (as its log says)" in str(said)
    with pytest.raises(ValueError, match="no such column"):
        ModelP(tmp_path / "other", fails=True).load_generate()
    alone = explain_artifact(LocalStore(tmp_path / "other"), failing.key)
    assert "it was to be the first of that name" in alone.remarks


def test_with_the_payload_in_memory_the_bytes_of_the_artifact_are_read_too_if_asked(tmp_path: Path) -> None:
    model = ModelP(tmp_path)
    model.load_generate()
    assert "every byte of its payload in the store is as it was written" in model.explain("digest").remarks
    file = model.persist_filepath / model.manifest.payload["file"]
    file.write_bytes(b"x" * file.stat().st_size)
    said = model.explain("digest")
    assert said.state == "hit"  # load_generate() returns what is in memory
    assert any("but of its artifact in the store: " in remark and "digest" in remark for remark in said.remarks)
    shutil.rmtree(model.persist_filepath)
    assert "but of its artifact in the store: it is not there any more" in model.explain("digest").remarks


def test_a_damaged_neighbour_is_read_once(tmp_path: Path) -> None:
    store = Elsewhere(LocalStore(tmp_path))
    near = ModelP(store)
    near.load_generate()
    (tmp_path / near.key.folder / "manifest.json").write_bytes(b"{")
    store.asked.clear()
    ModelP(store, 2.0).explain()
    assert store.asked.count(f"read {near.key.folder}/manifest.json") == 1


# --- Forms -----------------------------------------------------------------------------------------------------------


def test_the_json_form_says_all(tmp_path: Path) -> None:
    ModelP(tmp_path).load_generate()
    said = json.loads(json.dumps(ModelP(tmp_path, n=200).explain().to_dict()))
    assert said["state"] == "miss"
    assert said["nearest"][0]["differences"] == [{"path": "data.n", "before": 100, "after": 200}]
    assert said["nearest"][0]["made"]["seconds"] >= 0
    assert dt.datetime.fromisoformat(said["nearest"][0]["made"]["at"]).tzinfo is not None
    assert said["upstreams"][0]["state"] == "missing"


def test_the_card_holds_the_same_lines(tmp_path: Path) -> None:
    ModelP(tmp_path).load_generate()
    said: Explanation = ModelP(tmp_path, n=200).explain()
    assert "data.n: 100 -&gt; 200" in said._repr_html_()


def test_a_class_may_have_its_own_explain_and_lineage(tmp_path: Path) -> None:
    class OwnP(DataP):
        lineage = "mine"

        def explain(self) -> str:  # type: ignore[override]
            return "my own"

    own = OwnP(tmp_path, DataParams())
    assert own.load_generate() == list(range(100))
    assert (own.explain(), own.lineage) == ("my own", "mine")
