"""Forecaster: a fitted model and the rows that it was fitted to, from whose end it forecasts.

A family of models says how it is fitted, what comes next and how sure it is of that, in the numbers that it sees (see
:mod:`.transforms`). What all families do alike is here: checking the rows, transforming and coming back, dates,
intervals, pictures.

What a fit has found is a plain dict, the payload of a model's artifact. A forecaster is made from it and the rows
alone, also right after the fit: so one that was loaded forecasts the same, to the last bit.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from numbers import Real
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
import pandas as pd

from ..exceptions import ForecastingError, MissingDependencyError, ParamsError
from .plots import check_last, plot_forecast
from .rows import (
    Rows,
    check_follows,
    check_rows,
    dates_of,
    digest_of_rows,
    future_index,
    missing_from,
    rows_of,
)
from .transforms import Array, Path, levels_of_path, levels_of_steps, transformed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Fitting", "Forecaster", "family_of", "forecaster_of", "one_thread"]

_OURS: Final = frozenset({"arima", "baseline", "linear", "lstm"})
"""Families that are modules here, imported when one is needed."""

_ROUNDING: Final = 1e-12  # what differs by less of itself is constant

_families: dict[str, type[Forecaster]] = {}
"""Name -> class, of what has been imported."""


@dataclass
class Fitting:
    """What goes on besides, while a model is fitted.

    Attributes
    ----------
    metrics : dict
        Numbers and plain lists for the manifest (``self.metrics``), which are no part of the model.
    warn : callable
        Told, in a sentence each, what a user should know: a fit that did not converge.
    report : callable or None
        Called with (epoch, validation loss) after each epoch, by families that have epochs; may raise to end the fit.
    show : callable or None
        Called with (epochs done, validation loss) for a progress bar.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda message: None
    report: Callable[[int, float], None] | None = None
    show: Callable[[int, float], None] | None = None


