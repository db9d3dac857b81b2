"""Smooth marks on arrays of points: soft edges, bells, and mixing colours."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]
_HALF, _MINUS_TWO, _THREE = (np.array(value, np.float32) for value in (0.5, -2.0, 3.0))
"""As arrays: numpy takes half a microsecond to make one of a Python number, as long as for a sum."""


def limit(values: Array, low: float, high: float) -> Array:
    """Values limited to two bounds; as numpy.clip, which takes longer on short arrays."""
    return values.clip(low, high)


def soft(distance: Array, width: float) -> Array:
    """Smooth step: 0 where ``distance`` <= -``width``, 1 where >= ``width``; same shape as ``distance``."""
    step = distance * (0.5 / width)
    step += _HALF
    step.clip(0.0, 1.0, out=step)
    result = step * _MINUS_TWO
    result += _THREE
    result *= step
    result *= step
    return result


def bell(distance: Array, width: float) -> Array:
    """Gaussian bump exp(-(distance / width)^2), same shape as ``distance``."""
    scaled = distance * (1.0 / width)
    scaled *= scaled
    np.negative(scaled, out=scaled)
    return np.exp(scaled, out=scaled)


def spot(x: Array, y: Array, centre: tuple[float, float], size: tuple[float, float]) -> Array:
    """Elliptic Gaussian bump around ``centre``, (P,) in [0, 1]."""
    across, up = x - centre[0], y - centre[1]
    across *= across
    across *= -1.0 / size[0] ** 2
    up *= up
    up *= 1.0 / size[1] ** 2
    across -= up
    return np.exp(across, out=across)


def window(values: Array, low: float, high: float, width: float) -> Array:
    """About 1 between ``low`` and ``high``, falling smoothly to 0 over ``width`` on both sides."""
    return soft(values - low, width) * soft(high - values, width)


def mix(canvas: Array, colour: Colour, opacity: Array) -> None:
    """Lay a colour over ``canvas`` (3, P) in place; ``opacity`` (P,) in [0, 1]."""
    for channel, value in zip(canvas, colour, strict=True):
        step = value - channel
        step *= opacity
        channel += step


def darken(canvas: Array, opacity: Array, tint: Colour = (0.8, 1.0, 1.05)) -> None:
    """Multiply ``canvas`` (3, P) in place by 1 - ``opacity``, a little less in red as skin does."""
    for channel, share in zip(canvas, tint, strict=True):
        channel *= 1.0 - share * opacity


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Colour between two, ``share`` of the second."""
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue


def along(palette: tuple[Colour, ...], position: float) -> Colour:
    """Colour at ``position`` in [0, 1] along an evenly spaced palette."""
    place = min(max(position, 0.0), 1.0) * (len(palette) - 1)
    index = min(int(place), len(palette) - 2)
    return blend(palette[index], palette[index + 1], place - index)


def hue(position: float, brightness: float, saturation: float) -> Colour:
    """Colour of a hue in [0, 1] on a cosine wheel."""
    red, green, blue = (
        brightness * (1.0 + saturation * math.cos(2 * math.pi * (position - shift)))
        for shift in (0.0, 1 / 3, 2 / 3)
    )
    return red, green, blue


def strands(across: Array, down: Array, texture: float, curl: float) -> Array:
    """Hair-like streaks in about [-1, 1]: sines across the strands, bent along them by ``curl``."""
    bent = across + curl * np.sin(down * 9.0 + 40.0 * texture)
    total = np.sin(bent * 19.0 + 60.0 * texture)
    total += 0.9 * np.sin(bent * 43.0 + 170.0 * texture + down * 2.0)
    total += 0.8 * np.sin(bent * 97.0 + 310.0 * texture - down * 3.0)
    return total * 0.37
