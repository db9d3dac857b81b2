"""FER2013: 35,887 grey faces of 48 x 48 pixels, seven expressions, split by the ICML 2013 contest.

Goodfellow et al., "Challenges in Representation Learning: A report on three machine learning contests",
arXiv:1307.0414. Read from the contest's ``fer2013.csv``, from ``icml_face_data.csv`` (the same rows, other
columns), or from folders ``train/<class>/`` and ``test/<class>/`` as copies on Kaggle have them.
"""

import hashlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import check_files, subfolders, visible
from fer_repro.datasets.names import is_listed_file
from fer_repro.datasets.pixel_csv import EMOTIONS, SIDE, USAGES, read_pixel_rows, scan
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError, nearest
from fer_repro.files import natural_order

CLASSES = EMOTIONS
OFFICIAL = Official(
    counts={
        "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "val": (467, 56, 496, 895, 653, 415, 607),
        "test": (491, 55, 528, 879, 594, 416, 626),
    },
    facts={
        "distinct_images": 34034,
        "duplicate_groups": 1516,
        "duplicate_samples": 3369,
        "conflicting_groups": 57,
        "constant_images": 12,
        "val_in_train": 280,
        "test_in_train": 288,
    },
    fingerprint="eff1c13d6e8a819b2009750e13913bbe4452ac40a1629bef759c21c6424b4dfd",
)
TERMS = "FER2013's faces come from the web: use them for research, do not publish them again."

CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}
FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "publictest": "val",
    "test": "test",
    "privatetest": "test",
}
_CHUNK = 1024  # images per chunk passed on
_SHARE = 8  # without a validation part, one training image in eight: the official ratio, 3589 to 28709


def _convert(job: Conversion) -> Converted:
    """Read FER2013 in its publisher's or Kaggle's layout.

    Args:
        job: ``path``: ``fer2013.csv``, ``icml_face_data.csv``, a folder with one of them, or a folder with
            ``train/`` and ``test/``.

    Raises:
        UserError: naming the file, the row and what was expected there.
    """
    if not job.path.exists():
        raise UserError(
            f"{job.path}: no such file or folder; expected fer2013.csv or the folder that holds it"
        )
    if job.path.is_file():
        return _convert_csv(job.path, job.append, job.expect)
    for folder in (job.path, job.path / "fer2013"):
        for name in CSV_NAMES:
            if is_listed_file(folder / name):
                return _convert_csv(folder / name, job.append, job.expect)
    return _convert_folders(job.path, job.append, job.expect)


# The csv: one row per image, its 2304 pixels as text


def _convert_csv(
    path: Path, append: Callable[[np.ndarray], None], expect: Callable[[int], None]
) -> Converted:
    digest, lines = scan(path)
    expect(lines)
    labels: list[int] = []
    splits: list[str] = []
    rows = read_pixel_rows(path)
    while chunk := list(islice(rows, _CHUNK)):
        labels += [label for label, _, _ in chunk]
        splits += [split for _, split, _ in chunk]
        append(np.stack([image for _, _, image in chunk]).reshape(-1, SIDE, SIDE))
    if not labels:
        raise UserError(f"{path}: no rows below the header; expected 35887")
    for usage, split in USAGES.items():
        if split not in splits:
            rows_are = f"none of the {len(labels)} rows has Usage '{usage}'"
            raise UserError(f"{path}: {rows_are}; expected 35887 rows of three parts; is the file cut off?")
    return Converted(_table(labels, splits), {path.name: digest})


# The folders: one file per image


