"""Canonical bytes of pandas values.

A table is its column labels and, per column, dtype and values; and its index. How pandas keeps them (blocks,
codes, the arrays behind strings) does not matter: two frames that are equal and have equal dtypes are one value.
Imported by :mod:`persistable._canonical` when it meets a pandas value, never before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import UntrackableValueError
from .core import Encoder, class_name, composite, encode_items, encode_str, encode_value
from .numpy import encode_array, encode_objects, encode_texts
from .stdlib import zone_name

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def encoder_for(kind: type) -> Encoder | None:
    """Return the encoder for a pandas type; None if the type has no rule."""
    if kind in _RULES:
        return _RULES[kind]
    if issubclass(kind, pd.DataFrame | pd.Series):
        raise UntrackableValueError(
            f"a {class_name(kind)} is a table with something more to it that the rule for tables would lose. "
            f"Pass pandas.{'Series' if issubclass(kind, pd.Series) else 'DataFrame'}(value) and the rest as separate "
            f"parameters, or call register_encoder()."
        )
    if kind.__module__.partition(".")[0] != "pandas":
        return None
    if issubclass(kind, pd.Index):
        return _encode_index
    if issubclass(kind, pd.api.extensions.ExtensionArray):
        return lambda value: composite(b"extension", _encode_values(value))
    return None


def _encode_frame(frame: pd.DataFrame) -> bytes:
    columns: list[bytes] = []
    try:
        for position in range(frame.shape[1]):
            columns.append(_encode_values(frame.iloc[:, position].array))
    except UntrackableValueError as error:
        raise error.inside(f"[{frame.columns[len(columns)]!r}]") from None
    labels = composite(b"labels", encode_value(list(frame.columns.names)), *encode_items(frame.columns.tolist()))
    return composite(b"frame", labels, _encode_index(frame.index), *columns)


def _encode_series(series: pd.Series[Any]) -> bytes:
    return composite(b"series", encode_value(series.name), _encode_index(series.index), _encode_values(series.array))


def _encode_index(index: pd.Index[Any]) -> bytes:
    """A RangeIndex is the integers that it counts: an index built in another way may be equal to it."""
    names = encode_value(list(index.names))
    if isinstance(index, pd.MultiIndex):
        levels = [_encode_values(index.get_level_values(level).array) for level in range(index.nlevels)]
        return composite(b"multiindex", names, *levels)
    return composite(b"index", names, _encode_values(index.array))


def _encode_values(values: Any) -> bytes:
    """One column: an ExtensionArray, or what wraps a numpy array."""
    dtype = values.dtype
    if type(values) is pd.arrays.NumpyExtensionArray or isinstance(dtype, np.dtype):
        return encode_array(values)
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _encode_values(dtype.categories.array)
        return composite(b"categorical", encode_value(dtype.ordered), categories, encode_array(values.codes))
    if isinstance(dtype, pd.DatetimeTZDtype):
        instants = values.tz_convert("UTC").tz_localize(None)
        return composite(b"zoned", zone_name(dtype.tz), encode_array(instants))
    if isinstance(dtype, pd.PeriodDtype):
        return composite(b"periods", encode_str(values.freqstr), encode_array(values.asi8))
    if isinstance(dtype, pd.IntervalDtype):
        ends = _encode_values(values.left.array), _encode_values(values.right.array)
        return composite(b"intervals", encode_str(dtype.closed or ""), *ends)
    if isinstance(dtype, pd.SparseDtype):
        return composite(b"sparse", encode_value(dtype.fill_value), encode_array(values))
    if isinstance(dtype, pd.StringDtype):  # by what stands for a missing text; what keeps the texts does not matter
        texts = values.to_numpy(dtype=object, na_value="").tolist()
        return composite(b"string", encode_value(dtype.na_value), encode_array(values.isna()), encode_texts(texts))
    if isinstance(dtype, pd.ArrowDtype):
        return _encode_arrow(values)
    if (numpy_dtype := getattr(dtype, "numpy_dtype", None)) is not None:  # Int64, Float64, boolean, …
        plain = values.to_numpy(dtype=numpy_dtype, na_value=numpy_dtype.type(0))
        return composite(b"nullable", encode_array(values.isna()), encode_array(plain))
    return encode_value(values)  # somebody else's: it may be registered


def _encode_arrow(values: Any) -> bytes:
    """An Arrow-backed column: which are missing (a NaN is not), and the values of the others."""
    dtype, missing = values.dtype, np.asarray(values.isna())
    head = encode_str(str(dtype.pyarrow_dtype)), encode_array(missing)
    if dtype.numpy_dtype.kind in "iufb":
        plain = np.zeros(len(values), dtype.numpy_dtype)
        plain[~missing] = values[~missing].to_numpy(dtype=dtype.numpy_dtype)
        return composite(b"arrow", *head, encode_array(plain))
    return composite(b"arrow", *head, encode_objects([item for item in values if item is not pd.NA]))


def _nanoseconds(value: Any) -> int:
    """A Timestamp or a Timedelta, of any unit, as nanoseconds (since the epoch)."""
    return int(value.asm8.view("i8")) * _NANOSECONDS[value.unit]


def _encode_timestamp(value: pd.Timestamp) -> bytes:
    if value.tzinfo is None:
        return composite(b"timestamp", encode_value(_nanoseconds(value)), encode_value(value.fold))
    return composite(b"instant_ns", encode_value(_nanoseconds(value)), zone_name(value.tzinfo))


def _encode_interval(value: pd.Interval[Any]) -> bytes:
    return composite(b"interval", encode_str(value.closed), encode_value(value.left), encode_value(value.right))


_RULES: dict[type, Encoder] = {
    pd.DataFrame: _encode_frame,
    pd.Series: _encode_series,
    pd.Index: _encode_index,
    pd.Timestamp: _encode_timestamp,
    pd.Timedelta: lambda value: composite(b"nanoseconds", encode_value(_nanoseconds(value))),
    pd.Period: lambda value: composite(b"period", encode_str(value.freqstr), encode_value(value.ordinal)),
    pd.Interval: _encode_interval,
    type(pd.NaT): lambda value: composite(b"NaT"),
    type(pd.NA): lambda value: composite(b"NA"),
}
