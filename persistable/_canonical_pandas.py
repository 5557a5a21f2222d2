"""Canonical bytes of pandas values.

A table is its column labels and, per column, dtype and values; and its index. How pandas keeps them (blocks,
codes, the arrays behind strings) does not matter: two frames that are equal and have equal dtypes are one value.
Imported by :mod:`persistable._canonical` when it meets a pandas value, never before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._canonical import Encoder, class_name, composite, encode, encode_items, encode_str, zone_name
from ._canonical_numpy import encode_array, encode_texts
from .exceptions import UntrackableValueError

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def encoder_for(kind: type) -> Encoder | None:
    """Return the encoder for a pandas type; None if the type has no rule."""
    if kind in _RULES:
        return _RULES[kind]
    if kind is not pd.Index and issubclass(kind, pd.Index) and kind.__module__.startswith("pandas."):
        return _encode_index
    if issubclass(kind, pd.api.extensions.ExtensionArray):
        return lambda value: composite(b"extension", _encode_values(value))
    if issubclass(kind, pd.DataFrame | pd.Series):
        raise UntrackableValueError(
            f"a {class_name(kind)} is a table with something more to it that the rule for tables would lose. "
            f"Pass pandas.{kind.__mro__[1].__name__}(value) and the rest as separate parameters, "
            f"or call register_encoder()."
        )
    return None


def _encode_frame(frame: pd.DataFrame) -> bytes:
    columns: list[bytes] = []
    try:
        for position in range(frame.shape[1]):
            columns.append(_encode_values(frame.iloc[:, position].array))
    except UntrackableValueError as error:
        raise error.inside(f"[{frame.columns[len(columns)]!r}]") from None
    labels = composite(b"labels", encode(list(frame.columns.names)), *encode_items(frame.columns.tolist()))
    return composite(b"frame", labels, _encode_index(frame.index), *columns)


def _encode_series(series: pd.Series[Any]) -> bytes:
    return composite(b"series", encode(series.name), _encode_index(series.index), _encode_values(series.array))


def _encode_index(index: pd.Index[Any]) -> bytes:
    """A RangeIndex is the integers that it counts: an index built in another way may be equal to it."""
    names = encode(list(index.names))
    levels = [index.get_level_values(level) for level in range(index.nlevels)] if index.nlevels > 1 else [index]
    return composite(b"index", names, *(_encode_values(level.array) for level in levels))


def _encode_values(values: Any) -> bytes:
    """One column: an ExtensionArray, or what wraps a numpy array."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return encode_array(np.asarray(values))
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _encode_values(dtype.categories.array)
        return composite(b"categorical", encode(dtype.ordered), categories, encode_array(np.asarray(values.codes)))
    if isinstance(dtype, pd.DatetimeTZDtype):
        zone = zone_name(dtype.tz, dtype.tz.utcoffset(None))
        instants = values.tz_convert("UTC").tz_localize(None)
        return composite(b"zoned", zone, encode_array(np.asarray(instants)))
    if isinstance(dtype, pd.PeriodDtype):
        return composite(b"periods", encode_str(dtype.freq.freqstr), encode_array(np.asarray(values.asi8)))
    if isinstance(dtype, pd.IntervalDtype):
        ends = _encode_values(pd.array(values.left)), _encode_values(pd.array(values.right))
        return composite(b"intervals", encode_str(dtype.closed or ""), *ends)
    if isinstance(dtype, pd.SparseDtype):
        return composite(b"sparse", encode(dtype.fill_value), encode_array(np.asarray(values)))
    if isinstance(dtype, pd.StringDtype):
        missing = values.isna()
        texts = values.to_numpy(dtype=object, na_value="").tolist()
        return composite(b"nullable", encode_str(str(dtype)), encode_array(missing), encode_texts(texts))
    return _encode_nullable(values)


def _encode_nullable(values: Any) -> bytes:
    """Masked (Int64, Float64, boolean) and Arrow-backed columns: which are missing, and the values of the others."""
    name, missing = encode_str(str(values.dtype)), encode_array(np.asarray(values.isna()))
    numpy_dtype = getattr(values.dtype, "numpy_dtype", None)
    if numpy_dtype is not None and numpy_dtype.kind in "iufb":
        plain = values.to_numpy(dtype=numpy_dtype, na_value=numpy_dtype.type(0))
        return composite(b"nullable", name, missing, encode_array(plain))
    if isinstance(values.dtype, pd.ArrowDtype):
        items = [None if item is pd.NA else item for item in values]
        return composite(b"nullable", name, missing, *encode_items(items))
    raise UntrackableValueError(f"a column of dtype {values.dtype} has no key rule. Convert it with astype() first.")


def _nanoseconds(value: Any) -> int:
    """A Timestamp or a Timedelta, of any unit, as nanoseconds (since the epoch)."""
    return int(value.asm8.view("i8")) * _NANOSECONDS[value.unit]


def _encode_timestamp(value: pd.Timestamp) -> bytes:
    if value.tzinfo is None:
        return composite(b"timestamp", encode(_nanoseconds(value)), encode(value.fold))
    return composite(b"timestamp", encode(_nanoseconds(value)), zone_name(value.tzinfo, value.utcoffset()))


def _encode_interval(value: pd.Interval[Any]) -> bytes:
    return composite(b"interval", encode_str(value.closed), encode(value.left), encode(value.right))


_RULES: dict[type, Encoder] = {
    pd.DataFrame: _encode_frame,
    pd.Series: _encode_series,
    pd.Index: _encode_index,
    pd.Timestamp: _encode_timestamp,
    pd.Timedelta: lambda value: composite(b"nanoseconds", encode(_nanoseconds(value))),
    pd.Period: lambda value: composite(b"period", encode_str(value.freqstr), encode(value.ordinal)),
    pd.Interval: _encode_interval,
    type(pd.NaT): lambda value: composite(b"NaT"),
    type(pd.NA): lambda value: composite(b"NA"),
}
