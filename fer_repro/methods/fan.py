"""Frame Attention Networks for Facial Expression Recognition in Videos.

Debin Meng, Xiaojiang Peng, Kai Wang, Yu Qiao, ICIP 2019, arXiv:1907.00193.

One ResNet-18 embeds every frame of a clip as f_i. Self-attention gives each frame a weight alpha_i, and their
weighted mean is the clip's anchor v (Eq. 1, 2); relation attention compares each frame with the anchor,
beta_i from [f_i ; v] (Eq. 3). The clip is classified from the mean of [f_i ; v] weighted by alpha_i beta_i
(Eq. 4). Weights are sigmoids divided by their sum; no softmax is taken over frames.

Differences from the paper. [C] is the authors' code, its branch master.

1. Evaluation: [C] trains with Eq. 4 and evaluates relation attention with another formula: the numerator is
   weighted by alpha only, the denominator by alpha beta. The feature is then s [v ; v] with one scalar s > 1
   per clip: beta no longer chooses frames. Here Eq. 4 serves both; the arm ``self_relation_reference`` (or
   the attribute ``reference_evaluation``) evaluates as [C] does. This is the one place where we do not follow
   the code behind the published number, because what was trained would not be what is tested.
2. Dropout: the paper names none. As in [C]: 0.5 before alpha, beta and the classifier of self-attention, 0.6
   before that of relation attention; the anchor is made of features without dropout.
3. Eq. 4's numerator is printed with the sum from i = 0: read as 1.
4. [C] trains on exactly three frames; here any number, also padded clips with a mask.
5. Score fusion (Sec. 3.3): [C] trains a ResNet-18 on single frames and sums the softmax outputs of a clip's
   frames. Here it sees the frames of the same groups as the other arms, each with the clip's label, and the
   logits of a clip are the logarithm of the mean softmax output: same winner, and their softmax is that mean.
6. ``feature_average`` is ours: self-attention's network with equal weights.
7. Class count and width are arguments here (7 and 64 in [C]).
8. [C] builds all four heads in each variant; here an arm builds those it uses. Only the import of an official
   checkpoint builds the others, and they do not require gradients: ``beta.0.*`` and ``pred_fc2.*`` under
   self-attention, ``pred_fc1.*`` under relation attention.
9. Pretraining: the paper's trunk was trained on MS-Celeb-1M and FERPlus; the option ``pretraining`` names
   what is used instead, and ``fer_repro.layers.pretrained`` reads the authors' file where the user has it.
10. Input in [0, 1] without mean and deviation, as in [C]; the paper names none. The sampling of training
    frames differs between paper and code too: ``fer_repro.loading.frames``.
11. The arms ``frame_graph...`` and ``frame_lstm`` are not of this paper: they aggregate the same features in
    ways that are inspired by arXiv:2010.13386, see ``fer_repro.layers.frame_graph``.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError, nearest
from fer_repro.layers.cost import evaluating
from fer_repro.layers.frame_graph import Adjacency, FrameGraphClassifier
from fer_repro.layers.image_sets import SharedTrunk, check_mask, images_second, weighted_mean
from fer_repro.layers.pretrained import check_start, load_start
from fer_repro.layers.resnet import Stem
from fer_repro.loading.views import Frames
from fer_repro.methods.method import Method, OfficialLayout
from fer_repro.recipes import Start
from fer_repro.sections import STRICT, PositiveInt

Attention = Literal["self_relation", "self", "none"]


@dataclass(frozen=True, config=STRICT)
class FANOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the stem and of stage 1; features have 8 times as many
    frames: PositiveInt  # K, frames per training group
    sampling: Literal["paper", "afew", "ckplus"]  # of training groups, see fer_repro.loading.frames
    pretraining: Start  # of the trunk: none | imagenet | the path of a run, a network or a checkpoint
    stem: Stem = "table"  # before stage 1: table | small
    start_sha256: str = ""  # of the file at that path; ``load_config`` sets it


class FANOutput(NamedTuple):
    """What a network of this file returns.

    Attributes:
        logits: (N, K) of the clips.
        alpha: (N, T) self-attention, in arms of a frame graph the weights by intensity; 0 at padding; None in
            arms without.
        beta: (N, T) relation attention, 0 at padding; None in arms without.
        frame_logits: (N, T, K) of the single frames, in score fusion only.
        mask: (N, T) bool, true where frames are; in score fusion only.
    """

    logits: Tensor
    alpha: Tensor | None = None
    beta: Tensor | None = None
    frame_logits: Tensor | None = None
    mask: Tensor | None = None


class FrameAttentionNetwork(SharedTrunk):
    """The network of Fig. 1: feature embedding and frame attention.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in ResNet-18 (Sec. 3.2).
        attention: self and relation attention, self-attention alone, or equal weights.
        reference_evaluation: evaluate relation attention by the authors' formula (difference 1).
        unused_heads: build the heads that the variant does not use, frozen, as the authors' checkpoints have
            them.
        stem: before stage 1.
    """

    alpha: nn.Module  # Linear, Sigmoid
    beta: nn.Module
    pred_fc1: nn.Module  # the classifier without relation attention
    pred_fc2: nn.Module  # the classifier with it

    def __init__(
        self,
        classes: int,
        width: int = 64,
        attention: Attention = "self_relation",
        reference_evaluation: bool = False,
        unused_heads: bool = False,
        stem: Stem = "table",
    ) -> None:
        super().__init__(width, stem=stem)
        self.attention = attention
        self.reference_evaluation = reference_evaluation
        used = {"self_relation": ("alpha", "beta", "pred_fc2"), "self": ("alpha", "pred_fc1")}
        own = used.get(attention, ("pred_fc1",))
        for name in ("alpha", "beta", "pred_fc1", "pred_fc2"):
            if name in own or unused_heads:
                self.add_module(name, self._head(name, classes).requires_grad_(name in own))

    def _head(self, name: str, classes: int) -> nn.Module:
        joined = 2 * self.features if name in ("beta", "pred_fc2") else self.features
        if name in ("alpha", "beta"):
            return nn.Sequential(nn.Linear(joined, 1), nn.Sigmoid())
        return nn.Linear(joined, classes)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> FANOutput:
        """Classify clips.

        Args:
            frames: (N, T, 3, H, W) in [0, 1], any T; the authors' layout (N, 3, H, W, T) is taken too.
            mask: (N, T) bool, false at padding; a clip's result does not depend on its padding.

        Raises:
            UserError: frames or mask have another shape, or a clip has no frame.
        """
        frames, mask, shown = _checked(frames, mask)
        features = self.embed(frames, mask)  # (N, T, D), f_i
        alpha = self.self_attention(features) * shown  # (N, T, 1), Eq. 1
        anchor = weighted_mean(features, alpha)  # (N, D), v, Eq. 2
        if self.attention == "none":
            return FANOutput(self.pred_fc1(self._dropout(anchor, 0.5)))
        if self.attention == "self":
            return FANOutput(self.pred_fc1(self._dropout(anchor, 0.5)), alpha.squeeze(2))
        joined = torch.cat(
            [features, anchor.unsqueeze(1).expand_as(features)], dim=2
        )  # (N, T, 2D), [f_i ; v]
        beta = self.beta(self._dropout(joined, 0.5)) * shown  # (N, T, 1), Eq. 3
        clip = self.clip_feature(joined, alpha, beta)  # (N, 2D), Eq. 4
        return FANOutput(self.pred_fc2(self._dropout(clip, 0.6)), alpha.squeeze(2), beta.squeeze(2))

    def self_attention(self, features: Tensor) -> Tensor:
        """Weigh each frame by itself: (N, T, D) to (N, T, 1) in (0, 1); all 1 in an arm without attention."""
        if self.attention == "none":
            return torch.ones_like(features[..., :1])
        return self.alpha(self._dropout(features, 0.5))

    def clip_feature(self, joined: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """Average [f_i ; v] (N, T, 2D) with alpha beta (N, T, 1) to (N, 2D), or as the authors evaluate."""
        if self.reference_evaluation and not self.training:
            return (alpha * joined).sum(dim=1) / (alpha * beta).sum(dim=1)
        return weighted_mean(joined, alpha * beta)

    def _dropout(self, values: Tensor, probability: float) -> Tensor:
        return F.dropout(values, probability, self.training)


class ScoreFusion(SharedTrunk):
    """The baseline of Sec. 3.3: every frame is classified on its own, softmax outputs are summed.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in ResNet-18.
        stem: before stage 1.
    """

    def __init__(self, classes: int, width: int = 64, stem: Stem = "table") -> None:
        super().__init__(width, stem=stem)
        self.fc = nn.Linear(self.features, classes)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> FANOutput:
        """Classify clips; arguments as in ``FrameAttentionNetwork.forward``."""
        frames, mask, shown = _checked(frames, mask)
        frame_logits = self.fc(self.embed(frames, mask))  # (N, T, K)
        scores = frame_logits.log_softmax(dim=2).masked_fill(shown == 0, -torch.inf)  # (N, T, K)
        logits = scores.logsumexp(dim=1) - shown.sum(dim=1).log()  # (N, K), log of the mean softmax output
        return FANOutput(logits, frame_logits=frame_logits, mask=shown.squeeze(2) > 0)


class FrameGraphNetwork(SharedTrunk):
    """FAN's trunk with another aggregator, inspired by arXiv:2010.13386: graph, LSTM, intensity weights.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in ResNet-18. Graph and LSTM keep the length of its features (ours).
        adjacency: what frames share; None is the LSTM alone.
        stem: before stage 1.
    """

    def __init__(
        self, classes: int, width: int = 64, adjacency: Adjacency | None = "relu_cosine", stem: Stem = "table"
    ) -> None:
        super().__init__(width, stem=stem)
        self.aggregator = FrameGraphClassifier(
            self.features, self.features, self.features, classes, adjacency
        )

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> FANOutput:
        """Classify clips of frames in their order; arguments as in ``FrameAttentionNetwork.forward``."""
        frames, mask, _ = _checked(frames, mask)
        features = self.embed(frames, mask)  # (N, T, D), the nodes
        logits, weights = self.aggregator(features, mask)  # (N, K), (N, T, 1)
        return FANOutput(logits, weights.squeeze(2))


def _checked(frames: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return frames in our layout, the mask, and 1 where frames are, (N, T, 1)."""
    frames = images_second(frames, "frames")
    if mask is None:
        return frames, None, frames.new_ones(*frames.shape[:2], 1)
    check_mask(mask, frames, "frames")
    return frames, mask, mask.unsqueeze(2).to(frames.dtype)


