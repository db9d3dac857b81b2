"""Intervals over samples and seeds, paired comparisons of two arms, and several claims at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from fer_repro.measures.classification import class_indices, truth_values
from fer_repro.measures.variance_components import Floats, Spread, half_width, spread

FEW_SEEDS = 10  # from here on seeds are resampled; below, the t distribution
Scale = Literal["linear", "logit", "log", "artanh"]
"""Where an interval is symmetric: differences are linear, shares logit, losses log, correlations artanh."""
_BLOCK = 250_000  # numbers held at a time while resampling: they stay in the cache


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


def class_balanced_mean(correct: NDArray, targets: NDArray) -> float:
    """Average over classes of the mean of ``correct``: mean class accuracy where it holds hits.

    Args:
        correct: (N,) values.
        targets: (N,) class indices.
    """
    true = class_indices(targets, count=len(correct))
    counts = np.bincount(true)
    sums = np.bincount(true, weights=correct)
    return float(np.mean(sums[counts > 0] / counts[counts > 0]))


def mean_shares(values: NDArray, targets: NDArray | None = None) -> tuple[Floats, Floats]:
    """Mean, or mean over classes, of each row, and what every sample adds to it.

    Args:
        values: (S, N) hits, losses or differences of such.
        targets: (N,) class indices for the mean over classes; None for the plain mean.

    Returns:
        (S,) means and (S, N) shares, as ``spread`` takes them.
    """
    numbers = np.asarray(values, np.float64)
    if targets is None:
        means = numbers.mean(1)
        return means, (numbers - means[:, None]) / numbers.shape[1]
    true = class_indices(targets, count=numbers.shape[1])
    counts = np.bincount(true)
    present = np.flatnonzero(counts)
    by_class = np.stack([numbers[:, true == k].mean(1) for k in present], 1)
    place = np.searchsorted(present, true)
    shares = (numbers - by_class[:, place]) / (len(present) * counts[true])
    return by_class.mean(1), shares


def sample_interval(
    correct: NDArray,
    confidence: float,
    resamples: int,
    targets: NDArray | None = None,
    seed: int = 0,
    clusters: NDArray | None = None,
) -> Interval:
    """Percentile bootstrap over test samples of accuracy, or of mean class accuracy.

    Args:
        correct: (N,) hits of one run, or (S, N) of several seeds, whose mean is the estimate; only samples
            are resampled, the same for all seeds.
        confidence: e.g. 0.95.
        resamples: how many.
        targets: (N,) class indices for mean class accuracy; None for accuracy.
        seed: of the resampling.
        clusters: (N,) group of each sample (person, clip, video): whole groups are drawn, and the percentiles
            widened as in ``percentiles``, for groups are few.
    """
    mean = np.atleast_2d(np.asarray(correct, np.float64)).mean(0)
    if targets is not None:
        targets = class_indices(targets, count=len(mean))
    value = float(mean.mean()) if targets is None else class_balanced_mean(mean, targets)
    if clusters is None:
        draws = _resample(mean, resamples, targets, seed)
        return Interval(value, *percentiles(draws, confidence), "bootstrap over samples")
    draws, groups = _resample_groups(mean, resamples, targets, clusters, seed)
    return Interval(value, *percentiles(draws, confidence, groups), f"bootstrap over {groups} groups")


def seed_interval(
    values: Sequence[float], confidence: float, resamples: int, scale: Scale = "linear", seed: int = 0
) -> Interval:
    """Interval of the mean over seeds: t below ten seeds, widened percentile bootstrap from ten.

    Args:
        values: one number per seed.
        confidence: e.g. 0.95.
        resamples: of the bootstrap.
        scale: of the values, see ``t_interval``; percentiles never leave the values' range.
        seed: of the resampling.
    """
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean())
    if len(numbers) == 1:
        return Interval(mean, float("nan"), float("nan"), "one seed")
    if len(numbers) < FEW_SEEDS:
        return mean_interval(values, confidence, "t over seeds", scale)
    chosen = np.random.default_rng(seed).integers(0, len(numbers), (resamples, len(numbers)))
    draws = numbers[chosen].mean(1)
    return Interval(mean, *percentiles(draws, confidence, len(numbers)), "bootstrap over seeds")


def mean_interval(
    values: Sequence[float] | NDArray, confidence: float, kind: str = "t", scale: Scale = "linear"
) -> Interval:
    """Student's t interval of the mean of independent numbers; without bounds for a single one.

    Args:
        values: (n,).
        confidence: e.g. 0.95.
        kind: what the numbers are.
        scale: of the values, see ``t_interval``.
    """
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return Interval(mean, float("nan"), float("nan"), kind)
    half = stats.t.ppf((1 + confidence) / 2, len(numbers) - 1) * stats.sem(numbers)
    return t_interval(mean, float(half), kind, scale)


def t_interval(value: float, half: float, kind: str, scale: Scale = "linear") -> Interval:
    """Put Student's t interval around an estimate, on the scale where it cannot leave what is possible.

    The half width is carried to the scale by its derivative (the delta method): ``half / (p (1 - p))`` for
    the logit of a share p, ``half / v`` for the logarithm of a loss v, ``half / (1 - r^2)`` for Fisher's z of
    a correlation r. Where the estimate is the bound itself (every seed gets everything right) the interval is
    the estimate.

    Args:
        value: the estimate; in [0, 1] for ``logit``, from 0 for ``log``, in [-1, 1] for ``artanh``.
        half: quantile times standard error, in the value's own unit.
        kind: how the half width was made.
        scale: ``linear`` for differences.

    >>> found = t_interval(0.9, 0.2, "t over seeds", "logit")
    >>> round(found.low, 3), round(found.high, 3)
    (0.494, 0.988)
    """
    slope = {"linear": 1.0, "logit": value * (1 - value), "log": value, "artanh": 1 - value**2}[scale]
    if half == 0 or slope <= 0:
        low = high = value
    elif scale == "linear":
        low, high = value - half, value + half
    elif scale == "logit":
        middle = special.logit(value)
        low, high = special.expit(middle - half / slope), special.expit(middle + half / slope)
    elif scale == "artanh":
        middle = np.arctanh(value)
        low, high = np.tanh(middle - half / slope), np.tanh(middle + half / slope)
    else:
        with np.errstate(over="ignore"):  # an interval of one loss in two seeds may reach to infinity
            low, high = value * np.exp(-half / slope), value * np.exp(half / slope)
    words = "" if scale == "linear" else f", {scale} scale"
    return Interval(value, float(low), float(high), kind + words)


def wilson_interval(right: float, total: float, confidence: float) -> tuple[float, float]:
    """Interval of a share (Wilson, JASA 22, 1927): it stays within [0, 1]; NaN where nothing was counted.

    >>> [round(bound, 4) for bound in wilson_interval(8, 10, 0.95)]
    [0.4902, 0.9433]
    """
    if not total:
        return float("nan"), float("nan")
    z, rate = float(stats.norm.ppf((1 + confidence) / 2)), right / total
    scale = 1 + z * z / total
    centre = (rate + z * z / (2 * total)) / scale
    half = z * float(np.sqrt(rate * (1 - rate) / total + (z / (2 * total)) ** 2)) / scale
    return centre - half, centre + half


def paired_difference(
    first: NDArray,
    second: NDArray,
    confidence: float,
    resamples: int,
    targets: NDArray | None = None,
    seed: int = 0,
    clusters: NDArray | None = None,
) -> Interval:
    """Difference of two arms with the same seeds and samples, paired by both.

    The interval holds the variation over seeds, by Student's t, and over samples: ``variance_components``. (A
    bootstrap over three seeds would contain the true value in 78 to 99 of 100 cases, not 95: three values
    resampled vary too little, and the noise that seeds and samples share is counted three times.) One seed
    gives no information on others: then samples alone are resampled.

    Args:
        first: (S, N) hits of the arm.
        second: (S, N) hits of the control, paired by seed and sample.
        confidence: e.g. 0.95.
        resamples: of the bootstrap for one seed.
        targets: (N,) class indices for mean class accuracy; None for accuracy.
        seed: of the resampling.
        clusters: (N,) group of each sample (person, clip, video); None where samples are independent.

    Returns:
        first - second; without bounds where several seeds saw samples of one group alone.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(
            f"hits of shape {first.shape} and {second.shape}: expected the same (seeds, samples)"
        )
    difference = first.astype(np.float64) - second
    if len(difference) == 1:
        found = sample_interval(difference, confidence, resamples, targets, seed, clusters)
        return Interval(found.value, found.low, found.high, f"paired {found.kind}")
    if len(np.unique(clusters) if clusters is not None else first[0]) < 2:
        return Interval(float(difference.mean()), float("nan"), float("nan"), "one group of samples")
    return spread_interval(spread(*mean_shares(difference, targets), clusters), confidence)


