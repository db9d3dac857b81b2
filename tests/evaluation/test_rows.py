import numpy as np
import pandas as pd
import pytest
from evaluated_project import NOTE, sample_table, write_classes, write_data, write_run

from fer_repro.config import run_folder
from fer_repro.evaluation import rows as rows_module
from fer_repro.evaluation.row_form import COLUMNS, INTERVAL_COLUMNS, Subject
from fer_repro.evaluation.rows import difference_rows, result_rows
from fer_repro.measures.intervals import mcnemar_exact, mcnemar_mid, paired_difference, sample_interval
from fer_repro.runs.folder import read_runs

CLASSES = ("a", "b", "c")
SEEDS, ARMS = (0, 1, 2), ("masked", "no_mask")
SUBJECT = Subject("rmn", "2603.05937", "small", "none", NOTE)
TRAIN, VAL, TEST = 30, 10, 60


def one_hot(targets):
    return np.eye(3)[targets]


@pytest.fixture
def place(tmp_path):
    """Runs whose hits are known: arm masked errs less often; copies err where clean images do not."""
    rng = np.random.default_rng(0)
    count = TRAIN + VAL + TEST
    labels = rng.choice(3, count, p=[0.2, 0.6, 0.2])
    samples = sample_table(
        labels,
        np.repeat(["train", "val", "test"], [TRAIN, VAL, TEST]),
        in_training=np.arange(count) % 10 == 3,
        in_public=np.arange(count) % 10 == 4,
    )
    write_data(tmp_path, samples, CLASSES)
    targets = labels[TRAIN:]
    for arm in ARMS:
        for seed in SEEDS:
            wrong = rng.random(len(targets)) < (0.2 if arm == "masked" else 0.4)
            also = wrong | (rng.random(len(targets)) < 0.1)
            logits = 5 * one_hot(np.where(wrong, (targets + 1) % 3, targets))
            means = 0.1 + 0.7 * one_hot(np.where(also, (targets + 2) % 3, targets))
            folder = write_run(tmp_path, "rmn", arm, seed, {}, copies=8)
            write_classes(folder, CLASSES, samples, logits, means)
    return tmp_path, samples


def runs_of(place):
    return read_runs(place[0] / "runs", "small", "rmn", SEEDS, ARMS)


def naive_accuracy(place, arm, seed, column, protocol):
    folder = run_folder(place[0] / "runs", "small", "rmn", seed, arm)
    right, total = 0, 0
    for _, row in pd.read_csv(folder / "predictions.csv").iterrows():
        sample = place[1].loc[row["sample"]]
        if row["split"] != "test" or (protocol == "clean" and (sample["in_training"] or sample["in_public"])):
            continue
        scores = [row[f"{column}_{name}"] for name in CLASSES]
        right += scores.index(max(scores)) == row["target"]
        total += 1
    return 100 * right / total


def test_rows_are_the_naive_counts(place):
    rows = result_rows(runs_of(place), place[1], SUBJECT, 0.95, 100)
    assert list(rows) == list(COLUMNS)
    for protocol in ("official", "clean"):
        for tta, column in (("none", "logit"), ("8 random copies", "tta")):
            part = rows[
                (rows["protocol"] == protocol) & (rows["tta"] == tta) & (rows["metric"] == "accuracy")
            ]
            for arm in ARMS:
                values = [naive_accuracy(place, arm, seed, column, protocol) for seed in SEEDS]
                mine = part[part["arm"] == arm].set_index("seed")
                assert mine.loc[["0", "1", "2"], "value"].tolist() == pytest.approx(values)
                mean = sum(values) / 3
                assert mine.loc["", "value"] == pytest.approx(mean)
                deviation = np.sqrt(sum((value - mean) ** 2 for value in values) / 2)
                assert mine.loc["", "deviation"] == pytest.approx(deviation)
                assert mine.loc["", "runs"] == 3
    assert set(rows["unit"]) == {"%"}
    assert set(rows["source"]) == {"measured"}


def test_the_majority_class_is_the_training_sets(place):
    rows = result_rows(runs_of(place), place[1], SUBJECT, 0.95, 100)
    samples = place[1]
    train, test = samples[samples["split"] == "train"], samples[samples["split"] == "test"]
    most = train["label"].value_counts().idxmax()
    row = rows[(rows["arm"] == "majority_class") & (rows["protocol"] == "official")].set_index("metric")
    assert row.loc["accuracy", "value"] == pytest.approx(100 * (test["label"] == most).mean())
    assert row.loc["mean_class_accuracy", "value"] == pytest.approx(100 / 3)


