"""The parts of a face: eyes with lids and lashes, mouth with teeth and tongue, hair as a second solid."""

import math
from dataclasses import dataclass

import numpy as np

from fer_repro.synthetic.drawing import (
    Array,
    Colour,
    bell,
    blend,
    darken,
    hue,
    mix,
    soft,
    spot,
    strands,
    window,
)
from fer_repro.synthetic.factors import Actions, Identity, Viewpoint
from fer_repro.synthetic.head import JAW_DROP, Solid
from fer_repro.synthetic.skin import EYE_LEVEL, Surface, hair_colour, skin_colour, wear

IRIS_COLOURS: dict[str, Colour] = {
    "dark": (0.17, 0.10, 0.07),
    "brown": (0.33, 0.19, 0.10),
    "hazel": (0.46, 0.33, 0.15),
    "green": (0.36, 0.46, 0.27),
    "blue": (0.31, 0.49, 0.66),
    "grey": (0.44, 0.51, 0.55),
}
LASH: Colour = (0.07, 0.045, 0.04)


def lid_heights(person: Identity, actions: Actions) -> tuple[float, float]:
    """Height of the upper lid above and of the lower lid below the eye's middle, face units."""
    upper = 1.0 + 0.75 * actions.lid_raise - 0.42 * actions.lid_tight - 0.26 * actions.cheek_raise
    upper -= 0.62 * actions.lid_droop + 0.25 * actions.nose_wrinkle + 0.12 * actions.brow_lower
    lower = 0.62 + 0.16 * actions.lid_raise - 0.48 * actions.cheek_raise - 0.36 * actions.lid_tight
    lower -= 0.2 * actions.nose_wrinkle
    return person.eye_open * max(upper, 0.10), person.eye_open * max(lower, 0.05)


def paint_eyes(surface: Surface, person: Identity, actions: Actions, view: Viewpoint) -> None:
    """Paint both eyes on the points around them."""
    u = np.abs(surface.x) - person.eye_spacing
    near = np.flatnonzero((np.abs(u) < 0.30) & (np.abs(surface.y - EYE_LEVEL) < 0.22))
    if near.size:
        part = surface.crop(near)
        _paint_eyes(part, person, actions, (view.gaze_x, view.gaze_y))
        surface.paste(near, part)


def _paint_eyes(surface: Surface, person: Identity, actions: Actions, gaze: tuple[float, float]) -> None:
    width, edge = person.eye_size, surface.edge
    side = np.sign(surface.x)
    u = np.abs(surface.x) - person.eye_spacing  # grows from the nose outwards
    q = u * (1.0 / width)
    tilt = person.eye_tilt - 0.020 * actions.inner_raise * (1 - actions.outer_raise)
    v = surface.y - EYE_LEVEL - tilt * q
    up, down = lid_heights(person, actions)
    bow = np.maximum(1.0 - q * q, 0.0)
    upper = up * (0.55 * np.sqrt(bow) + 0.45 * bow) * (1.0 - 0.10 * q) + 0.04 * actions.brow_lower * up * q
    lower = -down * bow * (1.0 + 0.15 * q)
    opening = soft(upper - v, edge) * soft(v - lower, edge) * soft(1.02 - np.abs(q), 0.06)

    _paint_lids(surface, person, actions, (q, v, upper, lower))
    seen = np.flatnonzero(opening > 0.002)
    if seen.size:
        ball = _ball(person, gaze, (q[seen], u[seen], v[seen], upper[seen]), side[seen], edge)
        here = surface.albedo[:, seen]
        surface.albedo[:, seen] = here + opening[seen] * (ball - here)
        surface.gloss[seen] *= 1.0 - opening[seen]

    lash = 0.010 + 0.012 * person.lashes
    reach = soft(1.10 + 0.08 * person.lashes - q, 0.08) * soft(q + 1.0, 0.10)
    line = bell(v - upper - 0.35 * lash, lash + 0.4 * edge) * reach * (0.66 + 0.3 * person.lashes)
    mix(surface.albedo, LASH, np.minimum(line, 0.95))
    mix(
        surface.albedo,
        LASH,
        bell(v - lower, 0.009 + 0.4 * edge) * soft(1.02 - np.abs(q), 0.1) * (0.22 + 0.18 * person.lashes),
    )


