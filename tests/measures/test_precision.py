"""Single precision in gives the very numbers of double precision: sums are made in float64."""

import numpy as np
import pytest

from fer_repro.measures.classification import softmax
from fer_repro.measures.detection import log_losses
from fer_repro.measures.identification import identification_rates, pool_templates
from fer_repro.measures.intervals import (
    holm,
    mean_shares,
    paired_difference,
    sample_interval,
    seed_interval,
)
from fer_repro.measures.saliency import (
    map_area_interval,
    rank_correlation,
    region_coverage,
    weight_on_covered,
)
from fer_repro.measures.verification import add_mirror, cosine_scores, fold_accuracy, roc, unit

RNG = np.random.default_rng(0)
ROWS, OTHERS = RNG.normal(size=(2, 40, 6)).astype(np.float32)
SHARES = RNG.random((4, 101)).astype(np.float32)
TEMPLATES, MEDIA = np.arange(40) // 8, np.arange(40) // 3
SAME, FOLDS = np.arange(101) % 2, np.arange(101) // 26
WEIGHTS = (SHARES[:, :5] / SHARES[:, :5].sum(1, keepdims=True)).astype(np.float32)
BOXES = np.array([[0.1, 0.1, 0.7, 0.3], [0.3, 0.2, 0.9, 0.55]], np.float32)
CASES = {
    "unit": (unit, ROWS),
    "add_mirror": (add_mirror, ROWS, OTHERS),
    "cosine_scores": (lambda rows: cosine_scores(rows, TEMPLATES, MEDIA), ROWS),
    "pool_templates": (lambda rows: pool_templates(rows, TEMPLATES, MEDIA, normalise=False)[1], ROWS),
    "qualities": (lambda good: pool_templates(ROWS, TEMPLATES, MEDIA, good)[1], SHARES[0, :40]),
    "identification_rates": (
        lambda a, b: [*identification_rates(a, TEMPLATES, b, [20])[20].values()],
        ROWS,
        OTHERS,
    ),
    "fold_accuracy": (lambda scores: fold_accuracy(scores, SAME, FOLDS).thresholds, SHARES[0]),
    "roc": (lambda scores: roc(scores, SAME).thresholds, SHARES[0]),
    "softmax": (softmax, ROWS),
    "log_losses": (lambda logits: log_losses(logits, SAME == 1), SHARES),
    "mean_shares": (lambda values: np.concatenate([np.ravel(part) for part in mean_shares(values)]), SHARES),
    "class shares": (lambda values: mean_shares(values, FOLDS)[1], SHARES),
    "sample_interval": (lambda values: numbers(sample_interval(values, 0.9, 50)), SHARES),
    "seed_interval": (lambda values: numbers(seed_interval(values, 0.9, 50)), SHARES[0, :7]),
    "paired_difference": (lambda a, b: numbers(paired_difference(a, b, 0.9, 50)), SHARES, SHARES[::-1]),
    "holm": (holm, SHARES[0]),
    "weight_on_covered": (lambda a, b: weight_on_covered(a, b).differences, WEIGHTS, SHARES[:, 5:10]),
    "region_coverage": (
        lambda masks, boxes: region_coverage(masks > 0.5, boxes),
        SHARES[:, :100].reshape(4, 10, 10),
        BOXES,
    ),
    "rank_correlation": (
        lambda a, b: rank_correlation(a, b, np.ones(a.shape)).per_clip,
        WEIGHTS,
        SHARES[:, 5:10],
    ),
    "map_area_interval": (
        lambda maps: numbers(map_area_interval(maps, maps > 0.8, 0.9, 20)),
        SHARES[:, :100].reshape(4, 10, 10),
    ),
}


def numbers(interval):
    return [interval.value, interval.low, interval.high]


@pytest.mark.parametrize("name", CASES)
def test_sums_are_made_in_double_precision(name):
    function, *given = CASES[name]
    assert all(values.dtype == np.float32 for values in given)
    found, expected = function(*given), function(*(values.astype(np.float64) for values in given))
    assert np.asarray(found).dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_lists_and_whole_numbers_are_taken_too():
    assert seed_interval([1, 2, 3], 0.95, 10).value == 2
    assert holm([0, 1]).tolist() == [0, 1]
    assert sample_interval([True, False], 0.95, 10).value == 0.5
    np.testing.assert_allclose(unit([[3, 4]]), [[0.6, 0.8]])
    np.testing.assert_allclose(add_mirror([[3, 0]], [[0, 4]]), [[0.6, 0.8]])
    assert log_losses([0], [True]).tolist() == [np.log(2)]
    assert weight_on_covered([[1, 0]], [[0, 1]]).differences.tolist() == [-1]
