# %% [markdown]
# # A series with a season: a year of CO2, forecast at once
#
# Carbon dioxide at Mauna Loa, month by month. Judged is what a planner needs: the next twelve months, all at once, from
# eight points in time (walk-forward: each model is fitted anew to all months before each of the eight years).

# %%
from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from persistable import BytesFileIO, CsvFileIO, Persistable, PersistableParams, untracked
from persistable.forecasting import (
    ArimaP,
    ArimaParams,
    BaselineP,
    BaselineParams,
    EvaluationP,
    EvaluationParams,
    LinearP,
    LinearParams,
    LinearStudyP,
    LstmP,
    LstmParams,
    ModelP,
    RankingP,
    SeriesP,
    SplitP,
    SplitParams,
)
from persistable.studies import BestParamsP, Float, Int

HERE = Path.cwd()  # the repository's root, or a folder in it: Jupyter starts in that of the notebook
ROOT = next((folder for folder in (HERE, *HERE.parents) if (folder / "example-data").is_dir()), HERE)
DATA_DIR = Path(os.environ.get("PERSISTABLE_EXAMPLE_DIR", ROOT / "example-data"))
CO2_CSV = ROOT / "example-data" / "co2.csv"
SHORT = os.environ.get("PERSISTABLE_EXAMPLE_SHORT") == "1"
WINDOWS = range(3 if SHORT else 8)

# %% [markdown]
# ## The series
#
# A few months have no measurement: they are interpolated, which the manifest says. Models see the change from month to
# month.

# %%
series_p = SeriesP.from_csv(
    DATA_DIR,
    CO2_CSV,
    target="ppm",
    transform="difference",
    frequency="MS",
    missing="interpolate",
    start="1980-01-01" if SHORT else None,
    payload_name="co2",
)
split_p = SplitP(
    DATA_DIR,
    SplitParams.expanding(n_windows=len(WINDOWS), test_size=12, validation_size=24),
    series_p=series_p,
)

# %% [markdown]
# ## Models, one for each window
#
# The linear model's lags and penalty are searched for, on two years before the first window. For ARIMA the orders of
# the airline model are taken as they are.

# %%
linear_params = LinearParams(calendar=("month",))
study_p = LinearStudyP(
    DATA_DIR,
    LinearStudyP.default_params(
        model=linear_params,
        how="forecast",
        search_space={"lags": Int(1, 36), "alpha": Float(1e-3, 1e3, log=True)},
    ),
    series_p=series_p,
    split_p=split_p,
    payload_name="co2_linear_study",
)
best_p = BestParamsP(study_p, n_trials=10 if SHORT else 30)


def each_window(kind: type[ModelP[Any]], name: str, params: Any, **more: Any) -> list[ModelP[Any]]:
    """Return a model for each window of the split."""
    return [
        kind(DATA_DIR, replace(params, window=window), series_p=series_p, split_p=split_p, payload_name=name, **more)
        for window in WINDOWS
    ]


families: list[Sequence[ModelP[Any]]] = [
    each_window(BaselineP, "seasonal_naive", BaselineParams(kind="seasonal_naive", season=12)),
    each_window(BaselineP, "drift", BaselineParams(kind="drift")),
    each_window(LinearP, "linear", linear_params, best_p=best_p),
    each_window(ArimaP, "arima", ArimaParams(order=(0, 0, 1), seasonal_order=(0, 1, 1, 12))),
]
if find_spec("torch") is None:
    print("torch is not installed: no LSTM. pip install 'persistable[torch]'\n")
else:
    lstm_params = LstmParams(lags=24, horizon=12, hidden_size=16, epochs=200)
    families.append(each_window(LstmP, "lstm", lstm_params))

evaluation_ps = [EvaluationP(DATA_DIR, models, EvaluationParams(how="forecast", season=12)) for models in families]
ranking_p = RankingP(DATA_DIR, evaluation_ps, payload_name="co2_ranking")

# %% [markdown]
# ## The next twelve months
#
# The champion of the last window, with the months of that window added to what it knows.


# %%
@dataclass
class NextYearParams(PersistableParams):
    coverage: float = 0.8


class NextYearP(Persistable[pd.DataFrame, NextYearParams]):
    def __init__(self, data_dir: Path, params: NextYearParams, *, ranking_p: RankingP) -> None:
        super().__init__(data_dir, params, [ranking_p], payload_io=CsvFileIO(), payload_name="co2_next_year")
        self.ranking_p = ranking_p

    def _generate_payload(self) -> pd.DataFrame:
        champion_p = self.ranking_p.champion_p
        champion = champion_p.forecaster.extended(champion_p.test_rows)
        return champion.forecast(12, coverage=self.params.coverage)


