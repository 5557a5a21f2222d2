"""The payload of a study: a snapshot of it, in one file that never changes.

While trials run they live in a storage that many workers write to. What is committed is a snapshot: the study and its
trials, in the format of an Optuna journal, one line for each trial. It loads into memory, without a lock or a database,
and whoever has the file and no persistable opens a copy of it with Optuna, or with its dashboard::

    optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend("copy.study.log")))

The lines are those that Optuna writes when a whole trial is added (``study.add_trial``), which it must be able to read
for as long as there are old journals. They are written and read here all the same, and not by its ``JournalStorage``:

- They are the same under every version of Optuna. 4.9 writes local times, which are others in another time zone; 5.0
  writes those of UTC, which stand here.
- Equal studies give equal bytes. A journal holds a random name for each worker, and attributes in the order of setting.
- It takes half the time: Optuna writes and reads the distribution of every parameter of every trial anew.

What runs while a snapshot is taken belongs to a worker that is alive elsewhere, and that nobody could ever finish in a
copy. Running trials at the end are therefore left out. Those before a finished or a waiting one are *lost* in the copy
(see :mod:`.seeding`), because the numbers of the others must stay. Which process on which machine ran a trial is left
out too.
"""

from __future__ import annotations

import copy
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from ..exceptions import MissingDependencyError, StudyError
from .seeding import LOST
from .workers import OF_WORKERS

try:
    from optuna import Study as Study, load_study  # .fileio takes it from here, for the error below
    from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
    from optuna.storages import InMemoryStorage
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as error:
    raise MissingDependencyError.of("optuna", extra="optuna", purpose="A study") from error

__all__ = ["detached", "lines_of", "restore", "study_of"]

# What a line of a journal does, by Optuna's number for it.
_CREATE_STUDY: Final = 0
_SET_STUDY_ATTR: Final = {2: "user_attr", 3: "system_attr"}
_CREATE_TRIAL: Final = 4

_WORKER: Final = "persistable"

_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def detached(study: Study) -> Study:
    """Return a copy of a study in memory, which no worker goes on with.

    It is what :class:`.fileio.StudyFileIO` would save and load.

    Parameters
    ----------
    study : optuna.Study
        A study in any storage; others may be working on it.

    Raises
    ------
    TypeError, ValueError
        If an attribute holds what JSON cannot.

    Examples
    --------
    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study()
    >>> study.optimize(lambda trial: 1.0, n_trials=2)
    >>> running = study.ask()
    >>> [trial.state.name for trial in detached(study).trials]
    ['COMPLETE', 'COMPLETE']
    """
    return study_of(lines_of(study))


def restore(snapshot: Study, study: Study) -> int:
    """Add to a study the trials that a snapshot of it has beyond its own; return how many.

    The attributes that the study itself lacks are added, too. Interrupted and called again, it goes on where it was.
    One process at a time may do it, while no worker works on the study.

    Parameters
    ----------
    snapshot : optuna.Study
        What to take from.
    study : optuna.Study
        What to add to, in any storage.

    Raises
    ------
    StudyError
        If they are not the same study: another direction, or a trial that has finished otherwise. Nothing is added.

    Examples
    --------
    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> snapshot = optuna.create_study()
    >>> snapshot.optimize(lambda trial: 1.0, n_trials=3)
    >>> study = optuna.create_study()
    >>> restore(snapshot, study), restore(snapshot, study)
    (3, 0)
    """
    if snapshot.directions != study.directions:
        raise StudyError(
            f"The snapshot of {study.study_name!r} is of another study: its directions are "
            f"{_names(snapshot.directions)}, those of the study are {_names(study.directions)}."
        )
    kept, present = _lasting(snapshot), study.get_trials(deepcopy=False)
    for ours, theirs in zip(kept, present, strict=False):
        if ours.state.is_finished() and not ours.user_attrs.get(LOST) and _outcome(ours) != _outcome(theirs):
            raise StudyError(
                f"Trial {ours.number} of {study.study_name!r} is {_told(theirs)} in its storage, and {_told(ours)} in "
                f"the snapshot: these are two studies. Remove the one in the storage, or use another storage."
            )
    storage, study_id = study._storage, study._study_id
    set_attrs = storage.set_study_user_attr, storage.set_study_system_attr
    for set_attr, given, known in zip(set_attrs, _attrs(snapshot), _attrs(study), strict=True):
        for name in sorted(given.keys() - known.keys()):
            set_attr(study_id, name, given[name])
    missing = kept[len(present) :]
    for trial in missing:
        storage.create_new_trial(study_id, template_trial=trial)
    return len(missing)


