import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from fer_repro.errors import UserError
from fer_repro.evaluation.pair_rows import pair_rows, roc_points, score_pairs
from fer_repro.evaluation.row_form import COLUMNS, INTERVAL_COLUMNS, Subject
from fer_repro.measures.detection import auc_shares
from fer_repro.measures.intervals import paired_difference, sample_interval, seed_interval, spread_interval
from fer_repro.measures.variance_components import spread
from fer_repro.measures.verification import far_name
from fer_repro.runs.folder import PairRun

GOLDENS = Path(__file__).parent.parent / "goldens"
SUBJECT = Subject("adacos", "1905.00292", "synthetic_pairs", "none", "a small note")


def pairs(scores, same, folds, name="test"):
    rows = np.arange(len(scores))
    return pd.DataFrame(
        {
            "list": name,
            "first": 2 * rows,
            "second": 2 * rows + 1,
            "same": same,
            "fold": folds,
            "score": scores,
        }
    )


def draw(seed, strength, count=200):
    rng = np.random.default_rng(seed)
    same = np.arange(count) % 2
    return pairs(np.round(rng.normal(strength * same, 0.2), 2), same, 1 + np.arange(count) // (count // 10))


def draw_runs():
    return [
        PairRun(arm, seed, {}, draw(10 * place + seed, strength))
        for place, (arm, strength) in enumerate([("dynamic", 0.5), ("softmax", 0.2)])
        for seed in (0, 1, 2)
    ]


def test_the_golden_protocol():
    with np.load(GOLDENS / "face_verification.npz") as arrays:
        scores, same = arrays["similarity"], arrays["label"]
    golden = json.loads((GOLDENS / "face_verification.json").read_text())
    folds = np.repeat(np.arange(1, len(scores) + 1), scores.shape[1])
    found = score_pairs(pairs(scores.ravel(), same.ravel(), folds))
    expected = golden["kfold"]["exact_thresholds_ties_to_lowest"]
    assert found.values["pair_accuracy"] == pytest.approx(expected["mean"], rel=1e-9)
    by_fold = [found.hits[folds == fold].mean() for fold in np.unique(folds)]
    np.testing.assert_allclose(by_fold, expected["fold_accuracy"], rtol=1e-9)
    assert found.values["auc"] == pytest.approx(golden["roc"]["auc"], rel=1e-9)
    assert found.values["equal_error_rate"] == pytest.approx(golden["roc"]["eer_linear"], rel=1e-9)


def test_by_hand_with_three_folds():
    # Fold 1 is told best by its own 0.6; the others say 0.3 and take its 0.5 for the same person.
    table = pairs([0.7, 0.5, 0.3, 0.1, 0.3, 0.2], [1, 0, 1, 0, 1, 0], [1, 1, 2, 2, 3, 3])
    found = score_pairs(table)
    assert found.protocol == "3_folds"
    assert found.hits.tolist() == [True, False, True, True, True, True]
    assert found.values["pair_accuracy"] == pytest.approx(5 / 6)
    assert found.values["auc"] == pytest.approx(7 / 9)


def test_a_list_without_folds_takes_the_threshold_of_val():
    val = pairs([0.8, 0.6, 0.4], [1, 1, 0], 0, "val")
    test = pairs([0.9, 0.55, 0.7, 0.1], [1, 1, 0, 0], 0)
    found = score_pairs(pd.concat([test, val], ignore_index=True))
    assert found.protocol == "official"
    assert found.hits.tolist() == [True, False, False, True]  # same from 0.6 on
    assert found.values["pair_accuracy"] == 0.5
    assert found.accuracy_note == "threshold from the val list"
    alone = score_pairs(pd.concat([test.assign(fold=3), val], ignore_index=True))  # what a limit may leave
    assert (alone.protocol, alone.values) == ("official", found.values)
    with pytest.raises(UserError, match="no folds and there is no list 'val'"):
        score_pairs(test)
    with pytest.raises(UserError, match="no pair of the list 'test'"):
        score_pairs(val)


def test_far_that_cannot_be_measured_is_flagged_not_given():
    found = score_pairs(draw(0, 0.4))  # 100 different pairs
    assert {"tar_at_far_1e_1", "tar_at_far_1e_2"} <= set(found.values)
    assert far_name(0.001) == "tar_at_far_1e_3"
    assert "tar_at_far_1e_3" not in found.values
    assert found.remark == "FAR 0.001 cannot be measured with 100 different pairs"
    fewer = score_pairs(draw(0, 0.4, count=180))
    assert fewer.remark == "FAR 0.01, 0.001 cannot be measured with 90 different pairs"
    assert score_pairs(draw(0, 0.4, count=2000)).remark == ""
    table = draw(0, 0.4)
    far, tar, _ = sk.roc_curve(table["same"], table["score"], drop_intermediate=False)
    assert found.values["tar_at_far_1e_1"] == pytest.approx(tar[far <= 0.1].max())
    assert found.values["tar_at_far_1e_2"] == pytest.approx(tar[far <= 0.01].max())


def test_rows_of_seeds_means_and_chance():
    runs = draw_runs()
    rows, intervals = pair_rows(runs, SUBJECT, "softmax", 0.95, 200)
    assert list(rows) == list(COLUMNS)
    assert list(intervals) == list(INTERVAL_COLUMNS)
    assert set(rows["protocol"]) == {"ten_fold"}
    areas = rows[(rows["metric"] == "auc") & (rows["arm"] == "dynamic")].set_index("seed")["value"]
    expected = [100 * sk.roc_auc_score(run.pairs["same"], run.pairs["score"]) for run in runs[:3]]
    assert areas[["0", "1", "2"]].tolist() == pytest.approx(expected)
    assert areas[""] == pytest.approx(np.mean(expected))
    chance = rows[rows["arm"] == "chance"].set_index("metric")["value"].to_dict()
    assert chance == pytest.approx(
        {"pair_accuracy": 50, "auc": 50, "equal_error_rate": 50, "tar_at_far_1e_1": 10, "tar_at_far_1e_2": 1}
    )
    note = rows[(rows["metric"] == "pair_accuracy") & (rows["seed"] == "0")].iloc[0]["note"]
    assert note.startswith("each fold's threshold from the other 9, standard error over folds ")
    note = rows[(rows["metric"] == "tar_at_far_1e_2") & (rows["seed"] == "0")].iloc[0]["note"]
    assert note == "FAR 0.001 cannot be measured with 100 different pairs; a small note"


def test_differences_are_paired_by_seed_and_pair():
    runs = draw_runs()
    rows, intervals = pair_rows(runs, SUBJECT, "softmax", 0.95, 200)
    differences = rows[rows["arm"] == "dynamic - softmax"].set_index("metric")
    assert set(differences["unit"]) == {"points"}
    scored = [score_pairs(run.pairs) for run in runs]
    gaps = [
        ours.hits.mean() - theirs.hits.mean() for ours, theirs in zip(scored[:3], scored[3:], strict=True)
    ]
    assert differences.loc["pair_accuracy", "value"] == pytest.approx(100 * np.mean(gaps))
    assert differences.loc["pair_accuracy", "deviation"] == pytest.approx(100 * np.std(gaps, ddof=1))
    assert "McNemar" not in differences.loc["pair_accuracy", "note"]  # pairs of one person depend
    assert "DeLong p by seed" in differences.loc["auc", "note"]
    areas = [100 * sk.roc_auc_score(run.pairs["same"], run.pairs["score"]) for run in runs]
    assert differences.loc["auc", "value"] == pytest.approx(np.mean(areas[:3]) - np.mean(areas[3:]))
    mine = intervals[(intervals["arm"] == "dynamic - softmax") & (intervals["metric"] == "pair_accuracy")]
    folds = np.array([[part.mean() for part in np.split(result.hits, 10)] for result in scored])
    expected = paired_difference(folds[:3], folds[3:], 0.95, 200)  # folds share no people, pairs do
    assert mine["low"].tolist() == pytest.approx([100 * expected.low])
    assert mine["high"].tolist() == pytest.approx([100 * expected.high])
    assert (mine["low"] < mine["value"]).all()
    assert (mine["value"] < mine["high"]).all()


def test_one_seed_is_resampled_by_fold():
    runs = [run for run in draw_runs() if run.seed == 0]
    rows, intervals = pair_rows(runs, SUBJECT, "softmax", 0.9, 150)
    assert list(rows) == list(COLUMNS)
    assert list(intervals) == list(INTERVAL_COLUMNS)
    ours, theirs = (score_pairs(run.pairs) for run in runs)
    folds = [np.array([part.mean() for part in np.split(one.hits, 10)])[None] for one in (ours, theirs)]
    alone = sample_interval(folds[0], 0.9, 150, clusters=np.arange(10))
    gap = paired_difference(*folds, 0.9, 150, clusters=np.arange(10))
    mine = intervals[intervals["metric"] == "pair_accuracy"].set_index(["arm", "kind"])
    for place, wanted in ((("dynamic", alone.kind), alone), (("dynamic - softmax", gap.kind), gap)):
        row = mine.loc[place]
        assert [row["value"], row["low"], row["high"]] == pytest.approx(
            [100 * wanted.value, 100 * wanted.low, 100 * wanted.high]
        )
    assert mine.loc[("dynamic - softmax", gap.kind), "unit"] == "points"
    assert "10 groups" in alone.kind
    chance = rows[rows["arm"] == "chance"].set_index("metric")["note"]
    assert chance["pair_accuracy"] == "always the more frequent answer"
    assert set(chance.drop("pair_accuracy")) == {"expected of random scores"}


def test_hits_of_a_list_without_folds_are_its_units():
    both = [
        pd.concat([draw(seed, 0.5).assign(fold=0), draw(9, 0.5).assign(list="val", fold=0)])
        for seed in (0, 1)
    ]
    runs = [PairRun(arm, 0, {}, table) for arm, table in zip(("dynamic", "softmax"), both, strict=True)]
    ours, theirs = (score_pairs(table) for table in both)
    assert ours.units.tolist() == ours.hits.tolist()
    assert ours.units.dtype == np.float64
    _, intervals = pair_rows(runs, SUBJECT, "softmax", 0.9, 120)
    gap = paired_difference(ours.hits[None], theirs.hits[None], 0.9, 120)
    mine = intervals[(intervals["metric"] == "pair_accuracy") & (intervals["arm"] == "dynamic - softmax")]
    assert mine["protocol"].tolist() == ["official"]
    assert [mine["low"].item(), mine["high"].item()] == pytest.approx([100 * gap.low, 100 * gap.high])


@pytest.mark.parametrize("folded", [True, False])
def test_areas_are_compared_by_folds_where_there_are_any(folded):
    runs = draw_runs()
    if not folded:
        runs = [
            PairRun(
                run.arm,
                run.seed,
                {},
                pd.concat([run.pairs.assign(fold=0), draw(9, 0.5).assign(list="val", fold=0)]),
            )
            for run in runs
        ]
    _, intervals = pair_rows(runs, SUBJECT, "softmax", 0.95, 50)
    mine = intervals[(intervals["metric"] == "auc") & (intervals["arm"] == "dynamic - softmax")]
    tests = [run.pairs[run.pairs["list"] == "test"] for run in runs]
    same = tests[0]["same"].to_numpy(bool)
    (ours, mine_shares), (theirs, their_shares) = (
        auc_shares(np.stack([test["score"] for test in part]), same) for part in (tests[:3], tests[3:])
    )
    groups = np.arange(200) // 20 if folded else None
    wanted = spread_interval(spread(ours - theirs, mine_shares - their_shares, groups), 0.95)
    assert [mine["low"].item(), mine["high"].item()] == pytest.approx([100 * wanted.low, 100 * wanted.high])


def test_ten_seeds_are_resampled():
    runs = [
        PairRun(arm, seed, {}, draw(20 * place + seed, 0.4))
        for place, arm in enumerate("ab")
        for seed in range(10)
    ]
    _, intervals = pair_rows(runs, SUBJECT, "b", 0.9, 60)
    areas = [sk.roc_auc_score(run.pairs["same"], run.pairs["score"]) for run in runs[:10]]
    mine = intervals[(intervals["metric"] == "auc") & (intervals["arm"] == "a")].set_index("kind")
    wanted = seed_interval(areas, 0.9, 60)
    assert mine.loc["bootstrap over seeds", "low"] == pytest.approx(100 * wanted.low)
    assert mine.loc["bootstrap over seeds", "runs"] == 10


def test_only_rates_at_a_far_carry_the_remark():
    rows, _ = pair_rows(draw_runs(), SUBJECT, "softmax", 0.95, 50)
    notes = rows[(rows["arm"] == "dynamic") & (rows["seed"] == "0")].set_index("metric")["note"]
    remark = "FAR 0.001 cannot be measured with 100 different pairs; a small note"
    assert notes[["tar_at_far_1e_1", "tar_at_far_1e_2"]].tolist() == [remark] * 2
    assert notes[["auc", "equal_error_rate"]].tolist() == ["a small note"] * 2


def test_without_the_control_there_are_no_differences_and_rocs_have_rows_from_zero():
    runs = [run for run in draw_runs() if run.arm == "dynamic"]
    rows, intervals = pair_rows(runs, SUBJECT, "softmax", 0.95, 50)
    assert set(rows["arm"]) == {"dynamic", "chance"}
    assert set(intervals["arm"]) == {"dynamic"}
    assert roc_points(runs).index.tolist() == list(range(len(roc_points(runs))))


def test_the_corners_hold_the_whole_roc():
    runs = draw_runs()[:2]
    points = roc_points(runs)
    assert list(points) == ["arm", "seed", "far", "tar"]
    for run in runs:
        mine = points[points["seed"] == run.seed]
        far, tar, _ = sk.roc_curve(run.pairs["same"], run.pairs["score"], drop_intermediate=False)
        assert len(mine) < len(far)
        area = np.trapezoid(mine["tar"], mine["far"])
        assert area == pytest.approx(sk.roc_auc_score(run.pairs["same"], run.pairs["score"]))
        known = {(round(x, 9), round(y, 9)) for x, y in zip(far, tar, strict=True)}
        assert {(round(x, 9), round(y, 9)) for x, y in zip(mine["far"], mine["tar"], strict=True)} <= known
