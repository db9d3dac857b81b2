"""What a paper reports, as a table that stories show."""

import pandas as pd

from fer_repro.report.display import Shown, show_table
from fer_repro.report.tables import Column, in_percent

COLUMNS = (
    Column("arm", "Network"),
    Column("data", "Data"),
    Column("value", "Accuracy", "percent"),
    Column("table", "From"),
    Column("note", "Note", "note"),
)


def published_accuracies(published: pd.DataFrame, method: str) -> pd.DataFrame:
    """Choose a method's published accuracies, each number once.

    Args:
        published: rows of published/results.csv.
        method: whose.

    Returns:
        ``arm``, ``data`` (data set, with protocol or split where it is not the usual one), ``value`` in
        percent, ``table`` and ``note``.
    """
    rows = published[(published["method"] == method) & (published["metric"] == "accuracy")]
    rows = in_percent(rows).drop_duplicates(["arm", "dataset", "protocol", "split", "value"])
    data = [", ".join([str(row["dataset"]), *_unusual(row)]).replace("_", " ") for _, row in rows.iterrows()]
    return rows.assign(data=data)[[column.name for column in COLUMNS]].reset_index(drop=True)


def show_published(published: pd.DataFrame, method: str, caption: str) -> Shown:
    """Show a method's published accuracies; see ``published_accuracies``."""
    return show_table(published_accuracies(published, method), caption, COLUMNS)


def _unusual(row: pd.Series) -> list[str]:
    protocol = [] if row["protocol"] in ("", "official") else [str(row["protocol"])]
    return protocol + ([] if row["split"] == "test" else [str(row["split"])])
