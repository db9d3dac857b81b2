"""Several images per sample (frames of a clip, regions of a face): one ResNet for all, a weighted mean."""

import torch
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.resnet import BasicBlock, Stem, initialise_kaiming, run_stem, stage, stem_convolution

_AT_ONCE = 256  # images that one evaluation pass holds in memory; long clips go in parts


class SharedTrunk(nn.Module):
    """A ResNet without classifier that maps every image of every sample to a feature vector.

    Networks inherit from it and add their heads, so that keys are those of the reference: ``conv1``, ``bn1``,
    ``layer1.0.conv1`` ... The trunk starts before the heads: with one seed, all arms start from one trunk.

    Args:
        width: channels of the stem and of stage 1; 64 in ResNet-18 and ResNet-34.
        blocks: basic blocks per stage; (2, 2, 2, 2) is ResNet-18.
        stem: before stage 1.

    Attributes:
        features: D = 8 width, the length of a feature vector.
    """

    def __init__(
        self, width: int = 64, blocks: tuple[int, int, int, int] = (2, 2, 2, 2), stem: Stem = "table"
    ) -> None:
        super().__init__()
        self.features = 8 * width
        self.conv1 = stem_convolution(stem, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(BasicBlock, width, width, blocks[0], stride=1)
        self.layer2 = stage(BasicBlock, width, 2 * width, blocks[1], stride=2)
        self.layer3 = stage(BasicBlock, 2 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = stage(BasicBlock, 4 * width, 8 * width, blocks[3], stride=2)
        initialise_kaiming(self)

    def embed_images(self, images: Tensor) -> Tensor:
        """Map images (M, 3, H, W) in [0, 1] to feature vectors (M, D)."""
        maps = run_stem(self.conv1, self.bn1, images)  # (M, 64, H/4, W/4), twice that with the small stem
        maps = self.layer2(self.layer1(maps))  # (M, 128, H/8, W/8)
        maps = self.layer4(self.layer3(maps))  # (M, 512, H/32, W/32)
        return maps.mean(dim=(2, 3))  # (M, D)

    def embed(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map every image of every sample to a feature vector; padding is not computed at all.

        Args:
            images: (N, S, 3, H, W) in [0, 1].
            mask: (N, S) bool, false where a sample is padded; None where nothing is.

        Returns:
            (N, S, D); zeros at the padding.
        """
        shown = images.flatten(0, 1) if mask is None else images[mask]  # (M, 3, H, W)
        parts = (shown,) if self.training else shown.split(_AT_ONCE)
        vectors = torch.cat([self.embed_images(part) for part in parts])  # (M, D)
        if mask is None:
            return vectors.unflatten(0, images.shape[:2])
        padded = vectors.new_zeros(*mask.shape, self.features)
        padded[mask] = vectors
        return padded


def images_second(images: Tensor, word: str, least: int = 1) -> Tensor:
    """Bring the images of a batch into our layout and refuse what is none.

    The authors' layout (N, 3, H, W, S) is recognised by its channels and transposed; images of three rows
    would be read in our layout.

    Args:
        images: (N, S, 3, H, W), or (N, 3, H, W, S).
        word: what they are, for the message: ``frames`` or ``regions``.
        least: of S.

    Returns:
        (N, S, 3, H, W).

    Raises:
        UserError: the shape fits neither layout, or there are too few images.
    """
    shape = tuple(images.shape)
    if len(shape) == 5 and shape[1] == 3 and shape[2] != 3:
        images = images.permute(0, 4, 1, 2, 3)
    if images.ndim != 5 or images.shape[2] != 3:
        raise UserError(f"{word} have the shape {shape}: expected (N, {word}, 3, H, W), grey images repeated")
    if images.shape[1] < least:
        raise UserError(f"{word} have the shape {shape}: expected at least {least} {word} per sample")
    return images


def check_mask(mask: Tensor, images: Tensor, word: str) -> None:
    """Refuse a mask of another shape or type, and samples without a single image.

    Args:
        mask: (N, S) bool.
        images: (N, S, 3, H, W).
        word: what the images are, for the message.

    Raises:
        UserError: naming the samples of the batch that are empty.
    """
    if mask.dtype != torch.bool or mask.shape != images.shape[:2]:
        raise UserError(
            f"mask is {str(mask.dtype).removeprefix('torch.')} {tuple(mask.shape)}: "
            f"expected bool {tuple(images.shape[:2])}, true where {word} are"
        )
    empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        named = ", ".join(map(str, empty[:5])) + (" ..." if len(empty) > 5 else "")
        raise UserError(f"samples {named} of the batch have no {word}: leave out those without a face")


def weighted_mean(vectors: Tensor, weights: Tensor) -> Tensor:
    """Return sum_i w_i x_i / sum_i w_i over the images of each sample.

    Args:
        vectors: (N, S, D).
        weights: (N, S, 1), not negative, 0 at padding.

    Returns:
        (N, D).
    """
    return (weights * vectors).sum(dim=1) / weights.sum(dim=1)
