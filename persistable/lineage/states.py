"""The nodes of a graph as the stores have them: one manifest each, and no payload.

A manifest comes from elsewhere. What it says of its upstreams is looked at before a path is made of it, and one that
holds what no manifest does is one damaged node, not an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from .. import artifacts
from .._leases import holder_of
from .._text import printable
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ManifestVersionError
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Store

__all__ = ["ELSEWHERE", "Graph", "LineageNode", "NOT_MADE", "Outdated", "read_node", "with_remade"]

ELSEWHERE: Final = "not in this store; it may lie in another one"
NOT_MADE: Final = "not made yet"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class LineageNode:
    """An artifact, or the place of one that is not there.

    Attributes
    ----------
    payload_name, key : str
        Which artifact.
    state : str
        ``"whole"``, as far as its manifest says; ``"missing"``; ``"generating"``; ``"corrupt"``: its manifest is
        damaged; ``"newer"``: only a newer persistable can read it.
    problem : str
        A line about the state; "" of a whole one.
    params : dict
        Its own tracked params, readable.
    version : str or None
        The version that its class stated.
    at : str or None
        When it was made (UTC).
    size : int or None
        Of its payload, in bytes.
    summary : str
        A line about its payload.
    digest : str or None
        The digest of its payload.
    dependencies : dict of str to str
        role -> key of the upstream.
    used : dict of str to (str or None)
        role -> digest of the upstream's payload when this one was made; None if it was not opened.
    remade : tuple of str
        The roles whose upstream has other content now than it had then. One that has only grown has not.
    """

    payload_name: str
    key: ArtifactKey
    state: str
    problem: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    at: str | None = None
    size: int | None = None
    summary: str = ""
    digest: str | None = None
    dependencies: Mapping[str, ArtifactKey] = field(default_factory=dict)
    used: Mapping[str, str | None] = field(default_factory=dict)
    remade: tuple[str, ...] = ()
    grown_from: tuple[str, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the node as JSON."""
        said = {name: getattr(self, name) for name in self.__slots__ if name not in ("remade", "grown_from")}
        return {**said, "key": str(self.key), "dependencies": {r: str(k) for r, k in self.dependencies.items()}}


class Outdated(NamedTuple):
    """A result that was made from content that is no more.

    Attributes
    ----------
    payload_name, key : str
        Which artifact.
    remade : tuple of str
        The roles of upstreams that have been made again since, with other content.
    through : tuple of str
        The roles of upstreams that are outdated themselves.
    """

    payload_name: str
    key: ArtifactKey
    remade: tuple[str, ...]
    through: tuple[str, ...]

    @property
    def why(self) -> str:
        """``directly (data)``, or ``through model``, or both."""
        direct = f"directly ({', '.join(self.remade)})" if self.remade else ""
        through = f"through {', '.join(self.through)}" if self.through else ""
        return " and ".join(part for part in (direct, through) if part)

    def __str__(self) -> str:
        return printable(f"{self.payload_name} {self.key[:8]} is outdated: {self.why}")


@dataclass(frozen=True, slots=True, repr=False)
class Graph:
    """What there is to draw: the root, and all nodes by key, upstreams first.

    Attributes
    ----------
    root : LineageNode
        What it is the graph of.
    nodes : dict of str to LineageNode
        key -> node.
    outdated : dict of str to Outdated
        key -> why it is outdated, of those that are; upstreams first.
    """

    root: LineageNode
    nodes: Mapping[str, LineageNode]
    outdated: Mapping[str, Outdated]


def is_key(name: object, key: object) -> bool:
    """Whether a payload name and a key that a manifest mentions are such, and not a way out of the store."""
    return isinstance(name, str) and isinstance(key, str) and bool(_NAME.fullmatch(name) and _KEY.fullmatch(key))


def read_node(store: Store, key: ArtifactKey, missing: str) -> LineageNode:
    """Return the node of one artifact, as its manifest has it; `missing` is what to say if there is none."""
    name = key.payload_name
    if not is_key(name, str(key)):
        return LineageNode(name, key, "missing", "its name or key is none")
    try:
        return _node_of(artifacts.read_manifest(store, key), key)
    except ArtifactNotFoundError:
        holder = holder_of(store, key)
        if holder is None or holder.ended:
            return LineageNode(name, key, "missing", missing)
        return LineageNode(name, key, "generating", f"by {holder.owner}")
    except ArtifactCorruptError as error:
        return LineageNode(name, key, "corrupt", artifacts.problem_of(error))
    except ManifestVersionError as error:
        return LineageNode(name, key, "newer", str(error))
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return LineageNode(name, key, "corrupt", "Its manifest holds what no manifest does.")


def _node_of(manifest: Manifest, key: ArtifactKey) -> LineageNode:
    payload, generated, upstreams = manifest.payload, manifest.generated, manifest.dependencies
    return LineageNode(
        payload_name=key.payload_name,
        key=key,
        state="whole",
        params=dict(manifest.params),
        version=manifest.version,
        at=str(generated["at"]),
        size=int(payload["size"]),
        summary=str(payload["summary"]),
        digest=str(payload["digest"]),
        dependencies={role: ArtifactKey(str(up.key), str(up.payload_name)) for role, up in upstreams.items()},
        used={role: up.digest for role, up in upstreams.items()},
        grown_from=tuple(generated.get("grown_from", ())),
    )


def with_remade(nodes: Mapping[str, LineageNode]) -> dict[str, LineageNode]:
    """Return the nodes, each with the roles whose upstreams have other content now."""
    return {key: replace(node, remade=_remade(node, nodes)) for key, node in nodes.items()}


def _remade(node: LineageNode, nodes: Mapping[str, LineageNode]) -> tuple[str, ...]:
    def has_changed(role: str, used: str | None) -> bool:
        upstream = nodes.get(node.dependencies.get(role, ""))
        if used is None or upstream is None or upstream.digest is None:
            return False
        return used != upstream.digest and used not in upstream.grown_from

    return tuple(role for role, used in node.used.items() if has_changed(role, used))
