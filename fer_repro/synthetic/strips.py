"""Faces on disk: 8-bit grey strips of faces stacked vertically, their table, and a manifest with hashes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fer_repro.errors import UserError
from fer_repro.synthetic.factors import CLASSES, FACTOR_COLUMNS

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
    "Drawn by fer_repro.synthetic.stills from the factors in stills.csv; no real person is shown. "
    "These files are the reference: another machine may draw single pixels a grey level apart."
)


def write_strips(folder: Path, images: NDArray[np.uint8], table: pd.DataFrame, seed: int) -> None:
    """Write strips, table and manifest into an existing folder.

    Args:
        folder: usually a temporary folder that is renamed when it is whole.
        images: uint8 (N, H, W).
        table: N rows with label, split and the factors.
        seed: what the table was drawn with, for the manifest.
    """
    count, height, width = images.shape
    files = {}
    for start in range(0, count, PER_STRIP):
        name = f"stills_{start // PER_STRIP:03d}.png"
        strip = images[start : start + PER_STRIP].reshape(-1, width)
        Image.fromarray(strip).save(folder / name, optimize=True)
        files[name] = _sha256(folder / name)
    table.to_csv(folder / TABLE, index=False, float_format="%g", lineterminator="\n")
    files[TABLE] = _sha256(folder / TABLE)
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
        if _sha256(path) != digest:
            raise UserError(f"{path} is not the file {folder / MANIFEST} describes: its sha256 differs")
    strips = [_read_strip(folder / name, manifest) for name in sorted(manifest["files"]) if name != TABLE]
    images = np.concatenate(strips)
    if len(images) != manifest["count"]:
        raise UserError(f"{folder}: strips hold {len(images)} faces, the manifest says {manifest['count']}")
    return images, read_table(folder, len(images)), manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read ``manifest.json``.

    Raises:
        UserError: it is missing, no JSON, lacks a key or names files outside its folder.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; run `dvc pull data.dvc`, or draw the faces: "
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


def read_table(folder: Path, count: int) -> pd.DataFrame:
    """Read ``stills.csv`` and check rows and columns.

    Raises:
        UserError: it has not ``count`` rows, lacks a column, or is no table.
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
        with Image.open(path) as picture:
            strip = np.asarray(picture)
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{path}: not readable as a picture: {error}") from None
    height, width = manifest["height"], manifest["width"]
    if strip.dtype != np.uint8 or strip.ndim != 2 or strip.shape[1] != width or strip.shape[0] % height:
        raise UserError(
            f"{path}: a picture of {strip.shape}, {strip.dtype}; expected grey {height} x {width} faces"
        )
    return strip.reshape(-1, height, width)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
