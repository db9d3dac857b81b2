"""How much of a training step is the network itself?

``python benchmarks/training_overhead.py PREPARED [DATASET]`` times, in turn, epochs of the training loop and
bare forward, backward and optimiser steps of the same network on one batch that lies ready. CPU seconds are
compared, so other work on the machine disturbs little.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from fer_repro.config import load_config
from fer_repro.data.loading import open_split
from fer_repro.data.store import open_store
from fer_repro.methods.method import load_method
from fer_repro.training.checkpoint import Checkpoint
from fer_repro.training.loop import _Fit, make_fabric
from fer_repro.training.seeding import make_deterministic, seed_everything

STEPS, ROUNDS = 12, 4


def build(config, method):
    seed_everything(0)
    return method.build_model(config.arm, method.options(**config.recipe.model), 7)


def main(prepared, dataset="synthetic"):
    config = load_config("params.yaml", "rmn", dataset, "masked", 0)
    config = replace(config, runtime=replace(config.runtime, threads=1, checkpoint_seconds=1e9))
    make_deterministic(config.runtime)
    method, fabric = load_method("rmn"), make_fabric(config.runtime)
    loss = torch.nn.CrossEntropyLoss()
    split = open_split(open_store(Path(prepared) / dataset), "train", STEPS * config.recipe.batch_size)
    bare = build(config, method).train()
    optimiser = torch.optim.RAdam(bare.parameters(), decoupled_weight_decay=True, weight_decay=1e-3)
    seconds = {"loop": [], "bare": [], "inputs": []}
    with TemporaryDirectory() as folder:
        fit = _Fit(build(config, method), loss, split, config, fabric, Checkpoint(Path(folder) / "s", "x"))
        fit.progress.close()
        images, targets = next(fit._inputs())
        for _ in range(ROUNDS):
            begin = time.process_time()
            fit.train()
            seconds["loop"].append(time.process_time() - begin)
            fit.state.step, fit.state.tally = 0, [0.0, 0.0, 0.0]
            begin = time.process_time()
            for _ in range(STEPS):
                optimiser.zero_grad()
                loss(bare(images), targets).backward()
                optimiser.step()
            seconds["bare"].append(time.process_time() - begin)
            begin = time.process_time()
            for _ in fit._inputs():
                pass
            seconds["inputs"].append(time.process_time() - begin)
    rates = {name: len(split) / min(values[1:]) for name, values in seconds.items()}
    loop, bare_rate = rates["loop"], rates["bare"]
    print(f"loop {loop:.1f}, bare {bare_rate:.1f} images per CPU second: {loop / bare_rate:.3f}")
    print(f"loading and augmenting alone: {rates['inputs']:.0f} images per CPU second")


if __name__ == "__main__":
    main(*sys.argv[1:])
