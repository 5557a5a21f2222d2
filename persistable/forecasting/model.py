"""ModelP: a fitted model as an artifact. Fitting happens in generation only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging import Logger
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pandas as pd

from .._persistable import Persistable
from ..exceptions import ParamsError
from ..fileio import FileIO
from ..fileio.json import JsonFileIO
from ..params import PersistableParams
from ..stores import DataDir
from ..studies import BestParamsP
from .forecaster import Fitting, Forecaster
from .series import SeriesP
from .split import SplitP

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ModelP", "ModelParams", "ModelParamsT"]


@dataclass(kw_only=True)
class ModelParams(PersistableParams):
    """What the params of all families have.

    Parameters
    ----------
    window : int
        Which window of the split the model is fitted for, counted from 0.
    """

    window: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 0:
            raise ParamsError(f"window must be a whole number, 0 or more; got {self.window!r}.")


ModelParamsT = TypeVar("ModelParamsT", bound=ModelParams)


class ModelP(Persistable["dict[str, Any]", ModelParamsT]):
    """Base of the models: fitted to the training rows of one window of a split.

    Parameters
    ----------
    data_dir : path, URL or Store
        Where it is kept.
    params : ModelParams, optional
        The family's; if not given, those that the study of `best_p` was made with, or else the defaults.
    series_p : SeriesP
        The series.
    split_p : SplitP
        The split of that series.
    best_p : BestParamsP, optional
        What a study has chosen, which takes the place of what `params` says.
    payload_name : str, optional
        The class name in snake case, if not given.
    verbose : bool
        Whether to log to the console.
    logger : Logger, optional
        A logger to use instead of the payload's own.

    Raises
    ------
    ParamsError
        If the split is one of another series, or the study was judged by another split.

    Notes
    -----
    The payload is a dict of plain values (with tensors, for a network), small and without the rows: those are found
    through the key. Metrics: how many rows and parameters there are, and what the family notes.
    """

    version: ClassVar[str | None] = "1"
    forecaster_class: ClassVar[type[Forecaster]]
    params_class: ClassVar[type[ModelParams]]

    def __init__(
        self,
        data_dir: DataDir,
        params: ModelParamsT | None = None,
        *,
        series_p: SeriesP,
        split_p: SplitP,
        best_p: BestParamsP | None = None,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        split_p.check_series(series_p)
        upstreams: dict[str, Persistable[Any, Any]] = {"series": series_p, "split": split_p}
        if best_p is not None:
            self._check_choice(best_p, split_p)
            upstreams["best"] = best_p
        super().__init__(
            data_dir,
            self._default_params(best_p) if params is None else params,
            upstreams,
            payload_name=payload_name,
            payload_io=self._payload_io(),
            verbose=verbose,
            logger=logger,
        )
        self.series_p = series_p
        self.split_p = split_p
        self.best_p = best_p
        self.__forecaster: tuple[Mapping[str, Any], Forecaster] | None = None

    @classmethod
    def _default_params(cls, best_p: BestParamsP | None) -> Any:
        model = None if best_p is None else getattr(best_p.study_p.params, "model", None)
        return replace(model) if type(model) is cls.params_class else cls.params_class()

    @staticmethod
    def _check_choice(best_p: BestParamsP, split_p: SplitP) -> None:
        judged_by = getattr(best_p.study_p, "split_p", None)  # a study of the user's own may know of none
        if judged_by is not None and judged_by is not split_p and judged_by.key != split_p.key:
            raise ParamsError(
                f"The study {best_p.study_p.payload_name} was judged by the split {judged_by.key}, and the model is "
                f"fitted by {split_p.key}: the study may have seen the rows that the model is to be judged by. Make a "
                f"study by the same split."
            )

    def _payload_io(self) -> FileIO[Any]:
        return JsonFileIO()

    @property
    def settings(self) -> ModelParamsT:
        """The params, with what the study has chosen."""
        if self.best_p is None:
            return self.params
        settings: ModelParamsT = self.forecaster_class.with_choice(self.params, self.best_p.load_generate())
        return settings

    @property
    def training_rows(self) -> pd.DataFrame:
        """The rows that the model is fitted to."""
        return self.split_p.training_rows(self.params.window)

    @property
    def test_rows(self) -> pd.DataFrame:
        """The rows that it is to be judged by."""
        return self.split_p.test_rows(self.params.window)

    def _generate_payload(self, **untracked: Any) -> dict[str, Any]:
        settings = self.settings  # a study that has to run does so before anything else
        rows = self.training_rows
        with self._fitting(settings) as fitting:
            payload = self.forecaster_class.fit(
                rows, settings, transform=self.series_p.params.transform, fitting=fitting
            )
        forecaster = self.forecaster_class(payload, rows)
        self.__forecaster = payload, forecaster
        self.metrics |= {"rows": len(rows), "n_parameters": forecaster.n_parameters, **fitting.metrics}
        return payload

    @contextmanager
    def _fitting(self, settings: ModelParamsT) -> Iterator[Fitting]:
        """Yield what is told of a fit; a family with epochs shows them."""
        yield Fitting(warn=self._warn)

    def _warn(self, message: str) -> None:
        """Tell the user, and whoever reads the manifest: nothing that was doubtful is to be lost on the way."""
        window = f" (window {self.params.window})" if self.split_p.n_windows > 1 else ""
        self.logger.warning(f"{self.payload_name}{window}: {message}")
        self.metrics["warnings"] = [*self.metrics.get("warnings", []), message]

    @property
    def forecaster(self) -> Forecaster:
        """The model, ready to forecast: loaded or fitted on first use."""
        payload = self.payload
        if self.__forecaster is None or self.__forecaster[0] is not payload:
            self.__forecaster = payload, self.forecaster_class(payload, self.training_rows)
        return self.__forecaster[1]

    # -----------------------------------------------------------------------------------------------------------------
    # As the forecaster has them

    def forecast(self, steps: int, exogenous: pd.DataFrame | None = None, *, coverage: float = 0.95) -> pd.DataFrame:
        """Forecast what comes after the training rows; see :meth:`.Forecaster.forecast`."""
        return self.forecaster.forecast(steps, exogenous, coverage=coverage)

    def one_step(self, test: pd.DataFrame | None = None, *, coverage: float = 0.95) -> pd.DataFrame:
        """Forecast each row of `test`, by default the window's, from all before; see :meth:`.Forecaster.one_step`."""
        return self.forecaster.one_step(self.test_rows if test is None else test, coverage=coverage)

    @property
    def residuals(self) -> pd.Series:
        """The errors of the one-step forecasts of the training rows; see :attr:`.Forecaster.residuals`."""
        return self.forecaster.residuals

    @property
    def n_parameters(self) -> int:
        """How many numbers were fitted."""
        return self.forecaster.n_parameters

    def summary(self) -> str:
        """Return what was found, as a text of several lines."""
        return self.forecaster.summary()

    def plot(self, steps: int = 0, test: pd.DataFrame | None = None, **options: Any) -> Axes:
        """Plot forecasts and intervals; see :meth:`.Forecaster.plot`."""
        return self.forecaster.plot(steps, test, **options)
