"""Rows, evidence and claims of regressions, against loops over the answers that the test gives."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluated_project import sample_table, write_params, write_run
from scipy.stats import spearmanr

from fer_repro.config import run_folder
from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError
from fer_repro.evaluation.evidence import number_evidence, read_evidence
from fer_repro.evaluation.number_rows import number_measures, number_rows, predicted_numbers, training_mean
from fer_repro.evaluation.row_form import Subject
from fer_repro.evaluation.summary import evaluate_runs, headline_numbers, main_rows, write_results
from fer_repro.figures.claim_figures import claim_sentence, claim_table
from fer_repro.runs.folder import NumberRun, kept_accuracy, open_runs
from fer_repro.runs.numbers import PredictedNumbers, write_numbers

PARAMS = Path(__file__).parents[2] / "params.yaml"
SEEDS, ARMS, CLASSES = (0, 1, 2), ("rank_loss", "mse"), ("0", "0.33", "0.66", "1")
LEVELS = np.array([float(name) for name in CLASSES])
SUBJECT = Subject("engagement", "1907.03422", "small", "none", "a small note")
COUNT = 48


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Three seeds of two arms; rank_loss errs less. Returns folder, params, samples and answers."""
    folder = tmp_path_factory.mktemp("numbers")
    generator = np.random.default_rng(0)
    labels = np.arange(COUNT) % 4
    splits = np.array(["train"] * 8 + ["val"] * 8 + ["test"] * 32)
    samples = sample_table(labels, splits)
    samples["subject"] = [f"p{row // 2}" for row in range(COUNT)]
    params, model = write_params(folder, PARAMS, "engagement", ARMS)
    values = np.zeros((COUNT, 5, 3), np.float16)
    write_store(folder / "prepared" / "small", "small", CLASSES, values, samples, {})
    answers = {}
    for arm in ARMS:
        for seed in SEEDS:
            place = write_run(folder, "engagement", arm, seed, model)
            config = json.loads((place / "config.json").read_text())
            (place / "config.json").write_text(json.dumps(config | {"task": "regression"}))
            (place / "history.csv").write_text("epoch,lr,train_loss,val_loss,best\n1,0.1,2,0.06,1\n")
            noise = generator.normal(0, 0.1 if arm == "rank_loss" else 0.25, COUNT - 8)
            found = (0.5 + 0.6 * (LEVELS[labels[8:]] - 0.5) + noise).round(4)
            rows = np.arange(8, COUNT)
            write_numbers(
                place / "predictions.csv", PredictedNumbers(rows, splits[8:], LEVELS[labels[8:]], found)
            )
            answers[arm, seed] = found
    return folder, params, samples, answers


def test_distances_have_an_error_alone():
    """Where all true numbers are equal there is no order, and no constant answer that would be perfect."""
    values = np.array([[1.0, 2.0, 4.0], [2.0, 2.0, 3.0]])
    assert set(number_measures(values, np.zeros(3))) == {"mse"}
    samples = sample_table(np.zeros(3, int), np.array(["test"] * 3)).assign(subject=list("abc"))
    keys = np.arange(3), np.array(["test"] * 3), np.zeros(3)
    runs = [
        NumberRun("a", seed, {"recipe": {}}, PredictedNumbers(*keys, row)) for seed, row in enumerate(values)
    ]
    rows, _ = number_rows(runs, samples, SUBJECT, "a", 0.0, 0.95, 50)
    assert set(rows["arm"]) == {"a"}
    assert set(rows["metric"]) == {"mse"}
    (evidence,) = number_evidence(runs, samples, SUBJECT, 0.0)
    assert (evidence.metric, evidence.is_at_chance("a")) == ("mse", False)


def trained(project):
    folder, params, *_ = project
    return open_runs(params, "engagement", "small", folder / "runs", folder / "prepared", SEEDS, ARMS)


def naive_error(values, targets):
    return sum((v - t) ** 2 for v, t in zip(values, targets, strict=True)) / len(targets)


