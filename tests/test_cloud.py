"""CloudFileIO: payloads in the cloud, manifests at hand, and nothing in the cloud that no manifest here leads to."""

from __future__ import annotations

import errno
import json
import pickle
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from persistable import (
    AutoFileIO,
    CorruptArtifactWarning,
    FileIO,
    FolderFileIO,
    FsspecStore,
    JsonFileIO,
    LocalStore,
    PartsFileIO,
    PayloadError,
    Persistable,
    PersistableParams,
    PersistError,
    PickleFileIO,
    StoreError,
)
from persistable._integrity import StoredPayload, digest_payload
from persistable.cloud import CloudFileIO
from persistable.fileio import fileio_for
from persistable.stores import CachedStore, Store, WrapperStore
from persistable.testing import FileIOConformance
from persistable.testing.faults import Fault, FaultyStore, fail, flip


@dataclass
class PointsParams(PersistableParams):
    n: int = 3


class PointsP(Persistable[Any, PointsParams]):
    made = 0

    def _generate_payload(self) -> Any:
        type(self).made += 1
        return {"points": list(range(self.params.n)), "turn": self.made}


class FolderP(PointsP):
    def _generate_payload(self) -> Any:
        super()._generate_payload()
        return FOLDER


class TablesP(PointsP):
    def _generate_payload(self) -> Any:
        return {"table": super()._generate_payload(), "report": "All is well."}


FOLDER: Path
PARTS = {"table": PickleFileIO[Any](), "report": JsonFileIO()}
KINDS: dict[str, tuple[type[PointsP], FileIO[Any]]] = {
    "file": (PointsP, PickleFileIO()),
    "chosen": (PointsP, AutoFileIO()),
    "parts": (TablesP, PartsFileIO(PARTS)),
    "folder": (FolderP, FolderFileIO()),
}


@pytest.fixture(autouse=True)
def _nothing_made_yet(tmp_path_factory: pytest.TempPathFactory) -> None:
    PointsP.made = FolderP.made = TablesP.made = 0
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("made by a tool")
    (FOLDER / "deep").mkdir(parents=True)
    (FOLDER / "deep" / "mesh.vtk").write_text("# vtk")


@pytest.fixture(params=["folder", "memory"])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return LocalStore(tmp_path / "cloud")
    return FsspecStore(f"memory://{uuid.uuid4().hex}/artifacts")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def lies_in(store: Store) -> set[str]:
    return {entry.path for entry in store.list("")}


def pointer_of(points: PointsP) -> dict[str, Any]:
    path = points.persist_filepath / points.manifest.payload["file"]
    pointer: dict[str, Any] = json.loads(path.read_text())
    return pointer


def seen(payload: Any) -> Any:
    """All of a payload, loaded."""
    if isinstance(payload, Path):
        return {path.relative_to(payload).as_posix(): path.read_text() for path in payload.rglob("*.vtk")}
    return dict(payload) if isinstance(payload, Mapping) else payload


