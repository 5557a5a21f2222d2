"""Processes that ask for artifacts in a bucket, and a test that kills and stops them.

As a script it is told, on its command line, what to do: each process is a new interpreter, because a client library
with threads of its own does not survive a fork. Each says what happens to it, one line of JSON each time, at the end
of one file on this machine: a line of such a size is written as a whole, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from persistable import ArtifactNotFoundError, FileIO, Persistable, PersistableParams, PickleFileIO
from persistable._leftovers import units_of
from persistable.stores import Entry, FsspecStore, ObjectStore, Store

__all__ = ["S3World", "expected", "interrupt"]

_SIZES = (1_000, 20_000, 300_000, 2_000_000)
_TWO_PARTS = 9_500_000  # bytes; more than the 8 MB that are moved at once
_LARGE = (7, 9)  # one pickle, one folder
_FILES = {"manifest.json", "params.json", "generation.log"}


@dataclass
class BlockParams(PersistableParams):
    number: int


def expected(number: int) -> bytes:
    """The one right payload of this number."""
    size = _TWO_PARTS if number in _LARGE else _SIZES[number % len(_SIZES)]
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


class FolderIO(FileIO[bytes]):
    """A payload as a folder of two files: nearly all of it in the second."""

    format_id: ClassVar[str] = "test.folder"

    def _save(self, payload: bytes, filepath: Path) -> None:
        (filepath / "deep").mkdir(parents=True)
        (filepath / "first.bin").write_bytes(payload[:500])
        (filepath / "deep" / "second.bin").write_bytes(payload[500:])

    def _load(self, filepath: Path) -> bytes:
        return (filepath / "first.bin").read_bytes() + (filepath / "deep" / "second.bin").read_bytes()


class BlockP(Persistable[bytes, BlockParams]):
    """Says that it generates, takes its time, and returns what is expected."""

    say: ClassVar[Callable[..., None]]
    seconds: ClassVar[tuple[float, float]]

    def _generate_payload(self) -> bytes:
        seconds = random.uniform(*BlockP.seconds)
        BlockP.say("generating", number=self.params.number, until=time.time() + seconds)
        time.sleep(seconds)
        return expected(self.params.number)


# ---------------------------------------------------------------------------------------------------------------------
# In the test


class S3World:
    """A prefix of a bucket, the processes that use it, and what they say.

    Parameters
    ----------
    folder : Path
        On this machine, for the file in which they say it.
    store : {"ObjectStore", "FsspecStore"}
        By which store.
    url, storage_options
        Where.
    seconds : tuple of float
        How long a generation takes, at least and at most.
    time_to_live : float
        Of a lease.
    """

    def __init__(
        self,
        folder: Path,
        store: str,
        url: str,
        storage_options: dict[str, Any],
        *,
        seconds: tuple[float, float],
        time_to_live: float,
    ) -> None:
        self._log, self._go = folder / "events", folder / "go"
        self._log.touch()
        self._task = {
            "store": store,
            "url": url,
            "storage_options": storage_options,
            "time_to_live": time_to_live,
            "log": str(self._log),
            "go": str(self._go),
        }
        self._seconds = seconds
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> S3World:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.kill()  # also one that is stopped
            process.wait()

    def start(self, role: str, *, seconds: tuple[float, float] | None = None, **task: Any) -> subprocess.Popen[bytes]:
        """Start a process that does what the function of this name does."""
        import persistable

        line = json.dumps({**self._task, "seconds": seconds or self._seconds, "role": role, **task})
        source = str(Path(persistable.__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, line], env={**os.environ, "PYTHONPATH": source}
        )
        self.processes.append(process)
        return process

    def go(self) -> None:
        """Tell those who wait for it to begin, and those who read in a loop to end."""
        self._go.touch()

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what was said under this word so far."""
        lines = self._log.read_bytes().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [said for said in found if said["event"] == event]

    def wait_for(self, event: str, times: int = 1, within: float = 120.0) -> list[dict[str, Any]]:
        """Wait until it was said so many times; return what was said."""
        deadline = time.monotonic() + within
        while len(found := self.said(event)) < times:
            assert time.monotonic() < deadline, f"{event} was said {len(found)} times, not {times}"
            assert not (errors := self.said("error")), errors[0]["traceback"]
            time.sleep(0.01)
        return found

    def in_a_commit(self, hits: list[tuple[int, float]]) -> int:
        """Return how many hits came after a payload was made, and before its process had an answer."""
        made = {said["pid"]: [] for said in self.said("generating")}
        answered = {(said["pid"], said["number"]): said["time"] for said in self.said("answer")}
        for said in self.said("generating"):
            made[said["pid"]].append((said["until"], answered.get((said["pid"], said["number"]), math.inf)))
        return sum(any(begin <= when < end for begin, end in made.get(pid, ())) for pid, when in hits)

    def unexplained(self, hits: list[tuple[int, float]]) -> list[tuple[Any, Any]]:
        """Return pairs of generations of one artifact, where neither process had been hit by then."""
        by_number: dict[int, list[dict[str, Any]]] = {}
        for said in self.said("generating"):
            by_number.setdefault(said["number"], []).append(said)
        return [
            (first, second)
            for generations in by_number.values()
            for first, second in pairwise(generations)
            if not any(pid in (first["pid"], second["pid"]) and when <= second["time"] for pid, when in hits)
        ]


