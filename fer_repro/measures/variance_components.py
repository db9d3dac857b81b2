"""How certain a mean over seeds and test samples is, when the same samples are tested with every seed.

A number measured with S seeds on N samples would differ with other seeds and with other samples.
With d_si the value of sample i under seed s, the variance of the mean has three parts (Westfall, Kenny and
Judd, J. Exp. Psychology: General 143, 2014, for participants crossed with stimuli)::

    V = V_seed / S + V_sample / G + V_both / (S G)

where G counts independent groups of samples (persons, clips, videos). The spread of the S row means estimates
the first and the third part together, with S - 1 degrees of freedom; the groups give the second.

The interval: S - 1 = 2 degrees of freedom must count for the first part, many for the second. Satterthwaite's
approximation is a little too short then (it contains the true value in 92 to 95 % instead of 95), and the
root of the two squared half widths, MOVER (Zou and Donner, Statistics in Medicine 27, 2008), a little too
long (95 to 97.7 %). We take the mean of both: 94.2 to 96.7 % for three seeds and any mixture of the parts,
closer with more, exact where there is only one; ``tests/measures/test_variance_components.py`` computes it.
They are over many experiments: where three seeds agree by chance a single interval is too short, even
shorter than one over samples alone.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from fer_repro.errors import UserError

Floats = NDArray[np.float64]

_SMALLEST_P = 1e-12  # anything below is as good as 0


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and samples, and the parts of its variance.

    Attributes:
        value: the mean.
        seeds: S.
        groups: G, independent groups of samples.
        seed_variance: variance of ``value`` that other seeds would bring, with what seeds and samples bring
            together; 0 for one seed, which cannot show it.
        sample_variance: variance of ``value`` that other samples would bring under all seeds alike.
        both_variance: the part of ``seed_variance`` that is noise of single samples under single seeds.
    """

    value: float
    seeds: int
    groups: int
    seed_variance: float
    sample_variance: float
    both_variance: float

    def with_seeds(self, seeds: int) -> "Spread":
        """Return what the same variances give with another number of seeds."""
        factor = self.seeds / seeds
        return replace(
            self,
            seeds=seeds,
            seed_variance=self.seed_variance * factor,
            both_variance=self.both_variance * factor,
        )


def spread(values: Floats, shares: Floats, clusters: NDArray | None = None) -> Spread:
    """Split the variance of a mean over seeds.

    Args:
        values: (S,) the number measured with each seed.
        shares: (S, N) what each sample adds to the number, less the mean: rows sum to 0. For a mean of N hits
            (hit - mean) / N; for other numbers their influence values.
        clusters: (N,) group of each sample; None where samples are independent.

    Raises:
        UserError: all samples are of one group, so that nothing is known about others.
    """
    sums = group_sums(shares, clusters)
    seeds, groups = sums.shape
    if groups < 2:
        raise UserError(f"{shares.shape[1]} test samples in {groups} group: expected two groups or more")
    enough = groups / (groups - 1)
    common = sums.mean(0)
    sample = enough * float(np.sum(common**2))
    if seeds == 1:
        return Spread(float(values[0]), 1, groups, 0.0, sample, 0.0)
    both = enough * float(np.sum((sums - common) ** 2)) / (seeds * (seeds - 1))
    seed = float(np.var(values, ddof=1)) / seeds
    return Spread(float(np.mean(values)), seeds, groups, seed, max(sample - both, 0.0), both)


def group_sums(shares: Floats, clusters: NDArray | None) -> Floats:
    """Add the columns of each group: (S, N) to (S, G)."""
    if clusters is None:
        return np.asarray(shares, np.float64)
    _, member = np.unique(clusters, return_inverse=True)
    return np.stack([np.bincount(member, weights=row) for row in shares])


def half_width(found: Spread, confidence: float) -> float:
    """Half of the interval around ``found.value``.

    Args:
        found: of one number, or of the difference of two.
        confidence: e.g. 0.95.
    """
    return float(half_widths(found, np.array([found.seed_variance]), (1 - confidence) / 2)[0])


def half_widths(found: Spread, seed_variances: Floats, tail: float) -> Floats:
    """Half widths for other observed variances over seeds, all else equal.

    Args:
        found: all else.
        seed_variances: (K,) in place of ``found.seed_variance``.
        tail: chance left out on each side, e.g. 0.025.

    Returns:
        (K,).
    """
    from_samples = -special.stdtrit(found.groups - 1, tail)  # Student's t
    if found.seeds == 1:
        return np.full(len(seed_variances), from_samples * np.sqrt(found.sample_variance))
    freedom = found.seeds - 1
    from_seeds = -special.stdtrit(freedom, tail)
    longer = np.sqrt(from_seeds**2 * seed_variances + from_samples**2 * found.sample_variance)
    total = seed_variances + found.sample_variance
    squares = seed_variances**2 / freedom + found.sample_variance**2 / (found.groups - 1)
    effective = np.divide(total**2, squares, out=np.full(len(total), float(freedom)), where=squares > 0)
    shorter = -special.stdtrit(effective, tail) * np.sqrt(total)
    return (longer + shorter) / 2


def p_value(found: Spread, against: float = 0.0) -> float:
    """Two-sided p: one minus the confidence at which the interval just reaches ``against``."""
    distance = abs(found.value - against)
    if distance == 0:
        return 1.0
    if half_width(found, 1 - 2 * _SMALLEST_P) == 0:
        return 0.0  # nothing varies

    def excess(logarithm: float) -> float:
        variances = np.array([found.seed_variance])
        return float(half_widths(found, variances, np.exp(logarithm) / 2)[0]) - distance

    lowest = float(np.log(_SMALLEST_P))
    if excess(lowest) <= 0:
        return 0.0
    return float(np.exp(optimize.brentq(excess, lowest, 0.0, xtol=1e-10)))


def one_sided(found: Spread, against: float = 0.0) -> float:
    """The p of the hypothesis that the true value is not above ``against``."""
    p = p_value(found, against)
    return p / 2 if found.value > against else 1 - p / 2
