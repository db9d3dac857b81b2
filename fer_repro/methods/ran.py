"""Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition.

Kai Wang, Xiaojiang Peng, Jianfei Yang, Debin Meng, Yu Qiao, IEEE TIP 29 (2020), arXiv:1905.04075.

A face is cut into regions; one ResNet-18 embeds each region and the whole face as F_k. Self-attention weighs
the regions by mu_k, their mean is the face's representation F_m; relation attention compares each region with
it, nu_k from [F_k ; F_m], and the mean of [F_k ; F_m] weighted by mu_k nu_k is classified. The region-biased
loss requires some crop to weigh more than the whole face, so that occlusion and pose matter less.

Differences from the paper. [C] is the authors' code. The paper's full text was not available: formulas are
those of its figures and of notes that agree, and the default arm follows [C].

1. Weights: in the paper mu and nu are sigmoids. [C] takes a softmax over the regions of the sigmoids. As
   these lie in (0, 1), K softmax weights differ by less than (e - 1) / (e + K - 1): 0.22 for 6 regions, so no
   region can dominate and no larger margin can be met. Arms: ``softmax_weights`` as in [C],
   ``sigmoid_weights`` as in the paper.
2. Order: the paper's I_0 is the whole face. Here and in [C] the crops come first and the whole face is last.
3. Region-biased loss: it sees mu, the softmax in [C] and the sigmoid in the paper. Margin: 0.1 on FERPlus,
   0.03 on AffectNet, 0.02 with balanced sampling [C]; the weight of the loss is 1.
4. AffectNet in [C] has 8 regions, with other crops than the paper's 5 and the face:
   ``fer_repro.loading.regions``.
5. [C] has no augmentation at all, and other rates and epochs for each data set.
6. ``no_relation`` and ``whole_face`` are trained with equal settings here. [C]'s own variant without relation
   attention has sigmoid weights and no region-biased loss: arm ``sigmoid_no_relation``.
7. Class count and width are arguments here (8 and 64 in [C]).
8. Controls of ours: ``uniform_weights`` has the regions and their cost, and no attention. ``wide_face`` has
   their cost and only the whole face, in a network sqrt(R) times as wide.
9. Pretraining: the paper's trunk was trained on MS-Celeb-1M; the option ``pretraining`` names what is used
   instead, and ``fer_repro.layers.pretrained`` reads the authors' file where the user has it.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.layers.cost import evaluating
from fer_repro.layers.image_sets import SharedTrunk, images_second, weighted_mean
from fer_repro.layers.pretrained import check_start, load_start
from fer_repro.layers.resnet import Stem
from fer_repro.loading.regions import region_names
from fer_repro.loading.views import Regions
from fer_repro.methods.method import Method, OfficialLayout
from fer_repro.recipes import Start
from fer_repro.sections import STRICT, BelowOne, PositiveInt

Weights = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, config=STRICT)
class RANOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the stem and of stage 1; features have 8 times as many
    crops: Literal["fixed", "affectnet", "random", "landmarks"]  # see fer_repro.loading.regions
    margin: BelowOne  # of the region-biased loss
    pretraining: Start  # of the trunk: none | imagenet | the path of a run, a network or a checkpoint
    stem: Stem = "table"  # before stage 1: table | small
    start_sha256: str = ""  # of the file at that path; ``load_config`` sets it


class RANOutput(NamedTuple):
    """What a network of this file returns.

    Attributes:
        logits: (N, K).
        largest_crop: (N, 1) mu_max, the largest self-attention weight of a crop; None in arms that are
            trained without the region-biased loss.
        whole_face: (N, 1) mu_0, the weight of the whole face; None likewise.
    """

    logits: Tensor
    largest_crop: Tensor | None = None
    whole_face: Tensor | None = None


class RegionWeights(NamedTuple):
    """The attention of one batch, each (N, R, 1), the whole face last.

    Attributes:
        alpha: the sigmoids of self-attention.
        mu: what the regions are averaged with: alpha, or its softmax over the regions.
        beta: the sigmoids of relation attention; None without it.
        nu: beta, or its softmax over the regions.
    """

    alpha: Tensor
    mu: Tensor
    beta: Tensor | None = None
    nu: Tensor | None = None

    def shares(self) -> Tensor:
        """Return each region's share in the mean that is classified, (N, R, 1), of sum 1."""
        weights = self.mu if self.nu is None else self.mu * self.nu
        return weights / weights.sum(dim=1, keepdim=True)


