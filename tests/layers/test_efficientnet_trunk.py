"""EfficientNet and Xception trunks: timm's own at full width, each release's padding."""

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

from fer_repro.layers.efficientnet_trunk import (
    FrozenPadConv2d,
    efficientnet,
    padding_of,
    same_padding,
    timm_key,
    xception,
)


def shapes(network):
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("trunk", ["b0", "b2", "b4"])
def test_full_width_is_timms(trunk):
    with torch.device("meta"):
        ours, theirs = efficientnet(trunk), timm.create_model(f"tf_efficientnet_{trunk}", num_classes=0)
    assert shapes(ours) == shapes(theirs)
    strides = [(m.kernel_size, m.stride) for m in ours.modules() if isinstance(m, nn.Conv2d)]
    assert strides == [(m.kernel_size, m.stride) for m in theirs.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in ours.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}


def test_full_width_xception_is_timms():
    with torch.device("meta"):
        assert shapes(xception()) == shapes(timm.create_model("legacy_xception", num_classes=0))
        assert set(shapes(xception(8))) == set(shapes(xception()))


TABLE = {  # fact sheet, section 1.3: stem, blocks 2, 6, 10, 22
    "static380-v063": [(0, 1), (0, 1), (1, 2), (0, 1), (1, 2)],
    "static380-v071": [(0, 1), (0, 1), (2, 2), (0, 1), (1, 2)],
}


@pytest.mark.parametrize("padding", TABLE)
def test_frozen_paddings_are_the_sheets(padding):
    with torch.device("meta"):
        network = efficientnet("b4", padding=padding)
    frozen = [m.before_after for m in network.modules() if isinstance(m, FrozenPadConv2d)]
    assert frozen == TABLE[padding]


def test_symmetric_padding_is_half_the_kernel():
    with torch.device("meta"):
        network = efficientnet("b4", padding="symmetric")
    strided = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride[0] == 2]
    assert [m.padding[0] for m in strided] == [1, 1, 2, 1, 2]


@pytest.mark.parametrize("size", [7, 8, 95, 380])
@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_gives_the_ceiling(size, kernel):
    before, after = same_padding(size, kernel, 2)
    assert (size + before + after - kernel) // 2 + 1 == -(-size // 2)
    assert after - before in (0, 1)


def test_v063_equals_same_at_multiples_of_32_and_v071_at_380():
    torch.manual_seed(0)
    same = efficientnet("b4", width=4).double().eval()
    for padding, side, equal in (
        ("static380-v063", 64, True),
        ("static380-v071", 64, False),
        ("symmetric", 64, False),
        ("symmetric", 97, True),
        ("static380-v071", 380, True),
    ):
        other = efficientnet("b4", width=4, padding=padding).double().eval()
        other.load_state_dict(same.state_dict())
        images = torch.rand(1, 3, side, side).double()
        with torch.no_grad():
            expected, found = same(images), other(images)
        difference = ((found - expected).norm() / expected.norm()).item()
        assert (difference < 1e-9) == equal, (padding, side)


@pytest.mark.parametrize(
    ("backbone", "padding"),
    [
        ("", "same"),
        ("efficientnet_pytorch", "same"),
        ("efficientnet_pytorch 0.6.3, from_name('efficientnet-b4'), image_size 380", "static380-v063"),
        ("efficientnet_pytorch 0.5.1", "static380-v063"),
        ("efficientnet_pytorch 0.7.0", "symmetric"),
        ("efficientnet_pytorch 0.7.1, from_name('efficientnet-b4'), image_size 380", "static380-v071"),
        ("static380-v063", "static380-v063"),
        ("same", "same"),
    ],
)
def test_the_description_names_the_padding(backbone, padding):
    assert padding_of(backbone) == padding


def test_keys_of_the_table():
    assert timm_key("_conv_stem.weight") == "conv_stem.weight"
    assert timm_key("_bn1.bias") == "bn2.bias"
    assert timm_key("_blocks.1._project_conv.weight") == "blocks.0.1.conv_pw.weight"
    assert timm_key("_blocks.2._bn0.running_mean") == "blocks.1.0.bn1.running_mean"
    assert timm_key("_blocks.31._se_reduce.bias") == "blocks.6.1.se.conv_reduce.bias"


def test_other_methods_do_not_pay_for_timm():
    program = (
        "import sys; from fer_repro.methods.method import load_method; load_method('rmn'); "
        "load_method('efficientnet'); sys.exit('timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
