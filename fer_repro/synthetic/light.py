"""Light and camera: one soft lamp, ambient light, the shadow of the nose; then blur, grey, noise, JPEG."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_repro.synthetic.drawing import Array, soft
from fer_repro.synthetic.factors import Viewpoint
from fer_repro.synthetic.head import Nose

WRAP = 0.28  # how far the lamp reaches around the edge: skin scatters, and the lamp is broad
SHEEN = 0.30  # brightness of the highlight where gloss is 1
SHADOW_STEPS = (0.07, 0.14, 0.22)  # where along the way to the lamp the nose is tested for


def lamp(view: Viewpoint) -> tuple[float, float, float]:
    """Unit vector towards the lamp in image coordinates (right, up, to the viewer)."""
    azimuth, elevation = math.radians(view.light_azimuth), math.radians(view.light_elevation)
    return (
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
        math.cos(azimuth) * math.cos(elevation),
    )


def to_image(normals: tuple[Array, Array, Array], turn: np.ndarray) -> tuple[Array, Array, Array]:
    """Rotate normals from head to image coordinates and give them length 1."""
    nx, ny, nz = normals
    inverse = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-9)
    rows = turn.tolist()
    right, up, near = ((row[0] * nx + row[1] * ny + row[2] * nz) * inverse for row in rows)
    return right, up, near


def shade(
    albedo: Array,
    normals: tuple[Array, Array, Array],
    view: Viewpoint,
    gloss: Array | float,
    lit: Array | float = 1.0,
) -> Array:
    """Light a surface.

    Args:
        albedo: (3, P), about [0, 1].
        normals: unit normals in image coordinates, each (P,).
        view: the lamp's direction and strengths.
        gloss: (P,) or one value, 0 matt to 1 glossy.
        lit: (P,) share of the lamp's light that arrives.

    Returns:
        Colour (3, P), about [0, 1], not yet clipped.
    """
    nx, ny, nz = normals
    lx, ly, lz = lamp(view)
    facing = nx * lx + ny * ly + nz * lz
    diffuse = np.maximum(facing + WRAP, 0.0) * (1.0 / (1.0 + WRAP))
    light = view.light_ambient * (0.86 + 0.14 * ny) + view.light_strength * diffuse * lit
    length = math.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
    half = (nx * lx + ny * ly + nz * (lz + 1.0)) * (1.0 / length)
    shine = np.maximum(half, 0.0) ** 2
    shine = shine * shine * shine
    shine = shine * shine * gloss * (SHEEN * view.light_strength) * lit
    colour = np.empty_like(albedo)
    for channel, warmth in enumerate((0.10, -0.01, -0.06)):
        colour[channel] = albedo[channel] * light * (1.0 + warmth * (1.0 - light)) + shine
    return colour


def nose_shadow(x: Array, y: Array, nose: Nose, view: Viewpoint, turn: np.ndarray) -> Array:
    """Share (P,) of the lamp's light that passes the nose on its way to points (x, y) of the face."""
    lx, ly, lz = (turn.T @ np.array(lamp(view))).tolist()
    lit = np.ones_like(x)
    near = np.flatnonzero((np.abs(x) < 0.42) & (y < nose.root) & (y > nose.base - 0.22))
    if not near.size:
        return lit
    px, py = x[near], y[near]
    own = nose.height(px, py)
    dark = np.zeros_like(px)
    for step in SHADOW_STEPS:
        above = nose.height(px + step * lx, py + step * ly) - own - step * max(lz, 0.25) * 0.8
        dark = np.maximum(dark, soft(above - 0.01, 0.05))
    lit[near] = 1.0 - 0.55 * dark
    return lit


BLUR_SIZE = 48  # the size at which ``View.blur`` counts pixels
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow converts


def photograph(image: Array, view: Viewpoint, colour: bool) -> NDArray[np.uint8]:
    """Apply the camera to a rendered face.

    Args:
        image: (H, W, 3) in [0, 1].
        view: blur, noise and JPEG quality.
        colour: keep the colours.

    Returns:
        uint8 (H, W, 3), or (H, W) grey.
    """
    values = image if colour else (image @ np.array(GREY, np.float32))[..., None]
    values = blur(values, view.blur * image.shape[0] / BLUR_SIZE)
    values = values * 255.0
    if view.noise > 0:
        generator = np.random.default_rng(view.noise_seed)
        grain = generator.standard_normal(values.shape[:2], dtype=np.float32)
        values = values + grain[..., None] * view.noise
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    pixels = pixels if colour else pixels[..., 0]
    return compress(pixels, view.jpeg) if view.jpeg else pixels


def compress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Write (H, W) or (H, W, 3) as a JPEG file of a quality from 1 to 100, and read it back."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


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
