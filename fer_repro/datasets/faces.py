"""Faces in images: where they are, which one to keep, and which window about it is cut out.

Detectors are exchangeable: anything that has ``detect`` and returns tight boxes works. The included one
needs no download: the Haar cascades that ship with OpenCV (Viola and Jones, CVPR 2001). The margin belongs to
the crop policies, which are those of the papers: ``scale``, ``crop`` and ``tight`` of "Video Face
Manipulation Detection Through Ensemble of CNNs" (arXiv:2004.07676), ``square`` of RMN's demo
(arXiv:2603.05937), ``padded`` of FAN (arXiv:1907.00193).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from PIL import Image

from fer_repro.errors import UserError, nearest


class Box(NamedTuple):
    """A face in an image: pixels from the left and top edge, and the detector's confidence."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top


class Detector(Protocol):
    """Anything that finds faces and returns tight boxes.

    A tight box ends at forehead, chin and cheeks, as in the annotations of WIDER FACE and in the boxes of
    networks trained on them, such as YuNet. It has no margin: each crop policy adds its own.
    """

    name: str

    def detect(self, image: np.ndarray) -> list[Box]:
        """Find the faces in (H, W, 3) uint8 RGB: tight boxes, scored by confidence; none is no error."""
        ...


def largest_face(boxes: Sequence[Box]) -> Box | None:
    """The face with the largest box, or None; of equal ones the most confident."""
    return max(boxes, key=lambda box: (box.width * box.height, box.score, box), default=None)


def most_confident_face(boxes: Sequence[Box]) -> Box | None:
    """The face with the highest score, or None: the rule of arXiv:2004.07676; of equal ones the largest."""
    return max(boxes, key=lambda box: (box.score, box.width * box.height, box), default=None)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one.width * one.height + other.width * other.height - shared)


FRONTAL, FALLBACK = "haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_default.xml"
PROFILE = "haarcascade_profileface.xml"  # finds faces turned to the left only: also run on the mirror image
SAME_FACE = 0.4  # overlap from which two detections are one face
# A cascade's square runs from the brows to the chin. The tight box is narrower, higher, and lower by a share
# of the square's side. YuNet's boxes (score 0.6, longest side 640) are 0.80 as wide, 1.10 as high and 0.015
# lower on 89 frames of ten clips (means), 0.81, 1.02 to 1.04 and 0.01 to 0.04 on 680 training faces of
# FER2013 (medians). The constants are binary fractions, so that ``with_margin`` finds the square again.
TIGHT_WIDTH, TIGHT_HEIGHT, TIGHT_LOWER = 13 / 16, 17 / 16, 1 / 64
# How much wider, higher and lower than the square the boxes of arXiv:2004.07676 with their margin are: means
# over 52 frames of the same clips.
MARGIN_WIDTH, MARGIN_HEIGHT, MARGIN_LOWER = 1.2, 1.4, 0.04


