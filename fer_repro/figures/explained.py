"""Figures of what a network looks at: masks on faces, mask values, and the network itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from fer_repro.figures.display import Shown, say, show_figure
from fer_repro.figures.result_files import ExplainedFaces, stages
from fer_repro.figures.results import show_face
from fer_repro.figures.style import COLOURS, DASHES, HEAT, INK, PAPER, QUIET, bare, new_figure, plain

Array = np.ndarray
Maps = Sequence[Array]


def mask_overlay(images: Array, masks: Maps, titles: Sequence[str], kind: str = "mean") -> Figure:
    """Lay the factor 1 + M of each stage over each face.

    Every row is one face; every column one stage, from the finest map to the coarsest. Colour runs from the
    smallest to the largest value of that stage over all faces drawn, which its title states: where a channel
    mean has no spread (a softmax over channels fixes it), the map is one flat colour: that is the finding.
    Low values are drawn more transparent than high ones, so that the face stays visible beneath.

    Args:
        images: (N, H, W) or (N, H, W, 3), uint8 or in [0, 1].
        masks: one (N, C, h, w) array per stage.
        titles: N names.
        kind: ``mean`` draws the mean over channels of 1 + M, ``max`` its largest channel.
    """
    reduced = [1 + (m.mean(axis=1) if kind == "mean" else m.max(axis=1)) for m in masks]
    word = {"mean": "Channel mean of 1 + M", "max": "Largest channel of 1 + M"}[kind]
    return _stage_columns(images, reduced, titles, word)


def score_overlay(images: Array, scores: Maps, titles: Sequence[str]) -> Figure:
    """Lay each stage's scores before the softmax (channel mean) over each face; see ``mask_overlay``."""
    return _stage_columns(images, [s.mean(axis=1) for s in scores], titles, "Channel mean of the scores")


def _stage_columns(images: Array, maps: Maps, titles: Sequence[str], word: str) -> Figure:
    rows, columns = len(images), len(maps) + 1
    figure = new_figure(7.6, rows * 7.6 / columns * 0.98 + 0.75)
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(word, fontsize=10.5, fontweight="bold", x=0.01, ha="left")
    height, width = images.shape[1:3]
    for row in range(rows):
        show_face(panels[row, 0], images[row])
        panels[row, 0].set_ylabel(plain(titles[row]), fontsize=9)
    for column, stage in enumerate((values.astype(float) for values in maps), start=1):
        low, high = float(stage.min()), float(stage.max())
        flat = high - low < 1e-4
        name = f"stage {column}\n{low:.4g}" + (" everywhere" if flat else f" … {high:.4g}")
        panels[0, column].set_title(name, fontsize=8.5, fontweight="normal", pad=4)
        for row in range(rows):
            axes = panels[row, column]
            show_face(axes, images[row])
            heat = np.full(stage[row].shape, 0.5) if flat else (stage[row] - low) / (high - low)
            axes.imshow(
                heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.3 + 0.5 * heat, interpolation="bilinear",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            )  # fmt: skip
    return figure


def mask_statistics(masks: Maps, table: pd.DataFrame, scores: Maps | None = None) -> Figure:
    """Draw how the mask values M of each stage are spread, on a logarithmic axis.

    The dashed line is 1/C, the mean that a softmax over C channels forces.

    Args:
        masks: one (N, C, h, w) array per stage.
        table: a row per stage, with ``median of M`` and ``99 % below``.
        scores: before the activation, alike; if given, the masks a sigmoid would make of them are drawn, too.
    """
    figure = new_figure(7.6, 2.9)
    panels = figure.subplots(1, len(masks), sharey=True, squeeze=False)[0]
    floor = 1e-6
    edges = np.logspace(np.log10(floor), 0, 61)
    for i, (axes, values) in enumerate(zip(panels, masks, strict=True)):
        flat = np.clip(values.ravel().astype(float), floor, 1.0)
        weights = np.full(flat.size, 1 / flat.size)
        axes.hist(flat, bins=edges, weights=weights, color=COLOURS[0], alpha=0.85, label="M")
        if scores is not None:
            other = 1 / (1 + np.exp(-scores[i].ravel().astype(float)))
            axes.hist(
                other, bins=edges, weights=weights, color=COLOURS[2], alpha=0.85, label="sigmoid instead"
            )
        axes.set_xscale("log")
        axes.set_xticks([1e-6, 1e-4, 1e-2, 1])
        axes.minorticks_off()
        channels = values.shape[1]
        axes.set_title(f"stage {i + 1}, C = {channels}", fontsize=9.5)
        axes.axvline(1 / channels, color=COLOURS[1], linewidth=1.6, linestyle=DASHES)
        median, most = (float(table[name].iloc[i]) for name in ("median of M", "99 % below"))
        axes.text(0.03, 0.97, f"median {median:.2g}\n99 % below {most:.2g}",
                  transform=axes.transAxes, va="top", fontsize=7.8, color=QUIET)  # fmt: skip
        axes.set_xlabel("M")
    panels[0].set_ylabel("share of mask values")
    panels[0].set_ylim(0, panels[0].get_ylim()[1] * 1.3)
    panels[-1].plot([], [], color=COLOURS[1], linestyle=DASHES, label="1/C: every channel alike")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def show_explained(explained: Mapping[str, Array], faces: ExplainedFaces) -> Shown:
    """Show where a run's network attends, or state that it kept no maps to draw over a face.

    Args:
        explained: tensors of ``read_explained``.
        faces: those of its images to draw.
    """
    masks = [mask[faces.chosen] for mask in stages(dict(explained), "mask")]
    if not masks:
        return say("This arm gives no maps that can be drawn over a face.")
    figure = mask_overlay(faces.images, masks, faces.titles, "max")
    return show_figure(
        figure, "Largest channel of 1 + M, per stage, over test faces.", "Masks over test faces."
    )


