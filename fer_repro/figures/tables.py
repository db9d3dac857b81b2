"""Tables of results: measured beside published, from one table of numbers to HTML, Markdown and LaTeX.

Numbers stay numbers until they are written; every format prints the same text.
"""

import html
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, nearest
from fer_repro.measures.metrics import ACCURACIES, find_metric

Kind = Literal["text", "range", "note", "percent", "points", "count", "number"]
_REFERENCES = ("majority_class", "chance", "base_rate", "training_mean")  # answers without a network
_PLACE = ("method", "arm", "dataset", "metric")
GROUP = ["method", "arm", "dataset", "protocol", "split", "metric", "tta"]


@dataclass(frozen=True)
class Column:
    """One column of a table: where its values are, what it is called, and how they are printed."""

    name: str
    heading: str
    kind: Kind = "text"


RESULTS = (  # for people
    Column("method", "Method"),
    Column("arm", "Arm"),
    Column("data", "Data"),
    Column("words", "Metric"),
    Column("augmented", "TTA"),
    Column("measured", "Measured", "range"),
    Column("interval", "Interval", "range"),
    Column("class_mean", "Class mean", "percent"),
    Column("runs", "Seeds", "count"),
    Column("printed", "Published", "range"),
    Column("distance", "Gap", "range"),
    Column("note", "Budget", "note"),
)
NUMBERS = tuple(  # for programs
    Column(name, name)
    for name in (
        "method", "arm", "dataset", "protocol", "split", "metric", "tta", "unit", "value", "deviation", "low",
        "high", "runs", "published", "gap", "source", "pretraining", "note",
    )
)  # fmt: skip


def print_value(value: object, kind: Kind) -> str:
    """Print one value: percents and points with two decimals, points with a sign, missing ones as a dash.

    >>> print_value(-1.5, "points"), print_value(float("nan"), "percent")
    ('−1.50', '–')
    """
    if value is None or (isinstance(value, float) and not np.isfinite(value)) or str(value) in ("", "nan"):
        return "–"
    if kind in ("text", "range", "note"):
        return str(value)
    number = float(str(value))
    texts: dict[str, Callable[[float], str]] = {
        "percent": lambda x: f"{x:.2f}",
        "points": lambda x: f"{x:+.2f}",
        "count": lambda x: f"{x:,.0f}",
        "number": lambda x: f"{x:.4g}",
    }
    return texts[kind](number).replace("-", "−")


def print_column(values: Iterable[object], kind: Kind) -> list[str]:
    """Print the values of one column, numbers with equally many decimals: four digits of the largest.

    More decimals where the smallest would else be 0; of very different sizes each has its own.

    >>> print_column([0.2, 0.22, float("nan")], "number"), print_column([106.21, 68.6, 2.0], "number")
    (['0.20', '0.22', '–'], ['106.2', '68.6', '2.0'])
    """
    listed = list(values)
    alone = [print_value(value, kind) for value in listed]
    sizes = (
        [abs(float(str(value))) for value, text in zip(listed, alone, strict=True) if text != "–"]
        if (kind == "number")
        else []
    )
    if not sizes or any("e" in text for text in alone):
        return alone
    needed = max(len(text.partition(".")[2]) for text in alone)
    decimals = min(needed, max(0, 4 - (len(str(int(max(sizes)))) if max(sizes) > 1 else 0)))
    least = min((size for size in sizes if size), default=1.0)
    decimals = next((n for n in range(decimals, needed) if round(least, n)), needed)
    return [
        text if text == "–" else f"{float(str(value)):.{decimals}f}".replace("-", "−")
        for value, text in zip(listed, alone, strict=True)
    ]


def with_minus(text: str) -> str:
    """Write the sign of negative numbers in a sentence as people read it, not as a hyphen.

    >>> with_minus("moved by -1.90 (-2 to 3), seed-0, 2020-11-30, a -s")
    'moved by −1.90 (−2 to 3), seed-0, 2020-11-30, a -s'
    """
    return re.sub(r"(?<![\w.@/'\"-])-(?=\.?\d)", "−", text)


_FINE = ("nats", "MSE", "rho")  # log losses, squared errors and correlations: four decimals below ten
_KEPT = ("points", *_FINE)  # what is no percentage


