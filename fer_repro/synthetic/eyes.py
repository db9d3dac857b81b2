"""The eyes: ball, iris, lids, lashes and the lines around them."""

import math

import numpy as np

from fer_repro.synthetic.drawing import Array, Colour, bell, darken, mix, soft, spot, window
from fer_repro.synthetic.factors import Actions, Identity, View
from fer_repro.synthetic.skin import EYE_LEVEL, Surface, wear

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


def paint_eyes(surface: Surface, person: Identity, actions: Actions, view: View) -> None:
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
