"""Artifacts of persistable 1.x are found on a miss; only where they are certainly the ones."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from persistable import ArtifactNotFoundError, CorruptArtifactWarning, Persistable, PersistableParams, added

MADE_BY_1_3_1 = Path(__file__).parent / "data" / "persistable_1"


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
    order: int = added(default=1)


class PointsP(Persistable[list[float], PointsParams]):
    pass


@dataclass
class TotalParams(PersistableParams):
    weight: int


class TotalP(Persistable[float, TotalParams]):
    pass


@pytest.fixture
def drive(tmp_path):
    return Path(shutil.copytree(MADE_BY_1_3_1, tmp_path / "drive"))


def test_an_artifact_of_1_x_is_loaded_with_a_note_in_the_log(drive, caplog):
    caplog.set_level(logging.INFO)
    points = PointsP(drive, PointsParams(4))
    assert points.load_generate() == [0.0, 0.5, 1.0, 1.5]
    assert "which persistable 1.x wrote" in caplog.text
    total = TotalP(drive, TotalParams(3), [points])
    assert total.load() == 9.0


def test_it_can_be_persisted_anew_and_is_an_artifact_then(drive):
    points = PointsP(drive, PointsParams(4))
    points.load()
    points.persist()
    for path in drive.glob("*.persistable"):
        path.unlink()
    assert PointsP(drive, PointsParams(4)).load() == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("params", [PointsParams(5), PointsParams(4, order=2), PointsParams(4, name="its")])
def test_other_params_do_not_find_it(drive, params):
    with pytest.raises(ArtifactNotFoundError):
        PointsP(drive, params).load()


@pytest.mark.parametrize("damage", ["{", '{"n": 4}', None])
def test_a_payload_whose_params_file_does_not_agree_is_not_trusted(drive, damage):
    for path in drive.glob("points_p*.json"):
        path.unlink() if damage is None else path.write_text(damage)
    with pytest.raises(ArtifactNotFoundError):
        PointsP(drive, PointsParams(4)).load()


def test_params_that_1_x_could_not_tell_apart_are_not_looked_up(drive):
    numpy = pytest.importorskip("numpy")
    points = PointsP(drive, PointsParams(4, grid={"a": numpy.arange(5000)}))
    with pytest.raises(ArtifactNotFoundError):
        points.load()


def test_what_1_x_did_not_know_of_is_not_looked_up(drive):
    """It had no versions, and the second of two upstreams of one name took the place of the first."""

    class VersionedP(PointsP):
        version = "2"

    with pytest.raises(ArtifactNotFoundError):
        VersionedP(drive, PointsParams(4), payload_name="points_p").load()
    other, points = PointsP(drive, PointsParams(99)), PointsP(drive, PointsParams(4))
    for upstreams in ({"train": other, "points_p": points}, {"weight_of": points, "points_p": other}):
        with pytest.raises(ArtifactNotFoundError):
            TotalP(drive, TotalParams(3), upstreams).load()
    assert TotalP(drive, TotalParams(3), {"a role": points}).exists()


@pytest.mark.parametrize("length", [0, 10])
def test_half_a_payload_of_1_x_is_made_again(drive, length):
    class MadeP(PointsP):
        def _generate_payload(self) -> list[float]:
            return [1.0]

    for path in drive.glob("points_p*.persistable"):
        path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(CorruptArtifactWarning, match=r"persistable 1\.x wrote, cannot be read"):
        assert MadeP(drive, PointsParams(4), payload_name="points_p").load_generate() == [1.0]


def test_a_ladder_is_not_written_out(drive):
    level = [PointsP(drive, PointsParams(4), payload_name=name) for name in "ab"]
    for _ in range(60):
        level = [PointsP(drive, PointsParams(4), level, payload_name=name) for name in "ab"]
    with pytest.raises(ArtifactNotFoundError):
        level[0].load()
