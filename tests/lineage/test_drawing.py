"""A graph as text and as a picture: all of it is there, nothing overlaps, and nothing that it shows does harm."""

from __future__ import annotations

import html
import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from mixed_store import FOREIGN_FOLDER, HOSTILE, SCRIPT, make_mixed_store

from persistable import Persistable
from persistable.keys import ArtifactKey
from persistable.lineage import Lineage
from persistable.lineage.layout import Layout, layout, upstreams_first
from persistable.lineage.remade import outdated_of
from persistable.lineage.states import LineageNode, with_remade

SVG = "{http://www.w3.org/2000/svg}"

DIAMOND = {"data": [], "left": ["data"], "right": ["data"], "top": ["left", "right"]}
CHAIN = {f"link_{i}": [f"link_{i - 1}"] if i else [] for i in range(50)}
FAN = {**{f"data_{i}": [] for i in range(100)}, "all": [f"data_{i}" for i in range(100)]}
LADDER = {
    "a0": [],
    "b0": [],
    **{f"{side}{i}": [f"a{i - 1}", f"b{i - 1}"] for i in range(1, 12) for side in "ab"},
    "top": ["a11", "b11"],
}
SKIPPING = {"data": [], "a": ["data"], "b": ["a"], "c": ["b", "data"], "top": ["c", "data", "a"]}
GRAPHS = {
    "one": {"alone": []},
    "diamond": DIAMOND,
    "chain": CHAIN,
    "fan": FAN,
    "ladder": LADDER,
    "skipping": SKIPPING,
}


def key_for(name: str) -> ArtifactKey:
    return ArtifactKey(f"{abs(hash_of(name)):032x}", name)


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode()[:16].ljust(16, b"\0"), "big")


def lineage_of(graph: Mapping[str, Sequence[str]], **changes: Mapping[str, Any]) -> Lineage:
    """Return the lineage of a graph (name -> names of its upstreams; the last is the root), of made-up artifacts."""
    nodes = {}
    for name, upstreams in graph.items():
        facts: dict[str, Any] = {
            "state": "whole",
            "params": {"n": 100, "alpha": 0.5},
            "size": 1234,
            "summary": "list of 3",
            "digest": f"xxh3:{name}",
            "dependencies": {up: key_for(up) for up in upstreams},
            "used": {up: f"xxh3:{up}" for up in upstreams},
        }
        nodes[key_for(name)] = LineageNode(name, key_for(name), **(facts | changes.get(name, {})))
    nodes = with_remade(nodes)
    return Lineage(list(nodes.values())[-1], nodes, outdated_of(nodes))


def hostile() -> Lineage:
    name = f"{FOREIGN_FOLDER}{SCRIPT}\"'&]}}`#;|\x1b[31m\n\u202e\ud800\ufffe日本語"
    top, data = ArtifactKey("k" * 32, name), ArtifactKey('"<&' * 8, name)
    facts = {"problem": name, "params": {name: name, **HOSTILE}, "at": name, "size": 1, "summary": name}
    nodes = {
        data: LineageNode(name, data, "corrupt", version=name, **facts),
        top: LineageNode(name, top, "missing", dependencies={name: data}, **facts),
    }
    return Lineage(nodes[top], nodes, {})


# Places


def overlaps(plan: Layout, width: float) -> bool:
    for layer in range(plan.depth):
        middles = sorted(place for at, place in plan.places.values() if at == layer)
        if any(right - left < width - 1e-6 for left, right in itertools.pairwise(middles)):
            return True
    return False


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_boxes_do_not_overlap_and_upstreams_come_first(graph):
    edges = [(up, name) for name, ups in graph.items() for up in ups]
    plan = layout(graph, edges, box=10.0, lane=1.0, gap=2.0)
    assert plan.places.keys() == graph.keys()
    assert plan.routes.keys() == set(edges)
    assert not overlaps(plan, 12.0)
    assert all(plan.places[up][0] < plan.places[name][0] for up, name in edges)
    assert all(5.0 - 1e-6 <= place <= plan.breadth - 5.0 + 1e-6 for _, place in plan.places.values())


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_edges_do_not_run_through_boxes(graph):
    edges = [(up, name) for name, ups in graph.items() for up in ups]
    plan = layout(graph, edges, box=10.0, lane=1.0, gap=2.0)
    for edge, route in plan.routes.items():
        assert [layer for layer, _ in route] == list(range(plan.places[edge[0]][0], plan.places[edge[1]][0] + 1))
        for layer, place in route[1:-1]:
            boxes = [middle for at, middle in plan.places.values() if at == layer]
            assert all(abs(middle - place) > 5.0 for middle in boxes), f"{edge} runs through a box in layer {layer}"


