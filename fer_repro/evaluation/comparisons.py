"""What a claim compares - an arm with the best of its rivals or with a value - and how the setups differ.

A difference has an interval and a p-value; the differences of the setups are printed beside every verdict and
cap it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from fer_repro.evaluation.claims import Claim, Claims, Conditions, Place
from fer_repro.evaluation.evidence import Evidence
from fer_repro.evaluation.verdicts import PART
from fer_repro.measures.metrics import find_metric
from fer_repro.measures.variance_components import Spread, half_width, one_sided
from fer_repro.methods.method import load_method
from fer_repro.recipes import NAMES


@dataclass(frozen=True)
class Comparison:
    """A measured difference; above 0 is better, in the metric's unit.

    Attributes:
        value: of the arm less the best rival or the published value.
        low: lower bound.
        high: upper bound.
        p: two-sided, of the hypothesis that the true difference is ``reference``.
        reference: 0, or minus the margin of a claim of non-inferiority.
        spread: of the difference to the rival that is hardest to distinguish.
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
        margin: up to this much worse is still as good; 0 for a difference.
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


def below_half(found: Comparison, published: float, error: float) -> float:
    """One-sided p of the hypothesis that the true difference is at least half of the published one.

    Args:
        found: the measured difference.
        published: the paper's.
        error: its standard error; half of it is that of the half.
    """
    half = PART * published
    wider = replace(
        found.spread,
        value=found.value,
        sample_variance=found.spread.sample_variance + (PART * error) ** 2,
    )
    return 1 - one_sided(wider, half)


_WORDS = {
    "model.trunk": "trunk {}",
    "model.width": "width {}",
    "model.stem": "{} stem",
    "model.dimensions": "{}-d embeddings",
    "head": "{} head",
    "model.rows": "segments of {} rows",
    "image_size": "{} px",
    "epochs": "{} epochs",
    "batch_size": "batch {}",
    "optimiser.name": "{}",
    "optimiser.lr": "rate {}",
    "select_on": "epoch chosen on {}",
}
"""What is compared with the paper's recipe."""
_EQUAL = ("batch_size", "optimiser.lr")
"""Numbers that must be equal; the others must be at least as large. Text must be equal."""
_REQUIRED = ("epochs", "batch_size", "optimiser.name", "optimiser.lr")
"""What must be known of the paper's recipe before any run is as published."""
_LIMITS = {"max_train": "at most {} training samples", "max_test": "at most {} test samples"}


def departures(claims: Claims, claim: Claim, place: Place, evidence: Evidence) -> tuple[str, ...]:
    """Name what differs between the evidence and the claim as its paper tested it.

    Args:
        claims: conditions and descriptions of data sets.
        claim: what is claimed.
        place: where it was tested, one of the paper's or a stand-in.
        evidence: of the runs.

    Returns:
        Texts such as ``synthetic faces``, ``width 1/8``, ``64 px``, ``no pretraining``, in this order; empty
        where the runs had what the paper's had. Of arms that are fitted at once nothing that only training
        has, such as epochs.
    """
    solved = is_solved(claim, evidence)
    unknown = ("the paper's recipe is not known",) if not evidence.paper else ()
    return (
        *_data(claims, claim, place),
        *(unknown if solved else _recipe(claims, evidence)),
        *_limits(evidence),
        *(() if solved else _pretraining(claims, evidence)),
        *_augmentation(place, evidence),
        *(f"without {arm}" for arm in claim.against if arm not in evidence.arms),
    )


def is_solved(claim: Claim, evidence: Evidence) -> bool:
    """Whether all arms that are compared are fitted at once, so that there is no budget of epochs."""
    method = load_method(evidence.method)
    return all(method.is_solved(arm) for arm in (claim.arm, *claim.against) if arm in evidence.arms)


def _data(claims: Claims, claim: Claim, place: Place) -> tuple[str, ...]:
    papers = [one.place for one in claim.where if one.place.dataset == place.dataset]
    if any(place.protocol == one.protocol and place.metric == one.metric for one in papers):
        return ()
    words = claims.data_set(place.dataset).words
    return (f"{words} by protocol {place.protocol}",) if papers else (words,)


def _recipe(claims: Claims, evidence: Evidence) -> tuple[str, ...]:
    paper = {key: evidence.paper[key] for key in _WORDS if key in evidence.paper}
    conditions = {**paper, **_stated(claims, evidence).recipe}
    found = [
        _say(key, evidence.recipe.get(key), wanted)
        for key, wanted in conditions.items()
        if _falls_short(key, evidence.recipe.get(key), wanted)
    ]
    if other := next((name for name in found if name == evidence.recipe.get("optimiser.name")), ""):
        found = [name for name in found if not name.startswith("rate ")]  # another one has another rate
        found[found.index(other)] = NAMES.get(other, other)
    unknown = [key for key in _REQUIRED if key not in conditions]
    return (*found, "the paper's recipe is not known") if unknown else tuple(found)


def _stated(claims: Claims, evidence: Evidence) -> Conditions:
    return claims.conditions.get(evidence.method, Conditions())


def _falls_short(key: str, value: Any, wanted: int | float | str) -> bool:  # noqa: ANN401 - untyped configuration
    """Text and some numbers must be equal, other numbers at least as large; a missing key falls short."""
    equal = isinstance(wanted, str) or value is None or key in _EQUAL
    return bool(value != wanted if equal else value < wanted)


def _say(key: str, value: object, wanted: object) -> str:
    if key == "model.width" and isinstance(value, int) and isinstance(wanted, int):
        return f"width {Fraction(value, wanted)}"
    return _WORDS.get(key, key + " {}").format(f"{value:g}" if isinstance(value, float) else value)


def _limits(evidence: Evidence) -> tuple[str, ...]:
    limits = [
        words.format(evidence.recipe[key]) for key, words in _LIMITS.items() if evidence.recipe.get(key)
    ]
    return (*limits, "a smoke run") if evidence.recipe.get("smoke") else tuple(limits)


def _pretraining(claims: Claims, evidence: Evidence) -> tuple[str, ...]:
    wanted = _stated(claims, evidence).pretraining or evidence.paper.get("model.pretraining", "unknown")
    found = pretraining_class(evidence.pretraining)
    if found == wanted or wanted == "unknown":
        return ()
    return ("no pretraining",) if found == "none" else (f"pretraining {found} instead of {wanted}",)


def pretraining_class(name: str) -> str:
    """Reduce what networks start from to its class: ``faces (MS-Celeb-1M)`` is ``faces``."""
    return name.split()[0].lower() if name.split() else "unknown"


def _augmentation(place: Place, evidence: Evidence) -> tuple[str, ...]:
    if place.augmented == evidence.augmented:
        return ()
    return ("without test-time augmentation" if place.augmented else "with test-time augmentation",)
