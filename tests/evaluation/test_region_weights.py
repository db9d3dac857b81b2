"""Weights of regions against the network run on single faces, and agreement with cover against scipy."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from untrained_runs import SIDE, write_images, write_untrained

from fer_repro.config import run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation.region_weights import (
    OccludedFaces,
    common_boxes,
    occluded_faces,
    occluded_regions,
    occlusion_agreement,
    region_means,
    region_weights,
    weights_by_cover,
)
from fer_repro.loading.augmentation import clean_images
from fer_repro.loading.regions import AFFECTNET, FIXED, cut_regions
from fer_repro.synthetic.factors import write_truth

FACES = pd.DataFrame(
    {
        "label": [0, 1, 0, 1, 0], "subject": ["a", "a", "b", "b", "c"], "clip": "",
        "split": ["test", "test", "challenge", "challenge", "challenge"],
    }
)  # fmt: skip
LISTED = FACES.assign(occlusion=[0, 0, 1, 0, 1])


def test_faces_of_the_list_come_with_their_pixels(tmp_path):
    store = write_images(tmp_path / "small", LISTED, ("a", "b"))
    assert occluded_faces(store).covered is None
    masks = np.zeros((3, SIDE, SIDE), bool)
    masks[0, 0, 0], masks[2, 1, 1] = True, True
    write_truth(store.folder, {"samples": np.array([4, 3, 2]), "occluded": masks})
    found = occluded_faces(store)
    assert found.rows.tolist() == [2, 4]
    assert [np.argwhere(mask).tolist() for mask in found.covered] == [[[1, 1]], [[0, 0]]]
    assert occluded_faces(store, limit=1).rows.tolist() == [2]


def test_without_a_list_all_test_faces_are_taken(tmp_path):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    write_truth(store.folder, {"samples": np.array([0]), "occluded": np.zeros((1, SIDE, SIDE), bool)})
    found = occluded_faces(store)
    assert found.rows.tolist() == [0, 1]
    assert found.covered is None  # the truth says nothing of face 1


def test_weights_are_those_of_single_faces(tmp_path):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    network = write_untrained(tmp_path / "runs", "ran", "synthetic", "softmax_weights", 0, 2)
    rows = np.array([3, 1, 4])
    folder = run_folder(tmp_path / "runs", "synthetic", "ran", 0, "softmax_weights")
    found = region_weights({0: folder}, store, rows)[0]
    for place, row in enumerate(rows):
        image = torch.from_numpy(np.array(store.images[row]))[None, None]
        regions = cut_regions(clean_images(image, 32), np.array(list(FIXED.values())), 32)
        with torch.no_grad():
            _, attention = network.attend(regions)
        mu, nu = attention.mu[0, :, 0].numpy(), attention.nu[0, :, 0].numpy()
        np.testing.assert_allclose(found["mu"][place], mu, atol=1e-6)
        np.testing.assert_allclose(found["weights"][place], mu * nu / (mu * nu).sum(), atol=1e-6)


def test_agreement_with_cover_is_scipys_and_less_the_mean():
    draws = np.random.default_rng(3)
    coverage, weights = draws.uniform(size=(5, 4)), [draws.uniform(size=(5, 4)) for _ in range(2)]
    faces = OccludedFaces(np.arange(5), None)
    table = occlusion_agreement({"mu": weights}, coverage, faces, FACES, 0.95)
    expected = np.mean(
        [spearmanr(w, c).statistic for each in weights for w, c in zip(each, coverage, strict=True)]
    )
    rest = [each - each.mean(axis=0) for each in weights]
    less = np.mean([spearmanr(w, c).statistic for each in rest for w, c in zip(each, coverage, strict=True)])
    assert table["mean"].tolist() == pytest.approx([expected, less])
    assert table["weights"].tolist() == ["mu", "mu, minus the region's mean"]


def test_agreement_tells_turning_away_from_a_common_liking():
    coverage = np.eye(4)[[0, 1, 2, 3, 0]]
    shy = 0.3 - 0.1 * coverage
    faces = OccludedFaces(np.arange(5), None)
    for measure, value in (("correlation", -1.0), ("difference", -0.1)):
        table = occlusion_agreement({"shy": [shy]}, coverage, faces, FACES, 0.95, measure)
        assert table["mean"].iloc[0] == pytest.approx(value)
    same = np.tile([0.4, 0.3, 0.2, 0.1], (5, 1))
    table = occlusion_agreement({"liking": [same]}, coverage, faces, FACES, 0.95, "difference")
    assert table["mean"].iloc[1] == pytest.approx(0)
    assert occlusion_agreement({"liking": [same]}, None, faces, FACES, 0.95).empty


def test_boxes_common_to_all_faces_are_named():
    assert common_boxes("fixed") == FIXED
    assert common_boxes("affectnet") == AFFECTNET
    with pytest.raises(UserError, match="'random': its regions differ from face to face"):
        common_boxes("random")
    with pytest.raises(UserError, match="fixed"):
        common_boxes("fixd")


def test_cover_is_a_share_of_each_region():
    covered = np.zeros((1, 4, 4), bool)
    covered[0, :2, :2] = True
    boxes = {"left": (0.0, 0.0, 0.5, 1.0), "whole": (0.0, 0.0, 1.0, 1.0)}
    np.testing.assert_allclose(occluded_regions(OccludedFaces(np.array([0]), covered), boxes), [[0.5, 0.25]])
    assert occluded_regions(OccludedFaces(np.array([0]), None), boxes) is None


@pytest.mark.parametrize("crops", ["random", "landmarks"])
def test_boxes_that_differ_from_face_to_face_are_refused(crops):
    with pytest.raises(UserError, match=f"'{crops}': its regions differ from face to face"):
        common_boxes(crops)


def test_means_are_those_of_each_region_and_arm():
    table = region_means({"a": np.array([[0.2, 0.8], [0.4, 0.6]]), "b": np.full((2, 2), 0.5)}, ["top", "all"])
    assert table["arm"].tolist() == ["a", "a", "b", "b"]
    assert table["mean"].tolist() == pytest.approx([0.3, 0.7, 0.5, 0.5])
    assert table["deviation"].tolist() == pytest.approx([0.1, 0.1, 0, 0])


def test_weights_are_averaged_over_faces_of_like_cover():
    cover = np.array([[0.0], [0.0], [0.1], [0.3], [0.6], [0.8]])
    weights = np.array([[0.5], [0.7], [0.4], [0.2], [0.1], [0.3]])
    steps = weights_by_cover(weights, cover, ["top"], steps=2)
    assert steps["share"].tolist() == pytest.approx([0, 0.2, 0.7])
    assert steps["mean"].tolist() == pytest.approx([0.6, 0.3, 0.2])
    assert steps["correlation"].tolist() == pytest.approx([spearmanr(weights[:, 0], cover[:, 0])[0]] * 3)
    assert (steps["low"] < steps["mean"]).all()
    assert weights_by_cover(weights, None, ["top"]).empty
