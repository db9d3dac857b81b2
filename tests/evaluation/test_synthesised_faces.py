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
    errors_by_option,
    face_rows,
    image_frames,
    judge_faces,
)
from fer_repro.loading.augmentation import resize
from fer_repro.methods.pixel_synthesis import METHOD, SynthesisOptions


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
