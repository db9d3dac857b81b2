"""What a paper reports, as a table that stories show."""

from collections.abc import Sequence

import pandas as pd

from fer_repro.report.display import Shown, show_table
from fer_repro.report.tables import Column, in_percent


def published_accuracies(published: pd.DataFrame, method: str, arms: Sequence[str]) -> pd.DataFrame:
    """Lay out the published accuracies of a method's arms, one row per data set, protocol and split.

    Args:
        published: rows of published/results.csv.
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
