"""Readable values as they are asked for: without the marks that tell types apart.

``{"$tuple": [1, 2]}`` is compared as ``[1, 2]``, ``{"$Path": "a/b"}`` as ``"a/b"``, ``{"$float": "nan"}`` as the number
that it is, and a nested dataclass, ``{"$Model": {"depth": 3}}``, by its fields.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

__all__ = ["BOOL", "LIST", "NONE", "NUMBER", "OTHER", "TEXT", "flattened", "kind_and_value", "unmarked", "value_at"]

NONE: Final = 0
BOOL: Final = 1
NUMBER: Final = 2
TEXT: Final = 3
LIST: Final = 4
OTHER: Final = 5


def unmarked(value: Any) -> Any:
    """Return a readable value without its mark.

    >>> unmarked({"$tuple": [1]}), unmarked({"$float": "inf"}), unmarked({"$Model": {"depth": 3}}), unmarked({"a": 1})
    ([1], inf, {'depth': 3}, {'a': 1})
    """
    if not isinstance(value, dict) or len(value) != 1:
        return value
    mark, inner = next(iter(value.items()))
    if not mark.startswith("$"):
        return value
    try:
        if mark in ("$float", "$Decimal") and isinstance(inner, str):
            return float(inner)
        if mark == "$int" and isinstance(inner, str):
            return int(inner, 16)
    except ValueError:
        return inner
    return inner


def value_at(value: Any, steps: Sequence[str | int]) -> Any:
    """Return what stands under a path of names and numbers.

    Raises
    ------
    LookupError
        If there is nothing.
    """
    found = unmarked(value)
    for step in steps:
        if not isinstance(found, dict if isinstance(step, str) else list):
            raise LookupError(step)
        found = unmarked(cast(Any, found)[step])
    return found


def kind_and_value(value: Any) -> tuple[int, Any]:
    """Return a value as the index keeps it: its kind, and what SQLite can compare.

    An int of more than 64 bits is kept as a float; nan, which is not equal to anything, is of a kind of its own.
    """
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
            return NUMBER, math.copysign(math.inf, value)
    if isinstance(value, float):
        return (OTHER, "nan") if math.isnan(value) else (NUMBER, value)
    if isinstance(value, str):
        return TEXT, value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return LIST, json.dumps([unmarked(item) for item in value])
    return OTHER, json.dumps(value)


def flattened(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of readable params or metrics by their paths, with dots between the names.

    >>> dict(flattened({"n": 1, "model": {"$Model": {"depth": 3}}}, "params"))
    {'params.n': 1, 'params.model.depth': 3}
    """
    todo: list[tuple[str, Any]] = [(path, value)]
    while todo:
        path, item = todo.pop()
        item = unmarked(item)
        if isinstance(item, dict) and item:
            inner = [(f"{path}.{name}" if path else str(name), part) for name, part in item.items()]
            todo += reversed(inner)
        else:
            yield path, [unmarked(part) for part in item] if isinstance(item, list) else item
