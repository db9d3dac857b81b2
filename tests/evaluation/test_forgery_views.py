import numpy as np
import pandas as pd
import pytest
import torch
from evaluated_project import sample_table

from fer_repro.evaluation.forgery_views import (
    kind_bars,
    network_parts,
    one_of_each_kind,
    probabilities,
    read_triplets,
    scored_frames,
    true_masks,
)
from fer_repro.methods.method import load_method
from fer_repro.runs.folder import Run
from fer_repro.runs.predictions import Predictions

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


def test_one_run_alone_gives_frames_unless_videos_are_asked_for():
    alone = scored_frames([run("plain", 0, [-1.0, -2, 3, 1])], SAMPLES)
    assert alone["plain"][0][0].tolist() == [-1, -2, 3, 1]
    assert alone["plain"][0][1].tolist() == [0, 0, 1, 1]
    assert alone["plain"][0][1].dtype == int


def test_any_seed_may_be_taken():
    two = {"plain": [(np.array([0.0]), np.array([0])), (np.array([np.log(3)]), np.array([0]))]}
    assert probabilities(two, ["plain"])["plain"].tolist() == [0.5]
    assert probabilities(two, ["plain"], 1)["plain"].tolist() == pytest.approx([0.75])


def test_kinds_are_sorted_within_their_bounds():
    rows = [
        ["plain", "video_auc_transfer", 40, -5, 90],
        ["plain", "video_auc_swap", 50, 0.5, 99.5],
        ["attention", "video_auc_transfer", 60, 50, 70],
    ]
    table = pd.DataFrame(rows, columns=["arm", "metric", "value", "low", "high"], index=[7, 8, 9])
    found = kind_bars(table, ["plain", "attention"], "video")
    assert found.index.tolist() == [0, 1, 2]
    assert found.to_numpy().tolist() == [
        ["plain", "swap", 0.5, 0.005, 0.995],
        ["plain", "transfer", 0.4, 0.0, 0.9],
        ["attention", "transfer", 0.6, 0.5, 0.7],
    ]
    assert list(found) == ["arm", "class", "value", "low", "high"]


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
    stages = [f"stage {number}" for number in range(1, 8)]
    ends = ["head convolution", "head's norm", *(["attention"] if arm == "attention" else []), "classifier"]
    assert list(parts.values()) == ["stem", "stem's norm", *stages, *ends]
    counted = sum(p.numel() for path in parts for p in network.get_submodule(path).parameters())
    assert counted == sum(p.numel() for p in network.parameters())


def test_masks_are_those_of_the_rows_or_unknown(tmp_path):
    masks = np.arange(3)[:, None, None] == np.arange(4).reshape(2, 2)
    assert true_masks(tmp_path, np.array([7])) is None
    np.savez(tmp_path / "truth.npz", samples=[5, 7, 9], manipulated=masks)
    assert (true_masks(tmp_path, np.array([9, 5])) == masks[[2, 0]]).all()
    assert true_masks(tmp_path, np.array([9, 6])) is None


def test_one_face_of_each_kind_real_first():
    table = sample_table([1, 1, 0, 1], ["test", "test", "test", "train"], forgery=["b", "a", "none", "c"])
    assert one_of_each_kind(table).tolist() == [2, 0, 1]
    assert one_of_each_kind(table.drop(columns="forgery")).tolist() == [2, 0]


def test_the_first_face_of_each_class_in_the_order_of_the_table():
    table = sample_table(
        [1, 0] * 40, ["test"] * 80, forgery=["none" if n % 2 else f"kind {n // 2 % 20}" for n in range(80)]
    )
    assert one_of_each_kind(table).tolist() == [1, *range(0, 40, 2)]
    assert one_of_each_kind(table.assign(split="val"), "val").tolist() == [1, *range(0, 40, 2)]
    assert one_of_each_kind(table).dtype == np.int64


def test_histories_of_triplets_of_the_arms_that_have_them(tmp_path):
    place = tmp_path / "small/efficientnet/1/plain_siamese"
    place.mkdir(parents=True)
    (place / "triplets.csv").write_text("epoch,train_loss\n1,0.5\n2,0.25\n")
    arguments = (tmp_path, "small", "efficientnet", ["plain", "plain_siamese"])
    table = read_triplets(*arguments, [0, 1])
    assert table[["arm", "seed", "epoch"]].to_numpy().tolist() == [
        ["plain_siamese", 1, 1],
        ["plain_siamese", 1, 2],
    ]
    assert read_triplets(*arguments, [0]).empty
    assert list(read_triplets(*arguments, [0])) == ["arm", "seed", "epoch"]
    other = tmp_path / "small/efficientnet/0/plain_siamese"
    other.mkdir(parents=True)
    (other / "triplets.csv").write_text("epoch,train_loss\n1,0.5\n")
    assert read_triplets(*arguments, [0, 1]).index.tolist() == [0, 1, 2]
