"""Make the notebooks out of the example scripts, and run them.

An example is written once, as a script in the percent format (``# %%`` begins a code cell, ``# %% [markdown]`` one of
text): ``examples/NAME.py`` is reviewed, linted and run like any other code, and ``notebooks/NAME.ipynb`` is its printed
form, with outputs and figures. A notebook is never edited by hand::

    python notebooks/make_notebooks.py                       # make and execute all of them
    python notebooks/make_notebooks.py 02_eurusd             # one
    python notebooks/make_notebooks.py --check               # are they what the scripts say? (nothing is executed)
    python notebooks/make_notebooks.py --execute-only NAME   # does the committed notebook still run?

Every notebook runs in a workspace of its own, a temporary folder that looks like the repository: it holds
``example-data`` without the artifacts that somebody made there, so that a first run is a first run, and ``notebooks``,
where the kernel starts, as Jupyter's does. Whatever goes to stderr, a warning too, fails the run: a reader should not
meet it.

The result does not tell when, where or by whom it was made: no timings, fixed cell ids, no machine paths. What an
example prints of its own accord (the time, a duration) would still differ from run to run; examples do not print it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jupytext  # type: ignore[import-untyped, unused-ignore]  # it ships no annotations
import matplotlib.font_manager  # noqa: F401  # builds its font cache now; in a notebook it would tell stderr about it
import nbformat as _nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

nbformat: Any = _nbformat  # it says that it is typed, but its functions have no annotations

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
NOTEBOOKS = ROOT / "notebooks"
DATA_FOLDER = "example-data"
CELL_TIMEOUT = 900
"""Seconds that one cell may take: the searches and the fits of the examples, on a slow machine."""

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
"""The same for every notebook: Jupyter would add the version of the Python that happened to run it."""


class NotebookError(Exception):
    """A notebook cannot be made, or does not run as it should."""


def example_scripts() -> dict[str, Path]:
    """Return the examples in percent format, by name: those that have a notebook."""
    scripts = {path.stem: path for path in sorted(EXAMPLES.glob("*.py"))}
    return {name: path for name, path in scripts.items() if re.search(r"(?m)^# %%", path.read_text("utf-8"))}


def read_script(path: Path) -> NotebookNode:
    """Read an example script as a notebook without outputs.

    Parameters
    ----------
    path : Path
        A script in percent format.

    Returns
    -------
    NotebookNode
        A notebook of format 4.5. A cell's id is a digest of its type and source, so that the same script gives the same
        ids, and a change in one cell leaves those of the others alone.
    """
    script = jupytext.read(path, fmt="py:percent")
    notebook: NotebookNode = nbformat.v4.new_notebook(metadata=METADATA)
    seen: Counter[str] = Counter()
    for cell in script.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        make_cell = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.append(make_cell(cell.source, id=f"{digest}-{seen[digest]}"))
        seen[digest] += 1  # equal cells are told apart by their order
    return notebook


def read_notebook(path: Path) -> NotebookNode:
    """Read a committed notebook; raise `NotebookError` if there is none, or it is not one."""
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)
    except (OSError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise NotebookError(f"Cannot read the notebook {path.name}: {error}. Make it: {_command(path.stem)}") from error
    return notebook


def run(notebook: NotebookNode) -> None:
    """Execute a notebook in place, in a new workspace and a new kernel of this very Python.

    Parameters
    ----------
    notebook : NotebookNode
        It receives the outputs. Paths inside the workspace become relative ones.

    Raises
    ------
    NotebookError
        If a cell raises, takes longer than `CELL_TIMEOUT`, or writes to stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder).resolve() / "workspace"
        _copy_data(workspace / DATA_FOLDER)
        (workspace / NOTEBOOKS.name).mkdir()
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            coalesce_streams=True,  # else the outputs depend on when the kernel flushed
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],  # the kernel's own words (it uses local TCP) are not the notebook's
            resources={"metadata": {"path": str(workspace / NOTEBOOKS.name)}},
        )
        client.km = client.create_kernel_manager()
        # Without a folder to search, "python3" is this very Python; one that somebody registered may be another.
        client.km.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
        try:
            client.execute(env=_kernel_environment(Path(folder)))
        except CellExecutionError as error:
            raise NotebookError(f"A cell raised.\n{error}") from error
        except (TimeoutError, RuntimeError) as error:
            raise NotebookError(f"A cell took longer than {CELL_TIMEOUT} s, or the kernel died.\n{error}") from error
        notebook.metadata = nbformat.from_dict(METADATA)
        _make_paths_relative(notebook, workspace)
    for cell, output in _outputs(notebook):
        if output.output_type == "stream" and output.name == "stderr":
            raise NotebookError(f"This cell writes to stderr:\n\n{cell.source}\n\nIt says:\n\n{output.text}")


