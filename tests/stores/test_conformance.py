"""Every store, and every wrapper of one, passes the same kit; and the kit finds the stores that must not pass."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from persistable.exceptions import StoreError
from persistable.stores import LocalStore, Store, WrapperStore
from persistable.testing.faults import CarelessStore, Fault, FaultyStore, fail
from persistable.testing.stores import StoreConformance


class TestLocalStore(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return LocalStore(place / "store")


class TestLocalStoreWithoutFsync(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return LocalStore(place / "a folder" / "that is not there", fsync=False)


class TestWrapperStore(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return WrapperStore(LocalStore(place / "store"))


class TestFaultyStore(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return FaultyStore(LocalStore(place / "store"), Fault(10_000_000, fail(errno.EIO)))


class _PlainStore(WrapperStore):
    """A store with the methods that every store must have, and with the defaults of the base for the others."""

    drop = Store.drop
    spool = Store.spool
    discard = Store.discard

    def local_path(self, path: str) -> str | None:
        return None


class TestTheDefaultsOfTheBase(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return _PlainStore(LocalStore(place / "store"))


class TestLocalStoreWithoutHardLinks(StoreConformance):
    """As on exFAT and some FUSE file systems. A reader may meet a file before its content there."""

    processes = 0
    test_a_reader_meets_all_of_what_is_created_or_nothing = None

    @pytest.fixture(autouse=True)
    def _no_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        monkeypatch.setattr(os, "link", refuse)

    def make_store(self, place: Path) -> Store:
        return LocalStore(place / "store")


class TestLocalStoreWhoseLinksReportFailureAlthoughTheyHappened(StoreConformance):
    """As over NFS, where the answer to a call may be lost, and its repetition finds the file there."""

    processes = 0

    @pytest.fixture(autouse=True)
    def _lying_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        link = os.link

        def lie(source: str, target: str, **kwargs: Any) -> None:
            link(source, target, **kwargs)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)

        monkeypatch.setattr(os, "link", lie)

    def make_store(self, place: Path) -> Store:
        return LocalStore(place / "store")


class TestTheKitItself:
    def test_it_finds_a_create_that_ignores_its_condition(self, tmp_path: Path) -> None:
        store = CarelessStore(LocalStore(tmp_path))
        with pytest.raises(AssertionError):
            StoreConformance().test_the_second_create_loses_and_its_bytes_never_appear(store, store)

    def test_it_finds_a_replace_that_is_not_atomic(self, tmp_path: Path) -> None:
        class Torn(WrapperStore):
            def replace(self, path: str, data: bytes) -> None:
                self.inner.replace(path, data[:10])
                self.inner.replace(path, data)

        store = Torn(LocalStore(tmp_path, fsync=False))
        with pytest.raises(AssertionError):
            StoreConformance().test_a_reader_meets_the_old_or_the_new_and_nothing_else(store, store)

    def test_it_finds_a_listing_that_is_stale(self, tmp_path: Path) -> None:
        class Stale(WrapperStore):
            def list(self, folder: str) -> Any:
                self.cache = getattr(self, "cache", None) or tuple(self.inner.list(folder))
                return iter(self.cache)

        with pytest.raises(AssertionError):
            StoreConformance().test_list_sees_what_another_object_has_just_written(
                LocalStore(tmp_path), Stale(LocalStore(tmp_path))
            )

    def test_it_finds_what_is_read_or_written_damaged(self, tmp_path: Path) -> None:
        for only in ("read", "create"):
            store = FaultyStore(LocalStore(tmp_path / only), Fault(0, only=only, damage=lambda data: data[:-1]))
            with pytest.raises(AssertionError):
                StoreConformance().test_create_writes_what_another_object_reads_at_once(store, store)


class TestFaults:
    def test_a_fault_comes_before_or_after_the_operation(self, tmp_path: Path) -> None:
        for when, there in (("before", False), ("after", True)):
            store = FaultyStore(LocalStore(tmp_path / when), Fault(2, fail(errno.ENOSPC), when))  # type: ignore[arg-type]
            store.replace("a", b"")
            with pytest.raises(StoreError) as caught:
                store.replace("b", b"")
            assert caught.value.errno == errno.ENOSPC
            assert ("b" in {entry.path for entry in store.inner.list("")}) == there
            store.replace("c", b"")

    def test_a_fault_may_be_about_some_operations_only(self, tmp_path: Path) -> None:
        store = FaultyStore(LocalStore(tmp_path), Fault(2, fail(errno.EIO), only="replace a/"))
        store.replace("a/1", b"")
        store.replace("b/1", b"")
        store.create("a/2", b"")
        with pytest.raises(StoreError):
            store.replace("a/2", b"")
