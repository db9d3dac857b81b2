"""Heads of public code against loops written from their formulas, and where they break."""

import math

import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.layers.margin_heads import ArcFaceHead
from fer_repro.layers.recognition_heads import (
    CentreHead,
    ConstantArcFaceHead,
    P2SGradMeanHead,
    RevivedSphereFaceHead,
    SphereFace2Head,
    centre_loss,
    held,
    start_of_bias,
)

N, D, C = 6, 5, 4
HEADS = {
    "arcface": lambda classes=C: ConstantArcFaceHead(D, classes, 8.0, 0.5),
    "sphereface": lambda classes=C: RevivedSphereFaceHead(D, classes, 8.0, 1.7),
    "sphereface2": lambda classes=C: SphereFace2Head(D, classes),
    "p2sgrad": lambda classes=C: P2SGradMeanHead(D, classes),
    "centre_loss": lambda classes=C: CentreHead(D, classes, 0.1),
}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(N, D, dtype=torch.float64, generator=generator), torch.tensor([0, 3, 1, 2, 3, 0])


def make(name, classes=C):
    torch.manual_seed(0)
    return HEADS[name](classes).double()


def cosine(x, w):
    dot = sum(a * b for a, b in zip(x.tolist(), w.tolist(), strict=True))
    return dot / math.sqrt(sum(a**2 for a in x.tolist()) * sum(b**2 for b in w.tolist()))


def entropy(logits, target):
    return -math.log(math.exp(logits[target]) / sum(map(math.exp, logits)))


def psi(cos, m):
    theta = math.acos(cos)
    k = int(m * theta / math.pi)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def naive_loss(name, head, x, target):
    """The loss of one sample, class by class."""
    cosines = [cosine(x, head.weight[j]) for j in range(C)]
    if name == "arcface":
        changed = math.cos(math.acos(cosines[target]) + 0.5)
        return entropy([8 * (changed if j == target else c) for j, c in enumerate(cosines)], target)
    if name == "sphereface":
        return entropy([8 * (psi(c, 1.7) if j == target else c) for j, c in enumerate(cosines)], target)
    if name == "sphereface2":
        total = 0.0
        for j, c in enumerate(cosines):
            level = 2 * ((c + 1) / 2) ** 3 - 1
            if j == target:
                total += 0.7 * math.log1p(math.exp(-40 * (level - 0.4) - head.bias.item()))
            else:
                total += 0.3 * math.log1p(math.exp(40 * (level + 0.4) + head.bias.item()))
        return 50 / 40 * total
    if name == "p2sgrad":
        return sum((c - (j == target)) ** 2 for j, c in enumerate(cosines)) / C
    logits = [sum(a * b for a, b in zip(x.tolist(), row.tolist(), strict=True)) for row in head.weight]
    logits = [z + b for z, b in zip(logits, head.bias.tolist(), strict=True)]
    far = sum((a - b) ** 2 for a, b in zip(x.tolist(), head.centres[target].tolist(), strict=True))
    return entropy(logits, target) + 0.1 * far


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_the_mean_of_the_papers_formula(name, batch):
    embeddings, targets = batch
    head = make(name)
    wanted = sum(naive_loss(name, head, x, t) for x, t in zip(embeddings, targets.tolist(), strict=True)) / N
    assert head.loss(embeddings, targets).item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("name", HEADS)
def test_test_time_logits_carry_no_margin(name, batch):
    embeddings, _ = batch
    head = make(name)
    for i, j in ((0, 1), (4, 3)):
        c = cosine(embeddings[i], head.weight[j])
        dot = sum(a * b for a, b in zip(embeddings[i].tolist(), head.weight[j].tolist(), strict=True))
        wanted = {
            "arcface": 8 * c,
            "sphereface": 8 * c,
            "sphereface2": 40 * (2 * ((c + 1) / 2) ** 3 - 1) + start_of_bias(C, 40.0, 0.4, 3.0, 0.7),
            "p2sgrad": c,
            "centre_loss": dot,
        }[name]
        assert head(embeddings)[i, j].item() == pytest.approx(wanted, rel=1e-7)  # a bias in float32


