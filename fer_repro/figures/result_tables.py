"""Wide tables of results, published ones, ensembles, and all methods on the same people."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_repro.figures.display import Shown, show_table
from fer_repro.figures.exports import TablePart
from fer_repro.figures.style import (
    COLOURS,
    DASHES,
    INK,
    QUIET,
    arm_colours,
    arm_markers,
    new_figure,
    plain,
    text_width,
)
from fer_repro.figures.tables import (
    Column,
    Kind,
    in_percent,
    is_difference,
    mean_rows,
    metric_words,
    print_value,
    spell,
    spell_range,
    uses_tta,
)


def metric_grid(table: pd.DataFrame, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Lay out results as one row per arm, and one column per metric with its interval in brackets.

    Args:
        table: from ``fer_repro.figures.tables.beside_published``, of one data set and protocol.
        metrics: which, in this order; empty takes all in their order.

    Returns:
        ``arm`` and the metrics by name, all as text; where the paper has a number, it follows as
        ``published``.
    """
    chosen = list(metrics) or list(dict.fromkeys(table["metric"]))
    rows: dict[str, dict[str, str]] = {}
    for _, row in table[table["metric"].isin(chosen)].iterrows():
        cells = rows.setdefault(str(row["arm"]), dict.fromkeys(map(_words, chosen), "–"))
        cells[_words(row["metric"])] = _cell(row)
    return pd.DataFrame(
        [{"arm": arm, **cells} for arm, cells in rows.items()], columns=["arm", *map(_words, chosen)]
    )


def show_metrics(table: pd.DataFrame, caption: str, metrics: Sequence[str] = ()) -> Shown:
    """Show ``metric_grid`` with the budget of its runs in the caption."""
    notes = table.loc[table["interval"] != "", "note"].str.split("; ").str[-1]
    budget = "; ".join(dict.fromkeys(notes[notes != ""]))
    grid = metric_grid(table, metrics)
    kinds: dict[str, Kind] = dict.fromkeys(map(str, grid.columns[1:]), "range")
    return show_table(grid, f"{caption} Budget: {budget}." if budget else caption, kinds=kinds)


def published_grid(published: pd.DataFrame, method: str, table: str) -> pd.DataFrame:
    """Lay out one published table as one row per arm and one column per data set.

    Args:
        published: rows of results/published/results.csv.
        method: its name there.
        table: its name there.

    Returns:
        ``arm``, and a column per data set, percent as text.
    """
    rows = in_percent(published[(published["method"] == method) & (published["table"] == table)])
    wide = rows.pivot_table(index="arm", columns="dataset", values="value", sort=False)
    texts = wide.map(lambda value: print_value(float(value), "percent"))
    texts.columns = [str(name).replace("_", " ") for name in texts.columns]
    return texts.rename_axis(None, axis=1).reset_index()


def published_numbers(published: pd.DataFrame, method: str, table: str) -> pd.DataFrame:
    """Lay out one published table of one data set as one row per arm and one column per metric.

    Args:
        published: rows of results/published/results.csv.
        method: its name there.
        table: its name there.

    Returns:
        ``arm``, and a column per metric, as text.
    """
    rows = in_percent(published[(published["method"] == method) & (published["table"] == table)])
    texts = rows.assign(text=list(map(spell, rows["value"], rows["unit"])), words=rows["metric"].map(_words))
    wide = texts.pivot_table(index="arm", columns="words", values="text", aggfunc="first", sort=False)
    return wide.rename_axis(None, axis=1).reset_index()


def _words(metric: object) -> str:
    return metric_words(str(metric), "%")


def _cell(row: pd.Series) -> str:
    interval = spell_range(row["low"], row["high"], row["unit"])
    text = spell(row["value"], row["unit"], row["low"], row["high"]) + (f" ({interval})" if interval else "")
    return text + (
        f", published {spell(row['published'], row['unit'])}" if pd.notna(row["published"]) else ""
    )