def check_rgb(image: np.ndarray) -> None:
    """Refuse what a detector cannot search.

    Raises:
        UserError: the image is not (H, W, 3) uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"image is {image.dtype} {image.shape}: expected uint8 (H, W, 3) RGB")


class CascadeDetector:
    """OpenCV's frontal Haar cascade, and where it is not confident, a second frontal and the profile cascade.

    The score of a face counts the windows that agree on it. Boxes are tight (see ``Detector``); at the edge
    of an image they may reach beyond it by a twentieth of their height.

    Args:
        side: images are shrunk until their shorter side has so many pixels.
        smallest: side of the smallest face, as a share of the shorter side.
        step: how much the window grows from one pass to the next.
        neighbours: windows that must agree.
        sure: below this score the other cascades are run, too.

    Raises:
        UserError: this OpenCV has no cascades.
    """

    def __init__(
        self,
        side: int = 320,
        smallest: float = 0.1,
        step: float = 1.1,
        neighbours: int = 3,
        sure: int = 6,
    ) -> None:
        self.name = f"haar alt2+default+profile tight side={side} smallest={smallest:g} step={step:g}"
        self.name += f" neighbours={neighbours} sure={sure}"
        self._side, self._smallest, self._step = side, smallest, step
        self._neighbours, self._sure = neighbours, sure
        self._cascades = {name: _load_cascade(name) for name in (FRONTAL, FALLBACK, PROFILE)}

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
        grey, shrunk = self._shrink(image)
        found = _merge(self._search(FRONTAL, grey))
        if not found or found[0].score < self._sure:
            others = self._search(FALLBACK, grey) + self._search(PROFILE, grey)
            mirrored = self._search(PROFILE, np.ascontiguousarray(grey[:, ::-1]))
            turned = [
                Box(grey.shape[1] - box.right, box.top, grey.shape[1] - box.left, box.bottom, box.score)
                for box in mirrored
            ]
            found = _merge([*found, *others, *turned])
        return [_tight_box(box, shrunk) for box in found]

    def _shrink(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        factor = min(1.0, self._side / min(image.shape[:2]))
        size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
        return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), factor

    def _search(self, cascade: str, grey: np.ndarray) -> list[Box]:
        least = max(1, int(self._smallest * min(grey.shape)))
        corners, votes = self._cascades[cascade].detectMultiScale2(
            grey, self._step, self._neighbours, minSize=(least, least)
        )
        return [
            Box(float(x), float(y), float(x + width), float(y + height), float(count))
            for (x, y, width, height), count in zip(corners, votes, strict=True)
        ]


def _load_cascade(name: str) -> "cv2.CascadeClassifier":
    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(f"OpenCV {cv2.__version__} has no face cascades: expected opencv-python-headless<5")
    file = Path(cv2.__file__).parent / "data" / name
    cascade = cv2.CascadeClassifier(str(file))
    if cascade.empty():
        raise UserError(f"{file}: not readable as a cascade; install opencv-python-headless again")
    return cascade


def _merge(boxes: Sequence[Box]) -> list[Box]:
    """Make one box of those that overlap, its sides means weighted by score; the most confident first."""
    waiting = sorted(boxes, key=lambda box: (-box.score, box))  # OpenCV's threads give them in any order
    merged = []
    while waiting:
        group = [box for box in waiting if overlap(waiting[0], box) > SAME_FACE]
        waiting = [box for box in waiting if box not in group]
        weights = np.array([box.score for box in group])
        sides = (np.array(group)[:, :4] * weights[:, None]).sum(axis=0) / weights.sum()
        left, top, right, bottom = sides.tolist()
        merged.append(Box(left, top, right, bottom, float(weights.sum())))
    return sorted(merged, key=lambda box: (-box.score, box))


def _tight_box(square: Box, shrunk: float) -> Box:
    """From a cascade's square to forehead, chin and cheeks, in pixels of the whole image."""
    middle = (square.left + square.right) / 2
    centre = (square.top + square.bottom) / 2 + TIGHT_LOWER * square.height
    half_width, half_height = TIGHT_WIDTH * square.width / 2, TIGHT_HEIGHT * square.height / 2
    return Box(
        (middle - half_width) / shrunk,
        (centre - half_height) / shrunk,
        (middle + half_width) / shrunk,
        (centre + half_height) / shrunk,
        square.score,
    )


def with_margin(box: Box, shape: Sequence[int]) -> Box:
    """Add the margin of arXiv:2004.07676 to a tight box, as far as the image goes.

    Args:
        box: tight, from any detector.
        shape: of the image, (H, W, ...).
    """
    width, height = box.width / TIGHT_WIDTH, box.height / TIGHT_HEIGHT  # of the cascade's square
    middle = (box.left + box.right) / 2
    centre = (box.top + box.bottom) / 2 - TIGHT_LOWER * height + MARGIN_LOWER * height
    half_width, half_height = MARGIN_WIDTH * width / 2, MARGIN_HEIGHT * height / 2
    return Box(
        max(0.0, middle - half_width),
        max(0.0, centre - half_height),
        min(float(shape[1]), middle + half_width),
        min(float(shape[0]), centre + half_height),
        box.score,
    )


# Crops


