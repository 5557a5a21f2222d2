"""How good forecasts are, in plain numbers, and whether one is better than another by more than chance."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import numpy as np

from ..exceptions import ForecastingError, MissingDependencyError
from .transforms import Array

__all__ = [
    "diebold_mariano",
    "directional_accuracy",
    "interval_coverage",
    "interval_width",
    "mae",
    "mase",
    "moves",
    "rmse",
    "seasonal_scale",
]

_ROUNDING: Final = 1e-12
"""Relative to the size of the numbers: what is smaller came from a logarithm and back, and is no move."""


def rmse(actual: Array, mean: Array) -> float:
    """Return the root of the mean squared error.

    Examples
    --------
    >>> rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.4142135623730951
    """
    return float(np.sqrt(np.mean(np.square(actual - mean))))


def mae(actual: Array, mean: Array) -> float:
    """Return the mean absolute error.

    Examples
    --------
    >>> mae(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    return float(np.mean(np.abs(actual - mean)))


def seasonal_scale(training: Array, season: int = 1) -> float:
    """Return the mean absolute error of the seasonal naive forecast within the training rows.

    Parameters
    ----------
    training : ndarray of float64, shape (n,)
        The levels that a model was fitted to.
    season : int
        How many rows before is the level that the naive forecast takes.

    Raises
    ------
    ForecastingError
        If there is no row that far before another.

    Examples
    --------
    >>> seasonal_scale(np.array([1.0, 2.0, 4.0]))
    1.5
    """
    if len(training) <= season:
        raise ForecastingError(
            f"season={season} needs more than {season} training rows to scale errors by, and there are "
            f"{len(training)}. Choose a shorter season, or a split with more training rows."
        )
    return mae(training[season:], training[:-season])


def mase(actual: Array, mean: Array, scale: Array | float) -> float | None:
    """Return the mean absolute scaled error of Hyndman & Koehler (2006).

    Parameters
    ----------
    actual, mean : ndarray of float64, shape (n,)
        What came, and what was forecast.
    scale : float, or ndarray of float64, shape (n,)
        :func:`seasonal_scale` of the training rows; for each row, if models of several windows forecast. NaN and 0 are
        none.

    Returns
    -------
    float or None
        Below 1, if errors are smaller than those of the naive forecast within the training rows. None if these were
        without a move.

    Examples
    --------
    >>> mase(np.array([1.0, 2.0]), np.array([1.0, 4.0]), 0.5)
    2.0
    """
    if not np.all(np.asarray(scale) > 0):
        return None
    return float(np.mean(np.abs(actual - mean) / scale))


def moves(levels: Array, previous: Array) -> Array:
    """Return 1 where a level is above the previous one, -1 where it is below, and 0 where it is the same.

    Examples
    --------
    >>> moves(np.array([1.5, 1.0, 2.0]), np.array([1.0, 1.0, 3.0]))
    array([ 1.,  0., -1.])
    """
    change = levels - previous
    return np.where(np.abs(change) <= _ROUNDING * np.maximum(np.abs(levels), np.abs(previous)), 0.0, np.sign(change))


def directional_accuracy(actual: Array, mean: Array, previous: Array) -> float | None:
    """Return the share of moves whose direction was forecast.

    Parameters
    ----------
    actual, mean, previous : ndarray of float64, shape (n,)
        What came, what was forecast, and the last level that was known then.

    Returns
    -------
    float or None
        Rows without a move are left out, and a forecast of no move misses one. None, for not applicable, if nothing
        moved, or if a move was never forecast: the naive forecast has no opinion, and so no accuracy.

    Examples
    --------
    >>> directional_accuracy(np.array([2.0, 1.0, 1.0]), np.array([3.0, 1.5, 9.0]), np.array([1.0, 2.0, 1.0]))
    1.0
    >>> directional_accuracy(np.array([2.0, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    """
    came, forecast = moves(actual, previous), moves(mean, previous)
    if not came.any() or not forecast.any():
        return None
    return float(np.mean((came == forecast)[came != 0]))


def interval_coverage(actual: Array, lower: Array, upper: Array) -> float:
    """Return the share of rows that lie in their interval.

    Examples
    --------
    >>> interval_coverage(np.array([1.0, 5.0]), np.array([0.0, 0.0]), np.array([2.0, 2.0]))
    0.5
    """
    return float(np.mean((lower <= actual) & (actual <= upper)))


def interval_width(lower: Array, upper: Array) -> float:
    """Return how wide the intervals are, on average.

    Examples
    --------
    >>> interval_width(np.array([0.0, 1.0]), np.array([2.0, 2.0]))
    1.5
    """
    return float(np.mean(upper - lower))


def diebold_mariano(losses: Array, others: Array) -> float:
    """Return how probable so large a difference of mean losses is between forecasts that are equally good.

    The test of Diebold & Mariano (1995), two-sided, with the correction for small samples of Harvey, Leybourne &
    Newbold (1997) and Student's distribution. Losses are taken to be independent of one another, as are those of steps
    that are one row ahead, and the mean losses of paths that do not overlap: it is the paired t-test then.

    Parameters
    ----------
    losses, others : ndarray of float64, shape (n,)
        What each forecast lost on the same rows, or in the same windows: squared errors, for instance.

    Returns
    -------
    float
        From 0 to 1; 1 where the losses are the same, and where there are fewer than two to tell by. Where one forecast
        is better by the same amount each time, that of a sign test, two-sided: 2 ** (1 - n).

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> good, bad = np.square(generator.normal(0, [[1], [2]], (2, 500)))
    >>> diebold_mariano(good, bad) < 1e-6
    True
    """
    if find_spec("scipy") is None:
        raise MissingDependencyError.of("scipy", extra="forecasting", purpose="The Diebold-Mariano test")
    from scipy.special import stdtr

    n = len(losses)
    size = max(np.abs(losses).max(initial=0.0), np.abs(others).max(initial=0.0))
    if n < 2 or size == 0:
        return 1.0
    differences = losses / size - others / size  # so that no square of them overflows
    if np.abs(differences).max() <= _ROUNDING:
        return 1.0
    if np.ptp(differences) <= _ROUNDING:  # no variance to measure the mean by
        return min(1.0, 2.0 ** (1 - n))
    mean = float(np.mean(differences))
    centred = differences - mean
    statistic = mean / np.sqrt(float(centred @ centred) / (n * (n - 1)))
    return float(2 * stdtr(n - 1, -abs(statistic)))
