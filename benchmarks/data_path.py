"""How many samples per second reach the network, beside a pipeline that takes them one by one?"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from benchmarks.material import random_split
from benchmarks.tables import ROOT, Settings, Table, by_turns, ratios
from fer_repro.config import RecipeConfig, load_config
from fer_repro.loading.batches import BatchBuilder
from fer_repro.loading.split import Split
from fer_repro.loading.views import Faces

SIZES = {48: 64, 64: 64, 224: 48}  # side in pixels -> samples in a batch
AIMS = {48: 10, 64: 10, 224: 3}
ROUNDS = 31  # milliseconds each; five would move by a fifth between runs
ROTATION = 30.0  # degrees, [C] of RMN
RESAMPLING = ("two_step", "composed")


def measure(settings: Settings) -> Table:
    """Time both pipelines on stored images of 48 x 48, grey and RGB."""
    rows = []
    for channels in (1, 3):
        for size, batch in SIZES.items():
            split = random_split(4 * batch, 7, channels=channels)
            positions = np.random.default_rng(1).permutation(len(split))[:batch]
            calls: dict[str, Callable[[], object]] = {"one by one": one_by_one(split, positions, size)}
            calls |= {each: batched(split, positions, size, each, settings) for each in RESAMPLING}
            found = by_turns(calls, settings, ROUNDS)
            rates = [f"{batch / found[name].median:,.0f}" for name in calls]
            gains = [ratios(found["one by one"], found[each]).shown(".1f") for each in RESAMPLING]
            rows.append(
                ["grey" if channels == 1 else "RGB", f"48 to {size}", *rates, *gains, str(AIMS[size])]
            )
    return Table(
        "Data path",
        f"Samples per second from stored 48 x 48 uint8 to float32 (3, S, S) on the device: flip, rotation by "
        f"up to {ROTATION:.0f} degrees, bilinear. One by one: Pillow and torchvision (Image.fromarray, "
        "Resize, RandomHorizontalFlip, RandomRotation, ToTensor, stack), as papers' code does it. Two-step: "
        "this package, enlarged and then rotated, as that code; composed: both in one sampling.",
        (
            *("images", "side", "one by one", "two-step", "composed"),
            *("two-step over one by one", "composed over one by one", "aim"),
        ),
        rows,
    )


def recipe_with(resampling: str) -> RecipeConfig:
    """Take the synthetic recipe of RMN with the rotation of its paper."""
    recipe = load_config(ROOT / "params.yaml", "rmn", "synthetic", "masked", 0).recipe
    changed = {"rotation": ROTATION, "resampling": resampling}
    return replace(recipe, augmentation=replace(recipe.augmentation, **changed))


def batched(
    split: Split, positions: np.ndarray, size: int, resampling: str, settings: Settings
) -> Callable[[], Tensor]:
    """Make the call that prepares a batch as training does: gather, draw, augment, three channels."""
    screen = BatchBuilder(Faces(), split, size, lambda tensor: tensor.to(settings.device))
    items, recipe = Faces().training(split, 0, 0).take(positions), recipe_with(resampling)
    return lambda: screen.training(items, recipe, 0, 0).inputs[0].contiguous()


def one_by_one(split: Split, positions: np.ndarray, size: int) -> Callable[[], Tensor]:
    """Make the call that does the same image by image."""
    bilinear = transforms.InterpolationMode.BILINEAR
    transform = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(ROTATION, interpolation=bilinear),
            transforms.ToTensor(),
        ]
    )

    def show(row: int) -> Tensor:
        shown: Tensor = transform(Image.fromarray(split.images[row]).convert("RGB"))
        return shown

    return lambda: torch.stack([show(row) for row in split.image_rows[positions]])
