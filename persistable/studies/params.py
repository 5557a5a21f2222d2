"""What defines a study, and enters its key. No Optuna is needed to say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ..exceptions import ParamsError
from ..params import PersistableParams, untracked
from .algorithms import Pruner, Sampler, check_sampler
from .space import Dimension, Value, checked_point, checked_space

__all__ = ["StudyParams", "StudyParamsT"]

_DIRECTIONS = ("minimize", "maximize")

# None is Optuna's word for its own default, and sounds like no pruning: it is refused, and both are named.
_DEFAULT_SAMPLER = " For the default, Sampler('TPESampler'), leave it out."
_NO_PRUNER = " For no pruning, pass Pruner('NopPruner'); for the default, Pruner('MedianPruner'), leave it out."


@dataclass(kw_only=True)
class StudyParams(PersistableParams):
    """What defines a study: where it searches, for what, and by which algorithms.

    How many trials there are, who runs them, and where they lie, is no part of it: a study grows under its key.
    A subclass may add fields, which are in the key too.

    Parameters
    ----------
    search_space : mapping of str to Float, Int or Categorical
        What each parameter may be. Optuna's distributions are taken too.
    directions : str, or sequence of str
        ``"minimize"`` or ``"maximize"``; one for each objective.
    sampler : Sampler or str
        Optuna's sampler, by name and arguments.
    pruner : Pruner or str
        Optuna's pruner, by name and arguments; it matters only where the objective reports intermediate values.
    seed : int
        Where all draws come from: the same study with the same seed has the same trials, in however many pieces it is
        run, as long as one trial runs at a time.
    enqueued : sequence of mapping of str to value
        Points to begin with; one that leaves parameters out has them drawn. 1 and 1.0 are the same value.
    deterministic : bool
        Whether the objective gives the same values for the same parameters. A point that is drawn again is then not
        run again: its trial takes the values of the first. It enters no key, for it changes no result.

    Raises
    ------
    ParamsError
        If the space, a direction, the sampler, the pruner, the seed or a point is none.

    Examples
    --------
    >>> from persistable.studies import Float, Int, Sampler
    >>> params = StudyParams(search_space={"x": Float(-1, 1), "n": Int(1, 9)}, sampler=Sampler("RandomSampler"), seed=7)
    >>> params.directions, params.search_space["n"]
    (('minimize',), Int(low=1, high=9, step=1, log=False))
    """

    search_space: Mapping[str, Dimension]
    directions: str | Sequence[str] = "minimize"
    sampler: Sampler | str = field(default_factory=lambda: Sampler("TPESampler"))
    pruner: Pruner | str = field(default_factory=lambda: Pruner("MedianPruner"))
    seed: int = 0
    enqueued: Sequence[Mapping[str, Value]] = ()
    deterministic: bool = untracked(default=False)

    def __post_init__(self) -> None:
        self.search_space = checked_space(self.search_space)
        directions = (self.directions,) if isinstance(self.directions, str) else self.directions
        directions = tuple(directions) if hasattr(directions, "__iter__") else ()
        if not directions or any(each not in _DIRECTIONS for each in directions):
            raise ParamsError(
                f"directions must be 'minimize' or 'maximize', or a list with one of them for each objective; got "
                f"{self.directions!r}."
            )
        self.directions = directions
        self.sampler = Sampler(self.sampler) if isinstance(self.sampler, str) else self.sampler
        self.pruner = Pruner(self.pruner) if isinstance(self.pruner, str) else self.pruner
        for name, kind, way_out in (("sampler", Sampler, _DEFAULT_SAMPLER), ("pruner", Pruner, _NO_PRUNER)):
            if not isinstance(given := getattr(self, name), kind):
                raise ParamsError(
                    f"{name} must be {kind.__name__}(name, …), with the name and arguments of a class of Optuna; got "
                    f"{given!r}.{'' if given is not None else way_out}"
                )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ParamsError(f"seed must be an int, 0 or more; got {self.seed!r}.")
        if isinstance(self.enqueued, Mapping | str):
            raise ParamsError(f"enqueued must be a list of points, each a mapping; got {self.enqueued!r}.")
        self.enqueued = tuple(
            checked_point(self.search_space, point, f"enqueued[{index}]") for index, point in enumerate(self.enqueued)
        )
        check_sampler(self.sampler, self.search_space)


StudyParamsT = TypeVar("StudyParamsT", bound=StudyParams)
