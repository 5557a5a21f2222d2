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
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
import pandas as pd

from ..exceptions import ForecastingError, MissingDependencyError, ParamsError
from .transforms import Array, Path, levels_of_path, levels_of_steps, transformed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Fitting", "Forecaster", "Rows", "digest_of_rows", "forecaster_of", "future_index", "one_thread"]


@dataclass(frozen=True)
class Rows:
    """Rows of a series, as a model sees them.

    Attributes
    ----------
    index : DatetimeIndex, length n
        The dates.
    values : ndarray of float64, shape (n,)
        The target, transformed.
    exogenous : ndarray of float64, shape (n, k)
        The exogenous columns, as they are; k may be 0.
    """

    index: pd.DatetimeIndex
    values: Array
    exogenous: Array


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
        """How many numbers were fitted: of two models that are equally good, the one with fewer is simpler."""

    @abstractmethod
    def summary(self) -> str:
        """Return what was found, as a text of several lines."""

    @classmethod
    def with_choice(cls, params: Any, choice: Mapping[str, Any]) -> Any:
        """Return `params` with what a study has chosen."""
        from dataclasses import replace

        unknown = choice.keys() - set(params.to_dict())
        if unknown:
            raise ParamsError(
                f"{type(params).__name__} has no {', '.join(sorted(unknown))}, which the study has chosen. "
                f"Search for {', '.join(params.to_dict())}."
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
        check_rows(history)
        rows = rows_of(history, transform)
        seen = rows.values[np.isfinite(rows.values)]
        if len(seen) == 0 or np.ptp(seen) == 0:
            raise ForecastingError(
                f"{history.columns[0]!r} is constant in the {len(history)} rows from {history.index[0]:%Y-%m-%d} to "
                f"{history.index[-1]:%Y-%m-%d} (transform={transform!r}): there is nothing to be fitted. Choose other "
                f"rows, or another transform."
            )
        with one_thread():
            found = cls._fit(rows, params, Fitting() if fitting is None else fitting)
        return {"family": cls.family, "transform": transform, "history": digest_of_rows(history), **found}

    def forecast(self, steps: int, exogenous: pd.DataFrame | None = None, *, coverage: float = 0.95) -> pd.DataFrame:
        """Forecast what comes after the history.

        Parameters
        ----------
        steps : int
            How many rows.
        exogenous : DataFrame, `steps` rows, optional
            The exogenous columns then, for a model that has some; other columns are left out. If it is by date, these
            are the dates.
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
        columns = list(self.history.columns[1:]) if self.uses_exogenous else []
        table = np.empty((steps, 0))
        index = future_index(self.rows.index, int(steps))
        if columns:
            if exogenous is None or missing_from(exogenous, columns):
                absent = columns if exogenous is None else missing_from(exogenous, columns)
                raise ForecastingError(
                    f"The model was fitted with the exogenous columns {', '.join(map(repr, columns))}, and needs them "
                    f"for each step: pass exogenous=, a DataFrame with {steps} rows. Missing: "
                    f"{', '.join(map(repr, absent))}."
                )
            if len(exogenous) != steps or not np.isfinite(exogenous[columns].to_numpy(float)).all():
                raise ForecastingError(
                    f"exogenous must have {steps} rows without missing values; it has {len(exogenous)} rows."
                )
            table = exogenous[columns].to_numpy(float)
            if isinstance(exogenous.index, pd.DatetimeIndex):
                index = exogenous.index
                if index[0] <= self.history.index[-1]:
                    raise ForecastingError(
                        f"exogenous begins on {index[0]}, which is not after the end of the rows that the model knows, "
                        f"{self.history.index[-1]}. Pass the rows that follow."
                    )
        with one_thread():
            path = self._path(int(steps), Rows(index, np.full(steps, np.nan), table))
        mean, lower, upper = levels_of_path(path, self._last_level, self.transform, width)
        return pd.DataFrame({"mean": mean, "lower": lower, "upper": upper}, index=index)

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
        with one_thread():
            mean, se = self._one_step(Rows(_dates(test), values, test.iloc[:, 1:].to_numpy(float)))
        low, middle, high = (levels_of_steps(mean + side * width * se, previous, self.transform) for side in (-1, 0, 1))
        return pd.DataFrame({"mean": middle, "lower": low, "upper": high}, index=test.index)

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
        columns = list(self.history.columns)
        if absent := missing_from(rows, columns):
            raise ForecastingError(f"{name} lacks {', '.join(map(repr, absent))}, which the model was fitted with.")
        rows = rows[columns]
        check_rows(rows)
        if rows.index[0] <= self.history.index[-1]:
            raise ForecastingError(
                f"{name} begins on {rows.index[0]}, which is not after the end of the rows that the model knows, "
                f"{self.history.index[-1]}. Pass the rows that follow."
            )
        return rows

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
        target = self.history.columns[0]
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


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def rows_of(frame: pd.DataFrame, transform: str) -> Rows:
    """Return the rows as a model sees them."""
    levels = frame.iloc[:, 0].to_numpy(float)
    return Rows(_dates(frame), transformed(levels, transform), frame.iloc[:, 1:].to_numpy(float))


def check_rows(frame: pd.DataFrame) -> None:
    """Raise ForecastingError unless rows are by date, in order, each once, and complete."""
    index = frame.index
    if len(frame) == 0 or not isinstance(index, pd.DatetimeIndex):
        raise ForecastingError(f"Rows must be by date, at least one; got {len(frame)} by {type(index).__name__}.")
    if not index.is_monotonic_increasing or index.has_duplicates:
        raise ForecastingError("The dates of the rows must be in order, each once. SeriesP sorts out what is not.")
    finite = np.isfinite(frame.to_numpy(float))
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ForecastingError(
            f"{frame.columns[column]!r} is missing on {index[row]:%Y-%m-%d} ({int((~finite).sum())} missing values in "
            f"all). SeriesP(missing=…) says what is to become of them."
        )


def missing_from(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the columns that a frame lacks."""
    return [column for column in columns if column not in frame.columns]


def digest_of_rows(frame: pd.DataFrame) -> str:
    """Return a digest of the dates, the names of the columns, and the values, to the last bit; 32 hex digits."""
    digest = sha256("\0".join(map(str, frame.columns)).encode())
    digest.update(_dates(frame).as_unit("ns").asi8.astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(frame.to_numpy(float), dtype="<f8").tobytes())
    return digest.hexdigest()[:32]


def future_index(index: pd.DatetimeIndex, steps: int) -> pd.DatetimeIndex:
    """Return the dates that follow: by the frequency, where there is one; working days; or else by the usual distance.

    Examples
    --------
    >>> future_index(pd.DatetimeIndex(["2024-01-01", "2024-02-01", "2024-03-01"]), 2).strftime("%Y-%m-%d").tolist()
    ['2024-04-01', '2024-05-01']
    >>> future_index(pd.DatetimeIndex(["2024-03-27", "2024-03-28", "2024-04-02"]), 2).strftime("%Y-%m-%d").tolist()
    ['2024-04-03', '2024-04-04']
    """
    recent = index[-100:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a later pandas returns an offset, which will do as well
        frequency: Any = pd.infer_freq(recent) if len(recent) > 2 else None
    if frequency is None:
        distance = pd.Timedelta(np.median(np.diff(recent.asi8)) if len(recent) > 1 else 1, unit=recent.unit)
        working = distance == pd.Timedelta(days=1) or (len(recent) < 5 and distance < pd.Timedelta(days=5))
        frequency = "B" if working and (recent.day_of_week < 5).all() else distance
    return pd.date_range(index[-1], periods=steps + 1, freq=frequency, name=index.name)[1:]


def _dates(frame: pd.DataFrame) -> pd.DatetimeIndex:
    assert isinstance(frame.index, pd.DatetimeIndex)
    return frame.index


def _width(coverage: float) -> float:
    """Return how many standard errors to either side of the mean cover that much of a normal distribution."""
    if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 < coverage < 1:
        raise ParamsError(f"coverage must be above 0 and below 1, got {coverage!r}.")
    return NormalDist().inv_cdf((1 + coverage) / 2)


# ---------------------------------------------------------------------------------------------------------------------
# The machine


def one_thread() -> contextlib.AbstractContextManager[Any]:
    """Let BLAS work with one thread: small systems are solved faster by one, and always to the same last bit."""
    controller = _controller(frozenset(name for name in _WITH_BLAS if name in sys.modules))
    limits: contextlib.AbstractContextManager[Any] = controller.limit(limits=1, user_api="blas")
    return limits


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
# Pictures


def plot_forecast(
    known: pd.Series, found: pd.DataFrame, label: str, *, ax: Axes | None = None, coverage: float = 0.95
) -> Axes:
    """Plot what is known, and a forecast with its interval."""
    if ax is None:
        ax = new_axes()
    ax.plot(known.index, known.to_numpy(), color="black", linewidth=1.2, label=str(known.name))
    ax.fill_between(
        found.index, found["lower"], found["upper"], color="tab:orange", alpha=0.25, linewidth=0,
        label=f"{coverage:.0%} interval",
    )  # fmt: skip
    ax.plot(found.index, found["mean"], color="tab:orange", linewidth=1.2, label=label)
    ax.legend(frameon=False, loc="upper left")
    return ax


def new_axes(width: float = 10, height: float = 5) -> Axes:
    """Return axes in a figure of their own, which a notebook shows and no process keeps: pyplot is not asked."""
    if find_spec("matplotlib") is None:
        raise MissingDependencyError.of("matplotlib", extra="forecasting", purpose="A plot")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


# ---------------------------------------------------------------------------------------------------------------------
# Families


_FAMILIES: Final = {
    "baseline": ("baseline", "Baseline"),
    "linear": ("linear", "Linear"),
    "arima": ("arima", "Arima"),
    "lstm": ("lstm", "Lstm"),
}


def forecaster_of(payload: Mapping[str, Any], history: pd.DataFrame) -> Forecaster:
    """Return the forecaster that a payload describes, whichever family it is of."""
    module, name = _FAMILIES[payload["family"]]
    found: Forecaster = getattr(import_module(f".{module}", __package__), name)(payload, history)
    return found
