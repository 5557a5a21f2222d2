"""A study in its storage: found or made there, compared with what it must be, and brought up to what was published.

All of it happens while nobody else does the same (a lease of the artifact's store): six processes that open a new study
at once make it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from .._text import amount
from ..exceptions import MissingDependencyError, StudyError
from .algorithms import Constraints
from .params import StudyParams
from .seeding import SeededPruner, SeededSampler, is_lost, repeat_lost
from .snapshots import restore
from .space import Dimension, distributions_of
from .storages import TrialStorage, create_study, find_study
from .tally import Tally
from .workers import Worker

try:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import TrialState, create_trial
except ModuleNotFoundError as error:
    raise MissingDependencyError.of("optuna", extra="optuna", purpose="A study") from error

__all__ = ["Working"]

_SPACE: Final = "persistable:search_space"
"""User attribute of a study: what it was declared to search."""

_ENQUEUED: Final = "persistable:enqueued"
"""System attribute of a trial, from birth: which of the enqueued points it is."""


_READY: Final = "persistable:enqueued"
"""User attribute of a study: all points have been enqueued."""


class Working(NamedTuple):
    """What must be known of a study to work on it.

    Attributes
    ----------
    storage : TrialStorage
        Where its trials lie.
    name : str
        Its name there.
    params : StudyParams
        What it is.
    constraints : callable or None
        The hook that tells how far a trial violates each constraint.
    alone : callable
        Returns a context manager in which nobody else opens or mends the study.
    time_to_live : float
        Seconds without a sign of life after which a worker on another machine is taken for dead.
    warn : callable
        Told, in a sentence each, what a user should know.
    """

    storage: TrialStorage
    name: str
    params: StudyParams
    constraints: Constraints | None
    alone: Callable[[], AbstractContextManager[Any]]
    time_to_live: float
    warn: Callable[[str], None]

    @contextmanager
    def opened(self, known: Study | None = None) -> Iterator[Study]:
        """Open the study, with the trials of a snapshot that the storage lacks.

        Raises
        ------
        StudyError
            If what lies there is another study.
        """
        with self.alone():
            storage, study = self._open(known)
        try:
            yield study
        finally:
            self.storage.close(storage)

    def _open(self, known: Study | None) -> tuple[BaseStorage, Study]:
        storage = self.storage.open()
        try:
            study, made = self._found_or_made(storage)
            if known is not None and _finished(known) > _finished(study):
                try:
                    restore(known, study)
                except StudyError as difference:
                    # What was published counts, and goes further: what lies here is somebody else's way from there.
                    self.storage.close(storage)
                    try:
                        self.begin_anew()
                    except StudyError as error:
                        raise error from difference
                    storage = self.storage.open()
                    study, made = self._found_or_made(storage)
                    restore(known, study)
            self._enqueue(study, made)
            repeat_lost(study, self.worker(study).dead(_running(study)))
            return storage, study
        except BaseException:
            self.storage.close(storage)
            raise

    def worker(self, study: Study) -> Worker:
        """Return a worker of this process."""
        return Worker(study._storage, self.time_to_live)

    def begin_anew(self) -> None:
        """Set what there is aside, unless somebody works on it.

        Raises
        ------
        StudyError
            If somebody does, or the storage is not a journal.
        """
        if self.storage.exists() is False:
            return
        storage = self.storage.open()
        try:
            if find_study(storage, self.name) is None:
                return
            study, _ = self._found_or_made(storage)
            running = _running(study)
            if alive := len(running) - len(self.worker(study).dead(running)):
                raise StudyError(
                    f"{amount(alive, 'trial')} of {self.name} {'is' if alive == 1 else 'are'} running, in "
                    f"{self.storage}: it cannot be begun anew before {'that has' if alive == 1 else 'they have'} ended."
                )
        finally:
            self.storage.close(storage)
        self.warn(f"The trials of {self.name} so far were set aside, as {self.storage.set_aside(self.name)}.")

    def _found_or_made(self, storage: BaseStorage) -> tuple[Study, bool]:
        """Return the study, and whether it was made by this call."""
        params = self.params
        assert not isinstance(params.sampler, str)
        assert not isinstance(params.pruner, str)
        study_id, made = create_study(storage, self.name, params.directions)
        study = Study(
            study_name=self.name,
            storage=storage,
            sampler=SeededSampler(params.sampler, params.seed, params.search_space, constraints=self.constraints),
            pruner=SeededPruner(params.pruner),
        )
        directions = [direction.name.lower() for direction in study.directions]
        if directions != list(params.directions):
            raise self._mismatch(f"its directions are {directions} there, and {list(params.directions)} here")
        declared = {name: _as_json(dimension) for name, dimension in params.search_space.items()}
        # Trials first: another host, with a store of its own, may open the study too, and says what it is before it
        # adds trials.
        trials = study.get_trials(deepcopy=False)
        found = storage.get_study_user_attrs(study_id).get(_SPACE)
        if found is None:
            if trials:
                raise self._mismatch("it does not say what it searches: it was not made by persistable")
            storage.set_study_user_attr(study_id, _SPACE, declared)
        else:
            for name in sorted({*declared, *found}):
                if declared.get(name) != found.get(name):
                    raise self._mismatch(
                        f"parameter {name!r} is {found.get(name, 'missing')} there, and "
                        f"{declared.get(name, 'missing')} here"
                    )
        self._check_trials(study)
        return study, made

    def _check_trials(self, study: Study) -> None:
        declared = distributions_of(self.params.search_space)
        for trial in study.get_trials(deepcopy=False):
            for name, distribution in trial.distributions.items():
                if distribution != declared.get(name) and not is_lost(trial):
                    raise self._mismatch(
                        f"trial {trial.number} has drawn {name!r} from {distribution}, which is "
                        f"{declared.get(name, 'missing')} here"
                    )
            if trial.state == TrialState.COMPLETE and trial.params.keys() != declared.keys():
                missing = ", ".join(sorted(declared.keys() - trial.params.keys()))
                raise self._mismatch(f"trial {trial.number} is complete without {missing}")

    def _mismatch(self, difference: str) -> StudyError:
        return StudyError(
            f"The study {self.name} in {self.storage} is not the one that the params define: {difference}. If it was "
            f"edited by hand, undo that; else pass another storage=, or move what is there away."
        )

    def _enqueue(self, study: Study, made: bool) -> None:
        """Let the enqueued points wait, in their order; go on with what whoever made the study has not completed."""
        if not self.params.enqueued:
            return
        # Those who come with a data_dir of their own hold another lease, and may be here at the same time.
        patience = time.monotonic() + (0 if made else self.time_to_live)
        while not (done := _READY in study.user_attrs) and time.monotonic() < patience:
            time.sleep(0.05)
        if done:
            return
        there = sum(_ENQUEUED in trial.system_attrs for trial in study.get_trials(deepcopy=False))
        for index, point in list(enumerate(self.params.enqueued))[there:]:
            attrs = {"fixed_params": dict(point), _ENQUEUED: index}
            waiting = create_trial(state=TrialState.WAITING, system_attrs=attrs)
            study._storage.create_new_trial(study._study_id, template_trial=waiting)
        study.set_user_attr(_READY, True)


def _as_json(dimension: Dimension) -> dict[str, Any]:
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(dimension).items()}
    return {"type": type(dimension).__name__, **fields}


def _running(study: Study) -> list[Any]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _finished(study: Study) -> int:
    return len(Tally(study.get_trials(deepcopy=False)).finished)
