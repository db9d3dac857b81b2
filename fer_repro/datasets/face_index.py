"""The faces of many videos in one Parquet file: what a detector found, so that the search is not repeated.

One row per face with the columns of the authors' index that mean something without their stored images
(arXiv:2004.07676, their code); theirs is a pickle, which is never read here. Boxes are in pixels of the
frame. The file's metadata name the detector, how many frames of each video it searched, and in ``box`` what
its boxes are: ``tight`` (see ``fer_repro.datasets.faces.Detector``), or with ``margin`` as the authors' are.
The column ``sha256`` identifies the file of the faces; a user's own index may have no such column, then
files are matched by name.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fer_repro.datasets.faces import Box
from fer_repro.datasets.names import composed
from fer_repro.errors import UserError, nearest

FACES = "faces.parquet"
BOXES = ("tight", "margin")
_BEFORE = "haar alt2+default+profile side="
"""The cascades, when their boxes had a margin and the index did not record it."""
SCHEMA = pa.schema(
    [
        ("video", pa.string()),  # path below the data set's folder
        ("frame", pa.int32()),  # from 0
        ("videosubject", pa.int16()),  # 0: the face that is cut out; then the others
        ("nfaces", pa.int16()),  # faces of the frame
        ("left", pa.float32()),
        ("top", pa.float32()),
        ("right", pa.float32()),
        ("bottom", pa.float32()),
        ("conf", pa.float32()),  # the detector's score, on its own scale
    ]
)
DIGEST = pa.field("sha256", pa.string())  # of the video
_NUMBERS = tuple(SCHEMA.names[1:])
_SIDES = ("left", "top", "right", "bottom")


@dataclass
class FaceIndex:
    """What a detector found.

    Attributes:
        detector: its name with its settings.
        frames: how many equally spaced frames of each video it searched.
        box: one of ``BOXES``, of all faces.
        faces: video -> (F, 8) float32, the columns of ``SCHEMA`` behind the video, by frame and videosubject.
        digests: video -> sha256 of its file, where it is known.
    """

    detector: str
    frames: int
    box: str = "margin"
    faces: dict[str, np.ndarray] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def add(self, video: str, found: Mapping[int, Sequence[Box]], digest: str = "") -> None:
        """Note the faces of a video: frame -> boxes, the one that is cut out first; without faces no row."""
        rows = [
            (frame, number, len(boxes), *box)
            for frame, boxes in sorted(found.items())
            for number, box in enumerate(boxes)
        ]
        if rows:
            self.faces[composed(video)] = np.array(rows, np.float32)
            self.digests |= {composed(video): digest} if digest else {}

    def boxes(self, video: str) -> dict[int, list[Box]] | None:
        """Faces of a video by frame, the one that is cut out first; None if it has no row."""
        video = composed(video)
        if video not in self.faces:
            return None
        found: dict[int, list[Box]] = defaultdict(list)
        for frame, _, _, *box in self.faces[video].tolist():
            found[int(frame)].append(Box(*box))
        return dict(found)

    def table(self) -> pd.DataFrame:
        """All rows, typed as in the file."""
        empty = np.empty((0, len(_NUMBERS)), np.float32)
        numbers = np.concatenate([empty, *self.faces.values()])
        videos = np.repeat(np.array(list(self.faces), object), [len(rows) for rows in self.faces.values()])
        kinds = (SCHEMA.field(name).type.to_pandas_dtype() for name in _NUMBERS)
        columns = {
            name: column.astype(kind) for name, column, kind in zip(_NUMBERS, numbers.T, kinds, strict=True)
        }
        digests = {DIGEST.name: [self.digests.get(video, "") for video in videos]} if self.digests else {}
        return pd.DataFrame({"video": videos, **columns, **digests})


def write_face_index(path: Path, index: FaceIndex) -> None:
    """Write the index as Parquet."""
    schema = SCHEMA.append(DIGEST) if index.digests else SCHEMA
    table = pa.Table.from_pandas(index.table(), schema, preserve_index=False)
    metadata = {"detector": index.detector, "frames": str(index.frames), "box": index.box}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def read_face_index(path: Path) -> FaceIndex:
    """Read and check an index; columns that are not in ``SCHEMA`` are left out.

    Raises:
        UserError: naming the file, the column or row, and what was expected there.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected an index of faces") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not readable as Parquet: {' '.join(str(error).split())}") from None
    metadata = {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in (table.schema.metadata or {}).items()
    }
    frames = metadata.get("frames", "")
    if not (frames.isascii() and frames.isdigit() and int(frames[:9]) > 0):
        raise UserError(f"{path}: metadata 'frames' is {frames!r}: expected how many frames of each video")
    detector = metadata.get("detector", "")
    box = metadata.get("box", "margin" if detector.startswith(_BEFORE) else "")
    if box not in BOXES:
        raise UserError(
            f"{path}: metadata 'box' is {box!r}: expected 'tight' (forehead, chin and cheeks, nothing more) "
            "or 'margin' (with the margin of arXiv:2004.07676)"
        )
    kinds = [*SCHEMA, *([DIGEST] if DIGEST.name in table.column_names else [])]
    faces = pd.DataFrame({kind.name: _column(table, kind, path) for kind in kinds})
    _check_rows(faces, path)
    faces = faces.sort_values(["video", "frame", "videosubject"], kind="stable")
    numbers = faces[list(_NUMBERS)].to_numpy(np.float32)
    videos, starts = np.unique(faces["video"].to_numpy(object), return_index=True)
    parts = (
        dict(zip(map(composed, videos), np.split(numbers, starts[1:]), strict=True)) if len(videos) else {}
    )
    return FaceIndex(detector, int(frames), box, parts, _digests(faces, path))


