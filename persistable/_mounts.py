"""What a folder lies on: a disk of this machine, or a drive that is shared over a network."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["NETWORK_FILE_SYSTEMS", "file_system", "mount_options"]

NETWORK_FILE_SYSTEMS = (
    *(
        "nfs",
        "nfs4",
        "cifs",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "virtiofs",
        "lustre",
        "ceph",
        "afs",
        "gpfs",
        "beegfs",
        "orangefs",
    ),
    *(
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.goofys",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.glusterfs",
        "fuse.ceph-fuse",
        "fuse.juicefs",
    ),
)
"""The types of file systems that other machines share, as /proc/mounts names them."""


def file_system(path: Path) -> str:
    """Return the type of the file system that `path` will lie on, as /proc/mounts names it; "" if unknown."""
    return _mount_of(path)[0]


def mount_options(path: Path) -> list[str]:
    """Return the options that the file system of `path` is mounted with, as ``noatime``; none if unknown."""
    return _mount_of(path)[1].split(",")


def _mount_of(path: Path) -> tuple[str, str]:
    found, length = ("", ""), -1
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return found
    path = Path(os.path.realpath(path))
    for line in lines:
        _, mount, kind, options, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if path.is_relative_to(mount) and len(mount) >= length:
            found, length = (kind, options), len(mount)
    return found
