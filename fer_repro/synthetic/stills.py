"""The embedded stills: 2,100 synthetic faces as 8-bit grey strips of a hundred, stacked vertically.

Beside the strips are the table of factors and a manifest with hashes.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fer_repro.errors import UserError, print_error
from fer_repro.files import atomic_folder, file_sha256
from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import CLASSES, FACTOR_COLUMNS, IDENTITY_COLUMNS
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.render import render

SUBJECTS = {"train": 100, "val": 20, "test": 30}
FACES_PER_CLASS = 2  # per subject
SIZE = 48  # pixels, FER2013's size
STILLS_COLUMNS = ("image", "label", "subject", "clip", "split", "intensity", *FACTOR_COLUMNS)

INTENSITY = (0.85, 1.0)  # weak expressions are what makes neighbours hard to distinguish
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
    """Sample the factor table of a set of stills.

    Every subject shows every class equally often and belongs to one split.

    Args:
        seed: from 0; the same seed gives the same table.
        subjects: people per split; ``SUBJECTS`` if left out.
        faces_per_class: images of each subject per class.

    Returns:
        One row per face with ``STILLS_COLUMNS``; numbers rounded, so that a table read back from CSV gives
        the same images.

    Raises:
        UserError: a negative seed or no people.
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
    """Sample pose, light, occluder and camera of one image: the columns of ``View``.

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
    """Sample what, if anything, occludes part of the face, and where it lies."""
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
    """Render a set of stills and write it atomically: strips of faces, ``stills.csv`` and ``manifest.json``.

    Args:
        folder: new folder; with ``force`` it replaces the whole existing one.
        seed: from 0.
        subjects: people per split; ``SUBJECTS`` if left out.
        faces_per_class: images of each subject per class.
        size: side in pixels.
        force: replace the folder.

    Raises:
        UserError: the folder exists, or an argument is out of range.
    """
    table = sample_stills(seed, subjects, faces_per_class)
    with atomic_folder(Path(folder), force=force) as temporary:
        images = render(table, size).images
        write_strips(temporary, images, table, seed)


def stills_main(arguments: list[str] | None = None) -> int:
    """Regenerate the embedded data: ``python -m fer_repro.synthetic.stills FOLDER --seed 0``."""
    parser = argparse.ArgumentParser(description="Render the synthetic stills into a folder.")
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


PER_STRIP = 100
TABLE = "stills.csv"
MANIFEST = "manifest.json"
KEYS = (
    "channels",
    "classes",
    "count",
    "counts",
    "files",
    "height",
    "name",
    "note",
    "per_strip",
    "seed",
    "width",
)
NOTE = (
    "Rendered by fer_repro.synthetic.stills from the factors in stills.csv; no real person is shown. "
    "These files are the reference: another machine may render single pixels a grey level apart."
)


def write_strips(folder: Path, images: NDArray[np.uint8], table: pd.DataFrame, seed: int) -> None:
    """Write strips, table and manifest into an existing folder.

    Args:
        folder: usually a temporary folder that is renamed when it is complete.
        images: uint8 (N, H, W).
        table: N rows with label, split and the factors.
        seed: what the table was sampled with, for the manifest.
    """
    count, height, width = images.shape
    files = {}
    for start in range(0, count, PER_STRIP):
        name = f"stills_{start // PER_STRIP:03d}.png"
        strip = images[start : start + PER_STRIP].reshape(-1, width)
        Image.fromarray(strip).save(folder / name, optimize=True)
        files[name] = file_sha256(folder / name)
    table.to_csv(folder / TABLE, index=False, float_format="%g", lineterminator="\n")
    files[TABLE] = file_sha256(folder / TABLE)
    manifest = {
        "name": "synthetic",
        "classes": list(CLASSES),
        "count": count,
        "counts": {
            str(split): {name: int((part["label"] == index).sum()) for index, name in enumerate(CLASSES)}
            for split, part in table.groupby("split")
        },
        "height": height,
        "width": width,
        "channels": 1,
        "per_strip": PER_STRIP,
        "seed": seed,
        "note": NOTE,
        "files": files,
    }
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_stills(folder: Path | str) -> tuple[NDArray[np.uint8], pd.DataFrame, dict[str, Any]]:
    """Read a set of stills and check it against its manifest.

    Args:
        folder: with strips, ``stills.csv`` and ``manifest.json``.

    Returns:
        Images uint8 (N, H, W); the table with N rows; the manifest.

    Raises:
        UserError: a file is missing, unreadable or not the one the manifest describes.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise UserError(
                f"{path} is missing, though {folder / MANIFEST} lists it; run `dvc pull data.dvc`"
            )
        if file_sha256(path) != digest:
            raise UserError(f"{path} is not the file {folder / MANIFEST} describes: its sha256 differs")
    strips = [_read_strip(folder / name, manifest) for name in sorted(manifest["files"]) if name != TABLE]
    images = np.concatenate(strips)
    if len(images) != manifest["count"]:
        raise UserError(f"{folder}: strips hold {len(images)} faces, the manifest states {manifest['count']}")
    return images, read_factors(folder, len(images)), manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read ``manifest.json``.

    Raises:
        UserError: it or a key is missing, it is no JSON, or it names files outside its folder.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; run `dvc pull data.dvc`, or render the faces: "
            f"python -m fer_repro.synthetic.stills {folder}"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: expected an object with keys, found {type(manifest).__name__}")
    for key in KEYS:
        if key not in manifest:
            raise UserError(f"{path}: key '{key}' is missing")
    files = manifest["files"]
    if not isinstance(files, dict) or TABLE not in files or len(files) < 2:
        raise UserError(
            f"{path}: files is {files!r}: expected {TABLE} and at least one strip with their sha256"
        )
    for name in files:
        if Path(name).name != name:
            raise UserError(f"{path}: files names '{name}': expected a name in the same folder")
    return manifest


def read_factors(folder: Path, count: int) -> pd.DataFrame:
    """Read ``stills.csv`` and check rows and columns.

    Raises:
        UserError: it has not ``count`` rows, a column is missing, or it is no table.
    """
    path = folder / TABLE
    words = {"subject": str, "clip": str, "split": str}
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=words)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as a table: {error}") from None
    for column in ("image", "label", "subject", "clip", "split", *FACTOR_COLUMNS):
        if column not in table:
            raise UserError(f"{path}: column '{column}' is missing")
    if table["image"].tolist() != list(range(count)):
        raise UserError(f"{path}: expected one row per face, images 0 to {count - 1} in order")
    return table


def _read_strip(path: Path, manifest: dict[str, Any]) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            strip = np.asarray(image)
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{path}: not readable as an image: {error}") from None
    height, width = manifest["height"], manifest["width"]
    if strip.dtype != np.uint8 or strip.ndim != 2 or strip.shape[1] != width or strip.shape[0] % height:
        raise UserError(
            f"{path}: an image of {strip.shape}, {strip.dtype}; expected grey {height} x {width} faces"
        )
    return strip.reshape(-1, height, width)


if __name__ == "__main__":
    sys.exit(stills_main())
