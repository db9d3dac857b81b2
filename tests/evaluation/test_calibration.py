import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from fer_repro.evaluation.calibration import calibrate, calibration_rows
from fer_repro.evaluation.row_form import Subject
from fer_repro.measures.calibration import fit_temperature
from fer_repro.runs.folder import Run
from fer_repro.runs.predictions import Predictions

SUBJECT = Subject("rmn", "2603.05937", "synthetic", "none", "a small note")


def draw(seed, count=400, classes=3, scale=1.0):
    """Logits whose own softmax draws the targets: calibrated, then scaled."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes))
    targets = np.array([rng.choice(classes, p=row) for row in softmax(logits, axis=1)])
    return targets, scale * logits


def run(arm, seed, scale, val=200, classes=3):
    targets, logits = draw(seed, 500, classes, scale)
    splits = np.array(["val"] * val + ["test"] * (500 - val))
    names = tuple(f"c{k}" for k in range(classes))
    return Run(
        arm, seed, {}, Predictions(names, np.arange(500), splits, targets, logits, softmax(logits, axis=1))
    )


def test_the_temperature_knows_the_validation_split_alone():
    first = run("masked", 0, 3.0)
    test = first.predictions.splits == "test"
    changed = Predictions(
        first.predictions.classes, first.predictions.samples, first.predictions.splits,
        np.where(test, 0, first.predictions.targets), first.predictions.logits,
        first.predictions.probabilities,
    )  # fmt: skip
    table = calibrate([first, Run("other", 0, {}, changed)])
    assert table["temperature"].iloc[0] == table["temperature"].iloc[1]
    assert table["ece"].iloc[0] != table["ece"].iloc[1]


def test_overconfident_networks_get_better_and_decide_the_same():
    runs = [run("masked", seed, 4.0) for seed in (0, 1)] + [run("mild", 0, 4.0, classes=2)]
    table = calibrate(runs)
    assert (table["temperature"] > 2).all()
    assert (table["ece_after"] < table["ece"]).all()
    assert (table["log_loss_after"] < table["log_loss"]).all()
    for each, row in zip(runs, table.itertuples(), strict=True):
        test = each.predictions.of_split("test")
        assert row.accuracy == pytest.approx(np.mean(test.logits.argmax(1) == test.targets))
        scaled = softmax(test.logits / row.temperature, axis=1)
        assert row.log_loss_after == pytest.approx(log_loss(test.targets, scaled))


def test_each_run_is_measured_with_its_own_temperature():
    runs = [run("masked", 0, 4.0), run("masked", 1, 0.5), run("mild", 0, 2.0, classes=2)]
    table = calibrate(runs)
    assert list(table) == [
        "arm", "seed", "temperature", "accuracy", "ece", "ece_after", "log_loss", "log_loss_after",
    ]  # fmt: skip
    assert table[["arm", "seed"]].to_numpy().tolist() == [["masked", 0], ["masked", 1], ["mild", 0]]
    for each, row in zip(runs, table.itertuples(), strict=True):
        val, test = each.predictions.of_split("val"), each.predictions.of_split("test")
        assert row.temperature == fit_temperature(val.targets, val.logits)
        for divisor, ece, loss in (
            (1, row.ece, row.log_loss),
            (row.temperature, row.ece_after, row.log_loss_after),
        ):
            shares = softmax(test.logits / divisor, axis=1)
            error = multiclass_calibration_error(
                torch.from_numpy(shares), torch.from_numpy(test.targets), shares.shape[1], 15, "l1"
            )
            assert ece == pytest.approx(float(error), abs=1e-6)
            assert loss == pytest.approx(log_loss(test.targets, shares))


def test_rows_in_percent_with_the_temperature_in_the_note():
    runs = [run("masked", seed, 4.0) for seed in (0, 1)]
    samples = pd.DataFrame({"split": ["train"] * 4, "label": [0, 0, 0, 1]})
    table = calibrate(runs)
    rows = pd.DataFrame(calibration_rows(table, runs[0], samples, SUBJECT, 0.95, 100)).set_index(
        ["metric", "arm", "seed"]
    )
    assert rows.loc[("ece", "masked", "1"), "value"] == pytest.approx(100 * table["ece"].iloc[1])
    mean = rows.loc[("ece_after_temperature", "masked", ""), "value"]
    assert mean == pytest.approx(100 * table["ece_after"].mean())
    note = rows.loc[("ece_after_temperature", "masked", "0"), "note"]
    assert note == f"temperature {table['temperature'].iloc[0]:.3g} fitted on val; a small note"
    assert rows.loc[("ece", "masked", "0"), "note"] == "a small note"
    assert set(rows["protocol"]) == {"official"}
    assert rows.index.tolist() == [
        *(("ece", "masked", seed) for seed in ("0", "1", "")),
        ("ece", "base_rate", ""),
        *(("ece_after_temperature", "masked", seed) for seed in ("0", "1", "")),
    ]
    said = rows.loc[("ece", "base_rate", ""), "note"]
    assert said == "every image gets the training split's shares of the classes"
    test = runs[0].predictions.of_split("test")
    expected = 100 * abs(0.75 - np.mean(test.targets == 0))
    assert rows.loc[("ece", "base_rate", ""), "value"] == pytest.approx(expected)


def test_runs_without_validation_are_left_out():
    table = calibrate([run("masked", 0, 1.0, val=0)])
    assert table.empty
    mixed = [run("masked", 0, 1.0, val=0), run("masked", 1, 1.0)]
    table = calibrate(mixed)
    assert table["seed"].tolist() == [1]
    assert list(calibrate([])) == list(table)
