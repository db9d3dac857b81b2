"""Masks beside the pixels that an expression moves; where these are not known, it is said."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import median_filter

from fer_repro.report.display import Shown, say, show_figure, show_table
from fer_repro.report.tables import Column
from fer_repro.report.truth import truth_overlay

Array = np.ndarray
UNKNOWN = "Which pixels the expressions move is not known of these faces; nothing can be compared."


def show_moving(
    images: Array, maps: Mapping[str, Array], areas: Array | None, titles: Sequence[str]
) -> Shown:
    """Show maps over faces with the moving pixels outlined.

    Args:
        images: (n, H, W) or (n, H, W, 3), uint8.
        maps: title of a column -> (n, h, w).
        areas: (n, H, W) bool; None where they are not known.
        titles: n names.
    """
    if areas is None:
        return say(UNKNOWN)
    caption = (
        "Outlined: pixels that differ from the same face without its expression, lone ones left out. Below "
        "each map the area under precision and recall (PR-AUC) of finding them by its value, and chance."
    )
    words = f"{len(images)} faces, {', '.join(titles)}, with {', '.join(maps)} as colour over them."
    calm = median_filter(areas.astype(np.uint8), size=(1, 3, 3)) > 0
    return show_figure(truth_overlay(images, maps, calm, titles, "what moves"), caption, words)


def show_agreement_of_masks(table: pd.DataFrame, confidence: float) -> Shown:
    """Show the areas under precision and recall of all maps and of their means.

    Args:
        table: ``map``, ``area``, ``low``, ``high``, ``chance`` and ``faces``.
        confidence: of the intervals.
    """
    if table.empty:
        return say(UNKNOWN)
    bounds = zip(table["low"], table["high"], strict=True)
    shown = table.assign(interval=[f"{low:.2f} to {high:.2f}" for low, high in bounds])
    columns = (
        Column("map", "Map"),
        Column("area", "PR-AUC", "number"),
        Column("interval", "Interval", "range"),
        Column("chance", "Chance", "number"),
        Column("faces", "Faces", "count"),
    )
    caption = (
        "How well each map finds the moving pixels, all faces together, with the "
        f"{100 * confidence:g} % bootstrap interval over faces. 'mean': the mean map, the same for all."
    )
    return show_table(shown.round({"area": 2, "chance": 2}), caption, columns)
