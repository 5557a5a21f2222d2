"""What may go wrong between a process and a bucket, end to end: never a wrong artifact, and never a mystery."""

from __future__ import annotations

import hashlib
import os
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from proxy import Action, FaultyProxy, cut_request, cut_response, hang, refuse, swallow_response
from servers import S3Server

from persistable import BytesFileIO, Persistable
from persistable._leftovers import units_of
from persistable.exceptions import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    CorruptArtifactWarning,
    PersistableWarning,
    PersistError,
    StoreError,
)
from persistable.stores import Entry, ObjectStore

MB = 2**20
SMALL, LARGE = 10_000, 33 * MB  # of one part, and of three
WHOLE = {"manifest.json", "params.json", "generation.log"}


class DataP(Persistable[bytes, None]):
    """Bytes, and how often they were made."""

    def __init__(self, store: ObjectStore, size: int = SMALL) -> None:
        super().__init__(store, None, payload_io=BytesFileIO())
        self.size = size
        self.made = 0

    def _generate_payload(self) -> bytes:
        self.made += 1
        return b"\x07" * self.size


class World:
    """A proxy before a server, a place there for this test, and whoever else is looking at it."""

    def __init__(self, server: S3Server, proxy: FaultyProxy, place: Path) -> None:
        self.server, self.proxy = server, proxy
        self.url = f"s3://{server.bucket}/{hashlib.sha256(os.fspath(place).encode()).hexdigest()[:16]}"
        self.other = self.store(endpoint=server.url)

    def store(self, *, single_flight: bool = True, url: str | None = None, **options: Any) -> ObjectStore:
        options = self.server.options(**{"endpoint": self.proxy.url, **options})
        return ObjectStore(url or self.url, storage_options=options, single_flight=single_flight)

    def data(self, size: int = SMALL, **options: Any) -> DataP:
        return DataP(self.store(**options), size)

    def names(self) -> set[str]:
        """The files of the one artifact, as another client sees them."""
        return {entry.path.split("/", 2)[2] for entry in self.other.list("data_p")}

    def check(self, size: int = SMALL) -> bool:
        """Return whether there is an artifact for others; what is there is whole, or known to be left over."""
        names = self.names()
        seen = DataP(self.other, size)
        payloads = set()
        if exists := seen.exists():
            assert seen.load() == b"\x07" * size
            payloads = {seen.manifest.payload["file"]}
        else:
            with pytest.raises(ArtifactNotFoundError):
                seen.load()
        rest = [Entry(f"data_p/{name}", 0, 0.0) for name in names - WHOLE - payloads]
        units, unknown = units_of("data_p", rest)
        assert not unknown
        assert all(unit.is_left_over for unit in units.values())
        return exists

    def check_clean(self, size: int = SMALL) -> None:
        """There is one whole artifact, and nothing else."""
        assert self.check(size)
        assert self.names() == WHOLE | {DataP(self.other, size).manifest.payload["file"]}


@pytest.fixture
def world(s3_server: S3Server, tmp_path: Path) -> Iterator[World]:
    with FaultyProxy(s3_server.url) as proxy:
        yield World(s3_server, proxy, tmp_path)


# --- The connection is cut -------------------------------------------------------------------------------------------

