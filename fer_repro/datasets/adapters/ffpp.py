"""FaceForensics++: 1000 videos of people and four manipulations of each, in its publisher's layout.

Rössler, Cozzolino, Verdoliva, Riess, Thies, Nießner, "FaceForensics++: Learning to Detect Manipulated Facial
Images", ICCV 2019, arXiv:1901.08971. Read from ``original_sequences/youtube/<quality>/videos/NNN.mp4`` and
``manipulated_sequences/<method>/<quality>/videos/NNN_MMM.mp4``: the face of MMM on the video of NNN.

Split: the publisher's ``train.json``, ``val.json`` and ``test.json`` (github.com/ondyari/FaceForensics,
dataset/splits), in the folder or in ``splits/`` or ``dataset/splits/`` there. They list pairs whose two
videos exchanged faces, so that nobody is in two splits. A list of single videos is read as well.

Names after a hyphen, joined by underscores: ``c40`` or ``raw`` (quality, else c23), ``authors`` (the split
rule of arXiv:2004.07676), ``10fpv`` (frames per video). The authors' rule permutes the originals in the order
of a directory listing and gives 720, 140 and 140 to the splits; here they are sorted first, so the split is
of their kind, but not theirs. It assigns only NNN to a split: faces of MMM can cross; the note counts them.

Left out, and named in the note: other methods (FaceShifter, DeepFakeDetection), the actors, and videos that
no split lists.
"""

import json
import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np

from fer_repro.datasets.attachments import ConvertedFiles
from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import listed, subfolders, visible
from fer_repro.datasets.names import check_links, is_listed_file
from fer_repro.datasets.samples import SPLITS
from fer_repro.datasets.video import VIDEO_SUFFIXES
from fer_repro.datasets.video_faces import CLASSES as REAL_OR_NOT
from fer_repro.datasets.video_faces import FEWER, Video, convert_videos, frames_of
from fer_repro.errors import UserError

CLASSES = REAL_OR_NOT
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
QUALITIES = ("c23", "c40", "raw")
OFFICIAL = Official({}, {}, "", {"clip": 5000, "subject": 1000})
VARIANTS: dict[str, Official | None] = {
    "_".join(filter(None, parts)): OFFICIAL
    for parts in product(("", *QUALITIES[1:]), ("", "authors"), ("", *(f"{n}fpv" for n in FEWER)))
    if any(parts)
}
TERMS = (
    "FaceForensics++ is given out on request for non-commercial research: do not publish its videos again."
)
LAYOUT = (
    "original_sequences/youtube/c23/videos/NNN.mp4 and manipulated_sequences/<method>/c23/videos/NNN_MMM.mp4"
)

SHARES = (720, 140, 140)
SEED = 41  # of the authors' permutation
_NAMES = {"youtube": re.compile(r"\d{3}"), "method": re.compile(r"(\d{3})_(\d{3})")}


def _convert(job: Conversion) -> ConvertedFiles:
    """Read the videos of one quality, originals first, then method by method.

    Args:
        job: ``path``: the folder with the two folders of sequences; ``size``: side of the faces; 0 is 224;
            ``variant``: a key of ``VARIANTS``; ``detector``: finds the faces; the cascades if left out.

    Raises:
        UserError: the folder has another layout, a split is missing, or no face is found.
    """
    parts = job.variant.split("_")
    quality = next((part for part in parts if part in QUALITIES), QUALITIES[0])
    folders = _folders(job.path, quality)
    originals = [file.stem for file in _videos(folders.get("youtube"), "youtube")]
    splits = _authors_split(originals) if "authors" in parts else _official_split(job.path)
    videos, unlisted = [], []
    for method, folder in folders.items():
        for file in _videos(folder, method):
            target, _, source = file.stem.partition("_")
            if target not in splits:
                unlisted.append(f"{method}/{file.stem}")
                continue
            fake = method != "youtube"
            videos.append(
                Video(
                    file,
                    clip=f"{method}/{file.stem}",
                    split=splits[target],
                    subject=target,
                    forgery=method if fake else "none",
                    original=f"youtube/{target}" if fake else "",
                    factors={"source": source},
                )
            )
    converted = convert_videos(job.path, videos, job.append, job.size, frames_of(job.variant), job.detector)
    return ConvertedFiles(
        converted.samples,
        converted.source,
        f"{converted.note}{_note(job.path, quality, folders, unlisted, job.variant)}",
        converted.files,
    )


