"""From faces to rows of a table: batches and clips through a network, in the order of the images."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fer_repro.datasets.image_files import listed
from fer_repro.errors import one_line
from fer_repro.inference.backends import Backend
from fer_repro.inference.faces_in import TIGHT, Face
from fer_repro.inference.sources import Done, Event, Failed, Seen
from fer_repro.inference.spec import ModelSpec

Row = dict[str, Any]
NO_FACE = "no face"
NOT_FINITE = "no answer: not finite"
WINDOW = 128  # frames
PATIENCE = 1000  # images without enough faces for a batch, after which rows are passed on
FIRST = ("source", "frame", "face", "left", "top", "right", "bottom", "score", "box")


@dataclass
class Chunk:
    """What was found since the previous chunk.

    Attributes:
        rows: finished rows, in order.
        failed: inputs that could not be read, or of which the network's answer is not finite.
        done: places of the inputs whose rows are complete.
        begin: place of each input that was analysed -> the frame after the last one whose rows are complete.
    """

    rows: list[Row] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    begin: dict[int, int] = field(default_factory=dict)


def output_columns(spec: ModelSpec, outputs: Sequence[str]) -> list[str]:
    """Name the columns of a model's table in order.

    Args:
        spec: of the model.
        outputs: names of what its network gives, see ``Backend``.
    """
    named = [*FIRST]
    if spec.classes:
        named += ["prediction", "confidence", *(f"p_{name}" for name in spec.classes)]
    if spec.task == "manipulation":
        named += ["forgery_score", "forgery_logit"]
    if "region_weights" in outputs:
        named += [f"weight_{name.replace(' ', '_')}" for name in spec.regions]
    if spec.shows == "frames":
        named += ["clip", "frame_weight"]
    return [*named, *(["embedding"] if "embedding" in outputs else []), "trained_on", "note"]


def predict_rows(
    events: Iterable[Event], spec: ModelSpec, backend: Backend, window: int = WINDOW
) -> Iterator[Chunk]:
    """Predict all faces; at most one batch or one clip is in memory.

    Args:
        events: what was analysed.
        spec: of the network.
        backend: the network.
        window: most frames of a clip; a longer one is cut into several.

    Yields:
        Rows in the order of the images, a row per face; an image without one has one row.
    """
    in_clips, chunk, faces = spec.shows == "frames", Chunk(), 0
    waiting: list[Seen] = []

    def close() -> Chunk:
        nonlocal chunk, waiting, faces
        chunk.rows += _rows_of(waiting, spec, backend, _clip_name(waiting) if in_clips else "")
        chunk.failed += [failed for row in chunk.rows if (failed := unanswered(row))]
        chunk.begin = {each.entry: 1 + (each.frame or 0) for each in waiting}
        full, chunk, waiting, faces = chunk, Chunk(), [], 0
        return full

    for event in events:
        if isinstance(event, Seen):
            if in_clips and waiting and event.clip != waiting[0].clip:
                yield close()
            waiting.append(event)
            faces += len(event.faces)
            enough = window if in_clips else backend.batch
            if faces >= enough or (len(waiting) >= PATIENCE and not in_clips):
                yield close()
        elif isinstance(event, Failed):
            chunk.failed.append(event)
        elif isinstance(event, Done):
            chunk.done.append(event.entry)
    yield close()


def note_missing_faces(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Pass chunks on; at the end name on stderr the inputs without any face."""
    has_face: dict[str, bool] = {}
    for chunk in chunks:
        for row in chunk.rows:
            has_face[row["source"]] = row["face"] >= 0 or has_face.get(row["source"], False)
        yield chunk
    without = [one_line(source) for source, found in has_face.items() if not found]
    if without:
        count = f"{len(without)} of {len(has_face)} inputs: " if len(without) > 1 else ""
        print(f"no face found in {count}{listed(without)}", file=sys.stderr, flush=True)


