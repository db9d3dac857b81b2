"""Attention that RMN is compared with: CBAM (arXiv:1807.06521) and BAM (arXiv:1807.06514).

Both ask which channels matter and where, and multiply the features by the answer. CBAM does so in every
residual block, BAM between the stages.
"""

import torch
from torch import Tensor, nn

from fer_repro.layers.resnet import BasicBlock, Bottleneck

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
