"""The network of engagement: segments, attention, both rank losses, bag and average, against loops."""

import itertools
import math

import numpy as np
import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.methods.engagement import (
    METHOD,
    BagOutput,
    EngagementLoss,
    EngagementOptions,
    SegmentNetwork,
    published_rank_loss,
    rank_loss,
)

OPTIONS = EngagementOptions(width=6, dense=16, columns=3, rows=4, rank_weight=0.5, members=3)
LABELS = torch.tensor([0.0, 0.33, 0.66, 0.66, 1.0, 0.33], dtype=torch.float64)


@pytest.fixture
def sequences():
    return torch.randn(6, 40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def build(arm, seed=0):
    torch.manual_seed(seed)
    return METHOD.build_model(arm, OPTIONS, 4).double()


def distance(one, other):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def naive_rank_loss(features, labels, margin=0.75):
    """The hinges written out, over level means; a hinge of an absent level counts nothing."""
    edges = [(-math.inf, 0.1), (0.3, 0.4), (0.6, 0.7), (0.8, 1.0)]
    means = {}
    for level, (low, high) in enumerate(edges, 1):
        rows = [row for row, label in zip(features, labels, strict=True) if low < label <= high]
        if rows:
            means[level] = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    total = 0.0
    for a, b, c, d, m in (
        (1, 2, 1, 3, 1), (1, 2, 1, 4, 2), (2, 3, 2, 4, 1), (2, 3, 1, 4, 2), (3, 4, 2, 4, 1), (3, 4, 1, 4, 2),
    ):  # fmt: skip
        if {a, b, c, d} <= means.keys():
            hinge = distance(means[a], means[b]) - distance(means[c], means[d]) + m * margin
            total += max(0.0, hinge)
    return total


def test_every_segment_is_read_from_a_zero_state(sequences):
    network = build("mse")
    whole = network.segment_features(sequences)
    for number in range(10):
        part = sequences[:, 4 * number : 4 * number + 4]
        state, _ = network.lstm(part)
        torch.testing.assert_close(whole[:, number], network.dense(state[:, -1]), rtol=1e-12, atol=1e-12)


def test_the_value_is_the_mean_of_both_regressions(sequences):
    network = build("mse")
    output, features = network(sequences), network.segment_features(sequences)
    for row in range(len(sequences)):
        weights = torch.stack([network.alpha(features[row, k]) for k in range(10)])[:, 0]
        torch.testing.assert_close(output.alpha[row], weights)
        pooled = sum(weights[k] * features[row, k] for k in range(10)) / weights.sum()
        torch.testing.assert_close(output.features[row], pooled)
        logits = network.classify(pooled)
        value = (network.regression(logits) + network.regression_1(pooled)) / 2
        torch.testing.assert_close(output.values[row], value[0])


def test_rows_after_the_last_segment_are_ignored(sequences):
    network = build("mse")
    longer = torch.cat([sequences, 100 * torch.ones(6, 7, 3, dtype=torch.float64)], dim=1)
    assert torch.equal(network(longer).values, network(sequences).values)
    with pytest.raises(UserError, match="sequences of 39 rows: expected 10 times 4, 40"):
        network(sequences[:, :39])


@pytest.mark.parametrize(
    "labels",
    [
        [0.0, 0.33, 0.66, 0.66, 1.0, 0.33],
        [0.0, 0.33, 1.0, 0.33, 0.0, 1.0],  # 0.66 is absent
        [0.66] * 6,
        [0.1, 0.3, 0.4, 0.6, 0.7, 0.8],  # edges: 0.3, 0.6 and 0.8 belong to no level
    ],
)
def test_the_rank_loss_equals_a_loop(labels):
    features = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wanted = naive_rank_loss(features.tolist(), labels)
    found = rank_loss(features, torch.tensor(labels, dtype=torch.float64))
    assert found.item() == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_the_rank_loss_pulls_neighbours_together():
    features = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    features.requires_grad_()
    before = rank_loss(features, LABELS)
    before.backward()
    after = rank_loss((features - 0.01 * features.grad).detach(), LABELS)
    assert after < before
    assert features.grad.norm() > 0


def test_the_published_rank_loss_has_no_gradient():
    features = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert not published_rank_loss(features, LABELS).requires_grad


def test_the_published_rank_loss_divides_by_one_more():
    features = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    shrunk = features.clone()
    for label, count in ((0.0, 1), (0.33, 2), (0.66, 2), (1.0, 1)):
        shrunk[label == LABELS] *= count / (count + 1)
    wanted = naive_rank_loss(shrunk.tolist(), LABELS.tolist())
    assert published_rank_loss(features, LABELS).item() == pytest.approx(wanted)


@pytest.mark.parametrize("arm", ["rank_loss", "mse", "published_rank_loss"])
def test_the_loss_adds_the_rank_loss_of_the_arm(sequences, arm):
    output = build(arm)(sequences)
    loss = EngagementLoss(0.5)(output, LABELS)
    error = sum((v - t) ** 2 for v, t in zip(output.values.tolist(), LABELS.tolist(), strict=True)) / 6
    added = {"rank_loss": rank_loss, "published_rank_loss": published_rank_loss}.get(arm)
    extra = 0.5 * added(output.features, LABELS).item() if added else 0.0
    assert loss.item() == pytest.approx(error + extra)


def test_the_published_rank_loss_leaves_every_gradient_as_it_is(sequences):
    gradients = {}
    for arm in ("mse", "published_rank_loss", "rank_loss"):
        network = build(arm)
        METHOD.build_loss(OPTIONS)(network(sequences), LABELS).backward()
        gradients[arm] = [parameter.grad for parameter in network.parameters()]
    for ours, theirs in zip(gradients["published_rank_loss"], gradients["mse"], strict=True):
        assert torch.equal(ours, theirs)
    pairs = zip(gradients["rank_loss"], gradients["mse"], strict=True)
    assert not all(torch.equal(*pair) for pair in pairs)


def test_arms_with_one_network_begin_alike():
    states = [build(arm).state_dict() for arm in ("rank_loss", "mse", "published_rank_loss")]
    for first, second in itertools.pairwise(states):
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_bag_and_average_begin_with_the_same_different_networks(sequences):
    bag, average = build("bag"), build("average_of_five")
    assert all(torch.equal(a, b) for a, b in zip(bag.parameters(), average.parameters(), strict=True))
    members = bag(sequences).members
    assert members.shape == (6, 3)
    assert not torch.equal(members[:, 0], members[:, 1])
    torch.testing.assert_close(bag(sequences).values, members.mean(dim=1))


def test_counts_weigh_the_videos_of_each_member():
    members = torch.tensor([[0.1, 0.9], [0.5, 0.2]], dtype=torch.float64)
    targets, counts = torch.tensor([0.0, 1.0], dtype=torch.float64), torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    total = 0.0
    for m in range(2):
        of_member = 0.0
        for i in range(2):
            of_member += counts[i, m].item() * (members[i, m].item() - targets[i].item()) ** 2
        total += of_member / 2
    found = EngagementLoss(0.0)(BagOutput(members.mean(1), members, counts), targets)
    assert found.item() == pytest.approx(total)


def test_a_member_of_the_average_is_trained_as_alone(sequences):
    """Its gradient does not depend on how many others there are: Adam's decay would notice."""
    average = build("average_of_five")
    METHOD.build_loss(OPTIONS)(average(sequences, torch.zeros(6, 3)), LABELS).backward()
    for member in average.members:
        alone = SegmentNetwork(3, 6, 4, 16).double()
        alone.load_state_dict(member.state_dict())
        METHOD.build_loss(OPTIONS)(alone(sequences), LABELS).backward()
        for ours, theirs in zip(member.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-15)


def test_only_the_bag_looks_at_the_counts(sequences):
    counts = torch.tensor(np.random.default_rng(0).poisson(1, (6, 3))).double()
    loss = METHOD.build_loss(OPTIONS)
    found = {}
    for arm in ("bag", "average_of_five"):
        network = build(arm)
        found[arm] = [loss(network(sequences, given), LABELS).item() for given in (counts, None)]
    assert found["bag"][0] != found["bag"][1]
    assert found["average_of_five"][0] == found["average_of_five"][1] == found["bag"][1]


def test_alpha_is_explained_for_one_network_and_for_several(sequences):
    network, bag = build("mse"), build("bag")
    torch.testing.assert_close(METHOD.explain(network, sequences)["alpha"], network(sequences).alpha)
    wanted = sum(member(sequences).alpha for member in bag.members) / 3
    torch.testing.assert_close(METHOD.explain(bag, sequences, None)["alpha"], wanted)
