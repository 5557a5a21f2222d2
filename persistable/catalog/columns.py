"""By what artifacts of one name are told apart: the few params and metrics that a line of a list has room for.

That is what varies among them. Of params, their own ones come first, then the version, then those of their upstreams,
then the keys of these; one that tells no more of them apart is left out before one that does. Of metrics, the numbers
that are no counts come first. What is sorted or filtered by is always there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from .._differences import NOTHING
from .._text import number, printable, shown
from .records import Record
from .upstreams import Look, Upstreams
from .values import leaves
from .where import Steps, spelled

__all__ = ["Columns"]

_PARAMS: Final = 3  # that are shown if they vary; some more, where these do not tell all artifacts apart
_MORE: Final = 5
_METRICS: Final = 3
_DIGITS: Final = 5  # of a metric: no more than can be compared at a glance
_LONGEST: Final = 24  # characters of a value
_LONGEST_LABEL: Final = 60
_COMPARED: Final = 100  # records, to find out what varies
_SHOWN_ANYWAY: Final = {"key", "payload_name", "state", "at", "modified", "size"}


class _Column(NamedTuple):
    steps: Steps
    cells: list[str]
    """One for each of the records that are compared."""


class Columns:
    """What is to be told of some whole artifacts of one name.

    Parameters
    ----------
    records : sequence of Record
        The artifacts.
    look : callable
        Finds the records of their upstreams.
    asked : iterable of tuple
        The fields that they were found and sorted by.
    """

    def __init__(self, records: Sequence[Record], look: Look, asked: Iterable[Steps]) -> None:
        self._upstreams = Upstreams(records, look)
        self._records = records[:_COMPARED]
        wanted = [steps for steps in dict.fromkeys(asked) if steps[0] not in _SHOWN_ANYWAY]
        self._params = self._chosen_params([steps for steps in wanted if _parts(steps)[1][0] != "metrics"])
        self._metrics = self._chosen_metrics([steps for steps in wanted if _parts(steps)[1][0] == "metrics"])

    def about(self, record: Record) -> str:
        """Return what is to be said of one of them: ``alpha=0.5, raw.n=20; rmse 0.31``."""
        params = self._told(record, self._params, "=")
        return "; ".join(part for part in (params, self._told(record, self._metrics, " ")) if part)

    def _told(self, record: Record, fields: Sequence[Steps], sign: str) -> str:
        cells = ((steps, self._cell(record, steps)) for steps in fields)
        return ", ".join(f"{printable(_label(steps), _LONGEST_LABEL)}{sign}{cell}" for steps, cell in cells if cell)

    def _cell(self, record: Record, steps: Steps) -> str:
        """Return a value in short; "" if there is none."""
        try:
            value = self._upstreams.value(record, steps)
        except LookupError:
            return ""
        kind = _parts(steps)[1][0]
        if kind == "params":
            return shown(value, _LONGEST)
        if kind == "key":
            return str(value)[:8]
        if kind != "metrics" and isinstance(value, str):
            return printable(value, _LONGEST)
        return "" if value is None else number(value, _DIGITS)

    def _chosen_params(self, asked: Sequence[Steps]) -> list[Steps]:
        """Return what was asked for, and the params that tell these artifacts apart; the first ones of a single one."""
        candidates = self._columns(self._params_and_keys())
        if len(self._records) == 1:
            first = [column.steps for column in candidates if column.steps[0] == "params"][:_PARAMS]
            return list(dict.fromkeys([*asked, *first]))
        varying = [column for column in candidates if len(set(column.cells)) > 1]
        chosen = [column for column in varying if column.steps in asked]
        told = _apart(chosen)
        for column in varying:
            if len(chosen) < _MORE and column not in chosen and (more := _apart([*chosen, column])) > told:
                chosen.append(column)
                told = more
        for column in varying:
            if len(chosen) < _PARAMS and column not in chosen and column.steps[-1] != "key":
                chosen.append(column)
        in_order = [column.steps for column in candidates if column in chosen or column.steps in asked]
        return list(dict.fromkeys([*in_order, *asked]))

    def _chosen_metrics(self, asked: Sequence[Steps]) -> list[Steps]:
        values: dict[Steps, list[Any]] = {}
        for position, record in enumerate(self._records):
            for names, value in leaves(record.metrics):
                values.setdefault(("metrics", *names), [NOTHING] * len(self._records))[position] = value
        varying = [
            steps
            for steps, column in values.items()
            if all(value is NOTHING or _is_number(value) for value in column)
            and (len(column) == 1 or len(set(map(repr, column))) > 1)
        ]
        counts = {steps for steps in varying if not any(isinstance(value, float) for value in values[steps])}
        return list(dict.fromkeys([*asked, *sorted(varying, key=counts.__contains__)]))[: max(_METRICS, len(asked))]

    def _columns(self, fields: Iterable[Steps]) -> list[_Column]:
        return [_Column(steps, [self._cell(record, steps) for record in self._records]) for steps in fields]

    def _params_and_keys(self) -> Iterator[Steps]:
        """Yield the fields that may tell artifacts apart, the nearest first."""
        yield from dict.fromkeys(("params", *names) for record in self._records for names, _ in leaves(record.params))
        yield ("version",)
        for roles, upstreams in self._upstreams.by_roles.items():
            start = tuple(step for role in roles for step in ("dependencies", role))
            records = {one.place: one.record for one in upstreams[:_COMPARED] if one is not None}.values()
            params = (leaves(record.params) for record in records if record is not None)
            yield from dict.fromkeys((*start, "params", *names) for found in params for names, _ in found)
            yield (*start, "version")
        for roles in self._upstreams.by_roles:
            if len(roles) == 1:
                yield ("dependencies", *roles, "key")


def _apart(columns: Sequence[_Column]) -> int:
    """Return how many different lines these columns make."""
    return len(set(zip(*(column.cells for column in columns), strict=True))) if columns else 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _label(steps: Steps) -> str:
    """Return how a field is called in a line: ``n``, ``raw.n``, ``version``, ``raw (version)``, ``rmse``, ``raw``."""
    roles, inner = _parts(steps)
    if inner[0] in ("params", "metrics"):
        return spelled((*roles, *inner[1:]))
    if not roles:
        return str(inner[0])
    return spelled(roles) if inner[0] == "key" else f"{spelled(roles)} ({inner[0]})"


def _parts(steps: Steps) -> tuple[Steps, Steps]:
    """Return the roles that lead to an upstream, and the field that is asked for there."""
    roles: Steps = ()
    while steps[0] == "dependencies":
        roles, steps = (*roles, steps[1]), steps[2:]
    return roles, steps
