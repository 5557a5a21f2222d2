"""What a catalogue has found: records in order, as a table for people, for a notebook, and for pandas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from .. import _html, _text
from ..exceptions import MissingDependencyError
from ..keys import ArtifactKey
from ..stores import Store
from .columns import Columns
from .records import Record, record_of
from .upstreams import Look, Upstreams
from .values import flattened, natural
from .where import Steps

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HEADER", "Selection"]

HEADER: Final = ("key", "name", "made", "size", "params; metrics")
"""The titles of :meth:`Selection.rows`."""

_IN_A_CARD: Final = 20
_IN_A_TEXT: Final = 50
_LONGEST: Final = 60  # characters of a path
_PLAIN: Final = ("payload_name", "key", "state", "problem", "at", "seconds", "size", "version", "class_name", "format")
_MORE: Final = ("type", "summary", "host", "user", "digest", "path", "modified")


class Selection(Sequence[Record]):
    """What :meth:`Catalog.find` has found, in order; printed, a table of it.

    Attributes
    ----------
    total : int
        How many there would be without the limit.
    """

    def __init__(
        self, rows: Sequence[Any], total: int, *, store: Store, look: Look, asked: Sequence[Steps] = ()
    ) -> None:
        self._rows = rows
        self._records: dict[int, Record] = {}
        self._store = store
        self._look = look
        self._asked = asked
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
            return Selection(rows, len(rows), store=self._store, look=self._look, asked=self._asked)
        number = range(len(self._rows))[index]
        if number not in self._records:
            self._records[number] = record_of(self._rows[number], self._store)
        return self._records[number]

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self._rows)))

    def rows(self) -> list[tuple[str, ...]]:
        """Return a line of cells for each, under the titles :data:`HEADER`.

        The last one is what is wrong with it; or, in ``params; metrics``, what tells artifacts of that name apart: the
        params that vary among these (own ones, the version, and those of upstreams by their roles, ``raw.n=20``), some
        metrics that vary, and what they were found and sorted by.
        """
        columns = {name: Columns(records, self._look, self._asked) for name, records in self._by_name().items()}
        return [
            (
                record.key[:8] if record.key else "-",
                _text.printable(record.payload_name or record.path, _LONGEST),
                _text.age(record.at),
                "" if record.size is None else _text.size(record.size),
                columns[record.payload_name].about(record) if record.state == "whole" else _trouble(record),
            )
            for record in self
        ]

    def _by_name(self) -> dict[str, list[Record]]:
        names: dict[str, list[Record]] = {}
        for record in self:
            if record.state == "whole":
                names.setdefault(record.payload_name, []).append(record)
        return names

    def to_frame(self, *, upstreams: bool = False) -> pd.DataFrame:
        """Return a row for each: what it is, its ``params.x`` and ``metrics.x``, its upstreams, its tags.

        Nested ones have dots in their names, as in a condition. Values are those that Python has: tuples, nan and
        infinities, paths as text; what has no plain type, such as an array, is a text.

        Parameters
        ----------
        upstreams : bool
            Whether to add the params of the upstreams that are in the same store, ``dependencies.<role>.params.x``, to
            their keys, ``dependencies.<role>``; and of theirs in turn. What is reached by several roles is there once.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError.of("pandas", extra="pandas", purpose="to_frame()") from error
        names: dict[str, None] = dict.fromkeys(_PLAIN)
        rows = []
        for record, more in zip(self, self._params_of_upstreams() if upstreams else [{} for _ in self], strict=True):
            row = {name: getattr(record, name) for name in (*_PLAIN, *_MORE)} | {"key": str(record.key)}
            values = _values(record) | more
            names.update(dict.fromkeys(values))
            rows.append(row | values | {"tags": record.tags})
        frame = pd.DataFrame(rows, columns=[*names, "tags", *_MORE])
        frame["at"] = pd.to_datetime(frame["at"], utc=True, errors="coerce", format="ISO8601")
        frame["modified"] = pd.to_datetime(frame["modified"], unit="s", utc=True)
        return frame

    def _params_of_upstreams(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{} for _ in self]
        for roles, used in Upstreams(list(self), self._look).by_roles.items():
            start = ".".join(f"dependencies.{role}" for role in roles)
            for values, upstream in zip(found, used, strict=True):
                if upstream is not None:
                    values[start] = upstream.place[1]
                    values |= _natural(f"{start}.params", upstream.record.params if upstream.record else {})
        return found

    def __str__(self) -> str:
        if not self:
            return "Nothing found" if not self.total else f"None of {_text.amount(self.total, 'entry', 'entries')}"
        some = self[:_IN_A_TEXT]
        return "\n".join([*_text.table(HEADER, some.rows(), right=(3,)), *self._rest(len(some))])

    def __repr__(self) -> str:
        of = f" of {self.total:,}" if self.total != len(self) else ""
        return f"<Selection: {len(self):,}{of} in a catalogue>"

    def _rest(self, shown: int) -> list[str]:
        return [f"… and {self.total - shown:,} more"] if self.total > shown else []

    def _repr_html_(self) -> str:
        some = self[:_IN_A_CARD]
        table = _html.rows(HEADER, some.rows(), right=(3,)) if some else ""
        rest = "".join(_html.escape(line) for line in self._rest(len(some)))
        return _html.card(_html.title(_text.amount(self.total, "entry", "entries")), table, rest)


def _trouble(record: Record) -> str:
    return f"{record.state}{': ' if record.problem else ''}{record.problem}"


def _values(record: Record) -> dict[str, Any]:
    keys = {f"dependencies.{role}": upstream.key for role, upstream in record.dependencies.items()}
    return _natural("params", record.params) | _natural("metrics", record.metrics) | keys


def _natural(start: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{start}.{path}": natural(value) for path, value in flattened(values)}
