"""Result rows of verification runs: pair accuracy, AUC, equal error rate, TAR at FAR, and the ROC."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_repro.errors import UserError
from fer_repro.evaluation.row_form import (
    COLUMNS,
    INTERVAL_COLUMNS,
    BySeed,
    Quantity,
    Ranked,
    Row,
    Subject,
    compare_by_seed,
    difference_row,
    interval_row,
    reference_row,
    value_rows,
)
from fer_repro.measures.detection import auc_shares
from fer_repro.measures.intervals import (
    paired_difference,
    sample_interval,
    seed_interval,
)
from fer_repro.measures.verification import (
    auc,
    equal_error_rate,
    far_name,
    fold_accuracy,
    roc,
    tar_at_far,
)
from fer_repro.runs.folder import PairRun, by_arm
from fer_repro.runs.predictions import SPLIT

FARS = (0.1, 0.01, 0.001)
_VALIDATION = "val"


@dataclass(frozen=True)
class PairResult:
    """What one run scores on the test list.

    Attributes:
        values: metric -> value in [0, 1], ``pair_accuracy`` first; a FAR that cannot be measured has none.
        hits: (P,) bool, which pairs are judged correctly at their fold's threshold.
        folds: (P,) number of each pair's fold, 0 where there are none.
        accuracy_note: the threshold's origin, and the standard error over folds in points.
        remark: which FARs cannot be measured, or "".
    """

    values: dict[str, float]
    hits: np.ndarray
    folds: np.ndarray
    accuracy_note: str
    remark: str

    @property
    def units(self) -> np.ndarray:
        """What varies independently: accuracies of folds, or the hits of a list without folds."""
        if not _has_folds(self.folds):
            return self.hits.astype(np.float64)
        return np.array([self.hits[self.folds == fold].mean() for fold in np.unique(self.folds)])

    @property
    def protocol(self) -> str:
        """``ten_fold`` for ten folds, as in published rows; ``official`` for a list without folds."""
        count = len(np.unique(self.folds))
        return "official" if not _has_folds(self.folds) else "ten_fold" if count == 10 else f"{count}_folds"


def score_pairs(table: pd.DataFrame) -> PairResult:
    """Score one run on its test list.

    A list with folds gets the threshold of each fold from all others, one without from the validation list.

    Args:
        table: from ``read_pair_scores``.

    Raises:
        UserError: there is no test list, or it has no folds and there is no validation list.
    """
    test = table[table["list"] == SPLIT]
    if test.empty:
        raise UserError("pairs.csv holds no pair of the list 'test'; expected the list to be verified")
    scores, same, folds = (test[name].to_numpy() for name in ("score", "same", "fold"))
    accuracy, thresholds, note = _accuracy_rule(table, test)
    curve = roc(scores, same)
    read = [tar_at_far(curve, far) for far in FARS]
    values = {
        "pair_accuracy": accuracy,
        "auc": auc(curve),
        "equal_error_rate": equal_error_rate(curve),
        **{far_name(found.far): found.tar for found in read if found.measurable},
    }
    below = ", ".join(f"{found.far:g}" for found in read if not found.measurable)
    remark = f"FAR {below} cannot be measured with {curve.impostors} different pairs" if below else ""
    return PairResult(values, (scores >= thresholds) == same.astype(bool), folds, note, remark)


def _accuracy_rule(table: pd.DataFrame, test: pd.DataFrame) -> tuple[float, np.ndarray, str]:
    """Return the accuracy, each test pair's threshold, and where the threshold is from."""
    folds = test["fold"].to_numpy()
    if _has_folds(folds):
        found = fold_accuracy(test["score"].to_numpy(), test["same"].to_numpy(), folds)
        numbers = np.unique(folds)
        note = (
            f"each fold's threshold from the other {len(numbers) - 1}, "
            f"standard error over folds {100 * found.standard_error:.2f}"
        )
        return found.mean, found.thresholds[np.searchsorted(numbers, folds)], note
    val = table[table["list"] == _VALIDATION]
    if val.empty:
        raise UserError(
            "pairs.csv: the list 'test' has no folds and there is no list 'val': expected one of them, "
            "the threshold comes from other pairs"
        )
    both = pd.concat([val, test])
    part = np.repeat([0, 1], [len(val), len(test)])  # the test list's threshold is then the best outside it
    found = fold_accuracy(both["score"].to_numpy(), both["same"].to_numpy(), part)
    return float(found.accuracies[1]), np.full(len(test), found.thresholds[1]), "threshold from the val list"


def _has_folds(folds: np.ndarray) -> bool:
    return len(np.unique(folds)) > 1  # one fold has no others to take a threshold from


def measure_pairs(runs: Sequence[PairRun]) -> dict[str, dict[int, PairResult]]:
    """Score every run: arm -> seed -> result.

    Args:
        runs: from ``read_pair_runs``.
    """
    return {
        arm: {run.seed: score_pairs(run.pairs) for run in members} for arm, members in by_arm(runs).items()
    }


