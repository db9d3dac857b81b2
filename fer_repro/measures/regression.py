"""Errors and ranks of predicted numbers: mean squared error and Spearman's correlation, and what samples add.

Shares are influence values as ``variance_components.spread`` takes them, so that intervals over seeds and
samples are those of every other metric.
"""

import numpy as np
from numpy.typing import NDArray

from fer_repro.measures.classification import finite
from fer_repro.measures.intervals import mean_shares
from fer_repro.measures.saliency import spearman
from fer_repro.measures.variance_components import Floats


def squared_error_shares(predicted: NDArray, targets: NDArray) -> tuple[Floats, Floats]:
    """Mean squared error of each row, and what every sample adds to it.

    Args:
        predicted: (S, N) numbers of S seeds.
        targets: (N,) true numbers.

    Returns:
        (S,) errors and (S, N) shares.
    """
    return mean_shares((_numbers(predicted) - finite(np.asarray(targets, np.float64), "targets")) ** 2)


def spearman_shares(predicted: NDArray, targets: NDArray) -> tuple[Floats, Floats]:
    """Spearman's rank correlation of each row with the targets, and what every sample adds to it.

    A prediction that is the same for all samples ranks none above another: its correlation is 0, where
    Pearson's formula is not defined. Shares are those of the jackknife: (n - 1) / n times what is lost
    without the sample, less their mean.

    Args:
        predicted: (S, N) numbers of S seeds.
        targets: (N,) true numbers.

    Returns:
        (S,) correlations in [-1, 1] and (S, N) shares.
    """
    rows, truth = _numbers(predicted), finite(np.asarray(targets, np.float64), "targets")
    count = len(truth)
    values = np.array([rank_order(row, truth) for row in rows])
    shares = np.zeros(rows.shape)
    if count > 2:
        kept = ~np.eye(count, dtype=bool)
        for number, row in enumerate(rows):
            without = np.array([rank_order(row[mask], truth[mask]) for mask in kept])
            lost = (values[number] - without) * (count - 1) / count
            shares[number] = lost - lost.mean()
    return values, shares


def rank_order(predicted: NDArray, targets: NDArray) -> float:
    """Spearman's rank correlation of (N,) and (N,), ties at their mean rank; 0 where either is constant."""
    found = spearman(predicted, targets)
    return 0.0 if np.isnan(found) else found


def explained_variance(predicted: NDArray, targets: NDArray) -> float:
    """Share of the targets' variance that the squared error leaves out: 1 - MSE / variance, at most 1.

    0 is the mean of the targets for everybody; below 0 is worse than that, and of equal targets it is 0.

    Args:
        predicted: (N,).
        targets: (N,).
    """
    numbers, truth = _numbers(predicted), finite(np.asarray(targets, np.float64), "targets")
    variance = float(np.var(truth))
    return 1 - float(np.mean((numbers - truth) ** 2)) / variance if variance > 0 else 0.0


def _numbers(predicted: NDArray) -> Floats:
    return finite(np.asarray(predicted, np.float64), "predictions")
