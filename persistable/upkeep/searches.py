"""Whether somebody is working on a study that is to be removed: the journal of its trials says who runs each.

A study is made by many at once, so that its workers hold no lease. What they do hold is a trial, with the record of
their process; and while that takes long, they write into the journal.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from .._leftovers import Unit
from .._processes import is_dead
from .._text import printable
from ..exceptions import LeaseTimeoutError
from ..keys import ArtifactKey
from ..stores import Store

__all__ = ["require_idle"]

_BEATS = 2
"""Within how many times to live a worker of a study writes into the journal: a trial that takes long beats, too."""

_RUNNING = 0  # as Optuna writes it
_OF_A_WORKER = ("persistable:worker", "persistable:claim:")  # system attributes of a trial that say who runs it


def require_idle(store: Store, key: ArtifactKey, units: Mapping[str, Unit], now: float) -> None:
    """Raise LeaseTimeoutError if somebody is working on the study that is made here. Each trial says who runs it."""
    journal = units.get("journal.log")
    if journal is None or now - journal.modified > _BEATS * store.time_to_live:
        return
    manifest = units.get("manifest.json")
    is_over = manifest is not None and manifest.modified >= journal.modified
    for worker, runs in _workers(_content(store, f"{key.folder}/journal.log")):
        if (runs or (worker and not is_over)) and not _is_dead(worker):
            known = {"pid", "host"} <= worker.keys()
            who = printable(f"process {worker['pid']} on {worker['host']}", 200) if known else "somebody"
            raise LeaseTimeoutError(
                f"{key.payload_name} {key} in {store.url} is not removed: {who} is working on this study, or was less "
                f"than {_BEATS * store.time_to_live:.0f} s ago. Wait until it has ended, or end that process."
            )


def _content(store: Store, path: str) -> bytes:
    """Return a journal; nothing if it has gone since it was listed, or is none: a link, or a pipe."""
    local = store.local_path(path)
    try:
        return b"" if local is not None and not stat.S_ISREG(os.lstat(local).st_mode) else store.read(path)
    except FileNotFoundError:
        return b""


def _is_dead(worker: Mapping[str, Any]) -> bool:
    try:
        return is_dead(worker)
    except (ValueError, LookupError, OverflowError):  # a journal may say anything
        return False


def _workers(journal: bytes) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Yield who has run the trials of a journal of Optuna's, and whether the trial is still running."""
    owners: dict[int, tuple[Mapping[str, Any], bool]] = {}
    trials = 0
    for line in journal.splitlines():
        try:
            entry = json.loads(line)
            operation, trial = entry["op_code"], entry.get("trial_id")
            if operation == 4:  # a trial is made
                owner, trial, trials = entry.get("system_attrs", {}).get("persistable:worker"), trials, trials + 1
                state = entry.get("state", _RUNNING)
            elif operation == 9:  # a system attribute of a trial
                claims = (said for name, said in entry["system_attr"].items() if name.startswith(_OF_A_WORKER))
                owner, state = next(claims, None), None
            elif operation == 6:  # its state, and its values
                owner, state = None, entry["state"]
            else:
                continue
            before, runs = owners.get(trial, ({}, True))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # torn, of a newer Optuna, or of somebody else
        owners[trial] = (owner if isinstance(owner, dict) else before, runs if state is None else state == _RUNNING)
    return iter(owners.values())
