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
    m<n>:<keys, values>     dict, sorted by the encoding of the key
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
from pathlib import PurePath
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
    b'm2:s1:ni a;s4:gridt2:d?\\xe0\\x00\\x00\\x00\\x00\\x00\\x00s3:log'.replace(b' ', b'')
    """
    try:
        return _encoders[type(value)](value)
    except RecursionError:
        _explain_recursion(value)


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
        If the type has a rule of the library's own: to change that would change existing keys.

    Examples
    --------
    >>> import ipaddress
    >>> register_encoder(ipaddress.IPv4Address, lambda address: address.packed)
    >>> encode(ipaddress.ip_address("127.0.0.1")) == encode(ipaddress.ip_address("127.0.0.2"))
    False
    """
    if kind not in _registered:
        try:
            _encoders[kind]
        except UntrackableValueError:
            pass
        else:
            raise ValueError(f"{kind.__qualname__} has a key rule already; another one would change existing keys.")
    _registered[kind] = function
    for known in [known for known in _encoders if issubclass(known, kind)]:
        del _encoders[known]


def add_rule(kind: type, encoder: Encoder) -> None:
    """Add the library's own rule for one of its own types; see :func:`register_encoder` for everybody else's."""
    _encoders[kind] = encoder


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

    >>> class_name(Field), class_name(dt.datetime)
    ('Field', 'datetime')
    """
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

_MANY_NAMES = 10_000


def _encode_name(name: str) -> bytes:
    encoded = encode_str(name)
    if len(_names) < _MANY_NAMES:
        _names[name] = encoded
    return encoded


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
        raise error.inside(f"[{key!r}]" if type(key) in (str, int) else f"[{type(key).__qualname__}]") from None
    pairs.sort()  # by key: no encoding of a key begins with another one, so the items never decide
    return b"m%d:%b" % (len(pairs), b"".join(pairs))


# ---------------------------------------------------------------------------------------------------------------------
# The rest of the standard library


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    return composite(b"decimal", _encode_int(sign), encode_bytes(bytes(digits)), encode(exponent))


def zone_name(zone: dt.tzinfo, offset: dt.timedelta | None) -> bytes:
    """Return the encoding of a time zone: its name, or its offset from UTC in microseconds where it has none."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)  # zoneinfo; pytz
    if name == "UTC" or (name is None and offset == dt.timedelta(0)):
        return encode_str("UTC")
    if name is not None:
        return encode_str(name)
    if offset is None:
        raise UntrackableValueError(f"the time zone {type(zone).__qualname__} has neither a name nor an offset.")
    return _encode_int(offset // dt.timedelta(microseconds=1))


def _encode_datetime(value: dt.datetime) -> bytes:
    if value.tzinfo is None:
        fields = (value.toordinal(), value.hour, value.minute, value.second, value.microsecond, value.fold)
        return composite(b"datetime", *map(_encode_int, fields))
    instant = (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return composite(b"instant", _encode_int(instant), zone_name(value.tzinfo, value.utcoffset()))


def _encode_time(value: dt.time) -> bytes:
    fields = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    zone = b"N" if value.tzinfo is None else zone_name(value.tzinfo, value.utcoffset())
    return composite(b"time", *map(_encode_int, fields), zone)


def _encode_fixed_zone(value: dt.tzinfo) -> bytes:
    return composite(b"zone", zone_name(value, value.utcoffset(None)))


def _encode_flag(value: Flag) -> bytes:
    names = sorted(member.name or "" for member in value)
    named = functools.reduce(lambda left, right: left | right.value, value, 0)
    rest = value.value & ~named
    return composite(b"enum", encode_str(class_name(type(value))), _encode_list(names), _encode_int(rest))


def _encode_enum(value: Enum) -> bytes:
    return composite(b"enum", encode_str(class_name(type(value))), encode_str(value.name))


def _encode_importable(value: Any) -> bytes:
    """A function or a class, by where it is imported from."""
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
    return composite(b"importable", encode_str(module), encode_str(name))


def _encode_partial(value: functools.partial[Any]) -> bytes:
    return composite(b"partial", encode(value.func), encode(value.args), encode(value.keywords))


# ---------------------------------------------------------------------------------------------------------------------
# Records: dataclasses, attrs classes, pydantic models


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a record: its name, its marker, and how to make its default."""

    name: str
    marker: str | None
    default: Callable[[], Any] | None


def record_fields(kind: type) -> Sequence[Field] | None:
    """Return the fields of a dataclass, attrs class or pydantic model; None if `kind` is none of these.

    Raises
    ------
    ParamsError
        If the class adds annotations to a dataclass without being decorated itself: its fields would be lost.
    """
    if dataclasses.is_dataclass(kind):
        _require_decorator(kind)
        return [
            Field(field.name, field.metadata.get(MARKER), _default_of(field.default, field.default_factory))
            for field in dataclasses.fields(kind)
        ]
    if hasattr(kind, "__attrs_attrs__"):
        return [
            Field(field.name, field.metadata.get(MARKER), _attrs_default(field.default))
            for field in kind.__attrs_attrs__
        ]
    if hasattr(kind, "__pydantic_fields__"):
        return [
            Field(name, _pydantic_marker(field), functools.partial(field.get_default, call_default_factory=True))
            for name, field in kind.__pydantic_fields__.items()
        ]
    return None


def _default_of(default: Any, factory: Any) -> Callable[[], Any] | None:
    if factory is not dataclasses.MISSING:
        return factory  # type: ignore[no-any-return]
    return None if default is dataclasses.MISSING else lambda: default


def _attrs_default(default: Any) -> Callable[[], Any] | None:
    return getattr(default, "factory", None) or (lambda: default)


def _pydantic_marker(field: Any) -> str | None:
    extra = field.json_schema_extra
    return extra.get(MARKER) if isinstance(extra, dict) else None


def _require_decorator(kind: type) -> None:
    for base in kind.__mro__:
        if not dataclasses.is_dataclass(base) or "__dataclass_fields__" in base.__dict__:
            continue
        annotated = [
            name for name, annotation in inspect.get_annotations(base).items() if "ClassVar" not in str(annotation)
        ]
        if annotated:
            raise ParamsError(
                f"{base.__qualname__} adds {', '.join(annotated)} to a dataclass, but is not decorated with @dataclass "
                f"itself: these would not be fields, and never reach the key. Put @dataclass above the class."
            )


def _record_encoder(kind: type, fields: Sequence[Field]) -> Encoder:
    """Return an encoder for the records of one class, with everything that does not vary worked out."""
    tracked = sorted((field for field in fields if field.marker != "untracked"), key=lambda field: field.name)
    head = b"o6:record2:" + encode_str(class_name(kind))
    if not tracked:
        return lambda value: head + b"m0:"
    names = [field.name for field in tracked]
    tags = [encode_str(name) for name in names]
    added = {field.name: field.default for field in tracked if field.marker == "added"}
    if missing := [name for name, default in added.items() if default is None]:
        raise ParamsError(f"{kind.__qualname__}.{missing[0]} is marked as added, and therefore needs a default.")
    get = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
    whole_head = head + b"m%d:" % len(names)
    has_extra = getattr(kind, "model_config", {}).get("extra") == "allow"  # pydantic: fields that no class declares

    def encode_record(value: Any) -> bytes:
        parts: list[bytes] = [whole_head]
        append, encoders = parts.append, _encoders
        tag = b""
        try:
            for tag, item in zip(tags, get(value), strict=True):
                append(tag)
                append(encoders[type(item)](item))
        except UntrackableValueError as error:
            raise error.inside(names[tags.index(tag)]) from None
        return b"".join(parts)

    def encode_grown_record(value: Any) -> bytes:
        pairs = []
        for name, tag in zip(names, tags, strict=True):
            try:
                item = encode(getattr(value, name))
            except UntrackableValueError as error:
                raise error.inside(name) from None
            default = added.get(name)
            if default is None or item != encode(default()):
                pairs += [tag, item]
        if has_extra:
            pairs += [encode_str(""), encode(value.model_extra)]
        return head + b"m%d:%b" % (len(pairs) // 2, b"".join(pairs))

    return encode_grown_record if added or has_extra else encode_record


# ---------------------------------------------------------------------------------------------------------------------
# The registry


class _Encoders(dict[type, Encoder]):
    """type -> encoder; a type that is met for the first time is looked up once."""

    def __missing__(self, kind: type) -> Encoder:
        encoder = self[kind] = _encoder_for(kind)
        return encoder


_registered: dict[type, Callable[[Any], Any]] = {}

_encoders = _Encoders(
    {
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
        OrderedDict: _encode_dict,
        types.MappingProxyType: _encode_dict,
        Counter: lambda value: composite(b"counter", _encode_dict(value)),
        defaultdict: lambda value: composite(b"defaultdict", encode(value.default_factory), _encode_dict(value)),
        set: _encode_set,
        frozenset: _encode_set,
        range: lambda value: composite(b"range", *map(_encode_int, (value.start, value.stop, value.step))),
        slice: lambda value: composite(b"slice", encode((value.start, value.stop, value.step))),
        type(...): lambda value: composite(b"ellipsis"),
        Decimal: _encode_decimal,
        Fraction: lambda value: composite(b"fraction", _encode_int(value.numerator), _encode_int(value.denominator)),
        uuid.UUID: lambda value: composite(b"uuid", encode_bytes(value.bytes)),
        dt.date: lambda value: composite(b"date", _encode_int(value.toordinal())),
        dt.datetime: _encode_datetime,
        dt.time: _encode_time,
        dt.timedelta: lambda value: composite(b"timedelta", _encode_int(value // dt.timedelta(microseconds=1))),
        dt.timezone: _encode_fixed_zone,
        ZoneInfo: _encode_fixed_zone,
        re.Pattern: lambda value: composite(b"pattern", encode(value.pattern), _encode_int(value.flags)),
        functools.partial: _encode_partial,
        types.FunctionType: _encode_importable,
        types.BuiltinFunctionType: _encode_importable,
    }
)


def _encoder_for(kind: type) -> Encoder:
    """Return the encoder of a type that is not in the table: registered, own method, adapters, bases; else raise."""
    for base in kind.__mro__:
        if base in _registered:
            return _registered_encoder(kind, _registered[base])
    if hasattr(kind, "__persistable_key__"):
        name = encode_str(class_name(kind))
        return lambda value: composite(b"keyed", name, encode(value.__persistable_key__()))
    for adapter in _adapters(kind):
        if (encoder := adapter(kind)) is not None:
            return encoder
    if issubclass(kind, Flag):
        return _encode_flag
    if issubclass(kind, Enum):
        return _encode_enum
    if issubclass(kind, type):
        return _encode_importable
    if issubclass(kind, PurePath):
        return lambda value: composite(b"path", encode_str(value.as_posix()))
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        head = encode_str(class_name(kind)), _encode_list(list(kind._fields))
        return lambda value: composite(b"namedtuple", *head, _encode_tuple(value))
    if (fields := record_fields(kind)) is not None:
        return _record_encoder(kind, fields)
    raise UntrackableValueError(f"a value of type {kind.__module__}.{kind.__qualname__} has no key rule. {WAYS_OUT}.")


def _registered_encoder(kind: type, function: Callable[[Any], Any]) -> Encoder:
    name = encode_str(class_name(kind))
    return lambda value: composite(b"registered", name, encode(function(value)))


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
    stack: list[tuple[Any, str, tuple[int, ...]]] = [(value, "", ())]
    while stack:
        item, path, above = stack.pop()
        if id(item) in above:
            raise UntrackableValueError("the value contains itself, so that its fingerprint would never end.", path)
        if len(above) > 10 * sys.getrecursionlimit():
            break
        stack += [(child, path + step, (*above, id(item))) for child, step in _children(item)]
    raise UntrackableValueError(
        f"the value is nested too deeply to be walked (Python's recursion limit is {sys.getrecursionlimit()})."
    )


def _children(value: Any) -> Iterable[tuple[Any, str]]:
    if isinstance(value, Mapping):
        return [(item, f"[{key!r}]" if type(key) is str else "[…]") for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(item, f"[{index}]") for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return [(getattr(value, field.name), f".{field.name}") for field in dataclasses.fields(value)]
    return []
