"""Persistables whose life can be watched from outside, and the processes that ask for them.

As a script it is told, on standard input, what to do, and forks the processes that do it: a fork costs a hundredth of
a new interpreter. Each says what happens to it, in one line of JSON on the pipe that the test reads; whoever generates
waits at a gate, until the test opens it. So nothing here sleeps to be in time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from persistable import (
    ArtifactCorruptError,
    CorruptArtifactWarning,
    FileIO,
    LocalStore,
    Persistable,
    PersistableParams,
    PickleFileIO,
    untracked,
)
from persistable.stores import Store
from persistable.testing.faults import Fault, FaultyStore, before_file_call, kill

__all__ = ["WaitingP", "World", "expected", "left_in"]


@dataclass
class WorldParams(PersistableParams):
    name: str = "x"
    size: int = 1000
    seconds: float = untracked(default=0.0)
    fail: bool = untracked(default=False)


def expected(params: WorldParams) -> bytes:
    """The one right payload of these params."""
    seed = hashlib.sha256(params.name.encode()).digest()
    return (seed * (params.size // len(seed) + 1))[: params.size]


class FolderIO(FileIO[bytes]):
    """A payload as a folder of two files, and no care for anything, as a user would write it."""

    format_id: ClassVar[str] = "test.folder"

    def _save(self, payload: bytes, filepath: Path) -> None:
        (filepath / "deep").mkdir(parents=True)
        half = len(payload) // 2
        (filepath / "first.bin").write_bytes(payload[:half])
        (filepath / "deep" / "second.bin").write_bytes(payload[half:])

    def _load(self, filepath: Path) -> bytes:
        return (filepath / "first.bin").read_bytes() + (filepath / "deep" / "second.bin").read_bytes()


class FileByPathIO(FileIO[bytes]):
    """A payload as a file that is opened by its path, after it was verified."""

    suffix = ".bin"
    format_id: ClassVar[str] = "test.file"

    def _save(self, payload: bytes, filepath: Path) -> None:
        filepath.write_bytes(payload)

    def _load(self, filepath: Path) -> bytes:
        return filepath.read_bytes()


FORMATS: dict[str, FileIO[Any]] = {"pickle": PickleFileIO(), "file": FileByPathIO(), "folder": FolderIO()}


class WaitingP(Persistable[bytes, WorldParams]):
    """Says that it generates, waits at the gate, and returns what is expected."""

    events: ClassVar[Callable[..., None]] = staticmethod(lambda **event: None)
    gate: ClassVar[int | None] = None
    turn: ClassVar[int] = 0

    def _generate_payload(self) -> bytes:
        WaitingP.events(event="generating")
        if WaitingP.gate is not None:
            os.read(WaitingP.gate, 1)  # until the test closes its end
        time.sleep(self.params.seconds)
        if self.params.fail:
            raise ZeroDivisionError("on purpose")
        return expected(self.params)


class CounterP(WaitingP):
    """Another payload at each generation: which one it is, ten thousand times over."""

    def _generate_payload(self) -> bytes:
        WaitingP.turn += 1
        return b"%08d" % WaitingP.turn * 10_000


def left_in(folder: Path) -> set[str]:
    """What lies below a folder: files; and folders, with a slash behind them, if they are empty."""
    return {
        path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
        for path in folder.rglob("*")
        if not path.is_dir() or not any(path.iterdir())
    }


# ---------------------------------------------------------------------------------------------------------------------
# In the test


class World:
    """A process that forks others, and the pipe on which all of them tell what happens."""

    def __init__(self, data_dir: Path, task: str, **options: Any) -> None:
        self.events: list[dict[str, Any]] = []
        told, tell = os.pipe()
        gate, self._open = os.pipe()
        self._told = os.fdopen(told, "rb")
        task_line = json.dumps({"task": task, "data_dir": str(data_dir), "tell": tell, "gate": gate, **options})
        import persistable

        source = str(Path(persistable.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, task_line],
            pass_fds=(tell, gate),
            env={**os.environ, "PYTHONPATH": source},
        )
        os.close(tell)
        os.close(gate)

    def __enter__(self) -> World:
        return self

    def __exit__(self, *error: object) -> None:
        self.open_gate()
        for _ in self:
            pass
        self._told.close()
        assert self.process.wait(60) == 0 or any(error)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self._told:
            event = json.loads(line)
            self.events.append(event)
            yield event

    def wait_for(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait until so many processes have said this; return what they said."""
        while len(found := self.said(event)) < times:
            next(iter(self))
        return found

    def said(self, event: str) -> list[dict[str, Any]]:
        return [said for said in self.events if said["event"] == event]

    def open_gate(self) -> None:
        if self._open is not None:
            os.close(self._open)
            self._open = None  # type: ignore[assignment]

    def finish(self) -> list[dict[str, Any]]:
        """Open the gate, wait until all is over, and return the answers."""
        self.open_gate()
        for _ in self:
            pass
        return self.said("answer")