def mask_by_channel(mask: Array, image: Array, channels: int = 8) -> Figure:
    """Draw the channels of one stage that the mask raises most on one face, each in its own range.

    Args:
        mask: (C, h, w).
        image: the face, (H, W) or (H, W, 3).
        channels: how many to draw.
    """
    order = np.argsort(mask.max(axis=(1, 2)))[::-1][: min(channels, len(mask))]
    figure = new_figure(7.6, 7.6 / (len(order) + 1) + 0.3)
    panels = figure.subplots(1, len(order) + 1, squeeze=False)[0]
    show_face(panels[0], image)
    for axes, channel in zip(panels[1:], order, strict=True):
        axes.imshow(mask[channel], cmap=HEAT, interpolation="nearest")
        bare(axes)
        axes.set_title(f"ch. {channel}\n≤ {mask[channel].max():.2g}", fontsize=8, fontweight="normal", pad=3)
    return figure


def network_drawing(stages: pd.DataFrame, added: str = "masks") -> Figure:
    """Draw the network's stages in order, with output sizes and shares of parameters and operations.

    Args:
        stages: columns ``stage``, ``output`` (such as ``64 × 56 × 56``), ``parameters``, ``macs`` and
            ``mask`` (True for what the method adds).
        added: the word for what the method adds.
    """
    count = len(stages)
    figure = new_figure(7.6, 0.37 * count + 0.75)
    boxes, parameters, macs = figure.subplots(1, 3, width_ratios=[1.7, 1, 1], sharey=True)
    news = stages["mask"].to_numpy(dtype=bool)
    colours = [COLOURS[0] if flag else "#8a97a3" for flag in news]
    _draw_boxes(boxes, stages, colours)
    for axes, column, title in ((parameters, "parameters", "Parameters"), (macs, "macs", "Multiply-adds")):
        values = stages[column].to_numpy(dtype=float)
        axes.barh(range(count), values / values.sum(), color=colours, height=0.62)
        for y, value in enumerate(values):
            part = value / values.sum()
            axes.annotate(f"{_percent(part)}   {_short(value)}", (part, y), (4, 0),
                          textcoords="offset points", va="center", fontsize=8, color=QUIET)  # fmt: skip
        share = _percent(values[news].sum() / values.sum())
        axes.set_title(f"{title}: {_short(values.sum())}\n{share} in the {added}", fontsize=9.5)
        axes.set_xlim(0, (values / values.sum()).max() * 1.9)
        axes.set_xticks([])
        axes.tick_params(left=False)
        axes.spines["bottom"].set_visible(False)
    boxes.set_ylim(count - 0.4, -0.6)
    return figure


def _draw_boxes(axes: Axes, stages: pd.DataFrame, colours: Sequence[str]) -> None:
    bare(axes)
    axes.set_xlim(0, 10)
    for y, (_, row) in enumerate(stages.iterrows()):
        left, width = (1.0, 4.4) if row["mask"] else (0.1, 5.3)
        axes.add_patch(
            FancyBboxPatch((left, y - 0.29), width, 0.58, boxstyle="round,pad=0,rounding_size=0.12",
                           facecolor=colours[y], edgecolor=PAPER, mutation_aspect=0.5)
        )  # fmt: skip
        axes.text(left + width / 2, y, plain(row["stage"]), ha="center", va="center", fontsize=8.6,
                  color=PAPER if row["mask"] else INK, fontweight="bold")  # fmt: skip
        axes.text(5.8, y, plain(row["output"]), va="center", fontsize=8.4)
        if y:
            axes.plot([3.2, 3.2], [y - 0.71, y - 0.29], color=QUIET, linewidth=1.2, zorder=0)
    axes.set_title("Stage and its output", fontsize=9.5)


def _percent(share: float) -> str:
    return "< 1 %" if share < 0.005 else f"{100 * share:.0f} %"


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"