class Forecaster(ABC):
    """A fitted model, and the rows that it was fitted to.

    Parameters
    ----------
    payload : mapping
        What a fit has found; see :meth:`fit`.
    history : DataFrame
        The rows that it was fitted to: the target, and the exogenous columns, by date.

    Raises
    ------
    ForecastingError
        If these are not the rows that the model was fitted to.
    """

    family: ClassVar[str]
    """What the family is called, in payloads and rankings."""
    uses_exogenous: ClassVar[bool] = True
    """Whether a forecast needs the exogenous columns, where the series has some."""

    def __init__(self, payload: Mapping[str, Any], history: pd.DataFrame) -> None:
        if (found := digest_of_rows(history)) != payload["history"]:
            raise ForecastingError(
                f"The {self.family} model was fitted to other rows: their digest is {payload['history']}, and that of "
                f"the {len(history)} rows given is {found}."
            )
        self.payload = payload
        self.history = history
        self.transform: str = payload["transform"]
        self.rows = rows_of(history, self.transform)

    def __init_subclass__(cls, **options: Any) -> None:
        """Make a family known by its name, so that :func:`.load_champion` finds it."""
        super().__init_subclass__(**options)
        family = cls.__dict__.get("family")
        if family is None:
            return
        if family in _OURS and cls.__module__ != f"{__package__}.{family}":
            raise ParamsError(f"{cls.__qualname__}: there is a family {family!r} already. Choose another name.")
        _families[family] = cls

    def __repr__(self) -> str:
        known = "goes on after" if self.payload.get("extended") else "fitted to"
        return (
            f"<{type(self).__qualname__} of {self.history.columns[0]!r}, {known} {len(self.history)} rows up to "
            f"{self.history.index[-1]:%Y-%m-%d}>"
        )

    # -----------------------------------------------------------------------------------------------------------------
    # What a family says

    @classmethod
    @abstractmethod
    def _fit(cls, rows: Rows, params: Any, fitting: Fitting) -> dict[str, Any]:
        """Return what is found in `rows`, which are finite, in order, and not constant, as plain values or tensors."""

    @abstractmethod
    def _path(self, steps: int, future: Rows) -> Path:
        """Return what comes after the history; `future` has dates and exogenous columns, its values are NaN."""

    @abstractmethod
    def _one_step(self, test: Rows) -> tuple[Array, Array]:
        """Return the mean and standard error of each row's value, given all rows before it, which follow the history.

        The parameters stay as they are.
        """

    @abstractmethod
    def _residuals(self) -> Array:
        """Return the errors of the one-step forecasts of the history, NaN where there is none; shape (n,)."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """How many coefficients were fitted, the variance of the errors aside: of equals, who has fewer is simpler."""

    @abstractmethod
    def summary(self) -> str:
        """Return what was found, as a text of several lines."""

    @classmethod
    def with_choice(cls, params: Any, choice: Mapping[str, Any]) -> Any:
        """Return `params` with what a study has chosen."""
        known = [name for name in params.to_dict() if name != "window"]
        if unknown := sorted(choice.keys() - set(known)):
            raise ParamsError(
                f"{type(params).__name__} has no setting {', '.join(unknown)} that a study could choose. "
                f"Search for {', '.join(known)}."
            )
        return replace(params, **choice)

    # -----------------------------------------------------------------------------------------------------------------
    # What all do alike

    @classmethod
    def fit(
        cls, history: pd.DataFrame, params: Any, *, transform: str = "none", fitting: Fitting | None = None
    ) -> dict[str, Any]:
        """Fit the model, by one thread, so that the result depends on no other load of the machine.

        Parameters
        ----------
        history : DataFrame, n rows
            The target in the first column, exogenous columns after it; by date, in order, without gaps in its values.
        params : PersistableParams
            The family's.
        transform : {"none", "log", "difference", "log_return"}
            What the model sees of the target.
        fitting : Fitting, optional
            What is to be told meanwhile.

        Returns
        -------
        dict
            The payload.

        Raises
        ------
        ForecastingError
            If there are missing values, or the target is constant, or there are too few rows.
        """
        if missing := sorted(cls.__abstractmethods__):
            raise ParamsError(f"{cls.__qualname__} is no whole family yet: define {', '.join(missing)}.")
        if _families.get(cls.family) is not cls:
            raise ParamsError(
                f"{cls.__qualname__} goes by the family {cls.family!r}, which is another class, and what it fits would "
                f"be loaded as that. Give it a name of its own: family = {cls.__qualname__.lower()!r}."
            )
        check_rows(history)
        rows = rows_of(history, transform)
        seen = rows.values[np.isfinite(rows.values)]
        if len(seen) == 0 or np.ptp(seen) <= _ROUNDING * np.abs(seen).max():
            raise ForecastingError(
                f"{history.columns[0]!r} is constant in the {len(history)} rows from {history.index[0]:%Y-%m-%d} to "
                f"{history.index[-1]:%Y-%m-%d} (transform={transform!r}): there is nothing to be fitted. Choose other "
                f"rows, or another transform."
            )
        with one_thread(), np.errstate(all="ignore"):
            found = cls._fit(rows, params, Fitting() if fitting is None else fitting)
        if not _is_finite(found):
            raise ForecastingError(
                f"The {cls.family} model of {history.columns[0]!r} has settings that are not finite: {found}. Choose "
                f"another transform, or other units."
            )
        return {"family": cls.family, "transform": transform, "history": digest_of_rows(history), **found}

    def forecast(self, steps: int, exogenous: pd.DataFrame | None = None, *, coverage: float = 0.95) -> pd.DataFrame:
        """Forecast what comes after the history.

        Parameters
        ----------
        steps : int
            How many rows.
        exogenous : DataFrame, `steps` rows, optional
            The exogenous columns then, for a model that has some; other columns are left out. If it is by date, also
            without columns, these are the dates; else those that follow on the calendar of the series.
        coverage : float
            The probability that a value lies in its interval, above 0 and below 1.

        Returns
        -------
        DataFrame, `steps` rows, float64
            ``mean``, ``lower`` and ``upper``, in the units of the target. With a logarithm in the transform, ``mean``
            is the median.

        Raises
        ------
        ForecastingError
            If exogenous columns are missing, or do not follow the history.
        ParamsError
            If `steps` or `coverage` is no such number.
        """
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise ParamsError(f"steps must be a whole number, 1 or more; got {steps!r}.")
        width = _width(coverage)
        future = self._future(int(steps), exogenous)
        with one_thread(), np.errstate(all="ignore"):
            path = self._path(int(steps), future)
        mean, lower, upper = levels_of_path(path, self._last_level, self.transform, width)
        return self._forecasts(mean, lower, upper, future.index)

    def one_step(self, test: pd.DataFrame, *, coverage: float = 0.95) -> pd.DataFrame:
        """Forecast each row of `test` from all rows before it, without fitting again.

        Parameters
        ----------
        test : DataFrame, n rows
            The rows that follow the history, with the same columns.
        coverage : float
            The probability that a value lies in its interval, above 0 and below 1.

        Returns
        -------
        DataFrame, n rows, float64
            ``mean``, ``lower`` and ``upper``, in the units of the target; by the dates of `test`.

        Raises
        ------
        ForecastingError
            If `test` does not follow the history, lacks columns, or has missing values.
        """
        width = _width(coverage)
        test = self._following(test, "test")
        levels = test.iloc[:, 0].to_numpy(float)
        previous = np.concatenate([[self._last_level], levels[:-1]])
        values = transformed(np.concatenate([[self._last_level], levels]), self.transform)[1:]
        with one_thread(), np.errstate(all="ignore"):
            mean, se = self._one_step(Rows(dates_of(test), values, test.iloc[:, 1:].to_numpy(float)))
        low, middle, high = (levels_of_steps(mean + side * width * se, previous, self.transform) for side in (-1, 0, 1))
        return self._forecasts(middle, low, high, dates_of(test))

    def _forecasts(self, mean: Array, lower: Array, upper: Array, index: pd.DatetimeIndex) -> pd.DataFrame:
        """Return forecasts as a table, if they are some: an interval may be infinite, a value that is expected not."""
        found = pd.DataFrame({"mean": mean, "lower": lower, "upper": upper}, index=index)
        if not np.isfinite(mean).all() or found.isna().to_numpy().any():
            first = index[int(np.argmax(found.isna().to_numpy().any(axis=1) | ~np.isfinite(mean)))]
            raise ForecastingError(
                f"The {self.family} model has no finite forecast for {first:%Y-%m-%d}: what was fitted explodes, or is "
                f"numerically singular. Choose other settings, or another transform."
            )
        return found

    def extended(self, rows: pd.DataFrame) -> Self:
        """Return the same model after more rows, from whose end it then forecasts; nothing is fitted again.

        Parameters
        ----------
        rows : DataFrame
            The rows that follow the history, with the same columns.

        Raises
        ------
        ForecastingError
            As :meth:`one_step`.
        """
        history = pd.concat([self.history, self._following(rows, "rows")])
        return type(self)({**self.payload, "history": digest_of_rows(history), "extended": True}, history)

    def _following(self, rows: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return `rows` with the columns that the model knows, if they follow the history."""
        if not isinstance(rows, pd.DataFrame):
            raise ParamsError(f"{name} must be a DataFrame, with the columns of the series; got {type(rows).__name__}.")
        columns = list(self.history.columns)
        if absent := missing_from(rows, columns):
            raise ForecastingError(f"{name} lacks {', '.join(map(repr, absent))}, which the model was fitted with.")
        rows = rows[columns]
        check_rows(rows)
        check_follows(dates_of(rows), self.rows.index, name)
        return rows

    def _future(self, steps: int, exogenous: pd.DataFrame | None) -> Rows:
        """Return the rows to come, of which only dates and exogenous columns are known."""
        columns = list(self.history.columns[1:]) if self.uses_exogenous else []
        index = future_index(self.rows.index, steps)
        if not columns:
            table = np.empty((steps, 0))
        elif not isinstance(exogenous, pd.DataFrame) or missing_from(exogenous, columns):
            absent = missing_from(exogenous, columns) if isinstance(exogenous, pd.DataFrame) else columns
            raise ForecastingError(
                f"The model was fitted with the exogenous columns {', '.join(map(repr, columns))}, and needs them for "
                f"each step: pass exogenous=, a DataFrame with {steps} rows. Missing: {', '.join(map(repr, absent))}."
            )
        else:
            try:
                table = exogenous[columns].to_numpy(float)
            except (TypeError, ValueError) as error:
                raise ForecastingError(f"exogenous must have numbers in each column: {error}.") from None
            if len(table) != steps or not np.isfinite(table).all():
                raise ForecastingError(
                    f"exogenous must have {steps} rows of finite numbers; it has {len(table)} rows, and "
                    f"{int((~np.isfinite(table)).sum())} missing values."
                )
        if isinstance(exogenous, pd.DataFrame) and isinstance(exogenous.index, pd.DatetimeIndex):
            if len(exogenous) != steps:
                raise ForecastingError(f"exogenous must have {steps} rows, one for each step; it has {len(exogenous)}.")
            check_rows(exogenous[columns])
            check_follows(exogenous.index, self.rows.index, "exogenous")
            index = exogenous.index
        return Rows(index, np.full(steps, np.nan), table)

    @property
    def residuals(self) -> pd.Series:
        """The errors of the one-step forecasts of the history, as the model sees it; NaN where there is none."""
        with one_thread():
            return pd.Series(self._residuals(), index=self.history.index, name="residual")

    def plot(
        self,
        steps: int = 0,
        test: pd.DataFrame | None = None,
        *,
        last: int = 120,
        ax: Axes | None = None,
        **options: Any,
    ) -> Axes:
        """Plot the end of the history, with the one-step forecasts of `test`, or what comes next, and intervals.

        Parameters
        ----------
        steps : int
            How many steps to forecast, if there is no `test`; 0 for a tenth of what is shown.
        test : DataFrame, optional
            Rows that follow the history; their last ones are shown.
        last : int
            How many rows of what is known to show.
        ax : matplotlib Axes, optional
            Where to plot; in a new figure, if not given.
        **options
            Passed to :meth:`forecast` or :meth:`one_step`: ``coverage``, ``exogenous``.

        Returns
        -------
        matplotlib Axes
        """
        target, last = self.history.columns[0], check_last(last)
        if test is None:
            known = self.history[target].iloc[-last:]
            found = self.forecast(steps or max(1, last // 10), **options)
            label = f"{self.family}, {len(found)} steps"
        else:
            found = self.one_step(test, **options).iloc[-last:]
            known = pd.concat([self.history[target], test[target]]).iloc[-last:]
            label = f"{self.family}, one step ahead"
        return plot_forecast(known, found, label, ax=ax, coverage=options.get("coverage", 0.95))

    @property
    def _last_level(self) -> float:
        return float(self.history.iloc[:, 0].to_numpy(float)[-1])


def _width(coverage: float) -> float:
    """Return how many standard errors to either side of the mean cover that much of a normal distribution."""
    if isinstance(coverage, bool) or not isinstance(coverage, Real) or not 0 < coverage < 1:
        raise ParamsError(f"coverage must be above 0 and below 1, got {coverage!r}.")
    return NormalDist().inv_cdf((1 + float(coverage)) / 2)


def _is_finite(value: Any) -> bool:
    """Return whether all floats in plain values are finite; tensors are the family's own business."""
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or isfinite(value)


# ---------------------------------------------------------------------------------------------------------------------
# The machine


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let BLAS work with one thread: small systems are solved faster by one, and always to the same last bit.

    How many it takes belongs to the process, so one thread of Python at a time is in here: others wait. Who wants to
    fit several models at once takes several processes.
    """
    with _one_at_a_time:
        loaded = frozenset(name for name in _WITH_BLAS if name in sys.modules)
        with _controller(loaded).limit(limits=1, user_api="blas"):
            yield


_one_at_a_time = threading.RLock()

_WITH_BLAS: Final = ("numpy.linalg", "scipy.linalg", "torch")
"""Modules that may load a BLAS of their own."""


@cache
def _controller(loaded: frozenset[str]) -> Any:
    """Return what controls the BLAS libraries that are loaded now; to look for them takes milliseconds."""
    if find_spec("threadpoolctl") is None:
        raise MissingDependencyError.of("threadpoolctl", extra="forecasting", purpose="A forecasting model")
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


# ---------------------------------------------------------------------------------------------------------------------
# Families


def forecaster_of(payload: Mapping[str, Any], history: pd.DataFrame) -> Forecaster:
    """Return the forecaster that a payload describes, whichever family it is of."""
    return family_of(payload["family"])(payload, history)


def family_of(name: str) -> type[Forecaster]:
    """Return the class of a family: one of ours, or one that has been imported.

    Raises
    ------
    ForecastingError
        If it is not known here.
    """
    if name in _OURS:
        import_module(f".{name}", __package__)
    if name not in _families:
        raise ForecastingError(
            f"The family {name!r} is not known here. Import the module that defines it, a Forecaster with "
            f"family = {name!r}, and try again."
        )
    return _families[name]
