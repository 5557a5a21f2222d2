"""Code that changed since is named, and nothing is thrown away."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from persistable import StaleCodeWarning, _source

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
def write(tmp_path, monkeypatch):
    """Return a function that writes a module and gives its ThingP, as a new process would see it."""
    count = 0

    def write(code):
        nonlocal count
        count += 1
        path = tmp_path / f"things_{count}.py"
        path.write_text(code)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
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


# ---------------------------------------------------------------------------------------------------------------------
# What counts as used


BEFORE = "class ThingP("


def with_lines(code, *lines):
    """Return CODE with lines in its module, above the class."""
    return code.replace(BEFORE, "\n".join(lines) + "\n\n" + BEFORE)


def no_warning(thing):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert thing.load() == 7


@pytest.mark.parametrize("body", ["factor", "[factor for factor in [3]][0]", "(lambda factor: factor)(3)"])
def test_a_local_variable_is_not_the_global_of_its_name(write, body):
    code = with_lines(CODE, "factor = 1").replace("# work", f"factor = 3; assert {body} == 3")
    write(code).generate()
    no_warning(write(code.replace("factor = 1", "factor = 5")))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def _generate_payload(self):", "def _generate_payload(self) -> Number:"),
        ("def helper(value):", "def helper(value: Number = None) -> int:"),
        ("# work", "n: Number"),
        ("limit = 10", "limit: int = 10"),
        ("    limit = 10", "    limit = 10\n    things_p: Number"),
        ("# work", "def inner(x: Number) -> Number: ..."),
    ],
)
def test_annotations_do_not_count_nor_what_they_name(write, before, after):
    code = CODE.replace("FACTOR = 2", "class Number:\n    digits = 3\n\nFACTOR = 2")
    if "inner" in after or "= None" in after:  # the function itself counts, of course: it was there before
        code = code.replace(before, after.replace(": Number", "").replace(" -> Number", "").replace(" -> int", ""))
        before = after.replace(": Number", "").replace(" -> Number", "").replace(" -> int", "")
    assert before in code
    write(code).generate()
    no_warning(write(code.replace(before, after)))
    no_warning(write(code.replace(before, after).replace("digits = 3", "digits = 4")))


def test_what_init_is_given_does_not_count_but_init_does(write):
    code = with_lines(CODE, "DEFAULT = 1").replace(
        "    limit = 10",
        "    limit = 10\n    def __init__(self, *a):\n        self.d = DEFAULT\n        super().__init__(*a)\n",
    )
    write(code).generate()
    no_warning(write(code.replace("DEFAULT = 1", "DEFAULT = 2")))
    with pytest.warns(StaleCodeWarning, match=r"since: ThingP\.__init__ changed\."):
        write(code.replace("self.d =", "self.e =")).load()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("things_p = None", 'things_p = ThingP("elsewhere", ThingParams(4))'),
        ("things_p = ThingParams(4)", "things_p = ThingParams(5)"),
        ('things_p = __import__("pathlib").Path.cwd() / "a"', 'things_p = __import__("pathlib").Path.cwd() / "b"'),
        ('things_p = "/home/a"', 'things_p = "/home/b"'),
        ("import time; things_p = time.time()", "import time; things_p = time.time() + 1"),
    ],
)
def test_upstreams_params_and_places_of_the_module_do_not_count(write, before, after):
    code = CODE.replace("# work", "things_p") + "\n" + before + "\n"
    write(code).generate()
    if before != "things_p = None":
        no_warning(write(code.replace(before, after)))
    else:  # from a constant to an upstream: the constant is gone
        upstream = code.replace(before, after)
        write(upstream).generate()
        no_warning(write(upstream.replace("ThingParams(4)", "ThingParams(5)")))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("used = {'a': [1, (2.5, None)], 'b': b'x'}", "used = {'a': [1, (2.5, 0)], 'b': b'x'}", "used changed"),
        ("used = 1", "used = 1.0", "used changed"),
        ("import datetime; used = datetime.timedelta(1)", "import datetime; used = datetime.timedelta(2)", "used ch"),
        ("import numpy; used = numpy.arange(3)", "import numpy; used = numpy.arange(4)", "used changed"),
        ("used = {'deep': lambda x: 1}", "used = {'deep': lambda x: 2}", "used changed"),
        ("def low(): return 1\nused = [low]", "def low(): return 2\nused = [low]", "low changed"),
        (
            "import functools\n@functools.lru_cache\ndef used(): return 1",
            "import functools\n@functools.lru_cache\ndef used(): return 2",
            "used changed",
        ),
        (
            "import functools\nused = functools.partial(deeper, 1)",
            "import functools\nused = functools.partial(deeper, 2)",
            "used changed",
        ),
        (
            "try:\n    import nothing_of_that_name\nexcept ImportError:\n    def used(): return 1",
            "try:\n    import nothing_of_that_name\nexcept ImportError:\n    def used(): return 2",
            "used changed",
        ),
        ("if True:\n    used = lambda: 1", "if True:\n    used = lambda: 2", "used changed"),
        ("class used:\n    def fit(self): return 1", "class used:\n    def fit(self): return 2", r"used\.fit changed"),
        ("class base:\n    n = 1\nclass used(base): pass", "class base:\n    n = 2\nclass used(base): pass", "base ch"),
        (
            "class Kind:\n    def m(self): return 1\nused = Kind()",
            "class Kind:\n    m = 2\nused = Kind()",
            "Kind changed",
        ),
        ("@dataclass\nclass used:\n    n: int = 1", "@dataclass\nclass used:\n    n: int = 2", "used changed"),
        (
            "@dataclass\nclass used:\n    n: int\n    def m(self): return 1",
            "@dataclass\nclass used:\n    n: int\n    k: int\n    def m(self): return 1",
            "used changed",
        ),
    ],
)
def test_what_the_methods_use_counts_wherever_it_stands(write, before, after, named):
    code = with_lines(CODE, before).replace("# work", "used")
    write(code).generate()
    no_warning(write(code + "\n# a comment"))
    with pytest.warns(StaleCodeWarning, match=rf"since: {named}"):
        write(code.replace(before, after)).load()


def test_what_only_the_body_of_the_class_uses_counts(write):
    code = with_lines(CODE, "def limits(): return 10").replace("limit = 10", "limit = limits()")
    write(code).generate()
    with pytest.warns(StaleCodeWarning, match="since: limits changed"):
        write(code.replace("return 10", "return 11")).load()


@pytest.mark.parametrize("fill", ["store[value] = 1", "store.setdefault(value, 1)"])
def test_a_store_that_the_code_fills_is_no_constant(write, fill):
    code = with_lines(CODE, "store = {}").replace('"""Help."""', fill)
    write(code).generate()
    no_warning(write(code + "\n# a comment"))


def test_two_classes_of_one_file_and_one_payload_name_are_two(write, tmp_path):
    code = CODE.replace("limit = 10", 'payload_name = "thing"')
    thing = write(code + "\n" + code[code.index(BEFORE) :].replace("ThingP(", "OtherP("))
    thing.generate()
    other = vars(sys.modules[type(thing).__module__])["OtherP"](tmp_path / "artifacts", thing.params)
    assert other.key == thing.key
    with pytest.warns(StaleCodeWarning, match=r"since: OtherP is new, .* ThingP is gone, ThingP\._generate_payload is"):
        other.load()


DECORATORS = """
import functools

