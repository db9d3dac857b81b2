"""The arms of guided maxout: what each drops in training, and that nothing is dropped afterwards."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from fer_repro.layers.guided_maxout import FeatureDropout, GuidedMaxout
from fer_repro.methods.maxout import METHOD, MaxoutLoss, MaxoutOptions, _build_model, _explain, _watch
from fer_repro.training.loop import hits_of

TARGETS = torch.tensor([0, 3, 6, 3, 1, 1])


def options(**changed):
    return MaxoutOptions(**{"width": 4, "pretraining": "none", **changed})


def faces(count=6, seed=1):
    return torch.rand(count, 3, 33, 33, generator=torch.Generator().manual_seed(seed))


def network_of(arm, seed=0):
    torch.manual_seed(seed)
    network = _build_model(arm, options(), 7)
    with torch.no_grad():
        network.train()(faces(8, seed=9))  # away from its initial statistics
        network.fc.weight.mul_(20)  # answers far from equal
    return network


def left_by(arm):
    """What an arm leaves of the features: seen by a classifier that notes them."""
    network = network_of(arm).train()
    output, seen = network(faces()), []

    def classifier(features):
        seen.append(features.detach())
        return network.fc(features)

    features = output.features + 0.1  # of 0 nobody could tell whether they were dropped
    targets = (
        network.fc(features).topk(2).indices[range(6), [0, 1] * 3]
    )  # certain of some, and wrong of others
    MaxoutLoss()(output._replace(features=features, classifier=classifier), targets)
    return features.detach(), seen[-1] if seen else None, network, targets


def test_all_arms_begin_with_one_network():
    states = [network_of(arm).state_dict() for arm in METHOD.arms]
    for state in states:
        state.pop("normactive.scale", None)
        assert list(state) == list(states[0])
        assert all(torch.equal(state[key], states[0][key]) for key in state)


def test_arms_differ_in_what_is_dropped_alone():
    kinds = {arm: _build_model(arm, options(), 7).normactive for arm in METHOD.arms}
    assert kinds["none"] is None
    assert isinstance(kinds["dropout"], FeatureDropout)
    guided = {arm: kind for arm, kind in kinds.items() if isinstance(kind, GuidedMaxout)}
    assert {arm: (kind.dropped, kind.scale.requires_grad) for arm, kind in guided.items()} == {
        "pgm": ("most_active", True),
        "random_drop": ("random", True),
        "least_active": ("least_active", True),
        "fixed_scale": ("most_active", False),
    }
    assert kinds["dropout"].rate == 0.5


def test_guided_arms_drop_as_many_features_of_each_face():
    counts = {}
    for arm in ("pgm", "random_drop", "least_active", "fixed_scale"):
        features, left, network, targets = left_by(arm)
        counts[arm] = (left == 0).sum(1).tolist()
        q = network.fc(features).softmax(1)[range(6), targets]
        assert counts[arm] == [32 - round(32 * (1 - each / 2)) for each in q.tolist()]
        assert max(counts[arm]) > 12
        assert min(counts[arm]) < 4
    assert len({tuple(count) for count in counts.values()}) == 1


def test_the_most_and_the_least_active_are_dropped():
    for arm, largest in (("pgm", True), ("least_active", False)):
        features, left, _, _ = left_by(arm)
        for h, kept in zip(features, left != 0, strict=True):
            if kept.all():
                continue
            gone, stays = h[~kept], h[kept]
            assert (gone.min() >= stays.max()) if largest else (gone.max() <= stays.min())


def test_the_loss_of_the_control_is_plain():
    _, left, network, _ = left_by("none")
    assert left is None
    output = network(faces())
    for smoothing in (0.0, 0.1):
        expected = cross_entropy(output.logits, TARGETS, label_smoothing=smoothing)
        assert torch.equal(MaxoutLoss(smoothing)(output, TARGETS), expected)


@pytest.mark.parametrize("arm", [arm for arm in METHOD.arms if arm != "none"])
def test_nothing_is_dropped_after_training(arm):
    network, plain = network_of(arm).eval(), network_of("none").eval()
    with torch.no_grad():
        if isinstance(network.normactive, GuidedMaxout):
            network.normactive.scale.fill_(3.0)
        assert torch.equal(network(faces()).logits, plain(faces()).logits)
        output = network.train()(faces())
        assert torch.equal(output.logits, plain.train()(faces()).logits), "accuracies are of all features"
    assert torch.equal(hits_of(output, TARGETS), output.logits.argmax(1) == TARGETS)


def test_shares_of_votes_are_learnt_too():
    output = network_of("pgm").train()(faces())
    shares = torch.nn.functional.one_hot(TARGETS, 7).float() * 0.6 + 0.4 / 7
    expected = MaxoutLoss(0.4)(output, TARGETS)  # the same targets, as label smoothing makes them
    torch.testing.assert_close(MaxoutLoss()(output, shares), expected)


def test_features_and_answers_are_explained():
    network = network_of("pgm")
    found = _explain(network, faces())
    with torch.no_grad():
        output = network.eval()(faces())
    assert torch.equal(found["features"], output.features)
    torch.testing.assert_close(found["probabilities"], output.logits.softmax(1))


def test_the_history_keeps_the_scale_where_there_is_one():
    assert _watch(network_of("pgm")) == {"scale": 1.0}
    assert _watch(network_of("none")) == _watch(network_of("dropout")) == {}
