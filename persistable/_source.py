"""What code made an artifact, and what of it has changed since.

A class is described by a digest per part: each of its methods, the rest of its body, and the functions and
constants of its own module that these name. Comments, docstrings and formatting do not count, because the digests
are of the syntax tree. Code of other modules is not followed: for that, a class states its ``version``.

On a hit this costs one digest of the source file: while its text is the same, so is everything in it, and it is
parsed only when it has changed.
"""

from __future__ import annotations

import ast
import linecache
import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ._integrity import digest

__all__ = ["changes", "digests_of", "is_same", "parts_of"]


@lru_cache(maxsize=1024)
def text_digest(kind: type) -> str | None:
    """Return the digest of the source files of `kind` and its bases; None if they have no source."""
    texts = [text for _, text in _sources(kind)]
    return digest("\0".join(texts).encode("utf-8", "surrogatepass")) if texts and all(texts) else None


@lru_cache(maxsize=1024)
def parts_of(kind: type) -> dict[str, str]:
    """Return the parts of `kind` and of the bases that its user wrote; empty if there is no source.

    Returns
    -------
    dict of str to str
        Name of each part, as ``OutlierEstimatorP._generate_payload`` -> digest of its syntax tree.
    """
    parts: dict[str, str] = {}
    for base, text in reversed(_sources(kind)):
        parts.update(_parts(base, text))
    return parts


def digests_of(kind: type) -> tuple[str | None, str | None]:
    """Return what a manifest's head says of the code of `kind`: the digest of its text, and of its parts."""
    parts = parts_of(kind)
    return text_digest(kind), digest(repr(sorted(parts.items())).encode()) if parts else None


@lru_cache(maxsize=4096)
def is_same(kind: type, text: str | None, parts: str | None) -> bool:
    """Return whether `kind` is the code that these digests are of; True where one of the two is not known."""
    if parts is None or text == text_digest(kind):
        return True
    now = digests_of(kind)[1]
    return now is None or now == parts


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs between the parts of two codes, as sentences without a verb in front.

    >>> changes({"P.fit": "a", "P.plot": "b"}, {"P.fit": "c", "P.score": "d"})
    ['P.fit changed', 'P.plot is gone', 'P.score is new']
    """
    found = [f"{part} {'changed' if part in now else 'is gone'}" for part in before if before[part] != now.get(part)]
    return sorted(found + [f"{part} is new" for part in now if part not in before])


def _sources(kind: type) -> list[tuple[type, str]]:
    """Return each class of the user's in the hierarchy of `kind`, with the text of its file or notebook cell."""
    library = __name__.partition(".")[0]
    return [
        (base, _text(_file_of(base)))
        for base in kind.__mro__
        if base.__module__.partition(".")[0] not in (library, "typing", "abc", "builtins")
    ]


def _file_of(kind: type) -> str:
    functions = [value for value in vars(kind).values() if isinstance(value, types.FunctionType)]
    # The code object knows its file also where the module does not: in a notebook cell.
    own = [function.__code__.co_filename for function in functions if function.__module__ == kind.__module__]
    return own[0] if own else str(getattr(sys.modules.get(kind.__module__), "__file__", None) or "")


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeDecodeError):
        return "".join(linecache.getlines(file))


@lru_cache(maxsize=32)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:  # IPython magics, or a file that has been edited under a running process
        return None


def _parts(kind: type, text: str) -> dict[str, str]:
    """Return name -> digest of the parts of one class, and of what it uses in its module."""
    module = _parsed(text)
    node = _definition(module, kind) if module is not None else None
    if module is None or node is None:
        return {}
    parts: dict[str, str] = {}
    rest: list[ast.stmt] = []
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            parts[f"{node.name}.{statement.name}"] = _digest_of(statement)
        else:
            rest.append(statement)
    parts[node.name] = _digest_of(*_without_docstring(rest))
    return parts | _helpers(module, node)


def _definition(module: ast.Module, kind: type) -> ast.ClassDef | None:
    """Return the statement that defined `kind`; of several of its name, the one around its methods."""
    lines = {value.__code__.co_firstlineno for value in vars(kind).values() if isinstance(value, types.FunctionType)}
    found = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    around = [node for node in found if any(node.lineno <= line <= (node.end_lineno or 0) for line in lines)]
    return next(reversed(around or found), None)


def _helpers(module: ast.Module, node: ast.ClassDef) -> dict[str, str]:
    """Return the functions and constants of the module that the methods name, and those that these name in turn."""
    named: dict[str, list[ast.stmt]] = {}
    for statement in module.body:
        for name in _names_bound(statement):
            named.setdefault(name, []).append(statement)
    parts: dict[str, str] = {}
    todo: list[ast.AST] = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
    while todo:
        for item in ast.walk(todo.pop()):
            if isinstance(item, ast.Name) and item.id in named and item.id not in parts:
                parts[item.id] = _digest_of(*named[item.id])
                todo += named[item.id]
    return parts


def _names_bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (item.id for target in statement.targets for item in ast.walk(target) if isinstance(item, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def _digest_of(*nodes: ast.AST) -> str:
    return digest("\n".join(map(_dump, nodes)).encode("utf-8", "surrogatepass"))


def _dump(value: Any) -> str:
    """Return a syntax tree as text. Empty fields are left out, because later Pythons add such."""
    if isinstance(value, list):
        return f"[{','.join(map(_dump, value))}]"
    if not isinstance(value, ast.AST):
        return f"{type(value).__name__}:{value!r}"
    fields = []
    for name, item in ast.iter_fields(value):
        if name == "body" and isinstance(value, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            item = _without_docstring(item)
        if item is None or item == [] or name in ("ctx", "kind", "type_comment"):
            continue
        fields.append(f"{name}={_dump(item)}")
    return f"{type(value).__name__}({','.join(fields)})"
