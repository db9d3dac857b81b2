"""What a network that weighs regions of a face looks at: weights on faces, their means, occlusion.

Regions are named boxes (left, top, right, bottom) as fractions of the face's sides, the whole face last. The
released code of RAN takes a softmax of sigmoids, which confines the weights; the bounds are drawn wherever
weights are.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_repro.figures.results import show_face
from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    GREY,
    INK,
    PAPER,
    QUIET,
    RATES,
    arm_colours,
    label_edges,
    new_figure,
    panel_grid,
    plain,
)
from fer_repro.figures.tables import print_value
from fer_repro.measures.saliency import weight_bounds

Array = np.ndarray
Box = tuple[float, float, float, float]
_WEIGHTS: Colormap = ListedColormap(RATES(np.linspace(0.22, 1, 128)))  # no white: it would not show on a face


def regions_on_faces(
    images: Array, boxes: Mapping[str, Box], weights: Array, titles: Sequence[str]
) -> Figure:
    """Draw each face once per region: dimmed outside the box, whose frame and number show the weight.

    Colour and thickness run over the weights drawn; the largest weight of a face is printed bold.

    Args:
        images: (N, H, W) or (N, H, W, 3), uint8 or in [0, 1].
        boxes: R regions.
        weights: (N, R), such as ``mu`` of RAN.
        titles: N names, one per row.
    """
    columns = len(boxes)
    side = 7.0 / columns
    figure = new_figure(7.6, len(images) * side * 1.2 + 0.8)
    panels = figure.subplots(len(images), columns, squeeze=False)
    scale = Normalize(float(weights.min()), float(max(weights.max(), weights.min() + 1e-6)))
    for row, image in enumerate(images):
        best = int(weights[row].argmax())
        panels[row, 0].set_ylabel(plain(titles[row]), fontsize=9)
        for column, (name, box) in enumerate(boxes.items()):
            axes, weight = panels[row, column], float(weights[row, column])
            show_face(axes, image)
            _frame(axes, image.shape[0], image.shape[1], box, weight, scale)
            axes.set_xlabel(f"{weight:.3f}", fontsize=9, fontweight="bold" if column == best else "normal")
            if row == 0:
                axes.set_title(plain(name), fontsize=8.5, fontweight="normal", loc="center", pad=4)
    bar = figure.colorbar(ScalarMappable(scale, _WEIGHTS), ax=panels.ravel().tolist(), location="bottom",
                          shrink=0.5, aspect=34, pad=0.02)  # fmt: skip
    bar.outline.set_visible(False)
    bar.set_label(f"weight (equal weights: {1 / columns:.3f})", fontsize=8.5)
    bar.ax.tick_params(labelsize=8.5)
    return figure


def _frame(axes: Axes, height: int, width: int, box: Box, weight: float, scale: Normalize) -> None:
    left, right = (width * box[0] - 0.5, width * box[2] - 0.5)
    top, bottom = (height * box[1] - 0.5, height * box[3] - 0.5)
    shade = np.zeros((height, width, 4))
    shade[:] = to_rgba(PAPER, 0.72)
    rows, columns = np.arange(height), np.arange(width)
    inside = ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))[None, :]
    shade[inside] = 0
    axes.imshow(shade, interpolation="nearest")
    share = float(scale(weight))
    inset = 0.012 * width * (1 + 2.2 * share)  # keeps the line inside the panel
    axes.add_patch(
        Rectangle((left + inset, top + inset), right - left - 2 * inset, bottom - top - 2 * inset,
                  fill=False, edgecolor=_WEIGHTS(share), linewidth=1.4 + 3.2 * share)
    )  # fmt: skip


def mean_weights(table: pd.DataFrame, bounded: Sequence[str] = ()) -> Figure:
    """Draw the mean weight of each region, arms side by side, with the spread over faces.

    Args:
        table: ``arm``, ``region``, ``mean`` and ``deviation`` over faces.
        bounded: arms whose weights are a softmax of sigmoids; their bounds are drawn if there are any.
    """
    arms, names = list(dict.fromkeys(table["arm"])), list(dict.fromkeys(table["region"]))
    count, colours = len(names), arm_colours(arms)
    figure = new_figure(7.6, 3.4)
    axes = figure.subplots()
    width = 0.8 / len(arms)
    for i, arm in enumerate(arms):
        places = np.arange(count) + (i - (len(arms) - 1) / 2) * width
        means, spread = table.loc[table["arm"] == arm, ["mean", "deviation"]].to_numpy().T
        axes.bar(places, means, width * 0.92, color=colours[arm], label=plain(arm))
        axes.errorbar(places, means, spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        if len(arms) < 3:
            for place, mean in zip(places, means, strict=True):
                axes.annotate(f"{mean:.3f}", (place, 0), (0, 4), textcoords="offset points", ha="center",
                              fontsize=8, color=PAPER)  # fmt: skip
    axes.axhline(1 / count, color=QUIET, linewidth=1.2, linestyle=DASHES, label=f"equal: {1 / count:.3f}")
    if bounded:
        low, high, _ = weight_bounds(count)
        axes.axhspan(low, high, color=COLOURS[2], alpha=0.08, linewidth=0, zorder=0)
        axes.hlines([low, high], -0.5, count - 0.5, color=COLOURS[2], linewidth=1.2,
                    label=f"possible for {plain(', '.join(bounded))}: {low:.3f} to {high:.3f}")  # fmt: skip
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.1)
    axes.set_xticks(range(count), [plain(name) for name in names])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("mean weight, spread over faces")
    figure.legend(loc="outside lower center", ncols=min(3, len(arms) + 2))
    return figure


def weight_against_occlusion(weights: Array, covered: Array, steps: pd.DataFrame) -> Figure:
    """Draw each region's weight against the share of it that is occluded, with means and rank correlation.

    Args:
        weights: (N, R), such as ``mu`` of RAN.
        covered: (N, R) in [0, 1], the occluded shares.
        steps: ``region``, ``share``, ``mean``, ``low`` and ``high`` of groups of faces; ``correlation``, the
            same for all groups of a region. Regions come in the order of the columns of ``weights``.
    """
    names = list(dict.fromkeys(steps["region"]))
    figure, panels = panel_grid(len(names), 3, 2.15, 0.55)
    for axes, name, shares, values in zip(panels, names, covered.T, weights.T, strict=True):
        axes.scatter(shares, values, s=12, color=COLOURS[0], alpha=0.35, linewidths=0, label="face")
        axes.axhline(1 / len(names), color=QUIET, linewidth=1.2, linestyle=DASHES, label="equal weights")
        means = steps[steps["region"] == name]
        axes.errorbar(
            means["share"], means["mean"], (means["high"] - means["mean"]).fillna(0), fmt="s-", color=INK,
            markersize=4.5, linewidth=1.4, capsize=2, label="mean, 95 % interval",
        )  # fmt: skip
        axes.set_title(f"{plain(name)}: {print_value(means['correlation'].iloc[0], 'points')}", fontsize=9.5)
        axes.grid(axis="y")
    label_edges(panels, 3, "share occluded", "weight")
    figure.suptitle("Rank correlation of weight and occluded share, by region", fontsize=10.5,
                    fontweight="bold", x=0.01, ha="left")  # fmt: skip
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def bounds_figure(weights: Array, crops: Sequence[int] = (2, 3, 4, 5, 6, 7, 8, 10, 12)) -> Figure:
    """Draw why a softmax of sigmoids cannot concentrate: measured weights in their range; range against K.

    Args:
        weights: (N, R) measured ``mu``, the whole face last.
        crops: numbers of regions K on the right.
    """
    count = weights.shape[1]
    low, high, _ = weight_bounds(count)
    figure = new_figure(7.6, 3.3)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    edges = np.linspace(0, 0.5 if weights.max() <= 0.5 else 1.0, 61)
    for values, colour, name in (
        (weights[:, :-1].ravel(), COLOURS[0], "crops"),
        (weights[:, -1], COLOURS[1], "whole face"),
    ):
        left.hist(values, bins=edges, weights=np.full(len(values), 1 / len(values)), color=colour,
                  alpha=0.6, label=name)  # fmt: skip
    for place, words, side in ((low, f"{low:.4f} ", "right"), (high, f" {high:.4f}", "left")):
        left.axvline(place, color=COLOURS[2], linewidth=1.6)
        left.text(place, 0.98, words, transform=left.get_xaxis_transform(), ha=side, va="top", fontsize=8.5,
                  color=COLOURS[2])  # fmt: skip
    left.axvline(1 / count, color=QUIET, linewidth=1.2, linestyle=DASHES)
    left.set_title(f"Measured, K = {count}")
    left.set_xlabel("weight (dashed: equal weights)")
    left.set_ylabel("share of weights")
    left.set_ylim(0, left.get_ylim()[1] * 1.12)
    bounds = np.array([weight_bounds(k) for k in crops])
    right.fill_between(crops, bounds[:, 0], bounds[:, 1], color=COLOURS[2], alpha=0.14, linewidth=0)
    right.plot(crops, bounds[:, 1], color=COLOURS[2], marker="^", label="largest possible")
    right.plot(crops, 1 / np.asarray(crops), color=QUIET, linestyle=DASHES, linewidth=1.4, label="equal, 1/K")
    right.plot(crops, bounds[:, 0], color=COLOURS[2], marker="v", label="smallest possible")
    right.axvline(count, color=INK, linewidth=1)
    for place, offset in ((high, (5, 5)), (low, (5, -12))):
        right.annotate(f"{place:.3f}", (count, place), offset, textcoords="offset points", fontsize=8.5)
    right.set_title("What the formula allows")
    right.set_xlabel("regions K")
    right.set_ylim(-0.04, 1)
    right.grid(axis="y")
    handles, labels = left.get_legend_handles_labels()
    more, words = right.get_legend_handles_labels()
    figure.legend([*handles, *more], [*labels, *words], loc="outside lower center", ncols=5)
    return figure


def biased_loss(margins: Sequence[float], regions: int, measured: Array | None = None) -> Figure:
    """Draw the region-biased loss, max(0, margin − (largest crop's weight − the whole face's weight)).

    Args:
        margins: such as 0.1 (FERPlus), 0.03 (AffectNet), 0.02 (AffectNet, balanced sampling).
        regions: K; beyond its largest possible difference the background is hatched.
        measured: (N, K) ``mu`` of faces, the whole face last; their differences are drawn below.
    """
    reach = weight_bounds(regions)[2]
    figure = new_figure(7.6, 3.4)
    axes = figure.subplots()
    ends = np.array([-reach, reach]) * 1.12
    for i, margin in enumerate(margins):
        places = [ends[0], margin, ends[1]]
        axes.plot(places, [max(0.0, margin - place) for place in places], color=COLOURS[i],
                  linestyle=("-", (0, (5, 2)), (0, (2, 1.5)))[i % 3], label=f"margin {margin:g}")  # fmt: skip
    for inner, outer in ((reach, ends[1]), (-reach, ends[0])):
        axes.axvspan(inner, outer, facecolor="none", edgecolor=QUIET, hatch="////", linewidth=0, alpha=0.5)
    axes.axvline(0, color=INK, linewidth=1)
    top = max(margins) + reach * 1.12
    if measured is not None:
        found = measured[:, :-1].max(axis=1) - measured[:, -1]
        counts, edges = np.histogram(found, bins=40, range=(float(ends[0]), float(ends[1])))
        axes.bar(edges[:-1], counts / counts.max() * 0.3 * top, np.diff(edges), align="edge",
                 color=GREY, zorder=0, label="measured differences (counts)")  # fmt: skip
    axes.text(reach, top * 0.97, f"not possible beyond {reach:.4f} for K = {regions} ", ha="right", va="top",
              fontsize=8.5, color=QUIET)  # fmt: skip
    axes.set_xlim(*ends)
    axes.set_ylim(-0.01 * top, top)
    axes.set_xlabel("largest weight of a crop minus weight of the whole face")
    axes.set_ylabel("region-biased loss")
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=4)
    return figure
