"""The search space of a study, declared: what each parameter may be.

A declaration is a value like any other in the params: it is in the key, and it needs no Optuna. Names, arguments and
meanings are those of Optuna's distributions, which are accepted in their place.

The whole space is suggested at the start of each trial (:func:`suggest_all`), in the order of the names: what a trial
is to try is then known before the objective runs, and does not depend on the way that the objective takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from ..exceptions import ParamsError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

__all__ = [
    "Categorical",
    "Dimension",
    "Float",
    "Int",
    "SearchSpace",
    "Value",
    "checked_point",
    "checked_space",
    "distributions_of",
    "grid_of",
    "suggest_all",
]

Value: TypeAlias = bool | int | float | str | None
"""What a parameter may be: what a journal can hold."""


@dataclass(frozen=True)
class Float:
    """A number between `low` and `high`, both included.

    Parameters
    ----------
    low, high : float
        Bounds.
    step : float, optional
        Only multiples of it above `low` are drawn; `high` becomes the last of them.
    log : bool
        Whether numbers are drawn evenly by their logarithm; not together with `step`.

    Raises
    ------
    ParamsError
        If the bounds, the step and `log` do not go together.

    Examples
    --------
    >>> Float(1e-5, 0.1, log=True)
    Float(low=1e-05, high=0.1, step=None, log=True)
    >>> Float(0, 1, step=0.4)
    Float(low=0.0, high=0.8, step=0.4, log=False)
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _number(name, value, float))  # 1 and 1.0 are one bound
        _check_log(self.log)
        if not self.low <= self.high:
            raise ParamsError(f"{self}: low must not be above high.")
        if self.log and self.low <= 0:
            raise ParamsError(f"{self}: with log=True, low must be above 0.")
        if self.step is not None:
            if self.log or self.step <= 0:
                raise ParamsError(f"{self}: a step is a positive number, and does not go together with log=True.")
            # As Optuna, which warns. Two spaces of the same points then have one key.
            object.__setattr__(self, "high", _last(self.low, self.high, self.step))


