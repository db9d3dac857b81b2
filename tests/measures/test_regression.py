"""Squared errors, rank correlations and their shares, against loops and scipy."""

import numpy as np
import pytest
from scipy import stats

from fer_repro.errors import UserError
from fer_repro.measures.intervals import t_interval
from fer_repro.measures.metrics import METRICS, find_metric
from fer_repro.measures.regression import (
    explained_variance,
    rank_order,
    spearman_shares,
    squared_error_shares,
)
from fer_repro.measures.variance_components import spread

LEVELS = np.array([0.0, 0.33, 0.66, 1.0])


def drawn(seeds=2, count=30, seed=0):
    generator = np.random.default_rng(seed)
    targets = LEVELS[generator.integers(0, 4, count)]
    return targets + generator.normal(0, 0.3, (seeds, count)), targets


def test_the_error_is_the_mean_of_squares():
    values, targets = np.array([[0.5, 0.0, 1.0]]), np.array([0.0, 0.0, 0.5])
    errors, shares = squared_error_shares(values, targets)
    assert errors == pytest.approx([(0.25 + 0 + 0.25) / 3])
    assert shares[0] == pytest.approx([(0.25 - 1 / 6) / 3, -1 / 18, (0.25 - 1 / 6) / 3])


def test_errors_of_several_seeds_are_their_own():
    values, targets = drawn()
    for seed in range(2):
        total = 0.0
        for value, target in zip(values[seed], targets, strict=True):
            total += (value - target) ** 2
        assert squared_error_shares(values, targets)[0][seed] == pytest.approx(total / len(targets))


def test_the_rank_correlation_is_scipys():
    values, targets = drawn()
    for seed in range(2):
        wanted = stats.spearmanr(values[seed], targets).statistic
        assert rank_order(values[seed], targets) == pytest.approx(wanted, abs=1e-12)
        assert spearman_shares(values, targets)[0][seed] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "wanted"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], -1.0), ([1, 1, 1, 1], 0.0)]
)
def test_rank_correlations_by_hand(values, wanted):
    assert rank_order(np.array(values, float), np.array([0.1, 0.2, 0.5, 0.9])) == pytest.approx(wanted)


def test_a_constant_ranks_nobody():
    values, targets = np.full((1, 20), 0.4927), LEVELS[np.arange(20) % 4]
    correlation, shares = spearman_shares(values, targets)
    assert correlation == [0.0]
    assert not shares.any()


def test_shares_are_those_of_the_jackknife():
    values, targets = drawn(1)
    count = len(targets)
    whole = stats.spearmanr(values[0], targets).statistic
    lost = []
    for left_out in range(count):
        kept = [i for i in range(count) if i != left_out]
        lost.append(whole - stats.spearmanr(values[0][kept], targets[kept]).statistic)
    wanted = (count - 1) / count * (np.array(lost) - np.mean(lost))
    assert spearman_shares(values, targets)[1][0] == pytest.approx(wanted, abs=1e-12)


def test_the_error_of_the_rank_correlation_is_that_of_many_draws():
    """The standard error from the shares of one draw is near the spread of the correlation over many."""
    found, said = [], []
    for seed in range(300):
        values, targets = drawn(1, 60, seed)
        found.append(rank_order(values[0], targets))
        if seed < 60:
            said.append(np.sqrt(spread(*spearman_shares(values, targets)).sample_variance))
    assert np.mean(said) == pytest.approx(np.std(found), rel=0.15)


def test_explained_variance_is_zero_for_the_mean():
    _, targets = drawn()
    assert explained_variance(targets, targets) == 1
    assert explained_variance(np.full(len(targets), targets.mean()), targets) == pytest.approx(0)
    assert explained_variance(1 - targets, targets) < 0
    assert explained_variance(np.array([0.1, 0.2]), np.array([0.5, 0.5])) == 0  # nothing varies


@pytest.mark.parametrize("measure", [squared_error_shares, spearman_shares])
def test_numbers_that_are_not_finite_are_refused(measure):
    values, targets = drawn()
    values[1, 3] = np.nan
    with pytest.raises(UserError, match="predictions of row 1"):
        measure(values, targets)
    with pytest.raises(UserError, match="targets of row 2"):
        measure(np.nan_to_num(values), np.where(np.arange(len(targets)) == 2, np.inf, targets))


def test_the_metrics_know_their_direction():
    error, order = METRICS["mse"], METRICS["spearman"]
    assert (error.lower_is_better, order.lower_is_better) == (True, False)
    assert (error.unit, error.gap_unit, error.scale) == ("MSE", "MSE", 1)
    assert (error.interval_scale, order.interval_scale) == ("log", "artanh")
    assert find_metric("mse_0_33").words == "mean squared error at 0.33"
    assert find_metric("mse_1").lower_is_better
    with pytest.raises(UserError, match="unknown metric 'mse_high'"):
        find_metric("mse_high")


def test_an_interval_of_a_correlation_stays_below_one():
    found = t_interval(0.95, 0.2, "t", "artanh")
    assert -1 < found.low < 0.95 < found.high < 1
    narrow = t_interval(0.5, 0.001, "t", "artanh")
    assert (narrow.low, narrow.high) == pytest.approx((0.499, 0.501), abs=1e-6)
    assert t_interval(1.0, 0.1, "t", "artanh").high == 1
