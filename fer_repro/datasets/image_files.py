"""Images in folders: found in one fixed order, checked before any is written, read one at a time."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_repro.datasets.folds import held_out
from fer_repro.datasets.names import check_forms, check_links
from fer_repro.datasets.samples import Converted, has_controls
from fer_repro.errors import UserError
from fer_repro.files import natural_order

ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF: how the camera was held, and when on its side
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "CMYK", "YCbCr")  # what Pillow calls 8-bit images
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
class ImageFile:
    """One image file and what is known about it.

    Attributes:
        file: its path.
        label: index into the data set's classes.
        split: train, val or test.
        subject: the person, "" if unknown.
        clip: the sequence it is a frame of, "" for a still.
        factors: further columns of the sample table, the same ones for every image.
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
    """Files and folders in ``folder``, without what systems leave behind (.DS_Store, Thumbs.db).

    They are sorted with the numbers in their names by value: frames 1, 2, 10 are in their order in time.

    Raises:
        UserError: one is a broken link, or two names differ in their Unicode form alone.
    """
    hidden = ("thumbs.db", "desktop.ini")
    found = sorted(
        (
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith((".", "__")) and entry.name.lower() not in hidden
        ),
        key=natural_order,
    )
    check_links(found)
    check_forms(found)
    return found


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in ``folder``, in alphabetical order, which is that of labels."""
    return sorted(entry for entry in visible(folder) if entry.is_dir())


def listed(names: Sequence[str]) -> str:
    """The first names of a list for a message, or "nothing"."""
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "nothing"


def check_files(root: Path, files: Iterable[Path]) -> None:
    """Check that files are inside their folder, and that their names can be written in a table.

    A set that somebody packed may hold links, and its lists may name paths, that lead to other files of the
    reader's machine: these would become samples.

    Args:
        root: the folder that was given; it may itself be a link.
        files: below it.

    Raises:
        UserError: naming the first file that leads out of the folder, or whose name breaks lines.
    """
    home = os.path.realpath(root)
    for file in files:
        if has_controls(str(file)):
            raise UserError(f"{file}: the name holds line ends or control characters; rename it")
        real = os.path.realpath(file)
        if os.path.commonpath((home, real)) != home:
            raise UserError(f"{file}: leads out of {root}, to {real}; put a copy in its place")


def still_count(image: Image.Image) -> int:
    """How many images a file shows one after the other: more than one of an animation or a scanned stack.

    The further images of an MPO are previews and other views that cameras keep beside a photo.
    """
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def check_still(image: Image.Image, where: str) -> None:
    """Refuse what does not become grey or RGB without a choice: other depths, and several images in one file.

    Args:
        image: opened, from a file or in memory.
        where: its file or name, for messages.

    Raises:
        UserError: naming what it is.
    """
    if image.mode not in GREY + COLOUR:
        raise UserError(f"{where}: pixel type {image.mode!r}: expected 8-bit grey or colour")
    if still_count(image) > 1:
        raise UserError(
            f"{where}: shows {still_count(image)} images one after the other: expected one, in its own file"
        )


def opaque(image: Image.Image, mode: str) -> Image.Image:
    """Convert to grey (L) or RGB; what is transparent shows the colour that is stored for it."""
    if "transparency" in image.info:
        image = image.copy()  # the caller's keeps what it has
        del image.info["transparency"]
    return image.convert(mode)


def convert_images(
    root: Path,
    photos: Sequence[ImageFile],
    append: Callable[[np.ndarray], None],
    expect: Callable[[int], None],
    size: int = 0,
    colour: bool | None = None,
    hold_out: bool = False,
) -> Converted:
    """Read images in the given order; memory stays at one image and the table.

    Args:
        root: the folder that the column ``file`` is relative to.
        photos: what to read.
        append: takes the images in order, (1, H, W) or (1, H, W, 3) uint8.
        expect: called once with the number of images to come.
        size: 0 takes the images as they are, all of one size; otherwise each is cut to the largest square
            about its centre and scaled to size x size (bilinear, antialiased).
        colour: store RGB or grey; None: RGB if any image has colour.
        hold_out: move one in eight of train to val, by the sha256 of its pixels before scaling.

    Raises:
        UserError: there are none, one is no image or lies elsewhere, or sizes differ; before anything is
            passed on, unless an image is damaged after its header.
    """
    if not photos:
        raise UserError(f"{root}: no images; expected at least one")
    check_files(root, (photo.file for photo in photos))
    any_colour = _survey(photos, size)
    keep_colour = any_colour if colour is None else colour
    expect(len(photos))
    hasher = hashlib.sha256()
    splits = []
    for photo in photos:
        content = photo.file.read_bytes()
        name = photo.file.relative_to(root).as_posix()
        hasher.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        image = _read(photo, content, keep_colour)
        held = hold_out and photo.split == "train" and held_out(np.asarray(image).tobytes())
        splits.append("val" if held else photo.split)
        if size:
            image = _square(image).resize((size, size), Image.Resampling.BILINEAR)
        append(np.asarray(image)[None])
    return Converted(_table(root, photos, splits), {f"{len(photos)} image files": hasher.hexdigest()})


def _survey(photos: Sequence[ImageFile], size: int) -> bool:
    """Read all headers: whether any image has colour; one type and, without ``size``, one size."""
    colour, first = False, None
    for photo in photos:
        try:
            with Image.open(photo.file) as image:
                check_still(image, str(photo.file))
                mode, shape = image.mode, image.size
                sideways = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
        except UserError:
            raise
        except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
            raise _unreadable(photo.file, error) from None
        colour = colour or mode in COLOUR
        if photo.box is not None:
            shape = _box_size(photo, shape)
        shape = shape[::-1] if sideways else shape
        first = first or shape
        if shape != first and not size:
            raise UserError(
                f"{photo.file}: {shape[0]} x {shape[1]} pixels: {photos[0].file.name} has {first[0]} x "
                f"{first[1]}; add the set with --size N to cut all to their middle square, N x N"
            )
    return colour


def _box_size(photo: ImageFile, shape: tuple[int, int]) -> tuple[int, int]:
    assert photo.box is not None
    left, top, right, bottom = photo.box
    if not (0 <= left < right <= shape[0] and 0 <= top < bottom <= shape[1]):
        raise UserError(
            f"{photo.file}: face box {photo.box}: expected left < right and top < bottom inside "
            f"{shape[0]} x {shape[1]} pixels"
        )
    return right - left, bottom - top


def _read(photo: ImageFile, content: bytes, colour: bool) -> Image.Image:
    try:
        with Image.open(BytesIO(content)) as image:
            cut = opaque(image, "RGB" if colour else "L").crop(photo.box)  # boxes are of the stored pixels
            return ImageOps.exif_transpose(cut)  # as the camera was held
    except Exception as error:
        raise _unreadable(photo.file, error) from None


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _unreadable(file: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) if not isinstance(error, UnidentifiedImageError) else "unknown kind"
    return UserError(f"{file}: not readable as an image ({reason}): expected PNG or JPEG")


def _table(root: Path, photos: Sequence[ImageFile], splits: list[str]) -> pd.DataFrame:
    columns = {
        "image": range(len(photos)),
        "label": [photo.label for photo in photos],
        "subject": [photo.subject for photo in photos],
        "clip": [photo.clip for photo in photos],
        "split": splits,
        "file": [photo.file.relative_to(root).as_posix() for photo in photos],
    }
    factors = {name: [photo.factors[name] for photo in photos] for name in photos[0].factors}
    return pd.DataFrame({**columns, **factors})
