"""Probability guided maxout against a loop over samples and features, and where it must not guess."""

import math

import pytest
import torch
from torch import nn

from fer_repro.errors import UserError
from fer_repro.layers.guided_maxout import (
    FeatureDropout,
    GuidedMaxout,
    kept_shares,
    label_probabilities,
    partial_features,
)

WORKED = [0.1, 0.9, 0.3, 0.7, 0.0, 0.5, 0.2, 0.4]


def half_even(value):
    """Round as the standard says, written out: halves go to the even neighbour."""
    low = math.floor(value)
    if value - low != 0.5:
        return math.floor(value + 0.5)
    return low if low % 2 == 0 else low + 1


def by_loop(features, probabilities, scale=1.0, keep_largest=False):
    rows = []
    for h, q in zip(features, probabilities, strict=True):
        share = min(1 - q / 2, 1)
        kept, left = [False] * len(h), half_even(len(h) * share)
        while left:
            best = None
            for i, value in enumerate(h):  # the first of equal ones
                better = best is None or (value > h[best] if keep_largest else value < h[best])
                if not kept[i] and better:
                    best = i
            kept[best], left = True, left - 1
        rows.append([value * scale / share if k else 0.0 for value, k in zip(h, kept, strict=True)])
    return rows


def random_features(count=6, size=9, seed=0, kind=torch.float64):
    torch.manual_seed(seed)
    return torch.randn(count, size, dtype=kind), torch.rand(count, dtype=kind)


def same(found, expected):
    torch.testing.assert_close(
        found.detach(), torch.tensor(expected, dtype=found.dtype), rtol=1e-9, atol=1e-12
    )


def test_the_worked_examples():
    layer = GuidedMaxout().double()
    first = layer(torch.tensor([WORKED], dtype=torch.float64), torch.tensor([0.9], dtype=torch.float64))
    expected = [[0.1 / 0.55, 0, 0.3 / 0.55, 0, 0, 0, 0.2 / 0.55, 0]]
    same(first, expected)
    second = layer(torch.arange(1.0, 9)[None].double(), torch.tensor([0.2], dtype=torch.float64))
    same(second, [[*(n / 0.9 for n in range(1, 8)), 0]])


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_loop(seed):
    features, q = random_features(seed=seed)
    layer = GuidedMaxout().double()
    with torch.no_grad():
        layer.scale.fill_(1.7)
    same(layer(features, q), by_loop(features.tolist(), q.tolist(), 1.7))
    other = GuidedMaxout("least_active").double()
    same(other(features, q), by_loop(features.tolist(), q.tolist(), keep_largest=True))


def test_among_equal_features_the_first_are_kept():
    features = torch.tensor([[1.0, 1, 1, 1, 1, 1], [0.0, 2, 0, 2, 0, 2], [-0.0, 0, 0.0, -0.0, 0, 0]])
    kept = GuidedMaxout()._ranks(features) < torch.tensor([[3], [4], [3]])
    assert kept.tolist() == [
        [True, True, True, False, False, False],
        [True, True, True, False, True, False],
        [True, True, True, False, False, False],
    ]
    kept = GuidedMaxout("least_active")._ranks(features) < torch.tensor([[3], [4], [3]])
    assert kept.tolist() == [
        [True, True, True, False, False, False],
        [True, True, False, True, False, True],
        [True, True, True, False, False, False],
    ]


@pytest.mark.parametrize(
    ("size", "q", "kept"),
    [
        (1, 1.0, 0),  # half of one feature is none
        (1, 0.9, 1),
        (1, 0.0, 1),
        (3, 1.0, 2),  # 1.5 goes up to the even 2
        (5, 1.0, 2),  # 2.5 goes down to the even 2
        (6, 0.5, 4),  # 4.5
        (10, 0.7, 6),  # 6.5
        (10, 0.5, 8),  # 7.5
        (8, 0.0, 8),
        (8, 1.0, 4),
    ],
)
def test_halves_are_rounded_to_even_numbers(size, q, kept):
    assert half_even(size * (1 - q / 2)) == kept
    features = torch.arange(1.0, size + 1).double()[None]
    for dropped in ("most_active", "least_active", "random"):
        found = GuidedMaxout(dropped).double()(features, torch.tensor([q], dtype=torch.float64))
        assert (found != 0).sum() == kept, dropped


def test_shares_are_decided_in_float64():
    """In float16 1 - q / 2 would be rounded to whole thousandths, and the count with it."""
    q = torch.tensor([0.998046875], dtype=torch.float16)
    assert kept_shares(q).dtype == torch.float64
    assert kept_shares(q).tolist() == [1 - 0.998046875 / 2]
    assert kept_shares(torch.tensor([-1e-9, 0.0, 1.0])).tolist() == [1.0, 1.0, 0.5]


