"""What a key costs where params are large: arrays, tables, long dicts."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Iterator
from hashlib import sha256
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from persistable.keys import fingerprint

from ._measure import Bench, Row, case, interleave, spread

_MB = 1_000_000


def _key(params: Any) -> str:
    return fingerprint("points", None, params, {})


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Pin this thread, and those that it starts, to one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _on_one_core(params: Any) -> str:
    with _one_core():
        return _key(params)


def _array(bench: Bench) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(0).random(bench.size(100 * _MB) // 8)


@case("key-array", "key of a 100 MB array, one core")
def key_of_array(bench: Bench) -> Row:
    """The key of an array of floats, with the thread pinned to a core; beside it, plain SHA-256 of the same bytes."""
    array = _array(bench)
    data = array.data.cast("B")

    def floor() -> bytes:
        with _one_core():
            return sha256(data).digest()

    ours, plain = interleave([lambda: _on_one_core(array), floor], bench.rounds(15))
    speeds = [array.nbytes / seconds / 1e9 for seconds in ours]
    share = median(its / mine for mine, its in zip(ours, plain, strict=True))
    times = {"ours": ours, "SHA-256": plain}
    note = f"{share:.0%} of the speed of SHA-256"
    return Row(median(speeds), 1.7, "GB/s", spread(speeds), at_least=True, times=times, note=note)


@case("key-array-cores", "key of a 100 MB array, all cores")
def key_of_array_on_all_cores(bench: Bench) -> Row:
    """How many times as fast as on one core; any more than that is a reach, since the cores are not ours alone."""
    array = _array(bench)
    every, one = interleave([lambda: _key(array), lambda: _on_one_core(array)], bench.rounds(15))
    ratios = [single / multiple for multiple, single in zip(every, one, strict=True)]
    note = f"{array.nbytes / median(every) / 1e9:.2f} GB/s"
    times = {"ours": every, "one core": one}
    return Row(median(ratios), 1.0, "x speed of one core", spread(ratios), at_least=True, times=times, note=note)


@case("key-frame", "key of a 1,000,000 x 5 frame")
def key_of_frame(bench: Bench) -> Row:
    """The key of a frame that was made column by column, on all cores; beside it, SHA-256 of the same 40 MB."""
    generator = np.random.default_rng(0)
    rows = bench.size(1_000_000)
    return _frame(bench, pd.DataFrame({f"column {i}": generator.random(rows) for i in range(5)}))


@case("key-frame-2d", "the same, from a 2-D array")
def key_of_frame_from_2d_array(bench: Bench) -> Row:
    """The same of a frame whose columns lie interleaved in one 2-D array in C order, so that each is gathered."""
    return _frame(bench, pd.DataFrame(np.random.default_rng(0).random((bench.size(1_000_000), 5)), copy=False))


def _frame(bench: Bench, frame: pd.DataFrame) -> Row:
    data = np.random.default_rng(0).random(frame.size).data.cast("B")
    return _milliseconds(bench, frame, data, reach=30)


@case("key-dict", "key of a dict of 10,000 scalars")
def key_of_dict(bench: Bench) -> Row:
    """The key of a dict of int, float, str and bool by str; beside it, SHA-256 of its sorted JSON, the raw key."""
    generator = random.Random(0)
    makers = (
        lambda: generator.randrange(10**6),
        generator.random,
        lambda: f"value {generator.random()}",
        lambda: generator.random() < 0.5,
    )
    params = {f"parameter {i}": makers[i % 4]() for i in range(bench.size(10_000))}
    return _milliseconds(bench, params, None, reach=10)


def _milliseconds(bench: Bench, params: Any, data: memoryview | None, *, reach: float) -> Row:
    def floor() -> bytes:
        return sha256(json.dumps(params, sort_keys=True).encode() if data is None else data).digest()

    ours, plain = interleave([lambda: _key(params), floor], bench.rounds(31))
    found = [seconds * 1e3 for seconds in ours]
    return Row(median(found), reach, "ms", spread(found), times={"ours": ours, "SHA-256": plain})
