"""Heads of face recognition as public code has them, beside those of ``margin_heads``.

[O] is ydwen/opensphere, of SphereFace's authors. Where its margin counts as a constant, the gradient of the
target's logit by its cosine is s; differentiating the formula gives another one. Heads with a margin have
both: ``constant`` is [O]'s gradient, ``autograd`` the formula's.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.margin_heads import (
    ArcFaceHead,
    CosineHead,
    SoftmaxHead,
    check_targets,
    exact,
    without_autocast,
)

Gradient = Literal["constant", "autograd"]
_EDGE = 1e-5  # [O]: cosines stay so far from 1 and -1 before their angle is taken


def held(cosine: Tensor, changed: Tensor, gradient: Gradient) -> Tensor:
    """Return ``changed``, a function of ``cosine``, with its own gradient or with that of ``cosine``."""
    return cosine + (changed - cosine).detach() if gradient == "constant" else changed


class ConstantArcFaceHead(ArcFaceHead):
    """ArcFace whose margin is a constant for the gradient [O]; arguments as of ``ArcFaceHead``."""

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Return cos(theta + m) with the gradient of cos(theta)."""
        return held(cosine, super().target_cosine(cosine), "constant")


class RevivedSphereFaceHead(CosineHead):
    """SphereFace revived (arXiv:2109.05565) [O]: target logit s psi(theta), m any positive number.

    psi(theta) = (-1)^k cos(m theta) - 2k with k = floor(m theta / pi) falls from 1 at theta = 0.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        scale: s.
        margin: m.
        gradient: of psi.
    """

    def __init__(
        self,
        dimensions: int,
        classes: int,
        scale: float = 30.0,
        margin: float = 1.7,
        gradient: Gradient = "constant",
    ) -> None:
        super().__init__(dimensions, classes, scale)
        self.margin, self.gradient = margin, gradient

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Return psi(theta)."""
        multiple = self.margin * cosine.clamp(_EDGE - 1, 1 - _EDGE).acos()
        k = (multiple.detach() / math.pi).floor()
        return held(cosine, (1 - 2 * (k % 2)) * multiple.cos() - 2 * k, self.gradient)


class SphereFace2Head(CosineHead):
    """SphereFace2 (Wen et al., ICLR 2022) [O]: C classifiers of one class against the rest, no softmax.

    z_j = r g(cos_j) + b with g(c) = 2 ((c + 1) / 2)^t - 1; the loss has g - m for a sample's own class and
    g + m for others: weight / r times the sum over classes of -alpha log sigmoid(z_y - r m) and -(1 - alpha)
    log sigmoid(-z_j - r m), averaged over samples.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        scale: r.
        margin: m.
        power: t.
        balance: alpha.
        weight: of the loss.
        gradient: of g with its margin.
    """

    def __init__(
        self,
        dimensions: int,
        classes: int,
        scale: float = 40.0,
        margin: float = 0.4,
        power: float = 3.0,
        balance: float = 0.7,
        weight: float = 50.0,
        gradient: Gradient = "constant",
    ) -> None:
        super().__init__(dimensions, classes, scale)
        if not 0 < balance < 1:
            raise UserError(f"sphereface2_balance is {balance!r}: expected a number between 0 and 1")
        self.margin, self.power, self.balance = margin, power, balance
        self.strength, self.gradient = weight, gradient
        self.bias = nn.Parameter(torch.tensor(start_of_bias(classes, scale, margin, power, balance)))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings (N, D) into logits z (N, C), without margins."""
        raised = _raised(self.cosines(embeddings), self.power)
        return (self.scale.clone() * raised + exact(self.bias)).to(embeddings.dtype)

    def loss(self, embeddings: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the weighted mean of C binary cross-entropies.

        Raises:
            UserError: label smoothing is asked for, or see ``check_targets``.
        """
        _check_smoothing(label_smoothing, "SphereFace2")
        check_targets(targets, len(self.weight))
        with without_autocast(embeddings):
            cosine = self.cosines(embeddings)
            own = F.one_hot(targets, len(self.weight)).to(cosine.dtype)
            raised = _raised(cosine, self.power) + self.margin * (1 - 2 * own)
            logits = self.scale.clone() * held(cosine, raised, self.gradient) + exact(self.bias)
            weights = self.balance * own + (1 - self.balance) * (1 - own)
            losses = F.binary_cross_entropy_with_logits(logits, own, weights)
            return losses * (self.strength * len(self.weight) / self.scale.clone())


def _raised(cosine: Tensor, power: float) -> Tensor:
    """Return g = 2 ((cos + 1) / 2)^t - 1; cosines a rounding error below -1 count as -1."""
    return 2 * ((cosine + 1) / 2).clamp_min(1e-12) ** power - 1


def start_of_bias(classes: int, scale: float, margin: float, power: float, balance: float) -> float:
    """Return b where own class and all others pull equally hard while all cosines are 0.

    With q = alpha / ((1 - alpha) (C - 1)), a = r (g(0) - m) and c = r (g(0) + m) it solves
    q sigmoid(-a - b) = sigmoid(c + b): u = e^b is a root of e^a u^2 + (1 - q) u = q e^-c. Of its two forms
    the one that adds is taken, so that no digits are lost.

    Args:
        classes: C.
        scale: r.
        margin: m.
        power: t.
        balance: alpha, between 0 and 1.
    """
    level = 2 * 0.5**power - 1
    own, others = scale * (level - margin), scale * (level + margin)
    share = balance / ((1 - balance) * (classes - 1))
    root = math.sqrt((1 - share) ** 2 + 4 * share * math.exp(own - others))
    if share > 1:
        return math.log((share - 1 + root) / 2) - own
    return math.log(2 * share) - others - math.log(1 - share + root)


class P2SGradMeanHead(CosineHead):
    """P2SGrad as a mean of squares over all N C entries, (cos_ij - [j = y_i])^2; logits are bare cosines.

    Args:
        dimensions: D, of an embedding.
        classes: C.
    """

    def __init__(self, dimensions: int, classes: int) -> None:
        super().__init__(dimensions, classes, scale=1.0)

    def loss(self, embeddings: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean square.

        Raises:
            UserError: label smoothing is asked for, or see ``check_targets``.
        """
        _check_smoothing(label_smoothing, "P2SGrad")
        check_targets(targets, len(self.weight))
        with without_autocast(embeddings):
            cosine = self.cosines(embeddings)
            return F.mse_loss(cosine, F.one_hot(targets, len(self.weight)).to(cosine.dtype))


def _check_smoothing(label_smoothing: float, name: str) -> None:
    if label_smoothing:
        raise UserError(f"label_smoothing is {label_smoothing}: {name} has no softmax to smooth; set it to 0")


def centre_loss(embeddings: Tensor, centres: Tensor, targets: Tensor) -> Tensor:
    """Return sum_i |x_i - c_yi|^2 / N, the public PyTorch form: no half, centres learn by gradient.

    Args:
        embeddings: (N, D).
        centres: (C, D).
        targets: (N,).
    """
    return (embeddings - centres[targets]).square().sum() / len(targets)


class CentreHead(SoftmaxHead):
    """A plain softmax with centre loss (Wen et al., ECCV 2016): embeddings gather at a centre of their class.

    Args:
        dimensions: D, of an embedding.
        classes: C.
        weight: of the centre loss.
    """

    def __init__(self, dimensions: int, classes: int, weight: float = 0.003) -> None:
        super().__init__(dimensions, classes)
        self.strength = weight
        self.centres = nn.Parameter(torch.randn(classes, dimensions))

    def loss(self, embeddings: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return cross-entropy and weighted centre loss."""
        entropy = super().loss(embeddings, targets, label_smoothing)
        with without_autocast(embeddings):
            return entropy + self.strength * centre_loss(exact(embeddings), exact(self.centres), targets)
