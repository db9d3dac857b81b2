"""Render faces from their factors: rays, solids, paint, light, occluders, camera."""

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.errors import UserError
from fer_repro.synthetic import face_parts, light, skin
from fer_repro.synthetic.drawing import Array
from fer_repro.synthetic.factors import Actions, Identity, Viewpoint, check_factors, take_part
from fer_repro.synthetic.head import (
    Rays,
    Solid,
    backdrop,
    cast,
    climb_nose,
    ear,
    ear_colour,
    head_solid,
    neck_and_shirt,
    nose_of,
    rotation,
)
from fer_repro.synthetic.occlusion import Scene, occlude

VIEW_HALF = 1.16  # half side of the image in face units at zoom 1
CENTRE = (0.0, -0.06, 0.40)  # the point of the head, in head coordinates, that the crop is centred on
SUPERSAMPLE = 2  # rays per pixel and axis; averaging them smooths the edges
MAX_SIZE = 1024
EXPRESSIVE = 4 / 255  # change of a colour value that counts as moved by the expression


@dataclass(frozen=True)
class Rendered:
    """Images and, on request, masks of what is where in them."""

    images: NDArray[np.uint8]  # (N, H, W) grey or (N, H, W, 3) RGB
    occluded: NDArray[np.bool_]  # (N, H, W): hidden by the occluder, at least in part
    expressive: NDArray[np.bool_] | None  # (N, H, W): changed by the expression


def render(
    factors: pd.DataFrame,
    size: int,
    colour: bool = False,
    regions: bool = False,
    supersample: int = SUPERSAMPLE,
) -> Rendered:
    """Render one image per row.

    The image of a row depends on the row alone, never on its neighbours, and is the same for the same
    machine and package versions; another machine's floating-point functions may move a value by a grey level.

    Args:
        factors: table with every column of ``factors.FACTOR_COLUMNS``; further columns are ignored.
        size: side in pixels, 8 to 1024.
        colour: RGB instead of grey.
        regions: also compare with the neutral face and return ``expressive``, which takes twice the time.
        supersample: rays per pixel and axis.

    Raises:
        UserError: a column is missing, a value is not finite, a word or the size is unknown.
    """
    if not 8 <= size <= MAX_SIZE:
        raise UserError(f"render: size is {size}; expected 8 to {MAX_SIZE} pixels")
    if not 1 <= supersample <= 8:
        raise UserError(f"render: supersample is {supersample}; expected 1 to 8")
    check_factors(factors)
    count = len(factors)
    images = np.empty((count, size, size, 3) if colour else (count, size, size), np.uint8)
    occluded = np.zeros((count, size, size), np.bool_)
    expressive = np.zeros((count, size, size), np.bool_) if regions else None
    for index, row in enumerate(factors.to_dict("records")):
        person, actions, view = take_part(Identity, row), take_part(Actions, row), take_part(Viewpoint, row)
        clean, occluded[index] = draw_face(person, actions, view, size, supersample)
        images[index] = light.photograph(clean, view, colour)
        if expressive is not None:
            rest, _ = draw_face(person, Actions(**dict.fromkeys(vars(actions), 0.0)), view, size, supersample)
            expressive[index] = np.abs(clean - rest).max(axis=2) > EXPRESSIVE
    return Rendered(images, occluded, expressive)


