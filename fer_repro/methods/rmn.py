"""Facial Expression Recognition using Residual Masking Network.

Luan Pham, The Huynh Vu, Tuan Anh Tran, ICPR 2020, arXiv:2603.05937.

After each of the four stages of a ResNet-34 a small U-shaped network, the masking block, takes the
stage's feature map F and predicts a mask M of the same shape. The map is refined to F * (1 + M): the mask
raises what matters for the expression, the residual path keeps the rest. The refined map feeds the next
stage; the last one is pooled and classified.

Differences from the paper. Where its text, its figures and the authors' code disagree, the default arm
follows the code, because the published weights and numbers come from it.

1. Mask: Fig. 2 draws a 1x1 convolution and a sigmoid. The code ends a masking block with a residual unit
   and a softmax over the channels, so that a mask of C channels averages exactly 1/C. The arm
   ``sigmoid_mask`` puts the sigmoid in the softmax's place; the unit before it ends with a ReLU, so that
   mask lies in [0.5, 1].
2. Stem: the text says a 3x3 convolution and a 2x2 pooling; Table I and the code have 7x7 and 3x3. The
   option ``stem: small``, 3x3 of stride 1 and 2x2 pooling, needs no enlarging of 48 px images (ours).
3. Up-sampling: Fig. 2 does not define it. As in the code it is a transposed 2x2 convolution, batch
   normalisation and ReLU, and the up-sampled map comes before the skip in the concatenation.
4. Head: the paper names no dropout; the code that produced 74.14 has 0.4 before the linear layer.
5. Input: the paper names no mean or deviation; the code only divides by 255.
6. Parameters: Table III says 142.9 M; the code's state dict holds every shortcut of the masks twice.
   Counted once they are 137.8 M.
7. Pretraining: the paper says ImageNet, the present code no longer loads it. Here the option
   ``pretraining`` sets it.
8. Class count and width are arguments here (the code has 7 and 64). Heads with hidden layers keep the
   code's 512 and 128 units and its dropout of 0.5 at every width.
9. ``no_mask`` builds no masks, whereas the code's control carries them unused. Only the import of that
   control's checkpoint builds them; those tensors (``mask1.*`` ... ``mask4.*``) do not require gradients.
10. The other networks of its tables are arms too, as their own papers and torchvision have them: their
   own classifiers and dropout, no auxiliary losses.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.cost import evaluating
from fer_repro.layers.plain_trunks import PlainResNetName, PlainTrunkName, plain_resnet, plain_trunk
from fer_repro.layers.pretrained import check_start, load_imagenet_trunk
from fer_repro.layers.resnet import (
    BasicBlock,
    Bottleneck,
    Stem,
    check_sides,
    initialise_kaiming,
    run_stem,
    stage,
    stem_convolution,
)
from fer_repro.methods.method import Method, OfficialLayout
from fer_repro.sections import STRICT, BelowOne, PositiveInt

Activation = Literal["softmax", "sigmoid"]
Masks = Literal["softmax", "sigmoid", "none", "unused"]
Head = Literal["plain", "dropout1", "dropout2", "dropout3", "dropout4"]


@dataclass(frozen=True, config=STRICT)
class RMNOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the stem and of stage 1, 64 in the paper; masks and other networks scale
    dropout: BelowOne  # before the linear layer of the dropout1 head
    pretraining: Literal["none", "imagenet"]  # of stem and stages
    stem: Stem = "table"  # before stage 1: table | small


class MaskingBlock(nn.Module):
    """A U-shaped network that predicts a mask for its input (Fig. 2).

    Going down, units 1 ... d double the channels, with a 2x2 max-pooling before each but the first. Going
    up, the map is enlarged twice, joined with the map of its size from the way down, and halved in
    channels by units d + 1 ... 2d - 1; unit 2d returns to C channels. All units are residual blocks,
    named as in the authors' code.

    Args:
        channels: C, of input and mask.
        depth: d: 4, 3, 2, 1 after stages 1, 2, 3, 4.
        activation: what turns the last unit's scores (>= 0) into the mask.
    """

    def __init__(self, channels: int, depth: int, activation: Activation = "softmax") -> None:
        super().__init__()
        self.depth = depth
        self.activation = activation
        for k in range(1, depth + 1):
            self.add_module(f"conv{k}", BasicBlock(channels * 2 ** (k - 1), channels * 2**k))
        for k in range(depth + 1, 2 * depth):
            wide = channels * 2 ** (2 * depth - k + 1)
            up = nn.ConvTranspose2d(wide, wide // 2, 2, stride=2)
            self.add_module(f"up_pool{k}", nn.Sequential(up, nn.BatchNorm2d(wide // 2), nn.ReLU()))
            self.add_module(f"conv{k}", BasicBlock(wide, wide // 2))
        self.add_module(f"conv{2 * depth}", BasicBlock(2 * channels, channels))

    def scores(self, features: Tensor) -> Tensor:
        """Map (N, C, h, w) to the mask before its activation, (N, C, h, w), >= 0."""
        unit = self.get_submodule
        down = [unit("conv1")(features)]  # (N, 2C, h, w)
        for k in range(2, self.depth + 1):
            down.append(unit(f"conv{k}")(F.max_pool2d(down[-1], 2)))  # (N, 2^k C, h / 2^(k-1), ...)
        features = down.pop()
        for k in range(self.depth + 1, 2 * self.depth):
            joined = torch.cat([unit(f"up_pool{k}")(features), down.pop()], dim=1)  # twice the side
            features = unit(f"conv{k}")(joined)  # half the channels
        return unit(f"conv{2 * self.depth}")(features)  # (N, C, h, w)

    def forward(self, features: Tensor) -> Tensor:
        """Predict the mask (N, C, h, w) of a feature map (N, C, h, w)."""
        scores = self.scores(features)
        return scores.softmax(dim=1) if self.activation == "softmax" else scores.sigmoid()


class ResidualMaskingNetwork(nn.Module):
    """The network of Table I: a ResNet whose four stages are each refined by a mask.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in Table I.
        dropout: before the linear layer of the ``dropout1`` head.
        masks: activation of the masks; ``none`` builds none; ``unused`` builds them frozen and never applies
            them, as the authors' control does.
        head: plain linear layer, or one of the authors' heads with dropout.
        block: residual block of the stages; Table I has the basic one.
        blocks: their number per stage; ResNet-34's in Table I.
        stem: before stage 1 (difference 2).
    """

    def __init__(
        self,
        classes: int,
        width: int = 64,
        dropout: float = 0.4,
        masks: Masks = "softmax",
        head: Head = "dropout1",
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        stem: Stem = "table",
    ) -> None:
        super().__init__()
        self.masks = masks
        self.conv1 = stem_convolution(stem, width)
        self.bn1 = nn.BatchNorm2d(width)
        channels = [width] + [width * 2**n * block.expansion for n in range(4)]
        self.layer1 = stage(block, channels[0], width, blocks[0], stride=1)
        self.layer2 = stage(block, channels[1], 2 * width, blocks[1], stride=2)
        self.layer3 = stage(block, channels[2], 4 * width, blocks[2], stride=2)
        self.layer4 = stage(block, channels[3], 8 * width, blocks[3], stride=2)
        initialise_kaiming(self)
        self.fc = _head(head, channels[4], classes, dropout)
        # the masks come last: with one seed, arms with and without them start from the same trunk and head
        activation: Activation = "sigmoid" if masks == "sigmoid" else "softmax"
        for n in range(1, 5):
            mask = None if masks == "none" else MaskingBlock(channels[n], 5 - n, activation)
            self.add_module(f"mask{n}", mask)
            if mask is not None:
                _initialise_mask(mask)
                mask.requires_grad_(masks != "unused")

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W) in [0, 1] into logits (N, K).

        H and W lie in 32n-3 ... 32n, with the small stem in 16n ... 16n+1; its maps are twice as large.

        Raises:
            UserError: the images have another shape.
        """
        self._check_shape(images)
        features = run_stem(self.conv1, self.bn1, images)  # (N, 64, H/4, W/4)
        features = self.refine(self.layer1(features), 1)  # (N, 64, H/4, W/4)
        features = self.refine(self.layer2(features), 2)  # (N, 128, H/8, W/8)
        features = self.refine(self.layer3(features), 3)  # (N, 256, H/16, W/16)
        features = self.refine(self.layer4(features), 4)  # (N, 512, H/32, W/32)
        return self.fc(features.mean(dim=(2, 3)))  # (N, K)

    def refine(self, features: Tensor, n: int) -> Tensor:
        """Return F * (1 + mask_n(F)), of the same shape; F itself in a network without masks."""
        if self.masks in ("none", "unused"):
            return features
        return features * (1 + self.get_submodule(f"mask{n}")(features))

    def _check_shape(self, images: Tensor) -> None:
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1] != 3:
            raise UserError(f"images have the shape {shape}: RMN expects (N, 3, H, W), grey images repeated")
        if self.masks not in ("none", "unused"):
            check_sides(self.conv1, images, "the masks of RMN")


