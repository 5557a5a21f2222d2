"""pandas arrays and indexes as cells of text, each with a spec in JSON by which the cells become values again.

What CsvFileIO writes, and what ParquetFileIO notes beside a frame where Arrow does not carry it. Whether the way
back leads to the same values is for the caller to prove (:mod:`persistable.fileio.proved`); what is known not to
is refused with a TypeError.
"""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from .frames import plain
from .json import why_not_json

__all__ = [
    "MISSING",
    "array_from_cells",
    "array_to_cells",
    "described_dtype",
    "dtype_from",
    "index_from_cells",
    "index_from_json",
    "index_to_cells",
    "index_to_json",
    "missing_as",
    "named",
]

_LONGEST_CELL = 131_072  # what Python's csv module reads, unless csv.field_size_limit() is called


def named(what: str, function: Callable[[Any], Any], argument: Any) -> Any:
    """Return what `function` makes of `argument`; let its complaint begin with `what`."""
    try:
        return function(argument)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{what}: {error}") from error


# -- index and labels: an Index is a range, or levels of cells with their specs


def index_to_cells(index: pd.Index[Any]) -> tuple[dict[str, Any], list[list[str]]]:
    names = list(index.names)
    if reason := why_not_json(names):
        raise TypeError(f"its index: the names {names!r} cannot be kept: {reason}")
    if isinstance(index, pd.RangeIndex):
        return {"range": [index.start, index.stop, index.step], "names": names}, []
    encoded = [
        named(f"level {level} of the index", array_to_cells, plain(index.get_level_values(level)))
        for level in range(index.nlevels)
    ]
    schema: dict[str, Any] = {"levels": [spec for _, spec in encoded], "names": names}
    if isinstance(index, pd.MultiIndex):
        schema["multi"] = True
    if getattr(index, "freq", None) is not None:
        schema["freq"] = index.freqstr  # type: ignore[attr-defined]
    return schema, [cells for cells, _ in encoded]


def index_from_cells(schema: dict[str, Any], cells: Sequence[Sequence[str]]) -> pd.Index[Any]:
    names = schema["names"]
    if "range" in schema:
        start, stop, step = schema["range"]
        return pd.RangeIndex(start, stop, step, name=names[0])
    levels = [array_from_cells(column, spec) for column, spec in zip(cells, schema["levels"], strict=False)]
    indexes = [pd.Index(level, dtype=level.dtype, name=name) for level, name in zip(levels, names, strict=True)]
    if schema.get("multi"):
        return pd.MultiIndex.from_arrays(indexes, names=names)
    index: Any = indexes[0]
    if "freq" in schema:
        index.freq = schema["freq"]
    return cast("pd.Index[Any]", index)


def index_to_json(index: pd.Index[Any]) -> dict[str, Any]:
    schema, cells = index_to_cells(index)
    return {**schema, "cells": cells}


def index_from_json(schema: dict[str, Any]) -> pd.Index[Any]:
    return index_from_cells(schema, schema["cells"])


# -- columns: an array is one cell per value, and a spec that says how to read them


def array_to_cells(array: Any) -> tuple[list[str], dict[str, Any]]:
    """Return one cell per value of `array`, and the spec from which :func:`array_from_cells` makes it again."""
    dtype = array.dtype
    if isinstance(array, pd.Categorical):
        labels, spec = _categories(array)
        return [labels[code] for code in array.codes], spec
    if isinstance(dtype, pd.StringDtype) or (dtype.kind == "O" and isinstance(array, np.ndarray)):
        return _text_to_cells(array)
    if not _is_plain(dtype):
        raise TypeError(f"the dtype {dtype} has no place in a CSV file. Take ParquetFileIO")
    missing = pd.isna(array) if not isinstance(dtype, np.dtype) or dtype.kind in "fmM" else None
    values = _physical(array)
    cells = _NUMBERS[values.dtype.kind].to_cells(values)
    if isinstance(dtype, pd.DatetimeTZDtype):
        cells = [f"{cell}Z" for cell in cells]
    if missing is not None and missing.any():
        cells = ["" if gone else cell for cell, gone in zip(cells, missing, strict=True)]
    return cells, described_dtype(dtype)


