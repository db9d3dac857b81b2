"""The Region Attention Network against its formulas, written as loops, and the sheet's traps."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from fer_repro.errors import UserError
from fer_repro.layers.cost import count_flops
from fer_repro.methods.ran import (
    METHOD,
    RANLoss,
    RANOptions,
    RANOutput,
    RegionBiasedLoss,
    _build_loss,
    _build_model,
    _explain,
)

OPTIONS = RANOptions(width=4, crops="fixed", margin=0.1, pretraining="none")
SOFTMAX = ("softmax_weights", "no_biased_loss", "no_relation")
BIASED = ("softmax_weights", "sigmoid_weights", "no_relation")
CONTROLS = ("whole_face", "wide_face", "uniform_weights")
ATTENTIVE = [arm for arm in METHOD.arms if arm not in CONTROLS]


def network(arm="softmax_weights", seed=0, sharp=8.0):
    torch.manual_seed(seed)
    model = _build_model(arm, OPTIONS, 8).double().eval()
    with torch.no_grad():  # weights far from equal, so that a wrong weighting shows
        for name, parameter in model.named_parameters():
            if name.startswith(("alpha", "beta")):
                parameter.mul_(sharp)
    return model


def faces(count, regions=6, side=32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, regions, 3, side, side, generator=generator).double()


def linear(layer, vector):
    return [
        sum(w * x for w, x in zip(row, vector, strict=True)) + b
        for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    ]


def gate(head, vector):
    return 1 / (1 + math.exp(-linear(head[0], vector)[0]))


def softmax(values):
    total = sum(math.exp(v) for v in values)
    return [math.exp(v) / total for v in values]


def mean(vectors, weights):
    return [
        sum(w * v[d] for w, v in zip(weights, vectors, strict=True)) / sum(weights)
        for d in range(len(vectors[0]))
    ]


def by_hand(model, regions, arm):
    """Logits and mu of one face, from the sheet's formulas."""
    vectors = model.embed_images(regions).tolist()
    mu = [gate(model.alpha, f) for f in vectors]
    mu = softmax(mu) if arm in SOFTMAX else mu
    face = mean(vectors, mu)
    if model.beta is None:
        return linear(model.fc, face), mu
    joined = [f + face for f in vectors]
    nu = [gate(model.beta, j) for j in joined]
    nu = softmax(nu) if arm in SOFTMAX else nu
    return linear(model.fc, mean(joined, [m * n for m, n in zip(mu, nu, strict=True)])), mu


@pytest.mark.parametrize("arm", ATTENTIVE)
@pytest.mark.parametrize("count", [2, 6, 8])
@torch.no_grad()
def test_logits_and_weights_follow_the_formulas(arm, count):
    model, regions = network(arm), faces(2, count)
    output = model(regions)
    for n, face in enumerate(regions):
        logits, mu = by_hand(model, face, arm)
        close = {"rtol": 1e-9, "atol": 1e-12}
        torch.testing.assert_close(output.logits[n], torch.tensor(logits, dtype=torch.float64), **close)
        if arm in BIASED:
            assert output.largest_crop[n].item() == pytest.approx(max(mu[:-1]), rel=1e-9)
            assert output.whole_face[n].item() == pytest.approx(mu[-1], rel=1e-9)
        else:
            assert output.largest_crop is None
            assert output.whole_face is None


@torch.no_grad()
def test_the_control_sees_the_whole_face_alone():
    model, regions = network("whole_face"), faces(2)
    expected = model.fc(model.embed_images(regions[:, -1]))
    regions[:, :-1] = torch.nan
    assert torch.equal(model(regions).logits, expected)


@torch.no_grad()
def test_the_whole_face_is_the_last_region_and_no_crop():
    """Trap: a reimplementation reads the face at index 0, counts it as a crop and loses the last one."""
    model = network("sigmoid_weights")
    regions = faces(16)
    output, mu = model(regions), _explain(model, regions)["mu"]
    assert torch.equal(output.whole_face[:, 0], mu[:, -1])
    assert torch.equal(output.largest_crop[:, 0], mu[:, :-1].amax(1))
    best = mu.argmax(1)
    assert (best == 5).any(), "the face is the largest of all somewhere"
    assert (mu[:, :-1].argmax(1) == 4).any(), "the last crop is the largest crop somewhere"


