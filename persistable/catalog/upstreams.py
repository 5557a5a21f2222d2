"""What some records were made from, as far as it is in the same store: by the roles that lead there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from .records import Record
from .values import value_at

__all__ = ["Look", "Place", "Upstream", "Upstreams"]

Place: TypeAlias = tuple[str, str]
"""Payload name and key of an artifact."""

Look: TypeAlias = Callable[[Iterable[Place]], Mapping[Place, Record]]
"""Returns the records of those that there are."""

Roles: TypeAlias = tuple[str, ...]
"""``("feat", "raw")``: the upstream ``raw`` of the upstream ``feat``."""

_MOST: Final = 1000  # roles from here to there; a pipeline has some ten


class Upstream(NamedTuple):
    """An upstream artifact: which one, and its record, if it is in the same store."""

    place: Place
    record: Record | None


class Upstreams:
    """What some records were made from, directly and through others.

    Attributes
    ----------
    by_roles : dict of tuple of str to list
        Roles -> the upstream of each record, or None. By breadth: what all of them reach by several paths is there by
        the shortest of these.
    """

    def __init__(self, records: Sequence[Record], look: Look) -> None:
        self._known: dict[Place, Record | None] = {}
        self._look = look
        self.by_roles: dict[Roles, list[Upstream | None]] = dict(self._walk(records))

    def _walk(self, records: Sequence[Record]) -> Iterator[tuple[Roles, list[Upstream | None]]]:
        seen: set[tuple[Place | None, ...]] = set()
        level: list[tuple[Roles, Sequence[Record | None]]] = [((), records)]
        while level:
            used = [(roles, [places_of(node) for node in nodes]) for roles, nodes in level]
            self._find({place for _, nodes in used for node in nodes for place in node.values()})
            level = []
            for roles, nodes in used:
                for role in dict.fromkeys(role for node in nodes for role in node):
                    places = tuple(node.get(role) for node in nodes)
                    if places in seen:
                        continue
                    if len(seen) == _MOST:
                        return
                    seen.add(places)
                    found = [None if place is None else Upstream(place, self._known[place]) for place in places]
                    yield (*roles, role), found
                    level.append(((*roles, role), [None if one is None else one.record for one in found]))

    def _find(self, places: set[Place]) -> None:
        """Look up what is not known yet, all at once."""
        if new := places - self._known.keys():
            self._known |= dict.fromkeys(new) | dict(self._look(new))

    def value(self, record: Record, steps: Sequence[str | int]) -> Any:
        """Return the readable value of a field, such as ``("dependencies", "raw", "params", "n")``.

        Raises
        ------
        LookupError
            If there is none.
        """
        here: Record | None = record
        while steps[0] == "dependencies":
            place = places_of(here)[str(steps[1])]
            steps = steps[2:]
            if steps[0] in ("payload_name", "key"):
                return place[0] if steps[0] == "payload_name" else place[1]
            here = self._known[place]
        if here is None:
            raise LookupError(steps)
        found = getattr(here, str(steps[0]))
        return value_at(found, steps[1:]) if len(steps) > 1 else found


def places_of(record: Record | None) -> dict[str, Place]:
    """Return role -> the upstream of a record."""
    if record is None:
        return {}
    return {role: (upstream.payload_name, upstream.key) for role, upstream in record.dependencies.items()}
