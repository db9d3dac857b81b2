"""Areas under ROC curves and log losses: DeLong's test, clustered too, and what each sample adds to them.

A higher score means that the positive class is more likely. The area is that of the empirical ROC: the chance
that a positive scores above a negative, ties counting half.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fer_repro.errors import UserError
from fer_repro.measures.classification import finite, truth_values
from fer_repro.measures.intervals import mean_shares
from fer_repro.measures.variance_components import Floats, group_sums


@dataclass(frozen=True)
class AucTest:
    """Two areas on the same samples.

    Attributes:
        first: area in [0, 1].
        second: area in [0, 1].
        difference: first - second.
        error: standard error of the difference.
        p: two-sided, from the normal distribution; 1 where the scores rank all pairs alike.
    """

    first: float
    second: float
    difference: float
    error: float
    p: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Bounds of the difference, e.g. with confidence 0.95."""
        half = float(stats.norm.isf((1 - confidence) / 2)) * self.error
        return self.difference - half, self.difference + half


def placements(scores: NDArray, positive: NDArray) -> tuple[Floats, Floats]:
    """Place each positive among the negatives, and each negative among the positives.

    By ranks, as Sun and Xu (IEEE Signal Processing Letters 21, 2014) compute DeLong's components.

    Args:
        scores: (N,).
        positive: (N,) bool.

    Returns:
        (m,) share of the negatives below each positive, and (n,) share of the positives above each negative,
        ties counting half; both have the area as mean.

    Raises:
        UserError: all samples are of one kind.
    """
    truth = truth_values(positive, len(scores))
    if truth.all() or not truth.any():
        raise UserError(f"all {len(truth)} samples are of one kind: an area under a ROC needs both")
    ranks = stats.rankdata(finite(scores, "scores"))
    ours, others = scores[truth], scores[~truth]
    of_positives = (ranks[truth] - stats.rankdata(ours)) / len(others)
    of_negatives = 1 - (ranks[~truth] - stats.rankdata(others)) / len(ours)
    return of_positives, of_negatives


def auc_shares(scores: NDArray, positive: NDArray) -> tuple[Floats, Floats]:
    """Area of each row, and what every sample adds to it: DeLong's components as influence values.

    Args:
        scores: (S, N).
        positive: (N,) bool.

    Returns:
        (S,) areas in [0, 1] and (S, N) shares, as ``spread`` takes them.
    """
    truth = truth_values(positive, np.shape(scores)[1])
    areas, shares = np.empty(len(scores)), np.zeros(np.shape(scores))
    for row, values in enumerate(scores):
        above, below = placements(values, truth)
        areas[row] = above.mean()
        shares[row, truth] = (above - areas[row]) / len(above)
        shares[row, ~truth] = (below - areas[row]) / len(below)
    return areas, shares


def delong_covariance(scores: NDArray, positive: NDArray, clusters: NDArray | None = None) -> Floats:
    """Covariance of several areas on the same samples.

    DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988); with clusters, Obuchowski (Biometrics 53, 1997,
    Eqs. 5 to 9), which is the same where every sample is a cluster.

    Args:
        scores: (K, N), one row per area.
        positive: (N,) bool.
        clusters: (N,) group of each sample (video, person); None where samples are independent.

    Returns:
        (K, K).

    Raises:
        UserError: one kind is missing, or is in one group only.
    """
    truth = truth_values(positive, np.shape(scores)[1])
    _, shares = auc_shares(np.asarray(scores, np.float64), truth)
    groups = np.arange(len(truth)) if clusters is None else np.asarray(clusters)
    every = np.unique(groups)
    found = np.zeros((len(scores), len(scores)))
    parts = []
    for part in (truth, ~truth):
        own = len(np.unique(groups[part]))
        if own < 2:
            raise UserError("one kind has all its samples in one group: an error of its area needs two")
        sums = group_sums(np.where(part, shares, 0.0), groups)
        found += own / (own - 1) * sums @ sums.T
        parts.append(sums)
    both = len(every) / (len(every) - 1) * parts[0] @ parts[1].T
    return np.asarray(found + both + both.T)


def delong_test(
    first: NDArray, second: NDArray, positive: NDArray, clusters: NDArray | None = None
) -> AucTest:
    """Compare the areas of two scores of the same samples.

    Args:
        first: (N,).
        second: (N,).
        positive: (N,) bool.
        clusters: (N,) group of each sample; None where samples are independent.
    """
    scores = np.stack([first, second])
    areas, _ = auc_shares(scores, positive)
    covariance = delong_covariance(scores, positive, clusters)
    difference = float(areas[0] - areas[1])
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    p = 1.0 if difference == 0 else float(2 * stats.norm.sf(abs(difference) / error)) if error > 0 else 0.0
    return AucTest(float(areas[0]), float(areas[1]), difference, error, p)


def log_losses(logits: NDArray, positive: NDArray) -> Floats:
    """-log of the probability a sigmoid gives the true class, in nats: log(1 + exp(z)) - y z.

    Args:
        logits: (..., N) z.
        positive: (N,) bool y.

    Returns:
        (..., N), finite however large the logits are.
    """
    numbers = finite(np.asarray(logits, np.float64), "logits")
    return np.asarray(np.logaddexp(0, numbers) - truth_values(positive, numbers.shape[-1]) * numbers)


def log_loss_shares(logits: NDArray, positive: NDArray) -> tuple[Floats, Floats]:
    """Log loss of each row (S, N) in nats, and what every sample adds to it, as ``spread`` takes them."""
    return mean_shares(log_losses(logits, positive))
