"""Margin heads against loops written from the papers' equations, and their numerical traps."""

import math

import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.layers.embedding import EmbeddingClassifier, EmbeddingResNet, HeadLoss
from fer_repro.layers.margin_heads import (
    CONTROLS,
    ArcFaceHead,
    CosFaceHead,
    CosineHead,
    L2SoftmaxHead,
    SoftmaxHead,
    SphereFaceHead,
    check_targets,
    control_head,
    falling_cosine,
    unit_rows,
)

N, D, C = 6, 5, 4


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(N, D, dtype=torch.float64, generator=generator)
    return embeddings, torch.tensor([0, 3, 1, 2, 3, 0])


def angle(x, w):
    dot = sum(a * b for a, b in zip(x.tolist(), w.tolist(), strict=True))
    return math.acos(max(-1.0, min(1.0, dot / (length(x) * length(w)))))


def length(x):
    return math.sqrt(sum(a**2 for a in x.tolist()))


def psi(theta, m):
    k = min(int(theta / (math.pi / m)), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


NAIVE = {  # head -> (logit of another class, logit of the target), from embedding, row and its bias
    "normface": (
        lambda x, w, b: 8 * math.cos(angle(x, w)),
        lambda x, w, b: 8 * math.cos(angle(x, w)),
    ),
    "cosface": (
        lambda x, w, b: 8 * math.cos(angle(x, w)),
        lambda x, w, b: 8 * (math.cos(angle(x, w)) - 0.35),
    ),
    "arcface": (
        lambda x, w, b: 8 * math.cos(angle(x, w)),
        lambda x, w, b: (
            8 * math.cos(angle(x, w) + 0.5)
            if angle(x, w) < math.pi - 0.5
            else 8 * (math.cos(angle(x, w)) - 0.5 * math.sin(0.5))
        ),
    ),
    "sphereface": (
        lambda x, w, b: length(x) * math.cos(angle(x, w)),
        lambda x, w, b: (
            length(x) * (1000 / 1.12 * math.cos(angle(x, w)) + psi(angle(x, w), 4)) / (1 + 1000 / 1.12)
        ),
    ),
    "l2_softmax": (
        lambda x, w, b: 8 * length(w) * math.cos(angle(x, w)),
        lambda x, w, b: 8 * length(w) * math.cos(angle(x, w)),
    ),
    "softmax": (
        lambda x, w, b: length(x) * length(w) * math.cos(angle(x, w)) + b,
        lambda x, w, b: length(x) * length(w) * math.cos(angle(x, w)) + b,
    ),
}


def make(name, seed=0):
    torch.manual_seed(seed)
    head = control_head(name, D, C, scale=8.0, cosface_margin=0.35, arcface_margin=0.5).double()
    if hasattr(head, "bias"):
        torch.nn.init.normal_(head.bias)
    return head


def test_every_control_has_a_loop():
    assert set(NAIVE) == set(CONTROLS)


@pytest.mark.parametrize("name", CONTROLS)
def test_training_logits_and_loss_equal_the_papers_formula(name, batch):
    embeddings, targets = batch
    head = make(name)
    other, target = NAIVE[name]
    bias = getattr(head, "bias", torch.zeros(C)).detach()
    naive = torch.tensor(
        [
            [
                (target if j == targets[i] else other)(embeddings[i], head.weight[j], float(bias[j]))
                for j in range(C)
            ]
            for i in range(N)
        ]
    ).double()
    torch.testing.assert_close(head.training_logits(embeddings, targets), naive, rtol=1e-6, atol=1e-6)
    head = make(name)  # a fresh step counter
    expected = -sum(
        math.log(math.exp(naive[i, t]) / sum(math.exp(v) for v in naive[i])) for i, t in enumerate(targets)
    )
    assert head.loss(embeddings, targets).item() == pytest.approx(expected / N, rel=1e-6)


@pytest.mark.parametrize("name", CONTROLS)
def test_test_time_logits_carry_no_margin(name, batch):
    embeddings, _ = batch
    head = make(name)
    other, _ = NAIVE[name]
    bias = getattr(head, "bias", torch.zeros(C)).detach()
    for i in range(N):
        for j in range(C):
            expected = other(embeddings[i], head.weight[j], float(bias[j]))
            assert head(embeddings)[i, j].item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_guard_of_arcface_keeps_the_target_logit_falling():
    theta = torch.linspace(0, math.pi, 200, dtype=torch.float64)
    logits = ArcFaceHead(D, C, margin=0.5).target_cosine(theta.cos())
    assert (logits.diff() < 1e-9).all()


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_psi_falls_from_one_to_one_minus_2m(margin):
    theta = torch.linspace(0, math.pi, 301, dtype=torch.float64)
    falling = falling_cosine(theta.cos(), margin)
    assert falling.tolist() == pytest.approx([psi(t, margin) for t in theta.tolist()], abs=1e-9)
    assert (falling.diff() < 1e-9).all()
    assert falling[-1].item() == pytest.approx(1 - 2 * margin)


def test_sphereface_counts_training_steps_only(batch):
    head = make("sphereface")
    head.loss(*batch)
    head.eval().loss(*batch)
    assert head.steps.item() == 1
    assert "steps" in head.state_dict()


def test_gradients_equal_finite_differences(batch):
    embeddings, targets = batch
    for head in [make(name).eval() for name in CONTROLS]:
        assert torch.autograd.gradcheck(
            lambda x, w, head=head: torch.func.functional_call(_Loss(head), {"head.weight": w}, (x, targets)),
            (embeddings.clone().requires_grad_(), head.weight.detach().clone().requires_grad_()),
            fast_mode=True,
        )


class _Loss(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, embeddings, targets):
        return self.head.loss(embeddings, targets)


@pytest.mark.parametrize("name", CONTROLS)
def test_exact_hits_and_zero_vectors_have_finite_gradients(name):
    head = make(name).float()
    embeddings = torch.stack([head.weight[0], -head.weight[1], torch.zeros(D)]).detach().requires_grad_()
    head.loss(embeddings, torch.tensor([0, 1, 2])).backward()
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(head.weight.grad).all()
    if name not in ("softmax", "sphereface"):
        assert (embeddings.grad[2] == 0).all(), "a vector without a direction is not turned"


def test_unit_rows():
    rows = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CONTROLS)
