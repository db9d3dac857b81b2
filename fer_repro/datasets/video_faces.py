"""Videos become faces: equally spaced frames, one face of each, cut out by one policy; a video at a time.

As in arXiv:2004.07676 (their code): 32 frames per video, boxes with its margin, the policy ``scale``. Theirs
keeps BlazeFace's most confident face, here it is the largest of the cascades or of another detector. A file
``faces.parquet`` in the data set's folder saves the search: the store of a set that was added holds one (see
``face_index``).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_repro.datasets.attachments import ConvertedFiles
from fer_repro.datasets.face_index import FACES, FaceIndex, read_face_index, write_face_index
from fer_repro.datasets.faces import (
    Box,
    CascadeDetector,
    Crop,
    Detector,
    largest_face,
    plan_crop,
    with_margin,
)
from fer_repro.datasets.image_files import check_files, listed
from fer_repro.datasets.names import composed, is_listed_file
from fer_repro.datasets.video import map_frames
from fer_repro.errors import UserError
from fer_repro.files import file_sha256
from fer_repro.terminal import progress

CLASSES = ("real", "manipulated")
FRAMES, SIZE, POLICY = 32, 224, "scale"
_OF_VIDEOS = ("subject", "clip", "split", "forgery", "original")
_OF_FRAMES = ("frame", "crop_left", "crop_top", "crop_right", "crop_bottom")
FEWER = (1, 2, 5, 8, 10, 15, 20, 25)  # frames per video that a set's name may ask for, as in ffpp-10fpv


@dataclass(frozen=True)
class Video:
    """A video and what is known about it.

    Attributes:
        file: its path.
        clip: its name in the data set.
        split: train, val or test.
        subject: the person it shows; of a manipulated one the person whose video was changed.
        forgery: how it was made, "none" for a real one.
        original: clip of the real video it was made from, "" for a real one.
        factors: further columns of the sample table, the same ones for every video.
    """

    file: Path
    clip: str
    split: str
    subject: str
    forgery: str = "none"
    original: str = ""
    factors: Mapping[str, object] = field(default_factory=dict)


class _Face(NamedTuple):
    crop: Crop
    pixels: np.ndarray


class _Seen(NamedTuple):
    """A frame that was searched: its faces, and the first of them cut out of it, if there is any."""

    at: int
    boxes: list[Box]
    face: _Face | None


class _Part(NamedTuple):
    """The samples of a video: (n, 5) int32 frame and window, and (n,) float32 scores; a set has millions."""

    video: Video
    name: str
    numbers: np.ndarray
    scores: np.ndarray


@dataclass
class _LeftOut:
    """What did not become a sample."""

    without_face: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    frames: int = 0

    def text(self) -> str:
        """Report it in sentences, for the note of the data set."""
        parts = [f"{self.frames} frames show no face."]
        if self.without_face:
            count, clips = len(self.without_face), listed(self.without_face)
            parts.append(f"{count} videos without a face are left out: {clips}.")
        if self.damaged:
            parts.append(
                f"{len(self.damaged)} videos are left out as damaged: {'; '.join(self.damaged[:8])}."
            )
        return " ".join(parts)


def frames_of(variant: str) -> int:
    """Frames per video that a variant such as ``10fpv`` or ``c40_10fpv`` asks for, else ``FRAMES``."""
    numbers = [part.removesuffix("fpv") for part in variant.split("_") if part.endswith("fpv")]
    return int(numbers[0]) if numbers else FRAMES


def convert_videos(
    root: Path,
    videos: Sequence[Video],
    append: Callable[[np.ndarray], None],
    size: int = 0,
    frames: int = FRAMES,
    detector: Detector | None = None,
) -> ConvertedFiles:
    """Cut the faces out of all videos in the given order; memory stays at one video's faces and the table.

    A video without a face, and one that cannot be decoded, is left out and named in the note.

    Args:
        root: the folder that the column ``file`` is relative to; ``faces.parquet`` is looked for in it.
        videos: what to read; their clips have different names.
        append: takes the faces of a video, (n, size, size, 3) uint8 RGB.
        size: side of the faces; 0 is ``SIZE``.
        frames: equally spaced frames per video.
        detector: finds the faces, in tight boxes; the cascades if left out.

    Raises:
        UserError: there are no videos, two have one name, the index does not fit or is of other files, or no
            face is found.
    """
    _check_videos(root, videos)
    known = _known_faces(root, frames, detector)
    digests = _digests(root, videos, known)
    finder = detector or CascadeDetector()
    index = FaceIndex(known.detector if known is not None else finder.name, frames)
    left_out, hasher = _LeftOut(), hashlib.sha256()
    parts: list[_Part] = []
    with progress(len(videos), "videos", every=25) as step:
        for video in videos:
            name = video.file.relative_to(root).as_posix()
            digest = digests.get(name) or file_sha256(video.file)
            hasher.update(f"{name}\0{digest}\n".encode())
            boxes = known.boxes(name) if known is not None else None
            tight = known is None or known.box == "tight"
            seen = _look(video, frames, partial(_take, finder, boxes, tight, size or SIZE), left_out)
            index.add(name, {frame.at: frame.boxes for frame in seen}, digest)
            faces = [frame.face for frame in seen if frame.face is not None]
            if faces:
                append(np.stack([face.pixels for face in faces]))
                parts.append(_part(video, name, seen))
            step(1)
    if not parts:
        raise UserError(f"{root}: none of {len(videos)} videos gives a face. {left_out.text()}")
    samples = _table(parts)
    note = f"{frames} frames per video, faces by {index.detector}, crop '{POLICY}' at {size or SIZE} pixels. "
    note += f"{left_out.text()}{_crossing_sources(samples)}"
    if known is not None and not known.digests:
        note += f" {FACES} has no sha256 of its videos: whether its faces are of these files was not checked."
    source = {f"{len(videos)} video files": hasher.hexdigest()}
    return ConvertedFiles(samples, source, note, {FACES: partial(write_face_index, index=index)})


def _known_faces(root: Path, frames: int, detector: Detector | None) -> FaceIndex | None:
    """Read the faces that an earlier search found, if there was one; refuse those of another search."""
    if not is_listed_file(root / FACES):
        return None
    known = read_face_index(root / FACES)
    if known.frames != frames:
        raise UserError(
            f"{root / FACES}: holds faces of {known.frames} frames per video: expected {frames}; remove "
            "it to have them searched for"
        )
    if detector is not None and known.detector != detector.name:
        named = known.detector or "an unnamed detector"
        raise UserError(
            f"{root / FACES}: holds faces by {named}: expected {detector.name}; "
            "remove it to have them searched for, or leave the detector out"
        )
    return known


def _digests(root: Path, videos: Sequence[Video], known: FaceIndex | None) -> dict[str, str]:
    """Hash the videos that an index knows, and refuse those that were replaced since it was made."""
    found = {}
    for video in videos if known is not None and known.digests else ():
        name = video.file.relative_to(root).as_posix()
        expected = known.digests.get(composed(name)) if known is not None else None
        if expected is None:
            continue
        found[name] = file_sha256(video.file)
        if found[name] != expected:
            raise UserError(
                f"{root / FACES}: its faces of {name} are of another file, sha256 {expected[:12]}..., not "
                f"{found[name][:12]}...; remove the index to have faces searched for"
            )
    return found


def _check_videos(root: Path, videos: Sequence[Video]) -> None:
    if not videos:
        raise UserError(f"{root}: no videos; expected at least one")
    check_files(root, (video.file for video in videos))
    files: dict[str, Path] = {}
    for video in videos:
        if video.clip in files:
            raise UserError(
                f"{video.file} and {files[video.clip]}: both are clip '{video.clip}'; expected one"
            )
        files[video.clip] = video.file


def _look(
    video: Video, frames: int, take: Callable[[int, np.ndarray], _Seen], left_out: _LeftOut
) -> list[_Seen]:
    """Search a video's frames; note what gives no sample."""
    try:
        seen = map_frames(video.file, frames, take)
    except UserError as error:
        left_out.damaged.append(str(error))
        return []
    faces = sum(frame.face is not None for frame in seen)
    left_out.frames += len(seen) - faces
    left_out.without_face += [] if faces else [video.clip]
    return seen


