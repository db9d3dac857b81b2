"""Differences of arms as claims: tables, sentences, a forest plot, hard parts of a test set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_repro.figures.display import Shown, say, show_figure, show_table
from fer_repro.figures.ledger_tables import DECIDED, VERDICTS, first_sizes, in_words
from fer_repro.figures.results import recall_bars
from fer_repro.figures.style import COLOURS, DASHES, INK, PAPER, QUIET, legend_columns, new_figure, plain
from fer_repro.figures.tables import (
    Column,
    in_percent,
    print_value,
    spell_gap,
    uses_tta,
    without_repeats,
)
from fer_repro.measures.metrics import find_metric
from fer_repro.recipes import is_synthetic

CLAIM_COLUMNS = [
    "method", "dataset", "protocol", "metric", "tta", "headline", "control", "difference", "deviation", "low",
    "high", "runs", "confidence", "published", "published_dataset", "note",
]  # fmt: skip
SUBSETS = ("occlusion", "pose_30", "pose_45")
"""Protocols that are hard parts of a test set."""
CLAIMS = (
    Column("method", "Method"),
    Column("data", "Data"),
    Column("augmented", "TTA"),
    Column("arms", "Arms"),
    Column("difference", "Difference", "points"),
    Column("interval", "Interval", "range"),
    Column("runs", "Seeds", "count"),
    Column("published", "Published", "points"),
    Column("published_dataset", "on"),
    Column("note", "Budget", "note"),
)


def show_claims(claims: pd.DataFrame, caption: str) -> Shown:
    """Show claims as a table, with data, arms and interval as text."""
    ends = [[print_value(row[name], "points") for name in ("low", "high")] for _, row in claims.iterrows()]
    official = claims["protocol"].fillna("").isin(["", "official"])
    words = claims.assign(
        data=claims["dataset"].where(official, claims["dataset"] + ", " + claims["protocol"]),
        augmented=["yes" if uses_tta(value) else "no" for value in claims["tta"]],
        arms=claims["headline"] + " − " + claims["control"],
        interval=[f"{low} to {high}" for low, high in ends],
    )
    return show_table(words, caption, CLAIMS)


def claim_table(
    measured: pd.DataFrame,
    published: pd.DataFrame,
    method: str,
    headline: str,
    control: str,
    confidence: float,
    metric: str = "accuracy",
) -> pd.DataFrame:
    """Choose the difference of two arms of a method, as evaluation measured it, with the paper's beside it.

    Args:
        measured: result rows; those of ``headline - control`` count.
        published: rows of results/published/results.csv.
        method: whose arms.
        headline: the arm the paper is about.
        control: the arm it is compared with.
        confidence: of the rows' intervals.
        metric: compared quantity.

    Returns:
        One row per data set, protocol and use of test-time augmentation, in ``CLAIM_COLUMNS``; differences in
        the metric's unit, percentage points of shares; ``published`` is the paper's own difference and the
        data set it is for.
    """
    rows = without_repeats(in_percent(measured))
    unit = find_metric(metric).gap_unit
    same = (rows["method"] == method) & (rows["metric"] == metric) & (rows["unit"] == unit)
    claims = []
    for row in rows[same & (rows["arm"] == f"{headline} - {control}")].to_dict("records"):
        place = (str(row["dataset"]), str(row["protocol"]))
        known, where = _published_difference(published, method, headline, control, metric, place)
        numbers = [row[name] for name in ("value", "deviation", "low", "high", "runs")]
        note = str(row.get("note", "")).rpartition("; ")[2]
        claims.append(
            [method, *place, metric, row["tta"], headline, control, *numbers, confidence, known, where, note]
        )
    return pd.DataFrame(claims, columns=CLAIM_COLUMNS)


def _published_difference(
    published: pd.DataFrame, method: str, headline: str, control: str, metric: str, place: tuple[str, str]
) -> tuple[float, str]:
    """Find the paper's difference on the same data set, else on the first one it reports.

    Hard subsets of a test set are compared with the same subset alone, whole test sets with whole ones. Two
    numbers from other people's pages make a difference only if they are from the same page.
    """
    if not len(published):
        return float("nan"), ""
    dataset, protocol = place
    rows = in_percent(published)
    rows = rows[(rows["method"] == method) & (rows["metric"] == metric)]
    found: dict[str, float] = {}
    for (name, part), group in rows.groupby(["dataset", "protocol"], sort=False):
        if part != protocol and {part, protocol} & set(SUBSETS):
            continue
        arms = group.drop_duplicates("arm").set_index("arm")
        values, sources = arms["value"], arms["source"]
        if not {headline, control} <= set(arms.index):
            continue
        if sources[headline] == sources[control] or "paper" in (sources[headline], sources[control]):
            found.setdefault(str(name), float(values[headline] - values[control]))
    if not found:
        return float("nan"), ""
    name = dataset if dataset in found else next(iter(found))
    return found[name], name


def claim_sentence(claim: pd.Series) -> str:
    """Write one claim as text: difference, interval, seeds, budget, and what may be concluded."""
    definition = find_metric(str(claim["metric"]))
    unit = definition.gap_unit
    size = claim["difference"], claim["low"], claim["high"]
    numbers = {
        name: spell_gap(claim[name], unit, *size) for name in ("difference", "low", "high", "published")
    }
    tta = "with" if uses_tta(claim["tta"]) else "without"
    verdict = difference_sentence(
        float(claim["difference"]), float(claim["low"]), float(claim["high"]), str(claim["headline"]),
        str(claim["control"]), definition.lower_is_better,
    )  # fmt: skip
    paper = ""
    if claim["published_dataset"]:
        elsewhere = (
            ", by its own recipe"
            if claim["published_dataset"] == claim["dataset"]
            else ", on other data and budget"
        )
        paper = f" The paper reports {numbers['published']} on {claim['published_dataset']}{elsewhere}."
    percent = f"{100 * float(claim['confidence']):g} %"
    name = definition.words if definition.kept == "numbers" else str(claim["metric"]).replace("_", " ")
    metric = "" if claim["metric"] == "accuracy" else f" in {name}"
    return (
        f"{claim['headline']} minus {claim['control']}{metric} on {claim['dataset']}, {tta} test-time "
        "augmentation: "
        f"{numbers['difference']} {unit} ({percent} interval {numbers['low']} to {numbers['high']}, "
        f"{int(claim['runs'])} seeds; {claim['note']}). {verdict}{paper}"
    )


def difference_sentence(
    difference: float, low: float, high: float, headline: str, control: str, lower_is_better: bool = False
) -> str:
    """State what an interval of a difference allows to conclude, and no more."""
    if not np.isfinite(low) or not np.isfinite(high):
        return "One seed only: no interval, so no verdict."
    above, below = (control, headline) if lower_is_better else (headline, control)
    if low > 0:
        return f"{above} is ahead of {below} here: the whole interval lies above 0."
    if high < 0:
        return f"{below} is ahead of {above} here: the whole interval lies below 0."
    lean = {1.0: f" (the mean favours {above})", -1.0: f" (the mean favours {below})"}
    return f"Direction uncertain: the interval spans 0{lean.get(float(np.sign(difference)), '')}."


def headline_claim(claims: pd.DataFrame) -> pd.Series | None:
    """Pick the row for a summary: the official protocol, with test-time augmentation where measured."""
    if claims.empty:
        return None
    order = claims.assign(
        other=[not uses_tta(value) for value in claims["tta"]],
        unofficial=~claims["protocol"].fillna("").isin(["", "official"]),
    )
    return claims.loc[order.sort_values(["unofficial", "other"], kind="stable").index[0]]


_FEW = 12  # claims whose names have two lines
_UNITS = {
    "points": "difference (percentage points)",
    "nats": "difference (nats; right is a lower loss)",
    "MSE": "difference (mean squared error; right is a lower one)",
    "rho": "difference (rank correlation)",
}
_ANSWERS = {"yes": COLOURS[2], "partly": COLOURS[4], "no": COLOURS[1]}
_HUES = {verdict: _ANSWERS.get(DECIDED.get(verdict, ""), COLOURS[0]) for verdict in VERDICTS}


def claim_plot(ledger: pd.DataFrame) -> Figure:
    """Draw every tested comparison around zero: right is where the paper claims to be.

    Args:
        ledger: from ``fer_repro.evaluation.ledger.judge``, or ``read_ledger``.
    """
    words = in_words(ledger)
    rows = words[words["tested"] & (words["kind"] != "absolute")]
    units = [unit for unit in _UNITS if (rows["unit"] == unit).any()]
    counts = [int((rows["unit"] == unit).sum()) for unit in units]
    many = sum(counts) > _FEW
    figure = new_figure(7.6, (0.27 if many else 0.46) * max(sum(counts), 1) + 0.75 * max(len(units), 1) + 0.6)
    sizes = first_sizes(ledger)
    panels = figure.subplots(max(len(units), 1), 1, squeeze=False, height_ratios=counts or [1])[:, 0]
    for axes, unit in zip(panels, units, strict=False):
        _draw(axes, rows[rows["unit"] == unit], sizes, unit, many)
    _explain_hues(panels[-1], rows)
    panels[-1].plot([], [], "D", color=QUIET, fillstyle="none", label="published, on the paper's data")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _explain_hues(axes: Axes, rows: pd.DataFrame) -> None:
    """Add an entry to the legend for each colour of a verdict that occurs."""
    hues: dict[str, list[str]] = {}
    for verdict in (name for name in VERDICTS if name in set(rows["verdict"])):
        hues.setdefault(_HUES[verdict], []).append(verdict)
    for hue, verdicts in hues.items():
        axes.plot([], [], "o", color=hue, label=", ".join(verdicts))


def _draw(axes: Axes, rows: pd.DataFrame, sizes: dict[str, pd.Series], unit: str, many: bool) -> None:
    axes.axvline(0, color=INK, linewidth=1)
    for y, (_, row) in enumerate(rows.iterrows()):
        hue = _HUES[row["verdict"]]
        axes.plot([row["low"], row["high"]], [y, y], color=hue, linewidth=5, alpha=0.28)
        axes.plot([row["difference"]], [y], "o", color=hue, markersize=7)
        size = row["published"] if np.isfinite(row["published"]) else None
        if size is None and str(row["claim"]) in sizes:
            size = sizes[str(row["claim"])]["published"]
        if size is not None:
            axes.plot([size], [y], "D", color=QUIET, markersize=6, fillstyle="none")
    gap = ", " if many else "\n"
    names = [plain(f"{row['claim'].replace('-', ' ')}{gap}{row['data']}") for _, row in rows.iterrows()]
    axes.set_yticks(range(len(names)), names, fontsize=7.5 if many else 8.5)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.set_xlabel(_UNITS[unit])
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def sized_claims(ledger: pd.DataFrame) -> pd.DataFrame:
    """Choose the tested comparisons in points whose paper has a size, smallest first.

    Args:
        ledger: from ``read_ledger``.

    Returns:
        Rows of the ledger in words with ``size``, which is the published difference of the place, else of the
        claim's first place with one, and ``name``.
    """
    words, sizes = in_words(ledger), first_sizes(ledger)
    rows = words[words["tested"] & (words["kind"] != "absolute") & (words["unit"] == "points")]
    first = rows["claim"].map({claim: row["published"] for claim, row in sizes.items()})
    name = rows["claim"].str.replace("-", " ") + ", " + rows["data"]
    rows = rows.assign(size=rows["published"].fillna(first).astype(float), name=name)
    return rows.dropna(subset="size").sort_values("size", kind="stable")


def size_plot(rows: pd.DataFrame) -> Figure:
    """Draw measured differences with their intervals over the published ones; on the diagonal they agree.

    Points that would hide one another are moved apart sideways.

    Args:
        rows: from ``sized_claims``, one or more.
    """
    figure = new_figure(7.6, 4.4 + 0.19 * -(-len(rows) // 2))
    axes = figure.subplots()
    axes.axhline(0, color=INK, linewidth=1)
    axes.axvline(0, color=INK, linewidth=1)
    ends = [min(0.0, rows["size"].min()), rows["size"].max()]
    axes.plot(ends, ends, color=QUIET, linewidth=1.2, linestyle=DASHES, label="measured as published")
    _explain_hues(axes, rows)
    axes.plot([], [], "o", color=QUIET, label="real faces")
    axes.plot([], [], "o", color=QUIET, fillstyle="none", label="synthetic faces")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=legend_columns(labels))
    points = []
    places = _apart(rows["size"].to_numpy(), 0.028 * (ends[1] - ends[0]))
    for number, (x, (_, row)) in enumerate(zip(places, rows.iterrows(), strict=True), 1):
        hue, inside = _HUES[row["verdict"]], PAPER if is_synthetic(row["dataset"]) else None
        axes.plot([x, x], [row["low"], row["high"]], color=hue, linewidth=4, alpha=0.28)
        label = plain(f"{number}  {row['name']}")
        points += axes.plot(
            [x], [row["difference"]], "o", color=hue, markersize=7, markerfacecolor=inside or hue, label=label
        )
        top = np.nanmax([row["high"], row["difference"]])
        axes.annotate(
            f"{number}", (x, top), (0, 4), textcoords="offset points", ha="center", fontsize=8,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    axes.set_xlabel("published difference (percentage points)")
    axes.set_ylabel("measured difference (percentage points)")
    axes.grid(axis="y")
    figure.legend(handles=points, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def show_sizes(ledger: pd.DataFrame) -> Shown:
    """Show ``size_plot`` with what it leaves out; nothing where no tested claim has a published size.

    Args:
        ledger: from ``read_ledger``.
    """
    rows, tested = sized_claims(ledger), ledger[ledger["verdict"] != "not attempted"]
    if rows.empty:
        return Shown("")
    compared = tested[tested["kind"] != "absolute"]
    losses = int((compared["unit"] == "nats").sum())
    others = len(compared) - losses - len(rows)
    caption = (
        f"Measured differences with their {100 * float(rows['confidence'].iloc[0]):g} % intervals over the "
        "published ones: of the same data and protocol, else of the first data of the paper that has one. "
        "Points that would hide one another are moved apart sideways. Left out: tested claims without a "
        f"verified published size ({others}), and log losses, which are in nats ({losses})."
    )
    numbers = [
        f"{number} {row['name']}: published {spell_gap(row['size'], 'points')}, measured {row['now']} "
        f"({row['interval']}), {row['verdict']}"
        for number, (_, row) in enumerate(rows.iterrows(), 1)
    ]
    return show_figure(size_plot(rows), caption, f"Points with intervals. {'; '.join(numbers)}.")


def _apart(values: np.ndarray, least: float) -> np.ndarray:
    """Move sorted values apart to a distance of at least ``least``; each crowd keeps its mean."""
    crowds: list[list[float]] = []
    for value in values:
        crowds.append([float(value)])
        while len(crowds) > 1 and _spread(crowds[-1], least)[0] - _spread(crowds[-2], least)[-1] < least:
            crowds[-2:] = [crowds[-2] + crowds[-1]]
    return np.concatenate([_spread(crowd, least) for crowd in crowds])


def _spread(crowd: Sequence[float], least: float) -> np.ndarray:
    return np.mean(crowd) + least * (np.arange(len(crowd)) - (len(crowd) - 1) / 2)


def accuracy_by_protocol(intervals: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Choose the accuracies of the whole test set and of its hard parts, with intervals over samples.

    Args:
        intervals: an evaluation's table of intervals, in percent.
        arms: which, in order.

    Returns:
        ``arm``, ``class`` (the protocol), ``value``, ``low`` and ``high`` in [0, 1].
    """
    chosen = intervals[
        (intervals["metric"] == "accuracy")
        & (intervals["tta"] == "none")
        & intervals["protocol"].isin(["official", *SUBSETS])
        & intervals["kind"].str.startswith("bootstrap")
        & intervals["arm"].isin(list(arms))
    ]
    order = {arm: place for place, arm in enumerate(arms)}
    chosen = chosen.sort_values("arm", key=lambda column: column.map(order), kind="stable")
    fractions = {name: chosen[name] / 100 for name in ("value", "low", "high")}
    return pd.DataFrame({"arm": chosen["arm"], "class": chosen["protocol"], **fractions}).reset_index(
        drop=True
    )


def show_subsets(table: pd.DataFrame, confidence: float) -> Shown:
    """Show accuracies by protocol, or state that no hard parts are known.

    Args:
        table: from ``accuracy_by_protocol``.
        confidence: of its intervals.
    """
    if set(table["class"]) <= {"official"}:
        return say("This data set has no lists of occluded or rotated faces.")
    caption = (
        "Accuracy on the whole test set and on the lists of hard faces, mean over seeds, with the "
        f"{100 * confidence:g} % interval over the people or faces tested."
    )
    numbers = "; ".join(f"{row['arm']}, {row['class']}: {row['value']:.1%}" for _, row in table.iterrows())
    return show_figure(recall_bars(table, "Accuracy by list"), caption, f"Bars. {numbers}.")