# ---------------------------------------------------------------------------------------------------------------------
# In the process


def _store(task: dict[str, Any], **more: Any) -> LocalStore:
    return LocalStore(task["data_dir"], **{**task.get("store", {}), **more})


def _persistable(task: dict[str, Any], store: Store, kind: type[WaitingP] = WaitingP) -> WaitingP:
    persistable = kind(store, WorldParams(**task.get("params", {})), payload_io=FORMATS[task.get("io", "pickle")])
    logger = logging.getLogger("persistable.waiting_p")
    logger.setLevel(logging.INFO)
    logger.handlers = [_TellOfWaiting()]
    return persistable


class _TellOfWaiting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if (message := record.getMessage()).startswith("Waiting for "):
            WaitingP.events(event="waiting", message=message)


def _fork(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own."""
    if process := os.fork():
        return process
    status = 0
    try:
        work()
    except BaseException:
        WaitingP.events(event="crash", traceback=traceback.format_exc())
        status = 1
    os._exit(status)


def _ask(task: dict[str, Any], store: Store | None = None) -> None:
    persistable = _persistable(task, store or _store(task))
    try:
        answer = persistable.load_generate()
    except Exception as error:
        WaitingP.events(event="answer", right=False, error=f"{type(error).__name__}: {error}")
    else:
        WaitingP.events(event="answer", right=answer == expected(persistable.params), error=None)


def crowd(task: dict[str, Any]) -> None:
    """`processes` processes ask at once."""
    start, shot = os.pipe()

    def work() -> None:
        os.close(shot)
        os.read(start, 1)
        _ask(task)

    children = [_fork(work) for _ in range(task["processes"])]
    os.close(shot)
    for child in children:
        os.waitpid(child, 0)


def threads(task: dict[str, Any]) -> None:
    """`processes` threads of one process ask at once, each through an object of its own."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(task["processes"]) as pool:
        list(pool.map(lambda _: _ask(task), range(task["processes"])))


def regenerate(task: dict[str, Any]) -> None:
    """`processes` processes read in a loop, while another makes the artifact `times` times."""
    stop, stopped = os.pipe()
    first = _persistable(task, _store(task), CounterP)
    first.generate()

    def read() -> None:
        os.close(stopped)
        os.set_blocking(stop, False)
        seen, reads = set(), 0
        while True:
            payload = _persistable(task, _store(task), CounterP).load()
            assert payload == payload[:8] * 10_000, payload[:100]
            seen.add(payload[:8])
            reads += 1
            try:
                os.read(stop, 1)
            except BlockingIOError:
                continue
            WaitingP.events(event="read", reads=reads, seen=len(seen))
            return

    def write() -> None:
        writer = _persistable(task, _store(task), CounterP)
        for _ in range(task["times"]):
            writer.generate()

    readers = [_fork(read) for _ in range(task["processes"])]
    writers = [_fork(write) for _ in range(task.get("writers", 1))]
    for writer in writers:
        os.waitpid(writer, 0)
    os.close(stopped)
    for reader in readers:
        os.waitpid(reader, 0)


def _check(task: dict[str, Any], step: object) -> None:
    """After a kill: exists() tells the truth, an ask is answered, and a commit leaves nothing that does not count."""

    def work() -> None:
        _the_gate_is_open()
        persistable = _persistable(task, _store(task, leftovers_after=0.0))
        there = persistable.exists()
        if there:
            try:
                assert persistable.load() == expected(persistable.params)
            except ArtifactCorruptError:
                assert task["start"] == "corrupt"
                warnings.simplefilter("ignore", CorruptArtifactWarning)
        _ask(task, _store(task, leftovers_after=0.0))
        persistable.generate()
        left = left_in(persistable.persist_filepath)
        payload = persistable.manifest.payload["file"]
        WaitingP.events(
            event="checked",
            step=step,
            there=there,
            left=sorted(
                left
                - {"manifest.json", "params.json", "generation.log"}
                - {name for name in left if name.startswith(payload)}
            ),
        )

    assert os.waitpid(_fork(work), 0)[1] == 0


def _the_gate_is_open() -> None:
    WaitingP.gate = None


def _prepared(task: dict[str, Any], place: str) -> dict[str, Any]:
    """A task at a new place, where what it starts from has been made."""
    task = {**task, "data_dir": f"{task['data_dir']}/{place}"}

    def prepare() -> None:
        _the_gate_is_open()
        persistable = _persistable(task, _store(task))
        match task["start"]:
            case "nothing":
                return
            case "artifact":
                persistable.generate()
            case "corrupt":
                persistable.generate()
                payload = persistable.persist_filepath / persistable.manifest.payload["file"]
                (payload if payload.is_file() else payload / "first.bin").write_bytes(b"rotten")
            case "dead owner":
                Path(task["data_dir"]).mkdir(parents=True)
                below = persistable.persist_filepath
                before_file_call(1, kill, below / "params.json")
                persistable.generate()

    _, status = os.waitpid(_fork(prepare), 0)
    assert status == (signal.SIGKILL if task["start"] == "dead owner" else 0)
    return task


def _commit(task: dict[str, Any], store: Store) -> None:
    _the_gate_is_open()
    persistable = _persistable(task, store)
    if task["start"] == "artifact":
        persistable.generate()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            persistable.load_generate()


def kill_at_each_call(task: dict[str, Any]) -> None:
    """Kill a commit before its first call to the file system, before its second, … until it comes through."""
    for number in range(1, 200):
        here = _prepared(task, str(number))

        def work(number: int = number, here: dict[str, Any] = here) -> None:
            before_file_call(number, kill, here["data_dir"])
            _commit(here, _store(here))

        _, status = os.waitpid(_fork(work), 0)
        _check(here, number)
        if status == 0:
            WaitingP.events(event="through", steps=number - 1)
            return
        assert os.WTERMSIG(status) == signal.SIGKILL


def kill_at_each_operation(task: dict[str, Any]) -> None:
    """Kill a commit before, and after, each operation of the store."""
    for number in range(1, 200):
        for when in ("before", "after"):
            here = _prepared(task, f"{number} {when}")

            def work(number: int = number, when: Any = when, here: dict[str, Any] = here) -> None:
                _commit(here, FaultyStore(_store(here), Fault(number, kill, when)))

            _, status = os.waitpid(_fork(work), 0)
            _check(here, f"{number} {when}")
            if status == 0 and when == "before":
                WaitingP.events(event="through", steps=number - 1)
                return
            assert os.WTERMSIG(status) == (signal.SIGKILL if status else 0)


def kill_at_random(task: dict[str, Any]) -> None:
    """Kill a commit of a large payload at `times` random moments of its life."""
    import random

    random.seed(task.get("seed", 0))
    here = _prepared(task, "warm")
    began = time.monotonic()
    os.waitpid(_fork(lambda: _commit(here, _store(here))), 0)
    seconds = time.monotonic() - began
    for number in range(task["times"]):
        here = _prepared(task, "same")
        child = _fork(lambda here=here: _commit(here, _store(here, leftovers_after=0.0)))  # type: ignore[misc]
        time.sleep(random.random() * seconds * 1.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _check_and_clear(here, number)


def _check_and_clear(task: dict[str, Any], step: int) -> None:
    import shutil

    _check(task, step)
    shutil.rmtree(task["data_dir"], ignore_errors=True)


def _main(task: dict[str, Any]) -> None:
    tell = task["tell"]

    def say(**event: Any) -> None:
        os.write(tell, json.dumps({**event, "pid": os.getpid()}).encode() + b"\n")  # one write is one line

    with tempfile.TemporaryDirectory() as elsewhere:  # what a process does once, it does before it forks
        WaitingP(elsewhere, WorldParams()).load_generate()
    if task["task"] == "crowd" and "ignore" in task:
        warnings.simplefilter("ignore", CorruptArtifactWarning)
    WaitingP.events = staticmethod(say)  # type: ignore[assignment]
    WaitingP.gate = task["gate"]
    try:
        {work.__name__: work for work in TASKS}[task["task"]](task)
    except BaseException:
        say(event="crash", traceback=traceback.format_exc())


TASKS = (crowd, threads, regenerate, kill_at_each_call, kill_at_each_operation, kill_at_random)

if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
