"""Work in several processes of this machine, started and watched by loky.

Each worker is a pool of its own, because a pool gives up when one of its processes dies; here the others go on. loky
sends functions and classes of a script or a notebook by value, so that no ``if __name__ == "__main__"`` is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait

from ..exceptions import MissingDependencyError, StudyError

try:
    from loky import ProcessPoolExecutor
    from loky.process_executor import BrokenProcessPool
except ModuleNotFoundError as error:
    raise MissingDependencyError.of("loky", extra="optuna", purpose="A search in several processes") from error

__all__ = ["run_in_processes"]

_PAUSE = 0.25  # seconds between two looks at what the workers have done


def run_in_processes(
    work: Callable[[], None], n_processes: int, watch: Callable[[], None], warn: Callable[[str], None]
) -> None:
    """Call `work` once in each of several processes, and return when all have ended.

    Parameters
    ----------
    work : callable
        Called without arguments; can be pickled, or consists of what can.
    n_processes : int
        How many.
    watch : callable
        Called a few times a second meanwhile, here.
    warn : callable
        Told of a process that died.

    Raises
    ------
    StudyError
        If all have died.
    Exception
        What `work` has raised, if it did so in all processes that have not died.
    """
    pools = [ProcessPoolExecutor(max_workers=1) for _ in range(n_processes)]
    try:
        futures = [pool.submit(work) for pool in pools]
        pending = set(futures)
        while pending:
            pending = wait(pending, timeout=_PAUSE).not_done
            watch()
    finally:
        for pool in pools:  # also at Ctrl-C: nobody is left behind
            pool.shutdown(wait=True, kill_workers=True)
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        warn(f"A worker process has ended early: {type(error).__name__}: {error}")
    if len(errors) == n_processes:
        raised = [error for error in errors if not isinstance(error, BrokenProcessPool)]
        if raised:
            raise raised[0]
        raise StudyError(
            f"All {n_processes} worker processes have died, by a crash or for want of memory. What is complete is "
            f"kept: load_generate() goes on."
        ) from errors[0]
