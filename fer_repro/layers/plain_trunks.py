"""Backbones of RMN's tables without masks: ResNets, VGG, DenseNet and others, at any width.

Tables: arXiv:2603.05937, Table III, and the README of its authors. Keys of ResNets are torchvision's. The
other networks' layers and dropout are those of torchvision and timm; the last linear layer is ours, and so is
VGG's whole classifier, which RMN's authors replace too. ``width`` is 64 at full size, and all channels scale
with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.attention_network import (
    AttentiveBasicBlock,
    AttentiveBottleneck,
    BottleneckAttention,
    ResidualAttentionNetwork,
)
from fer_repro.layers.efficientnet_trunk import efficientnet, load_imagenet
from fer_repro.layers.pretrained import Trunk, imagenet_network, load_imagenet_trunk
from fer_repro.layers.resnet import (
    BasicBlock,
    Bottleneck,
    Stem,
    initialise_kaiming,
    run_stem,
    stage,
    stem_convolution,
)

PlainTrunkName = Literal[
    "vgg19", "densenet121", "googlenet", "inception_v3", "efficientnet_b2b", "resattnet56"
]

_INCEPTION_SIDE = 107  # px: below it the unpadded layers leave a last map of one place, or none


def plain_trunk(name: PlainTrunkName, classes: int, width: int = 64, imagenet: bool = False) -> nn.Module:
    """Build a network from images (N, 3, H, W) in [0, 1] to logits (N, K).

    Args:
        name: as in results/published/results.csv.
        classes: K.
        width: 64 at full size; DenseNet needs an even one, GoogLeNet and Inception a multiple of 4.
        imagenet: start from the library's ImageNet weights, except for the classifier; full size only.

    Raises:
        UserError: the weights cannot be obtained, or ``width`` does not suit the network.
    """
    step = {"densenet121": 2, "googlenet": 4, "inception_v3": 4}.get(name, 1)
    if width % step:
        raise UserError(f"model.width is {width}: {name} needs a multiple of {step}")
    builders: dict[str, Callable[[int, int, bool], nn.Module]] = {
        "vgg19": _vgg19,
        "densenet121": _densenet121,
        "googlenet": _googlenet,
        "inception_v3": _inception_v3,
        "efficientnet_b2b": _efficientnet_b2,
        "resattnet56": _resattnet56,
    }
    return builders[name](classes, width, imagenet)


def _vgg19(classes: int, width: int, imagenet: bool) -> nn.Module:
    """VGG19 without batch normalisation (arXiv:1409.1556, E): the 139.5 M of RMN's Table III show it."""
    from torchvision.models.vgg import make_layers

    if imagenet:
        features: Any = imagenet_network("vgg19").features
    else:
        plan: list[str | int] = []
        for factor, count in ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4)):
            plan += [factor * width] * count + ["M"]
        features = make_layers(plan)
        initialise_kaiming(features)
    hidden = 64 * width
    return nn.Sequential(
        features, nn.AdaptiveAvgPool2d(7), nn.Flatten(),
        nn.Linear(8 * width * 7 * 7, hidden), nn.ReLU(), nn.Dropout(),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def _densenet121(classes: int, width: int, imagenet: bool) -> nn.Module:
    """DenseNet-121 (arXiv:1608.06993): growth 32 and a stem of 64 at full size."""
    from torchvision.models.densenet import DenseNet

    if not imagenet:
        return DenseNet(width // 2, num_init_features=width, num_classes=classes)
    network: Any = imagenet_network("densenet121")
    network.classifier = nn.Linear(network.classifier.in_features, classes)
    return cast(nn.Module, network)


def _scaled(conv: type[nn.Module], width: int) -> Callable[..., nn.Module]:
    """Let a library's convolution, given its channels at full size, have those of ``width``."""

    def channels(full: int) -> int:
        return full if full == 3 else max(1, round(full * width / 64))  # 3: the image's

    def build(in_channels: int, out_channels: int, **options: Any) -> nn.Module:  # noqa: ANN401
        return conv(channels(in_channels), channels(out_channels), **options)

    return build


def _googlenet(classes: int, width: int, imagenet: bool) -> nn.Module:
    """GoogLeNet with batch normalisation (arXiv:1409.4842), without auxiliary classifiers."""
    from torchvision.models.googlenet import BasicConv2d, GoogLeNet, Inception, InceptionAux

    if imagenet:
        network: Any = imagenet_network("googlenet", aux_logits=False)
    else:
        conv = _scaled(BasicConv2d, width)
        blocks = [conv, partial(Inception, conv_block=conv), InceptionAux]
        network = GoogLeNet(aux_logits=False, init_weights=False, blocks=blocks)
        initialise_kaiming(network)
    network.fc = nn.Linear(1024 * width // 64, classes)
    return cast(nn.Module, network)


class _Enlarged(nn.Module):
    """Enlarges small images, so that the trunk's unpadded layers leave something of them."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W) into logits (N, K); the shorter side becomes 107 px or more."""
        side = min(images.shape[-2:])
        if side < _INCEPTION_SIDE:
            scale = _INCEPTION_SIDE / side
            size = [max(_INCEPTION_SIDE, round(length * scale)) for length in images.shape[-2:]]
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return cast(Tensor, self.trunk(images))


def _inception_v3(classes: int, width: int, imagenet: bool) -> nn.Module:
    """Inception v3 (arXiv:1512.00567), without auxiliary classifier; images under 107 px are enlarged."""
    from torchvision.models import inception as parts

    if imagenet:
        network: Any = imagenet_network("inception_v3", aux_logits=False)
    else:
        conv = _scaled(parts.BasicConv2d, width)
        kinds = (parts.InceptionA, parts.InceptionB, parts.InceptionC, parts.InceptionD, parts.InceptionE)
        blocks = [conv, *(partial(kind, conv_block=conv) for kind in kinds), parts.InceptionAux]
        network = parts.Inception3(aux_logits=False, init_weights=False, inception_blocks=blocks)
        initialise_kaiming(network)
    network.fc = nn.Linear(2048 * width // 64, classes)
    return _Enlarged(network)


def _efficientnet_b2(classes: int, width: int, imagenet: bool) -> nn.Module:
    """EfficientNet-B2 (arXiv:1905.11946) with the dropout of 0.3 and the 1408 features of RMN's code."""
    trunk: Any = efficientnet("b2", max(1, width // 2), norm_momentum=0.1)  # its stem has 32 at full size
    if imagenet:
        load_imagenet(trunk, "tf_efficientnet_b2.aa_in1k")
    return nn.Sequential(trunk, nn.Dropout(0.3), nn.Linear(trunk.num_features, classes))


def _resattnet56(classes: int, width: int, imagenet: bool) -> nn.Module:
    """Residual attention network of 56 layers (arXiv:1704.06904), which no library keeps weights of."""
    if imagenet:
        raise UserError("no ImageNet weights of resattnet56 are available: set model.pretraining to none")
    return ResidualAttentionNetwork(classes, width)


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
        name: as in results/published/results.csv.
        classes: K.
        width: channels of the stem.
        imagenet: start stem and stages from torchvision's ImageNet weights; attention starts randomly.
        stem: before stage 1; ImageNet weights fit that of the table.

    Raises:
        UserError: the weights cannot be fetched, or ``width`` is not theirs.
    """
    plan = _PLANS[name]
    network = PlainResNet(plan, classes, width, stem)
    if imagenet:
        load_imagenet_trunk(network, plan.trunk)
    return network
