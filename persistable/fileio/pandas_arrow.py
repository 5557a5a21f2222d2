"""pandas frames as Arrow tables, and what Arrow does not carry of them noted beside.

Arrow keeps the values. These it loses, and the note keeps: labels that are no texts, the frequency of an index, attrs,
the unit and the zone of dates, columns of objects that hold texts and how they write a missing one, and (in Parquet)
categories that are no texts.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]  # it ships no annotations

from .cells import (
    MISSING,
    described_dtype,
    dtype_from,
    index_from_json,
    index_to_cells,
    index_to_json,
    missing_as,
    named,
)
from .frames import plain
from .json import why_not_json

__all__ = ["from_table", "to_table"]


def to_table(frame: pd.DataFrame) -> tuple[pa.Table, dict[str, Any]]:
    """Return `frame` as an Arrow table, and the note that :func:`from_table` needs."""
    note: dict[str, Any] = {"labels": named("columns", index_to_json, frame.columns), "columns": _notes(frame)}
    if isinstance(frame.index, pd.RangeIndex):
        note["index"] = index_to_cells(frame.index)[0]
    elif isinstance(frame.index, pd.DatetimeIndex | pd.TimedeltaIndex):
        note["times"] = {**described_dtype(frame.index.dtype), "freq": frame.index.freqstr}
    bare = frame.set_axis(_names(frame.columns), axis=1)
    if reason := why_not_json(frame.attrs):
        raise TypeError(f"its attrs cannot be kept: {reason}")
    note["attrs"], bare.attrs = frame.attrs, {}
    return pa.Table.from_pandas(bare), note


def from_table(table: pa.Table, note: dict[str, Any]) -> pd.DataFrame:
    """Return the frame that :func:`to_table` was given."""
    frame: pd.DataFrame = table.to_pandas()
    if "index" in note:
        index = index_from_json({**note["index"], "cells": []})
        frame = frame.set_axis(index, axis=0) if table.num_columns else pd.DataFrame(index=index)
    elif "times" in note:
        times: Any = frame.index.astype(dtype_from(note["times"]))
        times.freq = note["times"]["freq"]
        frame.index = times
    for position, spec in note["columns"].items():
        frame.isetitem(int(position), _restored(frame.iloc[:, int(position)], table.column(int(position)), spec))
    frame.columns = index_from_json(note["labels"])
    frame.attrs = note["attrs"]
    return frame


def _names(labels: pd.Index[Any]) -> list[str]:
    """Return the labels as texts, for other readers; numbered where two would be the same."""
    names = [str(label) for label in labels]
    return names if len(set(names)) == len(names) else [f"{name} ({number})" for number, name in enumerate(names)]


def _notes(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what must be noted of some columns, by position."""
    notes: dict[str, Any] = {}
    for position, label in enumerate(frame.columns):
        array = plain(frame.iloc[:, position])
        if isinstance(array, pd.Categorical):
            if not frame.size or not isinstance(array.categories.dtype, pd.StringDtype):
                categories = named(f"column {label!r}", index_to_json, array.categories)
                notes[str(position)] = {"categories": categories, "ordered": bool(array.ordered)}
        elif array.dtype.kind in "mM" and not isinstance(array.dtype, pd.ArrowDtype):
            notes[str(position)] = described_dtype(array.dtype)
        elif array.dtype == object and (missing := missing_as(array.tolist())) in MISSING:
            notes[str(position)] = {"missing": missing}
    return notes


def _restored(column: pd.Series[Any], stored: pa.ChunkedArray, spec: dict[str, Any]) -> Any:
    if "categories" in spec:
        dtype = pd.CategoricalDtype(index_from_json(spec["categories"]), spec["ordered"])
        if not isinstance(column.dtype, pd.CategoricalDtype):  # Parquet keeps categories that are texts, only
            return column.astype(dtype)
        return pd.Series(pd.Categorical.from_codes(column.cat.codes, dtype=dtype), index=column.index)
    if "missing" in spec:
        values = stored.to_numpy(zero_copy_only=False).astype(object)  # texts, and None
        values[pd.isna(values)] = MISSING[spec["missing"]]
        return pd.Series(values, index=column.index, dtype=object)
    return column.astype(dtype_from(spec))
