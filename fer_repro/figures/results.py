"""Figures every method shares: data, learning curves, confusion, recalls, intervals, errors.

Functions take tables or arrays and return a matplotlib figure; nothing here reads a file.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    INK,
    PAPER,
    QUIET,
    RATES,
    arm_colours,
    arm_markers,
    bare,
    label_edges,
    legend_columns,
    new_figure,
    panel_grid,
    percent_axis,
    plain,
    text_width,
    wrapped,
)

Array = np.ndarray
_RANGE = ("pi", 100)  # the band of a line: from the least to the largest of all seeds


MANY = 16
"""More classes than a figure or table can have a bar, a column or numbers of its own for."""


def class_balance(samples: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Draw the images per class, one panel per split.

    Args:
        samples: columns ``split`` and ``label`` (class index).
        classes: class names in index order.
    """
    splits = [name for name in ("train", "val", "test") if (samples["split"] == name).any()]
    figure = new_figure(7.6, 0.32 * len(classes) + 1.1)
    panels = figure.subplots(1, max(len(splits), 1), sharey=True, squeeze=False)[0]
    for axes, split in zip(panels, splits, strict=False):
        labels = samples.loc[samples["split"] == split, "label"]
        counts = np.bincount(labels.to_numpy(dtype=int), minlength=len(classes))[: len(classes)]
        positions = np.arange(len(classes))
        axes.barh(positions, counts, color=COLOURS[0], height=0.68)
        for y, count in zip(positions, counts, strict=True):
            share = count / max(counts.sum(), 1)
            axes.annotate(
                f"{count:,}  ({share:.0%})", (count, y), (4, 0), textcoords="offset points", va="center",
                fontsize=8, color=QUIET,
            )  # fmt: skip
        axes.set_title(f"{split}  ({counts.sum():,} images)")
        axes.set_xlim(0, max(counts.max(), 1) * 1.62)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
        axes.tick_params(left=False)
    panels[0].set_yticks(np.arange(len(classes)), [plain(name) for name in classes])
    panels[0].invert_yaxis()
    return figure


def contact_sheet(images: Array, titles: Sequence[str], columns: int = 8) -> Figure:
    """Draw a sheet of faces with a line of text above each.

    Args:
        images: (N, H, W) or (N, H, W, 3), uint8 or floats in [0, 1].
        titles: N lines.
        columns: faces per row.
    """
    return _face_sheet(images, titles, [""] * len(titles), columns, "center")


