"""A large array as an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from persistable import FileIO, Persistable, PersistableParams, Store
from persistable.fileio import NpyFileIO

from ._subjects import Array

__all__ = ["Large", "LargeParams", "large", "make_array"]


@dataclass
class LargeParams(PersistableParams):
    """How many bytes."""

    size: int


class Large(Persistable[Array, LargeParams]):
    """An array that is there already, so that to generate it is to save it."""

    source: Array

    def _generate_payload(self, **untracked_payload_params: Any) -> Array:
        return self.source


def large(
    data_dir: Path | Store, size: int, *, of: Array | None = None, payload_io: FileIO[Any] | None = None
) -> Large:
    """Return a new persistable of an array of `size` bytes; by npy, if nothing else is said."""
    persistable = Large(data_dir, LargeParams(size), payload_io=payload_io or NpyFileIO())
    if of is not None:
        persistable.source = of
    return persistable


def make_array(size: int) -> Array:
    """Return `size` bytes of random floats, which no disk can compress."""
    return np.random.default_rng(0).random(size // 8)
