"""Areas under ROC curves and log losses compared: DeLong's test, clustered too, and paired bootstraps.

Scores say how likely the positive class is, higher is more. The area is that of the empirical ROC: the chance
that a positive scores above a negative, ties counting half.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fer_repro.errors import UserError
from fer_repro.evaluation.crossed import Floats, group_sums
from fer_repro.evaluation.statistics import Interval, blocks, mean_shares, percentiles


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
    truth = np.asarray(positive, bool)
    if truth.all() or not truth.any():
        raise UserError(f"all {len(truth)} samples are of one kind: an area under a ROC needs both")
    ranks = stats.rankdata(scores)
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
    truth = np.asarray(positive, bool)
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
    truth = np.asarray(positive, bool)
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
    """-log of the probability a sigmoid gives the truth, in nats: log(1 + exp(z)) - y z.

    Args:
        logits: (..., N) z.
        positive: (N,) bool y.

    Returns:
        (..., N), finite however large the logits are.
    """
    numbers = np.asarray(logits, np.float64)
    return np.asarray(np.logaddexp(0, numbers) - np.asarray(positive, bool) * numbers)


def auc_difference(
    first: NDArray,
    second: NDArray,
    positive: NDArray,
    confidence: float,
    resamples: int,
    clusters: NDArray | None = None,
    seed: int = 0,
) -> Interval:
    """Difference of two areas, by a paired percentile bootstrap over samples or whole groups.

    Args:
        first: (N,), or (S, N) of several seeds, whose areas are averaged; all with the same samples.
        second: the same shape.
        positive: (N,) bool.
        confidence: e.g. 0.95.
        resamples: how many; those that draw one kind only are left out.
        clusters: (N,) group of each sample; None where samples are independent.
        seed: of the resampling.
    """
    truth = np.asarray(positive, bool)
    ours, theirs = np.atleast_2d(first), np.atleast_2d(second)
    value = float(auc_shares(ours, truth)[0].mean() - auc_shares(theirs, truth)[0].mean())
    member, groups = _members(len(truth), clusters)
    draws = [
        sum(_weighted_auc(row, truth, block) for row in ours) / len(ours)
        - sum(_weighted_auc(row, truth, block) for row in theirs) / len(theirs)
        for block in _weights(member, resamples, seed)
    ]
    return _read(value, np.concatenate(draws), confidence, groups)


def log_loss_difference(
    first: NDArray,
    second: NDArray,
    positive: NDArray,
    confidence: float,
    resamples: int,
    clusters: NDArray | None = None,
    seed: int = 0,
) -> Interval:
    """Difference of two log losses in nats, by a paired percentile bootstrap over samples or whole groups.

    Args:
        first: (N,) logits, or (S, N) of several seeds, whose losses are averaged.
        second: the same shape.
        positive: (N,) bool.
        confidence: e.g. 0.95.
        resamples: how many.
        clusters: (N,) group of each sample; None where samples are independent.
        seed: of the resampling.
    """
    losses = log_losses(np.atleast_2d(first), positive) - log_losses(np.atleast_2d(second), positive)
    gaps = losses.mean(0)
    member, groups = _members(len(gaps), clusters)
    draws = [block @ gaps / block.sum(1) for block in _weights(member, resamples, seed)]
    return _read(float(gaps.mean()), np.concatenate(draws), confidence, groups)


def log_loss_shares(logits: NDArray, positive: NDArray) -> tuple[Floats, Floats]:
    """Log loss of each row (S, N) in nats, and what every sample adds to it, as ``spread`` takes them."""
    return mean_shares(log_losses(logits, positive))


def _members(count: int, clusters: NDArray | None) -> tuple[NDArray, int | None]:
    """Number of each sample's group, and how many there are if groups are drawn."""
    if clusters is None:
        return np.arange(count), None
    names, member = np.unique(clusters, return_inverse=True)
    return member, len(names)


def _weights(member: NDArray, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each sample is drawn with its group, in blocks (R, N)."""
    generator = np.random.default_rng(seed)
    groups = int(member.max()) + 1
    for rows in blocks(resamples, len(member)):
        chosen = generator.integers(0, groups, (rows, groups))
        cells = (chosen + groups * np.arange(rows)[:, None]).ravel()
        drawn = np.bincount(cells, minlength=rows * groups).reshape(rows, -1)
        yield drawn[:, member].astype(np.float64)


def _weighted_auc(scores: NDArray, positive: NDArray, weights: Floats) -> Floats:
    """Areas (R,) of samples (N,) that count (R, N) times; NaN where one kind is missing."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ones, zeros = (
        np.add.reduceat((weights * part)[:, order], starts, axis=1) for part in (positive, ~positive)
    )
    below = np.cumsum(zeros, axis=1) - zeros / 2
    total = ones.sum(1) * zeros.sum(1)
    return np.divide((ones * below).sum(1), total, out=np.full(len(total), np.nan), where=total > 0)


def _read(value: float, draws: Floats, confidence: float, groups: int | None) -> Interval:
    kept = draws[np.isfinite(draws)]
    kind = "paired bootstrap over samples" if groups is None else f"paired bootstrap over {groups} groups"
    return Interval(value, *percentiles(kept, confidence, groups), kind)
