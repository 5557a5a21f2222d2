"""Baselines: what every model has to beat.

They speak of levels (or of their logarithms, where the transform takes those): the next level is the last one, or the
last one and what the series gains in a row on average, or that of a season ago. To a model that sees differences they
say the same in differences: no change, the mean change, the change to the level of a season ago.

References
----------
.. [1] Hyndman, R. J., and Athanasopoulos, G. (2021), *Forecasting: Principles and Practice*, 3rd ed., sections 5.2
   and 5.5, https://otexts.com/fpp3.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from ..exceptions import ForecastingError, ParamsError
from .forecaster import Fitting, Forecaster
from .linear import errors_of_path
from .model import ModelP, ModelParams
from .rows import Rows
from .transforms import Array, Path

__all__ = ["Baseline", "BaselineP", "BaselineParams"]

Kind = Literal["naive", "seasonal_naive", "drift"]


@dataclass(kw_only=True)
class BaselineParams(ModelParams):
    """Which baseline.

    Parameters
    ----------
    window : int
        Which window of the split the model is fitted for, counted from 0.
    kind : {"naive", "seasonal_naive", "drift"}
        The level of the row before; of a season before; or of the row before, and the mean difference of the history.
    season : int
        How many rows a season has, for ``"seasonal_naive"`` only.

    Raises
    ------
    ParamsError
        If one of them cannot be used.

    Examples
    --------
    >>> BaselineParams(kind="seasonal_naive", season=12)
    BaselineParams(window=0, kind='seasonal_naive', season=12)
    """

    kind: Kind = "naive"
    season: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in get_args(Kind):
            raise ParamsError(f"kind must be one of {', '.join(map(repr, get_args(Kind)))}; got {self.kind!r}.")
        if isinstance(self.season, bool) or not isinstance(self.season, int) or self.season < 1:
            raise ParamsError(f"season must be a whole number of rows, 1 or more; got {self.season!r}.")
        # One model has one key: a season of one row is the naive forecast, and the others have no season.
        if self.kind == "seasonal_naive" and self.season == 1:
            raise ParamsError("kind='seasonal_naive' needs season=, the rows of a season: 12 for months in a year.")
        if self.kind != "seasonal_naive" and self.season != 1:
            raise ParamsError(
                f"kind={self.kind!r} has no season; got season={self.season}. Leave it out, or choose "
                f"kind='seasonal_naive'."
            )


class Baseline(Forecaster):
    """A naive, seasonal naive or drift forecast; see :class:`BaselineParams`.

    Parameters
    ----------
    payload : mapping
        What a fit has found; see :meth:`.Forecaster.fit`.
    history : DataFrame
        The rows that it was fitted to: the target, and exogenous columns (which are not used), by date.

    Raises
    ------
    ForecastingError
        If these are not the rows that the model was fitted to.

    Notes
    -----
    All are one model: a level is that of `season` rows before, a drift and noise. The standard deviation of the noise
    is that of the errors in the history, and intervals grow as they do in [1]_: with the root of the steps (with the
    uncertainty of the drift besides), or with that of the seasons begun.

    Examples
    --------
    >>> import pandas as pd
    >>> dates = pd.date_range("2024-01-01", periods=5, freq="MS")
    >>> history = pd.DataFrame({"x": [1.0, 3.0, 2.0, 4.0, 5.0]}, index=dates)
    >>> drift = Baseline(Baseline.fit(history, BaselineParams(kind="drift")), history)
    >>> drift.forecast(2).round(2)
                mean  lower  upper
    2024-06-01   6.0    2.9    9.1
    2024-07-01   7.0    2.2   11.8
    """

    family: ClassVar[str] = "baseline"
    uses_exogenous: ClassVar[bool] = False

    @classmethod
    def _fit(cls, rows: Rows, params: BaselineParams, fitting: Fitting) -> dict[str, Any]:
        levels = np.cumsum(np.nan_to_num(rows.values)) if _sees_differences(rows) else rows.values
        n, season, drifts = len(levels), params.season, params.kind == "drift"
        n_errors = n - season
        if n_errors < 1 + drifts:
            raise ForecastingError(
                f"kind={params.kind!r} with a season of {season} rows needs at least {season + 1 + drifts} rows; there "
                f"are {n}. Take more rows, or another kind."
            )
        drift = float(levels[-1] - levels[0]) / (n - 1) if drifts else 0.0
        errors = levels[season:] - levels[:-season] - drift
        sigma = sqrt(float(errors @ errors) / (n_errors - drifts))
        return {"kind": params.kind, "season": season, "drift": drift, "sigma": sigma, "rows": n}

    def _path(self, steps: int, future: Rows) -> Path:
        season, drift, sigma = self.payload["season"], self.payload["drift"], self.payload["sigma"]
        levels, ahead = self._levels, np.arange(1, steps + 1)
        mean = levels[len(levels) - season + (ahead - 1) % season] + drift * ahead
        psi = ((ahead - 1) % season == 0).astype(float)
        drifted = ahead.astype(float)
        if _sees_differences(self.rows):
            mean, psi, drifted = np.diff(mean, prepend=levels[-1]), np.diff(psi, prepend=0.0), np.ones(steps)
        se, se_of_sum = errors_of_path(psi)
        variance_of_drift = self._variance_of_drift
        return Path(
            mean,
            sigma * np.sqrt(se**2 + variance_of_drift * drifted**2),
            sigma * np.sqrt(se_of_sum**2 + variance_of_drift * np.cumsum(drifted) ** 2),
        )

    def _one_step(self, test: Rows) -> tuple[Array, Array]:
        n = len(test.values)
        differences = _sees_differences(self.rows)
        following = self._levels[-1] + np.cumsum(test.values) if differences else test.values
        se = self.payload["sigma"] * sqrt(1 + self._variance_of_drift)
        return self._expected(np.concatenate([self._levels, following]))[-n:], np.full(n, se)

    def _residuals(self) -> Array:
        return self.rows.values - self._expected(self._levels)

    @property
    def n_parameters(self) -> int:
        """How many coefficients were fitted: the drift, if there is one. The variance of the errors is none."""
        return int(self.payload["kind"] == "drift")

    def summary(self) -> str:
        """Return the rule in words, and how large its errors were."""
        season, drift = self.payload["season"], self.payload["drift"]
        unit = "log level" if self._takes_logs else "level"
        before = "the row before" if season == 1 else f"{season} rows before"
        plus = f", {drift:+.6g}" if self.n_parameters else ""
        return (
            f"{self.payload['kind']} forecast of {self.history.columns[0]} (transform {self.transform})\n"
            f"{unit} = {unit} of {before}{plus}\n"
            f"rows {self.payload['rows']}, parameters {self.n_parameters}, sigma {self.payload['sigma']:.6g}"
        )

    def _expected(self, levels: Array) -> Array:
        """Return what was expected of each row, as the model sees it; NaN in the first season."""
        season = self.payload["season"]
        if _sees_differences(self.rows):
            # The two levels are one for the naive forecast, whose expected change is 0 and no rounding error.
            expected = levels[:-season] - levels[season - 1 : -1] + self.payload["drift"]
        else:
            expected = levels[:-season] + self.payload["drift"]
        return np.concatenate([np.full(season, np.nan), expected])

    @property
    def _takes_logs(self) -> bool:
        return self.transform in ("log", "log_return")

    @property
    def _levels(self) -> Array:
        """The levels of the history, or their logarithms: what is summed up by the values that a model sees."""
        levels = self.history.iloc[:, 0].to_numpy(float)
        return np.log(levels) if self._takes_logs else levels

    @property
    def _variance_of_drift(self) -> float:
        """The variance of the drift, for noise of variance 1: it is a mean of as many differences."""
        rows: int = self.payload["rows"]
        return self.n_parameters / (rows - 1)


def _sees_differences(rows: Rows) -> bool:
    return bool(np.isnan(rows.values[0]))  # there is none for the first row of a history


class BaselineP(ModelP[BaselineParams]):
    """A baseline as an artifact; see :class:`BaselineParams` and :class:`.ModelP`.

    Examples
    --------
    >>> BaselineP.params_class().kind
    'naive'
    """

    forecaster_class: ClassVar[type[Forecaster]] = Baseline
    params_class: ClassVar[type[ModelParams]] = BaselineParams
