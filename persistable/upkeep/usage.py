"""What takes the room in a store: payloads, what lies beside them, what was left over, and what is not ours."""

from __future__ import annotations

import os
import time
from typing import Any, Final, NamedTuple

from .. import _html
from .._leftovers import units_of
from .._text import printable, size, table
from .asked import Place, store_of
from .contents import contents_of, key_in
from .leftovers import left_over

__all__ = ["OfName", "Usage", "usage"]


_HEADER: Final = ("", "artifacts", "payloads", "beside them", "left over", "not ours", "total")
_NUMBERS: Final = range(1, 7)


class OfName(NamedTuple):
    """What the artifacts of one payload name take.

    Attributes
    ----------
    payload_name : str
        The name.
    artifacts : int
        How many there are: folders with a manifest.
    payloads, others, leftovers, foreign : int
        Bytes: of payloads; of manifests, params, logs and journals; of what was left over, and :func:`plan` would
        remove; of files in their folders that are not ours.
    """

    payload_name: str
    artifacts: int = 0
    payloads: int = 0
    others: int = 0
    leftovers: int = 0
    foreign: int = 0

    @property
    def total(self) -> int:
        """All bytes."""
        return self.payloads + self.others + self.leftovers + self.foreign


class Usage(NamedTuple):
    """What takes the room in a store.

    Attributes
    ----------
    url : str
        Which store it is.
    names : tuple of OfName
        By payload name, the largest first.
    persistable_1, foreign : int
        Bytes outside of all artifacts' folders: of files that persistable 1.x wrote, and of what is not ours.
    free, capacity : int or None
        Bytes of the drive that it lies on; None if it is no folder.
    """

    url: str
    names: tuple[OfName, ...]
    persistable_1: int
    foreign: int
    free: int | None
    capacity: int | None

    @property
    def total(self) -> OfName:
        """The sums over all names."""
        numbers = [sum(column) for column in zip(*(row[1:] for row in self.names), strict=True)]
        return OfName("total", *numbers)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        rows = [{**row._asdict(), "total": row.total} for row in self.names]
        return {**self._asdict(), "names": rows}

    def __str__(self) -> str:
        lines = table(_HEADER, self._rows(), right=_NUMBERS) if self.names else []
        return "\n".join([*lines, *self._remarks()])

    def _repr_html_(self) -> str:
        shown = _html.rows(_HEADER, self._rows(), right=_NUMBERS) if self.names else ""
        remarks = "".join(f"<div>{_html.escape(line)}</div>" for line in self._remarks())
        return _html.card(_html.title("Usage", remark=self.url), shown, remarks)

    def _rows(self) -> list[list[str]]:
        return [
            [row.payload_name, f"{row.artifacts:,}", *(size(number) for number in (*row[2:], row.total))]
            for row in (*self.names, *([self.total] if len(self.names) > 1 else ()))
        ]

    def _remarks(self) -> list[str]:
        """Return what is to be said below the table."""
        lines = [] if self.names else [f"There are no artifacts in {printable(self.url)}."]
        if outside := [f"{size(number)} {of}" for number, of in self._outside() if number]:
            lines.append(f"Beside the artifacts: {', '.join(outside)}.")
        if self.free is not None and self.capacity is not None:
            lines.append(f"Free on its drive: {size(self.free)} of {size(self.capacity)}.")
        if left := self.total.leftovers:
            lines.append(f"persistable prune removes what is left over: {size(left)}.")
        return lines

    def _outside(self) -> tuple[tuple[int, str], ...]:
        return (self.persistable_1, "of persistable 1.x"), (self.foreign, "not ours")


def usage(place: Place) -> Usage:
    """Return what takes the room in a store. Every file of it is listed, and none is opened but for doubtful manifests.

    Parameters
    ----------
    place : path, str, Store or Catalog
        Which one: a folder, a URL, a store, or its catalogue.

    Raises
    ------
    TypeError
        If `place` is none.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import Persistable
    >>> class SquaresP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 4, 9]
    >>> folder = tempfile.mkdtemp()
    >>> _ = SquaresP(folder, None, payload_name="squares").load_generate()
    >>> [(row.payload_name, row.artifacts, row.payloads) for row in usage(folder).names]
    [('squares', 1, 22)]
    """
    store, now = store_of(place), time.time()
    contents = contents_of(store)
    names: dict[str, OfName] = {}
    for folder, entries in contents.folders.items():
        key = key_in(folder)
        units, foreign = units_of(folder, entries)
        left = {unit.name for unit in left_over(store, key, units, now)}
        row = names.get(key.payload_name) or OfName(key.payload_name)
        stay = [unit for unit in units.values() if unit.name not in left]
        names[key.payload_name] = OfName(
            key.payload_name,
            row.artifacts + ("manifest.json" in units),
            row.payloads + sum(unit.size for unit in stay if unit.kind == "payload"),
            row.others + sum(unit.size for unit in stay if unit.kind != "payload"),
            row.leftovers + sum(units[name].size for name in left),
            row.foreign + sum(entry.size for entry in foreign),
        )
    free, capacity = _space(store.local_path(""))
    rows = sorted(names.values(), key=lambda row: (-row.total, row.payload_name))
    persistable_1, foreign_bytes = (
        sum(entry.size for entry in entries) for entries in (contents.persistable_1, contents.foreign)
    )
    return Usage(store.url, tuple(rows), persistable_1, foreign_bytes, free, capacity)


def _space(root: str | None) -> tuple[int | None, int | None]:
    if root is None:
        return None, None
    import shutil

    while not os.path.exists(root) and root != os.path.dirname(root):  # a store that nothing was written to yet
        root = os.path.dirname(root)
    try:
        space = shutil.disk_usage(root)
    except OSError:
        return None, None
    return space.free, space.total
