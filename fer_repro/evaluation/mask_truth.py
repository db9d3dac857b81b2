"""Whether masks are bright where an expression moves the face: only drawn faces know where that is."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.datasets.store import Store
from fer_repro.measures.saliency import map_area_interval
from fer_repro.synthetic.drawn import TRUTH, read_truth

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
    """Score maps as detectors of the moving pixels, beside their own mean, which looks at no single face.

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
