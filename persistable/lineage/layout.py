"""Where the boxes of a graph go: layers, an order with few crossings within each, and places near the neighbours.

Nothing here knows what is drawn, or with what: numbers in, numbers out. The way is the usual one for layered graphs
(Sugiyama): every node stands in the layer right before the first of its dependents; an edge that passes a layer gets a
lane in it, so that it does not run through boxes; each layer is sorted by the mean place of its neighbours, a few times
to and fro; and then the boxes are moved as near to their neighbours as that order allows.

All edges that leave one node share its lanes, and fork off where they end: one trunk instead of many parallels, and a
graph of n nodes and l layers has n * l lanes at most.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

__all__ = ["Layout", "layout", "upstreams_first"]

_SWEEPS: Final = 12
_MOVES: Final = 30_000  # of a box or a lane: a small graph is moved until it is at rest, a large one a few times
_PASSES: Final = 20_000  # of an edge through a layer; of more, no eye follows an edge, and they are drawn straight

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    Attributes
    ----------
    depth : int
        How many layers there are.
    breadth : float
        How far they reach, from 0.
    places : dict of str to (int, float)
        node -> its layer, and the place of its middle within that. Layer 0 has no upstreams.
    routes : dict of (str, str) to list of (int, float)
        edge -> the layer and the place of all that it passes, both ends included.
    """

    depth: int
    breadth: float
    places: dict[str, tuple[int, float]]
    routes: dict[Edge, list[tuple[int, float]]]


def layout(
    nodes: Iterable[str], edges: Iterable[Edge], *, box: float = 1.0, lane: float = 0.1, gap: float = 0.2
) -> Layout:
    """Return where to draw the nodes of a graph.

    Parameters
    ----------
    nodes : iterable of str
        All nodes.
    edges : iterable of (str, str)
        Upstream and dependent of each edge. Of a cycle, one edge is taken for less than the others.
    box, lane, gap : float
        How much of a layer a node takes, an edge that passes takes, and is left free between two of these.

    Returns
    -------
    Layout
        The same for the same graph, always.

    Examples
    --------
    >>> diamond = layout("abcd", [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    >>> diamond.depth, diamond.places["a"][0], diamond.places["d"][0]
    (3, 0, 2)
    """
    names = list(dict.fromkeys(nodes))
    given = [edge for edge in dict.fromkeys(edges) if edge[0] != edge[1]]
    order = upstreams_first(names, given)
    position = {name: number for number, name in enumerate(order)}
    forward = [edge for edge in given if position[edge[0]] < position[edge[1]]]
    graph = _Graph(order, forward)
    layers = _sorted(graph)
    places, breadth = _placed(graph, layers, box, lane, gap)
    ends = {name: (graph.layer[number], places[number]) for name, number in position.items()}
    routes = {
        edge: [(graph.layer[number], places[number]) for number in graph.route(position[edge[0]], position[edge[1]])]
        for edge in forward
    }
    routes |= {edge: [ends[edge[0]], ends[edge[1]]] for edge in given if edge not in routes}
    return Layout(len(layers), breadth, ends, routes)


def upstreams_first(nodes: Sequence[str], edges: Iterable[Edge]) -> list[str]:
    """Return all nodes, upstreams before those that depend on them; of a cycle, the one that comes first in `nodes`.

    >>> upstreams_first("cba", [("a", "b"), ("b", "c")])
    ['a', 'b', 'c']
    """
    dependents: dict[str, list[str]] = {node: [] for node in nodes}
    missing = dict.fromkeys(nodes, 0)
    for upstream, dependent in edges:
        dependents[upstream].append(dependent)
        missing[dependent] += 1
    order: dict[str, None] = {}
    ready = deque(node for node in nodes if not missing[node])
    others = iter(nodes)
    while len(order) < len(missing):
        node = ready.popleft() if ready else next(node for node in others if node not in order)
        order[node] = None
        for dependent in dependents[node]:
            missing[dependent] -= 1
            if not missing[dependent] and dependent not in order:
                ready.append(dependent)
    return list(order)


