"""DFDC: the training part of the Deepfake Detection Challenge, fifty folders of videos with a list in each.

Dolhansky et al., "The DeepFake Detection Challenge (DFDC) Dataset", 2020, arXiv:2006.07397; as on Kaggle.
Read from ``dfdc_train_part_N/metadata.json`` (video -> label REAL or FAKE, and of a fake its original) and
the videos beside it; N from 0 to 49. Any of the folders is enough.

Split of arXiv:2004.07676: folders 0 to 34 train, 35 to 39 val, 40 to 49 test. A folder without a number, such
as ``train_sample_videos``, is split by this project: one in eight originals is val, one in eight test, by the
sha256 of its name, and the fakes follow. Who the people are is not published: ``subject`` is the original
video, so one person can still be in two splits. How a fake was made is not published either.

Names after a hyphen: ``10fpv``, frames per video.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from fer_repro.datasets.attachments import ConvertedFiles
from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import listed, subfolders, visible
from fer_repro.datasets.names import composed, is_listed_file
from fer_repro.datasets.video import VIDEO_SUFFIXES
from fer_repro.datasets.video_faces import CLASSES as REAL_OR_NOT
from fer_repro.datasets.video_faces import FEWER, Video, convert_videos, frames_of
from fer_repro.errors import UserError, nearest

CLASSES = REAL_OR_NOT
VARIANTS: dict[str, Official | None] = {f"{number}fpv": None for number in FEWER}
TERMS = "DFDC is given out under its own licence for research on detection: do not publish its videos again."
LAYOUT = "dfdc_train_part_N/metadata.json with the videos beside it, N from 0 to 49"

METADATA = "metadata.json"
LABELS = {"REAL": "none", "FAKE": "dfdc"}
BOUNDS = {"train": range(35), "val": range(35, 40), "test": range(40, 50)}


def _convert(job: Conversion) -> ConvertedFiles:
    """Read the videos of all folders that are there, in order of their numbers.

    Args:
        job: ``path``: the folder of the folders, or one of them; ``size``: side of the faces; 0 is 224;
            ``variant``: a key of ``VARIANTS``; ``detector``: finds the faces; the cascades if left out.

    Raises:
        UserError: the folder has another layout, a list is not as expected, or no face is found.
    """
    videos, missing, unlisted = [], [], []
    for folder in _folders(job.path):
        entries = {composed(name): entry for name, entry in _read_metadata(folder / METADATA).items()}
        files = {
            composed(file.name): file for file in visible(folder) if file.suffix.lower() in VIDEO_SUFFIXES
        }
        missing += sorted(set(entries) - set(files))
        unlisted += sorted(set(files) - set(entries))
        videos += [_video(files[name], name, entries[name]) for name in sorted(set(entries) & set(files))]
    converted = convert_videos(job.path, videos, job.append, job.size, frames_of(job.variant), job.detector)
    note = converted.note
    if any(_number(folder) is None for folder in _folders(job.path)):
        note += " Folders without a number are split by this project: one in eight originals val, one test."
    if missing:
        note += f" {len(missing)} videos of the lists are not there: {listed(missing)}."
    if unlisted:
        note += f" {len(unlisted)} videos are in no list and are left out: {listed(unlisted)}."
    return ConvertedFiles(converted.samples, converted.source, note, converted.files)


def _folders(path: Path) -> list[Path]:
    """The folders with a list: at most two below ``path``, because archives unpack into a second folder."""
    inner = subfolders(path) if path.is_dir() else []
    places = [path, *inner, *(folder for above in inner for folder in subfolders(above))]
    folders = [folder for folder in places if is_listed_file(folder / METADATA)]
    if not folders:
        raise UserError(f"{path}: no {METADATA} there or below; expected {LAYOUT}")
    return sorted(folders, key=lambda folder: (_number(folder) is None, _number(folder) or 0, folder))


def _number(folder: Path) -> int | None:
    digits = re.search(r"part_(\d{1,3})$", folder.name)
    number = int(digits[1]) if digits else None
    if number is not None and number >= BOUNDS["test"].stop:
        raise UserError(f"{folder}: part {number} is unknown; expected 0 to {BOUNDS['test'].stop - 1}")
    return number


def _read_metadata(path: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested too deeply
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise UserError(
            f'{path}: expected {{"video.mp4": {{"label": "FAKE", "original": "other.mp4"}}, ...}}'
        )
    for name, entry in entries.items():
        label, original = str(entry.get("label")), entry.get("original")
        if label not in LABELS:
            raise UserError(f"{path}: {name}: label is {label!r}; {nearest(label, LABELS)}")
        if label == "FAKE" and not (isinstance(original, str) and original):
            raise UserError(f"{path}: {name}: original is {original!r}: expected the video it was made from")
    return entries


def _video(file: Path, name: str, entry: dict[str, Any]) -> Video:
    clip, folder = Path(name).stem, file.parent
    original = composed(Path(entry["original"]).stem) if entry["label"] == "FAKE" else ""
    number = _number(folder)
    if number is None:
        eighth = hashlib.sha256((original or clip).encode()).digest()[0] % 8
        split = {0: "val", 1: "test"}.get(eighth, "train")
    else:
        split = next(name for name, numbers in BOUNDS.items() if number in numbers)
    return Video(
        file,
        clip=clip,
        split=split,
        subject=original or clip,
        forgery=LABELS[entry["label"]],
        original=original,
        factors={"folder": -1 if number is None else number},
    )


DATASET = Dataset(
    classes=CLASSES, terms=TERMS, convert=_convert, variants=VARIANTS, resizes=True, finds_faces=True
)  # about 119,000 videos; no exact count is published
