"""How much each frame of a clip counts: weights over time beside the true intensity, and over all clips.

A weight is drawn relative to equal weights, that is multiplied by the number of frames: 1 means that the
frame counts as much as in a plain mean, whatever the length of its clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    GREY,
    INK,
    PAPER,
    QUIET,
    arm_colours,
    arm_markers,
    bare,
    label_edges,
    legend_columns,
    new_figure,
    panel_grid,
    percent_axis,
    plain,
    wrapped,
)

Array = np.ndarray
NOTHING = "none"  # the word for a frame without distractor
_STRIP = 14  # frames that a strip shows at most
_SIDE_BY_SIDE = 3  # panels of intensities in a row


@dataclass(frozen=True)
class Clip:
    """One clip and what a network made of its frames.

    Attributes:
        title: the text above it.
        frames: (T, H, W) or (T, H, W, 3), uint8 or in [0, 1].
        alpha: (T,) self-attention in (0, 1).
        weights: (T,) final share of each frame; they add up to 1.
        intensity: (T,) true intensity in [0, 1].
        distractors: T words, ``none`` where nothing distracts.
    """

    title: str
    frames: Array
    alpha: Array
    weights: Array
    intensity: Array
    distractors: Sequence[str]


def choose_clips(
    explained: Mapping[str, Array], images: Array, samples: pd.DataFrame, classes: Sequence[str], count: int
) -> list[Clip]:
    """Choose explained clips: those with most kinds of distractors first, of different labels.

    Args:
        explained: a run's ``rows`` (n, T), -1 at padding, ``alpha`` and ``weights`` (n, T).
        images: all images of the data set.
        samples: its sample table, with ``intensity`` and ``distractor``.
        classes: names in index order.
        count: at most so many.
    """
    found = []
    for position, rows in enumerate(explained["rows"]):
        kept = rows >= 0
        frames = samples.iloc[rows[kept]]
        words = frames["distractor"].astype(str).tolist()
        clip = Clip(
            str(classes[int(frames["label"].iloc[0])]),
            np.asarray(images[frames["image"].to_numpy()]),
            explained["alpha"][position][kept].astype(float),
            explained["weights"][position][kept].astype(float),
            frames["intensity"].to_numpy(dtype=float),
            words,
        )
        found.append((-len(set(words) - {NOTHING}), position, clip))
    found.sort(key=lambda item: item[:2])
    seen: dict[str, int] = {}
    ranked: list[tuple[int, int, Clip]] = []
    for *_, clip in found:
        seen[clip.title] = seen.get(clip.title, 0) + 1
        ranked.append((seen[clip.title], len(ranked), clip))
    return [clip for *_, clip in sorted(ranked, key=lambda item: item[:2])[:count]]


def weight_timelines(clips: Sequence[Clip]) -> Figure:
    """Draw clips as strips of frames; below, alpha as bars and the final weight as a line over the intensity.

    Args:
        clips: frames are drawn equally large, so shorter clips end further left.
    """
    longest = max((len(clip.frames) for clip in clips), default=1)
    step = -(-longest // _STRIP)
    face = 6.7 / longest * step
    rows = max(len(clips), 1)
    figure = new_figure(7.6, rows * (face + 2.15) + 0.5)
    ratios = [face * 1.02, 1.35] * rows
    panels = figure.subplots(len(ratios), 1, height_ratios=ratios, sharex=True)
    tallest = max((_tallest(clip) for clip in clips), default=1.0)
    for clip, strip, chart in zip(clips, panels[::2], panels[1::2], strict=False):
        _draw_strip(strip, clip, step)
        twin = _draw_weights(chart, clip, tallest)
        chart.set_xticks(range(0, longest, max(1, longest // 12)))
        chart.set_xlim(-0.5, longest - 0.5)
    if clips:
        handles = [*chart.get_legend_handles_labels()[0], *twin.get_legend_handles_labels()[0]]
        labels = [*chart.get_legend_handles_labels()[1], *twin.get_legend_handles_labels()[1]]
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        chart.set_xlabel("frame")
    return figure


def _tallest(clip: Clip) -> float:
    return float(max((clip.weights * len(clip.weights)).max(), (clip.alpha / clip.alpha.mean()).max()))


def _draw_strip(axes: Axes, clip: Clip, step: int) -> None:
    bare(axes)
    axes.tick_params(bottom=False, labelbottom=False)
    for i in range(0, len(clip.frames), step):
        top = 255 if clip.frames.dtype == np.uint8 else 1.0
        gap = 0.02 * step
        axes.imshow(
            clip.frames[i], cmap="gray", vmin=0, vmax=top, interpolation="nearest",
            extent=(i - 0.5 + gap, i - 0.5 + step - gap, 0, step - 2 * gap),
        )  # fmt: skip
    axes.set_ylim(0, step)
    axes.set_aspect("equal")
    axes.set_anchor("SW")
    axes.set_title(plain(clip.title), fontsize=10)


def _draw_weights(axes: Axes, clip: Clip, tallest: float) -> Axes:
    count, room = len(clip.frames), 1.4
    behind = axes.twinx()
    behind.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)
    behind.fill_between(range(count), clip.intensity, color=GREY, linewidth=0, label="true intensity")
    behind.set_ylim(0, room)
    behind.set_yticks([0, 0.5, 1])
    behind.spines[["left", "bottom"]].set_visible(False)
    behind.set_ylabel("intensity", color=QUIET)
    axes.bar(range(count), clip.alpha / clip.alpha.mean(), width=0.5, color=COLOURS[0], alpha=0.55,
             label="α, relative to its mean")  # fmt: skip
    axes.plot(range(count), clip.weights * count, "o-", color=COLOURS[1], label="final weight × frames")
    axes.axhline(1, color=INK, linewidth=1, linestyle=DASHES, label="equal weights")
    _mark_distractors(axes, clip.distractors)
    axes.set_ylim(0, tallest * room)
    axes.set_ylabel("relative weight")
    axes.tick_params(labelbottom=True)
    return behind


def _mark_distractors(axes: Axes, words: Sequence[str]) -> None:
    before, lowered = -2, False
    for word, group in groupby(enumerate(words), key=lambda item: item[1]):
        places = [i for i, _ in group]
        if word == NOTHING:
            continue
        lowered = before == places[0] - 1 and not lowered
        before = places[-1]
        axes.axvspan(places[0] - 0.5, places[-1] + 0.5, facecolor="none", edgecolor=QUIET, hatch="////",
                     linewidth=0, alpha=0.45, zorder=0)  # fmt: skip
        axes.text((places[0] + places[-1]) / 2, 0.84 if lowered else 0.97, plain(word), ha="center", va="top",
                  transform=axes.get_xaxis_transform(), fontsize=8.5, fontweight="bold",
                  bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.2})  # fmt: skip


def weight_against_intensity(frames: pd.DataFrame, steps: pd.DataFrame, correlations: pd.DataFrame) -> Figure:
    """Draw relative weight against true intensity, one panel per arm, with medians, quarters, correlations.

    Args:
        frames: ``arm``, ``intensity``, ``distractor`` and ``relative``, the weight times the
            number of frames.
        steps: ``arm``, ``intensity``, ``low``, ``middle`` and ``high``: quarters of the frames of like
            intensity without distractor.
        correlations: ``arm``, ``together`` (of all frames), ``inside`` (mean of single clips) and ``clips``
            (how many have one).
    """
    arms = list(dict.fromkeys(frames["arm"]))
    figure, panels = panel_grid(max(len(arms), 1), _SIDE_BY_SIDE, 2.9, 0.6)
    for axes, arm in zip(panels, arms, strict=False):
        rows = frames[frames["arm"] == arm]
        clean = rows["distractor"] == NOTHING
        for mask, colour, marker, label in (
            (clean, COLOURS[0], "o", "frame"),
            (~clean, COLOURS[1], "X", "frame with distractor"),
        ):
            part = rows[mask]
            axes.scatter(part["intensity"], part["relative"], s=13 if marker == "o" else 22, c=colour,
                         alpha=0.35, linewidths=0, marker=marker, label=label)  # fmt: skip
        _draw_medians(axes, steps[steps["arm"] == arm])
        axes.axhline(1, color=INK, linewidth=1, linestyle=DASHES)
        found = correlations[correlations["arm"] == arm].iloc[0]
        words = f"rank correlation: all frames {found['together']:+.2f}\n"
        inside = f"{found['inside']:+.2f} (mean of {found['clips']})" if found["clips"] else "–"
        words += f"inside clips {inside}"
        axes.set_title(wrapped(arm, 2.1, 10.5, "bold"), pad=30)
        axes.text(0, 1.015, words.replace("-", "−"), transform=axes.transAxes, fontsize=8, color=QUIET)
        axes.set_xlim(-0.04, 1.04)
        axes.grid(axis="y")
    label_edges(panels, _SIDE_BY_SIDE, "true intensity", "weight × frames")
    panels[0].set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=3)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set(alpha=1, sizes=[30])
    return figure


def _draw_medians(axes: Axes, steps: pd.DataFrame) -> None:
    if steps.empty:
        return
    places, middle = steps["intensity"].to_numpy(), steps["middle"].to_numpy()
    reach = np.abs(steps[["low", "high"]].to_numpy().T - middle)
    axes.errorbar(places, middle, reach, fmt="s-", color=INK, markersize=6, linewidth=1.6, capsize=3,
                  label="median and quarters, without distractor")  # fmt: skip


def weight_by_distractor(table: pd.DataFrame) -> Figure:
    """Draw the mean relative weight of frames by kind of distractor, with its interval over clips.

    Args:
        table: ``arm``, ``distractor``, ``frames`` (how many), ``mean``, ``low`` and ``high``.
    """
    arms = list(dict.fromkeys(table["arm"]))
    kinds = sorted(set(table["distractor"]), key=lambda kind: (kind != NOTHING, kind))
    colours = arm_colours(arms)
    figure = new_figure(7.6, 0.3 * len(kinds) * max(len(arms), 1) + 1.2)
    axes = figure.subplots()
    axes.axvline(1, color=INK, linewidth=1, linestyle=DASHES)
    height = 0.74 / max(len(arms), 1)
    for i, arm in enumerate(arms):
        rows = table[table["arm"] == arm].set_index("distractor")
        for y, kind in enumerate(kinds):
            if kind not in rows.index:
                continue
            mean, reach = rows.loc[kind, "mean"], rows.loc[kind, "high"] - rows.loc[kind, "mean"]
            place = y + (i - (len(arms) - 1) / 2) * height
            axes.barh(place, mean, height * 0.9, color=colours[arm], label=plain(arm) if y == 0 else None)
            if np.isfinite(reach):
                axes.errorbar(mean, place, xerr=reach, ecolor=INK, elinewidth=1, capsize=2)
            end = mean + (reach if np.isfinite(reach) else 0)
            axes.annotate(f"{mean:.2f}", (end, place), (5, 0), textcoords="offset points", va="center",
                          fontsize=8.5, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1})  # fmt: skip
    counts = table[table["arm"] == arms[0]].set_index("distractor")["frames"] if arms else {}
    axes.set_yticks(range(len(kinds)), [f"{plain(kind)} ({counts.get(kind, 0)} frames)" for kind in kinds])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("mean of weight × frames (1: as in a plain mean)")
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    if len(arms) > 1:
        figure.legend(loc="outside lower center", ncols=len(arms))
    return figure


def order_curves(table: pd.DataFrame) -> Figure:
    """Draw how often pairs of frames are put in the right order, by the gap of their true intensities.

    Args:
        table: ``order``, ``low_gap``, ``high_gap``, ``pairs``, ``mean``, ``low`` and ``high``, a row for
            each order and bin; all shares.
    """
    orders = list(dict.fromkeys(table["order"]))
    bins = table[table["order"] == orders[0]].sort_values("low_gap")
    colours, markers = arm_colours(orders), arm_markers(orders)
    figure = new_figure(7.6, 4.2)
    axes = figure.subplots()
    axes.axhline(0.5, color=INK, linewidth=1, linestyle=DASHES)
    for number, order in enumerate(orders):
        rows = table[table["order"] == order].sort_values("low_gap")
        places = np.arange(len(rows)) + 0.09 * (number - (len(orders) - 1) / 2)  # side by side
        reach = np.abs(rows[["low", "high"]].to_numpy().T - rows["mean"].to_numpy())
        axes.errorbar(places, rows["mean"], reach, color=colours[order], marker=markers[order], capsize=2,
                      elinewidth=1.1, linewidth=1.4, label=plain(order))  # fmt: skip
    words = [
        f"{row['low_gap']:g} to {row['high_gap']:g}\n({row['pairs']} pairs)" for _, row in bins.iterrows()
    ]
    axes.set_xticks(range(len(bins)), words)
    axes.set(xlabel="gap of the true intensities", ylabel="pairs in the right order")
    percent_axis(axes.yaxis)
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=legend_columns(orders, 3))
    return figure
