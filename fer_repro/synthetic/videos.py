"""Short videos of drawn people: one person each, moving a little while an expression comes or goes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import CLASSES, FACTOR_COLUMNS, IDENTITY_COLUMNS
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.stills import DECIMALS, sample_view

VIDEO_COLUMNS = (
    "image",
    "label",
    "subject",
    "clip",
    "split",
    "frame",
    "expression",
    "intensity",
    *FACTOR_COLUMNS,
)

DRIFT = {  # how far pose and light may move within a video, in degrees
    "yaw": 5.0,
    "pitch": 2.5,
    "roll": 2.0,
    "light_azimuth": 4.0,
}
STEADY = 0.008  # shift of the crop from frame to frame, share of the side
WEAK, STRONG = (0.05, 0.4), (0.6, 1.0)  # intensity at one end of the video and at the other
BLUR = (0.15, 0.40)  # pixels of a 48-pixel picture, as in ``View``
NOISE = (0.3, 1.2)  # grey levels
JPEG = (80, 98)  # quality; every video is compressed
GLASSES = 0.10  # share of people who wear some


def sample_videos(generator: np.random.Generator, people: Mapping[str, int], frames: int) -> pd.DataFrame:
    """Draw the factors of videos, one of each person.

    Args:
        generator: source of chance.
        people: how many per split.
        frames: of each video.

    Returns:
        One row per frame with ``VIDEO_COLUMNS``: label 0, the frames of a video in their order.
    """
    splits = [split for split, count in people.items() for _ in range(count)]
    identities = sample_identities(generator, len(splits)).to_dict("records")
    rows: list[dict[str, Any]] = []
    for number, (split, person) in enumerate(zip(splits, identities, strict=True)):
        expression = CLASSES[int(generator.integers(len(CLASSES)))]
        strengths = sample_intensities(generator, expression, frames)
        actions = sample_expression(generator, expression, strengths)
        views = _sample_views(generator, float(person["skin_tone"]), frames)
        for frame in range(frames):
            row: dict[str, Any] = {"image": len(rows), "label": 0, "subject": f"m{number:03d}"}
            row |= {"clip": f"real{number:03d}", "split": split, "frame": frame}
            row |= {"expression": expression, "intensity": strengths[frame]}
            row |= {str(name): value for name, value in person.items()}
            rows.append(row | actions[frame] | views[frame])
    table = pd.DataFrame(rows, columns=list(VIDEO_COLUMNS))
    return table.round({name: _decimals(name) for name in VIDEO_COLUMNS})


def sample_intensities(generator: np.random.Generator, expression: str, frames: int) -> list[float]:
    """Draw how strong an expression is in each frame: it comes or goes evenly; 0 for neutral."""
    weak, strong = float(generator.uniform(*WEAK)), float(generator.uniform(*STRONG))
    start, end = (weak, strong) if generator.random() < 0.5 else (strong, weak)
    if expression == "neutral":
        start = end = 0.0
    return [round(value, 2) for value in np.linspace(start, end, frames).tolist()]


def sample_expression(
    generator: np.random.Generator, expression: str, intensities: list[float]
) -> list[dict[str, float]]:
    """Draw one way to show an expression and scale it: the columns of ``Actions`` of each frame."""
    full = sample_actions(generator, CLASSES.index(expression), 1.0)
    if expression == "neutral":  # what strays into a neutral face stays
        return [full] * len(intensities)
    return [{name: round(value * strength, 2) for name, value in full.items()} for strength in intensities]


def _sample_views(generator: np.random.Generator, skin_tone: float, frames: int) -> list[dict[str, Any]]:
    uniform = generator.uniform
    start = sample_view(generator, skin_tone)
    wears = generator.random() < GLASSES
    start |= {"occluder": "glasses" if wears else "none", "occluder_x": 0.0, "occluder_y": 0.0}
    start |= {"occluder_angle": 0.0, "occluder_size": uniform(), "occluder_tone": uniform()}
    start |= {"blur": uniform(*BLUR), "noise": uniform(*NOISE)}
    start |= {"jpeg": int(generator.integers(JPEG[0], JPEG[1] + 1))}
    moves = {name: uniform(-reach, reach) for name, reach in DRIFT.items()}
    views = []
    for share in np.linspace(-0.5, 0.5, frames).tolist():
        view = start | {name: start[name] + share * move for name, move in moves.items()}
        for name in ("jitter_x", "jitter_y"):
            view[name] = start[name] + uniform(-STEADY, STEADY)
        view["gaze_x"] = float(np.clip(start["gaze_x"] + uniform(-0.2, 0.2), -1, 1))
        view["noise_seed"] = int(generator.integers(2**16))
        views.append(view)
    return views


def _decimals(name: str) -> int:
    return DECIMALS.get(name, 3 if name in IDENTITY_COLUMNS else 2)
