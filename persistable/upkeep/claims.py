"""The lease under which an artifact is removed, and the time by which ages are told: that of the store, not of others.

Whoever wants to make the artifact anew waits for it. One that was left over by a dead process for long is set aside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from .. import _leases
from .._integrity import new_token
from .._leftovers import Unit, units_of
from ..exceptions import LeaseTimeoutError, NoPayloadError
from ..keys import ArtifactKey
from ..stores import Store

__all__ = ["claimed", "time_of"]

_BEATS_OF_THE_DEAD = 10
"""Times to live without a sign of life, after which nobody needs to watch any longer whether one comes."""


@contextlib.contextmanager
def claimed(store: Store, key: ArtifactKey, patience: float, done: str) -> Iterator[_leases.Lease | None]:
    """Hold the lease of an artifact, so that nobody makes it meanwhile; None where the store has none."""
    if not store.single_flight:
        yield None
        return

    def acquire() -> _leases.Lease | None:
        return _leases.acquire(store, key, lambda: False, lambda message: None, patience=patience)

    try:
        try:
            lease = acquire()
        except LeaseTimeoutError:
            if not _drop_old_leases(store, key):
                raise
            lease = acquire()
    except (LeaseTimeoutError, NoPayloadError) as error:
        holder = _leases.holder_of(store, key)
        who = f"{holder.owner} is making it, since {holder.since or 'an unknown time'}" if holder else str(error)
        raise LeaseTimeoutError(
            f"{key.payload_name} {key} in {store.url} is not {done}: {who}. Wait until it has ended, or end that "
            f"process. If it is dead already, that shows {store.time_to_live:.0f} s after its last sign of life."
        ) from None
    assert lease is not None  # nothing ever arrives
    with lease:
        try:
            yield lease
            return
        except Exception as error:  # and the lease is to be left without one: nothing has failed to be generated
            failure = error
    raise failure


def _drop_old_leases(store: Store, key: ArtifactKey) -> bool:
    """Remove leases that are as old as what is left over; return whether there were any. Whoever lives, beats."""
    old = max(store.leftovers_after, _BEATS_OF_THE_DEAD * store.time_to_live)
    holder = _leases.holder_of(store, key)
    if holder is None or holder.silent <= old:
        return False
    now, units = _clock(store, key)
    leases = [unit for unit in units.values() if unit.kind == "lease"]
    if any(now - unit.modified <= old for unit in leases):
        return False
    for unit in sorted(leases, key=lambda unit: int(unit.name.rpartition("/")[2])):  # the highest, which counts, last
        store.delete(f"{key.folder}/{unit.name}")
    return True


def _clock(store: Store, key: ArtifactKey) -> tuple[float, dict[str, Unit]]:
    """Return the time by the clock of the store, and what is in the folder then; 0 if it does not say."""
    name = f"probe.{new_token()}"
    try:
        store.replace(f"{key.folder}/{name}", b"What time is it?")
        units, _ = units_of(key.folder, store.list(key.folder))
    finally:
        store.delete(f"{key.folder}/{name}")
    probe = units.pop(name, None)
    return (probe.modified if probe is not None else 0.0), units


def time_of(store: Store, key: ArtifactKey, units: Mapping[str, Unit], lease: _leases.Lease | None) -> float:
    """Return the time by the clock of the store, as the file says that we have written ourselves."""
    own = units.get(lease._path[len(key.folder) + 1 :]) if lease is not None else None
    return own.modified if own is not None else _clock(store, key)[0]
