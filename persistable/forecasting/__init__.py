"""Forecasting as a chain of artifacts: a series, its split, models, their evaluations, and a champion.

A :mod:`.series` is read, a :mod:`.split` says which rows are for what, and each family of models (:mod:`.baseline`,
:mod:`.linear`, :mod:`.arima`, :mod:`.lstm`) is fitted to the same rows, with what a study (:mod:`.searching`) has
chosen. An :mod:`.evaluation` judges a model by rows that it has not seen, and a :mod:`.ranking` compares those that
were judged by the same rows. The :mod:`.deployment` says which model to use, and loads it.

A model is two things: an artifact (:mod:`.model`), whose payload is what a fit has found, and the :mod:`.forecaster`
that is made of it. No statsmodels, torch or Optuna is imported before something of theirs is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arima import Arima as Arima, ArimaP as ArimaP, ArimaParams as ArimaParams
    from .baseline import Baseline as Baseline, BaselineP as BaselineP, BaselineParams as BaselineParams
    from .deployment import load_champion as load_champion
    from .evaluation import EvaluationP as EvaluationP, EvaluationParams as EvaluationParams
    from .forecaster import Forecaster as Forecaster
    from .linear import Linear as Linear, LinearP as LinearP, LinearParams as LinearParams
    from .lstm import Lstm as Lstm, LstmP as LstmP, LstmParams as LstmParams
    from .model import ModelP as ModelP, ModelParams as ModelParams
    from .ranking import RankingP as RankingP, RankingParams as RankingParams
    from .searching import (
        ArimaStudyP as ArimaStudyP,
        ForecastStudyP as ForecastStudyP,
        ForecastStudyParams as ForecastStudyParams,
        LinearStudyP as LinearStudyP,
        LstmStudyP as LstmStudyP,
    )
    from .series import SeriesP as SeriesP, SeriesParams as SeriesParams
    from .split import SplitP as SplitP, SplitParams as SplitParams

_HOMES = {
    "arima": ("Arima", "ArimaP", "ArimaParams"),
    "baseline": ("Baseline", "BaselineP", "BaselineParams"),
    "deployment": ("load_champion",),
    "evaluation": ("EvaluationP", "EvaluationParams"),
    "forecaster": ("Forecaster",),
    "linear": ("Linear", "LinearP", "LinearParams"),
    "lstm": ("Lstm", "LstmP", "LstmParams"),
    "model": ("ModelP", "ModelParams"),
    "ranking": ("RankingP", "RankingParams"),
    "searching": ("ArimaStudyP", "ForecastStudyP", "ForecastStudyParams", "LinearStudyP", "LstmStudyP"),
    "series": ("SeriesP", "SeriesParams"),
    "split": ("SplitP", "SplitParams"),
}

_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
