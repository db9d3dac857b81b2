"""From the predictions of all seeds and arms to result rows, in the columns of published rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.datasets.protocols import protocol_rows, protocols_of
from fer_repro.datasets.samples import CHALLENGE
from fer_repro.evaluation.agreement import sample_groups
from fer_repro.evaluation.row_form import (
    COLUMNS,
    INTERVAL_COLUMNS,
    Quantity,
    Row,
    Subject,
    difference_row,
    interval_row,
    mcnemar_words,
    reference_row,
    value_rows,
)
from fer_repro.measures.intervals import (
    paired_difference,
    sample_interval,
    seed_interval,
)
from fer_repro.methods.method import load_method
from fer_repro.runs.folder import Run, by_arm
from fer_repro.runs.predictions import AUGMENTED, SPLIT, Predictions

_METRICS = ("accuracy", "mean_class_accuracy")
TESTED = (SPLIT, CHALLENGE)


@dataclass(frozen=True)
class _Cell:
    """One protocol, metric and use of test-time augmentation, over all seeds and arms."""

    quantity: Quantity
    rows: np.ndarray  # bool over the predictions of ``TESTED``
    augmented: bool
    groups: np.ndarray | None  # of the chosen samples

    def choose(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Take the cell's samples of a run: targets and predicted classes, both int64 (n,)."""
        tested = run.predictions.where(np.isin(run.predictions.splits, TESTED))
        part = tested.where(self.rows)
        scores = part.probabilities if self.augmented else part.logits
        return part.targets, scores.argmax(1)

    def value(self, run: Run) -> float:
        """Measure one run, in [0, 1]."""
        return self.score(*self.choose(run))

    def score(self, targets: np.ndarray, predicted: np.ndarray) -> float:
        """Measure any answers, classes (n,) beside the true ones (n,), in [0, 1]."""
        measure = self.quantity.definition.measure
        assert measure is not None  # of both accuracies
        return float(measure((targets == predicted)[None], targets)[0][0])

    def hits(self, runs: Sequence[Run]) -> np.ndarray:
        """Say which samples each run answers rightly, bool (S, n)."""
        return np.stack([np.equal(*self.choose(run)) for run in runs])

    def balance(self, run: Run) -> np.ndarray | None:
        """Give the classes (n,) that count alike in a mean of classes; None where samples count alike."""
        return self.choose(run)[0] if self.quantity.metric == "mean_class_accuracy" else None


