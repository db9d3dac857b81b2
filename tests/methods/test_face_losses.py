"""Which head an arm has, what it leaves out of training, and how kinds become a score."""

import math
from dataclasses import asdict

import pandas as pd
import pytest
import torch

from fer_repro.config import load_config
from fer_repro.errors import UserError
from fer_repro.layers.adacos_head import AdaCosHead
from fer_repro.layers.embedding import HeadLoss
from fer_repro.layers.margin_heads import ArcFaceHead, CosFaceHead, CosineHead, SoftmaxHead, SphereFaceHead
from fer_repro.layers.recognition_heads import (
    CentreHead,
    ConstantArcFaceHead,
    P2SGradMeanHead,
    RevivedSphereFaceHead,
    SphereFace2Head,
)
from fer_repro.measures.classification import softmax
from fer_repro.methods.face_losses import (
    METHOD,
    FaceLossOptions,
    Judged,
    _build_model,
    make_head,
    real_or_not,
)
from fer_repro.training.loop import hits_of

KINDS = {
    "softmax": SoftmaxHead,
    "norm_softmax": CosineHead,
    "arcface": ConstantArcFaceHead,
    "cosface": CosFaceHead,
    "sphereface2": SphereFace2Head,
    "a_softmax": SphereFaceHead,
    "sphereface": RevivedSphereFaceHead,
    "p2sgrad": P2SGradMeanHead,
    "centre_loss": CentreHead,
    "adacos": AdaCosHead,
    "softmax_kinds": SoftmaxHead,
    "softmax_all_kinds": SoftmaxHead,
}


@pytest.fixture
def options():
    model = load_config("params.yaml", "face_losses", "synthetic_forgeries", "softmax", 0).recipe.model
    return lambda **changed: FaceLossOptions(**{**model, "width": 4, **changed})


@pytest.fixture(autouse=True)
def _root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def images(count=4, seed=0):
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("arm", METHOD.arms)
def test_each_arm_has_its_head(options, arm):
    network = _build_model(arm, options(), 2)
    name = arm.partition("_unseen_")[0]
    assert type(network.head) is KINDS[name]
    assert len(network.head.weight) == (3 if name in ("adacos", "softmax_kinds") else 2)


def test_heads_have_the_recipes_numbers(options):
    changed = options(
        scale=5.0, cosface_margin=0.1, arcface_margin=0.2, sphereface_scale=6.0, sphereface_margin=1.3,
        sphereface2_scale=7.0, sphereface2_margin=0.3, sphereface2_power=2.0, sphereface2_balance=0.6,
        sphereface2_weight=9.0, centre_weight=0.5,
    )  # fmt: skip
    heads = {arm: make_head(arm, changed, 2) for arm in KINDS if arm != "adacos"}
    scales = {arm: heads[arm].scale.item() for arm in ("norm_softmax", "cosface", "arcface")}
    assert set(scales.values()) == {5.0}, "the margin alone differs from the second control"
    assert (heads["cosface"].margin, heads["arcface"].margin) == (0.1, 0.2)
    assert (heads["sphereface"].scale.item(), heads["sphereface"].margin) == (6.0, 1.3)
    two = heads["sphereface2"]
    assert (two.scale.item(), two.margin, two.power, two.balance, two.strength) == (7.0, 0.3, 2.0, 0.6, 9.0)
    assert heads["centre_loss"].strength == 0.5


def test_gradients_are_chosen_by_name(options):
    assert type(make_head("arcface", options(gradient="autograd"), 2)) is ArcFaceHead
    for arm in ("sphereface", "sphereface2"):
        for gradient in ("constant", "autograd"):
            assert make_head(arm, options(gradient=gradient), 2).gradient == gradient


