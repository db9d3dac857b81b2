import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from fer_repro.errors import UserError
from fer_repro.measures.verification import (
    READINGS,
    add_mirror,
    auc,
    cosine_scores,
    equal_error_rate,
    fold_accuracy,
    roc,
    tar_at_far,
    unit,
    verification_metrics,
)

GOLDENS = Path(__file__).parent.parent / "goldens"
RULES = {
    "scores": "exact_thresholds_ties_to_lowest",
    "scores_highest": "exact_thresholds_ties_to_highest",
    "squared_distance": "squared_distance_grid_0_to_4_step_0.01",
    "youden": "youden_1000_thresholds",
}
NAMES = {
    "not_above": "largest_tpr_with_fpr_not_above",
    "linear": "linear_interpolation",
    "nearest": "nearest_fpr_then_largest_tpr",
}


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDENS / "face_verification.json").read_text())


@pytest.fixture(scope="module")
def pairs():
    with np.load(GOLDENS / "face_verification.npz") as arrays:
        scores, same = arrays["similarity"], arrays["label"]
    return scores.ravel(), same.ravel(), np.repeat(np.arange(len(scores)), scores.shape[1])


def draw(seed, count=120, folds=4):
    """Scores on a coarse grid, so that many tie."""
    rng = np.random.default_rng(seed)
    same = rng.permutation(np.arange(count) % 2)
    return np.round(rng.normal(0.3 * same, 0.2), 1), same, np.arange(count) % folds


@pytest.mark.parametrize("rule", RULES)
def test_golden_accuracy_over_folds(golden, pairs, rule):
    found, expected = fold_accuracy(*pairs, rule), golden["kfold"][RULES[rule]]
    np.testing.assert_allclose(found.accuracies, expected["fold_accuracy"], rtol=1e-9)
    np.testing.assert_allclose(found.thresholds, expected["fold_threshold"], rtol=1e-9)
    assert found.mean == pytest.approx(expected["mean"], rel=1e-9)
    assert found.deviation == pytest.approx(expected["std_population"], rel=1e-9)
    assert found.sample_deviation == pytest.approx(expected["std_sample"], rel=1e-9)
    assert found.standard_error == pytest.approx(expected["standard_error"], rel=1e-9)


def test_golden_best_threshold_over_all_pairs_is_another_number(golden, pairs):
    scores, same, _ = pairs
    best = max(np.mean((scores >= threshold) == same) for threshold in scores)
    assert best == pytest.approx(golden["all_pairs_best_accuracy_not_the_protocol"], rel=1e-9)
    assert best > fold_accuracy(*pairs).mean


def test_golden_roc(golden, pairs):
    curve = roc(*pairs[:2])
    assert len(curve.far) == golden["roc"]["points"]
    assert auc(curve) == pytest.approx(golden["roc"]["auc"], rel=1e-9)
    assert equal_error_rate(curve) == pytest.approx(golden["roc"]["eer_linear"], rel=1e-9)
    for far, readings in golden["roc"]["tar_at_far"].items():
        for reading in READINGS:
            found = tar_at_far(curve, float(far), reading)
            assert found.measurable
            assert found.tar == pytest.approx(readings[NAMES[reading]], rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_scikit_learn_agrees(seed):
    scores, same, _ = draw(seed)
    curve = roc(scores, same)
    far, tar, thresholds = sk.roc_curve(same, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.far, far)
    np.testing.assert_allclose(curve.tar, tar)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert auc(curve) == pytest.approx(sk.roc_auc_score(same, scores))


@pytest.mark.parametrize("rule", ["scores", "scores_highest"])
@pytest.mark.parametrize("seed", range(4))
def test_folds_agree_with_a_naive_loop(seed, rule):
    scores, same, folds = draw(seed)
    found = fold_accuracy(scores, same, folds, rule)
    for fold in range(4):
        best, chosen = -1.0, None
        candidates = sorted({score for score, other in zip(scores, folds, strict=True) if other != fold})
        for candidate in candidates if rule == "scores" else reversed(candidates):
            right = [
                (score >= candidate) == bool(truth)
                for score, truth, other in zip(scores, same, folds, strict=True)
                if other != fold
            ]
            if sum(right) / len(right) > best:
                best, chosen = sum(right) / len(right), candidate
        tested = [
            (score >= chosen) == bool(truth)
            for score, truth, other in zip(scores, same, folds, strict=True)
            if other == fold
        ]
        assert found.thresholds[fold] == chosen
        assert found.accuracies[fold] == pytest.approx(sum(tested) / len(tested))


def test_roc_by_hand():
    """Same: 0.9, 0.5; different: 0.5, 0.1. At 0.5 one of each kind enters."""
    curve = roc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0]))
    assert curve.far.tolist() == [0, 0, 0.5, 1]
    assert curve.tar.tolist() == [0, 0.5, 1, 1]
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.5, 0.1]
    assert auc(curve) == 7 / 8  # three of four comparisons won, one tied
    assert equal_error_rate(curve) == pytest.approx(0.25)  # between (0, 0.5) and (0.5, 1): FNR = FAR


