"""Resizing, training and test-time augmentation of batches, on the training device.

Every draw is made per sample by counter. The order is the RMN code's: enlarge, then flip and rotate with
bilinear interpolation and black corners; crop, shift and scale join them in one affine map, so an image is
interpolated twice however many of them act, and once if the recipe sets ``composed``. Jitter and erasing
follow. Images that shrink are resized without aliasing.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_repro.config import AugmentationConfig, EraseConfig, JitterConfig
from fer_repro.datasets.draws import Stream, uniforms

Draws = Mapping[str, np.ndarray]

TILE = 2**18  # pixels of a plane that are augmented at a time
LUMA = (0.299, 0.587, 0.114)  # grey of RGB: ITU-R BT.601, as Pillow has it
_DRAWS = (
    *("flip", "angle", "factor", "right", "down"),
    *("crop", "crop_right", "crop_down", "brightness", "contrast", "saturation"),
    *("erase", "erase_area", "erase_aspect", "erase_right", "erase_down"),
)


def clean_images(images: Tensor, size: int) -> Tensor:
    """Enlarge without augmentation, as for validation.

    Args:
        images: (N, C, H, W) uint8, C = 1 or 3, on the device that computes.
        size: side of the result in pixels.

    Returns:
        (N, 3, size, size) float32 in [0, 1].
    """
    return _three_channels(resize(_floats(images), size).clamp_(0, 1))


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
    return _augmented(images, size, config, draw_changes(seed, Stream.TRAINING, epoch, samples))


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
    return _augmented(images, size, config, draw_changes(seed, Stream.COPIES, copy, samples))


def draw_changes(seed: int, stream: Stream, counter: int, samples: np.ndarray) -> Draws:
    """Draw all that an augmentation may need, whatever the recipe uses of it.

    Args:
        seed: the run's seed.
        stream: training or copies.
        counter: the epoch or the copy.
        samples: (N,) sample ids.

    Returns:
        What is drawn for -> (N,) float64 in [0, 1).
    """
    return dict(zip(_DRAWS, uniforms(seed, stream, counter, samples, len(_DRAWS)).T, strict=True))


def drawn_maps(config: AugmentationConfig, draws: Draws) -> np.ndarray:
    """Convert what was drawn into crop, flip, rotation, scale and shift, composed.

    Args:
        config: strengths.
        draws: from ``draw_changes``.

    Returns:
        (N, 2, 3) float32, from output to input positions, both in [-1, 1] over the side.
    """
    maps = affine_maps(
        draws["flip"] < config.flip,
        (2 * draws["angle"] - 1) * config.rotation,
        1 + (2 * draws["factor"] - 1) * config.scale,
        (2 * draws["right"] - 1) * config.shift,
        (2 * draws["down"] - 1) * config.shift,
    )
    if config.crop:
        kept = 1 - config.crop * draws["crop"]
        corner = np.stack([2 * draws["crop_right"] - 1, 2 * draws["crop_down"] - 1], axis=1)
        maps = maps * kept[:, None, None]
        maps[:, :, 2] += corner * (1 - kept)[:, None]
    return maps.astype(np.float32)


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


def warp(images: Tensor, maps: Tensor, size: int) -> Tensor:
    """Sample images bilinearly at affine positions; outside is 0.

    The positions are computed element by element: a matrix product would round differently in another batch.

    Args:
        images: (N, C, H, W) float.
        maps: (N, 2, 3) from output to input positions in [-1, 1].
        size: side of the result in pixels.

    Returns:
        (N, C, size, size).
    """
    grid = _positions(maps, size).permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def warp_once(images: Tensor, maps: Tensor, size: int) -> Tensor:
    """Enlarge and warp in one sampling; the pixels at the border reach to the image's edge, then it fades.

    Args:
        images: (N, C, H, W) float, as stored.
        maps: (N, 2, 3) from output to input positions in [-1, 1].
        size: side of the result in pixels.

    Returns:
        (N, C, size, size).
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    shares = maps.new_tensor([width / (width + 2), height / (height + 2)])
    return warp(padded, maps * shares[:, None], size)


def _positions(maps: Tensor, size: int) -> Tensor:
    """Compute x and y of every output pixel, (N, 2, S, S): whole planes, much faster than pairs."""
    centres = pixel_centres(size, maps)
    across = maps[:, :, 0, None] * centres  # (N, 2, S): what x adds
    down = maps[:, :, 1, None] * centres + maps[:, :, 2, None]
    return across[:, :, None, :] + down[..., None]


