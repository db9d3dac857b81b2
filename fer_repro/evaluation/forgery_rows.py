"""Result rows of manipulation runs and their ensembles, and the paper's table of all combinations."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.evaluation.ensembles import ensemble_name
from fer_repro.evaluation.forgery import (
    base_rate_metrics,
    describe_frames,
    forgery_measures,
    frame_logits,
)
from fer_repro.evaluation.row_form import (
    COLUMNS,
    INTERVAL_COLUMNS,
    SPLIT,
    BySeed,
    Quantity,
    Row,
    Subject,
    compare_by_seed,
    reference_row,
    value_rows,
)
from fer_repro.evaluation.run_files import Run, by_arm
from fer_repro.layers.ensemble import combinations

TABLE = ("frame_auc", "frame_log_loss", "video_auc", "video_log_loss")
"""The columns of the paper's table, each for frames and for videos."""
_PROTOCOL = "official"


def measure_forgeries(runs: Sequence[Run], samples: pd.DataFrame) -> dict[str, dict[str, BySeed]]:
    """Measure the test frames of every arm.

    Args:
        runs: from ``read_runs``, and ensembles of them.
        samples: the sample table.

    Returns:
        arm -> metric -> its numbers, see ``forgery_measures``.
    """
    frames = describe_frames(runs[0].predictions.of_split(SPLIT), samples)
    found = {}
    for arm, members in by_arm(runs).items():
        logits = [frame_logits(run.predictions.of_split(SPLIT)) for run in members]
        found[arm] = forgery_measures(np.stack(logits), frames)
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
        Rows with ``COLUMNS`` and intervals with ``INTERVAL_COLUMNS``; log losses in nats.
    """
    measured = measure_forgeries(runs, samples)
    constant = _base_rate(runs[0], samples)
    rows: list[Row] = []
    differences: list[Row] = []
    intervals: list[Row] = []
    for metric in next(iter(measured.values())):
        quantity = Quantity(_PROTOCOL, metric)
        arms = {arm: found[metric] for arm, found in measured.items()}
        for arm, members in by_arm(runs).items():
            values = dict(zip((run.seed for run in members), arms[arm].values.tolist(), strict=True))
            rows += value_rows(subject, quantity, arm, values, confidence, resamples)
        note = "every frame gets the training split's share of manipulated frames"
        rows.append(reference_row(subject, quantity, "base_rate", constant[metric], note))
        compared = compare_by_seed(subject, quantity, arms, control, confidence, resamples)
        differences += compared[0]
        intervals += compared[1]
    table = pd.DataFrame([*rows, *differences], columns=list(COLUMNS))
    return table, pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))


def ensemble_table(
    runs: Sequence[Run], samples: pd.DataFrame, control: str, members: Sequence[str]
) -> pd.DataFrame:
    """Lay out networks and ensembles as the paper's table does: the control first, then all combinations.

    Args:
        runs: single networks and ensembles.
        samples: the sample table.
        control: the network that stands in no ensemble.
        members: the networks that are combined, in the order of the paper's table.

    Returns:
        ``networks``, e.g. ``plain+attention``; for each single network whether it is among them; the columns
        of ``TABLE`` (means over seeds, AUC in [0, 1] as printed there, natural logarithms), each followed by
        its ``_deviation`` over seeds (n - 1, NaN for one); and ``runs``. An AUC of frames of one kind is NaN.
    """
    measured = measure_forgeries(runs, samples)
    papers = [ensemble_name(chosen) for chosen in combinations(members)]
    order = [arm for arm in dict.fromkeys([control, *papers, *measured]) if arm in measured]
    networks = [arm for arm in order if "+" not in arm]
    rows = []
    for arm in order:
        row: Row = {"networks": arm, **{name: name in arm.split("+") for name in networks}}
        for name in TABLE:
            values = measured[arm][name].values if name in measured[arm] else np.array([np.nan])
            row |= {
                name: values.mean(),
                f"{name}_deviation": values.std(ddof=1) if len(values) > 1 else np.nan,
            }
        rows.append({**row, "runs": len(by_arm(runs)[arm])})
    return pd.DataFrame(rows)


def _base_rate(run: Run, samples: pd.DataFrame) -> dict[str, float]:
    train = samples.loc[samples["split"] == "train", "label"].to_numpy()
    rate = float(np.clip(np.mean(train == 1), 1e-9, 1 - 1e-9))
    return base_rate_metrics(rate, describe_frames(run.predictions.of_split(SPLIT), samples))
