"""Two levels: what is kept on this machine is right, whole, bounded, and there when the network is not."""

from __future__ import annotations

import errno
import itertools
import os
import pickle
import random
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from proxy import FaultyProxy, refuse
from servers import S3Server

from persistable import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    CorruptArtifactWarning,
    FileIO,
    NpyFileIO,
    OfflineWarning,
    Persistable,
    PersistableParams,
    StoreError,
    untracked,
)
from persistable.stores import CachedStore, LocalStore, ObjectStore, RetryStore, Store, store_for
from persistable.stores.cached import folder as cache_folder, outage
from persistable.testing.faults import Fault, FaultyStore, fail, flip
from persistable.testing.stores import StoreConformance

_numbers = itertools.count()


class TestCachedStore(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return CachedStore(LocalStore(place / "remote"), place / "cache")


class TestCachedStoreOnSeveralMachines(StoreConformance):
    """Each object with a cache of its own."""

    processes = 0

    def make_store(self, place: Path) -> Store:
        self.machines = getattr(self, "machines", 0) + 1
        return CachedStore(LocalStore(place / "remote"), place / f"cache {self.machines}")


class TestCachedStoreOffline(StoreConformance):
    def make_store(self, place: Path) -> Store:
        return CachedStore(LocalStore(place / "never there"), place / "cache", offline=True)


class TestCachedStoreWithoutRoom(StoreConformance):
    """Next to nothing is kept: all else is as it was."""

    processes = 0

    def make_store(self, place: Path) -> Store:
        return CachedStore(LocalStore(place / "remote"), place / "cache", max_size=10)


class TestCachedBucket(StoreConformance):
    processes = 0
    writers = 4
    readers = 2

    @pytest.fixture(autouse=True)
    def _server(self, s3_server: S3Server) -> None:
        self.server, self.prefix = s3_server, f"kit-{next(_numbers)}"

    def make_store(self, place: Path) -> Store:
        url = f"s3://{self.server.bucket}/{os.getpid()}/{self.prefix}/{place.name.replace(' ', '-')}"
        return CachedStore(ObjectStore(url, storage_options=self.server.options()), place / "cache")

    test_it_behaves_as_a_dict_does = None  # type: ignore[assignment]  # thousands of requests, tried without the cache


# ---------------------------------------------------------------------------------------------------------------------
# Artifacts of many sizes


@dataclass
class BytesParams(PersistableParams):
    name: str = "x"
    size: int = 1000
    content: str | None = untracked(default=None)


class BytesP(Persistable[bytes, BytesParams]):
    """As many bytes as are asked for; how often it was made is counted."""

    made: ClassVar[int] = 0

    def _generate_payload(self) -> bytes:
        BytesP.made += 1
        return ((self.params.content or self.params.name) * self.params.size)[: self.params.size].encode()


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    BytesP.made = 0


def ask(store: Store, name: str = "x", size: int = 1000, content: str | None = None) -> BytesP:
    return BytesP(store, BytesParams(name, size, content))


def bytes_in(folder: Path) -> int:
    """What the cache holds, without what single processes have in their hands."""
    tops = [path for path in folder.glob("*") if path.name != ".copies"]
    return sum(path.stat().st_size for top in tops for path in top.rglob("*") if path.is_file())


def kept(folder: Path) -> set[str]:
    """The names of the artifacts whose payload is in the cache, by their first byte."""
    return {path.read_bytes()[-10:-9].decode() for path in folder.glob("*/*/payload.*")}


# ---------------------------------------------------------------------------------------------------------------------
# A bucket, which can be out of reach


class Bucket:
    """A bucket of its own name on a real server, behind a proxy; and caches of it, on machines of their own."""

    def __init__(self, server: S3Server, proxy: FaultyProxy, place: Path) -> None:
        self.server, self.proxy, self.place = server, proxy, place
        self.url = f"s3://{server.bucket}/{os.getpid()}/bucket-{next(_numbers)}"

    def directly(self) -> ObjectStore:
        return ObjectStore(self.url, storage_options=self.server.options())

    def through_the_proxy(self) -> ObjectStore:
        options = self.server.options(endpoint=self.proxy.url, retry_config={"max_retries": 0})
        return ObjectStore(self.url, storage_options=options)

    def cache(self, machine: str = "machine", **options: Any) -> CachedStore:
        return CachedStore(self.through_the_proxy(), self.place / machine, **options)

    def requests(self, action: Callable[[], object]) -> list[str]:
        self.proxy.clear()
        action()
        return [request.partition("?")[0].rpartition("/")[2] for request in self.proxy.requests]


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> Iterator[Bucket]:
    with FaultyProxy(s3_server.url) as proxy:
        yield Bucket(s3_server, proxy, tmp_path)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PAUSE", 0.0)


@pytest.fixture
def told() -> Iterator[list[warnings.WarningMessage]]:
    """The warnings of a test."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield said


def offline_warnings(told: list[warnings.WarningMessage]) -> int:
    assert {warning.category for warning in told} <= {OfflineWarning}
    return len(told)


def test_a_warm_hit_costs_one_conditional_request_and_no_transfer(bucket: Bucket) -> None:
    ask(bucket.directly(), size=100_000).generate()
    ask(bucket.cache(), size=100_000).load()
    before = bucket.proxy.bytes_down
    assert bucket.requests(lambda: ask(bucket.cache(), size=100_000).load()) == ["manifest.json"]
    assert bucket.proxy.bytes_down - before < 1000


def test_what_was_written_through_the_cache_is_in_it(bucket: Bucket) -> None:
    ask(bucket.cache()).generate()
    assert bucket.requests(lambda: ask(bucket.cache()).load()) == ["manifest.json"]
    assert ask(bucket.directly()).load() == b"x" * 1000


def test_offline_costs_no_request(bucket: Bucket) -> None:
    ask(bucket.cache()).generate()
    assert bucket.requests(lambda: ask(bucket.cache(offline=True)).load()) == []
    with pytest.raises(ArtifactNotFoundError, match=r"offline: what .* holds of it"):
        ask(bucket.cache(offline=True), "y").load()
    assert bucket.proxy.requests == []


def test_a_remote_store_that_is_away_is_asked_once_and_said_once(
    bucket: Bucket, told: list[warnings.WarningMessage]
) -> None:
    ask(bucket.directly(), "x").generate()
    ask(bucket.directly(), "y").generate()
    store = bucket.cache()
    ask(store, "x").load()
    ask(store, "y").load()
    bucket.proxy.fault("", refuse(503, "SlowDown"), times=None)
    asked = len(bucket.proxy.requests)
    assert ask(store, "x").load() == b"x" * 1000
    assert len(bucket.proxy.requests) == asked + 1
    assert ask(store, "y").load() == b"y" * 1000
    assert ask(store, "x").load() == b"x" * 1000
    assert len(bucket.proxy.requests) == asked + 1
    assert offline_warnings(told) == 1
    assert "503 SlowDown" in str(told[0].message)
    assert told[0].filename == __file__


def test_an_outage_is_said_once_however_often_it_is_looked(
    bucket: Bucket, no_pause: None, told: list[warnings.WarningMessage]
) -> None:
    ask(bucket.directly()).generate()
    store = bucket.cache()
    ask(store).load()
    bucket.proxy.down()
    ask(store).load()
    ask(store).load()
    assert offline_warnings(told) == 1
    bucket.proxy.up()
    ask(store).load()
    bucket.proxy.down()
    ask(store).load()
    assert offline_warnings(told) == 2


def test_a_missing_artifact_is_made_while_the_bucket_is_away_and_published_by_its_next_use(
    bucket: Bucket, no_pause: None, told: list[warnings.WarningMessage]
) -> None:
    store = bucket.cache()
    bucket.proxy.down()
    assert ask(store).load_generate() == b"x" * 1000
    assert ask(store).load_generate() == b"x" * 1000
    assert BytesP.made == 1
    bucket.proxy.up()
    assert not ask(bucket.directly()).exists()
    assert ask(store).load() == b"x" * 1000
    assert ask(bucket.directly()).load() == b"x" * 1000
    names = {entry.path.rpartition("/")[2].partition(".")[0] for entry in bucket.directly().list("")}
    assert names == {"manifest", "payload", "params", "generation"}
    assert not list(bucket.place.rglob(".unpublished"))
    assert bucket.requests(lambda: ask(store).load()) == ["manifest.json"]
    assert offline_warnings(told) == 1


def test_what_was_made_while_away_is_published_on_demand(
    bucket: Bucket, no_pause: None, told: list[warnings.WarningMessage]
) -> None:
    store = bucket.cache()
    bucket.proxy.down()
    for name in "abc":
        ask(store, name).load_generate()
    with pytest.raises(StoreError, match="Cannot read"):
        store.publish()
    bucket.proxy.up()
    published = store.publish()
    assert sorted(published) == sorted(f"bytes_p/{ask(store, name).key}" for name in "abc")
    assert store.publish() == []
    assert ask(bucket.directly(), "b").load() == b"b" * 1000


def test_when_both_have_made_it_the_others_counts(
    bucket: Bucket, no_pause: None, told: list[warnings.WarningMessage]
) -> None:
    store = bucket.cache()
    bucket.proxy.down()
    ask(store, "x", content="ours").load_generate()
    ask(store, "y", content="ours").load_generate()
    bucket.proxy.up()
    ask(bucket.directly(), "x", content="theirs").generate()
    ask(bucket.directly(), "y", content="theirs").generate()
    assert ask(store, "x").load().startswith(b"theirs")
    assert store.publish() == []
    assert ask(store, "y").load().startswith(b"theirs")
    assert ask(bucket.cache(offline=True), "x").load().startswith(b"theirs")
    assert not list(bucket.place.rglob(".unpublished"))
    assert b"oursours" not in b"".join(path.read_bytes() for path in bucket.place.rglob("payload.*"))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_replacement_made_while_away_is_published_unless_somebody_else_has_made_one(
    bucket: Bucket, no_pause: None, told: list[warnings.WarningMessage], elsewhere: bool
) -> None:
    store = bucket.cache()
    ask(store, content="old").generate()
    bucket.proxy.down()
    ask(store, content="middle").generate()
    ask(store, content="new").generate()
    assert ask(store).load().startswith(b"new")
    bucket.proxy.up()
    if elsewhere:
        ask(bucket.directly(), content="theirs").generate()
    assert len(store.publish()) == (0 if elsewhere else 1)
    expected = b"theirs" if elsewhere else b"new"
    assert ask(bucket.directly()).load().startswith(expected)
    assert ask(store).load().startswith(expected)
    payloads = [entry.path for entry in bucket.directly().list("") if "/payload." in entry.path]
    assert len(payloads) == 1
    assert len(list(bucket.place.glob("machine/*/*/payload.*"))) == 1


def test_single_flight_that_was_asked_for_refuses_before_anything_is_made(
    bucket: Bucket, told: list[warnings.WarningMessage]
) -> None:
    ask(bucket.directly(), "there").generate()
    store = bucket.cache(single_flight=True)
    ask(store, "there").load()
    bucket.proxy.down()
    BytesP.made = 0
    for make in (ask(store).load_generate, ask(store).generate):
        with pytest.raises(StoreError, match=r"out of reach, so that nobody else could be told .* single_flight=True"):
            make()
    assert BytesP.made == 0
    assert ask(store, "there").load_generate() == (b"there" * 200)
    assert len(ask(store).generate(persist=False)) == 1000


def test_a_refusal_is_not_taken_for_an_outage(bucket: Bucket) -> None:
    ask(bucket.directly()).generate()
    store = bucket.cache()
    ask(store).load()
    bucket.proxy.fault("GET", refuse(403, "AccessDenied"))
    with pytest.raises(StoreError, match="403 AccessDenied"):
        ask(store).load()
    assert ask(store).load() == b"x" * 1000


def test_what_the_remote_store_does_not_take_is_used_all_the_same(
    bucket: Bucket, no_pause: None, told: list[warnings.WarningMessage]
) -> None:
    store = bucket.cache()
    bucket.proxy.down()
    ask(store).load_generate()
    bucket.proxy.up()
    bucket.proxy.fault("PUT", refuse(403, "AccessDenied"), times=None)
    for _ in range(3):
        assert ask(store).load() == b"x" * 1000
    assert bucket.proxy.count("PUT") == 1
    assert "publish() tries again" in str(told[-1].message)
    with pytest.raises(StoreError, match="403 AccessDenied"):
        store.publish()
    bucket.proxy.clear()
    assert len(store.publish()) == 1


def test_a_replacement_made_elsewhere_is_served_at_the_next_ask(bucket: Bucket) -> None:
    here, there = bucket.cache("here"), bucket.cache("there")
    ask(here, content="old").generate()
    assert ask(there).load().startswith(b"old")
    ask(there, content="new").generate()
    assert ask(here).load().startswith(b"new")
    assert ask(bucket.cache("here", offline=True)).load().startswith(b"new")
    assert len(list(bucket.place.glob("here/*/*/payload.*"))) == 1


def test_an_artifact_that_was_removed_there_is_removed_here(bucket: Bucket) -> None:
    store = bucket.cache()
    ask(store).generate()
    bucket.directly().drop("bytes_p")
    with pytest.raises(ArtifactNotFoundError):
        ask(store).load()
    with pytest.raises(ArtifactNotFoundError):
        ask(bucket.cache(offline=True)).load()
    assert bytes_in(bucket.place / "machine") == 0


def test_a_retried_remote_store_is_away_when_it_gives_up(bucket: Bucket, told: list[warnings.WarningMessage]) -> None:
    pytest.importorskip("tenacity")
    remote = RetryStore(bucket.through_the_proxy(), attempts=2, wait=0.0)
    store = CachedStore(remote, bucket.place / "machine")
    ask(store).generate()
    bucket.proxy.fault("GET", refuse(503, "SlowDown"))
    assert ask(store).load() == b"x" * 1000
    assert offline_warnings(told) == 0
    bucket.proxy.down()
    assert ask(store).load() == b"x" * 1000
    assert offline_warnings(told) == 1


# ---------------------------------------------------------------------------------------------------------------------
# A drive, whose every operation can be disturbed


class Drive:
    """A folder as the remote store, which is away when it is told to be; and one cache of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.away = False
        self.remote = FaultyStore(LocalStore(place / "remote", fsync=False))
        self.remote.faults = (Fault(0, self._refuse_if_away),)
        self.remote._counts = [0]
        self.folder = place / "cache"

    def _refuse_if_away(self) -> None:
        if self.away:
            fail(errno.ETIMEDOUT, transient=True)()

    def cache(self, **options: Any) -> CachedStore:
        return CachedStore(self.remote, self.folder, **options)

    def at(self, operation: str, away: bool) -> None:
        """From the next operation that begins like this on, the drive is away, or back."""

        def switch() -> None:
            self.away = away
            self._refuse_if_away()

        self.remote.faults = (Fault(1, switch, only=operation), self.remote.faults[0])
        self.remote._counts = [0, 0]


@pytest.fixture
def drive(tmp_path: Path, no_pause: None) -> Drive:
    return Drive(tmp_path)


@pytest.fixture
def while_away() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OfflineWarning)
        yield


