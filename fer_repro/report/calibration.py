"""Reliability diagrams: is a network right as often as it says?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fer_repro.report.style import COLOURS, INK, QUIET, new_figure, plain

Array = np.ndarray
BINS = 15  # Guo et al., ICML 2017, arXiv:1706.04599


def reliability(confidences: Array, right: Array, bins: int = BINS) -> tuple[pd.DataFrame, float]:
    """Group predictions by confidence; bin m is ((m - 1) / M, m / M].

    Args:
        confidences: (N,) probability of the predicted class, in [0, 1].
        right: (N,) whether it was the true one.
        bins: M.

    Returns:
        One row per bin that holds anything, ``low``, ``high``, ``confidence``, ``accuracy``, ``count``; and
        the expected calibration error, the mean of |accuracy - confidence| weighted by counts.
    """
    values, hits = np.asarray(confidences, float), np.asarray(right, float)
    places = np.clip(np.ceil(values * bins).astype(int) - 1, 0, bins - 1)
    grouped = pd.DataFrame({"bin": places, "confidence": values, "accuracy": hits}).groupby("bin")
    table = grouped.mean()
    table["count"] = grouped.size()
    table.insert(0, "low", table.index / bins)
    table.insert(1, "high", (table.index + 1) / bins)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return table.reset_index(drop=True), float((gaps * table["count"]).sum() / max(len(values), 1))


def reliability_diagram(
    predictions: Mapping[str, tuple[Array, Array]], bins: int = BINS, lowest: float = 0.0
) -> Figure:
    """Draw accuracy over confidence with the gap to the diagonal, and below how many predictions there are.

    Args:
        predictions: title such as ``as trained`` or ``temperature 1.62`` -> confidences (N,) of the
            predicted class, and whether each was right (N,).
        bins: equal steps of confidence.
        lowest: where the axis begins: 1/K is the least confidence among K classes.
    """
    figure = new_figure(7.6, 4.4)
    panels = figure.subplots(2, len(predictions), height_ratios=[3, 1], sharex=True, sharey="row",
                             squeeze=False)  # fmt: skip
    for (title, (confidences, right)), (upper, lower) in zip(predictions.items(), panels.T, strict=True):
        table, error = reliability(confidences, right, bins)
        centres, width = (table["low"] + table["high"]) / 2, 0.92 / bins
        upper.bar(centres, table["accuracy"], width, color=COLOURS[0], label="accuracy")
        upper.bar(centres, table["confidence"] - table["accuracy"], width, bottom=table["accuracy"],
                  facecolor="none", edgecolor=COLOURS[1], hatch="////", linewidth=1,
                  label="gap to mean confidence")  # fmt: skip
        upper.plot([0, 1], [0, 1], color=INK, linewidth=1.2, linestyle=(0, (3, 2)), label="calibrated")
        upper.set_title(plain(title), pad=20)
        words = f"ECE {error:.1%}, accuracy {np.mean(right):.1%}, confidence {np.mean(confidences):.1%}"
        upper.text(0, 1.025, words, transform=upper.transAxes, fontsize=8.5, color=QUIET)
        lower.bar(centres, table["count"] / len(confidences), width, color="#8a97a3")
        for centre, count in zip(centres, table["count"], strict=True):
            lower.annotate(f"{count}", (centre, count / len(confidences)), (0, 2), ha="center", fontsize=7.5,
                           textcoords="offset points", color=QUIET)  # fmt: skip
        lower.set_xlabel("confidence")
        upper.grid(axis="y")
    panels[0, 0].set(ylabel="accuracy", xlim=(lowest, 1), ylim=(0, 1))
    panels[1, 0].set_ylabel("share")
    panels[1, 0].margins(y=0.3)
    for axes in (*panels[:, 0], *panels[1]):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
