"""What code made an artifact, and what of it has changed since.

A class is described by a digest per part: each of its methods, the rest of its body, and what these use of their own
module: functions, classes and plain constants, and what those use in turn. Functions and classes count by the syntax
tree of their source, wherever that is (a file, or any cell of a notebook); comments, docstrings, annotations and
formatting do not count. Constants count by value. What is used is what the compiled code names as global, looked up
in the running module. Left alone are other modules (for them a class states its ``version``), persistables and
params (they are in the key), paths, and what ``__init__`` uses.

On a hit this costs one read and one digest of the source file: while its text is the same, so is everything in it.
It is parsed only when it has changed. A notebook has no such text, because its cells are run in any order: there the
parts are looked up on each hit, and only what is new is parsed.

All of this is advice. Where the code cannot be told (no source; a file edited under a running process), there is no
digest, and nothing is said. Nothing here raises.
"""

from __future__ import annotations

import ast
import datetime as dt
import dis
import functools
import linecache
import os
import sys
import time
import types
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from re import Pattern
from typing import Any, NamedTuple, TypeAlias, get_args

from ._canonical import encode
from ._integrity import digest
from .exceptions import UntrackableValueError

__all__ = ["changes", "digests_of", "is_same", "parts_of"]

_Stamp: TypeAlias = tuple[int, int] | None
"""(mtime in ns, size) of a source file; None if the source is in no file: a notebook cell."""

_STARTED = time.time_ns()
"""When this process began, more or less."""

_LONGEST = 10_000
"""Elements beyond which a constant is data, and not followed."""


# ---------------------------------------------------------------------------------------------------------------------
# The four questions


def is_same(kind: type, text: str | None, parts: str | None) -> bool:
    """Return whether `kind` is the code that these digests are of; True where one of the two is not known."""
    if parts is None:
        return True
    same = _is_same(kind, text, parts)
    return _has_parts(kind, parts) if same is None else same


def parts_of(kind: type) -> dict[str, str]:
    """Return the parts of `kind`, of the bases that its user wrote, and of what these use; empty if not known.

    Returns
    -------
    dict of str to str
        Name of each part, as ``OutlierEstimatorP._generate_payload`` -> digest of its syntax tree, or of its value.
    """
    return _code_of(kind).parts