def _take(
    detector: Detector,
    known: Mapping[int, list[Box]] | None,
    tight: bool,
    size: int,
    at: int,
    frame: np.ndarray,
) -> _Seen:
    """Take the first known face of a frame, or the largest that is found; boxes get their margin once."""
    boxes = detector.detect(frame) if known is None else known.get(at, [])
    if tight or known is None:
        boxes = _as_stored([with_margin(box, frame.shape) for box in boxes])
    inside = [box for box in boxes if box.left < box.right and box.top < box.bottom]
    face = largest_face(inside) if known is None else next(iter(boxes), None)
    if face is None:
        return _Seen(at, [], None)
    crop = plan_crop(POLICY, face, size, frame.shape, has_margin=True)
    others = [box for box in inside if box is not face]
    return _Seen(at, [face, *others], _Face(crop, crop.cut(frame)))


def _as_stored(boxes: Sequence[Box]) -> list[Box]:
    """Round to the index's float32, so that boxes read from it give the same windows."""
    return [Box(*np.array(box, np.float32).tolist()) for box in boxes]


def _part(video: Video, name: str, seen: Sequence[_Seen]) -> _Part:
    faces = [(frame, frame.face.crop) for frame in seen if frame.face is not None]
    numbers = [(frame.at, crop.left, crop.top, crop.right, crop.bottom) for frame, crop in faces]
    scores = [frame.boxes[0].score for frame, _ in faces]
    return _Part(video, name, np.array(numbers, np.int32), np.array(scores, np.float32))


def _table(parts: Sequence[_Part]) -> pd.DataFrame:
    counts = [len(part.numbers) for part in parts]
    of_videos = {
        "label": [int(part.video.forgery != "none") for part in parts],
        **{name: [getattr(part.video, name) for part in parts] for name in _OF_VIDEOS},
        "file": [part.name for part in parts],
        **{name: [part.video.factors[name] for part in parts] for name in parts[0].video.factors},
    }
    numbers = np.concatenate([part.numbers for part in parts])
    return pd.DataFrame(
        {
            "image": np.arange(len(numbers)),
            **{name: np.repeat(np.array(values, object), counts) for name, values in of_videos.items()},
            **{name: numbers[:, n] for n, name in enumerate(_OF_FRAMES)},
            "score": np.concatenate([part.scores for part in parts]),
        }
    )


def _crossing_sources(samples: pd.DataFrame) -> str:
    """Report how many manipulated clips show the face of a person of another split."""
    if "source" not in samples:
        return ""
    split_of = samples.drop_duplicates("subject").set_index("subject")["split"]
    fakes = samples[samples["source"] != ""].drop_duplicates("clip")
    crossing = fakes[fakes["source"].isin(split_of.index) & (fakes["source"].map(split_of) != fakes["split"])]
    if crossing.empty:
        return ""
    return (
        f" {len(crossing)} manipulated clips show the face of a person who is in another split: "
        f"{listed(crossing['clip'].tolist())}."
    )
