import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_repro.config import load_config, run_folder
from fer_repro.data.store import write_store
from fer_repro.errors import UserError
from fer_repro.evaluation.predict import Predictions, write_predictions
from fer_repro.evaluation.rows import COLUMNS, Subject, difference_rows, read_runs, result_rows
from fer_repro.evaluation.summary import evaluate_runs, write_results

PARAMS = Path(__file__).parents[2] / "params.yaml"
CLASSES = ("a", "b", "c")
SEEDS, ARMS = (0, 1, 2), ("masked", "no_mask")
SUBJECT = Subject("rmn", "2603.05937", "synthetic", "none", "a small note")
TRAIN, VAL, TEST = 30, 10, 60


def one_hot(targets):
    return np.eye(3)[targets]


@pytest.fixture
def place(tmp_path):
    """Runs whose hits are known: arm masked errs less often; copies err where clean images do not."""
    rng = np.random.default_rng(0)
    count = TRAIN + VAL + TEST
    labels = rng.choice(3, count, p=[0.2, 0.6, 0.2])
    samples = pd.DataFrame(
        {
            "image": range(count),
            "label": labels,
            "subject": "",
            "clip": "",
            "split": np.repeat(["train", "val", "test"], [TRAIN, VAL, TEST]),
            "in_training": np.arange(count) % 10 == 3,
            "in_public": np.arange(count) % 10 == 4,
        }
    )
    images = np.zeros((count, 4, 4), np.uint8)
    write_store(tmp_path / "prepared" / "synthetic", "synthetic", CLASSES, images, samples, {})
    ids = np.arange(TRAIN, count)
    targets = labels[TRAIN:]
    for arm in ARMS:
        for seed in SEEDS:
            wrong = rng.random(len(ids)) < (0.2 if arm == "masked" else 0.4)
            also = wrong | (rng.random(len(ids)) < 0.1)
            logits = 5 * one_hot(np.where(wrong, (targets + 1) % 3, targets))
            means = 0.1 + 0.7 * one_hot(np.where(also, (targets + 2) % 3, targets))
            splits = samples["split"].to_numpy(str)[TRAIN:]
            folder = run_folder(tmp_path / "runs", "synthetic", "rmn", seed, arm)
            write_predictions(
                folder / "predictions.csv", Predictions(CLASSES, ids, splits, targets, logits, means)
            )
            config = load_config(PARAMS, "rmn", "synthetic", arm, seed)
            (folder / "config.json").write_text(config.as_json())
            (folder / "history.csv").write_text("epoch,lr,train_loss\n1,0.1,2\n2,0.1,1\n")
    return tmp_path, samples


def runs_of(place):
    return read_runs(place[0] / "runs", "synthetic", "rmn", SEEDS, ARMS)


def naive_accuracy(place, arm, seed, column, protocol):
    folder = run_folder(place[0] / "runs", "synthetic", "rmn", seed, arm)
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
    rows = result_rows(runs_of(place), place[1], SUBJECT)
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
    rows = result_rows(runs_of(place), place[1], SUBJECT)
    samples = place[1]
    train, test = samples[samples["split"] == "train"], samples[samples["split"] == "test"]
    most = train["label"].value_counts().idxmax()
    row = rows[(rows["arm"] == "majority_class") & (rows["protocol"] == "official")].set_index("metric")
    assert row.loc["accuracy", "value"] == pytest.approx(100 * (test["label"] == most).mean())
    assert row.loc["mean_class_accuracy", "value"] == pytest.approx(100 / 3)


def test_a_table_without_overlap_columns_gives_the_official_protocol_only(place):
    samples = place[1].drop(columns=["in_training", "in_public"])
    assert set(result_rows(runs_of(place), samples, SUBJECT)["protocol"]) == {"official"}


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
    assert set(intervals["kind"]) == {
        "t over seeds",
        "bootstrap over samples",
        "paired bootstrap over seeds and samples",
    }


def test_runs_of_other_samples_or_recipes_are_refused(place):
    folder = run_folder(place[0] / "runs", "synthetic", "rmn", 2, "no_mask")
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["epochs"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"no_mask/config.json: another recipe than masked, seed 0"):
        runs_of(place)
    lines = (folder / "predictions.csv").read_text().splitlines()
    (folder / "predictions.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match=r"other samples, targets or classes than masked, seed 0"):
        runs_of(place)
    (folder / "predictions.csv").unlink()
    with pytest.raises(UserError, match="no such file"):
        runs_of(place)


def test_the_evaluation_writes_byte_stable_files(place):
    def evaluate():
        return evaluate_runs(
            PARAMS, "rmn", "synthetic", place[0] / "runs", place[0] / "prepared", SEEDS, resamples=50
        )

    evaluation = evaluate()
    files = write_results(place[0] / "results", evaluation)
    assert [path.name for path in files] == [
        "rows.csv",
        "intervals.csv",
        "curves.csv",
        "confusion.csv",
        "metrics.json",
    ]
    before = {path.name: path.read_bytes() for path in files}
    write_results(place[0] / "results", evaluate())
    assert before == {path.name: path.read_bytes() for path in files}
    metrics = json.loads(before["metrics.json"])
    values = [naive_accuracy(place, "masked", seed, "logit", "official") / 100 for seed in SEEDS]
    assert metrics["masked"]["accuracy"] == pytest.approx(np.mean(values))
    assert evaluation.confusions["masked"].sum() == 3 * TEST
    assert list(evaluation.recalls) == ["arm", "class", "value", "low", "high"]
    assert len(evaluation.curves) == 12
    assert len(pd.read_csv(place[0] / "results" / "confusion.csv")) == TEST
    written = pd.read_csv(place[0] / "results" / "rows.csv", keep_default_na=False)
    assert list(written) == list(COLUMNS)
    assert "masked - no_mask" in set(written["arm"])