def draw_face(
    person: Identity, actions: Actions, view: Viewpoint, size: int, supersample: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Render one face before the camera: colour (H, W, 3) in [0, 1] and the occluder's mask (H, W)."""
    x, y, step = aim(view, size * supersample)
    turn = rotation(view)
    rays = cast(x, y, turn)
    head = head_solid(person, actions)
    canvas = backdrop(x, y, view)
    styled = person.hair_style != "bald"
    shell = face_parts.hair_solid(person, head) if styled else head
    if styled:
        met_hair = shell.meet(rays)
        _paint_behind(canvas, person, met_hair[1])
    neck_and_shirt(canvas, x, y, person, skin.skin_colour(person), view, turn)
    depth = _paint_head(canvas, rays, head, (person, actions, view), turn, 0.5 * step)
    _paint_ears(canvas, rays, depth, head, (person, view), turn)
    if styled:
        _paint_hair(canvas, rays, (person, view), shell, met_hair, turn, depth, 0.5 * step)
    covered = occlude(canvas, Scene(x, y, rays, depth, head, person, view, turn, step))
    image = _join_rays(np.add, np.clip(canvas, 0.0, 1.0, out=canvas), size) / supersample**2
    mask = _join_rays(np.logical_or, covered > 0.02, size)
    return np.ascontiguousarray(image.transpose(1, 2, 0)), mask


def _join_rays(join: np.ufunc, values: np.ndarray, size: int) -> np.ndarray:
    """Join the values (..., P) of each pixel's rays to (..., size, size); axes this short slow numpy down."""
    rays = math.isqrt(values.shape[-1]) // size
    values = values.reshape(*values.shape[:-1], size, rays, size, rays)
    rows = reduce(join, (values[..., place] for place in range(rays)))
    return np.asarray(reduce(join, (rows[..., place, :] for place in range(rays))))


def aim(view: Viewpoint, side: int) -> tuple[Array, Array, float]:
    """Where the rays of an image pass: x and y (side * side,) in image coordinates, and their distance.

    Args:
        view: zoom and shift of the crop, and the pose, whose middle of the head is centred.
        side: rays per axis.
    """
    half = VIEW_HALF / view.zoom
    line = (np.arange(side, dtype=np.float32) + 0.5) * (2.0 / side) - 1.0
    x = np.tile((line - 2.0 * view.jitter_x) * half, side).astype(np.float32)
    y = np.repeat((-line + 2.0 * view.jitter_y) * half, side).astype(np.float32)
    shift = (rotation(view) @ np.array(CENTRE)).tolist()
    return x + shift[0], y + shift[1], 2.0 * half / side


def _paint_behind(canvas: Array, person: Identity, met: np.ndarray) -> None:
    if face_parts.CUTS[person.hair_style].end < -0.6:
        for channel, value in zip(canvas, face_parts.inside_colour(person), strict=True):
            channel[met] = value


def _paint_head(
    canvas: Array,
    rays: Rays,
    head: Solid,
    who: tuple[Identity, Actions, Viewpoint],
    turn: np.ndarray,
    edge: float,
) -> Array:
    """Paint the visible head and return its distance (P,), -9 where there is none."""
    person, actions, view = who
    distance, met = head.meet(rays)
    here = np.flatnonzero(met)
    part = rays.only(here)
    nose = nose_of(person, actions)
    reach = climb_nose(head, nose, part, distance[here])
    x, y, z = part.at(reach)
    base = head.height(x, y)
    _, gx, gy, gz = head.gradient(x, y, np.where((base > 0.02) & (z > 0), base, z))
    inverse = 1.0 / np.sqrt(gx * gx + gy * gy + gz * gz)
    nx, ny, nz = gx * inverse, gy * inverse, gz * inverse

    colour = np.empty((3, here.size), np.float32)
    for channel, value in zip(colour, skin.skin_colour(person), strict=True):
        channel[:] = value
    flat = np.zeros_like(x)
    surface = skin.Surface(
        x, y - person.asymmetry * x, max(0.006, edge), colour, flat, flat.copy(), flat + 0.22
    )
    front = np.flatnonzero(z > 0.0)
    front = front[skin.lower_first(surface.y[front])]
    visible = surface.crop(front)
    _paint_face(visible, person, actions, view)
    surface.paste(front, visible)
    nose_x, nose_y = nose.slope(x, y)
    facing = np.maximum(nz, 0.0)
    normals = (
        nx - facing * (surface.slope_x + nose_x),
        ny - facing * (surface.slope_y + nose_y),
        nz,
    )
    lit = light.nose_shadow(x, y, nose, view, turn)
    if person.hair_style != "bald":
        near = face_parts.cover(person, x, y - 0.03, z, 0.05)
        lit = lit * (1.0 - 0.35 * near)
    canvas[:, here] = light.shade(surface.albedo, light.to_image(normals, turn), view, surface.gloss, lit)
    depth = np.full_like(rays.x, -9.0)
    depth[here] = reach
    return depth


def _paint_face(surface: skin.Surface, person: Identity, actions: Actions, view: Viewpoint) -> None:
    nose = nose_of(person, actions)
    skin.shape_relief(surface, person, actions)
    skin.paint_skin(surface, person, actions, nose)
    skin.paint_folds(surface, person, actions, nose)
    if max(person.beard, person.moustache) > 0.02:
        skin.paint_beard(surface, person, actions)
    face_parts.paint_mouth(surface, person, actions)
    face_parts.paint_eyes(surface, person, actions, view)
    skin.paint_brows(surface, person, actions)


def _paint_ears(
    canvas: Array,
    rays: Rays,
    depth: Array,
    head: Solid,
    who: tuple[Identity, Viewpoint],
    turn: np.ndarray,
) -> None:
    person, view = who
    if face_parts.CUTS.get(person.hair_style, face_parts.CUTS["buzz"]).end < -0.6:
        return
    for side in (-1.0, 1.0):
        near = np.flatnonzero((np.abs(rays.y) < 0.45) & (side * rays.x > 0.4))
        distance, met, normal = ear(rays.only(near), person, head, side)
        seen = np.flatnonzero(met & (distance > depth[near]))
        if not seen.size:
            continue
        nx, ny, nz = (part[seen] for part in normal)
        colour = np.empty((3, seen.size), np.float32)
        for channel, value in zip(colour, ear_colour(skin.skin_colour(person)), strict=True):
            channel[:] = value
        colour *= 1.0 - 0.30 * np.exp(
            -(((ny - 0.3) / 3.0) ** 2) - (side * nx / 7.0 - 0.9) ** 2 * 4
        )  # the hollow
        here = near[seen]
        canvas[:, here] = light.shade(colour, light.to_image((nx, ny, nz), turn), view, 0.1)
        depth[here] = distance[seen]


def _paint_hair(
    canvas: Array,
    rays: Rays,
    who: tuple[Identity, Viewpoint],
    shell: Solid,
    met: tuple[Array, np.ndarray],
    turn: np.ndarray,
    depth: Array,
    edge: float,
) -> None:
    person, view = who
    here = np.flatnonzero(met[1] & (met[0] > depth - 0.02))
    distance = met[0][here]
    x, y, z = rays.only(here).at(distance)
    opacity = face_parts.cover(person, x, y, z, edge)
    some = np.flatnonzero(opacity > 0.004)
    here, x, y, z, opacity = here[some], x[some], y[some], z[some], opacity[some]
    if not here.size:
        return
    _, gx, gy, gz = shell.gradient(x, y, z)
    colour, relief = face_parts.tint(person, x, y, z)
    inverse = 1.0 / np.sqrt(gx * gx + gy * gy + gz * gz)
    normals = (gx * inverse + 0.10 * relief, gy * inverse + 0.05 * relief, gz * inverse)
    gloss = 0.0 if person.hair_style == "scarf" else 0.5 + 0.5 * relief
    lighted = light.shade(colour, light.to_image(normals, turn), view, gloss)
    canvas[:, here] += opacity * (lighted - canvas[:, here])
