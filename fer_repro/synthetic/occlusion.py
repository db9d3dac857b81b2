"""Things in front of the face, each with the mask of what it occludes."""

import math
from dataclasses import dataclass

import numpy as np

from fer_repro.synthetic.drawing import Array, Colour, bell, blend, hue, limit, mix, soft, strands
from fer_repro.synthetic.factors import Identity, Viewpoint
from fer_repro.synthetic.head import Rays, Solid
from fer_repro.synthetic.light import shade, to_image
from fer_repro.synthetic.skin import EYE_LEVEL, hair_colour, skin_colour


@dataclass(frozen=True)
class Scene:
    """What an occluder needs; P points of the image."""

    x: Array  # image coordinates, face units
    y: Array
    rays: Rays
    depth: Array  # distance of the head along the rays, -9 where there is none
    head: Solid
    person: Identity
    view: Viewpoint
    turn: np.ndarray
    step: float  # distance of neighbouring rays


def occlude(canvas: Array, scene: Scene) -> Array:
    """Draw the occluder over ``canvas`` (3, P) in place and return its opacity (P,) in [0, 1]."""
    kind = scene.view.occluder
    if kind in ("glasses", "sunglasses"):
        return _glasses(canvas, scene, dark=kind == "sunglasses")
    if kind == "mask":
        return _mask(canvas, scene)
    if kind == "hand":
        return _hand(canvas, scene)
    if kind == "hair":
        return _lock(canvas, scene)
    if kind == "block":
        return _block(canvas, scene)
    return np.zeros_like(scene.x)


def _on_plane(scene: Scene, axis: int, place: float) -> tuple[Array, tuple[Array, Array, Array]]:
    """Where the rays meet the plane x, y or z = place in head coordinates."""
    rays = scene.rays
    start = (rays.x, rays.y, rays.z)[axis]
    rate = rays.direction[axis]
    distance = (place - start) * (1.0 / rate)
    return distance, rays.at(distance)


def _glasses(canvas: Array, scene: Scene, dark: bool) -> Array:
    person, view, head = scene.person, scene.view, scene.head
    front = head.front * 0.98 + 0.08
    distance, (x, y, _) = _on_plane(scene, 2, front)
    seen = soft(distance - scene.depth + 0.01, 0.02)
    folded, edge = np.abs(x), 0.5 * scene.step + 0.004
    wide, high = 0.205 + 0.025 * view.occluder_size, 0.145 + 0.045 * view.occluder_size
    square = 0.9 * view.occluder_tone
    across, up = (folded - person.eye_spacing - 0.01) * (1 / wide), (y - EYE_LEVEL + 0.02) * (1 / high)
    a2, b2 = across * across, up * up
    level = np.sqrt((1.0 - square) * (a2 + b2) + square * (a2 * a2 + b2 * b2))
    rim_width = (0.012 + 0.016 * ((view.occluder_tone * 3.7) % 1.0)) * (1.3 if dark else 1.0)
    rim = soft(rim_width - np.abs(level - 1.0) * high, edge)
    gap = person.eye_spacing + 0.01 - wide
    bridge = soft(gap - folded, edge) * soft(0.016 - np.abs(y - EYE_LEVEL - 0.035 + 0.6 * x * x), edge)
    hinge = person.eye_spacing + wide + 0.06
    lug = soft(folded - hinge + 0.07, 0.02) * soft(hinge - folded, edge)
    lug = lug * soft(ARM - np.abs(y - EYE_LEVEL - 0.045), edge)
    frame = np.maximum(np.maximum(rim, bridge), lug) * seen
    lens = soft(1.0 - level, edge / high) * seen
    tone = view.occluder_tone
    colour = along_frames(tone)
    shine = bell(x - 0.7 * y - 0.35 * np.sign(x) + 0.05, 0.035) * lens
    if dark:
        mix(canvas, (0.05, 0.05, 0.06), lens * (0.90 - 0.25 * soft(-up, 0.8)))
        mix(canvas, (0.75, 0.80, 0.85), shine * 0.30)
    else:
        mix(canvas, (0.95, 0.97, 1.0), shine * 0.35)
    mix(canvas, colour, frame)
    opacity = np.maximum(frame, lens if dark else np.where(shine > 0.1, 0.35 * shine, 0.0))
    return np.maximum(opacity, _arms(canvas, scene, colour, (hinge, front), edge))


def along_frames(tone: float) -> Colour:
    """Colour of a frame: black, tortoise, red or metal."""
    frames: tuple[Colour, ...] = (
        (0.06, 0.06, 0.07),
        (0.30, 0.17, 0.09),
        (0.45, 0.10, 0.12),
        (0.55, 0.55, 0.58),
    )
    return frames[min(int(tone * len(frames)), len(frames) - 1)]


