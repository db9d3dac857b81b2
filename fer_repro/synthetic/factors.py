"""What a synthetic face is made of - one field per column of the factor table - and what a generator returns.

Lengths are in face units: the chin of the average head lies at y = -1, the crown at y = 1.1; x points to the
viewer's right, y up and z towards the viewer, all in the head's own coordinates with the eyes near y = 0.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.errors import UserError, nearest
from fer_repro.files import file_sha256

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Expressions in FER2013's order."""

HAIR_STYLES = ("bald", "buzz", "short", "quiff", "curly", "fringe", "bob", "long", "wavy", "tied", "scarf")
OCCLUDERS = ("none", "glasses", "sunglasses", "mask", "hand", "hair", "block")
IRISES = ("dark", "brown", "hazel", "green", "blue", "grey")


@dataclass(frozen=True)
class Identity:
    """What stays the same in every image of one person."""

    femininity: float  # 0 to 1; controls the sampling of the others, is not visible itself
    age: float  # years; lines and sagging follow from it
    head_width: float  # half width at the cheekbones
    head_top: float  # height of the crown above y = 0
    head_depth: float  # half depth from the ears to the front
    jaw_square: float  # 0 oval to 1 square
    jaw_taper: float  # share by which the width shrinks towards the chin
    chin: float  # distance of the chin below y = 0
    cheekbone: float  # relief of the cheekbones, 0 to 1
    eye_spacing: float  # distance of an eye's centre from the middle line
    eye_size: float  # half width of an eye
    eye_open: float  # half height of an eye at rest
    eye_tilt: float  # rise of the outer corner
    lid_fold: float  # distance of the crease above the upper lid; 0 hides it
    iris: str
    lashes: float  # darkness and thickness of the upper lash line, 0 to 1
    nose_length: float  # from the root to the tip
    nose_width: float  # half width across the wings
    nose_height: float  # how far the tip protrudes
    nose_bridge: float  # half width of the ridge
    mouth_level: float  # height of the mouth line, negative
    mouth_width: float  # half width
    lip_upper: float  # thickness
    lip_lower: float  # thickness
    lip_colour: float  # 0 natural to 1 lipstick
    brow_level: float  # height
    brow_thickness: float
    brow_arch: float
    brow_slant: float  # rise of the outer end
    brow_length: float
    brow_density: float  # opacity, 0 to 1
    ear_size: float
    ear_out: float  # how far the ears protrude
    skin_tone: float  # 0 fair to 1 dark
    skin_warmth: float  # -1 pink to 1 golden
    freckles: float  # 0 to 1
    hair_style: str
    hair_tone: float  # 0 black, 0.5 brown, 1 blond
    hair_red: float  # 0 to 1
    hair_grey: float  # 0 to 1
    hair_line: float  # height of the hairline in the middle
    hair_volume: float  # thickness factor
    hair_part: float  # -1 left to 1 right
    beard: float  # opacity, 0 none to 1 full
    moustache: float  # opacity, 0 to 1
    asymmetry: float  # slant of the features, face units per unit of x
    texture: float  # 0 to 1; phases of strands, freckles and folds


@dataclass(frozen=True)
class Actions:
    """How strongly each facial action pulls, 0 to 1; comments give the number in the coding system FACS."""

    inner_raise: float  # 1
    outer_raise: float  # 2
    brow_lower: float  # 4
    lid_raise: float  # 5
    cheek_raise: float  # 6
    lid_tight: float  # 7
    nose_wrinkle: float  # 9
    lip_raise: float  # 10
    corner_pull: float  # 12
    corner_drop: float  # 15
    lip_drop: float  # 16, shows the lower teeth
    chin_raise: float  # 17
    stretch: float  # 20
    press: float  # 24
    part: float  # 25
    jaw_drop: float  # 26 and 27
    lid_droop: float  # 43


