"""LocalStore: what a folder does that other places do not."""

from __future__ import annotations

import datetime as dt
import errno
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from persistable.exceptions import StoreError
from persistable.stores import LocalStore, WrapperStore, local, store_for


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", fsync=False)


def test_a_replace_that_a_reader_blocks_is_tried_again(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on SMB and on Windows, while a reader holds the file open."""
    store.replace("a/b", b"old")
    replace, refusals = os.replace, iter([True, True, True])

    def refuse(source: str, target: str) -> None:
        if next(refusals, False):
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    store.replace("a/b", b"new")
    assert store.read("a/b") == b"new"


def test_a_replace_that_stays_blocked_is_given_up_after_a_bounded_time(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace("a/b", b"old")
    pauses: list[float] = []

    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EACCES, "The process cannot access the file")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(local.time, "sleep", pauses.append)
    with pytest.raises(StoreError, match="The process cannot access the file"):
        store.replace("a/b", b"new")
    assert 3 < len(pauses) < 20
    assert sum(pauses) < 10
    assert store.read("a/b") == b"old"
    assert [entry.path for entry in store.list("")] == ["a/b"]


def test_a_link_that_fails_without_having_happened_is_an_error(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match="Input/output error"):
        store.create("a/b", b"")
    assert not store.path.exists() or list(store.list("")) == []


def test_a_link_whose_answer_is_lost_has_happened(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def lose(source: str, target: str) -> None:
        link(source, target)
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr(os, "link", lose)
    assert store.create("a/b", b"mine")
    monkeypatch.setattr(os, "link", link)
    assert not store.create("a/b", b"yours")
    assert store.read("a/b") == b"mine"


def test_without_hard_links_a_failed_create_leaves_no_half_a_file(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    write, calls = LocalStore._write, iter([True, False])

    def fill_the_disk(self: LocalStore, file: int, data: bytes) -> None:
        if next(calls):
            write(self, file, data)
            return
        os.close(file)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LocalStore, "_write", fill_the_disk)
    with pytest.raises(StoreError) as caught:
        store.create("a/b", b"content")
    assert caught.value.errno == errno.ENOSPC
    assert list(store.list("")) == []


def test_a_file_that_goes_stale_is_read_again(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS, when it is replaced from another machine."""
    store.replace("a/b", b"content")
    read, stale = os.read, iter([True, True])

    def lose(file: int, size: int) -> bytes:
        if next(stale, False):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(file, size)

    monkeypatch.setattr(os, "read", lose)
    assert store.read("a/b") == b"content"


def test_a_folder_that_is_removed_as_empty_at_the_worst_moment_is_made_again(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, times = os.mkdir, iter([True, True, True])

    def lose(path: str, *args: Any) -> None:
        mkdir(path, *args)
        if path.endswith("key") and next(times, False):
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", lose)
    assert store.create("name/key/manifest.json", b"")


def test_a_folder_that_vanishes_between_two_looks_is_not_taken_for_a_file(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mkdir says that it exists; another process removes it as empty; it is then no folder."""
    mkdir, times = os.mkdir, iter([True, True])

    def lose(path: str, *args: Any) -> None:
        if path.endswith("key") and next(times, False):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        mkdir(path, *args)

    monkeypatch.setattr(os, "mkdir", lose)
    assert store.create("name/key/manifest.json", b"")


def test_a_payload_that_is_being_written_keeps_its_folder(store: LocalStore) -> None:
    spool = store.spool("name/key/payload.1")
    store.create("name/key/probe", b"")
    store.delete("name/key/probe")  # the folder would be empty now
    Path(spool).write_bytes(b"payload")
    store.put(spool, "name/key/payload.1")
    store.discard(spool)
    assert [entry.path for entry in store.list("")] == ["name/key/payload.1"]


@pytest.mark.parametrize("content", ["file", "folder"])
def test_a_payload_from_another_file_system_is_moved_in_one_step(
    store: LocalStore, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move across file systems is a copy, and not atomic: it must not happen in place."""
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat("/tmp").st_dev:
        pytest.skip("there is no second file system here")
    here = Path(f"/dev/shm/persistable-test-{os.getpid()}-{content}")
    if content == "folder":
        (here / "deep").mkdir(parents=True)
        (here / "deep" / "file").write_bytes(b"payload")
    else:
        here.write_bytes(b"payload")
    seen, replace = [], os.replace

    def watch(source: str, target: str) -> None:
        seen.append(os.path.exists(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    store.put(os.fspath(here), "a/payload")
    assert seen == [False]
    found = Path(store.fetch("a/payload"))
    assert (found / "deep" / "file" if content == "folder" else found).read_bytes() == b"payload"
    assert not here.exists()
    assert len(list(store.list(""))) == 1


def test_all_is_on_the_disk_before_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut could leave a manifest without its payload."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    store = LocalStore(tmp_path / "store")
    store.replace("a/b", b"")
    assert any(path.endswith(".tmp") for path in synced)
    assert synced[-1] == str(tmp_path / "store/a")
    assert str(tmp_path / "store") in synced
    spool = Path(store.spool("a/payload"))
    (spool / "deep").mkdir(parents=True)
    (spool / "deep" / "file").write_bytes(b"")
    synced.clear()
    store.put(os.fspath(spool), "a/payload")
    assert synced == [str(spool / "deep/file"), str(spool / "deep"), str(spool), str(tmp_path / "store/a")]
    synced.clear()
    LocalStore(tmp_path / "store", fsync=False).replace("a/c", b"")
    assert synced == []


def test_an_error_says_what_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = LocalStore(tmp_path / "file")
    for call in (
        lambda: store.read("a"),
        lambda: store.create("a", b""),
        lambda: store.replace("a", b""),
        lambda: store.delete("a"),
        lambda: store.spool("a/payload"),
        lambda: store.put(str(tmp_path / "file"), "a/payload"),
        lambda: list(store.list("a")),
    ):
        with pytest.raises(StoreError, match=r"in the store .*/file: .* is a file. Choose another data_dir") as caught:
            call()
        assert caught.value.errno == errno.ENOTDIR
        assert isinstance(caught.value.__cause__, NotADirectoryError)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_the_time_to_live_is_longer_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_file_system", lambda path: "nfs4")
    assert LocalStore(tmp_path).time_to_live == 120.0
    assert LocalStore(tmp_path, time_to_live=5.0).time_to_live == 5.0
    monkeypatch.setattr(local, "_file_system", lambda path: "ext4")
    assert LocalStore(tmp_path).time_to_live == 30.0


@pytest.mark.parametrize("name", ["time_to_live", "patience", "leftovers_after"])
def test_a_time_that_is_no_number_of_seconds_is_refused(tmp_path: Path, name: str) -> None:
    for value in ("10s", True, [1], dt.timedelta(seconds=1)):
        with pytest.raises(TypeError, match=f"{name} must be a .*number of seconds, such as 30.0; got "):
            LocalStore(tmp_path, **{name: value})
    for value in (-1, float("nan")):
        with pytest.raises(ValueError, match=f"{name} must be a .*number of seconds"):
            LocalStore(tmp_path, **{name: value})
    assert getattr(LocalStore(tmp_path, **{name: 1}), name) == 1
    if name != "time_to_live":
        assert getattr(LocalStore(tmp_path, **{name: 0}), name) == 0


def test_an_option_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    class MyStore(LocalStore):
        def __init__(self, path: Path, *, speed: int = 1, **options: Any) -> None:
            super().__init__(path, **options)

    with pytest.raises(
        TypeError,
        match=r"^LocalStore has no option 'ttl', 'x'\. Its options are fsync, leftovers_after, patience, "
        r"single_flight, time_to_live, verify\.$",
    ):
        LocalStore(tmp_path, ttl=1, x=2)
    with pytest.raises(TypeError, match=r"MyStore has no option 'ttl'\. Its options are .*patience.*speed"):
        MyStore(tmp_path, ttl=1)


@pytest.mark.parametrize("make", [LocalStore, store_for])
def test_a_path_that_is_none_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"is empty\. Pass '\.'"):
        make("")
    with pytest.raises(TypeError):
        make(7)


def test_a_url_is_no_folder() -> None:
    for url in ("s3://bucket/data", Path("s3://bucket/data"), "gs://b"):
        with pytest.raises(StoreError, match=r"URL.*Pass (a|the) path.*or a Store of your own\.") as caught:
            LocalStore(url)
        assert str(url)[:3] in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3:team/x",
        "s3:\\team",
        "S3:team",
        " s3://team/x",
        "arn:aws:s3:::team/x",
        "sftp:host/x",
        "abc://x",
        "a::s3://team",
    ],
)
def test_a_url_that_was_mistyped_makes_no_folder(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="URL"):
        store_for(url)
    assert store_for("runs: 2026/1").url == str(tmp_path / "runs: 2026/1")
    with pytest.raises(StoreError, match="cache_dir is a folder"):
        store_for("memory://team", cache_dir="s3://team/cache")


def test_a_wrapper_takes_what_a_data_dir_may_be(tmp_path: Path) -> None:
    for inner in (tmp_path, str(tmp_path), LocalStore(tmp_path)):
        assert WrapperStore(inner).url == str(tmp_path)


def test_a_store_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for same in (tmp_path, ".", str(tmp_path), os.fsencode(tmp_path), tmp_path.as_uri(), Path(tmp_path.as_uri())):
        assert store_for(same).url == str(tmp_path)  # type: ignore[arg-type]
    assert store_for("C:/data").url == str(tmp_path / "C:/data")
    store = LocalStore(tmp_path)
    assert store_for(store) is store


def test_a_store_shows_its_options_if_they_are_not_the_usual_ones(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.time_to_live > 0
    assert repr(store) == f"LocalStore({str(tmp_path)!r})"
    store = LocalStore(tmp_path, time_to_live=5.0, fsync=False, verify="digest", patience=60)
    assert repr(store) == f"LocalStore({str(tmp_path)!r}, fsync=False, patience=60, time_to_live=5.0)"
    assert repr(eval(repr(store))) == repr(store)
    assert repr(pickle.loads(pickle.dumps(store))) == repr(store)


@pytest.mark.parametrize("method", ["_link", "_sync_folder"])
def test_an_interruption_leaves_no_empty_folders(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    store.create("there", b"")
    monkeypatch.setattr(LocalStore, method, interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.create("name/key/lease/0", b"")
    assert [entry.path for entry in store.list("")] == ["there"]


@pytest.mark.skipif(not os.path.exists("/proc/mounts"), reason="needs Linux")
def test_the_file_system_is_that_of_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self")
    assert local._file_system(tmp_path / "link" / "fd") == "proc"


def test_many_threads_make_and_remove_one_folder_without_disturbing_each_other(store: LocalStore) -> None:
    barrier, errors = threading.Barrier(8), []

    def work(number: int) -> None:
        try:
            barrier.wait()
            for turn in range(50):
                spool = store.spool(f"name/key/payload.{number}.{turn}")
                Path(spool).write_bytes(b"x")
                store.discard(spool)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(store.path.iterdir()) == []
