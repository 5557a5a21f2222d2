"""What the tests of upkeep share: a world of persistables that other processes can import."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # upkeep_world is a script too, for processes of its own