def test_a_softmax_is_annealed_as_sphereface_pytorch(options):
    """What the deviation sheet states is left of the margin."""
    head, cosine = make_head("a_softmax", options(), 2), torch.tensor([0.2], dtype=torch.float64)
    for steps, share in ((1, 1 / (1 + 1500 / 1.1)), (90, 1 / 151), (720, 0.0464), (10**5, 1 / 6)):
        head.steps.fill_(steps)
        psi = -(8 * cosine**4 - 8 * cosine**2 + 1) - 2  # k = 1: theta lies between pi/4 and pi/2
        found = (head.target_cosine(cosine) - cosine) / (psi - cosine)
        assert found.item() == pytest.approx(share, abs=5e-5)


def test_all_arms_start_from_one_trunk(options):
    states = []
    for arm in METHOD.arms:
        torch.manual_seed(7)
        states.append(_build_model(arm, options(), 2).trunk.state_dict())
    assert all(torch.equal(state[key], states[0][key]) for state in states for key in state)


def test_the_score_is_all_but_real():
    logits = torch.tensor([[1.0, 0.0, 2.0], [-3.0, 5.0, 4.0]], dtype=torch.float64)
    for row, found in zip(logits, real_or_not(logits), strict=True):
        shares = [math.exp(value) for value in row.tolist()]
        real = shares[0] / sum(shares)
        assert softmax(found[None].numpy())[0].tolist() == pytest.approx([real, 1 - real])
    two = torch.randn(3, 2)
    assert real_or_not(two) is two


def test_kinds_count_as_manipulated():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    judged = Judged(logits, torch.zeros(4, 1), CosineHead(1, 2))
    assert hits_of(judged, torch.tensor([0, 1, 2, 2])).tolist() == [True, True, True, False]


def test_adacos_learns_kinds_and_needs_two_of_them(options):
    network = _build_model("adacos", options(), 2)
    before = network.head.scale.item()
    loss = HeadLoss()(network.train()(images()), torch.tensor([0, 1, 2, 2]))
    assert torch.isfinite(loss)
    assert before == pytest.approx(math.sqrt(2) * math.log(2))
    assert network.head.scale.item() != before, "its scale follows the training"
    assert network(images()).logits.shape == (4, 2)
    with pytest.raises(UserError, match="AdaCos with 2 classes"):
        _build_model("adacos", options(kinds=1), 2)
    with pytest.raises(UserError, match=r"hold the class 3: expected 0 \.\.\. 2"):
        HeadLoss()(network(images()), torch.tensor([0, 1, 2, 3]))


def test_arms_leave_out_what_their_name_says(options):
    model = asdict(options())
    assert METHOD.unseen("arcface", model) == "swap"
    assert METHOD.unseen("arcface", {**model, "unseen": "NeuralTextures"}) == "NeuralTextures"
    assert METHOD.unseen("arcface", {**model, "unseen": "none"}) == ""
    assert METHOD.unseen("arcface_unseen_transfer", model) == "transfer"
    assert METHOD.unseen("softmax_all_kinds", model) == ""
    assert METHOD.kinds("adacos", model) == METHOD.kinds("softmax_kinds", model) == 2
    assert METHOD.kinds("arcface", model) == 0


def test_expressions_and_unknown_arms_are_refused(options):
    with pytest.raises(UserError, match="expected 2 classes, found 7"):
        _build_model("arcface", options(), 7)
    with pytest.raises(UserError, match="has no arm 'arcfaec'; did you mean 'arcface'"):
        _build_model("arcfaec", options(), 2)


def test_claims_compare_arms_that_leave_out_the_same_kind(options):
    from fer_repro.evaluation.claims import read_claims

    model = asdict(options())
    for claim in read_claims().claims:
        if claim.method == "face_losses":
            assert "no direction is published" in claim.statement
            assert all(one.size is None for one in claim.where)
            kinds = {METHOD.unseen(arm, model) for arm in (claim.arm, *claim.against)}
            assert len(kinds) == 1, claim.id
            assert METHOD.kinds(claim.arm, model) == METHOD.kinds(claim.against[0], model)


def test_no_number_is_published():
    table = pd.read_csv("results/published/results.csv", dtype=str)
    assert not table["method"].eq("face_losses").any()
