"""Figures of cascades: accuracy in every order, the budget of rates, and the filters of a first layer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from fer_repro.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    QUIET,
    bare,
    new_figure,
    panel_grid,
    percent_axis,
    plain,
)


def order_dots(orders: pd.DataFrame) -> Figure:
    """Draw the accuracy of every order, softly and hard; orders are sorted within each arm.

    Args:
        orders: columns ``arm``, ``order``, ``soft``, ``hard`` in [0, 1], ``given``.
    """
    arms = list(dict.fromkeys(orders["arm"]))
    figure, panels = panel_grid(len(arms), most=2, height=2.3, extra=0.5)
    for axes, arm in zip(panels, arms, strict=True):
        rows = orders[orders["arm"] == arm].reset_index(drop=True)
        for kind, colour, marker in (("soft", COLOURS[0], "o"), ("hard", COLOURS[1], "D")):
            axes.plot(
                rows.index + 1, rows[kind], marker, color=colour, markersize=4, label=f"{kind} decision"
            )
            given = rows[rows["given"]]
            label = "the paper's order" if kind == "soft" else None
            axes.plot(
                given.index + 1, given[kind], "o", color=INK, markersize=10, fillstyle="none", label=label
            )
        axes.set_title(plain(arm))
        percent_axis(axes.yaxis)
        axes.grid(axis="y")
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("orders, the best soft one first")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def budget_plot(lines: pd.DataFrame, published: float, error: float) -> Figure:
    """Draw which rates of equal stages give a published accuracy.

    Args:
        lines: columns ``recall``, ``false_alarms``, ``accuracy`` in [0, 1].
        published: accuracy in [0, 1].
        error: its standard error.
    """
    figure = new_figure(7.6, 3.2)
    axes = figure.subplots()
    for n, (recall, rows) in enumerate(lines.groupby("recall")):
        colour, marker = COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]
        axes.plot(
            rows["false_alarms"], rows["accuracy"], color=colour, marker=marker, markersize=3,
            label=f"recall {recall:.0%}",
        )  # fmt: skip
    axes.axhspan(published - error, published + error, color=QUIET, alpha=0.25, linewidth=0)
    axes.axhline(published, color=INK, linewidth=1, label=f"published, {published:.1%}")
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)
    axes.yaxis.set_major_locator(MultipleLocator(0.05))
    axes.set_xlabel("false-alarm rate of each stage")
    axes.set_ylabel("accuracy")
    axes.grid()
    figure.legend(loc="outside right upper")
    return figure


def filter_gallery(banks: Mapping[str, np.ndarray]) -> Figure:
    """Draw the filters of first layers, a row for each bank; grey is 0.

    Args:
        banks: name -> (W, k, k), or (W, 3, k, k) whose colours are averaged.
    """
    most = min(8, max(len(bank) for bank in banks.values()))
    figure = new_figure(7.6, 0.95 * len(banks) + 0.2)
    panels = figure.subplots(len(banks), most, squeeze=False)
    for row, (name, bank) in zip(panels, banks.items(), strict=True):
        row[0].set_ylabel(plain(name), rotation=0, ha="right", va="center", fontsize=9)
        for axes in row:
            bare(axes)
        for axes, kernel in zip(row, bank, strict=False):
            shown = kernel.mean(axis=0) if kernel.ndim == 3 else kernel
            most_of_it = float(np.abs(shown).max()) or 1.0
            axes.imshow(shown, cmap="gray", vmin=-most_of_it, vmax=most_of_it, interpolation="nearest")
    return figure
