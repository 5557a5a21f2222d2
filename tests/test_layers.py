"""The house: imports run downward only, and nothing heavy is imported before it is used."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "persistable"

# From the ground up. A module imports only from floors below its own; modules of one floor do not know each other.
FLOORS = [
    {
        "exceptions",
        "_hooks",
        "_logs",
        "_mounts",
        "_processes",
        "_progress",
        "_provenance",
        "_text",
        "_threads",
        "_warn",
    },
    {"_integrity", "_canonical", "_html", "_differences"},
    {"keys"},
    {"_source", "manifest", "params", "fileio", "stores"},
    {"_payloads"},
    {"_leases", "_leftovers", "cloud"},
    {"artifacts"},
    {"catalog"},
    {"lineage"},
    {"_declared", "_guard", "_legacy", "upkeep", "report"},
    {"_persistable"},
    {"studies", "testing"},
    {"forecasting", "cli", "__init__"},
    {"__main__"},
]
LEVEL = {module: level for level, floor in enumerate(FLOORS) for module in floor}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, anywhere in it, for typing too."""
    module = ["persistable", *path.relative_to(PACKAGE).with_suffix("").parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level] if node.level else []
            names = [*base, *(node.module.split(".") if node.module else [])]
            if names[:1] == ["persistable"]:
                found |= {names[1]} if len(names) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("persistable.")}
    return {name for name in found if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward_only(path):
    room = room_of(path)
    assert room in LEVEL, f"{room} has no floor: say in this test where it stands"
    upward = {name for name in imports_of(path) - {room} if LEVEL[name] >= LEVEL[room]}
    assert not upward, f"{path.name} imports {upward}, which stand on its own floor or above it"


def test_formats_and_stores_import_only_the_base_of_their_kind():
    for folder in ("fileio", "stores"):
        for path in (PACKAGE / folder).glob("[!_]*.py"):
            siblings = {
                node.module
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
            }
            private = {name for name in siblings if name.startswith("_")}
            assert not private, f"{path} imports the insides of a sibling: {private}"


def test_importing_persistable_imports_nothing_heavy(run_python):
    code = """if True:
        import sys
        import persistable
        persistable.Persistable, persistable.LocalStore
        heavy = {"numpy", "pandas", "pyarrow", "polars", "torch", "optuna", "statsmodels", "fsspec", "pydantic", "attr"}
        print(heavy & set(sys.modules))
    """
    assert run_python(code).strip() == "set()"


def test_the_face_names_what_it_exports():
    import persistable

    assert persistable.__all__ == sorted(persistable.__all__)
    for name in persistable.__all__:
        assert getattr(persistable, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Persistible'"):
        persistable.Persistible  # noqa: B018
    assert "Persistable" in dir(persistable)
    assert sys.modules["persistable"].__version__


def test_every_public_error_is_on_the_face_and_in_the_picture_of_its_module():
    import persistable
    from persistable import exceptions

    for name in exceptions.__all__:
        assert getattr(persistable, name) is getattr(exceptions, name)
        assert name in exceptions.__doc__ or name == "PersistableWarning"
