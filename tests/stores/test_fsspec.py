"""FsspecStore keeps the promises of a store on real servers; and says well what goes wrong there."""

from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import itertools
import logging
import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

pytest.importorskip("fsspec")

import fsspec
import fsspec.implementations.sftp as sftp_of_fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from proxy import FaultyProxy, meanwhile, refuse, swallow_response

from persistable import (
    CorruptArtifactWarning,
    MissingDependencyError,
    Persistable,
    PersistableParams,
    PersistableWarning,
    StoreError,
)
from persistable.stores import Store, remote
from persistable.stores.fsspec import FsspecStore, knows, login, s3
from persistable.testing.stores import StoreConformance, StoreMachine


def name_of(place: Path) -> str:
    return "fsspec-" + hashlib.sha256(str(place).encode()).hexdigest()[:12]


def on_s3(server: Any, place: Path, **options: Any) -> FsspecStore:
    given = server.fsspec_options(**{"session": shared_session(), **options})
    return FsspecStore(f"s3://{server.bucket}/{name_of(place)}", storage_options=given)


def on_sftp(server: Any, place: Path, **options: Any) -> FsspecStore:
    given = server.fsspec_options()
    url = f"sftp://{given.pop('host')}:{given.pop('port')}{server.path.rstrip('/')}/{name_of(place)}"
    return FsspecStore(url, storage_options=given, **options)


@cache
def shared_session() -> Any:
    """A session of botocore for many stores, to save the tenth of a second in which it reads what S3 is."""
    from aiobotocore.session import AioSession

    class Session(AioSession):
        def __reduce__(self) -> Any:
            return AioSession, ()

    return Session()


# ---------------------------------------------------------------------------------------------------------------------
# The kit


class TestMemory(StoreConformance):
    processes = 0  # each has a memory of its own

    def make_store(self, place: Path) -> Store:
        return FsspecStore(f"memory://{name_of(place)}/a folder")


class _FarAway(StoreConformance):
    """Where each request takes milliseconds, there are fewer of them."""

    readers, writers, processes = 2, 4, 2

    def test_it_behaves_as_a_dict_does(self, place: Path) -> None:
        kit, places = self, itertools.count()

        class Machine(StoreMachine):
            def make_place(self) -> Path:
                return place / f"machine {next(places)}"

            def make_store(self, place: Path) -> Store:
                return kit.make_store(place)

        fewer = settings(
            max_examples=6,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        run_state_machine_as_test(Machine, settings=fewer)


class TestSeaweed(_FarAway):
    @pytest.fixture(autouse=True)
    def _server(self, s3_server: Any) -> None:
        self.server = s3_server

    def make_store(self, place: Path) -> Store:
        return on_s3(self.server, place)


class TestMoto(TestSeaweed):
    test_it_behaves_as_a_dict_does = None

    @pytest.fixture(autouse=True)
    def _server(self, moto_server: Any) -> None:
        self.server = moto_server


class TestOpenSsh(_FarAway):
    @pytest.fixture(autouse=True)
    def _server(self, openssh_server: Any) -> None:
        self.server = openssh_server

    def make_store(self, place: Path) -> Store:
        return on_sftp(self.server, place)

    def test_no_folder_stays_behind(self, place: Path, store: Store) -> None:
        store.create("a/b/c", b"")
        store.delete("a/b/c")
        assert list((self.server.folder / name_of(place)).iterdir()) == []

    def test_an_empty_folder_is_listed_as_one_and_can_be_dropped(self, place: Path, store: Store) -> None:
        for folder in ("a/payload.1/deep", "a/payload.2"):
            (self.server.folder / name_of(place) / folder).mkdir(parents=True)
        assert {entry.path for entry in store.list("")} == {"a/payload.1/deep/", "a/payload.2/"}
        store.replace("a/payload.1/file", b"content")
        assert [file.name for file in Path(store.fetch("a/payload.1")).rglob("*")] == ["file"]
        store.drop("a/payload.1")
        store.drop("a/payload.2")
        assert list(store.list("")) == []


class BucketFileSystem(AsyncFileSystem):
    """A bucket in memory, as those of Google and Azure: with an exclusive create of its own, and no folders."""

    protocol = "bucket"
    cachable = False
    files: ClassVar[dict[str, tuple[bytes, float]]] = {}

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        try:
            data = self.files[path][0]
        except KeyError:
            raise FileNotFoundError(path) from None
        if start is not None and start >= len(data):
            raise OSError("the range is not satisfiable")
        return data[start:end]

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if mode == "create" and path in self.files:  # between two awaits nobody else works here
            raise FileExistsError(path)
        self.files[path] = bytes(value), time.time()

    async def _put_file(self, lpath: str, rpath: str, callback: Any = None, **kwargs: Any) -> None:
        self.files[rpath] = Path(lpath).read_bytes(), time.time()
        callback.relative_update(len(self.files[rpath][0]))

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        if path not in self.files:
            raise FileNotFoundError(path)
        return {"name": path, "size": len(self.files[path][0]), "type": "file", "updated": self.files[path][1]}

    async def _find(self, path: str, detail: bool = False, **kwargs: Any) -> dict[str, Any]:
        return {name: await self._info(name) for name in tuple(self.files) if name.startswith(path)}

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        if self.files.pop(path, None) is None:
            raise FileNotFoundError(path)


class TestAnAsynchronousFileSystem(StoreConformance):
    processes = 0

    @pytest.fixture(autouse=True)
    def _known(self) -> None:
        fsspec.register_implementation("bucket", BucketFileSystem, clobber=True)

    def make_store(self, place: Path) -> Store:
        return FsspecStore(f"bucket://{name_of(place)}/a prefix")


# ---------------------------------------------------------------------------------------------------------------------
# Where it is


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://team/artifacts/", "s3://team/artifacts"),
        ("s3://team", "s3://team"),
        ("memory://team/two words", "memory://team/two words"),
        ("sftp://user:hunter22@host:2222/folder/", "sftp://user@host:2222/folder"),
        ("sftp://host/", "sftp://host"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    store = FsspecStore(url)
    assert store.url == shown
    assert repr(store) == f"FsspecStore({shown!r})"


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///prefix",
        "memory://",
        "sftp://host",
        "sftp:///x",
        "sftp://u:hunter22@/x",
        "sftp://:22/x",
        "s3://key:hunter22@team/x",
        "s3://team/x?token=hunter22",
        "memory://team/x#hunter22",
        "simplecache::s3://team/x",
        "xyz://team/x",
        "/a/folder",
    ],
)
def test_a_url_that_means_no_place_is_refused_without_its_secrets(url):
    with pytest.raises(StoreError) as caught:
        FsspecStore(url)
    assert "hunter22" not in str(caught.value)


