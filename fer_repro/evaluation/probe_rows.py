"""Result rows of probes: how often the label of a face is read in embeddings that are to hide it.

A lower share is better; the most frequent training label, which needs no embedding, is the lower limit.
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
from fer_repro.measures.intervals import mean_shares
from fer_repro.measures.probes import PROBES
from fer_repro.runs.folder import PairRun, by_arm

PROTOCOL = "official"
METRICS = {f"{kind}_probe": kind for kind in PROBES}
"""Metric -> column of a run's probes."""


def probe_hits(runs: Sequence[PairRun], kind: str) -> dict[str, np.ndarray]:
    """Return which test faces a probe reads rightly: arm -> (S, N) bool.

    Args:
        runs: from ``read_pair_runs``, with probes.
        kind: one of ``PROBES``.
    """
    return {
        arm: np.stack([(run.probes[kind] == run.probes["target"]).to_numpy() for run in members])
        for arm, members in by_arm(runs).items()
    }


def frequent_label(runs: Sequence[PairRun], samples: pd.DataFrame) -> float:
    """Return the share of test faces with the most frequent label of the training faces, in [0, 1]."""
    label = samples.loc[samples["split"] == "train", "label"].value_counts().idxmax()
    return float((runs[0].probes["target"] == label).mean())


def probe_groups(runs: Sequence[PairRun], samples: pd.DataFrame) -> np.ndarray | None:
    """Group the probed faces by person; see ``sample_groups``."""
    return sample_groups(samples, runs[0].probes["sample"].to_numpy())


def probe_rows(
    runs: Sequence[PairRun],
    samples: pd.DataFrame,
    subject: Subject,
    control: str,
    confidence: float,
    resamples: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the rows of every arm: seeds, means, the most frequent label, differences to the control.

    Args:
        runs: from ``read_pair_runs``; without probes there are no rows.
        samples: the sample table.
        subject: method and data set.
        control: the arm without the paper's idea.
        confidence: e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.

    Returns:
        Rows with ``COLUMNS`` and intervals with ``INTERVAL_COLUMNS``.
    """
    rows: list[Row] = []
    differences: list[Row] = []
    intervals: list[Row] = []
    for metric, kind in METRICS.items() if len(runs[0].probes) else ():
        quantity, groups = Quantity(PROTOCOL, metric), probe_groups(runs, samples)
        arms = {arm: BySeed(*mean_shares(hits), groups) for arm, hits in probe_hits(runs, kind).items()}
        for arm, members in by_arm(runs).items():
            values = dict(zip((run.seed for run in members), arms[arm].values.tolist(), strict=True))
            rows += value_rows(subject, quantity, arm, values, confidence, resamples)
        note = "always the most frequent training label"
        rows.append(reference_row(subject, quantity, "majority_class", frequent_label(runs, samples), note))
        compared = compare_by_seed(subject, quantity, arms, control, confidence, resamples)
        differences += compared[0]
        intervals += compared[1]
    table = pd.DataFrame([*rows, *differences], columns=list(COLUMNS))
    return table, pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))
