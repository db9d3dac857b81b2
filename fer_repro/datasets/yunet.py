"""YuNet, a network that finds turned faces too, in a file of the user's own; and detectors by their names.

Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023, run by OpenCV. Nothing is downloaded: the
usual file is ``face_detection_yunet_2023mar.onnx`` of OpenCV's model zoo (github.com/opencv/opencv_zoo). Its
boxes are tight, see ``fer_repro.datasets.faces.Detector``.
"""

import os
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np

from fer_repro.datasets.faces import Box, CascadeDetector, Detector, check_rgb
from fer_repro.errors import UserError, nearest
from fer_repro.files import file_sha256

CASCADE, YUNET = "cascade", "yunet"
FILE_VARIABLE = "FER_REPRO_YUNET"
USUAL = (
    "the usual one is face_detection_yunet_2023mar.onnx of OpenCV's model zoo (github.com/opencv/opencv_zoo)"
)
LEAST = 64
"""Shorter sides get a black border: of 32 pixels and less OpenCV 4.14 reads uninitialised memory."""
_SIDE = 64  # of the blank image a file is tried on
_OUTPUTS = {
    f"{kind}_{stride}": numbers * (_SIDE // stride) ** 2
    for kind, numbers in (("bbox", 4), ("cls", 1), ("kps", 10), ("obj", 1))
    for stride in (8, 16, 32)
}
"""Output -> how many numbers it has for that image."""


class YuNetDetector:
    """YuNet in OpenCV; its name holds the file's SHA-256, so results name the network that found their faces.

    Args:
        file: the network, ONNX with a fixed size of its images.
        side: larger images are shrunk until their longer side has so many pixels.
        threshold: least score of a face, 0 to 1.
        most_overlap: of two boxes that overlap by more the more confident one is kept.

    Raises:
        UserError: the file is missing, damaged, no YuNet, or of a kind that this OpenCV does not run.
    """

    def __init__(
        self, file: Path, side: int = 640, threshold: float = 0.6, most_overlap: float = 0.3
    ) -> None:
        self._network = _load(file, threshold, most_overlap)
        self._side = side
        self.name = f"yunet sha256={file_sha256(file)} tight side={side}"
        self.name += f" score={threshold:g} nms={most_overlap:g}"

    def detect(self, image: np.ndarray) -> list[Box]:
        """Find the faces of an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            Tight boxes, the most confident first.

        Raises:
            UserError: the image is of another kind.
        """
        check_rgb(image)
        factor = min(1.0, self._side / max(image.shape[:2]))
        size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
        below, right = (max(0, LEAST - length) for length in small.shape[:2])
        framed = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT)
        rows = _rows(self._network, cv2.cvtColor(framed, cv2.COLOR_RGB2BGR))
        across, down = image.shape[1] / size[0], image.shape[0] / size[1]
        boxes = [
            Box(x * across, y * down, (x + width) * across, (y + height) * down, score)
            for x, y, width, height, score in rows[:, [0, 1, 2, 3, -1]].astype(float).tolist()
            if width > 0 and height > 0
        ]
        return sorted(boxes, key=lambda box: (-box.score, box))


def named_detector(choice: str) -> Detector:
    """Open a detector that looks for faces.

    Args:
        choice: ``cascade``; ``yunet:FILE``; or ``yunet``, whose file the environment variable
            ``FER_REPRO_YUNET`` names.

    Raises:
        UserError: there is no such detector, or its file cannot be used.
    """
    if choice == CASCADE:
        return CascadeDetector()
    name, colon, file = choice.partition(":")
    if name != YUNET:
        raise UserError(f"detector is '{choice}'; {nearest(choice, (CASCADE, YUNET))} (yunet:FILE)")
    if not colon:
        file = os.environ.get(FILE_VARIABLE, "")
    if not file:
        raise UserError(
            "detector yunet needs a file: give yunet:FILE, or its path in the environment variable "
            f"{FILE_VARIABLE}; {USUAL}"
        )
    return YuNetDetector(Path(file).expanduser())


def _load(file: Path, threshold: float, most_overlap: float) -> "cv2.FaceDetectorYN":
    if not hasattr(cv2, "FaceDetectorYN"):
        raise UserError(f"OpenCV {cv2.__version__} has no FaceDetectorYN: expected opencv-python-headless<5")
    if not file.is_file():
        raise UserError(f"{file}: no such file; expected YuNet's network, {USUAL}")
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # one message is enough: ours
    try:
        _check_outputs(file)
        network = cv2.FaceDetectorYN.create(
            str(file), "", (_SIDE, _SIDE), score_threshold=threshold, nms_threshold=most_overlap
        )
        _rows(network, np.zeros((_SIDE, _SIDE, 3), np.uint8))
    except cv2.error as error:
        raise UserError(
            f"{file}: OpenCV {cv2.__version__} cannot use it as YuNet ({_reason(error)}): it is damaged, "
            f"another network, or was exported with a dynamic shape; {USUAL}"
        ) from None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return network


def _check_outputs(file: Path) -> None:
    """Refuse another network: OpenCV itself would read past the end of outputs that are too small."""
    network = cv2.dnn.readNetFromONNX(str(file))
    names = sorted(network.getUnconnectedOutLayersNames())
    if names != sorted(_OUTPUTS):
        raise UserError(f"{file}: no YuNet: it gives {_few(names)}, expected {_few(_OUTPUTS)}; {USUAL}")
    network.setInput(np.zeros((1, 3, _SIDE, _SIDE), np.float32))
    for name, output in zip(names, network.forward(names), strict=True):
        if output.size != _OUTPUTS[name]:
            raise UserError(
                f"{file}: no YuNet: its {name} has {output.size} numbers for {_SIDE} x {_SIDE} pixels, "
                f"expected {_OUTPUTS[name]}; {USUAL}"
            )


def _rows(network: "cv2.FaceDetectorYN", image: np.ndarray) -> np.ndarray:
    """Run the network on an image, BGR: (N, 15), empty where it finds nothing."""
    network.setInputSize(image.shape[1::-1])
    rows = network.detect(image)[1]
    return np.empty((0, 15), np.float32) if rows is None else np.asarray(rows)


def _few(names: Collection[str]) -> str:
    first = sorted(names)[:4]
    return f"{', '.join(first)}{', ...' if len(names) > len(first) else ''}"


def _reason(error: cv2.error) -> str:
    return " ".join(str(error.err or error).split())[:160]
