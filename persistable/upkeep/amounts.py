"""How long, and how large: numbers, or texts as people write them."""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = ["bytes_of", "seconds_of"]

_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES: Final = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTP", start=1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate(("K", "M", "G", "T", "P"), start=1)},
}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)


def seconds_of(value: float | str) -> float:
    """Return a time in seconds, from a number of them or from a text.

    Raises
    ------
    ValueError
        If `value` is neither.

    Examples
    --------
    >>> seconds_of("30d"), seconds_of("12h"), seconds_of(1.5)
    (2592000.0, 43200.0, 1.5)
    """
    return _amount(
        value, _SECONDS, ("d", "h"), "a time", "seconds, or a text such as '90s', '45min', '12h', '30d', '2w'"
    )


def bytes_of(value: float | str) -> int:
    """Return a size in bytes, from a number of them or from a text; kB and MB are decimal, KiB and MiB binary.

    Raises
    ------
    ValueError
        If `value` is neither.

    Examples
    --------
    >>> bytes_of("1.5GB"), bytes_of("1MiB"), bytes_of(12)
    (1500000000, 1048576, 12)
    """
    return int(
        _amount(value, _BYTES, ("MB", "GB"), "a size", "bytes, or a text such as '500kB', '500MB', '1.5GB', '1GiB'")
    )


def _amount(value: float | str, units: dict[str, int], examples: tuple[str, str], what: str, expected: str) -> float:
    if isinstance(value, str):
        match = _AMOUNT.fullmatch(value)
        if match and not match[2]:
            number, (unit, other) = match[1], examples
            raise ValueError(f"{value!r} has no unit. Write it with one: '{number}{unit}', '{number}{other}'.")
        by_name = {unit.casefold(): factor for unit, factor in units.items()}
        if match and match[2].casefold() in by_name:
            return float(match[1]) * by_name[match[2].casefold()]
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    raise ValueError(f"{value!r} is not {what}. Pass a number of {expected}.")
