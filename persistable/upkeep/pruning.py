"""Prune a store: plan what can go, look at the plan, carry it out.

A plan is a list, and removes nothing (:mod:`persistable.upkeep.plans`). What is not known is in no plan: files of
others, artifacts of a newer persistable, or of persistable 1.x.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable

from .._text import age, amount, duration, size
from ..catalog import Catalog, Record
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError
from ..keys import ArtifactKey, is_artifact
from ..stores import Store
from . import plans
from .amounts import bytes_of, seconds_of
from .asked import Place, catalog_of, key_of
from .irregular import link_on_the_way
from .last_use import last_use, require_access_times
from .leftovers import leftovers_in
from .plans import Plan, Planned

__all__ = ["plan"]

_LOOK_AGAIN = 5.0
"""Seconds after which the store is looked at again while a plan is carried out; at a folder, that is done each time."""


def plan(
    place: Place,
    *,
    older_than: float | str | None = None,
    larger_than: float | str | None = None,
    unused_for: float | str | None = None,
    keep: str | Record | Iterable[str | Record] = (),
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
    place : path, str, Store or Catalog
        Which one: a folder, a URL, a store, or its catalogue.
    older_than : float or str, optional
        Made so long ago: seconds, or ``"12h"``, ``"30d"``, ``"2w"``.
    larger_than : float or str, optional
        With a payload of more bytes than that; or ``"500MB"``, ``"1GiB"``.
    unused_for : float or str, optional
        With a payload that has not been read for so long. Only for folders whose file system notes that: on most
        (mounted with ``relatime``) it does so at most once in 24 hours, and never with ``noatime``. Over NFS, what a
        machine serves from its own memory leaves no trace, and what a ``cache_dir`` serves neither.
    keep : str, Record, or iterable of these
        What stays, with all that it was made from: payload names, keys, beginnings of keys, or records.
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
    TypeError
        If `place` is no place, or `keep` names nothing.
    ArtifactCorruptError
        If what is kept is damaged, so that there is no telling what it was made from.

    Examples
    --------
    >>> import tempfile
    >>> print(plan(tempfile.mkdtemp(), older_than="30d"))  # doctest: +ELLIPSIS
    There is nothing to be removed from ...
    """
    catalog = catalog_of(place)
    catalog.refresh()  # at a bucket, one that lives long has looked a minute ago
    keep = [keep] if isinstance(keep, str | Record) else list(keep)
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
            try:
                reasons = [test(record) for test in tests]
            except Exception:  # a manifest may hold anything, and the others are to be judged all the same
                spared["of which there is no telling: its manifest says what makes no sense"] += 1
                continue
            if not all(reasons):
                continue
            if _id(record) in kept:
                spared["kept, or used to make what is kept"] += 1
            elif now - record.modified < plans.YOUNG:
                spared["younger than an hour"] += 1
            elif link_on_the_way(store, ArtifactKey(record.key, record.payload_name)) is not None:
                spared["behind a link to elsewhere"] += 1
            else:
                words = ["damaged"] if record.state == "corrupt" else []
                words += [reason for reason in reasons if reason] or [f"made {age(record.at)}"]
                found.append(Planned(record, "; ".join(words)))
    left = leftovers_in(store, payload_name, now) if leftovers else ()
    needed = _needed(catalog, keep) if keep else lambda key: ""
    return Plan(store, _with_dependents(catalog, found), left, spared, seconds_unused, needed)


# ---------------------------------------------------------------------------------------------------------------------
# Conditions: each says why an artifact meets it


def _older_than(seconds: float, now: float) -> Callable[[Record], str | None]:
    import datetime as dt

    def test(record: Record) -> str | None:
        try:
            made = dt.datetime.fromisoformat(record.at or "").timestamp()
        except (ValueError, OverflowError, OSError):  # damaged, or before and after all time
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


def _reachable(catalog: Catalog, keep: Iterable[str | Record]) -> set[tuple[str, str]]:
    """Return what is to be kept, and all that it was made from."""
    todo: list[tuple[str, str]] = []
    names = set(catalog.names())
    for word in keep:
        if isinstance(word, str) and word in names:
            todo += [_id(record) for record in catalog.find(word)]
        else:
            key = key_of(catalog, word)
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
        if record.state in ("corrupt", "newer") or not _says_its_upstreams(record):
            problem = record.problem or "its manifest names upstreams in another way than ours do"
            raise ArtifactCorruptError(
                f"{record.payload_name} {record.key} is to be kept, and cannot be read ({problem}), so that "
                f"there is no telling what it was made from. Make it again, or keep its upstreams by name, and not it.",
                str(record.key),
            )
        todo += _upstreams(record)
    return kept


def _upstreams(record: Record) -> list[tuple[str, str]]:
    """Return what an artifact was made from, as far as that can be in any store."""
    named = [(upstream.payload_name, upstream.key) for upstream in record.dependencies.values()]
    return [(name, key) for name, key in named if is_artifact(name, key)]


def _says_its_upstreams(record: Record) -> bool:
    return len(_upstreams(record)) == len(record._section("dependencies"))


def _needed(catalog: Catalog, keep: Iterable[str | Record]) -> Callable[[ArtifactKey], str]:
    """Return what says, right before an artifact goes, whether what is kept has been made from it since the plan."""
    names = {word for word in keep if isinstance(word, str)} & set(catalog.names())
    keys = {_id_of(key_of(catalog, word)) for word in keep if not (isinstance(word, str) and word in names)}
    looked = float("-inf")

    def needed(key: ArtifactKey) -> str:
        nonlocal looked
        if time.monotonic() - looked > _LOOK_AGAIN:
            catalog.refresh()
            looked = time.monotonic()
        seen: set[tuple[str, str]] = set()
        todo = [key]
        while todo:
            this = todo.pop()
            if _id_of(this) in keys or this.payload_name in names:
                return "it is kept, or something that is kept has been made from it since"
            with contextlib.suppress(ArtifactNotFoundError):  # gone since, and no longer a way to what is kept
                made_from_it = [ArtifactKey(record.key, record.payload_name) for record in catalog.dependents(this)]
                todo += [key for key in made_from_it if _id_of(key) not in seen]
                seen |= {_id_of(key) for key in made_from_it}
        return ""

    return needed


def _id_of(key: ArtifactKey) -> tuple[str, str]:
    return key.payload_name, str(key)


def _with_dependents(catalog: Catalog, found: list[Planned]) -> list[Planned]:
    """Say in the reasons how many of those that stay were made from what goes: they can be loaded all the same."""
    if not found:
        return found
    goes = {_id(record) for record, _ in found}
    used = Counter(
        upstream
        for record in catalog
        if record.state == "whole" and _id(record) not in goes
        for upstream in _upstreams(record)
    )
    return [
        planned._replace(
            reason=f"{planned.reason}; {amount(count, 'artifact that stays was', 'that stay were')} made from it"
        )
        if (count := used[_id(planned.record)])
        else planned
        for planned in found
    ]
