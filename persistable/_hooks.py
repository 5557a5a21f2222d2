"""The hooks that a subclass overrides, and how each wants to be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = ["HOOKS", "Hooks", "call", "hooks_of", "way_to_call"]

HOOKS = (
    "_generate_payload",
    "_validate_payload",
    "_post_load",
    "_post_generate",
    "_is_sufficient",
    "_extend_payload",
)
"""The hooks, in the order of :class:`Hooks`."""

_ARGUMENTS = {"_is_sufficient": 1, "_extend_payload": 1}
"""How many arguments a hook takes in any case, beside self, where the way to call it depends on the others."""


class Hooks(NamedTuple):
    """Which hooks a class overrides, and whether they take keyword arguments: "with", "without", or "" if not there."""

    generates: str
    validates: str
    completes_loaded: str
    completes_generated: str
    suffices: str
    extends: str


@lru_cache(maxsize=1024)
def hooks_of(kind: type, root: type) -> Hooks:
    """Return how the hooks of `kind` are to be called, where it overrides those of `root`."""
    return Hooks(*(way_to_call(kind, root, name, arguments=_ARGUMENTS.get(name, 0)) for name in HOOKS))


def way_to_call(kind: type, root: type, name: str, *, arguments: int = 0) -> str:
    """Return how a hook of `kind` wants to be called, as in :class:`Hooks`.

    Parameters
    ----------
    kind, root : type
        A class, and the one that says what the hook does by default.
    name : str
        The hook.
    arguments : int
        How many arguments it takes in any case, beside self.
    """
    hook = getattr(kind, name)
    if hook is getattr(root, name):
        return "without" if name == "_generate_payload" else ""
    keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(hook).parameters.values())
    if inspect.isfunction(inspect.getattr_static(kind, name)):
        parameters = parameters[1:]  # self
    parameters = parameters[arguments:]
    return "with" if any(parameter.kind in keywords for parameter in parameters) else "without"


def call(hook: Callable[..., Any], way: str, untracked: dict[str, Any], *arguments: Any) -> Any:
    """Call a hook in the way that it wants to be called."""
    return hook(*arguments, **untracked) if way == "with" else hook(*arguments)
