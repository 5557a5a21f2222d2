"""What it costs to say why an artifact is missing, among very many of its name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import count
from statistics import median

from persistable import LocalStore
from persistable.lineage import readable_tree
from persistable.manifest import Manifest

from ._measure import Bench, Row, case, interleave, spread
from ._subjects import points

_SECTIONS = ("params", "dependencies", "generated", "code", "metrics", "tags")


@case("explain-miss", "explain() of a miss among 100,000")
def explain_miss(bench: Bench) -> Row:
    """Say what is missing, and which three of 100,000 artifacts are nearest; a new object and new params each time."""
    store, number = LocalStore(bench.folder, fsync=False), bench.size(100_000)
    _fill(store, number)
    missing: Iterator[int] = count(number)

    def explain() -> None:
        said = points(store, next(missing), n=100).explain()
        assert said.state == "miss"
        assert said.nearest

    (times,) = interleave([explain], bench.rounds(60))
    return Row(median(times), 0.1, "s", spread(times), times={"explain": times})


def _fill(store: LocalStore, number: int) -> None:
    """Make so many artifacts of one name as a commit leaves them, but for their payloads, and written plainly."""
    first = points(store, 0, n=100)
    first.load_generate()
    made = first.manifest
    sections = {name: getattr(made, name) for name in _SECTIONS}
    for seed in range(1, number):
        artifact = points(store, seed, n=100)
        key = artifact.key
        folder = store.local_path(key.folder)
        os.mkdir(folder)
        params = made.params | {"seed": seed}
        manifest = Manifest.compose(made.head | {"key": str(key)}, sections | {"params": params})
        files = {"manifest.json": manifest.data, "params.json": json.dumps(readable_tree(artifact)).encode()}
        for name, data in files.items():
            with open(f"{folder}/{name}", "xb", buffering=0) as target:
                target.write(data)
