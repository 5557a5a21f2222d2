# %% [markdown]
# # How large will tomorrow's move be? A search that can go on
#
# Whether the euro rises or falls tomorrow, nobody can tell from its past (see `02_eurusd`). How *far* it moves can be
# told, a little: calm days follow calm days. A ridge regression on the moves of the days before has to be told how
# many days to look at, how fast to forget, and how much to shrink. Optuna searches for that, and the study is an
# artifact: run this twice, and the second time nothing is searched.

# %%
from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray

from persistable import (
    BytesFileIO,
    CsvFileIO,
    InvalidPayloadError,
    JsonFileIO,
    PartsFileIO,
    Persistable,
    PersistableParams,
    content_digest,
    untracked,
)
from persistable.studies import BestParamsP, Categorical, Float, Int, Pruner, StudyP, StudyParams

HERE = Path.cwd()  # the repository's root, or a folder in it: Jupyter starts in that of the notebook
ROOT = next((folder for folder in (HERE, *HERE.parents) if (folder / "example-data").is_dir()), HERE)
DATA_DIR = Path(os.environ.get("PERSISTABLE_EXAMPLE_DIR", ROOT / "example-data"))
RATES_CSV = ROOT / "example-data" / "eurusd.csv"

# %% [markdown]
# ## The series, and a split
#
# `RatesP` is that of `02_eurusd`, to the letter, and so is its artifact: whoever has run that has the rates already.
# The last fifth of the days is for the test, the fifth before it for the search.


# %%
@dataclass
class RatesParams(PersistableParams):
    content: str
    csv: Path = untracked(default=RATES_CSV)


class RatesP(Persistable[pd.DataFrame, RatesParams]):
    def _generate_payload(self) -> pd.DataFrame:
        return pd.read_csv(self.params.csv, parse_dates=["date"], index_col="date")

    def _validate_payload(self, payload: pd.DataFrame) -> None:
        if not payload.index.is_monotonic_increasing or payload["rate"].isna().any():
            raise InvalidPayloadError("Rates must be in order of time, and complete.")


@dataclass
class MovesParams(PersistableParams):
    validation_share: float = 0.2
    test_share: float = 0.2


class MovesP(Persistable[Mapping[str, pd.DataFrame], MovesParams]):
    """How far the rate moved from one day to the next, up or down, in percent: three parts, in order of time."""

    def __init__(self, data_dir: Path, params: MovesParams, *, rates_p: RatesP) -> None:
        parts = PartsFileIO({"train": CsvFileIO(), "validation": CsvFileIO(), "test": CsvFileIO()})
        super().__init__(data_dir, params, [rates_p], payload_io=parts)
        self.rates_p = rates_p

    def _generate_payload(self) -> Mapping[str, pd.DataFrame]:
        rates = self.rates_p.payload["rate"]
        moves = 100 * (rates / rates.shift(1) - 1).abs().dropna().to_frame("move")
        test = round(len(moves) * (1 - self.params.test_share))
        validation = round(len(moves) * (1 - self.params.test_share - self.params.validation_share))
        return {"train": moves[:validation], "validation": moves[validation:test], "test": moves[test:]}


rates_p = RatesP(DATA_DIR, RatesParams(content_digest(RATES_CSV)), payload_io=CsvFileIO())
moves_p = MovesP(DATA_DIR, MovesParams(), rates_p=rates_p)

# %% [markdown]
# ## The model
#
# A ridge regression in a few lines of numpy. Old days count less: half as much for every `half_life` days.

# %%
Array = NDArray[np.float64]
INPUTS = {"root": np.sqrt, "move": np.positive, "square": np.square}


def windows(moves: Array, lags: int, inputs: str) -> Array:
    """Return a row for each day that has `lags` days before it, and for the day after the last: those moves."""
    rows: Array = np.lib.stride_tricks.sliding_window_view(INPUTS[inputs](moves), lags)
    return rows


