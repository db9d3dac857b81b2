"""Frames of a video, equally spaced, one in memory at a time."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from fer_repro.datasets.containers import read_promise
from fer_repro.errors import UserError

Result = TypeVar("Result")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
WHOLE = 0.9  # a video with a smaller share of what its tables list is cut off
AGAIN = 1000  # calls in a row that give no frame end a video; each may be a damaged one
MOST_FRAMES = 1 << 31
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a video is reported here


def frame_positions(count: int, wanted: int) -> np.ndarray:
    """Spread ``wanted`` positions over ``count`` frames, first and last included: (n,) int64, ascending.

    The rule of arXiv:2004.07676's code, ``unique(linspace(0, count - 1, wanted) as int)``: short videos give
    fewer frames.

    Raises:
        UserError: there are no frames, or none is wanted.
    """
    if count < 1 or wanted < 1:
        raise UserError(f"{wanted} of {count} frames: expected at least one of one")
    return np.unique(np.linspace(0, count - 1, wanted).astype(np.int64))


def map_frames(path: Path, wanted: int, function: Callable[[int, np.ndarray], Result]) -> list[Result]:
    """Apply a function to equally spaced frames of a video, in one pass over it.

    Frames are decoded one after the other, because seeking is not exact. Where the header gives another
    number of frames than decode, the video is read a second time with the true one. A frame that cannot be
    given is replaced by the next one that can.

    Args:
        path: the video.
        wanted: how many frames; see ``frame_positions``.
        function: takes a frame's position from 0 and its pixels, (H, W, 3) uint8 RGB.

    Returns:
        What ``function`` returned, in order of the frames.

    Raises:
        UserError: naming the file: it is missing, no video, without frames, or cut off.
    """
    with opened(path) as capture:
        promised = _promised(capture)
    results, decoded = _one_pass(path, promised, wanted, function)
    check_whole(path, decoded, promised)
    if decoded != promised:
        results, _ = _one_pass(path, decoded, wanted, function)
    if not results:
        raise UserError(f"{path}: none of {decoded} frames can be given; expected a whole video")
    return results


def check_whole(path: Path, decoded: int, promised: int = 0) -> None:
    """Refuse a video that is cut off, where that is certain: its header's count of frames is an estimate.

    Args:
        path: the video.
        decoded: how many frames it gave.
        promised: how many its header states, for the message.

    Raises:
        UserError: it gave none, or much less than its own tables and sizes state.
    """
    if decoded == 0:
        raise UserError(f"{path}: no frame can be decoded; expected a whole video")
    certain = read_promise(path)
    if decoded + 1 >= WHOLE * certain.frames and (certain.frames or certain.share >= WHOLE):
        return
    total = certain.frames or promised
    of = f" of {total}" if total > decoded else ""
    part = "" if certain.frames else f", {certain.share:.0%} of its bytes are there"
    raise UserError(f"{path}: ends after {decoded}{of} frames: the file is cut off{part}; fetch it again")


def grabbed(capture: cv2.VideoCapture) -> Iterator[int]:
    """Go through a video's frames and count them from 0; damaged ones in the middle do not end it."""
    position = failures = 0
    while failures < AGAIN:
        if capture.grab():
            yield position
            position, failures = position + 1, 0
        else:
            failures += 1


def retrieved(capture: cv2.VideoCapture) -> np.ndarray | None:
    """Give the grabbed frame as (H, W, 3) uint8 RGB, upright; None if it cannot be given."""
    read, frame = capture.retrieve()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if read else None


def _one_pass(
    path: Path, count: int, wanted: int, function: Callable[[int, np.ndarray], Result]
) -> tuple[list[Result], int]:
    """The results for a video of ``count`` frames, and how many frames it really has."""
    positions = set(frame_positions(count, wanted).tolist()) if count > 0 else set()
    results: list[Result] = []
    decoded = owed = 0
    with opened(path) as capture:
        for position in grabbed(capture):
            decoded, owed = position + 1, owed + (position in positions)
            frame = retrieved(capture) if owed else None
            if frame is not None:
                results.append(function(position, frame))
                owed -= 1
    return results, decoded


@contextmanager
def opened(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video and close it again.

    Raises:
        UserError: the file is missing or no video.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a video")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise UserError(f"{path}: not readable as a video, cut off or damaged? Expected MP4 or AVI")
        yield capture
    finally:
        capture.release()


def _promised(capture: cv2.VideoCapture) -> int:
    """How many frames the header states, 0 if that is no count; live recordings have none."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if 0 < count < MOST_FRAMES else 0
