"""Our residual blocks are torchvision's: names, shapes and values."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models import resnet

from fer_repro.layers.resnet import (
    BasicBlock,
    Bottleneck,
    initialise_kaiming,
    run_stem,
    stage,
    stem_convolution,
)


@pytest.mark.parametrize(
    ("block", "oracle", "in_channels", "stride"),
    [
        (BasicBlock, "resnet18", 4, 1),
        (BasicBlock, "resnet18", 4, 2),
        (Bottleneck, "resnet50", 4, 1),
        (Bottleneck, "resnet50", 16, 2),
    ],
)
def test_a_stage_equals_torchvisions(block, oracle, in_channels, stride):
    theirs = {BasicBlock: resnet.BasicBlock, Bottleneck: resnet.Bottleneck}[block]
    network = torchvision.models.resnet18()
    network.inplanes = in_channels
    reference = network._make_layer(theirs, 4, 3, stride=stride).double().eval()
    ours = stage(block, in_channels, 4, 3, stride).double().eval()
    assert list(ours.state_dict()) == list(reference.state_dict())
    for value in reference.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1.0)
    ours.load_state_dict(reference.state_dict(), strict=True)
    features = torch.randn(2, in_channels, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(features), reference(features), rtol=1e-12, atol=1e-12)


def test_the_start_is_kaiming_with_fan_out():
    torch.manual_seed(0)
    block = BasicBlock(16, 64, stride=2)
    block.bn1.weight.data.fill_(3)
    initialise_kaiming(block)
    assert block.conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert (block.bn1.weight == 1).all()
    assert (block.bn1.bias == 0).all()


@pytest.mark.parametrize("side", [48, 49, 64])
def test_the_small_stem_halves_the_side(side):
    stem = stem_convolution("small", 4)
    assert (stem.kernel_size, stem.stride, stem.padding, stem.bias) == ((3, 3), (1, 1), (1, 1), None)
    images = torch.rand(2, 3, side, side)
    found = run_stem(stem, torch.nn.Identity(), images)
    assert torch.equal(found, F.max_pool2d(stem(images).relu(), 2))
    assert found.shape == (2, 4, side // 2, side // 2)


@pytest.mark.parametrize("side", [48, 49, 64])
def test_the_stem_of_the_table_is_torchvisions(side):
    network = torchvision.models.resnet18().eval()
    images = torch.rand(2, 3, side, side)
    ours = stem_convolution("table", 64)
    ours.load_state_dict(network.conv1.state_dict(), strict=True)
    expected = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    assert torch.equal(run_stem(ours, network.bn1, images), expected)
