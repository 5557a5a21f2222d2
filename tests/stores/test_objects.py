"""ObjectStore: what a bucket does that other places do not, against real servers. Faults have a file of their own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from proxy import Action, FaultyProxy, cut_response, refuse
from servers import READER, S3Server

from persistable import BytesFileIO, Persistable
from persistable._progress import transfer
from persistable.exceptions import MissingDependencyError, StoreError
from persistable.stores import FsspecStore, ObjectStore, Store, objects, store_for
from persistable.testing.stores import StoreConformance

MB = 2**20
TOKEN = "session-token-that-nobody-may-see"


class DataP(Persistable[bytes, None]):
    """As many bytes as its name says, and how often they were made."""

    made = 0
    size = 1000

    def __init__(self, place: Any, **options: Any) -> None:
        super().__init__(place, None, payload_io=BytesFileIO(), **options)

    def _generate_payload(self) -> bytes:
        self.made += 1
        return b"\x07" * self.size


class _InABucket(StoreConformance):
    server: S3Server

    def make_store(self, place: Path) -> Store:
        return ObjectStore(_url(self.server, place), storage_options=self.server.options())


class TestOnSeaweed(_InABucket):
    @pytest.fixture(autouse=True)
    def _server(self, s3_server: S3Server) -> None:
        self.server = s3_server


class TestOnMoto(_InABucket):
    test_it_behaves_as_a_dict_does = None  # it takes ten seconds, for what is proved on the other

    @pytest.fixture(autouse=True)
    def _server(self, moto_server: S3Server) -> None:
        self.server = moto_server


@pytest.fixture
def url(s3_server: S3Server, tmp_path: Path) -> str:
    return _url(s3_server, tmp_path)


@pytest.fixture
def proxy(s3_server: S3Server) -> Any:
    with FaultyProxy(s3_server.url) as proxy:
        yield proxy


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that knows nothing of AWS, nor of a cloud."""
    for name in tuple(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.fspath(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.fspath(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def _url(server: S3Server, place: Path) -> str:
    return f"s3://{server.bucket}/{hashlib.sha256(os.fspath(place).encode()).hexdigest()[:16]}"


# --- What it costs ---------------------------------------------------------------------------------------------------


def test_a_hit_costs_two_requests_and_exists_one(s3_server: S3Server, proxy: FaultyProxy, url: str) -> None:
    DataP(url, storage_options=s3_server.options()).load_generate()
    data = DataP(url, storage_options=s3_server.options(endpoint=proxy.url))
    assert proxy.requests == []  # nothing is asked before there is a question
    assert data.load_generate() == b"\x07" * 1000
    assert len(proxy.requests) == 2, proxy.requests
    assert data.made == 0
    proxy.clear()
    assert data.exists()
    assert len(proxy.requests) == 1, proxy.requests
    proxy.clear()
    assert data.payload
    assert proxy.requests == []


def test_what_a_miss_costs_is_known(s3_server: S3Server, proxy: FaultyProxy, url: str) -> None:
    store = ObjectStore(url, storage_options=s3_server.options(endpoint=proxy.url))
    DataP(store, payload_name="first").load_generate()
    proxy.clear()
    DataP(store, payload_name="second").load_generate()  # the store is probed once
    assert len(proxy.requests) <= 18, proxy.requests  # one of them lists what there is, to say why it was made
    writes = [request for request in proxy.requests if request.startswith("PUT")]
    assert len(writes) == 5, writes  # lease, payload, params, log, manifest


def test_a_large_payload_is_moved_in_parts(s3_server: S3Server, proxy: FaultyProxy, url: str, tmp_path: Path) -> None:
    store = ObjectStore(url, storage_options=s3_server.options(endpoint=proxy.url))
    data = os.urandom(40 * MB)
    local = tmp_path / "large"
    local.write_bytes(data)
    store.put(os.fspath(local), "a/payload")
    assert proxy.count("partNumber=") == 3
    assert local.exists()
    proxy.clear()
    found = store.fetch("a/payload", len(data))
    assert Path(found).read_bytes() == data
    assert len(proxy.requests) == 3, proxy.requests
    store.release(found)
    assert not os.path.lexists(found)


_MOVE = """
import os, pickle, sys
store, path = pickle.loads(sys.stdin.buffer.read())
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
store.create("warm", b"up")
small = path + ".small"
open(small, "wb").write(b"x" * (9 << 20))
store.put(small, "warm2")
store.release(store.fetch("warm2"))
before = peak()
store.put(path, "a/payload")
up = peak() - before
found = store.fetch("a/payload")
down = peak() - before
assert os.path.getsize(found) == os.path.getsize(path)
print(up, down)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_a_payload_of_any_size_takes_the_same_memory(s3_server: S3Server, url: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(400 * MB)
    store = ObjectStore(url, storage_options=s3_server.options())
    done = _python(_MOVE, pickle.dumps((store, os.fspath(path))))
    up, down = map(float, done.split())
    assert up < 200, up  # eight parts of 16 MiB, and one or two that are read
    assert down < 200, down


class SelfishP(Persistable[Any, None]):
    """Its payload holds on to what made it, as a bound method does."""

    def _generate_payload(self) -> Any:
        return self


def test_a_payload_that_holds_its_persistable_carries_no_credentials(s3_server: S3Server, url: str) -> None:
    for kind, options in ((ObjectStore, s3_server.options()), (FsspecStore, s3_server.fsspec_options())):
        store = kind(f"{url}/{kind.__name__}", storage_options=options)
        selfish = SelfishP(store, None)
        selfish.generate()
        (payload,) = [entry.path for entry in store.list("") if "/payload." in entry.path]
        content = store.read(payload)
        assert s3_server.secret.encode() not in content
        assert s3_server.key.encode() not in content
        assert s3_server.url.encode() in content  # where it is, is no secret
        assert s3_server.secret.encode() in pickle.dumps(selfish)  # another process of ours may well log in


def test_a_writer_is_seen_at_the_next_look_of_another(s3_server: S3Server, url: str, tmp_path: Path) -> None:
    one, other = (ObjectStore(url, storage_options=s3_server.options()) for _ in range(2))
    for number in range(5):
        one.replace("same", b"%d" % number)
        assert other.read("same") == b"%d" % number
        assert other.create(f"a/{number}", b"")
        assert len(list(one.list("a"))) == number + 1
    one.replace("b/payload", b"first")
    assert Path(other.fetch("b/payload")).read_bytes() == b"first"
    one.delete("b/payload")
    with pytest.raises(FileNotFoundError):
        other.fetch("b/payload", 5)


def test_what_has_not_changed_is_not_sent_again(s3_server: S3Server, proxy: FaultyProxy, url: str) -> None:
    store = ObjectStore(url, storage_options=s3_server.options(endpoint=proxy.url))
    store.replace("a", b"x" * 500_000)
    found = store.read_if_changed("a", None)
    assert found is not None
    while proxy.bytes_down < 500_000:  # it counts after it has sent
        time.sleep(0.01)
    before = proxy.bytes_down
    assert store.read_if_changed("a", found[1]) is None
    assert proxy.bytes_down - before < 10_000
    store.replace("a", b"new")
    changed = store.read_if_changed("a", found[1])
    assert changed is not None
    assert changed[0] == b"new"


# --- Progress --------------------------------------------------------------------------------------------------------

_SHOW = """
import pickle, sys
store, path = pickle.loads(bytes.fromhex(sys.argv[1]))
store.put(path, "a/payload")
store.release(store.fetch("a/payload"))
"""


@pytest.mark.parametrize(
    ("size", "terminal", "disabled", "shown"),
    [
        (65, True, "", True),
        (65, True, "1", False),
        (65, False, "", False),
        (63, True, "", False),
    ],
)
def test_progress_is_shown_to_who_is_looking(
    s3_server: S3Server, url: str, tmp_path: Path, size: int, terminal: bool, disabled: str, shown: bool
) -> None:
    pty = pytest.importorskip("pty")
    path = tmp_path / "payload"
    with path.open("wb") as file:
        file.truncate(size * MB)
    store = ObjectStore(url, storage_options=s3_server.options())
    given = pickle.dumps((store, os.fspath(path))).hex()
    environment = {**os.environ, "PYTHONPATH": _path(), "TQDM_DISABLE": disabled}
    if not disabled:
        del environment["TQDM_DISABLE"]
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios = pytest.importorskip("termios")
        termios.tcsetwinsize(theirs, (24, 120))
    process = subprocess.Popen([sys.executable, "-c", _SHOW, given], stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end of a terminal is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait(60) == 0, said
    if shown:
        assert f" to {url}".encode() in said
        assert f" from {url}".encode() in said
        assert b"/65.0M" in said
    else:
        assert said == b""


def test_progress_is_shown_in_a_notebook(s3_server: S3Server, url: str, tmp_path: Path) -> None:
    """Where standard error is no terminal, and is read all the same."""
    for needed in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(needed)
    path = tmp_path / "payload"
    with path.open("wb") as file:
        file.truncate(65 * MB)
    given = pickle.dumps((ObjectStore(url, storage_options=s3_server.options()), os.fspath(path))).hex()
    code = f"import sys\nsys.path[:0] = {[str(Path(__file__).parents[2])]!r}\n" + _SHOW.replace(
        "sys.argv[1]", repr(given)
    )
    kernels = tmp_path / "kernels" / "kernels" / "here"
    kernels.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernels / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "here", "language": "python"}))
    script = (
        "import sys, nbformat, nbclient\n"
        "book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(sys.stdin.read())])\n"
        "nbclient.NotebookClient(book, kernel_name='here', timeout=60).execute()\n"
        "print(book.cells[0].outputs)\n"
    )
    said = _python(script, code.encode(), JUPYTER_PATH=os.fspath(tmp_path / "kernels"), IPYTHONDIR=os.fspath(tmp_path))
    assert f" to {url}" in said or "HBox" in said  # the latter where ipywidgets is installed


# --- How it is told where, and who we are ----------------------------------------------------------------------------


def _named(server: S3Server, kind: str) -> dict[str, Any]:
    key, secret, url, region = server.key, server.secret, server.url, server.region
    return {
        "s3fs": {"key": key, "secret": secret, "endpoint_url": url, "client_kwargs": {"region_name": region}},
        "s3fs through botocore": {"key": key, "secret": secret, "client_kwargs": {"endpoint_url": url}, "token": None},
        "obstore": {"access_key_id": key, "secret_access_key": secret, "endpoint": url, "region": region},
        "obstore, at length": {
            "aws_access_key_id": key,
            "aws_secret_access_key": secret,
            "aws_endpoint": f"{url}/",
            "AWS_REGION": region,
        },
    }[kind]


@pytest.mark.parametrize("kind", ["s3fs", "s3fs through botocore", "obstore", "obstore, at length"])
def test_options_may_have_the_names_of_s3fs_or_of_obstore(s3_server: S3Server, url: str, kind: str, bare: Any) -> None:
    options = _named(s3_server, kind)
    store = store_for(url, storage_options=options)
    assert isinstance(store, ObjectStore)
    assert store.create("a", b"content")
    assert store.read("a") == b"content"
    assert store.endpoint is not None
    assert store.endpoint.rstrip("/") == s3_server.url
    assert options == _named(s3_server, kind)  # the user's own dict is left alone


def test_without_a_signature_a_private_bucket_says_no(s3_server: S3Server, url: str, bare: Any) -> None:
    store = ObjectStore(url, storage_options={"anon": True, "endpoint_url": s3_server.url})
    with pytest.raises(StoreError, match="403") as caught:
        store.read("a")
    assert not caught.value.transient


def test_without_a_signature_a_public_bucket_is_read(moto_server: S3Server, tmp_path: Path, bare: Any) -> None:
    boto3 = pytest.importorskip("boto3")
    url = _url(moto_server, tmp_path)
    name = f"{url.rpartition('/')[2]}/a"
    client = boto3.client("s3", **moto_server.boto_options())
    client.put_object(Bucket=moto_server.bucket, Key=name, Body=b"content", ACL="public-read")
    store = ObjectStore(url, storage_options={"anon": True, "endpoint_url": moto_server.url})
    assert store.read("a") == b"content"


@pytest.mark.parametrize(
    "options",
    [
        {"no_such_option": "s3cr3t"},
        {"client_options": {"no_such_option": "s3cr3t"}},
        {"retry_config": {"no_such_option": "s3cr3t"}},
        {"client_options": {"timeout": "s3cr3t"}},
        {"skip_signature": "s3cr3t"},
        {"client_kwargs": {"no_such_option": "s3cr3t"}},
    ],
)
def test_an_option_that_is_wrong_is_refused_and_not_repeated(
    s3_server: S3Server, url: str, options: dict[str, Any]
) -> None:
    with pytest.raises((StoreError, TypeError)) as caught:
        ObjectStore(url, storage_options=s3_server.options(**options)).read("a")
    assert not any("s3cr3t" in said for said in (str(caught.value), *_chain(caught.value)))
    assert "no_such_option" in str(caught.value) or "parse" in str(caught.value)


@pytest.mark.parametrize("endpoint", ["localhost:9000", "localhost", "ftp://localhost", "http://", "//localhost"])
def test_an_endpoint_that_is_no_url_is_refused(s3_server: S3Server, url: str, endpoint: str) -> None:
    """obstore panics, which is no Exception."""
    with pytest.raises(StoreError, match="endpoint"):
        ObjectStore(url, storage_options=s3_server.options(endpoint=endpoint)).read("a")


def test_an_endpoint_holds_no_credentials(s3_server: S3Server, url: str) -> None:
    with pytest.raises(StoreError, match="holds credentials") as caught:
        ObjectStore(url, storage_options=s3_server.options(endpoint="http://user:s3cr3t@localhost:1")).read("a")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_environment_says_who_and_where(s3_server: S3Server, url: str, bare: Any, endpoint: str) -> None:
    bare.setenv("AWS_ACCESS_KEY_ID", s3_server.key)
    bare.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    bare.setenv("AWS_REGION", s3_server.region)
    bare.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    bare.setenv(endpoint, s3_server.url)
    store = ObjectStore(url)
    assert store.create("a", b"content")
    assert store.endpoint == s3_server.url


def test_what_is_corrected_in_the_environment_counts_at_the_next_try(s3_server: S3Server, url: str, bare: Any) -> None:
    bare.setenv("AWS_ENDPOINT_URL", s3_server.url)
    store = ObjectStore(url)
    for name, value in (("AWS_ACCESS_KEY_ID", s3_server.key), ("AWS_SECRET_ACCESS_KEY", s3_server.secret)):
        with pytest.raises(StoreError):
            store.create("a", b"content")
        bare.setenv(name, value)
    assert store.create("a", b"content")


def _write_profile(tmp_path: Path, server: S3Server, name: str = "team") -> None:
    (tmp_path / "credentials").write_text(
        f"[{name}]\naws_access_key_id = {server.key}\naws_secret_access_key = {server.secret}\n"
    )
    section = "default" if name == "default" else f"profile {name}"
    (tmp_path / "config").write_text(f"[{section}]\nregion = {server.region}\nendpoint_url = {server.url}\n")


@pytest.mark.parametrize("how", ["environment", "option", "default"])
def test_a_profile_says_who_and_where(s3_server: S3Server, url: str, bare: Any, tmp_path: Path, how: str) -> None:
    _write_profile(tmp_path, s3_server, "default" if how == "default" else "team")
    if how == "environment":
        bare.setenv("AWS_PROFILE", "team")
    store = store_for(url, storage_options={"profile": "team"} if how == "option" else None)
    assert isinstance(store, ObjectStore)
    assert store.create("a", b"content")
    assert store.read("a") == b"content"


def test_the_environment_counts_more_than_a_profile(s3_server: S3Server, url: str, bare: Any, tmp_path: Path) -> None:
    _write_profile(tmp_path, s3_server)
    bare.setenv("AWS_PROFILE", "team")
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n")
    bare.setenv("AWS_ACCESS_KEY_ID", s3_server.key)
    bare.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    assert ObjectStore(url).create("a", b"content")  # and the endpoint is the profile's


@pytest.mark.parametrize("how", ["environment", "option"])
def test_a_profile_that_does_not_exist_is_named(url: str, bare: Any, how: str) -> None:
    if how == "environment":
        bare.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreError, match="nobody"):
        ObjectStore(url, storage_options={"profile": "nobody"} if how == "option" else None).read("a")


def test_a_profile_needs_botocore(url: str, bare: Any) -> None:
    bare.setitem(sys.modules, "botocore.configprovider", None)
    with pytest.raises(MissingDependencyError, match=r"persistable\[s3\]"):
        ObjectStore(url, storage_options={"profile": "team"}).read("a")


def test_without_credentials_it_says_so_soon(s3_server: S3Server, url: str, bare: Any) -> None:
    """Where a cloud's machine has a service for credentials, something else may take the call, and never answer."""
    bare.delenv("AWS_EC2_METADATA_DISABLED")
    with socket.create_server(("127.0.0.1", 0)) as service:
        bare.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{service.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreError, match="no credentials are found") as caught:
            ObjectStore(url, storage_options={"endpoint": s3_server.url}).read("a")
        assert time.monotonic() - began < 5
    assert not caught.value.transient


# --- Which store -----------------------------------------------------------------------------------------------------


def test_a_url_of_a_bucket_is_served_by_obstore(s3_server: S3Server, url: str) -> None:
    options = s3_server.options()
    store = store_for(url, storage_options=options)
    assert isinstance(store, ObjectStore)
    assert store_for(url, storage_options=dict(reversed(options.items()))) is store  # its connections are used again
    assert store_for(url, storage_options=s3_server.as_reader().options()) is not store


def test_options_that_only_s3fs_knows_are_served_by_s3fs(s3_server: S3Server, url: str) -> None:
    pytest.importorskip("s3fs")
    options = s3_server.fsspec_options(config_kwargs={"retries": {"max_attempts": 1}})
    assert isinstance(store_for(url, storage_options=options), FsspecStore)


def test_a_upath_is_taken_with_its_options(s3_server: S3Server, url: str) -> None:
    upath = pytest.importorskip("upath")
    data = DataP(upath.UPath(url, **s3_server.fsspec_options()))
    data.load_generate()
    assert DataP(url, storage_options=s3_server.options()).exists()
    assert isinstance(data.data_dir, ObjectStore)


def test_a_url_that_went_through_path_is_taken_for_what_it_was(s3_server: S3Server, url: str) -> None:
    data = DataP(Path(url), storage_options=s3_server.options())
    data.load_generate()
    assert DataP(url, storage_options=s3_server.options()).exists()


@pytest.mark.parametrize("wrong", ["s3://", "s3:///prefix", "http://team/x", "s3://key:s3cr3t@team/x"])
def test_a_url_that_names_no_bucket_is_refused(wrong: str) -> None:
    with pytest.raises(StoreError) as caught:
        ObjectStore(wrong)
    assert "s3cr3t" not in str(caught.value)


# --- Secrets ---------------------------------------------------------------------------------------------------------


class FailsP(DataP):
    """Looks at its own lease, and fails."""

    def __init__(self, store: Store, leases: list[str]) -> None:
        super().__init__(store)
        self.store, self.leases = store, leases

    def _generate_payload(self) -> bytes:
        found = [entry.path for entry in self.store.list("") if "/lease/" in entry.path]
        assert found
        self.leases += [self.store.read(path).decode() for path in found]
        raise RuntimeError("this one fails")


def test_no_secret_gets_out(
    s3_server: S3Server, moto_server: S3Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = "s3cr3t-that-nobody-may-see"
    said: list[str] = []
    # Moto believes whoever signs, so that all succeeds with this secret; and what seaweed says of it is an error.
    for server in (moto_server, s3_server):
        with FaultyProxy(server.url) as proxy:
            options = server.options(endpoint=proxy.url, secret_access_key=secret, session_token=TOKEN)
            store = ObjectStore(_url(server, tmp_path), storage_options={**options, "retry_config": {"max_retries": 1}})
            said += [repr(store), str(store), store.url]
            for fault in (
                None,
                refuse(403, "SignatureDoesNotMatch"),
                refuse(400, "ExpiredToken"),
                _as_s3_does(TOKEN, secret),
                cut_response(1),
            ):
                proxy.clear()
                if fault is not None:
                    proxy.fault(lambda _: True, fault, times=None)
                for operation in (
                    lambda store=store: store.create("a/b", b""),
                    lambda store=store: store.replace("a/c", b""),
                    lambda store=store: store.read("a/b"),
                    lambda store=store: list(store.list("")),
                    lambda store=store: store.delete("a/b"),
                    lambda store=store: store.fetch("a/none"),
                    lambda store=store: DataP(store).load_generate(),
                ):
                    try:
                        operation()
                    except Exception as error:
                        said += _all_of(error)
            proxy.clear()
            if server is moto_server:
                data = DataP(store)
                data.load_generate()
                said += [repr(data), str(data.manifest), repr(data.manifest)]

                with pytest.raises(RuntimeError, match="this one fails"):
                    FailsP(store, said).load_generate()
                names = [entry.path for entry in store.list("") if "/payload." not in entry.path]
                assert {name.rpartition("/")[2].partition("-")[0] for name in names} >= {
                    *("manifest.json", "params.json", "generation.log", "failed"),
                }
                said += [store.read(name).decode() for name in names]
    said += [record.getMessage() for record in caplog.records if record.name.startswith("persistable")]
    assert len(said) > 60
    for text in said:
        assert secret not in text
        assert TOKEN not in text


def _as_s3_does(*secrets: str) -> Action:
    """Answer to a wrong signature with what should have been signed, as S3 does."""

    def action(exchange: Any) -> None:
        exchange.drain()
        said = "<Code>SignatureDoesNotMatch</Code><Message>The request signature does not match.</Message>"
        signed = f"<CanonicalRequest>GET\n/team\nx-amz-security-token:{' '.join(secrets)}</CanonicalRequest>"
        body = f"<Error>{said}{signed}</Error>".encode()
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        exchange._to_client(head + body)

    return action


def _chain(error: BaseException) -> list[str]:
    """What the errors behind an error say."""
    behind = [found for found in (error.__cause__, error.__context__) if found is not None]
    return [text for found in behind for text in (str(found), *_chain(found))]


def _all_of(error: BaseException | None) -> list[str]:
    """All that an error, and those behind it, can say."""
    if error is None:
        return []
    said = [str(error), repr(error), "".join(traceback.format_exception(error)), str(error.__dict__)]
    said += getattr(error, "__notes__", [])
    return said + _all_of(error.__cause__) + _all_of(error.__context__)


def test_an_error_brings_nothing_of_the_library_along(s3_server: S3Server, url: str) -> None:
    """S3 repeats, in its answer to a wrong signature, the headers that were signed: the session token is one."""
    store = ObjectStore(url, storage_options=s3_server.options(secret_access_key="wrong"))
    for operation in (lambda: store.read("a"), lambda: list(store.list("")), lambda: store.fetch("a")):
        with pytest.raises(StoreError, match="SignatureDoesNotMatch") as caught:
            operation()
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


# --- Processes, threads, loops ---------------------------------------------------------------------------------------


def test_a_pickled_store_works_in_another_process(s3_server: S3Server, url: str) -> None:
    store = ObjectStore(url, storage_options=s3_server.options())
    store.create("a", b"content")  # connected
    code = "import pickle, sys; store = pickle.load(sys.stdin.buffer); print(store.read('a').decode())"
    assert _python(code, pickle.dumps(store)) == "content\n"


def test_many_threads_share_a_store(s3_server: S3Server, url: str) -> None:
    store = ObjectStore(url, storage_options=s3_server.options())
    barrier = threading.Barrier(8)

    def work(number: int) -> bytes:
        barrier.wait()  # the first connects
        store.create(f"a/{number}", b"%d" % number)
        return store.read(f"a/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [b"%d" % number for number in range(8)]


def test_threads_that_fail_together_each_get_an_error_of_the_store(s3_server: S3Server, url: str) -> None:
    """Each failure lets go of the connection, which others are using."""
    store = ObjectStore(url, storage_options=s3_server.options(access_key_id="nobody"))

    def work(number: int) -> None:
        for _ in range(20):
            with pytest.raises(StoreError, match="InvalidAccessKeyId"):
                store.read("a")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_it_works_inside_a_running_loop(s3_server: S3Server, url: str) -> None:
    async def main() -> bytes:
        data = DataP(url, storage_options=s3_server.options())
        await asyncio.to_thread(lambda: DataP(url, storage_options=s3_server.options(), payload_name="b").payload)
        return data.load_generate()

    assert asyncio.run(main())


_FORK = """
import os, pathlib, pickle, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork in a process with threads, from 3.12 on
store, without = pickle.load(sys.stdin.buffer)
store.create("a/parent", b"parent")
import multiprocessing
def child(queue):
    if without:
        sys.modules["s3fs"] = None
        sys.modules.pop("persistable.stores.fsspec", None)
    try:
        fetched = pathlib.Path(store.fetch("a/parent")).read_bytes()
        queue.put([store.read("a/parent"), store.create("a/child", b"child"), fetched])
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")
context = multiprocessing.get_context(sys.argv[1])
if __name__ == "__main__":
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,), daemon=True)
    process.start()
    process.join(20)
    print("hangs" if process.is_alive() else queue.get())
    print(store.read("a/parent"), flush=True)
    if process.is_alive():
        process.kill()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_goes_to_the_same_place_by_s3fs(s3_server: S3Server, url: str) -> None:
    pytest.importorskip("s3fs")
    store = ObjectStore(url, storage_options=s3_server.options())
    said = _python(_FORK, pickle.dumps((store, False)), "fork").splitlines()
    assert said == ["[b'parent', True, b'parent']", "b'parent'"]
    assert store.read("a/child") == b"child"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_without_s3fs_says_so_and_does_not_hang(s3_server: S3Server, url: str) -> None:
    store = ObjectStore(url, storage_options=s3_server.options())
    said = _python(_FORK, pickle.dumps((store, True)), "fork").splitlines()
    assert said[0].startswith("StoreError")
    assert "spawn" in said[0]
    assert "install s3fs" in said[0]
    assert said[1] == "b'parent'"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_finds_its_artifacts_whoever_says_who_we_are(
    s3_server: S3Server, url: str, bare: Any, tmp_path: Path
) -> None:
    pytest.importorskip("s3fs")
    _write_profile(tmp_path, s3_server)
    store = ObjectStore(url, storage_options={"profile": "team"})
    said = _python(_FORK, pickle.dumps((store, False)), "fork").splitlines()
    assert said == ["[b'parent', True, b'parent']", "b'parent'"]


def test_a_process_that_is_spawned_has_a_client_of_its_own(s3_server: S3Server, url: str, tmp_path: Path) -> None:
    store = ObjectStore(url, storage_options=s3_server.options())
    script = tmp_path / "spawns.py"
    # A module of its own, which the child can import.
    given = pickle.dumps(store)
    script.write_text(
        "import multiprocessing, pickle\n"
        f"store = pickle.loads({given!r})\n"
        "def child(queue): queue.put(store.read('a'))\n"
        "if __name__ == '__main__':\n"
        "    store.create('a', b'content')\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.SimpleQueue()\n"
        "    process = context.Process(target=child, args=(queue,))\n"
        "    process.start()\n"
        "    process.join(30)\n"
        "    print(queue.get())\n"
    )
    done = subprocess.run(
        [sys.executable, os.fspath(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": _path()},
    )
    assert done.stdout == "b'content'\n"


def test_obstore_is_not_needed_until_a_bucket_is_asked_for(run_python: Any) -> None:
    run_python(
        "import sys, persistable.stores.objects as o; o.ObjectStore('s3://team/x'); assert 'obstore' not in sys.modules"
    )


def test_without_obstore_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'persistable\[s3\]'"):
        ObjectStore("s3://team/x")


def test_who_may_only_read_is_told_so_at_the_first_write(s3_server: S3Server, url: str) -> None:
    DataP(url, storage_options=s3_server.options()).load_generate()
    options = s3_server.as_reader().options()
    assert options["access_key_id"] == READER[0]
    assert DataP(url, storage_options=options).load()
    other = DataP(url, storage_options=options, payload_name="other")
    with pytest.raises(StoreError, match="403 AccessDenied"):
        other.load_generate()
    assert other.made == 0


def _path() -> str:
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))


def _python(code: str, given: bytes, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=given,
        capture_output=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": _path(), **environment},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


# --- What reviewers found --------------------------------------------------------------------------------------------


class _SlowLine:
    """Something between a client and a server that passes on so many bytes in a second, upwards."""

    def __init__(self, url: str, rate: float) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._server, self._rate, self._free = (host, int(port)), rate, time.monotonic()
        self._guard = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(*pair, pair[0] is client), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_slow: bool) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(1 << 14):
                if is_slow:
                    with self._guard:
                        self._free = max(self._free, time.monotonic()) + len(data) / self._rate
                        pause = self._free - time.monotonic()
                    time.sleep(max(pause, 0))
                target.sendall(data)


@pytest.fixture
def slow_line(s3_server: S3Server) -> Any:
    line = _SlowLine(s3_server.url, 8 * MB)
    yield line
    line.close()


def test_an_upload_may_take_longer_than_an_answer(
    s3_server: S3Server, slow_line: _SlowLine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a part is sent, nothing is read; and all parts under way share the line."""
    monkeypatch.setitem(objects._PATIENCE, "read_timeout", "1s")
    store = ObjectStore(url, storage_options=s3_server.options(endpoint=slow_line.url))
    for size in (12 * MB, 34 * MB):  # whole, and in parts
        (tmp_path / "payload").write_bytes(bytes(size))
        store.put(os.fspath(tmp_path / "payload"), f"a/{size}")
        assert ObjectStore(url, storage_options=s3_server.options()).client.size(f"a/{size}") == size


_INTERRUPTED = """
import os, pickle, signal, sys, threading, time
store, path = pickle.loads(sys.stdin.buffer.read())
store.create("warm", b"up")
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
began = time.monotonic()
try:
    store.put(path, "a/payload")
except KeyboardInterrupt:
    print(time.monotonic() - began)
"""


def test_an_upload_can_be_interrupted(s3_server: S3Server, slow_line: _SlowLine, url: str, tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(bytes(80 * MB))
    store = ObjectStore(url, storage_options=s3_server.options(endpoint=slow_line.url))
    assert float(_python(_INTERRUPTED, pickle.dumps((store, os.fspath(tmp_path / "payload"))))) < 4
    assert not list(ObjectStore(url, storage_options=s3_server.options()).list("a"))


@pytest.mark.parametrize("name", ["access_key_id", "secret_access_key", "session_token", "region"])
@pytest.mark.parametrize("given", ["option", "environment"])
def test_a_line_break_behind_a_credential_is_named(
    s3_server: S3Server, url: str, bare: pytest.MonkeyPatch, name: str, given: str
) -> None:
    """obstore panics, which is no Exception."""
    options = s3_server.options()
    if given == "option":
        options[name] = "s3cr3t\n"
    else:
        options.pop(name, None)
        bare.setenv(f"AWS_{name.upper()}", "s3cr3t\n")
    with pytest.raises(StoreError, match=name) as caught:
        ObjectStore(url, storage_options=options).read("a")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["key:s3cr3t@host:9000", "http://host/?s=s3cr3t", "http://host:99999", "http://[::1", "http://ho st"]
)
def test_an_endpoint_that_makes_obstore_panic_is_refused(s3_server: S3Server, url: str, endpoint: str) -> None:
    with pytest.raises(StoreError, match="endpoint") as caught:
        ObjectStore(url, storage_options=s3_server.options(endpoint=endpoint)).read("a")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        "sftp://user:s3cr3t@host/x",
        "gs://user:s3cr3t@team/x",
        "az://user:s3cr3t@team/x",
        "s3:///x?signature=s3cr3t",
        "s3://team/x?signature=s3cr3t",
        "s3://team/x#s3cr3t",
    ],
)
def test_a_url_is_not_repeated_with_its_secrets(wrong: str) -> None:
    with pytest.raises(StoreError) as caught:
        ObjectStore(wrong)
    assert "s3cr3t" not in str(caught.value)


_FORKED_WHILE_CONNECTING = """
import os, pickle, signal, sys, threading, time
store = pickle.loads(sys.stdin.buffer.read())
connect, connecting = type(store).connect, threading.Event()
def slowly(self):
    connecting.set()
    time.sleep(0.5)
    return connect(self)
type(store).connect = slowly
thread = threading.Thread(target=store.create, args=("a", b"a"))
thread.start()
connecting.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    store.create("b", b"b")
    os._exit(0)
thread.join()
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_is_forked_while_a_thread_connects_does_not_hang(s3_server: S3Server, url: str) -> None:
    store = ObjectStore(url, storage_options=s3_server.options())
    assert _python(_FORKED_WHILE_CONNECTING, pickle.dumps(store)).strip() == "0"


_AT_THE_END = """
import atexit, os, pickle, sys
store, folder = pickle.loads(sys.stdin.buffer.read())
store.create("warm", b"up")
def last():
    store.put(folder, "a/payload")
    print(sorted(os.listdir(store.fetch("a/payload"))))
atexit.register(last)
"""


def test_folders_are_moved_at_the_end_of_the_interpreter_too(s3_server: S3Server, url: str, tmp_path: Path) -> None:
    folder = tmp_path / "payload"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_text(name)
    store = ObjectStore(url, storage_options=s3_server.options())
    assert _python(_AT_THE_END, pickle.dumps((store, os.fspath(folder)))).strip() == "['a', 'b']"


def test_a_name_that_obstore_does_not_take_is_no_outage(s3_server: S3Server, url: str) -> None:
    with pytest.raises(StoreError, match="name") as caught:
        ObjectStore(url, storage_options=s3_server.options()).replace("a/tab\tulator", b"")
    assert not caught.value.transient


@pytest.mark.parametrize("broken", ["closed", "no terminal at all", "a pipe without a reader"])
def test_what_is_wrong_with_the_screen_does_not_stop_a_transfer(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        closed = False

        def write(self, text: str) -> None:
            raise BrokenPipeError

        def flush(self) -> None:
            pass

    stream: Any = Stream()
    if broken == "closed":
        stream = open(os.devnull, "w")  # noqa: SIM115
        stream.close()
    elif broken == "a pipe without a reader":
        stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    with transfer("From here", 100 * MB) as advance:
        advance(50 * MB)


def test_another_endpoint_in_the_environment_is_another_store(url: str, bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_ENDPOINT_URL", "http://one:9000")
    one = store_for(url)
    assert store_for(url) is one  # it keeps its connections
    bare.setenv("AWS_ENDPOINT_URL", "http://two:9000")
    assert store_for(url) is not one


def test_a_chained_url_is_no_folder() -> None:
    with pytest.raises(StoreError, match="cache_dir"):
        store_for("simplecache::s3://team/artifacts")


def test_no_cache_is_an_empty_name_of_one(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSISTABLE_CACHE_DIR", os.fspath(tmp_path))
    store = ObjectStore(url)
    assert store_for(store, cache_dir="") is store
    assert isinstance(store_for(url, cache_dir=""), ObjectStore)
    monkeypatch.chdir(tmp_path)
    here = store_for(store, cache_dir="cache")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert store_for(store, cache_dir="cache") is not here


def test_the_default_profile_says_where_whoever_says_who(
    s3_server: S3Server, url: str, bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for s3fs, which serves the same URL in a process that is forked."""
    (tmp_path / "config").write_text(f"[default]\nregion = {s3_server.region}\nendpoint_url = {s3_server.url}\n")
    bare.setenv("AWS_ACCESS_KEY_ID", s3_server.key)
    bare.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    ObjectStore(url).replace("a", b"a")
    assert ObjectStore(url, storage_options=s3_server.options()).read("a") == b"a"
