"""Templates of IJB: sets of images of one person, their pairs, and faces aligned by five points.

Pairs of templates are kept beside the images as one array. The five points are both eyes, the tip of the nose
and both corners of the mouth; their places are those of the 112 x 112 faces on which margin heads are trained
and compared (ArcFace, arXiv:1801.07698, its code), and another size scales them.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fer_repro.datasets.attachments import attached_file
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError

TEMPLATE_PAIRS = "template_pairs.npy"


def read_numbers(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a list with one entry per line, separated by blanks, without header.

    Args:
        path: the list.
        columns: name -> type ("str", "int64", "int32", "float64") of every column.

    Raises:
        UserError: the list is missing, has other columns, or a value of another kind.
    """
    names = list(columns)
    expected = f"expected lines of {' '.join(names)}"
    try:
        with path.open(encoding="utf-8") as file:
            found = len(file.readline().split())
        if found != len(names):
            table = None
        else:
            table = pd.read_csv(path, sep=r"\s+", header=None, names=names, dtype=columns, index_col=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {expected}") from None
    except ValueError as error:  # pandas' own errors are of this kind, and those of UTF-8
        raise UserError(f"{path}: not readable: {' '.join(str(error).split())}; {expected}") from None
    if table is None:
        raise UserError(f"{path}: line 1: {found} columns: {expected}")
    incomplete = table.isna().any(axis=1).to_numpy()
    if incomplete.any():
        raise UserError(f"{path}: line {int(np.argmax(incomplete)) + 1}: a value is missing; {expected}")
    return table


def read_template_pairs(path: Path, templates: np.ndarray) -> np.ndarray:
    """Read the pairs to verify, one per line: two templates and 1 (same person) or 0.

    Args:
        path: the list.
        templates: the templates that have images.

    Returns:
        (P, 3) int32.

    Raises:
        UserError: the list is not as expected, names a template without images, or has pairs of one kind.
    """
    pairs = read_numbers(path, dict.fromkeys(("template", "other", "same"), "int32")).to_numpy(np.int32)
    wrong = ~np.isin(pairs[:, 2], (0, 1))
    unknown = ~np.isin(pairs[:, :2], templates).all(axis=1)
    for bad, expected in ((wrong, "same 0 or 1"), (unknown, "templates that have images")):
        if bad.any():
            line = int(np.argmax(bad))
            raise UserError(f"{path}: line {line + 1}: {pairs[line].tolist()}: expected {expected}")
    if len(np.unique(pairs[:, 2])) < 2:
        raise UserError(f"{path}: all {len(pairs)} pairs are of one kind: expected same and different")
    return pairs


def write_template_pairs(path: Path, pairs: np.ndarray) -> None:
    """Write the pairs, (P, 3) int32: two templates, same."""
    np.save(path, pairs, allow_pickle=False)


def pairs_writer(pairs: np.ndarray) -> partial:
    """What writes the pairs to a path, for ``ConvertedFiles``."""
    return partial(write_template_pairs, pairs=pairs)


def open_template_pairs(store: Store) -> np.ndarray:
    """Open the pairs of a set, (P, 3) int32, memory-mapped: two templates, same.

    Raises:
        UserError: the set has none, or they were changed.
    """
    return np.load(attached_file(store, TEMPLATE_PAIRS), mmap_mode="r", allow_pickle=False)


SIDE = 112
PLACES = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""(5, 2) x and y of left eye, right eye, nose, left and right corner of the mouth, as seen in the image."""


def similarity(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Find the rotation, scale and shift that bring points nearest to places, in least squares.

    With the map ``x' = a x - b y + c``, ``y' = b x + a y + d`` this is linear in a, b, c and d.

    Args:
        points: (K, 2) x and y.
        places: (K, 2) where they should come to lie.

    Returns:
        (2, 3) float64, the matrix of the map.
    """
    x, y, one, zero = points[:, 0], points[:, 1], np.ones(len(points)), np.zeros(len(points))
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, c, d = np.linalg.lstsq(rows, np.concatenate([places[:, 0], places[:, 1]]), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


def align_face(image: np.ndarray, points: np.ndarray, size: int = SIDE) -> np.ndarray:
    """Cut a face out so that its five points lie at ``PLACES``.

    Args:
        image: (H, W, 3) uint8.
        points: (5, 2) x and y in pixels, in the order of ``PLACES``.
        size: side of the result.

    Returns:
        (size, size, 3) uint8, bilinear, black outside the image.

    Raises:
        UserError: the points are not five different finite ones.
    """
    points = np.asarray(points, np.float64)
    if points.shape != PLACES.shape or not np.isfinite(points).all() or np.ptp(points, axis=0).max() == 0:
        raise UserError(f"points of a face are {points.tolist()}: expected five places, x and y")
    matrix = similarity(points, PLACES * (size / SIDE))
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR))
