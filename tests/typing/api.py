"""Read by mypy and pyright, never run: what type checkers know of the face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type

from persistable import (
    FileIO,
    JsonFileIO,
    LocalStore,
    Manifest,
    Persistable,
    PersistableParams,
    PickleFileIO,
    added,
    content_digest,
    register_encoder,
    untracked,
)


@dataclass
class PointsParams(PersistableParams):
    n: int
    scale: float = added(default=1.0)
    n_jobs: int = untracked(default=1)


class PointsP(Persistable[list[float], PointsParams]):
    version = "2"

    def _generate_payload(self) -> list[float]:
        assert_type(self.params.n, int)
        return [self.params.scale] * self.params.n

    def _validate_payload(self, payload: list[float]) -> None:
        assert_type(payload, list[float])


class TotalP(Persistable[float, None]):
    def __init__(self, data_dir: Path, *, points_p: PointsP) -> None:
        super().__init__(data_dir, None, [points_p], payload_io=JsonFileIO())
        self.points_p = points_p

    def _generate_payload(self, **untracked_payload_params: Any) -> float:
        return sum(self.points_p.payload)


points_p = PointsP("data", PointsParams(3), payload_io=PickleFileIO())
assert_type(points_p.params, PointsParams)
assert_type(points_p.payload, list[float])
assert_type(points_p.load(), list[float])
assert_type(points_p.load_generate(), list[float])
assert_type(points_p.generate(persist=False), list[float])
assert_type(points_p.exists(), bool)
assert_type(points_p.manifest, Manifest)
assert_type(points_p.persist_filepath, Path)
assert_type(points_p.params.to_dict(), dict[str, Any])

total_p = TotalP(Path("data"), points_p=points_p)
assert_type(total_p.payload, float)
assert_type(total_p.tracked_persistable_dependencies, Mapping[str, Persistable[Any, Any]])
total_p.tracked_persistable_dependencies = [points_p]
total_p.tracked_persistable_dependencies = {"points": points_p}

PointsP(LocalStore("data", fsync=False), PointsParams(n=3, scale=0.5))
PointsP("data", {"n": 3})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
points_p.params.m  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnusedExpression]


class TextIO(FileIO[str]):
    suffix = ".text"

    def _save(self, payload: str, filepath: Path) -> None:
        filepath.write_text(payload)

    def _load(self, filepath: Path) -> str:
        return filepath.read_text()


PointsP("data", PointsParams(3), payload_io=TextIO())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
register_encoder(complex, lambda value: (value.real, value.imag))
assert_type(content_digest("file"), str)
