"""The page itself: HTML, CSS, JavaScript and data, put together into one file that refers to nothing outside.

What comes from a store is data, never markup: it stands as JSON in an element that no browser runs, without any
character that could end it. A content security policy allows the style and the script that stand here, by their
digests, and nothing else: no request, no other script, no handler in an attribute, and no HTML made from text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

__all__ = ["page"]

_SCRIPTS: Final = (
    *("dom", "data", "query", "matching", "table", "detail"),
    *("layout", "graph", "compare", "scales", "picture", "plot", "app"),
)
"""In this order: each uses those before it, and what it calls later may be in any."""

_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def page(data: Mapping[str, Any]) -> str:
    """Return the page that shows `data` (:func:`.data.report_data`)."""
    template, style, script = _parts()
    parts = {
        "title": escape(str(data["about"]["title"])),
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        "data": _embedded(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


@cache
def _parts() -> tuple[str, str, str]:
    folder = files(__package__) / "page"
    scripts = [(folder / f"{name}.js").read_text("utf-8") for name in _SCRIPTS]
    script = '\n(() => {\n"use strict";\n\n' + "\n".join(scripts) + "})();\n"
    return (folder / "page.html").read_text("utf-8"), "\n" + (folder / "page.css").read_text("utf-8"), script


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(data: Mapping[str, Any]) -> str:
    """Return JSON that is ASCII, and in which no character means anything to HTML."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda letter: _ESCAPES[letter[0]], text)
