"""Figures of detectors of manipulated faces: their attention, how they differ, and all their ensembles."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_repro.measures.saliency import spearman
from fer_repro.report.figures import show_face
from fer_repro.report.style import COLOURS, HEAT, INK, PAPER, QUIET, RATES, bare, new_figure, plain
from fer_repro.report.truth import enlarge, outline, precision_words, single_maps

Array = np.ndarray


def attention_gallery(
    images: Array, attention: Array, titles: Sequence[str], truths: Array | None = None
) -> Figure:
    """Draw each face, its attention, their product as in the paper's figure, and the true mask's outline.

    The map is resized by the nearest pixel and multiplied into the face, as the authors do. Colours of the
    map run from 0 to 1.

    Args:
        images: (n, H, W) or (n, H, W, 3), uint8 or in [0, 1].
        attention: (n, h, w) or (n, 1, h, w) in [0, 1].
        titles: n names, such as the kind of manipulation.
        truths: (n, H, W) bool, the pixels that were manipulated; none for a real face.
    """
    columns = 3 if truths is None else 4
    side = 7.6 / 4
    figure = new_figure(side * columns, len(images) * side * 1.03 + 0.4)
    panels = figure.subplots(len(images), columns, squeeze=False)
    names = ("face", "attention", "face × attention", "manipulated area")
    for axes, name in zip(panels[0], names, strict=False):
        axes.set_title(name, fontsize=9.5, loc="center")
    for row, (image, heat) in enumerate(zip(images, single_maps(attention), strict=True)):
        large = enlarge(heat.astype(float), *image.shape[:2])
        light = image / 255 if image.dtype == np.uint8 else image
        show_face(panels[row, 0], image)
        panels[row, 0].set_ylabel(plain(titles[row]), fontsize=9)
        panels[row, 1].imshow(large, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest")
        bare(panels[row, 1])
        panels[row, 1].set_xlabel(f"{heat.min():.2f} to {heat.max():.2f}", fontsize=8, color=QUIET)
        show_face(panels[row, 2], light * (large if light.ndim == 2 else large[..., None]))
        if truths is not None:
            show_face(panels[row, 3], image)
            outline(panels[row, 3], truths[row])
            panels[row, 3].set_xlabel(precision_words(heat, truths[row]), fontsize=8)
    return figure


def network_pairs(
    scores: Mapping[str, Array], positive: Array, kinds: tuple[str, str] = ("real", "manipulated")
) -> Figure:
    """Draw the scores of every two networks against one another, coloured by the truth, as the paper does.

    Above the diagonal stand the rank correlations of both networks, within each kind: where they are far
    below 1, the networks err on different faces, and a mean of them can gain.

    Args:
        scores: network -> (P,) in [0, 1], such as the sigmoids of its logits.
        positive: (P,) 0 or 1.
        kinds: the words for 0 and 1.
    """
    names, truth = list(scores), np.asarray(positive).astype(bool)
    count = len(names)
    figure = new_figure(7.6, 7.6 * 0.92 + 0.2)
    panels = figure.subplots(count, count, squeeze=False)
    for row, column in product(range(count), repeat=2):
        axes = panels[row, column]
        across, down = np.asarray(scores[names[column]]), np.asarray(scores[names[row]])
        if row == column:
            _draw_spread(axes, across, truth, kinds)
        elif row > column:
            for chosen, colour, marker in ((~truth, COLOURS[0], "o"), (truth, COLOURS[1], "X")):
                axes.scatter(across[chosen], down[chosen], s=9, color=colour, marker=marker, alpha=0.4,
                             linewidths=0)  # fmt: skip
            axes.set_ylim(-0.04, 1.04)
        else:
            _write_correlations(axes, across, down, truth, kinds)
            continue
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"] if row == count - 1 else [])
        axes.set_yticks([0, 0.5, 1] if row > column else [], ["0", "½", "1"] if 0 == column < row else None)
        if column and row > column:
            axes.set_yticklabels([])
    for i, name in enumerate(names):
        panels[count - 1, i].set_xlabel(plain(name))
        panels[i, 0].set_ylabel(plain(name))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_spread(axes: Axes, values: Array, truth: Array, kinds: tuple[str, str]) -> None:
    edges = np.linspace(0, 1, 26).tolist()
    for chosen, colour, kind in ((~truth, COLOURS[0], kinds[0]), (truth, COLOURS[1], kinds[1])):
        weights = np.full(int(chosen.sum()), 1 / max(int(chosen.sum()), 1))
        axes.hist(values[chosen], bins=edges, weights=weights, color=colour, alpha=0.6, label=kind)
    axes.spines["left"].set_visible(False)


def _write_correlations(axes: Axes, across: Array, down: Array, truth: Array, kinds: tuple[str, str]) -> None:
    bare(axes)
    for place, chosen, colour, kind in (
        (0.62, ~truth, COLOURS[0], kinds[0]),
        (0.38, truth, COLOURS[1], kinds[1]),
    ):
        value = f"{spearman(across[chosen], down[chosen]):.2f}".replace("-", "−").replace("nan", "–")
        axes.text(0.5, place, f"{kind} {value}", transform=axes.transAxes, ha="center", va="center",
                  fontsize=9.5, color=colour)  # fmt: skip


def ensemble_table(
    table: pd.DataFrame, networks: Sequence[str], better: Mapping[str, Literal["high", "low"]]
) -> Figure:
    """Draw ensembles as a heat table: dots say which networks are averaged, the best of a column is bold.

    Colour runs in each column from its worst to its best value.

    Args:
        table: one row per ensemble; a true or false column per network, and a column per metric.
        networks: names of the former.
        better: metric -> whether high or low values are good.
    """
    metrics = list(better)
    figure = new_figure(7.6, 0.27 * len(table) + 0.95)
    left, right = figure.subplots(1, 2, width_ratios=[len(networks) * 0.62, len(metrics)])
    for x, y in np.ndindex(len(networks), len(table)):
        inside = bool(table[networks[x]].iloc[y])
        left.plot([x], [y], "o", color=COLOURS[0] if inside else "#dfe4e8", markersize=8 if inside else 4)
    for x, metric in enumerate(metrics):
        values = table[metric].to_numpy(dtype=float)
        goods = values if better[metric] == "high" else -values
        spread = np.nanmax(goods) - np.nanmin(goods)
        for y, (value, good) in enumerate(zip(values, goods, strict=True)):
            share = float((good - np.nanmin(goods)) / spread) if spread > 0 else 0.5
            right.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=RATES(0.85 * share), edgecolor=PAPER)
            )
            colour, weight = PAPER if share > 0.62 else INK, "bold" if good == np.nanmax(goods) else "normal"
            right.text(x, y, f"{value:.4f}", ha="center", va="center", fontsize=9, color=colour,
                       fontweight=weight)  # fmt: skip
    arrows = {"high": "↑", "low": "↓"}
    for axes, labels in ((left, networks), (right, [f"{m} {arrows[better[m]]}" for m in metrics])):
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_yticks([])
        axes.set_xticks(range(len(labels)), [plain(label) for label in labels], fontsize=9)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure
