"""A flipped byte or a missing tail is found before anything is deserialised, warned about, and made again."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from artifact_world import FolderIO, WaitingP, WorldParams, expected

from persistable import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    CorruptArtifactWarning,
    FileIO,
    LocalStore,
    ManifestVersionError,
    Persistable,
    PersistableParams,
    PickleFileIO,
    StoreError,
    artifacts,
)
from persistable._integrity import digest
from persistable.testing.faults import flip, truncate


class Tripwire:
    """A payload that tells when it is unpickled."""

    pulled: ClassVar[int] = 0

    def __reduce__(self) -> Any:
        return _pull, ()


def _pull() -> Tripwire:
    Tripwire.pulled += 1
    return Tripwire()


class TripwireIO(FileIO[Any]):
    """A format that tells when it is asked to load."""

    suffix = ".trip"

    def _save(self, payload: Any, filepath: Path) -> None:
        filepath.write_bytes(b"a payload of forty bytes, more or less...")

    def _load(self, filepath: Path) -> Any:
        return _pull()


class TripwireFolderIO(TripwireIO):
    suffix = ""

    def _save(self, payload: Any, filepath: Path) -> None:
        (filepath / "deep").mkdir(parents=True)
        for name in ("first", "deep/second"):
            super()._save(payload, filepath / name)


@dataclass
class NumberParams(PersistableParams):
    number: int = 0


class TripwireP(Persistable[Tripwire, NumberParams]):
    made: ClassVar[int] = 0

    def _generate_payload(self) -> Tripwire:
        TripwireP.made += 1
        return Tripwire()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a bad manifest is read again: there are thousands of them here."""
    monkeypatch.setattr(artifacts, "_PAUSE_BETWEEN_THEM", 0.0)
    Tripwire.pulled = TripwireP.made = 0


def _files(artifact: Persistable[Any, Any]) -> tuple[Path, list[Path]]:
    folder = artifact.persist_filepath
    payload = folder / artifact.manifest.payload["file"]
    return folder / "manifest.json", [payload] if payload.is_file() else [p for p in payload.rglob("*") if p.is_file()]


def _refused(data_dir: Path, payload_io: FileIO[Any]) -> ArtifactCorruptError:
    asked = TripwireP(data_dir, NumberParams(), payload_io=payload_io)
    with pytest.raises(ArtifactCorruptError) as caught:
        asked.load()
    assert Tripwire.pulled == 0
    assert caught.value.key == asked.key
    assert str(asked.key) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("payload_io", [PickleFileIO(), TripwireIO(), TripwireFolderIO()], ids=lambda io: io.format_id)
