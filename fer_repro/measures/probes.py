"""What embeddings show that they are not for: classifiers that are fitted to them afterwards.

A probe is fitted to the embeddings of some people and reads those of others. That a linear probe fails does
not make an embedding blind: what no hyperplane separates, a small network may still read.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_repro.errors import UserError

Array = NDArray[np.float64]
Probe = Literal["linear", "mlp"]
PROBES: tuple[Probe, ...] = ("linear", "mlp")
_STEPS = 300  # of the regression's solver, at most
_HIDDEN = 64  # of the small network
_ROUNDS = 60  # of its training: from there on it only fits the people it knows
_DECAY = 0.01


def read_by_probe(
    kind: Probe, learnt: Array, labels: NDArray[np.int64], others: Array, seed: int = 0
) -> NDArray[np.int64]:
    """Fit a probe to some embeddings and let it read others.

    Every dimension is scaled by mean and deviation of ``learnt``, so that a direction that was merely
    shrunk, and not removed, is as easy to read as before.

    Args:
        kind: logistic regression, or a network of one hidden layer.
        learnt: (N, D).
        labels: (N,) their class indices.
        others: (M, D), of other people.
        seed: of the small network's first weights.

    Returns:
        (M,) class indices.

    Raises:
        UserError: the labels are of one class, or a number is not finite.
    """
    if len(np.unique(labels)) < 2:
        raise UserError(
            f"a probe needs labels of two classes or more: {len(labels)} samples have one or none"
        )
    if not (np.isfinite(learnt).all() and np.isfinite(others).all()):
        raise UserError("a probe needs embeddings of finite numbers: some are NaN or infinite")
    middle, width = learnt.mean(axis=0), learnt.std(axis=0)
    width = np.where(width > 1e-6 * max(float(width.max()), 1e-30), width, np.inf)  # what was removed stays 0
    ours, theirs = (learnt - middle) / width, (others - middle) / width
    if kind == "linear":
        found = _regression(ours, labels).predict(theirs)
    else:
        found = _network(seed, ours, labels).predict(theirs)
    return np.asarray(found, np.int64)


def linear_rows(embeddings: Array, labels: NDArray[np.int64]) -> Array:
    """Fit logistic regression to embeddings (N, D) and give its rows W (K, D), which sum to 0."""
    rows = np.asarray(_regression(embeddings, labels).coef_, np.float64)
    return np.concatenate([-rows, rows]) if len(rows) == 1 else rows  # two classes share one row


def _regression(embeddings: Array, labels: NDArray[np.int64]) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.linear_model import LogisticRegression  # takes a second, and few stages need it

    with _to_the_last_step():
        return LogisticRegression(max_iter=_STEPS).fit(embeddings, labels)


def _network(seed: int, embeddings: Array, labels: NDArray[np.int64]) -> Any:  # noqa: ANN401
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        (_HIDDEN,), alpha=_DECAY, max_iter=_ROUNDS, tol=0.0, n_iter_no_change=_ROUNDS, random_state=seed
    )
    with _to_the_last_step():
        return network.fit(embeddings, labels)


@contextmanager
def _to_the_last_step() -> Iterator[None]:
    """Do not warn where a solver ends because its steps are over, as it is meant to."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
