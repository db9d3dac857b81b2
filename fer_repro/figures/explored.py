"""What explorers show of one face or clip: masks, regions, frames, angles, scores of detectors.

Scales are fixed, so that a change of a factor is seen as one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_repro.figures.region_figures import Box
from fer_repro.figures.results import show_face
from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    GREY,
    HEAT,
    INK,
    MARKERS,
    QUIET,
    bare,
    new_figure,
    plain,
)
from fer_repro.figures.true_areas import outline
from fer_repro.measures.saliency import enlarge

Array = np.ndarray


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
        shown: the class that the face shows; empty where nobody knows.
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
    covered: Array | None,
    names: Sequence[str],
    likely: Array,
    shown: str,
) -> Figure:
    """Draw the regions of a face, their weights next to the share that is occluded, and the probabilities.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        boxes: R regions.
        weights: (R,) of sum 1.
        covered: (R,) in [0, 1]; None where nobody knows.
        names: K classes.
        likely: (K,) probabilities.
        shown: the class that the face shows; empty where nobody knows.
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
    if covered is not None:
        left.bar(places + 0.2, covered * 0.6, 0.4, color=GREY, label="share occluded (at the top: all)")
    left.axhline(1 / len(boxes), color=QUIET, linewidth=1.2, linestyle=DASHES, label="equal weights")
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
    intensity: Array | None,
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
        intensity: (T,) true intensity in [0, 1]; None where nobody knows.
        hidden: frames in which the face is occluded.
        names: K classes.
        likely: (K,) probabilities.
        shown: the class that the clip shows; empty where nobody knows.
    """
    count = len(frames)
    figure = new_figure(7.6, 4.5)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.0, 2.5])[:, 0]
    for place, axes in enumerate(top.subplots(1, count, squeeze=False)[0]):
        show_face(axes, frames[place])
        axes.set_title(str(place), fontsize=8.5, loc="center", fontweight="normal")
    left, right = bottom.subplots(1, 2, width_ratios=[1.6, 1])
    steps, most = np.arange(count), 6.0
    if intensity is not None:
        left.fill_between(steps, most * intensity, color=GREY, linewidth=0, label="true intensity (top: 1)")
    for place in hidden:
        left.axvspan(place - 0.5, place + 0.5, facecolor="none", edgecolor=QUIET, hatch="////", linewidth=0)
    left.bar(steps, alpha / alpha.mean(), 0.55, color=COLOURS[0], alpha=0.6, label="α, relative to its mean")
    left.plot(steps, weights * count, color=COLOURS[1], marker="o", label="final weight × frames")
    left.axhline(1, color=INK, linewidth=1.1, linestyle=DASHES, label="equal weights")
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
    """Draw probabilities as bars; the class that is shown in orange, if it is known."""
    _draw_bars(axes, names, likely, [COLOURS[1] if name == shown else COLOURS[0] for name in names])
    axes.set_title("What the network predicts")
    known = f"; orange: {plain(shown)}, as shown" if shown else ""
    axes.set_xlabel(f"probability{known}", fontsize=8.5)


def _draw_bars(axes: Axes, names: Sequence[str], values: Array, colours: Sequence[str]) -> None:
    """Draw numbers in [0, 1] as bars from top to bottom, with their percent."""
    places = np.arange(len(names))
    axes.barh(places, values, 0.7, color=colours)
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:.0%}", (value, place), (3, 0), textcoords="offset points", va="center",
                      fontsize=8)  # fmt: skip
    axes.set_yticks(places, [plain(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])


_CLOSE = (60, 120)  # degrees; where all angles lie inside, the axis shows no more


class Met(NamedTuple):
    """A face among the people trained on.

    Attributes:
        shown: the face as it is, (H, W) or (H, W, 3).
        rival: an image of the other person whose class vector is nearest; of a stranger the nearest person.
        rival_name: who that is.
        own: angle to the true class vector, of a stranger to the nearest one, degrees.
        others: (C − 1,) angles to all others, degrees.
        scale: the head's s.
        stranger: the face is of none of these people.
    """

    shown: Array
    rival: Array
    rival_name: str
    own: float
    others: Array
    scale: float
    stranger: bool = False

    @property
    def own_name(self) -> str:
        """Who ``own`` is the angle to."""
        return "the nearest person" if self.stranger else "the true person"


def softmax_share(degrees: Array, others: Array, scale: float) -> Array:
    """Probability of the true class at any angle to it: exp(s cos) / (exp(s cos) + B).

    Args:
        degrees: angles to the true class vector, any shape.
        others: (C − 1,) angles to the other class vectors, degrees; B sums exp(s cos) over them.
        scale: s.
    """
    rest = np.exp(scale * np.cos(np.radians(others))).sum()
    return np.asarray(1 / (1 + rest * np.exp(-scale * np.cos(np.radians(degrees)))))


def push(degrees: Array) -> Array:
    """Length of P2SGrad's gradient on a unit embedding towards its class: (1 − cos) sin."""
    angles = np.radians(degrees)
    return np.asarray((1 - np.cos(angles)) * np.sin(angles))


