"""Faces of which half is covered, and what a student of them learns from a teacher of whole faces.

The teacher's softened answers, and its embeddings as positives of triplets, both in their usual forms; which
variant arXiv:2008.01003 uses is not known.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Visible = Literal["lower", "upper", "whole"]
Distance = Literal["squared", "plain"]
Negatives = Literal["every", "nearest"]


def lower_visible(images: Tensor, fill: float = 0.0) -> Tensor:
    """Cover the upper half: of H rows the first ceil(H / 2), the middle one of an odd number included.

    Args:
        images: (..., H, W).
        fill: value of the covered pixels.
    """
    covered = images.clone()
    covered[..., : _upper_rows(images), :] = fill
    return covered


def upper_visible(images: Tensor, fill: float = 0.0) -> Tensor:
    """Cover the lower half: exactly the rows that ``lower_visible`` leaves; arguments as there."""
    covered = images.clone()
    covered[..., _upper_rows(images) :, :] = fill
    return covered


def _upper_rows(images: Tensor) -> int:
    return (images.shape[-2] + 1) // 2


COVERS: dict[Visible, Callable[[Tensor, float], Tensor]] = {
    "lower": lower_visible,
    "upper": upper_visible,
    "whole": lambda images, fill: images,
}
"""What is visible -> images and the value of covered pixels to covered images."""


def soft_divergence(student: Tensor, teacher: Tensor, temperature: float, squared: bool) -> Tensor:
    """Return the mean over faces of KL(softmax(z_T / T) || softmax(z_S / T)).

    Args:
        student: logits z_S (N, K).
        teacher: logits z_T (N, K); no gradient passes through them.
        temperature: T.
        squared: multiply by T^2, which keeps the gradients' length whatever T is.
    """
    said = F.log_softmax(student / temperature, dim=1)
    wanted = F.log_softmax(teacher.detach() / temperature, dim=1)
    divergence = F.kl_div(said, wanted, reduction="batchmean", log_target=True)
    return divergence * temperature**2 if squared else divergence


def triplet_hinges(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, distance: Distance
) -> Tensor:
    """Return max(0, d(a, p) - d(a, n) + margin) for each triplet; no gradient passes through p.

    Args:
        anchor: a (..., D), as are the next two; shapes are broadcast.
        positive: p.
        negative: n.
        margin: that n is to be farther than p.
        distance: d, Euclidean or its square.
    """
    near, far = (_length(anchor - other, distance) for other in (positive.detach(), negative))
    return (near - far + margin).clamp_min(0)


def _length(difference: Tensor, distance: Distance) -> Tensor:
    return difference.square().sum(-1) if distance == "squared" else difference.norm(dim=-1)


def batch_triplet_loss(
    anchors: Tensor,
    positives: Tensor,
    classes: Tensor,
    margin: float,
    distance: Distance = "squared",
    negatives: Negatives = "every",
) -> Tensor:
    """Return the mean of ``triplet_hinges`` over a batch, 0 where all its faces are of one class.

    Args:
        anchors: embeddings (N, D); each is a negative of those of other classes, too.
        positives: (N, D), one for each anchor.
        classes: (N,) of the anchors.
        margin: see ``triplet_hinges``, as is the next one.
        distance: d.
        negatives: every other class's face in the batch, or of these the nearest to the anchor.
    """
    hinges = triplet_hinges(anchors[:, None], positives[:, None], anchors[None], margin, distance)  # (N, N)
    others = classes[:, None] != classes[None]
    if not others.any():
        return hinges.sum() * 0
    if negatives == "every":
        return hinges[others].mean()
    hardest = hinges.masked_fill(~others, -1).amax(dim=1)  # the nearest negative has the largest hinge
    return hardest[others.any(dim=1)].mean()


class EmbeddingBank(nn.Module):
    """The positives of method B: the teacher's embeddings of whole faces, by class.

    Args:
        embeddings: (M, D) of all training faces.
        targets: (M,) their classes.
        classes: number of expressions, K.
        shuffled: a control of ours: embeddings belong to other faces.
    """

    embeddings: Tensor
    first: Tensor
    count: Tensor

    def __init__(self, embeddings: Tensor, targets: Tensor, classes: int, shuffled: bool = False) -> None:
        super().__init__()
        if shuffled:
            embeddings = embeddings[torch.randperm(len(embeddings))]
        count = torch.bincount(targets, minlength=classes)
        self.register_buffer("embeddings", embeddings[targets.argsort(stable=True)])
        self.register_buffer("first", count.cumsum(0) - count)
        self.register_buffer("count", count)

    def forward(self, faces: int) -> Tensor:
        """Draw for so many faces one embedding of each class, (N, K, D); zeros of a class without faces."""
        drawn = torch.rand(faces, len(self.count)).to(self.count.device)  # (N, K), from the CPU's generator
        places = self.first + (drawn * self.count).long()
        exists = (self.count > 0)[:, None]
        return self.embeddings[places.clamp(max=len(self.embeddings) - 1)] * exists
