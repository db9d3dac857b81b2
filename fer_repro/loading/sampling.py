"""In which order an epoch shows its items: shuffled, or both classes by turns."""

from collections.abc import Iterator

import numpy as np

from fer_repro.config import SamplingConfig
from fer_repro.datasets.draws import Stream, hashes, uniforms
from fer_repro.loading.split import Split, two_class_counts
from fer_repro.loading.views import Items, View


def epoch_items(view: View, split: Split, sampling: SamplingConfig, seed: int, epoch: int) -> Items:
    """Choose and order the items of one epoch, as a pure function of seed and epoch.

    With ``per_epoch`` an epoch is that many items of an endless row of passes over the data: the next epoch
    goes on where it ends, and a new pass draws its order and groups anew.

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
    return Items(*(np.concatenate(column) for column in zip(*parts, strict=True)))


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
    """Cut items ``start`` to ``start + count`` of the endless row into pass, first and last within it."""
    while count:
        number, first = divmod(start, length)
        last = min(length, first + count)
        yield number, first, last
        start, count = start + last - first, count - (last - first)


def _pass(view: View, split: Split, sampling: SamplingConfig, seed: int, number: int) -> Items:
    items = view.training(split, seed, number)
    shuffled = np.argsort(hashes(seed, Stream.ORDER, number, _keys(split, items)), kind="stable")
    if sampling.order == "balanced":
        shuffled = _by_turns(items.targets, shuffled, seed, number)
    return items.take(shuffled)


def _keys(split: Split, items: Items) -> np.ndarray:
    """Give each item a number of its own: the row of its only picture, or its place."""
    if items.positions.shape[1] == 1:
        return split.samples[items.positions[:, 0]]
    return np.arange(len(items.targets))


def _by_turns(targets: np.ndarray, shuffled: np.ndarray, seed: int, number: int) -> np.ndarray:
    """Alternate class 1 and class 0; the larger class is shown once, the smaller drawn with replacement.

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
