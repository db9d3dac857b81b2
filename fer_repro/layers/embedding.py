"""A network that embeds images and classifies the embeddings: a small ResNet, any head, its loss."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.cost import evaluating
from fer_repro.layers.margin_heads import CosineHead, exact
from fer_repro.layers.pretrained import load_imagenet_trunk
from fer_repro.layers.resnet import BasicBlock, Stem, initialise_kaiming, run_stem, stage, stem_convolution


class Embedded(NamedTuple):
    """What an ``EmbeddingClassifier`` returns.

    Attributes:
        logits: (N, C), as at test time, without margins.
        embeddings: (N, D), not normalised.
        head: the classifier's head, because only it knows its loss, and only the loss knows the targets.
    """

    logits: Tensor
    embeddings: Tensor
    head: CosineHead


class EmbeddingResNet(nn.Module):
    """A ResNet of basic blocks that ends in an embedding; keys as torchvision's except for ``embedding``.

    No batch normalisation follows the last linear layer, so that a batch of one can be trained on.

    Args:
        dimensions: D, of an embedding.
        width: channels of the stem and of stage 1; 64 in ResNet-18.
        blocks: their number per stage; ResNet-18's.
        stem: before stage 1.
    """

    def __init__(
        self,
        dimensions: int,
        width: int = 64,
        blocks: tuple[int, int, int, int] = (2, 2, 2, 2),
        stem: Stem = "table",
    ) -> None:
        super().__init__()
        self.conv1 = stem_convolution(stem, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(BasicBlock, width, width, blocks[0], stride=1)
        self.layer2 = stage(BasicBlock, width, 2 * width, blocks[1], stride=2)
        self.layer3 = stage(BasicBlock, 2 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = stage(BasicBlock, 4 * width, 8 * width, blocks[3], stride=2)
        self.embedding = nn.Linear(8 * width, dimensions)
        initialise_kaiming(self)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images (N, 3, H, W) in [0, 1] as (N, D).

        Raises:
            UserError: the images have another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise UserError(f"images have the shape {tuple(images.shape)}: expected (N, 3, H, W)")
        features = run_stem(self.conv1, self.bn1, images)  # (N, w, H/4, W/4), twice that if small
        features = self.layer2(self.layer1(features))  # (N, 2w, H/8, W/8)
        features = self.layer4(self.layer3(features))  # (N, 8w, H/32, W/32)
        return self.embedding(features.mean(dim=(2, 3)))  # (N, D)


def make_trunk(dimensions: int, width: int, imagenet: bool, stem: Stem = "table") -> EmbeddingResNet:
    """Build the trunk of a recipe, a ResNet-18 of any width.

    Args:
        dimensions: D, of an embedding.
        width: channels of stem and stage 1.
        imagenet: start from torchvision's weights, except for the embedding.
        stem: before stage 1.

    Raises:
        UserError: ImageNet weights are asked for and do not fit or cannot be obtained.
    """
    trunk = EmbeddingResNet(dimensions, width, stem=stem)
    if imagenet:
        load_imagenet_trunk(trunk, "resnet18")
    return trunk


class EmbeddingClassifier(nn.Module):
    """A trunk that embeds, and a head that classifies.

    Args:
        trunk: images -> embeddings (N, D).
        head: embeddings -> logits; holds the class rows, so one optimiser and one checkpoint see all.
    """

    def __init__(self, trunk: nn.Module, head: CosineHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, images: Tensor) -> Embedded:
        """Classify images (N, 3, H, W) as at test time, without margins, and return their embeddings."""
        embeddings = self.trunk(images)  # (N, D)
        return Embedded(self.head(embeddings), embeddings, self.head)

    @torch.no_grad()
    def embed(self, images: Tensor, mirror: bool = False) -> Tensor:
        """Embed images for verification, in the mode the network is in.

        Args:
            images: (N, 3, H, W).
            mirror: add the embedding of the mirror image, as some protocols do; state it next to the result.

        Returns:
            (N, D), not normalised.
        """
        embeddings: Tensor = self.trunk(images)
        return embeddings + self.trunk(images.flip(-1)) if mirror else embeddings


class HeadLoss(nn.Module):
    """The loss of a classifier's head, as the training loop calls it.

    It holds no tensors: rows, scale and counters are the head's, where the optimiser and the checkpoint
    find them.

    Args:
        label_smoothing: 0 in the papers.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, output: Embedded, targets: Tensor) -> Tensor:
        """Return the head's loss for what the classifier returned and targets (N,)."""
        return output.head.loss(output.embeddings, targets, self.label_smoothing)


def explain_angles(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Run the network in evaluation mode and measure its angles.

    Args:
        model: an ``EmbeddingClassifier``, or a module that wraps one.
        images: (N, 3, H, W) in [0, 1].

    Returns:
        ``embeddings`` (N, D); ``cosines`` and ``angles`` to every class row (N, C), in radians; ``scale``,
        the head's s, repeated to (N,).
    """
    with evaluating(model):
        output: Embedded = model(images)
        similar = output.head.cosines(output.embeddings)
    return {
        "embeddings": exact(output.embeddings),
        "cosines": similar,
        "angles": similar.clamp(-1, 1).acos(),
        "scale": output.head.scale.expand(len(images)).clone(),
    }


def watch_scale(model: nn.Module) -> dict[str, float]:
    """Read the scale s of an ``EmbeddingClassifier``'s head, for the history of its training."""
    head: CosineHead = model.head  # type: ignore[assignment]
    return {"scale": float(head.scale)}
