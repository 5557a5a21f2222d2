"""Why an artifact had to be made: what the log says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persistable import Persistable, PersistableParams
from persistable._nearest import differences


@dataclass
class DataParams(PersistableParams):
    n: int = 100
    unit: str = "m"


class DataP(Persistable[list[int], DataParams]):
    def _generate_payload(self) -> list[int]:
        return list(range(self.params.n))


@dataclass
class TotalParams(PersistableParams):
    scale: float = 1.0


class TotalP(Persistable[float, TotalParams]):
    def __init__(self, data_dir: Any, scale: float = 1.0, **data: Any) -> None:
        self.data_p = DataP(data_dir, DataParams(**data))
        super().__init__(data_dir, TotalParams(scale), {"data": self.data_p})

    def _generate_payload(self) -> float:
        return self.params.scale * sum(self.data_p.payload)


def log_of(persistable: Persistable[Any, Any]) -> str:
    return (persistable.persist_filepath / "generation.log").read_text()


def test_the_first_of_its_name_is_like_nothing(tmp_path: Path) -> None:
    first = DataP(tmp_path, DataParams())
    first.load_generate()
    assert f"Generating data_p {first.key}.\n" in log_of(first)


def test_the_log_names_the_nearest_and_what_differs_upstream_too(tmp_path: Path) -> None:
    first, far, now = TotalP(tmp_path), TotalP(tmp_path, 3.0, n=7, unit="km"), TotalP(tmp_path, n=200)
    for each in (first, far, now):
        each.load_generate()
    assert f"Generating total_p {now.key}, which is {first.key[:8]} but for data_p.n: 100 -> 200.\n" in log_of(now)
    assert f"which is {first.data_p.key[:8]} but for data_p.n: 100 -> 200.\n" in log_of(now.data_p)
    assert 'total_p.scale: 1.0 -> 3.0; data_p.n: 100 -> 7; data_p.unit: "m" -> "km".' in log_of(far)


def test_a_store_that_holds_something_else_is_no_reason_to_fail(tmp_path: Path) -> None:
    broken = tmp_path / "data_p" / ("0" * 32)
    broken.mkdir(parents=True)
    (broken / "params.json").write_text("{")
    persistable = DataP(tmp_path, DataParams())
    assert persistable.load_generate()[:2] == [0, 1]
    assert f"Generating data_p {persistable.key}.\n" in log_of(persistable)


def test_long_values_and_many_differences_are_cut() -> None:
    before: dict[str, Any] = {"m": {"params": dict.fromkeys("abcde", 0)}}
    now = {"m": {"params": {**dict.fromkeys("bcde", 1), "text": "x" * 100}, "version": "2"}}
    found = differences(before, now)
    assert found[0] == "m.a: 0 -> nothing"
    assert found[-2].startswith('m.text: nothing -> "xxx')
    assert found[-2].endswith("…")
    assert found[-1] == 'm.version: nothing -> "2"'
