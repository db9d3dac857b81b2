"""Heads of face recognition equal the public code they are from: losses and gradients, 2 to 100 classes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_repro.layers.margin_heads import ArcFaceHead, CosFaceHead, SphereFaceHead, unit_rows
from fer_repro.layers.recognition_heads import (
    ConstantArcFaceHead,
    P2SGradMeanHead,
    RevivedSphereFaceHead,
    SphereFace2Head,
    centre_loss,
    start_of_bias,
)

GOLDENS = Path(__file__).parent.parent / "goldens"
TOLERANCE = 1e-9
CASES = json.loads((GOLDENS / "recognition_heads.json").read_text())["cases"]
ARCFACE, COSFACE = "ArcFace_s64.0_m0.5", "CosFace_s64.0_m0.35"
SPHEREFACE, SPHEREFACE2 = "SphereFace_s30.0_m1.7", "SphereFace2_alpha0.7_r40.0_m0.4_t3.0_lw50.0"
OPENSPHERE = {
    ARCFACE: lambda *size: ConstantArcFaceHead(*size, 64.0, 0.5),
    COSFACE: lambda *size: CosFaceHead(*size, 64.0, 0.35),
    SPHEREFACE: lambda *size: RevivedSphereFaceHead(*size, 30.0, 1.7, "constant"),
    SPHEREFACE2: lambda *size: SphereFace2Head(*size, 40.0, 0.4, 3.0, 0.7, 50.0, "constant"),
}
AUTOGRAD = {
    ARCFACE: lambda *size: ArcFaceHead(*size, 64.0, 0.5),
    SPHEREFACE: lambda *size: RevivedSphereFaceHead(*size, 30.0, 1.7, "autograd"),
    SPHEREFACE2: lambda *size: SphereFace2Head(*size, 40.0, 0.4, 3.0, 0.7, 50.0, "autograd"),
}
by_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDENS / "recognition_heads.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.fixture
def inputs(fill):
    """Embeddings, class rows, centres and labels of a case, by the golden's note."""

    def make(case):
        classes, size, count = case["C"], case["d"], case["B"]
        labels = torch.arange(count) * 3 % classes
        assert labels.tolist() == case["labels"]
        weight = torch.from_numpy(fill("weight", (classes, size)))
        features = torch.from_numpy(fill("features", (count, size)))
        if case["track"] == "aligned":
            features = unit_rows(weight[labels]) + 0.3 * unit_rows(features)
        centres = torch.from_numpy(fill("centers", (classes, size)))
        return features.requires_grad_(), weight, centres, labels

    return make


def same(ours, golden, absolute=1e-12):
    """Losses and gradients below 1e-12 are rounding."""
    ours = ours[:16, :16]
    assert ours.dtype == torch.float64
    assert (ours - golden).norm() <= TOLERANCE * golden.norm() + absolute


def built(make, case, weight):
    head = make(case["d"], case["C"]).double()
    with torch.no_grad():
        head.weight.copy_(weight)
    return head


@by_case
@pytest.mark.parametrize("name", OPENSPHERE)
def test_opensphere_has_this_loss_and_this_gradient(golden, inputs, case, name):
    """It normalises rows in place, outside of the graph: its gradient is that of the unit rows."""
    features, weight, _, labels = inputs(case)
    head = built(OPENSPHERE[name], case, weight)
    rows = unit_rows(weight).requires_grad_()
    head.cosines = lambda embeddings: unit_rows(embeddings) @ rows.T
    if name == SPHEREFACE2:
        head.bias.data.fill_(case[name]["bias"])
    loss = head.loss(features, labels)
    assert loss.item() == pytest.approx(case[name]["loss"], rel=TOLERANCE, abs=1e-12)
    loss.backward()
    same(features.grad, golden[f"{case['tag']}_{name}_grad_x"])
    same(rows.grad, golden[f"{case['tag']}_{name}_grad_w"])
    if name == SPHEREFACE2:
        assert head.bias.grad.item() == pytest.approx(case[name]["grad_bias"], rel=TOLERANCE)


