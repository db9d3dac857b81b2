"""From images to the faces a network gets: detected or known, cut out, in the colour of its data."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from fer_repro.datasets.faces import (
    Box,
    CascadeDetector,
    Detector,
    largest_face,
    most_confident_face,
    plan_crop,
)
from fer_repro.datasets.yunet import CASCADE, YUNET, named_detector
from fer_repro.errors import UserError, nearest
from fer_repro.inference.spec import Colour, ModelSpec
from fer_repro.spreadsheets import as_numbers

SMALLEST = 10  # pixels; RMN's demo skips smaller faces
FURTHER = 12.0
"""Windows of the cascades that must agree on a further face beside the most confident. In 52 frames of ten
clips, one person each, they found eight faces too many, each by fewer windows."""
TIGHT = "tight"
"""In the column ``box`` of predictions: the boxes have no margin. Those of earlier versions had one."""
Which = Literal["all", "largest", "most_confident"]
SIDES = ("left", "top", "right", "bottom")
TEXTS = dict.fromkeys(("source", "clip", "prediction", "trained_on", "note"), "str")
INSIDE = 0.5  # of the area of a given box; detectors' boxes stick out at an image's edges


class Face(NamedTuple):
    """A face as a network gets it.

    Attributes:
        box: where it is in the image, tight.
        pixels: (C, S, S) uint8.
    """

    box: Box
    pixels: np.ndarray


class FaceFormat(NamedTuple):
    """How a network's training data show faces: what a ``FaceFinder`` needs of a model.

    Attributes:
        crop: policy of ``fer_repro.datasets.faces`` about a tight box.
        face_size: side in pixels.
        colour: grey or rgb.
    """

    crop: str
    face_size: int
    colour: Colour


class KnownBox(NamedTuple):
    """A box of an earlier prediction, and its row in the table, from 1."""

    row: int
    box: Box


class WholeImage:
    """Takes every image as one face: for images that were cut out before."""

    name = "none"

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the image's own sides."""
        return [Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0]))]


