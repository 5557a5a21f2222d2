"""SeriesP: a series by date, read from a file whose content is in the key, and brought into order by stated rules.

Models, splits and evaluations trust what is said here: dates in order and each once, no value missing or infinite,
levels in the units of the file.
"""

from __future__ import annotations

import csv as csv_module
import datetime as dt
import io
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from .._persistable import Persistable
from ..exceptions import ForecastingError, MissingDependencyError, ParamsError
from ..fileio.csv import CsvFileIO
from ..keys import content_digest
from ..params import PersistableParams, untracked
from ..stores import DataDir
from .plots import check_last, new_axes
from .rows import dates_of, missing_from
from .transforms import Transform, check_transform, transformed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Aggregate", "Duplicates", "Missing", "SeriesP", "SeriesParams"]

Aggregate = Literal["last", "first", "mean", "sum"]
Duplicates = Literal["raise", "first", "last", "mean"]
Missing = Literal["raise", "drop", "ffill", "interpolate"]

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

_ZONE: Final = re.compile(r"\d[T ]\d\d.*[+-](?!00(?::?00)?$)\d\d(?::?\d\d)?$")
"""The end of a date and time that is not in UTC: its offset."""


@dataclass(kw_only=True)
class SeriesParams(PersistableParams):
    """Which series, and what becomes of what is not in order.

    Parameters
    ----------
    content : str
        What :func:`~persistable.content_digest` says of the file. It is in the key, and where the file lies is not.
    csv : path
        The file: Parquet if it ends in ``.parquet``, else CSV in UTF-8, with commas and a header.
    target : str
        The column to be forecast.
    date : str
        The column of the dates, in ISO 8601.
    exogenous : tuple of str
        Columns that models may use beside the target.
    start, end : str, optional
        The first and the last day to take, as ``"2024-03-01"``; both are taken. What is outside is as if it were not in
        the file.
    frequency : str, optional
        A frequency of pandas to bring the series to: ``"D"``, ``"B"`` (working days), ``"W"``, ``"MS"`` or ``"ME"``
        (months, by their first or last day). A period without any row becomes a missing value.
    aggregate : {"last", "first", "mean", "sum"}
        What stands for several rows of one period, where there is a frequency; missing values are passed over.
    duplicates : {"raise", "first", "last", "mean"}
        What becomes of several rows of one date, where there is no frequency: refused, or one of them taken as it is,
        or their mean.
    missing : {"raise", "drop", "ffill", "interpolate"}
        What becomes of missing values: refused, or their rows dropped, or the value before taken, or the line from the
        value before to that after it, by time. The last one looks ahead, by as much as the gap is long. Targets that
        were filled are no test of a model: see :class:`.EvaluationP`. With ``"ffill"``, the rows after the last target
        are dropped: a file that has the exogenous columns of days to come has no targets of them.
    transform : {"none", "log", "difference", "log_return"}
        What models see of the target. The payload has its levels, whatever is said here.

    Raises
    ------
    ParamsError
        If a rule is unknown, says nothing because of another one, or a column is named twice.
    """

    content: str
    csv: Path = untracked()  # noqa: RUF009 - it is a field
    target: str
    date: str = "date"
    exogenous: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    frequency: str | None = None
    aggregate: Aggregate = "last"
    duplicates: Duplicates = "raise"
    missing: Missing = "raise"
    transform: Transform = "none"

    def __post_init__(self) -> None:
        if not isinstance(self.content, str) or not _DIGEST.fullmatch(self.content):
            raise ParamsError(
                f"content must be a digest such as 'sha256:e3b0…', which content_digest(path) returns; got "
                f"{self.content!r}. SeriesP.from_csv takes it by itself."
            )
        self.csv = Path(self.csv)
        if isinstance(self.exogenous, str):
            raise ParamsError(f"exogenous must be names in a tuple: exogenous=({self.exogenous!r},).")
        self.exogenous = tuple(self.exogenous)  # a list of the same names has the same key
        names = [self.date, self.target, *self.exogenous]
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ParamsError(
                f"date, target and exogenous must be names of columns, each of another one; got "
                f"{', '.join(map(repr, names))}."
            )
        first, last = _day("start", self.start), _day("end", self.end)
        if first is not None and last is not None and first > last:
            raise ParamsError(f"start={self.start!r} is after end={self.end!r}.")
        for name, rules in (("aggregate", Aggregate), ("duplicates", Duplicates), ("missing", Missing)):
            if getattr(self, name) not in get_args(rules):
                raise ParamsError(
                    f"{name} must be one of {', '.join(map(repr, get_args(rules)))}; got {getattr(self, name)!r}."
                )
        check_transform(self.transform)
        # A rule without effect would give a second key to the same series.
        if self.frequency is None:
            if self.aggregate != "last":
                raise ParamsError(
                    f"aggregate={self.aggregate!r} is for the periods of a frequency, and there is none. Pass "
                    f"frequency=, or duplicates= for several rows of one date."
                )
            return
        _check_frequency(self.frequency)
        if self.duplicates != "raise":
            raise ParamsError(
                f"duplicates={self.duplicates!r} is for a series without a frequency. With frequency="
                f"{self.frequency!r}, aggregate= says what stands for several rows of one period."
            )