def published_accuracies(published: pd.DataFrame, method: str, arms: Sequence[str]) -> pd.DataFrame:
    """Lay out the published accuracies of a method's arms, one row per data set, protocol and split.

    Args:
        published: rows of results/published/results.csv.
        method: whose.
        arms: which, in order; those without any number are left out.

    Returns:
        ``data``, and the arms in percent; the first number where several are published.
    """
    rows = in_percent(published)
    rows = rows[(rows["method"] == method) & (rows["metric"] == "accuracy") & rows["arm"].isin(list(arms))]
    rows = rows.assign(data=[_place(row) for _, row in rows.iterrows()])
    order = list(dict.fromkeys(rows["data"]))
    grid = rows.drop_duplicates(["data", "arm"]).pivot_table(index="data", columns="arm", values="value")
    return grid.reindex(index=order, columns=[arm for arm in arms if arm in grid]).reset_index()


def show_published(published: pd.DataFrame, method: str, arms: Sequence[str], caption: str) -> Shown:
    """Show the published accuracies of a method's arms; see ``published_accuracies``."""
    table = published_accuracies(published, method, arms)
    columns = [Column(str(name), str(name), "percent") for name in table.columns[1:]]
    return show_table(table, caption, [Column("data", "Data"), *columns])


def _place(row: pd.Series) -> str:
    protocol = [] if row["protocol"] in ("", "official") else [str(row["protocol"])]
    split = [] if row["split"] == "test" else [str(row["split"])]
    return ", ".join([str(row["dataset"]), *protocol, *split]).replace("_", " ")


LEVELS = ("frame", "video")


def published_ensembles(
    published: pd.DataFrame, method: str, dataset: str, networks: Sequence[str], baseline: str
) -> pd.DataFrame:
    """Lay out the published rows of one data set as the paper's table does.

    Args:
        published: rows of results/published/results.csv, where ``plain+attention`` names an ensemble of two.
        method: whose rows.
        dataset: as named there.
        networks: in the order of the paper's table.
        baseline: the network that is in no ensemble.

    Returns:
        ``networks``, such as ``plain+attention``; a true or false column per network; a column per metric,
        areas in [0, 1]. The baseline comes first. Ensembles that are not published are left out.
    """
    rows = published[(published["method"] == method) & (published["dataset"] == dataset)]
    values = rows.assign(value=rows["value"] / np.where(rows["unit"] == "%", 100, 1))
    wide = values.pivot_table(index="arm", columns="metric", values="value")
    sets: list[tuple[str, ...]] = [(baseline,)]
    sets += [chosen for n in range(1, len(networks) + 1) for chosen in combinations(networks, n)]
    table = []
    for members in sets:
        name = "+".join(members)
        if name in wide.index:
            inside = {network: network in members for network in (baseline, *networks)}
            metrics = {str(metric): value for metric, value in wide.loc[name].items()}
            table.append({"networks": name, **inside, **metrics})
    return pd.DataFrame(table)


def ensemble_gains(
    tables: Mapping[str, pd.DataFrame], networks: Sequence[str], baseline: str
) -> pd.DataFrame:
    """Compute the gain of averaging all networks over the best one and over the baseline, in points of AUC.

    Args:
        tables: data -> ensembles with the columns ``frame_auc`` and ``video_auc``, in [0, 1].
        networks: those that are averaged.
        baseline: the network beside them.

    Returns:
        ``data``, ``level``; ``baseline``, ``best single`` and ``all`` as AUC in percent; ``single``, which
        network is the best; ``over single`` and ``over baseline``, all minus these, in points.
    """
    rows = []
    for data, table in tables.items():
        by_name = table.set_index("networks")
        everything = "+".join(networks)
        if not {everything, baseline, *networks} <= set(by_name.index):
            continue
        for level in LEVELS:
            areas = 100 * by_name[f"{level}_auc"].astype(float)
            best = str(areas[list(networks)].idxmax())
            rows.append(
                {
                    "data": data,
                    "level": level,
                    "baseline": areas[baseline],
                    "best single": areas[best],
                    "single": best,
                    "all": areas[everything],
                    "over single": areas[everything] - areas[best],
                    "over baseline": areas[everything] - areas[baseline],
                }
            )
    return pd.DataFrame(
        rows,
        columns=["data", "level", "baseline", "best single", "single", "all", "over single", "over baseline"],
    )


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
        arms: method -> the arm that represents it, in the order of the table.
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


