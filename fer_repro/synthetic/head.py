"""The head as a solid - rays through the image meet a rounded body with a nose - and what is around it.

The head is the level set x^2 / W(y)^2 + z^2 / D^2 + T(y) = 1, where T grows from 0 at the widest height to 1
at crown and chin; every pixel's ray is intersected with it, so a turned head hides its far side and is never
a sheared image. Around it are backdrop, neck, shirt and ears.
"""

import math
from dataclasses import dataclass

import numpy as np

from fer_repro.synthetic.drawing import Array, blend, hue, limit, soft
from fer_repro.synthetic.factors import Actions, Identity, Viewpoint

NEWTON_STEPS = 3  # the solid is convex along a ray, so a few steps from outside converge
NOSE_STEPS = 7  # each goes NOSE_SHARE of the remaining way to the surface
NOSE_SHARE = 0.55  # below 1 / (1 + slope of the nose's side times tan(yaw)), so that no step passes the nose
SLOPE_STEP = 0.012  # face units
JAW_DROP = 0.16  # how far a dropped jaw takes the chin, face units


@dataclass(frozen=True)
class Rays:
    """Orthographic rays in head coordinates: point + distance * direction; P rays."""

    x: Array
    y: Array
    z: Array
    direction: tuple[float, float, float]

    def at(self, distance: Array) -> tuple[Array, Array, Array]:
        """Points at ``distance`` (P,) along the rays."""
        dx, dy, dz = self.direction
        return self.x + distance * dx, self.y + distance * dy, self.z + distance * dz

    def only(self, keep: np.ndarray) -> "Rays":
        """The rays at the given indices."""
        return Rays(self.x[keep], self.y[keep], self.z[keep], self.direction)


@dataclass(frozen=True)
class Solid:
    """A rounded body around the vertical axis; lengths in face units."""

    middle: float  # height of the widest section
    width: float
    front: float
    back: float
    top: float  # from the middle up
    bottom: float  # from the middle down
    square_top: float
    square_bottom: float
    taper: float

    def section(self, y: Array) -> tuple[Array, Array, Array, Array]:
        """T(y), its slope, W(y) and its slope, each (P,)."""
        up, down = self._away(y)
        up2, down2 = up * up, down * down
        slope = up2 * (self.square_top * 2.0)
        slope += 1.0 - self.square_top
        slope *= up
        slope *= 2.0 / self.top
        lower = down2 * (self.square_bottom * 2.0)
        lower += 1.0 - self.square_bottom
        lower *= down
        lower *= 2.0 / self.bottom
        slope += lower
        level, width = self._outline(up2, down2)
        down *= -2.0 * self.width * self.taper / self.bottom
        return level, slope, width, down

    def _away(self, y: Array) -> tuple[Array, Array]:
        """How far up (or 0) and down (or 0, negative) from the middle, as shares of the solid's reach."""
        away = y - self.middle
        up = np.maximum(away, 0.0)
        up *= 1.0 / self.top
        down = np.minimum(away, 0.0, out=away)
        down *= 1.0 / self.bottom
        return up, down

    def _outline(self, up2: Array, down2: Array) -> tuple[Array, Array]:
        """T and W, each (P,), from the squares of ``_away``; the latter is overwritten."""
        level = up2 * self.square_top
        level += 1.0 - self.square_top
        level *= up2
        low = down2 * self.square_bottom
        low += 1.0 - self.square_bottom
        low *= down2
        level += low
        width = np.minimum(down2, 1.3, out=down2)
        width *= -self.width * self.taper
        width += self.width
        return level, width

    def gradient(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array, Array]:
        """Value minus 1 (negative inside) and gradient of the level function, each (P,)."""
        level, slope, width, narrowing = self.section(y)
        inverse = 1.0 / width
        across = x * inverse
        deep = np.maximum(z, 0.0) * (1 / self.front**2) + np.minimum(z, 0.0) * (1 / self.back**2)
        value = across * across + z * deep + level - 1.0
        gx = 2.0 * across * inverse
        return value, gx, slope - gx * across * narrowing, 2.0 * deep

    def meet(self, rays: Rays) -> tuple[Array, np.ndarray]:
        """Distance (P,) of the first meeting from the viewer's side, and where there is one (P,) bool."""
        dx, dy, dz = rays.direction
        wide, high, deep = 1 / self.width, 1 / max(self.top, self.bottom), 1 / max(self.front, self.back)
        square = (dx * wide) ** 2 + (dy * high) ** 2 + (dz * deep) ** 2
        px, py, pz = rays.x * wide, (rays.y - self.middle) * high, rays.z * deep
        linear = px * (dx * wide) + py * (dy * high) + pz * (dz * deep)
        inside = linear * linear - square * (px * px + py * py + pz * pz - 1.2)
        distance = (np.sqrt(np.maximum(inside, 0.0)) - linear) * (1 / square)  # on an ellipsoid around it
        value = distance
        for _ in range(NEWTON_STEPS):
            value, gx, gy, gz = self.gradient(*rays.at(distance))
            rate = gx * dx + gy * dy + gz * dz
            distance = distance - limit(value / np.maximum(rate, 0.25), -0.5, 0.6)
        return distance, value < 0.03

    def height(self, x: Array, y: Array) -> Array:
        """The front surface's z over (x, y), 0 beyond the outline."""
        up, down = self._away(y)
        level, width = self._outline(up * up, down * down)
        across = x / width
        return self.front * np.sqrt(np.maximum(1.0 - level - across * across, 0.0))


