"""The mouth: lips, teeth, tongue and the dark behind them."""

import numpy as np

from fer_repro.data.synthetic.drawing import Colour, bell, blend, darken, mix, soft, spot
from fer_repro.data.synthetic.factors import Actions, Identity
from fer_repro.data.synthetic.head import JAW_DROP
from fer_repro.data.synthetic.skin import Surface, skin_colour

TEETH: Colour = (0.95, 0.93, 0.88)
TONGUE: Colour = (0.66, 0.30, 0.29)
DARK: Colour = (0.17, 0.05, 0.05)
LIPSTICK: tuple[Colour, ...] = ((0.72, 0.16, 0.22), (0.80, 0.30, 0.34), (0.55, 0.13, 0.18))


def lip_colour(person: Identity) -> Colour:
    """Colour of the lips: skin made redder, or lipstick."""
    bare = blend(skin_colour(person), (0.62, 0.24, 0.24), 0.46)
    stick = LIPSTICK[int(person.texture * 2.99)]
    return blend(bare, stick, 0.85 * person.lip_colour)


def paint_mouth(surface: Surface, person: Identity, actions: Actions) -> None:
    """Paint the mouth on the points around it."""
    x, y = surface.x, surface.y
    level = person.mouth_level
    near = np.flatnonzero((np.abs(x) < 0.62) & (y < level + 0.30) & (y > level - 0.50))
    if near.size:
        part = surface.crop(near)
        _paint(part, person, actions)
        surface.paste(near, part)


