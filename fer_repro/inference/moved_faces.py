"""Synthetic faces with a factor changed: the same person with another expression, pose or occluder.

The faces of a synthetic data set have their factors in the sample table, so a row can be changed and
rendered again. Networks get the new image prepared exactly like the old ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fer_repro.datasets.store import Store
from fer_repro.errors import UserError, nearest
from fer_repro.loading.augmentation import clean_images
from fer_repro.runs.loaded_run import LoadedRun
from fer_repro.synthetic.expression import prototype
from fer_repro.synthetic.factors import FACTOR_COLUMNS
from fer_repro.synthetic.render import Rendered, render
from fer_repro.training.loop import logits_of

Row = dict[str, Any]
OCCLUDERS: dict[str, dict[str, float]] = {  # place of each occluder; kinds are those of the synthetic sets
    "none": {"occluder_x": 0.0, "occluder_y": 0.0, "occluder_angle": 0.0, "occluder_size": 0.0},
    "glasses": {"occluder_x": 0.0, "occluder_y": 0.0, "occluder_angle": 0.0, "occluder_size": 0.5},
    "sunglasses": {"occluder_x": 0.0, "occluder_y": 0.0, "occluder_angle": 0.0, "occluder_size": 0.5},
    "mask": {"occluder_x": 0.0, "occluder_y": 0.0, "occluder_angle": 0.0, "occluder_size": 0.5},
    "hand": {"occluder_x": 0.1, "occluder_y": -0.7, "occluder_angle": 10.0, "occluder_size": 0.7},
    "hair": {"occluder_x": 0.25, "occluder_y": 0.0, "occluder_angle": 0.0, "occluder_size": 0.7},
    "block": {"occluder_x": 0.0, "occluder_y": 0.1, "occluder_angle": 0.0, "occluder_size": 0.8},
}


def can_render_again(store: Store) -> bool:
    """Whether the faces of a data set are rendered, so that they can be rendered again."""
    return set(FACTOR_COLUMNS) <= set(store.samples.columns)


def with_expression(row: Mapping[str, Any], expression: str, intensity: float) -> Row:
    """Give a face another expression, as its class's first prototype has it.

    Args:
        row: factors of the face.
        expression: one of ``CLASSES``.
        intensity: 0 (neutral) to 1 (full).

    Raises:
        UserError: there is no such expression.
    """
    return {**row, **prototype(expression, intensity)}


def with_occluder(row: Mapping[str, Any], occluder: str) -> Row:
    """Add an occluder to a face, or remove it.

    Args:
        row: factors of the face.
        occluder: a key of ``OCCLUDERS``.

    Raises:
        UserError: there is no such occluder.
    """
    if occluder not in OCCLUDERS:
        raise UserError(f"occluder is '{occluder}'; {nearest(occluder, OCCLUDERS)}")
    return {**row, "occluder": occluder, "occluder_tone": 0.4, **OCCLUDERS[occluder]}


def with_yaw(row: Mapping[str, Any], yaw: float) -> Row:
    """Rotate a head by ``yaw`` degrees from the front, positive to the right of the image."""
    return {**row, "yaw": float(yaw)}


def course(frames: int, apex: int, reach: float = 3.0, peak: float = 0.95) -> np.ndarray:
    """Make the intensity of an expression that rises to one frame and falls again, (T,) in [0, 1].

    Args:
        frames: T.
        apex: the frame of the highest intensity, counted from 0.
        reach: frames from the apex to intensity 0.
        peak: intensity at the apex.
    """
    near = np.clip(1.0 - np.abs(np.arange(frames) - apex) / reach, 0.0, 1.0)
    return np.asarray(peak * near * near * (3.0 - 2.0 * near))


def render_like(rows: Sequence[Mapping[str, Any]], store: Store) -> Rendered:
    """Render faces in the size and colour of a data set.

    Args:
        rows: factors, one mapping per face.
        store: of the data set.
    """
    height, colour = store.images.shape[1], store.images.ndim == 4
    return render(pd.DataFrame(list(rows)), int(height), colour=colour)


def shown_as(run: LoadedRun, images: np.ndarray) -> tuple[Tensor, ...]:
    """Prepare images as the inputs of a trained network, without augmentation.

    Args:
        run: from ``load_run``.
        images: (N, H, W) or (N, H, W, 3) uint8; for a network of clips the N frames of one clip.

    Returns:
        What the network is called with.
    """
    faces = torch.from_numpy(np.ascontiguousarray(images))
    faces = faces.unsqueeze(1) if faces.ndim == 3 else faces.permute(0, 3, 1, 2)
    sized = clean_images(faces, run.config["recipe"]["image_size"])
    view = run.method.view(run.options)
    grouped = sized.unsqueeze(0) if view.in_clips else sized.unsqueeze(1)
    mask = torch.ones(grouped.shape[:2], dtype=torch.bool)
    return view.inputs(grouped, mask, np.zeros(grouped.shape[:2], np.int64), 0, 0)


def look_at_images(run: LoadedRun, images: np.ndarray) -> dict[str, np.ndarray]:
    """Run a trained network on images and return its answers and the tensors that explain them.

    Args:
        run: from ``load_run``.
        images: see ``shown_as``.

    Returns:
        ``probabilities`` (N, C), of a clip (1, C), and the tensors of the method's ``explain``.
    """
    inputs = shown_as(run, images)
    with torch.no_grad():
        found = {"probabilities": logits_of(run.network(*inputs)).softmax(dim=1)}
        found |= (run.method.explain(run.network, *inputs) if run.method.explain else None) or {}
    return {name: tensor.numpy() for name, tensor in found.items()}
