"""Probability guided maxout equals its authors' code on the same numbers, in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from fer_repro.errors import UserError
from fer_repro.layers.guided_maxout import (
    GuidedMaxout,
    kept_shares,
    label_probabilities,
    partial_features,
)
from fer_repro.methods.maxout import MaxoutLoss, MaxoutOutput
from fer_repro.methods.method import load_official

TOLERANCE = 1e-9
GOLDENS = Path(__file__).parents[1] / "goldens"
LAYER = json.loads((GOLDENS / "pgm_layer.json").read_text())
HEAD = json.loads((GOLDENS / "pgm_head.json").read_text())


def arrays(name):
    with np.load(GOLDENS / f"{name}.npz") as found:
        return {key: torch.from_numpy(found[key]) for key in found.files}


def same(ours, golden):
    assert ours.shape == golden.shape
    assert (ours - golden).norm() <= TOLERANCE * golden.norm()


def layer_of(scale):
    layer = GuidedMaxout().double()
    with torch.no_grad():
        layer.scale.fill_(scale)
    return layer


@pytest.mark.parametrize("case", LAYER["cases"], ids=lambda case: case["tag"])
def test_the_layer_and_its_gradients(fill, case):
    tag, golden = case["tag"], arrays("pgm_layer")
    features = golden[f"{tag}_h"].clone().requires_grad_()
    q, layer = torch.tensor(case["q"], dtype=torch.float64), layer_of(case["scale"])
    same(kept_shares(q), torch.tensor(case["proportion"], dtype=torch.float64))
    found = layer(features, q)
    upstream = torch.from_numpy(fill(f"pgm_up_{tag}", features.shape))
    (found * upstream).sum().backward()
    names = ("stable_out", "stable_grad_h", "stable_grad_s")
    names += ("out", "grad_h", "grad_s") if case["official_equals_stable"] else ()
    ours = {"out": found.detach(), "grad_h": features.grad, "grad_s": layer.scale.grad}
    for name in names:
        same(ours[name.removeprefix("stable_")], golden[f"{tag}_{name}"])
    kept = layer_of(1.0)._ranks(features.detach()) < torch.tensor(case["keep"])[:, None]
    assert torch.equal((found != 0) | (features == 0), kept | (features == 0))


def test_the_whole_step_of_the_head(fill):
    golden, labels = arrays("pgm_head"), torch.tensor(HEAD["labels"])
    shape = HEAD["inputs"]["pgm_features"]
    features = torch.from_numpy(np.abs(fill("pgm_features", shape)) * HEAD["gain"])
    same(features, golden["features"])
    fc = torch.nn.Linear(shape[1], len(golden["grad_fc_bias"])).double()
    with torch.no_grad():
        fc.weight.copy_(torch.from_numpy(fill("fc.weight", fc.weight.shape)))
        fc.bias.copy_(torch.from_numpy(fill("fc.bias", fc.bias.shape)))
        logits = fc(features)
    same(logits, golden["eval_logits"])
    q, layer = label_probabilities(logits, labels), layer_of(HEAD["scale"])
    same(q, golden["q"])
    same(kept_shares(q), golden["proportion"])
    same(layer(features, q).detach(), golden["masked"])
    features.requires_grad_()
    same(partial_features(layer, features, fc, labels)[1].detach(), golden["train_logits"])
    loss = MaxoutLoss()(MaxoutOutput(fc(features), features, fc, layer), labels)
    assert loss.item() == pytest.approx(HEAD["loss"], rel=TOLERANCE)
    loss.backward()
    same(features.grad, golden["grad_features"])
    same(layer.scale.grad, golden["grad_scale"])
    same(fc.weight.grad[:, :64], golden["grad_fc_weight"])
    same(fc.bias.grad, golden["grad_fc_bias"])


@pytest.fixture(scope="module")
def cifar(read_golden):
    golden = read_golden("pgm_cifar_resnet18")
    state = golden.state_dict()
    state["normactive.scale"] = torch.ones(1, dtype=torch.float64)
    return golden, state, json.loads((GOLDENS / "pgm_cifar_resnet18.json").read_text())


def test_the_authors_network_loads_strictly(cifar):
    golden, state, described = cifar
    network = load_official(golden.official, state)
    assert sum(parameter.numel() for parameter in network.parameters()) == described["parameters"]
    assert len(network.state_dict()) == len(state)
    images, labels = golden.inputs["pgm_img"] * described["gain"], torch.tensor(described["labels"])
    with torch.no_grad():
        found = network(images)
        same(found.logits, golden.outputs["eval_logits"])
        same(found.features, golden.outputs["eval_features"])
        q = label_probabilities(found.logits, labels)
        same(kept_shares(q), golden.outputs["proportion"])
        same(found.normactive(found.features, q), golden.outputs["train_features"])
        _, logits = partial_features(found.normactive, found.features, found.classifier, labels)
        same(logits, golden.outputs["train_logits"])
        entropy = cross_entropy(golden.outputs["train_logits"], labels)
        assert MaxoutLoss()(found, labels).item() == pytest.approx(entropy.item(), rel=TOLERANCE)


@pytest.mark.parametrize(
    ("constructor", "said"),
    [
        ({"num_classes": 10, "exp": "adaptDrp"}, "did you mean 'adaptDrop'"),
        ({"num_classes": 0, "exp": "adaptDrop"}, "num_classes is 0"),
        ({"num_class": 10, "exp": "adaptDrop"}, "unknown constructor argument 'num_class'"),
    ],
)
def test_another_network_of_theirs_is_refused(cifar, constructor, said):
    golden, state, _ = cifar
    with pytest.raises(UserError, match=said):
        load_official({**golden.official, "constructor": constructor}, state)


def test_a_missing_scale_is_named(cifar):
    golden, state, _ = cifar
    with pytest.raises(UserError, match=r"1 missing: normactive\.scale"):
        load_official(golden.official, {key: state[key] for key in state if key != "normactive.scale"})
