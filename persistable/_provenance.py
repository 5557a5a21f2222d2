"""Who made an artifact, when, where, and with which versions."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import platform
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["provenance"]

T = TypeVar("T")

_GIT_TIMEOUT = 2.0  # seconds; on a huge or remote checkout, no answer is better than a wait
_GIT_REMEMBERED = 10.0  # seconds; a chain of quick artifacts asks git once


def provenance(kind: type, payload: Any, started: dt.datetime, seconds: float) -> dict[str, Any]:
    """Return the ``generated`` section of a manifest. What cannot be found out is None: it is no reason to fail.

    Parameters
    ----------
    kind : type
        The class that made the payload.
    payload : object
        What it made.
    started : datetime
        When the generation began, in UTC.
    seconds : float
        How long it took.
    """
    return {
        "at": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 6),
        "host": _if_known(socket.gethostname),
        "user": _if_known(_user),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "packages": _if_known(lambda: _packages(kind, payload)) or {},
        "git": _if_known(lambda: _git(_folder_of(kind), int(time.monotonic() / _GIT_REMEMBERED))),
        "class": f"{kind.__module__}.{kind.__qualname__}",
    }


def _if_known(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except Exception:  # a working directory that is gone, a module whose attributes raise, a broken installation
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container with a uid that no name belongs to
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _packages(kind: type, payload: Any) -> dict[str, str]:
    """Return name -> version of the packages that the module of `kind`, its bases and the payload come from or use."""
    modules = {type(payload).__module__, __name__, *(base.__module__ for base in kind.__mro__)}
    for value in list(vars(sys.modules.get(kind.__module__, types.ModuleType("nothing"))).values()):
        module = _if_known(partial(_module_of, value))
        if isinstance(module, str):
            modules.add(module)
    names = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"__main__"}
    versions = {name: _version(name) for name in sorted(names)}
    return {name: version for name, version in versions.items() if version}


def _module_of(value: Any) -> Any:
    return value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)


@lru_cache(maxsize=1024)
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except Exception:  # not a distribution of that name, or a broken one: a module says it itself
        version = _if_known(lambda: getattr(sys.modules.get(package), "__version__", None))
        return version if isinstance(version, str) else None


def _folder_of(kind: type) -> str:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return str(Path(file).resolve().parent) if file else os.getcwd()


@lru_cache(maxsize=64)
def _git(folder: str, period: int) -> dict[str, Any] | None:
    """Return commit and dirty flag of the checkout around `folder`; None if there is none, or no git."""
    if not any((parent / ".git").exists() for parent in (Path(folder), *Path(folder).parents)):
        return None
    try:
        commit = _ask_git(folder, "rev-parse", "HEAD")
        changed = _ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _ask_git(folder: str, *words: str) -> str:
    # --no-optional-locks: to look must not get in the way of somebody who is working there.
    command = ["git", "--no-optional-locks", "-C", folder, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT).stdout.strip()
