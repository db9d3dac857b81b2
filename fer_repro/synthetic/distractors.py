"""What happens in a clip besides the expression: blinks, things that pass, speech, turns of the head."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Frame = dict[str, Any]  # the factors of one frame

DISTRACTORS = ("none", "blink", "occluder", "speech", "turned")
LENGTHS = {"blink": (1, 1), "occluder": (1, 2), "speech": (2, 4), "turned": (1, 3)}  # frames, bounds included
PASSING = ("hand", "block", "hair")
TURN = (30.0, 50.0)  # degrees of yaw
SWING = 0.35  # share of the way that the head has turned in the frames before and after
LIDS_CLOSED = {"lid_droop": 1.0, "lid_tight": 1.0, "lid_raise": 0.0}
MOUTH = ("lip_raise", "corner_pull", "corner_drop", "lip_drop", "chin_raise", "stretch", "press", "part")
MOUTH_KEPT = 0.3  # share of the expression that a speaking mouth still shows
VISEMES: dict[str, dict[str, float]] = {
    "a": {"part": 0.8, "jaw_drop": 0.65, "lip_drop": 0.2},
    "e": {"part": 0.9, "jaw_drop": 0.2, "stretch": 0.6, "lip_drop": 0.4},
    "i": {"part": 0.7, "stretch": 0.5, "corner_pull": 0.35},
    "o": {"part": 0.5, "jaw_drop": 0.5, "chin_raise": 0.2},
    "m": {"press": 0.8, "chin_raise": 0.3},
    "f": {"part": 0.4, "lip_raise": 0.3, "lip_drop": 0.2},
}


class Episode(NamedTuple):
    """One distractor in consecutive frames."""

    kind: str
    first: int
    frames: int


def sample_episodes(
    generator: np.random.Generator, frames: int, chances: Mapping[str, float]
) -> list[Episode]:
    """Draw which distractors happen when, never two at once.

    Args:
        generator: source of chance.
        frames: length of the clip.
        chances: for each kind, how likely it begins at a frame that is free; 1 at most in sum.
    """
    names = ["none", *chances]
    shares = [1.0 - sum(chances.values()), *chances.values()]
    episodes: list[Episode] = []
    free = 0
    while free < frames:
        kind = names[int(generator.choice(len(names), p=shares))]
        length = 1
        if kind != "none":
            low, high = LENGTHS[kind]
            length = min(int(generator.integers(low, high + 1)), frames - free)
            episodes.append(Episode(kind, free, length))
        free += length
    return episodes


def distract(generator: np.random.Generator, clip: list[Frame], episodes: list[Episode]) -> None:
    """Put distractors into a clip, in place, and name them in the column ``distractor``."""
    for episode in episodes:
        span = range(episode.first, episode.first + episode.frames)
        _CHANGES[episode.kind](generator, clip, span)
        for index in span:
            clip[index]["distractor"] = episode.kind


def _blink(generator: np.random.Generator, clip: list[Frame], span: range) -> None:
    for index in span:
        clip[index] |= LIDS_CLOSED


def _pass(generator: np.random.Generator, clip: list[Frame], span: range) -> None:
    """Move one thing across the face."""
    uniform = generator.uniform
    kind = PASSING[int(generator.integers(len(PASSING)))]
    side = float(generator.choice((-1.0, 1.0)))
    x, y, angle = uniform(0.0, 0.3), uniform(-0.7, -0.35), uniform(0.0, 35.0)
    if kind == "block":
        y, angle = uniform(-0.65, 0.25), uniform(-25.0, 25.0)
    size, tone, step = uniform(0.5, 1.0), uniform(), uniform(0.15, 0.35)
    for index in span:
        clip[index] |= {
            "occluder": kind,
            "occluder_x": side * (x - step * (index - span.start)),
            "occluder_y": y,
            "occluder_size": size,
            "occluder_angle": side * angle,
            "occluder_tone": tone,
        }


def _speak(generator: np.random.Generator, clip: list[Frame], span: range) -> None:
    """Let the mouth form sounds, no one twice in turn."""
    sounds = list(VISEMES)
    last = int(generator.integers(len(sounds)))
    for index in span:
        last = (last + int(generator.integers(1, len(sounds)))) % len(sounds)
        strength = generator.uniform(0.75, 1.0)
        sound = VISEMES[sounds[last]]
        for action in (*MOUTH, "jaw_drop"):
            clip[index][action] = max(MOUTH_KEPT * clip[index][action], strength * sound.get(action, 0.0))


def _turn(generator: np.random.Generator, clip: list[Frame], span: range) -> None:
    """Turn the head to one side; the frames before and after are on the way."""
    side = float(generator.choice((-1.0, 1.0)))
    for index in span:
        clip[index]["yaw"] = side * generator.uniform(*TURN)
    for index in (span.start - 1, span.stop):
        if 0 <= index < len(clip) and abs(clip[index]["yaw"]) < TURN[0]:
            clip[index]["yaw"] += SWING * (side * TURN[0] - clip[index]["yaw"])


_CHANGES: dict[str, Callable[[np.random.Generator, list[Frame], range], None]] = {
    "blink": _blink,
    "occluder": _pass,
    "speech": _speak,
    "turned": _turn,
}
