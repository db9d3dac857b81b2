"""The embedded data set of stills: who is shown how, written as strips of faces beside their factor table."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, print_error
from fer_repro.files import atomic_folder
from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import CLASSES, FACTOR_COLUMNS, IDENTITY_COLUMNS
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.render import render
from fer_repro.synthetic.strips import write_strips

SUBJECTS = {"train": 100, "val": 20, "test": 30}
FACES_PER_CLASS = 2  # per subject
SIZE = 48  # pixels, FER2013's size
STILLS_COLUMNS = ("image", "label", "subject", "clip", "split", "intensity", *FACTOR_COLUMNS)

INTENSITY = (0.85, 1.0)  # weak expressions are what makes neighbours hard to tell apart
YAW = (6.0, 30.0)  # degrees: standard deviation and limit, as of all angles but the light's elevation
PITCH = (3.0, 15.0)
ROLL = (2.5, 10.0)
LIGHT_AZIMUTH = (16.0, 65.0)
LIGHT_ELEVATION = (10.0, 45.0)
LIGHT_STRENGTH = (0.48, 0.62)
LIGHT_AMBIENT = (0.40, 0.50)
EXPOSURE = 0.75  # how much more light the darkest skin gets than the fairest
BACKDROP = (0.35, 0.65)
OCCLUDED = {"glasses": 0.12, "sunglasses": 0.02, "mask": 0.02, "hand": 0.03, "hair": 0.03, "block": 0.03}
ZOOM = (1.24, 1.34)
JITTER = 0.015  # share of the side; uniform in +-
BLUR = (0.25, 0.65)  # pixels
NOISE = (0.0, 0.9)  # grey levels
JPEG_SHARE = 0.12  # share of faces that went through JPEG
JPEG = (50, 95)  # quality
ANGLES = ("yaw", "pitch", "roll", "light_azimuth", "light_elevation", "occluder_angle")
DECIMALS = dict.fromkeys(("age", *ANGLES), 1) | {
    "jitter_x": 3,
    "jitter_y": 3,
}  # else 3 of the person, 2 of the view


def sample_stills(
    seed: int, subjects: Mapping[str, int] | None = None, faces_per_class: int = FACES_PER_CLASS
) -> pd.DataFrame:
    """Draw the factor table of a set of stills.

    Every subject shows every class equally often and belongs to one split.

    Args:
        seed: from 0; the same seed gives the same table.
        subjects: people per split; ``SUBJECTS`` if left out.
        faces_per_class: pictures of each subject per class.

    Returns:
        One row per face with ``STILLS_COLUMNS``; numbers rounded, so that a table read back from CSV draws
        the same pictures.

    Raises:
        UserError: a negative seed or nobody to draw.
    """
    subjects = SUBJECTS if subjects is None else subjects
    if seed < 0 or faces_per_class < 1 or not subjects or min(subjects.values()) < 0:
        raise UserError(
            f"stills: seed {seed}, subjects {dict(subjects)}, {faces_per_class} faces per class: expected a "
            "seed from 0, at least one face per class and no negative number of people"
        )
    generator = np.random.default_rng(seed)
    splits = [split for split, people in subjects.items() for _ in range(people)]
    people = sample_identities(generator, len(splits)).to_dict("records")
    rows: list[dict[str, Any]] = []
    for number, (split, person) in enumerate(zip(splits, people, strict=True)):
        for label in np.repeat(np.arange(len(CLASSES)), faces_per_class).tolist():
            intensity = 0.0 if CLASSES[label] == "neutral" else float(generator.uniform(*INTENSITY))
            row = {
                "image": len(rows),
                "label": label,
                "subject": f"s{number:03d}",
                "clip": "",
                "split": split,
            }
            row |= {"intensity": intensity} | {str(name): value for name, value in person.items()}
            row |= sample_actions(generator, label, intensity)
            row |= sample_view(generator, float(person["skin_tone"]))
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(STILLS_COLUMNS))
    return table.round(
        {name: DECIMALS.get(name, 3 if name in IDENTITY_COLUMNS else 2) for name in STILLS_COLUMNS}
    )


def sample_view(generator: np.random.Generator, skin_tone: float) -> dict[str, Any]:
    """Draw pose, light, occluder and camera of one picture: the columns of ``View``.

    Args:
        generator: source of chance.
        skin_tone: of the person shown; the light follows it a little, as an automatic exposure does.
    """
    uniform = generator.uniform
    exposure = 1.0 + EXPOSURE * skin_tone
    row: dict[str, Any] = {
        "yaw": _angle(generator, YAW),
        "pitch": _angle(generator, PITCH),
        "roll": _angle(generator, ROLL),
        "gaze_x": float(np.clip(generator.normal(0.0, 0.35), -1, 1)),
        "gaze_y": float(np.clip(generator.normal(0.0, 0.25), -1, 1)),
        "light_azimuth": _angle(generator, LIGHT_AZIMUTH),
        "light_elevation": uniform(*LIGHT_ELEVATION),
        "light_strength": exposure * uniform(*LIGHT_STRENGTH),
        "light_ambient": exposure * uniform(*LIGHT_AMBIENT),
        "backdrop": uniform(*BACKDROP),
        "backdrop_hue": uniform(),
        "shirt": uniform(),
        "shirt_hue": uniform(),
    }
    row |= sample_occluder(generator)
    row |= {
        "zoom": uniform(*ZOOM),
        "jitter_x": uniform(-JITTER, JITTER),
        "jitter_y": uniform(-JITTER, JITTER),
        "blur": uniform(*BLUR),
        "noise": uniform(*NOISE),
        "noise_seed": int(generator.integers(2**16)),
        "jpeg": int(generator.integers(JPEG[0], JPEG[1] + 1)) if generator.random() < JPEG_SHARE else 0,
    }
    return row


def _angle(generator: np.random.Generator, spread: tuple[float, float]) -> float:
    return float(np.clip(generator.normal(0.0, spread[0]), -spread[1], spread[1]))


def sample_occluder(generator: np.random.Generator) -> dict[str, Any]:
    """Draw what, if anything, hides part of the face, and where it lies."""
    uniform = generator.uniform
    kinds = ["none", *OCCLUDED]
    kind = kinds[int(generator.choice(len(kinds), p=[1.0 - sum(OCCLUDED.values()), *OCCLUDED.values()]))]
    x, y, angle = 0.0, 0.0, 0.0
    if kind == "hand":  # over the mouth, a cheek or beside the chin
        x, y, angle = uniform(-0.45, 0.45), uniform(-0.95, -0.60), uniform(-35.0, 35.0)
    elif kind == "hair":
        x = float(generator.choice((-1.0, 1.0))) * uniform(0.12, 0.40)
    elif kind == "block":
        x, y, angle = uniform(-0.6, 0.6), uniform(-0.8, 0.4), uniform(-30.0, 30.0)
    return {
        "occluder": kind,
        "occluder_x": x,
        "occluder_y": y,
        "occluder_size": uniform() if kind != "none" else 0.0,
        "occluder_angle": angle,
        "occluder_tone": uniform() if kind != "none" else 0.0,
    }


def write_stills(
    folder: Path | str,
    seed: int = 0,
    subjects: Mapping[str, int] | None = None,
    faces_per_class: int = FACES_PER_CLASS,
    size: int = SIZE,
    force: bool = False,
) -> None:
    """Draw a set of stills and write it whole: strips of faces, ``stills.csv`` and ``manifest.json``.

    Args:
        folder: new folder; with ``force`` it replaces the whole existing one.
        seed: from 0.
        subjects: people per split; ``SUBJECTS`` if left out.
        faces_per_class: pictures of each subject per class.
        size: side in pixels.
        force: replace the folder.

    Raises:
        UserError: the folder exists, or an argument is out of range.
    """
    table = sample_stills(seed, subjects, faces_per_class)
    with atomic_folder(Path(folder), force=force) as temporary:
        images = render(table, size).images
        write_strips(temporary, images, table, seed)


def main(arguments: list[str] | None = None) -> int:
    """Regenerate the embedded data: ``python -m fer_repro.synthetic.stills FOLDER --seed 0``."""
    parser = argparse.ArgumentParser(description="Draw the synthetic stills into a folder.")
    parser.add_argument("folder", type=Path, help="where to write; data/synthetic is the embedded copy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true", help="replace the folder if it exists")
    given = parser.parse_args(arguments)
    try:
        write_stills(given.folder, given.seed, force=given.force)
    except UserError as error:
        print_error(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
