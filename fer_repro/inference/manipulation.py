"""Answers in one call: are two faces one person, is a face manipulated?

As in arXiv:2004.07676 logits are averaged over the networks for each frame, and over the frames for the
video; one sigmoid at the end. The detector runs once, and all networks use the same boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.errors import UserError
from fer_repro.inference.loading import load
from fer_repro.inference.model import Model, Verification

FRAMES = 32  # per video, as in the paper


@dataclass(frozen=True)
class Manipulation:
    """The answer of an ensemble about a video.

    Attributes:
        source: the video.
        score: P(manipulated), in [0, 1].
        manipulated: score above one half.
        networks: name -> score of each network alone.
        frames: a row per frame with a face: frame, box, the ensemble's ``forgery_score``, and each network's
            logit.
        trained_on: the networks' data, see ``Model.trained_on``; several by commas.
    """

    source: str
    score: float
    manipulated: bool
    networks: dict[str, float]
    frames: pd.DataFrame
    trained_on: str


def detect_manipulation(
    video: Any,  # noqa: ANN401 - whatever a user has
    models: "Sequence[Model | str | Path] | Model | str | Path",
    frames: int = FRAMES,
    **looking: Any,  # noqa: ANN401 - fields of Looking
) -> Manipulation:
    """Score a video, or an image, by the mean logit of several networks.

    Example: ``fer_repro.detect_manipulation("clip.mp4", ["runs/ffpp/efficientnet/0/plain",
    "runs/ffpp/efficientnet/0/attention"])``

    Args:
        video: its path, or its frames (N, H, W, 3) uint8 RGB.
        models: networks trained for manipulation, or where they are, see ``load``.
        frames: equally spaced frames of a video.
        **looking: further fields of ``fer_repro.inference.model.Looking``.

    Raises:
        UserError: a network is for another task, the video cannot be read, or no face is found in it.
    """
    members = _members([models] if isinstance(models, str | Path | Model) else models)
    tables: list[pd.DataFrame] = []
    options = {"faces": "largest", "frames": frames, **looking}
    for model in members.values():
        found = model.predict(video, **options)
        for reason in found.attrs["failed"].values():
            raise UserError(reason)
        tables.append(found[found["face"] >= 0].reset_index(drop=True))
        options["boxes"] = found  # the networks that follow use the same boxes
    sources = found["source"].unique().tolist()
    if len(sources) != 1:
        raise UserError(f"{len(sources)} videos or images where one was expected; score one after the other")
    source = str(sources[0])
    if tables[0].empty:
        where = f"{source}, {len(found)} frames" if len(found) > 1 else source
        raise UserError(f"no face found in {where}; detector none takes frames as they are")
    logits = np.stack([table["forgery_logit"] for table in tables], axis=1)  # (F, M)
    columns = ["source", "frame", "left", "top", "right", "bottom", "box"]
    shown = tables[0][columns].assign(
        forgery_score=_sigmoid(logits.mean(axis=1)),
        **{f"logit {name}": logits[:, m] for m, name in enumerate(members)},
    )
    score = float(_sigmoid(logits.mean()))
    alone = {name: float(_sigmoid(logits[:, m].mean())) for m, name in enumerate(members)}
    data = ", ".join(dict.fromkeys(model.trained_on for model in members.values()))
    return Manipulation(source, score, score > 0.5, alone, shown, data)


def _members(models: "Sequence[Model | str | Path]") -> dict[str, Model]:
    if not models:
        raise UserError("no network given; expected at least one that was trained for manipulation")
    members: dict[str, Model] = {}
    for given in models:
        model = given if isinstance(given, Model) else load(given)
        if model.spec.task != "manipulation":
            raise UserError(
                f"{model.spec.name} was trained for {model.spec.task}; expected networks for manipulation"
            )
        members[_free(model.spec.name, members)] = model
    return members


def _free(name: str, taken: "dict[str, Model]") -> str:
    """Number networks of one name: "name", "name 2", ..."""
    names = (name, *(f"{name} {number}" for number in range(2, len(taken) + 2)))
    return next(each for each in names if each not in taken)


def _sigmoid(values: Any) -> Any:  # noqa: ANN401 - a number or an array
    return np.exp(-np.logaddexp(0.0, -np.asarray(values, np.float64)))


def verify(a: Any, b: Any, model: "Model | str | Path", **looking: Any) -> Verification:  # noqa: ANN401
    """Compare two faces.

    Example: ``fer_repro.verify("a.jpg", "b.jpg", "runs/synthetic_pairs/adacos/0/dynamic")``

    Args:
        a: an image, an array, or an embedding.
        b: the other.
        model: a network with embeddings, or where it is, see ``load``.
        **looking: fields of ``fer_repro.inference.model.Looking``.

    Raises:
        UserError: the model has no embeddings, or an image has no face.
    """
    opened = model if isinstance(model, Model) else load(model)
    return opened.verify(a, b, **looking)
