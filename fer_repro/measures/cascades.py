"""Decisions one after the other: a cascade's soft and hard answers, and the accuracy that its rates allow.

Stage s of a cascade answers by p_s, the probability that a face has the stage's class; a last block shares
out, by q, what no stage has taken.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_repro.errors import UserError

Numbers = NDArray[np.float64]


def soft_decision(stages: Numbers, rest: Numbers, decided: Sequence[int]) -> Numbers:
    """Share out all probability: each stage takes its part of what is left, the last block the remainder.

    Args:
        stages: (N, S) p in [0, 1], in the order of decision.
        rest: (N, R) q, rows of sum 1, for the classes that no stage decides, in label order.
        decided: the class of each stage.

    Returns:
        (N, S + R) probabilities in label order, rows of sum 1.

    Raises:
        UserError: a number is no probability, or the classes do not fit.
    """
    others = _others(stages, rest, decided)
    passed = np.cumprod(1 - stages, axis=1)  # what is left after each stage
    found = np.empty((len(stages), stages.shape[1] + rest.shape[1]))
    found[:, list(decided)] = stages * np.hstack([np.ones((len(stages), 1)), passed[:, :-1]])
    found[:, others] = passed[:, -1:] * rest
    return found


def hard_decision(
    stages: Numbers, rest: Numbers, decided: Sequence[int], threshold: float = 0.5
) -> NDArray[np.int64]:
    """Take the class of the first stage whose p is at the threshold or above, else the largest of q.

    Args:
        stages: as of ``soft_decision``, as are the next two.
        rest: q.
        decided: the class of each stage.
        threshold: tau.

    Returns:
        (N,) class indices.

    Raises:
        UserError: see ``soft_decision``.
    """
    others = _others(stages, rest, decided)
    says = stages >= threshold
    last = np.asarray(others)[rest.argmax(axis=1)]
    return np.where(says.any(axis=1), np.asarray(decided)[says.argmax(axis=1)], last).astype(np.int64)


def _others(stages: Numbers, rest: Numbers, decided: Sequence[int]) -> list[int]:
    count = stages.shape[1] + rest.shape[1]
    if len(decided) != stages.shape[1] or len({*decided} & {*range(count)}) != len(decided):
        raise UserError(
            f"stages of the classes {[*decided]}: expected {stages.shape[1]} different ones of 0 to "
            f"{count - 1}"
        )
    for name, values in (("p of the stages", stages), ("q of the last block", rest)):
        if not (np.isfinite(values) & (values >= 0) & (values <= 1)).all():
            raise UserError(f"{name}: expected probabilities from 0 to 1, found {_odd(values):.6g}")
    if len(rest) and abs(rest.sum(axis=1) - 1).max() > 1e-5:
        raise UserError(f"q of the last block: rows sum to {rest.sum(axis=1).max():.6g}: expected 1")
    return [c for c in range(count) if c not in decided]


def _odd(values: Numbers) -> float:
    return float(values[~(np.isfinite(values) & (values >= 0) & (values <= 1))][0])


def stage_rates(said: NDArray[np.bool_], targets: NDArray[np.int64], classes: int) -> Numbers:
    """Measure how often each stage says yes to faces of each class, whichever stage came before.

    Args:
        said: (N, S), where a stage says yes.
        targets: (N,) class indices.
        classes: K.

    Returns:
        (S, K): the recall of a stage in the column of its class, false-alarm rates in the others; not a
        number for a class without a face.
    """
    rates = np.full((said.shape[1], classes), np.nan)
    for c in np.unique(targets):
        rates[:, c] = said[targets == c].mean(axis=0)
    return rates


def independent_accuracy(
    rates: Numbers, last_recalls: Mapping[int, float], decided: Sequence[int], counts: Sequence[int]
) -> float:
    """Compute the accuracy of a hard cascade whose stages err independently of one another, given the class.

    accuracy = sum over classes k of n_k product over earlier stages (1 - FPR_s|k) TPR_k / N.

    Args:
        rates: (S, K) as of ``stage_rates``, in the order of decision.
        last_recalls: class -> recall of the last block among faces that reach it.
        decided: the class of each stage.
        counts: n_k, faces of each class.
    """
    right = 0.0
    for k, count in enumerate(counts):
        if not count:
            continue
        place = decided.index(k) if k in decided else len(decided)
        own = rates[place, k] if k in decided else last_recalls[k]
        right += count * float(np.prod(1 - rates[:place, k])) * own
    return right / sum(counts)


def budget(
    counts: Sequence[int], decided: Sequence[int], recall: float, false_alarms: float, last_recall: float
) -> float:
    """Compute the accuracy of a hard cascade all of whose stages are alike.

    Args:
        counts: faces of each class.
        decided: the class of each stage.
        recall: of every stage, among faces of its class.
        false_alarms: rate of every stage, among faces of any later class.
        last_recall: of the last block, for each of its classes.
    """
    rates = np.full((len(decided), len(counts)), false_alarms)
    rates[np.arange(len(decided)), list(decided)] = recall
    others = {k: last_recall for k in range(len(counts)) if k not in decided}
    return independent_accuracy(rates, others, decided, counts)
