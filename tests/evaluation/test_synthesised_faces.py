import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError
from fer_repro.evaluation.synthesised_faces import (
    COLUMNS,
    REPEATED,
    enlarge_class,
    errors_by_option,
    face_rows,
    image_frames,
    judge_faces,
    rare_class_rows,
)
from fer_repro.loading.augmentation import resize
from fer_repro.methods.pixel_synthesis import METHOD, SynthesisOptions
from fer_repro.runs.predictions import write_packed
from fer_repro.synthetic.render import render
from fer_repro.synthetic.smiles import sample_expressions


class Brightness(torch.nn.Module):
    """Calls an image ``happy`` where it is bright; its embedding is the mean of each half."""

    def forward(self, images):
        assert images.shape[1:] == (3, 8, 8)  # three channels, at the network's own size
        assert float(images.min()) >= 0
        assert float(images.max()) <= 1
        mean = images.mean(dim=(1, 2, 3))
        return SimpleNamespace(logits=torch.stack([0.5 - mean, mean - 0.5], dim=1))

    def embed(self, images):
        return torch.stack([images[..., :4].mean(dim=(1, 2, 3)), images[..., 4:].mean(dim=(1, 2, 3))], dim=1)


@pytest.fixture
def run():
    network = Brightness().eval()
    return SimpleNamespace(
        network=network, classes=("neutral", "happy"), config={"recipe": {"image_size": 8}}
    )


@pytest.fixture
def faces():
    inputs = torch.full((2, 1, 4, 4), 0.25)
    inputs[1, :, :, 2:] = 0.0
    return inputs, torch.full((2, 1, 4, 4), 0.75)


def test_every_arm_has_a_row_for_each_face(run, faces):
    inputs, targets = faces
    outputs = {"bright": torch.full((2, 1, 4, 4), 1.5), "half": (inputs + targets) / 2}
    table = judge_faces(outputs, inputs, targets, run, "happy", run)
    assert tuple(table.columns) == COLUMNS
    assert table["arm"].tolist() == [arm for arm in ("copy", "target", "bright", "half") for _ in range(2)]
    by_arm = table.set_index(["arm", "face"])
    assert by_arm["mse"].loc["copy"].tolist() == [0.25, (0.25 + 0.5625) / 2]
    assert by_arm["mse"].loc["target"].tolist() == [0, 0]
    assert by_arm["mse"].loc["bright"].tolist() == [0.5625, 0.5625]  # before it is limited for the networks
    assert by_arm["called"].loc["copy"].tolist() == [False, False]
    assert by_arm["called"].loc["bright"].tolist() == [True, True]


def test_similarity_is_of_output_and_input(run, faces):
    inputs, targets = faces
    table = judge_faces({}, inputs, targets, run, "happy", run).set_index(["arm", "face"])
    assert table["similarity"].loc["copy"].tolist() == pytest.approx([1, 1])
    assert table["similarity"].loc["target", 0] == pytest.approx(1)  # both halves alike, as in the input
    enlarged = [resize(images[1:].expand(-1, 3, -1, -1), 8) for images in (inputs, targets)]
    vectors = [run.network.embed(images) for images in enlarged]
    a, b = (vector[0].double().numpy() for vector in vectors)
    assert table["similarity"].loc["target", 1] == pytest.approx(
        a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-3
    )


def test_an_unknown_expression_is_refused(run, faces):
    with pytest.raises(UserError, match="no class 'happpy'; did you mean 'happy'"):
        judge_faces({}, *faces, run, "happpy", run)


@pytest.fixture
def store(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4)).astype(np.uint8)
    table = pd.DataFrame(
        {
            "image": np.arange(20),
            "label": 0,
            "subject": [f"s{row // 2}" for row in range(20)],
            "clip": [f"s{row // 2}" for row in range(20)],
            "split": ["train"] * 12 + ["val"] * 2 + ["test"] * 6,
        }
    )
    return write_store(tmp_path / "set", "set", ("0",), images, table, {})


def test_frames_are_an_image_and_the_wanted_one(store):
    frames = image_frames(store, "test")
    assert frames.shape == (3, 2, 1, 4, 4)
    for pair in range(3):
        for side in range(2):
            expected = store.images[14 + 2 * pair + side] / 255
            np.testing.assert_allclose(frames[pair, side, 0].numpy(), expected, rtol=1e-6)


