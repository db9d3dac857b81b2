"""Clips of synthetic faces: the course of the expression, drift of pose and light, and distractors.

Distractors are what happens besides the expression: blinks, things that pass, speech, rotations of the head.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_repro.errors import UserError
from fer_repro.sections import STRICT, Count, Fraction, PositiveInt, read_section
from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import CLASSES, FACTOR_COLUMNS, IDENTITY_COLUMNS, Generated
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import BLUR, DECIMALS, NOISE, sample_view

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
    """Let the mouth form sounds, never the same one twice in a row."""
    sounds = list(VISEMES)
    last = int(generator.integers(len(sounds)))
    for index in span:
        last = (last + int(generator.integers(1, len(sounds)))) % len(sounds)
        strength = generator.uniform(0.75, 1.0)
        sound = VISEMES[sounds[last]]
        for action in (*MOUTH, "jaw_drop"):
            clip[index][action] = max(MOUTH_KEPT * clip[index][action], strength * sound.get(action, 0.0))


def _turn(generator: np.random.Generator, clip: list[Frame], span: range) -> None:
    """Rotate the head to one side; the frames before and after are on the way."""
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


CLIP_COLUMNS = (
    "image",
    "label",
    "subject",
    "clip",
    "split",
    "frame",
    "intensity",
    "phase",
    "distractor",
    *FACTOR_COLUMNS,
)
NOTE = (
    "Synthetic clips: the true intensity of every frame is known; blinks, passing things, speech and turned "
    "heads happen whatever the class."
)
CLEAR = {"occluder": "none"} | dict.fromkeys(
    ("occluder_x", "occluder_y", "occluder_size", "occluder_angle", "occluder_tone"), 0.0
)
DRIFT = {  # how far a factor of the view moves at most from where the clip has it
    "yaw": 6.0,
    "pitch": 3.0,
    "roll": 3.0,
    "gaze_x": 0.25,
    "gaze_y": 0.15,
    "light_azimuth": 15.0,
    "light_elevation": 5.0,
    "light_strength": 0.05,
    "light_ambient": 0.04,
    "zoom": 0.02,
    "jitter_x": 0.012,
    "jitter_y": 0.012,
}
LIMITS = {"yaw": 22.0, "gaze_x": 1.0, "gaze_y": 1.0}  # either way, unless the head is rotated away
_STREAM = 0x636C697073  # "clips": with any seed, other people than the stills' and the pairs'


@dataclass(frozen=True, config=STRICT)
class ClipPeople:
    """How many people each split has."""

    train: Count
    val: Count
    test: Count


@dataclass(frozen=True, config=STRICT)
class Chances:
    """How likely each kind of distractor begins at a frame that shows none."""

    blink: Fraction
    occluder: Fraction
    speech: Fraction
    turned: Fraction


@dataclass(frozen=True, config=STRICT)
class ClipSettings:
    """The manifest of a set of clips."""

    name: str
    kind: Literal["clips"]
    seed: Count
    size: Annotated[int, Field(ge=8, le=1024)]  # side in pixels
    people: ClipPeople
    clips_per_person: Annotated[int, Field(ge=1, le=len(CLASSES))]  # each of another class
    min_frames: Annotated[int, Field(ge=2)]
    max_frames: PositiveInt
    distractors: Chances


def draw(settings: Mapping[str, Any]) -> Generated:
    """Render a set of clips; a pure function of its settings.

    Args:
        settings: the manifest, see ``ClipSettings``.

    Returns:
        Grey frames, their table with ``CLIP_COLUMNS``, and for the frames of the test split the masks of what
        passing things occlude.

    Raises:
        UserError: a setting is missing, unknown or out of range.
    """
    checked = read_settings(settings)
    samples = sample_clips(checked)
    rendered = render(samples, checked.size)
    rows = np.flatnonzero(samples["split"] == "test")
    truth = {"samples": rows, "occluded": rendered.occluded[rows]} if rows.size else {}
    return Generated(rendered.images, samples, CLASSES, NOTE, truth)


def read_settings(settings: Mapping[str, Any]) -> ClipSettings:
    """Check the manifest of a set of clips.

    Raises:
        UserError: naming the key and what was expected.
    """
    where = f"data/{settings.get('name', '?')}/manifest.json"
    checked = read_section(ClipSettings, settings, where)
    if checked.max_frames < checked.min_frames:
        raise UserError(
            f"{where}: max_frames is {checked.max_frames}: expected {checked.min_frames} (min_frames) or more"
        )
    if sum(vars(checked.distractors).values()) > 1.0:
        raise UserError(f"{where}: distractors are {vars(checked.distractors)}: expected a sum of 1 at most")
    if not any(vars(checked.people).values()):
        raise UserError(f"{where}: people is 0 in every split: expected at least one person")
    return checked


def sample_clips(settings: ClipSettings) -> pd.DataFrame:
    """Sample the factor table of a set of clips.

    The classes alternate over people and clips: with a multiple of seven clips in a split, each class has as
    many.

    Returns:
        One row per frame with ``CLIP_COLUMNS``, frames of a clip in their order in time; numbers rounded, so
        that a table read back from CSV gives the same images.
    """
    generator = np.random.default_rng([_STREAM, settings.seed])
    splits = [split for split, people in vars(settings.people).items() for _ in range(people)]
    people = sample_identities(generator, len(splits)).to_dict("records")
    turns = dict.fromkeys(splits, 0)
    rows: list[Frame] = []
    for number, (split, person) in enumerate(zip(splits, people, strict=True)):
        for take in range(settings.clips_per_person):
            label = turns[split] % len(CLASSES)
            turns[split] += 1
            name = f"c{number:03d}"
            whose = {"label": label, "subject": name, "clip": f"{name}_{take}", "split": split}
            rows += [whose | frame for frame in sample_clip(generator, label, person, settings)]
    table = pd.DataFrame(rows).assign(image=np.arange(len(rows)))[list(CLIP_COLUMNS)]
    return table.round(
        {name: DECIMALS.get(name, 3 if name in IDENTITY_COLUMNS else 2) for name in CLIP_COLUMNS}
    )


def sample_clip(
    generator: np.random.Generator, label: int, person: Mapping[Any, Any], settings: ClipSettings
) -> list[Frame]:
    """Sample one clip of one person.

    What is sampled besides the expression never depends on the class, down to the numbers of ``generator``.

    Args:
        generator: source of chance.
        label: index in ``CLASSES``; a neutral clip stays neutral.
        person: the factors of who is shown.
        settings: lengths and distractors.

    Returns:
        The factors of each frame, with ``frame``, ``intensity``, ``phase`` and ``distractor``.
    """
    frames = int(generator.integers(settings.min_frames, settings.max_frames + 1))
    intensity, phases = sample_course(generator, frames)
    if CLASSES[label] == "neutral":
        intensity, phases = 0.0 * intensity, ["neutral"] * frames
    key = int(generator.integers(2**63))  # the same draw at both ends: only the strength moves
    rest, full = (sample_actions(np.random.default_rng(key), label, level) for level in (0.0, 1.0))
    view = sample_view(generator, float(person["skin_tone"])) | CLEAR
    drifts = {column: sample_drift(generator, frames, reach) for column, reach in DRIFT.items()}
    clip: list[Frame] = []
    for frame, level in enumerate(intensity.tolist()):
        row = {"frame": frame, "intensity": level, "phase": phases[frame], "distractor": "none"}
        row |= {str(name): value for name, value in person.items()}
        row |= {name: value + level * (full[name] - value) for name, value in rest.items()}
        row |= view | _moved(view, {column: float(drift[frame]) for column, drift in drifts.items()})
        row |= {"blur": generator.uniform(*BLUR), "noise": generator.uniform(*NOISE)}
        clip.append(row | {"noise_seed": int(generator.integers(2**16))})
    distract(generator, clip, sample_episodes(generator, frames, vars(settings.distractors)))
    return clip


def _moved(view: Mapping[str, Any], by: Mapping[str, float]) -> dict[str, float]:
    moved = {column: view[column] + step for column, step in by.items()}
    return moved | {column: float(np.clip(moved[column], -limit, limit)) for column, limit in LIMITS.items()}
