"""What a user declares of a persistable, in the class statement and to the constructor: read, and checked."""

from __future__ import annotations

import re
import types
import typing
import warnings  # noqa: F401  # for the example
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from ._hooks import HOOKS
from ._warn import warn
from .exceptions import DuplicateDependencyError, ParamsError, PersistableWarning
from .fileio import FileIO
from .keys import NAME
from .lineage import Node

__all__ = [
    "by_role",
    "check_hook_names",
    "checked_io",
    "checked_name",
    "checked_suffix",
    "params_argument_of",
    "params_type_of",
    "snake_case",
]

NodeT = TypeVar("NodeT", bound=Node)


def snake_case(name: str) -> str:
    """Return a class name in snake case, by the rule of persistable 1.x: its artifacts are found by it.

    What cannot stand in a payload name is left out.

    >>> snake_case("GaussianDistributedPointsP"), snake_case("HTTPLogP"), snake_case("_ÄP")
    ('gaussian_distributed_points_p', 'http_log_p', 'p')
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub("[^A-Za-z0-9_]", "", name).lstrip("_"))
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", name).lower()[:200] or "payload"


@lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """Return a payload name that can name a folder everywhere, or raise ParamsError."""
    if not isinstance(name, str) or not _is_name(name):
        raise ParamsError(
            f"payload_name must be made of up to 200 ASCII letters, digits, '.', '_' and '-', and not begin with a "
            f"dot, because it names a folder; got {name!r}."
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
            role = getattr(upstream, "payload_name", f"number {len(by_role) + 1}")
            if role in by_role:
                raise DuplicateDependencyError(
                    f"{owner.__qualname__} has two dependencies named {role!r}. Pass a mapping that gives each its "
                    f"role: {{'train': …, 'test': …}}."
                )
            by_role[role] = upstream
    for role, upstream in by_role.items():
        if not isinstance(upstream, kind):
            raise ParamsError(
                f"The dependencies of {owner.__qualname__} must be persistables; one of them is of type "
                f"{type(upstream).__qualname__} (role {role}). Pass other values as params."
            )
    return by_role


def params_argument_of(cls: type, root: type) -> Any:
    """Return what a class statement gives for the params, as ``Params`` in ``class P(Persistable[Payload, Params])``.

    Generic classes between pass their type variable on: ``class ModelP(Persistable[Model, ParamsT])``.
    """
    for base in cls.__dict__.get("__orig_bases__", ()):
        origin, arguments = typing.get_origin(base), typing.get_args(base)
        if origin is root:
            return arguments[1]
        if isinstance(origin, type) and issubclass(origin, root):
            passed_on = getattr(origin, "_params_argument", None)
            variables = getattr(origin, "__parameters__", ())
            return arguments[variables.index(passed_on)] if passed_on in variables else passed_on
    return getattr(cls, "_params_argument", None)


def params_type_of(argument: Any) -> type | tuple[type, ...] | None:
    """Return the class, or classes, that params must be of; None if what a class statement gives does not say.

    >>> params_type_of(int | None), params_type_of(typing.Annotated[int, "…"]), params_type_of(typing.Any)
    ((<class 'int'>, <class 'NoneType'>), <class 'int'>, None)
    """
    origin, arguments = typing.get_origin(argument), typing.get_args(argument)
    if origin is typing.Annotated:
        return params_type_of(arguments[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [params_type_of(kind) for kind in arguments]
        return tuple(kind for kind in kinds if isinstance(kind, type)) if all(map(_is_type, kinds)) else None
    argument = types.NoneType if argument is None else origin or argument
    if not _is_type(argument) or argument in (Any, object) or getattr(argument, "_is_protocol", False):
        return None
    return argument  # type: ignore[no-any-return]


def _is_type(value: Any) -> bool:
    return isinstance(value, type)


def check_hook_names(cls: type, root: type) -> None:
    """Warn of a method that is almost named like a hook: it would never be called.

    >>> warnings.simplefilter("error")
    >>> check_hook_names(type("P", (), {"_validate_paylod": None}), object)
    Traceback (most recent call last):
    persistable.exceptions.PersistableWarning: P._validate_paylod is not called by anything. Is _validate_payload meant?
    """
    for name in cls.__dict__:
        if name.startswith(("_gen", "_val", "_post", "_ext", "_is_")) and name not in HOOKS and not hasattr(root, name):
            from difflib import get_close_matches

            if close := get_close_matches(name, HOOKS, cutoff=0.9):
                warn(f"{cls.__qualname__}.{name} is not called by anything. Is {close[0]} meant?", PersistableWarning)