class FixedBox:
    """Finds the face at one place in every image.

    The box is tight, see ``fer_repro.datasets.faces.Detector``.

    Args:
        left: first column, from 0.
        top: first row.
        right: column behind the face.
        bottom: row behind it.

    Raises:
        UserError: the box is empty.
    """

    def __init__(self, left: float, top: float, right: float, bottom: float) -> None:
        if not (0 <= left < right and 0 <= top < bottom):
            raise UserError(
                f"box {left:g},{top:g},{right:g},{bottom:g}: expected 0 <= left < right, top < bottom"
            )
        self._box = Box(float(left), float(top), float(right), float(bottom))
        self.name = f"box {left:g},{top:g},{right:g},{bottom:g}"

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the box.

        Raises:
            UserError: it lies outside the image.
        """
        _check_inside(self._box, image, self.name)
        return [self._box]


def choose_detector(choice: "str | Detector") -> Detector:
    """Make the detector of a name: ``cascade``, ``yunet:FILE``, ``none`` or ``left,top,right,bottom``.

    Objects that are detectors are returned unchanged.

    Raises:
        UserError: there is no such detector.
    """
    if not isinstance(choice, str):
        return choice
    if choice == CASCADE or choice.partition(":")[0] == YUNET:
        return named_detector(choice)
    if choice == "none":
        return WholeImage()
    numbers = choice.split(",")
    try:
        return FixedBox(*map(float, numbers)) if len(numbers) == 4 else _unknown(choice)
    except ValueError as error:
        raise error if isinstance(error, UserError) else _no_detector(choice) from None


def _unknown(choice: str) -> Detector:
    raise _no_detector(choice)


def _no_detector(choice: str) -> UserError:
    names = nearest(choice, (CASCADE, YUNET, "none"))
    return UserError(f"detector is '{choice}'; {names}; or yunet:FILE, or left,top,right,bottom in pixels")


def _check_inside(box: Box, image: np.ndarray, name: str) -> None:
    height, width = image.shape[:2]
    across = min(box.right, width) - max(box.left, 0.0)
    down = min(box.bottom, height) - max(box.top, 0.0)
    if min(across, down) <= 0 or across * down < INSIDE * box.width * box.height:
        raise UserError(f"{name} lies outside {width} x {height} pixels, half of it or more")


def read_boxes(boxes: "pd.DataFrame | str | Path") -> dict[tuple[str, int], list[KnownBox]]:
    """Read the boxes of an earlier prediction, so that no detector runs again.

    Args:
        boxes: what ``predict`` returned or wrote: columns source, frame (empty for stills), left ... bottom,
            in predictions ``box``. Boxes are tight.

    Returns:
        (source, frame or -1) -> boxes in their order; an image without a face has none. A box without a
        score has NaN.

    Raises:
        UserError: a column is missing, a row has no source or half a box, or the boxes have a margin.
    """
    table = boxes if isinstance(boxes, pd.DataFrame) else read_table(Path(boxes))
    for column in ("source", "frame", *SIDES):
        if column not in table:
            raise UserError(
                f"boxes: column '{column}' is missing; {nearest(column, map(str, table.columns))}"
            )
    _check_tight(table)
    found: dict[tuple[str, int], list[KnownBox]] = {}
    frames = _numbers(table["frame"], whole=True).fillna(-1).astype(int)
    sides = np.stack([_numbers(table[side]).to_numpy() for side in SIDES], axis=1)
    scores = _numbers(table["score"]) if "score" in table else pd.Series(np.nan, table.index)
    rows = zip(table["source"], frames, sides.tolist(), scores, strict=True)
    for row, (source, frame, box, score) in enumerate(rows, 1):
        if pd.isna(source) or not str(source):
            raise UserError(f"boxes: row {row}: source is empty: expected the name of an image or video")
        known = found.setdefault((Path(str(source)).as_posix(), int(frame)), [])
        if np.isnan(box).all():
            continue
        left, top, right, bottom = box
        if not (left < right and top < bottom):
            raise UserError(f"boxes: row {row}: box {box}: expected left < right and top < bottom")
        known.append(KnownBox(row, Box(left, top, right, bottom, float(score))))
    return found


def _check_tight(table: pd.DataFrame) -> None:
    """Refuse boxes that would get a second margin; predictions of earlier versions do not state theirs."""
    predicted = {"face", "note"} <= set(table.columns) or "forgery_score" in table
    if "box" not in table and predicted and len(table):
        raise UserError(
            "boxes: column 'box' is missing: a prediction of an earlier version, whose boxes had a margin; "
            f"predict again, or add 'box' with '{TIGHT}' in every row if these have none"
        )
    if "box" in table:
        wrong = (table["box"] != TIGHT) & table[list(SIDES)].notna().all(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong.to_numpy()))
            raise UserError(
                f"boxes: row {row + 1}: box is {table['box'].tolist()[row]!r}: expected '{TIGHT}'"
            )


def _numbers(column: pd.Series, whole: bool = False) -> pd.Series:
    """Read numbers; empty cells become NaN."""
    values = as_numbers(column)
    given = column.notna() & (column.astype(str).str.strip() != "")
    bad = given & ~np.isfinite(values)
    if whole:
        bad |= values.notna() & ((values % 1 != 0) | (values < 0))
    if bad.any():
        row = int(np.argmax(bad.to_numpy()))
        kind = "a whole number from 0" if whole else "a number"
        value = column.tolist()[row]
        raise UserError(f"boxes: row {row + 1}: {column.name} is {value!r}: expected {kind}")
    return values


def read_table(path: Path) -> pd.DataFrame:
    """Read a prediction that was written as .csv, .parquet or .json.

    Raises:
        UserError: it is missing, damaged or of another kind.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        # texts are not converted: an image may be called 007, a class NA
        ".csv": lambda file: pd.read_csv(file, dtype=TEXTS, keep_default_na=False, na_values=[""]),
        ".parquet": pd.read_parquet,
        ".json": lambda file: pd.read_json(file, dtype=TEXTS),
    }
    if path.suffix not in readers:
        raise UserError(f"{path}: expected boxes in a .csv, .parquet or .json file")
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected boxes of an earlier prediction")
    try:
        return readers[path.suffix](path)
    except Exception as error:  # pandas and pyarrow raise many kinds for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not readable as {path.suffix[1:].upper()}: {reason}") from None


