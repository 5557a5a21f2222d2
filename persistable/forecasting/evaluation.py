"""EvaluationP: a model judged by rows that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from logging import Logger
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args

import numpy as np
import pandas as pd

from .._persistable import Persistable
from ..exceptions import ForecastingError, ParamsError
from ..fileio.csv import CsvFileIO
from ..params import PersistableParams
from ..stores import DataDir
from . import scores
from .model import ModelP
from .plots import check_last, plot_forecast
from .rows import digest_of_rows
from .transforms import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["EvaluationP", "EvaluationParams"]

_How = Literal["one_step", "forecast"]
_HOW: Final[tuple[str, ...]] = get_args(_How)


@dataclass
class EvaluationParams(PersistableParams):
    """How a model is judged.

    Parameters
    ----------
    how : {"one_step", "forecast"}
        Whether each test row is forecast from all rows before it, or all of them from the end of the training rows. The
        second takes exogenous columns as they are in the test rows, as if they were known in advance.
    coverage : float
        The probability that a value is to lie in its interval, above 0 and below 1.
    season : int
        The season of the naive forecast whose errors scale those of the model, in rows.
    """

    how: _How = "one_step"
    coverage: float = 0.95
    season: int = 1

    def __post_init__(self) -> None:
        if self.how not in _HOW:
            raise ParamsError(f"how must be 'one_step' or 'forecast'; got {self.how!r}.")
        if isinstance(self.coverage, bool) or not isinstance(self.coverage, int | float) or not 0 < self.coverage < 1:
            raise ParamsError(f"coverage must be above 0 and below 1; got {self.coverage!r}.")
        if isinstance(self.season, bool) or not isinstance(self.season, int) or self.season < 1:
            raise ParamsError(f"season must be a whole number of rows, 1 or more; got {self.season!r}.")


class EvaluationP(Persistable[pd.DataFrame, EvaluationParams]):
    """Forecasts of test rows, and how good they are.

    Parameters
    ----------
    data_dir : path, URL or Store
        Where it is kept.
    models : ModelP or sequence of ModelP
        The model; or one for each window of the split, equal but for that: a walk forward, judged by the test rows of
        all.
    params : EvaluationParams, optional
        How it is judged.
    payload_name : str, optional
        The name of the first model and ``_evaluation``, if not given.
    verbose : bool
        Whether to log to the console.
    logger : Logger, optional
        A logger to use instead of the payload's own.

    Attributes
    ----------
    models : tuple of ModelP
        The models, by window.
    model_p : ModelP
        The one of the last window, which knows most.
    series_p, split_p : SeriesP, SplitP
        What they were all fitted to.
    name : str
        The payload name of the model: what it is called in a ranking.

    Raises
    ------
    ParamsError
        If several models are not of one class, or differ in more than their windows.
    ForecastingError
        At generation, if the target was filled in all test rows.

    Notes
    -----
    The payload is a DataFrame by date, one row for each test row, in units of the target: ``actual``, ``previous`` (the
    last level that was known when it was forecast: the row before, or the end of the training rows), ``mean``,
    ``lower``, ``upper``, ``window``, and ``scale`` (the mean absolute error of the seasonal naive forecast within the
    training rows of the window; NaN where they repeat).

    A value that :class:`.SeriesP` has filled did not come: nobody is judged by it, and its row is left out. Where gaps
    were interpolated, so is the first row after each of them: the value before it was made with it in sight.

    Metrics, of all test rows together: ``rows``, ``rows_left_out``, ``rmse``, ``mae``, ``mase``,
    ``directional_accuracy``, ``interval_coverage``, ``interval_width``; ``transformed_rmse``, one step ahead, in what
    the models see (where the series has a transform); ``n_parameters``, ``family``, ``model_keys``, and ``warnings`` of
    the fits. ``rows_digest`` proves by which rows it was, and from where on: another evaluation is comparable only if
    it has the same. ``mase`` and ``directional_accuracy`` are None where they are not applicable, and whatever is not
    finite is None.

    A model that has no forecast of its test rows has NaN there, no score at all, and the reason among its warnings.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from persistable.forecasting import BaselineP, SeriesP, SplitP, SplitParams
    >>> folder = Path(tempfile.mkdtemp())
    >>> levels = np.random.default_rng(0).normal(10, 1, 300)
    >>> index = pd.date_range("2024-01-01", periods=300, name="date")
    >>> pd.DataFrame({"level": levels}, index=index).to_csv(folder / "days.csv")
    >>> series_p = SeriesP.from_csv(folder, folder / "days.csv", target="level")
    >>> split_p = SplitP(folder, SplitParams.hold_out(100), series_p=series_p)
    >>> evaluation_p = EvaluationP(folder, BaselineP(folder, series_p=series_p, split_p=split_p))
    >>> evaluation_p.load_generate().columns.tolist()
    ['actual', 'previous', 'mean', 'lower', 'upper', 'window', 'scale']
    >>> round(evaluation_p.metrics["rmse"], 2), evaluation_p.metrics["directional_accuracy"]
    (1.57, None)
    """

    version: ClassVar[str | None] = "1"

    def __init__(
        self,
        data_dir: DataDir,
        models: ModelP[Any] | Sequence[ModelP[Any]],
        params: EvaluationParams | None = None,
        *,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        self.models = _checked(models)
        self.model_p = self.models[-1]
        self.series_p = self.model_p.series_p
        self.split_p = self.model_p.split_p
        self.name = self.models[0].payload_name
        several = len(self.models) > 1
        upstreams: dict[str, Persistable[Any, Any]] = {"series": self.series_p, "split": self.split_p}
        upstreams |= {f"model_{number}" if several else "model": model for number, model in enumerate(self.models)}
        super().__init__(
            data_dir,
            EvaluationParams() if params is None else params,
            upstreams,
            payload_name=f"{self.name}_evaluation" if payload_name is None else payload_name,
            payload_io=CsvFileIO(),
            verbose=verbose,
            logger=logger,
        )

    def _generate_payload(self) -> pd.DataFrame:
        problems: dict[int, str] = {}
        found = pd.concat([self._forecasts(model, problems) for model in self.models])
        judged = self.series_p.can_be_judged(found.index)
        left_out = int((~judged).sum())
        if left_out == len(found):
            raise ForecastingError(
                f"There is nothing to judge {self.name} by: {_target(self.model_p)!r} is missing in the file, or next "
                f"to a gap that was interpolated, in all of the {left_out} test rows. Choose other test rows, or say "
                f"missing='drop', or 'ffill', of the series."
            )
        if left_out:
            found = found[judged]
        self.metrics |= {
            "rows": len(found),
            "rows_left_out": left_out,
            # What was known before is a part of it, too: moves are counted from there.
            "rows_digest": digest_of_rows(found[["actual", "previous", "window"]]),
            **self._scores(found),
            "n_parameters": self.model_p.n_parameters,
            "family": self.model_p.forecaster_class.family,
            "model_keys": [str(model.key) for model in self.models],
            "warnings": self._warnings(problems),
        }
        return found

    def _forecasts(self, model: ModelP[Any], problems: dict[int, str]) -> pd.DataFrame:
        """Return the rows of a model's window; of one that has no forecast of them, why not is added to `problems`."""
        test, coverage = model.test_rows, self.params.coverage
        training, actual = _levels(model.training_rows), _levels(test)
        scale = scores.seasonal_scale(training, self.params.season)
        forecaster = model.forecaster  # one that cannot be fitted is no matter of judgement
        one_step = self.params.how == "one_step"
        try:
            with np.errstate(all="ignore"):
                found = (
                    forecaster.one_step(test, coverage=coverage)
                    if one_step
                    else forecaster.forecast(len(test), test, coverage=coverage)  # by the true dates, holidays and all
                )
        except ForecastingError as error:
            problems[model.params.window] = str(error)
            self.logger.warning(
                f"{self.name} has no forecasts of the test rows of window {model.params.window}: {error}"
            )
            found = pd.DataFrame(np.nan, index=test.index, columns=["mean", "lower", "upper"])
        previous = np.concatenate([training[-1:], actual[:-1]]) if one_step else np.full(len(test), training[-1])
        columns: dict[str, Any] = {"actual": actual, "previous": previous}
        columns |= {name: found[name].to_numpy() for name in ("mean", "lower", "upper")}
        columns |= {"window": np.int64(model.params.window), "scale": scale or np.nan}
        return pd.DataFrame(columns, index=test.index)

    def _scores(self, found: pd.DataFrame) -> dict[str, float | None]:
        actual, previous, mean, lower, upper, scale = (
            found[name].to_numpy(float) for name in ("actual", "previous", "mean", "lower", "upper", "scale")
        )
        with np.errstate(all="ignore"):  # what is too large for a number is None below
            given: dict[str, float | None] = {
                "rmse": scores.rmse(actual, mean),
                "mae": scores.mae(actual, mean),
                "mase": scores.mase(actual, mean, scale),
                "directional_accuracy": scores.directional_accuracy(actual, mean, previous),
                "interval_coverage": scores.interval_coverage(actual, lower, upper),
                "interval_width": scores.interval_width(lower, upper),
            }
            transform = self.series_p.params.transform
            if self.params.how == "one_step" and transform != "none":
                # The error of a difference is that of the level, and the error of a log return that of the logarithm.
                seen = np.log if transform in ("log", "log_return") else np.asarray
                given["transformed_rmse"] = scores.rmse(seen(actual), seen(mean))
        there = not np.isnan(mean).any()
        return {
            name: value if there and value is not None and np.isfinite(value) else None for name, value in given.items()
        }

    def _warnings(self, problems: Mapping[int, str]) -> list[str]:
        several = len(self.models) > 1
        found = []
        for model in self.models:
            window = model.params.window
            doubts = [*model.metrics.get("warnings", []), *([problems[window]] if window in problems else [])]
            found += [f"window {window}: {message}" if several else message for message in doubts]
        return found

    def plot(self, last: int = 250, ax: Axes | None = None) -> Axes:
        """Plot the last test rows, with their forecasts and intervals; those of each window by themselves.

        Where paths were forecast, a dot is the last row that was known before each.

        Parameters
        ----------
        last : int
            How many.
        ax : matplotlib Axes, optional
            Where to plot; in a new figure, if not given.

        Returns
        -------
        matplotlib Axes
        """
        payload = self.payload
        found = payload.iloc[-check_last(last) :]
        how = "one step ahead" if self.params.how == "one_step" else "from the end of the training rows"
        known = found["actual"].rename(_target(self.model_p))
        ax = plot_forecast(known, _apart(found), f"{self.name}, {how}", ax=ax, coverage=self.params.coverage)
        color = "tab:orange"
        alone = found[~found["window"].duplicated(keep=False).to_numpy()]
        if len(alone):  # which is a line to nowhere, and not to be seen
            ax.vlines(alone.index, alone["lower"], alone["upper"], color=color, alpha=0.25)
            ax.plot(alone.index, alone["mean"], color=color, linestyle="none", marker=".")
        if self.params.how == "forecast":
            firsts = payload.index[~payload["window"].duplicated().to_numpy()]
            shown = found[found.index.isin(firsts)]
            index, windows = self.series_p.payload.index, self.split_p.payload["windows"]
            origins = [index[windows[window]["train"][1] - 1] for window in shown["window"]]
            if origins:
                ax.plot(
                    origins, shown["previous"], color="black", linestyle="none", marker="o", label="forecast origin"
                )
                ax.legend(frameon=False, loc="upper left")
        return ax


