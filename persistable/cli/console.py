"""Where all output of the command line goes: lines for people, or JSON for programs; errors beside it.

On a terminal, tables are cut to its width, other lines are wrapped to it, and both may be coloured; in a pipe they are
none of that. What the output cannot
encode is written in another way, and never a crash: ``…`` as ``~``, and any other letter as its number.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO, TypeAlias

from .._text import amount, printable, table, width_of
from ..exceptions import PersistableError

__all__ = ["ClosedOutputError", "Console", "Part", "UsageError", "first_line", "width_of_terminal"]

Part: TypeAlias = "str | tuple[str, str]"
"""A piece of a line: a text, or a style and a text."""

Piece: TypeAlias = "tuple[str | None, str]"
"""The same, when it is printable."""

_STYLES: Final = {"bold": "1", "pale": "2", "good": "32", "key": "33", "warning": "33", "bad": "31"}

_ERASE: Final = "\r\x1b[K"
"""What takes the line back that the cursor is in."""

_PLAINER: Final = str.maketrans({"…": "~", "×": "x", "–": "-", "—": "-", "·": "*"})
"""What we write ourselves, for outputs that know ASCII only; each as wide as before."""


class UsageError(PersistableError):
    """The command line asks for something that makes no sense."""


class ClosedOutputError(Exception):
    """Whoever read the output has closed it, as ``head`` does when it has seen enough."""


class Console:
    """The output of one command.

    Parameters
    ----------
    color : {"auto", "always", "never"}
        Whether to colour; "auto" asks the terminal, and the variables NO_COLOR, FORCE_COLOR and TERM.
    json : bool
        Whether the output is JSON.

    Attributes
    ----------
    width : int or None
        Columns of the terminal; None if the output is none.
    ascii : bool
        Whether the output cannot show the lines that trees are drawn with.
    """

    def __init__(self, color: str = "auto", json: bool = False) -> None:
        self.is_json = json
        self.width = width_of_terminal(sys.stdout)
        self.ascii = not _can_encode(sys.stdout, "│├└─…")
        self._is_showing = False
        self._colors = {stream: _is_colored(stream, color) for stream in (sys.stdout, sys.stderr)}

    def line(self, *parts: Part, indent: int = 4) -> None:
        """Write a line. If it is wider than the terminal, what is too much goes on below it, so far to the right.

        What is not printable in it is escaped.
        """
        self._erase()
        for pieces in _wrapped(_harmless(parts), self.width, indent):
            self._write(sys.stdout, self._colored(sys.stdout, pieces))

    def row(self, *parts: Part) -> None:
        """Write a line of a table, or of a drawing: what is wider than the terminal is cut off."""
        self._erase()
        self._write(sys.stdout, self._colored(sys.stdout, _cut(_harmless(parts), self.width)))

    def text(self, lines: object) -> None:
        """Write a text of several lines; each is wrapped, and its indent kept."""
        for line in str(lines).rstrip("\n").split("\n"):
            self.line(line, indent=len(line) - len(line.lstrip()) + 4)

    def drawing(self, lines: object) -> None:
        """Write a text whose lines belong below each other, each cut to the width of the terminal."""
        for line in str(lines).rstrip("\n").split("\n"):
            self.row(line)

    def raw(self, text: str) -> None:
        """Write a text as it is, for other programs: no line of it is cut."""
        self._write(sys.stdout, text.rstrip("\n"))

    def json(self, value: Any) -> None:
        """Write a value as JSON; numbers that JSON has no words for as ``{"$float": "nan"}``."""
        try:
            text = json.dumps(value, indent=2, allow_nan=False)
        except ValueError:
            text = json.dumps(_without_nan(value), indent=2, allow_nan=False)
        self._write(sys.stdout, text)

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        right: Iterable[int] = (),
        styles: Sequence[str | None] = (),
    ) -> None:
        """Write an aligned table whose first column holds keys.

        Parameters
        ----------
        header, rows, right
            As of :func:`persistable._text.table`.
        styles : sequence of str or None
            Per row: the style of all of it; None if only its key is coloured.
        """
        head, *lines = table(header, rows, right)
        self.row(("pale", head))
        for number, line in enumerate(lines):
            style = styles[number] if number < len(styles) else None
            if style is not None:
                self.row((style, line))
            else:
                key, blank, rest = line.partition("  ")
                self.row(("key", key), blank + rest)

    def remark(self, text: object, style: str = "pale") -> None:
        """Write a line for people to the standard error, in whatever form the output is."""
        self._to_people([(style, str(text))])

    def error(self, text: object) -> None:
        """Write why the command has ended. A text of several lines keeps them: one may point into the one above."""
        first, *others = str(text).strip("\n").split("\n")
        self._to_people([("bad", "persistable: "), " ".join(first.split())])
        for line in others:
            self._to_people([line.rstrip()])

    def warn(self, message: object, *_: object, **__: object) -> None:
        """Write a warning, in one line; takes what ``warnings.showwarning`` takes."""
        self._to_people([("warning", "persistable: "), first_line(message)])

    def _to_people(self, parts: Iterable[Part]) -> None:
        for pieces in _wrapped(_harmless(parts), width_of_terminal(sys.stderr), 4):
            self._write(sys.stderr, self._colored(sys.stderr, pieces))

    def confirm(self, question: str) -> bool:
        """Return whether somebody at the terminal agrees.

        Raises
        ------
        UsageError
            If nobody is there to ask.
        """
        if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
            raise UsageError("nobody is at a terminal to be asked: add --yes to go on without a question")
        self._write(sys.stderr, self._colored(sys.stderr, [("bold", f"{printable(question)} [y/N] ")]), end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextmanager
    def progress(self, what: str, of: str = "artifact") -> Iterator[Callable[[int, int], None]]:
        """Show on the standard error, if that is a terminal, how far long work is.

        The value is to be called with how many are done, and how many there are in all. Lines that are written
        meanwhile take the place of what is shown.
        """
        began = shown = time.monotonic()
        is_seen = _is_terminal(sys.stderr)

        def show(done: int, total: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if is_seen and now - began > 0.5 and now - shown > 0.1:  # short work shows nothing
                shown, self._is_showing = now, True
                self._write(sys.stderr, f"{_ERASE}{printable(what)}: {done:,} of {amount(total, of)}", end="")

        try:
            yield show
        finally:
            self._erase()

    def _erase(self) -> None:
        if self._is_showing:
            self._is_showing = False
            self._write(sys.stderr, _ERASE, end="")

    def flush(self) -> None:
        """Hand on what has been written so far."""
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise ClosedOutputError from None

    def _colored(self, stream: TextIO, pieces: Sequence[Piece]) -> str:
        if not self._colors.get(stream):
            return "".join(text for _, text in pieces)
        return "".join(f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and text else text for style, text in pieces)

    def _write(self, stream: TextIO, text: str, end: str = "\n") -> None:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = text.translate(_PLAINER).encode(encoding, "backslashreplace").decode(encoding)
        try:
            stream.write(text + end)
            if stream is sys.stderr:
                stream.flush()
        except BrokenPipeError:
            raise ClosedOutputError from None


def first_line(text: object) -> str:
    """Return a text as one line."""
    return " ".join(str(text).split())


def _harmless(parts: Iterable[Part]) -> list[Piece]:
    return [(None, printable(part)) if isinstance(part, str) else (part[0], printable(part[1])) for part in parts]


def _wrapped(pieces: list[Piece], width: int | None, indent: int) -> Iterator[list[Piece]]:
    """Yield the lines that a line makes in a terminal, broken at blanks; all but the first one are indented.

    By hand: textwrap knows nothing of styles, nor of letters that take two columns.
    """
    text = "".join(part for _, part in pieces)
    if width is None or width_of(text) <= width:
        yield pieces
        return
    indent = min(indent, width // 2)
    start, margin = 0, 0
    while start < len(text):
        end = _end_of_line(text, start, max(width - margin, 2))
        yield [(None, " " * margin), *_between(pieces, start, end)]
        start, margin = end + len(text[end:]) - len(text[end:].lstrip(" ")), indent


def _end_of_line(text: str, start: int, width: int) -> int:
    """Return where the line that begins at `start` ends: at a blank, if there is one."""
    end = min(start + width, len(text))
    while width_of(text[start:end]) > width:
        end -= 1
    if end == len(text) or text[end] == " ":
        return end
    first = start + len(text[start:end]) - len(text[start:end].lstrip(" "))  # the blanks of an indent are no break
    blank = text.rfind(" ", first, end)
    return end if blank <= first else len(text[:blank].rstrip(" "))


def _between(pieces: Iterable[Piece], start: int, end: int) -> Iterator[Piece]:
    """Yield what lies between two places of a line, in its styles."""
    at = 0
    for style, text in pieces:
        if part := text[max(start - at, 0) : max(end - at, 0)]:
            yield style, part
        at += len(text)


def _cut(pieces: list[Piece], width: int | None) -> list[Piece]:
    """Return the pieces of a line; of one that is too wide only the beginning, with an ellipsis at its end."""
    if width is None or sum(width_of(text) for _, text in pieces) <= width:
        return pieces
    cut: list[Piece] = []
    left = width - 1
    for style, text in pieces:
        kept = text
        while width_of(kept) > left:
            kept = kept[: min(left, len(kept) - 1)]
        left -= width_of(kept)
        if kept != text:
            return [*cut, (style, f"{kept}…")]
        cut.append((style, text))
    return cut


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"$float": str(value)}
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # something that is written to, but no file; a file that is closed
        return False


def _is_colored(stream: TextIO, color: str) -> bool:
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    # The old console of Windows would show the codes themselves.
    is_able = os.environ.get("TERM") != "dumb" and (os.name != "nt" or "WT_SESSION" in os.environ)
    return is_able and _is_terminal(stream)


def width_of_terminal(stream: TextIO) -> int | None:
    """Return the columns of a terminal; None if `stream` is none. By hand, because shutil is slow to import."""
    if not _is_terminal(stream):
        return None
    stated = os.environ.get("COLUMNS", "")
    if stated.isdecimal() and int(stated) > 0:
        return int(stated)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