@pytest.mark.usefixtures("while_away")
@pytest.mark.parametrize("operation", ["read", "create", "list", "put", "replace", "replace bytes_p"])
def test_an_outage_that_begins_anywhere_in_a_generation_costs_nothing(drive: Drive, operation: str) -> None:
    store = drive.cache()
    drive.at(operation, away=True)
    assert ask(store).load_generate() == b"x" * 1000
    drive.remote.faults = drive.remote.faults[-1:]
    drive.remote._counts = [0]
    drive.away = False
    assert ask(store).load_generate() == b"x" * 1000
    assert ask(LocalStore(drive.place / "remote")).load() == b"x" * 1000
    assert BytesP.made == 1


class SwitchingP(BytesP):
    """The remote store goes away, or comes back, while this is made."""

    switch: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def _generate_payload(self) -> bytes:
        SwitchingP.switch()
        return b"payload"


@pytest.mark.usefixtures("while_away")
@pytest.mark.parametrize("away", [False, True])
def test_a_drive_that_comes_or_goes_during_a_generation(drive: Drive, away: bool) -> None:
    drive.away = not away
    SwitchingP.switch = staticmethod(lambda: setattr(drive, "away", away))  # type: ignore[assignment]
    store = drive.cache()
    assert SwitchingP(store, BytesParams()).load_generate() == b"payload"
    drive.away = False
    assert SwitchingP(store, BytesParams()).load_generate() == b"payload"
    assert SwitchingP(LocalStore(drive.place / "remote"), BytesParams()).load() == b"payload"
    leases = [path for path in drive.place.rglob("lease/*") if path.parent.is_dir()]
    assert [path for path in leases if drive.folder in path.parents] == []  # one there may wait for its time to live


