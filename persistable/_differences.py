"""What differs between two params trees, each difference by its path in the user's own names.

The trees are in their readable form, as ``params.json`` holds them: each node of the graph once, the root first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ._text import printable, shown

__all__ = ["NOTHING", "Difference", "differences", "differences_of_values"]

_LONGEST_PATH: Final = 200  # characters; the keys of a dict among the params may be anything
_LONGEST: Final = 60  # characters of a value
_LOOKED_AT: Final = 2_000  # characters of a value, for where two long ones begin to differ
_BEFORE: Final = 16  # characters that are shown before that place


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
        Where it stands in ``params_tree``: ``alpha``, a param of the node itself; ``data.n``, the param ``n`` of its
        upstream of the role ``data``; ``data``, that upstream itself; ``data (version)``, the version of its class.
    before, after : object
        The two values, readable; :data:`NOTHING` where there is none.
    """

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{printable(self.path, _LONGEST_PATH)}: {' -> '.join(_both(self.before, self.after))}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON, without the side on which there is nothing."""
        sides = {"before": self.before, "after": self.after}
        return {"path": self.path} | {side: value for side, value in sides.items() if value is not NOTHING}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two readable params trees. Of an upstream that only one has, its name is enough.

    Examples
    --------
    >>> model = {"params": {"alpha": 1.0}, "dependencies": {"data": "data_p"}}
    >>> before = {"model": model, "data_p": {"params": {"n": 100}}}
    >>> after = {"model": model, "data_p": {"params": {"n": 200}}}
    >>> [str(difference) for difference in differences(before, after)]
    ['data.n: 100 -> 200']
    """
    (root, _), (other_root, _) = next(iter(before.items())), next(iter(after.items()))
    found = [] if root == other_root else [Difference("(payload name)", _plain_name(root), _plain_name(other_root))]
    seen = {(root, other_root)}
    todo = deque([("", root, other_root)])  # by breadth: what is reached on several paths is told on the shortest
    while todo:
        path, name, other_name = todo.popleft()
        mine, theirs = before[name], after[other_name]
        found += _of_nodes(path, mine, theirs)
        upstreams, others = mine.get("dependencies", {}), theirs.get("dependencies", {})
        for role in dict.fromkeys([*upstreams, *others]):
            one, other = upstreams.get(role), others.get(role)
            if _plain_name(one) != _plain_name(other):
                sides = (NOTHING if side is None else _plain_name(side) for side in (one, other))
                found.append(Difference(path + role, *sides))
            elif one in before and other in after and (one, other) not in seen:
                seen.add((one, other))
                todo.append((f"{path}{role}.", one, other))
    return found


def _plain_name(node: str | None) -> str | None:
    """Return the payload name of a node; in a tree, the second one of a name goes by ``name#2``."""
    return None if node is None else node.partition("#")[0]


def _of_nodes(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    mine, theirs = before["params"], after["params"]
    for name in dict.fromkeys([*mine, *theirs]):
        yield from differences_of_values(path + name, mine.get(name, NOTHING), theirs.get(name, NOTHING))
    if before.get("version") != after.get("version"):
        where = f"{path[:-1]} (version)" if path else "(version)"
        yield Difference(where, before.get("version", NOTHING), after.get("version", NOTHING))


def differences_of_values(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """Yield where two readable values differ: as deep inside as both have the same shape."""
    if repr(before) == repr(after):  # to Python, 1 is 1.0 and True; to a key, they are three values
        return
    steps = _steps(before, after)
    if steps is None:
        yield Difference(path, before, after)
        return
    for step, mine, theirs in steps:
        yield from differences_of_values(f"{path}{step}", mine, theirs)


def _steps(before: Any, after: Any) -> list[tuple[str, Any, Any]] | None:
    """Return what two values of the same shape consist of; None if they are to be shown whole."""
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return None
        return [(f"[{index}]", *pair) for index, pair in enumerate(zip(before, after, strict=True))]
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    marks = {name for name in (*before, *after) if name.startswith("$")}
    if not marks:
        return [
            (f".{name}", before.get(name, NOTHING), after.get(name, NOTHING))
            for name in dict.fromkeys([*before, *after])
        ]
    if len(marks) > 1 or before.keys() != marks or after.keys() != marks:
        return None
    mark = marks.pop()
    return _steps_of_array(before[mark], after[mark]) or _steps(before[mark], after[mark])


def _steps_of_array(before: Any, after: Any) -> list[tuple[str, Any, Any]] | None:
    """Return in what two arrays or tables differ: in dtype, shape or columns; only if in none of these, in values."""
    if not (isinstance(before, dict) and isinstance(after, dict) and "shape" in before and "shape" in after):
        return None
    kinds = [name for name in dict.fromkeys([*before, *after]) if name not in ("values", "sha256")]
    steps = [(f".{name}", before.get(name, NOTHING), after.get(name, NOTHING)) for name in kinds]
    steps = [step for step in steps if repr(step[1]) != repr(step[2])]
    if not steps and "values" in before and "values" in after:
        return [("", before["values"], after["values"])]
    return steps or [(" (values)", before.get("sha256", NOTHING), after.get("sha256", NOTHING))]


def _both(before: Any, after: Any) -> tuple[str, str]:
    """Return two values as texts that are not the same: long ones from shortly before where they begin to differ."""
    one, other = (repr(side) if side is NOTHING else shown(side, _LOOKED_AT) for side in (before, after))
    if max(len(one), len(other)) <= _LONGEST:
        return one, other
    start = next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    if start >= _LOOKED_AT - 1:
        return f"{one[:_LONGEST]}…", f"another, that begins alike for {_LOOKED_AT} characters"
    start = start - _BEFORE if start > 2 * _BEFORE else 0
    return printable(_from(one, start), _LONGEST), printable(_from(other, start), _LONGEST)


def _from(text: str, start: int) -> str:
    return f"…{text[start:]}" if start else text
