"""BestParamsP: the choice that a study has led to, which does not move when the study grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger
from typing import TYPE_CHECKING, Any, Literal

from .._persistable import Persistable
from .._text import amount
from ..exceptions import ParamsError, StudyError
from ..fileio.json import JsonFileIO
from ..params import PersistableParams
from ..stores import DataDir
from ._study import StudyP
from .space import Value
from .views import is_feasible

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["BestParamsP", "BestParamsParams"]


@dataclass
class BestParamsParams(PersistableParams):
    """Which trial of a study is chosen.

    Parameters
    ----------
    n_trials : int
        The first so many complete trials are looked at.
    by : int, "knee" or None
        By which objective; see :class:`BestParamsP`.
    """

    n_trials: int
    by: int | Literal["knee"] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.n_trials, bool) or not isinstance(self.n_trials, int) or self.n_trials < 1:
            raise ParamsError(f"n_trials must be a whole number, 1 or more; got {self.n_trials!r}.")


class BestParamsP(Persistable["dict[str, Value]", BestParamsParams]):
    """The parameters of the best of a study's first trials: what models depend on.

    The first `n_trials` complete trials are looked at, in the order in which they were begun, and only when none before
    the last of them is unfinished. So the choice is the same whether the study has 20 trials or has grown to 60, and a
    model that is made from it stays the same artifact. The key is known without opening the study.

    Parameters
    ----------
    study_p : StudyP
        The study. As many trials as are missing are run when the choice is made.
    n_trials : int
        How many complete trials to choose from.
    by : int or "knee", optional
        For several objectives: the index of the one whose best trial is chosen (the others decide between equals, in
        their order); or ``"knee"``, the trial of the Pareto front that is nearest to the best value of each objective,
        with each scaled to its range on the front. For one objective there is nothing to say.
    data_dir : optional
        Where it is kept; with the study, if not given.
    payload_name : str, optional
        The study's name and ``_best``, if not given.
    verbose : bool
        Whether to log to the console.
    logger : Logger, optional
        A logger to use instead of the payload's own.

    Raises
    ------
    ParamsError
        If `study_p` is no StudyP, `n_trials` is no number of trials, or `by` does not fit the study's directions.

    Notes
    -----
    The payload is a dict from names to values. The number of the trial (``trial``) and its value (``value``, or
    ``values`` by objective) are among the metrics. Of two trials that are equally good, the earlier one is chosen;
    trials that violate a constraint are not. ``load_generate()`` passes what it is given on to the study, if that has
    to go on: ``n_processes``, for instance.

    Examples
    --------
    >>> import tempfile
    >>> from persistable.studies import Float, StudyP, StudyParams
    >>> class ParabolaP(StudyP[StudyParams]):
    ...     def _objective(self, trial):
    ...         return (trial.params["x"] - 2) ** 2
    >>> study_p = ParabolaP(tempfile.mkdtemp(), StudyParams(search_space={"x": Float(-5, 5)}, seed=1))
    >>> best_p = BestParamsP(study_p, n_trials=20)
    >>> abs(best_p.load_generate()["x"] - 2) < 0.5
    True
    """

    def __init__(
        self,
        study_p: StudyP[Any],
        n_trials: int,
        *,
        by: int | Literal["knee"] | None = None,
        data_dir: DataDir | None = None,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        if not isinstance(study_p, StudyP):
            raise ParamsError(f"study_p must be a StudyP, got {type(study_p).__qualname__}.")
        _check_by(by, len(study_p.params.directions))
        super().__init__(
            study_p.data_dir if data_dir is None else data_dir,
            BestParamsParams(n_trials, by),
            {"study": study_p},
            payload_name=f"{study_p.payload_name}_best" if payload_name is None else payload_name,
            payload_io=JsonFileIO(),
            verbose=verbose,
            logger=logger,
        )
        self.study_p = study_p

    def _generate_payload(self, **untracked: Any) -> dict[str, Value]:
        from .seeding import SeededSampler  # as all that follows, it needs Optuna
        from .tally import Tally

        study = self.study_p.load_generate(**{**untracked, "n_trials": self.params.n_trials})
        first = Tally(study.get_trials(deepcopy=False)).complete[: self.params.n_trials]
        params = self.study_p.params
        assert not isinstance(params.sampler, str)
        exhausted = SeededSampler(params.sampler, params.seed, params.search_space).is_exhausted(study)
        if len(first) < self.params.n_trials and not exhausted:
            raise StudyError(
                f"{self.study_p.payload_name} has {amount(len(first), 'complete trial')}, and {self.params.n_trials} "
                f"are to be chosen from: its time ran out. Call load_generate() again, with a longer timeout= or none."
            )
        feasible = [trial for trial in first if is_feasible(trial)]
        if not feasible:
            raise StudyError(
                f"None of the first {amount(len(first), 'complete trial')} of {self.study_p.payload_name} is feasible. "
                f"Choose from more trials, or relax the constraints."
            )
        signs = [-1 if direction == "maximize" else 1 for direction in params.directions]
        best = _chosen(feasible, signs, self.params.by)
        self.metrics["trial"] = best.number
        if len(signs) == 1:
            self.metrics["value"] = best.values[0]
        else:
            self.metrics["values"] = {str(index): value for index, value in enumerate(best.values)}
        return dict(best.params)


def _check_by(by: Any, n_objectives: int) -> None:
    if n_objectives == 1:
        if by not in (None, 0):
            raise ParamsError(f"by={by!r}: the study has one objective, by which its best trial is chosen.")
        return
    indices = range(n_objectives)
    if by != "knee" and (isinstance(by, bool) or not isinstance(by, int) or by not in indices):
        raise ParamsError(
            f"The study has {n_objectives} objectives, and no trial is the best in all. Say by which to choose: "
            f"by={', '.join(map(str, indices))}, or by='knee' for the best compromise; got {by!r}."
        )


def _chosen(trials: Sequence[FrozenTrial], signs: Sequence[int], by: int | str | None) -> FrozenTrial:
    """Return the best trial; `signs` make of each value one that is better the smaller it is."""
    costs = [[sign * value for sign, value in zip(signs, trial.values, strict=True)] for trial in trials]
    if by == "knee":
        costs = _distances(costs)
    elif by is not None:
        costs = [[cost[int(by)], *cost] for cost in costs]
    return trials[min(range(len(trials)), key=lambda index: costs[index])]


def _distances(costs: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the distance of each trial on the Pareto front to the best of each objective, in the ranges of the front.

    One that is not on the front, another one being as good in all and better in some, is infinitely far.
    """

    def is_dominated(cost: Sequence[float]) -> bool:
        return any(
            other != cost and all(theirs <= ours for theirs, ours in zip(other, cost, strict=True)) for other in costs
        )

    on_front = [not is_dominated(cost) for cost in costs]
    columns = list(zip(*(cost for cost, is_on in zip(costs, on_front, strict=True) if is_on), strict=True))
    lows, spans = [min(column) for column in columns], [(max(column) - min(column)) or 1.0 for column in columns]

    def distance(cost: Sequence[float]) -> float:
        scaled = [(value - low) / span for value, low, span in zip(cost, lows, spans, strict=True)]
        return math.fsum(each * each for each in scaled)

    return [[distance(cost) if is_on else float("inf")] for cost, is_on in zip(costs, on_front, strict=True)]
