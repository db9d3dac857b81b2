"""CK+ in its publisher's layout: whole sequences from the neutral face to the apex.

Lucey, Cohn, Kanade et al., "The Extended Cohn-Kanade Dataset (CK+)", CVPR workshops 2010:
593 sequences of 123 subjects, 327 of them, of 118 subjects, with one of seven expressions (no neutral).
``cohn-kanade-images/SXXX/YYY/SXXX_YYY_NNNNNNNN.png`` and ``Emotion/SXXX/YYY/SXXX_YYY_NNNNNNNN_emotion.txt``.

Differences from the paper of FAN (arXiv:1907.00193): its faces are found by dlib, extended by 25 %, and
frames without a face are left out. Here whole frames are stored, cut to their middle square with ``--size``;
crop the faces before if you need them. Every frame of a labelled sequence carries its sequence's label.

Not verified on the original files: the codes 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happy, 6 sadness,
7 surprise; that the text file holds one float; that most frames are 640 x 490 grey and some differ.

Folds as in ``ckplus48``: the published list next to the two folders, or its rule; ``split`` is fold 1 test,
fold 2 val, the others train, and ``fold_split`` in ``datasets/folds.py`` gives the other folds.
"""

import re
from pathlib import Path

from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.folds import ckplus_folds, fold_split
from fer_repro.datasets.image_files import ImageFile, convert_images, listed, subfolders, visible
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError

CLASSES = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")  # codes 1 to 7
OFFICIAL = Official({}, {"subjects_crossing": 0}, "", {"clip": 327, "subject": 118})
TERMS = "CK+ is distributed under a user agreement for non-commercial research: sign it, and publish no face."
LAYOUT = "cohn-kanade-images/SXXX/YYY/*.png and Emotion/SXXX/YYY/*_emotion.txt"
_FRAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})\.png")


def _convert(job: Conversion) -> Converted:
    """Read the frames of all labelled sequences, grey, in order.

    Args:
        job: ``path``: the folder that holds ``cohn-kanade-images/`` and ``Emotion/``; ``size``: side of the
            stored images; 0 keeps the frames if all have one size.

    Raises:
        UserError: a folder is missing, a label is no code, a sequence has no frames, or a name is of another
            form.
    """
    images, emotions = job.path / "cohn-kanade-images", job.path / "Emotion"
    for folder in (images, emotions):
        if not folder.is_dir():
            there = [entry.name for entry in visible(job.path)] if job.path.is_dir() else []
            raise UserError(f"{folder}: no such folder, found {listed(there)}; expected {LAYOUT}")
    labels = _labels(emotions)
    folds, note = ckplus_folds({clip: CLASSES[label] for clip, label in labels.items()}, job.path)
    photos = [
        ImageFile(
            file, label, "train", subject=clip.partition("/")[0], clip=clip, factors={"fold": folds[clip]}
        )
        for clip, label in sorted(labels.items())
        for file in _frames(images, clip)
    ]
    converted = convert_images(job.path, photos, job.append, job.expect, job.size, colour=False)
    return Converted(fold_split(converted.samples, 1, str(job.path)), converted.source, note)


def _labels(emotions: Path) -> dict[str, int]:
    """Sequence ``SXXX/YYY`` -> class, of the sequences that have a label file."""
    labels = {}
    for subject in subfolders(emotions):
        for sequence in subfolders(subject):
            files = [file for file in visible(sequence) if file.name.endswith("_emotion.txt")]
            if len(files) > 1:
                raise UserError(f"{sequence}: {len(files)} label files: expected one at most")
            for file in files:
                labels[f"{subject.name}/{sequence.name}"] = _label(file)
    if not labels:
        raise UserError(f"{emotions}: no label; expected 327 files SXXX/YYY/*_emotion.txt")
    return labels


def _label(file: Path) -> int:
    text = file.read_text(encoding="utf-8", errors="replace").strip()
    try:
        code = float(text)
    except ValueError:
        code = 0.0
    if code not in range(1, len(CLASSES) + 1):
        meaning = ", ".join(f"{number} {name}" for number, name in enumerate(CLASSES, start=1))
        raise UserError(f"{file}: label is {text[:30]!r}: expected 1 to {len(CLASSES)} ({meaning})")
    return int(code) - 1


def _frames(images: Path, clip: str) -> list[Path]:
    folder = images / clip
    files = visible(folder) if folder.is_dir() else []
    for file in files:
        match = _FRAME.fullmatch(file.name)
        if match is None or f"{match[1]}/{match[2]}" != clip:
            raise UserError(f"{file}: expected a name like {clip.replace('/', '_')}_00000001.png")
    if not files:
        raise UserError(f"{folder}: no frames; the sequence has a label, expected its images there")
    return files


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL, resizes=True)
