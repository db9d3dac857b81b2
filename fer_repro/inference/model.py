"""A model that is ready to use: ``predict``, ``embed``, ``verify`` and ``detect_manipulation``."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.datasets.faces import Detector
from fer_repro.errors import UserError
from fer_repro.inference.backends import Backend
from fer_repro.inference.faces_in import FaceFinder, Which, check_which, choose_detector, read_boxes
from fer_repro.inference.prediction_rows import WINDOW, Chunk, output_columns, predict_rows
from fer_repro.inference.sources import Input, list_inputs, look_at
from fer_repro.inference.spec import ModelSpec


@dataclass(frozen=True)
class Looking:
    """How images are analysed.

    Attributes:
        detector: ``cascade`` (OpenCV's, no download), ``yunet:FILE`` (finds rotated faces, too; see
            ``fer_repro.datasets.yunet``), ``none`` (each image is a face), a fixed box as
            ``left,top,right,bottom``, or anything with ``name`` and ``detect``; boxes are tight, see
            ``fer_repro.datasets.faces.Detector``.
        faces: which to keep: all, largest or most_confident; "" is all, but the largest for clips and
            manipulation.
        boxes: an earlier prediction, as a table or file, whose boxes are taken instead of searching;
            ``faces`` chooses among them, too. They are joined by file and frame. An input that has no row
            there, or a box outside it, is among the failed ones; rows of other sources are ignored.
        batch_size: faces that are computed together; 0 chooses by memory.
        every: of a video every so many frames.
        frames: of a video so many equally spaced frames; 0: by ``every``.
        window: most frames of a clip.
    """

    detector: "str | Detector" = "cascade"
    faces: str = ""
    boxes: "pd.DataFrame | str | Path | None" = None
    batch_size: int = 0
    every: int = 1
    frames: int = 0
    window: int = WINDOW

    def __post_init__(self) -> None:
        """Refuse numbers that are out of range."""
        least = {"batch_size": 0, "every": 1, "frames": 0, "window": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < lowest:
                raise UserError(f"{name} is {value!r}: expected a whole number from {lowest}")
        if self.faces:
            check_which(self.faces)

    def opened(self) -> "Looking":
        """The same with the detector itself for its name, so that it is opened once."""
        return replace(self, detector=choose_detector(self.detector))

    @property
    def finder(self) -> str:
        """What finds the faces: the detector's name with its settings, of YuNet with its file's SHA-256."""
        return choose_detector(self.detector).name if self.boxes is None else "boxes of an earlier prediction"


@dataclass(frozen=True)
class Verification:
    """Whether two faces are of one person.

    Attributes:
        score: cosine of the embeddings, in [-1, 1]; higher is more alike.
        threshold: from which it counts as one person; None if it was not measured.
        same: the answer, or None without a threshold.
        trained_on: the network's data, see ``Model.trained_on``.
    """

    score: float
    threshold: float | None
    same: bool | None
    trained_on: str


@dataclass
class Model:
    """A trained network with all that is needed to prepare images for it.

    Attributes:
        spec: what it is.
        backend: the runtime.
        made_of: distinguishes it from others of this spec: the state of its ONNX file, or ``fast``.
    """

    spec: ModelSpec
    backend: Backend = field(repr=False)
    made_of: str = field(default="", repr=False)

    @property
    def trained_on(self) -> str:
        """``synthetic faces``, the name of a data set, ``as published`` or ``unknown``."""
        return self.spec.trained_on

    @property
    def embeds(self) -> bool:
        """Whether the network has embeddings."""
        return "embedding" in self.backend.outputs

    def predict(self, inputs: Any, **looking: Any) -> pd.DataFrame:  # noqa: ANN401 - whatever a user has
        """Predict all faces of images and videos.

        Args:
            inputs: a path, folder, glob, video, array, batch or list, see
                ``fer_repro.inference.sources.list_inputs``.
            **looking: fields of ``Looking``.

        Returns:
            A row per face: source, frame, face (number in the image, -1: none), left, top, right, bottom
            and score of the box, box (``tight``: no margin), prediction, confidence, ``p_<class>``, and what
            else the network has: ``forgery_score``, ``weight_<region>``, ``clip`` and ``frame_weight``,
            ``embedding``; ``trained_on``, the network's data (if ``synthetic faces``, do not rely on it for
            photographs); ``note``. An answer that is not finite leaves its row empty, with a note.
            ``attrs["failed"]`` names inputs that could not be read or were not answered: source -> reason;
            ``attrs["detector"]`` what found the faces, with its settings.

        Raises:
            UserError: there is no input, or an argument is wrong.
        """
        rows: list[dict[str, Any]] = []
        failed: dict[str, str] = {}
        look = Looking(**looking).opened()
        for chunk in self.stream(list_inputs(inputs), look):
            rows += chunk.rows
            failed |= {each.source: each.reason for each in chunk.failed}
        table = as_table(rows, self.spec, failed, self.backend.outputs)
        table.attrs["detector"] = look.finder
        return table

    def stream(
        self,
        inputs: list[Input],
        looking: Looking,
        finished: Container[int] = frozenset(),
        begin: Mapping[int, int] | None = None,
    ) -> Iterator[Chunk]:
        """Predict in chunks, with one batch or clip in memory.

        Args:
            inputs: from ``list_inputs``.
            looking: how.
            finished: places in ``inputs`` that are skipped.
            begin: see ``look_at``.
        """
        if looking.batch_size:
            self.backend.batch = looking.batch_size
        known = read_boxes(looking.boxes) if looking.boxes is not None else None
        finder = FaceFinder(self.spec, choose_detector(looking.detector), self._which(looking), known)
        finder.check_sources([each.as_posix() if isinstance(each, Path) else each.source for each in inputs])
        events = look_at(inputs, finder.find, looking.every, looking.frames, finished, begin)
        return predict_rows(events, self.spec, self.backend, looking.window)

    def _which(self, looking: Looking) -> Which:
        if looking.faces:
            return looking.faces  # type: ignore[return-value]
        return "largest" if self.spec.shows == "frames" or self.spec.task == "manipulation" else "all"

    def embed(self, inputs: Any, **looking: Any) -> np.ndarray:  # noqa: ANN401 - whatever a user has
        """Embed the largest face of each image: (N, D) float32, not normalised.

        Raises:
            UserError: the network has no embeddings or its answer is not finite, or an image has no face or
                cannot be read.
        """
        if not self.embeds:
            raise UserError(f"{self.spec.name} has no embeddings; take a run of adacos or p2sgrad")
        table = self.predict(inputs, **{"faces": "largest", **looking})
        for reason in table.attrs["failed"].values():
            raise UserError(reason)
        empty = table[table["face"] < 0]
        if len(empty):
            source = empty["source"].iloc[0]
            raise UserError(f"no face found in {source}; detector none takes faces that are cut out already")
        return np.stack(table["embedding"].tolist())

    def verify(self, a: Any, b: Any, **looking: Any) -> Verification:  # noqa: ANN401 - whatever a user has
        """Compare two faces.

        Args:
            a: an image, see ``predict``; or its embedding, one row of floats.
            b: the other.
            **looking: fields of ``Looking``.

        Raises:
            UserError: see ``embed``; or two images were expected and there are others.
        """
        first, second = (self._vector(each, looking) for each in (a, b))
        lengths = np.linalg.norm(first) * np.linalg.norm(second)
        if len(first) != len(second) or not np.isfinite(lengths) or lengths == 0:
            raise UserError(
                f"embeddings of {len(first)} and {len(second)} numbers: expected one length, finite, not 0"
            )
        score = float(np.clip(first @ second / lengths, -1, 1))
        threshold = self.spec.threshold
        same = None if threshold is None else score >= threshold
        return Verification(score, threshold, same, self.trained_on)

    def _vector(self, given: Any, looking: dict[str, Any]) -> np.ndarray:  # noqa: ANN401
        if isinstance(given, np.ndarray) and given.dtype.kind == "f":
            if given.ndim > 2 or given.size != given.shape[-1]:
                raise UserError(f"floats of the shape {given.shape}: expected one embedding, (D,) or (1, D)")
            return given.astype(np.float64).reshape(-1)
        vectors = self.embed(given, **looking)
        if len(vectors) != 1:
            raise UserError(f"{len(vectors)} images where one was expected")
        vector: np.ndarray = vectors[0].astype(np.float64)
        return vector


def as_table(
    rows: list[dict[str, Any]], spec: ModelSpec, failed: Mapping[str, str], outputs: Sequence[str]
) -> pd.DataFrame:
    """Make the table of a model from its rows; columns of what the network does not give are left out."""
    columns = output_columns(spec, outputs)
    table = pd.DataFrame({name: _column(name, [row.get(name) for row in rows]) for name in columns})
    table.attrs["failed"] = dict(failed)
    return table


def _column(name: str, cells: list[Any]) -> Any:  # noqa: ANN401 - an array
    if name == "frame":
        return pd.array(cells, dtype="Int64")
    if name == "face":
        return np.array(cells, np.int64)
    if name in ("source", "box", "prediction", "clip", "trained_on", "note"):
        return pd.array(cells, dtype="str")
    return pd.Series(cells, dtype=object) if name == "embedding" else np.array(cells, np.float64)
