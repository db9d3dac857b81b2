import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from fer_repro.errors import UserError
from fer_repro.measures.detection import (
    auc_shares,
    delong_covariance,
    delong_test,
    log_loss_shares,
    log_losses,
    placements,
)
from fer_repro.measures.variance_components import spread

# Albumin, total protein, K-G score and outcome of 43 patients: the data of DeLong, DeLong and Clarke-Pearson
# 1988 as the SAS/STAT User's Guide prints them ("Comparing Receiver Operating Characteristic Curves").
TABLE = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1
3.8 5.7 5 1 3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0
2.3 4.4 6 1 4.2 7.6 4 0 4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1
3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1 4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0
3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1 2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1
3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1
"""
PATIENTS = np.array(TABLE.split(), float).reshape(-1, 4)
BENEFIT = PATIENTS[:, 3] == 1
SCREENS = np.stack([PATIENTS[:, 0], PATIENTS[:, 1], 10 - PATIENTS[:, 2]])  # the K-G score counts downwards


def naive_components(scores, positive):
    """DeLong's V10 and V01, pair by pair."""
    ones, zeros = scores[positive], scores[~positive]

    def above(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    return (
        np.array([np.mean([above(x, y) for y in zeros]) for x in ones]),
        np.array([np.mean([above(x, y) for x in ones]) for y in zeros]),
    )


def draw(generator, count, gap_first=1.0, gap_second=1.0, shared=0.8, positives=0.4):
    positive = generator.random(count) < positives
    common = generator.normal(size=count) * shared
    first = common + generator.normal(size=count) + gap_first * positive
    second = common + generator.normal(size=count) + gap_second * positive
    return first, second, positive


def test_the_worked_example_of_delongs_paper():
    areas, _ = auc_shares(SCREENS, BENEFIT)
    errors = np.sqrt(np.diag(delong_covariance(SCREENS, BENEFIT)))
    assert areas == pytest.approx([0.7366, 0.6478, 0.7258], abs=5e-5)
    assert errors == pytest.approx([0.0927, 0.1000, 0.1028], abs=5e-5)
    albumin, protein = (delong_test(SCREENS[k], SCREENS[2], BENEFIT) for k in (0, 1))
    assert (albumin.difference, albumin.error) == pytest.approx((0.0108, 0.0953), abs=5e-5)
    assert (protein.difference, protein.error) == pytest.approx((-0.0780, 0.1046), abs=5e-5)
    assert (albumin.p, protein.p) == pytest.approx((0.9102, 0.4561), abs=5e-5)
    assert albumin.interval(0.95) == pytest.approx((-0.1761, 0.1976), abs=5e-5)


@pytest.mark.parametrize("digits", [0, 1, 6])  # few digits: many ties
def test_the_components_are_those_of_all_pairs(digits):
    first, second, positive = draw(np.random.default_rng(0), 61)
    first, second = first.round(digits), second.round(digits)
    mine, naive = placements(first, positive), naive_components(first, positive)
    assert mine[0] == pytest.approx(naive[0])
    assert mine[1] == pytest.approx(naive[1])
    found = delong_test(first, second, positive)
    other = naive_components(second, positive)
    ones, zeros = (np.cov(naive[k], other[k]) for k in (0, 1))
    covariance = ones / positive.sum() + zeros / (~positive).sum()
    assert found.first == pytest.approx(roc_auc_score(positive, first))
    assert found.second == pytest.approx(roc_auc_score(positive, second))
    assert delong_covariance(np.stack([first, second]), positive) == pytest.approx(covariance)
    assert found.error == pytest.approx(np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1])))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference) / found.error))


def test_the_clustered_error_is_obuchowskis():
    """By the sums of his Eqs. 5 to 9; groups hold one kind, the other, or both."""
    first, _, positive = draw(np.random.default_rng(1), 90)
    clusters = np.random.default_rng(2).integers(0, 25, 90)
    above, below = naive_components(first, positive)
    area, ones, zeros = above.mean(), positive.sum(), (~positive).sum()
    sum_ones = [np.sum(above[clusters[positive] == c] - area) for c in range(25)]
    sum_zeros = [np.sum(below[clusters[~positive] == c] - area) for c in range(25)]
    with_ones, with_zeros = len(set(clusters[positive])), len(set(clusters[~positive]))
    s10 = with_ones / ((with_ones - 1) * ones) * np.sum(np.square(sum_ones))
    s01 = with_zeros / ((with_zeros - 1) * zeros) * np.sum(np.square(sum_zeros))
    s11 = 25 / 24 * np.dot(sum_ones, sum_zeros)
    expected = s10 / ones + s01 / zeros + 2 * s11 / (ones * zeros)
    assert delong_covariance(first[None], positive, clusters)[0, 0] == pytest.approx(expected)


