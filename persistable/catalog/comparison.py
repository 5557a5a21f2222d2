"""Several artifacts side by side: what differs between them, one column each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import _html, _text
from .._differences import NOTHING
from ..exceptions import MissingDependencyError
from .records import Record
from .values import flattened

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison"]

_LONGEST: Final = 40  # characters of a value


class Comparison:
    """What differs between some artifacts; empty, and false, if nothing does.

    Attributes
    ----------
    records : tuple of Record
        The artifacts, in the order in which they were asked for.
    rows : dict of str to tuple
        What differs -> the value in each artifact; ``params.n``, ``metrics.rmse``, ``data`` (the key of the upstream of
        that role), ``version``. What one does not have is :data:`~persistable._differences.NOTHING`.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = tuple(records)
        sides = [dict(_values(record)) for record in self.records]
        names = dict.fromkeys(name for kind in _ORDER for side in sides for name in side if name.startswith(kind))
        found = {name: tuple(side.get(name, NOTHING) for side in sides) for name in names}
        # To Python, 1 is 1.0 and True; to a key, they are three values.
        self.rows = {name: values for name, values in found.items() if len(set(map(repr, values))) > 1}

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each thing that differs, and a column for each artifact, named by its key.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError.of("pandas", extra="pandas", purpose="to_frame()") from error
        plain = [[None if value is NOTHING else value for value in values] for values in self.rows.values()]
        columns = [str(record.key) for record in self.records]
        return pd.DataFrame(plain, index=list(self.rows), columns=columns, dtype=object)

    def __str__(self) -> str:
        if not self:
            return f"{_text.amount(len(self.records), 'artifact')}, and nothing differs"
        return "\n".join(_text.table(self._header(), self._cells()))

    def __repr__(self) -> str:
        return f"<Comparison of {_text.amount(len(self.records), 'artifact')}: {len(self)} things differ>"

    def _repr_html_(self) -> str:
        heading = _html.title(_text.amount(len(self.records), "artifact"), remark="" if self else "nothing differs")
        return _html.card(heading, _html.rows(self._header(), self._cells()) if self else "")

    def _header(self) -> list[str]:
        return ["", *(f"{_text.printable(record.payload_name, 30)} {record.key[:8]}" for record in self.records)]

    def _cells(self) -> list[list[str]]:
        return [
            [_text.printable(name, 60), *("" if value is NOTHING else _text.shown(value, _LONGEST) for value in values)]
            for name, values in self.rows.items()
        ]


_ORDER: Final = ("payload_name", "version", "params.", "upstream ", "metrics.", "tags", "made ", "package ")


def _values(record: Record) -> Iterator[tuple[str, Any]]:
    yield "payload_name", record.payload_name
    yield "version", record.version
    yield from ((f"params.{path}", value) for path, value in flattened(record.params) if path)
    for role, upstream in record.dependencies.items():
        yield f"upstream {role}", f"{upstream.payload_name} {upstream.key[:8]}"
    yield from ((f"metrics.{path}", value) for path, value in flattened(record.metrics) if path)
    yield "tags", record.tags