class _Graph:
    """The nodes by number, and behind them the lanes: in each layer that an edge passes, one per node that it leaves.

    Attributes
    ----------
    layer : list of int
        Of each node and lane.
    up, down : list of list of int
        The neighbours of each node and lane in the layer before, and behind.
    nodes : int
        How many are nodes; the others are lanes.
    """

    def __init__(self, order: Sequence[str], edges: Sequence[Edge]) -> None:
        number = {name: position for position, name in enumerate(order)}
        ends = [(number[upstream], number[dependent]) for upstream, dependent in edges]
        self.nodes = len(order)
        self.layer = _layers(self.nodes, ends)
        self.lanes: dict[tuple[int, int], int] = {}  # node, layer -> its lane there
        reach = list(self.layer)
        for upstream, dependent in ends:
            reach[upstream] = max(reach[upstream], self.layer[dependent] - 1)
        self.up: list[list[int]] = [[] for _ in order]
        self.down: list[list[int]] = [[] for _ in order]
        if sum(self.layer[dependent] - self.layer[upstream] - 1 for upstream, dependent in ends) <= _PASSES:
            for node, last in enumerate(reach):
                self._add_lanes(node, last)
        for upstream, dependent in ends:
            before = self.lanes.get((upstream, self.layer[dependent] - 1), upstream)
            self._join(before, dependent)

    def _add_lanes(self, node: int, last: int) -> None:
        before = node
        for layer in range(self.layer[node] + 1, last + 1):
            lane = self.lanes[node, layer] = len(self.layer)
            self.layer.append(layer)
            self.up.append([])
            self.down.append([])
            self._join(before, lane)
            before = lane

    def _join(self, before: int, behind: int) -> None:
        if self.layer[behind] - self.layer[before] == 1:  # else there are too many lanes, and it is drawn straight
            self.down[before].append(behind)
            self.up[behind].append(before)

    def route(self, upstream: int, dependent: int) -> list[int]:
        between = range(self.layer[upstream] + 1, self.layer[dependent])
        passed = [self.lanes[upstream, layer] for layer in between if (upstream, layer) in self.lanes]
        return [upstream, *passed, dependent]


def _layers(nodes: int, ends: Sequence[tuple[int, int]]) -> list[int]:
    """Return the layer of each node. The nodes are in order, so that one look back at the dependents is enough."""
    dependents: list[list[int]] = [[] for _ in range(nodes)]
    for upstream, dependent in ends:
        dependents[upstream].append(dependent)
    behind = [0] * nodes
    for node in reversed(range(nodes)):
        behind[node] = max((behind[dependent] + 1 for dependent in dependents[node]), default=0)
    deepest = max(behind, default=0)
    return [deepest - count for count in behind]


# ---------------------------------------------------------------------------------------------------------------------
# The order within the layers


def _sorted(graph: _Graph) -> list[list[int]]:
    """Return the layers, each in an order in which few edges cross."""
    layers: list[list[int]] = [[] for _ in range(max(graph.layer, default=-1) + 1)]
    for vertex in _by_branches(graph):
        layers[graph.layer[vertex]].append(vertex)
    rank = [0.0] * len(graph.layer)  # of each node and lane in its layer
    for layer in layers:
        _rank(layer, rank)
    best, fewest = [list(layer) for layer in layers], _crossings(graph, layers, rank)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        neighbours = graph.down if sweep % 2 else graph.up
        for layer in reversed(layers) if sweep % 2 else layers:
            layer.sort(key={vertex: _mean_rank(vertex, neighbours, rank) for vertex in layer}.__getitem__)
            _rank(layer, rank)
        if (crossings := _crossings(graph, layers, rank)) < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _by_branches(graph: _Graph) -> list[int]:
    """Return all nodes and lanes as a walk upwards from the last meets them, so that branches lie side by side."""
    met: dict[int, None] = {}
    todo = [vertex for vertex in range(graph.nodes) if not graph.down[vertex]][::-1]
    while todo:
        vertex = todo.pop()
        if vertex not in met:
            met[vertex] = None
            todo += reversed(graph.up[vertex])
    return list(met)


