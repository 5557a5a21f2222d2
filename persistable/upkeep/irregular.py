"""What is no plain file or folder, where one should be: links to elsewhere, pipes, devices.

Whoever can write to a shared drive can put them there. To read through a link is fine, as long as it is not passed on
to others; to remove through one is to remove in somebody else's place; and to open a pipe is to wait for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from ..exceptions import StoreError
from ..keys import ArtifactKey
from ..stores import Store

__all__ = ["LARGEST_NOTE", "kind_of", "link_on_the_way", "read_note", "refuse_links"]

LARGEST_NOTE: Final = 10_000_000
"""Bytes of params.json, or of a log, up to which it is copied."""

_READ: Final = sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"))
_KINDS: Final = {
    stat.S_IFREG: "",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(status: os.stat_result) -> str:
    """Return what something is that is no regular file, in words; "" if it is one."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")


def link_on_the_way(store: Store, key: ArtifactKey) -> str | None:
    """Return the first of the folders below the root that lead to an artifact and its leases which is a link."""
    for folder in (key.payload_name, key.folder, f"{key.folder}/lease"):
        local = store.local_path(folder)
        if local is not None and (os.path.islink(local) or _is_junction(local)):
            return folder
    return None


def _is_junction(path: str) -> bool:
    """Return whether a folder of Windows is mounted from elsewhere; Python 3.11 cannot tell."""
    return bool(getattr(os.path, "isjunction", lambda _: False)(path))


def refuse_links(store: Store, key: ArtifactKey) -> None:
    """Raise StoreError if the folder of an artifact is reached through a link: it is removed where it is, if at all."""
    if (link := link_on_the_way(store, key)) is not None:
        local = store.local_path(link) or link
        raise StoreError(
            f"Nothing of {key.payload_name} {key} in {store.url} is removed: {link} is a link to elsewhere "
            f"({os.path.realpath(local)}). Remove it in the store that it leads to; or remove the link itself."
        )


def read_note(store: Store, path: str) -> bytes:
    """Return a small file that is for people, and is to be passed on: never what a link leads to, nor a huge one.

    Raises
    ------
    FileNotFoundError
        If there is none.
    OSError
        If it is no regular file, too large, or cannot be read.
    """
    local = store.local_path(path)
    if local is None:
        data = store.read(path)
        return _require_small(data, len(data))
    try:
        file = os.open(local, os.O_RDONLY | _READ)
    except OSError as error:
        if error.errno == errno.ELOOP:  # what O_NOFOLLOW says of a link
            raise OSError(errno.ELOOP, "is a link to elsewhere") from None
        raise
    with open(file, "rb") as stream:
        status = os.fstat(file)
        if os.path.islink(local):  # where there is no O_NOFOLLOW
            raise OSError(errno.ELOOP, "is a link to elsewhere")
        if kind := kind_of(status):
            raise OSError(errno.EINVAL, f"is {kind}")
        _require_small(b"", status.st_size)
        return _require_small(data := stream.read(LARGEST_NOTE + 1), len(data))


def _require_small(data: bytes, length: int) -> bytes:
    if length > LARGEST_NOTE:
        raise OSError(errno.EFBIG, f"is larger than {LARGEST_NOTE // 1_000_000} MB")
    return data
