"""Whether confidence equals accuracy: reliability in bins of confidence, and temperature scaling.

Guo et al., ICML 2017, arXiv:1706.04599. The confidence is the largest probability, with two classes as with
seven, and bins are 15 of equal width, (low, high]. One temperature divides all logits, so that no decision
changes.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from fer_repro.measures.classification import class_indices, finite

BINS = 15
BOUNDS = (0.01, 100.0)
"""Of the temperature: logits that separate the validation split would take it to 0, useless ones far up."""


def reliability_bins(confidence: np.ndarray, hits: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Compare confidence with accuracy in bins of confidence.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        hits: (N,) whether it was the true one.
        bins: how many, of equal width in [0, 1].

    Returns:
        One row per bin: ``bin`` (from 1), ``low``, ``high``, ``confidence`` and ``accuracy`` (means, NaN in
        an empty bin), ``count``.
    """
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    shares = [np.bincount(index, weights, bins) for weights in (confidence, hits.astype(np.float64))]
    means = [np.divide(share, count, out=np.full(bins, np.nan), where=count > 0) for share in shares]
    edges = np.arange(bins + 1) / bins
    return pd.DataFrame(
        {
            "bin": np.arange(1, bins + 1), "low": edges[:-1], "high": edges[1:],
            "confidence": means[0], "accuracy": means[1], "count": count,
        }
    )  # fmt: skip


def binned_error(table: pd.DataFrame) -> float:
    """Expected calibration error of ``reliability_bins``: mean |accuracy - confidence|, by counts."""
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["count"]).sum() / max(int(table["count"].sum()), 1))


def log_likelihood_loss(targets: np.ndarray, logits: np.ndarray, temperature: float = 1.0) -> float:
    """Mean of -log softmax(z / T) at the target, in nats.

    Args:
        targets: (N,) class indices.
        logits: (N, K) z.
        temperature: T.
    """
    scaled = finite(np.asarray(logits, np.float64), "logits") / temperature
    true = class_indices(targets, scaled.shape[1], len(scaled))
    chosen = np.take_along_axis(scaled, true[:, None], 1)[:, 0]
    return float(np.mean(logsumexp(scaled, axis=1) - chosen))


def fit_temperature(targets: np.ndarray, logits: np.ndarray) -> float:
    """Find the temperature with the least log loss, by a search over log T within ``BOUNDS``.

    The loss is convex in 1 / T, so there is one minimum.

    Args:
        targets: (N,) class indices of the validation split.
        logits: (N, K).
    """
    found = minimize_scalar(
        lambda log_t: log_likelihood_loss(targets, logits, np.exp(log_t)),
        bounds=tuple(np.log(BOUNDS)),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(np.exp(found.x))