@dataclass(frozen=True)
class Int:
    """A whole number between `low` and `high`, both included.

    Parameters
    ----------
    low, high : int
        Bounds.
    step : int
        Only multiples of it above `low` are drawn; `high` becomes the last of them.
    log : bool
        Whether numbers are drawn evenly by their logarithm; not together with a `step`.

    Raises
    ------
    ParamsError
        If the bounds, the step and `log` do not go together.

    Examples
    --------
    >>> Int(1, 10, step=4)
    Int(low=1, high=9, step=4, log=False)
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            object.__setattr__(self, name, _number(name, getattr(self, name), int))
        _check_log(self.log)
        if not self.low <= self.high:
            raise ParamsError(f"{self}: low must not be above high.")
        if self.log and self.low < 1:
            raise ParamsError(f"{self}: with log=True, low must be 1 or more.")
        if self.step < 1 or (self.log and self.step != 1):
            raise ParamsError(f"{self}: a step is 1 or more, and does not go together with log=True.")
        object.__setattr__(self, "high", self.high - (self.high - self.low) % self.step)


@dataclass(frozen=True)
class Categorical:
    """One of several choices.

    Parameters
    ----------
    choices : sequence of None, bool, int, float or str
        What there is to choose from. Their order counts: it is what samplers draw by.

    Raises
    ------
    ParamsError
        If there is none, or one is of another type: a journal could not hold it. If two are equal, as 1, 1.0 and
        True are: Optuna could not tell them apart.

    Examples
    --------
    >>> Categorical(["adam", "sgd", None])
    Categorical(choices=('adam', 'sgd', None))
    """

    choices: tuple[Value, ...]

    def __init__(self, choices: Sequence[Value]) -> None:
        if isinstance(choices, str | bytes | Mapping) or not hasattr(choices, "__iter__"):
            raise ParamsError(f"Categorical takes a list of choices, got {choices!r}.")
        values = tuple(_plain(choice) for choice in choices)
        if not values:
            raise ParamsError("Categorical takes a list of choices, got none.")
        for index, value in enumerate(values):
            if type(value) not in (type(None), bool, int, float, str):
                raise ParamsError(
                    f"A choice must be None, a bool, an int, a float or a str, got a {type(value).__qualname__}. Name "
                    f"what it stands for by a word, and look it up in the objective."
                )
            for other in values[:index]:
                if _equal(other, value):
                    raise ParamsError(
                        f"Categorical has two equal choices, {other!r} and {value!r}: Optuna cannot tell them apart. "
                        f"Leave one out, or name them by words."
                    )
        object.__setattr__(self, "choices", values)


Dimension: TypeAlias = Float | Int | Categorical
SearchSpace: TypeAlias = Mapping[str, Dimension]


def checked_space(space: Mapping[str, Any]) -> dict[str, Dimension]:
    """Return a search space in our own words, sorted by name.

    Parameters
    ----------
    space : mapping of str to Float, Int, Categorical or a distribution of Optuna
        What each parameter may be.

    Raises
    ------
    ParamsError
        If it is none, is empty, or holds something else.

    Examples
    --------
    >>> checked_space({"x": Float(0, 1), "n": Int(1, 3)})
    {'n': Int(low=1, high=3, step=1, log=False), 'x': Float(low=0.0, high=1.0, step=None, log=False)}
    """
    if not isinstance(space, Mapping) or not space or not all(isinstance(name, str) for name in space):
        raise ParamsError(f"search_space must map names to Float, Int or Categorical; got {space!r}.")
    return {name: _dimension(name, space[name]) for name in sorted(space)}


def _dimension(name: str, value: Any) -> Dimension:
    if isinstance(value, Float | Int | Categorical):
        return value
    match type(value).__name__:  # of Optuna, which need not be installed to say so
        case "FloatDistribution":
            return Float(value.low, value.high, value.step, value.log)
        case "IntDistribution":
            return Int(value.low, value.high, value.step, value.log)
        case "CategoricalDistribution":
            return Categorical(value.choices)
    raise ParamsError(
        f"search_space[{name!r}] must be Float(low, high), Int(low, high) or Categorical([...]); got {value!r}."
    )


def checked_point(space: SearchSpace, point: Mapping[str, Any], what: str = "the point") -> dict[str, Value]:
    """Return a point of the space in the form that enters the key; it may leave parameters out.

    Parameters
    ----------
    space : mapping of str to Float, Int or Categorical
        What each parameter may be.
    point : mapping of str to object
        Values by parameter.
    what : str
        What the message calls the point.

    Returns
    -------
    dict of str to None, bool, int, float or str
        A float for a Float, an int for an Int, and the choice itself of a Categorical: 1 and 1.0 are one point.

    Raises
    ------
    ParamsError
        If it is no mapping, a name is not in the space, or its value cannot be drawn.

    Examples
    --------
    >>> checked_point({"x": Float(0, 1), "n": Int(1, 5, step=2)}, {"x": 1, "n": 3.0})
    {'x': 1.0, 'n': 3}
    >>> checked_point({"x": Float(0, 1), "n": Int(1, 5, step=2)}, {"n": 4})
    Traceback (most recent call last):
        ...
    persistable.exceptions.ParamsError: the point has n=4, which is not in Int(low=1, high=5, step=2, log=False).
    """
    if not isinstance(point, Mapping):
        raise ParamsError(f"{what} must map names of parameters to values; got {point!r}.")
    checked: dict[str, Value] = {}
    for name, value in point.items():
        if name not in space:
            raise ParamsError(f"{what} has {name!r}, which is not in the search space ({', '.join(sorted(space))}).")
        drawn = _as_drawn(space[name], value)
        if not drawn:
            raise ParamsError(f"{what} has {name}={_plain(value)!r}, which is not in {space[name]}.")
        checked[name] = drawn[0]
    return checked


def _as_drawn(dimension: Dimension, value: Any) -> list[Value]:
    """Return a value as a trial would have it, in a list; an empty one if it is not in the dimension."""
    value = _plain(value)
    if hasattr(value, "shape"):  # an array, which is compared with numbers one by one
        return []
    if isinstance(dimension, Categorical):
        return [choice for choice in dimension.choices if _equal(choice, value)]
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        return []
    if not dimension.low <= value <= dimension.high:
        return []
    if isinstance(dimension, Float):
        value = float(value)
    steps = (value - dimension.low) / dimension.step if dimension.step is not None else 0
    if abs(steps - round(steps)) >= 1e-8:  # as near as Optuna asks for
        return []
    return [value if isinstance(dimension, Float) else round(value)]


def grid_of(space: SearchSpace, purpose: str = "A grid") -> dict[str, list[Value]]:
    """Return every value of each parameter, in order.

    Parameters
    ----------
    space : mapping of str to Float, Int or Categorical
        What each parameter may be.
    purpose : str
        Who needs it, for the message.

    Raises
    ------
    ParamsError
        If there is a Float without a step.

    Examples
    --------
    >>> grid_of({"x": Float(0, 0.3, step=0.1), "kernel": Categorical(["rbf", "linear"])})
    {'x': [0.0, 0.1, 0.2, 0.3], 'kernel': ['rbf', 'linear']}
    """
    return {name: _values(name, dimension, purpose) for name, dimension in space.items()}


def _values(name: str, dimension: Dimension, purpose: str) -> list[Value]:
    if isinstance(dimension, Categorical):
        return [*dimension.choices]
    if isinstance(dimension, Int):
        return [*range(dimension.low, dimension.high + 1, dimension.step)]
    if dimension.low == dimension.high:
        return [dimension.low]
    if dimension.step is None:
        raise ParamsError(
            f"{purpose} needs finitely many values of each parameter, and {name!r} has no end of them. Give it a step: "
            f"Float({dimension.low!r}, {dimension.high!r}, step=...)."
        )
    low, step = Decimal(repr(dimension.low)), Decimal(repr(dimension.step))
    count = int((Decimal(repr(dimension.high)) - low) / step)
    return [float(low + index * step) for index in range(count + 1)]


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions of a search space.

    Examples
    --------
    >>> distributions_of({"n": Int(1, 3)})
    {'n': IntDistribution(high=3, log=False, low=1, step=1)}
    """
    from optuna import distributions

    def of(dimension: Dimension) -> BaseDistribution:
        match dimension:
            case Float(low, high, step, log):
                return distributions.FloatDistribution(low, high, log=log, step=step)
            case Int(low, high, step, log):
                return distributions.IntDistribution(low, high, log=log, step=step)
            case Categorical(choices):
                return distributions.CategoricalDistribution(choices)

    return {name: of(dimension) for name, dimension in space.items()}