next_year_p = NextYearP(DATA_DIR, NextYearParams(), ranking_p=ranking_p)

# %% [markdown]
# ## Pictures: year after year, each forecast from its first of January; and how it was learnt


# %%
@dataclass
class PictureParams(PersistableParams):
    dpi: int = untracked(default=100)


class PictureP(Persistable[bytes, PictureParams]):
    def __init__(self, data_dir: Path, name: str, upstreams: Mapping[str, Persistable[Any, Any]]) -> None:
        super().__init__(
            data_dir,
            PictureParams(),
            upstreams,
            payload_name=name,
            payload_io=BytesFileIO(),
            payload_file_suffix=".png",
        )

    def _png(self, figure: Any) -> bytes:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=self.params.dpi)
        return buffer.getvalue()


class ForecastsPictureP(PictureP):
    """What came, and what the champion had said; and how good the others are."""

    def __init__(self, data_dir: Path, ranking_p: RankingP) -> None:
        super().__init__(data_dir, "co2_picture", {"ranking": ranking_p})
        self.ranking_p = ranking_p

    def _generate_payload(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 8), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[3, 2])
        champion = self.ranking_p.champion_p
        evaluation_p = self.ranking_p.evaluations[champion.payload_name]
        evaluation_p.plot(ax=above)
        above.set_title(f"CO2 at Mauna Loa, twelve months at once, by the champion: {champion.payload_name}")
        above.set_ylabel("ppm")
        self.ranking_p.plot(ax=below)
        return self._png(figure)


class LearningPictureP(PictureP):
    """How the search for the linear model went, and how the network of the last window learnt."""

    def __init__(self, data_dir: Path, best_p: BestParamsP, lstm_p: LstmP | None) -> None:
        upstreams: dict[str, Persistable[Any, Any]] = {"best": best_p}
        super().__init__(data_dir, "co2_learning", upstreams if lstm_p is None else upstreams | {"lstm": lstm_p})
        self.best_p = best_p
        self.lstm_p = lstm_p

    def _generate_payload(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        trials = self.best_p.study_p.to_frame().query("state == 'COMPLETE'")[: self.best_p.params.n_trials]
        left.plot(trials["number"], trials["value"], "o", color="tab:gray")
        left.plot(trials["number"], trials["value"].cummin(), color="tab:orange", label="best so far")
        left.set_title(self.best_p.study_p.payload_name)
        left.set_xlabel("trial")
        left.set_ylabel("RMSE on the validation rows, ppm")
        left.legend(frameon=False)
        if self.lstm_p is None:
            right.set_axis_off()
        else:
            self.lstm_p.plot_loss(ax=right)
        return self._png(figure)


lstm_p = next((model_p for model_p in families[-1] if isinstance(model_p, LstmP)), None)
pictures: list[PictureP] = [ForecastsPictureP(DATA_DIR, ranking_p), LearningPictureP(DATA_DIR, best_p, lstm_p)]

# %% [markdown]
# ## Run it

# %%
model_ps = [model_p for models in families for model_p in models]
chain: list[Persistable[Any, Any]] = [series_p, split_p, best_p, *model_ps, *evaluation_ps, ranking_p]
chain += [next_year_p, *pictures]
started = time.perf_counter()
print(f"{'artifact':<28}{'key':<12}{'':<8}{'now':>12}{'when made':>14}")
for persistable in chain:
    clock = time.perf_counter()
    found = persistable.exists()
    if not found:
        persistable.load_generate()
    milliseconds = 1000 * (time.perf_counter() - clock)
    made = persistable.manifest.generated["seconds"]
    verb = "found" if found else "made"
    print(f"{persistable.payload_name:<28}{persistable.key[:8]:<12}{verb:<8}{milliseconds:>9.1f} ms{made:>12.3f} s")
print(f"{len(chain)} artifacts in {time.perf_counter() - started:.2f} s")

# %%
print(split_p.describe().to_string(), "\n")
print(ranking_p.leaderboard())
for picture_p in pictures:
    print(f"Picture: {picture_p.persist_filepath / picture_p.manifest.payload['file']}")

# %%
print(f"\nThe next twelve months, by {ranking_p.champion_p.payload_name}:")
print(next_year_p.payload.to_string(float_format="{:.2f}".format))

# %%
if "get_ipython" in globals():
    from IPython.display import Image, display

    for picture_p in pictures:
        display(Image(picture_p.payload))  # type: ignore[no-untyped-call]
