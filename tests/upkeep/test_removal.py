"""Removing one artifact: all of it, nothing else, and safely while others read and make it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from upkeep_world import KINDS, Params, age, content, made, right, sealed

from persistable import (
    ArtifactNotFoundError,
    CloudFileIO,
    LeaseTimeoutError,
    LocalStore,
    ManifestVersionError,
    Persistable,
    StoreError,
)
from persistable._integrity import digest, new_token
from persistable.artifacts import claim
from persistable.exceptions import ArtifactCorruptError
from persistable.fileio import BytesFileIO, PartsFileIO, PickleFileIO
from persistable.manifest import Manifest
from persistable.stores import ObjectStore, ReadOnlyStore, Store, store_for
from persistable.testing.faults import FaultyStore
from persistable.upkeep import remove

WORLD = Path(__file__).parent / "upkeep_world.py"


def files_in(store: Store) -> set[str]:
    return {entry.path for entry in store.list("")}


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_an_artifact_goes_and_nothing_of_others(tmp_path: Path, kind: str) -> None:
    store = LocalStore(tmp_path, fsync=False)
    gone, stays = made(kind, store, 1), made(kind, store, 2)
    gone.load_generate()
    stays.load_generate()
    before = files_in(store)
    removed = remove(store, gone.key)
    after = files_in(store)
    assert before - after == {path for path in before if path.startswith(gone.key.folder)}
    assert removed.files == len(before) - len(after)
    assert removed.left == ()
    assert not (tmp_path / gone.key.folder).exists()
    assert right(kind, made(kind, store, 2).load(), 2)
    with pytest.raises(ArtifactNotFoundError):
        made(kind, store, 1).load()
    assert right(kind, made(kind, store, 1).load_generate(), 1)


def test_the_folder_of_a_name_goes_with_its_last_artifact(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    remove(LocalStore(tmp_path), asked.key)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["bytes", "folder"])
def test_all_of_an_artifact_goes_from_a_store_that_is_no_folder(kind: str) -> None:
    store = store_for("memory://removal")
    _goes_from(store, kind)


def test_all_of_an_artifact_goes_from_a_bucket(s3_server: Any) -> None:
    pytest.importorskip("obstore")
    url = f"s3://{s3_server.bucket}/removal-{new_token()}"
    _goes_from(ObjectStore(url, storage_options=s3_server.options()), "folder")


def _goes_from(store: Store, kind: str) -> None:
    asked = made(kind, store)
    asked.load_generate()
    size = sum(entry.size for entry in store.list(""))
    assert remove(store, asked.key).bytes == size
    assert files_in(store) == set()
    assert right(kind, made(kind, store).load_generate(), 0)
    remove(store, asked.key)


def test_what_is_removed_through_a_cache_is_gone_from_both(tmp_path: Path) -> None:
    store = store_for(LocalStore(tmp_path / "remote"), cache_dir=tmp_path / "cache")
    asked = made("bytes", store)
    asked.load_generate()
    made("bytes", store).load()
    remove(store, asked.key)
    assert not list((tmp_path / "remote").rglob("*"))
    assert not list((tmp_path / "cache").rglob("payload.*"))
    with pytest.raises(ArtifactNotFoundError):
        made("bytes", store).load()


def test_a_removal_that_is_killed_anywhere_leaves_the_artifact_or_none(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-W", "error", WORLD, "killed", tmp_path, "0", "0"], capture_output=True, text=True, check=True
    )
    told = json.loads(said.stdout)
    assert "error" not in told, told["error"]
    assert told["whole"] >= 2
    assert told["none"] >= 4


def test_what_is_not_known_stays_and_is_told_of(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    notes = asked.persist_filepath / "NOTES.md"
    notes.write_text("mine")
    (left,) = remove(LocalStore(tmp_path), asked.key).left
    assert left.path == f"{asked.key.folder}/NOTES.md"
    assert "not ours" in left.reason
    assert [path.name for path in notes.parent.iterdir()] == ["NOTES.md"]


def test_a_payload_that_somebody_is_about_to_commit_stays_with_its_notes(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    other = asked.persist_filepath / "payload.0123abcd.bin"
    other.write_bytes(b"somebody's")
    removed = remove(LocalStore(tmp_path), asked.key)
    left = {path.name for path in asked.persist_filepath.iterdir()}
    assert (
        left == {other.name, "params.json", "generation.log"} == {path.path.rpartition("/")[2] for path in removed.left}
    )
    age(asked.persist_filepath)
    assert remove(LocalStore(tmp_path), asked.key).left == ()
    assert not asked.persist_filepath.exists()


def test_what_a_failed_generation_has_left_goes_too(tmp_path: Path) -> None:
    class FailingP(Persistable[Any, Params]):
        def _generate_payload(self) -> Any:
            raise ZeroDivisionError

    asked = FailingP(tmp_path, Params())
    with pytest.raises(ZeroDivisionError):
        asked.load_generate()
    assert remove(LocalStore(tmp_path), asked.key).files >= 1
    assert not asked.persist_filepath.exists()


def test_where_there_is_nothing_that_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match="nothing is left of one"):
        remove(LocalStore(tmp_path), made("bytes", tmp_path).key)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["flipped", "emptied", "garbage"])
def test_a_damaged_artifact_goes_with_its_payload(tmp_path: Path, damage: str) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    manifest = asked.persist_filepath / "manifest.json"
    data = manifest.read_bytes()
    manifest.write_bytes(
        {"flipped": data.replace(b'"n": 0', b'"n": 1'), "emptied": b"", "garbage": b"\xff" * 99}[damage]
    )
    with pytest.raises(ArtifactCorruptError):
        made("bytes", tmp_path).load()
    if damage != "flipped":  # no name of a payload is in it: it goes by its age
        age(asked.persist_filepath, 4000)
    assert remove(LocalStore(tmp_path), asked.key).left == ()
    assert not asked.persist_filepath.exists()


def test_an_artifact_of_a_newer_persistable_is_refused(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    manifest = asked.persist_filepath / "manifest.json"
    _make_newer(manifest)
    before = sorted(asked.persist_filepath.iterdir())
    with pytest.raises(ManifestVersionError, match=r"is not removed: .* newer persistable"):
        remove(LocalStore(tmp_path), asked.key)
    assert sorted(asked.persist_filepath.iterdir()) == before


def _make_newer(path: Path) -> None:
    body = path.read_bytes().split(b"\n", 1)[1].replace(b'"schema": 1', b'"schema": 99')
    path.write_bytes(b'{"digest": "%b",\n' % digest(body).encode() + body)


def test_whoever_is_making_it_is_not_disturbed_and_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    asked = made("bytes", store)
    asked.load_generate()
    manifest = (asked.persist_filepath / "manifest.json").read_bytes()
    lease = claim(store, asked.key, manifest, lambda message: None)
    assert lease is not None
    refused: list[LeaseTimeoutError] = []

    def attempt() -> None:  # the thread that makes it would be told that it waits for itself
        with pytest.raises(LeaseTimeoutError) as caught:
            remove(LocalStore(tmp_path), asked.key)
        refused.append(caught.value)

    with lease:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in str(refused[0])
    assert "is not removed" in str(refused[0])
    assert asked.exists()
    remove(store, asked.key)


def test_it_waits_for_whoever_is_making_it_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    asked = made("bytes", store)
    asked.load_generate()
    lease = claim(store, asked.key, asked.manifest.data, lambda message: None)
    assert lease is not None
    threading.Timer(0.2, lease.release).start()
    assert remove(LocalStore(tmp_path), asked.key, patience=30).files == 4


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    with pytest.raises(StoreError, match="ReadOnlyStore"):
        remove(ReadOnlyStore(LocalStore(tmp_path)), asked.key)
    assert made("bytes", tmp_path).load() == content(0)


def test_without_single_flight_it_is_removed_all_the_same(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, single_flight=False)
    asked = made("bytes", store)
    asked.load_generate()
    assert remove(store, asked.key).files == 4


# ---------------------------------------------------------------------------------------------------------------------
# What others hold meanwhile


def test_parts_that_were_loaded_stay_and_the_others_are_not_found(tmp_path: Path) -> None:
    asked = made("parts", tmp_path, 3)
    asked.load_generate()
    parts = made("parts", tmp_path, 3).load()
    assert parts["number"] == 3
    remove(LocalStore(tmp_path), asked.key)
    assert parts["number"] == 3
    with pytest.raises(ArtifactNotFoundError, match="removed, or made again, since") as caught:
        parts["content"]
    assert caught.value.key == asked.key


def test_a_part_whose_file_alone_is_missing_is_corrupt(tmp_path: Path) -> None:
    asked = made("parts", tmp_path, 3)
    asked.load_generate()
    parts = made("parts", tmp_path, 3).load()
    next(asked.persist_filepath.glob("payload.*/content.bin")).unlink()
    with pytest.raises(ArtifactCorruptError):
        parts["content"]


def test_a_mapped_array_stays(tmp_path: Path) -> None:
    asked = made("mapped", tmp_path, 3)
    asked.load_generate()
    array = made("mapped", tmp_path, 3).load()
    remove(LocalStore(tmp_path), asked.key)
    assert right("mapped", array, 3)


def test_an_artifact_that_is_made_again_while_it_is_removed_is_whole(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()

    class Racing(FaultyStore):
        def delete(self, path: str) -> None:
            super().delete(path)
            if path.endswith("manifest.json"):  # an order, which waits for nobody
                order = threading.Thread(target=made("bytes", tmp_path).generate)
                order.start()
                order.join()

    remove(Racing(LocalStore(tmp_path)), asked.key)
    assert made("bytes", tmp_path).load() == content(0)
    assert (asked.persist_filepath / "params.json").exists()


# ---------------------------------------------------------------------------------------------------------------------
# What is kept elsewhere


def cloud_p(tmp_path: Path) -> Persistable[Any, Params]:
    from upkeep_world import BytesP

    return BytesP(tmp_path / "here", Params(), payload_io=CloudFileIO(tmp_path / "cloud", BytesFileIO()))


def test_a_pointer_into_the_cloud_stays_without_its_format_and_says_where_it_leads(tmp_path: Path) -> None:
    asked = cloud_p(tmp_path)
    asked.load_generate()
    (payload,) = (path for path in (tmp_path / "cloud").rglob("payload.*"))
    (left,) = remove(LocalStore(tmp_path / "here"), asked.key).left
    assert str(tmp_path / "cloud") in left.reason
    assert payload.name in left.reason
    assert payload.exists()
    assert not asked.exists()


def test_with_its_format_what_is_in_the_cloud_goes_too(tmp_path: Path) -> None:
    asked = cloud_p(tmp_path)
    asked.load_generate()
    assert remove(LocalStore(tmp_path / "here"), asked.key, payload_io=asked.payload_io).left == ()
    assert not list((tmp_path / "cloud").rglob("payload.*"))
    assert not list((tmp_path / "here").rglob("*"))


def test_a_manifest_that_names_a_file_elsewhere_has_no_say_about_that(tmp_path: Path) -> None:
    asked, other = made("bytes", tmp_path, 1), made("bytes", tmp_path, 2)
    asked.load_generate()
    other.load_generate()
    path = asked.persist_filepath / "manifest.json"
    manifest = Manifest.parse(path.read_bytes())
    elsewhere = f"../{other.key}/{other.manifest.payload['file']}"
    head = {**manifest.head, "payload": {**manifest.payload, "file": elsewhere}}
    path.write_bytes(sealed(manifest, head))
    remove(LocalStore(tmp_path), asked.key)
    assert made("bytes", tmp_path, 2).load() == content(2)


def test_the_formats_of_the_library_keep_nothing_elsewhere_that_would_have_to_be_told() -> None:
    from persistable.fileio import keeps_elsewhere

    assert keeps_elsewhere(PickleFileIO.format_id) is keeps_elsewhere(PartsFileIO.format_id) is False
    assert keeps_elsewhere(CloudFileIO.format_id) is True
    assert keeps_elsewhere("somebody.elses.Format") is None


# ---------------------------------------------------------------------------------------------------------------------
# Studies


def test_a_study_goes_with_its_journals_but_not_while_somebody_works_on_it(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from persistable.studies import Float, StudyP, StudyParams

    begun, go_on = threading.Event(), threading.Event()

    class WaitingStudyP(StudyP[StudyParams]):
        def _objective(self, trial: Any) -> float:
            begun.set()
            go_on.wait(30)
            return float(trial.params["x"])

    asked = WaitingStudyP(tmp_path, StudyParams(search_space={"x": Float(0, 1)}, seed=1))
    thread = threading.Thread(target=lambda: asked.load_generate(n_trials=2))
    thread.start()
    assert begun.wait(30)
    with pytest.raises(LeaseTimeoutError, match=f"process {os.getpid()} .* is working on this study"):
        remove(LocalStore(tmp_path), asked.key)
    go_on.set()
    thread.join()
    asked.reset_payload()
    assert len(asked.generate(n_trials=3).trials) == 3  # the journal of before is set aside
    assert len(list(asked.persist_filepath.glob("journal*.log"))) == 2
    assert remove(LocalStore(tmp_path), asked.key).left == ()
    assert list(tmp_path.iterdir()) == []
    asked.reset_payload()
    assert len(asked.load_generate(n_trials=1).trials) == 1
