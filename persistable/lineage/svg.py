"""A graph as an SVG picture that needs nothing else: no scripts, no fonts, no style sheets, nothing from elsewhere.

It takes the colour of the text around it, so that it reads on light and on dark; as a file of its own it follows what
the viewer prefers. States are told by a word and by the line around the box; colour comes on top. What does not fit
into a box is cut off at its edge (each is a picture of its own), and stands in the tooltip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from .. import _text
from .._html import escape
from .layout import Layout, layout
from .states import Graph, LineageNode
from .texts import heading, label_of, param_lines

__all__ = ["picture"]

_WIDTH: Final = 208.0  # of a box
_LINE: Final = 15.0
_LETTERS: Final = 28  # of the params in a line, in a font that is none of the narrow ones
_MARGIN: Final = 8.0
_HEAD: Final = 49.0  # of a box, for its name and its key
_LINES: Final = 2  # of params in a box
_CROWD: Final = 24  # boxes side by side, from which on there are no params in them
_BETWEEN: Final = 48.0  # the layers
_GAP: Final = 18.0  # between the boxes of a layer
_PAGE: Final = 1200.0  # what a page shows side by side
_TOOLTIP: Final = 60  # lines

_FILE: Final = (
    "svg:root{color:#222;background:#fff}@media(prefers-color-scheme:dark){svg:root{color:#ddd;background:#1c1c1e}}"
)
"""For a file of its own: in a page, the root is another element, and this says nothing."""

_BORDERS: Final = {
    "": "stroke='currentColor' stroke-opacity='.55'",
    "missing": "stroke='currentColor' stroke-opacity='.7' stroke-dasharray='5 4'",
    "generating": "stroke='#3d84c6' stroke-width='2' stroke-dasharray='.1 4' stroke-linecap='round'",
    "corrupt": "stroke='#d1495b' stroke-width='3'",
    "newer": "stroke='currentColor' stroke-opacity='.7' stroke-dasharray='9 3 2 3'",
    "outdated": "stroke='#c98a1b' stroke-width='2.5'",
    "code changed": "stroke='#c98a1b' stroke-width='1.5' stroke-dasharray='2 3'",
}


class _Frame(NamedTuple):
    """How layers and places become points: layers below each other, or side by side.

    Attributes
    ----------
    plan : Layout
        Where everything is.
    down : bool
        Whether layers go down.
    lines : int
        How many lines of params a box has.
    between : float
        What is left free between two layers.
    """

    plan: Layout
    down: bool
    lines: int
    between: float

    @property
    def height(self) -> float:
        """Of a box."""
        return _HEAD + self.lines * _LINE

    @property
    def along(self) -> float:
        """How much of the way through the layers a box takes."""
        return self.height if self.down else _WIDTH

    @property
    def size(self) -> tuple[float, float]:
        through = self.plan.depth * (self.along + self.between) - self.between
        across = self.plan.breadth
        width, height = (across, through) if self.down else (through, across)
        return width + 2 * _MARGIN, height + 2 * _MARGIN

    def begin(self, layer: int) -> float:
        """Return where a layer begins."""
        return layer * (self.along + self.between)

    def point(self, through: float, across: float) -> str:
        x, y = (across, through) if self.down else (through, across)
        return f"{x + _MARGIN:.1f} {y + _MARGIN:.1f}"


def picture(graph: Graph) -> str:
    """Return the SVG; see :meth:`persistable.lineage.Lineage.to_svg`."""
    frame = _frame(graph)
    width, height = frame.size
    fits = "max-width:100%;height:auto" if width <= _PAGE else ""
    name = f"Lineage of {escape(graph.root.payload_name, 80)}: {escape(heading(graph))}"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' "
            f"height='{height:.0f}' style='{fits}' fill='none' font-family='system-ui,sans-serif' font-size='11' "
            f"role='img' aria-label='{name}'>",
            f"<style>{_FILE}</style>",
            *_edges(graph, frame),
            *(_box(graph, node, frame) for node in graph.nodes.values()),
            "</svg>",
        ]
    )


def _frame(graph: Graph) -> _Frame:
    """Return the frame with the layers below each other; if that is too wide for a page, the one that is less wide."""
    edges = [(str(upstream), key) for key, node in graph.nodes.items() for upstream in node.dependencies.values()]
    lines = max(len(param_lines(node, _LETTERS, _LINES)) for node in graph.nodes.values())
    down = _Frame(layout(graph.nodes, edges, box=_WIDTH, lane=2, gap=_GAP), True, lines, _BETWEEN)
    if down.size[0] <= _PAGE:
        return down
    fullest = max(Counter(layer for layer, _ in down.plan.places.values()).values())
    if fullest > _CROWD:
        lines = 0
    plan = layout(graph.nodes, edges, box=_HEAD + lines * _LINE, lane=2, gap=_GAP / 2)
    right = _Frame(
        plan, False, lines, _BETWEEN + min(plan.breadth / 20, 240)
    )  # a long way across needs some way through
    return right if right.size[0] < down.size[0] else down


# ---------------------------------------------------------------------------------------------------------------------
# Edges


def _edges(graph: Graph, frame: _Frame) -> Iterator[str]:
    usual: list[str] = []
    remade: list[str] = []
    heads: dict[str, str] = {}
    for key, node in graph.nodes.items():
        stale = {str(node.dependencies[role]) for role in node.remade}
        for upstream in dict.fromkeys(map(str, node.dependencies.values())):
            if upstream != key:
                (remade if upstream in stale else usual).append(_path(frame, (upstream, key)))
                heads[key] = _head(frame, key)
    # A group is drawn as one, and then made paler: where edges share a way, it is not darker.
    yield f"<g stroke='currentColor' stroke-width='1.3' opacity='.45'>{''.join(usual)}</g>"
    if remade:
        yield f"<g stroke='#c98a1b' stroke-width='2.5' stroke-dasharray='7 4'>{''.join(remade)}</g>"
    yield f"<g fill='currentColor' opacity='.6'>{''.join(heads.values())}</g>"


def _path(frame: _Frame, edge: tuple[str, str]) -> str:
    """Return an edge: a curve between two layers, and straight on where it passes one."""
    (layer, place), *others = frame.plan.routes[edge]
    at = frame.begin(layer) + frame.along
    steps = [f"M{frame.point(at, place)}"]
    for number, (layer, across) in enumerate(others):
        is_last = number == len(others) - 1
        to = frame.begin(layer) - (4 if is_last else 0)
        half = (at + to) / 2
        steps.append(f"C{frame.point(half, place)} {frame.point(half, across)} {frame.point(to, across)}")
        at, place = frame.begin(layer) + frame.along, across
        if not is_last:
            steps.append(f"L{frame.point(at, place)}")
    return f"<path d='{''.join(steps)}'/>"


def _head(frame: _Frame, key: str) -> str:
    layer, place = frame.plan.places[key]
    tip = frame.begin(layer) - 1
    corners = [frame.point(tip, place), frame.point(tip - 7, place - 4), frame.point(tip - 7, place + 4)]
    return f"<path d='M{'L'.join(corners)}Z'/>"


# ---------------------------------------------------------------------------------------------------------------------
# Boxes


def _box(graph: Graph, node: LineageNode, frame: _Frame) -> str:
    layer, place = frame.plan.places[node.key]
    half = (_WIDTH if frame.down else frame.height) / 2
    x, y = frame.point(frame.begin(layer), place - half).split()
    label = label_of(node, graph)
    is_root = node.key == graph.root.key
    fill = f"fill='currentColor' fill-opacity='{'.12' if is_root else '.05'}'"
    params = "".join(
        f"<text x='12' y='{53 + number * _LINE:.0f}' opacity='.8'>{escape(line)}</text>"
        for number, line in enumerate(param_lines(node, _LETTERS, frame.lines) if frame.lines else ())
    )
    state = f"<text x='{_WIDTH - 12:.0f}' y='37' text-anchor='end' font-weight='600'>{label}</text>" if label else ""
    return (
        f"<svg x='{x}' y='{y}' width='{_WIDTH:.0f}' height='{frame.height:.0f}' fill='currentColor'>"
        f"<title>{_tooltip(graph, node)}</title>"
        f"<rect x='2' y='2' width='{_WIDTH - 4:.0f}' height='{frame.height - 4:.0f}' rx='7' {fill} {_BORDERS[label]}/>"
        f"<text x='12' y='21' font-size='13' font-weight='600'>{escape(_fitted(node.payload_name, 24))}</text>"
        f"<text x='12' y='37' font-family='ui-monospace,monospace' opacity='.65'>{escape(node.key[:8])}</text>"
        f"{state}{params}</svg>"
    )


def _fitted(text: str, columns: int) -> str:
    """Return so much of a text as fits."""
    shown = _text.printable(text, columns)
    while _text.width_of(shown) > columns:
        shown = f"{shown[:-2]}…"
    return shown


def _tooltip(graph: Graph, node: LineageNode) -> str:
    lines = [f"{node.payload_name} {node.key}"]
    if node.state != "whole":
        lines.append(f"{node.state}: {node.problem}" if node.problem else node.state)
    if node.key in graph.outdated:
        lines.append(f"outdated: {graph.outdated[node.key].why}")
    if node.changed:
        lines.append(f"code changed: {', '.join(node.changed)}")
    if node.at:
        lines.append(f"made {node.at}")
    if node.size is not None:
        lines.append(f"{node.summary}, {_text.size(node.size)}")
    if node.version is not None:
        lines.append(f"version {node.version}")
    for role, upstream in node.dependencies.items():
        since = ", made again since with other content" if role in node.remade else ""
        lines.append(f"from {role}: {graph.nodes[upstream].payload_name} {upstream[:8]}{since}")
    lines += [f"{name} = {_text.shown(value, 300)}" for name, value in node.params.items()]
    if len(lines) > _TOOLTIP:
        lines[_TOOLTIP:] = [f"… and {len(lines) - _TOOLTIP} more"]
    return "\n".join(escape(line, 400) for line in lines)
