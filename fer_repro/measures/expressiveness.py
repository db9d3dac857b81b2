"""How expressive the frames of a clip are, from their pixels alone: TED-inspired scores, without training.

Inspired by "Quantified Facial Temporal-Expressiveness Dynamics for Affect Analysis" (Uddin, Canavan, ICPR
2020, arXiv:2010.14705), of which only the abstract was read: static and dynamic information of features are
combined. Features and formulas are this project's choice: root mean square distances of pixels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class FrameScores(NamedTuple):
    """Scores of the frames of a clip after the first one, from which is measured.

    Attributes:
        static: (T - 1,) distance to the first frame.
        dynamic: (T - 1,) distance to the frame before.
        total: (T - 1,) sum of both z-scores over these frames; a score that does not vary adds 0.
    """

    static: Floats
    dynamic: Floats
    total: Floats


def frame_scores(frames: NDArray) -> FrameScores:
    """Score the frames of one clip; the first one should be neutral.

    The first frame has no score: its distance to itself would be 0, which is right wherever it is neutral,
    and so would agree with the truth without having measured anything.

    Args:
        frames: (T, ...) pixels in their order in time.

    Raises:
        ValueError: there is no frame, or a value is not finite.

    >>> frame_scores(np.array([[0, 0], [2, 2], [2, 2], [5, 5]])).static.tolist()
    [2.0, 2.0, 5.0]
    """
    pixels = np.asarray(frames, np.float64)
    if not len(pixels) or not np.isfinite(pixels).all():
        raise ValueError(f"frames of shape {pixels.shape}: expected at least one, of finite numbers")
    flat = pixels.reshape(len(pixels), -1)
    static, dynamic = _distances(flat[1:], flat[:1]), _distances(flat[1:], flat[:-1])
    return FrameScores(static, dynamic, _standardised(static) + _standardised(dynamic))


def shuffled_scores(frames: NDArray, generator: np.random.Generator) -> FrameScores:
    """Score the frames as if they had come in another order: the first stays, the others are shuffled.

    Args:
        frames: see ``frame_scores``.
        generator: source of the order.

    Returns:
        Scores of the frames in their true order. The static one is that of ``frame_scores``.
    """
    order = 1 + generator.permutation(max(len(frames) - 1, 0))
    found = frame_scores(np.asarray(frames)[[0, *order]])
    places = np.argsort(order)
    return FrameScores(*(score[places] for score in found))


def _distances(frames: Floats, others: Floats) -> Floats:
    return np.sqrt(np.square(frames - others).mean(axis=1))


def _standardised(scores: Floats) -> Floats:
    deviation = scores.std() if len(scores) else 0.0
    return (scores - scores.mean()) / deviation if deviation > 0 else np.zeros_like(scores)
