"""What a search space may be, and that it is the same thing to us and to Optuna."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import given, settings, strategies as st

from persistable import ParamsError, PersistableParams
from persistable.keys import fingerprint
from persistable.studies.space import (
    Categorical,
    Float,
    Int,
    checked_point,
    checked_space,
    distributions_of,
    grid_of,
    suggest_all,
)

SPACE = {
    "kernel": Categorical(["rbf", "linear", None, 3, False]),
    "n": Int(1, 9, step=2),
    "rate": Float(1e-3, 1, log=True),
    "units": Int(1, 64, log=True),
    "x": Float(-1, 1, step=0.25),
}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1, 0), "low must not be above high"),
        (lambda: Float(0, 1, log=True), "with log=True, low must be above 0"),
        (lambda: Float(1, 2, step=0.1, log=True), "does not go together with log"),
        (lambda: Float(1, 2, step=0), "a step is a positive number"),
        (lambda: Float("0", 1), "low must be a finite number, got '0'"),
        (lambda: Float(0, math.inf), "high must be a finite number, got inf"),
        (lambda: Float(math.nan, 1), "low must be a finite number, got nan"),
        (lambda: Float(0, True), "high must be a finite number, got True"),
        (lambda: Float(1, 2, log=1), "log must be True or False, got 1"),
        (lambda: Int(1, 2.5), "high must be a whole number, got 2.5"),
        (lambda: Int(3, 2), "low must not be above high"),
        (lambda: Int(0, 2, log=True), "with log=True, low must be 1 or more"),
        (lambda: Int(1, 5, step=2, log=True), "a step is 1 or more, and does not go together with log"),
        (lambda: Int(1, 5, step=0), "a step is 1 or more"),
        (lambda: Categorical([]), "takes a list of choices, got none"),
        (lambda: Categorical("ab"), "takes a list of choices, got 'ab'"),
        (lambda: Categorical(3), "takes a list of choices, got 3"),
        (lambda: Categorical([(1, 2)]), "got a tuple. Name what it stands for by a word"),
        (lambda: Categorical([1, "a", True]), "two equal choices, 1 and True"),
        (lambda: Categorical([math.nan, math.nan]), "two equal choices"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, message):
    with pytest.raises(ParamsError, match=re.escape(message)):
        make()


def test_one_space_has_one_key():
    assert Float(0, 1) == Float(0.0, 1.0)
    assert type(Float(0, 1).low) is float
    assert Float(0, 1, step=0.3) == Float(0, 0.9, step=0.3)
    assert Float(0, 0.3, step=0.1).high == 0.3  # as written, not as 3 * 0.1
    assert Int(1, 10, step=4) == Int(1.0, 9, step=4)
    assert Categorical(["a", "b"]) == Categorical(("a", "b")) != Categorical(["b", "a"])


def test_scalars_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    assert Float(numpy.float32(0.5), numpy.int64(2)) == Float(0.5, 2)
    assert [type(choice) for choice in Categorical(numpy.array([1, 2])).choices] == [int, int]


@dataclasses.dataclass
class Params(PersistableParams):
    search_space: dict


def test_the_key_of_a_space_never_changes():
    assert fingerprint("study", None, Params(checked_space(SPACE)), {}) == "b06a3d51814f448e7eaccc0d2d4bee7f"


def test_a_space_is_sorted_and_distributions_of_optuna_serve_too():
    optuna = pytest.importorskip("optuna")
    assert [*checked_space(dict(reversed(SPACE.items())))] == sorted(SPACE)
    assert checked_space(distributions_of(SPACE)) == SPACE
    assert distributions_of(SPACE)["rate"] == optuna.distributions.FloatDistribution(1e-3, 1, log=True)


@pytest.mark.parametrize("space", [{}, None, ["x"], {1: Float(0, 1)}])
def test_no_space_is_refused(space):
    with pytest.raises(ParamsError, match="search_space must map names to Float, Int or Categorical"):
        checked_space(space)


def test_a_range_is_no_dimension():
    with pytest.raises(ParamsError, match=re.escape("search_space['x'] must be Float(low, high)")):
        checked_space({"x": (0, 1)})


steps = st.sampled_from([0.1, 0.25, 0.3, 1.0, 7.0])
dimensions = st.one_of(
    st.builds(
        lambda low, width, step: Float(low, low + width, step=step),
        st.floats(-5, 5).map(lambda value: round(value, 3)),
        st.floats(0, 9),
        steps,
    ),
    st.builds(
        lambda low, width, step: Int(low, low + width, step), st.integers(-9, 9), st.integers(0, 30), st.integers(1, 9)
    ),
    st.just(SPACE["kernel"]),
)


@settings(deadline=None)
@given(dimensions)
def test_optuna_takes_every_dimension_as_it_is_and_every_value_of_its_grid(dimension):
    pytest.importorskip("optuna")
    distribution = distributions_of({"d": dimension})["d"]  # a range that is not divisible would warn
    assert checked_space({"d": distribution}) == {"d": dimension}
    values = grid_of({"d": dimension})["d"]
    assert len(set(values)) == len(values)
    for value in values:
        assert distribution._contains(distribution.to_internal_repr(value))
        point = checked_point({"d": dimension}, {"d": value})
        assert repr(point["d"]) == repr(value)  # what is plain already keeps its key
    if not isinstance(dimension, Categorical):
        assert values[0] == dimension.low
        assert values[-1] == dimension.high


@pytest.mark.filterwarnings("ignore:The distribution is specified")  # Optuna's, of steps that no decimal is
def test_a_step_that_no_decimal_is_ends_where_optuna_reads_it_back_from_a_journal():
    optuna = pytest.importorskip("optuna")
    space = {"x": Float(0, 3, step=1 / 3)}
    distribution = distributions_of(space)["x"]
    for _ in range(3):
        distribution = optuna.distributions.json_to_distribution(
            optuna.distributions.distribution_to_json(distribution)
        )
    assert checked_space({"x": distribution}) == space


def test_a_grid_needs_an_end():
    with pytest.raises(ParamsError, match=re.escape("Give it a step: Float(0.001, 1.0, step=...)")):
        grid_of(SPACE)
    assert grid_of({"x": Float(2, 2)}) == {"x": [2.0]}
    assert grid_of({"n": Int(1, 4, log=True)}) == {"n": [1, 2, 3, 4]}


def test_a_point_may_be_a_part():
    assert checked_point(SPACE, {}) == {}
    assert checked_point(SPACE, {"x": 0.5, "kernel": None, "units": 64}) == {"x": 0.5, "kernel": None, "units": 64}
    for point in [{"y": 1}, {"x": 0.3}, {"x": 2}, {"x": "0"}, {"n": 2}, {"n": True}, {"kernel": "poly"}, {"x": None}]:
        with pytest.raises(ParamsError, match=r"^enqueued has "):
            checked_point(SPACE, point, "enqueued")
    with pytest.raises(ParamsError, match=r"^enqueued must map names of parameters to values; got \[0\.5\]"):
        checked_point(SPACE, [0.5], "enqueued")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"x": 1}, {"x": 1.0}),
        ({"rate": 1}, {"rate": 1.0}),
        ({"n": 3.0}, {"n": 3}),
        ({"kernel": 3.0}, {"kernel": 3}),
        ({"kernel": 0}, {"kernel": False}),
    ],
)
def test_one_point_has_one_form(given, plain):
    assert repr(checked_point(SPACE, given)) == repr(plain)


def test_scalars_of_numpy_are_values_of_a_point_and_arrays_are_none():
    numpy = pytest.importorskip("numpy")
    given = {
        "x": numpy.float32(0.5),
        "n": numpy.float64(3),
        "units": numpy.int64(8),
        "kernel": numpy.array(["rbf"])[0],
        "rate": numpy.array(0.5),
    }
    plain = {"x": 0.5, "n": 3, "units": 8, "kernel": "rbf", "rate": 0.5}
    assert repr(checked_point(SPACE, given)) == repr(plain)
    for point in [{"x": numpy.array([0.5])}, {"kernel": numpy.array(["rbf", "poly"])}, {"n": numpy.True_}]:
        with pytest.raises(ParamsError, match="which is not in"):
            checked_point(SPACE, point)


def test_the_whole_space_is_suggested_in_the_order_of_names():
    optuna = pytest.importorskip("optuna")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trial = study.ask()
    point = suggest_all(trial, dict(reversed(SPACE.items())))
    assert [*point] == [*trial.params] == sorted(SPACE)
    assert trial.distributions == distributions_of(SPACE)
    assert checked_point(SPACE, point) == point
