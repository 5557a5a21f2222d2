"""The servers and the proxy that the tests of stores stand on do what those tests take for granted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for servers and proxy

import servers
from proxy import FaultyProxy, cut_request, cut_response, delay, hang, meanwhile, refuse, swallow_response
from servers import S3Server, SftpServer, TrialServer, openssh_server, rclone_s3_server, rclone_sftp_server, s3_server

boto3 = pytest.importorskip("boto3")
obstore = pytest.importorskip("obstore")
paramiko = pytest.importorskip("paramiko")
s3fs = pytest.importorskip("s3fs")

Config = pytest.importorskip("botocore.config").Config
S3Store = pytest.importorskip("obstore.store").S3Store
AlreadyExistsError = obstore.exceptions.AlreadyExistsError
BaseError = obstore.exceptions.BaseError
PermissionDeniedError = obstore.exceptions.PermissionDeniedError

# The fixtures are of this module, when no conftest.py has them.
__all__ = ["openssh_server", "rclone_s3_server", "rclone_sftp_server", "s3_server"]

S3 = ["seaweed", "moto", "rclone_s3"]
SFTP = ["rclone_sftp", "openssh_sftp"]
TRIALS = ["postgresql", "redis", "grpc_proxy"]


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.url) as proxy:
        yield proxy


@pytest.fixture
def direct(s3_server: S3Server) -> S3Store:
    """The bucket, past the proxy."""
    return _store(s3_server)


@pytest.fixture
def store(s3_server: S3Server, proxy: FaultyProxy) -> S3Store:
    """The bucket, through the proxy."""
    return _store(s3_server, proxy)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of an object that no other test has."""
    return f"{request.node.name}/x"


def _store(server: S3Server, proxy: FaultyProxy | None = None, **more: Any) -> S3Store:
    options = server.options(retry_config={"max_retries": 0}, **more)
    return S3Store(server.bucket, **options | ({"endpoint": proxy.url} if proxy else {}))


def _boto(server: S3Server, proxy: FaultyProxy) -> Any:
    config = Config(signature_version="s3v4", retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client("s3", **server.boto_options(endpoint_url=proxy.url, config=config))


def _names(store: S3Store) -> list[str]:
    return [meta["path"] for batch in store.list() for meta in batch]


# --- The servers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*S3, *SFTP, *TRIALS])
def test_a_server_answers_on_its_own_loopback_ports_and_is_gone_afterwards(kind: str, tmp_path: Path):
    answer = _answer_of_s3 if kind in S3 else _answer_of_sftp if kind in SFTP else _answer_with_trials
    with getattr(servers, kind)(tmp_path / "server") as server:
        answer(server)
        if sys.platform == "linux":
            assert _listening(server.pid) == {("127.0.0.1", port) for port in server.ports}
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    for port in server.ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
    assert not [*Path("/tmp").glob(f"seaweedfs-*-{server.ports[-1]}.sock")]


def _answer_of_s3(server: S3Server) -> None:
    store = _store(server)
    store.put("folder/a b+ü", b"there")
    assert bytes(store.get("folder/a b+ü").bytes()) == b"there"
    assert _names(store) == ["folder/a b+ü"]

    fs = s3fs.S3FileSystem(**server.fsspec_options(), skip_instance_cache=True)
    assert fs.cat(f"{server.bucket}/folder/a b+ü") == b"there"
    fs.pipe(f"{server.bucket}/y", b"from s3fs")
    assert bytes(store.get("y").bytes()) == b"from s3fs"


def _answer_of_sftp(server: SftpServer) -> None:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(server.known_hosts))  # anything but this host key is rejected
        client.connect(**server.options())
        with client.open_sftp() as sftp:
            with sftp.open(f"{server.path.rstrip('/')}/x", "w") as file:
                file.write(b"there")
            assert sftp.listdir(server.path) == ["x"]
    assert (server.folder / "x").read_bytes() == b"there"


