"""Disks that are full, read-only, or shared by a group."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from artifact_world import WaitingP, WorldParams, expected, left_in

from persistable import LocalStore, PersistError, StoreError
from persistable.testing.faults import Fault, FaultyStore, fail

_PAGE = 4096
_WHOLE = {"manifest.json", "params.json", "generation.log"}


def _fill(disk: Path, leaving: int = 0) -> Path:
    """Fill a file system, but for so many pages; return the file that does."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"\0" * _PAGE):
                pass
        file.truncate(max(0, file.tell() // _PAGE - leaving) * _PAGE)
    return ballast


def _failure_of(asked: WaitingP) -> StoreError | PersistError | None:
    try:
        asked.load_generate()
    except (StoreError, PersistError) as error:
        return error
    return None


def _payload_is_whole(artifact: WaitingP) -> None:
    left = left_in(artifact.persist_filepath)
    assert {name for name in left if not name.startswith("payload.")} == _WHOLE
    assert len(left) == 4


def test_a_disk_that_is_full_at_any_step_costs_nothing_but_a_clear_error(small_disk: Path) -> None:
    data_dir = small_disk / "data"
    other = WaitingP(data_dir, WorldParams("other"))
    other.generate()
    outcomes = []
    for leaving in range(20):
        params = WorldParams(f"leaving {leaving}", size=5 * _PAGE)
        asked = WaitingP(LocalStore(data_dir), params)
        ballast = _fill(small_disk, leaving)
        failure = _failure_of(asked)
        if isinstance(failure, PersistError):
            assert failure.errno == errno.ENOSPC
            assert failure.__cause__ is not None
            assert "still in memory" in str(failure)
            assert "space" in str(failure)
            outcomes.append("not persisted")
            assert asked.payload == expected(params)  # an hour's work is not lost
            assert not asked.exists()
            assert {name for name in left_in(data_dir) if "payload" in name and str(asked.key) in name} == set()
            ballast.unlink()
            asked.persist()
        elif failure is not None:
            assert failure.errno == errno.ENOSPC
            assert "space" in str(failure)
            outcomes.append("not begun")
            assert not asked.persist_filepath.exists()
            ballast.unlink()
            asked.load_generate()
        else:
            outcomes.append("made")
            ballast.unlink()
        assert WaitingP(data_dir, WorldParams("other")).load() == expected(WorldParams("other"))
        assert WaitingP(data_dir, params).load() == expected(params)
        asked.generate()  # takes what was left over of a lease
        _payload_is_whole(asked)
    assert outcomes == sorted(outcomes, key=["not begun", "not persisted", "made"].index)
    assert set(outcomes) == {"not begun", "not persisted", "made"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_store_that_fails_at_any_one_operation_costs_nothing_but_a_clear_error(tmp_path: Path, number: int) -> None:
    """The same, for each operation of a first ask: the lease, params.json, the log, the manifest, …"""
    for step in range(1, 100):
        inner = LocalStore(tmp_path / str(step), fsync=False, leftovers_after=0.0)
        store = FaultyStore(inner, Fault(step, fail(number)))
        asked = WaitingP(store, WorldParams())
        failure = _failure_of(asked)
        assert failure is None or failure.errno == number
        if isinstance(failure, PersistError):
            asked.persist()
        elif failure is not None:
            asked.load_generate()
        if step > len(store.operations):
            break
        again = WaitingP(inner, WorldParams())
        assert again.load() == expected(WorldParams())
        again.generate()
        _payload_is_whole(again)
    assert 15 < step < 60


def test_what_the_format_cannot_write_is_told_once_with_its_cause(tmp_path: Path) -> None:
    class UnwritableP(WaitingP):
        def _generate_payload(self) -> Any:
            return lambda: None

    asked = UnwritableP(tmp_path, WorldParams())
    with pytest.raises(PersistError) as caught:
        asked.load_generate()
    assert isinstance(caught.value.__cause__, pickle.PicklingError | AttributeError)
    assert str(caught.value).count("could not be persisted") == 1
    assert {Path(name).parts[2].partition("-")[0] for name in left_in(tmp_path)} <= {"lease", "failed"}
    assert not asked.exists()
    assert asked.payload is not None


# Read-only


def _remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def test_a_store_on_a_read_only_mount_serves_hits_and_refuses_misses_before_the_work(small_disk: Path) -> None:
    data_dir = small_disk / "data"
    WaitingP(data_dir, WorldParams()).generate()
    _remount(small_disk, "ro")
    try:
        store = LocalStore(data_dir)
        assert WaitingP(store, WorldParams()).load_generate() == expected(WorldParams())
        missing = WaitingP(store, WorldParams("missing", fail=True))  # would raise if it were generated
        for ask in (missing.load_generate, missing.generate):
            with pytest.raises(StoreError, match=r"(?s)Read-only file system.*generate\(persist=False\)") as caught:
                ask()
            assert caught.value.errno == errno.EROFS
        assert WaitingP(store, WorldParams("y")).generate(persist=False) == expected(WorldParams("y"))
    finally:
        _remount(small_disk, "rw")


_AS_SOMEBODY_ELSE = """
import os, sys
import persistable._persistable, persistable.artifacts, persistable.stores, persistable.fileio.pickle
from artifact_world import WaitingP, WorldParams, expected
from persistable import StoreError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
{}
"""


def _as_somebody_else(code: str) -> None:
    import persistable

    paths = os.pathsep.join([str(Path(persistable.__file__).parents[1]), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _AS_SOMEBODY_ELSE.format(code)],
        env={**os.environ, "PYTHONPATH": paths, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
class TestAReaderWhoMayOnlyRead:
    def test_loads_and_is_refused_before_the_work_where_it_would_have_to_write(self, open_folder: Path) -> None:
        data_dir = open_folder / "data"
        WaitingP(data_dir, WorldParams()).generate()
        before = left_in(data_dir)
        _as_somebody_else(f"""
assert WaitingP({str(data_dir)!r}, WorldParams()).load_generate() == expected(WorldParams())
try:
    WaitingP({str(data_dir)!r}, WorldParams("missing", fail=True)).load_generate()
except StoreError as error:
    assert error.errno == 13 and "Permission denied" in str(error), error
else:
    raise SystemExit("was not refused")
""")
        assert left_in(data_dir) == before

    def test_is_told_so_about_a_data_dir_that_it_cannot_make(self, open_folder: Path) -> None:
        _as_somebody_else(f"""
try:
    WaitingP({str(open_folder / "new")!r}, WorldParams(fail=True)).load_generate()
except StoreError as error:
    assert "Ask for the permission" in str(error), error
else:
    raise SystemExit("was not refused")
""")
        assert list(open_folder.iterdir()) == []


def test_a_data_dir_that_is_a_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    data_dir = tmp_path / "file"
    data_dir.write_bytes(b"mine")
    asked = WaitingP(data_dir, WorldParams(fail=True))
    for ask in (asked.load, asked.load_generate, asked.generate):
        with pytest.raises(StoreError, match="is a file"):
            ask()
    assert data_dir.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [data_dir]


# Modes


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file to a group")
@pytest.mark.parametrize("io", ["pickle", "folder"])
@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [("2", 0o664, 0o2775), ("27", 0o640, 0o2750)])
def test_files_honour_umask_and_set_gid_folders_and_nothing_is_chmodded(
    open_folder: Path, umask: str, file_mode: int, folder_mode: int, io: str
) -> None:
    os.chown(open_folder, -1, 4711)
    os.chmod(open_folder, 0o2775)
    import persistable

    paths = os.pathsep.join([str(Path(persistable.__file__).parents[1]), str(Path(__file__).parent)])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import os, sys, pathlib
from artifact_world import FORMATS, WaitingP, WorldParams
os.umask(0o{umask})
changed = []
sys.addaudithook(lambda event, given: changed.append(given) if event in ("os.chmod", "os.chown") else None)
class LookingP(WaitingP):
    def _generate_payload(self):
        lease = self.persist_filepath / "lease" / "0"
        assert lease.stat().st_mode & 0o777 == {file_mode} and lease.stat().st_gid == 4711
        return super()._generate_payload()
io = FORMATS[{io!r}]
p = LookingP({str(open_folder)!r}, WorldParams(), payload_io=io)
p.load_generate()
payload = p.persist_filepath / p.manifest.payload["file"]
payload = payload if payload.is_file() else payload / "first.bin"
payload.write_bytes(b"rotten")
import warnings; warnings.simplefilter("ignore")
LookingP({str(open_folder)!r}, WorldParams(), payload_io=io).load_generate()
try:
    WaitingP({str(open_folder)!r}, WorldParams("y", fail=True), payload_io=io).load_generate()
except ZeroDivisionError:
    pass
assert not changed, changed
""",
        ],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    below = list(open_folder.rglob("*"))
    assert {path.name.split("-")[0].split(".")[0] for path in below if path.is_file()} >= {
        "failed",
        "corrupt",
        "manifest",
    }
    for path in below:
        status = path.stat()
        assert status.st_gid == 4711, path
        assert stat.S_IMODE(status.st_mode) == (folder_mode if path.is_dir() else file_mode), path
