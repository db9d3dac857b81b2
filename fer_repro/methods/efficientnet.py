"""Video Face Manipulation Detection Through Ensemble of CNNs.

Nicolo Bonettini, Edoardo Daniele Cannas, Sara Mandelli, Luca Bondi, Paolo Bestagini, Stefano Tubaro, ICPR
2020, arXiv:2004.07676.

EfficientNet-B4 distinguishes manipulated from real faces by one logit. Two ideas make it several networks
whose errors differ: an attention map after the third stage, a 1x1 convolution and a sigmoid that the
features are multiplied by; and siamese training, where a triplet loss shapes the pooled features before a
new classification layer is tuned on them. The ensemble averages the logits of the networks for each frame,
a video's score those of its frames.

Differences from the paper. [C] is the authors' code, which the numbers come from.

1. Padding: three releases of efficientnet_pytorch compute three networks from the same weights, and [C]
   pins none. Here ``same``, right for the published checkpoints at 224 pixels; ``official["backbone"]`` may
   name another.
2. Output: [C] returns one logit z. The arms return the columns (0, z), whose softmax and cross-entropy are
   z's sigmoid and binary cross-entropy; networks from ``load_official`` return (N, 1) as [C] does.
3. Input: [C] standardises with ImageNet's mean and deviation before the network, Xception's too. Here the
   arms do it inside, for images in [0, 1]; networks from ``load_official`` do not.
4. Siamese tuning: in [C] the frozen extractor stays in training mode, so drop-connect acts and its running
   statistics move. Option ``tuning``: ``train_mode`` does so, ``evaluation`` keeps the extractor as it was.
5. A siamese arm is trained in two steps: ``build_siamese`` by ``fer_repro.layers.triplets``, then ``tune``.
   Built by ``_build_model`` its extractor has its initial weights.
6. Trunk and width are options: B0, narrower trunks and a narrower Xception for small budgets, set in the
   recipe.
7. The stale ``feat_ext.classifier`` of tuned checkpoints is kept on import, as ``unused_classifier``, and
   does not require gradients.
8. Pooling: the paper has the mean over places. Three arms are inspired by a closed paper on spoofed faces
   (Shi, Zhou, Guo, ICPR 2020), whose abstract has a spatial pyramid in its place. Levels 1, 2 and 4 and the
   maximum of each window are ours. What that paper claims cannot be tested without spoofed faces.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.cost import evaluating
from fer_repro.layers.efficientnet_trunk import (
    Trunk,
    efficientnet,
    load_imagenet,
    official_key,
    padding_of,
    xception,
)
from fer_repro.layers.pooling import PyramidPooling, Reduction
from fer_repro.layers.pretrained import Standardise, check_images
from fer_repro.layers.triplets import Embeddings, TripletLoss
from fer_repro.methods.method import FirstStep, Method, OfficialLayout
from fer_repro.sections import STRICT, BelowOne, Fraction, PositiveInt

Tuning = Literal["evaluation", "train_mode"]


@dataclass(frozen=True, config=STRICT)
class EfficientNetOptions:
    """The ``model`` section of a recipe."""

    trunk: Trunk  # of all arms but xception
    width: PositiveInt  # 32 in both papers' stems; less makes every layer of both trunks narrower
    dropout: BelowOne  # before the linear layer of the arms plain and attention
    drop_connect: BelowOne
    norm_momentum: Fraction  # of the trunk's running statistics
    tuning: Tuning  # mode of a siamese arm's extractor while its head is trained
    pretraining: Literal["none", "imagenet"]  # of the trunk


class Extractor(nn.Module):
    """A trunk without classifier: standardised images (N, 3, H, W) -> pooled features (N, D).

    Args:
        backbone: from ``fer_repro.layers.efficientnet_trunk``.
    """

    backbone: Any

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.dimensions = int(self.backbone.num_features)


class EfficientNetExtractor(Extractor):
    """EfficientNet with or without attention (Sec. III-A); D is 1792 in B4.

    Args:
        backbone: as of ``Extractor``.
        attention: multiply the third stage's output by a map.
        pooling: of the last maps; None: their mean. D is ``pooling.windows`` times as large.
    """

    def __init__(self, backbone: nn.Module, attention: bool, pooling: PyramidPooling | None = None) -> None:
        super().__init__(backbone)
        self.pooling = pooling
        self.dimensions *= pooling.windows if pooling else 1
        channels = int(self.backbone.blocks[2][-1].bn3.num_features)
        self.attention = nn.Conv2d(channels, 1, 1) if attention else None

    def forward(self, images: Tensor) -> Tensor:
        """Embed standardised images (N, 3, H, W) as (N, D); neither dropout nor normalisation follows."""
        net = self.backbone
        features = self.early(images)  # (N, 56, H/8, W/8) in B4
        if self.attention is not None:
            features = features * self.attention_map(features)
        features = net.blocks[3:](features)  # (N, 448, H/32, W/32)
        features = net.bn2(net.conv_head(features))  # (N, 1792, H/32, W/32)
        return self.pooling(features) if self.pooling else features.mean(dim=(2, 3))

    def early(self, images: Tensor) -> Tensor:
        """Return the output of stem and first three stages; in B4 that of block 9."""
        net = self.backbone
        return net.blocks[:3](net.bn1(net.conv_stem(images)))

    def attention_map(self, features: Tensor) -> Tensor:
        """Return the map (N, 1, h, w) in (0, 1) for the third stage's output.

        Raises:
            UserError: the network has no attention.
        """
        if self.attention is None:
            raise UserError("this network has no attention map: take an arm with attention")
        return self.attention(features).sigmoid()


class XceptionExtractor(Extractor):
    """The baseline Xception; D is 2048 at full width."""

    def forward(self, images: Tensor) -> Tensor:
        """Embed standardised images (N, 3, H, W) as (N, D)."""
        return self.backbone.forward_features(images).mean(dim=(2, 3))  # its last ReLU included


class FaceEmbedder(nn.Module):
    """An extractor behind its standardisation, for one face or each of a triplet.

    Args:
        extractor: standardised images -> features (N, D).
        as_arm: take images in [0, 1] instead of standardised ones.
    """

    def __init__(self, extractor: Extractor, as_arm: bool) -> None:
        super().__init__()
        self.standardise = Standardise() if as_arm else nn.Identity()
        self.extractor = extractor

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features (N, D), which the triplet loss and the paper's t-SNE see."""
        check_images(images)
        return self.extractor(self.standardise(images))


