"""Value -> canonical bytes: what a key is the digest of.

Equal values have equal bytes in every process, on every machine, Python and library version; two different values
never have. The first is why nothing here calls ``repr``, ``str``, ``hash`` or pickle, which vary with the hash seed,
the library version, shared references and print options. The second is why the encoding is self-delimiting: every
value is a tag, a length, and bytes, so that no value can run into its neighbour::

    N  T  F                 None, True, False
    i<hex>;                 int, of any size
    d<8 bytes>              float, IEEE 754, big endian; one NaN
    c<8 bytes><8 bytes>     complex
    s<length>:<UTF-8>       str (lone surrogates included)
    b<length>:<bytes>       bytes, up to 1 MiB
    B<length>:<digests>     bytes beyond that, by the SHA-256 of each piece of 1 MiB
    l<n>:<values>           list            t<n>:<values>    tuple
    m<n>:<keys, values>     dict, sorted by the encoding of the key (not an OrderedDict: its order counts)
    S<n>:<values>           set and frozenset (they are equal in Python), sorted by encoding
    o<length>:<kind><n>:<values>    everything else: a kind, and the values that it is made of

A type without a rule raises :class:`~persistable.exceptions.UntrackableValueError`; there is no fallback, because a
fallback is where two different values meet. A rule that changes must change :data:`persistable.keys.SCHEME` too.

numpy and pandas values have their rules in modules of their own, imported when such a value is first met.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import inspect
import os
import re
import sys
import threading
import types
import uuid
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from hashlib import sha256
from operator import attrgetter
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from struct import Struct
from typing import Any, NoReturn, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from .exceptions import ParamsError, UntrackableValueError

Encoder: TypeAlias = Callable[[Any], bytes]
T = TypeVar("T")

MARKER = "persistable"
"""The key under which a field's metadata says that it is "untracked" or "added"."""

WAYS_OUT = (
    "Persist it as an artifact and pass that as a dependency, give its class a __persistable_key__() method, teach "
    "the library with persistable.register_encoder(), or mark the field untracked() if it does not define the payload"
)

PIECE = 1 << 20
"""Bytes of content that are hashed at once. Part of the key rules: never change it without a new scheme."""

_PARALLEL_FROM = 4 * PIECE


def encode(value: Any) -> bytes:
    """Return the canonical bytes of `value`.

    Raises
    ------
    UntrackableValueError
        If a type has no rule, or if the value contains itself or is nested too deeply; it names the place.

    Examples
    --------
    >>> encode({"n": 10, "grid": (0.5, "log")})
    b'm2:s1:nia;s4:gridt2:d?\\xe0\\x00\\x00\\x00\\x00\\x00\\x00s3:log'
    """
    try:
        return _encoders[type(value)](value)
    except RecursionError:
        _explain_recursion(value)


def encode_value(value: Any) -> bytes:
    """Return the canonical bytes of a value inside another one: only the outermost call explains a recursion."""
    return _encoders[type(value)](value)


def register_encoder(kind: type[T], function: Callable[[T], Any]) -> None:
    """Teach the library how to fingerprint a third-party type.

    Parameters
    ----------
    kind : type
        The type; its subclasses follow the same rule under their own names.
    function : callable
        Takes a value, returns what defines it, in types that already have a rule.

    Raises
    ------
    ValueError
        If the type, or one that derives from it, has a rule of the library's own: another would change existing keys.

    Examples
    --------
    >>> import ipaddress
    >>> register_encoder(ipaddress.IPv4Address, lambda address: address.packed)
    >>> encode(ipaddress.ip_address("127.0.0.1")) == encode(ipaddress.ip_address("127.0.0.2"))
    False
    """
    with _lock:
        if kind not in _registered and (ruled := _has_rule(kind)) is not None:
            raise ValueError(
                f"{kind.__qualname__} cannot be registered: {ruled.__qualname__} has a key rule already, and another "
                f"one would change existing keys."
            )
        _registered[kind] = function
        for met in _encoders.keys() - _RULES.keys():  # what was found out before may follow the new rule now
            del _encoders[met]


