import numpy as np
import pytest
from paired_classifiers import draw_hits, true_accuracies
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from fer_repro.errors import UserError
from fer_repro.measures.intervals import (
    blocks,
    class_balanced_mean,
    holm,
    mcnemar_exact,
    mcnemar_mid,
    mean_shares,
    paired_difference,
    percentiles,
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


@pytest.mark.parametrize("balanced", [False, True])
def test_blocks_of_resamples_give_the_numbers_of_a_plain_loop(balanced):
    correct, targets = hits(0.7, 3, 211), np.random.default_rng(1).integers(0, 7, 211)
    generator, draws = np.random.default_rng(5), []
    for _ in range(1500):
        chosen = generator.integers(0, 211, 211)
        values, classes = correct.mean(0)[chosen], targets[chosen]
        parts = [values[classes == k] for k in range(7)] if balanced else [values]
        draws.append(np.mean([part.mean() for part in parts if len(part)]))
    found = sample_interval(correct, 0.9, 1500, targets if balanced else None, seed=5)
    assert [found.low, found.high] == pytest.approx(list(np.quantile(draws, [0.05, 0.95])), abs=1e-12)


def test_mean_class_accuracy_weighs_classes_alike():
    correct, targets = np.array([1, 1, 1, 0, 0]), np.array([0, 0, 0, 0, 2])
    assert class_balanced_mean(correct, targets) == pytest.approx((3 / 4 + 0) / 2)
    found = sample_interval(correct, 0.9, 200, targets)
    assert found.low <= found.value <= found.high
    means, shares = mean_shares(np.stack([correct, 1 - correct]), targets)
    assert means == pytest.approx([3 / 8, 5 / 8])
    assert shares[0] == pytest.approx([(1 - 3 / 4) / 8] * 3 + [-3 / 4 / 8, 0])


def test_whole_groups_are_drawn():
    """Ten frames of a clip that are all right or all wrong are one answer."""
    by_clip = hits(0.7, 40)
    found = sample_interval(by_clip.repeat(10), 0.95, 4000, clusters=np.arange(40).repeat(10))
    assert found.kind == "bootstrap over 40 groups"
    half = stats.t.ppf(0.975, 39) * stats.sem(by_clip)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)
    blind = sample_interval(by_clip.repeat(10), 0.95, 4000)
    assert blind.high - blind.low < 0.4 * (found.high - found.low)
    targets = np.arange(40).repeat(10) % 2
    balanced = sample_interval(by_clip.repeat(10), 0.95, 2000, targets, clusters=np.arange(40).repeat(10))
    assert balanced.value == pytest.approx(np.mean([by_clip[::2].mean(), by_clip[1::2].mean()]))
    assert balanced.low < balanced.value < balanced.high


def test_the_seed_interval_is_students():
    values = [0.70, 0.72, 0.71]
    found = seed_interval(values, 0.95, 100)
    deviation = np.sqrt(sum((v - 0.71) ** 2 for v in values) / 2)
    assert found.high - 0.71 == pytest.approx(4.302653 * deviation / np.sqrt(3), rel=1e-6)
    assert found.kind == "t over seeds"
    assert np.isnan(seed_interval([0.7], 0.95, 100).low)
    assert seed_interval(np.linspace(0.7, 0.8, 10).tolist(), 0.95, 100).kind == "bootstrap over seeds"


def test_ten_resampled_seeds_hold_the_truth_as_often_as_promised():
    generator, inside, plain = np.random.default_rng(3), 0, 0
    for _ in range(2000):
        values = generator.normal(size=10)
        found = seed_interval(values.tolist(), 0.95, 1000)
        inside += found.low <= 0 <= found.high
        draws = values[generator.integers(0, 10, (1000, 10))].mean(1)
        low, high = percentiles(draws, 0.95)
        plain += low <= 0 <= high
    assert 0.93 <= inside / 2000 <= 0.97
    assert plain / 2000 < 0.92  # why the percentiles are taken further out


def test_the_paired_difference_uses_the_pairing():
    control = hits(0.6, 3, 2000)
    better = control | hits(0.05, 3, 2000, seed=1)  # only ever gains
    found = paired_difference(better, control, 0.95, 1000)
    assert found.value == pytest.approx(better.mean() - control.mean())
    assert 0 < found.low < found.value < found.high < 0.04
    assert found.kind == "t over seeds and samples"
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


def test_seeds_alone_are_compared_by_the_paired_t_test():
    """Where every sample answers alike, what is left is the t test over the seeds' differences."""
    gaps = np.array([0.0, 1.0, 1.0, 1.0])
    found = paired_difference(np.tile(gaps[:, None], 50), np.zeros((4, 50)), 0.95, 1)
    oracle = stats.ttest_rel(gaps, np.zeros(4)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))