@torch.no_grad()
def saturated(arm, regions):
    """A network whose self-attention says 0 or 1, about half of each."""
    model = network(arm)
    scores = model.embed(regions) @ model.alpha[0].weight[0]
    model.alpha[0].weight.mul_(1e6)
    model.alpha[0].bias.fill_(-1e6 * scores.mean())
    return _explain(model, regions)["mu"]


@pytest.mark.parametrize(("count", "low", "high"), [(6, 0.0685, 0.3522), (8, 0.0499, 0.2797)])
@torch.no_grad()
def test_softmax_over_sigmoids_cannot_concentrate(count, low, high):
    """Sheet: the weights are confined, and no margin above (e - 1) / (e + K - 1) can be met."""
    mu = saturated("softmax_weights", faces(64, count))
    assert mu.min() > low - 5e-5
    assert mu.max() < high + 5e-5
    bound = (math.e - 1) / (math.e + count - 1)
    spread = (mu.amax(1) - mu.amin(1)).max()
    assert 0.9 * bound < spread <= bound + 1e-9
    assert bound == pytest.approx({6: 0.2226, 8: 0.1768}[count], abs=5e-5)


@torch.no_grad()
def test_the_papers_weights_can():
    mu = saturated("sigmoid_weights", faces(64))
    assert (mu.amax(1) - mu.amin(1)).max() > 0.99


@torch.no_grad()
def test_the_loss_starts_near_its_margin():
    for margin in (0.1, 0.03, 0.02):
        output = network(sharp=1.0)(faces(8))
        loss = RegionBiasedLoss(margin)(output.largest_crop, output.whole_face)
        assert loss.item() == pytest.approx(margin, abs=0.01)


def test_the_region_biased_loss_by_hand():
    largest = torch.tensor([[0.30], [0.20], [0.25], [0.10]], dtype=torch.float64, requires_grad=True)
    whole = torch.tensor([[0.10], [0.15], [0.25], [0.30]], dtype=torch.float64, requires_grad=True)
    loss = RegionBiasedLoss(0.1)(largest, whole)
    loss.backward()
    assert loss.item() == pytest.approx((0 + 0.05 + 0.1 + 0.3) / 4)
    assert largest.grad.flatten().tolist() == [0, -0.25, -0.25, -0.25]
    assert whole.grad.flatten().tolist() == [0, 0.25, 0.25, 0.25]


def test_the_losses_are_added_with_weight_one():
    logits, targets = torch.randn(4, 8), torch.tensor([0, 1, 2, 7])
    weights = torch.rand(4, 1), torch.rand(4, 1)
    for smoothing in (0.0, 0.1):
        entropy = cross_entropy(logits, targets, label_smoothing=smoothing)
        loss = _build_loss(OPTIONS, smoothing)
        both = loss(RANOutput(logits, *weights), targets)
        torch.testing.assert_close(both, entropy + RegionBiasedLoss(0.1)(*weights))
        assert torch.equal(loss(RANOutput(logits), targets), entropy)
        assert torch.equal(loss(logits, targets), entropy)


def test_the_biased_loss_may_weigh_more():
    logits, targets = torch.randn(4, 8), torch.tensor([0, 1, 2, 7])
    weights = torch.rand(4, 1), torch.rand(4, 1)
    entropy, biased = cross_entropy(logits, targets), RegionBiasedLoss(0.2)(*weights)
    for weight in (0.5, 3.0):
        loss = RANLoss(0.2, weight=weight)(RANOutput(logits, *weights), targets)
        torch.testing.assert_close(loss, entropy + weight * biased)
    torch.testing.assert_close(RANLoss(0.2)(RANOutput(logits, *weights), targets), entropy + biased)
    for lone in (RANOutput(logits, weights[0]), RANOutput(logits, whole_face=weights[1])):
        assert torch.equal(RANLoss(0.2)(lone, targets), entropy)


def test_the_biased_loss_reaches_self_attention_and_not_the_classifier():
    for arm in METHOD.arms:
        model = network(arm).train()
        output, targets = model(faces(4)), torch.tensor([0, 1, 2, 3])
        difference = RANLoss(0.5)(output, targets) - cross_entropy(output.logits, targets)
        if arm not in BIASED:
            assert difference == 0, arm
            continue
        difference.backward()
        assert model.alpha[0].weight.grad.norm() > 0, arm
        assert model.fc.weight.grad.abs().max() < 1e-12, arm