def test_half_precision_computes_in_float32(name, dtype):
    """float16 overflows for s cos > 11.09 where exp is formed; the loss does not."""
    torch.manual_seed(0)
    head = control_head(name, D, C, 30.0, 0.35, 0.5)
    embeddings = torch.randn(N, D).to(dtype)
    targets = torch.arange(N) % C
    exact = head.eval().loss(embeddings.float(), targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head.loss(embeddings, targets), exact)
    half = head.to(dtype)
    assert half.weight.dtype == dtype
    assert half.scale.dtype == torch.float32
    assert half(embeddings).dtype == dtype
    assert half.loss(embeddings, targets).dtype == torch.float32
    assert torch.isfinite(half.loss(embeddings, targets))


def test_the_scale_survives_half_precision_exactly():
    head = CosineHead(D, C, scale=2.5339305)
    before = head.scale.clone()
    assert torch.equal(head.half().scale, before)
    assert head.double().scale.dtype == torch.float64


def test_a_batch_of_one_and_two_classes_work():
    for name in CONTROLS:
        head = control_head(name, D, 2, 8.0, 0.35, 0.5)
        assert torch.isfinite(head.loss(torch.randn(1, D), torch.tensor([1])))


@pytest.mark.parametrize("targets", [[4], [-1], []])
def test_wrong_targets_are_refused(targets):
    with pytest.raises(UserError, match="targets"):
        make("cosface").loss(torch.randn(len(targets), D).double(), torch.tensor(targets, dtype=torch.int64))


@pytest.mark.parametrize(("classes", "scale"), [(1, 8.0), (3, 0.0), (3, math.inf), (3, -1.0)])
def test_senseless_heads_are_refused(classes, scale):
    with pytest.raises(UserError, match="expected"):
        CosineHead(D, classes, scale)