class RegionAttentionNetwork(SharedTrunk):
    """The network of the paper's pipeline figure.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in ResNet-18.
        weights: what mu and nu are (difference 1).
        relation: with relation attention.
        biased: return what the region-biased loss needs.
        blocks: basic blocks per stage; (3, 4, 6, 3) is ResNet-34.
        stem: before stage 1.
    """

    def __init__(
        self,
        classes: int,
        width: int = 64,
        weights: Weights = "softmax",
        relation: bool = True,
        biased: bool = True,
        blocks: tuple[int, int, int, int] = (2, 2, 2, 2),
        stem: Stem = "table",
    ) -> None:
        super().__init__(width, blocks, stem)
        self.weights = weights
        self.biased = biased
        self.alpha = nn.Sequential(nn.Linear(self.features, 1), nn.Sigmoid())
        self.beta = nn.Sequential(nn.Linear(2 * self.features, 1), nn.Sigmoid()) if relation else None
        self.fc = nn.Linear(2 * self.features if relation else self.features, classes)

    def forward(self, regions: Tensor) -> RANOutput:
        """Classify faces.

        Args:
            regions: (N, R, 3, H, W) in [0, 1], any R from 2, the whole face last; the authors' layout
                (N, 3, H, W, R) is taken too.

        Raises:
            UserError: the regions have another shape.
        """
        feature, attention = self.attend(regions)  # (N, 2D)
        logits = self.fc(feature)  # (N, K)
        if not self.biased:
            return RANOutput(logits)
        crops, whole_face = attention.mu[:, :-1], attention.mu[:, -1]  # (N, R - 1, 1), (N, 1)
        return RANOutput(logits, crops.amax(dim=1), whole_face)

    def attend(self, regions: Tensor) -> tuple[Tensor, RegionWeights]:
        """Return what is classified, P (N, 2D) or without relation attention F_m (N, D), and the weights."""
        features = self.embed(images_second(regions, "regions", least=2))  # (N, R, D), F_k
        alpha = self.alpha(features)  # (N, R, 1)
        mu = self._over_regions(alpha)  # (N, R, 1)
        face = weighted_mean(features, mu)  # (N, D), F_m
        if self.beta is None:
            return face, RegionWeights(alpha, mu)
        joined = torch.cat([features, face.unsqueeze(1).expand_as(features)], dim=2)  # (N, R, 2D)
        beta = self.beta(joined)  # (N, R, 1)
        nu = self._over_regions(beta)  # (N, R, 1)
        return weighted_mean(joined, mu * nu), RegionWeights(alpha, mu, beta, nu)

    def _over_regions(self, sigmoids: Tensor) -> Tensor:
        return sigmoids.softmax(dim=1) if self.weights == "softmax" else sigmoids


class WholeFace(SharedTrunk):
    """The baseline of the paper: the same ResNet on the whole face alone.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in ResNet-18.
        stem: before stage 1.
    """

    def __init__(self, classes: int, width: int = 64, stem: Stem = "table") -> None:
        super().__init__(width, stem=stem)
        self.fc = nn.Linear(self.features, classes)

    def forward(self, regions: Tensor) -> RANOutput:
        """Classify faces from the last region; arguments as in ``RegionAttentionNetwork.forward``."""
        faces = images_second(regions, "regions")[:, -1]  # (N, 3, H, W)
        return RANOutput(self.fc(self.embed_images(faces)))  # (N, K)


class EqualRegions(WholeFace):
    """A control of ours: the same regions, each with the same weight, so without attention."""

    def forward(self, regions: Tensor) -> RANOutput:
        """Classify faces by the mean of all features; arguments as in ``RegionAttentionNetwork.forward``."""
        features = self.embed(images_second(regions, "regions", least=2))  # (N, R, D), F_k
        return RANOutput(self.fc(features.mean(dim=1)))  # (N, K)


