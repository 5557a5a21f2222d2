"""What a fitted model costs to load and to use, beside the library that fitted it; and a chain that is found again."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from persistable import Persistable

from ._measure import Bench, Row, Skip, case, compare, interleave, spread

_TEST_ROWS = 1_000


def _needed(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise Skip(f"{package} is not installed")


def _series_csv(folder: Path, n_rows: int) -> Path:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    steps = random.standard_normal(n_rows + 2)
    values = 100 + np.cumsum(steps[2:] + 0.5 * steps[1:-1] - 0.2 * steps[:-2])
    index = pd.date_range("2000-01-01", periods=n_rows, name="date")
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"level": values.round(6)}, index=index).to_csv(folder / "series.csv")
    return folder / "series.csv"


def _arima_p(folder: Path, csv: Path, test_size: int) -> Any:
    from persistable.forecasting import ArimaP, ArimaParams, SeriesP, SplitP, SplitParams

    series_p = SeriesP.from_csv(folder, csv, target="level")
    split_p = SplitP(folder, SplitParams.hold_out(test_size), series_p=series_p)
    return ArimaP(folder, ArimaParams(order=(2, 1, 2)), series_p=series_p, split_p=split_p)


@case("arima-load", "ARIMA on 5,000 points: load, forecast")
def load_and_forecast_of_arima(bench: Bench) -> Row:
    """New objects, the payload and the rows from disk, ten steps; against a bare ``filter`` of rows at hand."""
    _needed("statsmodels")
    import numpy as np
    from statsmodels.tsa.arima.model import ARIMA

    csv = _series_csv(bench.folder, 210 if bench.quick else 5_010)
    model_p = _arima_p(bench.folder, csv, 10)
    payload = model_p.load_generate()
    size = model_p.manifest.payload["size"]
    assert size < 10_000, f"the artifact has {size} bytes"
    levels, values = model_p.training_rows["level"].to_numpy(), np.array(payload["values"])

    def ours() -> None:
        _arima_p(bench.folder, csv, 10).forecast(10)

    def bare() -> None:
        ARIMA(levels, order=(2, 1, 2)).filter(values)

    return compare(ours, bare, name="filter", reach=1.3, rounds=bench.rounds(15), note=f"{size} bytes")


@case("one-step", "ARIMA: 1,000 rows one step ahead")
def rolling_one_step(bench: Bench) -> Row:
    """Means and standard errors of each row from all before it; against statsmodels' ``extend``, which goes on."""
    _needed("statsmodels")
    import numpy as np
    from statsmodels.tsa.arima.model import ARIMA

    rows = 100 if bench.quick else _TEST_ROWS
    model_p = _arima_p(bench.folder, _series_csv(bench.folder, 2 * rows), rows)
    payload, test = model_p.load_generate(), model_p.test_rows
    results = ARIMA(model_p.training_rows["level"].to_numpy(), order=(2, 1, 2)).filter(np.array(payload["values"]))
    levels = test["level"].to_numpy()
    model_p.one_step()

    def fastest() -> Any:
        extended = results.extend(levels)
        return extended.forecasts[0], extended.forecasts_error_cov[0, 0] ** 0.5

    np.testing.assert_allclose(model_p.one_step()["mean"], fastest()[0], rtol=1e-9)
    return compare(model_p.one_step, fastest, name="extend", reach=1.5, rounds=bench.rounds(15))


@case("forecast-chain", "EUR/USD chain, found again")
def warm_chain(bench: Bench) -> Row:
    """New objects of the whole chain on the ECB's rates, each loaded: series, split, choices, models, evaluations, all.

    Nothing is made. What has to be imported was, in a round before.
    """
    _needed("statsmodels", "torch", "optuna", "safetensors")
    csv = Path(__file__).parents[1] / "example-data" / "eurusd.csv"

    def chain() -> list[Persistable[Any, Any]]:
        return _chain(bench.folder, csv, "2025-01-01" if bench.quick else "2019-01-01")

    made = [persistable.load_generate() for persistable in chain()]

    def warm() -> None:
        for persistable in chain():
            persistable.load()

    (times,) = interleave([warm], bench.rounds(20))
    milliseconds = [1000 * seconds for seconds in times]
    return Row(
        median(milliseconds), 50, "ms", spread(milliseconds), times={"chain": times}, note=f"{len(made)} artifacts"
    )


def _chain(folder: Path, csv: Path, start: str) -> list[Persistable[Any, Any]]:
    from persistable.forecasting import (
        ArimaP,
        ArimaStudyP,
        BaselineP,
        BaselineParams,
        EvaluationP,
        LinearP,
        LinearStudyP,
        LstmP,
        LstmParams,
        LstmStudyP,
        RankingP,
        SeriesP,
        SplitP,
        SplitParams,
    )
    from persistable.studies import BestParamsP

    series_p = SeriesP.from_csv(folder, csv, target="rate", transform="log_return", start=start)
    split_p = SplitP(folder, SplitParams.hold_out(), series_p=series_p)
    on: dict[str, Any] = {"series_p": series_p, "split_p": split_p}
    lstm = LstmParams(epochs=2)
    best_ps = [
        BestParamsP(LinearStudyP(folder, **on), 2),
        BestParamsP(ArimaStudyP(folder, **on), 1),
        BestParamsP(LstmStudyP(folder, LstmStudyP.default_params(model=lstm), **on), 1),
    ]
    model_ps: list[Any] = [
        BaselineP(folder, **on, payload_name="naive"),
        BaselineP(folder, BaselineParams(kind="drift"), **on, payload_name="drift"),
        BaselineP(folder, BaselineParams(kind="seasonal_naive", season=5), **on, payload_name="weekly"),
        LinearP(folder, **on, best_p=best_ps[0], payload_name="linear"),
        ArimaP(folder, **on, best_p=best_ps[1], payload_name="arima"),
        LstmP(folder, lstm, **on, best_p=best_ps[2], payload_name="lstm"),
    ]
    evaluation_ps = [EvaluationP(folder, model_p) for model_p in model_ps]
    return [series_p, split_p, *best_ps, *model_ps, *evaluation_ps, RankingP(folder, evaluation_ps)]
