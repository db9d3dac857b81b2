import numpy as np
import pytest
from paired_classifiers import draw_hits, true_accuracies
from scipy import stats
from statsmodels.stats.power import TTestPower

from fer_repro.measures.intervals import mean_shares, paired_difference
from fer_repro.measures.power import MOST_SEEDS, detectable, more_seeds, power
from fer_repro.measures.variance_components import Spread, half_width, spread


def only_seeds(seeds, deviation, value=0.0):
    return Spread(value, seeds, 10**9, deviation**2 / seeds, 0.0, 0.0)


@pytest.mark.parametrize("seeds", [3, 5, 8])
@pytest.mark.parametrize("effect", [0.5, 1.0, 3.0])
def test_over_seeds_alone_power_is_that_of_the_paired_t_test(seeds, effect):
    oracle = TTestPower().power(effect, seeds, 0.025, alternative="larger")
    assert power(only_seeds(seeds, 1.0), effect, 0.95) == pytest.approx(oracle, abs=2e-3)


def test_over_samples_alone_power_is_that_of_the_normal_test():
    found = Spread(0.0, 3, 10**6, 0.0, 0.01**2, 0.0)
    assert power(found, 0.03, 0.95) == pytest.approx(stats.norm.cdf(3 - 1.959964), abs=1e-4)
    one_seed = Spread(0.0, 1, 10**6, 0.0, 0.01**2, 0.0)
    assert power(one_seed, 0.03, 0.95) == pytest.approx(stats.norm.cdf(3 - 1.959964), abs=1e-4)
    assert power(found, 0.0, 0.95) == pytest.approx(0.025, abs=1e-4)
    assert power(Spread(0.0, 3, 10, 0.0, 0.0, 0.0), 0.1, 0.95) == 1


def test_a_planted_difference_is_found_as_often_as_promised():
    """Simulated arms: how often the interval lies above 0, against the power at the true variances."""
    spreads = (0.15, 0.3, 0.5)
    arm, control = true_accuracies(*spreads, skill=(1.0, 0.5))
    generator, seen, parts = np.random.default_rng(0), 0, []
    for _ in range(1500):
        first, second = draw_hits(generator, 5, 150, *spreads, skill=(1.0, 0.5))
        seen += paired_difference(first, second, 0.95, 1).low > 0
        parts.append(spread(*mean_shares(first.astype(float) - second)))
    true = Spread(
        0.0,
        5,
        150,
        np.mean([p.seed_variance for p in parts]),
        np.mean([p.sample_variance for p in parts]),
        0.0,
    )
    promised = power(true, arm - control, 0.95)
    assert 0.3 < promised < 0.95
    assert seen / 1500 == pytest.approx(promised, abs=0.04)


def test_the_detectable_difference_has_the_power_it_is_named_for():
    found = Spread(0.0, 3, 400, 0.01**2, 0.008**2, 0.0)
    effect = detectable(found, 0.95)
    assert power(found, effect, 0.95) == pytest.approx(0.8, abs=1e-6)
    assert detectable(found.with_seeds(10), 0.95) < effect
    assert detectable(Spread(0.0, 3, 400, 0.0, 0.0, 0.0), 0.95) == 0


def test_the_missing_seeds_by_trying_one_after_the_other():
    found = Spread(0.03, 3, 400, 0.02**2, 0.008**2, 0.015**2)
    tried = next(s for s in range(3, 1000) if half_width(found.with_seeds(s), 0.95) < 0.03)
    assert tried > 3
    assert more_seeds(found, 0.03, 0.95) == tried - 3
    assert more_seeds(found, 0.5, 0.95) == 0


def test_the_missing_seeds_of_the_t_test_by_hand():
    """Deviation 2, mean 1: t(0.975, 17) 2 / sqrt(18) = 0.995 is the first half width below 1."""
    found = only_seeds(3, 2.0, 1.0)
    assert stats.t.ppf(0.975, 17) * 2 / np.sqrt(18) < 1 < stats.t.ppf(0.975, 16) * 2 / np.sqrt(17)
    assert more_seeds(found, 1.0, 0.95) == 15


def test_no_seeds_help_where_the_samples_are_too_few():
    found = Spread(0.01, 3, 400, 0.02**2, 0.01**2, 0.0)
    assert half_width(found.with_seeds(MOST_SEEDS), 0.95) > 0.01
    assert more_seeds(found, 0.01, 0.95) is None
    assert more_seeds(Spread(0.01, 1, 400, 0.0, 0.001**2, 0.0), 0.01, 0.95) is None


def test_more_seeds_shrink_only_their_part():
    found = Spread(0.01, 3, 400, 0.02**2, 0.01**2, 0.006**2).with_seeds(12)
    assert (found.seeds, found.seed_variance, found.both_variance) == pytest.approx((12, 1e-4, 0.006**2 / 4))
    assert found.sample_variance == 0.01**2


def test_as_many_seeds_as_a_plain_search_finds():
    found = Spread(0.5, 3, 10**6, 0.3, 1e-6, 0.0)
    for distance in (1.5, 1.0, 0.5, 0.3):
        short = [n for n in range(3, 2000) if half_width(found.with_seeds(n), 0.95) >= distance]
        assert more_seeds(found, distance, 0.95) == (short[-1] + 1 if short else 3) - 3
    assert more_seeds(found, half_width(found, 0.95), 0.95) == 1  # it is to lie within, not on it
    assert more_seeds(found, half_width(found.with_seeds(MOST_SEEDS), 0.95), 0.95) is None
