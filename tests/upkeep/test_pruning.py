"""Pruning: what a plan holds and what it never does, and what carrying it out does, whatever has changed since."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from mixed_store import make_mixed_store
from upkeep_world import KINDS, age, made, right

from persistable import ArtifactCorruptError, ArtifactNotFoundError, LocalStore, StoreError
from persistable.artifacts import claim
from persistable.catalog import Catalog
from persistable.stores import Store
from persistable.upkeep import remove
from persistable.upkeep.amounts import bytes_of, seconds_of
from persistable.upkeep.pruning import Plan, plan

WORLD = Path(__file__).parent / "upkeep_world.py"
DAY = 86_400


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, fsync=False)


def make(store: Store, kind: str = "bytes", n: int = 0, days: float = 10, upstreams: Any = None) -> Any:
    """Make an artifact that has lain there for some days."""
    asked = made(kind, store, n, upstreams)
    asked.load_generate()
    age(asked.persist_filepath, days * DAY)
    return asked


def planned(found: Plan) -> set[str]:
    return {str(record.key) for record, _ in found.artifacts}


def test_without_a_condition_no_artifact_goes(store: LocalStore) -> None:
    make(store)
    assert not plan(Catalog(store))


def test_what_is_larger_goes(store: LocalStore) -> None:
    small, large = make(store, "bytes"), make(store, "folder")
    found = plan(Catalog(store), larger_than="10kB")
    assert planned(found) == {large.key}
    assert found.bytes == 16_000
    assert "folder" in str(found)
    assert "larger than 10.0 kB" in str(found)
    assert small.exists()
    assert large.exists(), "a plan removes nothing"
    (outcome,) = found.carry_out()
    assert (outcome.removed, outcome.key) == (True, large.key)
    assert outcome.bytes > 16_000
    assert not large.exists()
    assert small.exists()


def test_conditions_must_all_be_met(store: LocalStore) -> None:
    make(store, "bytes", 1)
    two = make(store, "bytes", 2)
    make(store, "folder", 2)
    found = plan(Catalog(store), older_than=0, larger_than=10, payload_name="bytes", where="params.n > 1")
    assert planned(found) == {two.key}
    assert not plan(Catalog(store), older_than="1d", payload_name="bytes"), (
        "it was made just now, whatever its files say"
    )


def test_what_is_younger_than_an_hour_stays(store: LocalStore) -> None:
    asked = made("bytes", store)
    asked.load_generate()
    found = plan(Catalog(store), older_than=0)
    assert not found
    assert "1 artifact, younger than an hour" in str(found)


def test_what_has_not_been_used_goes(store: LocalStore) -> None:
    used, unused = make(store, "bytes", 1), make(store, "folder", 2)
    (payload,) = used.persist_filepath.glob("payload.*")
    os.utime(payload, (payload.stat().st_mtime + 9.5 * DAY, payload.stat().st_mtime))
    assert planned(plan(Catalog(store), unused_for="5d")) == {unused.key}


def test_what_is_used_between_the_plan_and_its_execution_stays(store: LocalStore) -> None:
    asked = make(store)
    found = plan(Catalog(store), unused_for="5d")
    (payload,) = asked.persist_filepath.glob("payload.*")
    os.utime(payload)
    (outcome,) = found.carry_out()
    assert not outcome.removed
    assert "it has been used since" in outcome.note
    assert asked.exists()


def test_a_bucket_does_not_tell_of_uses() -> None:
    with pytest.raises(StoreError, match=r"it is no folder\. Use older_than"):
        plan(Catalog("memory://pruning"), unused_for="5d")


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting a tmpfs needs Linux, and root")
@pytest.mark.parametrize(("option", "error"), [("noatime", StoreError), ("relatime", ValueError)])
def test_a_drive_that_notes_no_uses_or_few_says_so(tmp_path: Path, option: str, error: type[Exception]) -> None:
    tmp_path = tmp_path / "disk"
    tmp_path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=1m,{option}", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        with pytest.raises(error, match=option):
            plan(Catalog(tmp_path), unused_for="5h")
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


# ---------------------------------------------------------------------------------------------------------------------
# What is kept


def test_what_nothing_kept_was_made_from_goes(store: LocalStore) -> None:
    data, other = make(store, "bytes", 1), make(store, "bytes", 2)
    model = make(store, "pickle", 1, upstreams=[data])
    rival = make(store, "pickle", 2, upstreams=[other])
    catalog = Catalog(store)
    assert planned(plan(catalog, unreachable=True, keep=[model.key])) == {other.key, rival.key}
    assert planned(plan(catalog, unreachable=True, keep=[f"pickle/{rival.key[:6]}"])) == {data.key, model.key}
    assert planned(plan(catalog, unreachable=True, keep="pickle")) == set()
    found = plan(catalog, older_than=0, keep=[model.key])
    assert planned(found) == {other.key, rival.key}
    assert found.spared == {"kept, or used to make what is kept": 2}


def test_it_says_what_was_made_from_what_goes(store: LocalStore) -> None:
    data = make(store, "bytes", 1)
    make(store, "pickle", 1, upstreams=[data])
    assert "1 artifact that stays was made from it" in str(plan(Catalog(store), older_than=0, payload_name="bytes"))


def test_unreachable_needs_to_know_from_what(store: LocalStore) -> None:
    with pytest.raises(ValueError, match="say with keep= what that is"):
        plan(Catalog(store), unreachable=True)


def test_to_keep_what_is_not_there_is_an_error(store: LocalStore) -> None:
    make(store)
    with pytest.raises(ArtifactNotFoundError):
        plan(Catalog(store), unreachable=True, keep=["0123abcd"])


def test_what_is_kept_must_be_readable(store: LocalStore) -> None:
    asked = make(store)
    manifest = asked.persist_filepath / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-5])
    with pytest.raises(ArtifactCorruptError, match="no telling what it was made from"):
        plan(Catalog(store), unreachable=True, keep=[asked.key])


# ---------------------------------------------------------------------------------------------------------------------
# What has changed since


def test_what_was_made_again_since_stays(store: LocalStore) -> None:
    asked = make(store)
    found = plan(Catalog(store), older_than=0)
    asked.generate()
    (outcome,) = found.carry_out()
    assert not outcome.removed
    assert "made again" in outcome.note or "younger than an hour" in outcome.note  # within one second
    assert asked.exists()


def test_what_is_gone_or_being_made_is_told_of_and_the_rest_goes(store: LocalStore) -> None:
    gone, busy, free = (make(store, "bytes", n) for n in range(3))
    found = plan(Catalog(store), older_than=0)
    remove(store, gone.key)
    claimed, done = threading.Event(), threading.Event()

    def make_it() -> None:
        lease = claim(store, busy.key, busy.manifest.data, lambda message: None)
        assert lease is not None
        with lease:
            claimed.set()
            done.wait(30)

    thread = threading.Thread(target=make_it)
    thread.start()
    assert claimed.wait(30)
    seen: list[tuple[int, int]] = []
    outcomes = {outcome.key: outcome for outcome in found.carry_out(lambda *said: seen.append(said))}
    done.set()
    thread.join()
    assert outcomes[gone.key].note == "it is gone already"
    assert f"process {os.getpid()}" in outcomes[busy.key].note
    assert outcomes[free.key].removed
    assert seen == [(1, 3), (2, 3), (3, 3)]


# ---------------------------------------------------------------------------------------------------------------------
# What was left over

LEFT = [
    "payload.0123abcd.bin",
    "payload.0123abcd/first",
    "spool.payload.0123abcd.bin",
    "spool.payload.0123abcd.bin.tmp",
    "manifest.json.0123abcd.tmp",
    "lease/0",
    "probe.0123abcd",
    "failed-20260101T000000.000000Z.log",
    "corrupt-20260101T000000.000000Z.json",
]
NOT_LEFT = ["journal.log", "journal-20260101T000000Z.log", "NOTES", "payload.final", "lease/NOTES", "notes/params.json"]


@pytest.mark.parametrize("artifact", [True, False], ids=["beside an artifact", "alone"])
@pytest.mark.parametrize("name", [*LEFT, *NOT_LEFT])
def test_what_was_left_over_goes_by_age_and_nothing_else(store: LocalStore, name: str, artifact: bool) -> None:
    asked = make(store) if artifact else made("bytes", store)
    path = asked.persist_filepath / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left")
    assert not plan(Catalog(store)), "it is young"
    age(asked.persist_filepath, 10 * DAY)
    found = plan(Catalog(store))
    outcomes = found.carry_out()
    if name in NOT_LEFT:
        assert not found
        assert path.exists()
    else:
        (entry,) = found.leftovers
        assert entry.bytes == 4
        assert "days old" in entry.reason
        assert [outcome.removed for outcome in outcomes] == [True], outcomes
        assert not path.exists()
    assert asked.exists() is artifact
    assert asked.persist_filepath.exists() is (artifact or name in NOT_LEFT)


def test_what_was_half_removed_goes(store: LocalStore) -> None:
    asked = make(store)
    (asked.persist_filepath / "manifest.json").unlink()
    found = plan(Catalog(store))
    assert {entry.kind for entry in found.leftovers} == {"payload", "artifact"}
    assert all(outcome.removed for outcome in found.carry_out())
    assert list(store.path.iterdir()) == []


def test_an_interrupted_search_is_not_left_over(store: LocalStore) -> None:
    asked = make(store)
    (asked.persist_filepath / "manifest.json").unlink()
    (asked.persist_filepath / "journal.log").write_bytes(b"trials")
    age(asked.persist_filepath)
    plan(Catalog(store)).carry_out()
    assert {path.name for path in asked.persist_filepath.iterdir()} == {"journal.log", "params.json", "generation.log"}


def test_empty_folders_go_and_those_of_others_stay(store: LocalStore) -> None:
    key = made("bytes", store).key
    (store.path / key.folder / "lease").mkdir(parents=True)
    (store.path / "somebodys").mkdir()
    age(store.path)
    assert [outcome.removed for outcome in plan(Catalog(store)).carry_out()] == [True]
    assert [path.name for path in store.path.iterdir()] == ["somebodys"]


def test_what_is_made_after_the_plan_saves_what_was_half_removed(store: LocalStore) -> None:
    asked = make(store)
    (asked.persist_filepath / "manifest.json").unlink()
    found = plan(Catalog(store))
    again = made("bytes", store)
    again.load_generate()
    assert not any(outcome.removed for outcome in found.carry_out() if "payload" not in outcome.path)
    assert right("bytes", made("bytes", store).load(), 0)


def test_leftovers_can_be_left_out(store: LocalStore) -> None:
    asked = make(store)
    (asked.persist_filepath / "manifest.json").unlink()
    assert not plan(Catalog(store), leftovers=False)
    assert not plan(Catalog(store), payload_name="another")


def test_of_a_mixed_store_nothing_goes_that_is_foreign_newer_or_in_the_making(tmp_path: Path) -> None:
    with make_mixed_store(tmp_path / "store") as mixed:
        age(mixed.folder, 10 * DAY)
        lease = next((mixed.folder / mixed.generating.folder / "lease").iterdir())
        os.utime(lease)
        before = {path for path in mixed.folder.rglob("*") if path.is_file()}
        found = plan(Catalog(mixed.store), older_than=0)
        assert mixed.newer not in planned(found)
        assert {mixed.damaged, mixed.gone} <= planned(found)
        outcomes = found.carry_out()
        assert all(outcome.removed for outcome in outcomes), [o for o in outcomes if not o.removed]
        after = {path for path in mixed.folder.rglob("*") if path.is_file()}
        stays = {mixed.folder / mixed.newer.folder, mixed.folder / mixed.generating.folder}
        for path in before:
            if path.parents[0] in stays or path.parents[1] in stays:
                assert path in after
        for name in mixed.foreign:
            assert (mixed.folder / name).exists(), name
        assert (mixed.folder / mixed.persistable_1).exists()
        assert not (mixed.folder / mixed.half_deleted.folder).exists()
        assert not (mixed.folder / mixed.failed.folder).exists()


def test_a_plan_can_be_shown_as_json(store: LocalStore) -> None:
    make(store)
    said = json.loads(json.dumps(plan(Catalog(store), older_than=0).to_dict()))
    assert said["artifacts"][0]["reason"].startswith("made ")
    assert said["bytes"] == 8000


# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("45min", 2700), (" 12 h ", 43_200), ("1.5d", 129_600), ("2W", 1_209_600), (7, 7)],
)
def test_times_as_people_write_them(text: Any, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "3 months", "-1d", "1e3s", True, -1, float("nan"), None])
def test_what_is_no_time_is_refused_with_examples(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a time\. Pass a number of seconds, or a text such as"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "number"), [("1GB", 10**9), ("1GiB", 2**30), ("500 mb", 5 * 10**8), ("12B", 12), (3, 3)]
)
def test_sizes_as_people_write_them(text: Any, number: int) -> None:
    assert bytes_of(text) == number


def test_a_number_in_a_text_needs_a_unit() -> None:
    with pytest.raises(ValueError, match=r"'3' has no unit\. Write it with one: '3d', '3h'"):
        seconds_of("3")
    with pytest.raises(ValueError, match=r"'1\.5' has no unit\. Write it with one: '1\.5MB', '1\.5GB'"):
        bytes_of("1.5")


@pytest.mark.parametrize("text", ["GB", "1XB", "1G", -5])
def test_what_is_no_size_is_refused_with_examples(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        bytes_of(text)


# ---------------------------------------------------------------------------------------------------------------------
# The campaign


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_no_reader_meets_anything_but_a_right_payload_or_not_found(tmp_path: Path, seconds: float) -> None:
    environment = {**os.environ, "PERSISTABLE_INDEX_DIR": str(tmp_path / "index")}
    roles = [("reader", number) for number in range(8)] + [("remover", 0)]
    processes = [
        subprocess.Popen(
            [sys.executable, WORLD, role, tmp_path / "store", str(seconds), str(number)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        for role, number in roles
    ]
    told = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
    assert not [said["error"] for said in told if "error" in said]
    *readers, remover = told
    assert sum(said.get("answers", 0) for said in readers) > 20
    assert remover.get("removed", 0) > 5
    assert remover.get("pruned", 0) > 0
    for kind in KINDS:  # and what is there in the end is whole, or was not there
        asked = made(kind, tmp_path / "store", 1)
        assert right(kind, asked.load_generate(), 1)
