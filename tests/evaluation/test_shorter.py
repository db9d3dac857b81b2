"""Runs with half the epochs, as records keep them."""

import json

import numpy as np
import pandas as pd
import pytest
from judged import RECIPE, evidence_of, shorter_of

from fer_repro.config import HALF
from fer_repro.evaluation.evidence import CHOSEN
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
    assert found.recipe == {"head": "none", "epochs": 25, "model.width": 64, "max_train": 0}
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


def test_records_of_before_there_were_heads_have_none(tmp_path):
    write_record(tmp_path / "a", [row("masked", 0, 60.0)])
    (found,) = read_shorter(tmp_path)
    for head in ("none", "pgm"):
        evidence = evidence_of({"masked": np.ones((3, 9))}, recipe={**RECIPE, "head": head})
        assert found.fits(evidence) == (head == "none")


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


def test_arms_that_are_fitted_at_once_have_no_budget_of_epochs():
    """Between two of them nothing changes; beside a network the record is needed."""
    hits = {
        "published_order": np.ones((3, 8)),
        "zigzag_order": np.tile([1, 0], (3, 4)),
        "network": np.ones((3, 8)),
    }
    evidence = evidence_of(hits, method="benford", dataset="synthetic_resampled")
    found = movement(evidence, "published_order", "zigzag_order", [])
    assert (found.shorter, found.moved, found.rise) == (50.0, 0.0, 0.0)
    assert np.isnan(movement(evidence, "published_order", "network", []).moved)


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


def test_the_network_to_beat_is_chosen_without_the_test_part(tmp_path):
    """At both lengths, seed by seed, among the members alone."""
    scores = {name: np.tile([level, -level], (2, 4)) for name, level in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    validation = {"a": (90.0, 70.0), "b": (80.0, 75.0), "c": (99.0, 99.0)}
    changes = {"method": "efficientnet", "metric": "frame_auc", "dataset": "ffpp", "validation": validation}
    evidence = evidence_of(scores, np.tile([1, 0], 4), **changes).with_chosen(["a", "b"])
    assert evidence.arms[CHOSEN][:, 0].tolist() == [1.0, 2.0]
    assert evidence.validation[CHOSEN] == (90.0, 75.0)
    rows = [
        (name, "official", "frame_auc", "test", seed, "none", 10.0 * place + seed)
        for place, name in enumerate("abc")
        for seed in (0, 1)
    ]
    runs = [
        {"arm": name, "seed": seed, "validation_accuracy": accuracy}
        for name, both in {"a": (60.0, 50.0), "b": (61.0, 40.0), "c": (99.0, 99.0)}.items()
        for seed, accuracy in enumerate(both)
    ]
    write_record(tmp_path / "half", rows, method="efficientnet", dataset="ffpp", runs=runs)
    (record,) = read_shorter(tmp_path)
    assert record.by_seed(evidence, CHOSEN) == {0: 10.0, 1: 1.0}
    assert record.validated(evidence, CHOSEN) == {0: 61.0, 1: 50.0}
