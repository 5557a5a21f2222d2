"""A search in pieces is the search in one go, to the last bit; also where a worker died on the way."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from importlib.util import find_spec

import pytest

optuna = pytest.importorskip("optuna")

from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

from persistable.exceptions import ParamsError  # noqa: E402
from persistable.studies.algorithms import Operator, Pruner, Sampler, trial_seed  # noqa: E402
from persistable.studies.seeding import (  # noqa: E402
    LOST,
    REPEATS,
    SeededPruner,
    SeededSampler,
    ordinal,
    repeat_lost,
)
from persistable.studies.space import Categorical, Float, Int, suggest_all  # noqa: E402

SEED = 7

NUMBERS = {"x": Float(-2, 2), "rate": Float(1e-3, 1.0, log=True), "n": Int(1, 40)}
MIXED = {**NUMBERS, "kernel": Categorical(["rbf", "linear", None])}
GRID = {"x": Float(-2, 2, step=1), "n": Int(1, 3), "kernel": Categorical(["rbf", "linear"])}

needs = {
    name: pytest.mark.skipif(not all(map(find_spec, packages)), reason=f"needs {packages}")
    for name, packages in {"GPSampler": ["torch", "scipy"], "CmaEsSampler": ["cmaes"], "QMCSampler": ["scipy"]}.items()
}


def case(name, space=MIXED, objectives=(1, 2), constrained=(False, True), slow=False, **arguments):
    spec = Sampler(name, **arguments)
    marks = [needs[name]] if name in needs else []
    marks += [pytest.mark.slow] if slow else []
    return [
        pytest.param(spec, space, n, constraints, id=f"{spec!r}-{n}{'-constrained' * constraints}", marks=marks)
        for n, constraints in itertools.product(objectives, constrained)
    ]


CASES = [
    *case("RandomSampler"),
    *case("TPESampler", n_startup_trials=5),
    *case("TPESampler", objectives=[1], constrained=[False], n_startup_trials=5, group=True, constant_liar=False),
    *case("QMCSampler", constrained=[False]),
    *case("QMCSampler", objectives=[1], constrained=[False], qmc_type="halton", scramble=True),
    *case("GPSampler", objectives=[1], constrained=[False], n_startup_trials=22),  # a second a trial
    *case("GPSampler", objectives=[1], constrained=[True], slow=True, n_startup_trials=17),
    *case("GPSampler", objectives=[2], constrained=[False], slow=True, n_startup_trials=17),
    *case("NSGAIISampler", population_size=6),
    *case("NSGAIISampler", NUMBERS, [2], [False], population_size=6, crossover=Operator("SBXCrossover")),
    *case("NSGAIIISampler", population_size=6),
    *case("CmaEsSampler", NUMBERS, [1]),
    *case("CmaEsSampler", MIXED, [1], [False], popsize=5, with_margin=True),
    *case("GridSampler", GRID),
    *case("BruteForceSampler", GRID),
    *case("PartialFixedSampler", MIXED, [1], [False], fixed_params={"n": 3}, base_sampler=Sampler("TPESampler")),
]


@pytest.fixture(autouse=True)
def quick_and_quiet(monkeypatch, optunas_level_as_before):
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # no machine crashes here
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class Search:
    """A study in a journal that is opened anew for each piece, as another process would."""

    def __init__(self, path, spec, space, n_objectives=1, constrained=False, pruner=None):
        self.path, self.spec, self.space, self.pruner = path, spec, space, pruner or Pruner("NopPruner")
        self.n_objectives, self.constrained = n_objectives, constrained

    def open(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a journal was experimental
            storage = JournalStorage(JournalFileBackend(str(self.path)))
        constraints = (lambda trial: [trial.params["x"] - 1]) if self.constrained else None
        return optuna.create_study(
            study_name="search",
            storage=storage,
            directions=["minimize"] * self.n_objectives,
            sampler=SeededSampler(self.spec, SEED, self.space, constraints=constraints),
            pruner=SeededPruner(self.pruner),
            load_if_exists=True,
        )

    def objective(self, trial):
        point = suggest_all(trial, self.space)
        score = point["x"] ** 2 + math.log(point["n"]) + (point.get("kernel") == "rbf")
        if self.n_objectives > 1:
            return score, (point["x"] - 1) ** 2 + point.get("rate", 0)
        if self.pruner.name != "NopPruner":
            more = 0 if self.pruner.name == "WilcoxonPruner" else point["n"] % 5  # it warns of steps that differ
            for step in range(6 + more):
                trial.report(score + 3 / (step + 1) + math.sin(step * point["n"]), step)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return score

    def run(self, *pieces):
        for n_trials in pieces:
            self.open().optimize(self.objective, n_trials=n_trials)
        return self

    def lose(self, after_suggesting=True):
        """Begin a trial, and die; the next process finds it running."""
        study = self.open()
        trial = study.ask()
        if after_suggesting:
            suggest_all(trial, self.space)
            if self.pruner.name != "NopPruner":
                for step in range(4):
                    trial.report(-100.0, step)
                    trial.should_prune()
        else:
            name = min(self.space)
            suggest_all(trial, {name: self.space[name]})
        study = self.open()
        assert repeat_lost(study, [trial.number]) == [trial.number + 1]
        return self

    @property
    def trials(self):
        """Return what came out, the lost ones left out."""
        return [
            (trial.params, trial.values, trial.state, trial.system_attrs.get("constraints"))
            for trial in self.open().trials
            if LOST not in trial.user_attrs
        ]


@pytest.mark.parametrize(("spec", "space", "n_objectives", "constrained"), CASES)
def test_pieces_of_a_search_are_the_search_in_one_go(tmp_path, spec, space, n_objectives, constrained):
    def search(name):
        return Search(tmp_path / name, spec, space, n_objectives, constrained)

    whole = search("24").run(24).trials
    assert len(whole) == 24
    assert (whole[0][3] is not None) == constrained
    assert search("10 + 14").run(10, 14).trials == whole
    assert search("24 x 1").run(*[1] * 24).trials == whole
    # At the 6th and the 18th trial a worker dies, and the next one too; at the 7th and 13th before it drew all.
    interrupted = search("lost").run(6).lose().lose().run(1).lose(after_suggesting=False).run(1, 4)
    interrupted.lose(after_suggesting=False).run(6).lose().run(6)
    assert interrupted.trials == whole


PRUNERS = [
    Pruner("MedianPruner", n_startup_trials=3),
    Pruner("PercentilePruner", percentile=30, n_startup_trials=3),
    Pruner("SuccessiveHalvingPruner"),
    Pruner("SuccessiveHalvingPruner", min_resource=2, reduction_factor=2),
    Pruner("HyperbandPruner"),
    Pruner("HyperbandPruner", max_resource=8),
    Pruner("ThresholdPruner", upper=7),
    Pruner("PatientPruner", wrapped_pruner=Pruner("SuccessiveHalvingPruner"), patience=1),
    pytest.param(
        Pruner("WilcoxonPruner"), marks=pytest.mark.skipif(find_spec("scipy") is None, reason="needs ['scipy']")
    ),
]


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_pieces_of_a_search_prune_as_the_search_in_one_go(tmp_path, pruner):
    spec = Sampler("TPESampler", n_startup_trials=5)

    def search(name):
        return Search(tmp_path / name, spec, MIXED, pruner=pruner)

    whole = search("24").run(24).trials
    if pruner.name not in ("WilcoxonPruner",):
        assert {state for *_, state, _ in whole} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert search("10 + 14").run(10, 14).trials == whole
    assert search("24 x 1").run(*[1] * 24).trials == whole
    assert search("lost").run(6).lose().lose().run(7).lose().run(11).trials == whole


@pytest.mark.parametrize("pruner", [Pruner("SuccessiveHalvingPruner"), Pruner("HyperbandPruner")], ids=repr)
def test_what_auto_settles_is_what_optuna_settles_in_one_go(tmp_path, pruner):
    from persistable.studies.algorithms import make_pruner

    def states(pruner, name):
        search = Search(tmp_path / name, Sampler("RandomSampler"), MIXED, pruner=Pruner("HyperbandPruner"))
        study = search.open()
        study.pruner = pruner
        study.optimize(search.objective, n_trials=30)
        return [trial.state for trial in study.trials]

    assert states(SeededPruner(pruner), "ours") == states(make_pruner(pruner), "optuna's")


def test_a_hyperband_of_optunas_own_serves_too(tmp_path):
    def params(name, pieces):
        search = Search(tmp_path / name, Sampler("TPESampler"), MIXED, pruner=Pruner("HyperbandPruner", max_resource=8))
        for n_trials in pieces:
            study = search.open()
            study.pruner = optuna.pruners.HyperbandPruner(max_resource=8)
            study.optimize(search.objective, n_trials=n_trials)
        return search.trials

    assert params("whole", [14]) == params("pieces", [5, 9])


def test_other_seeds_and_other_trials_draw_other_points():
    drawn = set()
    for seed in (1, 2, 2**70, -3):
        study = optuna.create_study(sampler=SeededSampler(Sampler("RandomSampler"), seed, NUMBERS))
        study.optimize(lambda trial: suggest_all(trial, NUMBERS)["x"], n_trials=30)
        drawn |= {tuple(trial.params.values()) for trial in study.trials}
    assert len(drawn) == 4 * 30


def test_no_two_trials_of_a_study_share_a_seed():
    assert len({trial_seed(7, number) for number in range(100_000)}) == 100_000
    assert [trial_seed(0, 0), trial_seed(7, 23), trial_seed(2**70, 5)] == [2470352599, 1583198698, 1992671473]


def test_enqueued_points_come_first_and_change_nothing_after_a_loss(tmp_path):
    def search(name):
        search = Search(tmp_path / name, Sampler("QMCSampler") if find_spec("scipy") else Sampler("TPESampler"), MIXED)
        study = search.open()
        study.enqueue_trial({"x": 1.5, "rate": 0.5, "n": 2, "kernel": None})
        study.enqueue_trial({"x": 0.5, "rate": 0.5, "n": 2, "kernel": "rbf"})
        return search

    whole = search("whole").run(12).trials
    assert [point["x"] for point, *_ in whole[:2]] == [1.5, 0.5]
    assert search("pieces").run(1, 3, 8).trials == whole
    lost = search("lost")
    study = lost.open()
    suggest_all(study.ask(), MIXED)
    repeat_lost(study, [0])
    assert lost.run(12).open().trials[2].params["x"] == 1.5
    assert sorted(map(repr, lost.trials)) == sorted(map(repr, whole))


def test_workers_in_threads_draw_different_points(tmp_path):
    search = Search(tmp_path / "search", Sampler("RandomSampler"), MIXED)
    study = search.open()
    study.optimize(search.objective, n_trials=40, n_jobs=4)
    alone = Search(tmp_path / "alone", Sampler("RandomSampler"), MIXED).run(40)
    assert {repr(trial.params) for trial in study.trials} == {repr(point) for point, *_ in alone.trials}
    assert not study.sampler._drawing


# ---------------------------------------------------------------------------------------------------------------------
# Lost trials


def test_ordinals_do_not_move_once_a_trial_is_born():
    study = optuna.create_study(sampler=SeededSampler(Sampler("RandomSampler"), 1, NUMBERS))
    for _ in range(4):
        study.ask()
    assert repeat_lost(study, [1]) == [4]  # after 2 and 3 have begun
    study.ask()  # takes up the repetition
    study.ask()
    assert [ordinal(study, trial) for trial in study.trials] == [0, 1, 2, 3, 1, 4]
    assert repeat_lost(study, [4, 0]) == [6, 7]
    assert [ordinal(study, trial) for trial in study.trials] == [0, 1, 2, 3, 1, 4, 0, 1]
    # of a second repetition by another process, which did not know of the first
    study._storage.create_new_trial(
        study._study_id, optuna.trial.create_trial(state=TrialState.WAITING, system_attrs={REPEATS: 1})
    )
    assert ordinal(study, study.trials[-1]) == 5


def test_a_trial_that_finished_after_all_is_not_repeated():
    study = optuna.create_study(sampler=SeededSampler(Sampler("RandomSampler"), 1, NUMBERS))
    trial = study.ask()
    study.tell(trial, 1.0)
    assert repeat_lost(study, [0]) == []
    assert study.trials[0].state == TrialState.COMPLETE
    assert len(study.trials) == 1


def test_a_repetition_that_was_not_enqueued_is_enqueued_by_the_next_call():
    study = optuna.create_study(sampler=SeededSampler(Sampler("RandomSampler"), 1, NUMBERS))
    study.ask().set_user_attr(LOST, True)
    study._storage.set_trial_state_values(study.trials[0]._trial_id, TrialState.FAIL)
    assert repeat_lost(study) == [1]
    assert repeat_lost(study) == []


def test_a_trial_that_failed_by_itself_is_not_repeated_and_counts():
    study = optuna.create_study(sampler=SeededSampler(Sampler("RandomSampler"), 1, NUMBERS))
    study.tell(study.ask(), state=TrialState.FAIL)
    assert repeat_lost(study) == []
    study.ask()
    assert [ordinal(study, trial) for trial in study.trials] == [0, 1]


# ---------------------------------------------------------------------------------------------------------------------
# Exhaustive samplers

SIZE = 5 * 3 * 2
EXHAUSTIVE = [Sampler("GridSampler"), Sampler("BruteForceSampler")]


def points_of(search):
    return [tuple(point.values()) for point, *_ in search.trials]


@pytest.mark.parametrize("spec", EXHAUSTIVE, ids=repr)
def test_each_point_is_tried_once_and_then_the_study_stops(tmp_path, spec):
    search = Search(tmp_path / "search", spec, GRID).run(7).lose().run(4).lose(after_suggesting=False)
    assert not search.open().sampler.is_exhausted(search.open())
    search.run(100)
    assert len(points_of(search)) == len(set(points_of(search))) == SIZE
    assert search.open().sampler.is_exhausted(search.open())


@pytest.mark.parametrize("spec", EXHAUSTIVE, ids=repr)
def test_ask_and_tell_until_it_is_exhausted(tmp_path, spec):
    search = Search(tmp_path / "search", spec, GRID)
    study = search.open()
    asked = 0
    while not study.sampler.is_exhausted(study):
        trial = study.ask()
        study.tell(trial, search.objective(trial))
        asked += 1
    assert asked == len(set(points_of(search))) == SIZE


@pytest.mark.parametrize("spec", EXHAUSTIVE, ids=repr)
def test_a_point_whose_objective_failed_has_been_tried(tmp_path, spec):
    search = Search(tmp_path / "search", spec, GRID)

    def objective(trial):
        if search.objective(trial) > 1:
            raise ValueError
        return 0.0

    study = search.open()
    study.optimize(objective, n_trials=100, catch=[ValueError])
    assert len(study.trials) == len(set(points_of(search))) == SIZE
    assert study.sampler.is_exhausted(study)


def test_points_on_and_beside_the_grid_may_be_enqueued(tmp_path):
    search = Search(tmp_path / "search", Sampler("BruteForceSampler"), GRID)
    search.open().enqueue_trial({"x": 1.0, "n": 2, "kernel": "rbf"})
    search.run(100)
    assert len(points_of(search)) == SIZE


def test_what_is_fixed_makes_the_grid_smaller(tmp_path):
    spec = Sampler("PartialFixedSampler", fixed_params={"n": 2}, base_sampler=Sampler("GridSampler"))
    search = Search(tmp_path / "search", spec, GRID).run(100)
    assert len(points_of(search)) == len(set(points_of(search))) == 5 * 2
    assert search.open().sampler.is_exhausted(search.open())


def test_other_samplers_are_never_exhausted():
    assert not SeededSampler(Sampler("RandomSampler"), 1, GRID).is_exhausted(optuna.create_study())


def test_what_is_wrong_is_said_when_the_sampler_is_made():
    for name in ("GridSampler", "BruteForceSampler"):
        with pytest.raises(ParamsError, match=rf"The {name} needs finitely many values.*'rate'.*Give it a step"):
            SeededSampler(Sampler(name), 1, {"rate": Float(0, 1)})
