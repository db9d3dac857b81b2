"""Runs on disk whose networks have their start weights, and small data sets they were never trained on."""

import numpy as np
import pandas as pd
import torch

from fer_repro.config import load_config, run_folder
from fer_repro.datasets.store import open_store, write_store
from fer_repro.methods.method import load_method
from fer_repro.training.checkpoint import copy_weights, save_weights

SIDE = 16


def write_images(folder, samples, classes):
    """A store of noise with the given table, which needs no column ``image``."""
    table = samples.assign(image=np.arange(len(samples)))
    table = table[["image", *samples.columns]]
    noise = np.random.default_rng(0).integers(0, 256, (len(table), SIDE, SIDE), np.uint8)
    write_store(folder, "small", classes, noise, table, {})
    return open_store(folder)


def write_untrained(root, method, dataset, arm, seed, classes, names=()):
    """Leave the configuration and the weights of a network of width 4; returns the network."""
    changes = {"recipe.model.width": 4, "recipe.image_size": 32, "evaluation.batch_size": 2}
    config = load_config("params.yaml", method, dataset, arm, seed, overrides=changes)
    built = load_method(method)
    torch.manual_seed(seed)
    options = built.for_classes(built.options(**config.recipe.model), names)
    network = built.build_model(arm, options, classes)
    folder = run_folder(root, dataset, method, seed, arm)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.as_json(task=built.task))
    save_weights(folder / "weights.safetensors", copy_weights(network))
    return network.eval()


def clip_frames(counts):
    """One test clip per count, of its own person."""
    draws = np.random.default_rng(1)
    rows = [
        {
            "label": n % 2, "subject": f"s{n}", "clip": f"c{n}", "split": "test",
            "intensity": draws.uniform(), "distractor": "none",
        }
        for n, count in enumerate(counts)
        for _ in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)