def test_errors_by_pairs_are_those_of_the_pairs_that_were_drawn(store):
    options = SynthesisOptions(pairs=1, strength=0.4, weak=0.01, chosen=1)  # values replace it
    table = errors_by_option(METHOD, options, ("mean_difference",), store, (0, 1), 0.95, "pairs", (2, 6, 50))
    assert table["setting"].tolist() == [2, 6]
    images = store.images.astype(float)
    errors = []
    for seed in (0, 1):
        people = np.argsort(hashes(seed, Stream.PAIRS, 0, np.arange(6)))[:2]
        mean = sum(images[2 * person + 1] - images[2 * person] for person in people) / 2
        gaps = [images[row] + mean - images[row + 1] for row in (14, 16, 18)]
        errors.append(np.mean(np.square(gaps)))
    assert table["value"][0] == pytest.approx(np.mean(errors), rel=1e-5)
    assert table["low"][0] < table["value"][0] < table["high"][0]
    assert np.isnan(table["low"][1])  # all pairs: no draw


def test_another_lambda_is_another_map(store):
    options = SynthesisOptions(pairs=4, strength=0.4, weak=0.01, chosen=1)
    table = errors_by_option(METHOD, options, ("window_1",), store, (0, 1), 0.95, "strength", (0.01, 0.4))
    again = errors_by_option(METHOD, options, ("window_1_weak",), store, (0, 1), 0.95, "pairs", (4,))
    assert table["setting"].tolist() == [0.01, 0.4]
    assert table["value"][0] == again["value"][0]
    assert table["value"][0] != table["value"][1]


def test_faces_are_listed_person_after_person(store):
    frames = image_frames(store, "test")
    table = face_rows(frames, {"bright": frames[:, 0] + 2}, [0, 2])
    assert table["title"].tolist() == ["neutral", "wanted", "bright"] * 2
    assert table["image"][2].shape == (4, 4)
    assert table["image"][2].min() == 1  # limited
    np.testing.assert_allclose(table["image"][4], store.images[19] / 255, rtol=1e-6)


OPTIONS = SynthesisOptions(pairs=12, strength=0.4, weak=0.01, chosen=1)
CLASSES = ("angry", "disgust", "neutral", "bored")


