"""What a hit costs: new objects, as in a new process, whose payload is in the store."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from statistics import median

from persistable import LocalStore
from persistable.manifest import Manifest

from ._measure import Bench, Function, Row, case, compare, interleave, spread
from ._subjects import Array, Points, chain, ladder, load_pickle, points, raw_chain, raw_key, raw_ladder

_SECTIONS = ("params", "dependencies", "generated", "code", "metrics", "tags")


def _raw(folder: Path, key: Callable[[], str], payload: Array) -> Function:
    """Return the floor: `key`, open, unpickle. The file that it finds holds `payload`."""
    (folder / f"{key()}.pickle").write_bytes(pickle.dumps(payload, protocol=5))
    root = str(folder)
    return lambda: load_pickle(f"{root}/{key()}.pickle")


@case("hit", "hit: 5 scalars, a dict of 10 floats")
def hit(bench: Bench) -> Row:
    """New params, a new object, and its payload of 8 kB, verified; against key, open, unpickle without a library."""
    folder = bench.folder
    raw = _raw(folder, raw_key, points(folder).load_generate())
    return compare(lambda: points(folder).load_generate(), raw, name="raw", reach=2.0, rounds=bench.rounds(150))


@case("chain", "hit at the end of a chain of 50")
def hit_of_chain(bench: Bench) -> Row:
    """Fifty new objects, and the payload of the last, verified; against fifty raw keys, each with the one before."""
    folder = bench.folder
    raw = _raw(folder, lambda: raw_chain(50), chain(folder, 50).load_generate())
    rounds = bench.rounds(120)
    return compare(lambda: chain(folder, 50).load_generate(), raw, name="raw", reach=1.5, rounds=rounds)


@case("ladder", "hit on a ladder of 12 layers")
def hit_of_ladder(bench: Bench) -> Row:
    """24 new objects, 4,096 paths, and the payload at the end, verified; against the 24 raw keys of the same."""
    folder = bench.folder
    raw = _raw(folder, lambda: raw_ladder(12), ladder(folder, 12).load_generate())
    rounds = bench.rounds(120)
    return compare(lambda: ladder(folder, 12).load_generate(), raw, name="raw", reach=1.5, rounds=rounds)


@case("chain-linear", "chain of 60 : of 12, time per node")
def linear_in_chain(bench: Bench) -> Row:
    """What a further node costs a hit between 12 and 60 nodes, against one between 1 and 12."""
    return _linear(bench, chain, 1)


@case("ladder-linear", "ladder of 60 layers : of 12, per node")
def linear_in_ladder(bench: Bench) -> Row:
    """What a further node costs a hit between 12 and 60 layers (2**60 paths), against one between 1 and 12."""
    return _linear(bench, ladder, 2)


def _linear(bench: Bench, build: Callable[[Path, int], Points], width: int) -> Row:
    folder, layers = bench.folder, (1, 12, 60)
    for count in layers:
        build(folder, count).load_generate()
    functions: list[Function] = [lambda count=count: build(folder, count).load_generate() for count in layers]  # type: ignore[misc]
    low, middle, high = interleave(functions, bench.rounds(100))
    ratios = [((c - b) / (60 - 12)) / ((b - a) / (12 - 1)) for a, b, c in zip(low, middle, high, strict=True)]
    node = median(c / (60 * width) for c in high) * 1e6
    times = {"60 layers": high, "12 layers": middle}
    return Row(median(ratios), 1.2, "x", spread(ratios), times=times, note=f"{node:.1f} µs a node")


@case("hit-full-store", "hit in a store of 100,000 artifacts")
def hit_in_full_store(bench: Bench) -> Row:
    """A hit in a store of 100,000 artifacts of one name, against the same hit in a store that holds only that one."""
    count = bench.size(100_000)
    full, empty = LocalStore(bench.folder / "full", fsync=False), LocalStore(bench.folder / "empty", fsync=False)
    _fill(full, count)
    seed = count // 2
    points(empty, seed, n=100).load_generate()
    return compare(
        lambda: points(full, seed, n=100).load_generate(),
        lambda: points(empty, seed, n=100).load_generate(),
        name="empty",
        reach=1.2,
        rounds=bench.rounds(150),
    )


def _fill(store: LocalStore, count: int) -> None:
    """Make `count` artifacts: each a folder, a manifest and a payload, as a commit leaves them, but written plainly."""
    first = points(store, 0, n=100)
    first.load_generate()
    made = first.manifest
    sections = {name: getattr(made, name) for name in _SECTIONS}
    file = made.payload["file"]
    content = (first.persist_filepath / file).read_bytes()
    for seed in range(1, count):
        artifact = points(store, seed, n=100)
        key = artifact.key
        sections["params"] = made.params | {"seed": seed}
        folder = store.local_path(key.folder)
        os.mkdir(folder)
        for name, data in (
            (file, content),
            ("manifest.json", Manifest.compose(made.head | {"key": str(key)}, sections).data),
        ):
            with open(f"{folder}/{name}", "xb", buffering=0) as target:
                target.write(data)
