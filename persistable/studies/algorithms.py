"""Samplers, pruners and the operators of genetic ones as values: the name of Optuna's class, and every argument.

The same seed gives other trials when a default of Optuna changes, as TPE's did from 4.9 to 5.0. So every argument is
spelled out here, stands in the key, and is passed to Optuna explicitly; the defaults are those of Optuna 5.0, whichever
version is installed. Optuna is imported when a sampler is made, and not before: a key is known without it.

What is no argument here:

- ``seed``, which is the study's, and ``constraints_func``, which is a hook of the study.
- What Optuna has deprecated, because it would warn, and is bound to go.
- What only warns (``warn_independent_sampling``): it does not define what is drawn, and these warnings are off.
- ``GridSampler(search_space)``, which is the study's, and ``CmaEsSampler(source_trials)``, which no key can follow.

Equal arguments are not equal algorithms: Optuna 5.0 also changed how TPE reckons its widths and how QMC takes
categories. A study goes on under another version of Optuna, and its next draws are then those of that version.
"""

from __future__ import annotations

import difflib
import importlib
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .._canonical import encode
from ..exceptions import MissingDependencyError, ParamsError, UntrackableValueError
from .space import Categorical, SearchSpace, checked_point, grid_of

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

__all__ = [
    "OPERATORS",
    "PRUNERS",
    "SAMPLERS",
    "Constraints",
    "Operator",
    "Pruner",
    "Sampler",
    "check_sampler",
    "exhaustive_space",
    "make_pruner",
    "make_sampler",
    "trial_seed",
]

Constraints = Callable[["FrozenTrial"], Sequence[float]]
"""The hook that tells how far a trial violates each constraint; 0 and less is feasible."""

REQUIRED: Final = "<required>"
"""Stands in the tables for a default that there is not."""

_GENETIC: Final[dict[str, Any]] = {
    "population_size": 50,
    "mutation": None,
    "mutation_prob": None,
    "crossover": None,
    "crossover_prob": 0.9,
    "swapping_prob": 0.5,
    "elite_population_selection_strategy": None,
    "child_generation_strategy": None,
    "after_trial_strategy": None,
}

SAMPLERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "BruteForceSampler": {"avoid_premature_stop": False},
    "CmaEsSampler": {
        "n_startup_trials": 1,
        "independent_sampler": None,
        "consider_pruned_trials": False,
        "popsize": None,
        "use_separable_cma": False,
        "with_margin": False,
        "lr_adapt": False,
    },
    "GPSampler": {"independent_sampler": None, "n_startup_trials": 10, "deterministic_objective": False},
    "GridSampler": {},
    "NSGAIISampler": _GENETIC,
    "NSGAIIISampler": {**_GENETIC, "reference_points": None, "dividing_parameter": 3},
    "PartialFixedSampler": {"fixed_params": REQUIRED, "base_sampler": REQUIRED},
    "QMCSampler": {"qmc_type": "sobol", "scramble": False, "independent_sampler": None},
    "RandomSampler": {},
    # multivariate=None is Optuna 5's rule, which make_sampler applies itself: True for one objective, else False.
    "TPESampler": {
        "n_startup_trials": 10,
        "n_ei_candidates": 24,
        "multivariate": None,
        "group": False,
        "constant_liar": True,
    },
}
"""The arguments of each sampler, and their defaults."""

PRUNERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "HyperbandPruner": {"min_resource": 1, "max_resource": "auto", "reduction_factor": 3, "bootstrap_count": 0},
    "MedianPruner": {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1},
    "NopPruner": {},
    "PatientPruner": {"wrapped_pruner": REQUIRED, "patience": REQUIRED, "min_delta": 0.0},
    "PercentilePruner": {
        "percentile": REQUIRED,
        "n_startup_trials": 5,
        "n_warmup_steps": 0,
        "interval_steps": 1,
        "n_min_trials": 1,
    },
    "SuccessiveHalvingPruner": {
        "min_resource": "auto",
        "reduction_factor": 4,
        "min_early_stopping_rate": 0,
        "bootstrap_count": 0,
    },
    "ThresholdPruner": {"lower": None, "upper": None, "n_warmup_steps": 0, "interval_steps": 1},
    "WilcoxonPruner": {"p_threshold": 0.1, "n_startup_steps": 2},
}
"""The arguments of each pruner, and their defaults."""