def spell(value: float, unit: str, *beside: float) -> str:
    """Print a value in its unit: two decimals, four of other units below ten; points with a sign.

    Args:
        value: a number.
        unit: %, points, nats, MSE or rho.
        beside: numbers that are printed next to it, such as its interval, with as many decimals.

    >>> spell(0.3294, "nats"), spell(86.583, "MSE"), spell(-1.5, "points"), spell(float("nan"), "%")
    ('0.3294', '86.58', '−1.50', '–')
    """
    if unit in _FINE and np.isfinite(value):
        return f"{value:.{_decimals(value, *beside)}f}".replace("-", "−")
    return print_value(value, "points" if unit == "points" else "percent")


def spell_gap(value: float, unit: str, *beside: float) -> str:
    """Print a difference of values with its sign; arguments as of ``spell``, ``unit`` of the values."""
    if unit in _FINE and np.isfinite(value):
        return f"{value:+.{_decimals(value, *beside)}f}".replace("-", "−")
    return print_value(value, "points")


def _decimals(*values: float) -> int:
    return 2 if any(abs(value) >= 10 for value in values) else 4


def spell_range(low: float, high: float, unit: str) -> str:
    """Print an interval, or nothing where there is none."""
    known = np.isfinite(low) and np.isfinite(high)
    return f"{spell(low, unit, high)} to {spell(high, unit, low)}" if known else ""


