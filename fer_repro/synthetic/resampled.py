"""Synthetic faces beside the same faces halved and enlarged again; both are JPEG files of one quality.

What separates the two is resampling alone: person, view and camera are the same, and so is the compression.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_repro.sections import STRICT, Count, PositiveInt, read_section
from fer_repro.synthetic import blending, light, render
from fer_repro.synthetic.factors import CLASSES, Generated
from fer_repro.synthetic.stills import sample_stills

LABELS = ("real", "manipulated")
RESAMPLED = "halved"
"""The kind of manipulation, in the column ``forgery``."""
NOTE = (
    "Rendered by fer_repro.synthetic.resampled; no real person is shown. Every face comes twice: as the "
    "camera took it, and halved and enlarged again; both were compressed once, with the same quality."
)
_STREAM = 0x726573  # "res": with any seed, other people than those of the other generators


@dataclass(frozen=True, config=STRICT)
class People:
    """How many people each split shows; each is one pair of images."""

    train: PositiveInt
    val: PositiveInt
    test: PositiveInt


@dataclass(frozen=True, config=STRICT)
class ResampledSettings:
    """What is in the manifest of a set of resampled faces."""

    name: str
    kind: Literal["resampled"]
    seed: Count
    size: Annotated[int, Field(ge=16, le=render.MAX_SIZE)]  # pixels
    quality: Annotated[int, Field(ge=1, le=100)]  # of the JPEG files of both classes
    people: People


def draw(settings: Mapping[str, Any]) -> Generated:
    """Render a set of resampled faces: a pure function of its settings.

    Args:
        settings: the fields of ``ResampledSettings``.

    Returns:
        Grey images of the classes real and manipulated: first all faces, then the same faces resampled.

    Raises:
        UserError: a setting is unknown, missing or out of range.
    """
    given = read_section(ResampledSettings, settings, f"settings of '{settings.get('name', '')}'")
    faces = sample_faces(given.seed, asdict(given.people))
    taken = render.render(faces, given.size).images  # as the camera took them, not yet compressed
    pairs = [
        (light.compress(image, given.quality), light.compress(halve(image), given.quality)) for image in taken
    ]
    images = np.concatenate([np.stack(side) for side in zip(*pairs, strict=True)])
    table = pd.concat([faces, faces.assign(label=1, forgery=RESAMPLED)], ignore_index=True)
    return Generated(images, table.assign(image=np.arange(len(table)), jpeg=given.quality), LABELS, NOTE)


def sample_faces(seed: int, people: Mapping[str, int]) -> pd.DataFrame:
    """Sample one face of each person; the expressions take turns.

    Args:
        seed: from 0.
        people: how many per split.

    Returns:
        One row per face: the columns of the stills, ``jpeg`` 0, and ``forgery`` none; ``label`` 0, real.
    """
    every = sample_stills((_STREAM << 32) + seed, people, faces_per_class=1)
    expressions = np.asarray(CLASSES)[every["label"]]
    every = every.assign(expression=expressions, label=0, jpeg=0, forgery="none")
    count = len(CLASSES)
    return every.iloc[[count * k + k % count for k in range(len(every) // count)]].reset_index(drop=True)


def halve(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Halve an image (H, W) or (H, W, 3) and enlarge it again to its size, bilinearly and bicubically."""
    values = image if image.ndim == 3 else image[..., None]
    enlarged = blending.coarsen(values.astype(np.float32), 0.5)
    pixels = np.clip(np.rint(enlarged), 0, 255).astype(np.uint8)
    return pixels if image.ndim == 3 else pixels[..., 0]