def test_one_optimiser_and_one_checkpoint_see_trunk_and_head():
    model = EmbeddingClassifier(EmbeddingResNet(D, width=4), SphereFaceHead(D, C))
    assert any(parameter is model.head.weight for parameter in model.parameters())
    assert {"head.weight", "head.scale", "head.steps"} <= set(model.state_dict())
    assert not list(HeadLoss().parameters())
    before = model.head.weight.detach().clone()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    output = model(torch.rand(1, 3, 64, 64))  # a batch of one trains
    HeadLoss()(output, torch.tensor([2])).backward()
    optimiser.step()
    assert not torch.equal(model.head.weight, before)


def test_mirrored_embeddings_are_sums():
    model = EmbeddingClassifier(EmbeddingResNet(D, width=4), CosFaceHead(D, C)).eval()
    images = torch.rand(2, 3, 64, 64)
    plain = model.embed(images)
    torch.testing.assert_close(model.embed(images, mirror=True), plain + model.embed(images.flip(-1)))
    assert not plain.requires_grad
    torch.testing.assert_close(model(images).embeddings, plain)


def test_images_of_another_shape_are_refused():
    with pytest.raises(UserError, match=r"\(1, 1, 64, 64\): expected \(N, 3, H, W\)"):
        EmbeddingResNet(D, width=4)(torch.rand(1, 1, 64, 64))


@pytest.mark.parametrize("head", [L2SoftmaxHead, SoftmaxHead])
def test_unnormalised_rows_count(head, batch):
    embeddings, _ = batch
    plain = head(D, C).double()
    before = plain(embeddings)
    with torch.no_grad():
        plain.weight.mul_(2)
    assert not torch.allclose(plain(embeddings), before)


@pytest.mark.parametrize(
    ("head", "scale", "margin"),
    [
        (CosineHead, 30, None),
        (CosFaceHead, 30, 0.35),
        (ArcFaceHead, 30, 0.5),
        (SphereFaceHead, 1, 4),
        (L2SoftmaxHead, 30, None),
        (SoftmaxHead, 1, None),
    ],
)
def test_usual_numbers_are_those_of_the_papers(head, scale, margin):
    built = head(3, 2)
    assert built.scale.item() == scale
    assert getattr(built, "margin", None) == margin


def test_sphereface_is_annealed_by_the_usual_numbers():
    head = SphereFaceHead(3, 2)
    assert (head.anneal, head.decay, head.least) == (1000, 0.12, 5)
    other = SphereFaceHead(3, 2, 3, 50.0, 0.5, 2.0)
    cosine = torch.tensor([0.3, -0.9], dtype=torch.float64)
    for step, blend in ((0, 50.0), (2, 25.0), (1000, 2.0)):
        other.steps.fill_(step)
        wanted = (blend * cosine + falling_cosine(cosine, 3)) / (1 + blend)
        torch.testing.assert_close(other.target_cosine(cosine), wanted)


def test_short_vectors_have_no_direction():
    rows = torch.tensor([[3e-13, 4e-13], [3e-12, 4e-12]], dtype=torch.float64)
    torch.testing.assert_close(unit_rows(rows), torch.tensor([[0.0, 0.0], [0.6, 0.8]], dtype=torch.float64))
    assert unit_rows(torch.tensor([[1e-12, 0.0]], dtype=torch.float64)).tolist() == [[0, 0]]


def test_messages_name_the_first_wrong_class_and_the_shape():
    check_targets(torch.tensor([0, 2]), 3)
    with pytest.raises(UserError, match=r"hold the class 3: expected 0 \.\.\. 2$"):
        check_targets(torch.tensor([0, 3, 4]), 3)
    with pytest.raises(UserError, match="hold the class -1"):
        check_targets(torch.tensor([-1]), 3)
    with pytest.raises(UserError, match=r"shape \(0,\): expected \(N,\) with at least one sample$"):
        check_targets(torch.zeros(0, dtype=torch.int64), 3)
    with pytest.raises(UserError, match=r"shape \(1, 1\)"):
        check_targets(torch.zeros(1, 1, dtype=torch.int64), 3)