def digests_of(kind: type) -> tuple[str | None, str | None]:
    """Return what a manifest's head says of the code of `kind`: the digest of its text, and of its parts."""
    code = _code_of(kind)
    if not code.parts:
        return None, None
    return _text_digest(kind, code.files), _digest_of_parts(code.parts)


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs between the parts of two codes, as sentences without a verb in front.

    >>> changes({"P.fit": "a", "P.plot": "b"}, {"P.fit": "c", "P.score": "d"})
    ['P.fit changed', 'P.plot is gone', 'P.score is new']
    """
    found = [f"{part} {'changed' if part in now else 'is gone'}" for part in before if before[part] != now.get(part)]
    return sorted(found + [f"{part} is new" for part in now if part not in before])


@lru_cache(maxsize=4096)
def _is_same(kind: type, text: str | None, parts: str) -> bool | None:
    """Answer :func:`is_same` for good; None if the answer may be another one after the next notebook cell."""
    now = _text_digest(kind)
    if now is None:
        return None
    return now == text or _has_parts(kind, parts)


def _has_parts(kind: type, parts: str) -> bool:
    now = parts_of(kind)
    return not now or _digest_of_parts(now) == parts


def _digest_of_parts(parts: dict[str, str]) -> str:
    return digest(repr(sorted(parts.items())).encode("utf-8", "surrogatepass"))


# ---------------------------------------------------------------------------------------------------------------------
# The short cut: the same classes, on the same lines of the same text


def _text_digest(kind: type, files: Iterable[str] | None = None) -> str | None:
    """Return the digest of the text that `kind` and its bases come from; None if text alone does not tell.

    Text alone tells if it is that of whole modules. It does not where a class is in a notebook cell, or closes over
    variables; nor where, as `files` shows, its parts come from elsewhere too.
    """
    try:
        told: list[Any] = []
        known = set()
        for base in _classes_of_the_user(kind):
            found = _file_of(base)
            functions = [function for value in vars(base).values() for function in _functions_in(value)]
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
def _digest_of_text(file: str, stamp: _Stamp) -> str:
    return digest(_text(file, stamp).encode("utf-8", "surrogatepass"))


def _close_over(functions: Iterable[types.FunctionType]) -> bool:
    """Whether what the methods of a class do depends on variables of the function that made it."""
    return any(name != "__class__" for function in functions for name in function.__code__.co_freevars)


class _File(NamedTuple):
    """Where the source of a class is."""

    file: str
    stamp: _Stamp
    is_module: bool  # not a cell, nor a piece of code that was executed elsewhere


def _classes_of_the_user(kind: type) -> list[type]:
    foreign = (__name__.partition(".")[0], "typing", "abc", "builtins", "enum", "collections", "contextlib")
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in foreign]


def _namespace_of(kind: type) -> dict[str, Any]:
    return vars(sys.modules.get(kind.__module__, types.ModuleType("nothing")))


def _file_of(kind: type) -> _File | None:
    """Return the file, or the notebook cell, that defines `kind`."""
    functions = [function for value in vars(kind).values() for function in _functions_in(value)]
    # The code object knows its file also where the module does not: in a notebook cell.
    files = {f.__code__.co_filename: f.__globals__ for f in functions if _module_of(f) == kind.__module__}
    namespace = _namespace_of(kind)
    if namespace.get("__file__"):
        files.setdefault(namespace["__file__"], namespace)
    for file, names in files.items():
        stamp = _stamp(file)
        if stamp is None:
            linecache.lazycache(file, names)  # the source may be in an archive
        if f"class {kind.__name__}" in _text(file, stamp):
            return _File(file, stamp, stamp is not None and names.get("__file__") == file)
    # A class without methods in a notebook: IPython keeps the text of the cells in `In`.
    cells = [text for text in _cells(namespace) if f"class {kind.__name__}" in text]
    return _File("\n" + cells[0], None, False) if cells else None


def _cells(namespace: Mapping[str, Any]) -> list[str]:
    """Return the text of the notebook cells of a module, the latest first."""
    cells = namespace.get("In")
    return [text for text in reversed(cells) if isinstance(text, str)] if isinstance(cells, list) else []


def _stamp(file: str) -> _Stamp:
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size)


def _is_young(stamp: _Stamp) -> bool:
    """Whether a file may be another one than the process has read."""
    return stamp is not None and stamp[0] > _STARTED


def _text(file: str, stamp: _Stamp) -> str:
    return _text_of_file(file, stamp) if stamp else file if file.startswith("\n") else _text_of_cell(file)


def _text_of_cell(file: str) -> str:
    return "".join(linecache.getlines(file))


@lru_cache(maxsize=64)
def _text_of_file(file: str, stamp: _Stamp) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:  # linecache reads the line that states the encoding
        return _text_of_cell(file)
    except OSError:
        return ""


# ---------------------------------------------------------------------------------------------------------------------
# The parts: a walk from the methods through what they use


class _Code(NamedTuple):
    parts: dict[str, str]
    files: frozenset[str]


class _NotTheSource(Exception):
    """The file is not what this process runs: it was edited since."""


class _NotPlain(Exception):
    """The value is no constant."""


def _code_of(kind: type) -> _Code:
    try:
        return _Walk(kind).code()
    except Exception:  # no source, other source, a recursion too deep, a module that meddles with attributes
        return _Code({}, frozenset())


class _Walk:
    """One walk through the code of a class."""

    def __init__(self, kind: type) -> None:
        self.digests: dict[str, set[str]] = {}
        self.files: set[str] = set()
        self.constants: list[tuple[str, str, bytes]] = []  # module, name, encoded value
        self.written: set[tuple[str, str]] = set()  # module and name of the globals that the code itself changes
        self.seen: set[int] = set()
        self.todo: list[tuple[types.FunctionType, str, bool]] = []
        self.classes = _classes_of_the_user(kind)
        self.params = {item for base in self.classes for item in _params_of(base)}

    def code(self) -> _Code:
        for base in self.classes:
            self.add_class(base, is_helper=False)
        while self.todo:
            self.add_function(*self.todo.pop())
        for module, name, value in self.constants:
            if (module, name) not in self.written:
                self.add_part(name, digest(value))
        parts = {
            name: found.copy().pop() if len(found) == 1 else digest("\n".join(sorted(found)).encode())
            for name, found in sorted(self.digests.items())
        }
        return _Code(parts, frozenset(self.files))

    def add_part(self, name: str, value: str) -> None:
        self.digests.setdefault(name, set()).add(value)

    def is_new(self, item: Any) -> bool:
        if id(item) in self.seen:
            return False
        self.seen.add(id(item))
        return True

    def add_class(self, kind: type, *, is_helper: bool) -> None:
        if not self.is_new(kind):
            return
        namespace = _namespace_of(kind)
        for attribute, value in list(vars(kind).items()):
            for function in _own_functions(kind, value):
                namespace = function.__globals__
                # __init__ only keeps what it is given. What it makes are upstreams and places: in the key, or not.
                self.add_later(function, attribute, is_helper or attribute != "__init__")
        found = _file_of(kind)
        reading = _read_class(kind, found.file, found.stamp, is_helper, _code_in(kind)) if found else None
        if found is None or reading is None:
            if any(_is_young(_stamp(code.co_filename)) for code in _code_in(kind)):
                raise _NotTheSource
            return
        self.files.add(found.file)
        name = _short(kind.__qualname__)
        for part, value in reading.parts:
            self.add_part(f"{name}.{part}" if part else name, value)
        for used in reading.names:
            self.follow(used, namespace, kind.__module__)

    def add_later(self, function: types.FunctionType, name: str, follow: bool = True) -> None:
        if self.is_new(function):
            self.todo.append((function, name, follow))

    def add_function(self, function: types.FunctionType, name: str, follow: bool) -> None:
        code, module = function.__code__, _module_of(function)
        reading = _read_function(code, code.co_filename, _stamp(code.co_filename))
        if reading is None:
            return
        self.files.add(code.co_filename)
        short = _short(function.__qualname__)
        self.add_part(name if short == "<lambda>" else short, reading.digest)
        self.written.update((module, written) for written in reading.written)
        if follow:
            for used in reading.names:
                self.follow(used, function.__globals__, module)
            for used, value in _closure(function):
                if used in reading.closed_over:
                    self.follow(used, {used: value}, module)

    def follow(self, name: str, namespace: Mapping[str, Any], module: str) -> None:
        """Add what `name` stands for in a module, if it is the module's own."""
        try:
            if name in namespace:
                self.add_value(name, namespace[name], namespace, module)
        except _NotTheSource:
            raise
        except Exception:
            return  # a lazy object that cannot be looked at: no part of the code

    def add_value(self, name: str, value: Any, namespace: Mapping[str, Any], module: str) -> None:
        if isinstance(value, types.ModuleType):
            return
        found: list[Any] = []
        if callable(value) and not isinstance(value, functools.partial):
            found.append(value)
        else:
            try:
                plain = encode(_plain(value, found))
            except (_NotPlain, UntrackableValueError):
                found.append(type(value))  # of an object, what it can do counts, and not what it holds
            else:
                if not _varies(name, namespace):
                    self.constants.append((module, name, plain))
        for item in found:
            if isinstance(item, type):
                if item.__module__ == module and not self.is_in_the_key(item):
                    for base in item.__mro__:
                        if base.__module__ == module:
                            self.add_class(base, is_helper=True)
            else:
                for function in _functions_in(item):
                    if _module_of(function) == module:
                        self.add_later(function, name)

    def is_in_the_key(self, kind: type) -> bool:
        """Whether a class is that of a persistable or of params."""
        library = __name__.partition(".")[0]
        is_params = any(base.__module__ == f"{library}.params" for base in kind.__mro__)
        return is_params or kind in self.params or hasattr(kind, "_generate_payload")


