import numpy as np
import pandas as pd
import pytest
import torch
from evaluated_project import sample_table

from fer_repro.evaluation.forgery_views import kind_bars, network_parts, probabilities, scored_frames
from fer_repro.evaluation.predict import Predictions
from fer_repro.evaluation.run_files import Run
from fer_repro.methods.method import load_method

SAMPLES = sample_table([0, 0, 1, 1], ["test"] * 4, forgery=["none", "none", "swap", "swap"])
SAMPLES["clip"] = ["a", "a", "b", "b"]


def run(arm, seed, values):
    logits = np.stack([np.zeros(4), values], axis=1)
    predictions = Predictions(
        ("real", "manipulated"), np.arange(4), np.full(4, "test"), np.array([0, 0, 1, 1]), logits, logits
    )
    return Run(arm, seed, {}, predictions)


def test_videos_have_the_mean_logit_of_their_frames():
    runs = [run("plain", 0, [-1.0, -2, 3, 1]), run("plain", 1, [0.0, 0, 1, 1])]
    frames, videos = (scored_frames(runs, SAMPLES, level)["plain"] for level in ("frame", "video"))
    assert frames[0][0].tolist() == [-1, -2, 3, 1]
    assert frames[1][1].tolist() == [0, 0, 1, 1]
    assert videos[0][0].tolist() == [-1.5, 2.0]
    assert videos[0][1].tolist() == [0, 1]


def test_probabilities_are_sigmoids_of_the_arms_there_are():
    found = probabilities({"plain": [(np.array([0.0, np.log(3)]), np.array([0, 1]))]}, ["plain", "xception"])
    assert list(found) == ["plain"]
    assert found["plain"].tolist() == pytest.approx([0.5, 0.75])


def test_kinds_keep_the_wider_of_two_intervals_and_the_order_of_arms():
    rows = [
        ["plain", "frame_auc_swap", 80, 70, 90],
        ["plain", "frame_auc_swap", 80, 60, 104],
        ["attention", "frame_auc_swap", 90, 85, 95],
        ["plain", "frame_auc", 50, 40, 60],
        ["plain - attention", "frame_auc_swap", -10, -20, 0],
    ]
    table = pd.DataFrame(rows, columns=["arm", "metric", "value", "low", "high"])
    found = kind_bars(table, ["attention", "plain"])
    assert found["arm"].tolist() == ["attention", "plain"]
    assert found["class"].tolist() == ["swap", "swap"]
    assert found[["value", "low", "high"]].to_numpy().tolist() == [[0.9, 0.85, 0.95], [0.8, 0.6, 1.0]]
    assert kind_bars(table, ["plain"], "video").empty


@pytest.mark.parametrize(("arm", "count"), [("attention", 13), ("plain", 12)])
def test_every_part_of_the_network_is_named(arm, count):
    method = load_method("efficientnet")
    with torch.device("meta"):
        options = method.options("b0", 8, 0.2, 0.0, 0.1, "evaluation", "none")
        network = method.build_model(arm, options, 2)
    parts = network_parts(network)
    assert len(parts) == count
    counted = sum(p.numel() for path in parts for p in network.get_submodule(path).parameters())
    assert counted == sum(p.numel() for p in network.parameters())
