"""Several artifacts side by side: what differs between them, one column each.

Params are compared as deep inside as they have the same shape (:mod:`persistable._differences`), those of upstreams
too, by the paths of ``params_tree``: ``points_p.n``, ``feat.raw.n``. The key of an upstream is there only where nothing
else tells that it is another one: it lies in another store, say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import _html, _text
from .._differences import NOTHING, Sides, apart, unlike
from ..exceptions import MissingDependencyError
from .records import Record
from .upstreams import Look, Upstream, Upstreams
from .values import natural

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison"]

_LONGEST: Final = 40  # characters of a value


class Comparison:
    """What differs between some artifacts; empty, and false, if nothing does. Printed, a table of it.

    Attributes
    ----------
    records : tuple of Record
        The artifacts, in the order in which they were asked for.
    rows : dict of str to tuple
        What differs -> the value in each artifact, readable: tuples and the like keep their marks, as in params.json.
        ``payload_name``, ``version``, ``params.n``; of upstreams ``points_p.n``, ``points_p (version)``, and
        ``points_p``, their names and keys; then ``metrics.rmse`` and ``tags``. What one does not have is
        :data:`~persistable._differences.NOTHING`.
    """

    def __init__(self, records: Sequence[Record], look: Look) -> None:
        self.records = tuple(records)
        self.rows: dict[str, Sides] = {}
        for name, sides in self._found(look) if len(records) > 1 else ():
            while name in self.rows:  # a role may be called as something else is
                name = f"{name} (upstream)"
            self.rows[name] = sides

    def _found(self, look: Look) -> Iterator[tuple[str, Sides]]:
        records = self.records
        for name in ("payload_name", "version"):
            yield from unlike(name, tuple(_or_nothing(getattr(record, name)) for record in records))
        yield from _of_params("params.", records)
        upstreams = Upstreams(records, look).by_roles
        rows = {roles: list(_of_upstream(".".join(roles), used)) for roles, used in upstreams.items()}
        for roles, used in upstreams.items():
            below = [sides for path, found in rows.items() if path[: len(roles)] == roles for _, sides in found]
            if not _is_told(used, below):
                yield ".".join(roles), tuple(_name_and_key(one) for one in used)
            yield from rows[roles]
        yield from _by_name("metrics.", [record.metrics for record in records])
        tags = tuple(record.tags or NOTHING for record in records)
        if len(set(map(repr, tags))) > 1:
            yield "tags", tags

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each thing that differs, and a column for each artifact, named by its key.

        Values are those that Python has, as in :meth:`Selection.to_frame <persistable.catalog.Selection.to_frame>`;
        where these do not differ, as a path and a text do not, their texts.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError.of("pandas", extra="pandas", purpose="to_frame()") from error
        columns = [str(record.key) for record in self.records]
        return pd.DataFrame(
            [_natural(sides) for sides in self.rows.values()], index=list(self.rows), columns=columns, dtype=object
        )

    def __str__(self) -> str:
        if not self:
            return f"{_text.amount(len(self.records), 'artifact')}, and nothing differs"
        return "\n".join(_text.table(self._header(), self._cells()))

    def __repr__(self) -> str:
        differ = "nothing differs" if not self else f"{_text.amount(len(self), 'difference')}"
        return f"<Comparison of {_text.amount(len(self.records), 'artifact')}: {differ}>"

    def _repr_html_(self) -> str:
        heading = _html.title(_text.amount(len(self.records), "artifact"), remark="" if self else "nothing differs")
        return _html.card(heading, _html.rows(self._header(), self._cells()) if self else "")

    def _header(self) -> list[str]:
        return ["", *(f"{_text.printable(record.payload_name, 30)} {record.key[:8]}" for record in self.records)]

    def _cells(self) -> list[list[str]]:
        return [
            [
                _text.printable(name, 60),
                *("" if side is NOTHING else text for side, text in zip(sides, apart(sides, _LONGEST), strict=True)),
            ]
            for name, sides in self.rows.items()
        ]


def _or_nothing(value: Any) -> Any:
    return NOTHING if value is None else value


def _by_name(start: str, sides: Sequence[dict[str, Any] | None]) -> Iterator[tuple[str, Sides]]:
    for name in dict.fromkeys(name for side in sides if side is not None for name in side):
        values = tuple(NOTHING if side is None else side.get(name, NOTHING) for side in sides)
        yield from unlike(start + name, values)


def _of_params(start: str, records: Sequence[Record | None]) -> Iterator[tuple[str, Sides]]:
    return _by_name(start, [None if record is None else record.params for record in records])


def _of_upstream(path: str, used: Sequence[Upstream | None]) -> Iterator[tuple[str, Sides]]:
    """Yield what differs between the upstreams of one role, as far as their records are there."""
    records = [None if one is None else one.record for one in used]
    if len({None if record is None else record.payload_name for record in records} - {None}) > 1:
        return  # of another name, all may differ
    yield from _of_params(f"{path}.", records)
    yield from unlike(f"{path} (version)", tuple(_or_nothing(record and record.version) for record in records))


def _is_told(used: Sequence[Upstream | None], below: Sequence[Sides]) -> bool:
    """Whether what differs below tells all upstreams of a role apart that are not the same."""
    places = [None if one is None else one.place for one in used]
    if len(set(places)) == 1:
        return True
    if any(one is None or one.record is None for one in used):
        return False
    told = [tuple(repr(sides[number]) for sides in below) for number in range(len(used))]
    return len(set(told)) == len(set(zip(told, places, strict=True)))


def _name_and_key(upstream: Upstream | None) -> Any:
    return NOTHING if upstream is None else f"{upstream.place[0]} {upstream.place[1][:8]}"


def _natural(sides: Sides) -> list[Any]:
    values = [None if side is NOTHING else natural(side) for side in sides]
    if len(set(map(repr, values))) > 1:
        return values
    return [None if side is NOTHING else _text.shown(side) for side in sides]
