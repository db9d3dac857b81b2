"""Our networks equal the authors' code on the same weights, tensor by tensor, in float64."""

import pytest
import torch
import torchvision

from fer_repro.methods.method import load_official
from fer_repro.methods.rmn import _explain

TOLERANCE = 1e-9


def distance(ours, golden):
    assert ours.shape == golden.shape
    assert ours.dtype == torch.float64
    return ((ours - golden).norm() / golden.norm()).item()


@pytest.fixture(scope="module")
def state_dict(rmn_golden):
    return rmn_golden.state_dict()  # 1.1 GB, filled once


def test_rmn_equals_the_authors_network(rmn_golden, state_dict):
    model = load_official(rmn_golden.official, state_dict)
    assert not model.training
    images = rmn_golden.inputs["rmn_64"]
    stages = {}
    for n in range(1, 5):
        model.get_submodule(f"layer{n}").register_forward_hook(
            lambda _module, _inputs, output, n=n: stages.update({n: output})
        )
    explained = _explain(model, images)
    with torch.no_grad():
        ours = {"logits": model(images)}
    for n in range(1, 5):
        ours[f"mask{n}"] = explained[f"mask{n}"]
        ours[f"mask{n}_presoftmax_first8ch"] = explained[f"scores{n}"][:, :8]
        ours[f"stage{n}_feature_first4ch"] = stages[n][:, :4]
    ours["final_feature"] = (stages[4] * (1 + ours["mask4"]))[:, ::16]
    assert set(ours) == set(rmn_golden.outputs)
    for name, golden in rmn_golden.outputs.items():
        assert distance(ours[name], golden) < TOLERANCE, name


def test_the_authors_control_is_a_plain_resnet34(rmn_golden, state_dict):
    """Its masks sit in the checkpoint and are never applied."""
    name = "models.resmasking_naive.resmasking_naive_dropout1"
    control = load_official({**rmn_golden.official, "class": name}, state_dict)
    with torch.device("meta"):
        oracle = torchvision.models.resnet34(num_classes=7)
    trunk = {
        key.replace("fc.1.", "fc."): value for key, value in state_dict.items() if not key.startswith("mask")
    }
    oracle.load_state_dict(trunk, strict=True, assign=True)
    images = rmn_golden.inputs["rmn_64"]
    with torch.no_grad():
        assert distance(control(images), oracle.eval()(images)) < TOLERANCE
    frozen = {name.split(".")[0] for name, p in control.named_parameters() if not p.requires_grad}
    assert frozen == {"mask1", "mask2", "mask3", "mask4"}
    assert _explain(control, images) is None


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_masking_blocks_equal_the_authors(blocks_golden, depth):
    prefix = f"mask{depth}."
    state = {key.removeprefix(prefix): value for key, value in blocks_golden.state_dict(prefix).items()}
    official = {
        **blocks_golden.official,
        "constructor": {"in_channels": 8, "out_channels": 8, "depth": depth},
    }
    block = load_official(official, state)
    with torch.no_grad():
        mask = block(blocks_golden.inputs[f"rmn_block_c8_depth{depth}"])
    (golden,) = (
        v for k, v in blocks_golden.outputs.items() if k.endswith(f"depth{depth}") or f"mask{depth}" in k
    )
    assert distance(mask, golden) < TOLERANCE


def test_the_four_blocks_load_at_once(blocks_golden):
    blocks = load_official(blocks_golden.official, blocks_golden.state_dict())
    assert list(blocks) == ["mask1", "mask2", "mask3", "mask4"]
