"""Wrappers: a store that tries again, and one that is only read. Both pass the kit, whatever fails around them."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from persistable import LocalStore, MissingDependencyError, Persistable, PersistableParams, PersistError, StoreError
from persistable.stores import Entry, Store, WrapperStore
from persistable.stores.read_only import ReadOnlyStore
from persistable.stores.retry import RetryStore
from persistable.testing.faults import Fault, FaultyStore, fail
from persistable.testing.stores import StoreConformance

away = fail(errno.ETIMEDOUT, transient=True)

OPERATIONS = ("read", "create", "replace", "list", "delete", "fetch", "put", "drop")


@dataclass
class PointsParams(PersistableParams):
    n: int = 3


class PointsP(Persistable[list[int], PointsParams]):
    made = 0

    def _generate_payload(self, **untracked: Any) -> list[int]:
        type(self).made += 1
        if untracked.get("fail"):
            raise ZeroDivisionError("on purpose")
        return list(range(self.params.n))


@pytest.fixture(autouse=True)
def _nothing_made_yet() -> None:
    PointsP.made = 0


class EveryThird:
    """An action that fails for the moment at every third call, whichever operation that is."""

    def __init__(self) -> None:
        self.calls = itertools.count(1)

    def __call__(self) -> None:
        if next(self.calls) % 3 == 0:
            away()

    def __reduce__(self) -> tuple[Any, ...]:
        return EveryThird, ()


def shaky(inner: Store) -> Store:
    """A store of which a third of all requests is lost on the way there, and a third of all answers on the way back."""
    before, after = EveryThird(), EveryThird()
    faults = [Fault(0, before, "before", only=f"{operation} ") for operation in OPERATIONS]
    faults += [Fault(0, after, "after", only=f"{operation} ") for operation in OPERATIONS]
    return FaultyStore(inner, *faults)


class TestRetryStoreOverALocalStore(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return RetryStore(LocalStore(place / "store"))


class TestRetryStoreOverAShakyStore(StoreConformance):
    """Each operation happens exactly once, whether the request was lost or the answer."""

    def make_store(self, place: Path) -> Store:
        return RetryStore(shaky(LocalStore(place / "store", fsync=False)), attempts=100, wait=0)


class ReadThroughReadOnly(WrapperStore):
    """Writes go to the store itself; what is read comes through a ReadOnlyStore around it."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.readable = ReadOnlyStore(inner)

    def read(self, path: str) -> bytes:
        return self.readable.read(path)

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        return self.readable.read_if_changed(path, etag)

    def list(self, folder: str) -> Iterator[Entry]:
        return self.readable.list(folder)

    def fetch(self, path: str, size: int | None = None) -> str:
        return self.readable.fetch(path, size)

    def local_path(self, path: str) -> str | None:
        return self.readable.local_path(path)


