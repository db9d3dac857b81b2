"""What training took: durations, speed and memory, from the files below timings/ that runs leave beside them.

They differ from machine to machine, so no result depends on them, and any of them may be missing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.config import method_arms, run_folder
from fer_repro.errors import UserError
from fer_repro.params import read_params
from fer_repro.report.runs import read_json
from fer_repro.spreadsheets import as_numbers

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
        found = read_json(run_folder(root, dataset, method, seed, arm).with_suffix(".json"))
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
    seeds, root = read_params(Path(params_file)).seeds, Path(timings_root)
    rows = []
    for dataset, method in trained:
        for arm in method_arms(Path(params_file), method):
            found = [read_timing(root, dataset, method, seed, arm) for seed in seeds]
            table = pd.DataFrame([summarise_timing(timing) for timing in found], columns=list(TIMES))
            means = {**table.mean(), "memory_mb": table["memory_mb"].max()}
            rows.append({"method": method, "arm": arm, "dataset": dataset, **means})
    return pd.DataFrame(rows, columns=["method", "arm", "dataset", *TIMES])
