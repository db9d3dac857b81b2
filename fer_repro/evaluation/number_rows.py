"""Result rows of regressions: squared error, overall and at each true number, and rank correlation.

A squared error alone says little: where most true numbers are near their mean, the mean itself has a small
one. So the row of that constant answer, and a rank correlation, are beside every error.

Where all true numbers are equal they are distances to what is wanted: then there is neither an order nor a
constant answer, and the error is alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.evaluation.agreement import sample_groups
from fer_repro.evaluation.row_form import (
    COLUMNS,
    INTERVAL_COLUMNS,
    BySeed,
    Quantity,
    Row,
    Subject,
    compare_by_seed,
    reference_row,
    value_rows,
)
from fer_repro.measures.regression import spearman_shares, squared_error_shares
from fer_repro.runs.folder import NumberRun, by_arm
from fer_repro.runs.predictions import SPLIT

PROTOCOL = "official"
CONSTANT = "training_mean"
"""The name of the answer that needs no network, in place of an arm."""
_MOST = 12  # more true numbers have no row of their own


def measure_numbers(runs: Sequence[NumberRun], samples: pd.DataFrame) -> dict[str, dict[str, BySeed]]:
    """Measure the test samples of every arm.

    Args:
        runs: from ``read_number_runs``.
        samples: the sample table; predictions name its rows.

    Returns:
        arm -> ``mse``, ``spearman`` where true numbers differ, and ``mse_0_33`` of the samples whose true
        number is 0.33 -> its values.
    """
    test = runs[0].predictions.of_split(SPLIT)
    groups = sample_groups(samples, test.samples)
    found = {}
    for arm, members in by_arm(runs).items():
        values = np.stack([run.predictions.of_split(SPLIT).values for run in members])
        found[arm] = number_measures(values, test.targets, groups)
    return found


def number_measures(
    values: np.ndarray, targets: np.ndarray, groups: np.ndarray | None = None
) -> dict[str, BySeed]:
    """Measure predictions (S, N) of numbers (N,); see ``measure_numbers``.

    Where all samples of a number are of one group nothing is known about other samples, and its intervals
    are over seeds alone.
    """
    found = {"mse": _by_seed(*squared_error_shares(values, targets), groups)}
    levels = np.unique(targets)
    if len(levels) > 1:
        found["spearman"] = _by_seed(*spearman_shares(values, targets), groups)
    for level in levels if 1 < len(levels) <= _MOST else ():
        part = targets == level
        own = None if groups is None else groups[part]
        name = f"mse_{level:g}".replace(".", "_")
        found[name] = _by_seed(*squared_error_shares(values[:, part], targets[part]), own)
    return found


def _by_seed(values: np.ndarray, shares: np.ndarray, groups: np.ndarray | None) -> BySeed:
    independent = shares.shape[1] if groups is None else len(np.unique(groups))
    return BySeed(values, shares if independent > 1 else None, groups)


def number_rows(
    runs: Sequence[NumberRun],
    samples: pd.DataFrame,
    subject: Subject,
    control: str,
    constant: float,
    confidence: float,
    resamples: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the rows of every arm: seeds, means, the constant answer, differences to the control.

    Args:
        runs: from ``read_number_runs``.
        samples: the sample table.
        subject: method and data set.
        control: the arm without the paper's idea.
        constant: the mean of the training targets.
        confidence: e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.

    Returns:
        Rows with ``COLUMNS`` and intervals with ``INTERVAL_COLUMNS``.
    """
    measured = measure_numbers(runs, samples)
    targets = runs[0].predictions.of_split(SPLIT).targets
    answers = number_measures(np.full((1, len(targets)), constant), targets)
    rows: list[Row] = []
    differences: list[Row] = []
    intervals: list[Row] = []
    note = f"every sample gets the mean of the training split, {constant:.4f}"
    for metric in next(iter(measured.values())):
        quantity = Quantity(PROTOCOL, metric)
        arms = {arm: found[metric] for arm, found in measured.items()}
        for arm, members in by_arm(runs).items():
            values = dict(zip((run.seed for run in members), arms[arm].values.tolist(), strict=True))
            rows += value_rows(subject, quantity, arm, values, confidence, resamples)
        if np.ptp(targets) > 0:
            rows.append(reference_row(subject, quantity, CONSTANT, float(answers[metric].values[0]), note))
        compared = compare_by_seed(subject, quantity, arms, control, confidence, resamples)
        differences += compared[0]
        intervals += compared[1]
    table = pd.DataFrame([*rows, *differences], columns=list(COLUMNS))
    return table, pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))


def training_mean(samples: pd.DataFrame, levels: np.ndarray) -> float:
    """Average the true numbers of the training split.

    Args:
        samples: the sample table.
        levels: the number of each class, see ``fer_repro.loading.split.level_values``.
    """
    return float(levels[samples.loc[samples["split"] == "train", "label"].to_numpy()].mean())


def predicted_numbers(runs: Sequence[NumberRun]) -> pd.DataFrame:
    """List what every run predicts for the test part: arm, seed, sample, target, prediction."""
    parts = [(run, run.predictions.of_split(SPLIT)) for run in runs]
    tables = [
        pd.DataFrame(
            {
                "arm": run.arm,
                "seed": run.seed,
                "sample": test.samples,
                "target": test.targets,
                "prediction": test.values,
            }
        )
        for run, test in parts
    ]
    return pd.concat(tables, ignore_index=True)
