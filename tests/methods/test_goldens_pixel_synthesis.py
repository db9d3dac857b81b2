"""Weights and outputs against those of the authors' own code, and the whole way through picture files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_repro.methods.pixel_synthesis import GlobalMap, PixelMap, scaled, stretched, window_places

GOLDENS = Path(__file__).parent.parent / "goldens"


def described(name):
    return json.loads((GOLDENS / f"{name}.json").read_text())


def arrays(name):
    with np.load(GOLDENS / f"{name}.npz") as found:
        return dict(found)


MASKED, CHOSEN = (described(name)["cases"] for name in ("masked_regression", "pixel_synthesis_omp"))


def close(ours, golden):
    assert np.linalg.norm(ours - golden) <= 1e-9 * np.linalg.norm(golden)


def dense(module, channel=0):
    """The authors' layout: (P, P + 1), the bias last."""
    places, weights = module.places.numpy(), module.weights.numpy()[channel]
    matrix = np.zeros((len(places), len(places) + 1))
    for row in range(len(places)):
        for place, weight in zip(places[row], weights[row], strict=True):
            matrix[row, place] += weight
    matrix[:, -1] = module.biases.numpy()[channel]
    return matrix


def squares(pixels, size):
    return pixels.reshape(len(pixels), -1, size, size)


@pytest.mark.parametrize("case", MASKED, ids=lambda case: case["tag"])
def test_windows(image, case):
    golden, tag, size = arrays("masked_regression"), case["tag"], case["image_size"]
    x, t, new = (squares(image(f"mr_{part}_{tag}", shape), size) for part, shape in parts(case))
    module = PixelMap()
    module.solve(x, t, case["receptive_field"], case["lamda"])
    ours = dense(module)
    close(ours, golden[f"{tag}_weights"])
    assert np.count_nonzero(ours, axis=1).tolist() == case["nonzero_per_row"]
    for images, name in ((x, "fitted"), (new, "new")):
        close(module(torch.from_numpy(images)).numpy().reshape(len(images), -1), golden[f"{tag}_{name}"])
    error = np.square(module(torch.from_numpy(x)).numpy() - t).mean()
    assert error == pytest.approx(case["train_mse"], rel=1e-9)


def parts(case):
    shapes = case["inputs"]
    return [(part, shapes[f"mr_{part}_{case['tag']}"]) for part in ("x", "t", "new")]


@pytest.mark.parametrize("receptive_field", [1, 3])
def test_the_example_of_three_by_three(image, receptive_field):
    x, t = (squares(image(key, (5, 9)), 3) for key in ("mr_x", "mr_t"))
    module = PixelMap()
    module.solve(x, t, receptive_field, 0.4)
    close(dense(module), arrays("masked_regression")[f"notes_r{receptive_field}_weights"])


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case["tag"])
def test_chosen_pixels(image, case):
    size, tag = case["image_size"], case["tag"]
    x, t = (squares(image(f"omp_{part}_{tag}", (case["pairs"], 3 * size**2)), size) for part in "ab")
    golden, module = arrays("pixel_synthesis_omp")[f"{tag}_weights"], PixelMap()
    if case["model"] == "OMP":
        module.choose(x, t, case["f"], case["lamda"])
    else:  # its bonus for near pixels is infinite at the same place: a window of one, shared by the channels
        joined = (each.reshape(-1, 1, size, size) for each in (x, t))
        module.solve(*joined, 1, case["lamda"])
    close(dense(module), golden)


def test_through_picture_files():
    golden = arrays("masked_regression_files")
    x, t, new = (
        scaled(golden[name].astype(np.float64)[:, None]) for name in ("train_a", "train_b", "test_a")
    )
    close(new.reshape(2, -1), golden["scaled_test_a"])
    module = PixelMap()
    module.solve(x, t, 3, 0.4)
    close(dense(module), golden["weights"][0])
    outputs = module(torch.from_numpy(new)).numpy()
    close(np.moveaxis(outputs, 1, 3), golden["unstretched"])
    saved = np.moveaxis(stretched(outputs), 1, 3).astype(int)
    assert np.abs(saved - golden["official_saved"].astype(int)).max() <= 1


def test_a_window_over_everything_is_the_global_map(image):
    x, t = (squares(image(key, (5, 9)), 3) for key in ("mr_x", "mr_t"))
    local, everything = PixelMap(), GlobalMap()
    local.solve(x, t, 5, 0.4)
    everything.solve(x, t, 0.4)
    assert all(len(places) == 9 for places in window_places(3, 5))
    close(dense(local), everything.weights.numpy()[0])
