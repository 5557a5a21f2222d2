"""What a catalogue has found: records in order, as a table for people, for a notebook, and for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from .. import _html, _text
from ..exceptions import MissingDependencyError
from ..keys import ArtifactKey
from .records import Record, record_of
from .values import flattened

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Selection", "frame_of", "varying"]

_IN_A_CARD: Final = 20
_VARYING: Final = 6  # params and metrics in a table for people
_LOOKED_AT: Final = 200  # records, to find those that vary
_PLAIN: Final = ("payload_name", "key", "state", "problem", "at", "seconds", "size", "version", "class_name", "format")
_MORE: Final = ("type", "summary", "host", "user", "digest", "path", "modified")


class Selection(Sequence[Record]):
    """What :meth:`Catalog.find` has found, in order.

    Attributes
    ----------
    total : int
        How many there would be without the limit.
    """

    def __init__(self, rows: Sequence[Any], total: int) -> None:
        self._rows = rows
        self._records: dict[int, Record] = {}
        self.total = total

    @property
    def keys(self) -> list[ArtifactKey]:
        """Their keys; foreign files have none, and are left out."""
        return [ArtifactKey(row[1], row[0]) for row in self._rows if row[1]]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Selection: ...
    def __getitem__(self, index: int | slice) -> Record | Selection:
        if isinstance(index, slice):
            rows = self._rows[index]
            return Selection(rows, len(rows))
        number = range(len(self._rows))[index]
        if number not in self._records:
            self._records[number] = record_of(self._rows[number])
        return self._records[number]

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self._rows)))

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each: what it is, its ``params.x`` and ``metrics.x`` with dots for nested ones, its tags.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        return frame_of(self)

    def __str__(self) -> str:
        columns = varying(self[:_LOOKED_AT])
        now = [_cells(record, columns) for record in self]
        lines = _text.table([*_HEADER, *columns], now, right=(3,))
        return "\n".join([*lines, *self._rest(len(self))])

    def __repr__(self) -> str:
        of = f" of {self.total:,}" if self.total != len(self) else ""
        return f"<Selection: {len(self):,}{of} in a catalogue>"

    def _rest(self, shown: int) -> list[str]:
        return [f"… and {self.total - shown:,} more"] if self.total > shown else []

    def _repr_html_(self) -> str:
        some = self[:_IN_A_CARD]
        columns = varying(self[:_LOOKED_AT])
        table = _html.rows([*_HEADER, *columns], [_cells(record, columns, brief=True) for record in some], right=(3,))
        rest = "".join(_html.escape(line) for line in self._rest(len(some)))
        return _html.card(_html.title(_text.amount(self.total, "entry", "entries")), table, rest)


_HEADER: Final = ("key", "name", "made", "size", "state")


def _cells(record: Record, columns: Sequence[str], brief: bool = False) -> list[str]:
    values = _values(record)
    state = record.state if brief or not record.problem else f"{record.state}: {record.problem}"
    return [
        record.key[:8] if record.key else "-",
        _text.printable(record.payload_name or record.path, 40),
        _text.age(record.at),
        _text.size(record.size) if record.size is not None else "",
        _text.printable(state, 60),
        *(_text.shown(values[column]) if column in values else "" for column in columns),
    ]


def _values(record: Record) -> dict[str, Any]:
    params = {f"params.{path}": value for path, value in flattened(record.params) if path}
    return params | {f"metrics.{path}": value for path, value in flattened(record.metrics) if path}


def varying(records: Iterable[Record], most: int = _VARYING) -> list[str]:
    """Return the params and metrics, as ``params.n``, that are not the same in all whole ones of some records."""
    values = [_values(record) for record in records if record.state == "whole"]
    names = dict.fromkeys(name for found in values for name in found)
    unlike = [name for name in names if len({repr(found.get(name)) for found in values}) > 1]
    metrics = [name for name in unlike if name.startswith("metrics.")][: most // 2]
    params = [name for name in unlike if name.startswith("params.")][: most - len(metrics)]
    return params + metrics


def frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """Return the records as a table of pandas; see :meth:`Selection.to_frame`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError.of("pandas", extra="pandas", purpose="to_frame()") from error
    names: dict[str, None] = dict.fromkeys(_PLAIN)
    rows = []
    for record in records:
        row = {name: getattr(record, name) for name in (*_PLAIN, *_MORE)} | {"key": str(record.key)}
        values = _values(record)
        names.update(dict.fromkeys(values))
        rows.append(row | values | {"tags": record.tags})
    frame = pd.DataFrame(rows, columns=[*names, "tags", *_MORE])
    frame["at"] = pd.to_datetime(frame["at"], utc=True, errors="coerce", format="ISO8601")
    frame["modified"] = pd.to_datetime(frame["modified"], unit="s", utc=True)
    return frame
