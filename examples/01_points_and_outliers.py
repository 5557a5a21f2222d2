# %% [markdown]
# # Points and outliers
#
# Two artifacts: some random points, and an outlier estimator that is fitted on them. Each is made once, kept under
# a key that follows from its params (and those of everything upstream), and found again from then on.

# %%
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from persistable import InvalidPayloadError, Persistable, PersistableParams

here = Path.cwd()  # the repository's root, or a folder in it: Jupyter starts in that of the notebook
root = next((folder for folder in (here, *here.parents) if (folder / "example-data").is_dir()), here)
data_dir = Path(os.environ.get("PERSISTABLE_EXAMPLE_DIR", root / "example-data"))

# %% [markdown]
# ## The points
#
# Params are a dataclass. The persistable says how the payload is made from them, and what a valid one is.


# %%
@dataclass
class GaussianDistributedPointsParams(PersistableParams):
    n: int
    random_state: int = 100


class GaussianDistributedPointsP(Persistable[NDArray[np.float64], GaussianDistributedPointsParams]):
    def _generate_payload(self, **untracked_payload_params: Any) -> NDArray[np.float64]:
        np.random.seed(self.params.random_state)
        return np.random.random(self.params.n)

    def _validate_payload(self, payload: NDArray[np.float64]) -> None:
        if payload.ndim != 1:
            raise InvalidPayloadError("Payload must be a 1-D array.")


points_p = GaussianDistributedPointsP(
    data_dir=data_dir,
    params=GaussianDistributedPointsParams(n=100, random_state=10),
    tracked_persistable_dependencies=None,
)
points_p.generate()  # make and persist
print(f"first point {points_p.payload[0]}")

# %% [markdown]
# ## An estimator that depends on them
#
# The points are a *tracked dependency*: with other points, the estimator has another key.


# %%
@dataclass
class OutlierEstimatorParams(PersistableParams):
    z_threshold: float


@dataclass
class OutlierEstimator:
    mean: float
    standard_deviation: float
    z_threshold: float

    def is_outlier(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.abs(values - self.mean) > self.z_threshold * self.standard_deviation


class OutlierEstimatorP(Persistable[OutlierEstimator, OutlierEstimatorParams]):
    def __init__(
        self, data_dir: Path, params: OutlierEstimatorParams, *, data_points_p: GaussianDistributedPointsP
    ) -> None:
        super().__init__(data_dir, params, tracked_persistable_dependencies=[data_points_p], verbose=True)
        self.data_points_p = data_points_p

    def _generate_payload(self, **untracked_payload_params: Any) -> OutlierEstimator:
        points = self.data_points_p.payload
        self.logger.info("Fitting on %d points.", len(points))
        return OutlierEstimator(float(points.mean()), float(points.std()), self.params.z_threshold)


estimator_p = OutlierEstimatorP(data_dir, OutlierEstimatorParams(z_threshold=2), data_points_p=points_p)
estimator = estimator_p.load_generate()
print(f"fitted mean {estimator.mean}, standard deviation {estimator.standard_deviation}")

# %% [markdown]
# ## What was kept
#
# The params tree is what the key is made of. Another object with the same tree has the same key, in any process, on
# any machine.

# %%
print(estimator_p.params_tree)
again_p = OutlierEstimatorP(data_dir, OutlierEstimatorParams(z_threshold=2), data_points_p=points_p)
print(again_p.key == estimator_p.key, again_p.load() == estimator)
print(estimator.is_outlier(np.array([0.5, 1.2])))
