"""Classification metrics as pure functions of targets and predictions; every average is spelled out."""

import numpy as np


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count how often each class was taken for each.

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
        classes: K.

    Returns:
        (K, K) int64, row = true class, column = predicted class.
    """
    return np.bincount(targets * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(targets: np.ndarray, predicted: np.ndarray) -> float:
    """Share of correct predictions, in [0, 1].

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
    """
    return float(np.mean(targets == predicted))


def recalls(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Recall of each class.

    Args:
        targets: (N,) class indices.
        predicted: (N,) class indices.
        classes: K.

    Returns:
        (K,) in [0, 1], NaN for a class without samples.
    """
    counts = np.bincount(targets, minlength=classes)
    correct = np.bincount(targets[targets == predicted], minlength=classes)
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
    """
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=(predicted == targets) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def negative_log_likelihood(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -log p(target), in nats.

    Args:
        targets: (N,) class indices.
        probabilities: (N, K); values below 1e-15 count as 1e-15.
    """
    chosen = np.take_along_axis(probabilities, targets[:, None], 1)
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (N, K) into probabilities (N, K), in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def classification_metrics(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """All numbers of this file for one set of predictions.

    Args:
        targets: (N,) class indices.
        probabilities: (N, K); the largest is the prediction.

    Returns:
        accuracy, expected_calibration_error, macro_f1, mean_class_accuracy and negative_log_likelihood.
    """
    predicted, classes = probabilities.argmax(1), probabilities.shape[1]
    return {
        "accuracy": accuracy(targets, predicted),
        "expected_calibration_error": expected_calibration_error(targets, probabilities),
        "macro_f1": macro_f1(targets, predicted, classes),
        "mean_class_accuracy": mean_class_accuracy(targets, predicted, classes),
        "negative_log_likelihood": negative_log_likelihood(targets, probabilities),
    }
