"""A graph as text: a tree for the terminal, Mermaid for pages and notes, and the language of Graphviz.

Whatever names and params hold, none of it is read as part of these languages: the tree shows what is printable, Mermaid
gets brackets, quotes and the like as entities, and Graphviz quoted strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .. import _text
from .states import Graph, LineageNode

__all__ = ["USUAL_DEPTH", "dot", "heading", "label_of", "mermaid", "param_lines", "tree"]

USUAL_DEPTH: Final = 64
"""Levels of upstreams that are written unasked: a chain of thousands would be a text of millions of blanks."""

_ALIGNED: Final = 56  # columns; the few lines that are longer are not what all others are aligned to
_PARAMS: Final = 60

_UNICODE: Final = ("├── ", "└── ", "│   ", "    ")
_ASCII: Final = ("|-- ", "`-- ", "|   ", "    ")


def heading(graph: Graph) -> str:
    """Return how many artifacts there are, and how many of them are not as they should be."""
    counts: dict[str, int] = {}
    for node in graph.nodes.values():
        counts[node.state] = counts.get(node.state, 0) + 1
    said = [f"{count:,} {state}" for state, count in counts.items() if state != "whole"]
    if graph.outdated:
        said.append(f"{len(graph.outdated):,} outdated")
    if changed := sum(bool(node.changed) for node in graph.nodes.values()):
        said.append(f"{changed:,} of code that has changed")
    return ", ".join([_text.amount(len(graph.nodes), "artifact"), *said])


def label_of(node: LineageNode, graph: Graph) -> str:
    """Return what is special about a node, in one word or two; "" if nothing is."""
    if node.state != "whole":
        return node.state
    return "outdated" if node.key in graph.outdated else "code changed" if node.changed else ""


def param_lines(node: LineageNode, width: int, count: int) -> list[str]:
    """Return the params of a node in `count` lines of text at most; the last ends with … if they are more."""
    lines: list[str] = []
    for name, value in node.params.items():
        said = f"{_text.printable(name, 40)}={_text.shown(value, width)}"
        if lines and len(lines[-1]) + len(said) + 2 <= width:
            lines[-1] += f", {said}"
        elif len(lines) < count:
            lines.append(_text.printable(said, width))
        else:
            lines[-1] = _text.printable(f"{lines[-1]}, {said}", max(min(width, len(lines[-1]) + 2), 2))
            break
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# A tree


def tree(graph: Graph, depth: int | None = None, *, ascii: bool = False) -> str:
    """Return the tree below the root, `depth` levels of it; see :meth:`persistable.lineage.Lineage.to_text`."""
    if depth is not None and depth < 0:
        raise ValueError(f"depth is a number of levels, 0 or more, or None for all of them; got {depth!r}.")
    met: set[str] = set()
    rows = list(_rows(graph, depth, _ASCII if ascii else _UNICODE, met))
    widths = [_text.width_of(left) for left, _, _ in rows]
    aligned = max((width for width in widths if width <= _ALIGNED), default=0)
    lines = [
        f"{left}{' ' * (aligned - width)}  {key}  {said}".rstrip()
        for (left, key, said), width in zip(rows, widths, strict=True)
    ]
    if deeper := len(graph.nodes) - len(met):
        lines.append(f"… {_text.amount(deeper, 'artifact')} deeper: to_text() writes all of them")
    text = "\n".join(lines)
    return _in_ascii(text) if ascii else text


def _rows(
    graph: Graph, depth: int | None, signs: tuple[str, str, str, str], met: set[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield of each line the tree with role and name, the short key, and what there is to say; add its key to `met`."""
    branch, last_branch, line, blank = signs
    written: set[str] = set()  # with their upstreams
    todo = [("", str(graph.root.key), "", "", 0)]  # role, key, what stands before it, and before what is below it
    while todo:
        role, key, before, below, level = todo.pop()
        node = graph.nodes[key]
        met.add(key)
        upstreams = list(node.dependencies.items())
        said = _said(node, graph)
        if key in written:
            upstreams, said = [], "(see above)"
        elif upstreams and depth is not None and level >= depth:
            said += f"  (made from {_text.amount(len(upstreams), 'more', 'more')})"
            upstreams = []
        else:
            written.add(key)
        name = _text.printable(node.payload_name, 80)
        shown_role = "" if role in ("", node.payload_name) else f"{_text.printable(role, 40)}: "
        yield f"{before}{shown_role}{name}", _text.printable(key[:8]), said
        for number, (its_role, upstream) in enumerate(reversed(upstreams)):
            sign, indent = (branch, line) if number else (last_branch, blank)
            todo.append((its_role, str(upstream), below + sign, below + indent, level + 1))


