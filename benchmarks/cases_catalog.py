"""What a catalogue of very many artifacts costs: the first look, the next ones, and a question."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

from persistable.catalog import Catalog

from ._many import add_artifacts, many_artifacts
from ._measure import Bench, Function, Row, case, compare, interleave, spread

_MANY = 100_000
_WHERE = "params.n > 99000 and metrics.rmse < 99.9"


@contextmanager
def _index_below(folder: Path) -> Iterator[Path]:
    """Keep the indices of persistable in a folder of the case's own."""
    before = os.environ.get("PERSISTABLE_INDEX_DIR")
    place = folder / "index"
    os.environ["PERSISTABLE_INDEX_DIR"] = str(place)
    try:
        yield place
    finally:
        os.environ.pop("PERSISTABLE_INDEX_DIR")
        if before is not None:
            os.environ["PERSISTABLE_INDEX_DIR"] = before


@case("catalog-first", "catalogue: first look at 100,000")
def first_look(bench: Bench) -> Row:
    """A list of the newest 50, without an index; against listing the folders, reading and parsing all manifests."""
    root = many_artifacts(bench.folder / "store", bench.size(_MANY))
    with _index_below(bench.folder) as index:
        return compare(
            lambda: list(Catalog(root).find(limit=50)),
            lambda: _read_all(root),
            name="bare reading",
            reach=1.2,
            rounds=bench.rounds(5),
            before=lambda: shutil.rmtree(index, ignore_errors=True),
        )


def _read_all(root: Path) -> int:
    manifests = 0
    for name in os.listdir(root):
        for key in os.listdir(root / name):
            file = os.open(f"{root}/{name}/{key}/manifest.json", os.O_RDONLY)
            json.loads(os.read(file, 16_384))
            os.close(file)
            manifests += 1
    return manifests


@case("catalog-refresh", "catalogue: next look at 100,000")
def next_look(bench: Bench) -> Row:
    """The same list by another object, when nothing has changed."""
    root = many_artifacts(bench.folder / "store", bench.size(_MANY))
    with _index_below(bench.folder):
        Catalog(root).refresh()
        return _seconds(lambda: list(Catalog(root).find(limit=50)), bench.rounds(20), reach=0.05)


@case("catalog-new", "catalogue: 100 new ones of 100,000")
def after_new_ones(bench: Bench) -> Row:
    """The same list by another object, after 100 artifacts have come."""
    size, new = bench.size(_MANY), bench.size(100)
    root = many_artifacts(bench.folder / "store", size)
    with _index_below(bench.folder):
        Catalog(root).refresh()
        starts = count(size, new)

        def add() -> None:
            start = next(starts)
            add_artifacts(root, start, start + new)

        return _seconds(lambda: list(Catalog(root).find(limit=50)), bench.rounds(10), reach=0.5, before=add)


@case("catalog-find", "catalogue: find by a param in 100,000")
def find_by_param(bench: Bench) -> Row:
    """A condition on a param and a metric that has been asked for before, by another object."""
    root = many_artifacts(bench.folder / "store", bench.size(_MANY))
    with _index_below(bench.folder):
        started = perf_counter()
        where = _WHERE if not bench.quick else "params.n > 5 and metrics.rmse < 1"
        Catalog(root).refresh()
        Catalog(root).find("model", where=where)
        first = perf_counter() - started
        row = _seconds(lambda: list(Catalog(root).find("model", where=where)), bench.rounds(20), reach=0.1)
        return Row(row.measured, row.reach, row.unit, row.noise, times=row.times, note=f"{first:.1f} s the first time")


def _seconds(function: Function, rounds: int, *, reach: float, before: Callable[[], None] | None = None) -> Row:
    (times,) = interleave([function], rounds, before=before)
    return Row(median(times), reach, "s", spread(times), times={"ours": times})