def _folders(path: Path, quality: str) -> dict[str, Path]:
    """The folders of videos that are there: "youtube", then the methods."""
    places = {"youtube": path / "original_sequences" / "youtube"}
    places |= {method: path / "manipulated_sequences" / method for method in METHODS}
    for place in places.values():
        check_links([place.parent, place, place / quality, place / quality / "videos"])
    found = {
        name: place / quality / "videos"
        for name, place in places.items()
        if (place / quality / "videos").is_dir()
    }
    if not found:
        raise UserError(f"{path}: no videos of quality {quality}; expected {LAYOUT}")
    return found


def _videos(folder: Path | None, method: str) -> list[Path]:
    """The videos of a folder, sorted; their names checked."""
    if folder is None:
        return []
    pattern = _NAMES["youtube" if method == "youtube" else "method"]
    files = [file for file in visible(folder) if file.suffix.lower() in VIDEO_SUFFIXES]
    for file in files:
        if not pattern.fullmatch(file.stem):
            expected = "NNN.mp4" if method == "youtube" else "NNN_MMM.mp4, target and source"
            raise UserError(f"{file}: unknown name; expected {expected}")
    return files


def _official_split(path: Path) -> dict[str, str]:
    """Video -> split, from the publisher's three lists."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        places = [path / part / f"{split}.json" for part in ("", "splits", "dataset/splits")]
        file = next((place for place in places if is_listed_file(place)), None)
        if file is None:
            raise UserError(
                f"{path}: {split}.json is missing, looked for there, in splits/ and dataset/splits/; it is "
                "in github.com/ondyari/FaceForensics, or add the set as ffpp-authors"
            )
        for video in _read_list(file):
            if splits.setdefault(video, split) != split:
                raise UserError(f"{file}: video {video} is also in {splits[video]}.json; expected it in one")
    return splits


def _read_list(file: Path) -> list[str]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested too deeply
        raise UserError(f"{file}: not readable as JSON: {error}") from None
    pairs = entries if isinstance(entries, list) else [entries]
    videos = [video for pair in pairs for video in (pair if isinstance(pair, list) else [pair])]
    for video in videos:
        if not (isinstance(video, str) and _NAMES["youtube"].fullmatch(video)):
            raise UserError(f'{file}: {video!r}: expected a list of pairs of videos such as ["071", "054"]')
    return videos


def _authors_split(originals: list[str]) -> dict[str, str]:
    if not originals:
        raise UserError("original_sequences/youtube has no videos: expected those that the split is made of")
    order = np.random.RandomState(SEED).permutation(sorted(originals))
    bounds = [round(len(order) * sum(SHARES[:n]) / sum(SHARES)) for n in (1, 2)]
    return {
        str(video): split
        for split, part in zip(SPLITS, np.split(order, bounds), strict=True)
        for video in part
    }


def _note(path: Path, quality: str, folders: Mapping[str, Path], unlisted: list[str], variant: str) -> str:
    rule = "authors' rule" if "authors" in variant.split("_") else "publisher's lists"
    note = f" Quality {quality}, {', '.join(folders)}; split: {rule}."
    sequences = (path / "original_sequences", path / "manipulated_sequences")
    other = [
        folder.name
        for above in sequences
        if above.is_dir()
        for folder in subfolders(above)
        if folder.name not in folders
    ]
    if other:
        note += f" Left out: {listed(other)}."
    if unlisted:
        note += f" {len(unlisted)} videos are in no split and left out: {listed(unlisted)}."
    return note


DATASET = Dataset(
    classes=CLASSES,
    terms=TERMS,
    convert=_convert,
    official=OFFICIAL,
    variants=VARIANTS,
    resizes=True,
    finds_faces=True,
)
