"""The calibration of runs: expected calibration error, temperature (arXiv:1706.04599).

The numbers are those of ``fer_repro.measures.calibration``. The temperature is fitted on the validation split
alone. AdaCos bounds its probabilities from above: its networks are under-confident by construction.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.evaluation.row_form import Quantity, Row, Subject, reference_row, value_rows
from fer_repro.measures.calibration import BINS, fit_temperature, log_likelihood_loss
from fer_repro.measures.classification import accuracy, expected_calibration_error, softmax
from fer_repro.runs.folder import Run
from fer_repro.runs.predictions import SPLIT

_VALIDATION = "val"


def calibrate(runs: Sequence[Run]) -> pd.DataFrame:
    """Fit each run's temperature on its validation split and measure its test split before and after.

    Args:
        runs: from ``read_runs``, and ensembles of them; those without validation samples are left out.

    Returns:
        One row per run: ``arm``, ``seed``, ``temperature``; ``accuracy``, ``ece`` and ``log_loss`` of the
        test split, ``ece_after`` and ``log_loss_after`` with the temperature. Shares are in [0, 1], losses in
        nats.
    """
    rows = []
    for run in runs:
        val, test = run.predictions.of_split(_VALIDATION), run.predictions.of_split(SPLIT)
        if not len(val.targets):
            continue
        temperature = fit_temperature(val.targets, val.logits)
        row: Row = {"arm": run.arm, "seed": run.seed, "temperature": temperature}
        row["accuracy"] = accuracy(test.targets, test.logits.argmax(1))
        for suffix, divisor in (("", 1.0), ("_after", temperature)):
            probabilities = softmax(test.logits / divisor)
            row[f"ece{suffix}"] = expected_calibration_error(test.targets, probabilities, BINS)
            row[f"log_loss{suffix}"] = log_likelihood_loss(test.targets, test.logits, divisor)
        rows.append(row)
    columns = ["arm", "seed", "temperature", "accuracy", "ece", "ece_after", "log_loss", "log_loss_after"]
    return pd.DataFrame(rows, columns=columns)


def calibration_rows(
    calibration: pd.DataFrame,
    run: Run,
    samples: pd.DataFrame,
    subject: Subject,
    confidence: float,
    resamples: int,
    protocol: str = "official",
) -> list[Row]:
    """Make result rows ``ece`` and ``ece_after_temperature``: seeds, means, and the base rate's.

    Args:
        calibration: from ``calibrate``.
        run: any of the runs, for the test split's targets.
        samples: the sample table.
        subject: method and data set.
        confidence: of the means' intervals, e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.
        protocol: which samples the runs' test part has.
    """
    rows: list[Row] = []
    for metric, column in (("ece", "ece"), ("ece_after_temperature", "ece_after")):
        quantity = Quantity(protocol, metric)
        for arm, part in calibration.groupby("arm", sort=False):
            values = dict(zip(part["seed"].tolist(), part[column].tolist(), strict=True))
            notes = None if metric == "ece" else _notes(part)
            rows += value_rows(subject, quantity, str(arm), values, confidence, resamples, notes)
        if metric == "ece" and protocol == "official":
            rows.append(_base_rate_row(subject, quantity, run, samples))
    return rows


def _notes(part: pd.DataFrame) -> dict[int, str]:
    found = zip(part["seed"].tolist(), part["temperature"].tolist(), strict=True)
    return {seed: f"temperature {value:.3g} fitted on val" for seed, value in found}


def _base_rate_row(subject: Subject, quantity: Quantity, run: Run, samples: pd.DataFrame) -> Row:
    targets = run.predictions.of_split(SPLIT).targets
    train = samples.loc[samples["split"] == "train", "label"].to_numpy()
    counts = np.bincount(train)
    value = abs(counts.max() / len(train) - float(np.mean(targets == counts.argmax())))
    note = "every image gets the training split's shares of the classes"
    return reference_row(subject, quantity, "base_rate", value, note)