@pytest.mark.usefixtures("while_away")
def test_a_drive_that_is_back_in_the_middle_of_a_commit_gets_the_payload_before_the_manifest(drive: Drive) -> None:
    store = drive.cache()
    drive.away = True
    put = store.local.put

    class Back(LocalStore):
        def put(self, local: str, path: str) -> None:
            super().put(local, path)
            drive.away = False

    store._cache.durable = Back(drive.folder)
    assert ask(store).load_generate() == b"x" * 1000
    assert ask(LocalStore(drive.place / "remote")).load() == b"x" * 1000
    assert not list(drive.folder.rglob(".unpublished"))
    assert put


@pytest.mark.usefixtures("while_away")
def test_a_lease_stays_where_it_was_created(drive: Drive) -> None:
    store = drive.cache()
    assert store.create("a/k/lease/0", b"there")
    drive.away = True
    for operation in (lambda: store.read("a/k/lease/0"), lambda: store.replace("a/k/lease/0", b"there too")):
        with pytest.raises(StoreError):
            operation()
    assert store.create("a/k/lease/1", b"here")
    drive.away = False
    assert store.read("a/k/lease/0") == b"there"
    assert store.read("a/k/lease/1") == b"here"
    store.replace("a/k/lease/1", b"still here")
    assert [entry.path for entry in store.list("")] == ["a/k/lease/0"]
    store.delete("a/k/lease/1")
    store.delete("a/k/lease/0")
    assert not list(drive.place.rglob("lease/*"))