def unanswered(row: Row) -> Failed | None:
    """Report a row without an answer; None where there is one."""
    if row["note"] != NOT_FINITE:
        return None
    name, frame = one_line(row["source"]), "" if row["frame"] is None else f", frame {row['frame']}"
    return Failed(name, f"{name}{frame}: the network's answer is not a finite number (NaN or infinity)")


def _clip_name(seen: list[Seen]) -> str:
    """Name a part of a clip by its first image, wherever the call began."""
    if not seen:
        return ""
    first = seen[0]
    return f"{first.clip} from {Path(first.source).name if first.frame is None else first.frame}"


def _rows_of(seen: list[Seen], spec: ModelSpec, backend: Backend, clip: str) -> list[Row]:
    found = [(image, number) for image in seen for number in range(len(image.faces))]
    values: Iterator[Row] = iter(())
    if found:
        pixels = np.stack([image.faces[number].pixels for image, number in found])
        values = iter(_values(_run(backend, pixels, clip), spec, len(found), clip))
    rows = []
    for image in seen:
        if not image.faces:
            rows.append(_place(image, None, -1) | _end(spec, NO_FACE))
        for number, face in enumerate(image.faces):
            rows.append(_place(image, face, number) | next(values))
    return rows


def _run(backend: Backend, pixels: np.ndarray, clip: str) -> dict[str, np.ndarray]:
    """Run batches of the size the backend advises now; a clip is never cut here."""
    if clip or len(pixels) <= backend.batch:
        return backend.run(pixels)
    parts, at = [], 0
    while at < len(pixels):
        part = pixels[at : at + backend.batch]
        parts.append(backend.run(part))
        at += len(part)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _place(image: Seen, face: Face | None, number: int) -> Row:
    box = (*face.box, TIGHT) if face is not None else (None,) * 6
    return dict(zip(FIRST, (image.source, image.frame, number, *box), strict=True))


def _end(spec: ModelSpec, note: str) -> Row:
    return {"trained_on": spec.trained_on, "note": note}


def _values(output: dict[str, np.ndarray], spec: ModelSpec, count: int, clip: str) -> list[Row]:
    logits = output["logits"].astype(np.float64)  # (N, K), of a clip (1, K)
    answered = _answered(output, count, clip)
    known = np.where(np.isfinite(logits), logits, 0.0)
    shifted = np.exp(known - known.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    rows: list[Row] = []
    for n in range(count):
        k = 0 if clip else n
        if not answered[n]:
            rows.append(({"clip": clip} if clip else {}) | _end(spec, NOT_FINITE))
            continue
        row: Row = _classified(probabilities[k], spec) if spec.classes else {}
        if spec.task == "manipulation":
            row |= {"forgery_score": probabilities[k, 1], "forgery_logit": logits[k, 1] - logits[k, 0]}
        if "embedding" in output:
            row["embedding"] = output["embedding"][n]
        if "region_weights" in output:
            names = (f"weight_{name.replace(' ', '_')}" for name in spec.regions)
            row |= dict(zip(names, map(float, output["region_weights"][n]), strict=True))
        if clip:
            row["clip"] = clip
            weights = output.get("frame_weights")
            row["frame_weight"] = float(weights[0, n]) if weights is not None else None
        rows.append(row | _end(spec, ""))
    return rows


def _answered(output: dict[str, np.ndarray], count: int, clip: str) -> np.ndarray:
    """Find the faces that have finite numbers only, (N,) bool; the frames of a clip have one answer."""
    good = np.ones(count, bool)
    for values in output.values():
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        good &= finite if len(finite) == count and not clip else finite.all()
    return good


def _classified(probabilities: np.ndarray, spec: ModelSpec) -> Row:
    best = int(probabilities.argmax())
    named = {f"p_{name}": float(value) for name, value in zip(spec.classes, probabilities, strict=True)}
    return {"prediction": spec.classes[best], "confidence": float(probabilities[best]), **named}
