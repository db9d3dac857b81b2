"""Classification metrics as pure functions of targets and predictions; every average is spelled out."""

import numpy as np

from fer_repro.errors import UserError


def class_indices(
    labels: np.ndarray, classes: int | None = None, count: int | None = None, name: str = "target"
) -> np.ndarray:
    """Check class indices and widen them to int64: sums and products of small types would overflow.

    Args:
        labels: (N,) whole numbers of 0 or more, of any type.
        classes: K, which they must be below; None where it is unknown.
        count: N; None takes any.
        name: of one label, for the message.

    Returns:
        (N,) int64.

    Raises:
        UserError: they have another shape, or one is no class index.
    """
    given = np.asarray(labels)
    if given.ndim != 1 or count not in (None, len(given)) or given.dtype.kind not in "biuf":
        expected = "one whole number per sample" + ("" if count is None else f", ({count},)")
        raise UserError(f"{name}s are {given.dtype} of the shape {given.shape}: expected {expected}")
    limit = np.iinfo(np.int32).max if classes is None else classes
    with np.errstate(invalid="ignore"):  # NaN is no whole number either
        numbers = given.astype(np.int64)
        bad = ~((numbers >= 0) & (numbers < limit) & (numbers == given))
    if bad.any():
        row = int(bad.argmax())
        expected = "from 0" if classes is None else f"0 to {classes - 1}"
        raise UserError(f"{name} {row} is {given[row]}: expected a whole number, {expected}")
    return numbers


def truth_values(values: np.ndarray, count: int | None = None, name: str = "truth") -> np.ndarray:
    """Check booleans, 0 or 1 of any type, and return them as (N,) bool: ``~`` of integers is no negation.

    Args:
        values: (N,).
        count: N; None takes any.
        name: of one value, for the message.

    Raises:
        UserError: they have another shape, or one is neither 0 nor 1.
    """
    return class_indices(values, 2, count, name).astype(bool)


def finite(values: np.ndarray, name: str) -> np.ndarray:
    """Return numbers if all are finite; the largest of NaN would be the first class.

    Args:
        values: any shape, one row per sample.
        name: what they are, for the message.

    Raises:
        UserError: naming the first row with NaN or infinity.
    """
    numbers = np.asarray(values)
    good = np.isfinite(numbers)
    if not good.all():
        rows = np.flatnonzero(~good.reshape(len(numbers), -1).all(1))
        raise UserError(
            f"{name} of row {rows[0]} ({len(rows)} rows in all) are not finite: {numbers[rows[0]]}"
        )
    return numbers


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count how often each class was predicted as each.

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
        classes: K.

    Returns:
        (K, K) int64, row = true class, column = predicted class.
    """
    true = class_indices(targets, classes)
    taken = class_indices(predicted, classes, len(true), "prediction")
    return np.bincount(true * classes + taken, minlength=classes * classes).reshape(classes, classes)


def accuracy(targets: np.ndarray, predicted: np.ndarray) -> float:
    """Share of correct predictions, in [0, 1].

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
    """
    true = class_indices(targets)
    return float(np.mean(true == class_indices(predicted, count=len(true), name="prediction")))


def recalls(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Recall of each class.

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
        classes: K.

    Returns:
        (K,) in [0, 1], NaN for a class without samples.
    """
    true = class_indices(targets, classes)
    hits = true == class_indices(predicted, classes, len(true), "prediction")
    counts = np.bincount(true, minlength=classes)
    correct = np.bincount(true[hits], minlength=classes)
    return np.divide(correct, counts, out=np.full(classes, np.nan), where=counts > 0)


def mean_class_accuracy(targets: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Average of the recalls of all classes that have samples (unweighted average recall), in [0, 1].

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
        classes: K.
    """
    return float(np.nanmean(recalls(targets, predicted, classes)))


def macro_f1(targets: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Average over classes of 2 TP / (2 TP + FP + FN), in [0, 1].

    Classes that neither occur nor are predicted are left out; one that is never predicted counts 0.

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
        classes: K.
    """
    matrix = confusion_matrix(targets, predicted, classes)
    occurrences = matrix.sum(0) + matrix.sum(1)
    present = occurrences > 0
    return float(np.mean(2 * np.diag(matrix)[present] / occurrences[present]))


def expected_calibration_error(targets: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equal bins of confidence, weighted by their samples.

    Guo et al., ICML 2017, Eq. 3, arXiv:1706.04599; bin m is ((m - 1) / M, m / M], M = 15 there.

    Args:
        targets: (N,) class indices.
        probabilities: (N, K), rows sum to 1.
        bins: M.

    Returns:
        In [0, 1].

    Raises:
        UserError: see ``finite``.
    """
    shares = finite(np.asarray(probabilities, np.float64), "probabilities")
    true = class_indices(targets, shares.shape[1], len(shares))
    confidence, predicted = shares.max(1), shares.argmax(1)
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=(predicted == true) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(true))


def negative_log_likelihood(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -log p(target), in nats.

    Args:
        targets: (N,) class indices.
        probabilities: (N, K); values below 1e-15 count as 1e-15.

    Raises:
        UserError: see ``finite``.
    """
    shares = finite(np.asarray(probabilities, np.float64), "probabilities")
    true = class_indices(targets, shares.shape[1], len(shares))
    chosen = np.take_along_axis(shares, true[:, None], 1)
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


def softmax(logits: np.ndarray) -> np.ndarray:
    """Convert logits (N, K) into probabilities (N, K), in float64.

    Raises:
        UserError: see ``finite``.
    """
    numbers = finite(np.asarray(logits, np.float64), "logits")
    shifted = np.exp(numbers - numbers.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def classification_metrics(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """All numbers of this file for one set of predictions.

    Args:
        targets: (N,) class indices.
        probabilities: (N, K); the largest is the prediction.

    Returns:
        accuracy, expected_calibration_error, macro_f1, mean_class_accuracy and negative_log_likelihood.

    Raises:
        UserError: see ``finite``.
    """
    predicted, classes = finite(probabilities, "probabilities").argmax(1), probabilities.shape[1]
    targets = class_indices(targets, classes, len(probabilities))
    return {
        "accuracy": accuracy(targets, predicted),
        "expected_calibration_error": expected_calibration_error(targets, probabilities),
        "macro_f1": macro_f1(targets, predicted, classes),
        "mean_class_accuracy": mean_class_accuracy(targets, predicted, classes),
        "negative_log_likelihood": negative_log_likelihood(targets, probabilities),
    }
