"""Curves and single numbers that figures print: ROC, precision and recall, rank correlation, intervals.

Results come from ``fer_repro.evaluation``; figures cannot import it and compute here what they draw.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr
from scipy.stats import t as student

from fer_repro.errors import UserError

Array = np.ndarray


class Roc(NamedTuple):
    """Shares accepted while the threshold falls: of negatives and of positives, both from 0 to 1."""

    false_positive: Array
    true_positive: Array


class Retrieval(NamedTuple):
    """Recall and precision while the threshold falls, one point for each distinct score."""

    recall: Array
    precision: Array


def roc(scores: Array, positive: Array) -> Roc:
    """Compute the receiver operating characteristic; equal scores enter together.

    Args:
        scores: (P,), higher is more positive.
        positive: (P,) 0 or 1.

    Raises:
        UserError: all are of one kind.
    """
    hits, alarms = _counts(scores, positive)
    if not hits[-1] or not alarms[-1]:
        raise UserError("a ROC needs scores of both kinds: all of these are of one")
    return Roc(np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1]))


def _counts(scores: Array, positive: Array) -> tuple[Array, Array]:
    """Positives and negatives accepted at each distinct score, from the highest."""
    values, truth = np.asarray(scores, float).ravel(), np.asarray(positive).ravel().astype(bool)
    if values.size == 0:
        raise UserError("a curve needs at least one score: there are none")
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    hits = np.cumsum(truth[order])[last]
    return hits, last + 1 - hits


def area(curve: Roc) -> float:
    """Area under a ROC: the chance that a positive scores above a negative, ties counting half."""
    return float(np.trapezoid(curve.true_positive, curve.false_positive))


def equal_error_rate(curve: Roc) -> float:
    """The rate at which misses and false alarms are equally frequent, by linear crossing."""
    gap = 1 - curve.true_positive - curve.false_positive
    after = int((gap <= 0).argmax())
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    before, behind = curve.false_positive[after - 1], curve.false_positive[after]
    return float(before + share * (behind - before))


def retrieval(scores: Array, positive: Array) -> Retrieval:
    """Compute precision over recall; equal scores enter together.

    Args:
        scores: any shape, higher is more positive.
        positive: of the same shape, bool.

    Raises:
        UserError: nothing is positive.
    """
    hits, alarms = _counts(scores, positive)
    if not hits[-1]:
        raise UserError("precision and recall need at least one positive: there is none")
    return Retrieval(hits / hits[-1], hits / (hits + alarms))


def average_precision(scores: Array, positive: Array) -> float:
    """Area under precision and recall as a sum of steps (PR-AUC); by chance the share of positives."""
    curve = retrieval(scores, positive)
    return float((np.diff(curve.recall, prepend=0.0) * curve.precision).sum())


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's rank correlation; NaN where one side does not vary or fewer than three pairs are there."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return float("nan")
    return float(spearmanr(one, two).statistic)


def mean_and_reach(values: Sequence[float] | Array, confidence: float = 0.95) -> tuple[float, float]:
    """Mean and half the width of Student's t interval; the latter is NaN for a single value."""
    numbers = np.asarray(values, float)
    if len(numbers) < 2:
        return float(numbers.mean()), float("nan")
    quantile = float(student.ppf((1 + confidence) / 2, len(numbers) - 1))
    return float(numbers.mean()), quantile * float(numbers.std(ddof=1)) / float(np.sqrt(len(numbers)))
