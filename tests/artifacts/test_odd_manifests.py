"""A manifest with a right digest may hold anything: whoever can write to the store can write one."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from persistable import ArtifactCorruptError, CorruptArtifactWarning, LocalStore, Manifest, Persistable, artifacts
from persistable._integrity import digest


class NumberP(Persistable[int, None]):
    def _generate_payload(self) -> int:
        return 7


def forge(manifest: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a manifest says, and give it the digest of that."""
    body = json.loads(manifest.read_bytes())
    del body["digest"]
    change(body)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in body.items())
    manifest.write_bytes(b'{"digest": "%b",\n%b' % (digest(f"{lines}}}\n".encode()).encode(), f"{lines}}}\n".encode()))


def payload(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda body: body["artifact"]["payload"].update({name: value})


ODD: dict[str, Callable[[dict[str, Any]], object]] = {
    "no payload": lambda body: body["artifact"].update(payload=None),
    "a schema in words": lambda body: body["artifact"].update(schema="1"),
    "a head that is a list": lambda body: body.update(artifact=[1]),
    "a key that is a number": lambda body: body["artifact"].update(key=1),
    "no code": lambda body: body["artifact"].pop("code"),
    "a file elsewhere": payload("file", "../../../etc/passwd"),
    "a file further down": payload("file", "payload.01234567/../../x"),
    "a file with a zero byte": payload("file", "payload.01234567\0"),
    "a size in words": payload("size", "7"),
    "files in a list": payload("files", [1]),
    "files without sizes": payload("files", {"a": 1}),
    "files elsewhere": payload("files", {"../a": [1, "xxh3:"]}),
    "absolute files": payload("files", {"/etc/passwd": [1, "xxh3:"]}),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD.keys())
def test_an_odd_head_is_corrupt_and_the_artifact_is_made_again(tmp_path: Path, change: Callable[..., object]) -> None:
    number_p = NumberP(tmp_path, None)
    number_p.generate()
    forge(number_p.persist_filepath / "manifest.json", change)
    with pytest.raises(ArtifactCorruptError, match="makes no sense"):
        artifacts.read_manifest(LocalStore(tmp_path), number_p.key)
    found = NumberP(tmp_path, None)
    assert not found.exists()
    assert found.explain().state == "corrupt"
    with pytest.warns(CorruptArtifactWarning, match="makes no sense"):
        assert found.load_generate() == 7
    assert NumberP(tmp_path, None).load() == 7


@pytest.mark.parametrize("section", ["params", "dependencies", "generated", "code", "metrics", "tags"])
@pytest.mark.parametrize("value", [None, 1, "x", [1], {"a": 1}, {"a": {"payload_name": {}, "key": 1, "digest": None}}])
def test_an_odd_section_says_nothing_and_harms_nothing(tmp_path: Path, section: str, value: Any) -> None:
    number_p = NumberP(tmp_path, None)
    number_p.generate()
    path = number_p.persist_filepath / "manifest.json"
    forge(path, lambda body: body.update({section: value}))
    manifest = Manifest.parse(path.read_bytes())
    assert isinstance(manifest.generated, dict)
    assert all(isinstance(tag, str) for tag in manifest.tags)
    assert manifest.dependencies == {}
    assert repr(manifest)
    assert manifest._repr_html_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its code, nothing is known
        assert NumberP(tmp_path, None).load_generate() == 7


def test_what_a_manifest_says_is_shown_harmlessly(tmp_path: Path) -> None:
    number_p = NumberP(tmp_path, None)
    number_p.generate()
    path = number_p.persist_filepath / "manifest.json"
    forge(path, lambda body: body["generated"].update(user="\x1b[31mann", seconds=None))
    assert repr(Manifest.parse(path.read_bytes())).isprintable()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_the_place_of_a_file_is_damage_and_nobody_waits_for_it(tmp_path: Path) -> None:
    number_p = NumberP(tmp_path, None)
    number_p.generate()
    file = number_p.persist_filepath / number_p.manifest.payload["file"]
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ArtifactCorruptError, match="0 bytes"):
        NumberP(tmp_path, None).load()
    manifest = number_p.persist_filepath / "manifest.json"
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(ArtifactCorruptError, match="is damaged"):
        NumberP(tmp_path, None).load()


def test_a_folder_in_the_place_of_a_manifest_is_damage(tmp_path: Path) -> None:
    number_p = NumberP(tmp_path, None)
    (number_p.persist_filepath / "manifest.json" / "x").mkdir(parents=True)
    with pytest.raises(ArtifactCorruptError, match="is a folder"):
        number_p.load()


def test_a_lease_that_is_nested_without_end_says_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, time_to_live=0.2)
    number_p = NumberP(store, None)
    store.create(f"{number_p.key.folder}/lease/0", b"[" * 200_000)
    assert number_p.load_generate() == 7


def test_a_payload_that_is_swept_before_its_manifest_is_written_is_not_committed(tmp_path: Path) -> None:
    class Sweeping(LocalStore):
        def replace(self, path: str, data: bytes) -> None:
            super().replace(path, data)
            for file in (self.path / path).parent.glob("payload.*"):
                file.unlink()

    number_p = NumberP(Sweeping(tmp_path), None)
    with pytest.raises(OSError, match="removed before its manifest was written"):
        number_p.load_generate()
    assert not number_p.exists()
    assert number_p.payload == 7, "it is still in memory"


def test_what_is_persisted_again_still_knows_what_it_was_made_from(tmp_path: Path) -> None:
    class DoubleP(Persistable[int, None]):
        def __init__(self) -> None:
            self.number_p = NumberP(tmp_path, None)
            super().__init__(tmp_path, None, [self.number_p])

        def _generate_payload(self) -> int:
            return 2 * self.number_p.payload

    DoubleP().load_generate()
    before = DoubleP().manifest.dependencies
    again = DoubleP()
    again.load()
    again.persist()
    assert DoubleP().manifest.dependencies == before
    assert before["number_p"].digest is not None
