"""The mouth: lips, teeth, tongue and the dark behind them."""

from dataclasses import dataclass

import numpy as np

from fer_repro.synthetic.drawing import Array, Colour, bell, blend, darken, mix, soft, spot
from fer_repro.synthetic.factors import Actions, Identity
from fer_repro.synthetic.head import JAW_DROP
from fer_repro.synthetic.skin import Surface, skin_colour

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
