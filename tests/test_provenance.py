"""Who made an artifact: as far as it can be told, and never a reason to lose what was made."""

from __future__ import annotations

import datetime as dt
import os
import subprocess

import pytest

from persistable import Persistable, _provenance


class ThingP(Persistable[int, None]):
    def _generate_payload(self):
        return 1


class Lazy:
    """As a proxy that is not bound yet: whatever is asked of it raises."""

    def __getattribute__(self, name):
        raise RuntimeError(f"not bound: {name}")


def made():
    _provenance._git.cache_clear()
    return _provenance.provenance(ThingP, 1, dt.datetime(2024, 2, 3, tzinfo=dt.UTC), 0.5)


def test_what_is_told():
    generated = made()
    assert generated["at"] == "2024-02-03T00:00:00+00:00"
    assert generated["class"].endswith("test_provenance.ThingP")
    assert generated["pid"] == os.getpid()
    assert "persistable" in generated["packages"]
    assert "pytest" in generated["packages"]


def test_a_module_whose_attributes_raise_hides_itself_only(monkeypatch):
    monkeypatch.setitem(globals(), "lazy", Lazy())  # not before: pytest asks all of a test module's names
    assert {"persistable", "pytest"} <= set(made()["packages"])


@pytest.mark.parametrize(
    ("place", "name", "field"),
    [
        ("socket", "gethostname", "host"),
        ("getpass", "getuser", "user"),
        ("subprocess", "run", "git"),
        ("sys", "stdlib_module_names", "packages"),
    ],
)
def test_what_cannot_be_told_is_left_empty(monkeypatch, place, name, field):
    def fail(*args, **kwargs):
        raise FileNotFoundError("no such thing as git")

    monkeypatch.setattr(f"persistable._provenance.{place}.{name}", fail)
    if field == "user":
        monkeypatch.delattr(os, "getuid", raising=False)
        assert made()[field] == "unknown"
    else:
        assert not made()[field]


def test_an_artifact_is_made_where_the_working_directory_is_gone(tmp_path, run_python):
    code = """if True:
        import os, sys
        from persistable import Persistable, _provenance, artifacts
        import concurrent.futures.thread, socket, traceback  # Python 3.13 imports nothing where the folder is gone
        os.chdir(sys.argv[1])
        os.rmdir(sys.argv[1])
        class ThingP(Persistable[int, None]):
            def _generate_payload(self): return 1
        thing = ThingP(sys.argv[2], None)
        print(thing.load_generate(), thing.manifest.generated["git"])
    """
    (tmp_path / "gone").mkdir()
    assert run_python(code, str(tmp_path / "gone"), str(tmp_path / "artifacts")) == "1 None\n"


def test_git_that_never_answers_costs_two_seconds_at_most(monkeypatch):
    def wait(command, **options):
        assert options["timeout"] <= 2
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr("persistable._provenance.subprocess.run", wait)
    assert made()["git"] is None
