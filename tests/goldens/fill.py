"""Deterministic weights and inputs, a function of a tensor's official state-dict key and shape alone."""

import zlib

import numpy as np


def fill(key: str, shape) -> np.ndarray:
    """float64 values for the official tensor named `key`: the same on every machine."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    shape = tuple(int(s) for s in shape)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if key.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if key.endswith("running_mean"):
        return rng.normal(0.0, 0.1, shape)
    if len(shape) <= 1:
        return rng.uniform(0.5, 1.5, shape) if key.endswith("weight") else rng.normal(0.0, 0.1, shape)
    fan_in = int(np.prod(shape[1:]))
    return rng.normal(0.0, (2.0 / fan_in) ** 0.5, shape)


def image(name: str, shape) -> np.ndarray:
    """float64 input in [0, 1) named `name`."""
    return np.random.default_rng(zlib.crc32(name.encode())).uniform(0.0, 1.0, tuple(shape))
