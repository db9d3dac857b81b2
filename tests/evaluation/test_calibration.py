import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from fer_repro.evaluation.calibration import (
    BOUNDS,
    calibrate,
    calibration_rows,
    fit_temperature,
    log_likelihood_loss,
    reliability,
    reliability_table,
)
from fer_repro.evaluation.predict import Predictions
from fer_repro.evaluation.row_form import Subject
from fer_repro.evaluation.run_files import Run

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


def test_the_table_by_hand():
    # (0.6, right), (0.7, wrong), (1.0, right): with 5 bins 0.6 closes the third, 0.7 is in the fourth.
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [1.0, 0.0]])
    table = reliability_table(np.array([0, 0, 0]), probabilities, 5)
    assert table["count"].tolist() == [0, 0, 1, 1, 1]
    assert table["confidence"].tolist()[2:] == pytest.approx([0.6, 0.7, 1.0])
    assert table["accuracy"].tolist()[2:] == [1.0, 0.0, 1.0]
    assert table["accuracy"].isna().tolist() == [True, True, False, False, False]
    assert (table["low"].iloc[0], table["high"].iloc[-1]) == (0, 1)


def test_the_worked_example_of_the_sheet():
    confidence, hits = np.array([0.95, 0.91, 0.55, 0.62, 0.38, 0.99]), [1, 1, 0, 1, 0, 0]
    rest = (1 - confidence)[:, None] * np.array([[0.5, 0.5]])
    table = reliability_table(np.where(hits, 0, 1), np.hstack([confidence[:, None], rest]))
    gaps = (table["count"] * (table["accuracy"] - table["confidence"]).abs()).sum() / 6
    assert gaps == pytest.approx(0.39)


@pytest.mark.parametrize("classes", [2, 7])
def test_the_error_agrees_with_torchmetrics(classes):
    targets, logits = draw(3, classes=classes, scale=2.0)
    probabilities = softmax(logits, axis=1)
    table = reliability_table(targets, probabilities).dropna()
    gap = (table["count"] * (table["accuracy"] - table["confidence"]).abs()).sum() / len(targets)
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(targets), classes, 15, "l1"
    )
    assert gap == pytest.approx(float(expected), abs=1e-6)


def test_the_temperature_is_the_best_of_a_fine_grid():
    targets, logits = draw(0, scale=3.0)
    grid = np.arange(0.5, 6, 0.001)
    losses = [log_loss(targets, softmax(logits / t, axis=1)) for t in grid]
    found = fit_temperature(targets, logits)
    assert found == pytest.approx(grid[np.argmin(losses)], abs=1e-3)
    assert log_likelihood_loss(targets, logits, found) == pytest.approx(min(losses), abs=1e-6)
    assert log_likelihood_loss(targets, logits, found) < log_likelihood_loss(targets, logits)


def test_the_temperature_follows_the_scale_of_the_logits():
    targets, logits = draw(1)
    assert fit_temperature(targets, 5 * logits) == pytest.approx(
        5 * fit_temperature(targets, logits), rel=1e-4
    )
    assert fit_temperature(targets, logits) == pytest.approx(1, abs=0.15)  # they are calibrated


def test_logits_that_say_nothing_or_everything_stay_within_bounds():
    targets = np.array([0, 1, 0, 1])
    useless = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert fit_temperature(targets, useless) == pytest.approx(BOUNDS[1], rel=1e-2)
    assert BOUNDS[0] <= fit_temperature(targets, 5 * np.eye(2)[targets]) < 0.2


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


def test_reliability_pools_the_seeds_of_an_arm():
    runs = [run("masked", seed, 4.0) for seed in (0, 1)]
    table = reliability(runs, calibrate(runs))
    assert table.groupby("stage")["count"].sum().to_dict() == {"before": 600, "after": 600}
    gaps = {
        stage: (part["count"] * (part["accuracy"] - part["confidence"]).abs()).sum() / 600
        for stage, part in table.groupby("stage")
    }
    assert gaps["after"] < gaps["before"]


def test_rows_in_percent_with_the_temperature_in_the_note():
    runs = [run("masked", seed, 4.0) for seed in (0, 1)]
    samples = pd.DataFrame({"split": ["train"] * 4, "label": [0, 0, 0, 1]})
    table = calibrate(runs)
    rows = pd.DataFrame(calibration_rows(table, runs[0], samples, SUBJECT)).set_index(
        ["metric", "arm", "seed"]
    )
    assert rows.loc[("ece", "masked", "1"), "value"] == pytest.approx(100 * table["ece"].iloc[1])
    mean = rows.loc[("ece_after_temperature", "masked", ""), "value"]
    assert mean == pytest.approx(100 * table["ece_after"].mean())
    note = rows.loc[("ece_after_temperature", "masked", "0"), "note"]
    assert note == f"temperature {table['temperature'].iloc[0]:.3g} fitted on val; a small note"
    test = runs[0].predictions.of_split("test")
    expected = 100 * abs(0.75 - np.mean(test.targets == 0))
    assert rows.loc[("ece", "base_rate", ""), "value"] == pytest.approx(expected)


def test_runs_without_validation_are_left_out():
    table = calibrate([run("masked", 0, 1.0, val=0)])
    assert table.empty
    assert reliability([run("masked", 0, 1.0, val=0)], table).empty
