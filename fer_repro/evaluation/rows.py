"""From the predictions of all seeds and arms to result rows, in the columns of published/results.csv."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.config import run_folder
from fer_repro.data.protocols import PROTOCOLS, protocol_rows
from fer_repro.errors import UserError
from fer_repro.evaluation.metrics import accuracy, mean_class_accuracy
from fer_repro.evaluation.predict import Predictions, read_predictions
from fer_repro.evaluation.statistics import (
    Interval,
    mcnemar_exact,
    paired_difference,
    sample_interval,
    seed_interval,
)

COLUMNS = (
    "method", "arm", "paper", "table", "dataset", "protocol", "split", "metric", "unit", "value",
    "pretraining", "tta", "source", "note", "seed", "deviation", "runs",
)  # fmt: skip
INTERVAL_COLUMNS = (
    "method", "arm", "dataset", "protocol", "split", "metric", "tta", "unit", "value", "low", "high",
    "confidence", "kind", "runs",
)  # fmt: skip
SPLIT = "test"
METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {
    "accuracy": lambda targets, predicted, classes: accuracy(targets, predicted),
    "mean_class_accuracy": mean_class_accuracy,
}


@dataclass(frozen=True)
class Run:
    """One trained arm and seed.

    Attributes:
        arm: of the method.
        seed: of the run.
        config: what its config.json holds.
        predictions: validation and test.
    """

    arm: str
    seed: int
    config: dict[str, Any]
    predictions: Predictions


@dataclass(frozen=True)
class Subject:
    """What the rows are about.

    Attributes:
        method: name.
        paper: arXiv identifier.
        dataset: name.
        pretraining: what the networks start from.
        note: of the recipe.
    """

    method: str
    paper: str
    dataset: str
    pretraining: str
    note: str


@dataclass(frozen=True)
class _Cell:
    """One protocol, metric and use of test-time augmentation, over all seeds and arms."""

    protocol: str
    metric: str
    tta: str
    rows: np.ndarray  # bool over the test predictions
    augmented: bool

    def choose(self, run: Run) -> tuple[np.ndarray, np.ndarray, int]:
        part = run.predictions.of_split(SPLIT).where(self.rows)
        scores = part.probabilities if self.augmented else part.logits
        return part.targets, scores.argmax(1), len(part.classes)

    def value(self, run: Run) -> float:
        return 100 * METRICS[self.metric](*self.choose(run))

    def hits(self, runs: Sequence[Run]) -> np.ndarray:
        chosen = [self.choose(run) for run in runs]
        return np.stack([targets == predicted for targets, predicted, _ in chosen])

    def balance(self, run: Run) -> np.ndarray | None:
        return self.choose(run)[0] if self.metric == "mean_class_accuracy" else None


def read_runs(
    root: Path | str, dataset: str, method: str, seeds: Iterable[int], arms: Iterable[str]
) -> list[Run]:
    """Read the runs of all seeds and arms and check that they belong together.

    Raises:
        UserError: a file is missing or damaged, or a run saw other samples or another recipe than the first.
    """
    runs = []
    for arm in arms:
        for seed in seeds:
            folder = run_folder(root, dataset, method, seed, arm)
            predictions = read_predictions(folder / "predictions.csv")
            runs.append(Run(arm, seed, _read_config(folder / "config.json"), predictions))
            _check_same(runs[0], runs[-1], folder)
    return runs


def result_rows(runs: Sequence[Run], samples: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    """Make the rows of every arm: one per seed, then their mean; and those of the majority class.

    Protocol ``clean`` appears where the sample table knows about pixel-identical images.

    Args:
        runs: from ``read_runs``.
        samples: the sample table of the data set.
        subject: method and data set.

    Returns:
        ``COLUMNS``; value and deviation (n - 1) in percent; ``seed`` is empty in rows of means.
    """
    rows = []
    for cell in _cells(runs, samples):
        for arm, members in _by_arm(runs).items():
            values = [cell.value(run) for run in members]
            for run, value in zip(members, values, strict=True):
                rows.append(_row(subject, cell, arm, value, str(run.seed)))
            rows.append(_row(subject, cell, arm, float(np.mean(values)), "", _deviation(values), len(values)))
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

    Args:
        runs: from ``read_runs``.
        samples: the sample table of the data set.
        subject: method and data set.
        control: the arm without the paper's idea.
        confidence: e.g. 0.95.
        resamples: of the bootstraps.

    Returns:
        Rows with ``COLUMNS`` (arm ``masked - no_mask``, unit points, the interval and McNemar's p per seed in
        ``note``), and a table with ``INTERVAL_COLUMNS``.
    """
    rows, intervals = [], []
    arms = _by_arm(runs)
    for cell in _cells(runs, samples):
        for arm, members in arms.items():
            balance, count = cell.balance(members[0]), len(members)
            over_samples = sample_interval(cell.hits(members), confidence, resamples, balance)
            over_seeds = seed_interval([cell.value(run) / 100 for run in members], confidence, resamples)
            for interval in (over_seeds, over_samples):
                intervals.append(_interval_row(subject, cell, arm, "%", interval, confidence, count))
            if arm == control or control not in arms:
                continue
            others, name = arms[control], f"{arm} - {control}"
            difference = paired_difference(
                cell.hits(members), cell.hits(others), confidence, resamples, balance
            )
            intervals.append(_interval_row(subject, cell, name, "points", difference, confidence, count))
            rows.append(_difference_row(subject, cell, name, difference, confidence, members, others))
    return pd.DataFrame(rows, columns=list(COLUMNS)), pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))


