"""How far a study has come: its trials in the order of their ordinals, finished and not.

A trial is *settled* when it has finished, and so has every trial before it. What is settled never changes, however
much the study grows and whoever works on it: "the best of the first 20" is asked of settled trials only.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..exceptions import MissingDependencyError
from .seeding import Ordinals, is_lost

try:
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as error:
    raise MissingDependencyError.of("optuna", extra="optuna", purpose="A study") from error

__all__ = ["Tally"]


class Tally:
    """The trials of one study, read again and again while it grows; each finished one is looked at once.

    Attributes
    ----------
    finished : dict of int to FrozenTrial
        Finished trials by ordinal; those that were lost are not among them.
    complete : list of FrozenTrial
        The settled trials that are complete, by ordinal.
    running, waiting : list of FrozenTrial
        Trials that have not finished; waiting ones by ordinal.
    fresh : list of FrozenTrial
        Those of `finished` that were not yet at the reading before.
    begun : int
        An ordinal above those of all trials that have begun.
    lost : bool
        Whether there is a lost trial that nobody has repeated yet.

    Examples
    --------
    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study()
    >>> running = study.ask()
    >>> study.optimize(lambda trial: 0.5, n_trials=2)
    >>> tally = Tally(study.trials)
    >>> tally.count(TrialState.COMPLETE), len(tally.complete)     # trial 0 may still come out otherwise
    (2, 0)
    """

    def __init__(self, trials: Sequence[FrozenTrial] = ()) -> None:
        self.finished: dict[int, FrozenTrial] = {}
        self.complete: list[FrozenTrial] = []
        self.running: list[FrozenTrial] = []
        self.waiting: list[FrozenTrial] = []
        self.fresh: list[FrozenTrial] = []
        self.begun = 0
        self._ordinals = Ordinals()
        self._counts: dict[TrialState, int] = {}
        self._lost: set[int] = set()
        self._open: list[int] = []
        self._read = 0
        self._settled = 0
        self.read(trials)

    def read(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in all trials of the study, sorted by number."""
        self._ordinals.read(trials)
        numbers = [*self._open, *range(self._read, len(trials))]
        self._read = len(trials)
        self._open = []
        self.fresh = []
        for number in numbers:
            trial = trials[number]
            if trial.state != TrialState.WAITING:
                self.begun = max(self.begun, self._ordinals[number] + 1)
            if not trial.state.is_finished():
                self._open.append(number)
            elif is_lost(trial):
                self._lost.add(number)
            else:
                self.finished[self._ordinals[number]] = trial
                self.fresh.append(trial)
                self._counts[trial.state] = self.count(trial.state) + 1
        while self._settled in self.finished:
            if self.finished[self._settled].state == TrialState.COMPLETE:
                self.complete.append(self.finished[self._settled])
            self._settled += 1
        unfinished = [trials[number] for number in self._open]
        self.running = [trial for trial in unfinished if trial.state == TrialState.RUNNING]
        self.waiting = sorted(
            (trial for trial in unfinished if trial.state == TrialState.WAITING),
            key=lambda trial: self._ordinals[trial.number],
        )

    @property
    def n_complete(self) -> int:
        """How many trials are complete, settled or not."""
        return self.count(TrialState.COMPLETE)

    def count(self, state: TrialState) -> int:
        """Return how many trials have finished so, settled or not; lost ones are none."""
        return self._counts.get(state, 0)

    @property
    def lost(self) -> bool:
        return not self._lost <= self._ordinals.repeated

    def ordinal(self, trial: FrozenTrial) -> int:
        """Return which trial of the study this is."""
        return self._ordinals[trial.number]
