"""Golden digests: what a value is worth in the key never changes, in any process, interpreter or library version."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROWS = HERE / "golden_rows.py"
GOLDEN: dict[str, str] = json.loads((HERE / "golden.json").read_text())
"""Digests that artifacts on disk depend on: a change here needs a new ``persistable.keys.SCHEME``."""


def digests_by(python: str, seed: str = "0") -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    made = subprocess.run(
        [python, str(ROWS)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert made.returncode == 0, made.stderr
    found: dict[str, str] = json.loads(made.stdout)
    return found


def interpreter(version: str) -> str:
    """Return an interpreter of that version, of pyenv or on the path; skip where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for python in [*sorted(pyenv.glob(f"{version}.*/bin/python")), f"python{version}"]:
        try:
            subprocess.run([python, "-c", "import venv"], capture_output=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return str(python)
    pytest.skip(f"there is no Python {version}")


def load_rows() -> Any:
    spec = importlib.util.spec_from_file_location("golden_rows", ROWS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden_rows"] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        return module.digests()
    finally:
        del sys.modules["golden_rows"]


def test_every_row_has_its_golden_digest() -> None:
    found = load_rows()
    assert found == {name: GOLDEN.get(name, "not in golden.json") for name in found}


def test_no_two_rows_have_one_digest() -> None:
    assert len(set(GOLDEN.values())) == len(GOLDEN)


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_digests_do_not_depend_on_the_hash_seed(seed: str) -> None:
    found = digests_by(sys.executable, seed)
    assert found == {name: GOLDEN[name] for name in found}


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_digests_do_not_depend_on_the_python_version(version: str) -> None:
    found = digests_by(interpreter(version))
    assert len(found) > 40
    assert found == {name: GOLDEN[name] for name in found}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "packages"),
    [
        ("3.11", ["numpy==1.26.*", "pandas==2.2.*", "pyarrow", "pydantic", "attrs"]),
        ("3.12", ["numpy==2.0.*", "pandas==2.3.*", "pyarrow"]),
        ("3.13", ["numpy", "pandas", "pyarrow"]),
    ],
)
def test_digests_do_not_depend_on_the_numpy_and_pandas_versions(
    version: str, packages: list[str], tmp_path: Path
) -> None:
    subprocess.run([interpreter(version), "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"pip cannot install {packages}: {installed.stderr[-300:]}")
    found = digests_by(str(python))
    assert any(name.startswith("pandas: ") for name in found)
    assert found == {name: GOLDEN[name] for name in found}
