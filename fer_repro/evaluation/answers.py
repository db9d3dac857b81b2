"""Which answers are right: class by class, by what else is known of the samples, and the worst mistakes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fer_repro.measures.classification import softmax
from fer_repro.measures.intervals import wilson_interval
from fer_repro.runs.folder import Run, by_arm
from fer_repro.runs.predictions import SPLIT, Predictions

_COLUMNS = ["arm", "class", "value", "low", "high"]


def recall_table(
    confusions: Mapping[str, np.ndarray], classes: Sequence[str], confidence: float
) -> pd.DataFrame:
    """Recall of each class, over seeds, with Wilson's interval for the test images of one seed.

    All seeds see the same test images, so the interval counts these once.

    Args:
        confusions: arm -> (K, K) counts, mean over seeds, row = true class.
        classes: names in index order.
        confidence: such as 0.95.

    Returns:
        ``arm``, ``class``, ``value``, ``low``, ``high``, all in [0, 1].
    """
    rows = []
    for arm, counts in confusions.items():
        for name, right, total in zip(classes, np.diag(counts), counts.sum(1), strict=True):
            value = right / total if total else np.nan
            rows.append([arm, name, value, *wilson_interval(right, total, confidence)])
    return pd.DataFrame(rows, columns=_COLUMNS)


def accuracy_by_factor(
    runs: Sequence[Run], samples: pd.DataFrame, factor: str, confidence: float
) -> pd.DataFrame:
    """Accuracy for each value of a factor, over seeds, with Wilson's interval for the test images.

    Args:
        runs: of all arms and seeds.
        samples: sample table; a factor it does not have gives an empty table.
        factor: one of its columns, of text.
        confidence: such as 0.95.

    Returns:
        ``arm``, ``class`` (value of the factor, number of images), ``value``, ``low``, ``high`` in [0, 1].
    """
    rows = []
    for arm, members in by_arm(runs).items() if factor in samples else ():
        tests = [run.predictions.of_split(SPLIT) for run in members]
        right = np.concatenate([test.logits.argmax(1) == test.targets for test in tests])
        places = np.concatenate([test.samples for test in tests])
        values = samples[factor].astype(str).iloc[places].reset_index(drop=True)
        for value, images in values.value_counts().items():
            total = int(images) / len(members)
            share = float(right[values == value].mean())
            bounds = wilson_interval(share * total, total, confidence)
            rows.append([arm, f"{value} ({total:.0f})", share, *bounds])
    return pd.DataFrame(rows, columns=_COLUMNS)


def worst_errors(predictions: Predictions, count: int) -> pd.DataFrame:
    """Pick the most confident mistakes among the test samples.

    Args:
        predictions: of one run.
        count: at most so many.

    Returns:
        ``sample``, ``target``, ``predicted`` (names) and ``probability``, most confident first.
    """
    test = predictions.of_split(SPLIT)
    probabilities, names = softmax(test.logits), np.asarray(test.classes)
    chosen = probabilities.argmax(1)
    table = pd.DataFrame(
        {
            "sample": test.samples,
            "target": names[test.targets],
            "predicted": names[chosen],
            "probability": probabilities.max(1),
        }
    )
    wrong = table[chosen != test.targets]
    order = wrong.sort_values(["probability", "sample"], ascending=[False, True])
    return order.head(count).reset_index(drop=True)
