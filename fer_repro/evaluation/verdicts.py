"""The rules by which a claim gets its verdict, written down before the data.

The first rule that applies decides. No rule depends on a name: only on the kind of claim, what the
paper reports, what was measured at two lengths of training, and whether our runs differ from the paper's. See
docs/verdicts.md.
"""

import math
from dataclasses import dataclass
from typing import Literal

from fer_repro.evaluation.claims import Kind

Name = Literal[
    "reproduced", "direction reproduced", "smaller at this budget", "opposite at this budget",
    "not reproduced", "no difference here", "still learning", "nothing learnt at this budget",
    "one budget only", "inconclusive", "not attempted",
]  # fmt: skip

VERSION = 2  # of the rules; docs/verdicts.md keeps the earlier ones
LEAST_SEEDS = 3  # fewer allow no conclusion about other seeds
PART = 0.5  # of the published difference: what is certainly smaller does not reproduce its size
FACTOR = 2.0  # of the same size: at most so many times larger or smaller
WIDEST = 3.0  # tolerances; a wider half interval does not show that a number was reached
RISE = 3.0  # points of validation between half the epochs and all: an arm that gains more still learns
EQUAL = 2.0  # points: differences within are none, where nothing smaller was published

RULES: dict[int, tuple[Name, str]] = {
    1: ("not attempted", "there is no run on this data set"),
    2: ("not attempted", "a value to reach, and the runs differ from the paper's"),
    3: ("inconclusive", "fewer than three seeds"),
    4: ("not reproduced", "the arm is at chance, as published"),
    5: ("nothing learnt at this budget", "the arm is at chance"),
    6: ("one budget only", "there is no run with half the epochs to compare with"),
    7: ("still learning", "difference or validation still change between half the epochs and all"),
    8: ("not reproduced", "the difference is certainly on the other side, as published"),
    9: ("opposite at this budget", "the difference is certainly on the other side"),
    10: ("reproduced", "the sign is certain and the size agrees, as published"),
    11: ("direction reproduced", "the sign is certain"),
    12: ("not reproduced", "the difference is certainly below half of the published one, as published"),
    13: ("smaller at this budget", "the difference is certainly below half of the published one"),
    14: ("no difference here", "the whole interval is too close to 0 to matter, on other data"),
    15: ("inconclusive", "the sign is not certain"),
    16: ("reproduced", "the published value is reached within its tolerance"),
    17: ("direction reproduced", "the published value is certainly exceeded by more than its tolerance"),
    18: ("not reproduced", "the published value is certainly missed by more than its tolerance"),
    19: ("inconclusive", "the interval allows more than one answer"),
}
"""Number -> verdict and when it is given; 6 to 15 are for comparisons, 16 to 19 for values to reach."""
DECIDED: tuple[Name, ...] = (
    "reproduced", "direction reproduced", "smaller at this budget", "opposite at this budget",
    "not reproduced", "no difference here",
)  # fmt: skip
"""Verdicts that answer the question; all others leave it open."""


@dataclass(frozen=True)
class Case:
    """Everything the rules use. Numbers that do not exist are NaN.

    Attributes:
        kind: of claim.
        published: difference in the direction of the claim, or value to reach.
        tolerance: of it.
        as_published: the runs differ in nothing from the paper's.
        seeds: of the runs; 0 where there is none.
        difference: that was measured, to the best rival or to the value.
        low: of its interval.
        high: of its interval.
        reference: 0, or minus the margin of a claim of non-inferiority.
        p: of the difference, after Holm's correction.
        p_half: one-sided, that the difference is at least half of the published one, times two and corrected
            likewise. NaN on other data than the paper's, or where the control is too weak to judge.
        equal_within: the interval must lie within so many points to be called no difference; NaN on the
            paper's own data.
        at_chance: the arm answers no better than without an image.
        shorter_difference: of runs with half the epochs.
        moved: change of the difference from half the epochs to all, over the seeds of both.
        rise: largest gain of an arm's validation measure on the way, in points.
        level: 1 - confidence, e.g. 0.05.
    """

    kind: Kind
    published: float
    tolerance: float
    as_published: bool
    seeds: int
    difference: float
    low: float
    high: float
    reference: float
    p: float
    p_half: float
    equal_within: float
    at_chance: bool
    shorter_difference: float
    moved: float
    rise: float
    level: float

    @property
    def is_certain(self) -> bool:
        """The difference is not the reference."""
        return self.p < self.level

    @property
    def is_above(self) -> bool:
        """On the claimed side of the reference."""
        return self.difference > self.reference

    @property
    def still_learns(self) -> bool:
        """Training longer has changed the result, so that training still longer may.

        The difference moved by more than its own half width, an arm's validation rose by more than ``RISE``,
        or a certain difference was on the other side of the reference.
        """
        wide = (self.high - self.low) / 2
        other = self.is_certain and (self.shorter_difference > self.reference) != self.is_above
        return abs(self.moved) > wide or self.rise > RISE or other


def decide(case: Case) -> int:
    """Apply the rules and return the number of the one that decides, a key of ``RULES``."""
    if case.seeds == 0:
        return 1
    if case.kind == "absolute" and not case.as_published:
        return 2
    if case.seeds < LEAST_SEEDS:
        return 3
    if case.at_chance:
        return 4 if case.as_published else 5
    if case.kind == "absolute":
        return _reach(case)
    if not case.as_published and math.isnan(case.moved):
        return 6
    if not case.as_published and case.still_learns:
        return 7
    return _compare(case)


def _compare(case: Case) -> int:
    if case.is_certain and not case.is_above:
        return 8 if case.as_published else 9
    if case.is_certain:
        return 10 if case.as_published and size_agrees(case) else 11
    if case.p_half < case.level:
        return 12 if case.as_published else 13
    if -case.equal_within < case.low and case.high < case.equal_within:
        return 14
    return 15


def _reach(case: Case) -> int:
    if math.isnan(case.published):
        return 19
    narrow = (case.high - case.low) / 2 <= WIDEST * case.tolerance
    if case.low <= 0 <= case.high and abs(case.difference) <= case.tolerance and narrow:
        return 16
    if case.low > 0 and case.difference > case.tolerance:
        return 17
    if case.high < 0 and case.difference < -case.tolerance:
        return 18
    return 19


def size_agrees(case: Case) -> bool:
    """Return whether a measured difference is as large as the published one.

    It is within the tolerance; or the published one lies inside the interval and is at most ``FACTOR`` times
    larger or smaller. A published difference against its own claim agrees with nothing, nor does one that
    is not verified.
    """
    if not case.published > 0:
        return False
    if abs(case.difference - case.published) <= case.tolerance:
        return True
    inside = case.low <= case.published <= case.high
    return inside and case.published / FACTOR <= case.difference <= case.published * FACTOR
