"""What a network sees of a split - faces, regions, clips, triplets, sequences - and in which order.

A view defines which images make an item, in training and in testing, and how an item's images become the
network's inputs. Everything between - reading, enlarging, augmenting - is the same for all. The order is
shuffled, or alternates both classes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fer_repro.config import SamplingConfig
from fer_repro.datasets.draws import Stream, hashes, uniforms
from fer_repro.errors import UserError
from fer_repro.loading.frames import Clips, Groups, all_frames, group_rows, training_groups
from fer_repro.loading.regions import cut_regions, region_boxes
from fer_repro.loading.split import Split, two_class_counts


class BatchIndex(NamedTuple):
    """Items of a split, each with K images.

    Attributes:
        positions: (G, K) int64 of the images within the split; any at padding.
        mask: (G, K) bool, false at padding.
        targets: (G,) int64 class indices.
    """

    positions: np.ndarray
    mask: np.ndarray
    targets: np.ndarray

    def take(self, chosen: np.ndarray | slice) -> "BatchIndex":
        """Keep some items, without the padding that only the others needed."""
        mask = self.mask[chosen]
        longest = int(mask.sum(axis=1).max(initial=1))
        return BatchIndex(self.positions[chosen][:, :longest], mask[:, :longest], self.targets[chosen])


class View(Protocol):
    """How a split becomes a network's inputs.

    Attributes:
        in_clips: items are clips; the split must know them.
    """

    @property
    def in_clips(self) -> bool:
        """Whether items are clips."""
        ...

    def training(self, split: Split, seed: int, epoch: int) -> BatchIndex:
        """Choose the items of an epoch, in a fixed order, as a pure function of seed and epoch."""
        ...

    def testing(self, split: Split) -> BatchIndex:
        """Choose the items that are tested, all of them once."""
        ...

    def inputs(
        self, images: Tensor, mask: Tensor, samples: np.ndarray, seed: int, counter: int
    ) -> tuple[Tensor, ...]:
        """Make what the network is called with.

        Args:
            images: (G, K, 3, S, S) in [0, 1], enlarged and augmented; of sequences (G, 1, T, D), as stored.
            mask: (G, K) bool, false at padding.
            samples: (G, K) rows of the sample table, the key of what is drawn.
            seed: the run's seed.
            counter: the epoch; 0 in testing.
        """
        ...


def _stills(split: Split) -> BatchIndex:
    positions = np.arange(len(split))[:, None]
    return BatchIndex(positions, np.ones(positions.shape, bool), split.targets)


@dataclass(frozen=True)
class Faces:
    """Single faces: images (N, 3, S, S)."""

    in_clips: ClassVar[bool] = False

    def training(self, split: Split, seed: int, epoch: int) -> BatchIndex:
        """Take every face."""
        return _stills(split)

    def testing(self, split: Split) -> BatchIndex:
        """Take every face."""
        return _stills(split)

    def inputs(
        self, images: Tensor, mask: Tensor, samples: np.ndarray, seed: int, counter: int
    ) -> tuple[Tensor, ...]:
        """Return the faces."""
        return (images[:, 0],)


@dataclass(frozen=True)
class Regions(Faces):
    """Regions of a face, the whole face last: (N, R, 3, S, S).

    Attributes:
        crops: the scheme, see ``fer_repro.loading.regions``.
    """

    crops: str

    def inputs(
        self, images: Tensor, mask: Tensor, samples: np.ndarray, seed: int, counter: int
    ) -> tuple[Tensor, ...]:
        """Cut the regions out of the augmented face; random ones are drawn anew in every epoch."""
        boxes = region_boxes(self.crops, samples[:, 0], seed, counter)
        return (cut_regions(images[:, 0], boxes, images.shape[-1]),)


_COUNTS = [math.exp(-1) * sum(1 / math.factorial(k) for k in range(most + 1)) for most in range(16)]
"""Distribution function of the Poisson distribution with mean 1, at 0 to 15."""


@dataclass(frozen=True)
class Sequences(Faces):
    """Sequences of measurements (N, T, D), and counts (N, M): how often each is in a bootstrap sample.

    A sample of as many sequences as there are, drawn with replacement, has each of them a number of times
    that tends to the Poisson distribution with mean 1. The counts depend on seed and sequence alone, so that
    a sequence has the same in every epoch.

    Attributes:
        members: M bootstrap samples.
    """

    members: int

    def inputs(
        self, images: Tensor, mask: Tensor, samples: np.ndarray, seed: int, counter: int
    ) -> tuple[Tensor, ...]:
        """Return sequences and counts."""
        drawn = uniforms(seed, Stream.BOOTSTRAP, 0, samples[:, 0], self.members)
        counts = np.searchsorted(_COUNTS, drawn, side="right")
        sequences = images[:, 0]
        return sequences, torch.from_numpy(counts).to(sequences)


def clips_of(split: Split) -> Clips:
    """Return the clips of a split that was opened with them.

    Raises:
        ValueError: it was not.
    """
    if split.clips is None:
        raise ValueError("the split was opened without its clips")
    return split.clips


def _frames(split: Split, clips: Clips, groups: Groups) -> BatchIndex:
    positions = np.searchsorted(split.samples, group_rows(clips, groups))
    return BatchIndex(positions, groups.mask, clips.targets[groups.clips])


@dataclass(frozen=True)
class Frames:
    """Frames of a clip (N, T, 3, S, S) and the mask (N, T) of those that are there.

    Attributes:
        sampling: of training groups, see ``fer_repro.loading.frames``.
        count: frames of a training group.
    """

    sampling: str
    count: int

    in_clips: ClassVar[bool] = True

    def training(self, split: Split, seed: int, epoch: int) -> BatchIndex:
        """Draw groups of frames."""
        clips = clips_of(split)
        groups = training_groups(clips, self.sampling, self.count, seed, epoch)
        return _frames(split, clips, groups)

    def testing(self, split: Split) -> BatchIndex:
        """Take all frames of every clip."""
        clips = clips_of(split)
        return _frames(split, clips, all_frames(clips))

    def inputs(
        self, images: Tensor, mask: Tensor, samples: np.ndarray, seed: int, counter: int
    ) -> tuple[Tensor, ...]:
        """Return frames and mask."""
        return images, mask


@dataclass(frozen=True)
class Triplets:
    """Anchor, positive and negative, each (N, 3, S, S), of two classes: alternately (1, 1, 0) and (0, 0, 1).

    Random faces without mining (arXiv:2004.07676, Sec. III-B and its code). Targets are the anchors' classes.

    Attributes:
        count: triplets of an epoch, and of a validation.
    """

    count: int

    in_clips: ClassVar[bool] = False

    def training(self, split: Split, seed: int, epoch: int) -> BatchIndex:
        """Draw the triplets of an epoch."""
        return self._draw(split, seed, epoch + 1)

    def testing(self, split: Split) -> BatchIndex:
        """Draw the triplets of every validation: always the same."""
        return self._draw(split, 0, 0)

    def _draw(self, split: Split, seed: int, counter: int) -> BatchIndex:
        members = [np.flatnonzero(split.targets == label) for label in (0, 1)]
        if min(map(len, members)) < 2 or split.targets.max() > 1:
            raise UserError(
                "triplets need two classes with two samples each: "
                f"found {np.bincount(split.targets).tolist()}"
            )
        drawn = uniforms(seed, Stream.TRIPLETS, counter, np.arange(self.count), 3)
        own = (np.arange(self.count) + 1) % 2  # manipulated first
        sizes = np.array([len(each) for each in members])
        first = (drawn[:, 0] * sizes[own]).astype(np.int64)
        second = (drawn[:, 1] * (sizes[own] - 1)).astype(np.int64)
        second += second >= first  # another sample
        third = (drawn[:, 2] * sizes[1 - own]).astype(np.int64)
        table = [
            [members[k][i], members[k][j], members[1 - k][n]]
            for k, i, j, n in zip(own, first, second, third, strict=True)
        ]
        positions = np.array(table, np.int64)
        return BatchIndex(positions, np.ones(positions.shape, bool), own.astype(np.int64))

    def inputs(
        self, images: Tensor, mask: Tensor, samples: np.ndarray, seed: int, counter: int
    ) -> tuple[Tensor, ...]:
        """Return anchors, positives and negatives."""
        return images[:, 0], images[:, 1], images[:, 2]


def epoch_items(view: View, split: Split, sampling: SamplingConfig, seed: int, epoch: int) -> BatchIndex:
    """Choose and order the items of one epoch, as a pure function of seed and epoch.

    With ``per_epoch`` an epoch is that many items of an endless series of passes over the data: the next
    epoch goes on where it ends, and a new pass draws its order and groups anew.

    Args:
        view: what an item is.
        split: the samples.
        sampling: order, and how many items an epoch has.
        seed: the run's seed.
        epoch: from 0.

    Raises:
        UserError: ``balanced`` needs two classes that both have samples.
    """
    length = pass_length(view, split, sampling)
    count = sampling.per_epoch or length
    parts = [
        _pass(view, split, sampling, seed, number).take(slice(first, last))
        for number, first, last in _pieces(epoch * count, count, length)
    ]
    return BatchIndex(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def epoch_length(view: View, split: Split, sampling: SamplingConfig) -> int:
    """Count the items of an epoch."""
    return sampling.per_epoch or pass_length(view, split, sampling)


def pass_length(view: View, split: Split, sampling: SamplingConfig) -> int:
    """Count the items of a pass over the data: all of them, or twice the larger class under ``balanced``."""
    targets = view.training(split, 0, 0).targets
    return (
        len(targets)
        if sampling.order == "shuffle"
        else 2 * int(max(two_class_counts(targets, "sampling.order balanced")))
    )


def _pieces(start: int, count: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Cut items ``start`` to ``start + count`` of the endless series into pass, first and last within it."""
    while count:
        number, first = divmod(start, length)
        last = min(length, first + count)
        yield number, first, last
        start, count = start + last - first, count - (last - first)