@pytest.mark.usefixtures("while_away")
def test_a_lease_of_ours_there_is_not_mistaken_for_one_that_another_process_has_here(drive: Drive) -> None:
    store, other = drive.cache(), drive.cache()
    assert store.create("a/k/lease/0", b"there")
    drive.away = True
    assert other.create("a/k/lease/0", b"here")
    with pytest.raises(StoreError):  # not b"here": the owner would take itself for taken over, and stop beating
        store.read("a/k/lease/0")
    drive.away = False
    assert store.read("a/k/lease/0") == b"there"


@pytest.mark.usefixtures("while_away")
def test_an_artifact_cannot_be_removed_from_a_store_that_is_away(drive: Drive) -> None:
    store = drive.cache()
    ask(store, "published").generate()
    drive.away = True
    ask(store, "unpublished").load_generate()
    with pytest.raises(StoreError):
        store.delete(f"bytes_p/{ask(store, 'published').key}/manifest.json")
    assert ask(store, "published").exists()
    store.delete(f"bytes_p/{ask(store, 'unpublished').key}/manifest.json")
    assert not ask(store, "unpublished").exists()


@pytest.mark.usefixtures("while_away")
def test_a_damaged_artifact_is_not_published_and_keeps_none_of_the_others_back(drive: Drive) -> None:
    store = drive.cache()
    drive.away = True
    for name in "abc":
        ask(store, name).load_generate()
    flip(next(drive.folder.glob(f"bytes_p/{ask(store, 'b').key}/payload.*")), 100)
    drive.away = False
    with pytest.warns(CorruptArtifactWarning, match="It is not published"):
        assert len(store.publish()) == 2
    with pytest.warns(CorruptArtifactWarning, match="It is made again"):
        assert ask(store, "b").load_generate() == b"b" * 1000
    assert ask(LocalStore(drive.place / "remote"), "b").load() == b"b" * 1000
    assert not list(drive.folder.rglob(".unpublished"))