def _paint(surface: Surface, person: Identity, actions: Actions) -> None:
    a, edge = actions, surface.edge
    x, y = surface.x, surface.y
    wide = (
        1.0
        + 0.34 * a.corner_pull
        + 0.30 * a.stretch
        - 0.30 * a.jaw_drop * (1.0 - 0.8 * a.corner_pull)
        - 0.10 * a.chin_raise
    )
    wide += 0.06 * a.lip_raise - 0.08 * a.press - 0.04 * a.corner_drop
    half = person.mouth_width * max(wide, 0.5)
    q = x * (1.0 / half)
    q2 = np.minimum(q * q, 1.4)
    bow = np.maximum(1.0 - q2, 0.0)
    root = np.sqrt(bow)
    corner = 0.125 * a.corner_pull - 0.115 * a.corner_drop - 0.035 * a.stretch - 0.03 * a.lip_raise
    middle = person.mouth_level + 0.005 * a.corner_pull + 0.028 * a.chin_raise - 0.03 * a.jaw_drop
    line = middle + corner * q2 + 0.012 * a.chin_raise * bow - 0.004 * bell(q, 0.3)

    # the opening: a jaw drop makes it round, parting lips make it wide
    gap = max(0.028 * a.part + 0.285 * a.jaw_drop, 0.0)
    rim = bow * (0.4 * a.jaw_drop + 0.2) + root * (0.8 - 0.4 * a.jaw_drop)
    raised = 0.095 * a.lip_raise * (0.3 + 0.7 * bow) * (0.5 + 0.5 * soft(0.75 - np.abs(q), 0.35))
    smile = 0.105 * a.part * a.corner_pull
    bare = 0.085 * a.part * max(a.stretch, a.lip_drop)
    inner_top = line + rim * (0.16 * gap + 0.014 * a.part + 0.25 * bare + 0.22 * smile) + raised
    floor = rim * (0.84 * gap + 0.014 * a.part + bare + smile)
    inner_low = line - floor + raised * (1.0 - a.part) * 0.9

    thin = (1.0 - 0.72 * a.press) * (1.0 - 0.25 * a.corner_pull) * (1.0 - 0.25 * a.stretch)
    cupid = 1.0 + 0.30 * bell(np.abs(q) - 0.26, 0.17) - 0.22 * bell(q, 0.12)
    top = inner_top + person.lip_upper * thin * (1.0 - 0.25 * a.lip_raise) * cupid * (
        0.35 * root + 0.65 * bow
    )
    low = inner_low - person.lip_lower * thin * (1.0 + 0.25 * a.chin_raise) * (0.6 * root + 0.4 * bow)

    inside_q = soft(1.0 - np.abs(q), 0.03)
    lips = soft(top - y, edge + 0.006) * soft(y - low, edge + 0.008) * inside_q
    colour = lip_colour(person)
    mix(surface.albedo, colour, lips * (0.72 + 0.28 * person.lip_colour))
    darken(surface.albedo, lips * soft(y - line, 0.02) * 0.14)  # the upper lip faces down
    _shape_lips(surface, (top, low, inner_low, q), lips)

    # inside
    hole = soft(inner_top - y, edge) * soft(y - inner_low, edge) * inside_q
    height = inner_top - inner_low
    hole = hole * soft(height - 0.006, 0.006)
    inside = np.empty_like(surface.albedo)
    for channel, value in enumerate(DARK):
        inside[channel] = value
    tongue = spot(x, y, (0.0, middle - 0.86 * gap - 0.04), (half * 0.62, 0.10)) * (0.85 * min(1.0, 3 * gap))
    mix(inside, TONGUE, np.minimum(tongue, 1.0))
    show = max(0.55 * a.corner_pull, 0.75 * a.lip_raise, 0.42 * a.stretch, 0.10)
    _paint_teeth(inside, (x, y, q), inner_top, 0.035 + 0.10 * show, edge)
    _paint_teeth(inside, (x, -y, q), -inner_low, 0.012 + 0.075 * max(a.lip_drop, 0.75 * a.stretch), edge)
    shade = 1.0 - 0.45 * np.minimum(q2, 1.0) - 0.25 * bell(y - inner_top, 0.018)
    surface.albedo += hole * (inside * shade - surface.albedo)
    surface.gloss *= 1.0 - hole

    seam = bell(y - line - raised * 0.9, 0.010 + 0.5 * edge) * soft(1.03 - np.abs(q), 0.05)
    seam = seam * soft(0.045 - height, 0.035) * (0.72 + 0.1 * a.press)
    mix(surface.albedo, blend(DARK, colour, 0.18), np.minimum(seam, 0.9))
    pit = spot(np.abs(x), y, (half * 1.02, middle + corner), (0.028, 0.026))
    darken(surface.albedo, pit * (0.34 + 0.2 * a.corner_pull + 0.2 * a.corner_drop))
    under = bell(y - low + 0.035, 0.032) * soft(0.62 - np.abs(q), 0.3) * (0.26 + 0.14 * a.chin_raise)
    darken(surface.albedo, under)
    if a.chin_raise > 0.05:
        pit_y = middle - 0.24 - JAW_DROP * a.jaw_drop
        dimple = spot(x, y, (0, pit_y), (0.15, 0.07)) * (0.5 + 0.5 * np.sin(x * 95) * np.sin(y * 85))
        darken(surface.albedo, dimple * (0.24 * a.chin_raise))


def _shape_lips(
    surface: Surface, frame: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], lips: np.ndarray
) -> None:
    top, low, inner_low, q = frame
    lower = (surface.y - 0.5 * (low + inner_low)) * (1.0 / 0.04)
    surface.slope_y += lips * np.exp(-lower * lower) * lower * (-0.9)
    surface.slope_y += lips * bell(surface.y - top, 0.03) * (-0.25)
    surface.gloss += lips * np.exp(-lower * lower) * bell(q, 0.5) * 0.5


def _paint_teeth(
    inside: np.ndarray,
    frame: tuple[np.ndarray, np.ndarray, np.ndarray],
    edge_line: np.ndarray,
    length: float,
    edge: float,
) -> None:
    x, y, q = frame
    row = soft(y - (edge_line - length), edge + 0.004) * soft(0.96 - np.abs(q), 0.06)
    mix(inside, TEETH, row)
    gaps = bell(np.sin(x * 40.0), 0.16) * row * 0.14
    darken(inside, gaps, (1, 1, 1))
