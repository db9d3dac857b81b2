"""Triplets of real and manipulated faces: their embeddings and loss (arXiv:2004.07676, Sec. III-B)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError


class Embeddings(NamedTuple):
    """Three embeddings, each (N, D)."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def hits(self, targets: Tensor) -> Tensor:
        """Return which triplets are in order, (N,) bool: the positive is nearer than the negative."""
        near, far = ((self.anchor - other).norm(dim=1) for other in (self.positive, self.negative))
        return near < far


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Return the mean of max(0, |a - p| - |a - n| + margin), Euclidean (Eq. 2; margin 1 in [C]).

    Args:
        anchor: features (N, D).
        positive: of the anchor's class.
        negative: of the other class.
        margin: that the negative is to be farther than the positive.
    """
    return F.triplet_margin_loss(anchor, positive, negative, margin=margin)


def every_triplet_loss(embeddings: Tensor, classes: Tensor, margin: float = 1.0) -> Tensor:
    """Return ``triplet_loss`` over every triplet that a batch's faces can form, still without mining.

    The triplets of [C] are a random few of them. A face then takes part in hundreds instead of one, which
    small budgets need; both kinds of anchors weigh the same, as they do in [C].

    Args:
        embeddings: features (M, D).
        classes: (M,) 0 for real and 1 for fake; two faces of each at least.
        margin: that the negative is to be farther than the positive.

    Raises:
        UserError: a class has fewer than two faces.
    """
    if embeddings.dtype != torch.float64:
        embeddings = embeddings.float()  # PyTorch has no distances in half precision on CPUs
    distances = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    means = []
    for own in (classes == 0, classes == 1):
        if own.sum() < 2:
            raise UserError(f"a batch has {int(own.sum())} faces of one class; expected two or more")
        near, far = distances[own][:, own], distances[own][:, ~own]
        gaps = (near[:, :, None] - far[:, None, :] + margin).clamp_min(0)  # (own, own, other)
        means.append(gaps[~torch.eye(len(near), dtype=torch.bool, device=near.device)].mean())
    return torch.stack(means).mean()


class TripletLoss(nn.Module):
    """``triplet_loss`` as the training loop calls it.

    Args:
        margin: that the negative is to be farther than the positive.
        every: take every triplet that a batch's faces form, not the drawn ones alone as in [C].
    """

    def __init__(self, margin: float = 1.0, every: bool = False) -> None:
        super().__init__()
        self.margin = margin
        self.every = every

    def forward(self, output: Embeddings, targets: Tensor) -> Tensor:
        """Compute the mean loss; ``targets`` (N,) are the classes of the anchors."""
        if not self.every:
            return triplet_loss(*output, margin=self.margin)
        classes = torch.cat([targets, targets, 1 - targets])
        return every_triplet_loss(torch.cat(tuple(output)), classes, self.margin)
