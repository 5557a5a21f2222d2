"""Copying between stores: whole artifacts, upstreams first, verified on the way, and never half of one."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from upkeep_world import KINDS, BytesP, Params, content, made, right, sealed

from persistable import ArtifactNotFoundError, CloudFileIO, LocalStore, StoreError
from persistable.fileio import BytesFileIO
from persistable.keys import ArtifactKey
from persistable.manifest import Manifest
from persistable.stores import ReadOnlyStore, Store, store_for
from persistable.testing.faults import Fault, FaultyStore, fail
from persistable.upkeep import copy, remove


@pytest.fixture
def here(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "here", fsync=False)


@pytest.fixture
def there(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "there", fsync=False)


def chain(store: Store) -> list[Any]:
    """Three artifacts, each made from those before it."""
    first = made("bytes", store, 1)
    second = made("parts", store, 2, [first])
    third = made("folder", store, 3, [second])
    for node in (first, second, third):
        node.load_generate()
    return [first, second, third]


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_the_artifact_with_another_name_of_the_payloads_file(
    here: LocalStore, there: LocalStore, kind: str
) -> None:
    asked = made(kind, here, 3)
    asked.load_generate()
    (copied,) = copy(here, [asked.key], there)
    assert copied == (asked.key, "copied", asked.manifest.payload["size"], "")
    arrived = made(kind, there, 3)
    assert right(kind, arrived.load(), 3)
    before, after = (json.loads(node.manifest.data) for node in (asked, arrived))
    assert before["artifact"]["payload"].pop("file") != after["artifact"]["payload"].pop("file")
    assert before.pop("digest") != after.pop("digest")
    assert before == after
    for note in ("params.json", "generation.log"):
        assert here.read(f"{asked.key.folder}/{note}") == there.read(f"{asked.key.folder}/{note}")


@pytest.mark.parametrize("kind", ["bytes", "folder"])
def test_to_a_store_that_is_no_folder_and_back(here: LocalStore, there: LocalStore, kind: str) -> None:
    cloud = store_for("memory://copying")
    asked = made(kind, here, 3)
    asked.load_generate()
    assert [copied.state for copied in copy(here, [asked.key], cloud)] == ["copied"]
    assert [copied.state for copied in copy(cloud, [asked.key], there)] == ["copied"]
    assert right(kind, made(kind, there, 3).load(), 3)
    remove(cloud, asked.key)


def test_the_files_of_a_folder_stay_read_only(here: LocalStore, there: LocalStore) -> None:
    asked = made("folder", here)
    asked.load_generate()
    copy(here, [asked.key], there)
    (file,) = (there.path / asked.key.folder).glob("payload.*/first")
    assert not file.stat().st_mode & 0o222


def test_upstreams_come_first_and_each_once(here: LocalStore, there: LocalStore) -> None:
    nodes = chain(here)
    seen: list[tuple[int, int]] = []
    done = copy(here, [nodes[2].key, nodes[0].key], there, progress=lambda *said: seen.append(said))
    assert [copied.key for copied in done] == [node.key for node in nodes]
    assert {copied.state for copied in done} == {"copied"}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {copied.state for copied in copy(here, [nodes[2].key], there)} == {"there"}


def test_without_upstreams_only_what_is_asked_for_is_copied(here: LocalStore, there: LocalStore) -> None:
    nodes = chain(here)
    assert [copied.key for copied in copy(here, [nodes[2].key], there, upstreams=False)] == [nodes[2].key]


def test_an_upstream_that_lies_elsewhere_is_told_of_and_stops_nothing(here: LocalStore, there: LocalStore) -> None:
    nodes = chain(here)
    remove(here, nodes[0].key)
    states = {copied.key: copied.state for copied in copy(here, [nodes[2].key], there)}
    assert states == {nodes[0].key: "missing", nodes[1].key: "copied", nodes[2].key: "copied"}


def test_what_is_not_there_fails_and_stops_nothing(here: LocalStore, there: LocalStore) -> None:
    asked = made("bytes", here)
    asked.load_generate()
    nothing = ArtifactKey("0" * 32, "bytes")
    first, second = copy(here, [nothing, asked.key], there)
    assert (first.state, second.state) == ("failed", "copied")
    assert "There is no artifact bytes" in first.problem


@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
@pytest.mark.parametrize("kind", ["bytes", "folder"])
def test_a_damaged_payload_is_not_copied(here: LocalStore, there: LocalStore, kind: str, damage: str) -> None:
    asked = made(kind, here)
    asked.load_generate()
    payload = next(
        path for path in asked.persist_filepath.rglob("*") if path.name in ("first",) or path.suffix == ".bin"
    )
    data = payload.read_bytes()
    payload.unlink()
    if damage != "gone":
        payload.write_bytes(data[:-1] + (b"x" if damage == "flipped" else b""))
    (copied,) = copy(here, [asked.key], there)
    assert copied.state == "failed"
    assert "load_generate() makes it again" in copied.problem
    assert not list(there.path.rglob("*"))


def test_what_a_file_manager_has_left_in_a_folder_is_not_copied(here: LocalStore, there: LocalStore) -> None:
    asked = made("folder", here)
    asked.load_generate()
    (next(asked.persist_filepath.glob("payload.*")) / ".DS_Store").write_bytes(b"x")
    assert [copied.state for copied in copy(here, [asked.key], there)] == ["copied"]
    assert not list(there.path.rglob(".DS_Store"))


def test_a_damaged_artifact_in_the_target_is_not_replaced_unasked(here: LocalStore, there: LocalStore) -> None:
    for store in (here, there):
        made("bytes", store).load_generate()
    key = made("bytes", there).key
    (there.path / key.folder / "manifest.json").write_bytes(b"rotten")
    (copied,) = copy(here, [key], there)
    assert copied.state == "failed"
    assert "is damaged" in copied.problem


def test_a_payload_in_the_cloud_is_not_shared_by_two_stores(
    here: LocalStore, there: LocalStore, tmp_path: Path
) -> None:
    asked = BytesP(here, Params(), payload_io=CloudFileIO(tmp_path / "cloud", BytesFileIO()))
    asked.load_generate()
    (copied,) = copy(here, [asked.key], there)
    assert copied.state == "failed"
    assert "would share it" in copied.problem


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/../../escaped", "payload.01234567/../../escaped"])
def test_a_manifest_that_names_files_elsewhere_is_not_followed(here: LocalStore, there: LocalStore, name: str) -> None:
    asked = made("folder", here)
    asked.load_generate()
    path = asked.persist_filepath / "manifest.json"
    manifest = Manifest.parse(path.read_bytes())
    payload = manifest.payload
    files = payload["files"] or {}
    changed = (
        {**payload, "file": name} if name.startswith("payload.") else {**payload, "files": {**files, name: [1, "x"]}}
    )
    path.write_bytes(sealed(manifest, {**manifest.head, "payload": changed}))
    (copied,) = copy(here, [asked.key], there)
    assert copied.state == "failed"
    assert "makes no sense" in copied.problem
    assert not list(there.path.rglob("*"))


def test_one_that_is_replaced_while_it_is_copied_is_copied_as_it_is_then(here: LocalStore, there: LocalStore) -> None:
    asked = made("bytes", here)
    asked.load_generate()

    class Replaced(FaultyStore):
        def fetch(self, path: str, size: int | None = None) -> str:
            if not list(there.path.rglob("payload.*")) and not self.replaced:
                self.replaced = True
                made("bytes", here).generate()
            return super().fetch(path, size)

        replaced = False

    assert [copied.state for copied in copy(Replaced(here), [asked.key], there)] == ["copied"]
    assert made("bytes", there).load() == content(0)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("when", ["before", "after"])
def test_ctrl_c_anywhere_leaves_the_artifact_or_none(
    here: LocalStore, there: LocalStore, number: int, when: Any
) -> None:
    asked = made("folder", here)
    asked.load_generate()

    def interrupt() -> None:
        raise KeyboardInterrupt

    faulty = FaultyStore(there, Fault(number, interrupt, when))
    with contextlib.suppress(KeyboardInterrupt):
        copy(here, [asked.key], faulty)
    try:
        assert right("folder", made("folder", there).load(), 0)
    except ArtifactNotFoundError:
        assert [copied.state for copied in copy(here, [asked.key], there)] == ["copied"]


def test_a_target_that_cannot_be_written_ends_it_with_an_error(here: LocalStore, there: LocalStore) -> None:
    nodes = chain(here)
    with pytest.raises(StoreError, match="ReadOnlyStore"):
        copy(here, [nodes[2].key], ReadOnlyStore(there))


def test_a_fault_of_one_does_not_stop_the_rest(here: LocalStore, there: LocalStore) -> None:
    nodes = chain(here)
    faulty = FaultyStore(there, Fault(1, fail(5), "before", only="put"))
    assert [copied.state for copied in copy(here, [nodes[2].key], faulty)] == ["failed", "copied", "copied"]
    assert os.listdir(there.path / "parts")