def pair_rows(
    runs: Sequence[PairRun], subject: Subject, control: str, confidence: float, resamples: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the rows of every arm: seeds, means, chance, differences to the control by seed and pair.

    Args:
        runs: from ``read_pair_runs``.
        subject: method and data set.
        control: the arm without the paper's idea.
        confidence: e.g. 0.95.
        resamples: of the bootstraps.

    Returns:
        Rows with ``COLUMNS``, and intervals with ``INTERVAL_COLUMNS``.
    """
    measured = measure_pairs(runs)
    first = next(iter(next(iter(measured.values())).values()))
    rows: list[Row] = []
    differences: list[Row] = []
    intervals: list[Row] = []
    for metric in first.values:
        quantity = Quantity(first.protocol, metric)
        for arm, results in measured.items():
            values = {seed: result.values[metric] for seed, result in results.items()}
            notes = {seed: _note(metric, result) for seed, result in results.items()}
            rows += value_rows(subject, quantity, arm, values, confidence, resamples, notes)
        rows.append(_chance_row(subject, quantity, runs[0].pairs))
        if metric == "pair_accuracy":
            compared = _compare_hits(subject, quantity, measured, control, confidence, resamples)
        else:
            by_seed = {arm: _by_seed(metric, members) for arm, members in by_arm(runs).items()}
            compared = compare_by_seed(subject, quantity, by_seed, control, confidence, resamples)
        differences += compared[0]
        intervals += compared[1]
    table = pd.DataFrame([*rows, *differences], columns=list(COLUMNS))
    return table, pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))


def _note(metric: str, result: PairResult) -> str:
    if metric == "pair_accuracy":
        return result.accuracy_note
    return result.remark if metric.startswith("tar_at_far") else ""


def _chance_row(subject: Subject, quantity: Quantity, pairs: pd.DataFrame) -> Row:
    """Score answers that do not depend on the faces: the more frequent answer, or random scores."""
    share = pairs.loc[pairs["list"] == SPLIT, "same"].mean()
    if quantity.metric == "pair_accuracy":
        return reference_row(
            subject, quantity, "chance", max(share, 1 - share), "always the more frequent answer"
        )
    fars = {far_name(far): far for far in FARS}
    value = fars.get(quantity.metric, 0.5)
    return reference_row(subject, quantity, "chance", value, "expected of random scores")


def _by_seed(metric: str, runs: Sequence[PairRun]) -> BySeed:
    """Gather one arm's seeds; of the area it is known what each pair adds to it."""
    tests = [run.pairs[run.pairs["list"] == SPLIT] for run in runs]
    if metric != "auc":
        return BySeed(np.array([score_pairs(run.pairs).values[metric] for run in runs]))
    scores = np.stack([test["score"].to_numpy() for test in tests])
    folds = tests[0]["fold"].to_numpy()
    same = tests[0]["same"].to_numpy(bool)
    return BySeed(*auc_shares(scores, same), folds if _has_folds(folds) else None, Ranked(scores, same))


def _compare_hits(
    subject: Subject,
    quantity: Quantity,
    measured: dict[str, dict[int, PairResult]],
    control: str,
    confidence: float,
    resamples: int,
) -> tuple[list[Row], list[Row]]:
    """Compare accuracies fold by fold, since folds share no people and pairs within one do."""
    rows, intervals = [], []
    first = next(iter(next(iter(measured.values())).values()))
    folds = np.arange(len(first.units)) if _has_folds(first.folds) else None
    units = {arm: np.stack([of.units for of in found.values()]) for arm, found in measured.items()}
    for arm, ours in units.items():
        over_seeds = seed_interval(
            ours.mean(1).tolist(), confidence, resamples, quantity.definition.interval_scale
        )
        over_units = sample_interval(ours, confidence, resamples, clusters=folds)
        for interval in (over_seeds, over_units):
            intervals.append(interval_row(subject, quantity, arm, interval, confidence, len(ours)))
        if arm == control or control not in units:
            continue
        name, gaps = f"{arm} - {control}", (ours - units[control]).mean(1).tolist()
        difference = paired_difference(ours, units[control], confidence, resamples, clusters=folds)
        intervals.append(interval_row(subject, quantity, name, difference, confidence, len(ours), True))
        # no McNemar's test: it takes pairs for independent, and several are of one person
        rows.append(difference_row(subject, quantity, name, difference, gaps, confidence, ""))
    return rows, intervals


def roc_points(runs: Sequence[PairRun]) -> pd.DataFrame:
    """List the corners of every run's ROC on the test list; straight lines between them give all of it.

    Args:
        runs: from ``read_pair_runs``.

    Returns:
        ``arm``, ``seed``, ``far``, ``tar``, both in [0, 1] and rising.
    """
    tables = []
    for run in runs:
        test = run.pairs[run.pairs["list"] == SPLIT]
        curve = roc(test["score"].to_numpy(), test["same"].to_numpy())
        steps = np.stack([np.diff(curve.far), np.diff(curve.tar)])
        turns = np.abs(steps[0, 1:] * steps[1, :-1] - steps[0, :-1] * steps[1, 1:]) > 0
        corners = np.concatenate([[True], turns, [True]])
        tables.append(
            pd.DataFrame(
                {"arm": run.arm, "seed": run.seed, "far": curve.far[corners], "tar": curve.tar[corners]}
            )
        )
    return pd.concat(tables, ignore_index=True)
