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
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import PurePath
from re import Pattern
from typing import Any, Final
from uuid import UUID

from ._canonical import MARKER, add_record_base, class_name, encode, extra_fields, record_fields
from .exceptions import ParamsError, UntrackableValueError

__all__ = [
    "ADDED",
    "UNTRACKED",
    "PersistableParams",
    "added",
    "check_params",
    "check_roles",
    "plain_numbers",
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
add_record_base(PersistableParams)


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
    return _marked(UNTRACKED, options, default=default, default_factory=default_factory)


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
    return _marked(ADDED, options, default=default, default_factory=default_factory)


def _marked(marker: dict[str, Any], options: dict[str, Any], **defaults: Any) -> Any:
    return dataclasses.field(metadata={**(options.pop("metadata", None) or {}), **marker}, **defaults, **options)


def check_params(params: Any, expected: type | tuple[type, ...] | None, owner: str) -> None:
    """Raise ParamsError unless `params` can define the payload of `owner`.

    Parameters
    ----------
    params : object
        What the user passed.
    expected : type or tuple of types or None
        What ``Persistable[Payload, Params]`` was given, if it is known.
    owner : str
        The persistable's class name, for the message.
    """
    if expected is not None and not isinstance(params, expected):
        kinds = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(kind.__qualname__ for kind in kinds)
        remedy = ""
        if isinstance(params, Mapping):
            remedy = f" Pass {kinds[0].__name__}(**{{…}})."
        elif type(params).__qualname__ in [kind.__qualname__ for kind in kinds]:
            remedy = (
                f" It is one of an older definition of that class: the cell or module was run again. Run the class "
                f"{owner} again too, and make the object anew."
            )
        raise ParamsError(
            f"{owner} takes params of type {names}, as its class statement says; got {_described(params)}.{remedy}"
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
    tracked = {
        field.name: getattr(params, field.name)
        for field in record_fields(type(params)) or ()
        if field.marker is None
        or (
            field.marker == "added"
            and (field.default is None or encode(getattr(params, field.name)) != encode(field.default()))
        )
    }
    return tracked | extra_fields(params)


def plain_numbers(value: Any, path: str = "metrics") -> Any:
    """Return metrics as plain numbers, text, dicts and lists; numpy's and torch's scalars as the numbers that they are.

    Raises
    ------
    UntrackableValueError
        If there is something else among them.
    """
    if isinstance(value, Mapping):
        return {str(name): plain_numbers(item, f"{path}[{str(name)!r}]") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_numbers(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise UntrackableValueError(f"a {type(value).__qualname__} is no number.", path)


# ---------------------------------------------------------------------------------------------------------------------
# The readable form


_LEVELS = 50
"""Levels of nesting that are shown: JSON writers count in recursions too."""

_BITS = 2000
"""Of an int: more are shown in hexadecimal, because Python limits the digits of decimal conversion."""


def readable(value: Any) -> Any:
    """Return `value` as JSON for people: itself where JSON is lossless, else tagged with what it is.

    A tag is a dict with one key that begins with ``$``. Large arrays and tables are shown by dtype, shape and
    SHA-256; types that have no text of their own, and what is nested very deeply, by the SHA-256 of their canonical
    bytes.

    Raises
    ------
    UntrackableValueError
        If no key rule covers a value that has no text of its own.

    Examples
    --------
    >>> readable({"grid": (0.5, float("inf")), "since": dt.date(2026, 1, 2)})
    {'grid': {'$tuple': [0.5, {'$float': 'inf'}]}, 'since': {'$date': '2026-01-02'}}
    """
    try:
        return _readable(value, _LEVELS)
    except UntrackableValueError:  # or nested so deeply that there was no room left to find the digest of a part
        return _by_digest(value)


def _readable(value: Any, levels: int) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if value.bit_length() <= _BITS else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if levels == 0:
        return _by_digest(value)
    inner = partial(_readable, levels=levels - 1)
    if kind is list:
        return [inner(item) for item in value]
    if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
        return {key: inner(item) for key, item in value.items()}
    for base, show in _TEXTS:
        if isinstance(value, base):
            return {"$Path" if base is PurePath else f"${class_name(kind)}": show(value)}
    for base, parts_of in _PARTS:
        if isinstance(value, base):
            return {f"${class_name(kind)}": [inner(part) for part in parts_of(value)]}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return {f"${class_name(kind)}": [inner(item) for item in value]}
    if isinstance(value, tuple):
        fields: Mapping[str, Any] = dict(zip(value._fields, value, strict=True))  # type: ignore[attr-defined]
    elif record_fields(kind) is not None:
        fields = tracked_params(value)
    elif kind.__module__ == "numpy" and hasattr(value, "dtype"):
        return _readable_numpy(value, inner)
    else:
        return _by_digest(value)
    return {f"${class_name(kind)}": {name: inner(item) for name, item in fields.items()}}


def _readable_numpy(value: Any, inner: Callable[[Any], Any]) -> Any:
    """A scalar, as its Python value where that has the same key; an array, in full where it is small."""
    kind, letter = type(value), value.dtype.kind
    if kind.__name__ == "ndarray" and value.size <= _LARGE and letter in "biufUmM":
        values = (value.astype(str) if letter in "mM" else value).tolist()
        return {"$ndarray": {"dtype": str(value.dtype), "shape": [*value.shape], "values": inner(values)}}
    if kind.__name__ == "ndarray" or value.shape or letter not in "biufUmM":
        return _by_digest(value)
    item = str(value) if letter in "mM" else value.item()
    return inner(item) if encode(item) == encode(value) else {f"${kind.__name__}": inner(item)}


def _by_digest(value: Any) -> dict[str, Any]:
    kind, shown = type(value), dict[str, Any]()
    if callable(value) and hasattr(value, "__qualname__"):
        return {"$class" if isinstance(value, type) else "$function": f"{value.__module__}.{value.__qualname__}"}
    if hasattr(value, "shape"):
        shown["shape"] = [*value.shape]
        if hasattr(value, "columns"):
            shown["columns"] = [readable(label) for label in value.columns[:_LARGE].tolist()]
            shown["dtypes"] = [str(dtype) for dtype in value.dtypes.tolist()[:_LARGE]]
        elif hasattr(value, "dtype"):
            shown["dtype"] = str(value.dtype)
    shown["sha256"] = sha256(encode(value)).hexdigest()
    return {f"${class_name(kind)}": shown}


def _base64(value: bytes | bytearray) -> Any:
    return (
        base64.b64encode(value).decode() if len(value) <= 10 * _LARGE else {"sha256": sha256(encode(value)).hexdigest()}
    )


_TEXTS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.name if value.name is not None else value.value),
    (complex, str),
    (bytes, _base64),
    (bytearray, _base64),
    (Decimal, str),
    (UUID, str),
    (PurePath, PurePath.as_posix),
    (dt.date, lambda value: value.isoformat()),
    (dt.time, dt.time.isoformat),
    (dt.timedelta, str),
    (dt.tzinfo, str),
)
"""What has a text of its own."""

_PARTS: tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...] = (
    (frozenset, lambda value: sorted(value, key=encode)),
    (set, lambda value: sorted(value, key=encode)),
    (Mapping, lambda value: [[*pair] for pair in value.items()]),
    (range, lambda value: (value.start, value.stop, value.step)),
    (slice, lambda value: (value.start, value.stop, value.step)),
    (Fraction, lambda value: (value.numerator, value.denominator)),
    (Pattern, lambda value: (value.pattern, value.flags)),
    (partial, lambda value: (value.func, value.args, value.keywords)),
)
"""What is shown by what it is made of."""