def test_what_a_url_of_sftp_lacks_is_said():
    assert "names no host" in str(failure_of(lambda: FsspecStore("sftp:///x")))
    assert FsspecStore("sftp:///x", storage_options={"host": "h"}).url == "sftp:///x"
    assert "must not hold" in str(failure_of(lambda: FsspecStore("s3://key:secret@team/x")))
    options = {"host_key_policy": "auto-add", "password": "hunter22"}
    failure = failure_of(lambda: FsspecStore("sftp://host/x", storage_options=options))
    assert "'auto-add'" in str(failure)
    assert "'auto_add'" in str(failure)


def test_it_is_told_which_urls_fsspec_knows():
    assert knows("s3")
    assert knows("sftp")
    assert not knows("xyz")


@pytest.mark.parametrize(
    ("missing", "url", "extra"),
    [("fsspec", "memory://x", "[fsspec]"), ("s3fs", "s3://x", "[s3]"), ("paramiko", "sftp://h/x", "[sftp]")],
)
def test_a_missing_package_is_named_with_its_extra(run_python, missing, url, extra):
    code = """if True:
        import sys
        sys.modules[sys.argv[1]] = None
        from persistable import MissingDependencyError
        from persistable.stores.fsspec import FsspecStore
        try:
            FsspecStore(sys.argv[2])
        except MissingDependencyError as error:
            print(error)
    """
    said = run_python(code, missing, url)
    assert repr(missing) in said
    assert extra in said


def test_a_missing_package_without_an_extra_is_named_too():
    if "gcsfs" in fsspec.registry:
        pytest.skip("gcsfs is installed")
    with pytest.raises(MissingDependencyError, match="pip install gcsfs"):
        FsspecStore("gs://team/x")


def test_making_and_pickling_a_store_touches_no_network():
    for url in ("s3://team/x", "sftp://user:hunter22@nowhere.invalid/x"):
        store = pickle.loads(pickle.dumps(FsspecStore(url, storage_options={"password": "other"})))
        assert store.url == FsspecStore(url).url


# ---------------------------------------------------------------------------------------------------------------------
# What goes wrong


def failure_of(work: Any) -> StoreError:
    with pytest.raises(StoreError) as caught:
        work()
    return caught.value


