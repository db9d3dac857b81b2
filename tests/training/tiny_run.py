"""A run of seconds with all that a resume could lose: batch norm, dropout, augmentation, momentum.

As a script it fits and saves: ``python tiny_run.py CHECKPOINT RESULT PAUSE``.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fer_repro.config import (
    ConstantConfig,
    OneCycleConfig,
    PlateauConfig,
    StepsConfig,
    load_config,
)
from fer_repro.loading.augmentation import clean_images
from fer_repro.loading.split import Split
from fer_repro.loading.views import Faces
from fer_repro.training.checkpoint import Checkpoint
from fer_repro.training.fit import fit
from fer_repro.training.processes import make_fabric
from fer_repro.training.seeding import make_deterministic, seed_everything

PARAMS = Path(__file__).parents[2] / "params.yaml"


class TinyNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.body(images).flatten(1))


class PlainNet(nn.Module):
    """Without dropout and batch norm: an item's gradient does not depend on its batch."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.body(images).flatten(1))


class PausingNet(TinyNet):
    """Gives a killer time to strike."""

    def __init__(self, pause):
        super().__init__()
        self.pause = pause

    def forward(self, images):
        time.sleep(self.pause)
        return super().forward(images)


def make_split(count=45):
    rng = np.random.default_rng(0)
    targets = np.arange(count) % 3
    images = rng.integers(0, 128, (count, 12, 12)) + 60 * targets[:, None, None]
    ids = np.arange(count)
    return Split(images.astype(np.uint8), ids, ids, targets)


SCHEDULES = {
    "one_cycle": OneCycleConfig("one_cycle", 0.2),
    "plateau": PlateauConfig("plateau", 0.1, 0, 1e-6, 0),
    "steps": StepsConfig("steps", 0.1, [1, 2]),
    "constant": ConstantConfig("constant"),
}


def make_config(schedule="one_cycle", seconds=0.0, **recipe):
    config = load_config(PARAMS, "rmn", "synthetic", "masked", seed=1)
    values = {"epochs": 3, "batch_size": 8, "image_size": 16, "early_stop": 0, **recipe}
    values["schedule"] = SCHEDULES[schedule]
    runtime = replace(config.runtime, checkpoint_seconds=seconds, threads=1)
    return replace(config, recipe=replace(config.recipe, **values), runtime=runtime)


def validate_on(split):
    """Loss and accuracy of a network on clean images of ``split``."""
    images = clean_images(torch.from_numpy(split.images).unsqueeze(1), 16)
    targets = torch.from_numpy(split.targets)

    def validate(network):
        network.eval()
        with torch.no_grad():
            logits = network(images)
        loss = nn.functional.cross_entropy(logits, targets).item()
        return loss, (logits.argmax(1) == targets).double().mean().item()

    return validate


def run(
    config, checkpoint, validate=None, log=lambda record: None, pause=0.0, loss=None, network=None, split=None
):
    split = make_split() if split is None else split
    make_deterministic(config.runtime)
    seed_everything(config.seed)
    network = network or (PausingNet(pause) if pause else TinyNet())
    fabric = make_fabric(config)
    validate = validate or validate_on(split)
    criterion = loss or nn.CrossEntropyLoss()
    return fit(network, criterion, Faces(), split, config, fabric, validate, checkpoint, log)


if __name__ == "__main__":
    path, result, pause = sys.argv[1:]
    fitted = run(make_config(), Checkpoint(Path(path), "stamp"), pause=float(pause))
    torch.save({"weights": fitted.weights, "history": fitted.history}, result)
