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

from .console import UsageError

if TYPE_CHECKING:
    from ..catalog import Catalog

__all__ = ["add_data_dir", "add_filters", "add_key", "catalog_of", "completed_by", "data_dir_of", "split_place"]

DATA_DIR = "PERSISTABLE_DATA_DIR"
"""The environment variable that names the store."""

_KEY = re.compile(r"[0-9a-f]{32}")
_LIKE_A_KEY = re.compile(r"(?:[\w.-]+/)?[0-9a-f]{4,32}", re.ASCII)
_MANY = 1000  # folders that are looked into before a folder is taken for something else than a store


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
        completed_by(keys, parser.add_argument(name, metavar="KEY", nargs=nargs, help=help))


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
    """Return the path or URL of the store.

    Raises
    ------
    UsageError
        If none is named, and the folder that the process is in does not look like one; or if there is no such folder.
    """
    place = getattr(options, "place", None)
    if place and options.data_dir and place != options.data_dir:
        raise UsageError(f"the store is named twice: {options.data_dir} and {place}")
    named = place or options.data_dir or os.environ.get(DATA_DIR)
    if named:
        if must_exist and "://" not in named and not os.path.isdir(os.path.expanduser(named)):
            raise UsageError(f"there is no folder {named}; name the store with -d DIR_OR_URL, or by {DATA_DIR}")
        return str(named)
    if not _looks_like_a_store("."):
        raise UsageError(
            f"this folder, {os.getcwd()}, holds no artifacts; name the store with -d DIR_OR_URL, or by {DATA_DIR}"
        )
    return "."


def catalog_of(options: argparse.Namespace) -> Catalog:
    """Return the catalogue of that store."""
    data_dir = data_dir_of(options)
    from ..catalog import Catalog

    return Catalog(data_dir)


def split_place(options: argparse.Namespace) -> None:
    """Take the first of ``options.keys`` for the store, if it does not look like a key."""
    if options.keys and not _LIKE_A_KEY.fullmatch(options.keys[0]):
        options.place = options.keys.pop(0)
    for key in options.keys:
        if not _LIKE_A_KEY.fullmatch(key):
            raise UsageError(f"{key!r} is no key, and no part of one: those are 4 to 32 hexadecimal digits")


def _looks_like_a_store(folder: str) -> bool:
    """Return whether a folder holds an artifact: ``name/<32 hexadecimal digits>``, or a file of persistable 1.x."""
    with os.scandir(folder) as entries:
        return any(entry.name.endswith(").persistable") or _holds_keys(entry) for entry in islice(entries, _MANY))


def _holds_keys(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_dir():
            return False
        with os.scandir(entry.path) as children:
            return any(_KEY.fullmatch(child.name) for child in islice(children, _MANY))
    except OSError:  # not ours to read
        return False
