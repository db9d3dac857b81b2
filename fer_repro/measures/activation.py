"""How strongly a layer responds to the samples of each group, relative to the group it responds to most."""

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
