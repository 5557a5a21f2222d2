"""The frame of the command line: reads the arguments, runs one command, and turns what goes wrong into one line.

A family of commands is a module with a dict ``COMMANDS``: name -> :class:`Command`. It is imported, and the options of
a command are defined, when that command is asked for; so that the start stays fast, however many there are.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple, NoReturn

from .. import __version__
from ..exceptions import ArtifactNotFoundError, PersistableError
from .console import ClosedOutputError, Console, UsageError, width_of_terminal

__all__ = ["Command", "parser", "run"]

FAULTS, WRONG, INTERRUPTED, CLOSED = 1, 2, 130, 141
"""Exit statuses beside 0, as shells and git use them."""

_COMMANDS: Final = {
    "ls": ("listing", "list artifacts: the newest first"),
    "show": ("showing", "show everything that is known of one artifact"),
    "log": ("showing", "print what the logger said while an artifact was made"),
    "why": ("explaining", "say why an artifact was made, and what has become of its upstreams"),
    "tree": ("explaining", "draw what an artifact was made from"),
    "diff": ("explaining", "say what differs between two artifacts"),
    "outdated": ("explaining", "list results whose upstream was made again since, with other content"),
    "verify": ("checking", "check all bytes against their digests"),
    "du": ("checking", "say what takes how much space"),
    "doctor": ("checking", "examine the place itself: permissions, clock, space, leftovers"),
    "prune": ("removing", "remove artifacts by age, size or use, and what is left over; only a plan without --delete"),
    "rm": ("removing", "remove artifacts"),
    "cp": ("moving", "copy artifacts, and what they were made from, to another place"),
    "report": ("moving", "write a page to look through all artifacts, without a server"),
    "completion": ("completing", "print what makes a shell complete commands, keys and names"),
}
"""Name -> its module, and what it does; in the order of the help."""

_DESCENDING: Final = re.compile(r"-[A-Za-z_][\w.]+")

_ABOUT = "See what a store of persistable artifacts holds, why, and whether it is whole; and clean it up."

_EPILOG = """\
The store is the folder or URL that -d names; else the one in the variable PERSISTABLE_DATA_DIR; else this folder.
KEY is a key, its first 4 digits or more, PAYLOAD_NAME/ and such digits, or a payload name that one artifact has.

Exit status: 0 fine; 1 the answer is no (faults; differences; nothing of that name, key or condition there);
2 wrong usage, or an error; 130 after Ctrl-C.

examples:
  persistable -d results ls -w 'params.n > 100'
  persistable show 3f9a
  persistable COMMAND --help
"""


class Command(NamedTuple):
    """One command.

    Attributes
    ----------
    define : callable
        Told the parser, defines the options.
    run : callable
        Told the options and the console, does the work, and returns the exit status.
    details : str
        What the help says below the options: examples, and the names that ``--json`` uses.
    asks : bool
        Whether it asks about an artifact, so that "there is none" is an answer, and no error.
    usage : str
        How it is used, where argparse says that badly.
    """

    define: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Console], int]
    details: str
    asks: bool = False
    usage: str | None = None


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with a suggestion, and which is filled when it is used."""

    command: str | None = None
    is_filled = False

    def fill(self) -> None:
        """Define the options of the command that this parser is for."""
        if self.command is None or self.is_filled:
            return
        self.is_filled = True
        command = _command(self.command)
        command.define(self)
        _define_common(self, argparse.SUPPRESS)
        self.epilog, self.usage = command.details, command.usage

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.fill()
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from difflib import get_close_matches

            near = get_close_matches(str(value), map(str, action.choices), 1)
            what = "command" if action.dest == "command" else "choice"
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(map(str, action.choices))}"
            raise argparse.ArgumentError(None, f"there is no {what} {str(value)!r}: {hint}")

    def error(self, message: str) -> NoReturn:
        stop = "" if message.endswith((".", "?")) else "."
        raise UsageError(f"{message}{stop} See: {self.prog} --help")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name; see :func:`persistable.cli.main`."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        from .completing import answer

        answer()
    given = list(sys.argv[1:] if arguments is None else arguments)
    # What is known before the arguments are understood, so that a wrong one is answered in the right form, too.
    console = Console(json="--json" in given)
    is_verbose = False
    try:
        with warnings.catch_warnings():
            warnings.showwarning = console.warn
            try:
                options = _parsed(given)
                is_verbose = options.verbose
                console = Console(options.color, options.json)
                warnings.showwarning = console.warn
                status = _command(options.command).run(options, console)
            except _Said as said:
                status = 0
                console.raw(str(said))
            except ClosedOutputError:
                raise
            except (PersistableError, OSError, ValueError) as error:
                status = _fail(console, error, is_verbose)
                if isinstance(error, ArtifactNotFoundError) and _command(options.command).asks:
                    status = FAULTS
            except Exception as error:
                status = _fail(console, error, is_verbose, unexpected=True)
            console.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except ClosedOutputError:
        # What is still to be written at the end of the process has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED


def parser(*, filled: bool = False) -> argparse.ArgumentParser:
    """Return the parser; with `filled`, with the options of all commands, as a completion needs them."""
    root = _Parser("persistable", description=_ABOUT, epilog=_EPILOG, add_help=False, formatter_class=_Help)
    root.add_argument("-h", "--help", action=_HelpAction, nargs=0, help="print this, and end")
    root.add_argument("--version", action=_VersionAction, nargs=0, help="print the version, and end")
    _define_common(root)
    commands = root.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)
    for name, (_, summary) in _COMMANDS.items():
        one = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", add_help=False, formatter_class=_Help
        )
        one.command = name
        one.add_argument("-h", "--help", action=_HelpAction, nargs=0, help="print this, and end")
        if filled:
            one.fill()
    return root


def _parsed(given: list[str]) -> argparse.Namespace:
    root = parser()
    options = root.parse_args(_joined(given))
    if options.command is None:
        raise _Said(root.format_help())
    return options


def _joined(given: list[str]) -> list[str]:
    """Return the arguments with ``-s -size`` as one: argparse would take ``-size`` for an option."""
    joined: list[str] = []
    for argument in given:
        if joined and joined[-1] in ("-s", "--sort") and _DESCENDING.fullmatch(argument):
            joined[-1] = f"--sort={argument}"
        else:
            joined.append(argument)
    return joined


def _define_common(one: argparse.ArgumentParser, default: Any = None) -> None:
    """Define what can be said before a command, and after it: there without defaults, which would undo the former."""
    group = one.add_argument_group("everywhere")
    what = "the store; else PERSISTABLE_DATA_DIR, or this folder"
    group.add_argument("-d", "--data-dir", metavar="DIR_OR_URL", default=default, help=what)
    off = default if default is argparse.SUPPRESS else False
    group.add_argument("--json", action="store_true", default=off, help="print JSON")
    color = default if default is argparse.SUPPRESS else "auto"
    group.add_argument("--color", choices=("auto", "always", "never"), default=color, help="when to colour")
    group.add_argument("-v", "--verbose", action="store_true", default=off, help="print the traceback of an error")


def _command(name: str) -> Command:
    commands: dict[str, Command] = import_module(f".{_COMMANDS[name][0]}", __package__).COMMANDS
    return commands[name]


def _fail(console: Console, error: Exception, is_verbose: bool, *, unexpected: bool = False) -> int:
    message, kind = _message(error), type(error).__name__
    if is_verbose:
        import traceback

        for line in "".join(traceback.format_exception(error)).rstrip().split("\n"):
            console.remark(line)
    elif unexpected:
        message = f"{kind}: {message}. This should not happen: with -v there is a traceback to report it with."
    if console.is_json:
        console.json({"error": message, "type": kind})
    console.error(message)
    return WRONG


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, PersistableError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return str(error).strip() or type(error).__name__


class _Said(Exception):
    """An answer that parsing alone gives: the help, the version."""


class _HelpAction(argparse.Action):
    """Answer with the help. argparse's own writes it itself, and knows nothing of outputs that are closed, or ASCII."""

    def __call__(self, one: argparse.ArgumentParser, *_: Any) -> NoReturn:
        if isinstance(one, _Parser):
            one.fill()
        raise _Said(one.format_help())


class _VersionAction(argparse.Action):
    """Answer with the version."""

    def __call__(self, *_: Any) -> NoReturn:
        raise _Said(f"persistable {__version__}")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, and no wider than is read well."""

    def __init__(self, prog: str) -> None:
        width = min(width_of_terminal(sys.stdout) or 118, 118)  # argparse would import shutil for it, which is slow
        super().__init__(prog, max_help_position=26, width=max(width, 40))
