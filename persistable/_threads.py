"""Work in a second thread, while this one does something else, or waits where Ctrl-C is heard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["meanwhile"]

T = TypeVar("T")


@contextmanager
def meanwhile(name: str, work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Do `work` in another thread, from the beginning of a ``with`` to its end at the latest.

    Where no threads are to be had, as at the end of the interpreter, it is done at the beginning.

    Parameters
    ----------
    name : str
        What is done, for whoever looks at the threads of a process.
    work : callable
        Called without arguments.

    Yields
    ------
    callable
        To be called after the ``with``: returns what `work` has returned, or raises what it has raised.

    Examples
    --------
    >>> with meanwhile("add", lambda: 1 + 1) as total:
    ...     here = 2 + 2
    >>> here, total()
    (4, 2)
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    def result() -> T:
        if failures:
            raise failures[0]
        return results[0]

    thread = threading.Thread(target=run, name=f"persistable {name}", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        run()
    try:
        yield result
    finally:
        if thread.ident is not None:
            thread.join()
