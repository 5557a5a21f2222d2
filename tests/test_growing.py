"""A payload that is whole, and yet not sufficient, grows under its key."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import persistable
from persistable import LocalStore, Persistable, PersistableParams, PersistableWarning


@dataclass
class CountParams(PersistableParams):
    start: int = 0


class CountP(Persistable[list[int], CountParams]):
    """Counts as far as it is asked to; `made` are the pieces that were counted here."""

    def __init__(self, data_dir: Any, params: CountParams | None = None) -> None:
        super().__init__(data_dir, params or CountParams())
        self.made: list[tuple[str, int]] = []
        self.during: Any = None

    def _is_sufficient(self, payload: list[int], upto: int = 0, **_: Any) -> bool:
        return len(payload) >= upto

    def _generate_payload(self, upto: int = 0, **_: Any) -> list[int]:
        self.made.append(("generated", upto))
        return [self.params.start + step for step in range(upto)]

    def _extend_payload(self, payload: list[int], upto: int = 0, **_: Any) -> list[int]:
        self.made.append(("extended", upto))
        self.metrics["from"] = len(payload)
        if self.during is not None:
            self.during()
        return [self.params.start + step for step in range(upto)]


def payload_files(asked: CountP) -> list[str]:
    return [path.name for path in asked.persist_filepath.glob("payload.*")]


def test_what_suffices_is_a_hit_in_memory_and_in_the_store(tmp_path: Path) -> None:
    first = CountP(tmp_path)
    assert first.load_generate(upto=3) == [0, 1, 2]
    assert first.load_generate(upto=2) == [0, 1, 2]
    again = CountP(tmp_path)
    assert again.load_generate(upto=3) == [0, 1, 2]
    assert (first.made, again.made) == ([("generated", 3)], [])


def test_what_does_not_grows_and_takes_the_place_of_what_it_was(tmp_path: Path) -> None:
    first = CountP(tmp_path)
    first.load_generate(upto=3)
    before, manifest = payload_files(first), first.manifest
    again = CountP(tmp_path)
    assert again.load_generate(upto=5) == [0, 1, 2, 3, 4]
    assert again.made == [("extended", 5)]
    assert again.metrics == {"from": 3}
    assert again.manifest.key == manifest.key
    after = payload_files(again)
    assert len(after) == 1
    assert after != before
    assert not list(again.persist_filepath.glob("corrupt-*"))
    assert first.load() == [0, 1, 2, 3, 4]  # who had the smaller one finds the new one


def test_one_object_grows_too(tmp_path: Path) -> None:
    asked = CountP(tmp_path)
    assert [len(asked.load_generate(upto=upto)) for upto in (1, 4, 2, 6)] == [1, 4, 4, 6]
    assert asked.made == [("generated", 1), ("extended", 4), ("extended", 6)]


def test_a_growth_that_fails_leaves_what_there_was_in_memory_and_in_the_store(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError("on purpose")

    asked = CountP(tmp_path)
    asked.load_generate(upto=3)
    asked.during = fail
    with pytest.raises(ZeroDivisionError):
        asked.load_generate(upto=5)
    assert asked.payload == [0, 1, 2]
    assert CountP(tmp_path).load() == [0, 1, 2]
    assert list(asked.persist_filepath.glob("failed-*.log"))


@pytest.mark.parametrize("single_flight", [True, False])
def test_of_two_that_let_it_grow_one_does_so_far_enough_for_both(tmp_path: Path, single_flight: bool) -> None:
    store = LocalStore(tmp_path, single_flight=single_flight)
    CountP(store).load_generate(upto=1)
    together = threading.Barrier(2)
    asked = [CountP(store), CountP(store)]
    threads = []
    for each in asked:
        each.during = lambda: None if single_flight else together.wait()
        threads.append(threading.Thread(target=each.load_generate, kwargs={"upto": 4}))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.payload for each in asked] == [[0, 1, 2, 3]] * 2
    assert sum(len(each.made) for each in asked) == (1 if single_flight else 2)
    assert asked[0].manifest.payload["file"] in payload_files(asked[0])  # without a lease, what lost may lie beside it


def test_whoever_goes_further_counts_in_the_end(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, single_flight=False)
    CountP(store).load_generate(upto=1)
    far, near = CountP(store), CountP(store)
    far.during = lambda: near.load_generate(upto=2)  # is there first
    assert len(far.load_generate(upto=5)) == 5
    assert len(CountP(store).load()) == 5

    near, far = CountP(store), CountP(store)
    near.during = lambda: far.load_generate(upto=9)
    assert len(near.load_generate(upto=6)) == 9
    assert len(CountP(store).load()) == 9


def test_a_damaged_one_is_made_anew_as_far_as_is_asked(tmp_path: Path) -> None:
    asked = CountP(tmp_path)
    asked.load_generate(upto=3)
    (asked.persist_filepath / payload_files(asked)[0]).write_bytes(b"damaged")
    again = CountP(tmp_path)
    with pytest.warns(persistable.CorruptArtifactWarning):
        assert again.load_generate(upto=4) == [0, 1, 2, 3]
    assert again.made == [("generated", 4)]


def test_a_class_that_does_not_say_how_is_told_so(tmp_path: Path) -> None:
    class HalfP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            return 1

        def _is_sufficient(self, payload: int, *, more: bool = False) -> bool:
            return not more

    asked = HalfP(tmp_path, None)
    assert asked.load_generate() == 1
    with pytest.raises(NotImplementedError, match=r"HalfP does not say how its payload grows: define _extend_payload"):
        asked.load_generate(more=True)


def test_hooks_without_keyword_arguments_are_called_without(tmp_path: Path) -> None:
    class PlainP(Persistable[list[int], None]):
        grown = False

        def _generate_payload(self) -> list[int]:
            return []

        def _is_sufficient(self, payload: list[int]) -> bool:
            return bool(payload)

        def _extend_payload(self, payload: list[int]) -> list[int]:
            return [*payload, 1]

    assert PlainP(tmp_path, None).load_generate(asked="more") == []
    assert PlainP(tmp_path, None).load_generate(asked="more") == [1]


def test_a_slip_in_the_name_of_a_hook_is_noticed() -> None:
    with pytest.warns(PersistableWarning, match=r"_extend_paylod is not called by anything\. Is _extend_payload meant"):
        type("SlipP", (Persistable,), {"_extend_paylod": lambda self: None})