def test_a_missing_bucket_is_not_taken_for_a_missing_file(s3_server):
    store = FsspecStore("s3://no-such-bucket/x", storage_options=s3_server.fsspec_options())
    for work in (
        lambda: store.read("a"),
        lambda: list(store.list("")),
        lambda: store.create("a", b""),
        lambda: store.replace("a", b""),
        lambda: store.fetch("a", 1),
        lambda: store.fetch("a"),
    ):
        failure = failure_of(work)
        assert failure.errno == errno.ENODEV
        assert not failure.transient
        assert "NoSuchBucket" in str(failure)


def test_wrong_credentials_are_said_and_never_shown(s3_server, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    for wrong in ({"key": "hunter22"}, {"secret": "hunter22"}):
        store = on_s3(s3_server, tmp_path, **wrong)
        failure = failure_of(lambda store=store: store.read("a"))
        assert failure.errno == errno.EACCES
        assert not failure.transient
        assert "credentials" in str(failure)
        for said in (str(failure), repr(failure), repr(store), store.url):
            assert "hunter22" not in said
    assert s3_server.secret not in caplog.text


def test_no_credentials_at_all_are_said(s3_server, run_python):
    code = """if True:
        import sys
        from persistable import StoreError
        from persistable.stores.fsspec import FsspecStore
        try:
            FsspecStore("s3://team/x", storage_options={"endpoint_url": sys.argv[1]}).read("a")
        except StoreError as error:
            print(error.errno, error.transient, error)
    """
    nothing = dict.fromkeys(["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"], os.devnull)
    said = run_python(code, s3_server.url, **nothing, AWS_EC2_METADATA_DISABLED="true")
    assert said.startswith(f"{errno.EACCES} False")
    assert "Unable to locate credentials" in said


def test_who_may_only_read_reads_and_is_told_so_when_writing(s3_server, tmp_path):
    on_s3(s3_server, tmp_path).replace("a", b"content")
    store = on_s3(s3_server.as_reader(), tmp_path)
    assert store.read("a") == b"content"
    for work in (lambda: store.create("b", b""), lambda: store.replace("a", b""), lambda: store.delete("a")):
        assert failure_of(work).errno == errno.EACCES


def test_an_endpoint_that_is_not_there_is_said_in_seconds(s3_server, openssh_server, tmp_path):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        for store in (
            # botocore's own five attempts take 8 s in the mean.
            on_s3(
                s3_server,
                tmp_path,
                endpoint_url=f"http://127.0.0.1:{port}",
                config_kwargs={"retries": {"max_attempts": 2}},
            ),
            FsspecStore(f"sftp://user:hunter22@127.0.0.1:{port}/x"),
        ):
            began = time.monotonic()
            failure = failure_of(lambda store=store: store.read("a"))
            assert time.monotonic() - began < 5
            assert failure.transient
            assert "hunter22" not in str(failure)


def test_a_login_that_is_refused_is_said_and_not_tried_again(rclone_sftp_server, caplog):
    caplog.set_level(logging.DEBUG)
    server = rclone_sftp_server
    store = FsspecStore(
        f"sftp://{server.username}:hunter22@{server.host}:{server.port}/x",
        storage_options={"allow_agent": False, "look_for_keys": False},
    )
    failure = failure_of(lambda: list(store.list("")))
    assert failure.errno == errno.EACCES
    assert not failure.transient
    assert "hunter22" not in str(failure) + caplog.text


def test_an_option_that_the_file_system_does_not_take_is_said(tmp_path):
    failure = failure_of(lambda: FsspecStore("s3://team/x", storage_options={"colour": "red"}).read("a"))
    assert "colour" in str(failure)
    assert not failure.transient


@pytest.mark.parametrize(
    ("error", "number", "transient"),
    [
        (TimeoutError("slow"), errno.EIO, True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), errno.ECONNRESET, True),
        (EOFError(), errno.EIO, True),
        (socket.gaierror(-2, "Name or service not known"), errno.EHOSTUNREACH, True),
        (OSError(errno.ENOSPC, "No space left"), errno.ENOSPC, False),
        (OSError("Failure"), errno.EIO, False),
        (PermissionError("no"), errno.EACCES, False),
        (FileNotFoundError("gone"), errno.ENOENT, False),
        (ValueError("https://user:hunter22@host/x?sig=hunter22 is wrong, says hunter22"), errno.EIO, False),
    ],
)
def test_every_error_is_put_into_words(error, number, transient):
    client = FsspecStore("memory://team/x", storage_options={"password": "hunter22"}).client
    problem = client.problem(error)
    assert (problem.errno, problem.transient) == (number, transient)
    assert problem.reason
    assert problem.remedy.endswith(".")
    assert "hunter22" not in problem.reason


