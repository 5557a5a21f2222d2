"""A kill at any moment costs at most the work in hand: whoever asks next gets the right payload, or makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

_STARTS = ["nothing", "artifact", "corrupt", "dead owner"]


def _campaign(world: Any, place: Path, task: str, **options: Any) -> list[dict[str, Any]]:
    with world(place, task, **options) as campaign:
        campaign.finish()
        assert [crash["traceback"] for crash in campaign.said("crash")] == []
        wrong = [answer for answer in campaign.said("answer") if not answer["right"]]
        assert wrong == []
        checked = campaign.said("checked")
        assert [check for check in checked if check["left"]] == []
        return checked


@pytest.mark.parametrize("io", ["pickle", "folder"])
@pytest.mark.parametrize("start", _STARTS)
def test_a_kill_between_any_two_calls_to_the_file_system_leaves_nothing_that_harms(
    tmp_path: Path, world: Any, start: str, io: str
) -> None:
    checked = _campaign(world, tmp_path, "kill_at_each_call", start=start, io=io, store={"fsync": False})
    assert len(checked) > 25
    if start == "nothing":  # exists() is False up to one step, and True from there on
        there = [check["there"] for check in checked]
        assert there == sorted(there)
        assert {False, True} == set(there)


@pytest.mark.parametrize("start", ["nothing", "artifact"])
def test_a_kill_before_or_after_any_operation_of_the_store_leaves_nothing_that_harms(
    tmp_path: Path, world: Any, start: str
) -> None:
    checked = _campaign(world, tmp_path, "kill_at_each_operation", start=start, store={"fsync": False})
    assert len(checked) > 20


_LARGE: dict[str, Any] = {"params": {"size": 64_000_000}, "start": "nothing"}


def test_a_kill_while_a_large_payload_is_written_leaves_nothing_that_harms(tmp_path: Path, world: Any) -> None:
    assert len(_campaign(world, tmp_path, "kill_at_random", times=12, **_LARGE)) == 12


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_kills_while_a_large_payload_is_written_leave_nothing_that_harms(
    tmp_path: Path, world: Any
) -> None:
    checked = _campaign(world, tmp_path, "kill_at_random", times=200, seed=1, **_LARGE)
    assert len(checked) == 200
    assert {check["there"] for check in checked} == {False, True}