class FANLoss(nn.Module):
    """Cross-entropy of the clips; in score fusion of every single frame.

    Args:
        label_smoothing: share of the target that is spread over all classes; 0 in the paper.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, output: FANOutput | Tensor, targets: Tensor) -> Tensor:
        """Compute the mean loss.

        Args:
            output: of the network, or logits (N, K) alone.
            targets: (N,).
        """
        if isinstance(output, Tensor):
            return F.cross_entropy(output, targets, label_smoothing=self.label_smoothing)
        logits = output.logits
        if output.frame_logits is not None and output.mask is not None:
            logits = output.frame_logits[output.mask]  # (M, K)
            targets = targets.unsqueeze(1).expand_as(output.mask)[output.mask]  # (M,)
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)


def _explain(model: nn.Module, frames: Tensor, mask: Tensor | None = None) -> dict[str, Tensor] | None:
    """Run the network in evaluation mode and keep the weights of the frames (Fig. 2).

    Args:
        model: a network of this file, or a module that wraps one.
        frames: (N, T, 3, H, W) in [0, 1].
        mask: (N, T) bool, false at padding.

    Returns:
        ``alpha``, with relation attention ``beta``, and ``weights``, the share of each frame in the mean:
        alpha or alpha beta, divided by its sum over the clip. All (N, T), 0 at padding. None for arms that
        weigh no frames.
    """
    with evaluating(model):
        output = model(frames, mask)
    if output.alpha is None:
        return None
    weights = output.alpha if output.beta is None else output.alpha * output.beta
    shares = weights / weights.sum(dim=1, keepdim=True)
    tensors = {"alpha": output.alpha, "beta": output.beta, "weights": shares}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


_ARMS = {
    "self_relation": "The headline: self-attention and relation attention, Eq. 4 in training and evaluation.",
    "self_attention": "Self-attention alone, without relation attention.",
    "score_fusion": "The control: frames classified on their own, softmax outputs summed.",
    "feature_average": "Frame features averaged with equal weights (ours).",
    "self_relation_reference": "The headline, evaluated with the formula of the authors' evaluation code.",
    "frame_graph": "Inspired by arXiv:2010.13386: frames share features over a graph, an LSTM reads them.",
    "frame_graph_identity": "The control of frame_graph: the same parameters, but nothing is shared (A = I).",
    "frame_graph_softmax": "As frame_graph, with a softmax of the cosines as the graph's weights.",
    "frame_lstm": "As frame_graph, without the graph: the LSTM reads the features of frames.",
}
_ADJACENCIES: dict[str, Adjacency | None] = {
    "frame_graph": "relu_cosine",
    "frame_graph_identity": "identity",
    "frame_graph_softmax": "softmax",
    "frame_lstm": None,
}


def _build_model(arm: str, options: FANOptions, classes: int, pretrained: bool = True) -> nn.Module:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``.

    Raises:
        UserError: the arm is unknown, or the weights to start from do not fit or cannot be obtained.
    """
    METHOD.check_arm(arm)
    check_start(options.pretraining, options.width, options.stem)
    network: SharedTrunk
    if arm == "score_fusion":
        network = ScoreFusion(classes, options.width, options.stem)
    elif arm in _ADJACENCIES:
        network = FrameGraphNetwork(classes, options.width, _ADJACENCIES[arm], options.stem)
    else:
        attentions: dict[str, Attention] = {"self_attention": "self", "feature_average": "none"}
        attention = attentions.get(arm, "self_relation")
        network = FrameAttentionNetwork(
            classes,
            options.width,
            attention,
            reference_evaluation=arm == "self_relation_reference",
            stem=options.stem,
        )
    if pretrained:
        load_start(network, options.pretraining, options.start_sha256)
    return network


