"""Network and rank loss of the engagement code equal the authors' outputs, in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_repro.methods.engagement import published_rank_loss, rank_loss
from fer_repro.methods.method import load_official

GOLDENS = Path(__file__).parent.parent / "goldens"
TOLERANCE = 1e-9
CASES = json.loads((GOLDENS / "engagement_rank_loss.json").read_text())["cases"]
NETWORKS = ("engagement_mil_lstm", "engagement_mil_lstm_small")


def same(ours, golden):
    assert ours.shape == golden.shape
    assert ours.dtype == torch.float64
    assert (ours - golden).norm() <= TOLERANCE * golden.norm()


@pytest.fixture(scope="module", params=NETWORKS)
def ran(request, read_golden):
    """The golden, the network after the backward pass of the MSE, its input, its output and the MSE."""
    golden = read_golden(request.param)
    network = load_official(golden.official, golden.state_dict()).train()
    sequences = next(iter(golden.inputs.values())).clone().requires_grad_()
    described = json.loads((GOLDENS / f"{request.param}.json").read_text())
    output = network(sequences)
    loss = torch.nn.functional.mse_loss(output.values, torch.tensor(described["labels"], dtype=torch.float64))
    loss.backward()
    return golden, described, network, sequences, output, loss


def test_the_outputs_equal_the_golden_ones(ran):
    golden, _, network, sequences, output, loss = ran
    same(output.logits, golden.outputs["logits"])
    same(output.values[:, None], golden.outputs["regression"])
    same(output.alpha, golden.outputs["alpha"])
    same(output.features, golden.outputs["video_feature"])
    same(network.segment_features(sequences), golden.outputs["segment_features"])
    same(loss, golden.outputs["mse"])


def test_the_gradients_equal_the_golden_ones(ran):
    golden, described, network, sequences, *_ = ran
    parameters = dict(network.named_parameters())
    for key in golden.outputs:
        name = key.removeprefix("grad_")
        if key.startswith("grad_") and name in parameters:
            same(parameters[name].grad, golden.outputs[key])
    same(sequences.grad[:, [0, 119, 1199]], golden.outputs["grad_x_rows_0_119_1199"])
    assert parameters.keys() == described["grad_norms"].keys()
    for name, norm in described["grad_norms"].items():
        assert parameters[name].grad.norm().item() == pytest.approx(norm, rel=TOLERANCE), name


def test_the_network_has_the_published_parameters(ran):
    _, described, network, *_ = ran
    assert sum(parameter.numel() for parameter in network.parameters()) == described["parameters"]


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDENS / "engagement_rank_loss.npz") as kept:
        return {key: torch.from_numpy(kept[key]) for key in kept.files}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
def test_both_rank_losses_equal_the_golden_ones(arrays, case):
    features = arrays[f"{case['tag']}_features"].clone().requires_grad_()
    labels = arrays[f"{case['tag']}_labels"]
    published = published_rank_loss(features, labels)
    assert published.item() == pytest.approx(case["compat"], rel=TOLERANCE)
    assert not published.requires_grad
    ours = rank_loss(features, labels)
    assert ours.item() == pytest.approx(case["plain"], rel=TOLERANCE, abs=1e-15)
    ours.backward()
    golden = arrays[f"{case['tag']}_plain_grad"]
    assert (features.grad - golden).norm() <= TOLERANCE * max(golden.norm().item(), 1)