def in_percent(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose numbers are percent, whatever they were; points, nats, MSE and rho stay.

    Raises:
        UserError: a unit that is none of these, or a missing column.
    """
    for column in ("unit", "value", *GROUP):
        if column not in rows:
            raise UserError(f"result rows: column '{column}' is missing; {nearest(column, rows.columns)}")
    odd = sorted(set(rows["unit"]) - {"%", "percent", "fraction", *_KEPT})
    if odd:
        raise UserError(f"result rows: unit '{odd[0]}': expected %, fraction, {', '.join(_KEPT)}")
    factor = np.where(rows["unit"] == "fraction", 100.0, 1.0)
    further = [name for name in ("deviation", "low", "high") if name in rows]
    scaled = rows.assign(
        value=pd.to_numeric(rows["value"]) * factor,
        **{name: pd.to_numeric(rows[name], errors="coerce") * factor for name in further},
    )
    return scaled.assign(unit=rows["unit"].where(rows["unit"].isin(_KEPT), "%"))


def without_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out the protocol ``clean`` of data sets without duplicates, where it repeats the official one."""
    key = ["method", "arm", "dataset", "metric", "tta", "seed"]
    clean, official = (rows[rows["protocol"] == name] for name in ("clean", "official"))
    both = clean.merge(official, on=key, suffixes=("", "_official"))
    changed = both.loc[~np.isclose(both["value"], both["value_official"]), "dataset"]
    repeated = set(both["dataset"]) - set(changed)
    return rows[~((rows["protocol"] == "clean") & rows["dataset"].isin(repeated))]


def mean_rows(measured: pd.DataFrame) -> pd.DataFrame:
    """Choose the rows of means over seeds, with the deviation and the interval that evaluation wrote.

    Args:
        measured: result rows in percent.

    Returns:
        The columns of ``GROUP``, then ``value``, ``deviation``, ``low``, ``high``, ``runs``, ``unit``,
        ``pretraining`` and ``note``, numbered from 0.
    """
    means = measured[(measured["seed"].fillna("") == "") & ~is_difference(measured)]
    columns = [*GROUP, "value", "deviation", "low", "high", "runs", "unit", "pretraining", "note"]
    return means[columns].fillna(dict.fromkeys(GROUP, "")).reset_index(drop=True)


def _gather(rows: pd.DataFrame, names: Sequence[str]) -> dict[tuple[str, ...], list[dict[Hashable, Any]]]:
    """Gather rows by what some columns hold, in their order; pandas takes far longer to."""
    gathered: dict[tuple[str, ...], list[dict[Hashable, Any]]] = {}
    for row in rows.to_dict("records"):
        gathered.setdefault(tuple(row[name] for name in names), []).append(row)
    return gathered


def beside_published(measured: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Put each measured result beside the published one of the same method, arm, data set and metric.

    A published number is put next to a measured one only where the data set is the same, the protocol is the
    same where both name one, and both use test-time augmentation or both do not, where the paper says.

    Args:
        measured: result rows of any number of seeds.
        published: rows of results/published/results.csv.

    Returns:
        ``mean_rows`` of the measured ones with ``published``, ``gap`` (percentage points, nats of log
        losses), ``source`` and the texts that ``RESULTS`` prints.
    """
    table = mean_rows(without_repeats(in_percent(measured)))
    known = in_percent(published) if len(published) else published
    places = _gather(known, _PLACE)
    found = []
    for row in table.to_dict("records"):
        beside = places.get(tuple(row[name] for name in _PLACE), ())
        found.append(next((one for one in beside if may_be_compared(row, one)), None))
    table["published"] = [float(row["value"]) if row is not None else np.nan for row in found]
    table["source"] = [_source(row) if row is not None else "" for row in found]
    table["gap"] = table["value"] - table["published"]
    return with_words(table)


def is_difference(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are differences of two arms, which are listed with the claims."""
    return rows["arm"].astype(str).str.contains(" - ", regex=False)


def with_words(table: pd.DataFrame) -> pd.DataFrame:
    """Add what people read: data set with an unusual protocol, name of metric, TTA yes or no, interval."""
    units = table["unit"].tolist()
    return table.assign(
        data=[
            f"{dataset}, {protocol}" if protocol not in ("", "official") else dataset
            for dataset, protocol in zip(table["dataset"], table["protocol"], strict=True)
        ],
        words=[metric_words(*pair) for pair in zip(table["metric"], units, strict=True)],
        augmented=["yes" if uses_tta(value) else "no" for value in table["tta"]],
        measured=list(map(spell, table["value"], units, table["low"], table["high"])),
        interval=list(map(spell_range, table["low"], table["high"], units)),
        printed=list(map(spell, table["published"], units)),
        distance=list(map(spell_gap, table["gap"], units)),
        class_mean=np.nan,
    )


def metric_words(metric: str, unit: str) -> str:
    """Name a metric for people, with its unit where that is not percent."""
    try:
        words = find_metric(str(metric)).words
    except UserError:  # of a table of the user's own
        words = str(metric).replace("_", " ")
    return f"{words} ({unit})" if unit not in ("", "%") else words


def for_people(table: pd.DataFrame) -> pd.DataFrame:
    """Put mean class accuracies into a column beside the accuracies, where no paper has a number for them.

    Args:
        table: from ``beside_published``.

    Returns:
        Fewer rows, with the column ``class_mean`` (percent, NaN where there is none) that ``RESULTS`` prints.
    """
    key = [name for name in GROUP if name != "metric"]
    means = table[(table["metric"] == "mean_class_accuracy") & table["published"].isna()]
    values = means.set_index(key)["value"]
    accuracies = table["metric"] == "accuracy"
    places = pd.MultiIndex.from_frame(table[key])
    class_mean = np.where(accuracies, values.reindex(places), np.nan)
    known = pd.MultiIndex.from_frame(table.loc[accuracies, key])
    repeated = table.index.isin(means.index) & places.isin(known)
    return table.assign(class_mean=class_mean)[~repeated]


def result_columns(table: pd.DataFrame) -> tuple[Column, ...]:
    """Choose the columns of ``RESULTS`` that distinguish rows: no metric's name where all are accuracies."""
    if set(table["metric"]) <= {"accuracy"}:
        shown = [column for column in RESULTS if column.name != "words"]
        return tuple(replace(c, heading="Accuracy") if c.name == "measured" else c for c in shown)
    return RESULTS


def may_be_compared(measured: Mapping[Hashable, Any], published: Mapping[Hashable, Any]) -> bool:
    """Return whether protocol and test-time augmentation are the same, where both name them.

    Args:
        measured: a row of the same method, arm, data set and metric as
        published: a row of results/published/results.csv.
    """
    protocols = {_text(measured["protocol"]), _text(published["protocol"])} - {""}
    augmented = _text(published["tta"])
    return len(protocols) < 2 and (not augmented or uses_tta(measured["tta"]) == uses_tta(augmented))


def _text(value: object) -> str:
    return "" if value is None or (isinstance(value, float) and np.isnan(value)) else str(value).strip()


def _source(row: Mapping[Hashable, Any]) -> str:
    return ", ".join(part for part in (_text(row.get("paper")), _text(row.get("table"))) if part)


def uses_tta(value: object) -> bool:
    """Whether a row's ``tta`` means that test-time augmentation was used: not empty, none, 0, no or false."""
    return _text(value).casefold() not in ("", "none", "0", "0.0", "no", "false")


def accuracy_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Choose the accuracies of single networks by the usual protocols, named as ``gap_plot`` prints them."""
    rows = table[table["metric"].isin(ACCURACIES) & ~table["arm"].isin(_REFERENCES)]
    single = ~rows["arm"].str.contains("+", regex=False)
    rows = rows[single & rows["protocol"].isin(["", "official", "ten_fold"])]
    labels = [
        f"{row['method']} {row['arm']}, {row['data']}{', with TTA' if uses_tta(row['tta']) else ''}"
        for _, row in rows.iterrows()
    ]
    return rows.assign(label=labels, measured=rows["value"])


def columns_of(frame: pd.DataFrame, kinds: dict[str, Kind] | None = None) -> tuple[Column, ...]:
    """Give every column of ``frame`` its own name as heading, with spaces for underscores.

    Args:
        frame: what is to be printed.
        kinds: column -> how; others are numbers or counts where pandas has them as such, else text.
    """
    return tuple(
        Column(str(name), str(name).replace("_", " "), (kinds or {}).get(str(name)) or _kind_of(frame[name]))
        for name in frame.columns
    )


def _kind_of(values: pd.Series) -> Kind:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return "text"
    known = values.dropna()
    return "count" if len(known) and (known % 1 == 0).all() else "number"


_BREAKS = re.compile(r"(?<=[^\W\d_])[/_](?=[^\W\d_])")  # where a name may go on in the next line


def as_html(frame: pd.DataFrame, columns: Sequence[Column], caption: str = "") -> str:
    """Write a sortable HTML table; names from the user's data are escaped.

    Args:
        frame: one row per result.
        columns: what to show, in order.
        caption: printed above the table.
    """
    head = "".join(f'<th scope="col"{_align(c)}>{html.escape(c.heading)}</th>' for c in columns)
    body = []
    for texts in printed_rows(frame, columns):
        cells = []
        for i, (column, words) in enumerate(zip(columns, texts, strict=True)):
            text = _BREAKS.sub(r"\g<0><wbr>", html.escape(with_minus(words)))
            tag, scope = ("th", ' scope="row"') if i == 0 else ("td", "")
            cells.append(f"<{tag}{scope}{_align(column)}>{text}</{tag}>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<caption>{html.escape(with_minus(caption))}</caption>" if caption else ""
    rows = "\n".join(body)
    return f'<table class="sortable">{title}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n'


def _align(column: Column) -> str:
    return {"text": "", "note": ' class="note"'}.get(column.kind, ' class="number"')


def as_markdown(frame: pd.DataFrame, columns: Sequence[Column], caption: str = "") -> str:
    """Write a GitHub table."""
    lines = [f"{markdown_text(caption)}\n"] if caption else []
    lines.append("| " + " | ".join(markdown_text(c.heading) for c in columns) + " |")
    lines.append("|" + "|".join("---" if c.kind in ("text", "note") else "---:" for c in columns) + "|")
    lines += [
        "| " + " | ".join(markdown_text(text) for text in texts) + " |"
        for texts in printed_rows(frame, columns)
    ]
    return "\n".join(lines) + "\n"


def markdown_text(text: str) -> str:
    """Keep a name from becoming markup: no tags, no links, no images that a reader's page would load."""
    for mark in ("\\", "|", "["):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.replace("<", "&lt;").splitlines())


def printed_rows(frame: pd.DataFrame, columns: Sequence[Column]) -> Iterable[list[str]]:
    """Print the cells of a table, row by row, as every format has them."""
    printed = [print_column(frame[column.name], column.kind) for column in columns]
    return map(list, zip(*printed, strict=True))
