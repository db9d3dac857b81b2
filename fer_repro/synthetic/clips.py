"""Clips of drawn faces: an expression comes and goes while other things happen, and all of it is known."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_repro.errors import UserError
from fer_repro.sections import STRICT, Count, Fraction, PositiveInt, read_section
from fer_repro.synthetic.courses import sample_course, sample_drift
from fer_repro.synthetic.distractors import Frame, distract, sample_episodes
from fer_repro.synthetic.drawn import Drawn
from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import CLASSES, FACTOR_COLUMNS, IDENTITY_COLUMNS
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import BLUR, DECIMALS, NOISE, sample_view

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
    "Drawn clips: the true intensity of every frame is known; blinks, passing things, speech and turned "
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
LIMITS = {"yaw": 22.0, "gaze_x": 1.0, "gaze_y": 1.0}  # either way, unless the head turns away
_STREAM = 0x636C697073  # "clips": with any seed, other people than the stills' and the pairs'


@dataclass(frozen=True, config=STRICT)
class People:
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
    people: People
    clips_per_person: Annotated[int, Field(ge=1, le=len(CLASSES))]  # each of another class
    min_frames: Annotated[int, Field(ge=2)]
    max_frames: PositiveInt
    distractors: Chances


def draw(settings: Mapping[str, Any]) -> Drawn:
    """Draw a set of clips; a pure function of its settings.

    Args:
        settings: the manifest, see ``ClipSettings``.

    Returns:
        Grey frames, their table with ``CLIP_COLUMNS``, and for the frames of the test split the masks of what
        passing things cover.

    Raises:
        UserError: a setting is missing, unknown or out of range.
    """
    checked = read_settings(settings)
    samples = sample_clips(checked)
    rendered = render(samples, checked.size)
    rows = np.flatnonzero(samples["split"] == "test")
    truth = {"samples": rows, "occluded": rendered.occluded[rows]} if rows.size else {}
    return Drawn(rendered.images, samples, CLASSES, NOTE, truth)


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
        raise UserError(f"{where}: people is 0 in every split: expected somebody to draw")
    return checked


def sample_clips(settings: ClipSettings) -> pd.DataFrame:
    """Draw the factor table of a set of clips.

    The classes go round over people and clips: with a multiple of seven clips in a split, each class has as
    many.

    Returns:
        One row per frame with ``CLIP_COLUMNS``, frames of a clip in their order in time; numbers rounded, so
        that a table read back from CSV draws the same pictures.
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
    """Draw one clip of one person.

    What is drawn besides the expression never depends on the class, down to the numbers of ``generator``.

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