def common_part(table: pd.DataFrame, confidence: float) -> TablePart:
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
    return TablePart(caption, words, _COLUMNS)


def same_subjects(results: pd.DataFrame, chances: Mapping[str, float] | None = None) -> Figure:
    """Draw every method's result with its interval, best on top, on one axis per task.

    Methods keep colour and marker in all panels. Thin strokes are single seeds.

    Args:
        results: columns ``task``, ``method``, ``value``, ``low``, ``high`` in percent, and ``label``, the
            text next to the dot (such as method and arm); ``seeds``, a list of single values, if known.
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
            axes.axvline(chance, color=QUIET, linewidth=1.2, linestyle=DASHES)
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


_ONE_COLUMN = 16  # rows of gaps


def gap_plot(results: pd.DataFrame) -> Figure:
    """Plot each measured accuracy with its interval and, where it may be compared, the published one.

    Rows are grouped by data set, many rows are split into two panels, and values are printed at the right.

    Args:
        results: columns ``label``, ``measured``, ``low``, ``high``, ``published`` in percent; ``published``
            is missing where the paper has no number for the same data set. A label is ``name, data``.
    """
    named = results["label"].str.partition(", ")
    rows = results.assign(name=named[0], data=named[2])
    order = {name: place for place, name in enumerate(dict.fromkeys(rows["data"]))}
    rows = rows.sort_values("data", key=lambda names: names.map(order), kind="stable")
    widest = max(text_width(name, 8, "bold") for name in [*rows["name"], *rows["data"]])
    columns = 2 if len(rows) > _ONE_COLUMN and widest < 2.2 else 1
    parts = [rows.iloc[part] for part in np.array_split(np.arange(len(rows)), columns)]
    lines = max(len(part) + part["data"].nunique() for part in parts)
    figure = new_figure(7.6, 0.19 * lines + 1.1)
    panels = figure.subplots(1, columns, squeeze=False, sharex=True)[0]
    for axes, part in zip(panels, parts, strict=True):
        _draw_gaps(axes, part)
        axes.tick_params(axis="y", length=0, labelleft=True)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set(xlabel="accuracy (%)", ylim=(lines - 0.4, -0.6))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7 if columns == 1 else 5))
    panels[0].plot([], [], "o", color=COLOURS[0], label="measured, with interval")
    if results["published"].notna().any():
        panels[0].plot([], [], "D", color=COLOURS[1], label="published, with the gap in brackets")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw_gaps(axes: Axes, rows: pd.DataFrame) -> None:
    names: list[str] = []
    headings = set()
    for data, part in rows.groupby("data", sort=False):
        if data:
            headings.add(len(names))
            names.append(plain(data))
        values = part[["measured", "low", "high", "published"]].to_numpy(dtype=float).clip(0, 100)
        for name, (measured, low, high, published) in zip(part["name"], values, strict=True):
            y, text = len(names), f"{measured:.1f}"
            axes.plot([low, high], [y, y], color=COLOURS[0], linewidth=3.5, alpha=0.28)
            axes.plot([measured], [y], "o", color=COLOURS[0], markersize=5)
            if np.isfinite(published):
                axes.plot([measured, published], [y, y], color=QUIET, linewidth=0.9, linestyle=(0, (2, 2)))
                axes.plot([published], [y], "D", color=COLOURS[1], markersize=4.5)
                text += f" ({measured - published:+.1f})".replace("-", "−")
            axes.annotate(text, (1, y), (5, 0), xycoords=axes.get_yaxis_transform(), va="center", fontsize=8,
                          textcoords="offset points")  # fmt: skip
            names.append(plain(name))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for place in headings:
        axes.get_yticklabels()[place].set_fontweight("bold")
