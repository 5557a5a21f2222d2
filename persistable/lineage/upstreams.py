"""What has become of the upstreams of an artifact, or what there is of those that are needed to make it.

Not only of the direct ones: an upstream may be what it was, and yet be made from content that is no more; and the
result is then outdated through it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from .._text import amount
from ..exceptions import StoreError
from ..keys import ArtifactKey
from ..stores import Store
from .nodes import Node
from .remade import outdated_of
from .states import LineageNode, Outdated, changes_of, listed, named, read_node, with_remade
from .telling import Upstream

__all__ = ["Behind", "behind_artifact", "behind_persistable"]

_LOOKED_AT: Final = 100  # of the upstreams, at most
_REQUESTED: Final = 20  # of those in stores that are no folders

Step: TypeAlias = tuple[str, ArtifactKey, Any]
"""A role, the upstream's key, and what more there is of it."""


class Behind(NamedTuple):
    """All that is behind an artifact, as far as it was looked at.

    Attributes
    ----------
    root : LineageNode
        The artifact.
    nodes : dict of str to LineageNode
        key -> node, the nearest first.
    paths : dict of str to str
        key -> the roles that lead to it, by the shortest path: ``feat.raw``.
    outdated : mapping of str to Outdated
        key -> why it is outdated, upstreams first; the root too.
    has_all : bool
        Whether all of them were looked at.
    """

    root: LineageNode
    nodes: dict[str, LineageNode]
    paths: dict[str, str]
    outdated: Mapping[str, Outdated]
    has_all: bool

    @property
    def remark(self) -> str:
        """What is to be said of those that were not looked at; "" if there are none."""
        if self.has_all:
            return ""
        looked = amount(len(self.nodes), "upstream")
        return f"only {looked} {'was' if len(self.nodes) == 1 else 'were'} looked at; lineage() looks at all of them"

    def used(self) -> tuple[Upstream, ...]:
        """Return what has become of what the root was made from."""
        found = []
        for role, key in self.root.dependencies.items():
            if key in self.nodes:
                state = _since(self.root.used.get(role), self.nodes[key])
                found.append(self._told(key, role, "outdated" if state == "whole" and key in self.outdated else state))
        return (*found, *self._of_changed_code({one.key for one in found}))

    def needed(self, state_of: Callable[[str, LineageNode], str]) -> tuple[Upstream, ...]:
        """Return what would be asked for to make the root: upstreams, down to those that are there.

        `state_of` returns the state of one to say, from its key and node.
        """
        found: dict[str, Upstream] = {}
        todo = deque(self.root.dependencies.values())
        while todo:
            key = todo.popleft()
            if key in found or key not in self.nodes:
                continue
            node = self.nodes[key]
            state = state_of(key, node)
            if state in ("missing", "corrupt"):
                todo += node.dependencies.values()
            elif state in ("whole", "extendable") and key in self.outdated:
                state = "outdated"
            found[key] = self._told(key, self.paths[key], state)
        return (*found.values(), *self._of_changed_code(set(found)))

    def remedy(self, upstreams: Iterable[Upstream], then: str) -> str:
        """Return what to make again before the root, in which order; "" if none of these upstreams is outdated."""
        asked = {upstream.key for upstream in upstreams if upstream.state == "outdated"}
        keys = asked.union(*(self.outdated[key].first for key in asked))
        first = [named(one.payload_name, key) for key, one in self.outdated.items() if key in keys]
        return f"generate() first {listed(first, len(first))}, then {then}" if first else ""

    def _told(self, key: str, role: str, state: str) -> Upstream:
        node = self.nodes[key]
        why = self.outdated[key].because if state == "outdated" else ""
        return Upstream(node.payload_name, str(key), state, role, why, node.changed)

    def _of_changed_code(self, told: Iterable[str]) -> list[Upstream]:
        """Return those that are not told of yet, and whose code has changed since."""
        known = set(told)
        changed = [key for key, node in self.nodes.items() if node.changed and key not in known]
        return [self._told(key, self.paths[key], "behind") for key in changed]


def behind_persistable(
    node: Node, keys: Mapping[int, str], store_of: Callable[[Any], Store], used: Mapping[str, str | None]
) -> Behind:
    """Return what is behind a persistable, each from its own store; `used`: role -> digest that it was made from."""

    def steps(one: Any) -> list[Step]:
        upstreams = one.tracked_persistable_dependencies.items()
        return [(role, ArtifactKey(keys[id(up)], up.payload_name), up) for role, up in upstreams]

    def read(key: ArtifactKey, one: Any) -> tuple[LineageNode, list[Step]]:
        found = _read(store_of(one), key)
        changed = changes_of(type(one), found.code) if found.state == "whole" else ()
        known = steps(one)
        return replace(found, changed=changed, dependencies={role: at for role, at, _ in known}), known

    first = steps(node)
    key = ArtifactKey(keys[id(node)], node.payload_name)
    root = LineageNode(key.payload_name, key, "whole", dependencies={role: at for role, at, _ in first}, used=used)
    return _behind(root, first, read, lambda one: _is_near(store_of(one)))


def behind_artifact(store: Store, root: LineageNode) -> Behind:
    """Return what is behind an artifact, by what the manifests in its store say."""

    def steps(one: LineageNode) -> list[Step]:
        return [(role, key, None) for role, key in one.dependencies.items()]

    def read(key: ArtifactKey, _: None) -> tuple[LineageNode, list[Step]]:
        found = _read(store, key)
        return found, steps(found)

    return _behind(root, steps(root), read, lambda _: _is_near(store))


def _behind(
    root: LineageNode,
    first: list[Step],
    read: Callable[[ArtifactKey, Any], tuple[LineageNode, list[Step]]],
    is_near: Callable[[Any], bool],
) -> Behind:
    nodes: dict[str, LineageNode] = {}
    paths: dict[str, str] = {}
    requested = 0
    todo = deque(("", *step) for step in first)
    while todo:
        path, role, key, more = todo.popleft()
        if key in nodes or key == root.key:
            continue
        requested += not is_near(more)
        if len(nodes) == _LOOKED_AT or requested > _REQUESTED:
            todo.append((path, role, key, more))
            break
        nodes[key], behind = read(key, more)
        paths[key] = path + role
        todo += [(f"{path}{role}.", *step) for step in behind]
    known = with_remade({**nodes, root.key: root})
    outdated = outdated_of(known)
    return Behind(known.pop(root.key), known, paths, outdated, not todo)


def _read(store: Store, key: ArtifactKey) -> LineageNode:
    try:
        return read_node(store, key, "")
    except StoreError as error:
        return LineageNode(key.payload_name, key, "unreachable", str(error))


def _is_near(store: Store) -> bool:
    return store.local_path("") is not None


def _since(used: str | None, now: LineageNode) -> str:
    if used is None and now.state != "unreachable":
        return "unopened"
    if now.state != "whole":
        return {"corrupt": "damaged", "newer": "newer", "unreachable": "unreachable"}.get(now.state, "gone")
    if used == now.digest:
        return "whole"
    return "grown" if used in now.grown_from else "remade"
