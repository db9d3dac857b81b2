"""Residual networks as people use them, without masks: the plain backbones of RMN's tables.

Table: arXiv:2603.05937, Table III, and the README of its authors. Keys are torchvision's.
"""

from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn

from fer_repro.layers.attention_blocks import AttentiveBasicBlock, AttentiveBottleneck, BottleneckAttention
from fer_repro.layers.imagenet import Trunk, load_imagenet_trunk
from fer_repro.layers.resnet import (
    BasicBlock,
    Bottleneck,
    Stem,
    initialise_kaiming,
    run_stem,
    stage,
    stem_convolution,
)

PlainResNetName = Literal[
    "resnet18",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "cbam_resnet34",
    "cbam_resnet50",
    "bam_resnet50",
]


@dataclass(frozen=True)
class _Plan:
    block: type[BasicBlock] | type[Bottleneck]
    counts: tuple[int, int, int, int]  # blocks of each stage
    trunk: Trunk  # whose ImageNet weights fit
    groups: int = 1  # at full width
    between: bool = False  # BAM after the first three stages


_PLANS: dict[PlainResNetName, _Plan] = {
    "resnet18": _Plan(BasicBlock, (2, 2, 2, 2), "resnet18"),
    "resnet50": _Plan(Bottleneck, (3, 4, 6, 3), "resnet50"),
    "resnet101": _Plan(Bottleneck, (3, 4, 23, 3), "resnet101"),
    "resnet152": _Plan(Bottleneck, (3, 8, 36, 3), "resnet152"),
    "resnext50": _Plan(Bottleneck, (3, 4, 6, 3), "resnext50_32x4d", groups=32),
    "cbam_resnet34": _Plan(AttentiveBasicBlock, (3, 4, 6, 3), "resnet34"),
    "cbam_resnet50": _Plan(AttentiveBottleneck, (3, 4, 6, 3), "resnet50"),
    "bam_resnet50": _Plan(Bottleneck, (3, 4, 6, 3), "resnet50", between=True),
}


class PlainResNet(nn.Module):
    """Stem, four stages, mean over places and a linear layer.

    Args:
        plan: what the network is made of.
        classes: K.
        width: channels of the stem; 64 at full width. A ResNeXt's groups scale with it: the smallest keep
            their four channels.
        stem: before stage 1.
    """

    def __init__(self, plan: _Plan, classes: int, width: int = 64, stem: Stem = "table") -> None:
        super().__init__()
        self.conv1 = stem_convolution(stem, width)
        self.bn1 = nn.BatchNorm2d(width)
        options = {"groups": max(1, plan.groups * width // 64), "widening": 2} if plan.groups > 1 else {}
        channels = width
        for n, count in enumerate(plan.counts):
            layer = stage(plan.block, channels, width * 2**n, count, stride=1 + (n > 0), **options)
            self.add_module(f"layer{n + 1}", layer)
            channels = width * 2**n * plan.block.expansion
            if plan.between and n < len(plan.counts) - 1:
                self.add_module(f"bam{n + 1}", BottleneckAttention(channels))
        initialise_kaiming(self)
        self.fc = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W) into logits (N, K)."""
        features = run_stem(self.conv1, self.bn1, images)
        for name, part in self.named_children():
            if name.startswith(("layer", "bam")):
                features = part(features)
        return cast(Tensor, self.fc(features.mean(dim=(2, 3))))


def plain_resnet(
    name: PlainResNetName, classes: int, width: int = 64, imagenet: bool = False, stem: Stem = "table"
) -> PlainResNet:
    """Build a network by name.

    Args:
        name: as in published/results.csv.
        classes: K.
        width: channels of the stem.
        imagenet: start stem and stages from torchvision's ImageNet weights; attention starts afresh.
        stem: before stage 1; ImageNet weights fit that of the table.

    Raises:
        UserError: the weights cannot be fetched, or ``width`` is not theirs.
    """
    plan = _PLANS[name]
    network = PlainResNet(plan, classes, width, stem)
    if imagenet:
        load_imagenet_trunk(network, plan.trunk)
    return network
