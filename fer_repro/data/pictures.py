"""Pictures in folders: found in one fixed order, checked before any is written, read one at a time."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from fer_repro.data.folds import held_out
from fer_repro.data.samples import Converted
from fer_repro.errors import UserError

GREY, COLOUR = ("L", "LA"), ("RGB", "RGBA", "P")
PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Picture:
    """One image file and what is known about it.

    Attributes:
        file: its path.
        label: index into the data set's classes.
        split: train, val or test.
        subject: the person, "" if unknown.
        clip: the sequence it is a frame of, "" for a still.
        factors: further columns of the sample table, the same ones for every picture.
        box: left, top, right, bottom of the part to keep, in pixels; None keeps all.
    """

    file: Path
    label: int
    split: str
    subject: str = ""
    clip: str = ""
    factors: Mapping[str, object] = field(default_factory=dict)
    box: tuple[int, int, int, int] | None = None


def visible(folder: Path) -> list[Path]:
    """Files and folders in ``folder``, sorted, without what systems leave behind (.DS_Store, Thumbs.db)."""
    hidden = ("thumbs.db", "desktop.ini")
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "__")) and entry.name.lower() not in hidden
    )


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in ``folder``, sorted."""
    return [entry for entry in visible(folder) if entry.is_dir()]


def listed(names: Sequence[str]) -> str:
    """The first names of a list for a message, or "nothing"."""
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "nothing"


def convert_pictures(
    root: Path,
    pictures: Sequence[Picture],
    append: Callable[[np.ndarray], None],
    expect: Callable[[int], None],
    size: int = 0,
    colour: bool | None = None,
    hold_out: bool = False,
) -> Converted:
    """Read pictures in the given order; memory stays at one picture and the table.

    Args:
        root: the folder that the column ``file`` is relative to.
        pictures: what to read.
        append: takes the images in order, (1, H, W) or (1, H, W, 3) uint8.
        expect: is told once how many images will come.
        size: 0 takes the pictures as they are, all of one size; otherwise each is cut to the largest square
            about its centre and scaled to size x size (bilinear, antialiased).
        colour: store RGB or grey; None: RGB if any picture has colour.
        hold_out: move one in eight of train to val, by the sha256 of its pixels before scaling.

    Raises:
        UserError: there are none, one is no picture, or sizes differ; before anything is passed on, unless a
            picture is damaged behind its head.
    """
    if not pictures:
        raise UserError(f"{root}: no images; expected at least one")
    any_colour = _survey(pictures, size)
    keep_colour = any_colour if colour is None else colour
    expect(len(pictures))
    hasher = hashlib.sha256()
    splits = []
    for picture in pictures:
        content = picture.file.read_bytes()
        name = picture.file.relative_to(root).as_posix()
        hasher.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        image = _read(picture, content, keep_colour)
        held = hold_out and picture.split == "train" and held_out(np.asarray(image).tobytes())
        splits.append("val" if held else picture.split)
        if size:
            image = _square(image).resize((size, size), Image.Resampling.BILINEAR)
        append(np.asarray(image)[None])
    return Converted(_table(root, pictures, splits), {f"{len(pictures)} image files": hasher.hexdigest()})


def _survey(pictures: Sequence[Picture], size: int) -> bool:
    """Read all heads: whether any picture has colour; one type and, without ``size``, one size."""
    colour, first = False, None
    for picture in pictures:
        try:
            with Image.open(picture.file) as image:
                mode, shape = image.mode, image.size
        except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
            raise _unreadable(picture.file, error) from None
        if mode not in GREY + COLOUR:
            raise UserError(f"{picture.file}: pixel type {mode!r}: expected 8-bit grey or colour")
        colour = colour or mode in COLOUR
        if picture.box is not None:
            shape = _box_size(picture, shape)
        first = first or shape
        if shape != first and not size:
            raise UserError(
                f"{picture.file}: {shape[0]} x {shape[1]} pixels: {pictures[0].file.name} has {first[0]} x "
                f"{first[1]}; add the set with --size N to cut all to their middle square, N x N"
            )
    return colour


def _box_size(picture: Picture, shape: tuple[int, int]) -> tuple[int, int]:
    assert picture.box is not None
    left, top, right, bottom = picture.box
    if not (0 <= left < right <= shape[0] and 0 <= top < bottom <= shape[1]):
        raise UserError(
            f"{picture.file}: face box {picture.box}: expected left < right and top < bottom inside "
            f"{shape[0]} x {shape[1]} pixels"
        )
    return right - left, bottom - top


def _read(picture: Picture, content: bytes, colour: bool) -> Image.Image:
    try:
        with Image.open(BytesIO(content)) as image:
            return image.convert("RGB" if colour else "L").crop(picture.box)
    except Exception as error:
        raise _unreadable(picture.file, error) from None


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _unreadable(file: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) if not isinstance(error, UnidentifiedImageError) else "unknown kind"
    return UserError(f"{file}: not readable as an image ({reason}): expected PNG or JPEG")


def _table(root: Path, pictures: Sequence[Picture], splits: list[str]) -> pd.DataFrame:
    columns = {
        "image": range(len(pictures)),
        "label": [picture.label for picture in pictures],
        "subject": [picture.subject for picture in pictures],
        "clip": [picture.clip for picture in pictures],
        "split": splits,
        "file": [picture.file.relative_to(root).as_posix() for picture in pictures],
    }
    factors = {name: [picture.factors[name] for picture in pictures] for name in pictures[0].factors}
    return pd.DataFrame({**columns, **factors})
