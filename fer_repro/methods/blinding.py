"""Learning Emotional-Blinded Face Representations.

Alejandro Peña, Julian Fierrez, Agata Lapedriza, Aythami Morales, ICPR 2020, arXiv:2009.08704. Code of what
its second method adapts, "Learning not to learn" (arXiv:1812.10352): [L], feidfoe/learning-not-to-learn.

An embedding x that is there to tell people apart also shows their expression, which nobody asked for. The
paper takes it out in two ways and asks whether people are still told apart. Here these ways are:

- null space: probes W read the expression, logits W x; x is projected to where they read nothing,
  x (I - W+ W), W+ the pseudo-inverse. New probes are fitted to what is left, for some rounds.
- reversal: an adversary h reads the expression while the network learns people. Its gradient reaches the
  network multiplied by -alpha, and the network is also to leave h undecided, by the sum of p log p of h's p.

Whether an embedding is blind is asked of probes that are fitted afterwards to the faces of the training
people and read those of others: one is linear, as what the null space removes, and one is not.

Differences from the paper. Its full text was not available and it has no public code: no number of it is
known, and what is not in its abstract is ours and says so.

1. Its methods adapt SensitiveNets and "Learning not to learn"; that the second is as here is not verified,
   and the first is replaced by the null space, which needs no training (Ravfogel et al., arXiv:2004.07667).
2. Trunk: a ResNet-18 with AdaCos' head, for people. Trained for people alone it is nearly blind already,
   since everybody shows every expression: so the arm ``untouched``, from which all others start, learns
   expressions as well. That makes it the embedding there is something to take out of.
3. Controls of ours. ``random_subspace`` removes as many random directions as ``null_space``;
   ``people_only`` is trained further as ``reversal``, without adversary.
4. [L] updates twice for each batch, the network and then the adversary; here one update does both, as the
   gradient of the sum is the sum. Its adversary reads maps; ours is a small network that reads embeddings.
5. Expressions, not the paper's further labels: gender, ethnicity and attractiveness are not in the data.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.adacos_head import AdaCosHead
from fer_repro.layers.embedding import make_trunk
from fer_repro.layers.resnet import Stem
from fer_repro.layers.solved import Solved
from fer_repro.loading.batches import Batch
from fer_repro.measures.probes import linear_rows
from fer_repro.methods.method import Continuation, Method, Outputs, Solver
from fer_repro.sections import STRICT, NonNegative, PositiveInt

Array = NDArray[np.float64]
_AT_ONCE = 64  # images embedded together, whatever the batches: sums in another order have other last digits
_NOTHING = 1e-9
_ARMS = {
    "null_space": "The headline: what five rounds of linear probes read is removed.",
    "random_subspace": "The control: as many random directions are removed.",
    "reversal": "Trained further, against an adversary that reads expressions.",
    "people_only": "The control of reversal: trained further for people alone.",
    "untouched": "The embedding that all others start from; it learnt people and expressions.",
    "null_space_1": "As null_space, one round.",
    "null_space_3": "As null_space, three rounds.",
    "random_subspace_1": "As random_subspace, for one round.",
    "random_subspace_3": "As random_subspace, for three rounds.",
    "reversal_shuffled": "A control of ours: reversal, the adversary learns the expressions of other faces.",
}
_SOURCE = "untouched"


@dataclass(frozen=True, config=STRICT)
class BlindingOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the trunk's stem and first stage
    dimensions: PositiveInt  # D, of an embedding
    expressions: PositiveInt  # K, to be hidden
    expression_weight: NonNegative  # of the expressions' cross-entropy in ``untouched``
    rounds: PositiveInt  # of probes in null_space and random_subspace; others name theirs
    reversal: NonNegative  # alpha
    entropy_weight: NonNegative  # of the sum of p log p
    adversary: PositiveInt  # width of its hidden layer
    stem: Stem = "table"  # before stage 1: table | small


class BlindedOutput(NamedTuple):
    """What a network of this file returns.

    Attributes:
        logits: (N, P) of the training people, without margins.
        embeddings: (N, D), not normalised.
        head: of the people; it knows its loss.
        expressions: (N, K) logits of what reads expressions, whose gradient the network follows, or for an
            adversary its reverse; None where nothing reads them.
        entropies: (N, K) the same logits of an adversary, whose gradient is not reversed; else None.
    """

    logits: Tensor
    embeddings: Tensor
    head: AdaCosHead
    expressions: Tensor | None = None
    entropies: Tensor | None = None

    def hits(self, targets: Tensor) -> Tensor:
        """Return which people are recognised, (N,) bool; a target is person + people x expression."""
        return self.logits.detach().argmax(1) == targets % self.logits.shape[1]


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a negative number."""

    @staticmethod
    def forward(context: Any, features: Tensor, factor: float) -> Tensor:  # noqa: ANN401
        """Return the features, of any shape, and note the factor."""
        context.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        """Return the only gradient times -factor, and none for the factor."""
        return -context.factor * gradients[0], None


