"""That what models see of a series leads back to its levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from persistable import ParamsError
from persistable.exceptions import ForecastingError
from persistable.forecasting.transforms import (
    TRANSFORMS,
    Path,
    check_transform,
    levels_of_path,
    levels_of_steps,
    transformed,
)

transforms = st.sampled_from(TRANSFORMS)
some_levels = st.lists(st.floats(0.01, 1e6), min_size=2, max_size=40).map(np.array)


@given(some_levels, transforms)
def test_each_value_and_the_level_before_it_lead_back_to_the_level(levels, transform):
    values = transformed(levels, transform)
    assert len(values) == len(levels)
    found = levels_of_steps(values[1:], levels[:-1], transform)
    np.testing.assert_allclose(found, levels[1:], rtol=1e-9, atol=1e-9)


@given(some_levels, transforms)
def test_a_path_of_values_leads_back_to_the_levels_from_the_last_one_known(levels, transform):
    values = transformed(levels, transform)[1:]
    certain = Path(values, np.zeros(len(values)), np.zeros(len(values)))
    for found in levels_of_path(certain, levels[0], transform, 1.96):
        np.testing.assert_allclose(found, levels[1:], rtol=1e-9, atol=1e-8)


@given(some_levels, transforms, st.floats(0.001, 0.1), st.floats(0.1, 3.0))
def test_an_interval_is_around_its_middle_and_wider_with_more_standard_errors(levels, transform, se, width):
    values = transformed(levels, transform)[1:]
    path = Path(values, np.full(len(values), se), se * np.sqrt(1 + np.arange(len(values))))
    middle, low, high = levels_of_path(path, levels[0], transform, width)
    _, lower, higher = levels_of_path(path, levels[0], transform, 2 * width)
    assert ((lower < low) & (low < middle) & (middle < high) & (high < higher)).all()


def test_the_interval_of_a_level_is_that_of_the_sum_where_levels_are_forgotten():
    path = Path(np.zeros(2), np.array([1.0, 1.0]), np.array([1.0, 3.0]))
    for transform, expected in [("none", [1, 1]), ("difference", [11, 13])]:
        _, _, high = levels_of_path(path, 10.0, transform, 1.0)
        assert high.tolist() == expected
    _, _, high = levels_of_path(path, 10.0, "log_return", 1.0)
    assert high.tolist() == [10 * np.exp(1.0), 10 * np.exp(3.0)]


@pytest.mark.parametrize("transform", ["difference", "log_return"])
def test_the_first_row_has_no_difference(transform):
    assert np.isnan(transformed(np.array([1.0, 2.0, 3.0]), transform)).tolist() == [True, False, False]


@pytest.mark.parametrize("transform", ["log", "log_return"])
@pytest.mark.parametrize("level", [0.0, -1.5])
def test_a_level_without_a_logarithm_is_named(transform, level):
    message = rf"transform='{transform}' needs levels above 0, but 2 of 4 are not, the first {level}\. Choose"
    with pytest.raises(ForecastingError, match=message):
        transformed(np.array([1.0, 2.0, level, -3.0]), transform)


def test_a_transform_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ParamsError, match=r"one of 'none', 'log', 'difference', 'log_return'; got 'square'"):
        check_transform("square")
    for transform in TRANSFORMS:
        check_transform(transform)
