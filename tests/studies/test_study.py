"""A study as an artifact: as many complete trials as are asked for, never one twice."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState  # noqa: E402

from persistable import (  # noqa: E402
    LocalStore,
    ParamsError,
    Persistable,
    PersistableParams,
    StudyError,
)
from persistable.exceptions import CorruptArtifactWarning  # noqa: E402
from persistable.studies import (  # noqa: E402
    BestParamsP,
    Categorical,
    Float,
    Int,
    Pruner,
    Sampler,
    StudyP,
    StudyParams,
)
from persistable.studies.search import ERROR, SAME_AS, UndeclaredParameterError  # noqa: E402

SPACE = {"x": Float(-5, 5), "n": Int(1, 4)}


def params(**changes: Any) -> StudyParams:
    return StudyParams(**{"search_space": SPACE, "seed": 3, **changes})


class ParabolaP(StudyP[StudyParams]):
    """`before` is called with each trial; `ran` holds the numbers of the trials that were run here."""

    def __init__(self, data_dir: Any, study_params: StudyParams | None = None, **options: Any) -> None:
        super().__init__(data_dir, study_params or params(), **options)
        self.ran: list[int] = []
        self.before: Callable[[Any], None] = lambda trial: None

    def _objective(self, trial: Any) -> Any:
        self.ran.append(trial.number)
        self.before(trial)
        value = (trial.params["x"] - 2) ** 2 + trial.params["n"]
        return value if len(self.params.directions) == 1 else (value, trial.params["x"])


def points(study: Any) -> list[tuple[Any, ...]]:
    return [(trial.params, trial.values, trial.state) for trial in study.get_trials(deepcopy=False)]


def trials_of(asked: StudyP[Any]) -> list[Any]:
    """Return the trials in the working storage, a journal."""
    path = asked.persist_filepath / "journal.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.load_study(study_name=None, storage=storage).get_trials()


# ---------------------------------------------------------------------------------------------------------------------
# How many


def test_the_target_is_what_there_is_to_be_in_all(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    assert len(asked.load_generate(n_trials=10).trials) == 10
    assert len(asked.load_generate(n_trials=10).trials) == 10
    assert len(asked.load_generate(n_trials=7).trials) == 10
    assert len(ParabolaP(tmp_path).load_generate(n_trials=24).trials) == 24
    assert len(ParabolaP(tmp_path).load().trials) == 24
    assert asked.ran == list(range(10))


def test_in_pieces_it_is_the_study_in_one_go(tmp_path: Path) -> None:
    whole = ParabolaP(tmp_path / "whole").load_generate(n_trials=24)
    for n_trials in (10, 24):
        halves = ParabolaP(tmp_path / "halves").load_generate(n_trials=n_trials)
    for n_trials in range(1, 25):
        singles = ParabolaP(tmp_path / "singles").load_generate(n_trials=n_trials)
    assert points(whole) == points(halves) == points(singles)
    assert len({x["x"] for x, _, _ in points(whole)}) == 24


def test_another_seed_is_another_study(tmp_path: Path) -> None:
    one, other = ParabolaP(tmp_path), ParabolaP(tmp_path, params(seed=4))
    assert one.key != other.key
    assert points(one.load_generate(n_trials=3)) != points(other.load_generate(n_trials=3))


@pytest.mark.parametrize(
    "change",
    [
        {"search_space": {**SPACE, "x": Float(-5, 6)}},
        {"search_space": {**SPACE, "y": Int(0, 1)}},
        {"directions": "maximize"},
        {"directions": ["minimize", "minimize"]},
        {"sampler": Sampler("TPESampler", n_startup_trials=11)},
        {"sampler": "RandomSampler"},
        {"pruner": "NopPruner"},
        {"enqueued": [{"x": 1.0}]},
    ],
)
def test_all_that_defines_the_trials_is_in_the_key(change: dict[str, Any]) -> None:
    assert ParabolaP("nowhere", params(**change)).key != ParabolaP("nowhere").key


def test_how_it_is_run_is_not_in_the_key(tmp_path: Path) -> None:
    key = ParabolaP("nowhere").key
    assert ParabolaP("nowhere", params(deterministic=True)).key == key
    assert ParabolaP("nowhere", params(search_space={"n": Int(1, 4), "x": Float(-5, 5)})).key == key
    assert ParabolaP("nowhere", storage="sqlite:///elsewhere.db").key == key


def test_the_key_of_a_study_is_what_it_was() -> None:
    assert str(ParabolaP("nowhere").key) == "8e657ae2c9e6abe3475384b9b4ad9f8e"
    assert str(BestParamsP(ParabolaP("nowhere"), n_trials=20).key) == "e7dce1c071685b387cc3c9b1ad3e4677"


@pytest.mark.parametrize("directions", ["minimise", ["minimize", "up"], [], None, 1])
def test_a_direction_that_is_none_is_refused_with_the_two_words(directions: Any) -> None:
    with pytest.raises(ParamsError, match=r"directions must be 'minimize' or 'maximize'.*; got ") as caught:
        params(directions=directions)
    assert str(caught.value).endswith(f"got {directions!r}.")


def test_no_sampler_and_no_pruner_are_refused_with_what_may_be_meant() -> None:
    with pytest.raises(ParamsError, match=r"got None\. For the default, Sampler\('TPESampler'\), leave it out"):
        params(sampler=None)
    with pytest.raises(ParamsError, match=r"got None\. For no pruning, pass Pruner\('NopPruner'\); for the default"):
        params(pruner=None)
    with pytest.raises(ParamsError, match=r"got 3\.$"):
        params(pruner=3)
    assert (params().sampler, params().pruner) == (Sampler("TPESampler"), Pruner("MedianPruner"))


def test_pruned_and_failed_trials_are_none_of_the_target(tmp_path: Path) -> None:
    def every_third(trial: Any) -> None:
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        if trial.number % 3 == 2:
            raise ZeroDivisionError("on purpose")

    asked = ParabolaP(tmp_path)
    asked.before = every_third
    study = asked.load_generate(n_trials=4)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL"] * 3 + ["COMPLETE"]
    assert asked.metrics["n_complete"] == 4
    assert asked.metrics["n_failed"] == asked.metrics["n_pruned"] == 3


def test_a_time_out_ends_it_before_and_it_goes_on(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    asked.before = lambda trial: time.sleep(0.05)
    some = len(asked.load_generate(n_trials=1000, timeout=0.5).trials)
    assert 1 <= some <= 12
    more = len(asked.load_generate(timeout=0.3).trials)
    assert some < more
    assert asked.load_generate().trials == asked.payload.trials  # without an order, what there is


def test_without_an_order_there_is_nothing_to_be_made(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    with pytest.raises(StudyError, match=r"not been persisted yet\. Say how far it is to go: load_generate\(n_trials="):
        asked.load_generate()
    with pytest.raises(StudyError, match=r"not been persisted yet"):
        _ = asked.payload
    assert not list(tmp_path.rglob("*"))


def test_to_search_anew_it_must_be_said_how_far(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    study = asked.load_generate(n_trials=3)
    before = sorted(tmp_path.rglob("*"))
    for persist in (True, False):
        with pytest.raises(StudyError, match=r"searched anew.*Pass generate\(n_trials=.*call load_generate\(\)\."):
            asked.generate(persist)
    assert sorted(tmp_path.rglob("*")) == before
    assert asked.load_generate() is study


def test_a_damaged_study_is_made_again_where_it_is_said_how_far(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    study = asked.load_generate(n_trials=3)
    (asked.persist_filepath / asked.manifest.payload["file"]).write_bytes(b"damaged")
    again = ParabolaP(tmp_path)
    with pytest.raises(StudyError, match=r"It can be made again\. Say how far it is to go"):
        again.load_generate()
    assert not list(tmp_path.rglob("failed-*.log"))
    with pytest.warns(CorruptArtifactWarning, match="made again"):
        assert points(again.load_generate(n_trials=3)) == points(study)
    assert again.ran == []


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ({"n_trials": -1}, "n_trials must be a whole number"),
        ({"n_trials": 2.0}, "n_trials must be a whole number"),
        ({"n_trials": True}, "n_trials must be a whole number"),
        ({"n_trials": 1, "timeout": -1}, "timeout must be a number of seconds"),
        ({"n_trials": 1, "timeout": "1h"}, "timeout must be a number of seconds"),
        ({"n_trials": 1, "n_jobs": 0}, "n_jobs must be 1 or more"),
        ({"n_trials": 1, "n_processes": 1.5}, "n_processes must be 1 or more"),
        ({"n_trials": 1, "max_failures": 0}, "max_failures must be a whole number"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(tmp_path: Path, order: dict[str, Any], problem: str) -> None:
    with pytest.raises(ParamsError, match=problem):
        ParabolaP(tmp_path).load_generate(**order)
    with pytest.raises(ParamsError, match=problem):
        ParabolaP(tmp_path).generate(**order)
    with pytest.raises(ParamsError, match=problem):
        ParabolaP(tmp_path).load(**order)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("ntrials", "n_trials"),
        ("n_trails", "n_trials"),
        ("trials", "n_trials"),
        ("N_TRIALS", "n_trials"),
        ("n_job", "n_jobs"),
        ("n_process", "n_processes"),
        ("time_out", "timeout"),
        ("max_failure", "max_failures"),
    ],
)
def test_a_misspelt_keyword_is_refused_with_what_is_meant(tmp_path: Path, slip: str, meant: str) -> None:
    asked = ParabolaP(tmp_path)
    for ask in (asked.load_generate, asked.generate, asked.load):
        with pytest.raises(ParamsError, match=rf"There is no '{slip}': did you mean '{meant}'\?"):
            ask(n_trials=1, **{slip: 2})
    assert not list(tmp_path.rglob("*"))


def test_a_keyword_that_a_hook_names_is_no_slip_and_one_that_resembles_nothing_neither(tmp_path: Path) -> None:
    class NamedP(ParabolaP):
        def _objective(self, trial: Any, n_obs: int = 0, **more: Any) -> float:
            trial.set_user_attr("told", [n_obs, sorted(more)])
            return 1.0

        def _post_generate(self, time_out: int = 0, **_: Any) -> None:
            self.ran.append(time_out)

    asked = NamedP(tmp_path)
    study = asked.load_generate(n_trials=1, n_obs=7, time_out=5, max_features=3, n_epochs=2, batch_size=8)
    assert study.trials[0].user_attrs["told"] == [7, ["batch_size", "max_features", "n_epochs", "time_out"]]
    assert asked.ran == [5]
    with pytest.raises(ParamsError, match="did you mean 'n_jobs'"):
        ParabolaP(tmp_path).load_generate(n_trials=1, n_obs=7)


def test_no_trials_are_an_order_too(tmp_path: Path) -> None:
    assert ParabolaP(tmp_path).load_generate(n_trials=0).trials == []
    assert ParabolaP(tmp_path).load(n_trials=0).trials == []


@pytest.mark.parametrize("sampler", ["GridSampler", "BruteForceSampler"])
def test_an_exhaustive_search_is_done_when_each_point_has_been_tried(tmp_path: Path, sampler: str) -> None:
    space = {"x": Float(0, 4, step=1), "n": Int(1, 3)}
    asked = ParabolaP(tmp_path, params(search_space=space, sampler=sampler))
    assert len(asked.load_generate(n_trials=4).trials) == 4
    assert len(asked.load_generate(n_trials=1000).trials) == 15
    assert len({(trial.params["x"], trial.params["n"]) for trial in asked.payload.trials}) == 15
    again = ParabolaP(tmp_path, params(search_space=space, sampler=sampler))
    assert len(again.load_generate(n_trials=1000).trials) == 15
    assert again.ran == []
    fresh = ParabolaP(tmp_path / "fresh", params(search_space=space, sampler=sampler))
    assert len(fresh.load_generate().trials) == 15  # it needs no number
    assert BestParamsP(fresh, n_trials=100).load_generate() == {"x": 2.0, "n": 1}


# ---------------------------------------------------------------------------------------------------------------------
# Trials


def test_points_that_were_enqueued_come_first(tmp_path: Path) -> None:
    enqueued = [{"x": 1.0, "n": 2}, {"x": 3.0}, {"n": 4}]
    whole = ParabolaP(tmp_path / "whole", params(enqueued=enqueued)).load_generate(n_trials=8)
    assert [trial.params["x"] for trial in whole.trials[:2]] == [1.0, 3.0]
    assert whole.trials[2].params["n"] == 4
    for n_trials in (1, 2, 3, 8):
        pieces = ParabolaP(tmp_path / "pieces", params(enqueued=enqueued)).load_generate(n_trials=n_trials)
    assert points(whole) == points(pieces)
    assert len(whole.trials) == 8


def test_equal_points_are_one_study() -> None:
    import numpy as np

    key = ParabolaP("nowhere", params(enqueued=[{"x": 1.0, "n": 2}])).key
    assert str(key) == "d437d9be86b4b454eba9235d8e3467e2"
    for same in [{"x": 1, "n": 2.0}, {"x": np.float32(1), "n": np.int8(2)}, {"x": np.int64(1), "n": np.float64(2)}]:
        assert ParabolaP("nowhere", params(enqueued=[same])).key == key


def test_constraints_are_kept_and_the_best_is_feasible(tmp_path: Path) -> None:
    class ConstrainedP(ParabolaP):
        def _constraints(self, trial: Any) -> Sequence[float]:
            return [1 - trial.params["x"], trial.params["x"] - 1.9]  # 1 to 1.9

    asked = ConstrainedP(tmp_path)
    study = asked.load_generate(n_trials=40)
    assert 1 <= study.best_params["x"] <= 1.9
    assert 1 <= BestParamsP(asked, 40).load_generate()["x"] <= 1.9
    none = ConstrainedP(tmp_path, params(search_space={**SPACE, "x": Float(-5, 0)}))
    with pytest.raises(StudyError, match="None of the first 3 complete trials of constrained_p is feasible"):
        BestParamsP(none, 3).load_generate()


def test_intermediate_values_prune(tmp_path: Path) -> None:
    class SlowP(ParabolaP):
        def _objective(self, trial: Any) -> float:
            for step in range(5):
                trial.report(abs(trial.params["x"]) + 1 / (step + 1), step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return abs(float(trial.params["x"]))

    pruner = Pruner("MedianPruner", n_startup_trials=3)
    study = SlowP(tmp_path, params(pruner=pruner)).load_generate(n_trials=10)
    assert any(trial.state == TrialState.PRUNED for trial in study.trials)
    assert study.trials[0].intermediate_values.keys() == {0, 1, 2, 3, 4}


def test_several_objectives(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path, params(directions=["minimize", "maximize"]))
    study = asked.load_generate(n_trials=30)
    assert len(study.best_trials) == asked.metrics["n_pareto"] > 1
    assert set(asked.metrics["best_values"]) == {"0", "1"}
    by_first, by_second = (BestParamsP(asked, 30, by=by) for by in (0, 1))
    assert by_first.key != by_second.key
    assert by_second.load_generate()["x"] == max(trial.params["x"] for trial in study.trials)
    knee = BestParamsP(asked, 30, by="knee")
    assert by_first.load_generate()["x"] <= knee.load_generate()["x"] <= by_second.payload["x"]
    assert knee.metrics["values"].keys() == {"0", "1"}


@pytest.mark.parametrize("by", [None, 2, -1, "best", True])
def test_of_several_objectives_it_must_be_said_by_which(by: Any) -> None:
    asked = ParabolaP("nowhere", params(directions=["minimize", "maximize"]))
    with pytest.raises(ParamsError, match=r"The study has 2 objectives.* by=0, 1, or by='knee'"):
        BestParamsP(asked, 30, by=by)


@pytest.mark.parametrize("value", [None, "much", float("nan"), (1.0, 2.0), complex(1, 1)])
def test_what_is_no_value_fails_the_trial(tmp_path: Path, value: Any) -> None:
    class OddP(ParabolaP):
        def _objective(self, trial: Any) -> Any:
            return value if trial.number == 0 else 1

    study = OddP(tmp_path).load_generate(n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert "The objective returned" in study.trials[0].user_attrs[ERROR]


def test_scalars_of_numpy_and_infinity_are_values(tmp_path: Path) -> None:
    import numpy as np

    class OddP(ParabolaP):
        def _objective(self, trial: Any) -> Any:
            return [np.float32(0.5), np.array(1.5), float("inf"), [2]][trial.number]

    study = OddP(tmp_path).load_generate(n_trials=4)
    assert [trial.value for trial in study.trials] == [0.5, 1.5, float("inf"), 2.0]
    assert OddP(tmp_path).load().trials == study.trials


def test_a_deterministic_objective_runs_no_point_twice(tmp_path: Path) -> None:
    class NotedP(ParabolaP):
        def _objective(self, trial: Any) -> float:
            self.ran.append(trial.number)
            trial.report(0.5, 1)
            trial.set_user_attr("note", trial.params["n"])
            return float(trial.params["n"])

    space = {"n": Int(1, 3), "kind": Categorical(["a", None])}
    given = params(search_space=space, sampler="RandomSampler", deterministic=True)
    asked = NotedP(tmp_path, given)
    asked.load_generate(n_trials=10)
    study = asked.load_generate(n_trials=30)
    assert len(study.trials) == 30
    assert len(asked.ran) == len({tuple(trial.params.items()) for trial in study.trials}) <= 6
    copies = [trial for trial in study.trials if SAME_AS in trial.user_attrs]
    assert len(copies) == 30 - len(asked.ran)
    for trial in copies:
        first = study.trials[trial.user_attrs[SAME_AS]]
        assert (trial.params, trial.values) == (first.params, first.values)
        assert trial.user_attrs["note"] == first.user_attrs["note"]
        assert trial.intermediate_values == first.intermediate_values
    all_run = NotedP(tmp_path / "all", params(search_space=space, sampler="RandomSampler"))
    assert points(all_run.load_generate(n_trials=30)) == points(study)
    assert len(all_run.ran) == 30


def test_a_parameter_that_was_not_declared_stops_the_search(tmp_path: Path) -> None:
    class FreeP(ParabolaP):
        def _objective(self, trial: Any) -> float:
            return float(trial.suggest_float("z", 0, 1))

    class OtherP(ParabolaP):
        def _objective(self, trial: Any) -> float:
            return float(trial.suggest_float("x", 0, 1))

    class SameP(ParabolaP):
        def _objective(self, trial: Any) -> float:
            return float(trial.suggest_float("x", -5, 5))

    assert issubclass(UndeclaredParameterError, StudyError)
    with pytest.raises(
        UndeclaredParameterError, match=r"asks for a parameter 'z', which is not in the search space \(n, x\)"
    ):
        FreeP(tmp_path).load_generate(n_trials=2)
    with pytest.raises(
        UndeclaredParameterError, match=r"asks for 'x' as Float.*, but the search space has .*trial\.params\['x'\]"
    ):
        OtherP(tmp_path).load_generate(n_trials=2)
    assert len(SameP(tmp_path).load_generate(n_trials=2).trials) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Failures and interruptions


def test_failures_up_to_a_limit_and_then_what_happened(tmp_path: Path) -> None:
    def fail(trial: Any) -> None:
        if trial.number >= 2:
            raise ZeroDivisionError(f"on purpose, in {trial.number}")

    asked = ParabolaP(tmp_path)
    asked.before = fail
    with pytest.raises(
        StudyError,
        match=r"4 trials have failed; the last is trial 5 .*ZeroDivisionError: on purpose, in 5"
        r".*To begin anew instead, call generate\(n_trials=…\).*max_failures=8, or None",
    ) as caught:
        asked.load_generate(n_trials=20, max_failures=4)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    kept = trials_of(asked)
    assert [trial.state.name for trial in kept] == ["COMPLETE"] * 2 + ["FAIL"] * 4
    assert "raise ZeroDivisionError(" in kept[5].user_attrs[ERROR]
    assert list(asked.persist_filepath.glob("failed-*.log"))
    mended = ParabolaP(tmp_path)
    assert len(mended.load_generate(n_trials=5).trials) == 9
    assert mended.ran == [6, 7, 8]


def test_one_failure_is_told_as_one(tmp_path: Path) -> None:
    class PairP(ParabolaP):
        def _objective(self, trial: Any) -> Any:
            return [1.0, 2.0]

    with pytest.raises(
        StudyError,
        match=r"1 trial has failed; it is trial 0 .*The objective returned 2 values, but the study has 1 direction\.",
    ):
        PairP(tmp_path).load_generate(n_trials=1, max_failures=1)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    tmp_path: Path, interruption: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(trial: Any) -> None:
        if trial.number == 5:
            raise interruption

    whole = ParabolaP(tmp_path / "whole").load_generate(n_trials=12)
    asked = ParabolaP(tmp_path / "cut")
    asked.before = interrupt
    with pytest.raises(interruption):
        asked.load_generate(n_trials=12)
    if interruption is KeyboardInterrupt:
        assert "was interrupted. Its trials are kept in" in caplog.text
    assert not asked.exists()
    assert not any(trial.state == TrialState.RUNNING for trial in trials_of(asked))
    again = ParabolaP(tmp_path / "cut")
    study = again.load_generate(n_trials=12)
    assert again.ran == list(range(6, 13))
    complete = [point for point in points(study) if point[2] == TrialState.COMPLETE]
    assert sorted(map(str, complete)) == sorted(map(str, points(whole)))
    assert BestParamsP(again, 12).load_generate() == whole.best_params


@pytest.mark.parametrize("is_given", [False, True], ids=["default", "given"])
def test_an_interruption_while_it_reads_repeats_nothing(
    tmp_path: Path, is_given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, _storage

    reading: Any = _storage.JournalStorageReplayResult
    apply = reading._apply_set_trial_state_values
    interrupted = []

    def interrupt(self: Any, log: dict[str, Any]) -> None:
        if log["trial_id"] == 5 and not interrupted:
            interrupted.append(log)
            raise KeyboardInterrupt
        apply(self, log)

    options: dict[str, Any] = {}
    if is_given:
        options["storage"] = JournalStorage(JournalFileBackend(str(tmp_path / "given.log")))
    asked = ParabolaP(tmp_path, **options)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "_apply_set_trial_state_values", interrupt)
        with pytest.raises(KeyboardInterrupt):
            asked.load_generate(n_trials=12)
    assert interrupted[0]["state"] == TrialState.COMPLETE
    study = asked.load_generate(n_trials=12)
    assert [trial.number for trial in study.trials] == list(range(12))
    assert asked.ran == list(range(12))


def test_what_an_objective_is_told_enters_no_key(tmp_path: Path) -> None:
    class ToldP(ParabolaP):
        def _objective(self, trial: Any, device: str = "none", **more: Any) -> float:
            trial.set_user_attr("told", [device, sorted(more)])
            return 1.0

    study = ToldP(tmp_path).load_generate(n_trials=1, n_jobs=1, device="cpu", batch=3)
    assert study.trials[0].user_attrs["told"] == ["cpu", ["batch"]]


# ---------------------------------------------------------------------------------------------------------------------
# Several workers


def test_threads_share_the_work_and_do_not_overshoot(tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def meet(trial: Any) -> None:
        if trial.number < 3:
            together.wait(timeout=30)

    asked = ParabolaP(tmp_path)
    asked.before = meet
    study = asked.load_generate(n_trials=20, n_jobs=3)
    assert len(study.trials) == 20
    assert sorted(asked.ran) == list(range(20))


def test_an_error_in_one_thread_ends_the_others(tmp_path: Path) -> None:
    def fail(trial: Any) -> None:
        raise ZeroDivisionError

    asked = ParabolaP(tmp_path)
    asked.before = fail
    with pytest.raises(StudyError, match="trials have failed"):
        asked.load_generate(n_trials=20, n_jobs=2, max_failures=3)
    assert threading.active_count() == 1 or not any("search" in thread.name for thread in threading.enumerate())


def test_processes_share_the_work(tmp_path: Path) -> None:
    class PidP(StudyP[StudyParams]):
        def _objective(self, trial: Any) -> float:
            import os
            import time

            trial.set_user_attr("pid", os.getpid())
            time.sleep(0.1)
            return float(trial.params["x"])

    asked = PidP(tmp_path, params())
    study = asked.load_generate(n_trials=20, n_processes=2)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert 20 <= len(complete) <= 21
    assert len({trial.user_attrs["pid"] for trial in complete}) == 2
    assert PidP(tmp_path, params()).load().trials == study.trials


# ---------------------------------------------------------------------------------------------------------------------
# Another study


def test_a_journal_of_another_space_is_refused_by_naming_the_difference(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    asked.load_generate(n_trials=3)
    journal = asked.persist_filepath / "journal.log"
    lines = journal.read_text()

    def refused(old: str, new: str) -> str:
        assert old in lines
        journal.write_text(lines.replace(old, new))
        with pytest.raises(StudyError) as caught:
            ParabolaP(tmp_path).load_generate(n_trials=4)
        assert f"in {journal} is not the one that the params define" in str(caught.value)
        return str(caught.value)

    assert "parameter 'x' is" in refused('"low":-5.0,"high":5.0', '"low":-5.0,"high":9.0')
    difference = "its directions are ['maximize'] there, and ['minimize'] here"
    assert difference in refused('"directions":[1]', '"directions":[2]')
    assert "was not made by persistable" in refused("persistable:search_space", "persistable:other")
    distribution = '\\"high\\": 5.0'
    assert "trial 0 has drawn 'x' from FloatDistribution(high=7.0" in refused(distribution, '\\"high\\": 7.0')
    journal.write_text(lines)
    assert len(ParabolaP(tmp_path).load_generate(n_trials=4).trials) == 4


def test_a_study_that_somebody_made_by_hand_is_not_taken_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    asked = ParabolaP(tmp_path, storage=url)
    study = optuna.create_study(study_name=f"parabola_p-{asked.key}", storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", -9, 9), n_trials=1)
    with pytest.raises(StudyError, match="does not say what it searches: it was not made by persistable"):
        asked.load_generate(n_trials=3)


def test_a_journal_that_is_gone_is_made_anew_from_the_artifact(tmp_path: Path) -> None:
    whole = ParabolaP(tmp_path / "whole", params(enqueued=[{"x": 0.0}])).load_generate(n_trials=12)
    asked = ParabolaP(tmp_path / "cut", params(enqueued=[{"x": 0.0}]))
    asked.load_generate(n_trials=6)
    (asked.persist_filepath / "journal.log").unlink()
    again = ParabolaP(tmp_path / "cut", params(enqueued=[{"x": 0.0}]))
    assert points(again.load_generate(n_trials=12)) == points(whole)
    assert again.ran == list(range(6, 12))


def test_a_journal_that_is_behind_the_artifact_is_set_aside_or_brought_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = ParabolaP(tmp_path)
    asked.load_generate(n_trials=4)
    journal = asked.persist_filepath / "journal.log"
    behind = journal.read_bytes()
    asked.load_generate(n_trials=8)
    journal.write_bytes(behind)
    assert len(ParabolaP(tmp_path).load_generate(n_trials=9).trials) == 9
    assert "set aside" not in caplog.text

    other = ParabolaP(tmp_path / "other")
    other.before = lambda trial: trial.set_user_attr("other", True)
    other.load_generate(n_trials=3)
    text = (other.persist_filepath / "journal.log").read_text()
    journal.write_text(text.replace('"values":[', '"values":[1e9'.replace("1e9", "9")))
    again = ParabolaP(tmp_path)
    assert len(again.load_generate(n_trials=10).trials) == 10
    assert "were set aside" in caplog.text
    assert again.ran == [9]


# ---------------------------------------------------------------------------------------------------------------------
# Making it anew


def test_generate_begins_anew_and_sets_aside_what_there_was(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    first = points(asked.load_generate(n_trials=4))
    assert points(asked.generate(n_trials=3)) == first[:3]
    assert asked.ran == [0, 1, 2, 3, 0, 1, 2]
    assert len(list(asked.persist_filepath.glob("journal-*.log"))) == 1
    assert len(ParabolaP(tmp_path).load().trials) == 3


def test_generate_without_persisting_leaves_nothing(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    assert len(asked.generate(persist=False, n_trials=4).trials) == 4
    assert not list(tmp_path.rglob("*.log"))
    assert not asked.exists()


def test_generate_is_refused_while_somebody_works_on_it(tmp_path: Path) -> None:
    asked, other = ParabolaP(tmp_path), ParabolaP(tmp_path)

    def begin_anew(trial: Any) -> None:
        if trial.number == 1:
            with pytest.raises(StudyError, match=r"1 trial of parabola_p-.* is running.* before that has ended"):
                other.generate(n_trials=1)

    asked.before = begin_anew
    assert len(asked.load_generate(n_trials=3).trials) == 3


# ---------------------------------------------------------------------------------------------------------------------
# What depends on it


class ModelP(Persistable[dict[str, Any], PersistableParams]):
    made = 0

    def __init__(self, data_dir: Any, best_p: BestParamsP) -> None:
        super().__init__(data_dir, PersistableParams(), [best_p])
        self.best_p = best_p

    def _generate_payload(self) -> dict[str, Any]:
        self.made += 1
        return dict(self.best_p.payload)


@dataclass
class FittedParams(PersistableParams):
    x: float
    n: int


class FittedP(Persistable[float, FittedParams]):
    made = 0

    def _generate_payload(self) -> float:
        self.made += 1
        return self.params.x


def test_a_choice_does_not_move_when_the_study_grows(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    best = BestParamsP(asked, n_trials=20)
    model = ModelP(tmp_path, best)
    chosen = model.load_generate()
    assert model.made == 1
    assert best.metrics["value"] == min(trial.value for trial in asked.payload.trials)
    file = best.persist_filepath / best.manifest.payload["file"]
    content = file.read_bytes()
    asked.load_generate(n_trials=60)

    assert file.read_bytes() == content
    grown = ParabolaP(tmp_path)
    again = ModelP(tmp_path, BestParamsP(grown, n_trials=20))
    assert (again.load_generate(), again.made) == (chosen, 0)
    anew = BestParamsP(grown, n_trials=20, data_dir=tmp_path / "elsewhere")
    assert anew.load_generate() == best.payload  # chosen from 60, it is the same
    assert (anew.persist_filepath / anew.manifest.payload["file"]).read_bytes() == content

    more = BestParamsP(grown, n_trials=60)
    assert more.key != best.key
    assert more.load_generate() == grown.load().best_params
    assert grown.ran == []
    fitted = [FittedP(tmp_path, FittedParams(**each.load_generate())) for each in (best, more, anew)]
    for each in fitted:
        each.load_generate()
    same = best.payload == more.payload
    assert [each.made for each in fitted] == [1, 0 if same else 1, 0]  # made again where the parameters differ


def test_a_choice_asks_the_study_for_what_is_missing(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    asked.load_generate(n_trials=5)
    BestParamsP(asked, n_trials=8).load_generate()
    assert asked.ran == list(range(8))
    asked.before = lambda trial: time.sleep(0.05)
    with pytest.raises(StudyError, match=r"has \d+ complete trials, and 500 are to be chosen from: its time ran out"):
        BestParamsP(asked, n_trials=500).load_generate(timeout=0.1)


def test_a_choice_is_made_of_settled_trials_only(tmp_path: Path) -> None:
    slow_may_end = threading.Event()

    def slow(trial: Any) -> None:
        if trial.number == 1:
            slow_may_end.wait(30)
        elif trial.number == 2:
            threading.Timer(0.5, slow_may_end.set).start()  # after trial 2 has ended

    asked = ParabolaP(tmp_path)
    asked.before = slow
    asked.load_generate(n_trials=3, n_jobs=2)  # trial 1 is the last to end, and is waited for
    study = asked.payload
    first = [trial for trial in study.trials if trial.number < 3]
    assert BestParamsP(asked, 3).load_generate() == min(first, key=lambda trial: trial.value).params


@pytest.mark.parametrize("n_trials", [0, -1, 1.5, True, None])
def test_a_choice_from_no_number_of_trials_is_refused(n_trials: Any) -> None:
    with pytest.raises(ParamsError, match="n_trials must be a whole number, 1 or more"):
        BestParamsP(ParabolaP("nowhere"), n_trials)


def test_what_was_made_of_a_study_is_read_without_optuna(tmp_path: Path) -> None:
    code = f"""if True:
        import sys
        from persistable.studies import BestParamsP, Float, StudyP, StudyParams
        class ParabolaP(StudyP[StudyParams]):
            def _objective(self, trial):
                return trial.params["x"]
        study_p = ParabolaP({str(tmp_path)!r}, StudyParams(search_space={{"x": Float(0, 1)}}))
        best_p = BestParamsP(study_p, n_trials=3)
        print(best_p.load_generate(), "optuna" in sys.modules)
    """
    made, found = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2))
    assert made.stdout.endswith("True\n"), made.stderr
    assert found.stdout == made.stdout.replace("True", "False"), found.stderr


# ---------------------------------------------------------------------------------------------------------------------
# What is kept


def test_the_manifest_says_how_the_search_went_in_real_numbers(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    asked.load_generate(n_trials=6)
    metrics = ParabolaP(tmp_path).manifest.metrics
    assert metrics["n_trials"] == metrics["n_complete"] == 6
    assert metrics["best_value"] == asked.payload.best_value
    assert metrics["best_params"] == asked.payload.best_params
    assert isinstance(metrics["seconds"], float)


def test_a_snapshot_names_no_machine(tmp_path: Path) -> None:
    import socket

    asked = ParabolaP(tmp_path)
    asked.load_generate(n_trials=3)
    payload = asked.persist_filepath / asked.manifest.payload["file"]
    assert socket.gethostname() not in payload.read_text()
    assert "persistable:worker" not in payload.read_text()


def test_two_searches_of_the_same_params_have_the_same_trials_on_disk_but_for_the_times(tmp_path: Path) -> None:
    def lines(folder: str) -> list[str]:
        asked = ParabolaP(tmp_path / folder)
        asked.load_generate(n_trials=4)
        records = map(json.loads, (asked.persist_filepath / asked.manifest.payload["file"]).read_text().splitlines())
        return [json.dumps({k: v for k, v in record.items() if not k.startswith("datetime")}) for record in records]

    assert lines("one") == lines("other")


def test_the_log_of_the_search_is_kept_and_optuna_is_not_heard(tmp_path: Path, capfd: Any) -> None:
    asked = ParabolaP(tmp_path)
    optuna.logging.set_verbosity(logging.INFO)
    asked.load_generate(n_trials=3)
    log = (asked.persist_filepath / "generation.log").read_text()
    assert "Trial 2 is complete: " in log
    assert "parabola_p: 3 complete; best " in log
    assert capfd.readouterr().err == ""


def test_a_study_and_its_choice_can_be_sent_to_another_process(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path, storage=tmp_path / "mine.log")
    asked.before = None  # type: ignore[assignment]
    asked.__dict__.pop("before")
    sent = pickle.loads(pickle.dumps(BestParamsP(asked, 3)))
    sent.study_p.before = lambda trial: None
    assert sent.load_generate().keys() == {"x", "n"}
    assert (tmp_path / "mine.log").exists()


def test_a_card_in_a_notebook_reads_no_payload(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    assert "parabola_p" in asked._repr_html_()
    asked.load_generate(n_trials=3)
    fresh = ParabolaP(tmp_path)
    assert "3 complete" in fresh._repr_html_()
    assert fresh._payload_in_memory() is None
    assert "svg" in asked._repr_html_()


def test_it_says_where_its_trials_lie_without_making_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ParabolaP(tmp_path)
    assert asked.storage_url == str(asked.persist_filepath / "journal.log")
    assert ParabolaP(tmp_path, storage="trials.log").storage_url == str(Path("trials.log").absolute())
    assert ParabolaP(tmp_path, storage=f"sqlite:///{tmp_path}/a.db").storage_url == f"sqlite:///{tmp_path}/a.db"
    secret = ParabolaP(tmp_path, storage="postgresql://ann:secret@db/trials")
    assert secret.storage_url == "postgresql://ann:***@db/trials"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert ParabolaP("s3://team/a").storage_url.endswith(f"{asked.key.folder}{os.sep}journal.log")
    assert not list(tmp_path.iterdir())
    asked.load_generate(n_trials=2)
    assert Path(asked.storage_url).exists()


def test_a_table_and_a_plot_of_what_is_there(tmp_path: Path) -> None:
    asked = ParabolaP(tmp_path)
    asked.load_generate(n_trials=12)
    assert list(ParabolaP(tmp_path).to_frame()["number"]) == list(range(12))
    assert ParabolaP(tmp_path).plot_history() is not None


def test_a_store_that_takes_no_leases_is_searched_too(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, single_flight=False)
    assert len(ParabolaP(store).load_generate(n_trials=3).trials) == 3


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis", "grpc"])
def test_wherever_its_trials_lie_it_is_the_same_study(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/trials.db" if kind == "sqlite" else request.getfixturevalue(f"{kind}_server").url
    own = params(seed=int.from_bytes(os.urandom(4), "big"))  # Redis and the proxy are shared with other tests
    whole = ParabolaP(tmp_path / "whole", own).load_generate(n_trials=10)
    ParabolaP(tmp_path, own, storage=url).generate(n_trials=2)  # there is nothing yet to be set aside
    for n_trials in (4, 10):
        pieces = ParabolaP(tmp_path, own, storage=url).load_generate(n_trials=n_trials)
    assert points(pieces) == points(whole)
    assert not list(tmp_path.glob("parabola_p/*/journal.log"))
    with pytest.raises(StudyError, match=r"Only a journal can be set aside, and the trials of parabola_p-\w+ lie in"):
        ParabolaP(tmp_path, own, storage=url).generate(n_trials=1)


@pytest.mark.parametrize("violation", [0.5, "much", ZeroDivisionError])
def test_constraints_that_are_none_fail_their_trial_and_ruin_no_study(tmp_path: Path, violation: Any) -> None:
    class OddP(ParabolaP):
        def _constraints(self, trial: Any) -> Any:
            if trial.number == 1:
                if isinstance(violation, type):
                    raise violation
                return violation
            return [-1.0]

    study = OddP(tmp_path).load_generate(n_trials=4)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert len(OddP(tmp_path).load_generate(n_trials=6).trials) == 7


def test_a_study_without_an_objective_is_not_begun(tmp_path: Path) -> None:
    class IdleP(StudyP[StudyParams]):
        pass

    with pytest.raises(NotImplementedError, match=r"IdleP does not say what a trial is worth: define _objective"):
        IdleP(tmp_path, params()).load_generate(n_trials=2)
    assert not list(tmp_path.rglob("journal.log"))