def test_what_belongs_together_stands_in_a_column():
    plan = layout(CHAIN, [(up, name) for name, ups in CHAIN.items() for up in ups])
    assert len({place for _, place in plan.places.values()}) == 1
    assert plan.depth == 50


def test_two_branches_do_not_cross():
    graph = {"a": [], "b": [], "a1": ["a"], "b1": ["b"], "a2": ["a1"], "b2": ["b1"], "top": ["b2", "a2"]}
    plan = layout(graph, [(up, name) for name, ups in graph.items() for up in ups])
    sides = {(plan.places[f"a{i}"][1] < plan.places[f"b{i}"][1]) for i in ("", 1, 2)}
    assert len(sides) == 1


def test_a_circle_and_a_loop_have_places_too():
    plan = layout("abc", [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b")])
    assert plan.depth == 3
    assert plan.routes.keys() == {("a", "b"), ("b", "c"), ("c", "a")}
    assert upstreams_first("cab", [("a", "b"), ("b", "c"), ("c", "a")]) == ["c", "a", "b"]


def test_nothing_has_no_places():
    assert layout([], []) == Layout(0, 0.0, {}, {})


def test_the_layout_of_very_many_long_edges_is_bounded():
    names = [f"n{i}" for i in range(300)]
    edges = [(up, name) for i, name in enumerate(names) for up in names[:i]]
    plan = layout(names, edges)
    assert plan.depth == 300
    assert sum(map(len, plan.routes.values())) < 3 * len(edges)


# A tree of text


def test_the_tree_shows_each_node_once_below_what_was_made_from_it():
    lines = lineage_of(DIAMOND).to_text().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["top", "├── left", "│", "└── right", ""]
    assert [re.sub(r"[ │├└─]+", " ", line) for line in lines] == [
        f"top {key_for('top')[:8]} list of 3, 1.2 kB n=100, alpha=0.5",
        f" left {key_for('left')[:8]} list of 3, 1.2 kB n=100, alpha=0.5",
        f" data {key_for('data')[:8]} list of 3, 1.2 kB n=100, alpha=0.5",
        f" right {key_for('right')[:8]} list of 3, 1.2 kB n=100, alpha=0.5",
        f" data {key_for('data')[:8]} (see above)",
    ]


def test_roles_are_told_where_they_say_more_than_the_name():
    graph = lineage_of({"data": [], "top": []}, top={"dependencies": {"series": key_for("data")}})
    assert "└── series: data" in graph.to_text()
    assert "series" in graph.to_mermaid()
    assert "series" in graph.to_dot()


def test_the_tree_tells_states_and_what_is_outdated():
    used = {"data": "xxh3:other"}
    text = lineage_of(
        {"lost": [], **DIAMOND, "top": ["left", "right", "lost"]},
        left={"used": used},
        lost={"state": "missing", "problem": "not here", "size": None, "digest": None},
    ).to_text()
    again = f"data {key_for('data')[:8]} has been made again since, with other content"
    assert f"[outdated: {again}]" in text
    assert f"[outdated: through left {key_for('left')[:8]}: {again}]" in text
    assert "[missing: not here]" in text


def test_code_that_has_changed_is_marked_in_every_form():
    lineage = lineage_of(DIAMOND, left={"changed": ("LeftP._generate_payload changed",)})
    assert "[code changed: LeftP._generate_payload changed]" in lineage.to_text()
    assert "class n1 code_changed" in lineage.to_mermaid()
    assert "code changed" in lineage.to_dot()
    assert ">code changed</text>" in lineage.to_svg()
    assert "1 of code that has changed" in repr(lineage)
    assert lineage.to_dict()["nodes"][1]["changed"] == ["LeftP._generate_payload changed"]


def test_the_tree_can_do_with_ascii_and_with_less_depth():
    lineage = lineage_of(CHAIN)
    assert lineage.to_text(ascii=True).isascii()
    assert len(lineage.to_text().splitlines()) == 50
    lines = lineage.to_text(2).splitlines()
    assert len(lines) == 4
    assert lines[-2].endswith("(made from 1 more)")
    assert lines[-1] == "… 47 artifacts deeper: to_text() writes all of them"
    assert len(lineage.to_text(0).splitlines()) == 2
    with pytest.raises(ValueError, match="got -1"):
        lineage.to_text(-1)


def test_what_is_too_deep_at_first_is_shown_where_it_is_met_again():
    text = lineage_of({"data": [], "a": ["data"], "b": ["a"], "top": ["b", "a"]}).to_text(2)
    assert text.count("data") == 1
    assert "deeper" not in text


def test_hostile_texts_are_one_line_each_and_printable():
    for ascii in (False, True):
        lines = hostile().to_text(ascii=ascii).split("\n")
        assert len(lines) == 2
        assert all(line.isprintable() for line in lines)
        assert max(map(len, lines)) < 1000


# Languages


def test_mermaid_has_a_line_per_node_and_per_edge():
    lines = lineage_of(DIAMOND, data={"state": "corrupt"}).to_mermaid().splitlines()
    assert lines[0] == "graph TD"
    assert lines[2] == f'    n1["left<br/>{key_for("left")[:8]}<br/>n=100, alpha=0.5"]'
    assert "    n0 --> n1" in lines
    assert lines[-1] == "    class n0 corrupt"


def test_mermaid_marks_upstreams_of_other_content():
    text = lineage_of(DIAMOND, left={"used": {"data": "xxh3:other"}}).to_mermaid()
    assert "n0 -.-> n1" in text
    assert "class n1,n3 outdated" in text


MERMAID = re.compile(
    r'graph TD|    (n\d+\["(?P<text>[^"]*)"\]|n\d+ (-->|-\.->)(\|"(?P<role>[^"]*)"\|)? n\d+|classDef \w+ [-\w:,# ]+|'
    r"class n\d+(,n\d+)* \w+)"
)


@pytest.mark.parametrize("lineage", [hostile(), *map(lineage_of, GRAPHS.values())])
def test_mermaid_is_nothing_but_what_its_grammar_allows(lineage):
    for line in lineage.to_mermaid().splitlines():
        match = MERMAID.fullmatch(line)
        assert match, line
        for text in filter(None, (match["text"], match["role"])):
            rest = re.sub(r"#\d+;", "", text.replace("<br/>", ""))
            assert all(letter.isalnum() or letter in " _=.,:'/+-…×" for letter in rest), rest


def test_mermaid_entities_give_the_text_back():
    label = next(line for line in hostile().to_mermaid().splitlines() if "n1[" in line)
    shown = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label)
    assert SCRIPT in shown
    assert SCRIPT not in label


DOT = re.compile(
    r'digraph lineage \{|\}|    (graph|node|edge|n\d+|n\d+ -> n\d+)( \[(\w+="([^"\\]|\\.)*"(, )?)+\])?;',
)


@pytest.mark.parametrize("lineage", [hostile(), *map(lineage_of, GRAPHS.values())])
def test_dot_is_nothing_but_what_its_grammar_allows(lineage):
    for line in lineage.to_dot().splitlines():
        assert DOT.fullmatch(line), line
    assert lineage.to_dot().count(" -> ") == sum(len(node.dependencies) for node in lineage.nodes.values())


def test_dot_shows_backslashes_and_entities_as_they_are():
    lineage = lineage_of({"top": []}, top={"params": {"a": "\\N \\l &lt;"}})
    label = re.search(r'label="((?:[^"\\]|\\.)*)"', lineage.to_dot())
    shown = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], label[1])
    assert html.unescape(shown).splitlines()[-1] == r"a='\\N \\l &lt;'"