def interrupt(
    world: S3World, workers: list[subprocess.Popen[bytes]], times: int, replace: Callable[[], Any], rng: random.Random
) -> list[tuple[int, float]]:
    """Kill or stop random workers, so many times; a killed one is replaced. Return who was hit, and when.

    Every other hit is aimed at a commit: at a worker that is generating, about when it is done with it. A stopped one
    sleeps beyond the time to live. All of this ends when everybody has finished.
    """
    hits: list[tuple[int, float]] = []
    asleep: list[tuple[float, subprocess.Popen[bytes]]] = []

    def wake(now: float) -> None:
        for entry in [entry for entry in asleep if entry[0] <= now]:
            entry[1].send_signal(signal.SIGCONT)
            asleep.remove(entry)

    def pause(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            wake(now)
            time.sleep(min(0.02, end - now))

    while len(hits) < times:
        pause(rng.uniform(0.05, 0.5))
        sleeping = {process.pid for _, process in asleep}
        running = {worker.pid: worker for worker in workers if worker.poll() is None and worker.pid not in sleeping}
        if not running:
            if not asleep:
                break
            continue
        victim = rng.choice(list(running.values()))
        busy = [said for said in world.said("generating") if said["pid"] in running and said["until"] > time.time()]
        if busy and len(hits) % 2:
            aim = rng.choice(busy)
            victim = running[aim["pid"]]
            pause(max(0.0, aim["until"] - time.time()) + rng.uniform(0.0, 0.15))
        if victim.poll() is not None:
            continue
        when = time.time()  # who is killed may be followed by another before we know that it is dead
        if rng.random() < 0.6:
            victim.kill()
            victim.wait()
            workers[workers.index(victim)] = replace()
        else:
            victim.send_signal(signal.SIGSTOP)
            asleep.append((time.monotonic() + rng.uniform(1.3, 2.0) * world._task["time_to_live"], victim))
        hits.append((victim.pid, when))
    while asleep:
        pause(0.05)
    return hits


# ---------------------------------------------------------------------------------------------------------------------
# In the process


def _store(task: dict[str, Any]) -> Store:
    kind = {"ObjectStore": ObjectStore, "FsspecStore": FsspecStore}[task["store"]]
    return kind(task["url"], storage_options=task["storage_options"], time_to_live=task["time_to_live"])


def _block(store: Store, number: int) -> BlockP:
    return BlockP(store, BlockParams(number), payload_io=PickleFileIO() if number % 3 else FolderIO())


def work(task: dict[str, Any]) -> None:
    """Ask for all artifacts, in an order of its own."""
    store, numbers = _store(task), list(range(task["keys"]))
    random.shuffle(numbers)
    for number in numbers:
        right = _block(store, number).load_generate() == expected(number)
        BlockP.say("answer", number=number, right=right)


def read(task: dict[str, Any]) -> None:
    """Load artifacts in a loop; that there is none yet is fine."""
    store, found, missing = _store(task), 0, 0
    while not os.path.exists(task["go"]):
        number = random.randrange(task["keys"])
        try:
            payload = _block(store, number).load()
        except ArtifactNotFoundError:
            missing += 1
            time.sleep(0.02)
            continue
        found += 1
        if payload != expected(number):
            BlockP.say("answer", number=number, right=False)
        time.sleep(0.02)  # there are two cores, and ten processes
    BlockP.say("read", found=found, missing=missing)


def ask(task: dict[str, Any]) -> None:
    """Ask for one artifact, at the same moment as others do."""
    block = _block(_store(task), task["number"])
    logger = logging.getLogger("persistable.block_p")
    logger.setLevel(logging.INFO)
    logger.handlers = [_TellOfWaiting()]
    BlockP.say("ready")
    while not os.path.exists(task["go"]):
        time.sleep(0.005)
    BlockP.say("answer", number=task["number"], right=block.load_generate() == expected(task["number"]))


class _TellOfWaiting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Waiting for "):
            BlockP.say("waiting")


def check(task: dict[str, Any]) -> None:
    """Say what is in the bucket: whether all artifacts are right, and what else there is."""
    store = _store(task)
    blocks = [_block(store, number) for number in range(task["keys"])]
    right = [block.load() == expected(block.params.number) for block in blocks]
    own = {f"{block.key.folder}/": block.manifest.payload["file"] for block in blocks}
    known, foreign = Counter[str](), []
    for entry in store.list(""):
        folder, payload = next(((f, p) for f, p in own.items() if entry.path.startswith(f)), ("", ""))
        name = entry.path.removeprefix(folder)
        if folder and (name in _FILES or name == payload or name.startswith(f"{payload}/")):
            continue
        if folder and is_left_over(name):
            known[name.partition(".")[0].partition("/")[0]] += 1
        else:
            foreign.append(entry.path)
    BlockP.say("checked", right=right, leftovers=known, foreign=foreign)


def is_left_over(name: str) -> bool:
    """Return whether a file of an artifact's folder is known to be left over, once no manifest names it."""
    units, _ = units_of("folder", [Entry(f"folder/{name}", 0, 0.0)])
    return any(unit.is_left_over for unit in units.values())


def _main(task: dict[str, Any]) -> None:
    log = os.open(task["log"], os.O_WRONLY | os.O_APPEND)

    def say(event: str, **more: Any) -> None:
        os.write(log, json.dumps({"event": event, "pid": os.getpid(), "time": time.time(), **more}).encode() + b"\n")

    BlockP.say = staticmethod(say)  # type: ignore[assignment]
    BlockP.seconds = tuple(task["seconds"])
    try:
        {role.__name__: role for role in (work, read, ask, check)}[task["role"]](task)
    except BaseException:
        say("error", traceback=traceback.format_exc())
        sys.exit(1)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
