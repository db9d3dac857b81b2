"""A camera as a source: predictions frame by frame, as lines, rows and an annotated video."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fer_repro.errors import UserError
from fer_repro.inference.annotate import VideoOutput, annotated
from fer_repro.inference.model import Looking, Model, as_table
from fer_repro.inference.sources import Still

RATE = 10.0  # frames per second of the video


def camera_frames(camera: int, seconds: float) -> Generator[np.ndarray, None, None]:
    """Read images from a camera until the time is over; 0 seconds: until it is stopped.

    Args:
        camera: its number, from 0.
        seconds: how long.

    Yields:
        (H, W, 3) uint8 RGB.

    Raises:
        UserError: there is no such camera, or it gives no image.
    """
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # one message is enough, and it is ours
    capture = cv2.VideoCapture(camera)
    logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise UserError(
                f"camera {camera} cannot be opened: is one connected, and may this user read it? "
                "fer-repro predict takes videos and images instead"
            )
        begin = time.monotonic()
        while not seconds or time.monotonic() - begin < seconds:
            read, frame = capture.read()
            if not read:
                raise UserError(f"camera {camera} gives no more images")
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def watch(
    model: Model, frames: Iterator[np.ndarray], looking: Looking, video: Path | None = None
) -> Iterator[pd.DataFrame]:
    """Predict images as they come.

    Args:
        model: the network; one of clips gets clips of one frame.
        frames: from ``camera_frames``.
        looking: how they are analysed.
        video: an annotated ``.mp4`` to write; it is kept, too, when the caller stops.

    Yields:
        The table of each image.
    """
    writer = None if video is None else VideoOutput(video, RATE)
    try:
        for number, image in enumerate(frames):
            rows = [
                row for chunk in model.stream([Still("camera", image, number)], looking) for row in chunk.rows
            ]
            table = as_table(rows, model.spec, {}, model.backend.outputs)
            if writer is not None:
                writer.add(annotated(image, table))
            yield table
    finally:
        if writer is not None:
            writer.keep()
