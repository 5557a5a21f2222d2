"""What tests of the catalogue use: a store with every kind of entry, and an index of their own."""

from __future__ import annotations

import pytest
from mixed_store import make_mixed_store


@pytest.fixture(autouse=True)
def index_dir(tmp_path_factory, monkeypatch):
    """Return the folder in which indices are kept: none of this user's own is touched."""
    folder = tmp_path_factory.mktemp("indices")
    monkeypatch.setenv("PERSISTABLE_INDEX_DIR", str(folder))
    return folder


@pytest.fixture
def mixed(tmp_path):
    with make_mixed_store(tmp_path / "store") as store:
        yield store