def _digests(faces: pd.DataFrame, path: Path) -> dict[str, str]:
    if DIGEST.name not in faces:
        return {}
    known = faces[["video", DIGEST.name]].drop_duplicates()
    twice = known["video"].duplicated()
    if twice.any():
        video = known["video"][twice].iloc[0]
        raise UserError(f"{path}: {video}: its rows have several values of {DIGEST.name}: expected one")
    rows = zip(known["video"], known[DIGEST.name], strict=True)
    return {composed(str(video)): str(digest) for video, digest in rows if digest}


def _column(table: pa.Table, kind: pa.Field, path: Path) -> np.ndarray:
    if kind.name not in table.column_names:
        raise UserError(
            f"{path}: column '{kind.name}' is missing; expected {', '.join(SCHEMA.names)}; "
            f"{nearest(kind.name, table.column_names)}"
        )
    column = table.column(kind.name)
    try:
        values = column.cast(kind.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UserError(f"{path}: column '{kind.name}' holds {column.type}: expected {kind.type}") from None
    if values.null_count:
        row = int(np.argmax(values.is_null().to_numpy()))
        raise UserError(f"{path}: row {row}: {kind.name} is empty: expected {kind.type}")
    return values.to_numpy()


def _check_rows(table: pd.DataFrame, path: Path) -> None:
    sides = table[list(_SIDES)].to_numpy(float)
    rules = {
        "box is not left < right and top < bottom, finite": np.isfinite(sides).all(axis=1)
        & (sides[:, 0] < sides[:, 2])
        & (sides[:, 1] < sides[:, 3]),
        "conf is not finite": np.isfinite(table["conf"].to_numpy(float)),
        "frame is below 0": table["frame"].to_numpy() >= 0,
        "videosubject is not below nfaces": (table["videosubject"] >= 0).to_numpy()
        & (table["videosubject"] < table["nfaces"]).to_numpy(),
        "this face is there twice": ~table.duplicated(["video", "frame", "videosubject"]).to_numpy(),
    }
    for fault, good in rules.items():
        if not good.all():
            row = int(np.argmin(good))
            face = table.iloc[row]
            raise UserError(f"{path}: row {row}: {face['video']}, frame {face['frame']}: {fault}")
