"""A run that several processes can share: ``python shared_run.py RESULT``, or the same below torchrun.

The first process writes what came of it, and what each process saw.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from tiny_run import PlainNet, make_config, make_split
from torch import nn

from fer_repro.config import OptimiserConfig
from fer_repro.loading.batches import BatchBuilder
from fer_repro.loading.views import Faces
from fer_repro.methods.method import load_method
from fer_repro.training.checkpoint import Checkpoint
from fer_repro.training.fit import fit
from fer_repro.training.heads import dropping_features
from fer_repro.training.predict import embed, predict, validation
from fer_repro.training.processes import gathered, make_fabric
from fer_repro.training.seeding import make_deterministic, seed_everything


class NormedNet(nn.Module):
    """With batch norm before and after pooling, which count the whole batch, and a second head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))

    def embed(self, images):
        return self.body(images)

    def forward(self, images):
        return self.head(self.body(images))


class WatchedScreen(BatchBuilder):
    """Notes which samples it showed, and a sum of their pixels."""

    def training_row(self, row, recipe, seed, epoch):
        for items, shown in zip(row, super().training_row(row, recipe, seed, epoch), strict=True):
            for position, pixels in zip(items.positions[:, 0], shown.inputs[0], strict=True):
                self.seen.append((epoch, int(position), float(pixels.double().sum())))
            yield shown


def train(network, folder, fabric, head="none", **recipe):
    """Fit a network on 45 samples, 8 a batch; the last batch of five is shared unequally."""
    config = make_config("constant", optimiser=OptimiserConfig("sgd", 0.05, 0.0, 0.9), **recipe)
    seed_everything(1)
    split = make_split()
    screen = BatchBuilder(Faces(), split, 16, fabric.to_device)
    check = validation(screen, fabric, 7)
    loss = load_method("adacos").build_loss(None) if hasattr(network, "trunk") else nn.CrossEntropyLoss()
    item = BatchBuilder(Faces(), split, 16, lambda tensor: tensor).clean(
        Faces().testing(split).take(slice(0, 1))
    )
    with dropping_features(head, network, loss, item) as loss:
        fitted = fit(network, loss, Faces(), split, config, fabric, check, Checkpoint(Path(folder), "x"))
    scales = {f"loss.{name}": parameter.detach() for name, parameter in loss.named_parameters()}
    return replace(fitted, weights={**fitted.weights, **scales})


def adacos_net():
    """A tiny trunk below the dynamic head, whose scale follows statistics of the batch."""
    from fer_repro.layers.adacos_head import AdaCosHead
    from fer_repro.layers.embedding import EmbeddingClassifier

    trunk = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return EmbeddingClassifier(trunk, AdaCosHead(6, 3))


def main(result):
    make_deterministic(make_config().runtime)
    fabric = make_fabric(make_config())
    WatchedScreen.seen = []
    import fer_repro.training.fit as module

    module.Screen = WatchedScreen
    found = {}
    for name, make, recipe in (
        ("plain", PlainNet, {}),
        ("normed", NormedNet, {"ema": 0.5, "clip_norm": 1.0}),
        ("parts", PlainNet, {"accumulate": 2}),
        ("adacos", adacos_net, {}),
        ("pgm", PlainNet, {"head": "pgm", "accumulate": 2}),
    ):
        torch.manual_seed(0)
        network = make()
        fitted = train(network, Path(result).with_suffix(f".{name}"), fabric, **recipe)
        found[name] = {"history": fitted.history, "weights": fitted.weights, "images": fitted.images}
        if name == "normed":
            network.load_state_dict(fitted.weights)
            screen = BatchBuilder(Faces(), make_split(), 16, fabric.to_device)
            augmentation = make_config().recipe.augmentation
            logits, means = predict(network, screen, fabric, 7, augmentation, 2, 1)
            found["predicted"] = [logits.tolist(), means.tolist(), embed(network, screen, fabric, 7).tolist()]
            alone = BatchBuilder(
                Faces(), make_split(1), 16, fabric.to_device
            )  # the second process has none of it
            logits, means = predict(network, alone, fabric, 7, augmentation, 2, 1)
            numbers = validation(alone, fabric, 7)(network)
            found["alone"] = [logits.tolist(), means.tolist(), numbers]
    found["seen"] = gathered(WatchedScreen.seen, fabric)
    if fabric.is_global_zero:
        torch.save(found, result)


if __name__ == "__main__":
    main(sys.argv[1])