def test_a_table_without_overlap_columns_gives_the_official_protocol_only(place):
    samples = place[1].drop(columns=["in_training", "in_public"])
    assert set(result_rows(runs_of(place), samples, SUBJECT, 0.95, 100)["protocol"]) == {"official"}


def test_differences_are_paired_and_carry_their_interval(place):
    rows, intervals = difference_rows(runs_of(place), place[1], SUBJECT, "no_mask", 0.95, 300)
    row = rows[
        (rows["protocol"] == "official") & (rows["tta"] == "none") & (rows["metric"] == "accuracy")
    ].iloc[0]
    first, second = (
        np.mean([naive_accuracy(place, arm, seed, "logit", "official") for seed in SEEDS]) for arm in ARMS
    )
    assert row["arm"] == "masked - no_mask"
    assert row["unit"] == "points"
    assert row["value"] == pytest.approx(first - second)
    assert row["note"].startswith("95 % interval ")
    assert "McNemar p by seed" in row["note"]
    mine = intervals[
        (intervals["arm"] == "masked - no_mask") & (intervals["metric"] == "mean_class_accuracy")
    ]
    assert (mine["low"] < mine["value"]).all()
    assert (mine["value"] < mine["high"]).all()
    assert set(intervals.loc[intervals["arm"].isin(ARMS), "kind"]) == {
        "t over seeds, logit scale",
        "bootstrap over samples",
    }
    assert len(intervals[intervals["arm"] == "masked - no_mask"]) == 8


def test_faces_of_one_person_are_taken_together(place):
    alone = difference_rows(runs_of(place), place[1], SUBJECT, "no_mask", 0.95, 300)[1]
    people = place[1].assign(subject=[f"p{row // 10}" for row in range(len(place[1]))])
    rows, grouped = difference_rows(runs_of(place), people, SUBJECT, "no_mask", 0.95, 300)
    assert not rows["note"].str.contains("McNemar").any()  # which takes samples for independent
    assert grouped["value"].tolist() == pytest.approx(alone["value"].tolist())
    assert "bootstrap over 6 groups" in set(grouped["kind"])
    assert not (grouped["kind"] == "bootstrap over samples").any()
    differs = grouped["arm"] == "masked - no_mask"
    assert (grouped.loc[differs, "low"] != alone.loc[differs, "low"]).all()


@pytest.mark.parametrize("copies", [0, 8])
def test_lists_of_hard_faces_choose_among_test_and_challenge(tmp_path, copies):
    splits = ["train"] * 2 + ["val"] + ["test"] * 4 + ["challenge"] * 3
    listed = [1, 1, 1, 1, 0, 0, 0, 1, 1, 0]  # of test one, beside it two
    samples = sample_table([0, 1] * 5, splits, occlusion=listed, pose_30=0)
    write_data(tmp_path, samples, CLASSES)
    hits = np.array([0, 1, 1, 1, 0, 0, 1, 0], bool)  # of val, test and challenge
    targets = samples["label"].to_numpy()[2:]
    logits = one_hot(np.where(hits, targets, 2))
    write_classes(write_run(tmp_path, "rmn", "masked", 0, {}, copies), CLASSES, samples, logits)
    runs = read_runs(tmp_path / "runs", "small", "rmn", [0], ["masked"])
    rows = result_rows(runs, samples, SUBJECT, 0.95, 100)
    augmented, rows = (rows[rows["tta"].ne("none") == wanted] for wanted in (True, False))
    assert set(augmented["protocol"]) == ({"official"} if copies else set())  # hard faces have no copies
    means = rows[(rows["metric"] == "accuracy") & (rows["seed"] == "0")].set_index("protocol")["value"]
    assert means.to_dict() == pytest.approx({"official": 75, "occlusion": 200 / 3})  # nobody is turned
    assert set(rows["split"]) == {"test"}
    majority = rows[(rows["arm"] == "majority_class") & (rows["metric"] == "accuracy")]
    assert set(majority["protocol"]) == {"official", "occlusion"}