@pytest.mark.parametrize(("scores", "rate"), [([2, 2, 1, 1], 0), ([1, 1, 2, 2], 1), ([1, 1, 1, 1], 0.5)])
def test_equal_error_rate_of_perfect_inverted_and_constant_scores(scores, rate):
    curve = roc(np.array(scores), np.array([1, 1, 0, 0]))
    assert equal_error_rate(curve) == rate
    assert auc(curve) == 1 - rate


def test_too_few_different_pairs_are_said_aloud_and_not_interpolated():
    scores, same, _ = draw(0)
    curve = roc(scores, same)
    for reading in READINGS:
        found = tar_at_far(curve, 0.01, reading)
        assert not found.measurable
        assert found.tar == np.mean(scores[same == 1] > scores[same == 0].max())
        assert "cannot be measured with 60 different pairs, only from 0.017 on" in found.note
    assert tar_at_far(curve, 1 / 60).measurable
    numbers, notes = verification_metrics(scores, same, fars=(0.1, 0.01))
    assert set(numbers) == {"auc", "equal_error_rate", "tar_at_far_1e_1"}
    assert len(notes) == 1


def test_a_pair_on_the_threshold_of_squared_distances_is_another_person():
    """Scores 0.5 and 0.75 have the distances 1 and 0.5, both on the grid: same only below the threshold."""
    scores, same = np.array([0.75, 0.5, 0.75, 0.5]), np.array([1, 0, 1, 0])
    found = fold_accuracy(scores, same, np.array([0, 0, 1, 1]), "squared_distance")
    assert found.thresholds.tolist() == pytest.approx([0.51, 0.51])
    assert found.accuracies.tolist() == [1, 1]
    tied = np.array([0.75, 0.75 - 0.005, 0.75, 0.5])  # the second has the distance 0.51 itself
    assert fold_accuracy(tied, same, np.array([0, 0, 1, 1]), "squared_distance").accuracies[0] == 1


def test_readings_between_two_points():
    """Ten different pairs at 0.0 ... 0.9, same pairs at 0.05 + 0.1 n: FAR 0.1 n and TAR 0.1 n by turns."""
    scores = np.concatenate([np.arange(10) / 10, np.arange(10) / 10 + 0.05])
    curve = roc(scores, np.repeat([0, 1], 10))
    for far, expected in ((0.14, (0.2, 0.2, 0.2)), (0.16, (0.2, 0.2, 0.3)), (0.2, (0.3, 0.3, 0.3))):
        found = {reading: tar_at_far(curve, far, reading) for reading in READINGS}
        assert [found[name].tar for name in ("not_above", "linear", "nearest")] == pytest.approx(
            expected, abs=1e-9
        )
        assert all(one == (far, one.tar, True, "") for one in found.values())
    assert tar_at_far(curve, 0.999).tar == 1
    for far in (0, 1, 1.5, -0.1):
        with pytest.raises(UserError, match="expected a share between 0 and 1"):
            tar_at_far(curve, far)


def test_metrics_with_folds():
    numbers, notes = verification_metrics(*draw(1), fars=(0.1,))
    accuracy = fold_accuracy(*draw(1))
    assert numbers == {
        "auc": auc(roc(*draw(1)[:2])),
        "equal_error_rate": equal_error_rate(roc(*draw(1)[:2])),
        "tar_at_far_1e_1": tar_at_far(roc(*draw(1)[:2]), 0.1).tar,
        "pair_accuracy": accuracy.mean,
        "pair_accuracy_standard_error": accuracy.standard_error,
    }
    assert notes == ()
    usual, _ = verification_metrics(*draw(1, count=4000))
    assert {"tar_at_far_1e_1", "tar_at_far_1e_2", "tar_at_far_1e_3"} < set(usual)


