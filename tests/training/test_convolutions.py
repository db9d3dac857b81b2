"""Convolutions on CPUs: the numbers of PyTorch's own, without its fault and in less time."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fer_repro.layers.resnet import BasicBlock
from fer_repro.training import convolutions
from fer_repro.training.convolutions import CPUConv2d, prepare_convolutions

LAST = torch.channels_last
# each of these ended in a corrupted heap or a segmentation fault on one machine or another
STRIDED = """
import sys, torch
from fer_repro.layers.resnet import BasicBlock
from fer_repro.training.convolutions import prepare_convolutions
channels, batch, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)
layout = {"memory_format": torch.channels_last}
block = prepare_convolutions(BasicBlock(channels, 2 * channels, stride=2)).to(**layout)
for side in (16, 8, 4) * 20:
    images = torch.randn(batch, channels, side, side).to(**layout).requires_grad_()
    block(images).square().sum().backward()
print("done")
"""


@pytest.mark.parametrize(("channels", "batch", "threads"), [(4, 8, 1), (4, 7, 2), (8, 7, 2)])
def test_a_narrow_strided_shortcut_trains_without_a_crash(channels, batch, threads):
    command = [sys.executable, "-c", STRIDED, *map(str, (channels, batch, threads))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def gradients(convolution, images, seed=0):
    images = images.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    result = convolution(images)
    torch.manual_seed(seed)
    result.backward(torch.randn(result.shape, dtype=result.dtype))
    weights = [parameter.grad for parameter in convolution.parameters()]
    for parameter in convolution.parameters():
        parameter.grad = None
    return [result, images.grad, *weights]


CASES = [
    (nn.Conv2d(4, 8, 1, stride=2, bias=False), 16),
    (nn.Conv2d(4, 8, 1, stride=2), 7),
    (nn.Conv2d(4, 8, 1, stride=(2, 3)), (9, 8)),
    (nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False), 1),
    (nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False), 2),
    (nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False), 4),
    (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), 2),
    (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), 3),
    (nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False), 9),
    (nn.Conv2d(6, 6, 5, padding=2, groups=6), 4),
    (nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, bias=False), 4),
    (nn.Conv2d(6, 6, 3, padding=1, stride=2, groups=6, bias=False), 4),
    (nn.Conv2d(6, 6, 4, padding=2, groups=6, bias=False), 4),
    (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), (2, 4)),
    (nn.Conv2d(6, 12, 3, padding=1, groups=6, bias=False), 4),
    (nn.Conv2d(6, 6, 3, padding=1, groups=3, bias=False), 4),
    (nn.Conv2d(6, 6, 3, padding="same", groups=6, bias=False), 4),
    (nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular", groups=6, bias=False), 4),
    (nn.Conv2d(3, 6, 3, padding=1), 4),
]


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize(("convolution", "side"), CASES)
def test_results_and_gradients_are_pytorchs(convolution, side, layout):
    height, width = side if isinstance(side, tuple) else (side, side)
    images = torch.randn(3, convolution.in_channels, height, width, dtype=torch.float64)
    plain = convolution.double()
    expected = gradients(plain, images)
    ours = prepare_convolutions(nn.Sequential(nn.Conv2d(1, 1, 1)))[0]
    ours.__dict__ = plain.__dict__
    assert isinstance(ours, CPUConv2d)
    found = gradients(ours, images.to(memory_format=layout))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_small_depthwise_maps_take_the_other_way(monkeypatch):
    seen = []
    monkeypatch.setattr(
        convolutions._Depthwise, "apply", lambda maps, weight: seen.append(weight.shape[-1]) or maps
    )
    network = prepare_convolutions(nn.Sequential(nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False)))
    for side in (1, 2, 3, 4, 5):
        network(torch.randn(2, 6, side, side))
    with torch.no_grad():
        network(torch.randn(2, 6, 4, 4))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, 6, 4, 4))
    assert seen == [1, 3, 5, 5]


def test_frozen_weights_and_inputs_get_no_gradient():
    network = prepare_convolutions(nn.Sequential(nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False)))
    network(torch.randn(2, 6, 4, 4)).sum().backward()
    network.requires_grad_(False)
    images = torch.randn(2, 6, 4, 4, requires_grad=True)
    network(images).sum().backward()
    expected = F.conv2d(torch.ones(2, 6, 4, 4), network[0].weight.flip(2, 3), padding=2, groups=6)
    torch.testing.assert_close(images.grad, expected)


def test_keys_and_kinds_of_other_layers_stay():
    block = BasicBlock(4, 8, stride=2)
    before = {key: value.clone() for key, value in block.state_dict().items()}
    prepared = prepare_convolutions(block)
    assert prepared is block
    assert [(key, value.tolist()) for key, value in block.state_dict().items()] == [
        (key, value.tolist()) for key, value in before.items()
    ]

    class Own(nn.Conv2d):
        pass

    assert type(prepare_convolutions(nn.Sequential(Own(1, 1, 1)))[0]) is Own
