"""Class activation maps of any run, scored against the pixels that an expression moves.

Inspired by Gund, Bharadwaj, Nwogu (ICPR 2020), who compare such maps with action units by eye. Where the
truth is known, as in synthetic faces, each face has a number, the area under precision and recall, and so
have the controls: an untrained network of the same shape, and a map that only knows the image's middle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.evaluation.agreement import agreement_row, agreement_table, moving_areas, sample_groups
from fer_repro.layers.activations import last_maps
from fer_repro.measures.activation import class_maps
from fer_repro.measures.saliency import map_precision_recall, smooth
from fer_repro.runs.loaded_run import LoadedRun, load_run, look

CENTRE, UNTRAINED = "centre", "untrained"


def class_activations(
    folders: Mapping[str, Mapping[int, Path]], store: Store, rows: NDArray
) -> dict[str, NDArray[np.float64]]:
    """Score the class activation maps of arms, and those of the controls, on every face.

    Args:
        folders: arm -> seed -> run.
        store: the data set they were trained on.
        rows: (n,) of its sample table.

    Returns:
        Name -> (S, n) average precision, NaN for a face without a true pixel: the arms; the first arm's
        network with initial weights of the same seeds; ``CENTRE``, see ``centre_maps``; and the truth itself,
        averaged to as many places as the first arm's maps have. Empty where the truth is not known.

    Raises:
        UserError: see ``maps_of_run``.
    """
    truths = moving_areas(store, rows)
    if truths is None:
        return {}
    found = {}
    for arm, runs in folders.items():
        found[arm] = np.stack([face_areas(maps_of_run(runs[s], store, rows), truths) for s in runs])
    first, runs = next(iter(folders.items()))
    untrained = [maps_of_run(runs[seed], store, rows, seed) for seed in runs]
    found[f"{first}, {UNTRAINED}"] = np.stack([face_areas(maps, truths) for maps in untrained])
    count, height, width = untrained[0].shape
    fixed = {
        CENTRE: centre_maps(count, *truths.shape[1:]),
        f"truth at {height} × {width}": smooth(truths, height, width),
    }
    return found | {
        name: np.repeat(face_areas(maps, truths)[None], len(runs), 0) for name, maps in fixed.items()
    }


def maps_of_run(
    folder: Path | str, store: Store, rows: NDArray, untrained: int | None = None
) -> NDArray[np.float64]:
    """Compute the class activation map of each face's true class.

    Args:
        folder: of one seed and arm, of any method whose network takes single images.
        store: the data set it was trained on.
        rows: (n,) of its sample table.
        untrained: seed of the initial weights of a network of the same shape to take instead.

    Returns:
        (n, h, w), as small as the network's last maps are.

    Raises:
        UserError: the network does not end in the mean over places and one linear layer; names the arms of
            its method that do. See also ``load_run`` and ``look``.
    """
    run = load_run(folder, store)
    if run.method.inputs in ("frames", "sequences"):
        raise UserError(
            f"{folder}: no class activation maps: {run.method.name} takes {run.method.inputs}, not images"
        )
    if untrained is not None:
        run = replace(run, network=untrained_network(run, run.config["arm"], untrained))
    try:
        maps = look(run, np.asarray(rows), _class_maps)["maps"]
    except _NoMapsError as error:
        ends = ", ".join(arm for arm in run.method.arms if _has_maps(run, arm)) or "none of them"
        raise UserError(
            f"{folder}: no class activation maps: {error}; arms of {run.method.name} that have them: {ends}"
        ) from None
    return maps[np.arange(len(rows)), run.table["label"].to_numpy(np.int64)[rows]]


def centre_maps(count: int, height: int, width: int) -> NDArray[np.float32]:
    """Make maps that fall with the distance from the middle: (count, height, width), the same for all faces.

    Only the order of a map's values counts, so it is a blob of any width.
    """
    down, across = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    blob = -(down[:, None] ** 2 + across[None, :] ** 2)
    return np.repeat(blob[None].astype(np.float32), count, axis=0)


def face_areas(maps: NDArray, truths: NDArray) -> NDArray[np.float64]:
    """Measure the average precision of each face's map against its true pixels.

    Args:
        maps: (n, h, w), enlarged bilinearly.
        truths: (n, H, W) bool.

    Returns:
        (n,), NaN where no pixel is true.
    """
    return np.array([map_precision_recall(maps[i : i + 1], truths[i : i + 1]).area for i in range(len(maps))])


def areas_by_class(areas: Mapping[str, NDArray], store: Store, rows: NDArray) -> pd.DataFrame:
    """Average over seeds and over the faces of each class, and over all of them.

    Args:
        areas: from ``class_activations``.
        store: the data set.
        rows: (n,) of its sample table.

    Returns:
        ``class``, ``faces`` with a true pixel, ``chance`` (the true share of an image) and a column for each
        map, in [0, 1]; empty where nothing is known.
    """
    truths = moving_areas(store, rows)
    if not areas or truths is None:
        return pd.DataFrame()
    touched, labels = truths.any(axis=(1, 2)), store.samples["label"].to_numpy()[rows]
    groups = {name: touched & (labels == label) for label, name in enumerate(store.classes)}
    table = []
    for name, chosen in {**groups, "all": touched}.items():
        if chosen.any():
            means = {kind: values[:, chosen].mean() for kind, values in areas.items()}
            table.append({"class": name, "faces": chosen.sum(), "chance": truths[chosen].mean(), **means})
    return pd.DataFrame(table)


def gains_over_controls(
    areas: Mapping[str, NDArray], arms: Sequence[str], store: Store, rows: NDArray, confidence: float
) -> pd.DataFrame:
    """Subtract the average precision of the untrained network and of the centre from the arms', face by face.

    Args:
        areas: from ``class_activations``.
        arms: names among them.
        store: the data set.
        rows: (n,) of its sample table.
        confidence: of the intervals over seeds and people, such as 0.95.

    Returns:
        See ``agreement_row``: a row for each arm and control; empty where nothing is known.
    """
    groups = sample_groups(store.samples, np.asarray(rows))
    controls = [name for name in areas if name == CENTRE or name.endswith(UNTRAINED)]
    gains = {f"{arm} − {other}": areas[arm] - areas[other] for arm in arms for other in controls}
    return agreement_table([agreement_row(name, each, groups, confidence) for name, each in gains.items()])


class _NoMapsError(Exception):
    """A network that ends otherwise."""


def _class_maps(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    try:
        found = last_maps(network, images)
    except UserError as error:
        raise _NoMapsError(str(error)) from None
    return {"maps": torch.from_numpy(class_maps(found.maps.numpy(), found.weight.numpy()))}


def untrained_network(run: LoadedRun, arm: str, seed: int) -> nn.Module:
    """Build a network like a run's with the initial weights of a seed, in evaluation mode.

    Other random numbers stay as they would have been.

    Args:
        run: from ``load_run``.
        arm: of its method.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return run.method.build_model(arm, run.options, len(run.classes), pretrained=False).eval()


def _has_maps(run: LoadedRun, arm: str) -> bool:
    try:
        look(replace(run, network=untrained_network(run, arm, 0)), np.zeros(1, np.int64), _class_maps)
    except (UserError, _NoMapsError):
        return False
    return True
