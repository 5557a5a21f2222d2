"""That every benchmark runs, in a tiny setting, and leaves nothing behind. What it measures then means nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

ALL = {
    *("import", "hit", "chain", "ladder", "chain-linear", "ladder-linear", "hit-full-store"),
    *("key-array", "key-array-cores", "key-frame", "key-frame-2d", "key-dict"),
    *("npy-load", "pickle-load", "npy-save", "npy-load-memory", "npy-save-memory"),
    *("hit-remote", "hit-fsspec", "hit-cached", "hit-offline", "npy-download"),
    *("study", "best-params"),
    *("arima-load", "one-step", "forecast-chain"),
    *("catalog-first", "catalog-refresh", "catalog-new", "catalog-find"),
    "explain-miss",
    *("cli-start", "cli-ls", "cli-ls-new"),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}, capture_output=True, text=True)


def test_every_case_runs_and_removes_its_files(tmp_path: Path) -> None:
    folder, report = tmp_path / "files", tmp_path / "report.json"
    folder.mkdir()
    done = run("--quick", "--check", "--dir", str(folder), "--json", str(report))
    assert done.returncode == 0, done.stderr
    rows = json.loads(report.read_text(encoding="utf-8"))["rows"]
    assert {row["case"] for row in rows} == ALL
    assert all(row["title"] in done.stdout for row in rows)
    assert list(folder.iterdir()) == []


def test_cases_are_chosen_by_name(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run("key-dict", "hit", "--quick", "--repeat", "2", "--json", str(report)).returncode == 0
    assert [row["case"] for row in json.loads(report.read_text(encoding="utf-8"))["rows"]] == ["key-dict", "hit"]


def test_an_unknown_case_is_refused_with_the_names_of_those_there_are() -> None:
    done = run("kye-dict")
    assert done.returncode == 2
    assert "no case is named 'kye-dict'" in done.stderr
    assert "key-dict" in done.stderr
