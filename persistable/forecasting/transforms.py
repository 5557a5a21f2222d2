"""What models see instead of the levels of a series, and the way back.

A difference and a log return forget the level, so that a forecast of several steps comes back by its sum: the interval
of the level is that of the sum. What comes back from a logarithm is the median of the level, not its mean.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ForecastingError, ParamsError

__all__ = ["Array", "Path", "Transform", "check_transform", "levels_of_path", "levels_of_steps", "transformed"]

Array: TypeAlias = NDArray[np.float64]
Transform = Literal["none", "log", "difference", "log_return"]

TRANSFORMS: Final[tuple[str, ...]] = get_args(Transform)


class Path(NamedTuple):
    """A forecast of several steps, as a model sees them.

    Attributes
    ----------
    mean : ndarray of float64, shape (steps,)
        The expected values.
    se : ndarray of float64, shape (steps,)
        The standard error of each.
    se_of_sum : ndarray of float64, shape (steps,)
        The standard error of the sum of the values so far: errors of one path are not independent.
    """

    mean: Array
    se: Array
    se_of_sum: Array


def check_transform(transform: str) -> None:
    """Raise ParamsError if there is no such transform."""
    if transform not in TRANSFORMS:
        raise ParamsError(f"transform must be one of {', '.join(map(repr, TRANSFORMS))}; got {transform!r}.")


def transformed(levels: Array, transform: str) -> Array:
    """Return what models see of `levels`; as long, with NaN first where there is nothing before.

    Raises
    ------
    ForecastingError
        If a level has no logarithm.

    Examples
    --------
    >>> transformed(np.array([1.0, 3.0, 2.0]), "difference")
    array([nan,  2., -1.])
    """
    if transform in ("log", "log_return"):
        if not (levels > 0).all():
            refused = levels[~(levels > 0)]
            raise ForecastingError(
                f"transform={transform!r} needs levels above 0, but {len(refused)} of {len(levels)} are not, the first "
                f"{float(refused[0])!r}. Choose transform='difference' or 'none'."
            )
        levels = np.log(levels)
    if transform in ("difference", "log_return"):
        return np.diff(levels, prepend=np.nan)
    return levels


def levels_of_steps(values: Array, previous: Array, transform: str) -> Array:
    """Return the levels of values that were each forecast from the level before it.

    Examples
    --------
    >>> levels_of_steps(np.array([2.0, -1.0]), np.array([1.0, 3.0]), "difference")
    array([3., 2.])
    """
    with np.errstate(over="ignore"):  # of a path that explodes the level is infinite
        match transform:
            case "log":
                return np.exp(values)
            case "difference":
                return previous + values
            case "log_return":
                return previous * np.exp(values)
    return values


def levels_of_path(path: Path, last: float, transform: str, width: float) -> tuple[Array, Array, Array]:
    """Return mean, lower and upper levels of a path from the level `last` on, `width` standard errors to either side.

    Examples
    --------
    >>> ones = np.ones(2)
    >>> levels_of_path(Path(ones, ones, np.sqrt([1.0, 2.0])), 10.0, "difference", 1.0)[0]
    array([11., 12.])
    """
    mean, se = (np.cumsum(path.mean), path.se_of_sum) if transform in ("difference", "log_return") else path[:2]
    previous = np.full(len(mean), last)
    low, middle, high = (levels_of_steps(mean + side * width * se, previous, transform) for side in (-1, 0, 1))
    return middle, low, high