@pytest.mark.usefixtures("while_away")
@pytest.mark.parametrize("when", ["before", "after"])
def test_publishing_that_fails_anywhere_can_be_repeated(tmp_path: Path, when: Any) -> None:
    for number in itertools.count(1):
        drive = Drive(tmp_path / str(number))
        store = drive.cache()
        drive.away = True
        BytesP(store, BytesParams(), payload_io=FolderIO()).load_generate()
        drive.away = False
        drive.remote.faults = (Fault(number, fail(errno.EIO, transient=False), when),)
        drive.remote._counts, before = [0], len(drive.remote.operations)
        try:
            store.publish()
        except StoreError:
            drive.remote.faults = ()
            store.publish()
        last = len(drive.remote.operations) - before < number
        assert BytesP(LocalStore(drive.place / "remote"), BytesParams(), payload_io=FolderIO()).load() == b"x" * 1000
        assert not list(drive.folder.rglob(".unpublished"))
        assert not [path for path in drive.place.glob("remote/*/*/*") if "spool" in path.name]
        if last:
            break
    assert number > 5


@pytest.mark.usefixtures("while_away")
def test_of_many_threads_that_publish_at_once_each_has_done_or_need_not(drive: Drive) -> None:
    store = drive.cache()
    drive.away = True
    for name in "abcdefgh":
        ask(store, name).load_generate()
    drive.away = False
    drive.remote.operations.clear()
    with ThreadPoolExecutor(4) as pool:
        published = [folder for found in pool.map(lambda _: drive.cache().publish(), range(4)) for folder in found]
    published += store.publish()
    assert len(published) == len(set(published)) == 8
    assert sum(operation.startswith("put") for operation in drive.remote.operations) == 8


@pytest.mark.usefixtures("while_away")
def test_a_mark_without_an_artifact_is_removed(drive: Drive) -> None:
    """A process was killed between the two."""
    store = drive.cache()
    with store._cache.locked():
        store._publisher.mark("a/k", b"")
    assert store.publish() == []
    assert not list(drive.folder.rglob(".unpublished"))


def test_a_drive_that_is_not_mounted_is_away_and_not_empty(drive: Drive) -> None:
    store = drive.cache()
    ask(store).generate()
    (drive.place / "remote").rename(drive.place / "elsewhere")
    with pytest.warns(OfflineWarning, match="is not there"):
        assert ask(store).load() == b"x" * 1000
    (drive.place / "elsewhere").rename(drive.place / "remote")
    assert ask(store).load() == b"x" * 1000


@pytest.mark.usefixtures("while_away")
def test_nothing_is_published_to_where_a_drive_is_not_mounted(drive: Drive) -> None:
    """It would go to the disk of this machine, and be covered by the drive when that is back."""
    store = drive.cache()
    ask(store, "published").generate()
    drive.away = True
    ask(store, "unpublished").generate()
    drive.away = False
    (drive.place / "remote").rename(drive.place / "elsewhere")
    with pytest.raises(StoreError, match="Mount the drive"):
        store.publish()
    assert ask(store, "unpublished").load().startswith(b"unpublished")
    assert not (drive.place / "remote").exists()
    (drive.place / "elsewhere").rename(drive.place / "remote")
    assert len(store.publish()) == 1
    assert ask(drive.remote, "unpublished").load().startswith(b"unpublished")


def test_a_cache_that_cannot_be_written_says_so_when_it_is_to_publish(drive: Drive) -> None:
    drive.folder.write_bytes(b"no folder")
    with pytest.raises(StoreError, match="cannot be changed"):
        drive.cache().publish()


# What is kept


def test_a_damaged_copy_is_fetched_again_silently(drive: Drive) -> None:
    store = drive.cache()
    ask(store).generate()
    flip(next(drive.folder.glob("*/*/payload.*")), 100)
    assert ask(store).load() == b"x" * 1000
    drive.remote.operations.clear()
    assert ask(store).load() == b"x" * 1000
    assert [operation.partition(" ")[0] for operation in drive.remote.operations] == ["read"]
    flip(next(drive.folder.glob("*/*/.remote")), -100)
    assert ask(store).load() == b"x" * 1000


def test_a_damaged_remote_artifact_is_corrupt_and_made_again(drive: Drive) -> None:
    ask(drive.remote).generate()
    flip(next((drive.place / "remote").glob("*/*/payload.*")), 100)
    store = drive.cache()
    with pytest.raises(ArtifactCorruptError):
        ask(store).load()
    with pytest.warns(CorruptArtifactWarning):
        assert ask(store).load_generate() == b"x" * 1000
    assert ask(store).load() == ask(drive.remote).load() == b"x" * 1000