@dataclass(frozen=True)
class Crop:
    """A window of an image and how it becomes a square: all that is needed to cut it again.

    Attributes:
        policy: a key of ``POLICIES``.
        size: side of the result in pixels.
        left: first column of the window, from 0.
        top: first row.
        right: column behind the window.
        bottom: row behind it.
    """

    policy: str
    size: int
    left: int
    top: int
    right: int
    bottom: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Cut the window out of (H, W, 3) uint8 RGB and bring it to (size, size, 3) uint8.

        ``crop`` is not scaled, ``tight`` keeps its proportions; what is missing is black around the middle.
        The others are stretched to the square (bilinear; antialiased where they shrink, as OpenCV's are not).
        """
        window = image[self.top : self.bottom, self.left : self.right]
        height, width = window.shape[:2]
        if self.policy == "crop":
            return _framed(window, self.size)
        if self.policy == "tight":
            factor = self.size / max(height, width)
            wanted = max(1, round(width * factor)), max(1, round(height * factor))
            return _framed(_resized(window, wanted), self.size)
        return _resized(window, (self.size, self.size))


def _resized(window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(window).resize(size, Image.Resampling.BILINEAR))


def _framed(window: np.ndarray, size: int) -> np.ndarray:
    framed = np.zeros((size, size, window.shape[2]), np.uint8)
    top, left = (size - window.shape[0]) // 2, (size - window.shape[1]) // 2
    framed[top : top + window.shape[0], left : left + window.shape[1]] = window
    return framed


Window = tuple[int, int, int, int]  # left, top, right, bottom
STORED = 512  # the authors keep a window of this size about each face, and cut all crops from it


def window_about(box: Box, width: int, height: int, shape: Sequence[int]) -> Window:
    """Place a window about a box by the authors' rule (arXiv:2004.07676, their code).

    The centre is the mean of the box's sides, rounded down. At the left and top edge of the image the
    window is shifted inwards, at the right and bottom edge it is cut off.

    Args:
        box: the face.
        width: of the window.
        height: of the window.
        shape: of the image, (H, W, ...).
    """
    left = max(int((box.left + box.right) / 2) - width // 2, 0)
    top = max(int((box.top + box.bottom) / 2) - height // 2, 0)
    return left, top, min(left + width, shape[1]), min(top + height, shape[0])


def _scale(box: Box, size: int, shape: Sequence[int]) -> Window:
    side = min(max(int(box.right) - int(box.left), int(box.bottom) - int(box.top)), STORED)
    return window_about(box, side, side, shape)


def _crop(box: Box, size: int, shape: Sequence[int]) -> Window:
    return window_about(box, min(size, STORED), min(size, STORED), shape)


def _tight(box: Box, size: int, shape: Sequence[int]) -> Window:
    left, top, right, bottom = window_about(box, STORED, STORED, shape)
    return (
        max(int(box.left), left),
        max(int(box.top), top),
        min(int(box.right), right),
        min(int(box.bottom), bottom),
    )


def _square(box: Box, size: int, shape: Sequence[int]) -> Window:
    """Cut RMN's square: 1.1 times the mean side, in whole pixels as its code rounds them."""
    left, top, right, bottom = map(int, box[:4])
    half = 1.1 * ((right - left + bottom - top) // 2 // 2)
    middle, centre = (left + right) // 2, (top + bottom) // 2
    return (
        max(int(middle - half), 0),
        max(int(centre - half), 0),
        min(int(middle + half), shape[1]),
        min(int(centre + half), shape[0]),
    )


# FAN's code cuts dlib's aligned face: a square about five landmarks, and a quarter of its side more on each
# side. dlib's eyes are 0.5255 of the inner square's side apart. By YuNet's eyes the result is 0.96 of a tight
# box's height on 89 frames of ten clips, 1.02 to 1.06 on 680 training faces of FER2013 (medians), its centre
# lower by 0.05 to 0.08. So the inner square is two thirds of the height:
INNER, PADDING, INNER_LOWER = 2 / 3, 0.25, 1 / 16


def _padded(box: Box, size: int, shape: Sequence[int]) -> Window:
    """Cut a square like dlib's aligned face, but upright: a box does not show how a head is tilted."""
    side = max(box.width, box.height)
    half = round(side * INNER * (0.5 + PADDING))
    middle = int((box.left + box.right) / 2)
    centre = int((box.top + box.bottom) / 2 + INNER_LOWER * side)
    return (
        max(middle - half, 0),
        max(centre - half, 0),
        min(middle + half, shape[1]),
        min(centre + half, shape[0]),
    )


POLICIES: dict[str, Callable[[Box, int, Sequence[int]], Window]] = {
    "scale": _scale,  # square of the box's longer side; faces above 512 pixels are cut off, as in their code
    "crop": _crop,  # the square of the result's size, not scaled
    "tight": _tight,  # the box itself
    "square": _square,  # RMN's demo: 1.1 times the mean side
    "padded": _padded,  # FAN: a quarter of the side on each side, as dlib pads
}
OF_MARGIN = ("scale", "crop", "tight")
"""The policies of arXiv:2004.07676: their box is the tight one with a margin, see ``with_margin``."""


def plan_crop(policy: str, box: Box, size: int, shape: Sequence[int], has_margin: bool = False) -> Crop:
    """Choose the window for a face.

    Args:
        policy: a key of ``POLICIES``.
        box: the face, tight.
        size: side of the result in pixels.
        shape: of the image, (H, W, ...).
        has_margin: the box has the margin of ``with_margin`` already, so none is added.

    Raises:
        UserError: the policy is unknown, it wants a tight box and there is a margin, or the window is empty.
    """
    if policy not in POLICIES:
        raise UserError(f"crop policy is '{policy}'; {nearest(policy, POLICIES)}")
    if has_margin and policy not in OF_MARGIN:
        raise UserError(f"crop policy '{policy}' about a box with a margin: expected a tight box")
    about = with_margin(box, shape) if policy in OF_MARGIN and not has_margin else box
    left, top, right, bottom = POLICIES[policy](about, size, shape)
    if size < 1 or left >= right or top >= bottom:
        raise UserError(
            f"crop '{policy}' of size {size} about the box {tuple(round(side) for side in box[:4])}: "
            f"expected a box of one pixel or more inside {shape[1]} x {shape[0]} pixels"
        )
    return Crop(policy, size, left, top, right, bottom)
