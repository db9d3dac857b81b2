"""Ensembles of runs: mean logits over networks and over a video's frames (arXiv:2004.07676)."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from fer_repro.errors import UserError


def average_logits(members: Sequence[Tensor]) -> Tensor:
    """Return the ensemble's logits: the plain mean of its members' (Sec. III-C), before any sigmoid.

    Args:
        members: the logits of each network for the same frames, all of one shape.

    Raises:
        UserError: there are none, or the shapes differ.
    """
    shapes = {tuple(logits.shape) for logits in members}
    if len(shapes) != 1:
        raise UserError(
            f"logits of the shapes {sorted(shapes)}: expected one shape for all members, at least one"
        )
    return torch.stack(list(members)).mean(dim=0)


def video_logits(logits: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
    """Average the logits of each video's frames.

    Args:
        logits: (F,) or (F, K), one row per frame.
        videos: (F,) int64, the video of each frame.

    Returns:
        The videos (V,), ascending, and their logits (V,) or (V, K); a sigmoid makes probabilities of them.
    """
    names, rows = videos.unique(return_inverse=True)
    counts = torch.bincount(rows).to(logits.dtype)
    sums = logits.new_zeros(len(names), *logits.shape[1:]).index_add_(0, rows, logits)
    return names, sums / counts.view(-1, *[1] * (logits.ndim - 1))


def combinations(members: Sequence[str]) -> list[tuple[str, ...]]:
    """List all non-empty sets of members as the paper's table does: singles, pairs, ..., all (15 of four)."""
    return [chosen for n in range(1, len(members) + 1) for chosen in itertools.combinations(members, n)]
