"""Activation ratios, where groups or activity may be missing; class activation maps beside the golden."""

import json
from pathlib import Path

import numpy as np
import pytest
from fill import fill

from fer_repro.errors import UserError
from fer_repro.measures.activation import activation_by_group, activation_ratios, class_maps

GOLDENS = Path(__file__).parent.parent / "goldens"
CASES = json.loads((GOLDENS / "class_activation.json").read_text())["cases"]


def test_the_strongest_group_has_the_ratio_one():
    strengths, groups = np.array([1.0, 3.0, 8.0, 4.0]), np.array([0, 0, 1, 1])
    assert activation_by_group(strengths, groups, 2).tolist() == [2.0, 6.0]
    np.testing.assert_allclose(activation_ratios(strengths, groups, 2), [1 / 3, 1])


def test_an_empty_group_and_a_silent_layer_are_refused():
    with pytest.raises(UserError, match="group 2 has no samples"):
        activation_ratios(np.ones(2), np.array([0, 1]), 3)
    with pytest.raises(UserError, match="is 0 for all samples"):
        activation_ratios(np.zeros(2), np.array([0, 1]), 2)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
def test_class_maps_are_those_of_the_golden(case):
    tag, shape = case["tag"], (case["B"], case["K"], *case["spatial"])
    with np.load(GOLDENS / "class_activation.npz") as kept:
        golden = {name.removeprefix(f"{tag}_"): kept[name] for name in kept.files if name.startswith(tag)}
    features = np.maximum(0, fill(f"cam_f_{tag}", shape)) * 3
    weight, bias = fill(f"cam_w_{tag}", (case["C"], case["K"])), fill(f"cam_b_{tag}", (case["C"],))
    np.testing.assert_allclose(features, golden["features"], rtol=1e-9)
    found = class_maps(features, weight)
    np.testing.assert_allclose(found, golden["cam"], rtol=1e-9, atol=1e-12)
    means = found.reshape(*found.shape[:2], -1).mean(axis=2)
    np.testing.assert_allclose(means + bias, golden["logits"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("places", [(1, 1), (3,), (4, 9), (2, 3, 2)])
def test_class_maps_are_those_of_a_loop(places):
    draws = np.random.default_rng(len(places))
    features, weight = draws.normal(size=(2, 5, *places)), draws.normal(size=(3, 5))
    found = class_maps(features, weight)
    for n in range(2):
        for c in range(3):
            np.testing.assert_allclose(found[n, c], sum(weight[c, k] * features[n, k] for k in range(5)))


def test_weights_of_other_maps_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 5, 3, 3\), weights \(3, 4\)"):
        class_maps(np.zeros((2, 5, 3, 3)), np.zeros((3, 4)))
