"""Figures of one face whose factors are moved: angles to class vectors, and scores of detectors."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_repro.report.figures import show_face
from fer_repro.report.style import COLOURS, HEAT, INK, MARKERS, QUIET, bare, new_figure, plain
from fer_repro.report.truth import enlarge, outline

Array = np.ndarray
_DASHES = (0, (3, 2))
_CLOSE = (60, 120)  # degrees; where all angles lie inside, the axis shows no more


class Met(NamedTuple):
    """A face among the learnt people.

    Attributes:
        shown: the face as it is, (H, W) or (H, W, 3).
        rival: a picture of the other person whose class vector is nearest.
        rival_name: who that is.
        own: angle to the true class vector, degrees.
        others: (C − 1,) angles to all others, degrees.
        scale: the head's s.
    """

    shown: Array
    rival: Array
    rival_name: str
    own: float
    others: Array
    scale: float


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
    """Draw a face and its rival, the angles to all class vectors, and where the face stands on its curve.

    Args:
        met: the face among the learnt people.
        forces: the curve is P2SGrad's force instead of the softmax's probability.
    """
    figure = new_figure(7.6, 3.2)
    faces, left, right = figure.subfigures(1, 3, squeeze=False, width_ratios=[1.0, 2.0, 2.0])[0]
    above, below = faces.subplots(2, 1)
    for axes, picture, words in ((above, met.shown, "shown"), (below, met.rival, f"rival {met.rival_name}")):
        show_face(axes, picture)
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
    axes.set_title("Force towards the class" if forces else f"P of the true person, s = {met.scale:.1f}")
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
    axes.axvline(met.own, color=COLOURS[0], linewidth=2.4, label="the true person")
    axes.axvline(
        float(met.others.min()), color=COLOURS[1], linewidth=1.4, linestyle=_DASHES, label="the rival"
    )
    axes.axvline(90, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_ylabel("class vectors")
    axes.set_ylim(0, 45)
    axes.set_title(f"True person {met.own:.0f}°, rival {met.others.min():.0f}°")
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
    """Draw a manipulated face, what attention makes of it, and every network's score over the strength.

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
    panels = top.subplots(1, 4)
    titles = ("face", "attention", "face × attention", "changed area")
    for axes, title in zip(panels, titles, strict=True):
        bare(axes)
        axes.set_title(title, fontsize=9, loc="center", fontweight="normal")
    show_face(panels[0], face)
    if attention is not None:
        large = enlarge(attention.astype(float), *face.shape[:2])
        panels[1].imshow(large, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest")
        show_face(panels[2], face / 255 * large[..., None])
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
    axes.axhline(0.5, color=QUIET, linewidth=1.1, linestyle=_DASHES)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of the manipulation that is blended in")
    axes.set_ylabel("P(manipulated)")
    axes.grid()
    bottom.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure
