"""Persistables to be removed, and the processes of the campaign: some read and make them, another removes them.

As a script: ``upkeep_world.py reader|remover|killed FOLDER SECONDS NUMBER``. It prints one line of JSON: what it
has done, and whatever went wrong.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persistable import ArtifactNotFoundError, LocalStore, Persistable, PersistableParams
from persistable.fileio import BytesFileIO, FolderFileIO, JsonFileIO, NpyFileIO, PartsFileIO, PickleFileIO
from persistable.manifest import Manifest
from persistable.stores import Store

__all__ = ["KINDS", "Params", "age", "made", "right", "sealed"]


@dataclass
class Params(PersistableParams):
    n: int = 0


def content(n: int) -> bytes:
    return b"%08d" % n * 1000


class BytesP(Persistable[Any, Params]):
    def _generate_payload(self) -> Any:
        return content(self.params.n)


class FolderP(Persistable[Any, Params]):
    def _generate_payload(self) -> Any:
        import tempfile

        folder = Path(tempfile.mkdtemp())
        (folder / "deep").mkdir()
        (folder / "first").write_bytes(content(self.params.n))
        (folder / "deep" / "second").write_bytes(content(self.params.n))
        return folder


class PartsP(Persistable[Any, Params]):
    def _generate_payload(self) -> Any:
        return {"number": self.params.n, "content": content(self.params.n)}


class ArrayP(Persistable[Any, Params]):
    def _generate_payload(self) -> Any:
        import numpy as np

        return np.full(1000, self.params.n)


def made(kind: str, store: Store | Path, n: int = 0, dependencies: Any = None) -> Persistable[Any, Params]:
    """Return a persistable of some kind of payload, not made yet."""
    cls, payload_io = KINDS[kind]
    return cls(store, Params(n), dependencies, payload_name=kind, payload_io=payload_io)


KINDS: dict[str, tuple[type[Persistable[Any, Params]], Any]] = {
    "pickle": (BytesP, PickleFileIO()),
    "bytes": (BytesP, BytesFileIO()),
    "folder": (FolderP, FolderFileIO()),
    "parts": (PartsP, PartsFileIO({"number": JsonFileIO(), "content": BytesFileIO()})),
    "array": (ArrayP, NpyFileIO()),
    "mapped": (ArrayP, NpyFileIO(mmap_mode="r")),
}


def right(kind: str, payload: Any, n: int) -> bool:
    """Return whether a payload is what its params say; a folder, or a part, may be gone since it was loaded."""
    if kind == "folder":
        try:
            return bool((payload / "first").read_bytes() == (payload / "deep" / "second").read_bytes() == content(n))
        except FileNotFoundError:
            return not payload.exists()
    if kind == "parts":
        try:
            return bool(payload["number"] == n and payload["content"] == content(n))
        except ArtifactNotFoundError:
            return True
    if kind in ("array", "mapped"):
        return bool((payload == n).all()) and len(payload) == 1000
    return bool(payload == content(n))


def sealed(manifest: Manifest, head: dict[str, Any]) -> bytes:
    """Return a manifest with another head, as somebody who means harm can write it."""
    from persistable._integrity import digest

    lines = manifest.data.decode().split("\n")
    lines[1] = f'"artifact": {json.dumps(head)},'
    body = "\n".join(lines[1:]).encode()
    return b'{"digest": "%b",\n%b' % (digest(body).encode(), body)


def age(folder: Path, seconds: float = 1e6) -> None:
    """Make all below a folder so many seconds older than it is."""
    for path in sorted(folder.rglob("*"), reverse=True):
        status = path.stat()
        os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))
    status = folder.stat()
    os.utime(folder, (status.st_atime - seconds, status.st_mtime - seconds))


# ---------------------------------------------------------------------------------------------------------------------
# The processes of the campaign


def reader(folder: Path, seconds: float, number: int) -> dict[str, Any]:
    """Ask for random ones of six artifacts, by load_generate() and by load(), and now and then by generate()."""
    draw, done = random.Random(number), Counter[str]()
    store = LocalStore(folder, fsync=False)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kind, n = draw.choice(list(KINDS)), 1
        asked = made(kind, store, n)
        way = draw.random()
        if way < 0.05:  # an order, which waits for nobody
            assert right(kind, asked.generate(), n), kind
            done["orders"] += 1
        elif way < 0.5:
            assert right(kind, asked.load_generate(), n), kind
            done["answers"] += 1
        else:
            try:
                assert right(kind, asked.load(), n), kind
                done["hits"] += 1
            except ArtifactNotFoundError as error:
                assert error.key == asked.key  # noqa: PT017 - in a process of its own
                done["misses"] += 1
    return dict(done)


def remover(folder: Path, seconds: float, number: int) -> dict[str, Any]:
    """Remove what there is, one by one and by plans, as long as the others are at it."""
    from persistable import LeaseTimeoutError
    from persistable.catalog import Catalog
    from persistable.upkeep import plan, plans, remove

    plans.YOUNG = -1.0  # else nothing that the others have made would ever go
    store, done, draw = LocalStore(folder, fsync=False), Counter[str](), random.Random(number)
    catalog = Catalog(store)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if draw.random() < 0.2:
            for outcome in plan(catalog, older_than=0).carry_out():
                done["pruned" if outcome.removed else "spared"] += 1
            continue
        for kind in KINDS:
            try:
                remove(store, made(kind, store, 1).key)
                done["removed"] += 1
            except ArtifactNotFoundError:
                done["missing"] += 1
            except LeaseTimeoutError:
                done["refused"] += 1
    return dict(done)


def killed(folder: Path, seconds: float, number: int) -> dict[str, Any]:
    """Kill a removal before its first call to the file system, before its second, ... until it comes through."""
    import signal

    from persistable.testing.faults import before_file_call, kill
    from persistable.upkeep import remove

    done = Counter[str]()
    for call in range(1, 200):
        store = LocalStore(folder / str(call), fsync=False)
        asked = made("folder", store, 1)
        asked.load_generate()
        if (child := os.fork()) == 0:
            before_file_call(call, kill, store.path)
            remove(store, asked.key)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        again = made("folder", store, 1)
        try:
            assert right("folder", again.load(), 1)
            done["whole"] += 1
        except ArtifactNotFoundError:
            done["none"] += 1
        if status == 0:
            return dict(done)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert right("folder", again.load_generate(), 1)
        remove(store, asked.key)
        assert not asked.exists()
    raise AssertionError("it never comes through")


if __name__ == "__main__":
    warnings.simplefilter("error")
    role, folder, seconds, number = sys.argv[1:]
    try:
        said: dict[str, Any] = {"reader": reader, "remover": remover, "killed": killed}[role](
            Path(folder), float(seconds), int(number)
        )
    except BaseException:
        said = {"error": traceback.format_exc()}
    print(json.dumps({"role": role, **said}))
