"""The reader's own face, from a photograph in memory or the camera of this machine to what a network gets.

Nothing is written and nothing is sent: images are arrays of this process.
"""

import io
import time
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
from PIL import Image

from fer_repro.datasets.faces import CascadeDetector
from fer_repro.errors import UserError
from fer_repro.inference.faces_in import FaceFinder, FaceFormat
from fer_repro.inference.sources import Still, read_still
from fer_repro.inference.webcam import camera_frames

WARM_UP = 1.0  # seconds; a camera's first images are dark until it has adapted to the light
STEP = 0.5  # seconds from one frame of a clip to the next


class Photograph(NamedTuple):
    """An image of the reader.

    Attributes:
        name: of the file, or the frame of the camera.
        pixels: (H, W, 3) uint8 RGB, upright.
    """

    name: str
    pixels: np.ndarray


def read_photograph(content: bytes | memoryview, name: str) -> Photograph:
    """Decode a photograph that lies in memory.

    Args:
        content: the bytes of the file.
        name: of the file, for messages and captions.

    Raises:
        UserError: it is no image that can be read.
    """
    try:
        image = Image.open(io.BytesIO(content))
    except Exception:  # Pillow's readers raise many kinds for a damaged file
        raise UserError(
            f"{name}: not readable as an image; expected JPEG, PNG or WebP (save HEIC as JPEG)"
        ) from None
    return Photograph(name, read_still(Still(name, image)))


def take_photographs(count: int, camera: int = 0) -> list[Photograph]:
    """Take photographs with a camera of the machine on which this runs, half a second apart.

    Args:
        count: how many.
        camera: its number, from 0.

    Raises:
        UserError: there is no such camera, or it gives too few images.
    """
    taken: list[Photograph] = []
    begin, length = time.monotonic(), WARM_UP + STEP * count
    try:
        with closing(camera_frames(camera, 2 * length)) as frames:
            for pixels in frames:
                if time.monotonic() - begin >= WARM_UP + STEP * len(taken):
                    taken.append(Photograph(f"camera, frame {len(taken)}" if count > 1 else "camera", pixels))
                if len(taken) == count:
                    return taken
    except UserError:  # its message is for the command line
        raise UserError(
            f"camera {camera} gives no image: it must be connected to the machine on which Jupyter runs, "
            "free, and readable for this user; a photograph works without a camera"
        ) from None
    raise UserError(f"camera {camera} gave {len(taken)} images in {2 * length:g} s: expected {count}")


def cut_faces(photographs: Sequence[Photograph], form: FaceFormat) -> np.ndarray:
    """Cut the largest face out of each photograph, as a network's training data show faces.

    Args:
        photographs: one or more.
        form: of the training data.

    Returns:
        (N, S, S) or (N, S, S, 3) uint8.

    Raises:
        UserError: a photograph shows no face.
    """
    finder, faces = FaceFinder(form, CascadeDetector(), "largest"), []
    for name, pixels in photographs:
        found = finder.find(pixels, name, None)
        if not found:
            height, width = pixels.shape[:2]
            raise UserError(
                f"{name}: no face found in {width} x {height} pixels; expected one that is upright, "
                "seen from the front, lit evenly, and a tenth of the image's shorter side or larger"
            )
        faces.append(found[0].pixels)
    images = np.stack(faces)
    return images[:, 0] if form.colour == "grey" else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
