"""What a user declares of a persistable, in the class statement and to the constructor: read, and checked."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from .exceptions import DuplicateDependencyError, ParamsError
from .fileio import FileIO
from .lineage import Node

__all__ = ["by_role", "checked_io", "checked_name", "checked_suffix", "params_argument_of", "snake_case"]

NodeT = TypeVar("NodeT", bound=Node)

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def snake_case(name: str) -> str:
    """Return a class name in snake case, by the rule of persistable 1.x: its artifacts are found by it.

    >>> snake_case("GaussianDistributedPointsP"), snake_case("HTTPLogP")
    ('gaussian_distributed_points_p', 'http_log_p')
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name.lstrip("_"))
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", name).lower()


@lru_cache(maxsize=1024)
def checked_name(name: str) -> str:
    """Return a payload name that can name a folder everywhere, or raise ParamsError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ParamsError(
            f"payload_name must be made of letters, digits, '.', '_' and '-', and not begin with a dot, because it "
            f"names a folder; got {name!r}."
        )
    return name


def checked_io(payload_io: Any) -> FileIO[Any]:
    """Return a FileIO object, or raise TypeError."""
    if not isinstance(payload_io, FileIO):
        given = f"the class {payload_io.__qualname__}" if isinstance(payload_io, type) else repr(payload_io)
        raise TypeError(f"payload_io must be a FileIO object, such as PickleFileIO(); got {given}.")
    return payload_io


def checked_suffix(suffix: str) -> str:
    """Return a suffix of a file, or raise ParamsError."""
    if not re.fullmatch(r"(\.[A-Za-z0-9_-]+)+", suffix):
        raise ParamsError(f"payload_file_suffix must look like '.pickle'; got {suffix!r}.")
    return suffix


def by_role(dependencies: Any, owner: type, kind: type[NodeT]) -> dict[str, NodeT]:
    """Return role -> upstream, each of them a `kind`. The iterable is read once: it may be a generator."""
    if isinstance(dependencies, Mapping):
        by_role = dict(dependencies)
        if wrong := [role for role in by_role if not isinstance(role, str)]:
            raise ParamsError(f"The roles of dependencies must be str; {owner.__qualname__} got {wrong[0]!r}.")
    else:
        if isinstance(dependencies, kind):
            raise ParamsError(
                f"Pass the dependencies of {owner.__qualname__} as a list: [{dependencies.payload_name}]."
            )
        by_role = {}
        for upstream in dependencies:
            role = getattr(upstream, "payload_name", repr(upstream))
            if role in by_role:
                raise DuplicateDependencyError(
                    f"{owner.__qualname__} has two dependencies named {role!r}. Pass a mapping that gives each its "
                    f"role: {{'train': …, 'test': …}}."
                )
            by_role[role] = upstream
    for role, upstream in by_role.items():
        if not isinstance(upstream, kind):
            raise ParamsError(
                f"The dependencies of {owner.__qualname__} must be persistables; {role!r} is a "
                f"{type(upstream).__qualname__}. Pass other values as params."
            )
    return by_role


def params_argument_of(cls: type, root: type) -> Any:
    """Return what a class statement gives for the params, as ``Params`` in ``class P(Persistable[Payload, Params])``.

    Generic classes between pass their type variable on: ``class ModelP(Persistable[Model, ParamsT])``.
    """
    for base in cls.__dict__.get("__orig_bases__", ()):
        origin, arguments = typing.get_origin(base), typing.get_args(base)
        if origin is root:
            return typing.get_origin(arguments[1]) or arguments[1]
        if isinstance(origin, type) and issubclass(origin, root):
            passed_on = getattr(origin, "_params_argument", None)
            variables = getattr(origin, "__parameters__", ())
            return arguments[variables.index(passed_on)] if passed_on in variables else passed_on
    return getattr(cls, "_params_argument", None)
