"""One line per training run: its epochs, its best accuracy, and what it took."""

from pathlib import Path

import pandas as pd

from fer_repro.report.costs import spell_memory
from fer_repro.report.runs import run_folders
from fer_repro.report.tables import Column
from fer_repro.report.timings import read_timing, summarise_timing

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


def run_table(root: Path, dataset: str, method: str, history: pd.DataFrame) -> pd.DataFrame:
    """Lay out the runs of one method on one data set.

    Args:
        root: the project's folder, with runs/ and timings/.
        dataset: trained on.
        method: whose runs.
        history: from ``fer_repro.report.runs.read_history``.
    """
    rows = []
    for seed, arm, _ in run_folders(root / "runs", dataset, method):
        run = history[(history["arm"] == arm) & (history["seed"] == seed)]
        if run.empty:
            continue
        best = run.iloc[int(run["val_accuracy"].argmax())]
        took = summarise_timing(read_timing(root / "timings", dataset, method, seed, arm))
        rows.append(
            {
                "arm": arm, "seed": seed, "epochs": len(run), "best": best["epoch"],
                "val": 100 * best["val_accuracy"], "train": 100 * best["train_accuracy"],
                **took, "memory": spell_memory(took["memory_mb"]),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