def _head(head: Head, features: int, classes: int, dropout: float) -> nn.Module:
    """Make one of the five heads of the authors' code; hidden sizes and the 0.5 are from it."""
    if head == "plain":
        return nn.Linear(features, classes)
    if head == "dropout1":
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, classes))
    hidden = {"dropout2": (128,), "dropout3": (512, 128), "dropout4": (128, 128)}[head]
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(features, size), nn.ReLU(), nn.Dropout(0.5)]
        features = size
    return nn.Sequential(*layers, nn.Linear(features, classes))


def _initialise_mask(mask: MaskingBlock) -> None:
    """Initialise every unit of a mask as ReLU(shortcut): its second normalisation's weight is 0."""
    initialise_kaiming(mask)
    for part in mask.modules():
        if isinstance(part, BasicBlock):
            nn.init.zeros_(part.bn2.weight)


def _explain(model: nn.Module, images: Tensor) -> dict[str, Tensor] | None:
    """Run the network in evaluation mode and keep its masks.

    Args:
        model: a ``ResidualMaskingNetwork``, or a module that wraps one.
        images: (N, 3, H, W) in [0, 1].

    Returns:
        ``mask1`` ... ``mask4`` and, before their activation, ``scores1`` ... ``scores4``: (N, C, h, w) of
        stages 1 to 4; None for a network that applies no masks.
    """
    network = next((part for part in model.modules() if isinstance(part, ResidualMaskingNetwork)), None)
    if network is None or network.masks in ("none", "unused"):
        return None
    kept: dict[str, Tensor] = {}

    def keep(module: nn.Module, name: str) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(lambda _module, _inputs, output: kept.update({name: output}))

    with evaluating(model), ExitStack() as hooks:
        for n in range(1, 5):
            hooks.callback(keep(network.get_submodule(f"mask{n}"), f"mask{n}").remove)
            last = network.get_submodule(f"mask{n}.conv{2 * (5 - n)}")
            hooks.callback(keep(last, f"scores{n}").remove)
        model(images)
    return kept


