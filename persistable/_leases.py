"""Leases: how processes and hosts agree that one of them makes an artifact.

A lease is a small file, ``lease/<n>``, that its owner rewrites every quarter of the time to live: it beats. Whoever
finds an artifact missing creates ``lease/0``; whoever finds a lease watches the highest one. When its *content* has
not changed for the time to live, on the watcher's own monotonic clock, the watcher creates the next number. That is
the takeover: it needs no clock in common, no delete, and no compare-and-swap, only that ``create`` has one winner.

A lease only saves work. An owner that was paused, and wakes up after a takeover, still cannot harm anything: it
loses the ``create`` of the manifest (:mod:`persistable.artifacts`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from ._integrity import new_token
from ._processes import is_dead, this_process
from ._text import duration
from .exceptions import LeaseTimeoutError, NoPayloadError
from .keys import ArtifactKey
from .stores import Store

__all__ = ["Holder", "Lease", "acquire", "holder_of"]

_FIRST_PAUSE = 0.005  # seconds between two looks at a lease; grows, so that a short generation is met soon
_LONGEST_PAUSE = 0.5
_LONGEST_BEAT = 5.0  # seconds to wait, at the end, for a sign of life that hangs in a network
_WARN_AFTER = 5.0  # seconds of waiting that nobody should have to guess about
_WARN_AGAIN = 300.0


class _Held(threading.local):
    """The artifacts that this thread is making: (url of the store, folder of the lease)."""

    def __init__(self) -> None:
        self.here: set[tuple[str, str]] = set()


_held = _Held()


class _Claim:
    """What this process knows of a lease of its own: whether anybody here still stands behind it."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.entered = False

    def is_abandoned(self) -> bool:
        """Whether an interruption came between the claim and the ``with``: who claims next is told so by this."""
        return not self.entered and (self.thread is threading.current_thread() or not self.thread.is_alive())


