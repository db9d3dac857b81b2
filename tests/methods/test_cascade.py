"""The arms of the cascade: who learns from whom, whose class is decided where, and what is averaged."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softmax

from fer_repro.errors import UserError
from fer_repro.methods.cascade import (
    METHOD,
    Cascade,
    CascadeLoss,
    CascadeOptions,
    FlatAverage,
    StageNetwork,
    _build_model,
    _explain,
    decided_classes,
    soft_logarithms,
)
from fer_repro.training.checkpoint import copy_weights

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
ORDER = "happy surprise neutral sad"
OPTIONS = CascadeOptions(8, ORDER, FER2013)
TARGETS = torch.tensor([3, 5, 6, 4, 0, 1, 2, 3])
CASCADES = [arm for arm in METHOD.arms if not arm.startswith("flat")]


def faces(count=8, seed=1):
    return torch.rand(count, 3, 40, 40, generator=torch.Generator().manual_seed(seed))


def network_of(arm, seed=0, options=OPTIONS):
    torch.manual_seed(seed)
    return _build_model(arm, options, len(options.classes))


def test_the_soft_cascade_sums_to_one_and_survives_extreme_scores():
    scores, rest = torch.tensor([[0.3, -40.0, 800.0], [-900.0, -900.0, -900.0]]), torch.randn(2, 4)
    found = soft_logarithms(scores, rest, (6, 0, 2))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2))


def test_cross_entropy_is_the_sum_of_the_stages_own_losses():
    """Each stage's loss over the faces whose class no earlier stage decides; nobody else's."""
    network = network_of("cascade").double().eval()
    output = network(faces().double())
    expected = 0.0
    for score, rest, target in zip(output.scores, output.rest, TARGETS.tolist(), strict=True):
        for z, c in zip(score, (3, 5, 6, 4), strict=True):
            yes = torch.tensor(float(c == target), dtype=torch.float64)
            expected += binary_cross_entropy_with_logits(z, yes)
            if c == target:
                break
        else:
            expected += cross_entropy(rest[None], torch.tensor([(0, 1, 2).index(target)]))
    torch.testing.assert_close(CascadeLoss()(output, TARGETS), expected / len(TARGETS))


@pytest.mark.parametrize(("target", "taught"), [(3, 1), (5, 2), (6, 3), (4, 4), (0, 5), (2, 5)])
def test_a_face_teaches_the_stages_that_it_reaches_alone(target, taught):
    network = network_of("cascade")
    CascadeLoss()(network(faces(4)), torch.full((4,), target)).backward()
    networks = [*network.stages, network.last]
    learns = [float(each.fc.weight.grad.norm()) > 1e-5 for each in networks]
    # a face of a stage's class ends there; all others pass it
    expected = [n < taught for n in range(5)]
    assert learns == expected


def test_five_flat_networks_learn_as_each_does_alone():
    together = network_of("flat_five").eval()
    CascadeLoss(0.1)(together(faces()), TARGETS).backward()
    for member in together.members:
        alone = StageNetwork(7, 8).eval()
        alone.load_state_dict(member.state_dict())
        cross_entropy(alone(faces()), TARGETS, label_smoothing=0.1).backward()
        for ours, theirs in zip(member.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad)
    assert len({float(member.fc.weight.detach().sum()) for member in together.members}) == 5


def test_flat_networks_are_averaged_by_probability():
    output = network_of("flat_five").double().eval()(faces().double())
    mean = sum(softmax(output.members[:, m], dim=1) for m in range(5)) / 5
    torch.testing.assert_close(output.logits.exp(), mean)
    assert output.members.shape == (8, 5, 7)


def test_a_cascade_costs_as_much_as_five_flat_networks():
    counts = {arm: sum(p.numel() for p in network_of(arm).parameters()) for arm in METHOD.arms}
    assert counts["cascade"] == counts["gabor_initial"] == counts["gabor_modulated"]
    assert counts["cascade_gabor"] == counts["random_filters"] == counts["cascade"] - 5 * 8 * 3 * 49
    linear = 5 * 7 * 65 - (4 + 3) * 65  # a flat network answers for seven classes, a stage for one
    assert counts["flat_five"] == 5 * counts["flat"] == counts["cascade"] + linear


def test_the_bank_is_the_same_in_every_network_and_stays():
    for arm in ("cascade_gabor", "random_filters"):
        network = network_of(arm)
        banks = [each.bank.filters for each in (*network.stages, network.last)]
        assert all(torch.equal(banks[0], bank) for bank in banks)
        assert not any(bank.requires_grad for bank in banks)
        assert "stages.0.bank.filters" in copy_weights(network)
    ours, others = (network_of("random_filters", seed).last.bank.filters for seed in (0, 1))
    assert not torch.equal(ours, others)
    torch.testing.assert_close(ours.flatten(1).norm(dim=1), torch.ones(8))


def test_a_fixed_bank_does_not_see_brightness():
    network = network_of("cascade_gabor").double().eval()
    bright = faces().double() / 2
    inner = network.last.bank(bright)[:, :, 4:-4, 4:-4]
    torch.testing.assert_close(network.last.bank(bright + 0.3)[:, :, 4:-4, 4:-4], inner)


@pytest.mark.parametrize(
    ("classes", "decided"),
    [
        (FER2013, ("happy", "surprise", "neutral", "sad")),
        (
            ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
            ("happiness", "surprise", "neutral", "sadness"),
        ),
        (("Anger", "Contempt", "Happy", "Sadness"), ("Happy", "Sadness")),  # no surprise, no neutral
        (("happy", "neutral", "sad"), ("happy",)),  # the last block keeps two
    ],
)
def test_classes_are_found_by_name(classes, decided):
    found = decided_classes(ORDER, classes)
    assert tuple(classes[c] for c in found) == decided
    options = METHOD.for_classes(replace(OPTIONS, classes=()), classes)
    output = _build_model("cascade", options, len(classes)).eval()(faces(2))
    assert output.logits.shape == (2, len(classes))
    assert output.scores.shape == (2, len(decided))
    torch.testing.assert_close(output.logits.exp()[:, found[0]], output.scores[:, 0].sigmoid())


@pytest.mark.parametrize(
    ("order", "classes", "message"),
    [
        ("hapy sad", FER2013, "there is no stage 'hapy'; did you mean 'happy'"),
        ("sad happy sad", FER2013, "'sad' is there twice"),
        (ORDER, ("smile", "frown", "none"), "the 3 classes are smile, frown, none"),
        (ORDER, ("happy", "sad"), "the 2 classes are happy, sad"),
        ("", FER2013, "expected one such class and two more"),
    ],
)
def test_orders_without_stages_are_refused(order, classes, message):
    with pytest.raises(UserError, match=message):
        decided_classes(order, classes)


@pytest.mark.parametrize("arm", CASCADES)
def test_cascades_refuse_classes_without_names(arm):
    with pytest.raises(UserError, match="the names of 0 classes: expected 7"):
        _build_model(arm, replace(OPTIONS, classes=()), 7)


def test_flat_networks_need_no_names():
    for arm, kind in (("flat", StageNetwork), ("flat_five", FlatAverage)):
        assert isinstance(_build_model(arm, replace(OPTIONS, classes=()), 7), kind)


def test_gabor_arms_refuse_other_widths():
    with pytest.raises(UserError, match="a bank of 6 Gabor filters: expected a multiple of 4"):
        _build_model("cascade_gabor", replace(OPTIONS, width=6), 7)
    assert isinstance(_build_model("cascade", replace(OPTIONS, width=6), 7), Cascade)


def test_what_stages_say_is_explained():
    network = network_of("cascade")
    found = _explain(network, faces())
    output = network.eval()(faces())
    torch.testing.assert_close(found["stages"], output.scores.sigmoid().detach())
    torch.testing.assert_close(found["rest"], output.rest.softmax(1).detach())
    assert _explain(network_of("flat"), faces()) is None


def test_shares_of_votes_are_learnt_too():
    output = network_of("cascade")(faces())
    shares = torch.nn.functional.one_hot(TARGETS, 7).float() * 0.6 + 0.4 / 7
    torch.testing.assert_close(CascadeLoss()(output, shares), CascadeLoss(0.4)(output, TARGETS))


def test_an_average_of_equal_networks_is_that_network():
    network = network_of("flat_five").double().eval()
    for member in network.members:
        member.load_state_dict(network.members[0].state_dict())
    output = network(faces().double())
    torch.testing.assert_close(output.logits, output.members[:, 0].log_softmax(1))
    assert math.isclose(float(output.logits.detach().exp().sum()), 8)
