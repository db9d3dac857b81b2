"""AFEW: clips of movies, seven expressions; read as folders of frames, which FAN's code is trained on.

Dhall, Goecke, Lucey, Gedeon, "Collecting Large, Richly Annotated Facial-Expression Databases from Movies",
IEEE MultiMedia 2012; as in EmotiW 2018. One folder of frames per clip, in name
order, numbers by value:
``Train_AFEW/<Class>/<clip>/`` and ``Val_AFEW/<Class>/<clip>/`` (or ``train_afew/`` and ``val_afew/`` as in
FAN's code, or ``Train/`` and ``Val/``). The publisher's clips are videos: take the frames out and crop the
faces before, for example with ffmpeg and a face detector.

The labels of the test part are not public and papers report on the validation part. It is therefore ``test``
here, and about one in eight training clips, by the sha256 of its name, is ``val``. Persons are unknown.
FAN's list files (arXiv:1907.00193) have 771 and 381 clips, its paper says 773 and 383. Class order as in its
code. A clip without frames is left out and named in the note: in FAN's code it makes every result of the
relation variant wrong.

Not verified on the original files: the names of the folders.
"""

from pathlib import Path

from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.folds import held_out
from fer_repro.datasets.image_files import ImageFile, convert_images, listed, subfolders, visible
from fer_repro.datasets.names import composed
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError, nearest

CLASSES = ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise")
OFFICIAL = Official({}, {}, "", {"clip": 771 + 381})
TERMS = "AFEW is given out on signed request for non-commercial research: do not publish its clips again."
LAYOUT = "Train_AFEW/<Class>/<clip>/frame.jpg and Val_AFEW/<Class>/<clip>/frame.jpg"

PARTS = {"train_afew": "train", "train": "train", "val_afew": "test", "val": "test"}
VIDEOS = (".avi", ".mp4", ".mov")


def _convert(job: Conversion) -> Converted:
    """Read the frames of all clips in order.

    Args:
        job: ``path``: the folder that holds the two parts; ``size``: side of the stored images; 0 keeps
            them if all have one size.

    Raises:
        UserError: a part or class is missing or unknown, clips are still videos, or a file is no image.
    """
    photos, empty = [], []
    for part, split in _parts(job.path).items():
        for clip, label in _clips(part):
            name = f"{split}/{clip.parent.name}/{clip.name}"
            files = visible(clip)
            if not files:
                empty.append(name)
            chosen = "val" if split == "train" and held_out(composed(name).encode()) else split
            photos += [ImageFile(file, label, chosen, clip=name) for file in files]
    converted = convert_images(job.path, photos, job.append, job.expect, job.size, colour=True)
    note = "The publisher's Val is test; about one in eight clips of Train is val."
    if empty:
        note += f" {len(empty)} clips have no frames and are left out: {listed(empty)}."
    return Converted(converted.samples, converted.source, note)


def _parts(path: Path) -> dict[Path, str]:
    folders = subfolders(path) if path.is_dir() else []
    found = {folder: PARTS[folder.name.lower()] for folder in folders if folder.name.lower() in PARTS}
    if sorted(found.values()) != ["test", "train"]:
        raise UserError(f"{path}: found {listed([folder.name for folder in folders])}; expected {LAYOUT}")
    return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))


def _clips(part: Path) -> list[tuple[Path, int]]:
    clips = []
    for folder in subfolders(part):
        if folder.name.lower() not in CLASSES:
            raise UserError(f"{folder}: unknown class; {nearest(folder.name.lower(), CLASSES)}")
        for entry in visible(folder):
            if entry.suffix.lower() in VIDEOS:
                raise UserError(
                    f"{entry}: a video; expected a folder of its frames, {entry.stem}/0000001.jpg and so on, "
                    "faces cropped: take the frames out first, for example with ffmpeg"
                )
            if not entry.is_dir():
                raise UserError(f"{entry}: no folder; expected one folder of frames per clip: {LAYOUT}")
            clips.append((entry, CLASSES.index(folder.name.lower())))
    if not clips:
        raise UserError(f"{part}: no clips; expected {LAYOUT}")
    return clips


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL, resizes=True)
