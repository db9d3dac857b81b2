"""P2SGrad: Refined Gradients for Optimizing Deep Face Models.

Xiao Zhang, Rui Zhao, Junjie Yan, Mengya Gao, Yu Qiao, Xiaogang Wang, Hongsheng Li, CVPR 2019,
arXiv:1905.02479.

All cosine softmax losses push x_i and W_j in the same directions dcos_ij/dx_i and dcos_ij/dW_j; they differ
only in the length (P_ij - [j = y_i]) f'(cos_ij), which depends on scale, margin and the number of classes,
none of which matters at test time. P2SGrad replaces the probability by the similarity: the length is cos_ij
- [j = y_i] (Eq. 11). There is no scale, no margin, no hyper-parameter and no softmax.

No code of the authors exists. Differences from the paper, which defines gradients, not a loss:

1. Loss: 1/2 sum_j (cos_ij - [j = y_i])^2 has exactly these gradients; autograd does the rest. ``gradients``
   is the closed form.
2. Reduction: the mean over samples of the sum over classes, "per-sample gradient, batch average". Public
   implementations average over all N C entries, 2 / C times as strong: almost 0 for many classes. Arm
   ``entry_mean``.
3. The loss is no progress measure where C > D (it cannot reach 0), and is none of confidence: softmax of
   bare cosines is nearly flat, at most 0.31 for 7 classes. Predictions are the arg-max of the cosines; log
   loss and calibration of these logits do not measure the features.
4. The gradient is orthogonal to each W_j, so |W_j| grows under SGD and the step shrinks; here weight decay
   prevents that, rows are not renormalised.
5. Trunk: a ResNet-18 with a 512-d linear embedding and a free width (the paper: deeper ResNets on face data).
"""

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.embedding import (
    EmbeddingClassifier,
    HeadLoss,
    explain_angles,
    make_trunk,
    watch_scale,
)
from fer_repro.layers.margin_heads import (
    CONTROLS,
    EPSILON,
    CosineHead,
    check_targets,
    control_head,
    cosines,
    unit_rows,
    without_autocast,
)
from fer_repro.layers.pretrained import check_start
from fer_repro.layers.resnet import Stem
from fer_repro.methods.method import Method
from fer_repro.sections import STRICT, NonNegative, Positive, PositiveInt

Reduction = Literal["sample_mean", "entry_mean"]


@dataclass(frozen=True, config=STRICT)
class P2SGradOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the trunk's stem and first stage
    dimensions: PositiveInt  # of an embedding
    scale: Positive  # s of the controls l2_softmax, normface, cosface and arcface
    cosface_margin: NonNegative  # subtracted from the cosine
    arcface_margin: NonNegative  # radians added to the angle
    pretraining: Literal["none", "imagenet"]  # of the trunk
    stem: Stem = "table"  # before stage 1: table | small


def residuals(cosine: Tensor, targets: Tensor) -> Tensor:
    """Return R = cos_ij - [j = y_i] (N, C), the lengths of Eq. 11."""
    return cosine - torch.nn.functional.one_hot(targets, cosine.shape[1]).to(cosine.dtype)


@torch.no_grad()
def gradients(embeddings: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of Eq. 11, summed over the batch, in closed form.

    With K the cosines, R = K - Y, and hats for unit rows:
    G_x = (R W^ - rowsum(R K) x^) / |x| and G_W = (R' X^ - colsum(R K) w^) / |W|.

    Args:
        embeddings: (N, D).
        weight: class rows (C, D).
        targets: (N,).

    Returns:
        Gradients (N, D) and (C, D), each row orthogonal to its own vector.
    """
    similar = cosines(embeddings, weight)
    x, w = unit_rows(embeddings), unit_rows(weight)
    rest = residuals(similar, targets)
    radial = rest * similar
    for_x = rest @ w - radial.sum(dim=1, keepdim=True) * x
    for_w = rest.T @ x - radial.sum(dim=0)[:, None] * w
    return for_x / _lengths(embeddings), for_w / _lengths(weight)


def _lengths(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min(EPSILON)


class P2SGradHead(CosineHead):
    """The P2SGrad classifier: bare cosines as logits, gradients of Eq. 11.

    Two classes, a batch of one and several processes need no special care: there is no statistic of the
    batch.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        reduction: ``sample_mean`` 1/N of the summed gradients, as the paper is read; ``entry_mean`` 2/(N C).
    """

    def __init__(self, dimensions: int, classes: int, reduction: Reduction = "sample_mean") -> None:
        super().__init__(dimensions, classes, scale=1.0)
        self.reduction = reduction

    def loss(self, embeddings: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return 1/(2N) sum_ij (cos_ij - [j = y_i])^2, or the mean squared residual under ``entry_mean``.

        Raises:
            UserError: label smoothing is asked for, or see ``check_targets``.
        """
        if label_smoothing:
            raise UserError(
                f"label_smoothing is {label_smoothing}: P2SGrad has no softmax to smooth; set it to 0"
            )
        check_targets(targets, len(self.weight))
        with without_autocast(embeddings):
            squared = residuals(self.cosines(embeddings), targets).square()
            return squared.mean() if self.reduction == "entry_mean" else squared.sum() / (2 * len(targets))


_ARMS = {
    "p2sgrad": "The headline: gradients cos - [j = y], averaged over the batch.",
    "entry_mean": "The same, averaged over the classes too, as public implementations do.",
    **CONTROLS,
}


def _head(arm: str, options: P2SGradOptions, classes: int) -> CosineHead:
    if arm in ("p2sgrad", "entry_mean"):
        return P2SGradHead(
            options.dimensions, classes, "entry_mean" if arm == "entry_mean" else "sample_mean"
        )
    return control_head(
        arm, options.dimensions, classes, options.scale, options.cosface_margin, options.arcface_margin
    )


def _build_model(
    arm: str, options: P2SGradOptions, classes: int, pretrained: bool = True
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


def _build_loss(options: P2SGradOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss: each arm's head brings its own."""
    return HeadLoss(label_smoothing)


METHOD = Method(
    name="p2sgrad",
    title="P2SGrad: Refined Gradients for Optimizing Deep Face Models",
    paper="1905.02479",
    task="expression",
    inputs="images",
    headline="p2sgrad",
    control="softmax",
    arms=_ARMS,
    options=P2SGradOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=explain_angles,
    watch=watch_scale,
    diagnostics=("forces",),
    further_tasks=("verification",),  # from the embeddings
)
