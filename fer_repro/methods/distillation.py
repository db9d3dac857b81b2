"""Teacher-Student Training and Triplet Loss for Facial Expression Recognition under Occlusion.

Mariana-Iuliana Georgescu, Radu Tudor Ionescu, ICPR 2020, arXiv:2008.01003.

A headset hides the upper half of a face. A teacher learns whole faces; a student, which begins with the
teacher's weights, sees the visible half alone. Method A asks for the teacher's answer, by the divergence of
softmax(z_T / T) and softmax(z_S / T). Method B asks that the student's embedding a of a covered face is
nearer to p, the teacher's of a whole face of the same class, than to n, the student's of another class:
d(a, p) < d(a, n). Method C joins both students' embeddings into one vector, which is classified.

Differences from the paper. Its full text was not available and it has no public code: what is not in its
abstract is an option of ours and says so, and no number of it is the paper's.

1. Trunk: a ResNet-18 for the paper's VGG-f and VGG-face; ``pretraining`` names what the teacher starts from.
2. Covered rows: the upper ceil(H / 2) of H, of one value, after the augmentation.
3. Method A: L_A = (1 - lambda) cross-entropy + lambda KL, the usual form; lambda, T and whether the
   divergence is multiplied by T^2 are options.
4. Method B: L_B = mean of max(0, d(a, p) - d(a, n) + margin), the usual form, is added to the cross-entropy.
   The margin, its weight, the distance, unit length and the choice of negatives are options. Positives are
   drawn from a bank, the teacher's embeddings of all training faces without augmentation, so a class may
   have a single face in a batch. No gradient passes through p.
5. Method C: logistic regression on the joined vector, trained by the recipe on frozen students. It begins
   with the mean of both students' classifiers.
6. All students are trained for the recipe's epochs, the arm without a teacher too, so that more training
   is not mistaken for distillation. Other controls of ours: ``fine_tuned_longer`` is trained for twice the
   epochs, and the arms ``shuffled`` have a teacher whose answers belong to other faces.
7. The teacher's epoch is chosen on whole validation faces, as it has never seen a covered one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.layers.cost import evaluating
from fer_repro.layers.half_faces import (
    COVERS,
    Distance,
    EmbeddingBank,
    Negatives,
    Visible,
    batch_triplet_loss,
    soft_divergence,
)
from fer_repro.layers.image_sets import SharedTrunk
from fer_repro.layers.pretrained import check_images, check_start, load_start
from fer_repro.layers.resnet import Stem
from fer_repro.methods.method import Continuation, Method, Outputs
from fer_repro.recipes import Start
from fer_repro.sections import STRICT, Fraction, NonNegative, Positive, PositiveInt


@dataclass(frozen=True, config=STRICT)
class DistillationOptions:
    """The ``model`` section of a recipe."""

    width: PositiveInt  # channels of the stem and of stage 1; embeddings have 8 times as many
    fill: Fraction  # value of the covered pixels
    kl_weight: Fraction  # lambda of method A
    temperature: Positive  # T of method A
    squared_temperature: bool  # multiply the divergence by T^2
    triplet_weight: NonNegative  # of method B beside the cross-entropy
    margin: NonNegative  # of method B
    distance: Distance  # of method B: squared Euclidean or plain
    unit: bool  # scale embeddings to length 1 before they are compared
    negatives: Negatives  # every face of another class in the batch, or the nearest
    pretraining: Start  # of the teacher's trunk: none | imagenet | the path of a run, a network or a file
    stem: Stem = "table"  # before stage 1: table | small
    start_sha256: str = ""  # of the file at that path; ``load_config`` sets it


class TeacherOutput(NamedTuple):
    """What the teacher returns.

    Attributes:
        logits: (N, K) of whole faces in training, of half of them in evaluation.
        whole: (N, K) of whole faces.
    """

    logits: Tensor
    whole: Tensor

    def hits(self, targets: Tensor) -> Tensor:
        """Return which whole faces are classified correctly, (N,) bool: these choose the epoch."""
        return self.whole.detach().argmax(1) == targets


class StudentOutput(NamedTuple):
    """What a student returns; in evaluation the logits alone.

    Attributes:
        logits: (N, K) of covered faces.
        embeddings: (N, D) of covered faces, the anchors a.
        answers: (N, K) logits of the teacher for the whole faces; None without method A.
        positives: (N, K, D) for every class an embedding p from the bank; None without method B.
    """

    logits: Tensor
    embeddings: Tensor | None = None
    answers: Tensor | None = None
    positives: Tensor | None = None


class FaceNetwork(SharedTrunk):
    """A ResNet-18 that classifies what is visible of a face.

    Args:
        classes: number of expressions.
        width: channels of stage 1; 64 in ResNet-18.
        visible: which half of the face, or the whole.
        fill: value of the covered pixels.
        stem: before stage 1.
    """

    def __init__(self, classes: int, width: int, visible: Visible, fill: float, stem: Stem) -> None:
        super().__init__(width, stem=stem)
        self.visible, self.fill = visible, fill
        self.fc = nn.Linear(self.features, classes)

    def forward(self, images: Tensor) -> TeacherOutput | StudentOutput:
        """Classify whole faces (N, 3, H, W) in [0, 1], which are covered here."""
        return StudentOutput(self.answer(images, self.visible))

    def answer(self, images: Tensor, visible: Visible) -> Tensor:
        """Return the logits (N, K) for one half of the faces, or the whole."""
        logits: Tensor = self.fc(self.embed_faces(images, visible))
        return logits

    def embed_faces(self, images: Tensor, visible: Visible) -> Tensor:
        """Return the embeddings (N, D) of one half of the faces, or the whole."""
        check_images(images)
        return self.embed_images(COVERS[visible](images, self.fill))


class Teacher(FaceNetwork):
    """Learns whole faces, and is tested on one half as it is; arguments as of ``FaceNetwork``."""

    def forward(self, images: Tensor) -> TeacherOutput:
        """Classify faces (N, 3, H, W) in [0, 1]."""
        whole = self.answer(images, "whole")  # (N, K)
        return TeacherOutput(whole if self.training else self.answer(images, self.visible), whole)


class FrozenTeacher(nn.Module):
    """A trained teacher that embeds whole faces, and classifies them.

    Args:
        teacher: trained.
        shuffled: a control of ours: answers belong to other faces of the batch.
    """

    def __init__(self, teacher: FaceNetwork, shuffled: bool = False) -> None:
        super().__init__()
        self.teacher = teacher.eval().requires_grad_(False)
        self.shuffled = shuffled

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (N, D) of whole faces (N, 3, H, W)."""
        return self.teacher.embed_faces(images, "whole")

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of whole faces (N, 3, H, W)."""
        logits: Tensor = self.teacher.fc(self(images))
        return logits[torch.randperm(len(logits)).to(logits.device)] if self.shuffled else logits


class Guidance(NamedTuple):
    """What a student learns from beside the labels: neither belongs to it, nor is saved with it."""

    teacher: FrozenTeacher | None = None
    bank: EmbeddingBank | None = None


class Student(FaceNetwork):
    """Learns the visible half of faces, with or without a teacher; arguments as of ``FaceNetwork``.

    Attributes:
        guidance: a plain tuple, so that optimiser and state dict do not see the teacher.
    """

    guidance = Guidance()

    def forward(self, images: Tensor) -> StudentOutput:
        """Classify faces (N, 3, H, W) in [0, 1]."""
        embeddings = self.embed_faces(images, self.visible)  # (N, D)
        logits = self.fc(embeddings)  # (N, K)
        if not self.training:
            return StudentOutput(logits)
        teacher, bank = self.guidance
        answers = None if teacher is None else teacher.answers(images)  # (N, K)
        positives = None if bank is None else bank(len(images))  # (N, K, D)
        return StudentOutput(logits, embeddings, answers, positives)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Student":
        """Move what guides the student to where the student goes."""
        for guide in self.guidance:
            if guide is not None:
                guide._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self


class JoinedEmbeddings(nn.Module):
    """Method C: a linear classifier on the embeddings of two students, which are frozen.

    Args:
        classes: number of expressions.
        width: channels of the students' stage 1.
        visible: which half of the face.
        fill: value of the covered pixels.
        stem: before stage 1.
    """

    def __init__(self, classes: int, width: int, visible: Visible, fill: float, stem: Stem) -> None:
        super().__init__()
        self.visible, self.fill = visible, fill
        self.kl = SharedTrunk(width, stem=stem).requires_grad_(False)
        self.triplet = SharedTrunk(width, stem=stem).requires_grad_(False)
        self.fc = nn.Linear(2 * 8 * width, classes)

    def join(self, students: Sequence[FaceNetwork]) -> None:
        """Take over two trained students; the classifier begins with the mean of their logits."""
        for trunk, student in zip((self.kl, self.triplet), students, strict=True):
            state = student.state_dict()
            trunk.load_state_dict({key: state[key] for key in trunk.state_dict()})
        with torch.no_grad():
            self.fc.weight.copy_(torch.cat([student.fc.weight for student in students], dim=1) / 2)
            self.fc.bias.copy_(torch.stack([student.fc.bias for student in students]).mean(dim=0))

    def train(self, mode: bool = True) -> "JoinedEmbeddings":
        """Switch the mode; the students stay in evaluation mode."""
        super().train(mode)
        self.kl.eval()
        self.triplet.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Classify faces (N, 3, H, W) in [0, 1]: logits (N, K)."""
        return self.answer(images, self.visible)

    def answer(self, images: Tensor, visible: Visible) -> Tensor:
        """Return the logits (N, K) for one half of the faces, or the whole."""
        check_images(images)
        with torch.no_grad():
            covered = COVERS[visible](images, self.fill)
            embeddings = self.kl.embed_images(covered), self.triplet.embed_images(covered)  # (N, D) each
        logits: Tensor = self.fc(torch.cat(embeddings, dim=1))
        return logits