class TestReadingThroughAReadOnlyStore(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return ReadThroughReadOnly(LocalStore(place / "store", fsync=False))


# ---------------------------------------------------------------------------------------------------------------------
# RetryStore


def failing(inner: Store, times: int, operation: str, when: Any = "before", **options: Any) -> RetryStore:
    """A store whose first `times` operations of one kind fail for the moment, and around it one that tries again."""
    faults = [Fault(number, away, when, only=f"{operation} ") for number in range(1, times + 1)]
    return RetryStore(FaultyStore(inner, *faults), wait=0, **options)


def do(store: Store, operation: str) -> Any:
    """Do something that succeeds, if nothing fails."""
    if operation == "put":
        spool = store.spool("a/payload")
        Path(spool).write_bytes(b"payload")
        return store.put(spool, "a/payload")
    calls: dict[str, Callable[[], Any]] = {
        "read": lambda: store.read("a/there"),
        "create": lambda: store.create("a/new", b"mine"),
        "replace": lambda: store.replace("a/there", b"new"),
        "list": lambda: list(store.list("a")),
        "delete": lambda: store.delete("a/there"),
        "drop": lambda: store.drop("a/there"),
        "fetch": lambda: store.fetch("a/there"),
    }
    return calls[operation]()


@pytest.fixture
def local(tmp_path: Path) -> Store:
    store = LocalStore(tmp_path / "store", fsync=False)
    store.replace("a/there", b"content")
    return store


class TestTryingAgain:
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_what_fails_for_the_moment_is_tried_again(self, local: Store, operation: str, when: str) -> None:
        do(failing(local, 4, operation, when), operation)

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_after_the_last_try_the_failure_is_raised_and_says_how_often(self, local: Store, operation: str) -> None:
        store = failing(local, 3, operation, attempts=3)
        with pytest.raises(StoreError, match="on purpose") as caught:
            do(store, operation)
        assert caught.value.errno == errno.ETIMEDOUT
        assert len(caught.value.__notes__) == 1
        assert f"tried to {operation} a" in caught.value.__notes__[0]
        assert "3 times" in caught.value.__notes__[0]

    def test_one_attempt_is_one(self, local: Store) -> None:
        with pytest.raises(StoreError):
            do(failing(local, 1, "read", attempts=1), "read")

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_what_fails_for_good_is_not_tried_again(self, local: Store, operation: str) -> None:
        faulty = FaultyStore(local, Fault(0, fail(errno.EACCES), only=f"{operation} "))
        with pytest.raises(StoreError) as caught:
            do(RetryStore(faulty), operation)
        assert [said.partition(" ")[0] for said in faulty.operations].count(operation) == 1
        assert not hasattr(caught.value, "__notes__")

    def test_a_failure_for_good_after_one_for_the_moment_is_raised_as_it_is(self, local: Store) -> None:
        faulty = FaultyStore(local, Fault(1, away), Fault(2, fail(errno.EACCES)))
        with pytest.raises(StoreError) as caught:
            RetryStore(faulty, wait=0).read("a/there")
        assert caught.value.errno == errno.EACCES
        assert len(faulty.operations) == 2

    def test_a_file_that_is_not_there_and_a_create_that_lost_are_answers(self, local: Store) -> None:
        faulty = FaultyStore(local)
        store = RetryStore(faulty)
        with pytest.raises(FileNotFoundError):
            store.read("a/none")
        assert store.create("a/there", b"mine") is False
        assert faulty.operations == ["read a/none", "create a/there"]

    def test_ctrl_c_passes_at_once(self, local: Store) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        faulty = FaultyStore(local, Fault(1, away), Fault(2, interrupt))
        with pytest.raises(KeyboardInterrupt):
            RetryStore(faulty, wait=0).read("a/there")
        assert len(faulty.operations) == 2

    def test_the_pauses_grow_up_to_the_longest_and_are_left_to_chance(
        self, local: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import random

        pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", pauses.append)
        monkeypatch.setattr(random, "uniform", lambda least, most: most)
        store = RetryStore(FaultyStore(local, Fault(0, away)), attempts=7, wait=0.5, longest_wait=3)
        with pytest.raises(StoreError):
            store.read("a/there")
        assert pauses == [0.5, 1, 2, 3, 3, 3]

    def test_each_try_is_logged(self, local: Store, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "persistable.stores"):
            do(failing(local, 2, "read"), "read")
        assert [record.name for record in caplog.records] == ["persistable.stores"] * 2
        assert "Try 2 of 5 to read a/there" in caplog.messages[0]
        assert "on purpose" in caplog.messages[1]

    def test_many_threads_try_again_each_for_itself(self, local: Store) -> None:
        from concurrent.futures import ThreadPoolExecutor

        store = RetryStore(shaky(local), attempts=100, wait=0)
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda number: store.create(f"b/{number}", b"%d" % number), range(100)))
        assert sorted(store.read(f"b/{number}") for number in range(100)) == sorted(b"%d" % n for n in range(100))


