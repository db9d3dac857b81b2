"""Weights of segments and distances of levels, against the networks and loops."""

import numpy as np
import pandas as pd
import pytest
import torch

from fer_repro.config import load_config, run_folder
from fer_repro.datasets.store import open_store, write_store
from fer_repro.evaluation.segments import (
    error_table,
    level_distances,
    same_files,
    true_segments,
    weight_agreement,
    weights_by_level,
    weights_of_test,
)
from fer_repro.methods.method import load_method
from fer_repro.training.checkpoint import copy_weights, save_weights

CLASSES = ("0", "0.33", "0.66", "1")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Eight test sequences, and untrained networks of two seeds and two arms."""
    folder = tmp_path_factory.mktemp("segments")
    table = pd.DataFrame(
        {"image": range(8), "label": np.arange(8) % 4, "subject": "", "clip": "", "split": "test"}
    )
    truth = np.random.default_rng(1).random((8, 10)).round(2)
    for number in range(10):
        table[f"segment_{number + 1:02d}"] = truth[:, number]
    values = np.random.default_rng(0).normal(size=(8, 20, 3)).astype(np.float16)
    write_store(folder / "store", "small", CLASSES, values, table, {})
    store, method = open_store(folder / "store"), load_method("engagement")
    changes = {"recipe.model.width": 4, "recipe.model.rows": 2, "recipe.model.columns": 3}
    networks, folders = {}, {}
    for arm in ("mse", "bag"):
        for seed in (0, 1):
            config = load_config(
                "params.yaml", "engagement", "synthetic_engagement", arm, seed, overrides=changes
            )
            torch.manual_seed(10 * seed + len(arm))
            network = method.build_model(arm, method.options(**config.recipe.model), 4).eval()
            place = run_folder(folder, "small", "engagement", seed, arm)
            place.mkdir(parents=True)
            (place / "config.json").write_text(config.as_json(store.digests, "regression"))
            save_weights(place / "weights.safetensors", copy_weights(network))
            (place / "predictions.csv").write_text(f"{arm} {seed}")
            networks[arm, seed], folders.setdefault(arm, {})[seed] = network, place
    return store, folders, networks, torch.from_numpy(values).float(), truth


def test_weights_are_relative_to_those_of_their_video(project):
    store, folders, networks, sequences, _ = project
    found = weights_of_test(folders, store)
    for arm in ("mse", "bag"):
        assert found[arm].shape == (2, 8, 10)
        assert found[arm].mean(axis=2) == pytest.approx(np.ones((2, 8)))
    with torch.no_grad():
        alpha = networks["mse", 1](sequences).alpha.double().numpy()
    assert found["mse"][1] == pytest.approx(alpha / alpha.mean(axis=1, keepdims=True), rel=1e-5)


def test_weights_are_averaged_by_the_true_level(project):
    store, _, _, _, truth = project
    assert true_segments(store) == pytest.approx(truth)
    weights = {"mse": np.stack([truth, 2 * truth])}
    table = weights_by_level(weights, truth)
    for _, row in table.iterrows():
        low, high = row["level"] - 0.1, row["level"] + 0.1
        inside = [
            value for value in truth.ravel() if low - 1e-9 <= value < high - 1e-9 or high > 0.99 <= value
        ]
        assert row["segments"] == len(inside)
        assert row["low"] == pytest.approx(np.mean(inside))
        assert row["value"] == pytest.approx(1.5 * np.mean(inside))


def test_agreement_is_the_rank_correlation_within_a_video(project):
    truth = project[4]
    agreeing, opposed = np.stack([truth, truth**2]), np.stack([-truth, -truth])
    table = weight_agreement({"a": agreeing, "b": opposed}, truth, 0.95).set_index("arm")
    assert table.loc["a", "rho"] == pytest.approx(1)
    assert table.loc["b", "rho"] == pytest.approx(-1)


def test_distances_are_those_of_mean_features(project):
    store, folders, networks, sequences, _ = project
    (found,) = level_distances({"mse": folders["mse"]}, store).values()
    parts = []
    for seed in (0, 1):
        with torch.no_grad():
            features = networks["mse", seed](sequences).features.double().numpy()
        means = [(features[k] + features[k + 4]) / 2 for k in range(4)]
        matrix = np.array([[np.linalg.norm(a - b) for b in means] for a in means])
        parts.append(matrix / (matrix.sum() / 12))
    assert found == pytest.approx(np.mean(parts, axis=0), rel=1e-5)


def test_files_are_compared_byte_for_byte(project, tmp_path):
    _, folders, *_ = project
    assert set(same_files(folders["mse"], folders["mse"])["same"]) == {"yes"}
    table = same_files(folders["mse"], folders["bag"])
    assert set(table["same"]) == {"no"}
    assert len(table) == 4


def test_the_best_published_run_stands_beside(project):
    store = project[0]
    metrics = ["mse", "mse_0", "mse_0_33", "mse_0_66", "mse_1"]
    rows = pd.DataFrame([
        {"arm": arm, "metric": metric, "seed": "", "value": value, "low": low, "high": low}
        for arm, low in (("bag", 0.1), ("training_mean", ""))
        for value, metric in enumerate(metrics)
    ])  # fmt: skip
    published = pd.DataFrame(
        [{"arm": f"run_{n}", "metric": metric, "value": str(n)} for n in (2, 1) for metric in metrics]
        + [{"arm": "whole", "metric": "mse", "value": "0.5"}]  # has no errors by level
    )
    table = error_table(rows, published, store, ("bag", "training_mean"))
    assert table["answer"].unique().tolist() == ["bag", "training_mean", "published, run 1"]
    assert table["level"].tolist() == [*("0", "0.33", "0.66", "1")] * 3
    assert table["kind"].unique().tolist() == ["arm", "constant", "published"]
    assert table["value"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1, 1, 1, 1]
    assert error_table(rows, published.head(0), store, ("bag",))["kind"].unique().tolist() == ["arm"]