def result_rows(
    runs: Sequence[Run], samples: pd.DataFrame, subject: Subject, confidence: float, resamples: int
) -> pd.DataFrame:
    """Make the rows of every arm: one per seed, then their mean; and those of the majority class.

    A protocol appears where the sample table has the columns it needs and it chooses any tested sample.

    Args:
        runs: from ``read_runs``, and ensembles of them.
        samples: the sample table of the data set.
        subject: method and data set.
        confidence: of the means' intervals, e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.

    Returns:
        ``COLUMNS``; value, deviation (n - 1) and bounds in percent; ``seed`` is empty in rows of means.
    """
    rows: list[Row] = []
    for cell in _cells(runs, samples, subject):
        for arm, members in by_arm(runs).items():
            values = {run.seed: cell.value(run) for run in members}
            rows += value_rows(subject, cell.quantity, arm, values, confidence, resamples)
        if not cell.augmented:
            rows.append(_majority_row(subject, cell, runs[0], samples))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def difference_rows(
    runs: Sequence[Run],
    samples: pd.DataFrame,
    subject: Subject,
    control: str,
    confidence: float,
    resamples: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every arm with the control, paired by seed and sample, and give every mean its intervals.

    Samples of one person or clip are not independent: intervals take them together, see ``sample_groups``.

    Args:
        runs: from ``read_runs``, and ensembles of them.
        samples: the sample table of the data set.
        subject: method and data set.
        control: the arm without the paper's idea.
        confidence: e.g. 0.95.
        resamples: of the bootstraps.

    Returns:
        Rows with ``COLUMNS`` (arm ``masked - no_mask``, unit points, the interval and McNemar's p per seed in
        ``note``), and a table with ``INTERVAL_COLUMNS``.
    """
    rows: list[Row] = []
    intervals: list[Row] = []
    arms = by_arm(runs)
    for cell in _cells(runs, samples, subject):
        for arm, members in arms.items():
            balance, count = cell.balance(members[0]), len(members)
            over_samples = sample_interval(
                cell.hits(members), confidence, resamples, balance, clusters=cell.groups
            )
            values = [cell.value(run) for run in members]
            over_seeds = seed_interval(values, confidence, resamples, cell.quantity.definition.interval_scale)
            for interval in (over_seeds, over_samples):
                intervals.append(interval_row(subject, cell.quantity, arm, interval, confidence, count))
            if arm == control or control not in arms:
                continue
            name, pairs = f"{arm} - {control}", list(zip(members, arms[control], strict=True))
            difference = paired_difference(
                cell.hits(members),
                cell.hits(arms[control]),
                confidence,
                resamples,
                balance,
                clusters=cell.groups,
            )
            intervals.append(interval_row(subject, cell.quantity, name, difference, confidence, count, True))
            # McNemar's test takes samples for independent, which several of one person are not
            tests = mcnemar_words(cell.hits(pair) for pair in pairs) if cell.groups is None else ""
            gaps = [cell.value(first) - cell.value(second) for first, second in pairs]
            rows.append(difference_row(subject, cell.quantity, name, difference, gaps, confidence, tests))
    return pd.DataFrame(rows, columns=list(COLUMNS)), pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))


def _majority_row(subject: Subject, cell: _Cell, run: Run, samples: pd.DataFrame) -> Row:
    """Score the answer that needs no image: always the most frequent training class."""
    train = samples.loc[samples["split"] == "train", "label"].to_numpy()
    targets = cell.choose(run)[0]
    value = cell.score(targets, np.full(len(targets), np.bincount(train).argmax()))
    note = "always the most frequent training class"
    return reference_row(subject, cell.quantity, "majority_class", value, note)


def _cells(runs: Sequence[Run], samples: pd.DataFrame, subject: Subject) -> list[_Cell]:
    tested = runs[0].predictions.where(np.isin(runs[0].predictions.splits, TESTED))
    cells = []
    for protocol, chosen in tested_samples(runs[0].config, samples, subject.method).items():
        rows = np.isin(tested.samples, chosen)
        if rows.any():
            groups = sample_groups(samples, tested.samples[rows])
            cells += [
                _Cell(Quantity(protocol, metric, tta), rows, tta != "none", groups)
                for tta in ways_of_testing(runs[0], tested.where(rows))
                for metric in _METRICS
            ]
    return cells


def ways_of_testing(run: Run, part: Predictions) -> tuple[str, ...]:
    """Name how a run showed the images of a part of its predictions: ``none``, and the augmentation."""
    copies = run.config["recipe"]["tta_copies"]
    augmented = copies and np.isin(part.splits, AUGMENTED).all()
    return ("none", f"{copies} random copies") if augmented else ("none",)


def tested_samples(config: Mapping[str, Any], samples: pd.DataFrame, method: str) -> dict[str, np.ndarray]:
    """Choose the rows of the sample table that each protocol tests, and those of the method's own subsets.

    Args:
        config: of any of the runs; with folds each sample is tested in one.
        samples: the sample table.
        method: that was trained.
    """
    if folds := config["data"].get("folds", 0):
        return {f"{'ten' if folds == 10 else folds}_fold": np.arange(len(samples))}
    chosen = {name: protocol_rows(samples, SPLIT, name) for name in protocols_of(samples)}
    subsets = load_method(method).subsets(config["recipe"].get("model", {}), samples)
    return chosen | {name: np.flatnonzero(part) for name, part in subsets.items()}
