"""Regions of a face, the whole face last: RAN's fixed, random and landmark crops (arXiv:1905.04075).

Boxes are left, top, right, bottom as fractions of the face's sides. The whole face is the paper's I_0; it
is last here, as in the authors' code. They resize with Pillow's default, nearest or bicubic by its
version; we interpolate linearly, without aliases when a crop shrinks.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_repro.datasets.draws import Stream, uniforms
from fer_repro.errors import UserError, nearest
from fer_repro.loading.augmentation import resize

Box = tuple[float, float, float, float]

FIXED: dict[str, Box] = {  # I_1 ... I_5 and I_0 of the paper
    "top left": (0.0, 0.0, 0.75, 0.75),
    "top right": (0.25, 0.0, 1.0, 0.75),
    "bottom": (0.125, 0.25, 0.875, 1.0),
    "centre 0.9": (0.05, 0.05, 0.95, 0.95),
    "centre 0.85": (0.075, 0.075, 0.925, 0.925),
    "whole face": (0.0, 0.0, 1.0, 1.0),
}
AFFECTNET: dict[str, Box] = {  # the authors' code for AffectNet, in its order
    "bottom": (0.125, 0.25, 0.875, 1.0),
    "top left": (0.0, 0.0, 0.75, 0.75),
    "top right": (0.25, 0.0, 1.0, 0.75),
    "centre 0.9": (0.05, 0.05, 0.95, 0.95),
    "centre 0.8": (0.1, 0.1, 0.9, 0.9),
    "centre 0.75": (0.125, 0.125, 0.875, 0.875),
    "top": (0.125, 0.0, 0.875, 0.75),
    "whole face": (0.0, 0.0, 1.0, 1.0),
}
LANDMARKS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
SMALLEST, LARGEST = 0.7, 0.95  # side of a random crop
RANDOM_CROPS = 5  # as many as fixed ones; the paper's number is not verified
RADII = (0.15, 0.25)  # of landmark crops: two sizes as in the paper's figure, their values are ours


def region_names(crops: str) -> tuple[str, ...]:
    """Name the regions of a scheme in order, for figures.

    Args:
        crops: ``fixed``, ``affectnet``, ``random`` or ``landmarks``.

    Raises:
        UserError: there is no such scheme.
    """
    names = {
        "fixed": tuple(FIXED),
        "affectnet": tuple(AFFECTNET),
        "random": (*(f"crop {n}" for n in range(1, RANDOM_CROPS + 1)), "whole face"),
        "landmarks": (*(f"{point}, {radius:g}" for radius in RADII for point in LANDMARKS), "whole face"),
    }
    if crops not in names:
        raise UserError(f"model.crops is '{crops}'; {nearest(crops, names)}")
    return names[crops]


def region_boxes(
    crops: str, samples: np.ndarray, seed: int = 0, counter: int = 0, points: np.ndarray | None = None
) -> np.ndarray:
    """Choose the boxes of a scheme.

    Args:
        crops: ``fixed``, ``affectnet``, ``random`` or ``landmarks``.
        samples: (N,) sample ids, the key of what is drawn.
        seed: the run's seed.
        counter: the epoch; one fixed value for validation and test.
        points: (N, 5, 2) right and down as fractions of the sides, in the order of ``LANDMARKS``.

    Returns:
        (R, 4) for all faces, or (N, R, 4).

    Raises:
        UserError: there is no such scheme, or landmarks are missing.
    """
    region_names(crops)
    if crops == "random":
        return random_boxes(RANDOM_CROPS, samples, seed, counter)
    if crops == "landmarks":
        if points is None:
            raise UserError("model.crops 'landmarks' needs five points per face; this data set has none")
        return landmark_boxes(points, RADII)
    return np.array(list((FIXED if crops == "fixed" else AFFECTNET).values()))


def random_boxes(count: int, samples: np.ndarray, seed: int, counter: int) -> np.ndarray:
    """Draw squares of 0.7 to 0.95 of the side, anywhere within the face, as a pure function of the key.

    Args:
        count: crops per face.
        samples: (N,) sample ids.
        seed: the run's seed.
        counter: the epoch.

    Returns:
        (N, count + 1, 4), the whole face last.
    """
    drawn = uniforms(seed, Stream.REGIONS, counter, samples, 3 * count).reshape(len(samples), count, 3)
    side = SMALLEST + (LARGEST - SMALLEST) * drawn[..., :1]
    corner = (1 - side) * drawn[..., 1:]
    return _with_whole_face(np.concatenate([corner, corner + side], axis=-1))


def landmark_boxes(points: np.ndarray, radii: tuple[float, ...]) -> np.ndarray:
    """Put a square round each point; one that would leave the face is moved inside, at its size.

    Args:
        points: (N, P, 2) right and down as fractions of the sides.
        radii: half sides as fractions, up to 0.5.

    Returns:
        (N, P len(radii) + 1, 4): all points at the first radius, then at the next; the whole face last.
    """
    boxes = []
    for radius in radii:
        centres = np.clip(points, radius, 1 - radius)
        boxes.append(np.concatenate([centres - radius, centres + radius], axis=-1))
    return _with_whole_face(np.concatenate(boxes, axis=1))


def cut_regions(images: Tensor, boxes: np.ndarray, size: int) -> Tensor:
    """Cut the boxes out of each face and bring them to one size.

    Boxes common to all faces are truncated to whole pixels, as the authors do (who confuse width and height,
    without effect on square faces); boxes of their own are cut between pixels.

    Args:
        images: (N, C, H, W) float.
        boxes: (R, 4), or (N, R, 4) with a set for each face.
        size: side of the regions in pixels.

    Returns:
        (N, R, C, size, size).

    Raises:
        UserError: a box has no pixel.
    """
    if boxes.ndim == 3:
        return _cut_each(images, torch.from_numpy(boxes).to(images), size)
    height, width = images.shape[-2:]
    pixels = np.floor(boxes * [width, height, width, height] + 1e-9).astype(int)
    return torch.stack([_cut_one(images, box, size) for box in pixels.tolist()], dim=1)


def _cut_one(images: Tensor, box: list[int], size: int) -> Tensor:
    left, top, right, bottom = box
    crop = images[..., top:bottom, left:right]
    if not crop.shape[-1] or not crop.shape[-2]:
        raise UserError(f"a region of {images.shape[-1]}x{images.shape[-2]} pixels is empty: {box}")
    return resize(crop, size)


def _cut_each(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Sample every box bilinearly; of large faces several positions per pixel, so that none is skipped."""
    finer = -(-max(images.shape[-2:]) // size)  # not by the batch's boxes: results must not depend on it
    steps = (torch.arange(size * finer, device=images.device, dtype=images.dtype) + 0.5) / (size * finer)
    corner, side = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    positions = 2 * (corner[..., None] + side[..., None] * steps) - 1  # (N, R, 2, finer size)
    across = positions[..., 0, None, :].expand(-1, -1, len(steps), -1)
    down = positions[..., 1, :, None].expand(-1, -1, -1, len(steps))
    grid = torch.stack([across, down], dim=-1).flatten(0, 1)  # (N R, finer size, finer size, 2)
    faces = images.repeat_interleave(boxes.shape[1], dim=0)
    crops = F.grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return F.avg_pool2d(crops, finer).unflatten(0, boxes.shape[:2])


def _with_whole_face(boxes: np.ndarray) -> np.ndarray:
    whole = np.broadcast_to(np.array([0.0, 0.0, 1.0, 1.0]), (len(boxes), 1, 4))
    return np.concatenate([boxes, whole], axis=1)