def _arms(canvas: Array, scene: Scene, colour: Colour, start: tuple[float, float], edge: float) -> Array:
    """The arms: from the hinges (x, z) back to the head, then along it to the ears."""
    hinge, front = start
    x, y, z = scene.rays.at(scene.depth)
    along = soft(np.abs(x) - hinge + 0.02, 0.02) * soft(z + 0.06, 0.02) * (scene.depth > -5)
    total = along * soft(ARM - np.abs(y - EYE_LEVEL - 0.045), edge)
    if abs(scene.rays.direction[0]) > 0.03:
        for side in (-1.0, 1.0):
            distance, (_, y, z) = _on_plane(scene, 0, side * hinge)
            arm = (
                soft(front - z, 0.01) * soft(z - 0.1, 0.02) * soft(ARM - np.abs(y - EYE_LEVEL - 0.045), edge)
            )
            total = np.maximum(total, arm * soft(distance - scene.depth + 0.01, 0.02))
    mix(canvas, colour, total)
    return total


def _mask(canvas: Array, scene: Scene) -> Array:
    view, head = scene.view, scene.head
    chin = head.bottom - head.middle
    shell = Solid(
        middle=-0.38,
        width=head.width * 0.97,
        front=head.front + 0.27,
        back=0.6,
        top=0.62,
        bottom=chin - 0.38 + 0.06,
        square_top=0.5,
        square_bottom=0.35,
        taper=0.28,
    )
    distance, met = shell.meet(scene.rays)
    x, y, z = scene.rays.at(distance)
    edge = 0.5 * scene.step + 0.006
    folded = np.abs(x) * (1.0 / head.width)
    upper = -0.02 - 0.20 * folded * folded + 0.10 * bell(x, 0.16) - 0.10 * view.occluder_size
    region = soft(upper - y, edge) * soft(z - 0.16, 0.02) * met
    strap = np.zeros_like(x)
    hx, hy, hz = scene.rays.at(scene.depth)
    for height, drop in ((-0.16, 0.30), (-0.55, -0.62)):
        line = hy - height - drop * (0.30 - hz)
        strap = np.maximum(
            strap, soft(0.012 - np.abs(line), edge) * soft(hz + 0.05, 0.03) * soft(0.45 - hz, 0.05)
        )
    strap = strap * (scene.depth > -5) * (np.abs(hx) > 0.3)
    tone = view.occluder_tone
    colour = (
        hue(0.55, 0.70, 0.12) if tone < 0.5 else ((0.93, 0.93, 0.93) if tone < 0.75 else (0.11, 0.11, 0.13))
    )
    _, gx, gy, gz = shell.gradient(x, y, z)
    inverse = 1.0 / np.sqrt(gx * gx + gy * gy + gz * gz + 1e-6)
    pleat = np.sin((y + 0.35) * 38.0) * bell(y + 0.45, 0.28)
    normals = (gx * inverse, gy * inverse + 0.16 * pleat, gz * inverse)
    albedo = np.empty_like(canvas)
    for channel, value in zip(albedo, colour, strict=True):
        channel[:] = value
    lighted = shade(albedo, to_image(normals, scene.turn), view, 0.05)
    mix(canvas, (0.90, 0.90, 0.90), strap * 0.9)
    canvas += region * (lighted - canvas)
    return np.maximum(region, strap * 0.9)


ARM = 0.016  # half thickness of the arms of glasses
FINGERS = ((-0.27, 0.40), (-0.09, 0.50), (0.09, 0.47), (0.26, 0.36))  # root across the palm, length


