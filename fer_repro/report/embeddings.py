"""Maps of embeddings in the plane: their two main directions, coloured by what is known of the faces."""

from collections.abc import Mapping, Sequence

import matplotlib.patheffects as outlines
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_repro.report.style import COLOURS, MARKERS, PAPER, QUIET, bare, new_figure, plain

Array = np.ndarray
_LEGEND = 8  # groups that a legend names; more are named on the map
_NAMED = 24  # groups that are named at all


def principal_plane(embeddings: Array) -> tuple[Array, tuple[float, float]]:
    """Project embeddings on the plane of largest variance (PCA).

    Signs are chosen so that the largest coordinate of each axis, by its size, is positive.

    Args:
        embeddings: (N, D).

    Returns:
        (N, 2) coordinates, and the shares of the variance along both axes.
    """
    centred = np.asarray(embeddings, float) - np.mean(embeddings, axis=0, dtype=float)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = left[:, :2] * sizes[:2]
    peaks = points[np.abs(points).argmax(axis=0), np.arange(points.shape[1])]
    shares = sizes**2 / max(float((sizes**2).sum()), 1e-30)
    return points * np.where(peaks < 0, -1, 1), (float(shares[0]), float(shares[1]))


def embedding_map(
    points: Array, groups: Mapping[str, Sequence[str]], shares: tuple[float, float] | None = None
) -> Figure:
    """Draw the same points once for each way to colour them.

    Args:
        points: (N, 2), of ``principal_plane`` or of any other projection.
        groups: title of a panel -> N names, such as the persons and the expressions.
        shares: of the variance along both axes, printed on the axes; None prints nothing.
    """
    figure = new_figure(7.6, 7.6 / max(len(groups), 2) + 0.75)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (title, names) in zip(panels, groups.items(), strict=True):
        _draw_groups(axes, points, np.asarray([str(name) for name in names]))
        axes.set_title(plain(title))
        if shares is not None:
            axes.set_xlabel(f"first axis, {shares[0]:.0%} of the variance", fontsize=8.5, color=QUIET)
            axes.set_ylabel(f"second axis, {shares[1]:.0%}", fontsize=8.5, color=QUIET)
    return figure


def _draw_groups(axes: Axes, points: Array, names: Array) -> None:
    distinct = list(dict.fromkeys(sorted(names)))
    named = len(distinct) <= _LEGEND
    for i, name in enumerate(distinct):
        chosen = points[names == name]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=17, color=COLOURS[i % len(COLOURS)], alpha=0.75, linewidths=0,
            marker=MARKERS[(i + i // len(COLOURS)) % len(MARKERS)], label=plain(name),
        )  # fmt: skip
        if not named and len(distinct) <= _NAMED:
            middle = np.median(chosen, axis=0)
            text = axes.annotate(plain(name), tuple(middle), ha="center", va="center", fontsize=8,
                                 color=COLOURS[i % len(COLOURS)], fontweight="bold")  # fmt: skip
            text.set_path_effects([outlines.withStroke(linewidth=2.4, foreground=PAPER)])
    bare(axes)
    axes.margins(0.06)
    if named:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=4, fontsize=8.5,
                    handletextpad=0.2, columnspacing=1.0)  # fmt: skip
