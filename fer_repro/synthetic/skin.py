"""The skin: its colour, the soft relief beside the nose, folds, lines, brows and beard."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fer_repro.synthetic.drawing import (
    Array,
    Colour,
    along,
    bell,
    blend,
    darken,
    limit,
    mix,
    soft,
    spot,
    strands,
    window,
)
from fer_repro.synthetic.factors import Actions, Identity
from fer_repro.synthetic.head import JAW_DROP, Nose

SKIN_TONES: tuple[Colour, ...] = (
    (0.98, 0.83, 0.74),
    (0.94, 0.75, 0.62),
    (0.86, 0.64, 0.48),
    (0.70, 0.48, 0.34),
    (0.52, 0.34, 0.24),
    (0.37, 0.24, 0.175),
)
FAINT = 0.004  # lines weaker than this are not rendered
FOLDS = -0.13  # height between the folds of the lower and of the upper face
EYE_LEVEL = 0.085  # height of the eyes' middle


@dataclass
class Surface:
    """Points of the visible head in face coordinates, and what is painted on them; P points."""

    x: Array
    y: Array
    edge: float  # half width of the softest edge worth drawing, about half an image element
    albedo: Array  # (3, P)
    slope_x: Array  # d relief / dx, (P,); bends the normals
    slope_y: Array
    gloss: Array  # (P,)

    def crop(self, keep: np.ndarray | slice) -> "Surface":
        """The points at the given indices, copied; of a slice not: what is painted there is painted here."""
        return Surface(
            self.x[keep],
            self.y[keep],
            self.edge,
            self.albedo[:, keep],
            self.slope_x[keep],
            self.slope_y[keep],
            self.gloss[keep],
        )

    def paste(self, keep: np.ndarray, part: "Surface") -> None:
        """Put a cropped part back."""
        self.albedo[:, keep] = part.albedo
        self.slope_x[keep], self.slope_y[keep] = part.slope_x, part.slope_y
        self.gloss[keep] = part.gloss

    def bump(self, centre: tuple[float, float], size: tuple[float, float], height: float) -> None:
        """Add a Gaussian hill of ``height`` face units to the relief."""
        across, up = (self.x - centre[0]) * (1 / size[0]), (self.y - centre[1]) * (1 / size[1])
        hill = np.exp(-(across * across + up * up)) * (-2.0 * height)
        self.slope_x += hill * across * (1 / size[0])
        self.slope_y += hill * up * (1 / size[1])

    @cached_property
    def sides(self) -> tuple[Array, Array]:
        """Distance from the middle line, and the side, which changes smoothly across it; each (P,)."""
        return np.abs(self.x), limit(self.x * 12.0, -1.0, 1.0)

    def bumps(self, centre: tuple[float, float], size: tuple[float, float], height: float) -> None:
        """Add a pair of hills at +-x; points of each half see their own one."""
        folded, side = self.sides
        across, up = (folded - centre[0]) * (1 / size[0]), (self.y - centre[1]) * (1 / size[1])
        hill = np.exp(-(across * across + up * up)) * (-2.0 * height)
        self.slope_x += hill * across * side * (1 / size[0])
        self.slope_y += hill * up * (1 / size[1])


def skin_colour(person: Identity) -> Colour:
    """Bare skin's colour."""
    red, green, blue = along(SKIN_TONES, person.skin_tone)
    return red * (1 - 0.02 * person.skin_warmth), green, blue * (1 - 0.07 * person.skin_warmth)


def hair_colour(person: Identity) -> Colour:
    """Colour of hair, brows and beard."""
    base = along(((0.07, 0.06, 0.06), (0.24, 0.15, 0.10), (0.78, 0.60, 0.36)), person.hair_tone)
    base = blend(base, (0.50, 0.20, 0.08), 0.8 * person.hair_red)
    return blend(base, (0.74, 0.73, 0.72), person.hair_grey)


