"""How well weights and maps agree with the ground truth, over seeds and items, and what values masks have.

Masks are compared with the pixels that an expression moves, which only synthetic faces know. Samples of one
person or of one recording are not independent: they are one group.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.datasets.store import Store
from fer_repro.measures.intervals import Scale, mean_shares, spread_interval
from fer_repro.measures.saliency import (
    MapCurve,
    enlarge,
    map_area_interval,
    map_precision_recall,
    single_maps,
)
from fer_repro.measures.variance_components import spread
from fer_repro.synthetic.factors import TRUTH, read_truth

COLUMNS = ("weights", "mean", "low", "high", "by_seed", "above_zero", "items", "of")


def agreement_row(
    name: str,
    values: np.ndarray,
    groups: np.ndarray | None,
    confidence: float,
    scale: Scale = "linear",
) -> dict[str, object]:
    """Average a measure over seeds and items, with an interval over both.

    Args:
        name: of what was measured.
        values: (S, N), one row per seed; items with NaN under any seed are left out.
        groups: (N,) group of each item, such as its person; None where items are independent.
        confidence: such as 0.95.
        scale: of the interval: ``logit`` for shares, ``artanh`` for correlations, ``linear`` for differences.

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
        found = spread_interval(spread(*mean_shares(kept, None), clusters), confidence, scale)
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
    for title, chosen in with_mean({name: values[kept] for name, values in maps.items()}).items():
        found = map_area_interval(chosen, truth, confidence, resamples)
        rows.append((title, found.value, found.low, found.high, truth.mean(), len(kept)))
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def with_mean(maps: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Add to each arm's maps their mean over all faces, repeated: a map that is the same for all faces.

    Args:
        maps: arm -> (n, h, w) or (n, 1, h, w).

    Returns:
        arm -> (n, h, w), and ``arm, mean`` after each.
    """
    found = {}
    for arm, values in maps.items():
        single = single_maps(np.asarray(values, np.float64))
        found[arm] = single
        found[f"{arm}, mean"] = np.repeat(single.mean(axis=0, keepdims=True), len(single), axis=0)
    return found


def areas_by_kind(maps: Mapping[str, NDArray], truths: NDArray | None, kinds: Sequence[str]) -> pd.DataFrame:
    """Average the area under precision and recall over the faces of each kind of manipulation.

    Args:
        maps: name -> (n, h, w).
        truths: (n, H, W) bool; faces without a manipulated pixel are left out; None where nothing is
            known.
        kinds: n names.

    Returns:
        ``kind``, ``faces``, ``chance`` (the manipulated share of a face), and a column per map; empty
        where nothing is known.
    """
    if truths is None:
        return pd.DataFrame()
    names = np.asarray(kinds)
    touched = truths.reshape(len(truths), -1).any(axis=1)
    rows = []
    for kind in dict.fromkeys(names[touched]):
        chosen = np.flatnonzero(touched & (names == kind))
        row: dict[str, object] = {"kind": kind, "faces": len(chosen), "chance": truths[chosen].mean()}
        for name, values in maps.items():
            faces = [(enlarge(values[i], *truths[i].shape), truths[i]) for i in chosen]
            row[name] = np.mean([curve.area for curve in _curves(faces)])
        rows.append(row)
    return pd.DataFrame(rows)


_GRID = np.linspace(0, 1, 201)
PRECISION = ("map", "recall", "precision", "low", "high", "area", "faces", "chance")


def precision_by_recall(maps: Mapping[str, NDArray], truths: NDArray | None) -> pd.DataFrame:
    """Average precision over recall of finding the true pixels over faces, at 201 recalls.

    Args:
        maps: name -> (n, h, w).
        truths: (n, H, W) bool; faces without a true pixel are left out; None where nothing is known.

    Returns:
        ``PRECISION``: the mean precision with its quarters over faces at each recall; the mean area under
        precision and recall, the number of faces and the true share of a face. Empty where nothing is known.
    """
    if truths is None or not truths.any() or not maps:
        return pd.DataFrame(columns=list(PRECISION))
    kept, tables = np.flatnonzero(truths.any(axis=(1, 2))), []
    for name, values in maps.items():
        found = _curves([(enlarge(values[i], *truths[i].shape), truths[i]) for i in kept])
        curves = np.array([_at_recalls(curve) for curve in found])
        low, high = np.quantile(curves, (0.25, 0.75), axis=0)
        area, chance = np.mean([curve.area for curve in found]), truths[kept].mean()
        cells = (name, _GRID, curves.mean(axis=0), low, high, area, len(kept), chance)
        tables.append(pd.DataFrame(dict(zip(PRECISION, cells, strict=True))))
    return pd.concat(tables, ignore_index=True)


def _curves(faces: Sequence[tuple[NDArray, NDArray]]) -> list[MapCurve]:
    return [map_precision_recall(heat[None], truth[None]) for heat, truth in faces]


def _at_recalls(curve: MapCurve) -> NDArray:
    """Precision at the first point that reaches each recall of the grid, or finds anything at all."""
    return curve.precision[np.searchsorted(curve.recall, np.maximum(_GRID - 1e-12, 1e-12))]


def mask_table(masks: Sequence[NDArray]) -> pd.DataFrame:
    """Summarise the mask values of each stage in numbers: how far can F · (1 + M) be from F?

    Args:
        masks: one (N, C, h, w) array per stage.
    """
    rows = []
    for i, values in enumerate(masks, start=1):
        m = values.astype(float)
        rows.append(
            {
                "stage": i, "channels": m.shape[1], "1/C": 1 / m.shape[1], "mean of M": m.mean(),
                "median of M": np.median(m), "99 % below": np.quantile(m, 0.99), "largest M": m.max(),
                "above 0.1 (%)": 100 * (m > 0.1).mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