# ---------------------------------------------------------------------------------------------------------------------
# S3, request by request


@pytest.fixture
def proxy(s3_server: Any) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.url) as between:
        yield between


def test_each_thing_is_one_request(s3_server, proxy, tmp_path):
    store = on_s3(s3_server, tmp_path, endpoint_url=proxy.url)
    with pytest.raises(FileNotFoundError):
        store.read("a/b")
    assert store.create("a/b", b"content")
    store.replace("a/c", b"more")
    assert store.read("a/b") == b"content"
    assert Path(store.fetch("a/b", 7)).read_bytes() == b"content"
    assert len(list(store.list(""))) == 2
    assert list(store.list("none")) == []
    store.delete("a/b")
    store.delete("a/b")
    assert len(proxy.requests) == 9


def test_an_unchanged_file_is_not_sent_again(s3_server, proxy, tmp_path):
    store = on_s3(s3_server, tmp_path, endpoint_url=proxy.url)
    store.replace("a", b"x" * 100_000)
    _, etag = store.read_if_changed("a", None)
    before = proxy.bytes_down
    assert store.read_if_changed("a", etag) is None
    assert proxy.bytes_down - before < 10_000
    store.replace("a", b"new")
    assert store.read_if_changed("a", etag)[0] == b"new"
    store.delete("a")
    with pytest.raises(FileNotFoundError):
        store.read_if_changed("a", etag)


def test_a_create_whose_answer_is_lost_was_our_own(s3_server, proxy, tmp_path):
    store = on_s3(s3_server, tmp_path, endpoint_url=proxy.url)
    rule = proxy.fault("PUT ", swallow_response())
    assert store.create("a", b"mine")
    assert rule.hits == 1
    assert proxy.count("PUT ") == 2
    assert not store.create("a", b"yours")
    assert store.read("a") == b"mine"


def test_a_create_that_conflicts_is_tried_again(s3_server, proxy, tmp_path):
    store, other = on_s3(s3_server, tmp_path, endpoint_url=proxy.url), on_s3(s3_server, tmp_path)
    proxy.fault("PUT ", refuse(409, "ConditionalRequestConflict"), times=2)
    assert store.create("a", b"mine")
    proxy.fault("PUT ", refuse(409, "ConditionalRequestConflict"))
    proxy.fault("GET ", meanwhile(lambda: other.replace("b", b"theirs")))
    assert not store.create("b", b"mine")
    # What is there at first is deleted before it is read.
    other.replace("c", b"theirs")
    proxy.fault("GET ", meanwhile(lambda: other.delete("c")))
    assert store.create("c", b"mine")


def test_a_server_that_is_too_busy_is_transient(s3_server, proxy, tmp_path):
    store = on_s3(s3_server, tmp_path, endpoint_url=proxy.url, config_kwargs={"retries": {"max_attempts": 0}})
    proxy.fault("GET ", refuse(500, "InternalError"), times=None)
    failure = failure_of(lambda: store.read("a"))
    assert failure.transient
    assert "InternalError" in str(failure)


@pytest.mark.parametrize("size", [0, 1, 5 << 20, (12 << 20) + 1])
def test_a_payload_is_moved_in_parts(s3_server, tmp_path, monkeypatch, size):
    for where in (s3, remote):
        monkeypatch.setattr(where, "PART", 5 << 20)
    store = on_s3(s3_server, tmp_path)
    data = os.urandom(size)
    (tmp_path / "payload").write_bytes(data)
    done = []
    store.client.upload(str(tmp_path / "payload"), "a/payload", size, done.append)
    assert sum(done) == size
    assert Path(store.fetch("a/payload", size)).read_bytes() == data
    assert Path(store.fetch("a/payload", size + (6 << 20))).read_bytes() == data  # what is short is found out elsewhere


def test_the_marker_of_a_folder_is_no_file(s3_server, tmp_path):
    store = on_s3(s3_server, tmp_path)
    store.replace("a/b", b"")
    store.client._call("put_object", "a/marker/", Body=b"")
    assert [entry.path for entry in store.list("")] == ["a/b"]


# ---------------------------------------------------------------------------------------------------------------------
# SFTP


