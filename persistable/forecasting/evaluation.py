"""EvaluationP: a model judged by rows that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from logging import Logger
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args

import numpy as np
import pandas as pd

from .._persistable import Persistable
from ..exceptions import ParamsError
from ..fileio.csv import CsvFileIO
from ..params import PersistableParams
from ..stores import DataDir
from . import scores
from .forecaster import digest_of_rows, plot_forecast
from .model import ModelP
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

    Notes
    -----
    The payload is a DataFrame by date, one row for each test row, in units of the target: ``actual``, ``previous`` (the
    last level that was known when it was forecast: the row before, or the end of the training rows), ``mean``,
    ``lower``, ``upper``, and ``window``.

    Metrics, of all test rows together: ``rows``, ``rmse``, ``mae``, ``mase``, ``directional_accuracy``,
    ``interval_coverage``, ``interval_width``; ``transformed_rmse``, one step ahead, in what the models see (where the
    series has a transform); ``n_parameters``, ``family``, ``model_keys``, and ``warnings`` of the fits.
    ``rows_digest`` proves by which rows it was: another evaluation is comparable if and only if it has the same.
    ``mase`` and ``directional_accuracy`` are None where they are not applicable.

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
    ['actual', 'previous', 'mean', 'lower', 'upper', 'window']
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
        found = pd.concat([self._forecasts(model) for model in self.models])
        scales = [scores.seasonal_scale(_levels(model.training_rows), self.params.season) for model in self.models]
        scale = np.repeat(scales, [len(model.test_rows) for model in self.models])
        actual, previous, mean, lower, upper = (
            found[name].to_numpy() for name in ("actual", "previous", "mean", "lower", "upper")
        )
        self.metrics |= {
            "rows": len(found),
            "rows_digest": digest_of_rows(found[["actual", "window"]]),
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
            self.metrics["transformed_rmse"] = scores.rmse(seen(actual), seen(mean))
        self.metrics |= {
            "n_parameters": self.model_p.n_parameters,
            "family": self.model_p.forecaster_class.family,
            "model_keys": [str(model.key) for model in self.models],
            "warnings": self._warnings(),
        }
        return found

    def _forecasts(self, model: ModelP[Any]) -> pd.DataFrame:
        test, coverage = model.test_rows, self.params.coverage
        actual, last = _levels(test), _levels(model.training_rows)[-1]
        if self.params.how == "one_step":
            found = model.one_step(test, coverage=coverage)
            previous = np.concatenate([[last], actual[:-1]])
        else:
            found = model.forecast(len(test), test.iloc[:, 1:], coverage=coverage)
            previous = np.full(len(test), last)
        columns: dict[str, Any] = {"actual": actual, "previous": previous}
        columns |= {name: found[name].to_numpy() for name in ("mean", "lower", "upper")}
        return pd.DataFrame(columns | {"window": np.int64(model.params.window)}, index=test.index)

    def _warnings(self) -> list[str]:
        several = len(self.models) > 1
        return [
            f"window {model.params.window}: {message}" if several else message
            for model in self.models
            for message in model.metrics.get("warnings", [])
        ]

    def plot(self, last: int = 250, ax: Axes | None = None) -> Axes:
        """Plot the last test rows, with their forecasts and intervals.

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
        found = self.payload.iloc[-last:]
        how = "one step ahead" if self.params.how == "one_step" else "from the end of the training rows"
        known = found["actual"].rename(_target(self.model_p))
        return plot_forecast(known, found, f"{self.name}, {how}", ax=ax, coverage=self.params.coverage)


def _levels(rows: pd.DataFrame) -> Array:
    return rows.iloc[:, 0].to_numpy(float)


def _target(model: ModelP[Any]) -> str:
    return str(model.series_p.payload.columns[0])


def _checked(models: ModelP[Any] | Sequence[ModelP[Any]]) -> tuple[ModelP[Any], ...]:
    """Return the models by window, or raise ParamsError."""
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
