"""Figures of what representations show: what is read against what is verified, and groups' activations."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro.figures.display import Shown, say, show_figure
from fer_repro.figures.style import (
    DASHES,
    QUIET,
    arm_colours,
    arm_markers,
    legend_columns,
    new_figure,
    percent_axis,
    plain,
)


def read_against_verified(points: pd.DataFrame, chance: float) -> Figure:
    """Plot for every run what is read in its embeddings over the pairs that they verify.

    Args:
        points: ``arm``, ``seed``, ``read``, ``pairs``, both in [0, 1].
        chance: what is read without an embedding, in [0, 1].
    """
    figure = new_figure(6.6, 4.3)
    axes = figure.subplots()
    arms = list(dict.fromkeys(points["arm"]))
    colours, markers = arm_colours(arms), arm_markers(arms)
    for arm, part in points.groupby("arm", sort=False):
        name = str(arm)
        axes.plot(part["pairs"], part["read"], markers[name], color=colours[name], alpha=0.4, label="_")
        axes.plot(part["pairs"].mean(), part["read"].mean(), markers[name], color=colours[name],
                  markersize=10, label=plain(name))  # fmt: skip
    axes.axhline(chance, color=QUIET, linestyle=DASHES, linewidth=1)
    axes.set(xlabel="pairs of faces judged rightly", ylabel="faces whose label is read")
    percent_axis(axes.xaxis, axes.yaxis)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=legend_columns(map(plain, arms), width=6.6))
    return figure


def removal_lines(table: pd.DataFrame, chance: float) -> Figure:
    """Plot what is read and what is verified over the number of directions that are removed.

    Args:
        table: ``removed``, ``rank``, and any of ``linear``, ``mlp``, ``pairs`` in [0, 1].
        chance: of the label, in [0, 1].
    """
    words = {
        "linear": "read by a linear probe",
        "mlp": "read by a small network",
        "pairs": "pairs judged rightly",
    }
    figure = new_figure(8.4, 3.4)
    panels: Any = figure.subplots(1, len(words), sharey=True)
    kinds = list(dict.fromkeys(table["removed"]))
    colours, markers = arm_colours(kinds), arm_markers(kinds)
    for axes, (column, title) in zip(panels, words.items(), strict=True):
        for kind, part in table.groupby("removed", sort=False):
            name = str(kind)
            axes.plot(part["rank"], part[column], marker=markers[name], color=colours[name], label=name)
        axes.axhline(0.5 if column == "pairs" else chance, color=QUIET, linestyle=DASHES, linewidth=1)
        axes.set(title=title, xlabel="directions removed", ylim=(0, 1))
        percent_axis(axes.yaxis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def ratios_against_gaps(points: pd.DataFrame, layer: str) -> Figure:
    """Plot for every network and group the accuracy gap over the activation ratio of a layer.

    Args:
        points: ``arm``, ``seed``, ``layer``, ``group``, ``ratio``, ``gap``.
        layer: one of its layers.
    """
    figure = new_figure(6.6, 4.3)
    axes = figure.subplots()
    own = points[points["layer"] == layer]
    groups, arms = (list(dict.fromkeys(own[name])) for name in ("group", "arm"))
    colours, markers = arm_colours(groups), arm_markers(arms)
    for group, arm in [(group, arm) for group in groups for arm in arms]:
        part = own[own["group"].eq(group) & own["arm"].eq(arm)]
        axes.plot(part["ratio"], 100 * part["gap"], markers[arm], color=colours[group], alpha=0.8)
    for group in groups:
        axes.plot([], [], "o", color=colours[group], label=group)
    for arm in arms:
        axes.plot([], [], markers[arm], color=QUIET, label=plain(arm))
    axes.axhline(0, color=QUIET, linestyle=DASHES, linewidth=1)
    axes.set(xlabel=f"activation ratio, maps of {layer}", ylabel="accuracy less the mean of groups, points")
    labels = [*groups, *map(plain, arms)]
    figure.legend(loc="outside lower center", ncols=legend_columns(labels, width=6.6))
    return figure


def permuted_gaps(permuted: np.ndarray, gap: float) -> Figure:
    """Plot the gaps of groups that were dealt out at random, and the one that was found.

    Args:
        permuted: (P,) in [0, 1].
        gap: likewise.
    """
    figure = new_figure(6.6, 2.8)
    axes = figure.subplots()
    axes.hist(100 * permuted, bins=30, color="#7fb5d9")
    axes.axvline(100 * gap, color="#d55e00", label="found")
    axes.set(xlabel="accuracy of the best group less that of the worst, points", ylabel="random groups")
    axes.legend()
    return figure


def show_ratios(table: pd.DataFrame) -> Shown:
    """Show the activation ratios of all layers, as ``ratio_lines``, or state why there are none."""
    if table.empty:
        return say("A sample of this network is no single image: activations are not compared.")
    words = table.groupby("group")["ratio"].min().map("{:.3f}".format)
    return show_figure(
        ratio_lines(table),
        "Activation of each layer for each group, relative to the group it responds to most.",
        "Lines; lowest ratio of each group: " + "; ".join(f"{name} {low}" for name, low in words.items()),
    )


def ratio_lines(table: pd.DataFrame) -> Figure:
    """Plot the activation ratio of each group, layer by layer.

    Args:
        table: ``layer``, ``group``, ``ratio``.
    """
    figure = new_figure(6.6, 3.4)
    axes = figure.subplots()
    groups = list(dict.fromkeys(table["group"]))
    colours, markers = arm_colours(groups), arm_markers(groups)
    for group, part in table.groupby("group", sort=False):
        name = str(group)
        axes.plot(part["layer"], part["ratio"], marker=markers[name], color=colours[name], label=name)
    axes.set(xlabel="maps of a layer, pixels", ylabel="activation ratio")
    figure.legend(loc="outside lower center", ncols=legend_columns(groups, width=6.6))
    return figure
