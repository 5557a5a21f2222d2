"""Rows of a series: what a model sees of them, what they must be, and which dates follow."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
import pandas as pd

from ..exceptions import ForecastingError, ParamsError
from .transforms import Array, transformed

__all__ = [
    "Rows",
    "check_follows",
    "check_rows",
    "dates_of",
    "digest_of_rows",
    "future_index",
    "missing_from",
    "rows_of",
]


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


def rows_of(frame: pd.DataFrame, transform: str) -> Rows:
    """Return the rows as a model sees them."""
    levels = frame.iloc[:, 0].to_numpy(float)
    return Rows(dates_of(frame), transformed(levels, transform), frame.iloc[:, 1:].to_numpy(float))


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
    digest.update(dates_of(frame).as_unit("ns").asi8.astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(frame.to_numpy(float), dtype="<f8").tobytes())
    return digest.hexdigest()[:32]


def future_index(index: pd.DatetimeIndex, steps: int) -> pd.DatetimeIndex:
    """Return the dates that follow: on the calendar that the last dates are on, or else by their usual distance.

    Raises
    ------
    ParamsError
        If there are no such dates any more.

    Examples
    --------
    >>> future_index(pd.DatetimeIndex(["2024-01-01", "2024-02-01", "2024-03-01"]), 2).strftime("%Y-%m-%d").tolist()
    ['2024-04-01', '2024-05-01']

    The Friday before Easter is missing, and so is the Monday after:

    >>> future_index(pd.DatetimeIndex(["2024-03-27", "2024-03-28", "2024-04-02"]), 2).strftime("%Y-%m-%d").tolist()
    ['2024-04-03', '2024-04-04']
    """
    recent = index[-_RECENT:]
    frequency = _frequency(recent)
    if frequency is None:
        distances = np.diff(recent.as_unit("ns").asi8)
        frequency = pd.Timedelta(int(np.median(distances)) if len(distances) else 86_400_000_000_000, unit="ns")
    try:
        return pd.date_range(index[-1], periods=steps + 1, freq=frequency, name=index.name)[1:]
    except (OverflowError, pd.errors.OutOfBoundsDatetime) as error:
        raise ParamsError(f"steps={steps} goes beyond the dates that there are, after {index[-1]}.") from error


def check_follows(index: pd.DatetimeIndex, known: pd.DatetimeIndex, name: str) -> None:
    """Raise ForecastingError unless `index` goes on where `known` ends.

    Where no recent date of a calendar is missing, the next one is known. Else, as with a market's holidays, a gap may
    be up to twice as long as any before.
    """
    if str(index.tz) != str(known.tz):
        raise ForecastingError(
            f"{name} has dates in the zone {index.tz}, and the model knows dates in {known.tz}. A series has no zone: "
            f"pass dates without one."
        )
    first, last = index[0], known[-1]
    if first <= last:
        raise ForecastingError(
            f"{name} begins on {first}, which is not after the end of the rows that the model knows, {last}. Pass the "
            f"rows that follow."
        )
    recent = known[-_RECENT:]
    frequency = _frequency(recent)
    if frequency is not None and len(pd.date_range(recent[0], recent[-1], freq=frequency)) == len(recent):
        next_one = future_index(known, 1)[0]
        leaves_out, expected = first != next_one, f"on {next_one}"
    else:
        leaves_out = len(known) > 2 and first - last > 2 * (known[1:] - known[:-1]).max()
        expected = "sooner"
    if leaves_out:
        raise ForecastingError(
            f"{name} begins on {first}. The model knows the rows up to {last}, and the next one is expected "
            f"{expected}. Pass all rows that follow."
        )


_RECENT: Final = 100  # dates that say which calendar a series is on

_COARSER: Final = ("YS", "YE", "QS", "QE", "MS", "ME")
_FINER: Final = ("B", "D", "h")
"""Calendars than weeks, from coarse to fine."""


def _frequency(index: pd.DatetimeIndex) -> Any:
    """Return the coarsest calendar on which all dates are, with at least half of its dates; None if there is none."""
    if len(index) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a later pandas returns an offset, which will do as well
        regular = pd.infer_freq(index)
    if regular is not None and not (regular == "D" and (index.day_of_week < 5).all()):  # five days of a week are "B"
        return regular
    week = f"W-{index[-1].day_name()[:3].upper()}"  # in English, whatever the locale
    candidates: list[Any] = [*_COARSER, week, *_FINER]
    if (index.day == index[0].day).all():
        candidates.insert(0, pd.DateOffset(months=1))  # the 15th of each month
    for frequency in candidates:
        dates = pd.date_range(index[0], index[-1], freq=frequency)
        if len(dates) <= 2 * len(index) and index.isin(dates).all():
            return frequency
    return None


def dates_of(frame: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the dates of rows that have been checked."""
    assert isinstance(frame.index, pd.DatetimeIndex)
    return frame.index