def _difference_row(
    subject: Subject,
    cell: _Cell,
    name: str,
    difference: Interval,
    confidence: float,
    members: Sequence[Run],
    others: Sequence[Run],
) -> dict[str, Any]:
    pairs = list(zip(members, others, strict=True))
    deviation = _deviation([cell.value(first) - cell.value(second) for first, second in pairs])
    tests = ", ".join(f"{mcnemar_exact(*cell.hits(pair)):.2g}" for pair in pairs)
    note = (
        f"{100 * confidence:g} % interval {100 * difference.low:.2f} to {100 * difference.high:.2f} "
        f"({difference.kind}); McNemar p by seed {tests}; {subject.note}"
    )
    row = _row(subject, cell, name, 100 * difference.value, "", deviation, len(members))
    return {**row, "unit": "points", "note": note}


def _majority_row(subject: Subject, cell: _Cell, run: Run, samples: pd.DataFrame) -> dict[str, Any]:
    """Score the answer that needs no image: always the most frequent training class."""
    train = samples.loc[samples["split"] == "train", "label"].to_numpy()
    targets, _, classes = cell.choose(run)
    predicted = np.full(len(targets), np.bincount(train).argmax())
    value = 100 * METRICS[cell.metric](targets, predicted, classes)
    row = _row(subject, cell, "majority_class", value, "", runs=1)
    return {**row, "pretraining": "none", "note": "always the most frequent training class"}


def _row(
    subject: Subject,
    cell: _Cell,
    arm: str,
    value: float,
    seed: str,
    deviation: float | str = "",
    runs: int = 1,
) -> dict[str, Any]:
    return {
        "method": subject.method, "arm": arm, "paper": subject.paper, "table": "", "dataset": subject.dataset,
        "protocol": cell.protocol, "split": SPLIT, "metric": cell.metric, "unit": "%", "value": value,
        "pretraining": subject.pretraining, "tta": cell.tta, "source": "measured", "note": subject.note,
        "seed": seed, "deviation": deviation, "runs": runs,
    }  # fmt: skip


def _interval_row(
    subject: Subject, cell: _Cell, arm: str, unit: str, interval: Interval, confidence: float, runs: int
) -> dict[str, Any]:
    return {
        "method": subject.method, "arm": arm, "dataset": subject.dataset, "protocol": cell.protocol,
        "split": SPLIT, "metric": cell.metric, "tta": cell.tta, "unit": unit, "value": 100 * interval.value,
        "low": 100 * interval.low, "high": 100 * interval.high, "confidence": confidence,
        "kind": interval.kind, "runs": runs,
    }  # fmt: skip


def _cells(runs: Sequence[Run], samples: pd.DataFrame) -> list[_Cell]:
    tested = runs[0].predictions.of_split(SPLIT).samples
    copies = runs[0].config["recipe"]["tta_copies"]
    cells = []
    for protocol in PROTOCOLS:
        if protocol == "clean" and not {"in_training", "in_public"} <= set(samples):
            continue
        rows = np.isin(tested, protocol_rows(samples, SPLIT, protocol))
        for augmented, tta in ((False, "none"), (True, f"{copies} random copies")):
            cells += [_Cell(protocol, metric, tta, rows, augmented) for metric in METRICS]
    return cells


def _by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    arms: dict[str, list[Run]] = {}
    for run in runs:
        arms.setdefault(run.arm, []).append(run)
    return arms


def _deviation(values: Sequence[float]) -> float | str:
    return float(np.std(values, ddof=1)) if len(values) > 1 else ""


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the configuration of a trained run") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    return config


def _check_same(first: Run, run: Run, folder: Path) -> None:
    ours, theirs = run.predictions, first.predictions
    columns = ((ours.samples, theirs.samples), (ours.splits, theirs.splits), (ours.targets, theirs.targets))
    if ours.classes != theirs.classes or not all(np.array_equal(*pair) for pair in columns):
        raise UserError(
            f"{folder / 'predictions.csv'}: other samples, targets or classes than {first.arm}, "
            f"seed {first.seed}; arms and seeds are compared on the same samples only, train them again"
        )
    if run.config["recipe"] != first.config["recipe"]:
        raise UserError(
            f"{folder / 'config.json'}: another recipe than {first.arm}, seed {first.seed}; "
            "arms are compared on equal terms only, train them again"
        )
