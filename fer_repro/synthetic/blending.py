"""How a forged inner face is put into an image: mask, colour, resolution, bending, blending."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from fer_repro.synthetic.drawing import Array
from fer_repro.synthetic.factors import Actions, Identity, Viewpoint
from fer_repro.synthetic.head import cast, head_solid, rotation
from fer_repro.synthetic.render import aim

TOP = 0.44  # height of the inner face's upper end, just above the brows, in face units
CHIN_GAP = 0.13  # how far above the chin it ends
HALF_WIDTH = 0.76  # of the head's half width
ROUNDNESS = 2.4  # exponent of the super-ellipse; 2 is an ellipse


def inner_face(
    person: Identity, actions: Actions, view: Viewpoint, size: int, edge: float, supersample: int = 2
) -> Array:
    """Render the soft mask of the inner face, from the brows to the chin, as it lies on the turned head.

    Args:
        person: whose head it is.
        actions: what the face shows.
        view: pose and crop.
        size: side in pixels.
        edge: width of the soft edge as a share of the mask's radius, above 0.
        supersample: rays per pixel and axis.

    Returns:
        (H, W) float32 in [0, 1]: share of a pixel that the forged face takes.
    """
    x, y, _ = aim(view, size * supersample)
    rays = cast(x, y, rotation(view))
    head = head_solid(person, actions)
    distance, met = head.meet(rays)
    x, y, z = rays.at(distance)
    bottom = CHIN_GAP - person.chin
    middle, half = 0.5 * (TOP + bottom), 0.5 * (TOP - bottom)
    across = np.abs(x) / (HALF_WIDTH * person.head_width)
    radius = (across**ROUNDNESS + (np.abs(y - middle) / half) ** ROUNDNESS) ** (1.0 / ROUNDNESS)
    rise = np.clip((1.0 - radius) / edge + 0.5, 0.0, 1.0)
    alpha = np.where(met & (z > 0.0), rise * rise * (3.0 - 2.0 * rise), 0.0)
    mask = alpha.reshape(size, supersample, size, supersample).mean(axis=(1, 3))
    return np.asarray(mask, np.float32)


def match_colours(forged: Array, original: Array, mask: Array, share: float, shift: Sequence[float]) -> Array:
    """Move the forged face's colour statistics towards the original's, but not all the way.

    Args:
        forged: (H, W, 3) in [0, 1].
        original: (H, W, 3) in [0, 1].
        mask: (H, W) weight of each pixel in mean and deviation.
        share: of the way from the forged statistics (0) to the original's (1), each channel on its own.
        shift: error that remains in red, green and blue.

    Returns:
        (H, W, 3), not clipped.
    """
    weights = (mask / mask.sum())[..., None]
    means, deviations = [], []
    for image in (forged, original):
        mean = (image * weights).sum(axis=(0, 1))
        means.append(mean)
        deviations.append(np.sqrt(((image - mean) ** 2 * weights).sum(axis=(0, 1))) + 1e-3)
    gain = (deviations[1] / deviations[0]) ** share
    target = means[0] + share * (means[1] - means[0]) + np.asarray(shift)
    return np.asarray((forged - means[0]) * gain + target, np.float32)


def coarsen(image: Array, scale: float) -> Array:
    """Shrink (H, W, 3) by ``scale`` in (0, 1] and enlarge again, as a network of a lower resolution does."""
    height, width = image.shape[:2]
    small = max(1, round(width * scale)), max(1, round(height * scale))
    if small == (width, height):
        return image
    channels = []
    for channel in np.moveaxis(image, 2, 0):
        reduced = Image.fromarray(np.ascontiguousarray(channel)).resize(small, Image.Resampling.BILINEAR)
        channels.append(np.asarray(reduced.resize((width, height), Image.Resampling.BICUBIC)))
    return np.stack(channels, axis=2)


def bend(image: Array, amount: float, phase: float) -> Array:
    """Displace the pixels of (H, W, 3) along gentle waves.

    Args:
        image: to read from, bilinearly, edges repeated.
        amount: largest displacement on each axis as a share of the side.
        phase: of the waves, 0 to 1.
    """
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    turn = 2.0 * np.pi
    right = amount * width * np.sin(turn * (2.3 * y / height + phase))
    down = amount * height * np.sin(turn * (1.9 * x / width + 1.7 * phase))
    x, y = np.clip(x + right, 0, width - 1), np.clip(y + down, 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - fx) + image[top, left + 1] * fx
    lower = image[top + 1, left] * (1 - fx) + image[top + 1, left + 1] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, np.float32)


def blend_faces(original: Array, forged: Array, mask: Array) -> Array:
    """Mix two images (H, W, 3) by a mask (H, W); the result lies in [0, 1]."""
    return np.clip(original + mask[..., None] * (forged - original), 0.0, 1.0)
