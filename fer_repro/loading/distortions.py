"""Distortions of cameras, networks and the web, as training augmentation for manipulated faces.

The order is that of the authors' code of arXiv:2004.07676: shrink by half and enlarge, then colour, noise, a
milder shrinking and JPEG, all drawn per sample by counter. Unlike there, the flip comes before the first step
and values stay floats until JPEG; there each step rounds to 8 bits. The colour spaces HSV and HLS work on
batches, and hue runs from 0 to 1 around the circle.
"""

import io
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fer_repro.config import DistortionConfig
from fer_repro.datasets.draws import Stream, hashes, uniforms

Draws = Mapping[str, np.ndarray]


_DRAWS = (
    *("nearest", "colour", "colour_kind", "first", "second", "third"),
    *("noise", "noise_kind", "noise_colour", "noise_strength"),
    *("linear", "linear_scale", "jpeg", "quality"),
)


def distort(images: Tensor, samples: np.ndarray, seed: int, epoch: int, strength: DistortionConfig) -> Tensor:
    """Distort faces for one epoch, after resizing and flipping and before standardising.

    Args:
        images: (N, 3, H, W) float in [0, 1]; not changed.
        samples: (N,) sample ids, the key of what is drawn: a face's result does not depend on its batch.
        seed: the run's seed.
        epoch: from 0; each epoch draws anew.
        strength: shares and ranges.

    Returns:
        (N, 3, H, W) in [0, 1], on the device of ``images``.
    """
    numbers = uniforms(seed, Stream.DISTORTIONS, epoch, samples, len(_DRAWS)).T
    draws = dict(zip(_DRAWS, numbers, strict=True))
    draws["seed"] = hashes(seed, Stream.DISTORTIONS, epoch, samples)
    images = images.clone()
    for step in (_shrink_by_nearest, _change_colour, _add_noise, _shrink_linearly, _compress):
        step(images, draws, strength)
    return images


def shrink(images: Tensor, scale: float, mode: str) -> Tensor:
    """Shrink (N, 3, H, W) to ``scale`` of its sides and enlarge again, without smoothing before.

    Args:
        images: in [0, 1].
        scale: above 0, at most 1; sides are rounded to pixels.
        mode: ``nearest`` or ``bilinear``.
    """
    height, width = images.shape[-2:]
    small = max(1, round(height * scale)), max(1, round(width * scale))
    return _resize(_resize(images, small, mode), (height, width), mode)


def change_contrast(images: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Multiply images (N, 3, H, W) by ``gain`` (N,), which keeps black, and add ``offset`` (N,)."""
    return (images * _spread(gain) + _spread(offset)).clamp(0, 1)


def shift_hsv(images: Tensor, hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Shift hue (1: the full circle), saturation and value, each (N,), of RGB images (N, 3, H, W)."""
    found = rgb_to_hsv(images)
    found[:, 0] += _spread(hue)[:, 0]
    found[:, 1:] += torch.stack([saturation, value], dim=1)[..., None, None]
    found[:, 1:].clamp_(0, 1)
    return hsv_to_rgb(found).clamp(0, 1)


def iso_noise(images: Tensor, colour: np.ndarray, intensity: np.ndarray, seeds: np.ndarray) -> Tensor:
    """Add a sensor's noise: to the hue normal, to the lightness Poisson.

    The Poisson numbers' mean is the deviation of the image's own lightness, in grey levels, times the
    intensity; they move the lightness towards white by their share of 255 (albumentations' ISONoise).

    Args:
        images: (N, 3, H, W) in [0, 1].
        colour: (N,) deviation of the hue at intensity 1, as a share of the circle.
        intensity: (N,) from 0.
        seeds: (N,) uint64, of each face's noise.
    """
    found = rgb_to_hls(images)
    lightness = found[:, 1].double().cpu().numpy()
    noise = np.empty((len(images), 2, *images.shape[-2:]), np.float32)
    for fields, plane, shift, strength, seed in zip(noise, lightness, colour, intensity, seeds, strict=True):
        generator = np.random.default_rng(int(seed))
        fields[0] = generator.normal(0.0, shift * strength, plane.shape)
        fields[1] = generator.poisson(plane.std() * strength * 255.0, plane.shape) / 255.0
    hue, grain = torch.from_numpy(noise).to(images.device, images.dtype).unbind(1)
    found[:, 0] += hue
    found[:, 1] += grain * (1.0 - found[:, 1])
    found[:, 1].clamp_(0, 1)
    return hls_to_rgb(found).clamp(0, 1)


def gaussian_noise(images: Tensor, deviation: np.ndarray, seeds: np.ndarray) -> Tensor:
    """Add to all channels of a pixel one normal number.

    Args:
        images: (N, 3, H, W) in [0, 1].
        deviation: (N,) from 0.
        seeds: (N,) uint64, of each face's noise.
    """
    shape = images.shape[-2:]
    fields = [np.random.default_rng(int(seed)).standard_normal(shape, np.float32) for seed in seeds]
    noise = torch.from_numpy(np.stack(fields)[:, None]).to(images.device, images.dtype)
    return (images + _spread(_like(deviation, images)) * noise).clamp(0, 1)


def compress(image: Tensor, quality: int) -> Tensor:
    """Round (3, H, W) to 8 bits, encode it as JPEG with halved colour resolution and decode it."""
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    decoded = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)
    return decoded.to(image.device, image.dtype) / 255


