"""What the tests of studies share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def optunas_level_as_before() -> Iterator[None]:
    """Leave how much Optuna logs as it was: it belongs to the process."""
    optuna = pytest.importorskip("optuna")
    before = optuna.logging.get_verbosity()
    yield
    optuna.logging.set_verbosity(before)