def test_frames_of_a_video_are_no_independent_samples():
    generator, inside, blind = np.random.default_rng(3), 0, 0
    clusters = np.arange(60).repeat(8)
    for _ in range(1000):
        first, second, positive = (part.repeat(8) for part in draw(generator, 60))
        noise = generator.normal(size=(2, 480)) * 0.3
        for groups in (clusters, None):
            found = delong_test(first + noise[0], second + noise[1], positive, groups)
            low, high = found.interval(0.95)
            inside += groups is not None and low <= 0 <= high
            blind += groups is None and low <= 0 <= high
    assert 0.93 <= inside / 1000 <= 0.97
    assert blind / 1000 < 0.7


def test_delongs_interval_holds_the_truth():
    generator, inside = np.random.default_rng(4), 0
    true = stats.norm.cdf(1.3 / np.sqrt(2 * (1 + 0.8**2))) - stats.norm.cdf(0.8 / np.sqrt(2 * (1 + 0.8**2)))
    for _ in range(2000):
        low, high = delong_test(*draw(generator, 150, 1.3, 0.8)).interval(0.95)
        inside += low <= true <= high
    assert 0.93 <= inside / 2000 <= 0.97


def test_the_shares_give_delongs_error():
    first, second, positive = draw(np.random.default_rng(5), 400)
    ours, theirs = auc_shares(first[None], positive), auc_shares(second[None], positive)
    found = spread(ours[0] - theirs[0], ours[1] - theirs[1])
    exact = delong_test(first, second, positive)
    assert found.value == pytest.approx(exact.difference)
    assert np.sqrt(found.sample_variance) == pytest.approx(exact.error, rel=0.01)
    clusters = np.arange(400) // 5
    grouped = spread(ours[0] - theirs[0], ours[1] - theirs[1], clusters)
    assert np.sqrt(grouped.sample_variance) == pytest.approx(
        delong_test(first, second, positive, clusters).error, rel=0.03
    )


def test_delong_agrees_with_a_bootstrap_of_scikit_learns_areas():
    first, second, positive = draw(np.random.default_rng(6), 300)
    low, high = delong_test(first, second, positive).interval(0.95)
    draws = []
    for chosen in np.random.default_rng(9).integers(0, 300, (500, 300)):
        areas = [roc_auc_score(positive[chosen], scores[chosen]) for scores in (first, second)]
        draws.append(areas[0] - areas[1])
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([low, high], abs=0.15 * (high - low))


def test_log_losses_are_scikit_learns():
    first, _, positive = draw(np.random.default_rng(8), 200)
    losses = log_losses(first, positive)
    assert losses.mean() == pytest.approx(log_loss(positive, 1 / (1 + np.exp(-first))))
    assert np.isfinite(log_losses(np.array([1e5, -1e5]), np.array([False, True]))).all()
    value, shares = log_loss_shares(first[None], positive)
    assert value == pytest.approx([losses.mean()])
    assert shares[0] == pytest.approx((losses - losses.mean()) / 200)


def test_scores_that_rank_alike_are_not_told_apart():
    first, _, positive = draw(np.random.default_rng(9), 50)
    found = delong_test(first, 2 * first + 1, positive)
    assert (found.difference, found.error, found.p) == (0, 0, 1)


def test_one_kind_has_no_area():
    with pytest.raises(UserError, match="all 3 samples are of one kind"):
        placements(np.arange(3.0), np.ones(3, bool))
    with pytest.raises(UserError, match="all its samples in one group"):
        delong_covariance(np.arange(4.0)[None], np.array([True, False, False, False]))


def test_areas_that_cannot_vary_differ_for_sure():
    truth = np.array([False, False, True, True])
    found = delong_test(np.arange(4.0), -np.arange(4.0), truth)
    assert (found.first, found.second, found.difference, found.error, found.p) == (1, 0, 1, 0, 0)
    assert found.interval(0.9) == (1, 1)


def test_the_interval_is_normal_and_the_difference_has_a_sign():
    first, second, positive = draw(np.random.default_rng(12), 80)
    one, other = delong_test(first, second, positive), delong_test(second, first, positive)
    half = stats.norm.ppf(0.95) * one.error
    assert one.interval(0.9) == pytest.approx((one.difference - half, one.difference + half))
    assert one.difference == -other.difference
    assert (one.p, one.error) == pytest.approx((other.p, other.error))


def test_clusters_widen_the_tests_error():
    first, second, positive = draw(np.random.default_rng(13), 90)
    clusters = np.random.default_rng(2).integers(0, 25, 90)
    found = delong_test(first, second, positive, clusters)
    covariance = delong_covariance(np.stack([first, second]), positive, clusters)
    assert found.error**2 == pytest.approx(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.error != delong_test(first, second, positive).error


def test_two_groups_of_each_kind_are_enough():
    scores, truth = np.array([[0.1, 0.4, 0.3, 0.9]]), np.array([0, 0, 1, 1])
    above, below = naive_components(scores[0], truth == 1)
    expected = np.var(above, ddof=1) / 2 + np.var(below, ddof=1) / 2
    assert delong_covariance(scores, truth)[0, 0] == pytest.approx(expected)
    for groups in ([0, 0, 1, 2], [0, 1, 2, 2]):
        with pytest.raises(UserError, match="all its samples in one group"):
            delong_covariance(scores, truth, groups)
