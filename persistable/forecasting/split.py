"""SplitP: which rows of a series models are fitted to, and which they are judged by.

One split is shared by all models of a comparison, so that they are judged by the same rows. Tests lie at the end of
the series, and each follows its training rows directly: a forecaster that has seen the latter can take its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any, ClassVar, Literal, get_args

import pandas as pd

from .._persistable import Persistable
from ..exceptions import ForecastingError, ParamsError
from ..fileio.json import JsonFileIO
from ..params import PersistableParams
from ..stores import DataDir
from .series import SeriesP

__all__ = ["Kind", "SplitP", "SplitParams", "rows_in"]

Kind = Literal["hold_out", "expanding", "sliding"]


@dataclass(kw_only=True)
class SplitParams(PersistableParams):
    """How a series is split; :meth:`hold_out`, :meth:`expanding` and :meth:`sliding` are the shorter way.

    Parameters
    ----------
    kind : {"hold_out", "expanding", "sliding"}
        One test at the end, or several one after the other: with all rows before as training rows, or the last ones.
    test_size : int or float
        The rows of one test; for a hold-out, a float is their share of all rows.
    n_windows : int
        How many tests there are.
    train_size : int, optional
        The training rows of each window, for ``"sliding"``.
    validation_size : int or float
        The rows that a study judges by: so many of the first window's training rows, or a share of them, at their end.
        No test is looked at by a study.

    Raises
    ------
    ParamsError
        If a number is none, or says nothing for this kind.
    """

    kind: Kind
    test_size: int | float
    n_windows: int = 1
    train_size: int | None = None
    validation_size: int | float = 0.2

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ParamsError(f"kind must be one of {', '.join(map(repr, get_args(Kind)))}; got {self.kind!r}.")
        if self.kind == "hold_out":
            _check_size("test_size", self.test_size)
            if self.n_windows != 1:
                raise ParamsError(
                    f"A hold-out has one window, got n_windows={self.n_windows!r}. Take kind='expanding'."
                )
        else:
            _check_count("test_size", self.test_size)
        _check_count("n_windows", self.n_windows)
        if self.kind == "sliding":
            _check_count("train_size", self.train_size)
        elif self.train_size is not None:
            raise ParamsError(f"train_size is for kind='sliding': {self.kind!r} trains with all rows before the test.")
        _check_size("validation_size", self.validation_size)

    @classmethod
    def hold_out(cls, test_size: int | float = 0.2, *, validation_size: int | float = 0.2) -> SplitParams:
        """Return the params of one test at the end of the series: so many rows, or a share of all."""
        return cls(kind="hold_out", test_size=test_size, validation_size=validation_size)

    @classmethod
    def expanding(cls, n_windows: int, test_size: int, *, validation_size: int | float = 0.2) -> SplitParams:
        """Return the params of tests one after the other, each with all rows before it as training rows."""
        return cls(kind="expanding", n_windows=n_windows, test_size=test_size, validation_size=validation_size)

    @classmethod
    def sliding(
        cls, n_windows: int, test_size: int, train_size: int, *, validation_size: int | float = 0.2
    ) -> SplitParams:
        """Return the params of tests one after the other, each with the `train_size` rows before it."""
        return cls(
            kind="sliding",
            n_windows=n_windows,
            test_size=test_size,
            train_size=train_size,
            validation_size=validation_size,
        )


class SplitP(Persistable["dict[str, Any]", SplitParams]):
    """A split of a series, as an artifact.

    Parameters
    ----------
    data_dir : path, URL or Store
        Where it is kept.
    params : SplitParams
        How it is split.
    series_p : SeriesP
        The series.
    payload_name : str, optional
        The class name in snake case, if not given.
    verbose : bool
        Whether to log to the console.
    logger : Logger, optional
        A logger to use instead of the payload's own.

    Raises
    ------
    ForecastingError
        At generation, if the series has too few rows.

    Notes
    -----
    The payload is a dict of half-open row positions: ``{"rows": n, "windows": [{"train": [a, b], "test": [b, c]}, …],
    "validation": {"train": [a, v], "test": [v, b]}}``, of which ``validation`` splits the first window's training rows.
    The last test ends with the last row.

    Metrics: ``n_windows``, and by window ``train_rows`` and ``test_rows``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> lines = [f"2024-01-{day:02},{day}" for day in range(1, 11)]
    >>> _ = (folder / "days.csv").write_text("\\n".join(["date,level", *lines]))
    >>> series_p = SeriesP.from_csv(folder, folder / "days.csv", target="level")
    >>> split_p = SplitP(folder, SplitParams.expanding(n_windows=2, test_size=3), series_p=series_p)
    >>> split_p.payload["windows"]
    [{'train': [0, 4], 'test': [4, 7]}, {'train': [0, 7], 'test': [7, 10]}]
    >>> split_p.test_rows(1)["level"].tolist()
    [8.0, 9.0, 10.0]
    """

    version: ClassVar[str | None] = "1"

    def __init__(
        self,
        data_dir: DataDir,
        params: SplitParams,
        *,
        series_p: SeriesP,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        super().__init__(
            data_dir,
            params,
            {"series": series_p},
            payload_name=payload_name,
            payload_io=JsonFileIO(),
            verbose=verbose,
            logger=logger,
        )
        self.series_p = series_p

    def _generate_payload(self) -> dict[str, Any]:
        n_rows = len(self.series_p.payload)
        payload = _split(n_rows, self.params)
        self.metrics |= {
            "n_windows": len(payload["windows"]),
            "train_rows": [_length(window["train"]) for window in payload["windows"]],
            "test_rows": [_length(window["test"]) for window in payload["windows"]],
        }
        return payload

    def check_series(self, series_p: SeriesP) -> None:
        """Raise ParamsError if `series_p` is not the series that is split."""
        if series_p is not self.series_p and series_p.key != self.series_p.key:
            raise ParamsError(
                f"{self.payload_name} splits the series {self.series_p.payload_name} {self.series_p.key}, and not "
                f"{series_p.payload_name} {series_p.key}. Pass the series that it was made with, or split this one."
            )

    @property
    def n_windows(self) -> int:
        """How many windows there are; known without the series."""
        return self.params.n_windows

    def training_rows(self, window: int) -> pd.DataFrame:
        """Return the rows that models of this window, counted from 0, are fitted to."""
        return rows_in(self.series_p.payload, self._window(window)["train"])

    def test_rows(self, window: int) -> pd.DataFrame:
        """Return the rows that models of this window, counted from 0, are judged by."""
        return rows_in(self.series_p.payload, self._window(window)["test"])

    def validation_rows(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return what a study fits to, and what it judges by: both are training rows of the first window."""
        validation, series = self.payload["validation"], self.series_p.payload
        return rows_in(series, validation["train"]), rows_in(series, validation["test"])

    def describe(self) -> pd.DataFrame:
        """Return the dates and numbers of rows of each window, and of the validation, as a table."""
        index, payload = self.series_p.payload.index, self.payload
        parts = {str(number): window for number, window in enumerate(payload["windows"])}
        records = {
            name: {
                f"{role}_{what}": value
                for role in ("train", "test")
                for what, value in (
                    ("first", index[part[role][0]]),
                    ("last", index[part[role][1] - 1]),
                    ("rows", _length(part[role])),
                )
            }
            for name, part in {**parts, "validation": payload["validation"]}.items()
        }
        return pd.DataFrame(list(records.values()), index=pd.Index(list(records), name="window"))

    def _window(self, window: int) -> dict[str, Any]:
        if isinstance(window, bool) or not isinstance(window, int) or not 0 <= window < self.n_windows:
            raise ParamsError(
                f"window must be a whole number from 0 to {self.n_windows - 1}, for the split has {self.n_windows}; "
                f"got {window!r}."
            )
        found: dict[str, Any] = self.payload["windows"][window]
        return found


