"""What a notebook shows of a persistable and of a manifest: a card, harmless whatever is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from persistable import Manifest, Persistable, PersistableParams

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e'\""


@dataclass
class PointsParams(PersistableParams):
    n: int = 3
    note: Any = None
    options: dict[str, Any] = field(default_factory=dict)


class PointsP(Persistable[list[int], PointsParams]):
    def _generate_payload(self) -> list[int]:
        self.metrics["mean"] = 1.0 / 3
        self.metrics[HOSTILE] = HOSTILE
        self.tags.append(HOSTILE)
        return list(range(self.params.n))


class SumP(Persistable[int, None]):
    def __init__(self, data_dir: Path, points_p: PointsP) -> None:
        super().__init__(data_dir, None, {"points": points_p})
        self.points_p = points_p

    def _generate_payload(self) -> int:
        return sum(self.points_p.payload)


class Card(HTMLParser):
    """The tags of a card, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, "every tag is closed"
        assert set(self.tags) <= {"div", "b", "code", "span", "table", "tr", "td", "th"}
        assert self.text.replace("\n", "").isprintable()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style", "title"}
        assert "url(" not in str(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def card_of(shown: Any) -> str:
    return Card(shown._repr_html_()).text


def test_what_is_not_made_yet_shows_what_it_would_be_made_from(tmp_path: Path) -> None:
    points_p = PointsP(tmp_path, PointsParams(n=5))
    shown = card_of(SumP(tmp_path, points_p))
    assert "not made yet" in shown
    assert f"points_p {points_p.key[:8]}" in shown
    assert "n5" in card_of(points_p)
    assert not list(tmp_path.iterdir()), "to look makes nothing"


def test_an_artifact_shows_its_params_metrics_upstreams_and_maker(tmp_path: Path) -> None:
    points_p = PointsP(tmp_path, PointsParams())
    sum_p = SumP(tmp_path, points_p)
    sum_p.load_generate()
    assert f"points_p {points_p.key[:8]}" in card_of(sum_p)
    shown = card_of(PointsP(tmp_path, PointsParams()))
    assert "list of 3" in shown
    assert "mean0.333333" in shown
    assert f"by {points_p.manifest.generated['user']}@" in shown
    assert shown == card_of(points_p.manifest)


def test_a_card_shows_hostile_values_harmlessly(tmp_path: Path) -> None:
    points_p = PointsP(tmp_path, PointsParams(note=HOSTILE * 1000, options={HOSTILE: [HOSTILE]}))
    before = card_of(points_p)
    points_p.load_generate()
    for shown in (before, card_of(points_p), card_of(points_p.manifest)):
        assert "<script>alert(1)" in shown, "as text"
        assert "\\x1b[31m" in shown
        assert len(shown) < 3000


def test_what_cannot_be_read_or_has_no_key_says_why(tmp_path: Path) -> None:
    points_p = PointsP(tmp_path, PointsParams())
    points_p.load_generate()
    (points_p.persist_filepath / "manifest.json").write_bytes(b"<b>not a manifest</b>")
    assert "is damaged" in card_of(PointsP(tmp_path, PointsParams()))
    assert "params.note" in card_of(PointsP(tmp_path, PointsParams(note=object())))
    file = tmp_path / "file"
    file.write_text("")
    assert "file" in card_of(PointsP(file, PointsParams()))


def test_a_card_loads_no_payload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PointsP(tmp_path, PointsParams()).load_generate()
    found = PointsP(tmp_path, PointsParams())
    monkeypatch.setattr("pickle.load", lambda *_: pytest.fail("it was unpickled"))
    monkeypatch.setattr("pickle.loads", lambda *_: pytest.fail("it was unpickled"))
    assert "list of 3" in card_of(found)


def test_a_manifest_that_does_not_know_its_maker_says_less(tmp_path: Path) -> None:
    points_p = PointsP(tmp_path, PointsParams())
    points_p.load_generate()
    manifest = points_p.manifest
    sections: dict[str, Any] = {
        "params": 1,
        "dependencies": {"a": 1},
        "generated": {},
        "code": {},
        "metrics": [],
        "tags": 2,
    }
    assert "by ?@?" in card_of(Manifest.compose(manifest.head, sections))
