"""The conformance kit for stores: prove that a Store of your own keeps the promises that the library relies on.

Subclass :class:`StoreConformance` in a test module, and let pytest run it::

    class TestShelfStore(StoreConformance):
        def make_store(self, place):
            return ShelfStore(place / "shelf")

:class:`StoreMachine` is the property test: hypothesis drives a store and a plain dict side by side, and compares. The
kit runs it too.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ..exceptions import StoreError
from ..stores import Store

__all__ = ["StoreConformance", "StoreMachine"]

_NAMES = [
    "plain",
    "two words",
    "ünïcödé-名前",
    "dots.in.it",
    "(brackets)[]{}",
    "a+b=c&d",
    "percent%20",
    "~tilde",
    "#hash",
]

_CREATOR = """
import pickle, sys
given = sys.stdin.buffer
store, path, data = pickle.loads(given.read(int.from_bytes(given.read(8), "big")))
print("ready", flush=True)
given.read()  # until the starting shot
print(store.create(path, data))
"""


class StoreConformance:
    """The tests that every store, and every wrapper of one, passes. Subclass it, and give `make_store`.

    Attributes
    ----------
    readers, writers : int
        How many threads read and write at once.
    processes : int
        How many processes create at once, where the store can be pickled; 0 for none.
    """

    readers: ClassVar[int] = 4
    writers: ClassVar[int] = 16
    processes: ClassVar[int] = 4

    def make_store(self, place: Path) -> Store:
        """Return a new store object for one and the same place, however often it is called with one `place`.

        Parameters
        ----------
        place : Path
            An empty folder, for this test only; a store elsewhere makes a name of its own from it.
        """
        raise NotImplementedError(f"{type(self).__qualname__} must define make_store(self, place).")

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def store(self, place: Path) -> Store:
        return self.make_store(place)

    @pytest.fixture
    def other(self, place: Path, store: Store) -> Store:
        """Another object for the same place, as another process has it."""
        return self.make_store(place)

    # Reading

    def test_reading_what_is_not_there_raises_file_not_found(self, store: Store) -> None:
        for path in ("a", "a/b", "a/b/c"):
            with pytest.raises(FileNotFoundError):
                store.read(path)

    def test_the_place_is_not_touched_before_the_first_write(self, place: Path) -> None:
        before = _paths(place)
        store = self.make_store(place)
        assert list(store.list("")) == []
        assert _paths(place) == before

    # create

    def test_create_writes_what_another_object_reads_at_once(self, store: Store, other: Store) -> None:
        assert store.create("a/b/manifest.json", b"content")
        assert other.read("a/b/manifest.json") == b"content"

    def test_the_second_create_loses_and_its_bytes_never_appear(self, store: Store, other: Store) -> None:
        assert store.create("a/lease/0", b"first")
        assert not other.create("a/lease/0", b"second")
        assert not store.create("a/lease/0", b"third")
        assert store.read("a/lease/0") == other.read("a/lease/0") == b"first"

    def test_create_does_not_replace_what_replace_has_written(self, store: Store) -> None:
        store.replace("a/b", b"first")
        assert not store.create("a/b", b"second")
        assert store.read("a/b") == b"first"

    def test_what_was_deleted_can_be_created_again(self, store: Store) -> None:
        assert store.create("a/b", b"first")
        store.delete("a/b")
        assert store.create("a/b", b"second")
        assert store.read("a/b") == b"second"

    def test_of_many_threads_that_create_one_wins(self, place: Path) -> None:
        stores = [self.make_store(place) for _ in range(self.writers)]
        for attempt in range(5):
            path, barrier = f"a/{attempt}/lease/0", threading.Barrier(self.writers)

            def create(number: int, path: str = path, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                return stores[number].create(path, b"owner %d" % number)

            with ThreadPoolExecutor(self.writers) as pool:
                won = list(pool.map(create, range(self.writers)))
            assert won.count(True) == 1
            assert stores[0].read(path) == b"owner %d" % won.index(True)

    def test_of_many_processes_that_create_one_wins(self, place: Path, store: Store) -> None:
        try:
            pickled = [pickle.dumps((store, "a/lease/0", b"owner %d" % number)) for number in range(self.processes)]
        except Exception as error:
            pytest.skip(f"the store cannot be pickled: {error}")
        if not pickled:
            pytest.skip("this store is not tried from several processes")
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", _CREATOR],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
            for _ in pickled
        ]
        for process, task in zip(processes, pickled, strict=True):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(len(task).to_bytes(8, "big") + task)
            process.stdin.flush()
            assert process.stdout.readline() == b"ready\n"
        answers = []
        for process in processes:  # the starting shot
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            assert process.stdout is not None
            answers.append(process.stdout.read().strip())
            process.stdout.close()
            assert process.wait(60) == 0
        assert sorted(answers) == [b"False"] * (self.processes - 1) + [b"True"]
        assert store.read("a/lease/0") == b"owner %d" % answers.index(b"True")

    def test_a_reader_meets_all_of_what_is_created_or_nothing(self, store: Store, other: Store) -> None:
        def write(number: int) -> None:
            assert store.create(f"a/{number}", _content(number))

        def read(number: int) -> None:
            with contextlib.suppress(FileNotFoundError):
                assert other.read(f"a/{number}") == _content(number)

        self._race(write, read, 40)

    # replace

    def test_replace_writes_a_new_file_and_over_an_old_one(self, store: Store, other: Store) -> None:
        store.replace("a/b/manifest.json", b"old and longer")
        assert other.read("a/b/manifest.json") == b"old and longer"
        other.replace("a/b/manifest.json", b"new")
        assert store.read("a/b/manifest.json") == b"new"

    def test_a_reader_meets_the_old_or_the_new_and_nothing_else(self, store: Store, other: Store) -> None:
        store.replace("a/b", _content(0))
        seen = set()

        def write(number: int) -> None:
            store.replace("a/b", _content(number))

        def read(number: int) -> None:
            data = other.read("a/b")  # never absent
            assert data == _content(data[0])
            seen.add(data[0])

        self._race(write, read, 60)
        assert store.read("a/b") == _content(59)
        assert seen

    def test_many_writers_of_one_file_leave_one_whole_content(self, place: Path) -> None:
        stores = [self.make_store(place) for _ in range(self.writers)]
        with ThreadPoolExecutor(self.writers) as pool:
            list(pool.map(lambda number: stores[number].replace("a/b", _content(number)), range(self.writers)))
        data = stores[0].read("a/b")
        assert data == _content(data[0])

    @pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 1 << 20, (1 << 20) + 1])
    def test_small_files_come_back_whole_whatever_their_size(self, store: Store, size: int) -> None:
        data = os.urandom(size)
        store.replace("a/replaced", data)
        assert store.create("a/created", data)
        assert store.read("a/replaced") == store.read("a/created") == data

    # list

    def test_there_is_nothing_below_what_is_not_there(self, store: Store) -> None:
        store.replace("a/b", b"")
        for folder in ("none", "none/of/it", "a/b", "a/b/c"):
            assert list(store.list(folder)) == []

    def test_list_sees_what_another_object_has_just_written(self, store: Store, other: Store) -> None:
        assert _listed(other, "") == {}
        for number in range(5):
            store.create(f"a/{number}", b"x" * number)
            assert _listed(other, "a") == {f"a/{earlier}": earlier for earlier in range(number + 1)}
        store.delete("a/3")
        assert "a/3" not in _listed(other, "a")

    def test_list_goes_down_into_folders_and_not_into_neighbours(self, store: Store) -> None:
        for path in ("a/1", "a/b/2", "a/b/c/3", "ab/4", "5"):
            store.create(path, path.encode())
        assert _listed(store, "") == {path: len(path) for path in ("a/1", "a/b/2", "a/b/c/3", "ab/4", "5")}
        assert set(_listed(store, "a")) == {"a/1", "a/b/2", "a/b/c/3"}
        assert set(_listed(store, "a/b")) == {"a/b/2", "a/b/c/3"}

    def test_a_file_is_as_old_as_its_last_write(self, store: Store, tmp_path: Path) -> None:
        store.replace("a/first", b"")
        written = tmp_path / "written"
        written.write_bytes(b"payload")
        os.utime(written, (0, 0))
        store.put(os.fspath(written), "a/payload")
        ages = {entry.path: entry.modified for entry in store.list("a")}
        assert abs(ages["a/payload"] - ages["a/first"]) < 60

    def test_a_list_survives_what_others_delete_meanwhile(self, store: Store, other: Store) -> None:
        for number in range(20):
            store.create(f"a/{number}/x", b"")
        entries = store.list("a")
        next(entries)
        for number in range(19):
            other.delete(f"a/{number}/x")
        assert "a/19/x" in {"a/19/x" for entry in entries if entry.path == "a/19/x"}

    # delete

    def test_delete_removes_and_what_is_not_there_is_fine(self, store: Store, other: Store) -> None:
        store.create("a/b", b"")
        other.delete("a/b")
        with pytest.raises(FileNotFoundError):
            store.read("a/b")
        store.delete("a/b")
        store.delete("never/was")
        assert _listed(store, "") == {}

    def test_delete_leaves_its_neighbours(self, store: Store) -> None:
        for path in ("a/b", "a/bc", "a/c/d"):
            store.create(path, b"")
        store.delete("a/b")
        assert set(_listed(store, "")) == {"a/bc", "a/c/d"}

    def test_writers_and_deleters_of_one_folder_do_not_disturb_each_other(self, place: Path) -> None:
        stores = [self.make_store(place) for _ in range(8)]

        def work(number: int) -> None:
            for turn in range(15):
                path = f"name/key/{number}.{turn}"
                assert stores[number].create(path, b"%d" % turn)
                assert stores[number].read(path) == b"%d" % turn
                stores[number].delete(path)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert _listed(stores[0], "") == {}

    # Payloads

    def test_a_file_payload_comes_back(self, store: Store, other: Store) -> None:
        spool = store.spool("a/payload.1.npy")
        assert spool.endswith(".npy")
        assert not os.path.lexists(spool)
        data = os.urandom(3 << 20)
        Path(spool).write_bytes(data)
        store.put(spool, "a/payload.1.npy")
        store.discard(spool)
        assert Path(other.fetch("a/payload.1.npy")).read_bytes() == data
        assert Path(store.fetch("a/payload.1.npy")).suffix == ".npy"

    def test_a_folder_payload_comes_back(self, store: Store, other: Store) -> None:
        files = {"x.bin": b"x", "deep/er/ÿ.bin": os.urandom(100_000), "deep/empty": b""}
        _put_folder(store, "a/payload.2", files)
        found = Path(other.fetch("a/payload.2"))
        assert {file.relative_to(found).as_posix(): file.read_bytes() for file in _files(found)} == files
        assert set(_listed(store, "a")) == {f"a/payload.2/{name}" for name in files}

    @pytest.mark.parametrize("path", ["payload.file", "payload.folder"])
    def test_a_dropped_payload_is_gone(self, store: Store, path: str) -> None:
        store.create("a/b/neighbour", b"")
        if path == "payload.file":
            spool = store.spool(f"a/b/{path}")
            Path(spool).write_bytes(b"payload")
            store.put(spool, f"a/b/{path}")
            store.discard(spool)
        else:
            _put_folder(store, f"a/b/{path}", {"x": b"x", "y/z": b"z"})
        store.drop(f"a/b/{path}")
        store.drop(f"a/b/{path}")
        assert set(_listed(store, "")) == {"a/b/neighbour"}

    def test_a_payload_that_is_not_there_is_missing_at_the_latest_when_it_is_read(self, store: Store) -> None:
        with pytest.raises(FileNotFoundError):
            Path(store.fetch("a/payload.3")).read_bytes()

    def test_what_is_spooled_and_not_put_can_be_discarded(self, store: Store, place: Path) -> None:
        spools = [store.spool(f"a/b/payload.{number}") for number in range(3)]
        Path(spools[1]).write_bytes(b"half a payl")
        Path(spools[2], "deep").mkdir(parents=True)
        Path(spools[2], "deep", "file").write_bytes(b"half")
        os.chmod(Path(spools[2], "deep"), 0o500)
        for spool in spools:
            store.discard(spool)
            store.discard(spool)
            assert not os.path.lexists(spool)
        assert _listed(store, "") == {}

    def test_two_spools_of_two_writers_do_not_meet(self, store: Store, other: Store) -> None:
        first, second = store.spool("a/payload.1"), other.spool("a/payload.2")
        Path(first).write_bytes(b"1")
        other.discard(second)
        store.put(first, "a/payload.1")
        store.discard(first)
        assert Path(other.fetch("a/payload.1")).read_bytes() == b"1"

    def test_a_payload_that_cannot_be_put_raises_a_store_error(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(StoreError):
            store.put(os.fspath(tmp_path / "never written"), "a/payload.4")
        assert _listed(store, "") == {}

    # Names, leftovers, and the object itself

    @pytest.mark.parametrize("name", _NAMES)
    def test_names_may_be_anything_that_a_file_system_takes(self, store: Store, name: str) -> None:
        path = f"{name}/{name}"
        assert store.create(path, name.encode())
        store.replace(path, b"new")
        assert store.read(path) == b"new"
        assert _listed(store, name) == {path: 3}
        _put_folder(store, f"{name}/payload", {name: b"x"})
        assert Path(store.fetch(f"{name}/payload"), name).read_bytes() == b"x"
        store.delete(path)
        assert set(_listed(store, "")) == {f"{name}/payload/{name}"}

    def test_nothing_is_left_over(self, store: Store) -> None:
        assert store.create("a/created", b"mine")
        assert not store.create("a/created", b"not mine")
        store.replace("a/replaced", b"1")
        store.replace("a/replaced", b"2")
        _put_folder(store, "a/payload", {"x": b"x"})
        assert set(_listed(store, "")) == {"a/created", "a/replaced", "a/payload/x"}

    def test_an_empty_store_leaves_no_folders(self, store: Store) -> None:
        store.create("a/b/c", b"")
        store.delete("a/b/c")
        root = store.local_path("")
        if root is not None:
            assert list(Path(root).iterdir()) == []

    def test_where_it_is_a_local_path_it_is_the_same_file(self, store: Store) -> None:
        store.create("a/b", b"content")
        path = store.local_path("a/b")
        if path is not None:
            assert Path(path).read_bytes() == b"content"

    def test_it_says_where_it_is_and_pickles_if_it_can(self, store: Store) -> None:
        assert isinstance(store.url, str)
        store.create("a/b", b"content")
        try:
            copy = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own bytes
        except Exception as error:
            pytest.skip(f"the store cannot be pickled: {error}")
        assert copy.url == store.url
        assert copy.read("a/b") == b"content"

    def test_it_has_the_options_of_every_store(self, store: Store) -> None:
        assert store.verify in ("digest", "size")
        assert store.time_to_live > 0
        assert store.patience > 0
        assert store.leftovers_after > 0
        assert isinstance(store.single_flight, bool)

    def test_it_behaves_as_a_dict_does(self, place: Path) -> None:
        """The property test: :class:`StoreMachine`."""
        kit, places = self, itertools.count()

        class Machine(StoreMachine):
            def make_place(self) -> Path:
                own = place / f"machine {next(places)}"
                own.mkdir()
                return own

            def make_store(self, place: Path) -> Store:
                return kit.make_store(place)

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=25,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )

    def _race(self, write: Callable[[int], None], read: Callable[[int], None], times: int) -> None:
        """Write 0, 1, … in one thread, and read all the while in others; raise what any of them raises."""
        current, over = 0, False

        def keep_reading() -> None:
            while not over:
                read(current)

        with ThreadPoolExecutor(self.readers) as pool:
            reading = [pool.submit(keep_reading) for _ in range(self.readers)]
            try:
                for number in range(times):
                    current = number
                    write(number)
            finally:
                over = True
        for future in reading:
            future.result()


_PATHS = st.sampled_from(["x", "a/x", "a/y", "a/b/x", "a b/ÿ", "a/lease/0", "a/lease/1"])
_DATA = st.binary(max_size=40)


class StoreMachine(RuleBasedStateMachine):
    """A store, two objects of it, and a plain dict that does the same.

    Subclass it with `make_store`, as the kit; :class:`StoreConformance` does, and runs it.
    """

    def __init__(self) -> None:
        super().__init__()
        place = self.make_place()
        self.stores = self.make_store(place), self.make_store(place)
        self.expected: dict[str, bytes] = {}
        self.payloads: dict[str, dict[str, bytes]] = {}
        self.turn = 0
        self.calls = itertools.count()

    def make_place(self) -> Path:
        """Return an empty folder, for this run only."""
        return Path(tempfile.mkdtemp(prefix="persistable-"))

    def make_store(self, place: Path) -> Store:
        """Return a new store object for one and the same place, however often it is called with one `place`."""
        raise NotImplementedError(f"{type(self).__qualname__} must define make_store(self, place).")

    @property
    def store(self) -> Store:
        self.turn += 1
        return self.stores[self.turn % 2]

    @rule(path=_PATHS, data=_DATA)
    def create(self, path: str, data: bytes) -> None:
        data += b" of call %d" % next(self.calls)  # what a caller creates is its own, and nobody else's
        assert self.store.create(path, data) == (path not in self.expected)
        self.expected.setdefault(path, data)

    @rule(path=_PATHS, data=_DATA)
    def replace(self, path: str, data: bytes) -> None:
        self.store.replace(path, data)
        self.expected[path] = data

    @rule(path=_PATHS)
    def delete(self, path: str) -> None:
        self.store.delete(path)
        self.expected.pop(path, None)

    @rule(path=_PATHS)
    def read(self, path: str) -> None:
        if path in self.expected:
            assert self.store.read(path) == self.expected[path]
        else:
            with pytest.raises(FileNotFoundError):
                self.store.read(path)

    @rule(files=st.dictionaries(st.sampled_from(["x", "deep/y", "ÿ"]), _DATA, min_size=1), keep=st.booleans())
    def write_payload(self, files: dict[str, bytes], keep: bool) -> None:
        path, store = f"a/payload.{len(self.payloads)}", self.store
        spool = store.spool(path)
        _write_folder(Path(spool), files)
        if keep:
            store.put(spool, path)
        store.discard(spool)
        self.payloads[path] = files if keep else {}

    @rule(number=st.integers(0, 5))
    def drop_payload(self, number: int) -> None:
        self.store.drop(f"a/payload.{number}")
        if f"a/payload.{number}" in self.payloads:
            self.payloads[f"a/payload.{number}"] = {}

    @invariant()
    def all_that_is_there_is_what_was_written(self) -> None:
        sizes = {path: len(data) for path, data in self.expected.items()}
        for payload, files in self.payloads.items():
            sizes |= {f"{payload}/{name}": len(data) for name, data in files.items()}
        assert _listed(self.store, "") == sizes
        assert _listed(self.store, "a") == {path: size for path, size in sizes.items() if path.startswith("a/")}
        for payload, files in self.payloads.items():
            if files:
                folder = Path(self.store.fetch(payload))
                assert {file.relative_to(folder).as_posix(): file.read_bytes() for file in _files(folder)} == files


def _content(number: int) -> bytes:
    """A content whose first byte tells all the others, and whose length differs from that of its neighbours."""
    return bytes([number]) * (20_000 + 977 * number)


def _listed(store: Store, folder: str) -> dict[str, int]:
    entries = list(store.list(folder))
    sizes = {entry.path: entry.size for entry in entries}
    assert len(sizes) == len(entries), "a path was listed twice"
    return sizes


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _paths(place: Path) -> set[Path]:
    return set(place.rglob("*"))


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _put_folder(store: Store, path: str, files: dict[str, bytes]) -> None:
    spool = store.spool(path)
    _write_folder(Path(spool), files)
    store.put(spool, path)
    store.discard(spool)
