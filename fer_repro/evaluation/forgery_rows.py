"""Result rows of manipulation runs and their ensembles, and the paper's table of all combinations."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.evaluation.forgery import (
    base_rate_metrics,
    describe_frames,
    forgery_metrics,
    frame_logits,
)
from fer_repro.evaluation.row_form import (
    COLUMNS,
    INTERVAL_COLUMNS,
    SPLIT,
    Quantity,
    Row,
    Subject,
    compare_by_seed,
    reference_row,
    value_rows,
)
from fer_repro.evaluation.run_files import Run
from fer_repro.layers.ensemble import combinations
from fer_repro.methods.efficientnet import ENSEMBLE

TABLE = ("frame_auc", "frame_log_loss", "video_auc", "video_log_loss")
"""The columns of the paper's table, each for frames and for videos."""
_PROTOCOL = "official"

Measured = dict[str, dict[int, dict[str, float]]]


def measure_forgeries(runs: Sequence[Run], samples: pd.DataFrame) -> Measured:
    """Compute ``forgery_metrics`` of the test frames of every run.

    Args:
        runs: from ``read_runs``, and ensembles of them.
        samples: the sample table.

    Returns:
        arm -> seed -> metric -> value; a metric that is not defined (one kind only) is left out.
    """
    frames = describe_frames(runs[0].predictions.of_split(SPLIT), samples)
    found: Measured = {}
    for run in runs:
        numbers = forgery_metrics(frame_logits(run.predictions.of_split(SPLIT)), frames)
        kept = {name: value for name, value in numbers.items() if np.isfinite(value)}
        found.setdefault(run.arm, {})[run.seed] = kept
    return found


def forgery_rows(
    runs: Sequence[Run],
    samples: pd.DataFrame,
    subject: Subject,
    control: str,
    confidence: float,
    resamples: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the rows of every network and ensemble: seeds, means, the base rate, differences to the control.

    Args:
        runs: from ``read_runs``, and ensembles of them.
        samples: the sample table.
        subject: method and data set.
        control: the arm without the paper's idea.
        confidence: e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.

    Returns:
        Rows with ``COLUMNS`` and intervals with ``INTERVAL_COLUMNS``; log losses in nats, unit points as
        published.
    """
    measured = measure_forgeries(runs, samples)
    constant = _base_rate(runs[0], samples)
    rows: list[Row] = []
    differences: list[Row] = []
    intervals: list[Row] = []
    for metric in next(iter(next(iter(measured.values())).values())):
        quantity = Quantity(_PROTOCOL, metric, unit="points" if "log_loss" in metric else "%")
        values = {arm: {seed: of[metric] for seed, of in seeds.items()} for arm, seeds in measured.items()}
        for arm, by_seed in values.items():
            rows += value_rows(subject, quantity, arm, by_seed)
        note = "every frame gets the training split's share of manipulated frames"
        rows.append(reference_row(subject, quantity, "base_rate", constant[metric], note))
        compared = compare_by_seed(
            subject,
            quantity,
            {arm: list(by_seed.values()) for arm, by_seed in values.items()},
            control,
            confidence,
            resamples,
        )
        differences += compared[0]
        intervals += compared[1]
    table = pd.DataFrame([*rows, *differences], columns=list(COLUMNS))
    return table, pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))


def ensemble_table(runs: Sequence[Run], samples: pd.DataFrame, control: str) -> pd.DataFrame:
    """Lay out networks and ensembles as the paper's table does: the control first, then all combinations.

    Args:
        runs: single networks and ensembles.
        samples: the sample table.
        control: the network that stands in no ensemble.

    Returns:
        ``networks``, the columns of ``TABLE`` (means over seeds, AUC in [0, 1] as printed there, natural
        logarithms), each followed by its ``_deviation`` over seeds (n - 1, NaN for one), and ``runs``.
    """
    measured = measure_forgeries(runs, samples)
    papers = ["+".join(members) for members in combinations(ENSEMBLE)]
    order = [arm for arm in dict.fromkeys([control, *papers, *measured]) if arm in measured]
    rows = []
    for arm in order:
        seeds = pd.DataFrame(list(measured[arm].values())).reindex(columns=list(TABLE))
        row: Row = {"networks": arm}
        for name in TABLE:
            row |= {name: seeds[name].mean(), f"{name}_deviation": seeds[name].std(ddof=1)}
        rows.append({**row, "runs": len(seeds)})
    return pd.DataFrame(rows)


def _base_rate(run: Run, samples: pd.DataFrame) -> dict[str, float]:
    train = samples.loc[samples["split"] == "train", "label"].to_numpy()
    rate = float(np.clip(np.mean(train == 1), 1e-9, 1 - 1e-9))
    return base_rate_metrics(rate, describe_frames(run.predictions.of_split(SPLIT), samples))
