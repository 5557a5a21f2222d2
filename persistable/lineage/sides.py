"""What may be asked about: a persistable, a record of a catalogue, or a store and a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ..keys import ArtifactKey
from ..stores import Store
from .nodes import Node

if TYPE_CHECKING:
    from ..catalog import Record

__all__ = ["Side", "artifact_of"]

Side: TypeAlias = "Node | Record | tuple[Store, ArtifactKey | Record]"


def artifact_of(side: Any) -> Node | tuple[Store, ArtifactKey]:
    """Return a persistable as it is, and of an artifact its store and key.

    Raises
    ------
    TypeError
        If it is something else, or says not enough of where it lies.
    """
    if isinstance(side, tuple) and len(side) == 2:
        store, what = side
        key = what if isinstance(what, ArtifactKey) else getattr(what, "key", None)
        if isinstance(store, Store) and isinstance(key, ArtifactKey):
            return store, key
    elif hasattr(side, "tracked_persistable_dependencies"):
        return side  # type: ignore[no-any-return]
    elif isinstance(key := getattr(side, "key", None), ArtifactKey):
        store = getattr(side, "store", None)
        if isinstance(store, Store):
            return store, key
        raise TypeError(f"This {type(side).__qualname__} does not say in which store it is: pass (catalog.store, it).")
    raise TypeError(
        f"Expected a persistable, a Record of a Catalog, or a tuple (store, key); got {_described(side)}. "
        f"Of a prefix of a key, Catalog(data_dir).get(prefix) is the Record."
    )


def _described(side: Any) -> str:
    if isinstance(side, tuple):
        return f"a tuple of {', '.join(type(one).__qualname__ for one in side)}"
    return f"the str {side[:40]!r}" if isinstance(side, str) else f"a {type(side).__qualname__}"