def _hand(canvas: Array, scene: Scene) -> Array:
    view = scene.view
    scale = 0.72 + 0.38 * view.occluder_size
    angle = math.radians(view.occluder_angle)
    dx, dy = scene.x - view.occluder_x, scene.y - view.occluder_y
    u = (dx * math.cos(angle) + dy * math.sin(angle)) * (1 / scale)
    v = (-dx * math.sin(angle) + dy * math.cos(angle)) * (1 / scale)
    skin = skin_colour(scene.person)
    edge = (0.5 * scene.step + 0.004) / scale
    total = np.zeros_like(u)
    parts = [((0.0, -1.2), (0.0, -0.75), 0.24), ((-0.13, -0.33), (-0.15, -0.50), 0.20)]
    parts += [((0.10, -0.33), (0.10, -0.55), 0.22), ((-0.20, -0.45), (-0.50, -0.02), 0.085)]
    parts += [((root * 0.85, -0.30), (root * 1.15, length - 0.08), 0.080) for root, length in FINGERS]
    for start, end, radius in parts:
        cover, normals, along = _capsule(u, v, start, end, radius, edge)
        albedo = np.empty_like(canvas)
        for channel, value in zip(albedo, blend(skin, (0.85, 0.45, 0.38), 0.10), strict=True):
            channel[:] = value
        if radius < 0.09:
            nail = np.exp(-(((along - 1.02) / 0.09) ** 4)) * (normals[2] > 0.75)
            mix(albedo, blend(skin, (0.98, 0.80, 0.76), 0.6), nail * 0.6)
            for knuckle in (0.30, 0.62):
                albedo *= 1.0 - 0.10 * bell(along - knuckle, 0.03)
        nx, ny, nz = normals
        turned = (
            nx * math.cos(angle) - ny * math.sin(angle),
            nx * math.sin(angle) + ny * math.cos(angle),
            nz,
        )
        rim = 1.0 - 0.35 * soft(0.45 - nz, 0.35)
        lighted = shade(albedo, turned, view, 0.15) * rim
        canvas += cover * (lighted - canvas)
        total = np.maximum(total, cover)
    return total


def _capsule(
    u: Array, v: Array, start: tuple[float, float], end: tuple[float, float], radius: float, edge: float
) -> tuple[Array, tuple[Array, Array, Array], Array]:
    """Opacity, unit normals and place along the axis (0 to 1) of a rounded stick, each (P,)."""
    ax, ay = end[0] - start[0], end[1] - start[1]
    along = ((u - start[0]) * ax + (v - start[1]) * ay) * (1.0 / (ax * ax + ay * ay))
    held = limit(along, 0.0, 1.0)
    du, dv = u - start[0] - held * ax, v - start[1] - held * ay
    far2 = (du * du + dv * dv) * (1.0 / radius**2)
    nz = np.sqrt(np.maximum(1.0 - 0.96 * far2, 0.03))
    cover = soft(radius * (1.0 - np.sqrt(far2)), edge)
    return cover, (du * (0.95 / radius), dv * (0.95 / radius), nz), along


def _lock(canvas: Array, scene: Scene) -> Array:
    """A lock of hair that falls from the forehead over one eye."""
    view, person = scene.view, scene.person
    _, (x, y, _) = _on_plane(scene, 2, scene.head.front * 0.98)
    side = 1.0 if view.occluder_x >= 0 else -1.0
    down = 0.95 - y
    middle = view.occluder_x + side * (0.10 - 0.32 * down + 0.26 * down * down)
    width = (0.19 + 0.12 * view.occluder_size) * (1.0 - 0.35 * limit(down / 1.7, 0.0, 1.0))
    across = (x - middle) * side
    streak = strands(across * 1.6, y, person.texture, 0.02)
    cover = soft(width - np.abs(across) + 0.05 * streak, 0.02 + 0.5 * scene.step)
    end = -0.30 - 0.35 * view.occluder_size
    cover = cover * soft(y - end + 0.10 * streak, 0.06) * soft(down + 0.25, 0.1)
    albedo = np.empty_like(canvas)
    for channel, value in zip(albedo, hair_colour(person), strict=True):
        channel[:] = value * (1.0 + 0.25 * streak)
    bend = limit(across / width, -1.0, 1.0) * side
    normal = to_image((bend * 0.8 + 0.1 * streak, 0.2 + 0.0 * bend, 1.0 + 0.0 * bend), scene.turn)
    lighted = shade(albedo, normal, view, 0.4 + 0.4 * streak)
    canvas += cover * (lighted - canvas)
    return cover


def _block(canvas: Array, scene: Scene) -> Array:
    """A plain rounded rectangle, as a censor bar, a phone or a card would be."""
    view = scene.view
    angle = math.radians(view.occluder_angle)
    dx, dy = scene.x - view.occluder_x, scene.y - view.occluder_y
    u = np.abs(dx * math.cos(angle) + dy * math.sin(angle))
    v = np.abs(-dx * math.sin(angle) + dy * math.cos(angle))
    wide, high = 0.26 + 0.34 * view.occluder_size, 0.20 + 0.16 * view.occluder_size
    corner = 0.05
    out = np.sqrt(np.maximum(u - wide + corner, 0.0) ** 2 + np.maximum(v - high + corner, 0.0) ** 2)
    cover = soft(corner - out, 0.5 * scene.step + 0.002)
    base = hue((view.occluder_tone * 5.3) % 1.0, 0.10 + 0.75 * view.occluder_tone, 0.15)
    for channel, value in zip(canvas, base, strict=True):
        channel += cover * (value * (1.0 + 0.12 * dy) - channel)
    return cover
