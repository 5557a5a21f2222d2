"""Links, pipes and names that lead out of a store: nothing is removed, copied or waited for through them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from upkeep_world import age, made

from persistable import LocalStore, StoreError
from persistable.catalog import Catalog
from persistable.upkeep import copy, diagnose, plan, remove, usage, verify

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes need POSIX")


@pytest.fixture
def here(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "here", fsync=False)


@pytest.fixture
def elsewhere(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "elsewhere", fsync=False)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("link", ["the folder of a name", "the folder of a key"])
def test_what_is_behind_a_link_is_read_but_never_removed(here: LocalStore, elsewhere: LocalStore, link: str) -> None:
    asked = made("bytes", elsewhere)
    asked.load_generate()
    linked = here.path / (asked.key.payload_name if link == "the folder of a name" else asked.key.folder)
    linked.parent.mkdir(parents=True)
    linked.symlink_to(elsewhere.path / linked.relative_to(here.path))
    age(elsewhere.path)
    before = files_below(elsewhere.path)

    with pytest.raises(StoreError, match="is a link to elsewhere") as caught:
        remove(here, asked.key)
    assert str(elsewhere.path) in str(caught.value)
    found = plan(here, older_than=0)
    assert not found.artifacts
    assert found.spared == {"behind a link to elsewhere": 1}
    assert files_below(elsewhere.path) == before
    assert [finding.level for finding in verify(here)] == ["ok"]
    linked.unlink()
    assert made("bytes", elsewhere).exists()


def test_a_link_that_takes_the_place_of_a_folder_after_the_plan_saves_what_it_leads_to(
    here: LocalStore, elsewhere: LocalStore
) -> None:
    for store in (here, elsewhere):
        made("bytes", store).load_generate()
    asked = made("bytes", here)
    age(here.path)
    found = plan(here, older_than=0)
    shutil.rmtree(asked.persist_filepath)
    asked.persist_filepath.symlink_to(elsewhere.path / asked.key.folder)
    (outcome,) = found.carry_out()
    assert not outcome.removed
    assert "is a link to elsewhere" in outcome.note
    assert made("bytes", elsewhere).exists()


def test_what_is_left_over_behind_a_link_stays(here: LocalStore, elsewhere: LocalStore) -> None:
    left = elsewhere.path / made("bytes", elsewhere).key.folder
    left.mkdir(parents=True)
    (left / "params.json").write_text("{}")
    age(elsewhere.path)
    here.path.mkdir()
    (here.path / "bytes").symlink_to(elsewhere.path / "bytes")
    for name in (None, "bytes"):
        assert not plan(here, payload_name=name)
    assert len(plan(elsewhere)) == 1


def test_leases_behind_a_link_are_not_touched(here: LocalStore, elsewhere: LocalStore) -> None:
    asked = made("bytes", here)
    asked.load_generate()
    elsewhere.path.mkdir()
    numbered = elsewhere.path / "0"
    numbered.write_text("somebody's")
    (asked.persist_filepath / "lease").symlink_to(elsewhere.path)
    with pytest.raises(StoreError, match="lease is a link to elsewhere"):
        remove(here, asked.key)
    assert os.listdir(elsewhere.path) == ["0"]
    assert asked.exists()


def test_a_payload_that_is_a_link_goes_and_what_it_leads_to_stays(here: LocalStore, tmp_path: Path) -> None:
    asked = made("folder", here)
    asked.load_generate()
    (payload,) = asked.persist_filepath.glob("payload.*")
    payload.rename(tmp_path / "mine")
    payload.symlink_to(tmp_path / "mine")
    assert remove(here, asked.key).left == ()
    assert (tmp_path / "mine" / "first").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Copying


@pytest.mark.parametrize("note", ["generation.log", "params.json"])
def test_a_note_that_leads_elsewhere_is_not_passed_on(
    here: LocalStore, elsewhere: LocalStore, tmp_path: Path, note: str
) -> None:
    asked = made("bytes", here)
    asked.load_generate()
    secret = tmp_path / "id_rsa"
    secret.write_text("PRIVATE")
    (asked.persist_filepath / note).unlink()
    (asked.persist_filepath / note).symlink_to(secret)
    (copied,) = copy(here, asked.key, elsewhere)
    assert copied.state == "copied"
    assert copied.problem == f"{note} is left out: it is a link to elsewhere."
    assert made("bytes", elsewhere).exists()
    assert not [path for path in files_below(elsewhere.path) if b"PRIVATE" in path.read_bytes()]


def test_a_note_that_is_a_pipe_or_huge_is_left_out(here: LocalStore, elsewhere: LocalStore) -> None:
    asked = made("bytes", here)
    asked.load_generate()
    (asked.persist_filepath / "params.json").unlink()
    os.mkfifo(asked.persist_filepath / "params.json")
    os.truncate(asked.persist_filepath / "generation.log", 10_000_001)
    (copied,) = copy(here, asked.key, elsewhere)
    assert copied.state == "copied"
    assert copied.problem == (
        "params.json is left out: it is a named pipe. generation.log is left out: it is larger than 10 MB."
    )


@pytest.mark.parametrize("kind", ["bytes", "folder"])
@pytest.mark.parametrize("odd", ["pipe", "device"])
def test_a_payload_that_is_a_pipe_or_a_device_is_a_fault_at_once(
    here: LocalStore, elsewhere: LocalStore, kind: str, odd: str
) -> None:
    asked, other = made(kind, here, 1), made("array", here, 2)
    asked.load_generate()
    other.load_generate()
    file = next(path for path in asked.persist_filepath.rglob("*") if path.name == "first" or path.suffix == ".bin")
    file.unlink()
    os.mkfifo(file) if odd == "pipe" else file.symlink_to("/dev/zero")
    levels = {finding.payload_name: (finding.level, finding.problem) for finding in verify(here)}
    assert levels["array"] == ("ok", "")
    assert levels[kind][0] == "fault"
    assert f"is a {'named pipe' if odd == 'pipe' else 'device'}" in levels[kind][1]
    assert {one.key: one.state for one in copy(here, [asked.key, other.key], elsewhere)} == {
        asked.key: "failed",
        other.key: "copied",
    }
    usage(here)
    diagnose(here)
    assert remove(here, asked.key).left == ()


@pytest.mark.parametrize("odd", ["pipe", "folder", "loop"])
def test_a_manifest_that_is_no_file_stops_nothing(here: LocalStore, elsewhere: LocalStore, odd: str) -> None:
    asked, other = made("bytes", here, 1), made("bytes", here, 2)
    asked.load_generate()
    other.load_generate()
    manifest = asked.persist_filepath / "manifest.json"
    manifest.unlink()
    if odd == "pipe":
        os.mkfifo(manifest)
    elif odd == "folder":
        manifest.mkdir()
    else:
        manifest.symlink_to(manifest)
    age(here.path) if odd != "loop" else None
    catalog = Catalog(here)
    assert {record.state for record in catalog} >= {"whole"}
    assert "ok" in {finding.level for finding in verify(catalog)}
    assert {one.key: one.state for one in copy(here, [asked.key, other.key], elsewhere)}[other.key] == "copied"
    usage(here)
    diagnose(here)
    plan(here, older_than=0, larger_than=0)
    left = remove(here, asked.key).left
    if odd == "folder":
        assert [(Path(path).name, "not ours" in reason) for path, reason in left] == [("manifest.json", True)]
    elif odd == "pipe":
        assert left == ()
    assert manifest.exists() == (odd == "folder")
    assert other.exists()
