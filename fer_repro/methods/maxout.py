"""Inspired by: Probability Guided Maxout.

Claudio Ferrari, Stefano Berretti, Alberto Del Bimbo, ICPR 2020.

Dropout hides features at random. Here training hides those on which a network already relies. The more
probable the label, q = softmax(fc(h)) at it, the fewer of the features h are kept: the share
pi = min(1 - q / 2, 1), and the most active go first. What is kept is multiplied by s / pi, with a learnt s.
The network has to find further evidence for what it knows. After training nothing is dropped.

Differences from the paper. No open copy of it is known. The formulas are those of the authors' code [C],
which could be read and run; no number of the paper could be read, so none is printed as published.

1. Data: [C] classifies CIFAR and Caltech256; here faces. Its loader of CIFAR10's test reads the training
   part, so numbers of that code would not be of a test.
2. Network: [C] has a ResNet with a 3x3 stem and no pooling, for 32 px. Here a ResNet-18 with the stems of the
   others; its own, ``CifarNetwork``, is built for the authors' checkpoints alone.
3. Recipe: [C] trains with Adam at 1e-4, whatever rate it is given, for 199 epochs in batches of 128, and
   keeps the last one. Here the recipes of the other methods, and the epoch that is best on the validation
   part.
4. Share: the paper's figure draws a curve from q to pi that bends; that of [C] is a straight line, and ours.
5. Ties: among equal features [C] leaves open which are dropped; here those of lower index are kept first.
6. Precision: q, pi and the logits of what is left are computed in float32 or better; pi D is rounded in
   float64, half to even as in [C].
7. Controls of ours: ``random_drop`` drops the same share at random, ``least_active`` that of the least
   active, and ``fixed_scale`` keeps s at 1.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError, nearest
from fer_repro.layers.cost import evaluating
from fer_repro.layers.guided_maxout import FeatureDropout, GuidedMaxout, partial_features
from fer_repro.layers.image_sets import SharedTrunk
from fer_repro.layers.pretrained import check_images, check_start, load_start
from fer_repro.layers.resnet import Stem
from fer_repro.methods.method import Method, OfficialLayout
from fer_repro.recipes import Start
from fer_repro.sections import STRICT, PositiveInt


@dataclass(frozen=True, config=STRICT)
class MaxoutOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the stem and of stage 1; features have 8 times as many
    pretraining: Start  # of the trunk: none | imagenet | the path of a run, a network or a checkpoint
    stem: Stem = "table"  # before stage 1: table | small
    start_sha256: str = ""  # of the file at that path; ``load_config`` sets it


class MaxoutOutput(NamedTuple):
    """What a network of this file returns.

    Attributes:
        logits: (N, K) of all features, as at test time.
        features: (N, D), h.
        classifier: the linear layer, fc; only the loss knows the label that decides what is dropped.
        normactive: what drops features in training; None where nothing does.
    """

    logits: Tensor
    features: Tensor
    classifier: nn.Linear
    normactive: GuidedMaxout | FeatureDropout | None


class MaxoutNetwork(SharedTrunk):
    """A ResNet-18 with a linear classifier, and what drops its features in training.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in ResNet-18.
        normactive: named as in the authors' code; None drops nothing.
        stem: before stage 1.
    """

    def __init__(
        self,
        classes: int,
        width: int,
        normactive: GuidedMaxout | FeatureDropout | None = None,
        stem: Stem = "table",
    ) -> None:
        super().__init__(width, stem=stem)
        self.normactive = normactive
        self.fc = nn.Linear(self.features, classes)

    def forward(self, images: Tensor) -> MaxoutOutput:
        """Classify images (N, 3, H, W) in [0, 1]."""
        check_images(images)
        features = self.embed_images(images)  # (N, D), h
        return MaxoutOutput(self.fc(features), features, self.fc, self.normactive)


class CifarNetwork(MaxoutNetwork):
    """The authors' network: a 3x3 stem of stride 1 without pooling, for 32 px.

    Args:
        classes: 10 in CIFAR10.
        width: 64 in the code.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__(classes, width, GuidedMaxout(), stem="small")

    def embed_images(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to features (N, D)."""
        maps = F.relu(self.bn1(self.conv1(images)))  # (N, 64, H, W)
        maps = self.layer2(self.layer1(maps))  # (N, 128, H/2, W/2)
        maps = self.layer4(self.layer3(maps))  # (N, 512, H/8, W/8)
        return maps.mean(dim=(2, 3))  # (N, D)


class MaxoutLoss(nn.Module):
    """Cross-entropy of the logits of what is left of the features.

    Args:
        label_smoothing: share of the target that is spread over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, output: MaxoutOutput, targets: Tensor) -> Tensor:
        """Compute the mean loss; targets (N,) are class indices, or shares (N, K)."""
        logits = output.logits
        if output.normactive is not None:
            given = output.normactive, output.features, output.classifier, targets
            _, logits = partial_features(*given)  # (N, K)
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)