class DistillationLoss(nn.Module):
    """Cross-entropy and what a student's output has for methods A and B.

    Args:
        options: weights, temperature, margin and what is compared.
        label_smoothing: share of the target that is spread over all classes.
    """

    def __init__(self, options: DistillationOptions, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.options = options
        self.label_smoothing = label_smoothing

    def forward(self, output: TeacherOutput | StudentOutput | Tensor, targets: Tensor) -> Tensor:
        """Compute the mean loss; targets (N,) are class indices, or shares (N, K)."""
        logits = output if isinstance(output, Tensor) else output.logits
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        if not isinstance(output, StudentOutput):
            return loss
        if output.answers is not None:  # L_A
            share, softness = self.options.kl_weight, self.options.temperature
            squared = self.options.squared_temperature
            divergence = soft_divergence(output.logits, output.answers, softness, squared)
            loss = (1 - share) * loss + share * divergence
        if output.positives is not None and output.embeddings is not None:  # L_B
            classes = targets if targets.ndim == 1 else targets.argmax(1)
            triplets = self._triplets(output.embeddings, output.positives, classes)
            loss = loss + self.options.triplet_weight * triplets
        return loss

    def _triplets(self, embeddings: Tensor, drawn: Tensor, classes: Tensor) -> Tensor:
        """Return L_B; of the embeddings ``drawn`` (N, K, D) those of the faces' classes count."""
        anchors, positives = embeddings, drawn[torch.arange(len(classes), device=drawn.device), classes]
        if self.options.unit:
            anchors, positives = F.normalize(anchors, dim=1), F.normalize(positives, dim=1)
        chosen = self.options.margin, self.options.distance, self.options.negatives
        return batch_triplet_loss(anchors, positives, classes, *chosen)


def _explain(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Classify both halves of each face and the whole, whatever the network was trained for.

    Args:
        model: a network of this file, or a module that wraps one.
        images: (N, 3, H, W) in [0, 1].

    Returns:
        ``lower``, ``upper`` and ``whole``: probabilities (N, K).
    """
    kinds = (FaceNetwork, JoinedEmbeddings)
    network = next(part for part in model.modules() if isinstance(part, kinds))
    with evaluating(model):
        return {visible: network.answer(images, visible).softmax(dim=1) for visible in COVERS}


_ARMS = {
    "untouched": "The teacher, trained on whole faces, as it is.",
    "fine_tuned": "The control: the teacher trained further on lower halves, by their labels alone.",
    "kl": "Method A: as fine_tuned, and by the teacher's answers.",
    "triplet": "Method B: as fine_tuned, and by triplets with the teacher's embeddings.",
    "joined": "The headline, method C: the embeddings of both students, joined.",
    "whole_faces": "The upper limit: the teacher on whole faces.",
    "fine_tuned_longer": "A control of ours: fine_tuned for twice the epochs, as many as for joined.",
    "kl_shuffled": "A control of ours: kl with the teacher's answers to other faces.",
    "triplet_shuffled": "A control of ours: triplet with the teacher's embeddings of other classes.",
    "joined_shuffled": "A control of ours: joined, of the two students before.",
}
_UPPER = ("untouched", "fine_tuned", "kl", "triplet", "joined")
_ARMS |= {f"{arm}_upper": f"As {arm}, the upper half visible." for arm in _UPPER}
_SOURCES = {
    **{arm: ("untouched",) for arm in _ARMS if arm.startswith(("fine_tuned", "kl", "triplet"))},
    "fine_tuned_longer": ("fine_tuned",),
    "joined": ("kl", "triplet"),
    "joined_shuffled": ("kl_shuffled", "triplet_shuffled"),
    "joined_upper": ("kl_upper", "triplet_upper"),
}


def _build_model(
    arm: str, options: DistillationOptions, classes: int, pretrained: bool = True
) -> FaceNetwork | JoinedEmbeddings:
    """Build an arm's network in training mode; see ``fer_repro.methods.method.BuildModel``, and ``begin``.

    Raises:
        UserError: the arm is unknown, or the weights to start from do not fit or cannot be obtained.
    """
    METHOD.check_arm(arm)
    check_start(options.pretraining, options.width, options.stem)
    visible: Visible = "upper" if arm.endswith("_upper") else "lower"
    numbers = classes, options.width, "whole" if arm == "whole_faces" else visible, options.fill, options.stem
    if arm.startswith("joined"):
        return JoinedEmbeddings(*numbers).train()
    kind = FaceNetwork if arm == "whole_faces" else Teacher if arm.startswith("untouched") else Student
    network = kind(*numbers)
    if pretrained:
        load_start(network, options.pretraining, options.start_sha256)
    return network


def begin(
    arm: str, options: DistillationOptions, networks: Sequence[FaceNetwork], outputs: Outputs
) -> FaceNetwork | JoinedEmbeddings:
    """Build a student from the trained teacher, or join two trained students.

    Args:
        arm: with sources.
        options: of the recipe.
        networks: of the arm's sources.
        outputs: runs a network on all training faces.
    """
    classes = networks[0].fc.out_features
    network = _build_model(arm, options, classes, pretrained=False)
    if isinstance(network, JoinedEmbeddings):
        network.join(networks)
        return network
    network.load_state_dict(networks[0].state_dict())
    shuffled = arm.endswith("_shuffled")
    teacher = FrozenTeacher(networks[0], shuffled)
    if isinstance(network, Student) and arm.startswith("kl"):
        network.guidance = Guidance(teacher=teacher)
    elif isinstance(network, Student) and arm.startswith("triplet"):
        network.guidance = Guidance(bank=EmbeddingBank(*outputs(teacher), classes, shuffled))
    return network


def _build_loss(options: DistillationOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss; the arm's output decides what is added to the cross-entropy."""
    return DistillationLoss(options, label_smoothing)


METHOD = Method(
    name="distillation",
    title="Teacher-Student Training and Triplet Loss for Facial Expression Recognition under Occlusion",
    paper="2008.01003",
    task="expression",
    inputs="images",
    headline="joined",
    control="fine_tuned",
    arms=_ARMS,
    options=DistillationOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    continuation=Continuation(_SOURCES, begin),
)
