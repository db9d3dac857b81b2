"""Cosine losses in figures: probability curves, scales, histograms of angles, lengths of gradients.

The formulas are those of AdaCos (arXiv:1905.00292) and P2SGrad (arXiv:1905.02479). Logits are s cos(angle),
and the angles to all other classes are taken as right angles, where AdaCos finds them during training.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    INK,
    PAPER,
    QUIET,
    arm_colours,
    arm_markers,
    label_edges,
    new_figure,
    panel_grid,
    plain,
)

Array = np.ndarray
_STYLES = ((0, (1, 1)), (0, (5, 2)), (0, (5, 1, 1, 1)), (0, (8, 2)), "-")


def scale_of_classes(classes: int) -> float:
    """AdaCos's fixed scale, √2 ln(C − 1): there the probability is steepest at 45 degrees.

    >>> round(fixed_scale(7), 4)
    2.5339
    """
    return float(np.sqrt(2) * np.log(classes - 1))


def probability_at(angles: Array, scale: float, classes: int) -> Array:
    """Softmax probability of the target class at each angle: exp(s cos) / (exp(s cos) + C − 1).

    Args:
        angles: radians, any shape.
        scale: s.
        classes: C; the others are at a right angle.
    """
    return 1 / (1 + (classes - 1) * np.exp(-scale * np.cos(angles)))


def probability_curves(classes: Sequence[int], scales: Sequence[float]) -> Figure:
    """Draw the target probability over the angle for several scales, AdaCos's choice thick.

    Args:
        classes: class counts C, one panel each.
        scales: to compare with.
    """
    figure = new_figure(7.6, 3.5)
    panels = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0]
    angles = np.linspace(0, np.pi, 361)
    for axes, count in zip(panels, classes, strict=True):
        chosen = scale_of_classes(count)
        for i, scale in enumerate(scales):
            axes.plot(np.degrees(angles), probability_at(angles, scale, count), linewidth=1.4,
                      color=(QUIET, *COLOURS[2:])[i % 6], linestyle=_STYLES[i % len(_STYLES)],
                      label=f"s = {scale:g}")  # fmt: skip
        axes.plot(np.degrees(angles), probability_at(angles, chosen, count), color=COLOURS[0],
                  linewidth=2.8, label="AdaCos, s = √2 ln(C − 1)")  # fmt: skip
        axes.plot([45], probability_at(np.array([np.pi / 4]), chosen, count), "o", color=COLOURS[0],
                  markeredgecolor=PAPER, markersize=8)  # fmt: skip
        axes.axvline(90, color=INK, linewidth=1)
        axes.set_title(f"C = {count:,}: s = {chosen:.2f}")
        axes.set_xlabel("angle to the target class (degrees)")
        axes.set_xticks(range(0, 181, 45))
        axes.set_xlim(0, 180)
        axes.set_ylim(-0.02, 1.03)
        axes.grid()
    panels[0].set_ylabel("probability of the target")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def scale_history(history: pd.DataFrame, classes: int) -> Figure:
    """Draw the head's scale over epochs, a thin line per seed and their mean, beside AdaCos's fixed one.

    Args:
        history: columns ``arm``, ``seed``, ``epoch``, ``scale``; rows without scale are left out.
        classes: C; up to 2 draw no fixed scale.
    """
    known = history.dropna(subset=["scale"])
    arms = list(dict.fromkeys(known["arm"]))
    colours, markers = arm_colours(arms), arm_markers(arms)
    figure = new_figure(7.6, 3.1)
    axes = figure.subplots()
    for arm in arms:
        rows = known[known["arm"] == arm]
        for _, run in rows.groupby("seed"):
            axes.plot(run["epoch"], run["scale"], color=colours[arm], linewidth=0.9, alpha=0.5)
        mean = rows.groupby("epoch")["scale"].mean()
        axes.plot(mean.index, mean, color=colours[arm], marker=markers[arm], label=plain(arm),
                  markevery=max(1, len(mean) // 12))  # fmt: skip
    if classes > 2:
        axes.axhline(scale_of_classes(classes), color=INK, linewidth=1.2, linestyle=DASHES,
                     label=f"√2 ln(C − 1) = {scale_of_classes(classes):.2f}, C = {classes}")  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_ylabel("scale s")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_ylim(bottom=0)
    axes.margins(y=0.12)
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=min(4, len(arms) + 1))
    return figure


def angle_histograms(cosines: Mapping[str, tuple[Array, Array]]) -> Figure:
    """Draw how the angles to the true class and to all others are spread, one panel per arm.

    Args:
        cosines: arm -> cosines (N, C) to the class vectors and targets (N,).
    """
    figure, panels = panel_grid(len(cosines), 2, 2.3, 0.5)
    edges = np.linspace(0, 180, 61)
    for axes, (arm, (values, targets)) in zip(panels, cosines.items(), strict=True):
        angles = np.degrees(np.arccos(np.clip(values.astype(float), -1, 1)))
        own = np.zeros(values.shape, dtype=bool)
        own[np.arange(len(targets)), targets] = True
        for part, colour, name in (
            (angles[~own], COLOURS[1], "other classes"),
            (angles[own], COLOURS[0], "true class"),
        ):
            sns.histplot(x=part, bins=edges, stat="probability", ax=axes, color=colour, alpha=0.6,
                         linewidth=0, label=name, legend=False)  # fmt: skip
            axes.axvline(float(np.median(part)), color=colour, linewidth=1.4)
        axes.axvline(90, color=INK, linewidth=1, linestyle=DASHES)
        axes.set_title(plain(arm), pad=20)
        words = f"medians: true {np.median(angles[own]):.1f}°, others {np.median(angles[~own]):.1f}°"
        axes.text(0, 1.03, words, transform=axes.transAxes, fontsize=8.5, color=QUIET)
        axes.set_xticks(range(0, 181, 45))
        axes.set_xlim(0, 180)
    label_edges(panels, 2, "angle to a class vector (degrees)", "share of angles")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def gradient_lengths(classes: int, scales: Sequence[float], margin: float = 0.5) -> Figure:
    """Draw the length of the target's gradient on a unit feature against the angle, for each loss.

    P2SGrad: (1 − cos) sin. Softmax of s cos: s (1 − P) sin. ArcFace: s (1 − P) sin(angle + margin). Left the
    lengths themselves on a logarithmic axis, right each as a share of its largest.

    Args:
        classes: C.
        scales: s of the softmax losses; the largest one is drawn with ArcFace's margin as well.
        margin: of ArcFace, radians.
    """
    angles = np.linspace(0, np.pi, 361)
    curves = {"P2SGrad": (1 - np.cos(angles)) * np.sin(angles)}
    for scale in scales:
        curves[f"softmax, s = {scale:.3g}"] = (
            scale * (1 - probability_at(angles, scale, classes)) * np.sin(angles)
        )
    steep, moved = max(scales), np.minimum(angles + margin, np.pi)
    curves[f"ArcFace, s = {steep:.3g}, m = {margin:g}"] = (
        steep * (1 - probability_at(moved, steep, classes)) * np.sin(moved)
    )
    figure = new_figure(7.6, 3.7)
    left, right = figure.subplots(1, 2)
    for i, (name, lengths) in enumerate(curves.items()):
        style = "-" if i == 0 else _STYLES[(i - 1) % len(_STYLES)]
        width = 2.8 if i == 0 else 1.6
        colour = COLOURS[i % len(COLOURS)]
        left.plot(np.degrees(angles), lengths, color=colour, linestyle=style, linewidth=width, label=name)
        right.plot(
            np.degrees(angles), lengths / lengths.max(), color=colour, linestyle=style, linewidth=width
        )
    left.set_yscale("log")
    left.set_ylim(1e-3, steep * 2)
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.minorticks_off()
    left.set_title(f"Length of the gradient, C = {classes:,}")
    right.set_title("Share of its largest")
    for axes in (left, right):
        axes.set_xlabel("angle to the target class (degrees)")
        axes.set_xticks(range(0, 181, 45))
        axes.set_xlim(0, 180)
        axes.grid()
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def scale_table(classes: Sequence[int]) -> pd.DataFrame:
    """Compute what AdaCos's scale allows for some class counts C, from its formulas alone.

    Args:
        classes: class counts, 2 or more.

    Returns:
        ``C``; ``fixed s``, √2 ln(C − 1); ``P, orthogonal``, the probability of the true class at angle 0 with
        all others at a right angle; ``P, simplex``, with all class vectors as far apart as C of them can be;
        ``lowest loss``, −ln of the latter; ``settled s``, the value that the dynamic scale then converges to.
    """
    rows = []
    for count in classes:
        scale, others = scale_of_classes(count), count - 1
        simplex = 1 / (1 + others * np.exp(-scale * (1 + 1 / others)))
        rows.append(
            {
                "C": count,
                "fixed s": scale,
                "P, orthogonal": 1 / (1 + others * np.exp(-scale)),
                "P, simplex": simplex,
                "lowest loss": -np.log(simplex),
                "settled s": np.log(others) * others / count,
            }
        )
    return pd.DataFrame(rows)


def reduction_table(classes: Sequence[int], batch: int, dimensions: int) -> pd.DataFrame:
    """Compute how strong P2SGrad's gradients are under each way to average, and what loss remains.

    Args:
        classes: class counts C.
        batch: N, samples in a batch.
        dimensions: D, of an embedding.

    Returns:
        ``C``; the factors ``1/N`` and ``2/(N C)`` on the summed gradients; ``weaker``, the ratio C/2 of both;
        ``lowest loss``, half the squared residuals of a sample divided by C, below which features on their
        class vectors cannot fall: (C/D − 1)/2, or 0 where C vectors can all be orthogonal.
    """
    rows = [
        {
            "C": count,
            "1/N": 1 / batch,
            "2/(N C)": 2 / (batch * count),
            "weaker": count / 2,
            "lowest loss": max(count / dimensions - 1, 0) / 2,
        }
        for count in classes
    ]
    return pd.DataFrame(rows)