@pytest.mark.parametrize("case", [case for case in CASES if case["d"] == 16], ids=lambda case: case["tag"])
@pytest.mark.parametrize("name", OPENSPHERE)
def test_our_rows_learn_the_part_that_turns_them(golden, inputs, case, name):
    """Our rows are normalised inside of the graph, which takes away what would only lengthen a row."""
    features, weight, _, labels = inputs(case)
    head = built(OPENSPHERE[name], case, weight)
    if name == SPHEREFACE2:
        head.bias.data.fill_(case[name]["bias"])
    head.loss(features, labels).backward()
    found, unit = golden[f"{case['tag']}_{name}_grad_w"], unit_rows(weight)
    across = found - (found * unit).sum(dim=1, keepdim=True) * unit
    same(head.weight.grad, across / weight.norm(dim=1, keepdim=True))


@by_case
@pytest.mark.parametrize("name", AUTOGRAD)
def test_autograd_has_the_same_loss_and_another_gradient(golden, inputs, case, name):
    features, weight, _, labels = inputs(case)
    head = built(AUTOGRAD[name], case, weight)
    if name == SPHEREFACE2:
        head.bias.data.fill_(case[name]["bias"])
    loss = head.loss(features, labels)
    assert loss.item() == pytest.approx(case[name]["loss"], rel=TOLERANCE, abs=1e-12)
    loss.backward()
    other = golden[f"{case['tag']}_{name}_grad_x"]
    if loss.item() > 1e-6:  # below, both gradients are rounding
        assert (features.grad[:16, :16] - other).norm() > 0.01 * other.norm()
    assert torch.autograd.gradcheck(
        lambda x: head.loss(x, labels), features.detach().clone().requires_grad_(), fast_mode=True
    )


@by_case
@pytest.mark.parametrize("step", [1, 10000])
def test_sphereface_pytorch_anneals_like_this(golden, inputs, case, step):
    features, weight, _, labels = inputs(case)
    name = f"AngleLoss_m4_it{step}"
    head = built(lambda *size: SphereFaceHead(*size, 4, 1500.0, 0.1, 5.0), case, weight)
    head.steps.fill_(step - 1)
    loss = head.loss(features, labels)
    assert loss.item() == pytest.approx(case[name]["loss"], rel=TOLERANCE)
    loss.backward()
    same(features.grad, golden[f"{case['tag']}_{name}_grad_x"])
    same(head.weight.grad, golden[f"{case['tag']}_{name}_grad_w"])
    assert case[name]["lambda"] == pytest.approx(max(5, 1500 / (1 + 0.1 * step)))


@by_case
def test_p2sgrad_as_a_mean_of_squares(golden, inputs, case):
    """torch.renorm adds 1e-7 to the lengths there."""
    features, weight, _, labels = inputs(case)
    head = built(P2SGradMeanHead, case, weight)
    loss = head.loss(features, labels)
    assert loss.item() == pytest.approx(case["P2SGradLoss"]["loss"], rel=1e-6)
    loss.backward()
    for ours, name in ((features.grad, "grad_x"), (head.weight.grad, "grad_w")):
        wanted = golden[f"{case['tag']}_P2SGradLoss_{name}"]
        assert (ours[:16, :16] - wanted).norm() <= 1e-6 * wanted.norm()


@by_case
def test_centre_loss_has_no_half(golden, inputs, case):
    features, _, centres, labels = inputs(case)
    centres.requires_grad_()
    loss = centre_loss(features, centres, labels)
    assert loss.item() == pytest.approx(case["CenterLoss"]["loss"], rel=TOLERANCE)
    loss.backward()
    same(features.grad, golden[f"{case['tag']}_CenterLoss_grad_x"])
    same(centres.grad, golden[f"{case['tag']}_CenterLoss_grad_w"])


@by_case
def test_the_bias_begins_where_the_published_form_does(case):
    """Two classes excepted, where that form loses digits."""
    found = start_of_bias(case["C"], 40.0, 0.4, 3.0, 0.7)
    published = case[SPHEREFACE2]["bias"]
    if case["C"] == 2:
        assert round(found, 4) == 46.2877
        assert abs(found - published) > 1e-3
    else:
        assert found == pytest.approx(published, rel=TOLERANCE)
