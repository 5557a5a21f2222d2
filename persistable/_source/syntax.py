"""Source, as syntax trees: what of it counts, and its digest."""

from __future__ import annotations

import ast
import dis
import types
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from .._integrity import digest
from .sources import Stamp, is_young, text_of


class NotTheSource(Exception):
    """The file is not what this process runs: it was edited since."""


PLAIN = (bool, int, float, complex, str, bytes, type(None), Decimal, Fraction)


class _ClassReading(NamedTuple):
    parts: list[tuple[str, str]]  # name of a method, or "" for the rest of the body -> digest
    names: frozenset[str]  # that are used when the class is made


class _Reading(NamedTuple):
    digest: str
    names: frozenset[str]  # globals that it uses
    closed_over: frozenset[str]  # variables of the functions around that it uses
    written: frozenset[str]  # names whose values it changes


@lru_cache(maxsize=64)
def parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # cell magics; a file in the middle of an edit
        return None


@lru_cache(maxsize=64)
def _functions_by_line(text: str) -> dict[tuple[str, int], list[ast.AST]]:
    """Return (name, line) of each function in a text, as its code object has them -> its syntax trees."""
    found: dict[tuple[str, int], list[ast.AST]] = {}
    for node in ast.walk(parsed(text) or ast.Module([], [])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((node.name, line), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


@lru_cache(maxsize=4096)
def read_function(code: types.CodeType, file: str, stamp: Stamp) -> _Reading | None:
    """Return what the source of a function says; None if it has none.

    Raises
    ------
    NotTheSource
        If the file is younger than the process, and the code in it another one.
    """
    text = text_of(file, stamp)
    nodes = _functions_by_line(text).get((code.co_name, code.co_firstlineno))
    if is_young(stamp) and not _is_compiled(code, text):
        raise NotTheSource
    if not nodes:
        return None
    named = set().union(*map(_names_in, nodes))
    used, written = _globals_of(code)
    written |= used & set().union(*map(_names_changed, nodes))
    value = digest("\n".join(map(_dump, nodes)).encode("utf-8", "surrogatepass"))
    # An annotation of an inner function is compiled into the code around it; the tree tells that it is one.
    return _Reading(value, frozenset(used & named), frozenset(named.intersection(code.co_freevars)), frozenset(written))


@lru_cache(maxsize=1024)
def read_class(
    kind: type, file: str, stamp: Stamp, is_helper: bool, code: frozenset[types.CodeType]
) -> _ClassReading | None:
    """Return what the source of a class says; None if it is not there.

    `code` is that of its methods: a class whose methods are replaced, as IPython's autoreload does, is read anew.
    """
    text = text_of(file, stamp)
    node = _definition(text, kind, {item.co_firstlineno for item in code if item.co_filename == file})
    if node is None:
        return None
    if is_young(stamp) and not _has_values(kind, node):
        raise NotTheSource
    parts: list[tuple[str, str]] = []
    rest: list[ast.stmt] = []
    making: list[ast.AST] = [*node.decorator_list]
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            making += [*statement.decorator_list, *statement.args.defaults, *filter(None, statement.args.kw_defaults)]
            names_of_decorators = {getattr(item, "attr", getattr(item, "id", "")) for item in statement.decorator_list}
            if "overload" not in names_of_decorators:
                parts.append((statement.name, _digest_of([statement])))
        else:
            rest.append(statement)
    parts.append(("", _digest_of(_without_docstring(rest), fields_count=is_helper)))
    names = set().union(*map(_names_in, [*making, *rest]))
    bound = set().union(*map(_names_bound, [*making, *rest]))
    return _ClassReading(parts, frozenset(names - bound))


def _definition(text: str, kind: type, lines: set[int]) -> ast.ClassDef | None:
    """Return the statement that defined `kind`; of several of its name, the one around its methods."""
    module = parsed(text) or ast.Module([], [])
    found = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    around = [node for node in found if any(node.lineno <= line <= (node.end_lineno or 0) for line in lines)]
    return next(reversed(around or found), None)


@lru_cache(maxsize=64)
def _compiled(text: str) -> dict[tuple[str, int], list[types.CodeType]]:
    """Return (name, line) -> the code objects that a text is compiled to."""
    found: dict[tuple[str, int], list[types.CodeType]] = {}
    todo = [compile(text, "<source>", "exec", dont_inherit=True)]
    while todo:
        code = todo.pop()
        found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
        todo += [item for item in code.co_consts if isinstance(item, types.CodeType)]
    return found


def _is_compiled(code: types.CodeType, text: str) -> bool:
    return code in _compiled(text).get((code.co_name, code.co_firstlineno), [])


def _has_values(kind: type, node: ast.ClassDef) -> bool:
    """Whether the plain attributes of a class have the values that its source says."""
    for statement in node.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            value = vars(kind).get(target.id) if isinstance(target, ast.Name) else None
            if type(value) in PLAIN and value is not None:
                try:
                    written = ast.literal_eval(statement.value)
                except (ValueError, TypeError, SyntaxError, RecursionError):
                    continue
                if type(written) is not type(value) or written != value:
                    return False
    return True


_USES = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
# fmt: off
_CHANGING = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse",
    "setdefault", "sort", "update",
})
# fmt: on
"""Methods after whose call a list, dict or set is a store, and no constant."""


