"""AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep Face Representations.

Xiao Zhang, Rui Zhao, Yu Qiao, Xiaogang Wang, Hongsheng Li, CVPR 2019, arXiv:1905.00292.

A cosine softmax predicts P_ij from f_ij = s cos theta_ij, and its scale s determines how steeply the target's
probability P_i,yi = exp(f_i,yi) / (exp(f_i,yi) + B_i) falls with the angle. AdaCos has no margin and puts s
where |dP/dtheta| is largest: at theta_0 = pi/4 with B = C - 1 (fixed), or at every step at the batch's
median target angle with the measured B (dynamic), so that supervision stays strong while the angles shrink.

The classifier is ``fer_repro.layers.adacos_head``, which other methods compare as well. No code of the
authors exists. Differences from the paper, whose text gives no full recipe:

1. First step: the paper leaves open whether the first batch is trained with s_f or with its first update.
   Here the update comes first, as in the ports that follow Eqs. 13-15.
2. Median of an even batch: the lower middle angle, as in those ports; ``median="midpoint"`` averages the two.
3. Two classes: s_f = sqrt(2) ln 1 = 0 and never changes, so nothing is learned. Refused unless a scale is
   given, which is then kept: with one other class the update would shrink it towards 0 again.
4. A new s that is not finite or not positive is refused, the old one kept, and the buffer ``refused``
   counts it. There is no other guard: s can grow without limit while one wrong class is nearer than the
   median target.
5. With few classes the confidence is bounded, and dynamic AdaCos settles at P = 1/2 for the median sample:
   its training loss stays near ln 2 however good the features are. Do not stop early on the loss.
6. Across processes, B_avg and theta_med are those of the whole batch. Replicas in one process
   (DataParallel) would lose the scale and are not supported.
7. Trunk: a ResNet-18 with a 512-d linear embedding and a free width (the paper: deeper ResNets on face data).
8. Controls: L2-softmax, CosFace and ArcFace as in the paper's tables; softmax, NormFace and SphereFace
   (which is annealed) besides. Scales and margins are options: face recognition's fail with few classes.
"""

from typing import Literal

from pydantic.dataclasses import dataclass
from torch import nn

from fer_repro.layers.adacos_head import AdaCosHead
from fer_repro.layers.embedding import (
    EmbeddingClassifier,
    HeadLoss,
    explain_angles,
    make_trunk,
    watch_scale,
)
from fer_repro.layers.margin_heads import (
    CONTROLS,
    CosineHead,
    control_head,
)
from fer_repro.layers.pretrained import check_start
from fer_repro.layers.resnet import Stem
from fer_repro.methods.method import Method
from fer_repro.sections import STRICT, NonNegative, Positive, PositiveInt


@dataclass(frozen=True, config=STRICT)
class AdaCosOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the trunk's stem and first stage
    dimensions: PositiveInt  # of an embedding
    adacos_scale: NonNegative  # start of dynamic, value of fixed AdaCos; 0 takes sqrt(2) ln(C - 1)
    scale: Positive  # s of l2_softmax, normface, cosface and arcface
    cosface_margin: NonNegative  # subtracted from the cosine
    arcface_margin: NonNegative  # radians added to the angle
    pretraining: Literal["none", "imagenet"]  # of the trunk
    stem: Stem = "table"  # before stage 1: table | small


_ARMS = {
    "dynamic": "The headline: s follows the batch's median target angle (Sec. 4.2).",
    "fixed": "s = sqrt(2) ln(C - 1) (Sec. 4.1).",
    **CONTROLS,
}


def _head(arm: str, options: AdaCosOptions, classes: int) -> CosineHead:
    if arm in ("dynamic", "fixed"):
        return AdaCosHead(options.dimensions, classes, arm == "dynamic", options.adacos_scale or None)
    return control_head(
        arm, options.dimensions, classes, options.scale, options.cosface_margin, options.arcface_margin
    )


def _build_model(
    arm: str, options: AdaCosOptions, classes: int, pretrained: bool = True
) -> EmbeddingClassifier:
    """Build trunk and head of an arm in training mode; see ``fer_repro.methods.method.BuildModel``.

    With one seed all arms start from the same trunk.

    Raises:
        UserError: the arm is unknown, ImageNet weights do not fit or are unavailable, or the head refuses C.
    """
    METHOD.check_arm(arm)
    check_start(options.pretraining, options.width, options.stem)
    imagenet = pretrained and options.pretraining == "imagenet"
    trunk = make_trunk(options.dimensions, options.width, imagenet, options.stem)
    return EmbeddingClassifier(trunk, _head(arm, options, classes))


def _build_loss(options: AdaCosOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss: each arm's head brings its own."""
    return HeadLoss(label_smoothing)


METHOD = Method(
    name="adacos",
    title="AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep Face Representations",
    paper="1905.00292",
    task="expression",
    inputs="images",
    headline="dynamic",
    control="softmax",
    arms=_ARMS,
    options=AdaCosOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=explain_angles,
    watch=watch_scale,
    further_tasks=("verification",),  # from the embeddings
)