class TestWhereThingsLie:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_payload_is_in_the_cloud_and_all_else_at_hand(self, cloud: Store, data_dir: Path, kind: str) -> None:
        cls, fileio = KINDS[kind]
        points = cls(data_dir, PointsParams(), payload_io=CloudFileIO(cloud, fileio))
        made = seen(points.generate())
        for loaded in (points.payload, cls(data_dir, PointsParams(), payload_io=CloudFileIO(cloud, fileio)).load()):
            assert seen(loaded) == made
        folder = points.persist_filepath
        assert folder.is_relative_to(data_dir)
        token = points.manifest.payload["file"].split(".")[1]
        assert {path.name for path in folder.iterdir()} == {
            "manifest.json",
            "params.json",
            "generation.log",
            f"payload.{token}.cloud.json",
        }
        path = pointer_of(points)["path"]
        assert path.startswith(f"{points.payload_name}/{points.key}/payload.")
        assert Path(path).suffix == {"file": ".pickle", "chosen": ".json"}.get(kind, Path(path).suffix)
        there = lies_in(cloud)
        assert there
        assert all(name == path or name.startswith(f"{path}/") for name in there)
        assert cls.made == 1

    def test_the_pointer_says_all_that_a_manifest_would(self, cloud: Store, data_dir: Path) -> None:
        points = PointsP(data_dir, PointsParams(1000), payload_io=CloudFileIO(cloud))
        points.generate()
        assert points.manifest.payload["format"] == "cloud"
        assert points.manifest.payload["size"] < 1000
        pointer = pointer_of(points)
        fetched = cloud.fetch(pointer["path"])
        size, digest, files = digest_payload(fetched)
        assert pointer == {
            "url": cloud.url,
            "path": pointer["path"],
            "format": "pickle",
            "format_version": 1,
            "size": size,
            "digest": digest,
            "files": files,
        }

    def test_no_credentials_are_written(self, data_dir: Path) -> None:
        url = f"memory://{uuid.uuid4().hex}"
        fileio: FileIO[Any] = CloudFileIO(url, storage_options={"asynchronous": False, "token": "s3cr3t"})
        points = PointsP(data_dir, PointsParams(), payload_io=fileio)
        points.generate()
        assert "s3cr3t" not in repr(fileio)
        assert url in repr(fileio)
        for path in points.persist_filepath.iterdir():
            assert "s3cr3t" not in path.read_text()

    def test_where_no_artifact_is_to_be_seen_the_name_is_longer(self, tmp_path: Path) -> None:
        cloud = LocalStore(tmp_path / "cloud")
        CloudFileIO(cloud, JsonFileIO()).save([1], tmp_path / "payload.cloud.json")
        (path,) = lies_in(cloud)
        assert len(path) == len("payload.0123456789abcdef.json")
        assert "/" not in path

    def test_the_data_dir_may_be_a_cloud_of_its_own(self, cloud: Store, tmp_path: Path) -> None:
        place = FsspecStore(f"memory://{uuid.uuid4().hex}")
        points = PointsP(place, PointsParams(), payload_io=CloudFileIO(cloud))
        for _ in range(3):
            points.generate()
            assert len(lies_in(cloud)) == 1
            assert len(lies_in(place)) == 4
        assert PointsP(place, PointsParams(), payload_io=CloudFileIO(cloud)).load() == points.payload

    def test_as_a_part_it_goes_to_the_cloud_too(self, cloud: Store, data_dir: Path) -> None:
        parts = {**PARTS, "table": CloudFileIO[Any](cloud, JsonFileIO())}
        points = TablesP(data_dir, PointsParams(), payload_io=PartsFileIO(parts))
        points.generate()
        loaded = TablesP(data_dir, PointsParams(), payload_io=PartsFileIO(parts)).load()
        assert seen(loaded) == points.payload
        assert len(lies_in(cloud)) == 1

    def test_a_persistable_with_it_pickles(self, cloud: Store, data_dir: Path) -> None:
        points = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud, JsonFileIO()))
        made = points.generate()
        assert pickle.loads(pickle.dumps(points)).load() == made

    def test_it_is_what_its_format_is(self, tmp_path: Path) -> None:
        for fileio in (JsonFileIO(), PickleFileIO[Any](), FolderFileIO()):
            around: FileIO[Any] = CloudFileIO(tmp_path, fileio)
            assert around.loading_runs_code == fileio.loading_runs_code
            assert around.payload_is_the_file == fileio.payload_is_the_file
            assert not around.loads_lazily

    def test_a_class_is_no_format(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match=r"PickleFileIO\(\)"):
            CloudFileIO(tmp_path, PickleFileIO)  # type: ignore[arg-type]


