"""Answers that are no finite numbers are refused by every measure; none counts them as right."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.evaluation import forgery_rows as forgery
from fer_repro.measures import calibration, classification, detection, identification, verification
from fer_repro.runs.predictions import Predictions

TARGETS = np.array([0, 0, 1, 0])
BAD = [float("nan"), float("inf"), float("-inf")]
KINDS = np.array([True, False, True, False])


def spoil(values, bad):
    values = np.array(values, np.float64)
    values[1] = bad
    return values


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "measure",
    [
        lambda values: classification.classification_metrics(TARGETS, values),
        lambda values: classification.expected_calibration_error(TARGETS, values),
        lambda values: classification.negative_log_likelihood(TARGETS, values),
        lambda values: classification.softmax(values),
        lambda values: calibration.log_likelihood_loss(TARGETS, values),
        lambda values: calibration.fit_temperature(TARGETS, values),
    ],
)
def test_measures_of_classes(measure, bad):
    with pytest.raises(UserError, match=r"of row 1 \(1 rows in all\) are not finite"):
        measure(spoil(np.full((4, 3), 1 / 3), bad))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("part", ["logits", "probabilities"])
def test_predictions_of_a_run(part, bad):
    good = np.full((4, 2), 0.5)
    both = {"logits": good, "probabilities": good, part: spoil(good, bad)}
    with pytest.raises(UserError, match=f"{part} of row 1"):
        Predictions(("a", "b"), np.arange(4), np.full(4, "test"), TARGETS, **both)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "measure",
    [
        lambda scores: detection.placements(scores, KINDS),
        lambda scores: detection.auc_shares(scores[None], KINDS),
        lambda scores: detection.delong_test(scores, np.arange(4.0), KINDS),
        lambda scores: detection.log_losses(scores, KINDS),
        lambda scores: detection.log_loss_shares(scores[None], KINDS),
        lambda scores: forgery.forgery_metrics(
            scores, forgery.TestFrames(KINDS, np.arange(4), np.full(4, ""), None)
        ),
        lambda scores: verification.roc(scores, KINDS),
        lambda scores: verification.verification_metrics(scores, KINDS, np.array([1, 1, 2, 2])),
        lambda scores: verification.fold_accuracy(scores, KINDS, np.array([1, 1, 2, 2])),
    ],
)
def test_measures_of_scores(measure, bad):
    with pytest.raises(UserError, match="finite"):
        measure(spoil(np.arange(4.0), bad))


@pytest.mark.parametrize("bad", BAD)
def test_embeddings_and_their_weights(bad):
    vectors, rows = np.ones((4, 3)), np.arange(4)
    samples = pd.DataFrame({"template": rows, "medium": rows, "quality": spoil(np.ones(4), bad)})
    for call in (
        lambda: verification.cosine_scores(spoil(vectors, bad), rows[:2], rows[2:]),
        lambda: identification.pool_templates(spoil(vectors, bad), rows, rows),
        lambda: identification.template_scores(vectors, samples, np.array([[0, 1, 1]])),
        lambda: identification.identification_rates(spoil(vectors, bad), rows, vectors, [2]),
    ):
        with pytest.raises(UserError, match="expected a finite one"):
            call()
