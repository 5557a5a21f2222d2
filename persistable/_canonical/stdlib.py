"""Rules for the rest of the standard library: dates, numbers, paths, enums, what can be imported, and so on."""

from __future__ import annotations

import datetime as dt
import functools
import re
import sys
import types
import uuid
from collections import Counter, OrderedDict, defaultdict
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from operator import attrgetter
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from zoneinfo import ZoneInfo

from ..exceptions import UntrackableValueError
from .core import (
    Encoder,
    add_rules,
    class_name,
    composite,
    encode_bytes,
    encode_dict,
    encode_int,
    encode_items,
    encode_list,
    encode_str,
    encode_tuple,
    encode_value,
)


def _encode_ordered(value: OrderedDict[Any, Any]) -> bytes:
    """Whoever takes an OrderedDict says that the order counts; two in different orders are not equal either."""
    return composite(b"ordered", encode_list([*value]), encode_list([*value.values()]))


def _encode_range(value: range) -> bytes:
    """By what it counts, as ranges compare: range(0, 3, 2) and range(0, 4, 2) are equal."""
    count = max(0, -((value.start - value.stop) // value.step))
    start, step = value.start if count else 0, value.step if count > 1 else 0
    return composite(b"range", *map(encode_int, (count, start, step)))


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    return composite(b"decimal", encode_int(sign), encode_bytes(bytes(digits)), encode_value(exponent))


def zone_name(zone: dt.tzinfo) -> bytes:
    """Return the encoding of a time zone: its name, or its offset from UTC in microseconds where it has none."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)  # zoneinfo; pytz
    if isinstance(name, str):
        return encode_str(name)
    try:
        offset = zone.utcoffset(None)
    except Exception:  # whatever a class that expects a datetime does with None
        offset = None
    if offset is None:
        raise UntrackableValueError(
            f"a time zone of type {type(zone).__module__}.{type(zone).__qualname__} has neither a name nor a fixed "
            f"offset that could stand for it. Use zoneinfo.ZoneInfo or datetime.timezone."
        )
    return encode_int(offset // dt.timedelta(microseconds=1)) if offset else encode_str("UTC")


def _encode_datetime(value: dt.datetime) -> bytes:
    if value.tzinfo is None:
        fields = (value.toordinal(), value.hour, value.minute, value.second, value.microsecond, value.fold)
        return composite(b"datetime", *map(encode_int, fields))
    instant = (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return composite(b"instant", encode_int(instant), zone_name(value.tzinfo))


def _encode_time(value: dt.time) -> bytes:
    fields = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    zone = b"N" if value.tzinfo is None else zone_name(value.tzinfo)
    return composite(b"time", *map(encode_int, fields), zone)


def _encode_zone(value: dt.tzinfo) -> bytes:
    return composite(b"zone", zone_name(value))


def _encode_path(value: PurePath) -> bytes:
    return composite(b"path", encode_str(value.as_posix()))


def _encode_flag(value: Flag) -> bytes:
    names = sorted(str(member._name_) for member in value)
    named = functools.reduce(lambda left, right: left | right._value_, value, 0)
    rest = value._value_ & ~named
    return composite(b"enum", encode_str(class_name(type(value))), encode_list(names), encode_int(rest))


def _encode_enum(value: Enum) -> bytes:
    return composite(b"enum", encode_str(class_name(type(value))), encode_str(value._name_))


def encode_importable(value: Any) -> bytes:
    """Return the encoding of a function or a class: where it is imported from."""
    module, name = getattr(value, "__module__", None) or "", value.__qualname__
    try:
        found = attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        found = None
    if found is not value:
        kind = "a lambda" if value.__name__ == "<lambda>" else f"{name!r}"
        raise UntrackableValueError(
            f"{kind} cannot be imported by another process, so it has no name that could stand for it. "
            f"Define it at the top level of a module, or pass what distinguishes it as a parameter."
        )
    if (module, name) == ("numpy", "bool"):
        name = "bool_"  # as numpy 1 called it
    return composite(b"importable", encode_str(_imported_as(module)), encode_str(name))


def _imported_as(module: str) -> str:
    """The name by which others import `module`: a script is "__main__" to itself, "__mp_main__" to its workers."""
    if module not in ("__main__", "__mp_main__"):
        return module
    spec, file = (getattr(sys.modules[module], name, None) for name in ("__spec__", "__file__"))
    return spec.name if spec is not None else PurePath(file).stem if file is not None else "__main__"


def _encode_partial(value: functools.partial[Any]) -> bytes:
    return composite(b"partial", *encode_items([value.func, value.args, value.keywords]))


def encoder_for(kind: type) -> Encoder | None:
    """Return the encoder for an enum, a named tuple or a metaclass; None for other types."""
    if issubclass(kind, Flag):
        return _encode_flag
    if issubclass(kind, Enum):
        return _encode_enum
    if issubclass(kind, type):
        return encode_importable
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        head = encode_str(class_name(kind)), encode_list(list(kind._fields))
        return lambda value: composite(b"namedtuple", *head, encode_tuple(value))
    return None


_RULES: dict[type, Encoder] = {
    OrderedDict: _encode_ordered,
    types.MappingProxyType: encode_dict,
    Counter: lambda value: composite(b"counter", encode_dict(value)),
    defaultdict: lambda value: composite(b"defaultdict", encode_value(value.default_factory), encode_dict(value)),
    range: _encode_range,
    slice: lambda value: composite(b"slice", encode_tuple((value.start, value.stop, value.step))),
    type(...): lambda value: composite(b"ellipsis"),
    Decimal: _encode_decimal,
    Fraction: lambda value: composite(b"fraction", encode_int(value.numerator), encode_int(value.denominator)),
    uuid.UUID: lambda value: composite(b"uuid", encode_bytes(value.bytes)),
    dt.date: lambda value: composite(b"date", encode_int(value.toordinal())),
    dt.datetime: _encode_datetime,
    dt.time: _encode_time,
    dt.timedelta: lambda value: composite(b"timedelta", encode_int(value // dt.timedelta(microseconds=1))),
    dt.timezone: _encode_zone,
    ZoneInfo: _encode_zone,
    re.Pattern: lambda value: composite(b"pattern", encode_value(value.pattern), encode_int(value.flags)),
    functools.partial: _encode_partial,
    types.FunctionType: encode_importable,
    types.BuiltinFunctionType: encode_importable,
    **dict.fromkeys((PurePath, PurePosixPath, PureWindowsPath, Path, PosixPath, WindowsPath), _encode_path),
}

add_rules(_RULES, encoder_for)
