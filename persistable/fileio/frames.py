"""In what two pandas DataFrames differ, as strictly as can be.

``DataFrame.equals`` and ``assert_frame_equal`` overlook the sign of a zero, the order of categories, None beside
NaN, True beside 1 in a column of objects, and the frequency of an index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .equality import same, same_arrays

__all__ = ["frame_difference", "index_difference", "plain"]


def frame_difference(saved: pd.DataFrame, loaded: pd.DataFrame) -> str | None:
    """Return in what `loaded` differs from `saved`, in words; None if it is the same in everything.

    Examples
    --------
    >>> frame = pd.DataFrame({"a": [1, 2]})
    >>> frame_difference(frame, frame.copy())
    >>> frame_difference(frame, frame.astype(float))
    "column 'a' has the dtype int64, but would come back as float64"
    """
    for what, before, after in (("its index", saved.index, loaded.index), ("columns", saved.columns, loaded.columns)):
        if problem := index_difference(before, after):
            return f"{what}: {problem}"
    for position, label in enumerate(saved.columns):
        problem = _array_difference(plain(saved.iloc[:, position]), plain(loaded.iloc[:, position]))
        if problem:
            return f"column {label!r} {problem}"
    if not same(saved.attrs, loaded.attrs):
        return "its attrs would not come back. Clear them, or keep only plain values in them"
    if saved.flags != loaded.flags:
        return "its flags would not come back. Pass payload.set_flags(allows_duplicate_labels=True)"
    return None


def index_difference(saved: pd.Index[Any], loaded: pd.Index[Any]) -> str | None:
    """Return in what `loaded` differs from `saved`, in words; None if it is the same in everything."""
    if type(saved) is not type(loaded):
        return f"a {type(saved).__qualname__} would come back as a {type(loaded).__qualname__}"
    if not same(list(saved.names), list(loaded.names)):
        return f"the names {list(saved.names)!r} would come back as {list(loaded.names)!r}"
    if isinstance(saved, pd.MultiIndex):
        for level in range(saved.nlevels):
            before, after = saved.get_level_values(level), loaded.get_level_values(level)
            if problem := _array_difference(plain(before), plain(after)):
                return f"level {level} {problem}"
        return None
    if isinstance(saved, pd.RangeIndex) and isinstance(loaded, pd.RangeIndex):
        same_range = (saved.start, saved.stop, saved.step) == (loaded.start, loaded.stop, loaded.step)
        return None if same_range else f"{saved!r} would come back as {loaded!r}"
    if getattr(saved, "freq", None) != getattr(loaded, "freq", None):
        return f"its frequency {saved.freq!r} would come back as {loaded.freq!r}"  # type: ignore[attr-defined]
    problem = _array_difference(plain(saved), plain(loaded))
    return f"it {problem}" if problem else None


def plain(values: pd.Series[Any] | pd.Index[Any]) -> Any:
    """Return the array below `values`: numpy's own if it is one, not wrapped by pandas."""
    array = values.array
    return array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array


def _array_difference(saved: Any, loaded: Any) -> str | None:
    if len(saved) != len(loaded):
        return f"has {len(saved)} values, but {len(loaded)} would come back"
    if saved.dtype != loaded.dtype:
        return f"has the dtype {saved.dtype}, but would come back as {loaded.dtype}"
    if saved.dtype.kind == "O" and isinstance(saved, np.ndarray):
        return _object_difference(saved, loaded)
    if isinstance(saved, pd.Categorical):
        if problem := index_difference(saved.categories, loaded.categories):
            return f"is categorical, and of its categories {problem}"
        equal = saved.ordered == loaded.ordered and same_arrays(saved.codes, loaded.codes)
    elif isinstance(saved.dtype, np.dtype):
        equal = same_arrays(np.asarray(saved), np.asarray(loaded))
    elif saved.dtype.kind == "f":  # an extension type, which may tell NaN from missing
        equal = same_arrays(pd.isna(saved), pd.isna(loaded)) and same_arrays(_floats(saved), _floats(loaded))
    else:
        equal = bool(saved.equals(loaded))
    return None if equal else f"holds values that would not come back equal (dtype {saved.dtype})"


def _object_difference(saved: Any, loaded: Any) -> str | None:
    for row, (before, after) in enumerate(zip(saved, loaded, strict=True)):
        if not same(before, after):
            return (
                f"holds {_shown(before)} in row {row} (a {type(before).__qualname__}), "
                f"which would come back as {_shown(after)} (a {type(after).__qualname__})"
            )
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _floats(array: Any) -> Any:
    return array.to_numpy(dtype="float64", na_value=0.0)
