"""Canonical bytes of numpy values.

An array is its dtype in little-endian order, its shape, and its elements in C order; memory layout, strides and
byte order do not matter, and neither do the bits of a NaN. Imported by :mod:`persistable._canonical` when it
meets a numpy value, never before.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ._canonical import (
    Encoder,
    class_name,
    composite,
    content,
    encode,
    encode_bytes,
    encode_items,
    encode_str,
)
from .exceptions import UntrackableValueError


def encoder_for(kind: type) -> Encoder | None:
    """Return the encoder for a numpy type; None if the type is not numpy's own."""
    if kind in (np.ndarray, np.memmap, np.recarray):
        return encode_array
    if kind is np.matrix:
        return lambda value: composite(b"matrix", encode_array(np.asarray(value)))
    if kind is np.ma.MaskedArray:
        return _encode_masked
    if issubclass(kind, np.generic):
        return _encode_scalar
    if issubclass(kind, np.dtype):
        return _encode_dtype
    if kind is np.ufunc:
        return _encode_ufunc
    if issubclass(kind, np.ndarray):
        return lambda value: _refuse(
            f"a {class_name(kind)} is an array with something more to it (a unit, a mask, …) that the rule for arrays "
            f"would lose. Pass numpy.asarray(value) and the rest as separate parameters, or call register_encoder()"
        )
    return None


def _refuse(problem: str) -> bytes:
    raise UntrackableValueError(f"{problem}.")


def _encode_scalar(value: np.generic) -> bytes:
    """bool_, int64, float64 and str_ are their Python values; others carry their dtype."""
    if value.dtype.str[1:] in ("b1", "i8", "f8") or isinstance(value, np.str_):
        return encode(value.item())
    return composite(b"scalar", encode_array(np.asarray(value)))


def _encode_dtype(value: np.dtype[Any]) -> bytes:
    return composite(b"dtype", _dtype(value))


def _encode_ufunc(value: np.ufunc) -> bytes:
    if getattr(np, value.__name__, None) is not value:
        return _refuse(f"the ufunc {value.__name__!r} is not numpy's own. Pass its name as a parameter")
    return composite(b"importable", encode_str("numpy"), encode_str(value.__name__))


def _encode_masked(value: Any) -> bytes:
    fill = encode_array(np.asarray(value.fill_value))
    return composite(b"masked", encode_array(value.data), encode_array(np.ma.getmaskarray(value)), fill)


def _dtype(dtype: np.dtype[Any]) -> bytes:
    """The encoding of a dtype: its letter code in little-endian order; of a structured one, its fields."""
    if dtype.names is not None:
        fields = [composite(b"field", encode_str(name), _dtype(dtype[name])) for name in dtype.names]
        return composite(b"fields", *fields)
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return composite(b"subarray", _dtype(base), encode(shape))
    if dtype.char in "gG":
        return _refuse(f"{dtype.name} has a layout that depends on the machine. Convert it to float64 or complex128")
    if dtype.kind == "T":  # variable-width strings
        return composite(b"strings", encode(getattr(dtype, "na_object", None)))
    return encode_str(dtype.newbyteorder("<").str)


def encode_array(array: np.ndarray[Any, Any]) -> bytes:
    """Return the encoding of an array of any dtype."""
    dtype, shape = _dtype(array.dtype), encode(array.shape)
    if array.dtype.names is not None:
        columns = [encode_array(np.asarray(array[name])) for name in array.dtype.names]
        return composite(b"structured", dtype, shape, *columns)
    if array.dtype.kind in "OT":
        return composite(b"array", dtype, shape, _encode_objects(array.astype(object).ravel().tolist()))
    if array.ndim != 1:
        array = np.ascontiguousarray(array).reshape(-1)
    return composite(b"array", dtype, shape, content(array.size, array.itemsize, lambda i, j: _piece(array[i:j])))


def _piece(items: np.ndarray[Any, Any]) -> memoryview:
    """One-dimensional `items` as little-endian, contiguous bytes, with one NaN."""
    items = np.ascontiguousarray(items, dtype=items.dtype.newbyteorder("<"))
    if items.dtype.kind in "fc":
        floats = items.view(items.real.dtype)
        if (missing := np.isnan(floats)).any():
            floats = np.where(missing, floats.dtype.type("nan"), floats)
            items = np.ascontiguousarray(floats, dtype=floats.dtype.newbyteorder("<"))
    return memoryview(items.view(np.uint8).data) if items.size else memoryview(b"")


def _encode_objects(values: list[Any]) -> bytes:
    """Elements one by one; where all are str, as many pandas columns are, their lengths and their joined text."""
    if set(map(type, values)) == {str}:
        return encode_texts(values)
    return composite(b"objects", *encode_items(values))


def encode_texts(texts: list[str]) -> bytes:
    """Return the encoding of many str at once: their lengths in code points, and their text, joined."""
    lengths = np.fromiter(map(len, texts), dtype="<i8", count=len(texts))
    return composite(b"texts", encode_array(lengths), encode_bytes("".join(texts).encode("utf-8", "surrogatepass")))


assert sys.byteorder in ("little", "big")