def wear(person: Identity) -> float:
    """How far age has worn the skin, 0 at 30 years or less to 1 at 75."""
    return min(max((person.age - 30.0) / 45.0, 0.0), 1.0)


def shape_relief(surface: Surface, person: Identity, actions: Actions) -> None:
    """Brow ridge, sockets, cheeks, muzzle and chin."""
    male = 1.0 - person.femininity
    chin = -(person.chin + JAW_DROP * actions.jaw_drop - 0.03 * actions.chin_raise)
    mouth, spacing = person.mouth_level, person.eye_spacing
    brow = person.brow_level + 0.07 * actions.outer_raise - 0.07 * actions.brow_lower
    surface.bumps((spacing - 0.05, brow - 0.01), (0.22, 0.075), 0.014 + 0.018 * male)
    surface.bumps((spacing, EYE_LEVEL + 0.03), (0.20, 0.12), -0.050)
    surface.bumps((spacing, EYE_LEVEL), (0.13, 0.085), 0.034)
    surface.bumps((0.44, -0.10), (0.20, 0.15), 0.02 + 0.045 * person.cheekbone)
    lift = actions.cheek_raise
    surface.bumps((0.38, -0.17 + 0.04 * lift), (0.15, 0.12), 0.015 + 0.06 * lift + 0.02 * actions.corner_pull)
    surface.bumps((0.47, -0.46), (0.14, 0.20), -0.02 - 0.02 * person.cheekbone - 0.02 * wear(person))
    surface.bump((0.0, mouth + 0.03), (0.30, 0.20), 0.05)
    surface.bump((0.0, mouth + 0.13), (0.028, 0.06), -0.008)
    surface.bump((0.0, chin + 0.16), (0.15 + 0.06 * male, 0.10), 0.05 + 0.03 * actions.chin_raise)
    surface.bumps((0.22, 0.56), (0.24, 0.16), 0.02)


def paint_skin(surface: Surface, person: Identity, actions: Actions, nose: Nose) -> None:
    """Blush, shades in the hollows, nostrils, freckles."""
    x, y = surface.x, surface.y
    folded = np.abs(x)
    fair = 1.0 - 0.6 * person.skin_tone
    blush = spot(folded, y, (0.42, -0.20), (0.20, 0.16)) * (0.20 + 0.12 * person.lip_colour)
    blush += spot(x, y, (0.0, nose.tip), (0.12, 0.12)) * 0.14
    mix(surface.albedo, blend(skin_colour(person), (0.86, 0.38, 0.32), 0.55), blush * fair)
    spacing = person.eye_spacing
    inner = spot(folded, y, (spacing - 0.13, EYE_LEVEL + 0.055), (0.07, 0.09)) * 0.26
    under = spot(folded, y, (spacing - 0.02, EYE_LEVEL - 0.10), (0.14, 0.035)) * (0.07 + 0.10 * wear(person))
    lid = spot(folded, y, (spacing, EYE_LEVEL + 0.085), (0.17, 0.045)) * 0.12
    side = spot(folded, y, (nose.wing * 1.02, nose.base + 0.07), (0.035, 0.09)) * 0.22
    floor = spot(x, y, (0.0, nose.base - 0.005), (nose.wing * 0.8, 0.035)) * 0.16
    darken(surface.albedo, np.minimum(inner + under + lid + side + floor, 0.7))
    flare = 0.012 * actions.nose_wrinkle
    nostril = spot(folded, y, (nose.wing * 0.46, nose.base + 0.022), (0.036 + flare, 0.018 + flare))
    mix(surface.albedo, (0.20, 0.08, 0.06), np.minimum(nostril * 0.9, 0.75))
    surface.gloss += spot(x, y, (0.0, nose.tip + 0.03), (0.05, 0.07)) * 0.5
    surface.gloss += (
        spot(folded, y, (0.40, -0.06), (0.12, 0.07)) * 0.25 + spot(x, y, (0, 0.5), (0.3, 0.13)) * 0.2
    )
    if person.freckles > 0.05:
        grain = np.sin(x * 61 + 5 * np.sin(y * 37 + 9)) * np.sin(
            y * 67 + 4 * np.sin(x * 43 + 50 * person.texture)
        )
        place = spot(folded, y, (0.22, -0.12), (0.30, 0.15))
        darken(surface.albedo, soft(grain - 0.45, 0.3) * place * (0.20 * person.freckles), (0.6, 1.0, 1.1))