def test_a_connection_that_is_gone_is_made_again(openssh_server, tmp_path):
    store = on_sftp(openssh_server, tmp_path)
    store.replace("a", b"content")
    (connection,) = store.client.connections.idle
    connection.client.get_transport().sock.shutdown(socket.SHUT_RDWR)
    try:
        assert store.read("a") == b"content"
    except StoreError as failure:  # that it is gone was not yet known
        assert failure.transient  # noqa: PT017
    assert store.read("a") == b"content"
    assert all(other is not connection for other in store.client.connections.idle)


def test_many_threads_use_one_store(openssh_server, tmp_path):
    store = on_sftp(openssh_server, tmp_path)
    data = os.urandom(1 << 20)

    def work(number: int) -> None:
        assert store.create(f"a/{number}", b"%d" % number)
        (tmp_path / f"{number}").write_bytes(data)
        store.put(str(tmp_path / f"{number}"), f"a/payload.{number}")
        assert Path(store.fetch(f"a/payload.{number}", len(data))).read_bytes() == data
        assert store.read(f"a/{number}") == b"%d" % number

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))
    assert len(list(store.list("a"))) == 24


def test_a_file_that_stands_where_a_folder_is_needed_is_said(openssh_server, tmp_path):
    store = on_sftp(openssh_server, tmp_path)
    store.replace("a", b"")
    assert failure_of(lambda: store.replace("a/b", b"")).errno == errno.ENOTDIR
    with pytest.raises(FileNotFoundError):
        store.client.size("")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
@pytest.mark.parametrize("folder", ["/proc/art", "/proc/art/a/b/c"])
def test_a_folder_that_the_server_never_makes_is_said_at_once(openssh_server, folder):
    given = openssh_server.fsspec_options()
    url = f"sftp://{given.pop('host')}:{given.pop('port')}{folder}"
    store, began = FsspecStore(url, storage_options=given), time.monotonic()
    for work in (lambda: store.create("a/b", b""), lambda: store.replace("a", b"")):
        failure = failure_of(work)
        assert (failure.errno, failure.transient) == (errno.EACCES, False)
        assert "makes no folder in /proc" in str(failure)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", ["mkdir", "rename"])
def test_what_is_in_the_way_and_vanishes_does_no_harm(openssh_server, tmp_path, monkeypatch, name):
    from paramiko import SFTPClient

    store, other = on_sftp(openssh_server, tmp_path), on_sftp(openssh_server, tmp_path)
    plain, refused = getattr(SFTPClient, name), []

    def request(self: Any, *arguments: Any) -> None:
        monkeypatch.setattr(SFTPClient, name, plain)
        other.replace("a/b", b"theirs")
        try:
            plain(self, *arguments)
        except OSError as error:
            refused.append(str(error))
            raise
        finally:
            other.delete("a/b")

    monkeypatch.setattr(SFTPClient, name, request)
    assert store.create("a/b", b"mine")
    assert refused == ["Failure"]
    assert store.read("a/b") == b"mine"


def test_parts_of_a_payload_end_where_it_ends(openssh_server, tmp_path):
    store = on_sftp(openssh_server, tmp_path)
    data = os.urandom(600_000)
    store.replace("a", data)
    assert store.client.get_part("a", 100, 400_000) == data[100:400_000]
    assert store.client.get_part("a", 599_999, 700_000) == data[599_999:]
    assert store.client.get_part("a", 600_000, 700_000) == b""


# ---------------------------------------------------------------------------------------------------------------------
# Logging in by SSH


@pytest.fixture(params=["openssh_server", "rclone_sftp_server"])
def sftp_server(request: Any) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, where no host is known."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.ssh").mkdir(parents=True)
    return tmp_path / "home"


def strictly(server: Any, place: Path, **options: Any) -> FsspecStore:
    """Return a store as on_sftp does, but with the default for host keys."""
    given = server.fsspec_options(**{"host_key_policy": None, **options})
    url = f"sftp://{given.pop('host')}:{given.pop('port')}{server.path.rstrip('/')}/{name_of(place)}"
    return FsspecStore(url, storage_options={name: value for name, value in given.items() if value is not None})


def refused(store: FsspecStore) -> str:
    """Return how each request is refused, which is not as if there were no file."""
    for work in (
        lambda: store.read("a"),
        lambda: list(store.list("")),
        lambda: store.fetch("a"),
        lambda: store.create("a", b""),
    ):
        failure = failure_of(work)
        assert (failure.errno, failure.transient) == (errno.EACCES, False)
    return str(failure)