def _short(qualname: str) -> str:
    return qualname.rpartition("<locals>.")[2]


def _module_of(function: types.FunctionType) -> str:
    # Not its `__module__`, which functools.wraps copies.
    return str(function.__globals__.get("__name__"))


def _params_of(kind: type) -> list[Any]:
    """Return the params classes in ``Persistable[Payload, Params]``."""
    return [item for base in vars(kind).get("__orig_bases__", ()) for item in get_args(base)[1:2]]


def _own_functions(kind: type, value: Any) -> Iterator[types.FunctionType]:
    """Yield the functions of the module of `kind` that one of its attributes, or a class nested in it, holds."""
    is_nested = type(value) is type and value.__qualname__ == f"{kind.__qualname__}.{value.__name__}"
    for member in list(vars(value).values()) if is_nested else [value]:
        for function in _functions_in(member):
            if _module_of(function) == kind.__module__:
                yield function


def _code_in(kind: type) -> frozenset[types.CodeType]:
    return frozenset(
        function.__code__ for value in list(vars(kind).values()) for function in _own_functions(kind, value)
    )


_WRAPPERS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    types.MethodType: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools.partial: ("func",),
    functools.partialmethod: ("func",),
}


def _functions_in(value: Any) -> Iterator[types.FunctionType]:
    """Yield a function, and those that it wraps, or that it is wrapped in as a property, a static method and so on."""
    todo, seen = [value], set[int]()
    while todo and len(seen) < 100:
        item = todo.pop()
        if id(item) in seen or issubclass(type(item), type):
            continue
        seen.add(id(item))
        if type(item) is types.FunctionType:  # not isinstance, which asks a lazy object for its class
            yield item
            todo += [inner for _, inner in _closure(item) if callable(inner) or type(inner) in _WRAPPERS]
        if type(item) in _WRAPPERS:
            todo += [getattr(item, name) for name in _WRAPPERS[type(item)]]
        elif callable(item) and not hasattr(type(item), "_generate_payload"):
            try:
                todo.append(getattr(item, "__wrapped__", None))
            except Exception:
                continue


