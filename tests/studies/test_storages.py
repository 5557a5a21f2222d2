"""Where trials lie: any storage is found, opened by many at once, and outlives workers that are killed."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import TrialState

from persistable.exceptions import MissingDependencyError, PersistableWarning, StudyError
from persistable.keys import ArtifactKey
from persistable.studies import journal, storages
from persistable.studies.journal import JournalLock
from persistable.studies.storages import TrialStorage, create_study, find_study, private_folder

KINDS = ["journal", "sqlite", "postgresql", "redis", "grpc"]


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Return a function that returns the URL of a new storage of a kind; of Redis and gRPC, there is one."""

    def url_of(kind: str) -> str:
        if kind == "postgresql":
            return request.getfixturevalue("postgresql_server").new_database()
        if kind in ("redis", "grpc"):
            return request.getfixturevalue(f"{kind}_server").url
        place = tmp_path / f"{kind}{time.monotonic_ns()}"
        return str(place) if kind == "journal" else f"sqlite:///{place}"

    return url_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def add_trials(storage: Any, study_id: int, count: int = 1) -> None:
    for _ in range(count):
        storage.set_trial_state_values(storage.create_new_trial(study_id), TrialState.COMPLETE, [1.0])


def begun(path: Path, count: int = 2) -> TrialStorage:
    """Return a journal of one study with some trials."""
    trials = TrialStorage(path, path)
    storage = trials.open()
    add_trials(storage, create_study(storage, "s", ["minimize"])[0], count)
    return trials


def bare(path: Path) -> JournalStorage:
    """Open a journal as Optuna does."""
    return JournalStorage(JournalFileBackend(str(path)))


def numbers(storage: Any) -> list[int]:
    return [trial.number for trial in storage.get_all_trials(storage.get_study_id_from_name("s"))]


# ---------------------------------------------------------------------------------------------------------------------
# What a storage is


def test_the_default_is_a_journal_file(tmp_path: Path) -> None:
    storage = TrialStorage(None, tmp_path / "journal.log")
    assert (storage.path, storage.url) == (tmp_path / "journal.log", str(tmp_path / "journal.log"))
    assert storage.exists() is False
    storage.open()
    assert storage.exists() is True


