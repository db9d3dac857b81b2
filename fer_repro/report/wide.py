"""Wide tables: one row per arm and one column per metric or data set, for results of many numbers."""

from collections.abc import Sequence

import pandas as pd

from fer_repro.report.display import Shown, show_table
from fer_repro.report.tables import in_percent, metric_words, print_value, spell, spell_range


def metric_grid(table: pd.DataFrame, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Lay out results as one row per arm, and one column per metric with its interval in brackets.

    Args:
        table: from ``fer_repro.report.tables.beside_published``, of one data set and protocol.
        metrics: which, in this order; empty takes all in their order.

    Returns:
        ``arm`` and the metrics in words, all as text; where the paper has a number, it follows as
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
    return show_table(grid, f"{caption} Budget: {budget}." if budget else caption)


def published_grid(published: pd.DataFrame, method: str, table: str) -> pd.DataFrame:
    """Lay out one published table as one row per arm and one column per data set.

    Args:
        published: rows of published/results.csv.
        method: under which it stands there.
        table: its name there.

    Returns:
        ``arm``, and a column per data set, percent as text.
    """
    rows = in_percent(published[(published["method"] == method) & (published["table"] == table)])
    wide = rows.pivot_table(index="arm", columns="dataset", values="value", sort=False)
    texts = wide.map(lambda value: print_value(float(value), "percent"))
    texts.columns = [str(name).replace("_", " ") for name in texts.columns]
    return texts.rename_axis(None, axis=1).reset_index()


def _words(metric: object) -> str:
    return metric_words(str(metric), "%")


def _cell(row: pd.Series) -> str:
    interval = spell_range(row["low"], row["high"], row["unit"])
    text = spell(row["value"], row["unit"]) + (f" ({interval})" if interval else "")
    return text + (
        f", published {spell(row['published'], row['unit'])}" if pd.notna(row["published"]) else ""
    )
