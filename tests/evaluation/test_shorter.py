"""Runs with half the epochs, as records keep them."""

import json

import numpy as np
import pandas as pd
import pytest
from judged import RECIPE, evidence_of, shorter_of

from fer_repro.config import HALF
from fer_repro.evaluation.shorter import movement, read_shorter

COLUMNS = ("arm", "protocol", "metric", "split", "seed", "tta", "value")


def write_record(folder, rows, half=True, **changes):
    folder.mkdir()
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "rows.csv", index=False)
    record = {
        HALF: half, "method": "rmn", "dataset": "fer2013", "recipe": {"epochs": 25, "model": {"width": 64}},
        "data": {"max_train": 0}, "runs": [{"arm": "masked", "seed": 0, "validation_accuracy": 61.5}],
        **changes,
    }  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))


def row(arm, seed, value, tta="none", protocol="official"):
    return (arm, protocol, "accuracy", "test", seed, tta, value)


def test_only_records_of_half_the_epochs_are_read(tmp_path):
    write_record(tmp_path / "a", [row("masked", 0, 60.0)])
    write_record(tmp_path / "b", [row("masked", 0, 60.0)], half=False)
    (found,) = read_shorter(tmp_path)
    assert found.recipe == {"epochs": 25, "model.width": 64, "max_train": 0}
    assert found.validation == {"masked": {0: 61.5}}
    assert found.fits(evidence_of({"masked": np.ones((3, 9))}))
    assert read_shorter(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"epochs": 25, "model": {"width": 32}}},
        {"recipe": {"epochs": 24, "model": {"width": 64}}},
        {"data": {"max_train": 900}},
        {"dataset": "ferplus"},
        {"method": "ran"},
    ],
)
def test_another_setup_does_not_fit(tmp_path, changes):
    write_record(tmp_path / "a", [row("masked", 0, 60.0)], **changes)
    assert not read_shorter(tmp_path)[0].fits(evidence_of({"masked": np.ones((3, 9))}))


def test_only_rows_of_the_place_and_of_single_seeds_count(tmp_path):
    rows = [
        row("masked", 0, 60.0),
        row("masked", 1, 62.0),
        row("masked", "", 61.0),
        row("masked", 0, 63.0, tta="random"),
        row("masked", 0, 50.0, protocol="occlusion"),
        row("no_mask", 0, 58.0),
    ]
    write_record(tmp_path / "a", rows)
    (found,) = read_shorter(tmp_path)
    evidence = evidence_of({"masked": np.ones((3, 9))})
    assert found.by_seed(evidence, "masked") == {0: 60.0, 1: 62.0}
    augmented = evidence_of({"masked": np.ones((3, 9))}, augmented=True)
    assert found.by_seed(augmented, "masked") == {0: 63.0}


def test_movement_is_paired_by_seed():
    hits = {"masked": np.tile([1, 1, 1, 0], (3, 5)), "no_mask": np.tile([1, 0, 1, 0], (3, 5))}
    evidence = evidence_of(hits, validation={"masked": (70.0, 71.0, 72.0), "no_mask": (60.0,) * 3})
    record = shorter_of(evidence, {"masked": -5.0}, rise=2.5)
    found = movement(evidence, "masked", "no_mask", [record])
    assert (found.shorter, found.moved, found.rise) == pytest.approx((20.0, 5.0, 2.5))
    two = shorter_of(evidence, seeds=(0, 1))
    assert np.isnan(movement(evidence, "masked", "no_mask", [two]).moved)  # headline and control need three
    assert movement(evidence, "masked", "sigmoid_mask", []).moved != 0


def test_lower_losses_are_gains():
    scores = {"plain": np.tile([3.0, -3.0], (3, 4)), "attention": np.tile([1.0, -1.0], (3, 4))}
    changes = {
        "method": "efficientnet", "metric": "frame_log_loss", "dataset": "ffpp",
        "recipe": {**RECIPE, "epochs": 8},
    }  # fmt: skip
    evidence = evidence_of(scores, np.tile([1, 0], 4), **changes)
    record = shorter_of(evidence, {"plain": 0.1})  # with half the epochs its loss was higher
    found = movement(evidence, "plain", "attention", [record])
    assert found.moved == pytest.approx(0.1)
    assert found.shorter > 0


def test_arms_that_combine_others_have_no_validation():
    hits = {"masked": np.ones((3, 8)), "no_mask": np.tile([1, 0], (3, 4))}
    evidence = evidence_of(hits, validation={})
    record = shorter_of(evidence_of(hits))
    assert movement(evidence, "masked", "no_mask", [record]).rise == 0.0