def _convert_folders(
    path: Path, append: Callable[[np.ndarray], None], expect: Callable[[int], None]
) -> Converted:
    files = _find_files(path)
    check_files(path, (file for file, _, _ in files))
    expect(len(files))
    named = any(_usage(file) for file, _, _ in files)
    labels: list[int] = []
    splits: list[str] = []
    hasher = hashlib.sha256()
    share = not named and "val" not in {split for _, split, _ in files}
    for start in range(0, len(files), _CHUNK):
        images = []
        for file, split, label in files[start : start + _CHUNK]:
            content = file.read_bytes()
            image = _read_image(file)
            hasher.update(
                f"{file.relative_to(path).as_posix()}\0{hashlib.sha256(content).hexdigest()}\n".encode()
            )
            labels.append(label)
            splits.append(_split(file, split, image, named, share))
            images.append(image)
        append(np.stack(images))
    samples = _table(labels, splits).assign(file=[file.relative_to(path).as_posix() for file, _, _ in files])
    return Converted(samples, {f"{len(files)} image files": hasher.hexdigest()}, _note(files, named, share))


def _find_files(path: Path) -> list[tuple[Path, str, int]]:
    """All image files with the split and label that their folders name, in one fixed order."""
    parts = subfolders(path)
    for name in ("train", "test"):
        if name not in {FOLDERS.get(part.name.lower()) for part in parts}:
            found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
            raise UserError(
                f"{path}: expected {' or '.join(CSV_NAMES)}, or folders train/ and test/; "
                f"'{name}' is missing, found {found}"
            )
    files = []
    for part in parts:
        if part.name.lower() not in FOLDERS:
            raise UserError(f"{part}: unknown part of the data; {nearest(part.name.lower(), FOLDERS)}")
        for folder in subfolders(part):
            name = ALIASES.get(folder.name.lower(), folder.name.lower())
            if name not in CLASSES:
                raise UserError(f"{folder}: unknown class; {nearest(name, (*CLASSES, *ALIASES))}")
            files += [(file, FOLDERS[part.name.lower()], CLASSES.index(name)) for file in visible(folder)]
    if not files:
        raise UserError(f"{path}: no images below train/<class>/ and test/<class>/; expected 35887")
    order = list(dict.fromkeys(FOLDERS.values()))

    def place(item: tuple[Path, str, int]) -> tuple[object, ...]:
        file, split, label = item
        return order.index(split), label, natural_order(Path(file.name)), str(file)

    return sorted(files, key=place)


def _usage(file: Path) -> str | None:
    prefix = file.name.partition("_")[0]
    return prefix if prefix in USAGES else None


def _split(file: Path, split: str, image: np.ndarray, named: bool, share: bool) -> str:
    usage = _usage(file)
    if usage is not None:
        return USAGES[usage]
    if named:
        raise UserError(
            f"{file}: the name has no split, though others have; expected it to begin with "
            f"{', '.join(f'{name}_' for name in USAGES)}"
        )
    if share and split == "train" and hashlib.sha256(image.tobytes()).digest()[0] % _SHARE == 0:
        return "val"  # by its pixels, so that identical images stay in one part
    return split


def _read_image(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.size != (SIDE, SIDE):
                raise UserError(
                    f"{file}: {image.width} x {image.height} pixels: expected the original {SIDE} x {SIDE}"
                )
            if image.mode not in ("L", "RGB", "RGBA", "LA", "P"):
                raise UserError(f"{file}: pixel type {image.mode!r}: expected 8-bit grey")
            return np.asarray(image.convert("L"))
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        raise UserError(f"{file}: not readable as an image ({error}): expected PNG or JPEG") from None


def _note(files: list[tuple[Path, str, int]], named: bool, share: bool) -> str:
    notes = []
    if share:
        notes.append(
            "The file names do not show which test images are PublicTest and which PrivateTest: all of test/ "
            f"is test, and one in {_SHARE} of train/ (chosen by the sha256 of its pixels) is val. Results on "
            "this split do not compare with published ones."
        )
    elif not named:
        notes.append("The split is the folders'; the file names do not confirm it.")
    if any(file.suffix.lower() in (".jpg", ".jpeg") for file, _, _ in files):
        notes.append("The images are JPEG copies: their pixels differ slightly from fer2013.csv.")
    return " ".join(notes)


def _table(labels: list[int], splits: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"image": range(len(labels)), "label": labels, "subject": "", "clip": "", "split": splits}
    )


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL)
