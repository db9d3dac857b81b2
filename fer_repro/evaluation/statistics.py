"""Intervals over samples and seeds, and paired comparisons of two arms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

FEW_SEEDS = 10  # from here on seeds are resampled; below, the t distribution


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds.

    Attributes:
        value: the estimate.
        low: lower bound; NaN where one value allows none.
        high: upper bound.
        kind: how it was made.
    """

    value: float
    low: float
    high: float
    kind: str


def class_balanced_mean(correct: np.ndarray, targets: np.ndarray) -> float:
    """Average over classes of the mean of ``correct``: mean class accuracy where it holds hits.

    Args:
        correct: (N,) values.
        targets: (N,) class indices.
    """
    counts = np.bincount(targets)
    sums = np.bincount(targets, weights=correct)
    return float(np.mean(sums[counts > 0] / counts[counts > 0]))


def sample_interval(
    correct: np.ndarray,
    confidence: float,
    resamples: int,
    targets: np.ndarray | None = None,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over test samples of accuracy, or of mean class accuracy.

    Args:
        correct: (N,) hits of one run, or (S, N) of several seeds, whose mean is the estimate; only samples
            are resampled, the same for all seeds.
        confidence: e.g. 0.95.
        resamples: how many.
        targets: (N,) class indices for mean class accuracy; None for accuracy.
        seed: of the resampling.
    """
    mean = np.atleast_2d(np.asarray(correct, np.float64)).mean(0)
    draws = _resample(mean[None], confidence, resamples, targets, seed)
    return Interval(_mean(mean, targets), *draws, "bootstrap over samples")


def seed_interval(values: Sequence[float], confidence: float, resamples: int, seed: int = 0) -> Interval:
    """Interval of the mean over seeds: t below ten seeds, percentile bootstrap from ten.

    Args:
        values: one number per seed.
        confidence: e.g. 0.95.
        resamples: of the bootstrap.
        seed: of the resampling.
    """
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean())
    if len(numbers) == 1:
        return Interval(mean, float("nan"), float("nan"), "one seed")
    if len(numbers) < FEW_SEEDS:
        half = stats.t.ppf((1 + confidence) / 2, len(numbers) - 1) * stats.sem(numbers)
        return Interval(mean, float(mean - half), float(mean + half), "t over seeds")
    chosen = np.random.default_rng(seed).integers(0, len(numbers), (resamples, len(numbers)))
    return Interval(mean, *_percentiles(numbers[chosen].mean(1), confidence), "bootstrap over seeds")


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    confidence: float,
    resamples: int,
    targets: np.ndarray | None = None,
    seed: int = 0,
) -> Interval:
    """Difference of two arms with the same seeds and samples: paired bootstrap over seeds and samples.

    Each resample draws seeds and samples with replacement, the same for both arms, so it holds the variation
    of both; one seed alone is not resampled, and the interval then says nothing about other seeds.

    Args:
        first: (S, N) hits of the arm.
        second: (S, N) hits of the control, paired by seed and sample.
        confidence: e.g. 0.95.
        resamples: how many.
        targets: (N,) class indices for mean class accuracy; None for accuracy.
        seed: of the resampling.

    Returns:
        first - second.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(
            f"hits of shape {first.shape} and {second.shape}: expected the same (seeds, samples)"
        )
    difference = first.astype(np.float64) - second
    kind = (
        "paired bootstrap over seeds and samples" if len(difference) > 1 else "paired bootstrap over samples"
    )
    draws = _resample(difference, confidence, resamples, targets, seed)
    return Interval(_mean(difference.mean(0), targets), *draws, kind)


def mcnemar_exact(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided McNemar test: are the samples that only one of two runs gets right split evenly?

    Args:
        first: (N,) hits of one run.
        second: (N,) hits of the other on the same samples.

    Returns:
        The p value; 1 where no sample tells the runs apart.
    """
    only_first = int(np.sum(first.astype(bool) & ~second.astype(bool)))
    only_second = int(np.sum(second.astype(bool) & ~first.astype(bool)))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def _mean(values: np.ndarray, targets: np.ndarray | None) -> float:
    return float(values.mean()) if targets is None else class_balanced_mean(values, targets)


def _resample(
    values: np.ndarray, confidence: float, resamples: int, targets: np.ndarray | None, seed: int
) -> tuple[float, float]:
    """Resample rows and columns of (S, N) values; one row stays."""
    generator = np.random.default_rng(seed)
    seeds, count = values.shape
    draws = np.empty(resamples)
    for i in range(resamples):
        mean = values[generator.integers(0, seeds, seeds)].mean(0)
        chosen = generator.integers(0, count, count)
        draws[i] = _mean(mean[chosen], None if targets is None else targets[chosen])
    return _percentiles(draws, confidence)


def _percentiles(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