def _attrs(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the user and the system attributes of a study, not copied."""
    storage, study_id = study._storage, study._study_id
    return storage.get_study_user_attrs(study_id), storage.get_study_system_attrs(study_id)


def _names(directions: Iterable[StudyDirection]) -> str:
    return ", ".join(direction.name.lower() for direction in directions)


def _outcome(trial: FrozenTrial) -> tuple[Any, ...]:
    values = [float(value) for value in trial.values or ()]
    return trial.state, repr(values), _internal(trial)  # nan is equal to itself here


def _told(trial: FrozenTrial) -> str:
    return f"{trial.state.name} with {trial.params} and the values {trial.values}"


# ---------------------------------------------------------------------------------------------------------------------
# What of a study lasts


def _lasting(study: Study) -> list[FrozenTrial]:
    """Return the trials of a study that need no worker."""
    trials = study.get_trials(deepcopy=False)
    while trials and trials[-1].state == TrialState.RUNNING:
        trials.pop()
    return [_lost(trial) if trial.state == TrialState.RUNNING else trial for trial in trials]


def _lost(running: FrozenTrial) -> FrozenTrial:
    trial = copy.copy(running)
    trial.state = TrialState.FAIL
    trial.user_attrs = {**running.user_attrs, LOST: True}
    trial.datetime_complete = running.datetime_start  # nobody knows when, and equal studies give equal bytes
    return trial


def _internal(trial: FrozenTrial) -> dict[str, float]:
    """Return the parameters of a trial as Optuna's storages hold them: a category by its index."""
    return {name: trial.distributions[name].to_internal_repr(trial.params[name]) for name in sorted(trial.params)}


# ---------------------------------------------------------------------------------------------------------------------
# Study -> lines


def lines_of(study: Study) -> Iterator[str]:
    yield _line(_CREATE_STUDY, study_name=study.study_name, directions=[int(each) for each in study.directions])
    for (operation, field), values in zip(_SET_STUDY_ATTR.items(), _attrs(study), strict=True):
        for name in sorted(values):
            yield _line(operation, study_id=0, **{field: {name: values[name]}})
    distributions = _Distributions()
    for trial in _lasting(study):
        try:
            yield _line(_CREATE_TRIAL, study_id=0, **_fields(trial, distributions))
        except (TypeError, ValueError) as error:
            raise type(error)(f"trial {trial.number}: {error}") from error


def _line(operation: int, **fields: Any) -> str:
    fields |= {"op_code": operation, "worker_id": _WORKER}
    try:
        return _encode(fields)
    except TypeError:
        # Keys of several types have no order until they are strings, which JSON makes of them.
        return _encode(json.loads(json.dumps(fields)))


def _fields(trial: FrozenTrial, distributions: _Distributions) -> dict[str, Any]:
    values = None if trial.values is None else [float(value) for value in trial.values]
    is_one = values is not None and len(values) == 1
    fields: dict[str, Any] = {
        "state": int(trial.state),
        "value": values[0] if values and is_one else None,
        "values": None if is_one else values,
        "datetime_start": _utc(trial.datetime_start),
        "params": _internal(trial),
        "distributions": {name: distributions.text(each) for name, each in trial.distributions.items()},
        "user_attrs": trial.user_attrs,
        "system_attrs": {name: value for name, value in trial.system_attrs.items() if name not in OF_WORKERS},
        "intermediate_values": {step: float(value) for step, value in trial.intermediate_values.items()},
    }
    if trial.datetime_complete is not None:
        fields["datetime_complete"] = _utc(trial.datetime_complete)
    return fields


def _utc(time: datetime | None) -> str | None:
    """Return a time by UTC; Optuna's are local, and say so by having no time zone."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="microseconds")


def _local(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


class _Distributions:
    """The distributions of one study, each written and read once: there are as many as parameters, not as trials."""

    def __init__(self) -> None:
        self._texts: dict[tuple[type, str], str] = {}
        self._distributions: dict[str, BaseDistribution] = {}

    def text(self, distribution: BaseDistribution) -> str:
        # Not by equality: a choice of 1 is equal to one of True.
        known = type(distribution), repr(vars(distribution))
        if known not in self._texts:
            text = distribution_to_json(distribution)
            if self.of(text) != distribution:
                raise ValueError(f"{distribution} would come back from JSON as {self.of(text)}")
            self._texts[known] = text
        return self._texts[known]

    def of(self, text: str) -> BaseDistribution:
        if text not in self._distributions:
            self._distributions[text] = json_to_distribution(text)
        return self._distributions[text]


# ---------------------------------------------------------------------------------------------------------------------
# Lines -> study


class _Given:
    """A trial that a storage in memory takes as it is, where it would take a deep copy: nobody else has it."""

    def __init__(self, trial: FrozenTrial) -> None:
        self._trial = trial

    def __deepcopy__(self, memo: Any) -> FrozenTrial:
        return self._trial


def study_of(lines: Iterable[str]) -> Study:
    records = map(json.loads, lines)
    first = next(records, None)
    if first is None or first["op_code"] != _CREATE_STUDY:
        raise ValueError("it does not begin with a study")
    storage = InMemoryStorage()
    with _unlogged("optuna.storages._in_memory"):
        study_id = storage.create_new_study([StudyDirection(each) for each in first["directions"]], first["study_name"])
    distributions = _Distributions()
    number = 0
    for record in records:
        operation = record["op_code"]
        if operation == _CREATE_TRIAL:
            storage.create_new_trial(study_id, _Given(_trial_of(record, number, distributions)))  # type: ignore[arg-type]
            number += 1
        elif operation in _SET_STUDY_ATTR:
            field = _SET_STUDY_ATTR[operation]
            set_attr = storage.set_study_user_attr if field == "user_attr" else storage.set_study_system_attr
            for name, value in record[field].items():
                set_attr(study_id, name, value)
        else:
            raise ValueError(f"it holds the operation {operation!r}")
    return load_study(study_name=first["study_name"], storage=storage)


def _trial_of(record: Mapping[str, Any], number: int, known: _Distributions) -> FrozenTrial:
    distributions = {name: known.of(text) for name, text in record["distributions"].items()}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState(record["state"]),
        value=record["value"],
        values=record["values"],
        datetime_start=_local(record["datetime_start"]),
        datetime_complete=_local(record.get("datetime_complete")),
        params={name: distributions[name].to_external_repr(value) for name, value in record["params"].items()},
        distributions=distributions,
        user_attrs=record["user_attrs"],
        system_attrs=record["system_attrs"],
        intermediate_values={int(step): value for step, value in record["intermediate_values"].items()},
    )


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Keep a logger quiet, for this thread only."""
    logger, here = logging.getLogger(name), threading.get_ident()

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(is_of_others)
    try:
        yield
    finally:
        logger.removeFilter(is_of_others)