def fit(moves: Array, *, alpha: float, half_life: float, inputs: str, lags: int) -> tuple[float, Array]:
    """Return the intercept and the coefficients."""
    features, targets = windows(moves, lags, inputs)[:-1], moves[lags:]
    weights = 0.5 ** (np.arange(len(targets))[::-1] / half_life)
    weights /= weights.sum()
    mean, target_mean = weights @ features, weights @ targets
    scale = np.sqrt(weights @ (features - mean) ** 2)
    scaled = (features - mean) / scale
    covariance = (scaled * weights[:, None]).T @ scaled
    coefficients = np.linalg.solve(covariance + alpha * np.eye(lags), (scaled * weights[:, None]).T @ targets) / scale
    return float(target_mean - mean @ coefficients), coefficients


def errors(before: Array, after: Array, model: tuple[float, Array], inputs: str) -> Array:
    """Return what the model is off by on the days `after`, each forecast from the days before it."""
    intercept, coefficients = model
    lags = len(coefficients)
    features = windows(np.concatenate([before[-lags:], after]), lags, inputs)[:-1]
    difference: Array = after - (intercept + features @ coefficients)
    return difference


def rmse(difference: Array) -> float:
    return float(np.sqrt((difference**2).mean()))


# %% [markdown]
# ## The study
#
# `_objective` says what a trial is worth. Here: three times, the model is fitted to the days so far, and forecasts the
# next third of the validation days. The error so far is reported after each; what is among the worst quarter at that
# point is pruned.


