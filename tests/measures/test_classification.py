import numpy as np
import pytest
from sklearn import metrics as sk

from fer_repro.errors import UserError
from fer_repro.measures import classification
from fer_repro.measures.calibration import fit_temperature, log_likelihood_loss

HAND = [
    # targets, predicted, K, accuracy, mean class accuracy, macro F1
    ([0, 0, 0, 1], [0, 0, 0, 0], 2, 3 / 4, 1 / 2, (6 / 7 + 0) / 2),
    ([0, 1, 2], [0, 1, 2], 3, 1.0, 1.0, 1.0),
    ([0, 0, 1, 2], [1, 0, 1, 0], 4, 1 / 2, (1 / 2 + 1 + 0) / 3, (1 / 2 + 2 / 3 + 0) / 3),
]


@pytest.mark.parametrize(("targets", "predicted", "classes", "accuracy", "balanced", "f1"), HAND)
def test_by_hand(targets, predicted, classes, accuracy, balanced, f1):
    targets, predicted = np.array(targets), np.array(predicted)
    assert classification.accuracy(targets, predicted) == pytest.approx(accuracy)
    assert classification.mean_class_accuracy(targets, predicted, classes) == pytest.approx(balanced)
    assert classification.macro_f1(targets, predicted, classes) == pytest.approx(f1)


@pytest.fixture(params=range(3))
def case(request):
    rng = np.random.default_rng(request.param)
    probabilities = rng.dirichlet(np.full(7, 0.4), 500)
    return rng.choice(7, 500, p=[0.3, 0.02, 0.1, 0.2, 0.08, 0.2, 0.1]), probabilities


def test_scikit_learn_agrees(case):
    targets, probabilities = case
    predicted = probabilities.argmax(1)
    found = classification.classification_metrics(targets, probabilities)
    assert list(found) == sorted(found)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(targets, predicted))
    assert found["mean_class_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, predicted))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    assert found["negative_log_likelihood"] == pytest.approx(
        sk.log_loss(targets, probabilities, labels=range(7))
    )
    assert (
        classification.confusion_matrix(targets, predicted, 7) == sk.confusion_matrix(targets, predicted)
    ).all()
    assert classification.recalls(targets, predicted, 7) == pytest.approx(
        sk.recall_score(targets, predicted, average=None)
    )


def test_calibration_error_is_the_naive_sum(case):
    targets, probabilities = case
    expected = 0.0
    for m in range(1, 16):
        rows = [i for i, p in enumerate(probabilities.max(1)) if (m - 1) / 15 < p <= m / 15]
        if rows:
            accuracy = sum(probabilities[i].argmax() == targets[i] for i in rows) / len(rows)
            confidence = sum(probabilities[i].max() for i in rows) / len(rows)
            expected += len(rows) / len(targets) * abs(accuracy - confidence)
    assert classification.expected_calibration_error(targets, probabilities) == pytest.approx(expected)


def test_a_class_without_samples_has_no_recall():
    found = classification.recalls(np.array([0, 0]), np.array([0, 1]), 3)
    assert found[0] == 0.5
    assert np.isnan(found[1:]).all()


def test_softmax_survives_large_logits():
    assert classification.softmax(np.array([[1000.0, 1000.0]])).tolist() == [[0.5, 0.5]]


KINDS = (np.uint8, np.int8, np.int16, np.uint64, np.float16, np.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_whole_type_count_alike(kind):
    rng = np.random.default_rng(0)
    targets = np.tile(np.arange(100), 3)
    probabilities = rng.dirichlet(np.full(100, 0.1), 300)
    predicted = np.where(rng.random(300) < 0.5, targets, probabilities.argmax(1))
    small, guessed = targets.astype(kind), predicted.astype(kind)
    assert classification.macro_f1(small, small, 100) == 1
    assert (
        classification.confusion_matrix(small, guessed, 100) == sk.confusion_matrix(targets, predicted)
    ).all()
    assert classification.macro_f1(small, guessed, 100) == pytest.approx(
        sk.f1_score(targets, predicted, average="macro")
    )
    assert classification.accuracy(small, guessed) == sk.accuracy_score(targets, predicted)
    for measure in (classification.recalls, classification.mean_class_accuracy):
        assert np.array_equal(measure(small, guessed, 100), measure(targets, predicted, 100))
    wide = classification.classification_metrics(targets, probabilities)
    assert classification.classification_metrics(small, probabilities) == wide


def test_truth_values_are_labels():
    truth = np.array([True, False, True])
    assert classification.confusion_matrix(truth, ~truth, 2).tolist() == [[0, 1], [2, 0]]
    assert classification.recalls(truth, truth, 2).tolist() == [1, 1]


BAD_LABELS = {
    "negative": ([0, -1, 1], r"target 1 is -1: expected a whole number, 0 to 2"),
    "beyond the last": ([0, 1, 3], r"target 2 is 3: expected a whole number, 0 to 2"),
    "no whole number": ([0, 1.5, 1], r"target 1 is 1\.5: expected a whole number, 0 to 2"),
    "not a number": ([0, np.nan, 1], r"target 1 is nan: expected"),
    "infinite": ([np.inf, 0, 1], r"target 0 is inf: expected"),
    "in columns": ([[0], [1], [2]], r"targets are int64 of the shape \(3, 1\): expected one whole number"),
    "words": (["a", "b", "c"], r"targets are <U1 of the shape \(3,\): expected one whole number"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels_that_are_no_class_are_refused(case):
    labels, message = BAD_LABELS[case]
    targets, predicted = np.array(labels), np.array([0, 1, 2])
    probabilities = np.full((3, 3), 1 / 3)
    measures = [
        lambda: classification.confusion_matrix(targets, predicted, 3),
        lambda: classification.recalls(targets, predicted, 3),
        lambda: classification.macro_f1(targets, predicted, 3),
        lambda: classification.expected_calibration_error(targets, probabilities),
        lambda: classification.negative_log_likelihood(targets, probabilities),
        lambda: classification.classification_metrics(targets, probabilities),
        lambda: log_likelihood_loss(targets, probabilities),
        lambda: fit_temperature(targets, probabilities),
    ]
    for measure in measures:
        with pytest.raises(UserError, match=message):
            measure()
    with pytest.raises(UserError, match="prediction"):
        classification.confusion_matrix(predicted, targets, 3)


def test_labels_for_other_samples_are_refused():
    with pytest.raises(UserError, match=r"predictions are int64 of the shape \(1,\): expected .*\(3,\)"):
        classification.accuracy(np.array([0, 1, 2]), np.array([0]))
    with pytest.raises(UserError, match=r"targets are .*\(1,\): expected .*\(3,\)"):
        classification.expected_calibration_error(np.array([0]), np.eye(3))


def test_half_precision_loses_no_sum():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (5000, 7)).astype(np.float16)
    targets, probabilities = logits.argmax(1), classification.softmax(logits).astype(np.float16)
    wide = probabilities.astype(np.float64)
    assert classification.classification_metrics(
        targets, probabilities
    ) == classification.classification_metrics(targets, wide)
    assert log_likelihood_loss(targets, logits) == log_likelihood_loss(targets, logits.astype(np.float64))
    gone = np.array([[1.0, 0.0]], np.float16)  # 1e-15 is 0 there
    assert classification.negative_log_likelihood(np.array([1]), gone) == pytest.approx(15 * np.log(10))
