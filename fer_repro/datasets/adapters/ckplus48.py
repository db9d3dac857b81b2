"""CK+48: the last three frames of the 327 labelled CK+ sequences, grey faces of 48 x 48 pixels.

Lucey, Cohn, Kanade et al., "The Extended Cohn-Kanade Dataset (CK+)", CVPR workshops 2010.
Folders ``<class>/SXXX_YYY_NNNNNNNN.png``: subject, sequence, frame. Seven classes with contempt and WITHOUT
neutral: its numbers are not comparable with those on FER2013's seven classes. Three apex frames are not the
whole sequences of FAN's paper (arXiv:1907.00193): its numbers are not comparable with 99.69.

Folds: the ten subject-independent ones of Open-Debin/Emotion-FAN, ``emotion_fan_10fold.txt`` in the folder,
or the same by their rule. The column ``fold`` has 1 ... 10; ``split`` is that of fold 1: fold 1 test, fold 2
val, the others train. ``fold_split`` in ``datasets/folds.py`` gives the other nine.
"""

import re
from pathlib import Path

from PIL import Image

from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.folds import ckplus_folds, fold_split
from fer_repro.datasets.image_files import ImageFile, convert_images, listed, subfolders, visible
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError, nearest

CLASSES = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")  # CK+'s own 1 to 7
SIDE = 48
FRAMES = 3
OFFICIAL = Official(
    counts={  # three frames of each sequence; the sequences are those of the list's head lines
        "train": (111, 45, 135, 51, 162, 66, 195),
        "val": (18, 6, 21, 12, 24, 6, 30),
        "test": (6, 3, 21, 12, 21, 12, 24),
    },
    facts={"distinct_images": 981, "constant_images": 0, "subjects_crossing": 0},
    fingerprint="12568491591e889d9a8b1e4e5d55c45376d17057f61cc34d273a0bae6d6796ca",
    sizes={"clip": 327, "subject": 118},
)
TERMS = (
    "CK+ is distributed under a user agreement for non-commercial research: sign it before you use these "
    "crops for more than tests, and do not publish them."
)
LAYOUT = "a folder CK+48 with anger/SXXX_YYY_NNNNNNNN.png, contempt/, ..., surprise/"
_NAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})\.png")


def _convert(job: Conversion) -> Converted:
    """Read the seven class folders, frames in order within their sequence.

    Args:
        job: ``path``: the folder with the class folders, or the one above that holds ``CK+48/``.

    Raises:
        UserError: a class folder is missing or unknown, a name is of another form, a sequence has not three
            frames or two labels, an image has another size, or the fold list does not fit.
    """
    root = job.path / "CK+48" if (job.path / "CK+48").is_dir() else job.path
    sequences = _sequences(root)
    labels = {clip: CLASSES[label] for clip, (label, _) in sequences.items()}
    folds, note = ckplus_folds(labels, root)
    photos = [
        ImageFile(
            file, label, "train", subject=clip.partition("/")[0], clip=clip, factors={"fold": folds[clip]}
        )
        for clip, (label, files) in sorted(sequences.items())
        for file in files
    ]
    for photo in photos:
        _check_side(photo.file)
    converted = convert_images(root, photos, job.append, job.expect, colour=False)
    return Converted(fold_split(converted.samples, 1, str(root)), converted.source, note)


def _check_side(file: Path) -> None:
    try:
        with Image.open(file) as image:
            width, height = image.size
    except Exception:  # convert_images reports what is wrong with it
        return
    if (width, height) != (SIDE, SIDE):
        raise UserError(f"{file}: {width} x {height} pixels: expected {SIDE} x {SIDE}")


def _sequences(root: Path) -> dict[str, tuple[int, list[Path]]]:
    """Sequence -> label and its files in order of the frames."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected {LAYOUT}")
    found = [folder.name for folder in subfolders(root)]
    for name in found:
        if name not in CLASSES:
            raise UserError(f"{root / name}: unknown class; {nearest(name, CLASSES)}")
    for name in CLASSES:
        if name not in found:
            raise UserError(
                f"{root}: class folder '{name}' is missing, found {listed(found)}; expected {LAYOUT}"
            )
    sequences: dict[str, tuple[int, list[Path]]] = {}
    for label, name in enumerate(CLASSES):
        for file in visible(root / name):
            match = _NAME.fullmatch(file.name)
            if match is None:
                raise UserError(f"{file}: expected a name like S010_004_00000017.png")
            known, files = sequences.setdefault(f"{match[1]}/{match[2]}", (label, []))
            if known != label:
                raise UserError(f"{file}: sequence {match[1]}_{match[2]} is in {CLASSES[known]}/, too")
            files.append(file)
    for clip, (label, files) in sequences.items():
        if len(files) != FRAMES:
            raise UserError(
                f"{root / CLASSES[label]}: sequence {clip} has {len(files)} frames: expected {FRAMES}"
            )
    return sequences


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL)