PARTS_OF_A_GENERATION = {
    "the first look": "GET",
    "the listing of leases": "list-type=2",
    "the lease": "PUT /team/{}/data_p/{}/lease/0",
    "the payload": "/payload.",
    "the params": "params.json",
    "the log": "generation.log",
    "the manifest": "PUT /team/{}/data_p/{}/manifest.json",
    "the end of the lease": "delete",
}
FAULTS: dict[str, Action] = {
    "cut at once": cut_request(0),
    "cut in the middle": cut_request(100),
    "answer lost": swallow_response(),
    "answer cut": cut_response(20),
    "500": refuse(500, "InternalError"),
    "503": refuse(503, "SlowDown"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("part", PARTS_OF_A_GENERATION)
def test_a_fault_that_passes_is_not_noticed(world: World, part: str, fault: str) -> None:
    data = world.data()
    match = PARTS_OF_A_GENERATION[part].format(world.url.rpartition("/")[2], data.key)
    rule = world.proxy.fault(match, FAULTS[fault], times=2)
    assert data.load_generate() == b"\x07" * SMALL
    assert rule.hits == 2 or (rule.hits == 1 and "answer" in fault)  # what has happened is not asked for again
    assert data.made == 1
    world.check_clean()


@pytest.mark.parametrize(
    ("match", "fault"),
    [
        ("uploads", "cut at once"),
        ("uploads", "answer lost"),
        ("partNumber=2", "cut in the middle"),
        ("partNumber=2", "answer lost"),
        ("partNumber=3", "500"),
        ("?uploadId=", "cut in the middle"),
        ("?uploadId=", "answer lost"),
        ("?uploadId=", "answer cut"),
        ("?uploadId=", "503"),
    ],
)
@pytest.mark.parametrize("server", ["s3_server", "moto_server"])
def test_a_fault_in_an_upload_in_parts_is_not_noticed(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, match: str, fault: str
) -> None:
    target = request.getfixturevalue(server)
    with FaultyProxy(target.url) as proxy:
        world = World(target, proxy, tmp_path)
        data = world.data(LARGE)
        rule = proxy.fault(match, FAULTS[fault])
        assert len(data.load_generate()) == LARGE
        assert rule.hits == 1
        assert data.made == 1
        world.check_clean(LARGE)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("fault", ["cut at once", "answer lost", "answer cut", "500", "503"])
def test_a_fault_in_a_download_is_not_noticed(world: World, size: int, fault: str) -> None:
    DataP(world.other, size).load_generate()
    rule = world.proxy.fault("/payload.", FAULTS[fault], times=3)
    data = world.data(size)
    assert data.load() == b"\x07" * size
    assert rule.hits == 3


def test_a_listing_that_is_cut_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"a/{number}" for number in range(6)]
    for name in names:
        world.other.create(name, b"")
    store = world.store()
    api = store.client._api  # type: ignore[attr-defined]
    listing, cuts = api.list, [4, 2]

    def cut(*arguments: Any, **options: Any) -> Iterator[Any]:
        found = listing(*arguments, **options, chunk_size=1)
        for _ in range(cuts.pop() if cuts else 6):
            if (chunk := next(found, None)) is None:
                return
            yield chunk
        if len(cuts) < 2 and world.proxy.count("start-after") < 2:
            raise RuntimeError("Generic S3 error: Error getting list response body: HttpError { kind: Interrupted, }")

    monkeypatch.setattr(api, "list", cut)
    assert [entry.path for entry in store.list("a")] == names
    assert world.proxy.count("start-after") == 2


def test_a_download_that_is_cut_again_and_again_fails_and_leaves_no_copy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    DataP(world.other, LARGE).load_generate()
    rule = world.proxy.fault("/payload.", cut_response(MB), times=None)
    store = world.store(retry_config={"max_retries": 1})
    copies: list[str] = []
    new = store.copies.new
    monkeypatch.setattr(store.copies, "new", lambda name: copies.append(new(name)) or copies[-1])
    with pytest.raises(StoreError, match="the connection was cut") as caught:
        DataP(store, LARGE).load()
    assert caught.value.transient
    assert rule.hits >= 2
    assert copies
    assert not any(os.path.lexists(copy) for copy in copies)
    world.proxy.clear()
    assert len(DataP(store, LARGE).load()) == LARGE


@pytest.mark.parametrize("part", [part for part in PARTS_OF_A_GENERATION if part != "the end of the lease"])
@pytest.mark.parametrize("fault", ["cut in the middle", "answer lost", "500"])
def test_a_fault_that_stays_costs_no_payload_and_shows_nothing_half(world: World, part: str, fault: str) -> None:
    data = world.data(retry_config={"max_retries": 1})
    match = PARTS_OF_A_GENERATION[part].format(world.url.rpartition("/")[2], data.key)
    world.proxy.fault(match, FAULTS[fault], times=None)
    if fault == "answer lost" and part in ("the lease", "the manifest"):  # it has happened, and can be read back
        assert data.load_generate()
    else:
        with pytest.raises((StoreError, PersistError)) as caught:
            data.load_generate()
        assert _is_transient(caught.value)
    world.check()
    world.proxy.clear()
    if data.made:
        data.persist()
        assert data.made == 1
    else:
        data.load_generate()
    assert world.check()


def test_a_payload_that_could_not_be_uploaded_in_parts_is_persisted_later(world: World) -> None:
    data = world.data(LARGE, retry_config={"max_retries": 0})
    world.proxy.fault("partNumber", cut_request(MB), times=None)
    with pytest.raises(PersistError, match="still in memory") as caught:
        data.load_generate()
    assert _is_transient(caught.value)
    assert not world.check(LARGE)
    assert not any("payload" in name for name in world.names())
    assert world.proxy.count("DELETE") == 1  # the parts that had arrived
    world.proxy.clear()
    data.persist()
    assert world.check(LARGE)


def test_an_outage_of_the_proxy_itself_costs_no_payload(world: World) -> None:
    data = world.data(retry_config={"max_retries": 0})
    generate = DataP._generate_payload

    def lose_the_line(self: DataP) -> bytes:
        world.proxy.down()
        return generate(self)

    data._generate_payload = lose_the_line.__get__(data)  # type: ignore[method-assign]
    with pytest.raises(PersistError) as caught:
        data.load_generate()
    assert _is_transient(caught.value)
    assert not world.check()
    world.proxy.up()
    data.persist()
    assert world.check()


def test_the_beat_of_a_lease_survives_faults(world: World) -> None:
    """Two thirds of all requests for the lease go wrong, and nobody takes it over."""
    store = ObjectStore(world.url, storage_options=world.server.options(endpoint=world.proxy.url), time_to_live=1.0)
    data = DataP(store)
    generate = DataP._generate_payload
    others: list[set[str]] = []

    def slowly(self: DataP) -> bytes:
        for number in range(4):
            world.proxy.fault("lease/0", [cut_request(0), swallow_response()][number % 2])
            time.sleep(0.4)
            others.append({name for name in world.names() if name.startswith("lease/")})
        return generate(self)

    data._generate_payload = slowly.__get__(data)  # type: ignore[method-assign]
    assert data.load_generate()
    assert others == [{"lease/0"}] * 4
    world.check_clean()


# --- The server says no ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "permission"),
        (400, "ExpiredToken", "Renew"),
        (403, "InvalidAccessKeyId", "Renew"),
        (403, "SignatureDoesNotMatch", "Renew"),
        (404, "NoSuchBucket", "make the bucket"),
        (301, "PermanentRedirect", "region"),
        (403, "RequestTimeTooSkewed", "clock"),
        (500, "InternalError", "Try again later"),
        (501, "NotImplemented", "use another one"),
        (503, "SlowDown", "Try again later"),
    ],
)
def test_what_a_server_refuses_is_not_taken_for_a_miss(world: World, status: int, code: str, said: str) -> None:
    world.proxy.fault(lambda _: True, refuse(status, code), times=None)
    data = world.data(retry_config={"max_retries": 1})
    for operation in (data.load, data.load_generate, data.generate, data.exists):
        with pytest.raises(StoreError, match=code) as caught:
            operation()
        assert said in str(caught.value)
        assert world.url in str(caught.value)
        assert not isinstance(caught.value, FileNotFoundError)
        assert caught.value.transient == (status in (500, 503))
    assert data.made == 0
    world.proxy.clear()
    assert data.load_generate()  # the same object goes on where the server does
    world.check_clean()


