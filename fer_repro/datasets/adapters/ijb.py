"""IJB-B and IJB-C, verification 1:1 of templates: many images and frames of one person against another.

Whitelam et al., "IARPA Janus Benchmark-B Face Dataset", CVPR workshops 2017; Maze et al., "IARPA Janus
Benchmark - C", ICB 2018. Read from the lists that public evaluators share (derived from insightface; here for
C, for B ``ijbb_``): ``meta/ijbc_face_tid_mid.txt`` (image template medium), ``meta/ijbc_name_5pts_score.txt``
(image, five points, score of the face detector), ``meta/ijbc_template_pair_label.txt`` (template template
same), and ``loose_crop/`` with the images.

Faces are aligned by their five points. The table has one row per line of the face list, with ``template``,
``medium`` and ``quality`` (the detector's score); the pairs are next to the images, see
``fer_repro/datasets/templates.py``. ``template_scores`` of ``fer_repro/measures/identification.py`` merges
the templates and scores the pairs; ``tar_at_far`` reads the result. All is ``test``; nothing is trained.

``ijb`` takes the benchmark that it finds; ``ijb-b`` and ``ijb-c`` name one.

Not verified on the original files: the layout, which is tested on a generated miniature.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from fer_repro.datasets.attachments import ConvertedFiles
from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import check_files
from fer_repro.datasets.names import ListedFiles, composed
from fer_repro.datasets.templates import (
    SIDE,
    TEMPLATE_PAIRS,
    align_face,
    pairs_writer,
    read_numbers,
    read_template_pairs,
)
from fer_repro.errors import UserError
from fer_repro.files import file_sha256

CLASSES = ("face",)  # labels carry no information here: the lists do not name people
VARIANTS: dict[str, Official | None] = {
    "b": Official({}, {}, "", {"template": 12115}),
    "c": Official({}, {}, "", {"template": 23124}),
}
TERMS = "IJB is given out on request by NIST for research: do not publish its images again."
LAYOUT = "loose_crop/ and meta/ with ijbc_face_tid_mid, ijbc_name_5pts_score, ijbc_template_pair_label (.txt)"

POINTS = tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy")


def _convert(job: Conversion) -> ConvertedFiles:
    """Read the images in order of the face list, aligned.

    Args:
        job: ``path``: the folder with ``meta/`` and ``loose_crop/``, or the one above ``IJBB/`` or
            ``IJBC/``; ``size``: side of the aligned faces; 0 is 112; ``variant``: "b", "c", or "" for the
            one that is there.

    Raises:
        UserError: a list is missing or not as expected, or an image is not readable.
    """
    folder, letter = _find(job.path, job.variant)
    lists = {
        name: folder / "meta" / f"ijb{letter}_{name}.txt"
        for name in ("face_tid_mid", "name_5pts_score", "template_pair_label")
    }
    faces = read_numbers(lists["face_tid_mid"], {"file": "str", "template": "int64", "medium": "int64"})
    kinds = {"file": "str", **dict.fromkeys((*POINTS, "quality"), "float64")}
    points = read_numbers(lists["name_5pts_score"], kinds)
    _check_order(faces, points, lists)
    crops, where = ListedFiles(folder / "loose_crop"), str(lists["face_tid_mid"])
    files = [crops.find(name, where) for name in faces["file"]]
    check_files(folder, files)
    pairs = read_template_pairs(lists["template_pair_label"], faces["template"].unique())
    job.expect(len(faces))
    hasher = hashlib.sha256()
    places_of = points[list(POINTS)].to_numpy()
    for name, file, places in zip(faces["file"], files, places_of, strict=True):
        image, digest = _read(file)
        hasher.update(f"{name}\0{digest}\n".encode())
        job.append(align_face(image, places.reshape(5, 2), job.size or SIDE)[None])
    samples = faces.assign(
        image=range(len(faces)), label=0, subject="", clip="", split="test", quality=points["quality"]
    )
    same = int(pairs[:, 2].sum())
    source = {f"{len(faces)} image files": hasher.hexdigest()}
    source |= {f"list {file.name}": file_sha256(file) for file in lists.values()}
    note = (
        f"IJB-{letter.upper()}: {faces['template'].nunique()} templates, {same} same and {len(pairs) - same} "
        "different pairs. Who the people are is not part of the lists."
    )
    return ConvertedFiles(samples, source, note, {TEMPLATE_PAIRS: pairs_writer(pairs)})


def _find(path: Path, variant: str) -> tuple[Path, str]:
    """The folder of the benchmark, and its letter."""
    places = {
        (folder, letter): folder / "meta" / f"ijb{letter}_face_tid_mid.txt"
        for letter in (variant or "bc")
        for folder in (path, path / f"IJB{letter.upper()}")
    }
    found = [place for place, file in places.items() if file.is_file()]
    if len(found) != 1:
        kinds = " and ".join(f"IJB-{letter.upper()}" for _, letter in found) or "neither"
        raise UserError(f"{path}: found {kinds}: expected one, ijb-b or ijb-c; {LAYOUT}")
    return found[0]


def _check_order(faces: pd.DataFrame, points: pd.DataFrame, lists: dict[str, Path]) -> None:
    if len(faces) != len(points):
        raise UserError(
            f"{lists['name_5pts_score']}: {len(points)} lines, and {len(faces)} in "
            f"{lists['face_tid_mid'].name}: expected one line per image in both"
        )
    other = (faces["file"].map(composed) != points["file"].map(composed)).to_numpy()
    if other.any():
        line = int(np.argmax(other))
        raise UserError(
            f"{lists['name_5pts_score']}: line {line + 1}: image {points['file'].iloc[line]!r}: "
            f"{lists['face_tid_mid'].name} has {faces['file'].iloc[line]!r}"
        )


def _read(file: Path) -> tuple[np.ndarray, str]:
    try:
        content = file.read_bytes()
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB")), hashlib.sha256(content).hexdigest()
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: not readable as an image ({reason}): expected PNG or JPEG") from None


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, variants=VARIANTS, resizes=True)