class RegionBiasedLoss(nn.Module):
    """L_RB = mean over the batch of max(0, margin - (mu_max - mu_0)), the code's rank loss.

    Args:
        margin: by how much some crop is to outweigh the whole face.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, largest_crop: Tensor, whole_face: Tensor) -> Tensor:
        """Compute the mean loss of mu_max and mu_0, both (N, 1)."""
        return (self.margin - (largest_crop - whole_face)).clamp(min=0).mean()


class RANLoss(nn.Module):
    """Cross-entropy plus the region-biased loss, where the network returns weights for it.

    Args:
        margin: of the region-biased loss.
        label_smoothing: share of the target that is spread over all classes; 0 in the authors' code.
        weight: of the region-biased loss; 1 in the paper and its code.
    """

    def __init__(self, margin: float, label_smoothing: float = 0.0, weight: float = 1.0) -> None:
        super().__init__()
        self.region_biased = RegionBiasedLoss(margin)
        self.label_smoothing = label_smoothing
        self.weight = weight

    def forward(self, output: RANOutput | Tensor, targets: Tensor) -> Tensor:
        """Compute the mean loss.

        Args:
            output: of the network, or logits (N, K) alone.
            targets: (N,).
        """
        if isinstance(output, Tensor):
            output = RANOutput(output)
        loss = F.cross_entropy(output.logits, targets, label_smoothing=self.label_smoothing)
        if output.largest_crop is None or output.whole_face is None:
            return loss
        return loss + self.weight * self.region_biased(output.largest_crop, output.whole_face)


def _explain(model: nn.Module, regions: Tensor) -> dict[str, Tensor] | None:
    """Run the network in evaluation mode and keep the weights of the regions.

    Args:
        model: a ``RegionAttentionNetwork``, or a module that wraps one.
        regions: (N, R, 3, H, W) in [0, 1], the whole face last.

    Returns:
        ``alpha`` and ``mu``, with relation attention ``beta`` and ``nu`` (see ``RegionWeights``), and
        ``weights``, each region's share in the mean that is classified. All (N, R). None for the whole face
        alone.
    """
    network = next((part for part in model.modules() if isinstance(part, RegionAttentionNetwork)), None)
    if network is None:
        return None
    with evaluating(model):
        _, attention = network.attend(regions)
    tensors = {**attention._asdict(), "weights": attention.shares()}
    return {name: tensor.squeeze(2) for name, tensor in tensors.items() if tensor is not None}


_ARMS: dict[str, tuple[Weights, bool, bool, str]] = {  # weights, relation attention, region-biased loss
    "softmax_weights": ("softmax", True, True, "The headline: weights as in the authors' code."),
    "whole_face": ("softmax", False, False, "The control: the same ResNet on the whole face alone."),
    "uniform_weights": ("softmax", False, False, "A control of ours: the same regions with equal weights."),
    "wide_face": ("softmax", False, False, "A control of ours: the whole face, at the regions' compute."),
    "sigmoid_weights": ("sigmoid", True, True, "The paper's weights: sigmoids without softmax."),
    "no_biased_loss": ("softmax", True, False, "The headline without the region-biased loss."),
    "no_relation": ("softmax", False, True, "The headline without relation attention."),
    "sigmoid_no_relation": (
        "sigmoid",
        False,
        False,
        "The authors' variant without relation attention: sigmoids, no region-biased loss.",
    ),
}


def _build_model(arm: str, options: RANOptions, classes: int, pretrained: bool = True) -> nn.Module:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``.

    Raises:
        UserError: the arm is unknown, or the weights to start from do not fit or cannot be obtained.
    """
    METHOD.check_arm(arm)
    check_start(options.pretraining, options.width, options.stem)
    weights, relation, biased, _ = _ARMS[arm]
    network: SharedTrunk
    if arm == "whole_face":
        network = WholeFace(classes, options.width, options.stem)
    elif arm == "wide_face":  # costs grow with the square of the width
        regions = len(region_names(options.crops))
        network = WholeFace(classes, round(options.width * math.sqrt(regions)), options.stem)
    elif arm == "uniform_weights":
        network = EqualRegions(classes, options.width, options.stem)
    else:
        network = RegionAttentionNetwork(classes, options.width, weights, relation, biased, stem=options.stem)
    if pretrained:
        load_start(network, options.pretraining, options.start_sha256)
    return network


def _build_loss(options: RANOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build cross-entropy plus the region-biased loss; the arm's output decides whether it is added."""
    return RANLoss(options.margin, label_smoothing)


_FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
_AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")


def _layout(blocks: tuple[int, int, int, int], relation: bool, affectnet: bool) -> OfficialLayout:
    """Lay out one of the authors' networks; their class argument is without effect: 8."""

    def build(constructor: Mapping[str, Any]) -> nn.Module:
        if relation:
            return RegionAttentionNetwork(8, blocks=blocks)
        return RegionAttentionNetwork(8, weights="sigmoid", relation=False, biased=False, blocks=blocks)

    return OfficialLayout(
        "kaiwang960112/Challenge-condition-FER-dataset",
        build,
        ("num_classes",),
        rename=lambda key: key.removeprefix("module."),  # their checkpoints carry the prefix
        classes=_AFFECTNET if affectnet else _FERPLUS,
        regions=region_names("affectnet" if affectnet else "fixed"),
    )


def _recognise(state: Mapping[str, Tensor]) -> str:
    if not {"alpha.0.weight", "fc.weight"} <= {*state}:
        return ""
    file = "attention_rank_loss" if "beta.0.weight" in state else "part_attention"
    trunk = "resnet34" if "layer1.2.conv1.weight" in state else "resnet18"
    return f"FERplus_dir/{file}.py {trunk}"


_TRUNKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}  # deeper ones do not fit their own heads
_FILES = {  # file -> with relation attention; the star matches either AffectNet folder
    "FERplus_dir/attention_rank_loss.py": True,
    "FERplus_dir/part_attention.py": False,
    "AffectNet_dir/simple_sample/part_attention.py": True,
    "AffectNet_dir/unbalanced_sample_train/part_attention.py": True,
    "AffectNet_dir/*/part_attention.py": True,
}

METHOD = Method(
    name="ran",
    title="Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition",
    paper="1905.04075",
    task="expression",
    inputs="regions",
    headline="softmax_weights",
    control="whole_face",
    arms={arm: sentence for arm, (*_, sentence) in _ARMS.items()},
    options=RANOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    view=lambda options: Regions(options.crops),
    official={
        f"{file} {trunk}": _layout(blocks, relation, file.startswith("AffectNet"))
        for file, relation in _FILES.items()
        for trunk, blocks in _TRUNKS.items()
    },
    recognise=_recognise,
    crop="padded",  # aligned by dlib as for FAN; its script was never published
)
