"""Draws that depend on the seed and on which trial it is: 10 trials and then 14 are the same 24 as in one go.

A sampler of Optuna draws from one stream of random numbers for as long as it lives. When a study goes on in another
process, a fixed seed starts the stream again and repeats what was drawn (20 of 20 points of a RandomSampler). So
:class:`SeededSampler` makes Optuna's sampler anew for each trial, seeded by the study's seed and the trial's ordinal.

**The ordinal** is the trial's number, until a worker dies. Its trial is *lost*: it is marked, failed, and repeated by
a new trial with a higher number (:func:`repeat_lost`), which has the ordinal of the lost one; the trials after it move
up. Samplers and pruners see the study as if nothing had been lost: without the lost trials, and with ordinals for
numbers. The repetition therefore draws what the lost trial drew, whatever that had left behind in the study.

With several workers a draw also depends on what has finished when it is made, and no seed can fix that.

========================  ============================  ==================================================
attribute                 of                            says
========================  ============================  ==================================================
``persistable:lost``      a failed trial (user)         its worker died: it does not count, and is repeated
``persistable:repeats``   a trial, from birth (system)  the number of the lost trial that it repeats
========================  ============================  ==================================================
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Container, Iterable, Sequence
from math import prod
from typing import Any, Final

from ..exceptions import MissingDependencyError
from .algorithms import Constraints, Pruner, Sampler, exhaustive_space, make_pruner, make_sampler
from .space import SearchSpace, checked_space, distributions_of, grid_of

try:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.samplers._base import _process_constraints_after_trial
    from optuna.trial import FrozenTrial, TrialState, create_trial
except ModuleNotFoundError as error:
    raise MissingDependencyError.of("optuna", extra="optuna", purpose="A study") from error

__all__ = ["LOST", "REPEATS", "Ordinals", "SeededPruner", "SeededSampler", "is_lost", "ordinal", "repeat_lost"]

LOST: Final = "persistable:lost"
"""User attribute of a failed trial whose worker died."""

REPEATS: Final = "persistable:repeats"
"""System attribute of a trial: the number of the lost one that it repeats."""


# ---------------------------------------------------------------------------------------------------------------------
# Which trial it is


class Ordinals:
    """The ordinals of the trials of one study. What a trial repeats is set at its birth, so each is looked at once."""

    def __init__(self) -> None:
        self.repeated: set[int] = set()
        self._of: list[int] = []
        self._lock = threading.Lock()

    def read(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in the trials of the study, which are sorted by number."""
        if len(trials) == len(self._of):
            return
        with self._lock:
            for trial in trials[len(self._of) :]:
                lost = trial.system_attrs.get(REPEATS)
                # Two processes may repeat one trial at once: the second is then a trial like any other.
                if lost is None or lost in self.repeated:
                    self._of.append(trial.number - len(self.repeated))
                else:
                    self._of.append(self._of[lost])
                    self.repeated.add(lost)

    def __getitem__(self, number: int) -> int:
        return self._of[number]


def ordinal(study: Study, trial: FrozenTrial) -> int:
    """Return which trial of the study this is, from 0, repetitions of lost trials not counted.

    Parameters
    ----------
    study : optuna.Study
        The study.
    trial : optuna.trial.FrozenTrial
        One of its trials; a lost one and its repetition have the same ordinal.

    Examples
    --------
    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study()
    >>> for _ in range(3):
    ...     trial = study.ask()
    >>> repeat_lost(study, [1])
    [3]
    >>> [ordinal(study, trial) for trial in study.trials]
    [0, 1, 2, 1]
    """
    ordinals = Ordinals()
    ordinals.read(study.get_trials(deepcopy=False))
    return ordinals[trial.number]