class TestEveryDamageIsFoundBeforeAnythingIsDeserialised:
    def test_a_flipped_byte_at_any_position(self, tmp_path: Path, payload_io: FileIO[Any]) -> None:
        made = TripwireP(tmp_path, NumberParams(), payload_io=payload_io)
        made.generate()
        manifest, payloads = _files(made)
        for file in (manifest, *payloads):
            for position in range(file.stat().st_size):
                for mask in (0x01, 0x80):
                    flip(file, position, mask)
                    _refused(tmp_path, payload_io)
                    flip(file, position, mask)
        TripwireP(tmp_path, NumberParams(), payload_io=payload_io).load()
        assert Tripwire.pulled == 1

    def test_a_truncation_at_any_length_and_a_longer_tail(self, tmp_path: Path, payload_io: FileIO[Any]) -> None:
        made = TripwireP(tmp_path, NumberParams(), payload_io=payload_io)
        made.generate()
        manifest, payloads = _files(made)
        for file in (manifest, *payloads):
            whole = file.read_bytes()
            for length in reversed(range(len(whole))):
                truncate(file, length)
                _refused(tmp_path, payload_io)
            file.write_bytes(whole + b"\0")
            _refused(tmp_path, payload_io)
            file.write_bytes(whole)
        TripwireP(tmp_path, NumberParams(), payload_io=payload_io).load()

    def test_a_payload_file_that_is_gone(self, tmp_path: Path, payload_io: FileIO[Any]) -> None:
        made = TripwireP(tmp_path, NumberParams(), payload_io=payload_io)
        made.generate()
        for file in _files(made)[1]:
            file.unlink()
            assert "missing" in str(_refused(tmp_path, payload_io))

    def test_it_is_warned_about_and_made_again_and_kept_for_a_look(
        self, tmp_path: Path, payload_io: FileIO[Any]
    ) -> None:
        made = TripwireP(tmp_path, NumberParams(), payload_io=payload_io)
        neighbour = TripwireP(tmp_path, NumberParams(1), payload_io=payload_io)
        made.generate()
        neighbour.generate()
        before = {path: path.read_bytes() for path in neighbour.persist_filepath.rglob("*") if path.is_file()}
        size = made.persist_filepath.joinpath("manifest.json").stat().st_size
        damages = [("manifest", position) for position in range(0, size, 97)] + [("payload", p) for p in (0, 20, -1)]
        for number, (which, position) in enumerate(damages, 1):
            manifest, payloads = _files(made)
            bad = manifest if which == "manifest" else payloads[0]
            flip(bad, position)
            rotten = bad.read_bytes()
            asked = TripwireP(tmp_path, NumberParams(), payload_io=payload_io)
            TripwireP.made = 0
            with pytest.warns(CorruptArtifactWarning) as warned:
                asked.load_generate()
            assert len(warned) == 1
            assert str(asked.key) in str(warned[0].message)
            assert "made again" in str(warned[0].message)
            assert TripwireP.made == 1
            evidence = sorted(asked.persist_filepath.glob("corrupt-*.json"))
            assert len(evidence) == number
            kept = json.loads(evidence[-1].read_text())
            if which == "manifest":
                assert kept["manifest"] == rotten.decode("utf-8", "backslashreplace")
            else:
                assert bad.read_bytes() == rotten
                assert bad.is_relative_to(made.persist_filepath / kept["payload"])
            made = TripwireP(tmp_path, NumberParams(), payload_io=payload_io)
            made.load()
        assert before == {path: path.read_bytes() for path in neighbour.persist_filepath.rglob("*") if path.is_file()}


@pytest.mark.parametrize("which", ["manifest", "payload"])
def test_the_error_ends_with_a_way_out_and_the_evidence_tells_the_problem(tmp_path: Path, which: str) -> None:
    made = WaitingP(tmp_path, WorldParams())
    made.generate()
    manifest, payloads = _files(made)
    kept = payloads[0].name
    flip(manifest if which == "manifest" else payloads[0], 20)
    asked = WaitingP(tmp_path, WorldParams())
    with pytest.raises(ArtifactCorruptError) as caught:
        asked.load()
    message, problem = str(caught.value), artifacts.problem_of(caught.value)
    assert message == f"{problem} load_generate() makes it again; generate() too."
    assert problem.endswith(".")
    assert str(pickle.loads(pickle.dumps(caught.value))) == message
    artifact = artifacts.Artifact(b"", _sections(made), _head(made), {}, "")
    instead = artifacts.Instead(caught.value.found, problem)
    assert artifacts.commit(LocalStore(tmp_path), asked.key, artifact, PickleFileIO(), instead=instead)
    (evidence,) = asked.persist_filepath.glob("corrupt-*.json")
    found = json.loads(evidence.read_text())
    assert instead.found is not None
    assert found == {"problem": problem, "payload": kept, "manifest": instead.found.decode("utf-8", "backslashreplace")}
    assert (asked.persist_filepath / kept).exists()


def _sections(made: WaitingP) -> dict[str, Any]:
    names = ("params", "dependencies", "generated", "code", "metrics", "tags")
    return {name: made.manifest._section(name) for name in names}


def _head(made: WaitingP) -> dict[str, Any]:
    return {name: made.manifest.head[name] for name in ("version", "code")}


