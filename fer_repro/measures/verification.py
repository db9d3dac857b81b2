"""Face verification as pure functions: pair accuracy over folds, ROC, equal error rate, TAR at FAR.

The rules are those of LFW's View 2 (Huang et al., technical report 07-49, 2007) and of IJB's 1:1 protocol. A
score says how alike two faces are: higher is more alike. Where public evaluators differ in the third
decimal, the variants have names and the first one is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fer_repro.errors import UserError, nearest
from fer_repro.measures.classification import class_indices

THRESHOLDS = {
    "scores": "candidates are the distinct scores; same if score >= threshold; the lowest of the best",
    "scores_highest": "as scores, but the highest of the best",
    "squared_distance": "2 - 2 score on the grid 0, 0.01 ... 3.99; same if distance < threshold; the lowest",
    "youden": "1,000 equal steps of float32 scores; best TPR - FPR, pairs on the threshold count as wrong",
}
READINGS = {
    "not_above": "the largest TAR whose FAR does not exceed the one asked for",
    "linear": "linear interpolation between the points of the ROC",
    "nearest": "the point with the nearest FAR, of equals the one with the largest TAR",
}


# Scores


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale each row of (N, D) to length one, in float64.

    Raises:
        UserError: a row is zero or not finite.
    """
    rows = np.asarray(vectors, np.float64)
    if rows.ndim != 2:
        raise UserError(f"embeddings have the shape {rows.shape}: expected (N, D)")
    lengths = np.linalg.norm(rows, axis=1)
    bad = ~np.isfinite(lengths) | (lengths == 0)
    if bad.any():
        row = int(bad.argmax())
        raise UserError(f"embedding {row} has the length {lengths[row]}: expected a finite one above 0")
    return rows / lengths[:, None]


