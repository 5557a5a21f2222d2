"""Make the artifacts in ``persistable_1/``, with the real thing: run it under ``persistable==1.3.1``.

pip install persistable==1.3.1
python tests/data/make_persistable_1.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from persistable import Persistable, PersistableParams


class Kind(Enum):
    FAST = 1


@dataclass
class PointsParams(PersistableParams):
    n: int
    scale: float = 0.5
    name: str = "it's"
    path: Path = Path("some/file.csv")
    kind: Kind = Kind.FAST
    grid: dict[str, list[int]] = field(default_factory=lambda: {"a": [1, 2]})


class PointsP(Persistable[list[float], PointsParams]):
    def _generate_payload(self, **untracked: Any) -> list[float]:
        return [self.params.scale * i for i in range(self.params.n)]


@dataclass
class TotalParams(PersistableParams):
    weight: int


class TotalP(Persistable[float, TotalParams]):
    def _generate_payload(self, **untracked: Any) -> float:
        return self.params.weight * sum(self.tracked_persistable_dependencies[0].payload)


if __name__ == "__main__":
    folder = Path(__file__).parent / "persistable_1"
    points_p = PointsP(folder, PointsParams(4), None)
    TotalP(folder, TotalParams(3), [points_p]).generate()