def test_what_rotted_long_after_it_was_written_is_kept_for_a_look_all_the_same(tmp_path: Path) -> None:
    """It is older than leftovers are let be; the evidence of it is not."""
    made = WaitingP(tmp_path, WorldParams())
    made.generate()
    bad = _files(made)[1][0]
    flip(bad, 3)
    for path in made.persist_filepath.rglob("*"):
        os.utime(path, (1e9, 1e9))
    with pytest.warns(CorruptArtifactWarning):
        WaitingP(tmp_path, WorldParams()).load_generate()
    assert bad.exists()
    for path in (bad, *made.persist_filepath.glob("corrupt-*")):
        os.utime(path, (1e9, 1e9))
    made.generate()
    assert not bad.exists()
    assert not list(made.persist_filepath.glob("corrupt-*"))


def test_a_file_that_was_not_written_with_a_folder_payload_is_found(tmp_path: Path) -> None:
    made = WaitingP(tmp_path, WorldParams(), payload_io=FolderIO())
    made.generate()
    folder = made.persist_filepath / made.manifest.payload["file"]
    (folder / "deep" / "foreign").write_bytes(b"")
    with pytest.raises(ArtifactCorruptError, match="'deep/foreign'"):
        WaitingP(tmp_path, WorldParams(), payload_io=FolderIO()).load()


def test_a_folder_payload_without_files_is_a_payload(tmp_path: Path) -> None:
    class NothingIO(FileIO[Any]):
        def _save(self, payload: Any, filepath: Path) -> None:
            filepath.mkdir()

        def _load(self, filepath: Path) -> Any:
            return b"" if filepath.is_dir() else None

    WaitingP(tmp_path, WorldParams(), payload_io=NothingIO()).generate()
    assert WaitingP(tmp_path, WorldParams(), payload_io=NothingIO()).load() == b""


def test_the_manifest_of_another_key_is_corrupt(tmp_path: Path) -> None:
    one, other = WaitingP(tmp_path, WorldParams("one")), WaitingP(tmp_path, WorldParams("other"))
    one.generate()
    other.generate()
    (other.persist_filepath / "manifest.json").write_bytes((one.persist_filepath / "manifest.json").read_bytes())
    with pytest.raises(ArtifactCorruptError, match=str(one.key)):
        WaitingP(tmp_path, WorldParams("other")).load()
    assert not WaitingP(tmp_path, WorldParams("other")).exists()
    with pytest.warns(CorruptArtifactWarning):
        assert WaitingP(tmp_path, WorldParams("other")).load_generate() == expected(WorldParams("other"))


@pytest.mark.parametrize(
    ("old", "new", "said"), [(b'"schema": 1', b'"schema": 2', "schema 2"), (b'"artifact"', b'"artefact"', "layout")]
)
def test_a_manifest_of_a_newer_persistable_is_refused_and_left_alone(
    tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    made = WaitingP(tmp_path, WorldParams())
    made.generate()
    path = made.persist_filepath / "manifest.json"
    body = path.read_bytes().partition(b"\n")[2].replace(old, new, 1)
    newer = b'{"digest": "%b",\n%b' % (digest(body).encode(), body)
    path.write_bytes(newer)
    asked = WaitingP(tmp_path, WorldParams())
    for ask in (asked.load, asked.load_generate, lambda: asked.manifest):
        with pytest.raises(ManifestVersionError, match=said):
            ask()
    assert asked.exists()
    assert path.read_bytes() == newer


def test_a_payload_that_may_not_be_read_is_not_called_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WaitingP(tmp_path, WorldParams()).generate()
    really_open = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if "payload." in str(path):
            raise PermissionError(13, "Permission denied")
        return really_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match="Permission denied") as caught:
        WaitingP(tmp_path, WorldParams()).load_generate()
    assert caught.value.errno == 13


def test_an_artifact_that_is_removed_by_hand_while_it_is_read_is_not_found(tmp_path: Path) -> None:
    made = WaitingP(tmp_path, WorldParams())
    made.generate()

    class Removing(PickleFileIO[Any]):
        format_id: ClassVar[str] = "pickle"

        def load(self, stored: Any) -> Any:
            for path in made.persist_filepath.iterdir():
                path.unlink()
            return super().load(stored)

    with pytest.raises(ArtifactNotFoundError):
        WaitingP(tmp_path, WorldParams(), payload_io=Removing()).load()