OPERATORS: Final[Mapping[str, Mapping[str, Any]]] = {
    "BLXAlphaCrossover": {"alpha": 0.5},
    "PolynomialMutation": {"eta": 20.0},
    "SBXCrossover": {"eta": None, "uniform_crossover_prob": 0.5, "use_child_gene_prob": 0.5},
    "SPXCrossover": {"epsilon": None},
    "UNDXCrossover": {"sigma_xi": 0.5, "sigma_eta": None},
    "UniformCrossover": {"swapping_prob": 0.5},
    "VSBXCrossover": {"eta": None, "uniform_crossover_prob": 0.5, "use_child_gene_prob": 0.5},
}
"""The arguments of each crossover and mutation, and their defaults."""

_FLOATS: Final = {"epsilon", "eta", "lower", "mutation_prob", "percentile", "sigma_eta", "upper"}
"""Arguments that are floats, and whose default does not tell."""

_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "CmaEsSampler": ["cmaes"],
    "GPSampler": ["scipy", "torch"],
    "QMCSampler": ["scipy"],
    "WilcoxonPruner": ["scipy"],
}
"""Packages that a class of Optuna imports when it first draws."""


@dataclass(frozen=True, eq=False, repr=False, init=False)
class _Algorithm:
    """A class of Optuna by its name, with every argument."""

    name: str
    arguments: dict[str, Any]

    table: ClassVar[Mapping[str, Mapping[str, Any]]]

    def __init__(self, name: str, /, **arguments: Any) -> None:
        kind = type(self).__name__
        if name not in self.table:
            raise ParamsError(f"{kind}: there is no {name!r}. {_choose(name, self.table)}")
        defaults = self.table[name]
        for argument in arguments:
            if argument not in defaults:
                raise ParamsError(f"{kind}({name!r}) has no argument {argument!r}. {_choose(argument, defaults)}")
        whole = {**defaults, **arguments}
        for argument, value in whole.items():
            if value is REQUIRED:
                raise ParamsError(f"{kind}({name!r}) needs the argument {argument!r}.")
            whole[argument] = _checked(f"{kind}({name!r}, {argument}=...)", argument, value, defaults[argument])
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", whole)

    def __repr__(self) -> str:
        defaults = self.table[self.name]
        shown = [
            f"{argument}={value!r}"
            for argument, value in self.arguments.items()
            if encode(value) != encode(defaults[argument])
        ]
        return f"{type(self).__name__}({', '.join([repr(self.name), *shown])})"

    def __eq__(self, other: object) -> bool:
        return encode(self) == encode(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(encode(self))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Sampler(_Algorithm):
    """A sampler of Optuna: what proposes the parameters of a trial.

    Parameters
    ----------
    name : str
        The name of Optuna's class.
    **arguments : object
        Its arguments, without the seed, which is the study's. Samplers within are :class:`Sampler`, crossovers and
        mutations :class:`Operator`, strategies importable functions.

    Raises
    ------
    ParamsError
        If there is no such class or argument, one is missing, or is of the wrong type.
    UntrackableValueError
        If a value cannot be in a key, as a lambda.

    Notes
    -----
    ``multivariate=None`` of TPE is the rule of Optuna 5: True for one objective, and False for several.

    Examples
    --------
    >>> Sampler("TPESampler", n_startup_trials=20)
    Sampler('TPESampler', n_startup_trials=20)
    >>> Sampler("NSGAIISampler", crossover=Operator("SBXCrossover", eta=2))
    Sampler('NSGAIISampler', crossover=Operator('SBXCrossover', eta=2.0))
    >>> Sampler("TPE")
    Traceback (most recent call last):
        ...
    persistable.exceptions.ParamsError: Sampler: there is no 'TPE'. Did you mean 'TPESampler'? There is:
    BruteForceSampler, CmaEsSampler, GPSampler, GridSampler, NSGAIIISampler, NSGAIISampler, PartialFixedSampler,
    QMCSampler, RandomSampler, TPESampler.
    """

    table = SAMPLERS


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Pruner(_Algorithm):
    """A pruner of Optuna: what says when a trial is not worth going on with.

    Parameters
    ----------
    name : str
        The name of Optuna's class.
    **arguments : object
        Its arguments. A pruner within is a :class:`Pruner`.

    Raises
    ------
    ParamsError
        If there is no such class or argument, one is missing, or is of the wrong type.

    Examples
    --------
    >>> Pruner("PatientPruner", wrapped_pruner=Pruner("MedianPruner"), patience=3)
    Pruner('PatientPruner', wrapped_pruner=Pruner('MedianPruner'), patience=3)
    """

    table = PRUNERS


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Operator(_Algorithm):
    """A crossover or a mutation of a genetic sampler.

    Parameters
    ----------
    name : str
        The name of Optuna's class.
    **arguments : object
        Its arguments.

    Raises
    ------
    ParamsError
        If there is no such class or argument, or one is of the wrong type.

    Examples
    --------
    >>> Operator("UniformCrossover", swapping_prob=0.3)
    Operator('UniformCrossover', swapping_prob=0.3)
    """

    table = OPERATORS


def _choose(name: str, names: Mapping[str, Any]) -> str:
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1) or [
        lower for lower in by_lower if lower.startswith(name.lower())
    ]
    hint = f"Did you mean {by_lower[close[0]]!r}? " if close else ""
    return f"{hint}There is: {', '.join(sorted(names))}." if names else "It takes none."


