"""How few images suffice for arms that are fitted at once, and what they really tell apart.

The pairs of classes are made from the real faces of a set: the set's own manipulated side, the same files
encoded once more, and the same files in another quality. Nobody is in training and test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_repro.datasets.store import Store
from fer_repro.loading.batches import Batch
from fer_repro.measures.intervals import wilson_interval
from fer_repro.methods.method import Method
from fer_repro.synthetic.light import compress

SIZES = (10, 20, 40, 80, 160)
"""Training images of both classes together."""
REAL, MANIPULATED = 0, 1
_COLUMNS = ["arm", "class", "value", "low", "high"]
_BATCH = 64


@dataclass(frozen=True)
class ImagePairs:
    """Two versions of each image: those of class 0 and those of class 1.

    Attributes:
        first: (N, H, W) or (N, H, W, 3) uint8.
        second: likewise, in the same order.
        tested: (N,) bool, the images of the test part; the others may be learnt.
    """

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    tested: NDArray[np.bool_]


def image_pairs(store: Store, quality: int, other: int) -> dict[str, ImagePairs]:
    """Pair the real images of train and test with the set's manipulated ones, and with two controls.

    Args:
        store: real and manipulated faces, one of each of the same people.
        quality: in which the images were compressed.
        other: another JPEG quality.

    Returns:
        ``manipulated``, ``encoded once more`` (of the same quality: nothing is to be told apart), and
        ``quality OTHER`` (nothing but the compression is).
    """
    table = store.samples[store.samples["split"].isin(("train", "test"))].sort_values(["subject", "image"])
    sides = [table[table["label"] == label] for label in (REAL, MANIPULATED)]
    people = set(sides[0]["subject"]) & set(sides[1]["subject"])
    sides = [side[side["subject"].isin(people)].drop_duplicates("subject") for side in sides]
    real, manipulated = (store.images[side["image"].to_numpy(np.int64)] for side in sides)
    tested = (sides[0]["split"] == "test").to_numpy(bool)
    again = np.stack([compress(image, quality) for image in real])
    worse = np.stack([compress(image, other) for image in real])
    return {
        "manipulated": ImagePairs(real, manipulated, tested),
        "encoded once more": ImagePairs(real, again, tested),
        f"quality {other}": ImagePairs(real, worse, tested),
    }


def few_images(
    method: Method,
    options: Any,  # noqa: ANN401 - the method's own
    arms: Sequence[str],
    pairs: ImagePairs,
    seeds: Sequence[int],
    confidence: float,
    sizes: Sequence[int] = SIZES,
) -> pd.DataFrame:
    """Fit arms to few images of few people, drawn anew with each seed, and test them on all of the test part.

    Args:
        method: with a solver.
        options: of the recipe.
        arms: that the solver fits.
        pairs: from ``image_pairs``.
        seeds: of the draws and of the fits.
        confidence: such as 0.95.
        sizes: training images of both classes together, half as many people; those of which there are too few
            people are left out.

    Returns:
        ``arm``, ``class`` (the size), ``value``, ``low``, ``high``: balanced accuracy in [0, 1], mean over
        seeds, with Wilson's interval for the test images.
    """
    assert method.solver is not None
    known, tested = np.flatnonzero(~pairs.tested), np.flatnonzero(pairs.tested)
    rows = []
    for arm in arms:
        for size in sizes:
            if size // 2 > len(known):
                continue
            values = []
            for seed in seeds:
                people = np.random.default_rng([size, seed]).permutation(known)[: size // 2]
                network = method.build_model(arm, options, 2)
                method.solver.fit(network, _batches(pairs, people), seed)
                values.append(_balanced_accuracy(network, pairs, tested))
            mean = float(np.mean(values))
            low, high = wilson_interval(mean * 2 * len(tested), 2 * len(tested), confidence)
            rows.append([arm, f"{size} images", mean, low, high])
    return pd.DataFrame(rows, columns=_COLUMNS)


def _batches(pairs: ImagePairs, rows: NDArray[np.int64]) -> list[Batch]:
    """Give both versions of some images, in batches."""
    images = torch.cat([_tensor(pairs.first[rows]), _tensor(pairs.second[rows])])
    targets = torch.arange(2).repeat_interleave(len(rows))
    parts = zip(images.split(_BATCH), targets.split(_BATCH), strict=True)
    return [Batch((part,), wanted) for part, wanted in parts]


def _tensor(images: NDArray[np.uint8]) -> Tensor:
    """Give images as networks take them: (N, 3, H, W) in [0, 1]."""
    pixels = torch.from_numpy(images).float() / 255
    return pixels.permute(0, 3, 1, 2) if pixels.ndim == 4 else pixels[:, None].expand(-1, 3, -1, -1)


def _balanced_accuracy(network: Any, pairs: ImagePairs, rows: NDArray[np.int64]) -> float:  # noqa: ANN401
    """Average the recalls of both classes; they have equally many images."""
    right = [
        (network(batch.inputs[0]).argmax(dim=1) == batch.targets).numpy() for batch in _batches(pairs, rows)
    ]
    return float(np.concatenate(right).mean())


def digit_bars(
    explained: Mapping[str, NDArray], labels: NDArray, place: int, confidence: float
) -> pd.DataFrame:
    """Average the shares of the first digits at one place of the blocks, of both classes, beside their laws.

    Args:
        explained: ``digits`` and ``law`` (n, 9, D) of images, zeros where there are none.
        labels: (n,) classes of the images.
        place: 0 to 8.
        confidence: such as 0.95; the interval is of the mean over images, by the normal distribution.

    Returns:
        ``arm`` (the class, or its law), ``class`` (the digit), ``value``, ``low``, ``high`` in [0, 1].
    """
    from scipy.stats import norm

    reach = float(norm.ppf(0.5 + confidence / 2))
    rows = []
    for name, label in (("real", REAL), ("manipulated", MANIPULATED)):
        chosen = (labels == label) & (explained["digits"][:, place].sum(axis=1) > 0)
        for words, key in ((name, "digits"), (f"law fitted to {name}", "law")):
            shares = explained[key][chosen, place].astype(np.float64)
            if not len(shares):
                continue
            mean, error = shares.mean(axis=0), shares.std(axis=0) / np.sqrt(len(shares))
            rows += [
                [
                    words,
                    f"{digit + 1}",
                    mean[digit],
                    mean[digit] - reach * error[digit],
                    mean[digit] + reach * error[digit],
                ]
                for digit in range(len(mean))
            ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def empty_bars(
    explained: Mapping[str, NDArray], labels: NDArray, names: Sequence[str], confidence: float
) -> pd.DataFrame:
    """Count the images of both classes in which all coefficients at a place are 0, so that no digit exists.

    Args:
        explained: ``digits`` (n, 9, D) of images, zeros where there are none.
        labels: (n,) classes of the images.
        names: of the nine places.
        confidence: such as 0.95, of Wilson's interval.

    Returns:
        ``arm`` (the class), ``class`` (the place), ``value``, ``low``, ``high`` in [0, 1].
    """
    empty = explained["digits"].sum(axis=2) == 0  # (n, 9)
    rows = []
    for name, label in (("real", REAL), ("manipulated", MANIPULATED)):
        part = empty[labels == label]
        for place, words in enumerate(names):
            low, high = wilson_interval(float(part[:, place].sum()), len(part), confidence)
            rows.append([name, words, float(part[:, place].mean()), low, high])
    return pd.DataFrame(rows, columns=_COLUMNS)