def array_from_cells(cells: Sequence[str], spec: dict[str, Any]) -> Any:
    """Return the array that :func:`array_to_cells` wrote as `cells`."""
    if "categories" in spec:
        codes = {cell: code for code, cell in enumerate(spec["labels"][:-1])}
        return pd.Categorical.from_codes(
            np.array([codes.get(cell, -1) for cell in cells], dtype="int64"),
            categories=index_from_json(spec["categories"]),
            ordered=spec["ordered"],
        )
    if "text" in spec:
        return _text_from_cells(cells, spec)
    if "json" in spec:
        return _object_array(map(json.loads, cells))
    dtype = dtype_from(spec)
    physical = _physical_dtype(dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        cells = [cell.removesuffix("Z") for cell in cells]
    missing = np.array([not cell for cell in cells], dtype=bool)
    numbers = _NUMBERS[physical.kind]
    values = numbers.from_cells([cell or numbers.neutral for cell in cells], physical)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(dtype.tz).array
    if not isinstance(dtype, np.dtype):
        return dtype.construct_array_type()(values, missing)
    return values


def _is_plain(dtype: Any) -> bool:
    """Whether `dtype` is numpy's, with a zone, or nullable, and its name stands for it."""
    known = isinstance(dtype, np.dtype | pd.DatetimeTZDtype) or hasattr(dtype, "numpy_dtype")
    if not known or isinstance(dtype, pd.ArrowDtype) or _physical_dtype(dtype).kind not in _NUMBERS:
        return False
    return bool(dtype_from(described_dtype(dtype)) == dtype)


def described_dtype(dtype: Any) -> dict[str, Any]:
    """Return the spec of a dtype that has a name, as JSON."""
    # pandas 2 would read the name of a zone as one of pytz, which differs from the same zone of zoneinfo.
    zone = getattr(getattr(dtype, "tz", None), "key", None)
    return {"dtype": str(dtype)} if zone is None else {"dtype": str(dtype), "unit": dtype.unit, "zone": zone}


def dtype_from(spec: dict[str, Any]) -> Any:
    """Return the dtype that :func:`described_dtype` described."""
    if "zone" in spec:
        return pd.DatetimeTZDtype(spec["unit"], zoneinfo.ZoneInfo(spec["zone"]))
    return pd.api.types.pandas_dtype(spec["dtype"])


def _physical_dtype(dtype: Any) -> np.dtype[Any]:
    if isinstance(dtype, pd.DatetimeTZDtype):
        return np.dtype(f"M8[{dtype.unit}]")
    return dtype if isinstance(dtype, np.dtype) else np.dtype(dtype.numpy_dtype)


def _physical(array: Any) -> Any:
    """Return the numpy array below `array`; anything where a value is missing, and UTC where it has a zone."""
    physical = _physical_dtype(array.dtype)
    if isinstance(array.dtype, np.dtype | pd.DatetimeTZDtype):
        return np.asarray(array, dtype=physical)
    return array.to_numpy(dtype=physical, na_value=physical.type(0))


def _categories(array: Any) -> tuple[list[str], dict[str, Any]]:
    """Return a cell for each code (that of -1, a missing value, comes last), and the spec."""
    categories = index_to_json(array.categories)
    labels = [str(category) for category in array.categories]
    if len(set(labels)) < len(labels):  # such as 1 and "1"
        labels = [str(code) for code in range(len(labels))]
    labels.append(_unused(labels))
    _check_text(labels)
    return labels, {"categories": categories, "labels": labels, "ordered": bool(array.ordered)}


# -- text, and whatever else a column of objects holds

MISSING: dict[str, Any] = {"None": None, "nan": float("nan"), "NA": pd.NA}


def missing_as(values: Sequence[Any]) -> str | None:
    """Return how missing values are written among texts (``None``, ``nan``, ``NA``); None if it is not that simple."""
    kinds = {_missing_name(value) for value in values if type(value) is not str}
    return None if len(kinds) > 1 else next(iter(kinds), "None")


def _text_to_cells(array: Any) -> tuple[list[str], dict[str, Any]]:
    values = np.asarray(array, dtype=object).tolist()
    missing = missing_as(values)
    if missing not in MISSING:  # other objects than texts, or two kinds of missing values
        return _objects_to_cells(values)
    mark = _unused(value for value in values if type(value) is str)
    cells = [value if type(value) is str else mark for value in values]
    _check_text(cells)
    spec: dict[str, Any] = {"text": None, "mark": mark, "missing": missing}
    if isinstance(array.dtype, pd.StringDtype):
        spec["text"] = {"storage": array.dtype.storage, "nullable": array.dtype.na_value is pd.NA}
    return cells, spec


def _text_from_cells(cells: Sequence[str], spec: dict[str, Any]) -> Any:
    missing = MISSING[spec["missing"]]
    values = _object_array(missing if cell == spec["mark"] else cell for cell in cells)
    return pd.array(values, dtype=_string_dtype(**spec["text"])) if spec["text"] else values


def _objects_to_cells(values: Iterable[Any]) -> tuple[list[str], dict[str, Any]]:
    cells = []
    for row, value in enumerate(values):
        if reason := why_not_json(value):
            raise TypeError(
                f"it holds {value!r} in row {row}, and a CSV cell cannot give it back: {reason}. "
                f"Give the column one dtype, or take PickleFileIO"
            )
        cells.append(json.dumps(value, ensure_ascii=False))
    _check_text(cells)
    return cells, {"json": True}


def _object_array(values: Iterable[Any]) -> Any:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    for row, value in enumerate(listed):  # one by one: numpy would unpack lists
        array[row] = value
    return array


def _missing_name(value: Any) -> str:
    if value is None:
        return "None"
    if value is pd.NA:
        return "NA"
    return "nan" if type(value) is float and value != value else ""


def _string_dtype(storage: Any, nullable: bool) -> Any:
    # pandas 2.2 knows only the nullable kind, and takes no second argument.
    return pd.StringDtype(storage) if nullable else pd.StringDtype(storage, na_value=np.nan)


def _unused(texts: Iterable[str]) -> str:
    """Return what marks a missing value: an empty cell, or the first of NA, NA_, … that is no text here."""
    mark, taken = "", set(texts)
    while mark in taken:
        mark = f"{mark}_" if mark else "NA"
    return mark


def _check_text(cells: Iterable[str]) -> None:
    for row, cell in enumerate(cells):
        if len(cell) >= _LONGEST_CELL:
            raise TypeError(f"the text in row {row} has {len(cell)} characters, too many for a CSV cell")
        if not cell.isascii() and (reason := why_not_json(cell)):
            raise TypeError(f"the text in row {row} cannot be written: {reason}")


# -- numbers and dates


def _dates_to_cells(values: Any) -> list[str]:
    def loses_nothing(unit: str) -> bool:
        return bool(((values.astype(f"M8[{unit}]").astype(values.dtype) == values) | np.isnat(values)).all())

    unit: Any = next(filter(loses_nothing, ("D", "s", "ms", "us")), "ns")  # midnights only: a day is enough
    return [cell.replace("T", " ") for cell in np.datetime_as_string(values, unit=unit).tolist()]


def _floats_to_cells(values: Any) -> list[str]:
    # The shortest text that reads back as the same float, be it of 64, 32 or 16 bits.
    return list(map(repr, values.tolist())) if values.dtype == np.float64 else list(map(str, values))


class _Numbers(NamedTuple):
    """How one kind of numpy dtype goes to cells and back, and the cell that stands in where a value is missing."""

    to_cells: Callable[[Any], list[str]]
    from_cell: Callable[[str], Any]
    neutral: str

    def from_cells(self, cells: Iterable[str], dtype: np.dtype[Any]) -> Any:
        return np.array(list(map(self.from_cell, cells)), dtype)


def _reprs(values: Any) -> list[str]:
    return list(map(repr, values.tolist()))


def _counts_to_cells(values: Any) -> list[str]:
    return _reprs(values.astype("i8"))


_NUMBERS = {
    "b": _Numbers(_reprs, "True".__eq__, "False"),
    "i": _Numbers(_reprs, int, "0"),
    "u": _Numbers(_reprs, int, "0"),
    "f": _Numbers(_floats_to_cells, float, "nan"),
    "c": _Numbers(_reprs, complex, "nan"),
    "M": _Numbers(_dates_to_cells, str, "NaT"),
    "m": _Numbers(_counts_to_cells, int, str(np.iinfo("i8").min)),  # the count that stands for NaT
}