def _explain(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Run the network in evaluation mode and keep its features and answers.

    Args:
        model: a ``MaxoutNetwork``.
        images: (N, 3, H, W) in [0, 1].

    Returns:
        ``features`` h (N, D), all of them, and ``probabilities`` (N, K).
    """
    with evaluating(model):
        output: MaxoutOutput = model(images)
        return {"features": output.features, "probabilities": output.logits.softmax(dim=1)}


def _watch(model: nn.Module) -> dict[str, float]:
    """Read s, for the history of the training, where there is one."""
    layer = getattr(model, "normactive", None)
    return {"scale": layer.scale.item()} if isinstance(layer, GuidedMaxout) else {}


_ARMS = {
    "pgm": "The headline: of the features of a face the most active are dropped, by its label's probability.",
    "dropout": "The rival: half of the features, at random, whatever the answer.",
    "none": "The control: the same network, nothing is dropped.",
    "random_drop": "A control of ours: the same share as in pgm, at random.",
    "least_active": "A control of ours: the same share as in pgm, of the least active features.",
    "fixed_scale": "A control of ours: pgm with s fixed at 1.",
}


def _normactive(arm: str) -> GuidedMaxout | FeatureDropout | None:
    if arm == "none":
        return None
    if arm == "dropout":
        return FeatureDropout()
    if arm == "random_drop":
        return GuidedMaxout("random")
    if arm == "least_active":
        return GuidedMaxout("least_active")
    return GuidedMaxout(learnt=arm == "pgm")


def _build_model(arm: str, options: MaxoutOptions, classes: int, pretrained: bool = True) -> MaxoutNetwork:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``.

    Raises:
        UserError: the arm is unknown, or the weights to start from do not fit or cannot be obtained.
    """
    METHOD.check_arm(arm)
    check_start(options.pretraining, options.width, options.stem)
    network = MaxoutNetwork(classes, options.width, _normactive(arm), options.stem)
    if pretrained:
        load_start(network, options.pretraining, options.start_sha256)
    return network


def _build_loss(options: MaxoutOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss; the arm's output has what drops features."""
    return MaxoutLoss(label_smoothing)


_PARTS = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2"}  # of a block in the authors' code, and ours


def _our_key(key: str) -> str:
    """Rename a key of the authors' network: ``conv2_x.0.residual_function.3.weight``."""
    stage, *rest = key.split(".")
    if stage == "conv1":
        return ".".join([_PARTS[rest[0]], *rest[1:]])
    if not stage.endswith("_x"):
        return key  # fc, normactive
    block, kind, part, name = rest
    inner = f"downsample.{part}" if kind == "shortcut" else _PARTS[part]
    return f"layer{int(stage[4]) - 1}.{block}.{inner}.{name}"


def _build_official(constructor: Mapping[str, Any]) -> nn.Module:
    """Build the authors' ResNet-18 of ``exp`` adaptDrop, which is probability guided maxout."""
    kind, classes = constructor.get("exp"), constructor.get("num_classes")
    if kind != "adaptDrop":
        raise UserError(f"models.resnet.resnet18: exp is {kind!r}; {nearest(str(kind), ['adaptDrop'])}")
    if not isinstance(classes, int) or classes < 1:
        raise UserError(
            f"models.resnet.resnet18: num_classes is {classes!r}: expected a whole number above 0"
        )
    return CifarNetwork(classes)


METHOD = Method(
    name="maxout",
    title="Inspired by: Probability Guided Maxout",
    paper="",
    task="expression",
    inputs="images",
    headline="pgm",
    control="none",
    arms=_ARMS,
    options=MaxoutOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    watch=_watch,
    official={
        "models.resnet.resnet18": OfficialLayout(
            "clferrari/probability-guided-maxout",
            _build_official,
            ("num_classes", "exp"),
            rename=_our_key,
        )
    },
)
