"""What the given seeds and samples can show: power, the smallest detectable difference, missing seeds.

All three take the variances that were observed as the true ones. The variance of a difference with S seeds is
V(S) = V_seed S_0 / S + V_sample, see ``variance_components``; the reasoning is that of Westfall, Kenny and
Judd (J. Exp. Psychology: General 143, 2014), the test that of ``variance_components``.
"""

import numpy as np
from scipy import optimize, stats

from fer_repro.measures.variance_components import Spread, half_width, half_widths

MOST_SEEDS = 1000  # no larger number is tried
MANY_SEEDS = 30  # more are never recommended: then the data are too few
_STEPS = 200  # of the integral over the variance that another experiment would observe


def power(found: Spread, effect: float, confidence: float) -> float:
    """Chance that an experiment of this size finds "above 0", if the true difference is ``effect``.

    The mean is normal with the observed variances, and independent of the variance over seeds that the new
    experiment observes, V_seed chi2(S - 1) / (S - 1): power = E[Phi((effect - half width) / sqrt(V))].

    Args:
        found: of the difference.
        effect: in the unit of ``found``; negative ones are hardly ever found above 0.
        confidence: of the two-sided interval that must lie above 0, e.g. 0.95.

    Returns:
        In [0, 1].
    """
    tail = (1 - confidence) / 2
    deviation = np.sqrt(found.seed_variance + found.sample_variance)
    if deviation == 0:
        return float(effect > 0)
    observed = np.array([found.seed_variance])
    if found.seeds > 1:
        places = (np.arange(_STEPS) + 0.5) / _STEPS
        freedom = found.seeds - 1
        observed = found.seed_variance * stats.chi2.ppf(places, freedom) / freedom
    widths = half_widths(found, observed, tail)
    return float(np.mean(stats.norm.cdf((effect - widths) / deviation)))


def detectable(found: Spread, confidence: float, wanted: float = 0.8) -> float:
    """The smallest true difference that is detected with the power ``wanted``; 0 where nothing varies.

    Args:
        found: of the difference.
        confidence: e.g. 0.95.
        wanted: power in (0, 1).
    """
    deviation = float(np.sqrt(found.seed_variance + found.sample_variance))
    if deviation == 0:
        return 0.0
    most = deviation
    while power(found, most, confidence) < wanted:
        most *= 2
    return float(
        optimize.brentq(lambda effect: power(found, effect, confidence) - wanted, 0, most, xtol=1e-9 * most)
    )


def more_seeds(found: Spread, distance: float, confidence: float) -> int | None:
    """How many seeds are missing until the half width of the interval falls below ``distance``.

    If the mean stays where it is, the interval then excludes what lies ``distance`` away: 0 for a difference,
    or a target. That is an even chance, not a promise, since the mean will move.

    Args:
        found: of the difference.
        distance: above 0.
        confidence: e.g. 0.95.

    Returns:
        0 where they suffice already; None where no number up to ``MOST_SEEDS`` does, so that more test
        samples are needed, or where one seed gives no information on others.
    """
    if found.seeds == 1:
        return None
    if half_width(found, confidence) < distance:
        return 0
    enough, short = MOST_SEEDS, found.seeds
    if half_width(found.with_seeds(enough), confidence) >= distance:
        return None
    while enough - short > 1:
        middle = (enough + short) // 2
        if half_width(found.with_seeds(middle), confidence) < distance:
            enough = middle
        else:
            short = middle
    return enough - found.seeds
