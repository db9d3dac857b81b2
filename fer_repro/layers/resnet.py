"""Residual blocks and stages in torchvision's layout and key names (He et al. 2016, arXiv:1512.03385).

Networks are put together from these in each method's file, so that their keys stay ``conv1``, ``bn1``,
``layer1.0.conv1`` ... and ImageNet weights fit without a mapping.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError

Stem = Literal["table", "small"]
"""``table``: a 7x7 convolution of stride 2 and a 3x3 pooling of stride 2 (arXiv:1512.03385, Table 1).
``small``, for images of 32 to 64 pixels: a 3x3 convolution of stride 1 and a 2x2 pooling."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, ReLU after the sum (arXiv:1512.03385, Fig. 5 left).

    The shortcut is the identity, or a 1x1 convolution with batch normalisation where shapes differ.

    Args:
        in_channels: channels of the input.
        channels: channels of both convolutions and of the output.
        stride: of the first convolution and of the shortcut.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, h, w) to (N, channels, h / stride, w / stride)."""
        shortcut = features if self.downsample is None else self.downsample(features)
        return F.relu(self.residual(features) + shortcut)

    def residual(self, features: Tensor) -> Tensor:
        """Compute what is added to the shortcut."""
        features = F.relu(self.bn1(self.conv1(features)))
        return self.bn2(self.conv2(features))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (arXiv:1512.03385, Fig. 5 right).

    Args:
        in_channels: channels of the input.
        channels: channels of the inner convolutions; the output has ``expansion`` times as many.
        stride: of the 3x3 convolution, as torchvision has it, and of the shortcut.
        groups: of the 3x3 convolution.
        widening: factor on the inner channels; a ResNeXt has 2 (arXiv:1611.05431, Table 1).
    """

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, groups: int = 1, widening: int = 1
    ) -> None:
        super().__init__()
        wide, inner = channels * self.expansion, channels * widening
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = _shortcut(in_channels, wide, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, h, w) to (N, 4 channels, h / stride, w / stride)."""
        shortcut = features if self.downsample is None else self.downsample(features)
        return F.relu(self.residual(features) + shortcut)

    def residual(self, features: Tensor) -> Tensor:
        """Compute what is added to the shortcut."""
        features = F.relu(self.bn1(self.conv1(features)))
        features = F.relu(self.bn2(self.conv2(features)))
        return self.bn3(self.conv3(features))


def _shortcut(in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


def stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    channels: int,
    count: int,
    stride: int,
    **options: int,
) -> nn.Sequential:
    """Chain ``count`` blocks of one resolution; the first one carries the stride.

    Args:
        block: ``BasicBlock`` (ResNet-18, 34) or ``Bottleneck`` (ResNet-50 and deeper).
        in_channels: channels of the input.
        channels: as the block counts them; the output has ``channels * block.expansion``.
        count: number of blocks.
        stride: of the first block.
        options: further arguments of every block.
    """
    wide = channels * block.expansion
    first = block(in_channels, channels, stride, **options)
    return nn.Sequential(first, *(block(wide, channels, **options) for _ in range(count - 1)))


def stem_convolution(stem: Stem, width: int) -> nn.Conv2d:
    """Make the first convolution of a network, ``conv1`` in torchvision's keys."""
    if stem == "small":
        return nn.Conv2d(3, width, 3, padding=1, bias=False)
    return nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)


def run_stem(convolution: nn.Conv2d, norm: nn.Module, images: Tensor) -> Tensor:
    """Map images (N, 3, H, W) to the input of stage 1: (N, width, H/4, W/4), with the small stem H/2, W/2."""
    features = F.relu(norm(convolution(images)))
    if stem_of(convolution) == "small":
        return F.max_pool2d(features, 2)
    return F.max_pool2d(features, 3, stride=2, padding=1)


def stem_of(convolution: nn.Conv2d) -> Stem:
    """Infer a network's stem from its first convolution."""
    return "small" if convolution.stride == (1, 1) else "table"


def check_sides(convolution: nn.Conv2d, images: Tensor, who: str) -> None:
    """Check that stage 1's maps can be halved three times and doubled again.

    Args:
        convolution: the network's first one.
        images: (N, 3, H, W).
        who: needs it, for the message.

    Raises:
        UserError: a side of the images does not fit.
    """
    small = stem_of(convolution) == "small"
    unit, low, high = (16, 0, 1) if small else (32, -3, 0)  # these sides give maps of the same side
    if all((side - low) % unit <= high - low and side >= unit + low for side in images.shape[2:]):
        return
    each = [f"{k * unit + low}-{k * unit + high}" for k in ((2, 3, 4) if small else (2, 3, 7))]
    form = f"{unit}n ... {unit}n+1 with the small stem" if small else f"{unit}n-3 ... {unit}n only"
    raise UserError(
        f"images are {images.shape[2]}x{images.shape[3]}: {who} run on sides {form} "
        f"({', '.join(each)}, ...); the recipe's image_size enlarges, e.g. 48 to 64"
    )


def initialise_kaiming(module: nn.Module) -> None:
    """Initialise convolutions Kaiming-normal (fan-out, ReLU gain) and batch normalisations as 1 and 0.

    Transposed convolutions and linear layers keep the framework's initial weights.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
