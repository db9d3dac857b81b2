"""The form of a measured row: the columns of a published one, with seed, deviation, runs, interval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_repro.measures.detection import delong_test
from fer_repro.measures.intervals import (
    Interval,
    Scale,
    mcnemar_exact,
    mcnemar_mid,
    seed_interval,
    spread_interval,
)
from fer_repro.measures.metrics import Metric, find_metric
from fer_repro.measures.variance_components import spread
from fer_repro.runs.folder import TrainedRuns
from fer_repro.runs.predictions import SPLIT

COLUMNS = (
    "method", "arm", "paper", "table", "dataset", "protocol", "split", "metric", "unit", "value",
    "pretraining", "tta", "source", "note", "seed", "deviation", "runs", "low", "high",
)  # fmt: skip
INTERVAL_COLUMNS = (
    "method", "arm", "dataset", "protocol", "split", "metric", "tta", "unit", "value", "low", "high",
    "confidence", "kind", "runs",
)  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What the rows are about.

    Attributes:
        method: name.
        paper: arXiv identifier.
        dataset: name.
        pretraining: what the networks start from.
        note: of the recipe: how the runs differ from the paper's.
    """

    method: str
    paper: str
    dataset: str
    pretraining: str
    note: str


def subject_of(found: TrainedRuns) -> Subject:
    """Describe what the rows of some runs are about."""
    method, note = found.method, found.recipe["note"]
    return Subject(method.name, method.paper, found.dataset, found.pretraining, note)


@dataclass(frozen=True)
class Quantity:
    """What a row is the value of.

    Attributes:
        protocol: which samples or pairs count.
        metric: its name, see ``fer_repro.measures.metrics``.
        tta: how test images were augmented.
    """

    protocol: str
    metric: str
    tta: str = "none"

    @property
    def definition(self) -> Metric:
        """The metric's unit, and where its intervals are symmetric."""
        return find_metric(self.metric)


@dataclass(frozen=True)
class Ranked:
    """What an area under a ROC is made of.

    Attributes:
        scores: (S, N), higher for the positive class.
        positive: (N,) bool.
    """

    scores: NDArray
    positive: NDArray


@dataclass(frozen=True)
class BySeed:
    """A number measured with several seeds on the same samples.

    Attributes:
        values: (S,).
        shares: (S, N) what each sample adds to the number, as ``spread`` takes it; None if nothing is known.
        groups: (N,) group of each sample; None where samples are independent.
        ranked: of an area: its scores, for DeLong's test.
    """

    values: NDArray[np.float64]
    shares: NDArray[np.float64] | None = None
    groups: NDArray | None = None
    ranked: Ranked | None = None

    def minus(self, other: "BySeed") -> "BySeed":
        """The difference, paired by seed and sample."""
        return BySeed(
            self.values - other.values,
            self.shares - other.shares if self.shares is not None and other.shares is not None else None,
            self.groups,
        )

    def interval(self, confidence: float, resamples: int, scale: Scale = "linear") -> Interval:
        """Interval of the mean over seeds, for other seeds and, where shares are known, other samples."""
        if self.shares is None:
            return seed_interval(self.values.tolist(), confidence, resamples, scale)
        return spread_interval(spread(self.values, self.shares, self.groups), confidence, scale)


def value_rows(
    subject: Subject,
    quantity: Quantity,
    arm: str,
    values: Mapping[int, float],
    confidence: float,
    resamples: int,
    notes: Mapping[int, str] | None = None,
) -> list[Row]:
    """Make one row per seed, then the row of their mean with its interval over seeds.

    Args:
        subject: method and data set.
        quantity: what was measured.
        arm: of the method.
        values: seed -> value.
        confidence: of the interval, e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.
        notes: seed -> text before the recipe's note in that seed's row.
    """
    scaled = {seed: quantity.definition.scale * value for seed, value in values.items()}
    rows = []
    for seed, value in scaled.items():
        row = _row(subject, quantity, arm, value, str(seed))
        said = (notes or {}).get(seed, "")
        rows.append({**row, "note": f"{said}; {subject.note}"} if said else row)
    numbers = list(scaled.values())
    mean = _row(subject, quantity, arm, float(np.mean(numbers)), "", _deviation(numbers), len(numbers))
    over = seed_interval(list(values.values()), confidence, resamples, quantity.definition.interval_scale)
    return [*rows, {**mean, **_bounds(over, quantity)}]


def reference_row(subject: Subject, quantity: Quantity, name: str, value: float, note: str) -> Row:
    """Make the row of an answer that needs no network.

    Args:
        subject: method and data set.
        quantity: what is measured.
        name: used in place of an arm.
        value: in [0, 1], or a log loss.
        note: what the answer is.
    """
    row = _row(subject, quantity, name, quantity.definition.scale * value, "")
    return {**row, "pretraining": "none", "note": note}