def _has_rule(kind: type) -> type | None:
    """Return `kind` or a type that derives from it (``object`` and ``Mapping``, too, are bases) if that has a rule."""
    try:
        _encoders[kind]
    except UntrackableValueError:
        return next((ruled for ruled in _RULES if issubclass(ruled, kind)), None)
    return kind


def add_record_base(kind: type) -> None:
    """Let `kind`, which is no dataclass, count as a record without fields; those that derive from it must be one."""
    _record_bases.add(kind)


def composite(kind: bytes, *parts: bytes) -> bytes:
    """Return the encoding of a value of `kind` that is made of encoded `parts`."""
    return b"o%d:%b%d:%b" % (len(kind), kind, len(parts), b"".join(parts))


def content(items: int, size: int, piece: Callable[[int, int], Any]) -> bytes:
    """Return the encoding of large content, hashed piece by piece on all cores.

    Parameters
    ----------
    items : int
        Number of items.
    size : int
        Bytes of one item.
    piece : callable
        ``piece(start, stop)`` returns the canonical bytes of these items, as a contiguous buffer.
    """
    length = items * size
    if length <= PIECE:
        return b"b%d:%b" % (length, piece(0, items))
    step = max(1, PIECE // size)

    def hash_piece(start: int) -> bytes:
        return sha256(piece(start, min(start + step, items))).digest()

    starts = range(0, items, step)
    threads = min(len(starts), _cores())
    if threads < 2 or length < _PARALLEL_FROM:
        digests: Iterable[bytes] = map(hash_piece, starts)
        return b"B%d:%b" % (length, b"".join(digests))
    with ThreadPoolExecutor(threads) as pool:  # hashlib and numpy's copies release the interpreter lock
        return b"B%d:%b" % (length, b"".join(pool.map(hash_piece, starts)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def class_name(kind: type) -> str:
    """Return the name that stands for a class: without its module, which may move, or the function around it.

    A script and whoever imports it, a notebook and the package that its classes move to share artifacts. ``Model[int]``
    goes by ``Model``, as pydantic compares it.

    >>> class_name(Field), class_name(dt.datetime)
    ('Field', 'datetime')
    """
    kind = getattr(kind, "__pydantic_generic_metadata__", {}).get("origin") or kind
    return kind.__qualname__.rpartition("<locals>.")[2]


# ---------------------------------------------------------------------------------------------------------------------
# Plain values. These run for every leaf of every params tree on every hit, hence their shortness.

_pack_float = Struct(">d").pack
_NAN = b"d" + _pack_float(float("nan"))


def _encode_int(value: int) -> bytes:
    return b"i%x;" % value  # hexadecimal: linear, and without the digit limit of decimal conversion


def _encode_float(value: float) -> bytes:
    return b"d" + _pack_float(value) if value == value else _NAN


def _encode_complex(value: complex) -> bytes:
    return b"c" + _encode_float(value.real)[1:] + _encode_float(value.imag)[1:]


def encode_str(value: str) -> bytes:
    """Return the encoding of a str, lone surrogates included."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def encode_bytes(value: Any) -> bytes:
    """Return the encoding of bytes."""
    if len(value) <= PIECE:
        return b"b%d:%b" % (len(value), value)
    view = memoryview(value)
    return content(len(value), 1, lambda start, stop: view[start:stop])


# ---------------------------------------------------------------------------------------------------------------------
# Containers. The index or key of the element at work is kept in a variable, so that an error can name its place.


def encode_items(values: Iterable[Any]) -> list[bytes]:
    """Return the encodings of `values`, in order."""
    parts: list[bytes] = []
    append, encoders = parts.append, _encoders
    try:
        for value in values:
            append(encoders[type(value)](value))
    except UntrackableValueError as error:
        raise error.inside(f"[{len(parts)}]") from None
    return parts


def _encode_list(value: list[Any]) -> bytes:
    return b"l%d:%b" % (len(value), b"".join(encode_items(value)))


def _encode_tuple(value: tuple[Any, ...]) -> bytes:
    return b"t%d:%b" % (len(value), b"".join(encode_items(value)))


def _encode_set(value: frozenset[Any] | set[Any]) -> bytes:
    return b"S%d:%b" % (len(value), b"".join(sorted(encode_items(value))))


_names: dict[str, bytes] = {}
"""Encodings of dict keys and field names that were met before: params use the same few all the time."""

_MANY_NAMES, _LONG_NAME = 10_000, 100


def _encode_name(name: str) -> bytes:
    encoded = encode_str(name)
    if len(_names) < _MANY_NAMES and len(name) < _LONG_NAME:
        _names[name] = encoded
    return encoded


def encode_name(name: str) -> bytes:
    """Return the encoding of a str that is met again and again."""
    return _names.get(name) or _encode_name(name)


def _encode_dict(value: Mapping[Any, Any]) -> bytes:
    pairs: list[bytes] = []
    append, encoders, names = pairs.append, _encoders, _names
    key: Any = None
    try:
        for key, item in value.items():
            if type(key) is str:
                append((names.get(key) or _encode_name(key)) + encoders[type(item)](item))
            else:
                append(encoders[type(key)](key) + encoders[type(item)](item))
    except UntrackableValueError as error:
        raise error.inside(_key_step(key)) from None
    pairs.sort()  # by key: no encoding of a key begins with another one. The items decide between two NaN
    return b"m%d:%b" % (len(pairs), b"".join(pairs))


def _key_step(key: Any) -> str:
    """The step of a path that leads through `key`."""
    plain = type(key) is str or (type(key) is int and key.bit_length() < 64)
    return f"[{key!r}]" if plain else f"[{type(key).__qualname__}]"


def _encode_ordered(value: OrderedDict[Any, Any]) -> bytes:
    """Whoever takes an OrderedDict says that the order counts; two in different orders are not equal either."""
    return composite(b"ordered", _encode_list([*value]), _encode_list([*value.values()]))


def _encode_range(value: range) -> bytes:
    """By what it counts, as ranges compare: range(0, 3, 2) and range(0, 4, 2) are equal."""
    count = max(0, -((value.start - value.stop) // value.step))
    start, step = value.start if count else 0, value.step if count > 1 else 0
    return composite(b"range", *map(_encode_int, (count, start, step)))


# ---------------------------------------------------------------------------------------------------------------------
# The rest of the standard library


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    return composite(b"decimal", _encode_int(sign), encode_bytes(bytes(digits)), encode_value(exponent))


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
    return _encode_int(offset // dt.timedelta(microseconds=1)) if offset else encode_str("UTC")


def _encode_datetime(value: dt.datetime) -> bytes:
    if value.tzinfo is None:
        fields = (value.toordinal(), value.hour, value.minute, value.second, value.microsecond, value.fold)
        return composite(b"datetime", *map(_encode_int, fields))
    instant = (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return composite(b"instant", _encode_int(instant), zone_name(value.tzinfo))


def _encode_time(value: dt.time) -> bytes:
    fields = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    zone = b"N" if value.tzinfo is None else zone_name(value.tzinfo)
    return composite(b"time", *map(_encode_int, fields), zone)


def _encode_zone(value: dt.tzinfo) -> bytes:
    return composite(b"zone", zone_name(value))


def _encode_path(value: PurePath) -> bytes:
    return composite(b"path", encode_str(value.as_posix()))


def _encode_flag(value: Flag) -> bytes:
    names = sorted(str(member._name_) for member in value)
    named = functools.reduce(lambda left, right: left | right._value_, value, 0)
    rest = value._value_ & ~named
    return composite(b"enum", encode_str(class_name(type(value))), _encode_list(names), _encode_int(rest))


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


# ---------------------------------------------------------------------------------------------------------------------
# Records: dataclasses, attrs classes, pydantic models


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a record: its name, its marker, and how to make its default."""

    name: str
    marker: str | None
    default: Callable[[], Any] | None


_record_bases: set[type] = set()


def _is_record(kind: type) -> bool:
    return (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or _is_pydantic(kind)
        or not _record_bases.isdisjoint(kind.__mro__)
    )


def _is_pydantic(kind: type) -> bool:
    return hasattr(kind, "__pydantic_validator__")


def record_fields(kind: type) -> Sequence[Field] | None:
    """Return the fields of a dataclass, attrs class or pydantic model; None if `kind` is none of these.

    Raises
    ------
    ParamsError
        If a class among its bases has annotations, but is not decorated: these fields would be lost. If a marker is
        not known, or says that a field without a default was added.
    """
    if not _is_record(kind):
        return None
    fields: list[Field] = []
    if dataclasses.is_dataclass(kind):
        described = getattr(kind, "__pydantic_fields__", {})  # of a dataclass by pydantic
        for field in dataclasses.fields(kind):
            marker, default = field.metadata.get(MARKER), _default_of(field.default, field.default_factory)
            if field.name in described:
                marker = marker or _pydantic_marker(described[field.name])
                default = _pydantic_default(described[field.name])
            fields.append(Field(field.name, marker, default))
    elif hasattr(kind, "__attrs_attrs__"):
        fields = [
            Field(field.name, field.metadata.get(MARKER), _attrs_default(field)) for field in kind.__attrs_attrs__
        ]
    elif _is_pydantic(kind):
        described = getattr(kind, "__pydantic_fields__" if hasattr(kind, "__pydantic_fields__") else "model_fields")
        fields = [Field(name, _pydantic_marker(field), _pydantic_default(field)) for name, field in described.items()]
        return _checked(kind, fields)
    _require_decorator(kind, {field.name for field in fields})
    return _checked(kind, fields)


def _checked(kind: type, fields: list[Field]) -> list[Field]:
    for field in fields:
        if field.marker not in (None, "untracked", "added"):
            raise ParamsError(
                f"{kind.__qualname__}.{field.name} is marked {field.marker!r}: not 'untracked' or 'added'."
            )
        if field.marker == "added" and field.default is None:
            raise ParamsError(
                f"{kind.__qualname__}.{field.name} is marked as added, and therefore needs a default (one that does "
                f"not depend on other fields)."
            )
    return fields


def _default_of(default: Any, factory: Any) -> Callable[[], Any] | None:
    if factory is not dataclasses.MISSING:
        return factory  # type: ignore[no-any-return]
    return None if default is dataclasses.MISSING else lambda: default


def _attrs_default(field: Any) -> Callable[[], Any] | None:
    attr = sys.modules["attr"]
    if isinstance(field.default, attr.Factory):
        return None if field.default.takes_self else field.default.factory
    return None if field.default is attr.NOTHING else lambda: field.default


def _pydantic_marker(field: Any) -> Any:
    extra = field.json_schema_extra
    return extra.get(MARKER) if isinstance(extra, dict) else None


def _pydantic_default(field: Any) -> Callable[[], Any] | None:
    if field.is_required() or getattr(field, "default_factory_takes_validated_data", False):
        return None
    return functools.partial(field.get_default, call_default_factory=True)


def extra_fields(record: Any) -> dict[str, Any]:
    """Return what a pydantic object holds beside the fields that its class declares (``extra="allow"``)."""
    kind = type(record)
    if not _allows_extra(kind):
        return {}
    held = getattr(record, "__pydantic_extra__", None)
    declared = getattr(kind, "__pydantic_fields__", {})
    return {name: item for name, item in (vars(record) if held is None else held).items() if name not in declared}


def _allows_extra(kind: type) -> bool:
    config = getattr(kind, "__pydantic_config__" if dataclasses.is_dataclass(kind) else "model_config", None)
    return _is_pydantic(kind) and isinstance(config, dict) and config.get("extra") == "allow"


def _require_decorator(kind: type, names: set[str]) -> None:
    """Raise unless each class that `kind` inherits its fields from is decorated, if it has any."""
    for base in kind.__mro__:
        if not _is_record(base) or not base.__dict__.keys().isdisjoint(("__dataclass_fields__", "__attrs_attrs__")):
            continue
        lost = [
            name
            for name, annotation in inspect.get_annotations(base).items()
            if name not in names and "ClassVar" not in str(annotation)
        ]
        if lost:
            raise ParamsError(
                f"{base.__qualname__} adds {', '.join(lost)}, but is not decorated with @dataclass itself: these would "
                f"not be fields, and never reach the key. Put @dataclass above the class."
            )


def _record_encoder(kind: type, fields: Sequence[Field]) -> Encoder:
    """Return an encoder for the records of one class, with everything that does not vary worked out."""
    if builtin := next((base for base in kind.__mro__ if base in _RULES), None):
        raise UntrackableValueError(
            f"a {class_name(kind)} is both a record and a {builtin.__qualname__}: its fields alone do not define it. "
            f"Hold the {builtin.__qualname__} in a field, or give the class a __persistable_key__() method."
        )
    tracked = sorted((field for field in fields if field.marker != "untracked"), key=lambda field: field.name)
    names = [field.name for field in tracked]
    tags = [encode_str(name) for name in names]
    added = {field.name: field.default for field in tracked if field.marker == "added" and field.default is not None}
    get: Callable[[Any], Iterable[Any]] = (
        attrgetter(*names) if len(names) > 1 else lambda value: [getattr(value, name) for name in names]
    )
    head = b"o6:record2:" + encode_str(class_name(kind))
    whole_head = head + b"m%d:" % len(names)
    allows_extra = _allows_extra(kind)

    def no_value(error: AttributeError) -> UntrackableValueError:
        return UntrackableValueError(f"a field of this {class_name(kind)} has no value: {error}.")

    def encode_record(value: Any) -> bytes:
        parts: list[bytes] = [whole_head]
        append, encoders = parts.append, _encoders
        try:
            items = get(value)
        except AttributeError as error:
            raise no_value(error) from None
        tag = b""
        try:
            for tag, item in zip(tags, items, strict=True):
                append(tag)
                append(encoders[type(item)](item))
        except UntrackableValueError as error:
            raise error.inside(names[tags.index(tag)]) from None
        return b"".join(parts)

    def encode_grown_record(value: Any) -> bytes:
        pairs: list[bytes] = []
        try:
            items = get(value)
        except AttributeError as error:
            raise no_value(error) from None
        for name, tag, item in zip(names, tags, items, strict=True):
            try:
                encoded = encode_value(item)
            except UntrackableValueError as error:
                raise error.inside(name) from None
            if name not in added or encoded != encode_value(added[name]()):
                pairs += [tag, encoded]
        if allows_extra and (extra := extra_fields(value)):
            pairs += [encode_str(""), _encode_dict(extra)]
        return head + b"m%d:%b" % (len(pairs) // 2, b"".join(pairs))

    return encode_grown_record if added or allows_extra else encode_record


# ---------------------------------------------------------------------------------------------------------------------
# The registry


class _Encoders(dict[type, Encoder]):
    """type -> encoder; a type that is met for the first time is looked up once."""

    def __missing__(self, kind: type) -> Encoder:
        with _lock:  # or a rule that is registered meanwhile would be overwritten by what was found before it
            encoder = self[kind] = _encoder_for(kind)
        return encoder


_lock = threading.RLock()

_registered: dict[type, Callable[[Any], Any]] = {}

_RULES: dict[type, Encoder] = {
    type(None): lambda value: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: _encode_int,
    float: _encode_float,
    complex: _encode_complex,
    str: encode_str,
    bytes: encode_bytes,
    bytearray: lambda value: composite(b"bytearray", encode_bytes(value)),
    list: _encode_list,
    tuple: _encode_tuple,
    dict: _encode_dict,
    OrderedDict: _encode_ordered,
    types.MappingProxyType: _encode_dict,
    Counter: lambda value: composite(b"counter", _encode_dict(value)),
    defaultdict: lambda value: composite(b"defaultdict", encode_value(value.default_factory), _encode_dict(value)),
    set: _encode_set,
    frozenset: _encode_set,
    range: _encode_range,
    slice: lambda value: composite(b"slice", _encode_tuple((value.start, value.stop, value.step))),
    type(...): lambda value: composite(b"ellipsis"),
    Decimal: _encode_decimal,
    Fraction: lambda value: composite(b"fraction", _encode_int(value.numerator), _encode_int(value.denominator)),
    uuid.UUID: lambda value: composite(b"uuid", encode_bytes(value.bytes)),
    dt.date: lambda value: composite(b"date", _encode_int(value.toordinal())),
    dt.datetime: _encode_datetime,
    dt.time: _encode_time,
    dt.timedelta: lambda value: composite(b"timedelta", _encode_int(value // dt.timedelta(microseconds=1))),
    dt.timezone: _encode_zone,
    ZoneInfo: _encode_zone,
    re.Pattern: lambda value: composite(b"pattern", encode_value(value.pattern), _encode_int(value.flags)),
    functools.partial: _encode_partial,
    types.FunctionType: encode_importable,
    types.BuiltinFunctionType: encode_importable,
    **dict.fromkeys((PurePath, PurePosixPath, PureWindowsPath, Path, PosixPath, WindowsPath), _encode_path),
}
"""The library's own rules, by exact type: a class derived from one of these may hold more than the rule would see."""

_encoders = _Encoders(_RULES)


def _encoder_for(kind: type) -> Encoder:
    """Return the encoder of a type that is not in the table: registered, own method, adapters, bases; else raise."""
    for base in kind.__mro__:
        if base in _registered:
            return _registered_encoder(kind, _registered[base])
    if hasattr(kind, "__persistable_key__"):
        name = encode_str(class_name(kind))
        return lambda value: composite(b"keyed", name, encode_value(value.__persistable_key__()))
    for adapter in _adapters(kind):
        if (encoder := adapter(kind)) is not None:
            return encoder
    if issubclass(kind, Flag):
        return _encode_flag
    if issubclass(kind, Enum):
        return _encode_enum
    if issubclass(kind, type):
        return encode_importable
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        head = encode_str(class_name(kind)), _encode_list(list(kind._fields))
        return lambda value: composite(b"namedtuple", *head, _encode_tuple(value))
    if (fields := record_fields(kind)) is not None:
        return _record_encoder(kind, fields)
    raise UntrackableValueError(f"a value of type {kind.__module__}.{kind.__qualname__} has no key rule. {WAYS_OUT}.")


def _registered_encoder(kind: type, function: Callable[[Any], Any]) -> Encoder:
    name = encode_str(class_name(kind))
    return lambda value: composite(b"registered", name, encode_value(function(value)))


def _adapters(kind: type) -> Iterable[Callable[[type], Encoder | None]]:
    """Yield the rules of the libraries that `kind` comes from; whoever has such a value has imported its library."""
    libraries = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if "pandas" in libraries:
        from . import _canonical_pandas

        yield _canonical_pandas.encoder_for
    if "numpy" in libraries:
        from . import _canonical_numpy

        yield _canonical_numpy.encoder_for


def _explain_recursion(value: Any) -> NoReturn:
    """Find out why `value` cannot be walked, and raise the error that says so."""
    path: dict[int, tuple[Any, str]] = {}  # from the root to where we are; it keeps the values alive, and so their ids
    seen: dict[int, Any] = {}
    todo: list[tuple[Any, str] | None] = [(value, "")]  # None: everything in the last value of the path has been seen
    while todo:
        if (entry := todo.pop()) is None:
            path.popitem()
            continue
        item, step = entry
        if id(item) in path:
            steps = "".join(step for _, step in path.values()) + step
            raise UntrackableValueError(
                "the value contains itself, so that its fingerprint would never end.", steps.lstrip(".")
            )
        if id(item) not in seen and (children := _children(item)):
            seen[id(item)] = item
            path[id(item)] = entry
            todo += [None, *children]
    raise UntrackableValueError(
        f"the value is nested too deeply to be walked (Python's recursion limit is {sys.getrecursionlimit()}), or an "
        f"object in it gives itself as its __persistable_key__()."
    )


def _children(value: Any) -> list[tuple[Any, str]]:
    kind = type(value)
    if isinstance(value, Mapping):
        return [(item, _key_step(key)) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(item, f"[{index}]") for index, item in enumerate(value)]
    if isinstance(value, functools.partial):
        return [(value.args, "[1]"), (value.keywords, "[2]")]
    if kind.__module__ == "numpy" and getattr(value, "dtype", None) == "O":
        return [(item, f"[{index}]") for index, item in enumerate(value.ravel().tolist())]
    return [(getattr(value, field.name, None), f".{field.name}") for field in record_fields(kind) or ()]
