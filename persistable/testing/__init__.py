"""Conformance kits: prove that a format or a store of your own keeps the library's promises.

They need pytest and hypothesis (``pip install 'persistable[testing]'``), which are imported with the first kit. In a
test module::

    class TestPointsFileIO(FileIOConformance):
        fileio = PointsFileIO()
        payloads = [Points([], []), Points([1.0], [2.0])]

    class TestShelfStore(StoreConformance):
        def make_store(self, place):
            return ShelfStore(place / "shelf")

:class:`StoreConformance` also runs a :class:`StoreMachine`, which drives a store and a plain dict side by side. To run
one for longer than the kit does::

    class ShelfMachine(StoreMachine):
        def make_store(self, place):
            return ShelfStore(place / "shelf")

    TestShelfMachine = ShelfMachine.TestCase

:mod:`persistable.testing.faults` makes stores fail on purpose, and needs neither.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..exceptions import MissingDependencyError

if TYPE_CHECKING:
    from .fileio import FileIOConformance as FileIOConformance
    from .stores import StoreConformance as StoreConformance, StoreMachine as StoreMachine

_HOMES = {"FileIOConformance": "fileio", "StoreConformance": "stores", "StoreMachine": "stores"}

__all__ = ["FileIOConformance", "StoreConformance", "StoreMachine"]

if (_pytest := sys.modules.get("pytest")) is not None:  # a failing assert in a kit then shows its values
    _pytest.register_assert_rewrite(f"{__name__}.fileio", f"{__name__}.stores")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", "hypothesis"):
            raise
        raise MissingDependencyError.of(error.name, extra="testing", purpose=name) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
