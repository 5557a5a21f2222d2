"""Never twice: however many processes ask for a missing artifact, one makes it, and the others wait and load."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from artifact_world import WaitingP, WorldParams

from persistable import LocalStore


def _all_right(answers: list[dict[str, Any]], number: int) -> None:
    assert [answer["error"] for answer in answers] == [None] * number
    assert all(answer["right"] for answer in answers)


def _owner(world: Any, data_dir: Path, **options: Any) -> Any:
    """A process that is generating, and waits at its gate."""
    owner = world(data_dir, "crowd", processes=1, **options)
    owner.wait_for("generating")
    return owner


def _nothing_but_the_artifact(data_dir: Path) -> None:
    names = {path.relative_to(data_dir).parts[2].split(".")[0] for path in data_dir.rglob("*") if path.is_file()}
    assert names == {"manifest", "params", "generation", "payload"}
    assert not list(data_dir.rglob("lease"))


def test_sixteen_processes_that_ask_at_once_for_half_a_second_of_work_make_it_once(tmp_path: Path, world: Any) -> None:
    with world(tmp_path, "crowd", processes=16, params={"seconds": 0.5}) as crowd:
        _all_right(crowd.finish(), 16)
        assert len(crowd.said("generating")) == 1
        owner = crowd.said("generating")[0]["pid"]
        waiting = crowd.said("waiting")
        assert len(waiting) >= 10  # who was slow to start found the artifact
        assert all(f"process {owner} on " in said["message"] for said in waiting)
    _nothing_but_the_artifact(tmp_path)


def test_sixteen_threads_with_an_object_each_make_it_once(tmp_path: Path, world: Any) -> None:
    with world(tmp_path, "threads", processes=16, params={"seconds": 0.2}) as crowd:
        _all_right(crowd.finish(), 16)
        assert len(crowd.said("generating")) == 1
    _nothing_but_the_artifact(tmp_path)


def test_sixteen_waiters_survive_the_kill_of_the_owner(tmp_path: Path, world: Any) -> None:
    with _owner(world, tmp_path) as owner, world(tmp_path, "crowd", processes=16) as crowd:
        pid = owner.said("generating")[0]["pid"]
        crowd.wait_for("waiting", 16)
        os.kill(pid, signal.SIGKILL)  # a dead process of this host is found out at once: the time to live is 30 s
        _all_right(crowd.finish(), 16)
        assert len(crowd.said("generating")) == 1
        assert owner.finish() == []
    _nothing_but_the_artifact(tmp_path)


@pytest.mark.parametrize("woken", ["while another makes it", "when another has made it"])
def test_sixteen_waiters_survive_a_stop_of_the_owner_beyond_the_time_to_live(
    tmp_path: Path, world: Any, woken: str
) -> None:
    store = {"time_to_live": 0.6}
    with (
        _owner(world, tmp_path, store=store) as owner,
        world(tmp_path, "crowd", processes=16, store=store) as crowd,
    ):
        pid = owner.said("generating")[0]["pid"]
        crowd.wait_for("waiting", 16)
        os.kill(pid, signal.SIGSTOP)
        try:
            crowd.wait_for("generating")
            if woken == "when another has made it":
                crowd.finish()
        finally:
            os.kill(pid, signal.SIGCONT)
        _all_right(owner.finish(), 1)  # it loses the create of the manifest, if it is late, and loads the other's
        _all_right(crowd.finish(), 16)
        assert len(crowd.said("generating")) == 1
    _nothing_but_the_artifact(tmp_path)


def test_the_beats_of_a_living_owner_keep_waiters_waiting_beyond_the_time_to_live(tmp_path: Path, world: Any) -> None:
    store = {"time_to_live": 0.3}
    params = {"seconds": 1.5}
    with world(tmp_path, "crowd", processes=4, store=store, params=params) as crowd:
        _all_right(crowd.finish(), 4)
        assert len(crowd.said("generating")) == 1


def test_when_the_owner_raises_a_waiter_takes_over_at_once(tmp_path: Path, world: Any) -> None:
    with (
        _owner(world, tmp_path, params={"fail": True}) as owner,
        world(tmp_path, "crowd", processes=2) as crowd,
    ):
        crowd.wait_for("waiting", 2)
        answer = owner.finish()
        assert [said["error"] for said in answer] == ["ZeroDivisionError: on purpose"]
        _all_right(crowd.finish(), 2)
        assert len(crowd.said("generating")) == 1
    (log,) = tmp_path.rglob("failed-*.log")
    assert "ZeroDivisionError: on purpose" in log.read_text()
    assert "Traceback (most recent call last)" in log.read_text()
    assert "Generating waiting_p" in log.read_text()


def test_a_reader_never_waits_for_whoever_makes_it_again(tmp_path: Path, world: Any) -> None:
    """Readers that take the lock queue up: here they take none."""
    reader = WaitingP(tmp_path, WorldParams())
    reader.load_generate()
    lease = reader.persist_filepath / "lease"
    lease.mkdir()
    (lease / "0").write_text("{}")
    assert WaitingP(tmp_path, WorldParams()).load() == WaitingP(tmp_path, WorldParams()).load_generate()


@pytest.mark.parametrize("io", ["pickle", "file", "folder"])
def test_readers_in_a_loop_always_read_a_whole_payload_while_it_is_made_again_thirty_times(
    tmp_path: Path, world: Any, io: str
) -> None:
    with world(tmp_path, "regenerate", processes=8, times=30, io=io) as campaign:
        campaign.finish()
        assert campaign.said("crash") == []
        readers = campaign.said("read")
        assert len(readers) == 8
        assert max(reader["seen"] for reader in readers) > 1
    _nothing_but_the_artifact(tmp_path)


def test_two_that_make_it_again_at_once_leave_one_whole_artifact(tmp_path: Path, world: Any) -> None:
    store = {"leftovers_after": 3600.0}
    with world(tmp_path, "regenerate", processes=2, writers=3, times=15, store=store) as campaign:
        campaign.finish()
        assert campaign.said("crash") == []


def test_two_processes_that_find_the_same_damage_make_it_once(tmp_path: Path, world: Any) -> None:
    made = WaitingP(LocalStore(tmp_path), WorldParams())
    made.load_generate()
    payload = made.persist_filepath / made.manifest.payload["file"]
    payload.write_bytes(b"x" * payload.stat().st_size)
    with world(tmp_path, "crowd", processes=6, ignore=["CorruptArtifactWarning"]) as crowd:
        crowd.wait_for("generating")
        _all_right(crowd.finish(), 6)
        assert len(crowd.said("generating")) == 1
    assert payload.read_bytes() == b"x" * payload.stat().st_size  # kept for a look
    assert len(list(tmp_path.rglob("corrupt-*.json"))) == 1
