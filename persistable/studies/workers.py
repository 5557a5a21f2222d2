"""Who runs a trial, and whether they are still alive.

A worker that is killed leaves its trial RUNNING for ever, and most storages have no sign of life. So a trial is born
with the record of its process; and while it runs for long, its worker beats: it counts up an attribute of the trial. A
trial is dead when its process is known to be, on the same machine; else when its beat has not changed for the time to
live, on the watcher's own clock. Trials that are over within a fraction of that cost nothing.

A trial that waits is run by whoever is the first to say so, and can be killed before it has left its record. So
everybody who tries leaves it as a claim before; a running trial without a record is dead when all who claimed it are.

=============================  ========================  ======================================================
system attribute               of                        says
=============================  ========================  ======================================================
``persistable:worker``         a trial, from birth       host, pid and start of its process, token of its worker
``persistable:claim:<token>``  a trial that has waited   the same, of one who wanted to run it
``persistable:beat``           a trial that takes long   a number that grows while the worker lives
=============================  ========================  ======================================================
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from .._integrity import new_token
from .._processes import is_dead, this_process

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

__all__ = ["OF_WORKERS", "WORKER", "Worker", "owner_of"]

WORKER: Final = "persistable:worker"
_CLAIM: Final = "persistable:claim:"
_BEAT: Final = "persistable:beat"

OF_WORKERS: Final = frozenset({WORKER, _BEAT})
"""System attributes that say who runs a trial, and mean nothing once it has finished."""

_alive: set[tuple[int, str]] = set()
"""(pid, token) of the workers of this process; the pid, because a process that is forked from it has none of them."""


class Worker:
    """A worker of this process, with its signs of life; a context manager.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        Where its trials lie.
    time_to_live : float
        Seconds without a sign of life after which a worker on another machine is taken for dead.
    """

    def __init__(self, storage: BaseStorage, time_to_live: float) -> None:
        self.record: dict[str, Any] = {**this_process(), "token": new_token() + new_token()}
        self.claim = f"{_CLAIM}{self.record['token']}"
        self._storage = storage
        self._time_to_live = time_to_live
        self._running: dict[int, int] = {}  # id of a trial -> beats that it has seen
        self._seen: dict[int, tuple[object, float, float]] = {}  # number -> beat, when looked at, unchanged for so long
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def __enter__(self) -> Worker:
        _alive.add((os.getpid(), self.record["token"]))
        self._beating = threading.Thread(target=self._beat, name="persistable beats of trials", daemon=True)
        try:
            self._beating.start()
        except RuntimeError:  # none to be had: who waits for long enough runs the trial too
            self._beating = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _alive.discard((os.getpid(), self.record["token"]))
        self._ended.set()
        if self._beating is not None:
            self._beating.join()

    @contextlib.contextmanager
    def running(self, trial_id: int) -> Iterator[None]:
        """Give signs of life for a trial meanwhile."""
        with self._lock:
            self._running[trial_id] = 0
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(trial_id, None)

    def _beat(self) -> None:
        while not self._ended.wait(self._time_to_live / 4):
            with self._lock:
                due = [(trial_id, count) for trial_id, count in self._running.items() if count > 0]
                self._running = {trial_id: count + 1 for trial_id, count in self._running.items()}
            for trial_id, count in due:
                # The next beat may get through; one that comes too late finds the trial finished, which is refused.
                with contextlib.suppress(Exception):
                    self._storage.set_trial_system_attr(trial_id, _BEAT, count)

    def dead(self, running: Iterable[FrozenTrial]) -> list[int]:
        """Return the numbers of running trials whose workers are dead; to be asked again and again."""
        dead = []
        now = time.monotonic()
        seen, self._seen = self._seen, {}
        for trial in running:
            record = owner_of(trial)
            if record.get("token") == self.record["token"]:
                continue
            beat = trial.system_attrs.get(_BEAT)
            before, looked, unchanged = seen.get(trial.number, (beat, now, 0.0))
            # A watcher that was stopped itself, and the worker perhaps with it, has not watched meanwhile.
            unchanged = unchanged + min(now - looked, self._time_to_live / 2) if before == beat else 0.0
            self._seen[trial.number] = beat, now, unchanged
            if self._is_over(trial) or unchanged > self._time_to_live:
                dead.append(trial.number)
        return dead

    def _is_over(self, trial: FrozenTrial) -> bool:
        """Return whether whoever runs a trial is known to be dead."""
        if record := owner_of(trial):
            return _is_dead(record)
        claims = [record for name, record in trial.system_attrs.items() if name.startswith(_CLAIM)]
        # Ours was in vain: it is somebody else's trial.
        return bool(claims) and all(claim["token"] == self.record["token"] or _is_dead(claim) for claim in claims)


def owner_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the record of the process that runs a trial; empty if it says nothing (yet)."""
    record = trial.system_attrs.get(WORKER)
    return record if isinstance(record, dict) else {}


def _is_dead(record: dict[str, Any]) -> bool:
    here = this_process()
    if record.get("token") and all(record.get(name) == value for name, value in here.items()):
        return (os.getpid(), record["token"]) not in _alive
    return is_dead(record)
