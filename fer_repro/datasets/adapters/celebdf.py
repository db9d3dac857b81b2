"""Celeb-DF (v2): videos of celebrities and faces swapped among them, for tests across data sets.

Li, Yang, Sun, Qi, Lyu, "Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics", CVPR 2020,
arXiv:1909.12962. Read from ``Celeb-real/idA_NNNN.mp4``, ``YouTube-real/NNNNN.mp4``,
``Celeb-synthesis/idA_idB_NNNN.mp4`` (the face of B on the video idA_NNNN), each folder with or without
``videos/`` in it, and ``List_of_testing_videos.txt`` (lines such as ``1 Celeb-real/id0_0000.mp4``; 1 is
real).

Split: ``test`` is the publisher's list. It has no validation part; as in the authors' code of
arXiv:2004.07676 600 of 712 other real videos are train, drawn with seed 41, and the rest val; the draw is
this project's, over sorted names. Fakes follow their original; a fake whose original is tested, but which is
not on the list itself, is left out. People are in several splits by the publisher's list: the doctor counts
them.

Names after a hyphen: ``10fpv``, frames per video.
"""

import re
from pathlib import Path

import numpy as np

from fer_repro.datasets.attachments import ConvertedFiles
from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import listed, subfolders, visible
from fer_repro.datasets.video import VIDEO_SUFFIXES
from fer_repro.datasets.video_faces import CLASSES as REAL_OR_NOT
from fer_repro.datasets.video_faces import FEWER, Video, convert_videos, frames_of
from fer_repro.errors import UserError

CLASSES = REAL_OR_NOT
OFFICIAL = Official({}, {}, "", {"clip": 590 + 300 + 5639})
VARIANTS: dict[str, Official | None] = {f"{number}fpv": OFFICIAL for number in FEWER}
TERMS = "Celeb-DF is given out on request for non-commercial research: do not publish its videos again."
LAYOUT = "Celeb-real/, YouTube-real/, Celeb-synthesis/ and List_of_testing_videos.txt"

LIST = "List_of_testing_videos.txt"
PARTS = {
    "celeb-real": re.compile(r"(?P<target>id\d+)_\d+"),
    "youtube-real": re.compile(r"\d+"),
    "celeb-synthesis": re.compile(r"(?P<target>id\d+)_(?P<source>id\d+)_(?P<take>\d+)"),
}
FAKES = "celeb-synthesis"
TRAIN, REST, SEED = 600, 712, 41  # real videos of train, all that are not tested, the authors' seed


def _convert(job: Conversion) -> ConvertedFiles:
    """Read the videos, part by part.

    Args:
        job: ``path``: the folder with the three parts and the list; ``size``: side of the faces; 0 is 224;
            ``variant``: a key of ``VARIANTS``; ``detector``: finds the faces; the cascades if left out.

    Raises:
        UserError: the folder has another layout, the list is not as expected, or no face is found.
    """
    files = _find_videos(job.path)
    tested, absent = _read_list(job.path / LIST, files)
    splits = _real_splits([clip for clip in files if _part(clip) != FAKES], tested)
    videos, left_out = [], []
    for clip, file in files.items():
        original = _original(clip)
        split = "test" if clip in tested else splits.get(original or clip, "")
        if split == "" or (split == "test" and clip not in tested):
            left_out.append(clip)
            continue
        videos.append(_video(clip, file, split, original))
    converted = convert_videos(job.path, videos, job.append, job.size, frames_of(job.variant), job.detector)
    note = converted.note
    if left_out:
        note += (
            f" {len(left_out)} fakes are left out, their original is tested or missing: {listed(left_out)}."
        )
    if absent:
        note += f" {len(absent)} videos of the list are not there: {listed(absent)}."
    return ConvertedFiles(converted.samples, converted.source, note, converted.files)


def _find_videos(path: Path) -> dict[str, Path]:
    """Clip (part in small letters and name) -> file, part by part."""
    folders = {folder.name.lower(): folder for folder in (subfolders(path) if path.is_dir() else [])}
    if not set(PARTS) & set(folders):
        raise UserError(f"{path}: found {listed(sorted(folders))}; expected {LAYOUT}")
    files = {}
    for part, pattern in PARTS.items():
        if part not in folders:
            raise UserError(f"{path}: {part} is missing; expected {LAYOUT}")
        inner = folders[part] / "videos"
        for file in visible(inner if inner.is_dir() else folders[part]):
            if file.suffix.lower() not in VIDEO_SUFFIXES:
                continue
            if not pattern.fullmatch(file.stem):
                raise UserError(f"{file}: unknown name; expected it to match {pattern.pattern}")
            files[f"{part}/{file.stem}"] = file
    return files


def _read_list(path: Path, files: dict[str, Path]) -> tuple[set[str], list[str]]:
    """The clips of the list that are there, and those that are not."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the publisher's list of tested videos") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: no UTF-8 text ({error}); expected lines '1 Celeb-real/id0_0000.mp4'"
        ) from None
    tested, absent = set(), []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.split()
        part, _, name = fields[-1].rpartition("/")
        part = part.lower()
        if len(fields) != 2 or fields[0] not in ("0", "1") or part not in PARTS:
            raise UserError(f"{path}: line {number}: {line[:60]!r}: expected '1 Celeb-real/id0_0000.mp4'")
        if (fields[0] == "1") != (part != FAKES):
            raise UserError(
                f"{path}: line {number}: {line[:60]!r}: expected 1 for real and 0 for fake videos"
            )
        clip = f"{part}/{Path(name).stem}"
        if clip in files:
            tested.add(clip)
        else:
            absent.append(clip)
    return tested, absent


def _real_splits(clips: list[str], tested: set[str]) -> dict[str, str]:
    others = sorted(clip for clip in clips if clip not in tested)
    order = np.random.RandomState(SEED).permutation(len(others))
    train = {others[number] for number in order[: round(len(others) * TRAIN / REST)]}
    return {clip: "test" if clip in tested else "train" if clip in train else "val" for clip in clips}


def _part(clip: str) -> str:
    return clip.partition("/")[0]


def _original(clip: str) -> str:
    found = PARTS[FAKES].fullmatch(clip.partition("/")[2])
    return f"celeb-real/{found['target']}_{found['take']}" if found and _part(clip) == FAKES else ""


def _video(clip: str, file: Path, split: str, original: str) -> Video:
    part, _, name = clip.partition("/")
    found = PARTS[part].fullmatch(name)
    people = found.groupdict() if found else {}
    return Video(
        file,
        clip=clip,
        split=split,
        subject=people.get("target", clip),  # who is on YouTube is not published
        forgery=part if part == FAKES else "none",
        original=original,
        factors={"source": people.get("source", "")},
    )


DATASET = Dataset(
    classes=CLASSES,
    terms=TERMS,
    convert=_convert,
    official=OFFICIAL,
    variants=VARIANTS,
    resizes=True,
    finds_faces=True,
)
