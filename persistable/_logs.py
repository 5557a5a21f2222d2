"""A logger per payload name: quiet by default, and always recorded while a payload is made.

The library follows the custom of libraries: it logs to ``logging.getLogger("persistable.<payload name>")`` (a dot in
the name becomes an underscore there, so that ``m.v2`` is nothing of ``m``'s), and leaves the rest to the application:
unless that configures logging, only warnings are seen. With ``verbose=True`` an object writes to the console itself,
from INFO up, and no other object does because of it. What is logged from INFO up while a payload is made goes to the
artifact's ``generation.log`` all the same.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["PayloadLogger", "logger_for", "recording"]

_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")

_quiet: dict[str, PayloadLogger] = {}
_verbose: dict[str, PayloadLogger] = {}
_recordings: dict[int, list[str]] = {}
"""thread id -> the log lines of the generation that runs in that thread."""


class PayloadLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose messages from INFO up also go to the log of the generation that runs in this thread.

    Parameters
    ----------
    logger : Logger
        Where messages are handed on to.
    extra : mapping, optional
        As for any LoggerAdapter; not used.
    verbose : bool
        Whether messages from INFO up are written to the console too, unless the application's own handlers print them.
    """

    def __init__(
        self, logger: logging.Logger, extra: Mapping[str, object] | None = None, *, verbose: bool = False
    ) -> None:
        super().__init__(logger, extra or {})
        self.verbose = verbose

    def isEnabledFor(self, level: int) -> bool:
        """Return whether a message of `level` is wanted: by a handler, by a generation log, or by the console."""
        return self.logger.isEnabledFor(level) or (
            level >= logging.INFO and (self.verbose or _recorded_here() is not None)
        )

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log `msg`, and record it if a generation is running. A bad call is recorded as it is."""
        logger = self.logger
        enabled = logger.isEnabledFor(level)
        if level >= logging.INFO:
            lines = _recorded_here()
            if lines is not None:
                lines.append(_line(_record(logger, level, msg, args, kwargs.get("exc_info"))))
            if self.verbose and logger.manager.disable < level and not (enabled and _is_printed(logger, level)):
                _console.handle(_record(logger, level, msg, args, kwargs.get("exc_info")))
                enabled = enabled and logger.hasHandlers()  # else the handler of last resort would print it too
        if enabled:
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            logger.log(level, msg, *args, **kwargs)


def logger_for(name: str, verbose: bool = False) -> PayloadLogger:
    """Return the logger of the payload `name`; with `verbose`, the one that writes to the console from INFO up."""
    known = _verbose if verbose else _quiet
    logger = known.get(name)
    if logger is None:
        inner = logging.getLogger(f"persistable.{name.replace('.', '_')}")
        logger = known[name] = PayloadLogger(inner, verbose=verbose)
    return logger


def _record(logger: logging.Logger, level: int, msg: object, args: Any, exc_info: Any) -> logging.LogRecord:
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    elif exc_info and not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    return logging.LogRecord(logger.name, level, "", 0, msg, args, exc_info or None)


def _line(record: logging.LogRecord) -> str:
    """Return a record as text, whatever is wrong with it: nobody's work is lost because of a message."""
    try:
        return _FORMAT.format(record)
    except Exception:
        parts = [record.msg, *(record.args if isinstance(record.args, tuple) else [record.args])]
        message = " ".join(_shown(part) for part in parts)
        return _FORMAT.format(logging.LogRecord(record.name, record.levelno, "", 0, message, None, None))


def _shown(part: object) -> str:
    try:
        return part if isinstance(part, str) else repr(part)
    except Exception as error:
        return f"<{type(part).__qualname__}: {type(error).__name__}>"


def _is_printed(logger: logging.Logger, level: int) -> bool:
    """Whether the application has handlers that print a message of `level`; a file is not what is meant by that."""
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            if level >= handler.level and not isinstance(handler, logging.NullHandler | logging.FileHandler):
                return True
        current = current.parent if current.propagate else None
    return False


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

    def format(self, record: logging.LogRecord) -> str:
        return _line(record)


_console = _Console()


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
