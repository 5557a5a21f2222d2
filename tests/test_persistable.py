"""The life of a payload: made once, found again, never taken for another one."""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import os
import pickle
import shutil
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import pytest

from persistable import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    CorruptArtifactWarning,
    DuplicateDependencyError,
    FolderFileIO,
    InvalidPayloadError,
    InvalidPayloadWarning,
    LocalStore,
    ManifestVersionError,
    NoPayloadError,
    ParamsChangedWarning,
    ParamsError,
    Persistable,
    PersistableParams,
    PersistableWarning,
    PersistError,
    StoreError,
    UntrackableValueError,
    UntrackedDependencyWarning,
    untracked,
)
from persistable._integrity import digest


@dataclass
class NumbersParams(PersistableParams):
    n: int
    options: dict[str, Any] = field(default_factory=dict)
    n_jobs: int = untracked(default=1)


class NumbersP(Persistable[list[int], NumbersParams]):
    made = 0

    def _generate_payload(self) -> list[int]:
        type(self).made += 1
        return list(range(self.params.n))


@dataclass
class SumParams(PersistableParams):
    scale: float = 1.0


class SumP(Persistable[float, SumParams]):
    def __init__(self, data_dir: Any, params: SumParams, *, numbers_p: NumbersP, **options: Any) -> None:
        super().__init__(data_dir, params, [numbers_p], **options)
        self.numbers_p = numbers_p

    def _generate_payload(self) -> float:
        return self.params.scale * sum(self.numbers_p.payload)


@pytest.fixture(autouse=True)
def _count_from_zero():
    NumbersP.made = 0


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------------------------------------
# Once


def test_a_payload_is_made_once_and_found_by_another_object(tmp_path):
    assert NumbersP(tmp_path, NumbersParams(3)).load_generate() == [0, 1, 2]
    assert NumbersP(tmp_path, NumbersParams(3)).load_generate() == [0, 1, 2]
    assert NumbersP(tmp_path, NumbersParams(3)).load() == [0, 1, 2]
    assert NumbersP.made == 1