@dataclass(frozen=True)
class Viewpoint:
    """Pose, light, occlusion and camera of one image."""

    yaw: float  # degrees; positive rotates the nose to the right of the image
    pitch: float  # degrees; positive lifts the nose
    roll: float  # degrees; positive leans the crown to the right of the image
    gaze_x: float  # -1 to 1, to the right of the image
    gaze_y: float  # -1 to 1, up
    light_azimuth: float  # degrees; positive comes from the right
    light_elevation: float  # degrees above the horizon
    light_strength: float  # directed light, 0 to 1
    light_ambient: float  # light from everywhere, 0 to 1
    backdrop: float  # brightness behind the head, 0 to 1
    backdrop_hue: float  # 0 to 1
    shirt: float  # brightness, 0 to 1
    shirt_hue: float  # 0 to 1
    occluder: str
    occluder_x: float  # where it lies, face units
    occluder_y: float
    occluder_size: float  # 0 to 1
    occluder_angle: float  # degrees
    occluder_tone: float  # 0 to 1; colour or make
    zoom: float  # 1 shows 1.16 units around the middle
    jitter_x: float  # shift of the crop, share of the side
    jitter_y: float
    blur: float  # standard deviation in pixels of a 48-pixel image; scales with the size
    noise: float  # standard deviation in grey levels
    noise_seed: int
    jpeg: int  # quality; 0 leaves it out


Part = TypeVar("Part", Identity, Actions, Viewpoint)

IDENTITY_COLUMNS = tuple(field.name for field in fields(Identity))
ACTION_COLUMNS = tuple(field.name for field in fields(Actions))
VIEW_COLUMNS = tuple(field.name for field in fields(Viewpoint))
FACTOR_COLUMNS = IDENTITY_COLUMNS + ACTION_COLUMNS + VIEW_COLUMNS

_CHOICES = {"hair_style": HAIR_STYLES, "occluder": OCCLUDERS, "iris": IRISES}


def check_factors(table: pd.DataFrame) -> None:
    """Check that a table has every factor, all finite and every word known.

    Raises:
        UserError: naming the column and row.
    """
    for column in FACTOR_COLUMNS:
        if column not in table:
            raise UserError(f"factor table: column '{column}' is missing; {nearest(column, table.columns)}")
        values = table[column]
        if column in _CHOICES:
            odd = ~values.isin(_CHOICES[column])
        else:
            numbers = pd.to_numeric(values, errors="coerce")
            odd = ~numbers.between(-1e12, 1e12)
        if odd.any():
            row = int(odd.to_numpy().argmax())
            expected = nearest(str(values.iloc[row]), _CHOICES[column]) if column in _CHOICES else "a number"
            raise UserError(
                f"factor table: row {row}, column '{column}' is {values.iloc[row]!r}; expected {expected}"
            )


def take_part(kind: type[Part], row: Mapping[Any, Any]) -> Part:
    """Read one part of a face from a row, as plain Python numbers, which leave float32 arrays as they are."""
    values = [row[name] for name in kind.__match_args__]
    for place, value in enumerate(values):
        if not isinstance(value, str):
            whole = kind.__match_args__[place] in ("noise_seed", "jpeg")
            values[place] = int(value) if whole else float(value)
    return kind(*values)


TRUTH = "truth.npz"
DISTANCE = ("0",)
"""The only class of a set of images and what they are to become: the distance between both that is wanted."""


@dataclass(frozen=True)
class Generated:
    """A synthetic data set in memory.

    Attributes:
        images: (N, H, W) or (N, H, W, 3) uint8, or sequences (N, T, D) float16.
        samples: the sample table, with the true factors as further columns; see ``check_samples``.
        classes: names in label order.
        note: what a reader of the results must know.
        truth: ``samples`` (n,) rows of the table, and for each of them the ground truth of its pixels,
            (n, H, W) bool, named ``occluded``, ``expressive`` or ``manipulated``; empty where all is unknown.
        pairs: the lists of pairs to verify, with the columns of ``pairs.csv``; None where there are none.
    """

    images: NDArray[np.uint8] | NDArray[np.float16]
    samples: pd.DataFrame
    classes: tuple[str, ...]
    note: str
    truth: dict[str, NDArray] = field(default_factory=dict)
    pairs: pd.DataFrame | None = None


def write_truth(folder: Path, truth: Mapping[str, NDArray]) -> str:
    """Write ``truth.npz`` into a store that is being made; returns its sha256, for the manifest's sources."""
    path = folder / TRUTH
    with path.open("wb") as file:
        np.savez_compressed(file, **dict(sorted(truth.items())))  # type: ignore[arg-type]
    return file_sha256(path)


def read_truth(folder: Path | str) -> dict[str, NDArray]:
    """Read the ground truth of the pixels of a prepared set; see ``Generated``.

    Raises:
        UserError: this set has none.
    """
    path = Path(folder) / TRUTH
    if not path.is_file():
        raise UserError(f"{path}: no such file; only prepared synthetic sets have one")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in sorted(file.files)}
