"""The frame graph equals the golden numbers of its formula, evaluated without torch, in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_repro.layers.frame_graph import FrameGraph, FrameGraphClassifier, node_cosines

TOLERANCE = 1e-9
GOLDENS = Path(__file__).parents[1] / "goldens"
CASES = json.loads((GOLDENS / "gcn_video.json").read_text())["cases"]


def same(ours, golden):
    assert ours.shape == golden.shape
    assert ours.dtype == golden.dtype == torch.float64
    assert (ours - golden).norm() <= TOLERANCE * golden.norm()


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDENS / "gcn_video.npz") as found:
        return {key: torch.from_numpy(found[key]) for key in found.files}


def filled(fill, case):
    """The classifier of a case, with the keys of the golden's note."""
    tag, sizes = case["tag"], (case["D"], case["O"], case["H"], case["C"])
    model = FrameGraphClassifier(*sizes).double()
    state = {"graph.linear.weight": torch.from_numpy(fill(f"gcn_w_{tag}", sizes[:2])).T}
    for key, tensor in model.state_dict().items():
        state.setdefault(key, torch.from_numpy(fill(key, tensor.shape)))
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
@torch.no_grad()
def test_every_step_equals_the_golden(golden, fill, case):
    tag, model = case["tag"], filled(fill, case)
    nodes = np.abs(fill(f"gcn_x_{tag}", (case["N"], case["D"])))
    if case["kind"] == "identical":
        nodes[:] = nodes[0]
    if case["kind"] == "zero_row":
        nodes[1] = 0
    nodes = torch.from_numpy(nodes)[None]
    softmax = FrameGraph(case["D"], case["O"], "softmax").double()
    softmax.load_state_dict(model.graph.state_dict())
    shared = model.graph(nodes)
    states = model.states(shared)
    logits, weights = model(nodes)
    ours = {
        "x": nodes[0],
        "cosine": node_cosines(nodes)[0],
        "gcn_relu_cosine": shared[0],
        "gcn_softmax": softmax(nodes)[0],
        "lstm": states[0],
        "node_logits": model.classifier(states)[0],
        "node_weights": weights[0, :, 0],
        "logits": logits[0],
    }
    assert {f"{tag}_{name}" for name in ours} == {key for key in golden if key.startswith(f"{tag}_")}
    for name, tensor in ours.items():
        same(tensor, golden[f"{tag}_{name}"])
