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

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

from .._integrity import LEFT_BY_FILE_MANAGERS
from .._mounts import NETWORK_FILE_SYSTEMS, file_system
from .._text import printable
from ..exceptions import StoreError
from ..keys import KEY, NAME
from ..stores import Entry, Store
from .records import Fields, fields_of_manifest
from .strange import ALWAYS, FOREIGN, ROOT, files_at_root, foreign_entry, path_of_entry, without_manifest

__all__ = ["ALWAYS", "FOREIGN", "ROOT", "Changes", "Known", "Name", "changes_in_folder", "changes_in_listing"]

_VERY_MANY: Final = 1000  # keys
_YOUNG: Final = 3 * 10**9  # ns; within this time, the clocks of some file systems do not tick
_OLD: Final = 60 * 10**9  # ns; older than any tick, even if two clocks differ a little
_AT_ONCE: Final = 256  # manifests that are asked for before their answers are used

_SMALL: Final = 8192  # bytes; manifests are a few kB
_READ: Final = (
    os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
)  # not blocking: it may be a pipe that nobody writes to
_WITHOUT_TIMES: Final = "fuse."  # file systems that may be anything, a bucket too: the times of folders tell nothing


class Name(NamedTuple):
    """What was seen of the folder of a payload name.

    Attributes
    ----------
    stamp : int
        Its time, in ns.
    seen : int
        When that time was first seen here.
    settled : bool
        Whether it tells that nothing has changed, as long as it is the same.
    place : str
        Which folder it is: at the same path may lie another one, that came with its times from elsewhere.
    """

    stamp: int
    seen: int
    settled: bool
    place: str = ""


class Known(NamedTuple):
    """What an index knows already: what it has seen of each payload name, and there of keys and of what is not ours."""

    names: Mapping[str, Name]
    stamps: Callable[[str], Mapping[int, Collection[str]]]
    """Of a payload name: stamp -> the keys that have it."""
    others: Callable[[str], Collection[str]]
    """Of a payload name: what else is in its folder; folders with a ``/`` behind their names."""
    unsettled: Mapping[str, Collection[str]]
    """Payload name -> keys that are looked at each time."""


class Changes(NamedTuple):
    """What is new below one payload name: its stamp, entries, and which keys and what else are gone."""

    payload_name: str
    name: Name | None
    entries: Iterable[Fields]
    gone: Collection[str]
    lost: Collection[str]


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
    before = _time_of(root)
    keeps_times = not file_system(Path(root)).startswith(_WITHOUT_TIMES)
    try:
        # That it has just gone, with all that was in it, is fine.
        with contextlib.suppress(FileNotFoundError), os.scandir(root) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise StoreError(
            f"Cannot read the folder {root}: {error.strerror}. Check the path, the drive and its permissions."
        ) from error
    for name in folders:
        if NAME.fullmatch(name):
            yield from _changes_in_name(store, root, name, known, keeps_times)
    for name in known.names.keys() - {*folders, ROOT}:
        yield Changes(name, None, (), _keys(known.stamps(name)), known.others(name))
    if folders or files or ROOT in known.names:
        others = [name for name in folders if not NAME.fullmatch(name)]
        yield from _changes_at_root(root, others, files, before, known)


def _changes_at_root(root: str, folders: list[str], files: list[str], before: int, known: Known) -> Iterator[Changes]:
    old = known.names.get(ROOT)
    name = _seen(before, "", old)
    if old is not None and old.stamp == before and old.settled:
        return
    entries = [foreign_entry(ROOT, f"{folder}/") for folder in folders]
    entries += files_at_root({file: _status(f"{root}/{file}") for file in files})
    lost = set(known.others(ROOT)) - {path_of_entry(entry) for entry in entries}
    yield Changes(ROOT, name, entries, (), lost)


