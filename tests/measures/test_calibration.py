import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from fer_repro.measures.calibration import (
    BOUNDS,
    binned_error,
    fit_temperature,
    log_likelihood_loss,
    reliability_bins,
)


def draw(seed, count=400, classes=3, scale=1.0):
    """Logits whose own softmax draws the targets: calibrated, then scaled."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes))
    targets = np.array([rng.choice(classes, p=row) for row in softmax(logits, axis=1)])
    return targets, scale * logits


def bins_of(targets, probabilities, bins=15):
    return reliability_bins(probabilities.max(1), probabilities.argmax(1) == targets, bins)


def test_the_table_by_hand():
    # (0.6, right), (0.7, wrong), (1.0, right): with 5 bins 0.6 closes the third, 0.7 is in the fourth.
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [1.0, 0.0]])
    table = bins_of(np.array([0, 0, 0]), probabilities, 5)
    assert table["count"].tolist() == [0, 0, 1, 1, 1]
    assert table["confidence"].tolist()[2:] == pytest.approx([0.6, 0.7, 1.0])
    assert table["accuracy"].tolist()[2:] == [1.0, 0.0, 1.0]
    assert table["accuracy"].isna().tolist() == [True, True, False, False, False]
    assert list(table) == ["bin", "low", "high", "confidence", "accuracy", "count"]
    assert table["bin"].tolist() == [1, 2, 3, 4, 5]
    assert table["low"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert table["high"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert table["confidence"].isna().tolist() == [True, True, False, False, False]
    both = bins_of(np.array([0, 1]), np.array([[0.65, 0.35], [0.75, 0.25]]), 5)
    assert both.loc[3, ["confidence", "accuracy", "count"]].tolist() == pytest.approx([0.7, 0.5, 2])
    assert len(bins_of(np.array([0]), np.array([[0.9, 0.1]]))) == 15
    nothing = bins_of(np.array([0]), np.zeros((1, 2)), 4)  # below every bin counts to the first
    assert nothing["count"].tolist() == [1, 0, 0, 0]


def test_the_worked_example_of_the_sheet():
    confidence, hits = np.array([0.95, 0.91, 0.55, 0.62, 0.38, 0.99]), [1, 1, 0, 1, 0, 0]
    rest = (1 - confidence)[:, None] * np.array([[0.5, 0.5]])
    table = bins_of(np.where(hits, 0, 1), np.hstack([confidence[:, None], rest]))
    gaps = (table["count"] * (table["accuracy"] - table["confidence"]).abs()).sum() / 6
    assert gaps == pytest.approx(0.39)


@pytest.mark.parametrize("classes", [2, 7])
def test_the_error_agrees_with_torchmetrics(classes):
    targets, logits = draw(3, classes=classes, scale=2.0)
    probabilities = softmax(logits, axis=1)
    table = bins_of(targets, probabilities).dropna()
    gap = (table["count"] * (table["accuracy"] - table["confidence"]).abs()).sum() / len(targets)
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(targets), classes, 15, "l1"
    )
    assert gap == pytest.approx(float(expected), abs=1e-6)


def test_the_temperature_is_the_best_of_a_fine_grid():
    targets, logits = draw(0, scale=3.0)
    grid = np.arange(0.5, 6, 0.001)
    losses = [log_loss(targets, softmax(logits / t, axis=1)) for t in grid]
    found = fit_temperature(targets, logits)
    assert found == pytest.approx(grid[np.argmin(losses)], abs=1e-3)
    assert log_likelihood_loss(targets, logits, found) == pytest.approx(min(losses), abs=1e-6)
    assert log_likelihood_loss(targets, logits, found) < log_likelihood_loss(targets, logits)


def test_the_temperature_follows_the_scale_of_the_logits():
    targets, logits = draw(1)
    assert fit_temperature(targets, 5 * logits) == pytest.approx(
        5 * fit_temperature(targets, logits), rel=1e-4
    )
    assert fit_temperature(targets, logits) == pytest.approx(1, abs=0.15)  # they are calibrated


def test_logits_that_say_nothing_or_everything_stay_within_bounds():
    targets = np.array([0, 1, 0, 1])
    useless = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert fit_temperature(targets, useless) == pytest.approx(BOUNDS[1], rel=1e-2)
    assert BOUNDS[0] <= fit_temperature(targets, 5 * np.eye(2)[targets]) < 0.2


def naive_error(confidences, right, bins):
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidences) if (m - 1) / bins < c <= m / bins]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([confidences[i] for i in inside])
            total += len(inside) / len(confidences) * abs(gap)
    return total


@pytest.mark.parametrize("bins", [4, 15])
def test_error_agrees_with_a_naive_loop(bins):
    draws = np.random.default_rng(bins)
    confidences = draws.uniform(0.05, 1, 300)
    right = draws.random(300) < confidences**2
    table = reliability_bins(confidences, right, bins)
    assert binned_error(table) == pytest.approx(naive_error(confidences, right, bins))
    assert table["count"].sum() == 300


def test_bins_include_their_upper_end():
    table = reliability_bins(np.array([0.5, 0.51, 1.0]), np.array([True, False, True]), 2)
    assert table["count"].tolist() == [1, 2]
    assert table["accuracy"].tolist() == [1.0, 0.5]
