"""The AdaCos classifier (arXiv:1905.00292), for every method that compares it: a scale that sets itself.

What is done where the paper leaves something open is in ``fer_repro.methods.adacos``, the paper's own file.
"""

import math
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from fer_repro.errors import UserError
from fer_repro.layers.margin_heads import CosineHead

Median = Literal["lower", "midpoint"]


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
