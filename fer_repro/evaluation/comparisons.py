"""An arm against the best of its rivals, or against a published value: difference, interval and p."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fer_repro.evaluation.evidence import Evidence
from fer_repro.measures.metrics import find_metric
from fer_repro.measures.variance_components import Spread, half_width, one_sided


@dataclass(frozen=True)
class Comparison:
    """A measured difference; above 0 is better, in the metric's unit.

    Attributes:
        value: of the arm less the best rival or the published value.
        low: lower bound.
        high: upper bound.
        p: two-sided, of the hypothesis that the true difference is ``reference``.
        reference: 0, or minus the margin of a claim of non-inferiority.
        spread: of the difference to the rival that is hardest to tell apart.
    """

    value: float
    low: float
    high: float
    p: float
    reference: float
    spread: Spread

    @property
    def is_above(self) -> bool:
        """On the claimed side of the reference."""
        return self.value > self.reference


def against_best(
    evidence: Evidence, arm: str, rivals: Sequence[str], margin: float, confidence: float
) -> Comparison:
    """Compare an arm with the best of several rivals.

    An arm beats the best if it beats each: the p of that is the largest one (an intersection-union test,
    Berger, Technometrics 24, 1982), and the lower bound the lowest. That some rival beats the arm is one of
    several chances, so there p and upper bound are corrected for their number, after Bonferroni.

    Args:
        evidence: holds all of them.
        arm: whose claim it is.
        rivals: at least one.
        margin: so much worse is still as good; 0 for a difference.
        confidence: e.g. 0.95.
    """
    gains = [evidence.gain(arm, rival) for rival in rivals]
    nearest = min(gains, key=lambda gain: gain.value)
    shared = 1 - (1 - confidence) / len(gains)
    by_rival = [one_sided(gain, -margin) for gain in gains]
    hardest = gains[by_rival.index(max(by_rival))]
    beaten = min(1.0, len(gains) * (1 - max(by_rival)))
    return Comparison(
        nearest.value,
        min(gain.value - half_width(gain, confidence) for gain in gains),
        min(gain.value + half_width(gain, shared) for gain in gains),
        min(1.0, 2 * (max(by_rival) if nearest.value > -margin else beaten)),
        -margin,
        hardest,
    )


def against_value(evidence: Evidence, arm: str, target: float, confidence: float) -> Comparison:
    """Compare an arm with a published value, which has no spread of its own here.

    Args:
        evidence: holds the arm.
        arm: whose value it is.
        target: in the metric's unit.
        confidence: e.g. 0.95.
    """
    found = evidence.spread(arm)
    gap = target - found.value if find_metric(evidence.metric).lower_is_better else found.value - target
    half = half_width(found, confidence)
    return Comparison(gap, gap - half, gap + half, float("nan"), 0.0, replace(found, value=gap))