def rows_in(frame: pd.DataFrame, pair: Sequence[int]) -> pd.DataFrame:
    """Return the rows of a series between two positions, of which the second is not taken."""
    return frame.iloc[pair[0] : pair[1]]


def _length(pair: Sequence[int]) -> int:
    return pair[1] - pair[0]


def _split(n_rows: int, params: SplitParams) -> dict[str, Any]:
    """Return the payload of `n_rows` rows.

    Examples
    --------
    >>> _split(10, SplitParams.hold_out(0.2, validation_size=3))
    {'rows': 10, 'windows': [{'train': [0, 8], 'test': [8, 10]}], 'validation': {'train': [0, 5], 'test': [5, 8]}}
    """
    test_size = _rows_of("test_size", params.test_size, n_rows, "the series")
    train_size = params.train_size
    tested = params.n_windows * test_size
    first = n_rows - tested
    if first < (train_size or 1):
        needed = tested + (train_size or 1)
        counted = "1 window" if params.n_windows == 1 else f"{params.n_windows} windows"
        raise ForecastingError(
            f"The series has {n_rows} rows, and {counted} of {test_size} test rows after {train_size or 'at least 1'} "
            f"training rows need {needed}. Take fewer windows, or less of each."
        )
    windows = [
        {"train": [0 if train_size is None else begin - train_size, begin], "test": [begin, begin + test_size]}
        for begin in range(first, n_rows, test_size)
    ]
    a, b = windows[0]["train"]
    validated = _rows_of("validation_size", params.validation_size, b - a, "the first window's training part")
    return {
        "rows": n_rows,
        "windows": windows,
        "validation": {"train": [a, b - validated], "test": [b - validated, b]},
    }


def _rows_of(name: str, size: int | float, n_rows: int, whole: str) -> int:
    """Return how many rows a size is; some, and not all."""
    found = round(size * n_rows) if isinstance(size, float) else size
    if not 0 < found < n_rows:
        raise ForecastingError(
            f"{name}={size!r} is {found} rows of the {n_rows} in {whole}: there must be at least 1 row, and 1 must be "
            f"left. Choose another {name}, or a longer series."
        )
    return found


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ParamsError(f"{name} must be a number of rows or windows, 1 or more; got {value!r}.")


def _check_size(name: str, value: Any) -> None:
    if isinstance(value, float):
        if 0 < value < 1:
            return
    elif not isinstance(value, bool) and isinstance(value, int) and value >= 1:
        return
    raise ParamsError(f"{name} must be a number of rows, 1 or more, or a share between 0 and 1; got {value!r}.")
