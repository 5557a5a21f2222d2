"""The command line: ``persistable ls``, ``persistable why 3f9a``, and so on; ``persistable --help`` lists the commands.

``frame`` reads the arguments and runs one command; ``console`` is where all output goes; ``places`` opens the store
that is meant. The commands stand in modules by family, each imported when one of its commands is asked for:
``listing`` (ls), ``showing`` (show, log), ``explaining`` (why, tree, diff, outdated), ``checking`` (verify, du,
doctor), ``removing`` (prune, rm), ``moving`` (cp, report), ``completing`` (completion).

Nothing here unpickles, or loads a payload.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What is given after ``persistable``; that of this process if None.

    Returns
    -------
    int
        The exit status: 0 if all is well; 1 if the answer is no; 2 for a wrong usage, or an error; 130 after Ctrl-C;
        141 if whoever read the output has closed it.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    persistable ...
    0
    """
    try:
        from .frame import run

        return run(arguments)
    except KeyboardInterrupt:  # also while the modules are imported
        return 130