def _closure(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Return the variables of the functions around that a function uses."""
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # not assigned yet
            continue
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Constants, by value

_PLAIN = (bool, int, float, complex, str, bytes, type(None), Decimal, Fraction)
_TIMES = (dt.date, dt.time, dt.datetime, dt.timedelta)


def _plain(value: Any, functions: list[Any]) -> Any:
    """Return what stands for a constant; functions and classes in it, as in a table of them, go to `functions`.

    Raises
    ------
    _NotPlain
        If it is none: an object, data, or a place (which is another one on another machine).
    """
    budget = _LONGEST

    def plain(item: Any) -> Any:
        nonlocal budget
        budget -= 1
        kind = type(item)
        if budget < 0 or (kind is str and len(item) > 1 and os.path.isabs(item)):
            raise _NotPlain
        if kind in _PLAIN or kind in _TIMES:
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
        raise _NotPlain

    return plain(value)


# fmt: off
_VARYING = frozenset({
    "__file__", "argv", "cpu_count", "cwd", "environ", "expanduser", "getcwd", "getenv", "gethostname", "getpid",
    "getuser", "home", "is_available", "monotonic", "now", "perf_counter", "random", "time", "time_ns", "today",
    "token_hex", "urandom", "utcnow", "uuid1", "uuid4",
})
# fmt: on
"""Names in an assignment that make its value that of a run or a machine, and not one that somebody wrote."""


def _varies(name: str, namespace: Mapping[str, Any]) -> bool:
    file = namespace.get("__file__")
    texts = [_text(file, _stamp(file))] if isinstance(file, str) else _cells(namespace)
    found = next((names for text in texts if (names := _assignments(text).get(name)) is not None), frozenset())
    return not _VARYING.isdisjoint(found)


@lru_cache(maxsize=256)
def _assignments(text: str) -> dict[str, frozenset[str]]:
    """Return each variable that a text assigns -> the names and attributes in the values that it assigns."""
    found: dict[str, frozenset[str]] = {}
    todo: list[ast.AST] = [_parsed(text) or ast.Module([], [])]
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


# ---------------------------------------------------------------------------------------------------------------------
# Source, as syntax trees


class _ClassReading(NamedTuple):
    parts: list[tuple[str, str]]  # name of a method, or "" for the rest of the body -> digest
    names: frozenset[str]  # that are used when the class is made


class _Reading(NamedTuple):
    digest: str
    names: frozenset[str]  # globals that it uses
    closed_over: frozenset[str]  # variables of the functions around that it uses
    written: frozenset[str]  # names whose values it changes


@lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # cell magics; a file in the middle of an edit
        return None


@lru_cache(maxsize=64)
def _functions_by_line(text: str) -> dict[tuple[str, int], list[ast.AST]]:
    """Return (name, line) of each function in a text, as its code object has them -> its syntax trees."""
    found: dict[tuple[str, int], list[ast.AST]] = {}
    for node in ast.walk(_parsed(text) or ast.Module([], [])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((node.name, line), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


@lru_cache(maxsize=4096)
def _read_function(code: types.CodeType, file: str, stamp: _Stamp) -> _Reading | None:
    """Return what the source of a function says; None if it has none.

    Raises
    ------
    _NotTheSource
        If the file is younger than the process, and the code in it another one.
    """
    text = _text(file, stamp)
    nodes = _functions_by_line(text).get((code.co_name, code.co_firstlineno))
    if _is_young(stamp) and not _is_compiled(code, text):
        raise _NotTheSource
    if not nodes:
        return None
    named = set().union(*map(_names_in, nodes))
    used, written = _globals_of(code)
    written |= used & set().union(*map(_names_changed, nodes))
    value = digest("\n".join(map(_dump, nodes)).encode("utf-8", "surrogatepass"))
    # An annotation of an inner function is compiled into the code around it; the tree tells that it is one.
    return _Reading(value, frozenset(used & named), frozenset(named.intersection(code.co_freevars)), frozenset(written))


@lru_cache(maxsize=1024)
def _read_class(
    kind: type, file: str, stamp: _Stamp, is_helper: bool, code: frozenset[types.CodeType]
) -> _ClassReading | None:
    """Return what the source of a class says; None if it is not there.

    `code` is that of its methods: a class whose methods are replaced, as IPython's autoreload does, is read anew.
    """
    text = _text(file, stamp)
    node = _definition(text, kind, {item.co_firstlineno for item in code if item.co_filename == file})
    if node is None:
        return None
    if _is_young(stamp) and not _has_values(kind, node):
        raise _NotTheSource
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
    module = _parsed(text) or ast.Module([], [])
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
            if type(value) in _PLAIN and value is not None:
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