class _Process:
    """This process, and its leases; a process that is forked from it is another one."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.token = new_token() + new_token()
        self.claims: dict[str, _Claim] = {}


_process = _Process()


def _this() -> _Process:
    global _process
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


class Lease:
    """The right to make one artifact, and the duty to give signs of life meanwhile.

    A context manager: while it is entered it beats; when it is left it is removed, or, after an error, marked as
    failed, so that a waiter takes over at once. One that is never entered goes with its object.

    Where no thread can be started, as at the end of the interpreter, it does not beat: whoever waits for longer than
    the time to live makes the artifact too, and the first to commit counts.

    Attributes
    ----------
    token : str
        Eight hexadecimal digits that no other write to this artifact has used.
    dead_tokens : set of str
        Tokens of earlier owners that are dead for certain: what they left behind can be swept.
    """

    def __init__(self, store: Store, key: ArtifactKey, number: int, dead_tokens: set[str]) -> None:
        self._process = _this()
        self._claim = _Claim()
        self.token = new_token()
        self.dead_tokens = dead_tokens
        self._store = store
        self._folder = _folder(key)
        self._number = number
        self._path = f"{self._folder}/{number}"
        self._record: dict[str, Any] = {"token": self.token, "state": "generating", "beat": 0, **_this_process()}
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def create(self) -> bool:
        """Try to become the owner; return whether it worked."""
        self._process.claims[self.token] = self._claim
        created = False
        try:
            created = self._store.create(self._path, self._content())
        except BaseException:  # it may have been created all the same
            self.release()
            raise
        finally:
            if not created:
                self._process.claims.pop(self.token, None)
        return created

    def release(self) -> None:
        """Remove this lease and those below it; what cannot be removed is swept later."""
        if not self._end():
            return
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._remove_earlier()
                self._store.delete(self._path)

    def __enter__(self) -> Lease:
        try:
            _held.here.add((self._store.url, self._folder))
            self._claim.entered = True
            self._beating = threading.Thread(target=self._beat, name=f"persistable {self._path}", daemon=True)
            try:
                self._beating.start()
            except RuntimeError:  # none to be had
                self._beating = None
            return self
        except BaseException:
            _held.here.discard((self._store.url, self._folder))
            self.release()
            raise

    def __del__(self) -> None:
        try:
            if not self._claim.entered:
                self.release()
        except Exception:  # at the end of the interpreter all may be gone, contextlib too
            pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _held.here.discard((self._store.url, self._folder))
        if isinstance(error, Exception):
            if not self._end():
                return
            with contextlib.suppress(OSError):
                if self._is_ours():
                    self._record |= {"state": "failed", "error": f"{type(error).__name__}: {error}"[:500]}
                    self._store.replace(self._path, self._content())
                    self._remove_earlier()
        else:  # done, or Ctrl-C: nothing to tell to others
            self.release()

    def _content(self) -> bytes:
        return json.dumps(self._record).encode()

    def _remove_earlier(self) -> None:
        for number, path in _leases(self._store, self._folder):  # upward: the highest, which counts, is never missing
            if number < self._number:
                self._store.delete(path)

    def _is_ours(self) -> bool:
        record = _read(self._store, self._path)
        return record is not None and _parse(record).get("token") == self.token

    def _beat(self) -> None:
        while not self._ended.wait(min(self._store.time_to_live / 4, threading.TIMEOUT_MAX)):
            with contextlib.suppress(OSError):  # the next beat may get through; if none does, we are taken over
                if not self._is_ours():
                    return  # taken over while we were paused, and cleaned up: write no ghost
                self._record["beat"] += 1
                self._store.replace(self._path, self._content())
                if self._ended.is_set():  # it hung, and nobody waited for it: what it wrote is a ghost
                    self._store.delete(self._path)

    def _end(self) -> bool:
        """Stop beating; return whether there is something to clean up: not twice, and not in a forked process."""
        if self._process is not _this() or self._process.claims.pop(self.token, None) is None:
            return False
        self._ended.set()
        if self._beating is not None and self._beating is not threading.current_thread():
            with contextlib.suppress(RuntimeError):  # interrupted while it was started: it ends before its first beat
                self._beating.join(_LONGEST_BEAT)
        return True


def acquire(
    store: Store,
    key: ArtifactKey,
    arrived: Callable[[], bool],
    say: Callable[[str], None],
    *,
    wait: bool = True,
    warn: Callable[[str], None] | None = None,
    patience: float | None = None,
) -> Lease | None:
    """Return the right to make an artifact, as soon as nobody else is making it.

    Parameters
    ----------
    store : Store
        Where the artifact is missing.
    key : ArtifactKey
        Which artifact.
    arrived : callable
        Returns whether somebody has made it meanwhile.
    say : callable
        Told at once who is generating.
    wait : bool
        Whether to wait for a living owner.
    warn : callable, optional
        Told after a few seconds of waiting, and then every few minutes; `say` if not given.
    patience : float, optional
        Seconds to wait at most; as the store says if None.

    Returns
    -------
    Lease or None
        None if the artifact has arrived; without `wait`, also if somebody else is making it.

    Raises
    ------
    LeaseTimeoutError
        If somebody has been making it for longer than the patience.
    NoPayloadError
        If this very thread is making it, and would wait for itself.
    StoreError
        If the store cannot be written.
    """
    if (store.url, _folder(key)) in _held.here:
        raise NoPayloadError(
            f"The generation of {key.payload_name} {key} asked, through another object of the same params, for the "
            f"payload that it is to make, and would wait for itself. Give it other params, or make that payload in "
            f"an upstream."
        )
    watch, pause, began = _Watch(), _FIRST_PAUSE, time.monotonic()
    tell, tell_at = say, 0.0  # seconds of waiting
    while True:
        number, content = _highest(store, _folder(key))
        if arrived():  # looked at after the leases: an owner commits first, and removes its lease then
            return None
        record = _parse(content)
        if content is None or watch.is_over(number, content, record, store.time_to_live):
            lease = Lease(store, key, number + 1, _dead_tokens(store, key))
            if lease.create():
                try:
                    if not arrived():
                        if content is not None:
                            say(f"Taking over {key.payload_name} {key} from {_owner(record)}: {_why(record)}.")
                        return lease
                except BaseException:
                    lease.release()  # else we, alive, would be waited for
                    raise
                lease.release()
                return None
            continue
        if not wait:
            return None
        waited = time.monotonic() - began
        if waited >= (store.patience if patience is None else patience):
            raise LeaseTimeoutError(
                f"Waited {waited:.0f} s for {key.payload_name} {key}, which {_owner(record)} has been generating since "
                f"{record.get('since', 'an unknown time')}. Wait longer (patience= of the store), or end that process."
            )
        if waited >= tell_at:
            tell(
                f"Waiting for {_owner(record)}, which has been generating {key.payload_name} {key} for "
                f"{duration(round(max(waited, _age(record))))}."
            )
            tell_at = _WARN_AFTER if waited < _WARN_AFTER else waited + _WARN_AGAIN
            tell = warn or say
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE, store.time_to_live / 8)


class _Watch:
    """What a waiter has seen of the highest lease, and for how long it has not changed."""

    def __init__(self) -> None:
        self._pulse: object = None
        self._looked = 0.0
        self._unchanged = 0.0

    def is_over(self, number: int, content: bytes, record: dict[str, Any], time_to_live: float) -> bool:
        now = time.monotonic()
        if (number, content) != self._pulse:
            self._pulse, self._unchanged = (number, content), 0.0
        else:  # a watcher that was stopped itself, and the owner perhaps with it, has not watched meanwhile
            self._unchanged += min(now - self._looked, time_to_live / 2)
        self._looked = now
        return record.get("state") == "failed" or _is_dead(record) or self._unchanged > time_to_live


class Holder(NamedTuple):
    """Who is making an artifact, as one look at its leases tells.

    Attributes
    ----------
    owner : str
        ``process 4711 on laptop``.
    host, pid, since : str, int, str, or None
        The same in parts, and since when (UTC), as far as the lease says.
    seconds : float
        For how long, as far as the clocks of two hosts agree.
    silent : float
        Seconds since the last sign of life; by the clock of the store.
    ended : str
        Why it counts no more, for certain; "" if it may well go on.
    """

    owner: str
    host: str | None
    pid: int | None
    since: str | None
    seconds: float
    silent: float
    ended: str


def holder_of(store: Store, key: ArtifactKey) -> Holder | None:
    """Return who holds the highest lease of an artifact; None if there is no lease."""
    found = {entry.path: entry.modified for entry in store.list(_folder(key))}
    numbers = {int(name): path for path in found if (name := path.rpartition("/")[2]).isdecimal()}
    path = numbers[max(numbers)] if numbers else ""
    content = _read(store, path) if path else None
    if content is None:
        return None
    record = _parse(content)
    ended = _why(record) if record.get("state") == "failed" or _is_dead(record) else ""
    host, pid, since = record.get("host"), record.get("pid"), record.get("since")
    silent = max(time.time() - found[path], 0.0)
    return Holder(_owner(record), host, pid, since, _age(record), silent, ended)


def _folder(key: ArtifactKey) -> str:
    return f"{key.folder}/lease"


def _leases(store: Store, folder: str) -> list[tuple[int, str]]:
    names = [(entry.path.rpartition("/")[2], entry.path) for entry in store.list(folder)]
    return sorted((int(name), path) for name, path in names if name.isdecimal())


def _highest(store: Store, folder: str) -> tuple[int, bytes | None]:
    """Return number and content of the highest lease; (-1, None) if there is none."""
    for number, path in reversed(_leases(store, folder)):
        if (content := _read(store, path)) is not None:
            return number, content
    return -1, None


def _read(store: Store, path: str) -> bytes | None:
    try:
        return store.read(path)
    except FileNotFoundError:
        return None


def _parse(content: bytes | None) -> dict[str, Any]:
    """Return a lease's record; empty if it says nothing (yet)."""
    try:
        record = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _dead_tokens(store: Store, key: ArtifactKey) -> set[str]:
    records = [_parse(_read(store, path)) for _, path in _leases(store, _folder(key))]
    dead = (record for record in records if record.get("state") == "failed" or _is_dead(record))
    return {str(record["token"]) for record in dead if "token" in record}


def _owner(record: dict[str, Any]) -> str:
    return f"process {record['pid']} on {record['host']}" if {"pid", "host"} <= record.keys() else "an unknown process"


def _why(record: dict[str, Any]) -> str:
    """Why the owner's lease counts no more."""
    if record.get("state") == "failed":
        return f"it has failed ({record.get('error', 'unknown')})"
    return "it has ended" if _is_dead(record) else "it has given no sign of life"


def _age(record: dict[str, Any]) -> float:
    """For how many seconds the owner has been generating, as far as the clocks of two hosts agree."""
    try:
        return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(record["since"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return 0.0


def _this_process() -> dict[str, Any]:
    return {**this_process(), "process": _this().token, "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}


def _is_dead(record: dict[str, Any]) -> bool:
    """Whether the owner is dead for certain: a process of this host that is no more; here, a claim that was left."""
    here = _this()
    if record.get("process") == here.token:
        claim = here.claims.get(str(record.get("token")))
        return claim is None or claim.is_abandoned()
    return is_dead(record)
