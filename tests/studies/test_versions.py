"""Optuna 4.9 and 5.0 go on with each other's studies: each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

ROOT = Path(__file__).parents[2]
VERSIONS = ("4.9.0", "5.0.0")

SCRIPT = """
import json, sys
import optuna
from persistable.studies import BestParamsP, Categorical, Float, Int, StudyP, StudyParams

class ParabolaP(StudyP[StudyParams]):
    def _objective(self, trial):
        trial.report(trial.params["x"], 0)
        return trial.params["x"] ** 2 + trial.params["n"]

folder, storage, n_trials = sys.argv[1], sys.argv[2], int(sys.argv[3])
space = {"x": Float(-5, 5), "n": Int(1, 4), "kind": Categorical(["a", None, 2, 0.5, True])}
params = StudyParams(search_space=space, seed=3, enqueued=[{"x": 1.0}])
study_p = ParabolaP(folder, params, storage=storage or None)
study = study_p.load_generate(n_trials=n_trials)
trials = [[trial.number, trial.state.name, trial.params, trial.values] for trial in study.trials]
print(json.dumps([optuna.__version__, str(study_p.key), trials, BestParamsP(study_p, 4).load_generate()]))
"""


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for version in VERSIONS:
        folder = tmp_path_factory.mktemp("optuna") / version
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
        python = folder / "bin" / "python"
        needed = [f"optuna=={version}", "xxhash", "platformdirs"]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *needed], check=True, timeout=600)
        found[version] = python
    return found


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
@pytest.mark.parametrize("order", [VERSIONS, VERSIONS[::-1]], ids=" then ".join)
def test_each_goes_on_with_what_the_other_left(
    pythons: dict[str, Path], order: tuple[str, str], storage: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/trials.db" if storage == "sqlite" else ""
    (tmp_path / "study.py").write_text(SCRIPT)

    def run(version: str, n_trials: int) -> list[Any]:
        command = [str(pythons[version]), "-W", "error", str(tmp_path / "study.py"), str(tmp_path), url, str(n_trials)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found, *rest = json.loads(done.stdout)
        assert found == version
        return rest

    key, trials, best = run(order[0], 6)
    assert len(trials) == 6
    for version, n_trials in ((order[1], 12), (order[0], 16), (order[1], 16)):
        before = trials
        again, trials, choice = run(version, n_trials)
        assert again == key
        assert len(trials) == n_trials
        assert trials[: len(before)] == before
        assert choice == best