_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "independent_sampler": (Sampler, type(None)),
    "base_sampler": (Sampler,),
    "wrapped_pruner": (Pruner, type(None)),
    "crossover": (Operator, type(None)),
    "mutation": (Operator, type(None)),
    "fixed_params": (dict,),
    "patience": (int,),
    "multivariate": (bool, type(None)),
    "popsize": (int, type(None)),
}
"""The types of arguments whose default does not tell."""


def _checked(where: str, argument: str, value: Any, default: Any) -> Any:
    """Return an argument in the form that enters the key: 1 for a float is 1.0."""
    if type(value) is int and (argument in _FLOATS or type(default) is float):
        value = float(value)
    if argument.endswith("reference_points") and value is not None:
        value = tuple(tuple(map(float, point)) for point in value)
    kinds = _KINDS.get(argument)
    if kinds is None:
        optional = (type(None),) if default is None else ()
        kinds = (float, *optional) if argument in _FLOATS else ()
        if type(default) in (bool, int, float) or (type(default) is str and default not in (REQUIRED, "auto")):
            kinds = (type(default),)
    if kinds and type(value) not in kinds:
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ParamsError(f"{where} takes {names}, got {value!r}.")
    try:
        encode(value)
    except UntrackableValueError as error:
        raise error.inside(where) from None
    return value


# ---------------------------------------------------------------------------------------------------------------------
# Optuna's objects


EXHAUSTIVE: Final = {"BruteForceSampler", "GridSampler"}
"""Samplers that try each point of a finite space once, and are done."""

_STUDY_WIDE: Final = {"GridSampler", "QMCSampler"}
"""Samplers that walk one random sequence, or one random order, and need the same seed for each trial."""

_GENETIC_SAMPLERS: Final = {"NSGAIISampler", "NSGAIIISampler"}

_TAKES_CONSTRAINTS: Final = {"GPSampler", "NSGAIISampler", "NSGAIIISampler", "TPESampler"}

_making = threading.Lock()


def trial_seed(seed: int, ordinal: int) -> int:
    """Return the seed of one trial, between 0 and 2**32 - 1.

    No two of the first 2**32 trials of a study have the same: SHA-256 of the study's seed says where to start, and
    the trials go on from there in steps of the golden ratio, which meets each number once.

    Parameters
    ----------
    seed : int
        The study's.
    ordinal : int
        Which trial, counted from 0.

    Examples
    --------
    >>> trial_seed(42, 0), trial_seed(42, 1)
    (249289512, 2903725273)
    """
    start = int.from_bytes(sha256(b"persistable trial seed %d" % seed).digest()[:4], "big")
    return (start + ordinal * 0x9E3779B1) % 2**32


