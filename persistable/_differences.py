"""What differs between two params trees, each difference by its path in the user's own names.

The trees are in their readable form, as ``params.json`` holds them: each node of the graph once, the root first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from ._text import printable, shown

__all__ = ["NOTHING", "Difference", "Sides", "apart", "differences", "differences_of_values", "unlike"]

Sides: TypeAlias = tuple[Any, ...]
"""A value of each of the things that are compared."""

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
        return f"{printable(self.path, _LONGEST_PATH)}: {' -> '.join(apart((self.before, self.after)))}"

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
    return (Difference(place, *sides) for place, sides in unlike(path, (before, after)))


def unlike(path: str, sides: Sides) -> Iterator[tuple[str, Sides]]:
    """Yield where some readable values are not all the same: as deep inside as all have the same shape."""
    if len(set(map(repr, sides))) == 1:  # to Python, 1 is 1.0 and True; to a key, they are three values
        return
    steps = _steps(sides)
    if steps is None:
        yield path, sides
        return
    for step, inner in steps:
        yield from unlike(f"{path}{step}", inner)


def _steps(sides: Sides) -> list[tuple[str, Sides]] | None:
    """Return what values of the same shape consist of; None if they are to be shown whole."""
    if all(isinstance(side, list) for side in sides):
        if len(set(map(len, sides))) > 1:
            return None
        return [(f"[{index}]", parts) for index, parts in enumerate(zip(*sides, strict=True))]
    if not all(isinstance(side, dict) for side in sides):
        return None
    marks = {name for side in sides for name in side if name.startswith("$")}
    if not marks:
        return [(f".{name}", parts) for name, parts in _by_name(sides)]
    if any(side.keys() != marks for side in sides) or len(marks) > 1:
        return None
    mark = marks.pop()
    inner = tuple(side[mark] for side in sides)
    return _steps_of_arrays(inner) or _steps(inner)


def _by_name(sides: Sides) -> list[tuple[str, Sides]]:
    names = dict.fromkeys(name for side in sides for name in side)
    return [(name, tuple(side.get(name, NOTHING) for side in sides)) for name in names]


def _steps_of_arrays(sides: Sides) -> list[tuple[str, Sides]] | None:
    """Return in what arrays or tables differ: in dtype, shape or columns; only if in none of these, in values."""
    if not all(isinstance(side, dict) and "shape" in side for side in sides):
        return None
    parts = dict(_by_name(sides))
    nothing = (NOTHING,) * len(sides)
    values, digests = parts.pop("values", nothing), parts.pop("sha256", nothing)
    steps = [(f".{name}", some) for name, some in parts.items() if len(set(map(repr, some))) > 1]
    if not steps and NOTHING not in values:
        return [("", values)]
    return steps or [(" (values)", digests)]


def apart(sides: Sides, longest: int = _LONGEST) -> list[str]:
    """Return values as texts that are not all the same: long ones from shortly before where they begin to differ."""
    texts = [repr(side) if side is NOTHING else shown(side, _LOOKED_AT) for side in sides]
    if max(map(len, texts)) <= longest:
        return texts
    told = {repr(side): text for text, side in zip(texts, sides, strict=True) if side is not NOTHING}
    start = 0
    if len(told) > 1:
        letters = enumerate(zip(*told.values(), strict=False))
        start = next((place for place, some in letters if len(set(some)) > 1), min(map(len, told.values())))
    if start >= _LOOKED_AT - 1:
        other = f"another, that begins alike for {_LOOKED_AT} characters"
        first = repr(sides[0])
        return [f"{text[:longest]}…" if repr(side) == first else other for text, side in zip(texts, sides, strict=True)]
    start = start - _BEFORE if start > 2 * _BEFORE else 0
    return [
        text if side is NOTHING else printable(_from(text, start), longest)
        for text, side in zip(texts, sides, strict=True)
    ]


def _from(text: str, start: int) -> str:
    return f"…{text[start:]}" if start else text
