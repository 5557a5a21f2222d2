"""Verifying: each byte against what was written, in any store, and nothing deserialised."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from mixed_store import make_mixed_store
from upkeep_world import KINDS, BytesP, Params, made

from persistable import CloudFileIO, LocalStore
from persistable.catalog import Catalog
from persistable.fileio import BytesFileIO
from persistable.manifest import Manifest
from persistable.stores import store_for
from persistable.testing.faults import flip
from persistable.upkeep import remove, verify


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_artifact_is_told_to_be_whole(tmp_path: Path, kind: str) -> None:
    made(kind, tmp_path).load_generate()
    (finding,) = verify(Catalog(tmp_path))
    assert finding == (made(kind, tmp_path).key.folder, made(kind, tmp_path).key, kind, "ok", "", "")


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_is_found(tmp_path: Path, kind: str) -> None:
    asked = made(kind, tmp_path)
    asked.load_generate()
    verify(Catalog(tmp_path))
    files = [path for path in asked.persist_filepath.rglob("*") if path.is_file() and "payload." in str(path)]
    for file in files:
        status = file.stat()
        file.chmod(0o644)
        flip(file, file.stat().st_size // 2)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        (finding,) = verify(Catalog(tmp_path))
        assert finding.level == "fault"
        assert "has the digest" in finding.problem
        assert "load_generate() makes it again" in finding.remedy
        flip(file, file.stat().st_size // 2)
    (finding,) = verify(Catalog(tmp_path))
    assert finding.level == "ok"


@pytest.mark.parametrize("damage", ["gone", "longer", "another file"])
def test_a_payload_that_is_gone_or_of_another_size_is_found(tmp_path: Path, damage: str) -> None:
    asked = made("folder", tmp_path)
    asked.load_generate()
    (payload,) = asked.persist_filepath.glob("payload.*")
    match damage:
        case "gone":
            (payload / "first").unlink()
        case "longer":
            (payload / "first").chmod(0o644)
            (payload / "first").write_bytes(b"x" * 9000)
        case "another file":
            (payload / "another").write_bytes(b"x")
    (finding,) = verify(Catalog(tmp_path))
    assert finding.level == "fault"
    words = {"gone": "is missing the file 'first'", "longer": "has 9,000 bytes, and 8,000", "another file": "'another'"}
    assert words[damage] in finding.problem


def test_a_mixed_store_is_verified_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    with make_mixed_store(tmp_path / "store") as mixed:
        found = {finding.key: finding for finding in verify(Catalog(mixed.store))}
        assert found[mixed.damaged].level == "fault"
        assert "damaged" in found[mixed.damaged].problem
        assert found[mixed.gone].level == "fault"
        assert "is missing" in found[mixed.gone].problem
        assert found[mixed.newer].level == "warning"
        assert "newer" in found[mixed.newer].problem
        assert {key for key, finding in found.items() if finding.level == "ok"} == {
            mixed.data.key,
            *(model.key for model in mixed.models),
        }
        assert not {mixed.failed, mixed.half_deleted, mixed.generating} & found.keys()


def test_only_what_is_asked_for_is_verified_and_progress_is_told(tmp_path: Path) -> None:
    for n in range(5):
        made("bytes", tmp_path, n).load_generate()
    catalog, seen = Catalog(tmp_path), []
    findings = verify(catalog, catalog.find(where="params.n > 1"), progress=lambda *said: seen.append(said))
    assert len(findings) == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("content", [None, "rotten", "[]", '{"bytes": {"params": {"n": 1}}}'])
def test_params_that_are_not_those_of_the_manifest_are_told_of(tmp_path: Path, content: str | None) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    path = asked.persist_filepath / "params.json"
    path.unlink() if content is None else path.write_text(content)
    (finding,) = verify(Catalog(tmp_path))
    assert finding.level == "warning"
    assert finding.problem.startswith("params.json")


def test_upstreams_that_are_gone_or_were_made_again_are_told_of(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, fsync=False)
    first, second = made("bytes", store, 1), made("array", store, 2)

    class UsesP(BytesP):
        def _generate_payload(self) -> Any:
            return [len(node.payload) for node in self.tracked_persistable_dependencies.values()]

    UsesP(store, Params(3), [first, second], payload_name="uses").load_generate()
    assert {finding.level for finding in verify(Catalog(store))} == {"ok"}
    _make_other(second)
    remove(store, first.key)
    warnings = [finding for finding in verify(Catalog(store)) if finding.payload_name == "uses"]
    assert [finding.level for finding in warnings] == ["warning", "warning"]
    gone, remade = (finding.problem for finding in warnings)
    assert f"(bytes {first.key[:8]}) is not in this store" in gone
    assert f"(array {second.key[:8]}) has been made again since, with other content" in remade


def _make_other(node: Any, **generated: Any) -> None:
    """Make the payload of an artifact anew, with other content."""
    import numpy as np

    node.load_generate()[:] = 7
    assert isinstance(node.payload, np.ndarray)
    node.persist()


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return witness.write_text, ("run",)

    asked = made("pickle", tmp_path / "store")
    asked.load_generate()
    (payload,) = asked.persist_filepath.glob("payload.*")
    payload.write_bytes(pickle.dumps(Evil()))
    from persistable._integrity import digest_file

    size, digest = digest_file(payload)
    path = asked.persist_filepath / "manifest.json"
    manifest = Manifest.parse(path.read_bytes())
    head = {**manifest.head, "payload": {**manifest.payload, "size": size, "digest": digest}}
    path.write_bytes(Manifest.compose(head, json.loads(manifest.data)).data)
    (finding,) = verify(Catalog(tmp_path / "store"))
    assert finding.level == "ok"
    assert not witness.exists()


def test_a_store_that_is_no_folder_is_verified_from_where_it_is() -> None:
    store = store_for("memory://verify")
    asked = made("folder", store)
    asked.load_generate()
    (finding,) = verify(Catalog(store))
    assert finding.level == "ok"
    remove(store, asked.key)


def test_the_copy_in_a_cache_says_nothing_about_the_store(tmp_path: Path) -> None:
    store = store_for(LocalStore(tmp_path / "remote"), cache_dir=tmp_path / "cache")
    made("bytes", store).load_generate()
    made("bytes", store).load()
    (payload,) = (tmp_path / "remote").rglob("payload.*")
    flip(payload, 5)
    (finding,) = verify(Catalog(store))
    assert finding.level == "fault"


def test_a_pointer_into_the_cloud_is_told_to_be_only_that(tmp_path: Path) -> None:
    payload_io = CloudFileIO(tmp_path / "cloud", BytesFileIO())
    BytesP(tmp_path / "here", Params(), payload_io=payload_io).load_generate()
    (finding,) = verify(Catalog(tmp_path / "here"))
    assert finding.level == "warning"
    assert "only the pointer" in finding.problem


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="this system always notes a use")
def test_to_verify_is_no_use(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    (payload,) = asked.persist_filepath.glob("payload.*")
    os.utime(payload, (1e9, 1e9))  # older than a day, so that relatime would note a use
    verify(Catalog(tmp_path))
    assert payload.stat().st_atime == 1e9
