"""A paper's claims with their verdicts: what was tested here, and what only the paper's own data can test."""

import numpy as np
import pandas as pd

from fer_repro.report.display import Shown, say, show_table
from fer_repro.report.tables import Column

TESTED = (
    Column("statement", "Claim"),
    Column("words", "Metric"),
    Column("difference", "Difference", "range"),
    Column("interval", "Interval", "range"),
    Column("seeds", "Seeds", "count"),
    Column("published", "Published", "range"),
    Column("verdict", "Verdict"),
    Column("why", "Why", "note"),
)
OPEN = (
    Column("statement", "Claim"),
    Column("measured_as", "Measured as"),
    Column("published", "Published", "range"),
    Column("published_source", "From", "note"),
    Column("access", "Data", "note"),
)


def show_verdicts(ledger: pd.DataFrame, method: str, dataset: str) -> Shown:
    """Show the claims of one method that were tested on one data set, or say that none was.

    Args:
        ledger: from ``fer_repro.evaluation.ledger.judge``.
        method: whose claims.
        dataset: where they were tested.
    """
    rows = ledger[(ledger["method"] == method) & (ledger["dataset"] == dataset)]
    rows = rows[rows["verdict"] != "not attempted"]
    if rows.empty:
        return say(f"No claim of {method} can be tested on {dataset}.")
    percent = f"{100 * float(rows['confidence'].iloc[0]):g} %"
    caption = (
        f"Claims tested on {dataset}, with the {percent} interval of each difference; the rules are in "
        "docs/verdicts.md."
    )
    columns = [column for column in TESTED if column.name != "published" or rows["published"].notna().any()]
    return show_table(_in_words(rows), caption, columns)


def show_open_claims(ledger: pd.DataFrame, method: str) -> Shown:
    """Show the places of one method's claims where nothing was run, and how to get their data."""
    rows = ledger[(ledger["method"] == method) & (ledger["verdict"] == "not attempted")]
    if rows.empty:
        return say(f"Every claim of {method} was tested on the paper's own data.")
    return show_table(_in_words(rows), "Claims on data that were not at hand.", OPEN)


def _in_words(rows: pd.DataFrame) -> pd.DataFrame:
    ends = [
        f"{_signed(row['low'], row['unit'])} to {_signed(row['high'], row['unit'])}"
        for _, row in rows.iterrows()
    ]
    return rows.assign(
        words=[row["metric"].replace("_", " ") for _, row in rows.iterrows()],
        measured_as=[f"{row['metric'].replace('_', ' ')}, {row['dataset']}" for _, row in rows.iterrows()],
        difference=[_signed(row["difference"], row["unit"]) for _, row in rows.iterrows()],
        interval=ends,
        published=[
            f"{row['published']:g} %" if row["unit"] == "%" else _signed(row["published"], row["unit"])
            for _, row in rows.iterrows()
        ],
        why=[f"{row['reason']}; {row['condition']}" for _, row in rows.iterrows()],
    )


def _signed(value: float, unit: str) -> str:
    """Print a difference with its sign: points with two decimals, nats with four."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:+.4f}" if unit == "nats" else f"{value:+.2f}"
    return text.replace("-", "\N{MINUS SIGN}") + (" nats" if unit == "nats" else "")
