"""A payload, whether it is a file or a folder of files: its size, a copy of it, a second name for it.

A payload never changes, so that a second name is as good as a copy, takes no room, and stays when the first one goes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..._integrity import files_below

__all__ = ["copy_payload", "link_payload", "size_of"]


def size_of(path: str) -> int:
    """Return how many bytes a payload has."""
    if not os.path.isdir(path):
        return os.stat(path).st_size
    return sum(os.stat(file).st_size for _, file in files_below(path))


def copy_payload(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def link_payload(source: str, target: str) -> None:
    """Give a file, or each file of a folder, a second name; where there are no links, copy it."""
    files = list(files_below(source)) if os.path.isdir(source) else [("", source)]
    for name, file in files:
        to = Path(target, name)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, to)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(file, to)
