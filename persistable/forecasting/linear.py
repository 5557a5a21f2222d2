"""Linear models: lags of the target, the calendar, a trend and exogenous columns, by least squares.

Features are centred and scaled before they are solved for, so that a penalty means the same for each of them, and a
trend next to a log return costs no digits. What is kept are the coefficients of the features as they are.

References
----------
.. [1] Hastie, T., Tibshirani, R., and Friedman, J. (2009), *The Elements of Statistical Learning*, 2nd ed., section
   3.4.1, with the effective degrees of freedom (3.50); exercise 3.12 for ridge regression as least squares with
   additional rows.
.. [2] Box, G. E. P., Jenkins, G. M., Reinsel, G. C., and Ljung, G. M. (2015), *Time Series Analysis*, 5th ed.,
   section 5.2, for the errors of several steps by psi weights.
.. [3] Hyndman, R. J., and Athanasopoulos, G. (2021), *Forecasting: Principles and Practice*, 3rd ed., sections 5.5 and
   9.8, https://otexts.com/fpp3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from operator import index as whole
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..exceptions import ForecastingError, ParamsError
from .forecaster import Fitting, Forecaster
from .model import ModelP, ModelParams
from .rows import Rows
from .transforms import Array, Path

__all__ = ["Linear", "LinearP", "LinearParams", "errors_of_path"]

_DUMMIES: Final = ("weekday", "month", "quarter")
_CALENDAR: Final = (*_DUMMIES, "trend")

_CONSTANT: Final = 1e-12
"""The range of a feature, relative to its values, below which it is taken for a constant: rounding leaves as much."""


@dataclass(kw_only=True)
class LinearParams(ModelParams):
    """What a linear model regresses on, and how.

    Parameters
    ----------
    window : int
        Which window of the split the model is fitted for, counted from 0.
    lags : int or tuple of int
        The values of how many rows before, or of which ones; 0 for none. ``3`` and ``(1, 2, 3)`` are the same.
    calendar : tuple of {"weekday", "month", "quarter", "trend"}
        Features of the date: one column for each weekday, month or quarter that occurs but the first one; and the
        number of rows since the start, as a share of the rows that the model is fitted to.
    alpha : float
        The weight of the ridge penalty, 0 for ordinary least squares: `alpha` times the sum of the squared
        coefficients, of standardised features, is added to the sum of squared errors. The intercept is not penalised.

    Raises
    ------
    ParamsError
        If one of them cannot be used.

    Examples
    --------
    >>> LinearParams(lags=(7, 1), calendar=("trend", "month"))
    LinearParams(window=0, lags=(1, 7), calendar=('month', 'trend'), alpha=0.0)
    >>> LinearParams(lags=(2, 1)) == LinearParams(lags=2)
    True
    """

    lags: int | tuple[int, ...] = 5
    calendar: tuple[str, ...] = ()
    alpha: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        # One model has one key, in whatever way it is written.
        self.lags = _checked_lags(self.lags)
        self.calendar = _checked_calendar(self.calendar)
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float) or not 0 <= self.alpha < np.inf:
            raise ParamsError(f"alpha must be a finite number, 0 or more; got {self.alpha!r}.")
        self.alpha = float(self.alpha)

    @property
    def which_lags(self) -> tuple[int, ...]:
        """The lags, one by one."""
        return tuple(range(1, self.lags + 1)) if isinstance(self.lags, int) else self.lags


def _checked_lags(lags: Any) -> int | tuple[int, ...]:
    many = lags if isinstance(lags, Iterable) and not isinstance(lags, str) else None
    try:
        found = sorted(whole(lag) for lag in many) if many is not None else list(range(1, whole(lags) + 1))
        usable = not isinstance(lags, bool) and (many is not None or whole(lags) >= 0)
    except TypeError:
        usable = False
    if not usable or len(set(found)) < len(found) or (found and found[0] < 1):
        raise ParamsError(
            f"lags must be a whole number, 0 or more, or a tuple of different ones, each 1 or more; got {lags!r}."
        )
    return len(found) if found == list(range(1, len(found) + 1)) else tuple(found)


def _checked_calendar(calendar: Any) -> tuple[str, ...]:
    if isinstance(calendar, str) or not isinstance(calendar, Iterable):
        raise ParamsError(f"calendar must be a tuple of {', '.join(_CALENDAR)}; got {calendar!r}.")
    names = tuple(calendar)
    if unknown := [name for name in names if name not in _CALENDAR]:
        raise ParamsError(f"calendar has no {', '.join(map(repr, unknown))}. There are {', '.join(_CALENDAR)}.")
    return tuple(name for name in _CALENDAR if name in names)


class Linear(Forecaster):
    """A linear model of the values that it sees; see :class:`LinearParams`.

    Parameters
    ----------
    payload : mapping
        What a fit has found; see :meth:`.Forecaster.fit`.
    history : DataFrame
        The rows that it was fitted to: the target, and the exogenous columns, by date.

    Raises
    ------
    ForecastingError
        If these are not the rows that the model was fitted to.

    Notes
    -----
    Exogenous columns are features of their own row, so that a forecast needs them for the rows to come. Several steps
    are forecast one after the other, each from those before it. Standard errors are those of the noise, by the psi
    weights of the lags: that the coefficients are estimated too is not in them, so that intervals are a little too
    narrow when there are few rows for many features.

    A weekday, month or quarter that did not occur in the history has no coefficient, and no forecast.

    Examples
    --------
    >>> import pandas as pd
    >>> dates = pd.date_range("2024-01-01", periods=8, freq="MS")
    >>> history = pd.DataFrame({"x": [1.0, 2.0, 4.0, 3.0, 5.0, 7.0, 6.0, 8.0]}, index=dates)
    >>> linear = Linear(Linear.fit(history, LinearParams(lags=0, calendar=("trend",))), history)
    >>> linear.forecast(2).round(2)
                mean  lower  upper
    2024-09-01  8.79   7.20  10.37
    2024-10-01  9.74   8.16  11.32
    """

    family: ClassVar[str] = "linear"

    @classmethod
    def _fit(cls, rows: Rows, params: LinearParams, fitting: Fitting) -> dict[str, Any]:
        found: dict[str, Any] = {
            "lags": list(params.which_lags),
            "calendar": {
                name: np.unique(_of_dates(rows.index, name)).tolist() for name in params.calendar if name != "trend"
            },
            "trend": len(rows.values) if "trend" in params.calendar else None,
        }
        columns = _known_columns(found, rows, 0) | _lag_columns(found, rows.values, 0)
        design = np.column_stack([*columns.values()]) if columns else np.empty((len(rows.values), 0))
        usable = np.isfinite(rows.values) & np.isfinite(design).all(axis=1)
        features, target = design[usable], rows.values[usable]
        n, k = features.shape
        if n < k + 2:
            raise ForecastingError(
                f"There are fewer rows than lags and features need: {n} of {len(rows.values)} rows have all lags, and "
                f"{k} features with an intercept need at least {k + 2}. Take more rows, or fewer lags."
            )
        solution = _least_squares(features, target, params.alpha)
        if solution.rank < k and params.alpha == 0:
            fitting.warn(
                f"{k - solution.rank} of {k} features are constant, or sums of others: their coefficients are not "
                f"unique, and the smallest were taken. Leave out what says the same twice, or set alpha above 0."
            )
        names = list(columns)
        coefficients = dict(zip(names, solution.coefficients.tolist(), strict=True))
        found |= {"alpha": params.alpha, "intercept": solution.intercept, "coefficients": coefficients}
        errors = target - _predicted(found, columns, len(usable))[usable]
        sigma = sqrt(float(errors @ errors) / (n - 1 - solution.effective))
        standard_errors = None
        if solution.unit_errors is not None:
            standard_errors = dict(zip(["intercept", *names], (sigma * solution.unit_errors).tolist(), strict=True))
        return found | {"rows": n, "rank": solution.rank, "sigma": sigma, "standard_errors": standard_errors}

    def _path(self, steps: int, future: Rows) -> Path:
        payload, n = self.payload, len(self.rows.values)
        known = _predicted(payload, _known_columns(payload, future, n), steps)
        lags = [(lag, payload["coefficients"][f"lag_{lag}"]) for lag in payload["lags"]]
        values = [*self.rows.values.tolist(), *known.tolist()]
        psi = [1.0] + [0.0] * (steps - 1)
        for step in range(steps):
            for lag, coefficient in lags:
                values[n + step] += coefficient * values[n + step - lag]
                if lag <= step:
                    psi[step] += coefficient * psi[step - lag]
        with np.errstate(over="ignore", invalid="ignore"):
            path = Path(np.array(values[n:]), *(payload["sigma"] * each for each in errors_of_path(np.array(psi))))
        if not (np.isfinite(path.mean).all() and np.isfinite(path.se_of_sum).all()):
            raise ForecastingError(
                f"The lags are explosive (their largest root is {self.largest_root:.4g}, and above 1 forecasts run "
                f"away): the numbers end before {steps} steps do. Forecast fewer steps, or choose another transform."
            )
        return path

    def _one_step(self, test: Rows) -> tuple[Array, Array]:
        n = len(self.rows.values)
        columns = _known_columns(self.payload, test, n)
        columns |= _lag_columns(self.payload, np.concatenate([self.rows.values, test.values]), n)
        return _predicted(self.payload, columns, len(test.values)), np.full(len(test.values), self.payload["sigma"])

    def _residuals(self) -> Array:
        values = self.rows.values
        columns = _known_columns(self.payload, self.rows, 0) | _lag_columns(self.payload, values, 0)
        return values - _predicted(self.payload, columns, len(values))

    @property
    def n_parameters(self) -> int:
        """How many coefficients were fitted: the intercept, and those of features that do not follow from others.

        A ridge penalty makes them smaller, but no fewer. The variance of the errors is none.
        """
        return 1 + int(self.payload["rank"])

    @property
    def largest_root(self) -> float:
        """The largest root of the lags, by its size: below 1, what is forecast settles; above 1, it runs away."""
        lags: list[int] = self.payload["lags"]
        polynomial = np.zeros(1 + max(lags, default=0))
        polynomial[0] = 1
        for lag in lags:
            polynomial[lag] = -self.payload["coefficients"][f"lag_{lag}"]
        return float(np.abs(np.roots(polynomial)).max(initial=0.0))

    def summary(self) -> str:
        """Return the coefficients as a table; with their standard errors, where there is no penalty."""
        payload = self.payload
        labels = {f"exogenous_{number}": str(name) for number, name in enumerate(self.history.columns[1:], 1)}
        coefficients = {"intercept": payload["intercept"], **payload["coefficients"]}
        width = max(12, *(len(labels.get(name, name)) for name in coefficients))
        standard_errors = payload["standard_errors"] or {}
        lines = [
            f"linear model of {self.history.columns[0]} (transform {self.transform}), alpha {payload['alpha']:g}",
            f"rows {payload['rows']}, parameters {self.n_parameters}, sigma {payload['sigma']:.6g}, "
            f"largest root of the lags {self.largest_root:.4g}",
            "",
            f"{'feature':<{width}}{'coefficient':>15}" + (f"{'std. error':>15}{'t':>12}" if standard_errors else ""),
        ]
        for name, coefficient in coefficients.items():
            line = f"{labels.get(name, name):<{width}}{coefficient:>15.6g}"
            if standard_errors:
                error = standard_errors[name]
                line += f"{error:>15.6g}" + (f"{coefficient / error:>12.4g}" if error > 0 else f"{'n/a':>12}")
            lines.append(line)
        return "\n".join(lines)


class LinearP(ModelP[LinearParams]):
    """A linear model as an artifact; see :class:`LinearParams` and :class:`.ModelP`.

    Examples
    --------
    >>> LinearP.params_class().lags
    5
    """

    forecaster_class: ClassVar[type[Forecaster]] = Linear
    params_class: ClassVar[type[ModelParams]] = LinearParams


# ---------------------------------------------------------------------------------------------------------------------
# Features


def _known_columns(found: Mapping[str, Any], rows: Rows, start: int) -> dict[str, Array]:
    """Return the features that are no lags; `start` is the number of rows before these since the history began."""
    columns: dict[str, Array] = {}
    if found["trend"] is not None:
        columns["trend"] = (start + np.arange(len(rows.index))) / found["trend"]
    for name in _DUMMIES:
        seen = found["calendar"].get(name)
        if seen is None:
            continue
        here = _of_dates(rows.index, name)
        if not np.isin(here, seen).all():
            position = int(np.argmin(np.isin(here, seen)))
            raise ForecastingError(
                f"There is a row on {rows.index[position]:%Y-%m-%d}, {name} {here[position]}, but the model was fitted "
                f"to rows of {name} {', '.join(map(str, seen))} only. Fit it to more rows, or leave {name!r} out of "
                f"calendar."
            )
        columns |= {f"{name}_{level}": (here == level).astype(float) for level in seen[1:]}
    return columns | {f"exogenous_{number}": column for number, column in enumerate(rows.exogenous.T, 1)}


def _of_dates(index: pd.DatetimeIndex, name: str) -> NDArray[np.int32]:
    """Return the weekday (Monday is 0), month or quarter of each date."""
    return np.asarray(getattr(index, "day_of_week" if name == "weekday" else name))


def _lag_columns(found: Mapping[str, Any], values: Array, start: int) -> dict[str, Array]:
    """Return the lags of the values from the row `start` on; NaN, where there is nothing before."""
    longest = max(found["lags"], default=0)
    padded = np.concatenate([np.full(longest, np.nan), values])
    return {f"lag_{lag}": padded[longest + start - lag : len(padded) - lag] for lag in found["lags"]}


def _predicted(found: Mapping[str, Any], columns: Mapping[str, Array], n: int) -> Array:
    """Return the intercept and what the columns add to it.

    Column by column: a product of matrices would round a row in another way when there are more rows beside it.
    """
    total = np.full(n, found["intercept"])
    for name, column in columns.items():
        total += found["coefficients"][name] * column
    return total


# ---------------------------------------------------------------------------------------------------------------------
# Numbers


@dataclass(frozen=True)
class _Solution:
    """What least squares have found.

    Attributes
    ----------
    intercept : float
        For features as they are, not centred.
    coefficients : ndarray of float64, shape (k,)
        Likewise not scaled.
    rank : int
        How many features are independent of each other.
    effective : float
        How many of them the fit has used up: `rank` without a penalty, which takes a part of each [1]_.
    unit_errors : ndarray of float64, shape (k + 1,), or None
        Standard errors of intercept and coefficients, for noise of standard deviation 1. None where they mean nothing:
        with a penalty, coefficients are biased, and with a lower rank they are arbitrary.
    """

    intercept: float
    coefficients: Array
    rank: int
    effective: float
    unit_errors: Array | None


def _least_squares(features: Array, target: Array, alpha: float) -> _Solution:
    """Return what minimises the squared errors and the penalty, which is `alpha` in additional rows [1]_."""
    n, k = features.shape
    centre, level = features.mean(axis=0), float(target.mean())
    varies = np.ptp(features, axis=0) > _CONSTANT * np.abs(features).max(axis=0)
    scale = np.where(varies, features.std(axis=0), 1.0)
    standardised = np.where(varies, (features - centre) / scale, 0.0)
    design, wanted = standardised, target - level
    if alpha > 0:
        design = np.vstack([design, sqrt(alpha) * np.eye(k)])
        wanted = np.concatenate([wanted, np.zeros(k)])
    slopes = np.linalg.lstsq(design, wanted, rcond=None)[0]
    coefficients = slopes / scale
    # Those of the features without the additional rows; what rounding has left of a 0 is cut off as lstsq() does.
    singular = np.linalg.svd(standardised, compute_uv=False)
    singular = singular[singular > np.finfo(float).eps * max(n, k) * singular.max(initial=0.0)]
    rank, effective = len(singular), float(np.sum(singular**2 / (singular**2 + alpha)))
    unit_errors = None
    if alpha == 0 and rank == k:
        inverse = np.linalg.inv(np.linalg.qr(standardised, mode="r")) / scale[:, None]
        unit_errors = np.sqrt([1 / n + ((centre @ inverse) ** 2).sum(), *(inverse**2).sum(axis=1)])
    return _Solution(level - float(centre @ coefficients), coefficients, rank, effective, unit_errors)


def errors_of_path(psi: Array) -> tuple[Array, Array]:
    """Return the standard errors of each step and of the sum of all so far, for noise of standard deviation 1.

    Parameters
    ----------
    psi : ndarray of float64, shape (steps,)
        What remains of a shock after 0, 1, ... steps; see [2]_.

    Examples
    --------
    >>> errors_of_path(np.array([1.0, 0.0, 0.0]))
    (array([1., 1., 1.]), array([1.        , 1.41421356, 1.73205081]))
    """
    return np.sqrt(np.cumsum(psi**2)), np.sqrt(np.cumsum(np.cumsum(psi) ** 2))