def spread_interval(found: Spread, confidence: float, scale: Scale = "linear") -> Interval:
    """Put the interval of ``variance_components`` around a number or a difference.

    Args:
        found: the number and its variances.
        confidence: e.g. 0.95.
        scale: of the number, see ``t_interval``.
    """
    kind = "t over samples" if found.seeds == 1 else "t over seeds and samples"
    return t_interval(found.value, half_width(found, confidence), kind, scale)


def mcnemar_exact(first: NDArray, second: NDArray) -> float:
    """Exact two-sided McNemar test: are the samples that only one of two runs gets right split evenly?

    Args:
        first: (N,) hits of one run.
        second: (N,) hits of the other on the same samples.

    Returns:
        The p value; 1 where no sample distinguishes the runs.
    """
    only_first, only_second = _discordant(first, second)
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def mcnemar_mid(first: NDArray, second: NDArray) -> float:
    """McNemar's test with the mid-p value: the exact p less half the chance of the split that was seen.

    The exact test finds "different" too rarely; this one keeps its level in practice and has more power
    (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013).

    Args:
        first: (N,) hits of one run.
        second: (N,) hits of the other on the same samples.

    Returns:
        The p value; 1 where the split is even.
    """
    only_first, only_second = _discordant(first, second)
    if only_first == only_second:
        return 1.0
    count, fewer = only_first + only_second, min(only_first, only_second)
    return float(2 * stats.binom.cdf(fewer, count, 0.5) - stats.binom.pmf(fewer, count, 0.5))


