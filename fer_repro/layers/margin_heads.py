"""Classifiers that compare directions: cosine heads with and without a margin, for any trunk.

cos_ij = x_i . W_j / (|x_i| |W_j|) for the embedding x_i of sample i and the row W_j of class j, no bias.
Each head holds its rows and its scale s, so that the trunk's optimiser and checkpoint see both, and offers
two views:

- ``head(embeddings)``: logits as at test time, s cos_ij without any margin; their arg-max is the prediction.
- ``head.loss(embeddings, targets)``: what training minimises, with the margin on the target's cosine.

Cosines, logits and losses are computed in float32 or better, whatever the precision of the trunk.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError

EPSILON = 1e-12  # below this length a vector has no direction: its cosines and gradients are 0


def unit_rows(vectors: Tensor) -> Tensor:
    """Divide each row of (N, D) by its length; a row shorter than 1e-12 becomes 0, without a gradient."""
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors * (lengths > EPSILON) / lengths.clamp_min(EPSILON)


def exact(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or as it is where it is more precise."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Return a context in which mixed precision is off on the tensor's device."""
    return torch.autocast(tensor.device.type, enabled=False)


def cosines(embeddings: Tensor, weight: Tensor) -> Tensor:
    """Return cos_ij of embeddings (N, D) and class rows (C, D), as (N, C) in float32 or better."""
    with without_autocast(embeddings):
        return unit_rows(exact(embeddings)) @ unit_rows(exact(weight)).T


def check_targets(targets: Tensor, classes: int) -> None:
    """Refuse an empty batch and class indices outside [0, C).

    On an accelerator the values are not checked, because that would wait for the device, which checks
    them itself.

    Raises:
        UserError: naming the first wrong index.
    """
    if targets.ndim != 1 or targets.numel() == 0:
        raise UserError(
            f"targets have the shape {tuple(targets.shape)}: expected (N,) with at least one sample"
        )
    if targets.device.type == "cpu":
        wrong = targets[(targets < 0) | (targets >= classes)]
        if wrong.numel():
            raise UserError(f"targets hold the class {int(wrong[0])}: expected 0 ... {classes - 1}")


