"""Many processes, kills and stops, and a bucket: nobody ever meets anything but a whole artifact, or none."""

from __future__ import annotations

import random
import signal
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # s3_world is a script too, for processes of its own

from s3_world import S3World, interrupt

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")


def _world(server: Any, folder: Path, store: str = "ObjectStore", **options: Any) -> S3World:
    found = server.options() if store == "ObjectStore" else server.fsspec_options()
    url = f"s3://{server.bucket}/campaign-{uuid.uuid4().hex}"
    return S3World(folder, store, url, found, **options)


def _campaign(
    server: Any,
    folder: Path,
    store: str,
    *,
    keys: int,
    processes: int,
    hits: int,
    seconds: tuple[float, float],
    time_to_live: float,
) -> dict[str, Any]:
    """Let `processes` processes ask for `keys` artifacts each, under so many hits; return figures for people."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    with _world(server, folder, store, seconds=seconds, time_to_live=time_to_live) as world:
        readers = [world.start("read", keys=keys) for _ in range(2)]
        workers = [world.start("work", keys=keys) for _ in range(processes)]
        world.wait_for("generating")
        hit = interrupt(world, workers, hits, lambda: world.start("work", keys=keys), random.Random(seed))
        codes = [worker.wait(240) for worker in workers]
        world.go()
        codes += [reader.wait(60) for reader in readers]
        assert not (errors := world.said("error")), errors[0]["traceback"]
        assert set(codes) == {0}
        assert all(said["right"] for said in world.said("answer"))
        read = world.said("read")
        assert len(read) == 2
        assert sum(said["found"] for said in read) > 0

        assert world.start("check", keys=keys).wait(120) == 0, world.said("error")
        (checked,) = world.said("checked")
        assert checked["right"] == [True] * keys
        assert checked["foreign"] == []

        made = Counter(said["number"] for said in world.said("generating"))
        assert made.keys() == set(range(keys))
        assert world.unexplained(hit) == []
        extra = made.total() - keys
        assert extra <= len(hit)
        return {
            "hits": len(hit),
            "in a commit": world.in_a_commit(hit),
            "made once": sum(count == 1 for count in made.values()),
            "made again": extra,
            "answers": len(world.said("answer")),
            "reads": sum(said["found"] for said in read),
            "leftovers": checked["leftovers"],
        }


def test_four_processes_under_kills_and_stops_get_what_is_right(s3_server: Any, tmp_path: Path) -> None:
    figures = _campaign(
        s3_server, tmp_path, "ObjectStore", keys=20, processes=4, hits=5, seconds=(0.05, 0.4), time_to_live=4.0
    )
    print(figures)
    assert figures["hits"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("store", ["ObjectStore", "FsspecStore"])
def test_eight_processes_under_many_kills_and_stops_get_what_is_right(
    s3_server: Any, tmp_path: Path, store: str
) -> None:
    figures = _campaign(s3_server, tmp_path, store, keys=80, processes=8, hits=50, seconds=(0.3, 3.0), time_to_live=2.5)
    print(figures)
    assert figures["hits"] >= 25
    assert figures["in a commit"] >= 1
    assert figures["made once"] >= 40


def test_sixteen_processes_that_ask_at_once_make_it_once(s3_server: Any, tmp_path: Path) -> None:
    with _world(s3_server, tmp_path, seconds=(0.5, 0.5), time_to_live=10.0) as world:
        crowd = [world.start("ask", number=1) for _ in range(16)]
        world.wait_for("ready", 16)
        world.go()
        assert [process.wait(60) for process in crowd] == [0] * 16
        assert [said["right"] for said in world.said("answer")] == [True] * 16
        assert len(world.said("generating")) == 1


def test_when_the_owner_is_killed_one_of_those_who_wait_makes_it(s3_server: Any, tmp_path: Path) -> None:
    with _world(s3_server, tmp_path, seconds=(0.5, 0.5), time_to_live=60.0) as world:
        world.go()
        owner = world.start("ask", number=1, seconds=(3600.0, 3600.0))
        world.wait_for("generating")
        crowd = [world.start("ask", number=1) for _ in range(8)]
        world.wait_for("waiting", 8)
        owner.kill()  # a dead process of this host is found out at once
        assert [process.wait(60) for process in crowd] == [0] * 8
        assert [said["right"] for said in world.said("answer")] == [True] * 8
        assert len(world.said("generating")) == 2