def _ball(
    person: Identity,
    gaze: tuple[float, float],
    frame: tuple[Array, Array, Array, Array],
    side: Array,
    edge: float,
) -> Array:
    """Colour (3, P) of the eyeball: white, iris with a darker rim, pupil, and the upper lid's shadow."""
    q, u, v, upper = frame
    width = person.eye_size
    shade = 1.0 - 0.22 * q * q - 0.32 * soft(v - upper + 0.022, 0.030)
    ball = np.stack([value * shade for value in (0.93, 0.91, 0.89)])
    radius = 0.43 * width
    du, dv = u - side * (gaze[0] * 0.38 * width), v - 0.006 - 0.02 * gaze[1]
    far = np.sqrt(du * du + dv * dv)
    colour = IRIS_COLOURS[person.iris]
    disc = soft(radius - far, edge)
    mix(ball, colour, disc * (1.0 - 0.12 * soft(v - upper + 0.03, 0.03)))
    darken(ball, disc * bell(far - radius, 0.25 * radius) * 0.6, (1, 1, 1))
    mix(ball, (0.03, 0.025, 0.025), soft(0.45 * radius - far, edge))
    glint = spot(du + side * (0.32 * radius), dv, (0.0, 0.38 * radius), (0.26 * radius, 0.26 * radius))
    mix(ball, (1.35, 1.35, 1.35), glint * 0.95)
    corner = spot(q, v, (-0.95, 0.0), (0.16, 0.03)) * 0.6
    mix(ball, (0.80, 0.50, 0.45), corner)
    return ball