def angles_explored(met: Met, forces: bool = False) -> Figure:
    """Draw a face and its rival, the angles to all class vectors, and the position of the face on its curve.

    Args:
        met: the face among the people trained on.
        forces: the curve is P2SGrad's force instead of the softmax's probability.
    """
    figure = new_figure(7.6, 3.2)
    faces, left, right = figure.subfigures(1, 3, squeeze=False, width_ratios=[1.0, 2.0, 2.0])[0]
    above, below = faces.subplots(2, 1)
    rival = f"{'nearest' if met.stranger else 'rival'} {met.rival_name}"
    for axes, image, words in ((above, met.shown, "shown"), (below, met.rival, rival)):
        show_face(axes, image)
        axes.set_title(plain(words), fontsize=9, loc="center", fontweight="normal")
    _draw_angles(left.subplots(), met)
    axes = right.subplots()
    degrees = np.linspace(0, 180, 361)
    curve = push(degrees) if forces else softmax_share(degrees, met.others, met.scale)
    here = float(
        push(np.array(met.own)) if forces else softmax_share(np.array(met.own), met.others, met.scale)
    )
    axes.plot(degrees, curve, color=COLOURS[2])
    axes.plot([met.own], [here], "o", color=COLOURS[0], markersize=9)
    axes.annotate(f"{here:.2f}", (met.own, here), (8, 4), textcoords="offset points")
    axes.set_ylim(-0.02, 1.4 if forces else 1.05)
    axes.set_title("Force towards the class" if forces else f"P of {met.own_name}, s = {met.scale:.1f}")
    _angle_axis(axes)
    axes.grid()
    return figure


def _draw_angles(axes: Axes, met: Met) -> None:
    close = (
        min(met.own, float(met.others.min())) > _CLOSE[0]
        and max(met.own, float(met.others.max())) < _CLOSE[1]
    )
    low, high = _CLOSE if close else (0, 180)
    axes.hist(
        met.others, bins=np.linspace(low, high, 46).tolist(), color=COLOURS[1], alpha=0.6, label="others"
    )
    axes.axvline(met.own, color=COLOURS[0], linewidth=2.4, label=met.own_name)
    axes.axvline(
        float(met.others.min()),
        color=COLOURS[1],
        linewidth=1.4,
        linestyle=DASHES,
        label="the next" if met.stranger else "the rival",
    )
    axes.axvline(90, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_ylabel("class vectors")
    axes.set_ylim(0, 45)
    who = ("Nearest", "next") if met.stranger else ("True person", "rival")
    axes.set_title(f"{who[0]} {met.own:.0f}°, {who[1]} {met.others.min():.0f}°")
    _angle_axis(axes)
    if close:
        axes.set_xlim(low, high)
        axes.set_xticks(range(low, high + 1, 10))
    axes.legend(loc="upper right", fontsize=8)


def _angle_axis(axes: Axes) -> None:
    axes.set_xlim(0, 180)
    axes.set_xticks(range(0, 181, 45))
    axes.set_xlabel("angle (degrees)")


def forgery_explored(
    face: Array,
    attention: Array | None,
    truth: Array | None,
    strengths: Array,
    scores: Mapping[str, Sequence[float] | Array],
    strength: float,
) -> Figure:
    """Draw a manipulated face, its attention map, and every network's score over the strength.

    Args:
        face: (H, W, 3) uint8, at ``strength``.
        attention: (h, w) in (0, 1); None where the network has none.
        truth: (H, W) bool, the manipulated area; None where it is not known.
        strengths: (n,) at which scores were taken, 0 the real face and 1 the manipulated one.
        scores: network -> (n,) P(manipulated).
        strength: that of ``face``.
    """
    figure = new_figure(7.6, 4.9)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.0, 1.45])[:, 0]
    _draw_attention(panels := top.subplots(1, 4), face, attention)
    show_face(panels[3], face)
    if truth is not None and strength > 0:
        outline(panels[3], truth)
    axes = bottom.subplots()
    for place, (name, values) in enumerate(scores.items()):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(strengths, values, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=3.5,
                  linewidth=2.8 if place == len(scores) - 1 else 1.5, label=plain(name))  # fmt: skip
        axes.plot([strength], np.interp([strength], strengths, values), "o", color=colour, markersize=8)
    axes.axvline(strength, color=INK, linewidth=1)
    axes.axhline(0.5, color=QUIET, linewidth=1.1, linestyle=DASHES)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of the manipulation that is blended in")
    axes.set_ylabel("P(manipulated)")
    axes.grid()
    bottom.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _draw_attention(panels: Array, face: Array, attention: Array | None) -> None:
    """Draw on the first three axes; a fourth gets its frame and title."""
    titles = ("face", "attention", "face × attention", "changed area")
    for title, axes in zip(titles, panels, strict=False):
        bare(axes)
        axes.set_title(title, fontsize=9, loc="center", fontweight="normal")
    show_face(panels[0], face)
    if attention is not None:
        large = enlarge(attention.astype(float), *face.shape[:2])
        panels[1].imshow(large, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest")
        show_face(panels[2], face / 255 * large[..., None])


def scores_explored(face: Array, attention: Array | None, scores: Mapping[str, float]) -> Figure:
    """Draw a face of which nobody knows whether it was manipulated, its attention map and all scores.

    Args:
        face: (H, W, 3) uint8.
        attention: (h, w) in (0, 1); None where the network has none.
        scores: network -> P(manipulated).
    """
    figure = new_figure(7.6, 4.2)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.15, 1.0])[:, 0]
    _draw_attention(top.subplots(1, 3), face, attention)
    axes = bottom.subplots()
    _draw_bars(axes, list(scores), np.array(list(scores.values())), [COLOURS[0]] * len(scores))
    axes.axvline(0.5, color=QUIET, linewidth=1.1, linestyle=DASHES)
    axes.set_xlabel("P(manipulated)")
    return figure


def answer_explored(image: Array, names: Sequence[str], likely: Array, shown: str) -> Figure:
    """Draw a face beside the probabilities that a network gives it.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        names: K classes.
        likely: (K,) probabilities.
        shown: the class that the face shows; empty where nobody knows.
    """
    figure = new_figure(7.6, 2.9)
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.7])
    show_face(left, image)
    _draw_likely(right, names, likely, shown)
    return figure
