"""A small series, and the chain of artifacts that tests make of it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from persistable.forecasting import (
    BaselineP,
    BaselineParams,
    EvaluationP,
    EvaluationParams,
    Forecaster,
    LinearP,
    LinearParams,
    ModelP,
    ModelParams,
    RankingP,
    RankingParams,
    SeriesP,
    SplitP,
    SplitParams,
)
from persistable.forecasting.transforms import Path

N, TESTED = 240, 40


def write_csv(path, *, n=N, seed=0, coefficient=0.5):
    generator = np.random.default_rng(seed)
    noise, driver = generator.normal(size=(2, n))
    values = np.zeros(n)
    for row in range(1, n):
        values[row] = coefficient * values[row - 1] + noise[row] + driver[row]
    dates = pd.date_range("2023-01-01", periods=n, freq="D")
    pd.DataFrame({"date": dates, "level": 20 + values, "driver": driver}).to_csv(path, index=False)
    return path


class Chain:
    """A series and its split in a folder, and what is made of them."""

    def __init__(self, folder, split=None, *, coefficient=0.5, **series):
        csv = folder / "series.csv"
        if not csv.exists():
            write_csv(csv, coefficient=coefficient)
        self.folder = folder
        self.series_p = SeriesP.from_csv(folder, csv, target="level", **series)
        self.split_p = SplitP(folder, split or SplitParams.hold_out(TESTED), series_p=self.series_p)

    def baseline(self, kind="naive", **params):
        given = BaselineParams(kind=kind, **params)
        return BaselineP(self.folder, given, series_p=self.series_p, split_p=self.split_p, payload_name=kind)

    def linear(self, name="linear", kind=LinearP, **params):
        given = LinearParams(**params)
        return kind(self.folder, given, series_p=self.series_p, split_p=self.split_p, payload_name=name)

    def other(self, kind, name, **params):
        given = ModelParams(**params)
        return kind(self.folder, given, series_p=self.series_p, split_p=self.split_p, payload_name=name)

    def evaluated(self, models, **params):
        return EvaluationP(self.folder, models, EvaluationParams(**params))

    def ranked(self, *models, how="one_step", payload_name=None, **params):
        evaluations = [self.evaluated(each, how=how) for each in models]
        return RankingP(self.folder, evaluations, RankingParams(**params), payload_name=payload_name)


class DoubtfulP(LinearP):
    """A linear model that has a doubt about itself."""

    def _generate_payload(self):
        payload = super()._generate_payload()
        self._warn("It did not converge.")
        return payload


class Average(Forecaster):
    """A family that the library does not know: its average, whatever comes."""

    family = "my average"

    @classmethod
    def _fit(cls, rows, params, fitting):
        return {"mean": float(np.nanmean(rows.values)), "se": float(np.nanstd(rows.values))}

    def _path(self, steps, future):
        return Path(*(np.full(steps, self.payload[name]) for name in ("mean", "se", "se")))

    def _one_step(self, test):
        return self._path(len(test.values), test)[:2]

    def _residuals(self):
        return self.rows.values - self.payload["mean"]

    @property
    def n_parameters(self):
        return 1

    def summary(self):
        return f"average {self.payload['mean']:g}"


class AverageP(ModelP[ModelParams]):
    """The average as an artifact."""

    forecaster_class: ClassVar[type[Forecaster]] = Average
    params_class = ModelParams


class Explosive(Average):
    """A family whose forecasts are too large for a number from a level on, or in the second window."""

    family = "explosive"

    def _path(self, steps, future):
        path = super()._path(steps, future)
        return path._replace(mean=path.mean * np.inf) if len(self.history) > N - 2 * TESTED else path


class ExplosiveP(AverageP):
    """It is fitted, and cannot forecast."""

    forecaster_class = Explosive


class Unsure(Average):
    """A family whose intervals have no end, above a logarithm."""

    family = "unsure"

    def _path(self, steps, future):
        path = super()._path(steps, future)
        return path._replace(se=path.se * 1e6)


class UnsureP(AverageP):
    """It says nothing, and that for certain."""

    forecaster_class = Unsure
