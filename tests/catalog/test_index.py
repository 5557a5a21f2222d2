"""The index lies on the user's own machine; whatever is wrong with it, it is made anew, and the answers are right."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mixed_store import DataP, DataParams, made, model_p

from persistable.catalog import Catalog, index, place as place_module
from persistable.catalog.index import candidates, place_of


@pytest.fixture
def store(tmp_path):
    """Return a folder with three artifacts."""
    for n in range(3):
        DataP(tmp_path / "store", DataParams(n)).load_generate()
    return tmp_path / "store"


def place(folder):
    return Path(place_of(Catalog(folder).store))


def test_it_is_for_its_user_only_and_lies_where_it_was_told_to(store, index_dir):
    len(Catalog(store))
    assert [file.suffix for file in index_dir.iterdir() if not file.name.endswith(("-wal", "-shm"))] == [".sqlite"]
    if os.name == "posix":
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in index_dir.iterdir())
    assert not [file for file in store.rglob("*") if "sqlite" in file.name]


def test_it_lies_in_the_users_own_cache_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("PERSISTABLE_INDEX_DIR")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    assert Path(place_of(Catalog(tmp_path).store)).parent == tmp_path / "cache" / "index"


def test_it_never_lies_on_a_network_file_system(tmp_path, monkeypatch):
    monkeypatch.delenv("PERSISTABLE_INDEX_DIR")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "home"))
    monkeypatch.setattr(place_module, "file_system", lambda path: "nfs4")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    path = place_of(Catalog(tmp_path).store)
    assert Path(path).parent.parent == tmp_path
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
    Path(path).parent.chmod(0o777)  # somebody else could put an index of theirs there
    assert place_of(Catalog(tmp_path).store) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database" * 1000),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:20_000]),
        lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 99").connection.close(),
        lambda path: change(path, "DROP TABLE artifact"),
        lambda path: change(path, "DELETE FROM store"),
        lambda path: change(path, "UPDATE store SET url = 'elsewhere'"),
    ],
)
def test_one_that_is_not_right_is_made_anew(store, damage):
    catalog = Catalog(store)
    assert len(catalog) == 3
    catalog._index.close()
    damage(place(store))
    for _ in range(2):
        again = Catalog(store)
        assert len(again) == 3
        assert len(again.find(where="params.n >= 1")) == 2


def change(path, statement):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_store_that_was_replaced_by_another_is_looked_through(store):
    assert len(Catalog(store)) == 3
    shutil.rmtree(store)
    store.mkdir()
    assert len(Catalog(store)) == 0
    made(DataP(store, DataParams(7)))
    assert [record.params for record in Catalog(store)] == [{"n": 7}]


def test_one_that_vanishes_is_made_anew(store, index_dir):
    assert len(Catalog(store)) == 3
    shutil.rmtree(index_dir)
    assert len(Catalog(store)) == 3


def test_where_none_can_be_written_the_catalogue_works_in_memory(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERSISTABLE_INDEX_DIR", str(tmp_path / "file" / "below"))
    catalog = Catalog(store)
    assert len(catalog.find(where="params.n > 0")) == 2
    made(DataP(store, DataParams(7)))
    assert len(catalog.find(where="params.n > 0")) == 3


def test_one_that_another_process_keeps_locked_is_done_without(store, monkeypatch):
    assert len(Catalog(store)) == 3
    monkeypatch.setattr(index, "_PATIENCE", 0.1)
    path = place(store)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    made(DataP(store, DataParams(7)))
    assert len(Catalog(store)) == 4
    assert path.exists()
    holder.close()
    assert len(Catalog(store)) == 4


def test_many_processes_may_look_at_once(tmp_path):
    """Each finds what was there when it began; while another makes new ones, and a third makes some again."""
    store = tmp_path / "store"
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[2])
        from persistable.catalog import Catalog
        from mixed_store import DataP, DataParams
        for turn in range(15):
            before = sum(1 for _ in __import__("pathlib").Path(sys.argv[1]).glob("data_p/*/manifest.json"))
            found = Catalog(sys.argv[1])
            assert len(found.find("data_p", where="params.n >= 0" if turn and before else None)) >= before, turn
    """
    writer = """if True:
        import sys
        sys.path.insert(0, sys.argv[2])
        from mixed_store import DataP, DataParams
        for n in range(30):
            DataP(sys.argv[1], DataParams(n % 20)).generate()
    """
    tests = str(Path(__file__).parents[1])
    store.mkdir(exist_ok=True)
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", task, str(store), tests], stderr=subprocess.PIPE)
        for task in (code, code, code, writer)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    catalog = Catalog(store)
    assert len(catalog) == 20
    assert sorted(record.params["n"] for record in catalog) == list(range(20))
    made_last = [DataP(store, DataParams(n)).manifest.payload["digest"] for n in range(20)]
    assert [record.digest for record in catalog.find(sort="params.n")] == made_last


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_catalogue_survives_a_fork(store):
    catalog = Catalog(store)
    assert len(catalog) == 3
    if not (child := os.fork()):
        os._exit(0 if len(catalog) == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(catalog) == 3


def test_what_builders_that_were_killed_have_left_is_swept(store, index_dir):
    index_dir.mkdir(exist_ok=True)
    old, young = index_dir / "0.sqlite.1.tmp", index_dir / "0.sqlite.2.tmp"
    for file in (old, young):
        file.write_bytes(b"")
    os.utime(old, (1.7e9, 1.7e9))
    len(Catalog(store))
    assert not old.exists()
    assert young.exists()


# ---------------------------------------------------------------------------------------------------------------------
# For a miss


def test_the_most_similar_artifacts_are_found_without_a_look_at_the_store(mixed):
    asked = mixed.store, "model", {"alpha": 2.5, "options": {}}, {"data": str(mixed.data.key)}
    assert candidates(*asked) == []  # there is no index yet
    len(Catalog(mixed.folder))
    found = candidates(*asked)
    assert set(found) == {key for key in mixed.whole if key.payload_name == "model"}
    assert found[-1] == mixed.models[2].key  # it has other options
    assert candidates(mixed.store, "model", {"alpha": 2.0, "options": {}}, {}, limit=1) == [mixed.models[1].key]
    made(model_p(mixed.store, mixed.data, 2.5))
    assert len(candidates(*asked)) == 4  # as the index lies
    assert candidates(mixed.store, "nothing", {"a": "\x00\ud800"}, {}) == []


def test_an_index_that_is_not_right_has_no_candidates(mixed):
    len(Catalog(mixed.folder))
    place(mixed.folder).write_bytes(b"this is no database" * 1000)
    assert candidates(mixed.store, "model", {"alpha": 2.5}, {}) == []