class TestCreatingAgain:
    def test_a_create_that_failed_and_had_happened_is_ones_own(self, local: Store) -> None:
        store = failing(local, 1, "create", "after")
        assert store.create("a/new", b"mine") is True
        assert local.read("a/new") == b"mine"

    def test_a_create_that_failed_and_then_lost_has_lost(self, local: Store) -> None:
        for when in ("before", "after"):
            store = failing(local, 1, "create", when)
            assert store.create("a/there", b"mine") is False
            assert local.read("a/there") == b"content"

    def test_somebody_else_may_be_faster_between_two_tries(self, local: Store) -> None:
        def intrude() -> None:
            local.create("a/new", b"theirs")
            away()

        store = RetryStore(FaultyStore(local, Fault(1, intrude, only="create ")), wait=0)
        assert store.create("a/new", b"mine") is False
        assert local.read("a/new") == b"theirs"

    def test_a_request_that_arrives_after_it_was_looked_for_is_ones_own(self, local: Store) -> None:
        # The first request is under way when the second is made, and comes first.
        faulty = FaultyStore(
            local, Fault(1, away, only="create "), Fault(2, lambda: local.create("a/new", b"mine"), only="create ")
        )
        assert RetryStore(faulty, wait=0).create("a/new", b"mine") is True

    def test_looking_may_fail_for_the_moment_too(self, local: Store) -> None:
        faulty = FaultyStore(local, Fault(1, away, "after", only="create "), Fault(1, away, only="read "))
        assert RetryStore(faulty, wait=0).create("a/new", b"mine") is True
        assert [said.partition(" ")[0] for said in faulty.operations] == ["create", "read", "read"]

    def test_two_stores_that_both_fail_have_one_winner(self, tmp_path: Path) -> None:
        for when in ("before", "after"):
            place = LocalStore(tmp_path / when)
            answers = [failing(place, 1, "create", when).create("lease/0", b"%d" % owner) for owner in range(2)]
            assert answers == [True, False]
            assert place.read("lease/0") == b"0"


class TestPuttingAgain:
    @pytest.mark.parametrize("folder", [False, True])
    def test_what_the_first_try_has_moved_is_there(self, local: Store, folder: bool) -> None:
        store = failing(local, 1, "put", "after")
        spool = store.spool("a/payload.1")
        if folder:
            Path(spool, "deep").mkdir(parents=True)
            Path(spool, "deep", "file").write_bytes(b"payload")
        else:
            Path(spool).write_bytes(b"payload")
        store.put(spool, "a/payload.1")
        found = Path(local.fetch("a/payload.1"))
        assert (found / "deep" / "file" if folder else found).read_bytes() == b"payload"

    def test_what_the_first_try_has_lost_is_an_error(self, local: Store) -> None:
        store = failing(local, 1, "put")
        with pytest.raises(StoreError) as caught:
            store.put(os.fspath(Path(local.fetch("a/never written"))), "a/payload.1")
        assert caught.value.errno == errno.ETIMEDOUT
        assert {entry.path for entry in local.list("")} == {"a/there"}

    def test_a_store_that_only_copies_copies_again(self, tmp_path: Path) -> None:
        class Copying(WrapperStore):
            put_moves = False

            def put(self, local: str, path: str) -> None:
                self.inner.replace(path, Path(local).read_bytes())

        store = failing(Copying(LocalStore(tmp_path / "store")), 2, "put", "after")
        spool = tmp_path / "spool"
        spool.write_bytes(b"payload")
        store.put(os.fspath(spool), "a/payload.1")
        assert spool.exists()
        assert store.read("a/payload.1") == b"payload"


