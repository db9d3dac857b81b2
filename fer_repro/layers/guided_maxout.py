"""What drops features before a linear layer in training: by the probability of the label, or half of them.

Ferrari, Berretti, Del Bimbo, ICPR 2020, as its code does it. With features h (D), the linear layer fc and q =
softmax(fc(h)) at the label, without a gradient, the share pi = min(1 - q / 2, 1) of the features is kept, the
smallest ones; the most active are set to 0, and what is kept is multiplied by s / pi. At test time nothing
happens. A loss calls ``partial_features``, because only the loss knows the label.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.margin_heads import exact, without_autocast

Dropped = Literal["most_active", "least_active", "random"]
Classify = Callable[[Tensor], Tensor]
"""Features (N, D) -> logits (N, K)."""


@torch.no_grad()
def label_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """Return q, the probability of each label, (N,), without a gradient.

    Args:
        logits: (N, K).
        targets: (N,) class indices, or shares (N, K), of which the largest counts.
    """
    labels = targets if targets.ndim == 1 else targets.argmax(1)
    return logits.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)


def kept_shares(probabilities: Tensor) -> Tensor:
    """Return pi = min(1 - q / 2, 1) in float64: half of the features of a certain face, all of a missed one.

    Args:
        probabilities: q, of any shape.
    """
    return (1 - probabilities.double() / 2).clamp(max=1)


class FeatureDropout(nn.Module):
    """The rival: each feature is dropped with one probability, the others are divided by what is left.

    Args:
        rate: of the code's rival.
    """

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate

    def drop(self, features: Tensor, classify: Classify, targets: Tensor) -> Tensor:
        """Drop features (N, D), whatever class they speak for."""
        return F.dropout(features, self.rate)


class GuidedMaxout(nn.Module):
    """Probability guided maxout, and two controls that drop as many features, but others.

    Args:
        dropped: which features; ``least_active`` and ``random`` are ours. Of equal ones those of lower index
            are kept first, whose order the code leaves open.
        learnt: train s, which starts at 1; else it stays there.
    """

    def __init__(self, dropped: Dropped = "most_active", learnt: bool = True) -> None:
        super().__init__()
        self.dropped = dropped
        self.scale = nn.Parameter(torch.ones(1), requires_grad=learnt)  # s, named as in the code

    def drop(self, features: Tensor, classify: Classify, targets: Tensor) -> Tensor:
        """Drop features (N, D) by the probability that the linear layer gives the label from all of them."""
        with torch.no_grad():
            probabilities = label_probabilities(classify(features), targets)  # (N,)
        return self(features, probabilities)

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """Drop features and scale the others.

        Args:
            features: h (N, D).
            probabilities: q (N,) in [0, 1]; checked on a CPU alone, as an accelerator would have to wait.

        Returns:
            (N, D).

        Raises:
            UserError: the shapes do not fit, or a probability is outside [0, 1] or not a number.
        """
        _check(features, probabilities)
        shares = kept_shares(probabilities)[:, None]  # (N, 1), pi
        kept = self._ranks(features.detach()) < (features.shape[1] * shares).round()  # half to even
        return features.where(kept, 0) * (self.scale / shares).to(features.dtype)

    def _ranks(self, features: Tensor) -> Tensor:
        """Number the features of each sample (N, D) from 0 in the order in which they are kept."""
        if self.dropped == "random":
            features = torch.rand_like(features)
        order = features.argsort(dim=1, descending=self.dropped == "least_active", stable=True)
        return order.argsort(dim=1)


def partial_features(
    dropping: GuidedMaxout | FeatureDropout, features: Tensor, classify: Classify, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Drop features and classify what is left, in float32 or better.

    Args:
        dropping: what drops them.
        features: h (N, D).
        classify: the linear layer.
        targets: (N,) class indices, or shares (N, K), of which the largest counts.

    Returns:
        What is left (N, D), and its logits (N, K).
    """
    with without_autocast(features):
        left = dropping.drop(exact(features), classify, targets)
        return left, classify(left)


def _check(features: Tensor, probabilities: Tensor) -> None:
    if features.ndim != 2 or probabilities.shape != features.shape[:1]:
        raise UserError(
            f"features have the shape {tuple(features.shape)}, probabilities {tuple(probabilities.shape)}: "
            "expected (N, D) and (N,)"
        )
    if probabilities.device.type == "cpu":
        wrong = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
        if wrong.numel():
            raise UserError(
                f"the probability of a label is {float(wrong[0])}: expected 0 to 1; not a number means that "
                "features or weights are none: try a lower recipe.optimiser.lr"
            )