def jitter(images: Tensor, config: JitterConfig, draws: Draws) -> Tensor:
    """Change brightness, then contrast, then saturation.

    Args:
        images: (N, C, H, W) in [0, 1]; grey ones (C = 1) have no saturation.
        config: strengths.
        draws: from ``draw_changes``.

    Returns:
        (N, C, H, W) in [0, 1].
    """
    brighter, sharper, richer = (
        _factors(draws[name], getattr(config, name), images)
        for name in ("brightness", "contrast", "saturation")
    )
    images = (images * brighter).clamp_(0, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(mean, images, sharper).clamp_(0, 1)
    if images.shape[1] == 1:
        return images
    grey = (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return torch.lerp(grey, images, richer).clamp_(0, 1)


def erase(images: Tensor, config: EraseConfig, draws: Draws) -> Tensor:
    """Blacken a rectangle of some images.

    Args:
        images: (N, C, H, W).
        config: share, area and aspect; a side is at most the image's.
        draws: from ``draw_changes``.

    Returns:
        (N, C, H, W).
    """
    height, width = images.shape[-2:]
    low, high = config.area
    area = low + (high - low) * draws["erase_area"]
    ratio = np.exp((2 * draws["erase_aspect"] - 1) * np.log(config.aspect))  # width over height
    wide = np.minimum(np.sqrt(area * ratio), 1) * width
    tall = np.minimum(np.sqrt(area / ratio), 1) * height
    wide[draws["erase"] >= config.share] = 0
    columns = _between(width, draws["erase_right"] * (width - wide), wide)
    rows = _between(height, draws["erase_down"] * (height - tall), tall)
    inside = torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :]).to(images.device)
    return images.masked_fill(inside, 0)


def _between(count: int, begin: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Mark the pixels whose centre lies in [begin, begin + length): (N, count) bool."""
    centres = np.arange(count) + 0.5
    return (centres >= begin[:, None]) & (centres < (begin + length)[:, None])


def _factors(drawn: np.ndarray, reach: float, like: Tensor) -> Tensor:
    factors = torch.from_numpy(1 + (2 * drawn - 1) * reach).to(like.device, like.dtype)
    return factors[:, None, None, None]


def _augmented(images: Tensor, size: int, config: AugmentationConfig, draws: Draws) -> Tensor:
    """Augment tile by tile: on a CPU a tile's planes stay in the cache, an accelerator takes all at once."""
    maps = torch.from_numpy(drawn_maps(config, draws)).to(images.device, non_blocking=True)
    tile = max(1, TILE // size**2) if images.device.type == "cpu" else len(images)
    if len(images) <= tile:
        return _three_channels(_augmented_tile(images, maps, size, config, draws))
    shown = maps.new_empty(len(images), 3, size, size)
    for begin in range(0, len(images), tile):
        part = slice(begin, begin + tile)
        drawn = {name: values[part] for name, values in draws.items()}
        shown[part] = _augmented_tile(images[part], maps[part], size, config, drawn)
    return shown


def _augmented_tile(
    images: Tensor, maps: Tensor, size: int, config: AugmentationConfig, draws: Draws
) -> Tensor:
    needs_one = config.resampling == "composed" and images.shape[-2:] != (size, size)
    if needs_one and max(images.shape[-2:]) <= size:
        shown = warp_once(_floats(images), maps, size)
    else:  # without smoothing a single step would alias where images shrink
        shown = warp(resize(_floats(images), size), maps, size)
    if config.jitter:
        shown = jitter(shown, config.jitter, draws)
    if config.erase:
        shown = erase(shown, config.erase, draws)
    return shown


def _floats(images: Tensor) -> Tensor:
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def _three_channels(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize to a square.

    Enlarging samples at the pixels' centres, the border replicated: the result of ``F.interpolate`` within
    1e-5, in half its time at 64 pixels. An image's result does not depend on its batch.

    Args:
        images: (N, C, H, W) float; three channels in one place of memory are resized once.
        size: side of the result in pixels.

    Returns:
        (N, C, size, size); the images themselves if that is their size.
    """
    if images.shape[-2:] == (size, size):
        return images
    if images.shape[1] == 3 and images.stride(1) == 0:  # grey, shown as three equal channels
        return resize(images[:, :1], size).expand(-1, 3, -1, -1)
    if max(images.shape[-2:]) > size:
        return _shrunk(images, size)
    centres = pixel_centres(size, images)
    grid = torch.stack([centres.expand(size, -1), centres[:, None].expand(-1, size)])  # whole planes: faster
    grid = grid.permute(1, 2, 0).expand(images.shape[0], -1, -1, -1)  # not len: exporters must see it
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def pixel_centres(count: int, like: Tensor) -> Tensor:
    """Place the centres of ``count`` pixels in [-1, 1], with the type and device of ``like``: (count,)."""
    return (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1


def _shrunk(images: Tensor, size: int) -> Tensor:
    planes = images.flatten(0, 1)[:, None]  # interpolate is slow with three channels
    shrunk = F.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return shrunk.view(*images.shape[:2], size, size)
