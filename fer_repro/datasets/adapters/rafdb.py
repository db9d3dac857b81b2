"""RAF-DB, the single-label part: 15,339 aligned colour faces of 100 x 100 pixels, seven expressions.

Li, Deng, Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild", CVPR 2017. ``basic/EmoLabel/list_patition_label.txt`` (lines ``train_00001.jpg 5``, codes 1 to 7) and
``basic/Image/aligned/train_00001_aligned.jpg``. 12,271 are train, 3,068 test; there is no validation part, so
one in eight of train is held out, by the sha256 of its pixels. Nobody is named: persons are unknown.

RAN's lists (arXiv:1905.04075) are read if they lie beside ``basic/`` or in it.

Not verified on the original files: the names of folders and files, the 100 x 100 pixels, and the counts per
class, which are recalled (their sums are the published sizes; the order is that of RAN's lists).
"""

import re
from pathlib import Path

from fer_repro.datasets.audit import Official
from fer_repro.datasets.challenge_lists import ChallengeList, mark_lists
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.folds import HELD_OUT
from fer_repro.datasets.image_files import ImageFile, convert_images, listed, visible
from fer_repro.datasets.names import ListedFiles
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # codes 1 to 7
OFFICIAL = Official(
    counts={
        "train+val": (1290, 281, 717, 4772, 1982, 705, 2524),
        "test": (329, 74, 160, 1185, 478, 162, 680),
    },
    facts={},
    fingerprint="",
    sizes={"train+val": 12271, "test": 3068, "occlusion": 734, "pose_30": 1247, "pose_45": 558},
)
TERMS = "RAF-DB is given out on signed request for non-commercial research: do not publish its images again."
LAYOUT = "basic/EmoLabel/list_patition_label.txt and basic/Image/aligned/train_00001_aligned.jpg"

LISTS = {
    "occlusion": ChallengeList(
        ("rafdb_occlusion_list", "occlusion_list"),
        r"(?P<key>test_\d{4})_aligned (?P<label>[0-6]) \d",
        734,
        "e81905f26869b5a2db00605ad85c3cb1c548d6600388b8640ec77bb778a9e47e",
    ),
    "pose_30": ChallengeList(
        ("val_raf_db_list", "pose_30_list"),
        r"(?P<label>[0-6])/(?P<key>test_\d{4})_aligned\.jpg",
        1247,
        "2b5481337bdf58b70b8cd503b2f864c75e903f3f8c35970868a0400c9e60f006",
    ),
    "pose_45": ChallengeList(
        ("val_raf_db_list_45", "pose_45_list"),
        r"(?P<label>[0-6])/(?P<key>test_\d{4})_aligned\.jpg",
        558,
        "9b6e45d41e4ecc353d11eba7b44d19cfb40602ba02ba1f4f1146dff3a32bfc83",
    ),
}
_LINE = re.compile(r"((train|test)_\d+)\.jpg ([1-7])")


def _convert(job: Conversion) -> Converted:
    """Read the aligned faces in the order of the label list.

    Args:
        job: ``path``: the folder that holds ``basic/``, or ``basic`` itself; ``size``: side of the stored
            images; 0 keeps them as they are.

    Raises:
        UserError: a file is missing, a line is of another form, an image is listed twice or not at all.
    """
    root = job.path / "basic" if (job.path / "basic").is_dir() else job.path
    labels_file, images = root / "EmoLabel" / "list_patition_label.txt", root / "Image" / "aligned"
    for place in (labels_file, images):
        if not place.exists():
            there = [entry.name for entry in visible(root)] if root.is_dir() else []
            raise UserError(f"{place}: no such file or folder, found {listed(there)}; expected {LAYOUT}")
    labels = _read_labels(labels_file)
    listed_files = ListedFiles(images)
    where = f"{labels_file}: '{{}}.jpg'"
    files = {name: listed_files.find(f"{name}_aligned.jpg", where.format(name)) for name in labels}
    unlisted = sorted({file.name for file in visible(images)} - {file.name for file in files.values()})
    if unlisted:
        raise UserError(
            f"{images / unlisted[0]}: {labels_file.name} does not list it; expected every image there"
        )
    marked, note = mark_lists(LISTS, [job.path, root, job.path / "RAF_DB_dir"], labels, set(labels))
    photos = [
        ImageFile(
            files[name],
            label,
            name.partition("_")[0],
            factors={column: name in names for column, names in marked.items()},
        )
        for name, label in labels.items()
    ]
    converted = convert_images(root, photos, job.append, job.expect, job.size, colour=True, hold_out=True)
    return Converted(converted.samples, converted.source, f"There is no val: {HELD_OUT}. {note}".rstrip())


def _read_labels(path: Path) -> dict[str, int]:
    """Name without ``.jpg`` -> label from 0, in the list's order."""
    labels: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            meaning = ", ".join(f"{code} {name}" for code, name in enumerate(CLASSES, start=1))
            raise UserError(
                f"{path}: line {number}: {line[:40]!r}: expected 'train_00001.jpg CODE' ({meaning})"
            )
        if match[1] in labels:
            raise UserError(f"{path}: line {number}: '{match[1]}.jpg' is given twice")
        labels[match[1]] = int(match[3]) - 1
    if not labels:
        raise UserError(f"{path}: no lines; expected 15339")
    return labels


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL, resizes=True)
