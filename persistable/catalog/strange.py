"""What lies in a store and is no artifact: being made, failed, left over, of persistable 1.x, or not ours at all."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from .._integrity import LEFT_BY_FILE_MANAGERS
from .._leases import Holder, holder_of
from .._text import amount, duration, printable
from ..keys import ArtifactKey
from ..stores import Store
from .fields import safe
from .records import Fields, decoded_path

__all__ = ["ALWAYS", "FOREIGN", "ROOT", "files_at_root", "foreign_entry", "path_of_entry", "without_manifest"]

ROOT: Final = ""
"""The name under which the files beside the folders of payload names are kept."""

ALWAYS: Final = -1
"""The stamp of what is looked at each time."""

FOREIGN: Final = 1
"""The stamp of what is no folder of a key, and not looked into."""

_SILENT: Final = 2.0  # times to live after which a lease is taken for one of the dead
_OF_1_X: Final = re.compile(r"(?P<name>[^/]+)\((?P<key>[0-9a-f]{32})\)(?P<suffix>(?:\.[\w-]+)+)", re.ASCII)
_FAILED: Final = re.compile(r"failed-(\d{8}T\d{6})(?:\.\d+)?Z\.log", re.ASCII)


def without_manifest(store: Store, name: str, key: str) -> Iterator[Fields]:
    """Yield what a folder without a manifest is."""
    path = f"{name}/{key}"
    entry = Fields(name, ALWAYS, name, key, "unfinished")
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
        at = _time_in(failures[-1])
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


def _time_in(name: str) -> str | None:
    """Return the time that the name of a log tells, as ISO; None if there is no such time."""
    try:
        return dt.datetime.strptime(name, "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC).isoformat()
    except ValueError:
        return None


def files_at_root(files: Mapping[str, tuple[int, float]]) -> list[Fields]:
    """Return the entries of the files beside the folders: payloads of persistable 1.x, and what is not ours."""
    found = []
    for file, (size, modified) in sorted(files.items()):
        if file in LEFT_BY_FILE_MANAGERS:
            continue
        old = _OF_1_X.fullmatch(file)
        beside = old is not None and f"{old['name']}({old['key']}).params.json" in files
        if old is None or not beside:
            found.append(foreign_entry(ROOT, file)._replace(size=size, modified=modified))
        elif old["suffix"] != ".params.json":
            problem = "persistable 1.x wrote it; what asks for it loads it."
            name = safe(old["name"])
            entry = Fields(ROOT, FOREIGN, name, old["key"], "1.x", problem, _encodable(file))
            found.append(entry._replace(size=size, modified=modified))
    return found


def foreign_entry(scope: str, path: str, problem: str = "It is not of persistable.") -> Fields:
    """Return the entry of what is not ours."""
    return Fields(scope, FOREIGN, "", "", "foreign", problem, _encodable(path))


def _encodable(path: str) -> str | bytes:
    """Return a path as a database can keep it: a file may have a name that is no text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogateescape")
    return path


def path_of_entry(entry: Fields) -> str:
    """Return where an entry is, relative to the store's root."""
    return decoded_path(entry.payload_name, entry.key, entry.path)


def _by(holder: Holder, entry: Fields) -> Fields:
    """Add what is known of a generation that has not ended well, or at all."""
    at = None if holder.since is None else safe(str(holder.since))
    return entry._replace(at=at, generated=f'"generated": {json.dumps({"host": holder.host})},')


def _sentence(text: str) -> str:
    text = safe(text)
    return text[:1].upper() + text[1:]
