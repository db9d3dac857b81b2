"""Attention of RMN's tables: CBAM (arXiv:1807.06521), BAM (arXiv:1807.06514), residual attention network.

CBAM and BAM estimate which channels and places matter, and multiply the features by the result: CBAM in every
residual block, BAM between the stages. The residual attention network (Wang et al. 2017, arXiv:1704.06904) is
the oldest rival in these tables.
"""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.layers.resnet import BasicBlock, Bottleneck, initialise_kaiming


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
    """(1 + M) T between two units (Fig. 2): a trunk T of two units, and a mask M that sees a wide area.

    The mask halves the map ``depth`` times by max-pooling, each time followed by a unit, and enlarges it
    again; on the way up the maps of the way down are added through their own unit. Two 1x1 convolutions
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


_REDUCTION = 16  # r in both papers
_FEWEST = 4  # hidden units of narrow networks: a single one would often be dead


class ConvolutionalBlockAttention(nn.Module):
    """CBAM: channels are weighed first, then places (arXiv:1807.06521, Eq. 2 and 3).

    Channels: sigmoid(MLP(mean over places) + MLP(maximum over places)), one MLP of C, C/16 and C units with
    biases. Places: sigmoid of a 7x7 convolution over the mean and the maximum over channels; it carries a
    batch normalisation in the bias's place, as the CBAM authors' code has it.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(_FEWEST, channels // _REDUCTION)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.places = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, features: Tensor) -> Tensor:
        """Weigh (N, C, h, w); the shape stays."""
        scores = self.mlp(features.mean(dim=(2, 3))) + self.mlp(features.amax(dim=(2, 3)))  # (N, C)
        features = features * scores.sigmoid()[:, :, None, None]
        pooled = torch.stack([features.mean(dim=1), features.amax(dim=1)], dim=1)  # (N, 2, h, w)
        return features * self.places(pooled).sigmoid()


class BottleneckAttention(nn.Module):
    """BAM: F + F * sigmoid(channels + places), both from F itself (arXiv:1807.06514, Eq. 1 to 4).

    Channels: an MLP of the mean over places, C to C/16 to C. Places: a 1x1 convolution to C/16 channels, two
    3x3 ones of dilation 4, a 1x1 one to a single channel. All hidden layers are normalised.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(_FEWEST, channels // _REDUCTION)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )
        self.places = nn.Sequential(
            *_normalised(nn.Conv2d(channels, hidden, 1)),
            *_normalised(nn.Conv2d(hidden, hidden, 3, padding=4, dilation=4)),
            *_normalised(nn.Conv2d(hidden, hidden, 3, padding=4, dilation=4)),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Refine (N, C, h, w); the shape stays."""
        scores = self.mlp(features.mean(dim=(2, 3), keepdim=True)) + self.places(features)  # (N, C, h, w)
        return features * (1 + scores.sigmoid())


def _normalised(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()


class AttentiveBasicBlock(BasicBlock):
    """A basic block whose residual passes CBAM (arXiv:1807.06521, Fig. 3)."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, channels, stride)
        self.attention = ConvolutionalBlockAttention(channels)

    def residual(self, features: Tensor) -> Tensor:
        """Compute what is added to the shortcut."""
        refined: Tensor = self.attention(super().residual(features))
        return refined


class AttentiveBottleneck(Bottleneck):
    """A bottleneck whose residual passes CBAM (arXiv:1807.06521, Fig. 3)."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, channels, stride)
        self.attention = ConvolutionalBlockAttention(channels * self.expansion)

    def residual(self, features: Tensor) -> Tensor:
        """Compute what is added to the shortcut."""
        refined: Tensor = self.attention(super().residual(features))
        return refined
