"""Inspired by: An Experimental Evaluation of Recent Face Recognition Losses for Deepfake Detection.

Yu-Cheng Liu, Chia-Ming Chang, I-Hsuan Chen, Yu Ju Ku, Jun-Cheng Chen, ICPR 2020; no arXiv identifier.

Losses of face recognition ask more of an embedding x than that its class row W_y has the largest product: the
angle theta_y between both is to be smaller than all others by a margin. The paper asks how such losses detect
manipulated faces, also those of other data than in training. Here one trunk and one recipe serve all arms;
only the head, which makes logits and loss of embeddings, differs. theta_j is the angle of x and W_j, s a
scale, y the true class, C the number of classes.

Only the abstract of the paper could be read: which losses, which network and every number are not known. So
this reproduces no number: the heads are those of their own papers and codes, and whether one of them helps is
an open question. [O] is ydwen/opensphere, of SphereFace's authors; [S] clcarwin/sphereface_pytorch.

Differences from the paper, as far as its abstract tells:

1. Heads: the paper's list is not known. Here norm-softmax, CosFace, ArcFace, A-softmax [S], SphereFace
   revived and SphereFace2 [O], AdaCos, P2SGrad as a mean of squares, and centre loss.
2. Two controls: a plain softmax, and norm-softmax with the scale of CosFace and ArcFace, since most of what a
   margin seems to gain may come from the scale. That scale was tuned on validation faces.
3. Gradients: [O] takes what a margin changes for a constant, d logit_y / d cos_y = s; differentiating the
   formula gives another gradient. Option ``gradient``: ``constant`` is [O]'s, ``autograd`` the formula's.
4. ArcFace beyond theta_y = pi - m: the guard s (cos - m sin m); [O] holds the angle at pi.
5. SphereFace2's bias begins where both parts of the gradient are equal, written so that two classes lose no
   digits: the form of [O] takes log 0 for alpha .8, s 64, m .5.
6. AdaCos does not exist for two classes: its scale sqrt(2) ln(C - 1) is 0. Its arm learns real faces and each
   kind of manipulation as classes, and is tested by 1 - P(real); ``softmax_kinds`` is its control.
7. Unseen manipulation: training and validation leave one kind out, option ``unseen``. Arms
   ``..._unseen_KIND`` leave out another one. Nobody is in two parts.
8. Trunk: a ResNet-18 of any width with a linear embedding. Data: rendered forgeries in place of
   FaceForensics++ and Celeb-DF.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.adacos_head import AdaCosHead
from fer_repro.layers.embedding import (
    EmbeddingClassifier,
    HeadLoss,
    explain_angles,
    make_trunk,
    watch_scale,
)
from fer_repro.layers.margin_heads import (
    ArcFaceHead,
    CosFaceHead,
    CosineHead,
    SoftmaxHead,
    SphereFaceHead,
)
from fer_repro.layers.pretrained import check_start
from fer_repro.layers.recognition_heads import (
    CentreHead,
    ConstantArcFaceHead,
    Gradient,
    P2SGradMeanHead,
    RevivedSphereFaceHead,
    SphereFace2Head,
)
from fer_repro.layers.resnet import Stem
from fer_repro.methods.method import Method
from fer_repro.sections import STRICT, BelowOne, NonNegative, Positive, PositiveInt


@dataclass(frozen=True, config=STRICT)
class FaceLossOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the trunk's stem and first stage
    dimensions: PositiveInt  # D, of an embedding
    scale: Positive  # s of norm-softmax, CosFace and ArcFace
    cosface_margin: NonNegative  # subtracted from the cosine
    arcface_margin: NonNegative  # radians added to the angle
    sphereface_scale: Positive  # s of SphereFace revived
    sphereface_margin: Positive  # its m, by which the angle is multiplied
    sphereface2_scale: Positive  # r
    sphereface2_margin: NonNegative  # m
    sphereface2_power: Positive  # t
    sphereface2_balance: BelowOne  # alpha, the weight of a sample's own class
    sphereface2_weight: Positive  # of the whole loss
    centre_weight: NonNegative  # of the centre loss beside the cross-entropy
    gradient: Gradient  # of ArcFace's and both SphereFaces' margins
    unseen: str  # the kind of manipulation that training leaves out; none
    kinds: PositiveInt  # how many kinds are left, for the arms that learn them as classes
    pretraining: Literal["none", "imagenet"]  # of the trunk
    stem: Stem = "table"  # before stage 1: table | small


class Judged(NamedTuple):
    """What a detector returns.

    Attributes:
        logits: (N, 2) of real and manipulated, without margins.
        embeddings: (N, D), not normalised.
        head: it knows its loss.
    """

    logits: Tensor
    embeddings: Tensor
    head: CosineHead

    def hits(self, targets: Tensor) -> Tensor:
        """Return which faces are judged rightly, (N,) bool; a target above 1 is a kind of manipulation."""
        return self.logits.detach().argmax(1) == targets.clamp(max=1)


class ForgeryEmbedder(EmbeddingClassifier):
    """A trunk that embeds, and a head that judges: its first class is real, all others are manipulated."""

    def forward(self, images: Tensor) -> Judged:  # type: ignore[override]
        """Judge images (N, 3, H, W) in [0, 1]."""
        embeddings = self.trunk(images)  # (N, D)
        logits = self.head(embeddings)  # (N, C)
        return Judged(real_or_not(logits), embeddings, self.head)


def real_or_not(logits: Tensor) -> Tensor:
    """Join all classes but the first, (N, C) -> (N, 2), so that softmax gives P(real) and 1 - P(real)."""
    if logits.shape[1] == 2:
        return logits
    return torch.stack([logits[:, 0], logits[:, 1:].logsumexp(dim=1)], dim=1)


_HEADS = {
    "softmax": "The control: a plain linear classifier.",
    "norm_softmax": "The second control: s cos theta, no margin, the same s as CosFace and ArcFace.",
    "arcface": "The headline: s cos(theta + m) at the target.",
    "cosface": "s (cos theta - m) at the target.",
    "sphereface2": "One class against the rest, each with its margin.",
    "a_softmax": "|x| psi(theta) at the target, m = 4, annealed.",
    "sphereface": "s psi(theta) at the target, m = 1.7.",
    "p2sgrad": "Mean squared distance of cosines from 0 and 1.",
    "centre_loss": "Softmax, and the distance to a centre of the class.",
    "adacos": "s cos theta with a scale of its own; kinds of manipulation as classes.",
    "softmax_kinds": "The control of AdaCos: a plain softmax with the same classes.",
    "softmax_all_kinds": "The upper limit: softmax trained on every kind, the tested one included.",
}
_UNSEEN = "_unseen_"
_MAIN = ("softmax", "norm_softmax", "arcface", "cosface", "sphereface2")
_ARMS = _HEADS | {
    f"{arm}{_UNSEEN}{kind}": f"As {arm}; {kind} is left out."
    for kind in ("transfer", "resample")
    for arm in _MAIN
}
_BY_KIND = ("adacos", "softmax_kinds")


def _unseen(arm: str, options: Mapping[str, Any]) -> str:
    """Name the kind of manipulation that an arm does not learn; see ``fer_repro.methods.method.Method``."""
    kind = arm.partition(_UNSEEN)[2] or str(options.get("unseen", "none"))
    return "" if kind == "none" or arm == "softmax_all_kinds" else kind


def _kinds(arm: str, options: Mapping[str, Any]) -> int:
    """Count the kinds that an arm learns as classes; see ``fer_repro.methods.method.Method``."""
    return int(options["kinds"]) if arm in _BY_KIND else 0


def make_head(arm: str, options: FaceLossOptions, classes: int) -> CosineHead:
    """Build the head of an arm.

    Args:
        arm: of this method; which kind it leaves out does not matter.
        options: of the recipe.
        classes: C.

    Raises:
        UserError: AdaCos with two classes, or a number that a head refuses.
    """
    size = options.dimensions, classes
    match arm.partition(_UNSEEN)[0]:
        case "norm_softmax":
            return CosineHead(*size, options.scale)
        case "cosface":
            return CosFaceHead(*size, options.scale, options.cosface_margin)
        case "arcface":
            kind = ConstantArcFaceHead if options.gradient == "constant" else ArcFaceHead
            return kind(*size, options.scale, options.arcface_margin)
        case "sphereface":
            numbers = options.sphereface_scale, options.sphereface_margin
            return RevivedSphereFaceHead(*size, *numbers, options.gradient)
        case "sphereface2":
            margin = options.sphereface2_scale, options.sphereface2_margin, options.sphereface2_power
            weights = options.sphereface2_balance, options.sphereface2_weight
            return SphereFace2Head(*size, *margin, *weights, options.gradient)
        case "a_softmax":
            return SphereFaceHead(*size, margin=4, anneal=1500.0, decay=0.1, least=5.0)  # [S]
        case "p2sgrad":
            return P2SGradMeanHead(*size)
        case "centre_loss":
            return CentreHead(*size, options.centre_weight)
        case "adacos":
            return AdaCosHead(*size)
    return SoftmaxHead(*size)


def _build_model(
    arm: str, options: FaceLossOptions, classes: int, pretrained: bool = True
) -> ForgeryEmbedder:
    """Build trunk and head of an arm in training mode; see ``fer_repro.methods.method.BuildModel``.

    With one seed all arms start from the same trunk.

    Raises:
        UserError: the arm is unknown, there are not two classes, ImageNet weights do not fit or are
            unavailable, or the head refuses its number of classes.
    """
    METHOD.check_arm(arm)
    if classes != 2:
        raise UserError(f"arm '{arm}' judges whether a face is real: expected 2 classes, found {classes}")
    check_start(options.pretraining, options.width, options.stem)
    imagenet = pretrained and options.pretraining == "imagenet"
    trunk = make_trunk(options.dimensions, options.width, imagenet, options.stem)
    learnt = 1 + options.kinds if arm in _BY_KIND else classes
    return ForgeryEmbedder(trunk, make_head(arm, options, learnt))


def _build_loss(options: FaceLossOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss: each arm's head brings its own."""
    return HeadLoss(label_smoothing)


METHOD = Method(
    name="face_losses",
    title="Inspired by: An Experimental Evaluation of Recent Face Recognition Losses for Deepfake Detection",
    paper="",  # no arXiv identifier
    task="manipulation",
    inputs="images",
    headline="arcface",
    control="softmax",
    arms=_ARMS,
    options=FaceLossOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=explain_angles,
    watch=watch_scale,
    unseen=_unseen,
    kinds=_kinds,
)