def repeat_lost(study: Study, dead: Iterable[int] = ()) -> list[int]:
    """Fail the trials of dead workers, and enqueue a repetition of each; return the numbers of the repetitions.

    Whoever calls it must know that the workers are dead. A trial that has finished after all stays as it is. A call
    that was itself interrupted is completed by the next one, also by one without numbers.

    Parameters
    ----------
    study : optuna.Study
        The study.
    dead : iterable of int
        Numbers of running trials.
    """
    storage = study._storage
    trials = study.get_trials(deepcopy=False)
    for number in dead:
        trial_id = trials[number]._trial_id
        # Fail first: of a worker that was not dead and this call, one alone can finish the trial.
        with contextlib.suppress(UpdateFinishedTrialError):
            storage.set_trial_user_attr(trial_id, LOST, True)
            storage.set_trial_state_values(trial_id, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    repeated = {trial.system_attrs.get(REPEATS) for trial in trials}
    numbers = []
    for trial in trials:
        if is_lost(trial) and trial.number not in repeated:
            attrs: dict[str, Any] = {REPEATS: trial.number}
            if "fixed_params" in trial.system_attrs:  # it was enqueued with given values
                attrs["fixed_params"] = trial.system_attrs["fixed_params"]
            waiting = create_trial(state=TrialState.WAITING, system_attrs=attrs)
            trial_id = storage.create_new_trial(study._study_id, template_trial=waiting)
            numbers.append(storage.get_trial(trial_id).number)
    return numbers


def is_lost(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and bool(trial.user_attrs.get(LOST))


class _UnbrokenStorage:
    """A storage as a sampler reads it, in which the trials that were lost never were."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(study_id, deepcopy=deepcopy)
        ordinals = Ordinals()
        ordinals.read(trials)
        kept = [
            _renumbered(trial, ordinals[trial.number])
            for trial in trials
            if not is_lost(trial) and (states is None or trial.state in states)
        ]
        return sorted(kept, key=lambda trial: trial.number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def _unbroken(study: Study) -> Study:
    """Return the study as if nothing had been lost."""
    view = copy.copy(study)
    view._storage = _UnbrokenStorage(study._storage)  # type: ignore[assignment]
    return view


def _renumbered(trial: FrozenTrial, number: int) -> FrozenTrial:
    if trial.number == number:
        return trial
    trial = copy.copy(trial)
    trial.number = number
    return trial


def _whole(study: Study) -> Study:
    """Return the study itself, where Optuna passes a bracket of a HyperbandPruner."""
    whole: Study = getattr(study, "_study", study)
    return whole


# ---------------------------------------------------------------------------------------------------------------------
# Sampler and pruner


class SeededSampler(BaseSampler):
    """A sampler whose draws depend on the seed, the trial's ordinal, and the trials that it learns from.

    Parameters
    ----------
    spec : Sampler
        Optuna's sampler, by name and arguments.
    seed : int
        The study's.
    space : mapping of str to Float, Int or Categorical
        The search space. It must be suggested as a whole at the start of each trial (:func:`.space.suggest_all`).
    constraints : callable, optional
        What tells from a finished trial how far it violates each constraint. It is stored with the trial whichever
        the sampler is; those of TPE, GP, NSGA-II and NSGA-III also learn from it.

    Raises
    ------
    ParamsError, MissingDependencyError
        As :func:`.algorithms.make_sampler`.

    Examples
    --------
    >>> import optuna
    >>> from persistable.studies.space import Float, suggest_all
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> space = {"x": Float(-1, 1)}
    >>> def draws(*n_trials):
    ...     storage = optuna.storages.InMemoryStorage()
    ...     for n in n_trials:
    ...         sampler = SeededSampler(Sampler("TPESampler"), 42, space)
    ...         study = optuna.create_study(study_name="x", storage=storage, sampler=sampler, load_if_exists=True)
    ...         study.optimize(lambda trial: suggest_all(trial, space)["x"] ** 2, n_trials=n)
    ...     return [trial.params for trial in study.trials]
    >>> draws(10, 14) == draws(24)
    True
    """

    def __init__(self, spec: Sampler, seed: int, space: SearchSpace, *, constraints: Constraints | None = None) -> None:
        self._spec = spec
        self._seed = seed
        self._space = checked_space(space)
        self._constraints = constraints
        self._ordinals = Ordinals()
        self._drawing: dict[int, tuple[BaseSampler, Study, int]] = {}
        self._relative: dict[str, BaseDistribution] | None = None
        self._make(0, 1)  # what is wrong with the arguments is said now
        exhaustive = exhaustive_space(spec, self._space)
        self._grid = None if exhaustive is None else _Grid(exhaustive)

    def __repr__(self) -> str:
        return f"SeededSampler({self._spec!r}, seed={self._seed})"

    def _make(self, ordinal: int, n_objectives: int) -> BaseSampler:
        return make_sampler(
            self._spec,
            self._seed,
            ordinal=ordinal,
            constraints=self._constraints,
            space=self._space,
            n_objectives=n_objectives,
        )

    def _begun(self, study: Study, trial: FrozenTrial) -> tuple[BaseSampler, Study, FrozenTrial]:
        """Return the sampler of a trial, and what it is shown. Trials of several threads do not meet: each has one."""
        if trial._trial_id not in self._drawing:
            study = _whole(study)
            # The list that Optuna keeps for the length of a trial, and that TPE reads too.
            self._ordinals.read(study._get_trials(deepcopy=False, use_cache=True))
            number = self._ordinals[trial.number]
            sampler = self._make(number, len(study.directions))
            self._drawing[trial._trial_id] = sampler, _unbroken(study) if self._ordinals.repeated else study, number
        sampler, study, number = self._drawing[trial._trial_id]
        return sampler, study, _renumbered(trial, number)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the sampler of this trial."""
        sampler, study, trial = self._begun(study, trial)
        sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what the sampler draws together, in the order of the names, which no storage can change."""
        if self._relative is not None:
            return dict(self._relative)
        sampler, study, trial = self._begun(study, trial)
        relative = dict(sorted(sampler.infer_relative_search_space(study, trial).items()))
        # Optuna goes through all trials for it, which a new sampler would do in each trial. But since every trial
        # suggests the whole space, what one complete trial says is final.
        complete = any(other.state == TrialState.COMPLETE for other in study._get_trials(False, use_cache=True))
        if complete and self._space.keys() >= relative.keys() and not _has_groups(self._spec):
            self._relative = relative
        return dict(relative)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the sampler draws together."""
        sampler, study, trial = self._begun(study, trial)
        return sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return what the sampler draws for one parameter."""
        sampler, study, trial = self._begun(study, trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Store the constraints, and forget the sampler; stop the study where each point has been tried."""
        try:
            sampler, shown, same = self._begun(study, trial)
            # What GridSampler and BruteForceSampler do here is to call study.stop(), also where that raises.
            if self._grid is None:
                sampler.after_trial(shown, same, state, values)
            if self._constraints is not None:
                stored = study._storage.get_trial_system_attrs(trial._trial_id)
                if "constraints" not in stored:  # this sampler does not take them
                    _process_constraints_after_trial(self._constraints, study, trial, state)
        finally:
            self._drawing.pop(trial._trial_id, None)
        if self.is_exhausted(study, with_running=True):
            with contextlib.suppress(RuntimeError):  # by ask and tell there is no loop to be stopped
                _whole(study).stop()

    def reseed_rng(self) -> None:
        """Do nothing: Optuna asks for it between threads, which share no random numbers here."""

    def is_exhausted(self, study: Study, *, with_running: bool = False) -> bool:
        """Return whether each point of the space has been tried: there is nothing left to do.

        A trial counts when it has finished, also by an error of the objective; but not one that was lost.

        Parameters
        ----------
        study : optuna.Study
            Any study over this space, also a snapshot.
        with_running : bool
            Whether trials that are running count too.

        Returns
        -------
        bool
            False for samplers that do not go by points.
        """
        states = [TrialState.RUNNING, *_FINISHED] if with_running else _FINISHED
        return self._grid is not None and self._grid.is_covered(study, states)


_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def _has_groups(spec: Sampler) -> bool:
    """Return whether a TPESampler sorts the parameters into groups, which it keeps from inferring to sampling."""
    return bool(spec.arguments.get("group")) or (
        spec.name == "PartialFixedSampler" and _has_groups(spec.arguments["base_sampler"])
    )


class _Grid:
    """The points of a finite space, and whether trials have covered them."""

    def __init__(self, space: SearchSpace) -> None:
        values = grid_of(space)
        self._size = prod(map(len, values.values()))
        self._distributions = distributions_of(space)
        self._values = {
            name: {distribution.to_internal_repr(value) for value in values[name]}
            for name, distribution in self._distributions.items()
        }

    def is_covered(self, study: Study, states: Container[TrialState]) -> bool:
        trials = study._storage.get_all_trials(_whole(study)._study_id, deepcopy=False)
        if len(trials) < self._size:
            return False
        points = {self._point(trial) for trial in trials if trial.state in states and not is_lost(trial)}
        return len(points - {None}) == self._size

    def _point(self, trial: FrozenTrial) -> tuple[float, ...] | None:
        """Return where a trial stands, by Optuna's numbers for values; None if it is beside the grid."""
        point = []
        for name, values in self._values.items():
            try:
                point.append(self._distributions[name].to_internal_repr(trial.params[name]))
            except (KeyError, ValueError):
                return None
            if point[-1] not in values:
                return None
        return tuple(point)


class SeededPruner(BasePruner):
    """A pruner whose decisions depend on the trials, and not on which of them this process has seen.

    A HyperbandPruner or SuccessiveHalvingPruner with a resource of ``"auto"`` settles it by the trials that are there
    when it is first asked, and so differently when a study goes on. Here the first complete trial settles it, which is
    what Optuna does in a study that runs in one go. Lost trials do not compete.

    Parameters
    ----------
    spec : Pruner
        Optuna's pruner, by name and arguments. Which trial is in which bracket of a HyperbandPruner depends on the
        name of the study.

    Raises
    ------
    ParamsError, MissingDependencyError
        As :func:`.algorithms.make_pruner`.

    Examples
    --------
    >>> SeededPruner(Pruner("SuccessiveHalvingPruner"))
    SeededPruner(Pruner('SuccessiveHalvingPruner'))
    """

    def __init__(self, spec: Pruner) -> None:
        self._spec = spec
        self._ordinals = Ordinals()
        self._pruner = make_pruner(spec)
        self._is_settled = _settled(spec, 1) == spec

    def __repr__(self) -> str:
        return f"SeededPruner({self._spec!r})"

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether the trial is to be pruned."""
        self._ordinals.read(study.get_trials(deepcopy=False))
        if self._ordinals.repeated:
            study, trial = _unbroken(study), _renumbered(trial, self._ordinals[trial.number])
        if not self._is_settled:
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            steps = [other.last_step for other in complete if other.last_step is not None]
            if not steps:
                return make_pruner(self._spec).prune(study, trial)
            self._pruner, self._is_settled = make_pruner(_settled(self._spec, steps[0])), True
        return self._pruner.prune(study, trial)


def _settled(spec: Pruner, last_step: int) -> Pruner:
    """Return the pruner with its resource settled, by Optuna's rules, by the last step of one complete trial."""
    arguments = dict(spec.arguments)
    if spec.name == "PatientPruner" and arguments["wrapped_pruner"] is not None:
        arguments["wrapped_pruner"] = _settled(arguments["wrapped_pruner"], last_step)
    if spec.name == "SuccessiveHalvingPruner" and arguments["min_resource"] == "auto":
        arguments["min_resource"] = max(last_step // 100, 1)
    if spec.name == "HyperbandPruner" and arguments["max_resource"] == "auto":
        arguments["max_resource"] = last_step + 1
    return Pruner(spec.name, **arguments)