# A picture


@pytest.mark.parametrize("lineage", [hostile(), *map(lineage_of, GRAPHS.values())])
def test_the_picture_is_whole_and_needs_nothing_else(lineage):
    text = lineage.to_svg()
    root = ET.fromstring(text)
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    boxes = root.findall(f"{SVG}svg")
    assert len(boxes) == len(lineage.nodes)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "style", "g", "path", "rect", "text", "title")
    }
    names = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or "href" in name or name in ("src", "id", "class")}
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_boxes_of_the_picture_lie_inside_it_and_apart(graph):
    root = ET.fromstring(lineage_of(graph).to_svg())
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = [tuple(float(box.get(name)) for name in ("x", "y", "width", "height")) for box in root.findall(f"{SVG}svg")]
    assert all(x >= 0 and y >= 0 and x + w <= width + 1 and y + h <= height + 1 for x, y, w, h in boxes)
    for (x, y, w, h), (x2, y2, w2, h2) in itertools.combinations(boxes, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_a_fan_grows_down_the_page_and_a_chain_too():
    for graph in (FAN, CHAIN):
        root = ET.fromstring(lineage_of(graph).to_svg())
        assert float(root.get("width")) < 1200


def test_states_are_told_by_words_and_lines_not_by_colour_alone():
    names = ("missing", "generating", "corrupt", "newer")
    lineage = lineage_of({**{name: [] for name in names}, "top": names}, **{name: {"state": name} for name in names})
    root = ET.fromstring(lineage.to_svg())
    for box in root.findall(f"{SVG}svg")[:-1]:
        texts = [text.text for text in box.findall(f"{SVG}text")]
        assert texts[2] == texts[0]  # the name of the node is its state, here
    borders = [box.find(f"{SVG}rect").attrib for box in root.findall(f"{SVG}svg")]
    looks = {(border.get("stroke-dasharray"), border.get("stroke-width")) for border in borders}
    assert len(looks) == 5


def test_the_tooltip_tells_all():
    changed = {"used": {"data": "xxh3:other"}, "params": {"text": "x" * 250}, "version": "2"}
    root = ET.fromstring(lineage_of(DIAMOND, left=changed).to_svg())
    title = root.findall(f"{SVG}svg")[1].find(f"{SVG}title").text
    assert str(key_for("left")) in title
    assert f"outdated: data {key_for('data')[:8]} has been made again since, with other content" in title
    assert f"from data: data {key_for('data')[:8]}, made again since with other content" in title
    assert "x" * 250 in title
    assert "version 2" in title


# In a notebook


def test_the_card_holds_the_picture_and_what_is_outdated():
    card = lineage_of(DIAMOND, left={"used": {"data": "xxh3:other"}})._repr_html_()
    assert "Lineage of top" in card
    assert "4 artifacts, 2 outdated" in card
    assert f"is outdated: data {key_for('data')[:8]} has been made again since" in card
    assert card.count("<svg xmlns") == 1


def test_the_card_of_a_very_large_graph_is_text():
    many = {f"data_{i}": [] for i in range(300)}
    card = lineage_of({**many, "all": list(many)})._repr_html_()
    assert "<svg" not in card
    assert "data_299" in card


@pytest.mark.parametrize(
    "lineage", [hostile(), lineage_of({"<b>": [], **FAN, "top": list(FAN), "<i>": ["<b>", "top"]})]
)
def test_no_tag_of_a_hostile_name_reaches_a_page(lineage):
    for text in (lineage._repr_html_(), lineage.to_svg()):
        assert not re.search(r"<(script|b onmouseover|i>)", text, re.IGNORECASE)
        assert text.encode()
    assert repr(lineage).isprintable()


def test_hostile_artifacts_of_a_real_store_are_drawn(tmp_path):
    with make_mixed_store(tmp_path) as mixed:
        lineage = Lineage.of(Everything(tmp_path, None, {f"m{i}": model for i, model in enumerate(mixed.models)}))
    ET.fromstring(lineage.to_svg())
    assert SCRIPT not in lineage._repr_html_()
    assert lineage.to_text().replace("\n", "").isprintable()


class Everything(Persistable[None, None]):
    pass
