"""The README's commands run as written, and print what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("optuna")

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

CHANGING = {
    r"'[^']*/cache/[^']*'": "'…'",  # a path of this machine
    r"just now|\d+ (?:ms|s|min) ago": "some time ago",
    r"[\w.-]+@[\w.-]+ in [\d.e-]+ \w+": "ann@laptop in some time",
    r"(?<= from )\S*/(\w+)\.$": r"\1.",  # the folder that it is run in
    r" {2,}": "  ",  # columns are as wide as the times in them
}
"""What is another text at each run, and what stands for it."""


def same_each_time(text: str) -> str:
    for pattern, replacement in CHANGING.items():
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def test_every_python_block_runs_and_prints_what_is_under_it(tmp_path, run_python, s3_server):
    blocks = BLOCK.findall(README.read_text())
    code, expected = [], []
    for number, (kind, text) in enumerate(blocks):
        if kind == "python":
            code.append(text)
            follows = blocks[number + 1 : number + 2]
            expected.append(follows[0][1] if follows and follows[0][0] == "text" else "")
    script = tmp_path / "readme.py"
    script.write_text("\nprint('=#=')\n".join(code))
    printed = run_python(
        f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')",
        cwd=tmp_path,
        AWS_ENDPOINT_URL=s3_server.url,
        AWS_ACCESS_KEY_ID=s3_server.key,
        AWS_SECRET_ACCESS_KEY=s3_server.secret,
        AWS_REGION=s3_server.region,
        XDG_STATE_HOME=str(tmp_path / "state"),  # where trials of a study in a bucket lie
    )
    assert same_each_time(printed).split("=#=\n") == [same_each_time(text) for text in expected]
    assert len(code) >= 8
    commands = 0
    for block in CONSOLE.findall(README.read_text()):
        for command, said in re.findall(r"^\$ persistable (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            told = run_python("from persistable.cli import main; main()", *shlex.split(command), cwd=tmp_path)
            assert same_each_time(told) == same_each_time(said), command
            commands += 1
    assert commands >= 3


def test_every_link_and_target_that_it_names_exists():
    text = README.read_text()
    for name in re.findall(r"`((?:examples|notebooks|benchmarks)/[\w./]*)`", text):
        assert (README.parent / name).exists(), name
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