class TestDamage:
    @pytest.fixture(params=KINDS)
    def points(self, request: pytest.FixtureRequest, tmp_path: Path, data_dir: Path) -> PointsP:
        cls, fileio = KINDS[request.param]
        points = cls(data_dir, PointsParams(), payload_io=CloudFileIO(tmp_path / "cloud", fileio))
        points.generate()
        points.reset_payload()
        return points

    def remade(self, points: PointsP, match: str) -> None:
        with pytest.warns(CorruptArtifactWarning, match=match):
            points.load_generate()
        assert type(points).made == 2
        points.reset_payload()
        points.load_generate()
        assert type(points).made == 2

    def test_a_payload_that_is_gone_is_made_again(self, points: PointsP, tmp_path: Path) -> None:
        LocalStore(tmp_path / "cloud").drop(pointer_of(points)["path"])
        self.remade(points, "is missing")

    def test_a_payload_that_is_damaged_is_made_again(self, points: PointsP, tmp_path: Path) -> None:
        payload = tmp_path / "cloud" / pointer_of(points)["path"]
        file = payload if payload.is_file() else next(path for path in payload.rglob("*") if path.is_file())
        file.chmod(0o600)
        flip(file, 3)
        self.remade(points, "digest")

    def test_a_pointer_that_is_damaged_is_made_again(self, points: PointsP) -> None:
        flip(points.persist_filepath / points.manifest.payload["file"], 30)
        self.remade(points, "digest")

    def test_the_cloud_being_away_is_no_damage(self, tmp_path: Path, data_dir: Path) -> None:
        cloud = LocalStore(tmp_path / "cloud")
        PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud)).generate()
        away = FaultyStore(cloud, Fault(0, fail(errno.ETIMEDOUT, transient=True)))
        points = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(away))
        with pytest.raises(StoreError, match="on purpose"):
            points.load_generate()
        assert PointsP.made == 1

    def test_a_damaged_copy_in_a_cache_is_fetched_again(self, tmp_path: Path, data_dir: Path) -> None:
        cloud, cache = LocalStore(tmp_path / "cloud"), LocalStore(tmp_path / "cache")
        points = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(CachedStore(cloud, cache)))
        made = points.generate()
        points.reset_payload()
        assert points.load() == made
        flip(cache.fetch(pointer_of(points)["path"]), 3)
        points.reset_payload()
        assert points.load() == made
        assert PointsP.made == 1


class TestTrust:
    def test_a_reader_of_json_is_never_given_a_pickle(self, cloud: Store, data_dir: Path) -> None:
        PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud, PickleFileIO())).generate()
        points = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud, JsonFileIO()))
        with pytest.raises(PayloadError, match="runs code"):
            points.load_generate()

    def test_nothing_is_fetched_from_a_place_that_was_not_named(self, tmp_path: Path, data_dir: Path) -> None:
        PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(tmp_path / "theirs")).generate()
        points = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(tmp_path / "mine"))
        with pytest.raises(PayloadError, match=r"lies at .*theirs.*CloudFileIO\('.*theirs', …\)"):
            points.load_generate()
        assert PointsP.made == 1
        assert not (tmp_path / "mine").exists()

    def test_whoever_asks_for_another_format_is_told_what_to_pass(self, cloud: Store, data_dir: Path) -> None:
        PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud)).generate()
        with pytest.raises(PayloadError, match=r"CloudFileIO\(url, PickleFileIO\(\)\)"):
            PointsP(data_dir, PointsParams()).load_generate()

    def test_also_where_it_was_never_imported(self, run_python: Callable[..., str]) -> None:
        code = """if True:
            import sys
            from persistable.exceptions import PayloadError
            from persistable.fileio import PickleFileIO, fileio_for
            try:
                fileio_for("cloud", 1, PickleFileIO())
            except PayloadError as error:
                print(error, "persistable.cloud" in sys.modules)
        """
        assert "CloudFileIO(url, " in (printed := run_python(code))
        assert printed.strip().endswith("False")

    def test_what_was_written_without_a_cloud_is_still_read(self, cloud: Store, data_dir: Path) -> None:
        made = PointsP(data_dir, PointsParams()).generate()
        assert PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud)).load() == made

    @pytest.mark.parametrize(
        "change",
        [
            {"path": "../outside"},
            {"path": "/etc/passwd"},
            {"path": "points_p/../payload.01234567"},
            {"path": "payload.01234567/../../outside"},
            {"size": "3"},
            {"files": 3},
            {"url": None},
        ],
    )
    def test_a_pointer_that_points_elsewhere_is_not_followed(self, tmp_path: Path, change: dict[str, Any]) -> None:
        cloud, pointer = tmp_path / "cloud", tmp_path / "payload.cloud.json"
        (tmp_path / "outside").write_text("precious")
        fileio: FileIO[Any] = CloudFileIO(cloud, JsonFileIO())
        fileio.save([1], pointer)
        (payload,) = lies_in(LocalStore(cloud))
        pointer.write_text(json.dumps({**json.loads(pointer.read_text()), **change}))
        with pytest.raises(ValueError, match=r"pointer|points at"):
            fileio.discard(pointer)
        with pytest.raises(Exception, match=r"pointer|points at") as caught:
            fileio.load(_stored(pointer))
        assert type(caught.value).__name__ == "ArtifactCorruptError"
        assert (tmp_path / "outside").read_text() == "precious"
        assert lies_in(LocalStore(cloud)) == {payload}


