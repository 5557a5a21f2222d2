"""What the command line costs, in processes of its own: its start, and a list of very many artifacts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from ._many import add_artifacts, many_artifacts
from ._measure import Bench, Row, case, interleave, spread

_ROOT = Path(__file__).parents[1]
_MANY = 100_000
_NEW = 100


@case("cli-start", "persistable --version, --help, over bare Python")
def start_of_the_command_line(bench: Bench) -> Row:
    """The slower of the two, less a Python that does nothing."""
    environment = _environment(bench)

    def run(*arguments: str) -> None:
        _run(environment, *arguments)

    functions = [
        lambda: run("-m", "persistable", "--version"),
        lambda: run("-m", "persistable", "--help"),
        lambda: run("-c", "pass"),
    ]
    version, help_, bare = interleave(functions, bench.rounds(15))
    slower = max((version, help_), key=median)
    over = [(ours - floor) * 1e3 for ours, floor in zip(slower, bare, strict=True)]
    return Row(median(over), 120, "ms", spread(over), times={"version": version, "help": help_, "bare": bare})


@case("cli-ls", "persistable ls, of 100,000 artifacts, with the index")
def list_of_many(bench: Bench) -> Row:
    """The whole process; the index is there, and nothing has changed."""
    environment = _environment(bench)
    store = many_artifacts(bench.folder / "store", bench.size(_MANY))
    _list(environment, store)
    [times] = interleave([lambda: _list(environment, store)], bench.rounds(9))
    return Row(median(times), 0.3, "s", spread(times), times={"ls": times})


@case("cli-ls-new", "the same, after 100 new ones")
def list_of_many_and_some_new(bench: Bench) -> Row:
    """The whole process; the index is there, and learns of what is new."""
    environment = _environment(bench)
    made = bench.size(_MANY)
    store = many_artifacts(bench.folder / "store", made)
    _list(environment, store)

    def some_new() -> None:
        nonlocal made
        add_artifacts(store, made, made + _NEW)
        made += _NEW

    [times] = interleave([lambda: _list(environment, store)], bench.rounds(9), before=some_new)
    return Row(median(times), 0.5, "s", spread(times), times={"ls": times})


def _environment(bench: Bench) -> dict[str, str]:
    """Where compiled modules may not be written beside the sources, each start would compile anew."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    folder = str(bench.folder / "compiled")
    own = {
        "PYTHONPATH": str(_ROOT),
        "PYTHONPYCACHEPREFIX": folder,
        "PERSISTABLE_INDEX_DIR": str(bench.folder / "index"),
    }
    return environment | own


def _list(environment: dict[str, str], store: Path) -> None:
    _run(environment, "-m", "persistable", "ls", str(store))


def _run(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
