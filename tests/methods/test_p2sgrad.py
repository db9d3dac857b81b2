"""P2SGrad against the golden and a loop written from Eq. 11."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from smoothed_controls import check_smoothing_of_softmax

from fer_repro.errors import UserError
from fer_repro.layers.margin_heads import cosines
from fer_repro.methods.p2sgrad import METHOD, P2SGradHead, P2SGradOptions, gradients, residuals

TOLERANCE = 1e-9
GOLDENS = Path(__file__).parent.parent / "goldens"
CASES = json.loads((GOLDENS / "p2sgrad.json").read_text())["cases"]


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDENS / "p2sgrad.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def close(ours, golden):
    golden = torch.as_tensor(golden, dtype=torch.float64)
    return bool((ours.detach() - golden).norm() <= TOLERANCE * golden.norm())


def inputs(fill, case):
    weight = torch.from_numpy(fill("weight", (case["C"], case["d"])))
    features = torch.from_numpy(fill("features", (case["B"], case["d"])))
    labels = torch.tensor(case["labels"])
    if case["track"] == "aligned":
        own = weight[labels]
        features = own / own.norm(dim=1, keepdim=True) + 0.3 * features / features.norm(dim=1, keepdim=True)
    return features, weight, labels


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
def test_loss_and_gradients_equal_the_golden(case, arrays, fill):
    features, weight, labels = inputs(fill, case)
    similar = cosines(features, weight)
    assert close(similar[:, :64], arrays[f"{case['tag']}_cos"])
    assert close(residuals(similar, labels)[:, :64], arrays[f"{case['tag']}_residual"])
    for_x, for_w = gradients(features, weight, labels)
    assert close(for_x[:, :64], arrays[f"{case['tag']}_grad_features"])
    assert close(for_w[:64, :64], arrays[f"{case['tag']}_grad_weight"])
    assert close(for_x.norm(dim=1), case["per_sample_feature_gradient_length"])
    for reduction, loss, norms in (
        ("sample_mean", "half_squared_error_per_sample_mean", "batch_mean"),
        ("entry_mean", "mse_loss_mean_over_B_and_C", "mse_mean"),
    ):
        head = P2SGradHead(case["d"], case["C"], reduction).double()
        head.weight = torch.nn.Parameter(weight)
        ours = head.loss(features.requires_grad_(), labels)
        assert close(ours, case[loss])
        ours.backward()
        assert close(features.grad.norm(), case[f"grad_features_norm_{norms}"])
        assert close(head.weight.grad.norm(), case[f"grad_weight_norm_{norms}"])
        features = features.detach()


def test_the_gradient_equals_the_papers_sum():
    """Eq. 11, sample by sample and class by class."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    w = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    targets = torch.tensor([4, 0, 4])
    naive = torch.zeros_like(x)
    for i in range(3):
        for j in range(5):
            cos = float(x[i] @ w[j]) / (math.hypot(*x[i]) * math.hypot(*w[j]))
            for n in range(4):
                x_hat, w_hat = float(x[i, n]) / math.hypot(*x[i]), float(w[j, n]) / math.hypot(*w[j])
                dcos = (w_hat - cos * x_hat) / math.hypot(*x[i])
                naive[i, n] += (cos - (1.0 if j == targets[i] else 0.0)) * dcos
    torch.testing.assert_close(gradients(x, w, targets)[0], naive, rtol=1e-12, atol=1e-14)


def test_each_gradient_is_orthogonal_to_its_vector():
    x, w = torch.randn(6, 8, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)
    for_x, for_w = gradients(x, w, torch.arange(6) % 3)
    assert (for_x * x).sum(dim=1).abs().max() < 1e-13
    assert (for_w * w).sum(dim=1).abs().max() < 1e-13