def paint_folds(surface: Surface, person: Identity, actions: Actions, nose: Nose) -> None:
    """Folds from nose to mouth, lines of forehead, glabella and nose.

    The points come in the order of ``lower_first``.
    """
    lower = np.count_nonzero(surface.y < FOLDS)
    for near, paint in ((slice(lower), _paint_lower_folds), (slice(lower, None), _paint_upper_folds)):
        part = surface.crop(near)
        if part.x.size:
            paint(part, person, actions, nose)


def lower_first(y: Array) -> np.ndarray:
    """Order (P,) of points by the folds they may have: those of the lower face first."""
    lower = y < FOLDS
    return np.concatenate([np.flatnonzero(lower), np.flatnonzero(~lower)])


def _paint_lower_folds(surface: Surface, person: Identity, actions: Actions, nose: Nose) -> None:
    x, y = surface.x, surface.y
    folded, old = np.abs(x), wear(person)
    mouth = person.mouth_level
    fold = min(
        0.09
        + 0.30 * old
        + 0.42 * actions.corner_pull
        + 0.45 * actions.lip_raise
        + 0.35 * actions.nose_wrinkle,
        0.85,
    )
    start, reach = nose.base + 0.09, person.mouth_width * (1.12 + 0.28 * actions.corner_pull) + 0.05
    run = (start - y) * (1.0 / (start - mouth + 0.06))
    centre = nose.wing * 1.0 + (reach - nose.wing) * run * (1.35 - 0.35 * run) + 0.02 * actions.lip_raise
    along_fold = window(run, 0.02, 1.0, 0.16)
    offset = folded - centre
    crease = bell(offset, 0.026) * along_fold * fold
    puff = (bell(offset - 0.05, 0.05) - bell(offset, 0.03)) * along_fold
    surface.slope_x -= np.sign(x) * puff * (0.35 * fold)
    crease = crease * 0.52
    below = 0.22 * old + 0.28 * actions.corner_drop  # the fold below the corners of the mouth
    if below > FAINT:
        line = bell(folded - person.mouth_width - 0.05, 0.02)
        crease += line * window(y, mouth - 0.20, mouth - 0.04, 0.06) * below
    darken(surface.albedo, np.minimum(crease, 0.65))


def _paint_upper_folds(surface: Surface, person: Identity, actions: Actions, _: Nose) -> None:
    x, y = surface.x, surface.y
    folded, old = np.abs(x), wear(person)
    raised = max(actions.inner_raise, actions.outer_raise) * (1.0 - 0.5 * actions.brow_lower)
    total = np.zeros_like(x)
    deep = 0.30 * raised * (0.5 + 0.5 * old) + 0.16 * old
    if deep > FAINT:
        top = person.brow_level + 0.15 + 0.05 * raised
        wave = 0.02 * np.cos(folded * 7.0 + 6.0 * person.texture)
        for step in range(3):
            total += bell(y - top - 0.09 * step - wave, 0.013) * (deep * (1.0 - 0.18 * step))
        total *= soft(0.40 - folded, 0.14)
    frown = min(0.9 * actions.brow_lower + 0.25 * actions.nose_wrinkle + 0.12 * old, 1.0)
    brow = person.brow_level - 0.05 * actions.brow_lower
    if frown > FAINT:
        lines = bell(folded - 0.055 + 0.1 * (y - brow), 0.016)
        total += lines * window(y, brow - 0.10, brow + 0.13, 0.06) * (0.45 * frown)
    if actions.nose_wrinkle > FAINT:
        ridges = bell(np.sin((y - 0.35 * folded) * 58.0) - 1.0, 0.55) * spot(x, y, (0, 0.06), (0.12, 0.10))
        sides = bell(folded - 0.13 + 0.5 * (y - 0.02), 0.022) * window(y, -0.12, 0.10, 0.05)
        total += (ridges * 0.40 + sides * 0.32) * actions.nose_wrinkle
    darken(surface.albedo, np.minimum(total, 0.65))
    surface.bump((0.0, brow - 0.02), (0.09, 0.10), 0.030 * frown)


