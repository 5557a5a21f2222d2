"""JsonFileIO: plain values that people and other programs read.

JSON knows fewer types than Python. Whatever would come back as something else (a tuple as a list, the key 1 as
"1", NaN as a file that no other program reads) is refused at save, with the place where it stands. Loading
runs no code.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

from .base import FileIO, StoredPayload

__all__ = ["JsonFileIO", "why_not_json"]

_MOST_BITS = 2125  # 640 digits: what every Python reads, however sys.set_int_max_str_digits() is set
_DEEPEST = 200  # well inside the recursion limit of any reader


class JsonFileIO(FileIO[Any]):
    """dict, list, str, int, float, bool and None, nested at will, as a JSON file. Loading runs no code.

    What comes back is equal and of the same types, floats to the last bit, dicts in their order; that is
    checked before anything is written.

    Raises
    ------
    TypeError
        At save: something in the payload would not come back equal. The message says where and why.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> JsonFileIO().save({"order": [2, 1, 0], "aic": 5.5}, folder / "payload.json")
    >>> json.loads((folder / "payload.json").read_text())
    {'order': [2, 1, 0], 'aic': 5.5}
    >>> JsonFileIO().save({"order": (2, 1, 0)}, folder / "other.json")
    Traceback (most recent call last):
    ...
    TypeError: JsonFileIO does not take this dict: $.order: a tuple would come back as a list. \
Convert it first, or use PickleFileIO.
    """

    suffix = ".json"
    format_id: ClassVar[str] = "json"
    loads_lazily = False

    def _save(self, payload: Any, filepath: Path) -> None:
        if reason := why_not_json(payload):
            raise self._refusal(payload, f"{reason}. Convert it first, or use PickleFileIO")
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, indent=2)
        with filepath.open("xb") as file:
            file.write(text.encode() + b"\n")

    def _load(self, filepath: Path) -> Any:
        return json.loads(filepath.read_bytes())

    def load(self, stored: StoredPayload) -> Any:
        """Verify `stored`, and parse the very bytes that were verified."""
        return json.loads(stored.read())


def why_not_json(payload: Any) -> str | None:
    """Return where and why JSON would not give `payload` back equal and of the same types; None if it would.

    Examples
    --------
    >>> why_not_json({"a": [1.5, "x", None]})
    >>> why_not_json({"a": [1.5, {2: "x"}]})
    "$.a[1]: the key 2 (int) would come back as the str '2'"
    """
    found = _obstacle(payload, 0)
    return f"${found[0]}: {found[1]}" if found else None


def _obstacle(value: Any, depth: int) -> tuple[str, str] | None:
    """Return (path below `value`, reason) of the first thing that JSON would not give back."""
    kind = type(value)
    if kind is dict or kind is list:
        if depth == _DEEPEST:
            return "", f"it is nested more than {_DEEPEST} deep, or contains itself"
        for step, item in value.items() if kind is dict else enumerate(value):
            if kind is dict and (reason := _bad_key(step)):
                return "", reason
            if found := _obstacle(item, depth + 1):
                return _path(step) + found[0], found[1]
        return None
    if kind is str:
        return None if _is_unicode(value) else ("", "a str with half of a surrogate pair is no valid Unicode")
    if kind is float:
        return None if math.isfinite(value) else ("", f"the float {value} has no JSON; None is the usual stand-in")
    if kind is int and value.bit_length() > _MOST_BITS:
        return "", "an int of more than 640 digits cannot be read back everywhere"
    if value is None or kind is bool or kind is int:
        return None
    return "", _as_what(kind)


def _bad_key(key: Any) -> str | None:
    if type(key) is not str:
        return f"the key {key!r} ({type(key).__qualname__}) would come back as the str {str(key)!r}"
    return None if _is_unicode(key) else f"the key {key!a} is no valid Unicode"


def _as_what(kind: type) -> str:
    for base, back in ((tuple, "list"), (dict, "dict"), (list, "list"), (str, "str"), (int, "int"), (float, "float")):
        if issubclass(kind, base):
            return f"a {kind.__qualname__} would come back as a {back}"
    return f"a {kind.__qualname__} has no JSON"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _path(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{step!r}]"
