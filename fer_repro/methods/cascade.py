"""Inspired by: Unconstrained Facial Expression Recogniton Based on Cascade Decision and Gabor Filters.

Wu, Zhang, Chen and Navarrete Michelini, ICPR 2020; no arXiv identifier. The title is as printed.

Expressions that are recognised well are decided first, so that they no longer disturb the others. Four
networks in series ask one question each: happy or not, surprise or not, neutral or not, sad or not; a fifth
one tells apart what is left. Gabor filters in every network are to help against light and pose.

With p_s, the answer of stage s, and q, the probabilities of the last block,

    hard:  the first stage with p_s >= tau decides, else the largest of q
    soft:  P(c_s) = p_s product_{r < s} (1 - p_r),    P(c) = q_c product_s (1 - p_s)

and the soft probabilities sum to 1. -log P(c) is the sum of the binary cross-entropies of the stages that a
face of class c reaches, and of the last block's where it gets there. So cross-entropy of the soft cascade
trains each of the five networks by its own loss, on the faces that reach it, and all of them in one run.

Differences from the paper. Only its abstract could be read.

1. Order and number of the stages, and that each has Gabor filters, are the abstract's. Networks, filters and
   their place, thresholds, the faces of each stage, and the test-time augmentation are not known; all of
   these are ours, and so are the soft decision and every control.
2. Networks: a 7x7 convolution, pooling, and four 3x3 convolutions, all normalised. Each stage has its own.
3. Batch normalisation sees all faces of a batch, also those that do not reach a stage; the loss does not.
4. Filters: 7x7, four directions, even and odd, in place of the first convolution, without a mean, the same in
   all stages. ``cascade_gabor`` keeps them fixed, ``gabor_initial`` learns on from them, ``gabor_modulated``
   multiplies learnt weights by them; ``random_filters`` has fixed random ones of the same norm.
5. Controls: ``flat`` is one such network for all classes. ``flat_five`` averages the probabilities of five,
   since the cascade is five networks: what it gains over one could be the gain of any five.
6. Other data: classes are found by their names. A stage whose class the data do not have is left out, and the
   last block keeps two classes at least.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError, nearest
from fer_repro.layers.cost import evaluating
from fer_repro.layers.gabor import FilterLayer, Use, gabor_bank, random_bank
from fer_repro.layers.pretrained import check_images
from fer_repro.layers.resnet import initialise_kaiming
from fer_repro.methods.method import Method
from fer_repro.sections import STRICT, PositiveInt

NETWORKS = 5  # of the paper's cascade: four stages and the last block
CONVOLUTIONS = 4  # 3x3, of a network
_NAMES = {  # of a stage's class in the data sets
    "happy": ("happy", "happiness"),
    "surprise": ("surprise",),
    "neutral": ("neutral",),
    "sad": ("sad", "sadness"),
}


@dataclass(frozen=True, config=STRICT)
class CascadeOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # filters of the first layer; the last convolution has 8 times as many
    order: str  # what is decided one after the other; the rest is the last block
    classes: tuple[str, ...] = ()  # of the data, in label order; ``for_classes`` sets them


class CascadeOutput(NamedTuple):
    """What a cascade returns.

    Attributes:
        logits: (N, K) logarithms of the soft cascade's probabilities.
        scores: (N, S) before the sigmoid of each stage, in the order of the stages.
        rest: (N, K - S) before the softmax of the last block, in label order.
    """

    logits: Tensor
    scores: Tensor
    rest: Tensor


class AverageOutput(NamedTuple):
    """What several flat networks return.

    Attributes:
        logits: (N, K) logarithms of the mean of their probabilities.
        members: (N, M, K), each network's own logits.
    """

    logits: Tensor
    members: Tensor


class StageNetwork(nn.Module):
    """A small network: a bank of filters, pooling, four convolutions, mean over places, a linear layer.

    Args:
        outputs: of the linear layer.
        width: W, filters of the bank.
        use: of given filters in the bank.
        filters: (W, 7, 7), or None.
    """

    def __init__(self, outputs: int, width: int, use: Use = "learnt", filters: Tensor | None = None) -> None:
        super().__init__()
        self.bank = FilterLayer(width, use, filters)
        self.bn = nn.BatchNorm2d(width)
        layers: list[nn.Module] = []
        channels = width
        for n in range(CONVOLUTIONS):
            wider = width * 2**n
            layers.append(nn.Conv2d(channels, wider, 3, stride=1 + (n > 0), padding=1, bias=False))
            layers += [nn.BatchNorm2d(wider), nn.ReLU()]
            channels = wider
        self.convolutions = nn.Sequential(*layers)
        initialise_kaiming(self)
        self.fc = nn.Linear(channels, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [0, 1] to (N, outputs)."""
        check_images(images)
        maps = F.relu(self.bn(self.bank(images)))  # (N, W, H/2, W/2)
        maps = F.max_pool2d(maps, 3, stride=2, padding=1)  # (N, W, H/4, W/4)
        maps = self.convolutions(maps)  # (N, 8 W, H/32, W/32)
        outputs: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return outputs


