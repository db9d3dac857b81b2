"""Standardisation inside a network, so that every network takes images in [0, 1]."""

import torch
from torch import Tensor, nn

from fer_repro.errors import UserError

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Standardise(nn.Module):
    """Subtract ImageNet's mean from images in [0, 1] and divide by its deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Standardise (N, 3, H, W)."""
        return (images - self.mean) / self.deviation


def check_images(images: Tensor) -> None:
    """Refuse anything but (N, 3, H, W).

    Raises:
        UserError: naming the shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise UserError(f"images have the shape {tuple(images.shape)}: expected (N, 3, H, W)")
