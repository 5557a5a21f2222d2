"""Leases: who owns, who waits, who takes over. They only save work; that results are right is tested elsewhere."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from artifact_world import WaitingP, WorldParams, expected

from persistable import (
    LeaseTimeoutError,
    LocalStore,
    NoPayloadError,
    PersistableWarning,
    StoreError,
    _leases,
    _processes,
    artifacts,
)
from persistable.keys import ArtifactKey
from persistable.stores import Store, WrapperStore
from persistable.testing.faults import CarelessStore, Fault, FaultyStore, fail

KEY = ArtifactKey("0" * 32, "points")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, fsync=False, time_to_live=0.4)


def _acquire(store: Store, *, wait: bool = True, said: list[str] | None = None) -> Any:
    return _leases.acquire(store, KEY, lambda: False, (said if said is not None else []).append, wait=wait)


def _record(store: Store, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read(f"points/{KEY}/lease/{number}"))
    return found


def _somebody_else(**more: Any) -> dict[str, Any]:
    """The record of another process on this host."""
    who = {**_leases._this_process(), "process": "another"}
    return {"token": "11111111", "state": "generating", "beat": 0, **who, **more}


def _leave(store: Store, number: int = 0, **more: Any) -> dict[str, Any]:
    """Leave a lease of somebody else."""
    record = _somebody_else(**more)
    assert store.create(f"points/{KEY}/lease/{number}", json.dumps(record).encode())
    return record


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def living() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_lease_says_who_and_since_when(store: LocalStore) -> None:
    with _acquire(store) as lease:
        record = _record(store, 0)
        assert record["token"] == lease.token
        assert record["state"] == "generating"
        assert record["host"] == socket.gethostname()
        assert record["pid"] == os.getpid()
        assert record["started"] == _processes._start_of(os.getpid())
        assert record["since"].endswith("+00:00")


def test_the_owner_beats_until_it_is_done(store: LocalStore) -> None:
    with _acquire(store):
        end = time.monotonic() + 20
        while _record(store, 0)["beat"] < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert list(store.list("")) == []
    assert not any(thread.name.startswith("persistable points") for thread in threading.enumerate())


def test_a_beat_that_fails_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    store = FaultyStore(LocalStore(tmp_path, time_to_live=0.1), Fault(1, fail(5), only="replace"))
    with _acquire(store):
        end = time.monotonic() + 20
        while _record(store, 0)["beat"] < 3:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_failure_is_left_for_others_to_see_and_taken_over_at_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, time_to_live=3600.0)
    for number in range(3):
        with pytest.raises(ZeroDivisionError), _acquire(store):
            raise ZeroDivisionError("on purpose")
        record = _record(store, number)
        assert (record["state"], record["error"]) == ("failed", "ZeroDivisionError: on purpose")
        assert len(list(store.list(""))) == 1  # a job that fails every night does not fill the drive
    with _acquire(store) as lease:
        assert _record(store, 3)["token"] == lease.token
    assert list(store.list("")) == []


def test_ctrl_c_leaves_no_lease(store: LocalStore) -> None:
    with pytest.raises(KeyboardInterrupt), _acquire(store):
        raise KeyboardInterrupt
    assert list(store.list("")) == []


def test_a_dead_process_of_this_host_is_taken_over_at_once(tmp_path: Path, dead_pid: int) -> None:
    store = LocalStore(tmp_path, time_to_live=3600.0)
    left = _leave(store, 4, pid=dead_pid, started=1)
    with _acquire(store) as lease:
        assert _record(store, 5)["token"] == lease.token
        assert lease.dead_tokens == {left["token"]}
    assert list(store.list("")) == []


def test_a_pid_that_was_given_to_another_process_since_is_not_the_owner(
    tmp_path: Path, living: subprocess.Popen[bytes]
) -> None:
    store = LocalStore(tmp_path, time_to_live=3600.0)
    started = _processes._start_of(living.pid)
    assert started is not None
    _leave(store, pid=living.pid, started=started - 1)
    with _acquire(store):
        assert _record(store, 1)["pid"] == os.getpid()


def test_a_living_process_is_waited_for(tmp_path: Path, living: subprocess.Popen[bytes]) -> None:
    store = LocalStore(tmp_path, time_to_live=3600.0)
    _leave(store, pid=living.pid, started=_processes._start_of(living.pid))
    assert _acquire(store, wait=False) is None
    threading.Timer(0.1, living.kill).start()
    with _acquire(store):
        assert living.wait() != 0


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"machine": "another boot/4026531836"}])
def test_a_process_of_another_machine_is_never_declared_dead_by_its_pid(
    store: LocalStore, dead_pid: int, elsewhere: dict[str, str]
) -> None:
    _leave(store, pid=dead_pid, **elsewhere)
    began, said = time.monotonic(), list[str]()
    with _acquire(store, said=said):
        assert time.monotonic() - began > store.time_to_live
    assert [message.partition(" ")[0] for message in said] == ["Waiting", "Taking"]
    assert f"process {dead_pid} on " in said[0]
    assert said[1].endswith(": it has given no sign of life.")


def test_a_process_that_is_not_to_be_seen_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of other users where /proc is mounted with hidepid."""
    record = _somebody_else(pid=1)
    monkeypatch.setattr(Path, "read_bytes", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    assert not _leases._is_dead(record)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_a_lease_that_says_nothing_is_taken_over_by_time(store: LocalStore, content: bytes) -> None:
    """As one is met on a file system without hard links, before its content."""
    store.create(f"points/{KEY}/lease/0", content)
    with _acquire(store):
        assert _record(store, 1)["pid"] == os.getpid()


def test_a_change_of_the_content_is_a_sign_of_life_whatever_the_clocks_say(store: LocalStore) -> None:
    _leave(store, host="another", beat=0)
    over, beats = threading.Event(), 0

    def beat() -> None:
        nonlocal beats
        while not over.wait(store.time_to_live / 4):
            beats += 1
            record = _record(store, 0) | {"beat": beats, "since": "1970-01-01T00:00:00+00:00"}
            store.replace(f"points/{KEY}/lease/0", json.dumps(record).encode())
            os.utime(store.path / f"points/{KEY}/lease/0", (0, 0))
            if beats == 12:
                return

    thread = threading.Thread(target=beat)
    thread.start()
    with _acquire(store):
        assert beats == 12
    over.set()
    thread.join()


def test_a_watcher_that_was_stopped_itself_has_not_watched_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1000.0, 1000.1])
    monkeypatch.setattr(_leases.time, "monotonic", lambda: next(clock))
    watch = _leases._Watch()
    assert not any(watch.is_over(0, b"same", {}, 30.0) for _ in range(3))


