"""All methods on the same subjects: who has a result, and one dot with its interval per method and task."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_repro.report.exports import Part
from fer_repro.report.style import INK, QUIET, arm_colours, arm_markers, new_figure, plain
from fer_repro.report.tables import (
    Column,
    in_percent,
    is_difference,
    mean_rows,
    spell,
    spell_range,
    uses_tta,
)

_DASHES = (0, (3, 2))
_COLUMNS = (
    Column("method", "Method"),
    Column("arm", "Network"),
    Column("dataset", "Data"),
    Column("measured", "Accuracy", "range"),
    Column("interval", "Interval", "range"),
    Column("runs", "Seeds", "count"),
    Column("note", "Budget", "note"),
)
COMMON = ("method", "arm", "dataset", "value", "deviation", "low", "high", "runs", "seeds", "note")


def common_ground(rows: pd.DataFrame, arms: Mapping[str, str], datasets: Sequence[str]) -> pd.DataFrame:
    """Choose one result per method: accuracy of expressions on the same people, without TTA.

    Args:
        rows: measured result rows of any methods and data sets.
        arms: method -> the arm that stands for it, in the order of the table.
        datasets: that show the same people; of a method with results on several the first counts.

    Returns:
        ``COMMON``, one row per method; ``seeds`` lists the values of single seeds. Numbers are missing where
        the method was not trained on any of the data sets.
    """
    same = (rows["metric"] == "accuracy") & (rows["protocol"] == "official") & ~is_difference(rows)
    clean = ~rows["tta"].map(uses_tta).astype(bool)
    chosen = in_percent(rows[same & clean])
    found = mean_rows(chosen)
    table = []
    for method, arm in arms.items():
        mine = found[(found["method"] == method) & (found["arm"] == arm) & found["dataset"].isin(datasets)]
        row: dict[str, object] = {"method": method, "arm": arm, "note": "not trained on these people"}
        if len(mine):
            row = dict(mine.sort_values("dataset", key=lambda names: names.map(list(datasets).index)).iloc[0])
            singles = [chosen[name] == row[name] for name in ("method", "arm", "dataset")]
            by_seed = chosen[np.logical_and.reduce(singles) & (chosen["seed"] != "")]
            row["seeds"] = by_seed["value"].tolist()
        table.append(row)
    return pd.DataFrame(table, columns=list(COMMON))


def as_results(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Turn ``common_ground`` into what ``same_subjects`` draws; methods without result are left out."""
    rows = table.dropna(subset="value")
    return rows.assign(task=task, label=rows["method"] + " " + rows["arm"].str.replace("_", " "))


def common_part(table: pd.DataFrame, confidence: float) -> Part:
    """Lay out ``common_ground`` for people, best first, methods without result last."""
    words = table.sort_values("value", ascending=False, kind="stable").assign(
        measured=lambda part: [spell(value, "%") for value in part["value"]],
        interval=lambda part: [
            spell_range(*ends, "%") for ends in zip(part["low"], part["high"], strict=True)
        ],
    )
    caption = (
        "All methods as classifiers of the same people's expressions: accuracy in percent without test-time "
        f"augmentation, with the {100 * confidence:g} % interval over seeds."
    )
    return Part(caption, words, _COLUMNS)


def same_subjects(results: pd.DataFrame, chances: Mapping[str, float] | None = None) -> Figure:
    """Draw every method's result with its interval, best on top, on one axis per task.

    Methods keep colour and marker in all panels. Thin strokes are single seeds.

    Args:
        results: columns ``task``, ``method``, ``value``, ``low``, ``high`` in percent, and ``label``, what
            stands beside the dot (such as method and arm); ``seeds``, a list of single values, if known.
        chances: task -> what guessing gives, drawn as a line.
    """
    tasks = list(dict.fromkeys(results["task"]))
    methods = list(dict.fromkeys(results["method"]))
    colours, markers = arm_colours(methods), arm_markers(methods)
    counts = [max(int((results["task"] == task).sum()), 1) for task in tasks]
    figure = new_figure(7.6, 0.34 * sum(counts) + 0.72 * max(len(tasks), 1) + 0.3)
    panels = figure.subplots(max(len(tasks), 1), 1, squeeze=False, height_ratios=counts or [1])[:, 0]
    for axes, task in zip(panels, tasks, strict=False):
        rows = results[results["task"] == task].sort_values("value", ascending=False, kind="stable")
        for y, (_, row) in enumerate(rows.iterrows()):
            _draw_row(axes, y, row, colours[row["method"]], markers[row["method"]])
        chance = (chances or {}).get(task)
        if chance is not None:
            axes.axvline(chance, color=QUIET, linewidth=1.2, linestyle=_DASHES)
            axes.annotate(f"chance {chance:.4g}", (chance, 0), (4, 4), xycoords=("data", "axes fraction"),
                          textcoords="offset points", fontsize=8.5, color=QUIET)  # fmt: skip
        axes.set_title(plain(task))
        axes.set_yticks(range(len(rows)), [plain(label) for label in rows["label"]])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
        axes.margins(x=0.14)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
    panels[-1].set_xlabel("percent")
    return figure


def _draw_row(axes: Axes, y: int, row: pd.Series, colour: str, marker: str) -> None:
    if np.isfinite(row["low"]) and np.isfinite(row["high"]):
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=5, alpha=0.28,
                  solid_capstyle="round")  # fmt: skip
    seeds = row.get("seeds")
    if isinstance(seeds, list | tuple | np.ndarray) and len(seeds) > 1:
        axes.plot(seeds, np.full(len(seeds), y), "|", color=INK, markersize=7, alpha=0.6)
    axes.plot([row["value"]], [y], marker, color=colour, markersize=7.5)
    end = np.nanmax([row["value"], row["high"]])
    axes.annotate(
        f"{row['value']:.1f}", (end, y), (10, 0), textcoords="offset points", va="center", fontsize=8.5
    )
