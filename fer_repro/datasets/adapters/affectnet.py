"""AffectNet, the manually labelled part: colour faces of the web, eight expressions, valence and arousal.

Mollahosseini, Hasani, Mahoor, "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in
the Wild", IEEE TAC 2017, arXiv:1708.03985. Two layouts are read:
    - ``train_set/`` and ``val_set/`` with ``images/N.jpg`` and ``annotations/N_{exp,val,aro}.npy``;
    - ``Manually_Annotated_Images/`` with ``training.csv`` and ``validation.csv`` (there, or in
      ``Manually_Annotated_file_lists/``); each face is cut out by the lists' box.

The test part was never published. The publisher's validation images are therefore ``test`` here, as in the
papers, and one in eight training images (by the sha256 of its pixels) is ``val``. Persons are unknown.
Expressions 8 to 10 (none, uncertain, no face) are left out. Without ``--size`` all images must have one size;
a stored image takes 3 x size x size bytes, 43 GB for the whole set at 224.

RAN's lists (arXiv:1905.04075) name the images of the second layout; they are read if they lie in the folder.

Not verified on the original files: all names of folders, files and columns, and that the box is in pixels of
the stored image. The counts are those of RAN's list files, 287,651 and 4,000; the first layout was given out
with 3,999 validation images (recalled).
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_repro.datasets.audit import Official
from fer_repro.datasets.challenge_lists import ChallengeList, mark_lists
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.folds import HELD_OUT
from fer_repro.datasets.image_files import ImageFile, convert_images, listed, visible
from fer_repro.datasets.names import ListedFiles, is_listed_file
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError

CLASSES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")  # codes 0 to 7
OFFICIAL = Official(
    counts={
        "train+val": (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750),
        "test": (500,) * 8,
    },
    facts={},
    fingerprint="",
    sizes={"train+val": 287651, "test": 4000, "occlusion": 683, "pose_30": 1944, "pose_45": 983},
)
TERMS = "AffectNet is given out on signed request for research: do not publish its images again."
LAYOUT = (
    "train_set/ and val_set/ with images/ and annotations/, or Manually_Annotated_Images/ with training.csv "
    "and validation.csv"
)

SETS = {"train_set": "train", "val_set": "test"}
LISTS_OF = {"training.csv": "train", "validation.csv": "test"}
CODES = 11  # 8 none, 9 uncertain, 10 no face
LISTS = {
    "occlusion": ChallengeList(
        ("occlusion_affectnet_list", "occlusion_list"),
        r"val/(?P<label>[0-7])/(?P<key>[0-9a-f]+)/?",
        683,
        "457e4a754bd0a669b7147c4391d0529b5cfaf2b91037084a3c9080855e884f9e",
    ),
    "pose_30": ChallengeList(
        ("pose_30_affectnet_list", "pose_30_list"),
        r"(?P<label>[0-7])/(?P<key>[0-9a-f]+)\.jpg",
        1944,
        "add34d1b424434538e75d3c37836412b20f596243282c1b63ef77bfb278d6b7c",
    ),
    "pose_45": ChallengeList(
        ("pose_45_affectnet_list", "pose_45_list"),
        r"(?P<label>[0-7])/(?P<key>[0-9a-f]+)/8\.jpg",
        983,
        "5f50649bb10e0bdd2eb4168002f24cd1260abfe0fa67f3a2c7d1fb9101693fe4",
    ),
}
_COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "expression")


def _convert(job: Conversion) -> Converted:
    """Read either layout.

    Args:
        job: ``path``: the folder that holds ``train_set/`` and ``val_set/``, or
            ``Manually_Annotated_Images/``; ``size``: side of the stored images; 0 keeps them if all have
            one size.

    Raises:
        UserError: the folder has another layout, a label is missing or no code, or a listed image is missing.
    """
    there = [entry.name for entry in visible(job.path)] if job.path.is_dir() else []
    if set(SETS) <= set(there):
        photos, other = _read_sets(job.path)
        note = ""
    elif "Manually_Annotated_Images" in there:
        photos, other, note = _read_lists(job.path)
    else:
        raise UserError(f"{job.path}: found {listed(there)}; expected {LAYOUT}")
    if other:
        note = (
            f"{other} images with an expression of 8 or more (none, uncertain, no face) are left out. {note}"
        )
    converted = convert_images(job.path, photos, job.append, job.expect, job.size, colour=True, hold_out=True)
    origin = f"The publisher's validation images are test; {HELD_OUT}."
    return Converted(converted.samples, converted.source, f"{origin} {note}".rstrip())


def _read_sets(path: Path) -> tuple[list[ImageFile], int]:
    """The images of ``train_set`` and ``val_set``, and how many have another expression."""
    photos, other = [], 0
    for name, split in SETS.items():
        for folder in (path / name / "images", path / name / "annotations"):
            if not folder.is_dir():
                raise UserError(f"{folder}: no such folder; expected {LAYOUT}")
        files = visible(path / name / "images")
        notes = ListedFiles(path / name / "annotations")
        for file in sorted(files, key=lambda file: (len(file.stem), file.stem)):  # by number
            code = _code(_value(notes, file, "exp"), f"{notes.folder / file.stem}_exp.npy")
            if code >= len(CLASSES):
                other += 1
                continue
            affect = {"valence": _value(notes, file, "val"), "arousal": _value(notes, file, "aro")}
            photos.append(ImageFile(file, code, split, factors=affect))
    return photos, other


def _value(notes: ListedFiles, image: Path, kind: str) -> float:
    file = notes.find(f"{image.stem}_{kind}.npy", str(image))
    try:
        return float(np.load(file, allow_pickle=False).item())
    except Exception as error:  # archives, pickles, and headers that declare more than fits in memory
        raise UserError(f"{file}: not one number ({' '.join(str(error).split())})") from None


def _code(value: float, where: str) -> int:
    if value not in range(CODES):
        meaning = ", ".join(f"{number} {name}" for number, name in enumerate(CLASSES))
        raise UserError(
            f"{where}: expression is {value:g}: expected 0 to 10 ({meaning}, 8 and more: left out)"
        )
    return int(value)


def _read_lists(path: Path) -> tuple[list[ImageFile], int, str]:
    """The images of the two lists, how many have another expression, and a note on RAN's lists."""
    photos, other = [], 0
    images = ListedFiles(path / "Manually_Annotated_Images")
    for name, split in LISTS_OF.items():
        places = (path / name, path / "Manually_Annotated_file_lists" / name)
        file = next((place for place in places if is_listed_file(place)), None)
        if file is None:
            raise UserError(f"{places[0]}: no such file, nor {places[1]}; expected {LAYOUT}")
        for where, row in _rows(file):
            code = _code(_number(row, "expression", where), where)
            if code >= len(CLASSES):
                other += 1
                continue
            photos.append(_photo(images, where, row, code, split))
    keys = {photo.file.stem: photo.label for photo in photos if photo.split == "test"}
    marked, note = mark_lists(LISTS, [path, path / "AffectNet_dir"], keys, set(keys))
    return [_marked(photo, marked) for photo in photos], other, note


