import numpy as np

from fer_repro.datasets.draws import Stream, uniforms

MASK = 2**64 - 1


def splitmix(value):
    """SplitMix64's next output for a state, with Python's integers."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def test_the_mixer_is_splitmix64():
    assert splitmix(1234567) == 6457827717110365317  # first output of the reference code for this seed


def test_numbers_follow_the_chained_key():
    samples = np.array([0, 7, 123456])
    found = uniforms(3, Stream.COPIES, 2, samples, 4)
    for row, sample in enumerate(samples.tolist()):
        key = 0
        for part in (3, 3, 2, sample):
            key = splitmix(key ^ splitmix(part))
        for draw in range(4):
            number = splitmix((key + (draw + 1) * 0x9E3779B97F4A7C15) & MASK)
            assert found[row, draw] == (number >> 11) / 2**53


def test_numbers_are_uniform_and_uncorrelated():
    numbers = uniforms(0, Stream.TRAINING, 0, np.arange(20_000), 5)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(numbers.mean(0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(numbers.T) - np.eye(5)).max() < 0.03
    others = uniforms(0, Stream.TRAINING, 1, np.arange(20_000), 5)
    assert np.abs(np.corrcoef(numbers[:, 0], others[:, 0])[0, 1]) < 0.03