def soft_logarithms(scores: Tensor, rest: Tensor, decided: Sequence[int]) -> Tensor:
    """Compute log P of the soft cascade.

    Args:
        scores: (N, S) before the sigmoid, in the order of the stages.
        rest: (N, K - S) before the softmax, in label order.
        decided: the class of each stage; all others are the last block's.

    Returns:
        (N, K), whose exponentials sum to 1.
    """
    passed = F.logsigmoid(-scores).cumsum(dim=1)  # (N, S), log of what is left after each stage
    reached = F.pad(passed[:, :-1], (1, 0))  # before it; all of it before the first
    taken = reached + F.logsigmoid(scores)
    left = passed[:, -1:] + rest.log_softmax(dim=1)  # (N, K - S)
    classes = scores.shape[1] + rest.shape[1]
    columns = [*decided, *(c for c in range(classes) if c not in decided)]
    return torch.cat([taken, left], dim=1)[:, [columns.index(c) for c in range(classes)]]


class Cascade(nn.Module):
    """Stages in series, and a last block for the classes that no stage decides.

    Args:
        decided: the class of each stage, S of them.
        stages: networks of one output each.
        last: network of the other classes.
    """

    def __init__(self, decided: Sequence[int], stages: Sequence[StageNetwork], last: StageNetwork) -> None:
        super().__init__()
        self.decided = tuple(decided)
        self.stages = nn.ModuleList(stages)
        self.last = last

    def forward(self, images: Tensor) -> CascadeOutput:
        """Classify images (N, 3, H, W) in [0, 1]."""
        scores = torch.cat([stage(images) for stage in self.stages], dim=1)  # (N, S)
        rest = self.last(images)  # (N, K - S)
        return CascadeOutput(soft_logarithms(scores, rest, self.decided), scores, rest)