def _build_loss(options: FANOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the unweighted cross-entropy of the paper."""
    return FANLoss(label_smoothing)


_VARIANTS: dict[str, Attention] = {"self-attention": "self", "self_relation-attention": "self_relation"}


def _build_official(constructor: Mapping[str, Any]) -> nn.Module:
    """Build the authors' variant ``at_type``; their class argument is without effect: 7."""
    variant = constructor.get("at_type")
    if variant not in _VARIANTS:
        raise UserError(
            f"basic_code/networks.py resnet18_at: at_type is {variant!r}; {nearest(str(variant), _VARIANTS)}"
        )
    return FrameAttentionNetwork(7, attention=_VARIANTS[variant], unused_heads=True)


def _recognise(state: Mapping[str, Tensor]) -> str:
    return "basic_code/networks.py resnet18_at" if "pred_fc2.weight" in state else ""


METHOD = Method(
    name="fan",
    title="Frame Attention Networks for Facial Expression Recognition in Videos",
    paper="1907.00193",
    task="expression",
    inputs="frames",
    headline="self_relation",
    control="score_fusion",
    arms=_ARMS,
    options=FANOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    view=lambda options: Frames(options.sampling, options.frames),
    official={
        "basic_code/networks.py resnet18_at": OfficialLayout(
            "Open-Debin/Emotion-FAN",
            _build_official,
            ("at_type", "num_classes"),
            rename=lambda key: key.removeprefix("module."),  # their checkpoints carry the prefix
            classes=("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise"),  # AFEW's
        ),
    },
    recognise=_recognise,
    crop="padded",  # its alignment: dlib's landmark square, a quarter of its side more on each side
)