def paint_brows(surface: Surface, person: Identity, actions: Actions) -> None:
    """Brows: raised inside or outside, pulled down and together."""
    level = surface.y - person.brow_level
    near = np.flatnonzero((level > -0.24) & (level < 0.32))
    if near.size:
        part = surface.crop(near)
        _paint_brows(part, person, actions)
        surface.paste(near, part)


def _paint_brows(surface: Surface, person: Identity, actions: Actions) -> None:
    colour = blend(hair_colour(person), (0.12, 0.08, 0.06), 0.35)
    thick = person.brow_thickness
    lowered = actions.brow_lower
    inner = person.eye_spacing - 0.235 - 0.035 * lowered
    away = np.abs(surface.x) - inner
    s = limit(away * (1.0 / person.brow_length), -0.2, 1.2)
    arch = person.brow_arch * (1.0 - 2.2 * (s - 0.62) ** 2) + person.brow_slant * s
    height = person.brow_level + arch
    height = height + actions.inner_raise * (0.115 * np.maximum(1.0 - s, 0.0) - 0.01)
    height = height + actions.outer_raise * 0.12 * (0.55 + 0.45 * np.sin(limit(s, 0, 1) * 3.1416))
    height = height - lowered * (0.105 - 0.075 * s) - actions.nose_wrinkle * 0.035
    body = thick * (1.0 - 0.72 * np.maximum(s, 0.0) ** 2) * (0.85 + 0.15 * soft(s, 0.3))
    distance = surface.y - height
    cover = soft(body - np.abs(distance), 0.35 * thick + surface.edge)
    cover = cover * soft(away + 0.005, 0.035) * soft(person.brow_length - away, 0.05)
    hairs = 1.0 + 0.22 * strands(away * 1.5 - distance * 1.6, distance, person.texture, 0.02)
    mix(surface.albedo, colour, limit(cover * hairs * person.brow_density, 0.0, 0.97))


def paint_beard(surface: Surface, person: Identity, actions: Actions) -> None:
    """Beard along the jaw and moustache above the lip, with streaks; light ones are stubble."""
    x, y = surface.x, surface.y
    folded = np.abs(x)
    streaks = 1.0 + 0.15 * strands(x * 1.4, y, person.texture, 0.03)
    colour = hair_colour(person)
    mouth = person.mouth_level + 0.02 * actions.corner_pull
    drop = JAW_DROP * actions.jaw_drop
    cheek = mouth + 0.02 + np.maximum(folded - 0.30, 0.0) * 1.15
    lip = spot(x, y, (0, mouth - 0.04 - 0.5 * drop), (person.mouth_width * 1.1, 0.11 + 0.5 * drop))
    jaw = soft(cheek - y, 0.07) * soft(0.5 - lip, 0.25)
    moustache = bell(y - mouth - 0.115 + 0.22 * folded * folded * 4, 0.05)
    moustache = moustache * soft(person.mouth_width + 0.06 - folded, 0.05)
    cover = np.maximum(jaw * person.beard, moustache * person.moustache) * streaks
    mix(surface.albedo, colour, limit(cover * 0.92, 0.0, 0.93))
    surface.gloss *= 1.0 - limit(cover, 0.0, 1.0)
