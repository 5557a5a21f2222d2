"""Whether what came back is what went in: equal, and of the same types all the way down.

``==`` is too weak for that (``1 == True``, ``[1] != (1,)`` but ``0.0 == -0.0``) and too strong (``nan != nan``).
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["same", "same_arrays"]


def same(saved: Any, loaded: Any) -> bool:
    """Return whether two values are equal and of the same types; a NaN equals a NaN, 0.0 is not -0.0.

    Examples
    --------
    >>> same([1, {"a": float("nan")}], [1, {"a": float("nan")}])
    True
    >>> same([1, 2], [1.0, 2]), same([1, 2], (1, 2)), same(0.0, -0.0)
    (False, False, False)
    """
    if type(saved) is not type(loaded):
        return False
    if isinstance(saved, float):
        return bool(saved.hex() == loaded.hex())
    if isinstance(saved, complex):
        return same(saved.real, loaded.real) and same(saved.imag, loaded.imag)
    if isinstance(saved, dict):
        return same(list(saved), list(loaded)) and all(same(saved[key], loaded[key]) for key in saved)
    if isinstance(saved, list | tuple):
        return len(saved) == len(loaded) and all(map(same, saved, loaded))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(saved, numpy.ndarray | numpy.generic):
        return same_arrays(saved, loaded)
    return saved is loaded or bool(saved == loaded)


def same_arrays(saved: Any, loaded: Any) -> bool:
    """Return whether two numpy arrays (or scalars) have the same dtype, shape and elements."""
    if saved.dtype != loaded.dtype or saved.shape != loaded.shape:
        return False
    if saved.dtype.names is not None:
        return all(same_arrays(saved[name], loaded[name]) for name in saved.dtype.names)
    if saved.dtype.hasobject:
        return same(saved.tolist(), loaded.tolist())
    if saved.dtype.kind == "c":
        return same_arrays(saved.real, loaded.real) and same_arrays(saved.imag, loaded.imag)
    if saved.dtype.kind == "f":
        return _same_floats(saved, loaded)
    if saved.dtype.kind in "mM":  # NaT is the same as NaT
        return same_arrays(saved.astype("i8"), loaded.astype("i8"))
    return bool((saved == loaded).all())


def _same_floats(saved: Any, loaded: Any) -> bool:
    import numpy as np

    equal = (saved == loaded) & (np.signbit(saved) == np.signbit(loaded))
    return bool((equal | (np.isnan(saved) & np.isnan(loaded))).all())