def one(rows, **wanted):
    chosen = np.logical_and.reduce([rows[name].astype(str) == str(value) for name, value in wanted.items()])
    (row,) = rows[chosen].to_dict("records")
    return row


def test_every_seed_and_mean_has_its_row(project):
    _, _, samples, answers = project
    evaluation = evaluate_runs(trained(project), resamples=50)
    rows, targets = evaluation.rows, LEVELS[samples["label"][16:]]
    assert set(rows["unit"]) == {"MSE", "rho"}
    for arm in ARMS:
        errors = [naive_error(answers[arm, seed][8:], targets) for seed in SEEDS]
        for seed in SEEDS:
            assert one(rows, arm=arm, metric="mse", seed=seed)["value"] == pytest.approx(errors[seed])
            wanted = spearmanr(answers[arm, seed][8:], targets).statistic
            assert one(rows, arm=arm, metric="spearman", seed=seed)["value"] == pytest.approx(wanted)
        mean = one(rows, arm=arm, metric="mse", seed="")
        assert mean["value"] == pytest.approx(np.mean(errors))
        assert mean["low"] < mean["value"] < mean["high"]
        assert evaluation.metrics[arm]["mse"] == pytest.approx(np.mean(errors), rel=1e-8)
    gap = one(rows, arm="rank_loss - mse", metric="mse")
    assert gap["value"] < 0
    assert gap["unit"] == "MSE"
    assert re.search(r"interval -0\.\d{4} to -0\.\d{4} \(", gap["note"])


def test_errors_are_given_at_each_true_number(project):
    _, _, samples, answers = project
    rows = evaluate_runs(trained(project), resamples=50).rows
    labels = samples["label"].to_numpy()[16:]
    for number, name in enumerate(("mse_0", "mse_0_33", "mse_0_66", "mse_1")):
        at = [naive_error(answers["mse", 1][8:][labels == number], LEVELS[labels[labels == number]])]
        assert one(rows, arm="mse", metric=name, seed=1)["value"] == pytest.approx(at[0])


def test_the_constant_stands_beside_every_error(project):
    _, _, samples, _ = project
    rows = evaluate_runs(trained(project), resamples=50).rows
    mean = LEVELS[samples["label"][:8]].mean()
    assert training_mean(samples, LEVELS) == pytest.approx(mean)
    targets = LEVELS[samples["label"][16:]]
    row = one(rows, arm="training_mean", metric="mse")
    assert row["value"] == pytest.approx(naive_error(np.full(32, mean), targets))
    assert row["note"] == f"every sample gets the mean of the training split, {mean:.4f}"
    assert one(rows, arm="training_mean", metric="spearman")["value"] == 0
    assert set(rows.loc[rows["arm"] == "training_mean", "metric"]) == set(
        rows.loc[rows["arm"] == "mse", "metric"]
    )


def test_people_are_groups_and_arms_are_paired(project):
    samples, runs = project[2], trained(project).numbers
    _, intervals = number_rows(runs, samples, SUBJECT, "mse", 0.5, 0.95, 50)
    found = one(intervals, arm="rank_loss - mse", metric="mse")
    assert found["kind"].startswith("paired, t over seeds and samples")
    alone = samples.assign(subject=[str(row) for row in range(COUNT)])
    _, other = number_rows(runs, alone, SUBJECT, "mse", 0.5, 0.95, 50)
    assert one(other, arm="rank_loss - mse", metric="mse")["low"] != found["low"]


def test_many_true_numbers_have_no_rows_of_their_own():
    targets = np.linspace(0, 1, 40)
    assert set(number_measures(targets[None], targets)) == {"mse", "spearman"}
    assert set(number_measures(targets[None, :1], targets[:1])) == {"mse"}


