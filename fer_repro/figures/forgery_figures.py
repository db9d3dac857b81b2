"""Detection in figures: ROC and DET with bands over seeds, histograms of scores, attention, ensembles.

Serves pairs (the same person or not) and faces (manipulated or real): a score is higher where the positive
class is more likely.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from scipy.stats import norm

from fer_repro.figures.results import show_face
from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    HEAT,
    INK,
    PAPER,
    QUIET,
    RATES,
    arm_colours,
    bare,
    label_edges,
    new_figure,
    panel_grid,
    percent_axis,
    plain,
)
from fer_repro.figures.true_areas import outline, precision_words
from fer_repro.measures.saliency import enlarge, single_maps, spearman
from fer_repro.measures.verification import Roc, auc, equal_error_rate, roc

Array = np.ndarray
Scored = tuple[Array, Array]  # scores (P,), and 1 for the positive kind, 0 for the other (P,)
_STYLES = ("-", (0, (5, 2)), (0, (5, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_RATES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8)


def detection_curves(arms: Mapping[str, Sequence[Scored]]) -> Figure:
    """Draw ROC and DET curves: the mean over seeds as a line, their range as a band.

    The DET axes are those of normal deviates (Martin et al., Eurospeech 1997), where scores of two normal
    distributions give a straight line. The legend has area under the ROC (AUC) and equal error rate (EER)
    as means over seeds, with their ranges where there are several.

    Args:
        arms: arm -> scores and ground truth of each seed.

    Raises:
        UserError: an arm has scores of one kind only.
    """
    colours = arm_colours(arms)
    figure = new_figure(7.6, 3.75 + 0.17 * len(arms))
    left, right = figure.subplots(1, 2)
    grid = np.unique(np.concatenate([np.linspace(0, 1, 501), np.geomspace(1e-4, 1, 301)]))
    smallest = min((_step(scored) for seeds in arms.values() for scored in seeds), default=0.01)
    for i, (arm, seeds) in enumerate(arms.items()):
        curves = [roc(*scored) for scored in seeds]
        hits = np.array([_hits_at(curve, grid) for curve in curves])
        line = {"color": colours[arm], "linestyle": _STYLES[i % len(_STYLES)]}
        left.plot(grid, hits.mean(axis=0), label=_legend(arm, curves), **line)
        left.fill_between(
            grid, hits.min(axis=0), hits.max(axis=0), color=colours[arm], alpha=0.14, linewidth=0
        )
        misses = norm.ppf(np.clip(1 - hits, smallest / 2, 1 - smallest / 2))
        kept = (grid >= smallest) & (grid < 1)
        places = norm.ppf(grid[kept])
        right.plot(places, norm.ppf(norm.cdf(misses[:, kept]).mean(axis=0)), **line)
        right.fill_between(places, misses[:, kept].min(axis=0), misses[:, kept].max(axis=0),
                           color=colours[arm], alpha=0.14, linewidth=0)  # fmt: skip
    _finish_roc(left)
    _finish_det(right, smallest)
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def _step(scored: Scored) -> float:
    """The smallest rate that the fewer of both kinds can measure."""
    positives = float(np.sum(scored[1]))
    return 1 / max(1.0, min(positives, len(scored[1]) - positives))


def _hits_at(curve: Roc, grid: Array) -> Array:
    """True positive rate at each false positive rate: the largest reached, linear in between."""
    places, first = np.unique(curve.far[::-1], return_index=True)
    return np.interp(grid, places, curve.tar[::-1][first])


def _legend(arm: str, curves: Sequence[Roc]) -> str:
    areas, errors = [auc(curve) for curve in curves], [equal_error_rate(curve) for curve in curves]
    words = f"{plain(arm)}: AUC {np.mean(areas):.3f}"
    words += f" ({min(areas):.3f} to {max(areas):.3f})" if len(areas) > 1 else ""
    words += f", EER {100 * np.mean(errors):.1f} %"
    return words + (f" ({100 * min(errors):.1f} to {100 * max(errors):.1f})" if len(errors) > 1 else "")


def _finish_roc(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=DASHES)
    axes.set_title("ROC")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)
    axes.grid()


def _finish_det(axes: Axes, smallest: float) -> None:
    ticks = [rate for rate in _RATES if rate >= smallest * 0.8]
    low, high = norm.ppf(max(smallest * 0.8, 5e-4)), norm.ppf(0.85)
    axes.plot([low, high], [low, high], color=QUIET, linewidth=1, linestyle=DASHES)
    axes.annotate("equal errors", (low, low), (24, 5), textcoords="offset points",
                  fontsize=8.5, color=QUIET)  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(norm.ppf(ticks)))
        axis.set_major_formatter(FixedFormatter([f"{100 * rate:g}%" for rate in ticks]))
        axis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_title("DET")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("false negative rate")
    axes.grid()


def score_histograms(
    arms: Mapping[str, Scored],
    kinds: tuple[str, str] = ("different", "same"),
    thresholds: Mapping[str, float] | None = None,
) -> Figure:
    """Draw how the scores of both kinds are spread, one panel per arm, with the AUC.

    Args:
        arms: arm -> scores (P,) and ground truth (P,).
        kinds: the names of classes 0 and 1.
        thresholds: arm -> the threshold that decides, drawn as a line.
    """
    figure, panels = panel_grid(len(arms), 2, 2.2, 0.5)
    together = np.concatenate([np.asarray(scores, float) for scores, _ in arms.values()])
    edges = np.linspace(together.min(), together.max() + 1e-9, 51)
    for axes, (arm, (scores, truth)) in zip(panels, arms.items(), strict=True):
        for value, colour in ((0, COLOURS[1]), (1, COLOURS[0])):
            part = np.asarray(scores, float)[np.asarray(truth) == value]
            sns.histplot(x=part, bins=edges, stat="probability", ax=axes, color=colour, alpha=0.6,
                         linewidth=0, label=f"{kinds[value]}", legend=False)  # fmt: skip
        axes.set_title(f"{plain(arm)}: AUC {auc(roc(scores, truth)):.3f}")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        if thresholds and arm in thresholds:
            axes.axvline(thresholds[arm], color=INK, linewidth=1.2, linestyle=DASHES, label="threshold")
    label_edges(panels, 2, "cosine", "share of its kind")
    drawn = [axes.get_legend_handles_labels() for axes in panels]
    named = {
        label: handle for handles, labels in drawn for handle, label in zip(handles, labels, strict=True)
    }
    names = [name for name in (*kinds, "threshold") if name in named]
    figure.legend([named[name] for name in names], names, loc="outside lower center", ncols=3)
    return figure


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
    """Draw the scores of every two networks against each other, coloured by true class, as the paper does.

    Above the diagonal are the rank correlations of both networks, within each kind: where they are far
    below 1, the networks err on different faces, and a mean of them can gain.

    Args:
        scores: network -> (P,) in [0, 1], such as the sigmoids of its logits.
        positive: (P,) 0 or 1.
        kinds: the names of classes 0 and 1.
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


def combination_table(
    table: pd.DataFrame, networks: Sequence[str], better: Mapping[str, Literal["high", "low"]]
) -> Figure:
    """Draw ensembles as a heat table: dots mark which networks are averaged, the best of a column is bold.

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
