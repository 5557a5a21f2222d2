"""What is in a store, and what has changed there since it was last looked at.

In a folder, the time of the folder of a payload name changes when a key comes or goes, and whenever something in it is
committed or removed (:func:`persistable.artifacts.announce`). One that has not changed is not opened. In one that has,
the folders of its keys are compared by their times, and only what is new or changed is read.

As in git, a time that is very young says nothing: more may happen within the same tick of the clock. It counts as
settled if it was old, or had been seen before, when the folder was looked through. Elsewhere than in a folder, one
listing tells the size and the time of each manifest.

Keys without a manifest (being made, failed, half deleted) are looked at each time: there are few.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

from .._integrity import LEFT_BY_FILE_MANAGERS
from .._leases import Holder, holder_of
from .._mounts import NETWORK_FILE_SYSTEMS, file_system
from .._text import amount, duration, printable
from ..exceptions import StoreError
from ..keys import ArtifactKey
from ..stores import Entry, Store
from .records import Fields, fields_of_manifest

__all__ = ["ALWAYS", "FOREIGN", "ROOT", "Changes", "Known", "Name", "changes_in_folder", "changes_in_listing"]

ROOT: Final = ""
"""The name under which the files beside the folders of payload names are kept."""

ALWAYS: Final = -1
"""The stamp of what is looked at each time."""

FOREIGN: Final = 1
"""The stamp of what is not ours, and not looked into."""

_NO_TIMES: Final = (0, ALWAYS, FOREIGN)
_VERY_MANY: Final = 1000  # keys
_YOUNG: Final = 3 * 10**9  # ns; within this time, the clocks of some file systems do not tick
_OLD: Final = 60 * 10**9  # ns; older than any tick, even if two clocks differ a little
_AT_ONCE: Final = 256  # manifests that are read at once from afar; folders that are worth a second thread
_SILENT: Final = 2.0  # times to live after which a lease is taken for one of the dead

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_KEY: Final = re.compile(r"[0-9a-f]{32}")
_OF_1_X: Final = re.compile(r"(?P<name>[^/]+)\((?P<key>[0-9a-f]{32})\)(?P<suffix>(?:\.[\w-]+)+)", re.ASCII)
_FAILED: Final = re.compile(r"failed-(\d{8}T\d{6})(?:\.\d+)?Z\.log")
_SMALL: Final = 16_384  # bytes; manifests are a few kB
_READ: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Name(NamedTuple):
    """What was seen of the folder of a payload name: its time, when that was first seen, and whether it is settled."""

    stamp: int
    seen: int
    settled: bool


class Known(NamedTuple):
    """What an index knows already."""

    names: Mapping[str, Name]
    stamps: Callable[[str], dict[str, int]]
    """Of a payload name: what is in its folder -> stamp; folders that are not ours with a ``/`` behind their names."""
    unsettled: Mapping[str, Sequence[str]]
    """Payload name -> keys that are looked at each time."""


class Changes(NamedTuple):
    """What is new below one payload name: its stamp, entries, and the paths of what is gone."""

    payload_name: str
    name: Name | None
    entries: Iterable[Fields]
    gone: Sequence[str]


# ---------------------------------------------------------------------------------------------------------------------
# In a folder


def changes_in_folder(store: Store, root: str, known: Known) -> Iterator[Changes]:
    """Yield what has changed in the store that is the folder `root`, name by name.

    Raises
    ------
    StoreError
        If there is such a folder, and it cannot be read.
    """
    folders: list[str] = []
    files: list[str] = []
    try:
        before = _time_of(root)
        with os.scandir(root) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(entry.name)
    except FileNotFoundError:
        pass  # a store to which nothing has been written yet
    except OSError as error:
        raise StoreError(
            f"Cannot read the folder {root}: {error.strerror}. Check the path, the drive and its permissions."
        ) from error
    for name in folders:
        if _NAME.fullmatch(name):
            yield from _changes_in_name(store, root, name, known)
    for name in known.names.keys() - {*folders, ROOT}:
        yield Changes(name, None, (), [f"{name}/{child}" for child in known.stamps(name)])
    if folders or files:
        yield from _changes_at_root(root, [name for name in folders if not _NAME.fullmatch(name)], files, before, known)


def _changes_at_root(root: str, folders: list[str], files: list[str], before: int, known: Known) -> Iterator[Changes]:
    old = known.names.get(ROOT)
    name = _seen(before, old)
    if old is not None and old.stamp == before and old.settled:
        return
    entries = [_foreign(ROOT, f"{folder}/") for folder in folders]
    entries += _files_at_root({file: _status(f"{root}/{file}") for file in files})
    lost = known.stamps(ROOT).keys() - {_path(entry) for entry in entries}
    yield Changes(ROOT, name, entries, sorted(lost))


def _changes_in_name(store: Store, root: str, name: str, known: Known) -> Iterator[Changes]:
    folder = f"{root}/{name}"
    old, stamps = known.names.get(name), dict[str, int]()
    before = _time_of(folder)
    if old is not None and old.stamp == before and old.settled:
        if again := known.unsettled.get(name):
            yield Changes(name, old, _entries(store, root, name, again), ())
        return
    if old is not None:
        stamps = known.stamps(name)  # before the listing: what it lacks has gone since, and did not come since
    try:
        children = set(os.listdir(folder))
    except OSError as error:
        entry = _foreign(name, f"{name}/", f"It cannot be read: {error.strerror}.")
        yield Changes(name, _seen(0, None), [entry], [f"{name}/{child}" for child in stamps])
        return
    fresh = [child for child in children if stamps.get(child, 0) in (0, ALWAYS)]
    seen = [(key, stamp) for key, stamp in stamps.items() if stamp not in _NO_TIMES]
    keys = [child for child in fresh if _KEY.fullmatch(child)]
    others: list[Fields] = []
    if not keys and not any(key in children for key, _ in seen):
        gone = list(stamps)
        others = [_foreign(name, f"{name}/")] if children else []
    else:
        gone = [child for child in stamps if child.rstrip("/") not in children]
        for child in fresh:
            if not _KEY.fullmatch(child) and child not in LEFT_BY_FILE_MANAGERS:
                slash = "/" if os.path.isdir(f"{folder}/{child}") else ""
                if f"{child}{slash}" not in stamps:
                    others.append(_foreign(name, f"{name}/{child}{slash}"))
    keys += _changed(folder, [(key, stamp) for key, stamp in seen if key in children])
    entries = chain(others, _entries(store, root, name, keys))
    yield Changes(name, _seen(before, old), entries, [f"{name}/{child}" for child in gone])


def _changed(folder: str, stamps: Sequence[tuple[str, int]]) -> list[str]:
    """Return the keys whose folders have changed since these stamps were made."""
    found: list[str] = []
    now = time.time_ns()

    def compare(some: Sequence[tuple[str, int]]) -> None:
        stat, start = os.stat, f"{folder}/"
        for key, stamp in some:
            try:
                time_of = stat(start + key).st_mtime_ns
                # A negative one says when it was read; if that lies ahead, the clock has been set meanwhile.
                if time_of != stamp and not (time_of + _YOUNG <= -stamp <= now):
                    found.append(key)
            except OSError:
                found.append(key)

    half = len(stamps) // 2
    if half < _AT_ONCE:
        compare(stamps)
        return found
    from .._threads import meanwhile

    with meanwhile("compare", lambda: compare(stamps[:half])):
        compare(stamps[half:])
    return found


def _entries(store: Store, root: str, name: str, keys: Collection[str]) -> Iterator[Fields]:
    now = time.time_ns()
    # To ask for the time of very many folders takes as long as reading two thirds of their manifests. Where one clock
    # tells all times, it is enough to know when each was read.
    exact = len(keys) < _VERY_MANY or file_system(Path(root)) in NETWORK_FILE_SYSTEMS
    stamp = -now
    for key in keys:
        folder = f"{root}/{name}/{key}"
        try:
            if exact:  # first the time, and then the content: of two changes, the later one is met again
                stamp = os.stat(folder).st_mtime_ns
                stamp = stamp if stamp <= now - _YOUNG else 0
            data, modified = _read(f"{folder}/manifest.json")
        except (FileNotFoundError, NotADirectoryError):
            yield from _without_manifest(store, name, key)
        except OSError as error:
            problem = f"Its manifest cannot be read: {error.strerror}."
            yield Fields(name, ALWAYS, name, key, "corrupt", problem, f"{name}/{key}")
        else:
            yield fields_of_manifest(name, key, data, stamp, modified)


def _read(path: str) -> tuple[bytes, float]:
    """Return the content of a file, and when it was last changed."""
    file = os.open(path, _READ)
    try:
        data = os.read(file, _SMALL)
        while len(data) % _SMALL == 0 and (more := os.read(file, _SMALL << 6)):
            data += more
        return data, os.fstat(file).st_mtime
    finally:
        os.close(file)


def _seen(stamp: int, old: Name | None) -> Name:
    """Return what is to be kept of a folder that had this time when it began to be looked through."""
    now = time.time_ns()
    seen = old.seen if old is not None and old.stamp == stamp else now
    return Name(stamp, seen, now - stamp >= _OLD or now - seen >= _YOUNG)


def _time_of(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def _status(path: str) -> tuple[int, float]:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return 0, 0.0
    return status.st_size, status.st_mtime


# ---------------------------------------------------------------------------------------------------------------------
# Anywhere else


def changes_in_listing(store: Store, known: Known) -> Iterator[Changes]:
    """Yield what has changed in a store that is no folder of this machine, name by name."""
    manifests: dict[str, dict[str, Entry]] = {}
    bare: dict[str, set[str]] = {}
    foreign: dict[str, set[str]] = {}
    root: dict[str, tuple[int, float]] = {}
    for entry in store.list(""):
        name, _, rest = entry.path.partition("/")
        key, inside, file = rest.partition("/")
        if not rest and not entry.path.endswith("/"):
            root[name] = entry.size, entry.modified
        elif not _NAME.fullmatch(name):
            foreign.setdefault(ROOT, set()).add(f"{name}/")
        elif inside and _KEY.fullmatch(key):
            bare.setdefault(name, set()).add(key)
            if file == "manifest.json":
                manifests.setdefault(name, {})[key] = entry
        elif rest and rest not in LEFT_BY_FILE_MANAGERS:
            foreign.setdefault(name, set()).add(f"{name}/{key}{inside}")
    for name in foreign.keys() - bare.keys() - {ROOT}:
        foreign.setdefault(ROOT, set()).add(f"{name}/")
    now = time.time_ns()
    for name in bare.keys() | known.names.keys() - {ROOT}:
        others = [_foreign(name, path) for path in sorted(foreign.get(name, ()))] if name in bare else []
        found, old = manifests.get(name, {}), known.stamps(name)
        there = bare.get(name, set()) | {_path(other).partition("/")[2] for other in others}
        stamps = {key: _stamp_of(entry) for key, entry in found.items()}
        fresh = [found[key] for key, stamp in stamps.items() if old.get(key) != stamp]
        gone = [f"{name}/{child}" for child in old.keys() - there]
        without = sorted(bare.get(name, set()) - found.keys())
        entries = chain(others, _read_entries(store, name, fresh), _all_without_manifest(store, name, without))
        yield Changes(name, Name(0, now, True) if name in bare else None, entries, gone)
    at_root = [_foreign(ROOT, path) for path in sorted(foreign.get(ROOT, ()))] + _files_at_root(root)
    lost = known.stamps(ROOT).keys() - {_path(entry) for entry in at_root}
    yield Changes(ROOT, Name(0, now, True), at_root, sorted(lost))


def _stamp_of(entry: Entry) -> int:
    return hash((entry.size, entry.modified)) & ((1 << 62) - 1) | 1


def _read_entries(store: Store, name: str, entries: Sequence[Entry]) -> Iterator[Fields]:
    """Read manifests, several at once: each takes as long as the way there and back."""

    def read(entry: Entry) -> bytes | OSError:
        try:
            return store.read(entry.path)
        except OSError as error:
            return error

    if not entries:
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(16, len(entries)), "persistable read") as pool:
        todo = iter(entries)
        while some := list(islice(todo, _AT_ONCE)):
            for entry, data in zip(some, pool.map(read, some), strict=True):
                key = entry.path.split("/")[1]
                if isinstance(data, bytes):
                    yield fields_of_manifest(name, key, data, _stamp_of(entry), entry.modified)
                elif isinstance(data, FileNotFoundError):  # removed since it was listed
                    yield from _without_manifest(store, name, key)
                else:
                    problem = f"Its manifest cannot be read: {printable(data, 300)}"
                    yield Fields(name, ALWAYS, name, key, "corrupt", problem, f"{name}/{key}", modified=entry.modified)


def _all_without_manifest(store: Store, name: str, keys: Iterable[str]) -> Iterator[Fields]:
    for key in keys:
        yield from _without_manifest(store, name, key)


# ---------------------------------------------------------------------------------------------------------------------
# What is no artifact


def _without_manifest(store: Store, name: str, key: str) -> Iterator[Fields]:
    """Yield what a folder without a manifest is."""
    path = f"{name}/{key}"
    entry = Fields(name, ALWAYS, name, key, "unfinished", "", path)
    try:
        files = {entry.path.removeprefix(f"{path}/"): entry for entry in store.list(path)}
        holder = holder_of(store, ArtifactKey(key, name)) if any(file.startswith("lease/") for file in files) else None
    except OSError as error:
        yield entry._replace(problem=f"It cannot be read: {printable(error, 300)}")
        return
    if "manifest.json" in files:
        return  # it has arrived just now: the next look reads it
    modified = max((file.modified for file in files.values()), default=0.0)
    entry = entry._replace(size=sum(file.size for file in files.values()), modified=modified)
    failures = sorted(found[1] for file in files if (found := _FAILED.fullmatch(file)))
    if holder is not None and not holder.ended and holder.silent <= max(_SILENT * store.time_to_live, 60.0):
        problem = f"{printable(holder.owner, 100)} has been generating it for {duration(round(holder.seconds))}."
        entry = _by(holder, entry._replace(state="generating", problem=_sentence(problem)))
    elif failures:
        at = dt.datetime.strptime(failures[-1], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC).isoformat()
        problem = "Its generation raised; the log says what."
        entry = entry._replace(state="failed", problem=problem, at=at)
    elif holder is not None:
        ended = holder.ended or f"it gave no sign of life for {duration(round(holder.silent))}"
        problem = f"{printable(holder.owner, 100)} did not finish it: {printable(ended, 200)}."
        entry = _by(holder, entry._replace(problem=_sentence(problem)))
    elif not files or all(file.endswith("/") for file in files):
        entry = entry._replace(problem="Its folder is empty.")
    else:
        left = amount(len(files), "file")
        entry = entry._replace(problem=f"It has no manifest, only {left} of something interrupted or half deleted.")
    yield entry


def _files_at_root(files: Mapping[str, tuple[int, float]]) -> list[Fields]:
    """Return the entries of the files beside the folders: payloads of persistable 1.x, and what is not ours."""
    found = []
    for file, (size, modified) in sorted(files.items()):
        if file in LEFT_BY_FILE_MANAGERS:
            continue
        old = _OF_1_X.fullmatch(file)
        beside = old is not None and f"{old['name']}({old['key']}).params.json" in files
        if old is None or not beside:
            found.append(_foreign(ROOT, file)._replace(size=size, modified=modified))
        elif old["suffix"] != ".params.json":
            problem = "persistable 1.x wrote it; what asks for it loads it."
            name = _safe(old["name"])
            found.append(Fields(ROOT, 0, name, old["key"], "1.x", problem, file, size=size, modified=modified))
    return found


def _foreign(scope: str, path: str, problem: str = "It is not of persistable.") -> Fields:
    return Fields(scope, FOREIGN, "", "", "foreign", problem, _encodable(path))


def _encodable(path: str) -> str | bytes:
    """Return a path as a database can keep it: a file may have a name that is no text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogateescape")
    return path


def _path(entry: Fields) -> str:
    return entry.path if isinstance(entry.path, str) else entry.path.decode("utf-8", "surrogateescape")


def _safe(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _by(holder: Holder, entry: Fields) -> Fields:
    """Add what is known of a generation that has not ended well, or at all."""
    at = None if holder.since is None else _safe(str(holder.since))
    return entry._replace(at=at, generated=f'"generated": {json.dumps({"host": holder.host})},')


def _sentence(text: str) -> str:
    text = _safe(text)
    return text[:1].upper() + text[1:]
