"""Who a network is worse for: accuracies, gaps and chance, against loops over answers that the test gives."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from untrained_runs import write_images, write_untrained

from fer_repro.config import DATA_DIGESTS, run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation.group_gaps import (
    faces_of_groups,
    gap_sentence,
    gaps_of_runs,
    group_gaps,
    ratio_changes,
    ratio_correlations,
    store_of_run,
)
from fer_repro.runs.predictions import Predictions, write_predictions

PEOPLE, FACES = 24, 4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An untrained run whose answers are given: wrong for half of the faces of people with glasses."""
    root = Path(tmp_path_factory.mktemp("gaps"))
    person = np.repeat(np.arange(PEOPLE), FACES)
    samples = pd.DataFrame(
        {
            "label": np.arange(PEOPLE * FACES) % 2,
            "subject": [f"s{n:02}" for n in person],
            "clip": "",
            "split": np.where(person < 8, "train", "test"),
            "tone": person / 7,
            "glasses": np.where(person % 2, "yes", "no"),
            "mood": np.where(person == 23, "odd", np.where(person % 4 < 2, "good", "bad")),
        }
    )
    store = write_images(root / "prepared/synthetic", samples, ("a", "b"))
    write_untrained(root / "runs", "inside_bias", "synthetic", "balanced", 0, 2)
    folder = run_folder(root / "runs", "synthetic", "inside_bias", 0, "balanced")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {DATA_DIGESTS: store.digests}))
    rows = np.flatnonzero(samples["split"] == "test")
    wrong = (samples["glasses"] == "yes").to_numpy()[rows] & (rows % 4 < 2)
    targets = samples["label"].to_numpy()[rows]
    logits = np.where((targets == 0) != wrong, 1.0, -1.0)[:, None] * [[1.0, -1.0]]
    given = Predictions(("a", "b"), rows, np.full(len(rows), "test"), targets, logits, logits * 0 + 0.5)
    write_predictions(folder / "predictions.csv", given, augmented=False)
    return folder, store


def test_the_worst_group_is_named_with_its_gap(place):
    found = group_gaps(*place, "glasses", 0.95, permutations=99)
    assert found.table["group"].tolist() == ["yes", "no"]
    worst = found.table.iloc[0]
    assert (worst["samples"], worst["people"], worst["accuracy"]) == (32, 8, 0.5)
    assert (found.gap, worst["gap"]) == (0.5, -0.5)
    assert worst["gap low"] == worst["gap high"] == pytest.approx(-0.5)  # all people of a group are alike
    assert found.p == pytest.approx(1 / 100)
    said = gap_sentence(found, "faces")
    assert "worst for faces of the group yes (50.0% right)" in said
    assert "chance seldom does this" in said


def test_chance_explains_groups_that_do_not_matter(place):
    found = group_gaps(*place, "mood", 0.95, permutations=99)
    assert found.left_out == {"odd": 4}
    assert found.p > 0.3
    assert "chance can explain it" in gap_sentence(found, "faces")
    assert "Too few to be measured: odd (4)" in gap_sentence(found, "faces")


def test_activations_have_one_group_at_the_top(place):
    table = group_gaps(*place, "glasses", 0.95, permutations=9).activations
    assert set(table.groupby("layer")["ratio"].max()) == {1.0}
    assert table["ratio"].between(0, 1).all()
    assert table["layer"].iloc[0] == "16 x 16"


def test_small_groups_and_other_tasks_are_refused(place):
    folder, store = place
    with pytest.raises(UserError, match=r"no: 32, yes: 32; expected two groups with at least 40 each"):
        group_gaps(folder, store, "glasses", 0.95, least=40)
    with pytest.raises(UserError, match="no column 'glass'; did you mean 'glasses'"):
        group_gaps(folder, store, "glass", 0.95)
    config = json.loads((folder / "config.json").read_text())
    other = folder.with_name("other")
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config | {"task": "verification"}))
    with pytest.raises(UserError, match="was trained for verification: expected a run that predicts classes"):
        group_gaps(other, store, "glasses", 0.95)


def test_the_store_of_a_run_is_found(place):
    folder, store = place
    assert store_of_run(folder, store.folder.parent).digest == store.digest
    faces = faces_of_groups(store, np.arange(len(store.samples)), "glasses", each=3)
    assert faces.titles == ["no"] * 3 + ["yes"] * 3


def test_points_of_runs_hold_ratio_and_accuracy(place):
    folder, store = place
    points = gaps_of_runs({"balanced": {0: folder}}, store, "glasses", ("no", "yes"))
    first = points[points["layer"] == points["layer"].iloc[0]].set_index("group")
    assert first["accuracy"].to_dict() == {"no": 1.0, "yes": 0.5}
    assert first["gap"].to_dict() == {"no": 0.25, "yes": -0.25}
    dealt = gaps_of_runs({"balanced": {0: folder}}, store, "glasses", ("no", "yes"), permuted=0)
    assert set(dealt["accuracy"]) != {1.0, 0.5}


def test_correlations_are_over_the_networks_of_a_seed():
    rows = [
        (arm, seed, "8 x 8", group, base + 0.01 * place * sign, 0.1 * place * sign)
        for seed in (0, 1, 2)
        for place, arm in enumerate(("a", "b", "c"))
        for group, base, sign in (("light", 0.9, 1), ("dark", 0.5, -1))
    ]
    points = pd.DataFrame(rows, columns=["arm", "seed", "layer", "group", "ratio", "gap"])
    points["accuracy"] = 0.5 + points["gap"]
    found = ratio_correlations(points, 0.95, 10).set_index("of")["rho"]
    assert found["within light"] == found["within dark"] == pytest.approx(1)
    changes = ratio_changes(points, "a", "8 x 8").set_index(["arm", "group"])
    assert changes.loc[("c", "dark"), "ratio change"] == pytest.approx(-2)
    assert changes.loc[("c", "dark"), "accuracy change"] == pytest.approx(-20)
    assert np.isnan(changes.loc[("a", "dark"), "p"])
