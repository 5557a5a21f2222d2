"""What a shell completes: commands, options, keys, names, conditions; and what it is told if nothing can be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("argcomplete")


@pytest.fixture
def completed(mixed, tmp_path):
    """Return a function that asks, as a shell does, what may come at the end of a line."""

    def completed(line: str, data_dir: object = mixed.folder) -> list[str]:
        answer = tmp_path / "answer"
        asked = {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SHELL": "bash",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
            "IFS": "\013",
            "PERSISTABLE_DATA_DIR": str(data_dir),
        }
        command = [sys.executable, "-c", "from persistable.cli import main; main()"]
        subprocess.run(command, env=os.environ | asked, check=True, timeout=60, capture_output=True)
        return [word.strip() for word in answer.read_text().split("\013")]

    return completed


def test_commands_and_options_are_completed(completed):
    assert completed("persistable sh") == ["show"]
    assert {"--payload-name", "--where", "--json"} <= set(completed("persistable ls --"))
    assert set(completed("persistable tree 3f9a --format ")) == {"text", "mermaid", "dot", "svg"}


def test_keys_are_completed_from_any_number_of_digits(completed, mixed):
    key = mixed.models[0].key
    assert key in completed("persistable show ")
    assert key in completed(f"persistable show {key[:2]}")
    assert completed(f"persistable show {key[:6]}") == [key]
    assert completed(f"persistable show model/{key[:6]}") == [f"model/{key}"]
    assert completed(f"persistable diff {key} {mixed.data.key[:8]}") == [mixed.data.key]


def test_names_and_conditions_are_completed(completed):
    assert {"data", "model"} <= set(completed("persistable ls -p "))
    assert completed("persistable ls -w params.al") == ["params.alpha"]
    assert completed("persistable ls -w metrics.r") == ["metrics.rmse"]


def test_where_nothing_can_be_read_nothing_is_completed(completed, tmp_path):
    assert completed("persistable show 0", data_dir=tmp_path / "none") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_is_told_is_printed(run, shell, tmp_path):
    status, out, _ = run("completion", shell)
    assert status == 0
    assert "persistable" in out
    if shutil.which(shell):
        (tmp_path / "script").write_text(out)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_without_argcomplete_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr("persistable.cli.completing.find_spec", lambda name: None)
    status, out, err = run("completion", "bash")
    assert (status, out) == (2, "")
    assert "pip install 'persistable[cli]'" in err