class FlatAverage(nn.Module):
    """Several flat networks whose probabilities are averaged.

    Args:
        networks: each for all classes.
    """

    def __init__(self, networks: Sequence[StageNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> AverageOutput:
        """Classify images (N, 3, H, W) in [0, 1]."""
        members = torch.stack([member(images) for member in self.members], dim=1)  # (N, M, K)
        mean = members.log_softmax(dim=2).logsumexp(dim=1) - math.log(len(self.members))  # (N, K)
        return AverageOutput(mean, members)


class CascadeLoss(nn.Module):
    """Cross-entropy; of averaged networks the sum of their own, so that each is trained as it is alone.

    Args:
        label_smoothing: share of the target that is spread over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, output: Tensor | CascadeOutput | AverageOutput, targets: Tensor) -> Tensor:
        """Compute the loss; targets (N,) are class indices, or shares (N, K)."""
        if isinstance(output, AverageOutput):
            return torch.stack([self._one(logits, targets) for logits in output.members.unbind(1)]).sum()
        return self._one(output if isinstance(output, Tensor) else output.logits, targets)

    def _one(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)


def decided_classes(order: str, classes: Sequence[str]) -> tuple[int, ...]:
    """Find the class of each stage by its name; stages without a class in the data are left out.

    Args:
        order: words of ``_NAMES``.
        classes: of the data, in label order.

    Returns:
        Class indices in the order of the stages; two classes at least are left for the last block.

    Raises:
        UserError: a word is unknown or twice there, or the data have none of these classes.
    """
    words = order.split()
    for word in words:
        if word not in _NAMES:
            raise UserError(f"model.order: there is no stage '{word}'; {nearest(word, _NAMES)}")
        if words.count(word) > 1:
            raise UserError(f"model.order: '{word}' is there twice: expected each stage once")
    lower = [name.lower() for name in classes]
    found = [lower.index(name) for word in words for name in _NAMES[word] if name in lower]
    found = found[: max(0, len(classes) - 2)]
    if not found:
        raise UserError(
            f"model.order is '{order}': a cascade decides one of these first, but the {len(classes)} classes "
            f"are {', '.join(classes) or 'without names'}; expected one such class and two more"
        )
    return tuple(found)


_CASCADES: dict[str, tuple[Use, str]] = {
    "cascade": ("learnt", "The headline: four binary stages in the paper's order, and a last block."),
    "cascade_gabor": ("fixed", "The cascade, each network behind a fixed bank of Gabor filters."),
    "gabor_initial": ("initial", "The cascade, its first layers begin as Gabor filters and learn on."),
    "gabor_modulated": ("factor", "The cascade, the weights of its first layers times Gabor filters."),
    "random_filters": ("fixed", "A control: fixed random filters in place of the Gabor filters."),
}
_ARMS = {arm: sentence for arm, (_, sentence) in _CASCADES.items()} | {
    "flat": "The control: one network for all classes.",
    "flat_five": "The control at equal compute: five flat networks, averaged.",
}


def _build_model(arm: str, options: CascadeOptions, classes: int, pretrained: bool = True) -> nn.Module:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``.

    Raises:
        UserError: the arm is unknown, the names of the classes do not fit, or there is no Gabor bank of this
            width.
    """
    METHOD.check_arm(arm)
    if arm == "flat":
        return StageNetwork(classes, options.width)
    if arm == "flat_five":
        return FlatAverage([StageNetwork(classes, options.width) for _ in range(NETWORKS)])
    if len(options.classes) != classes:
        raise UserError(
            f"arm '{arm}' is given the names of {len(options.classes)} classes: expected {classes}, in label "
            "order"
        )
    decided, use = decided_classes(options.order, options.classes), _CASCADES[arm][0]
    filters = None
    if use != "learnt":
        filters = (random_bank if arm == "random_filters" else gabor_bank)(options.width)
    stages = [StageNetwork(1, options.width, use, filters) for _ in decided]
    return Cascade(decided, stages, StageNetwork(classes - len(decided), options.width, use, filters))


def _build_loss(options: CascadeOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss; the arm's output decides whether there are several."""
    return CascadeLoss(label_smoothing)


def _for_classes(options: CascadeOptions, classes: Sequence[str]) -> CascadeOptions:
    """Give the options the names of the data's classes."""
    return replace(options, classes=tuple(classes))


def _explain(model: nn.Module, images: Tensor) -> dict[str, Tensor] | None:
    """Run a cascade in evaluation mode and keep what its networks answer.

    Args:
        model: of any arm.
        images: (N, 3, H, W) in [0, 1].

    Returns:
        ``stages`` p (N, S) and ``rest`` q (N, K - S); None for flat networks.
    """
    if not isinstance(model, Cascade):
        return None
    with evaluating(model):
        output: CascadeOutput = model(images)
        return {"stages": output.scores.sigmoid(), "rest": output.rest.softmax(dim=1)}


METHOD = Method(
    name="cascade",
    title="Inspired by: Unconstrained Facial Expression Recogniton Based on Cascade Decision and Gabor "
    "Filters",
    paper="",  # no arXiv identifier
    task="expression",
    inputs="images",
    headline="cascade",
    control="flat",
    arms=_ARMS,
    options=CascadeOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    for_classes=_for_classes,
)
