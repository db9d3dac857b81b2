"""Trained networks read back from the folders of their runs, to see what they compute for any faces."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fer_repro.datasets.folds import identification_table
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.loading.batches import BatchBuilder
from fer_repro.loading.split import Split
from fer_repro.methods.method import Method, load_method
from fer_repro.runs.checks import check_data
from fer_repro.runs.folder import read_run_config, run_task
from fer_repro.training.checkpoint import check_finite
from fer_repro.training.predict import item_batches

WEIGHTS, FIRST_FOLD = "weights.safetensors", "weights_fold1.safetensors"
Compute = Callable[[nn.Module, Tensor], Mapping[str, Tensor] | None]


@dataclass(frozen=True)
class LoadedRun:
    """A trained network and the table it was trained on.

    Attributes:
        method: its method.
        config: what its config.json holds.
        options: the method's own.
        network: on the CPU, in evaluation mode.
        store: the data set.
        table: the sample table; where pairs are verified the people's, with a held-out face of each as
            ``val``.
        classes: what the network distinguishes, in label order.
    """

    method: Method
    config: dict[str, Any]
    options: Any
    network: nn.Module
    store: Store
    table: pd.DataFrame
    classes: tuple[str, ...]

    def rows(self, split: str) -> np.ndarray:
        """Name the rows of one split of ``table``, (N,) int64."""
        return self.table.index[self.table["split"] == split].to_numpy(np.int64)


def load_run(folder: Path | str, store: Store) -> LoadedRun:
    """Rebuild the network of a run and load its weights; of a run in folds those of the first.

    The split of a set with folds is that of its first fold, so nobody of its test part was trained on.

    Args:
        folder: of one seed and arm.
        store: the data set it was trained on.

    Raises:
        UserError: a file is missing, the weights do not fit the configuration or are not finite, or the run
            was trained on other data.
    """
    folder = Path(folder)
    config = read_run_config(folder)
    check_data(folder, config, store)
    method, arm = load_method(config["method"]), config["arm"]
    where = f"{folder / 'config.json'}: recipe.model"
    table, classes = store.samples, store.classes
    if run_task(config, folder) == "verification":
        table, classes = identification_table(store.samples)
    options = method.read_options(config["recipe"]["model"], where, classes)
    network = method.build_model(arm, options, len(classes), pretrained=False)
    path = folder / (FIRST_FOLD if config["data"].get("folds") else WEIGHTS)
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the weights of a trained run") from None
    except RuntimeError as error:
        raise UserError(f"{path}: does not fit {method.name}, arm {arm}: {error}") from None
    check_finite(network.state_dict(), str(path))
    return LoadedRun(method, config, options, network.eval(), store, table, classes)


def look(run: LoadedRun, rows: np.ndarray, compute: Compute | None = None) -> dict[str, np.ndarray]:
    """Run a network on some faces and keep what it computes, without augmentation.

    Args:
        run: from ``load_run``.
        rows: (N,) of the sample table.
        compute: network, images (n, 3, H, W) -> tensors with the batch first; None takes the method's
            ``explain``.

    Returns:
        The tensors of all N faces under their names; none where the network explains nothing.

    Raises:
        UserError: the method takes clips, or has no ``explain``.
    """
    compute = compute or run.method.explain
    view = run.method.view(run.options)
    if view.in_clips or compute is None:
        raise UserError(f"method {run.method.name}: expected one that takes faces and has explain")
    images = run.store.samples["image"].to_numpy(np.int64)[rows]
    split = Split(run.store.images, np.asarray(rows, np.int64), images, np.zeros(len(rows), np.int64))
    screen = BatchBuilder(view, split, run.config["recipe"]["image_size"], lambda tensor: tensor)
    parts: list[Mapping[str, Tensor]] = []
    for items in item_batches(screen, run.config["evaluation"]["batch_size"]):
        with torch.no_grad():
            parts.append(compute(run.network, *screen.clean(items).inputs) or {})
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
