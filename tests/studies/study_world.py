"""Studies that are watched, and processes that work on them, to be killed, paused and interrupted.

As a script it forks a worker for each order that it reads on its standard input: a fork costs a hundredth of a new
interpreter with Optuna in it. A worker asks for a study, and writes what came of it to a file. What its objective
begins and finishes stands in a log that many workers share, so that a test knows what was really run, whatever the
study says. Whoever is to begin at the same moment as others waits at a gate: a file that the test has locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from persistable import LocalStore
from persistable.studies import Categorical, Float, Int, StudyP, StudyParams

__all__ = ["Process", "World", "by_ordinal", "finished_in", "params", "study_p", "trials_in"]


class WatchedP(StudyP[StudyParams]):
    """A search whose objective tells, in a log, what it begins and what it finishes."""

    def _objective(
        self,
        trial: Any,
        log: str | None = None,
        seconds: float = 0.003,
        dying: str | None = None,
        dying_at: Sequence[int] = (),
        **_: Any,
    ) -> float:
        from optuna import TrialPruned

        point = trial.params
        # Its own record, because loky's processes have this class by value, and no module to find a function in.
        told = None if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def tell(what: str) -> None:
            if told is not None:
                line = {"what": what, "number": trial.number, "point": point, "pid": os.getpid()}
                os.write(told, json.dumps(line).encode() + b"\n")  # one write is one line

        try:
            tell("begun")
            value = (point["x"] - 2) ** 2 + abs(point["n"] - 3) + {"a": 0.0, "b": 1.5}[point["kind"]]
            for step in range(3):
                time.sleep(seconds / 3)
                trial.report(value + 10 / (step + 1), step)
                if trial.should_prune():
                    tell("finished")
                    raise TrialPruned
            if dying is not None and trial.number in dying_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if dying is not None and not dying_at:
                # Whoever makes the file is the one that dies.
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(dying, os.O_CREAT | os.O_EXCL))
                    os.kill(os.getpid(), signal.SIGKILL)
            tell("finished")
            return value
        finally:
            if told is not None:
                os.close(told)


def params(**changes: Any) -> StudyParams:
    """Parameters of three kinds, a sampler that learns, a pruner that compares, and a point to begin with."""
    given: dict[str, Any] = {
        "search_space": {"x": Float(-5, 5), "n": Int(1, 9), "kind": Categorical(["a", "b"])},
        "enqueued": [{"x": 0.5, "n": 4, "kind": "b"}],
        "seed": 7,
    }
    return StudyParams(**{**given, **changes})


def study_p(data_dir: Any, *, store: dict[str, Any] | None = None, **options: Any) -> WatchedP:
    """The study that all of them work on; `store` are options of a LocalStore."""
    place = data_dir if store is None else LocalStore(data_dir, **store)
    return WatchedP(place, params(**options.pop("params", {})), payload_name="watched", **options)


# ---------------------------------------------------------------------------------------------------------------------
# What is in a storage, as others see it


@contextlib.contextmanager
def opened(storage: Path | str) -> Iterator[Any]:
    """Open a storage as bare Optuna does, to read it."""
    from optuna.storages import JournalStorage, RDBStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    if isinstance(storage, Path):
        yield JournalStorage(JournalFileBackend(str(storage)))
    elif storage.startswith("redis"):
        import warnings

        from optuna.storages.journal import JournalRedisBackend

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is experimental
            backend: Any = JournalRedisBackend(storage)
        yield JournalStorage(backend)
        backend._redis.close()
    else:
        database = RDBStorage(storage)
        yield get_storage(database)
        database.remove_session()
        database.engine.dispose()


def trials_in(storage: Path | str) -> list[Any]:
    """The trials of the one study that a storage holds; none before there is one."""
    if isinstance(storage, Path) and not storage.exists():
        return []
    with opened(storage) as reader:
        studies = reader.get_all_studies()
        assert len(studies) <= 1, [study.study_name for study in studies]
        return list(reader.get_all_trials(studies[0]._study_id, deepcopy=True)) if studies else []


def by_ordinal(trials: Sequence[Any]) -> dict[int, list[Any]]:
    """What came of each trial that has finished, by ordinal, without those that were lost."""
    from persistable.studies.seeding import Ordinals, is_lost

    ordinals = Ordinals()
    ordinals.read(trials)
    outcomes: dict[int, list[Any]] = {}
    for trial in trials:
        if trial.state.is_finished() and not is_lost(trial):
            ordinal = ordinals[trial.number]
            assert ordinal not in outcomes, f"trial {trial.number} repeats what has finished"
            steps = sorted(trial.intermediate_values.items())
            outcomes[ordinal] = [trial.state.name, dict(sorted(trial.params.items())), trial.values, *map(list, steps)]
    return dict(sorted(outcomes.items()))


def finished_in(log: Path, what: str = "finished") -> list[int]:
    """The numbers of the trials that were begun, or finished, by the word of the objective."""
    lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
    return [told["number"] for line in lines if (told := json.loads(line))["what"] == what]


# ---------------------------------------------------------------------------------------------------------------------
# In the test


class World:
    """A process that forks a worker for each order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Process] = []
        import persistable

        self._forks = subprocess.Popen(
            [sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(persistable.__file__).parents[1])},
        )

    def start(self, data_dir: Any, **order: Any) -> Process:
        """Start a worker that asks for the study; what it is told beyond names goes to `load_generate`."""
        answer = self.folder / f"answer-{len(self._started)}.json"
        order |= {"data_dir": str(data_dir), "answer": str(answer)}
        process = Process(self, self.order(fork=order), answer)
        self._started.append(process)
        return process

    def ask(self, data_dir: Any, **order: Any) -> dict[str, Any]:
        """Ask for the study in a process of its own, and return what came of it, which must be no error."""
        return self.start(data_dir, **order).answer()

    @contextlib.contextmanager
    def gate(self) -> Iterator[str]:
        """Let those who are started with this gate wait until the end of the block."""
        gate = self.folder / "gate"
        with gate.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield str(gate)

    def order(self, **order: Any) -> Any:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.write(json.dumps(order).encode() + b"\n")
        self._forks.stdin.flush()
        return json.loads(self._forks.stdout.readline())

    def end_all(self) -> None:
        """Kill who is still there."""
        for process in self._started:
            if process.status is None:
                process.kill()

    def close(self) -> None:
        self.end_all()
        self._forks.communicate(timeout=60)
        assert self._forks.returncode == 0


