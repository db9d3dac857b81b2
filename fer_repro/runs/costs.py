"""What trained networks cost: parameters and operations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file
from torch import Tensor

from fer_repro.config import method_arms, run_folder
from fer_repro.datasets.folds import identification_table
from fer_repro.datasets.store import Store, open_store
from fer_repro.layers.cost import count_flops, count_parameters
from fer_repro.loading.batches import BatchBuilder
from fer_repro.loading.split import open_table
from fer_repro.loading.views import View
from fer_repro.methods.method import load_method
from fer_repro.params import read_params
from fer_repro.runs.folder import read_run_config, run_task
from fer_repro.runs.loaded_run import FIRST_FOLD, WEIGHTS

COLUMNS = ("method", "arm", "dataset", "parameters", "item", "flops")
_ITEMS = {"images": "face", "frames": "frame", "regions": "region", "sequences": "sequence"}


def measure_costs(
    params_file: Path | str,
    trained: Sequence[tuple[str, str]],
    runs_root: Path | str = "runs",
    prepared_root: Path | str = "prepared",
) -> pd.DataFrame:
    """Count parameters and operations of the first seed's network of every arm.

    Args:
        params_file: usually ``params.yaml``.
        trained: data sets and methods with finished runs.
        runs_root: where runs live.
        prepared_root: where prepared data sets live.

    Returns:
        ``COLUMNS``: ``item`` is the input of one prediction, such as ``6 regions``; ``flops``
        what the prediction takes, two per multiply-add, NaN of arms that are fitted at once: their steps
        are not counted, and ``parameters`` are all numbers that the fit has found.
    """
    params = read_params(Path(params_file))
    return pd.DataFrame(
        [
            {"method": method, "arm": arm, "dataset": dataset, **_cost(folder, store)}
            for dataset, method in trained
            for store in [open_store(Path(prepared_root) / dataset)]
            for arm in method_arms(Path(params_file), method)
            for folder in [run_folder(runs_root, dataset, method, params.seeds_of(method)[0], arm)]
        ],
        columns=list(COLUMNS),
    )


def _cost(folder: Path, store: Store) -> dict[str, Any]:
    """Build the network of a run and run it on one item; weights change neither number."""
    config = read_run_config(folder)
    method, where = load_method(config["method"]), f"{folder / 'config.json'}: recipe.model"
    people = run_task(config, folder) == "verification"
    classes = identification_table(store.samples)[1] if people else store.classes
    options = method.read_options(config["recipe"]["model"], where, classes)
    network = method.build_model(config["arm"], options, len(classes), pretrained=False)
    solved = method.is_solved(config["arm"])
    if solved:  # how many numbers there are is known from the fit alone
        network.load_state_dict(load_file(folder / (FIRST_FOLD if config["data"].get("folds") else WEIGHTS)))
    inputs = _first_item(store, method.view(options), config["recipe"]["image_size"])
    images = inputs[0].shape[1] if inputs[0].ndim == 5 else 1
    item = f"{images} {_ITEMS[method.inputs]}{'' if images == 1 else 's'}"
    flops = float("nan") if solved else count_flops(network, *inputs)
    return {"parameters": count_parameters(network), "item": item, "flops": flops}


def _first_item(store: Store, view: View, size: int) -> tuple[Tensor, ...]:
    splits = set(store.samples["split"])
    name = next(name for name in ("test", "val", "train") if name in splits)
    split = open_table(store, store.samples, name, in_clips=view.in_clips)
    screen = BatchBuilder(view, split, size, lambda tensor: tensor)
    return screen.clean(view.testing(split).take(slice(0, 1))).inputs
