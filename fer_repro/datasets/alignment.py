"""Faces brought to one pose by five points: both eyes, the tip of the nose, both corners of the mouth.

The places are those of the 112 x 112 faces on which margin heads are trained and compared (ArcFace,
arXiv:1801.07698, its code); another size scales them.
"""

import cv2
import numpy as np

from fer_repro.errors import UserError

SIDE = 112
PLACES = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""(5, 2) x and y of left eye, right eye, nose, left and right corner of the mouth, as seen in the picture."""


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
        (size, size, 3) uint8, bilinear, black outside the picture.

    Raises:
        UserError: the points are not five different finite ones.
    """
    points = np.asarray(points, np.float64)
    if points.shape != PLACES.shape or not np.isfinite(points).all() or np.ptp(points, axis=0).max() == 0:
        raise UserError(f"points of a face are {points.tolist()}: expected five places, x and y")
    matrix = similarity(points, PLACES * (size / SIDE))
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR))