def make(name: str) -> NotebookNode:
    """Make one notebook from its script and execute it; write nothing.

    Parameters
    ----------
    name : str
        The name of the script in ``examples``, without its suffix.

    Returns
    -------
    NotebookNode
        The notebook with its outputs, ready to be committed.

    Raises
    ------
    NotebookError
        If it does not run, or an output should not be committed (`check_outputs`).
    """
    notebook = read_script(EXAMPLES / f"{name}.py")
    run(notebook)
    check_outputs(notebook)
    return notebook


def execute(path: Path) -> NotebookNode:
    """Execute a committed notebook in a workspace of its own, and leave the file alone. For tests.

    Parameters
    ----------
    path : Path
        The notebook.

    Returns
    -------
    NotebookNode
        The notebook with the new outputs.

    Raises
    ------
    NotebookError
        If it cannot be read, a cell raises or takes too long, or anything is written to stderr, warnings included.
    """
    notebook = read_notebook(path)
    run(notebook)
    return notebook


def check_outputs(notebook: NotebookNode) -> None:
    """Refuse outputs that tell of the machine or of the moment, and figures that were not kept.

    Raises
    ------
    NotebookError
        If a text output has a path or the host name of this machine or the address of an object, or if a notebook that
        uses matplotlib has no figure.
    """
    ours = {"home folder": str(Path.home()), "Python's folder": sys.prefix, "repository": str(ROOT)}
    ours |= {"temporary folder": tempfile.gettempdir(), "host name": socket.gethostname()}
    patterns = {what: re.compile(rf"(?<![\w/.-]){re.escape(text)}(?![\w-])") for what, text in ours.items()}
    patterns["address of an object"] = re.compile(r"\bat 0x[0-9a-fA-F]+")
    for cell, output in _outputs(notebook):
        for text in _texts(output):
            for what, pattern in patterns.items():
                if found := pattern.search(text):
                    raise NotebookError(
                        f"An output has the {what}, {found[0]!r}, which is another on the next machine or in the next "
                        f"run. Print something else, or nothing (a last line that ends with ';'), in this cell:\n\n"
                        f"{cell.source}"
                    )
    draws = any("matplotlib" in cell.source for cell in notebook.cells if cell.cell_type == "code")
    if draws and not any("image/png" in output.get("data", ()) for _, output in _outputs(notebook)):
        raise NotebookError(
            "The notebook uses matplotlib, and no figure was kept. Call plt.show(), and leave the backend to the "
            "environment: matplotlib.use(...) in a script turns inline figures off."
        )


def find_stale() -> list[str]:
    """Compare the committed notebooks with their scripts, without executing anything.

    Returns
    -------
    list of str
        A sentence for each notebook that is missing, differs, was not executed, or has no script any more; empty if all
        is well.
    """
    scripts = example_scripts()
    sentences = [
        f"{path.name} has no script examples/{path.stem}.py in percent format: remove it, or bring the script back."
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        if path.stem not in scripts
    ]
    for name, script in scripts.items():
        try:
            difference = _describe_difference(read_notebook(NOTEBOOKS / f"{name}.ipynb"), read_script(script))
        except NotebookError as error:
            sentences.append(str(error))
        else:
            if difference:
                sentences.append(f"{name}.ipynb is stale: {difference}. Make it anew: {_command(name)}")
    return sentences


