"""The reversal beside the code of "Learning not to learn"; null space and activations beside numpy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fill import fill

from fer_repro.layers.activations import map_strength
from fer_repro.measures.activation import activation_by_group, activation_ratios
from fer_repro.methods.blinding import negative_entropy, null_projection, reverse_gradient

GOLDENS = Path(__file__).parent.parent / "goldens"
DESCRIBED = json.loads((GOLDENS / "representation_audit.json").read_text())
TIGHT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDENS / "representation_audit.npz") as kept:
        return dict(kept)


def adversary(case):
    """The code's reader of maps, in evaluation mode: convolution, normalisation, ReLU, convolution."""
    filled = {key: torch.from_numpy(fill(key, shape)) for key, shape in case["state_dict"]}
    first, second = ((filled[f"pred_conv{n}.weight"], filled[f"pred_conv{n}.bias"]) for n in (1, 2))
    norm = [filled[f"pred_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]

    def read(features):
        hidden = F.batch_norm(F.conv2d(features, *first, padding=1), *norm)
        return F.conv2d(F.relu(hidden), *second, padding=1)

    return read


@pytest.mark.parametrize("case", DESCRIBED["reversal_cases"], ids=lambda case: case["tag"])
def test_reversal_and_regulariser_are_those_of_the_code(case, arrays):
    tag, read = case["tag"], adversary(case)
    drawn = fill(f"lntl_{tag}", case["shape"])
    features = torch.from_numpy(arrays[f"{tag}_features"]).requires_grad_()
    np.testing.assert_allclose(features.detach(), np.abs(drawn), **TIGHT)
    logits = read(features)
    np.testing.assert_allclose(logits.detach(), arrays[f"{tag}_logits"], **TIGHT)
    found = negative_entropy(logits)
    assert found.item() == pytest.approx(case["regulariser"], rel=1e-9)
    (gradient,) = torch.autograd.grad(found, features)
    np.testing.assert_allclose(gradient, arrays[f"{tag}_grad_regulariser"], **TIGHT)
    labels = torch.from_numpy(arrays[f"{tag}_labels"])
    loss = F.cross_entropy(read(reverse_gradient(features, -case["reversal"])), labels, ignore_index=255)
    assert loss.item() == pytest.approx(case["adversary_loss"], rel=1e-9)
    (gradient,) = torch.autograd.grad(loss, features)
    np.testing.assert_allclose(gradient, arrays[f"{tag}_grad_reversed"], **TIGHT)


@pytest.mark.parametrize("case", DESCRIBED["null_space_cases"], ids=lambda case: case["tag"])
def test_nothing_is_left_along_the_rows_of_a_probe(case, arrays):
    tag = case["tag"]
    faces = fill(f"null_x_{tag}", (case["N"], case["D"]))
    first, second = (fill(f"null_{name}_{tag}", (case["C"], case["D"])) for name in ("w", "w2"))
    projection = null_projection(first)
    np.testing.assert_allclose(projection, arrays[f"{tag}_projection"], **TIGHT)
    np.testing.assert_allclose(faces @ projection, arrays[f"{tag}_projected"], **TIGHT)
    assert np.abs(faces @ projection @ first.T).max() < 1e-12
    assert np.linalg.matrix_rank(first) == case["rank"]
    both = null_projection(np.concatenate([first, second @ projection]))
    np.testing.assert_allclose(faces @ both, arrays[f"{tag}_two_rounds"], **TIGHT)


@pytest.mark.parametrize("case", DESCRIBED["activation_cases"], ids=lambda case: case["tag"])
def test_activations_are_averaged_over_images_and_filters(case, arrays):
    maps, groups = torch.from_numpy(arrays[f"{case['tag']}_maps"]), np.array(case["groups"])
    for kind, values in map_strength(maps).items():
        expected = [np.nan if each is None else each for each in case[f"{kind}_activation"]]
        found = activation_by_group(values.numpy(), groups, len(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert case["ratio_max"] == [None] * 3  # two groups of the golden are empty: ours refuses that
    with pytest.raises(Exception, match="group 1 has no samples"):
        activation_ratios(map_strength(maps)["max"].numpy(), groups, 3)


def test_ratios_are_those_of_a_loop_over_images(arrays):
    maps, groups = np.abs(arrays["g3_maps"]), np.arange(12) % 3
    maps[groups == 1] *= 0.6
    means = [
        np.mean([maps[i, k].max() for i in np.flatnonzero(groups == g) for k in range(5)]) for g in range(3)
    ]
    found = activation_ratios(map_strength(torch.from_numpy(maps))["max"].numpy(), groups, 3)
    np.testing.assert_allclose(found, np.array(means) / max(means), rtol=1e-12)
    assert found.argmin() == 1