class CosineHead(nn.Module):
    """NormFace: logits s cos_ij, cross-entropy (arXiv:1704.06369). The other cosine heads derive from it.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        scale: s.

    Raises:
        UserError: fewer than two classes, or a scale that is not positive and finite.
    """

    scale: Tensor

    def __init__(self, dimensions: int, classes: int, scale: float = 30.0) -> None:
        super().__init__()
        if classes < 2:
            raise UserError(f"a classifier of {classes} classes: expected at least 2")
        if not 0 < scale < math.inf:
            raise UserError(f"scale is {scale!r}: expected a positive number")
        self.weight = nn.Parameter(torch.empty(classes, dimensions))
        nn.init.xavier_uniform_(self.weight)  # only the direction of a row matters
        self.register_buffer("scale", torch.tensor(float(scale)))

    def _apply(self, fn: Any, recurse: bool = True) -> "CosineHead":  # noqa: ANN401 - torch's signature
        """Move with the network, but keep the scale in float32 where the network becomes half precise."""
        kept = self.scale
        super()._apply(fn, recurse)
        if self.scale.dtype in (torch.float16, torch.bfloat16):
            self.scale = kept.to(self.scale.device)
        return self

    def forward(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings (N, D) into logits s cos_ij (N, C), in the embeddings' type."""
        return (self.scale.clone() * self.cosines(embeddings)).to(embeddings.dtype)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return cos_ij (N, C)."""
        return cosines(embeddings, self.weight)

    def training_logits(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return the logits that training sees (N, C): s cos_ij with the head's margin on the target's.

        Args:
            embeddings: (N, D).
            targets: (N,) class indices.
        """
        similar = self.cosines(embeddings)
        rows = torch.arange(len(targets), device=targets.device)
        target = self.target_cosine(similar[rows, targets])
        return self.scale.clone() * similar.index_put((rows, targets), target)

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Return what replaces the target's cosine (N,)."""
        return cosine

    def loss(self, embeddings: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy of ``training_logits``.

        Args:
            embeddings: (N, D).
            targets: (N,) class indices.
            label_smoothing: 0 in the papers.

        Raises:
            UserError: see ``check_targets``.
        """
        check_targets(targets, len(self.weight))
        with without_autocast(embeddings):
            return F.cross_entropy(
                self.training_logits(embeddings, targets), targets, label_smoothing=label_smoothing
            )


class CosFaceHead(CosineHead):
    """CosFace, also AM-Softmax: target logit s (cos - m) (arXiv:1801.09414, arXiv:1801.05599).

    Args:
        dimensions: D, of an embedding.
        classes: C.
        scale: s.
        margin: m.
    """

    def __init__(self, dimensions: int, classes: int, scale: float = 30.0, margin: float = 0.35) -> None:
        super().__init__(dimensions, classes, scale)
        self.margin = margin

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Return cos - m."""
        return cosine - self.margin


class ArcFaceHead(CosineHead):
    """ArcFace: target logit s cos(theta + m) (arXiv:1801.07698).

    Beyond theta = pi - m, where cos(theta + m) would rise again, it is s (cos - m sin m), the usual guard.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        scale: s.
        margin: m, in radians.
    """

    def __init__(self, dimensions: int, classes: int, scale: float = 30.0, margin: float = 0.5) -> None:
        super().__init__(dimensions, classes, scale)
        self.margin = margin

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Return cos(theta + m), without acos, whose gradient is infinite at +-1."""
        sine = (1 - cosine.square()).clamp_min(EPSILON).sqrt()
        shifted = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(self.margin)
        return torch.where(cosine > -math.cos(self.margin), shifted, beyond)


class SphereFaceHead(CosineHead):
    """SphereFace: target logit |x| psi(theta), the others |x| cos (arXiv:1704.08063, Eq. 7).

    psi(theta) = (-1)^k cos(m theta) - 2k for theta in [k pi/m, (k+1) pi/m] falls all the way from 1 to 1 -
    2m. It is
    annealed: (lambda cos + psi) / (1 + lambda) with lambda falling from ``anneal`` to ``least`` over the
        training
    steps, which a saved buffer counts. The numbers of the annealing are the usual ones of the original
    recipe, from memory.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        margin: m, a whole number; 4 in the paper.
        anneal: lambda at the first step.
        decay: lambda = max(least, anneal / (1 + decay * step)).
        least: the smallest lambda.
    """

    steps: Tensor

    def __init__(
        self,
        dimensions: int,
        classes: int,
        margin: int = 4,
        anneal: float = 1000.0,
        decay: float = 0.12,
        least: float = 5.0,
    ) -> None:
        super().__init__(dimensions, classes, scale=1.0)
        self.margin = margin
        self.anneal, self.decay, self.least = anneal, decay, least
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings (N, D) into logits |x_i| cos_ij (N, C)."""
        return (self._lengths(embeddings) * self.cosines(embeddings)).to(embeddings.dtype)

    def training_logits(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return |x_i| cos_ij with the annealed psi at the target; counts a step in training mode."""
        if self.training:
            self.steps += 1
        return self._lengths(embeddings) * super().training_logits(embeddings, targets)

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Return (lambda cos + psi) / (1 + lambda)."""
        blend = (self.anneal / (1 + self.decay * self.steps.to(cosine.dtype))).clamp_min(self.least)
        return (blend * cosine + falling_cosine(cosine, self.margin)) / (1 + blend)

    @staticmethod
    def _lengths(embeddings: Tensor) -> Tensor:
        return torch.linalg.vector_norm(exact(embeddings), dim=1, keepdim=True)


def falling_cosine(cosine: Tensor, margin: int) -> Tensor:
    """Return psi(theta) = (-1)^k cos(m theta) - 2k of SphereFace, from cos theta.

    cos(m theta) is the Chebyshev polynomial T_m of cos theta, so no gradient of acos is taken.

    Args:
        cosine: of theta, any shape.
        margin: m >= 1.
    """
    multiple, before = cosine, torch.ones_like(cosine)  # T_1, T_0
    for _ in range(margin - 1):
        multiple, before = 2 * cosine * multiple - before, multiple
    k = (margin * cosine.detach().clamp(-1, 1).acos() / math.pi).floor().clamp_max(margin - 1)
    return (1 - 2 * (k % 2)) * multiple - 2 * k


class L2SoftmaxHead(CosineHead):
    """L2-softmax: logits alpha W_j . x_i / |x_i|, rows not normalised (arXiv:1703.09507, Eq. 3), no bias.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        scale: alpha, kept constant.
    """

    def forward(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings (N, D) into logits (N, C)."""
        return self._logits(embeddings).to(embeddings.dtype)

    def training_logits(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return the same logits: there is no margin."""
        return self._logits(embeddings)

    def _logits(self, embeddings: Tensor) -> Tensor:
        with without_autocast(embeddings):
            return self.scale.clone() * unit_rows(exact(embeddings)) @ exact(self.weight).T


class SoftmaxHead(CosineHead):
    """The plain linear classifier: logits W_j . x_i + b_j, nothing normalised; the control of all others.

    Args:
        dimensions: D, of an embedding.
        classes: C.
    """

    def __init__(self, dimensions: int, classes: int) -> None:
        super().__init__(dimensions, classes, scale=1.0)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings (N, D) into logits (N, C)."""
        return self._logits(embeddings).to(embeddings.dtype)

    def training_logits(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return the same logits: there is no margin."""
        return self._logits(embeddings)

    def _logits(self, embeddings: Tensor) -> Tensor:
        with without_autocast(embeddings):
            return F.linear(exact(embeddings), exact(self.weight), exact(self.bias))


CONTROLS = {
    "softmax": "A plain linear classifier.",
    "l2_softmax": "Unit embeddings times s, rows not normalised.",
    "normface": "s cos theta with s by hand.",
    "sphereface": "|x| psi(theta) with m = 4, annealed.",
    "cosface": "s (cos theta - m) at the target.",
    "arcface": "s cos(theta + m) at the target.",
}


def control_head(
    name: str, dimensions: int, classes: int, scale: float, cosface_margin: float, arcface_margin: float
) -> CosineHead:
    """Build one of the heads that AdaCos and P2SGrad are compared with.

    Args:
        name: a key of ``CONTROLS``.
        dimensions: D, of an embedding.
        classes: C.
        scale: s of all but softmax and SphereFace.
        cosface_margin: subtracted from the cosine.
        arcface_margin: radians added to the angle.
    """
    if name == "softmax":
        return SoftmaxHead(dimensions, classes)
    if name == "sphereface":
        return SphereFaceHead(dimensions, classes)
    if name == "cosface":
        return CosFaceHead(dimensions, classes, scale, cosface_margin)
    if name == "arcface":
        return ArcFaceHead(dimensions, classes, scale, arcface_margin)
    return {"l2_softmax": L2SoftmaxHead, "normface": CosineHead}[name](dimensions, classes, scale)