def reverse_gradient(features: Tensor, factor: float) -> Tensor:
    """Return features of any shape unchanged; their gradient is multiplied by -factor."""
    reversed_: Tensor = _Reversed.apply(features, factor)
    return reversed_


def negative_entropy(logits: Tensor) -> Tensor:
    """Return the mean over samples (and positions) of the sum of p log p; logits (N, K) or (N, K, H, W).

    It is smallest, -log K, where all classes are equally probable.
    """
    return (logits.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()


def null_projection(rows: Array) -> Array:
    """Compute I - W+ W for rows W (R, D): a (D, D) matrix; x times it has no part along any row."""
    basis = row_basis(rows)
    return np.asarray(np.eye(rows.shape[1]) - basis.T @ basis)


def row_basis(rows: Array) -> Array:
    """Return orthonormal directions (rank, D) that span rows (R, D); W+ W is their sum of squares.

    The rows of a softmax sum to 0 but for rounding: what is 1e-9 of the largest singular value is none.
    """
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(directions[sizes > _NOTHING * sizes.max(initial=0.0)])


def probed_rows(embeddings: Array, labels: NDArray[np.int64], rounds: int) -> Array:
    """Fit linear probes, remove what they read, and again: all their rows, (rounds K, D).

    Args:
        embeddings: (N, D).
        labels: (N,) class indices, two classes or more.
        rounds: how often.
    """
    centred = embeddings - embeddings.mean(axis=0)
    size = float(np.sqrt(np.square(centred).mean())) or 1.0
    found = np.zeros((0, embeddings.shape[1]))
    for _ in range(rounds):
        left = null_projection(found) if len(found) else np.eye(embeddings.shape[1])
        rows = linear_rows(centred @ left / size, labels) @ left
        found = np.concatenate([found, rows])
    return found


class Removal(Solved):
    """Projects embeddings (N, D) to what is left of them, by a symmetric ``projection`` (D, D) float32."""

    def __init__(self) -> None:
        super().__init__("projection")

    def forward(self, embeddings: Tensor) -> Tensor:
        """Project embeddings.

        Raises:
            UserError: there is no projection yet.
        """
        if not self.is_solved:
            raise UserError("nothing has been removed yet: train the arm, or load the weights of a run")
        return embeddings @ self.get_parameter("projection").to(embeddings)


class BlindedEmbedder(nn.Module):
    """A trunk that embeds faces, a head that recognises people, and what reads, or removes, expressions.

    Args:
        arm: see ``_ARMS``.
        options: of the recipe.
        people: P, of the training part.
    """

    def __init__(self, arm: str, options: BlindingOptions, people: int) -> None:
        super().__init__()
        self.arm, self.options = arm, options
        self.trunk = make_trunk(options.dimensions, options.width, imagenet=False, stem=options.stem)
        self.head = AdaCosHead(options.dimensions, people)
        self.reader: nn.Module | None = None
        self.removal = Removal() if _is_solved(arm) else None
        if arm == _SOURCE:
            self.reader = nn.Linear(options.dimensions, options.expressions)
        elif arm.startswith("reversal"):
            hidden, count = options.adversary, options.expressions
            self.reader = nn.Sequential(
                nn.Linear(options.dimensions, hidden), nn.ReLU(), nn.Linear(hidden, count)
            )
        if self.removal is not None:
            self.requires_grad_(False)

    def embed(self, images: Tensor, mirror: bool = False) -> Tensor:
        """Embed images (N, 3, H, W) in [0, 1] as (N, D); ``mirror`` adds that of the mirror image."""
        embeddings: Tensor = self.trunk(images)
        if mirror:
            embeddings = embeddings + self.trunk(images.flip(-1))
        return embeddings if self.removal is None else self.removal(embeddings)

    def forward(self, images: Tensor) -> BlindedOutput:
        """Recognise people in images (N, 3, H, W) in [0, 1]."""
        embeddings = self.embed(images)  # (N, D)
        logits = self.head(embeddings)  # (N, P)
        if self.reader is None:
            return BlindedOutput(logits, embeddings, self.head)
        if self.arm == _SOURCE:
            return BlindedOutput(logits, embeddings, self.head, self.reader(embeddings))
        against = self.reader(reverse_gradient(embeddings, self.options.reversal))  # (N, K)
        return BlindedOutput(logits, embeddings, self.head, against, self.reader(embeddings))

    @torch.no_grad()
    def remove(self, batches: Iterable[Batch], seed: int) -> None:
        """Find what is to be removed from the embeddings of all training faces, without augmentation.

        Raises:
            UserError: the faces show one expression, so that there is none to read.
        """
        assert self.removal is not None
        images, targets = zip(*((batch.inputs[0], batch.targets) for batch in batches), strict=True)
        self.trunk.eval()
        parts = [self.trunk(part) for part in torch.cat(images).split(_AT_ONCE)]
        embeddings = torch.cat(parts).double().cpu().numpy()
        labels = torch.cat(targets).cpu().numpy() // self.head.weight.shape[0]
        if len(np.unique(labels)) < 2:
            raise UserError(f"{len(labels)} training faces show one expression: expected two or more to hide")
        name, _, number = self.arm.rpartition("_")
        rows = probed_rows(embeddings, labels, int(number) if number.isdecimal() else self.options.rounds)
        if name.startswith("random") or self.arm == "random_subspace":
            rows = np.random.default_rng(seed).normal(size=row_basis(rows).shape)
        self.removal.keep(projection=null_projection(rows).astype(np.float32))


class BlindingLoss(nn.Module):
    """The people's loss, and what an arm does with expressions.

    Args:
        options: of the recipe.
        label_smoothing: share of the target that is spread over all people.
    """

    def __init__(self, options: BlindingOptions, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.options = options
        self.label_smoothing = label_smoothing

    def forward(self, output: BlindedOutput, targets: Tensor) -> Tensor:
        """Compute the mean loss; targets (N,) are person + people x expression."""
        people = output.logits.shape[1]
        person, expression = targets % people, targets // people
        loss = output.head.loss(output.embeddings, person, self.label_smoothing)
        if output.expressions is None:
            return loss
        read = F.cross_entropy(output.expressions.float(), expression)
        if output.entropies is None:
            return loss + self.options.expression_weight * read
        return loss + read + self.options.entropy_weight * negative_entropy(output.entropies.float())


def _is_solved(arm: str) -> bool:
    return arm.startswith(("null_space", "random_subspace"))


def _build_model(
    arm: str, options: BlindingOptions, classes: int, pretrained: bool = True
) -> BlindedEmbedder:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``, and ``begin``."""
    METHOD.check_arm(arm)
    return BlindedEmbedder(arm, options, classes)


def begin(
    arm: str, options: BlindingOptions, networks: Sequence[BlindedEmbedder], outputs: Outputs
) -> BlindedEmbedder:
    """Build an arm's network with trunk and head of the untouched one; arguments as of ``Continuation``."""
    source = networks[0]
    network = BlindedEmbedder(arm, options, source.head.weight.shape[0])
    network.trunk.load_state_dict(source.trunk.state_dict())
    network.head.load_state_dict(source.head.state_dict())
    return network


def _build_loss(options: BlindingOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss; the arm's output has what reads expressions."""
    return BlindingLoss(options, label_smoothing)


def _expressions(arm: str, options: Mapping[str, Any]) -> int:
    """Count the labels that training learns beside people; see ``fer_repro.methods.method.Method``."""
    return int(options["expressions"])


METHOD = Method(
    name="blinding",
    title="Learning Emotional-Blinded Face Representations",
    paper="2009.08704",
    task="verification",
    inputs="images",
    headline="null_space",
    control="random_subspace",
    arms=_ARMS,
    options=BlindingOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    continuation=Continuation({arm: (_SOURCE,) for arm in _ARMS if arm != _SOURCE}, begin),
    solver=Solver(tuple(arm for arm in _ARMS if _is_solved(arm)), BlindedEmbedder.remove),
    hidden=_expressions,
)
