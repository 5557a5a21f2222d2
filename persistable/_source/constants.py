"""Constants that code uses, by value."""

from __future__ import annotations

import ast
import datetime as dt
import functools
import os
import types
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from re import Pattern
from typing import Any

from .sources import cells_of, stamp_of, text_of
from .syntax import PLAIN, parsed


class NotPlain(Exception):
    """The value is no constant."""


_LONGEST = 10_000
"""Elements beyond which a constant is data, and not followed."""

_TIMES = (dt.date, dt.time, dt.datetime, dt.timedelta)


def plain_value(value: Any, functions: list[Any]) -> Any:
    """Return what stands for a constant; functions and classes in it, as in a table of them, go to `functions`.

    Raises
    ------
    NotPlain
        If it is none: an object, data, or a place (which is another one on another machine).
    """
    budget = _LONGEST

    def plain(item: Any) -> Any:
        nonlocal budget
        budget -= 1
        kind = type(item)
        if budget < 0 or (kind is str and len(item) > 1 and os.path.isabs(item)):
            raise NotPlain
        if kind in PLAIN or kind in _TIMES:
            return item
        if kind is list:
            return [plain(element) for element in item]
        if isinstance(item, tuple):
            return tuple(plain(element) for element in item)
        if kind in (set, frozenset):
            return frozenset(map(plain, item))
        if kind in (dict, types.MappingProxyType):
            return {plain(key): plain(element) for key, element in item.items()}
        if isinstance(item, Enum):
            return ("enum", kind.__qualname__, item.name)
        if kind is range:
            return ("range", item.start, item.stop, item.step)
        if isinstance(item, Pattern):
            return ("pattern", item.pattern, item.flags)
        if kind is functools.partial:
            return ("partial", plain(item.func), plain(item.args), plain(item.keywords))
        if (
            kind.__module__ == "numpy"
            and hasattr(item, "dtype")
            and item.size <= budget
            and item.dtype.kind in "biufcSU"
        ):
            return ("numpy", str(item.dtype.newbyteorder("=")), item.shape, plain(item.tolist()))
        if callable(item):
            functions.append(item)
            return ("code", getattr(item, "__qualname__", kind.__qualname__))
        raise NotPlain

    return plain(value)


# fmt: off
_VARYING = frozenset({
    "__file__", "argv", "cpu_count", "cwd", "environ", "expanduser", "getcwd", "getenv", "gethostname", "getpid",
    "getuser", "home", "is_available", "monotonic", "now", "perf_counter", "random", "time", "time_ns", "today",
    "token_hex", "urandom", "utcnow", "uuid1", "uuid4",
})
# fmt: on
"""Names in an assignment that make its value that of a run or a machine, and not one that somebody wrote."""


def varies(name: str, namespace: Mapping[str, Any]) -> bool:
    file = namespace.get("__file__")
    texts = [text_of(file, stamp_of(file))] if isinstance(file, str) else cells_of(namespace)
    found = next((names for text in texts if (names := _assignments(text).get(name)) is not None), frozenset())
    return not _VARYING.isdisjoint(found)


@lru_cache(maxsize=256)
def _assignments(text: str) -> dict[str, frozenset[str]]:
    """Return each variable that a text assigns -> the names and attributes in the values that it assigns."""
    found: dict[str, frozenset[str]] = {}
    todo: list[ast.AST] = [parsed(text) or ast.Module([], [])]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            used = {getattr(item, "id", getattr(item, "attr", "")) for item in ast.walk(node.value)}
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for item in ast.walk(target):
                    if isinstance(item, ast.Name):
                        found[item.id] = found.get(item.id, frozenset()) | used
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            todo += ast.iter_child_nodes(node)
    return found