def test_youdens_threshold_is_that_of_a_plain_loop():
    """Whole scores from 0 to 1,000: every candidate is a whole number and many pairs stand on one."""
    rng = np.random.default_rng(0)
    same = np.arange(400) % 2
    scores = np.clip(rng.normal(450 + 120 * same, 150), 1, 999).round()
    scores[[0, 1, 200, 201]] = 0, 1000, 1000, 0
    folds = np.arange(400) // 200
    found = fold_accuracy(scores, same, folds, "youden")
    for fold, threshold in enumerate(found.thresholds):
        tested, kind = scores[folds == fold], same[folds == fold]
        right = np.where(kind == 1, tested > threshold, tested < threshold)  # on the threshold: wrong
        assert found.accuracies[fold] == right.mean()
        own, truth = scores[folds != fold], same[folds != fold] == 1
        gains = [np.mean(own[truth] > c) - np.mean(own[~truth] > c) for c in range(1, 1001)]
        assert threshold == 1 + np.argmax(gains)  # ties as counts over all give them, without rounding


def test_the_last_embedding_may_be_named_and_no_further_one():
    rows = np.eye(3)
    assert cosine_scores(rows, np.array([2]), np.array([2])).tolist() == [1]
    for first, second in (([0, 3], [0, 0]), ([0, 0], [0, 3]), ([0, -1], [0, 0])):
        with pytest.raises(UserError, match=r"pair 1 names embedding (3|-1): expected 0 to 2"):
            cosine_scores(rows, np.array(first), np.array(second))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64, bool])
def test_rows_of_pairs_may_have_any_whole_type(kind):
    rows = np.array([[1.0, 0.0], [0.6, 0.8]])
    first, second = np.array([0, 1, 1]), np.array([1, 1, 0])
    expected = cosine_scores(rows, first, second)
    assert np.array_equal(cosine_scores(rows, first.astype(kind), second.astype(kind)), expected)
    with pytest.raises(UserError, match=r"row of pair 0 is 0\.5: expected a whole number"):
        cosine_scores(rows, np.array([0.5]), np.array([1]))


def test_scores_are_cosines():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(5, 3)).astype(np.float32)
    found = cosine_scores(embeddings, np.array([0, 2]), np.array([1, 2]))
    exact = embeddings.astype(np.float64)
    expected = exact[0] @ exact[1] / np.sqrt((exact[0] ** 2).sum() * (exact[1] ** 2).sum())
    np.testing.assert_allclose(found, [expected, 1.0])
    np.testing.assert_allclose(add_mirror(exact, exact), unit(exact))


@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [
        ([0.1, np.nan], [0, 1], "score of pair 1 is nan: expected a finite number"),
        ([0.1, np.inf], [0, 1], "score of pair 1 is inf"),
        ([0.1, 0.2], [1, 1], "all 2 pairs are of same people: expected both kinds"),
        ([0.1, 0.2], [0, 0], "all 2 pairs are of different people"),
        ([0.1, 0.2], [0, 2], "same of pair 1 is 2: expected 0 or 1"),
        ([0.1, 0.2], [0], "expected one of each per pair"),
        ([], [], "expected both kinds"),
    ],
)
def test_bad_pairs_are_one_clear_error(scores, same, message):
    for function in (roc, lambda scores, same: fold_accuracy(scores, same, np.arange(len(scores)))):
        with pytest.raises(UserError, match=message) as caught:
            function(np.array(scores), np.array(same))
        assert "\n" not in str(caught.value)


def test_other_mistakes_are_named():
    scores, same, folds = draw(0)
    with pytest.raises(UserError, match="did you mean 'scores'"):
        fold_accuracy(scores, same, folds, "score")
    with pytest.raises(UserError, match="at least two folds"):
        fold_accuracy(scores, same, np.zeros(120))
    with pytest.raises(UserError, match="outside fold 1 all pairs are of one kind"):
        fold_accuracy(np.arange(4.0), np.array([1, 1, 0, 1]), np.array([0, 0, 1, 1]))
    with pytest.raises(UserError, match="reading is 'lineal'; did you mean 'linear'"):
        tar_at_far(roc(scores, same), 0.1, "lineal")
    with pytest.raises(UserError, match="FAR is 0: expected"):
        tar_at_far(roc(scores, same), 0)
    with pytest.raises(UserError, match=r"embedding 1 has the length 0\.0"):
        cosine_scores(np.array([[1.0], [0.0]]), np.array([0]), np.array([1]))
    with pytest.raises(UserError, match="pair 0 names embedding -1: expected 0 to 1"):
        cosine_scores(np.ones((2, 1)), np.array([-1]), np.array([1]))
    with pytest.raises(UserError, match=r"expected \(N, D\)"):
        unit(np.ones(3))
