"""What networks are trained and run on here: random images, arranged as each method sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.tables import ROOT, Settings
from fer_repro.config import RunConfig, load_config
from fer_repro.loading.batches import BatchBuilder
from fer_repro.loading.frames import Clips
from fer_repro.loading.split import Split
from fer_repro.loading.views import epoch_items
from fer_repro.methods.method import Method, load_method
from fer_repro.sections import read_section
from fer_repro.training.convolutions import prepare_convolutions

SIDE = 48
FRAMES = 8
CLASSES = {"expression": 7, "verification": 100, "manipulation": 2}


@dataclass(frozen=True)
class Job:
    """One network and what it is trained on.

    Attributes:
        name: for tables.
        method: its method.
        config: of the run.
        options: the method's own.
        classes: how many.
    """

    name: str
    method: Method
    config: RunConfig
    options: Any
    classes: int

    def network(self) -> nn.Module:
        """Build the network with random weights, always the same ones."""
        torch.manual_seed(0)
        return self.method.build_model(self.config.arm, self.options, self.classes, pretrained=False)

    def loss(self) -> nn.Module:
        """Build the loss."""
        return self.method.build_loss(self.options, self.config.recipe.label_smoothing)

    def screen(self, count: int, settings: Settings) -> BatchBuilder:
        """Make inputs from random images: ``count`` of them, or ``count`` clips."""
        view = self.method.view(self.options)
        split = random_split(count, self.classes, FRAMES if view.in_clips else 1)
        return BatchBuilder(
            view, split, self.config.recipe.image_size, lambda tensor: tensor.to(settings.device)
        )

    def batch(self, count: int, settings: Settings) -> tuple[tuple[Tensor, ...], Tensor]:
        """Give one training batch of ``count`` items that is ready in memory: inputs and targets."""
        screen, recipe = self.screen(2 * count, settings), self.config.recipe
        items = epoch_items(screen.view, screen.split, recipe.sampling, 0, 0).take(slice(0, count))
        shown = screen.training(items, recipe, 0, 0)
        return tuple(each.contiguous() for each in shown.inputs), shown.targets


def find_job(
    name: str,
    method: str,
    arm: str,
    dataset: str,
    recipe: str,
    settings: Settings,
    overrides: Mapping[str, Any] | None = None,
) -> Job:
    """Read a recipe as ``fer-repro train`` does.

    Args:
        name: for tables.
        method: a key of ``methods``.
        arm: of the method.
        dataset: a key of ``data``.
        recipe: a key of the method's recipes.
        settings: of the benchmark; ``quick`` takes narrow networks.
        overrides: dotted keys, as of ``load_config``.
    """
    config = load_config(ROOT / "params.yaml", method, dataset, arm, 0, recipe, overrides)
    model = {**config.recipe.model, "pretraining": "none"}
    if settings.quick:
        model["width"] = min(8, int(model["width"]))
    runtime = replace(config.runtime, device=settings.device, threads=1)
    config = replace(config, runtime=runtime, recipe=replace(config.recipe, model=model))
    found = load_method(method)
    options = read_section(found.options, model, f"model of {name}")
    task = "verification" if dataset.endswith("pairs") else found.task
    return Job(name, found, config, options, CLASSES[task])


def prepared(network: nn.Module, settings: Settings) -> nn.Module:
    """Put a network where and how ``fit`` computes it."""
    if settings.device == "cpu":
        prepare_convolutions(network)
    return network.to(settings.device, memory_format=torch.channels_last)


def laid_out(tensor: Tensor) -> Tensor:
    """Lay images out as ``fit`` does; other tensors stay."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def default_jobs(settings: Settings) -> list[Job]:
    """The networks that the default reproduction trains: the headline arm of each method."""
    return [
        find_job("RMN", "rmn", "masked", "synthetic", "synthetic", settings),
        find_job("RAN", "ran", "softmax_weights", "synthetic", "synthetic", settings),
        find_job("FAN", "fan", "self_relation", "synthetic_clips", "synthetic_clips", settings),
        find_job("AdaCos", "adacos", "dynamic", "synthetic_pairs", "synthetic_pairs", settings),
        find_job("P2SGrad", "p2sgrad", "p2sgrad", "synthetic_pairs", "synthetic_pairs", settings),
        find_job("EfficientNet", "efficientnet", "plain", *["synthetic_forgeries"] * 2, settings),
    ]


def paper_jobs(settings: Settings) -> list[Job]:
    """The networks of the papers, at 224 pixels; AdaCos and P2SGrad share a ResNet-18 of full width."""
    jobs = [
        find_job("RMN", "rmn", "masked", "synthetic", "paper", settings),
        find_job(
            "ResNet-18 (AdaCos)",
            "adacos",
            "dynamic",
            *["synthetic_pairs"] * 2,
            settings,
            {"recipe.model.width": 64},
        ),
        find_job("RAN, 6 regions", "ran", "softmax_weights", "synthetic", "paper", settings),
        find_job("FAN, 3 frames", "fan", "self_relation", "synthetic_clips", "paper", settings),
        find_job("EfficientNet-B4", "efficientnet", "plain", "synthetic_forgeries", "paper", settings),
    ]
    size = 64 if settings.quick else 224
    return [
        replace(job, config=replace(job.config, recipe=replace(job.config.recipe, image_size=size)))
        for job in jobs
    ]


def random_split(count: int, classes: int, frames: int = 1, channels: int = 1) -> Split:
    """Draw random images with their labels in rotation; with ``frames`` above 1 ``count`` clips."""
    rows = np.arange(count * frames)
    shape = (len(rows), SIDE, SIDE, *((3,) if channels == 3 else ()))
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    targets = np.arange(count) % classes
    clips = None
    if frames > 1:
        counts = np.full(count, frames)
        clips = Clips(rows, counts, targets, tuple(f"C{n}" for n in range(count)))
    return Split(images, rows, rows, np.repeat(targets, frames), clips)
