"""Batches as a network takes them: read in one gather, augmented on the device, arranged by a view."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fer_repro.config import AugmentationConfig, RecipeConfig
from fer_repro.datasets.draws import Stream, uniforms
from fer_repro.datasets.votes import draw_targets
from fer_repro.loading.augmentation import TILE, augmented_copy, clean_images, training_images
from fer_repro.loading.distortions import distort
from fer_repro.loading.split import Split, read_images
from fer_repro.loading.views import BatchIndex, View

ToDevice = Callable[[Tensor], Tensor]


class Batch(NamedTuple):
    """A batch on the device.

    Attributes:
        inputs: what the network is called with.
        targets: (N,) int64 class indices; in training possibly (N, K) shares of the classes; (N,) float32 of
            a regression.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor


class BatchBuilder:
    """Builds a network's batches from items of a split.

    Args:
        view: what the network sees of an item.
        split: the samples.
        size: side of every image in pixels; sequences have none.
        to_device: moves a tensor to where the network is.
    """

    def __init__(self, view: View, split: Split, size: int, to_device: ToDevice) -> None:
        self.view, self.split, self.size, self.to_device = view, split, size, to_device

    def clean(self, items: BatchIndex) -> Batch:
        """Build a batch as in validation and test."""
        (shown,) = self._show([items], lambda images, samples: clean_images(images, self.size), 0, 0)
        return shown

    def training(self, items: BatchIndex, recipe: RecipeConfig, seed: int, epoch: int) -> Batch:
        """Build a batch, augmented and distorted, as a pure function of sample, seed and epoch."""
        (shown,) = self.training_row([items], recipe, seed, epoch)
        return shown

    def training_row(
        self, row: Sequence[BatchIndex], recipe: RecipeConfig, seed: int, epoch: int
    ) -> Iterator[Batch]:
        """Build a row of batches as ``training`` builds each, but read and augment their images together.

        A few images take little more time than one: what is drawn for them is much of the work.
        """

        def enlarge(images: Tensor, samples: np.ndarray) -> Tensor:
            shown = training_images(images, samples, self.size, recipe.augmentation, seed, epoch)
            if recipe.distortions is None:
                return shown
            return distort(shown, samples, seed, epoch, recipe.distortions)

        for items, shown in zip(row, self._show(row, enlarge, seed, epoch), strict=True):
            if recipe.targets == "labels":
                yield shown
            else:
                learnt = self._voted(items, recipe.targets == "drawn", seed, epoch)
                yield Batch(shown.inputs, self.to_device(torch.from_numpy(learnt)))

    def row_length(self, items: BatchIndex) -> int:
        """Count the batches like ``items`` that fill one tile of augmentation, at least 1."""
        if not self.size:
            return 1
        return max(1, TILE // (items.positions.size * self.size**2))

    def copy(self, items: BatchIndex, augmentation: AugmentationConfig, seed: int, copy: int) -> Batch:
        """Build one augmented copy of items for test-time augmentation; crops stay those of the test."""

        def enlarge(images: Tensor, samples: np.ndarray) -> Tensor:
            return augmented_copy(images, samples, self.size, augmentation, seed, copy)

        (shown,) = self._show([items], enlarge, 0, 0)
        return shown

    def _voted(self, items: BatchIndex, drawn: bool, seed: int, epoch: int) -> np.ndarray:
        """Return shares (N, K), or one label drawn from each, (N,), anew in every epoch."""
        if self.split.shares is None:
            raise ValueError("the split was opened without the shares of the votes")
        first = items.positions[:, 0]
        shares = self.split.shares[first]
        if not drawn:
            return shares
        return draw_targets(shares, uniforms(seed, Stream.LABELS, epoch, self.split.samples[first], 1)[:, 0])

    def _show(
        self,
        row: Sequence[BatchIndex],
        enlarge: Callable[[Tensor, np.ndarray], Tensor],
        seed: int,
        counter: int,
    ) -> Iterator[Batch]:
        """Build a row of batches; their images are read and enlarged at once, sequences stay as they are."""
        wanted = [items.positions[items.mask] for items in row]  # padding is neither read nor augmented
        positions = np.concatenate(wanted)
        images = self.to_device(read_images(self.split, positions))
        if images.is_floating_point():
            images = images[:, 0].float()  # sequences (N, T, D)
        else:
            images = enlarge(images, self.split.samples[positions])
        for items, part in zip(row, images.split([len(each) for each in wanted]), strict=True):
            yield self._arranged(items, part, seed, counter)

    def _arranged(self, items: BatchIndex, images: Tensor, seed: int, counter: int) -> Batch:
        """Arrange the images of a batch as the view requires."""
        mask = self.to_device(torch.from_numpy(items.mask))
        if items.mask.all():
            grouped = images.unflatten(0, items.mask.shape)
        else:
            grouped = images.new_zeros(*items.mask.shape, *images.shape[1:])
            grouped[mask] = images
        samples = self.split.samples[items.positions]
        inputs = self.view.inputs(grouped, mask, samples, seed, counter)
        values = self.split.values
        targets = items.targets if values is None else values[items.positions[:, 0]]
        return Batch(inputs, self.to_device(torch.from_numpy(targets)))


def batch_bounds(count: int, size: int, least: int = 2) -> list[tuple[int, int]]:
    """Cut ``count`` items into batches; a last one of less than ``least`` items joins the one before.

    Args:
        count: items.
        size: items per batch.
        least: batch norm needs two in every part of a step, and every process one of each part.

    Returns:
        Begin and end of each batch.
    """
    begins = list(range(0, count, size))
    if len(begins) > 1 and count - begins[-1] < least:
        begins.pop()
    return list(zip(begins, [*begins[1:], count], strict=True))
