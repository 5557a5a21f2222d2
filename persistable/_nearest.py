"""Why an artifact had to be made: which of its name is nearest, and what differs.

Nobody needs this to be right in order to be served right: whatever goes wrong here, nothing is said. It is asked on a
miss only, and compares no more than the newest of the artifacts that a short look at the store has found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from heapq import nlargest
from itertools import islice
from typing import Any, Final

from .keys import ArtifactKey
from .stores import Entry, Store

__all__ = ["differences", "why"]

_LISTED: Final = 20_000  # files; a fraction of a second on a disk, 20 pages of a bucket's listing
_COMPARED: Final = 10  # artifacts, the newest of these
_SHOWN: Final = 3  # differences
_LONGEST: Final = 40  # characters of a value

_NOTHING: Final = object()


def why(store: Store, key: ArtifactKey, tree: Mapping[str, Any]) -> str:
    """Return how `key` differs from the nearest artifact of its name, as the end of a sentence; "" if there is none.

    Parameters
    ----------
    store : Store
        Where to look.
    key : ArtifactKey
        What is missing there.
    tree : mapping
        Its params tree in the readable form, as ``params.json`` has it.
    """
    found: list[tuple[int, str, list[str]]] = []
    newest: list[Entry] = []
    with suppress(Exception):
        files = islice(store.list(key.payload_name), _LISTED)
        trees = (entry for entry in files if entry.path.endswith("/params.json") and f"/{key}/" not in entry.path)
        newest = nlargest(_COMPARED, trees, key=lambda entry: entry.modified)
        tree = json.loads(json.dumps(tree))
    for entry in newest:
        with suppress(Exception):
            if unlike := differences(json.loads(store.read(entry.path)), tree):
                found.append((len(unlike), entry.path.split("/")[-2], unlike))
    if not found:
        return ""
    _, other_key, unlike = min(found, key=lambda one: one[0])  # of equally near ones, the newest
    more = len(unlike) - _SHOWN
    shown = "; ".join(unlike[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return f", which is {other_key[:8]} but for {shown}"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two params trees in their readable form, a text for each param or upstream.

    Examples
    --------
    >>> before = {"model": {"params": {"alpha": 1.0}, "dependencies": {"data": "data"}}, "data": {"params": {"n": 100}}}
    >>> now = {"model": {"params": {"alpha": 1.0}, "dependencies": {"data": "data"}}, "data": {"params": {"n": 200}}}
    >>> differences(before, now)
    ['data.n: 100 -> 200']
    """
    one, other = _flat(before), _flat(now)
    return [
        f"{path}: {_shown(one.get(path, _NOTHING))} -> {_shown(other.get(path, _NOTHING))}"
        for path in dict.fromkeys([*one, *other])
        if one.get(path, _NOTHING) != other.get(path, _NOTHING)
    ]


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for node, told in tree.items():
        flat |= {f"{node}.{name}": value for name, value in told["params"].items()}
        flat |= {f"{node} ({role})": upstream for role, upstream in told.get("dependencies", {}).items()}
        if "version" in told:
            flat[f"{node}.version"] = told["version"]
    return flat


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