def _changes_in_name(store: Store, root: str, name: str, known: Known, keeps_times: bool) -> Iterator[Changes]:
    folder = f"{root}/{name}"
    old = known.names.get(name)
    before, place = _time_of(folder), _place_of(folder)
    if old is not None and old == (before, old.seen, True, place) and keeps_times:
        if again := known.unsettled.get(name):
            yield Changes(name, old, _entries(store, root, name, again), (), ())
        return
    # Before the listing: what that lacks has gone since, and did not come since.
    stamps = {} if old is None else known.stamps(name)
    if old is not None and old.place != place:
        stamps = {0: _keys(stamps)}
    others = set() if old is None else set(known.others(name))
    try:
        names = os.listdir(folder)
    except OSError as error:
        entry = foreign_entry(name, f"{name}/", f"It cannot be read: {error.strerror}.")
        yield Changes(name, _seen(0, place, None), [entry], _keys(stamps), others)
        return
    known_keys, there = _keys(stamps), {*names}
    gone, new = known_keys - there, there - known_keys
    # In the order of the folder: in another one, very many are read more slowly.
    ordered = (child for child in names if child in new) if len(new) > _VERY_MANY else sorted(new)
    keys = [child for child in ordered if KEY.fullmatch(child)]
    if keys or len(gone) < len(known_keys):
        foreign = {_with_slash(folder, child) for child in new.difference(keys, LEFT_BY_FILE_MANAGERS)}
    else:  # a folder of somebody else
        foreign = {""} if names else set()
    for stamp, some in stamps.items():
        keys += _changed(folder, stamp, [key for key in some if key not in gone] if gone else some)
    strange = [foreign_entry(name, f"{name}/{child}") for child in foreign - others]
    name_seen = _seen(before, place, old)
    yield Changes(name, name_seen, chain(strange, _entries(store, root, name, keys)), gone, others - foreign)


def _keys(stamps: Mapping[int, Collection[str]]) -> set[str]:
    return set().union(*stamps.values())


def _with_slash(folder: str, child: str) -> str:
    return f"{child}/" if os.path.isdir(f"{folder}/{child}") else child


def _changed(folder: str, stamp: int, keys: Collection[str]) -> Collection[str]:
    """Return the keys whose folders have changed since this stamp was made."""
    if stamp in (0, ALWAYS) or -stamp > time.time_ns():  # it lies ahead: the clock has been set since
        return keys
    look, start, settled = os.stat, f"{folder}/", -stamp - _YOUNG
    try:
        if stamp < 0:  # when it was read
            return [key for key in keys if _time(look(start + key)) > settled]
        return [key for key in keys if _time(look(start + key)) != stamp]
    except OSError:  # one of them has just gone
        return keys


def _time(status: os.stat_result) -> int:
    """Return when a folder has changed, also where a backup or a copy has brought older times with it."""
    return status.st_ctime_ns if status.st_ctime_ns > status.st_mtime_ns else status.st_mtime_ns


def _entries(store: Store, root: str, name: str, keys: Collection[str]) -> Iterator[Fields]:
    now = time.time_ns()
    # To ask for the time of very many folders takes as long as reading two thirds of their manifests. Where one clock
    # tells all times, it is enough to know when each was read.
    exact = len(keys) < _VERY_MANY or file_system(Path(root)) in NETWORK_FILE_SYSTEMS
    stamp, folder = -now, f"{root}/{name}"
    for key in keys:
        try:
            if exact:  # first the time, and then the content: of two changes, the later one is met again
                stamp = _time(os.stat(f"{folder}/{key}"))
                stamp = stamp if stamp <= now - _YOUNG else 0
            data, modified = _read(f"{folder}/{key}/manifest.json")
        except (FileNotFoundError, NotADirectoryError):
            if os.path.isdir(f"{folder}/{key}"):
                yield from without_manifest(store, name, key)
        except OSError as error:
            yield Fields(name, ALWAYS, name, key, "corrupt", f"Its manifest cannot be read: {error.strerror}.")
        else:
            yield fields_of_manifest(name, key, data, stamp, modified)