def make_sampler(
    spec: Sampler,
    seed: int,
    *,
    ordinal: int | None = None,
    constraints: Constraints | None = None,
    space: SearchSpace | None = None,
    n_objectives: int = 1,
) -> BaseSampler:
    """Return Optuna's sampler, with every argument passed explicitly.

    Parameters
    ----------
    spec : Sampler
        Which one.
    seed : int
        The study's.
    ordinal : int, optional
        The trial that it is made for. Its draws then depend on the seed and on this, and not on earlier ones. Without
        it, the seed goes to Optuna as it is.
    constraints : callable, optional
        Passed to samplers that respect constraints.
    space : mapping of str to Float, Int or Categorical, optional
        The search space; exhaustive samplers need it.
    n_objectives : int
        By which TPE's ``multivariate=None`` is decided.

    Raises
    ------
    ParamsError
        If the installed Optuna does not know an argument that is not at its default, or refuses a value. If an
        exhaustive sampler has no space, or one with no end.
    MissingDependencyError
        If Optuna, or what it needs for this sampler, is not installed.

    Examples
    --------
    >>> import optuna
    >>> sampler = make_sampler(Sampler("TPESampler"), seed=42)
    >>> isinstance(sampler, optuna.samplers.TPESampler)
    True
    """
    drawn = seed % 2**32 if ordinal is None else trial_seed(seed, ordinal)
    arguments = dict(spec.arguments)

    def nested(inner: Sampler, inner_space: SearchSpace | None) -> BaseSampler:
        return make_sampler(
            inner, seed, ordinal=ordinal, constraints=constraints, space=inner_space, n_objectives=n_objectives
        )

    if spec.name == "TPESampler" and arguments["multivariate"] is None:
        arguments["multivariate"] = arguments["group"] or n_objectives == 1
    if spec.name == "NSGAIIISampler" and arguments["reference_points"] is not None:
        import numpy as np

        arguments["reference_points"] = np.array(arguments["reference_points"])
    if spec.name == "PartialFixedSampler":
        if arguments["base_sampler"].name == "BruteForceSampler":
            raise ParamsError(
                f"{spec!r}: a BruteForceSampler does not know what is fixed, and would try points twice. Take the "
                f"GridSampler."
            )
        arguments["base_sampler"] = nested(arguments["base_sampler"], open_space(spec, space))
    if "independent_sampler" in arguments:
        # Optuna would seed its own with the seed that all trials share, where there is one.
        arguments["independent_sampler"] = nested(arguments["independent_sampler"] or Sampler("RandomSampler"), space)
    if spec.name in EXHAUSTIVE:
        if space is None:
            raise ParamsError(f"The {spec.name} tries each point of the search space: pass the space.")
        grid = grid_of(space, f"The {spec.name}")
        arguments |= {"search_space": grid} if spec.name == "GridSampler" else {}
    if spec.name != "PartialFixedSampler":
        arguments["seed"] = seed % 2**32 if spec.name in _STUDY_WIDE else drawn
    if spec.name in _TAKES_CONSTRAINTS:
        arguments["constraints_func"] = constraints
    sampler: BaseSampler = _made(spec, "optuna.samplers", arguments)
    if ordinal is not None and spec.name == "QMCSampler":
        _take_point(sampler, ordinal)
    if ordinal is not None and spec.name in _GENETIC_SAMPLERS:
        _select_apart(sampler, lambda: _made(spec, "optuna.samplers", {**arguments, "seed": (drawn + 1) % 2**32}))
    return sampler


def _take_point(sampler: Any, ordinal: int) -> None:
    """Let each trial take the point of its own number.

    Optuna counts in an attribute of the study, where two workers read the same number, and what a trial that was
    lost took is never taken again.
    """
    sampler._find_sample_id = lambda study, search_space: ordinal


def _select_apart(sampler: Any, another: Callable[[], Any]) -> None:
    """Let the parents of a generation be the same whether they are selected now, or were, and are remembered.

    Optuna remembers them in the study, and reads them back by number. The trial that selects them has them by rank,
    and has used up random numbers for it; when that trial is lost, its repetition would draw something else.
    """
    sampler.select_parent = lambda study, generation: sorted(
        another().select_parent(study, generation), key=lambda trial: trial.number
    )


