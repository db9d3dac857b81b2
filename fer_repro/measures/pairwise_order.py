"""Which of two comes first: a comparison without bias, and strengths of items from many comparisons.

Inspired by "Siamese-Structure Deep Neural Network Recognizing Changes in Facial Expression According to the
Degree of Smiling" (Kondo, Nakamura, Nakamura, Satoh, ICPR 2020), of which only the abstract was read: one
network sees two images and says whether smiling rises or falls. The formulas are this project's choice.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import kendalltau

Floats = NDArray[np.float64]


def fit_direction(differences: NDArray, ridge: float, weights: NDArray | None = None) -> Floats:
    """Fit v of P(first above second) = sigmoid(v . (f(first) - f(second))), ridge logistic regression.

    It has no bias and sees each pair in both orders, so that swapped inputs give the opposite answer. It
    maximises ``sum w log P - ridge / 2 |v|^2``.

    Args:
        differences: (P, D) features of the item that is above, minus those of the other.
        ridge: above 0; without one a perfect order has no finite solution.
        weights: (P,) how often each was seen; None for once.

    Returns:
        v, (D,).

    Raises:
        ValueError: the shapes do not fit, there is no pair, the ridge is not above 0, or a number is not
            finite.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second, and few stages need it

    rows = np.asarray(differences, np.float64)
    seen = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    if rows.ndim != 2 or not rows.size or seen.shape != rows.shape[:1]:
        raise ValueError(
            f"differences of shape {rows.shape}, weights {seen.shape}: expected (P, D) and (P,), P from 1"
        )
    if not ridge > 0 or not (np.isfinite(rows).all() and np.isfinite(seen).all()):
        raise ValueError(f"ridge {ridge}: expected more than 0, and finite differences and weights")
    model = LogisticRegression(C=1 / ridge, fit_intercept=False, solver="newton-cholesky", tol=1e-12)
    model.fit(np.concatenate([rows, -rows]), np.repeat([1, 0], len(rows)), np.tile(seen / 2, 2))
    return np.asarray(model.coef_[0], np.float64)


def order_probability(features: NDArray, direction: NDArray) -> Floats:
    """Compute for every two items the probability that the first is above the second.

    Args:
        features: (n, D).
        direction: v, (D,), from ``fit_direction``.

    Returns:
        (n, n); the two of a pair sum to 1, to the last bit.

    Raises:
        ValueError: the shapes do not fit.
    """
    items, v = np.asarray(features, np.float64), np.asarray(direction, np.float64)
    if items.ndim != 2 or v.shape != items.shape[1:]:
        raise ValueError(f"features of shape {items.shape}, direction {v.shape}: expected (n, D) and (D,)")
    scores = items @ v
    gaps = scores[:, None] - scores[None, :]
    smaller = expit(-np.abs(gaps))
    return np.where(gaps > 0, 1 - smaller, smaller)


def strengths(wins: NDArray, ridge: float) -> Floats:
    """Estimate Bradley-Terry strengths s: P(i above j) = sigmoid(s_i - s_j).

    They are logistic regression whose features tell items apart, so they maximise
    ``sum wins_ij log P(i above j) - ridge / 2 |s|^2``.

    Args:
        wins: (n, n) how often i was put above j; from 0, and not only whole numbers.
        ridge: above 0, which makes their sum 0.

    Returns:
        (n,).

    Raises:
        ValueError: wins are no such matrix, an item was put above itself, or nothing was compared.
    """
    counts = np.asarray(wins, np.float64)
    square = counts.ndim == 2 and counts.shape[0] == counts.shape[1]
    if not square or not (np.isfinite(counts).all() and (counts >= 0).all() and counts.any()):
        raise ValueError(f"wins of shape {counts.shape}: expected (n, n) of finite numbers from 0, not all 0")
    if np.diagonal(counts).any():
        raise ValueError(f"item {int(np.diagonal(counts).argmax())} was put above itself: expected 0")
    above, below = np.nonzero(counts)
    items = np.eye(len(counts))
    return fit_direction(items[above] - items[below], ridge, counts[above, below])


def kendall(values: NDArray, truth: NDArray) -> float:
    """Kendall's tau-b of (n,) values and a true order.

    Returns:
        0 where only the values do not vary; NaN where the truth does not. Where items are equal in truth
        alone it stays below 1.

    Raises:
        ValueError: the shapes differ.

    >>> round(kendall(np.array([1, 2, 4, 3]), np.arange(4)), 3)
    0.667
    """
    ours, theirs = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    if ours.ndim != 1 or ours.shape != theirs.shape:
        raise ValueError(f"values of shape {ours.shape}, truth {theirs.shape}: expected one shape (n,)")
    if len(theirs) < 2 or np.ptp(theirs) == 0:
        return float("nan")
    return float(kendalltau(ours, theirs).statistic) if np.ptp(ours) else 0.0
