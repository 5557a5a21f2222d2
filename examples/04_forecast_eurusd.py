# %% [markdown]
# # From a CSV to a champion: which model forecasts EUR/USD best?
#
# The ECB's reference rates, three families of models, and the forecasts that any of them must beat. Each step is an
# artifact: the series, its split, a search per family, the models, their evaluations on the same rows, a ranking. Run
# it twice: the second time nothing is made, and neither torch nor statsmodels nor Optuna is imported.
#
# `PERSISTABLE_EXAMPLE_SHORT=1` makes it shorter: fewer years, and fewer trials.

# %%
from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from persistable import BytesFileIO, CsvFileIO, Persistable, PersistableParams, untracked
from persistable.forecasting import (
    ArimaP,
    ArimaStudyP,
    BaselineP,
    BaselineParams,
    EvaluationP,
    ForecastStudyP,
    LinearP,
    LinearStudyP,
    LstmP,
    LstmParams,
    LstmStudyP,
    ModelP,
    RankingP,
    SeriesP,
    SplitP,
    SplitParams,
    load_champion,
)
from persistable.studies import BestParamsP

HERE = Path.cwd()  # the repository's root, or a folder in it: Jupyter starts in that of the notebook
ROOT = next((folder for folder in (HERE, *HERE.parents) if (folder / "example-data").is_dir()), HERE)
DATA_DIR = Path(os.environ.get("PERSISTABLE_EXAMPLE_DIR", ROOT / "example-data"))
RATES_CSV = ROOT / "example-data" / "eurusd.csv"
SHORT = os.environ.get("PERSISTABLE_EXAMPLE_SHORT") == "1"

# %% [markdown]
# ## The series, and its split
#
# The key of the series has a digest of the file: when the file gains a month, everything behind it is made again, and
# nothing else. Models see log returns; whoever judges them sees rates. The last fifth of the days is for the judgement;
# of the days before, the last fifth is for the searches.

# %%
series_p = SeriesP.from_csv(
    DATA_DIR,
    RATES_CSV,
    target="rate",
    transform="log_return",
    start="2019-01-01" if SHORT else None,
    payload_name="eurusd",
)
split_p = SplitP(DATA_DIR, SplitParams.hold_out(test_size=0.2, validation_size=0.2), series_p=series_p)

# %% [markdown]
# ## Models
#
# A search for each family, and a model that is made of the best of its first trials. The baselines are models too.

# %%
study_ps: list[ForecastStudyP] = [
    LinearStudyP(DATA_DIR, series_p=series_p, split_p=split_p),
    ArimaStudyP(DATA_DIR, series_p=series_p, split_p=split_p),
]
model_ps: list[ModelP[Any]] = [
    BaselineP(DATA_DIR, series_p=series_p, split_p=split_p, payload_name="naive"),
    BaselineP(DATA_DIR, BaselineParams(kind="drift"), series_p=series_p, split_p=split_p, payload_name="drift"),
    LinearP(
        DATA_DIR,
        series_p=series_p,
        split_p=split_p,
        best_p=BestParamsP(study_ps[0], n_trials=10 if SHORT else 40),
        payload_name="linear",
    ),
    ArimaP(
        DATA_DIR,
        series_p=series_p,
        split_p=split_p,
        best_p=BestParamsP(study_ps[1], n_trials=4 if SHORT else 8),
        payload_name="arima",
    ),
]
if find_spec("torch") is None:
    print("torch is not installed: no LSTM. pip install 'persistable[torch]'\n")
else:
    lstm_params = LstmParams(epochs=15 if SHORT else 20)
    study_ps.append(
        LstmStudyP(DATA_DIR, LstmStudyP.default_params(model=lstm_params), series_p=series_p, split_p=split_p)
    )
    lstm_p = LstmP(
        DATA_DIR,
        lstm_params,
        series_p=series_p,
        split_p=split_p,
        best_p=BestParamsP(study_ps[2], n_trials=3 if SHORT else 8),
        payload_name="lstm",
    )
    model_ps.append(lstm_p)

# %% [markdown]
# ## Judgement
#
# Each day of the test rows is forecast from all days before it, by each model: on the same rows, or the ranking
# refuses. A difference within the noise is a tie, and then the simpler model wins.

# %%
evaluation_ps = [EvaluationP(DATA_DIR, model_p) for model_p in model_ps]
ranking_p = RankingP(DATA_DIR, evaluation_ps)

# %% [markdown]
# ## The next days
#
# The champion was fitted to the training rows. Told of the rows since then, it goes on from the last one, with its
# parameters as they are.


# %%
@dataclass
class NextDaysParams(PersistableParams):
    steps: int = 5
    coverage: float = 0.8


class NextDaysP(Persistable[pd.DataFrame, NextDaysParams]):
    def __init__(self, data_dir: Path, params: NextDaysParams, *, ranking_p: RankingP) -> None:
        super().__init__(data_dir, params, [ranking_p], payload_io=CsvFileIO())
        self.ranking_p = ranking_p

    def _generate_payload(self) -> pd.DataFrame:
        champion_p = self.ranking_p.champion_p
        champion = champion_p.forecaster.extended(champion_p.test_rows)
        return champion.forecast(self.params.steps, coverage=self.params.coverage)