def _paint_lids(
    surface: Surface,
    person: Identity,
    actions: Actions,
    frame: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    q, v, upper, lower = frame
    old = wear(person)
    fold = person.lid_fold * (1.0 - 0.45 * actions.lid_raise + 0.3 * actions.lid_droop)
    inside = soft(1.25 - np.abs(q), 0.15)
    crease = bell(v - upper - fold - 0.004, 0.011) * inside * (0.42 if person.lid_fold > 0.012 else 0.1)
    lid = window(v - upper, 0.0, fold, 0.012) * inside * (0.10 + 0.25 * person.lip_colour)
    bag = bell(v - lower + 0.055, 0.016) * soft(1.05 - np.abs(q - 0.05), 0.3)
    bag = bag * (0.05 + 0.20 * old + 0.26 * actions.cheek_raise + 0.18 * actions.lid_tight)
    feet = np.zeros_like(v)
    strength = 0.42 * actions.cheek_raise * (0.45 + 0.55 * old) + 0.16 * old
    if strength > 0.02:
        out = (q - 1.12) * person.eye_size
        for angle in (-0.55, -0.05, 0.40):
            feet = feet + bell(v - out * math.tan(angle) - 0.004, 0.008)
        feet = feet * window(out, 0.0, 0.10, 0.03) * strength
    darken(surface.albedo, np.minimum(crease + lid + bag + feet, 0.6))


TEETH: Colour = (0.95, 0.93, 0.88)
TONGUE: Colour = (0.66, 0.30, 0.29)
DARK: Colour = (0.17, 0.05, 0.05)
LIPSTICK: tuple[Colour, ...] = ((0.72, 0.16, 0.22), (0.80, 0.30, 0.34), (0.55, 0.13, 0.18))


def lip_colour(person: Identity) -> Colour:
    """Colour of the lips: skin made redder, or lipstick."""
    bare = blend(skin_colour(person), (0.62, 0.24, 0.24), 0.46)
    stick = LIPSTICK[int(person.texture * 2.99)]
    return blend(bare, stick, 0.85 * person.lip_colour)


@dataclass(frozen=True)
class Lips:
    """Where the lips run; heights in face units, each (P,)."""

    half: float  # half width of the mouth
    middle: float  # height of its middle
    corner: float  # rise of the corners above the middle
    gap: float  # how far a dropped jaw opens it
    q: Array  # place across, -1 and 1 at the corners
    line: Array  # where the closed lips meet
    raised: Array  # by how much the upper lip is lifted
    top: Array  # upper edge of the upper lip
    inner_top: Array
    inner_low: Array
    low: Array  # lower edge of the lower lip


def lips_of(x: Array, person: Identity, actions: Actions) -> Lips:
    """The lips' edges over the points' x (P,)."""
    a = actions
    wide = 1.0 + 0.34 * a.corner_pull + 0.30 * a.stretch + 0.06 * a.lip_raise - 0.10 * a.chin_raise
    wide -= 0.30 * a.jaw_drop * (1.0 - 0.8 * a.corner_pull) + 0.08 * a.press + 0.04 * a.corner_drop
    half = person.mouth_width * max(wide, 0.5)
    q = x * (1.0 / half)
    q2 = np.minimum(q * q, 1.4)
    bow = np.maximum(1.0 - q2, 0.0)
    root = np.sqrt(bow)
    corner = 0.125 * a.corner_pull - 0.115 * a.corner_drop - 0.035 * a.stretch - 0.03 * a.lip_raise
    middle = person.mouth_level + 0.005 * a.corner_pull + 0.028 * a.chin_raise - 0.03 * a.jaw_drop
    line = middle + corner * q2 + 0.012 * a.chin_raise * bow - 0.004 * bell(q, 0.3)

    # a jaw drop makes the opening round, parting lips make it wide
    gap = 0.028 * a.part + 0.285 * a.jaw_drop
    rim = bow * (0.4 * a.jaw_drop + 0.2) + root * (0.8 - 0.4 * a.jaw_drop)
    raised = 0.095 * a.lip_raise * (0.3 + 0.7 * bow) * (0.5 + 0.5 * soft(0.75 - np.abs(q), 0.35))
    smile = 0.105 * a.part * a.corner_pull
    bare = 0.085 * a.part * max(a.stretch, a.lip_drop)
    inner_top = line + rim * (0.16 * gap + 0.014 * a.part + 0.25 * bare + 0.22 * smile) + raised
    inner_low = line - rim * (0.84 * gap + 0.014 * a.part + bare + smile) + raised * (1.0 - a.part) * 0.9

    thin = (1.0 - 0.72 * a.press) * (1.0 - 0.25 * a.corner_pull) * (1.0 - 0.25 * a.stretch)
    upper = person.lip_upper * thin * (1.0 - 0.25 * a.lip_raise)
    lower = person.lip_lower * thin * (1.0 + 0.25 * a.chin_raise)
    cupid = 1.0 + 0.30 * bell(np.abs(q) - 0.26, 0.17) - 0.22 * bell(q, 0.12)
    top = inner_top + upper * cupid * (0.35 * root + 0.65 * bow)
    low = inner_low - lower * (0.6 * root + 0.4 * bow)
    return Lips(half, middle, corner, gap, q, line, raised, top, inner_top, inner_low, low)


def paint_mouth(surface: Surface, person: Identity, actions: Actions) -> None:
    """Paint the mouth on the points around it."""
    x, y = surface.x, surface.y
    level = person.mouth_level
    near = np.flatnonzero((np.abs(x) < 0.56) & (y < level + 0.26) & (y > level - 0.48))
    if near.size:
        part = surface.crop(near)
        lips = lips_of(part.x, person, actions)
        _paint_lips(part, person, lips)
        _paint_inside(part, actions, lips)
        _paint_edges(part, person, actions, lips)
        surface.paste(near, part)


def _paint_lips(surface: Surface, person: Identity, lips: Lips) -> None:
    y, edge = surface.y, surface.edge
    cover = soft(lips.top - y, edge + 0.006) * soft(y - lips.low, edge + 0.008)
    cover *= soft(1.0 - np.abs(lips.q), 0.03)
    mix(surface.albedo, lip_colour(person), cover * (0.72 + 0.28 * person.lip_colour))
    darken(surface.albedo, cover * soft(y - lips.line, 0.02) * 0.14)  # the upper lip faces down
    lower = (y - 0.5 * (lips.low + lips.inner_low)) * (1.0 / 0.04)
    round_off = np.exp(-lower * lower) * cover
    surface.slope_y += round_off * lower * (-0.9)
    surface.slope_y += cover * bell(y - lips.top, 0.03) * (-0.25)
    surface.gloss += round_off * bell(lips.q, 0.5) * 0.5


def _paint_inside(surface: Surface, actions: Actions, lips: Lips) -> None:
    """Teeth, tongue and the dark, where the mouth is open."""
    edge = surface.edge
    hole = soft(lips.inner_top - surface.y, edge) * soft(surface.y - lips.inner_low, edge)
    hole *= soft(1.0 - np.abs(lips.q), 0.03) * soft(lips.inner_top - lips.inner_low - 0.006, 0.006)
    seen = np.flatnonzero(hole > 0.002)
    if not seen.size:
        return
    x, y, q, hole = surface.x[seen], surface.y[seen], lips.q[seen], hole[seen]
    inside = np.empty((3, seen.size), np.float32)
    for channel, value in zip(inside, DARK, strict=True):
        channel[:] = value
    tongue = spot(x, y, (0.0, lips.middle - 0.86 * lips.gap - 0.04), (lips.half * 0.62, 0.10))
    mix(inside, TONGUE, tongue * (0.85 * min(1.0, 3.0 * lips.gap)))
    upper = max(0.55 * actions.corner_pull, 0.75 * actions.lip_raise, 0.42 * actions.stretch, 0.10)
    lower = max(actions.lip_drop, 0.75 * actions.stretch)
    _paint_teeth(inside, (x, q), y - lips.inner_top[seen] + 0.035 + 0.10 * upper, edge)
    _paint_teeth(inside, (x, q), lips.inner_low[seen] - y + 0.012 + 0.075 * lower, edge)
    inside *= 1.0 - 0.45 * np.minimum(q * q, 1.0) - 0.25 * bell(y - lips.inner_top[seen], 0.018)
    here = surface.albedo[:, seen]
    surface.albedo[:, seen] = here + hole * (inside - here)
    surface.gloss[seen] *= 1.0 - hole


def _paint_teeth(inside: Array, frame: tuple[Array, Array], within: Array, edge: float) -> None:
    """One row of teeth where ``within`` (P,) is positive."""
    x, q = frame
    row = soft(within, edge + 0.004) * soft(0.96 - np.abs(q), 0.06)
    mix(inside, TEETH, row)
    darken(inside, bell(np.sin(x * 40.0), 0.16) * row * 0.14, (1, 1, 1))


def _paint_edges(surface: Surface, person: Identity, actions: Actions, lips: Lips) -> None:
    """The seam of closed lips, the pits at the corners, the shade below and the dimpled chin."""
    x, y, a = surface.x, surface.y, actions
    seam = bell(y - lips.line - lips.raised * 0.9, 0.010 + 0.5 * surface.edge)
    seam *= soft(1.03 - np.abs(lips.q), 0.05) * soft(0.045 - lips.inner_top + lips.inner_low, 0.035)
    mix(surface.albedo, blend(DARK, lip_colour(person), 0.18), seam * (0.72 + 0.1 * a.press))
    pit = spot(np.abs(x), y, (lips.half * 1.02, lips.middle + lips.corner), (0.028, 0.026))
    darken(surface.albedo, pit * (0.34 + 0.2 * a.corner_pull + 0.2 * a.corner_drop))
    under = bell(y - lips.low + 0.035, 0.032) * soft(0.62 - np.abs(lips.q), 0.3)
    darken(surface.albedo, under * (0.26 + 0.14 * a.chin_raise))
    if a.chin_raise > 0.05:
        below = lips.middle - 0.24 - JAW_DROP * a.jaw_drop
        dimple = spot(x, y, (0, below), (0.15, 0.07)) * (0.5 + 0.5 * np.sin(x * 95) * np.sin(y * 85))
        darken(surface.albedo, dimple * (0.24 * a.chin_raise))


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


CUTS: dict[str, Cut] = {
    "buzz": Cut(0.018, 0.012, -0.10, 0.02, 0.93, 0.02, 0.55, 0.02),
    "short": Cut(0.10, 0.035, -0.18, -0.08, 0.92, 0.00, 0.60, 0.05),
    "quiff": Cut(0.19, 0.03, -0.18, -0.05, 0.92, 0.02, 0.70, 0.10),
    "curly": Cut(0.20, 0.16, -0.22, -0.15, 0.90, -0.02, 0.35, 0.5),
    "fringe": Cut(0.11, 0.10, -0.85, -0.85, 0.88, -0.22, 0.85, 0.03),
    "bob": Cut(0.11, 0.16, -0.88, -0.88, 0.90, 0.00, 0.25, 0.06),
    "long": Cut(0.10, 0.15, -3.0, -3.0, 0.90, 0.00, 0.20, 0.08),
    "wavy": Cut(0.13, 0.22, -3.0, -3.0, 0.89, 0.00, 0.25, 0.28),
    "tied": Cut(0.05, 0.02, -0.10, 0.00, 0.93, 0.02, 0.30, 0.03),
    "scarf": Cut(0.09, 0.10, -3.0, -3.0, 0.83, -0.02, 0.15, 0.0),
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
