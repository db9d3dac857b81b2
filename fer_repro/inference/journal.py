"""Predictions on disk while they are made: a killed call continues, and memory does not grow with a video.

Rows go into a hidden ``.OUT.partial``, one JSON object per line, chunk by chunk. At the end they become CSV,
JSON or Parquet.
A journal of another model, other inputs or options is not continued, nor one whose inputs, boxes or model
were replaced.
"""

import csv
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, nearest, one_line
from fer_repro.files import atomic_write, file_state
from fer_repro.inference.faces_in import TIGHT, choose_detector, read_boxes
from fer_repro.inference.model import Looking, Model, as_table
from fer_repro.inference.prediction_rows import Chunk, Row, output_columns, unanswered
from fer_repro.inference.sources import Failed, Input
from fer_repro.inference.spec import ModelSpec
from fer_repro.spreadsheets import harmless
from fer_repro.terminal import fit_path

KINDS = (".csv", ".json", ".parquet")
ROWS_AT_ONCE = 4096
FORMAT = 3  # of the journal
ANSWERS = {"prediction": "answer", "forgery_score": "P(manipulated)", "embedding": "embedding"}
LONGEST_NAME = 44  # characters of a file's name on a terminal


class Journal:
    """The rows found so far.

    Args:
        out: the file they are for; the journal lies beside it.
        stamp: of model, inputs and options.
        resume: continue the journal of a killed call.
    """

    def __init__(self, out: Path, stamp: str, resume: bool = True) -> None:
        self.path = out.with_name(f".{out.name}.partial")
        if not resume:
            self.path.unlink(missing_ok=True)
        self.finished: set[int] = set()
        self.begin: dict[int, int] = {}
        self.failed: list[Failed] = []
        self._keep = self._read(stamp)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = self.path.open("r+" if self._keep else "w", encoding="utf-8")
        self._file.truncate(self._keep)
        self._file.seek(self._keep)
        if not self._keep:
            self._write([{"stamp": stamp}])

    def add(self, chunk: Chunk) -> None:
        """Write a chunk; one that is incomplete because the process was killed is ignored later."""
        rows = [{"row": {name: _plain(value) for name, value in row.items()}} for row in chunk.rows]
        self._write([*rows, {"done": chunk.done, "begin": chunk.begin}])

    def rows(self) -> Iterator[Row]:
        """Read all rows, one in memory at a time."""
        self._file.flush()
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                if "row" in entry:
                    yield entry["row"]

    def close(self, delete: bool) -> None:
        """Close it; delete it where its rows are in their file."""
        self._file.close()
        if delete:
            self.path.unlink(missing_ok=True)

    def _write(self, entries: Sequence[dict[str, Any]]) -> None:
        self._file.write("".join(f"{json.dumps(entry)}\n" for entry in entries))
        self._file.flush()

    def _read(self, stamp: str) -> int:
        """Read a journal of this very call; returns the number of its bytes in complete chunks."""
        if not self.path.is_file():
            return 0
        whole, at = 0, 0
        rows: list[Row] = []
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                at += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:
                    break  # killed while it wrote
                if number == 0 and entry.get("stamp") != stamp:
                    print(
                        f"{self.path}: of another model, inputs or options; started from the beginning",
                        file=sys.stderr,
                    )
                    return 0
                if "row" in entry:
                    rows.append(entry["row"])
                else:
                    self.failed += [failed for row in rows if (failed := unanswered(row))]
                    rows = []
                    self.finished.update(entry.get("done", []))
                    self.begin.update({int(place): frame for place, frame in entry.get("begin", {}).items()})
                    whole = at
        return whole


def predict_to(
    outs: Sequence[Path], model: Model, inputs: list[Input], looking: Looking, resume: bool = True
) -> Iterator[Chunk]:
    """Predict into files; memory stays at one batch, and a killed call continues.

    Args:
        outs: ``.csv``, ``.json`` or ``.parquet`` files; the journal lies beside the first.
        model: the network.
        inputs: from ``list_inputs``.
        looking: how images are analysed.
        resume: continue what a killed call has begun.

    Yields:
        Each chunk after it was written, for progress; the files are written at the end.

    Raises:
        UserError: the file is of another kind.
    """
    for out in outs:
        check_kind(out)
    looking = looking.opened()
    journal = Journal(outs[0], stamp_of(model, inputs, looking), resume)
    whole = False
    try:
        if journal.failed:
            yield Chunk(failed=journal.failed)
        for chunk in model.stream(inputs, looking, journal.finished, journal.begin):
            journal.add(chunk)
            yield chunk
        for out in outs:
            write_rows(out, model.spec, journal.rows(), model.backend.outputs, looking.finder)
        whole = True
    finally:
        journal.close(delete=whole)


def check_kind(out: Path) -> None:
    """Refuse a file of another kind than can be written.

    Raises:
        UserError: naming those that can.
    """
    if out.suffix not in KINDS:
        raise UserError(f"{out}: expected {' or '.join(KINDS)}; {nearest(out.suffix, KINDS)}")


def stamp_of(model: Model, inputs: list[Input], looking: Looking) -> str:
    """Hash what rows depend on: model, runtime, inputs and how they are analysed.

    Files enter by size and time of change; arrays, images in memory and boxes by their content.
    """
    boxes = "" if looking.boxes is None else str(read_boxes(looking.boxes))
    detector = choose_detector(looking.detector).name
    options = [detector, TIGHT, looking.faces, boxes, looking.every, looking.frames, looking.window]
    network = [model.spec.as_json(), model.backend.runtime, model.made_of]
    text = json.dumps([FORMAT, network, [_state_of(item) for item in inputs], options])
    return hashlib.sha256(text.encode()).hexdigest()


