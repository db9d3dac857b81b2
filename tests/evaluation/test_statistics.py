import numpy as np
import pytest
from scipy import stats

from fer_repro.evaluation.statistics import (
    class_balanced_mean,
    mcnemar_exact,
    paired_difference,
    sample_interval,
    seed_interval,
)


def hits(rate, *shape, seed=0):
    return np.random.default_rng(seed).random(shape) < rate


def test_the_sample_interval_is_the_binomial_one():
    correct = hits(0.7, 4000)
    found = sample_interval(correct, 0.95, 2000)
    half = 1.96 * np.sqrt(correct.mean() * (1 - correct.mean()) / 4000)
    assert found.value == correct.mean()
    assert found.low == pytest.approx(correct.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(correct.mean() + half, abs=0.1 * half)
    assert found == sample_interval(correct, 0.95, 2000)


def test_mean_class_accuracy_weighs_classes_alike():
    correct, targets = np.array([1, 1, 1, 0, 0]), np.array([0, 0, 0, 0, 2])
    assert class_balanced_mean(correct, targets) == pytest.approx((3 / 4 + 0) / 2)
    found = sample_interval(correct, 0.9, 200, targets)
    assert found.low <= found.value <= found.high


def test_the_seed_interval_is_students():
    values = [0.70, 0.72, 0.71]
    found = seed_interval(values, 0.95, 100)
    deviation = np.sqrt(sum((v - 0.71) ** 2 for v in values) / 2)
    assert found.high - 0.71 == pytest.approx(4.302653 * deviation / np.sqrt(3), rel=1e-6)
    assert found.kind == "t over seeds"
    assert np.isnan(seed_interval([0.7], 0.95, 100).low)
    assert seed_interval(np.linspace(0.7, 0.8, 10).tolist(), 0.95, 100).kind == "bootstrap over seeds"


def test_the_paired_difference_uses_the_pairing():
    control = hits(0.6, 3, 2000)
    better = control | hits(0.05, 3, 2000, seed=1)  # only ever gains
    found = paired_difference(better, control, 0.95, 1000)
    assert found.value == pytest.approx(better.mean() - control.mean())
    assert 0 < found.low < found.value < found.high < 0.04
    same = paired_difference(control, control, 0.95, 100)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert paired_difference(better[:1], control[:1], 0.95, 100).kind == "paired bootstrap over samples"
    with pytest.raises(ValueError, match="expected the same"):
        paired_difference(better, control[:2], 0.95, 100)


def test_the_paired_difference_grows_with_the_spread_of_seeds():
    control = np.zeros((3, 1000))
    gains = np.stack([hits(rate, 1000) for rate in (0.0, 0.1, 0.2)])
    found = paired_difference(gains, control, 0.95, 1000)
    assert found.low < 0.05
    assert found.high > 0.15


@pytest.mark.parametrize(("first", "second"), [(8, 2), (3, 3), (15, 4), (1, 0)])
def test_mcnemar_is_the_binomial_tail(first, second):
    a = np.array([1] * first + [0] * second + [1] * 5 + [0] * 5)
    b = np.array([0] * first + [1] * second + [1] * 5 + [0] * 5)
    count = first + second
    tail = sum(stats.binom.pmf(k, count, 0.5) for k in range(max(first, second), count + 1))
    assert mcnemar_exact(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_exact(a, a) == 1