def test_a_damaged_copy_that_cannot_be_fetched_again_is_as_if_it_were_not_here(drive: Drive) -> None:
    ask(drive.cache()).generate()
    flip(next(drive.folder.glob("*/*/payload.*")), 100)
    with pytest.raises(ArtifactNotFoundError):
        ask(drive.cache(offline=True)).load()
    assert ask(drive.cache()).load() == b"x" * 1000


def test_the_cache_is_a_folder_of_artifacts(drive: Drive) -> None:
    store = drive.cache()
    for name in "abc":
        ask(drive.remote, name).generate()
        ask(store, name).load()
    for name in "abc":
        assert ask(LocalStore(drive.folder), name).load() == name.encode() * 1000


def test_a_manifest_that_was_only_looked_at_is_no_artifact_of_the_cache(drive: Drive) -> None:
    ask(drive.remote).generate()
    assert ask(drive.cache()).exists()
    offline = drive.cache(offline=True)
    assert not ask(offline).exists()
    assert ask(offline).load_generate() == b"x" * 1000
    assert drive.cache().publish() == []  # theirs counts
    assert ask(drive.cache()).load() == b"x" * 1000


def test_what_has_not_been_used_for_longest_is_evicted_first(drive: Drive) -> None:
    store = drive.cache(max_size=100_000)
    for name in "abcd":
        ask(store, name, 20_000).generate()
        time.sleep(0.01)
    ask(store, "a", 20_000).load()
    ask(store, "e", 20_000).generate()
    assert kept(drive.folder) == set("acde") or kept(drive.folder) == set("ade")
    drive.remote.operations.clear()
    assert ask(store, "b", 20_000).load() == b"b" * 20_000
    assert any(operation.startswith("fetch") for operation in drive.remote.operations)


def test_many_small_payloads_stay_within_the_bound(drive: Drive) -> None:
    store = drive.cache(max_size=60_000)
    for number in range(60):
        ask(store, f"{number}", 500).generate()
        assert bytes_in(drive.folder) <= 60_000
    assert len(list(drive.folder.glob("*/*/manifest.json"))) > 3
    for number in range(60):
        assert len(ask(store, f"{number}", 500).load()) == 500
        assert bytes_in(drive.folder) <= 60_000


def test_a_payload_larger_than_the_bound_is_not_kept(drive: Drive) -> None:
    store = drive.cache(max_size=10_000)
    ask(store, "small", 1000).generate()
    assert ask(store, "large", 20_000).generate() == ask(store, "large", 20_000).load()
    assert {path.stat().st_size < 2000 for path in drive.folder.glob("*/*/payload.*")} == {True}
    assert not list(drive.folder.glob(".copies/*/*/payload.*"))


@pytest.mark.usefixtures("while_away")
def test_what_is_not_published_is_never_evicted(drive: Drive) -> None:
    store = drive.cache(max_size=30_000)
    drive.away = True
    for name in "abcde":
        ask(store, name, 10_000).load_generate()
    drive.away = False
    for name in "vwxyz":
        ask(store, name, 10_000).generate()
    drive.away = True
    assert [len(ask(store, name, 10_000).load()) for name in "abcde"] == [10_000] * 5
    assert BytesP.made == 10


@pytest.mark.parametrize("max_size", [0, -1, 1.5, True, "10 GB"])
def test_a_bound_that_is_no_number_of_bytes_is_refused(tmp_path: Path, max_size: Any) -> None:
    with pytest.raises(ValueError, match="max_size must be a number of bytes"):
        CachedStore(LocalStore(tmp_path), tmp_path / "cache", max_size=max_size)


def test_four_processes_write_at_once_and_the_bound_holds(tmp_path: Path) -> None:
    def work(number: int) -> None:
        store = CachedStore(LocalStore(tmp_path / "remote", fsync=False), tmp_path / "cache", max_size=100_000)
        for turn in range(25):
            ask(store, f"{number} {turn}", 5000).generate()
            assert len(ask(store, f"{(number + 1) % 4} {turn // 2}", 5000).load_generate()) == 5000

    children = [_forked(lambda number=number: work(number)) for number in range(4)]  # type: ignore[misc]
    largest, store = 0, CachedStore(LocalStore(tmp_path / "remote"), tmp_path / "cache")
    while any(_is_running(child) for child in children):
        with store._cache.locked():
            largest = max(largest, bytes_in(tmp_path / "cache"))
        time.sleep(0.01)
    assert [_status(child) for child in children] == [0] * 4
    assert 50_000 < largest <= 100_000
    assert bytes_in(tmp_path / "cache") <= 100_000


class FolderIO(FileIO[bytes]):
    """A payload as a folder of two files."""

    format_id: ClassVar[str] = "test.cached-folder"
    loading_runs_code = True  # it does not; but so it reads pickles too

    def _save(self, payload: bytes, filepath: Path) -> None:
        (filepath / "deep").mkdir(parents=True)
        (filepath / "first").write_bytes(payload[:10])
        (filepath / "deep" / "second").write_bytes(payload[10:])

    def _load(self, filepath: Path) -> bytes:
        return (filepath / "first").read_bytes() + (filepath / "deep" / "second").read_bytes()


