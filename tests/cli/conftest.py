"""The command line, run in this process or in one of its own, on a store with every kind of entry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from mixed_store import make_mixed_store

from persistable.cli import main


class Answer(NamedTuple):
    """What a command has printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path_factory):
    """No variable of the machine's own, and an index of our own."""
    for name in ("PERSISTABLE_DATA_DIR", "PERSISTABLE_CACHE_DIR", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PERSISTABLE_INDEX_DIR", str(tmp_path_factory.mktemp("index")))


@pytest.fixture
def mixed(tmp_path):
    """A small store with every kind of entry."""
    with make_mixed_store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def run(capsys):
    """Return a function that runs a command in this process."""

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture
def process():
    """Return a function that runs a command in a process of its own."""

    def process(*arguments: object, **environment: str) -> Answer:
        command = [sys.executable, "-W", "error", "-m", "persistable", *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            env=os.environ | environment,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    return process
