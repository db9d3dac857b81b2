"""What was measured of a run, for its card: metrics with intervals, calibration, groups."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.config import DATA_DIGESTS
from fer_repro.figures.result_files import read_rows
from fer_repro.files import file_sha256
from fer_repro.measures.calibration import BINS, fit_temperature
from fer_repro.measures.classification import expected_calibration_error, recalls, softmax
from fer_repro.runs.folder import read_run_config, rest_on
from fer_repro.runs.predictions import Predictions, read_predictions

_METRICS = ("accuracy", "mean_class_accuracy", "macro_f1", "auc", "log_loss", "pair_accuracy", "eer")
THIRDS = ("age", "femininity", "skin_tone")  # of people; numbers, shown by thirds
FEWEST = 5  # samples of a group that is shown
MOST_VALUES = 8
MARKS = ("pose_30", "pose_45", "occlusion")  # numbers that name groups; texts always do
_OF_THE_TABLE = ("image", "label", "subject", "clip", "split", "file", "fold", "frame", "part", "original")


def run_metrics(run: Path) -> dict[str, dict[str, float]]:
    """Read the test numbers of a run's metrics.json: split -> metric -> value."""
    path = run / "metrics.json"
    if not path.is_file():
        return {}
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {name: part for name, part in values.items() if isinstance(part, dict)}


def intervals(run: Path, folder: Path) -> list[dict[str, Any]]:
    """Read the intervals of a run's arm: means over seeds, with the kind of interval.

    Args:
        run: its folder.
        folder: usually ``results/measured/<data set>/<method>``; results of other runs of that name are left
            out, and a line on stderr reports it.

    Returns:
        metric, tta, unit, value, low, high, confidence, kind, runs; without ``low`` and ``high`` where one
        seed gives no interval.
    """
    path = folder / "intervals.csv"
    if not path.is_file() or not (folder / "rows.csv").is_file():
        return []
    if not rest_on(read_rows(folder / "rows.csv"), run):
        print(
            f"note: {folder}: holds results of another run than {run}, which were left out; run "
            "`fer-repro evaluate` for those of this one",
            file=sys.stderr,
            flush=True,
        )
        return []
    table = pd.read_csv(path, keep_default_na=False, na_values={"low": "", "high": ""})
    rows = table[(table["arm"] == run.name) & (table["protocol"] == "official") & (table["split"] == "test")]
    columns = ["metric", "tta", "unit", "value", "low", "high", "confidence", "kind", "runs"]
    found: list[dict[str, Any]] = rows[columns].to_dict("records")  # type: ignore[assignment]
    return [{name: value for name, value in each.items() if value == value} for each in found]


def calibration(run: Path) -> dict[str, float]:
    """Fit a temperature on the validation split; errors of the test split before and after, in [0, 1]."""
    path = run / "predictions.csv"
    if not path.is_file():
        return {}
    predictions = read_predictions(path)
    val, test = predictions.of_split("val"), predictions.of_split("test")
    if not len(val.targets) or not len(test.targets):
        return {}
    temperature = fit_temperature(val.targets, val.logits)
    before, after = (
        expected_calibration_error(test.targets, softmax(test.logits / divisor), BINS)
        for divisor in (1.0, temperature)
    )
    return {"temperature": temperature, "ece": before, "ece_with_temperature": after}


def groups(run: Path, samples: Path) -> list[dict[str, Any]]:
    """Measure the accuracy of the test split class by class, and by every known factor of the samples.

    Args:
        run: its folder.
        samples: the sample table of its data set; may be missing.

    Returns:
        factor, value, samples, accuracy in [0, 1] (of a class: its recall).
    """
    path = run / "predictions.csv"
    if not path.is_file():
        return []
    test = read_predictions(path).of_split("test")
    found = _of_classes(test)
    if samples.is_file() and _is_of(run, samples):
        table = pd.read_csv(samples, keep_default_na=False, low_memory=False).iloc[test.samples]
        hits = test.logits.argmax(1) == test.targets
        for name in table.columns:
            if name not in _OF_THE_TABLE:
                found += _of_factor(name, table[name].reset_index(drop=True), hits)
    return found


def _is_of(run: Path, samples: Path) -> bool:
    """Whether a run was trained on this sample table; prints a note on stderr where it was another one."""
    known = read_run_config(run).get(DATA_DIGESTS, {}).get("samples")
    same = known in (None, file_sha256(samples))
    if not same:
        print(
            f"note: {samples}: replaced since {run} was trained; accuracies of its groups are left out",
            file=sys.stderr,
            flush=True,
        )
    return same


def _of_classes(test: Predictions) -> list[dict[str, Any]]:
    counts = np.bincount(test.targets, minlength=len(test.classes))
    shares = recalls(test.targets, test.logits.argmax(1), len(test.classes))
    return [
        {"factor": "class", "value": name, "samples": int(count), "accuracy": float(share)}
        for name, count, share in zip(test.classes, counts, shares, strict=True)
        if count
    ]


def _of_factor(name: str, values: pd.Series, hits: np.ndarray) -> list[dict[str, Any]]:
    """Split by a text of few values, a mark, or thirds of a person's number; else nothing."""
    if name in THIRDS and pd.api.types.is_numeric_dtype(values) and values.nunique() >= 3:
        cut = values.quantile([1 / 3, 2 / 3]).to_numpy()
        words = np.array(["lowest third", "middle third", "highest third"])
        values = pd.Series(words[np.searchsorted(cut, values.to_numpy())])
    elif name not in MARKS and (pd.api.types.is_numeric_dtype(values) or values.nunique() > MOST_VALUES):
        return []
    found = [
        {"factor": name, "value": str(value), "samples": len(rows), "accuracy": float(hits[rows].mean())}
        for value, rows in values.groupby(values).indices.items()
        if len(rows) >= FEWEST
    ]
    return found if len(found) > 1 else []


def chosen_metrics(metrics: Mapping[str, Mapping[str, float]], split: str = "test") -> dict[str, float]:
    """Keep the metrics a card shows, of one split."""
    part = metrics.get(split, {})
    return {name: part[name] for name in _METRICS if name in part}