def test_a_host_that_is_known_is_believed(sftp_server, tmp_path, home):
    from paramiko import HostKeys

    name, kind, key = sftp_server.known_hosts.read_text().split()
    for line in (
        f"{name} {kind} {key} a comment",
        f"other,{name} {kind} {key}",
        f"{HostKeys.hash_host(name)} {kind} {key}",
        f"{name} {kind} {HostKeys().hash_host('a')}\n{name} ssh-ed25519 AAAA\n|1|x y z\n|1| y z\n{name} {kind} {key}",
    ):
        (home / ".ssh/known_hosts").write_text(f"# ours\n@cert-authority * {kind} {key}\n\n{line}\n")
        store = pickle.loads(pickle.dumps(strictly(sftp_server, tmp_path)))
        store.replace("a", b"content")
        assert store.read("a") == b"content"


@pytest.mark.parametrize("policy", [None, "reject"])
def test_a_host_that_is_not_known_is_refused(sftp_server, tmp_path, home, policy):
    server, store = sftp_server, strictly(sftp_server, tmp_path, host_key_policy=policy)
    before = threading.active_count()
    assert f"the host key of [{server.host}]:{server.port} is not known. Log in once with ssh" in refused(store)
    (home / ".ssh/known_hosts").write_text(f"{server.host} {server.known_hosts.read_text().split(' ', 1)[1]}")
    assert "ssh-keyscan" in refused(store)  # that is the one at port 22
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before  # each attempt has closed its connection
    (home / ".ssh/known_hosts").write_bytes(server.known_hosts.read_bytes())
    store.replace("a", b"")


@pytest.mark.parametrize("policy", [None, "reject", "warning", "auto_add"])
def test_a_host_with_another_key_than_the_known_one_is_refused(sftp_server, tmp_path, home, policy):
    from paramiko import ECDSAKey

    server, other = sftp_server, ECDSAKey.generate()
    name = f"[{server.host}]:{server.port}"
    for kind, key in ((other.get_name(), other.get_base64()), ("ssh-ed25519", "AAAA")):
        (home / ".ssh/known_hosts").write_text(f"{name} {kind} {key}\n")
        said = refused(strictly(server, tmp_path, host_key_policy=policy))
        assert f"the host key of {name} is not the one in ~/.ssh/known_hosts. Somebody may be in between" in said
        assert said.endswith(f"ssh-keygen -R '{name}'.")


def test_a_host_may_be_known_to_all_users(openssh_server, tmp_path, home, monkeypatch):
    monkeypatch.setattr(login, "_KNOWN_HOSTS", ("~/.ssh/known_hosts", str(tmp_path / "all")))
    (tmp_path / "all").write_bytes(openssh_server.known_hosts.read_bytes())
    strictly(openssh_server, tmp_path).replace("a", b"")
    (tmp_path / "all").write_text(f"{openssh_server.known_hosts.read_text().split()[0]} ssh-ed25519 AAAA\n")
    assert refused(strictly(openssh_server, tmp_path)).endswith(f" -f {tmp_path / 'all'}.")


def test_the_user_may_say_which_hosts_to_believe(openssh_server, tmp_path, home):
    import paramiko

    strictly(openssh_server, tmp_path, host_key_policy="auto_add").replace("a", b"")
    with pytest.warns(PersistableWarning, match="is not known"):
        strictly(openssh_server, tmp_path, host_key_policy="warning").replace("a", b"")
    if not hasattr(sftp_of_fsspec, "HOST_KEY_POLICIES"):
        pytest.skip("this fsspec takes no policy")
    strictly(openssh_server, tmp_path, host_key_policy=paramiko.AutoAddPolicy).replace("a", b"")
    store = strictly(openssh_server, tmp_path, host_key_policy=paramiko.RejectPolicy())
    assert "not found in known_hosts" in refused(store)
    (home / ".ssh/known_hosts").write_bytes(openssh_server.known_hosts.read_bytes())
    assert "not found in known_hosts" in refused(store)  # it is asked, and nobody else


def test_a_server_is_asked_for_a_key_of_a_kind_that_is_known():
    from paramiko import Transport

    one, other = socket.socketpair()
    with one, other:
        transport = Transport(one)
        every = transport.get_security_options().key_types
        for kinds, first in (
            ({"ssh-rsa"}, "rsa-sha2-512"),
            ({"ecdsa-sha2-nistp256", "unheard-of"}, "ecdsa-sha2-nistp256"),
        ):
            login._prefer(transport, kinds)
            assert transport.get_security_options().key_types[0] == first
            assert set(transport.get_security_options().key_types) == set(every)


