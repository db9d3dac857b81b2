"""Frames of a video, equally spaced, one in memory at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from fer_repro.errors import UserError

Result = TypeVar("Result")
FILMS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
WHOLE = 0.9  # a video with a smaller share of the frames that its header promises is cut off


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


def promised_frames(path: Path) -> int:
    """How many frames the header of a video promises; 0 if it does not say.

    Raises:
        UserError: the file is missing or no video.
    """
    with _opened(path) as capture:
        return _promised(capture)


def map_frames(path: Path, wanted: int, function: Callable[[int, np.ndarray], Result]) -> list[Result]:
    """Apply a function to equally spaced frames of a video, in one pass over it.

    Frames are decoded one after the other, because seeking is not exact. Where the header gives a wrong
    number of frames, the video is read a second time with the true one.

    Args:
        path: the video.
        wanted: how many frames; see ``frame_positions``.
        function: takes a frame's position from 0 and its pixels, (H, W, 3) uint8 RGB.

    Returns:
        What ``function`` returned, in order of the frames.

    Raises:
        UserError: naming the file: it is missing, no video, without frames, or cut off.
    """
    promised = promised_frames(path)
    results, decoded = _one_pass(path, promised, wanted, function)
    if decoded == 0:
        raise UserError(f"{path}: no frame can be decoded; expected a whole video")
    if decoded == promised:
        return results
    if decoded < WHOLE * promised:
        raise UserError(
            f"{path}: ends after {decoded} of {promised} frames: the file is cut off; fetch it again"
        )
    return _one_pass(path, decoded, wanted, function)[0]


def _one_pass(
    path: Path, count: int, wanted: int, function: Callable[[int, np.ndarray], Result]
) -> tuple[list[Result], int]:
    """The results for a video of ``count`` frames, and how many frames it really has."""
    positions = set(frame_positions(count, wanted).tolist()) if count > 0 else set()
    results: list[Result] = []
    position = 0
    with _opened(path) as capture:
        while capture.grab():
            if position in positions:
                read, frame = capture.retrieve()
                if not read:
                    raise UserError(f"{path}: frame {position} cannot be decoded; expected a whole video")
                results.append(function(position, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
            position += 1
    return results, position


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
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
    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
