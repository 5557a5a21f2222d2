"""What an artifact is made from: the graph of nodes behind it, why it has to be made, and what differs from another.

``nodes`` walks the graph of persistables and gives them their keys; a hit needs no more than that, so that the rest is
imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .nodes import Node, key_of, keys_of, params_tree, readable_params, readable_tree, walk

if TYPE_CHECKING:
    from .comparison import Diff as Diff, diff as diff
    from .explanation import Explanation as Explanation, explain as explain
    from .graph import Lineage as Lineage, LineageNode as LineageNode
    from .remade import Outdated as Outdated, outdated as outdated

_MODULES = {
    "Diff": "comparison",
    "Explanation": "explanation",
    "Lineage": "graph",
    "LineageNode": "graph",
    "Outdated": "remade",
    "diff": "comparison",
    "explain": "explanation",
    "outdated": "remade",
}

__all__ = ["Node", "key_of", "keys_of", "params_tree", "readable_params", "readable_tree", "walk", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value