def suggest_all(trial: Trial, space: SearchSpace) -> dict[str, Value]:
    """Let `trial` draw each parameter, in the order of the names.

    Parameters
    ----------
    trial : optuna.Trial
        The trial.
    space : mapping of str to Float, Int or Categorical
        What each parameter may be.

    Returns
    -------
    dict of str to None, bool, int, float or str
        What was drawn.

    Examples
    --------
    >>> import optuna
    >>> fixed = optuna.trial.FixedTrial({"x": 0.5, "n": 2})
    >>> suggest_all(fixed, {"x": Float(0, 1), "n": Int(1, 3)})
    {'n': 2, 'x': 0.5}
    """

    def suggest(name: str, dimension: Dimension) -> Value:
        match dimension:
            case Float(low, high, step, log):
                return trial.suggest_float(name, low, high, step=step, log=log)
            case Int(low, high, step, log):
                return trial.suggest_int(name, low, high, step=step, log=log)
            case Categorical(choices):
                return trial.suggest_categorical(name, choices)

    return {name: suggest(name, space[name]) for name in sorted(space)}


def _number(name: str, value: Any, kind: type) -> Any:
    try:
        if isinstance(value, bool | str) or kind(value) != value or not math.isfinite(value):
            raise ValueError
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ParamsError(f"{name} must be a {'whole' if kind is int else 'finite'} number, got {value!r}.") from None


def _check_log(log: Any) -> None:
    if type(log) is not bool:
        raise ParamsError(f"log must be True or False, got {log!r}.")


def _last(low: float, high: float, step: float) -> float:
    """Return the last multiple of `step` above `low`, reckoned by decimals as Optuna does: 0.1 is meant as written."""
    first, size = Decimal(repr(low)), Decimal(repr(step))
    last = float(first + (Decimal(repr(high)) - first) // size * size)
    # As a float it may be rounded down; what Optuna reads back from a journal then ends one step earlier.
    return last if last == high else _last(low, last, step)


def _plain(value: Any) -> Any:
    """Return the Python value of a scalar of numpy."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _equal(one: Value, other: Value) -> bool:
    return one == other or (one != one and other != other)  # nan is not equal to itself