def test_a_constant_margin_leaves_the_gradient_of_the_cosine(batch):
    value = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    for gradient, slope in (("constant", [1.0, 1.0]), ("autograd", [0.6, -0.4])):
        changed = held(value, value**2, gradient)
        torch.testing.assert_close(changed, value**2)
        (found,) = torch.autograd.grad(changed.sum(), value)
        assert found.tolist() == pytest.approx(slope)
    embeddings, targets = batch
    losses, gradients = [], []
    for head in (ConstantArcFaceHead(D, C, 8.0, 0.5).double(), ArcFaceHead(D, C, 8.0, 0.5).double()):
        with torch.no_grad():
            head.weight.copy_(make("arcface").weight)
        x = embeddings.clone().requires_grad_()
        loss = head.loss(x, targets)
        loss.backward()
        losses.append(loss.item())
        gradients.append(x.grad)
    assert losses[0] == pytest.approx(losses[1])
    assert not torch.allclose(*gradients, rtol=0.01)


@pytest.mark.parametrize("margin", [1.0, 1.7, 4.0])
def test_revived_psi_falls_without_jumps(margin):
    theta = torch.linspace(0.01, math.pi - 0.01, 400, dtype=torch.float64)
    falling = RevivedSphereFaceHead(D, C, 8.0, margin).target_cosine(theta.cos())
    assert falling.tolist() == pytest.approx([psi(c, margin) for c in theta.cos().tolist()], abs=1e-9)
    assert (falling.diff() < 1e-9).all()
    assert falling.diff().abs().max() < 2 * margin * math.pi / 400


@pytest.mark.parametrize("gradient", ["constant", "autograd"])
def test_gradients_stay_finite_at_the_ends(gradient):
    for head in (
        RevivedSphereFaceHead(D, 3, 30.0, 1.7, gradient),
        SphereFace2Head(D, 3, gradient=gradient),
    ):
        ends = torch.stack([head.weight[0], -head.weight[1], torch.zeros(D)]).detach().requires_grad_()
        head.loss(ends, torch.tensor([0, 1, 2])).backward()
        assert torch.isfinite(ends.grad).all()
        assert torch.isfinite(head.weight.grad).all()


def pulls(bias, classes, scale, margin, power, balance):
    """The two sides of the gradient while all cosines are 0: own class, all others."""
    level = 2 * 0.5**power - 1
    own = balance / (1 + math.exp(scale * (level - margin) + bias))
    return own, (1 - balance) * (classes - 1) / (1 + math.exp(-scale * (level + margin) - bias))


@pytest.mark.parametrize("classes", [2, 3, 7, 100])
@pytest.mark.parametrize(
    "numbers", [(40.0, 0.4, 3.0, 0.7), (64.0, 0.5, 3.0, 0.8), (4.0, 0.1, 1.0, 0.5), (30.0, 0.3, 2.0, 0.9)]
)
def test_the_bias_begins_where_both_sides_pull_alike(classes, numbers):
    """At alpha .8, r 64, m .5 and two classes the published form takes the logarithm of 0."""
    own, others = pulls(start_of_bias(classes, *numbers), classes, *numbers)
    assert own == pytest.approx(others, rel=1e-9)
    assert own > 0


def test_centre_loss_by_hand():
    embeddings = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    centres = torch.tensor([[1.0, 0.0], [3.0, 4.0]], requires_grad=True)
    loss = centre_loss(embeddings, centres, torch.tensor([0, 1]))
    assert loss.item() == (4 + 25) / 2
    loss.backward()
    assert centres.grad.tolist() == [[0, -2], [3, 4]]


@pytest.mark.parametrize("name", HEADS)
def test_two_classes_and_a_batch_of_one_work(name):
    head = make(name, 2)
    assert torch.isfinite(head.loss(torch.randn(1, D).double(), torch.tensor([1])))


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_computes_in_float32(name):
    torch.manual_seed(0)
    head, embeddings, targets = HEADS[name](), torch.randn(N, D).bfloat16(), torch.arange(N) % C
    exact = head.eval().loss(embeddings.float(), targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head.loss(embeddings, targets), exact)
    assert head.bfloat16()(embeddings).dtype == torch.bfloat16


@pytest.mark.parametrize("name", HEADS)
def test_wrong_targets_are_refused(name):
    with pytest.raises(UserError, match=r"hold the class 4: expected 0 \.\.\. 3"):
        make(name).loss(torch.randn(1, D).double(), torch.tensor([4]))


@pytest.mark.parametrize("name", ["sphereface2", "p2sgrad"])
def test_what_has_no_softmax_has_none_to_smooth(name, batch):
    with pytest.raises(UserError, match=r"label_smoothing is 0\.1"):
        make(name).loss(*batch, label_smoothing=0.1)


def test_a_balance_of_nothing_is_refused():
    with pytest.raises(UserError, match=r"sphereface2_balance is 0\.0: expected a number between 0 and 1"):
        SphereFace2Head(D, C, balance=0.0)
