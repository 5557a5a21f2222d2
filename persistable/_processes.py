"""Who a process is, so that another one can tell whether it is dead: its host, its pid, and when it started.

A pid alone says nothing: it is another process's on the next machine, and after a while on this one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["is_dead", "this_process"]


def this_process() -> dict[str, Any]:
    """Return who this process is: ``host``, ``machine``, ``pid`` and ``started``, as JSON can hold them."""
    try:
        started = _start_of(os.getpid())
    except OSError:
        started = None
    return {"host": _host(), "machine": _machine(), "pid": os.getpid(), "started": started}


def is_dead(record: Mapping[str, Any]) -> bool:
    """Return whether a process, by its record of :func:`this_process`, is dead for certain.

    Of a process on another machine, or of a record that says too little, nothing is certain.
    """
    if not _machine() or (record.get("machine"), record.get("host")) != (_machine(), _host()):
        return False
    try:
        return bool(_start_of(record["pid"]) != record["started"])
    except (KeyError, TypeError, OSError):
        return False


def _start_of(pid: int) -> int | None:
    """Return when a living process started, in clock ticks since the boot; None if it is dead.

    Raises
    ------
    OSError
        If there is no telling: no /proc, or one that hides the processes of others.
    """
    try:
        # The name of the program, in parentheses, may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        raise  # it lives, but is not to be seen
    return None if fields[0] in b"ZX" else int(fields[19])


def _host() -> str:
    import socket  # not before it is needed: it is slow to import

    return socket.gethostname()


@lru_cache(maxsize=1)
def _machine() -> str:
    """What tells two machines apart that share a host name: the boot, and the namespace that pids are counted in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""
