"""The examples run, say what they should, and make nothing twice; the notebooks are theirs, and run too."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")
pytest.importorskip("optuna")

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def run(name: str, folder: Path, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py")],
        cwd=cwd,
        env={**os.environ, "PERSISTABLE_EXAMPLE_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_points_and_outliers_print_the_numbers_of_the_design(tmp_path):
    printed = run("01_points_and_outliers", tmp_path)
    assert "first point 0.771320643266746" in printed
    assert "fitted mean 0.48534879111973994, standard deviation 0.27497659243084727" in printed
    assert "True True" in printed


def test_eurusd_is_made_once_and_found_the_second_time(tmp_path):
    first, second = run("02_eurusd", tmp_path), run("02_eurusd", tmp_path)
    assert re.findall(r"^(\w+_p) +[0-9a-f]{8} +made", first, re.MULTILINE) == [
        "rates_p",
        "features_p",
        "split_p",
        "linear_p",
        "evaluation_p",
        "picture_p",
    ]
    assert " made " not in second
    assert second.count(" found ") == 6
    naive, linear = (float(re.search(rf"{model} +([\d.]+)", first)[1]) for model in ("naive", "linear"))
    assert naive == pytest.approx(0.0051, abs=0.0001)
    assert linear == pytest.approx(naive, rel=0.01)
    assert first.split("test rows")[1] == second.split("test rows")[1]
    picture = Path(re.search(r"Picture: (.*)", first)[1])
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES[:3])
def test_an_example_finds_its_data_from_any_folder_of_the_repository(name, tmp_path):
    run(name, tmp_path / "artifacts", cwd=ROOT / "notebooks")
    assert {path.name for path in (ROOT / "notebooks").iterdir()} <= {
        *(f"{name}.ipynb" for name in NAMES),
        "make_notebooks.py",
        "__pycache__",
        ".ipynb_checkpoints",
    }
    workspace = tmp_path / "workspace"
    (workspace / "example-data").mkdir(parents=True)
    (workspace / "deep" / "er").mkdir(parents=True)
    (workspace / "example-data" / "eurusd.csv").write_bytes((ROOT / "example-data" / "eurusd.csv").read_bytes())
    environment = {key: value for key, value in os.environ.items() if key != "PERSISTABLE_EXAMPLE_DIR"}
    subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        cwd=workspace / "deep" / "er",
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
        check=True,
    )
    made = [path.name for path in (workspace / "example-data").iterdir() if path.is_dir()]
    assert made, "without PERSISTABLE_EXAMPLE_DIR, the artifacts lie beside the data"
    assert list((workspace / "deep" / "er").iterdir()) == []


def test_a_study_is_searched_once_and_what_was_chosen_stays_when_it_grows(tmp_path):
    first, second = run("03_study", tmp_path), run("03_study", tmp_path)
    artifacts = r"^(\w+_p\w*) +[0-9a-f]{8} +(\w+)"
    before, after = re.split(r"complete trials: 20 before, 40 now", first)
    upstreams = [("rates_p", "made"), ("moves_p", "made"), ("ridge_study_p", "made")]
    model = [("ridge_study_p_best", "made"), ("ridge_p", "made")]
    assert re.findall(artifacts, before, re.MULTILINE) == [*upstreams, *model]
    assert re.findall(artifacts, after, re.MULTILINE) == [("ridge_study_p_best", "found"), ("ridge_p", "found"), *model]
    assert "complete trials: 40 before, 40 now" in second
    assert " made " not in second
    assert after[after.index(" number ") :] == second[second.index(" number ") :]
    assert re.search(r"'COMPLETE': 40\b", first)
    mean, *ridges = (
        float(value) for value in re.findall(r"^(?:the mean|ridge, best).* ([\d.]+)$", first, re.MULTILINE)
    )
    assert len(ridges) == 2
    assert max(ridges) < 0.95 * mean
    picture = Path(re.search(r"Picture: (.*)", first)[1])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert Path(re.search(r"optuna-dashboard (.*)", first)[1]).is_file()


@pytest.mark.parametrize(("name", "beats"), [("04_forecast_eurusd", False), ("05_forecast_seasonal", True)])
def test_a_chain_of_forecasts_is_made_once_and_found_the_second_time(name, beats, tmp_path):
    pytest.importorskip("statsmodels")
    first, second = (run(name, tmp_path, PERSISTABLE_EXAMPLE_SHORT="1") for _ in range(2))
    artifact = r"^(\w+) +([0-9a-f]{8}) +(made|found) "
    made, found = re.findall(artifact, first, re.MULTILINE), re.findall(artifact, second, re.MULTILINE)
    assert {verb for *_, verb in made} == {"made"}
    assert [(name, key, "found") for name, key, _ in made] == found
    assert len(found) >= 15
    after = re.split(r"artifacts in .* s\n", first)[1]
    assert after == re.split(r"artifacts in .* s\n", second)[1]
    ranks = re.findall(r"^ +(\d)  (champion|challenger|candidate|baseline) ", after, re.MULTILINE)
    assert [role for _, role in ranks].count("champion") == 1
    assert (" It beats the baseline " in after) is beats
    for picture in re.findall(r"Picture: (.*)", first):
        assert Path(picture).read_bytes().startswith(b"\x89PNG")


def test_a_study_begins_with_the_rates_that_another_example_has_made(tmp_path):
    run("02_eurusd", tmp_path)
    assert re.search(r"^rates_p +[0-9a-f]{8} +found", run("03_study", tmp_path), re.MULTILINE)


def test_a_changed_series_makes_everything_behind_it_anew(tmp_path):
    """The digest of the file is a param: a new day is new artifacts, all the way down."""
    run("02_eurusd", tmp_path / "artifacts")
    workspace = tmp_path / "workspace"
    (workspace / "example-data").mkdir(parents=True)
    rates = (ROOT / "example-data" / "eurusd.csv").read_text()
    (workspace / "example-data" / "eurusd.csv").write_text(rates + "2026-11-02,1.1200\n")
    script = (ROOT / "examples" / "02_eurusd.py").read_text()
    (workspace / "eurusd.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "eurusd.py"],
        cwd=workspace,
        env={**os.environ, "PERSISTABLE_EXAMPLE_DIR": str(tmp_path / "artifacts"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.count(" made ") == 6, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_first_make_says_what_it_does_and_lets_type_checkers_see_the_package():
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--dry-run", "--always-make", ".venv/.ready"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert 0 < done.stdout.index("Setting up .venv") < done.stdout.index("-m venv .venv")
    assert "--config-settings editable_mode=compat --editable" in done.stdout, "mypy follows no import hook"


@pytest.fixture(scope="module")
def make_notebooks():
    for package in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location("make_notebooks", ROOT / "notebooks" / "make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_notebooks_are_made_from_the_examples_as_they_are(make_notebooks):
    assert make_notebooks.find_stale() == []


def test_the_committed_notebooks_tell_nothing_of_the_machine(make_notebooks):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        make_notebooks.check_outputs(make_notebooks.read_notebook(path))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(make_notebooks, name, monkeypatch):
    monkeypatch.setenv("PERSISTABLE_EXAMPLE_SHORT", "1")
    make_notebooks.execute(ROOT / "notebooks" / f"{name}.ipynb")