@pytest.mark.parametrize("match", ["PUT", "list-type=2"])
def test_who_may_read_but_not_write_or_list_is_told_before_the_work(world: World, match: str) -> None:
    world.proxy.fault(match, refuse(403, "AccessDenied"), times=None)
    data = world.data()
    with pytest.raises(StoreError, match="403 AccessDenied"):
        data.load_generate()
    assert data.made == 0
    DataP(world.other).load_generate()
    assert data.load()


def test_a_bucket_that_is_not_there_is_no_miss(world: World) -> None:
    data = world.data(url="s3://nobody/x")
    for operation in (data.load, data.load_generate, data.exists):
        with pytest.raises(StoreError, match="NoSuchBucket") as caught:
            operation()
        assert not isinstance(caught.value, FileNotFoundError)
    assert data.made == 0


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("az://team/x", {"account_name": "a", "account_key": "YQ==", "endpoint": "{}"}),
        ("gs://team/x", {"skip_signature": True, "base_url": "{}"}),
    ],
)
def test_other_clouds_tell_a_bucket_that_is_not_there_from_a_file(
    world: World, url: str, options: dict[str, Any]
) -> None:
    options = {name: world.proxy.url if value == "{}" else value for name, value in options.items()}
    store = ObjectStore(url, storage_options={**options, "client_options": {"allow_http": True}})
    world.proxy.fault(lambda _: True, refuse(404, "ContainerNotFound"), times=1)
    with pytest.raises(StoreError, match="ContainerNotFound"):
        store.read("a")
    world.proxy.fault(lambda _: True, refuse(404, "BlobNotFound"), times=1)
    with pytest.raises(FileNotFoundError):
        store.read("a")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "http://127.0.0.1:1"}, "refuses the connection"),
        ({"endpoint": "http://no-such-host.invalid"}, "name of the endpoint is not known"),
        ({"access_key_id": "nobody"}, "InvalidAccessKeyId"),
        ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
    ],
)
def test_what_is_wrong_in_the_options_is_said_soon(world: World, options: dict[str, str], said: str) -> None:
    data = world.data(**options)
    began = time.monotonic()
    with pytest.raises(StoreError, match=said) as caught:
        data.load_generate()
    assert time.monotonic() - began < 15
    assert data.made == 0
    assert caught.value.transient == ("endpoint" in options)


def test_a_conflict_of_two_creates_is_tried_again(world: World) -> None:
    rule = world.proxy.fault("PUT", refuse(409, "ConditionalRequestConflict"), times=2)
    assert world.store().create("a", b"mine")
    assert rule.hits == 2
    assert not world.store().create("a", b"yours")
    assert world.other.read("a") == b"mine"


