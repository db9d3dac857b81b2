"""Residual attention network (Wang et al. 2017, arXiv:1704.06904), the oldest rival in RMN's tables."""

from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.layers.resnet import initialise_kaiming


class PreactivatedUnit(nn.Module):
    """A bottleneck whose normalisations and ReLUs come before its convolutions (arXiv:1603.05027, Fig. 4e).

    Args:
        in_channels: channels of the input.
        channels: channels of the output; a quarter of it inside.
        stride: of the 3x3 convolution and of the shortcut.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        inner = channels // 4
        self.norm = nn.BatchNorm2d(in_channels)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False),
            *_active(inner, nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)),
            *_active(inner, nn.Conv2d(inner, channels, 1, bias=False)),
        )
        changes = stride != 1 or in_channels != channels
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, h, w) to (N, channels, h / stride, w / stride)."""
        active = F.relu(self.norm(features))
        shortcut = features if self.shortcut is None else self.shortcut(active)
        return cast(Tensor, shortcut + self.layers(active))


class AttentionModule(nn.Module):
    """(1 + M) T between two units (Fig. 2): a trunk T of two units, and a mask M that looks from afar.

    The mask halves the map ``depth`` times by max-pooling, each time followed by a unit, and enlarges it
    again; on the way up the maps of the way down are added through a unit of their own. Two 1x1 convolutions
    and a sigmoid end it.

    Args:
        channels: C, of input and output.
        depth: halvings: 3, 2, 1 after stages 1, 2, 3.
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()

        def units(count: int) -> nn.ModuleList:
            return nn.ModuleList(PreactivatedUnit(channels, channels) for _ in range(count))

        self.first, self.last = units(2)
        self.trunk = nn.Sequential(*units(2))
        self.down, self.up, self.skip = units(depth), units(depth), units(depth - 1)
        convs = (nn.Conv2d(channels, channels, 1, bias=False) for _ in range(2))
        self.mask = nn.Sequential(*(part for conv in convs for part in _active(channels, conv)), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Refine (N, C, h, w); the shape stays."""
        features = self.first(features)
        levels = [features]
        for unit in self.down:
            levels.append(unit(F.max_pool2d(levels[-1], 3, stride=2, padding=1)))
        found = levels[-1]
        for n in reversed(range(len(self.down))):
            size = levels[n].shape[-2:]
            found = F.interpolate(self.up[n](found), size=size, mode="bilinear", align_corners=False)
            if n > 0:
                found = found + self.skip[n - 1](levels[n])
        return cast(Tensor, self.last((1 + self.mask(found)) * self.trunk(features)))


class ResidualAttentionNetwork(nn.Module):
    """Attention-56 of the paper's Table 2: an attention module after each of the first three stages.

    Args:
        classes: K.
        width: channels of the stem; 64 in the paper.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        channels = [width, *(4 * width * 2**n for n in range(4))]
        parts: list[nn.Module] = []
        for n, (before, after) in enumerate(pairwise(channels)):
            parts.append(PreactivatedUnit(before, after, stride=1 + (n > 0)))
            if n < 3:
                parts.append(AttentionModule(after, depth=3 - n))
        parts += [PreactivatedUnit(channels[-1], channels[-1]) for _ in range(2)]
        self.stages = nn.Sequential(*parts, nn.BatchNorm2d(channels[-1]), nn.ReLU())
        initialise_kaiming(self)
        self.fc = nn.Linear(channels[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W) into logits (N, K)."""
        features = F.max_pool2d(self.stem(images), 3, stride=2, padding=1)
        return cast(Tensor, self.fc(self.stages(features).mean(dim=(2, 3))))


def _active(channels: int, conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return nn.BatchNorm2d(channels), nn.ReLU(), conv