def test_many_classes_do_not_weaken_the_gradient():
    """1/N against 2/(N C): a factor C / 2."""
    x, targets = torch.randn(2, 8, dtype=torch.float64), torch.tensor([0, 1])
    norms = {}
    for reduction in ("sample_mean", "entry_mean"):
        torch.manual_seed(0)
        head = P2SGradHead(8, 100, reduction).double()
        head.loss(x, targets).backward()
        norms[reduction] = head.weight.grad.norm()
    torch.testing.assert_close(norms["sample_mean"], 50 * norms["entry_mean"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("count", "classes"), [(1, 2), (1, 7), (4, 2)])
def test_two_classes_a_batch_of_one_and_half_precision(dtype, count, classes):
    head = P2SGradHead(8, classes).to(dtype)
    x = torch.randn(count, 8).to(dtype).requires_grad_()
    loss = head.loss(x, torch.arange(count) % classes)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(x.grad).all()
    assert head.scale.dtype == torch.float32


def test_label_smoothing_is_refused():
    with pytest.raises(UserError, match="no softmax"):
        P2SGradHead(8, 3).loss(torch.randn(2, 8), torch.tensor([0, 1]), label_smoothing=0.1)


def test_a_perfect_batch_has_no_loss_and_no_gradient():
    head = P2SGradHead(3, 3).double()
    head.weight.data = torch.eye(3, dtype=torch.float64)
    x = (5 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    loss = head.loss(x, torch.arange(3))
    loss.backward()
    assert loss.item() == 0
    assert x.grad.abs().max() == 0


OPTIONS = P2SGradOptions(
    width=4, dimensions=8, scale=9.0, cosface_margin=0.3, arcface_margin=0.4, pretraining="none"
)


@pytest.mark.parametrize("arm", METHOD.arms)
def test_each_arm_has_its_head_with_the_recipes_numbers(arm):
    head = METHOD.build_model(arm, OPTIONS, 7).head
    assert head.weight.shape == (7, 8)
    assert getattr(head, "reduction", None) == {"p2sgrad": "sample_mean", "entry_mean": "entry_mean"}.get(arm)
    assert head.scale.item() == (9 if arm in ("l2_softmax", "normface", "cosface", "arcface") else 1)
    assert getattr(head, "margin", None) == {"cosface": 0.3, "arcface": 0.4, "sphereface": 4}.get(arm)
    assert METHOD.build_model(arm, OPTIONS, 7).training


def test_the_mean_over_the_batch_is_the_default():
    x, targets = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
    head = P2SGradHead(8, 3)
    assert head.reduction == "sample_mean"
    wanted = (head.cosines(x) - torch.nn.functional.one_hot(targets, 3)).square().sum() / 10
    torch.testing.assert_close(head.loss(x, targets), wanted)


def test_names_and_widths_are_checked():
    with pytest.raises(UserError, match="p2sgrd"):
        METHOD.build_model("p2sgrd", OPTIONS, 7)
    with pytest.raises(UserError, match=r"model\.width is 4, but .* needs 64"):
        METHOD.build_model("p2sgrad", replace(OPTIONS, pretraining="imagenet"), 7)
    assert METHOD.pretraining_name(OPTIONS) == "none"


def test_smoothing_reaches_the_controls_and_is_refused_by_p2sgrad():
    check_smoothing_of_softmax(METHOD, OPTIONS)
    bare = METHOD.build_model("p2sgrad", OPTIONS, 7)(torch.rand(2, 3, 64, 64))
    with pytest.raises(UserError, match="no softmax"):
        METHOD.build_loss(OPTIONS, 0.1)(bare, torch.tensor([1, 2]))


def test_logits_are_bare_cosines_and_the_head_is_optimised():
    model = METHOD.build_model("p2sgrad", OPTIONS, 7)
    output = model(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(output.logits, cosines(output.embeddings, model.head.weight))
    METHOD.build_loss(OPTIONS)(output, torch.tensor([1, 2])).backward()
    assert model.head.weight.grad.norm() > 0
    assert "head.weight" in dict(model.named_parameters())
