"""What a gigabyte costs: loaded and verified, and saved down to the disk.

The files lie in the page cache, for ours and for the floor alike. Within a process, persistable digests a large file
that it maps only once; that is forgotten before each load here, so that every one is a first load. And a virtual
machine may have handed freed memory back to its host; to fetch it anew takes seconds a gigabyte, and would hit
whoever comes first. So as much as is needed is touched, and freed, right before each turn.

The reaches are parts of the floor's speed: what is read once more, to verify it, cannot take less time than without.
"""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from persistable import PickleFileIO, _integrity

from ._large import large, make_array
from ._measure import Bench, Row, case, compare_speed
from ._memory import extra_memory
from ._subjects import load_pickle

_GB = 1_000_000_000
_EXTRA = 5.0  # per cent


def _clean_slate(size: int) -> None:
    _integrity._seen.clear()
    np.empty(size + size // 4, np.uint8)[::4096] = 1


@case("npy-load", "1 GB by npy: verified load")
def load_by_npy(bench: Bench) -> Row:
    """A new object and its payload, verified; against np.load of the same file."""
    size = bench.size(_GB)
    subject = large(bench.folder, size, of=make_array(size))
    subject.generate()
    path = _payload_of(subject)
    del subject.source
    subject.reset_payload()

    return compare_speed(
        lambda: large(bench.folder, size).load(),
        lambda: np.load(path),
        name="np.load",
        reach=0.7,
        rounds=bench.rounds(11),
        before=lambda: _clean_slate(size),
    )


@case("pickle-load", "1 GB by pickle: verified load")
def load_by_pickle(bench: Bench) -> Row:
    """The same by pickle; against pickle.load of the same file."""
    size = bench.size(_GB)
    subject = large(bench.folder, size, of=make_array(size), payload_io=PickleFileIO())
    subject.generate()
    path = _payload_of(subject)
    del subject.source
    subject.reset_payload()

    return compare_speed(
        lambda: large(bench.folder, size, payload_io=PickleFileIO()).load(),
        lambda: load_pickle(path),
        name="pickle.load",
        reach=0.9,
        rounds=bench.rounds(11),
        before=lambda: _clean_slate(size),
    )


def _payload_of(subject: Any) -> Path:
    return Path(subject.persist_filepath, subject.manifest.payload["file"])


@case("npy-save", "1 GB by npy: save with fsync")
def save_by_npy(bench: Bench) -> Row:
    """A whole commit, digest, manifest and fsync of all files and folders; against np.save and fsync of the file."""
    array = make_array(bench.size(_GB))
    folder, numbers = bench.folder, count()

    def clean() -> None:
        for child in folder.iterdir():
            shutil.rmtree(child)
        os.sync()  # or the disk is still busy with the deletion
        _clean_slate(array.nbytes)

    def save() -> None:
        large(folder / f"ours-{next(numbers)}", array.nbytes, of=array).generate()

    def np_save() -> None:
        path = folder / f"floor-{next(numbers)}"
        path.mkdir()
        with open(path / "array.npy", "xb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())

    return compare_speed(save, np_save, name="np.save + fsync", reach=0.8, rounds=bench.rounds(9), before=clean)


@case("npy-load-memory", "1 GB by npy: extra memory of a load")
def memory_of_load(bench: Bench) -> Row:
    """The peak memory of a process that loads the array, less what the array itself takes, in per cent of that."""
    size = bench.size(_GB)
    large(bench.folder, size, of=make_array(size)).generate()
    return Row(100 * extra_memory("load", bench.folder, size) / size, _EXTRA, "%")


@case("npy-save-memory", "1 GB by npy: extra memory of a save")
def memory_of_save(bench: Bench) -> Row:
    """The peak memory of a process that has the array and saves it, less what it had before, in per cent of that."""
    size = bench.size(_GB)
    return Row(100 * extra_memory("save", bench.folder, size) / size, _EXTRA, "%")
