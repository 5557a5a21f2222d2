"""The graph behind a persistable or an artifact, each node with its state: what there is, and what is outdated.

Manifests are read, each once, and nothing else; a folder is listed only where a manifest is missing. All walks are
iterative: a chain of ten thousand artifacts is one, and so is a circle that only a forged manifest can close.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from .._text import printable
from ..keys import ArtifactKey
from ..stores import Store, store_for
from .nodes import Node, keys_of, readable_params, walk
from .remade import outdated, outdated_of
from .sides import Side, artifact_of
from .states import ELSEWHERE, Graph, LineageNode, Outdated, changes_of, read_node, with_remade

__all__ = ["Lineage", "LineageNode", "Outdated", "outdated"]

_MOST_BOXES: Final = 150  # in a card; of more, the first levels as text are sooner read, and sooner drawn


class Lineage(Graph):
    """What an artifact is made from, to the roots, and the state of each.

    Made by :meth:`of` or :meth:`of_artifact`. ``str()`` is a tree of text, and a notebook shows a picture.

    Attributes
    ----------
    root : LineageNode
        The artifact itself.
    nodes : dict of str to LineageNode
        key -> node, upstreams first.
    outdated : dict of str to Outdated
        key -> why, of the nodes whose upstream has been made again with other content since; upstreams first.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import Persistable
    >>> class NumbersP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 2, 3]
    >>> class SumP(Persistable):
    ...     def _generate_payload(self):
    ...         return sum(self.tracked_persistable_dependencies["numbers_p"].payload)
    >>> data_dir = tempfile.mkdtemp()
    >>> sum_p = SumP(data_dir, None, [NumbersP(data_dir, None)])
    >>> print(Lineage.of(sum_p).to_text(ascii=True))
    sum_p          c56f18a9  [missing]
    `-- numbers_p  bcb9a18c  [missing]
    """

    __slots__ = ()

    @classmethod
    def of(cls, persistable: Side) -> Lineage:
        """Return the graph behind a persistable. Each node is looked for where that node has its artifacts.

        Of a record of a catalogue, or a tuple of store and key, it is the same as :meth:`of_artifact`.

        Raises
        ------
        ParamsError
            If params cannot be fingerprinted, or if the dependencies form a cycle.
        StoreError
            If a store cannot be read.
        TypeError
            If it is something else.
        """
        artifact = artifact_of(persistable)
        if not isinstance(artifact, tuple):
            return cls._of_persistable(artifact)
        return cls.of_artifact(*artifact)

    @classmethod
    def _of_persistable(cls, persistable: Node) -> Lineage:
        keys = keys_of(persistable)
        nodes: dict[str, LineageNode] = {}
        for node in walk(persistable):
            key = ArtifactKey(keys[id(node)], node.payload_name)
            known = nodes.get(key)
            if known is None or known.state == "missing":  # of two with one key, one may have another store
                nodes[key] = _node_of(node, key, keys)
        return cls._of_nodes(nodes, keys[id(persistable)])

    @classmethod
    def of_artifact(cls, store: Store, key: ArtifactKey) -> Lineage:
        """Return the graph behind an artifact, by what the manifests in the same store say.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        found: dict[str, LineageNode] = {}
        order: dict[str, None] = {}
        todo: list[ArtifactKey | None] = [key]  # None: all upstreams of the last of the path have been seen
        path: list[str] = []
        while todo:
            at = todo.pop()
            if at is None:
                order[path.pop()] = None
            elif at not in found:
                node = found[at] = read_node(store, at, ELSEWHERE)
                path.append(at)
                todo += [None, *node.dependencies.values()]
        return cls._of_nodes({at: found[at] for at in order}, key)

    @classmethod
    def _of_nodes(cls, nodes: Mapping[str, LineageNode], root: str) -> Lineage:
        known = with_remade(nodes)
        return cls(known[root], known, outdated_of(known))

    def to_text(self, depth: int | None = None, *, ascii: bool = False) -> str:
        """Return a tree of text: the root first, and below each node its upstreams, one a line.

        A node that is reached again is referred to, and not written again.

        Parameters
        ----------
        depth : int, optional
            How many levels of upstreams to write; all of them if None.
        ascii : bool
            Whether to draw with characters that every terminal has.
        """
        from .texts import tree

        return tree(self, depth, ascii=ascii)

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart, which many sites draw where a text holds it.

        They draw up to 500 edges by default (``maxEdges``), and 50,000 characters (``maxTextSize``).
        """
        from .texts import mermaid

        return mermaid(self)

    def to_dot(self) -> str:
        """Return the graph in the language of Graphviz."""
        from .texts import dot

        return dot(self)

    def to_svg(self) -> str:
        """Return a picture of the graph: an SVG that needs nothing else, in a file or in a page."""
        from .svg import picture

        return picture(self)

    def to_dict(self) -> dict[str, Any]:
        """Return nodes, edges, and what is outdated, as JSON."""
        edges = [
            {
                "upstream": str(upstream),
                "dependent": key,
                "role": role,
                "used": node.used.get(role),
                "remade": role in node.remade,
            }
            for key, node in self.nodes.items()
            for role, upstream in node.dependencies.items()
        ]
        outdated = [one.to_dict() for one in self.outdated.values()]
        nodes = [node.to_dict() for node in self.nodes.values()]
        return {"root": str(self.root.key), "nodes": nodes, "edges": edges, "outdated": outdated}

    def __str__(self) -> str:
        from .texts import USUAL_DEPTH

        return self.to_text(USUAL_DEPTH)

    def __repr__(self) -> str:
        from .texts import heading

        name = printable(f"{self.root.payload_name} {self.root.key[:8]}", 200)
        return f"<Lineage of {name}…: {heading(self)}>"

    def _repr_html_(self) -> str:
        from .. import _html
        from .svg import picture
        from .texts import heading

        shown = picture(self) if len(self.nodes) <= _MOST_BOXES else f"<pre>{_html_lines(str(self))}</pre>"
        said = [_html.escape(one, 300) for one in list(self.outdated.values())[:5]]
        if len(self.outdated) > len(said):
            said.append(f"and {len(self.outdated) - len(said)} more")
        name = _html.title(f"Lineage of {self.root.payload_name}", self.root.key)
        return _html.card(name, "<br>".join(said), shown, pale=heading(self))


def _html_lines(text: str) -> str:
    from .. import _html

    return "\n".join(map(_html.escape, text.splitlines()))


def _node_of(node: Node, key: ArtifactKey, keys: Mapping[int, str]) -> LineageNode:
    """Return a persistable's node: its params and upstreams as it says itself, and the rest as its manifest does."""
    upstreams = {
        role: ArtifactKey(keys[id(upstream)], upstream.payload_name)
        for role, upstream in node.tracked_persistable_dependencies.items()
    }
    found = read_node(store_for(node.data_dir), key, "")
    changed = changes_of(type(node), found.code) if found.state == "whole" else ()
    return replace(
        found, params=readable_params(node.params), version=node.version, dependencies=upstreams, changed=changed
    )
