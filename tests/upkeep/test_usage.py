"""What takes the room in a store."""

from __future__ import annotations

import json
from pathlib import Path

from mixed_store import make_mixed_store
from upkeep_world import age, made

from persistable import LocalStore
from persistable.catalog import Catalog
from persistable.upkeep import plan, remove, usage


def test_all_bytes_are_counted_once_and_by_what_they_are(tmp_path: Path) -> None:
    with make_mixed_store(tmp_path) as mixed:
        found = usage(Catalog(mixed.store))
        total = found.total.total + found.persistable_1 + found.foreign
        assert total == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        assert found.persistable_1 > 0
        assert found.foreign > 0
        assert found.free is not None
        assert json.loads(json.dumps(found.to_dict()))["free"] == found.free


def test_artifacts_payloads_and_what_lies_beside_them(tmp_path: Path) -> None:
    for n in range(3):
        made("bytes", tmp_path, n).load_generate()
    asked = made("folder", tmp_path)
    asked.load_generate()
    (asked.persist_filepath / "NOTES").write_bytes(b"12345")
    folder, small = usage(Catalog(tmp_path)).names[::-1]
    assert (small.payload_name, small.artifacts, small.payloads, small.leftovers) == ("bytes", 3, 24_000, 0)
    assert (folder.payload_name, folder.artifacts, folder.payloads, folder.foreign) == ("folder", 1, 16_000, 5)
    assert folder.others > 0


def test_what_a_plan_would_sweep_is_what_is_left_over(tmp_path: Path) -> None:
    asked = made("bytes", tmp_path)
    asked.load_generate()
    (asked.persist_filepath / "spool.payload.0123abcd.bin").write_bytes(b"x" * 777)
    age(tmp_path)
    catalog = Catalog(LocalStore(tmp_path))
    assert usage(catalog).total.leftovers == plan(catalog).bytes == 777
    assert "777 B" in str(usage(catalog))


def test_an_empty_store_and_one_that_is_no_folder(tmp_path: Path) -> None:
    assert "There are no artifacts" in str(usage(Catalog(tmp_path / "nothing")))
    assert usage(Catalog(tmp_path / "nothing")).total.total == 0
    catalog = Catalog("memory://usage")
    asked = made("bytes", catalog.store)
    asked.load_generate()
    found = usage(catalog)
    assert found.names[0].payloads == 8000
    assert found.free is None
    remove(catalog.store, asked.key)
