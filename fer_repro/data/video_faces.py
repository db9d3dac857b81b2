"""Videos become faces: equally spaced frames, one face of each, cut out by one policy; a video at a time.

As in arXiv:2004.07676 (their code): 32 frames per video, the policy ``scale``. Theirs keeps the surest face
of BlazeFace, here it is the largest of the cascades. A file ``faces.parquet`` in the data set's folder saves
the search: the store of a set that was added holds one (see ``face_index``).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_repro.data.attachments import ConvertedFiles
from fer_repro.data.face_index import FACES, FaceIndex, read_face_index, write_face_index
from fer_repro.data.faces import Box, CascadeDetector, Crop, Detector, largest_face, plan_crop
from fer_repro.data.pictures import listed
from fer_repro.data.progress import progress
from fer_repro.data.store import file_sha256
from fer_repro.data.video import map_frames
from fer_repro.errors import UserError

CLASSES = ("real", "manipulated")
FRAMES, SIZE, POLICY = 32, 224, "scale"
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


class _Seen(NamedTuple):
    """A frame that was looked at: its faces, and the one that was cut out of it, if any."""

    frame: int
    boxes: list[Box]
    crop: Crop | None
    pixels: np.ndarray | None


@dataclass
class _LeftOut:
    """What did not become a sample."""

    without_face: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    frames: int = 0

    def text(self) -> str:
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
        detector: finds the faces; the cascades if left out.

    Raises:
        UserError: there are no videos, two have one name, the index does not fit, or no face is found.
    """
    _check_videos(root, videos)
    known = read_face_index(root / FACES) if (root / FACES).is_file() else None
    if known is not None and known.frames != frames:
        raise UserError(
            f"{root / FACES}: holds faces of {known.frames} frames per video: expected {frames}; take it "
            "away to have them searched for"
        )
    finder = detector or CascadeDetector()
    boxes_of = known.by_video() if known is not None else {}
    index = FaceIndex(known.detector if known is not None else finder.name, frames)
    left_out, hasher = _LeftOut(), hashlib.sha256()
    rows: list[dict[str, object]] = []
    with progress(len(videos), "videos", every=25) as step:
        for video in videos:
            name = video.file.relative_to(root).as_posix()
            hasher.update(f"{name}\0{file_sha256(video.file)}\n".encode())
            take = partial(_take, finder, boxes_of.get(name), size or SIZE)
            pixels: list[np.ndarray] = []
            for seen in _look(video, frames, take, left_out):
                index.add(name, seen.frame, seen.boxes)
                if seen.crop is not None and seen.pixels is not None:
                    pixels.append(seen.pixels)
                    rows.append(_row(video, name, seen, seen.crop, len(rows)))
            if pixels:
                append(np.stack(pixels))
            step(1)
    if not rows:
        raise UserError(f"{root}: none of {len(videos)} videos gives a face. {left_out.text()}")
    samples = pd.DataFrame(rows)
    note = f"{frames} frames per video, faces by {index.detector}, crop '{POLICY}' at {size or SIZE} pixels. "
    note += f"{left_out.text()}{_crossing_sources(samples)}"
    source = {f"{len(videos)} video files": hasher.hexdigest()}
    return ConvertedFiles(samples, source, note, {FACES: partial(write_face_index, index=index)})


def _check_videos(root: Path, videos: Sequence[Video]) -> None:
    if not videos:
        raise UserError(f"{root}: no videos; expected at least one")
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
    """Look at a video's frames; note what gives no sample."""
    try:
        seen = map_frames(video.file, frames, take)
    except UserError as error:
        left_out.damaged.append(str(error))
        return []
    faces = sum(frame.crop is not None for frame in seen)
    left_out.frames += len(seen) - faces
    left_out.without_face += [] if faces else [video.clip]
    return seen


def _take(
    detector: Detector, known: Mapping[int, list[Box]] | None, size: int, at: int, frame: np.ndarray
) -> _Seen:
    boxes = _as_stored(detector.detect(frame)) if known is None else known.get(at, [])
    face = largest_face(boxes) if known is None else next(iter(boxes), None)
    if face is None:
        return _Seen(at, [], None, None)
    crop = plan_crop(POLICY, face, size, frame.shape)
    return _Seen(at, [face, *(box for box in boxes if box is not face)], crop, crop.cut(frame))


def _as_stored(boxes: Sequence[Box]) -> list[Box]:
    """Round to the index's float32, so that boxes read from it give the same windows."""
    return [Box(*np.array(box, np.float32).tolist()) for box in boxes]


def _row(video: Video, name: str, seen: _Seen, crop: Crop, image: int) -> dict[str, object]:
    return {
        "image": image,
        "label": int(video.forgery != "none"),
        "subject": video.subject,
        "clip": video.clip,
        "split": video.split,
        "forgery": video.forgery,
        "original": video.original,
        "file": name,
        "frame": seen.frame,
        "score": seen.boxes[0].score,
        **{f"crop_{side}": getattr(crop, side) for side in ("left", "top", "right", "bottom")},
        **video.factors,
    }


def _crossing_sources(samples: pd.DataFrame) -> str:
    """Say how many manipulated clips show the face of a person of another split."""
    if "source" not in samples:
        return ""
    split_of = samples.drop_duplicates("subject").set_index("subject")["split"]
    fakes = samples[samples["source"] != ""].drop_duplicates("clip")
    crossing = fakes[fakes["source"].isin(split_of.index) & (fakes["source"].map(split_of) != fakes["split"])]
    if crossing.empty:
        return ""
    return (
        f" {len(crossing)} manipulated clips show the face of a person who stands in another split: "
        f"{listed(crossing['clip'].tolist())}."
    )
