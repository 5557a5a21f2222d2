"""What a folder lies on, as the doctor sees it: space, links, permissions, and what the drive notes down."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from .._integrity import new_token
from .._mounts import NETWORK_FILE_SYSTEMS, file_system, mount_options
from .._text import amount, duration, size
from ..exceptions import PersistableError
from ..stores import Store
from .findings import Finding

__all__ = ["fault", "of_drive", "ok", "warning"]

_LITTLE_SPACE: Final = 10**9
_LITTLE_SHARE: Final = 0.05
_MANY: Final = 20_000  # files and folders whose permissions are looked at
_NAMED: Final = 5  # of these, told one by one


def ok(path: str, what: str) -> Finding:
    """Return the finding that all is well with something."""
    return Finding(path, None, None, "ok", what, "")


def warning(path: str, problem: str, remedy: str) -> Finding:
    """Return the finding of what does harm in some cases."""
    return Finding(path, None, None, "warning", problem, remedy)


def fault(path: str, problem: str, remedy: str) -> Finding:
    """Return the finding of what cannot go on so."""
    return Finding(path, None, None, "fault", problem, remedy)


def of_drive(store: Store) -> Iterator[Finding]:
    """Yield what there is to say of the drive that a store lies on; nothing if it is no folder."""
    root = store.local_path("")
    if root is None:
        return
    kind = file_system(Path(root)) or "unknown"
    network = "network " if kind in NETWORK_FILE_SYSTEMS else ""
    yield ok(
        root, f"on a {network}file system of type {kind}; a lease without a beat counts {duration(store.time_to_live)}"
    )
    yield from _space(root)
    yield from _links(store, root)
    yield from _permissions(root)
    yield from _access_times(root)


def _space(root: str) -> Iterator[Finding]:
    if not hasattr(os, "statvfs"):  # Windows
        from shutil import disk_usage

        usage = disk_usage(root)
        free, total, free_files, files = usage.free, usage.total, 0, 0
    else:
        disk = os.statvfs(root)
        free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        free_files, files = disk.f_favail, disk.f_files
    if total and (free < _LITTLE_SPACE or free < _LITTLE_SHARE * total):
        yield warning(
            root, f"only {size(free)} of {size(total)} are free", "See `persistable du` and `persistable prune`."
        )
    else:
        yield ok(root, f"{size(free)} of {size(total)} are free")
    if files and free_files < _LITTLE_SHARE * files:
        remedy = "Each artifact takes some five files: see `persistable prune`."
        yield warning(root, f"only {free_files:,} of {files:,} files (inodes) are free", remedy)


def _links(store: Store, root: str) -> Iterator[Finding]:
    """Whether files can be linked: what `create` is built on."""
    folder = f"persistable-doctor/{''.join(new_token() for _ in range(4))}"
    one, two = f"{folder}/probe.{new_token()}", f"{folder}/probe.{new_token()}"
    try:
        store.replace(one, b"linked")
        try:
            os.link(f"{root}{one}", f"{root}{two}")
            yield ok(root, "files can be linked: a manifest appears whole")
        except OSError as error:
            remedy = (
                "Nothing to do: a reader that meets half a manifest reads it again. A disk of ext4, XFS, … is faster."
            )
            yield warning(root, f"files cannot be linked here ({error.strerror})", remedy)
    except (PersistableError, OSError):
        return  # it cannot be written, which has been said
    finally:
        for path in (one, two):
            with contextlib.suppress(PersistableError, OSError):
                store.delete(path)


def _permissions(root: str) -> Iterator[Finding]:
    mode = os.stat(root).st_mode
    if os.name == "posix" and mode & stat.S_IWGRP and not mode & stat.S_ISGID:
        remedy = (
            f"chmod g+s '{root}' and the folders in it, and a umask of 002 for all who write: then a group can share."
        )
        yield warning(root, "its group may write, but new folders do not get that group (no set-gid)", remedy)
    refused: list[tuple[str, str]] = []
    count = 0
    for path, what in islice(_refused(root), _MANY):
        count += 1
        if what:
            refused.append((path, what))
    for path, what in refused[:_NAMED]:
        yield warning(
            path, f"this user cannot {what} it", "Ask its owner for permission (chmod, chgrp), or an administrator."
        )
    if len(refused) > _NAMED:
        more = amount(len(refused) - _NAMED, "further file or folder", "further files and folders")
        yield warning(root, f"{more} cannot be read or written", "The same.")
    if not refused:
        some = f"the first {count:,} " if count == _MANY else "all "
        yield ok(root, f"{some}files and folders can be read, and the folders written")


def _refused(root: str) -> Iterator[tuple[str, str]]:
    """Yield every file and folder, and what this user cannot do with it; "" if all that is needed."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            children = sorted(os.scandir(folder), key=lambda child: child.name)
        except OSError:
            continue  # said when its own turn came
        for child in children:
            if child.is_symlink():
                continue
            if child.is_dir():
                folders.append(child.path)
                readable, writable = os.access(child.path, os.R_OK | os.X_OK), os.access(child.path, os.W_OK)
                yield child.path, "enter" if not readable else "" if writable else "write into"
            else:
                yield child.path, "" if os.access(child.path, os.R_OK) else "read"


def _access_times(root: str) -> Iterator[Finding]:
    options = mount_options(Path(root))
    if not any(options):
        return  # nobody knows
    if "noatime" in options:
        remedy = "`prune --unused-for` cannot tell there: use --older-than; or mount with relatime."
        yield warning(root, "the drive does not keep when a file was last read (noatime)", remedy)
    else:
        exact = " to a day" if "relatime" in options else ""
        yield ok(root, f"the drive keeps{exact} when a file was last read, for `prune --unused-for`")
