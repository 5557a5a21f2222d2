"""The parts of a class: a walk from its methods through what they use."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from .._canonical import encode
from .._integrity import digest
from ..exceptions import UntrackableValueError
from .constants import NotPlain, plain_value, varies
from .sources import classes_of_the_user, closure, file_of, functions_in, is_young, module_of, namespace_of, stamp_of
from .syntax import NotTheSource, read_class, read_function


class _Code(NamedTuple):
    parts: dict[str, str]
    files: frozenset[str]


def code_of(kind: type) -> _Code:
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
        self.classes = classes_of_the_user(kind)
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
        namespace = namespace_of(kind)
        for attribute, value in list(vars(kind).items()):
            for function in _own_functions(kind, value):
                namespace = function.__globals__
                # __init__ only keeps what it is given. What it makes are upstreams and places: in the key, or not.
                self.add_later(function, attribute, is_helper or attribute != "__init__")
        found = file_of(kind)
        reading = read_class(kind, found.file, found.stamp, is_helper, _code_in(kind)) if found else None
        if found is None or reading is None:
            if any(is_young(stamp_of(code.co_filename)) for code in _code_in(kind)):
                raise NotTheSource
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
        code, module = function.__code__, module_of(function)
        reading = read_function(code, code.co_filename, stamp_of(code.co_filename))
        if reading is None:
            return
        self.files.add(code.co_filename)
        short = _short(function.__qualname__)
        self.add_part(name if short == "<lambda>" else short, reading.digest)
        self.written.update((module, written) for written in reading.written)
        if follow:
            for used in reading.names:
                self.follow(used, function.__globals__, module)
            for used, value in closure(function):
                if used in reading.closed_over:
                    self.follow(used, {used: value}, module)

    def follow(self, name: str, namespace: Mapping[str, Any], module: str) -> None:
        """Add what `name` stands for in a module, if it is the module's own."""
        try:
            if name in namespace:
                self.add_value(name, namespace[name], namespace, module)
        except NotTheSource:
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
                plain = encode(plain_value(value, found))
            except (NotPlain, UntrackableValueError):
                found.append(type(value))  # of an object, what it can do counts, and not what it holds
            else:
                if not varies(name, namespace):
                    self.constants.append((module, name, plain))
        for item in found:
            if isinstance(item, type):
                if item.__module__ == module and not self.is_in_the_key(item):
                    for base in item.__mro__:
                        if base.__module__ == module:
                            self.add_class(base, is_helper=True)
            else:
                for function in functions_in(item):
                    if module_of(function) == module:
                        self.add_later(function, name)

    def is_in_the_key(self, kind: type) -> bool:
        """Whether a class is that of a persistable or of params."""
        library = __name__.partition(".")[0]
        is_params = any(base.__module__ == f"{library}.params" for base in kind.__mro__)
        return is_params or kind in self.params or hasattr(kind, "_generate_payload")


def _short(qualname: str) -> str:
    return qualname.rpartition("<locals>.")[2]


def _params_of(kind: type) -> list[Any]:
    """Return the params classes in ``Persistable[Payload, Params]``."""
    return [item for base in vars(kind).get("__orig_bases__", ()) for item in get_args(base)[1:2]]


def _own_functions(kind: type, value: Any) -> Iterator[types.FunctionType]:
    """Yield the functions of the module of `kind` that one of its attributes, or a class nested in it, holds."""
    is_nested = type(value) is type and value.__qualname__ == f"{kind.__qualname__}.{value.__name__}"
    for member in list(vars(value).values()) if is_nested else [value]:
        for function in functions_in(member):
            if module_of(function) == kind.__module__:
                yield function


def _code_in(kind: type) -> frozenset[types.CodeType]:
    return frozenset(
        function.__code__ for value in list(vars(kind).values()) for function in _own_functions(kind, value)
    )
