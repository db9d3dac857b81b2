"""What networks cost, as people read it."""

import math

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
_TIMED = (
    Column("training", "Training", "range"),
    Column("images_per_second", "Images/s", "count"),
    Column("waiting", "Waiting for data", "range"),
    Column("memory", "Peak memory", "range"),
)
UNKNOWN = "not recorded"


def cost_part(costs: pd.DataFrame, times: pd.DataFrame | None = None) -> Part:
    """Lay out what networks cost.

    Args:
        costs: from ``fer_repro.evaluation.costs.measure_costs``, or comparison/cost.csv.
        times: from ``fer_repro.report.timings.training_times``; they differ by machine, so that files leave
            them out.
    """
    table = costs.assign(millions=costs["flops"] / 1e6)
    caption = "What each network costs: operations, two per multiply-add, for one answer to what it is shown"
    if times is None or times["train_seconds"].isna().all():
        return Part(f"{caption}.", table, _COUNTED)
    table = table.merge(times, on=_KEY, how="left")
    seconds = table["train_seconds"] + table["first_step_seconds"].fillna(0)
    table = table.assign(
        training=["" if pd.isna(value) else spell_time(value) for value in seconds],
        waiting=list(map(spell_share, table["data_share"])),
        memory=list(map(spell_memory, table["memory_mb"])),
    )
    caption += (
        "; training time of one run, mean over seeds; the share of it that waited for data; the most memory "
        "of any seed: of the accelerator where there is one, else of the whole process, which trains all "
        "arms of a seed one after the other."
    )
    return Part(caption, table, _COUNTED + _TIMED)


def spell_memory(megabytes: float) -> str:
    """Print memory in MB or GB.

    >>> spell_memory(812.4), spell_memory(2150.0), spell_memory(float("nan"))
    ('812 MB', '2.1 GB', 'not recorded')
    """
    if not math.isfinite(megabytes):
        return UNKNOWN
    return f"{megabytes:.0f} MB" if megabytes < 1024 else f"{megabytes / 1024:.1f} GB"


def spell_share(share: float) -> str:
    """Print a share of time as percent.

    >>> spell_share(0.031), spell_share(float("nan"))
    ('3 %', 'not recorded')
    """
    return f"{100 * share:.0f} %" if math.isfinite(share) else UNKNOWN