def head_solid(person: Identity, actions: Actions) -> Solid:
    """The head without hair; the chin follows the jaw."""
    middle = 0.16
    chin = person.chin + JAW_DROP * actions.jaw_drop - 0.02 * actions.chin_raise
    return Solid(
        middle=middle,
        width=person.head_width,
        front=person.head_depth,
        back=person.head_depth * 1.2,
        top=person.head_top - middle,
        bottom=chin + middle,
        square_top=0.35,
        square_bottom=0.25 + 0.6 * person.jaw_square,
        taper=person.jaw_taper,
    )


def rotation(view: Viewpoint) -> np.ndarray:
    """Matrix (3, 3) from head to image coordinates: yaw first, then pitch, then roll."""
    yaw, pitch, roll = (math.radians(angle) for angle in (view.yaw, view.pitch, -view.roll))
    turn = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    nod = [[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]]
    lean = [[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]]
    return np.array(lean) @ np.array(nod) @ np.array(turn)


def cast(x: Array, y: Array, turn: np.ndarray) -> Rays:
    """Rays of image points (P,) in head coordinates."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = turn.T.tolist()  # the inverse of a rotation is its transpose
    return Rays(xx * x + xy * y, yx * x + yy * y, zx * x + zy * y, (xz, yz, zz))


@dataclass(frozen=True)
class Nose:
    """The nose's relief over the face."""

    root: float  # height where it starts
    tip: float  # height of the tip
    base: float  # height where it ends
    stand: float  # relief of the tip
    ridge: float  # half width of the ridge at the root
    wing: float  # half width at the wings

    def height(self, x: Array, y: Array) -> Array:
        """Relief (P,) in face units."""
        run = limit((self.root - y) * (1.0 / (self.root - self.tip)), 0.0, 1.15)
        rise = self.stand * run * (0.45 + 0.55 * run)
        under = soft(y - 0.5 * (self.tip + self.base) + 0.01, 0.75 * (self.tip - self.base))
        width = self.ridge + (0.52 * self.wing - self.ridge) * run * run
        across = x / width
        body = rise * under / (1.0 + across * across * (0.6 + 0.4 * across * across))
        side = (np.abs(x) - 0.66 * self.wing) * (1.0 / (0.36 * self.wing))
        up = (y - self.base - 0.06) * (1.0 / 0.062)
        wings = 0.38 * self.stand * np.exp(-(side * side + up * up))
        return body + wings

    def slope(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Slope of the relief along x and y, each (P,), by differences over a short step."""
        slope_x, slope_y = np.zeros_like(x), np.zeros_like(x)
        near = np.flatnonzero((np.abs(x) < 0.36) & (y < self.root + 0.03) & (y > self.base - 0.16))
        px, py = x[near], y[near]
        here = self.height(px, py)
        slope_x[near] = (self.height(px + SLOPE_STEP, py) - here) * (1 / SLOPE_STEP)
        slope_y[near] = (self.height(px, py + SLOPE_STEP) - here) * (1 / SLOPE_STEP)
        return slope_x, slope_y


def nose_of(person: Identity, actions: Actions) -> Nose:
    """The nose; wrinkling lifts and widens its wings."""
    root = 0.17
    tip = root - person.nose_length + 0.02 * actions.nose_wrinkle
    return Nose(
        root=root,
        tip=tip,
        base=tip - 0.11,
        stand=person.nose_height,
        ridge=person.nose_bridge,
        wing=person.nose_width * (1.0 + 0.14 * actions.nose_wrinkle + 0.08 * actions.corner_pull),
    )


def climb_nose(solid: Solid, nose: Nose, rays: Rays, distance: Array) -> Array:
    """Move distances (P,) on the bare head out to where the rays first meet the nose."""
    x, y, _ = rays.at(distance)
    near = np.flatnonzero((np.abs(x) < 0.5) & (y < nose.root + 0.12) & (y > nose.base - 0.18))
    if not near.size:
        return distance
    part = rays.only(near)
    reach = distance[near] + 1.15 * nose.stand
    for _ in range(NOSE_STEPS):
        x, y, z = part.at(reach)
        reach = reach - NOSE_SHARE * (z - solid.height(x, y) - nose.height(x, y))
    distance = distance.copy()
    distance[near] = reach
    return distance


def backdrop(x: Array, y: Array, view: Viewpoint) -> Array:
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
    view: Viewpoint,
    turn: np.ndarray,
) -> None:
    """Paint neck and shirt over ``canvas`` (3, P); they stay upright while the head rotates.

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
