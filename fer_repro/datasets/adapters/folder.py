"""Any images in class folders: ``<class>/image``, or ``train/<class>/image`` and ``test/<class>/image``.

The folders' names are the classes, in alphabetical order (numbers by value). With ``train/`` and ``test/``
but no ``val/``, one in eight of train becomes val; without any of them one in eight of all becomes val and
one in eight test. Both are chosen by the sha256 of the pixels, so that identical images stay together.
Persons are unknown: one may be in two splits.

``fer-repro data add folder PATH`` makes the set "folder"; ``folder-NAME`` gives it another name.
"""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.folds import HELD_OUT
from fer_repro.datasets.image_files import PARTS, ImageFile, convert_images, listed, subfolders, visible
from fer_repro.datasets.names import composed, spelling
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError, nearest

TERMS = "Keep to the terms under which you got these faces."
LAYOUT = "<class>/image, or train/<class>/image, test/<class>/image and, if there is one, val/<class>/image"


def _read_classes(path: Path) -> tuple[str, ...]:
    """The names of the class folders, sorted, numbers by value.

    Raises:
        UserError: there are fewer than two, parts and classes are mixed, or train/ spells one otherwise.
    """
    found = {split: _class_names(part) for part, split in _parts(path).items()}
    names = set().union(*found.values())
    if len(names) < 2:
        raise UserError(f"{path}: classes found: {listed(sorted(names))}; expected two or more: {LAYOUT}")
    _check_spelling(path, found)
    numbers = all(name.isascii() and name.isdigit() for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if numbers else (lambda name: (0, name))))


def _convert(job: Conversion) -> Converted:
    """Read the images: grey if all are grey, else RGB.

    Args:
        job: ``path``: the folder; ``size``: side of the stored images; 0 keeps the images if all have one
            size.

    Raises:
        UserError: the folder has another layout, a file in a class folder is no image, or sizes differ.
    """
    classes, parts = _read_classes(job.path), _parts(job.path)
    photos = [
        ImageFile(file, classes.index(composed(folder.name)), split)
        for part, split in parts.items()
        for folder in subfolders(part)
        for file in visible(folder)
    ]
    alone = list(parts.values()) == ["all"]
    if alone:
        photos = [_dealt(photo) for photo in photos]
        note = "The split is this project's: one in eight images is val, one in eight test (by their pixels)."
    elif "val" not in parts.values():
        note = f"There is no val/: {HELD_OUT}."
    else:
        note = "The split is the folders'."
    hold_out = not alone and "val" not in parts.values()
    converted = convert_images(job.path, photos, job.append, job.expect, job.size, hold_out=hold_out)
    return Converted(converted.samples, converted.source, note)


def _class_names(part: Path) -> set[str]:
    return {composed(folder.name) for folder in subfolders(part)}


def _check_spelling(path: Path, found: dict[str, set[str]]) -> None:
    """Refuse a class that is tested and not trained on because train/ spells it otherwise."""
    learnt = {spelling(name): name for name in found.get("train", ())}
    for split, names in found.items():
        for name in sorted(names - found.get("train", names)):
            if spelling(name) in learnt:
                raise UserError(
                    f"{path}: class '{name}' of {split} has no training images; did you mean "
                    f"'{learnt[spelling(name)]}'?"
                )


def _parts(path: Path) -> dict[Path, str]:
    """Folders that hold the class folders -> train, val, test, or "all"."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected {LAYOUT}")
    found = {folder: PARTS.get(folder.name.lower(), "") for folder in subfolders(path)}
    if not any(found.values()):
        return {path: "all"}
    for folder, split in found.items():
        if not split:
            raise UserError(f"{folder}: unknown part of the data; {nearest(folder.name.lower(), PARTS)}")
        if list(found.values()).count(split) > 1:
            raise UserError(f"{folder}: a second folder for {split}; expected one")
    for split in ("train", "test"):
        if split not in found.values():
            raise UserError(f"{path}: '{split}' is missing, found {listed([part.name for part in found])}")
    return found


def _dealt(photo: ImageFile) -> ImageFile:
    try:
        with Image.open(photo.file) as image:
            digest = hashlib.sha256(np.asarray(image.convert("RGB")).tobytes()).digest()
    except Exception:  # convert_images names what is wrong with it
        return ImageFile(photo.file, photo.label, "train")
    return ImageFile(photo.file, photo.label, {0: "val", 1: "test"}.get(digest[0] % 8, "train"))


DATASET = Dataset(
    classes=(), terms=TERMS, convert=_convert, resizes=True, any_variant=True, read_classes=_read_classes
)
