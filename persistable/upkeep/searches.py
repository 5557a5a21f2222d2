"""Whether somebody is working on a study that is to be removed: the journal of its trials says who runs each.

A study is made by many at once, so that its workers hold no lease. What they do hold is a trial, with the record of
their process; and while that takes long, they write into the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .._leftovers import Unit
from .._processes import is_dead
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
    for worker, runs in _workers(store.read(f"{key.folder}/journal.log")):
        if (runs or (worker and not is_over)) and not is_dead(worker):
            who = f"process {worker['pid']} on {worker['host']}" if {"pid", "host"} <= worker.keys() else "somebody"
            raise LeaseTimeoutError(
                f"{key.payload_name} {key} in {store.url} is not removed: {who} is working on this study, or was less "
                f"than {_BEATS * store.time_to_live:.0f} s ago. Wait until it has ended, or end that process."
            )


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
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # torn, or of a newer Optuna
        before, runs = owners.get(trial, ({}, True))
        owners[trial] = (owner if isinstance(owner, dict) else before, runs if state is None else state == _RUNNING)
    return iter(owners.values())