def _pass(view: View, split: Split, sampling: SamplingConfig, seed: int, number: int) -> BatchIndex:
    items = view.training(split, seed, number)
    shuffled = np.argsort(hashes(seed, Stream.ORDER, number, _keys(split, items)), kind="stable")
    if sampling.order == "balanced":
        shuffled = _by_turns(items.targets, shuffled, seed, number)
    return items.take(shuffled)


def _keys(split: Split, items: BatchIndex) -> np.ndarray:
    """Give each item its own number: the row of its only image, or its place."""
    if items.positions.shape[1] == 1:
        return split.samples[items.positions[:, 0]]
    return np.arange(len(items.targets))


def _by_turns(targets: np.ndarray, shuffled: np.ndarray, seed: int, number: int) -> np.ndarray:
    """Alternate class 1 and class 0; the larger class is used once, the smaller drawn with replacement.

    The rule of the authors' code of arXiv:2004.07676.
    """
    count = int(max(two_class_counts(targets, "sampling.order balanced")))
    turns = np.empty(2 * count, np.int64)
    for label, place in ((1, 0), (0, 1)):
        members = shuffled[targets[shuffled] == label]
        if len(members) < count:
            drawn = uniforms(seed, Stream.AGAIN, number, np.arange(count), 1)[:, 0]
            members = members[(drawn * len(members)).astype(np.int64)]
        turns[place::2] = members
    return turns