def _shrink_by_nearest(images: Tensor, draws: Draws, strength: DistortionConfig) -> None:
    rows = np.flatnonzero(draws["nearest"] < strength.nearest)
    images[rows] = shrink(images[rows], strength.nearest_scale, "nearest")


def _change_colour(images: Tensor, draws: Draws, strength: DistortionConfig) -> None:
    chosen, plain = draws["colour"] < strength.colour, draws["colour_kind"] < 0.5
    rows = np.flatnonzero(chosen & plain)
    gain = 1.0 + _around(draws["first"][rows], strength.contrast)
    offset = _around(draws["second"][rows], strength.brightness)
    images[rows] = change_contrast(images[rows], _like(gain, images), _like(offset, images))
    rows = np.flatnonzero(chosen & ~plain)
    shifts = (
        _around(draws["first"][rows], strength.hue / 360),
        _around(draws["second"][rows], strength.saturation),
        _around(draws["third"][rows], strength.value),
    )
    images[rows] = shift_hsv(images[rows], *(_like(shift, images) for shift in shifts))


def _add_noise(images: Tensor, draws: Draws, strength: DistortionConfig) -> None:
    chosen, sensor = draws["noise"] < strength.noise, draws["noise_kind"] < 0.5
    rows = np.flatnonzero(chosen & sensor)
    if rows.size:
        colour = _between(draws["noise_colour"][rows], strength.iso_colour)
        intensity = _between(draws["noise_strength"][rows], strength.iso_intensity)
        images[rows] = iso_noise(images[rows], colour, intensity, draws["seed"][rows])
    rows = np.flatnonzero(chosen & ~sensor)
    if rows.size:
        deviation = _between(draws["noise_strength"][rows], strength.gaussian)
        images[rows] = gaussian_noise(images[rows], deviation, draws["seed"][rows])


def _shrink_linearly(images: Tensor, draws: Draws, strength: DistortionConfig) -> None:
    scales = _between(draws["linear_scale"], strength.linear_scale)
    for row in np.flatnonzero(draws["linear"] < strength.linear):
        images[row] = shrink(images[row : row + 1], scales[row], "bilinear")[0]


def _compress(images: Tensor, draws: Draws, strength: DistortionConfig) -> None:
    low, high = strength.quality
    qualities = low + np.floor(draws["quality"] * (high + 1 - low)).astype(int)
    for row in np.flatnonzero(draws["jpeg"] < strength.jpeg):
        images[row] = compress(images[row], int(qualities[row]))


def _resize(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return F.interpolate(images, size=size, mode=mode, align_corners=None if mode == "nearest" else False)


def _around(draws: np.ndarray, reach: float) -> np.ndarray:
    return (2.0 * draws - 1.0) * reach


def _between(draws: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return limits[0] + (limits[1] - limits[0]) * draws


def _like(values: np.ndarray, images: Tensor) -> Tensor:
    return torch.from_numpy(values).to(images.device, images.dtype)


def _spread(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def rgb_to_hsv(images: Tensor) -> Tensor:
    """Convert (N, 3, H, W) in [0, 1] to hue in [0, 1), saturation and value; grey has hue 0."""
    hue, low, high = _hue(images)
    spread = high - low
    saturation = torch.where(spread > 0, spread / high, 0.0)
    return torch.stack([hue, saturation, high], dim=1)


def hsv_to_rgb(images: Tensor) -> Tensor:
    """Convert hue (1: the full circle), saturation and value (N, 3, H, W) to RGB."""
    hue, saturation, value = images.unbind(1)
    channels = []
    for start in (5.0, 3.0, 1.0):  # sixths of the circle by which a channel is ahead
        turned = torch.remainder(start + 6.0 * hue, 6.0)
        ramp = torch.minimum(turned, 4.0 - turned).clamp(0.0, 1.0)
        channels.append(value - value * saturation * ramp)
    return torch.stack(channels, dim=1)


def rgb_to_hls(images: Tensor) -> Tensor:
    """Convert (N, 3, H, W) in [0, 1] to hue in [0, 1), lightness and saturation; grey has hue 0."""
    hue, low, high = _hue(images)
    spread, double = high - low, high + low
    room = torch.where(double < 1.0, double, 2.0 - double)
    saturation = torch.where(spread > 0, spread / room, 0.0)
    return torch.stack([hue, 0.5 * double, saturation], dim=1)


def hls_to_rgb(images: Tensor) -> Tensor:
    """Convert hue (1: the full circle), lightness and saturation (N, 3, H, W) to RGB."""
    hue, lightness, saturation = images.unbind(1)
    reach = saturation * torch.minimum(lightness, 1.0 - lightness)
    channels = []
    for start in (0.0, 8.0, 4.0):  # twelfths of the circle
        turned = torch.remainder(start + 12.0 * hue, 12.0)
        ramp = torch.minimum(turned - 3.0, 9.0 - turned).clamp(-1.0, 1.0)
        channels.append(lightness - reach * ramp)
    return torch.stack(channels, dim=1)


def _hue(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue, smallest and largest channel, each (N, H, W)."""
    red, green, blue = images.unbind(1)
    low, high = images.amin(1), images.amax(1)
    spread = torch.where(high > low, high - low, 1.0)
    hue = torch.where(high == green, (blue - red) / spread + 2.0, (red - green) / spread + 4.0)
    hue = torch.where(high == red, (green - blue) / spread, hue)
    return torch.remainder(hue / 6.0, 1.0), low, high