class TestNothingIsLeftOver:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_new_generation_takes_the_old_payload_away(self, cloud: Store, data_dir: Path, kind: str) -> None:
        cls, fileio = KINDS[kind]
        points = cls(data_dir, PointsParams(), payload_io=CloudFileIO(cloud, fileio))
        for _ in range(3):
            points.generate()
            path = pointer_of(points)["path"]
            assert all(name == path or name.startswith(f"{path}/") for name in lies_in(cloud))
            assert len([*points.persist_filepath.iterdir()]) == 4
        points.persist()
        assert pointer_of(points)["path"] != path
        assert not any(name.startswith(path) for name in lies_in(cloud))

    def test_a_commit_that_lost_takes_its_own_away(self, cloud: Store, data_dir: Path) -> None:
        other = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud))

        class BeforeTheManifest(WrapperStore):
            """Somebody else commits in the very moment before we do."""

            def create(self, path: str, data: bytes) -> bool:
                if path.endswith("/manifest.json"):
                    other.generate()
                return self.inner.create(path, data)

        store = BeforeTheManifest(LocalStore(data_dir, single_flight=False))
        points = PointsP(store, PointsParams(), payload_io=CloudFileIO(cloud))
        assert points.load_generate() == other.payload
        assert lies_in(cloud) == {pointer_of(other)["path"]}

    @pytest.mark.parametrize("step", ["put ", "replace ", "create ", "spool "])
    def test_a_commit_that_fails_takes_its_own_away(self, cloud: Store, data_dir: Path, step: str) -> None:
        store = FaultyStore(LocalStore(data_dir))
        points = PointsP(store, PointsParams(), payload_io=CloudFileIO(cloud))
        points.generate(persist=False)
        store.faults = (Fault(1, fail(errno.ENOSPC), only=step),)
        store._counts = [0]
        with pytest.raises(PersistError):
            points.persist()
        assert lies_in(cloud) == set()
        assert lies_in(store.inner) <= {f"{points.key.folder}/params.json", f"{points.key.folder}/generation.log"}
        points.persist()
        assert lies_in(cloud) == {pointer_of(points)["path"]}

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_an_upload_that_fails_leaves_nothing_and_the_payload_in_memory(self, tmp_path: Path, when: str) -> None:
        fault = Fault(1, fail(errno.ETIMEDOUT, transient=True), when, only="put ")  # type: ignore[arg-type]
        cloud = FaultyStore(LocalStore(tmp_path / "cloud"), fault)
        points = PointsP(tmp_path / "data", PointsParams(), payload_io=CloudFileIO(cloud))
        with pytest.raises(PersistError, match="still in memory"):
            points.generate()
        assert lies_in(cloud.inner) == set()
        assert not points.exists()
        points.persist()
        assert points.exists()
        assert len(lies_in(cloud.inner)) == 1

    def test_a_payload_that_its_format_refuses_leaves_nothing(self, cloud: Store, data_dir: Path) -> None:
        points = TablesP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud, FolderFileIO()))
        with pytest.raises(PersistError, match="FolderFileIO does not take this dict"):
            points.generate()
        assert lies_in(cloud) == set()
        assert not any("payload" in name for name in lies_in(LocalStore(data_dir)))

    def test_while_the_cloud_is_away_the_old_one_waits_for_a_later_sweep(self, tmp_path: Path) -> None:
        cloud = FaultyStore(LocalStore(tmp_path / "cloud"), Fault(1, fail(errno.ETIMEDOUT), only="drop "))
        store = LocalStore(tmp_path / "data", leftovers_after=0.0)
        points = PointsP(store, PointsParams(), payload_io=CloudFileIO(cloud))
        for number in (1, 2):
            points.generate()
            assert len(lies_in(cloud.inner)) == number
        points.generate()  # the cloud is back
        assert lies_in(cloud.inner) == {pointer_of(points)["path"]}
        assert len(lies_in(store)) == 4

    @pytest.mark.filterwarnings("ignore::persistable.CorruptArtifactWarning")
    def test_what_was_damaged_goes_with_the_evidence_of_it(self, tmp_path: Path) -> None:
        cloud, store = LocalStore(tmp_path / "cloud"), LocalStore(tmp_path / "data", leftovers_after=0.0)
        points = PointsP(store, PointsParams(), payload_io=CloudFileIO(cloud))
        points.generate()
        flip(cloud.fetch(pointer_of(points)["path"]), 3)
        points.reset_payload()
        points.load_generate()
        points.generate()
        points.generate()
        assert lies_in(cloud) == {pointer_of(points)["path"]}

    def test_another_formats_leftovers_are_none_of_its_business(self, cloud: Store, data_dir: Path) -> None:
        PointsP(data_dir, PointsParams()).generate()
        points = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(cloud))
        points.generate()
        assert len([*points.persist_filepath.iterdir()]) == 4

    def test_what_lies_at_another_place_stays_there(self, tmp_path: Path, data_dir: Path) -> None:
        PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(tmp_path / "theirs")).generate()
        PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(tmp_path / "mine")).generate()
        assert len(lies_in(LocalStore(tmp_path / "theirs"))) == len(lies_in(LocalStore(tmp_path / "mine"))) == 1

    def test_a_format_that_cannot_discard_breaks_no_commit(self, data_dir: Path) -> None:
        discarded: list[Path] = []

        class Careless(PickleFileIO[Any]):
            def discard(self, filepath: Path) -> None:
                discarded.append(filepath)
                raise ZeroDivisionError("on purpose")

        points = PointsP(data_dir, PointsParams(), payload_io=Careless())
        points.generate()
        old = points.persist_filepath / points.manifest.payload["file"]
        points.generate()
        assert discarded == [old]
        assert not old.exists()
        assert points.load()["turn"] == 2

    def test_with_a_cache_a_payload_counts_when_it_is_in_the_cloud(self, tmp_path: Path, data_dir: Path) -> None:
        away = Fault(1, fail(errno.ETIMEDOUT, transient=True), only="put ")
        cloud, cache = FaultyStore(LocalStore(tmp_path / "cloud"), away), LocalStore(tmp_path / "cache")
        points = PointsP(data_dir, PointsParams(), payload_io=CloudFileIO(CachedStore(cloud, cache)))
        with pytest.raises(PersistError):
            points.generate()
        for _ in range(2):
            points.generate()
            points.reset_payload()
            points.load()
            path = pointer_of(points)["path"]
            assert path in lies_in(cache)
            assert lies_in(cloud.inner) == {path} == {name for name in lies_in(cache) if "/payload." in name}


def _stored(path: Path) -> StoredPayload:
    return StoredPayload(str(path), *digest_payload(str(path)))


class TestTheFormat(FileIOConformance):
    payloads = ({"a": [1, 2.5, None]}, [], "x" * 100_000)
    refused = ({1: "x"}, (1, 2))

    @pytest.fixture(autouse=True)
    def _cloud(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.fileio = CloudFileIO(tmp_path_factory.mktemp("cloud"), JsonFileIO())


def test_a_newer_pointer_is_refused_by_its_format(tmp_path: Path) -> None:
    fileio: FileIO[Any] = CloudFileIO(tmp_path, JsonFileIO())
    with pytest.raises(Exception, match=r"version 2 of the format 'cloud'"):
        fileio_for("cloud", 2, fileio)
