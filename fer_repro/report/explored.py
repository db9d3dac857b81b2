"""Figures of one face or clip whose factors are moved: scales are fixed, so that a change is seen as one."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_repro.report.figures import show_face
from fer_repro.report.regions import Box
from fer_repro.report.style import COLOURS, HEAT, INK, QUIET, bare, new_figure, plain

Array = np.ndarray
_DASHES = (0, (3, 2))
_INTENSITY = "#cdd5dc"


def masks_explored(
    image: Array, masks: Sequence[Array], names: Sequence[str], likely: Array, shown: str
) -> Figure:
    """Draw a face, the largest channel of 1 + M of each stage over it, and the probabilities.

    Colours run from 1, nothing raised, to 2, the most that a mask can do.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        masks: one (C, h, w) array per stage; none for a network without masks.
        names: K classes.
        likely: (K,) probabilities.
        shown: the class that the face shows.
    """
    figure = new_figure(7.6, 4.0)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.0, 1.15])[:, 0]
    panels = top.subplots(1, 5, squeeze=False)[0]
    show_face(panels[0], image)
    panels[0].set_title("face", fontsize=9, loc="center", fontweight="normal")
    for axes in panels[1:]:
        bare(axes)
    height, width = image.shape[:2]
    for stage, (axes, mask) in enumerate(zip(panels[1:], masks, strict=False), start=1):
        largest = mask.max(axis=0).astype(float)
        show_face(axes, image)
        axes.imshow(
            largest, cmap=HEAT, vmin=0, vmax=1, alpha=0.25 + 0.6 * np.clip(largest, 0, 1),
            interpolation="bilinear", extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        )  # fmt: skip
        axes.set_title(f"stage {stage}, at most {1 + largest.max():.2f}", fontsize=9, loc="center",
                       fontweight="normal")  # fmt: skip
    _draw_likely(bottom.subplots(), names, likely, shown)
    return figure


def regions_explored(
    image: Array,
    boxes: Mapping[str, Box],
    weights: Array,
    covered: Array,
    names: Sequence[str],
    likely: Array,
    shown: str,
) -> Figure:
    """Draw the regions of a face, their weights beside the share that is covered, and the probabilities.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        boxes: R regions.
        weights: (R,) of sum 1.
        covered: (R,) in [0, 1].
        names: K classes.
        likely: (K,) probabilities.
        shown: the class that the face shows.
    """
    figure = new_figure(7.6, 4.3)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.0, 1.9])[:, 0]
    best = int(weights.argmax())
    for place, (axes, (name, box)) in enumerate(
        zip(top.subplots(1, len(boxes), squeeze=False)[0], boxes.items(), strict=True)
    ):
        _draw_region(axes, image, box, heaviest=place == best)
        axes.set_title(plain(name), fontsize=8.5, loc="center", fontweight="normal")
    left, right = bottom.subplots(1, 2, width_ratios=[1.25, 1])
    places = np.arange(len(boxes))
    left.bar(places - 0.2, weights, 0.4, color=COLOURS[0], label="weight, share of μν")
    left.bar(places + 0.2, covered * 0.6, 0.4, color=_INTENSITY, label="share covered (at the top: all)")
    left.axhline(1 / len(boxes), color=QUIET, linewidth=1.2, linestyle=_DASHES, label="equal weights")
    named = [
        f"{plain(name)} {weight:.3f}".replace(" ", "\n") for name, weight in zip(boxes, weights, strict=True)
    ]
    left.set_xticks(places, named, fontsize=7.5)
    left.tick_params(axis="x", length=0)
    left.set_ylim(0, 0.6)
    left.set_title("Weights of the regions")
    left.legend(loc="upper left", fontsize=8)
    left.set_ylabel("weight")
    _draw_likely(right, names, likely, shown)
    return figure


def frames_explored(
    frames: Array,
    alpha: Array,
    weights: Array,
    intensity: Array,
    hidden: Sequence[int],
    names: Sequence[str],
    likely: Array,
    shown: str,
) -> Figure:
    """Draw a clip, the weights of its frames over the true intensity, and the probabilities.

    Args:
        frames: (T, H, W) or (T, H, W, 3), uint8.
        alpha: (T,) self-attention.
        weights: (T,) final shares, of sum 1.
        intensity: (T,) true intensity in [0, 1].
        hidden: frames in which something covers the face.
        names: K classes.
        likely: (K,) probabilities.
        shown: the class that the clip shows.
    """
    count = len(frames)
    figure = new_figure(7.6, 4.5)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.0, 2.5])[:, 0]
    for place, axes in enumerate(top.subplots(1, count, squeeze=False)[0]):
        show_face(axes, frames[place])
        axes.set_title(str(place), fontsize=8.5, loc="center", fontweight="normal")
    left, right = bottom.subplots(1, 2, width_ratios=[1.6, 1])
    steps, most = np.arange(count), 6.0
    left.fill_between(steps, most * intensity, color=_INTENSITY, linewidth=0, label="true intensity (top: 1)")
    for place in hidden:
        left.axvspan(place - 0.5, place + 0.5, facecolor="none", edgecolor=QUIET, hatch="////", linewidth=0)
    left.bar(steps, alpha / alpha.mean(), 0.55, color=COLOURS[0], alpha=0.6, label="α, relative to its mean")
    left.plot(steps, weights * count, color=COLOURS[1], marker="o", label="final weight × frames")
    left.axhline(1, color=INK, linewidth=1.1, linestyle=_DASHES, label="equal weights")
    left.set_ylim(0, most)
    left.set_xticks(steps)
    left.set_xlabel("frame")
    left.set_title("Weights of the frames")
    bottom.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    _draw_likely(right, names, likely, shown)
    return figure


def _draw_region(axes: Axes, image: Array, box: Box, heaviest: bool) -> None:
    height, width = image.shape[:2]
    show_face(axes, image)
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    inside = ((rows >= box[1]) & (rows <= box[3]))[:, None] & ((columns >= box[0]) & (columns <= box[2]))
    veil = np.ones((height, width, 4))
    veil[..., 3] = np.where(inside, 0.0, 0.75)
    axes.imshow(veil, interpolation="nearest")
    axes.add_patch(
        Rectangle(
            (width * box[0] - 0.5, height * box[1] - 0.5), width * (box[2] - box[0]),
            height * (box[3] - box[1]), fill=False, clip_on=False,
            edgecolor=COLOURS[1] if heaviest else QUIET, linewidth=3.0 if heaviest else 0.8,
        )
    )  # fmt: skip


def _draw_likely(axes: Axes, names: Sequence[str], likely: Array, shown: str) -> None:
    """Draw probabilities as bars; the class that is shown in orange."""
    places = np.arange(len(names))
    colours = [COLOURS[1] if name == shown else COLOURS[0] for name in names]
    axes.barh(places, likely, 0.7, color=colours)
    for place, value in zip(places, likely, strict=True):
        axes.annotate(f"{value:.0%}", (value, place), (3, 0), textcoords="offset points", va="center",
                      fontsize=8)  # fmt: skip
    axes.set_yticks(places, [plain(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
    axes.set_title("What the network says")
    axes.set_xlabel(f"probability; orange: {plain(shown)}, as shown", fontsize=8.5)
