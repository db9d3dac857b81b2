"""How RAN's trained networks weigh the regions of occluded faces, and whether they avoid the occluder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.datasets.protocols import protocol_rows, protocols_of
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.evaluation.agreement import agreement_row, agreement_table, sample_groups
from fer_repro.loading.regions import Box, region_boxes, region_names
from fer_repro.measures.intervals import mean_interval
from fer_repro.measures.saliency import region_coverage, spearman, weight_on_covered
from fer_repro.runs.loaded_run import load_run, look
from fer_repro.synthetic.factors import TRUTH, read_truth

Looked = dict[str, np.ndarray]


@dataclass(frozen=True)
class OccludedFaces:
    """Faces of a data set's list of occluded ones.

    Attributes:
        rows: (n,) of the sample table; all test faces where there is no such list.
        covered: (n, H, W) bool, the occluded pixels; None where they are not known.
    """

    rows: np.ndarray
    covered: np.ndarray | None


def common_boxes(crops: str) -> dict[str, Box]:
    """Name the boxes of a scheme that are the same for all faces, the whole face last.

    Args:
        crops: ``fixed`` or ``affectnet``, see ``fer_repro.loading.regions``.

    Raises:
        UserError: the scheme is unknown, or its boxes differ from face to face.
    """
    names = region_names(crops)
    if crops in ("random", "landmarks"):
        raise UserError(
            f"model.crops is '{crops}': its regions differ from face to face; expected fixed or affectnet"
        )
    left, top, right, bottom = region_boxes(crops, np.zeros(0, np.int64)).T.tolist()
    return dict(zip(names, zip(left, top, right, bottom, strict=True), strict=True))


def occluded_faces(store: Store, limit: int = 0) -> OccludedFaces:
    """Choose the faces of the occlusion list, with what is known of their pixels.

    Args:
        store: the data set.
        limit: at most so many, evenly spread; 0 takes all.
    """
    known = "occlusion" in protocols_of(store.samples)
    rows = protocol_rows(store.samples, "test", "occlusion" if known else "official")
    if limit and limit < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, limit).astype(np.int64)]
    if not (store.folder / TRUTH).is_file():
        return OccludedFaces(rows, None)
    truth = read_truth(store.folder)
    place = {int(row): i for i, row in enumerate(truth["samples"])}
    if "occluded" not in truth or not set(rows.tolist()) <= set(place):
        return OccludedFaces(rows, None)
    return OccludedFaces(rows, truth["occluded"][[place[row] for row in rows.tolist()]])


def occluded_regions(faces: OccludedFaces, boxes: Mapping[str, Box]) -> np.ndarray | None:
    """Measure which share of each region is occluded.

    Args:
        faces: from ``occluded_faces``.
        boxes: R regions, from ``common_boxes``.

    Returns:
        (n, R) in [0, 1]; None where the occluded pixels are not known.
    """
    return None if faces.covered is None else region_coverage(faces.covered, np.array(list(boxes.values())))


def region_weights(folders: Mapping[int, Path], store: Store, rows: np.ndarray) -> dict[int, Looked]:
    """Let the network of every seed weigh the regions of some faces.

    Args:
        folders: seed -> run of an arm with attention.
        store: the data set.
        rows: (n,) of the sample table.

    Returns:
        Seed -> ``alpha``, ``mu``, ``beta``, ``nu`` and ``weights``, all (n, R).
    """
    return {seed: look(load_run(folder, store), rows) for seed, folder in folders.items()}


def occlusion_agreement(
    weights: Mapping[str, Sequence[np.ndarray]],
    coverage: np.ndarray | None,
    faces: OccludedFaces,
    samples: pd.DataFrame,
    confidence: float,
    measure: str = "correlation",
) -> pd.DataFrame:
    """Measure for each weighting whether occluded regions weigh less, over seeds and faces.

    A network may prefer a region on every face, and that region may rarely be occluded. So each weighting
    is measured twice: as it is, and minus the mean weight of each region over the faces given, which leaves
    how it responds to the single face.

    Args:
        weights: name -> one (n, R) array per seed.
        coverage: (n, R) occluded shares; None where they are not known.
        faces: whose regions these are.
        samples: sample table, which names the persons.
        confidence: such as 0.95.
        measure: ``correlation`` or ``difference`` of ``weight_on_covered``.

    Returns:
        See ``agreement_table``; below zero: occluded regions weigh less. Empty where occlusion is not known.
    """
    if coverage is None:
        return agreement_table([])
    groups = sample_groups(samples, faces.rows)
    found = []
    for name, seeds in weights.items():
        centred = [each - each.mean(axis=0) for each in seeds]
        kinds = {name: seeds, f"{name}, minus the region's mean": centred}
        for kind, arrays in kinds.items():
            results = [weight_on_covered(array, coverage) for array in arrays]
            values = np.stack([getattr(result, f"{measure}s") for result in results])
            found.append(agreement_row(kind, values, groups, confidence))
    return agreement_table(found)


def region_means(weights: Mapping[str, np.ndarray], names: Sequence[str]) -> pd.DataFrame:
    """Average the weights of each region over faces.

    Args:
        weights: arm -> (n, R), such as ``mu``.
        names: R regions.

    Returns:
        ``arm``, ``region``, ``mean`` and ``deviation`` over faces.
    """
    tables = [
        pd.DataFrame({"arm": arm, "region": list(names), "mean": values.mean(0), "deviation": values.std(0)})
        for arm, values in weights.items()
    ]
    return pd.concat(tables, ignore_index=True)


STEPS = ("region", "correlation", "share", "mean", "low", "high")


def weights_by_cover(
    weights: np.ndarray, coverage: np.ndarray | None, names: Sequence[str], steps: int = 4
) -> pd.DataFrame:
    """Average each region's weight over faces with about the same share of it occluded.

    Args:
        weights: (n, R), such as ``mu``.
        coverage: (n, R) occluded shares; None where they are not known.
        names: R regions.
        steps: groups of about equally many occluded faces, next to the group of the other faces.

    Returns:
        ``STEPS``: a row per region and group with its mean ``share`` and the ``mean`` weight with its 95 %
        interval; ``correlation`` is Spearman's rho over all faces of the region, NaN where one of both does
        not vary. Empty where occlusion is not known.
    """
    rows = []
    pairs = [] if coverage is None else zip(names, coverage.T, weights.T, strict=True)
    for name, shares, values in pairs:
        touched = np.flatnonzero(shares > 0)
        groups = [np.flatnonzero(shares == 0), *np.array_split(touched[np.argsort(shares[touched])], steps)]
        rho = spearman(values, shares)
        for group in filter(len, groups):
            found = mean_interval(values[group], 0.95)
            rows.append((name, rho, float(shares[group].mean()), found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=list(STEPS))
