"""The frame of the command line: help, usage errors, exit statuses, closed pipes, Ctrl-C, and outputs of all kinds."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

import persistable
from persistable.cli.console import Console
from persistable.cli.frame import _COMMANDS


def test_the_version_and_the_help_are_printed(run):
    assert run("--version") == (0, f"persistable {persistable.__version__}\n", "")
    answer = run("--help")
    assert answer.status == 0
    assert answer.out == run().out  # without a command, the help says what there is
    assert all(f"    {name} " in answer.out for name in _COMMANDS)


@pytest.mark.parametrize("command", _COMMANDS)
def test_the_help_of_a_command_has_a_summary_its_options_and_examples(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert _COMMANDS[command][1][1:] in " ".join(out.split())
    assert "--json" in out
    assert f"persistable {command}" in out.partition("examples:")[2] or f" {command} " in out.partition("examples:")[2]


def test_a_misspelt_command_gets_a_suggestion(run):
    status, out, err = run("shwo", "3f9a")
    assert (status, out) == (2, "")
    assert err == "persistable: there is no command 'shwo': did you mean show? See: persistable --help\n"


def test_a_wrong_option_is_one_line_that_says_where_the_help_is(run):
    status, out, err = run("ls", "--frist")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "--frist" in err
    assert "--help" in err


def test_an_error_is_json_too_if_json_is_asked_for(run, tmp_path):
    for arguments in (["--json", "shwo"], ["diff", "abcd", "abcd", "--json", "-d", tmp_path]):
        status, out, err = run(*arguments)
        assert status == 2
        assert json.loads(out).keys() == {"error", "type"}
        assert err.startswith("persistable: ")


def paths(answer) -> list[str]:
    """What was listed: the ages of it differ from second to second."""
    assert answer.status == 0, answer.err
    return [one["path"] for one in answer.json]


def test_options_are_understood_before_and_after_the_command(run, mixed):
    before = paths(run("--json", "-d", mixed.folder, "ls"))
    assert before == paths(run("ls", "--json", "-d", mixed.folder)) == paths(run("ls", mixed.folder, "--json"))
    assert before


def test_the_store_may_be_named_by_a_variable_or_be_the_current_folder(run, mixed, monkeypatch):
    expected = paths(run("ls", mixed.folder, "--json"))
    monkeypatch.setenv("PERSISTABLE_DATA_DIR", str(mixed.folder))
    assert paths(run("ls", "--json")) == expected
    monkeypatch.delenv("PERSISTABLE_DATA_DIR")
    monkeypatch.chdir(mixed.folder)
    assert paths(run("ls", "--json")) == expected


def test_a_folder_without_artifacts_is_told_to_be_one_however_it_is_named(run, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("somebody's notes")
    named = run("ls", tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    assert run("ls") == named == run("ls", ".")
    assert (named.status, named.out) == (0, "")
    assert named.err.startswith("No artifacts in ")
    assert "1 other file or folder" in named.err
    assert "-d DIR_OR_URL" in named.err
    assert "notes.txt" in run("ls", "--state", "foreign").out
    assert run("show", "3f9a") == run("show", "3f9a", "-d", tmp_path / "empty")
    assert "there is no folder" in run("ls", "../none").err


def test_a_folder_inside_of_a_store_is_no_store_and_the_right_question_is_named(run, mixed, monkeypatch):
    key = mixed.data.key
    monkeypatch.chdir(mixed.folder.parent)
    status, out, err = run("ls", "store/data")
    assert (status, out) == (2, "")
    assert err == "persistable: store/data is that of the name data in a store: persistable -d store ls -p data\n"
    err = run("ls", f"store/data/{key}").err
    assert err.endswith(
        f"is that of the artifact data {key[:8]} in a store: persistable -d store show data/{key[:8]}\n"
    )
    monkeypatch.chdir(mixed.folder / "data")
    assert run("verify").err == run("show", key).err
    assert "this folder is that of the name data in a store: persistable -d .. ls -p data" in run("verify").err


def test_a_store_cannot_be_named_twice(run, mixed, tmp_path):
    assert "named twice" in run("ls", mixed.folder, "-d", tmp_path).err


def test_an_error_of_ours_is_one_line_unless_the_traceback_is_asked_for(run, mixed, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise KeyError("something inside")

    monkeypatch.setattr("persistable.catalog.Catalog.find", fail)
    status, _, err = run("ls", mixed.folder)
    assert status == 2
    assert err.count("\n") == 1
    assert "This should not happen" in err
    assert "Traceback" in run("ls", mixed.folder, "-v").err


def test_an_error_of_the_system_names_the_file(run, mixed, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/some/file")

    monkeypatch.setattr("persistable.catalog.Catalog.find", fail)
    assert run("ls", mixed.folder).err == "persistable: /some/file: Permission denied\n"


def test_warnings_of_the_library_are_one_line(process, mixed, tmp_path):
    code = (
        "import sys, warnings, persistable.catalog, persistable.cli as cli\n"
        "old = persistable.catalog.Catalog.find\n"
        "def find(*a, **k):\n warnings.warn('a\\x1b[31mb\\nc', UserWarning)\n return old(*a, **k)\n"
        "persistable.catalog.Catalog.find = find\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, "ls", mixed.folder], capture_output=True, text=True, check=True)
    assert done.stderr == "persistable: a\\x1b[31mb c\n"


def test_a_closed_pipe_ends_it_quietly(mixed):
    command = [sys.executable, "-m", "persistable", "ls", str(mixed.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        reader.stdout.close()
        assert reader.stderr.read() == b""
        assert reader.wait() == 141


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does")
def test_ctrl_c_ends_it_quietly(mixed):
    code = (
        "import sys, os, signal, persistable.catalog, persistable.cli as cli\n"
        "persistable.catalog.Catalog.find = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, "ls", mixed.folder], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does")
@pytest.mark.parametrize("module", ["persistable.cli.frame", "persistable.catalog", "persistable.exceptions"])
def test_ctrl_c_while_the_modules_are_imported_ends_it_quietly(mixed, module):
    code = (
        "import importlib.abc, os, signal, sys\n"
        "class Interrupt(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "from persistable.cli import main\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, "ls", mixed.folder], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--json"], ["--help"], ["tree"]])
def test_an_output_that_knows_ascii_only_is_no_crash(process, mixed, arguments):
    arguments = [*arguments, mixed.models[2].key] if arguments == ["tree"] else arguments
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    status, out, err = process(*arguments, PERSISTABLE_DATA_DIR=str(mixed.folder), **environment)
    assert (status, err) == (0, "")
    assert out.isascii()


def test_colours_are_for_those_who_want_them(process, mixed):
    def colored(*arguments: str, **environment: str) -> bool:
        return "\x1b[" in process("ls", mixed.folder, *arguments, **environment).out

    assert not colored()  # a pipe
    assert colored("--color", "always")
    assert colored(FORCE_COLOR="1")
    assert not colored(FORCE_COLOR="1", NO_COLOR="1")
    assert not colored("--color", "never", FORCE_COLOR="1")
    assert colored("--color", "always", NO_COLOR="1")  # what is said now counts more than what was said once


def test_numbers_that_json_has_no_words_for_are_marked(capsys):
    Console(json=True).json({"a": [float("nan"), 1.5], "b": float("-inf")})
    assert json.loads(capsys.readouterr().out) == {"a": [{"$float": "nan"}, 1.5], "b": {"$float": "-inf"}}


def test_the_start_imports_nothing_heavy(run_python):
    code = """if True:
        import sys
        from persistable.cli import main
        main(["--version"])
        heavy = {"logging", "sqlite3", "shutil", "tempfile", "argcomplete", "platformdirs", "persistable.catalog"}
        print(sorted(heavy & set(sys.modules)))
    """
    assert run_python(code).splitlines()[1] == "[]"