def holm(p_values: Sequence[float]) -> Floats:
    """Correct the p values of several claims tested at once (Holm, Scand. J. Statistics 6, 1979).

    The chance that any true hypothesis is refused stays below the level, even if they depend on each other.

    Args:
        p_values: in [0, 1]; NaN where nothing was tested, which stays and does not count.
    """
    given = np.asarray(p_values, np.float64)
    corrected = np.full(len(given), np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    scaled = given[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def percentiles(draws: NDArray, confidence: float, count: int | None = None) -> tuple[float, float]:
    """Read the interval from the draws of a bootstrap.

    Percentiles of few resampled values lie too close: with ten values 90 % instead of 95. With ``count`` they
    are taken further out, at Phi(-t sqrt(n / (n - 1))) (Hesterberg, The American Statistician 69, 2015).

    Args:
        draws: (R,).
        confidence: e.g. 0.95.
        count: n, independent values that were resampled; None takes the plain percentiles.
    """
    tail = (1 - confidence) / 2
    if count is not None:
        tail = stats.norm.cdf(stats.t.ppf(tail, count - 1) * np.sqrt(count / (count - 1)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def blocks(resamples: int, width: int) -> Iterator[int]:
    """Cut ``resamples`` rows of ``width`` numbers into blocks that fit the memory; gives their heights."""
    height = max(1, _BLOCK // max(width, 1))
    for start in range(0, resamples, height):
        yield min(height, resamples - start)


def _discordant(first: NDArray, second: NDArray) -> tuple[int, int]:
    ours = truth_values(first, name="hit")
    theirs = truth_values(second, len(ours), "hit")
    return int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))


def _resample(values: Floats, resamples: int, targets: NDArray | None, seed: int) -> Floats:
    """Means of (N,) values over samples drawn with replacement."""
    generator = np.random.default_rng(seed)
    count = len(values)
    found = []
    for rows in blocks(resamples, count):
        chosen = generator.integers(0, count, (rows, count))
        if targets is None:
            found.append(values[chosen].mean(1))
        else:
            classes = int(targets.max()) + 1
            cell = (targets[chosen] + classes * np.arange(rows)[:, None]).ravel()
            sums = np.bincount(cell, weights=values[chosen].ravel(), minlength=rows * classes)
            counts = np.bincount(cell, minlength=rows * classes)
            found.append(_class_means(sums.reshape(rows, -1), counts.reshape(rows, -1)))
    return np.concatenate(found)


def _resample_groups(
    values: Floats, resamples: int, targets: NDArray | None, clusters: NDArray, seed: int
) -> tuple[Floats, int]:
    """The same with whole groups drawn; also how many groups there are."""
    generator = np.random.default_rng(seed)
    names, member = np.unique(clusters, return_inverse=True)
    labels = np.zeros(len(values), np.int64) if targets is None else targets
    shape = (len(names), int(labels.max()) + 1)
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (member, labels), values)
    np.add.at(counts, (member, labels), 1)
    found = []
    for rows in blocks(resamples, len(names) * shape[1]):
        chosen = generator.integers(0, len(names), (rows, len(names)))
        found.append(_class_means(sums[chosen].sum(1), counts[chosen].sum(1)))
    return np.concatenate(found), len(names)


def _class_means(sums: NDArray, counts: NDArray) -> Floats:
    """Mean over the classes that were drawn at all, for each row."""
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return np.asarray(np.nanmean(means, axis=1))
