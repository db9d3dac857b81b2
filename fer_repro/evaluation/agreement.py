"""How well weights and maps agree with the ground truth, over seeds and items, as rows of one table.

Masks are compared with the pixels that an expression moves, which only synthetic faces know. Samples of one
person or of one recording are not independent: they are one group.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.datasets.store import Store
from fer_repro.measures.intervals import mean_shares, spread_interval
from fer_repro.measures.saliency import map_area_interval
from fer_repro.measures.variance_components import spread
from fer_repro.synthetic.factors import TRUTH, read_truth

COLUMNS = ("weights", "mean", "low", "high", "by_seed", "above_zero", "items", "of")


def agreement_row(
    name: str, values: np.ndarray, groups: np.ndarray | None, confidence: float
) -> dict[str, object]:
    """Average a measure over seeds and items, with an interval over both.

    Args:
        name: of what was measured.
        values: (S, N), one row per seed; items with NaN under any seed are left out.
        groups: (N,) group of each item, such as its person; None where items are independent.
        confidence: such as 0.95.

    Returns:
        ``COLUMNS``: name, mean and interval (Student's t over seeds and groups), the means of the seeds, the
        share of items whose mean over seeds is above zero (%), how many items count, of how many.
    """
    numbers = np.asarray(values, np.float64)
    used = np.asarray(~np.isnan(numbers).any(axis=0))
    kept = numbers[:, used]
    mean, low, high = (float("nan"),) * 3
    clusters = None if groups is None else groups[used]
    independent = used.sum() if clusters is None else len(np.unique(clusters))
    if kept.shape[1]:
        mean = float(kept.mean())
    if independent > 1:
        found = spread_interval(spread(*mean_shares(kept, None), clusters), confidence)
        low, high = found.low, found.high
    seeds = tuple(float(row.mean()) for row in kept) if kept.shape[1] else ()
    above = 100 * float((kept.mean(axis=0) > 0).mean()) if kept.shape[1] else float("nan")
    cells = (name, mean, low, high, seeds, above, int(used.sum()), len(used))
    return dict(zip(COLUMNS, cells, strict=True))


def agreement_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Put rows under each other, in ``COLUMNS``; an empty table where there are none."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


_FROM = ("subject", "original", "clip")
"""Columns that name groups, the first known one counts: person, video a manipulation was made from, clip."""


def sample_groups(samples: pd.DataFrame, rows: np.ndarray) -> np.ndarray | None:
    """Group samples by person, else by original video or clip; a sample without these is its own group.

    Args:
        samples: the sample table.
        rows: (N,) positions in it.

    Returns:
        (N,) int64 numbers of groups; None where every sample is its own or all are of one group, so that
        groups add no information.
    """
    names = np.array([f"row {row}" for row in rows], object)
    for column in reversed(_FROM):
        if column in samples:
            known = samples[column].to_numpy(object)[rows]
            names = np.where(known != "", [f"{column} {name}" for name in known], names)
    if "original" in samples:  # the real video belongs to what was made from it
        clips = samples["clip"].to_numpy(object)[rows]
        bare = np.array([str(name).startswith("clip ") for name in names])
        names = np.where(bare, [f"original {clip}" for clip in clips], names)
    found, numbers = np.unique(names.astype(str), return_inverse=True)
    return numbers.astype(np.int64) if 1 < len(found) < len(rows) else None


AGREEMENT = ("map", "area", "low", "high", "chance", "faces")


def moving_areas(store: Store, rows: NDArray) -> NDArray | None:
    """Read which pixels differ from the same face without its expression, (n, H, W) bool.

    Args:
        store: the data set.
        rows: (n,) of its sample table.

    Returns:
        None where this is not known of every row.
    """
    if not (store.folder / TRUTH).is_file():
        return None
    truth = read_truth(store.folder)
    places = pd.Index(truth["samples"]).get_indexer(pd.Index(rows))
    known = "expressive" in truth and bool((places >= 0).all())
    return truth["expressive"][places] if known else None


def mask_agreement(
    maps: Mapping[str, NDArray], areas: NDArray | None, confidence: float, resamples: int
) -> pd.DataFrame:
    """Score maps as detectors of the moving pixels, next to their own mean, which is the same for all faces.

    Args:
        maps: name -> (n, h, w), higher where more.
        areas: (n, H, W) bool; faces without a moving pixel are left out; None where nothing is known.
        confidence: such as 0.95.
        resamples: of the faces.

    Returns:
        Two rows per map, it and its mean over faces: ``map``, ``area`` under precision and recall with the
        bounds ``low`` and ``high`` of its interval over faces, ``chance``, the share of moving pixels, and
        ``faces``. Empty where nothing moves.
    """
    kept = np.zeros(0, np.int64) if areas is None else np.flatnonzero(areas.any(axis=(1, 2)))
    if areas is None or not len(kept):
        return pd.DataFrame(columns=list(AGREEMENT))
    truth, rows = areas[kept], []
    for name, values in maps.items():
        own = np.asarray(values, np.float64)[kept]
        mean = np.repeat(own.mean(axis=0, keepdims=True), len(own), axis=0)
        for title, chosen in ((name, own), (f"{name}, mean", mean)):
            found = map_area_interval(chosen, truth, confidence, resamples)
            rows.append((title, found.value, found.low, found.high, truth.mean(), len(kept)))
    return pd.DataFrame(rows, columns=list(AGREEMENT))
