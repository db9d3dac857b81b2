"""A recipe's head: what the loss gets, what stays as it is, and what a resumed run must not lose."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from test_fit import Stop, StoppingCheckpoint, same
from tiny_run import PlainNet, TinyNet, make_config, run
from torch import nn

from fer_repro.errors import UserError
from fer_repro.layers.embedding import EmbeddingClassifier, HeadLoss
from fer_repro.layers.margin_heads import control_head
from fer_repro.loading.batches import Batch
from fer_repro.training.checkpoint import Checkpoint
from fer_repro.training.heads import dropping_features, linear_layer

TARGETS = torch.tensor([0, 2, 1, 1, 0])


def images(count=5):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


ITEM = Batch((images(1),), torch.tensor([1]))


class OneLogit(nn.Module):
    """Two classes with one logit z, as (0, z)."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(768, 6), nn.ReLU())
        self.head = nn.Linear(6, 1)

    def forward(self, shown):
        return nn.functional.pad(self.head(self.body(shown)), (1, 0))


def features_of(network):
    return network.body(images()).flatten(1)


def expected_loss(network, targets):
    """By a loop over samples: rank, drop, scale, classify, and the mean of -log softmax at the label."""
    losses = []
    for h, label in zip(features_of(network), targets.tolist(), strict=True):
        logits = network.head(h)
        logits = torch.stack([torch.zeros(()), logits[0]]) if len(logits) == 1 else logits
        share = 1 - float(logits.detach().exp()[label] / logits.detach().exp().sum()) / 2
        order = sorted(range(len(h)), key=lambda i: (h[i].item(), i))
        kept = order[: round(len(h) * share)]  # Python rounds halves to even numbers
        left = torch.stack([h[i] / share if i in kept else h[i] * 0 for i in range(len(h))])
        logits = network.head(left)
        logits = torch.stack([torch.zeros(()), logits[0]]) if len(logits) == 1 else logits
        losses.append(-(logits[label] - logits.exp().sum().log()))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("make", [PlainNet, OneLogit])
def test_the_loss_is_that_of_what_is_left(make):
    torch.manual_seed(0)
    network, targets = make(), TARGETS % 2
    with dropping_features("pgm", network, nn.CrossEntropyLoss(), ITEM) as loss:
        value = loss(network.train()(images()), targets)
    expected = expected_loss(network, targets)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert value.item() != pytest.approx(
        nn.functional.cross_entropy(network(images()), targets).item(), rel=1e-3
    )
    value.backward()
    mine = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    expected.backward()
    for grad, parameter in zip(mine, network.parameters(), strict=True):
        torch.testing.assert_close(grad, parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_softmax_head_classifies_what_is_left_of_the_embeddings():
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(768, 6))
    network = EmbeddingClassifier(trunk, control_head("softmax", 6, 3, 8.0, 0.2, 0.3))
    with dropping_features("pgm", network, HeadLoss(0.1), ITEM) as loss:
        found = loss(network.train()(images()), TARGETS)
        layer = loss.dropping
    embeddings = trunk(images())
    q = (embeddings @ network.head.weight.T + network.head.bias).softmax(1)[range(5), TARGETS]
    logits = layer(embeddings, q.detach()) @ network.head.weight.T + network.head.bias
    expected = nn.functional.cross_entropy(logits, TARGETS, label_smoothing=0.1)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_none_is_the_loss_itself():
    loss, network = nn.CrossEntropyLoss(), PlainNet()
    with dropping_features("none", network, loss, None) as found:
        assert found is loss
        assert not any(part._forward_pre_hooks for part in network.modules())


@pytest.mark.parametrize("head", ["dropout", "pgm"])
def test_evaluation_is_as_without_a_head(head):
    network = TinyNet().eval()
    before = network(images())
    with dropping_features(head, network, nn.CrossEntropyLoss(), ITEM) as loss:
        assert torch.equal(network.eval()(images()), before)
        with pytest.raises(RuntimeError, match="no features"):
            loss(before, TARGETS)
    assert not any(part._forward_pre_hooks for part in network.modules())


