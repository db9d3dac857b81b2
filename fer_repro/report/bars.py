"""Bars for groups that not every data set knows."""

import pandas as pd

from fer_repro.report.display import Shown, say, show_figure
from fer_repro.report.figures import recall_bars


def show_bars(table: pd.DataFrame, title: str, caption: str, nothing: str) -> Shown:
    """Show bars with their ends, or say why there are none.

    Args:
        table: columns ``arm``, ``class``, ``value``, ``low``, ``high``, all in [0, 1].
        title: above the bars.
        caption: what to see.
        nothing: said where the table is empty.
    """
    if table.empty:
        return say(nothing)
    parts = [f"{row['arm']}, {row['class']}: {row['value']:.1%}" for _, row in table.iterrows()]
    words = "; ".join(part.replace("\n", " ") for part in parts)
    return show_figure(recall_bars(table, title), caption, f"Bars. {words}.")