class TestTheRetryStoreItself:
    def test_an_artifact_is_made_once_and_whole_over_a_shaky_store(self, tmp_path: Path) -> None:
        store = RetryStore(shaky(LocalStore(tmp_path / "store", fsync=False)), attempts=100, wait=0)
        for n in range(10):
            assert PointsP(store, PointsParams(n)).load_generate() == list(range(n))
            assert PointsP(store, PointsParams(n)).load() == list(range(n))
            assert PointsP(store, PointsParams(n)).generate() == list(range(n))
        assert PointsP.made == 20
        names = {path.name.partition(".")[0] for path in (tmp_path / "store").rglob("*") if path.is_file()}
        assert names == {"manifest", "params", "generation", "payload"}

    def test_it_pickles(self, local: Store) -> None:
        store = pickle.loads(pickle.dumps(RetryStore(local, attempts=3, wait=0.2, longest_wait=1)))
        assert (store.attempts, store.wait, store.longest_wait) == (3, 0.2, 1)
        assert store.read("a/there") == b"content"

    @pytest.mark.parametrize("options", [{"attempts": 0}, {"wait": -1}, {"longest_wait": float("nan")}])
    def test_numbers_that_make_no_sense_are_refused(self, local: Store, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            RetryStore(local, **options)

    def test_the_library_is_imported_when_something_has_failed(self, run_python: Callable[..., str]) -> None:
        code = """if True:
            import errno, sys, tempfile
            from persistable import LocalStore
            from persistable.stores.retry import RetryStore
            from persistable.testing.faults import Fault, FaultyStore, fail
            away = Fault(2, fail(errno.EIO, transient=True), only="create ")
            store = RetryStore(FaultyStore(LocalStore(tempfile.mkdtemp()), away))
            store.create("a", b"a")
            print("tenacity" in sys.modules)
            store.create("b", b"b")
            print("tenacity" in sys.modules)
        """
        assert run_python(code).split() == ["False", "True"]

    def test_without_the_library_it_says_what_to_install(self, local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tenacity", None)
        with pytest.raises(MissingDependencyError, match=r"'tenacity'.*pip install 'persistable\[retry\]'"):
            RetryStore(local)


# ---------------------------------------------------------------------------------------------------------------------
# ReadOnlyStore


class TestReadOnly:
    @pytest.mark.parametrize(
        "write",
        [
            lambda store: store.create("a/b", b""),
            lambda store: store.replace("a/there", b""),
            lambda store: store.delete("a/there"),
            lambda store: store.drop("a/there"),
            lambda store: store.put("spool", "a/payload"),
            lambda store: store.spool("a/payload"),
        ],
    )
    def test_whatever_writes_is_refused_with_what_to_do(self, local: Store, write: Callable[[Store], object]) -> None:
        with pytest.raises(StoreError, match=r"generate\(persist=False\)") as caught:
            write(ReadOnlyStore(local))
        assert caught.value.errno == errno.EROFS
        assert not caught.value.transient
        assert local.url in str(caught.value)
        assert {entry.path for entry in local.list("")} == {"a/there"}
        assert local.read("a/there") == b"content"

    def test_hits_are_served(self, local: Store) -> None:
        PointsP(local, PointsParams()).generate()
        points = PointsP(ReadOnlyStore(local), PointsParams())
        assert points.exists()
        assert points.load() == points.load_generate() == [0, 1, 2]
        assert PointsP.made == 1
        assert pickle.loads(pickle.dumps(points)).load() == [0, 1, 2]

    def test_a_miss_says_so_before_anything_is_generated(self, local: Store) -> None:
        points = PointsP(ReadOnlyStore(local), PointsParams())
        assert not points.exists()
        for ask in (points.load_generate, points.generate):
            with pytest.raises(StoreError, match="ReadOnlyStore"):
                ask()
        with pytest.raises(FileNotFoundError):
            points.load()
        assert PointsP.made == 0

    def test_without_single_flight_too(self, tmp_path: Path) -> None:
        points = PointsP(ReadOnlyStore(LocalStore(tmp_path, single_flight=False)), PointsParams())
        with pytest.raises(StoreError, match="ReadOnlyStore"):
            points.load_generate()
        assert PointsP.made == 0

    def test_a_payload_is_made_without_writing_it(self, local: Store) -> None:
        points = PointsP(ReadOnlyStore(local), PointsParams())
        assert points.generate(persist=False) == [0, 1, 2]
        assert points.payload == [0, 1, 2]
        with pytest.raises(PersistError, match=r"ReadOnlyStore.*still in memory"):
            points.persist()
        assert points.payload == [0, 1, 2]
        assert {entry.path for entry in local.list("")} == {"a/there"}

    def test_a_failing_generation_complains_once(self, local: Store) -> None:
        points = PointsP(ReadOnlyStore(local), PointsParams())
        with pytest.raises(ZeroDivisionError):  # and no warning, which would be an error here
            points.generate(persist=False, fail=True)
