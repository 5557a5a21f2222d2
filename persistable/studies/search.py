"""The search itself: trial after trial, together with whoever else works on the same study, until there are enough.

Optuna's ``study.optimize`` counts the trials that it adds; this loop counts those that there are. Before each trial it
reads what all workers have done, and begins one more only if those that are complete or running do not suffice. Else
it waits for the running ones: one of them may be pruned or fail, and then another one is needed. Workers decide at the
same time, each by itself, so that a study may end with up to one trial per further process more than was asked for.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Final, NamedTuple

from .._text import amount
from ..exceptions import MissingDependencyError, StudyError
from .algorithms import Constraints
from .seeding import SeededSampler, is_lost, repeat_lost
from .space import SearchSpace, distributions_of, suggest_all
from .storages import afresh, set_trial_params, takes_one_at_a_time
from .tally import Tally
from .workers import WORKER, Worker, owner_of

try:
    from optuna import Study, Trial, TrialPruned
    from optuna.distributions import BaseDistribution
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState, create_trial
except ModuleNotFoundError as error:
    raise MissingDependencyError.of("optuna", extra="optuna", purpose="A study") from error

__all__ = ["ERROR", "SAME_AS", "Limits", "Search", "UndeclaredParameterError"]

ERROR: Final = "persistable:error"
"""User attribute of a failed trial: the traceback of what the objective raised."""

SAME_AS: Final = "persistable:same_as"
"""User attribute of a trial that was not run: the number of the one at the same point, whose values it has."""

_FIRST_PAUSE = 0.01  # seconds between two looks at what others do; grows
_LONGEST_PAUSE = 0.5
_LONGEST_TRACEBACK = 20_000  # characters; a recursion that never ends has more


class Limits(NamedTuple):
    """When a search is to end.

    Attributes
    ----------
    n_trials : int or None
        As soon as there are that many complete trials, with none unfinished before them.
    deadline : float or None
        At this time, by ``time.time()``; the trial that runs then is finished.
    max_failures : int or None
        With an error, as soon as that many trials have failed since it began.
    """

    n_trials: int | None = None
    deadline: float | None = None
    max_failures: int | None = 10


class Search:
    """One process's part in the search.

    Parameters
    ----------
    study : optuna.Study
        The study, with its :class:`.seeding.SeededSampler`.
    space : mapping of str to Float, Int or Categorical
        The search space.
    objective : callable
        Called with a trial whose parameters are drawn; returns its value or values.
    limits : Limits
        When to end.
    worker : Worker
        Who we are.
    alone : callable
        Returns a context manager in which nobody else opens or mends the study.
    say, warn : callable
        Told, in a sentence each, what happens.
    show : callable
        Called with the tally and the best trial so far, for people who watch.
    deterministic : bool
        Whether a point that is known need not be run again.
    constraints : callable, optional
        The hook that tells how far a trial violates each constraint. The sampler calls it when the trial has ended; it
        is tried before, so that one that raises fails its trial.
    """

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        objective: Callable[[Trial], Any],
        limits: Limits,
        worker: Worker,
        *,
        alone: Callable[[], contextlib.AbstractContextManager[Any]],
        say: Callable[[str], None],
        warn: Callable[[str], None],
        show: Callable[[Tally], None],
        deterministic: bool = False,
        constraints: Constraints | None = None,
    ) -> None:
        self._study = study
        self._space = space
        self._distributions = distributions_of(space)
        self._objective = objective
        self._limits = limits
        self._worker = worker
        self._alone = alone
        self._say = say
        self._warn = warn
        self._show = show
        self._constraints = constraints
        self._known: dict[tuple[Any, ...], FrozenTrial] | None = {} if deterministic else None
        self._known_up_to = 0
        self._tally = Tally(study.get_trials(deepcopy=False))
        self._failed_before = self._tally.count(TrialState.FAIL)
        self._last_error: Exception | None = None
        self._deciding = threading.Lock()
        self._stopped = threading.Event()

    def run(self, n_jobs: int = 1) -> None:
        """Run trials until a limit is reached, `n_jobs` at a time, each in a thread.

        Raises
        ------
        StudyError
            If too many trials have failed, or the objective asks for what is not in the search space.
        """
        with self._worker:
            try:
                if n_jobs == 1:
                    self._work()
                else:
                    self._work_in_threads(n_jobs)
            except BaseException:
                # Ctrl-C, or a storage that is out of reach: what was begun here, nobody else is to wait for.
                with contextlib.suppress(Exception):
                    self._give_back()
                raise

    def _give_back(self) -> None:
        study = copy.copy(self._study)
        study._storage = afresh(study._storage)  # Ctrl-C can have come while it was reading
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        token = self._worker.record["token"]
        repeat_lost(study, [trial.number for trial in running if owner_of(trial).get("token") == token])

    def _work_in_threads(self, n_jobs: int) -> None:
        with ThreadPoolExecutor(n_jobs, thread_name_prefix="persistable search") as pool:
            try:
                for future in as_completed([pool.submit(self._work) for _ in range(n_jobs)]):
                    future.result()
            except BaseException:
                self._stopped.set()  # the other threads finish the trials that they run
                raise

    def _work(self) -> None:
        try:
            while (trial := self._next()) is not None:
                self._run(trial)
        except BaseException:
            self._stopped.set()
            raise

    # -----------------------------------------------------------------------------------------------------------------
    # Whether there is to be another trial. The threads of a process decide one after the other.

    def _next(self) -> _DeclaredTrial | None:
        """Begin a trial, as soon as one is needed; None if the search has ended."""
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            with self._deciding:
                self._tally.read(self._study.get_trials(deepcopy=False))
                self._show(self._tally)
                if self._is_over():
                    return None
                self._refuse_failures()
                if self._repeat_lost():
                    continue
                if self._is_another_needed():
                    return self._begin()
            self._stopped.wait(pause if self._limits.deadline is None else min(pause, self._time_left()))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return None

    def _time_left(self) -> float:
        return float("inf") if self._limits.deadline is None else max(0.0, self._limits.deadline - time.time())

    def _is_over(self) -> bool:
        n_trials = self._limits.n_trials
        if n_trials is not None and len(self._tally.complete) >= n_trials:
            return True
        return self._time_left() == 0.0 or (not self._tally.running and self._is_exhausted(with_running=False))

    def _is_exhausted(self, *, with_running: bool) -> bool:
        sampler = self._study.sampler
        return isinstance(sampler, SeededSampler) and sampler.is_exhausted(self._study, with_running=with_running)

    def _is_another_needed(self) -> bool:
        tally = self._tally
        if tally.waiting and tally.ordinal(tally.waiting[0]) < tally.begun:
            return True  # the repetition of a lost trial, which those after it wait for
        if self._is_exhausted(with_running=True):
            return False
        n_trials = self._limits.n_trials
        return n_trials is None or tally.n_complete + len(tally.running) < n_trials

    def _refuse_failures(self) -> None:
        failed = self._tally.count(TrialState.FAIL) - self._failed_before
        if self._limits.max_failures is None or failed < self._limits.max_failures:
            return
        last = max(
            (trial for trial in self._tally.finished.values() if trial.state == TrialState.FAIL),
            key=lambda trial: trial.number,
        )
        said = str(last.user_attrs.get(ERROR, "")).strip().rpartition("\n")[2]
        which = "it is" if failed == 1 else "the last is"
        raise StudyError(
            f"{amount(failed, 'trial')} {'has' if failed == 1 else 'have'} failed; {which} trial {last.number} with "
            f"{last.params}: {said}. What is complete is kept, and so is each traceback "
            f"(study.trials[{last.number}].user_attrs[{ERROR!r}]). Mend the objective and call load_generate() again: "
            f"the search goes on, and failed trials stay failed. To begin anew instead, call generate(n_trials=…). Or "
            f"allow more failures: max_failures={2 * failed}, or None."
        ) from self._last_error

    def _repeat_lost(self) -> bool:
        """Give the trials of dead workers back; return whether there were any."""
        dead = self._worker.dead(self._tally.running)
        if not dead and not self._tally.lost:
            return False
        with self._alone():
            repetitions = repeat_lost(self._study, dead)
        if dead:
            numbers = ", ".join(map(str, dead))
            self._warn(f"The worker of trial {numbers} has died. It is repeated as trial {_listed(repetitions)}.")
        return True

    def _begin(self) -> _DeclaredTrial:
        """Take a waiting trial, or create one."""
        study, storage = self._study, self._study._storage
        study._thread_local.cached_all_trials = None  # as study.ask() does: what is read in a trial is read once
        if self._tally.waiting:
            with contextlib.nullcontext() if takes_one_at_a_time(storage) else self._alone():
                if (taken := self._taken()) is not None:
                    return taken
        born = create_trial(state=TrialState.RUNNING, system_attrs={WORKER: self._worker.record})
        return self._trial(storage.create_new_trial(study._study_id, template_trial=born))

    def _taken(self) -> _DeclaredTrial | None:
        storage = self._study._storage
        for waiting in self._tally.waiting:
            # Exactly one of those who try gets it. Each says so before, for it may be killed as soon as it has it.
            with contextlib.suppress(UpdateFinishedTrialError):
                storage.set_trial_system_attr(waiting._trial_id, self._worker.claim, self._worker.record)
                if storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING):
                    storage.set_trial_system_attr(waiting._trial_id, WORKER, self._worker.record)
                    return self._trial(waiting._trial_id)
        return None

    def _trial(self, trial_id: int) -> _DeclaredTrial:
        return _DeclaredTrial(self._study, trial_id, self._distributions)

    # -----------------------------------------------------------------------------------------------------------------
    # One trial

    def _run(self, trial: _DeclaredTrial) -> None:
        try:
            with self._worker.running(trial._trial_id):
                state, values = self._outcome(trial)
                self._study.tell(trial, values, state)
        except Exception:  # not of the objective, whose errors are an outcome
            if not self._is_taken_over(trial):
                raise
            self._warn(
                f"Trial {trial.number} was taken over: this worker was paused, and gave no sign of life for too long. "
                f"It goes on with another one."
            )
            return
        if state != TrialState.FAIL:
            outcome = "was pruned" if values is None else f"is complete: {_listed(values)}"
            self._say(f"Trial {trial.number} {outcome}, with {trial.params}.")

    def _is_taken_over(self, trial: Trial) -> bool:
        with contextlib.suppress(Exception):
            return is_lost(self._study._storage.get_trial(trial._trial_id))
        return False

    def _outcome(self, trial: _DeclaredTrial) -> tuple[TrialState, list[float] | None]:
        try:
            trial.draw(self._space)
            known = self._known_values(trial)
            values = _as_floats(self._objective(trial) if known is None else known, len(self._study.directions))
            self._try_constraints(trial, values)
        except TrialPruned:
            return TrialState.PRUNED, None
        except UndeclaredParameterError:
            raise
        except Exception as error:
            self._last_error = error
            trial.set_user_attr(ERROR, traceback.format_exc()[-_LONGEST_TRACEBACK:])
            self._warn(f"Trial {trial.number} failed, with {trial.params}: {type(error).__name__}: {error}")
            return TrialState.FAIL, None
        return TrialState.COMPLETE, values

    def _try_constraints(self, trial: Trial, values: list[float]) -> None:
        if self._constraints is None:
            return
        ended = copy.copy(self._study._storage.get_trial(trial._trial_id))
        ended.state, ended.values = TrialState.COMPLETE, values
        violations = self._constraints(ended)
        if isinstance(violations, str) or not isinstance(violations, Sequence):
            raise ValueError(f"_constraints must return a list of floats, got {violations!r}.")
        for violation in violations:
            float(violation)

    def _known_values(self, trial: Trial) -> list[float] | None:
        """Return the values of an earlier trial at the same point, and take over what it reported."""
        if self._known is None:
            return None
        with self._deciding:
            for earlier in self._tally.complete[self._known_up_to :]:
                self._known.setdefault(self._point(earlier), earlier)
            self._known_up_to = len(self._tally.complete)
        same = self._known.get(self._point(trial))
        if same is None:
            return None
        for step, value in same.intermediate_values.items():
            trial.report(value, step)
        for name, attribute in same.user_attrs.items():
            trial.set_user_attr(name, attribute)
        trial.set_user_attr(SAME_AS, same.number)
        values: list[float] | None = same.values
        return values

    def _point(self, trial: Trial | FrozenTrial) -> tuple[Any, ...]:
        params = trial.params
        return tuple(distribution.to_internal_repr(params[name]) for name, distribution in self._distributions.items())


class UndeclaredParameterError(StudyError):
    """The objective asks for what the key does not know of."""


class _DeclaredTrial(Trial):
    """A trial whose parameters are those that were declared: what else it would draw, no key would know of."""

    def __init__(self, study: Study, trial_id: int, declared: dict[str, BaseDistribution]) -> None:
        self._declared = declared
        super().__init__(study, trial_id)

    def draw(self, space: SearchSpace) -> None:
        """Draw each parameter, and write all of them down at once: a write to a journal waits for the disk."""
        storage = self.storage
        drawn = _Drawn(storage)
        self.storage = drawn  # type: ignore[assignment]
        try:
            suggest_all(self, space)
        finally:
            self.storage = storage
            set_trial_params(storage, self._trial_id, drawn.params)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._declared:
            raise UndeclaredParameterError(
                f"The objective asks for a parameter {name!r}, which is not in the search space "
                f"({', '.join(self._declared)}). Declare it there: it is part of what defines the study."
            )
        if distribution != self._declared[name]:
            raise UndeclaredParameterError(
                f"The objective asks for {name!r} as {distribution}, but the search space has {self._declared[name]}. "
                f"Take the value that was drawn: trial.params[{name!r}]."
            )
        return super()._suggest(name, distribution)


class _Drawn:
    """A storage that keeps the parameters which a trial draws, and writes nothing of them."""

    def __init__(self, storage: BaseStorage) -> None:
        self.params: dict[str, tuple[float, BaseDistribution]] = {}
        self._storage = storage

    def set_trial_param(self, trial_id: int, name: str, value: float, distribution: BaseDistribution) -> None:
        self.params[name] = value, distribution

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def _as_floats(values: Any, n_objectives: int) -> list[float]:
    """Return what an objective has returned as one float for each objective, or raise ValueError."""
    if hasattr(values, "tolist"):  # of numpy, or a tensor
        values = values.tolist()
    found = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    if len(found) != n_objectives:
        raise ValueError(
            f"The objective returned {amount(len(found), 'value')}, but the study has "
            f"{amount(n_objectives, 'direction')}."
        )
    try:
        floats = [float(value) for value in found]
    except (TypeError, ValueError):
        raise ValueError(f"The objective returned {values!r}, which is no number.") from None
    if any(value != value for value in floats):
        raise ValueError(f"The objective returned {values!r}: nan is no value that could be compared.")
    return floats


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