next_days_p = NextDaysP(DATA_DIR, NextDaysParams(), ranking_p=ranking_p)

# %% [markdown]
# ## Pictures
#
# Artifacts like the others, so that matplotlib is imported only to make them.


# %%
@dataclass
class PictureParams(PersistableParams):
    dpi: int = untracked(default=100)


class PictureP(Persistable[bytes, PictureParams]):
    def __init__(self, data_dir: Path, *upstreams: Persistable[Any, Any]) -> None:
        super().__init__(data_dir, PictureParams(), upstreams, payload_io=BytesFileIO(), payload_file_suffix=".png")

    def _png(self, figure: Any) -> bytes:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=self.params.dpi)
        return buffer.getvalue()


class ForecastsPictureP(PictureP):
    """Actual rates, and what the champion said of each the day before."""

    def __init__(self, data_dir: Path, ranking_p: RankingP) -> None:
        super().__init__(data_dir, ranking_p)
        self.ranking_p = ranking_p

    def _generate_payload(self) -> bytes:
        from matplotlib.figure import Figure

        champion = self.ranking_p.champion_p
        evaluation_p = self.ranking_p.evaluations[champion.payload_name]
        figure = Figure(figsize=(10, 8), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[3, 2])
        evaluation_p.plot(last=120, ax=above)
        above.set_title(f"EUR/USD, one step ahead, by the champion: {champion.payload_name}")
        above.set_ylabel("USD per EUR")
        self.ranking_p.plot(ax=below)
        return self._png(figure)


class LossesPictureP(PictureP):
    """How the LSTM learnt."""

    def __init__(self, data_dir: Path, lstm_p: LstmP) -> None:
        super().__init__(data_dir, lstm_p)
        self.lstm_p = lstm_p

    def _generate_payload(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        self.lstm_p.plot_loss(ax=figure.subplots())
        return self._png(figure)


class HistoryPictureP(PictureP):
    """How the searches went, up to the trials that the models were chosen from."""

    def __init__(self, data_dir: Path, best_ps: Sequence[BestParamsP]) -> None:
        super().__init__(data_dir, *best_ps)
        self.best_ps = best_ps

    def _generate_payload(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        for axes, best_p in zip(figure.subplots(1, len(self.best_ps)), self.best_ps, strict=True):
            frame = best_p.study_p.to_frame().query("state == 'COMPLETE'")[: best_p.params.n_trials]
            axes.plot(frame["number"], frame["value"], "o", color="tab:gray")
            axes.plot(frame["number"], frame["value"].cummin(), color="tab:orange", label="best so far")
            axes.set_title(best_p.study_p.payload_name)
            axes.set_xlabel("trial")
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.axes[0].set_ylabel("RMSE on the validation rows")
        figure.axes[0].legend(frameon=False)
        return self._png(figure)


best_ps = [model_p.best_p for model_p in model_ps if model_p.best_p is not None]
pictures: list[Persistable[bytes, Any]] = [ForecastsPictureP(DATA_DIR, ranking_p), HistoryPictureP(DATA_DIR, best_ps)]
if find_spec("torch") is not None:
    pictures.append(LossesPictureP(DATA_DIR, lstm_p))

# %% [markdown]
# ## Run it
#
# Asking for the last would do. Here each is asked for in turn, to see how long that takes; beside it stands how long it
# took when it was made, which its manifest says. What is found is not opened before somebody needs what is in it. A
# search runs when its choice is asked for.

# %%
chain: list[Persistable[Any, Any]] = [series_p, split_p, *best_ps, *model_ps, *evaluation_ps, ranking_p]
chain += [next_days_p, *pictures]
started = time.perf_counter()
print(f"{'artifact':<24}{'key':<12}{'':<8}{'now':>12}{'when made':>14}")
for persistable in chain:
    clock = time.perf_counter()
    found = persistable.exists()
    if not found:
        persistable.load_generate()
    milliseconds = 1000 * (time.perf_counter() - clock)
    made = persistable.manifest.generated["seconds"]
    verb = "found" if found else "made"
    print(f"{persistable.payload_name:<24}{persistable.key[:8]:<12}{verb:<8}{milliseconds:>9.1f} ms{made:>12.3f} s")
print(f"{len(chain)} artifacts in {time.perf_counter() - started:.2f} s")

# %% [markdown]
# ## What came out

# %%
print(ranking_p.leaderboard())
for picture_p in pictures:
    print(f"Picture: {picture_p.persist_filepath / picture_p.manifest.payload['file']}")

print("\nThe next days:")
print(next_days_p.payload.to_string(float_format="{:.4f}".format))

# %% [markdown]
# ## Use it elsewhere
#
# `deployment.json` says which model it is, and where; whoever has the folder can load it, without this script.

# %%
print(f"\nDeployed: {ranking_p.deploy()}\n")
champion = load_champion(DATA_DIR)
print(champion.summary())

# %%
if "get_ipython" in globals():
    from IPython.display import Image, display

    for picture_p in pictures:
        display(Image(picture_p.payload))  # type: ignore[no-untyped-call]