def test_a_transport_of_the_users_own_is_watched_too(openssh_server, tmp_path, home):
    from paramiko import Transport

    class Own(Transport):
        pass

    assert "is not known" in refused(strictly(openssh_server, tmp_path, transport_factory=Own))
    (home / ".ssh/known_hosts").write_bytes(openssh_server.known_hosts.read_bytes())
    store = strictly(openssh_server, tmp_path, transport_factory=Own)
    store.replace("a", b"")
    assert isinstance(store.client.connections.idle[0].client.get_transport(), Own)


def test_a_login_without_anything_to_log_in_with_is_said(sftp_server, tmp_path):
    store = strictly(sftp_server, tmp_path, host_key_policy="auto_add", key_filename=None, password=None)
    assert "neither a key nor a password to try. Give one: storage_options={'key_filename': …}" in refused(store)


def test_a_key_file_that_is_missing_is_not_taken_for_a_missing_file(sftp_server, tmp_path):
    missing = str(tmp_path / "a key")
    store = strictly(sftp_server, tmp_path, host_key_policy="auto_add", key_filename=missing, password="hunter22")
    said = refused(store)
    assert f"cannot log in: the key file {missing} is not there. Give its whole path" in said
    assert "hunter22" not in said
    with pytest.raises(StoreError):
        NumbersP(store, NumbersParams()).load()
    with pytest.raises(StoreError):
        NumbersP(store, NumbersParams()).exists()


def test_a_key_file_that_is_none_is_said(sftp_server, tmp_path):
    (tmp_path / "key").write_text("no key")
    store = strictly(
        sftp_server, tmp_path, host_key_policy="auto_add", key_filename=str(tmp_path / "key"), password=None
    )
    assert "Check the storage_options 'key_filename'" in refused(store)
    store = strictly(sftp_server, tmp_path, host_key_policy="auto_add", key_filename=str(tmp_path))
    assert f"the key file {tmp_path} cannot be read" in refused(store)


def test_a_server_that_does_not_speak_ssh_is_said_once(run_python):
    code = """if True:
        import io, sys
        from persistable import StoreError
        from persistable.stores.fsspec import FsspecStore
        sys.stderr = io.StringIO()
        try:
            FsspecStore(f"sftp://u:p@127.0.0.1:{sys.argv[1]}/x").read("a")
        except StoreError as error:
            print(error.transient, repr(sys.stderr.getvalue()))
    """

    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        pool.submit(answer)
        assert run_python(code, str(listening.getsockname()[1])) == "True ''\n"


# ---------------------------------------------------------------------------------------------------------------------
# Persistables


@dataclass
class NumbersParams(PersistableParams):
    n: int = 3


class NumbersP(Persistable[list[int], NumbersParams]):
    def _generate_payload(self) -> list[int]:
        return list(range(self.params.n))


@pytest.mark.parametrize("kind", ["memory", "s3", "sftp"])
def test_a_payload_is_made_once_and_made_again_if_it_is_damaged(kind, request, tmp_path):
    def store() -> FsspecStore:
        if kind == "memory":
            return FsspecStore(f"memory://{name_of(tmp_path)}")
        if kind == "s3":
            return on_s3(request.getfixturevalue("s3_server"), tmp_path)
        return on_sftp(request.getfixturevalue("openssh_server"), tmp_path)

    assert NumbersP(store(), NumbersParams()).load_generate() == [0, 1, 2]
    assert NumbersP(store(), NumbersParams()).load() == [0, 1, 2]
    there = store()
    (payload,) = (entry for entry in there.list("") if "/payload." in entry.path)
    there.replace(payload.path, b"\0" * payload.size)
    with pytest.warns(CorruptArtifactWarning):
        assert NumbersP(store(), NumbersParams()).load_generate() == [0, 1, 2]
    assert NumbersP(store(), NumbersParams()).load() == [0, 1, 2]
    assert not [entry.path for entry in there.list("") if "lease" in entry.path or entry.path.endswith(".tmp")]


