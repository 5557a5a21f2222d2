"""A plan of what is to be removed from a store, and what became of each entry once it is carried out.

When it is carried out, each entry is looked at once more, under the artifact's lease and by the clock of the store:
what has changed since stays, with the reason, and so does what cannot be removed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import _html
from .._leftovers import Unit
from .._text import amount, printable, size, table
from ..exceptions import ArtifactNotFoundError, PersistableError
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Store
from .last_use import last_use
from .leftovers import Leftover, is_young, remove_empty
from .removal import Changed, Left, Objection, clean, remove_unless
from .results import Progress, Results

if TYPE_CHECKING:
    from ..catalog import Record

__all__ = ["YOUNG", "Outcome", "Outcomes", "Plan", "Planned"]

YOUNG = 3600.0
"""Seconds for which an artifact stays in any case: who has just made it is about to use it."""

_HEADER: Final = ("", "size", "why")
_IN_A_CARD: Final = 50


class Planned(NamedTuple):
    """An artifact that is to go, and why."""

    record: Record
    reason: str


class Outcome(NamedTuple):
    """What became of one entry of a plan.

    Attributes
    ----------
    path : str
        Relative to the root of the store: the folder of an artifact, or a file that was left over.
    key : ArtifactKey
        Which artifact it is, or in whose folder it was.
    removed : bool
        Whether it went.
    bytes : int
        How much room that has made.
    note : str
        Why it stays, or what is left of it; "" if there is nothing to say.
    """

    path: str
    key: ArtifactKey
    removed: bool
    bytes: int
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        return {**self._asdict(), "payload_name": self.key.payload_name, "key": str(self.key)}


class Outcomes(Results[Outcome]):
    """What :meth:`Plan.carry_out` has done: a sequence of :class:`Outcome`."""

    _header = ("", "path", "note")
    _title = "Outcomes"

    @property
    def removed(self) -> Outcomes:
        """What went."""
        return Outcomes(outcome for outcome in self if outcome.removed)

    @property
    def stayed(self) -> Outcomes:
        """What was planned, and stays; each with its reason."""
        return Outcomes(outcome for outcome in self if not outcome.removed)

    @property
    def bytes(self) -> int:
        """How much room that has made."""
        return sum(outcome.bytes for outcome in self)

    @property
    def summary(self) -> str:
        """How much went, and how much stays."""
        stays = len(self.stayed)
        went = f"Removed: {amount(len(self) - stays, 'entry', 'entries')}, {size(self.bytes)}."
        return f"{went} {amount(stays, 'entry stays', 'entries stay')}." if stays else went

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        return {"bytes": self.bytes, "outcomes": [outcome.to_dict() for outcome in self]}

    def _rows(self) -> list[tuple[str, ...]]:
        return [("removed" if one.removed else "stays", one.path, one.note) for one in self]


class Plan:
    """What :func:`plan` has found. It removes nothing until :meth:`carry_out` is called.

    Attributes
    ----------
    artifacts : tuple of Planned
        Artifacts to be removed, the newest first: what was made from others goes before them.
    leftovers : tuple of Leftover
        What was left over.
    spared : dict of str to int
        Why artifacts stay that meet the conditions -> how many.
    """

    def __init__(
        self,
        store: Store,
        artifacts: Iterable[Planned],
        leftovers: Iterable[Leftover],
        spared: Mapping[str, int],
        unused_for: float | None = None,
        needed: Callable[[ArtifactKey], str] = lambda key: "",
    ) -> None:
        self.store = store
        self.artifacts = tuple(artifacts)
        self.leftovers = tuple(leftovers)
        self.spared = dict(spared)
        self._unused_for = unused_for
        self._needed = needed

    @property
    def bytes(self) -> int:
        """How much room the plan makes, at least: of artifacts, the payloads."""
        return sum(record.size or 0 for record, _ in self.artifacts) + sum(entry.bytes for entry in self.leftovers)

    def __len__(self) -> int:
        return len(self.artifacts) + len(self.leftovers)

    def __repr__(self) -> str:
        return f"<Plan for {self.store.url}: {self.summary}>"

    def __str__(self) -> str:
        url = printable(self.store.url)
        heading = (
            f"To be removed from {url}: {self.summary}." if self else f"There is nothing to be removed from {url}."
        )
        lines = [f"  {line}" for line in table(_HEADER, self._rows(), right=[1])[1:]]
        return "\n".join([heading, *lines, *self.remarks])

    def _repr_html_(self) -> str:
        rows = self._rows()
        shown = _html.rows(_HEADER, rows[:_IN_A_CARD], right=[1]) if rows else ""
        rest = [f"… and {len(rows) - _IN_A_CARD:,} more"] if len(rows) > _IN_A_CARD else []
        remarks = "".join(f"<div>{_html.escape(line)}</div>" for line in [*rest, *self.remarks])
        remark = f"{self.store.url}: {self.summary}" if self else f"nothing to be removed from {self.store.url}"
        return _html.card(_html.title("Plan", remark=remark), shown, remarks)

    @property
    def summary(self) -> str:
        """How much is to go, in a line."""
        counts = amount(len(self.artifacts), "artifact"), amount(len(self.leftovers), "leftover")
        return f"{' and '.join(counts)}, {size(self.bytes)}"

    @property
    def remarks(self) -> list[str]:
        """Lines about what stays, though it meets the conditions."""
        return [f"Not removed: {amount(count, 'artifact')}, {reason}." for reason, count in self.spared.items()]

    def _rows(self) -> list[list[str]]:
        rows = [
            [f"{record.payload_name} {record.key[:8]}", size(record.size or 0), reason]
            for record, reason in self.artifacts
        ]
        return rows + [[_short(entry), size(entry.bytes), entry.reason] for entry in self.leftovers]

    def to_dict(self) -> dict[str, object]:
        """Return the plan as JSON can hold it."""
        return {
            "store": self.store.url,
            "bytes": self.bytes,
            "artifacts": [{**record.to_dict(), "reason": reason} for record, reason in self.artifacts],
            "leftovers": [
                {"path": entry.path, "kind": entry.kind, "bytes": entry.bytes, "reason": entry.reason}
                for entry in self.leftovers
            ],
            "spared": self.spared,
        }

    def carry_out(self, progress: Progress | None = None) -> Outcomes:
        """Remove what is planned, one entry after the other.

        What has changed since the plan was made, is being made, or cannot be removed, stays, and the others go on.

        Parameters
        ----------
        progress : callable, optional
            Called with how many entries are done, and how many there are in all.

        Returns
        -------
        Outcomes
            What became of each entry.
        """
        return Outcomes(self.outcomes(progress))

    def outcomes(self, progress: Progress | None = None) -> Iterator[Outcome]:
        """Remove what is planned as :meth:`carry_out`, and yield what became of each entry as it is done."""
        for done, outcome in enumerate(self._carried_out(), start=1):
            if progress is not None:
                progress(done, len(self))
            yield outcome

    def _carried_out(self) -> Iterator[Outcome]:
        for record, _ in self.artifacts:
            yield self._remove(record)
        by_folder: dict[str, list[Leftover]] = {}
        for entry in self.leftovers:
            by_folder.setdefault(entry.key.folder, []).append(entry)
        for entries in by_folder.values():
            yield from self._clean(entries)

    def _remove(self, record: Record) -> Outcome:
        key = ArtifactKey(record.key, record.payload_name)

        def objection(manifest: Manifest | None, units: Mapping[str, Unit], now: float) -> str:
            if not _is_same(record, manifest) or "manifest.json" not in units:
                return "it has been made again, or removed, since"
            if now - units["manifest.json"].modified < YOUNG:
                return "it is younger than an hour"
            if self._unused_for is not None and now - last_use(self.store, key.folder) < self._unused_for:
                return "it has been used since"
            return self._needed(key)

        try:
            removed = remove_unless(self.store, key, objection)
        except ArtifactNotFoundError:
            return Outcome(key.folder, key, False, 0, "it is gone already")
        except Exception as error:  # whatever is wrong with one: the others go
            return Outcome(key.folder, key, False, 0, _said(error))
        return Outcome(key.folder, key, True, removed.bytes, _note(removed.left))

    def _clean(self, entries: list[Leftover]) -> Iterator[Outcome]:
        """Clean one folder up; only what was planned, as far as it is still left over."""
        key = entries[0].key
        files = {entry.path[len(key.folder) + 1 :]: entry for entry in entries if entry.kind != "folder"}
        note, gone = "it is gone already, or not left over any more", set(files)
        try:
            if any(entry.kind == "artifact" for entry in entries):
                removed = remove_unless(self.store, key, _is_alive(self.store, files))
                note, gone = _note(removed.left), gone - {left.path[len(key.folder) + 1 :] for left in removed.left}
            elif files:
                gone = clean(self.store, key, files)
        except Exception as error:
            note, gone = _said(error), set()
        for name, entry in files.items():
            yield Outcome(
                entry.path, key, name in gone, entry.bytes if name in gone else 0, "" if name in gone else note
            )
        for entry in entries:
            if entry.kind == "folder":
                removed_now = remove_empty(self.store, entry.path, key)
                yield Outcome(entry.path, key, removed_now, 0, "" if removed_now else "it is not empty any more")


def _is_alive(store: Store, planned: Collection[str]) -> Objection:
    """Return what says why what was half made is to stay, after all."""

    def objection(manifest: Manifest | None, units: Mapping[str, Unit], now: float) -> str:
        if manifest is not None or "manifest.json" in units:
            return "it has been made since"
        others = [unit for unit in units.values() if unit.kind != "lease"]
        if any(is_young(unit, now, store) for unit in others):
            return "somebody is at work on it"
        if any(unit.name not in planned and not unit.name.endswith(".cloud.json") for unit in others):
            return "something has been put there since"
        return ""

    return objection


def _said(error: Exception) -> str:
    """Return what an error says; and its kind too, if it is none of ours."""
    return str(error) if isinstance(error, PersistableError | Changed) else f"{type(error).__name__}: {error}"


def _is_same(record: Record, manifest: Manifest | None) -> bool:
    """Return whether a manifest is still the one that a plan was made from."""
    if manifest is None or record.state == "corrupt":
        return manifest is None and record.state == "corrupt"
    return (manifest.payload["digest"], manifest.generated.get("at")) == (record.digest, record.at)


def _note(left: Iterable[Left]) -> str:
    return "; ".join(f"{path}: {reason}" for path, reason in left)


def _short(entry: Leftover) -> str:
    name = entry.path[len(entry.key.folder) + 1 :]
    return f"{entry.key.payload_name} {entry.key[:8]} {name or 'folder'}"
