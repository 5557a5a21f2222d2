"""Canonical bytes of numpy values.

An array is its dtype in little-endian order, its shape, and its elements in C order; memory layout, strides and
byte order do not matter, and neither do the bits of a NaN. Imported by :mod:`persistable._canonical` when it
meets a numpy value, never before.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from ..exceptions import UntrackableValueError
from .core import (
    Encoder,
    class_name,
    composite,
    content,
    encode_bytes,
    encode_items,
    encode_str,
    encode_value,
)
from .stdlib import encode_importable


def encoder_for(kind: type) -> Encoder | None:
    """Return the encoder for a numpy type; None if the type is not numpy's own."""
    if kind in (np.ndarray, np.memmap, np.recarray):
        return encode_array
    if kind is np.matrix:
        return lambda value: composite(b"matrix", encode_array(value))
    if kind is np.ma.MaskedArray:
        return _encode_masked
    if issubclass(kind, np.generic):
        return _encode_scalar
    if issubclass(kind, np.dtype):
        return _encode_dtype
    if kind is np.ufunc:
        return _encode_ufunc
    if kind is type(np.mean):  # numpy's functions, where they are no plain functions
        return encode_importable
    if issubclass(kind, np.ndarray):
        _refuse(
            f"a {class_name(kind)} is an array with something more to it (a unit, a mask, …) that the rule for arrays "
            f"would lose. Pass numpy.asarray(value) and the rest as separate parameters, or call register_encoder()"
        )
    return None


def _refuse(problem: str) -> NoReturn:
    raise UntrackableValueError(f"{problem}.")


def _encode_scalar(value: np.generic) -> bytes:
    """bool_, int64, float64 and str_ are their Python values; others carry their dtype."""
    if value.dtype.str[1:] in ("b1", "i8", "f8") or isinstance(value, np.str_):
        return encode_value(value.item())
    return composite(b"scalar", encode_array(value))


def _encode_dtype(value: np.dtype[Any]) -> bytes:
    return composite(b"dtype", _dtype(value))


def _encode_ufunc(value: np.ufunc) -> bytes:
    if getattr(np, value.__name__, None) is not value:
        _refuse(f"the ufunc {value.__name__!r} is not numpy's own. Pass its name as a parameter")
    return composite(b"importable", encode_str("numpy"), encode_str(value.__name__))


def _encode_masked(value: Any) -> bytes:
    """In full: what stands behind the mask is part of the value, as is what would fill it."""
    parts = value.data, np.ma.getmaskarray(value), value.fill_value
    return composite(b"masked", *map(encode_array, parts))


def _dtype(dtype: np.dtype[Any]) -> bytes:
    """The encoding of a dtype: its letter code in little-endian order; of a structured one, its fields."""
    if dtype.names is not None:
        fields = [composite(b"field", encode_str(name), _dtype(dtype[name])) for name in dtype.names]
        return composite(b"fields", *fields)
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return composite(b"subarray", _dtype(base), encode_value(shape))
    if dtype.char in "gG":
        _refuse(f"{dtype.name} has a layout that depends on the machine. Convert it to float64 or complex128")
    if dtype.kind == "T":  # variable-width strings
        missing = [encode_value(dtype.na_object)] if hasattr(dtype, "na_object") else []
        return composite(b"strings", *missing)
    return encode_str(dtype.newbyteorder("<").str)


def encode_array(value: Any) -> bytes:
    """Return the encoding of an array (or a numpy scalar) of any dtype."""
    array = np.asarray(value)  # a matrix stays a matrix when it is flattened
    dtype, shape = _dtype(array.dtype), encode_value(array.shape)
    if array.dtype.names is not None:
        return composite(b"structured", dtype, shape, *(encode_array(array[name]) for name in array.dtype.names))
    if array.dtype.kind in "OT":
        return composite(b"array", dtype, shape, encode_objects(array.astype(object).ravel().tolist()))
    if array.ndim != 1:
        array = np.ascontiguousarray(array).reshape(-1)
    return composite(b"array", dtype, shape, content(array.size, array.itemsize, lambda i, j: _piece(array[i:j])))


def _piece(items: np.ndarray[Any, Any]) -> memoryview:
    """One-dimensional `items` as little-endian, contiguous bytes, with one NaN and one True."""
    items = np.ascontiguousarray(items, dtype=items.dtype.newbyteorder("<"))
    if items.dtype.kind == "b":
        items = items.view(np.uint8) != 0  # a view of other bytes as bool may hold any of them
    elif items.dtype.kind in "fc":
        floats = items.view(items.real.dtype)
        if (missing := np.isnan(floats)).any():
            floats = np.where(missing, floats.dtype.type("nan"), floats)
            items = np.ascontiguousarray(floats, dtype=floats.dtype.newbyteorder("<"))
    return memoryview(items.view(np.uint8).data) if items.size else memoryview(b"")


def encode_objects(values: list[Any]) -> bytes:
    """Return the encoding of elements: one by one, or at once where all are str, as in many pandas columns."""
    if set(map(type, values)) == {str}:
        return encode_texts(values)
    return composite(b"objects", *encode_items(values))


def encode_texts(texts: list[str]) -> bytes:
    """Return the encoding of many str at once: their lengths in code points, and their text, joined."""
    lengths = np.fromiter(map(len, texts), dtype="<i8", count=len(texts))
    return composite(b"texts", encode_array(lengths), encode_bytes("".join(texts).encode("utf-8", "surrogatepass")))