def small_set(folder, colour=False):
    """Six grey faces of each class, one in three to test, with pixels of their own."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (18, 16, 16, 3) if colour else (18, 16, 16), dtype=np.uint8)
    table = pd.DataFrame(
        {"image": range(18), "label": np.arange(18) % 3, "subject": "", "clip": "", "split": "train"}
    )
    table.loc[table.index >= 12, "split"] = "test"
    return write_store(folder, "few", CLASSES, images, table, {})


@pytest.mark.parametrize("colour", [False, True])
def test_faces_of_a_rare_class_are_added_to_the_training_part_alone(tmp_path, colour):
    store = small_set(tmp_path / "few", colour)
    more = enlarge_class(store, tmp_path / "folder-few", METHOD, OPTIONS, "window_3", 3, 0)
    assert (more.manifest.name, len(more.samples)) == ("folder-few", 21)
    old = more.samples[more.samples["added"] == ""]
    assert old.drop(columns="added").equals(store.samples)
    assert np.array_equal(more.images[:18], store.images)
    new = more.samples[18:]
    assert set(new["added"]) == {"window_3"}
    assert set(new["label"]) == {1}
    assert set(new["split"]) == {"train"}
    assert "3 training faces of 'disgust' added: window_3, seed 0" in more.manifest.note
    assert not any(
        (image == store.images).all(axis=tuple(range(1, image.ndim + 1))).any() for image in more.images[18:]
    )


def test_a_control_adds_the_faces_that_are_there(tmp_path):
    store = small_set(tmp_path / "few")
    own = store.images[:12][store.samples["label"].to_numpy()[:12] == 1]
    again = enlarge_class(store, tmp_path / "a", METHOD, OPTIONS, REPEATED, 8, 0).images[18:]
    copies = [sum(np.array_equal(image, face) for image in again) for face in own]
    assert copies == [2, 2, 2, 2]  # all of them equally often, none of the test part
    neutral = store.images[:12][store.samples["label"].to_numpy()[:12] == 2]
    copied = enlarge_class(store, tmp_path / "b", METHOD, OPTIONS, "copy", 4, 0).images[18:]
    assert sorted(image.tobytes() for image in copied) == sorted(image.tobytes() for image in neutral)


def test_added_faces_are_what_the_map_makes_of_neutral_ones(tmp_path):
    store = small_set(tmp_path / "few")
    added = enlarge_class(store, tmp_path / "a", METHOD, OPTIONS, "mean_difference", 4, 0).images[18:]
    given = enlarge_class(store, tmp_path / "b", METHOD, OPTIONS, "copy", 4, 0).images[18:]
    pairs = render(sample_expressions(0, {"train": 12}, "disgust"), 16).images.astype(float)
    change = (pairs[1::2] - pairs[::2]).mean(axis=0)
    assert np.abs(change).max() > 5
    assert np.abs(added - np.rint((given + change).clip(0, 255))).max() <= 1
    others = enlarge_class(store, tmp_path / "c", METHOD, OPTIONS, "copy", 2, 1).images[18:]
    assert not np.array_equal(others, given[:2])  # another seed changes other faces


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"count": 5}, "4 training faces of 'neutral', 5 to add"),
        ({"count": 0}, "expected 1 to as many"),
        ({"count": 0, "arm": REPEATED}, "expected 1 to as many"),
        ({"wanted": "disgusst"}, "no class 'disgusst'; did you mean 'disgust'"),
        ({"arm": "window3"}, "no arm 'window3'"),
        ({"wanted": "bored"}, "no drawn face shows 'bored'"),
    ],
)
def test_what_cannot_be_added_is_refused(tmp_path, changed, message):
    store = small_set(tmp_path / "few")
    given = {"arm": "copy", "count": 2, "seed": 0} | changed
    with pytest.raises(UserError, match=message):
        enlarge_class(store, tmp_path / "more", METHOD, OPTIONS, **given)
    assert not (tmp_path / "more").exists()


def write_rare(folder, dataset, answers, recipe="few", half=False):
    """A record of maxout's control whose kept runs give these answers: seed -> (N,) classes of four faces."""
    folder.mkdir()
    (folder / "record.json").write_text(
        json.dumps({"method": "maxout", "recipe_name": recipe, "dataset": dataset, "half_epochs": half})
    )
    for seed, given in answers.items():
        run = folder / "runs" / dataset / "maxout" / str(seed) / "none"
        run.mkdir(parents=True)
        (run / "metrics.json").write_text("{}")
        logits = np.eye(3, dtype=np.float16)[np.asarray(given)]
        write_packed(
            run,
            np.array(["test"] * 4),
            classes=np.array(["angry", "disgust", "neutral"]),
            samples=np.arange(4),
            targets=np.array([1, 1, 0, 2]),
            logits=logits,
            probabilities=logits,
        )


def test_networks_with_and_without_added_faces_are_compared_seed_by_seed(tmp_path):
    assert rare_class_rows(tmp_path, "few", "maxout", "none", 0.95).empty
    write_rare(tmp_path / "b", "folder-few_window_3", {0: [1, 1, 0, 1], 1: [1, 0, 0, 2]})
    assert rare_class_rows(tmp_path, "few", "maxout", "none", 0.95).empty
    write_rare(tmp_path / "c", "few", {0: [1, 0, 0, 2], 1: [0, 0, 0, 2], 2: [1, 1, 1, 1]})
    write_rare(tmp_path / "d", "few", {0: [0, 0, 0, 0]}, "long")  # of another recipe
    write_rare(tmp_path / "e", "few", {0: [0, 0, 0, 0]}, half=True)
    table = rare_class_rows(tmp_path, "few", "maxout", "none", 0.95).set_index(["added", "measure"])
    assert table.index.get_level_values("added").unique().tolist() == ["nothing", "window_3"]
    assert table["seeds"].tolist() == [3, 3, 3, 2, 2, 2]
    assert table.loc["nothing"]["value"].tolist() == pytest.approx([50, 100 / 3, 175 / 3])
    assert table.loc["window_3"]["value"].tolist() == pytest.approx([75, 25, 75])
    assert table.loc["nothing"]["gain"].tolist() == [0, 0, 0]
    assert table.loc["window_3"]["gain"].tolist() == pytest.approx([50, 25, 12.5])
    assert (table["gain_low"] <= table["gain"]).all()
    assert (table["gain_high"] >= table["gain"]).all()
