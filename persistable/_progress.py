"""Progress bars, where people are looking: at a terminal, or in a notebook.

Drawn by tqdm, where it is installed; its own environment variables (``TQDM_DISABLE=1``) hold.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["LARGE", "transfer"]

LARGE = 64 * 2**20
"""Bytes from which on a transfer shows its progress."""


@contextmanager
def transfer(what: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of a transfer of `size` bytes; the value is to be called with each number of bytes done.

    It may be called from several threads. A small transfer, or one that nobody watches, shows nothing.
    """
    notebook = _in_notebook()
    # The standard error of a notebook is no terminal, and is read all the same.
    if size < LARGE or not (notebook or _at_terminal()) or find_spec("tqdm") is None:
        yield lambda count: None
        return
    module = "tqdm.notebook" if notebook and find_spec("ipywidgets") is not None else "tqdm"
    options = {"desc": what, "unit": "B", "unit_scale": True, "unit_divisor": 1024, "leave": False}
    bar: Any = None
    guard = threading.Lock()
    with suppress(Exception):  # a terminal that is gone is no reason to end a transfer
        bar = import_module(module).tqdm(total=size, **options)

    def advance(count: int) -> None:
        with guard, suppress(Exception):
            bar.update(count)

    try:
        yield advance
    finally:
        with suppress(Exception):
            bar.close()


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def _at_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (AttributeError, ValueError):  # something that is written to, but no file; a file that is closed
        return False
