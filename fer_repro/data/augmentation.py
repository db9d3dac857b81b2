"""Training and test-time augmentation, batched on the training device and drawn per sample by counter.

The order is the RMN code's: enlarge, then flip and rotate with bilinear interpolation and black corners;
shift and scale join them in one affine map, so an image is interpolated twice however much is drawn.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_repro.config import AugmentationConfig
from fer_repro.data.draws import Stream, uniforms


def clean_images(images: Tensor, size: int) -> Tensor:
    """Enlarge without augmentation, as for validation.

    Args:
        images: (N, C, H, W) uint8, C = 1 or 3, on the device that computes.
        size: side of the result in pixels.

    Returns:
        (N, 3, size, size) float32 in [0, 1].
    """
    return _three_channels(_enlarge(images, size))


def training_images(
    images: Tensor, samples: np.ndarray, size: int, config: AugmentationConfig, seed: int, epoch: int
) -> Tensor:
    """Enlarge and augment for one epoch.

    Args:
        images: (N, C, H, W) uint8.
        samples: (N,) sample ids, the key of what is drawn.
        size: side of the result in pixels.
        config: strengths.
        seed: the run's seed.
        epoch: from 0; each epoch draws anew.

    Returns:
        (N, 3, size, size) float32 in [0, 1].
    """
    return _augmented(images, size, draw_affine(config, seed, Stream.TRAINING, epoch, samples))


def augmented_copy(
    images: Tensor, samples: np.ndarray, size: int, config: AugmentationConfig, seed: int, copy: int
) -> Tensor:
    """Make one copy for random test-time augmentation: the training augmentation with numbers of its own.

    Args:
        images: (N, C, H, W) uint8.
        samples: (N,) sample ids.
        size: side of the result in pixels.
        config: strengths.
        seed: the run's seed.
        copy: from 0; the clean image is not among the copies (RMN code).

    Returns:
        (N, 3, size, size) float32 in [0, 1].
    """
    return _augmented(images, size, draw_affine(config, seed, Stream.COPIES, copy, samples))


def draw_affine(
    config: AugmentationConfig, seed: int, stream: Stream, counter: int, samples: np.ndarray
) -> np.ndarray:
    """Draw flip, angle, factor and shift of each sample and compose them.

    Args:
        config: strengths.
        seed: the run's seed.
        stream: training or copies.
        counter: the epoch or the copy.
        samples: (N,) sample ids.

    Returns:
        (N, 2, 3) float32, from output to input positions, both in [-1, 1] over the side.
    """
    flip, angle, factor, right, down = uniforms(seed, stream, counter, samples, 5).T
    return affine_maps(
        flip < config.flip,
        (2 * angle - 1) * config.rotation,
        1 + (2 * factor - 1) * config.scale,
        (2 * right - 1) * config.shift,
        (2 * down - 1) * config.shift,
    )


def affine_maps(
    flip: np.ndarray, degrees: np.ndarray, factor: np.ndarray, right: np.ndarray, down: np.ndarray
) -> np.ndarray:
    """Compose flip, then rotation and scale about the centre, then shift, as maps from output to input.

    Args:
        flip: (N,) bool.
        degrees: (N,) rotation, positive counter-clockwise as one sees it.
        factor: (N,) size of the face after / before.
        right: (N,) shift to the right as a share of the side.
        down: (N,) shift down as a share of the side.

    Returns:
        (N, 2, 3) float32.
    """
    cos, sin = np.cos(np.radians(degrees)) / factor, np.sin(np.radians(degrees)) / factor
    x, y = 2 * right, 2 * down  # the side is 2 in [-1, 1]
    mirror = np.where(flip, -1.0, 1.0)
    across = np.stack([cos, -sin, -cos * x + sin * y], -1) * mirror[:, None]
    along = np.stack([sin, cos, -sin * x - cos * y], -1)
    return np.stack([across, along], 1).astype(np.float32)


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Sample images bilinearly at affine positions; outside is 0.

    The positions are computed element by element: a matrix product would round differently in another batch.

    Args:
        images: (N, C, H, W) float.
        maps: (N, 2, 3) from output to input positions in [-1, 1].

    Returns:
        (N, C, H, W).
    """
    height, width = images.shape[-2:]
    x = _centres(width, images)[None, None, :, None]
    y = _centres(height, images)[None, :, None, None]
    m = maps[:, None, None]
    grid = m[..., 0] * x + m[..., 1] * y + m[..., 2]  # (N, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _centres(count: int, like: Tensor) -> Tensor:
    return (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1


def _augmented(images: Tensor, size: int, maps: np.ndarray) -> Tensor:
    on_device = torch.from_numpy(maps).to(images.device, non_blocking=True)
    return _three_channels(warp(_enlarge(images, size), on_device))


def _enlarge(images: Tensor, size: int) -> Tensor:
    floats = images.to(torch.float32) / 255
    if images.shape[-2:] == (size, size):
        return floats
    shrinks = max(images.shape[-2:]) > size
    return F.interpolate(
        floats, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks
    ).clamp_(0, 1)


def _three_channels(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1)
