import numpy as np
import pandas as pd

from fer_repro.evaluation.answers import accuracy_by_factor, recall_table, worst_errors
from fer_repro.runs.folder import Run
from fer_repro.runs.predictions import Predictions


def predictions(splits, targets, logits):
    values = np.array(logits, float)
    samples = np.arange(len(targets))
    return Predictions(("a", "b"), samples, np.array(splits), np.array(targets), values, values)


def test_the_most_confident_mistakes_come_first():
    logits = [[3.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 9.0]]
    errors = worst_errors(predictions(["test", "test", "test", "val"], [0, 0, 1, 0], logits), 5)
    assert errors["sample"].tolist() == [2, 1]
    assert errors["predicted"].tolist() == ["a", "b"]
    assert errors["target"].tolist() == ["b", "a"]
    np.testing.assert_allclose(errors["probability"], [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))])


def test_recalls_keep_the_interval_of_one_seeds_images():
    counts = {"masked": np.array([[8, 2], [0, 0]])}  # mean of three seeds of the same ten images
    table = recall_table(counts, ["a", "b"], 0.95)
    np.testing.assert_allclose(
        table.iloc[0][["value", "low", "high"]].astype(float), [0.8, 0.4902, 0.9433], atol=1e-4
    )
    assert table.iloc[1][["value", "low", "high"]].isna().all()


def test_accuracy_by_factor_counts_each_test_image_once():
    samples = pd.DataFrame({"occluder": ["none", "none", "mask", "none"], "label": [0, 0, 1, 1]})
    runs = []
    for seed, wrong in enumerate((0, 1)):  # the second seed errs on the first sample
        logits = [[1 - wrong, wrong], [1, 0], [1, 0], [9, 0]]
        runs.append(Run("masked", seed, {}, predictions(["test"] * 3 + ["val"], [0, 0, 1, 1], logits)))
    table = accuracy_by_factor(runs, samples, "occluder", 0.95)
    assert table["class"].tolist() == ["none (2)", "mask (1)"]
    assert table["value"].tolist() == [0.75, 0.0]
    assert (table["low"] <= table["value"]).all()
    assert accuracy_by_factor(runs, samples, "light", 0.95).empty