def _describe_difference(committed: NotebookNode, expected: NotebookNode) -> str | None:
    """Say how a committed notebook differs from what its script gives, outputs aside; None if it does not."""
    for number, (old, new) in enumerate(zip(committed.cells, expected.cells, strict=False), start=1):
        if (old.cell_type, old.source) != (new.cell_type, new.source):
            first_line = new.source.partition("\n")[0]
            return f"cell {number} is not that of the script, which begins with {first_line!r}"
        if old.cell_type == "code" and old.execution_count is None and old.source.strip():
            return f"cell {number} was not executed"
        if (old.id, old.metadata) != (new.id, new.metadata):
            return f"cell {number} has another id or other metadata (was it saved in an editor?)"
    if len(committed.cells) != len(expected.cells):
        return f"it has {len(committed.cells)} cells, the script {len(expected.cells)}"
    return None if committed.metadata == expected.metadata else "its metadata differ (was it saved in an editor?)"


def _copy_data(folder: Path) -> None:
    """Copy the files of the repository's example data, not the folders: those are artifacts that somebody made."""
    folder.mkdir(parents=True)
    for path in (ROOT / DATA_FOLDER).iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def _kernel_environment(folder: Path) -> dict[str, str]:
    """Return the kernel's environment: this one, without what would make two machines differ."""
    kept = {name: value for name, value in os.environ.items() if name != "PERSISTABLE_EXAMPLE_DIR"}
    return kept | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "PERSISTABLE_INDEX_DIR": str(folder / "index"),
        "IPYTHONDIR": str(folder / "ipython"),  # no start-up files of the user's, no history in their home
        "TQDM_DISABLE": "1",  # a progress bar is on stderr, or in a widget that the next reader does not have
        "PYTHONWARNINGS": "ignore:IProgress not found",  # Optuna imports tqdm, which warns where there are no widgets
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a test run may have set Agg, which shows nothing
    }


def _make_paths_relative(notebook: NotebookNode, workspace: Path) -> None:
    """Take the workspace off the paths in the text outputs."""
    for _, output in _outputs(notebook):
        if output.output_type == "stream":
            output.text = _relative(output.text, workspace)
        for kind, value in output.get("data", {}).items():
            if kind.startswith("text/"):
                output.data[kind] = _relative(value, workspace)


def _relative(text: str, workspace: Path) -> str:
    return text.replace(f"{workspace}{os.sep}", "").replace(str(workspace), ".")


def _outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    """Yield every output with its cell."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield cell, output


def _texts(output: NotebookNode) -> Iterator[str]:
    """Yield what an output says in text: a stream, or the text forms of a displayed value."""
    if output.output_type == "stream":
        yield output.text
    yield from (value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def _command(name: str) -> str:
    return f"python notebooks/make_notebooks.py {name}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make, check or execute notebooks; return the exit status: 0 well, 1 not."""
    parser = argparse.ArgumentParser(description="Make the notebooks out of the example scripts, and run them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the notebooks to make (default: all)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--check", action="store_true", help="compare the committed notebooks with the scripts; run nothing"
    )
    mode.add_argument("--execute-only", metavar="NAME", help="execute a committed notebook; write nothing")
    options = parser.parse_args(arguments)
    if options.names and (options.check or options.execute_only):
        parser.error("--check looks at all notebooks, --execute-only at the one that follows it: pass no other names")
    if options.check:
        sentences = find_stale()
        print("\n".join(sentences) or "All notebooks are what the scripts say.")
        return 1 if sentences else 0
    scripts = example_scripts()
    names = [options.execute_only] if options.execute_only else options.names or list(scripts)
    if unknown := sorted(set(names) - set(scripts)):
        parser.error(f"no example in percent format of the name {', '.join(unknown)}; there are: {', '.join(scripts)}")
    for name in names:
        path = NOTEBOOKS / f"{name}.ipynb"
        try:
            if options.execute_only:
                execute(path)
            else:
                path.write_text(nbformat.writes(make(name)) + "\n", encoding="utf-8", newline="\n")
        except NotebookError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        print(f"{path.name}: {'runs' if options.execute_only else 'made'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