def _marked(photo: ImageFile, marked: Mapping[str, set[str]]) -> ImageFile:
    columns = {column: photo.file.stem in names for column, names in marked.items()}
    return replace(photo, factors={**photo.factors, **columns})


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.DictReader(lines)
        try:
            for column in (*_COLUMNS, "valence", "arousal"):
                if column not in (reader.fieldnames or ()):
                    found = listed(list(reader.fieldnames or ()))
                    raise UserError(f"{file}: line 1: column '{column}' is missing, found {found}")
            for row in reader:
                if None in row or None in row.values():
                    raise csv.Error(f"{'more' if None in row else 'fewer'} columns than the first line")
                yield f"{file}: line {reader.line_num}", row
        except csv.Error as error:
            raise UserError(
                f"{file}: line {reader.line_num}: not readable as CSV: {error}; is it cut off?"
            ) from None


def _photo(images: ListedFiles, where: str, row: dict[str, str], code: int, split: str) -> ImageFile:
    file = images.find(row["subDirectory_filePath"], where)
    left, top, width, height = (int(_number(row, column, where)) for column in _COLUMNS[1:5])
    affect: dict[str, object] = {name: _number(row, name, where) for name in ("valence", "arousal")}
    return ImageFile(file, code, split, factors=affect, box=(left, top, left + width, top + height))


def _number(row: dict[str, str], column: str, where: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{where}: {column} is {row[column]!r}: expected a number; is the line cut off?")
    return number


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL, resizes=True)
