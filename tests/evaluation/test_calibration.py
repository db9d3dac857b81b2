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
    assert list(table) == ["bin", "low", "high", "confidence", "accuracy", "count"]
    assert table["bin"].tolist() == [1, 2, 3, 4, 5]
    assert table["low"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert table["high"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert table["confidence"].isna().tolist() == [True, True, False, False, False]
    both = reliability_table(np.array([0, 1]), np.array([[0.65, 0.35], [0.75, 0.25]]), 5)
    assert both.loc[3, ["confidence", "accuracy", "count"]].tolist() == pytest.approx([0.7, 0.5, 2])
    assert len(reliability_table(np.array([0]), np.array([[0.9, 0.1]]))) == 15
    nothing = reliability_table(np.array([0]), np.zeros((1, 2)), 4)  # below every bin counts to the first
    assert nothing["count"].tolist() == [1, 0, 0, 0]


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
    shown = reliability(runs, table)
    assert list(shown) == ["arm", "stage", "bin", "low", "high", "confidence", "accuracy", "count"]
    assert shown.index.tolist() == list(range(4 * 15))
    assert shown["arm"].tolist() == ["masked"] * 30 + ["mild"] * 30
    assert shown["stage"].tolist() == (["before"] * 15 + ["after"] * 15) * 2
    tests = [each.predictions.of_split("test") for each in runs[:2]]
    for stage, divisors in (("before", (1, 1)), ("after", table["temperature"][:2])):
        shares = np.concatenate([softmax(t.logits / d, axis=1) for t, d in zip(tests, divisors, strict=True)])
        mine = shown[(shown["arm"] == "masked") & (shown["stage"] == stage)].set_index("bin")
        sure, right = shares.max(1), shares.argmax(1) == np.concatenate([t.targets for t in tests])
        for number in range(1, 16):
            inside = (sure > (number - 1) / 15) & (sure <= number / 15)
            assert mine.loc[number, "count"] == inside.sum()
            if inside.any():
                assert mine.loc[number, "confidence"] == pytest.approx(sure[inside].mean())
                assert mine.loc[number, "accuracy"] == pytest.approx(right[inside].mean())


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
    assert reliability([run("masked", 0, 1.0, val=0)], table).empty
    mixed = [run("masked", 0, 1.0, val=0), run("masked", 1, 1.0)]
    table = calibrate(mixed)
    assert table["seed"].tolist() == [1]
    assert reliability(mixed, table)["count"].sum() == 2 * 300
    assert list(calibrate([])) == list(table)
    assert reliability([], table).empty
