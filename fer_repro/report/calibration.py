"""Reliability diagrams: is a network right as often as it says?"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fer_repro.measures.calibration import BINS, binned_error, reliability_bins
from fer_repro.report.style import COLOURS, INK, QUIET, new_figure, plain

Array = np.ndarray


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
        everything = reliability_bins(np.asarray(confidences, float), np.asarray(right), bins)
        table, error = everything[everything["count"] > 0], binned_error(everything)
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
