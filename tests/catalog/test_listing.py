"""A catalogue lists all that lies in a store, and notices what changes there."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from mixed_store import DataP, DataParams, ModelP, ModelParams, made, model_p

from persistable import FsspecStore, LocalStore, Persistable, PersistableParams, StoreError
from persistable._integrity import digest
from persistable.catalog import Catalog, listing
from persistable.manifest import Manifest


def states_of(catalog):
    return {record.path: record.state for record in catalog.find(state="any")}


def an_hour_ago(folder):
    """Make a store look as if nobody had touched it for an hour."""
    then = time.time() - 3600
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            os.utime(path, (then, then))


def expected(mixed):
    folders = {key.folder: "whole" for key in mixed.whole} | {
        mixed.damaged.folder: "corrupt",
        mixed.newer.folder: "newer",
        mixed.half_deleted.folder: "unfinished",
        mixed.failed.folder: "failed",
        mixed.generating.folder: "generating",
        mixed.persistable_1: "1.x",
    }
    return folders | dict.fromkeys(mixed.foreign, "foreign")


def test_every_kind_of_entry_is_listed_with_its_state(mixed):
    assert states_of(Catalog(mixed.folder)) == expected(mixed)


def test_what_is_not_whole_says_why_in_one_line(mixed):
    problems = {record.path: record.problem for record in Catalog(mixed.folder).find(state="any")}
    assert "digest" in problems[mixed.damaged.folder]
    assert "newer persistable" in problems[mixed.newer.folder]
    assert f"Process {os.getpid()} on" in problems[mixed.generating.folder]
    assert Catalog(mixed.folder).get(mixed.generating).host == socket.gethostname()
    assert "raised" in problems[mixed.failed.folder]
    assert "no manifest" in problems[mixed.half_deleted.folder]
    assert all(problem.isprintable() for problem in problems.values())
    assert [problem for path, problem in problems.items() if path in {key.folder for key in mixed.whole}] == [""] * 5


def test_a_record_says_what_the_manifest_says(mixed):
    model = mixed.models[2]
    record, manifest = Catalog(mixed.folder).get(model.key), model.manifest
    assert (record.payload_name, record.key, record.key.payload_name) == ("model", model.key, "model")
    assert (record.params, record.dependencies) == (manifest.params, manifest.dependencies)
    assert (record.metrics, record.tags) == (manifest.metrics, manifest.tags)
    assert record.metrics["worst"] == float("inf")
    made = manifest.generated
    assert (record.at, record.seconds, record.host, record.user) == tuple(
        made[name] for name in ("at", "seconds", "host", "user")
    )
    assert (record.class_name, record.packages, record.git) == (made["class"], made["packages"], made["git"])
    assert (record.size, record.digest) == (manifest.payload["size"], manifest.payload["digest"])
    assert (record.format, record.type, record.summary) == ("pickle", "builtins.dict", "dict of 1")
    assert Catalog(mixed.folder).get(mixed.data.key).version == "1"


def test_a_record_is_plain_json(mixed):
    records = [
        json.loads(json.dumps(record.to_dict(), allow_nan=False)) for record in Catalog(mixed.folder).find(state="any")
    ]
    assert {record["state"] for record in records} >= {"whole", "corrupt", "newer", "generating", "foreign", "1.x"}
    hostile = next(record for record in records if record["key"] == mixed.models[2].key)
    assert hostile["params"]["options"]["html"].startswith("<script>")
    assert hostile["metrics"]["worst"] == {"$float": "inf"}
    assert hostile["dependencies"]["data"]["key"] == mixed.data.key


def test_a_summary_in_other_letters_is_read(tmp_path):
    class FrameP(Persistable):
        def _generate_payload(self):
            import numpy as np

            return np.zeros((2, 3))

    FrameP(tmp_path, None).load_generate()
    [record] = Catalog(tmp_path)
    assert record.summary == "ndarray 2 × 3 float64"


def test_a_folder_that_is_not_there_is_an_error_until_something_is_persisted_to_it(tmp_path):
    catalog = Catalog(tmp_path / "none")
    with pytest.raises(StoreError, match="There is no folder"):
        len(catalog)
    made(DataP(tmp_path / "none", DataParams(1)))
    assert len(catalog) == 1


def test_a_file_in_the_place_of_a_store_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        len(Catalog(tmp_path / "file"))


@pytest.mark.parametrize("settled", [False, True])
def test_new_artifacts_and_those_that_go_are_noticed(mixed, settled):
    if settled:
        an_hour_ago(mixed.folder)
    catalog, before = Catalog(mixed.folder), expected(mixed)
    assert states_of(catalog) == before
    new = made(model_p(mixed.store, mixed.data, 77.0))
    assert states_of(catalog) == before | {new.folder: "whole"}
    shutil.rmtree(mixed.folder / new.folder)
    shutil.rmtree(mixed.folder / "data")
    del before[mixed.data.key.folder]
    assert states_of(catalog) == before


@pytest.mark.parametrize("many", [False, True])
def test_an_artifact_that_is_made_again_is_noticed(mixed, monkeypatch, many):
    """Also where there are so many that the times of their folders were not looked at."""
    if many:
        monkeypatch.setattr(listing, "_VERY_MANY", 0)
    an_hour_ago(mixed.folder)
    catalog, model = Catalog(mixed.folder), mixed.models[0]
    before = catalog.get(model.key).digest
    ModelP._generate_payload, old = lambda self: {"mean": "another"}, ModelP._generate_payload
    try:
        model.generate()
    finally:
        ModelP._generate_payload = old
    after = catalog.get(model.key).digest
    assert after == model.manifest.payload["digest"] != before
    assert catalog.get(model.key).metrics == {}


def test_a_damaged_artifact_that_is_made_again_is_whole(mixed):
    an_hour_ago(mixed.folder)
    catalog = Catalog(mixed.folder)
    assert catalog.get(mixed.damaged).state == "corrupt"
    model_p(mixed.store, mixed.data, 10.0).generate()
    assert catalog.get(mixed.damaged).state == "whole"


def test_what_was_being_made_is_looked_at_again_although_nothing_announces_it(mixed):
    an_hour_ago(mixed.folder)
    catalog = Catalog(mixed.folder)
    assert catalog.get(mixed.generating).state == "generating"
    mixed.lease.release()
    with pytest.raises(FileNotFoundError):
        catalog.get(mixed.generating)


def test_a_lease_of_the_dead_is_no_generation(mixed):
    record = {"token": "0" * 8, "state": "generating", "beat": 0, "host": "elsewhere", "pid": 1, "since": "2026-01-01"}
    lease = mixed.folder / mixed.generating.folder / "lease" / "1"
    lease.write_text(json.dumps(record))
    os.utime(lease, (1.7e9, 1.7e9))
    found = Catalog(mixed.folder).get(mixed.generating)
    assert found.state == "unfinished"
    assert found.problem.startswith("Process 1 on elsewhere did not finish it: it gave no sign of life for")


def test_a_settled_store_is_not_looked_through_again(mixed, monkeypatch):
    an_hour_ago(mixed.folder)
    before = states_of(Catalog(mixed.folder))
    read = []
    monkeypatch.setattr(listing, "fields_of_manifest", lambda *arguments: read.append(arguments))
    monkeypatch.setattr(listing.os, "listdir", lambda folder: pytest.fail(f"{folder} was listed"))
    assert states_of(Catalog(mixed.folder)) == before
    assert read == []


def test_only_what_is_new_is_read(mixed, monkeypatch):
    an_hour_ago(mixed.folder)
    monkeypatch.setattr(listing, "_YOUNG", 0)  # all of it has just been made
    catalog = Catalog(mixed.folder)
    len(catalog)
    new = made(model_p(mixed.store, mixed.data, 77.0))
    read, fields_of_manifest = [], listing.fields_of_manifest
    monkeypatch.setattr(
        listing, "fields_of_manifest", lambda name, key, *more: read.append(key) or fields_of_manifest(name, key, *more)
    )
    len(catalog)
    assert read == [new]


def test_what_a_backup_brings_back_with_its_old_times_is_noticed(mixed, monkeypatch):
    monkeypatch.setattr(listing, "_VERY_MANY", 1)  # as in a large store
    key = mixed.models[0].key
    backup = mixed.folder.parent / "backup"
    shutil.copytree(mixed.folder / "model", backup)
    mixed.models[0].generate()
    an_hour_ago(mixed.folder)
    catalog = Catalog(mixed.folder)
    after = catalog.get(key).manifest
    shutil.rmtree(mixed.folder / key.folder)
    shutil.copytree(backup / key, mixed.folder / key.folder)  # with the times of the backup
    assert catalog.get(key).manifest != after
    assert catalog.get(key).at is not None
    an_hour_ago(mixed.folder)


def test_another_folder_at_the_same_path_is_looked_through(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_VERY_MANY", 1)
    for name, metrics in (("one", 1.0), ("other", 2.0)):
        data_p = DataP(tmp_path / name, DataParams(1))
        data_p.load_generate()
        data_p.metrics["which"] = metrics
        data_p.persist()
    an_hour_ago(tmp_path / "one")
    an_hour_ago(tmp_path / "other")
    catalog = Catalog(tmp_path / "one")
    assert [record.metrics["which"] for record in catalog] == [1.0]
    shutil.move(tmp_path / "one", tmp_path / "away")
    shutil.move(tmp_path / "other", tmp_path / "one")
    assert [record.metrics["which"] for record in catalog] == [2.0]


@pytest.mark.parametrize("name", ["failed-99999999T999999Z.log", "failed-٠٠٠٠٠٠٠٠T٠٠٠٠٠٠Z.log", "lease/0"])
def test_one_odd_file_takes_nothing_down(mixed, name):
    path = mixed.folder / "model" / ("a" * 32) / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"[" * 200_000)
    assert Catalog(mixed.folder).get("aaaaaaaa").state in ("failed", "unfinished", "generating")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_nobody_waits_for_a_pipe_in_the_place_of_a_manifest(mixed):
    folder = mixed.folder / "model" / ("a" * 32)
    folder.mkdir()
    os.mkfifo(folder / "manifest.json")
    assert Catalog(mixed.folder).get("aaaaaaaa").state == "corrupt"


def test_a_time_that_is_young_when_it_is_seen_is_not_trusted(mixed):
    """Within one tick of the clock, a manifest may come after the listing: the folder has the same time."""
    catalog = Catalog(mixed.folder)
    len(catalog)
    folder = mixed.folder / "model"
    before = os.stat(folder)
    new = made(model_p(mixed.store, mixed.data, 77.0))
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert catalog.get(new).state == "whole"


def test_a_manifest_that_was_changed_in_its_place_is_found_by_a_full_look(mixed):
    an_hour_ago(mixed.folder)
    catalog, path = Catalog(mixed.folder), mixed.folder / mixed.models[0].key.folder / "manifest.json"
    len(catalog)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data.replace(b'"plain"', b'"PLAIN"'))
    os.utime(path.parent, ns=(0, os.stat(path.parent).st_mtime_ns))
    assert catalog.get(mixed.models[0].key).state == "whole"
    catalog.refresh(full=True)
    assert catalog.get(mixed.models[0].key).state == "corrupt"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_manifest_that_may_not_be_read_is_listed(mixed):
    path = mixed.folder / mixed.models[0].key.folder / "manifest.json"
    path.chmod(0)
    record = Catalog(mixed.folder).get(mixed.models[0].key)
    assert (record.state, record.problem) == ("corrupt", "Its manifest cannot be read: Permission denied.")
    path.chmod(0o600)
    assert Catalog(mixed.folder).get(mixed.models[0].key).state == "whole"


def test_a_file_name_that_is_no_text_is_listed(tmp_path):
    name = os.fsdecode(b"\xff\xfe.bin")
    (tmp_path / name).write_bytes(b"")
    catalog = Catalog(tmp_path)
    assert [record.path for record in catalog.find(state="foreign")] == [name]
    (tmp_path / name).unlink()
    assert len(catalog) == 0


def signed(body):
    """Return a manifest with this body, and the digest that says that it is what was written."""
    return b'{"digest": "%b",\n%b' % (digest(body).encode(), body)


KEY = "0123456789abcdef" * 2
HEAD = f'"artifact": {{"schema": 1, "key": "{KEY}", "payload_name": "model", '


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n" * 7,
        b'"artifact": {}}\n',
        b'"artifact": 5,\n"params": 6}\n',
        (HEAD + '"payload": 7},\n').encode() + b"\n" * 6,
        (HEAD + '"version": null, "payload": {"size": 1, "digest": [2]}},\n').encode() + b"[\n{\n" * 3,
        (HEAD + '"version": {}, "payload": {"size": 1, "digest": 3}},\n"params": [1],\n'
         '"dependencies": {"a": 1},\n"generated": {"at": "x", "packages": 3, "seconds": "y"},\n"code": {},\n'
         '"metrics": {"$float": []},\n"tags": 4}\n').encode(),
        (HEAD + '"version": null, "payload": {"size": 1, "summary": "\\ud800"}},\n"params": ' + "[" * 100_000
         + ',\n"dependencies": {},\n"generated": {"at": "x"},\n"code": {},\n"metrics": {},\n"tags": []}\n').encode(),
    ],
)  # fmt: skip
def test_a_signed_manifest_that_holds_anything_is_listed_and_shown(tmp_path, body):
    folder = tmp_path / "model" / KEY
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(signed(body))
    catalog = Catalog(tmp_path)
    record = catalog.get(KEY)
    assert record.state in ("whole", "corrupt", "newer")
    json.dumps(record.to_dict())
    kinds = (dict, dict, list, dict, dict)
    shown = (record.metrics, record.params, record.tags, record.dependencies, record.packages)
    assert tuple(map(type, shown)) == kinds
    assert KEY[:8] in str(catalog.find())
    assert KEY[:8] in catalog.find()._repr_html_()
    assert catalog.dependents(KEY) == []
    assert not catalog.find(where="user == 'nobody'")


def test_a_manifest_in_the_folder_of_another_key_is_corrupt(mixed):
    data = (mixed.folder / mixed.models[0].key.folder / "manifest.json").read_bytes()
    place = mixed.folder / "model" / KEY
    place.mkdir()
    (place / "manifest.json").write_bytes(data)
    assert Manifest.parse(data).key == mixed.models[0].key
    record = Catalog(mixed.folder).get(KEY)
    assert record.state == "corrupt"
    assert f"the one of model {mixed.models[0].key}" in record.problem


# ---------------------------------------------------------------------------------------------------------------------
# Elsewhere than in a folder


class Remote(LocalStore):
    """A store that is a folder, and does not tell."""

    reads: list[str]

    def __init__(self, path):
        super().__init__(path)
        self.reads = []

    def local_path(self, path):
        return None if path == "" else super().local_path(path)

    def read(self, path):
        self.reads.append(path)
        return super().read(path)


def test_any_store_is_listed_as_a_folder_is(mixed):
    assert states_of(Catalog(Remote(mixed.folder))) == expected(mixed)


def test_a_store_behind_a_network_reads_each_manifest_once(mixed):
    store = Remote(mixed.folder)
    catalog = Catalog(store)
    for manifest in mixed.folder.glob("*/*/manifest.json"):
        os.utime(manifest, (1.7e9, 1.7e9))
    os.utime(mixed.folder / mixed.models[0].key.folder / "manifest.json")  # the newest may change within its second
    len(catalog)
    assert sum(path.endswith("manifest.json") for path in store.reads) == len(mixed.whole) + 2
    store.reads.clear()
    new = made(model_p(mixed.store, mixed.data, 77.0))
    shutil.rmtree(mixed.folder / mixed.models[0].key.folder)
    assert len(catalog.find(state="any")) == len(expected(mixed))
    assert store.reads == []  # for a minute
    catalog.refresh()
    assert states_of(catalog).keys() == (expected(mixed).keys() | {new.folder}) - {mixed.models[0].key.folder}
    assert [path for path in store.reads if path.endswith("manifest.json")] == [f"{new.folder}/manifest.json"]


def test_a_catalogue_of_a_bucket(tmp_path):
    pytest.importorskip("fsspec")
    url = f"memory://catalogue-{tmp_path.name}"
    key = made(DataP(url, DataParams(3)))
    catalog = Catalog(url)
    assert isinstance(catalog.store, FsspecStore)
    assert catalog.load(key) == [0, 1, 2]
    assert catalog.names()["data_p"].count == 1


@dataclass
class Empty(PersistableParams):
    pass


def test_what_was_made_by_a_class_that_is_gone_is_loaded_all_the_same(tmp_path):
    class GoneP(Persistable[list[int], Empty]):
        def _generate_payload(self):
            return [1]

    key = made(GoneP(tmp_path, Empty()))
    assert Catalog(Path(tmp_path)).load(key[:8]) == [1]


def test_an_unknown_kind_of_params_does_no_harm(mixed):
    record = Catalog(mixed.folder).get(mixed.models[2].key)
    assert record.params["options"]["nested"][1] == {"$float": "nan"}
    assert ModelParams(3.0).options == {}
