"""Whole trainings for benchmarks, each done once: kept in ``scratch/benchmarks``, continued when killed."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.material import find_job
from benchmarks.tables import ROOT, Settings
from benchmarks.training import epochs
from fer_repro.config import load_config, run_folder
from fer_repro.datasets.store import open_store
from fer_repro.pipeline.run import train_run
from fer_repro.runs.folder import kept_accuracy

KEPT = ROOT / "scratch" / "benchmarks"
SEEDS = (100, 101, 102)
"""Of choices: none of those that results are reported for."""


@dataclass(frozen=True)
class Training:
    """One finished training.

    Attributes:
        history: its ``history.csv``: a row for each epoch.
        metrics: its ``metrics.json``.
        items: that an epoch trains on.
        validation_accuracy: in percent, of the epoch that validation chose; the mean of all folds.
    """

    history: pd.DataFrame
    metrics: dict[str, Any]
    items: int
    validation_accuracy: float


def chosen_seeds(settings: Settings) -> tuple[int, ...]:
    """All of ``SEEDS``; one where it is only to be shown that it runs."""
    return SEEDS[: 1 if settings.quick else None]


def trained(
    settings: Settings,
    name: str,
    run: tuple[str, str, str],
    recipe: str,
    seed: int,
    overrides: Mapping[str, Any],
    prepared: Path = ROOT / "prepared",
) -> Training:
    """Train one arm, or read what an earlier call has left.

    Args:
        settings: of the benchmark; ``quick`` takes a few samples and one epoch.
        name: of the variant, a folder.
        run: method, arm and data set.
        recipe: of the method.
        seed: of the run.
        overrides: as of ``train_run``.
        prepared: folder of the data sets.
    """
    method, arm, dataset = run
    root = KEPT / ("quick" if settings.quick else "") / name
    params = ROOT / "params.yaml"
    folder = run_folder(root / "runs", dataset, method, seed, arm)
    timing = run_folder(root / "timings", dataset, method, seed, arm).with_suffix(".json")
    config = load_config(params, method, dataset, arm, seed, recipe, overrides, settings.quick)
    digests = open_store(prepared / dataset).digests
    if not (config.is_in(folder / "config.json", digests) and timing.exists()):
        roots = [root / kind for kind in ("runs", "ckpt", "timings")]
        train_run(
            params, method, dataset, seed, *roots, prepared, recipe, overrides, settings.quick, arms=(arm,)
        )
    paces = json.loads(timing.read_text(encoding="utf-8"))["epochs"]
    return Training(
        pd.read_csv(folder / "history.csv"),
        json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        round(statistics.median(epoch["seconds"] * epoch["images_per_second"] for epoch in paces)),
        kept_accuracy(folder),
    )


def item_seconds(
    settings: Settings, run: tuple[str, str, str], recipe: str, overrides: Mapping[str, Any]
) -> float:
    """Measure what an item (face, clip) costs in training, without validation, in processor seconds.

    The trainings themselves may have been disturbed by other work or have paused.

    Args:
        settings: of the benchmark.
        run: method, arm and data set.
        recipe: of the method.
        overrides: as of ``trained``.
    """
    method, arm, dataset = run
    whole, _, items = epochs(find_job(method, method, arm, dataset, recipe, settings, overrides), settings, 2)
    return whole.median / items