def test_one_seed_is_resampled_over_samples(place):
    runs = read_runs(place[0] / "runs", "small", "rmn", [1], ARMS)
    rows, intervals = difference_rows(runs, place[1], SUBJECT, "no_mask", 0.9, 150)
    assert (list(rows), list(intervals)) == (list(COLUMNS), list(INTERVAL_COLUMNS))
    tests = [run.predictions.of_split("test") for run in runs]
    for tta, scores in (
        ("none", [t.logits for t in tests]),
        ("8 random copies", [t.probabilities for t in tests]),
    ):
        hits = [(values.argmax(1) == tests[0].targets)[None] for values in scores]
        for metric, targets in (("accuracy", None), ("mean_class_accuracy", tests[0].targets)):
            mine = intervals[
                (intervals["metric"] == metric)
                & (intervals["tta"] == tta)
                & (intervals["protocol"] == "official")
            ].set_index(["arm", "kind"])
            alone = sample_interval(hits[0], 0.9, 150, targets)
            gap = paired_difference(*hits, 0.9, 150, targets)
            for name, wanted in (("masked", alone), ("masked - no_mask", gap)):
                row = mine.loc[(name, wanted.kind)]
                assert [row["value"], row["low"], row["high"]] == pytest.approx(
                    [100 * wanted.value, 100 * wanted.low, 100 * wanted.high]
                )
                assert (row["confidence"], row["runs"]) == (0.9, 1)
                assert row["unit"] == ("%" if name == "masked" else "points")
            assert ("no_mask", "one seed") in mine.index
    said = rows[(rows["metric"] == "accuracy") & (rows["tta"] == "none") & (rows["protocol"] == "official")]
    hits = [t.logits.argmax(1) == t.targets for t in tests]
    assert (
        f"McNemar p by seed {mcnemar_exact(*hits):.2g} (mid-p {mcnemar_mid(*hits):.2g})"
        in said["note"].item()
    )


def test_means_of_classes_and_the_majoritys_words(place):
    rows = result_rows(runs_of(place), place[1], SUBJECT, 0.95, 100)
    run = runs_of(place)[0].predictions.of_split("test")
    recalls = [np.mean(run.logits[run.targets == k].argmax(1) == k) for k in range(3)]
    mine = rows[(rows["arm"] == "masked") & (rows["seed"] == "0") & (rows["metric"] == "mean_class_accuracy")]
    assert mine.iloc[0]["value"] == pytest.approx(100 * np.mean(recalls))
    majority = rows[rows["arm"] == "majority_class"]
    assert set(majority["note"]) == {"always the most frequent training class"}
    assert set(majority["tta"]) == {"none"}


def test_folds_are_named_by_their_number():
    samples = sample_table([0, 1] * 3, ["test"] * 6)
    for folds, name in ((10, "ten_fold"), (5, "5_fold")):
        config = {"data": {"folds": folds}, "recipe": {}}
        found = rows_module.tested_samples(config, samples, "rmn")
        assert {key: rows.tolist() for key, rows in found.items()} == {name: list(range(6))}
    assert list(rows_module.tested_samples({"data": {}, "recipe": {}}, samples, "rmn")) == ["official"]


def test_a_method_may_have_results_of_its_own_groups():
    samples = sample_table([0, 1] * 15, ["train"] * 20 + ["test"] * 10)
    samples["subject"], samples["tone"] = [f"s{n}" for n in range(30)], [n % 10 + n / 100 for n in range(30)]
    config = {"data": {}, "recipe": {"model": {"column": "tone"}}}
    found = rows_module.tested_samples(config, samples, "inside_bias")
    assert list(found) == ["official", "light", "dark"]
    assert found["light"].tolist() == [20, 21, 22]
    assert found["dark"].tolist() == [26, 27, 28, 29]


def test_folds_that_were_tested_in_turn_are_one_protocol(place):
    runs = runs_of(place)
    for run in runs:
        run.config["data"]["folds"] = 10
    rows = result_rows(runs, place[1], SUBJECT, 0.95, 100)
    assert set(rows["protocol"]) == {"ten_fold"}
    _, intervals = difference_rows(runs, place[1], SUBJECT, "no_mask", 0.95, 50)
    assert set(intervals["protocol"]) == {"ten_fold"}