class Process:
    """A worker, which is told apart from others by its pid until it is waited for."""

    def __init__(self, world: World, pid: int, answer: Path) -> None:
        self.pid = pid
        self.status: int | None = None
        self._world = world
        self._answer = answer

    def send(self, number: signal.Signals) -> None:
        assert self.status is None
        os.kill(self.pid, number)

    def has_ended(self) -> bool:
        if self.status is None:
            self.status = self._world.order(look=self.pid)
        return self.status is not None

    def wait(self) -> int:
        """Wait for its end, and return the exit code, or less than 0 for a signal."""
        if self.status is None:
            self.status = self._world.order(wait=self.pid)
        assert self.status is not None
        return self.status

    def kill(self) -> int:
        """Kill it, unless it has ended before; return the exit code."""
        self.send(signal.SIGKILL)
        return self.wait()

    def said(self) -> dict[str, Any]:
        """Wait for its end, and return what it said, if only of its failure."""
        self.wait()
        said: dict[str, Any] = json.loads(self._answer.read_text())
        return said

    def answer(self) -> dict[str, Any]:
        """Wait for its end, and return what it said, which must be no failure."""
        said = self.said()
        assert said["error"] is None, said["traceback"]
        assert self.status == 0
        return said


# ---------------------------------------------------------------------------------------------------------------------
# In the process


class _Kept(logging.Handler):
    """Keeps what a user would be warned of."""

    kept: ClassVar[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.kept.append(record.getMessage())


def _work(order: dict[str, Any]) -> int:
    if gate := order.pop("gate", None):
        with open(gate) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
    os.environ.update(order.pop("environment", {}))
    answer = Path(order.pop("answer"))
    logging.getLogger().handlers = [_Kept()]
    said: dict[str, Any] = {"error": None}
    began = time.monotonic()
    code = 0
    try:
        named = {name: order.pop(name) for name in tuple(order) if name in _OPTIONS}
        persistable = study_p(order.pop("data_dir"), **named)
        for n_trials in _several(order.pop("n_trials", None)):
            study = persistable.load_generate(n_trials=n_trials, **order)
        trials = study.get_trials(deepcopy=False)
        said["outcomes"] = list(by_ordinal(trials).items())
        said["complete"] = sum(trial.state.name == "COMPLETE" for trial in trials)
        said["states"] = [trial.state.name for trial in trials]
        said["best"] = [study.best_value, study.best_params] if said["complete"] else None
    except BaseException as error:
        said |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    said |= {"warnings": _Kept.kept, "seconds": time.monotonic() - began}
    temporary = answer.with_suffix(".tmp")
    temporary.write_text(json.dumps(said))
    temporary.rename(answer)
    return code


_OPTIONS = ("store", "params", "storage", "storage_options", "cache_dir")


def _several(numbers: Any) -> list[Any]:
    return numbers if isinstance(numbers, list) else [numbers]


def _fork(work: Callable[[], int]) -> int:
    if process := os.fork():
        return process
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # the orders, and the replies to them, are for the parent
        os.dup2(2, 1)
        code = work()
    finally:
        os._exit(code)


def _main() -> None:
    with tempfile.TemporaryDirectory() as elsewhere:  # what a process does once, it does before it forks
        study_p(elsewhere, storage=f"sqlite:///{elsewhere}/trials.db").load_generate(n_trials=1)
    for line in sys.stdin:
        order = json.loads(line)
        reply: Any = None
        if "fork" in order:
            reply = _fork(lambda order=order: _work(order["fork"]))  # type: ignore[misc]
        else:
            pid, status = os.waitpid(*(order["wait"], 0) if "wait" in order else (order["look"], os.WNOHANG))
            reply = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    _main()
