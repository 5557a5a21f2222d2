"""Cleaning up: what is known to be left over, and never what is not known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from artifact_world import FolderIO, WaitingP, WorldParams, expected, left_in

from persistable import LocalStore

_WHOLE = {"manifest.json", "params.json", "generation.log"}

_LEFT_OVER = [
    "payload.0123abcd.pickle",
    "payload.0123abcd",
    "payload.0123abcd/first.bin",
    "payload.0123abcd/deep/",
    "payload.0123abcd.csv.gz",
    "spool.payload.0123abcd.npy",
    "spool.payload.0123abcd.npy.tmp",
    "spool.payload.0123abcd/",
    "spool.payload.0123abcd/deep/er/file",
    "manifest.json.0123abcd.tmp",
    "params.json.0123abcd.tmp",
    "generation.log.0123abcd.tmp",
    "lease/0",
    "lease/17",
    "lease/0.0123abcd.tmp",
    "probe.0123abcd",
    "probe.0123abcd.0123abcd.tmp",
    "failed-20260101T000000.000000Z.log",
    "corrupt-20260101T000000.000000Z.json",
]

_FOREIGN = [
    "README.md",
    "payload.csv",
    "payload.0123abcdef.pickle",
    "payload.final",
    "my payload.0123abcd.npy",
    "results.0123abcd.tmp",
    "notes/params.json",
    "lease/NOTES",
    "failed-experiments.log",
    "corrupt-data.json",
    "manifest.json.bak",
    ".nfs0000000001",
]


def _leave(artifact: WaitingP, names: list[str], *, old: bool) -> None:
    for name in names:
        path = artifact.persist_filepath / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_bytes(b"left")
        if old:
            for place in (path, path.parent):
                os.utime(place, (1e9, 1e9))


def _left(artifact: WaitingP) -> set[str]:
    payload = artifact.manifest.payload["file"]
    return {name for name in left_in(artifact.persist_filepath) - _WHOLE if not name.startswith(payload)}


@pytest.mark.parametrize("name", _LEFT_OVER)
def test_what_is_left_over_goes_with_the_next_commit_once_it_is_old(tmp_path: Path, name: str) -> None:
    made = WaitingP(LocalStore(tmp_path, fsync=False), WorldParams())
    made.persist_filepath.mkdir(parents=True)
    _leave(made, [name], old=True)
    made.load_generate() if "lease" not in name else made.generate()
    assert _left(made) == set()


@pytest.mark.parametrize("name", [name for name in _LEFT_OVER if not name.startswith("lease")])
def test_what_may_belong_to_somebody_who_is_still_writing_stays(tmp_path: Path, name: str) -> None:
    made = WaitingP(LocalStore(tmp_path, fsync=False), WorldParams())
    made.persist_filepath.mkdir(parents=True)
    _leave(made, [name], old=False)
    made.load_generate()
    assert _left(made) == {name}


def test_a_payload_that_is_a_folder_is_as_young_as_its_youngest_file(tmp_path: Path) -> None:
    made = WaitingP(LocalStore(tmp_path, fsync=False), WorldParams())
    made.persist_filepath.mkdir(parents=True)
    _leave(made, ["spool.payload.0123abcd/first"], old=True)
    _leave(made, ["spool.payload.0123abcd/second"], old=False)
    made.load_generate()
    assert _left(made) == {"spool.payload.0123abcd/first", "spool.payload.0123abcd/second"}


@pytest.mark.parametrize("name", _FOREIGN)
def test_what_is_not_known_stays_however_old_it_is(tmp_path: Path, name: str) -> None:
    made = WaitingP(LocalStore(tmp_path, fsync=False, leftovers_after=0.0), WorldParams())
    made.persist_filepath.mkdir(parents=True)
    _leave(made, [name], old=True)
    made.generate()
    made.generate()
    assert _left(made) == {name}
    assert (made.persist_filepath / name).read_bytes() == b"left"


def test_a_foreign_file_from_the_future_makes_nothing_old(tmp_path: Path) -> None:
    made = WaitingP(LocalStore(tmp_path, fsync=False), WorldParams())
    made.persist_filepath.mkdir(parents=True)
    _leave(made, ["spool.payload.0123abcd.npy", "foreign"], old=False)
    os.utime(made.persist_filepath / "foreign", (9e9, 9e9))
    made.load_generate()
    assert "spool.payload.0123abcd.npy" in _left(made)


def test_other_artifacts_are_not_looked_at(tmp_path: Path) -> None:
    other = WaitingP(LocalStore(tmp_path), WorldParams("other"))
    other.generate()
    _leave(other, _LEFT_OVER[:1], old=True)
    WaitingP(LocalStore(tmp_path, leftovers_after=0.0), WorldParams()).generate()
    assert _left(other) == {_LEFT_OVER[0]}


@pytest.mark.parametrize("io", [None, FolderIO()], ids=["file", "folder"])
def test_the_payload_of_before_goes_when_it_is_replaced(tmp_path: Path, io: FolderIO | None) -> None:
    made = WaitingP(tmp_path, WorldParams(), payload_io=io)
    for _ in range(3):
        made.generate()
        assert _left(made) == set()
    assert WaitingP(tmp_path, WorldParams(), payload_io=io).load() == expected(WorldParams())


def test_a_read_only_folder_payload_goes_when_it_is_replaced(tmp_path: Path) -> None:
    class ReadOnlyFolderIO(FolderIO):
        format_id = "test.read-only-folder"

        def _save(self, payload: bytes, filepath: Path) -> None:
            super()._save(payload, filepath)
            for path in (filepath / "deep" / "second.bin", filepath / "deep", filepath):
                path.chmod(0o555)

    made = WaitingP(tmp_path, WorldParams(), payload_io=ReadOnlyFolderIO())
    for _ in range(3):
        made.generate()
        assert _left(made) == set()


def test_a_failed_generation_leaves_its_log_and_no_artifact_and_the_next_success_lets_it_be(tmp_path: Path) -> None:
    asked = WaitingP(LocalStore(tmp_path), WorldParams(fail=True))
    with pytest.raises(ZeroDivisionError, match=r"^on purpose$") as caught:
        asked.load_generate()
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert not asked.exists()
    (log,) = asked.persist_filepath.glob("failed-*.log")
    assert "ZeroDivisionError: on purpose" in log.read_text()
    made = WaitingP(LocalStore(tmp_path), WorldParams())
    made.load_generate()
    assert _left(made) == {log.name}


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    class InterruptedP(WaitingP):
        def _generate_payload(self) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InterruptedP(tmp_path, WorldParams()).load_generate()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_payload_is_written_leaves_nothing(tmp_path: Path) -> None:
    class InterruptedIO(FolderIO):
        format_id = "test.interrupted"

        def _save(self, payload: bytes, filepath: Path) -> None:
            super()._save(payload, filepath)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        WaitingP(tmp_path, WorldParams(), payload_io=InterruptedIO()).load_generate()
    assert list(tmp_path.iterdir()) == []