def test_what_is_read_lazily_outlives_its_eviction(drive: Drive) -> None:
    numpy = pytest.importorskip("numpy")

    class MappedP(Persistable[Any, BytesParams]):
        def _generate_payload(self) -> Any:
            return numpy.arange(100_000)

    def mapped(store: Store) -> Any:
        return MappedP(store, BytesParams(), payload_io=NpyFileIO(mmap_mode="r"))

    store = drive.cache(max_size=1_000_000)
    mapped(store).generate()
    for get in (mapped(store), mapped(drive.cache(max_size=1_000_000))):
        payload = get.load()
        for name in "ab":
            ask(store, name, 600_000).generate()
        assert not list(drive.folder.glob("mapped_p/*/payload.*"))
        assert int(payload.sum()) == 4_999_950_000


def test_a_payload_that_is_evicted_again_and_again_is_read_all_the_same(drive: Drive) -> None:
    """Between fetch() and the moment when it is read, each time."""

    class Unlucky(CachedStore):
        def fetch(self, path: str, size: int | None = None) -> str:
            found = super().fetch(path, size)
            with self._cache.locked():
                assert self._cache.room.evict(path.rpartition("/")[0])
            return found

    ask(drive.remote).generate()
    ask(drive.cache()).load()
    assert ask(Unlucky(drive.remote, drive.folder)).load() == b"x" * 1000


# Hard times for the cache itself


def test_a_cache_whose_folder_cannot_be_made_serves_what_is_there(drive: Drive) -> None:
    (drive.place / "file").write_bytes(b"")
    ask(drive.remote).generate()
    store = CachedStore(drive.remote, drive.place / "file" / "cache")
    assert ask(store).load() == b"x" * 1000
    assert ask(store, "y").load_generate() == b"y" * 1000
    assert ask(drive.remote, "y").load() == b"y" * 1000


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, as those of pytest are not."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory(prefix="persistable-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_a_cache_that_cannot_be_written_serves_what_it_holds(open_folder: Path) -> None:
    remote, folder = LocalStore(open_folder / "remote"), open_folder / "cache"
    ask(CachedStore(remote, folder)).generate()
    ask(remote, "y").generate()
    shutil.rmtree(folder / ".copies", ignore_errors=True)

    def work() -> None:
        os.setuid(65534)
        store = CachedStore(remote, folder)
        assert ask(store).load() == b"x" * 1000
        assert ask(store, "y").load() == b"y" * 1000

    assert _status(_forked(work)) == 0