def counted(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

def bare(times):
    def decorate(function):
        def _generate_payload(*args, **kwargs):
            return function(*args, **kwargs)
        return _generate_payload
    return decorate
"""


@pytest.mark.parametrize("decorator", ["@decorators.counted", "@decorators.bare(3)", "@decorators.bare(2)"])
def test_a_hook_that_another_module_decorates_is_looked_through(write, tmp_path, monkeypatch, decorator):
    (tmp_path / "decorators.py").write_text(DECORATORS)
    monkeypatch.syspath_prepend(tmp_path)
    code = with_lines(CODE, "import decorators").replace("    def _gen", f"    {decorator}\n    def _gen")
    thing = write(code)
    thing.generate()
    assert {"ThingP._generate_payload", "ThingP", "helper", "deeper", "FACTOR"} <= set(thing.manifest.code)
    assert _source.digests_of(type(thing))[0] is not None
    no_warning(write(code))
    with pytest.warns(StaleCodeWarning, match="since: deeper changed"):
        write(code.replace("FACTOR * value", "value * FACTOR")).load()


@pytest.mark.parametrize("kind", ["staticmethod", "classmethod", "property"])
def test_the_other_kinds_of_methods_are_looked_through(write, kind):
    code = CODE.replace("    def plot(self):", f"    @{kind}\n    def plot(*self):").replace('"plot"', "used()")
    code = with_lines(code, "def used(): return 1")
    write(code).generate()
    with pytest.warns(StaleCodeWarning, match="since: used changed"):
        write(code.replace("return 1\n", "return 2\n")).load()


def test_the_getter_of_a_property_counts_beside_its_setter(write):
    code = CODE.replace(
        "    def plot(self):",
        "    @property\n    def score(self): return 1\n    @score.setter\n"
        "    def score(self, value): ...\n    def plot(self):",
    )
    write(code).generate()
    with pytest.warns(StaleCodeWarning, match=r"since: ThingP\.score changed"):
        write(code.replace("return 1\n", "return 3\n")).load()


# ---------------------------------------------------------------------------------------------------------------------
# When it cannot be told


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("value) + 1", "value) + 2"),
        ("FACTOR * value", "value * FACTOR"),
        ("limit = 10", "limit = 12"),
        ("def pl", "\ndef pl"),
        ("class ThingP(", "class NewP("),
    ],
)
def test_a_file_that_was_edited_since_it_was_imported_says_nothing_of_the_code_that_runs(
    write, tmp_path, before, after
):
    thing = write(CODE)
    (tmp_path / "things_1.py").write_text(CODE.replace(before, after))
    thing.generate()
    assert thing.manifest.code == {}
    assert thing.manifest.head["code"] == [None, None]
    no_warning(write(CODE.replace(before, after).replace("class NewP", "class ThingP")))


def test_an_edit_after_generating_changes_nothing_of_what_was_recorded(write, tmp_path):
    thing = write(CODE)
    thing.generate()
    (tmp_path / "things_1.py").write_text(CODE.replace("value) + 1", "value) + 2"))
    no_warning(thing)
    with pytest.warns(StaleCodeWarning, match="since: helper changed"):
        write(CODE.replace("value) + 1", "value) + 2")).load()


LAZY = """
class Lazy:
    def __getattribute__(self, name):
        raise RuntimeError(f"not bound: {name}")
    def __call__(self): ...

lazy = Lazy()
loop = []
loop.append(loop)
"""


@pytest.mark.parametrize("use", ["lazy; loop", " + ".join(["0"] * 1500)])
def test_odd_code_and_odd_values_hinder_no_generation(write, use):
    code = with_lines(CODE, LAZY).replace("# work", use)
    thing = write(code)
    thing.generate()
    assert "helper" in thing.manifest.code
    no_warning(write(code + "\n# a comment"))
    with pytest.warns(StaleCodeWarning, match=r"since: ThingP\._generate_payload changed"):
        write(code.replace(use, f"{use}; 1")).load()


def test_a_hit_parses_nothing(write, monkeypatch):
    write(CODE).generate()
    thing = write(CODE)
    read = []
    monkeypatch.setattr("ast.parse", lambda *_: pytest.fail("parsed"))
    monkeypatch.setattr(
        "persistable._source.sources._text_of_file", lambda file, stamp: read.append(file) or Path(file).read_text()
    )
    no_warning(thing)
    assert len(set(read)) == 1
    read.clear()
    thing.reset_payload()
    no_warning(thing)
    assert read == []


# ---------------------------------------------------------------------------------------------------------------------
# Notebooks


def run_cells(*cells):
    """Run notebook cells in one kernel, and return what each prints."""
    pytest.importorskip("nbclient")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]


SCRIPT = (
    "from dataclasses import dataclass\nfrom persistable import Persistable\nFACTOR = 2\nDATA_DIR = {data_dir!r}",
    "@dataclass\nclass Estimator:\n    mean: float = 3.5",
    "def helper(value):\n    return FACTOR * value",
    "class ThingP(Persistable[int, None]):\n    def _generate_payload(self):\n        return helper(Estimator().mean)",
    "thing = ThingP(DATA_DIR, None)\nprint(thing.load_generate())",
)


def test_a_class_is_the_same_in_a_script_and_in_a_notebook(tmp_path):
    cells = [cell.format(data_dir=str(tmp_path / "artifacts")) for cell in SCRIPT]
    path = tmp_path / "script.py"
    path.write_text("\n\n".join(cells))
    run = [sys.executable, "-W", "error", str(path)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "7.0\n"
    again = "print(thing.load())"
    with_helper = cells[2].replace("FACTOR * value", "value * FACTOR")
    told = run_cells(*cells, "FACTOR = 3", again, "FACTOR = 2", again, with_helper, again)
    assert told[4] == "7.0\n"
    assert "since: FACTOR changed." in told[6]
    assert told[8] == "7.0\n"
    assert "since: helper changed." in told[10]


def test_what_a_notebook_made_a_script_finds_unchanged(tmp_path):
    cells = [cell.format(data_dir=str(tmp_path / "artifacts")) for cell in SCRIPT]
    assert run_cells(*cells)[4] == "7.0\n"
    path = tmp_path / "script.py"
    path.write_text("\n\n".join(cells))
    run = [sys.executable, "-W", "error", str(path)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "7.0\n"
    path.write_text("\n\n".join(cells).replace("mean: float = 3.5", "mean: float = 3"))
    assert "since: Estimator changed." in subprocess.run(run[:1] + run[3:], capture_output=True, text=True).stderr
