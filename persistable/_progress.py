"""Progress bars, where people are looking: at a terminal, or in a notebook.

Drawn by tqdm, where it is installed; its own environment variables (``TQDM_DISABLE=1``) hold. A bar that cannot be
drawn, as on a terminal that is gone, is no reason to end what it is about.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["LARGE", "epochs", "search", "transfer"]

LARGE = 64 * 2**20
"""Bytes from which on a transfer shows its progress."""


@contextmanager
def transfer(what: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of a transfer of `size` bytes; the value is to be called with each number of bytes done.

    It may be called from several threads. A small transfer, or one that nobody watches, shows nothing.
    """
    with _bar(size >= LARGE, desc=what, total=size, unit="B", unit_scale=True, unit_divisor=1024) as change:
        yield lambda count: change(lambda bar: bar.update(count))


@contextmanager
def search(what: str, total: int | None, done: int) -> Iterator[Callable[..., None]]:
    """Show how far a search is; the value is to be called with the number of trials done, and the best value so far.

    It may be called from several threads, as often as they like, and in any order: the bar never goes back. The time
    left is reckoned from the trials of this run.

    Parameters
    ----------
    what : str
        What is searched.
    total : int or None
        Trials that are wanted in all; None if the search ends by the clock.
    done : int
        Trials that were there before.
    """
    of, left = ("{n_fmt}", "{elapsed}") if total is None else ("{n_fmt}/{total_fmt}", "{remaining} left")
    layout = f"{{desc}}: {'' if total is None else '{percentage:3.0f}% |{bar}| '}{of} trials{{postfix}}, {left}"
    # smoothing=0: the time left by the mean of all trials. Those of several workers come in bursts.
    options = {"desc": what, "total": total, "initial": done, "bar_format": layout, "smoothing": 0, "miniters": 1}
    with _bar(True, **options) as change:

        def show(done: int, best: str | None) -> None:
            def update(bar: Any) -> None:
                if done < bar.n:
                    return
                if bar.total is not None:
                    bar.total = max(bar.total, done)  # several workers may end beyond the target
                if best is not None:
                    bar.set_postfix_str(f"best {best}", refresh=False)
                bar.update(done - bar.n)

            change(update)

        yield show


@contextmanager
def epochs(what: str, total: int) -> Iterator[Callable[[int, float], None]]:
    """Show how far a fit is; the value is to be called with the number of epochs done, and the validation loss.

    Parameters
    ----------
    what : str
        What is fitted.
    total : int
        How many epochs there are at most.
    """
    layout = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} epochs{postfix}, {remaining} left"
    with _bar(True, desc=what, total=total, bar_format=layout, smoothing=0, miniters=1) as change:

        def show(done: int, loss: float) -> None:
            def update(bar: Any) -> None:
                bar.set_postfix_str(f"validation loss {loss:.4g}", refresh=False)
                bar.update(done - bar.n)

            change(update)

        yield show


@contextmanager
def _bar(is_wanted: bool, **options: Any) -> Iterator[Callable[[Callable[[Any], None]], None]]:
    """Show a bar of tqdm to whoever is looking; what is called with it is called by one thread at a time."""
    notebook = _in_notebook()
    # The standard error of a notebook is no terminal, and is read all the same.
    if not is_wanted or not (notebook or _at_terminal()) or find_spec("tqdm") is None:
        yield lambda action: None
        return
    module = "tqdm.notebook" if notebook and find_spec("ipywidgets") is not None else "tqdm"
    bar: Any = None
    guard = threading.Lock()
    with suppress(Exception):
        bar = import_module(module).tqdm(leave=False, **options)

    def change(action: Callable[[Any], None]) -> None:
        with guard, suppress(Exception):
            action(bar)

    try:
        yield change
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
