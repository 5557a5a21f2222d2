"""The graph of nodes behind an artifact: walk it, name it, show it.

A node is anything with a payload name, a version, params, and upstream nodes by role. This module knows nodes and
not the class that they usually are, so that the class can ask it. All walks are iterative and visit each node
once: a ladder of sixty layers has 2**60 paths, but 120 nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

from ..exceptions import ParamsError, UntrackableValueError
from ..keys import ArtifactKey, fingerprint
from ..params import readable, tracked_params
from ..stores import DataDir

__all__ = ["Node", "key_of", "keys_of", "params_tree", "readable_params", "readable_tree", "walk"]


class Node(Protocol):
    """What the graph needs to know of a persistable."""

    version: ClassVar[str | None]

    @property
    def payload_name(self) -> str: ...
    @property
    def params(self) -> Any: ...
    @property
    def tracked_persistable_dependencies(self) -> Mapping[str, Node]: ...
    @property
    def data_dir(self) -> DataDir: ...


def walk(root: Node) -> Iterator[Node]:
    """Yield `root` and every node behind it, each once, upstreams before those that depend on them.

    Raises
    ------
    ParamsError
        If a node depends on itself, directly or through others.
    """
    done: set[int] = set()
    path: dict[int, Node] = {}  # from the root to where we are
    todo: list[Node | None] = [root]  # None: all upstreams of the last node of the path have been seen
    while todo:
        node = todo.pop()
        if node is None:
            number, node = path.popitem()
        elif (number := id(node)) in done:
            continue
        elif upstreams := node.tracked_persistable_dependencies:
            if number in path:
                raise _cycle(list(path.values()), node)
            path[number] = node
            todo.append(None)
            todo += upstreams.values()
            continue
        done.add(number)
        yield node


def _cycle(path: list[Node], again: Node) -> ParamsError:
    start = next(position for position, node in enumerate(path) if node is again)
    circle = " -> ".join(node.payload_name for node in [*path[start:], again])
    return ParamsError(
        f"The dependencies form a cycle: {circle}. Remove one of these from tracked_persistable_dependencies."
    )


def keys_of(root: Node) -> dict[int, str]:
    """Return ``id(node)`` -> fingerprint, of `root` and every node behind it.

    Raises
    ------
    ParamsError
        If params cannot be fingerprinted, or if the nodes form a cycle.
    """
    keys: dict[int, str] = {}
    for node in walk(root) if root.tracked_persistable_dependencies else (root,):
        upstreams = node.tracked_persistable_dependencies
        try:
            keys[id(node)] = fingerprint(
                node.payload_name,
                node.version,
                node.params,
                {role: keys[id(upstream)] for role, upstream in upstreams.items()},
            )
        except ParamsError as error:
            if isinstance(error, UntrackableValueError):
                error.inside("params")
            error.add_note(f"persistable: while fingerprinting the params of {node.payload_name}.")
            raise
    return keys


def key_of(root: Node) -> ArtifactKey:
    """Return the key of `root`; see :func:`keys_of`."""
    return ArtifactKey(keys_of(root)[id(root)], root.payload_name)


def params_tree(root: Node) -> dict[str, Any]:
    """Return the tracked params of `root`, and under its role the params tree of each upstream.

    A node that is reached on several paths is one and the same dict in each place.
    """
    trees: dict[int, dict[str, Any]] = {}
    for node in walk(root):
        upstreams = {role: trees[id(upstream)] for role, upstream in node.tracked_persistable_dependencies.items()}
        trees[id(node)] = tracked_params(node.params) | upstreams
    return trees[id(root)]


def readable_tree(root: Node) -> dict[str, Any]:
    """Return the params tree for people: each node once, the root first, its upstreams by the names of theirs.

    A node goes by its payload name; of several nodes of one name, the later ones by ``name#2``, ``name#3``.

    Examples
    --------
    The tree of a model on some points::

        {"model": {"params": {"alpha": 1.0}, "dependencies": {"points": "points"}},
         "points": {"params": {"n": 100}}}
    """
    nodes = list(walk(root))[::-1]
    counts: dict[str, int] = {}
    names: dict[int, str] = {}
    for node in nodes:
        count = counts[node.payload_name] = counts.get(node.payload_name, 0) + 1
        names[id(node)] = node.payload_name if count == 1 else f"{node.payload_name}#{count}"
    tree: dict[str, Any] = {}
    for node in nodes:
        shown: dict[str, Any] = {"params": readable_params(node.params)}
        if node.version is not None:
            shown["version"] = node.version
        if node.tracked_persistable_dependencies:
            shown["dependencies"] = {
                role: names[id(upstream)] for role, upstream in node.tracked_persistable_dependencies.items()
            }
        tree[names[id(node)]] = shown
    return tree


def readable_params(params: Any) -> dict[str, Any]:
    """Return the tracked params of one node as JSON for people, by field."""
    return {name: readable(value) for name, value in tracked_params(params).items()}
