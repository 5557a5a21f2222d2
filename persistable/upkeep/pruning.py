"""Prune a store: plan what can go, look at the plan, carry it out.

A plan is a list, and removes nothing. When it is carried out, each entry is looked at once more, under the artifact's
lease and by the clock of the store: what has changed since stays, with the reason, and so does what cannot be removed.
What is not known is in no plan: files of others, artifacts of a newer persistable, or of persistable 1.x.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .._leftovers import Unit
from .._text import age, amount, duration, printable, size, table
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, PersistableError
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Store
from .amounts import bytes_of, seconds_of
from .last_use import last_use, require_access_times
from .leftovers import Leftover, is_young, leftovers_in, remove_empty
from .removal import Changed, Left, clean, remove_unless

if TYPE_CHECKING:
    from ..catalog import Catalog, Record
    from .verify import Progress

__all__ = ["Leftover", "Outcome", "Plan", "Planned", "plan"]

_YOUNG = 3600.0
"""Seconds for which an artifact stays in any case: who has just made it is about to use it."""


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


class Plan:
    """What :func:`plan` has found. It removes nothing until :meth:`carry_out` is called, and iterated over.

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
    ) -> None:
        self.store = store
        self.artifacts = tuple(artifacts)
        self.leftovers = tuple(leftovers)
        self.spared = dict(spared)
        self._unused_for = unused_for

    @property
    def bytes(self) -> int:
        """How much room the plan makes, at least: of artifacts, the payloads."""
        return sum(record.size or 0 for record, _ in self.artifacts) + sum(entry.bytes for entry in self.leftovers)

    def __len__(self) -> int:
        return len(self.artifacts) + len(self.leftovers)

    def __repr__(self) -> str:
        return (
            f"<Plan for {self.store.url}: {amount(len(self.artifacts), 'artifact')}, "
            f"{amount(len(self.leftovers), 'leftover')}, {size(self.bytes)}>"
        )

    def __str__(self) -> str:
        if not self:
            lines = [f"There is nothing to be removed from {printable(self.store.url)}."]
        else:
            lines = [
                f"To be removed from {printable(self.store.url)}: {amount(len(self.artifacts), 'artifact')} and "
                f"{amount(len(self.leftovers), 'leftover')}, {size(self.bytes)}."
            ]
        rows = [
            [f"{record.payload_name} {record.key[:8]}", size(record.size or 0), reason]
            for record, reason in self.artifacts
        ]
        rows += [[_short(entry), size(entry.bytes), entry.reason] for entry in self.leftovers]
        if rows:
            lines += [f"  {line}" for line in table(["", "size", "why"], rows, right=[1])[1:]]
        lines += [f"Not removed: {amount(count, 'artifact')}, {reason}." for reason, count in self.spared.items()]
        return "\n".join(lines)

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

    def carry_out(self, progress: Progress | None = None) -> Iterator[Outcome]:
        """Remove what is planned, one entry after the other, and yield what became of each.

        What has changed since the plan was made, is being made, or cannot be removed, stays, and the others go on.

        Parameters
        ----------
        progress : callable, optional
            Called with how many entries are done, and how many there are in all.
        """
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
            if now - units["manifest.json"].modified < _YOUNG:
                return "it is younger than an hour"
            if self._unused_for is not None and now - last_use(self.store, key.folder) < self._unused_for:
                return "it has been used since"
            return ""

        try:
            removed = remove_unless(self.store, key, objection)
        except ArtifactNotFoundError:
            return Outcome(key.folder, key, False, 0, "it is gone already")
        except (Changed, PersistableError) as error:
            return Outcome(key.folder, key, False, 0, str(error))
        return Outcome(key.folder, key, True, removed.bytes, _note(removed.left))

    def _clean(self, entries: list[Leftover]) -> Iterator[Outcome]:
        """Clean one folder up; only what was planned, as far as it is still left over."""
        key = entries[0].key
        files = {entry.path[len(key.folder) + 1 :]: entry for entry in entries if entry.kind != "folder"}
        note, gone = "it is gone already, or not left over any more", set(files)
        try:
            if any(entry.kind == "artifact" for entry in entries):
                removed = remove_unless(self.store, key, self._is_alive)
                note, gone = _note(removed.left), gone - {left.path[len(key.folder) + 1 :] for left in removed.left}
            elif files:
                gone = clean(self.store, key, files)
        except (Changed, PersistableError) as error:
            note, gone = str(error), set()
        for name, entry in files.items():
            yield Outcome(
                entry.path, key, name in gone, entry.bytes if name in gone else 0, "" if name in gone else note
            )
        for entry in entries:
            if entry.kind == "folder":
                local = self.store.local_path(entry.path)
                removed_now = local is not None and remove_empty(local, self.store.local_path(key.payload_name))
                yield Outcome(entry.path, key, removed_now, 0, "" if removed_now else "it is not empty any more")

    def _is_alive(self, manifest: Manifest | None, units: Mapping[str, Unit], now: float) -> str:
        """Return why what was half made is to stay, after all."""
        if "manifest.json" in units:
            return "it has been made since"
        young = [unit for unit in units.values() if unit.kind != "lease" and is_young(unit, now, self.store)]
        return "somebody is at work on it" if young else ""


