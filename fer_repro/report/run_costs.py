"""What runs cost: parameters, operations, seconds, memory, and the table of a method's runs.

Seconds and memory come from the files below timings/ that runs also write. They differ from machine to
machine, so no result depends on them, and any of them may be missing.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.config import method_arms, run_folder
from fer_repro.errors import UserError
from fer_repro.figures.exports import TablePart
from fer_repro.figures.result_files import json_or_nothing, run_folders
from fer_repro.figures.tables import Column
from fer_repro.params import read_params
from fer_repro.report.records import spell_time
from fer_repro.spreadsheets import as_numbers

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


def cost_part(costs: pd.DataFrame, times: pd.DataFrame | None = None) -> TablePart:
    """Lay out what networks cost.

    Args:
        costs: from ``fer_repro.runs.costs.measure_costs``, or results/comparison/cost.csv.
        times: from ``fer_repro.report.run_costs.training_times``; they differ by machine, so that files leave
            them out.
    """
    table = costs.assign(millions=costs["flops"] / 1e6)
    caption = "What each network costs: operations, two per multiply-add, for one prediction on one input"
    if times is None or times["train_seconds"].isna().all():
        return TablePart(f"{caption}.", table, _COUNTED)
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
    return TablePart(caption, table, _COUNTED + _TIMED)


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


TIMES = ("train_seconds", "first_step_seconds", "images_per_second", "data_share", "memory_mb")
_SUMS = ("train_seconds", "first_step_seconds", "images_per_second")


def read_timing(root: Path, dataset: str, method: str, seed: int, arm: str) -> dict[str, Any]:
    """Read what one run's timings file holds; empty where there is none or it is damaged.

    Args:
        root: the folder timings/.
        dataset: trained on.
        method: of the run.
        seed: of the run.
        arm: of the run.
    """
    try:
        found = json_or_nothing(run_folder(root, dataset, method, seed, arm).with_suffix(".json"))
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}


def summarise_timing(timing: dict[str, Any]) -> dict[str, float]:
    """Reduce one run's timings to ``TIMES``; NaN for what older files do not record.

    Args:
        timing: from ``read_timing``: sums of the run, and ``epochs``, a list with ``seconds``, ``data_share``
            (in [0, 1]) and ``memory_mb`` of each.

    Returns:
        The sums as they are, ``data_share`` over all epochs by their seconds, the highest ``memory_mb``.
    """
    known = {name: _number(timing.get(name)) for name in _SUMS}
    epochs = pd.DataFrame(timing.get("epochs") or []).reindex(columns=["seconds", "data_share", "memory_mb"])
    epochs = epochs.apply(as_numbers)
    shares = epochs.dropna(subset=["seconds", "data_share"])
    waited = float((shares["seconds"] * shares["data_share"]).sum())
    total = float(shares["seconds"].sum())
    memory = epochs["memory_mb"].max() if len(epochs) else np.nan
    return {**known, "data_share": waited / total if total else np.nan, "memory_mb": float(memory)}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def training_times(
    params_file: Path | str, trained: Sequence[tuple[str, str]], timings_root: Path | str = "timings"
) -> pd.DataFrame:
    """Read how long training took and what it needed, over seeds; NaN where no timing is left.

    Args:
        params_file: usually ``params.yaml``.
        trained: data sets and methods with finished runs.
        timings_root: where durations are kept.

    Returns:
        ``method``, ``arm``, ``dataset`` and ``TIMES``, means over seeds but for the highest ``memory_mb``;
        ``first_step_seconds`` is of training by triplets.
    """
    params, root = read_params(Path(params_file)), Path(timings_root)
    rows = []
    for dataset, method in trained:
        for arm in method_arms(Path(params_file), method):
            found = [read_timing(root, dataset, method, seed, arm) for seed in params.seeds_of(method)]
            table = pd.DataFrame([summarise_timing(timing) for timing in found], columns=list(TIMES))
            means = {**table.mean(), "memory_mb": table["memory_mb"].max()}
            rows.append({"method": method, "arm": arm, "dataset": dataset, **means})
    return pd.DataFrame(rows, columns=["method", "arm", "dataset", *TIMES])


RUNS = (
    Column("arm", "Arm"),
    Column("seed", "Seed", "count"),
    Column("epochs", "Epochs", "count"),
    Column("best", "Best epoch", "count"),
    Column("val", "Validation accuracy (%)", "percent"),
    Column("train", "Training accuracy (%)", "percent"),
    Column("train_seconds", "Training time (s)", "number"),
    Column("images_per_second", "Images/s", "count"),
    Column("memory", "Peak memory", "range"),
)


RUNS_OF_NUMBERS = tuple(
    {
        "val": Column("val", "Validation error", "number"),
        "train": Column("train", "Training loss", "number"),
    }.get(column.name, column)
    for column in RUNS
)
"""Those of a regression, whose networks have no accuracy."""


def run_columns(history: pd.DataFrame) -> tuple[Column, ...]:
    """Choose the columns of ``run_table`` by what a history has."""
    return RUNS if "val_accuracy" in history else RUNS_OF_NUMBERS


def run_table(root: Path, dataset: str, method: str, history: pd.DataFrame) -> pd.DataFrame:
    """Lay out the runs of one method on one data set.

    Args:
        root: the project's folder, with runs/ and timings/.
        dataset: trained on.
        method: whose runs.
        history: from ``fer_repro.figures.result_files.read_history``.
    """
    rows = []
    for seed, arm, _ in run_folders(root / "runs", dataset, method):
        run = history[(history["arm"] == arm) & (history["seed"] == seed)]
        if run.empty:
            continue
        if "val_accuracy" in run:
            best = run.iloc[int(run["val_accuracy"].argmax())]
            measured = {"val": 100 * best["val_accuracy"], "train": 100 * best["train_accuracy"]}
        else:
            best = run.iloc[int(run["val_loss"].argmin())]
            measured = {"val": best["val_loss"], "train": best["train_loss"]}
        took = summarise_timing(read_timing(root / "timings", dataset, method, seed, arm))
        rows.append(
            {
                "arm": arm, "seed": seed, "epochs": run["epoch"].max(), "best": best["epoch"],
                **measured,
                **took, "memory": spell_memory(took["memory_mb"]),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