class ForgeryDetector(FaceEmbedder):
    """An extractor, dropout and a linear layer: the logit that a face is manipulated.

    Args:
        extractor: standardised images -> features (N, D).
        dropout: 0.4 for B4, none for Xception.
        as_arm: take images in [0, 1] and return (0, z) instead of z.
        classes: of expressions, which have a logit each; 2 for real and manipulated.
    """

    def __init__(
        self, extractor: Extractor, dropout: float = 0.4, as_arm: bool = False, classes: int = 2
    ) -> None:
        super().__init__(extractor, as_arm)
        self.padded = as_arm and classes == 2
        self.dropout = nn.Dropout(dropout)
        self.classifier: nn.Module = nn.Linear(extractor.dimensions, 1 if classes == 2 else classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W): logits z (N, 1), or (0, z) (N, 2) in an arm; z > 0 is manipulated.

        Of expressions each has its logit, (N, K).
        """
        logits: Tensor = self.classifier(self.dropout(self.features(images)))
        return F.pad(logits, (1, 0)) if self.padded else logits


class TunedDetector(ForgeryDetector):
    """A siamese extractor, frozen, with a new head: batch normalisation and a linear layer (Sec. III-B).

    Args:
        extractor: trained by the triplet loss.
        tuning: mode of the extractor while the head is trained; [C] has ``train_mode``.
        as_arm: take images in [0, 1] and return (0, z) instead of z.
        unused: keep the extractor's stale classifier, for the authors' checkpoints.
    """

    def __init__(
        self, extractor: Extractor, tuning: Tuning = "evaluation", as_arm: bool = False, unused: bool = False
    ) -> None:
        super().__init__(extractor, dropout=0.0, as_arm=as_arm)
        size = extractor.dimensions
        self.tuning = tuning
        self.extractor.requires_grad_(False)
        self.classifier = nn.Sequential(nn.BatchNorm1d(size), nn.Linear(size, 1))
        self.unused_classifier = nn.Linear(size, 1).requires_grad_(False) if unused else None

    def train(self, mode: bool = True) -> "TunedDetector":
        """Switch the mode; the extractor follows under ``train_mode`` only."""
        super().train(mode)
        if self.tuning == "evaluation":
            self.extractor.eval()
        return self

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features (N, D), without a gradient."""
        with torch.no_grad():
            return super().features(images)