@pytest.mark.parametrize("arm", ATTENTIVE)
def test_the_order_of_crops_does_not_matter(arm):
    model, regions = network(arm), faces(2)
    moved = regions[:, [3, 0, 4, 1, 2, 5]]
    with torch.no_grad():
        for ours, theirs in zip(model(regions), model(moved), strict=True):
            if ours is not None:
                torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("arm", METHOD.arms)
def test_explained_weights_add_up_to_one_over_the_regions(arm):
    model = network(arm).train()
    explained = _explain(model, faces(3))
    assert model.training
    if arm in CONTROLS:
        assert explained is None
        return
    names = {"alpha", "mu", "weights"} | (set() if "no_relation" in arm else {"beta", "nu"})
    assert set(explained) == names
    assert all(tensor.shape == (3, 6) for tensor in explained.values())
    torch.testing.assert_close(explained["weights"].sum(1), torch.ones(3).double())
    for gates, weights in (("alpha", "mu"), ("beta", "nu")):
        if weights in explained:
            expected = explained[gates].softmax(1) if arm in SOFTMAX else explained[gates]
            torch.testing.assert_close(explained[weights], expected, rtol=1e-9, atol=1e-12)


def test_arms_start_from_one_trunk():
    states = []
    for arm in sorted({*METHOD.arms} - {"wide_face"}):
        torch.manual_seed(4)
        states.append(_build_model(arm, OPTIONS, 8).state_dict())
    for key in ("conv1.weight", "layer4.1.conv2.weight"):
        assert all(torch.equal(state[key], states[0][key]) for state in states)


def test_there_is_no_dropout():
    for arm in METHOD.arms:
        model, regions = network(arm).eval(), faces(2)
        for part in model.modules():
            part.training = not isinstance(part, torch.nn.BatchNorm2d)
        assert torch.equal(model(regions).logits, model.eval()(regions).logits)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 32, 32), r"regions have the shape \(2, 3, 32, 32\): expected \(N, regions, 3, H, W\)"),
        ((2, 6, 1, 32, 32), "grey images repeated"),
        ((2, 1, 3, 32, 32), "at least 2 regions per sample"),
    ],
)
def test_what_is_no_set_of_regions_is_refused(shape, message):
    with pytest.raises(UserError, match=message):
        network()(torch.rand(shape).double())


@pytest.mark.parametrize("margin", [-0.1, 1.0, "0.1"])
def test_a_margin_is_a_fraction(margin):
    with pytest.raises(ValueError, match="margin"):
        RANOptions(width=4, crops="fixed", margin=margin, pretraining="none")


def test_pretraining_needs_the_published_width():
    options = RANOptions(width=8, crops="fixed", margin=0.1, pretraining="imagenet")
    with pytest.raises(UserError, match=r"width is 8, but model\.pretraining imagenet needs 64"):
        _build_model("softmax_weights", options, 8)


def test_equal_regions_are_the_mean_of_their_features():
    model = _build_model("uniform_weights", RANOptions(8, "fixed", 0.1, "none"), 7).eval()
    regions = torch.rand(2, 6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        single = torch.stack([model.embed_images(regions[:, k]) for k in range(6)], dim=1)
        assert torch.allclose(model(regions).logits, model.fc(single.mean(1)), atol=1e-5)
        shuffled = model(regions[:, [3, 1, 5, 0, 2, 4]]).logits
        assert torch.allclose(model(regions).logits, shuffled, atol=1e-5)  # no region counts more
    assert model(regions).largest_crop is None


def test_the_wide_face_computes_as_much_as_the_regions():
    flops = {}
    for width, stem, nearly in (
        (16, "small", 0.05),
        (8, "table", 0.2),
    ):  # the stem grows with the width alone
        options = replace(OPTIONS, width=width, stem=stem)
        for arm in ("wide_face", "uniform_weights", "whole_face"):
            network = _build_model(arm, options, 8)
            flops[arm] = count_flops(network, torch.rand(1, 6, 3, 48, 48))
        assert flops["wide_face"] == pytest.approx(flops["uniform_weights"], rel=nearly), width
        assert flops["uniform_weights"] > 5.9 * flops["whole_face"]
