"""Readable values, as they are asked for, shown and compared.

A readable value (:func:`persistable.params.readable`) is JSON with marks that tell types apart. A condition sees
through most of them: ``{"$Path": "a/b"}`` is compared as ``"a/b"``, ``{"$float": "nan"}`` as the number that it is, and
a nested dataclass, ``{"$Model": {"depth": 3}}``, by its fields; but ``{"$tuple": [1, 2]}`` is no list. What is shown
keeps them (``(1, 2)``: :func:`persistable._text.shown`), and a table of pandas gets the values that they stand for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from .._text import shown

__all__ = [
    "BOOL",
    "LIST",
    "LISTS",
    "NONE",
    "NUMBER",
    "OTHER",
    "TEXT",
    "TUPLE",
    "flattened",
    "kind_and_value",
    "leaves",
    "natural",
    "unmarked",
    "value_at",
]

NONE: Final = 0
BOOL: Final = 1
NUMBER: Final = 2
TEXT: Final = 3
LIST: Final = 4
OTHER: Final = 5
TUPLE: Final = 6
MARKED_LIST: Final = 7
"""A set, and whatever else consists of parts in a row."""

LISTS: Final = (LIST, TUPLE, MARKED_LIST)
"""The kinds of what has elements."""

_DEEPEST: Final = 50  # levels of params; what is readable has no more
_LONGEST: Final = 200  # characters of a value that Python has no literal for


def unmarked(value: Any) -> Any:
    """Return a readable value without its mark.

    >>> unmarked({"$tuple": [1]}), unmarked({"$float": "inf"}), unmarked({"$Model": {"depth": 3}}), unmarked({"a": 1})
    ([1], inf, {'depth': 3}, {'a': 1})
    """
    mark, inner = _mark(value)
    try:
        if mark in ("float", "Decimal") and isinstance(inner, str):
            return float(inner)
        if mark == "int" and isinstance(inner, str):
            return int(inner, 16)
    except ValueError:
        return inner
    return inner


def _mark(value: Any) -> tuple[str | None, Any]:
    """Return the mark of a readable value, without its ``$``, and what is marked; or None and the value."""
    if isinstance(value, dict) and len(value) == 1 and (name := next(iter(value))).startswith("$"):
        return name[1:], value[name]
    return None, value


def value_at(value: Any, steps: Sequence[str | int]) -> Any:
    """Return what stands under a path of names and numbers, with its mark.

    Raises
    ------
    LookupError
        If there is nothing.
    """
    found = value
    for step in steps:
        found = unmarked(found)
        if not isinstance(found, dict if isinstance(step, str) else list):
            raise LookupError(step)
        found = cast(Any, found)[step]
    return found


def kind_and_value(value: Any) -> tuple[int, Any]:
    """Return a value as the index keeps it: its kind, and what SQLite can compare.

    An int of more than 64 bits is kept as a float; nan, which is not equal to anything, is of a kind of its own.
    """
    mark, inner = _mark(value)
    value = unmarked(value)
    if value is None:
        return NONE, None
    if isinstance(value, bool):
        return BOOL, int(value)
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return NUMBER, value
        try:
            return NUMBER, float(value)
        except OverflowError:
            return NUMBER, math.inf if value > 0 else -math.inf
    if isinstance(value, float):
        return (OTHER, "nan") if math.isnan(value) else (NUMBER, value)
    if isinstance(value, str):
        return TEXT, value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        kind = LIST if mark is None else TUPLE if mark == "tuple" else MARKED_LIST
        return kind, f"[{','.join(map(_element, value))}]"
    return OTHER, json.dumps(inner)


def _element(value: Any) -> str:
    """Return an element of a list as JSON that SQLite reads: what is one value without its mark, all else with it."""
    mark, _ = _mark(value)
    plain = unmarked(value)
    if isinstance(plain, list):
        text = f"[{','.join(map(_element, plain))}]"
    elif isinstance(plain, dict):
        text = f"{{{','.join(f'{json.dumps(name)}:{_element(item)}' for name, item in plain.items())}}}"
    elif isinstance(plain, float) and not math.isfinite(plain):
        return '{"$float":"nan"}' if math.isnan(plain) else f"{math.copysign(1, plain):.0f}e999"
    else:
        return json.dumps(plain)
    return text if mark is None else f"{{{json.dumps(f'${mark}')}:{text}}}"


def leaves(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the leaves of readable params or metrics, with their marks, by the names that lead there."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while todo:
        steps, item = todo.pop()
        parts = _named_parts(item)
        todo += reversed([((*steps, str(name)), part) for name, part in parts.items()])
        if steps and not parts:
            yield steps, item


def flattened(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the same by paths: dots between the names.

    >>> dict(flattened({"n": 1, "model": {"$Model": {"depth": 3}}, "lags": {"$tuple": [1]}}))
    {'n': 1, 'model.depth': 3, 'lags': {'$tuple': [1]}}
    """
    return ((".".join(steps), item) for steps, item in leaves(value))


def _named_parts(value: Any) -> dict[str, Any]:
    """Return what a dict or a record consists of; an array is one value, though it is shown by dtype and shape."""
    mark, inner = _mark(value)
    if not isinstance(inner, dict) or (mark is not None and ("sha256" in inner or {"dtype", "shape"} <= inner.keys())):
        return {}
    return inner


def natural(value: Any, levels: int = _DEEPEST) -> Any:
    """Return a readable value as Python has it, as far as plain types go; of all else, its text.

    >>> natural({"$tuple": [1, {"$float": "inf"}]}), natural({"$Path": "a/b"}), natural({"$range": [0, 5, 1]})
    ((1, inf), 'a/b', 'range(0, 5, 1)')
    """
    mark, inner = _mark(value)
    if levels == 0:
        return shown(value, _LONGEST)
    if isinstance(inner, list):
        make = _MAKERS.get(mark)
        try:
            return shown(value, _LONGEST) if make is None else make([natural(item, levels - 1) for item in inner])
        except (TypeError, ValueError):  # elements that no set or dict takes
            return shown(value, _LONGEST)
    if isinstance(inner, dict):
        if mark is None or _named_parts(value):
            return {name: natural(item, levels - 1) for name, item in inner.items()}
        return shown(value, _LONGEST)
    return unmarked(value)


_MAKERS: Final[dict[str | None, Callable[[Any], Any]]] = {
    None: list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
}
"""Mark -> what makes such a value from a list of its parts."""
