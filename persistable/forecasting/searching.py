"""Studies that search for the settings of a model, by rows that its evaluation does not see.

A trial fits the model to the first part of the first window's training rows, and is worth the RMSE of its forecasts of
the second part (the split's ``validation``), in the units of the series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from logging import Logger
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .._persistable import Persistable
from ..exceptions import ForecastingError, ParamsError
from ..stores import DataDir
from ..studies import Categorical, Float, Int, StudyP, StudyParams
from ..studies.space import Dimension
from .arima import Arima, ArimaParams
from .forecaster import Fitting, Forecaster
from .linear import Linear, LinearParams
from .lstm import Lstm, LstmParams
from .model import ModelParams
from .scores import rmse
from .series import SeriesP
from .split import SplitP

if TYPE_CHECKING:
    import os

    from optuna import Trial
    from optuna.storages import BaseStorage

__all__ = ["ArimaStudyP", "ForecastStudyP", "ForecastStudyParams", "LinearStudyP", "LstmStudyP"]


@dataclass(kw_only=True)
class ForecastStudyParams(StudyParams):
    """What defines a search for the settings of a model.

    Parameters
    ----------
    model : ModelParams
        The settings that are not searched for, and the type of all.
    how : {"one_step", "forecast"}
        What a trial is judged by: each validation row forecast from all before it; or all of them at once, from the end
        of the rows before. As the evaluation will be.
    search_space, sampler, pruner, seed, enqueued
        As for :class:`~persistable.studies.StudyParams`. The names in the space are those of the model's params; for
        ARIMA also ``p``, ``d``, ``q``, ``P``, ``D``, ``Q``.

    Raises
    ------
    ParamsError
        As StudyParams; or if there is another `how`, or more than one direction.
    """

    model: ModelParams
    how: Literal["one_step", "forecast"] = "one_step"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how not in ("one_step", "forecast"):
            raise ParamsError(f"how must be 'one_step' or 'forecast', got {self.how!r}.")
        if tuple(self.directions) != ("minimize",):
            raise ParamsError(f"A trial is worth an error, which is minimized; got directions={self.directions!r}.")


class ForecastStudyP(StudyP[ForecastStudyParams]):
    """Base of the studies, one for each family.

    Parameters
    ----------
    data_dir : path, URL or Store
        Where it is kept.
    params : ForecastStudyParams, optional
        What to search; :meth:`default_params`, if not given.
    series_p : SeriesP
        The series.
    split_p : SplitP
        The split of that series, which says by which rows a trial is judged.
    storage, payload_name, verbose, logger
        As for :class:`~persistable.studies.StudyP`.

    Raises
    ------
    ParamsError
        If the split is one of another series, or the search space has what is no setting of the model.
    """

    version: ClassVar[str | None] = "1"
    forecaster_class: ClassVar[type[Forecaster]]
    params_class: ClassVar[type[ModelParams]]
    space: ClassVar[Mapping[str, Dimension]]
    """What is searched, if nothing else is said."""

    def __init__(
        self,
        data_dir: DataDir,
        params: ForecastStudyParams | None = None,
        *,
        series_p: SeriesP,
        split_p: SplitP,
        storage: str | os.PathLike[str] | BaseStorage | None = None,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        split_p.check_series(series_p)
        params = self.default_params() if params is None else params
        self._check(params)
        upstreams: dict[str, Persistable[Any, Any]] = {"series": series_p, "split": split_p}
        super().__init__(
            data_dir,
            params,
            upstreams,
            storage=storage,
            payload_name=payload_name,
            verbose=verbose,
            logger=logger,
        )
        self.series_p = series_p
        self.split_p = split_p

    @classmethod
    def default_params(cls, **changes: Any) -> ForecastStudyParams:
        """Return the family's params for a study, with these changes."""
        given: dict[str, Any] = {"search_space": dict(cls.space), "model": cls.params_class(), "deterministic": True}
        return ForecastStudyParams(**{**given, **changes})

    @classmethod
    def _check(cls, params: ForecastStudyParams) -> None:
        """Raise ParamsError if this is no model of the family, or what is searched are no settings of it."""
        if not isinstance(params.model, cls.params_class):
            raise ParamsError(
                f"{cls.__qualname__} searches for {cls.params_class.__name__}, but model is of type "
                f"{type(params.model).__name__}."
            )
        some = {
            name: dimension.choices[0] if isinstance(dimension, Categorical) else dimension.low
            for name, dimension in params.search_space.items()
        }
        cls.forecaster_class.with_choice(params.model, some)

    def _objective(self, trial: Trial) -> float:
        params = self.params
        train, test = self.split_p.validation_rows()
        told: list[str] = []
        payload = self.forecaster_class.fit(
            train,
            self.forecaster_class.with_choice(params.model, trial.params),
            transform=self.series_p.params.transform,
            fitting=Fitting(warn=told.append, report=_Reports(trial)),
        )
        if told:
            trial.set_user_attr("warnings", told)
        forecaster = self.forecaster_class(payload, train)
        found = forecaster.one_step(test) if params.how == "one_step" else forecaster.forecast(len(test), test)
        judged = self.series_p.can_be_judged(test.index)
        if not judged.any():
            raise ForecastingError(
                f"Nothing to judge by: the target was filled in all {len(test)} validation rows. Choose another "
                f"validation_size."
            )
        return rmse(test.iloc[:, 0].to_numpy(float)[judged], found["mean"].to_numpy()[judged])


@dataclass
class _Reports:
    """Tells a trial how a fit is getting on, and ends the fit of one that is to be pruned."""

    trial: Trial

    def __call__(self, epoch: int, loss: float) -> None:
        from optuna import TrialPruned

        self.trial.report(loss, epoch)
        if self.trial.should_prune():
            raise TrialPruned(f"after epoch {epoch}, with a validation loss of {loss:.6g}")


class LinearStudyP(ForecastStudyP):
    """A search for the lags and the ridge penalty of a linear model."""

    forecaster_class = Linear
    params_class = LinearParams
    space: ClassVar[Mapping[str, Dimension]] = {"lags": Int(1, 24), "alpha": Float(1e-4, 1e4, log=True)}


class ArimaStudyP(ForecastStudyP):
    """A search for the orders of an ARIMA model; for the seasonal ones too, if the model has a season."""

    forecaster_class = Arima
    params_class = ArimaParams
    space: ClassVar[Mapping[str, Dimension]] = {"p": Int(0, 3), "d": Int(0, 1), "q": Int(0, 3)}


class LstmStudyP(ForecastStudyP):
    """A search for the size, the memory and the learning rate of an LSTM."""

    forecaster_class = Lstm
    params_class = LstmParams
    space: ClassVar[Mapping[str, Dimension]] = {
        "hidden_size": Categorical([8, 16, 32]),
        "lags": Int(5, 40),
        "learning_rate": Float(1e-3, 3e-2, log=True),
    }