def _said(node: LineageNode, graph: Graph) -> str:
    parts = []
    if node.state != "whole":
        problem = f": {_text.printable(node.problem, 100)}" if node.problem else ""
        parts.append(f"[{node.state}{problem}]")
    elif node.key in graph.outdated:
        parts.append(f"[outdated: {_text.printable(graph.outdated[node.key].why, 160)}]")
    if node.changed:
        parts.append(f"[code changed: {_text.printable(', '.join(node.changed), 100)}]")
    if node.at:
        parts.append(_text.age(node.at))
    if node.size is not None:
        parts.append(f"{_text.printable(node.summary, 60)}, {_text.size(node.size)}")
    parts += param_lines(node, _PARAMS, 1)
    return "  ".join(parts)


def _in_ascii(text: str) -> str:
    return text.replace("…", "...").replace("×", "x").encode("ascii", "backslashreplace").decode("ascii")


# ---------------------------------------------------------------------------------------------------------------------
# Languages of graphs


def mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart; see :meth:`persistable.lineage.Lineage.to_mermaid`."""
    numbers = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    lines = ["graph TD"]
    for key, node in graph.nodes.items():
        lines.append(f'    {numbers[key]}["{"<br/>".join(_entities(line) for line in _lines(node, graph))}"]')
    for upstream, dependent, roles, remade in _edges(graph):
        arrow, role = "-.->" if remade else "-->", f'|"{_entities(roles)}"|' if roles else ""
        lines.append(f"    {numbers[upstream]} {arrow}{role} {numbers[dependent]}")
    for label, style in _MERMAID.items():
        if alike := [numbers[key] for key, node in graph.nodes.items() if label_of(node, graph) == label]:
            word = label.replace(" ", "_")
            lines += [f"    classDef {word} {style}", f"    class {','.join(alike)} {word}"]
    return "\n".join([*lines, ""])


_MERMAID: Final = {
    "missing": "stroke-dasharray:5 5",
    "generating": "stroke-dasharray:1 4",
    "corrupt": "stroke:#d1495b,stroke-width:3px",
    "newer": "stroke-dasharray:8 3 2 3",
    "outdated": "stroke:#c98a1b,stroke-width:3px",
    "code changed": "stroke:#c98a1b,stroke-dasharray:2 3",
}


_PLAIN: Final = " _=.,:'/+-…×"


def _entities(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in _PLAIN else f"#{ord(letter)};" for letter in text)


def dot(graph: Graph) -> str:
    """Return the graph in the language of Graphviz; see :meth:`persistable.lineage.Lineage.to_dot`."""
    numbers = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    lines = [
        "digraph lineage {",
        '    graph [bgcolor="transparent"];',
        '    node [shape="box", style="rounded", fontname="Helvetica", fontsize="11"];',
        '    edge [fontname="Helvetica", fontsize="10"];',
    ]
    for key, node in graph.nodes.items():
        style = _DOT.get(label_of(node, graph), "")
        label, tip = (_quoted(lines) for lines in (_lines(node, graph), [f"{node.payload_name} {key}"]))
        lines.append(f"    {numbers[key]} [label={label}, tooltip={tip}{style}];")
    for upstream, dependent, roles, remade in _edges(graph):
        said = [f"label={_quoted([roles])}"] if roles else []
        said += ['style="dashed"'] if remade else []
        attributes = f" [{', '.join(said)}]" if said else ""
        lines.append(f"    {numbers[upstream]} -> {numbers[dependent]}{attributes};")
    return "\n".join([*lines, "}", ""])


_DOT: Final = {
    "missing": ', style="rounded,dashed"',
    "generating": ', style="rounded,dotted"',
    "corrupt": ', color="#d1495b", penwidth="3"',
    "newer": ', style="rounded,dashed", peripheries="2"',
    "outdated": ', color="#c98a1b", penwidth="3"',
    "code changed": ', color="#c98a1b", style="rounded,dotted"',
}


def _quoted(lines: Iterable[str]) -> str:
    """Return lines as one quoted string. Graphviz reads backslashes in it, and the entities of HTML."""
    text = "\0".join(map(_text.printable, lines))  # what is printable holds no such character
    return '"' + text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\n") + '"'


def _lines(node: LineageNode, graph: Graph) -> list[str]:
    """Return what stands in a box."""
    label = label_of(node, graph)
    key = _text.printable(node.key[:8])
    return [
        _text.printable(node.payload_name, 60),
        f"{key} {label}" if label else key,
        *param_lines(node, 40, 2),
    ]


def _edges(graph: Graph) -> Iterator[tuple[str, str, str, bool]]:
    """Yield upstream, dependent, the roles that say more than its name does, and whether it was made again since."""
    for key, node in graph.nodes.items():
        roles: dict[str, list[str]] = {}
        for role, upstream in node.dependencies.items():
            roles.setdefault(str(upstream), []).append(role)
        for upstream_key, those in roles.items():
            name = graph.nodes[upstream_key].payload_name
            said = ", ".join(_text.printable(role, 40) for role in those if role != name)
            yield upstream_key, key, said, any(role in node.remade for role in those)
