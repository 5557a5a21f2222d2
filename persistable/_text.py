"""Texts for people, in a terminal, in a log, or on a page: harmless, short, aligned, in usual units.

What comes from a store (names, params, logs) was written by somebody else. It may hold sequences that move the cursor,
colour the screen, or turn the direction of writing around: :func:`printable` shows these, instead of obeying them.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["age", "amount", "duration", "number", "printable", "shown", "size", "table", "width_of"]

_AGES: Final = ((1, 0, ""), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"))
_BYTES: Final = ("kB", "MB", "GB", "TB", "PB")


def printable(text: object, longest: int | None = None) -> str:
    r"""Return `text` in one line that any terminal shows harmlessly, cut to `longest` characters.

    >>> printable("a\x1b[31m\nb"), printable("abcdef", 4)
    ('a\\x1b[31m\\nb', 'abc…')
    """
    line = str(text) if longest is None else str(text)[: longest + 1]
    if not line.isprintable():
        line = "".join(letter if letter.isprintable() else _escaped(letter) for letter in line)
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def shown(value: Any, longest: int = 40) -> str:
    """Return a readable param or metric as a short text, as Python would write it: marked values without their marks.

    >>> shown({"$float": "nan"}), shown("a"), shown({"$tuple": [1, None]}), shown({"$Adam": {"lr": 0.1}})
    ('nan', "'a'", '(1, None)', 'Adam(lr=0.1)')
    """
    text = ""
    for piece in _pieces(value, longest):  # of a long value, no more is looked at than is shown
        text += piece
        if len(text) > longest:
            break
    return printable(text, longest)


def _pieces(value: Any, longest: int) -> Iterator[str]:
    if isinstance(value, str):
        yield repr(value[: longest + 1])
    elif isinstance(value, list):
        yield from _listed("[", value, "]", longest)
    elif isinstance(value, Mapping) and len(value) == 1 and (name := next(iter(value))).startswith("$"):
        yield from _marked(name[1:], value[name], longest)
    elif isinstance(value, Mapping):
        yield "{"
        for number, (name, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{name[: longest + 1]!r}: "
            yield from _pieces(item, longest)
        yield "}"
    else:
        yield repr(value)


def _marked(mark: str, value: Any, longest: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value[: longest + 1] if mark == "float" else f"{mark}({value[: longest + 1]!r})"
    elif isinstance(value, list) and mark == "set" and not value:
        yield "set()"
    elif isinstance(value, list):
        opening, closing = {"tuple": ("(", ",)" if len(value) == 1 else ")"), "set": ("{", "}")}.get(
            mark, (f"{mark}(", ")")
        )
        yield from _listed(opening, value, closing, longest)
    elif isinstance(value, Mapping):
        yield f"{mark}("
        for number, (name, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{name[: longest + 1]}="
            yield from _pieces(item, longest)
        yield ")"
    else:
        yield f"{mark}({value!r})"


def _listed(opening: str, values: list[Any], closing: str, longest: int) -> Iterator[str]:
    yield opening
    for number, item in enumerate(values):
        yield ", " if number else ""
        yield from _pieces(item, longest)
    yield closing


def number(value: Any, digits: int = 6) -> str:
    """Return a metric as a short text: a float with so many significant digits, all else as :func:`shown`.

    >>> number(0.004591883870169464), number(1605), number(True)
    ('0.00459188', '1605', 'True')
    """
    return f"{value:.{digits}g}" if isinstance(value, float) else shown(value)


def amount(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun: ``1 artifact``, ``2 artifacts``, ``100,000 artifacts``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(number_of_bytes: float) -> str:
    """Return a number of bytes in decimal units, as disks are sold: ``12 B``, ``1.2 MB``.

    >>> size(999), size(1234567)
    ('999 B', '1.2 MB')
    """
    if number_of_bytes < 1000:
        return f"{number_of_bytes:.0f} B"
    for unit in _BYTES:
        number_of_bytes /= 1000
        if number_of_bytes < 999.95 or unit == _BYTES[-1]:
            break
    return f"{number_of_bytes:.1f} {unit}" if number_of_bytes < 99.95 else f"{number_of_bytes:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> duration(0.012), duration(90), duration(3 * 86400), duration(0)
    ('12 ms', '90 s', '3 days', '0 s')
    """
    if not seconds:
        return "0 s"
    for limit, unit, name in ((1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 86400:.0f} days"


def age(at: str | dt.datetime | None, now: dt.datetime | None = None) -> str:
    """Return how long ago a time was, as ``5 min ago``; the time itself if it lies ahead; "" if there is none."""
    try:
        then = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        return printable(at, 40)
    if then is None:
        return ""
    then = then if then.tzinfo else then.replace(tzinfo=dt.UTC)
    seconds = ((now or dt.datetime.now(dt.UTC)) - then).total_seconds()
    if seconds < -60:  # the clocks of two machines
        return then.isoformat(timespec="seconds")
    for limit, unit, name in _AGES:
        if seconds < limit:
            return f"{int(seconds / unit)} {name} ago" if unit else "just now"
    return f"{seconds / 86400:.0f} days ago"


def width_of(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Return the lines of a table: the header, and one per row.

    Parameters
    ----------
    header : sequence of str
        The titles of the columns.
    rows : iterable of sequence of str
        The cells; what is not printable in them is escaped.
    right : iterable of int
        The columns that are aligned to the right: numbers.
    """
    lines = [[printable(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(width_of, column)) for column in zip(*lines, strict=True)]
    to_right = set(right)

    def aligned(column: int, cell: str) -> str:
        blanks = " " * (widths[column] - width_of(cell))
        return blanks + cell if column in to_right else cell + blanks

    return ["  ".join(aligned(column, cell) for column, cell in enumerate(line)).rstrip() for line in lines]
