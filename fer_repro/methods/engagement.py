"""Bootstrap Model Ensemble and Rank Loss for Engagement Intensity Regression.

Kai Wang, Jianfei Yang, Da Guo, Kaipeng Zhang, Xiaojiang Peng, Yu Qiao, EmotiW 2019, arXiv:1907.03422.

How engaged is somebody who watches a lesson, from 0 to 1? A video is a sequence of measurements, cut into K
segments: instances of a bag of which only the bag has a label. One LSTM reads every segment x_k alone, a
multilayer perceptron makes a feature f_k of its last step, and

    alpha_k = sigmoid(w f_k + b),    f = sum(alpha_k f_k) / sum(alpha_k)

weighs the segments of a video; its value is regressed from f. A rank loss asks that the features of
neighbouring levels lie nearer together than those of distant ones, by a margin m: with d_ij, the distance of
the mean features of levels i and j,

    [d12 - d13 + m]+ + [d12 - d14 + 2m]+ + [d23 - d24 + m]+ + [d23 - d14 + 2m]+ + [d34 - d24 + m]+
    + [d34 - d14 + 2m]+

and a bag of networks, each trained on a bootstrap sample of the videos, is averaged.

Differences from the paper. Its abstract and the authors' code were available, its full text was not.

1. Rank loss: that of the code computes on arrays without a gradient, divides by count + 1, takes the zero
   vector for an absent level, and its call is commented out. That is the arm ``published_rank_loss``, with
   the call; it must train the very weights of ``mse``. The arm ``rank_loss`` has true means, a gradient, and
   no hinge of a level without a video. Its weight beside the MSE is an option.
2. Bag: how many samples the paper draws, and of which share, is not known. Here each of ``members`` networks
   weighs the squared error of a video by how often the video is in its sample: a number of its own from the
   Poisson distribution of mean 1, to which a bootstrap of many videos tends (Oza and Russell, AISTATS 2001).
   All members are trained in one pass and validated as their average, by MSE alone, so that what a bag gains
   is not confused with what the rank loss gains; the paper has both.
3. ``average_of_five`` is a control of ours: the same networks with the same initial weights, all trained on
   every video.
4. One stream. The paper has three (body, face, C3D), each with rank loss and centre loss, and fuses them;
   of the code only the first, without centre loss, has numbers.
5. The code's ``classify`` loss has weight 0 and is left out; the layer of that name is a step on the way to
   one of both values.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.cost import evaluating
from fer_repro.loading.views import Sequences
from fer_repro.methods.method import Method, OfficialLayout
from fer_repro.sections import STRICT, NonNegative, PositiveInt

LEVELS = ((-math.inf, 0.1), (0.3, 0.4), (0.6, 0.7), (0.8, 1.0))
"""The levels of the rank loss, each above its first number and up to its second."""
MARGIN = 0.75  # m of the rank loss
_HINGES = (  # d_near - d_far + times m, levels counted from 0
    ((0, 1), (0, 2), 1), ((0, 1), (0, 3), 2), ((1, 2), (1, 3), 1), ((1, 2), (0, 3), 2), ((2, 3), (1, 3), 1),
    ((2, 3), (0, 3), 2),
)  # fmt: skip
SEGMENTS = 10  # K
_LOGITS = 4


@dataclass(frozen=True, config=STRICT)
class EngagementOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # hidden units of each LSTM layer
    dense: PositiveInt  # units after the LSTM; half and an eighth of them follow, the last are f_k
    columns: PositiveInt  # measurements of a row
    rows: PositiveInt  # of a segment
    rank_weight: NonNegative  # of the rank loss beside the MSE
    members: PositiveInt  # networks of a bag


class EngagementOutput(NamedTuple):
    """What one network returns.

    Attributes:
        values: (N,) in [0, 1].
        logits: (N, 4), a step on the way to the values.
        features: (N, D), f of each video.
        alpha: (N, K) weights of the segments.
        ranked: the features, where the rank loss is to order them.
        ranked_apart: the same without a gradient, where the published one is computed.
    """

    values: Tensor
    logits: Tensor
    features: Tensor
    alpha: Tensor
    ranked: Tensor | None = None
    ranked_apart: Tensor | None = None


class BagOutput(NamedTuple):
    """What several networks return together.

    Attributes:
        values: (N,), the mean of the members'.
        members: (N, M).
        counts: (N, M) how often each video is in each member's sample; None where all learn from all videos.
    """

    values: Tensor
    members: Tensor
    counts: Tensor | None


class SegmentNetwork(nn.Module):
    """The network of one stream: an LSTM per segment, attention over segments, two regressions.

    State-dict names are those of the authors' code.

    Args:
        columns: measurements of a row; 14 in the code.
        width: hidden units of each of both LSTM layers; 512 in the code.
        rows: of a segment; 120 in the code.
        dense: units of the first dense layer; 1024 in the code, then 512 and 128.
        rank: which rank loss its features are for.
    """

    def __init__(
        self, columns: int = 14, width: int = 512, rows: int = 120, dense: int = 1024, rank: str = ""
    ) -> None:
        super().__init__()
        self.rows, self.rank = rows, rank
        features = dense // 8
        self.lstm = nn.LSTM(columns, width, num_layers=2, batch_first=True)
        self.dense = nn.Sequential(
            nn.Linear(width, dense),
            nn.ReLU(),
            nn.Linear(dense, dense // 2),
            nn.ReLU(),
            nn.Linear(dense // 2, features),
            nn.ReLU(),
        )
        self.alpha = nn.Sequential(nn.Linear(features, 1), nn.Sigmoid())
        self.regression = nn.Sequential(nn.Linear(_LOGITS, 1), nn.Sigmoid())
        self.regression_1 = nn.Sequential(nn.Linear(features, 1), nn.Sigmoid())
        self.classify = nn.Sequential(nn.Linear(features, _LOGITS))

    def forward(self, sequences: Tensor, counts: Tensor | None = None) -> EngagementOutput:
        """Regress sequences (N, T, columns) of K segments; further rows are ignored, as are ``counts``."""
        features = self.segment_features(sequences)  # (N, K, D)
        alpha = self.alpha(features)  # (N, K, 1)
        pooled = (alpha * features).sum(dim=1) / alpha.sum(dim=1)  # (N, D)
        logits = self.classify(pooled)  # (N, 4)
        values = (self.regression(logits) + self.regression_1(pooled)) / 2  # (N, 1)
        ranked = pooled if self.rank == "rank_loss" else None
        apart = pooled.detach() if self.rank == "published_rank_loss" else None
        return EngagementOutput(values[:, 0], logits, pooled, alpha[..., 0], ranked, apart)

    def segment_features(self, sequences: Tensor) -> Tensor:
        """Read each segment from a zero state: (N, T, columns) -> f_k (N, K, D).

        Raises:
            UserError: a sequence is shorter than its segments.
        """
        wanted = SEGMENTS * self.rows
        if sequences.shape[1] < wanted:
            raise UserError(
                f"sequences of {sequences.shape[1]} rows: expected {SEGMENTS} times {self.rows}, {wanted}"
            )
        segments = (
            sequences[:, :wanted].unflatten(1, (SEGMENTS, self.rows)).flatten(0, 1)
        )  # (N K, rows, columns)
        states, _ = self.lstm(segments)
        return self.dense(states[:, -1]).unflatten(0, (-1, SEGMENTS))


class Bag(nn.Module):
    """Several networks that differ in their initial weights, and in their samples where they have such.

    Args:
        networks: the members.
        sampled: each learns from its own bootstrap sample.
    """

    def __init__(self, networks: list[SegmentNetwork], sampled: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)
        self.sampled = sampled

    def forward(self, sequences: Tensor, counts: Tensor | None = None) -> BagOutput:
        """Regress sequences (N, T, columns); ``counts`` (N, M), see ``Sequences``."""
        values = torch.stack([member(sequences).values for member in self.members], dim=1)  # (N, M)
        return BagOutput(values.mean(dim=1), values, counts if self.sampled else None)


def rank_loss(features: Tensor, values: Tensor, margin: float = MARGIN) -> Tensor:
    """Sum the hinges of the rank loss over true means of the levels; hinges of absent levels are left out.

    Args:
        features: (N, D).
        values: (N,) true values; those between two of ``LEVELS`` belong to none.
        margin: m.
    """
    members = [(values > low) & (values <= high) for low, high in LEVELS]
    means = {level: features[member].mean(dim=0) for level, member in enumerate(members) if member.any()}
    total = features.sum() * 0  # a gradient even without hinges
    for near, far, times in _HINGES:
        if {*near, *far} <= means.keys():
            inner, outer = (_distance(means[one], means[other]) for one, other in (near, far))
            total = total + F.relu(inner - outer + times * margin)
    return total


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return torch.linalg.vector_norm(one - other)  # its gradient at 0 is 0


def published_rank_loss(features: Tensor, values: Tensor, margin: float = MARGIN) -> Tensor:
    """Compute the rank loss of the authors' code: divided by count + 1, absent levels at zero, no gradient.

    Args:
        features: (N, D).
        values: (N,) true values.
        margin: m.
    """
    features = features.detach()
    members = [(values > low) & (values <= high) for low, high in LEVELS]
    means = [features[member].sum(dim=0) / (member.sum() + 1) for member in members]
    hinges = []
    for near, far, times in _HINGES:
        inner, outer = (_distance(means[one], means[other]) for one, other in (near, far))
        hinges.append(F.relu(inner - outer + times * margin))
    return torch.stack(hinges).sum()


class EngagementLoss(nn.Module):
    """Mean squared error; of a bag that of its members; plus the rank loss where an output asks for it.

    Args:
        rank_weight: of the rank loss.
    """

    def __init__(self, rank_weight: float) -> None:
        super().__init__()
        self.rank_weight = rank_weight

    def forward(self, output: EngagementOutput | BagOutput, targets: Tensor) -> Tensor:
        """Compute the loss of a batch; targets (N,) are true values."""
        if isinstance(output, BagOutput):
            errors = (output.members - targets[:, None]).square()
            weighted = errors if output.counts is None else errors * output.counts
            return weighted.mean(dim=0).sum()  # each member is trained as it is alone
        loss = F.mse_loss(output.values, targets)
        if output.ranked is not None:
            return loss + self.rank_weight * rank_loss(output.ranked, targets)
        if output.ranked_apart is not None:
            return loss + self.rank_weight * published_rank_loss(output.ranked_apart, targets)
        return loss


_ARMS = {
    "rank_loss": "The headline: MSE and the rank loss, with a gradient.",
    "mse": "The control: MSE alone, as the published script trains.",
    "published_rank_loss": "MSE and the rank loss of the published code, which has no gradient.",
    "bag": "The average of networks that each learn from a bootstrap sample of the videos by MSE.",
    "average_of_five": "The control of bag: as many networks, each of which learns from all videos.",
}


def _explain(network: nn.Module, sequences: Tensor, counts: Tensor | None = None) -> dict[str, Tensor] | None:
    """Return alpha (N, K) of every segment; of several networks their mean."""
    members = network.members if isinstance(network, Bag) else [network]
    with evaluating(network), torch.no_grad():
        return {"alpha": torch.stack([member(sequences).alpha for member in members]).mean(dim=0)}


def _view(options: EngagementOptions) -> Sequences:
    return Sequences(options.members)


def _build_model(
    arm: str, options: EngagementOptions, classes: int, pretrained: bool = True
) -> SegmentNetwork | Bag:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``."""
    METHOD.check_arm(arm)
    numbers = options.columns, options.width, options.rows, options.dense
    if arm in ("bag", "average_of_five"):
        return Bag([SegmentNetwork(*numbers) for _ in range(options.members)], sampled=arm == "bag")
    return SegmentNetwork(*numbers, rank=arm if arm in ("rank_loss", "published_rank_loss") else "")


def _build_loss(options: EngagementOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss; the arm's output decides what is added to the MSE."""
    return EngagementLoss(options.rank_weight)


METHOD = Method(
    name="engagement",
    title="Bootstrap Model Ensemble and Rank Loss for Engagement Intensity Regression",
    paper="1907.03422",
    task="regression",
    inputs="sequences",
    headline="rank_loss",
    control="mse",
    arms=_ARMS,
    options=EngagementOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    official={
        "lstm_module.lstm_processing": OfficialLayout(
            repository="kaiwang960112/EmotiW_2019_engagement_regression",
            build=lambda given: SegmentNetwork(given["feature_num"], given["hidden_dim"]),
            constructor=("feature_num", "hidden_dim"),
        )
    },
    view=_view,
)