def test_a_bootstrap_over_three_seeds_is_too_sure():
    """Why ``paired_difference`` does not resample seeds."""
    generator, inside = np.random.default_rng(4), 0
    arm, control = true_accuracies(0.3, 0.3, 0.3)
    for _ in range(300):
        first, second = draw_hits(generator, 3, 200, 0.3, 0.3, 0.3)
        gaps = first.astype(float) - second
        seeds = generator.multinomial(3, [1 / 3] * 3, 400)
        faces = generator.multinomial(200, [1 / 200] * 200, 400)
        draws = np.einsum("rs,sn,rn->r", seeds, gaps, faces, optimize=True) / 600
        low, high = percentiles(draws, 0.95)
        inside += low <= arm - control <= high
    assert inside / 300 < 0.85


@pytest.mark.parametrize(("first", "second"), [(8, 2), (3, 3), (15, 4), (1, 0)])
def test_mcnemar_is_the_binomial_tail(first, second):
    a = np.array([1] * first + [0] * second + [1] * 5 + [0] * 5)
    b = np.array([0] * first + [1] * second + [1] * 5 + [0] * 5)
    count = first + second
    tail = sum(stats.binom.pmf(k, count, 0.5) for k in range(max(first, second), count + 1))
    assert mcnemar_exact(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_exact(a, b) == pytest.approx(mcnemar([[5, first], [second, 5]], exact=True).pvalue)
    half = stats.binom.pmf(first, count, 0.5)
    assert mcnemar_mid(a, b) == pytest.approx(1.0 if first == second else 2 * tail - half)
    assert mcnemar_exact(a, a) == mcnemar_mid(a, a) == 1


def test_the_mid_p_of_a_published_example():
    """Fagerland, Lydersen and Laake 2013, Table 1: 1 against 7 among 21 pairs; exact 0.070, mid-p 0.039."""
    a, b = np.array([1] + [0] * 7 + [1] * 13), np.array([0] + [1] * 7 + [1] * 13)
    assert mcnemar_exact(a, b) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar_mid(a, b) == pytest.approx(0.0391, abs=5e-5)


def test_holm_is_that_of_statsmodels():
    values = np.random.default_rng(0).random(12) ** 3
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert holm([0.01, float("nan"), 0.04, 0.03]) == pytest.approx(
        [0.03, float("nan"), 0.06, 0.06], nan_ok=True
    )
    assert len(holm([])) == 0


def test_holm_keeps_the_chance_of_any_false_alarm():
    generator = np.random.default_rng(1)
    alarms = [holm(generator.random(6)).min() < 0.05 for _ in range(4000)]
    assert np.mean(alarms) <= 0.06


@pytest.mark.parametrize(("count", "clusters"), [(1, None), (3, np.zeros(3))])
def test_samples_of_one_group_give_a_difference_without_bounds(count, clusters):
    found = paired_difference(np.ones((2, count)), np.zeros((2, count)), 0.95, 10, clusters=clusters)
    assert (found.value, found.kind) == (1.0, "one group of samples")
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("balanced", [False, True])
def test_drawn_groups_give_the_numbers_of_a_plain_loop(balanced):
    """Each draw takes seven of seven groups with all their samples; the percentiles lie further out."""
    correct, clusters = hits(0.7, 2, 83), np.random.default_rng(1).integers(0, 7, 83)
    targets, generator, draws = np.random.default_rng(2).integers(0, 4, 83), np.random.default_rng(5), []
    for _ in range(600):
        rows = np.concatenate([np.flatnonzero(clusters == k) for k in generator.integers(0, 7, 7)])
        values, classes = correct.mean(0)[rows], targets[rows] if balanced else np.zeros(len(rows))
        draws.append(np.mean([values[classes == k].mean() for k in np.unique(classes)]))
    tail = stats.norm.cdf(stats.t.ppf(0.05, 6) * np.sqrt(7 / 6))
    given = {"targets": targets if balanced else None, "clusters": clusters}
    found = sample_interval(correct, 0.9, 600, **given, seed=5)
    assert [found.low, found.high] == pytest.approx(list(np.quantile(draws, [tail, 1 - tail])), abs=1e-12)
    assert found.kind == "bootstrap over 7 groups"
    assert sample_interval(correct, 0.9, 50, **given) == sample_interval(correct, 0.9, 50, **given, seed=0)
    one = paired_difference(correct[:1], correct[1:], 0.9, 600, **given, seed=5)
    gap = sample_interval(correct[0].astype(float) - correct[1], 0.9, 600, **given, seed=5)
    assert (one.value, one.low, one.high) == (gap.value, gap.low, gap.high)
    assert one.kind == "paired bootstrap over 7 groups"


def test_ten_seeds_are_resampled_as_a_plain_loop_does():
    values, generator = np.random.default_rng(1).normal(70, 2, 10), np.random.default_rng(3)
    draws = [values[generator.integers(0, 10, 10)].mean() for _ in range(400)]
    tail = stats.norm.cdf(stats.t.ppf(0.025, 9) * np.sqrt(10 / 9))
    found = seed_interval(values.tolist(), 0.95, 400, seed=3)
    assert [found.low, found.high] == pytest.approx(list(np.quantile(draws, [tail, 1 - tail])), abs=1e-12)
    assert found.value == pytest.approx(sum(values) / 10)
    assert seed_interval(values.tolist(), 0.95, 400) == seed_interval(values.tolist(), 0.95, 400, seed=0)


def test_one_seed_has_a_mean_and_no_bounds():
    found = seed_interval([70.5], 0.95, 10)
    assert (found.value, found.kind) == (70.5, "one seed")
    assert np.isnan([found.low, found.high]).all()


def test_without_a_seed_the_first_resampling_is_taken():
    correct, other = hits(0.7, 1, 90), hits(0.6, 1, 90, seed=1)
    assert sample_interval(correct, 0.9, 80) == sample_interval(correct, 0.9, 80, seed=0)
    assert sample_interval(correct, 0.9, 80) != sample_interval(correct, 0.9, 80, seed=1)
    assert sample_interval(correct, 0.9, 80).kind == "bootstrap over samples"
    given = (correct, other, 0.9, 80)
    assert paired_difference(*given) == paired_difference(*given, seed=0) != paired_difference(*given, seed=1)


def test_a_difference_of_seeds_and_groups_holds_both_spreads():
    """Two seeds and two groups of samples are enough for bounds around the mean over classes."""
    first, second = hits(0.8, 2, 40), hits(0.6, 2, 40, seed=1)
    targets, clusters = np.arange(40) % 3, np.arange(40) % 2
    found = paired_difference(first, second, 0.9, 1, targets, clusters=clusters)
    gap = first.astype(float) - second
    assert found.value == pytest.approx(np.mean([gap[:, targets == k].mean() for k in range(3)]))
    assert found.low < found.value < found.high
    assert found.high - found.value == pytest.approx(found.value - found.low)


def test_blocks_are_as_high_as_the_memory_allows():
    assert list(blocks(10, 100_000)) == [2, 2, 2, 2, 2]
    assert list(blocks(3, 100_000)) == [2, 1]
    assert list(blocks(2, 250_000)) == [1, 1]
    assert list(blocks(2, 900_000)) == [1, 1]
    assert list(blocks(4, 0)) == [4]
    assert list(blocks(250_001, 1)) == [250_000, 1]


@pytest.mark.parametrize("seed", range(6))
def test_a_class_of_one_sample_is_missing_in_some_draws(seed):
    correct, targets = np.arange(9.0), np.array([0] * 4 + [1] * 4 + [2])
    generator, draws = np.random.default_rng(seed), []
    for _ in range(40):
        chosen = generator.integers(0, 9, 9)
        draws.append(
            np.mean([correct[chosen][targets[chosen] == k].mean() for k in np.unique(targets[chosen])])
        )
    found = sample_interval(correct, 0.9, 40, targets, seed)
    assert [found.low, found.high] == pytest.approx(list(np.quantile(draws, [0.05, 0.95])))


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.float32])
def test_labels_of_any_whole_type_give_the_same_interval(kind):
    targets = np.tile(np.arange(100), 3)
    correct, clusters = hits(0.6, 300), np.arange(300) // 2
    for groups in (None, clusters):
        wide = sample_interval(correct, 0.95, 50, targets, clusters=groups)
        assert sample_interval(correct, 0.95, 50, targets.astype(kind), clusters=groups) == wide
    assert class_balanced_mean(correct, targets.astype(kind)) == class_balanced_mean(correct, targets)
    assert np.array_equal(
        mean_shares(correct[None], targets.astype(kind))[1], mean_shares(correct[None], targets)[1]
    )


@pytest.mark.parametrize("labels", [[0, -1, 1], [0, 0.5, 1], [0, np.nan, 1], [0, 1]])
def test_labels_that_are_no_class_give_no_interval(labels):
    correct, targets = np.ones(3), np.array(labels)
    for clusters in (None, np.array([0, 0, 1])):
        with pytest.raises(UserError, match=r"targets? .*expected"):
            sample_interval(correct, 0.95, 10, targets, clusters=clusters)
    for measure in (class_balanced_mean, lambda hit, labels: mean_shares(hit[None], labels)):
        with pytest.raises(UserError, match=r"targets? .*expected"):
            measure(correct, targets)


@pytest.mark.parametrize("test", [mcnemar_exact, mcnemar_mid])
def test_hits_are_truth_values_not_labels(test):
    first, second = hits(0.6, 50), hits(0.5, 50, seed=1)
    assert test(first.astype(np.uint8), second.astype(float)) == test(first, second)
    with pytest.raises(UserError, match="hit 1 is 2: expected a whole number, 0 to 1"):
        test(np.array([0, 2, 1]), np.array([0, 1, 1]))
    with pytest.raises(UserError, match="hit 0 is nan"):
        test(np.array([np.nan, 1]), np.array([0, 1]))
