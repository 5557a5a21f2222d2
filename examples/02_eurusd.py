# %% [markdown]
# # Does yesterday's EUR/USD say anything about today's?
#
# A chain of artifacts on real data, the ECB's daily reference rates: the series, log returns and their lags, a split,
# a linear model, its evaluation against the naive forecast, and a picture. Run it twice: the second time everything
# is found, and nothing is made.

# %%
from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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

HERE = Path.cwd()  # the repository's root, or a folder in it: Jupyter starts in that of the notebook
ROOT = next((folder for folder in (HERE, *HERE.parents) if (folder / "example-data").is_dir()), HERE)
DATA_DIR = Path(os.environ.get("PERSISTABLE_EXAMPLE_DIR", ROOT / "example-data"))
RATES_CSV = ROOT / "example-data" / "eurusd.csv"

# %% [markdown]
# ## The series
#
# Where the file lies does not matter, what is in it does: the path is untracked, and the digest of the content is a
# param. When the file gains a month, everything downstream has a new key.


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


rates_p = RatesP(DATA_DIR, RatesParams(content_digest(RATES_CSV)), payload_io=CsvFileIO())

# %% [markdown]
# ## Features and split
#
# The target is the log return of a day; the features are the returns of the five days before.


# %%
@dataclass
class FeaturesParams(PersistableParams):
    lags: int = 5


class FeaturesP(Persistable[pd.DataFrame, FeaturesParams]):
    def __init__(self, data_dir: Path, params: FeaturesParams, *, rates_p: RatesP) -> None:
        super().__init__(data_dir, params, [rates_p], payload_io=CsvFileIO())
        self.rates_p = rates_p

    def _generate_payload(self) -> pd.DataFrame:
        rates = self.rates_p.payload["rate"]
        returns = pd.Series(np.log(rates / rates.shift(1)), index=rates.index)
        lags = {f"lag_{lag}": returns.shift(lag) for lag in range(1, self.params.lags + 1)}
        return pd.DataFrame({"rate": rates, "previous_rate": rates.shift(1), "target": returns, **lags}).dropna()


@dataclass
class SplitParams(PersistableParams):
    test_share: float = 0.2


class SplitP(Persistable[Mapping[str, pd.DataFrame], SplitParams]):
    def __init__(self, data_dir: Path, params: SplitParams, *, features_p: FeaturesP) -> None:
        parts = PartsFileIO({"train": CsvFileIO(), "test": CsvFileIO()})
        super().__init__(data_dir, params, [features_p], payload_io=parts)
        self.features_p = features_p

    def _generate_payload(self) -> Mapping[str, pd.DataFrame]:
        features = self.features_p.payload
        first_test_row = round(len(features) * (1 - self.params.test_share))
        return {"train": features.iloc[:first_test_row], "test": features.iloc[first_test_row:]}


# %% [markdown]
# ## A linear model, by least squares
#
# Its payload is a few numbers, so it is kept as JSON: people can read it, and loading it runs no code.


# %%
@dataclass
class LinearParams(PersistableParams):
    intercept: bool = True


class LinearP(Persistable[dict[str, Any], LinearParams]):
    def __init__(self, data_dir: Path, params: LinearParams, *, split_p: SplitP) -> None:
        super().__init__(data_dir, params, [split_p], payload_io=JsonFileIO())
        self.split_p = split_p

    def _generate_payload(self) -> dict[str, Any]:
        train = self.split_p.payload["train"]
        design = design_matrix(train, self.params.intercept)
        coefficients, *_ = np.linalg.lstsq(design.to_numpy(), train["target"].to_numpy(), rcond=None)
        return {"coefficients": dict(zip(design.columns, coefficients.tolist(), strict=True)), "rows": len(train)}


def design_matrix(features: pd.DataFrame, intercept: bool) -> pd.DataFrame:
    lags = features.filter(like="lag_")
    return lags.assign(intercept=1.0) if intercept else lags


# %% [markdown]
# ## Evaluation
#
# One step ahead, on the last fifth of the days: the rate that the model expects is yesterday's, moved by the return
# that it predicts. The naive forecast is yesterday's rate as it was.


# %%
@dataclass
class EvaluationParams(PersistableParams):
    pass