class SiameseNetwork(FaceEmbedder):
    """One extractor for anchor, positive and negative (Sec. III-B)."""

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Embeddings:
        """Embed three batches (N, 3, H, W), one after the other as in [C], as three (N, D)."""
        return Embeddings(self.features(anchor), self.features(positive), self.features(negative))


def _explain(model: nn.Module, images: Tensor) -> dict[str, Tensor] | None:
    """Run the network in evaluation mode and keep its attention.

    Args:
        model: a ``ForgeryDetector``, or a module that wraps one.
        images: (N, 3, H, W) as the model takes them.

    Returns:
        ``attention``: (N, 1, H/8, W/8) in (0, 1); None for a network without.
    """
    network = next(part for part in model.modules() if isinstance(part, ForgeryDetector))
    extractor = network.extractor
    if not isinstance(extractor, EfficientNetExtractor) or extractor.attention is None:
        return None
    with evaluating(model):
        return {"attention": extractor.attention_map(extractor.early(network.standardise(images)))}


_ARMS = {
    "plain": "EfficientNet, end to end (B4 in the paper's table).",
    "attention": "The headline: EfficientNet with the attention map (Att).",
    "plain_siamese": "EfficientNet trained by triplets, then a new head (B4ST).",
    "attention_siamese": "EfficientNet with attention trained by triplets, then a new head (AttST).",
    "xception": "The baseline.",
    "pyramid": "Inspired by a paper on spoofed faces: plain, with the maxima of 1, 4 and 16 windows.",
    "maximum": "Plain, with the maximum of a map: the pyramid's first level alone.",
    "repeated_mean": "Plain, its mean repeated: a linear layer of as many weights as the pyramid's.",
}
_LEVELS = (1, 2, 4)
_POOLINGS: dict[str, tuple[tuple[int, ...], Reduction]] = {  # of arms; the others have the mean
    "pyramid": (_LEVELS, "max"),
    "maximum": ((1,), "max"),
    "repeated_mean": ((1,) * sum(level**2 for level in _LEVELS), "mean"),
}
_SIAMESE = ("plain_siamese", "attention_siamese")
ENSEMBLE = ("plain", "plain_siamese", "attention", "attention_siamese")  # in the order of the paper's table


def build_extractor(arm: str, options: EfficientNetOptions, pretrained: bool = True) -> Extractor:
    """Build an arm's extractor in training mode.

    Raises:
        UserError: the arm is unknown, or ImageNet weights are asked for and do not fit or cannot be obtained.
    """
    METHOD.check_arm(arm)
    imagenet = options.pretraining == "imagenet"
    if imagenet and options.width != 32:
        raise UserError(f"model.width is {options.width}, but model.pretraining imagenet needs 32")
    if arm == "xception":
        extractor: Extractor = XceptionExtractor(xception(options.width))
    else:
        rates = options.drop_connect, options.norm_momentum
        backbone = efficientnet(options.trunk, options.width, "same", *rates)
        pooling = PyramidPooling(*_POOLINGS[arm]) if arm in _POOLINGS else None
        extractor = EfficientNetExtractor(backbone, arm.startswith("attention"), pooling)
    if pretrained and imagenet:
        load_imagenet(extractor.backbone, _imagenet(arm, {"trunk": options.trunk}).removeprefix("timm/"))
    return extractor


def _imagenet(arm: str, options: Mapping[str, Any]) -> str:
    name = "legacy_xception.tf" if arm == "xception" else f"tf_efficientnet_{options['trunk']}.aa"
    return f"timm/{name}_in1k"