class SeriesP(Persistable[pd.DataFrame, SeriesParams]):
    """A series as an artifact: the root of the chain.

    Parameters
    ----------
    data_dir : path, URL or Store
        Where it is kept.
    params : SeriesParams
        Which series; :meth:`from_csv` is the shorter way.
    payload_name : str, optional
        The class name in snake case, if not given.
    verbose : bool
        Whether to log to the console.
    logger : Logger, optional
        A logger to use instead of the payload's own.

    Raises
    ------
    ForecastingError
        At generation, if the file has changed since its digest was taken, or no rule says what is to become of
        something in it. The message names the first date and the ways out.

    Notes
    -----
    The payload is a DataFrame of float64: the target, then the exogenous columns, by a DatetimeIndex in order, each
    date once, nothing missing or infinite. With a frequency, the index has it, unless rows were dropped.

    Dates are without a time zone. Those in UTC are taken, without their ``Z``; others are refused, because in another
    zone a row may be one of another day. Rows out of order are sorted. A period at the begin or end that the file, or
    `start` and `end`, cover in part is aggregated from what there is.

    Metrics: ``rows``, ``first``, ``last``; ``missing_filled`` (values), ``filled`` (the dates of those that are
    targets, in ISO 8601), ``missing_dropped`` (rows, also those after the last target), and ``duplicates_merged`` (rows
    that another one of their date or period stands for).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "sales.csv").write_text("date,sales\\n2024-01-01,3\\n2024-02-01,\\n2024-03-01,5\\n")
    >>> series_p = SeriesP.from_csv(folder, folder / "sales.csv", target="sales", frequency="MS", missing="ffill")
    >>> series_p.payload["sales"].tolist()
    [3.0, 3.0, 5.0]
    >>> series_p.manifest.metrics["missing_filled"]
    1
    """

    version: ClassVar[str | None] = "1"

    def __init__(
        self,
        data_dir: DataDir,
        params: SeriesParams,
        *,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        super().__init__(
            data_dir,
            params,
            payload_name=payload_name,
            payload_io=CsvFileIO(),
            verbose=verbose,
            logger=logger,
        )

    @classmethod
    def from_csv(
        cls,
        data_dir: DataDir,
        csv: str | Path,
        *,
        target: str,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
        **params: Any,
    ) -> SeriesP:
        """Return the series of a file, CSV or Parquet, as it is now.

        Parameters
        ----------
        data_dir, payload_name, verbose, logger
            As for the class.
        csv : path
            The file; a DataFrame has to be written to one before.
        target : str
            The column to be forecast.
        **params
            The other ones of :class:`SeriesParams`.
        """
        if not isinstance(csv, str | os.PathLike):
            remedy = (
                "Write it to a file, and pass the path: frame.to_csv(path), or frame.to_parquet(path)"
                if isinstance(csv, pd.DataFrame | pd.Series)
                else "Pass the path of a CSV or Parquet file"
            )
            raise ParamsError(
                f"csv must be the path of a file, whose content is in the key; got a {type(csv).__name__}. {remedy}."
            )
        if not Path(csv).is_file():
            raise ForecastingError(f"There is no file {csv}. Pass the path of a CSV or Parquet file.")
        return cls(
            data_dir,
            SeriesParams(content=content_digest(csv), csv=Path(csv), target=target, **params),
            payload_name=payload_name,
            verbose=verbose,
            logger=logger,
        )

    def _generate_payload(self) -> pd.DataFrame:
        params = self.params
        frame = _table(_content(params), params)
        days = pd.DatetimeIndex(frame.index).normalize()
        within = np.ones(len(frame), dtype=bool)
        if params.start is not None:
            within &= np.asarray(days >= pd.Timestamp(params.start))
        if params.end is not None:
            within &= np.asarray(days <= pd.Timestamp(params.end))
        if not within.any():
            raise ForecastingError(
                f"{params.csv.name} has no rows from {params.start or 'its begin'} to {params.end or 'its end'}; its "
                f"{len(frame)} rows go from {_shown(frame.index[0])} to {_shown(frame.index[-1])}."
            )
        frame = frame[within]
        _check_finite(frame)
        n_before = len(frame)
        if params.frequency is None:
            frame = _merged(frame, params.duplicates)
            n_merged, n_gaps = n_before - len(frame), 0
        else:
            frame, n_gaps = _by_period(frame, params.frequency, params.aggregate)
            n_merged = n_before - (len(frame) - n_gaps)
        n_periods = len(frame)
        if params.missing == "ffill":
            frame = _up_to_the_last(frame, params.target)
        complete = _complete(frame, params.missing, n_gaps)
        transformed(complete[params.target].to_numpy(), params.transform)  # a level without a logarithm is found now
        self.metrics |= {
            "rows": len(complete),
            "first": _shown(complete.index[0]),
            "last": _shown(complete.index[-1]),
            "missing_filled": 0 if params.missing == "drop" else int(frame.isna().to_numpy().sum()),
            "filled": [
                date.isoformat() for date in complete.index.intersection(frame.index[frame[params.target].isna()])
            ],
            "missing_dropped": n_periods - len(complete),
            "duplicates_merged": n_merged,
        }
        return complete

    def can_be_judged(self, index: pd.Index) -> NDArray[np.bool_]:
        """Return of which of these dates the target came, and was in sight of no forecast.

        What was filled did not come. And the row after a gap that was interpolated is known to the row before it.
        """
        known = dates_of(self.payload)
        filled = set(self.metrics["filled"])
        spoilt = np.array([date.isoformat() in filled for date in known], dtype=bool)
        if self.params.missing == "interpolate":
            spoilt[1:] |= spoilt[:-1].copy()
        return ~np.asarray(index.isin(known[spoilt]))

    def plot(self, last: int | None = None, ax: Axes | None = None) -> Axes:
        """Plot the target.

        Parameters
        ----------
        last : int, optional
            How many of the last rows; all, if not given.
        ax : matplotlib Axes, optional
            Where to plot; in a new figure, if not given.

        Returns
        -------
        matplotlib Axes
        """
        shown = 0 if last is None else check_last(last)
        target = self.payload[self.params.target].iloc[-shown:]
        if ax is None:
            ax = new_axes()
        ax.plot(target.index, target.to_numpy(), color="black", linewidth=1.2, label=self.params.target)
        ax.set_ylabel(self.params.target)
        ax.set_title(
            f"{self.params.target}, {len(target)} rows, {_shown(target.index[0])} to {_shown(target.index[-1])}"
        )
        return ax


# ---------------------------------------------------------------------------------------------------------------------
# Params


def _day(name: str, value: str | None) -> dt.date | None:
    if value is None:
        return None
    try:
        day = dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        day = None
    if day is None or day.isoformat() != value:  # Python also reads 20240301 and 2024-W09-5: one day, many keys
        raise ParamsError(f"{name} must be a day such as '2024-03-01', got {value!r}.")
    return day


def _check_frequency(frequency: str) -> None:
    problem = "a multiple below 1"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas 2 only warns of the names that pandas 3 has dropped
        try:
            if to_offset(frequency).n >= 1:
                return
        except (ValueError, TypeError, AttributeError, Warning) as error:
            problem = str(error)
    raise ParamsError(
        f"frequency must be one of pandas, such as 'D', 'B', 'W', 'MS', 'ME' or 'QE'; got {frequency!r} ({problem})."
    )


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def _content(params: SeriesParams) -> bytes:
    """Return what is in the file, if it still is what the key says. What is digested is what is parsed."""
    try:
        content = params.csv.read_bytes()
    except FileNotFoundError as error:
        raise ForecastingError(
            f"There is no file {params.csv} to read the series from. Pass csv= with the path of a file whose digest "
            f"is {params.content}."
        ) from error
    if (found := f"sha256:{sha256(content).hexdigest()}") != params.content:
        raise ForecastingError(
            f"{params.csv} is not the file that the params are about: its digest is {found}, and content says "
            f"{params.content}. If it has changed since, take the digest anew: SeriesP.from_csv, or content_digest."
        )
    return content


def _table(content: bytes, params: SeriesParams) -> pd.DataFrame:
    """Return the columns that are asked for, as floats by date, in order of time."""
    wanted = [params.date, params.target, *params.exogenous]
    read = _parquet if params.csv.suffix.lower() == ".parquet" else _csv
    try:
        raw = read(content, wanted)
    except (UnicodeDecodeError, csv_module.Error, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ForecastingError(
            f"{params.csv} cannot be read as CSV in UTF-8 with commas and a header: {str(error).strip()}. Save it so, "
            f"or as Parquet with a name that ends in .parquet."
        ) from error
    if absent := missing_from(raw, wanted):
        raise ForecastingError(
            f"{params.csv.name} has no column {', '.join(map(repr, absent))}. Its columns are "
            f"{', '.join(map(repr, raw.columns)) or 'none'}: say which with target=, date= and exogenous=."
        )
    if len(raw) == 0:
        raise ForecastingError(f"{params.csv.name} has a header, and no rows.")
    texts = raw[params.date].astype("string")
    index = _dates(texts, params)
    columns = {name: _numbers(raw[name], texts, params) for name in wanted[1:]}
    frame = pd.DataFrame(columns, index=index)
    # Rows of one date keep their order, which "first" and "last" are about.
    return frame if index.is_monotonic_increasing else frame.sort_index(kind="stable")


def _csv(content: bytes, wanted: Sequence[str]) -> pd.DataFrame:
    text = content.decode("utf-8-sig")
    header = next(filter(None, csv_module.reader(io.StringIO(text))), [])
    if twice := [name for name in wanted if header.count(name) > 1]:
        raise ForecastingError(f"The header names {', '.join(map(repr, twice))} more than once: rename the others.")
    if not set(wanted) <= set(header):
        return pd.DataFrame(columns=header)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Never the first column as an index, where lines are longer than the header. And texts, of which Python makes
        # floats that are right to the last bit: pandas does not by default, and is about to drop the option.
        return pd.read_csv(io.StringIO(text), index_col=False, dtype=str)


def _parquet(content: bytes, wanted: Sequence[str]) -> pd.DataFrame:
    if find_spec("pyarrow") is None:
        raise MissingDependencyError.of("pyarrow", extra="parquet", purpose="A series in a Parquet file")
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

    try:
        frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except pa.ArrowInvalid as error:
        raise ForecastingError(f"The file ends in .parquet, and cannot be read as Parquet: {error}") from error
    return frame.reset_index() if wanted[0] in frame.index.names else frame


def _dates(texts: pd.Series, params: SeriesParams) -> pd.DatetimeIndex:
    where = f"in the column {params.date!r} of {params.csv.name}"
    # In UTC, so that pandas does not stumble over several offsets; that there is none but UTC is looked at below.
    dates = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    if dates.isna().any():
        row = int(np.argmax(dates.isna()))
        found = "an empty cell" if pd.isna(texts.iloc[row]) else repr(texts.iloc[row])
        raise ForecastingError(
            f"{int(dates.isna().sum())} of {len(texts)} dates {where} cannot be read; the first is {found}, in row "
            f"{row + 1} below the header. Write dates in ISO 8601, year first: 2024-03-01 or 2024-03-01 16:30."
        )
    zoned = texts.str.contains(_ZONE).to_numpy(bool)
    if zoned.any():
        raise ForecastingError(
            f"Dates {where} have a time zone other than UTC: {texts.iloc[int(np.argmax(zoned))]!r}, for instance. The "
            f"day of a row depends on it: write dates without a zone, as days are to be counted, or in UTC."
        )
    try:  # one unit, whatever pandas would choose: the same file gives the same payload
        return pd.DatetimeIndex(dates, name=params.date).tz_localize(None).as_unit("ns")
    except pd.errors.OutOfBoundsDatetime as error:
        raise ForecastingError(
            f"Dates {where} go from {dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}, and only those from 1678 to "
            f"2261 can be used. Remove the others from the file."
        ) from error


def _numbers(column: pd.Series, dates: pd.Series, params: SeriesParams) -> np.ndarray[Any, np.dtype[np.float64]]:
    kind = column.dtype.kind
    if kind in "iuf":
        return column.to_numpy(dtype=float, na_value=np.nan)
    strange = column.notna().to_numpy()
    if kind not in "bmM":  # of which pandas would make numbers that nobody has written
        strange = strange & pd.to_numeric(column.astype(object), errors="coerce").isna().to_numpy()
    if strange.any():
        row = int(np.argmax(strange))
        raise ForecastingError(
            f"{int(strange.sum())} values of {column.name!r} in {params.csv.name} are no numbers; the first is "
            f"{column.iloc[row]!r}, on {dates.iloc[row]}. Write numbers as 1234.5, and leave a cell empty where a "
            f"value is missing."
        )
    return column.astype(object).to_numpy(dtype=float, na_value=np.nan)


# ---------------------------------------------------------------------------------------------------------------------
# Rules


def _check_finite(frame: pd.DataFrame) -> None:
    infinite = np.isinf(frame.to_numpy())
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise ForecastingError(
            f"{frame.columns[column]!r} is infinite on {_shown(frame.index[row])} ({int(infinite.sum())} infinite "
            f"values in all). Leave such cells empty, and say with missing= what is to become of them."
        )


def _merged(frame: pd.DataFrame, rule: Duplicates) -> pd.DataFrame:
    again = frame.index.duplicated()
    if not again.any():
        return frame
    if rule == "raise":
        date = frame.index[int(np.argmax(again))]
        raise ForecastingError(
            f"There are {int((frame.index == date).sum())} rows of {_shown(date)} ({int(again.sum())} rows in all have "
            f"the date of a row before). Say duplicates='first', 'last' or 'mean'; or frequency= and aggregate=."
        )
    if rule == "mean":
        return frame.groupby(level=0).mean()
    return frame[~frame.index.duplicated(keep=rule)]


def _by_period(frame: pd.DataFrame, frequency: str, rule: Aggregate) -> tuple[pd.DataFrame, int]:
    """Return one row per period, and how many periods there are without any row."""
    periods = frame.resample(frequency)
    n_gaps = int((periods.size() == 0).sum())
    # The sum of nothing is nothing that is known, rather than 0.
    found = periods.sum(min_count=1) if rule == "sum" else periods.agg(rule)
    assert isinstance(found, pd.DataFrame)
    return found, n_gaps


def _up_to_the_last(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the rows up to the last target: what comes after it is yet to come, and no value of it is known."""
    known = np.flatnonzero(frame[target].notna())
    return frame.iloc[: known[-1] + 1] if len(known) else frame


def _complete(frame: pd.DataFrame, rule: Missing, n_gaps: int) -> pd.DataFrame:
    """Return the frame without missing values."""
    if not frame.isna().to_numpy().any():
        return frame
    match rule:
        case "drop":
            found = frame.dropna()
            # Without the coarser frequency that pandas sees in what is left.
            found.index = pd.DatetimeIndex(found.index.to_numpy(), name=frame.index.name)
            if len(found) == 0:
                raise ForecastingError(
                    f"A value is missing in each of the {len(frame)} rows: missing='drop' leaves none."
                )
        case "ffill":
            found = frame.ffill()
        case "interpolate":
            found = frame.interpolate("time", limit_area="inside")
        case _:
            found = frame
    missing = found.isna().to_numpy()
    if missing.any():
        row, column = np.argwhere(missing)[0]
        what = f"{frame.columns[column]!r} is missing on {_shown(frame.index[row])}"
        if rule == "raise":
            gaps = f", of which {n_gaps} are periods without any row in the file" if n_gaps else ""
            raise ForecastingError(
                f"{what}; in all, {int(missing.sum())} values are missing, in {int(missing.any(axis=1).sum())} of "
                f"{len(frame)} rows{gaps}. Say missing='ffill', 'interpolate' or 'drop', or leave such rows out with "
                f"start= and end=."
            )
        needed = "before it" if rule == "ffill" else "both before and after it"
        raise ForecastingError(
            f"{what}, and missing={rule!r} needs a value {needed}. Leave such rows out with start= and end=, or say "
            f"missing='drop'."
        )
    return found


def _shown(date: pd.Timestamp) -> str:
    """Return a date as people write it: with the time of day only where there is one."""
    return date.strftime("%Y-%m-%d") if date == date.normalize() else date.isoformat(sep=" ")