def plan(
    catalog: Catalog,
    *,
    older_than: float | str | None = None,
    larger_than: float | str | None = None,
    unused_for: float | str | None = None,
    keep: Iterable[str] = (),
    unreachable: bool = False,
    leftovers: bool = True,
    payload_name: str | None = None,
    where: str | None = None,
) -> Plan:
    """Return what can be removed from a store. Nothing is removed by that.

    An artifact is in the plan if it meets all conditions that are given; with none, no artifact is. What is kept, what
    that was made from, and what is younger than an hour, stays in any case.

    Parameters
    ----------
    catalog : Catalog
        What the store holds.
    older_than : float or str, optional
        Made so long ago: seconds, or ``"12h"``, ``"30d"``, ``"2w"``.
    larger_than : float or str, optional
        With a payload of more bytes than that; or ``"500MB"``, ``"1GiB"``.
    unused_for : float or str, optional
        With a payload that has not been read for so long. Only for folders whose file system notes that: on most
        (mounted with ``relatime``) it does so at most once in 24 hours, and never with ``noatime``. Over NFS, what a
        machine serves from its own memory leaves no trace, and what a ``cache_dir`` serves neither.
    keep : iterable of str
        What stays, with all that it was made from: payload names, or beginnings of keys.
    unreachable : bool
        What is neither kept, nor was used to make what is kept. Needs `keep`.
    leftovers : bool
        Whether what was left over is in the plan too, once it is as old as ``leftovers_after`` of the store: what
        processes that were killed have left, logs of failures, empty folders. With `payload_name`, of that name only.
    payload_name : str, optional
        Of this name.
    where : str, optional
        What meets this condition, as for :meth:`Catalog.find`.

    Returns
    -------
    Plan
        To be looked at, and carried out.

    Raises
    ------
    ValueError
        If a time or a size makes no sense, or `unreachable` comes without `keep`.
    StoreError
        If the store does not tell when a payload was last read, and `unused_for` asks for that.
    ArtifactNotFoundError, AmbiguousKeyError
        If what is to be kept is not there, or is not one.
    ArtifactCorruptError
        If what is kept is damaged, so that there is no telling what it was made from.

    Examples
    --------
    >>> import tempfile
    >>> from persistable.catalog import Catalog
    >>> print(plan(Catalog(tempfile.mkdtemp()), older_than="30d"))  # doctest: +ELLIPSIS
    There is nothing to be removed from ...
    """
    keep = [keep] if isinstance(keep, str) else list(keep)
    if unreachable and not keep:
        raise ValueError(
            "unreachable=True asks for what nothing that is kept was made from: say with keep= what that is."
        )
    now, store = time.time(), catalog.store
    tests: list[Callable[[Record], str | None]] = []
    if older_than is not None:
        tests.append(_older_than(seconds_of(older_than), now))
    if larger_than is not None:
        tests.append(_larger_than(bytes_of(larger_than)))
    seconds_unused = None if unused_for is None else seconds_of(unused_for)
    if seconds_unused is not None:
        require_access_times(store, seconds_unused)
        tests.append(_unused_for(seconds_unused, now, store))
    kept = _reachable(catalog, keep)
    if unreachable:
        tests.append(lambda record: None if _id(record) in kept else "nothing that is kept was made from it")
    found, spared = [], Counter[str]()
    if tests or payload_name is not None or where is not None:
        for record in catalog.find(payload_name, where, sort="-at"):
            if record.state not in ("whole", "corrupt"):
                continue
            reasons = [test(record) for test in tests]
            if not all(reasons):
                continue
            if _id(record) in kept:
                spared["which is kept, or which that was made from"] += 1
            elif now - record.modified < _YOUNG:
                spared["which is younger than an hour"] += 1
            else:
                words = ["damaged"] if record.state == "corrupt" else []
                words += [reason for reason in reasons if reason] or [f"made {age(record.at)}"]
                found.append(Planned(record, "; ".join(words)))
    left = leftovers_in(store, payload_name, now) if leftovers else ()
    return Plan(store, _with_dependents(catalog, found), left, spared, seconds_unused)


