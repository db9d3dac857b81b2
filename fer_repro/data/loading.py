"""Batches from a memory-mapped store: one gather each, in an order that is a function of seed and epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fer_repro.data.draws import Stream, hashes
from fer_repro.data.protocols import stratified
from fer_repro.data.store import Store
from fer_repro.errors import UserError


class Batch(NamedTuple):
    """Images as they are stored; ``augmentation`` turns them into what the network sees.

    Attributes:
        images: (N, C, H, W) uint8, C = 1 grey or 3 RGB.
        targets: (N,) int64 class indices.
        samples: (N,) int64 rows of the sample table.
    """

    images: Tensor
    targets: Tensor
    samples: np.ndarray


@dataclass(frozen=True)
class Split:
    """One split of a store: 24 bytes per image in memory, the pixels stay on disk.

    Attributes:
        images: all images of the store, (M, H, W) or (M, H, W, 3) uint8, memory-mapped.
        samples: (N,) int64 rows of the sample table, ascending.
        image_rows: (N,) int64 rows of ``images``.
        targets: (N,) int64 class indices.
    """

    images: np.ndarray
    samples: np.ndarray
    image_rows: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.samples)


def open_split(store: Store, name: str, limit: int = 0) -> Split:
    """Choose the samples of one split.

    Args:
        store: the data set.
        name: ``train``, ``val`` or ``test``.
        limit: at most so many, in the classes' proportions, the same for every seed and arm; 0 keeps all.

    Raises:
        UserError: the split is empty.
    """
    samples = np.flatnonzero((store.samples["split"] == name).to_numpy())
    if not len(samples):
        raise UserError(f"{store.folder / 'samples.csv'}: no row of split '{name}'; expected at least one")
    samples = stratified(store.samples["label"].to_numpy(), samples, limit)
    rows = store.samples["image"].to_numpy(np.int64)[samples]
    targets = store.samples["label"].to_numpy(np.int64)[samples]
    return Split(store.images, samples, rows, targets)


def epoch_order(split: Split, seed: int, epoch: int) -> np.ndarray:
    """Shuffle the positions of a split, as a pure function of seed and epoch.

    Args:
        split: what to shuffle.
        seed: the run's seed.
        epoch: from 0.

    Returns:
        (N,) int64 positions within the split.
    """
    return np.argsort(hashes(seed, Stream.ORDER, epoch, split.samples), kind="stable")


def batch_bounds(count: int, size: int) -> list[tuple[int, int]]:
    """Cut ``count`` samples into batches; a last batch of one joins the one before (batch norm needs two).

    Args:
        count: samples.
        size: samples per batch.

    Returns:
        Begin and end of each batch.
    """
    begins = list(range(0, count, size))
    if len(begins) > 1 and count - begins[-1] == 1:
        begins.pop()
    return list(zip(begins, [*begins[1:], count], strict=True))


def batches(split: Split, order: np.ndarray, size: int, first: int = 0) -> Iterator[Batch]:
    """Gather batch after batch.

    Args:
        split: the samples.
        order: (N,) positions within the split, e.g. ``epoch_order`` or ``np.arange``.
        size: samples per batch.
        first: the batch to begin with, from 0 (a resumed epoch begins later).

    Yields:
        One batch per gather.
    """
    for begin, end in batch_bounds(len(order), size)[first:]:
        yield gather(split, order[begin:end])


def gather(split: Split, positions: np.ndarray) -> Batch:
    """Read some samples of a split in one gather.

    Args:
        split: the samples.
        positions: (N,) positions within the split.
    """
    pixels = torch.from_numpy(np.asarray(split.images[split.image_rows[positions]]))
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    return Batch(images, torch.from_numpy(split.targets[positions]), split.samples[positions])
