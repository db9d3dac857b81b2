"""Triplets of real and manipulated faces, and their loss (arXiv:2004.07676, Sec. III-B)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_repro.errors import UserError


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Return the mean of max(0, |a - p| - |a - n| + margin), Euclidean (Eq. 2; margin 1 in [C]).

    Args:
        anchor: features (N, D).
        positive: of the anchor's class.
        negative: of the other class.
        margin: that the negative is to be farther than the positive.
    """
    return F.triplet_margin_loss(anchor, positive, negative, margin=margin)


def draw_triplets(targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw random triplets, alternating (fake, fake, real) and (real, real, fake), without mining, as in [C].

    Args:
        targets: (N,) of all samples, 1 for fake.
        count: of triplets.
        generator: on the CPU.

    Returns:
        (count, 3) sample indices: anchor, positive (another sample) and negative.

    Raises:
        UserError: a class has fewer than two samples.
    """
    members = [(targets == label).nonzero().flatten().cpu() for label in (0, 1)]
    if min(map(len, members)) < 2:
        raise UserError(f"{len(members[0])} real and {len(members[1])} fake samples: expected two of each")
    rows = []
    for n in range(count):
        own, other = members[1 - n % 2], members[n % 2]
        pair = own[torch.randperm(len(own), generator=generator)[:2]]
        rows.append(torch.cat([pair, other[torch.randint(len(other), (1,), generator=generator)]]))
    return torch.stack(rows)
