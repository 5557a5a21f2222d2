"""What a call is about: a place, and artifacts in it, in whichever way somebody has named them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from ..catalog import Catalog, Record
from ..keys import ArtifactKey
from ..stores import Store, store_for

if TYPE_CHECKING:
    from ..stores import DataDir

__all__ = ["Artifacts", "Place", "catalog_of", "key_of", "keys_of", "records_of", "store_of"]

Place: TypeAlias = "DataDir | Catalog"
"""A folder, a URL, a store, or the catalogue of one."""

Artifacts: TypeAlias = "str | Record | Iterable[str | Record]"
"""One or several artifacts: keys, their beginnings (``3f9a``, ``model/3f9a``), or records of a catalogue."""


def catalog_of(place: Place) -> Catalog:
    """Return the catalogue of a place.

    Raises
    ------
    TypeError
        If `place` is none.
    """
    return place if isinstance(place, Catalog) else Catalog(store_of(place))


def store_of(place: Place) -> Store:
    """Return the store of a place; errors are those of :func:`catalog_of`."""
    if isinstance(place, Catalog):
        return place.store
    try:
        return store_for(place)
    except TypeError:
        hint = " Pass its data_dir." if hasattr(place, "data_dir") else ""
        raise TypeError(
            f"Expected a folder, a URL, a Store or a Catalog; got a {type(place).__qualname__}.{hint}"
        ) from None


def key_of(place: Place, which: str | Record) -> ArtifactKey:
    """Return the key of an artifact; only the beginning of one is looked up.

    Raises
    ------
    TypeError
        If `which` is neither a key, nor the beginning of one, nor a record.
    ArtifactNotFoundError, AmbiguousKeyError, ValueError
        If the beginning of a key is that of none, or of several, or too short.
    """
    if isinstance(which, ArtifactKey):
        return which
    if isinstance(which, Record):
        return ArtifactKey(which.key, which.payload_name)
    if isinstance(which, str):
        return catalog_of(place).resolve(which)
    raise _no_artifact(which)


def keys_of(place: Place, which: Artifacts) -> list[ArtifactKey]:
    """Return the keys of one or several artifacts; see :func:`key_of`."""
    return [key_of(place, one) for one in _each(which)]


def records_of(catalog: Catalog, which: Artifacts) -> list[Record]:
    """Return the records of one or several artifacts; see :func:`key_of`."""
    found = []
    for one in _each(which):
        if not isinstance(one, str | Record):
            raise _no_artifact(one)
        found.append(one if isinstance(one, Record) else catalog.get(one))
    return found


def _each(which: Artifacts) -> Iterable[str | Record]:
    if isinstance(which, str | Record):
        return [which]
    if not isinstance(which, Iterable):
        raise _no_artifact(which)
    return which


def _no_artifact(found: object) -> TypeError:
    hint = " Pass its key." if hasattr(found, "params_tree") else ""
    return TypeError(
        f"Expected a key, the beginning of one ('3f9a', 'model/3f9a'), or a Record of a catalogue; got a "
        f"{type(found).__qualname__}.{hint}"
    )