def _answer_with_trials(server: TrialServer) -> None:
    optuna = pytest.importorskip("optuna")
    if server.url.startswith("postgresql"):
        storage = optuna.storages.RDBStorage(server.new_database())
    elif server.url.startswith("redis"):
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            backend = optuna.storages.journal.JournalRedisBackend(server.url)
        storage = optuna.storages.JournalStorage(backend)
    else:
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            storage = optuna.storages.GrpcStorageProxy(host=servers.HOST, port=server.port)
    study = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "answer")
    storage.create_new_trial(study)
    assert [trial.number for trial in storage.get_all_trials(study)] == [0]
    if server.url.startswith("postgresql"):
        storage.engine.dispose()
    elif server.url.startswith("redis"):
        backend._redis.close()
    else:
        storage.close()


def _listening(pid: int) -> set[tuple[str, int]]:
    """Where this process listens, as the kernel has it."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if (target := os.readlink(entry)).startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    found = set()
    for table, family in [("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)]:
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in inodes:
                packed, port = local.split(":")
                words = [bytes.fromhex(packed[i : i + 8])[::-1] for i in range(0, len(packed), 8)]
                address = socket.inet_ntop(family, b"".join(words)).removeprefix("::ffff:")  # gRPC's way to say IPv4
                found.add((address, int(port, 16)))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets children die with their parent")
@pytest.mark.parametrize("kind", ["rclone_s3", "postgresql", "grpc_proxy"])
def test_a_server_dies_with_whoever_started_it(kind: str, tmp_path: Path):
    code = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import servers
with getattr(servers, sys.argv[3])(Path(sys.argv[2]) / "server") as server:
    print(server.pid, server.ports[0], flush=True)
    time.sleep(60)
"""
    with getattr(servers, kind)(tmp_path / "try"):  # which skips the test where it cannot be started
        pass
    command = [sys.executable, "-c", code, str(Path(servers.__file__).parent), str(tmp_path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, port = map(int, parent.stdout.readline().split())
        home = Path(os.readlink(f"/proc/{pid}/cwd")) if sys.platform == "linux" else tmp_path
        parent.send_signal(signal.SIGKILL)
    _wait_for(lambda: _refused(port))
    if kind == "postgresql":  # its data lie elsewhere
        shutil.rmtree(home.parent, ignore_errors=True)


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it is dying
        return False
    return False


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_dies_at_the_start_says_why(tmp_path: Path):
    with (
        servers._started([sys.executable, "-c", "import sys; sys.exit('no such thing')"], tmp_path) as (process, log),
        pytest.raises(RuntimeError, match=r"ended with 1. Its log ends:\nno such thing"),
    ):
        servers._wait_until(lambda: 1 / 0, process, log)


def test_a_port_is_given_once():
    with servers.free_ports(9) as some, servers.free_ports(9) as others:
        assert len({*some, *others}) == 18


def test_seaweed_puts_once_and_tells_a_reader_from_an_admin(s3_server: S3Server, direct: S3Store, name: str):
    direct.put(name, b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        direct.put(name, b"second", mode="create")

    reader = _store(s3_server.as_reader())
    assert bytes(reader.get(name).bytes()) == b"first"
    with pytest.raises(PermissionDeniedError):
        reader.put(name, b"third")
    with pytest.raises(BaseError, match="code: AccessDenied"):  # one of DeleteObjects, which has no error of its own
        reader.delete(name)
    with pytest.raises(BaseError, match="SignatureDoesNotMatch"):
        _store(s3_server, secret_access_key="wrong").put(name, b"third")
    assert bytes(direct.get(name).bytes()) == b"first"


def test_rclone_puts_again_whatever_it_is_told(rclone_s3_server: S3Server, name: str):
    store = _store(rclone_s3_server)
    store.put(name, b"first", mode="create")
    store.put(name, b"second", mode="create")
    assert bytes(store.get(name).bytes()) == b"second"


@pytest.mark.parametrize("fixture", ["rclone_sftp_server", "openssh_server"])
def test_fsspec_speaks_to_the_sftp_servers(fixture: str, request: pytest.FixtureRequest):
    server: SftpServer = request.getfixturevalue(fixture)
    fs = pytest.importorskip("fsspec").filesystem("sftp", **server.fsspec_options(), skip_instance_cache=True)
    path = f"{server.path.rstrip('/')}/by-fsspec"
    try:
        fs.pipe_file(path, b"there")
        assert fs.cat_file(path) == b"there"
    finally:
        fs.client.close()
    assert (server.folder / "by-fsspec").read_bytes() == b"there"


# --- The proxy -------------------------------------------------------------------------------------------------------


def test_the_proxy_passes_all_clients_on(s3_server: S3Server, proxy: FaultyProxy, store: S3Store, name: str):
    payload = os.urandom(200_000)
    store.put(name, payload)
    assert bytes(store.get(name).bytes()) == payload
    assert bytes(store.get_range(name, start=10, end=20)) == payload[10:20]
    assert store.head(name)["size"] == len(payload)
    assert name in _names(store)
    assert proxy.requests == [
        f"PUT /team/{name}",
        f"GET /team/{name}",
        f"GET /team/{name}",
        f"HEAD /team/{name}",
        "GET /team?list-type=2",
    ]
    assert len(payload) < proxy.bytes_up < len(payload) + 10_000
    assert len(payload) < proxy.bytes_down < len(payload) + 1_000_000

    boto = _boto(s3_server, proxy)
    with contextlib.closing(boto):
        boto.put_object(Bucket="team", Key=name, Body=payload[:1000])  # with 100-continue
        assert boto.get_object(Bucket="team", Key=name)["Body"].read() == payload[:1000]
        boto.delete_object(Bucket="team", Key=name)
    assert name not in _names(store)

    fs = s3fs.S3FileSystem(**s3_server.fsspec_options(endpoint_url=proxy.url), skip_instance_cache=True)
    fs.pipe(f"team/{name}", payload)
    assert fs.cat(f"team/{name}") == payload
    fs.rm(f"team/{name}")


def test_the_proxy_passes_on_an_upload_in_parts(proxy: FaultyProxy, store: S3Store, direct: S3Store, name: str):
    payload = os.urandom(12 << 20)
    store.put(name, payload, chunk_size=5 << 20, use_multipart=True)
    assert proxy.count("partNumber=") == 3
    assert bytes(direct.get(name).bytes()) == payload


def test_the_proxy_passes_on_chunks_of_a_length_unknown(s3_server: S3Server, proxy: FaultyProxy, name: str):
    import urllib.request

    boto = _boto(s3_server, proxy)
    with contextlib.closing(boto):
        url = boto.generate_presigned_url("put_object", Params={"Bucket": "team", "Key": name})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    pieces = [os.urandom(100_000), b"end"]
    with opener.open(urllib.request.Request(url, data=iter(pieces), method="PUT"), timeout=10) as answer:
        assert answer.status == 200
    assert bytes(_store(s3_server).get(name).bytes()) == b"".join(pieces)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (403, "AccessDenied"),
        (403, "ExpiredToken"),
        (404, "NoSuchBucket"),
        (400, "EntityTooLarge"),
    ],
)
def test_refuse(status: int, code: str, s3_server: S3Server, proxy: FaultyProxy, store: S3Store, name: str):
    rule = proxy.fault(f"PUT /team/{name.partition('[')[0]}", refuse(status, code), times=2)
    with pytest.raises((BaseError, FileNotFoundError), match=code):
        store.put(name, b"x" * 1_000_000)

    boto = _boto(s3_server, proxy)
    with contextlib.closing(boto), pytest.raises(boto.exceptions.ClientError) as raised:
        boto.put_object(Bucket="team", Key=name, Body=b"x" * 1_000_000)
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert rule.hits == 2
    assert name not in _names(store)

    store.put(name, b"now")  # and the rule is used up
    assert proxy.count("PUT ") == 3


def test_refuse_says_when_to_come_back(s3_server: S3Server, proxy: FaultyProxy, name: str):
    proxy.fault("HEAD", refuse(503, "SlowDown", retry_after=7))
    boto = _boto(s3_server, proxy)
    with contextlib.closing(boto), pytest.raises(boto.exceptions.ClientError) as raised:
        boto.head_object(Bucket="team", Key=name)
    assert raised.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"


def test_a_client_that_retries_gets_through(s3_server: S3Server, proxy: FaultyProxy, name: str):
    proxy.fault("PUT", refuse(503, "SlowDown"), times=2)
    retries = {"max_retries": 3, "backoff": {"init_backoff": timedelta(milliseconds=1)}}
    store = S3Store("team", **s3_server.options(endpoint=proxy.url, retry_config=retries))
    store.put(name, b"there")
    assert proxy.requests == [f"PUT /team/{name}"] * 3


@pytest.mark.parametrize("after_bytes", [0, 1, 500_000, 10_000_000])
def test_cut_request(after_bytes: int, s3_server: S3Server, proxy: FaultyProxy, store: S3Store, direct: S3Store):
    name = f"test_cut_request/{after_bytes}"
    payload = os.urandom(1_000_000)
    rule = proxy.fault("PUT", cut_request(after_bytes), times=2)
    with pytest.raises(BaseError):
        store.put(name, payload)
    assert min(after_bytes, 900_000) <= proxy.bytes_up < 1_001_000

    boto = _boto(s3_server, proxy)
    with contextlib.closing(boto), pytest.raises(Exception, match=r"(?i)connection"):
        boto.put_object(Bucket="team", Key=name, Body=payload)
    assert rule.hits == 2
    time.sleep(0.05)  # it has what it will ever get
    assert name not in _names(direct)


@pytest.mark.parametrize("method", ["get", "delete"])
def test_cut_request_without_a_body(method: str, proxy: FaultyProxy, store: S3Store, direct: S3Store):
    name = f"test_cut_request_without_a_body/{method}"
    direct.put(name, b"there")
    proxy.fault(lambda request: request.method in ("GET", "DELETE", "POST"), cut_request(0))
    with pytest.raises(BaseError):
        getattr(store, method)(name)
    time.sleep(0.05)
    assert bytes(direct.get(name).bytes()) == b"there"


@pytest.mark.parametrize("after_bytes", [0, 1, 500_000, 10_000_000])
def test_cut_response(after_bytes: int, s3_server: S3Server, proxy: FaultyProxy, store: S3Store, direct: S3Store):
    name = f"test_cut_response/{after_bytes}"
    payload = os.urandom(1_000_000)
    direct.put(name, payload)

    proxy.fault("GET", cut_response(after_bytes), times=3)
    with pytest.raises(BaseError):
        store.get(name).bytes()
    assert min(after_bytes, 999_999) <= proxy.bytes_down < 1_001_000

    boto = _boto(s3_server, proxy)
    with contextlib.closing(boto), pytest.raises(Exception, match=r"(?i)connection"):
        boto.get_object(Bucket="team", Key=name)["Body"].read()

    options = s3_server.fsspec_options(endpoint_url=proxy.url, config_kwargs={"retries": {"total_max_attempts": 1}})
    fs = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    assert fs.cat(f"team/{name}") == payload  # it asks again, whatever it is told
    assert proxy.count(f"GET /team/{name}") == 4


def test_cut_response_without_a_body(proxy: FaultyProxy, store: S3Store, direct: S3Store, name: str):
    proxy.fault("PUT", cut_response(0))
    with pytest.raises(BaseError):
        store.put(name, b"there")
    assert bytes(direct.get(name).bytes()) == b"there"


def test_swallow_response(proxy: FaultyProxy, store: S3Store, direct: S3Store, name: str):
    rule = proxy.fault("PUT", swallow_response())
    with pytest.raises(BaseError):
        store.put(name, b"there", mode="create")
    assert rule.hits == 1
    assert bytes(direct.get(name).bytes()) == b"there"
    with pytest.raises(AlreadyExistsError):
        store.put(name, b"again", mode="create")


def test_delay(proxy: FaultyProxy, store: S3Store, name: str):
    proxy.fault("PUT", delay(0.2))
    start = time.monotonic()
    store.put(name, b"there")
    assert time.monotonic() - start >= 0.2


def test_hang(s3_server: S3Server, proxy: FaultyProxy, name: str):
    proxy.fault("PUT", hang())
    store = _store(s3_server, proxy, client_options={"allow_http": True, "timeout": "200ms"})
    with pytest.raises(BaseError):
        store.put(name, b"there")
    assert name not in _names(store)


def test_a_hanging_client_is_let_go_when_the_proxy_is_closed(s3_server: S3Server, name: str):
    failed: list[BaseException] = []

    def put() -> None:
        with pytest.raises(BaseError) as raised:
            _store(s3_server, proxy).put(name, b"there")
        failed.append(raised.value)

    with FaultyProxy(s3_server.url) as proxy:
        proxy.fault("PUT", hang())
        thread = threading.Thread(target=put)
        thread.start()
        _wait_for(lambda: len(proxy.requests) == 1)
        assert not failed
    thread.join(10)
    assert failed


def test_meanwhile(proxy: FaultyProxy, store: S3Store, direct: S3Store, name: str):
    proxy.fault("PUT", meanwhile(lambda: direct.put(name, b"another's")))
    with pytest.raises(AlreadyExistsError):
        store.put(name, b"ours", mode="create")
    assert bytes(direct.get(name).bytes()) == b"another's"


def test_down_and_up(proxy: FaultyProxy, store: S3Store, name: str):
    url = proxy.url
    store.put(name, b"there")
    for _ in range(2):
        proxy.down()
        with pytest.raises(BaseError):
            store.get(name)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
        proxy.up()
        assert bytes(store.get(name).bytes()) == b"there"
    assert proxy.url == url
    assert len(proxy.requests) == 3


def test_down_ends_what_is_under_way(proxy: FaultyProxy, store: S3Store, direct: S3Store, name: str):
    proxy.fault("PUT", delay(60))
    failed: list[BaseException] = []

    def put() -> None:
        with pytest.raises(BaseError) as raised:
            store.put(name, b"there")
        failed.append(raised.value)

    thread = threading.Thread(target=put)
    thread.start()
    _wait_for(lambda: len(proxy.requests) == 1)
    proxy.down()
    thread.join(10)
    assert failed
    assert name not in _names(direct)


def test_rules_are_applied_in_turn(proxy: FaultyProxy, store: S3Store, name: str):
    always = proxy.fault("PUT", refuse(500, "InternalError"), times=None)
    never = proxy.fault("PUT", refuse(503, "SlowDown"))
    for _ in range(3):
        with pytest.raises(BaseError, match="InternalError"):
            store.put(name, b"x")
    assert (always.hits, never.hits) == (3, 0)
    proxy.clear()
    store.put(name, b"x")
    assert proxy.requests == [f"PUT /team/{name}"]


def test_a_fault_of_the_proxy_itself_is_not_kept_quiet(s3_server: S3Server, name: str):
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(FaultyProxy(s3_server.url))
        proxy.fault("PUT", meanwhile(lambda: 1 / 0))
        with pytest.raises(BaseError):
            _store(s3_server, proxy).put(name, b"x")
        rest = stack.pop_all()
    with pytest.raises(ExceptionGroup, match="The proxy failed"):
        rest.close()