class FaceFinder:
    """Finds and cuts out the faces of images as a model needs them.

    Args:
        spec: of the model, or the format alone.
        detector: finds faces.
        which: which of them to keep.
        known: from ``read_boxes``: taken instead of searching. All paths to a file count as the same file.
    """

    def __init__(
        self,
        spec: ModelSpec | FaceFormat,
        detector: Detector,
        which: Which,
        known: Mapping[tuple[str, int], list[KnownBox]] | None = None,
    ) -> None:
        self.spec, self.detector, self.which = spec, detector, which
        self.known = None if known is None else _by_file(known)

    def check_sources(self, sources: Sequence[str]) -> None:
        """Refuse boxes that belong to none of the inputs.

        Raises:
            UserError: naming one of either.
        """
        if self.known is None:
            return
        files = {file for file, _ in self.known}
        if sources and not any(os.path.realpath(source) in files for source in sources):
            named = f", such as {next(iter(files))}" if files else ""
            raise UserError(f"boxes: {len(files)} sources{named}: expected some of the inputs, {sources[0]}")

    def find(self, image: np.ndarray, source: str, frame: int | None) -> list[Face]:
        """Find and cut out faces.

        Args:
            image: (H, W, 3) uint8 RGB.
            source: of the image.
            frame: its number in a video, from 0; None for a still.

        Raises:
            UserError: the known boxes have none for it, or one outside it.
        """
        known = self.known
        boxes = self._detect(image) if known is None else self._recall(known, image, source, frame)
        written = [Box(*(float(f"{value:.9g}") for value in box)) for box in boxes]  # as files keep them
        return [Face(box, self._cut(image, box)) for box in self._chosen(written)]

    def _recall(
        self,
        known: Mapping[tuple[str, int], list[KnownBox]],
        image: np.ndarray,
        source: str,
        frame: int | None,
    ) -> list[Box]:
        where = source if frame is None else f"{source}, frame {frame}"
        found = known.get((os.path.realpath(source), -1 if frame is None else frame))
        if found is None:
            raise UserError(f"{where}: the boxes have no row for it; leave it out, or search without boxes")
        for row, box in found:
            sides = ",".join(f"{side:g}" for side in box[:4])
            _check_inside(box, image, f"{where}: row {row} of the boxes: {sides}")
            if self.which == "most_confident" and len(found) > 1 and np.isnan(box.score):
                raise UserError(
                    f"{where}: row {row} of the boxes has no score: the most confident is not known"
                )
        return [box for _, box in found]

    def _detect(self, image: np.ndarray) -> list[Box]:
        boxes = self.detector.detect(image)
        for box in boxes:
            if not np.isfinite(box[:4]).all():
                raise UserError(f"detector {self.detector.name} gives the box {box[:4]}: expected numbers")
        if not isinstance(self.detector, WholeImage):
            boxes = [box for box in boxes if min(box.width, box.height) >= SMALLEST]
        if isinstance(self.detector, CascadeDetector):
            boxes = [box for n, box in enumerate(boxes) if n == 0 or box.score >= FURTHER]
        return boxes

    def _chosen(self, boxes: list[Box]) -> list[Box]:
        if self.which == "all":
            return boxes
        best = largest_face(boxes) if self.which == "largest" else most_confident_face(boxes)
        return [best] if best is not None else []

    def _cut(self, image: np.ndarray, box: Box) -> np.ndarray:
        may_be_whole = self.known is not None or isinstance(self.detector, WholeImage)
        if may_be_whole and (box.width, box.height) == image.shape[1::-1]:
            return self._coloured(_resized(image, self.spec.face_size))
        crop = plan_crop(self.spec.crop, box, self.spec.face_size, image.shape)
        return self._coloured(crop.cut(image))

    def _coloured(self, face: np.ndarray) -> np.ndarray:
        if self.spec.colour == "rgb":
            return np.ascontiguousarray(face.transpose(2, 0, 1))
        return np.asarray(Image.fromarray(face).convert("L"))[None]


def _by_file(known: Mapping[tuple[str, int], list[KnownBox]]) -> dict[tuple[str, int], list[KnownBox]]:
    """Join all paths of a file; a repeated box (of an image named twice) is dropped."""
    found: dict[tuple[str, int], dict[tuple[float, ...], KnownBox]] = {}
    for (source, frame), boxes in known.items():
        here = found.setdefault((os.path.realpath(source), frame), {})
        for each in boxes:
            here.setdefault(each.box[:4], each)
    return {key: list(boxes.values()) for key, boxes in found.items()}


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    """Resize a whole image to a square; one of that size is returned unchanged."""
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def check_which(which: str) -> None:
    """Refuse another choice of faces.

    Raises:
        UserError: naming the nearest.
    """
    choices: Sequence[str] = ("all", "largest", "most_confident")
    if which not in choices:
        raise UserError(f"faces is '{which}'; {nearest(which, choices)}")
