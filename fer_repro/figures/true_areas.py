"""Attention and masks over faces, with the outline of the area that really changed, and their precision.

Synthetic data know which pixels an expression, an occluder or a manipulation touched; here a network's maps
are shown with that outline and measured against it. Where they are not known, the figure states this.
"""

from collections.abc import Mapping, Sequence

import matplotlib.patheffects as outlines
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

from fer_repro.figures.display import Shown, say, show_figure, show_table
from fer_repro.figures.results import show_face
from fer_repro.figures.style import (
    DASHES,
    HEAT,
    INK,
    PAPER,
    QUIET,
    arm_colours,
    legend_columns,
    new_figure,
    percent_axis,
    plain,
)
from fer_repro.figures.tables import Column
from fer_repro.measures.saliency import enlarge, map_precision_recall, single_maps

Array = np.ndarray


def outline(axes: Axes, truth: Array) -> None:
    """Draw the border of a true area (H, W) bool, white in a dark casing, so that it shows on any map."""
    if truth.any() and not truth.all():
        lines = axes.contour(truth.astype(float), levels=[0.5], colors=[PAPER], linewidths=1.4)
        lines.set_path_effects([outlines.withStroke(linewidth=3.0, foreground=INK)])


def truth_overlay(
    images: Array, maps: Mapping[str, Array], truths: Array, titles: Sequence[str], area: str = "true area"
) -> Figure:
    """Lay maps over faces with the true area outlined; below each is its PR-AUC and what chance gives.

    Every map has its own range of colour, so that only the order of its places shows: that is what the
    PR-AUC measures.

    Args:
        images: (n, H, W) or (n, H, W, 3), uint8 or in [0, 1].
        maps: title of a column -> (n, h, w) or (n, 1, h, w), higher is more important.
        truths: (n, H, W) bool.
        titles: n names, one per row.
        area: what the outline shows, printed above the first column.
    """
    rows, columns = len(images), len(maps) + 1
    side = min(7.6 / columns, 2.1)
    figure = new_figure(side * columns, rows * side * 1.06 + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False)
    height, width = truths.shape[1:]
    for row in range(rows):
        show_face(panels[row, 0], images[row])
        outline(panels[row, 0], truths[row])
        panels[row, 0].set_ylabel(plain(titles[row]), fontsize=9)
        panels[row, 0].set_xlabel(f"{truths[row].mean():.0%} of the face", fontsize=8, color=QUIET)
    panels[0, 0].set_title(plain(area), fontsize=9.5, loc="center")
    for column, (name, values) in enumerate(maps.items(), start=1):
        panels[0, column].set_title(plain(name), fontsize=9.5, loc="center")
        for axes, image, heat, truth in zip(
            panels[:, column], images, single_maps(values), truths, strict=True
        ):
            show_face(axes, image)
            _lay(axes, heat.astype(float), height, width)
            outline(axes, truth)
            axes.set_xlabel(precision_words(heat, truth), fontsize=8)
    return figure


def _lay(axes: Axes, heat: Array, height: int, width: int) -> None:
    spread = np.ptp(heat)
    scaled = (heat - heat.min()) / spread if spread > 1e-6 else np.full(heat.shape, 0.5)
    axes.imshow(
        scaled, cmap=HEAT, vmin=0, vmax=1, alpha=0.3 + 0.5 * scaled, interpolation="bilinear",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip


def precision_words(heat: Array, truth: Array) -> str:
    """Write how well a map (h, w) ranks the pixels of a true area (H, W): PR-AUC, and what chance gives."""
    if not truth.any():
        return "nothing to find"
    score = map_precision_recall(enlarge(heat, *truth.shape)[None], truth[None]).area
    return f"PR-AUC {score:.2f} (chance {truth.mean():.2f})"


def precision_curves(table: pd.DataFrame) -> Figure:
    """Draw precision over recall for finding the true pixels: mean over faces, band from quarter to quarter.

    Args:
        table: ``map``, ``recall``, ``precision``, ``low`` and ``high`` of its points; ``area``, ``faces`` and
            ``chance``, the same at all points of a map.
    """
    maps = list(dict.fromkeys(table["map"]))
    colours = arm_colours(maps)
    figure = new_figure(7.6, 3.5)
    axes = figure.subplots()
    for name in maps:
        points = table[table["map"] == name]
        axes.fill_between(
            points["recall"], points["low"], points["high"], color=colours[name], alpha=0.14, linewidth=0
        )
        label = f"{plain(name)}: PR-AUC {points['area'].iloc[0]:.2f} over {points['faces'].iloc[0]} faces"
        axes.plot(points["recall"], points["precision"], color=colours[name], label=label)
    if maps:
        chance = float(table["chance"].iloc[0])
        axes.axhline(chance, color=QUIET, linewidth=1.2, linestyle=DASHES)
        axes.annotate(f"chance {chance:.2f}", (0, chance), (5, -5), textcoords="offset points", va="top",
                      fontsize=8.5, color=QUIET)  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall: share of the true area found")
    axes.set_ylabel("precision")
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)
    axes.grid()
    labels = axes.get_legend_handles_labels()[1]
    figure.legend(loc="outside lower center", ncols=legend_columns(labels, 2))
    return figure


UNKNOWN = "It is not known which pixels the expressions of these faces move, so nothing can be compared."


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
        "Outlined: pixels that differ from the same face without its expression, isolated ones left out. "
        "Below each the area under precision and recall (PR-AUC) of finding them by its value, and chance."
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


def show_areas_by_class(table: pd.DataFrame) -> Shown:
    """Show how well class activation maps find the moving pixels, class by class.

    Args:
        table: ``class``, ``faces``, ``chance`` and a column for each map, in [0, 1]; empty where unknown.
    """
    if table.empty:
        return say(UNKNOWN)
    maps = [str(name) for name in table if name not in ("class", "faces", "chance")]
    columns = (
        Column("class", "Class"),
        Column("faces", "Faces", "count"),
        *(Column(name, name, "number") for name in ("chance", *maps)),
    )
    caption = (
        "PR-AUC of each face's map of its true class, the mean over faces and seeds. 'centre': a map that "
        "falls with the distance from the middle. 'truth at': the true pixels, averaged to as few places as "
        "the maps have."
    )
    return show_table(table.round(dict.fromkeys(("chance", *maps), 3)), caption, columns)
