"""What is around the face: backdrop, neck, shirt and ears."""

import math

import numpy as np

from fer_repro.synthetic.drawing import Array, blend, hue, limit, soft
from fer_repro.synthetic.factors import Identity, View
from fer_repro.synthetic.head import Rays, Solid


def backdrop(x: Array, y: Array, view: View) -> Array:
    """Colour (3, P) behind the head: a soft gradient with two blurred patches."""
    base = hue(view.backdrop_hue, view.backdrop, 0.10)
    angle = 6.28 * view.backdrop_hue * 3.0
    share = 1.0 + 0.10 * y + 0.09 * np.sin(1.9 * x + angle) * np.cos(1.4 * y - 2.0 * angle)
    return np.stack([channel * share for channel in base]).astype(np.float32)


def neck_and_shirt(
    canvas: Array,
    x: Array,
    y: Array,
    person: Identity,
    skin: tuple[float, float, float],
    view: View,
    turn: np.ndarray,
) -> None:
    """Paint neck and shirt over ``canvas`` (3, P); they stay upright while the head turns.

    The points come in rows from top to bottom, so those that lie low are the last.
    """
    first = y.size - np.count_nonzero(y < -0.45)
    x, y, part = x[first:], y[first:], canvas[:, first:]
    foot_x, foot_y, _ = (turn @ np.array([0.0, -0.75, -0.25])).tolist()
    half = 0.40 + 0.05 * (1.0 - person.femininity)
    lean = foot_x * limit((y + 1.9) * (1.0 / (foot_y + 1.9)), 0.0, 1.0)
    across = (x - lean) * (1.0 / (half + 0.16 * np.maximum(-1.05 - y, 0.0)))
    cover = soft(1.0 - np.abs(across), 0.03) * soft(foot_y + 0.15 - y, 0.2)
    side = math.sin(math.radians(view.light_azimuth)) * across
    light = view.light_ambient * 0.78 + 0.55 * view.light_strength * (
        0.62 + 0.38 * side - 0.25 * across * across
    )
    chin_y = (turn @ np.array([0.0, -person.chin, 0.3])).tolist()[1]
    lit = light * (0.60 + 0.32 * soft(chin_y - 0.10 - y, 0.22))
    for channel, value in zip(part, skin, strict=True):
        channel += cover * (value * lit - channel)
    tone = hue(view.shirt_hue, 0.12 + 0.68 * view.shirt, 0.30)
    collar = -1.30 + 0.10 * np.abs(x) ** 2 - 0.16 * soft(0.55 - np.abs(x), 0.25)
    shoulder = -1.02 - 0.30 * np.maximum(np.abs(x) - 0.62, 0.0) - 0.66 * np.maximum(0.62 - np.abs(x), 0.0)
    cloth = soft(np.minimum(shoulder, collar + 0.18) - y, 0.02)
    fold = 0.85 + 0.10 * np.sin(9 * x + 4 * y)
    fold *= 0.25 + view.light_ambient + 0.4 * view.light_strength
    for channel, value in zip(part, tone, strict=True):
        channel += cloth * (value * fold - channel)


def ear(
    rays: Rays, person: Identity, head: Solid, side: float
) -> tuple[Array, np.ndarray, tuple[Array, ...]]:
    """One ear, an ellipsoid: distance (P,), where it is met (P,) bool, normal in the head's axes."""
    size = person.ear_size
    centre = (side * (head.width * 0.985 + person.ear_out), 0.0, -0.06)
    axes = (0.065 + 0.5 * person.ear_out, 0.215 * size, 0.13 * size)
    point = [(p - c) * (1 / a) for p, c, a in zip((rays.x, rays.y, rays.z), centre, axes, strict=True)]
    way = [d / a for d, a in zip(rays.direction, axes, strict=True)]
    square = sum(d * d for d in way)
    linear = point[0] * way[0] + point[1] * way[1] + point[2] * way[2]
    rest = point[0] ** 2 + point[1] ** 2 + point[2] ** 2 - 1.0
    inside = linear * linear - square * rest
    distance = (-linear + np.sqrt(np.maximum(inside, 0.0))) * (1.0 / square)
    normal = tuple((p + distance * d) * (1 / a) for p, d, a in zip(point, way, axes, strict=True))
    return distance, inside > 0, normal


def ear_colour(skin: tuple[float, float, float]) -> tuple[float, float, float]:
    """Ears are a little redder than the face."""
    return blend(skin, (0.75, 0.35, 0.30), 0.18)
