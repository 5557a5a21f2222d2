"""What many tests use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


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