@pytest.mark.parametrize("kind", ["s3", "sftp", "file"])
def test_a_place_whose_create_is_not_exclusive_is_found_out(kind, request, tmp_path, monkeypatch):
    def store(**options: Any) -> FsspecStore:
        if kind == "s3":
            server = request.getfixturevalue("rclone_s3_server")
            url = f"s3://{server.bucket}/{name_of(tmp_path)}"
            return FsspecStore(url, storage_options=server.fsspec_options(), **options)
        if kind == "sftp":
            return on_sftp(request.getfixturevalue("rclone_sftp_server"), tmp_path, **options)
        return FsspecStore(f"file://{tmp_path}/a folder", **options)

    with pytest.raises(StoreError, match="second create"):
        NumbersP(store(), NumbersParams()).load_generate()
    with pytest.warns(PersistableWarning, match="second create"):
        assert NumbersP(store(single_flight=False), NumbersParams()).load_generate() == [0, 1, 2]
    assert NumbersP(store(), NumbersParams()).load() == [0, 1, 2]
    there = store()
    for entry in there.list(""):
        there.delete(entry.path)
    assert list(there.list("")) == []
    assert there.client.problem(FileNotFoundError()).errno == errno.ENOENT
    with pytest.raises(FileNotFoundError):
        there.fetch("a/payload")


def test_an_unknown_file_system_is_not_believed_to_be_empty_when_it_fails(tmp_path, monkeypatch):
    store = FsspecStore(f"file://{tmp_path}/a folder")
    store.replace("a/b", b"")
    assert [entry.path for entry in store.list("")] == ["a/b"]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(LocalFileSystem, "ls", fail)
    assert failure_of(lambda: list(store.list(""))).errno == errno.EACCES


# ---------------------------------------------------------------------------------------------------------------------
# Loops, forks, and the end

_FORK = """if True:
    import os, pickle, sys
    store = pickle.loads(bytes.fromhex(sys.argv[1]))
    store.replace("a", b"parent")
    pids = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            store.replace(f"child {number}", b"child")
            assert store.read("a") == b"parent"
            sys.exit(0) if number else os._exit(0)
        pids.append(pid)
        store.replace(f"parent {number}", b"parent")
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    assert store.read("a") == b"parent"
    print(len(list(store.list(""))))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_a_forked_process_and_its_parent_do_not_disturb_each_other(kind, request, tmp_path, run_python):
    if kind == "s3":
        store = on_s3(request.getfixturevalue("s3_server"), tmp_path)
    else:
        store = on_sftp(request.getfixturevalue("openssh_server"), tmp_path)
    assert run_python(_FORK, pickle.dumps(store).hex()).strip() == "7"


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_a_process_ends_at_once_and_without_a_word(kind, request, tmp_path, run_python):
    if kind == "s3":
        store = on_s3(request.getfixturevalue("s3_server"), tmp_path)
    else:
        store = on_sftp(request.getfixturevalue("openssh_server"), tmp_path)
    code = """if True:
        import pickle, sys, time, atexit
        store = pickle.loads(bytes.fromhex(sys.argv[1]))
        store.replace("a", b"content")
        assert store.read("a") == b"content"
        print(time.time())
    """
    began = float(run_python(code, pickle.dumps(store).hex()))
    assert time.time() - began < 5


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_it_works_inside_a_running_loop_as_in_a_notebook(kind, request, tmp_path):
    if kind == "s3":
        store = on_s3(request.getfixturevalue("s3_server"), tmp_path)
    else:
        store = on_sftp(request.getfixturevalue("openssh_server"), tmp_path)

    async def work() -> bytes:
        assert store.create("a", b"content")
        return store.read("a")

    assert asyncio.run(work()) == b"content"
    assert store.read("a") == b"content"


def test_stores_that_are_collected_close_their_connections(openssh_server, tmp_path):
    before = threading.active_count()
    for _ in range(3):
        on_sftp(openssh_server, tmp_path).replace("a", b"")
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_a_bucket_cannot_make_a_payload_write_elsewhere(moto_server, tmp_path):
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("s3", **moto_server.boto_options())
    prefix, outside = f"p{hash(tmp_path) % 10**8}", tmp_path / "outside"
    outside.mkdir()
    names = ("whole", "below/whole", f"/{outside}/absolute", "../" * 20 + f"{outside}/relative", "./dot")
    for name in names:
        client.put_object(Bucket=moto_server.bucket, Key=f"{prefix}/a/payload/{name}", Body=b"x")
    store = FsspecStore(f"s3://{moto_server.bucket}/{prefix}", storage_options=moto_server.fsspec_options())
    fetched = Path(store.fetch("a/payload"))
    assert sorted(path.relative_to(fetched).as_posix() for path in fetched.rglob("*") if path.is_file()) == [
        "below/whole",
        "whole",
    ]
    assert not list(outside.iterdir())
