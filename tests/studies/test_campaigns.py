"""Searches whose workers are killed, paused and interrupted, or all begin at once: no trial is lost, or run twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")
if sys.platform != "linux":
    pytest.skip("whether a process is dead is known for certain on Linux", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parent))  # study_world is a script too, for processes of its own

from optuna import Trial, create_study
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from servers import S3Server, TrialServer
from study_world import Process, World, by_ordinal, finished_in, params, study_p, trials_in

from persistable._processes import this_process
from persistable.studies.seeding import Ordinals, is_lost
from persistable.studies.space import distributions_of


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()


@pytest.fixture
def world(forks: World) -> Iterator[World]:
    yield forks
    forks.end_all()


def _journal(data_dir: Path) -> Path:
    key = study_p(data_dir).key
    return data_dir / key.folder / "journal.log"


def _wait_for(there: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.001)


class _Trials:
    """The complete trials that were ever seen in a storage; each must stay as it is."""

    def __init__(self, storage: Path | str) -> None:
        self.storage = storage
        self._seen: dict[int, Any] = {}

    def look(self) -> list[Any]:
        trials = trials_in(self.storage)
        complete = {trial.number: trial for trial in trials if trial.state == TrialState.COMPLETE}
        told = {number: (trial.params, trial.values, trial.intermediate_values) for number, trial in complete.items()}
        assert {number: told.get(number) for number in self._seen} == self._seen
        self._seen = told
        return trials


def _check_over(trials: list[Any], log: Path, kills: int, n_trials: int | None = None) -> None:
    """Nobody has left anything behind, and nothing was run twice but what was lost.

    Of several workers, one may have begun a trial more than there are to be, and be killed: its repetition waits, until
    more are asked for.
    """
    ordinals = Ordinals()
    ordinals.read(trials)
    complete = [ordinals[trial.number] for trial in trials if trial.state == TrialState.COMPLETE]

    def is_too_many(trial: Any) -> bool:
        before = sum(ordinal < ordinals[trial.number] for ordinal in complete)
        return n_trials is not None and trial.state == TrialState.WAITING and before >= n_trials

    trials = [trial for trial in trials if not is_too_many(trial)]
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    lost = {trial.number for trial in trials if is_lost(trial)}
    assert len(lost) <= kills
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL and trial.number not in lost] == []
    by_ordinal(trials)  # each finishes once
    finished = finished_in(log)
    assert len(finished) == len(set(finished))
    assert {trial.number for trial in trials} - lost <= set(finished)
    assert set(finished) - {trial.number for trial in trials} == set()


# ---------------------------------------------------------------------------------------------------------------------
# One worker


def _is_at_work(process: Process, log: Path) -> bool:
    return log.exists() and f'"pid": {process.pid}}}'.encode() in log.read_bytes()


def _killed_again_and_again(world: World, place: Path, kills: int, seed: int) -> int:
    """Kill the only worker at random moments, until there were so many kills; return how many trials were lost."""
    moments = random.Random(seed)
    whole = world.ask(place / "whole", n_trials=24)
    killed = lost = searches = 0
    while killed < kills:
        searches += 1
        data_dir, log = place / f"{searches}", place / f"{searches}.log"
        watched = _Trials(_journal(data_dir))
        killed_here = 0
        while True:
            worker = world.start(data_dir, n_trials=24, log=str(log))
            if killed < kills:
                if moments.random() < 0.8:  # else while it opens the study, perhaps
                    _wait_for(lambda worker=worker, log=log: _is_at_work(worker, log) or worker.has_ended())
                time.sleep(moments.random() * 0.15)
                watched.look()
                if worker.status is None and worker.kill() == -signal.SIGKILL:
                    killed += 1
                    killed_here += 1
                    watched.look()
                    continue
            found = worker.answer()
            break
        trials = watched.look()
        _check_over(trials, log, killed_here)
        lost += sum(map(is_lost, trials))
        assert found["outcomes"] == whole["outcomes"]
        assert found["best"] == whole["best"]
        before = log.read_bytes()
        assert world.ask(data_dir, n_trials=24, log=str(log))["outcomes"] == whole["outcomes"]
        assert log.read_bytes() == before
    return lost


def test_a_worker_that_is_killed_six_times_loses_and_repeats_nothing(world: World, tmp_path: Path) -> None:
    _killed_again_and_again(world, tmp_path, 6, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_worker_that_is_killed_fifty_times_loses_and_repeats_nothing(world: World, tmp_path: Path) -> None:
    assert _killed_again_and_again(world, tmp_path, 50, seed=2) > 10  # kills that hit a trial


def test_a_search_that_was_paused_goes_on(world: World, tmp_path: Path) -> None:
    whole = world.ask(tmp_path / "whole", n_trials=12)
    log = tmp_path / "log"
    worker = world.start(tmp_path / "a", n_trials=12, log=str(log), seconds=0.03, store={"time_to_live": 0.2})
    for _ in range(2):
        begun = len(finished_in(log, "begun"))
        _wait_for(lambda begun=begun: len(finished_in(log, "begun")) > begun)
        worker.send(signal.SIGSTOP)
        time.sleep(0.5)
        worker.send(signal.SIGCONT)
    assert worker.answer()["outcomes"] == whole["outcomes"]
    assert not any(map(is_lost, trials_in(_journal(tmp_path / "a"))))


def test_a_worker_that_was_paused_for_too_long_has_lost_its_trial_and_goes_on(world: World, tmp_path: Path) -> None:
    log, quick = tmp_path / "log", {"time_to_live": 0.4}
    paused = world.start(tmp_path, n_trials=30, log=str(log), seconds=0.06, store=quick)
    _wait_for(lambda: _is_at_work(paused, log))
    _stop_between_writes(paused, _journal(tmp_path))
    other = world.start(tmp_path, n_trials=30, log=str(log), seconds=0.06, store=quick)
    _wait_for(lambda: any(map(is_lost, trials_in(_journal(tmp_path)))))
    paused.send(signal.SIGCONT)
    answers = [paused.answer(), other.answer()]
    trials = trials_in(_journal(tmp_path))
    assert [trial for trial in trials if not trial.state.is_finished()] == []
    assert 30 <= answers[0]["complete"] <= 31
    assert by_ordinal(trials).keys() == set(range(len(by_ordinal(trials))))
    assert any("taken over" in warning for warning in answers[0]["warnings"])


def _stop_between_writes(process: Process, journal: Path) -> None:
    """Stop a process that has no lock, which others would wait for."""
    for _ in range(1000):
        process.send(signal.SIGSTOP)
        _wait_for(lambda: _state_of(process.pid) == b"T")
        if not os.path.lexists(f"{journal}.lock"):
            return
        process.send(signal.SIGCONT)
        time.sleep(0.001)
    pytest.fail("it always writes")


def _state_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]


def test_ctrl_c_leaves_nothing_running_and_nothing_lost(world: World, tmp_path: Path) -> None:
    whole = world.ask(tmp_path / "whole", n_trials=12)
    log, watched = tmp_path / "log", _Trials(_journal(tmp_path / "a"))
    for n_finished in (1, 4, 7):
        worker = world.start(tmp_path / "a", n_trials=12, log=str(log), seconds=0.05)
        _wait_for(lambda n_finished=n_finished: len(finished_in(log)) >= n_finished)
        worker.send(signal.SIGINT)
        said = worker.said()
        assert worker.status == 130
        assert said["error"] == "KeyboardInterrupt: "
        assert "load_generate() goes on" in said["warnings"][-1]
        assert [trial for trial in watched.look() if trial.state == TrialState.RUNNING] == []
    assert world.ask(tmp_path / "a", n_trials=12, log=str(log))["outcomes"] == whole["outcomes"]
    _check_over(watched.look(), log, 3)


# ---------------------------------------------------------------------------------------------------------------------
# Several workers


def _three_of_whom_one_is_killed(
    world: World, place: Path, kills: int, seed: int, *, sqlite: bool, n_trials: int = 60
) -> None:
    moments = random.Random(seed)
    killed = searches = 0
    while killed < kills:
        searches += 1
        data_dir, log = place / f"{searches}", place / f"{searches}.log"
        order: dict[str, Any] = {"n_trials": n_trials, "log": str(log), "seconds": 0.01}
        watched = _Trials(_journal(data_dir))
        if sqlite:
            order["storage"] = watched.storage = f"sqlite:///{place}/{searches}.db"
        workers = [world.start(data_dir, **order) for _ in range(3)]
        killed_here = 0
        _wait_for(lambda log=log: len(finished_in(log)) > 0)
        while killed < kills:
            time.sleep(moments.random() * 0.3)
            watched.look()
            victim = moments.randrange(3)
            if workers[victim].has_ended():
                break
            if workers[victim].kill() == -signal.SIGKILL:
                killed += 1
                killed_here += 1
                workers[victim] = world.start(data_dir, **order)
        answers = [worker.answer() for worker in workers]
        trials = watched.look()
        _check_over(trials, log, killed_here, n_trials)
        complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
        assert n_trials <= complete <= n_trials + 2
        assert all(n_trials <= answer["complete"] <= complete for answer in answers)


@pytest.mark.parametrize("sqlite", [False, True], ids=["journal", "sqlite"])
def test_of_three_workers_any_can_be_killed(world: World, tmp_path: Path, sqlite: bool) -> None:
    _three_of_whom_one_is_killed(world, tmp_path, 3, 3, sqlite=sqlite, n_trials=20 if sqlite else 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sqlite", [False, True], ids=["journal", "sqlite"])
def test_of_three_workers_fifty_can_be_killed(world: World, tmp_path: Path, sqlite: bool) -> None:
    _three_of_whom_one_is_killed(world, tmp_path, 50, 4, sqlite=sqlite)


def _six_at_once(world: World, data_dirs: list[Path], storage: Path | str, n_trials: int = 12) -> int:
    """Let six open a fresh study at the same moment; return how many trials were complete at the end."""
    log = data_dirs[0].with_suffix(".log")
    order: dict[str, Any] = {"n_trials": n_trials, "log": str(log)}
    if isinstance(storage, str):
        order["storage"] = storage
    with world.gate() as gate:
        workers = [world.start(data_dir, gate=gate, **order) for data_dir in data_dirs]
    answers = [worker.answer() for worker in workers]
    trials = trials_in(storage)  # of one study
    _check_over(trials, log, 0)
    stored = by_ordinal(trials)
    complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
    assert n_trials <= complete <= n_trials + 5
    for answer in answers:
        assert n_trials <= answer["complete"] <= complete
        assert dict(answer["outcomes"]).items() <= stored.items()
    before = log.read_bytes()
    for data_dir in dict.fromkeys(data_dirs):
        persisted = study_p(data_dir)
        assert by_ordinal(persisted.load().trials).items() <= stored.items()
        assert persisted.load_generate(n_trials=n_trials, log=str(log)) is persisted.payload
    assert log.read_bytes() == before
    begun = [json.loads(line)["point"] for line in before.splitlines() if b'"begun"' in line]
    # Who does not share a store shares no lease, and may enqueue what another one is enqueueing.
    assert 1 <= begun.count(params().enqueued[0]) <= len(set(data_dirs))
    return complete


@pytest.mark.parametrize("where", ["journal", "sqlite"])
def test_six_processes_that_open_a_fresh_study_at_once_make_one(world: World, tmp_path: Path, where: str) -> None:
    for turn in range(2):
        _six_in_a_file(world, tmp_path / f"{turn}", where, n_trials=6)


def _six_in_a_file(world: World, data_dir: Path, where: str, n_trials: int) -> int:
    storage = _journal(data_dir) if where == "journal" else f"sqlite:///{data_dir}.db"
    return _six_at_once(world, [data_dir] * 6, storage, n_trials)


def test_six_processes_that_open_a_fresh_study_in_postgresql_at_once_make_one(
    world: World, tmp_path: Path, postgresql_server: TrialServer
) -> None:
    _six_at_once(world, [tmp_path / "same"] * 6, postgresql_server.new_database(), n_trials=6)


def test_six_processes_with_folders_of_their_own_make_one_study_in_postgresql(
    world: World, tmp_path: Path, postgresql_server: TrialServer
) -> None:
    _six_at_once(world, [tmp_path / f"{n}" for n in range(6)], postgresql_server.new_database(), n_trials=6)


def test_six_processes_with_folders_of_their_own_make_one_study_in_redis(
    world: World, tmp_path: Path, redis_server: TrialServer
) -> None:
    database = redis_server.url.removesuffix("/0") + "/1"  # other tests have studies in the first one
    _six_at_once(world, [tmp_path / f"{n}" for n in range(6)], database)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("where", ["journal", "sqlite"])
def test_six_processes_open_a_fresh_study_at_once_twenty_times(world: World, tmp_path: Path, where: str) -> None:
    for turn in range(20):
        _six_in_a_file(world, tmp_path / f"{turn}", where, n_trials=12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_six_processes_open_a_fresh_study_in_postgresql_at_once_twenty_times(
    world: World, tmp_path: Path, postgresql_server: TrialServer
) -> None:
    for turn in range(20):
        _six_at_once(world, [tmp_path / f"{turn}"] * 6, postgresql_server.new_database())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_six_workers_overshoot_a_target_of_twenty_by_at_most_five(world: World, tmp_path: Path) -> None:
    for turn in range(20):
        data_dir = tmp_path / f"{turn}"
        _six_at_once(world, [data_dir] * 6, _journal(data_dir), n_trials=20)


# ---------------------------------------------------------------------------------------------------------------------
# Several machines


def test_two_machines_take_turns_through_a_bucket(world: World, tmp_path: Path, s3_server: S3Server) -> None:
    whole = world.ask(tmp_path / "whole", n_trials=30)
    url, log = f"s3://{s3_server.bucket}/{tmp_path.name}", tmp_path / "log"

    def ask(machine: str, n_trials: int) -> dict[str, Any]:
        state = tmp_path / machine
        return world.ask(
            url,
            storage_options=s3_server.options(),
            cache_dir=str(tmp_path / f"cache of {machine}"),
            environment={"XDG_STATE_HOME": str(state)},
            n_trials=n_trials,
            log=str(log),
        )

    def first(n_complete: int) -> list[Any]:
        found, complete = [], 0
        for outcome in whole["outcomes"]:
            if complete < n_complete:
                found.append(outcome)
                complete += outcome[1][0] == "COMPLETE"
        return found

    assert ask("first", 10)["outcomes"] == first(10)
    (journal,) = (tmp_path / "first").rglob("journal.log")
    assert journal.is_relative_to(tmp_path / "first" / "persistable" / "studies")
    run = len(finished_in(log))
    assert ask("second", 10)["outcomes"] == first(10)
    assert len(finished_in(log)) == run  # a hit
    assert not (tmp_path / "second").exists()
    assert ask("second", 20)["outcomes"] == first(20)
    assert ask("first", 30)["outcomes"] == first(30) == whole["outcomes"]
    assert ask("second", 30)["outcomes"] == whole["outcomes"]
    assert sorted(finished_in(log)) == list(range(len(whole["outcomes"])))


class _Running:
    """A running trial, and the signs of life that its worker gives, as far as a storage can tell."""

    def __init__(self, journal: Path, system_attrs: dict[str, Any]) -> None:
        self._storage = JournalStorage(JournalFileBackend(str(journal)))
        name = self._storage.get_all_studies()[0].study_name
        self.study = create_study(storage=self._storage, study_name=name, load_if_exists=True)
        born = create_trial(state=TrialState.RUNNING, system_attrs=system_attrs)
        self.trial = Trial(self.study, self._storage.create_new_trial(self.study._study_id, template_trial=born))

    def state(self) -> TrialState:
        return self._storage.get_trial(self.trial._trial_id).state

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            count = 0
            while not ended.wait(0.1):
                count += 1
                with contextlib.suppress(UpdateFinishedTrialError):
                    self._storage.set_trial_system_attr(self.trial._trial_id, "persistable:beat", count)

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


_ELSEWHERE = {"host": "elsewhere", "machine": "another boot/1", "pid": 1, "started": 1, "token": "0" * 16}


def _begin(world: World, data_dir: Path) -> int:
    """Begin a search, and return how many trials it has."""
    return len(world.ask(data_dir, n_trials=3)["states"])


def test_the_trial_of_a_worker_elsewhere_that_has_fallen_silent_is_repeated(world: World, tmp_path: Path) -> None:
    whole = world.ask(tmp_path / "whole", n_trials=10)
    begun = _begin(world, tmp_path)
    elsewhere = _Running(_journal(tmp_path), {"persistable:worker": _ELSEWHERE})
    began = time.monotonic()
    found = world.ask(tmp_path, n_trials=10, store={"time_to_live": 0.5})
    assert 0.5 < time.monotonic() - began < 10
    assert elsewhere.state() == TrialState.FAIL
    assert any(f"worker of trial {begun} has died" in warning for warning in found["warnings"])
    trials = trials_in(_journal(tmp_path))
    assert [trial.number for trial in trials if is_lost(trial)] == [begun]
    assert found["outcomes"][:begun] == whole["outcomes"][:begun]
    assert 10 <= found["complete"] <= 11


def test_the_trial_of_a_worker_elsewhere_that_beats_is_waited_for(world: World, tmp_path: Path) -> None:
    _begin(world, tmp_path)
    elsewhere = _Running(_journal(tmp_path), {"persistable:worker": _ELSEWHERE})
    with elsewhere.beating():
        worker = world.start(tmp_path, n_trials=10, store={"time_to_live": 2.0})
        _wait_for(lambda: sum(trial.state == TrialState.COMPLETE for trial in trials_in(_journal(tmp_path))) == 9)
        time.sleep(3)
        assert not worker.has_ended()
        assert elsewhere.state() == TrialState.RUNNING
        for name, distribution in distributions_of(params().search_space).items():
            elsewhere.trial._suggest(name, distribution)
        elsewhere.study.tell(elsewhere.trial, -1)
    found = worker.answer()
    assert found["complete"] == 10
    assert found["best"][0] == -1
    assert not any(map(is_lost, trials_in(_journal(tmp_path))))


def test_who_was_killed_between_taking_a_trial_and_saying_so_is_not_waited_for(world: World, tmp_path: Path) -> None:
    begun = _begin(world, tmp_path)
    dead = world.start(tmp_path, n_trials=1)
    dead.wait()
    claims = {f"persistable:claim:{n}": {**this_process(), "pid": dead.pid, "token": n} for n in ("a", "b")}
    _Running(_journal(tmp_path), claims)
    began = time.monotonic()
    assert world.ask(tmp_path, n_trials=10, store={"time_to_live": 60})["complete"] == 10
    assert time.monotonic() - began < 20
    assert [trial.number for trial in trials_in(_journal(tmp_path)) if is_lost(trial)] == [begun]


def test_who_has_taken_a_trial_and_not_yet_said_so_is_waited_for(world: World, tmp_path: Path) -> None:
    _begin(world, tmp_path)
    alive = {**this_process(), "token": "a"}
    dead = {**alive, "started": 1, "token": "b"}
    _Running(_journal(tmp_path), {f"persistable:claim:{each['token']}": each for each in (alive, dead)})
    began = time.monotonic()
    assert world.ask(tmp_path, n_trials=10, store={"time_to_live": 1})["complete"] >= 10
    assert time.monotonic() - began > 1


# ---------------------------------------------------------------------------------------------------------------------
# Worker processes of one call


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_children(child)]
    return found


def _is_alive(pid: int) -> bool:
    try:
        return _state_of(pid) not in b"ZX"
    except OSError:
        return False


def test_a_worker_process_that_dies_is_replaced_by_the_others(world: World, tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = world.ask(tmp_path, n_trials=20, n_processes=3, log=str(log), dying=str(tmp_path / "died"), seconds=0.02)
    trials = trials_in(_journal(tmp_path))
    _check_over(trials, log, 1)
    assert sum(map(is_lost, trials)) == 1
    assert 20 <= found["complete"] <= 22
    assert any("worker process has ended early" in warning for warning in found["warnings"])


def test_when_all_worker_processes_die_the_search_fails_and_what_is_complete_is_kept(
    world: World, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    order: dict[str, Any] = {"n_trials": 12, "log": str(log), "seconds": 0.02}
    process = world.start(tmp_path, n_processes=3, dying="yes", dying_at=list(range(4, 100)), **order)
    said = process.said()
    assert said["error"].startswith("StudyError: All 3 worker processes have died")
    watched = _Trials(_journal(tmp_path))
    kept = [trial.number for trial in watched.look() if trial.state == TrialState.COMPLETE]
    assert kept
    found = world.ask(tmp_path, **order)
    assert found["complete"] >= 12
    _check_over(watched.look(), log, 3)


@pytest.mark.parametrize("to_all", [False, True], ids=["to the parent", "to all of them"])
def test_ctrl_c_leaves_no_worker_process_behind(world: World, tmp_path: Path, to_all: bool) -> None:
    log = tmp_path / "log"
    order: dict[str, Any] = {"n_trials": 20, "n_processes": 3, "log": str(log), "seconds": 0.05}
    process = world.start(tmp_path, **order)
    _wait_for(lambda: len(finished_in(log)) >= 4)
    children = _children(process.pid)
    assert len(children) >= 3
    for pid in [*(children if to_all else []), process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    assert process.said()["error"] == "KeyboardInterrupt: "
    _wait_for(lambda: not any(map(_is_alive, children)), seconds=5)
    found = world.ask(tmp_path, **order)
    assert 20 <= found["complete"] <= 22
    _check_over(trials_in(_journal(tmp_path)), log, 3)