def _state_of(item: Input) -> list[Any]:
    if isinstance(item, Path):
        return file_state(item)
    if item.pixels is None:
        return [*file_state(Path(item.source)), item.clip]
    pixels = np.ascontiguousarray(item.pixels)
    return [item.source, item.frame, item.clip, pixels.shape, hashlib.sha256(pixels.data).hexdigest()]


def write_rows(
    out: Path, spec: ModelSpec, rows: Iterator[Row], outputs: Sequence[str] = (), detector: str = ""
) -> None:
    """Write rows in the format of the name's suffix, some thousand in memory at a time.

    Args:
        out: the file.
        spec: of the network.
        rows: of its table.
        outputs: names of what the network gives, see ``Backend``.
        detector: what found the faces; Parquet files keep it in their metadata.
    """
    with atomic_write(out) as temporary:
        if out.suffix == ".parquet":
            _write_parquet(temporary, spec, rows, outputs, detector)
        else:
            {".csv": _write_csv, ".json": _write_json}[out.suffix](temporary, spec, rows, outputs)


def _write_csv(path: Path, spec: ModelSpec, rows: Iterator[Row], outputs: Sequence[str]) -> None:
    columns = output_columns(spec, outputs)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([spreadsheet_cell(name, _cell(row.get(name))) for name in columns])


def _write_json(path: Path, spec: ModelSpec, rows: Iterator[Row], outputs: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, row in enumerate(rows):
            file.write(f"{',' if number else ''}\n{json.dumps(row)}")
        file.write("\n]\n")


def _write_parquet(
    path: Path, spec: ModelSpec, rows: Iterator[Row], outputs: Sequence[str], detector: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = list(islice(rows, ROWS_AT_ONCE))
    schema = pa.Schema.from_pandas(as_table(part, spec, {}, outputs), preserve_index=False)
    if "embedding" in outputs:  # where no image of the part has a face the column would be empty
        place = schema.get_field_index("embedding")
        schema = schema.set(place, pa.field("embedding", pa.list_(pa.float64())))
    schema = schema.with_metadata({**(schema.metadata or {}), "detector": detector})
    with pq.ParquetWriter(path, schema) as writer:
        while True:
            table = as_table(part, spec, {}, outputs)
            writer.write_table(pa.Table.from_pandas(table, schema, preserve_index=False))
            part = list(islice(rows, ROWS_AT_ONCE))
            if not part:
                break


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell
    """Make a cell JSON; nine digits bring every float32 back exactly."""
    if isinstance(value, np.ndarray):
        return [float(f"{number:.9g}") for number in value.tolist()]
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.9g}") if np.isfinite(value) else None  # JSON has no NaN
    return value


def spreadsheet_cell(column: str, value: Any) -> Any:  # noqa: ANN401 - a cell
    """Keep a spreadsheet from computing a name; a path leads to the same file as before."""
    plain = harmless(value) if isinstance(value, str) else value
    return f"./{value}" if column == "source" and plain != value else plain


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell
    if isinstance(value, list):
        return " ".join(f"{number:.9g}" for number in value)
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else value


def all_columns(table: pd.DataFrame) -> str:
    """Print a table as wide as it is: embeddings by their length, numbers with three digits."""
    shown = table.copy()
    if "embedding" in shown:
        shown["embedding"] = [_length(value) for value in shown["embedding"]]
    return shown.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="")


def main_columns(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Choose what fits a terminal: file, face, answer, confidence, what the network was trained on.

    Frames and notes are included where there are any.

    Returns:
        Headings, and a row of cells per face.
    """
    framed, noted = bool(table["frame"].notna().any()), bool(table["note"].fillna("").ne("").any())
    answers = next(name for name in ("prediction", "forgery_score", "embedding") if name in table)
    sure = "confidence" in table
    headings = ["file", *(["frame"] if framed else []), "face", ANSWERS[answers]]
    headings += [*(["confidence"] if sure else []), "trained on", *(["note"] if noted else [])]
    rows = []
    for row in table.to_dict("records"):
        cells = [one_line(_near(str(row["source"])))]
        cells += ["" if pd.isna(row["frame"]) else str(int(row["frame"]))] if framed else []
        cells += ["" if row["face"] < 0 else str(row["face"]), _answer(row[answers])]
        cells += ["" if pd.isna(row["confidence"]) else f"{row['confidence']:.1%}"] if sure else []
        cells.append(one_line(str(row["trained_on"])))
        rows.append(cells + ([str(row["note"] or "")] if noted else []))
    return headings, rows


def _answer(value: Any) -> str:  # noqa: ANN401 - a cell
    if isinstance(value, np.ndarray | list):
        return _length(value)
    return "" if pd.isna(value) else f"{value:.3f}" if isinstance(value, float) else one_line(str(value))


def _length(value: Any) -> str:  # noqa: ANN401 - a cell
    return f"{len(value)} numbers" if isinstance(value, np.ndarray | list) else ""


def _near(path: str) -> str:
    """Name a file below the current folder by its relative path; a terminal gets the end of long names."""
    here = f"{Path.cwd()}/"
    return fit_path(path.removeprefix(here), LONGEST_NAME) if sys.stdout.isatty() else path