def _apart(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with an empty one between two windows, where lines end."""
    windows = found["window"].to_numpy()
    begins = np.flatnonzero(windows[1:] != windows[:-1]) + 1
    order = np.sort(np.concatenate([np.arange(len(found)), begins]), kind="stable")
    apart = found[["mean", "lower", "upper"]].iloc[order]
    apart.iloc[begins + np.arange(len(begins))] = np.nan
    return apart


def _levels(rows: pd.DataFrame) -> Array:
    return rows.iloc[:, 0].to_numpy(float)


def _target(model: ModelP[Any]) -> str:
    return str(model.series_p.payload.columns[0])


def _checked(models: ModelP[Any] | Sequence[ModelP[Any]]) -> tuple[ModelP[Any], ...]:
    """Return the models by window, or raise ParamsError."""
    if not isinstance(models, ModelP | Iterable):
        raise ParamsError(
            f"models must be a ModelP, or one for each window of its split in a list; got one of type "
            f"{type(models).__qualname__}."
        )
    given = (models,) if isinstance(models, ModelP) else tuple(models)
    if not given:
        raise ParamsError("There is no model to be judged. Pass one, or one for each window of the split.")
    for model in given:
        if not isinstance(model, ModelP):
            raise ParamsError(f"models must be a ModelP, or several; one is of type {type(model).__qualname__}.")
    first = given[0]
    for model in given[1:]:
        if differs := _difference(first, model):
            raise ParamsError(
                f"Several models are judged together if they are one model, fitted for each window of a split; but "
                f"{model.payload_name} (window {model.params.window}) has another {differs} than {first.payload_name} "
                f"(window {first.params.window}). Make an evaluation of each, and compare them by a RankingP."
            )
    windows = [model.params.window for model in given]
    if again := {window for window in windows if windows.count(window) > 1}:
        raise ParamsError(
            f"Two of the models were fitted for the same window ({', '.join(map(str, sorted(again)))}). Pass one for "
            f"each."
        )
    return tuple(sorted(given, key=lambda model: model.params.window))


def _difference(first: ModelP[Any], model: ModelP[Any]) -> str | None:
    """Return in what a model differs from the first one, beside its window."""
    if type(model) is not type(first):
        return "class"
    if model.series_p.key != first.series_p.key:
        return "series"
    if model.split_p.key != first.split_p.key:
        return "split"
    if replace(model.params, window=0) != replace(first.params, window=0):
        return "set of params"
    chosen = [None if each.best_p is None else each.best_p.key for each in (first, model)]
    return "choice of a study (best_p)" if chosen[0] != chosen[1] else None
