"""What networks answer: confusion, ROC, reliability, bars, embeddings."""

from collections.abc import Mapping, Sequence

import matplotlib.patheffects as outlines
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_repro.figures.display import Shown, say, show_figure
from fer_repro.figures.results import confusion_matrices, learning_curves, recall_bars
from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
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
)
from fer_repro.measures.calibration import BINS, binned_error, reliability_bins


def show_outcome(
    confusions: Mapping[str, np.ndarray], classes: Sequence[str], scores: pd.DataFrame, about: str
) -> Shown:
    """Show confusion matrices of predicted classes, else how well pairs are told apart or numbers predicted.

    Args:
        confusions: arm -> (K, K) counts; empty where pairs were scored.
        classes: K names.
        scores: ``arm``, ``seed``, ``far``, ``tar`` of the pairs, or ``target`` and ``prediction`` of the
            samples; empty where classes were predicted.
        about: what was trained on what, for the caption.
    """
    if confusions:
        return show_figure(
            confusion_matrices(confusions, classes),
            f"Confusion on the test part, without test-time augmentation: {about}.",
            "One matrix per arm: rows are true classes, columns predicted ones.",
        )
    if "prediction" in scores:
        return show_figure(
            numbers_over_truth(scores),
            f"Predicted numbers over true ones, on the test part: {about}. The mean of each true number as a "
            "dot, single samples as points; on the line they would be right.",
            "One panel per arm.",
        )
    return show_figure(
        roc_lines(scores),
        f"Accepted same pairs over accepted different ones, on the test pairs: {about}.",
        "One curve per arm, from accepting nothing to accepting everything; the diagonal is chance.",
    )


def show_curves(history: pd.DataFrame, arms: Sequence[str], caption: str) -> Shown:
    """Show loss and accuracy over epochs; a sentence names arms that were fitted at once and have none.

    Args:
        history: as ``learning_curves`` takes it; the one record of an arm without epochs is of epoch 0.
        arms: which.
        caption: of the figure.
    """
    learnt = set(history.loc[history["epoch"] > 0, "arm"])
    curved, fitted = ([arm for arm in arms if (arm in learnt) == has] for has in (True, False))
    words = f"Fitted at once, without epochs and so without a curve: {', '.join(map(plain, fitted))}."
    if not curved:
        return say(words)
    alt = f"Learning curves of the arms {', '.join(curved)}."
    figure = show_figure(learning_curves(history, curved), caption, alt)
    return Shown(figure.markup + say(words).markup) if fitted else figure


def roc_lines(scores: pd.DataFrame) -> Figure:
    """Draw one receiver operating characteristic per arm and seed from its corners.

    Args:
        scores: ``arm``, ``seed``, ``far`` and ``tar`` in [0, 1].
    """
    figure = new_figure(5.2, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
    colours = arm_colours(dict.fromkeys(scores["arm"]))
    for (named, _), part in scores.groupby(["arm", "seed"], sort=False):
        arm = str(named)
        known = axes.get_legend_handles_labels()[1]
        name = plain(arm)
        axes.plot(part["far"], part["tar"], color=colours[arm], label=None if name in known else name)
    axes.set(xlabel="accepted different pairs", ylabel="accepted same pairs", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="lower right", frameon=False)
    return figure


def numbers_over_truth(scores: pd.DataFrame) -> Figure:
    """Draw predicted over true numbers, one panel per arm: what a reliability diagram is for classes.

    Args:
        scores: ``arm``, ``seed``, ``target``, ``prediction``.
    """
    arms = list(dict.fromkeys(scores["arm"]))
    figure, panels = panel_grid(len(arms), min(3, len(arms)), 2.6, 0.3)
    ends = [float(scores["target"].min()), float(scores["target"].max())]
    for axes, arm in zip(panels, arms, strict=True):
        part = scores[scores["arm"] == arm]
        axes.plot(ends, ends, color=QUIET, linewidth=1, linestyle=DASHES)
        shift = np.random.default_rng(0).uniform(-0.02, 0.02, len(part)) * (ends[1] - ends[0])
        axes.plot(part["target"] + shift, part["prediction"], ".", color=COLOURS[0], markersize=3, alpha=0.25)
        means = part.groupby("target")["prediction"].mean()
        axes.plot(means.index, means, "o-", color=COLOURS[1], markersize=6, linewidth=1.4)
        axes.set_title(plain(arm), fontsize=9.5)
        axes.grid(axis="y")
    label_edges(panels, min(3, len(arms)), "true", "predicted")
    return figure


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
        upper.plot([0, 1], [0, 1], color=INK, linewidth=1.2, linestyle=DASHES, label="calibrated")
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
        percent_axis(axes.yaxis, axes.xaxis)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def show_bars(table: pd.DataFrame, title: str, caption: str, nothing: str) -> Shown:
    """Show bars with their ends, or state why there are none.

    Args:
        table: columns ``arm``, ``class``, ``value``, ``low``, ``high``, all in [0, 1].
        title: above the bars.
        caption: what to see.
        nothing: text where the table is empty.
    """
    if table.empty:
        return say(nothing)
    parts = [f"{row['arm']}, {row['class']}: {row['value']:.1%}" for _, row in table.iterrows()]
    words = "; ".join(part.replace("\n", " ") for part in parts)
    return show_figure(recall_bars(table, title), caption, f"Bars. {words}.")


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


def errors_by_setting(table: pd.DataFrame, words: str) -> Figure:
    """Draw squared errors over the values of a setting, one line per arm with its intervals.

    Args:
        table: ``arm``, ``setting``, ``value``, ``low``, ``high``, the last two missing where unknown.
        words: what is set, for the axis.
    """
    arms = list(dict.fromkeys(table["arm"]))
    colours, markers = arm_colours(arms), arm_markers(arms)
    figure = new_figure(7.6, 3.4)
    axes = figure.subplots()
    for arm in arms:
        part = table[table["arm"] == arm]
        axes.fill_between(
            part["setting"], part["low"], part["high"], color=colours[arm], alpha=0.14, linewidth=0
        )
        axes.plot(part["setting"], part["value"], color=colours[arm], marker=markers[arm], label=plain(arm))
    settings = sorted(set(table["setting"]))
    axes.set_xscale("log")
    axes.set_xticks(settings, [f"{setting:g}" for setting in settings])
    axes.set_xticks([], minor=True)
    axes.set_yscale("log")
    axes.set(xlabel=words, ylabel="mean squared error")
    axes.grid(axis="y")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure
