"""The nodes of a graph as the stores have them: one manifest each, and no payload.

A manifest comes from elsewhere. What it says of its upstreams is looked at before a path is made of it, and one that
holds what no manifest does is one damaged node, not an error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from .. import _source, artifacts
from .._leases import holder_of
from .._text import printable
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ManifestVersionError
from ..keys import ArtifactKey, is_artifact
from ..manifest import Manifest
from ..stores import Store

__all__ = [
    "CAUSES",
    "ELSEWHERE",
    "FIRST",
    "Graph",
    "LineageNode",
    "Outdated",
    "REMADE",
    "changes_of",
    "listed",
    "named",
    "read_node",
    "with_remade",
]

ELSEWHERE: Final = "not in this store; it may lie in another one"
REMADE: Final = ("has been made again since, with other content", "have been made again since, with other content")
CAUSES: Final = 10  # of one outdated result, at most
FIRST: Final = 20  # that are to be made again before it, and are named one by one

_STRANGE: Final = "Its manifest holds what no manifest does."


@dataclass(frozen=True, slots=True)
class LineageNode:
    """An artifact, or the place of one that is not there.

    Attributes
    ----------
    payload_name, key : str
        Which artifact.
    state : str
        ``"whole"``, as far as its manifest says, and, in a folder, the size of its payload; ``"missing"``;
        ``"generating"``; ``"corrupt"``; ``"newer"``: only a newer persistable can read it.
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
    changed : tuple of str
        What has changed in the code of its class since it was made, if the class is at hand.
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
    changed: tuple[str, ...] = ()
    grown_from: tuple[str, ...] = field(default=(), repr=False)
    code: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the node as JSON."""
        said = {name: getattr(self, name) for name in self.__slots__ if name not in ("remade", "grown_from", "code")}
        upstreams = {role: str(key) for role, key in self.dependencies.items()}
        return {**said, "key": str(self.key), "dependencies": upstreams, "changed": list(self.changed)}


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
    upstreams : dict of str to str
        role -> key, of all these.
    causes : tuple of str
        The keys of what was made again behind those that it is outdated through; not more than ten.
    first : tuple of str
        The keys of outdated upstreams that are to be made again before it, in that order. If they are more than
        twenty, only some of them.
    """

    payload_name: str
    key: ArtifactKey
    remade: tuple[str, ...]
    through: tuple[str, ...]
    upstreams: Mapping[str, ArtifactKey]
    causes: tuple[ArtifactKey, ...] = ()
    first: tuple[ArtifactKey, ...] = ()

    @property
    def why(self) -> str:
        """``data 3f9a0c12 has been made again since, with other content``; with ``through model …:`` before it."""
        parts = []
        if self.remade:
            direct = [named(self.upstreams[role].payload_name, self.upstreams[role], role) for role in self.remade]
            parts.append(f"{listed(direct)} {REMADE[len(direct) > 1]}")
        if self.through:
            because = f": {_made_again(self.causes)}" if self.causes else ""
            between = dict.fromkeys(self.upstreams[role] for role in self.through)
            parts.append(f"through {listed([named(key.payload_name, key) for key in between])}{because}")
        return "; ".join(parts)

    @property
    def remade_again(self) -> tuple[ArtifactKey, ...]:
        """The keys of what was made again, directly before it or further behind."""
        return tuple(dict.fromkeys((*(self.upstreams[role] for role in self.remade), *self.causes)))

    @property
    def because(self) -> str:
        """The same without the way that leads there: ``data 3f9a0c12 has been made again since, …``."""
        return _made_again(self.remade_again)

    @property
    def remedy(self) -> str:
        """What to make again, in which order."""
        own = named(self.payload_name, self.key)
        if not self.first:
            return f"generate() {own} again: it is then made from what its upstreams are now"
        if len(self.first) > FIRST:
            return f"generate() first the more than {FIRST} outdated ones behind it, upstreams first, then {own}"
        return f"generate() first {listed([named(key.payload_name, key) for key in self.first], FIRST)}, then {own}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**self._asdict(), "why": self.why, "remedy": self.remedy}

    def __str__(self) -> str:
        return f"{named(self.payload_name, self.key)} is outdated: {self.why}"


def _made_again(keys: Sequence[ArtifactKey]) -> str:
    return f"{listed([named(key.payload_name, key) for key in keys])} {REMADE[len(keys) > 1]}"


def named(payload_name: str, key: str, role: str = "") -> str:
    """Return an artifact's name and short key, and before them its role, or the path of roles, if that says more."""
    said = f"{printable(payload_name, 100)} {printable(key[:8])}"
    return said if role.rpartition(".")[2] in ("", payload_name) else f"{printable(role, 60)}: {said}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names as ``a, b and c``; of more than `most`, how many more."""
    shown = [*names[:most]] + ([f"{len(names) - most:,} more"] if len(names) > most else [])
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


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


def read_node(store: Store, key: ArtifactKey, missing: str) -> LineageNode:
    """Return the node of one artifact, as its manifest has it; `missing` is what to say if there is none."""
    name = key.payload_name
    if not is_artifact(name, str(key)):
        return LineageNode(name, key, "missing", "its name or key is none")
    try:
        manifest = artifacts.read_manifest(store, key)
        node, problem = _node_of(manifest, key), _problem_of_payload(store, key, manifest)
        return replace(node, state="corrupt", problem=problem) if problem else node
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
        return LineageNode(name, key, "corrupt", _STRANGE)


def _problem_of_payload(store: Store, key: ArtifactKey, manifest: Manifest) -> str:
    """Return what one look at a payload tells, where that costs nothing: in a folder."""
    file, size, files = manifest.payload["file"], manifest.payload["size"], manifest.payload.get("files")
    path = store.local_path(f"{key.folder}/{file}")
    if path is None:
        return ""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return f"Its payload {file} is missing."
    except OSError:  # a drive that does not answer is no damage
        return ""
    if files is None and stat.S_ISREG(found.st_mode) and found.st_size != size:
        return f"Its payload has {found.st_size} bytes, but {size} were written."
    return ""


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
        code={"head": manifest.head["code"], "parts": manifest.code},
    )


def changes_of(kind: type, code: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what has changed in the code of `kind` since; nothing where that cannot be told."""
    with suppress(Exception):  # of a strange manifest; the code is advice
        if not _source.is_same(kind, *code["head"]):
            return tuple(_source.changes(code["parts"], _source.parts_of(kind))) or ("the class changed",)
    return ()


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
