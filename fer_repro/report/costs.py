"""What networks cost, as people read it."""

import pandas as pd

from fer_repro.report.exports import Part
from fer_repro.report.records import spell_time
from fer_repro.report.tables import Column

_KEY = ["method", "arm", "dataset"]
_COUNTED = (
    Column("method", "Method"),
    Column("arm", "Network"),
    Column("dataset", "Data"),
    Column("parameters", "Parameters", "count"),
    Column("item", "Shown"),
    Column("millions", "Operations (M)", "number"),
)
_TIMED = (Column("training", "Training", "range"), Column("images_per_second", "Images/s", "count"))


def cost_part(costs: pd.DataFrame, times: pd.DataFrame | None = None) -> Part:
    """Lay out what networks cost.

    Args:
        costs: from ``fer_repro.evaluation.costs.measure_costs``.
        times: from ``training_times`` there; they differ by machine, so that files leave them out.
    """
    table = costs.assign(millions=costs["flops"] / 1e6)
    caption = "What each network costs: operations, two per multiply-add, for one answer to what it is shown"
    if times is None or times["train_seconds"].isna().all():
        return Part(f"{caption}.", table, _COUNTED)
    table = table.merge(times, on=_KEY, how="left")
    seconds = table["train_seconds"] + table["first_step_seconds"].fillna(0)
    table = table.assign(training=["" if pd.isna(value) else spell_time(value) for value in seconds])
    return Part(f"{caption}; training time of one run, mean over seeds.", table, _COUNTED + _TIMED)
