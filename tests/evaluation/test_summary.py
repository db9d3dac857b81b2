import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluated_project import sample_table, write_classes, write_data, write_pairs, write_params, write_run

from fer_repro.errors import UserError
from fer_repro.evaluation.row_form import COLUMNS, INTERVAL_COLUMNS
from fer_repro.evaluation.summary import Evaluation, evaluate_runs, main_rows, write_results
from fer_repro.runs.folder import open_runs

PARAMS = Path(__file__).parents[2] / "params.yaml"
SEEDS = (0, 1)
ALWAYS = ["rows.csv", "intervals.csv", "curves.csv"]


def evaluate(folder, params, method, arms=(), **choices):
    runs = open_runs(params, method, "small", folder / "runs", folder / "prepared", SEEDS, arms)
    return evaluate_runs(runs, resamples=30, **choices)


def check_files(folder, params, method, third):
    """Written twice the files are the same bytes; returns the evaluation and the files' bytes."""
    evaluation = evaluate(folder, params, method)
    files = write_results(folder / "results/measured", evaluation)
    assert [path.name for path in files] == [*ALWAYS, third, "headline.json", "metrics.json"]
    before = {path.name: path.read_bytes() for path in files}
    write_results(folder / "results/measured", evaluate(folder, params, method))
    assert before == {path.name: path.read_bytes() for path in files}
    rows = pd.read_csv(folder / "results/measured" / "rows.csv", keep_default_na=False)
    assert list(rows) == list(COLUMNS)
    assert list(pd.read_csv(folder / "results/measured" / "intervals.csv")) == list(INTERVAL_COLUMNS)
    assert np.isfinite(rows["value"]).all()
    assert evaluation.rows.index.tolist() == list(range(len(evaluation.rows)))
    assert evaluation.intervals.index.tolist() == list(range(len(evaluation.intervals)))
    assert not rows.duplicated(["arm", "protocol", "metric", "tta", "seed"]).any()
    return evaluation, before


@pytest.fixture
def expressions(tmp_path):
    params, model = write_params(tmp_path, PARAMS, "rmn", ["masked", "no_mask"])
    samples = sample_table([0, 1, 2] * 30, ["train"] * 30 + ["val"] * 30 + ["test"] * 30)
    write_data(tmp_path, samples, ("a", "b", "c"))
    rng = np.random.default_rng(0)
    for arm in ("masked", "no_mask"):
        for seed in SEEDS:
            logits = np.eye(3)[samples["label"][30:]] + rng.normal(0, 1, (60, 3))
            shown = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            place = write_run(tmp_path, "rmn", arm, seed, model, copies=2)
            write_classes(place, ("a", "b", "c"), samples, logits, shown[:, ::-1])
    return tmp_path, params


