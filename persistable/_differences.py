"""What differs between two params trees, each difference by its path in the user's own names.

The trees are in their readable form, as ``params.json`` holds them: each node of the graph once, the root first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ._text import printable, shown

__all__ = ["NOTHING", "Difference", "differences", "differences_of_values"]

_LONGEST_PATH: Final = 200  # characters; the keys of a dict among the params may be anything


class _Nothing:
    """What stands on the side that has no such param; the only object of its kind."""

    def __repr__(self) -> str:
        return "nothing"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


class Difference(NamedTuple):
    """One param, upstream or version that is not the same in two trees.

    Attributes
    ----------
    path : str
        Where it stands: ``data.n``, the param ``n`` of the node ``data``; ``model (data)``, its upstream of the role
        ``data``; ``data.version``, the version of its class.
    before, after : object
        The two values, readable; :data:`NOTHING` where there is none.
    """

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{printable(self.path, _LONGEST_PATH)}: {_shown(self.before)} -> {_shown(self.after)}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON; a side that has no such param is left out."""
        sides = {"before": self.before, "after": self.after}
        return {"path": self.path, **{name: value for name, value in sides.items() if value is not NOTHING}}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two readable params trees. Of an upstream that only one has, its name is enough.

    Examples
    --------
    >>> before = {"model": {"params": {"alpha": 1.0}, "dependencies": {"data": "data"}}, "data": {"params": {"n": 100}}}
    >>> after = {"model": {"params": {"alpha": 1.0}, "dependencies": {"data": "data"}}, "data": {"params": {"n": 200}}}
    >>> [str(difference) for difference in differences(before, after)]
    ['data.n: 100 -> 200']
    """
    (root, mine), (other_root, theirs) = next(iter(before.items())), next(iter(after.items()))
    found = [] if root == other_root else [Difference("payload_name", root, other_root)]
    found += _of_nodes(other_root, mine, theirs)
    for name in before:
        if name != root and name != other_root and name in after:
            found += _of_nodes(name, before[name], after[name])
    return found


def _of_nodes(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    yield from differences_of_values(name, before["params"], after["params"])
    mine, theirs = before.get("dependencies", {}), after.get("dependencies", {})
    for role in dict.fromkeys([*mine, *theirs]):
        if mine.get(role) != theirs.get(role):
            yield Difference(f"{name} ({role})", mine.get(role, NOTHING), theirs.get(role, NOTHING))
    if before.get("version") != after.get("version"):
        yield Difference(f"{name}.version", before.get("version", NOTHING), after.get("version", NOTHING))


def differences_of_values(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """Yield where two readable values differ: as deep inside as both have the same shape."""
    if _is_same(before, after):
        return
    steps = _steps(before, after)
    if steps is None:
        yield Difference(path, before, after)
        return
    for step, mine, theirs in steps:
        yield from differences_of_values(f"{path}{step}", mine, theirs)


def _is_same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # to Python, 1 is 1.0 and True; to a key, they are three values


def _steps(before: Any, after: Any) -> list[tuple[str, Any, Any]] | None:
    """Return what two values of the same shape consist of; None if they are to be shown whole."""
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return None
        return [(f"[{index}]", *pair) for index, pair in enumerate(zip(before, after, strict=True))]
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    marks = {name for name in (*before, *after) if name.startswith("$")}
    if marks:
        mark = marks.pop()
        if marks or before.keys() != {mark} or after.keys() != {mark} or _is_digest(before[mark]):
            return None
        return _steps(before[mark], after[mark])
    return [
        (f".{name}", before.get(name, NOTHING), after.get(name, NOTHING)) for name in dict.fromkeys([*before, *after])
    ]


def _is_digest(value: Any) -> bool:
    return isinstance(value, dict) and ("sha256" in value or "dtype" in value)


def _shown(value: Any) -> str:
    return repr(value) if value is NOTHING else shown(value)
