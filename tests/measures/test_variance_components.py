import numpy as np
import pytest
from paired_classifiers import draw_hits, true_accuracies
from scipy import stats

from fer_repro.errors import UserError
from fer_repro.measures.intervals import mean_shares, paired_difference
from fer_repro.measures.variance_components import (
    Spread,
    half_width,
    half_widths,
    one_sided,
    p_value,
    spread,
)


def normal_table(generator, seeds, groups, seed, sample, both):
    return (
        generator.normal(size=(seeds, 1)) * seed
        + generator.normal(size=(1, groups)) * sample
        + generator.normal(size=(seeds, groups)) * both
    )


def test_the_parts_of_the_variance_are_those_of_the_analysis_of_variance():
    table = normal_table(np.random.default_rng(0), 4, 30, 1.0, 2.0, 3.0)
    found = spread(*mean_shares(table))
    grand = table.mean()
    rows = sum((table[s].mean() - grand) ** 2 for s in range(4)) / 3
    columns = sum((table[:, i].mean() - grand) ** 2 for i in range(30)) / 29
    rest = sum(
        (table[s, i] - table[s].mean() - table[:, i].mean() + grand) ** 2 for s in range(4) for i in range(30)
    ) / (3 * 29)
    assert found.value == pytest.approx(grand)
    assert found.seed_variance == pytest.approx(rows / 4)
    assert found.both_variance == pytest.approx(rest / 120)
    assert found.sample_variance == pytest.approx(columns / 30 - rest / 120)


def test_the_variance_is_that_of_repeated_experiments():
    generator = np.random.default_rng(1)
    found = [spread(*mean_shares(normal_table(generator, 3, 50, 0.2, 1.0, 2.0))) for _ in range(3000)]
    total = np.mean([one.seed_variance + one.sample_variance for one in found])
    true = 0.2**2 / 3 + 1 / 50 + 4 / 150
    assert np.var([one.value for one in found]) == pytest.approx(true, rel=0.1)
    assert total == pytest.approx(true, rel=0.05)


def test_samples_of_one_person_count_as_one():
    generator = np.random.default_rng(2)
    people = generator.normal(size=(3, 20)).repeat(7, axis=1)
    clusters = np.arange(20).repeat(7)
    whole, alone = spread(*mean_shares(people), clusters), spread(*mean_shares(people[:, ::7]))
    assert whole.groups == 20
    assert whole.sample_variance == pytest.approx(alone.sample_variance)
    assert whole.both_variance == pytest.approx(alone.both_variance)
    with pytest.raises(UserError, match="140 test samples in 1 group: expected two"):
        spread(*mean_shares(people), np.zeros(140))


def test_mean_class_accuracy_has_the_variance_of_repeated_test_sets():
    generator = np.random.default_rng(3)
    rates, values, errors = np.array([0.9, 0.5, 0.2]), [], []
    for _ in range(1500):
        targets = generator.choice(3, 300, p=[0.7, 0.2, 0.1])
        found = spread(*mean_shares(generator.random((1, 300)) < rates[targets], targets))
        values.append(found.value)
        errors.append(found.sample_variance)
    assert np.mean(values) == pytest.approx(rates.mean(), abs=0.005)
    assert np.mean(errors) == pytest.approx(np.var(values), rel=0.1)


def test_one_part_alone_gives_students_interval():
    only_seeds = Spread(0.1, 3, 10**6, 0.01**2, 0.0, 0.0)
    assert half_width(only_seeds, 0.95) == pytest.approx(stats.t.ppf(0.975, 2) * 0.01)
    only_samples = Spread(0.1, 3, 40, 0.0, 0.01**2, 0.0)
    assert half_width(only_samples, 0.95) == pytest.approx(stats.t.ppf(0.975, 39) * 0.01)
    assert half_width(Spread(0.1, 1, 40, 0.0, 0.01**2, 0.0), 0.95) == pytest.approx(
        stats.t.ppf(0.975, 39) * 0.01
    )


def exact_coverage(share, seeds, rule):
    """Chance that the truth lies inside, with ``share`` of a normal mean's variance over seeds."""
    freedom = seeds - 1
    observed = share * stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, freedom) / freedom
    return float(np.mean(2 * stats.norm.cdf(rule(observed, 1 - share, freedom)) - 1))


def satterthwaite(seed, sample, freedom):
    effective = np.minimum(freedom * (seed + sample) ** 2 / seed**2, 1e9)
    return stats.t.ppf(0.975, effective) * np.sqrt(seed + sample)