# ---------------------------------------------------------------------------------------------------------------------
# Conditions: each says why an artifact meets it


def _older_than(seconds: float, now: float) -> Callable[[Record], str | None]:
    import datetime as dt

    def test(record: Record) -> str | None:
        try:
            made = dt.datetime.fromisoformat(record.at or "").timestamp()
        except ValueError:  # damaged
            made = record.modified
        return f"made {age(dt.datetime.fromtimestamp(made, dt.UTC))}" if now - made >= seconds else None

    return test


def _larger_than(number: int) -> Callable[[Record], str | None]:
    return lambda record: f"larger than {size(number)}" if (record.size or 0) > number else None


def _unused_for(seconds: float, now: float, store: Store) -> Callable[[Record], str | None]:
    def test(record: Record) -> str | None:
        unused = now - last_use(store, f"{record.payload_name}/{record.key}")
        return f"unused for {duration(unused)}" if unused >= seconds else None

    return test


def _id(record: Record) -> tuple[str, str]:
    return record.payload_name, str(record.key)


def _reachable(catalog: Catalog, keep: Iterable[str]) -> set[tuple[str, str]]:
    """Return what is to be kept, and all that it was made from."""
    todo: list[tuple[str, str]] = []
    names = set(catalog.names())
    for word in keep:
        if word in names:
            todo += [_id(record) for record in catalog.find(word)]
        else:
            key = catalog.resolve(word)
            todo.append((key.payload_name, str(key)))
    if not todo:
        return set()
    records = {_id(record): record for record in catalog}
    kept: set[tuple[str, str]] = set()
    while todo:
        if (this := todo.pop()) in kept:
            continue
        kept.add(this)
        if (record := records.get(this)) is None:
            continue  # an upstream that lies elsewhere
        if record.state in ("corrupt", "newer"):
            raise ArtifactCorruptError(
                f"{record.payload_name} {record.key} is to be kept, and cannot be read ({record.problem}), so that "
                f"there is no telling what it was made from. Make it again, or keep its upstreams by name, and not it.",
                str(record.key),
            )
        todo += [(upstream.payload_name, upstream.key) for upstream in record.dependencies.values()]
    return kept


def _with_dependents(catalog: Catalog, found: list[Planned]) -> list[Planned]:
    """Say in the reasons how many of those that stay were made from what goes: they can be loaded all the same."""
    if not found:
        return found
    goes = {_id(record) for record, _ in found}
    used = Counter(
        (upstream.payload_name, upstream.key)
        for record in catalog
        if record.state == "whole" and _id(record) not in goes
        for upstream in record.dependencies.values()
    )
    return [
        planned._replace(
            reason=f"{planned.reason}; {amount(count, 'artifact that stays was', 'that stay were')} made from it"
        )
        if (count := used[_id(planned.record)])
        else planned
        for planned in found
    ]


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