def _build_model(
    arm: str, options: EfficientNetOptions, classes: int, pretrained: bool = True
) -> ForgeryDetector:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``.

    Two classes are real (0) and manipulated (1); more are expressions, on which the paper says nothing.

    Raises:
        UserError: a siamese arm is to distinguish more than two classes, or see ``build_extractor``.
    """
    extractor = build_extractor(arm, options, pretrained)
    if arm.endswith("_siamese"):
        if classes != 2:
            raise UserError(f"arm '{arm}' learns from triplets of two classes: found {classes}")
        return TunedDetector(extractor, options.tuning, as_arm=True).train()
    dropout = 0.0 if arm == "xception" else options.dropout
    return ForgeryDetector(extractor, dropout, as_arm=True, classes=classes)


def build_siamese(arm: str, options: EfficientNetOptions, pretrained: bool = True) -> SiameseNetwork:
    """Build what the first step of a siamese arm trains, by ``fer_repro.layers.triplets``.

    Raises:
        UserError: the arm is not siamese, or see ``build_extractor``.
    """
    if not arm.endswith("_siamese"):
        raise UserError(f"arm '{arm}' is not trained by triplets; siamese arms: {', '.join(_SIAMESE)}")
    return SiameseNetwork(build_extractor(arm, options, pretrained), as_arm=True)


def tune(siamese: SiameseNetwork, options: EfficientNetOptions) -> TunedDetector:
    """Put a new head on a trained siamese network's own extractor, to be trained in the second step."""
    return TunedDetector(siamese.extractor, options.tuning, as_arm=True).train()


def _build_loss(options: EfficientNetOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the cross-entropy, which over (0, z) is the binary cross-entropy of z."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


def official_class(state_dict: Mapping[str, Any]) -> str:
    """Infer the authors' class from the keys of a checkpoint; "" where it is none of theirs.

    Raises:
        UserError: it is the triplet network, whose head is not trained yet.
    """
    attention = "AutoAtt" if any(".attconv." in key for key in state_dict) else ""
    if any(key.startswith("xception.") for key in state_dict):
        return "architectures.fornet.Xception"
    if "classifier.1.weight" in state_dict:
        return f"architectures.fornet.EfficientNet{attention}B4ST"
    if any(key.startswith("feat_ext.") for key in state_dict):
        raise UserError(
            "this is a triplet checkpoint: classifier.0 and classifier.1 are trained in the tuning step"
        )
    known = "efficientnet._conv_stem.weight" in state_dict
    return f"architectures.fornet.EfficientNet{attention}B4" if known else ""


def _layout(attention: bool, siamese: bool) -> OfficialLayout:
    def build(arguments: Mapping[str, Any]) -> nn.Module:
        if arguments.get("width", 0) != 0:
            raise UserError(f"constructor width is {arguments['width']!r}: every published network has 0")
        backbone = efficientnet("b4", padding=padding_of(str(arguments.get("backbone") or "")))
        extractor = EfficientNetExtractor(backbone, attention)
        return TunedDetector(extractor, unused=True) if siamese else ForgeryDetector(extractor)

    return replace(_XCEPTION, build=build, constructor=("width",), described=("backbone",))


_XCEPTION = OfficialLayout(
    "polimi-ispl/icpr2020dfdc",
    lambda _: ForgeryDetector(XceptionExtractor(xception()), dropout=0.0),
    rename=official_key,
    container="net",
    classes=("real", "manipulated"),
    standardise=True,
)

METHOD = Method(
    name="efficientnet",
    title="Video Face Manipulation Detection Through Ensemble of CNNs",
    paper="2004.07676",
    task="manipulation",
    inputs="images",
    headline="attention",
    control="xception",
    arms=_ARMS,
    options=EfficientNetOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    further_tasks=("expression",),  # beside the others on common ground
    first_step=FirstStep(_SIAMESE, build_siamese, TripletLoss, tune),
    ensemble=ENSEMBLE,
    ensemble_rule="logits",
    official={
        "architectures.fornet.EfficientNetB4": _layout(attention=False, siamese=False),
        "architectures.fornet.EfficientNetAutoAttB4": _layout(attention=True, siamese=False),
        "architectures.fornet.EfficientNetB4ST": _layout(attention=False, siamese=True),
        "architectures.fornet.EfficientNetAutoAttB4ST": _layout(attention=True, siamese=True),
        "architectures.fornet.Xception": _XCEPTION,
    },
    recognise=official_class,
    imagenet=_imagenet,
    crop="scale",  # the square of the longer side of the box with its margin
)