def _rank(layer: Iterable[int], rank: list[float]) -> None:
    for place, vertex in enumerate(layer):
        rank[vertex] = place


def _mean_rank(vertex: int, neighbours: list[list[int]], rank: list[float]) -> float:
    near = neighbours[vertex]
    return sum(rank[other] for other in near) / len(near) if near else rank[vertex]


def _crossings(graph: _Graph, layers: list[list[int]], rank: list[float]) -> int:
    """Return how many pairs of edges cross, if all layers are as wide as their ranks say."""
    count = 0
    for layer in layers:
        seen: list[float] = []  # where the edges of this layer end, as far as we are
        for vertex in layer:
            ends = sorted(rank[other] for other in graph.down[vertex])
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


# ---------------------------------------------------------------------------------------------------------------------
# The places within that order


def _placed(graph: _Graph, layers: list[list[int]], box: float, lane: float, gap: float) -> tuple[list[float], float]:
    """Return the place of each node and lane, and how far all of them reach."""
    half = [(box if vertex < graph.nodes else lane) / 2 for vertex in range(len(graph.layer))]
    places = [0.0] * len(graph.layer)
    offsets = []  # of each in its layer, if all are as near to the first as they may be
    for layer in layers:
        offset = [0.0]
        for before, vertex in pairwise(layer):
            offset.append(offset[-1] + half[before] + gap + half[vertex])
        offsets.append(offset)
        for vertex, at in zip(layer, offset, strict=True):
            places[vertex] = at - offset[-1] / 2
    near = _neighbours(graph)
    for sweep in range(max(_SWEEPS, min(_MOVES // max(len(places), 1), 20 * _SWEEPS))):
        order = range(len(layers))
        for number in reversed(order) if sweep % 2 else order:
            _move(layers[number], offsets[number], near, places)
    first = min((place - half[vertex] for vertex, place in enumerate(places)), default=0.0)
    last = max((place + half[vertex] for vertex, place in enumerate(places)), default=0.0)
    return [place - first for place in places], last - first


def _neighbours(graph: _Graph) -> list[list[tuple[int, float]]]:
    """Return of each node and lane its neighbours, and how much it wants to be at the same place as each of them.

    A lane goes on straight, and a box that serves one other alone forms a column with it.
    """
    near: list[list[tuple[int, float]]] = [[] for _ in graph.layer]
    for vertex, upstreams in enumerate(graph.up):
        is_lane = vertex >= graph.nodes
        its_own = [other for other in upstreams if other < graph.nodes and len(graph.down[other]) == 1]
        for upstream in upstreams:
            if is_lane != (upstream >= graph.nodes):
                pull = 0.3
            elif is_lane:
                pull = 8.0
            else:
                pull = 40.0 if its_own == [upstream] else 1.0
            near[vertex].append((upstream, pull))
            near[upstream].append((vertex, pull))
    return near


def _move(layer: list[int], offset: list[float], near: list[list[tuple[int, float]]], places: list[float]) -> None:
    """Move all of a layer as near to the mean of their neighbours as their order and widths allow (least squares).

    Without the widths, that is a sequence that must not fall: wherever it would, neighbours are pooled at their mean.
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for vertex, at in zip(layer, offset, strict=True):
        weight = sum(pull for _, pull in near[vertex])
        wanted = sum(places[other] * pull for other, pull in near[vertex]) / weight if weight else places[vertex]
        mean, weight, count = wanted - at, weight or 1.0, 1
        while pools and pools[-1][0] > mean:
            before, its_weight, others = pools.pop()
            mean = (mean * weight + before * its_weight) / (weight + its_weight)
            weight, count = weight + its_weight, count + others
        pools.append((mean, weight, count))
    means = (mean for mean, _, count in pools for _ in range(count))
    for vertex, at, mean in zip(layer, offset, means, strict=True):
        places[vertex] = mean + at
