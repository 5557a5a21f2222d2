"""The conformance kits: at hand under one name, and without pytest until one is asked for."""

from __future__ import annotations

import pytest

import persistable.testing


def test_the_kits_are_imported_on_demand(run_python):
    code = """if True:
        import sys
        import persistable.testing, persistable.testing.faults
        print({"pytest", "hypothesis"} & set(sys.modules))
        from persistable.testing import FileIOConformance, StoreConformance, StoreMachine
        print(FileIOConformance.__module__, StoreConformance.__module__, StoreMachine.__module__)
    """
    testing = "persistable.testing"
    assert run_python(code).split("\n")[:2] == ["set()", f"{testing}.fileio {testing}.stores {testing}.stores"]


def test_the_kits_are_listed():
    for name in persistable.testing.__all__:
        assert name in dir(persistable.testing)
        assert name in persistable.testing.__doc__
        assert getattr(persistable.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'FormatConformance'"):
        persistable.testing.FormatConformance  # noqa: B018


@pytest.mark.parametrize(
    ("missing", "name"),
    [("pytest", "FileIOConformance"), ("pytest", "StoreConformance"), ("hypothesis", "StoreMachine")],
)
def test_a_missing_library_is_named_with_the_way_to_install_it(run_python, missing, name):
    code = """if True:
        import sys
        missing, name = sys.argv[1:]
        sys.modules[missing] = None
        import persistable.testing
        from persistable.exceptions import MissingDependencyError
        try:
            getattr(persistable.testing, name)
        except MissingDependencyError as error:
            print(error)
    """
    printed = run_python(code, missing, name)
    assert f"{name} needs {missing!r}" in printed
    assert "persistable[testing]" in printed
