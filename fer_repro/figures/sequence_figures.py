"""Sequences of measurements, the weights of their segments, and the errors of predicted numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    INK,
    PAPER,
    QUIET,
    RATES,
    arm_colours,
    arm_markers,
    legend_columns,
    new_figure,
    panel_grid,
    plain,
)

Array = np.ndarray
_SHOWN = 0.35  # opacity of one measurement's line


def segment_columns(samples: pd.DataFrame) -> list[str]:
    """Name the columns that hold the true number of each segment, in order; none where it is not known."""
    return sorted(str(name) for name in samples if str(name).startswith("segment_"))


def sequence_sheet(sequences: Array, samples: pd.DataFrame, titles: Sequence[str], columns: int) -> Figure:
    """Draw sequences as lines over time, one per measurement; a bar below has the segments' true numbers.

    Args:
        sequences: (N, T, D).
        samples: their rows of the sample table; ``segment_01`` ... are drawn where it has them.
        titles: N.
        columns: panels side by side.
    """
    known = segment_columns(samples)
    figure, panels = panel_grid(len(sequences), columns, 1.35, 0.3)
    low, high = float(sequences.min()), float(sequences.max())
    for axes, values, title, (_, row) in zip(panels, sequences, titles, samples.iterrows(), strict=True):
        axes.plot(values.astype(float), color=COLOURS[0], linewidth=0.6, alpha=_SHOWN)
        if known:
            numbers = row[known].to_numpy(float)[None]
            bottom = low - 0.12 * (high - low)
            axes.imshow(numbers, cmap=RATES, vmin=0, vmax=1, aspect="auto",
                        extent=(0, len(values), bottom, low - 0.02 * (high - low)))  # fmt: skip
            axes.set_ylim(bottom, high)
        axes.set_xlim(0, len(values))
        axes.set_title(plain(title), fontsize=8.5, fontweight="normal", pad=3)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
    return figure


def alpha_by_level(table: pd.DataFrame) -> Figure:
    """Draw the mean weight of segments over their true number, one line per arm with its range over seeds.

    Args:
        table: ``arm``, ``level`` (middle of a bin), ``value``, ``low``, ``high``.
    """
    arms = list(dict.fromkeys(table["arm"]))
    colours, markers = arm_colours(arms), arm_markers(arms)
    figure = new_figure(7.6, 3.2)
    axes = figure.subplots()
    for arm in arms:
        part = table[table["arm"] == arm]
        axes.fill_between(
            part["level"], part["low"], part["high"], color=colours[arm], alpha=0.14, linewidth=0
        )
        axes.plot(part["level"], part["value"], color=colours[arm], marker=markers[arm], label=plain(arm))
    axes.axhline(1, color=QUIET, linewidth=1, linestyle=DASHES)
    axes.set(xlabel="true level of the segment", ylabel="weight, 1: as every other segment")
    axes.grid(axis="y")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def errors_by_level(table: pd.DataFrame) -> Figure:
    """Draw squared errors by true number, one line per answer: arms, a constant, published runs.

    Args:
        table: ``answer``, ``level`` (text), ``value``, ``low``, ``high`` (missing where unknown); ``kind`` is
            arm, constant or published.
    """
    answers = list(dict.fromkeys(table["answer"]))
    colours, markers = arm_colours(answers), arm_markers(answers)
    levels = list(dict.fromkeys(table["level"]))
    figure = new_figure(7.6, 3.6)
    axes = figure.subplots()
    for place, answer in enumerate(answers):
        part = table[table["answer"] == answer].set_index("level").reindex(levels)
        x = np.arange(len(levels)) + 0.09 * (place - (len(answers) - 1) / 2)
        known = np.isfinite(part["low"].astype(float)) & np.isfinite(part["high"].astype(float))
        axes.vlines(x[known], part["low"][known], part["high"][known], color=colours[answer], linewidth=4,
                    alpha=0.28)  # fmt: skip
        drawn = part["kind"].dropna().iloc[0] == "arm"
        axes.plot(x, part["value"], markers[answer], color=colours[answer], markersize=6,
                  fillstyle="full" if drawn else "none", label=plain(answer))  # fmt: skip
    axes.set_xticks(range(len(levels)), levels)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="true level of the video", ylabel="mean squared error")
    axes.grid(axis="y")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def distance_matrices(distances: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """Draw how far apart the mean features of every two levels are, one matrix per arm in its own scale.

    Args:
        distances: arm -> (K, K), relative to the mean over all pairs.
        names: K levels.
    """
    figure, panels = panel_grid(len(distances), 3, 2.6, 0.2, shared=False)
    top = max(float(matrix.max()) for matrix in distances.values())
    for axes, (arm, matrix) in zip(panels, distances.items(), strict=True):
        axes.imshow(matrix, cmap=RATES, vmin=0, vmax=top)
        for (row, column), value in np.ndenumerate(matrix):
            if row != column:
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8.5,
                          color=PAPER if value > 0.5 * top else INK)  # fmt: skip
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.set_title(plain(arm), fontsize=9.5)
    return figure