def test_a_number_of_one_person_has_intervals_over_seeds_alone():
    targets, groups = np.array([0, 0, 1, 1, 1.0]), np.array([1, 1, 2, 3, 4])
    found = number_measures(np.full((2, 5), 0.5), targets, groups)
    assert found["mse_0"].shares is None
    assert found["mse_1"].shares is not None
    assert found["mse"].shares is not None


def test_files_hold_true_and_predicted_numbers(project, tmp_path):
    evaluation = evaluate_runs(trained(project), resamples=50)
    names = {path.name for path in write_results(tmp_path, evaluation)}
    assert names == {
        "rows.csv", "intervals.csv", "curves.csv", "values.csv", "headline.json", "metrics.json",
    }  # fmt: skip
    values = pd.read_csv(tmp_path / "values.csv")
    assert list(values) == ["sample", "target", "prediction"]
    assert len(values) == 32
    assert len(predicted_numbers(evaluation.runs)) == 2 * 3 * 32
    numbers = headline_numbers(evaluation)
    assert numbers["difference"] == pytest.approx(numbers["arm"] - numbers["control"], abs=2e-6)
    shown = main_rows(evaluation)
    assert shown.loc[shown["metric"] == "mse", "mean"].str.fullmatch(r"-?\d\.\d{4}").all()


def test_evidence_knows_that_less_is_better(project):
    _, _, samples, answers = project
    found = {one.metric: one for one in read_evidence(trained(project))}
    assert set(found) == {"mse", "spearman"}
    targets = LEVELS[samples["label"][16:]]
    error = found["mse"]
    gains = [
        naive_error(answers["mse", seed][8:], targets) - naive_error(answers["rank_loss", seed][8:], targets)
        for seed in SEEDS
    ]
    assert error.gain("rank_loss", "mse").value == pytest.approx(np.mean(gains))
    assert error.gain("rank_loss", "mse").value > 0
    assert found["spearman"].gain("rank_loss", "mse").value > 0
    assert error.chance == pytest.approx(naive_error(np.full(32, 0.4975), targets), abs=1e-6)
    assert not error.is_at_chance("rank_loss")
    assert not found["spearman"].is_at_chance("rank_loss")
    assert error.by_seed("mse")[2] == pytest.approx(naive_error(answers["mse", 2][8:], targets))


def test_a_constant_prediction_is_at_chance(project):
    (error,) = [one for one in read_evidence(trained(project)) if one.metric == "mse"]
    constant = np.full_like(error.arms["mse"], 0.4975)
    object.__setattr__(error, "arms", {**error.arms, "mse": constant})
    assert error.is_at_chance("mse")


def test_validation_is_the_explained_variance(project):
    folder, _, samples, answers = project
    targets = LEVELS[samples["label"][8:16]]
    wanted = 100 * (1 - naive_error(answers["mse", 0][:8], targets) / np.var(targets))
    assert kept_accuracy(run_folder(folder / "runs", "small", "engagement", 0, "mse")) == pytest.approx(
        wanted
    )


def test_the_claim_says_which_side_is_better(project):
    rows = evaluate_runs(trained(project), resamples=50).rows
    table = claim_table(rows, pd.DataFrame(), "engagement", "rank_loss", "mse", 0.95, "mse")
    sentence = claim_sentence(table.iloc[0])
    assert "rank_loss minus mse in mean squared error on small" in sentence
    assert " MSE (95 % interval" in sentence
    ahead = "rank_loss is ahead of mse here: the whole interval lies below 0."
    assert ahead in sentence or "the mean favours rank_loss" in sentence


def test_runs_on_other_numbers_are_refused(project, tmp_path):
    folder, params, samples, _ = project
    changed = samples.assign(label=(samples["label"] + 1) % 4)
    values = np.zeros((COUNT, 5, 3), np.float16)
    write_store(tmp_path / "prepared" / "small", "small", CLASSES, values, changed, {})
    with pytest.raises(UserError, match=r"predictions.csv: row 1: sample 8, target 0: not that of"):
        open_runs(params, "engagement", "small", folder / "runs", tmp_path / "prepared", SEEDS, ARMS)
