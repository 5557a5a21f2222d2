"""Scores against values by hand, and the Diebold-Mariano test against other people's computations."""

from __future__ import annotations

import numpy as np
import pytest

from persistable import ForecastingError
from persistable.forecasting import scores

ACTUAL = np.array([3.0, 5.0, 4.0, 4.0])
MEAN = np.array([2.0, 5.0, 6.0, 3.0])
PREVIOUS = np.array([2.0, 3.0, 5.0, 4.0])


def test_errors_by_hand():
    assert scores.rmse(ACTUAL, MEAN) == pytest.approx(np.sqrt(6 / 4))
    assert scores.mae(ACTUAL, MEAN) == 1.0


def test_mase_is_scaled_by_the_seasonal_naive_forecast_of_the_training_rows():
    training = np.array([1.0, 3.0, 2.0, 7.0])
    assert scores.seasonal_scale(training) == pytest.approx((2 + 1 + 5) / 3)
    assert scores.seasonal_scale(training, season=2) == pytest.approx((1 + 4) / 2)
    assert scores.mase(ACTUAL, MEAN, 2.5) == pytest.approx(1 / 2.5)
    assert scores.mase(ACTUAL, MEAN, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx((1 + 0 + 1 + 0.5) / 4)


def test_training_rows_without_a_move_give_no_scale():
    assert scores.mase(ACTUAL, MEAN, scores.seasonal_scale(np.array([1.0, 2.0, 1.0, 2.0]), season=2)) is None
    assert scores.mase(ACTUAL, MEAN, np.array([1.0, np.nan, 1.0, 1.0])) is None


def test_a_season_longer_than_the_training_rows_is_refused():
    with pytest.raises(ForecastingError, match="season=4 needs more than 4 training rows to scale errors by, and ther"):
        scores.seasonal_scale(ACTUAL, season=4)


def test_direction_leaves_out_rows_without_a_move_and_counts_no_forecast_as_a_miss():
    # up, up, down, none; forecast: none, up, up, down
    assert scores.directional_accuracy(ACTUAL, MEAN, PREVIOUS) == pytest.approx(1 / 3)


def test_direction_of_a_forecast_that_never_moves_is_not_applicable():
    assert scores.directional_accuracy(ACTUAL, PREVIOUS, PREVIOUS) is None
    through_logarithms = np.exp(np.log(PREVIOUS))
    assert (through_logarithms != PREVIOUS).any()
    assert scores.directional_accuracy(ACTUAL, through_logarithms, PREVIOUS) is None


def test_direction_of_a_series_that_never_moves_is_not_applicable():
    assert scores.directional_accuracy(PREVIOUS, MEAN, PREVIOUS) is None


def test_intervals_by_hand():
    lower, upper = np.array([3.0, 0.0, 4.5, 0.0]), np.array([4.0, 4.0, 5.0, 9.0])
    assert scores.interval_coverage(ACTUAL, lower, upper) == 0.5  # a limit is within
    assert scores.interval_width(lower, upper) == pytest.approx((1 + 4 + 0.5 + 9) / 4)


# ---------------------------------------------------------------------------------------------------------------------
# Diebold-Mariano


@pytest.fixture
def losses():
    generator = np.random.default_rng(5)
    noise = generator.normal(size=(2, 124))
    overlapping = noise[:, 4:] + 0.8 * noise[:, 3:-1] + 0.5 * noise[:, 2:-2] + 0.2 * noise[:, 1:-3]
    return np.square(overlapping[0]), np.square(1.2 * overlapping[1])


def test_one_step_ahead_it_is_the_t_test_of_the_differences(losses):
    stats = pytest.importorskip("scipy.stats")
    assert scores.diebold_mariano(*losses) == pytest.approx(stats.ttest_1samp(losses[0] - losses[1], 0).pvalue)


def test_the_order_of_the_two_makes_no_difference(losses):
    assert scores.diebold_mariano(*losses) == scores.diebold_mariano(*losses[::-1])


def test_equal_forecasts_are_never_told_apart(losses):
    assert scores.diebold_mariano(losses[0], losses[0]) == 1.0
    assert scores.diebold_mariano(losses[0], losses[0] * (1 + 1e-15)) == 1.0  # a systematic error of rounding


def test_one_row_or_none_tells_nothing():
    assert scores.diebold_mariano(np.array([1.0]), np.array([9.0])) == 1.0
    assert scores.diebold_mariano(np.array([]), np.array([])) == 1.0


@pytest.mark.parametrize(("n", "expected"), [(2, 0.5), (5, 1 / 16), (10, 1 / 512)])
def test_a_difference_that_is_the_same_on_each_row_counts_by_how_many_rows_there_are(n, expected):
    assert scores.diebold_mariano(np.zeros(n), np.ones(n)) == expected
    noise = 1 + np.random.default_rng(0).random(n)
    assert scores.diebold_mariano(noise, noise + 0.1) == expected  # a variance that is rounding


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_the_unit_of_the_losses_makes_no_difference(losses, unit):
    found = scores.diebold_mariano(unit * losses[0], unit * losses[1])
    assert found == pytest.approx(scores.diebold_mariano(*losses))


def test_equally_good_forecasts_are_told_apart_as_rarely_as_alpha_says():
    generator = np.random.default_rng(1)
    draws = np.square(generator.normal(size=(1000, 2, 80)))
    rate = np.mean([scores.diebold_mariano(*draw) < 0.05 for draw in draws])
    assert 0.03 < rate < 0.07