def test_a_payload_comes_from_memory_the_second_time(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    first = numbers.load_generate()
    assert numbers.load_generate() is first
    assert numbers.payload is first


def test_generate_makes_it_anew_and_returns_it(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    assert numbers.generate() == [0, 1, 2]
    before = numbers.manifest
    assert numbers.generate() == [0, 1, 2]
    assert NumbersP.made == 2
    assert numbers.manifest.payload["file"] != before.payload["file"]
    assert len([name for name in files(tmp_path) if "/payload." in name]) == 1


def test_generate_without_persisting_touches_no_disk(tmp_path):
    numbers = NumbersP(tmp_path / "new", NumbersParams(3))
    assert numbers.generate(persist=False) == [0, 1, 2]
    assert not (tmp_path / "new").exists()
    assert not numbers.exists()
    numbers.persist()
    assert numbers.exists()
    assert NumbersP(tmp_path / "new", NumbersParams(3)).load() == [0, 1, 2]


def test_the_constructor_and_the_key_touch_no_disk(tmp_path):
    numbers = NumbersP(tmp_path / "new", NumbersParams(3))
    assert numbers.persist_filepath == tmp_path / "new" / "numbers_p" / numbers.key
    assert not (tmp_path / "new").exists()


def test_none_is_a_payload_like_any_other(tmp_path):
    class NothingP(Persistable[None, None]):
        made = 0

        def _generate_payload(self) -> None:
            type(self).made += 1

    nothing = NothingP(tmp_path, None)
    assert nothing.payload is None
    assert nothing.payload is None
    assert NothingP(tmp_path, None).payload is None
    assert NothingP.made == 1


def test_from_several_threads_an_object_generates_once(tmp_path):
    class SlowP(NumbersP):
        def _generate_payload(self) -> list[int]:
            time.sleep(0.05)
            return super()._generate_payload()

    slow, found = SlowP(tmp_path, NumbersParams(3)), []
    threads = [threading.Thread(target=lambda: found.append(slow.payload)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(payload is found[0] for payload in found)
    assert SlowP.made == 1


def test_upstreams_are_not_opened_on_a_hit(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(4))
    assert SumP(tmp_path, SumParams(), numbers_p=numbers).load_generate() == 6
    fresh = NumbersP(tmp_path, NumbersParams(4))
    for path in (tmp_path / "numbers_p").rglob("*.*"):
        path.unlink()
    assert SumP(tmp_path, SumParams(), numbers_p=fresh).load_generate() == 6
    assert NumbersP.made == 1


# ---------------------------------------------------------------------------------------------------------------------
# Never the wrong one


def test_params_may_change_and_the_payload_follows(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(2))
    total = SumP(tmp_path, SumParams(), numbers_p=numbers)
    assert (numbers.payload, total.payload) == ([0, 1], 1)
    before = total.key
    numbers.params.n = 4
    assert total.key != before
    assert (total.payload, numbers.payload) == (6, [0, 1, 2, 3])


def test_dependencies_may_change_and_the_payload_follows(tmp_path):
    two, four = (NumbersP(tmp_path, NumbersParams(n)) for n in (2, 4))
    total = SumP(tmp_path, SumParams(), numbers_p=two)
    assert total.payload == 1
    total.numbers_p, total.tracked_persistable_dependencies = four, [four]
    assert total.payload == 6


def test_untracked_params_do_not_matter(tmp_path):
    NumbersP(tmp_path, NumbersParams(3, n_jobs=1)).generate()
    assert NumbersP(tmp_path, NumbersParams(3, n_jobs=8)).exists()


def test_two_dependencies_of_one_name_are_refused_and_a_mapping_gives_them_roles(tmp_path):
    train, test = NumbersP(tmp_path, NumbersParams(2)), NumbersP(tmp_path, NumbersParams(3))

    class DifferenceP(Persistable[int, SumParams]):
        def _generate_payload(self) -> int:
            upstream = self.tracked_persistable_dependencies
            return len(upstream["train"].payload) - len(upstream["test"].payload)

    with pytest.raises(DuplicateDependencyError, match=r"two dependencies named 'numbers_p'.*mapping"):
        DifferenceP(tmp_path, SumParams(), [train, test])
    difference = DifferenceP(tmp_path, SumParams(), {"train": train, "test": test})
    swapped = DifferenceP(tmp_path, SumParams(), {"train": test, "test": train})
    assert (difference.payload, swapped.payload) == (-1, 1)
    assert difference.params_tree["train"] == {"n": 2, "options": {}}


def test_a_generator_of_dependencies_is_read_once(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(2))
    lazy = NumbersP(tmp_path, NumbersParams(9), (upstream for upstream in [numbers]))
    eager = NumbersP(tmp_path, NumbersParams(9), [numbers])
    assert lazy.key == lazy.key == eager.key
    assert list(lazy.tracked_persistable_dependencies) == ["numbers_p"]


def test_a_payload_name_with_dots_keeps_its_key(tmp_path):
    one = NumbersP(tmp_path, NumbersParams(1), payload_name="model.v2", payload_file_suffix=".tar.pickle")
    two = NumbersP(tmp_path, NumbersParams(2), payload_name="model.v2", payload_file_suffix=".tar.pickle")
    assert (one.load_generate(), two.load_generate()) == ([0], [0, 1])
    assert (one.load(), two.load()) == ([0], [0, 1])
    assert one.persist_filepath.parent == tmp_path / "model.v2"
    assert one.manifest.payload["file"].endswith(".tar.pickle")


def test_a_version_is_part_of_the_key(tmp_path):
    class VersionedP(NumbersP):
        version = "1"

    one = VersionedP(tmp_path, NumbersParams(2), payload_name="numbers_p")
    assert one.key != NumbersP(tmp_path, NumbersParams(2)).key
    one.generate()
    assert one.manifest.version == "1"
    with pytest.raises(ParamsError, match="version must be a str or None, got 2"):
        type("BadP", (NumbersP,), {"version": 2})


def test_params_that_change_while_the_payload_is_made_are_noticed(tmp_path):
    class PoppingP(Persistable[int, NumbersParams]):
        def _generate_payload(self) -> int:
            return self.params.options.pop("start")

    popping = PoppingP(tmp_path, NumbersParams(1, options={"start": 7}))
    with pytest.warns(ParamsChangedWarning, match=r"in memory, but not persisted.*Work on copies of params"):
        assert popping.load_generate() == 7
    assert not PoppingP(tmp_path, NumbersParams(1, options={"start": 7})).exists()
    assert not popping.exists()


def test_a_field_and_a_role_of_one_name_are_refused(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(2))
    with pytest.raises(ParamsError, match="both a parameter and a dependency named 'n'"):
        NumbersP(tmp_path, NumbersParams(2), {"n": numbers})
    NumbersP(tmp_path, NumbersParams(2), {"n_jobs": numbers})  # untracked: not in the tree


# ---------------------------------------------------------------------------------------------------------------------
# What counts as a miss


def test_load_of_a_missing_artifact_says_what_to_do(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    with pytest.raises(ArtifactNotFoundError, match=r"no artifact numbers_p .*generate\(\)") as caught:
        numbers.load()
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.key == numbers.key
    with pytest.raises(ArtifactNotFoundError):
        numbers.manifest  # noqa: B018


def test_a_file_not_found_by_the_users_own_code_is_no_miss(tmp_path):
    class ReaderP(Persistable[str, None]):
        def _generate_payload(self) -> str:
            return "made"

        def _post_load(self) -> None:
            Path("no/such/file").read_text()

    ReaderP(tmp_path, None).load_generate()
    with pytest.raises(FileNotFoundError, match="no/such/file"):
        ReaderP(tmp_path, None).load_generate()


def test_a_missing_upstream_artifact_is_no_miss_of_this_one(tmp_path):
    class StrictP(Persistable[int, SumParams]):
        made = 0

        def _generate_payload(self) -> int:
            type(self).made += 1
            return len(self.tracked_persistable_dependencies["numbers_p"].load())

    strict = StrictP(tmp_path, SumParams(), [NumbersP(tmp_path, NumbersParams(3))])
    with pytest.raises(ArtifactNotFoundError, match="numbers_p"):
        strict.load_generate()
    assert StrictP.made == 1


def test_a_payload_that_cannot_be_unpickled_any_more_is_not_thrown_away(tmp_path, run_python):
    """The bytes are the ones that were written: it is the class that is gone, and the error says so."""
    code = """if True:
        import sys
        from persistable import Persistable
        class Payload: ...
        class PayloadP(Persistable[Payload, None]):
            def _generate_payload(self): return Payload()
        PayloadP(sys.argv[1], None).generate()
    """
    run_python(code, str(tmp_path))

    class PayloadP(Persistable[Any, None]):
        def _generate_payload(self) -> Any:
            raise AssertionError("it must not be made anew")

    with pytest.raises(AttributeError, match="Payload") as caught:
        PayloadP(tmp_path, None).load_generate()
    assert "whose bytes are those that were written" in caught.value.__notes__[0]


def test_a_corrupt_artifact_is_made_again_with_a_warning(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    numbers.generate()
    payload = numbers.persist_filepath / numbers.manifest.payload["file"]
    payload.write_bytes(payload.read_bytes()[:-1])
    with pytest.raises(ArtifactCorruptError, match=payload.name):
        NumbersP(tmp_path, NumbersParams(3)).load()
    with pytest.warns(CorruptArtifactWarning, match=rf"{payload.name} has \d+ bytes.*made again") as caught:
        assert NumbersP(tmp_path, NumbersParams(3)).load_generate() == [0, 1, 2]
    assert caught[0].filename == __file__
    assert NumbersP(tmp_path, NumbersParams(3)).load() == [0, 1, 2]
    assert NumbersP.made == 2


# ---------------------------------------------------------------------------------------------------------------------
# Hooks


class HooksP(Persistable[list[str], None]):
    def _generate_payload(self, word: str = "made", **untracked_params: Any) -> list[str]:
        return [word, *untracked_params]

    def _post_generate(self, **untracked_params: Any) -> None:
        self.payload.append("generated")

    def _post_load(self, **untracked_params: Any) -> None:
        self.payload.append("loaded")


def test_hooks_run_after_generating_and_after_loading_and_see_the_payload(tmp_path):
    assert HooksP(tmp_path, None).load_generate() == ["made", "generated"]
    assert HooksP(tmp_path, None).load_generate() == ["made", "loaded"]


def test_untracked_arguments_reach_the_hooks_that_take_them(tmp_path):
    assert HooksP(tmp_path, None).load_generate(word="said", loud=True) == ["said", "loud", "generated"]
    assert NumbersP(tmp_path, NumbersParams(1)).load_generate(loud=True) == [0]


class PositiveP(NumbersP):
    least = 2

    def _validate_payload(self, payload: list[int]) -> None:
        if len(payload) < self.least:
            raise InvalidPayloadError("At least two numbers are needed.")


def test_an_invalid_payload_is_not_persisted(tmp_path):
    positive = PositiveP(tmp_path, NumbersParams(1))
    with pytest.raises(InvalidPayloadError, match="At least two"):
        positive.load_generate()
    assert not positive.exists()
    log = next(positive.persist_filepath.glob("failed-*.log")).read_text()
    assert "InvalidPayloadError: At least two" in log


def test_an_invalid_payload_is_loaded_only_with_a_warning(tmp_path, monkeypatch):
    with monkeypatch.context() as at_first:
        at_first.setattr(PositiveP, "least", 1)
        PositiveP(tmp_path, NumbersParams(1)).generate()
    positive = PositiveP(tmp_path, NumbersParams(1))
    with pytest.raises(InvalidPayloadError):
        positive.load()
    with pytest.raises(NoPayloadError):
        positive.validate_payload()
    with pytest.warns(InvalidPayloadWarning, match="At least two"):
        assert positive.load(warn_if_validation_fails=True) == [0]


def test_validate_payload_takes_a_payload_or_the_one_in_memory(tmp_path):
    positive = PositiveP(tmp_path, NumbersParams(5))
    with pytest.raises(NoPayloadError, match=r"load_generate\(\) first"):
        positive.validate_payload()
    with pytest.raises(InvalidPayloadError):
        positive.validate_payload([1])
    positive.load_generate()
    positive.validate_payload()


def test_metrics_and_tags_of_a_generation_are_in_the_manifest(tmp_path):
    class FitP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            self.metrics["rmse"] = 0.25
            self.metrics["folds"] = {"first": 1, "second": 2.5}
            self.tags.append("baseline")
            return 1

    FitP(tmp_path, None).generate()
    manifest = FitP(tmp_path, None).manifest
    assert manifest.metrics == {"rmse": 0.25, "folds": {"first": 1, "second": 2.5}}
    assert manifest.tags == ["baseline"]
    found = FitP(tmp_path, None)
    found.load_generate()
    assert (found.metrics["rmse"], found.tags) == (0.25, ["baseline"])


def test_metrics_of_numpy_numbers_are_numbers_in_the_manifest(tmp_path):
    numpy = pytest.importorskip("numpy")

    class FitP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            self.metrics["rmse"] = numpy.float32(0.25)
            self.metrics["rows"] = numpy.int64(3)
            self.metrics["worst"] = float("nan")
            return 1

    fit = FitP(tmp_path, None)
    fit.generate()
    metrics = FitP(tmp_path, None).metrics
    assert repr(metrics) == repr({"rmse": 0.25, "rows": 3, "worst": math.nan})
    assert "NaN" not in (fit.persist_filepath / "manifest.json").read_text()


def test_asking_for_ones_own_payload_while_it_is_made_is_an_error(tmp_path):
    class SnakeP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            return self.payload

    with pytest.raises(NoPayloadError, match="its own payload while"):
        SnakeP(tmp_path, None).load_generate()


def test_a_subclass_without_a_generate_hook_says_so(tmp_path):
    class EmptyP(Persistable[int, None]):
        pass

    with pytest.raises(NotImplementedError, match=r"EmptyP .*_generate_payload"):
        EmptyP(tmp_path, None).load_generate()


def test_the_users_exception_is_unchanged_and_its_traceback_kept(tmp_path):
    class FailingP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            self.logger.info("About to divide.")
            return 1 // 0

    failing = FailingP(tmp_path, None)
    with pytest.raises(ZeroDivisionError) as caught:
        failing.load_generate()
    assert caught.value.__cause__ is None
    assert not failing.exists()
    log = next(failing.persist_filepath.glob("failed-*.log")).read_text()
    assert "About to divide." in log
    assert "ZeroDivisionError" in log


def test_interrupting_a_generation_leaves_nothing_a_reader_could_meet(tmp_path):
    class InterruptedP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InterruptedP(tmp_path, None).load_generate()
    assert files(tmp_path) == set()


# ---------------------------------------------------------------------------------------------------------------------
# Memory and persisting


def test_a_payload_that_cannot_be_written_stays_in_memory(tmp_path):
    class LambdaP(Persistable[Any, None]):
        def _generate_payload(self) -> Any:
            return lambda: 7

    unpicklable = LambdaP(tmp_path, None)
    with pytest.raises(PersistError, match=r"PickleFileIO.*still in memory.*payload_io=.*persist\(\)") as caught:
        unpicklable.load_generate()
    assert isinstance(caught.value, OSError)
    assert caught.value.__cause__ is not None
    assert unpicklable.payload() == 7
    assert not unpicklable.exists()
    assert not [name for name in files(tmp_path) if "payload." in name]


def test_a_folder_that_a_tool_wrote_is_the_stored_one_from_then_on(tmp_path):
    class FolderP(Persistable[Path, None]):
        def _generate_payload(self) -> Path:
            (tmp_path / "work").mkdir()
            (tmp_path / "work" / "mesh.txt").write_text("nodes")
            return tmp_path / "work"

    folder = FolderP(tmp_path / "artifacts", None, payload_io=FolderFileIO())
    made = folder.load_generate()
    shutil.rmtree(tmp_path / "work")
    assert (made / "mesh.txt").read_text() == "nodes"
    assert folder.payload == made == FolderP(tmp_path / "artifacts", None, payload_io=FolderFileIO()).load()
    folder.generate()
    assert (folder.payload / "mesh.txt").read_text() == "nodes"
    assert not made.exists()
    folder.persist()
    assert (folder.payload / "mesh.txt").read_text() == "nodes"


def test_persist_needs_a_payload_of_these_params(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    with pytest.raises(NoPayloadError):
        numbers.persist()
    numbers.load_generate()
    numbers.params.n = 4
    with pytest.raises(NoPayloadError, match="have changed since"):
        numbers.persist()


def test_persisting_what_was_loaded_keeps_its_record(tmp_path):
    NumbersP(tmp_path, NumbersParams(3)).generate()
    numbers = NumbersP(tmp_path, NumbersParams(3))
    numbers.load()
    before = numbers.manifest
    numbers.persist()
    assert numbers.manifest.generated == before.generated
    assert NumbersP(tmp_path, NumbersParams(3)).load() == [0, 1, 2]


def test_reset_payload_forgets_the_memory_and_not_the_artifact(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    first = numbers.load_generate()
    numbers.reset_payload()
    assert numbers.payload == first
    assert numbers.payload is not first
    assert NumbersP.made == 1


def test_a_failed_explicit_generation_keeps_the_artifact(tmp_path):
    class SometimesP(Persistable[int, None]):
        fails = False

        def _generate_payload(self) -> int:
            if self.fails:
                raise ValueError("not today")
            return 1

    sometimes = SometimesP(tmp_path, None)
    sometimes.generate()
    SometimesP.fails = True
    with pytest.raises(ValueError, match="not today"):
        sometimes.generate()
    assert SometimesP(tmp_path, None).load() == 1


# ---------------------------------------------------------------------------------------------------------------------
# The record


def test_the_manifest_says_what_was_used(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3, options={"step": (1, 2)}))
    total = SumP(tmp_path, SumParams(2.0), numbers_p=numbers)
    total.generate()
    manifest = SumP(tmp_path, SumParams(2.0), numbers_p=numbers).manifest
    assert manifest.params == {"scale": 2.0}
    upstream = manifest.dependencies["numbers_p"]
    assert (upstream.payload_name, upstream.key) == ("numbers_p", numbers.key)
    assert upstream.digest == numbers.manifest.payload["digest"]
    assert manifest.generated["class"].endswith("SumP")
    assert manifest.generated["seconds"] >= 0
    assert "persistable" in manifest.generated["packages"]
    assert numbers.manifest.params == {"n": 3, "options": {"step": {"$tuple": [1, 2]}}}
    assert pickle.loads(pickle.dumps(manifest)) == manifest
    assert "sum_p" in repr(manifest)


def test_an_upstream_that_was_not_opened_has_no_digest(tmp_path):
    class IndifferentP(SumP):
        def _generate_payload(self) -> float:
            return 1.0

    indifferent = IndifferentP(tmp_path, SumParams(), numbers_p=NumbersP(tmp_path, NumbersParams(3)))
    indifferent.generate()
    assert indifferent.manifest.dependencies["numbers_p"].digest is None


def test_params_json_names_each_node_once(tmp_path):
    left, right = (NumbersP(tmp_path, NumbersParams(n)) for n in (1, 2))
    level: list[Persistable[Any, Any]] = [left, right]
    for depth in range(30):
        level = [
            NumbersP(tmp_path, NumbersParams(depth), {"a": level[0], "b": level[1]}, payload_name=f"{name}_{depth}")
            for name in ("left", "right")
        ]
    level[0].generate()
    tree = json.loads((level[0].persist_filepath / "params.json").read_text())
    assert len(tree) == 60 + 1
    assert tree["left_29"]["dependencies"] == {"a": "left_28", "b": "right_28"}
    assert {tree["numbers_p"]["params"]["n"], tree["numbers_p#2"]["params"]["n"]} == {1, 2}


def test_a_chain_longer_than_the_recursion_limit_has_a_key(tmp_path):
    node = NumbersP(tmp_path, NumbersParams(0))
    for depth in range(1, 3000):
        node = NumbersP(tmp_path, NumbersParams(depth), {"upstream": node})
    assert len(node.key) == 32
    assert node.params_tree["upstream"]["n"] == 2998


# ---------------------------------------------------------------------------------------------------------------------
# As a Python object


def test_a_persistable_pickles_without_its_payload_and_finds_its_artifact(tmp_path):
    total = SumP(tmp_path, SumParams(), numbers_p=NumbersP(tmp_path, NumbersParams(4)), verbose=False)
    total.load_generate()
    again = pickle.loads(pickle.dumps(total))
    assert again.key == total.key
    assert again.load() == 6
    assert again.numbers_p is again.tracked_persistable_dependencies["numbers_p"]
    assert NumbersP.made == 1


def test_a_copy_is_independent(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(4))
    other = copy.deepcopy(numbers)
    other.params.n = 5
    assert (len(numbers.payload), len(other.payload)) == (4, 5)


def test_repr_names_payload_params_and_roles(tmp_path):
    total = SumP(tmp_path, SumParams(), numbers_p=NumbersP(tmp_path, NumbersParams(4)))
    assert repr(total) == "SumP(payload_name='sum_p', params=SumParams(scale=1.0), dependencies=['numbers_p'])"


def test_a_relative_data_dir_means_the_folder_that_it_meant_at_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = NumbersP("artifacts", NumbersParams(2))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    numbers.generate()
    assert (tmp_path / "artifacts" / "numbers_p").is_dir()
    assert numbers.data_dir == tmp_path / "artifacts"


# ---------------------------------------------------------------------------------------------------------------------
# Bad input: each error says what, where, and what to do; nothing is written


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n": 3}, r"takes params of type NumbersParams.*got a dict"),
        (None, r"takes params of type NumbersParams.*got a NoneType"),
        (NumbersParams, r"got the class NumbersParams itself"),
        (SumParams(), r"takes params of type NumbersParams.*got a SumParams"),
    ],
)
def test_params_of_a_wrong_type_are_refused(tmp_path, params, message):
    with pytest.raises(ParamsError, match=message):
        NumbersP(tmp_path / "new", params)
    numbers = NumbersP(tmp_path / "new", NumbersParams(1))
    with pytest.raises(ParamsError, match=message):
        numbers.params = params
    assert not (tmp_path / "new").exists()


def test_params_that_are_no_record_are_refused_where_the_class_does_not_say(tmp_path):
    class AnythingP(Persistable[Any, Any]):
        pass

    with pytest.raises(ParamsError, match=r"must be a dataclass.*got a dict"):
        AnythingP(tmp_path, {"n": 3})


def test_params_types_are_known_through_generic_classes_between(tmp_path):
    ModelT, SomeParamsT = TypeVar("ModelT"), TypeVar("SomeParamsT")

    class ModelP(Persistable[ModelT, NumbersParams], Generic[ModelT]):
        pass

    class FloatP(ModelP[float]):
        pass

    class AnyP(Persistable[list[int], SomeParamsT], Generic[SomeParamsT]):
        pass

    class SumOfP(AnyP[SumParams]):
        pass

    FloatP(tmp_path, NumbersParams(1))
    SumOfP(tmp_path, SumParams())
    AnyP(tmp_path, SumParams())
    with pytest.raises(ParamsError, match="takes params of type SumParams"):
        SumOfP(tmp_path, NumbersParams(1))


def test_a_params_class_that_forgot_its_decorator_says_so():
    class ForgottenParams(PersistableParams):
        n: int = 1

    class AlsoForgottenParams(NumbersParams):
        m: int = 1

    with pytest.raises(ParamsError, match=r"ForgottenParams is not a dataclass: put @dataclass above"):
        ForgottenParams(n=3)
    with pytest.raises(ParamsError, match="itself has no fields"):
        PersistableParams(3)
    assert AlsoForgottenParams(1).n == 1
    with pytest.raises(ParamsError, match=r"AlsoForgottenParams adds m, but is not decorated"):
        NumbersP("unused", AlsoForgottenParams(1)).key  # noqa: B018


def test_an_unknown_type_deep_in_the_params_is_named_by_its_path(tmp_path):
    numbers = NumbersP(tmp_path / "new", NumbersParams(1, options={"model": {"schedule": [1, object()]}}))
    with pytest.raises(
        UntrackableValueError, match=r"^params\.options\['model'\]\['schedule'\]\[1\]: .*object.*untracked"
    ):
        numbers.load_generate()
    assert not (tmp_path / "new").exists()


def test_a_persistable_among_the_params_is_refused(tmp_path):
    inner = NumbersP(tmp_path, NumbersParams(1))
    with pytest.raises(UntrackableValueError, match=r"Pass it in tracked_persistable_dependencies"):
        NumbersP(tmp_path, NumbersParams(1, options={"inner": inner})).key  # noqa: B018


@pytest.mark.parametrize("name", ["a/b", "", "..", ".hidden", "a b", "ä", "a\\b", "a\n", 7])
def test_a_payload_name_that_cannot_be_a_folder_is_refused(tmp_path, name):
    with pytest.raises(ParamsError, match="payload_name must be made of"):
        NumbersP(tmp_path, NumbersParams(1), payload_name=name)


@pytest.mark.parametrize("suffix", ["pickle", ".a/b", "", "."])
def test_a_suffix_that_is_none_is_refused(tmp_path, suffix):
    with pytest.raises(ParamsError, match="payload_file_suffix must look like"):
        NumbersP(tmp_path, NumbersParams(1), payload_file_suffix=suffix)


def test_a_cycle_of_dependencies_is_named(tmp_path):
    first = NumbersP(tmp_path, NumbersParams(1), payload_name="first")
    second = NumbersP(tmp_path, NumbersParams(1), [first], payload_name="second")
    third = NumbersP(tmp_path, NumbersParams(1), [second], payload_name="third")
    first.tracked_persistable_dependencies = [third]
    with pytest.raises(ParamsError, match="cycle: second -> first -> third -> second"):
        second.load_generate()
    first.tracked_persistable_dependencies = [first]
    with pytest.raises(ParamsError, match="cycle: first -> first"):
        first.key  # noqa: B018
    assert files(tmp_path) == set()


def test_dependencies_that_are_no_persistables_are_refused(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(1))
    with pytest.raises(ParamsError, match=r"must be persistables; one of them is of type str"):
        NumbersP(tmp_path, NumbersParams(1), {"x": "numbers"})
    with pytest.raises(ParamsError, match=r"as a list: \[numbers_p\]"):
        NumbersP(tmp_path, NumbersParams(1), numbers)
    with pytest.raises(ParamsError, match="roles of dependencies must be str"):
        NumbersP(tmp_path, NumbersParams(1), {1: numbers})


def test_a_data_dir_that_is_a_file_or_no_path_is_refused(tmp_path):
    (tmp_path / "file").write_text("content")
    with pytest.raises(StoreError, match=r"is a file"):
        NumbersP(tmp_path / "file", NumbersParams(1)).load_generate()
    with pytest.raises(TypeError, match="data_dir must be a path, a URL or a Store, got a int"):
        NumbersP(7, NumbersParams(1))
    with pytest.raises(StoreError, match="gopher://"):
        NumbersP("gopher://host/path", NumbersParams(1))
    assert NumbersP.made == 0
    assert (tmp_path / "file").read_text() == "content"


def test_a_payload_io_that_is_a_class_is_refused(tmp_path):
    from persistable import PickleFileIO

    with pytest.raises(TypeError, match=r"FileIO object, such as PickleFileIO\(\); got the class PickleFileIO"):
        NumbersP(tmp_path, NumbersParams(1), payload_io=PickleFileIO)


def test_a_store_refuses_options_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match="verify must be"):
        LocalStore(tmp_path, verify="md5")
    with pytest.raises(ValueError, match="time_to_live must be"):
        LocalStore(tmp_path, time_to_live=0)


def test_every_error_and_warning_pickles():
    from persistable import exceptions

    for name in exceptions.__all__:
        kind = getattr(exceptions, name)
        error = kind("what happened")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))
    deep = UntrackableValueError("no rule").inside("[1]").inside("params")
    assert str(pickle.loads(pickle.dumps(deep))) == "params[1]: no rule"


def test_a_metric_that_is_no_number_costs_the_artifact_and_not_the_payload(tmp_path):
    class FitP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            self.metrics["fit"] = object()
            return 1

    fit = FitP(tmp_path, None)
    with pytest.raises(PersistError, match=r"\['fit'\].*still in memory.*persist\(\) again|metrics of fit_p"):
        fit.load_generate()
    assert fit.payload == 1
    fit.metrics["fit"] = 0.5
    fit.persist()
    assert FitP(tmp_path, None).manifest.metrics == {"fit": 0.5}


def test_an_artifact_of_a_newer_library_is_neither_read_nor_replaced(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    numbers.generate()
    path = numbers.persist_filepath / "manifest.json"
    body = path.read_bytes().split(b"\n", 1)[1].replace(b'"schema": 1', b'"schema": 99')
    path.write_bytes(b'{"digest": "%b",\n%b' % (digest(body).encode(), body))
    newer = path.read_bytes()
    for call in (lambda: NumbersP(tmp_path, NumbersParams(3)).load_generate(), numbers.generate, numbers.persist):
        with pytest.raises(ManifestVersionError, match=r"newer persistable \(of schema 99"):
            call()
    assert NumbersP(tmp_path, NumbersParams(3)).exists()
    assert path.read_bytes() == newer
    assert NumbersP.made == 1


def test_without_single_flight_a_careless_store_is_used_with_a_warning(tmp_path):
    from persistable.testing.faults import CarelessStore

    with pytest.raises(StoreError, match="single_flight=False"):
        NumbersP(CarelessStore(LocalStore(tmp_path)), NumbersParams(3)).load_generate()
    careless = CarelessStore(LocalStore(tmp_path, single_flight=False))
    with pytest.warns(PersistableWarning, match="each that misses an artifact makes it"):
        assert NumbersP(careless, NumbersParams(3)).load_generate() == [0, 1, 2]
    assert NumbersP(careless, NumbersParams(4)).load_generate() == [0, 1, 2, 3]


def test_the_cause_of_a_store_error_survives_pickling(tmp_path):
    (tmp_path / "file").write_text("content")
    with pytest.raises(StoreError) as caught:
        NumbersP(tmp_path / "file", NumbersParams(1)).load()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.errno, str(again)) == (caught.value.errno, str(caught.value))
    assert again.errno is not None


# ---------------------------------------------------------------------------------------------------------------------
# What reviewers found


def test_an_upstream_that_is_not_tracked_is_named(tmp_path):
    class ForgetfulP(Persistable[int, SumParams]):
        def __init__(self, numbers_p: NumbersP) -> None:
            super().__init__(tmp_path, SumParams())
            self.numbers_p = numbers_p

        def _generate_payload(self) -> int:
            return sum(self.numbers_p.payload)

    with pytest.warns(UntrackedDependencyWarning, match=r"numbers_p is used to make forgetful_p, but is not among"):
        ForgetfulP(NumbersP(tmp_path, NumbersParams(3))).load_generate()


def test_a_tracked_upstream_may_be_built_anew_inside_the_generation(tmp_path):
    class RebuildingP(SumP):
        def _generate_payload(self) -> float:
            return sum(NumbersP(tmp_path, NumbersParams(3)).payload)

    assert RebuildingP(tmp_path, SumParams(), numbers_p=NumbersP(tmp_path, NumbersParams(3))).payload == 3


def test_dependencies_that_change_while_the_payload_is_made_cost_no_payload(tmp_path):
    class RestlessP(SumP):
        def _generate_payload(self) -> float:
            self.tracked_persistable_dependencies = [NumbersP(tmp_path, NumbersParams(9))]
            return 1.0

    restless = RestlessP(tmp_path, SumParams(), numbers_p=NumbersP(tmp_path, NumbersParams(3)))
    with pytest.warns(ParamsChangedWarning):
        assert restless.load_generate() == 1.0


def test_validation_may_look_at_the_payload_of_its_own_object(tmp_path):
    class LookingP(NumbersP):
        def _validate_payload(self, payload: list[int]) -> None:
            assert self.payload is payload

    assert LookingP(tmp_path, NumbersParams(2)).load_generate() == [0, 1]
    assert LookingP(tmp_path, NumbersParams(2)).load_generate() == [0, 1]


def test_a_validation_that_returns_false_is_a_refusal(tmp_path):
    class FalseP(NumbersP):
        def _validate_payload(self, payload: list[int]) -> bool:  # type: ignore[override]
            return len(payload) > 5

    with pytest.raises(InvalidPayloadError, match=r"_validate_payload returned False.*must raise"):
        FalseP(tmp_path, NumbersParams(2)).load_generate()
    assert not FalseP(tmp_path, NumbersParams(2)).exists()


def test_a_hook_with_a_slip_in_its_name_is_named():
    with pytest.warns(PersistableWarning, match=r"SlipP._validate_paylod is not called.*_validate_payload meant"):
        type("SlipP", (NumbersP,), {"_validate_paylod": lambda self, payload: None})


@pytest.mark.parametrize("kind", ["coroutine", "generator"])
def test_a_payload_that_is_not_finished_is_refused(tmp_path, kind):
    class UnfinishedP(Persistable[Any, None]):
        if kind == "coroutine":

            async def _generate_payload(self) -> Any:
                return 1
        else:

            def _generate_payload(self) -> Any:
                yield 1

    with pytest.raises(InvalidPayloadError, match=rf"returned a {kind}, which holds no result"):
        UnfinishedP(tmp_path, None).load_generate()


def test_a_subclass_may_use_names_that_the_library_uses_inside(tmp_path):
    class BusyP(NumbersP):
        def __init__(self, *arguments: Any) -> None:
            self.store, self._memory, self._lock = {"mine": 1}, "mine", threading.Lock()
            super().__init__(*arguments)

        def _load(self) -> str:
            return "mine"

        def _commit(self) -> str:
            return "mine"

        def _generate_payload(self) -> list[int]:
            with self._lock:
                self.metrics = {"found": len(self.store)}
                self.tags = ["mine"]
                return super()._generate_payload()

    busy = BusyP(tmp_path, NumbersParams(2))
    assert busy.load_generate() == [0, 1]
    assert (busy.manifest.metrics, busy.manifest.tags) == ({"found": 1}, ["mine"])
    assert BusyP(tmp_path, NumbersParams(2)).metrics == {"found": 1}


def test_metrics_belong_to_the_payload_that_they_were_noted_with(tmp_path):
    class FitP(NumbersP):
        fails = False

        def _generate_payload(self) -> list[int]:
            self.metrics["n"] = 99 if self.fails else self.params.n
            if self.fails:
                raise ValueError("no fit")
            return super()._generate_payload()

    fit = FitP(tmp_path, NumbersParams(2))
    fit.load_generate()
    FitP.fails = True
    with pytest.raises(ValueError, match="no fit"):
        fit.generate()
    fit.persist()
    assert fit.metrics == FitP(tmp_path, NumbersParams(2)).metrics == {"n": 2}
    with pytest.raises(NoPayloadError, match="set them in _generate_payload"):
        FitP(tmp_path, NumbersParams(7)).metrics = {}


def test_a_forgotten_super_init_says_so(tmp_path):
    class NoSuperP(NumbersP):
        def __init__(self) -> None:
            pass

    for ask in (lambda p: p.load_generate(), lambda p: p.params, repr):
        with pytest.raises(ParamsError, match=r"NoSuperP.__init__ must call super\(\).__init__"):
            ask(NoSuperP())
    assert not hasattr(NumbersP(tmp_path, NumbersParams(1)), "no_such_attribute")


def test_a_payload_name_can_be_stated_in_the_class_and_is_checked_whenever_it_is_set(tmp_path):
    class NamedP(NumbersP):
        payload_name = "numbers"

    named = NamedP(tmp_path, NumbersParams(1))
    assert named.payload_name == "numbers"
    with pytest.raises(ParamsError, match="payload_name must be"):
        named.payload_name = "../escape"
    named.payload_name = "other"
    assert named.persist_filepath.parent == tmp_path / "other"
    assert type("ÄP", (NumbersP,), {})(tmp_path, NumbersParams(1)).payload_name == "p"
    with pytest.raises(TypeError, match="payload_io must be"):
        named.payload_io = "json"


def test_params_types_may_be_unions_or_annotated(tmp_path):
    class EitherP(Persistable[int, NumbersParams | SumParams | None]):
        pass

    class AnnotatedP(Persistable[int, Annotated[SumParams, "documented"]]):
        pass

    for params in (NumbersParams(1), SumParams(), None):
        assert EitherP(tmp_path, params).key
    assert AnnotatedP(tmp_path, SumParams()).key
    with pytest.raises(ParamsError, match="NumbersParams or SumParams or NoneType"):
        EitherP(tmp_path, {})
    with pytest.raises(ParamsError, match=r"Pass SumParams\(\*\*"):
        AnnotatedP(tmp_path, {"scale": 1.0})


def test_params_of_an_older_definition_of_their_class_are_told_apart(tmp_path):
    @dataclass
    class NumbersParams(PersistableParams):
        n: int

    numbers = NumbersP(tmp_path, globals()["NumbersParams"](1))
    NumbersParams.__qualname__ = "NumbersParams"
    with pytest.raises(ParamsError, match="older definition of that class: the cell or module was run again"):
        numbers.params = NumbersParams(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_has_not(tmp_path):
    entered, leave = threading.Event(), threading.Event()

    class SlowP(NumbersP):
        def _generate_payload(self) -> list[int]:
            entered.set()
            leave.wait(30)
            return super()._generate_payload()

    slow = SlowP(tmp_path, NumbersParams(2))
    thread = threading.Thread(target=slow.load_generate)
    thread.start()
    entered.wait(30)
    if (child := os.fork()) == 0:
        try:
            SlowP._generate_payload = NumbersP._generate_payload  # type: ignore[method-assign]
            os._exit(0 if slow.generate(persist=False) == [0, 1] else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_unpickled_persistable_finds_its_artifact_in_another_process(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(4))
    total = SumP(tmp_path, SumParams(), numbers_p=numbers)
    total.load_generate()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(total.load).result(timeout=120) == 6


def test_slots_of_a_subclass_survive_pickling(tmp_path):
    slotted = SlottedP(tmp_path, NumbersParams(1))
    slotted.extra = "kept"
    assert pickle.loads(pickle.dumps(slotted)).extra == "kept"


class SlottedP(NumbersP):
    __slots__ = ("extra",)


def test_warnings_point_at_the_users_line(tmp_path):
    numbers = NumbersP(tmp_path, NumbersParams(3))
    numbers.generate()
    (numbers.persist_filepath / numbers.manifest.payload["file"]).write_bytes(b"")
    with pytest.warns(CorruptArtifactWarning) as caught:
        NumbersP(tmp_path, NumbersParams(3)).payload  # noqa: B018
    assert caught[0].filename == __file__


def test_a_static_hook_gets_its_arguments(tmp_path):
    class StaticP(Persistable[int, None]):
        @staticmethod
        def _generate_payload(n_jobs: int = 1) -> int:  # type: ignore[override]
            return n_jobs

    assert StaticP(tmp_path, None).generate(n_jobs=4) == 4


def test_post_generate_runs_when_the_lease_is_given_back(tmp_path):
    class FailingAfterP(NumbersP):
        def _post_generate(self) -> None:
            assert not list(self.persist_filepath.rglob("lease/*"))
            raise ValueError("after")

    failing = FailingAfterP(tmp_path, NumbersParams(2))
    with pytest.raises(ValueError, match="after"):
        failing.load_generate()
    assert failing.exists()
    assert not [name for name in files(tmp_path) if "/lease/" in name or "failed-" in name]
