"""How strongly a layer responds: to the samples of each group, and for a class at each place."""

import numpy as np
from numpy.typing import NDArray

from fer_repro.errors import UserError

Array = NDArray[np.float64]


def activation_by_group(strengths: Array, groups: NDArray[np.int64], count: int) -> Array:
    """Average over the samples of each group: (count,); NaN for a group without samples.

    Args:
        strengths: (N,) of each sample, from 0.
        groups: (N,) numbers below ``count``.
        count: of the groups.
    """
    sizes = np.bincount(groups, minlength=count)
    sums = np.bincount(groups, weights=strengths, minlength=count)
    return np.divide(sums, sizes, out=np.full(count, np.nan), where=sizes > 0)


def activation_ratios(strengths: Array, groups: NDArray[np.int64], count: int) -> Array:
    """Divide each group's mean activation by the largest one's: (count,), at most 1.

    Arguments as of ``activation_by_group``.

    Raises:
        UserError: a group has no samples, or nothing is active.
    """
    means = activation_by_group(strengths, groups, count)
    if np.isnan(means).any():
        raise UserError(f"group {int(np.isnan(means).argmax())} has no samples: expected some of each group")
    if not means.max() > 0:
        raise UserError("a layer is 0 for all samples: it has no ratio of activations")
    return np.asarray(means / means.max())


def class_maps(features: NDArray, weight: NDArray) -> Array:
    """Weigh the last maps by the rows of the linear layer: class activation maps (arXiv:1512.04150, Eq. 2).

    CAM_c = sum_k w_ck F_k, so that the mean of CAM_c over all places, plus the bias b_c, is the logit of c.

    Args:
        features: (N, D, ...) F, of which the mean over the last axes enters the linear layer.
        weight: (K, D) w.

    Returns:
        (N, K, ...).

    Raises:
        ValueError: the shapes do not fit.
    """
    maps, rows = np.asarray(features, np.float64), np.asarray(weight, np.float64)
    if rows.ndim != 2 or maps.ndim < 3 or maps.shape[1] != rows.shape[1]:
        raise ValueError(f"maps of shape {maps.shape}, weights {rows.shape}: expected (N, D, ...) and (K, D)")
    return np.einsum("cd,nd...->nc...", rows, maps)