_ARMS: dict[str, tuple[Masks, Head, str]] = {
    "masked": (
        "softmax",
        "dropout1",
        "The headline: softmax masks after all four stages, dropout, linear layer.",
    ),
    "no_mask": ("none", "dropout1", "The control: the same ResNet and head, no masks."),
    "sigmoid_mask": ("sigmoid", "dropout1", "Masks end with the sigmoid of the paper's Figure 2."),
    "plain_head": ("softmax", "plain", "Masks as in the headline, linear layer without dropout."),
    "dropout2": ("softmax", "dropout2", "Head of 128 hidden units, dropout 0.5."),
    "dropout3": ("softmax", "dropout3", "Head of 512 and 128 hidden units, dropout 0.5 after each."),
    "dropout4": ("softmax", "dropout4", "Head of 128 and 128 hidden units, dropout 0.5 after each."),
}

_PLAIN: dict[PlainResNetName | PlainTrunkName, str] = {
    "resnet18": "ResNet-18, the smallest of the comparison.",
    "resnet50": "ResNet-50, without masks.",
    "resnet101": "ResNet-101, without masks.",
    "resnet152": "ResNet-152, without masks.",
    "resnext50": "ResNeXt-50 32x4d, without masks.",
    "cbam_resnet34": "ResNet-34 with CBAM, the rival attention, in every block.",
    "cbam_resnet50": "ResNet-50 with CBAM, the rival attention, in every block.",
    "bam_resnet50": "ResNet-50 with BAM, the rival attention, between the stages.",
    "vgg19": "VGG19 without batch normalisation, dropout 0.5.",
    "densenet121": "DenseNet-121.",
    "googlenet": "GoogLeNet with batch normalisation, without auxiliary classifiers, dropout 0.2.",
    "inception_v3": "Inception v3 without auxiliary classifier, dropout 0.5; enlarges images under 107 px.",
    "efficientnet_b2b": "EfficientNet-B2, dropout 0.3.",
    "resattnet56": "Residual attention network of 56 layers, an older attention.",
}


