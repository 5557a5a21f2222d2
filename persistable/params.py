"""Params: the dataclass of what defines a payload, beside its upstreams.

A class that has persisted artifacts can still grow: mark a new field :func:`added`, and it enters the key only
where it differs from its default; mark a field :func:`untracked`, and it never does.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final

from ._canonical import MARKER, add_rule, class_name, composite, encode, encode_str, record_fields
from .exceptions import ParamsError

__all__ = [
    "ADDED",
    "UNTRACKED",
    "PersistableParams",
    "added",
    "check_params",
    "check_roles",
    "readable",
    "tracked_params",
    "untracked",
]

UNTRACKED: Final[dict[str, Any]] = {MARKER: "untracked"}
"""The marker of :func:`untracked` for other kinds of fields: ``attrs.field(metadata=UNTRACKED)``,
``pydantic.Field(json_schema_extra=UNTRACKED)``."""

ADDED: Final[dict[str, Any]] = {MARKER: "added"}
"""The marker of :func:`added` for other kinds of fields, as :data:`UNTRACKED`."""

_LARGE = 100
"""Elements from which an array is shown by dtype, shape and digest only."""


class PersistableParams:
    """Base of params classes; decorate each subclass with ``@dataclass``.

    Raises
    ------
    ParamsError
        When a subclass that is not decorated is instantiated.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class PointsParams(PersistableParams):
    ...     n: int
    ...     random_state: int = 100
    ...     n_jobs: int = untracked(default=1)
    >>> PointsParams(n=5).to_dict()
    {'n': 5, 'random_state': 100, 'n_jobs': 1}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A decorated subclass has an __init__ of its own, and never comes here.
        kind = type(self)
        if kind is not PersistableParams:
            raise ParamsError(
                f"{kind.__qualname__} is not a dataclass: put @dataclass above the class, so that its annotations "
                f"become fields."
            )
        if args or kwargs:
            raise ParamsError(
                "PersistableParams itself has no fields: subclass it, and put @dataclass above the class."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, untracked ones too, as a dict; nested records become dicts in turn."""
        return {name: _plain(getattr(self, name)) for name in _field_names(self)}


# PersistableParams is not a dataclass itself, because frozen dataclasses can only inherit from frozen ones.
add_rule(PersistableParams, lambda value: composite(b"record", encode_str("PersistableParams"), b"m0:"))


def untracked(*, default: Any = dataclasses.MISSING, default_factory: Any = dataclasses.MISSING, **options: Any) -> Any:
    """Return a dataclass field that never enters the key: it does not define the payload.

    For what only says how to work: the number of threads, a progress bar, a time-out.

    Parameters
    ----------
    default, default_factory, **options
        As for :func:`dataclasses.field`.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Params(PersistableParams):
    ...     n_jobs: int = untracked(default=1)
    >>> encode(Params(n_jobs=1)) == encode(Params(n_jobs=8))
    True
    """
    return dataclasses.field(default=default, default_factory=default_factory, metadata=UNTRACKED, **options)


def added(*, default: Any = dataclasses.MISSING, default_factory: Any = dataclasses.MISSING, **options: Any) -> Any:
    """Return a dataclass field that enters the key only when it differs from its default.

    With it a class gains a parameter without losing what it has persisted: let the default stand for what the
    class did before, and never change that default.

    Parameters
    ----------
    default, default_factory, **options
        As for :func:`dataclasses.field`. One of the two is needed.

    Raises
    ------
    ParamsError
        If there is no default.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Params(PersistableParams):
    ...     n: int
    >>> before = encode(Params(n=5))
    >>> @dataclasses.dataclass
    ... class Params(PersistableParams):
    ...     n: int
    ...     scale: float = added(default=1.0)
    >>> encode(Params(n=5)) == before, encode(Params(n=5, scale=2.0)) == before
    (True, False)
    """
    if default is dataclasses.MISSING and default_factory is dataclasses.MISSING:
        raise ParamsError("added() needs a default: the value that stands for how it was before the field existed.")
    return dataclasses.field(default=default, default_factory=default_factory, metadata=ADDED, **options)


def check_params(params: Any, expected: type | None, owner: str) -> None:
    """Raise ParamsError unless `params` can define the payload of `owner`.

    Parameters
    ----------
    params : object
        What the user passed.
    expected : type or None
        The class that ``Persistable[Payload, Params]`` was given, if it is known.
    owner : str
        The persistable's class name, for the message.
    """
    if expected is not None and not isinstance(params, expected):
        raise ParamsError(
            f"{owner} takes params of type {expected.__qualname__}, as its class statement says; "
            f"got {_described(params)}."
        )
    if params is not None and not isinstance(params, PersistableParams) and record_fields(type(params)) is None:
        raise ParamsError(
            f"The params of {owner} must be a dataclass (best a subclass of PersistableParams), an attrs object, a "
            f"pydantic model, or None; got {_described(params)}."
        )


def check_roles(params: Any, roles: Iterable[str], owner: str) -> None:
    """Raise ParamsError if a parameter and a dependency of `owner` have the same name.

    They would share a place in the params tree.
    """
    kind: type = type(params)
    if both := _tracked_names(kind).intersection(roles):
        raise ParamsError(
            f"{owner} has both a parameter and a dependency named {min(both)!r}. Rename one: pass the dependencies as "
            f"a mapping, role -> persistable."
        )


@lru_cache(maxsize=1024)
def _tracked_names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in record_fields(kind) or () if field.marker != "untracked")


def _described(value: Any) -> str:
    return f"the class {value.__qualname__} itself" if isinstance(value, type) else f"a {type(value).__qualname__}"


def _field_names(record: Any) -> list[str]:
    return [field.name for field in record_fields(type(record)) or ()]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if not isinstance(value, type) and record_fields(type(value)) is not None:
        return {name: _plain(getattr(value, name)) for name in _field_names(value)}
    return value


def tracked_params(params: Any) -> dict[str, Any]:
    """Return the fields of `params` that enter the key, by name, in the order of the class."""
    fields = record_fields(type(params)) or ()
    return {
        field.name: getattr(params, field.name)
        for field in fields
        if field.marker is None
        or (
            field.marker == "added"
            and (field.default is None or encode(getattr(params, field.name)) != encode(field.default()))
        )
    }


# ---------------------------------------------------------------------------------------------------------------------
# The readable form


def readable(value: Any) -> Any:
    """Return `value` as JSON for people: itself where JSON is lossless, else tagged with what it is.

    A tag is a dict with one key that begins with ``$``. Large arrays and tables are shown by dtype, shape and
    SHA-256; types that have no text of their own by the SHA-256 of their canonical bytes.

    Examples
    --------
    >>> readable({"grid": (0.5, float("inf")), "since": dt.date(2026, 1, 2)})
    {'grid': {'$tuple': [0.5, {'$float': 'inf'}]}, 'since': {'$date': '2026-01-02'}}
    """
    kind = type(value)
    if value is None or kind in (bool, str, int):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is list:
        return [readable(item) for item in value]
    if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
        return {key: readable(item) for key, item in value.items()}
    for base, show in _SHOWN:
        if isinstance(value, base):
            return {f"${class_name(kind)}" if base in _BY_CLASS else f"${base.__name__}": show(value)}
    if record_fields(kind) is not None and not isinstance(value, type):
        fields = {name: readable(item) for name, item in tracked_params(value).items()}
        return {f"${class_name(kind)}": fields}
    return _shown_by_digest(value)


def _shown_by_digest(value: Any) -> dict[str, Any]:
    kind, shown = type(value), dict[str, Any]()
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.size <= _LARGE and getattr(value.dtype, "kind", "") in "biufU" and hasattr(value, "tolist"):
            values = value.tolist()
            return {f"${kind.__name__}": {"dtype": str(value.dtype), "values": readable(values)}}
        shown["dtype"] = str(value.dtype)
    if hasattr(value, "shape"):
        shown["shape"] = list(value.shape)
    if hasattr(value, "columns"):
        shown["columns"] = [readable(label) for label in value.columns[:_LARGE]]
    if callable(value) and hasattr(value, "__qualname__"):
        return {f"${kind.__name__}": f"{value.__module__}.{value.__qualname__}"}
    shown["sha256"] = sha256(encode(value)).hexdigest()
    return {f"${kind.__name__}": shown}


def _shown_pairs(value: Mapping[Any, Any]) -> list[Any]:
    return [[readable(key), readable(item)] for key, item in value.items()]


def _shown_sorted(value: Any) -> list[Any]:
    return [readable(item) for item in sorted(value, key=encode)]


def _shown_tuple(value: tuple[Any, ...]) -> Any:
    if hasattr(value, "_fields"):
        return {name: readable(item) for name, item in zip(value._fields, value, strict=True)}
    return [readable(item) for item in value]


_BY_CLASS = (Enum,)

_SHOWN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.name),
    (complex, str),
    (bytes, lambda value: base64.b64encode(value).decode() if len(value) <= 1000 else _shown_by_digest(value)),
    (tuple, _shown_tuple),
    (frozenset, _shown_sorted),
    (set, _shown_sorted),
    (Mapping, _shown_pairs),
    (PurePath, lambda value: value.as_posix()),
    (dt.datetime, lambda value: value.isoformat()),
    (dt.date, lambda value: value.isoformat()),
    (dt.time, lambda value: value.isoformat()),
    (dt.timedelta, str),
)
