"""What the tests of artifacts share: a world of persistables that other processes can import, and small disks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # artifact_world is a script too, for processes of its own

import artifact_world


@pytest.fixture
def world() -> type[artifact_world.World]:
    return artifact_world.World


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB that can be filled, and remounted read-only."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs Linux, and root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0777", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, as those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="persistable-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)
        os.chmod(name, 0o755)
