"""Why a value cannot be walked: found out after the fact, so that no walk pays for it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from ..exceptions import UntrackableValueError
from .core import key_step
from .records import record_fields


def explain_recursion(value: Any) -> NoReturn:
    """Find out why `value` cannot be walked, and raise the error that says so."""
    path: dict[int, tuple[Any, str]] = {}  # from the root to where we are; it keeps the values alive, and so their ids
    seen: dict[int, Any] = {}
    todo: list[tuple[Any, str] | None] = [(value, "")]  # None: everything in the last value of the path has been seen
    while todo:
        if (entry := todo.pop()) is None:
            path.popitem()
            continue
        item, step = entry
        if id(item) in path:
            steps = "".join(step for _, step in path.values()) + step
            raise UntrackableValueError(
                "the value contains itself, so that its fingerprint would never end.", steps.lstrip(".")
            )
        if id(item) not in seen and (children := _children(item)):
            seen[id(item)] = item
            path[id(item)] = entry
            todo += [None, *children]
    raise UntrackableValueError(
        f"the value is nested too deeply to be walked (Python's recursion limit is {sys.getrecursionlimit()}), or an "
        f"object in it gives itself as its __persistable_key__()."
    )


def _children(value: Any) -> list[tuple[Any, str]]:
    kind = type(value)
    if isinstance(value, Mapping):
        return [(item, key_step(key)) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(item, f"[{index}]") for index, item in enumerate(value)]
    if isinstance(value, functools.partial):
        return [(value.args, "[1]"), (value.keywords, "[2]")]
    if kind.__module__ == "numpy" and getattr(value, "dtype", None) == "O":
        return [(item, f"[{index}]") for index, item in enumerate(value.ravel().tolist())]
    return [(getattr(value, field.name, None), f".{field.name}") for field in record_fields(kind) or ()]
