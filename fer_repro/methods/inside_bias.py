"""InsideBias: Measuring Bias in Deep Networks and Application to Face Gender Biometrics.

Ignacio Serna, Alejandro Peña, Aythami Morales, Julian Fierrez, ICPR 2020, arXiv:2004.06592.

A network that has seen few faces of a group is expected to show it inside: its layers respond less to that
group. So instead of the accuracy, which needs many labelled faces, InsideBias compares the activation lambda
of a layer between groups g, the mean over faces and filters of what a filter responds at most:

    ratio(g) = lambda(g) / max over groups of lambda

The paper trains networks on groups of unequal size and says that 15 images suffice. Here the arms see one
third of the people, by their skin tone, in 1/4 or 1/16 of the faces of each other third; all arms see equally
many faces, are tested on the same people, and the accuracy in each third says whether there is a bias.

Differences from the paper. Abstract and first page were read; it has no public code: no number of its body is
known, and what is not on that page is ours.

1. Activation: the formula above is our reading; ``fer_repro.layers.activations`` also has the mean of each
   map in place of its largest value.
2. Task: expressions of rendered faces in place of the gender of 24,000 people, and their skin tone in place
   of three ethnic groups; a ResNet-18 in place of two networks.
3. Balance: the paper's unequal data are not described on that page. Here a group is 1 in 1 + 2 r of the
   faces, for r = 4 or 16, and a class is as frequent in a group as in all.
4. Controls of ours. ``balanced`` has all thirds alike. In ``permuted_16`` the thirds are dealt out among
   people at random, so that an accuracy that is as low there is not one of skin tone.
5. Layers: which ones the paper compares could not be read; here the last maps at each size, of a ResNet-18
   those of its stem and stages. All test faces of a group are used, not 15.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.datasets.groups import THIRDS, groups_of, permuted_groups, units_of
from fer_repro.errors import UserError
from fer_repro.layers.activations import layer_strengths
from fer_repro.layers.cost import evaluating
from fer_repro.layers.image_sets import SharedTrunk
from fer_repro.layers.pretrained import check_images
from fer_repro.layers.resnet import Stem
from fer_repro.methods.method import Method
from fer_repro.sections import STRICT, PositiveInt

_MOST = 16  # r of the most unequal arms
_THIRD = {"light": THIRDS[0], "middle": THIRDS[1], "dark": THIRDS[2], "permuted": THIRDS[2]}
_ARMS = {
    "dark_16": "The control, which is biased: the darkest third is 1 in 33 of the faces.",
    "balanced": "The headline: as many faces of each third.",
    "permuted_16": "A control of ours: a third of the people, whoever they are, is 1 in 33 of the faces.",
    "dark_4": "The darkest third is 1 in 9.",
    "light_16": "The lightest third is 1 in 33.",
    "light_4": "The lightest third is 1 in 9.",
    "middle_16": "The middle third is 1 in 33.",
    "middle_4": "The middle third is 1 in 9.",
    "permuted_4": "As permuted_16, 1 in 9.",
}


@dataclass(frozen=True, config=STRICT)
class InsideBiasOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the stem and of stage 1
    column: str  # of the sample table, whose thirds are the groups; dark is the highest one
    stem: Stem = "table"  # before stage 1: table | small


class GroupNetwork(SharedTrunk):
    """A ResNet-18 with a linear classifier, logits (N, K) of images (N, 3, H, W) in [0, 1]."""

    def __init__(self, classes: int, width: int, stem: Stem) -> None:
        super().__init__(width, stem=stem)
        self.fc = nn.Linear(self.features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images."""
        check_images(images)
        logits: Tensor = self.fc(self.embed_images(images))
        return logits


def learnt_rows(arm: str, model: Mapping[str, Any], samples: pd.DataFrame, seed: int) -> np.ndarray:
    """Choose the training faces of an arm; see ``fer_repro.methods.method.Method``.

    Every arm has as many faces as the most unequal one can have.

    Args:
        arm: of this method.
        model: section of the recipe; ``column``.
        samples: the sample table.
        seed: draws the faces, and who is permuted.

    Raises:
        UserError: the column is missing or has no thirds, or one has no faces.
    """
    groups = groups_of(samples, str(model["column"]))
    if set(groups) - {""} != set(THIRDS):
        found = ", ".join(sorted(set(groups)))
        raise UserError(
            f"column '{model['column']}' has the groups {found}: expected numbers, to be cut into thirds"
        )
    train = samples["split"].eq("train").to_numpy() & (groups != "")
    sizes = {name: int((train & (groups == name)).sum()) for name in THIRDS}
    if not all(sizes.values()):
        raise UserError(f"column '{model['column']}': faces of each third to learn from are {sizes}")
    name, _, ratio = arm.partition("_")
    share = int(ratio or 1)
    if name == "permuted":
        dealt = permuted_groups(
            groups[train], units_of(samples[train], groups[train]), np.random.default_rng(seed)
        )
        groups = groups.copy()
        groups[train] = dealt
    faces = min(sizes.values()) * (2 * _MOST + 1) / _MOST
    order = hashes(seed, Stream.SUBSET, 1, np.arange(len(samples)))
    chosen = np.zeros(len(samples), bool)
    for group in THIRDS:
        few = share > 1 and group == _THIRD[name]
        wanted = max(1, round(faces * (1 if few else share) / (2 * share + 1)))
        rows = np.flatnonzero(train & (groups == group))
        chosen[_one_of_each(rows, samples["label"].to_numpy()[rows], order[rows])[:wanted]] = True
    return chosen


def _one_of_each(rows: np.ndarray, labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Sort rows so that any beginning of them has as many of each label as it can, drawn by ``order``."""
    by_label = pd.Series(order).groupby(labels).rank(method="first").to_numpy()
    return np.asarray(rows[np.lexsort((order, by_label))])


def tested_groups(model: Mapping[str, Any], samples: pd.DataFrame) -> dict[str, np.ndarray]:
    """Choose the test faces of the lightest and of the darkest third: name -> (N,) bool."""
    groups, test = groups_of(samples, str(model["column"])), samples["split"].eq("test").to_numpy()
    return {name: test & (groups == _THIRD[name]) for name in ("light", "dark")}


def _build_model(arm: str, options: InsideBiasOptions, classes: int, pretrained: bool = True) -> GroupNetwork:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``."""
    METHOD.check_arm(arm)
    return GroupNetwork(classes, options.width, options.stem)


def _build_loss(options: InsideBiasOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss; arms differ in their data alone."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


def _explain(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Give the probabilities (N, K), and the activation of each layer (N,) for each image."""
    with evaluating(model):
        return {**layer_strengths(model, images), "probabilities": F.softmax(model(images), dim=1)}


METHOD = Method(
    name="inside_bias",
    title="InsideBias: Measuring Bias in Deep Networks and Application to Face Gender Biometrics",
    paper="2004.06592",
    task="expression",
    inputs="images",
    headline="balanced",
    control="dark_16",
    arms=_ARMS,
    options=InsideBiasOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    learnt=learnt_rows,
    subsets=tested_groups,
)
