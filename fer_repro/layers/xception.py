"""Xception of any width, as a timm module (Chollet 2017, arXiv:1610.02357)."""

import torch
from torch import nn

from fer_repro.layers.resnet import initialise_kaiming


def xception(width: int = 32) -> nn.Module:
    """Build Xception without classifier: timm's ``legacy_xception`` where width is 32.

    Args:
        width: channels of the first convolution; 32 in the paper. The others scale alike, in steps of 8.
    """
    from timm.models.xception import Block, SeparableConv2d, Xception

    if width == 32:
        return Xception(num_classes=0)

    def scaled(channels: int) -> int:
        return max(8, round(channels * width / 32 / 8) * 8)

    with torch.device("meta"):
        network = Xception(num_classes=0)  # every layer with weights is replaced below
    network.conv1 = nn.Conv2d(3, scaled(32), 3, stride=2, bias=False)
    network.conv2 = nn.Conv2d(scaled(32), scaled(64), 3, bias=False)
    network.block1 = Block(scaled(64), scaled(128), 2, 2, start_with_relu=False)
    network.block2 = Block(scaled(128), scaled(256), 2, 2)
    network.block3 = Block(scaled(256), scaled(728), 2, 2)
    for n in range(4, 12):
        network.add_module(f"block{n}", Block(scaled(728), scaled(728), 3, 1))
    network.block12 = Block(scaled(728), scaled(1024), 2, 2, grow_first=False)
    network.conv3 = SeparableConv2d(scaled(1024), scaled(1536), 3, 1, 1)
    network.conv4 = SeparableConv2d(scaled(1536), scaled(2048), 3, 1, 1)
    for n, channels in enumerate((32, 64, 1536, 2048), start=1):
        network.add_module(f"bn{n}", nn.BatchNorm2d(scaled(channels)))
    network.num_features = network.head_hidden_size = scaled(2048)
    initialise_kaiming(network)
    return network
