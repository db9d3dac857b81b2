import numpy as np
import pytest
from sklearn import metrics as sk

from fer_repro.evaluation import metrics

HAND = [
    # targets, predicted, K, accuracy, mean class accuracy, macro F1
    ([0, 0, 0, 1], [0, 0, 0, 0], 2, 3 / 4, 1 / 2, (6 / 7 + 0) / 2),
    ([0, 1, 2], [0, 1, 2], 3, 1.0, 1.0, 1.0),
    ([0, 0, 1, 2], [1, 0, 1, 0], 4, 1 / 2, (1 / 2 + 1 + 0) / 3, (1 / 2 + 2 / 3 + 0) / 3),
]


@pytest.mark.parametrize(("targets", "predicted", "classes", "accuracy", "balanced", "f1"), HAND)
def test_by_hand(targets, predicted, classes, accuracy, balanced, f1):
    targets, predicted = np.array(targets), np.array(predicted)
    assert metrics.accuracy(targets, predicted) == pytest.approx(accuracy)
    assert metrics.mean_class_accuracy(targets, predicted, classes) == pytest.approx(balanced)
    assert metrics.macro_f1(targets, predicted, classes) == pytest.approx(f1)


@pytest.fixture(params=range(3))
def case(request):
    rng = np.random.default_rng(request.param)
    probabilities = rng.dirichlet(np.full(7, 0.4), 500)
    return rng.choice(7, 500, p=[0.3, 0.02, 0.1, 0.2, 0.08, 0.2, 0.1]), probabilities


def test_scikit_learn_agrees(case):
    targets, probabilities = case
    predicted = probabilities.argmax(1)
    found = metrics.classification_metrics(targets, probabilities)
    assert list(found) == sorted(found)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(targets, predicted))
    assert found["mean_class_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, predicted))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    assert found["negative_log_likelihood"] == pytest.approx(
        sk.log_loss(targets, probabilities, labels=range(7))
    )
    assert (metrics.confusion_matrix(targets, predicted, 7) == sk.confusion_matrix(targets, predicted)).all()
    assert metrics.recalls(targets, predicted, 7) == pytest.approx(
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
    assert metrics.expected_calibration_error(targets, probabilities) == pytest.approx(expected)


def test_a_class_without_samples_has_no_recall():
    found = metrics.recalls(np.array([0, 0]), np.array([0, 1]), 3)
    assert found[0] == 0.5
    assert np.isnan(found[1:]).all()


def test_softmax_survives_large_logits():
    assert metrics.softmax(np.array([[1000.0, 1000.0]])).tolist() == [[0.5, 0.5]]
