"""What a person at a terminal sees: colours, lines that fit, questions, progress; on a pseudo-terminal."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from persistable._text import width_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no pseudo-terminals")


@pytest.fixture
def terminal():
    """Return a function that runs a command at a terminal, and returns its status, and what is on the screen."""
    import fcntl
    import pty
    import termios

    def terminal(
        *arguments: object,
        columns: int = 80,
        answer: Callable[[int], object] | None = None,
        code: str = "",
        **environment: str,
    ) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        start = ["-c", code] if code else ["-m", "persistable"]
        process = subprocess.Popen(
            [sys.executable, *start, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # how a terminal says that nobody is at its other end any more
            while select.select([ours], [], [], 60)[0] and (piece := os.read(ours, 65536)):
                seen += piece
                if answer is not None and b"[y/N] " in seen:
                    answer(ours)
                    answer = None
        try:
            status = process.wait(10)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return status, seen.decode().replace("\r\n", "\n")

    return terminal


def without_colors(text: str) -> str:
    import re

    return re.sub(r"\x1b\[\d*m", "", text)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_lines_fit_into_the_terminal(terminal, mixed, columns):
    status, screen = terminal("ls", mixed.folder, columns=columns)
    assert status == 0
    widths = [width_of(line) for line in without_colors(screen).split("\n")]
    assert max(widths) <= columns
    assert columns == 200 or "…\n" in without_colors(screen)


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", ["why", "show", "verify", "doctor", "diff"])
def test_what_is_said_is_wrapped_and_nothing_of_it_is_lost(terminal, process, mixed, command, columns):
    keys = {"verify": [], "doctor": [], "diff": [mixed.models[0].key, mixed.models[2].key]}
    arguments = [command, *keys.get(command, [mixed.models[2].key]), "-d", mixed.folder]
    _, screen = terminal(*arguments, "--color", "never", COLUMNS=str(columns))
    assert max(map(width_of, screen.split("\n"))) <= columns
    everything = process(*arguments).out
    if command in ("verify", "diff"):  # the others tell the age of something
        assert "".join(screen.split()) == "".join(everything.split())
    assert "…\n" not in screen or "…" in everything


def test_an_error_is_wrapped_and_keeps_its_lines(terminal, mixed):
    _, screen = terminal("ls", mixed.folder, "-w", "params.alpha ? 3", "--color", "never", columns=60)
    first, where, pointer, *rest = screen.split("\n")
    assert first.startswith("persistable: ")
    assert where[pointer.index("^")] == "?" or "?" in where
    assert max(map(width_of, rest)) <= 60
    assert rest[1].startswith("    ")


def test_lines_in_a_pipe_are_not_cut(process, mixed):
    assert max(map(len, process("show", mixed.models[2].key, "-d", mixed.folder, COLUMNS="40").out.split("\n"))) > 100


def test_a_terminal_has_colours_unless_it_has_none_or_nobody_wants_them(terminal, mixed):
    assert "\x1b[" in terminal("ls", mixed.folder)[1]
    assert "\x1b[" not in terminal("ls", mixed.folder, TERM="dumb")[1]
    assert "\x1b[" not in terminal("ls", mixed.folder, NO_COLOR="1")[1]
    assert "\x1b[" not in terminal("ls", mixed.folder, "--color", "never")[1]


def test_no_sequence_of_a_hostile_param_reaches_the_terminal(terminal, mixed):
    for command in (["ls"], ["show", mixed.models[2].key], ["why", mixed.models[2].key], ["tree", mixed.models[2].key]):
        _, screen = terminal(*command, "-d", mixed.folder, "--color", "never", columns=20_000)
        assert not any(letter in screen for letter in "\x1b\x07\x00\u202e\r")


def test_a_question_is_answered_with_yes_or_nothing_happens(terminal, mixed):
    key = mixed.models[0].key
    status, screen = terminal("rm", key, "-d", mixed.folder, answer=lambda at: os.write(at, b"n\n"))
    assert status == 0
    assert "Nothing was removed." in screen
    assert mixed.models[0].exists()
    status, screen = terminal("rm", key, "-d", mixed.folder, answer=lambda at: os.write(at, b"y\n"))
    assert status == 0
    assert not mixed.models[0].exists()


def test_ctrl_c_at_a_question_is_no(terminal, mixed):
    key = mixed.models[0].key

    def interrupt(at: int) -> None:
        time.sleep(0.3)  # a signal in the very moment before a system call begins is heard after it only
        os.write(at, b"\x03")

    status, screen = terminal("rm", key, "-d", mixed.folder, answer=interrupt)
    assert status == 128 + signal.SIGINT
    assert "Traceback" not in screen
    assert mixed.models[0].exists()


def test_the_progress_of_long_work_is_shown_and_taken_back(terminal):
    code = """if True:
        import time
        from persistable.cli.console import Console
        console = Console()
        with console.progress("Verifying") as progress:
            for done in range(1, 9):
                time.sleep(0.1)
                progress(done, 8)
            console.line("found something")
        console.line("done")
    """
    _, screen = terminal(code=code)
    assert "Verifying: 7 of 8 artifacts" in screen or "Verifying: 6 of 8 artifacts" in screen
    # The line in which it was shown is empty again, before another one is written there.
    assert "\r\x1b[Kfound something\ndone\n" in screen


def test_a_terminal_that_knows_ascii_only_is_no_crash(terminal, mixed):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    status, screen = terminal("tree", mixed.models[2].key, "-d", mixed.folder, **environment)
    assert status == 0
    assert screen.isascii()
