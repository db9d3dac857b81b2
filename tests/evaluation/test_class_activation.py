"""Class activation maps of runs against a loop, their scores against scikit-learn, and who has none."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score
from untrained_runs import SIDE, write_images, write_untrained

from fer_repro.config import run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation.class_activation import (
    areas_by_class,
    centre_maps,
    class_activations,
    face_areas,
    gains_over_controls,
    maps_of_run,
)
from fer_repro.layers.activations import last_maps
from fer_repro.loading.augmentation import clean_images
from fer_repro.measures.saliency import smooth
from fer_repro.synthetic.factors import write_truth

FACES = pd.DataFrame({"label": [0, 1, 0, 1, 1], "subject": list("abcde"), "clip": "", "split": "test"})
ROWS = np.array([4, 0, 3])


def run_of(tmp_path, method, arm, seed=0, dataset="synthetic"):
    network = write_untrained(tmp_path / "runs", method, dataset, arm, seed, 2)
    return network, run_folder(tmp_path / "runs", dataset, method, seed, arm)


@pytest.mark.parametrize(
    ("method", "arm", "dataset"),
    [
        ("rmn", "masked", "synthetic"),
        ("maxout", "pgm", "synthetic"),
        ("efficientnet", "attention", "synthetic_forgeries"),
    ],
)
def test_maps_are_of_the_true_class_and_add_up_to_its_logit(tmp_path, method, arm, dataset):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    network, folder = run_of(tmp_path, method, arm, dataset=dataset)
    found = maps_of_run(folder, store, ROWS)
    images = clean_images(torch.from_numpy(np.array(store.images[ROWS]))[:, None], 32)
    with torch.no_grad():
        logits = network(images)
    logits = getattr(logits, "logits", logits)[range(3), [1, 0, 1]]
    biases = last_maps(network, images).bias[[1, 0, 1]]
    np.testing.assert_allclose(found.mean(axis=(1, 2)) + biases.numpy(), logits, rtol=1e-4, atol=1e-5)


def test_initial_weights_are_a_seeds_and_set_no_other_numbers(tmp_path):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    _, folder = run_of(tmp_path, "rmn", "no_mask", seed=3)
    maps, states = [], []
    for untrained in (None, 3, 4):
        torch.manual_seed(0)
        maps.append(maps_of_run(folder, store, ROWS, untrained))
        states.append(torch.get_rng_state())
    assert all(torch.equal(state, states[0]) for state in states)
    np.testing.assert_array_equal(maps[0], maps[1])  # that run was never trained
    assert not np.allclose(maps[1], maps[2])


def test_a_network_that_ends_otherwise_names_those_that_do_not(tmp_path):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    _, folder = run_of(tmp_path, "ran", "softmax_weights")
    with pytest.raises(
        UserError, match=r"not the mean of maps .*; arms of ran that have them: whole_face, wide_face$"
    ):
        maps_of_run(folder, store, ROWS)
    _, folder = run_of(tmp_path, "fan", "self_relation", dataset="synthetic_clips")
    with pytest.raises(UserError, match="fan takes frames, not images"):
        maps_of_run(folder, store, ROWS)


def test_scores_are_those_of_each_face_and_class(tmp_path):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    arms = {arm: {s: run_of(tmp_path, "rmn", arm, s)[1] for s in (0, 1)} for arm in ("masked", "no_mask")}
    assert class_activations(arms, store, ROWS) == {}
    assert areas_by_class({}, store, ROWS).empty
    assert gains_over_controls({}, [], store, ROWS, 0.95).empty
    truths = np.random.default_rng(0).random((len(FACES), SIDE, SIDE)) < 0.3
    truths[3] = False
    write_truth(store.folder, {"samples": np.arange(len(FACES)), "expressive": truths})
    areas = class_activations(arms, store, ROWS)
    assert list(areas)[:4] == ["masked", "no_mask", "masked, untrained", "centre"]
    assert list(areas)[4].startswith("truth at 1 × 1")
    for seed, folder in arms["no_mask"].items():
        maps = smooth(maps_of_run(folder, store, ROWS), SIDE, SIDE)
        expected = [
            average_precision_score(truths[row].ravel(), each.ravel())
            for row, each in zip(ROWS[:2], maps, strict=False)
        ]
        np.testing.assert_allclose(areas["no_mask"][seed, :2], expected, atol=1e-6)
    assert all(np.isnan(values[:, 2]).all() for values in areas.values())  # that face has nothing to find
    np.testing.assert_array_equal(areas["masked"], areas["masked, untrained"])
    table = areas_by_class(areas, store, ROWS)
    assert table[["class", "faces"]].to_numpy().tolist() == [["a", 1], ["b", 1], ["all", 2]]
    assert table["no_mask"].iloc[1] == pytest.approx(areas["no_mask"][:, 0].mean())
    assert table["chance"].iloc[2] == pytest.approx(truths[[4, 0]].mean())
    gains = gains_over_controls(areas, ("masked", "no_mask"), store, ROWS, 0.95)
    assert gains["weights"].tolist() == [f"{arm} − {other}" for arm in arms for other in list(areas)[2:4]]
    assert gains["mean"].iloc[0] == 0
    assert gains["items"].tolist() == [2] * 4


def test_the_centre_falls_from_the_middle_to_the_corners():
    (blob,) = centre_maps(1, 5, 7)
    assert blob.argmax() == 2 * 7 + 3
    assert blob[0, 0] == blob[4, 6] == blob.min()
    truth = np.zeros((1, 5, 7), bool)
    truth[0, 1:4, 2:5] = True
    assert face_areas(blob[None], truth)[0] == 1
