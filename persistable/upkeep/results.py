"""What the calls of this package return: a sequence, which is also a text, a card for a notebook, and JSON.

Each call does its work before it returns. Who wants to see how far it is passes ``progress=``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final, Self, TypeAlias, TypeVar, overload

from .. import _html
from .._text import table

__all__ = ["Progress", "Results"]

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], object]
"""Called with how many artifacts are done, and how many there are in all."""

_IN_A_CARD: Final = 50


class Results(Sequence[T]):
    """What became of some things, in the order in which it was found out.

    Parameters
    ----------
    items : iterable
        What became of each.
    """

    _header: ClassVar[tuple[str, ...]]
    _title: ClassVar[str]

    def __init__(self, items: Iterable[T]) -> None:
        self._items = tuple(items)

    @property
    @abstractmethod
    def summary(self) -> str:
        """All of it in a line: how many of what."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""

    @abstractmethod
    def _rows(self) -> list[tuple[str, ...]]:
        """Return the cells of what is worth a line."""

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        return type(self)(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Results) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        lines = table(self._header, self._rows())[1:]
        return "\n".join([*lines, self.summary])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary}>"

    def _repr_html_(self) -> str:
        rows = self._rows()
        shown = _html.rows(self._header, rows[:_IN_A_CARD]) if rows else ""
        rest = f"… and {len(rows) - _IN_A_CARD:,} more" if len(rows) > _IN_A_CARD else ""
        return _html.card(_html.title(self._title, remark=self.summary), shown, _html.escape(rest))