def _build_model(arm: str, options: RMNOptions, classes: int, pretrained: bool = True) -> nn.Module:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``.

    Raises:
        UserError: the arm is unknown, the width does not suit it, or ImageNet weights are asked for and do
            not fit or cannot be obtained.
    """
    METHOD.check_arm(arm)
    check_start(options.pretraining, options.width, options.stem, "ResNet-34")
    imagenet = pretrained and options.pretraining == "imagenet"
    if arm in get_args(PlainResNetName):
        return plain_resnet(cast(PlainResNetName, arm), classes, options.width, imagenet, options.stem)
    if arm in get_args(PlainTrunkName):
        if options.stem != "table":
            raise UserError(f"model.stem is {options.stem}, but {arm} is no ResNet: expected table")
        return plain_trunk(cast(PlainTrunkName, arm), classes, options.width, imagenet)
    masks, head, _ = _ARMS[arm]
    network = ResidualMaskingNetwork(classes, options.width, options.dropout, masks, head, stem=options.stem)
    if imagenet:
        load_imagenet_trunk(network, "resnet34")
    return network


def _build_loss(options: RMNOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the unweighted cross-entropy of the authors' code."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


_REPOSITORY = "phamquiluan/ResidualMaskingNetwork"
_ALIASES = (
    r"(?:mask\d\.)?downsample\d\..*"  # every shortcut is registered twice; convK.downsample is effective
)
_FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def _layout(
    masks: Masks = "softmax",
    head: Head = "dropout1",
    block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
) -> OfficialLayout:
    """Lay out one of the authors' networks; their class and channel arguments are without effect: 7 and 3."""

    def build(constructor: Mapping[str, Any]) -> nn.Module:
        return ResidualMaskingNetwork(7, masks=masks, head=head, block=block)

    arguments = ("in_channels", "num_classes", "weight_path")
    return OfficialLayout(_REPOSITORY, build, arguments, _ALIASES, classes=_FER2013, colour="grey")


def _recognise(state: Mapping[str, Tensor]) -> str:
    if "mask1.conv1.conv1.weight" not in state:
        return ""
    if "layer1.0.conv3.weight" in state:
        head = "50_dropout1"
    elif "fc.weight" in state:
        head = ""
    elif "fc.1.weight" in state:
        head = "_dropout1"
    elif "fc.6.weight" not in state:
        head = "_dropout2"
    else:
        head = "_dropout3" if len(state["fc.0.weight"]) == 512 else "_dropout4"
    return f"models.resmasking.resmasking{head}"


def _build_blocks(constructor: Mapping[str, Any]) -> nn.Module:
    """Build a masking block of ``depth``, or for ``1..4`` one of each under ``mask1`` ... ``mask4``."""
    channels, depth = constructor.get("in_channels"), constructor.get("depth")
    if not isinstance(channels, int) or constructor.get("out_channels", channels) != channels:
        raise UserError("models.masking.masking: in_channels and out_channels are to be one whole number")
    if depth == "1..4":
        return nn.ModuleDict({f"mask{d}": MaskingBlock(channels, d) for d in range(1, 5)})
    if depth not in (1, 2, 3, 4):
        raise UserError(f"models.masking.masking: depth is {depth!r}: expected 1, 2, 3 or 4")
    return MaskingBlock(channels, depth)


METHOD = Method(
    name="rmn",
    title="Facial Expression Recognition using Residual Masking Network",
    paper="2603.05937",
    task="expression",
    inputs="images",
    headline="masked",
    control="no_mask",
    arms={arm: sentence for arm, (_, _, sentence) in _ARMS.items()} | _PLAIN,
    options=RMNOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    ensemble=("masked", "plain_head", "no_mask"),  # its two masked networks, and one for its five others
    official={
        "models.resmasking.resmasking": _layout(head="plain"),
        "models.resmasking.resmasking_dropout1": _layout(),
        "models.resmasking.resmasking_dropout2": _layout(head="dropout2"),
        "models.resmasking.resmasking_dropout3": _layout(head="dropout3"),
        "models.resmasking.resmasking_dropout4": _layout(head="dropout4"),
        "models.resmasking.resmasking50_dropout1": _layout(block=Bottleneck),
        "models.resmasking_naive.resmasking_naive_dropout1": _layout(masks="unused"),
        "models.masking.masking": OfficialLayout(
            _REPOSITORY, _build_blocks, ("in_channels", "out_channels", "depth"), _ALIASES
        ),
    },
    recognise=_recognise,
    imagenet=lambda arm, options: "resnet34-b627a593.pth",
    crop="square",  # its demo: 1.1 times the mean side of the box
)
