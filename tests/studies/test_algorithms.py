"""Samplers and pruners by name: every argument in the key, every argument passed, no surprise by another Optuna."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import re
import warnings
from importlib.util import find_spec

import pytest

from persistable import MissingDependencyError, ParamsError, PersistableParams, UntrackableValueError
from persistable.keys import fingerprint
from persistable.params import readable
from persistable.studies import algorithms
from persistable.studies.algorithms import (
    OPERATORS,
    PRUNERS,
    REQUIRED,
    SAMPLERS,
    Operator,
    Pruner,
    Sampler,
    make_pruner,
    make_sampler,
)
from persistable.studies.space import Categorical, Float, Int

SPACE = {"x": Float(0, 1, step=0.5), "n": Int(1, 3)}

# What is in Optuna 5.0 and not in our tables, and why.
LEFT_OUT = {
    "BruteForceSampler": {"seed"},
    "CmaEsSampler": {"seed", "x0", "sigma0", "restart_strategy", "inc_popsize", "source_trials"},
    "GPSampler": {"seed", "constraints_func"},
    "GridSampler": {"seed", "search_space"},
    "NSGAIISampler": {"seed", "constraints_func"},
    "NSGAIIISampler": {"seed", "constraints_func"},
    "QMCSampler": {"seed"},
    "RandomSampler": {"seed"},
    "TPESampler": {
        *("seed", "constraints_func"),
        *("consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "gamma", "weights"),
    },
}

WHAT_TO_DO = (
    "Optuna {version} has other {what} than the tables in persistable/studies/algorithms.py. A new argument: let it "
    "enter `arguments` (and so the key) only where it differs from its default, or every key changes. A new default: "
    "leave ours. A new class: add it. A new deprecation: leave our argument until it is gone, then say so in LEFT_OUT."
)


@dataclasses.dataclass
class Params(PersistableParams):
    sampler: Sampler
    pruner: Pruner


def example(kind, name):
    """Return a spec with what it requires."""
    required = {
        "PartialFixedSampler": {"fixed_params": {"n": 2}, "base_sampler": Sampler("RandomSampler")},
        "PatientPruner": {"wrapped_pruner": Pruner("MedianPruner"), "patience": 2},
        "PercentilePruner": {"percentile": 25},
        "ThresholdPruner": {"upper": 1},
    }
    return kind(name, **required.get(name, {}))


EVERY = [example(kind, name) for kind in (Sampler, Pruner) for name in kind.table]


# ---------------------------------------------------------------------------------------------------------------------
# As values


def test_a_representation_shows_what_differs_from_the_defaults():
    assert repr(Sampler("TPESampler", n_startup_trials=20)) == "Sampler('TPESampler', n_startup_trials=20)"
    assert repr(Sampler("TPESampler", n_startup_trials=10)) == "Sampler('TPESampler')"
    for spec in EVERY:
        assert eval(repr(spec)) == spec


def test_equal_specs_are_equal_and_hash_alike():
    assert Sampler("CmaEsSampler") == Sampler("CmaEsSampler", popsize=None)
    assert hash(Sampler("CmaEsSampler")) == hash(Sampler("CmaEsSampler", popsize=None))
    assert Sampler("CmaEsSampler") != Sampler("CmaEsSampler", popsize=8)
    assert Pruner("NopPruner") != "NopPruner"
    assert Pruner("PercentilePruner", percentile=25) == Pruner("PercentilePruner", percentile=25.0)
    for spec in EVERY:
        assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_spec_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sampler("RandomSampler").name = "TPESampler"


def test_the_readable_form_has_every_argument():
    assert readable(Params(Sampler("TPESampler"), Pruner("NopPruner")))["$Params"]["sampler"] == {
        "$Sampler": {
            "name": "TPESampler",
            "arguments": {
                "n_startup_trials": 10,
                "n_ei_candidates": 24,
                "multivariate": None,
                "group": False,
                "constant_liar": True,
            },
        }
    }


GOLDEN = {
    "tpe": (Sampler("TPESampler"), Pruner("NopPruner")),
    "nsga": (
        Sampler("NSGAIIISampler", crossover=Operator("SBXCrossover", eta=2), reference_points=[[0, 1], [1, 0]]),
        Pruner("PatientPruner", wrapped_pruner=Pruner("HyperbandPruner"), patience=3),
    ),
    "fixed": (
        Sampler("PartialFixedSampler", fixed_params={"n": 2}, base_sampler=Sampler("CmaEsSampler", popsize=8)),
        Pruner("PercentilePruner", percentile=25),
    ),
}


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("tpe", "8f0b3e121d0da600738d60de8f506d92"),
        ("nsga", "ab73c7234455803e46900c0777ce6e59"),
        ("fixed", "be48e43d68a7f8a6ea52c1fdfaecda79"),
    ],
)
def test_the_key_of_a_spec_never_changes(name, digest):
    assert fingerprint("study", None, Params(*GOLDEN[name]), {}) == digest


def test_a_key_does_not_import_optuna(run_python):
    code = """if True:
        import dataclasses, sys
        from persistable import PersistableParams
        from persistable.keys import fingerprint
        from persistable.studies.algorithms import Operator, Pruner, Sampler
        from persistable.studies.space import Float, checked_space

        @dataclasses.dataclass
        class Params(PersistableParams):
            search_space: dict
            sampler: Sampler
            pruner: Pruner

        sampler = Sampler("NSGAIISampler", crossover=Operator("SBXCrossover"))
        params = Params(checked_space({"x": Float(0, 1)}), sampler, Pruner("MedianPruner"))
        fingerprint("study", None, params, {})
        print({"optuna", "numpy", "torch", "scipy"} & set(sys.modules))
    """
    assert run_python(code).strip() == "set()"


def strategy(study, population):
    return population


def test_strategies_are_functions_that_can_be_imported():
    for function in (lambda study, population: population, [].append):
        with pytest.raises(UntrackableValueError, match=re.escape("Sampler('NSGAIISampler', elite_population_")):
            Sampler("NSGAIISampler", elite_population_selection_strategy=function)
    assert "strategy" in repr(Sampler("NSGAIISampler", elite_population_selection_strategy=strategy))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sampler("TPE"), "there is no 'TPE'. Did you mean 'TPESampler'? There is: BruteForceSampler, Cma"),
        (lambda: Sampler("tpesampler"), "Did you mean 'TPESampler'?"),
        (lambda: Pruner("zzz"), "Pruner: there is no 'zzz'. There is: HyperbandPruner, MedianPruner"),
        (lambda: Sampler("TPESampler", n_startup=3), "has no argument 'n_startup'. Did you mean 'n_startup_trials'?"),
        (lambda: Sampler("RandomSampler", seed=3), "Sampler('RandomSampler') has no argument 'seed'. It takes none."),
        (lambda: Pruner("PatientPruner", patience=3), "Pruner('PatientPruner') needs the argument 'wrapped_pruner'."),
        (lambda: Sampler("TPESampler", n_startup_trials="20"), "n_startup_trials=...) takes int, got '20'"),
        (lambda: Sampler("TPESampler", group=1), "takes bool, got 1"),
        (lambda: Sampler("NSGAIISampler", crossover="SBX"), "crossover=...) takes Operator or None, got 'SBX'"),
        (lambda: Sampler("NSGAIISampler", mutation_prob="x"), "mutation_prob=...) takes float or None, got 'x'"),
        (lambda: Sampler("CmaEsSampler", independent_sampler=Pruner("NopPruner")), "takes Sampler or None"),
        (lambda: Pruner("PercentilePruner", percentile=None), "percentile=...) takes float, got None"),
    ],
)
def test_what_is_wrong_is_named(make, message):
    with pytest.raises(ParamsError, match=re.escape(message)):
        make()


# ---------------------------------------------------------------------------------------------------------------------
# As objects of Optuna


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna")


def installed(optuna):
    return tuple(map(int, optuna.__version__.split(".")[:2]))


def defaults_of(kind):
    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != "self"
    }


@pytest.mark.parametrize(
    ("module", "table"), [("samplers", SAMPLERS), ("pruners", PRUNERS), ("samplers.nsgaii", OPERATORS)]
)
def test_the_tables_are_what_optuna_has(optuna, module, table):
    if installed(optuna) < (5, 0):
        pytest.skip("the tables are those of Optuna 5.0")
    import importlib

    names = importlib.import_module(f"optuna.{module}")
    advice = WHAT_TO_DO.format(version=optuna.__version__, what="classes")
    bases = {name for name in names.__all__ if name.startswith("Base")} | {"nsgaii"}
    classes = {name for name in names.__all__ if inspect.isclass(getattr(names, name))}
    assert classes - bases == table.keys(), advice
    for name, arguments in table.items():
        theirs = defaults_of(getattr(names, name))
        assert theirs.keys() >= LEFT_OUT.get(name, set()), advice
        theirs = {
            argument: REQUIRED if default is inspect.Parameter.empty else default
            for argument, default in theirs.items()
            if argument not in LEFT_OUT.get(name, ()) and not argument.startswith("warn_")
        }
        assert theirs == dict(arguments), f"{name}: {advice}"


def is_missing(spec):
    return [package for package in algorithms._NEEDED.get(spec.name, ()) if find_spec(package) is None]


@pytest.mark.parametrize("spec", EVERY, ids=repr)
def test_every_spec_makes_optunas_object_without_a_warning(optuna, spec, recwarn):
    warnings.simplefilter("always")
    if is_missing(spec):
        with pytest.raises(MissingDependencyError, match=rf"The {spec.name} needs .*persistable\[optuna\]"):
            make_sampler(spec, 1) if isinstance(spec, Sampler) else make_pruner(spec)
        return
    made = make_sampler(spec, 1, ordinal=3, space=SPACE) if isinstance(spec, Sampler) else make_pruner(spec)
    assert type(made).__name__ == spec.name
    assert not recwarn.list


@pytest.mark.parametrize("name", [*OPERATORS])
def test_every_operator_serves_a_genetic_sampler(optuna, name, recwarn):
    warnings.simplefilter("always")
    kind = "mutation" if name.endswith("Mutation") else "crossover"
    spec = Sampler("NSGAIISampler", **{kind: Operator(name)})
    if kind == "mutation" and installed(optuna) < (5, 0):
        with pytest.raises(ParamsError, match=r"PolynomialMutation is not in Optuna 4.*: Optuna 5.0 has it"):
            make_sampler(spec, 1)
        return
    sampler = make_sampler(spec, 1)
    assert type(getattr(sampler._child_generation_strategy, f"_{kind}")).__name__ == name
    assert not recwarn.list


def test_arguments_arrive(optuna):
    sampler = make_sampler(Sampler("TPESampler", n_startup_trials=3, n_ei_candidates=7, constant_liar=False), 1)
    assert (sampler._n_startup_trials, sampler._n_ei_candidates, sampler._constant_liar) == (3, 7, False)
    pruner = make_pruner(Pruner("PatientPruner", wrapped_pruner=Pruner("PercentilePruner", percentile=30), patience=2))
    assert pruner._wrapped_pruner._percentile == 30
    assert pruner._patience == 2
    points = make_sampler(Sampler("NSGAIIISampler", reference_points=[[0, 1], [1, 0]]), 1)
    assert points._elite_population_selection_strategy._reference_points.shape == (2, 2)


def test_tpe_is_multivariate_as_optuna_5_decides_whatever_is_installed(optuna):
    def multivariate(n_objectives, **arguments):
        return make_sampler(Sampler("TPESampler", **arguments), 1, n_objectives=n_objectives)._multivariate

    assert [multivariate(1), multivariate(2)] == [True, False]
    assert [multivariate(1, multivariate=False), multivariate(2, multivariate=True)] == [False, True]
    assert multivariate(2, group=True)


def test_without_an_ordinal_it_is_optunas_own_with_this_seed(optuna):
    def draws(sampler):
        study = optuna.create_study(sampler=sampler)
        return [study.ask().suggest_float("x", 0, 1) for _ in range(3)]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert draws(make_sampler(Sampler("RandomSampler"), 5)) == draws(optuna.samplers.RandomSampler(seed=5))


def test_the_grid_is_the_space(optuna):
    space = {"x": Float(0, 1, step=0.5), "kernel": Categorical(["rbf", None]), "n": Int(1, 5, step=2)}
    sampler = make_sampler(Sampler("GridSampler"), 1, space=space)
    assert sampler._search_space == {"kernel": ["rbf", None], "n": [1, 3, 5], "x": [0.0, 0.5, 1.0]}
    with pytest.raises(ParamsError, match="The GridSampler tries each point of the search space: pass the space"):
        make_sampler(Sampler("GridSampler"), 1)


def test_constraints_go_to_those_that_take_them(optuna):
    def constraints(trial):
        return [0.0]

    assert make_sampler(Sampler("TPESampler"), 1, constraints=constraints)._constraints_func is constraints
    make_sampler(Sampler("RandomSampler"), 1, constraints=constraints)


def test_what_is_fixed_is_in_the_space(optuna):
    def fixed(point, base="GridSampler"):
        return Sampler("PartialFixedSampler", fixed_params=point, base_sampler=Sampler(base))

    with pytest.raises(ParamsError, match=re.escape("PartialFixedSampler has 'y', which is not in the search space")):
        make_sampler(fixed({"y": 1}), 1, space=SPACE)
    with pytest.raises(ParamsError, match=re.escape("PartialFixedSampler has n=7, which is not in Int(low=1, high=3")):
        make_sampler(fixed({"n": 7}), 1, space=SPACE)
    with pytest.raises(ParamsError, match=r"a BruteForceSampler does not know what is fixed.*Take the GridSampler"):
        make_sampler(fixed({"n": 2}, "BruteForceSampler"), 1, space=SPACE)
    assert make_sampler(fixed({"n": 2}), 1, space=SPACE)._base_sampler._n_min_trials == 3


def test_what_optuna_refuses_is_a_params_error(optuna):
    with pytest.raises(ParamsError, match=r"Sampler\('NSGAIISampler', population_size=1\): Optuna .* refuses it"):
        make_sampler(Sampler("NSGAIISampler", population_size=1), 1)
    with pytest.raises(ParamsError, match=r"Pruner.*refuses it"):
        make_pruner(Pruner("HyperbandPruner", bootstrap_count=2))


def test_an_argument_that_the_installed_optuna_does_not_know_must_be_at_its_default(optuna, monkeypatch):
    class RandomSampler(optuna.samplers.RandomSampler):
        pass

    monkeypatch.setattr(optuna.samplers, "RandomSampler", RandomSampler)
    monkeypatch.setattr(Sampler, "table", {**SAMPLERS, "RandomSampler": {"antithetic": False}})
    assert isinstance(make_sampler(Sampler("RandomSampler"), 1), RandomSampler)
    with pytest.raises(ParamsError, match=r"does not know the argument 'antithetic'; Optuna 5\.0 does"):
        make_sampler(Sampler("RandomSampler", antithetic=True), 1)


def test_a_class_that_the_installed_optuna_has_not_is_named(optuna, monkeypatch):
    monkeypatch.delattr(optuna.pruners, "MedianPruner")
    with pytest.raises(ParamsError, match=r"MedianPruner is not in Optuna .*: Optuna 5\.0 has it"):
        make_pruner(Pruner("MedianPruner"))


def test_without_optuna_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(algorithms, "_found", set())
    monkeypatch.setattr(algorithms, "find_spec", lambda package: None)
    with pytest.raises(MissingDependencyError, match=r"The RandomSampler needs 'optuna'.*persistable\[optuna\]"):
        make_sampler(Sampler("RandomSampler"), 1)
