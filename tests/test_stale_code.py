"""Code that changed since is named, and nothing is thrown away."""

from __future__ import annotations

import importlib.util
import warnings

import pytest

from persistable import StaleCodeWarning

CODE = '''
"""A module."""
from dataclasses import dataclass
from persistable import Persistable, PersistableParams

FACTOR = 2

def helper(value):
    """Help."""
    return deeper(value) + 1

def deeper(value):
    return FACTOR * value

def unrelated():
    return 0

@dataclass
class ThingParams(PersistableParams):
    n: int

class ThingP(Persistable[int, ThingParams]):
    """Makes a thing."""

    limit = 10

    def _generate_payload(self):
        # work
        return helper(self.params.n)

    def plot(self):
        return "plot"
'''


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a module and gives its ThingP, as a new process would see it."""
    count = 0

    def write(code):
        nonlocal count
        count += 1
        path = tmp_path / f"things_{count}.py"
        path.write_text(code)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.ThingP(tmp_path / "artifacts", module.ThingParams(3))

    return write


@pytest.fixture(autouse=True)
def _modules(monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("return helper(self.params.n)", "return helper(self.params.n + 0)", r"ThingP\._generate_payload changed"),
        ('return "plot"', 'return "other plot"', r"ThingP\.plot changed"),
        ("limit = 10", "limit = 11", "ThingP changed"),
        ("deeper(value) + 1", "deeper(value) + 2", "helper changed"),
        ("return FACTOR * value", "return value * FACTOR", "deeper changed"),
        ("FACTOR = 2", "FACTOR = 3", "FACTOR changed"),
        ("def plot", "def picture", r"ThingP\.picture is new, ThingP\.plot is gone"),
    ],
)
def test_what_changed_is_named_with_the_two_ways_out(write, before, after, named):
    write(CODE).generate()
    assert before in CODE
    changed = write(CODE.replace(before, after))
    with pytest.warns(StaleCodeWarning, match=rf"has changed since: {named}\..*`version`.*generate\(\)") as caught:
        assert changed.load_generate() == 7
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# work", "# hard work, on a longer line"),
        ('"""Makes a thing."""', '"""Makes a thing, and says so."""'),
        ('"""Help."""', ""),
        ("helper(self.params.n)", "helper(\n            self.params.n,\n        )"),
        ("return 0", "return 1"),
        ("    n: int\n", "    n: int\n    # a comment\n"),
        ('"plot"', "'plot'"),
    ],
)
def test_comments_docstrings_formatting_and_unrelated_code_do_not_count(write, before, after):
    write(CODE).generate()
    assert before in CODE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert write(CODE.replace(before, after)).load_generate() == 7


def test_generating_anew_or_a_new_version_ends_the_warning(write):
    write(CODE).generate()
    changed = CODE.replace("limit = 10", "limit = 11")
    write(changed).generate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(changed).load_generate()
        assert not write(CODE.replace("limit = 10", 'version = "2"')).exists()


def test_a_params_class_that_grows_does_not_make_its_artifacts_stale(write):
    write(CODE).generate()
    grown = CODE.replace("    n: int\n", "    n: int\n    scale: float = added(default=1.0)\n")
    grown = grown.replace("PersistableParams\n\nFACTOR", "PersistableParams, added\n\nFACTOR")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert write(grown).load() == 7


def test_a_base_class_of_the_users_counts(write):
    based = CODE.replace(
        "class ThingP(Persistable[int, ThingParams]):",
        "class BaseP(Persistable[int, ThingParams]):\n    def score(self):\n        return 1\n\nclass ThingP(BaseP):",
    )
    write(based).generate()
    with pytest.warns(StaleCodeWarning, match=r"BaseP\.score changed"):
        write(based.replace("return 1", "return 2")).load()


def test_without_source_nothing_is_said(tmp_path, run_python):
    code = """if True:
        import sys
        from persistable import Persistable
        exec(compile('''
class ThingP(Persistable[int, None]):
    def _generate_payload(self): return %d
''', "<nowhere>", "exec"))
        print(ThingP(sys.argv[1], None).load_generate())
    """
    assert run_python(code % 1, str(tmp_path)) == "1\n"
    assert run_python(code % 2, str(tmp_path)) == "1\n"


def test_a_notebook_cell_is_known_by_its_source(tmp_path):
    pytest.importorskip("nbclient")
    import nbformat
    from nbclient import NotebookClient

    define = (
        "from persistable import Persistable\n"
        "class ThingP(Persistable[int, None]):\n"
        "    def _generate_payload(self): return {}\n"
        f"thing = ThingP({str(tmp_path / 'artifacts')!r}, None)\n"
        "print(thing.load_generate(), sorted(thing.manifest.code))"
    )
    cells = [nbformat.v4.new_code_cell(define.format(value)) for value in (1, 2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    first, second = ("".join(output.text for output in cell.outputs) for cell in notebook.cells)
    assert "1 ['ThingP', 'ThingP._generate_payload']" in first
    assert "StaleCodeWarning" in second
    assert "ThingP._generate_payload changed" in second
