"""Every metric, once: its names, unit and direction, and how it is made of what a run keeps.

A new metric is an entry of ``METRICS``, and a line where the evaluation of its task measures it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from numpy.typing import NDArray

from fer_repro.errors import UserError, nearest
from fer_repro.measures.detection import auc_shares, log_loss_shares
from fer_repro.measures.intervals import Scale, mean_shares
from fer_repro.measures.regression import spearman_shares, squared_error_shares
from fer_repro.measures.variance_components import Floats

Measure = Callable[[NDArray, NDArray], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        words: its name for people.
        measure: (S, N) of what is kept of S seeds and N samples, and (N,) targets -> (S,) values and (S, N)
            shares, what each sample adds, as ``variance_components.spread`` takes them; None where a number
            is no sum over samples, or only papers have it.
        kept: what ``measure`` takes: hits (or accuracies of folds), scores of the positive class, or
            predicted numbers, whose targets are numbers, too.
        unit: ``%`` for shares, which are in [0, 1] until they are written; ``nats`` for log losses; ``MSE``
            for squared errors of numbers, ``rho`` for rank correlations.
        lower_is_better: true for losses and errors.
    """

    words: str
    measure: Measure | None = None
    kept: Literal["hits", "scores", "numbers"] = "hits"
    unit: Literal["%", "nats", "MSE", "rho"] = "%"
    lower_is_better: bool = False

    @property
    def scale(self) -> float:
        """What a value is multiplied by when it is written."""
        return 100.0 if self.unit == "%" else 1.0

    @property
    def gap_unit(self) -> str:
        """The unit of differences."""
        return "points" if self.unit == "%" else self.unit

    @property
    def interval_scale(self) -> Scale:
        """Where intervals of its values are symmetric, so that none leaves what is possible."""
        scales: dict[str, Scale] = {"%": "logit", "rho": "artanh"}
        return scales.get(self.unit, "log")


def _mean(values: NDArray, targets: NDArray) -> tuple[Floats, Floats]:
    return mean_shares(values)


def _loss(words: str, measure: Measure | None = None) -> Metric:
    return Metric(words, measure, "scores", "nats", lower_is_better=True)


METRICS = {
    "accuracy": Metric("accuracy", _mean),
    "mean_class_accuracy": Metric("mean class accuracy", mean_shares),
    "pair_accuracy": Metric("pair accuracy", _mean),
    "auc": Metric("AUC", auc_shares, "scores"),
    "equal_error_rate": Metric("equal error rate", lower_is_better=True),
    "tar_at_far": Metric("TAR at FAR"),
    "frame_auc": Metric("frame AUC", auc_shares, "scores"),
    "frame_log_loss": _loss("frame log loss", log_loss_shares),
    "video_auc": Metric("video AUC", auc_shares, "scores"),
    "video_log_loss": _loss("video log loss", log_loss_shares),
    "video_accuracy": Metric("video accuracy", _mean),
    "ece": Metric("expected calibration error", lower_is_better=True),
    "ece_after_temperature": Metric("expected calibration error after temperature", lower_is_better=True),
    "linear_probe": Metric("label read by a linear probe", _mean, lower_is_better=True),
    "mlp_probe": Metric("label read by a small network", _mean, lower_is_better=True),
    "rank1": Metric("rank 1"),
    "top5_accuracy": Metric("top-5 accuracy"),
    "mse": Metric("mean squared error", squared_error_shares, "numbers", "MSE", lower_is_better=True),
    "spearman": Metric("Spearman's rank correlation", spearman_shares, "numbers", "rho"),
}
ACCURACIES = ("accuracy", "pair_accuracy")
"""Shares of single answers that are right: what tasks without their own metric are compared by."""
MAIN = (*ACCURACIES, "auc", "mse", "spearman")
"""What one line about a run reports: those that it has."""
OWN = ("frame_auc", "pair_accuracy", "accuracy", "mse")
"""The metric of a task: the first that its rows have."""


def find_metric(name: str) -> Metric:
    """Look a metric up; ``tar_at_far_1e_3`` names its FAR, ``frame_auc_swap`` the kind of manipulation.

    ``mse_0_33`` is the error of samples whose true number is 0.33.

    Raises:
        UserError: there is none of that name.
    """
    if name in METRICS:
        return METRICS[name]
    if far := re.fullmatch(r"tar_at_far_(\d)e_(\d+)", name):
        return replace(METRICS["tar_at_far"], words=f"TAR at FAR {far[1]}e-{far[2]}")
    if level := re.fullmatch(r"mse_(\d+(?:_\d+)?)", name):
        return replace(METRICS["mse"], words=f"mean squared error at {level[1].replace('_', '.')}")
    base = next((base for base in ("frame_auc", "video_auc") if name.startswith(f"{base}_")), "")
    if not base:
        raise UserError(f"unknown metric '{name}'; {nearest(name, METRICS)}")
    kind = name.removeprefix(f"{base}_").replace("_", " ")
    return replace(METRICS[base], words=f"{METRICS[base].words}, {kind}")


def own_metric(names: Iterable[str]) -> str:
    """Choose the metric of a task among those that its rows have; accuracy where none is known."""
    known = set(names)
    return next((name for name in OWN if name in known), "accuracy")