def test_gradients_reach_kept_features_and_s_alone():
    features, q = random_features()
    features.requires_grad_()
    layer = GuidedMaxout().double()
    upstream = torch.randn(6, 9, dtype=torch.float64)
    (layer(features, q) * upstream).sum().backward()
    share = kept_shares(q)[:, None]
    kept = torch.tensor(by_loop(features.tolist(), q.tolist())) != 0
    same(features.grad, torch.where(kept, upstream / share, 0).tolist())
    expected = (torch.where(kept, features / share, 0) * upstream).sum().item()
    assert layer.scale.grad.item() == pytest.approx(expected, rel=1e-9)
    assert GuidedMaxout(learnt=False).scale.requires_grad is False


def test_no_gradient_passes_through_the_probability():
    torch.manual_seed(0)
    fc = nn.Linear(5, 3).double()
    features = torch.rand(4, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 2, 1, 1])
    assert not label_probabilities(fc(features), targets).requires_grad
    layer = GuidedMaxout().double()
    _, found = partial_features(layer, features, fc, targets)
    with torch.no_grad():
        q = fc(features).softmax(1)[range(4), targets]
    twin = features.detach().clone().requires_grad_()
    expected = fc(layer(twin, q))
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    mine, _ = features.grad.clone(), fc.zero_grad()
    expected.square().sum().backward()
    torch.testing.assert_close(mine, twin.grad)


def test_of_shares_the_largest_decides():
    logits = torch.randn(2, 3)
    shares = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0]])
    assert torch.equal(label_probabilities(logits, shares), label_probabilities(logits, torch.tensor([1, 0])))


def test_random_drops_as_many_by_the_seeded_generator():
    features = torch.rand(200, 16) + 1
    q, layer = torch.full((200,), 0.8), GuidedMaxout("random")
    torch.manual_seed(3)
    found = layer(features, q)
    assert ((found != 0).sum(1) == half_even(16 * 0.6)).all()
    torch.manual_seed(3)
    assert torch.equal(layer(features, q), found)
    assert not torch.equal(layer(features, q), found)
    each = (found != 0).double().mean(0)
    assert each.sub(10 / 16).abs().max() < 0.15  # none is preferred
    guided = GuidedMaxout()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    guided(features, q)
    assert torch.equal(before, torch.get_rng_state()), "the paper's drops nothing at random"


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.5, math.inf])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(UserError, match="probability of a label is"):
        GuidedMaxout()(torch.rand(2, 4), torch.tensor([0.5, value]))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["feature", "weight"])
def test_numbers_that_are_none_are_never_dropped_in_silence(value, place):
    """Infinity is the most active feature of all: it would go first, and the loss would look well."""
    torch.manual_seed(0)
    fc, features = nn.Linear(6, 3), torch.rand(2, 6)
    with torch.no_grad():
        (features if place == "feature" else fc.weight)[0, 2] = value
    with pytest.raises(UserError, match=r"try a lower recipe\.optimiser\.lr"):
        partial_features(GuidedMaxout(), features, fc, torch.tensor([0, 1]))


def test_shapes_that_do_not_fit_are_refused():
    for features, q in ((torch.rand(2, 3, 4), torch.rand(2)), (torch.rand(2, 4), torch.rand(3))):
        with pytest.raises(UserError, match="expected \\(N, D\\) and \\(N,\\)"):
            GuidedMaxout()(features, q)


@pytest.mark.parametrize("layer", [GuidedMaxout(), FeatureDropout()])
def test_half_precision_is_left_outside(layer):
    """In bfloat16 features are equal that are not, and shares are a hundredth off."""
    torch.manual_seed(0)
    fc, targets = nn.Linear(64, 5), torch.tensor([0, 4, 2])
    features = torch.rand(3, 64).bfloat16()
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        _, found = partial_features(layer, features, fc, targets)
    torch.manual_seed(1)
    assert found.dtype == torch.float32
    assert torch.equal(found, partial_features(layer, features.float(), fc, targets)[1])


def test_dropout_drops_each_feature_with_one_probability():
    torch.manual_seed(0)
    features = torch.rand(4000, 3) + 1
    _, found = partial_features(FeatureDropout(0.25), features, lambda h: h, torch.zeros(4000))
    kept = found != 0
    torch.testing.assert_close(found[kept], (features / 0.75)[kept])
    assert kept.double().mean(0).sub(0.75).abs().max() < 0.03
    assert FeatureDropout().rate == 0.5
