"""A logger per payload name: quiet by default, and always recorded while a payload is made.

The library follows the custom of libraries: it logs to ``logging.getLogger("persistable.<payload name>")``, and
says nothing unless the application configures logging, or asks with ``verbose=True``. What is logged from INFO up
while a payload is made goes to the artifact's ``generation.log`` all the same.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["PayloadLogger", "logger_for", "recording"]

_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")

_loggers: dict[str, PayloadLogger] = {}
_recordings: dict[int, list[str]] = {}
"""thread id -> the log lines of the generation that runs in that thread."""

logging.getLogger("persistable").addHandler(logging.NullHandler())


class PayloadLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose messages from INFO up also go to the log of the generation that runs in this thread."""

    def isEnabledFor(self, level: int) -> bool:
        """Return whether a message of `level` is wanted, by a handler or by a generation log."""
        return self.logger.isEnabledFor(level) or (level >= logging.INFO and _recorded_here() is not None)

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log `msg`, and record it if a generation is running."""
        lines = _recorded_here()
        if lines is not None and level >= logging.INFO:
            info = kwargs.get("exc_info")
            exc_info = sys.exc_info() if info is True else (type(info), info, info.__traceback__) if info else None
            record = self.logger.makeRecord(self.logger.name, level, "", 0, msg, args, exc_info)
            lines.append(_FORMAT.format(record))
        if self.logger.isEnabledFor(level):
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            self.logger.log(level, msg, *args, **kwargs)


def logger_for(name: str, verbose: bool = False) -> PayloadLogger:
    """Return the logger of the payload `name`; with `verbose`, it writes to the console from INFO up."""
    logger = _loggers.get(name)
    if logger is None:
        logger = _loggers[name] = PayloadLogger(logging.getLogger(f"persistable.{name}"), {})
    if verbose and not any(isinstance(handler, _Console) for handler in logger.logger.handlers):
        logger.logger.addHandler(_Console())
        logger.logger.setLevel(min(logging.INFO, logger.logger.level or logging.INFO))
    return logger


class _Console(logging.StreamHandler[Any]):
    """The console as it is at the time of writing, because notebooks and tests replace it.

    Standard error, as loggers do; in a notebook standard output, because the other looks like a failure there.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self, logging.INFO)
        self.setFormatter(_FORMAT)

    @property
    def stream(self) -> Any:
        return sys.stdout if _in_a_notebook() else sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        raise AttributeError("the console handler follows sys.stderr")


def _in_a_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


@contextlib.contextmanager
def recording() -> Iterator[list[str]]:
    """Collect what is logged; messages of a generation inside another one go to the inner one only.

    Threads that the user's code starts are recorded with the generation, unless they run one of their own.
    """
    lines: list[str] = []
    thread = threading.get_ident()
    outer = _recordings.get(thread)
    _recordings[thread] = lines
    try:
        yield lines
    finally:
        if outer is None:
            del _recordings[thread]
        else:
            _recordings[thread] = outer


def _recorded_here() -> list[str] | None:
    """The log of this thread's generation; of a worker thread, that of the only generation there is."""
    if not _recordings:
        return None
    lines = _recordings.get(threading.get_ident())
    if lines is None and len(_recordings) == 1:
        with contextlib.suppress(StopIteration, RuntimeError):  # another thread may end it meanwhile
            return next(iter(_recordings.values()))
    return lines