def _read(path: str) -> tuple[bytes, float]:
    """Return the content of a file, and when it was last changed."""
    file = os.open(path, _READ)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no file", path)
        data = os.read(file, _SMALL)
        while len(data) % _SMALL == 0 and (more := os.read(file, _SMALL << 6)):
            data += more
        return data, status.st_mtime
    finally:
        os.close(file)


def _seen(stamp: int, place: str, old: Name | None) -> Name:
    """Return what is to be kept of a folder that had this time when it began to be looked through."""
    now = time.time_ns()
    seen = old.seen if old is not None and old.stamp == stamp else now
    return Name(stamp, seen, now - stamp >= _OLD or now - seen >= _YOUNG, place)


def _place_of(folder: str) -> str:
    try:
        status = os.stat(folder)
    except OSError:
        return ""
    return f"{status.st_dev}/{status.st_ino}"


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
        elif not NAME.fullmatch(name):
            foreign.setdefault(ROOT, set()).add(f"{name}/")
        elif inside and KEY.fullmatch(key):
            bare.setdefault(name, set()).add(key)
            if file == "manifest.json":
                manifests.setdefault(name, {})[key] = entry
        elif rest and rest not in LEFT_BY_FILE_MANAGERS:
            foreign.setdefault(name, set()).add(f"{name}/{key}{inside}")
    for name in foreign.keys() - bare.keys() - {ROOT}:
        foreign.setdefault(ROOT, set()).add(f"{name}/")
    now = time.time_ns()
    newest = max((entry.modified for found in manifests.values() for entry in found.values()), default=0.0)
    for name in bare.keys() | known.names.keys() - {ROOT}:
        others = [foreign_entry(name, path) for path in sorted(foreign.get(name, ()))] if name in bare else []
        found = manifests.get(name, {})
        old = {key: stamp for stamp, some in known.stamps(name).items() for key in some}
        there = {path_of_entry(other).partition("/")[2] for other in others}
        stamps = {key: _stamp_of(entry, newest) for key, entry in found.items()}
        fresh = [found[key] for key, stamp in stamps.items() if not stamp or old.get(key) != stamp]
        gone, lost = old.keys() - bare.get(name, set()), set(known.others(name)) - there
        without = sorted(bare.get(name, set()) - found.keys())
        entries = chain(others, _read_entries(store, name, fresh, newest), _allwithout_manifest(store, name, without))
        yield Changes(name, Name(0, now, True) if name in bare else None, entries, gone, lost)
    at_root = [foreign_entry(ROOT, path) for path in sorted(foreign.get(ROOT, ()))] + files_at_root(root)
    lost = set(known.others(ROOT)) - {path_of_entry(entry) for entry in at_root}
    yield Changes(ROOT, Name(0, now, True), at_root, (), lost)


def _stamp_of(entry: Entry, newest: float) -> int:
    """Return what tells whether a manifest has changed; 0 for one so young that it may, within the same second."""
    if newest - entry.modified < _YOUNG / 1e9:
        return 0
    return hash((entry.size, entry.modified)) & ((1 << 62) - 1) | 1


def _read_entries(store: Store, name: str, entries: Sequence[Entry], newest: float) -> Iterator[Fields]:
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
                    yield fields_of_manifest(name, key, data, _stamp_of(entry, newest), entry.modified)
                elif isinstance(data, FileNotFoundError):  # removed since it was listed
                    yield from without_manifest(store, name, key)
                else:
                    problem = f"Its manifest cannot be read: {printable(data, 300)}"
                    yield Fields(name, ALWAYS, name, key, "corrupt", problem, modified=entry.modified)


def _allwithout_manifest(store: Store, name: str, keys: Iterable[str]) -> Iterator[Fields]:
    for key in keys:
        yield from without_manifest(store, name, key)
