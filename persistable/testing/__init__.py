"""Conformance kits: prove that a format or a store of your own keeps the library's promises. They need pytest."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("persistable.testing.fileio")

from .fileio import FileIOConformance  # noqa: E402 - asserts are rewritten at import

__all__ = ["FileIOConformance"]