def difference_row(
    subject: Subject,
    quantity: Quantity,
    name: str,
    difference: Interval,
    by_seed: Sequence[float],
    confidence: float,
    tests: str = "",
) -> Row:
    """Make the row of an arm minus the control, its interval and tests in the note.

    Args:
        subject: method and data set.
        quantity: what was compared.
        name: e.g. ``masked - no_mask``.
        difference: with its interval.
        by_seed: the differences of single seeds.
        confidence: of the interval.
        tests: results of tests, e.g. ``DeLong p by seed 0.03, 0.2``.
    """
    scale = quantity.definition.scale
    places = 4 if quantity.definition.kept == "numbers" else 2
    bounds = f"{scale * difference.low:.{places}f} to {scale * difference.high:.{places}f}"
    interval = f"{100 * confidence:g} % interval {bounds} ({difference.kind})"
    parts = [interval if np.isfinite(difference.low) else difference.kind, tests, subject.note]
    deviation = _deviation([scale * value for value in by_seed])
    row = _row(subject, quantity, name, scale * difference.value, "", deviation, len(by_seed))
    note = "; ".join(part for part in parts if part)
    return {**row, **_bounds(difference, quantity), "unit": quantity.definition.gap_unit, "note": note}


def interval_row(
    subject: Subject,
    quantity: Quantity,
    arm: str,
    interval: Interval,
    confidence: float,
    runs: int,
    difference: bool = False,
) -> Row:
    """Make a row of ``intervals.csv``.

    Args:
        subject: method and data set.
        quantity: what was measured.
        arm: of the method, or two with a minus between them.
        interval: of the mean over runs.
        confidence: e.g. 0.95.
        runs: how many.
        difference: its unit is points then, of losses nats.
    """
    metric = quantity.definition
    scale = metric.scale
    return {
        "method": subject.method, "arm": arm, "dataset": subject.dataset, "protocol": quantity.protocol,
        "split": SPLIT, "metric": quantity.metric, "tta": quantity.tta,
        "unit": metric.gap_unit if difference else metric.unit, "value": scale * interval.value,
        "low": scale * interval.low, "high": scale * interval.high, "confidence": confidence,
        "kind": interval.kind, "runs": runs,
    }  # fmt: skip


def compare_by_seed(
    subject: Subject,
    quantity: Quantity,
    arms: Mapping[str, BySeed],
    control: str,
    confidence: float,
    resamples: int,
) -> tuple[list[Row], list[Row]]:
    """Give every mean over seeds its intervals, and every arm its difference to the control, paired.

    For numbers that are no mean over samples, such as an AUC. Where it is known what each sample adds to
    them, intervals hold the variation over seeds and samples, else that over seeds alone.

    Args:
        subject: method and data set.
        quantity: what was measured.
        arms: arm -> its numbers, all with the same seeds and samples.
        control: the arm without the paper's idea.
        confidence: e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.

    Returns:
        Rows of differences, and rows of intervals.
    """
    rows, intervals = [], []
    for arm, ours in arms.items():
        scale = quantity.definition.interval_scale
        over = seed_interval(ours.values.tolist(), confidence, resamples, scale)
        both = [over] if ours.shares is None else [over, ours.interval(confidence, resamples, scale)]
        count = len(ours.values)
        intervals += [interval_row(subject, quantity, arm, each, confidence, count) for each in both]
        if arm == control or control not in arms:
            continue
        name, gap = f"{arm} - {control}", ours.minus(arms[control])
        found = gap.interval(confidence, resamples)
        difference = replace(found, kind=f"paired, {found.kind}")
        gaps = gap.values.tolist()
        tests = _delong_words(ours, arms[control])
        rows.append(difference_row(subject, quantity, name, difference, gaps, confidence, tests))
        intervals.append(interval_row(subject, quantity, name, difference, confidence, count, True))
    return rows, intervals


def mcnemar_words(hits: Iterable[Iterable[NDArray]]) -> str:
    """Write McNemar's p of each seed, exact and mid-p.

    Args:
        hits: of each seed those of both arms, (N,) each.
    """
    tests = [(mcnemar_exact(*both), mcnemar_mid(*both)) for both in hits]
    said = ", ".join(f"{exact:.2g} (mid-p {mid:.2g})" for exact, mid in tests)
    return f"McNemar p by seed {said}"


def _delong_words(ours: BySeed, theirs: BySeed) -> str:
    """Write DeLong's p of each seed; nothing for other numbers, or where a kind is in one group only."""
    if ours.ranked is None or theirs.ranked is None:
        return ""
    truth = ours.ranked.positive
    groups = np.arange(len(truth)) if ours.groups is None else ours.groups
    if any(len(np.unique(groups[part])) < 2 for part in (truth, ~truth)):
        return ""
    both = zip(ours.ranked.scores, theirs.ranked.scores, strict=True)
    return f"DeLong p by seed {', '.join(f'{delong_test(*pair, truth, groups).p:.2g}' for pair in both)}"


def _row(
    subject: Subject,
    quantity: Quantity,
    arm: str,
    value: float,
    seed: str,
    deviation: float | str = "",
    runs: int = 1,
) -> Row:
    return {
        "method": subject.method, "arm": arm, "paper": subject.paper, "table": "", "dataset": subject.dataset,
        "protocol": quantity.protocol, "split": SPLIT, "metric": quantity.metric,
        "unit": quantity.definition.unit, "value": value, "pretraining": subject.pretraining,
        "tta": quantity.tta, "source": "measured", "note": subject.note, "seed": seed, "deviation": deviation,
        "runs": runs, "low": "", "high": "",
    }  # fmt: skip


def _bounds(found: Interval, quantity: Quantity) -> Row:
    """Write an interval's bounds; nothing where one value allows none."""
    bounds = {"low": found.low, "high": found.high}
    return {
        name: quantity.definition.scale * bound if np.isfinite(bound) else ""
        for name, bound in bounds.items()
    }


def _deviation(values: Sequence[float]) -> float | str:
    return float(np.std(values, ddof=1)) if len(values) > 1 else ""