def test_a_conflict_that_stays_is_an_error_that_may_pass(world: World) -> None:
    world.proxy.fault("PUT", refuse(409, "ConditionalRequestConflict"), times=None)
    with pytest.raises(StoreError) as caught:
        world.store().create("a", b"mine")
    assert caught.value.transient
    assert list(world.other.list("")) == []


def test_a_create_whose_answer_is_lost_was_anothers_if_it_was(world: World) -> None:
    world.other.create("a", b"theirs")
    world.proxy.fault("PUT", swallow_response())
    assert not world.store().create("a", b"mine")
    assert world.other.read("a") == b"theirs"


def test_credentials_that_are_renewed_in_the_environment_count_at_the_next_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    DataP(world.other).load_generate()
    key, secret = world.server.key, world.server.secret
    reader = world.server.as_reader()
    monkeypatch.setenv("AWS_ENDPOINT_URL", world.proxy.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    data = DataP(ObjectStore(world.url))
    assert data.exists()
    world.proxy.fault(lambda request: key in request.headers["authorization"], refuse(400, "ExpiredToken"), times=None)
    with pytest.raises(StoreError, match="ExpiredToken") as caught:
        data.load()
    assert not caught.value.transient
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", reader.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", reader.secret)
    assert data.load() == b"\x07" * SMALL


def test_credentials_that_expire_during_the_work_cost_no_payload(world: World) -> None:
    data = world.data()
    world.proxy.fault("/payload.", refuse(400, "ExpiredToken"), times=None)
    with pytest.raises(PersistError, match="ExpiredToken") as caught:
        data.load_generate()
    assert not _is_transient(caught.value)
    assert not world.check()
    world.proxy.clear()
    data.persist()
    assert data.made == 1
    assert world.check()


# --- A server that ignores the condition -----------------------------------------------------------------------------


def test_a_server_that_ignores_the_condition_is_refused_before_the_work(
    rclone_s3_server: S3Server, tmp_path: Path
) -> None:
    with FaultyProxy(rclone_s3_server.url) as proxy:
        world = World(rclone_s3_server, proxy, tmp_path)
        data = world.data()
        with pytest.raises(StoreError, match="single_flight=False"):
            data.load_generate()
        assert data.made == 0
        assert world.names() == set()
        alone = DataP(world.store(single_flight=False))
        with pytest.warns(PersistableWarning, match="single_flight=False"):
            assert alone.load_generate() == b"\x07" * SMALL
        world.check_clean()
        assert world.data().load() == b"\x07" * SMALL


# --- What lies there is not what was written -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("change", ["shorter", "longer", "other", "empty", "gone"])
def test_a_payload_that_was_changed_is_not_used(world: World, size: int, change: str) -> None:
    first = DataP(world.other, size)
    first.load_generate()
    name = first.manifest.payload["file"]
    path = f"{first.key.folder}/{name}"
    data = b"\x07" * size
    if change == "gone":
        world.other.delete(path)
    else:
        altered = {"shorter": data[:-1], "longer": data + b"\x07", "other": data[:-1] + b"\x08", "empty": b""}[change]
        world.other.replace(path, altered)
    fresh = world.data(size)
    with pytest.raises(ArtifactCorruptError, match=name):
        fresh.load()
    with pytest.warns(CorruptArtifactWarning):
        assert fresh.load_generate() == data
    assert fresh.made == 1
    assert world.check(size)


# --- A server that never answers -------------------------------------------------------------------------------------


def test_a_server_that_never_answers_is_given_up(world: World) -> None:
    world.proxy.fault(lambda _: True, hang(), times=None)
    patience = {"client_options": {"read_timeout": "1s"}, "retry_config": {"max_retries": 1}}
    data = world.data(**patience)
    began = time.monotonic()
    with pytest.raises(StoreError, match="the endpoint does not answer") as caught:
        data.load_generate()
    assert time.monotonic() - began < 10
    assert caught.value.transient
    assert data.made == 0


def test_a_server_that_stops_in_the_middle_of_an_answer_is_given_up(world: World) -> None:
    DataP(world.other, LARGE).load_generate()

    def stall(exchange: Any) -> None:
        exchange.send()
        exchange.receive(up_to=MB)
        exchange.interrupted.wait(20)

    world.proxy.fault("/payload.", stall, times=None)
    data = world.data(LARGE, client_options={"read_timeout": "1s"}, retry_config={"max_retries": 1})
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        data.load()
    assert time.monotonic() - began < 12
    assert caught.value.transient
    assert "the endpoint does not answer" in str(caught.value)


def _is_transient(error: BaseException | None) -> bool:
    """Whether it, or what it comes from, may pass."""
    while error is not None:
        assert "Debug source" not in "".join(traceback.format_exception(error))
        if getattr(error, "transient", False):
            return True
        error = error.__cause__
    return False