def mover(seed, sample, freedom):
    return np.sqrt(stats.t.ppf(0.975, freedom) ** 2 * seed + stats.norm.ppf(0.975) ** 2 * sample)


def ours(seed, sample, freedom):
    return half_widths(Spread(0.0, freedom + 1, 10**9, 0.0, sample, 0.0), seed, 0.025)


SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


@pytest.mark.parametrize(
    ("seeds", "lowest", "highest"), [(3, 0.942, 0.967), (4, 0.9465, 0.961), (5, 0.9485, 0.9585)]
)
def test_the_interval_holds_the_truth_as_often_as_the_module_says(seeds, lowest, highest):
    found = [exact_coverage(share, seeds, ours) for share in SHARES]
    assert lowest <= min(found)
    assert max(found) <= highest


def test_both_usual_rules_are_off_by_what_the_module_says():
    too_short = [exact_coverage(share, 3, satterthwaite) for share in SHARES]
    too_long = [exact_coverage(share, 3, mover) for share in SHARES]
    assert 0.915 < min(too_short) < 0.93
    assert max(too_short) < 0.951
    assert min(too_long) > 0.949
    assert 0.97 < max(too_long) < 0.98


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    ("seed_spread", "sample_spread", "noise"), [(0.0, 0.3, 1.0), (0.05, 0.3, 0.3), (0.3, 0.3, 1.0)]
)
def test_95_percent_intervals_hold_the_truth_in_93_to_97_of_100(seeds, seed_spread, sample_spread, noise):
    generator = np.random.default_rng([seeds, int(100 * seed_spread)])
    arm, control = true_accuracies(seed_spread, sample_spread, noise)
    inside = 0
    for _ in range(2000):
        hits = draw_hits(generator, seeds, 200, seed_spread, sample_spread, noise)
        found = paired_difference(*hits, 0.95, 1)
        inside += found.low <= arm - control <= found.high
    assert 0.93 <= inside / 2000 <= 0.97


def test_it_does_so_for_clips_of_few_people():
    generator = np.random.default_rng(7)
    clusters = np.arange(30).repeat(10)
    spreads = {"seed_spread": 0.02, "sample_spread": 0.2, "noise": 0.1}
    arm, control = true_accuracies(**spreads, cluster_spread=0.8)
    inside, without = 0, 0
    for _ in range(2000):
        hits = draw_hits(generator, 3, 300, **spreads, clusters=clusters, cluster_spread=0.8)
        found = paired_difference(*hits, 0.95, 1, clusters=clusters)
        inside += found.low <= arm - control <= found.high
        blind = paired_difference(*hits, 0.95, 1)
        without += blind.low <= arm - control <= blind.high
    assert 0.93 <= inside / 2000 <= 0.97
    assert without / 2000 < 0.85  # people forgotten: too sure


def test_the_p_value_is_where_the_interval_touches():
    found = Spread(0.05, 3, 200, 0.01**2, 0.012**2, 0.0)
    p = p_value(found)
    assert half_width(found, 1 - p) == pytest.approx(0.05)
    assert p_value(found, 0.05) == 1
    assert one_sided(found) == pytest.approx(p / 2)
    assert one_sided(found, 0.1) == pytest.approx(1 - p_value(found, 0.1) / 2)
    students = Spread(0.05, 4, 10**6, 0.01**2, 0.0, 0.0)
    assert p_value(students) == pytest.approx(2 * stats.t.sf(5, 3))
    assert p_value(Spread(0.05, 3, 200, 0.0, 0.0, 0.0)) == 0
    assert p_value(Spread(1.0, 3, 200, 1e-200, 1e-200, 0.0)) == 0


def test_under_no_difference_p_is_below_5_percent_in_5_of_100():
    generator = np.random.default_rng(8)
    found = [
        p_value(
            spread(
                *mean_shares(
                    np.subtract(*draw_hits(generator, 3, 200, 0.1, 0.3, 0.5, (0.8, 0.8)).astype(float))
                )
            )
        )
        for _ in range(1000)
    ]
    assert 0.03 <= np.mean(np.array(found) < 0.05) <= 0.07


def test_one_seed_says_nothing_of_others():
    found = spread(np.array([0.7]), np.array([[0.1, -0.3, 0.2]]))
    assert (found.value, found.seeds, found.groups) == (0.7, 1, 3)
    assert (found.seed_variance, found.both_variance) == (0, 0)
    assert found.sample_variance == pytest.approx(1.5 * (0.01 + 0.09 + 0.04))
