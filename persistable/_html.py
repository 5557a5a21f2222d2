"""Cards for notebooks: compact, readable in light and dark themes, with nothing from elsewhere.

All styles are in the elements, because a notebook shows many cards, and sites that render notebooks drop style sheets.
Colours are left to the theme; what is less important is paler.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape as _escape
from typing import Any, Final, Protocol

from ._text import age, duration, number, printable, shown, size

__all__ = ["artifact_card", "beside", "card", "escape", "pairs", "row", "rows", "table", "title", "wanted_card"]

_ROWS: Final = 20  # params or metrics of one artifact; what is more is counted

_CARD = (
    "display:inline-block;border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:8px 12px;"
    "font-size:13px;line-height:1.5;max-width:100%;overflow-x:auto"
)
_CELL = "padding:1px 0;border:0;background:none"


def escape(text: object, longest: int | None = None) -> str:
    """Return `text` as HTML that shows it, whatever it holds, in one line of at most `longest` characters."""
    return _escape(printable(text, longest))


def title(name: str, key: str = "", remark: str = "") -> str:
    """Return the first line of a card: a name, the first digits of a key, and a remark."""
    line = f"<b>{escape(name, 80)}</b>"
    if key:
        line += f" <code style='opacity:.6;background:none' title='{escape(key)}'>{escape(key[:8])}</code>"
    return f"{line} <span style='opacity:.75'>{escape(remark, 200)}</span>" if remark else line


def card(heading: str, *parts: str, pale: str = "") -> str:
    """Return a card: the heading (HTML, as of :func:`title`), a pale line of text, and further parts (HTML)."""
    line = f"<div style='opacity:.75'>{escape(pale)}</div>" if pale else ""
    blocks = "".join(f"<div>{part}</div>" for part in parts if part)
    return f"<div style='{_CARD}'><div>{heading}</div>{line}{blocks}</div>"


def beside(*parts: str) -> str:
    """Return parts (HTML) side by side, as far as there is room for it; "" if there are none."""
    blocks = "".join(f"<div>{part}</div>" for part in parts if part)
    style = "display:flex;flex-wrap:wrap;gap:4px 24px;align-items:flex-start"
    return f"<div style='{style}'>{blocks}</div>" if blocks else ""


def row(cells: Sequence[str], *, tag: str = "td", right: Collection[int] = (), style: str = "") -> str:
    """Return a row of a table from texts; those in the columns `right` are aligned to the right."""
    shown = "".join(
        f"<{tag} style='{_CELL};padding-right:16px;text-align:{'right' if column in right else 'left'}'>"
        f"{escape(cell, 200)}</{tag}>"
        for column, cell in enumerate(cells)
    )
    return f"<tr style='background:none;{style}'>{shown}</tr>"


def table(lines: Iterable[str]) -> str:
    """Return a table of rows that :func:`row` made."""
    return f"<table style='border-collapse:collapse;border:0;margin:6px 0;font-size:13px'>{''.join(lines)}</table>"


def rows(header: Sequence[str], lines: Iterable[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return a table with a pale header, from texts."""
    head = row(header, tag="th", right=right, style="opacity:.75")
    return table([head, *(row(line, right=right) for line in lines)])


def pairs(heading: str, values: Mapping[str, str]) -> str:
    """Return a table of names and texts under a pale heading; "" if there are none."""
    if not values:
        return ""
    lines = [row(pair) for pair in list(values.items())[:_ROWS]]
    if len(values) > _ROWS:
        lines.append(row(["…", f"and {len(values) - _ROWS} more"], style="opacity:.75"))
    return table([row([heading, ""], tag="th", style="opacity:.75"), *lines])


class _Artifact(Protocol):
    """What a card needs to know of an artifact; a manifest says it."""

    @property
    def payload_name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def payload(self) -> Any: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def metrics(self) -> Mapping[str, Any]: ...
    @property
    def dependencies(self) -> Mapping[str, Any]: ...
    @property
    def generated(self) -> Mapping[str, Any]: ...
    @property
    def tags(self) -> Sequence[str]: ...


def artifact_card(artifact: _Artifact) -> str:
    """Return the card of an artifact: what it is, who made it when, and its params, metrics and upstreams."""
    made = artifact.generated
    tags = "".join(f", {tag}" for tag in artifact.tags)
    pale = (
        f"{artifact.payload['summary']}, {size(artifact.payload['size'])}; made {age(made.get('at'))} in "
        f"{duration(made.get('seconds') or 0)} by {made.get('user') or '?'}@{made.get('host') or '?'}{tags}"
    )
    upstreams = {role: (upstream.payload_name, upstream.key) for role, upstream in artifact.dependencies.items()}
    metrics = {name: number(value) for name, value in artifact.metrics.items()}
    parts = [_params(artifact.params), pairs("metrics", metrics), _upstreams(upstreams)]
    return card(title(artifact.payload_name, artifact.key), beside(*parts), pale=pale)


def wanted_card(
    name: str, key: str, remark: str, params: Mapping[str, Any], upstreams: Mapping[str, tuple[str, str]]
) -> str:
    """Return the card of what is not there (yet), or cannot be read: why, and what it would be made from.

    Parameters
    ----------
    name, key, remark : str
        Of the payload; what stands in the way.
    params : mapping
        Its readable params.
    upstreams : mapping of str to (str, str)
        role -> payload name and key.
    """
    return card(title(name, key), beside(_params(params), _upstreams(upstreams)), pale=remark)


def _params(params: Mapping[str, Any]) -> str:
    return pairs("params", {name: shown(value, 60) for name, value in params.items()})


def _upstreams(upstreams: Mapping[str, tuple[str, str]]) -> str:
    return pairs("upstreams", {role: f"{name} {key[:8]}" for role, (name, key) in upstreams.items()})
