"""Wide tables: one row per arm and one column per metric or data set, for results of many numbers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.report.display import Shown, show_table
from fer_repro.report.tables import in_percent, print_value

_LOSS = "log_loss"


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
    return str(metric).replace("_", " ")


def _cell(row: pd.Series) -> str:
    places = 4 if _LOSS in str(row["metric"]) else 2
    text = f"{row['value']:.{places}f}"
    if np.isfinite(row["low"]) and np.isfinite(row["high"]):
        text += f" ({row['low']:.{places}f} to {row['high']:.{places}f})"
    if np.isfinite(row["published"]):
        text += f", published {row['published']:.{places}f}"
    return text.replace("-", "\N{MINUS SIGN}")
