"""Stores to report on: a chain with sixty models over their params, and thousands of artifacts without payloads.

``make_models`` makes in a second what a picture of the page needs: data, its features, models of two kinds over params,
and the evaluation of each; one of the data sets is then made again with other content, so that something is outdated.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from persistable import LocalStore, Persistable, PersistableParams
from persistable.manifest import Manifest


@dataclass
class PricesParams(PersistableParams):
    market: str
    days: int


class Prices(Persistable[list[float], PricesParams]):
    version = "1"
    noise = 0.0

    def _generate_payload(self) -> list[float]:
        chance = random.Random(self.params.market)
        return [math.sin(day / 9) + chance.gauss(0, 0.2) + self.noise for day in range(self.params.days)]


@dataclass
class FeaturesParams(PersistableParams):
    window: int
    scale: str = "robust"


class Features(Persistable[list[float], FeaturesParams]):
    def _generate_payload(self) -> list[float]:
        prices = self.tracked_persistable_dependencies["prices"].payload
        window = self.params.window
        return [sum(prices[day - window : day]) / window for day in range(window, len(prices))]


@dataclass
class ModelParams(PersistableParams):
    kind: str
    alpha: float
    depth: int = 3


class Model(Persistable[dict[str, Any], ModelParams]):
    version = "2"

    def _generate_payload(self) -> dict[str, Any]:
        features = self.tracked_persistable_dependencies["features"].payload
        self.metrics = {"epochs": 10 * self.params.depth, "converged": self.params.alpha < 5}
        return {"mean": sum(features) / len(features)}


@dataclass
class EvaluationParams(PersistableParams):
    coverage: float = 0.95


class Evaluation(Persistable[dict[str, float], EvaluationParams]):
    def _generate_payload(self) -> dict[str, float]:
        model = self.tracked_persistable_dependencies["model"]
        model.payload  # noqa: B018 - so that the digest of what was used is recorded
        kind, alpha, depth = model.params.kind, model.params.alpha, model.params.depth
        best = {"ridge": 0.1, "lasso": 0.01}[kind]
        chance = random.Random(f"{kind} {alpha} {depth} {model.key}")
        rmse = 0.0046 * (1 + 0.12 * math.log10(alpha / best) ** 2 + 0.3 / depth + abs(chance.gauss(0, 0.04)))
        self.metrics = {"rmse": rmse, "mae": rmse * chance.uniform(0.7, 0.76), "rows": 401}
        self.tags = ["candidate"] if rmse < 0.0053 else []
        return {"rmse": rmse}


def make_models(folder: Path) -> LocalStore:
    """Make two data sets, their features, sixty models over params, and the evaluation of each."""
    store = LocalStore(folder, fsync=False)
    prices = [Prices(store, PricesParams(market, 600)) for market in ("EUR/USD", "EUR/GBP")]
    features = [Features(store, FeaturesParams(5), {"prices": of_market}) for of_market in prices]
    for kind in ("ridge", "lasso"):
        for number in range(10):
            for depth in (2, 3, 5):
                params = ModelParams(kind, round(0.001 * 10 ** (number * 0.4), 6), depth)
                model = Model(store, params, {"features": features[number % 2], "prices": prices[number % 2]})
                Evaluation(store, EvaluationParams(), {"model": model}).load_generate()
    Prices.noise = 0.1
    try:
        Prices(store, PricesParams("EUR/GBP", 600)).generate()  # again, with other content
    finally:
        Prices.noise = 0.0
    return store


class Odd(Persistable[None, PersistableParams]):
    def _generate_payload(self) -> None:
        self.tags = ["tagged"]


def make_odd(folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Make two artifacts with params of every kind; return their keys, and the readable params of the first."""
    values: dict[str, Any] = {
        "one": 1,
        "one_point_zero": 1.0,
        "small": 1e-05,
        "minus": -0.0,
        "text": "it is",
        "quotes": 'it\'s "so"\n',
        "digits": "1",
        "flag": True,
        "none": None,
        "nan": math.nan,
        "inf": math.inf,
        "large": 2**60,
        "great": 1e22,
        "tenth": 0.1,
        "lags": (1, 2.0),
        "single": (1,),
        "list": [1, "a", None, True, 1e-07],
        "chosen": {1, 2},
        "path": Path("a/b"),
        "array": np.array([1.0, 2.5]),
        "float32": np.float32(0.1),
        "class_": int,
        "empty": {},
    }
    keys = []
    for lags in ((1, 2.0), (3,)):
        of_these = make_dataclass("Params", values, bases=(PersistableParams,), eq=False)
        odd = Odd(LocalStore(folder, fsync=False), of_these(**values | {"lags": lags}), payload_name="odd")
        odd.load_generate()
        keys.append(str(odd.key))
    return keys, readable_of(folder, keys[0])


def readable_of(folder: Path, key: str) -> dict[str, Any]:
    return dict(Manifest.parse((folder / "odd" / key / "manifest.json").read_bytes()).params)


def make_many(folder: Path, count: int) -> None:
    """Write the manifests of `count` artifacts: one data set in a hundred, and models of it; no payloads."""
    data_key, data_digest = "", ""
    for number in range(count):
        is_data = number % 100 == 0
        name = "data" if is_data else "model"
        key = hashlib.sha256(str(number).encode()).hexdigest()[:32]
        digest = f"xxh3:{key}"
        if is_data:
            data_key, data_digest = key, digest
        manifest = Manifest.compose(
            {
                "key": key,
                "payload_name": name,
                "version": "1",
                "code": [None, None],
                "payload": {
                    "file": f"payload.{key[:8]}.pickle",
                    "format": "pickle",
                    "format_version": 1,
                    "size": 1000 + number * 7,
                    "digest": digest,
                    "files": None,
                    "type": "builtins.dict",
                    "summary": "dict of 12",
                },
            },
            {
                "params": {"n": number, "source": f"/data/{number}.csv"}
                if is_data
                else {
                    "alpha": 0.001 * 1.0005**number,
                    "seed": number % 13,
                    "kind": ["ridge", "lasso", "tree"][number % 3],
                    "layers": {"$tuple": [16, number % 5]},
                    "optimizer": {"$Adam": {"rate": 0.01 * (number % 7 + 1), "betas": [0.9, 0.999]}},
                },
                "dependencies": {}
                if is_data
                else {"data": {"payload_name": "data", "key": data_key, "digest": data_digest}},
                "generated": {
                    "at": f"2026-{1 + number % 12:02}-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00+00:00",
                    "seconds": number / 1000,
                    "host": f"node{number % 4}",
                    "user": ["ada", "grace", "emmy"][number % 3],
                    "pid": number,
                    "python": "3.11.7",
                    "packages": {"numpy": "2.1.0", "pandas": "3.0.0", "persistable": "2.0.0"},
                    "git": {"commit": hashlib.sha256(str(number // 500).encode()).hexdigest()[:40], "dirty": False},
                    "class": f"study.{name}",
                },
                "code": {},
                "metrics": {}
                if is_data
                else {
                    "rmse": 0.01 + math.sin(number) / 200,
                    "mae": 0.007 + math.cos(number) / 300,
                    "epochs": number % 50,
                },
                "tags": ["best"] if number % 997 == 0 else [],
            },
        )
        place = folder / name / key
        place.mkdir(parents=True)
        (place / "manifest.json").write_bytes(manifest.data)
