"""What many tests use."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # servers and proxy are for tests of several folders

from servers import (  # noqa: F401 - fixtures: a real server each, started once per process of pytest
    grpc_server,
    moto_server,
    openssh_server,
    postgresql_server,
    rclone_s3_server,
    rclone_sftp_server,
    redis_server,
    s3_server,
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the indices of catalogues out of the user's own cache, for doctests too."""
    folder = tempfile.TemporaryDirectory(prefix="persistable-index-")
    config.add_cleanup(folder.cleanup)
    os.environ["PERSISTABLE_INDEX_DIR"] = folder.name


@pytest.fixture
def run_python():
    """Return a function that runs Python code in a process of its own, with warnings as errors."""

    def run(code: str, *arguments: str, cwd: Path | None = None, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **environment},
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
