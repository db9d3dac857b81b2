"""The rules by which a claim gets its verdict, written down before the data.

The first rule that applies decides. No rule depends on a name: only on the kind of claim, what the
paper reports, what was measured, and whether our runs differ from the paper's. See docs/verdicts.md.
"""

from dataclasses import dataclass
from typing import Literal

from fer_repro.evaluation.claims import Kind, Size
from fer_repro.evaluation.comparisons import Comparison

Name = Literal["reproduced", "direction reproduced", "not reproduced", "inconclusive", "not attempted"]

LEAST_SEEDS = 3  # fewer allow no conclusion about other seeds
PART = 0.5  # a difference certainly below this part of the published one is not reproduced
FACTOR = 2.0  # of the same size: at most so many times larger or smaller
WIDEST = 3.0  # tolerances; a wider half interval does not show that a number was reached

RULES: dict[int, tuple[Name, str]] = {
    1: ("not attempted", "there is no run on this data set"),
    2: ("not attempted", "a value to reach, and the runs differ from the paper's"),
    3: ("inconclusive", "fewer than three seeds"),
    4: ("not reproduced", "the arm is at chance"),
    5: ("not reproduced", "the difference is certainly on the other side"),
    6: ("reproduced", "the sign is certain and the size agrees, as published"),
    7: ("direction reproduced", "the sign is certain"),
    8: ("not reproduced", "the whole interval is below half of the published difference"),
    9: ("inconclusive", "the sign is not certain"),
    10: ("reproduced", "the published value is reached within its tolerance"),
    11: ("direction reproduced", "the published value is certainly exceeded by more than its tolerance"),
    12: ("not reproduced", "the published value is certainly missed by more than its tolerance"),
    13: ("inconclusive", "the interval allows more than one answer"),
}
"""Number -> verdict and when it is given; 5 to 9 are for comparisons, 10 to 13 for values to reach."""


@dataclass(frozen=True)
class Case:
    """Everything the rules use.

    Attributes:
        kind: of claim.
        size: what the paper reports at this place; None if not verified or elsewhere.
        as_published: the runs differ in nothing from the paper's.
        comparison: what was measured; None without runs.
        p: of the comparison, after Holm's correction; NaN for values to reach.
        at_chance: the arm answers no better than without an image.
        level: 1 - confidence, e.g. 0.05.
    """

    kind: Kind
    size: Size | None
    as_published: bool
    comparison: Comparison | None
    p: float
    at_chance: bool
    level: float


def decide(case: Case) -> int:
    """Apply the rules and return the number of the one that decides, a key of ``RULES``."""
    found = case.comparison
    if found is None:
        return 1
    if case.kind == "absolute" and not case.as_published:
        return 2
    if found.spread.seeds < LEAST_SEEDS:
        return 3
    if case.at_chance:
        return 4
    if case.kind == "absolute":
        return _reach(found, case.size)
    return _compare(case, found)


def _compare(case: Case, found: Comparison) -> int:
    certain = case.p < case.level
    if certain and not found.is_above:
        return 5
    if certain:
        agrees = case.size is not None and size_agrees(found, case.size)
        return 6 if case.as_published and agrees else 7
    claimed = case.size is not None and case.size.value > 0 and case.kind != "non_inferiority"
    if case.as_published and claimed and case.size is not None and found.high < PART * case.size.value:
        return 8
    return 9


def _reach(found: Comparison, size: Size | None) -> int:
    if size is None:
        return 13
    narrow = (found.high - found.low) / 2 <= WIDEST * size.tolerance
    if found.low <= 0 <= found.high and abs(found.value) <= size.tolerance and narrow:
        return 10
    if found.low > 0 and found.value > size.tolerance:
        return 11
    if found.high < 0 and found.value < -size.tolerance:
        return 12
    return 13


def size_agrees(found: Comparison, size: Size) -> bool:
    """Return whether a measured difference is as large as the published one.

    It is within the tolerance; or the published one lies inside the interval and is at most ``FACTOR`` times
    larger or smaller. A published difference against its own claim agrees with nothing.
    """
    if size.value <= 0:
        return False
    if abs(found.value - size.value) <= size.tolerance:
        return True
    inside = found.low <= size.value <= found.high
    return inside and size.value / FACTOR <= found.value <= size.value * FACTOR