def test_features_of_two_batches_are_never_mixed_up():
    network = PlainNet().train()
    with dropping_features("pgm", network, nn.CrossEntropyLoss(), ITEM):
        network(images())
        with pytest.raises(RuntimeError, match="features twice"):
            network(images())


class Hidden(PlainNet):
    """Its logits are those of a linear layer, to which something is done."""

    def forward(self, shown):
        return super().forward(shown).clone()


def test_what_has_no_linear_layer_is_refused():
    find = partial(linear_layer, loss=nn.CrossEntropyLoss(), item=ITEM)
    network = PlainNet()
    assert find(network) is network.head
    with pytest.raises(UserError, match="logits are not those of a linear layer"):
        find(Hidden())
    network.body.requires_grad_(False)
    with pytest.raises(UserError, match="before its linear layer are frozen"):
        find(network)
    with pytest.raises(UserError, match="loss does not come from the logits"):
        linear_layer(PlainNet(), lambda output, targets: torch.zeros(()), ITEM)


def trained(head, config, checkpoint):
    torch.manual_seed(7)
    network = TinyNet()
    with dropping_features(head, network, nn.CrossEntropyLoss(), ITEM) as loss:
        return run(config, checkpoint, network=network, loss=loss), loss


@pytest.mark.parametrize("last", [3, 9])
@pytest.mark.parametrize("head", ["dropout", "pgm"])
def test_a_stopped_run_resumes_bit_identically(tmp_path, head, last):
    config = make_config(ema=0.9, accumulate=2, clip_norm=0.5)
    whole, loss = trained(head, config, Checkpoint(tmp_path / "whole", "x"))
    with pytest.raises(Stop):
        trained(head, config, StoppingCheckpoint(tmp_path / "state", "x", last))
    torch.manual_seed(99)
    resumed, again = trained(head, config, Checkpoint(tmp_path / "state", "x"))
    assert same(whole, resumed)
    assert list(whole.weights) == list(TinyNet().state_dict())
    assert all(torch.equal(a, b) for a, b in zip(loss.parameters(), again.parameters(), strict=True))


def test_the_scale_is_trained_and_kept_with_the_loss(tmp_path):
    _, loss = trained("pgm", make_config(), Checkpoint(tmp_path / "s", "x"))
    assert loss.dropping.scale.item() != 1
    kept = torch.load(tmp_path / "s", weights_only=True)["modules"]
    assert torch.equal(kept["loss"]["dropping.scale"], loss.dropping.scale.detach())
    assert "dropping.scale" not in kept["network"]


def test_heads_train_differently(tmp_path):
    found = [
        trained(head, make_config(), Checkpoint(tmp_path / head, "x"))[0].history[0]["train_loss"]
        for head in ("none", "dropout", "pgm")
    ]
    assert len(set(found)) == 3


def test_mixed_precision_trains(tmp_path):
    config = make_config(precision="bf16-mixed")
    found, loss = trained("pgm", config, Checkpoint(tmp_path / "s", "x"))
    exact, _ = trained("pgm", make_config(), Checkpoint(tmp_path / "t", "x"))
    assert loss.dropping.scale.dtype == torch.float32
    losses = [[record["train_loss"] for record in fitted.history] for fitted in (found, exact)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


def test_a_compiled_network_shows_its_features(tmp_path, monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, compiled = (
        trained(
            "pgm", replace(config, runtime=replace(config.runtime, compile=compiled)), Checkpoint(path, "x")
        )
        for compiled, path in ((False, tmp_path / "a"), (True, tmp_path / "b"))
        for config in [make_config(ema=0.5)]
    )
    torch._dynamo.reset()
    for name, tensor in plain[0].weights.items():
        torch.testing.assert_close(compiled[0].weights[name], tensor, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(compiled[1].dropping.scale, plain[1].dropping.scale)
