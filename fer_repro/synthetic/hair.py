"""Hair as a second solid around the head, with an opening for the face."""

from dataclasses import dataclass

import numpy as np

from fer_repro.synthetic.drawing import Array, Colour, blend, hue, soft, strands
from fer_repro.synthetic.factors import Identity
from fer_repro.synthetic.head import Solid
from fer_repro.synthetic.skin import hair_colour


@dataclass(frozen=True)
class Cut:
    """What a hair style does to the solid; lengths in face units."""

    top: float  # added above the crown
    side: float  # added at the sides
    end: float  # height where the hair ends behind the ears
    burn: float  # height where it ends in front of the ears
    open_width: float  # half width of the opening for the face, as a share of the head's
    line: float  # shift of the hairline
    square: float  # 0 round opening to 1 square
    curl: float  # bend of the strands
    ragged: float  # roughness of the outline


CUTS: dict[str, Cut] = {
    "buzz": Cut(0.018, 0.012, -0.10, 0.02, 0.93, 0.02, 0.55, 0.02, 0.005),
    "short": Cut(0.10, 0.035, -0.18, -0.08, 0.92, 0.00, 0.60, 0.05, 0.02),
    "quiff": Cut(0.19, 0.03, -0.18, -0.05, 0.92, 0.02, 0.70, 0.10, 0.03),
    "curly": Cut(0.20, 0.16, -0.22, -0.15, 0.90, -0.02, 0.35, 0.5, 0.06),
    "fringe": Cut(0.11, 0.10, -0.85, -0.85, 0.88, -0.22, 0.85, 0.03, 0.02),
    "bob": Cut(0.11, 0.16, -0.88, -0.88, 0.90, 0.00, 0.25, 0.06, 0.02),
    "long": Cut(0.10, 0.15, -3.0, -3.0, 0.90, 0.00, 0.20, 0.08, 0.02),
    "wavy": Cut(0.13, 0.22, -3.0, -3.0, 0.89, 0.00, 0.25, 0.28, 0.05),
    "tied": Cut(0.05, 0.02, -0.10, 0.00, 0.93, 0.02, 0.30, 0.03, 0.01),
    "scarf": Cut(0.09, 0.10, -3.0, -3.0, 0.83, -0.02, 0.15, 0.0, 0.0),
}


def hair_solid(person: Identity, head: Solid) -> Solid:
    """The head's solid grown by the style; long hair reaches below the chin."""
    cut = CUTS[person.hair_style]
    volume = person.hair_volume
    long = cut.end < -0.6
    return Solid(
        middle=head.middle,
        width=head.width + cut.side * volume,
        front=head.front + 0.5 * cut.side * volume + 0.02,
        back=head.back + cut.side * volume + 0.02,
        top=head.top + cut.top * volume,
        bottom=1.75 if long else (0.82 if person.hair_style == "curly" else 0.86) * head.bottom,
        square_top=head.square_top + (0.1 if cut.top > 0.15 else 0.0),
        square_bottom=0.85 if long else head.square_bottom,
        taper=0.02 if long else head.taper,
    )


def cover(person: Identity, x: Array, y: Array, z: Array, edge: float) -> Array:
    """Opacity (P,) in [0, 1] of the hair at points on its solid (or, for shadows, on the skin)."""
    cut = CUTS[person.hair_style]
    parted = x - 0.35 * person.hair_part
    line = np.full_like(x, person.hair_line + cut.line)
    if person.hair_style in ("short", "quiff", "bob", "long", "wavy"):
        line = line - 0.10 * person.hair_part * x * 1.2 + 0.03 * np.exp(-(parted * parted) * 60.0)
    streak = strands(x * 1.3, y * 0.4, person.texture, cut.curl)
    middle = -0.02
    across = x * (1.0 / (cut.open_width * person.head_width))
    if cut.end < -0.6:  # long hair falls outwards past the cheeks
        across = across * (1.0 - 0.12 * soft(-0.40 - y, 0.40))
    up = np.maximum(y - middle, 0.0) / (line - middle)
    a2, b2 = across * across, up * up
    level = (1.0 - cut.square) * (a2 + b2) + cut.square * (a2 * a2 + b2 * b2)
    if person.hair_style == "fringe":
        level = a2 * a2 * a2 + b2 * b2 * b2
    rough = 0.05 if cut.burn > -0.6 or person.hair_style == "fringe" else 0.015
    rough = 0.0 if person.hair_style == "scarf" else rough
    opening = soft(1.0 - level + rough * streak, 0.035 + 2.0 * edge) * soft(z + 0.02, 0.06)
    front = soft(z + 0.30, 0.12)  # short hair ends above the ears and reaches the nape only behind them
    end = cut.end + front * (cut.burn - cut.end)
    below = soft(end - y + 0.03 * streak, 0.03 + edge)
    hidden = np.maximum(opening, below)
    opacity = 1.0 - hidden
    if person.hair_style == "buzz":
        opacity = opacity * 0.72
    return opacity


def tint(person: Identity, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Colour (3, P) of the hair and the relief (P,) of its strands in [-1, 1]."""
    base = cloth(person) if person.hair_style == "scarf" else hair_colour(person)
    cut = CUTS[person.hair_style]
    angle = np.arctan2(x - 0.3 * person.hair_part * soft(y - 0.3, 0.5), np.maximum(y + 0.35, 0.15))
    if person.hair_style == "scarf":
        relief = np.sin(angle * 6 + 5 * np.sqrt(x * x + z * z) + 6 * person.texture) * 0.5
        share = 1.0 + 0.10 * relief
    else:
        flow = angle * 1.5 + 0.12 * z
        relief = strands(flow, y + 0.5 * z, person.texture, cut.curl)
        if person.hair_style == "curly":
            relief = curls(x, y + 0.6 * z, person.texture) + 0.3 * relief
        share = 1.0 + 0.17 * relief
    colour = np.empty((3, x.size), np.float32)
    for channel, value in enumerate(base):
        colour[channel] = value * share
    return colour, relief


def curls(x: Array, y: Array, texture: float) -> Array:
    """Relief (P,) in [-1, 1] of small curls."""
    bent_x = x * 27.0 + 2.2 * np.sin(y * 19.0 + 30.0 * texture)
    bent_y = y * 25.0 + 2.2 * np.sin(x * 21.0 + 70.0 * texture)
    return np.sin(bent_x) * np.sin(bent_y)


def cloth(person: Identity) -> Colour:
    """Colour of a head scarf."""
    return hue(person.texture, 0.25 + 0.5 * ((person.texture * 7.3) % 1.0), 0.35)


def inside_colour(person: Identity) -> Colour:
    """The dark inner side of long hair."""
    base = cloth(person) if person.hair_style == "scarf" else hair_colour(person)
    return blend(base, (0.0, 0.0, 0.0), 0.6)
