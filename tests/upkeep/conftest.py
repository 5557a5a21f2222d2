"""What the tests of upkeep share: a world of persistables that other processes can import, and a folder for all."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # upkeep_world is a script too, for processes of its own


@pytest.fixture
def for_all() -> Iterator[Path]:
    """Return a folder that every user of this machine may enter; those of pytest are its user's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
