"""``persistable completion``: how a shell learns to complete commands, keys, names and conditions.

The shell calls ``persistable`` itself, with variables that argcomplete knows, and completes with what that answers.
What cannot be read completes to nothing: nobody wants an error message between two letters.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import AmbiguousKeyError, MissingDependencyError
from .console import Console
from .frame import Command, parser
from .listing import by_path
from .places import catalog_of

if TYPE_CHECKING:
    from ..catalog import Catalog

__all__ = ["COMMANDS", "answer", "conditions", "keys", "payload_names"]

_SHELLS: Final = ("bash", "zsh", "fish")
_ENOUGH: Final = 4  # digits by which a catalogue finds a key
_MANY: Final = 500  # artifacts that are looked at: more of them is no help

_DETAILS = """\
Put what it prints into the file that your shell reads when it starts:
  bash   echo 'eval "$(persistable completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(persistable completion zsh)"' >> ~/.zshrc
  fish   persistable completion fish > ~/.config/fish/completions/persistable.fish

examples:
  persistable completion bash
"""


def _define(one: argparse.ArgumentParser) -> None:
    one.add_argument("shell", choices=_SHELLS, help="for which shell")


def _run(options: argparse.Namespace, console: Console) -> int:
    _need_argcomplete()
    from argcomplete.shell_integration import shellcode

    code = shellcode(["persistable"], shell=options.shell)
    if console.is_json:
        console.json({"shell": options.shell, "code": code})
    else:
        console.raw(code)
    return 0


def answer() -> None:
    """Answer a shell that asks what may come next, and end the process."""
    if find_spec("argcomplete") is None:
        sys.exit(1)
    from argcomplete import autocomplete

    autocomplete(parser(filled=True))


def _need_argcomplete() -> None:
    if find_spec("argcomplete") is None:
        raise MissingDependencyError.of("argcomplete", extra="cli", purpose="Completion in a shell")


def keys(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Return the keys that begin with `prefix`, the newest of them if there are many; also after ``NAME/``."""

    def found(catalog: Catalog) -> Iterable[str]:
        name, slash, digits = prefix.rpartition("/")
        if len(digits) < _ENOUGH:  # else many of them are there; the newest ones are what is asked for most
            known = catalog.find(name or None, limit=_MANY).keys
            return [f"{name}{slash}{key}" for key in known if key.startswith(digits)]
        try:
            candidates = [catalog.resolve(prefix).folder]
        except AmbiguousKeyError as error:
            candidates = error.candidates
        return [one if slash else one.rpartition("/")[2] for one in candidates]

    return _completed(found, parsed_args)


def payload_names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Return the payload names in the store."""
    return _completed(lambda catalog: catalog.names(), parsed_args)


def conditions(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Return what a condition may begin with: the params and metrics of the newest artifacts."""

    def found(catalog: Catalog) -> Iterable[str]:
        newest = catalog.find(getattr(parsed_args, "payload_name", None), state="whole", limit=_MANY)
        fields = {f"params.{path}" for record in newest for path in by_path(record.params)}
        return sorted(fields | {f"metrics.{path}" for record in newest for path in by_path(record.metrics)})

    return _completed(found, parsed_args)


def _completed(found: Callable[[Catalog], Iterable[str]], options: argparse.Namespace) -> list[str]:
    """Return what was found in the store; what no terminal should show, no shell is told."""
    try:
        options.data_dir = getattr(options, "data_dir", None)
        return [one for one in found(catalog_of(options)) if one.isprintable()]
    except Exception:  # whatever it is, there is nobody to be told
        return []


COMMANDS = {"completion": Command(_define, _run, _DETAILS)}
