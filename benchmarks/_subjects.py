"""What is measured, and the raw floor that it is measured against.

The floor is what one writes in five lines when there is no library: sorted JSON and SHA-256 for the key, ``open``,
``pickle.load``. It verifies nothing, records nothing, and tells ``1`` from ``True`` by luck. Of a graph it hashes
every node once, from its own params and the digests of its upstreams, just as persistable does.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from persistable import Persistable, PersistableParams, Store

__all__ = ["Points", "PointsParams", "chain", "ladder", "load_pickle", "points", "raw_chain", "raw_key", "raw_ladder"]

Array = NDArray[np.float64]

_GRID = {f"k{i}": i * 0.37 for i in range(10)}


@dataclass
class PointsParams(PersistableParams):
    """Five scalars, and a dict of ten floats."""

    seed: int
    name: str
    alpha: float
    flag: bool
    n: int
    grid: dict[str, float]


class Points(Persistable[Array, PointsParams]):
    """An array of random numbers."""

    def _generate_payload(self, **untracked_payload_params: Any) -> Array:
        return np.random.default_rng(self.params.seed).random(self.params.n)


def points(
    data_dir: Path | Store, seed: int = 42, upstreams: Mapping[str, Points] | None = None, n: int = 1000
) -> Points:
    """Return a new persistable of new params."""
    return Points(data_dir, PointsParams(seed, "abc", 0.5, True, n, _GRID), upstreams)


def chain(data_dir: Path, nodes: int) -> Points:
    """Return the end of a new chain."""
    end = points(data_dir, 0)
    for seed in range(1, nodes):
        end = points(data_dir, seed, {"up": end})
    return end


def ladder(data_dir: Path, layers: int) -> Points:
    """Return one end of a new ladder: two nodes a layer, each on both nodes of the layer before."""
    left, right = points(data_dir, 0), points(data_dir, 1)
    for layer in range(1, layers):
        both = {"left": left, "right": right}
        left, right = points(data_dir, 2 * layer, both), points(data_dir, 2 * layer + 1, both)
    return left


def raw_key(seed: int = 42, upstreams: Mapping[str, str] | None = None) -> str:
    """Return the key of the same params, as one makes it without a library."""
    params: dict[str, Any] = {"seed": seed, "name": "abc", "alpha": 0.5, "flag": True, "n": 1000, "grid": _GRID}
    node = params if upstreams is None else {"params": params, "upstreams": upstreams}
    return sha256(json.dumps(node, sort_keys=True).encode()).hexdigest()


def raw_chain(nodes: int) -> str:
    """Return the key of the end of a chain, without a library."""
    end = raw_key(0)
    for seed in range(1, nodes):
        end = raw_key(seed, {"up": end})
    return end


def raw_ladder(layers: int) -> str:
    """Return the key of one end of a ladder, without a library."""
    left, right = raw_key(0), raw_key(1)
    for layer in range(1, layers):
        both = {"left": left, "right": right}
        left, right = raw_key(2 * layer, both), raw_key(2 * layer + 1, both)
    return left


def load_pickle(path: str | Path) -> Any:
    """Return what is in a pickle file, the plain way."""
    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301 - our own file of a moment ago
