"""Where the source of a class is, and what tells that it is still the same text."""

from __future__ import annotations

import functools
import linecache
import os
import sys
import time
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from .._canonical import encode
from .._integrity import digest

Stamp: TypeAlias = tuple[int, int] | None
"""(mtime in ns, size) of a source file; None if the source is in no file: a notebook cell."""

_STARTED = time.time_ns()
"""When this process began, more or less."""


def closure(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Return the variables of the functions around that a function uses."""
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # not assigned yet
            continue
    return found


def module_of(function: types.FunctionType) -> str:
    # Not its `__module__`, which functools.wraps copies.
    return str(function.__globals__.get("__name__"))


_WRAPPERS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    types.MethodType: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools.partial: ("func",),
    functools.partialmethod: ("func",),
}


def functions_in(value: Any) -> Iterator[types.FunctionType]:
    """Yield a function, and those that it wraps, or that it is wrapped in as a property, a static method and so on."""
    todo, seen = [value], set[int]()
    while todo and len(seen) < 100:
        item = todo.pop()
        if id(item) in seen or issubclass(type(item), type):
            continue
        seen.add(id(item))
        if type(item) is types.FunctionType:  # not isinstance, which asks a lazy object for its class
            yield item
            todo += [inner for _, inner in closure(item) if callable(inner) or type(inner) in _WRAPPERS]
        if type(item) in _WRAPPERS:
            todo += [getattr(item, name) for name in _WRAPPERS[type(item)]]
        elif callable(item) and not hasattr(type(item), "_generate_payload"):
            try:
                todo.append(getattr(item, "__wrapped__", None))
            except Exception:
                continue


def text_digest(kind: type, files: Iterable[str] | None = None) -> str | None:
    """Return the digest of the text that `kind` and its bases come from; None if text alone does not tell.

    Text alone tells if it is that of whole modules. It does not where a class is in a notebook cell, or closes over
    variables; nor where, as `files` shows, its parts come from elsewhere too.
    """
    try:
        told: list[Any] = []
        known = set()
        for base in classes_of_the_user(kind):
            found = file_of(base)
            functions = [function for value in vars(base).values() for function in functions_in(value)]
            if found is None or not found.is_module or ("<locals>" in base.__qualname__ and _close_over(functions)):
                return None
            known.add(found.file)
            # Two classes of one file and one payload name are two, of one name too: if/else around them.
            lines = [f.__code__.co_firstlineno for f in functions if f.__code__.co_filename == found.file]
            told += [base.__qualname__, min(lines, default=0), _digest_of_text(found.file, found.stamp)]
        return digest(encode(told)) if told and known.issuperset(files or ()) else None
    except Exception:
        return None


@lru_cache(maxsize=1024)
def _digest_of_text(file: str, stamp: Stamp) -> str:
    return digest(text_of(file, stamp).encode("utf-8", "surrogatepass"))


def _close_over(functions: Iterable[types.FunctionType]) -> bool:
    """Whether what the methods of a class do depends on variables of the function that made it."""
    return any(name != "__class__" for function in functions for name in function.__code__.co_freevars)


class _File(NamedTuple):
    """Where the source of a class is."""

    file: str
    stamp: Stamp
    is_module: bool  # not a cell, nor a piece of code that was executed elsewhere


def classes_of_the_user(kind: type) -> list[type]:
    foreign = (__name__.partition(".")[0], "typing", "abc", "builtins", "enum", "collections", "contextlib")
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in foreign]


def namespace_of(kind: type) -> dict[str, Any]:
    return vars(sys.modules.get(kind.__module__, types.ModuleType("nothing")))


def file_of(kind: type) -> _File | None:
    """Return the file, or the notebook cell, that defines `kind`."""
    functions = [function for value in vars(kind).values() for function in functions_in(value)]
    # The code object knows its file also where the module does not: in a notebook cell.
    files = {f.__code__.co_filename: f.__globals__ for f in functions if module_of(f) == kind.__module__}
    namespace = namespace_of(kind)
    if namespace.get("__file__"):
        files.setdefault(namespace["__file__"], namespace)
    for file, names in files.items():
        stamp = stamp_of(file)
        if stamp is None:
            linecache.lazycache(file, names)  # the source may be in an archive
        if f"class {kind.__name__}" in text_of(file, stamp):
            return _File(file, stamp, stamp is not None and names.get("__file__") == file)
    # A class without methods in a notebook: IPython keeps the text of the cells in `In`.
    cells = [text for text in cells_of(namespace) if f"class {kind.__name__}" in text]
    return _File("\n" + cells[0], None, False) if cells else None


def cells_of(namespace: Mapping[str, Any]) -> list[str]:
    """Return the text of the notebook cells of a module, the latest first."""
    cells = namespace.get("In")
    return [text for text in reversed(cells) if isinstance(text, str)] if isinstance(cells, list) else []


def stamp_of(file: str) -> Stamp:
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size)


def is_young(stamp: Stamp) -> bool:
    """Whether a file may be another one than the process has read."""
    return stamp is not None and stamp[0] > _STARTED


def text_of(file: str, stamp: Stamp) -> str:
    return _text_of_file(file, stamp) if stamp else file if file.startswith("\n") else _text_of_cell(file)


def _text_of_cell(file: str) -> str:
    return "".join(linecache.getlines(file))


@lru_cache(maxsize=64)
def _text_of_file(file: str, stamp: Stamp) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:  # linecache reads the line that states the encoding
        return _text_of_cell(file)
    except OSError:
        return ""
