"""How a clip moves: the course of its expression, and the slow drift of pose and light."""

import numpy as np
from numpy.typing import NDArray

PHASES = ("neutral", "onset", "apex", "offset")
START = (0.0, 0.30)  # of the onset; this and the durations below are shares of the clip
ONSET = (0.15, 0.40)
APEX = (0.25, 0.55)
OFFSET = (0.15, 0.35)
OFFSET_SHARE = 0.6  # of the clips let the expression go again; the others end at the apex
PEAK = (0.85, 1.0)  # intensity at the apex


def sample_course(generator: np.random.Generator, frames: int) -> tuple[NDArray[np.float64], list[str]]:
    """Draw an expression's course: neutral, onset, apex and sometimes offset.

    Args:
        generator: source of chance.
        frames: length of the clip, 2 or more.

    Returns:
        Intensity (T,) in [0, 1] and phase of each frame; at least one frame is of the apex.
    """
    last = frames - 1
    start, onset, apex, offset = (generator.uniform(*span) * last for span in (START, ONSET, APEX, OFFSET))
    ends = generator.random() < OFFSET_SHARE
    peak = generator.uniform(*PEAK)
    top = start + onset
    fall = top + max(1.0, apex) if ends else np.inf  # an apex of one frame's time holds a frame
    times = np.arange(frames)
    level = _ease((times - start) / onset) - (_ease((times - fall) / offset) if ends else 0.0)
    part = np.searchsorted([start, top, fall, fall + offset], times, side="right")
    return peak * level, [(*PHASES, "neutral")[index] for index in part]


def _ease(share: NDArray) -> NDArray[np.float64]:
    """Go from 0 to 1 with rest at both ends."""
    share = np.asarray(share, np.float64).clip(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def sample_drift(generator: np.random.Generator, frames: int, reach: float) -> NDArray[np.float64]:
    """Draw a slow wave of at most ``reach`` around 0, (T,): a third of a period to one over the clip."""
    size, phase, periods = generator.uniform((0.3, 0.0, 0.35), (1.0, 1.0, 1.0))
    angles = 2.0 * np.pi * (phase + periods * np.arange(frames) / frames)
    return reach * size * np.sin(angles)
