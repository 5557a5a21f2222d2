# %% [markdown]
# # Which of these is the one with the old data?
#
# Sixty-four fits of one series, made from a grid of params. Then the questions that a folder of hashes cannot answer:
# which is best, what sets two of them apart, why is this one made again, what was it made from, and what hangs on data
# that has changed since?

# %%
from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from persistable import (
    Catalog,
    CsvFileIO,
    JsonFileIO,
    Persistable,
    PersistableParams,
    content_digest,
    diff,
    untracked,
    write_report,
)

HERE = Path.cwd()  # the repository's root, or a folder in it: Jupyter starts in that of the notebook
ROOT = next((folder for folder in (HERE, *HERE.parents) if (folder / "example-data").is_dir()), HERE)
FOLDER = Path(os.environ.get("PERSISTABLE_EXAMPLE_DIR", ROOT / "example-data")) / "co2-fits"
DATA_DIR = FOLDER / "artifacts"
CO2_CSV = ROOT / "example-data" / "co2.csv"

# %% [markdown]
# ## The series, and a fit
#
# A polynomial for the trend, sines and cosines for the seasons, and a penalty on large coefficients. What is worth
# comparing goes to `self.metrics`.


# %%
@dataclass
class Co2Params(PersistableParams):
    content: str
    start: str = "1970-01-01"
    csv: Path = untracked(default=CO2_CSV)


class Co2P(Persistable[pd.DataFrame, Co2Params]):
    def _generate_payload(self) -> pd.DataFrame:
        table = pd.read_csv(self.params.csv, parse_dates=["date"], index_col="date")
        return table.loc[self.params.start :]


@dataclass
class FitParams(PersistableParams):
    degree: int = 2
    harmonics: int = 2
    alpha: float = 0.01
    test_months: int = 36


class FitP(Persistable[dict[str, Any], FitParams]):
    def __init__(self, data_dir: Path, params: FitParams, *, co2_p: Co2P) -> None:
        super().__init__(data_dir, params, {"co2": co2_p}, payload_io=JsonFileIO())
        self.co2_p = co2_p

    def _generate_payload(self) -> dict[str, Any]:
        table = self.co2_p.payload
        design, ppm = self._design_matrix(table), table["ppm"].to_numpy()
        known = len(ppm) - self.params.test_months
        penalty = self.params.alpha * np.diag([0.0] + [1.0] * (design.shape[1] - 1))  # none on the level
        coefficients = np.linalg.solve(design[:known].T @ design[:known] + penalty, design[:known].T @ ppm[:known])
        errors = design @ coefficients - ppm
        self.metrics["rmse"] = math.sqrt(np.mean(errors[known:] ** 2))
        self.metrics["rmse_train"] = math.sqrt(np.mean(errors[:known] ** 2))
        return {"coefficients": coefficients.tolist(), "rows": known}

    def _design_matrix(self, table: pd.DataFrame) -> NDArray[np.float64]:
        years = ((pd.DatetimeIndex(table.index) - pd.Timestamp("1990-01-01")) / pd.Timedelta(days=365.25)).to_numpy()
        trend = [(years / 20) ** power for power in range(self.params.degree + 1)]
        waves = [2 * np.pi * wave * years for wave in range(1, self.params.harmonics + 1)]
        return np.column_stack([*trend, *map(np.sin, waves), *map(np.cos, waves)])


co2_p = Co2P(DATA_DIR, Co2Params(content_digest(CO2_CSV)), payload_io=CsvFileIO())
for degree, harmonics, alpha in product((1, 2, 3, 4), (0, 1, 2, 3), (0.01, 0.1, 1.0, 10.0)):
    FitP(DATA_DIR, FitParams(degree, harmonics, alpha), co2_p=co2_p).load_generate()

# %% [markdown]
# ## What is there
#
# A catalogue reads manifests only: no payload is loaded, and nothing is unpickled.

# %%
catalog = Catalog(DATA_DIR)
best = catalog.find("fit_p", where="params.degree <= 2 and metrics.rmse < 1.5", sort="metrics.rmse", limit=5)
frame = best.to_frame()
print(f"{best.total} fits of at most degree 2 are within 1.5 ppm, the best of them:\n")
print(frame[["params.degree", "params.harmonics", "params.alpha", "metrics.rmse", "metrics.rmse_train"]].to_string())

# %% [markdown]
# ## What sets two of them apart

# %%
first, second = best[0], best[1]
print(catalog.compare([first.key, second.key]))

# %% [markdown]
# ## Why is this one not there?
#
# `explain()` says what `load_generate()` would do, and why, in the names of the params.

# %%
later_p = Co2P(DATA_DIR, Co2Params(content_digest(CO2_CSV), start="1980-01-01"), payload_io=CsvFileIO())
fit_p = FitP(DATA_DIR, FitParams(degree=2, harmonics=3), co2_p=later_p)
explanation = fit_p.explain()
print(explanation.state)
for near in explanation.nearest[:1]:
    print(*near.differences, sep="\n")

# %%
older_p = FitP(DATA_DIR, FitParams(degree=2, harmonics=3), co2_p=co2_p)
fit_p.load_generate()
print(diff(older_p, fit_p))

# %% [markdown]
# ## What was it made from?

# %%
lineage = fit_p.lineage()
if "get_ipython" in globals():
    from IPython.display import display

    display(lineage)  # type: ignore[no-untyped-call]
else:
    print(lineage)

# %% [markdown]
# ## All of it as a page
#
# One file, that works from a drive without a server: a table to search and to sort, the lineage to click through,
# comparisons, and plots of metrics over params.

# %%
page = write_report(DATA_DIR, FOLDER / "report.html", title="Fits of the CO2 series")
print(f"{page.name}: {len(catalog)} artifacts")