def test_expressions(expressions):
    evaluation, files = check_files(*expressions, "rmn", "confusion.csv")
    assert evaluation.task == "expression"
    assert evaluation.classes == ("a", "b", "c")
    assert evaluation.confusions["masked"].sum() == 30
    assert list(evaluation.recalls) == ["arm", "class", "value", "low", "high"]
    assert list(evaluation.calibration["arm"]) == [
        arm for arm in ("masked", "no_mask", "masked+no_mask") for _ in SEEDS
    ]
    assert len(evaluation.curves) == 8
    assert set(evaluation.rows["paper"]) == {"2603.05937"}
    assert list(evaluation.curves) == ["arm", "seed", "epoch", "lr", "train_loss", "val_accuracy", "best"]
    assert evaluation.curves.index.tolist() == list(range(8))
    assert evaluation.scores.empty
    assert evaluation.ensembles.empty
    arms = set(evaluation.rows["arm"])
    assert arms == {
        "masked", "no_mask", "masked+no_mask", "majority_class", "base_rate",
        "masked - no_mask", "masked+no_mask - no_mask",
    }  # fmt: skip
    assert set(evaluation.rows["metric"]) == {
        "accuracy", "mean_class_accuracy", "ece", "ece_after_temperature",
    }  # fmt: skip
    metrics = json.loads(files["metrics.json"])
    matrix = evaluation.confusions["masked"]
    assert metrics["masked"]["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    assert metrics["masked"]["accuracy_tta"] != metrics["masked"]["accuracy"]
    assert len(files["confusion.csv"].splitlines()) == 1 + 30


def test_any_list_of_arms_may_be_combined(expressions):
    folder, params = expressions
    none = evaluate(folder, params, "rmn", ensembles=[])
    assert not none.rows["arm"].str.contains("+", regex=False).any()
    turned = evaluate(folder, params, "rmn", ensembles=[["no_mask", "masked"]])
    assert "no_mask+masked" in set(turned.rows["arm"])
    alone = evaluate(folder, params, "rmn", arms=["masked"])
    assert set(alone.rows["arm"]) == {"masked", "majority_class", "base_rate"}
    with pytest.raises(UserError, match="no run of arm 'maskd'; did you mean 'masked'"):
        evaluate(folder, params, "rmn", ensembles=[["maskd", "no_mask"]])


def test_runs_are_looked_for_where_the_stages_put_them(expressions, monkeypatch):
    folder, params = expressions
    monkeypatch.chdir(folder)
    found = evaluate_runs(open_runs(params, "rmn", "small"), resamples=10, ensembles=[])
    assert found.metrics == evaluate(folder, params, "rmn", ensembles=[]).metrics


def test_manipulations(tmp_path):
    arms = ["plain", "attention", "xception"]
    params, model = write_params(tmp_path, PARAMS, "efficientnet", arms)
    labels = np.tile([0, 0, 1, 1], 15)
    samples = sample_table(labels, np.repeat(["train", "val", "test"], 20)).assign(
        clip=[f"v{row // 2}" for row in range(60)], forgery=np.where(labels == 1, "swap", "none")
    )
    write_data(tmp_path, samples, ("real", "manipulated"))
    rng = np.random.default_rng(0)
    for arm in arms:
        for seed in SEEDS:
            z = rng.normal(2.0 * labels[20:] - 1, 2)
            place = write_run(tmp_path, "efficientnet", arm, seed, model)
            write_classes(place, ("real", "manipulated"), samples, np.stack([0 * z, z], 1))
    evaluation, files = check_files(tmp_path, params, "efficientnet", "confusion.csv")
    assert evaluation.task == "manipulation"
    assert evaluation.ensembles["networks"].tolist() == ["xception", "plain", "attention", "plain+attention"]
    assert {"plain+attention", "majority_class", "base_rate"} <= set(evaluation.rows["arm"])
    assert {
        "accuracy", "mean_class_accuracy", "frame_auc", "frame_log_loss", "video_auc", "video_log_loss",
        "video_accuracy", "frame_auc_swap", "video_auc_swap", "ece", "ece_after_temperature",
    } == set(evaluation.rows["metric"])  # fmt: skip
    assert set(evaluation.rows["tta"]) == {"none"}
    metrics = json.loads(files["metrics.json"])
    assert metrics["plain+attention"]["frame_auc"] == pytest.approx(
        evaluation.ensembles["frame_auc"].iloc[3], rel=1e-8
    )
    assert "accuracy" in metrics["plain"]
    assert "accuracy_tta" not in metrics["plain"]
    assert set(evaluation.confusions) == set(arms)


def test_pairs(tmp_path):
    arms = ["dynamic", "softmax"]
    params, model = write_params(tmp_path, PARAMS, "adacos", arms)
    samples = sample_table([0] * 40, ["test"] * 40)
    write_data(tmp_path, samples, ("a", "b", "c"))
    rng = np.random.default_rng(0)
    same = np.tile([0, 1], 30)
    for arm in arms:
        for seed in SEEDS:
            table = pd.DataFrame({"list": "test", "first": 0, "second": 1, "same": same})
            table = table.assign(fold=np.repeat(np.arange(1, 11), 6), score=rng.normal(same, 0.8))
            write_pairs(write_run(tmp_path, "adacos", arm, seed, model), table)
    evaluation, files = check_files(tmp_path, params, "adacos", "scores.csv")
    assert evaluation.task == "verification"
    assert evaluation.classes == ()
    assert evaluation.confusions == {}
    assert evaluation.calibration.empty
    assert set(evaluation.rows["arm"]) == {"dynamic", "softmax", "chance", "dynamic - softmax"}
    metrics = json.loads(files["metrics.json"])
    means = evaluation.rows[evaluation.rows["seed"] == ""].set_index(["arm", "metric"])["value"]
    assert metrics["dynamic"]["auc"] == pytest.approx(means[("dynamic", "auc")] / 100, rel=1e-8)
    assert set(evaluation.scores["arm"]) == set(arms)
    assert files["scores.csv"].startswith(b"arm,seed,far,tar\n")


def test_the_terminal_is_told_means_and_differences():
    columns = ["arm", "protocol", "tta", "metric", "value", "deviation", "unit", "runs", "seed"]
    rows = pd.DataFrame(
        [
            ["a", "official", "none", "accuracy", 71.256, 1.004, "percent", 2, np.nan],
            ["a - b", "official", "flip", "pair_accuracy", -0.5, np.nan, "points", 3, ""],
            ["a", "official", "none", "accuracy", 70.0, np.nan, "percent", 1, 0],
            ["a", "official", "none", "ece", 3.0, np.nan, "percent", 2, np.nan],
        ],
        columns=columns,
    )
    message = main_rows(Evaluation("expression", (), rows, rows, {}, rows))
    assert list(message) == ["arm", "protocol", "tta", "metric", "mean", "unit", "seeds", "sd over seeds"]
    assert message.to_numpy().tolist() == [
        ["a", "official", "none", "accuracy", "71.26", "percent", "2", "1.00"],
        ["a - b", "official", "flip", "pair accuracy", "-0.50", "points", "3", ""],
    ]
