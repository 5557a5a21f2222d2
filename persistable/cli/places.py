"""Which store a command is about, and which artifacts.

The modules of the library are imported inside the functions: a wrong option is answered before any of them is needed.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from .._text import amount
from .console import UsageError

if TYPE_CHECKING:
    from ..catalog import Catalog, Record, Selection
    from ..exceptions import PersistableError

__all__ = [
    "add_data_dir",
    "add_filters",
    "add_key",
    "catalog_of",
    "completed_by",
    "data_dir_of",
    "record_named",
    "require_name",
    "split_place",
    "unknown_name",
    "without_artifacts",
]

DATA_DIR = "PERSISTABLE_DATA_DIR"
"""The environment variable that names the store."""

_KEY = re.compile(r"[0-9a-f]{32}")
_LIKE_A_KEY = re.compile(r"(?:[\w.-]+/)?[0-9a-f]{4,32}", re.ASCII)
_NAMED = 5  # artifacts of a name, where one is to be chosen
_MANY = 1000  # entries of a folder that are looked at to find out what it is


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Let a command be told the store as an argument, too."""
    what = "the store, a folder or a URL; the same as -d"
    parser.add_argument("place", nargs="?", metavar="DATA_DIR", help=what)


def add_key(
    parser: argparse.ArgumentParser, *names: str, nargs: str | None = None, help: str = "which artifact"
) -> None:
    """Let a command be told keys."""
    from .completing import keys

    for name in names or ("key",):
        metavar = "OTHER" if name == "other" else "KEY"
        completed_by(keys, parser.add_argument(name, metavar=metavar, nargs=nargs, help=help))


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which artifacts it is about."""
    from .completing import conditions, payload_names

    name = parser.add_argument("-p", "--payload-name", metavar="NAME", help="only artifacts of that name")
    completed_by(payload_names, name)
    what = "only those of which that is true, as: params.n > 100 and metrics.rmse < 0.01"
    completed_by(conditions, parser.add_argument("-w", "--where", metavar="WHERE", help=what))


def completed_by(completer: Callable[..., Iterable[str]], argument: argparse.Action) -> None:
    """Say what completes an argument in a shell; argcomplete looks for that in an attribute."""
    vars(argument)["completer"] = completer


def data_dir_of(options: argparse.Namespace, *, must_exist: bool = True) -> str:
    """Return the path or URL of the store: the one that is named, or the folder that the process is in.

    Raises
    ------
    UsageError
        If there is no such folder, or if it is one of a store: that of a payload name, or of an artifact.
    """
    place = getattr(options, "place", None)
    if place and options.data_dir and place != options.data_dir:
        raise UsageError("the store is named twice, with -d and without; name it once")  # a URL may hold a password
    named = str(place or options.data_dir or os.environ.get(DATA_DIR) or ".")
    if "://" not in named:
        folder = os.path.expanduser(named)
        if must_exist and not os.path.isdir(folder):
            raise UsageError(f"there is no folder {named}; name the store with -d DIR_OR_URL, or by {DATA_DIR}")
        _require_root(named, os.path.abspath(folder))
    return named


def _require_root(named: str, folder: str) -> None:
    """Raise UsageError if a folder lies in a store, and is none itself."""
    above, name = os.path.split(folder)
    this = "this folder" if named == "." else named
    if _KEY.fullmatch(name) and any(os.path.exists(f"{folder}/{file}") for file in ("manifest.json", "lease")):
        store, payload_name = os.path.split(above)
        what, instead = f"the artifact {payload_name} {name[:8]}", f"show {payload_name}/{name[:8]}"
    elif os.path.isdir(folder) and _holds_artifacts(folder):
        store, what, instead = above, f"the name {name}", f"ls -p {name}"
    else:
        return
    raise UsageError(f"{this} is that of {what} in a store: persistable -d {_short(store)} {instead}")


def _holds_artifacts(folder: str) -> bool:
    """Return whether a folder holds folders of artifacts, as that of a payload name does."""
    try:
        with os.scandir(folder) as entries:
            found = (entry.path for entry in islice(entries, _MANY) if _KEY.fullmatch(entry.name))
            return any(os.path.exists(f"{path}/manifest.json") for path in found)
    except OSError:  # the command will say it
        return False


def _short(folder: str) -> str:
    """Return a path as one would type it from here."""
    try:
        relative = os.path.relpath(folder)
    except ValueError:  # on another drive
        return folder
    return relative if len(relative) < len(folder) else folder


def catalog_of(options: argparse.Namespace) -> Catalog:
    """Return the catalogue of that store."""
    data_dir = data_dir_of(options)
    from ..catalog import Catalog

    return Catalog(data_dir)


def record_named(catalog: Catalog, word: str) -> Record:
    """Return the artifact that a word names: a key, its beginning, ``NAME/`` and that; or a name that only one has.

    Raises
    ------
    UsageError
        If several have that name, or if the word names something else.
    ArtifactNotFoundError, AmbiguousKeyError
        If there is none, or if several keys begin so.
    """
    from ..exceptions import ArtifactNotFoundError

    if _LIKE_A_KEY.fullmatch(word.lower()):
        try:
            return catalog.get(word)
        except ArtifactNotFoundError:
            if not _has_name(catalog, word) and not without_artifacts(catalog):
                raise
    if (name := word.removesuffix("/")) and (found := _of_name(catalog, name)):
        if found.total == 1:
            return found[0]
        raise UsageError(
            f"{found.total:,} artifacts are of the name {name}: {', '.join(key[:8] for key in found.keys)}"
            f"{', …' if found.total > _NAMED else ''}. Name one by its key; see: persistable ls -p {name}"
        )
    raise _not_found(catalog, word)


def _of_name(catalog: Catalog, name: str) -> Selection:
    """Return the artifacts of a name; if one of them is whole, that one only."""
    whole = catalog.find(name, state="whole", limit=_NAMED)
    return whole if whole.total == 1 else catalog.find(name, limit=_NAMED)


def _not_found(catalog: Catalog, word: str) -> PersistableError:
    """Return what to raise if a word names nothing."""
    from ..exceptions import ArtifactNotFoundError

    if "://" in word or (word and os.path.isdir(os.path.expanduser(word))):
        return UsageError(f"{word} is a place, and no key. If it is the store: persistable -d {word} COMMAND KEY")
    if re.fullmatch(r"[0-9a-f]{0,3}", word.lower()):
        return UsageError(f"{word!r} is too short for a key: give 4 characters of it at least, or a payload name")
    if nothing := without_artifacts(catalog):
        return ArtifactNotFoundError(f"There is no artifact {word!r}. {nothing}")
    name, slash, _ = word.partition("/")
    problem = "" if slash and _has_name(catalog, name) else f" {unknown_name(catalog, name)}"
    return ArtifactNotFoundError(
        f"There is no artifact {word!r}.{problem} KEY is 4 of its 32 hexadecimal digits or more, or NAME/ and such "
        f"digits, or a payload name that one artifact has."
    )


def unknown_name(catalog: Catalog, name: str) -> str:
    """Return a sentence about a payload name that nothing has."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(catalog.names()), 3, 0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return f"There is no payload name {name!r} in {catalog.store.url}{hint}"


def require_name(catalog: Catalog, name: str | None) -> None:
    """Raise UsageError if nothing has the payload name that was asked for: "no faults" would mislead."""
    if name is not None and not _has_name(catalog, name):
        raise UsageError(unknown_name(catalog, name))


def without_artifacts(catalog: Catalog) -> str:
    """Return what is to be said of a place that holds no artifact; "" if it does hold one, or what may become one."""
    states = catalog.states()
    if states.keys() - {"foreign"}:
        return ""
    others = f", {amount(states['foreign'], 'other file or folder', 'other files and folders')}" if states else ""
    return f"No artifacts in {catalog.store.url}{others}. Another store is named with -d DIR_OR_URL, or by {DATA_DIR}."


def _has_name(catalog: Catalog, name: str) -> bool:
    return bool(catalog.find(name, limit=1))


def split_place(options: argparse.Namespace) -> None:
    """Take the first of ``options.keys`` for the store, if it is a place, and none was named."""
    if options.keys and not options.data_dir and not _LIKE_A_KEY.fullmatch(options.keys[0].lower()):
        first = options.keys[0]
        if "://" in first or os.path.isdir(os.path.expanduser(first)) or os.sep in first.rstrip("/"):
            options.place = options.keys.pop(0)
