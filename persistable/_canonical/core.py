"""The encoding itself: plain values, containers, and the registry of rules by type.

Every value is a tag, a length, and bytes; see :mod:`persistable._canonical` for the list.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from importlib import import_module
from struct import Struct
from typing import Any, TypeAlias, TypeVar

from ..exceptions import UntrackableValueError

Encoder: TypeAlias = Callable[[Any], bytes]
T = TypeVar("T")

WAYS_OUT = (
    "Persist it as an artifact and pass that as a dependency, give its class a __persistable_key__() method, teach "
    "the library with persistable.register_encoder(), or mark the field untracked() if it does not define the payload"
)

PIECE = 1 << 20
"""Bytes of content that are hashed at once. Part of the key rules: never change it without a new scheme."""

_PARALLEL_FROM = 4 * PIECE


# ---------------------------------------------------------------------------------------------------------------------
# Plain values. These run for every leaf of every params tree on every hit, hence their shortness.

_pack_float = Struct(">d").pack
_NAN = b"d" + _pack_float(float("nan"))


def encode_int(value: int) -> bytes:
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


def encode_list(value: list[Any]) -> bytes:
    return b"l%d:%b" % (len(value), b"".join(encode_items(value)))


def encode_tuple(value: tuple[Any, ...]) -> bytes:
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


def encode_dict(value: Mapping[Any, Any]) -> bytes:
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
        raise error.inside(key_step(key)) from None
    pairs.sort()  # by key: no encoding of a key begins with another one. The items decide between two NaN
    return b"m%d:%b" % (len(pairs), b"".join(pairs))


def key_step(key: Any) -> str:
    """The step of a path that leads through `key`."""
    plain = type(key) is str or (type(key) is int and key.bit_length() < 64)
    return f"[{key!r}]" if plain else f"[{type(key).__qualname__}]"


# ---------------------------------------------------------------------------------------------------------------------
# What other rules are built of


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
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:  # hashlib and numpy's copies release the interpreter lock
        return b"B%d:%b" % (length, b"".join(pool.map(hash_piece, starts)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def class_name(kind: type) -> str:
    """Return the name that stands for a class: without its module, which may move, or the function around it.

    A script and whoever imports it, a notebook and the package that its classes move to share artifacts. ``Model[int]``
    goes by ``Model``, as pydantic compares it.

    >>> class_name(int), class_name(type(_encoders))
    ('int', '_Encoders')
    """
    kind = getattr(kind, "__pydantic_generic_metadata__", {}).get("origin") or kind
    return kind.__qualname__.rpartition("<locals>.")[2]


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

Family: TypeAlias = Callable[[type], Encoder | None]
"""A rule for many types: returns the encoder of a type that it covers."""

_families: list[Family] = []

_LIBRARIES = {"pandas": ".pandas", "numpy": ".numpy"}
"""Library -> the module with the rules for its types, imported when such a value is first met."""

RULES: dict[type, Encoder] = {
    type(None): lambda value: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: encode_int,
    float: _encode_float,
    complex: _encode_complex,
    str: encode_str,
    bytes: encode_bytes,
    bytearray: lambda value: composite(b"bytearray", encode_bytes(value)),
    list: encode_list,
    tuple: encode_tuple,
    dict: encode_dict,
    set: _encode_set,
    frozenset: _encode_set,
}
"""The library's own rules, by exact type: a class derived from one of these may hold more than the rule would see."""

_encoders = _Encoders(RULES)


def add_rules(rules: Mapping[type, Encoder], family: Family) -> None:
    """Add rules of the library's own: by exact type, and for a family of types that are not among these."""
    RULES.update(rules)
    _encoders.update(rules)
    _families.append(family)


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
    >>> from persistable._canonical import encode
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
        for met in _encoders.keys() - RULES.keys():  # what was found out before may follow the new rule now
            del _encoders[met]


def _has_rule(kind: type) -> type | None:
    """Return `kind` or a type that derives from it (``object`` and ``Mapping``, too, are bases) if that has a rule."""
    try:
        _encoders[kind]
    except UntrackableValueError:
        return next((ruled for ruled in RULES if issubclass(ruled, kind)), None)
    return kind


def _encoder_for(kind: type) -> Encoder:
    """Return the encoder of a type that is not in the table: registered, own method, library, family; else raise."""
    for base in kind.__mro__:
        if base in _registered:
            return _registered_encoder(kind, _registered[base])
    if hasattr(kind, "__persistable_key__"):
        name = encode_str(class_name(kind))
        return lambda value: composite(b"keyed", name, encode_value(value.__persistable_key__()))
    for family in [*_library_families(kind), *_families]:
        if (encoder := family(kind)) is not None:
            return encoder
    raise UntrackableValueError(f"a value of type {kind.__module__}.{kind.__qualname__} has no key rule. {WAYS_OUT}.")


def _registered_encoder(kind: type, function: Callable[[Any], Any]) -> Encoder:
    name = encode_str(class_name(kind))
    return lambda value: composite(b"registered", name, encode_value(function(value)))


def _library_families(kind: type) -> list[Family]:
    """Return the rules of the libraries that `kind` comes from; whoever has such a value has imported its library."""
    libraries = {base.__module__.partition(".")[0] for base in kind.__mro__}
    modules = [module for library, module in _LIBRARIES.items() if library in libraries]
    return [import_module(module, __package__).encoder_for for module in modules]
