"""SFEW 2.0: stills of movies, seven expressions.

Dhall, Goecke, Lucey, Gedeon, "Static Facial Expression Analysis in Tough Conditions", ICCV workshops 2011.
``Train/<Class>/image`` and ``Val/<Class>/image``, or the same with ``Train_Aligned_Faces/`` and
``Val_Aligned_Faces/``, which are preferred where both are there. 958 train, 436 validation, 372 test images;
the labels of the test part are not public and papers report on the validation part. It is therefore ``test``
here, and movies chosen by the sha256 of their name, about one in eight, are taken from train as ``val``.

Not verified on the original files: the names of folders, and that a file's name begins with the movie's and
goes on with ``_`` and digits, by which whole movies are held out. Persons are unknown.
"""

import re
from pathlib import Path

from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.folds import held_out
from fer_repro.datasets.image_files import ImageFile, convert_images, listed, subfolders, visible
from fer_repro.datasets.names import composed
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError, nearest

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
OFFICIAL = Official({}, {}, "", {"train+val": 958, "test": 436})
TERMS = "SFEW is given out on signed request for non-commercial research: do not publish its images again."
LAYOUT = "Train/<Class>/image and Val/<Class>/image, or Train_Aligned_Faces/ and Val_Aligned_Faces/"

PARTS = {"Train": "train", "Val": "test"}
_FILM = re.compile(r"(.+?)_\d")


def _convert(job: Conversion) -> Converted:
    """Read the class folders of both parts.

    Args:
        job: ``path``: the folder that holds ``Train/`` and ``Val/``; ``size``: side of the stored images; 0
            keeps them if all have one size.

    Raises:
        UserError: a part or class folder is missing or unknown, or a file in one is no image.
    """
    folders = _parts(job.path)
    photos = [photo for name, folder in folders.items() for photo in _photos(folder, PARTS[name])]
    aligned = "aligned faces" if folders["Train"].name != "Train" else "whole frames"
    note = f"{aligned}; the publisher's Val is test; about one movie in eight of Train is val."
    converted = convert_images(job.path, photos, job.append, job.expect, job.size, colour=True)
    return Converted(converted.samples, converted.source, note[0].upper() + note[1:])


def _parts(path: Path) -> dict[str, Path]:
    there = [entry.name for entry in visible(path)] if path.is_dir() else []
    for ending in ("_Aligned_Faces", ""):
        if all(f"{part}{ending}" in there for part in PARTS):
            return {part: path / f"{part}{ending}" for part in PARTS}
    raise UserError(f"{path}: found {listed(there)}; expected {LAYOUT}")


def _photos(part: Path, split: str) -> list[ImageFile]:
    found = subfolders(part)
    for folder in found:
        if folder.name.lower() not in CLASSES:
            raise UserError(f"{folder}: unknown class; {nearest(folder.name.lower(), CLASSES)}")
    names = [folder.name.lower() for folder in found]
    for name in CLASSES:
        if name not in names:
            raise UserError(
                f"{part}: class folder '{name}' is missing, found {listed(names)}; expected {LAYOUT}"
            )
    return [
        ImageFile(
            file, CLASSES.index(folder.name.lower()), _split(file, split), factors={"movie": _movie(file)}
        )
        for folder in found
        for file in visible(folder)
    ]


def _movie(file: Path) -> str:
    match = _FILM.match(file.name)
    return match[1] if match else file.stem


def _split(file: Path, split: str) -> str:
    return "val" if split == "train" and held_out(composed(_movie(file)).encode()) else split


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL, resizes=True)