def test_who_loses_the_race_for_a_lease_waits(store: LocalStore) -> None:
    with _acquire(store):
        owners = []

        def ask() -> None:
            with _acquire(store) as lease:
                owners.append(lease.token)

        waiters = [threading.Thread(target=ask) for _ in range(8)]
        for waiter in waiters:
            waiter.start()
        assert owners == []
    for waiter in waiters:
        waiter.join(60)
    assert len(set(owners)) == 8


def test_an_owner_that_was_taken_over_beats_no_ghost_and_removes_only_its_own(store: LocalStore) -> None:
    with _acquire(store):
        store.delete(f"points/{KEY}/lease/0")
        _leave(store, 1, host="another")
        time.sleep(store.time_to_live / 2)  # two beats
        assert [entry.path for entry in store.list("")] == [f"points/{KEY}/lease/1"]
    assert [entry.path for entry in store.list("")] == [f"points/{KEY}/lease/1"]


def test_patience_ends_with_an_error_that_names_the_owner_and_the_ways_out(
    tmp_path: Path, living: subprocess.Popen[bytes]
) -> None:
    store = LocalStore(tmp_path, patience=0.2)
    asked = WaitingP(store, WorldParams())
    record = _somebody_else(pid=living.pid, started=_processes._start_of(living.pid))
    store.create(f"{asked.key.folder}/lease/0", json.dumps(record).encode())
    with pytest.raises(LeaseTimeoutError) as caught:
        asked.load_generate()
    message = str(caught.value)
    for word in (str(asked.key), str(living.pid), record["host"], record["since"], "patience=", "end that process"):
        assert word in message