def _globals_of(code: types.CodeType) -> tuple[set[str], set[str]]:
    """Return the globals that a code object, and those of the functions in it, use; and those that it assigns."""
    used, written, todo = set(), set(), [code]
    while todo:
        item = todo.pop()
        todo += [inner for inner in item.co_consts if isinstance(inner, types.CodeType)]
        for instruction in dis.get_instructions(item):
            if instruction.opname in _USES:
                used.add(instruction.argval)
            elif instruction.opname in _WRITES:
                written.add(instruction.argval)
    return used, written


def _walk_without_annotations(node: ast.AST) -> Iterator[ast.AST]:
    todo = [node]
    while todo:
        item = todo.pop()
        yield item
        for name, value in ast.iter_fields(item):
            if name not in _TYPES:
                todo += [
                    child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
                ]


def _names_in(node: ast.AST) -> set[str]:
    return {item.id for item in _walk_without_annotations(node) if isinstance(item, ast.Name)}


def _names_bound(node: ast.AST) -> set[str]:
    """Return the names that class-level code assigns, loops over, or takes as arguments of a lambda."""
    walked = list(_walk_without_annotations(node))
    stored = {item.id for item in walked if isinstance(item, ast.Name) and not isinstance(item.ctx, ast.Load)}
    return stored | {item.arg for item in walked if isinstance(item, ast.arg)}


def _names_changed(node: ast.AST) -> set[str]:
    """Return the names of lists, dicts and sets that a function fills or empties: ``_cache[key] = value``."""
    found = set()
    for item in _walk_without_annotations(node):
        changed: ast.AST | None = None
        if isinstance(item, ast.Subscript | ast.Attribute) and not isinstance(item.ctx, ast.Load):
            changed = item.value
        elif isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute) and item.func.attr in _CHANGING:
            changed = item.func.value
        while isinstance(changed, ast.Subscript | ast.Attribute):
            changed = changed.value
        if isinstance(changed, ast.Name):
            found.add(changed.id)
    return found


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def _digest_of(nodes: Iterable[ast.AST], *, fields_count: bool = False) -> str:
    texts = (_dump(node, fields_count=fields_count) for node in nodes)
    return digest("\n".join(text for text in texts if text).encode("utf-8", "surrogatepass"))


_TYPES = frozenset({"annotation", "returns", "type_params", "type_comment"})
_SILENT = _TYPES | {"ctx", "kind", "simple"}


def _dump(tree: ast.AST, *, fields_count: bool = False) -> str:
    """Return a syntax tree as text. Empty fields are left out, because later Pythons add such.

    Without recursion: a sum of a thousand terms is a tree as deep. `fields_count`: a variable with an annotation and
    no value is the field of a record; elsewhere it says nothing.
    """
    out: list[str] = []
    todo: list[tuple[bool, Any]] = [(False, tree)]  # (is text, text or tree), the next one last
    while todo:
        is_text, item = todo.pop()
        if is_text:
            out.append(item)
            continue
        if isinstance(item, ast.AnnAssign) and not fields_count:
            if item.value is None:
                continue
            item = ast.Assign(targets=[item.target], value=item.value)
        coming: list[tuple[bool, Any]] = []
        if isinstance(item, list):
            coming.append((True, "["))
            for place, element in enumerate(item):
                coming += [(True, "," if place else ""), (False, element)]
            coming.append((True, "]"))
        elif not isinstance(item, ast.AST):
            coming.append((True, f"{type(item).__name__}:{_text_of_constant(item)}"))
        else:
            coming.append((True, f"{type(item).__name__}("))
            comma = ""
            for name, value in ast.iter_fields(item):
                if name == "body" and isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    value = _without_docstring(value)
                if isinstance(value, list) and not fields_count:
                    value = [element for element in value if not _is_declaration(element)]
                if value is None or value == [] or name in _SILENT:
                    continue
                coming += [(True, f"{comma}{name}="), (False, value)]
                comma = ","
            coming.append((True, ")"))
        todo += reversed(coming)
    return "".join(out)


def _is_declaration(node: Any) -> bool:
    return isinstance(node, ast.AnnAssign) and node.value is None


def _text_of_constant(value: Any) -> str:
    if type(value) is int:
        return str(value) if abs(value) < 10**18 else hex(value)  # long integers have no decimals by default
    return repr(value)