def test_a_full_disk_is_no_reason_to_fail(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDrive(FaultyStore):
        """Its copies go where there is no room, at first; as those of a bucket do."""

        tries = 0

        def fetch(self, path: str, size: int | None = None) -> str:
            FullDrive.tries += 1
            if FullDrive.tries == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().fetch(path, size)

    def no_room(*args: Any) -> None:
        raise StoreError("No space left on device")

    ask(drive.remote).generate()
    store = CachedStore(FullDrive(drive.remote.inner), drive.folder)
    monkeypatch.setattr(LocalStore, "_write_beside", no_room)
    assert ask(store).load() == b"x" * 1000
    assert ask(store).load() == b"x" * 1000


def test_a_cache_that_is_deleted_while_it_is_used_is_filled_again(drive: Drive) -> None:
    store = drive.cache()
    for _ in range(3):
        assert ask(store).load_generate() == b"x" * 1000
        shutil.rmtree(drive.folder)
    assert BytesP.made == 1


def test_a_lock_that_nobody_gives_back_is_not_waited_for_without_end(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_folder, "PATIENCE", 0.05)
    ask(drive.remote).generate()
    store = drive.cache()
    with store._cache.locked():
        assert ask(drive.cache()).load() == b"x" * 1000
        with pytest.raises(StoreError, match=r"cannot be changed: another process has been busy with it"):
            drive.cache(offline=True).create("a/k/manifest.json", b"{}")


# The object itself


@pytest.mark.usefixtures("while_away")
def test_a_store_that_was_away_is_not_away_on_another_machine(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PAUSE", 1000.0)
    store = CachedStore(
        FaultyStore(LocalStore(drive.place / "remote"), Fault(1, fail(errno.EIO, transient=True))), drive.folder
    )
    assert not ask(store).exists()
    assert not store._outage.is_reachable
    ask(LocalStore(drive.place / "remote")).generate()
    assert not ask(store).exists()
    store.inner.faults = ()  # type: ignore[attr-defined]
    assert ask(pickle.loads(pickle.dumps(store))).load() == b"x" * 1000


def test_a_forked_process_goes_on_with_its_own_copies(drive: Drive) -> None:
    ask(drive.remote).generate()
    store = drive.cache()
    ask(store, "y").generate()

    def work() -> None:
        assert ask(store).load() == b"x" * 1000
        assert ask(store, "y").load() == b"y" * 1000

    assert _status(_forked(work)) == 0
    assert ask(store).load() == b"x" * 1000


def test_threads_share_a_store(drive: Drive) -> None:
    store = drive.cache(max_size=30_000)
    for name in "abcdef":
        ask(drive.remote, name, 4000).generate()

    def load(number: int) -> bool:
        name = "abcdef"[number % 6]
        return ask(store, name, 4000).load() == name.encode() * 4000

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(load, range(120)))
    assert bytes_in(drive.folder) <= 30_000


def test_the_environment_names_a_cache_for_urls(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    options = bucket.server.options()
    monkeypatch.setenv("PERSISTABLE_CACHE_DIR", str(bucket.place / "caches"))
    store = store_for(bucket.url, storage_options=options)
    assert isinstance(store, CachedStore)
    assert store_for(bucket.url, storage_options=options) is store
    assert BytesP(bucket.url, BytesParams(), storage_options=options).load_generate() == b"x" * 1000
    assert len(list((bucket.place / "caches").glob("s3-*/bytes_p/*/manifest.json"))) == 1
    assert isinstance(store_for(bucket.place), LocalStore)
    monkeypatch.delenv("PERSISTABLE_CACHE_DIR")
    assert isinstance(store_for(bucket.url, storage_options=options), ObjectStore)


def test_a_cache_may_be_named_for_any_place(bucket: Bucket) -> None:
    caches = bucket.place / "caches"
    for place in (bucket.url, bucket.place / "drive", LocalStore(bucket.place / "store")):
        options = bucket.server.options() if place == bucket.url else None
        p = BytesP(place, BytesParams(), storage_options=options, cache_dir=caches)
        assert p.load_generate() == b"x" * 1000
        assert "CachedStore" in repr(store_for(place, storage_options=options, cache_dir=caches))
    assert len(list(caches.glob("*/bytes_p/*/manifest.json"))) == 3


def test_two_places_of_one_url_have_caches_of_their_own(tmp_path: Path) -> None:
    stores = [
        store_for("s3://team/x", storage_options={"endpoint": f"http://localhost:{port}"}, cache_dir=tmp_path)
        for port in (1, 2)
    ]
    folders = {store.local.path for store in stores if isinstance(store, CachedStore)}
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {tmp_path}


# ---------------------------------------------------------------------------------------------------------------------
# Processes


def _forked(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own."""
    if child := os.fork():
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(status)


_ended: dict[int, int] = {}


def _is_running(child: int) -> bool:
    if child not in _ended:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            _ended[child] = status
    return child not in _ended


def _status(child: int) -> int:
    return _ended.pop(child) if child in _ended else os.waitpid(child, 0)[1]


def test_whoever_is_killed_leaves_a_cache_that_serves_what_is_right(tmp_path: Path) -> None:
    _campaign(tmp_path, kills=25, seed=1)


@pytest.mark.slow
def test_whoever_is_killed_leaves_a_cache_that_serves_what_is_right_many_times(tmp_path: Path) -> None:
    for seed in range(8):
        _campaign(tmp_path / str(seed), kills=100, seed=seed)


def _campaign(place: Path, kills: int, seed: int) -> None:
    """Three processes at a time load and generate, there and away, through one cache; each is killed at some moment."""
    names, chance = "abcdef", random.Random(seed)

    def work(number: int) -> None:
        warnings.simplefilter("ignore")
        mine, away = random.Random(number), threading.Event()

        def refuse_if_away() -> None:
            if away.is_set():
                fail(errno.ETIMEDOUT, transient=True)()

        outage.PAUSE = 0.0
        remote = FaultyStore(LocalStore(place / "remote", fsync=False), Fault(0, refuse_if_away))
        store = CachedStore(remote, place / "cache", max_size=150_000)
        while True:
            (away.set if mine.random() < 0.4 else away.clear)()
            name = mine.choice(names)
            p = BytesP(store, BytesParams(name, 20_000), payload_io=mine.choice([FolderIO(), None]))
            payload = p.generate() if mine.random() < 0.2 else p.load_generate()
            assert payload == name.encode() * 20_000

    children: list[int] = []
    try:
        for number in range(kills):
            children.append(_forked(lambda number=number: work(seed * 10_000 + number)))  # type: ignore[misc]
            if len(children) == 3:
                time.sleep(chance.random() * 0.15)
                os.kill(children[0], signal.SIGKILL)
                assert _status(children.pop(0)) == signal.SIGKILL
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            assert _status(child) == signal.SIGKILL

    remote, folder = LocalStore(place / "remote", fsync=False), place / "cache"
    store = CachedStore(remote, folder, max_size=150_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CorruptArtifactWarning)
        store.publish()
        for asked in (store, store, remote, CachedStore(remote, folder, offline=True), LocalStore(folder)):
            for name in names:
                p = BytesP(asked, BytesParams(name, 20_000))
                if asked in (store, remote) or p.exists():
                    assert p.load_generate() == name.encode() * 20_000
    assert not list(folder.rglob(".unpublished"))
    assert bytes_in(folder) <= 150_000
    assert len(list((folder / ".copies").glob("persistable-copies-*"))) <= 2  # of the two caches in this process