def make_pruner(spec: Pruner) -> BasePruner:
    """Return Optuna's pruner, with every argument passed explicitly.

    Parameters
    ----------
    spec : Pruner
        Which one.

    Raises
    ------
    ParamsError
        If the installed Optuna does not know an argument that is not at its default, or refuses a value.
    MissingDependencyError
        If Optuna, or what it needs for this pruner, is not installed.

    Examples
    --------
    >>> type(make_pruner(Pruner("MedianPruner"))).__name__
    'MedianPruner'
    """
    arguments = dict(spec.arguments)
    if isinstance(inner := arguments.get("wrapped_pruner"), Pruner):
        arguments["wrapped_pruner"] = make_pruner(inner)
    pruner: BasePruner = _made(spec, "optuna.pruners", arguments)
    return pruner


def open_space(spec: Sampler, space: SearchSpace | None) -> SearchSpace | None:
    """Return what a PartialFixedSampler leaves to its base: the space with one value of each fixed parameter.

    Raises
    ------
    ParamsError
        If a fixed parameter is not in the space, or its value cannot be.
    """
    if space is None:
        return None
    fixed = checked_point(space, spec.arguments["fixed_params"], "PartialFixedSampler")
    return {name: Categorical([fixed[name]]) if name in fixed else space[name] for name in space}


def exhaustive_space(spec: Sampler, space: SearchSpace) -> SearchSpace | None:
    """Return the space that a sampler tries point by point; None if it does not.

    Examples
    --------
    >>> from persistable.studies.space import Int
    >>> exhaustive_space(Sampler("GridSampler"), {"n": Int(1, 3)})
    {'n': Int(low=1, high=3, step=1, log=False)}
    """
    if spec.name == "PartialFixedSampler":
        return exhaustive_space(spec.arguments["base_sampler"], open_space(spec, space) or space)
    return space if spec.name in EXHAUSTIVE else None


def check_sampler(spec: Sampler, space: SearchSpace) -> None:
    """Raise ParamsError if the sampler cannot search the space, as far as that can be told without Optuna."""
    finite = exhaustive_space(spec, space)
    if finite is not None:
        grid_of(finite, f"The {spec.name}")


def _made(spec: _Algorithm, module: str, arguments: dict[str, Any]) -> Any:
    """Return an object of Optuna, made without a warning."""
    optuna = _optuna(spec)
    arguments = {
        name: _made(value, "optuna.samplers.nsgaii", dict(value.arguments)) if isinstance(value, Operator) else value
        for name, value in arguments.items()
    }
    kind = getattr(importlib.import_module(module), spec.name, None)
    if kind is None:
        raise ParamsError(
            f"{spec.name} is not in Optuna {optuna.__version__}, which is installed: Optuna 5.0 has it. Install that, "
            f"or choose another."
        )
    known = _parameters(kind)
    for name in [*arguments]:
        if name not in known:
            if name in spec.arguments and encode(spec.arguments[name]) != encode(spec.table[spec.name][name]):
                raise ParamsError(
                    f"{spec!r}: Optuna {optuna.__version__}, which is installed, does not know the argument {name!r}; "
                    f"Optuna 5.0 does. Install that, or leave the argument out."
                )
            if name in spec.arguments or name == "constraints_func":  # which then finds what is stored by itself
                del arguments[name]
    arguments |= {name: False for name in known if name.startswith("warn_") and known[name] is True}
    # What is experimental was chosen on purpose. The filters belong to the process: one thread at a time.
    with _making, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return kind(**arguments)
        except (TypeError, ValueError) as error:
            raise ParamsError(f"{spec!r}: Optuna {optuna.__version__} refuses it. {error}") from error


_known: dict[type, dict[str, Any]] = {}


def _parameters(kind: type) -> dict[str, Any]:
    """Return the arguments of a class of Optuna, and their defaults."""
    if kind not in _known:
        import inspect

        _known[kind] = {
            name: parameter.default
            for name, parameter in inspect.signature(kind).parameters.items()
            if parameter.kind is not parameter.VAR_POSITIONAL and parameter.kind is not parameter.VAR_KEYWORD
        }
    return _known[kind]


_found: set[str] = set()


def _optuna(spec: _Algorithm) -> Any:
    for package in ["optuna", *_NEEDED.get(spec.name, ())]:
        if package not in _found:
            if find_spec(package) is None:
                raise MissingDependencyError.of(package, extra="optuna", purpose=f"The {spec.name}")
            _found.add(package)
    return importlib.import_module("optuna")