def _face_sheet(
    images: Array, above: Sequence[str], below: Sequence[str], columns: int, loc: Literal["left", "center"]
) -> Figure:
    """Draw faces with text above and below, broken into lines where a face is narrower than its text."""
    rows = max(1, -(-len(images) // columns))
    side = min(7.6 / columns, 1.9, max(6.4 / rows, 0.9))
    size = 8.5 if side > 0.9 else 7
    upper, lower = ([wrapped(text, side - 0.13, size) for text in texts] for texts in (above, below))
    lines = sum(max([text.count("\n") + bool(text) for text in texts], default=0) for texts in (upper, lower))
    figure = new_figure(side * columns, rows * (side + 0.0205 * size * lines + 0.08) + 0.1)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        bare(axes)
    for axes, image, over, under in zip(panels, images, upper, lower, strict=False):
        show_face(axes, image)
        axes.set_title(over, fontsize=size, fontweight="normal", pad=3, loc=loc)
        axes.set_xlabel(under, fontsize=size, color=COLOURS[1], loc=loc)
    return figure


def show_face(axes: Axes, image: Array) -> None:
    """Draw one face, grey or colour, uint8 or in [0, 1], without frame."""
    top = 255 if image.dtype == np.uint8 else 1.0
    axes.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
    bare(axes)


def factor_distributions(samples: pd.DataFrame, factors: Sequence[str]) -> Figure:
    """Draw how each factor of a data set is spread: bars for names, a histogram for numbers.

    Args:
        samples: sample table.
        factors: its columns to draw.
    """
    figure, panels = panel_grid(len(factors), 4, 1.75, 0.2, shared=False)
    for axes, factor in zip(panels, factors, strict=True):
        values = samples[factor]
        if pd.api.types.is_numeric_dtype(values) and values.nunique() > 8:
            numbers = values.to_numpy(dtype=float)
            axes.hist(numbers, bins=_even_bins(numbers).tolist(), color=COLOURS[0])
        else:
            shares = values.astype(str).value_counts(normalize=True).sort_index()
            axes.bar(range(len(shares)), shares.to_numpy(), color=COLOURS[0], width=0.7)
            for place, share in enumerate(shares):
                axes.annotate(f"{100 * share:.0f}", (place, share), (0, 2), textcoords="offset points",
                              ha="center", fontsize=6.5, color=QUIET)  # fmt: skip
            axes.margins(y=0.14)
            turned = 35 if len(shares) > 3 else 0
            names = [plain(name) for name in shares.index]
            axes.set_xticks(
                range(len(shares)), names, fontsize=7.5, rotation=turned, ha="right" if turned else "center"
            )
        axes.set_title(plain(factor.replace("_", " ")), fontsize=9)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def _even_bins(numbers: Array) -> Array:
    """Choose edges between the steps that rounded values lie on, equally many steps to each bin.

    >>> _even_bins(np.array([0.0, 0.1, 0.2, 0.3])).round(2).tolist()
    [-0.05, 0.05, 0.15, 0.25, 0.35]
    """
    distinct = np.unique(numbers)
    step = float(np.diff(distinct).min())
    steps = round((distinct[-1] - distinct[0]) / step) + 1
    widths = range(-(-steps // 24), max(-(-steps // 24), steps // 15) + 1)
    width = min(widths, key=lambda w: -steps % w)  # the least of the last bin beyond the largest value
    return distinct[0] + step * (width * np.arange(-(-steps // width) + 1) - 0.5)


def learning_curves(history: pd.DataFrame, arms: Sequence[str] | None = None) -> Figure:
    """Draw loss and accuracy over epochs: the mean over seeds as a line, their range as a band.

    A regression has no accuracy, and one panel.

    Args:
        history: columns ``arm``, ``seed``, ``epoch``, ``train_loss``, ``train_accuracy``, ``val_loss``,
            ``val_accuracy`` (accuracies as fractions).
        arms: order and choice of arms; all in order of appearance when None.
    """
    chosen = list(dict.fromkeys(history["arm"])) if arms is None else list(arms)
    colours, markers = arm_colours(chosen), arm_markers(chosen)
    figure = new_figure(7.6, 3.3)
    quantities = ("loss", "accuracy") if "val_accuracy" in history else ("loss",)
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axes, quantity in zip(panels, quantities, strict=True):
        for arm in chosen:
            runs = history[history["arm"] == arm]
            for part, dashes in (("train", DASHES), ("val", "solid")):
                sns.lineplot(
                    runs, x="epoch", y=f"{part}_{quantity}", ax=axes, errorbar=_RANGE, legend=False,
                    color=colours[arm], linestyle=dashes, marker=markers[arm] if part == "val" else None,
                    markeredgewidth=0, linewidth=1.8, alpha=1 if part == "val" else 0.75,
                    label=f"{plain(arm)}, {part}", markevery=max(1, runs["epoch"].nunique() // 12),
                    err_kws={"alpha": 0.14, "linewidth": 0},
                )  # fmt: skip
        axes.set_title({"loss": "Loss", "accuracy": "Accuracy"}[quantity])
        axes.set(xlabel="epoch", ylabel="")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        if history["epoch"].nunique() == 1:
            axes.set_xticks(history["epoch"].unique())
        axes.grid(axis="y")
    for axes in panels[1:]:
        percent_axis(axes.yaxis)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def confusion_matrices(counts: Mapping[str, Array], classes: Sequence[str]) -> Figure:
    """Draw one confusion matrix per arm: colour and large number are row rates, small numbers are counts.

    Cells without any image stay empty.

    Args:
        counts: arm -> (K, K) whole numbers or means over seeds; row true class, column predicted class.
        classes: K names.
    """
    names = [plain(name) for name in classes]
    most = 4 if len(names) <= 4 else 1 if 8 < len(names) <= MANY else 2
    columns = min(most, len(counts))
    width, label = (7.6 if columns > 1 else 5.6), max(text_width(str(name), 9) for name in classes)
    side = (width - 1.4 - label) / columns - 0.1
    titles = [wrapped(arm, side, 10.5, "bold") for arm in counts]
    lines = max(title.count("\n") + 1 for title in titles)
    rows = -(-len(counts) // columns)
    figure = new_figure(width, rows * (side + 0.19 * lines + 0.2) + 0.7 * label + 0.5)
    figure.set_layout_engine("compressed")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in panels[len(counts) :]:
        axes.set_visible(False)
    every = slice(None, None, -(-len(names) // MANY))  # of very many classes some names
    places = range(len(names))[every]
    for axes, title, matrix in zip(panels, titles, counts.values(), strict=False):
        drawn = _draw_matrix(axes, matrix)
        axes.set_title(title)
        axes.set_xticks(places, names[every], rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(places, names[every])
        axes.tick_params(length=0)
    label_edges(list(panels[: len(counts)]), columns, "predicted", "true")
    bar = figure.colorbar(drawn, ax=panels.tolist(), shrink=0.7, aspect=26, pad=0.02)
    bar.outline.set_visible(False)
    percent_axis(bar.ax.yaxis)
    bar.set_label("share of the true class", fontsize=8.5)
    return figure


def _draw_matrix(axes: Axes, matrix: Array) -> AxesImage:
    """Draw one matrix of counts; of up to ``MANY`` classes with its numbers."""
    rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    large, small = (9, 6.4) if len(matrix) <= 8 else (7, 6)
    for (row, column), rate in np.ndenumerate(rates if len(matrix) <= MANY else np.zeros((0, 0))):
        colour = PAPER if rate > 0.5 else INK
        weight = "bold" if row == column else "normal"
        if not rate:
            continue
        axes.text(column, row - 0.14, f"{100 * rate:.0f}", ha="center", va="center", color=colour,
                  fontsize=large, fontweight=weight)  # fmt: skip
        axes.text(column, row + 0.28, f"{matrix[row, column]:.1f}".removesuffix(".0"), ha="center",
                  va="center", color=colour if rate > 0.5 else QUIET, fontsize=small)  # fmt: skip
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes.imshow(rates, cmap=RATES, vmin=0, vmax=1)


def recall_bars(recalls: pd.DataFrame, title: str = "Recall per class") -> Figure:
    """Draw the recall of each class, or the accuracy of any groups, with its interval, arms side by side.

    Args:
        recalls: columns ``arm``, ``class``, ``value``, ``low``, ``high``, all fractions.
        title: what the bars are.
    """
    arms, classes = list(dict.fromkeys(recalls["arm"])), list(dict.fromkeys(recalls["class"]))
    colours = arm_colours(arms)
    every = slice(None, None, -(-len(classes) // MANY))  # of very many classes some names
    slot = 6.7 / max(len(classes[every]), 1)
    words = [word for name in classes[every] for word in str(name).split()]
    slanted = max((text_width(word, 9) for word in words), default=0) > slot
    names = [plain(name) if slanted else wrapped(name, slot, 9) for name in classes[every]]
    heading = wrapped(title, 6.8, 10.5, "bold")
    extra = (
        0.6 * max(text_width(name.split("\n")[0], 9) for name in names)
        if slanted
        else 0.15 * max(name.count("\n") for name in names)
    )
    figure = new_figure(7.6, 3.1 + extra + 0.17 * heading.count("\n"))
    axes = figure.subplots()
    width = 0.8 / len(arms)
    for i, arm in enumerate(arms):
        rows = recalls[recalls["arm"] == arm].set_index("class").reindex(classes)
        centres = np.arange(len(classes)) + (i - (len(arms) - 1) / 2) * width
        axes.bar(centres, rows["value"], width * 0.92, color=colours[arm], label=plain(arm))
        spread = np.abs(rows[["low", "high"]].to_numpy(dtype=float).T - rows["value"].to_numpy(dtype=float))
        axes.errorbar(centres, rows["value"], spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    axes.set_xticks(
        range(len(classes))[every], names, rotation=35 if slanted else 0,
        ha="right" if slanted else "center", rotation_mode="anchor" if slanted else "default",
    )  # fmt: skip
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 1)
    percent_axis(axes.yaxis)
    axes.grid(axis="y")
    axes.set_title(heading)
    figure.legend(loc="outside lower center", ncols=legend_columns(map(plain, arms), len(arms)))
    return figure


def paired_seeds(
    values: pd.DataFrame,
    headline: str,
    control: str,
    interval: tuple[float, float] = (np.nan, np.nan),
    quantity: str = "accuracy",
    unit: str = "%",
) -> Figure:
    """Draw the claim: both arms of each seed joined by a line, and differences, mean and interval.

    Args:
        values: columns ``arm``, ``seed``, ``value``.
        headline: the arm the paper is about.
        control: the arm it is compared with.
        interval: of the mean difference, in points of percentages.
        quantity: what the values are.
        unit: of the values.
    """
    percent = unit == "%"
    decimals = 2 if percent else 4
    table = values.pivot_table(index="seed", columns="arm", values="value")[[control, headline]].dropna()
    gain = table[headline] - table[control]
    figure = new_figure(7.6, 0.36 * len(gain) + 1.7)
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.5])
    for _, pair in table.iterrows():
        left.plot([0, 1], pair.to_numpy(), color=QUIET, linewidth=1.2, zorder=1)
    for x, arm in enumerate((control, headline)):
        left.scatter(np.full(len(table), x), table[arm], color=COLOURS[1 - x], s=46, zorder=2)
    left.set_xticks([0, 1], [wrapped(control, 1.4, 9), wrapped(headline, 1.4, 9)])
    left.set_xlim(-0.35, 1.35)
    left.set_ylabel(f"{quantity} ({unit})")
    left.yaxis.set_major_locator(MaxNLocator(nbins=5))
    left.set_title("One line per seed")
    left.grid(axis="y")
    places, mean = range(len(gain)), float(gain.mean())
    right.axvline(0, color=INK, linewidth=1)
    right.hlines(places, 0, gain, color=QUIET, linewidth=1.4)
    right.plot(gain.to_numpy(), places, "o", color=QUIET, markersize=6)
    right.plot(interval, [len(gain)] * 2, color=COLOURS[0], linewidth=6, alpha=0.28)
    right.plot([mean], [len(gain)], "o", color=COLOURS[0], markersize=8)
    names = [f"seed {seed}: {value:+.{decimals}f}" for seed, value in gain.items()]
    names += [f"mean: {mean:+.{decimals}f}"]
    right.set_yticks(range(len(gain) + 1), [name.replace("-", "\N{MINUS SIGN}") for name in names])
    right.set_ylim(len(gain) + 0.5, -0.5)
    known = [abs(value) for value in (*gain, *interval) if np.isfinite(value)]
    reach = max([*known, 0.5 if percent else 1e-6]) * 1.12
    right.set_xlim(-reach, reach)
    right.grid(axis="x")
    words = f"{headline} minus {control} ({'points' if percent else unit})"
    right.set_title(
        wrapped(words if len(words) < 40 else words.replace(" minus ", "\nminus "), 4, 10.5, "bold")
    )
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0)
    return figure


def difference_plot(claims: pd.DataFrame) -> Figure:
    """Draw each claim's difference with its interval around zero, and the published one beside it.

    Args:
        claims: rows of ``fer_repro.figures.claim_figures.claim_table``.
    """
    figure = new_figure(7.6, 0.5 * max(len(claims), 1) + 1.1)
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for y, (_, row) in enumerate(claims.iterrows()):
        axes.plot([row["low"], row["high"]], [y, y], color=COLOURS[0], linewidth=5, alpha=0.28)
        axes.plot([row["difference"]], [y], "o", color=COLOURS[0], markersize=7)
        axes.plot([row["published"]], [y], "D", color=COLOURS[1], markersize=6, fillstyle="none")
    names = [
        plain(f"{row['method']}, {row['dataset']} ({row['protocol']})\ntest-time augmentation: {row['tta']}")
        for _, row in claims.iterrows()
    ]
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set_ylim(max(len(claims), 1) - 0.4, -0.6)
    axes.set_xlabel("headline minus control (percentage points)")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.plot([], [], "o", color=COLOURS[0], label="measured, with interval")
    axes.plot([], [], "D", color=COLOURS[1], fillstyle="none", label="the paper's, on its own data")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def error_gallery(images: Array, errors: pd.DataFrame, columns: int = 6) -> Figure:
    """Draw the most confident mistakes: the true class of each face, and the predicted one.

    Args:
        images: (N, H, W) or (N, H, W, 3).
        errors: N rows with ``target``, ``predicted`` (names) and ``probability`` of the predicted class.
        columns: faces per row.
    """
    true = [f"true: {name}" for name in errors["target"]]
    pairs = zip(errors["probability"], errors["predicted"], strict=True)
    predicted = [f"predicted ({probability:.0%}):\n{name}" for probability, name in pairs]
    return _face_sheet(images, true, predicted, columns, "left")