def add_mirror(embeddings: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Sum each image's embedding and its mirror image's, then scale to length one; (N, D) each.

    Some protocols do so, others do not: state it next to the result.
    """
    return unit(np.asarray(embeddings, np.float64) + np.asarray(mirrored, np.float64))


def cosine_scores(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of the embeddings of each pair.

    Args:
        embeddings: (N, D), of any length above 0.
        first: (P,) rows of ``embeddings``.
        second: (P,) rows of ``embeddings``.

    Returns:
        (P,) float64 in [-1, 1] up to rounding.

    Raises:
        UserError: an embedding is zero or not finite, or a pair names a row that does not exist.
    """
    units = unit(embeddings)
    for rows in (first, second):
        outside = (np.asarray(rows) < 0) | (np.asarray(rows) >= len(units))
        if outside.any():
            pair = int(outside.argmax())
            raise UserError(f"pair {pair} names embedding {rows[pair]}: expected 0 to {len(units) - 1}")
    left = class_indices(first, name="row of pair")
    right = class_indices(second, count=len(left), name="row of pair")
    return np.einsum("pd,pd->p", units[left], units[right])


def _checked(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, truth = np.asarray(scores, np.float64), np.asarray(same)
    if values.ndim != 1 or values.shape != truth.shape:
        raise UserError(f"scores are {values.shape}, same is {truth.shape}: expected one of each per pair")
    bad = ~np.isfinite(values)
    if bad.any():
        pair = int(bad.argmax())
        raise UserError(f"the score of pair {pair} is {values[pair]}: expected a finite number")
    odd = ~np.isin(truth, (0, 1))
    if odd.any():
        raise UserError(f"same of pair {int(odd.argmax())} is {truth[odd.argmax()]}: expected 0 or 1")
    truth = truth.astype(bool)
    if truth.all() or not truth.any():
        kind = "same" if truth.any() else "different"
        raise UserError(f"all {len(truth)} pairs are of {kind} people: expected both kinds")
    return values, truth


# Accuracy of pairs over folds


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy of each fold at the threshold that is best on all others.

    Attributes:
        accuracies: (F,) in [0, 1], in the order of the folds' numbers.
        thresholds: (F,) scores, or squared distances under ``squared_distance``.
    """

    accuracies: np.ndarray
    thresholds: np.ndarray

    @property
    def mean(self) -> float:
        """The published number: mean over the folds."""
        return float(self.accuracies.mean())

    @property
    def deviation(self) -> float:
        """Population standard deviation over the folds, as insightface prints it."""
        return float(self.accuracies.std())

    @property
    def sample_deviation(self) -> float:
        """Standard deviation over the folds with F - 1."""
        return float(self.accuracies.std(ddof=1))

    @property
    def standard_error(self) -> float:
        """Of the mean, sample deviation / sqrt(F): what the page of LFW lists behind the sign +-."""
        return float(self.sample_deviation / np.sqrt(len(self.accuracies)))


def fold_accuracy(
    scores: np.ndarray, same: np.ndarray, folds: np.ndarray, rule: str = "scores"
) -> FoldAccuracy:
    """Measure each fold with the threshold chosen on all other folds: LFW's View 2.

    The best threshold over all pairs is not this protocol and gives a higher number.

    Args:
        scores: (P,).
        same: (P,) 1 where both images show one person.
        folds: (P,) numbers of the folds, read from the protocol's file; never drawn anew.
        rule: a key of ``THRESHOLDS``.

    Raises:
        UserError: the rule is unknown, a score is not finite, there are fewer than two folds, or all pairs
            outside a fold are of one kind.
    """
    if rule not in THRESHOLDS:
        raise UserError(f"rule is '{rule}'; {nearest(rule, THRESHOLDS)}")
    values, truth = _checked(scores, same)
    numbers = np.unique(folds)
    if len(folds) != len(values) or len(numbers) < 2:
        raise UserError(
            f"{len(values)} pairs have {len(folds)} fold numbers, {len(numbers)} of them different: "
            "expected one per pair and at least two folds"
        )
    accuracies, thresholds = [], []
    for number in numbers:
        inside = np.asarray(folds) == number
        if len(set(truth[~inside])) < 2:
            raise UserError(f"outside fold {number} all pairs are of one kind: expected same and different")
        threshold = _best_threshold(values[~inside], truth[~inside], rule)
        thresholds.append(threshold)
        accuracies.append(_accuracy(values[inside], truth[inside], threshold, rule))
    return FoldAccuracy(np.array(accuracies), np.array(thresholds))


def _best_threshold(scores: np.ndarray, same: np.ndarray, rule: str) -> float:
    if rule == "youden":
        return _youden_threshold(scores.astype(np.float32), same)
    if rule == "squared_distance":
        candidates = np.arange(0, 4, 0.01)
        positive, negative = np.sort(2 - 2 * scores[same]), np.sort(2 - 2 * scores[~same])
        accepted = np.searchsorted(positive, candidates, "left")  # distance < threshold
        rejected = len(negative) - np.searchsorted(negative, candidates, "left")
    else:
        candidates = np.unique(scores)
        positive, negative = np.sort(scores[same]), np.sort(scores[~same])
        accepted = len(positive) - np.searchsorted(positive, candidates, "left")  # score >= threshold
        rejected = np.searchsorted(negative, candidates, "left")
    correct = accepted + rejected
    if rule == "scores_highest":
        return float(candidates[len(candidates) - 1 - correct[::-1].argmax()])
    return float(candidates[correct.argmax()])


def _youden_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    low, high = scores.min(), scores.max()
    candidates = low + (high - low) / 1000 * np.arange(1, 1001)  # the lowest score left out
    positive, negative = np.sort(scores[same]), np.sort(scores[~same])
    # counted as (n - k) / n, which rounds as its source does, so that ties are the same
    true_rate = (len(positive) - np.searchsorted(positive, candidates, "right")) / len(positive)
    false_rate = (len(negative) - np.searchsorted(negative, candidates, "right")) / len(negative)
    return float(candidates[(true_rate - false_rate).argmax()])


def _accuracy(scores: np.ndarray, same: np.ndarray, threshold: float, rule: str) -> float:
    if rule == "youden":
        exact = scores.astype(np.float32).astype(np.float64)
        return float(np.mean(np.where(same, exact > threshold, exact < threshold)))
    accepted = 2 - 2 * scores < threshold if rule == "squared_distance" else scores >= threshold
    return float(np.mean(accepted == same))


# The ROC and what is read from it


class Roc(NamedTuple):
    """One point per distinct score, from the strictest threshold on; the first point accepts nothing.

    Attributes:
        far: (K,) share of different pairs with a score of at least the threshold (FPR).
        tar: (K,) share of same pairs with a score of at least the threshold (TPR).
        thresholds: (K,) falling, the first infinite.
        impostors: how many different pairs there are.
    """

    far: np.ndarray
    tar: np.ndarray
    thresholds: np.ndarray
    impostors: int


class TarAtFar(NamedTuple):
    """Share of accepted same pairs where a given share of different pairs is accepted.

    Attributes:
        far: the one asked for.
        tar: in [0, 1]; at FAR 0 if ``measurable`` is false.
        measurable: there are at least 1 / far different pairs.
        note: what to print beside the number, or "".
    """

    far: float
    tar: float
    measurable: bool
    note: str


def roc(scores: np.ndarray, same: np.ndarray) -> Roc:
    """Compute the receiver operating characteristic; pairs of one score enter together.

    Args:
        scores: (P,).
        same: (P,) 1 where both images show one person.

    Raises:
        UserError: a score is not finite, or all pairs are of one kind.
    """
    values, truth = _checked(scores, same)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # of each distinct score
    hits = np.append(0, np.cumsum(truth)[last])
    alarms = np.append(0, 1 + last) - hits
    return Roc(alarms / alarms[-1], hits / hits[-1], np.append(np.inf, values[last]), int(alarms[-1]))


def auc(curve: Roc) -> float:
    """Area under the curve: the chance that a same pair scores above a different one, ties counting half."""
    return float(np.trapezoid(curve.tar, curve.far))


def equal_error_rate(curve: Roc) -> float:
    """The rate at which as many same pairs are refused as different ones accepted, by linear crossing."""
    gap = 1 - curve.tar - curve.far  # falls from 1 to -1
    after = int((gap <= 0).argmax())
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(curve.far[after - 1] + share * (curve.far[after] - curve.far[after - 1]))


def far_name(far: float) -> str:
    """Name the metric of a FAR: 0.01 is ``tar_at_far_1e_2``."""
    digits, exponent = f"{far:.0e}".split("e")
    return f"tar_at_far_{digits}e_{abs(int(exponent))}"


def tar_at_far(curve: Roc, far: float, reading: str = "not_above") -> TarAtFar:
    """Read the TAR at a FAR.

    Args:
        curve: of all pairs.
        far: in (0, 1).
        reading: a key of ``READINGS``. Below 1 / impostors nothing is interpolated, whatever the reading.

    Raises:
        UserError: the FAR or the reading is not allowed.
    """
    if not 0 < far < 1:
        raise UserError(f"FAR is {far}: expected a share between 0 and 1")
    if reading not in READINGS:
        raise UserError(f"reading is '{reading}'; {nearest(reading, READINGS)}")
    if far * curve.impostors < 1 - 1e-9:
        tar = float(curve.tar[curve.far == 0].max())
        note = (
            f"FAR {far:g} cannot be measured with {curve.impostors} different pairs, only from "
            f"{1 / curve.impostors:.2g} on; at FAR 0 the TAR is {tar:.4f}"
        )
        return TarAtFar(far, tar, False, note)
    if reading == "linear":
        tar = float(np.interp(far, curve.far, curve.tar))
    elif reading == "nearest":
        distance = np.abs(curve.far - far)
        tar = float(curve.tar[distance == distance.min()].max())
    else:
        tar = float(curve.tar[curve.far <= far * (1 + 1e-12)].max())
    return TarAtFar(far, tar, True, "")


def verification_metrics(
    scores: np.ndarray,
    same: np.ndarray,
    folds: np.ndarray | None = None,
    fars: Sequence[float] = (0.1, 0.01, 0.001),
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Compute the usual numbers of one protocol by the default rules.

    Args:
        scores: (P,).
        same: (P,) 1 where both images show one person.
        folds: (P,) fold numbers; without them there is no pair accuracy.
        fars: where to read the TAR; one that cannot be measured gives a remark instead of a number.

    Returns:
        ``auc``, ``equal_error_rate``, ``tar_at_far_1e_1`` ... and, with folds, ``pair_accuracy`` and
        ``pair_accuracy_standard_error``, all in [0, 1]; and the remarks.
    """
    curve = roc(scores, same)
    numbers = {"auc": auc(curve), "equal_error_rate": equal_error_rate(curve)}
    read = [tar_at_far(curve, far) for far in fars]
    numbers |= {far_name(found.far): found.tar for found in read if found.measurable}
    if folds is not None:
        accuracy = fold_accuracy(scores, same, folds)
        numbers["pair_accuracy"] = accuracy.mean
        numbers["pair_accuracy_standard_error"] = accuracy.standard_error
    return numbers, tuple(found.note for found in read if found.note)