# %%
class RidgeStudyP(StudyP[StudyParams]):
    def __init__(self, data_dir: Path, params: StudyParams, *, moves_p: MovesP) -> None:
        super().__init__(data_dir, params, [moves_p])
        self.moves_p = moves_p

    def _objective(self, trial: optuna.Trial) -> float:
        moves = self.moves_p.payload
        before, difference = moves["train"]["move"].to_numpy(), np.empty(0)
        for step, after in enumerate(np.array_split(moves["validation"]["move"].to_numpy(), 3)):
            model = fit(before, **trial.params)
            difference = np.concatenate([difference, errors(before, after, model, trial.params["inputs"])])
            before = np.concatenate([before, after])
            trial.report(rmse(difference), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return rmse(difference)


params = StudyParams(
    search_space={
        "alpha": Float(1e-3, 1e2, log=True),
        "half_life": Float(100, 10_000, log=True),
        "inputs": Categorical(list(INPUTS)),
        "lags": Int(1, 60),
    },
    pruner=Pruner("PercentilePruner", percentile=75),
    seed=0,
    enqueued=[{"alpha": 1e-3, "half_life": 10_000, "inputs": "move", "lags": 5}],  # what one would have taken
)
study_p = RidgeStudyP(DATA_DIR, params, moves_p=moves_p)

# %% [markdown]
# ## The model that is made of its result
#
# It depends on the best of the first 20 trials. That is not the same as "the best so far": what was chosen stays, when
# the study grows.


# %%
@dataclass
class RidgeParams(PersistableParams):
    pass


class RidgeP(Persistable[dict[str, Any], RidgeParams]):
    def __init__(self, data_dir: Path, *, best_p: BestParamsP, moves_p: MovesP) -> None:
        upstreams: dict[str, Persistable[Any, Any]] = {"best": best_p, "moves": moves_p}
        super().__init__(data_dir, RidgeParams(), upstreams, payload_io=JsonFileIO())
        self.best_p = best_p
        self.moves_p = moves_p

    def _generate_payload(self) -> dict[str, Any]:
        best: dict[str, Any] = self.best_p.payload
        train, validation, test = (part["move"].to_numpy() for part in self.moves_p.payload.values())
        before = np.concatenate([train, validation])
        intercept, coefficients = fit(before, **best)
        self.metrics["rmse"] = rmse(errors(before, test, (intercept, coefficients), best["inputs"]))
        self.metrics["rmse_mean"] = rmse(test - before.mean())
        return {"inputs": best["inputs"], "intercept": intercept, "coefficients": coefficients.tolist()}


best_p = BestParamsP(study_p, n_trials=20)
ridge_p = RidgeP(DATA_DIR, best_p=best_p, moves_p=moves_p)

# %% [markdown]
# ## Twenty trials
#
# `n_trials` says how many complete trials there are to be in all. Interrupt it when you like, and run it again: it goes
# on where it stood.


# %%
def show(persistable: Persistable[Any, Any], **asked: Any) -> None:
    verb = "found" if persistable.exists() else "made"
    clock = time.perf_counter()
    persistable.load_generate(**asked)
    milliseconds = 1000 * (time.perf_counter() - clock)
    print(f"{persistable.payload_name:<20}{persistable.key[:8]:<12}{verb:<8}{milliseconds:>9.1f}")


print(f"{'artifact':<20}{'key':<12}{'':<8}{'ms':>9}")
show(rates_p)
show(moves_p)
show(study_p, n_trials=20)
show(best_p)
show(ridge_p)

# %% [markdown]
# ## Twenty more
#
# The study goes on under its key, and draws what it would have drawn if 40 had been asked for at once. The model on the
# best of the first 20 is found; one on the best of 40 is another artifact.

# %%
before = study_p.manifest.metrics["n_complete"]
study = study_p.load_generate(n_trials=40)
after = study_p.manifest.metrics["n_complete"]
print(f"complete trials: {before} before, {after} now")

best_of_40_p = BestParamsP(study_p, n_trials=40)
ridge_of_40_p = RidgeP(DATA_DIR, best_p=best_of_40_p, moves_p=moves_p)
show(best_p)
show(ridge_p)
show(best_of_40_p)
show(ridge_of_40_p)

# %% [markdown]
# ## What came out

# %%
frame = study_p.to_frame()
print(frame.drop(columns="seconds").head(8).to_string(index=False), "\n")
print(frame["state"].value_counts().to_dict(), "\n")

test = moves_p.payload["test"].index
print(f"{len(test)} test rows, {test[0]:%Y-%m-%d} to {test[-1]:%Y-%m-%d}")
print(f"{'forecast of the move, in %':<28}{'trial':>6}{'RMSE':>10}")
print(f"{'the mean of all moves':<28}{'':>6}{ridge_p.manifest.metrics['rmse_mean']:>10.5f}")
for name, best, ridge in [("best of 20", best_p, ridge_p), ("best of 40", best_of_40_p, ridge_of_40_p)]:
    trial = best.manifest.metrics["trial"]
    print(f"{f'ridge, {name}':<28}{trial:>6}{ridge.manifest.metrics['rmse']:>10.5f}")
print("\nBest of 40:", best_of_40_p.payload)

# %% [markdown]
# ## A picture
#
# How many trials there are is not in a study's key, so whoever depends on that says it: in `BestParamsP(n_trials=…)`,
# or, as here, in params of their own.


# %%
@dataclass
class HistoryParams(PersistableParams):
    n_trials: int
    dpi: int = untracked(default=100)


class HistoryP(Persistable[bytes, HistoryParams]):
    def __init__(self, data_dir: Path, params: HistoryParams, *, study_p: RidgeStudyP) -> None:
        super().__init__(data_dir, params, [study_p], payload_io=BytesFileIO(), payload_file_suffix=".png")
        self.study_p = study_p

    def _generate_payload(self) -> bytes:
        from matplotlib import pyplot as plt

        self.study_p.load_generate(n_trials=self.params.n_trials)
        axes = self.study_p.plot_history(backend="matplotlib")
        buffer = io.BytesIO()
        axes.figure.set_size_inches(10, 5)
        axes.figure.savefig(buffer, format="png", dpi=self.params.dpi, bbox_inches="tight")
        plt.close(axes.figure)
        return buffer.getvalue()


history_p = HistoryP(DATA_DIR, HistoryParams(n_trials=40), study_p=study_p)
history_p.load_generate()
print(f"Picture: {history_p.persist_filepath / history_p.manifest.payload['file']}")
print(f"To look around, also while it runs: optuna-dashboard {study_p.storage_url}")

# %%
if "get_ipython" in globals():
    from IPython.display import Image, display

    display(study_p)  # type: ignore[no-untyped-call]
    display(Image(history_p.payload))  # type: ignore[no-untyped-call]