def test_a_waiter_says_at_once_for_whom_and_warns_when_it_takes_long(
    tmp_path: Path, living: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path, patience=0.6)
    monkeypatch.setattr(_leases, "_WARN_AFTER", 0.1)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=12)
    _leave(store, pid=living.pid, started=_processes._start_of(living.pid), since=since.isoformat(), host="vm")
    for again, warnings in ((300.0, 1), (0.2, 2)):
        monkeypatch.setattr(_leases, "_WARN_AGAIN", again)
        said, warned = list[str](), list[str]()
        with pytest.raises(LeaseTimeoutError):
            artifacts.claim(store, KEY, None, said.append, warn=warned.append)
        assert len(said) == 1
        assert len(warned) == 1 if warnings == 1 else len(warned) > 1
        for message in said + warned:
            assert re.fullmatch(
                rf"Waiting for process {living.pid} on vm, which has been generating points {KEY} for 1\d s\.", message
            )


def test_who_generates_is_said_as_far_as_it_is_known(store: LocalStore) -> None:
    assert _leases._owner({}) == "an unknown process"
    assert _leases._age({}) == _leases._age({"since": 1}) == _leases._age({"since": "2026"}) == 0.0


# Interruptions at the worst moment: nothing stays behind, and a retry does not wait


class _PatientStore(WrapperStore):
    """A store on which whoever waits for the time to live waits for an hour."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalStore(folder, fsync=False, time_to_live=3600.0, patience=20.0))


def _interrupt(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def patient(tmp_path: Path) -> _PatientStore:
    return _PatientStore(tmp_path)


def test_a_lease_that_is_claimed_and_never_entered_does_not_hold_up_a_retry(patient: _PatientStore) -> None:
    kept = _acquire(patient)  # as the traceback of an interruption keeps it
    with _acquire(patient) as lease:
        assert lease.dead_tokens == {kept.token}
        assert _record(patient, 1)["token"] == lease.token
    kept.release()
    assert list(patient.list("")) == []


def test_a_lease_that_is_never_entered_goes_with_its_object(patient: _PatientStore) -> None:
    lease = _acquire(patient)
    assert len(list(patient.list(""))) == 1
    del lease
    assert list(patient.list("")) == []


def test_a_lease_that_another_thread_claimed_and_left_does_not_hold_up_a_retry(patient: _PatientStore) -> None:
    kept: list[Any] = []
    thread = threading.Thread(target=lambda: kept.append(_acquire(patient)))
    thread.start()
    thread.join()
    with _acquire(patient) as lease:
        assert lease.dead_tokens == {kept[0].token}


def test_a_lease_that_another_thread_holds_is_waited_for_whether_it_is_entered_yet_or_not(
    patient: _PatientStore,
) -> None:
    claimed, enter, entered, leave = (threading.Event() for _ in range(4))

    def work() -> None:
        lease = _acquire(patient)
        claimed.set()
        enter.wait(20)
        with lease:
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    claimed.wait(20)
    assert _acquire(patient, wait=False) is None
    enter.set()
    entered.wait(20)
    assert _acquire(patient, wait=False) is None
    leave.set()
    thread.join()
    with _acquire(patient):
        assert _record(patient, 0)["pid"] == os.getpid()


@pytest.mark.parametrize("at", ["create", "sync", "start", "look"])
def test_an_interruption_on_the_way_into_a_lease_leaves_nothing(
    patient: _PatientStore, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    with monkeypatch.context() as patch:
        if at == "create":
            patch.setattr(LocalStore, "_link", _interrupt)
        elif at == "sync":
            patch.setattr(LocalStore, "_sync_folder", _interrupt)
        elif at == "start":
            patch.setattr(threading.Thread, "start", _interrupt)
        looks = iter([lambda: False, _interrupt if at == "look" else lambda: False])
        with (
            pytest.raises(KeyboardInterrupt),
            _leases.acquire(patient, KEY, lambda: next(looks)(), lambda message: None),  # type: ignore[arg-type,union-attr]
        ):
            raise AssertionError("unreachable")
    assert list(patient.list("")) == []
    assert not _leases._held.here
    assert not _leases._this().claims
    with _acquire(patient):
        assert _record(patient, 0)["pid"] == os.getpid()


def test_an_interruption_while_the_thread_starts_stops_the_thread(
    patient: _PatientStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_and_interrupt)
        with pytest.raises(KeyboardInterrupt), _acquire(patient):
            raise AssertionError("unreachable")
    assert not any(thread.name.startswith("persistable points") for thread in threading.enumerate())
    assert list(patient.list("")) == []


def test_an_interruption_while_a_lease_is_given_back_does_not_hold_up_a_retry(
    patient: _PatientStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), _acquire(patient):
        patch.setattr(WrapperStore, "delete", _interrupt)
    assert len(list(patient.list(""))) == 1
    with _acquire(patient):
        assert _record(patient, 1)["pid"] == os.getpid()
    assert list(patient.list("")) == []


def test_where_no_thread_can_be_started_the_work_goes_on_without_beats(
    patient: _PatientStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert WaitingP(patient, WorldParams()).load_generate() == expected(WorldParams())
    assert not list(patient.list(WaitingP(patient, WorldParams()).key.folder + "/lease"))
    assert not _leases._held.here


def test_what_is_made_at_the_end_of_the_interpreter_is_persisted(tmp_path: Path, run_python: Any) -> None:
    code = """if True:
        import atexit, sys
        from persistable import Persistable
        class LateP(Persistable[int, None]):
            def _generate_payload(self):
                return 7
        atexit.register(lambda: print(LateP(sys.argv[1], None).load_generate(), LateP(sys.argv[1], None).load()))
    """
    assert run_python(code, str(tmp_path)) == "7 7\n"
    assert not list(tmp_path.rglob("lease"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_leaves_the_lease_of_its_parent_alone(patient: _PatientStore) -> None:
    lease = _acquire(patient)
    with lease:
        child = os.fork()
        if not child:
            status = 1
            try:
                lease.__exit__(None, None, None)
                status = 0 if _acquire(patient, wait=False) is None else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert _record(patient, 0)["token"] == lease.token
    assert list(patient.list("")) == []


# An object that asks for itself


class RecursiveP(WaitingP):
    def _generate_payload(self) -> bytes:
        return RecursiveP(self.data_dir, WorldParams()).payload


class RecursiveByOrderP(WaitingP):
    def _generate_payload(self) -> bytes:
        return RecursiveByOrderP(self.data_dir, WorldParams()).generate()


@pytest.mark.parametrize("kind", [RecursiveP, RecursiveByOrderP])
def test_a_generation_that_asks_for_its_own_payload_does_not_wait_for_itself(
    tmp_path: Path, kind: type[WaitingP]
) -> None:
    asked = kind(tmp_path, WorldParams())
    for ask in (asked.load_generate, asked.generate):
        with pytest.raises(NoPayloadError, match="would wait for itself"):
            ask()
    assert WaitingP(tmp_path, WorldParams()).load_generate() == expected(WorldParams())  # the thread is as before


def test_a_generation_may_ask_for_the_same_key_in_another_store(tmp_path: Path) -> None:
    class CopyingP(WaitingP):
        def _generate_payload(self) -> bytes:
            return WaitingP(tmp_path / "there", WorldParams(), payload_name=self.payload_name).load_generate()

    assert CopyingP(tmp_path / "here", WorldParams()).load_generate() == expected(WorldParams())


# The probe


class TestAStoreWhoseCreateIgnoresItsCondition:
    def test_is_refused_before_anything_is_generated(self, tmp_path: Path) -> None:
        store = CarelessStore(LocalStore(tmp_path))
        asked = WaitingP(store, WorldParams(fail=True))
        for ask in (asked.load_generate, asked.generate):
            with pytest.raises(StoreError, match=r"second create\(\).*single_flight=False"):
                ask()
        assert list(tmp_path.iterdir()) == []

    def test_is_used_without_single_flight_with_one_warning(self, tmp_path: Path) -> None:
        store = CarelessStore(LocalStore(tmp_path, single_flight=False))
        with pytest.warns(PersistableWarning, match="second create") as warned:
            artifacts.probe(store, KEY)
        assert len(warned) == 1
        artifacts.probe(store, KEY)  # a second warning would be an error
        assert WaitingP(store, WorldParams()).load_generate() == expected(WorldParams())
        assert WaitingP(store, WorldParams()).load() == expected(WorldParams())


def test_a_sound_store_is_probed_once_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    store = FaultyStore(LocalStore(tmp_path))
    for name in ("a", "b"):
        WaitingP(store, WorldParams(name)).load_generate()
    assert sum("probe." in operation and operation.startswith("create") for operation in store.operations) == 2
    assert not list(tmp_path.rglob("probe.*"))
