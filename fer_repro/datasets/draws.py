"""Random numbers by counter: pure functions of their key, whatever the batches, workers or restarts.

SplitMix64's output function (Steele, Lea, Flood, OOPSLA 2014, Fig. 16) is chained over the parts of the key.
"""

from enum import IntEnum

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_ONES = 2**64 - 1


class Stream(IntEnum):
    """What a number is drawn for; the streams never share numbers."""

    ORDER = 1  # the order of an epoch
    TRAINING = 2  # training augmentation; the counter is the epoch
    COPIES = 3  # test-time augmentation; the counter is the copy
    SUBSET = 4  # which samples a limited split keeps
    FRAMES = 5  # which frames of a clip are trained on; the counter is the epoch
    REGIONS = 6  # where random crops of a face lie; the counter is the epoch
    DISTORTIONS = 7  # what colour, noise and JPEG do to a face; the counter is the epoch
    TRIPLETS = 8  # which faces make a triplet; the counter is the epoch
    AGAIN = 9  # which samples of the smaller class are repeated; the counter is the pass
    LABELS = 10  # which of a face's voted labels is trained on; the counter is the epoch
    VALIDATION = 11  # which samples of the smaller class validate under the official sampling
    BOOTSTRAP = 12  # how often a sample is in each bootstrap sample
    PAIRS = 13  # which pairs of images a solution is fitted to


def hashes(seed: int, stream: Stream, counter: int, samples: np.ndarray) -> np.ndarray:
    """Hash the key (seed, stream, counter, sample) for each sample.

    Args:
        seed: the run's seed, from 0.
        stream: what is drawn.
        counter: the epoch or the copy, from 0.
        samples: (N,) integer sample ids.

    Returns:
        (N,) uint64, uniform over all 64 bits.
    """
    key = 0
    for part in (seed, int(stream), counter):
        key = _mix_one(key ^ _mix_one(part))
    return _mix(np.uint64(key) ^ _mix(samples.astype(np.uint64)))


def uniforms(seed: int, stream: Stream, counter: int, samples: np.ndarray, draws: int) -> np.ndarray:
    """Draw ``draws`` numbers in [0, 1) for each sample.

    Args:
        seed: the run's seed, from 0.
        stream: what is drawn.
        counter: the epoch or the copy, from 0.
        samples: (N,) integer sample ids.
        draws: how many numbers per sample.

    Returns:
        (N, draws) float64, multiples of 2^-53.
    """
    keys = hashes(seed, stream, counter, samples)[:, None]
    numbers = _mix(keys + np.arange(1, draws + 1, dtype=np.uint64) * _GAMMA)
    return (numbers >> np.uint64(11)) * 2.0**-53


def _mix_one(value: int) -> int:
    """Do what ``_mix`` does, with one whole number: an array of one takes twenty times as long."""
    value = (value + int(_GAMMA)) & _ONES
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _ONES
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _ONES
    return value ^ (value >> 31)


def _mix(values: np.ndarray) -> np.ndarray:
    values = values + _GAMMA
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
