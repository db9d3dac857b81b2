"""The camera: blur, grey, noise and JPEG."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_repro.synthetic.drawing import Array
from fer_repro.synthetic.factors import View

BLUR_SIZE = 48  # the size at which ``View.blur`` counts pixels
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow converts


def photograph(picture: Array, view: View, colour: bool) -> NDArray[np.uint8]:
    """Take a picture of the drawing.

    Args:
        picture: (H, W, 3) in [0, 1].
        view: blur, noise and JPEG quality.
        colour: keep the colours.

    Returns:
        uint8 (H, W, 3), or (H, W) grey.
    """
    values = picture if colour else (picture @ np.array(GREY, np.float32))[..., None]
    values = blur(values, view.blur * picture.shape[0] / BLUR_SIZE)
    values = values * 255.0
    if view.noise > 0:
        generator = np.random.default_rng(view.noise_seed)
        grain = generator.standard_normal(values.shape[:2], dtype=np.float32)
        values = values + grain[..., None] * view.noise
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    pixels = pixels if colour else pixels[..., 0]
    if view.jpeg:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=view.jpeg)
        pixels = np.asarray(Image.open(buffer))
    return pixels


def blur(values: Array, sigma: float) -> Array:
    """Gaussian blur of (H, W, C) with ``sigma`` pixels, edges repeated."""
    if sigma < 0.05:
        return values
    radius = max(1, int(3.0 * sigma + 0.5))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1, dtype=np.float32) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (0, 1):
        size = values.shape[axis]
        wide = values.take(np.arange(-radius, size + radius).clip(0, size - 1), axis)
        total = np.zeros_like(values)
        for place, tap in enumerate(taps.tolist()):
            total += (wide[place : place + size] if axis == 0 else wide[:, place : place + size]) * tap
        values = total
    return values