class EvaluationP(Persistable[pd.DataFrame, EvaluationParams]):
    def __init__(self, data_dir: Path, *, linear_p: LinearP, split_p: SplitP) -> None:
        upstreams: dict[str, Persistable[Any, Any]] = {"model": linear_p, "split": split_p}
        super().__init__(data_dir, EvaluationParams(), upstreams, payload_io=CsvFileIO())
        self.linear_p = linear_p
        self.split_p = split_p

    def _generate_payload(self) -> pd.DataFrame:
        test = self.split_p.payload["test"]
        coefficients = pd.Series(self.linear_p.payload["coefficients"])
        design = design_matrix(test, "intercept" in coefficients.index)
        linear = test["previous_rate"] * np.exp(design @ coefficients[design.columns])
        forecasts = pd.DataFrame({"rate": test["rate"], "naive": test["previous_rate"], "linear": linear})
        for model in ("naive", "linear"):
            self.metrics[f"rmse_{model}"] = math.sqrt(((forecasts[model] - forecasts["rate"]) ** 2).mean())
            self.metrics[f"mae_{model}"] = float((forecasts[model] - forecasts["rate"]).abs().mean())
        return forecasts


# %% [markdown]
# ## A picture
#
# An artifact like the others, in a format of bytes: as long as it is found, matplotlib is not even imported.


# %%
@dataclass
class PictureParams(PersistableParams):
    days: int = 120
    dpi: int = untracked(default=100)


class PictureP(Persistable[bytes, PictureParams]):
    def __init__(self, data_dir: Path, params: PictureParams, *, evaluation_p: EvaluationP) -> None:
        super().__init__(data_dir, params, [evaluation_p], payload_io=BytesFileIO(), payload_file_suffix=".png")
        self.evaluation_p = evaluation_p

    def _generate_payload(self) -> bytes:
        from matplotlib.figure import Figure

        forecasts = self.evaluation_p.payload
        last = forecasts.iloc[-self.params.days :]
        figure = Figure(figsize=(10, 6.5), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[3, 2])
        above.plot(last.index, last["rate"], color="black", linewidth=1.5, label="rate")
        above.plot(last.index, last["linear"], color="tab:orange", linewidth=1, label="linear, one step ahead")
        above.set_title(f"EUR/USD, the last {len(last)} days of the test rows")
        above.set_ylabel("USD per EUR")
        above.legend(frameon=False)
        squares = forecasts[["naive", "linear"]].sub(forecasts["rate"], axis="index") ** 2
        rolling = squares.rolling(250).mean() ** 0.5
        below.plot(rolling.index, rolling["linear"] / rolling["naive"], color="tab:orange", linewidth=1)
        below.axhline(1.0, color="tab:gray", linewidth=1)
        below.set_title("RMSE over 250 days, all test rows: linear relative to naive (below 1 is better)")
        below.set_ylabel("ratio")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=self.params.dpi)
        return buffer.getvalue()


# %% [markdown]
# ## Run it
#
# Each artifact says whether it was made or found, and how long that took.

# %%
features_p = FeaturesP(DATA_DIR, FeaturesParams(), rates_p=rates_p)
split_p = SplitP(DATA_DIR, SplitParams(), features_p=features_p)
linear_p = LinearP(DATA_DIR, LinearParams(), split_p=split_p)
evaluation_p = EvaluationP(DATA_DIR, linear_p=linear_p, split_p=split_p)
picture_p = PictureP(DATA_DIR, PictureParams(), evaluation_p=evaluation_p)

print(f"{'artifact':<14}{'key':<12}{'':<8}{'ms':>9}")
chain: list[Persistable[Any, Any]] = [rates_p, features_p, split_p, linear_p, evaluation_p, picture_p]
for persistable in chain:
    verb = "found" if persistable.exists() else "made"
    clock = time.perf_counter()
    persistable.load_generate()
    milliseconds = 1000 * (time.perf_counter() - clock)
    print(f"{persistable.payload_name:<14}{persistable.key[:8]:<12}{verb:<8}{milliseconds:>9.1f}")

# %% [markdown]
# ## What came out

# %%
metrics = evaluation_p.manifest.metrics
test = evaluation_p.payload.index
print(f"{len(test)} test rows, {test[0]:%Y-%m-%d} to {test[-1]:%Y-%m-%d}\n")
print(f"{'model':<10}{'RMSE':>10}{'MAE':>10}")
for model in ("naive", "linear"):
    print(f"{model:<10}{metrics[f'rmse_{model}']:>10.6f}{metrics[f'mae_{model}']:>10.6f}")
gap = metrics["rmse_linear"] / metrics["rmse_naive"] - 1
print(f"\nThe linear model's RMSE is {abs(gap):.2%} {'above' if gap > 0 else 'below'} the naive forecast's.")
print(f"Picture: {picture_p.persist_filepath / picture_p.manifest.payload['file']}")

# %%
if "get_ipython" in globals():
    from IPython.display import Image, display

    display(Image(picture_p.payload))  # type: ignore[no-untyped-call]
