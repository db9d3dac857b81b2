"""AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep Face Representations.

Xiao Zhang, Rui Zhao, Yu Qiao, Xiaogang Wang, Hongsheng Li, CVPR 2019, arXiv:1905.00292.

A cosine softmax predicts P_ij from f_ij = s cos theta_ij, and its scale s determines how steeply the target's
probability P_i,yi = exp(f_i,yi) / (exp(f_i,yi) + B_i) falls with the angle. AdaCos has no margin and puts s
where |dP/dtheta| is largest: at theta_0 = pi/4 with B = C - 1 (fixed), or at every step at the batch's
median target angle with the measured B (dynamic), so that supervision stays strong while the angles shrink.

No code of the authors exists. Differences from the paper, whose text gives no full recipe:

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

import math
from typing import Literal

import torch
import torch.distributed as dist
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
    CosineHead,
    control_head,
)
from fer_repro.layers.pretrained import check_start
from fer_repro.layers.resnet import Stem
from fer_repro.methods.method import Method
from fer_repro.sections import STRICT, NonNegative, Positive, PositiveInt

Median = Literal["lower", "midpoint"]


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


def fixed_scale(classes: int) -> float:
    """Return s_f = sqrt(2) ln(C - 1), the scale for theta_0 = pi/4 and B = C - 1 (Eq. 12); 0 for C = 2."""
    return math.sqrt(2) * math.log(classes - 1)


@torch.no_grad()
def dynamic_scale(cosines: Tensor, targets: Tensor, scale: Tensor, median: Median = "lower") -> Tensor:
    """Return s^(t) = ln(B_avg) / cos(min(pi/4, theta_med)) (Eqs. 13-15).

    B_avg = 1/N sum_i sum_{k != y_i} exp(s^(t-1) cos_ik) uses the previous scale and this batch's cosines;
    theta_med is the median of the N target angles. Evaluated without exp and, but for the midpoint, without
    acos: cos(min(pi/4, theta)) = max(sqrt(1/2), cos theta).

    Args:
        cosines: (N, C), of this process; N may differ between processes, whose batches count as one.
        targets: (N,) class indices.
        scale: s^(t-1), a scalar tensor.
        median: of an even number of angles.

    Returns:
        A scalar tensor of the cosines' type.
    """
    chosen = targets[:, None]
    others = (scale.to(cosines.dtype) * cosines).scatter(1, chosen, -math.inf).logsumexp(dim=1)  # (N,) ln B_i
    target = cosines.gather(1, chosen).squeeze(1)  # (N,)
    others, target = across_processes(torch.stack([others, target], dim=1)).unbind(dim=1)
    log_b_avg = others.logsumexp(dim=0) - math.log(len(others))
    descending = target.sort(descending=True).values  # ascending angles
    middle = descending[(len(target) - 1) // 2]
    if median == "midpoint":
        angles = torch.stack([middle, descending[len(target) // 2]]).clamp(-1, 1).acos()
        middle = angles.mean().cos()
    return log_b_avg / middle.clamp_min(math.sqrt(0.5))


def across_processes(rows: Tensor) -> Tensor:
    """Gather rows (N, D) of all processes of the default group; N may differ between them.

    Returns:
        (sum of all N, D), in the order of ranks; ``rows`` itself where one process works alone.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.zeros_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    most = max(int(each) for each in counts)
    padded = torch.cat([rows, rows.new_zeros(most - len(rows), rows.shape[1])])
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    return torch.cat([part[: int(each)] for part, each in zip(gathered, counts, strict=True)])


class AdaCosHead(CosineHead):
    """The AdaCos classifier: logits s cos theta_ij with a scale that needs no tuning (Sec. 4).

    In training mode each ``loss`` first updates s from the batch, then forms the logits with the new s,
    which is a constant for the gradient. In evaluation mode s never changes. ``scale`` is a buffer and
    saved.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        dynamic: update s at every step (Sec. 4.2); else s stays (Sec. 4.1).
        scale: where s starts; None takes sqrt(2) ln(C - 1).
        median: of an even number of angles.

    Raises:
        UserError: two classes without a scale.
    """

    refused: Tensor

    def __init__(
        self,
        dimensions: int,
        classes: int,
        dynamic: bool = True,
        scale: float | None = None,
        median: Median = "lower",
    ) -> None:
        if classes == 2 and scale is None:
            raise UserError(
                "AdaCos with 2 classes: its scale sqrt(2) ln(C - 1) is 0 and stays 0; give a scale "
                "(adacos_scale), or more classes"
            )
        formula = fixed_scale(classes) if classes > 2 else 1.0
        super().__init__(dimensions, classes, formula if scale is None else scale)
        self.dynamic = dynamic and classes > 2
        self.median = median
        self.register_buffer("refused", torch.zeros((), dtype=torch.int64))

    def training_logits(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return s^(t) cos theta_ij (N, C), after the step's update of s."""
        similar = self.cosines(embeddings)
        if self.dynamic and self.training:
            self.update(similar.detach(), targets)
        return self.scale.clone() * similar

    @torch.no_grad()
    def update(self, cosines: Tensor, targets: Tensor) -> None:
        """Set s to ``dynamic_scale``; a value that is not finite and positive is counted and refused.

        The buffer becomes a new tensor: a compiled forward pass keeps the old one for its gradient.
        """
        new = dynamic_scale(cosines, targets, self.scale, self.median).to(self.scale.dtype)
        good = new.isfinite() & (new > 0)
        self.refused += ~good
        self.scale = torch.where(good, new, self.scale)


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
