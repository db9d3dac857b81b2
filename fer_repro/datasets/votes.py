"""FER+ votes and the rules that make a label of ten of them: pure functions.

Barsoum, Zhang, Canton Ferrer, Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", arXiv:1608.01041. Ten raters chose one of eight expressions, "unknown" or
"not a face" (NF). All rules but ``plain_majority`` first take out the outliers: a count of one becomes zero,
and S is the sum of what is left, unknown and NF included. What a rule keeps for unknown and NF is cut off at
the end and the rest sums to one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, nearest

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
ANSWERS = (*EXPRESSIONS, "unknown", "nf")  # the order of the votes in label.csv and fer2013new.csv
SOFT_MODES = ("probability", "cross_entropy", "multi_target")  # whose targets are more than the label
TARGET = "target_"  # a class's column of the sample table is called so


def without_outliers(votes: np.ndarray) -> np.ndarray:
    """Set every count of one to zero, (10,) int64."""
    return np.where(votes == 1, 0, votes)


def majority(votes: np.ndarray) -> np.ndarray:
    """Keep the largest count if it is more than S/2.

    Args:
        votes: (10,) int64 counts in the order of ``ANSWERS``.

    Returns:
        (10,) int64, the counts that the rule keeps; all zero if it discards the image.
    """
    left = without_outliers(votes)
    top = int(np.argmax(left))
    return _only(left, [top] if 2 * left[top] > left.sum() else [])


def probability(votes: np.ndarray) -> np.ndarray:
    """Keep answers in falling order until they sum to three quarters of S, equal counts together.

    Unknown and NF end the search. The image is discarded if they sum to half of S or less, or if they are
    more than three. In the mode "probability" one label is drawn from the result in every step, in the
    mode "cross_entropy" the result is the target.

    Args:
        votes: (10,) int64 counts in the order of ``ANSWERS``.

    Returns:
        (10,) int64, the counts that the rule keeps; all zero if it discards the image.
    """
    left = without_outliers(votes)
    chosen: list[int] = []
    for count in sorted(set(left[left > 0].tolist()), reverse=True):
        if 4 * left[chosen].sum() >= 3 * left.sum() or len(chosen) >= 3:
            break
        level = np.flatnonzero(left == count).tolist()
        chosen += [answer for answer in level if answer < len(EXPRESSIONS)]
        if level[-1] >= len(EXPRESSIONS):
            chosen = chosen or level[:1]  # nothing but unknown or NF leads: the image has no expression
            break
    enough = 2 * left[chosen].sum() > left.sum() and len(chosen) <= 3
    return _only(left, chosen if enough else [])


def multi_target(votes: np.ndarray) -> np.ndarray:
    """Keep every answer with at least 30 % of S; discard the image if they sum to half of S or less.

    Args:
        votes: (10,) int64 counts in the order of ``ANSWERS``.

    Returns:
        (10,) int64, the counts that the rule keeps; all zero if it discards the image.
    """
    left = without_outliers(votes)
    chosen = np.flatnonzero((10 * left >= 3 * left.sum()) & (left > 0))
    return _only(left, chosen.tolist() if 2 * left[chosen].sum() > left.sum() else [])


def plain_majority(votes: np.ndarray) -> np.ndarray:
    """Keep the largest of the ten counts, the first of equal ones: the other convention in the literature.

    Args:
        votes: (10,) int64 counts in the order of ``ANSWERS``.

    Returns:
        (10,) int64, the largest count alone.
    """
    return _only(votes, [int(np.argmax(votes))])


MODES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "majority": majority,
    "probability": probability,
    "cross_entropy": probability,
    "multi_target": multi_target,
    "plain": plain_majority,
}


def vote_targets(votes: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Make targets of votes.

    Args:
        votes: (N, 10) counts in the order of ``ANSWERS``.
        mode: a key of ``MODES``.

    Returns:
        Targets, (N, 8) float64 in the order of ``EXPRESSIONS``, rows sum to one, or are zero where the image
        is discarded; and which images are kept, (N,) bool: those whose largest kept count is an expression's.

    Raises:
        UserError: the mode is unknown, or a count is negative or the votes are not (N, 10).
    """
    if mode not in MODES:
        raise UserError(f"label mode is '{mode}'; {nearest(mode, MODES)}")
    votes = np.asarray(votes, np.int64)
    if votes.ndim != 2 or votes.shape[1] != len(ANSWERS) or (votes < 0).any():
        raise UserError(f"votes are {votes.shape}: expected (N, {len(ANSWERS)}) counts of 0 or more")
    weights = np.array([MODES[mode](row) for row in votes]).reshape(votes.shape)
    kept = (weights.sum(axis=1) > 0) & (np.argmax(weights, axis=1) < len(EXPRESSIONS))
    targets = np.where(kept[:, None], weights[:, : len(EXPRESSIONS)], 0).astype(np.float64)
    return targets / np.maximum(targets.sum(axis=1, keepdims=True), 1), kept


def target_columns(targets: np.ndarray, classes: Sequence[str] = EXPRESSIONS) -> dict[str, np.ndarray]:
    """Name the columns of soft targets (N, K) for the sample table: ``target_<class>``."""
    return {f"{TARGET}{name}": targets[:, number] for number, name in enumerate(classes)}


def soft_targets(samples: pd.DataFrame, classes: Sequence[str]) -> np.ndarray | None:
    """Read the soft targets of a sample table.

    Args:
        samples: the table; soft targets are in ``target_<class>``.
        classes: class names in label order.

    Returns:
        (N, K) float32 in the order of ``classes``, rows sum to one; None if the table has none.

    Raises:
        UserError: a class has no column, or a row is no distribution.
    """
    columns = [f"{TARGET}{name}" for name in classes]
    missing = [column for column in columns if column not in samples]
    if len(missing) == len(columns):
        return None
    if missing:
        raise UserError(
            f"soft targets: column '{missing[0]}' is missing; {nearest(missing[0], map(str, samples))}"
        )
    try:
        targets = samples[columns].to_numpy(np.float64)
    except ValueError as error:
        raise UserError(f"soft targets: {error}; expected shares of 0 to 1") from None
    with np.errstate(invalid="ignore"):
        good = (targets >= 0).all(axis=1) & (np.abs(targets.sum(axis=1) - 1) < 1e-6)
    if not good.all():
        row = int(np.argmin(good))
        raise UserError(
            f"soft targets: row {samples.index[row]}: {targets[row].tolist()}: expected shares that sum to 1"
        )
    return targets.astype(np.float32)


def draw_targets(targets: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Draw one label per sample, the mode "probability": anew in every step.

    Args:
        targets: (N, K) soft targets.
        uniforms: (N,) in [0, 1).

    Returns:
        (N,) int64 classes; a class without share is never drawn.
    """
    reached = np.cumsum(np.asarray(targets, np.float64), axis=1)
    return (uniforms[:, None] * reached[:, -1:] >= reached).sum(axis=1)


def _only(votes: np.ndarray, answers: list[int]) -> np.ndarray:
    kept = np.zeros_like(votes)
    kept[answers] = votes[answers]
    return kept