@pytest.mark.parametrize("given", ["sub/trials.log", Path("sub/trials.log"), "~/trials.log"])
def test_a_path_is_a_journal_wherever_the_process_goes(
    given: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "sub"))
    monkeypatch.chdir(tmp_path)
    storage = TrialStorage(given, Path("unused"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert storage.path == tmp_path / "sub" / "trials.log"
    storage.open()
    assert (tmp_path / "sub" / "trials.log").exists()


def test_a_relative_sqlite_path_is_the_same_file_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trials = TrialStorage("sqlite:///trials.db?timeout=5", Path("unused"))
    storage = trials.open()
    create_study(storage, "s", ["minimize"])
    trials.close(storage)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sent = pickle.loads(pickle.dumps(trials))
    assert sent.url == f"sqlite:///{tmp_path}/trials.db?timeout=5"
    assert sent.path == tmp_path / "trials.db"
    storage = sent.open()
    assert find_study(storage, "s") is not None
    sent.close(storage)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_braces_in_a_path_are_a_path(tmp_path: Path) -> None:
    trials = TrialStorage(f"sqlite:///{tmp_path}/{{x}}.db", Path("unused"))
    trials.close(trials.open())
    assert trials.path == tmp_path / "{x}.db"
    assert trials.path.exists()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://ann:se:c/ret@host:1/db", "postgresql+psycopg://ann:***@host:1/db"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("mysql://ann@host/db?sslpassword=secret&x=1", "mysql://ann@host/db?sslpassword=***&x=1"),
        ("grpc://host:13000", "grpc://host:13000"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    storage = TrialStorage(url, Path("unused"))
    assert storage.url == url
    assert str(storage) == shown
    assert repr(storage) == f"TrialStorage({shown!r})"
    assert storage.path is None
    assert storage.exists() is None


@pytest.mark.parametrize("given", ["", 3, "no url://x", object(), "sqlite://", "sqlite:///:memory:", "grpc://host"])
def test_what_is_no_storage_is_refused_with_what_would_be_one(given: Any) -> None:
    with pytest.raises(StudyError, match=r"A storage is the path of a journal file|Pass '(sqlite|grpc)://"):
        TrialStorage(given, Path("unused"))


@pytest.mark.parametrize("url", ["journal://x", "journal:///tmp/journal.log", "file:///tmp/journal.log"])
def test_a_journal_with_a_scheme_is_refused_with_the_schemes_that_there_are(url: str) -> None:
    with pytest.raises(StudyError, match=r"a journal has no scheme, only a path\. .*sqlite://.*redis://.*grpc://"):
        TrialStorage(url, Path("unused"))


def test_a_storage_object_is_used_as_it_is() -> None:
    given = InMemoryStorage()
    trials = TrialStorage(given, Path("unused"))
    assert trials.open() is given
    trials.close(given)
    assert (str(trials), trials.path, trials.exists()) == ("<InMemoryStorage>", None, None)
    assert find_study(given, "s") is None
    study_id, _ = create_study(given, "s", ["maximize"])
    assert find_study(given, "s") == study_id


def test_a_storage_is_a_value_that_needs_no_optuna(run_python: Any) -> None:
    code = """if True:
        import pickle, sys
        from pathlib import Path
        from persistable.studies.storages import TrialStorage
        for given in (None, "a.log", "sqlite:///a.db", "redis://h:1/0", "grpc://h:1", "postgresql://h/d"):
            repr(pickle.loads(pickle.dumps(TrialStorage(given, Path("x"))))).encode()
        print({"optuna", "sqlalchemy"} & set(sys.modules), list(Path().iterdir()))
    """
    assert run_python(code, cwd=None).startswith("set()")


@pytest.mark.parametrize("url", ["s3://bucket/x", "postgres://host/db"])
def test_a_url_that_nobody_knows_is_refused_with_what_is_possible(url: str) -> None:
    with pytest.raises(StudyError, match="A storage is the path of a journal file"):
        TrialStorage(url, Path("unused")).open()


def test_a_missing_driver_is_said_with_how_to_install_it() -> None:
    if storages.find_spec("pyodbc") is not None:
        pytest.skip("pyodbc is installed")
    with pytest.raises(MissingDependencyError, match=r"needs the driver 'pyodbc'.* pip install 'pyodbc'"):
        TrialStorage("mssql+pyodbc://host/db", Path("unused")).open()
    if storages.find_spec("MySQLdb") is None:
        with pytest.raises(MissingDependencyError, match="pip install 'mysqlclient'"):
            TrialStorage("mysql://host/db", Path("unused")).open()


@pytest.mark.parametrize(("package", "url"), [("redis", "redis://h:1/0"), ("grpc", "grpc://h:1")])
def test_a_missing_client_is_said_with_how_to_install_it(
    package: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(MissingDependencyError, match="pip install"):
        TrialStorage(url, Path("unused")).open()


@pytest.mark.parametrize("kind", ["postgresql+psycopg://ann:secret", "redis://:secret", "grpc://"])
def test_a_server_that_is_not_there_is_said_soon(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from servers import free_ports

    for package in ("psycopg", "redis", "grpc"):
        pytest.importorskip(package)
    monkeypatch.setattr(storages, "_SECONDS_TO_ANSWER", 0.5)
    with free_ports(1) as (port,):
        url = f"{kind}@127.0.0.1:{port}/0" if "secret" in kind else f"{kind}127.0.0.1:{port}"
        began = time.monotonic()
        with pytest.raises(StudyError, match="cannot be opened") as raised:
            TrialStorage(url, Path("unused")).open()
    assert time.monotonic() - began < 10
    assert "secret" not in str(raised.value)


def test_sqlite_on_a_network_drive_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages, "file_system", lambda path: "nfs4")
    trials = TrialStorage(f"sqlite:///{tmp_path}/trials.db", Path("unused"))
    with pytest.warns(PersistableWarning, match=r"network drive \(nfs4\).*Use a journal there"):
        trials.close(trials.open())


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "trials.db").write_text("something else, " * 100)
    began = time.monotonic()
    with pytest.raises(StudyError, match="file is not a database"):
        TrialStorage(f"sqlite:///{tmp_path}/trials.db", Path("unused")).open()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_place_that_cannot_be_written_is_said(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = f"{tmp_path}/file/trials"
    with pytest.raises(StudyError, match="cannot be opened"):
        TrialStorage(place if kind == "journal" else f"sqlite:///{place}", Path("unused")).open()


# ---------------------------------------------------------------------------------------------------------------------
# Studies


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_is_made_once_and_found_again(kind: str, url_of: Callable[[str], str]) -> None:
    trials = TrialStorage(url_of(kind), Path("unused"))
    storage = trials.open()
    assert find_study(storage, "s") is None
    study_id, made = create_study(storage, "s", ["minimize", "maximize"])
    assert made
    assert create_study(storage, "s", ["minimize", "maximize"]) == (study_id, False)
    add_trials_of_two = storage.create_new_trial(study_id)
    again = trials.open()
    assert find_study(again, "s") == study_id
    assert [trial._trial_id for trial in again.get_all_trials(study_id)] == [add_trials_of_two]
    storage.delete_study(study_id)  # Redis and gRPC are shared with other tests
    trials.close(storage)
    trials.close(again)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_new_study_is_no_news_to_the_console(kind: str, url_of: Callable[[str], str]) -> None:
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    optuna.logging.set_verbosity(optuna.logging.INFO)
    logging.getLogger("optuna").addHandler(handler)
    try:
        trials = TrialStorage(url_of(kind), Path("unused"))
        storage = trials.open()
        create_study(storage, "s", ["minimize"])
        assert heard == []
        storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "t")
        assert len(heard) == 1
        trials.close(storage)
    finally:
        logging.getLogger("optuna").removeHandler(handler)


_WORKER = """
import json, sys, time, traceback, warnings
from pathlib import Path
import optuna, optuna.storages, sqlalchemy, alembic.command, alembic.migration
from optuna.trial import TrialState
from persistable.studies.storages import TrialStorage, create_study
print("ready", flush=True)
for line in sys.stdin:
    try:
        trials = TrialStorage(line.strip(), Path("unused"))
        storage = trials.open()
        study_id, _ = create_study(storage, "s", ["minimize"])
        for _ in range(3):
            storage.set_trial_state_values(storage.create_new_trial(study_id), TrialState.COMPLETE, [1.0])
        trials.close(storage)
        print("done", flush=True)
    except BaseException:
        print(json.dumps(traceback.format_exc()), flush=True)
"""


@pytest.fixture(scope="module")
def six() -> Iterator[list[subprocess.Popen[str]]]:
    """Six processes that open a storage at once, each time that they are told to."""
    command = [sys.executable, "-W", "error", "-c", _WORKER]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    try:
        assert [_said(worker) for worker in workers] == ["ready"] * 6
        yield workers
    finally:
        for worker in workers:
            worker.communicate()


def _said(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def all_at_once(six: list[subprocess.Popen[str]], url: str) -> list[str]:
    for worker in six:
        assert worker.stdin is not None
        worker.stdin.write(f"{url}\n")
        worker.stdin.flush()
    return [said if (said := _said(worker)) == "done" else json.loads(said) for worker in six]


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["journal", "sqlite", "postgresql"])
def test_six_processes_open_a_new_study_at_once(
    kind: str, rounds: int, six: list[subprocess.Popen[str]], url_of: Callable[[str], str]
) -> None:
    for _ in range(rounds):
        url = url_of(kind)
        assert all_at_once(six, url) == ["done"] * 6
        trials = TrialStorage(url, Path("unused"))
        storage = trials.open()
        assert [study.study_name for study in storage.get_all_studies()] == ["s"]
        assert numbers(storage) == list(range(18))
        trials.close(storage)


# ---------------------------------------------------------------------------------------------------------------------
# A journal that was torn, or edited


def test_a_tail_torn_anywhere_is_cut_and_the_search_goes_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun(path)
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        caplog.clear()
        storage = TrialStorage(path, path).open()
        assert path.read_bytes() == whole[:start]
        said = [f"cut off {end - start} bytes" in message for message in caplog.messages]
        assert said == ([True] if end > start else [])
        assert [trial.state.name for trial in storage.get_all_trials(0)] == ["COMPLETE", "RUNNING"]
        add_trials(storage, 0)
        assert numbers(bare(path)) == [0, 1, 2]


def test_a_tail_torn_while_others_work_is_cut_by_whoever_writes_next(path: Path) -> None:
    trials = begun(path)
    one, two, plain = trials.open(), trials.open(), bare(path)
    add_trials(one, 0)
    torn = path.read_bytes().splitlines(keepends=True)[-1]
    for end in range(1, len(torn), 7):
        with open(path, "ab") as file:
            file.write(torn[:end])  # killed
        assert numbers(two) == numbers(plain) == numbers(one)
        add_trials(one, 0)
        assert numbers(two) == numbers(plain) == numbers(one)
        add_trials(two, 0)
        assert numbers(one) == numbers(plain) == numbers(bare(path))
    assert len(numbers(one)) == 3 + 2 * len(range(1, len(torn), 7))


def test_a_tail_longer_than_what_is_read_in_one_go_is_cut(path: Path) -> None:
    trials = begun(path)
    size = path.stat().st_size
    with open(path, "ab") as file:
        file.write(b"x" * 200_000)
    trials.open()
    assert path.stat().st_size == size
    path.write_bytes(b"x" * 200_000)
    trials.open()
    assert path.stat().st_size == 0


@pytest.mark.parametrize("line", [1, 3, 5])
@pytest.mark.parametrize("text", ['{"op_code": 4, "wor', "[1]", '{"a": 1}', "", "\x00\x00", "ü" * 200])
def test_a_line_that_was_edited_is_named(line: int, text: str, path: Path) -> None:
    trials = begun(path)
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    lines[line - 1] = f"{text}\n"
    path.write_text("".join(lines))
    with pytest.raises(StudyError, match=rf"journal\.log, line {line}: this is no entry.*Mend the file"):
        trials.open()


def test_a_line_that_is_spoilt_while_others_read_is_named(path: Path) -> None:
    trials = begun(path)
    storage = trials.open()
    with open(path, "a") as file:
        file.write('{"op_code":4,"wor{"op_code":4}\n{"op_code":4}\n')  # as bare Optuna leaves it after a kill
    with pytest.raises(StudyError, match="line 6"):
        storage.get_all_trials(0)


def test_entries_that_make_no_sense_are_refused(path: Path) -> None:
    path.write_text('{"op_code": 99, "worker_id": "x"}\n')
    with pytest.raises(StudyError, match="does not tell of studies as Optuna writes them"):
        TrialStorage(path, path).open()


def test_an_sqlite_file_is_no_journal(tmp_path: Path) -> None:
    trials = TrialStorage(f"sqlite:///{tmp_path}/trials.db", Path("unused"))
    trials.close(trials.open())
    with pytest.raises(StudyError, match=r"is an SQLite database.*storage='sqlite:///"):
        TrialStorage(tmp_path / "trials.db", Path("unused")).open()


def test_a_journal_set_aside_is_kept_and_another_begins(path: Path) -> None:
    trials = begun(path)
    before = path.read_bytes()
    writer = trials.open()
    aside = [trials.set_aside("s")]
    assert re.fullmatch(r"journal-\d{8}T\d{6}Z\.log", aside[0].name)
    assert aside[0].read_bytes() == before
    assert trials.exists() is False
    with pytest.raises(StudyError, match=r"journal\.log is gone: it was set aside"):
        writer.create_new_trial(0)
    with pytest.raises(StudyError, match="is gone"):
        writer.get_all_trials(0)
    for _ in range(3):  # in the same second
        begun(path, count=0)
        with pytest.raises(StudyError, match="another one is in its place"):
            writer.create_new_trial(0)
        aside.append(trials.set_aside("s"))
    assert len({*aside}) == 4
    assert not list(path.parent.glob("*.lock*"))
    with pytest.raises(StudyError, match="no journal of s at"):
        trials.set_aside("s")


def test_only_a_journal_can_be_set_aside(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"Only a journal.*trials of s lie.*delete_study\(study_name='s'"):
        TrialStorage(f"sqlite:///{tmp_path}/trials.db", Path("unused")).set_aside("s")


# ---------------------------------------------------------------------------------------------------------------------
# The lock


@pytest.fixture(params=["link", "file"])
def lock_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Locks as symbolic links, and as files, as on a drive that has no such links."""
    if request.param == "file":
        monkeypatch.setattr(os, "symlink", _no_links)
    return str(request.param)


_symlink = os.symlink


def _no_links(target: str, place: str) -> None:
    if journal._read(target) is not None:  # bare Optuna's own are let through
        raise PermissionError(1, "Operation not permitted")
    _symlink(target, place)


_HOLDER = """
import os, sys, time
from pathlib import Path
from persistable.studies.journal import JournalLock
if sys.argv[2] == "file":
    def symlink(*_): raise PermissionError(1, "Operation not permitted")
    os.symlink = symlink
JournalLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def killed_holder(path: Path, kind: str = "link") -> None:
    """Have a process take the lock, and kill it."""
    command = [sys.executable, "-c", _HOLDER, str(path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert _said(holder) == "held"
        holder.send_signal(signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="whether a process is dead is known on Linux only")
def test_the_lock_of_a_worker_that_was_killed_is_removed_at_once(path: Path, lock_kind: str) -> None:
    trials = begun(path)
    storage = trials.open()
    killed_holder(path, lock_kind)
    assert Path(f"{path}.lock").is_symlink() == (lock_kind == "link")
    assert os.path.lexists(f"{path}.lock")
    began = time.monotonic()
    add_trials(storage, 0)
    assert time.monotonic() - began < 2
    assert not os.path.lexists(f"{path}.lock")


@pytest.mark.skipif(sys.platform != "linux", reason="whether a process is dead is known on Linux only")
def test_six_that_wait_for_a_dead_worker_go_on_one_by_one(path: Path, six: list[subprocess.Popen[str]]) -> None:
    trials = begun(path, count=0)
    killed_holder(path)
    began = time.monotonic()
    assert all_at_once(six, str(path)) == ["done"] * 6
    assert time.monotonic() - began < 10
    assert numbers(trials.open()) == list(range(18))


_DYING = """
import fcntl, os, random, signal, sys, time
from pathlib import Path
from persistable.studies import journal
from persistable.studies.journal import JournalLock
journal._LONGEST_PAUSE = 0.002  # all are at it
path, rounds = Path(sys.argv[1]), int(sys.argv[2])
witness, unlink = str(path) + ".witness", os.unlink

def work(seed):
    draw = random.Random(seed)

    def late(place):  # what was found out about the lock may be true no more when it is acted on
        time.sleep(draw.random() * 0.002)
        unlink(place)

    os.unlink = late
    for _ in range(20):
        with JournalLock(path):
            # The kernel forgets this one with the process, before anybody can see that it is dead.
            file = os.open(witness, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.write(1, b"two held the lock\\n")
            time.sleep(draw.random() * 0.003)
            if draw.random() < 0.1:
                os.kill(os.getpid(), signal.SIGKILL)
            os.close(file)

path.touch()
began, killed = time.monotonic(), 0
living = set()
for seed in range(rounds):
    while len(living) >= 5:
        pid, status = os.wait()
        living.remove(pid)
        killed += os.WIFSIGNALED(status)
    if (pid := os.fork()) == 0:
        work(seed)
        os._exit(0)
    living.add(pid)
while living:
    pid, status = os.wait()
    living.remove(pid)
    killed += os.WIFSIGNALED(status)
print(killed, time.monotonic() - began)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="whether a process is dead is known on Linux only")
@pytest.mark.parametrize("rounds", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_two_never_hold_the_lock_however_many_die_with_it(rounds: int, path: Path, run_python: Any) -> None:
    killed, seconds = run_python(_DYING, str(path), str(rounds)).split()
    assert int(killed) > rounds / 2
    assert float(seconds) < rounds / 4  # and nobody waited for half a minute


_KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from optuna.trial import TrialState
from persistable.studies.storages import TrialStorage, create_study
path, rounds, draw = Path(sys.argv[1]), int(sys.argv[2]), random.Random(0)
trials = TrialStorage(path, path)
study_id, _ = create_study(trials.open(), "s", ["minimize"])

def work():
    storage = trials.open()
    while True:
        trial_id = storage.create_new_trial(study_id)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])

def start():
    if (pid := os.fork()) == 0:
        try:
            work()
        finally:
            os._exit(1)
    return pid

living = [start() for _ in range(3)]
for _ in range(rounds):
    time.sleep(draw.random() * 0.1)
    pid = living.pop(0)
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "a worker has failed"
    living.append(start())
for pid in living:
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "a worker has failed"
began = time.monotonic()
storage = trials.open()
storage.create_new_trial(study_id)
found = storage.get_all_trials(study_id)
assert time.monotonic() - began < 10, "waited for a dead worker"
assert [trial.number for trial in found] == list(range(len(found)))
print(sum(trial.state == TrialState.COMPLETE for trial in found), sum(trial.state.is_finished() for trial in found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="whether a process is dead is known on Linux only")
@pytest.mark.parametrize("rounds", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_workers_killed_at_any_moment_spoil_nothing(rounds: int, path: Path, run_python: Any) -> None:
    complete, finished = map(int, run_python(_KILLED, str(path), str(rounds)).split())
    assert complete == finished > 0
    assert numbers(bare(path))


@pytest.mark.parametrize("kind", [JournalFileSymlinkLock, JournalFileOpenLock])
def test_bare_optuna_and_we_exclude_each_other(kind: Any, path: Path, lock_kind: str) -> None:
    path.touch()
    for first, second in [(kind(str(path)), JournalLock(path)), (JournalLock(path), kind(str(path)))]:
        first.acquire()
        got = threading.Event()
        waiter = threading.Thread(target=lambda lock=second, got=got: (lock.acquire(), got.set()))
        waiter.start()
        assert not got.wait(0.3)
        assert waiter.is_alive()
        first.release()
        assert got.wait(5)
        waiter.join()
        second.release()
        assert not os.path.lexists(f"{path}.lock")


def test_the_lock_of_the_living_is_waited_for_and_that_of_the_unknown_removed_after_a_while(
    path: Path, lock_kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "GRACE", 0.5)
    trials = begun(path)
    JournalFileSymlinkLock(str(path)).acquire() if lock_kind == "link" else JournalFileOpenLock(str(path)).acquire()
    began = time.monotonic()
    add_trials(trials.open(), 0)
    assert 0.5 < time.monotonic() - began < 5
    assert "Nothing has happened under" in caplog.text


def test_a_lock_that_was_taken_from_us_is_left_to_whoever_has_it(
    path: Path, lock_kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "GRACE", 0.2)
    path.touch()
    paused, other = JournalLock(path), JournalLock(path)
    paused.acquire()
    other.acquire()
    paused.release()
    assert "was taken from a process that was paused" in caplog.text
    assert os.path.lexists(f"{path}.lock")
    other.release()
    assert not os.path.lexists(f"{path}.lock")


def test_an_interrupted_wait_leaves_the_lock_to_its_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    holder = JournalLock(path)
    holder.acquire()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        JournalLock(path).acquire()
    assert os.path.lexists(f"{path}.lock")
    holder.release()


def test_the_link_leads_to_the_journal_and_says_who_holds_it(path: Path) -> None:
    path.write_text("x")
    with JournalLock(path) as lock:
        assert Path(f"{path}.lock").read_text() == "x"
        assert journal._read(os.readlink(f"{path}.lock")) == lock._mine
    for identity in (bytes(32), b"\xff" * 32, os.urandom(32)):
        for place in ("/a", "/data/x./journal.log", "/data.d/j"):
            spelled = journal._spelled(place, identity)
            assert os.path.normpath(spelled) == place
            assert journal._read(spelled) == identity
    assert journal._read(str(path)) is None


# ---------------------------------------------------------------------------------------------------------------------
# This machine's folder


def test_journals_of_stores_that_are_no_folders_lie_in_a_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("platformdirs")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    key = ArtifactKey("3f9a0c", "search")
    assert not private_folder("s3://team/a", key, make=False).exists()
    folder = private_folder("s3://team/a", key)
    assert folder.is_dir()
    assert folder == private_folder("s3://team/a", key)
    if sys.platform == "linux":
        assert folder.relative_to(tmp_path / "state" / "persistable" / "studies").parts[1:] == ("search", "3f9a0c")
    others = [private_folder("s3://team/b", key), private_folder("s3://team/a", ArtifactKey("3f9a0d", "search"))]
    assert len({folder, *others}) == 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parents[2].stat().st_mode) == 0o700
