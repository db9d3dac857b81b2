"""Faces and answers written into images and videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from fer_repro.datasets.video import VIDEO_SUFFIXES
from fer_repro.errors import UserError
from fer_repro.files import atomic_write, check_name, keep_existing
from fer_repro.inference.catalogue import caption_of
from fer_repro.inference.prediction_rows import NOT_FINITE
from fer_repro.inference.sources import Still, read_still, video_frames

COLOUR = (255, 196, 0)
DARK = (20, 20, 20)


def annotate(table: pd.DataFrame, out: Path, force: bool = False) -> list[Path]:
    """Draw a prediction into copies of its images and videos, one in memory at a time.

    A frame that was not analysed shows the boxes of the last analysed one.

    Args:
        table: from ``predict``, of paths.
        out: a folder; for a single source a file's name will do.
        force: replace files of these names; the sources themselves are never changed.

    Returns:
        The files, in the order of the table, under the sources' names; of equal ones the later get numbers.

    Raises:
        UserError: a source is no file, or a copy would replace a file.
    """
    sources = table["source"].drop_duplicates().tolist()
    targets = copies_of(sources, out, force)
    for source, target in zip(sources, targets, strict=True):
        path = Path(source)
        if not path.is_file():
            raise UserError(f"{source}: no file to annotate; expected images and videos")
        rows = table[table["source"] == source]
        if path.suffix.lower() in VIDEO_SUFFIXES:
            _annotate_video(path, rows, target)
        else:
            image = annotated(read_still(Still(source)), rows)
            with atomic_write(target) as temporary:
                Image.fromarray(image).save(temporary, format=_format(target))
    return targets


def copies_of(sources: Sequence[str], out: Path, force: bool = False) -> list[Path]:
    """Name the files that ``annotate`` writes.

    Args:
        sources: images and videos.
        out: a folder; for a single source a file's name will do.
        force: they may replace others.

    Raises:
        UserError: one exists already, would be its own source, or is a video without a name in UTF-8.
    """
    single = len(sources) == 1 and out.suffix != ""
    targets: list[Path] = []
    for source in sources:
        is_video = Path(source).suffix.lower() in VIDEO_SUFFIXES
        target = out if single else out / Path(source).name
        target = _free(target.with_suffix(".mp4") if is_video else target, targets)
        if target.resolve() == Path(source).resolve():
            raise UserError(f"{target}: would overwrite its own source; --annotate needs another folder")
        if is_video:
            check_name(target)
        targets.append(target)
    keep_existing(targets, force)
    return targets


def annotated(image: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Draw rows into a copy of an image (H, W, 3) uint8 RGB; below, what the network was trained on.

    There is no such text for a network trained on photographs.
    """
    canvas = np.ascontiguousarray(image).copy()
    thick = max(1, round(min(canvas.shape[:2]) / 240))
    for _, row in rows.iterrows():
        if not row["face"] >= 0:
            continue
        corner = round(row["left"]), round(row["top"])
        cv2.rectangle(canvas, corner, (round(row["right"]) - 1, round(row["bottom"]) - 1), COLOUR, thick)
        _write(canvas, label_of(row), corner, 0.45 * thick, thick)
    if "trained_on" in rows and (caption := caption_of(rows["trained_on"])):
        _write_below(canvas, caption, 0.45 * thick, thick)
    return canvas


def label_of(row: Any) -> str:  # noqa: ANN401 - a row of the table
    """Describe a row in a few words."""
    if row["note"] == NOT_FINITE:
        return "no answer"
    if "prediction" in row and isinstance(row["prediction"], str):
        return f"{row['prediction']} {row['confidence']:.0%}"
    return "face"


def _write(image: np.ndarray, text: str, corner: tuple[int, int], size: float, thick: int) -> None:
    """Write a line above a corner, inside the image, on a dark background."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), below = cv2.getTextSize(text, font, size, thick)
    left = min(max(corner[0], 0), max(0, image.shape[1] - width))
    bottom = min(max(corner[1] - below, height + below), image.shape[0] - below)
    cv2.rectangle(image, (left, bottom - height - 2), (left + width, bottom + below), DARK, cv2.FILLED)
    cv2.putText(image, text, (left, bottom), font, size, COLOUR, thick, cv2.LINE_AA)


def _write_below(image: np.ndarray, text: str, size: float, thick: int) -> None:
    """Write a line at the lower left corner, small enough for the image's width."""
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)[0][0]
    fitting = size * min(1.0, image.shape[1] / (width + 2 * thick))
    _write(image, text, (0, image.shape[0]), fitting, thick if fitting == size else 1)


def _annotate_video(path: Path, rows: pd.DataFrame, target: Path) -> None:
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    capture.release()
    found = dict(list(rows.groupby("frame")))
    shown, writer = rows.iloc[:1].assign(face=-1), VideoOutput(target, rate)  # no box yet
    begun = False
    try:
        try:
            for at, image in video_frames(path):
                shown, begun = found.get(at, shown), True
                writer.add(annotated(image, shown))
        except UserError:
            if not begun:  # else all decodable frames were written, and predict has named the others
                raise
        writer.keep()
    finally:
        writer.discard()


def _format(path: Path) -> str:
    kinds = Image.registered_extensions()
    if path.suffix.lower() not in kinds:
        raise UserError(f"{path}: expected the name of an image, such as .png or .jpg, or a folder")
    return kinds[path.suffix.lower()]


def _free(path: Path, taken: list[Path]) -> Path:
    number, free = 2, path
    while free in taken:
        free, number = path.with_name(f"{path.stem} {number}{path.suffix}"), number + 1
    return free


class VideoOutput:
    """Writes an ``.mp4`` beside its name and renames it at the end.

    Args:
        path: the video; its folder is made.
        rate: images per second.

    Raises:
        UserError: the name is not UTF-8; OpenCV would crash.
    """

    def __init__(self, path: Path, rate: float) -> None:
        check_name(path)
        self.path, self.rate = path, rate
        self._temporary = path.with_name(f".{path.stem}.tmp.mp4")  # OpenCV takes the format from the name
        self._writer: cv2.VideoWriter | None = None

    def add(self, image: np.ndarray) -> None:
        """Write the next image, (H, W, 3) uint8 RGB; all have the size of the first."""
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code, size = cv2.VideoWriter.fourcc(*"mp4v"), (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._temporary), code, self.rate, size)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def keep(self) -> None:
        """Finish the video and give it its name.

        Raises:
            OSError: it could not be written completely; OpenCV itself reports no full disk.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if not _is_whole(self._temporary):
            self._temporary.unlink(missing_ok=True)
            raise OSError(f"{self.path}: the video could not be written completely; is the disk full?")
        self._temporary.replace(self.path)

    def discard(self) -> None:
        """Delete a video that was not kept; safe to call at any time."""
        if self._writer is not None:
            self._writer.release()
            self._temporary.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    """Walk through the boxes of an mp4: they must fill the file, and ``moov``, written last, be there."""
    if not path.is_file():
        return False
    at, size, found = 0, path.stat().st_size, set()
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            length, kind = int.from_bytes(file.read(4)), file.read(4)
            if length == 1:  # a box beyond 4 GB gives its length after its name
                length = int.from_bytes(file.read(8))
            if length < 8:
                return False
            found.add(kind)
            at += length
    return at == size and b"moov" in found
