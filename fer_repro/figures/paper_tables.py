"""Each paper's tables in its own layout, measured numbers beside the published ones of the same data."""

import html
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.figures.display import Shown
from fer_repro.figures.exports import TablePart, as_kept, write_formats
from fer_repro.figures.tables import (
    Column,
    as_html,
    in_percent,
    may_be_compared,
    mean_rows,
    metric_words,
    spell,
    spell_gap,
    spell_range,
    uses_tta,
    without_repeats,
)
from fer_repro.measures.metrics import ACCURACIES, OWN

COLUMNS = (
    "method", "table", "network", "dataset", "protocol", "split", "metric", "tta", "unit", "published",
    "measured", "deviation", "low", "high", "seeds", "gap", "source", "pretraining", "note",
)  # fmt: skip
_PLACE = ["dataset", "protocol", "split", "metric", "unit"]
_USUAL = ("", "official", "ten_fold", "authors_split", "templates", "distractors_1e6")
Cells = Mapping[Hashable, Any]  # of one row, by the names of columns


def paper_table(measured: pd.DataFrame, published: pd.DataFrame, method: str) -> pd.DataFrame:
    """Join a paper's numbers, and those it quotes, with what was measured on the same data.

    Args:
        measured: result rows of any methods.
        published: rows of results/published/results.csv.
        method: whose paper.

    Returns:
        ``COLUMNS``: the paper's numbers in the order of results.csv, ``measured`` empty where nothing was
        run; then, with an empty ``table``, what was measured on other data. Percent, gaps in points, log
        losses in nats.
    """
    values = in_percent(measured[measured["method"] == method])
    ours = mean_rows(without_repeats(values))
    left = ours.to_dict("index")
    found, rows = list(left.items()), []
    for known in _quoted(in_percent(published), method).to_dict("records"):
        name, partner = _partner(found, known) if known["method"] == method else (None, None)
        left.pop(name, None)
        rows.append(_join(known, partner, method))
    rows += [_alone(row, method) for row in left.values()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _quoted(published: pd.DataFrame, method: str) -> pd.DataFrame:
    """Choose the rows of a paper's tables: its own, and those of others that it prints beside them."""
    own = published[published["method"] == method]
    suffix = f" of {own['paper'].iloc[0]}" if len(own) else " of nothing"
    homes = published["table"].str.removesuffix(suffix)
    is_quoted = published["table"].str.contains(" of ") & homes.isin(own["table"])
    chosen = (published["method"] == method) | is_quoted
    return published[chosen].assign(table=homes[chosen])


def _partner(ours: Sequence[tuple[Hashable, Cells]], known: Cells) -> tuple[Hashable, Cells | None]:
    """Find the measured row that belongs to a published one: its name and the row."""
    for name, row in ours:
        same_place = all(row[key] == known[key] for key in ("arm", "dataset", "metric"))
        if same_place and may_be_compared(row, known):
            return name, row
    return None, None


def _join(known: Cells, partner: Cells | None, method: str) -> dict[str, object]:
    network = known["arm"] if known["method"] == method else known["method"].replace("_", " ")
    if known["method"] != method and known["arm"] not in ("reported", known["method"]):
        network = f"{network} {known['arm']}"
    row = {name: known[name] for name in ("table", "source", "pretraining", "note", "tta", *_PLACE)}
    row |= {"method": method, "network": network, "published": known["value"]}
    return row if partner is None else row | _numbers(partner) | {"gap": partner["value"] - known["value"]}


def _numbers(row: Cells) -> dict[str, object]:
    return {
        "measured": row["value"], "deviation": row["deviation"], "low": row["low"], "high": row["high"],
        "seeds": row["runs"],
    }  # fmt: skip


def _alone(row: Cells, method: str) -> dict[str, object]:
    kept = {name: row[name] for name in ("tta", "pretraining", "note", *_PLACE)}
    return {**kept, **_numbers(row), "method": method, "table": "", "network": row["arm"], "source": ""}


def paper_parts(table: pd.DataFrame, confidence: float) -> list[TablePart]:
    """Lay out one paper's tables for people: a row per network, columns per data set and metric.

    Args:
        table: from ``paper_table``.
        confidence: as given there.

    Returns:
        The paper's tables; then one of what was measured on other data, by the paper's metrics, or where no
        number is published by those of the task.
    """
    printed = table[table["table"] != ""]
    metrics = [*printed["metric"], *ACCURACIES, "spearman"] if len(printed) else [*OWN, "video_auc"]
    parts = [_printed(str(name), rows) for name, rows in printed.groupby("table", sort=False)]
    here = table[(table["table"] == "") & table["metric"].isin(metrics)]
    return parts + ([_measured(here, confidence)] if len(here) else [])


def _printed(name: str, rows: pd.DataFrame) -> TablePart:
    networks = list(dict.fromkeys(rows["network"]))
    frame, columns = pd.DataFrame({"network": networks}), [Column("network", "Network")]
    places = list(_places(rows))
    headings = [_heading(place, len({where[3] for where, _ in places}) > 1) for place, _ in places]
    for number, (place, part) in enumerate(places):
        cells = {row["network"]: row for _, row in part.iterrows()}
        heading = headings[number]
        if headings.count(heading) > 1:  # of two splits
            heading = f"{heading}, {place[2]}"
        for key, title, text in _cells(str(place[4]), bool(part["measured"].notna().any())):
            frame[f"{key}{number}"] = [text(cells[each]) if each in cells else "" for each in networks]
            columns.append(Column(f"{key}{number}", ", ".join(filter(None, [heading, title])), "range"))
            heading = ""
    if len(places) == 1:
        frame["note"] = [cells[each]["note"] for each in networks]
        columns.append(Column("note", "Note", "note"))
    metrics = ", ".join(dict.fromkeys(metric_words(place[3], place[4]) for place, _ in places))
    beside = ", beside ours on the same data" if rows["measured"].notna().any() else ""
    return TablePart(f"{name}: {metrics}, as published{beside}.", frame, tuple(columns))


def _cells(unit: str, was_measured: bool) -> list[tuple]:
    published = [
        ("published", "published" if was_measured else "", lambda row: spell(row["published"], unit))
    ]
    measured = [
        ("measured", "measured", lambda row: spell(row["measured"], unit, row["low"], row["high"])),
        ("interval", "interval", lambda row: spell_range(row["low"], row["high"], unit)),
        ("seeds", "seeds", lambda row: f"{row['seeds']:.0f}" if np.isfinite(row["seeds"]) else ""),
        ("gap", "gap", lambda row: spell_gap(row["gap"], unit)),
    ]
    return published + (measured if was_measured else [])


def _measured(rows: pd.DataFrame, confidence: float) -> TablePart:
    networks = list(dict.fromkeys(rows["network"]))
    shown = [str(name).replace("_", " ") for name in networks]
    frame, columns = pd.DataFrame({"network": shown}), [Column("network", "Network")]
    rows = rows.assign(tta=["with TTA" if uses_tta(value) else "" for value in rows["tta"]])
    for number, (place, part) in enumerate(_places(rows, "tta")):
        texts = {row["network"]: _with_interval(row, place[4]) for _, row in part.iterrows()}
        frame[f"value{number}"] = [texts.get(each, "") for each in networks]
        heading = ", ".join(filter(None, [_heading(place[:5], True), place[5]]))
        columns.append(Column(f"value{number}", heading, "range"))
    frame["seeds"] = [rows.loc[rows["network"] == each, "seeds"].max() for each in networks]
    columns.append(Column("seeds", "seeds", "count"))
    budgets = "; ".join(dict.fromkeys(filter(None, map(str, rows.loc[rows["seeds"] > 1, "note"]))))
    caption = (
        "Measured where nothing is published for the same data, protocol and use of TTA: mean over seeds, in "
        f"brackets its {100 * confidence:g} % interval. Budget: {budgets or 'not stated'}."
    )
    return TablePart(caption, frame, tuple(columns))


def _with_interval(row: pd.Series, unit: str) -> str:
    ends = row["low"], row["high"]
    text, interval = spell(row["measured"], unit, *ends), spell_range(*ends, unit)
    return f"{text} ({interval})" if interval else text


def _places(rows: pd.DataFrame, *further: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    yield from rows.groupby([*_PLACE, *further], sort=False)


def _heading(place: tuple, with_metric: bool) -> str:
    dataset, protocol, _, metric, unit = place
    named = [] if protocol in _USUAL else [str(protocol).replace("_", " ")]
    words = [str(dataset).replace("_", " "), *named, *([metric_words(metric, unit)] if with_metric else [])]
    return ", ".join(words)


def write_paper_tables(tables: Mapping[str, pd.DataFrame], folder: Path | str, confidence: float) -> None:
    """Write each paper's tables as ``<method>.csv`` and ``<method>.md``.

    Args:
        tables: method -> ``paper_table``.
        folder: where.
        confidence: as given there.
    """
    for method, table in tables.items():
        table = as_kept(table)
        write_formats(Path(folder) / method, table, paper_parts(table, confidence))


def show_paper_tables(
    tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str], confidence: float
) -> Shown:
    """Show each paper's tables folded away under its title.

    Args:
        tables: method -> ``paper_table``.
        titles: method -> title of its paper.
        confidence: as given there.
    """
    return Shown("".join(_folded(titles[name], table, confidence) for name, table in tables.items()))


def _folded(title: str, table: pd.DataFrame, confidence: float) -> str:
    parts = paper_parts(table, confidence)
    inside = "".join(as_html(part.frame, part.columns, part.caption) for part in parts)
    beside = int(table["gap"].notna().sum())
    alone = int((table["table"] == "").sum())
    words = f"{beside or 'no'} published number{'' if beside == 1 else 's'} measured, {alone} further results"
    return f'<details class="tables"><summary>{html.escape(title)}: {words}</summary>{inside}</details>\n'
