"""A small series, and the chain of artifacts that tests make of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from persistable.forecasting import (
    BaselineP,
    BaselineParams,
    EvaluationP,
    EvaluationParams,
    LinearP,
    LinearParams,
    RankingP,
    RankingParams,
    SeriesP,
    SplitP,
    SplitParams,
)

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
